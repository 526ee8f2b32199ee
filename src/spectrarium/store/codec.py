"""Spectrum ↔ rows: every array as its delivered bytes, everything else as one JSON header.

A spectrum of up to `WHOLE` samples is one row; a longer one becomes tiles of `TILE` samples, so
that a window reads only the tiles it touches. The header sits in tile 0: pixels alone suffice to
rebuild a spectrum, whatever happens to the catalogue.
"""

from __future__ import annotations

import dataclasses
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

WHOLE = 8192
TILE = 4096
NO_GRID = -1


def hash63(data: bytes) -> int:
    """A non-negative 63-bit integer from BLAKE3."""
    return int.from_bytes(blake3(data).digest(8), "little") & 0x7FFF_FFFF_FFFF_FFFF


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
    tiles: tuple[tuple[bytes, bytes | None, bytes | None, bytes | None], ...]
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
    extras = {name: _plain(array) for name, array in spectrum.extras.items()}
    head = _header(spectrum, grid)
    content = blake3(json.dumps(_identity_part(head), sort_keys=True).encode())
    for array in (flux, unc, flags, *extras.values()):
        if array is not None:
            content.update(array.data.cast("B"))
    fingerprint = int.from_bytes(content.digest(8), "little") & 0x7FFF_FFFF_FFFF_FFFF
    obs = spectrum.observation
    obs_id = obs.obs_id or _content_id(spectrum.provenance, content.hexdigest())
    head["obs"]["obs_id"] = obs_id
    tiles = tuple(_tiles(flux, unc, flags, list(extras.values())))
    header = json.dumps(head, separators=(",", ":")).encode()
    nbytes = len(header) + sum(len(part) for tile in tiles for part in tile if part)
    return Encoded(
        uid=uid_of(obs.obs_collection, obs_id), obs_id=obs_id, fingerprint=fingerprint,
        header=header, tiles=tiles, grid=grid, nbytes=nbytes,
    )  # fmt: skip


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "fiub":
        raise InternalError(f"cannot store an array of {array.dtype}", code="bad_dtype")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _grid_id(values: NDArray[Any]) -> int:
    shape = ",".join(map(str, values.shape))
    digest = blake3(f"{values.dtype.str}{shape}".encode())
    digest.update(values.data.cast("B"))
    return int.from_bytes(digest.digest(8), "little") & 0x7FFF_FFFF_FFFF_FFFF


def _content_id(provenance: Provenance, content: str) -> str:
    """(content hash, HDU/row): the identity of what has no identifier of its own."""
    part = (provenance.file_hash or content)[:24]
    for letter, value in (("h", provenance.hdu), ("r", provenance.row)):
        if value is not None:
            part += f"-{letter}{value}"
    return part


def _tiles(
    flux: NDArray[Any], unc: NDArray[Any] | None, flags: NDArray[Any] | None,
    extras: Sequence[NDArray[Any]],
) -> list[tuple[bytes, bytes | None, bytes | None, bytes | None]]:  # fmt: skip
    arrays = [None if a is None else a.reshape(-1) for a in (flux, unc, flags)]
    flat = [a.reshape(-1) for a in extras]
    out = []
    for start, stop in tile_bounds(flux.size):
        f, u, q = (None if a is None else a[start:stop].tobytes() for a in arrays)
        x = b"".join(a[start:stop].tobytes() for a in flat) if flat else None
        assert f is not None
        out.append((f, u, q, x))
    return out


def _header(s: Spectrum, grid: Grid | None) -> dict[str, Any]:
    a = s.axis
    axis: dict[str, Any] = {"unit": a.unit, "scale": a.scale, "medium": a.medium,
                            "specsys": a.specsys}  # fmt: skip
    if a.rest_frequency_hz is not None:
        axis["rest_frequency_hz"] = a.rest_frequency_hz
    if grid is not None:
        axis["grid"] = grid.grid_id
    else:
        assert a.wcs is not None
        axis["wcs"] = [a.wcs.crval, a.wcs.cdelt, a.wcs.crpix, a.wcs.n]
    dtype = {"flux": s.flux.dtype.newbyteorder("=").str}
    if s.uncertainty is not None:
        dtype["uncertainty"] = s.uncertainty.dtype.newbyteorder("=").str
    if s.flags is not None:
        dtype["flags"] = s.flags.dtype.newbyteorder("=").str
    head: dict[str, Any] = {
        "obs": _present(s.observation), "prov": _present(s.provenance), "axis": axis,
        "dtype": dtype, "shape": list(s.flux.shape), "uncertainty_kind": s.uncertainty_kind,
        "flux_unit": s.flux_unit, "flux_ucd": s.flux_ucd,
        "flux_calibration": s.flux_calibration, "normalisation": s.normalisation,
    }  # fmt: skip
    if s.extras:
        head["extras"] = [[name, x.dtype.newbyteorder("=").str] for name, x in s.extras.items()]
    if s.flag_scheme is not None:
        head["scheme"] = [s.flag_scheme.name,
                          {str(k): v for k, v in s.flag_scheme.bits.items()},
                          s.flag_scheme.bad]  # fmt: skip
    if isinstance(s, EchelleSpectrum):
        head["orders"] = list(s.order_numbers)
        head["trace"] = s.trace
    return head


_FIELDS = {cls: tuple(f.name for f in dataclasses.fields(cls)) for cls in (Observation, Provenance)}


def _present(value: Observation | Provenance) -> dict[str, Any]:
    out = {}
    for name in _FIELDS[type(value)]:
        x = getattr(value, name)
        if isinstance(x, np.generic):
            x = x.item()
        if x is None or x == () or x == {} or (isinstance(x, float) and x != x):
            continue
        out[name] = dict(x) if isinstance(x, Mapping) else x
    return out


def _identity_part(head: dict[str, Any]) -> dict[str, Any]:
    """What makes two deliveries the same content: all but where the bytes lay."""
    return {key: value for key, value in head.items() if key != "prov"}


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
