"""A mock survey: stars, galaxies, quasars, empty sky and planted oddities, with the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from .galaxies import GalaxyMaker, draw_galaxy
from .instrument import HIGH_GRID, LOW_GRID, Exposure, Instrument, instruments
from .oddities import FAULTS, ODDITIES, STAR_ODDITIES, odd_light, odd_star, spoil
from .population import Star, draw_star, star_light
from .quasars import draw_quasar, quasar_spectrum
from .stars import StarSynthesiser

Array = NDArray[np.float64]
_BATCH = 32
_STREAMS = {"star": 1, "galaxy": 2, "quasar": 3, "sky": 4, "odd": 5, "highres": 6}


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a mock object; NaN and "" where a quantity has no meaning.

    object_id : unique number · obj_class : STAR, GALAXY, QSO or SKY · subclass : MK letter and
    luminosity class, kind of galaxy … · teff K, logg, feh, vsini_kms, rv_kms (heliocentric), z,
    ebv mag · snr : median per good pixel, achieved · oddity : a name of `ODDITIES` or ""
    s_ra, s_dec : deg · mjd : middle of the exposure
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


@dataclass(frozen=True, slots=True, eq=False)
class MockSpectrum:
    """One observation: its truth, the instrument and what it recorded."""

    truth: Truth
    instrument: Instrument
    exposure: Exposure


@dataclass(frozen=True)
class MockSurvey:
    """A survey that never was. The same seed gives the same spectra, whatever the numbers.

    Parameters
    ----------
    seed : of everything · n_stars, n_galaxies, n_quasars, n_sky, n_odd : how many of each
    n_highres : of the bright stars observed at R = 115 000
    """

    seed: int = 1
    n_stars: int = 300
    n_galaxies: int = 150
    n_quasars: int = 80
    n_sky: int = 20
    n_odd: int = 40
    n_highres: int = 0

    def __post_init__(self) -> None:
        counts = (self.n_stars, self.n_galaxies, self.n_quasars, self.n_sky, self.n_odd,
                  self.n_highres)  # fmt: skip
        if min(counts) < 0 or self.seed < 0:
            raise UsageError("a survey cannot have fewer than no objects, nor a negative seed",
                             code="bad_count")  # fmt: skip

    def __len__(self) -> int:
        return (self.n_stars + self.n_galaxies + self.n_quasars + self.n_sky + self.n_odd
                + self.n_highres)  # fmt: skip

    @classmethod
    def of_size(cls, n: int, seed: int = 1) -> MockSurvey:
        """Half stars, a quarter galaxies, an eighth quasars; 6 % odd, 3 % sky, 1 % at high R."""
        odd, sky, high = round(0.06 * n), round(0.03 * n), min(round(0.01 * n), 12)
        galaxies, quasars = round(0.25 * n), round(0.13 * n)
        stars = n - odd - sky - high - galaxies - quasars
        return cls(seed, stars, galaxies, quasars, sky, odd, high)

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
        """All spectra: stars, galaxies, quasars, sky, oddities, high resolution."""
        yield from self._stars("star", self.n_stars)
        for i in range(self.n_galaxies):
            yield self._galaxy(i)
        for i in range(self.n_quasars):
            yield self._quasar(i)
        for i in range(self.n_sky):
            yield self._empty(i)
        yield from self._odd()
        yield from self._stars("highres", self.n_highres)

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

    def _stars(self, stream: str, n: int, kinds: tuple[str, ...] = ()) -> Iterator[MockSpectrum]:
        """Stars in batches, each batch through one synthesis."""
        size = 1 if stream == "highres" else _BATCH
        for first in range(0, n, size):
            batch = []
            for i in range(first, min(first + size, n)):
                rng, instrument, snr, truth = self._begin(stream, i)
                if stream == "highres":
                    star = replace(draw_star(rng), vsini_kms=float(rng.rayleigh(5.0) + 1.0))
                    batch.append((rng, self._instruments["s1d"], 3.0 * snr, truth, star))
                else:
                    batch.append((rng, instrument, snr, truth, draw_star(rng)))
            yield from self._observe(batch, "")

    def _observe(
        self, batch: list[tuple[np.random.Generator, Instrument, float, Truth, Star]], oddity: str
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
            if oddity in FAULTS:
                exposure = replace(exposure, flux=spoil(oddity, exposure.flux, instrument, rng))
            truth = replace(
                truth, obj_class="STAR", subclass=star.subclass, oddity=oddity, teff=star.teff,
                logg=star.logg, feh=star.feh, vsini_kms=star.vsini_kms, rv_kms=star.rv_kms,
                z=star.rv_kms / 299_792.458, ebv=star.ebv, snr=exposure.snr,
            )  # fmt: skip
            yield MockSpectrum(truth, instrument, exposure)

    def _galaxy(self, index: int) -> MockSpectrum:
        rng, instrument, snr, truth = self._begin("galaxy", index, 4.0, 40.0)
        galaxy = draw_galaxy(rng)
        light = instrument.rebin(self._galaxies(galaxy, instrument.sigma_kms)).flux
        exposure = instrument.expose(light, snr, rng)
        truth = replace(truth, obj_class="GALAXY", subclass=galaxy.subclass, z=galaxy.z,
                        ebv=galaxy.ebv, snr=exposure.snr)  # fmt: skip
        return MockSpectrum(truth, instrument, exposure)

    def _quasar(self, index: int) -> MockSpectrum:
        rng, instrument, snr, truth = self._begin("quasar", index, 4.0, 40.0)
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

    def _odd(self) -> Iterator[MockSpectrum]:
        """Oddities in turn, so that any number has nearly as many of each."""
        for i in range(self.n_odd):
            kind = ODDITIES[i % len(ODDITIES)]
            rng, instrument, snr, truth = self._begin("odd", i, 12.0, 60.0)
            if kind in STAR_ODDITIES or kind in FAULTS:
                star = odd_star(kind, rng) if kind in STAR_ODDITIES else draw_star(rng)
                yield from self._observe([(rng, instrument, snr, truth, star)], kind)
                continue
            light, galaxy = odd_light(kind, rng, instrument, self._galaxies)
            exposure = instrument.expose(light, snr, rng)
            truth = replace(truth, obj_class="GALAXY", subclass=galaxy.subclass, oddity=kind,
                            z=galaxy.z, ebv=galaxy.ebv, snr=exposure.snr)  # fmt: skip
            yield MockSpectrum(truth, instrument, exposure)
