"""Reading pixels back: whole spectra, windows and scans, with grids and headers cached."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, SpectralAxis
from ..domain.errors import DataError, UsageError
from ..domain.spectrum import EchelleSpectrum, Spectrum
from .codec import axis_of, decode, tile_bounds
from .datasets import Dataset

_LOOKS = 128
"""Samples looked at together while a window is sought: four rounds find one among 10⁸."""
PARTS = ["header", "flux", "uncertainty", "flags", "extras"]
V = TypeVar("V")


class _Recent(Generic[V]):
    """A small least-recently-used cache, bounded in number and in bytes of its arrays."""

    def __init__(self, size: int, max_bytes: int = 2**29) -> None:
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._items: OrderedDict[Hashable, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
        return None

    def put(self, key: Hashable, value: V) -> None:
        with self._lock:
            self._bytes += getattr(value, "nbytes", 0) - getattr(self._items.get(key), "nbytes", 0)
            self._items[key] = value
            while len(self._items) > self._size or (
                self._bytes > self._max_bytes and len(self._items) > 1
            ):
                _, old = self._items.popitem(last=False)
                self._bytes -= getattr(old, "nbytes", 0)


class Pixels:
    """The pixel and grid datasets of one archive version."""

    def __init__(self, pixels: Dataset, grids: Dataset) -> None:
        self.dataset = pixels
        self._grids = grids
        self._grid_rows: dict[int, list[int]] | None = None
        self._grid_cache: _Recent[NDArray[Any]] = _Recent(512)
        self._waves: _Recent[NDArray[np.float64]] = _Recent(64)
        self._headers: _Recent[dict[str, Any]] = _Recent(4096)
        self._lock = threading.Lock()

    def read(self, rows: Sequence[tuple[int, int]]) -> list[Spectrum]:
        """Spectra at (first pixel row, number of tiles), in the order given."""
        positions = np.array([first + i for first, n in rows for i in range(n)], np.int64)
        order = np.argsort(positions, kind="stable")  # a sixth faster than in any other order
        table = self.dataset.take(positions[order].tolist(), PARTS)
        back = np.argsort(order, kind="stable").tolist()
        sorted_columns = [table.column(name).to_pylist() for name in PARTS]
        columns = [[column[i] for i in back] for column in sorted_columns]
        heads, at = [], 0
        for _, n in rows:
            heads.append(json.loads(columns[0][at]))
            at += n
        self._load_grids({h["axis"]["grid"] for h in heads if "grid" in h["axis"]})
        out, at = [], 0
        for head, (_, n) in zip(heads, rows, strict=True):
            parts = [tuple(c[at + i] for c in columns[1:]) for i in range(n)]
            out.append(decode(head, self._axis(head), parts))
            at += n
        return out

    def window(self, first: int, lo_aa: float, hi_aa: float) -> Spectrum:
        """The samples with lo ≤ λ ≤ hi (Å, in the spectrum's own medium and frame).

        Reads only the tiles they lie in. An echelle comes back with the orders that reach into
        the window, whole. Raises UsageError (no_coverage) when there are none.
        """
        if not lo_aa < hi_aa:
            raise UsageError(f"the window {lo_aa:g} … {hi_aa:g} Å is empty", code="bad_window",
                             remedy="give the shorter wavelength first")  # fmt: skip
        found = self.windows([first], [(lo_aa, hi_aa)])[0]
        if found is None:
            raise UsageError(
                f"no sample lies between {lo_aa:g} and {hi_aa:g} Å", code="no_coverage",
                where=str(self._heads([first])[0]["obs"]["obs_id"]),
                remedy="`spectrarium show ID` gives the range",
            )  # fmt: skip
        return found

    def windows(
        self, firsts: Sequence[int], windows_aa: Sequence[tuple[float, float]]
    ) -> list[Spectrum | None]:
        """`window` of many spectra, read together; None where no sample lies inside.

        firsts : first pixel row of each · windows_aa : (lo, hi) of each, lo < hi
        """
        heads = self._heads(firsts)
        self._load_grids({h["axis"]["grid"] for h in heads if "grid" in h["axis"]})
        axes = [self._axis(head) for head in heads]
        plans = [_Plan.of(head, self._inside(head, axis, *window))
                 for head, axis, window in zip(heads, axes, windows_aa, strict=True)]  # fmt: skip
        positions = np.array([first + i for first, plan in zip(firsts, plans, strict=True)
                              if plan is not None for i in plan.tiles], np.int64)  # fmt: skip
        wanted, back = np.unique(positions, return_inverse=True)
        columns: list[list[Any]] = [[] for _ in PARTS[1:]]
        if len(wanted):
            table = self.dataset.take(wanted.tolist(), PARTS[1:])
            columns = [table.column(name).to_pylist() for name in PARTS[1:]]
        out: list[Spectrum | None] = []
        at = 0
        for head, axis, plan in zip(heads, axes, plans, strict=True):
            if plan is None:
                out.append(None)
                continue
            rows = back[at : at + len(plan.tiles)].tolist()
            at += len(plan.tiles)
            out.append(plan.spectrum(head, axis, [tuple(c[i] for c in columns) for i in rows]))
        return out

    def scan(self, batch_rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows in storage order, raw: for passes that decode what they need themselves."""
        yield from self.dataset.batches(list(columns), batch_rows)

    def decode_batch(self, batch: pa.RecordBatch) -> list[tuple[int, Spectrum]]:
        """(position in the batch, spectrum) for each spectrum that lies whole in the batch."""
        heads = batch.column("header").to_pylist()
        starts = [i for i, h in enumerate(heads) if h is not None]
        columns = [batch.column(name).to_pylist() for name in PARTS[1:]]
        parsed = {i: json.loads(heads[i]) for i in starts}
        self._load_grids({h["axis"]["grid"] for h in parsed.values() if "grid" in h["axis"]})
        out = []
        for i in starts:
            head = parsed[i]
            n = len(tile_bounds(int(np.prod(head["shape"]))))
            if i + n > len(heads):
                continue
            parts = [tuple(c[i + k] for c in columns) for k in range(n)]
            out.append((i, decode(head, self._axis(head), parts)))
        return out

    def extras(self, firsts: Sequence[int]) -> list[tuple[str, ...]]:
        """Names of the further arrays that spectra have beside flux, error and flags."""
        return [tuple(name for name, _ in h.get("extras", ())) for h in self._heads(firsts)]

    def _heads(self, firsts: Sequence[int]) -> list[dict[str, Any]]:
        """The headers of spectra; those that are not at hand are read together."""
        known = {first: self._headers.get(first) for first in firsts}
        missing = sorted(first for first, head in known.items() if head is None)
        if missing:
            texts = self.dataset.take(missing, ["header"]).column(0).to_pylist()
            for first, text in zip(missing, texts, strict=True):
                head = known[first] = json.loads(text)
                self._headers.put(first, head)
        return [head for first in firsts if (head := known[first]) is not None]

    def _axis(self, head: dict[str, Any]) -> SpectralAxis:
        grid = head["axis"].get("grid")
        return axis_of(head, None if grid is None else self.grid(grid))

    def _inside(
        self, head: dict[str, Any], axis: SpectralAxis, lo: float, hi: float
    ) -> tuple[int, int] | None:
        if axis.wcs is not None:
            return _wcs_range(axis, lo, hi)
        key = (head["axis"]["grid"], axis.unit, str(axis.scale), axis.rest_frequency_hz)
        wave = self._waves.get(key)
        if wave is None:
            wave = axis.wave_aa().reshape(-1)
            self._waves.put(key, wave)
        with np.errstate(invalid="ignore"):
            hit = np.flatnonzero((wave >= lo) & (wave <= hi))
        return (int(hit[0]), int(hit[-1]) + 1) if hit.size else None

    def grid(self, grid_id: int) -> NDArray[Any]:
        """The values of a wavelength grid, as delivered."""
        found = self._grid_cache.get(grid_id)
        if found is None:
            self._load_grids({grid_id})
            found = self._grid_cache.get(grid_id)
        if found is None:
            raise DataError(f"wavelength grid {grid_id} is missing", code="bad_archive",
                            where=str(self.dataset.root))  # fmt: skip
        return found

    def _load_grids(self, wanted: set[int]) -> None:
        missing = [g for g in wanted if self._grid_cache.get(g) is None]
        if not missing:
            return
        rows_of = self._rows_of_grids()
        rows = [r for g in missing for r in rows_of.get(g, [])]
        if not rows:
            return
        found: dict[int, list[dict[str, Any]]] = {}
        for record in self._grids.take(rows).to_pylist():
            found.setdefault(record["grid_id"], []).append(record)
        if len(missing) > 256:
            self._grid_cache._size = max(self._grid_cache._size, 2 * len(missing))
        for grid_id, tiles in found.items():
            tiles.sort(key=lambda t: t["tile"])
            blob = b"".join(t["values"] for t in tiles)
            dtype, *shape = tiles[0]["dtype"].split(";")
            values = np.frombuffer(blob, dtype).reshape([int(n) for n in shape])
            self._grid_cache.put(grid_id, values)

    def _rows_of_grids(self) -> dict[int, list[int]]:
        with self._lock:
            if self._grid_rows is None:
                self._grid_rows = {}
                ids = self._grids.table(["grid_id"]).column(0).to_pylist()
                for row, grid_id in enumerate(ids):
                    self._grid_rows.setdefault(grid_id, []).append(row)
            return self._grid_rows

    def grid_ids(self) -> set[int]:
        """The grids that are stored."""
        return set(self._rows_of_grids())


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to read for samples start … stop of a spectrum: tiles, and where each lies."""

    start: int
    stop: int
    tiles: list[int]
    bounds: list[tuple[int, int]]

    @classmethod
    def of(cls, head: dict[str, Any], inside: tuple[int, int] | None) -> _Plan | None:
        """For the samples inside a window; whole orders of an echelle."""
        if inside is None:
            return None
        start, stop = inside
        shape = head["shape"]
        if len(shape) == 2:
            start, stop = start // shape[1] * shape[1], -(-stop // shape[1]) * shape[1]
        bounds = tile_bounds(int(np.prod(shape)))
        tiles = [i for i, (a, b) in enumerate(bounds) if a < stop and b > start]
        return cls(start, stop, tiles, [bounds[i] for i in tiles])

    def spectrum(self, head: dict[str, Any], axis: SpectralAxis, parts: list[Any]) -> Spectrum:
        """The samples, out of what was read of its tiles."""
        base, end = self.bounds[0][0], self.bounds[-1][1]
        flat = decode(
            {k: v for k, v in head.items() if k != "orders"}, _cut(axis, base, end), parts,
            (end - base,), self.bounds,
        )  # fmt: skip
        flat = _slice(flat, self.start - base, self.stop - base)
        return _orders(flat, head, self.start, self.stop) if len(head["shape"]) == 2 else flat


def _wcs_range(axis: SpectralAxis, lo: float, hi: float) -> tuple[int, int] | None:
    """Sample range of a monotonic axis by narrowing down: nothing of length n is computed."""
    assert axis.wcs is not None
    usable_lo, usable_hi = _positive_part(axis, axis.wcs.n)
    if usable_lo >= usable_hi:
        return None
    ends = axis.to_aa(axis.wcs.at(np.array([usable_lo, usable_hi - 1])))
    rising = ends[1] > ends[0]
    first = _first(axis, usable_lo, usable_hi, lambda w: (w >= lo) if rising else (w <= hi))
    last = _first(axis, usable_lo, usable_hi, lambda w: (w > hi) if rising else (w < lo))
    return (first, last) if last > first else None


def _positive_part(axis: SpectralAxis, n: int) -> tuple[int, int]:
    """Samples of a WCS axis with 0 < λ < ∞ (a padded linear axis can start below 0)."""
    ends = axis.wave_aa(0, 1)[0], axis.wave_aa(n - 1, n)[0]
    if all(np.isfinite(e) and e > 0 for e in ends):
        return 0, n
    wave = axis.wave_aa()
    ok = np.flatnonzero(np.isfinite(wave) & (wave > 0))
    return (int(ok[0]), int(ok[-1]) + 1) if ok.size else (0, 0)


def _first(
    axis: SpectralAxis, lo: int, hi: int, test: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
) -> int:
    """The first sample of lo … hi − 1 whose wavelength passes a test that all later ones pass."""
    assert axis.wcs is not None
    while lo < hi:
        at = np.unique(np.linspace(lo, hi - 1, _LOOKS).astype(np.int64))
        passed = test(axis.to_aa(axis.wcs.at(at)))
        k = int(np.argmax(passed)) if passed.any() else len(at)
        lo, hi = int(at[k - 1]) + 1 if k else lo, int(at[k]) if k < len(at) else hi
    return lo


def _cut(axis: SpectralAxis, start: int, stop: int) -> SpectralAxis:
    import dataclasses

    if axis.values is not None:
        return dataclasses.replace(axis, values=axis.values.reshape(-1)[start:stop])
    assert axis.wcs is not None
    w = axis.wcs
    return dataclasses.replace(axis, wcs=LinearWCS(w.crval, w.cdelt, w.crpix - start, stop - start))


def _slice(s: Spectrum, start: int, stop: int) -> Spectrum:
    return s.replace(
        axis=_cut(s.axis, start, stop), flux=s.flux[start:stop],
        uncertainty=None if s.uncertainty is None else s.uncertainty[start:stop],
        flags=None if s.flags is None else s.flags[start:stop],
        extras={k: v[start:stop] for k, v in s.extras.items()},
    )  # fmt: skip


def _orders(flat: Spectrum, head: dict[str, Any], start: int, stop: int) -> EchelleSpectrum:
    import dataclasses

    n_pix = head["shape"][1]
    shape = ((stop - start) // n_pix, n_pix)
    values = flat.axis.values
    assert values is not None
    names = [f.name for f in dataclasses.fields(Spectrum)]
    fields = {name: getattr(flat, name) for name in names}
    fields |= {
        "axis": dataclasses.replace(flat.axis, values=values.reshape(shape)),
        "flux": flat.flux.reshape(shape),
        "uncertainty": None if flat.uncertainty is None else flat.uncertainty.reshape(shape),
        "flags": None if flat.flags is None else flat.flags.reshape(shape),
        "extras": {k: v.reshape(shape) for k, v in flat.extras.items()},
    }
    numbers = tuple(head["orders"][start // n_pix : stop // n_pix])
    return EchelleSpectrum(order_numbers=numbers, trace=head["trace"], **fields)
