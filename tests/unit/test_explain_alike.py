"""What an explanation says of places where two spectra are alike."""

from __future__ import annotations

import numpy as np

from spectrarium.domain.derived import Region
from spectrarium.explore.explain import Explanation, Trace, alike_at
from spectrarium.explore.identify import Identified

FOUND = (
    Identified("Hα", "Halpha", 6564.6, "line", "Hα emission stronger in the query"),
    Identified("continuum", "continuum", 6500.0, "continuum", "the query is brighter here"),
    Identified("[N II]", "NII", 6585.0, "line", "…, if at rest", certain=False),
)


def test_lines_are_shared_by_those_at_one_redshift_only():
    texts = [i.text for i in alike_at(FOUND, lines=True)]
    assert texts == ["alike at Hα", "alike in the continuum", "alike at [N II] (if at rest)"]
    assert [i.label for i in alike_at(FOUND, lines=False)] == ["continuum"]


def test_likenesses_are_named_once_and_by_wavelength_where_nothing_is_known():
    empty = np.zeros(3, np.float32)
    here, there = Region(6500.0, 6600.0, 0.5, 1), Region(7000.0, 7010.0, 0.2, -1)
    found = Explanation(
        Trace(empty, empty, empty), (), alike=((here, FOUND), (there, ()), (here, FOUND[:1]))
    )
    assert found.likenesses() == ["Hα", "continuum", "[N II] (if at rest)", "7000–7010 Å"]
    assert found.likenesses(1) == ["Hα"]
    record = found.record(np.arange(3.0))
    assert [r["sign"] for r in record["alike"]] == [1, -1, 1]
    assert record["alike"][1]["identified"] == []
