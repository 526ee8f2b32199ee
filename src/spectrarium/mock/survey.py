"""A mock survey: stars, galaxies, quasars, empty sky and planted oddities, with the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.units import C_KMS
from .galaxies import GalaxyMaker, draw_galaxy
from .instrument import HIGH_GRID, LOW_GRID, Exposure, Instrument, instruments
from .oddities import (
    FAULTS,
    ODDITIES,
    STAR_ODDITIES,
    WRONG_REDSHIFT,
    mistaken_redshift,
    odd_light,
    odd_star,
    spoil,
)
from .population import Star, draw_star, star_light
from .quasars import draw_quasar, quasar_spectrum
from .stars import StarSynthesiser

Array = NDArray[np.float64]
_BATCH = 32
_STREAMS = {"star": 1, "galaxy": 2, "quasar": 3, "sky": 4, "odd": 5, "highres": 6, "wrong_z": 7}
_PIPELINE = 8
"""Stream of what a pipeline measures: apart, so that no spectrum depends on it."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a mock object; NaN and "" where a quantity has no meaning.

    object_id : unique number · obj_class : STAR, GALAXY, QSO or SKY · subclass : MK letter and
    luminosity class, kind of galaxy … · teff K, logg, feh, vsini_kms, rv_kms (heliocentric), z,
    ebv mag · snr : median per good pixel, achieved · oddity : a name of `ODDITIES`,
    ``wrong_redshift`` or "" · s_ra, s_dec : deg · mjd : middle of the exposure · pipeline_z : the
    redshift that the survey's catalogue claims: z and its error, far off where it is wrong
    """

    object_id: int
    obj_class: str
    subclass: str
    oddity: str
    teff: float
    logg: float
    feh: float
    vsini_kms: float
    rv_kms: float
    z: float
    ebv: float
    snr: float
    s_ra: float
    s_dec: float
    mjd: float
    pipeline_z: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class MockSpectrum:
    """One observation: its truth, the instrument and what it recorded."""

    truth: Truth
    instrument: Instrument
    exposure: Exposure


class Piece(NamedTuple):
    """Objects `first` … `stop` − 1 of one stream of a survey: what one process makes at a time."""

    stream: str
    first: int
    stop: int


@dataclass(frozen=True)
class MockSurvey:
    """A survey that never was. The same seed gives the same spectra, whatever the numbers.

    Parameters
    ----------
    seed : of everything · n_stars, n_galaxies, n_quasars, n_sky, n_odd : how many of each
    n_highres : of the bright stars observed at R = 115 000 · n_wrong_z : of good galaxies and
    quasars whose catalogue redshift is wrong
    """

    seed: int = 1
    n_stars: int = 300
    n_galaxies: int = 150
    n_quasars: int = 80
    n_sky: int = 20
    n_odd: int = 40
    n_highres: int = 0
    n_wrong_z: int = 0

    def __post_init__(self) -> None:
        counts = (self.n_stars, self.n_galaxies, self.n_quasars, self.n_sky, self.n_odd,
                  self.n_highres, self.n_wrong_z)  # fmt: skip
        if min(counts) < 0 or self.seed < 0:
            raise UsageError("a survey cannot have fewer than no objects, nor a negative seed",
                             code="bad_count")  # fmt: skip

    def __len__(self) -> int:
        return (self.n_stars + self.n_galaxies + self.n_quasars + self.n_sky + self.n_odd
                + self.n_highres + self.n_wrong_z)  # fmt: skip

    @classmethod
    def of_size(cls, n: int, seed: int = 1) -> MockSurvey:
        """Half stars, a quarter galaxies, an eighth quasars; 6 % odd, 3 % sky, 1 % at high R,
        and 1 % of good spectra with a wrong redshift in the catalogue."""
        odd, sky, high = round(0.06 * n), round(0.03 * n), min(round(0.01 * n), 12)
        wrong = round(0.01 * n)
        galaxies, quasars = round(0.25 * n) - wrong, round(0.13 * n)
        stars = n - odd - sky - high - wrong - galaxies - quasars
        return cls(seed, stars, galaxies, quasars, sky, odd, high, wrong)

    @cached_property
    def _instruments(self) -> dict[str, Instrument]:
        return instruments()

    @cached_property
    def _galaxies(self) -> GalaxyMaker:
        return GalaxyMaker()

    @cached_property
    def _low(self) -> StarSynthesiser:
        return StarSynthesiser(LOW_GRID)

    @cached_property
    def _high(self) -> StarSynthesiser:
        return StarSynthesiser(HIGH_GRID, resolved=True)

    def __iter__(self) -> Iterator[MockSpectrum]:
        """All spectra: stars, galaxies, quasars, sky, oddities, high resolution, wrong z."""
        for piece in self.pieces():
            yield from self.make(piece)

    def pieces(self) -> list[Piece]:
        """The survey cut into parts that `make` can make one by one, anywhere, in any order."""
        counts = {"star": self.n_stars, "galaxy": self.n_galaxies, "quasar": self.n_quasars,
                  "sky": self.n_sky, "odd": self.n_odd, "highres": self.n_highres,
                  "wrong_z": self.n_wrong_z}  # fmt: skip
        out = []
        for stream, n in counts.items():
            size = 1 if stream == "highres" else _BATCH
            out += [Piece(stream, i, min(i + size, n)) for i in range(0, n, size)]
        return out

    def make(self, piece: Piece) -> Iterator[MockSpectrum]:
        """The spectra of one piece, in order, whatever else is made."""
        if piece.stream in ("star", "highres"):
            made = self._stars(*piece)
        elif piece.stream == "odd":
            made = self._odd(piece.first, piece.stop)
        else:
            one = {"galaxy": self._galaxy, "quasar": self._quasar, "sky": self._empty,
                   "wrong_z": self._mistaken}[piece.stream]  # fmt: skip
            made = (one(i) for i in range(piece.first, piece.stop))
        for spectrum in made:
            yield self._catalogued(spectrum)

    def _catalogued(self, spectrum: MockSpectrum) -> MockSpectrum:
        """With the redshift that a pipeline claims, where it has not been got wrong already."""
        truth = spectrum.truth
        if not np.isfinite(truth.z) or np.isfinite(truth.pipeline_z):
            return spectrum
        sigma_kms = {"STAR": 3.0, "GALAXY": 20.0}.get(truth.obj_class, 300.0)
        sigma = float(np.hypot(sigma_kms, 60.0 / max(truth.snr, 1.0))) / C_KMS
        rng = np.random.default_rng([self.seed, _PIPELINE, truth.object_id])
        z = (1.0 + truth.z) * (1.0 + sigma * float(rng.normal())) - 1.0
        return replace(spectrum, truth=replace(truth, pipeline_z=z))

    def _rng(self, stream: str, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, _STREAMS[stream], index])

    def _begin(
        self, stream: str, index: int, low: float = 5.0, high: float = 80.0
    ) -> tuple[np.random.Generator, Instrument, float, Truth]:
        """Generator, instrument, S/N to reach and a truth with position and date."""
        rng = self._rng(stream, index)
        name = "sdss" if rng.random() < 0.7 else "lamost"
        snr = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        nan = float("nan")
        truth = Truth(
            _STREAMS[stream] * 1_000_000 + index, "", "", "", nan, nan, nan, nan, nan, nan, nan,
            nan, float(rng.uniform(120, 240)), float(np.degrees(np.arcsin(rng.uniform(0, 0.87)))),
            float(60_000 + rng.integers(0, 900) + rng.uniform(0.1, 0.5)),
        )  # fmt: skip
        return rng, self._instruments[name], snr, truth

    def _stars(self, stream: str, first: int, stop: int) -> Iterator[MockSpectrum]:
        """Stars of one piece, through one synthesis."""
        batch = []
        for i in range(first, stop):
            rng, instrument, snr, truth = self._begin(stream, i)
            if stream == "highres":
                star = replace(draw_star(rng), vsini_kms=float(rng.rayleigh(5.0) + 1.0))
                batch.append((rng, self._instruments["s1d"], 3.0 * snr, truth, star))
            else:
                batch.append((rng, instrument, snr, truth, draw_star(rng)))
        yield from self._observe(batch)

    def _observe(
        self, batch: list[tuple[np.random.Generator, Instrument, float, Truth, Star]]
    ) -> Iterator[MockSpectrum]:
        light: dict[int, Array] = {}
        for name, instrument in self._instruments.items():
            members = [k for k, entry in enumerate(batch) if entry[1] is instrument]
            if members:
                make = self._high if name == "s1d" else self._low
                rows = star_light([batch[k][4] for k in members], instrument, make)
                light.update(zip(members, rows, strict=True))
        for k, (rng, instrument, snr, truth, star) in enumerate(batch):
            exposure = instrument.expose(light[k], snr, rng)
            if truth.oddity in FAULTS:
                flux = spoil(truth.oddity, exposure.flux, instrument, rng)
                exposure = replace(exposure, flux=flux)
            truth = replace(
                truth, obj_class="STAR", subclass=star.subclass, teff=star.teff, logg=star.logg,
                feh=star.feh, vsini_kms=star.vsini_kms, rv_kms=star.rv_kms,
                z=star.rv_kms / C_KMS, ebv=star.ebv, snr=exposure.snr,
            )  # fmt: skip
            yield MockSpectrum(truth, instrument, exposure)

    def _galaxy(self, index: int, stream: str = "galaxy") -> MockSpectrum:
        rng, instrument, snr, truth = self._begin(stream, index, 4.0, 40.0)
        galaxy = draw_galaxy(rng)
        light = instrument.rebin(self._galaxies(galaxy, instrument.sigma_kms)).flux
        exposure = instrument.expose(light, snr, rng)
        truth = replace(truth, obj_class="GALAXY", subclass=galaxy.subclass, z=galaxy.z,
                        ebv=galaxy.ebv, snr=exposure.snr)  # fmt: skip
        return MockSpectrum(truth, instrument, exposure)

    def _quasar(self, index: int, stream: str = "quasar") -> MockSpectrum:
        rng, instrument, snr, truth = self._begin(stream, index, 4.0, 40.0)
        quasar = draw_quasar(rng)
        light = instrument.rebin(quasar_spectrum(quasar, instrument.sigma_kms, rng)).flux
        exposure = instrument.expose(light, snr, rng)
        truth = replace(truth, obj_class="QSO", subclass="BAL" if quasar.balnicity_kms else "",
                        z=quasar.z, snr=exposure.snr)  # fmt: skip
        return MockSpectrum(truth, instrument, exposure)

    def _empty(self, index: int) -> MockSpectrum:
        rng, instrument, _, truth = self._begin("sky", index)
        exposure = instrument.expose_sky(0.02, rng)
        return MockSpectrum(replace(truth, obj_class="SKY", snr=exposure.snr), instrument, exposure)

    def _mistaken(self, index: int) -> MockSpectrum:
        """A good galaxy or quasar whose strongest line the pipeline took for another."""
        make = self._galaxy if index % 5 < 3 else self._quasar
        spectrum = make(index, "wrong_z")
        truth = spectrum.truth
        rng = np.random.default_rng([self.seed, _PIPELINE, truth.object_id])
        wrong = mistaken_redshift(truth.z, truth.obj_class, rng)
        return replace(spectrum, truth=replace(truth, oddity=WRONG_REDSHIFT, pipeline_z=wrong))

    def _odd(self, first: int, stop: int) -> Iterator[MockSpectrum]:
        """Oddities in turn, so that any number has nearly as many of each."""
        stars: list[tuple[np.random.Generator, Instrument, float, Truth, Star]] = []
        made: dict[int, MockSpectrum] = {}
        for i in range(first, stop):
            kind = ODDITIES[i % len(ODDITIES)]
            rng, instrument, snr, truth = self._begin("odd", i, 12.0, 60.0)
            truth = replace(truth, oddity=kind)
            if kind in STAR_ODDITIES or kind in FAULTS:
                star = odd_star(kind, rng) if kind in STAR_ODDITIES else draw_star(rng)
                stars.append((rng, instrument, snr, truth, star))
                continue
            light, galaxy = odd_light(kind, rng, instrument, self._galaxies)
            exposure = instrument.expose(light, snr, rng)
            truth = replace(truth, obj_class="GALAXY", subclass=galaxy.subclass, z=galaxy.z,
                            ebv=galaxy.ebv, snr=exposure.snr)  # fmt: skip
            made[truth.object_id] = MockSpectrum(truth, instrument, exposure)
        made |= {s.truth.object_id: s for s in self._observe(stars)}
        yield from (made[key] for key in sorted(made))
