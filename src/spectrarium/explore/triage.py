"""What an outlier looks like: an artefact, astrophysical, or neither for sure; with the reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    gaussian_filter1d,
    maximum_filter1d,
    median_filter,
)

from ..domain.derived import Region
from ..domain.units import C_KMS
from ..measure.lines import LineKind, lines_between
from ..measure.telluric import BANDS, in_telluric_band
from .explain import despiked, regions
from .identify import Pair, identify
from .observer import near_sky_line
from .steps import Step, find_step

ARTEFACT, ASTROPHYSICAL, UNCLEAR = "artefact", "astrophysical", "unclear"
BARYCENTRIC_KMS = 31.0
LOW_SNR, MUCH_MASKED, MUCH_NEGATIVE, MUCH_FLAT = 3.0, 0.25, 0.05, 0.05
"""Median S/N; shares of pixels without information, below −3 σ, and equal to the one before."""
NO_SIGNAL, FAINT_SHARE = 0.8, 0.25
"""S/N at which nothing is believed; share in features from which a faint spectrum is."""
SPIKE_SIGMA = 8.0
SPIKES, SPIKE_SHARE, ONE_SPIKE_SHARE = 2, 0.2, 0.5
"""So many spikes with so much of the squared departure, or so much for fewer."""
OBSERVER_SHARE, OBSERVER_EXCESS = 0.5, 2.5
"""Share of the squared departure on sky lines (or telluric bands), over their share of pixels."""
SMOOTH_SHARE, COHERENT_SHARE = 0.7, 0.15
PROFILE_GAIN, PROFILE_SHARE = 60.0, 0.1
"""Fall of χ², and share of the squared departure, from which lines have another shift or width."""
_CLIP = 30.0
_DEGREE = 4
_BESIDE, _CONTRAST = 15, 4.0
_OWN = 0.007
"""Within 2000 km/s of a strong line of the object a departure is taken to be its own."""
_MOST_REASONS = 3
_SOURCE = tuple(k for k in LineKind if k not in (LineKind.SKY, LineKind.TELLURIC))


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that an outlier looks like.

    name : ``cosmic_ray``, ``sky_lines``, ``telluric``, ``bad_join``, ``low_snr``, ``masked``,
    ``negative_flux``, ``flat``, ``continuum``, ``lines``, ``broad_features``, ``line_profiles``,
    ``shifted_lines``, ``nothing_local``
    kind : artefact, astrophysical or unclear · share : of the squared departure (0…1)
    lo_aa, hi_aa : where, Å on the grid given; NaN = all over · text : for people
    """

    name: str
    kind: str
    share: float
    lo_aa: float
    hi_aa: float
    text: str


@dataclass(frozen=True, slots=True)
class Triage:
    """kind : artefact, astrophysical or unclear, that of the first of `reasons`."""

    kind: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """A spectrum, what was expected, and the departure in σ (n,); sigma_px : of the line-spread
    function in pixels, the sampling included · shift_kms : by which the observer's lines may be
    off; None = unknown: they are not looked for"""

    wave: NDArray[np.float64]
    flux: NDArray[np.float64]
    ivar: NDArray[np.float64]
    expected: NDArray[np.float64]
    weight: NDArray[np.float64]
    residual: NDArray[np.float64]
    sigma_px: float
    shift_kms: float | None
    z: float | None

    @property
    def good(self) -> NDArray[np.bool_]:
        return np.asarray(self.ivar > 0)

    @property
    def energy(self) -> NDArray[np.float64]:
        """(n,) squared departure, beyond 30 σ no more."""
        return np.asarray(np.clip(self.residual, -_CLIP, _CLIP) ** 2)

    def share(self, where: NDArray[np.bool_]) -> float:
        """Of the squared departure beyond what noise explains, how much lies there."""
        beyond = np.maximum(self.energy - 1.0, 0.0) * self.good
        total = float(beyond.sum())
        return float(beyond[where].sum()) / total if total > 0 else 0.0


def triage(
    wave_aa: NDArray[Any], flux: NDArray[Any], ivar: NDArray[Any], expected: NDArray[Any],
    scatter: NDArray[Any] | float = 0.0, *, frame: str = "observed", z: float | None = None,
    resolving_power: float | None = None, snr: float | None = None,
) -> Triage:  # fmt: skip
    """What the departure of a spectrum from what was expected of it looks like.

    Faults are looked for first: flux that is mostly noise, masked, negative or constant; spikes
    sharper than the instrument; departures on night-sky lines or in telluric bands; a step that a
    bad join of two arms leaves. What then remains and is as wide as the instrument makes lines is
    astrophysical; with a known redshift the lines are named. A departure as smooth as a polynomial
    is unclear: flux calibration, reddening and unusual stars all look like that.

    Parameters
    ----------
    wave_aa : (n,) equal steps of ln λ, Å, vacuum · flux, ivar, expected : (n,) normalised; ivar 0 =
        no information · scatter : (n,) variance that the model disregards
    frame : of the wavelengths (see `embed.domain.frame_class`); sky and air are looked for only in
        ``observed``, ``topocentric`` and ``barycentric`` · z : redshift, None = unknown
    resolving_power : λ/FWHM, None = two pixels to a resolution element · snr : None = from flux
    Source: thresholds chosen on planted faults of one mock survey, measured on another. Valid for:
    single spectra with some 200 pixels or more; a spike is told from a line only where a
    resolution element spans 1.7 pixels or more.
    """
    case = _case(wave_aa, flux, ivar, expected, scatter, frame, z, resolving_power)
    step = find_step(case.wave, case.flux, case.ivar, case.expected, scatter,
                     case.shift_kms is not None)  # fmt: skip
    found = _quality(case, snr)
    found += _spikes(case) + _observer(case) + _join(case, step)
    if not found:
        found = _features(case)
    found.sort(key=lambda r: -r.share)
    return Triage(found[0].kind, tuple(found[:_MOST_REASONS]))


def _case(
    wave: NDArray[Any], flux: NDArray[Any], ivar: NDArray[Any], expected: NDArray[Any],
    scatter: NDArray[Any] | float, frame: str, z: float | None, power: float | None,
) -> _Case:  # fmt: skip
    w, f, i, e = (np.asarray(a, np.float64) for a in (wave, flux, ivar, expected))
    weight = i / (1.0 + i * scatter)
    pixel_kms = math.log(w[-1] / w[0]) / (w.size - 1) * C_KMS
    fwhm = 2.0 if power is None else max(2.0, C_KMS / power / pixel_kms)
    shift = {"observed": BARYCENTRIC_KMS, "topocentric": 0.0, "barycentric": BARYCENTRIC_KMS}
    return _Case(
        w, f, i, e, weight, np.where(i > 0, (f - e) * np.sqrt(weight), 0.0),
        # a pixel of unit width adds 1/12 to the variance
        math.hypot(fwhm / 2.3548, math.sqrt(1.0 / 12.0)), shift.get(frame),
        0.0 if frame == "rest" else z,
    )  # fmt: skip


def _quality(case: _Case, snr: float | None) -> list[Reason]:
    good = case.good
    if not good.any():
        return [_everywhere("masked", 1.0, "no good pixel")]
    signal = case.flux[good] * np.sqrt(case.ivar[good])
    level = round(float(np.median(signal)) if snr is None else snr, 1) + 0.0  # no minus zero
    out = []
    masked = 1.0 - float(good.mean())
    if masked > MUCH_MASKED:
        out.append(_everywhere("masked", 1.0, f"{100 * masked:.0f} % of the pixels masked"))
    negative = float((signal < -3.0).mean())
    if negative > MUCH_NEGATIVE:
        text = f"flux below zero by more than 3 σ in {100 * negative:.0f} % of the pixels"
        out.append(_everywhere("negative_flux", 1.0, text))
    values = case.flux[good]
    same = float((np.diff(values) == 0).mean())
    if same > MUCH_FLAT:
        text = f"{100 * same:.0f} % of the pixels equal the one before: saturated or filled in"
        out.append(_everywhere("flat", 1.0, text))
    faint = _everywhere("low_snr", 1.0, f"S/N of {level:.1f} per pixel")
    if level < NO_SIGNAL and not out:
        return [faint]
    if level < LOW_SNR and not out:
        seen = sum(r.share for r in _features(case) if r.name != "nothing_local")
        out += [] if seen > FAINT_SHARE else [faint]
    return out


def _everywhere(name: str, share: float, text: str, kind: str = ARTEFACT) -> Reason:
    return Reason(name, kind, share, math.nan, math.nan, text)


def _spikes(case: _Case) -> list[Reason]:
    """Peaks whose weaker neighbour is fainter than any line of the instrument allows.

    A Gaussian of σ pixels whose centre lies δ ≤ ½ off a pixel's has neighbours of at least
    exp(−1/σ²) of its peak pixel.
    """
    least = math.exp(-1.0 / case.sigma_px**2)
    filled = np.interp(case.wave, case.wave[case.good], case.flux[case.good]) if (
        case.good.any()) else case.flux  # fmt: skip
    height = filled - median_filter(filled, 15, mode="nearest")
    sigma = np.full(height.shape, np.inf)
    sigma[case.good] = case.ivar[case.good] ** -0.5
    peak = (height > SPIKE_SIGMA * sigma) & (height == maximum_filter1d(height, 5))
    peak[:2] = peak[-2:] = False
    peak[1:-1] &= case.good[:-2] & case.good[2:]
    at = np.flatnonzero(peak)
    if not at.size or least < 0.1:
        return []
    weaker = np.minimum(height[at - 1], height[at + 1])
    error = np.hypot(sigma[at], sigma[at - 1]) / height[at]
    sharp = at[weaker / height[at] + error < 0.9 * least]
    # a single bad pixel beside an absorption line is no spike of its own
    sharp = sharp[np.abs(case.residual[sharp]) > 0.5 * SPIKE_SIGMA]
    near = np.zeros(case.wave.size, bool)
    for offset in range(-2, 3):
        near[sharp + offset] = True
    # what spikes do to the rest of a bright spectrum's fit must not hide them: no limit here
    beyond = np.maximum(case.residual**2 - 1.0, 0.0)
    share = max(case.share(near), float(beyond[near].sum() / max(beyond.sum(), 1e-9)))
    if share < (SPIKE_SHARE if sharp.size >= SPIKES else ONE_SPIKE_SHARE):
        return []
    high = sharp[np.argsort(-height[sharp])][:4]
    places = ", ".join(f"{w:.0f}" for w in sorted(case.wave[high].tolist()))
    more = " …" if sharp.size > 4 else ""
    text = f"{sharp.size} spike{'s' if sharp.size > 1 else ''} sharper than the instrument " \
           f"({places}{more} Å)"  # fmt: skip
    top = high[0]
    return [Reason("cosmic_ray", ARTEFACT, share, float(case.wave[top - 1]),
                   float(case.wave[top + 1]), text)]  # fmt: skip


def _observer(case: _Case) -> list[Reason]:
    """Departures that keep to night-sky lines, or to bands of the air."""
    if case.shift_kms is None:
        return []
    pixel_kms = math.log(case.wave[-1] / case.wave[0]) / (case.wave.size - 1) * C_KMS
    width = 2.0 * case.sigma_px * pixel_kms
    out = []
    telluric = in_telluric_band(case.wave, case.shift_kms)
    for name, where, what in (
        ("sky_lines", near_sky_line(case.wave, width, case.shift_kms), "on night-sky lines"),
        ("telluric", telluric, "in telluric bands"),
    ):  # fmt: skip
        pixels = float((where & case.good).sum()) / max(1, int(case.good.sum()))
        share = case.share(where)
        if share < OBSERVER_SHARE or share < OBSERVER_EXCESS * pixels:
            continue
        worst = int(np.argmax(np.where(where, case.energy, -1.0)))
        if not _is_the_observers(case, where, worst):
            continue
        half = width / C_KMS * case.wave[worst]
        low, high = case.wave[worst] - half, case.wave[worst] + half
        band = [b for b in BANDS if b.lo_aa < case.wave[worst] < b.hi_aa]
        if name == "telluric" and band:
            low, high = band[0].lo_aa, band[0].hi_aa
        text = f"{100 * share:.0f} % of the departure lies {what}, most at {case.wave[worst]:.0f} Å"
        out.append(Reason(name, ARTEFACT, share, float(low), float(high), text))
    return out


def _is_the_observers(case: _Case, where: NDArray[np.bool_], worst: int) -> bool:
    """Not the object's own: no strong line of its redshift lies there, and either it absorbs or
    several lines or bands take part (one excess alone may be an emission line in a bad place)."""
    at = float(case.wave[worst])
    if case.z is not None:
        near = lines_between(at * (1 - _OWN), at * (1 + _OWN), z=case.z, kinds=_SOURCE)
        if any(entry.weight == 1 for entry, _ in near):
            return False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], where.astype(np.int8), [0]])))
    energy = np.where(where & case.good, np.maximum(case.energy - 1.0, 0.0), 0.0)
    each = [float(energy[a:b].sum()) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    start, stop = next((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)
                       if a <= worst < b)  # fmt: skip
    beyond = np.where(case.good, np.maximum(case.energy - 1.0, 0.0), np.nan)
    beside = np.concatenate(
        [beyond[max(start - _BESIDE, 0) : start], beyond[stop : stop + _BESIDE]]
    )
    if np.isfinite(beside).any() and (
        float(np.nanmean(beyond[start:stop])) < _CONTRAST * float(np.nanmean(beside))
    ):  # fmt: skip
        return False  # the departure does not keep to the line or band
    several = sum(e > 0.1 * sum(each) for e in each) > 1
    return several or float(case.residual[where].sum()) < 0


def _join(case: _Case, step: Step | None) -> list[Reason]:
    if step is None:
        return []
    text = f"a step of {100 * abs(math.expm1(step.ln_ratio)):.0f} % at {step.wave_aa:.0f} Å: two " \
           "arms badly joined"  # fmt: skip
    low, high = step.wave_aa * (1 - 1e-3), step.wave_aa * (1 + 1e-3)
    return [Reason("bad_join", ARTEFACT, step.share, low, high, text)]


def _features(case: _Case) -> list[Reason]:
    """No fault was found: lines, broad features, a smooth departure, or nothing to point at."""
    smooth, rest = _without_smooth(case)
    found = regions(case.wave, despiked(rest), 5)
    least = 1.5 * case.sigma_px
    step = math.log(case.wave[-1] / case.wave[0]) / (case.wave.size - 1)
    wide = [r for r in found if math.log(r.hi_aa / r.lo_aa) / step + 1 >= least]
    coherent = sum(r.contribution for r in wide)
    if smooth > SMOOTH_SHARE or (smooth > 0.5 and coherent < COHERENT_SHARE):
        text = "smooth over the whole range: flux calibration, reddening or an unusual continuum"
        return [_everywhere("continuum", smooth, text, UNCLEAR)]
    if coherent < COHERENT_SHARE:
        profile = _profiles(case, rest)
        if profile is not None:
            return [profile]
        text = "no feature stands out: many weak departures" if not found else \
               "departures too narrow to be told from noise"  # fmt: skip
        return [_everywhere("nothing_local", max(coherent, 1e-3), text, UNCLEAR)]
    # what is expected has less noise, but its lines would be seen in the spectrum only above this
    pair = Pair(case.wave, case.flux, case.ivar, case.expected, case.ivar, True)
    out = []
    for region in wide[:_MOST_REASONS]:
        names = names_in(region, pair, case.z)
        broad = region.hi_aa / region.lo_aa - 1.0 > 0.02
        what = {1: "excess", -1: "deficit", 0: "difference"}[region.sign]
        shape = f"{'broad ' if broad else ''}{what} at {region.lo_aa:.0f}–{region.hi_aa:.0f} Å"
        text = f"{shape} ({names})" if names else shape
        name = "lines" if names and not broad else "broad_features"
        out.append(Reason(name, ASTROPHYSICAL, region.contribution, region.lo_aa, region.hi_aa,
                          text))  # fmt: skip
    return out


def _profiles(case: _Case, rest: NDArray[np.float64]) -> Reason | None:
    """Many weak departures that together are lines displaced, or of another width.

    A small shift or broadening of f changes it by f′ and f″ (Taylor).
    """
    smooth = gaussian_filter1d(case.expected, 1.0)
    first = np.gradient(smooth)
    slopes = np.stack([first, np.gradient(first)], axis=1) * np.sqrt(case.weight)[:, None]
    limited = np.clip(rest, -_CLIP, _CLIP)
    total = float(np.maximum(limited[case.good] ** 2 - 1.0, 0.0).sum())
    fit, *_ = np.linalg.lstsq(slopes, limited, rcond=None)
    gains = [float((limited**2).sum() - ((limited - slopes[:, k] * fit[k]) ** 2).sum())
             for k in (0, 1)]  # fmt: skip
    k = int(np.argmax(gains))
    share = gains[k] / total if total > 0 else 0.0
    if gains[k] < PROFILE_GAIN or share < PROFILE_SHARE:
        return None
    if k == 0:
        text = "its lines are displaced: another velocity, or an error of the wavelengths"
        return _everywhere("shifted_lines", share, text, UNCLEAR)
    text = "its lines are broader or doubled" if fit[1] > 0 else "its lines are narrower or deeper"
    return _everywhere("line_profiles", share, text, ASTROPHYSICAL)


def _without_smooth(case: _Case) -> tuple[float, NDArray[np.float64]]:
    """Share of the squared departure that expected × a polynomial of degree 4 takes away, and the
    departure that is left, in σ."""
    x = np.linspace(-1, 1, case.wave.size)
    basis = np.polynomial.chebyshev.chebvander(x, _DEGREE) * case.expected[:, None]
    root = np.sqrt(case.weight)
    robust = root.copy()
    rest = case.residual
    for _ in range(4):
        fit = np.linalg.lstsq(basis * robust[:, None], case.flux * robust, rcond=None)[0]
        rest = np.where(case.good, (case.flux - basis @ fit) * root, 0.0)
        robust = root * np.sqrt(np.minimum(1.0, 3.0 / np.maximum(np.abs(rest), 1e-9)))
    before = np.maximum(case.energy[case.good] - 1.0, 0.0).sum()
    after = np.maximum(np.clip(rest, -_CLIP, _CLIP)[case.good] ** 2 - 1.0, 0.0).sum()
    return (max(0.0, 1.0 - float(after / before)) if before > 0 else 0.0), rest


def names_in(region: Region, pair: Pair, z: float | None, most: int = 3) -> str:
    """What of the source may lie in a region: ``Hα, [N II]``, ``TiO``; "" = nothing known.

    pair : the spectrum, and what was expected of it · z : at which its lines are on this grid;
    None = unknown: they are those of a source at rest, marked ``if at rest``
    """
    found = [i for i in identify(region, pair, z=z, observer_z=None) if i.kind in ("line", "band")]
    names = list(dict.fromkeys(i.label for i in sorted(found, key=lambda i: i.wave_aa)))[:most]
    return ", ".join(names) + (" if at rest" if names and z is None else "")
