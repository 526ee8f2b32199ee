"""What does the triage of `outliers --explain` call oddities whose kind is known?

    python benchmarks/science/triage.py [--per-kind N] [--spectra N] [--seed N] [--out FILE.json]

PCA is fitted on a mock survey. Another survey, one seed further, holds N oddities of each kind,
and N stars, galaxies and quasars that are ordinary; oddities of the kinds that `evaluate` plants
into real spectra are put into held-out stars of the first as well (a join of arms anywhere, other
strengths and widths of lines). The triage sees each beside what was expected of it: the mean of
its ten nearest, as with the scores `combined` and `density`, or what the model makes of it, as
with `reconstruction`. The seeds are used nowhere else; thresholds were chosen on another survey.
Writes results/triage.json and results/triage.md beside this file.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from support.record import RESULTS, table, write

from spectrarium.domain.derived import Embedding
from spectrarium.domain.progress import Silent
from spectrarium.embed.encoder import Encoder
from spectrarium.embed.prepare import Prepared, Preparer
from spectrarium.evaluate.corpus import Corpus
from spectrarium.evaluate.fitting import encoded, fitted, made
from spectrarium.evaluate.mock_corpus import DOMAIN, as_spectrum, mock_corpus
from spectrarium.evaluate.planting import plant
from spectrarium.evaluate.real import STELLAR_KINDS
from spectrarium.explore.conformal import binomial_interval
from spectrarium.explore.neighbours import ExactIndex
from spectrarium.explore.scores import neighbours_mean
from spectrarium.explore.triage import ARTEFACT, ASTROPHYSICAL, UNCLEAR, triage
from spectrarium.mock.oddities import FAULTS, ODDITIES
from spectrarium.mock.survey import MockSpectrum, MockSurvey

SEED = 2026
VERDICTS = (ARTEFACT, ASTROPHYSICAL, UNCLEAR)
NEITHER = ("wrong_redshift",)
"""Another velocity or a wrong calibration: nobody can say which."""
EXPECTED_BY = ("neighbours", "model")


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Spectra to judge, prepared. planted : by whom · kind : (n,) · z : (n,), NaN = unknown
    power : (n,) resolving power · own : (n,) row of the index that is no neighbour, −1 = none"""

    planted: str
    batch: Prepared
    kind: list[str]
    z: list[float]
    power: list[float]
    own: np.ndarray


def of_survey(survey: MockSurvey) -> Iterator[Cases]:
    """All of a mock survey, a few at a time; ordinary spectra are named by their class, bad joins
    by where the arms meet."""
    preparer = Preparer(DOMAIN)
    for piece in survey.pieces():
        some = list(survey.make(piece))
        batch, _ = preparer.batch([as_spectrum(m.instrument, m.exposure) for m in some])
        some = [some[i] for i in batch.index]
        yield Cases("mock survey", batch, [_kind(m) for m in some],
                    [m.truth.pipeline_z for m in some],
                    [m.instrument.resolving_power for m in some],
                    np.full(len(some), -1))  # fmt: skip


def _kind(made: MockSpectrum) -> str:
    oddity = made.truth.oddity
    if oddity == "bad_join":
        return f"{oddity} at {made.instrument.join_aa:.0f} Å"
    return oddity or f"ordinary {made.truth.obj_class}"


def of_evaluate(corpus: Corpus, per_kind: int, seed: int) -> Iterator[Cases]:
    """What `evaluate` plants into stars, put into those of the corpus that are held out."""
    stars = corpus.label == "STAR"
    hosts = replace(corpus, kinds=STELLAR_KINDS, test=corpus.test & stars & (corpus.oddity == ""))
    planted = plant(hosts, per_kind, seed)
    low, high = DOMAIN.resolution
    for start in range(0, len(planted), 64):
        rows = slice(start, start + 64)
        host = planted.host[rows]
        yield Cases("evaluate", planted.batch[rows], planted.kind[rows].tolist(),
                    corpus.z[host].tolist(), [float(np.sqrt(low * high))] * len(host),
                    host)  # fmt: skip


def judged(cases: Cases, model: Encoder, index: ExactIndex) -> Iterator[tuple[str, str, str, str]]:
    """By what was expected, kind, verdict and first reason of each, as `outliers` judges."""
    batch = cases.batch
    vectors = model.encode(batch.flux, batch.ivar).vectors
    expected = {"neighbours": neighbours_mean(model, vectors, index, cases.own),
                "model": model.decode(vectors)}  # fmt: skip
    for by in EXPECTED_BY:
        for n, kind in enumerate(cases.kind):
            z = cases.z[n]
            looks = triage(
                DOMAIN.wave_aa, batch.flux[n], batch.ivar[n], expected[by][n], model.scatter,
                frame=DOMAIN.frame, z=z if np.isfinite(z) else None,
                resolving_power=cases.power[n], snr=float(batch.snr[n]),
            )  # fmt: skip
            yield by, kind, looks.kind, looks.reasons[0].name


def measured(per_kind: int, spectra: int, seed: int) -> list[dict[str, Any]]:
    """Verdicts by what was expected, who planted, and kind: counts, shares with their interval."""
    corpus = mock_corpus(spectra, seed)
    model = made("pca", corpus, 0, 0)
    fitted(model, corpus, "cpu", None, Silent())
    code, _ = encoded(model, corpus.batch)
    index = ExactIndex(Embedding(model.ref, code.vectors, np.arange(len(corpus))),
                       model.metric_scale())  # fmt: skip
    survey = MockSurvey(seed + 1, per_kind, per_kind, per_kind, 0, per_kind * len(ODDITIES))
    verdicts: Counter[tuple[str, str, str, str]] = Counter()
    reasons: dict[tuple[str, str, str], Counter[str]] = {}
    for source in (of_survey(survey), of_evaluate(corpus, per_kind, seed)):
        for cases in source:
            for by, kind, verdict, reason in judged(cases, model, index):
                key = by, cases.planted, kind
                verdicts[*key, verdict] += 1
                reasons.setdefault(key, Counter())[reason] += 1
    return [_row(key, verdicts, first) for key, first in sorted(reasons.items(), key=_place)]


def _place(entry: tuple[tuple[str, str, str], Any]) -> tuple[Any, ...]:
    by, planted, kind = entry[0]
    return EXPECTED_BY.index(by), planted == "evaluate", kind.startswith("ordinary"), kind


def _row(
    key: tuple[str, str, str], verdicts: Counter[tuple[str, str, str, str]], first: Counter[str]
) -> dict[str, Any]:
    by, planted, kind = key
    n = first.total()
    share = {}
    for verdict in VERDICTS:
        hits = verdicts[*key, verdict]
        low, high = binomial_interval(hits, n)
        share[verdict] = {"count": hits, "share": hits / n, "low": low, "high": high}
    return {"expected_by": by, "planted_by": planted, "kind": kind, "n": n, **share,
            "first_reasons": dict(first.most_common(3))}  # fmt: skip


def right(kind: str) -> str:
    """The verdict that a kind deserves, '' = none."""
    if kind in NEITHER or kind.startswith("ordinary"):
        return ""
    return ARTEFACT if kind.startswith(FAULTS) else ASTROPHYSICAL


def told(rows: list[dict[str, Any]]) -> str:
    """The tables."""
    parts = []
    for by, title in (("neighbours", "the mean of its ten nearest (`combined`, `density`)"),
                      ("model", "what the model makes of it (`reconstruction`)")):  # fmt: skip
        cells = []
        for row in (r for r in rows if r["expected_by"] == by):
            said = [_cell(row[v], v == right(row["kind"])) for v in VERDICTS]
            names = ", ".join(f"{k} {v}" for k, v in row["first_reasons"].items())
            cells.append((row["planted_by"], row["kind"].replace("_", " "), row["n"], *said, names))
        head = ("planted by", "kind", "n", *VERDICTS, "first reasons")
        parts.append(f"Expected of each: {title}.\n\n{table(head, cells)}")
    return "\n\n".join(parts) + "\n\nShares in % with 95 % binomial intervals; **bold**: right."


def _cell(entry: dict[str, Any], good: bool) -> str:
    share, low, high = (f"{100 * entry[k]:.0f}" for k in ("share", "low", "high"))
    return f"**{share}** ({low}–{high})" if good else f"{share} ({low}–{high})"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-kind", type=int, default=220)
    parser.add_argument("--spectra", type=int, default=8_000, help="of the survey PCA is fitted on")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quick", action="store_true", help="few spectra: does it work?")
    parser.add_argument("--out", type=Path, default=RESULTS / "triage.json")
    args = parser.parse_args()
    per_kind, spectra = (4, 300) if args.quick else (args.per_kind, args.spectra)
    began = perf_counter()
    rows = measured(per_kind, spectra, args.seed)
    record = {"seconds": round(perf_counter() - began, 1), "quick": args.quick,
              "per_kind": per_kind, "spectra": spectra, "seed": args.seed,
              "rows": rows}  # fmt: skip
    write(args.out, record, told(rows))


if __name__ == "__main__":
    main()
