"""One spectrum as comma-separated values that a spreadsheet can open."""

from __future__ import annotations

import csv
import io

import numpy as np

from ..domain.spectrum import Spectrum
from .samples import sdm_columns
from .source import Record

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def document(record: Record, spectrum: Spectrum) -> bytes:
    """A header line of names with units, then a line a sample; numbers read back exactly.

    Comment lines (#) before it name the observation; unknown numbers are empty.
    """
    columns, notes = sdm_columns(spectrum)
    text = io.StringIO()
    for name in ("obs_collection", "obs_id", "target_name", "medium", "specsys", "flux_unit"):
        value = record.get(name)
        if value not in (None, ""):
            text.write(f"# {name}: {_one_line(str(value))}\n")
    text.writelines(f"# {_one_line(note)}\n" for note in notes)
    out = csv.writer(text, lineterminator="\n")
    out.writerow([_cell(c.name + (f" [{c.unit}]" if c.unit else "")) for c in columns])
    cells = [_texts(c.values) for c in columns]
    out.writerows(zip(*cells, strict=True))
    return text.getvalue().encode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    text = _one_line(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _texts(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> list[str]:
    """Shortest texts that give the same numbers back."""
    if values.dtype.kind == "f":
        return ["" if v != v else str(v) for v in values]
    if values.dtype.kind == "b":
        return ["1" if v else "0" for v in values.tolist()]
    return [str(v) for v in values.tolist()]
