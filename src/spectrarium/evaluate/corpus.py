"""A corpus: prepared spectra with what is known about them, and which of them are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import NoiseSource
from ..domain.errors import UsageError
from ..domain.spectrum import Spectrum
from ..embed.domain import ModelDomain, SpectrumSummary
from ..embed.grouping import propose_models
from ..embed.prepare import Prepared, Preparer
from ..embed.training_set import InMemory
from .splits import TEST_FROM, held_out_by_name, numbered

Numbers = dict[str, NDArray[np.float64]]
MOST_FIT = 8_000
"""Spectra that an encoder is fitted on: more of a mock survey teach it little."""
LEAST = 40
"""Spectra on either side below which a corpus says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Spectra on one model's grid, with truth or the survey's own labels.

    name : unique · about : one line for the table · domain, batch : grid and spectra
    objects : (n,) equal for spectra of one object · test : (n,) held out
    label : (n,) class, '' = none · label_name : what it is, in words
    numbers : name → (n,) physical quantities, NaN = unknown · nuisances : the same for what a
    similarity should not be about · oddity : (n,) planted kinds, '' = normal; all '' where oddities
    are planted by `planting` · kinds : oddities to plant · z : (n,) redshift lines are planted at
    claimed_z : (n,) catalogue redshifts, some of them wrong; NaN = none
    stars : (n,) those among which oddities are sought as well, None = no such part
    left_out : spectra that the grid does not cover
    """

    name: str
    about: str
    domain: ModelDomain
    batch: Prepared
    objects: NDArray[np.int64]
    test: NDArray[np.bool_]
    label: NDArray[Any]
    label_name: str
    numbers: Numbers
    nuisances: Numbers
    oddity: NDArray[Any]
    z: NDArray[np.float64]
    kinds: tuple[str, ...] = ()
    claimed_z: NDArray[np.float64] | None = None
    stars: NDArray[np.bool_] | None = None
    left_out: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_test = int(self.test.sum())
        if min(n_test, len(self) - n_test) < LEAST:
            raise UsageError(
                f"corpus {self.name} has {len(self) - n_test} spectra to learn from and {n_test} "
                "to ask about", code="too_few_spectra",
                remedy=f"give at least {LEAST} of each",
            )  # fmt: skip

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def train_rows(self) -> NDArray[np.int64]:
        """Rows that may be learnt from; taggers see their labels."""
        return np.flatnonzero(~self.test)

    @property
    def test_rows(self) -> NDArray[np.int64]:
        """Rows that are asked about."""
        return np.flatnonzero(self.test)

    @property
    def fit_rows(self) -> NDArray[np.int64]:
        """Rows that encoders are fitted on, without labels: of many train rows, 8,000 by chance."""
        rows = self.train_rows
        return np.sort(np.random.default_rng(11).permutation(rows)[:MOST_FIT])

    def training_set(self) -> InMemory:
        """What encoders are fitted on."""
        rows = self.fit_rows
        return InMemory(self.domain, chosen(self.batch, rows), self.objects[rows])


SNR, DATE = "log S/N within class", "mjd within class"
AT_Z = " and z"
"""What a nuisance within its class ends with that is compared at one redshift."""
ESTIMATED_SNR = "log S/N (estimated) within class"
"""Where spectra come without errors: noise told from pixels goes with the lines themselves."""


def snr_within_class(snr: NDArray[np.float64], label: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) log₁₀ S/N `within_class`; NaN for empty sky, which has none."""
    return np.where(label == "SKY", np.nan, within_class(np.log10(np.maximum(snr, 0.1)), label))


def within_class(
    values: NDArray[np.float64], label: NDArray[Any], z: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(n,) values less their mean over the class, NaN where unknown.

    That quasars are faint, or one kind of target was observed in one year, is no nuisance; nor is
    it that far ones are fainter and were observed later.

    z : redshifts; values are less what they are at that redshift then, a line in ln(1 + z) of each
    class, and NaN where the redshift is unknown or a class has fewer than three
    """
    out = np.full(len(values), np.nan)
    for name in np.unique(label):
        known = (label == name) & np.isfinite(values)
        if z is None:
            out[known] = values[known] - values[known].mean() if known.any() else np.nan
            continue
        known &= np.isfinite(z)
        if np.count_nonzero(known) > 2:
            at = np.stack([np.ones(np.count_nonzero(known)), np.log1p(z[known])], axis=1)
            line = np.linalg.lstsq(at, values[known], rcond=None)[0]
            out[known] = values[known] - at @ line
    return out


def chosen(batch: Prepared, rows: NDArray[np.int64]) -> Prepared:
    """These rows of a batch, copied."""
    return Prepared(
        batch.flux[rows], batch.ivar[rows], batch.scale[rows], batch.snr[rows],
        batch.coverage[rows], tuple(batch.noise_source[i] for i in rows), batch.index[rows],
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What is known about spectra before they are prepared, one entry each; see `Corpus`."""

    object_ids: list[str]
    label: list[str]
    numbers: dict[str, list[float]]
    nuisances: dict[str, list[float]]
    z: list[float]


def corpus_of(
    name: str, about: str, label_name: str, spectra: Sequence[Spectrum], facts: Facts,
    kinds: tuple[str, ...], domain: ModelDomain | None = None, test_from: int = TEST_FROM,
) -> Corpus:  # fmt: skip
    """Prepare spectra on the grid that most of them share (or on `domain`).

    Raises UsageError (too_few_spectra) where no grid covers enough of them.
    """
    if domain is None:
        models = propose_models([SpectrumSummary.of(s) for s in spectra]).models
        if not models:
            raise UsageError(f"no grid covers enough spectra of {name}", code="too_few_spectra")
        domain = max(models, key=lambda m: len(m.members)).domain
    batch, left = Preparer(domain).batch(spectra)
    rows = batch.index
    names = [facts.object_ids[i] for i in rows]

    def columns(values: dict[str, list[float]]) -> Numbers:
        return {k: np.asarray(v, np.float64)[rows] for k, v in values.items()}

    label = np.array([facts.label[i] for i in rows])
    given = np.mean([source is NoiseSource.DELIVERED for source in batch.noise_source])
    nuisances = {SNR if given > 0.5 else ESTIMATED_SNR: snr_within_class(batch.snr, label),
                 **columns(facts.nuisances)}  # fmt: skip
    if "mjd" in nuisances:
        nuisances[DATE] = within_class(nuisances["mjd"], label)
    if "z" in facts.numbers:
        z = columns(facts.numbers)["z"]
        for name in (SNR, DATE):
            if name in nuisances:
                nuisances[name + AT_Z] = within_class(nuisances[name], label, z)
    return Corpus(
        name=name, about=about, domain=domain, batch=batch, objects=numbered(names),
        test=held_out_by_name(names, test_from), label=label,
        label_name=label_name, numbers=columns(facts.numbers), nuisances=nuisances,
        oddity=np.full(len(rows), "", dtype="U32"), z=np.asarray(facts.z, np.float64)[rows],
        kinds=kinds, left_out=len(left),
    )  # fmt: skip
