"""The strangest observations page by page, re-ranked by what a user says of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.progress import Silent
from ..explore.combine import in_bins
from ..explore.outliers import canonical
from ..explore.scores import COMBINED, POPULATION
from ..store.archive import Archive
from .answers import Outliers, Strange
from .explorer import Explorer
from .judged import HOW, Looks, reranked, stretches
from .kin import means
from .outliers import Candidates, candidates_of, embeddings_asked, shown, strange_one
from .preparing import prepared
from .scoring import Asked, column_values, kept_scores, scored, still_holds
from .trained import encoder_of

PAGE_MOST = 60
SPARK_POINTS = 240
RERANKED = 1000
"""So many of the strangest, and all judged ones, are ranked again."""
AT_ONCE = 300
QUICK_AT_ONCE = 3000
"""Of so many spectra a score is computed while the user waits: by forests and networks, by PCA."""
_PICTURES = 2000
_QUICK = "pca"
Keep = Callable[[Hashable, Callable[[], Any]], Any]
Explorers = Callable[[str], Explorer]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What list is wanted.

    score : a score's name, or that of kept ones that take a column (``label-COLUMN-HASH``)
    bins : column within whose bins objects are ranked · offset, k : which part of the list
    """

    score: str = COMBINED
    model: str | None = None
    encoder: str | None = None
    where: str | None = None
    bins: str | None = None
    offset: int = 0
    k: int = 24

    def __post_init__(self) -> None:
        if not 1 <= self.k <= PAGE_MOST or self.offset < 0:
            raise UsageError(f"{self.k} from {self.offset} on", code="bad_parameter", where="k",
                             remedy=f"ask for 1 to {PAGE_MOST} at a time")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Ranked:
    """The whole list: candidates, their order, what is said of them all."""

    candidates: Candidates
    order: NDArray[np.int64]
    about: Outliers
    bins: Any = None


def ranked(
    archive: Archive, wanted: Ranking, *, explorers: Explorers, keep: Keep,
    verdicts: Mapping[int, str] | None = None, rerank: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """A page of the strangest with what was expected of each and where it departs.

    Parameters
    ----------
    explorers : embedding by name · keep : (key, make) → the made value, remembered
    verdicts : what the user said, by uid · rerank : let that move what is like it
    Raises
    ------
    UsageError : needs_job (the score must be computed first and takes long), no_score, no_model,
        no_column, a filter that does not parse
    """
    verdicts = verdicts or {}
    key = ("ranked", wanted.score, wanted.model, wanted.encoder, wanted.where, wanted.bins)
    whole: _Ranked = keep(key, lambda: _whole(archive, wanted, keep))
    found = whole.candidates
    uids = archive.index.value("uid", found.row)
    order = whole.order
    how = None
    if rerank:
        order, used = _by_judgements(archive, whole, uids, verdicts, explorers, keep)
        how = {"used": used, "how": HOW}
    was = np.empty(len(order), np.int64)
    was[whole.order] = np.arange(1, len(whole.order) + 1)
    page = order[wanted.offset : wanted.offset + wanted.k].tolist()
    made = _shown(page, whole, explorers, keep)
    answers = []
    for n, i in enumerate(page):
        answers.append(made[i] | {
            "uid": int(uids[i]), "rank": wanted.offset + n + 1, "was_rank": int(was[i]),
            "percentile": _percentile(found.significance, found.significance[i]),
            "judgement": verdicts.get(int(uids[i])), **_binned(whole, i),
        })  # fmt: skip
    _facts(archive, answers)
    return {
        "score": whole.about.score, "scores": score_names_there(archive),
        "judged": whole.about.judged, "abstained": whole.about.abstained,
        "correlation": whole.about.correlation, "notes": whole.about.notes,
        "count": len(order), "answers": answers, "rerank": how, "bins": wanted.bins,
    }  # fmt: skip


def score_names_there(archive: Archive) -> list[str]:
    """Scores that can be shown: those that are computed, and those that can be."""
    kept = {n.split(".", 1)[0] for n in archive.names("scores")}
    quick = (COMBINED, "reconstruction", "density")
    return [*quick, *sorted(kept - set(quick))]


def _binned(whole: _Ranked, i: int) -> dict[str, Any]:
    if whole.bins is None:
        return {}
    b = int(whole.bins.which[i])
    return {"bin": whole.bins.name[b], "bin_rank": int(whole.bins.rank[i]),
            "bin_size": whole.bins.size[b]}  # fmt: skip


def _whole(archive: Archive, wanted: Ranking, keep: Keep) -> _Ranked:
    tables, notes = score_tables(archive, wanted.score, wanted.model, wanted.encoder, keep)
    out = Outliers(wanted.score, [], {}, {}, {}, {}, {}, bins_of=wanted.bins, notes=notes)
    found = candidates_of(archive, tables, wanted.where, out)
    order = np.arange(len(found.row))
    bins = None
    if wanted.bins is not None and len(found.row):
        column = column_values(archive, found.row, wanted.bins, "bins")
        bins = in_bins(column, found.significance)
        order = bins.order(found.significance)
    return _Ranked(found, order, out, bins)


def score_tables(
    archive: Archive, score: str, model: str | None, encoder: str | None, keep: Keep
) -> tuple[dict[str, pa.Table], list[str]]:
    """Tables of a score by embedding, kept ones or computed now where that is quick; and notes.

    Raises UsageError (needs_job, no_score, no_model).
    """
    names = embeddings_asked(archive, model, encoder)
    special = {n: f"scores/{score}.{n}" for n in names if archive.has(f"scores/{score}.{n}")}
    if "-" in score and special:  # of a column: its name alone says which
        fresh = {n: archive.table(full) for n, full in special.items()}
        return {n: t for n, t in fresh.items() if still_holds(archive, n, t)} or _stale(score), []
    asked = Asked(canonical(score))
    tables: dict[str, pa.Table] = {}
    notes: list[str] = []
    slow = [n for n in names if kept_scores(archive, n, asked) is None and _slow(archive, n, asked)]
    if len(slow) == len(names):
        raise UsageError(
            f"the score {asked.score} has not been computed yet for {', '.join(slow)}",
            code="needs_job", where="score", remedy='start a job of the kind "score"',
        )  # fmt: skip
    notes += [f"not computed yet for {n}: start a job for it" for n in slow]
    names = [n for n in names if n not in slow]
    for name in names:
        try:
            make = partial(scored, archive, name, asked, Silent(), 0.0, False)
            tables[name] = keep(("scored", asked.score, name), make)
        except UsageError as error:
            if error.code != "too_few_spectra":
                raise
            notes.append(f"{name}: {error.what}")
    if not tables:
        raise UsageError(f"nothing can be scored: {'; '.join(notes)}", code="too_few_spectra",
                         remedy="embed more spectra")  # fmt: skip
    return tables, notes


def _stale(score: str) -> dict[str, pa.Table]:
    raise UsageError(f"the score {score} is out of date", code="needs_job", where="score",
                     remedy='start a job of the kind "score"')  # fmt: skip


def _slow(archive: Archive, name: str, asked: Asked) -> bool:
    quick = encoder_of(name) == _QUICK and asked.score not in POPULATION
    most = QUICK_AT_ONCE if quick else AT_ONCE
    return archive.held(f"embeddings/{name}") > most


def _shown(
    page: list[int], whole: _Ranked, explorers: Explorers, keep: Keep
) -> dict[int, dict[str, Any]]:
    """What is worked out of each candidate, once; all of one embedding together."""
    found, score = whole.candidates, whole.about.score
    pictures: dict[tuple[str, int], dict[str, Any]] = keep(("strange", score), dict)
    plain = score.split("-", 1)[0]
    out: dict[int, dict[str, Any]] = {}
    for number in sorted({int(found.source[i]) for i in page}):
        name, table = found.tables[number]
        mine = {i: (name, int(found.row[i])) for i in page if int(found.source[i]) == number}
        out |= {i: p for i, key in mine.items() if (p := pictures.get(key)) is not None}
        missing = [i for i in mine if i not in out]
        if not missing:
            continue
        explorer = explorers(name)
        seen = shown(explorer, found.row[missing], plain)
        for i in missing:
            row = int(found.row[i])
            record = table.slice(int(found.at[i]), 1).to_pylist()[0]
            one = strange_one(explorer, 0, row, record, plain, seen.get(row))
            out[i] = pictures[mine[i]] = described(explorer, one)
    for key in list(pictures)[: max(0, len(pictures) - _PICTURES)]:  # the first are the oldest
        pictures.pop(key, None)
    return out


def _percentile(all_of_them: NDArray[np.float64], one: float) -> float:
    return 100.0 * float((all_of_them <= one).mean())


def described(explorer: Explorer, one: Strange) -> dict[str, Any]:
    """One outlier in plain values, its picture in `SPARK_POINTS` means of blocks."""
    wave = explorer.model.domain.wave_aa
    every = max(1, -(-len(wave) // SPARK_POINTS))
    there = one.ivar > 0
    assert one.reconstruction is not None
    return {
        "row": one.row, "value": one.value, "significance": one.significance, "snr": one.snr,
        "noise_source": one.noise_source, "kind": one.kind, "reason": one.reason,
        "reasons": list(one.reasons),
        "lines": list(one.lines), "drivers": [r._asdict() for r in one.drivers],
        "model": one.model, "expected_by": one.expected_by, "note": one.note,
        "frame": explorer.model.domain.frame,
        "spark": {
            "wave_aa": means(wave, np.ones(len(wave), bool), every, np.float64),
            "flux": means(one.flux, there, every),
            "expected": means(one.reconstruction, there, every),
        },
    }  # fmt: skip


def _facts(archive: Archive, answers: list[dict[str, Any]]) -> None:
    """Names and classes of what is shown."""
    rows = [a["row"] for a in answers]
    names = ["obs_collection", "obs_id", "target_name", "s_ra", "s_dec"]
    facts = archive.catalogue(rows, names).to_pylist()
    for a, f, kind in zip(answers, facts, archive.classes(rows), strict=True):
        a |= {"id": f"{f['obs_collection']}:{f['obs_id']}", "target_name": f["target_name"],
              "s_ra": f["s_ra"], "s_dec": f["s_dec"], "class": kind}  # fmt: skip


# one observation -----------------------------------------------------------------------------


def scores_of(
    archive: Archive, row: int, *, explorers: Explorers, keep: Keep
) -> list[dict[str, Any]]:  # fmt: skip
    """Every kept score of an observation: value, place among all, the wavelengths behind it.

    Those that abstain say why. Scores of an older version of the archive are left out.
    """
    uid = int(archive.index.value("uid", np.array([row], np.int64))[0])
    out = []
    for full in archive.names("scores"):
        score, _, name = full.partition(".")
        if name not in archive.names("embeddings"):
            continue
        table: pa.Table = keep(("score table", full), partial(archive.table, f"scores/{full}"))
        at = pc.index(table.column("uid"), uid).as_py()
        if at >= 0 and still_holds(archive, name, table):
            out.append(_score_of(table, at, score, name, row, explorers))
    return out


def _score_of(
    table: pa.Table, at: int, score: str, name: str, row: int, explorers: Explorers
) -> dict[str, Any]:
    record = table.slice(at, 1).to_pylist()[0]
    significance = table.column("significance").to_numpy(zero_copy_only=False).astype(float)
    judged = significance[np.isfinite(significance)]
    out = {
        "name": score, "model": name, "value": record["value"], "of": len(judged),
        "significance": record["significance"], "noise_source": record["noise_source"],
        "snr": record["snr"], "note": record["note"], "reason": record["reason"],
        "percentile": None, "rank": None, "kind": "", "drivers": [], "reasons": [], "lines": [],
    }  # fmt: skip
    if record["value"] is None:
        return out
    one = strange_one(explorers(name), 0, row, record, score.split("-", 1)[0])
    mine = float(record["significance"])
    return out | {
        "percentile": _percentile(judged, mine), "rank": int((judged > mine).sum()) + 1,
        "kind": one.kind, "reasons": list(one.reasons), "lines": list(one.lines),
        "drivers": [r._asdict() for r in one.drivers], "expected_by": one.expected_by,
        "frame": explorers(name).model.domain.frame,
    }  # fmt: skip


# what was said --------------------------------------------------------------------------------


def _by_judgements(
    archive: Archive, whole: _Ranked, uids: NDArray[np.int64], verdicts: Mapping[int, str],
    explorers: Explorers, keep: Keep,
) -> tuple[NDArray[np.int64], int]:  # fmt: skip
    """The order that judgements make, and how many of them count here."""
    found = whole.candidates
    place = {int(u): n for n, u in enumerate(uids[whole.order].tolist())}
    said = {place[u]: v for u, v in verdicts.items() if u in place}
    if not said:
        return whole.order, 0
    pool = np.union1d(np.arange(min(RERANKED, len(whole.order))), np.array(sorted(said), np.int64))
    members = whole.order[pool]
    looks = _looks(archive, found, members, explorers, keep)
    at = {int(p): n for n, p in enumerate(pool.tolist())}
    new = reranked(looks, {at[p]: v for p, v in said.items()})
    rest = np.setdiff1d(np.arange(len(whole.order)), pool)
    return np.concatenate([members[new], whole.order[rest]]), len(said)


def _looks(
    archive: Archive, found: Candidates, members: NDArray[np.int64], explorers: Explorers,
    keep: Keep,
) -> Looks:  # fmt: skip
    """Vectors and departures of candidates, read once for each."""
    source, rows = found.source[members], found.row[members]
    vectors: list[NDArray[np.float64]] = [np.zeros(1)] * len(members)
    departs = np.zeros((len(members), 48))
    for number in np.unique(source).tolist():
        name = found.tables[number][0]
        mine = np.flatnonzero(source == number)
        seen: dict[int, tuple[Any, Any]] = keep(("looks", name), dict)
        missing = np.array([r for r in rows[mine].tolist() if r not in seen], np.int64)
        if len(missing):
            _look(archive, explorers(name), missing, seen)
        width = len(next(iter(seen.values()))[0]) if seen else 1
        nothing = (np.full(width, np.inf), np.zeros(48))
        for i in mine.tolist():
            vector, shares = seen.get(int(rows[i]), nothing)
            vectors[i] = np.nan_to_num(vector, posinf=1e6)
            departs[i] = shares
    return Looks(vectors, departs, source.astype(np.int64))


def _look(
    archive: Archive, explorer: Explorer, rows: NDArray[np.int64], seen: dict[int, Any]
) -> None:
    model = explorer.model
    scale = model.metric_scale()
    for batch, chunk, _ in prepared(archive, explorer.preparer, np.sort(rows)):
        if not len(batch):
            continue
        uids = archive.index.value("uid", chunk[batch.index])
        vectors = explorer.index.vectors(explorer.index.rows_of(uids))
        weight = batch.ivar / (1.0 + batch.ivar * model.scatter)
        squares = (batch.flux - model.decode(vectors)) ** 2 * weight
        shares = stretches(squares)
        wide = vectors.astype(np.float64) * (1.0 if scale is None else scale)
        for n, row in enumerate(chunk[batch.index].tolist()):
            seen[int(row)] = (wide[n], shares[n])
