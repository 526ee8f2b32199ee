"""The benchmark as one table in Markdown, with the conditions under it; and as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from .benchmark import CHANCE, RAW, Evaluation
from .bootstrap import Interval, Measured, difference, interval
from .judging import MOST_PIXELS
from .results import Result, code_fingerprint
from .retrieval import MOST_ASKED
from .tagged import SURER

_SCORES = ("combined", "reconstruction", "density", "weirdness")
_LOWER = ("MAE", "tag σ", "R²")
"""Measures of which less is better."""
_EMPTY = "–"


def measure_names(evaluation: Evaluation, corpus: str) -> list[str]:
    """All measures that any method has on a corpus, in the table's order."""
    found: dict[str, None] = {}
    for (c, _, _), result in evaluation.results.items():
        if c == corpus:
            found |= dict.fromkeys(result.measures)
    return sorted(found, key=_place)


def _place(name: str) -> tuple[int, str]:
    order = ["precision", "MAE", *(f"planted recall@1% {s}" for s in _SCORES),
             *(f"planted AP {s}" for s in _SCORES),
             *(f"planted recall@1% among stars: {s}" for s in _SCORES),
             *(f"planted AP among stars: {s}" for s in _SCORES), "wrong z", "R²", "tag σ",
             "tag bias", "tag"]  # fmt: skip
    return next(i for i, start in enumerate(order) if name.startswith(start)), name


def summary(evaluation: Evaluation, corpus: str, method: str, measure: str) -> Interval | None:
    """Value and interval of a measure over all seeds that have it; None where none has."""
    key = ("value", corpus, method, measure)
    if key not in evaluation.intervals:
        evaluation.intervals[key] = _summary(evaluation.of(corpus, method), measure)
    found: Interval | None = evaluation.intervals[key]
    return found


def _summary(results: list[Result], measure: str) -> Interval | None:
    covered = _coverage(results, measure)
    if covered is not None:
        return covered
    found = _measured(results, measure)
    return interval(found) if found else None


def paired(
    evaluation: Evaluation, corpus: str, method: str, measure: str, other: str = "pca"
) -> Interval | None:
    """Difference to another method on the same spectra; None where it has no meaning."""
    key = ("difference", corpus, method, measure, other)
    if key not in evaluation.intervals:
        mine = _measured(evaluation.of(corpus, method), measure)
        theirs = _measured(evaluation.of(corpus, other), measure)
        apart = method in (other, CHANCE) or " coverage " in measure or measure.endswith(SURER)
        apart = apart or not mine or not theirs or mine[0].statistic != "mean"
        evaluation.intervals[key] = None if apart else difference(mine, theirs)
    found: Interval | None = evaluation.intervals[key]
    return found


def _measured(results: list[Result], measure: str) -> list[Measured]:
    return [r.measures[measure] for r in results if measure in r.measures]


def _coverage(results: list[Result], measure: str) -> Interval | None:
    """Share of objects covered, with its binomial interval: not a bootstrap's."""
    if " coverage " not in measure:
        return None
    label, level = measure.removeprefix("tag ").split(" coverage ")
    for result in results:
        for row in result.facts.get("coverage", {}).get(label, []):
            if row["bin"] == "all" and f"{row['nominal']:.0%}" == level:
                return Interval(row["share"], row["low"], row["high"], row["n_objects"])
    return None


def better(measure: str, change: Interval) -> int:
    """+1 where a difference to PCA is an improvement beyond its interval, −1 a loss, else 0."""
    sign = -1 if measure.startswith(_LOWER) else 1
    if change.low > 0:
        return sign
    return -sign if change.high < 0 else 0


def number(value: float, measure: str) -> str:
    """As many digits as the measure deserves."""
    if not np.isfinite(value):
        return _EMPTY
    text = f"{value:.0f}" if "teff" in measure and "coverage" not in measure else f"{value:.3f}"
    return text.replace("-", "−")


def _cell(evaluation: Evaluation, corpus: str, method: str, measure: str) -> str:
    error = evaluation.error(corpus, method)
    if error:
        return "failed"
    found = summary(evaluation, corpus, method, measure)
    if found is None:
        return _EMPTY
    text = number(found.value, measure)
    if method != CHANCE:
        text += f" ({number(found.low, measure)} … {number(found.high, measure)})"
    change = paired(evaluation, corpus, method, measure)
    if change is not None:
        plus = "+" if change.value >= 0 else "−"
        gap = (f"Δ {plus}{number(abs(change.value), measure)} ({_signed(change.low, measure)} … "
               f"{_signed(change.high, measure)})")  # fmt: skip
        text += {1: f" **{gap}**", -1: f" *{gap}*"}.get(better(measure, change), f" {gap}")
    return text


def _signed(value: float, measure: str) -> str:
    return ("+" if value >= 0 else "−") + number(abs(value), measure)


def markdown(evaluation: Evaluation) -> str:
    """The table, what failed, coverage by S/N, and the conditions."""
    methods = [CHANCE, RAW, *evaluation.plan.encoders]
    lines = ["| corpus | measure | objects | " + " | ".join(methods) + " |",
             "|---|---|---|" + "---|" * len(methods)]  # fmt: skip
    for corpus in evaluation.corpora:
        for measure in measure_names(evaluation, corpus):
            cells = [_cell(evaluation, corpus, m, measure) for m in methods]
            n = _n_objects(evaluation, corpus, methods, measure)
            lines.append(f"| {corpus} | {measure} | {n} | {' | '.join(cells)} |")
        lines += _speed_rows(evaluation, corpus, methods)
    parts = ["\n".join(lines), *_failures(evaluation)]
    coverage = list(_coverage_rows(evaluation))
    if coverage:
        head = ("| corpus | encoder | label | S/N | objects | σ | bias | 68 % | 90 % | 95 % |\n"
                "|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
        parts.append("Tags by S/N (share covered, 95 % binomial interval by object; **bold**: the "
                     "nominal value is excluded, Holm-corrected over the bins)\n\n"
                     + "\n".join([head, *coverage]))  # fmt: skip
    kinds = list(_kind_rows(evaluation))
    if kinds:
        head = "| corpus | score | kind | encoder: recall at 1 % |\n|---|---|---|---|"
        parts.append("Planted oddities by kind, mean of the seeds\n\n" + "\n".join([head, *kinds]))
    return "\n\n".join([*parts, conditions(evaluation)]) + "\n"


def _n_objects(evaluation: Evaluation, corpus: str, methods: list[str], measure: str) -> str:
    for method in reversed(methods):
        found = summary(evaluation, corpus, method, measure)
        if found is not None:
            return str(found.n_objects)
    return _EMPTY


def _speed_rows(evaluation: Evaluation, corpus: str, methods: list[str]) -> list[str]:
    rows = []
    for name, key in (("fit, s", "fit_s"), ("encoding, spectra/s", "encode_per_s")):
        cells = []
        for method in methods:
            values = [r.facts[key] for r in evaluation.of(corpus, method) if key in r.facts]
            cells.append(f"{np.mean(values):.3g}" if values else _EMPTY)
        rows.append(f"| {corpus} | {name} |  | {' | '.join(cells)} |")
    return rows


def _failures(evaluation: Evaluation) -> Iterator[str]:
    lines = [
        f"- {corpus} · {method}: {evaluation.error(corpus, method)}"
        for corpus in evaluation.corpora
        for method in evaluation.plan.encoders
        if evaluation.error(corpus, method)
    ]
    lines += [f"- {corpus}: left out: {why}" for corpus, why in evaluation.missing.items()]
    reasons: dict[str, None] = {}
    for (corpus, _, _), result in evaluation.results.items():
        for key, what in (("no_tags", "no tags of"), ("no_probe", "no probe of")):
            for name, why in result.facts.get(key, {}).items():
                reasons[f"- {corpus}: {what} {name}: {why}"] = None
    lines += list(reasons)
    if lines:
        yield "What is not there, and why\n\n" + "\n".join(lines)


def _kind_rows(evaluation: Evaluation) -> Iterator[str]:
    for corpus in evaluation.corpora:
        found: dict[tuple[str, str], dict[str, list[float]]] = {}
        for method in evaluation.plan.encoders:
            for result in evaluation.of(corpus, method):
                for score, kinds in result.facts.get("recall_by_kind", {}).items():
                    for kind, recall in kinds.items():
                        by_method = found.setdefault((score, kind), {})
                        by_method.setdefault(method, []).append(recall)
        for (score, kind), recalls in found.items():
            cells = [f"{method} {np.mean(values):.2f}" for method, values in recalls.items()]
            yield f"| {corpus} | {score} | {kind.replace('_', ' ')} | {', '.join(cells)} |"


def _coverage_rows(evaluation: Evaluation) -> Iterator[str]:
    for (corpus, method, _), result in sorted(evaluation.results.items()):
        for label, rows in result.facts.get("coverage", {}).items():
            bins: dict[str, list[dict[str, Any]]] = {}
            for row in rows:
                bins.setdefault(row["bin"], []).append(row)
            for name, levels in bins.items():
                first = levels[0]
                cells = [_covered_cell(row) for row in levels]
                sigma, bias = (_EMPTY if first[k] is None else number(first[k], label)
                               for k in ("sigma", "bias"))  # fmt: skip
                yield (f"| {corpus} | {method} | {label} | {name} | {first['n_objects']} | "
                       f"{sigma} | {bias} | {' | '.join(cells)} |")  # fmt: skip


def _covered_cell(row: dict[str, Any]) -> str:
    share = f"{100 * row['share']:.1f}"
    share = f"**{share}**" if row["p"] < 0.05 else share
    return f"{share} ({100 * row['low']:.1f}–{100 * row['high']:.1f})"


def _heads(names: tuple[str, ...]) -> str:
    return f"{names[0]} head" if len(names) == 1 else f"the best head of {', '.join(names)}"


def conditions(evaluation: Evaluation) -> str:
    """How the numbers came about, in a few lines."""
    plan = evaluation.plan
    effort = plan.effort
    seeds, steps = _each(plan.seeds, plan.own_seeds), _each(effort.steps, plan.own_steps)
    lines = [
        f"Conditions. spectrarium {version('spectrarium')}, code {code_fingerprint()}; {seeds} "
        "seeds (tags: the first); intervals are 95 % bootstrap over objects and "
        "seeds, of coverage 95 % binomial; Δ is the paired "
        "difference to PCA, bold where it is an improvement beyond its interval, italic where it "
        "is a loss.",
        "Splits are by object, by the first byte of BLAKE3 of its name: train < 154 (mock survey: "
        "< 124), test the others. Encoders are fitted without labels on train objects (8,000 "
        "spectra at most); queries are test objects' spectra, answers come from all spectra of "
        f"other objects; of more than {MOST_ASKED:,} queries a random choice is asked.",
        f"Raw pixels: neighbours by χ², {effort.raw} queries at most; density by distance between "
        "spectra; tags of numbers by the same heads, but no trees, on "
        f"{MOST_PIXELS:,} means of pixels. "
        "Probes of nuisances are shown the axes that distances feel. "
        f"Networks: {steps} steps at most, "
        f"one epoch at least. Oddities planted into test spectra: {effort.per_kind} of each kind, "
        "1 % of the population at a time; combined = rank combination of reconstruction and "
        "density, each against what is usual at its S/N. "
        f"Tags: {_heads(effort.heads)}, conformal; real corpora in five rotations by "
        'object; "z of all" are the redshifts of all but sky; "surer than right" is the mean '
        "probability of the class that is told, less the share that is right; sets of classes are "
        "never empty, so that where nearly all are right the smaller levels hold more than they "
        "say. "
        f"Weirdness: one forest of {effort.trees} trees. wrong z recall: of good spectra with a "
        "wrong catalogue redshift, found by disagreement with neighbours, looking at as many as "
        "are wrong.",
    ]
    for name, about in evaluation.corpora.items():
        odd = ", ".join(f"{n} {k.replace('_', ' ')}" for k, n in about.oddities.items())
        lines.append(
            f"- {name}: {about.about}; {about.n} spectra on {about.pixels} pixels "
            f"({about.left_out} not covered), {about.n_test} of {about.n_test_objects} objects "
            f"held out; label: {about.label_name}; odd: {odd or 'none'}"
        )
    return "\n".join([*lines[:3], "", *lines[3:]])


def _each(rest: int, own: tuple[tuple[str, int], ...]) -> str:
    """``3 (conv: 1)``."""
    return f"{rest} ({', '.join(f'{k}: {v}' for k, v in own)})" if own else str(rest)


def record(evaluation: Evaluation) -> dict[str, Any]:
    """Everything as values that JSON knows; what is not finite is null."""
    methods = [CHANCE, RAW, *evaluation.plan.encoders]
    rows = []
    for corpus in evaluation.corpora:
        for measure in measure_names(evaluation, corpus):
            row: dict[str, Any] = {"corpus": corpus, "measure": measure}
            for method in methods:
                found = summary(evaluation, corpus, method, measure)
                row[method] = None if found is None else found.record() | {
                    name: None if change is None else change.record()
                    for name, change in _changes(evaluation, corpus, method, measure)
                }  # fmt: skip
            rows.append(row)
    plan = asdict(evaluation.plan)
    plan["data"] = None if evaluation.plan.data is None else evaluation.plan.data.name
    runs = [
        {"corpus": c, "method": m, "seed": s, "error": r.error or None, **r.facts}
        for (c, m, s), r in sorted(evaluation.results.items())
    ]
    out: dict[str, Any] = _plain({
        "version": version("spectrarium"), "code": code_fingerprint(),
        "seconds": round(evaluation.seconds, 1), "plan": plan,
        "corpora": {k: asdict(v) for k, v in evaluation.corpora.items()},
        "missing": evaluation.missing, "rows": rows, "runs": runs,
    })  # fmt: skip
    return out


def _changes(
    evaluation: Evaluation, corpus: str, method: str, measure: str
) -> Iterator[tuple[str, Interval | None]]:
    """What a method's value is compared with: PCA's, and of nuisances what pixels tell."""
    yield "minus_pca", paired(evaluation, corpus, method, measure)
    if measure.startswith("R²"):
        yield "minus_raw", paired(evaluation, corpus, method, measure, RAW)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
