"""Errors become HTTP answers here, once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from starlette.responses import Response

from ..domain.errors import (
    DataError,
    InternalError,
    SpectrariumError,
    TransientError,
    UsageError,
)
from ..people.records import ChangedElsewhere
from .answers import json_answer

log = logging.getLogger("spectrarium.serve")

_BY_CODE = {
    "unknown_id": 404, "not_allowed": 403, "sign_in": 401, "too_large": 413,
    "stale_version": 409, "changed_elsewhere": 409, "bad_method": 405, "bad_host": 421,
    "too_slow": 408,
}  # fmt: skip
_NOT_MISSING = frozenset({"no_redshift", "no_good_pixels", "no_such_option", "no_permission"})
"""Codes that begin with ``no_`` and say of something there that it lacks something."""
RETRY_AFTER_S = 2


def status_of(error: SpectrariumError) -> int:
    """HTTP status of an error: the caller's 4xx, bad data 422, try again 503, ours 500."""
    if isinstance(error, TransientError):
        return 503
    if isinstance(error, DataError):
        return 422
    if isinstance(error, UsageError):
        if error.code.startswith("no_") and error.code not in _NOT_MISSING:
            return 404
        return _BY_CODE.get(error.code, 400)
    return 500


def error_record(error: SpectrariumError, root: Path | None = None) -> dict[str, Any]:
    """``{"error": {code, what, where, remedy}}``; of our own defects only that there is one.

    root : folder of the archive, of which clients hear the name only
    """
    if isinstance(error, (UsageError, DataError, TransientError)):
        found = {"code": error.code, "what": error.what, "where": error.where,
                 "remedy": error.remedy}  # fmt: skip
        if root is not None:
            found = {k: v.replace(str(root), root.name) for k, v in found.items()}
    else:
        found = {"code": error.code, "what": "something in Spectrarium went wrong", "where": "",
                 "remedy": "please report it; the server's log says more"}  # fmt: skip
    if isinstance(error, ChangedElsewhere):
        return {"error": found | {"revision": error.revision}}
    return {"error": found}


def error_answer(error: SpectrariumError, root: Path | None = None) -> Response:
    """The answer to a request that failed."""
    status = status_of(error)
    headers = {}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_answer(error_record(error, root), status, headers=headers)


def defect(error: Exception) -> InternalError:
    """A defect of ours, written to the log with all there is to know."""
    log.error("%s: %s", type(error).__name__, error, exc_info=error)
    return InternalError(f"{type(error).__name__}: {error}")
