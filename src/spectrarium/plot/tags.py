"""Tags against the catalogue: how near, how biased with S/N, and whether the errors are honest."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..explore.conformal import LEAST_OBJECTS, binomial_interval, even_edges, object_weights
from ..explore.tag_guard import LEAST_SNR
from ..explore.tag_report import Outcome, summary
from ..run.tag_answers import TagTable
from ..run.tag_rows import percent
from .style import Style, new_figure, style, themed, title

_MOST_BARS = 400
"""Beyond so many points error bars hide each other and are left out."""
_BARS = f"95 % binomial, ≥ {LEAST_OBJECTS} objects a bin"


def plot_tags(found: TagTable, dark: bool = False) -> Figure:
    """One picture of a tag: against the catalogue, residual with S/N, coverage with S/N.

    Only observations that had no part in training or calibration are counted, where the catalogue
    knows their label; the bins are those of `explore.tag_report.summary`. Raises UsageError
    (empty) if there are none, or the tag abstained on all.
    """
    rows, out = found.tested()
    if not len(rows):
        raise UsageError(
            "no tagged observation outside the training set has a catalogue value", code="empty",
            remedy="apply the tag to more, or loosen --where",
        )  # fmt: skip
    if not out.valued.any():
        raise UsageError(
            f"{found.label} abstained on all {len(rows)} observations outside the training set "
            "that the catalogue knows", code="empty", remedy="see the reasons: spectrarium tags ID",
        )  # fmt: skip
    theme = style(dark)
    with themed(theme):
        figure = new_figure(1600, 1000)
        if found.kind == "number":
            _numbers(figure, found, rows, out, theme)
        else:
            _classes(figure, found, rows, out, theme)
    return figure


def _column(found: TagTable, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
    values = found.table.column(name).to_numpy(zero_copy_only=False)[rows]
    return np.asarray(values, np.float64)


def _numbers(
    figure: Figure, found: TagTable, rows: NDArray[np.int64], out: Outcome, theme: Style
) -> None:
    good, level = out.valued, out.levels[0]
    value, truth = out.value[good], out.truth[good]
    low, high = (_column(found, f"{s}_{percent(level)}", rows[good]) for s in ("lo", "hi"))
    unit = f" [{found.unit}]" if found.unit else ""
    grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1.0))
    left = figure.add_subplot(grid[:, 0])
    _one_to_one(left, value, truth, low, high, theme)
    left.set_xlabel(f"{found.label}, catalogue{unit}")
    left.set_ylabel(f"{found.label}, tag{unit}")
    report = summary(out)
    title(left, f"{found.label}: {int(good.sum())} tested",
          f"σ {report['sigma']:.3g}, bias {report['bias']:+.2g}; "
          f"{int((~good).sum())} abstained", theme)  # fmt: skip
    right = figure.add_subplot(grid[0, 1])
    snr = np.maximum(out.snr[good], LEAST_SNR)
    _residuals(right, snr, out.error[good], report["bins"], theme, level)
    right.set_ylabel(f"tag − catalogue{unit}")
    title(right, "Residual and S/N", "", theme)
    below = figure.add_subplot(grid[1, 1], sharex=right)
    _coverage(below, snr, report["bins"], theme)


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


def _snr_axis(axes: Axes, snr: NDArray[Any]) -> None:
    """Logarithmic; what has no positive S/N stands at the left edge."""
    low, high = max(float(snr.min()), LEAST_SNR), max(float(snr.max()), 2 * LEAST_SNR)
    axes.set_xscale("log")
    axes.set_xlim(0.9 * low, 1.1 * high)
    _plain_ticks(axes.xaxis, 0.9 * low, 1.1 * high)


def _residuals(
    axes: Axes, snr: NDArray[Any], error: NDArray[Any], bins: list[dict[str, Any]], theme: Style,
    level: float,
) -> None:  # fmt: skip
    axes.scatter(snr, error, s=9, color=theme.second, alpha=0.5, linewidths=0)
    where, bias, width = [], [], []
    for part in bins:
        if part["bias"] is None:
            continue
        where += [max(part["snr_low"], LEAST_SNR), max(part["snr_high"], LEAST_SNR)]
        bias += 2 * [part["bias"]]
        width += 2 * [0.5 * (part["coverage"][0]["size"] or 0.0)]
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


def _coverage(axes: Axes, snr: NDArray[Any], bins: list[dict[str, Any]], theme: Style) -> None:
    """The report's own bins: shares of objects, at the middle of each bin's S/N."""
    colours = (theme.second, theme.good, theme.accent)
    for k, level in enumerate(c["level"] for c in bins[0]["coverage"]):
        colour = colours[k % 3]
        axes.axhline(100 * level, color=colour, linewidth=1.0, linestyle=(0, (5, 3)))
        for part in bins:
            held = part["coverage"][k]
            if held["share"] is None:
                continue
            ends = [max(part[f"snr_{end}"], LEAST_SNR) for end in ("low", "high")]
            at = float(np.sqrt(ends[0] * ends[1])) * (1.0 + 0.03 * (k - 1))
            axes.plot([at, at], [100 * held["low"], 100 * held["high"]], color=colour,
                      linewidth=1.4)  # fmt: skip
            axes.plot([at], [100 * held["share"]], "o", color=colour, markersize=4.5)
        axes.plot([], [], "o", color=colour, markersize=4.5, label=f"{100 * level:.0f} %")
    _snr_axis(axes, snr)
    axes.set_ylim(min(40.0, axes.get_ylim()[0]), 101.5)
    axes.set_xlabel("Median S/N per model pixel")
    axes.set_ylabel("Truth inside the interval [%]")
    axes.legend(loc="lower left", ncols=3)
    title(axes, "Coverage", f"dashed: nominal; {_BARS}", theme)


def _classes(
    figure: Figure, found: TagTable, rows: NDArray[np.int64], out: Outcome, theme: Style
) -> None:
    names = sorted({str(t) for t in out.truth} | {str(v) for v in out.value if v})
    grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1.0))
    left = figure.add_subplot(grid[:, 0])
    said = out.valued
    _confusion(left, out.truth, out.value, names, theme)
    report = summary(out)
    title(left, f"{found.label}: {len(rows)} tested",
          f"{100 * report['accuracy']:.1f} % right; {int((~said).sum())} abstained",
          theme)  # fmt: skip
    _reliability(figure.add_subplot(grid[0, 1]), _column(found, "probability", rows[said]),
                 out.error[said] == 0, out.objects[said], theme)  # fmt: skip
    axes = figure.add_subplot(grid[1, 1])
    _coverage(axes, np.maximum(out.snr, LEAST_SNR), report["bins"], theme)
    axes.set_ylabel("Truth in the class set [%]")
    title(axes, "Coverage", f"dashed: at least; {_BARS}", theme)


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
    axes: Axes, probability: NDArray[Any], right: NDArray[np.bool_], objects: NDArray[np.int64],
    theme: Style,
) -> None:  # fmt: skip
    axes.plot([0, 100], [0, 100], color=theme.faint, linewidth=1.2)
    which = np.searchsorted(even_edges(probability, objects), probability, side="right")
    for part in (np.flatnonzero(which == b) for b in np.unique(which)):
        weight = object_weights(objects[part])  # an object counts once, however often seen
        hits, n = float((weight * right[part]).sum()), float(weight.sum())
        low, high = binomial_interval(hits, n)
        at = 100 * float((weight * probability[part]).sum()) / n
        axes.plot([at, at], [100 * low, 100 * high], color=theme.second, linewidth=1.6)
        axes.plot([at], [100 * hits / n], "o", color=theme.second, markersize=5)
    least = 100 * float(probability.min()) if len(probability) else 0.0
    axes.set_xlim(max(0.0, least - 5), 101)
    axes.set_ylim(0, 102)
    axes.set_xlabel("Probability claimed [%]")
    axes.set_ylabel("Right [%]")
    title(axes, "Probabilities are frequencies", _BARS, theme)
