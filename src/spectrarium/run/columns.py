"""Columns of all observations for maps, facets and tables: typed arrays in one shuffled order.

The order is the same for every column of a version, and random: any prefix is a fair sample.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..store.archive import Archive, Rows
from ..store.schema import BY_NAME
from .quantities import unit_of

T = TypeVar("T")
Keep = Callable[[Hashable, Callable[[], Any]], Any]
SEED = 20_230_517
MOST_COLUMNS = 64
MOST_TEXT_BYTES = 256 << 20
"""Text columns larger than this are not sent whole."""
_EXACT_IN_FLOAT32 = 2.0**24
_DOUBLE = ("time", "pos.eq")
"""UCDs of what float32 would blur: 0.1 s of an MJD take 11 digits, an arc second takes 7."""
_KNOWN = {
    "teff": ("phys.temperature.effective", "Effective temperature"),
    "logg": ("phys.gravity", "Surface gravity, log g"),
    "feh": ("phys.abund.Fe", "Metallicity [Fe/H]"), "z": ("src.redshift", "Redshift"),
    "rv_kms": ("spect.dopplerVeloc", "Radial velocity"), "parallax": ("pos.parallax", "Parallax"),
}  # fmt: skip
"""UCD and meaning of names that say enough by themselves."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a column is: kind is ``number``, ``text``, ``bool`` or ``time`` (MJD or JD, in days).

    source : the dataset it comes from, or the columns it is worked out from
    """

    name: str
    kind: str
    unit: str = ""
    ucd: str = ""
    about: str = ""
    source: str = "catalogue"

    @property
    def numeric(self) -> bool:
        """Whether it has numbers."""
        return self.kind in ("number", "time")


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Words of all catalogue rows: (rows,) int32 positions in `values`; −1 = none or not shown."""

    codes: NDArray[np.int32]
    values: pa.Array = field(repr=False)

    def rank(self) -> NDArray[np.int64]:
        """(values,) alphabetic place of each value, whatever its case."""
        order = pc.sort_indices(pc.utf8_lower(self.values)).to_numpy()
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return place


class Columns:
    """The columns of one opened archive.

    Parameters
    ----------
    keep : (key, make) → the made value, kept as long as its owner likes; None = all are kept
    """

    def __init__(self, archive: Archive, keep: Keep | None = None) -> None:
        self.archive = archive
        self._own: dict[Hashable, Any] = {}
        self._keep = keep or self._kept

    def _kept(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self._own:
            self._own[key] = make()
        found: T = self._own[key]
        return found

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """A value worked out once for this version."""
        found: T = self._keep(("columns", key), make)
        return found

    @cached_property
    def rows(self) -> Rows:
        """All current catalogue rows, ascending."""
        return self.archive.find()

    @property
    def order(self) -> Rows:
        """(n,) all current catalogue rows in the one shuffled order."""
        return self.kept("order", lambda: np.random.default_rng(SEED).permutation(self.rows))

    def shuffled(self, rows: Rows) -> Rows:
        """`rows` in the shuffled order."""
        chosen = np.zeros(self.archive.catalogue_rows, bool)
        chosen[rows] = True
        order = self.order
        return order[chosen[order]]

    @cached_property
    def all(self) -> dict[str, Column]:
        """Every column there is, by name."""
        archive = self.archive
        out: dict[str, Column] = {}
        for name, source in archive.columns().items():
            out[name] = self._described(name, source)
        for name, d in archive.derived.items():
            unit, ucd = d.unit, d.ucd
            if d.source == "labels":  # what is known of the columns that it joins
                bare = name.removeprefix("labels.")
                like = next(c for n, c in out.items() if n.endswith(f".{bare}"))
                unit, ucd = unit or like.unit, ucd or like.ucd
            out[name] = Column(name, "text" if d.text else "number", unit, ucd, d.about, d.source)
        return out

    def _described(self, name: str, source: str) -> Column:
        if name in BY_NAME and source == "catalogue":
            spec = BY_NAME[name]
            return Column(name, _kind(spec.type, spec.ucd, spec.unit), spec.unit, spec.ucd,
                          spec.about)  # fmt: skip
        bare = name.removeprefix(source.removeprefix("labels/") + ".")
        own = self.archive.dataset(source).lance.schema.field(bare)
        meta = {k.decode(): v.decode() for k, v in (own.metadata or {}).items()}
        ucd, about = _KNOWN.get(bare.lower(), ("", ""))
        origin = meta.get("source") or source
        unit = unit_of(self.archive, name)
        return Column(
            name, _kind(own.type, meta.get("ucd", ucd), unit), unit, meta.get("ucd", ucd),
            meta.get("description") or (f"{about}, from {origin}" if about else f"From {origin}"),
            source,
        )  # fmt: skip

    def column(self, name: str) -> Column:
        """What a column is. Raises UsageError (no_column), naming those spelt alike."""
        found = self.all.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self.all, 3, 0.5)
            near = [c for c in self.all if c.endswith("." + name)][:3] or near
            raise UsageError(
                f"there is no column {name!r}", code="no_column",
                remedy="did you mean " + " or ".join(near) + "?" if near else
                "the archive's overview names them all",
            )  # fmt: skip
        return found

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(catalogue rows,) a column's numbers; NaN where unknown. Do not change them.

        Raises UsageError (no_column, not_a_number).
        """
        if not self.column(name).numeric:
            raise UsageError(f"{name} holds text, not numbers", code="not_a_number", where=name,
                             remedy="choose a column of numbers")  # fmt: skip
        return self.kept(("numbers", name), lambda: self._numbers(name))

    def _numbers(self, name: str) -> NDArray[np.float64]:
        column = self.archive.any_column(name)
        values = np.array(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
        values[~np.isfinite(values)] = np.nan
        return values

    def codes(self, name: str) -> Codes:
        """A column's words, of the current rows only. Raises UsageError (no_column, too_large)."""
        self.column(name)
        return self.kept(("codes", name), lambda: self._codes(name))

    def _codes(self, name: str) -> Codes:
        column = self.archive.any_column(name)
        if column.nbytes > MOST_TEXT_BYTES:
            raise UsageError(f"{name} is too large to be sent whole", code="too_large", where=name,
                             remedy="look at it object by object")  # fmt: skip
        coded = pc.dictionary_encode(_text(column))
        codes = np.asarray(pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False), np.int32)
        values = coded.dictionary
        shown = np.full(len(codes), -1, np.int32)
        shown[self.rows] = codes[self.rows]  # words that only other rows have are not told
        used = np.unique(shown)
        used = used[used >= 0]
        empty = pc.equal(values.take(pa.array(used)), "").to_numpy(zero_copy_only=False)
        used = used[~empty.astype(bool)]
        renamed = np.full(len(values) + 1, -1, np.int32)
        renamed[used] = np.arange(len(used), dtype=np.int32)
        return Codes(renamed[shown], values.take(pa.array(used)))

    def table(self, names: Sequence[str], rows: Rows | None = None) -> pa.Table:
        """``row`` and columns of the current rows (or of `rows`, as they are ordered).

        Numbers are float32 with NaN where unknown (float64 for times, positions and long
        integers), words a dictionary. Fields tell unit, ucd, about and kind.

        Raises UsageError (no_column, too_many_columns, too_large).
        """
        names = list(dict.fromkeys(names))
        if len(names) > MOST_COLUMNS:
            raise UsageError(f"{len(names)} columns at once are too many", code="too_many_columns",
                             where="names", remedy=f"ask for {MOST_COLUMNS} at most")  # fmt: skip
        described = [self.column(n) for n in names if n != "row"]
        order = self.order if rows is None else rows
        fields = [pa.field("row", pa.int32(), metadata={"about": "Row of this version"})]
        arrays = [pa.array(order.astype(np.int32))]
        for column in described:
            values = self._sent(column, order)
            about = {"unit": column.unit, "ucd": column.ucd, "about": column.about,
                     "kind": column.kind}  # fmt: skip
            fields.append(pa.field(column.name, values.type, metadata=about))
            arrays.append(values)
        return pa.table(arrays, schema=pa.schema(fields))

    def _sent(self, column: Column, order: Rows) -> pa.Array:
        if column.numeric:
            values = self.numbers(column.name)
            return pa.array(values[order].astype(self._dtype(column, values)))
        words = self.codes(column.name)
        codes = words.codes[order]
        indices = pa.array(codes, mask=codes < 0)
        return pa.DictionaryArray.from_arrays(indices, words.values)

    def _dtype(self, column: Column, values: NDArray[np.float64]) -> type[np.floating[Any]]:
        if column.ucd.startswith(_DOUBLE):
            return np.float64
        kind = self.archive.any_column(column.name).type
        whole = pa.types.is_integer(kind) and len(values)
        if whole and np.nanmax(np.abs(values), initial=0.0) >= _EXACT_IN_FLOAT32:
            return np.float64
        return np.float32


def _kind(kind: Any, ucd: str, unit: str) -> str:
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        time = unit == "d" and ucd.startswith("time") and not ucd.startswith("time.duration")
        return "time" if time else "number"
    return "text"


def _text(column: pa.ChunkedArray) -> pa.Array:
    """A column as words: true and false of what is either, lists between bars."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        words = [None if v is None else " | ".join(map(str, v)) for v in column.to_pylist()]
        return pa.array(words, pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind):
        column = column.cast(pa.string())
    else:
        words = [None if v is None else str(v) for v in column.to_pylist()]
        return pa.array(words, pa.string())
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
