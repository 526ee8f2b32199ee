"""Labels for spectra: heads compared on validation objects, the best one calibrated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..embed.heads import Head, Lesson, available, fit_head, fit_heads, log_loss, pinball
from ..embed.training_set import held_out
from .conformal import Floats, make_bins, object_weights
from .tag_design import Design, Scale, quantile_levels, wants_log
from .tag_guard import Features, make_guard
from .tagger import Calibration, Predictions, Tagger, fitted_temperature, heat

LEVELS = (0.68, 0.90, 0.95)
LEAST_LABELLED = 100
"""Objects with a label that training needs."""
LEAST_CLASS = 15
"""Objects of a class; rarer ones are left out."""
FEW = 20_000
"""With fewer labelled objects, all that are not tested both train and (out of fold) calibrate: a
fifth of them would leave each calibration bin to chance. Tenths are left out in turn: the head
that is kept saw a ninth more than those that calibrate, and is little better than they."""
ROTATIONS = 5
TRAIN, VALID, CALIBRATE, TEST = range(4)


def split(objects: NDArray[Any], seed: int = 0, rotation: int = 0) -> NDArray[np.int64]:
    """(n,) TRAIN (half of the objects), VALID (a tenth), CALIBRATE and TEST (a fifth each).

    A hash of the object decides: repeat spectra stay together and new objects move nobody. Over
    the five rotations each object is tested once and calibrates once.
    """
    turned = (_tenth(objects, seed) - 2 * rotation) % 10
    parts = np.array([TEST, TEST, CALIBRATE, CALIBRATE, VALID, *5 * [TRAIN]], np.int64)
    return np.asarray(parts[turned])


def _tenth(objects: NDArray[Any], seed: int) -> NDArray[np.int64]:
    parts = [(~held_out(objects, k / 10, seed)).astype(np.int64) for k in range(1, 10)]
    return np.asarray(np.sum(parts, axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A label ready for training: numbers, or numbers of classes; −1 or NaN = none.

    y : (n,) · classes : () for numbers · ignored : how many were left out, by reason
    """

    y: NDArray[Any]
    classes: tuple[str, ...]
    ignored: dict[str, int]

    @property
    def there(self) -> NDArray[np.bool_]:
        """(n,) True where there is a label."""
        return self.y >= 0 if self.classes else np.isfinite(self.y)


def checked_labels(label: NDArray[Any], objects: NDArray[Any], kind: str, name: str) -> Labels:
    """Labels as training needs them.

    Raises UsageError: too_few_labels (fewer than 100 objects), constant_label.
    """
    ignored: dict[str, int] = {}
    classes: tuple[str, ...] = ()
    if kind == "number":
        y = np.asarray(label, np.float64)
        y = np.where(np.isfinite(y), y, np.nan)
        there = np.isfinite(y)
    else:
        text = np.array(["" if v is None else str(v).strip() for v in label], object)
        names, where = np.unique(text, return_inverse=True)
        y = np.full(len(text), -1, np.int64)
        kept: list[str] = []
        for i, one in enumerate(names):
            count = len(np.unique(objects[where == i]))
            if one and count >= LEAST_CLASS:
                y[where == i] = len(kept)
                kept.append(str(one))
            elif one:
                ignored[f"class {one!r}: only {count} objects"] = int((where == i).sum())
        classes, there = tuple(kept), y >= 0
    if not there.all():
        ignored["no label"] = int((~there).sum()) - sum(ignored.values())
    n = len(np.unique(objects[there]))
    if n and len(np.unique(y[there])) < 2:
        raise UsageError(
            f"label {name!r} is constant: there is nothing to learn", code="constant_label",
            remedy=f"classes need {LEAST_CLASS} objects each" if kind == "class" else
            "choose another label, or loosen --where",
        )  # fmt: skip
    if n < LEAST_LABELLED:
        raise UsageError(
            f"label {name!r} is known for {n} embedded objects, {LEAST_LABELLED} are needed",
            code="too_few_labels",
            remedy="join a catalogue that matches more, loosen --where, or embed more spectra",
        )  # fmt: skip
    return Labels(y, classes, {k: v for k, v in ignored.items() if v})


def train_tagger(
    candidates: Features | Mapping[str, Features],
    label: NDArray[Any],
    objects: NDArray[Any],
    *,
    kind: str = "number",
    name: str = "label",
    levels: Sequence[float] = LEVELS,
    heads: Sequence[str] | None = None,
    seed: int = 0,
    rotation: int = 0,
    keep_test: bool = True,
    progress: Progress | None = None,
) -> Tagger:
    """Train every head on every candidate encoder's vectors; calibrate the one that does best.

    Parameters
    ----------
    candidates : vectors of the same n spectra by each encoder, by name
    label : (n,) numbers (NaN = none) or classes (None = none) · objects : (n,) whole numbers,
        equal for spectra of one object · kind : ``number`` or ``class``
    levels : of the intervals or sets, rising · rotation : 0 … 4, which fifth is tested
    keep_test : leave that fifth out; False (who has other test objects) calibrates with it too
    Raises
    ------
    UsageError : too few labelled objects, a constant label
    Source: intervals by conformalised quantile regression (Romano et al. 2019), sets by adaptive
    prediction sets (Romano et al. 2020), both within bins of S/N and of predicted value or class.
    Of fewer than 20,000 objects every one calibrates, by heads of nine tenths that did not see it
    (cross-conformal: Vovk 2015, Ann. Math. Artif. Intell. 74, 9); the head that is kept saw more,
    so that its intervals hold a little more than they say.
    """
    some = {"vectors": candidates} if isinstance(candidates, Features) else dict(candidates)
    if kind not in ("number", "class"):
        raise UsageError(f"a label is a number or a class, not {kind!r}", code="bad_kind")
    progress = progress or Silent()
    objects = np.asarray(objects, np.int64)
    part = split(objects, seed, rotation)
    if not keep_test:
        part = np.where(part == TEST, CALIBRATE, part)
    labels = checked_labels(label, objects, kind, name)
    job = _Job(some, labels, objects, part, tuple(levels), seed, name)
    names = list(heads) if heads is not None else available()[0]
    table = job.compare(names, progress)
    best = min((r for r in table if r["level"]), key=lambda r: r["typical"])
    return job.finish(best, table)


def _mark_level(table: list[dict[str, Any]], each: Sequence[Floats]) -> None:
    """Mark what is level with the smallest mean loss: within a standard error of the difference.

    Means hang on a few bad spectra; of those that they cannot tell apart, the typical one decides.
    """
    first = min(range(len(table)), key=lambda i: float(table[i]["loss"]))
    for row, losses in zip(table, each, strict=True):
        gap = losses - each[first]
        error = float(gap.std()) / np.sqrt(max(int(row["objects"]), 1))
        row["level"] = bool(row["loss"] - table[first]["loss"] <= error)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """One training: the data and the three steps, compare, refit, calibrate."""

    candidates: dict[str, Features]
    labels: Labels
    objects: NDArray[np.int64]
    part: NDArray[np.int64]
    levels: tuple[float, ...]
    seed: int
    name: str

    def __post_init__(self) -> None:
        usable = self.labels.there & np.any([f.covered for f in self.candidates.values()], axis=0)
        n = len(np.unique(self.objects[usable]))
        if n < LEAST_LABELLED:
            raise UsageError(f"label {self.name!r} is known for {n} embedded objects, "
                             f"{LEAST_LABELLED} are needed", code="too_few_labels")  # fmt: skip

    @property
    def kind(self) -> str:
        return "class" if self.labels.classes else "number"

    @property
    def few(self) -> bool:
        """Whether every object that is not tested both trains and calibrates."""
        return self._n_objects < FEW

    @property
    def _n_objects(self) -> int:
        return len(np.unique(self.objects[self.rows(None, TRAIN, VALID, CALIBRATE, TEST)]))

    @property
    def taus(self) -> Floats:
        return quantile_levels(self.levels)

    def rows(self, candidate: str | None, *parts: int) -> NDArray[np.int64]:
        """Rows with a label, of these parts, that a candidate (None = every one) covers, sorted
        so that an object's spectra stand together."""
        names = list(self.candidates) if candidate is None else [candidate]
        good = np.all([self.candidates[n].covered for n in names], axis=0)
        rows = np.flatnonzero(good & self.labels.there & np.isin(self.part, parts))
        shuffled = np.random.default_rng(self.seed).permutation(np.unique(self.objects))
        place = np.empty(len(shuffled), np.int64)
        place[np.argsort(shuffled)] = np.arange(len(shuffled))
        rank = place[np.searchsorted(np.unique(self.objects), self.objects[rows])]
        return np.asarray(rows[np.argsort(rank, kind="stable")])

    def compare(self, heads: Sequence[str], progress: Progress) -> list[dict[str, Any]]:
        """Validation loss of every head on every candidate, all on the same spectra."""
        rows = self.rows(None, TRAIN, VALID, *[CALIBRATE] * self.few)
        valid = self.part[rows] != TRAIN
        scale = self._scale(rows[~valid])
        y = scale.forth(self.labels.y[rows]) if self.kind == "number" else self.labels.y[rows]
        weight = object_weights(self.objects[rows[valid]])
        nothing = float(np.average(self._constant(y[~valid], y[valid]), weights=weight))
        table: list[dict[str, Any]] = []
        each: list[Floats] = []
        progress.start(f"comparing heads for {self.name}", len(heads) * len(self.candidates))
        for candidate, features in self.candidates.items():
            design = Design.fit(features[rows[~valid]])
            x, noise = design.of(features[rows]), design.noise(features[rows])
            for head in heads:
                lesson = Lesson(x, y, valid, self.taus, len(self.labels.classes), self.seed,
                                noise=noise)  # fmt: skip
                fitted = fit_head(head, lesson)
                out = fitted.predict(x[valid])
                temperature = (0.0, 0.0)
                if self.kind == "class":
                    snr = np.asarray(features.snr, np.float64)[rows[valid]]
                    temperature = fitted_temperature(out, y[valid], snr)
                    losses = log_loss(out, y[valid], heat(temperature, snr))
                else:
                    losses = pinball(out, y[valid], self.taus)
                loss = float(np.average(losses, weights=weight))
                each.append(losses)
                table.append({
                    "candidate": candidate, "head": head, "loss": loss,
                    "skill": 1.0 - loss / nothing, "typical": float(np.median(losses)),
                    "chosen": dict(fitted.chosen),
                    "temperature": temperature,
                    "objects": len(np.unique(self.objects[rows[valid]])),
                })  # fmt: skip
                progress.advance()
        _mark_level(table, each)
        return table

    def _scale(self, rows: NDArray[np.int64]) -> Scale:
        if self.kind != "number":
            return Scale()
        known = self.rows(None, TRAIN, VALID, CALIBRATE)  # the same in every fold; none is tested
        return Scale.fit(self.labels.y[rows], wants_log(self.labels.y[known]))

    def _constant(self, known: NDArray[Any], y: NDArray[Any]) -> Floats:
        """Loss of the best guess that looks at no spectrum."""
        if self.kind == "number":
            guess = np.broadcast_to(np.quantile(known, self.taus), (len(y), len(self.taus)))
            return pinball(guess, y, self.taus)
        share = np.bincount(known, minlength=len(self.labels.classes)) + 0.5
        return log_loss(np.broadcast_to(np.log(share / share.sum()), (len(y), len(share))), y)

    def finish(self, best: Mapping[str, Any], table: list[dict[str, Any]]) -> Tagger:
        """The winner, trained on training and validation objects, calibrated on others."""
        candidate, few = str(best["candidate"]), self.few
        features = self.candidates[candidate]
        fit = self.rows(candidate, TRAIN, VALID, *[CALIBRATE] * few)
        cal = fit if few else self.rows(candidate, CALIBRATE)
        objects = self.objects[cal]
        fold = _tenth(objects, self.seed) if few else np.zeros(len(cal), np.int64)
        scale, parts = self._scale(fit), [fold == k for k in np.unique(fold)]
        (head, design), *judges = self._fit(best, scale, fit, *[fit[~p] for p in parts if few])
        raw = np.empty((len(cal), len(self.labels.classes) or len(self.taus)))
        for mine, (judge, seen) in zip(parts, judges or [(head, design)], strict=True):
            raw[mine] = judge.predict(seen.of(features[cal[mine]]))
        snr = np.asarray(features.snr, np.float64)[cal]
        middle = raw[:, len(self.taus) // 2] if self.kind == "number" else np.zeros(len(cal))
        bins = make_bins(snr, middle, objects)
        unlabelled = features[np.flatnonzero(features.covered & ~self.labels.there)]
        guard = make_guard(features[fit], fit, features[cal], objects, bins.snr_edges, self.seed,
                           fold if few else None, unlabelled)  # fmt: skip
        ordinary = guard.reasons(features[cal]) == ""  # what will be tagged is like these
        usual, temperature = cal[ordinary], (0.0, 0.0)
        if self.kind == "class":  # two numbers, from heads that learnt from nearly as much
            temperature = fitted_temperature(raw[ordinary], self.labels.y[usual], snr[ordinary])
        one = Calibration(self.labels.y[usual], len(self.labels.classes), self.levels, self.seed,
                          scale, bins, temperature)  # fmt: skip
        offsets = one.offsets(raw[ordinary], features[usual], self.objects[usual])
        used = {"train": fit, "calibrate": cal, "test": self.rows(candidate, TEST)}
        count = {n: len(np.unique(self.objects[r])) for n, r in used.items()}
        card = {
            "comparison": [{k: v for k, v in row.items() if k != "chosen"} for row in table],
            "objects": count, "calibration": "out of fold" if few else "on others",
            "ignored": self.labels.ignored, "skill": best["skill"],
        }  # fmt: skip
        return Tagger(self.name, self.kind, self.levels, candidate, head, design, scale, bins,
                      offsets, guard, self.labels.classes, temperature, self.seed,
                      card)  # fmt: skip

    def _fit(
        self, best: Mapping[str, Any], scale: Scale, *parts: NDArray[np.int64]
    ) -> list[tuple[Head, Design]]:
        """The chosen head with its chosen settings, trained on each of these sets of rows alone."""
        candidate = self.candidates[str(best["candidate"])]
        designs, lessons = [], []
        for rows in parts:
            features, label = candidate[rows], self.labels.y[rows]
            design = Design.fit(features)
            designs.append(design)
            lessons.append(Lesson(
                design.of(features), scale.forth(label) if self.kind == "number" else label,
                np.zeros(len(rows), bool), self.taus, len(self.labels.classes), self.seed,
                best["chosen"], design.noise(features),
            ))  # fmt: skip
        return list(zip(fit_heads(str(best["head"]), lessons), designs, strict=True))


__all__ = ["Features", "Predictions", "Tagger", "split", "train_tagger"]
