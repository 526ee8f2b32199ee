"""The JSON header of a stored spectrum: everything but its samples, written fast.

It is assembled from texts, because most of it is the same for a whole survey: what a flag scheme
says is encoded once, and the observation's metadata once for header and catalogue alike.
"""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import numpy as np

from ..domain.observation import Observation, Provenance
from ..domain.spectrum import EchelleSpectrum, FlagScheme, Spectrum

_NAMES = {cls: tuple(f.name for f in dataclasses.fields(cls)) for cls in (Observation, Provenance)}
_values: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    cls: attrgetter(*names) for cls, names in _NAMES.items()
}
# sorted, so that the same content gives the same bytes however it was put together
to_json: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class Header:
    """The parts of one spectrum's header.

    content : all but where the bytes lay: what two deliveries of the same spectrum share
    metadata : the observation's further values as JSON, or None
    """

    def __init__(self, spectrum: Spectrum, grid_id: int | None) -> None:
        obs = _present(spectrum.observation)
        found = obs.pop("metadata", None)
        self.metadata = to_json(found) if found else None
        self._obs = obs
        self._rest = _rest(spectrum, grid_id)
        self._provenance = to_json(_present(spectrum.provenance))

    @property
    def content(self) -> str:
        """JSON of everything but the provenance."""
        obs = to_json(self._obs)
        if self.metadata is not None:
            obs = f'{obs[:-1]},"metadata":{self.metadata}}}'
        return f'{{"obs":{obs},{self._rest}}}'

    def named(self, obs_id: str) -> None:
        """Fill in the identifier of an observation that came without one."""
        self._obs["obs_id"] = obs_id

    def stored(self, content: str) -> bytes:
        """The whole header, given its own `content`."""
        return f'{content[:-1]},"prov":{self._provenance}}}'.encode()


def _rest(s: Spectrum, grid_id: int | None) -> str:
    a = s.axis
    axis: dict[str, Any] = {"unit": a.unit, "scale": a.scale, "medium": a.medium,
                            "specsys": a.specsys}  # fmt: skip
    if a.rest_frequency_hz is not None:
        axis["rest_frequency_hz"] = a.rest_frequency_hz
    if grid_id is not None:
        axis["grid"] = grid_id
    else:
        assert a.wcs is not None
        axis["wcs"] = [a.wcs.crval, a.wcs.cdelt, a.wcs.crpix, a.wcs.n]
    dtype = {"flux": _dtype(s.flux)}
    if s.uncertainty is not None:
        dtype["uncertainty"] = _dtype(s.uncertainty)
    if s.flags is not None:
        dtype["flags"] = _dtype(s.flags)
    head: dict[str, Any] = {
        "axis": axis, "dtype": dtype, "shape": s.flux.shape,
        "uncertainty_kind": s.uncertainty_kind, "flux_unit": s.flux_unit, "flux_ucd": s.flux_ucd,
        "flux_calibration": s.flux_calibration, "normalisation": s.normalisation,
    }  # fmt: skip
    if s.extras:
        head["extras"] = [(name, _dtype(x)) for name, x in s.extras.items()]
    if isinstance(s, EchelleSpectrum):
        head["orders"] = s.order_numbers
        head["trace"] = s.trace
    text = to_json(head)[1:-1]
    return text if s.flag_scheme is None else f'{text},"scheme":{_scheme(s.flag_scheme)}'


def _dtype(array: np.ndarray[Any, Any]) -> str:
    dtype = array.dtype
    return str(dtype.str if dtype.isnative else dtype.newbyteorder("=").str)


_schemes: OrderedDict[int, tuple[FlagScheme, str]] = OrderedDict()


def _scheme(scheme: FlagScheme) -> str:
    found = _schemes.get(id(scheme))  # the scheme is kept beside its text: its id stays its own
    if found is None:
        bits = {str(k): v for k, v in scheme.bits.items()}
        found = _schemes[id(scheme)] = scheme, to_json([scheme.name, bits, scheme.bad])
        if len(_schemes) > 64:
            _schemes.popitem(last=False)
    return found[1]


def _present(value: Observation | Provenance) -> dict[str, Any]:
    """The fields that say something, as JSON values."""
    kind = type(value)
    out: dict[str, Any] = {}
    for name, x in zip(_NAMES[kind], _values[kind](value), strict=True):
        if x is None:
            continue
        if isinstance(x, np.generic):
            x = x.item()
        if isinstance(x, (str, int)):
            out[name] = x
        elif isinstance(x, float):
            if x == x:
                out[name] = x
        elif len(x):
            out[name] = dict(x) if isinstance(x, Mapping) else x
    return out
