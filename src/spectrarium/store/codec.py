"""Spectrum ↔ rows: every array as its delivered bytes, everything else as one JSON header.

A spectrum of up to `WHOLE` samples is one row; a longer one becomes tiles of `TILE` samples, so
that a window reads only the tiles it touches. The header sits in tile 0: pixels alone suffice to
rebuild a spectrum, whatever happens to the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import InternalError
from ..domain.observation import Observation, Provenance
from ..domain.spectrum import (
    EchelleSpectrum,
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from .header import Header

WHOLE = 8192
TILE = 4096
NO_GRID = -1
Bytes = bytes | memoryview
Tile = tuple[Bytes, Bytes | None, Bytes | None, Bytes | None]
"""Flux, uncertainty, flags and extras of a run of samples."""


def hash63(data: bytes) -> int:
    """A non-negative 63-bit integer from BLAKE3."""
    return _int63(blake3(data))


def uid_of(collection: str, obs_id: str) -> int:
    """The key of an observation's identity (collection, obs_id)."""
    return hash63(f"{collection}\x1f{obs_id}".encode())


def id_hash(obs_id: str) -> int:
    """Key of a bare obs_id, to look one up without its collection."""
    return hash63(obs_id.encode())


def tile_bounds(n: int) -> list[tuple[int, int]]:
    """(start, stop) of each tile of a spectrum of n samples."""
    if n <= WHOLE:
        return [(0, n)]
    return [(at, min(at + TILE, n)) for at in range(0, n, TILE)]


@dataclass(frozen=True, slots=True)
class Grid:
    """A wavelength grid, stored once however many spectra share it."""

    grid_id: int
    values: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One spectrum as rows for the pixel dataset, with its identity."""

    uid: int
    obs_id: str
    fingerprint: int
    header: bytes
    metadata: str | None
    tiles: tuple[Tile, ...]
    grid: Grid | None
    nbytes: int


def encode(spectrum: Spectrum) -> Encoded:
    """The rows of a spectrum. Arrays are kept bit for bit in native byte order."""
    axis = spectrum.axis
    grid = None
    if axis.values is not None:
        values = _plain(axis.values)
        grid = Grid(_grid_id(values), values)
    flux = _plain(spectrum.flux)
    unc = None if spectrum.uncertainty is None else _plain(spectrum.uncertainty)
    flags = None if spectrum.flags is None else _plain(spectrum.flags)
    extras = [_plain(array) for array in spectrum.extras.values()]
    # one buffer: hashing it at once takes a third of the time of hashing array by array
    samples = b"".join([a.data.cast("B") for a in (flux, unc, flags, *extras) if a is not None])
    head = Header(spectrum, None if grid is None else grid.grid_id)
    content = head.content
    digest = blake3(blake3(samples).digest() + content.encode())
    obs = spectrum.observation
    obs_id = obs.obs_id
    if not obs_id:
        obs_id = _content_id(spectrum.provenance, digest.hexdigest())
        head.named(obs_id)
        content = head.content
    header = head.stored(content)
    return Encoded(
        uid=uid_of(obs.obs_collection, obs_id), obs_id=obs_id, fingerprint=_int63(digest),
        header=header, metadata=head.metadata, tiles=_tiles(samples, flux, unc, flags, extras),
        grid=grid, nbytes=len(header) + len(samples),
    )  # fmt: skip


def _int63(digest: Any) -> int:
    return int.from_bytes(digest.digest(8), "little") & 0x7FFF_FFFF_FFFF_FFFF


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "fiub":
        raise InternalError(f"cannot store an array of {array.dtype}", code="bad_dtype")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _grid_id(values: NDArray[Any]) -> int:
    # the samples first and at once: they are hashed three times as fast as after other bytes
    shape = ",".join(map(str, values.shape))
    samples = blake3(values.data.cast("B")).digest()
    return _int63(blake3(samples + f"{values.dtype.str}{shape}".encode()))


def _content_id(provenance: Provenance, content: str) -> str:
    """(content hash, HDU/row): the identity of what has no identifier of its own."""
    part = (provenance.file_hash or content)[:24]
    for letter, value in (("h", provenance.hdu), ("r", provenance.row)):
        if value is not None:
            part += f"-{letter}{value}"
    return part


def _tiles(
    samples: bytes, flux: NDArray[Any], unc: NDArray[Any] | None, flags: NDArray[Any] | None,
    extras: Sequence[NDArray[Any]],
) -> tuple[Tile, ...]:  # fmt: skip
    """Views of `samples`, in which the arrays lie end to end, cut into tiles."""
    n, at = flux.size, 0
    views: list[tuple[memoryview, int] | None] = []
    whole = memoryview(samples)
    for array in (flux, unc, flags, *extras):
        if array is None:
            views.append(None)
        else:
            views.append((whole[at : at + array.nbytes], array.itemsize))
            at += array.nbytes
    out = []
    for start, stop in tile_bounds(n):
        f, u, q, *x = (None if v is None else v[0][start * v[1] : stop * v[1]] for v in views)
        assert f is not None
        out.append((f, u, q, b"".join(e for e in x if e is not None) if x else None))
    return tuple(out)


def axis_of(head: Mapping[str, Any], values: NDArray[Any] | None) -> SpectralAxis:
    """The spectral axis of a header, given the values of its grid where it has one."""
    a = head["axis"]
    wcs = LinearWCS(*a["wcs"]) if "wcs" in a else None
    return SpectralAxis(
        unit=a["unit"], values=values, wcs=wcs, scale=Scale(a["scale"]),
        medium=Medium(a["medium"]), specsys=SpecSys(a["specsys"]),
        rest_frequency_hz=a.get("rest_frequency_hz"),
    )  # fmt: skip


@lru_cache(maxsize=256)
def _scheme(text: str) -> FlagScheme:
    name, bits, bad = json.loads(text)
    return FlagScheme(name, {int(k): v for k, v in bits.items()}, bad)


def decode(
    head: Mapping[str, Any], axis: SpectralAxis,
    parts: Sequence[tuple[bytes, bytes | None, bytes | None, bytes | None]],
    shape: tuple[int, ...] | None = None,
    bounds: Sequence[tuple[int, int]] | None = None,
) -> Spectrum:  # fmt: skip
    """Rebuild a spectrum (or the run of tiles `parts`, with its `axis` already cut to them)."""
    dtype = head["dtype"]
    shape = shape or tuple(head["shape"])
    flux = _join([p[0] for p in parts], dtype["flux"], shape)
    unc = flags = None
    if "uncertainty" in dtype:
        unc = _join([p[1] for p in parts], dtype["uncertainty"], shape)
    if "flags" in dtype:
        flags = _join([p[2] for p in parts], dtype["flags"], shape)
    extras = _extras(head, [p[3] for p in parts], shape, bounds)
    obs, prov = dict(head["obs"]), dict(head["prov"])
    prov["warnings"] = tuple(prov.get("warnings", ()))
    common: dict[str, Any] = {
        "axis": axis, "flux": flux, "uncertainty": unc, "flags": flags, "extras": extras,
        "observation": Observation(**obs), "provenance": Provenance(**prov),
        "uncertainty_kind": UncertaintyKind(head["uncertainty_kind"]),
        "flag_scheme": _scheme(json.dumps(head["scheme"])) if "scheme" in head else None,
        "flux_unit": head["flux_unit"], "flux_ucd": head["flux_ucd"],
        "flux_calibration": FluxCalibration(head["flux_calibration"]),
        "normalisation": Normalisation(head["normalisation"]),
    }  # fmt: skip
    if "orders" in head and len(shape) == 2:
        return EchelleSpectrum(order_numbers=tuple(head["orders"]), trace=head["trace"], **common)
    return Spectrum(**common)


def _join(parts: Sequence[bytes | None], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    blob = parts[0] if len(parts) == 1 else b"".join(p for p in parts if p is not None)
    return np.frombuffer(blob or b"", dtype=dtype).reshape(shape)


def _extras(
    head: Mapping[str, Any], blobs: Sequence[bytes | None], shape: tuple[int, ...],
    bounds: Sequence[tuple[int, int]] | None,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    specs = [(name, np.dtype(text)) for name, text in head.get("extras", ())]
    if not specs:
        return {}
    bounds = bounds or tile_bounds(int(np.prod(head["shape"])))
    pieces: dict[str, list[NDArray[Any]]] = {name: [] for name, _ in specs}
    for blob, (start, stop) in zip(blobs, bounds, strict=True):
        at, n = 0, stop - start
        for name, dtype in specs:
            pieces[name].append(np.frombuffer(blob or b"", dtype, n, at))
            at += n * dtype.itemsize
    return {
        name: (p[0] if len(p) == 1 else np.concatenate(p)).reshape(shape)
        for name, p in pieces.items()
    }
