"""The mock survey as a corpus: made and prepared by several processes, truth known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from multiprocessing import get_context

import numpy as np

from ..domain.axis import Medium, SpecSys, SpectralAxis
from ..domain.derived import NoiseSource
from ..domain.errors import TransientError
from ..domain.observation import Observation, Provenance
from ..domain.progress import Progress, Silent
from ..domain.spectrum import Spectrum, UncertaintyKind
from ..embed.domain import ModelDomain
from ..embed.prepare import Prepared, Preparer
from ..mock.instrument import Exposure, Instrument
from ..mock.oddities import ODDITIES, WRONG_REDSHIFT
from ..mock.survey import MockSurvey, Piece, Truth
from .corpus import DATE, SNR, Corpus, snr_within_class, within_class
from .splits import MOCK_TEST_FROM, held_out_by_name

DOMAIN = ModelDomain(3750.0, 9000.0, 3804, resolution=(1000.0, 3000.0))
"""What both mock low-resolution spectrographs cover, in pixels of 69 km/s."""
_PLANTED = 0.01


def survey_of(n: int, seed: int = 1) -> MockSurvey:
    """A survey of `n` spectra for the benchmark: 1 % odd (20 at least), 1 % with a wrong
    catalogue redshift."""
    odd, wrong, sky = (round(share * n) for share in (_PLANTED, 0.01, 0.03))
    odd = max(odd, 2 * len(ODDITIES))  # a tiny survey still has some of each on either side
    galaxies, quasars = round(0.28 * n), round(0.13 * n)
    stars = n - odd - wrong - sky - galaxies - quasars
    return MockSurvey(seed, stars, galaxies, quasars, sky, odd, 0, wrong)


def as_spectrum(instrument: Instrument, exposure: Exposure) -> Spectrum:
    """An exposure as a reader would deliver it."""
    return Spectrum(
        axis=_axis(instrument),
        flux=exposure.flux,
        observation=Observation("MOCK", em_res_power=instrument.resolving_power),
        provenance=Provenance("memory", "mock"),
        uncertainty=exposure.ivar,
        uncertainty_kind=UncertaintyKind.IVAR,
        flux_unit="1e-17 erg / (s cm2 Angstrom)",
    )


@lru_cache(maxsize=8)
def _axis(instrument: Instrument) -> SpectralAxis:
    return SpectralAxis("Angstrom", instrument.wave_vac_aa, medium=Medium.VACUUM,
                        specsys=SpecSys.HELIOCEN)  # fmt: skip


@lru_cache(maxsize=1)
def _made_here(survey: MockSurvey) -> tuple[MockSurvey, Preparer]:
    """One survey and one preparer a process: templates and overlaps are computed once."""
    return survey, Preparer(DOMAIN)


def make_piece(survey: MockSurvey, piece: Piece) -> tuple[list[Truth], Prepared, int]:
    """Truth and prepared spectra of one piece, and how many the grid does not cover."""
    survey, preparer = _made_here(survey)
    made = list(survey.make(piece))
    batch, left = preparer.batch([as_spectrum(m.instrument, m.exposure) for m in made])
    return [made[i].truth for i in batch.index], batch, len(left)


def mock_corpus(
    n: int, seed: int = 1, workers: int = 1, progress: Progress | None = None
) -> Corpus:
    """A mock survey of `n` spectra, about half of them held out.

    workers : processes that make it; 1 = this one. Memory: 8 bytes a pixel, 31 kB a spectrum.
    """
    watch = progress or Silent()
    survey = survey_of(n, seed)
    pieces = survey.pieces()
    watch.start("mock survey", len(survey))
    sky = _Growing(len(survey))
    with _mapped(survey, pieces, workers) as results:
        for truth, batch, out in results:
            sky.add(truth, batch, out)
            watch.advance(len(truth))
            if watch.cancelled():
                raise TransientError("cancelled while the mock survey was made", code="cancelled",
                                     remedy="run the same command again")  # fmt: skip
    return _corpus(sky.truths, sky.batch(), sky.left)


class _Growing:
    """Prepared spectra filled into arrays of the final size: never in memory twice."""

    def __init__(self, most: int) -> None:
        self.flux = np.empty((most, DOMAIN.n_pix), np.float32)
        self.ivar = np.empty((most, DOMAIN.n_pix), np.float32)
        self.small: list[tuple[np.ndarray, ...]] = []
        self.noise: list[NoiseSource] = []
        self.truths: list[Truth] = []
        self.left = 0

    def add(self, truths: list[Truth], batch: Prepared, left: int) -> None:
        rows = slice(len(self.truths), len(self.truths) + len(batch))
        self.flux[rows], self.ivar[rows] = batch.flux, batch.ivar
        self.small.append((batch.scale, batch.snr, batch.coverage))
        self.noise += batch.noise_source
        self.truths += truths
        self.left += left

    def batch(self) -> Prepared:
        n = len(self.truths)
        scale, snr, coverage = (np.concatenate(c) for c in zip(*self.small, strict=True))
        return Prepared(self.flux[:n], self.ivar[:n], scale, snr, coverage, tuple(self.noise),
                        np.arange(n))  # fmt: skip


@contextmanager
def _mapped(
    survey: MockSurvey, pieces: list[Piece], workers: int
) -> Iterator[Iterable[tuple[list[Truth], Prepared, int]]]:
    if workers < 2:
        yield (make_piece(survey, piece) for piece in pieces)
        return
    # spawned, not forked: BLAS and torch threads of this process do not survive a fork
    pool: Executor = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool.map(make_piece, [survey] * len(pieces), pieces, chunksize=4)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _corpus(truths: list[Truth], batch: Prepared, left: int) -> Corpus:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(t, name) for t in truths])

    names = [f"mock-{t.object_id}" for t in truths]
    kind = column("obj_class")
    oddity, claimed = column("oddity"), column("pipeline_z").astype(np.float64)
    z = column("z").astype(np.float64)
    far = np.isin(kind, ("GALAXY", "QSO"))
    numbers = {k: column(k).astype(np.float64) for k in ("teff", "logg", "feh")}
    numbers["z"] = np.where(far, z, np.nan)
    rv = column("rv_kms").astype(np.float64)
    nuisances = {SNR: snr_within_class(batch.snr, kind), "rv_kms": rv,
                 "z": numbers["z"], "mjd": column("mjd").astype(np.float64)}  # fmt: skip
    nuisances[DATE] = within_class(nuisances["mjd"], kind)
    corpus = Corpus(
        name="mock", about="mock survey: stars, galaxies, quasars, sky",
        domain=DOMAIN, batch=batch, objects=np.arange(len(truths)),
        test=held_out_by_name(names, MOCK_TEST_FROM), label=kind, label_name="class",
        numbers=numbers, nuisances=nuisances,
        oddity=np.where(oddity == WRONG_REDSHIFT, "", oddity), z=np.nan_to_num(z),
        claimed_z=np.where(far, claimed, np.nan), stars=kind == "STAR", left_out=left,
    )  # fmt: skip
    return replace(corpus, facts={"wrong_z": oddity == WRONG_REDSHIFT})
