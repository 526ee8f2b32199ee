"""What each latent does to the spectrum: the mean, and what both ends of the latent make of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.units import C_KMS
from ..measure.lines import Line, LineKind, lines_between
from ..run.latents import AT_REST, LatentEffect
from ..run.meaning import Meaning
from .drawing import draw_flux, draw_lines
from .style import Style, new_figure, save, style, themed

MOST = 12
"""Panels of one picture; more are not legible."""
_NEAR_KMS = 600.0
"""A peak this near a line's rest wavelength is named after it."""


@dataclass(frozen=True, slots=True)
class Peak:
    """A line where a latent acts most, and its wavelength as observed, Å."""

    wave_aa: float
    line: Line


def strongest_lines(
    wave_aa: NDArray[Any], change: NDArray[Any], z: float = 0.0, most: int = 6
) -> tuple[Peak, ...]:
    """Lines at the strongest narrow features of a latent's effect, strongest first.

    wave_aa : (n,) Å, vacuum · change : (n,) flux between the two ends of the latent
    z : of the source, known to some 600 km/s; else the names would be wrong
    A feature is a departure from the change's own running median over 3 % of the wavelength.
    """
    from scipy.ndimage import gaussian_filter1d, median_filter
    from scipy.signal import find_peaks

    step = math.log(float(wave_aa[-1] / wave_aa[0])) / (len(wave_aa) - 1)
    width = max(3, min(int(0.03 / step) | 1, len(wave_aa) // 2 * 2 - 1))
    smooth = gaussian_filter1d(np.asarray(change, float), 1.0)
    narrow = np.abs(smooth - median_filter(smooth, width, mode="nearest"))
    noise = 1.4826 * float(np.median(narrow)) + 1e-12
    at, facts = find_peaks(narrow, prominence=5.0 * noise)
    ranked = at[np.argsort(-facts["prominences"])]
    unlikely = {LineKind.STELLAR if z > 0.3 else LineKind.QUASAR}
    if abs(z) < AT_REST:  # among stars a forbidden line is the least likely name of a feature
        unlikely.add(LineKind.NEBULAR)
    kinds = tuple(k for k in LineKind if k not in unlikely)
    known = lines_between(float(wave_aa[0]), float(wave_aa[-1]), z=z, kinds=kinds)
    reach = max(_NEAR_KMS / C_KMS, 2.0 * step)
    found: list[Peak] = []
    for i in ranked.tolist():
        near = [(entry.weight, abs(w / wave_aa[i] - 1), w, entry) for entry, w in known
                if abs(w / wave_aa[i] - 1) < reach]  # fmt: skip
        if near:
            _, _, where, entry = min(near, key=lambda n: (n[0], n[1]))
            if entry.label not in {p.line.label for p in found}:
                found.append(Peak(float(where), entry))
        if len(found) == most:
            break
    return tuple(found)


def latents_figure(
    effects: Sequence[LatentEffect], wave_aa: NDArray[Any], *, frame: str = "observed",
    heading: str = "", dark: bool = False,
) -> Figure:  # fmt: skip
    """A grid of panels: the mean spectrum, and what both ends of each latent make of it.

    Parameters
    ----------
    effects : of the latents to show, up to 12 are legible · wave_aa : (n_pix,) Å, vacuum
    Raises
    ------
    UsageError : nothing to show
    """
    if not effects:
        raise UsageError("there are no latents to show", code="empty")
    theme = style(dark)
    columns = 1 if len(effects) <= 3 else 2
    rows = math.ceil(len(effects) / columns)
    with themed(theme):
        figure = new_figure(1800 if columns == 2 else 1500, max(1100, 160 + 340 * rows))
        grid = figure.add_gridspec(rows, columns)
        first: Axes | None = None
        for i, effect in enumerate(effects):
            axes = figure.add_subplot(grid[i // columns, i % columns], sharex=first)
            first = first or axes
            _draw(axes, effect, wave_aa, theme, 1300.0 / columns)
            axes.tick_params(labelbottom=i + columns >= len(effects))
            if i == 0:
                axes.legend(loc="best", ncols=3)
        words = {"observed": "observed frame", "rest": "rest frame", "unknown": "frame unknown"}
        figure.supxlabel(f"Vacuum wavelength [Å], {words.get(frame, frame)}", fontsize=10)
        figure.supylabel("Flux / median", fontsize=10)
        if heading:
            figure.suptitle(heading, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw(
    axes: Axes, effect: LatentEffect, wave: NDArray[Any], theme: Style, room_px: float
) -> None:
    draw_flux(axes, wave, effect.minus, theme.second, linewidth=0.9, label="2.3 % end")
    draw_flux(axes, wave, effect.plus, theme.accent, linewidth=0.9, label="97.7 % end")
    draw_flux(axes, wave, effect.mean, theme.ink, linewidth=0.7, alpha=0.7, label="mean",
              zorder=1.2)  # fmt: skip
    axes.set_xlim(float(wave[0]), float(wave[-1]))
    both = np.concatenate([effect.minus, effect.plus, effect.mean])
    low, high = np.percentile(both, [0.05, 99.95])
    pad = 0.08 * max(float(high - low), 1e-6)
    axes.set_ylim(low - pad, high + pad)
    change = effect.plus - effect.minus
    peaks = () if effect.z is None else strongest_lines(wave, change, effect.z)
    named = sorted(((p.line, p.wave_aa) for p in peaks), key=lambda pair: pair[1])
    draw_lines(axes, named, theme, room_px)
    pad = 34 if peaks else 6  # upright labels stand below the title
    axes.set_title(f"Latent {effect.index}", loc="left", pad=pad, fontweight="bold", gid="title")
    axes.set_title(effect.note, loc="right", pad=pad, color=theme.faint, fontsize="small",
                   gid="note")  # fmt: skip


def plot_latents(
    reports: Sequence[Meaning], path: Path, most: int = MOST, dark: bool = False
) -> list[Path]:
    """Write pictures of each report's strongest latents, up to 12 on each.

    One for each report is ``out.png``, then ``out-2.png`` …; where one needs several, all are
    numbered from ``out-1.png``.
    """
    from ..run.latents import latent_effects

    pages = [(report, skip) for report in reports
             for skip in range(0, min(most, len(report.shares)), MOST)]  # fmt: skip
    paths = []
    for i, (report, skip) in enumerate(pages):
        domain, shown = report.explorer.model.domain, min(most, len(report.shares))
        effects = latent_effects(report, min(MOST, shown - skip), skip)
        of = f", {skip + 1}–{skip + len(effects)} of {shown}" if shown > MOST else ""
        figure = latents_figure(
            effects, domain.wave_aa, frame=domain.frame, dark=dark,
            heading=f"What the latents of {report.name} do, by share of variance{of}",
        )  # fmt: skip
        numbered = i > 0 or len(pages) > len(reports)
        name = path.with_name(f"{path.stem}-{i + 1}{path.suffix}") if numbered else path
        paths.append(save(figure, name))
    return paths
