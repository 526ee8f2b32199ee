"""A step in a spectrum: what two arms of a spectrograph leave when they are badly joined."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .observer import in_overlap, near_band_head

WINDOW = 48
"""Pixels on either side in which the level is taken."""
_NARROW, _GAP, _SEARCH, _TRIED = 8, 1, WINDOW // 2 + 4, 4
LEAST_Z, LEAST_STEP = 8.0, 0.12
SHARPNESS = (0.7, 1.35)
"""Ratio of the step over 8 pixels to that of lines fitted over 96: a break wider than a few pixels
is below, a feature at the break above."""
LEAST_GAIN = 2.0
"""By which a step beats two lines that meet, in squared departure."""
_SYSTEMATIC, _OWN_SCATTER = 0.03, 0.02
_HEAD_KMS = 500.0


@dataclass(frozen=True, slots=True)
class Step:
    """wave_aa : where · ln_ratio : of red side over blue · share : of the squared departure around
    it that the step explains"""

    wave_aa: float
    ln_ratio: float
    share: float


def find_step(
    wave: NDArray[np.float64], flux: NDArray[np.float64], ivar: NDArray[np.float64],
    expected: NDArray[np.float64], scatter: NDArray[Any] | float, observed: bool = True,
) -> Step | None:  # fmt: skip
    """The clearest step of flux/expected, or of the flux itself where arms overlap; or None.

    A step is unresolved, at least 12 % high and 8 σ, and joins stretches that are straight on both
    sides; breaks at molecular band heads are none. The flux itself is looked at because a model
    that was shown many bad joins reproduces them, but only where arms of known spectrographs
    overlap: breaks elsewhere may be the object's own.

    Parameters
    ----------
    wave : (n,) Å, vacuum · flux, ivar, expected : (n,) on it; ivar 0 = no information
    scatter : (n,) variance that the model disregards · observed : the frame is the observer's
    """
    if flux.size < 6 * WINDOW or not (ivar > 0).any():
        return None
    level = np.maximum(expected, 0.05 * float(np.median(np.abs(expected))) or 1.0)
    found = _clearest(wave, flux / level, ivar * level**2, scatter / level**2)
    if observed:
        flat = float(np.median(np.abs(flux[ivar > 0]))) or 1.0
        own = _clearest(wave, flux / flat, ivar * flat**2, _OWN_SCATTER**2)
        if own is not None and in_overlap(own.wave_aa) and (
            found is None or own.share > found.share
        ):  # fmt: skip
            found = own
    return found


def _clearest(
    wave: NDArray[np.float64], values: NDArray[np.float64], ivar: NDArray[np.float64],
    scatter: NDArray[Any] | float,
) -> Step | None:  # fmt: skip
    good = ivar > 0
    ratio = np.where(good, values, np.nan)
    noise = np.where(good, 1.0 / np.maximum(ivar, 1e-12), np.nan)
    position, significance = _breaks(ratio, noise)
    best: tuple[float, Step] | None = None
    for at in _peaks(position, significance):
        found = _shape(ratio, noise + scatter, at)
        if found is None:
            continue
        centre, step, gain = found
        if near_band_head(float(wave[centre]), _HEAD_KMS):
            continue
        if best is None or gain > best[0]:
            best = (gain, Step(float(wave[centre]), math.log1p(step), 1.0 - 1.0 / gain))
    return None if best is None else best[1]


def _breaks(
    ratio: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions, and by how many σ the levels on both sides do not meet there."""
    w = WINDOW
    p = np.arange(2 * w + _GAP, ratio.size - 2 * w - _GAP, 2)
    median = _running_median(ratio, w)
    known = np.isfinite(variance)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, variance, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    number = count[w:] - count[:-w]
    # of a median: π/2 times the mean's
    error = (total[w:] - total[:-w]) / np.maximum(number, 1) ** 2 * (0.5 * np.pi)
    starts = p - 2 * w - _GAP, p - w - _GAP, p + _GAP, p + w + _GAP
    l2, l1, r1, r2 = (median[s] for s in starts)
    e2, e1, f1, f2 = (error[s] for s in starts)
    jump = 1.5 * (r1 - l1) - 0.5 * (r2 - l2)
    size = 0.5 * (np.abs(l1) + np.abs(r1)) + 1e-3
    sigma = np.sqrt(2.25 * (e1 + f1) + 0.25 * (e2 + f2))
    with np.errstate(invalid="ignore"):
        out = np.abs(jump) / np.hypot(sigma, _SYSTEMATIC * size)
    return p, np.where(np.isfinite(out), out, 0.0)


def _running_median(values: NDArray[np.float64], w: int) -> NDArray[np.float64]:
    """Of values[i : i + w], NaN where half of them or more are unknown."""
    filled = np.where(np.isfinite(values), values, np.inf)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(filled, w), axis=1)
    known = np.isfinite(windows).sum(axis=1)
    middle = windows[np.arange(len(windows)), np.maximum(known - 1, 0) // 2]
    return np.where(known > w // 2, middle, np.nan)


def _peaks(position: NDArray[np.int64], significance: NDArray[np.float64]) -> list[int]:
    """The few most significant breaks, a window apart."""
    out: list[int] = []
    left = significance.copy()
    while len(out) < _TRIED:
        i = int(np.argmax(left))
        if left[i] < LEAST_Z:
            break
        out.append(int(position[i]))
        left[np.abs(position - position[i]) < WINDOW] = 0.0
    return out


def _shape(
    ratio: NDArray[np.float64], variance: NDArray[np.float64], at: int
) -> tuple[int, float, float] | None:
    """Centre, relative height and gain of a break that is shaped like a step, else None."""
    centre = _centre(ratio, at)
    narrow = float(np.nanmedian(ratio[centre + 1 : centre + 1 + _NARROW])
                   - np.nanmedian(ratio[centre - _NARROW : centre]))  # fmt: skip
    around = slice(max(centre - 2 * WINDOW, 0), centre + 2 * WINDOW)
    y, v = ratio[around], variance[around]
    known = np.isfinite(y) & np.isfinite(v)
    if known.sum() < 2 * WINDOW:
        return None
    x = (np.arange(around.start, around.start + y.size) - centre) / WINDOW
    right_side = (x >= 0).astype(float)
    step_model = np.stack([right_side, 1 - right_side, right_side * x, (1 - right_side) * x], 1)
    kink_model = np.stack([np.ones_like(x), x, np.abs(x)], axis=1)
    sigma = np.sqrt(v[known])
    fit, with_step = _robust(step_model[known], y[known], sigma)
    _, without = _robust(kink_model[known], y[known], sigma)
    height = fit[0] - fit[1]
    base = fit[1]
    gain = without / max(with_step, 1e-9)
    if base <= 0 or fit[0] <= 0 or abs(math.log(fit[0] / base)) < LEAST_STEP or gain < LEAST_GAIN:
        return None
    if not SHARPNESS[0] <= narrow / height <= SHARPNESS[1]:
        return None
    return centre, float(height / base), float(gain)


def _centre(ratio: NDArray[np.float64], at: int) -> int:
    """Where means of a few pixels on both sides differ most (medians would not say which pixel)."""
    near = ratio[at - _SEARCH - _NARROW : at + _SEARCH + _NARROW + 2]
    low, high = np.nanpercentile(near, (16, 84)) if np.isfinite(near).any() else (0.0, 0.0)
    span = float(high - low)
    limited = np.clip(ratio, low - span, high + span)  # a spike is no step
    best = (0.0, at)
    for c in range(at - _SEARCH, at + _SEARCH + 1):
        left, right = limited[c - _NARROW : c], limited[c + 1 : c + 1 + _NARROW]
        if np.isfinite(left).sum() < _NARROW // 2 or np.isfinite(right).sum() < _NARROW // 2:
            continue
        here = abs(float(np.nanmean(right) - np.nanmean(left)))
        best = max(best, (here, c))
    return best[1]


def _robust(
    model: NDArray[np.float64], y: NDArray[np.float64], sigma: NDArray[np.float64]
) -> tuple[NDArray[Any], float]:
    """Coefficients by reweighted least squares, and the mean squared departure (25 σ² at most)."""
    weight = 1.0 / sigma
    fit: NDArray[Any] = np.zeros(model.shape[1])
    r: NDArray[Any] = y / sigma
    for _ in range(4):
        fit = np.linalg.lstsq(model * weight[:, None], y * weight, rcond=None)[0]
        r = (y - model @ fit) / sigma
        weight = np.sqrt(np.minimum(1.0, 2.5 / np.maximum(np.abs(r), 1e-9))) / sigma
    return fit, float(np.mean(np.minimum(r**2, 25.0)))
