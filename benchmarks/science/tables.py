"""Writes what `spectrarium evaluate --out` recorded into the tables of `docs/science.md`.

    python benchmarks/science/tables.py RECORD.json …

Rows and columns that the records lack stay as they are. Of a record without patch, which is one of
ablations, the first table takes the columns of these alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spectrarium.evaluate.bootstrap import Interval
from spectrarium.evaluate.table import better, number

SCIENCE = Path(__file__).parents[2] / "docs" / "science.md"
FIRST = ("precision", "MAE", "planted recall", "wrong z")
"""Measures of the first table."""
NOT_ABLATED = ("corpus", "measure", "chance", "raw pixels", "pca")
AMONG = "planted recall@1% among stars: "
Row = dict[str, Any]


def interval(found: Row) -> Interval:
    """What a record says of a value, without what it is compared with."""
    return Interval(**{k: v for k, v in found.items() if not k.startswith("minus_")})


def signed(value: float, measure: str) -> str:
    """With its sign, also where it is nought."""
    return ("+" if value >= 0 else "−") + number(abs(value), measure)


def marked(text: str, verdict: int) -> str:
    """Bold where better beyond the interval, italic where worse."""
    return {1: f"**{text}**", -1: f"*{text}*"}.get(verdict, text)


def ranged(found: Interval, measure: str) -> str:
    """Value (low–high)."""
    low, high = number(found.low, measure), number(found.high, measure)
    return f"{number(found.value, measure)} ({low}–{high})"


def difference(change: Interval, measure: str) -> str:
    """Marked, with its interval."""
    gap = marked(signed(change.value, measure), better(measure, change))
    return f"{gap} ({signed(change.low, measure)} … {signed(change.high, measure)})"


def first_cell(row: Row, method: str) -> str:
    """A value and how it differs from PCA's; of PCA its interval."""
    measure, found = row["measure"], row[method]
    if found is None:
        return "–"
    if method == "pca":
        return ranged(interval(found), measure)
    text = number(found["value"], measure)
    if found["minus_pca"] is None:
        return text
    change = Interval(**found["minus_pca"])
    return f"{text} {marked(signed(change.value, measure), better(measure, change))}"


def first_rows(record: Row) -> dict[tuple[str, ...], dict[str, str]]:
    """Retrieval, labels and outliers."""
    out = {}
    for row in record["rows"]:
        measure = row["measure"]
        kept = measure.startswith(FIRST) and not (
            measure.startswith(AMONG) and not measure.endswith("combined")
        )
        if not kept:
            continue
        cells = {method: first_cell(row, method) for method in row if method not in
                 (("corpus", "measure") if "patch" in row else NOT_ABLATED)}  # fmt: skip
        if "patch" in row:
            known = next(row[m] for m in ("patch", "pca") if row[m])
            cells["objects"] = str(known["n_objects"])
        out[row["corpus"], measure] = cells
    return out


def nuisance_rows(record: Row) -> dict[tuple[str, ...], dict[str, str]]:
    """What should not decide likeness, by three spaces."""
    out = {}
    for row in record["rows"]:
        measure = row["measure"]
        if not measure.startswith("R² of ") or "patch" not in row:
            continue
        cells = {m: ranged(interval(row[m]), measure) if row[m] else "–"
                 for m in ("raw pixels", "pca", "patch")}  # fmt: skip
        for head, other in (("patch − pca", "minus_pca"), ("patch − pixels", "minus_raw")):
            found = row["patch"][other]
            cells[head] = difference(Interval(**found), measure) if found else "–"
        out[row["corpus"], measure.removeprefix("R² of ")] = cells
    return out


def tag_rows(record: Row) -> dict[tuple[str, ...], dict[str, str]]:
    """Errors and coverage of tags by two encoders."""
    values = {(r["corpus"], r["measure"]): r for r in record["rows"]}
    out: dict[tuple[str, ...], dict[str, str]] = {}
    if not any("patch" in row for row in record["rows"]):
        return out
    for run in record["runs"]:
        if run["method"] not in ("pca", "patch"):
            continue
        for label, rows in run.get("coverage", {}).items():
            whole = [r for r in rows if r["bin"] == "all"]
            right = values.get((run["corpus"], f"tag {label} right"))
            name = run["method"]
            cells = out.setdefault((run["corpus"], label), {})
            cells["objects"] = str(whole[0]["n_objects"])
            cells[f"{name}: σ"] = (
                f"{100 * right[name]['value']:.1f} % right" if right
                else number(whole[0]["sigma"], label)
            )  # fmt: skip
            for row in whole:
                cells[f"{name}: {row['nominal']:.0%}"] = f"{100 * row['share']:.1f}"
            raw = values.get((run["corpus"], f"tag σ {label}"), {}).get("raw pixels")
            cells["pixels: σ"] = number(raw["value"], label) if raw else "–"
    return out


def rewritten(text: str, start: str, found: dict[tuple[str, ...], dict[str, str]]) -> str:
    """The table whose head begins with `start`, its cells from `found` where that has them."""
    lines = text.split("\n")
    top = next(i for i, line in enumerate(lines) if line.startswith(start))
    end = next(i for i in range(top, len(lines)) if not lines[i].startswith("|"))
    heads = named([c.strip() for c in lines[top].strip("|").split("|")])
    old = {}
    for line in lines[top + 2 : end]:
        cells = [c.strip() for c in line.strip("|").split("|")]
        old[cells[0], cells[1]] = dict(zip(heads[2:], cells[2:], strict=False))  # a head may be new
    fresh = {corpus for corpus, _ in found}
    order = [k for k in old if k in found or k[0] not in fresh]
    for key in found:  # new rows come after the last of their corpus
        if key not in old:
            last = max((i for i, k in enumerate(order) if k[0] == key[0]), default=len(order) - 1)
            order.insert(last + 1, key)
    body = []
    for key in order:
        cells = old.get(key, {}) | found.get(key, {})
        body.append("| " + " | ".join([*key, *(cells.get(h, "–") for h in heads[2:])]) + " |")
    return "\n".join([*lines[: top + 2], *body, *lines[end:]])


def named(heads: list[str]) -> list[str]:
    """Heads, those of coverage with the encoder whose σ they follow."""
    out, of = [], ""
    for head in heads:
        if head.endswith(": σ"):
            of = head.removesuffix("σ")
        out.append(of + head.replace(" ", "") if of and head.endswith("%") else head)
    return out


TABLES: tuple[tuple[str, Callable[[Row], dict[tuple[str, ...], dict[str, str]]]], ...] = (
    ("| corpus | measure |", first_rows),
    ("| corpus | quantity, probe |", nuisance_rows),
    ("| corpus | label |", tag_rows),
)


def main(paths: list[str]) -> None:
    """Rewrite the document from these records."""
    text = SCIENCE.read_text(encoding="utf-8")
    records = [json.loads(Path(p).read_text(encoding="utf-8")) for p in paths]
    for start, rows_of in TABLES:
        found: dict[tuple[str, ...], dict[str, str]] = {}
        for record in records:
            for key, cells in rows_of(record).items():
                found[key] = found.get(key, {}) | cells
        text = rewritten(text, start, found)
    SCIENCE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
