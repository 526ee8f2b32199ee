"""A label column as values to learn: which column is meant, what in it is no value, its unit."""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..store.archive import LEARNT, Archive, Rows
from ..store.schema import BY_NAME
from .quantities import unit_of

ALSO_CALLED = {"class": "target_class", "rv": "rv_kms", "z": "redshift"}
"""Short names of catalogue columns, where no label column has the name."""
SENTINELS = (-9999.0, -999.0, -9999.99, 9999.0, 99999.0)
"""Numbers that pipelines write for "no value"; none is a value of what spectra are labelled by."""
_NO_CLASS = {"", "none", "null", "nan", "n/a", "--", "-", "?"}


@dataclass(frozen=True, slots=True, eq=False)
class LabelValues:
    """A label at some rows.

    column : where it comes from · name : of the tag · kind : number or class
    values : (n,) float64 with NaN, or str with None · unit, ucd : as the catalogue says
    ignored : values that are none, by reason
    """

    column: str
    name: str
    kind: str
    values: NDArray[Any]
    unit: str
    ucd: str
    ignored: dict[str, int]


def find_column(archive: Archive, label: str) -> str:
    """The full name of the column that a user calls `label`.

    Raises UsageError: there is none, or several label sets have it.
    """
    known = archive.columns()
    own = [c for c in known if c in BY_NAME or not c.startswith(LEARNT + ".")]
    if label in own:
        if label in BY_NAME or "." in label:
            return label
        return f"{known[label].removeprefix('labels/')}.{label}"
    folded = label.lower()
    stored = folded.replace(".", "_")  # as a heading with dots is kept
    bare = [c for c in own if c.lower() == folded or c.lower().endswith(f".{folded}")
            or c.lower().endswith(f".{stored}")]  # fmt: skip
    if len(bare) == 1:
        return find_column(archive, bare[0])
    full = sorted({find_column(archive, c) for c in bare})
    if len(full) == 1:
        return full[0]
    if full:
        raise UsageError(f"{len(full)} label sets have {label!r}", code="ambiguous_label",
                         where="--label", remedy=f"say which: {', '.join(full)}")  # fmt: skip
    if folded in ALSO_CALLED:
        return ALSO_CALLED[folded]
    near = difflib.get_close_matches(label, [*own, *ALSO_CALLED], 3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(
        f"there is no label {label!r}", code="no_label", where="--label",
        remedy=hint + "join it with --from catalogue.csv, or name a column that "
        "`spectrarium catalogue list` shows",
    )  # fmt: skip


def tag_name(column: str, wanted: str | None) -> str:
    """What the tag is called: as wanted, else the column's own name, fit for a file."""
    text = wanted or column.rsplit(".", 1)[-1]
    name = plain_name(text)
    if not name:
        raise UsageError(f"{text!r} is no name for a tag", code="bad_name",
                         remedy="give one with --name: letters, digits and _")  # fmt: skip
    return name


def plain_name(text: str) -> str:
    """Lower-case Latin letters, digits and ``_+-``: ``[α/M]`` → alpha_m, ``Tₑff`` → teff.

    '' of a text that has neither.
    """
    plain = "".join(_latin(c) for c in unicodedata.normalize("NFKD", text))
    return re.sub(r"[^A-Za-z0-9_+-]+", "_", plain).strip("_").lower()


def _latin(letter: str) -> str:
    """A Greek letter by its name, no accents; anything else as it is."""
    if unicodedata.combining(letter):
        return ""
    about = unicodedata.name(letter, "")
    if about.startswith("GREEK") and " LETTER " in about:
        return about.rsplit(" ", 1)[-1].replace("LAMDA", "lambda").lower()
    return letter


def column_at(archive: Archive, column: str, rows: Rows) -> list[Any]:
    """Values of a catalogue or label column at rows, None where there is none."""
    values = archive.column(column) if column in BY_NAME else archive.label_column(column)
    found: list[Any] = values.take(pa.array(rows)).to_pylist()
    return found


def label_values(
    archive: Archive, column: str, rows: Rows, kind: str | None, name: str | None, unit: str | None
) -> LabelValues:
    """The label at `rows` with what is no value taken out and counted.

    Raises UsageError (no_labels) if nothing is left.
    """
    kind, values, ignored = usable_values(column, column_at(archive, column, rows), kind)
    return LabelValues(column, tag_name(column, name), kind, values,
                       unit or unit_of(archive, column), _ucd(archive, column), ignored,
                       )  # fmt: skip


def usable_values(
    column: str, raw: list[Any], kind: str | None
) -> tuple[str, NDArray[Any], dict[str, int]]:
    """(kind, values, ignored) as in `LabelValues`, of a column's entries.

    A column of text is numeric if at least half of its entries are numbers; the others are
    counted. `kind` decides otherwise. Raises UsageError (no_labels) if nothing is left.
    """
    ignored: dict[str, int] = {}
    kind = kind or _kind_of(raw)
    if kind == "number":
        values = _numbers(raw, ignored)
        there = bool(np.isfinite(values).any())
    else:
        values = np.array([_class(v) for v in raw], object)
        there = any(v is not None for v in values)
    if not there:
        raise UsageError(
            f"label {column!r} has no usable value for any embedded observation", code="no_labels",
            remedy="look at what `catalogue add` matched, at --key and --on, or at --where",
        )  # fmt: skip
    return kind, values, ignored


def _kind_of(raw: list[Any]) -> str:
    given = [v for v in raw if v is not None and str(v).strip().lower() not in _NO_CLASS]
    if any(isinstance(v, bool) for v in given):
        return "class"
    numeric = sum(_number(v) is not None for v in given)
    return "number" if given and numeric >= 0.5 * len(given) else "class"


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _class(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    text = str(value).strip()
    return None if text.lower() in _NO_CLASS else text


def _numbers(raw: list[Any], ignored: dict[str, int]) -> NDArray[np.float64]:
    out = np.full(len(raw), np.nan)
    for i, value in enumerate(raw):
        if value is None or (isinstance(value, str) and value.strip().lower() in _NO_CLASS):
            continue
        number = _number(value)
        if number is None:
            _count(ignored, "text where a number belongs")
        elif not np.isfinite(number):
            _count(ignored, "NaN or infinite")
        elif number in SENTINELS:
            _count(ignored, f"sentinel {number:g}")
        else:
            out[i] = number
    return out


def _count(ignored: dict[str, int], reason: str) -> None:
    ignored[reason] = ignored.get(reason, 0) + 1


def _ucd(archive: Archive, column: str) -> str:
    """UCD of a column as its catalogue gives it."""
    if column in BY_NAME:
        return BY_NAME[column].ucd
    where = archive.columns()[column]
    bare = column.removeprefix(where.removeprefix("labels/") + ".")
    meta = archive.dataset(where).lance.schema.field(bare).metadata or {}
    return str(meta.get(b"ucd", b"").decode())
