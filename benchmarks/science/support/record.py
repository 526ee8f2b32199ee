"""The record of a science benchmark: values as JSON, a table in Markdown, the code they are of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spectrarium.evaluate.bootstrap import Interval
from spectrarium.evaluate.results import code_fingerprint

RESULTS = Path(__file__).parents[1] / "results"


def write(out: Path, record: dict[str, Any], text: str) -> None:
    """Print the text, and write it beside the record: OUT.json, dated, and OUT.md."""
    about = {"benchmark": out.stem, "date": datetime.now(UTC).date().isoformat(),
             "version": version("spectrarium"), "code": code_fingerprint()}  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    plain = json.dumps(_rounded({**about, **record}), indent=1, ensure_ascii=False)
    out.write_text(plain + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    print(text)
    print(f"\nwritten: {out}")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def value(found: Interval) -> str:
    """``0.857 (0.813–0.901)``"""
    return f"{found.value:.3f} ({found.low:.3f}–{found.high:.3f})"


def change(found: Interval, less: bool = False) -> str:
    """``+0.017 (+0.004 … +0.032)``, **bold** where more (or `less`) beyond the interval, *italic*
    where the opposite."""
    numbers = [f"{v:+.3f}".replace("-", "−") for v in (found.value, found.low, found.high)]
    text = "{} ({} … {})".format(*numbers)
    if not found.low <= 0 <= found.high:
        return f"**{text}**" if (found.low > 0) != less else f"*{text}*"
    return text


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return value
