"""What is strange here?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.derived import Region
from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..domain.spectrum import Spectrum
from ..domain.visibility import EVERYTHING, Visibility
from ..embed.prepare import Prepared
from ..explore.combine import Bins, in_bins
from ..explore.explain import regions
from ..explore.identify import Pair, identify
from ..explore.outliers import canonical
from ..explore.scores import neighbours_mean, residuals
from ..explore.triage import triage
from ..store.archive import Archive, Rows
from .answers import Outliers, Strange
from .embedding import load_model
from .explorer import Explorer, refuse_other_encoder, unsearched
from .redshifts import read_for, redshift_of
from .scoring import KEEP_WAIT_S as KEEP_WAIT_S
from .scoring import Asked, column_values, scored

BY_MODEL = ("reconstruction",)
"""Scores that are about what the model cannot reproduce; the others are about other objects."""
MOST_REGIONS = 3
_BROAD = 0.04  # in so wide a region lines are always found and say nothing


def outliers(
    root: Path,
    score: str = "combined",
    k: int = 50,
    *,
    where: str | None = None,
    model: str | None = None,
    encoder: str | None = None,
    label: str | None = None,
    distance: str | None = None,
    seen_in_bins_of: str | None = None,
    version: int | None = None,
    visibility: Visibility = EVERYTHING,
    progress: Progress | None = None,
    wait_s: float = 60.0,
) -> Outliers:
    """The k strangest observations: where in wavelength each departs, and what it looks like.

    Scores are computed once for each model and kept in the archive (``scores/SCORE.MODEL``);
    they are ranked by how far they lie above what is usual at the same S/N.

    Parameters
    ----------
    where : filter on what is shown (the scores are about all) · model : one embedding
    encoder : only embeddings by this encoder · label : column that the score ``label`` judges
    distance : column of distances, for the score ``spatial`` in space instead of on the sky
    seen_in_bins_of : column within whose bins objects are ranked; the strangest of each bin come
        first
    visibility : of the asker; scores that are worked out with a part hidden are not kept
    """
    if k < 1:
        raise UsageError(f"k is {k}", code="bad_k", remedy="ask for one outlier or more")
    asked = Asked(canonical(score), label, distance)
    archive = Archive(root, version, visibility)
    names = embeddings_asked(archive, model, encoder)
    for column, option in ((label, "--label"), (distance, "--distance"),
                           (seen_in_bins_of, "--seen-in-bins-of")):  # fmt: skip
        if column is not None:  # before hours of work, not after
            column_values(archive, np.zeros(0, np.int64), column, option)
    out = Outliers(asked.score, [], {}, {}, {}, {}, {}, bins_of=seen_in_bins_of)
    tables = {}
    for name in names:
        tables[name] = scored(
            archive, name, asked, progress or Silent(), min(wait_s, KEEP_WAIT_S), version is None
        )
    candidates = candidates_of(archive, tables, where, out)
    _answer_all(archive, candidates, k, out)
    return out


def embeddings_asked(archive: Archive, model: str | None, encoder: str | None) -> list[str]:
    """Embeddings that are meant. Raises UsageError (no_model)."""
    if model is not None:
        refuse_other_encoder(archive, model, encoder)
        load_model(archive, model)  # refuses a name that is none, listing those there are
        return [model]
    names = archive.names("embeddings")
    if not names:
        raise UsageError("nothing is embedded yet", code="no_model",
                         remedy="run `spectrarium embed --encoder pca` first")  # fmt: skip
    mine = [n for n in names if encoder is None or n.split(".", 1)[0] == encoder]
    if not mine:
        there = sorted({n.split(".", 1)[0] for n in names})
        raise UsageError(f"nothing is embedded by {encoder!r}", code="no_model",
                         remedy=f"embedded by: {', '.join(there)}")  # fmt: skip
    return mine


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All judged observations, each by the model it is strangest to.

    row, significance : (n,) · name : the embedding · table, at : where its score stands
    """

    row: Rows
    significance: NDArray[np.float64]
    source: NDArray[np.int64]
    at: NDArray[np.int64]
    tables: list[tuple[str, pa.Table]]


def candidates_of(
    archive: Archive, tables: dict[str, pa.Table], where: str | None, out: Outliers
) -> Candidates:
    """All that one or more of the tables (by embedding) judge; what they say goes into `out`."""
    allowed = None if where is None else archive.find(where=where)
    parts: list[tuple[NDArray[Any], ...]] = []
    for number, (name, table) in enumerate(tables.items()):
        rows = archive.rows_of(table.column("uid").to_numpy())
        keep = rows >= 0
        if allowed is not None:
            keep &= np.isin(rows, allowed)
        significance = table.column("significance").to_numpy(zero_copy_only=False).astype(float)
        judged = keep & np.isfinite(significance)
        out.judged[name] = int(judged.sum())
        out.abstained[name] = int(keep.sum()) - out.judged[name]
        meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        out.correlation[name] = float(meta.pop("snr_correlation", "nan"))
        if missing := int(meta.pop("not_searched", "0")):
            out.notes.append(f"{name}: " + (
                "newer spectra are not searched" if archive.restricted else  # some may be hidden
                unsearched(name, missing)))  # fmt: skip
        out.facts[name] = {k: v for k, v in meta.items() if k not in _NOT_FACTS}
        here = np.flatnonzero(judged)
        parts.append((rows[here], significance[here], np.full(here.size, number), here))
    row, significance, source, at = (np.concatenate(c) for c in zip(*parts, strict=True))
    order = np.lexsort((row, -significance))
    _, first = np.unique(row[order], return_index=True)
    best = order[np.sort(first)]
    return Candidates(row[best], significance[best], source[best], at[best], list(tables.items()))


_NOT_FACTS = ("model_id", "weights_hash", "score", "layout", "embedding_version", "catalogue_rows",
              "column")  # fmt: skip


def _answer_all(archive: Archive, found: Candidates, k: int, out: Outliers) -> None:
    bins: Bins | None = None
    order = np.arange(len(found.row))
    if out.bins_of is not None and len(found.row):
        column = column_values(archive, found.row, out.bins_of, "--seen-in-bins-of")
        bins = in_bins(column, found.significance)
        order = bins.order(found.significance)
    explorers: dict[str, Explorer] = {}
    for rank, i in enumerate(order[:k].tolist(), 1):
        name, table = found.tables[int(found.source[i])]
        if name not in explorers:
            explorers[name] = Explorer(archive, name)
            model = explorers[name].model
            out.waves[model.ref.model_id] = model.domain.wave_aa
            out.frames[model.ref.model_id] = model.domain.frame
        record = table.slice(int(found.at[i]), 1).to_pylist()[0]
        answer = strange_one(explorers[name], rank, int(found.row[i]), record, out.score)
        if bins is not None:
            b = int(bins.which[i])
            answer.bin, answer.bin_rank = bins.name[b], int(bins.rank[i])
            answer.bin_size = bins.size[b]
        out.answers.append(answer)


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A spectrum as its model sees it, alone in `batch`, and (1, n_pix) what was expected of it."""

    spectrum: Spectrum
    batch: Prepared
    expected: NDArray[np.float32]


def shown(explorer: Explorer, rows: Rows, score: str) -> dict[int, Shown]:
    """What a score's pictures are made of, by row; rows that no longer fit the model are missing.

    Spectra of one embedding are best asked for together: networks take many at a time.
    """
    archive, model, index = explorer.archive, explorer.model, explorer.index
    spectra = read_for(archive, model.domain, rows)
    batch, _ = explorer.preparer.batch(spectra)
    if not len(batch):
        return {}
    uids = archive.index.value("uid", np.asarray(rows, np.int64)[batch.index])
    vectors = index.vectors(index.rows_of(uids))
    if score in BY_MODEL:
        expected = model.decode(vectors)
    else:
        expected = neighbours_mean(model, vectors, index, uids)
    return {
        int(rows[i]): Shown(spectra[i], batch[n : n + 1], expected[n : n + 1])
        for n, i in enumerate(batch.index.tolist())
    }


def strange_one(
    explorer: Explorer, rank: int, row: int, record: dict[str, Any], score: str,
    seen: Shown | None = None,
) -> Strange:  # fmt: skip
    """One outlier with what was expected of it, where it departs and what that looks like.

    seen : as `shown` gave it. Raises UsageError (not_covered) where it does not fit any more.
    """
    archive, model, domain = explorer.archive, explorer.model, explorer.model.domain
    seen = seen or shown(explorer, np.array([row], np.int64), score).get(row)
    if seen is None:
        raise UsageError("the spectrum does not fit its model any more", code="not_covered",
                         remedy="run `spectrarium embed` again")  # fmt: skip
    spectrum, batch, expected = seen.spectrum, seen.batch, seen.expected
    z = redshift_of(archive, spectrum, row)
    looks = triage(
        domain.wave_aa, batch.flux[0], batch.ivar[0], expected[0], model.scatter,
        frame=domain.frame, z=z, resolving_power=spectrum.observation.em_res_power,
        snr=float(batch.snr[0]),
    )  # fmt: skip
    spiky = looks.reasons[0].name == "cosmic_ray"  # then the spikes are what is to be shown
    residual = residuals(model, batch.flux, batch.ivar, expected, spikes=spiky)[0]
    drivers = regions(domain.wave_aa, residual, MOST_REGIONS)
    lines = ("",) * len(drivers) if spiky else _lines(
        drivers, domain.wave_aa, batch, expected, z, domain.frame)  # fmt: skip
    return Strange(
        row=row, rank=rank, value=record["value"], snr=record["snr"],
        noise_source=record["noise_source"], drivers=drivers, significance=record["significance"],
        reason=record["reason"], model=model.ref.model_id, flux=batch.flux[0], ivar=batch.ivar[0],
        reconstruction=expected[0], expected_by="model" if score in BY_MODEL else "neighbours",
        kind=looks.kind, reasons=looks.reasons, note=record["note"],
        lines=lines,
    )  # fmt: skip


def _lines(
    drivers: tuple[Region, ...], wave: NDArray[Any], batch: Prepared, expected: NDArray[Any],
    z: float | None, frame: str,
) -> tuple[str, ...]:  # fmt: skip
    """For each region the lines that may be behind it."""
    # what is expected has less noise, but its lines would be seen in the spectrum only above this
    pair = Pair(wave, batch.flux[0], batch.ivar[0], expected[0], batch.ivar[0], True)
    at_rest = frame == "rest"
    observer = None if frame == "unknown" or (at_rest and z is None) else 0.0
    if at_rest and z is not None:
        observer = 1.0 / (1.0 + z) - 1.0
    out = []
    for region in drivers:
        found = identify(region, pair, z=0.0 if at_rest else z, observer_z=observer)
        broad = region.hi_aa / region.lo_aa - 1.0 > _BROAD
        named = [f for f in found if f.kind != "continuum" and not (broad and f.kind == "line")]
        guessed = any(not f.certain and f.kind in ("line", "band") for f in named)
        doubt = " if at rest" if guessed else ""
        out.append(", ".join(dict.fromkeys(f.label for f in named)) + doubt)
    return tuple(out)
