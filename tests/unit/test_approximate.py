"""The approximate index finds what exact search finds, says how often, and is checked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spectrarium.domain.derived import Embedding, ModelRef
from spectrarium.domain.errors import UsageError
from spectrarium.explore import approximate
from spectrarium.explore.approximate import ApproximateIndex, Filtered, IndexCard, Tuned
from spectrarium.explore.neighbours import ExactIndex
from spectrarium.explore.tuning import SHARES, build, cells_for, interval
from spectrarium.run import index as disk

REF = ModelRef("pca/test", "0", "ab" * 32)
N, D = 8000, 12


def vectors(seed: int = 0, n: int = N) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((30, D)) * 2
    return (centres[rng.integers(0, 30, n)] + 0.6 * rng.standard_normal((n, D))).astype("f4")


def exact_of(values, uid=None, ref=REF, scale=None) -> ExactIndex:
    uid = 10 * np.arange(len(values)) if uid is None else uid
    return ExactIndex(Embedding(ref, np.asarray(values, "f4"), uid), scale)


@pytest.fixture(scope="module")
def exact() -> ExactIndex:
    return exact_of(vectors(), scale=np.linspace(1.0, 0.5, D))


@pytest.fixture(scope="module")
def built(exact) -> ApproximateIndex:
    return build(exact, disk.scale_hash(exact))


def share_found(found, truth) -> float:
    return float(np.mean([np.isin(t, f).mean() for f, t in
                          zip(found.obs_uid, truth.obs_uid, strict=True)]))  # fmt: skip


def test_the_recall_it_states_is_the_recall_of_new_queries(exact, built):
    queries = vectors(5, 400)
    found, truth = built.search(queries, 10), exact.search(queries, 10)
    stated = built.card.recall
    assert stated.low >= approximate.TARGET
    assert stated.low <= stated.recall <= stated.high
    assert share_found(found, truth) >= 0.985
    assert found.method.startswith("approximate, recall@10 0.99") or "1.000" in found.method
    assert truth.method == "exact"
    assert built.nprobe(10) < built.card.nlist / 2, "cells that are all looked into save nothing"
    assert built.nprobe(10) <= built.nprobe(200) <= built.nprobe(2000)


def test_distances_are_those_of_the_exact_index(exact, built):
    queries = vectors(6, 20)
    found, truth = built.search(queries, 5), exact.search(queries, 5)
    same = found.obs_uid == truth.obs_uid
    assert same.mean() > 0.95
    np.testing.assert_array_equal(found.distance[same], truth.distance[same])


def test_ties_go_to_the_lower_id_and_the_query_is_excluded():
    values = vectors()
    values[100:104] = values[50]
    index = build(exact_of(values), "x")
    found = index.search(values[50:51], 4, exclude=np.array([500]))
    np.testing.assert_array_equal(found.obs_uid[0], [1000, 1010, 1020, 1030])
    np.testing.assert_array_equal(found.distance[0], 0.0)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.6])
@pytest.mark.parametrize("kind", ["random", "one side"])
def test_filters_are_exact_even_where_all_that_passes_is_far_away(exact, built, share, kind):
    order = np.random.default_rng(3).random(N) if kind == "random" else exact.scaled[:, 0]
    allowed = order <= np.quantile(order, share)
    queries = vectors(7, 60)
    found = built.search(queries, 5, allowed=allowed)
    truth = exact.search(queries, 5, allowed=allowed)
    assert np.isin(found.obs_uid[found.obs_uid >= 0] // 10, np.flatnonzero(allowed)).all()
    assert share_found(found, truth) >= 0.99
    if share < approximate.FILTER_EXACT:
        assert found.method == "exact"
    elif found.method != "exact":
        assert found.method.endswith(f"where {100 * max(s for s in SHARES if s <= share):g} % "
                                     "may be answers")  # fmt: skip


def curved(seed: int, n: int, d: int = 32) -> np.ndarray:
    """Sequences of very different widths, as embeddings of spectra have."""
    rng, world = np.random.default_rng(seed), np.random.default_rng(7)
    fall = np.arange(1, d + 1) ** -0.6
    start, bend = 3.0 * world.standard_normal((2, 60, d)) * fall
    width = 0.5 * world.lognormal(-0.2, 0.5, 60)
    which, t = rng.integers(0, 60, n), rng.random((n, 1))
    noise = rng.standard_normal((n, d)) * fall * width[which, None]
    return (start[which] + bend[which] * np.sin(np.pi * t) + noise).astype("f4")


def test_filters_to_one_side_of_space_get_the_recall_that_is_shown():
    """Cells near a query hold nothing that such a filter passes: looking into so many more, and
    four times as many again, found 0.975 of the neighbours here, and 0.999 was shown."""
    exact = exact_of(curved(0, 30_000))
    index = build(exact, "x")
    queries = curved(1, 150)
    for share in (0.1, 0.5):
        for order in (exact.scaled[:, 0], -exact.scaled[:, 0], exact.scaled @ curved(2, 1)[0]):
            allowed = order <= np.quantile(order, share)
            for k in (10, 20):
                truth = exact.search(queries, k, allowed=allowed)
                each = [index.search(q[None], k, allowed=allowed) for q in queries]
                right = np.array([np.isin(t, f.obs_uid[0]).mean()
                                  for t, f in zip(truth.obs_uid, each, strict=True)])  # fmt: skip
                near = np.array([f.method != "exact" for f in each])
                assert right.mean() >= 0.99
                assert (right[~near] == 1.0).all(), "exact is exact"
                assert 0.02 < near.mean() < 0.98, "some queries lie among what passes, others not"
                stated = index.card.under(k, share)
                assert {f.method for f in each} == {"exact", str(stated)}
                assert stated.k == k
                assert f"recall@{k} {stated.recall:.3f}" in str(stated)
                assert right[near].mean() >= stated.low - 0.02  # of a few dozen answers


def card(*filtered: Filtered) -> IndexCard:
    return IndexCard("ab" * 32, "x", N, D, 10, (Tuned(10, 1, 1.0, 0.99, 1.0, 500),), filtered)


def test_what_is_shown_under_a_filter_is_the_least_that_was_measured_for_such():
    good = Filtered("random", 0.1, 10, 0.999, 0.998, 1.0, 500)
    worse = Filtered("one side", 0.1, 10, 0.995, 0.991, 0.997, 500)
    wide = Filtered("random", 0.5, 20, 1.0, 0.994, 1.0, 500)
    some = card(good, worse, wide)
    assert some.under(10, 0.1) == some.under(3, 0.45) == worse
    assert some.under(11, 0.5) == wide
    assert some.under(11, 0.45) is None, "measured for wider filters only"
    assert some.under(21, 0.9) is None
    assert some.under(10, 0.05) is None
    missed = Filtered("one side", 0.1, 10, 0.985, 0.97, 0.99, 500)
    assert card(good, missed).under(10, 0.2) is None, "below the target, exact search answers"
    assert card().under(10, 0.9) is None, "an index of which nothing is known under filters"


def test_without_a_measured_recall_filters_are_exact(exact, built):
    index = ApproximateIndex(exact, built.cells, np.arange(N), card())
    allowed = np.arange(N) % 4 > 0
    queries = vectors(12, 5)
    found, truth = index.search(queries, 10, allowed=allowed), exact.search(
        queries, 10, allowed=allowed)  # fmt: skip
    assert found.method == "exact"
    np.testing.assert_array_equal(found.obs_uid, truth.obs_uid)
    assert index.search(queries, 10, allowed=np.ones(N, bool)).method.startswith("approximate")


def test_a_filter_that_nothing_passes_and_k_beyond_all_rows(exact, built):
    none = built.search(vectors(1, 2), 3, allowed=np.zeros(N, bool))
    assert (none.obs_uid == -1).all()
    everything = built.search(vectors(1, 1), N + 5)
    assert (everything.obs_uid[0] >= 0).sum() == N
    with pytest.raises(UsageError):
        built.search(vectors(1, 1), 0)
    with pytest.raises(UsageError) as caught:
        built.search(vectors(1, 1), 3, model=ModelRef("other", "0", "cd" * 32))
    assert caught.value.code == "other_model"


def test_new_rows_are_found_and_gone_ones_are_not(tmp_path, exact, built):
    prints = np.arange(N)
    disk.save(tmp_path, "pca.x", built, prints)
    old, new = vectors(), vectors(8, 40)
    keep = np.arange(N) % 100 != 7  # 80 are gone
    now = exact_of(np.concatenate([new, old[keep]]),
                   np.concatenate([10**6 + np.arange(40), 10 * np.arange(N)[keep]]),
                   scale=np.linspace(1.0, 0.5, D))  # fmt: skip
    changed = prints[keep].copy()
    changed[5] += 1_000_000  # its content is another: its vector in the index is not trusted
    index, why = disk.load(tmp_path, "pca.x", now, np.concatenate([-np.arange(40), changed]))
    assert index is not None, why
    assert len(index.tail) == 41
    assert not index.old
    queries = np.concatenate([new, old[~keep]])
    found, truth = index.search(queries, 5), now.search(queries, 5)
    np.testing.assert_array_equal(found.obs_uid[:40, 0], 10**6 + np.arange(40))
    assert share_found(found, truth) >= 0.985
    assert not np.isin(found.obs_uid, 10 * np.flatnonzero(~keep)).any()
    allowed = np.zeros(len(now), bool)
    allowed[::3] = True
    some = index.search(queries, 5, allowed=allowed)
    assert share_found(some, now.search(queries, 5, allowed=allowed)) >= 0.985
    assert allowed[now.rows_of(some.obs_uid)].all()


def test_where_all_around_a_query_is_gone_what_is_left_is_found(exact, built):
    """The cells near it hold nothing any more: as under a filter that passes none of them."""
    centre = vectors()[:1] * exact.scale
    far = np.linalg.norm(exact.scaled - centre, axis=1)
    keep = far > np.quantile(far, 0.2)
    now = exact_of(vectors()[keep], 10 * np.flatnonzero(keep), scale=np.linspace(1.0, 0.5, D))
    row_of = np.where(keep, np.cumsum(keep) - 1, -1)
    index = ApproximateIndex(now, built.cells, row_of, built.card)
    inside, outside = vectors()[far < np.quantile(far, 0.05)][:40], vectors(13, 60)
    for queries in (inside, outside):
        found, truth = index.search(queries, 10), now.search(queries, 10)
        assert share_found(found, truth) >= 0.99
    assert index.search(vectors()[:1], 10).method == "exact"
    assert "50 % may be answers" in index.search(outside, 10).method


def test_an_older_card_is_read_and_its_index_not_used_under_filters(tmp_path, exact, built):
    path = disk.save(tmp_path, "pca.x", built, np.arange(N))
    record = json.loads(path.read_text())
    assert [Filtered(**f) for f in record["card"]["filtered"]] == list(built.card.filtered)
    record["card"]["filtered"] = {"one side 0.1": 0.978}
    path.write_text(json.dumps(record))
    index, why = disk.load(tmp_path, "pca.x", exact, np.arange(N))
    assert index is not None, why
    queries = vectors(14, 3)
    assert index.search(queries, 10).method.startswith("approximate")
    assert index.search(queries, 10, allowed=np.arange(N) % 8 > 0).method == "exact"


def test_an_index_is_kept_used_again_and_replaced(tmp_path, exact, built):
    prints = np.arange(N)
    card = disk.save(tmp_path / "indexes", "pca.x", built, prints)
    record = json.loads(card.read_text())
    assert record["card"]["tuned"][0]["recall"] >= 0.99
    index, _ = disk.load(tmp_path / "indexes", "pca.x", exact, prints)
    assert index is not None
    queries = vectors(9, 10)
    np.testing.assert_array_equal(index.search(queries, 9).obs_uid,
                                  built.search(queries, 9).obs_uid)  # fmt: skip
    disk.save(tmp_path / "indexes", "pca.x", built, prints)
    disk.save(tmp_path / "indexes", "pca.xy", built, prints)
    assert len(list((tmp_path / "indexes").iterdir())) == 6, "three files of each, none left over"


@pytest.mark.parametrize("suffix", [".faiss", ".rows.npy", ".json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_a_damaged_index_is_never_used(tmp_path, exact, built, suffix, damage):
    card = disk.save(tmp_path / disk.FOLDER, "pca.x", built, np.arange(N))
    path = card.with_suffix(suffix)
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        data[len(data) // 3] ^= 0xFF
        cut = {"cut": data[: len(data) // 2], "flip": data, "empty": b""}[damage]
        path.write_bytes(bytes(cut))
    index, why = disk.load(tmp_path / disk.FOLDER, "pca.x", exact, np.arange(N))
    if suffix == ".json" and damage == "flip" and index is not None:
        return  # a flipped letter of the date changes nothing that is used
    assert index is None
    assert "damaged" in why or "no approximate" in why or "another model" in why


def test_other_models_and_metrics_make_it_useless_and_other_rows_old(tmp_path, exact, built):
    disk.save(tmp_path, "pca.x", built, np.arange(N))
    other = exact_of(vectors(), ref=ModelRef("pca/test", "0", "cd" * 32),
                     scale=np.linspace(1.0, 0.5, D))  # fmt: skip
    assert disk.load(tmp_path, "pca.x", other, np.arange(N))[0] is None
    assert disk.load(tmp_path, "pca.x", exact_of(vectors()), np.arange(N))[0] is None
    few = np.where(np.arange(N) % 3, -5, np.arange(N))
    index, _ = disk.load(tmp_path, "pca.x", exact, few)
    assert index.old, "and still good, with exact search beside it"
    assert index.behind
    assert len(index.tail) == np.count_nonzero(few < 0)
    assert share_found(index.search(vectors(1, 20), 10), exact.search(vectors(1, 20), 10)) >= 0.99
    assert disk.load(tmp_path, "pca.y", exact, np.arange(N))[1].startswith("there is no")


def test_it_is_built_with_a_note_and_answers_where_it_cannot_be_kept(tmp_path, monkeypatch, exact):
    notes = []

    class Told:
        def start(self, what, total): ...
        def advance(self, steps=1): ...
        def cancelled(self):
            return False

        def note(self, text):
            notes.append(text)

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk, "save", refuse)
    index = disk.indexed(tmp_path, "pca.x", exact, np.arange(N), progress=Told())
    assert index.search(vectors(1, 1), 3).method.startswith("approximate")
    assert any("once" in n for n in notes)
    assert any("cannot be kept: Permission denied" in n for n in notes)


def test_small_embeddings_need_none_and_the_rules_are_sane():
    with pytest.raises(UsageError) as caught:
        build(exact_of(vectors(0, 50)), "x")
    assert caught.value.code == "too_few_rows"
    assert cells_for(1_000_000) == 4000
    assert cells_for(3_000) == 76
    assert cells_for(10) == 1
    low, high = interval(np.ones(300), np.random.default_rng(0))
    assert (low, high) == (0.99, 1.0)


def test_a_batch_finds_what_its_queries_find_alone(built):
    """Recall is measured in batches: were they searched deeper, it would be stated too high."""
    queries = vectors(11, 60)
    together = built.search(queries, 10)
    for i, query in enumerate(queries):
        alone = built.search(query[None], 10)
        np.testing.assert_array_equal(alone.obs_uid[0], together.obs_uid[i])
