"""What lies where two spectra differ: lines of the source, bands of the air, lines of the sky."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Region
from ..domain.errors import UsageError
from ..domain.units import C_KMS
from ..measure.airvac import vac_to_air
from ..measure.lines import LINES, Line, LineKind, lines_between
from ..measure.telluric import BANDS

OH_FOREST_AA = (7240.0, 10_300.0)
"""Where airglow of OH is dense enough that sky subtraction leaves residuals (Osterbrock et al.
1996, PASP 108, 277); beyond, it goes on to 2.3 µm."""

_SOURCE = tuple(k for k in LineKind if k not in (LineKind.SKY, LineKind.TELLURIC))
_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon"}
_CONTINUUM = 0.08
"""A region wider than this share of its wavelength (24 000 km/s) is wider than any line."""
_SUBSCRIPTS = str.maketrans("2", "₂")
_CORE_KMS, _PAD_KMS, _SAME_KMS, _BLEND = 250.0, 150.0, 600.0, 0.012
_MOST = 3


@dataclass(frozen=True, slots=True)
class Identified:
    """What a region may be.

    label : as in plots (``Hα``) · name : of `measure.lines`, or of the band · wave_aa : where, in
    the frame of the spectra · kind : ``line``, ``telluric``, ``sky`` or ``continuum``
    text : a sentence without its full stop · certain : False if it supposes z = 0
    """

    label: str
    name: str
    wave_aa: float
    kind: str
    text: str
    certain: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two spectra on one grid: the query and what it is compared with.

    wave : (n,) Å vacuum · flux, ivar, other, other_ivar : (n,)
    """

    wave: NDArray[Any]
    flux: NDArray[Any]
    ivar: NDArray[Any]
    other: NDArray[Any]
    other_ivar: NDArray[Any]


def identify(
    region: Region,
    pair: Pair,
    *,
    z: float | None,
    other_z: float | None = None,
    observer_z: float | None = 0.0,
) -> tuple[Identified, ...]:
    """What may lie in a region in which two spectra differ, likeliest first; () = nothing known.

    Parameters
    ----------
    region : in the frame of `pair.wave`
    z : redshift at which the source's lines appear on this grid (0 at rest); None = unknown: lines
        are then named as they would be at rest, and marked as uncertain
    other_z : the same of the spectrum compared with; None = unknown: taken to be that of the query
    observer_z : by which the observer's lines are shifted on this grid: 0 in observed frames,
        1/(1 + z) − 1 of spectra moved to rest; None = unknown: sky and air are not named
    """
    air = () if observer_z is None else _of_the_observer(region, pair, observer_z)
    lines, seen = _of_the_source(region, pair, z, other_z)
    width = region.hi_aa / region.lo_aa - 1.0
    middle = 0.5 * (region.lo_aa + region.hi_aa)
    way = {1: "brighter", -1: "fainter", 0: "of another shape"}[region.sign]
    text = f"continuum: the query is {way} here"
    broad = (Identified("continuum", "continuum", middle, "continuum", text),)
    if width > _CONTINUUM:  # no line is that wide: those inside are guests
        return (*broad, *(lines if seen else ()), *air)[:_MOST]
    if lines or air:
        found = (*lines, *air) if seen else (*air, *lines)
        return found[:_MOST]
    if width > 0.4 * _CONTINUUM:
        return broad
    low, high = (a * (1 + (observer_z or 0.0)) for a in OH_FOREST_AA)
    if observer_z is not None and low < middle < high:
        text = "no listed line; among airglow lines of OH: may be sky subtraction"
        return (Identified("OH", "OH_forest", middle, "sky", text, certain=False),)
    return ()


def _of_the_observer(region: Region, pair: Pair, shift: float) -> tuple[Identified, ...]:
    out = []
    width = region.hi_aa - region.lo_aa
    for band in BANDS:
        low, high = band.lo_aa * (1 + shift), band.hi_aa * (1 + shift)
        label = f"{band.molecule.translate(_SUBSCRIPTS)} {band.label}"
        shared = min(region.hi_aa, high) - max(region.lo_aa, low)
        if shared > 0.5 * width or (shared > 0 and shared > 0.5 * (high - low) and
                                    width < 3 * (high - low)):  # fmt: skip
            at = 0.5 * (max(region.lo_aa, low) + min(region.hi_aa, high))
            out.append(Identified(f"⊕ {label}", f"telluric_{label}", at,
                                  "telluric", f"telluric band of {label}"))  # fmt: skip
    pad = max(2.0 * _pixel_aa(pair.wave, region), 2.0)
    for entry, at in lines_between(region.lo_aa / (1 + shift) - pad,
                                   region.hi_aa / (1 + shift) + pad,
                                   kinds=(LineKind.SKY,)):  # fmt: skip
        if width < 40.0:  # a sky line is as narrow as the instrument; broad regions are not it
            label = entry.label.removesuffix(" sky")
            out.append(Identified(f"sky {label}", entry.name, at * (1 + shift), "sky",
                                  f"sky line {label} {at:.0f} Å"))  # fmt: skip
    return tuple(out)


def _of_the_source(
    region: Region, pair: Pair, z: float | None, other_z: float | None
) -> tuple[tuple[Identified, ...], bool]:
    """Lines of the query and, where it has another redshift, of the other; whether any shows."""
    shared = other_z is None or z is None or abs(other_z - z) < _SAME_KMS / C_KMS * (1.0 + z)
    found = _lines_at(region, pair, 0.0 if z is None else z, "both" if shared else "query")
    if not shared and other_z is not None:
        found += _lines_at(region, pair, other_z, "neighbour")
    found.sort(key=lambda f: (not f[0], -f[1]))
    out = [identified for _, _, identified in found if z is not None][:_MOST]
    if z is None:
        out = [replace(i, text=f"{i.text}, if at rest", certain=False) for *_, i in found[:_MOST]]
    return tuple(out), bool(found) and found[0][0] and z is not None


def _lines_at(
    region: Region, pair: Pair, z: float, whose: str
) -> list[tuple[bool, float, Identified]]:
    """(shows, evidence, line) of the lines that may be behind a region, one for each blend."""
    pad = max(_PAD_KMS / C_KMS * region.lo_aa, 1.5 * _pixel_aa(pair.wave, region))
    inside = lines_between(region.lo_aa - pad, region.hi_aa + pad, z=z, kinds=_SOURCE)
    ranked = sorted(
        ((_evidence(pair, at) / (1.0 + 0.35 * (entry.weight - 1)), entry, at)
         for entry, at in inside), key=lambda f: -f[0],
    )  # fmt: skip
    out: list[tuple[bool, float, Identified]] = []
    for weight, entry, at in ranked:
        if weight < 0.25 * ranked[0][0]:
            break
        if any(abs(at - o.wave_aa) < 2 * pad for *_, o in out):
            continue  # a blend has one name: that of its strongest member
        text, seen = _in_words(entry.label, pair, at, region, whose)
        if text and (seen or entry.weight == 1):  # a weak line that does not show explains nothing
            out.append((seen, weight, Identified(entry.label, entry.name, at, "line", text)))
    return out


def _evidence(pair: Pair, at: float) -> float:
    """How much two spectra differ at a line, in σ."""
    core = _within(pair, at, _CORE_KMS)
    if not core.any():
        return 1e-6
    variance = 1.0 / pair.ivar[core] + 1.0 / pair.other_ivar[core]
    gap = pair.flux[core].astype(float) - pair.other[core]
    return float(np.sqrt(np.mean(gap**2 / variance))) + 1e-6


def _in_words(label: str, pair: Pair, at: float, region: Region, whose: str) -> tuple[str, bool]:
    """What the line does in those it belongs to, and whether it shows there at all."""
    half = max(at - region.lo_aa, region.hi_aa - at, 0.0) / at * C_KMS
    half = float(np.clip(half, 1.5 * _CORE_KMS, 8000.0))
    mine = _feature(pair.wave, pair.flux, pair.ivar, at, half)
    others = _feature(pair.wave, pair.other, pair.other_ivar, at, half)
    words = {1: "emission", -1: "absorption"}
    a, b = mine[0], others[0]
    if whose != "both":
        kind = a if whose == "query" else b
        return (f"{label} {words[kind]} of the {whose}", True) if kind else ("", False)
    if a and a == b:
        more = abs(mine[1]) > abs(others[1])
        degree = {1: ("stronger", "weaker"), -1: ("deeper", "shallower")}[a][0 if more else 1]
        return f"{label} {words[a]} {degree} in the query", True
    if a and b:
        return f"{label} in {words[a]} in the query, in {words[b]} in the neighbour", True
    if a or b:
        return f"{label} {words[a or b]} in the {'query' if a else 'neighbour'} only", True
    way = {1: "brighter", -1: "fainter", 0: "of another shape"}[region.sign]
    return f"at {label} the query is {way}", False


def _feature(
    wave: NDArray[Any], flux: NDArray[Any], ivar: NDArray[Any], at: float, half_kms: float
) -> tuple[int, float]:
    """(+1 emission, −1 absorption, 0 neither beyond 3 σ; mean height above the continuum)."""
    velocity = (wave / at - 1.0) * C_KMS
    good = ivar > 0
    core = good & (np.abs(velocity) <= _CORE_KMS)
    if not core.any():
        nearest = int(np.argmin(np.abs(velocity)))
        core = good & (np.arange(wave.size) == nearest)
    left = good & (velocity < -half_kms) & (velocity >= -3.0 * half_kms)
    right = good & (velocity > half_kms) & (velocity <= 3.0 * half_kms)
    if not core.any() or left.sum() < 3 or right.sum() < 3:
        return 0, 0.0
    level = 0.5 * (float(np.median(flux[left])) + float(np.median(flux[right])))
    weight = ivar[core].astype(float)
    height = float((weight * flux[core]).sum() / weight.sum()) - level
    beside = np.concatenate([ivar[left], ivar[right]]).astype(float)
    error = float(np.hypot(weight.sum() ** -0.5, 1.25 * beside.sum() ** -0.5))
    lines_there = 1.48 * float(np.median(np.abs(np.concatenate([flux[left], flux[right]]) - level)))
    if abs(height) < 3.0 * max(error, lines_there):
        return 0, height
    return (1 if height > 0 else -1), height


def _within(pair: Pair, at: float, half_kms: float) -> NDArray[np.bool_]:
    near = np.abs(pair.wave / at - 1.0) * C_KMS <= half_kms
    return np.asarray(near & (pair.ivar > 0) & (pair.other_ivar > 0))


def _pixel_aa(wave: NDArray[Any], region: Region) -> float:
    at = int(np.clip(np.searchsorted(wave, region.lo_aa), 1, wave.size - 1))
    return float(wave[at] - wave[at - 1])


def lines_named(text: str) -> tuple[Line, ...]:
    """The line, or the members of one close multiplet, that a name means.

    ``Halpha``, ``Ha``, ``Hα``, ``H_alpha``, ``[OIII]5007``, ``OIII_5008``, ``Ca K``, ``NaD`` …;
    numbers may be air or vacuum wavelengths.

    Raises
    ------
    UsageError (unknown_line, ambiguous_line) : listing what there is
    """
    wanted = _plain(text)
    known: dict[str, dict[str, Line]] = {}
    for entry in LINES:
        if entry.kind in _SOURCE:
            for key in _keys(entry):
                known.setdefault(key, {})[entry.name] = entry
    found = sorted(known.get(wanted, {}).values(), key=lambda entry: entry.wave_vac_aa)
    if not found:
        names = ", ".join(entry.name for entry in LINES if entry.kind in _SOURCE)
        near = [n for key in difflib.get_close_matches(wanted, known, 3, 0.7) for n in known[key]]
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
        raise UsageError(f"no line is called {text!r}", code="unknown_line", where="--line",
                         remedy=f"{hint}choose one of: {names}; or give --window LO "
                         "HI")  # fmt: skip
    if found[-1].wave_vac_aa / found[0].wave_vac_aa > 1.0 + _BLEND:
        names = ", ".join(entry.name for entry in found)
        raise UsageError(f"{text!r} is several lines", code="ambiguous_line", where="--line",
                         remedy=f"choose one of: {names}")  # fmt: skip
    return tuple(found)


def _keys(entry: Line) -> set[str]:
    out = {_plain(entry.name), _plain(entry.label)}
    for key in list(out):
        for greek in _GREEK.values():
            if key.endswith(greek):
                out.add(key.removesuffix(greek) + greek[0])
    species = re.match(r"([a-z]+)", _plain(entry.label))
    if species and entry.wave_vac_aa > 2000:
        air = float(vac_to_air(entry.wave_vac_aa, outside="keep"))
        out |= {f"{species[1]}{w:.0f}" for w in (air, entry.wave_vac_aa)}
        out |= {f"{species[1]}{int(w)}" for w in (air, entry.wave_vac_aa)}
    return out


def _plain(text: str) -> str:
    for letter, word in _GREEK.items():
        text = text.replace(letter, word)
    return re.sub(r"[^a-z0-9]", "", text.lower())
