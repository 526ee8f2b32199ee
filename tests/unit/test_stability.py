"""Agreement of two embeddings: 1 for one space however turned, chance where nothing is shared."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from spectrarium.domain.errors import UsageError
from spectrarium.explore.stability import agreement
from spectrarium.run import meaning

RNG = np.random.default_rng(8)
N, D = 800, 8
SPACE = RNG.standard_normal((N, D)) * np.linspace(3, 0.5, D)


def rotation(d: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def test_a_space_turned_mirrored_moved_and_scaled_is_the_same():
    turned = 0.2 * SPACE @ rotation(D, 1) + 7.0
    for other in (SPACE, turned, -SPACE, SPACE[:, ::-1], np.pad(SPACE, ((0, 0), (0, 3)))):
        found = agreement(SPACE, other)
        assert found.cka == pytest.approx(1.0)
        assert found.procrustes == pytest.approx(1.0)
        assert found.overlap_10 > 0.999
        assert found.n == N


def test_unrelated_spaces_agree_by_chance_only():
    other = np.random.default_rng(9).standard_normal((N, D))
    found = agreement(SPACE, other)
    assert found.cka < 0.03
    assert found.procrustes < 0.06
    assert found.overlap_10 == pytest.approx(found.overlap_chance, abs=0.01)
    dealt = agreement(SPACE, SPACE[np.random.default_rng(3).permutation(N)])
    assert dealt.cka < 0.03
    assert dealt.overlap_10 == pytest.approx(dealt.overlap_chance, abs=0.01)


def test_agreement_falls_with_what_is_added():
    noise = np.random.default_rng(4).standard_normal(SPACE.shape)
    found = [agreement(SPACE, SPACE + s * noise) for s in (0.0, 0.3, 1.0, 3.0)]
    for measure in ("cka", "overlap_10", "procrustes"):
        values = [getattr(f, measure) for f in found]
        assert values == sorted(values, reverse=True), measure
        assert values[-1] < 0.7, measure
    one, two = agreement(SPACE, SPACE + noise), agreement(SPACE + noise, SPACE)
    assert one.cka == pytest.approx(two.cka)
    assert one.procrustes == pytest.approx(two.procrustes)


@pytest.mark.parametrize(
    ("other", "code"),
    [(SPACE[1:], "mismatched_lengths"), (np.zeros((N, 2)), "constant"),
     (np.full((N, 2), np.nan), "bad_vectors")],
)  # fmt: skip
def test_what_cannot_be_compared_says_why(other, code):
    with pytest.raises(UsageError) as caught:
        agreement(SPACE, other)
    assert caught.value.code == code
    with pytest.raises(UsageError, match="2 spectra"):
        agreement(SPACE[:2], SPACE[:2])


class Vectors:
    """An embedding in a fake archive, as `run.meaning` asks for it."""

    def __init__(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        self.rows, self._vectors = rows, vectors.astype(np.float32)
        self.index = SimpleNamespace(vectors=lambda at: self._vectors[at])
        self.model = SimpleNamespace(metric_scale=lambda: np.ones(self._vectors.shape[1]))


def test_a_report_compares_seeds_on_the_spectra_that_both_hold(monkeypatch):
    rows = np.arange(N)
    later = np.random.default_rng(6).permutation(N)[: N - 100]  # another order, some missing
    held = {
        "dense.low": Vectors(rows, SPACE),
        "dense.low.second": Vectors(later, SPACE[later] @ rotation(D, 2)),
        "dense.low.third": Vectors(rows, np.random.default_rng(7).standard_normal((N, D))),
        "dense.other": Vectors(rows[:50], SPACE[:50]),
    }
    archive = SimpleNamespace(
        names=lambda kind: sorted(held),
        table=lambda name, columns: pa.table({"uid": held[name.split("/")[1]].rows + 1000}),
        index=SimpleNamespace(value=lambda name, at: at + 1000),
    )
    monkeypatch.setattr(meaning, "Explorer", lambda archive, name: held[name])
    report = object.__new__(meaning._Report)
    report.archive, report.name, report.rows = archive, "dense.low", rows
    report.scaled = SPACE.astype(np.float32)
    found = report._stability()
    assert set(found) == {"dense.low.second", "dense.low.third"}, "few shared spectra say nothing"
    same, other = found["dense.low.second"], found["dense.low.third"]
    assert same.n == N - 100
    assert same.cka == pytest.approx(1.0, abs=1e-4)
    assert same.overlap_10 > 0.999
    assert other.n == N
    assert other.cka < 0.03
    assert other.overlap_10 == pytest.approx(other.overlap_chance, abs=0.01)
