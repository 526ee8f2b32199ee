"""What lies where two spectra differ: lines of the source, bands of the air, lines of the sky."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Region
from ..domain.units import C_KMS
from ..measure.lines import Line, LineKind, lines_between
from ..measure.molecules import Shown, bands_shown
from ..measure.telluric import BANDS

OH_FOREST_AA = (7240.0, 10_300.0)
"""Where airglow of OH is dense enough that sky subtraction leaves residuals (Osterbrock et al.
1996, PASP 108, 277); beyond, it goes on to 2.3 µm."""

_SOURCE = tuple(k for k in LineKind if k not in (LineKind.SKY, LineKind.TELLURIC))
_CONTINUUM = 0.08
"""A region wider than this share of its wavelength (24 000 km/s) is wider than any line."""
_SUBSCRIPTS = str.maketrans("2", "₂")
_BROAD = 0.02
"""A region wider than this (6000 km/s) is a band of a molecule rather than one of its lines."""
_CORE_KMS, _PAD_KMS, _SAME_KMS = 250.0, 150.0, 600.0
_MOST = 3
_REACHES = 0.3
"""A band belongs to a region of which, or of itself, it has this share."""
_ALIKE_DEPTH = 0.03
_REST = 0.003
"""Below this redshift (900 km/s) a source may be a star of the Galaxy."""
_COOL = ("TiO", "C2", "CaH", "VO")
_HOT = ("He I", "He II", "N III", "C IV", "Si II", "Mg II")
"""Lines of gas too hot for molecules: beside their bands they are believed in emission only."""
_ABSORBS = ("Mg b", "G", "Ca I", "Fe I", "Sr II", "Ba II", "Li I", "K I")
"""Lines that stars absorb and hardly anything emits."""
_MOLECULES = {"TiO", "CN"}  # among the lines; as bands they are known by their heads
_WAY = {1: "brighter", -1: "fainter", 0: "of another shape"}
_Feature = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Identified:
    """What a region may be.

    label : as in plots (``Hα``) · name : of `measure.lines`, or of the band · wave_aa : where, in
    the frame of the spectra · kind : ``line``, ``band`` (of a molecule), ``telluric``, ``sky`` or
    ``continuum``
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
    expected : the other is what was expected of the first, a mean that has lines of many redshifts
    """

    wave: NDArray[Any]
    flux: NDArray[Any]
    ivar: NDArray[Any]
    other: NDArray[Any]
    other_ivar: NDArray[Any]
    expected: bool = False


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
    heads, bands = _of_molecules(region, pair, z, other_z)
    lines, shows = _of_the_source(region, pair, z, other_z)
    seen = shows and z is not None
    width = region.hi_aa / region.lo_aa - 1.0
    middle = 0.5 * (region.lo_aa + region.hi_aa)
    text = f"continuum: the query is {_WAY[region.sign]} here"
    broad = (Identified("continuum", "continuum", middle, "continuum", text),)
    if width > _CONTINUUM:  # no line is that wide: those inside are guests
        return (*broad, *heads, *(lines if seen else ()), *bands, *air)[:_MOST]
    if lines or air or heads or bands:
        if width > _BROAD:
            heads, bands = (*heads, *bands), ()
        source = (*lines, *bands) if shows else (*bands, *lines)
        found = (*source, *air) if seen or bands else (*air, *lines)
        return (*heads, *found)[:_MOST]
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


@lru_cache(maxsize=4)
def _shown(pair: Pair, z: float, other_z: float) -> tuple[tuple[Shown, ...], tuple[Shown, ...]]:
    """Bands of molecules in both; kept, since a pair is asked about region by region."""
    return (bands_shown(pair.wave, pair.flux, pair.ivar, z),
            bands_shown(pair.wave, pair.other, pair.other_ivar, other_z))  # fmt: skip


def _of_molecules(
    region: Region, pair: Pair, z: float | None, other_z: float | None
) -> tuple[tuple[Identified, ...], tuple[Identified, ...]]:
    """Bands that one or both show, one for each molecule: with a head in the region that differs,
    and others that reach into it."""
    at = 0.0 if z is None else z
    pad = _PAD_KMS / C_KMS * region.lo_aa
    mine, others = ({s.band: s.depth for s in shown} for shown in
                    _shown(pair, at, at if other_z is None else other_z))  # fmt: skip
    if pair.expected:  # a mean of many: what it shows is not what its members show
        others = {}
    found: dict[str, tuple[bool, float, Identified]] = {}
    for band in {**mine, **others}:
        own = at if band in mine or other_z is None else other_z
        low, high = band.range_aa(own)
        shared = min(region.hi_aa, high) - max(region.lo_aa, low)
        if shared < _REACHES * min(high - low, region.hi_aa - region.lo_aa):
            continue
        head = low if band.tail_air_aa > band.head_air_aa else high
        a, b = mine.get(band, 0.0), others.get(band, 0.0)
        first = region.lo_aa - pad < head < region.hi_aa + pad and abs(a - b) > _ALIKE_DEPTH
        text = _band_in_words(band.label, a, b) if first else (
            f"at the {band.label} band the query is {_WAY[region.sign]}")  # fmt: skip
        named = Identified(band.label, band.name, head, "band", text)
        if z is None:
            named = replace(named, text=f"{text}, if at rest", certain=False)
        rank = (first, abs(a - b), named)
        found[band.molecule] = max(rank, found.get(band.molecule, rank), key=lambda f: f[:2])
    ranked = sorted(found.values(), key=lambda f: -f[1])
    return tuple(i for first, _, i in ranked if first), tuple(i for first, _, i in ranked
                                                              if not first)  # fmt: skip


def _band_in_words(label: str, mine: float, others: float) -> str:
    if mine and others:
        return f"{label} band {'deeper' if mine > others else 'shallower'} in the query"
    return f"{label} band in the {'query' if mine else 'neighbour'} only"


def _of_the_source(
    region: Region, pair: Pair, z: float | None, other_z: float | None
) -> tuple[tuple[Identified, ...], bool]:
    """Lines of the query and, where it has another redshift, of the other; whether any shows."""
    shared = other_z is None or z is None or abs(other_z - z) < _SAME_KMS / C_KMS * (1.0 + z)
    at = 0.0 if z is None else z
    mine, others = _shown(pair, at, at if other_z is None else other_z)
    cool = (any(s.band.molecule in _COOL for s in mine),
            any(s.band.molecule in _COOL for s in others))  # fmt: skip
    found = _lines_at(region, pair, at, "both" if shared else "query", cool)
    if not shared and other_z is not None:
        found += _lines_at(region, pair, other_z, "neighbour", cool)
    if region.hi_aa / region.lo_aa - 1.0 > _BROAD:  # some strong line is in any broad region
        found = [f for f in found if f[0]]
    found.sort(key=lambda f: (not f[0], -f[1]))
    out = [identified for _, _, identified in found if z is not None][:_MOST]
    if z is None:
        out = [replace(i, text=f"{i.text}, if at rest", certain=False) for *_, i in found[:_MOST]]
    return tuple(out), bool(found) and found[0][0]


def _lines_at(
    region: Region, pair: Pair, z: float, whose: str, cool: tuple[bool, bool]
) -> list[tuple[bool, float, Identified]]:
    """(shows, evidence, line) of the lines that may be behind a region, one for each blend.

    cool : the first and the second of the pair have bands of molecules
    """
    pad = max(_PAD_KMS / C_KMS * region.lo_aa, 1.5 * _pixel_aa(pair.wave, region))
    inside = lines_between(region.lo_aa - pad, region.hi_aa + pad, z=z, kinds=_SOURCE)
    ranked = sorted(
        ((_evidence(pair, at) / (1.0 + 0.35 * (entry.weight - 1)), entry, at)
         for entry, at in inside if entry.label not in _MOLECULES), key=lambda f: -f[0],
    )  # fmt: skip
    out: list[tuple[bool, float, Identified]] = []
    for weight, entry, at in ranked:
        if weight < 0.25 * ranked[0][0]:
            break
        if any(abs(at - o.wave_aa) < 2 * pad for *_, o in out):
            continue  # a blend has one name: that of its strongest member
        mine, others = _done_by(entry, pair, at, region, z, cool)
        text, seen = _in_words(entry.label, mine, others, region, whose)
        # a line that does not show explains nothing, unless it is strong and could
        hidden = not _emits_only(entry, z, all(cool)) or (region.sign > 0 and abs(z) > _REST)
        if text and (seen or (entry.weight == 1 and hidden)):
            out.append((seen, weight, Identified(entry.label, entry.name, at, "line", text)))
    return out


def _done_by(
    entry: Line, pair: Pair, at: float, region: Region, z: float, cool: tuple[bool, bool]
) -> tuple[_Feature, _Feature]:
    """What a line does in each of a pair; nothing where it is what this line cannot do."""
    half = max(at - region.lo_aa, region.hi_aa - at, 0.0) / at * C_KMS
    half = float(np.clip(half, 1.5 * _CORE_KMS, 8000.0))
    out = []
    for flux, ivar, is_cool, counts in (
        (pair.flux, pair.ivar, cool[0], region.sign >= 0),
        (pair.other, pair.other_ivar, cool[1], region.sign <= 0 and not pair.expected),
    ):
        sign, height = _feature(pair.wave, flux, ivar, at, half)
        wrong = sign == 1 and entry.label in _ABSORBS
        if _emits_only(entry, z, is_cool):  # at rest, only in the brighter of the two
            wrong = sign == -1 or (abs(z) < _REST and not counts)
        out.append((0 if wrong else sign, height))
    return out[0], out[1]


def _emits_only(entry: Line, z: float, cool: bool) -> bool:
    """Whether a line cannot be in absorption: forbidden ones; in what is at rest also lines of
    quasars and, beside bands of molecules, those of hot gas."""
    if abs(z) < _REST and (entry.kind == LineKind.QUASAR or (cool and entry.label in _HOT)):
        return True
    return "]" in entry.label or entry.label == "H2"


def _evidence(pair: Pair, at: float) -> float:
    """How much two spectra differ at a line, in σ."""
    core = _within(pair, at, _CORE_KMS)
    if not core.any():
        return 1e-6
    variance = 1.0 / pair.ivar[core] + 1.0 / pair.other_ivar[core]
    gap = pair.flux[core].astype(float) - pair.other[core]
    return float(np.sqrt(np.mean(gap**2 / variance))) + 1e-6


def _in_words(
    label: str, mine: _Feature, others: _Feature, region: Region, whose: str
) -> tuple[str, bool]:
    """What the line does in those it belongs to, and whether it shows there at all."""
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
    return f"at {label} the query is {_WAY[region.sign]}", False


def _feature(
    wave: NDArray[Any], flux: NDArray[Any], ivar: NDArray[Any], at: float, half_kms: float
) -> _Feature:
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
