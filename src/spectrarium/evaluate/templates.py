"""Real template spectra seen through a mock spectrograph: real features, known truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import TransientError, UsageError
from ..domain.progress import Progress, Silent
from ..domain.units import C_KMS
from ..embed.domain import ModelDomain
from ..measure.airvac import air_to_vac
from ..measure.pixels import pixel_bounds
from ..measure.resample import Resampler
from ..mock.atmosphere import planck
from ..mock.extinction import transmission
from ..mock.instrument import Instrument, instruments
from .corpus import Corpus, Facts, corpus_of
from .mock_corpus import as_spectrum
from .pools import Pool, Row, number
from .real import STELLAR_KINDS, letter

DOMAIN = ModelDomain(3720.0, 7300.0, 2929, resolution=(1000.0, 3000.0))
"""What MILES and the SDSS templates share, in pixels of 69 km/s."""
_SEEN = (3690.0, 7350.0)
_POOLS = ("miles_stars", "pyhammer_sdss_templates", "mastar_hc_templates", "snid_templates")
DRAWS = 4
"""Observations of each template."""


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """wave : (n,) vacuum Å at rest · flux : (n,) F_λ in any unit · name : unique, of the star or
    supernova · label : spectral letter, SN or '' · numbers : teff, logg, feh; NaN = unknown"""

    name: str
    wave: NDArray[np.float64]
    flux: NDArray[np.float64]
    label: str
    numbers: dict[str, float]


def templates(data: Path) -> Iterator[Template]:
    """All templates of the pools that are there and cover the range; at least one pool must be."""
    there = [name for name in _POOLS if (data / name / "index.csv").is_file()]
    if not there:
        raise UsageError("holds none of the template pools", code="no_pool", where=str(data),
                         remedy=f"wanted: {', '.join(_POOLS)}")  # fmt: skip
    for name in there:
        with Pool(data / name) as pool:
            for row in _one_an_object(pool.rows) if name == "snid_templates" else pool.rows:
                found = _template(name, row, *pool[row["spec_id"]][:2])
                if found is not None:
                    yield found


def _one_an_object(rows: list[Row]) -> list[Row]:
    """One spectrum of each supernova, at a phase of chance, among those of full coverage."""
    full = [r for r in rows if r["obj_class"] == "SN" and number(r, "wmin_A") < 3450.0
            and number(r, "wmax_A") > 7360.0]  # fmt: skip
    order = np.random.default_rng(0).permutation(len(full))
    chosen = {full[i]["object_id"]: full[i] for i in order}
    return [chosen[name] for name in sorted(chosen)]


def _template(pool: str, row: Row, wave: Any, flux: Any) -> Template | None:
    if row["wave_frame"].startswith("air"):
        wave = air_to_vac(wave, outside="keep")
    flux = np.asarray(flux, np.float64)
    label = letter(row) or ""
    if pool == "snid_templates":
        # the continuum was divided out and subtracted: a smooth one is put back
        rng = np.random.default_rng(abs(hash_of(row["object_id"])))
        flux = (1.0 + flux) * planck(wave, np.array(rng.uniform(5500.0, 14_000.0)))
        label = "SN"
    good = np.isfinite(flux)
    inside = good & (wave > _SEEN[0]) & (wave < _SEEN[1])
    margin = 0.003 * _SEEN[0]
    if not inside.any() or wave[good][0] > _SEEN[0] - margin or wave[good][-1] < _SEEN[1] + margin:
        return None
    if not np.median(flux[inside]) > 0:
        return None
    numbers = {k: number(row, k) for k in ("teff", "logg", "feh")}
    return Template(f"{pool}/{row['object_id']}", wave[good], flux[good], label, numbers)


def hash_of(name: str) -> int:
    """A number that depends on the name alone."""
    from blake3 import blake3

    return int.from_bytes(blake3(name.encode()).digest()[:7], "little")


def spectrograph() -> Instrument:
    """The mock SDSS-like spectrograph, cut to what templates cover."""
    full = instruments()["sdss"]
    wave = full.wave_vac_aa
    return replace(full, wave_vac_aa=wave[(wave > _SEEN[0]) & (wave < _SEEN[1])])


def template_corpus(
    data: Path, draws: int = DRAWS, seed: int = 1, progress: Progress | None = None,
    most: int | None = None,
) -> Corpus:  # fmt: skip
    """Every template observed `draws` times: another velocity, reddening, brightness and noise.

    Stars get radial velocities of σ = 60 km/s, supernovae redshifts of 0.005 to 0.04; S/N is
    log-uniform from 5 to 80, E(B−V) exponential with mean 0.06. All observations of a template
    stay on one side of the split. Valid for: R near 2000, which templates and spectrograph share:
    nothing is broadened again; the templates' own noise (S/N some 100) stays in.

    most : templates, at even steps; None = all
    """
    watch = progress or Silent()
    found = list(templates(data))
    if most is not None:
        found = found[:: max(1, len(found) // most)]
    instrument = spectrograph()
    watch.start("templates observed", len(found))
    spectra, facts = [], Facts([], [], {"teff": [], "logg": [], "feh": []},
                               {"rv_kms": [], "ebv": []}, [])  # fmt: skip
    for template in found:
        for draw in range(draws):
            rng = np.random.default_rng([seed, hash_of(template.name), draw])
            light, velocity, ebv = _seen(template, instrument, rng)
            snr = float(np.exp(rng.uniform(np.log(5.0), np.log(80.0))))
            spectra.append(as_spectrum(instrument, instrument.expose(light, snr, rng)))
            facts.object_ids.append(template.name)
            facts.label.append(template.label)
            facts.z.append(velocity / C_KMS)
            for key, values in facts.numbers.items():
                values.append(template.numbers[key])
            facts.nuisances["rv_kms"].append(np.nan if template.label == "SN" else velocity)
            facts.nuisances["ebv"].append(ebv)
        watch.advance()
        if watch.cancelled():
            raise TransientError("cancelled while templates were observed", code="cancelled",
                                 remedy="run the same command again")  # fmt: skip
    about = f"{len(found)} real templates seen {draws} times by the mock spectrograph"
    corpus = corpus_of("templates", about, "letter or SN", spectra, facts, STELLAR_KINDS, DOMAIN)
    return replace(corpus, stars=corpus.label != "SN")


def _seen(
    template: Template, instrument: Instrument, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float, float]:
    """Noiseless light on the instrument's pixels, velocity in km/s (cz) and E(B−V)."""
    if template.label == "SN":
        z = float(rng.uniform(0.005, 0.04))
    else:
        z = float(rng.normal(0.0, 60.0)) / C_KMS
    wave = template.wave * (1.0 + z)
    ebv = float(rng.exponential(0.06))
    pixels_out = instrument.wave_vac_aa
    if np.median(np.diff(np.log(wave))) > 1.5 * np.median(np.diff(np.log(pixels_out))):
        light = np.interp(pixels_out, wave, template.flux)  # coarser: rebinning would make stairs
    else:
        light = Resampler(pixel_bounds(wave), pixel_bounds(pixels_out))(template.flux).flux
    return light * transmission(pixels_out, ebv), z * C_KMS, ebv
