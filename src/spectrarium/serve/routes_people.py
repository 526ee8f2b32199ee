"""What people keep: selections, judgements, notes, workspaces; who they are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import UsageError
from ..people.records import VERDICTS, Judgement, Note, Origin, Selection, Workspace
from .answers import arrow_answer, json_answer
from .asking import Ask, answering
from .chosen import checked_rows
from .fields import Fields
from .once import written
from .routes_archive import described_user

MOST_UIDS = 10_000_000

# selections -----------------------------------------------------------------------------------


@answering
def selections(ask: Ask) -> Response:
    """Own and shared selections; with ``deleted=1`` own ones that can be brought back."""
    if ask.method == "POST":
        return written(ask, lambda: _made(ask, ask.json()), 201)
    kept = ask.people.selections
    found = kept.deleted(ask.user) if ask.query.flag("deleted") else kept.list(ask.user)
    return json_answer({"selections": [_selection(ask, one) for one in found]})


def _made(ask: Ask, fields: Fields) -> dict[str, Any]:
    uids = _uids(ask, fields)
    if uids is None:
        raise UsageError("give rows or uids", code="bad_parameter", where="rows")
    one = ask.people.selections.create(
        ask.user, fields.text("name", ...), uids, fields.text("about", "", most=10_000),
        _origin(fields) or Origin(), ask.archive.version,
    )  # fmt: skip
    return _selection(ask, one)


@answering
def selection(ask: Ask) -> Response:
    """One selection: read it, change it, drop it."""
    sid, kept = ask.path["sid"], ask.people.selections
    if ask.method == "PATCH":
        return written(ask, lambda: _changed(ask, sid, ask.json()))
    if ask.method == "DELETE":
        return written(ask, lambda: _selection(ask, kept.delete(ask.user, sid)))
    return json_answer(_selection(ask, kept.get(ask.user, sid)))


def _changed(ask: Ask, sid: str, fields: Fields) -> dict[str, Any]:
    uids = _uids(ask, fields)
    one = ask.people.selections.update(
        ask.user, sid, fields.integer("revision", ...), name=fields.text("name"),
        about=fields.text("about", "" if "about" in fields else None, most=10_000),
        shared=fields.flag("shared") if "shared" in fields else None, uids=uids,
        origin=_origin(fields), version=None if uids is None else ask.archive.version,
    )  # fmt: skip
    return _selection(ask, one)


@answering
def selection_back(ask: Ask) -> Response:
    """Bring back a selection that was dropped."""
    kept = ask.people.selections
    return written(ask, lambda: _selection(ask, kept.undelete(ask.user, ask.path["sid"])))


@answering
def selection_rows(ask: Ask) -> Response:
    """Catalogue rows of a selection in the open version; X-Missing: how many are gone."""
    uids = ask.people.selections.uids(ask.user, ask.path["sid"])
    rows = ask.archive.rows_of(uids)
    there = np.sort(rows[rows >= 0])
    table = pa.table({"row": pa.array(there, pa.int32())})
    missing = len(uids) - len(there)
    return arrow_answer(table, {"missing": missing}, headers={"X-Missing": str(missing)})


def _uids(ask: Ask, fields: Fields) -> NDArray[np.int64] | None:
    """Identities of what a body names by ``rows`` (of the version it says) or ``uids``."""
    if fields.get("uids") is not None:
        return np.array(fields.integers("uids", ..., most=MOST_UIDS), np.int64)
    if fields.get("rows") is None:
        return None
    _same_version(ask, fields)
    rows = checked_rows(ask.archive, fields["rows"])
    return np.asarray(ask.archive.index.value("uid", rows), np.int64)


def _same_version(ask: Ask, fields: Fields) -> None:
    """Raises UsageError (stale_version): rows mean other observations in another version."""
    version = fields.integer("version", ask.archive.version)
    if version != ask.archive.version:
        raise UsageError(f"these are rows of version {version}, not of {ask.archive.version}",
                         code="stale_version", where="version",
                         remedy="load the page again, or send uids")  # fmt: skip


def _origin(fields: Fields) -> Origin | None:
    origin = fields.get("origin")
    if origin is None:
        return None
    if isinstance(origin, str):
        return Origin("text", origin)
    if not isinstance(origin, dict):
        raise UsageError("origin has a kind and a text", code="bad_parameter", where="origin")
    parts = Fields(origin)
    return Origin(parts.text("kind", "hand", most=40), parts.text("text", ""))


def _selection(ask: Ask, one: Selection) -> dict[str, Any]:
    return {
        "sid": one.sid, "name": one.name, "about": one.about, "origin": asdict(one.origin),
        "count": one.count, "owner": one.owner, "mine": one.owner == ask.user.name,
        "shared": one.shared, "revision": one.revision, "version": one.version,
        "created": one.created, "changed": one.changed, "deleted": one.deleted,
        "missing": None if one.deleted else _missing(ask, one),
    }  # fmt: skip


def _missing(ask: Ask, one: Selection) -> int:
    def count() -> int:
        rows = ask.archive.rows_of(ask.people.selections.uids(ask.user, one.sid))
        return int((rows < 0).sum())

    return ask.holding.cached(("missing", one.sid, one.revision), count)


# judgements -----------------------------------------------------------------------------------


@answering
def judgements(ask: Ask) -> Response:
    """What one said about outliers of a score, or of all."""
    if ask.method == "POST":
        return written(ask, lambda: _judged(ask, ask.json()))
    found = ask.people.judgements.current(ask.user, ask.query.text("score"))
    rows = ask.archive.rows_of(np.array([one.uid for one in found], np.int64))
    return json_answer({"judgements": [
        _judgement(one) | {"row": int(row) if row >= 0 else None}
        for one, row in zip(found, rows, strict=True)
    ]})  # fmt: skip


def _judged(ask: Ask, fields: Fields) -> dict[str, Any]:
    verdict = fields.choice("verdict", VERDICTS)
    uid, name = _named(ask, fields.text("id", ..., most=2000))
    score = fields.text("score", ..., most=200)
    given = ask.people.judgements.give(ask.user, uid, name, score, verdict)
    return {"judgement": _judgement(given)}


@answering
def judgement_back(ask: Ask) -> Response:
    """Take back the last judgement."""

    def undo() -> dict[str, Any]:
        found = ask.people.judgements.undo(ask.user)
        return {"judgement": None if found is None else _judgement(found)}

    return written(ask, undo)


def _judgement(one: Judgement) -> dict[str, Any]:
    return {"id": one.id, "uid": one.uid, "score": one.score, "verdict": one.verdict,
            "user": one.user, "when": one.when}  # fmt: skip


def _named(ask: Ask, identifier: str) -> tuple[int, str]:
    """(uid, COLLECTION:OBS_ID) of an observation. Raises UsageError (unknown_id)."""
    row = np.array([ask.archive.resolve(identifier)], np.int64)
    found = ask.archive.catalogue(row, ["obs_collection", "obs_id"]).to_pylist()[0]
    uid = int(ask.archive.index.value("uid", row)[0])
    return uid, f"{found['obs_collection']}:{found['obs_id']}"


# notes ----------------------------------------------------------------------------------------


@answering
def notes(ask: Ask) -> Response:
    """Everybody's notes on an observation, and a new one."""
    uid, name = _named(ask, ask.path["id"])
    kept = ask.people.notes
    if ask.method == "POST":
        text = ask.json().text("text", ...)
        return written(ask, lambda: _note(ask, kept.add(ask.user, uid, name, text)), 201)
    if not ask.user.signed_in:  # notes are for those who work here
        return json_answer({"notes": []})
    return json_answer({"notes": [_note(ask, one) for one in kept.of(ask.user, uid)]})


@answering
def note(ask: Ask) -> Response:
    """Change or drop a note of one's own."""
    nid, kept = ask.path["nid"], ask.people.notes
    if ask.method == "DELETE":
        return written(ask, lambda: _note(ask, kept.delete(ask.user, nid)))
    fields = ask.json()
    text, revision = fields.text("text", ...), fields.integer("revision")
    return written(ask, lambda: _note(ask, kept.change(ask.user, nid, text, revision)))


@answering
def note_back(ask: Ask) -> Response:
    """Bring back a note that was dropped."""
    kept = ask.people.notes
    return written(ask, lambda: _note(ask, kept.undelete(ask.user, ask.path["nid"])))


def _note(ask: Ask, one: Note) -> dict[str, Any]:
    return {"nid": one.nid, "id": one.id, "uid": one.uid, "text": one.text, "user": one.user,
            "mine": one.user == ask.user.name, "created": one.created, "changed": one.changed,
            "revision": one.revision}  # fmt: skip


# workspaces -----------------------------------------------------------------------------------


@answering
def workspaces(ask: Ask) -> Response:
    """One's workspaces, without what is in them."""
    found = ask.people.workspaces.list(ask.user)
    return json_answer({"workspaces": [
        {"name": w.name, "revision": w.revision, "changed": w.changed} for w in found
    ]})  # fmt: skip


@answering
def workspace(ask: Ask) -> Response:
    """The state of a screen: read it, keep it, drop it."""
    name, kept = ask.path["name"], ask.people.workspaces
    if ask.method == "PUT":
        fields = ask.json()
        state, revision = fields.get("state"), fields.integer("revision", ..., least=0)
        return written(ask, lambda: _workspace(kept.put(ask.user, name, state, revision)))
    if ask.method == "DELETE":
        return written(ask, lambda: _workspace(kept.delete(ask.user, name)))
    return json_answer(_workspace(kept.get(ask.user, name)))


@answering
def workspace_back(ask: Ask) -> Response:
    """Bring back a workspace that was dropped."""
    kept = ask.people.workspaces
    return written(ask, lambda: _workspace(kept.undelete(ask.user, ask.path["name"])))


def _workspace(one: Workspace) -> dict[str, Any]:
    return {"name": one.name, "revision": one.revision, "state": one.state,
            "changed": one.changed}  # fmt: skip


# who ------------------------------------------------------------------------------------------


@answering(anyone=True)
def me(ask: Ask) -> Response:
    """Who asks, what they may do, and whether signing in would change that."""
    found = described_user(ask)
    asked = {"sign_in": not ask.served.visitors.open, "session": ask.session is not None}
    return json_answer(found | asked, secret=True)


@answering(anyone=True)
def sign_in(ask: Ask) -> Response:
    """A session in a cookie for who has a token."""
    visitors = ask.served.visitors
    token = ask.json().text("token", ..., most=1000)
    session = visitors.sign_in(ask.address, token)
    answer = json_answer({"name": session.user, "signed_in": True}, secret=True)
    visitors.set_cookie(answer, session.token, secure=ask.secure)
    return answer


@answering(anyone=True)
def sign_out(ask: Ask) -> Response:
    """End the session, here and in the people file."""
    if ask.session is not None:
        ask.people.users.sign_out(ask.session)
    answer = json_answer({"signed_in": False}, secret=True)
    answer.delete_cookie(ask.served.visitors.cookie, path="/", httponly=True, samesite="strict")
    return answer


ROUTES = [
    Route("/api/selections", selections, methods=["GET", "POST"]),
    Route("/api/selections/{sid}", selection, methods=["GET", "PATCH", "DELETE"]),
    Route("/api/selections/{sid}/rows", selection_rows, methods=["GET"]),
    Route("/api/selections/{sid}/undelete", selection_back, methods=["POST"]),
    Route("/api/judgements", judgements, methods=["GET", "POST"]),
    Route("/api/judgements/undo", judgement_back, methods=["POST"]),
    Route("/api/object/{id}/notes", notes, methods=["GET", "POST"]),
    Route("/api/notes/{nid}", note, methods=["PATCH", "DELETE"]),
    Route("/api/notes/{nid}/undelete", note_back, methods=["POST"]),
    Route("/api/workspaces", workspaces, methods=["GET"]),
    Route("/api/workspaces/{name}", workspace, methods=["GET", "PUT", "DELETE"]),
    Route("/api/workspaces/{name}/undelete", workspace_back, methods=["POST"]),
    Route("/api/me", me, methods=["GET"]),
    Route("/api/sign-in", sign_in, methods=["POST"]),
    Route("/api/sign-out", sign_out, methods=["POST"]),
]
