"""Forest scores of a population: what is searched for which, and what is said without places."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.domain.derived import Embedding, ModelRef
from spectrarium.domain.errors import UsageError
from spectrarium.explore import population
from spectrarium.explore.forest import ForestSettings
from spectrarium.explore.neighbours import ExactIndex

SETTINGS = ForestSettings(trees=10, forests=2, neighbours=15, threads=1)


@pytest.fixture
def index():
    vectors = np.random.default_rng(0).standard_normal((150, 3)).astype(np.float32)
    return ExactIndex(Embedding(ModelRef("toy", "0", "0" * 64), vectors, np.arange(150)))


def test_total_is_the_same_whether_or_not_neighbours_are_searched(index, monkeypatch):
    both = population.weird(index, None, SETTINGS).values
    monkeypatch.setattr(population, "nearest", lambda *a, **k: pytest.fail("searched"))
    alone = population.weird(index, None, SETTINGS, spectral=False).values
    assert set(both) == {"total", "spectral"}
    assert set(alone) == {"total"}
    np.testing.assert_array_equal(alone["total"].value, both["total"].value)
    np.testing.assert_array_equal(alone["total"].ranked, both["total"].ranked)
    assert alone["total"].facts == both["total"].facts


def test_neighbours_are_kept_in_four_bytes_each(index):
    assert population.nearest(index, 5).dtype == np.int32
    place = population.places(np.linspace(0, 90, 150), np.zeros(150))
    assert population.nearest_places(place, 5).dtype == np.int32


def test_places_sought_in_parts_are_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    place = population.places(rng.uniform(0, 360, 100), rng.uniform(-60, 60, 100))
    whole = population.nearest_places(place, 7)
    monkeypatch.setattr(population, "_PLACED", 13)
    np.testing.assert_array_equal(population.nearest_places(place, 7), whole)


def test_without_places_the_way_out_is_one_that_works():
    with pytest.raises(UsageError) as caught:
        population.nearest_places(np.full((30, 3), np.nan), 5)
    assert caught.value.code == "no_coordinates"
    assert "ingest" in caught.value.remedy
    assert "catalogue add" not in caught.value.remedy
