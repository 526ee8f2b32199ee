"""Tables that come with a query: ``UPLOAD=name,param:part`` or ``UPLOAD=name,URL``.

Source: IVOA TAP 1.1, section 2.7.6; DALI 1.1, section 3.4.5.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError
from ..read.votable import refuse_harmful
from ..run.table_columns import Column, VoTable
from .votable_rows import is_text

SCHEMA = "tap_upload"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_DOCTYPE = re.compile(rb"<!DOCTYPE", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much one query may bring along."""

    tables: int = 16
    bytes: int = 64 << 20
    rows: int = 1_000_000
    columns: int = 512


def uploaded(
    texts: Sequence[str], files: Mapping[str, bytes], limits: UploadLimits,
    fetch: Callable[[str], bytes],
) -> dict[str, VoTable]:  # fmt: skip
    """The tables of UPLOAD parameters by full name (``tap_upload.NAME``).

    Parameters
    ----------
    texts : values of the parameter; several pairs in one are parted by ``;`` (TAP 1.0)
    files : parts of the request by name · fetch : what gets a table that lies elsewhere
    Raises
    ------
    UsageError : bad_upload, too_large, and what `fetch` raises
    """
    pairs = [pair for text in texts for pair in text.split(";") if pair.strip()]
    if len(pairs) > limits.tables:
        raise _refused_table("", f"{len(pairs)} tables are more than {limits.tables}")
    out: dict[str, VoTable] = {}
    for pair in pairs:
        name, _, where = (part.strip() for part in pair.partition(","))
        if not _NAME.fullmatch(name) or not where:
            raise _refused_table(pair, "UPLOAD reads NAME,param:PART or NAME,URL")
        full = f"{SCHEMA}.{name.lower()}"
        if full in out:
            raise _refused_table(name, "two tables have this name")
        if where[:6].lower() == "param:":
            part = where[6:]
            if part not in files:
                raise _refused_table(name, f"the request has no part {part[:80]!r}")
            data = files[part]
        else:
            data = fetch(where)
        out[full] = _table(full, data, limits)
    return out


def merged_uploads(earlier: Sequence[str], later: Sequence[str]) -> list[str]:
    """Values of UPLOAD that a job has in the end: later tables join earlier ones, and replace those
    of their name."""
    again = {_named(pair) for text in later for pair in text.split(";")}
    kept = [p for text in earlier for p in text.split(";") if _named(p) not in again]
    return [*kept, *later]


def inline_parts(texts: Iterable[str]) -> set[str]:
    """Names of the parts of a request that values of UPLOAD say tables are in."""
    places = (pair.partition(",")[2].strip() for text in texts for pair in text.split(";"))
    return {where[6:] for where in places if where[:6].lower() == "param:"}


def _named(pair: str) -> str:
    return pair.partition(",")[0].strip().lower()


def _refused_table(name: str, why: str) -> UsageError:
    where = f"UPLOAD {name[:80]}".strip()
    return UsageError(why, code="bad_upload", where=where, remedy="send a VOTable with its data "
                      "inside (TABLEDATA, BINARY or BINARY2)")  # fmt: skip


def _table(full: str, data: bytes, limits: UploadLimits) -> VoTable:
    name = full.partition(".")[2]
    if len(data) > limits.bytes:
        raise UsageError(f"the table is larger than {limits.bytes / 2**20:g} MiB", code="too_large",
                         where=f"UPLOAD {name}", remedy="upload fewer rows or columns")  # fmt: skip
    if _DOCTYPE.search(data[: 1 << 16]):
        raise _refused_table(name, "the VOTable declares a document type: refused")
    try:
        refuse_harmful(data, name)
    except DataError as error:
        raise _refused_table(name, error.what) from error
    found = _first_table(data, name)
    if len(found.fields) > limits.columns or len(found.array) > limits.rows:
        raise _refused_table(name, f"{len(found.array)} rows of {len(found.fields)} columns are "
                             f"more than {limits.rows} of {limits.columns}")  # fmt: skip
    columns, arrays = [], []
    for field, own in zip(found.fields, _names(found.fields), strict=True):
        array = _array(found.array[field.ID], field, name)
        arrays.append(array)
        columns.append(Column(
            own, array.type, str(field.description or ""), str(field.unit or ""),
            str(field.ucd or ""), str(field.utype or ""), str(field.xtype or ""),
            wide=field.datatype == "unicodeChar" or not _narrow(array),
        ))  # fmt: skip
    made = pa.table(arrays, names=[c.name for c in columns])
    return VoTable(full, "A table that came with the query", tuple(columns), lambda: made,
                   made.num_rows)  # fmt: skip


def _first_table(data: bytes, name: str) -> Any:
    from astropy.io.votable import parse  # half a second of import: only when one is uploaded

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            document = parse(io.BytesIO(data), verify="ignore")
            found = next(iter(document.iter_tables()), None)
    except Exception as error:  # a foreign parser on foreign bytes: anything can come
        raise _refused_table(name, f"not a readable VOTable: {error}"[:300]) from error
    if found is None or not found.fields:
        raise _refused_table(name, "the document holds no table")
    return found


def _names(fields: Sequence[Any]) -> list[str]:
    """Names as they are; of those that differ in case only, later ones are numbered."""
    out: list[str] = []
    taken: set[str] = set()
    for number, field in enumerate(fields, 1):
        plain = re.sub(r"[\x00-\x1f\"]", "_", str(field.name or field.ID)).strip()
        plain = unique = plain or f"column_{number}"
        n = 1
        while unique.lower() in taken:
            n += 1
            unique = f"{plain}_{n}"
        taken.add(unique.lower())
        out.append(unique)
    return out


_KINDS = {"u1": pa.int16(), "i1": pa.int16(), "i2": pa.int16(), "i4": pa.int32(), "i8": pa.int64(),
          "f4": pa.float32(), "f8": pa.float64(), "b1": pa.int16()}  # fmt: skip


def _array(values: Any, field: Any, table: str) -> pa.Array:
    """A column as Arrow; NaN and nulls are null, truth values 1 and 0."""
    data, mask = np.ma.getdata(values), np.ma.getmaskarray(values)
    kind = _KINDS.get(data.dtype.str.lstrip("<>=|"))
    if data.dtype.kind in "OSU" and data.ndim == 1:
        return _objects(data, mask, field)
    if kind is None:
        raise _refused_table(table, f"column {field.name!r} of type {field.datatype} is not taken")
    native: NDArray[Any] = np.ascontiguousarray(data).astype(kind.to_pandas_dtype())
    if data.ndim > 1:
        size = int(np.prod(data.shape[1:]))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(native.ravel(), kind), size)
        whole = mask.reshape(len(native), size).all(axis=1)
        if whole.any():
            at = np.where(whole, 0, np.arange(len(native)))
            vectors = vectors.take(pa.array(at, mask=whole))
        return vectors
    if kind in (pa.float32(), pa.float64()):
        mask = mask | np.isnan(native)
    return pa.array(native, kind, mask=mask)


def _objects(data: NDArray[Any], mask: NDArray[Any], field: Any) -> pa.Array:
    """Text, or vectors of any length."""
    blank: Any = np.asarray(mask).reshape(len(data), -1).all(axis=1) if len(data) else mask
    values = [None if b else v for v, b in zip(data.tolist(), blank, strict=True)]
    if field.datatype in ("char", "unicodeChar"):
        return pa.array([None if v is None else _text(v) for v in values], pa.string())
    lists = [None if v is None else np.ma.getdata(v).ravel().astype(np.float64).tolist()
             for v in values]  # fmt: skip
    return pa.array(lists, pa.list_(pa.float64()))


def _narrow(array: pa.Array) -> bool:
    """Whether it holds no text beyond ASCII."""
    return not is_text(array.type) or pc.all(pc.string_is_ascii(array)).as_py() is not False


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
