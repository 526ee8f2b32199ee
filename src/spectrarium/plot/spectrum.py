"""One spectrum: flux, errors, bad pixels and the lines one looks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.errors import UsageError
from ..domain.spectrum import EchelleSpectrum, Spectrum
from ..domain.units import C_KMS
from ..measure.airvac import vac_to_air
from ..measure.lines import Line, LineKind, lines_between
from .drawing import (
    draw_band,
    draw_flux,
    draw_lines,
    draw_masked,
    flux_limits,
    smoothed,
    smoothing_width,
)
from .labels import flux_label, wave_label
from .style import DRAWING, Style, new_figure, png, style, themed

_KINDS = {
    "STAR": (LineKind.HYDROGEN, LineKind.STELLAR),
    "GALAXY": (LineKind.HYDROGEN, LineKind.NEBULAR, LineKind.STELLAR),
    "QSO": (LineKind.HYDROGEN, LineKind.QUASAR, LineKind.NEBULAR),
}
_MICRON_ABOVE_AA = 25_000.0


def plot_spectrum(
    spectrum: Spectrum,
    *,
    window_aa: tuple[float, float] | None = None,
    redshift: float | None = None,
    heading: str | None = None,
    dark: bool = False,
) -> Figure:
    """A 1600 × 1200 figure of one spectrum; orders of an echelle in two tones.

    Parameters
    ----------
    window_aa : part of the range to show, Å in the spectrum's own medium and frame
    redshift : where lines are marked; None = that of the observation, 0 in the rest frame, from
        the radial velocity, and no lines where none is known
    Raises
    ------
    UsageError : a window without samples
    """
    theme = style(dark)
    with themed(theme):
        figure = new_figure()
        axes = figure.add_subplot()
        wave, flux, sigma, mask = _samples(spectrum, window_aa)
        to_unit, unit = (1e-4, "µm") if wave.max() > _MICRON_ABOVE_AA else (1.0, "Å")
        _draw(axes, spectrum, wave * to_unit, flux, sigma, mask, theme)
        shown = window_aa or (float(wave[~mask].min()), float(wave[~mask].max()))
        axes.set_xlim(shown[0] * to_unit, shown[1] * to_unit)
        axes.tick_params(axis="x", which="major", pad=7.0)  # clear of a 0 at the corner
        axes.set_xlabel(wave_label(spectrum.axis.medium, spectrum.axis.specsys, unit))
        axes.set_ylabel(flux_label(spectrum.flux_unit, spectrum.normalisation))
        z = _redshift(spectrum, redshift)
        if z is not None:
            found = [(e, w * to_unit) for e, w in known_lines(spectrum, shown, z)]
            draw_lines(axes, found, theme, room_px=1400.0)
        figure.suptitle(heading or describe(spectrum), x=0.01, ha="left", fontweight="bold")
        axes.legend(loc="best", ncols=3)
    return figure


def spectrum_png(spectrum: Spectrum) -> bytes:
    """`plot_spectrum` as a PNG of 800 × 600 pixels; from any thread."""
    with DRAWING:
        return png(plot_spectrum(spectrum), dpi=80)


def _samples(
    spectrum: Spectrum, window_aa: tuple[float, float] | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None, NDArray[np.bool_]]:
    """Flattened and ascending; orders are parted by a NaN."""
    wave, mask, ivar = spectrum.wave_aa, spectrum.mask, spectrum.ivar
    flux = spectrum.flux.astype(np.float64)
    with np.errstate(divide="ignore"):
        sigma = None if ivar is None else 1.0 / np.sqrt(ivar)
    if isinstance(spectrum, EchelleSpectrum):
        wave = wave.reshape(flux.shape)
        gap = [(0, 0), (0, 1)]
        wave = np.pad(wave, gap, mode="edge").reshape(-1)
        flux = np.pad(flux, gap, constant_values=np.nan).reshape(-1)
        mask = np.pad(mask.reshape(spectrum.flux.shape), gap, constant_values=True).reshape(-1)
        if sigma is not None:
            sigma = np.pad(sigma, gap, constant_values=np.inf).reshape(-1)
    else:
        order = np.argsort(wave, kind="stable")
        wave, flux, mask = wave[order], flux[order], mask[order]
        sigma = None if sigma is None else sigma[order]
    inside = np.isfinite(wave) & (wave > 0)
    if window_aa is not None:
        inside &= (wave >= window_aa[0]) & (wave <= window_aa[1])
    if not (inside & ~mask).any():
        low, high = (wave[~mask].min(), wave[~mask].max()) if (~mask).any() else (0.0, 0.0)
        raise UsageError("no good pixel to show", code="empty_window",
                         remedy=f"choose a window within {low:.1f}–{high:.1f} Å")  # fmt: skip
    return wave[inside], flux[inside], None if sigma is None else sigma[inside], mask[inside]


def _draw(
    axes: Axes, spectrum: Spectrum, wave: NDArray[Any], flux: NDArray[Any],
    sigma: NDArray[Any] | None, mask: NDArray[np.bool_], theme: Style,
) -> None:  # fmt: skip
    good = np.where(mask, np.nan, flux)
    if sigma is not None:
        draw_band(axes, wave, good, sigma, theme, "1 σ")
    draw_flux(axes, wave, np.where(mask, flux, np.nan), theme.faint, alpha=0.5)
    width = _smoothing(flux, sigma, mask)
    if width > 1 and sigma is not None:
        draw_flux(axes, wave, good, theme.ink, label="flux", alpha=0.3, linewidth=0.6)
        mean = smoothed(np.where(mask, 0.0, flux), np.where(mask, 0.0, sigma**-2.0), width)
        draw_flux(axes, wave, mean, theme.ink, label=f"{width}-pixel mean")
    else:
        draw_flux(axes, wave, good, theme.ink, label="flux")
    draw_masked(axes, wave, mask & np.isfinite(wave), theme)
    axes.set_ylim(*flux_limits(flux, ~mask, sigma))
    if sigma is None:
        axes.plot([], [], " ", label="no errors given")


def _smoothing(flux: NDArray[Any], sigma: NDArray[Any] | None, mask: NDArray[np.bool_]) -> int:
    """Pixels to average for the eye: none above S/N 4, nor where single samples can be seen."""
    if sigma is None or flux.size <= 1500:
        return 1
    snr = float(np.median(flux[~mask] / sigma[~mask]))
    return smoothing_width(snr) if snr < 4 else 1


def _redshift(spectrum: Spectrum, given: float | None) -> float | None:
    if given is not None:
        return given
    if spectrum.axis.specsys is SpecSys.SOURCE:
        return 0.0
    if spectrum.observation.redshift is not None:
        return spectrum.observation.redshift
    rv = spectrum.observation.rv_kms
    return None if rv is None else rv / C_KMS


def known_lines(
    spectrum: Spectrum, range_aa: tuple[float, float], z: float
) -> list[tuple[Line, float]]:
    """Lines of the object's class and where they lie on its own axis (air if it is in air)."""
    kinds = _KINDS.get((spectrum.observation.target_class or "").upper(),
                       (LineKind.HYDROGEN, LineKind.NEBULAR))  # fmt: skip
    found = lines_between(0.999 * range_aa[0], 1.001 * range_aa[1], z=z, kinds=kinds, max_weight=2)
    if spectrum.axis.medium is not Medium.AIR:
        return list(found)
    waves = vac_to_air(np.array([wave for _, wave in found]), outside="keep")
    return [(entry, float(wave)) for (entry, _), wave in zip(found, waves, strict=True)]


def describe(spectrum: Spectrum) -> str:
    """``SDSS 0618-52049-0372 · STAR M1 · z = −0.0001 · S/N 50``, as far as it is known."""
    o = spectrum.observation
    name = o.obs_id or o.target_name or ""
    parts = [name if o.obs_collection in name else f"{o.obs_collection} {name}".strip()]
    if o.target_name and o.target_name not in name:
        parts.append(o.target_name)
    subclass = o.metadata.get("subclass")
    if o.target_class:
        parts.append(" ".join(filter(None, (o.target_class, str(subclass or "").strip()))))
    if o.redshift is not None:
        parts.append(f"z = {o.redshift:.4f}".replace("-", "−"))
    if o.snr is not None:
        parts.append(f"S/N {o.snr:.3g}")
    return "  ·  ".join(parts)
