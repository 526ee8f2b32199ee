"""What is like a spectrum, and why, in plain values for whoever draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.spectrum import Spectrum
from ..embed.domain import ModelDomain, SpectrumSummary
from ..explore.explain import Explanation
from ..measure.lines import WIDTH_KMS
from ..store.archive import Archive
from .answers import Answer, Similar
from .explorer import Explorer, candidates
from .redshifts import at_its_redshift, redshifts
from .similar import similar

POINTS_MOST = 1500
K_MOST = 100
Explorers = Callable[[str], Explorer]
Domains = Callable[[str], ModelDomain]


@dataclass(frozen=True, slots=True)
class Likeness:
    """How likeness is measured: the options of `run.similar.similar`."""

    k: int = 12
    model: str | None = None
    encoder: str | None = None
    window: tuple[float, float] | None = None
    line: str | None = None
    width_kms: float = WIDTH_KMS
    rest: bool = False
    rerank: bool = False
    where: str | None = None
    redshift: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.k <= K_MOST:
            raise UsageError(f"k is {self.k}", code="bad_parameter", where="k",
                             remedy=f"ask for 1 to {K_MOST}")  # fmt: skip

    @property
    def by_pixels(self) -> bool:
        """Whether pixels alone decide."""
        return self.rest or self.window is not None or self.line is not None


def kin(
    archive: Archive, spectrum: Spectrum, row: int | None, how: Likeness, *,
    explorers: Explorers, domains: Domains, identifier: str = "",
) -> dict[str, Any]:  # fmt: skip
    """The spectra most like one, with what they share and where they differ.

    Arrays are means of blocks of the model's pixels, `POINTS_MOST` at most; NaN = no information.

    Parameters
    ----------
    row : of the archive, None for a stranger · explorers, domains : by name of an embedding
    Raises
    ------
    UsageError : see `run.similar.similar`
    """
    covering = covered_by(archive, spectrum, row, domains, how.encoder)
    explorer = None
    if how.model is not None:
        explorer = explorers(how.model)
    elif covering and not how.by_pixels:
        explorer = explorers(covering[0])
    found = similar(
        archive, spectrum, how.k, where=how.where, model=how.model or
        (explorer.name if explorer is not None else None), encoder=how.encoder, explorer=explorer,
        window=how.window, line=how.line, width_kms=how.width_kms, rest=how.rest,
        rerank=how.rerank, redshift=how.redshift, explain=True, exact=archive.restricted,
    )  # fmt: skip
    return _record(archive, found, identifier) | {"models": covering}


def covered_by(
    archive: Archive, spectrum: Spectrum, row: int | None, domains: Domains,
    encoder: str | None = None,
) -> list[str]:  # fmt: skip
    """Embeddings whose model covers a spectrum, the one to ask first coming first."""
    if spectrum.flux.ndim != 1 or spectrum.mask.all():
        return []
    facts = SpectrumSummary.of(at_its_redshift(archive, spectrum, row))
    try:
        names = candidates(archive, encoder)
    except UsageError:
        return []
    return [name for name in names if domains(name).covers(facts)[0]]


def _record(archive: Archive, found: Similar, identifier: str) -> dict[str, Any]:
    every = max(1, -(-len(found.wave_aa) // POINTS_MOST))
    rows = [a.row for a in found.answers]
    names = ["obs_collection", "obs_id", "target_name", "s_ra", "s_dec", "t_min"]
    facts = archive.catalogue(rows, names).to_pylist()
    classes = archive.classes(rows)
    z = redshifts(archive, np.array(rows, np.int64))
    uids = archive.index.value("uid", np.array(rows, np.int64))
    query = means(found.query_flux, found.query_ivar > 0, every)
    return {
        "id": identifier, "model": found.model, "metric": found.metric, "search": found.search,
        "searched": found.searched, "frame": found.frame, "notes": found.notes,
        "left_out": found.left_out, "redshift": found.redshift,
        "wave_aa": means(found.wave_aa, np.ones(len(found.wave_aa), bool), every, np.float64),
        "query": {"flux": query, "sigma": _sigma(found.query_ivar, every)},
        "answers": [
            {
                "row": a.row, "uid": int(uid), "rank": a.rank, "value": a.value,
                "pixel_distance": a.pixel_distance, "chi2": a.chi2, "snr": a.snr,
                "id": f"{f['obs_collection']}:{f['obs_id']}", "target_name": f["target_name"],
                "s_ra": f["s_ra"], "s_dec": f["s_dec"], "t_min": f["t_min"], "class": kind,
                "redshift": float(zed), "noise_source": a.noise_source, "reason": a.reason,
            } | _explained(a, found, every)
            for a, f, kind, zed, uid in zip(found.answers, facts, classes, z, uids, strict=True)
        ],
    }  # fmt: skip


def _explained(answer: Answer, found: Similar, every: int) -> dict[str, Any]:
    """The answer's flux, its difference from the query, and what that says."""
    there = answer.ivar > 0
    both = there & (found.query_ivar > 0)
    out: dict[str, Any] = {
        "flux": means(answer.flux, there, every),
        "difference": means(found.query_flux - answer.flux, both, every),
        "why": None, "sigma": None, "likeness": None, "because": [], "alike": [],
        "drivers": [_region(r.lo_aa, r.hi_aa, r.contribution, r.sign, []) for r in answer.drivers],
    }  # fmt: skip
    e = answer.explanation
    return out if e is None else out | _why(e, both, every)


def _why(e: Explanation, both: NDArray[np.bool_], every: int) -> dict[str, Any]:
    trace = e.trace.coarser(every) if every > 1 else e.trace
    return {
        "why": trace.contribution, "sigma": means(e.trace.difference, both, every),
        "likeness": trace.likeness, "because": e.sentences(), "alike": e.likenesses(),
        "drivers": [
            _region(r.lo_aa, r.hi_aa, r.contribution, r.sign, [i.text for i in named])
            | {"lines": [i.label for i in named]}
            for r, named in e.named
        ],
        "components": [{"component": c, "share": s} for c, s in e.components],
    }  # fmt: skip


def _region(
    lo_aa: float, hi_aa: float, contribution: float, sign: int, texts: list[str]
) -> dict[str, Any]:
    return {"lo_aa": lo_aa, "hi_aa": hi_aa, "contribution": contribution, "sign": sign,
            "texts": texts, "lines": []}  # fmt: skip


def means(
    values: NDArray[Any], there: NDArray[np.bool_], every: int, kind: Any = np.float32
) -> NDArray[Any]:
    """Means of blocks of `every` over what is there; NaN where nothing is."""
    starts = np.arange(0, len(values), every)
    total = np.add.reduceat(np.where(there, values, 0.0), starts)
    count = np.add.reduceat(there.astype(np.int64), starts)
    mean = np.divide(total, count, out=np.full(len(starts), np.nan), where=count > 0)
    return np.asarray(mean, kind)


def _sigma(ivar: NDArray[Any], every: int) -> NDArray[Any]:
    """Typical σ of a pixel, block by block."""
    there = ivar > 0
    sigma = np.zeros(len(ivar))
    np.power(ivar, -0.5, out=sigma, where=there)
    return means(sigma, there, every)
