"""What is known of observations besides their pixels: numbers, and numbers that are names."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from spectrarium.domain.errors import UsageError
from spectrarium.explore.meaning import probe, target_of
from spectrarium.run.quantities import Quantity, Role, _metadata, _scaled

N = 120
OBJECTS = np.arange(N)


def of(records: list[dict]) -> dict[str, Quantity]:
    table = pa.table({"metadata": [json.dumps(r) for r in records]})
    archive = SimpleNamespace(catalogue=lambda rows, columns: table)
    return {q.name: q for q in _metadata(archive, np.arange(len(records)))}


@pytest.mark.parametrize("key", ["FIBERID", "fiber", "plate", "PETAL", "spid", "camera", "arm"])
@pytest.mark.parametrize("write", [int, str, float, lambda i: f" {i} "])
def test_parts_of_an_instrument_are_classes_however_they_are_written(key, write):
    found = of([{key: write(i % 4)} for i in range(N - 1)] + [{}])[key]
    assert found.role is Role.NUISANCE
    assert found.values[:5].tolist() == ["0", "1", "2", "3", "0"]
    assert found.values[-1] is None
    target = target_of(found.values, OBJECTS)
    assert target.classes == ("0", "1", "2", "3")
    assert target.rows.size == N - 1


def test_ids_that_are_words_are_kept():
    found = of([{"camera": "b1" if i % 2 else "r1", "fiberid": f"M2-{i % 3}"} for i in range(N)])
    assert target_of(found["camera"].values, OBJECTS).classes == ("b1", "r1")
    assert target_of(found["fiberid"].values, OBJECTS).classes == ("M2-0", "M2-1", "M2-2")


def test_many_fibres_of_few_objects_each_say_so():
    found = of([{"fiberid": i // 2} for i in range(N)])["fiberid"]
    with pytest.raises(UsageError, match="0 of 60 classes have 10 objects"):
        target_of(found.values, OBJECTS)


def test_airmass_and_seeing_are_numbers_also_as_text():
    rng = np.random.default_rng(1)
    values = rng.uniform(1, 2, N)
    records = [{"AIRMASS": v if i % 2 else f"{v:.6f}", "seeing": None if i < 3 else 1.0 + v}
               for i, v in enumerate(values.tolist())]  # fmt: skip
    found = of(records)
    np.testing.assert_allclose(found["AIRMASS"].values, values, atol=1e-6)
    assert np.isnan(found["seeing"].values[:3]).all()
    assert target_of(found["AIRMASS"].values, OBJECTS).classes == ()
    assert np.isnan(of([{"airmass": "n/a"}, {"airmass": True}])["airmass"].values).all()


def test_columns_of_label_sets_are_treated_alike():
    fibres = Quantity("sdss.fiberid", Role.NUISANCE, np.array([1.0, 2.0, np.nan]))
    assert _scaled(fibres).values.tolist() == ["1", "2", None]
    plain = Quantity("sdss.airmass", Role.NUISANCE, np.array([1.1, 1.2, np.nan]))
    assert _scaled(plain) is plain


def test_a_petal_that_shows_is_found_whatever_its_number():
    rng = np.random.default_rng(2)
    petal = np.arange(N) % 3
    vectors = rng.standard_normal((N, 4)) * 0.3
    vectors[:, 0] += np.array([0.0, 2.0, 0.0])[petal]  # the middle number alone stands out
    vectors[:, 1] += np.array([0.0, 0.0, 2.0])[petal]
    words = of([{"petal": int(p)} for p in petal])["petal"].values
    assert probe(vectors, words, OBJECTS, permutations=19).score > 0.95
