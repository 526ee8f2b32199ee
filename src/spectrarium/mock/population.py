"""Which stars there are: draws of parameters, and spectra of them through an instrument."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..domain.units import C_KMS
from .extinction import transmission
from .instrument import Instrument
from .profiles import broaden, broadening
from .stars import StarSynthesiser

Array = NDArray[np.float64]

_CLASSES = ((30_000.0, "O"), (10_000.0, "B"), (7400.0, "A"), (6000.0, "F"), (5250.0, "G"),
            (3850.0, "K"), (0.0, "M"))  # fmt: skip
# share and Teff range of what a magnitude-limited survey of bright stars would bring in
_SHARES = (
    (0.02, 26_000, 33_000), (0.08, 10_500, 24_000), (0.16, 7500, 10_000), (0.22, 6000, 7400),
    (0.22, 5300, 6000), (0.19, 3950, 5250), (0.11, 3000, 3850),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Emission:
    """A line of a star's surroundings; negative `ew_aa` absorbs.

    wave_vac_aa : rest · ew_aa : equivalent width at rest, Å · sigma_kms, velocity_kms : km/s
    """

    wave_vac_aa: float
    ew_aa: float
    sigma_kms: float
    velocity_kms: float = 0.0


@dataclass(frozen=True, slots=True)
class Star:
    """What a mock star is: K, log cm s⁻², dex, km/s, km/s, mag.

    carbon : opacity of C2, 0 = none · lines : circumstellar lines · companion : a second star in
    the same aperture, and `light_ratio` its light at 5500 Å over this one's
    """

    teff: float
    logg: float
    feh: float
    vsini_kms: float = 3.0
    rv_kms: float = 0.0
    ebv: float = 0.0
    carbon: float = 0.0
    lines: tuple[Emission, ...] = ()
    companion: Star | None = None
    light_ratio: float = 0.0

    @property
    def subclass(self) -> str:
        """Letter and luminosity class: O, B, A, F, G, K, M; III for giants, V for dwarfs."""
        if self.logg > 7.0:
            return "DA"
        if self.carbon > 0:
            return "C"
        letter = next(name for limit, name in _CLASSES if self.teff >= limit)
        giant = self.logg < 3.5 and self.teff < 7000
        return f"{letter}{'III' if giant else 'I' if self.logg < 3.0 else 'V'}"

    def with_lines(self, *lines: Emission) -> Self:
        """The same star with circumstellar lines."""
        return replace(self, lines=lines)


def main_sequence_logg(teff: float) -> float:
    """log g of a dwarf: 4.9 at 3200 K, 4.6 at 5000 K, 4.4 at 5800 K, 4.1 at 9000 K and hotter."""
    return float(
        np.interp(teff, [3200, 4000, 5000, 5800, 7000, 9000], [5, 4.7, 4.6, 4.4, 4.2, 4.1])
    )


def draw_star(rng: np.random.Generator) -> Star:
    """A star of a bright survey: dwarfs of all classes, and giants among the cool ones."""
    shares = np.array([share for share, _, _ in _SHARES])
    _, low, high = _SHARES[int(rng.choice(len(_SHARES), p=shares / shares.sum()))]
    teff = float(rng.uniform(low, high))
    giant = teff < 5250 and rng.random() < (0.45 if teff > 3850 else 0.25)
    if giant:
        logg = float(np.interp(teff, [3000, 3600, 4000, 4600, 5200], [0.5, 0.9, 1.5, 2.4, 3.0]))
        logg += float(rng.normal(0, 0.15))
    else:
        logg = main_sequence_logg(teff) - abs(float(rng.normal(0, 0.12)))
    halo = teff < 7000 and rng.random() < 0.1
    feh = rng.normal(-1.5, 0.4) if halo else rng.normal(-0.15, 0.25)
    fast = teff > 6300
    vsini = rng.rayleigh(110.0) if fast else rng.rayleigh(3.5) + 0.5
    spread = 140.0 if halo else 35.0
    return Star(teff, logg, float(np.clip(feh, -2.5, 0.5)), float(min(vsini, 350.0)),
                float(rng.normal(0, spread)), float(rng.exponential(0.06)))  # fmt: skip


def star_light(stars: list[Star], instrument: Instrument, make: StarSynthesiser) -> Array:
    """Noiseless spectra of stars at an instrument's resolution and pixels.

    Returns
    -------
    flux : (n_star, n_pix) F_λ, median about 1
    """
    everyone = list(stars) + [star.companion for star in stars if star.companion is not None]
    light = _on_grid(everyone, instrument, make)
    companions = iter(light[len(stars) :])
    light = light[: len(stars)]
    for row, star in zip(light, stars, strict=True):
        if star.companion is not None:
            row += star.light_ratio * next(companions)
    wave = instrument.grid.wave_aa
    dust = np.array([transmission(wave[::64], star.ebv) for star in stars])
    smooth = np.array(
        [np.interp(np.arange(wave.size), np.arange(0, wave.size, 64), d) for d in dust]
    )
    pixels = instrument.rebin(light * smooth).flux
    return np.asarray(pixels / np.median(pixels, axis=1, keepdims=True))


def _on_grid(stars: list[Star], instrument: Instrument, make: StarSynthesiser) -> Array:
    """(n_star, n_grid) broadened, shifted and with circumstellar lines, 1 at 5500 Å before dust."""

    def column(name: str) -> Array:
        return np.array([getattr(star, name) for star in stars], dtype=np.float64)

    grid, sigma = instrument.grid, instrument.sigma_kms
    models = make(column("teff"), column("logg"), column("feh"), column("carbon"))
    shift = C_KMS * np.log1p(column("rv_kms") / C_KMS)
    transfer = broadening(
        grid.n, grid.step_kms, np.full(len(stars), sigma), column("vsini_kms"), shift
    )
    light = broaden(models.smooth, transfer)
    if not make.resolved:
        light *= np.exp(-broaden(models.lines, transfer))
    for row, star in zip(light, stars, strict=True):
        for entry in star.lines:
            _add_line(row, entry, star, instrument)
    return light


def _add_line(row: Array, entry: Emission, star: Star, instrument: Instrument) -> None:
    """A Gaussian in velocity of the given equivalent width, relative to the light around it."""
    grid = instrument.grid
    sigma = float(np.hypot(entry.sigma_kms, instrument.sigma_kms))
    velocity = star.rv_kms + entry.velocity_kms
    at = float(grid.index(np.array(entry.wave_vac_aa * (1.0 + velocity / C_KMS))))
    reach = int(6 * sigma / grid.step_kms) + 3
    window = slice(max(0, int(at) - reach), min(grid.n, int(at) + reach))
    if window.stop - window.start < 4:
        return
    v = (np.arange(window.start, window.stop) - at) * grid.step_kms
    peak = entry.ew_aa / entry.wave_vac_aa * C_KMS / (sigma * np.sqrt(2.0 * np.pi))
    profile = peak * np.exp(-0.5 * (v / sigma) ** 2)
    around = int(2500.0 / grid.step_kms)
    level = float(np.median(row[max(0, int(at) - around) : int(at) + around]))
    if entry.ew_aa > 0:
        row[window] += level * profile
    else:
        row[window] *= np.exp(profile)
