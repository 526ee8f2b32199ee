"""What a client of SODA asks for, out of its parameters.

Source: IVOA SODA 1.0, section 3; DALI 1.1. Parameters of our own: FLUXCALIB, MEDIUM, FRAME,
RESAMPLE, JOIN and the formats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from ..domain.axis import Medium
from ..domain.errors import UsageError
from ..run.cutouts import Filter
from ..run.recast import FluxWish, Recast, Steps
from .dali import DaliError, Params, finite
from .dali_values import Shape, circle, contains, interval, polygon, position
from .publisher import identity_of

IDS_MOST = 5000
"""Spectra of one request."""
RESULTS_MOST = 20_000
"""Combinations of spectra, bands, regions and times of one request."""
FORMATS = {
    "votable": "application/x-votable+xml", "fits": "application/fits", "csv": "text/csv",
    "png": "image/png", "image/fits": "image/fits",
}  # fmt: skip
"""Words → types. ``image/fits`` is a trailed image: a row a spectrum, on one grid."""
_ALSO = {
    "text/xml": "votable", "application/xml": "votable", "text/csv;header=present": "csv",
    "fits/image": "image/fits", "trail": "image/fits", "application/x-votable+xml;content=spec":
    "votable", "image/x-fits": "image/fits",
}  # fmt: skip
_STOKES = ("I", "Q", "U", "V", "RR", "LL", "RL", "LR", "XX", "YY", "XY", "YX", "POLI", "POLA")
_GRIDS = {"log": "Δ log10 λ", "r": "λ/Δλ of a bin", "linear": "m"}


@dataclass(frozen=True, slots=True)
class SodaQuery:
    """A request. ids : as they came · names : as the archive knows them · join : one file of all"""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    filters: tuple[Filter, ...]
    recast: Recast
    form: str = "votable"
    join: bool = True

    @property
    def single(self) -> bool:
        """Whether one dataset can be the answer."""
        return len(self.ids) * len(self.filters) == 1


def soda_query(params: Params, *, joined: bool = True) -> SodaQuery:
    """The request that parameters make.

    joined : whether there is one file unless JOIN says otherwise
    Raises DaliError for a missing ID and for whatever is malformed, out of range or too much.
    """
    ids = params.all("ID")
    if not ids:
        raise DaliError("ID is missing", where="ID",
                        remedy="give one or more obs_publisher_did of this archive")  # fmt: skip
    if len(ids) > IDS_MOST:
        raise DaliError(f"{len(ids)} IDs are asked for", where="ID",
                        remedy=f"ask for {IDS_MOST} or fewer at a time")  # fmt: skip
    filters = _filters(params)
    if len(ids) * len(filters) > RESULTS_MOST:
        raise DaliError(f"{len(ids)} IDs and {len(filters)} combinations of filters are too many",
                        where="BAND",
                        remedy=f"ask for {RESULTS_MOST} results or fewer")  # fmt: skip
    join = params.choice("JOIN", ("true", "false"), "true" if joined else "false")
    return SodaQuery(tuple(ids), tuple(map(_name, ids)), tuple(filters), _recast(params),
                     _form(params), join == "true")  # fmt: skip


def _name(did: str) -> str:
    """What the archive calls it; what names no dataset names nothing there."""
    try:
        return identity_of(did)
    except UsageError:
        return ""


def _filters(params: Params) -> list[Filter]:
    stokes = [s.upper() for s in params.all("POL")]
    for state in stokes:
        if state not in _STOKES:
            raise DaliError(f"POL is {state[:20]!r}", where="POL",
                            remedy="give I, Q, U, V …")  # fmt: skip
    kinds: list[list[Any]] = [
        [partial(contains, s) for s in _values(params, name, read)] or [None]
        for name, read in (("POS", position), ("CIRCLE", circle), ("POLYGON", polygon))
    ]  # fmt: skip
    bands: list[Any] = [_band(text) for text in params.all("BAND")] or [None]
    times: list[Any] = [interval(text, "TIME") for text in params.all("TIME")] or [None]
    if math.prod(map(len, (*kinds, bands, times))) > RESULTS_MOST:
        raise DaliError("too many combinations of filters", where="BAND")
    return [
        Filter(band, time, tuple(s for s in sky if s is not None), not stokes or "I" in stokes)
        for *sky, band, time in product(*kinds, bands, times)
    ]


def _values(params: Params, name: str, read: Callable[[str, str], Shape]) -> list[Shape]:
    return [read(text, name) for text in params.all(name)]


def _band(text: str) -> tuple[float, float]:
    """An interval in m; a value alone is meant as both ends."""
    low, high = interval(text if len(text.split()) > 1 else f"{text} {text}", "BAND")
    if high <= 0 or low == math.inf:
        raise DaliError(f"BAND is {text[:60]!r}: no wavelength", where="BAND",
                        remedy="give vacuum wavelengths in m: 6.553e-7 6.573e-7")  # fmt: skip
    return max(low, 0.0), high


def _recast(params: Params) -> Recast:
    medium = params.choice("MEDIUM", ("vacuum", "air"))
    frame = params.choice("FRAME", ("delivered", "rest"), "delivered")
    flux = params.choice("FLUXCALIB", [f.value for f in FluxWish if f.value], "")
    steps = params.one("RESAMPLE")
    return Recast(None if medium is None else Medium(medium), frame == "rest", FluxWish(flux or ""),
                  None if steps is None else _steps(steps))  # fmt: skip


def _steps(text: str) -> Steps:
    """``log 1e-4`` (Δ log10 λ), ``R 50000`` (λ/Δλ of a bin) or ``linear 1e-11`` (m)."""
    kind, _, number = text.replace(":", " ").partition(" ")
    if kind.lower() not in _GRIDS:
        raise DaliError(f"RESAMPLE is {text[:60]!r}", where="RESAMPLE",
                        remedy="give log STEP, R NUMBER or linear STEP_IN_M")  # fmt: skip
    value = finite(number.strip(), "RESAMPLE")
    low, high = {"log": (1e-8, 0.1), "r": (5.0, 1e7), "linear": (1e-15, 1e-6)}[kind.lower()]
    if not low <= value <= high:
        raise DaliError(f"RESAMPLE has the step {value:g}", where="RESAMPLE",
                        remedy=f"give {low:g} to {high:g} ({_GRIDS[kind.lower()]})")  # fmt: skip
    if kind.lower() == "log":
        return Steps(value * math.log(10.0))
    return Steps(1.0 / value) if kind.lower() == "r" else Steps(1e10 * value, linear=True)


def _form(params: Params) -> str:
    """The word of the format. Raises DaliError for what is not offered, or two that differ."""
    found: Sequence[str] = [_word(t) for n in ("RESPONSEFORMAT", "FORMAT") for t in params.all(n)]
    if len(set(found)) > 1:
        raise DaliError("several formats are asked for", where="RESPONSEFORMAT",
                        fault="MultiValuedParamNotSupported", remedy="ask for one")  # fmt: skip
    return found[0] if found else "votable"


def _word(text: str) -> str:
    plain = "".join(text.lower().split())
    by_type = {kind: word for word, kind in FORMATS.items()}
    word = plain if plain in FORMATS else by_type.get(plain) or _ALSO.get(plain)
    if word is None:
        raise DaliError(f"there is no format {text[:60]!r}", where="RESPONSEFORMAT",
                        remedy="choose from: " + ", ".join(FORMATS))  # fmt: skip
    return word
