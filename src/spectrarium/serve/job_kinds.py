"""The kinds of jobs that may be asked for: one function and one line in `KINDS` each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..domain.errors import UsageError
from ..domain.progress import Progress
from ..explore.layout import method_named
from ..explore.outliers import canonical
from ..people.records import OPERATE, SAVE, Origin
from ..run.choosing import like, strangest
from ..run.jobs import Result, Work
from ..run.layout import layouts
from ..run.outliers import outliers
from ..store.archive import Rows
from .asking import Ask
from .fields import Fields
from .routes_stack import stack_work

K_MOST = 5000


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job.

    right : who may start it · make : request, parameters → (title, what is to be done)
    """

    about: str
    right: str
    make: Callable[[Ask, Fields], tuple[str, Work]]


def _score(ask: Ask, fields: Fields) -> tuple[str, Work]:
    score = canonical(fields.text("score", "combined", most=100))
    chosen: dict[str, Any] = {n: fields.text(n) for n in ("model", "encoder", "label", "distance")}
    root = ask.served.root

    def work(progress: Progress) -> Result:
        found = outliers(root, score, 1, progress=progress, **chosen)
        judged, abstained = sum(found.judged.values()), sum(found.abstained.values())
        return Result({"score": found.score, "judged": judged, "abstained": abstained,
                       "notes": found.notes})  # fmt: skip

    return f"Score {score}", work


def _map(ask: Ask, fields: Fields) -> tuple[str, Work]:
    method = fields.text("method", "umap", most=40)
    method_named(method)
    chosen: dict[str, Any] = {n: fields.text(n) for n in ("model", "encoder", "where")}
    seed, refit, root = fields.integer("seed", least=0), fields.flag("refit"), ask.served.root
    if chosen["where"]:
        ask.archive.find(chosen["where"], limit=0)  # before minutes of work, not after

    def work(progress: Progress) -> Result:
        found = layouts(root, method, seed=seed, refit=refit, progress=progress, **chosen)
        names = [f"{m.method}.{m.name}" for m in found]
        return Result({"map": names[0], "maps": names, "points": [len(m.rows) for m in found]})

    return f"Map by {method}", work


def _select(ask: Ask, fields: Fields) -> tuple[str, Work]:
    name, about = fields.text("name", ..., most=200), fields.text("about", "", most=10_000)
    origin, find = _question(ask, fields)
    archive, people, user = ask.archive, ask.people, ask.user
    user.require(SAVE)

    def work(progress: Progress) -> Result:
        rows = find(progress)
        uids = np.asarray(archive.index.value("uid", rows), np.int64)
        kept = people.selections.create(user, name, uids, about, origin, archive.version)
        progress.note(f"{kept.count:,} observations in {kept.name!r}")
        return Result({"selection": kept.sid, "count": kept.count})

    return f"Selection {name}", work


def _question(ask: Ask, fields: Fields) -> tuple[Origin, Callable[[Progress], Rows]]:
    """What a selection is to hold: exactly one of where, similar and outliers."""
    archive = ask.archive
    asked = [n for n in ("where", "similar", "outliers") if fields.get(n) is not None]
    if len(asked) != 1:
        raise UsageError("say where, similar or outliers, and one of them only",
                         code="bad_parameter", where="params")  # fmt: skip
    if asked == ["where"]:
        where = fields.text("where", ...)
        archive.find(where, limit=0)
        return Origin("filter", where), lambda _: archive.find(where)
    how = fields[asked[0]]
    if not isinstance(how, dict):
        raise UsageError(f"{asked[0]} is no object", code="bad_parameter", where=asked[0])
    more = Fields(how)
    k, where = more.integer("k", 100, 1, K_MOST), more.text("where")
    if asked == ["outliers"]:
        score = more.text("score", "combined", most=300)
        return (Origin("outliers", f"{k} strangest by {score}"),
                lambda _: strangest(archive, score, k, where=where))  # fmt: skip
    identifier = more.text("id", ..., most=2000)
    archive.resolve(identifier)
    model, encoder = more.text("model"), more.text("encoder")
    return (Origin("similar", f"{k} like {identifier}"),
            lambda progress: like(archive, identifier, k, where=where, model=model,
                                  encoder=encoder, progress=progress))  # fmt: skip


KINDS = {
    "stack": Kind("Median and bands of all members of a set.", SAVE, stack_work),
    "score": Kind("Compute an outlier score of everything embedded.", OPERATE, _score),
    "map": Kind("Lay out what is embedded in two dimensions.", OPERATE, _map),
    "select": Kind("Keep what answers a question as a selection.", SAVE, _select),
}
