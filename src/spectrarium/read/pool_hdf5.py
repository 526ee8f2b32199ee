"""HDF5 pools: matrices (the Multimodal Universe's too), a group per spectrum, ragged stores.

Links to other files, external storage and virtual datasets are never followed: a pool must not
make its reader open what lies elsewhere on the disk.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Scale
from ..domain.errors import DataError
from .columns import Role, meaning
from .pool_matrix import Entry, read_matrix
from .pool_npz import View
from .pool_rows import PoolColumns, choose, row_spectrum, unit_known
from .registry import Item
from .row_fields import normal_key, present
from .samples import no_wave_unit
from .source import SourceFile

_FAILURES = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError,
             AttributeError, IndexError)  # fmt: skip
_MAX_CHUNK_BYTES = 2**28
_MAX_DEPTH = 4
_MAX_ATTRIBUTE = 1024
_RAGGED = {"off", "widx", "woff", "wtype", "wpar", "flux", "spec_id"}


def read(source: SourceFile) -> Iterator[Item]:
    """One Spectrum per row or group. Raises DataError (corrupt, unknown_layout …)."""
    try:
        file = h5py.File(View(source.data), "r")
    except _FAILURES as error:
        raise _corrupt(source, error) from error
    with file:
        try:
            yield from _walk(source, file, "", 0, {})
        except _FAILURES as error:
            raise _corrupt(source, error) from error


def _corrupt(source: SourceFile, error: Exception) -> DataError:
    text = str(error).strip("'\"") or type(error).__name__
    return DataError(
        f"damaged HDF5 data: {text}", code="corrupt", where=source.where,
        remedy="fetch the file again",
    )  # fmt: skip


def _walk(
    source: SourceFile, group: Any, path: str, depth: int, inherited: Mapping[str, Any]
) -> Iterator[Item]:
    datasets, groups, errors = _members(source, group, path)
    yield from errors
    values = {**inherited, **_attributes(group)}
    roles = {what.role for name in datasets if (what := meaning(name)) is not None}
    if set(datasets) >= _RAGGED:
        yield from _ragged(source, datasets, values)
        return
    if Role.FLUX in roles:
        box = GroupBox(source, datasets, values)
        if depth and _is_one_spectrum(box):
            values.setdefault("obs_id", path)
            box = GroupBox(source, datasets, values)
        try:
            yield from read_matrix(source, "hdf5", box)
        except DataError as error:
            if depth == 0:
                raise
            yield error
        return
    found = False
    if depth < _MAX_DEPTH:
        for name in groups:
            found = True
            below = f"{path}/{name}" if path else name
            yield from _walk(source, group[name], below, depth + 1, values)
    if not found and depth == 0 and not errors:
        raise DataError(
            f"no spectra found among: {', '.join([*datasets, *groups][:12]) or 'nothing'}",
            code="unknown_layout", where=source.where,
            remedy="name the datasets wave, flux and ivar or err",
        )  # fmt: skip


def _members(
    source: SourceFile, group: Any, path: str
) -> tuple[dict[str, Any], list[str], list[DataError]]:
    """Datasets and groups that lie in this file; an error for each link that leads out of it."""
    datasets: dict[str, Any] = {}
    groups: list[str] = []
    errors: list[DataError] = []
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            errors.append(_outside(source, f"{path}/{name}", "is a link and is not followed"))
            continue
        kind = group.get(name, getclass=True)
        if kind is h5py.Group:
            groups.append(name)
        elif kind is h5py.Dataset:
            item = group[name]
            if item.external or item.is_virtual:
                errors.append(_outside(source, f"{path}/{name}", "keeps its data in other files"))
            elif _chunk_bytes(item) > _MAX_CHUNK_BYTES:
                errors.append(
                    _outside(source, f"{path}/{name}", "has chunks over 256 MiB", "too_large")
                )
            elif item.shape is not None:
                datasets[name] = item
    return datasets, groups, errors


def _outside(source: SourceFile, name: str, why: str, code: str = "external_link") -> DataError:
    return DataError(
        f"{name} {why}", code=code, where=source.where,
        remedy="copy the data into one plain HDF5 file",
    )  # fmt: skip


def _chunk_bytes(item: Any) -> int:
    return int(np.prod([float(x) for x in item.chunks or ()]) * item.dtype.itemsize)


def _attributes(holder: Any) -> dict[str, Any]:
    """Scalar attributes, keys as `normal_key` gives them."""
    out: dict[str, Any] = {}
    for key in holder.attrs:
        if holder.attrs.get_id(key).get_storage_size() > _MAX_ATTRIBUTE:
            continue
        value = holder.attrs[key]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0]
        found = present(value) if not isinstance(value, (np.ndarray, h5py.Empty)) else None
        if found is not None:
            out[normal_key(key)] = found
    return out


def _is_one_spectrum(box: GroupBox) -> bool:
    return all(len(e.shape) == 1 for e in box.entries().values() if e.dtype.kind == "f")


class GroupBox:
    """The datasets of one HDF5 group as a Container."""

    def __init__(
        self, source: SourceFile, datasets: Mapping[str, Any], values: Mapping[str, Any]
    ) -> None:
        self._source = source
        self._datasets = datasets
        self._entries: dict[str, Entry] = {}
        self._values = dict(values)
        for name, item in datasets.items():
            if item.shape == ():
                found = present(item[()]) if item.dtype.kind in "fiubSO" else None
                if found is not None:
                    self._values.setdefault(normal_key(name), found)
                continue
            vlen = h5py.check_vlen_dtype(item.dtype)
            text = h5py.check_string_dtype(item.dtype) is not None
            if item.dtype.kind in "fiubS" or text or (vlen is not None and vlen.kind in "fiu"):
                unit = next((str(v) for k, v in _attributes(item).items() if k in
                             ("unit", "units")), None)  # fmt: skip
                ragged = not text and vlen is not None
                self._entries[name] = Entry(item.shape, item.dtype, unit, ragged)

    def entries(self) -> Mapping[str, Entry]:
        """Datasets of numbers, texts and ragged numbers with at least one axis."""
        return self._entries

    def values(self) -> Mapping[str, Any]:
        """Attributes of the group and its scalar datasets."""
        return self._values

    def whole(self, name: str) -> NDArray[Any]:
        """All of a dataset."""
        return self.rows(name, 0, self._entries[name].shape[0])

    def rows(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """A range of rows."""
        try:
            array: NDArray[Any] = self._datasets[name][start:stop]
        except _FAILURES as error:
            raise _corrupt(self._source, error) from error
        return array.astype(array.dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Store:
    """Index arrays of a ragged store: row i is flux[off[i]:off[i+1]] on grid widx[i]."""

    ids: list[str]
    off: NDArray[np.int64]
    grid: NDArray[np.int64]
    woff: NDArray[np.int64]
    kind: NDArray[np.int64]
    par: NDArray[np.float64]


def _ragged(
    source: SourceFile, datasets: Mapping[str, Any], values: Mapping[str, Any]
) -> Iterator[Item]:
    """One long flux (and err) array cut by offsets; grids explicit, linear (1) or log10 (2)."""
    columns = choose({"wave": None, "flux": None, "err": None}, set(), values=dict(values))
    assert columns is not None
    if not unit_known(source, columns, set()):
        raise no_wave_unit(source, "the store does not state the unit of its wavelengths")
    store = _Store(
        [x.decode("utf-8", "replace") for x in datasets["spec_id"][:]],
        datasets["off"][:].astype(np.int64), datasets["widx"][:].astype(np.int64),
        datasets["woff"][:].astype(np.int64), datasets["wtype"][:].astype(np.int64),
        datasets["wpar"][:].astype(np.float64),
    )  # fmt: skip
    n = len(store.ids)
    if len(store.off) != n + 1 or len(store.grid) != n or (np.diff(store.off) < 0).any():
        raise DataError("the offsets do not fit the identifiers", code="mismatched_lengths",
                        where=source.where, remedy="fetch the file again")  # fmt: skip
    index = _index_rows(source)
    for i in range(n):
        row = {"spec_id": store.ids[i], **index.get(store.ids[i], {})}
        yield _ragged_row(source, datasets, store, columns, row, i)


def _ragged_row(
    source: SourceFile,
    datasets: Mapping[str, Any],
    store: _Store,
    columns: PoolColumns,
    values: Mapping[str, Any],
    i: int,
) -> Item:
    a, b = int(store.off[i]), int(store.off[i + 1])
    try:
        arrays = {n: datasets[n][a:b] for n in ("flux", "err") if n in datasets}
        g = int(store.grid[i])
        kind = int(store.kind[g])
        columns = replace(columns, id_key="spec_id")
        if kind == 0:
            arrays["wave"] = datasets["wave"][int(store.woff[g]) : int(store.woff[g + 1])]
            return row_spectrum(source, "hdf5", columns, arrays, values, i)
        start, step = (float(x) for x in store.par[g, :2])
        columns = replace(columns, wave=None, scale=Scale.LOG10 if kind == 2 else Scale.LINEAR)
        grid = LinearWCS(start, step, 1.0, b - a)
        return row_spectrum(source, "hdf5", columns, arrays, values, i, wave=grid)
    except _FAILURES as error:
        bad = _corrupt(source, error)
        bad.row = i
        return bad


def _index_rows(source: SourceFile) -> dict[str, dict[str, Any]]:
    """Rows by spec_id of an ``index.csv`` beside a ragged store, if there is one."""
    companion = source.companion("index.csv")
    if companion is None:
        return {}
    rows = csv.DictReader(companion.text.splitlines())
    return {
        row["spec_id"]: {normal_key(k): v for k, v in row.items() if k and v}
        for row in rows
        if row.get("spec_id")
    }
