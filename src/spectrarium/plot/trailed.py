"""Many spectra as rows of one picture."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.errors import UsageError
from ..domain.spectrum import Normalisation
from .labels import flux_label, wave_label
from .style import SEQUENTIAL, new_figure, style, themed

_ROWS_MOST = 1000
_COLUMNS_MOST = 1400


def trailed_png(
    wave_aa: NDArray[np.float64], flux: NDArray[np.float32], *, medium: Medium, specsys: SpecSys,
    unit: str | None, normalisation: Normalisation = Normalisation.UNKNOWN, heading: str = "",
) -> bytes:  # fmt: skip
    """A trailed spectrum: a row a spectrum, the first at the top; empty where nothing is known.

    Neighbouring samples and rows are averaged where there are more than pixels. Colours go from
    the 1st to the 99th percentile of all flux.

    Parameters
    ----------
    wave_aa : (m,) Å, ascending · flux : (n, m), NaN = unknown
    Raises
    ------
    UsageError (no_good_pixels) : nothing is known anywhere
    """
    good = flux[np.isfinite(flux)]
    if not good.size:
        raise UsageError("no good pixel to show", code="no_good_pixels")
    low, high = np.percentile(good, (1.0, 99.0))
    if not high > low:
        low, high = low - 0.5 * max(abs(low), 1.0), high + 0.5 * max(abs(high), 1.0)
    theme = style()
    with themed(theme):
        figure = new_figure()
        axes = figure.add_subplot()
        shown = _fewer(_fewer(flux, _COLUMNS_MOST).T, _ROWS_MOST).T
        edges = np.interp(np.linspace(0, wave_aa.size, shown.shape[1] + 1),
                          np.arange(wave_aa.size) + 0.5, wave_aa)  # fmt: skip
        rows = np.linspace(0.5, len(flux) + 0.5, shown.shape[0] + 1)
        axes.set_facecolor(theme.band)
        drawn = axes.pcolormesh(edges, rows, np.ma.masked_invalid(shown), cmap=SEQUENTIAL,
                                vmin=low, vmax=high, rasterized=True)  # fmt: skip
        axes.set_ylim(len(flux) + 0.5, 0.5)
        axes.set_xlabel(wave_label(medium, specsys))
        axes.set_ylabel("Spectrum, in the order asked for")
        figure.colorbar(drawn, ax=axes, label=flux_label(unit, normalisation))
        figure.suptitle(heading, x=0.01, ha="left", fontweight="bold")
        out = io.BytesIO()
        figure.savefig(out, format="png")
        return out.getvalue()


def _fewer(values: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    """(n, ≤ most) means of neighbouring columns over what is known."""
    every = -(-values.shape[1] // most)
    if every <= 1:
        return values
    starts = np.arange(0, values.shape[1], every)
    there = np.isfinite(values)
    total = np.add.reduceat(np.where(there, values, 0.0), starts, axis=1)
    count = np.add.reduceat(there.astype(np.int64), starts, axis=1)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.asarray(mean, np.float32)
