"""Smaller JSON on the way; never what is secret."""

from __future__ import annotations

import gzip

from starlette.responses import Response

LEAST_BYTES = 1024
_NEVER = b"x-no-compression"


def compressed(answer: Response, accepted: str) -> Response:
    """The answer with its JSON gzipped, if the client takes that and it is no secret."""
    secret = any(k == _NEVER for k, _ in answer.raw_headers)
    if secret:
        answer.raw_headers[:] = [h for h in answer.raw_headers if h[0] != _NEVER]
        return answer
    body = getattr(answer, "body", b"")
    kind = answer.headers.get("content-type", "")
    if len(body) < LEAST_BYTES or not kind.startswith("application/json"):
        return answer
    answer.headers["Vary"] = "Accept-Encoding"
    if takes_gzip(accepted):
        answer.body = gzip.compress(bytes(body), 5)
        answer.headers["Content-Encoding"] = "gzip"
        answer.headers["Content-Length"] = str(len(answer.body))
    return answer


def takes_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` header lets gzip through."""
    for part in accepted.split(","):
        name, _, weight = part.strip().partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
