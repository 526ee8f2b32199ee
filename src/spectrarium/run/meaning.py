"""What an embedding means: physics or nuisance, beside raw pixels and PCA."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import NoiseSource
from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..domain.visibility import EVERYTHING, Visibility
from ..explore.information import LatentScores, latent_scores
from ..explore.meaning import (
    LEAST_OBJECTS,
    ProbeResult,
    Target,
    best_p,
    difference,
    holm,
    probe_with,
    target_of,
)
from ..explore.probes import felt, object_folds, probe_named
from ..explore.stability import Agreement, agreement
from ..store.archive import Archive, Rows
from .embedding import prepared
from .explorer import Explorer
from .layout import embeddings_of
from .objects import objects_of
from .quantities import Quantity, Role, quantities
from .redshifts import redshifts

MOST = 2_000
"""Spectra that are probed; of more, a random sample. ± 0.02 in R² either way."""
MOST_PIXELS = 4_096
"""Raw pixels a probe sees; of more, means of neighbouring ones."""
PROBES = ("ridge", "knn")
DRAWS = 999
"""Permutations: after Holm over 20 quantities p can still reach 0.02."""
PIXELS, PCA = "pixels", "pca"


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """One quantity: what each space knows of it, and what each latent does.

    spaces : ``own``, ``pca``, ``pixels`` → probe → result · p : of the best probe of the own
    space among both, Holm-corrected over quantities · than : ``pca``, ``pixels`` → (difference of
    the best scores, low, high) · latents : of the own space
    """

    quantity: Quantity
    spaces: dict[str, dict[str, ProbeResult]]
    p: float
    than: dict[str, tuple[float, float, float]]
    latents: LatentScores

    def best(self, space: str = "own") -> ProbeResult:
        """The result of the probe that does best in a space."""
        return max(self.spaces[space].values(), key=lambda r: r.score)

    def record(self) -> dict[str, Any]:
        """Plain fields."""
        q = self.quantity
        return {
            "quantity": q.name, "role": q.role.value, "source": q.source, "unit": q.unit,
            "scale": q.scale, "p_holm": self.p,
            "spaces": {s: {k: r.record() for k, r in found.items()}
                       for s, found in self.spaces.items()},
            "less_than": {s: {"difference": d, "low": a, "high": b}
                          for s, (d, a, b) in self.than.items()},
            "latents": {"score": self.latents.score.tolist(), "p": self.latents.null_p.tolist(),
                        "bits": self.latents.bits.tolist()},
        }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """The report on one embedding.

    n, n_objects, of : spectra and objects probed, spectra there are · shares : (d,) of the
    variance of the space that distances are taken in · skipped : quantity → why it was not probed
    stability : other embeddings of the same spectra → agreement · note : in words
    redshift : (n,) of the spectra probed, whatever was asked for; NaN = unknown
    """

    name: str
    model: str
    n: int
    n_objects: int
    of: int
    seed: int
    findings: tuple[Finding, ...]
    skipped: dict[str, str]
    shares: NDArray[np.float64]
    stability: dict[str, Agreement]
    explorer: Explorer = field(repr=False)
    vectors: NDArray[np.float32] = field(repr=False)
    redshift: NDArray[np.float64] = field(repr=False)
    note: str = ""

    def record(self) -> dict[str, Any]:
        """Plain fields."""
        return {
            "model": self.name, "model_id": self.model, "spectra": self.n,
            "objects": self.n_objects, "of": self.of, "seed": self.seed, "note": self.note,
            "variance_shares": self.shares.tolist(),
            "quantities": [f.record() for f in self.findings], "skipped": self.skipped,
            "stability": {k: a.record() for k, a in self.stability.items()},
        }  # fmt: skip


def meaning(
    root: Path,
    *,
    encoder: str | None = None,
    model: str | None = None,
    against: Sequence[str] = (),
    objects: str | None = None,
    where: str | None = None,
    seed: int = 0,
    version: int | None = None,
    visibility: Visibility = EVERYTHING,
    progress: Progress | None = None,
) -> list[Meaning]:
    """What each embedding asked for knows of physics and of nuisances, largest first.

    against : columns to probe; () = all that look like a quantity · objects : column that tells
        which spectra are of one object; None = by sky and name
    Raises UsageError for unknown names, and when no embedding has 20 objects.
    """
    archive = Archive(root, version, visibility)
    allowed = None if where is None else archive.find(where=where)
    names = embeddings_of(archive, encoder, model)
    for column in against:
        list(quantities(archive, archive.find(limit=1), (column,)))  # a wrong name is told first
    reports, problems = [], []
    for name in names:
        try:
            reports.append(_Report(archive, name, objects, allowed, seed,
                                   progress or Silent()).made(tuple(against)))  # fmt: skip
        except UsageError as error:
            if error.code != "too_few_spectra":
                raise
            problems.append(error)
    if not reports and problems:
        raise problems[0]
    return reports


class _Report:
    """One embedding, a sample of its spectra, and the spaces they are compared in."""

    def __init__(
        self, archive: Archive, name: str, objects: str | None, allowed: Rows | None, seed: int,
        progress: Progress,
    ) -> None:  # fmt: skip
        self.archive, self.name, self.seed, self.progress = archive, name, seed, progress
        self.explorer = Explorer(archive, name)
        self.pca = _pca_beside(archive, name)
        at = self._sample(allowed)
        self.rows = self.explorer.rows[at]
        self.objects = objects_of(archive, self.rows, objects)
        found = np.unique(self.objects).size
        if found < LEAST_OBJECTS:
            raise UsageError(
                f"{found} objects do not show what a model means, {LEAST_OBJECTS} are needed",
                code="too_few_spectra", where=name, remedy="embed spectra of more objects"
                + (", or loosen --where" if allowed is not None else ""),
            )  # fmt: skip
        self.vectors = self.explorer.index.vectors(at)
        self.scaled = self.vectors * self.explorer.model.metric_scale()

    def _sample(self, allowed: Rows | None) -> NDArray[np.int64]:
        rows = self.explorer.rows
        keep = np.ones(len(rows), bool) if allowed is None else np.isin(rows, allowed)
        if self.pca is not None:  # the same spectra in every space
            keep &= np.isin(rows, self.pca.rows)
        at = np.flatnonzero(keep)
        self.of = len(at)
        if len(at) > MOST:
            at = np.sort(np.random.default_rng([self.seed, 3]).choice(at, MOST, replace=False))
        return at

    def made(self, against: tuple[str, ...]) -> Meaning:
        """The report."""
        pixels, extra = self._pixels()
        spaces = {"own": felt(self.scaled), PIXELS: pixels}
        if self.pca is not None:
            spaces[PCA] = felt(_of_rows(self.pca, self.rows))
        targets, skipped = self._targets(against, extra)
        findings = self._findings(targets, spaces)
        variance = self.scaled.var(axis=0, dtype=np.float64)
        return Meaning(
            name=self.name, model=self.explorer.model.ref.model_id, n=len(self.rows),
            n_objects=int(np.unique(self.objects).size), of=self.of, seed=self.seed,
            findings=findings, skipped=skipped, shares=variance / max(variance.sum(), 1e-300),
            stability=self._stability(), explorer=self.explorer, vectors=self.vectors,
            redshift=redshifts(self.archive, self.rows), note=self._note(),
        )  # fmt: skip

    def _note(self) -> str:
        notes = self.explorer.notes
        if self.pca is None and not self.name.startswith("pca."):
            notes.append("no PCA of the same group to compare with")
        if self.guessed > 0.5 * len(self.rows):
            notes.append("S/N is estimated from the flux itself: where lines crowd it seems low, "
                         "so it follows the kind of object")  # fmt: skip
        return "; ".join(notes)

    def _pixels(self) -> tuple[NDArray[np.float32], list[Quantity]]:
        """Prepared flux of the sample, and what preparation says of each spectrum."""
        n_pix = self.explorer.model.domain.n_pix
        join = -(-n_pix // MOST_PIXELS)
        out = np.full((len(self.rows), -(-n_pix // join)), np.nan, np.float32)
        snr, coverage = np.full(len(self.rows), np.nan), np.full(len(self.rows), np.nan)
        self.guessed = 0
        self.progress.start(f"reading {self.name}", len(self.rows))
        order = np.argsort(self.rows)
        for batch, chunk, _ in prepared(self.archive, self.explorer.preparer, self.rows[order]):
            if self.progress.cancelled():
                raise TransientError("cancelled", code="cancelled")
            self.progress.advance(len(chunk))
            mine = order[np.searchsorted(self.rows[order], chunk[batch.index])]
            out[mine] = _joined(batch.flux, batch.ivar, join)
            snr[mine], coverage[mine] = batch.snr, batch.coverage
            self.guessed += sum(s is not NoiseSource.DELIVERED for s in batch.noise_source)
        with np.errstate(invalid="ignore"):
            known = np.isfinite(out)
            mean = np.where(known, out, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        log_snr = np.where(snr > 0, np.log10(np.maximum(snr, 1e-9)), np.nan)
        return np.where(known, out, mean).astype(np.float32), [
            Quantity("snr", Role.NUISANCE, log_snr, "", "log10", "prepared"),
            Quantity("coverage", Role.NUISANCE, coverage, "", "", "prepared"),
        ]

    def _targets(
        self, against: tuple[str, ...], extra: list[Quantity]
    ) -> tuple[list[tuple[Quantity, Target]], dict[str, str]]:
        chosen = list(quantities(self.archive, self.rows, against))
        if not against:
            have = {q.name for q in extra}
            chosen = extra + [q for q in chosen if q.name not in have]
        out, skipped = [], {}
        for quantity in chosen:
            try:
                out.append((quantity, target_of(quantity.values, self.objects)))
            except UsageError as error:
                skipped[quantity.name] = error.what
        return out, skipped

    def _findings(
        self, targets: list[tuple[Quantity, Target]], spaces: dict[str, NDArray[Any]]
    ) -> tuple[Finding, ...]:
        alike: dict[bytes, list[int]] = defaultdict(list)
        for i, (_, target) in enumerate(targets):  # one decomposition for what shares its rows
            alike[target.rows.tobytes()].append(i)
        results: list[dict[str, dict[str, ProbeResult]]] = [
            {space: {} for space in spaces} for _ in targets
        ]
        latents: dict[int, LatentScores] = {}
        self.progress.start(f"probing {self.name}", len(targets))
        for members in alike.values():
            rows = targets[members[0]][1].rows
            mine = self.objects[rows]
            folds = object_folds(mine, seed=self.seed)
            for space, features in spaces.items():
                for kind in PROBES:
                    built = probe_named(kind)(features[rows], folds)
                    for i in members:
                        results[i][space][kind] = probe_with(
                            built, targets[i][1], mine, self.seed, DRAWS if space == "own" else 0
                        )
            for i in members:
                latents[i] = latent_scores(self.scaled[rows], targets[i][1].values, mine, folds,
                                           seed=self.seed)  # fmt: skip
                self.progress.advance()
            if self.progress.cancelled():
                raise TransientError("cancelled", code="cancelled")
        p = holm([best_p(list(r["own"].values())) for r in results]).tolist()
        return tuple(_finding(q, results[i], p[i], latents[i]) for i, (q, _) in enumerate(targets))

    def _stability(self) -> dict[str, Agreement]:
        """Agreement with every other embedding that holds most of the same spectra."""
        out = {}
        for other in self.archive.names("embeddings"):
            if other == self.name:
                continue
            held = self.archive.table(f"embeddings/{other}", ["uid"]).column(0).to_numpy()
            uid = self.archive.index.value("uid", self.rows)
            if np.isin(uid, held).mean() < 0.5:
                continue
            explorer = Explorer(self.archive, other)
            both = np.isin(self.rows, explorer.rows)
            if both.sum() >= LEAST_OBJECTS:
                out[other] = agreement(self.scaled[both], _of_rows(explorer, self.rows[both]))
        return out


def _finding(
    quantity: Quantity, spaces: dict[str, dict[str, ProbeResult]], p: float, latents: LatentScores
) -> Finding:  # fmt: skip
    best = {s: max(found.values(), key=lambda r: r.score) for s, found in spaces.items()}
    own = best["own"]
    than = {s: difference(own, best[s]) for s in (PCA, PIXELS) if s in spaces}
    return Finding(quantity, spaces, p, than, latents)


def _pca_beside(archive: Archive, name: str) -> Explorer | None:
    """The PCA of the same group, if this is not it."""
    encoder, group = name.split(".", 1)
    beside = f"pca.{group}"
    if encoder == "pca" or beside not in archive.names("embeddings"):
        return None
    return Explorer(archive, beside)


def _of_rows(explorer: Explorer, rows: Rows) -> NDArray[np.float32]:
    """Scaled vectors at catalogue rows, all of which the explorer holds."""
    order = np.argsort(explorer.rows, kind="stable")
    at = order[np.searchsorted(explorer.rows[order], rows)]
    return np.asarray(explorer.index.vectors(at) * explorer.model.metric_scale())


def _joined(flux: NDArray[Any], ivar: NDArray[Any], join: int) -> NDArray[np.float32]:
    """Means of `join` neighbouring pixels, weighted; NaN without information."""
    pad = (-flux.shape[1]) % join
    weight = np.pad(np.asarray(ivar, np.float64), ((0, 0), (0, pad)))
    value = np.pad(np.asarray(flux, np.float64), ((0, 0), (0, pad))) * weight
    top = value.reshape(len(flux), -1, join).sum(axis=2)
    bottom = weight.reshape(len(flux), -1, join).sum(axis=2)
    out = np.full(top.shape, np.nan, np.float32)
    np.divide(top, bottom, out=out, where=bottom > 0, casting="unsafe")
    return out
