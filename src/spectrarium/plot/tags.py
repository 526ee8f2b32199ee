"""Tags against the catalogue: how near, how biased with S/N, and whether the errors are honest."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..explore.conformal import binomial_interval
from ..explore.tag_guard import LEAST_SNR
from ..run.tag_answers import TagTable
from ..run.tag_rows import percent
from .style import Style, new_figure, style, themed, title

_MOST_BARS = 400
"""Beyond so many points error bars hide each other and are left out."""


def plot_tags(found: TagTable, dark: bool = False) -> Figure:
    """One picture of a tag: against the catalogue, residual with S/N, coverage with S/N.

    Only observations that had no part in training or calibration are counted, where the catalogue
    knows their label. Raises UsageError (empty) if there are none.
    """
    table = found.table
    known = ~np.asarray(table.column("catalogue").is_null())
    role = np.array(table.column("role").to_pylist())
    fair = known & np.isin(role, ["test", ""])
    if not fair.any():
        raise UsageError(
            "no tagged observation outside the training set has a catalogue value", code="empty",
            remedy="apply the tag to more, or loosen --where",
        )  # fmt: skip
    theme = style(dark)
    with themed(theme):
        figure = new_figure(1600, 1000)
        if found.kind == "number":
            _numbers(figure, found, fair, theme)
        else:
            _classes(figure, found, fair, theme)
    return figure


def _column(found: TagTable, name: str, rows: NDArray[np.bool_]) -> NDArray[Any]:
    values = found.table.column(name).to_numpy(zero_copy_only=False)[rows]
    return np.asarray(values, np.float64)


def _numbers(figure: Figure, found: TagTable, fair: NDArray[np.bool_], theme: Style) -> None:
    level = found.levels[0]
    value, truth = _column(found, "value", fair), _column(found, "catalogue", fair)
    low, high = (_column(found, f"{s}_{percent(level)}", fair) for s in ("lo", "hi"))
    snr = np.maximum(_column(found, "snr", fair), LEAST_SNR)
    good = np.isfinite(value)
    unit = f" [{found.unit}]" if found.unit else ""
    grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1.0))
    left = figure.add_subplot(grid[:, 0])
    _one_to_one(left, value[good], truth[good], low[good], high[good], theme)
    left.set_xlabel(f"{found.label}, catalogue{unit}")
    left.set_ylabel(f"{found.label}, tag{unit}")
    error = value[good] - truth[good]
    middle = float(np.median(error))
    sigma = 1.4826 * float(np.median(np.abs(error - middle)))
    title(left, f"{found.label}: {int(good.sum())} tested",
          f"σ {sigma:.3g}, bias {middle:+.2g}; {int((~good).sum())} abstained", theme)  # fmt: skip
    right = figure.add_subplot(grid[0, 1])
    _residuals(right, snr[good], error, 0.5 * (high - low)[good], theme, level)
    right.set_ylabel(f"tag − catalogue{unit}")
    title(right, "Residual and S/N", "", theme)
    below = figure.add_subplot(grid[1, 1], sharex=right)
    inside = {
        v: (_column(found, f"lo_{percent(v)}", fair) <= truth)
        & (truth <= _column(found, f"hi_{percent(v)}", fair)) for v in found.levels
    }  # fmt: skip
    _coverage(below, snr[good], {v: hit[good] for v, hit in inside.items()}, theme)


def _one_to_one(
    axes: Axes, value: NDArray[Any], truth: NDArray[Any], low: NDArray[Any], high: NDArray[Any],
    theme: Style,
) -> None:  # fmt: skip
    ends = np.array([min(truth.min(), value.min()), max(truth.max(), value.max())])
    log = ends[0] > 0 and ends[1] > 5 * ends[0]
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
        ends = ends * np.array([0.95, 1.05])
        for axis in (axes.xaxis, axes.yaxis):
            _plain_ticks(axis, float(ends[0]), float(ends[1]))
    else:
        ends = ends + 0.03 * (ends[1] - ends[0]) * np.array([-1, 1])
    axes.plot(ends, ends, color=theme.faint, linewidth=1.2, zorder=1)
    few = len(value) <= _MOST_BARS
    if few:
        bars = np.clip(np.stack([value - low, high - value]), 0, None)
        axes.errorbar(truth, value, yerr=np.where(np.isfinite(bars), bars, 0), fmt="none",
                      ecolor=theme.band, elinewidth=0.9, zorder=1.5)  # fmt: skip
    axes.scatter(truth, value, s=16 if few else 5, color=theme.second, alpha=0.85 if few else 0.4,
                 linewidths=0, zorder=2)  # fmt: skip
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)


def _plain_ticks(axis: Any, low: float, high: float) -> None:
    """Whole numbers on a logarithmic axis of few decades, spread so that they can be read."""
    steps = (1, 2, 3, 5, 7) if high < 12 * low else (1, 3) if high < 1e3 * low else (1,)
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    ticks = [s * 10.0**e for e in range(first, last + 1) for s in steps]
    ticks = [t for t in ticks if low <= t <= high]
    if len(ticks) >= 2:
        axis.set_ticks(ticks, [f"{t:g}" for t in ticks])
        axis.set_ticks([], minor=True)


def _bins(snr: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Positions in up to six bins of about equal number, none below 20."""
    order = np.argsort(snr, kind="stable")
    return [np.asarray(p) for p in np.array_split(order, int(np.clip(len(snr) // 20, 1, 6)))]


def _snr_axis(axes: Axes, snr: NDArray[Any]) -> None:
    """Logarithmic; what has no positive S/N stands at the left edge."""
    low, high = max(float(snr.min()), LEAST_SNR), max(float(snr.max()), 2 * LEAST_SNR)
    axes.set_xscale("log")
    axes.set_xlim(0.9 * low, 1.1 * high)
    _plain_ticks(axes.xaxis, 0.9 * low, 1.1 * high)


def _residuals(
    axes: Axes, snr: NDArray[Any], error: NDArray[Any], half: NDArray[Any], theme: Style,
    level: float,
) -> None:  # fmt: skip
    axes.scatter(snr, error, s=9, color=theme.second, alpha=0.5, linewidths=0)
    where, bias, width = [], [], []
    for part in _bins(snr):
        where += [snr[part].min(), snr[part].max()]
        bias += 2 * [float(np.median(error[part]))]
        width += 2 * [float(np.median(half[part]))]
    x, b, w = np.array(where), np.array(bias), np.array(width)
    axes.fill_between(x, -w, w, color=theme.band, alpha=0.45, linewidth=0, zorder=0,
                      label=f"claimed, {level:.0%}")  # fmt: skip
    axes.plot(x, b, color=theme.accent, linewidth=1.8, label="median")
    axes.axhline(0, color=theme.faint, linewidth=0.8, zorder=0.5)
    _snr_axis(axes, snr)
    reach = max(float(np.quantile(np.abs(error), 0.98)), float(w.max())) * 1.15 or 1.0
    axes.set_ylim(-reach, reach)
    beyond = int((np.abs(error) > reach).sum())
    if beyond:
        axes.annotate(f"{beyond} beyond", (0.99, 0.03), xycoords="axes fraction", ha="right",
                      color=theme.faint, fontsize=8)  # fmt: skip
    axes.legend(loc="upper right", ncols=2)


def _coverage(
    axes: Axes, snr: NDArray[Any], inside: dict[float, NDArray[np.bool_]], theme: Style
) -> None:
    colours = (theme.second, theme.good, theme.accent)
    for k, (level, hit) in enumerate(inside.items()):
        colour = colours[k % 3]
        axes.axhline(100 * level, color=colour, linewidth=1.0, linestyle=(0, (5, 3)))
        for part in _bins(snr):
            n, hits = len(part), float(hit[part].sum())
            a, b = binomial_interval(hits, n)
            at = float(np.median(snr[part])) * (1.0 + 0.03 * (k - 1))
            axes.plot([at, at], [100 * a, 100 * b], color=colour, linewidth=1.4)
            axes.plot([at], [100 * hits / n], "o", color=colour, markersize=4.5)
        axes.plot([], [], "o", color=colour, markersize=4.5, label=f"{100 * level:.0f} %")
    _snr_axis(axes, snr)
    axes.set_ylim(min(40.0, axes.get_ylim()[0]), 101.5)
    axes.set_xlabel("Median S/N per model pixel")
    axes.set_ylabel("Truth inside the interval [%]")
    axes.legend(loc="lower left", ncols=3)
    title(axes, "Coverage: nominal dashed", "bars: 95 % binomial", theme)


def _classes(figure: Figure, found: TagTable, fair: NDArray[np.bool_], theme: Style) -> None:
    truth = np.array(found.table.column("catalogue").to_pylist(), object)[fair]
    value = np.array(found.table.column("value").to_pylist(), object)[fair]
    snr = np.maximum(_column(found, "snr", fair), LEAST_SNR)
    names = sorted({str(t) for t in truth} | {str(v) for v in value if v})
    grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1.0))
    left = figure.add_subplot(grid[:, 0])
    said = np.array([v is not None for v in value])
    _confusion(left, truth, value, names, theme)
    right_share = float((truth[said] == value[said]).mean()) if said.any() else 0.0
    title(left, f"{found.label}: {len(truth)} tested",
          f"{100 * right_share:.1f} % right; {int((~said).sum())} abstained", theme)  # fmt: skip
    sets = {v: found.table.column(f"set_{percent(v)}").to_pylist() for v in found.levels}
    at = np.flatnonzero(fair)
    judged = np.array([sets[found.levels[0]][i] is not None for i in at])
    inside = {
        v: np.array([t in (s[i] or ()) for i, t in zip(at, truth, strict=True)])[judged]
        for v, s in sets.items()
    }  # fmt: skip
    _reliability(figure.add_subplot(grid[0, 1]), _column(found, "probability", fair)[said],
                 (truth == value)[said], theme)  # fmt: skip
    axes = figure.add_subplot(grid[1, 1])
    _coverage(axes, snr[judged], inside, theme)
    axes.set_ylabel("Truth in the class set [%]")
    title(axes, "Coverage ≥ nominal (dashed)", "bars: 95 % binomial", theme)


def _confusion(
    axes: Axes, truth: NDArray[Any], value: NDArray[Any], names: list[str], theme: Style
) -> None:
    columns = [*names, "abstained"]
    count = np.zeros((len(names), len(columns)))
    for t, v in zip(truth, value, strict=True):
        count[names.index(str(t)), columns.index(str(v)) if v is not None else -1] += 1
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i in range(len(names)):
        for j in range(len(columns)):
            if count[i, j]:
                axes.text(j, i, f"{int(count[i, j])}\n{100 * share[i, j]:.0f} %", ha="center",
                          va="center", fontsize=9, color="#ffffff" if share[i, j] > 0.6 else
                          "#1c2126")  # fmt: skip
    axes.set_xticks(range(len(columns)), columns, rotation=30 if len(columns) > 6 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("Tag")
    axes.set_ylabel("Catalogue")


def _reliability(
    axes: Axes, probability: NDArray[Any], right: NDArray[np.bool_], theme: Style
) -> None:
    axes.plot([0, 100], [0, 100], color=theme.faint, linewidth=1.2)
    for part in _bins(probability):
        hits, n = float(right[part].sum()), len(part)
        low, high = binomial_interval(hits, n)
        at = 100 * float(probability[part].mean())
        axes.plot([at, at], [100 * low, 100 * high], color=theme.second, linewidth=1.6)
        axes.plot([at], [100 * hits / n], "o", color=theme.second, markersize=5)
    least = 100 * float(probability.min()) if len(probability) else 0.0
    axes.set_xlim(max(0.0, least - 5), 101)
    axes.set_ylim(0, 102)
    axes.set_xlabel("Probability claimed [%]")
    axes.set_ylabel("Right [%]")
    title(axes, "Probabilities are frequencies", "bars: 95 % binomial", theme)
