"""The JSON header of a stored spectrum: everything but its samples, written fast.

It is assembled from texts, because most of it is the same for a whole survey: what a flag scheme
says is encoded once, and the observation's metadata once for header and catalogue alike.
"""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
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
    dtypes = tuple(
        (name, _dtype(x))
        for name, x in (("flux", s.flux), ("uncertainty", s.uncertainty), ("flags", s.flags))
        if x is not None
    )
    extras = tuple((name, _dtype(x)) for name, x in s.extras.items())
    orders = (s.order_numbers, s.trace) if isinstance(s, EchelleSpectrum) else None
    text = _template(
        (a.unit, a.scale, a.medium, a.specsys, a.rest_frequency_hz, a.wcs), dtypes, s.flux.shape,
        (s.uncertainty_kind, s.flux_unit, s.flux_ucd, s.flux_calibration, s.normalisation),
        extras, orders,
    )  # fmt: skip
    grid = "" if grid_id is None else f'"grid":{grid_id},'
    scheme = "" if s.flag_scheme is None else f',"scheme":{_scheme(s.flag_scheme)}'
    return f'"axis":{{{grid}{text}{scheme}'


@lru_cache(maxsize=256)
def _template(
    axis: tuple[Any, ...], dtypes: tuple[tuple[str, str], ...], shape: tuple[int, ...],
    kinds: tuple[Any, ...], extras: tuple[tuple[str, str], ...], orders: tuple[Any, ...] | None,
) -> str:  # fmt: skip
    """What most spectra of a survey share, from the axis's first value on."""
    unit, scale, medium, specsys, rest_frequency_hz, wcs = axis
    about: dict[str, Any] = {"unit": unit, "scale": scale, "medium": medium, "specsys": specsys}
    if rest_frequency_hz is not None:
        about["rest_frequency_hz"] = rest_frequency_hz
    if wcs is not None:
        about["wcs"] = [wcs.crval, wcs.cdelt, wcs.crpix, wcs.n]
    names = ("uncertainty_kind", "flux_unit", "flux_ucd", "flux_calibration", "normalisation")
    head: dict[str, Any] = {"dtype": dict(dtypes), "shape": shape}
    head |= zip(names, kinds, strict=True)
    if extras:
        head["extras"] = extras
    if orders is not None:
        head["orders"], head["trace"] = orders
    return f"{to_json(about)[1:]},{to_json(head)[1:-1]}"


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
