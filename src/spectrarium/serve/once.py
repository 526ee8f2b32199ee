"""Writes that are done once however often they are sent."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from starlette.responses import Response

from .answers import json_answer, json_bytes
from .asking import Ask

KEY = "idempotency-key"


def written(ask: Ask, do: Callable[[], Any], status: int = 200) -> Response:
    """The answer of `do`, as JSON; that of before where the request came with the same key."""
    key = ask.headers.get(KEY, "")
    if not key or not ask.user.signed_in:
        return json_answer(do(), status)
    with ask.people.once(ask.user, key, _digest(ask)) as slot:
        if slot.kept is not None:
            return Response(slot.kept.body, slot.kept.status, media_type="application/json")
        body = json_bytes(do()).decode()
        slot.keep(status, body)
    return Response(body, status, media_type="application/json")


def _digest(ask: Ask) -> str:
    whole = blake2b(digest_size=16)
    for part in (ask.method.encode(), ask.where.encode(), ask.body):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()
