"""Bins of S/N hold 50 objects or more, counted by object; the picture draws the report's own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from spectrarium.domain.errors import UsageError
from spectrarium.explore.conformal import LEAST_OBJECTS, even_edges
from spectrarium.explore.tag_report import Outcome, summary
from spectrarium.plot.tags import plot_tags
from spectrarium.run.tag_answers import TagTable

LEVELS = (0.68, 0.95)


def outcome(snr: np.ndarray, objects: np.ndarray) -> Outcome:
    n = len(snr)
    rng = np.random.default_rng(n)
    error = rng.standard_normal(n)
    inside = np.stack([np.abs(error) < 1, np.abs(error) < 2], axis=1)
    size = np.broadcast_to([2.0, 4.0], (n, 2))
    yes = np.ones(n, bool)
    return Outcome(LEVELS, "number", np.zeros(n), error, error, inside, size, snr, objects, yes,
                   yes, np.full(n, "", object))  # fmt: skip


def counts(report: dict) -> list[int]:
    return [b["objects"] for b in report["bins"]]


@pytest.mark.parametrize("n", [30, 99, 102, 130, 249, 260, 1000])
def test_every_bin_holds_fifty_objects_or_there_is_one(n):
    rng = np.random.default_rng(n)
    report = summary(outcome(rng.lognormal(3, 1, n), np.arange(n)))
    assert len(report["bins"]) == max(1, min(5, n // LEAST_OBJECTS))
    assert n < LEAST_OBJECTS or min(counts(report)) >= LEAST_OBJECTS
    assert sum(counts(report)) == n


def test_tied_snr_leaves_no_bin_poor():
    snr = np.concatenate([np.full(30, 5.0), np.full(130, 10.0), np.full(30, 20.0)])
    for tied in (snr, np.round(np.random.default_rng(1).uniform(1, 3, 190)), np.full(190, 7.0)):
        report = summary(outcome(tied, np.arange(190)))
        assert min(counts(report)) >= LEAST_OBJECTS, counts(report)
        for b, c in zip(report["bins"][:-1], report["bins"][1:], strict=True):
            assert b["snr_high"] < c["snr_low"]


def test_repeats_of_an_object_do_not_fill_a_bin():
    rng = np.random.default_rng(3)
    objects = np.repeat(np.arange(60), 10)
    snr = 10.0 + objects + 0.01 * rng.standard_normal(600)
    report = summary(outcome(snr, objects))
    assert counts(report) == [60]
    assert report["bins"][0]["spectra"] == 600
    assert even_edges(snr, objects, 5, 20).size == 2


def drawn(n: int, each: int, kind: str) -> tuple[TagTable, object]:
    rng = np.random.default_rng(5)
    objects = np.repeat(np.arange(n), each)
    m = n * each
    snr = np.repeat(np.sort(rng.lognormal(3, 0.6, n)), each)
    if kind == "number":
        truth = rng.uniform(4000, 7000, m)
        value = truth + 100 * rng.standard_normal(m)
        columns = {"value": value, "lo_68": value - 100, "hi_68": value + 100,
                   "lo_95": value - 196, "hi_95": value + 196, "catalogue": truth}  # fmt: skip
    else:
        truth = rng.choice(["STAR", "GALAXY"], m).tolist()
        value = [t if rng.random() < 0.9 else "STAR" for t in truth]
        columns = {"value": value, "probability": rng.uniform(0.5, 1, m), "catalogue": truth,
                   "set_68": [[v] for v in value], "set_95": [["STAR", "GALAXY"]] * m}  # fmt: skip
    role = ["train" if o % 3 == 0 else "" for o in objects.tolist()]
    table = pa.table({**columns, "snr": snr, "reason": [""] * m, "role": role})
    found = TagTable("x", kind, "", LEVELS, table, objects, {})
    return found, plot_tags(found)


@pytest.mark.parametrize("kind", ["number", "class"])
@pytest.mark.parametrize(("n", "each"), [(240, 1), (240, 4), (60, 5)])
def test_the_picture_draws_the_bins_of_the_report(kind, n, each):
    found, figure = drawn(n, each, kind)
    rows, out = found.tested()
    assert len(rows) == 2 * n * each // 3, "what was trained on is not tested"
    report = summary(out)
    assert min(counts(report)) >= min(LEAST_OBJECTS, 2 * n // 3)
    axes = next(a for a in figure.axes if a.get_ylabel().startswith("Truth"))
    points = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert len(points) == len(LEVELS) * len(report["bins"])
    drawn_at = sorted(float(p.get_ydata()[0]) for p in points)
    told = sorted(100 * c["share"] for b in report["bins"] for c in b["coverage"])
    np.testing.assert_allclose(drawn_at, told)


def test_what_abstained_is_counted_but_not_covered():
    found, _ = drawn(240, 1, "number")
    columns = {name: found.table.column(name).to_pylist() for name in found.table.column_names}
    for name in ("value", "lo_68", "hi_68", "lo_95", "hi_95"):
        columns[name][1] = None
    table = pa.table(columns)
    _, out = TagTable("x", "number", "", LEVELS, table, found.objects, {}).tested()
    assert (int((~out.known).sum()), int((~out.valued).sum())) == (1, 1)
    assert summary(out)["coverage"][0]["objects"] == 159


@pytest.mark.parametrize("kind", ["number", "class"])
def test_of_a_tag_that_always_abstained_there_is_no_picture(kind):
    """Neither a width of nought nor a share right of nought: nothing was measured."""
    found, _ = drawn(240, 1, kind)
    columns = {name: found.table.column(name) for name in found.table.column_names}
    for name in columns:
        if name in ("value", "probability") or name.startswith(("lo_", "hi_", "set_")):
            columns[name] = pa.array([None] * found.table.num_rows, columns[name].type)
    none = TagTable("x", kind, "", LEVELS, pa.table(columns), found.objects, {})
    with pytest.raises(UsageError, match="abstained on all 160") as caught:
        plot_tags(none)
    assert caught.value.code == "empty"
