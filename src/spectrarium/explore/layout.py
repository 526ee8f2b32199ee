"""A plane to look at: positions of vectors in two dimensions, and how far to trust them.

Layouts are for display only. No distance is ever taken from one: two dimensions keep a tenth to a
quarter of each spectrum's nearest neighbours, and what lies between clusters means nothing.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from .graph import neighbour_graph

F4, F8 = np.float32, np.float64
LEAST_POINTS = 20
"""Fewer make no map."""
_RANKED = 5_000
"""Points whose full rank order is compared; of more, a random sample, among themselves."""
_KEPT = 2_000
"""Points whose nearest among all are found: enough for a share of neighbours to 0.003."""
_SMALL = 10_000
"""Up to so many points umap-learn takes 500 epochs, and so do we; 200 of more."""
_PLACED_BY = 8
"""Mapped neighbours that say where a new point goes."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How much of the neighbourhoods a map keeps: 1 all; a random one has near 0.5, 0.5 and 0.

    trustworthiness : 1 − penalty for neighbours on the map that are none among the vectors
    continuity : 1 − penalty for neighbours among the vectors that the map tears apart
    kept_10 : mean share of the 10 nearest vectors that are among the 10 nearest on the map, over
        at most 2,000 points, their neighbours found among all
    k, sample : of the first two: neighbourhood size, points compared (among themselves)
    """

    trustworthiness: float
    continuity: float
    kept_10: float
    k: int
    sample: int


@dataclass(frozen=True, slots=True)
class Placement:
    """How well new points are placed, measured on mapped ones put aside.

    error, error_90 : median and 90th percentile of the distance between where a point was laid
        out and where its neighbours place it, in units of the map's rms radius
    kept_10 : share of its 10 nearest vectors among its 10 nearest on the map, when placed
    """

    error: float
    error_90: float
    kept_10: float
    sample: int


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Positions and their quality.

    xy : (n, 2) float32, arbitrary units; principal components are in the vectors' own
    settings : of the method, enough to make it again · axes : names of the two axes
    """

    method: str
    xy: NDArray[np.float32]
    settings: Mapping[str, Any]
    axes: tuple[str, str]
    quality: Quality
    placement: Placement

    def record(self) -> dict[str, Any]:
        """Plain fields, without the positions."""
        return {"method": self.method, "settings": dict(self.settings), "axes": list(self.axes),
                "quality": asdict(self.quality), "placement": asdict(self.placement)}  # fmt: skip


def layout(vectors: NDArray[Any], method: str = "umap", seed: int = 0) -> Layout:
    """A plane of these vectors, with what it keeps of their neighbourhoods.

    Parameters
    ----------
    vectors : (n, d) as distances are taken: × metric scale · method : umap, pca or pacmap
    seed : of the optimiser and the samples; the same seed gives the same map
    Raises
    ------
    UsageError : unknown method, fewer than 20 different points, vectors that are not finite,
        pacmap without its package
    """
    make = method_named(method)
    x = np.ascontiguousarray(vectors, dtype=F4)
    _check(x)
    xy, settings, axes = make(x, seed)
    if not np.isfinite(xy).all():
        raise UsageError(f"{method} found no finite positions for these vectors",
                         code="no_layout", remedy="use --method pca")  # fmt: skip
    return Layout(method, xy, MappingProxyType({**settings, "seed": seed}), axes,
                  quality(x, xy, seed=seed), placement(x, xy, seed))  # fmt: skip


def _check(x: NDArray[np.float32]) -> None:
    if x.ndim != 2 or x.shape[1] < 2:
        raise UsageError(f"vectors {x.shape} are not (n, 2 or more)", code="bad_vectors")
    if not np.isfinite(x).all():
        raise UsageError("vectors are not finite", code="bad_vectors",
                         remedy="train the model again")  # fmt: skip
    different = len(np.unique(x[:100_000], axis=0)) if len(x) >= LEAST_POINTS else len(x)
    if different < LEAST_POINTS:
        raise UsageError(
            f"{different} different points make no map, {LEAST_POINTS} are needed",
            code="too_few_spectra", remedy="embed more spectra, or loosen --where",
        )  # fmt: skip


# methods --------------------------------------------------------------------------------------

Made = tuple[NDArray[np.float32], dict[str, Any], tuple[str, str]]


def _pca(x: NDArray[np.float32], seed: int) -> Made:
    """First two principal components; the sign makes the larger tail positive."""
    centred = x - x.mean(axis=0, dtype=F8)
    variance, axes = np.linalg.eigh(centred.T @ centred / len(x))
    first = axes[:, ::-1][:, :2]
    xy = centred @ first
    xy *= np.where((xy**3).sum(axis=0) < 0, -1.0, 1.0)
    share = variance[::-1][:2] / variance.sum()
    settings = {"variance_share": [round(float(s), 6) for s in share]}
    names = tuple(f"Component {i + 1} ({100 * s:.0f} % of variance)" for i, s in enumerate(share))
    return xy.astype(F4), settings, (names[0], names[1])


def _start(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Principal components as a start: outliers drawn in, so that they do not squeeze the rest."""
    xy, _, _ = _pca(x, 0)
    centre = np.median(xy, axis=0)
    sigma = np.maximum(1.4826 * np.median(np.abs(xy - centre), axis=0), 1e-12)
    return np.asarray(4.0 * np.tanh((xy - centre) / (4.0 * sigma)), dtype=F4)


def _umap(x: NDArray[np.float32], seed: int) -> Made:
    """UMAP of neighbours found by `neighbour_graph`, started from principal components."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tensorflow.*", category=Warning)
        from umap.umap_ import find_ab_params, fuzzy_simplicial_set

    from .forces import settle  # numba, with umap-learn, takes seconds to import

    n_neighbors, min_dist = min(15, len(x) - 1), 0.1
    epochs = 500 if len(x) <= _SMALL else 200
    graph = neighbour_graph(x, n_neighbors)
    settings = {"n_neighbors": n_neighbors, "min_dist": min_dist, "init": "pca", "epochs": epochs,
                "neighbours": graph.how, "neighbour_recall": round(graph.recall, 4)}  # fmt: skip
    edges, _, _ = fuzzy_simplicial_set(
        x, n_neighbors, None, "euclidean", knn_indices=graph.near, knn_dists=graph.distance
    )
    xy = settle(edges, _start(x), find_ab_params(1.0, min_dist), epochs, seed)
    return xy, settings, ("UMAP 1", "UMAP 2")


def _pacmap(x: NDArray[np.float32], seed: int) -> Made:
    try:
        import pacmap
    except ModuleNotFoundError as error:
        if error.name != "pacmap":
            raise
        raise UsageError(
            "method 'pacmap' needs the package pacmap, which is not installed",
            code="needs_pacmap", remedy="pip install 'spectrarium[pacmap]', or use --method umap",
        ) from error  # fmt: skip
    import faiss

    settings = {"n_neighbors": min(10, len(x) - 1), "init": "pca"}
    log, threads = logging.getLogger("pacmap.pacmap"), faiss.omp_get_max_threads()
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of the seed that it was given
    try:
        model = pacmap.PaCMAP(n_components=2, n_neighbors=settings["n_neighbors"],
                              random_state=seed)  # fmt: skip
        xy = np.asarray(model.fit_transform(x, init="pca"), F4)
    finally:
        log.setLevel(level)
        faiss.omp_set_num_threads(threads)  # it sets one for everybody, and leaves it
    return xy, settings, ("PaCMAP 1", "PaCMAP 2")


METHODS: Mapping[str, Callable[[NDArray[np.float32], int], Made]] = MappingProxyType(
    {"umap": _umap, "pca": _pca, "pacmap": _pacmap}
)


def method_named(name: str) -> Callable[[NDArray[np.float32], int], Made]:
    """The layout method of this name; an unknown one lists the known."""
    if name not in METHODS:
        raise UsageError(f"no layout method is called {name!r}", code="unknown_method",
                         remedy=f"choose one of: {', '.join(METHODS)}")  # fmt: skip
    return METHODS[name]


# quality --------------------------------------------------------------------------------------


def quality(
    vectors: NDArray[Any], xy: NDArray[Any], k: int = 15, sample: int = _RANKED, seed: int = 0
) -> Quality:
    """What a map keeps of the neighbourhoods among the vectors.

    Source: Venna & Kaski 2001 (ICANN, LNCS 2130, 485), eqs. 1–3. Valid for: k < sample/2, which a
    smaller k is chosen for; on a sample of n points k neighbours stand for a share k/sample.
    """
    n = len(vectors)
    rows = np.arange(n)
    if n > sample:
        rows = np.sort(np.random.default_rng([seed, 5]).choice(n, sample, replace=False))
    m = len(rows)
    k = max(1, min(k, (m - 1) // 2))
    high, low = np.asarray(vectors, F8)[rows], np.asarray(xy, F8)[rows]
    intruders = missing = 0
    for start in range(0, m, 512):
        block = slice(start, min(start + 512, m))
        far_high, far_low = _squares(high, block), _squares(low, block)
        intruders += _beyond(far_high, _nearest(far_low, k), k)
        missing += _beyond(far_low, _nearest(far_high, k), k)
    worst = 0.5 * m * k * (2 * m - 3 * k - 1)
    few = rows if m <= _KEPT else np.random.default_rng([seed, 6]).choice(rows, _KEPT, False)
    return Quality(1 - intruders / worst, 1 - missing / worst, kept_share(vectors, xy, few), k, m)


def _squares(points: NDArray[np.float64], block: slice) -> NDArray[np.float64]:
    """(b, m) squared distances from those in the block, less their own square; ∞ to itself."""
    own = np.arange(len(points))[block]
    far = np.einsum("nd,nd->n", points, points) - 2.0 * points[block] @ points.T
    far[np.arange(own.size), own] = np.inf
    return np.asarray(far)


def _nearest(far: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    return np.argpartition(far, k - 1, axis=1)[:, :k]


def _beyond(far: NDArray[np.float64], named: NDArray[np.intp], k: int) -> int:
    """By how many ranks beyond k the named are, in all; equally far ones share the nearer rank."""
    edge = np.take_along_axis(far, named, axis=1)
    rank = [1 + np.count_nonzero(far < edge[:, c : c + 1], axis=1) for c in range(k)]
    return int(np.maximum(np.array(rank) - k, 0).sum())


def kept_share(vectors: NDArray[Any], xy: NDArray[Any], rows: NDArray[Any], k: int = 10) -> float:
    """Mean share of the k nearest vectors of `rows` that are among their k nearest on the map."""
    import faiss
    from scipy.spatial import cKDTree

    k = min(k, len(vectors) - 1)
    x = np.ascontiguousarray(vectors, F4)
    _, high = faiss.knn(x[rows], x, k + 1)
    _, low = cKDTree(xy).query(xy[rows], k + 1)
    shared = [np.intersect1d(a[a != i][:k], b[b != i][:k]).size
              for i, a, b in zip(rows, high, low, strict=True)]  # fmt: skip
    return float(np.mean(shared) / k)


# new points -----------------------------------------------------------------------------------


def place(
    new: NDArray[Any], vectors: NDArray[Any], xy: NDArray[Any], k: int = _PLACED_BY
) -> NDArray[np.float32]:
    """(q, 2) where new points go: among their k nearest mapped vectors, nothing is refitted.

    The geometric median of the neighbours' positions, weighted by inverse squared distance: where
    neighbours lie in two clusters it falls into one of them, never in the void between, and equal
    vectors have equal positions. Deterministic; each point by itself.
    Source: Weiszfeld 1937 (Tôhoku Math. J. 43, 355), 30 steps.
    """
    import faiss

    if not len(new):
        return np.empty((0, 2), F4)
    k = min(k, len(vectors))
    near = np.ascontiguousarray(vectors, F4), np.ascontiguousarray(new, F4)
    square, at = faiss.knn(near[1], near[0], k)
    size = np.maximum(square[:, -1:], 1e-30)
    weight = 1.0 / np.maximum(square / size, 1e-6).astype(F8)
    points = np.asarray(xy, F8)[at]
    where = np.einsum("qk,qkc->qc", weight, points) / weight.sum(axis=1)[:, None]
    tiny = 1e-9 * max(float(np.ptp(xy)), 1e-30)
    for _ in range(30):
        gap = np.linalg.norm(points - where[:, None], axis=2)
        pull = weight / np.maximum(gap, tiny)
        where = np.einsum("qk,qkc->qc", pull, points) / pull.sum(axis=1)[:, None]
    same = square[:, 0] <= 1e-12 * size[:, 0]
    where[same] = points[same, 0]
    return np.asarray(where, dtype=F4)


def far_from_all(
    new: NDArray[Any], vectors: NDArray[Any], seed: int = 0, sample: int = 1_000
) -> NDArray[np.bool_]:
    """(q,) True for new points farther from any mapped one than 99 % of those from each other.

    They are of a kind the map was not made with: where they are placed means little.
    """
    import faiss

    if not len(new):
        return np.empty(0, bool)
    x = np.ascontiguousarray(vectors, F4)
    some = np.random.default_rng([seed, 9]).permutation(len(x))[:sample]
    usual = faiss.knn(x[some], x, 2)[0][:, 1]
    return np.asarray(
        faiss.knn(np.ascontiguousarray(new, F4), x, 1)[0][:, 0] > np.quantile(usual, 0.99)
    )


def placement(
    vectors: NDArray[Any], xy: NDArray[Any], seed: int = 0, sample: int = 1_000
) -> Placement:
    """How far from their own positions a tenth of the points are placed by the others."""
    n = len(vectors)
    out = np.random.default_rng([seed, 7]).permutation(n)[: max(1, min(sample, n // 10))]
    rest = np.setdiff1d(np.arange(n), out)
    found = place(vectors[out], vectors[rest], xy[rest])
    radius = float(np.sqrt(((xy - xy.mean(axis=0)) ** 2).sum(axis=1).mean()))
    off = np.linalg.norm(found - xy[out], axis=1) / max(radius, 1e-30)
    moved = np.array(xy)
    moved[out] = found
    kept = kept_share(vectors, moved, out)
    return Placement(float(np.median(off)), float(np.percentile(off, 90)), kept, int(out.size))
