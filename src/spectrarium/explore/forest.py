"""Weirdness by an unsupervised random forest, exactly and in linear time.

A forest learns to tell real objects from synthetic ones whose features are drawn independently of
each other. Two objects are alike in as far as trees that judge them real put them in one leaf.

Source: Baron & Poznanski 2017 (MNRAS 465, 4530), §2; Reis et al. 2018 (MNRAS 476, 2117), §3; after
Shi & Horvath 2006 (J. Comput. Graph. Stat. 15, 118).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent

LEAST = 20
"""Objects that a forest is fitted on at least."""
_BLOCK = 4096
"""Objects whose neighbours' leaves are compared at a time: a megabyte or two."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ForestSettings:
    """How forests are grown.

    trees : per forest · forests : with seeds of their own, to be averaged · real : objects that
    each tree is fitted on at most, drawn anew for each; as many synthetic ones join them
    neighbours : of the local scores · features : leading ones used · threads : None = all cores
    """

    trees: int = 200
    forests: int = 3
    real: int = 10_000
    neighbours: int = 250
    features: int = 64
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        least = (self.trees, self.forests, self.real, self.neighbours, self.features)
        if min(least) < 1:
            raise UsageError("a forest has at least one tree, object, neighbour and feature",
                             code="bad_forest")  # fmt: skip


def leading_features(vectors: NDArray[Any], most: int = 64) -> NDArray[np.float32]:
    """(n, min(d, most)) the columns of largest variance, in their order.

    vectors : (n, d) in the metric that neighbours are sought in
    """
    if vectors.shape[1] > most:
        variance = vectors.var(axis=0, dtype=np.float64)
        vectors = vectors[:, np.sort(np.argsort(-variance, kind="stable")[:most])]
    return np.ascontiguousarray(vectors, dtype=np.float32)


class Forest:
    """Trees that tell objects from a product of marginals, each fitted on a subsample."""

    def __init__(self, trees: list[tuple[Any, NDArray[Any]]], threads: int) -> None:
        self._trees = trees
        self._threads = threads

    def __len__(self) -> int:
        return len(self._trees)

    @classmethod
    def fit(
        cls, features: NDArray[np.float32], settings: ForestSettings, seed: int,
        progress: Progress | None = None,
    ) -> Forest:  # fmt: skip
        """Grow full-depth trees that choose among √d features at each split.

        Parameters
        ----------
        features : (n, d) float32, finite · seed : the same, the same forest whatever the threads
        Raises
        ------
        UsageError : fewer than 20 objects, or features that are not finite
        """
        if len(features) < LEAST:
            raise UsageError(f"{len(features)} spectra are too few for a forest",
                             code="too_few_spectra", remedy="embed more spectra")  # fmt: skip
        if not np.isfinite(features).all():
            raise UsageError("features are not finite", code="bad_vectors")
        seeds = np.random.SeedSequence(seed).spawn(settings.trees)
        threads = settings.threads or os.cpu_count() or 1
        watch = progress or Silent()
        grown = []
        for tree in _in_order(lambda s: _grow(features, settings.real, s), seeds, threads):
            _stop_if_cancelled(watch)
            grown.append(tree)
            watch.advance()
        return cls(grown, threads)

    def leaves(self, features: NDArray[np.float32]) -> Iterator[NDArray[Any]]:
        """For each tree in turn (n,) the leaf of each object, counted from 1 among the leaves that
        judge their objects real; 0 = judged synthetic. uint16, or uint32 where that is too small.
        """
        return _in_order(lambda t: t[1][t[0].apply(features)], self._trees, self._threads)


def _in_order(work: Callable[[Any], T], jobs: Iterable[Any], threads: int) -> Iterator[T]:
    """Results in the order of the jobs, with few of them in memory at once."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[T]] = deque()
        for job in jobs:
            waiting.append(pool.submit(work, job))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _grow(
    features: NDArray[np.float32], real: int, seed: np.random.SeedSequence
) -> tuple[Any, NDArray[Any]]:
    """A tree, and for each of its nodes the number of the leaf it is (0: not one that is real)."""
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(seed)
    rows = rng.choice(len(features), min(real, len(features)), replace=False)
    true = features[rows]
    false = np.stack([rng.permutation(column) for column in true.T], axis=1)
    x = np.concatenate([true, false])
    y = np.repeat([1, 0], len(true))
    tree = DecisionTreeClassifier(max_features="sqrt", random_state=int(rng.integers(2**31)))
    grown = tree.fit(x, y).tree_
    is_real = (grown.children_left < 0) & (grown.value[:, 0, 1] > grown.value[:, 0, 0])
    kind = np.uint16 if is_real.sum() < 2**16 else np.uint32
    return grown, np.where(is_real, np.cumsum(is_real), 0).astype(kind)


@dataclass(frozen=True, slots=True, eq=False)
class Weirdness:
    """total : (n,) W · within : (n,) W among given neighbours, by their name; NaN without
    neighbours · judged_real : (n,) trees that judge each object real
    """

    total: NDArray[np.float64]
    within: dict[str, NDArray[np.float64]]
    judged_real: NDArray[np.int64]


def weirdness(
    leaves: Iterable[NDArray[Any]], neighbours: dict[str, NDArray[Any]] | None = None,
    threads: int = 1,
) -> Weirdness:  # fmt: skip
    """W of every object from its leaves, without a matrix of pairs.

    With R_i the n_i trees that judge i real, the similarity of i and j is the share of R_i in
    which they meet in one leaf, S_ij = Σ_{t ∈ R_i} [l_t(i) = l_t(j)] / n_i, and W_i the mean of
    1 − S_ij over all N objects (i itself among them). The sum over j of the bracket is the number
    of objects in i's leaf, so W_i = 1 − Σ_{t ∈ R_i} count_t(l_t(i)) / (N n_i): linear in N, and
    exact, as only whole numbers are summed. Over the k neighbours of i (without i) the brackets
    are looked up one by one. An object that no tree judges real meets nobody: W = 1.

    Parameters
    ----------
    leaves : of each tree (n,) integer, 0 = judged synthetic (see `Forest.leaves`)
    neighbours : name → (n, k) integer positions, k ≤ 255; −1 = none (left out of the mean)
    Source: Baron & Poznanski 2017, §2.2 (W, with N² pairs); Reis et al. 2018, §3.2 (local W).
    """
    near = neighbours or {}
    met: NDArray[np.int64] | None = None
    judged = np.zeros(0, np.int64)
    among: dict[str, NDArray[np.int64]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for leaf in leaves:
            if met is None:
                met, judged = np.zeros(len(leaf), np.int64), np.zeros(len(leaf), np.int64)
                among = {name: np.zeros(len(leaf), np.int64) for name in near}
            count = np.bincount(leaf)
            count[0] = 0
            met += count[leaf]
            judged += leaf > 0
            for name, rows in near.items():
                _meet(leaf, rows, among[name], pool)
    if met is None:
        raise UsageError("a forest without trees judges nobody", code="bad_forest")
    trees = np.maximum(judged, 1)
    within = {}
    for name, rows in near.items():
        size = (rows >= 0).sum(axis=1)
        share = among[name] / (np.maximum(size, 1) * trees)
        within[name] = np.where(size > 0, 1.0 - share, np.nan)
    return Weirdness(1.0 - met / (len(met) * trees), within, judged)


def _meet(
    leaf: NDArray[Any], rows: NDArray[Any], out: NDArray[np.int64], pool: ThreadPoolExecutor
) -> None:
    """Add to `out` how many of each object's neighbours share its leaf in one tree."""

    def block(start: int) -> None:
        here = slice(start, start + _BLOCK)
        mine = leaf[here]
        at = rows[here]
        same = leaf[at] == mine[:, None]
        same &= at >= 0
        found = np.add.reduce(same.view(np.uint8), axis=1, dtype=np.uint8)
        out[here] += np.where(mine > 0, found, 0)

    list(pool.map(block, range(0, len(leaf), _BLOCK)))


@dataclass(frozen=True, slots=True)
class Stability:
    """How far forests of different seeds agree.

    rank_correlation : mean Spearman ρ of pairs · overlap : mean share of the strangest 2 % that
    two forests have in common; both 1 for a single forest
    """

    rank_correlation: float
    overlap: float


def stability(each: NDArray[np.float64], share: float = 0.02) -> Stability:
    """Of (forests, n) scores; abstentions (NaN in any) are left out."""
    each = each[:, np.isfinite(each).all(axis=0)]
    pairs = [(a, b) for a in range(len(each)) for b in range(a)]
    if not pairs or each.shape[1] < 3:
        return Stability(1.0, 1.0)
    rank = rankdata(each, axis=1)
    rho = np.corrcoef(rank)
    most = max(1, round(share * each.shape[1]))
    top = [set(np.argsort(-row, kind="stable")[:most].tolist()) for row in each]
    return Stability(
        rank_correlation=float(np.mean([rho[a, b] for a, b in pairs])),
        overlap=float(np.mean([len(top[a] & top[b]) / most for a, b in pairs])),
    )


def forests(
    features: NDArray[np.float32], neighbours: dict[str, NDArray[Any]],
    settings: ForestSettings | None = None, progress: Progress | None = None,
) -> list[Weirdness]:  # fmt: skip
    """W of all objects by each of several forests."""
    settings = settings or ForestSettings()
    watch = progress or Silent()
    threads = settings.threads or os.cpu_count() or 1
    out = []
    for number in range(settings.forests):
        watch.start(f"forest {number + 1} of {settings.forests}", 2 * settings.trees)
        forest = Forest.fit(features, settings, settings.seed + number, watch)
        leaves = _watched(forest.leaves(features), watch)
        out.append(weirdness(leaves, neighbours, threads))
    return out


def _watched(leaves: Iterable[NDArray[Any]], watch: Progress) -> Iterator[NDArray[Any]]:
    for leaf in leaves:
        _stop_if_cancelled(watch)
        yield leaf
        watch.advance()


def _stop_if_cancelled(watch: Progress) -> None:
    if watch.cancelled():
        raise TransientError("cancelled: nothing was stored", code="cancelled",
                             remedy="run the same command again")  # fmt: skip
