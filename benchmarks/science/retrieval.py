"""Does query by example return the query's class? Precision at 10, PCA against raw-pixel χ².

    SPECTRARIUM_DATA=DIR python benchmarks/science/retrieval.py [--out FILE.json]

For each labelled corpus: models are proposed and fitted without labels, every covered spectrum is
a query, its neighbours are all covered spectra of other objects. Precision is the share of the
query's class among its 10 nearest. Settings (20 components, metric power 0.5) were chosen on the
tuning queries (objects whose BLAKE3 hash starts below 77/256, 30 %); figures are of the others.
Intervals are 95 % bootstrap over objects. Raw pixels are compared on the same grid, with the same
normalisation: χ² = mean of (f₁ − f₂)²/(σ₁² + σ₂²) over common pixels.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.derived import Embedding
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Normalisation, Spectrum, UncertaintyKind
from spectrarium.embed.domain import SpectrumSummary
from spectrarium.embed.grouping import propose_models
from spectrarium.embed.pca import PCA
from spectrarium.embed.prepare import Preparer
from spectrarium.explore.neighbours import ExactIndex

K = 10
TUNING_BELOW = 77
MOST = 2_500
"""Raw-pixel χ² is quadratic: larger corpora are cut to a random choice of this many spectra."""

Row = dict[str, str]


@dataclass(frozen=True)
class Corpus:
    """A pool and its class label; None = not labelled, left out."""

    name: str
    label: Callable[[Row], str | None]
    specsys: SpecSys = SpecSys.HELIOCEN
    normalisation: Normalisation = Normalisation.UNKNOWN


def letter(row: Row) -> str | None:
    """Spectral class letter; MILES prefixes dwarfs and subdwarfs with d, sd and the like."""
    found = re.match(r"\s*[a-z]*([OBAFGKM])", row["obj_subclass"])
    return found.group(1) if found else None


def supernova(row: Row) -> str | None:
    """Ia, Ib, Ic, II, IIP, IIb, IIn …: the type before the dash."""
    return row["obj_subclass"].split("-")[0] or None if row["obj_class"] == "SN" else None


CORPORA = (
    Corpus("sdss_boss_pool", lambda row: row["obj_class"] or None),
    Corpus("miles_stars", letter, SpecSys.SOURCE),
    Corpus("lamost_lrs_pool", letter),
    Corpus("snid_templates", supernova, SpecSys.SOURCE, Normalisation.CONTINUUM_SUBTRACTED),
)


def load(root: Path, corpus: Corpus) -> tuple[list[Spectrum], list[str], list[str]]:
    """Spectra, labels and object ids of a pool."""
    spec = importlib.util.spec_from_file_location("pool", root / "pool.py")
    assert spec is not None
    assert spec.loader is not None
    pool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pool)
    store = pool.Store(corpus.name)
    spectra, labels, objects = [], [], []
    with (root / corpus.name / "index.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            label = corpus.label(row)
            if label is None:
                continue
            wave, flux, error = store[row["spec_id"]]
            spectra.append(_spectrum(corpus, row, wave, flux, error))
            labels.append(label)
            objects.append(row["object_id"])
    return spectra, labels, objects


def _spectrum(corpus: Corpus, row: Row, wave: Any, flux: Any, error: Any) -> Spectrum:
    medium = {"v": Medium.VACUUM, "a": Medium.AIR}.get(row["wave_frame"][:1], Medium.UNKNOWN)
    known = bool(np.isfinite(error).any())
    return Spectrum(
        axis=SpectralAxis("Angstrom", np.asarray(wave, "f8"), medium=medium,
                          specsys=corpus.specsys),
        flux=flux,
        observation=Observation(corpus.name, row["spec_id"],
                                em_res_power=float(row["resolution"] or "nan") or None
                                if row["resolution"] else None),
        provenance=Provenance(corpus.name, "pool"),
        uncertainty=error if known else None,
        uncertainty_kind=UncertaintyKind.STD if known else UncertaintyKind.NONE,
        flux_unit="erg / (s cm2 Angstrom)",
        normalisation=corpus.normalisation,
    )  # fmt: skip


def chi2_matrix(flux: Any, ivar: Any) -> Any:
    """(n, n) mean squared difference in units of its variance."""
    variance = np.where(ivar > 0, 1.0 / np.maximum(ivar, 1e-12), np.inf).astype(np.float32)
    out = np.empty((len(flux), len(flux)), dtype=np.float32)
    for i in range(len(flux)):
        weight = 1.0 / (variance[i] + variance)
        total = (weight * (flux[i] - flux) ** 2).sum(axis=1)
        out[i] = total / np.maximum((weight > 0).sum(axis=1), 1)
    return out


def precision(order: Any, labels: Any) -> Any:
    """(n,) share of the first K that have the query's label."""
    return (labels[order[:, :K]] == labels[:, None]).mean(axis=1)


def by_pca(model: PCA, vectors: Any, objects: Any) -> Any:
    """(n, K) nearest rows of other objects: asks for enough to skip the object's own visits."""
    index = ExactIndex(Embedding(model.ref, vectors, np.arange(len(vectors))), model.metric_scale())
    most = int(np.bincount(objects).max())
    found = index.search(vectors, min(K + most, len(vectors)), model=model.ref).obs_uid
    return np.array([ids[objects[ids] != own][:K] for ids, own in zip(found, objects, strict=True)])


def by_matrix(distance: Any, objects: Any) -> Any:
    """(n, K) the same from a matrix of distances."""
    other = np.where(objects[:, None] == objects, np.inf, distance)
    return np.argsort(other, axis=1, kind="stable")[:, :K]


def interval(values: Any, objects: Any, rng: np.random.Generator) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval, objects resampled whole."""
    unique, where = np.unique(objects, return_inverse=True)
    total, count = np.bincount(where, weights=values), np.bincount(where)
    draws = rng.integers(0, unique.size, (2000, unique.size))
    means = total[draws].sum(axis=1) / count[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def run(root: Path, corpus: Corpus) -> dict[str, Any]:
    """One row of the table."""
    rng = np.random.default_rng(0)
    spectra, labels, objects = load(root, corpus)
    chosen = np.sort(rng.permutation(len(spectra))[:MOST])
    spectra = [spectra[i] for i in chosen]
    proposal = propose_models([SpectrumSummary.of(s) for s in spectra])
    best = max(proposal.models, key=lambda m: len(m.members))
    batch, _ = Preparer(best.domain).batch([spectra[i] for i in best.members])
    rows = chosen[np.array(best.members)[batch.index]]
    y = np.array([labels[i] for i in rows])
    names = [objects[i] for i in rows]
    own = np.unique(names, return_inverse=True)[1]
    test = np.array([blake3(name.encode()).digest()[0] >= TUNING_BELOW for name in names])
    model = PCA(best.domain)
    model.fit(lambda: [batch])
    vectors = model.encode(batch.flux, batch.ivar).vectors
    other = own[:, None] != own
    chance = ((y[:, None] == y) & other).sum(axis=1) / other.sum(axis=1)
    methods = {
        "pca": precision(by_pca(model, vectors, own), y),
        "raw_chi2": precision(by_matrix(chi2_matrix(batch.flux, batch.ivar), own), y),
        "chance": chance,
    }
    return {
        "corpus": corpus.name, "model": best.name, "n_spectra": len(y),
        "n_objects": len(set(names)), "n_queries": int(test.sum()),
        "left_out": len(spectra) - len(y),
        "classes": {str(c): int((y == c).sum()) for c in np.unique(y)},
        "tuning_pca": float(methods["pca"][~test].mean()),
        "precision_at_10": {
            name: interval(value[test], own[test], rng) for name, value in methods.items()
        },
        "pca_minus_raw": interval((methods["pca"] - methods["raw_chi2"])[test], own[test], rng),
        "pca_per_class": {
            str(c): float(methods["pca"][test & (y == c)].mean()) for c in np.unique(y[test])
        },
    }  # fmt: skip


def table(results: list[dict[str, Any]]) -> str:
    """Markdown."""

    def show(triple: tuple[float, float, float]) -> str:
        return f"{triple[0]:.3f} ({triple[1]:.3f}–{triple[2]:.3f})"

    lines = ["| corpus | classes | queries | PCA | raw-pixel χ² | chance | PCA − χ² |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for r in results:
        p = r["precision_at_10"]
        lines.append(
            f"| {r['corpus']} | {len(r['classes'])} | {r['n_queries']} | {show(p['pca'])} "
            f"| {show(p['raw_chi2'])} | {p['chance'][0]:.3f} | {show(r['pca_minus_raw'])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table; write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results/retrieval.json"
    )
    parser.add_argument("--corpus", action="append", choices=[c.name for c in CORPORA])
    args = parser.parse_args()
    data = os.environ.get("SPECTRARIUM_DATA", "")
    if not Path(data, "pool.py").is_file():
        sys.exit("SPECTRARIUM_DATA names no folder of labelled pools")
    results = [run(Path(data), c) for c in CORPORA if not args.corpus or c.name in args.corpus]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
