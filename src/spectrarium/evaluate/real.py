"""Real corpora: pools of observed spectra with the surveys' own labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..domain.axis import Medium, SpecSys, SpectralAxis
from ..domain.observation import Observation, Provenance
from ..domain.spectrum import Normalisation, Spectrum, UncertaintyKind
from .corpus import Corpus, Facts, corpus_of
from .pools import Pool, Row, number

MOST = 2_500
"""Raw-pixel χ² is quadratic: larger pools are cut to a random choice of this many spectra."""
STELLAR_KINDS = (
    "double_lined_binary", "p_cygni", "double_peaked_halpha", "strong_emission", "wrong_redshift",
    "cosmic_rays", "bad_join",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RealCorpus:
    """A pool and what is taken from it. label : class of a row; None = not labelled, left out

    folder : of the pool · numbers, nuisances : columns of its index · kinds : oddities to plant
    z : column of the redshift that planted lines get, '' = 0
    """

    name: str
    folder: str
    about: str
    label_name: str
    label: Callable[[Row], str | None]
    numbers: tuple[str, ...]
    nuisances: tuple[str, ...]
    kinds: tuple[str, ...]
    specsys: SpecSys = SpecSys.HELIOCEN
    normalisation: Normalisation = Normalisation.UNKNOWN
    z: str = ""

    def load(self, data: Path, most: int = MOST) -> Corpus:
        """The corpus. Raises UsageError (no_pool, too_few_spectra), DataError (bad_pool)."""
        with Pool(data / self.folder) as pool:
            rows = [row for row in pool.rows if self.label(row) is not None]
            chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
            rows = [rows[i] for i in chosen]
            spectra = [as_spectrum(row, *pool[row["spec_id"]], self) for row in rows]
        facts = Facts(
            object_ids=[row["object_id"] for row in rows],
            label=[self.label(row) or "" for row in rows],
            numbers={k: [number(row, k) for row in rows] for k in self.numbers},
            nuisances={k: [number(row, k) for row in rows] for k in self.nuisances},
            z=[number(row, self.z) if self.z else 0.0 for row in rows],
        )
        return corpus_of(self.name, self.about, self.label_name, spectra, facts, self.kinds)


def as_spectrum(row: Row, wave: Any, flux: Any, error: Any, kind: RealCorpus) -> Spectrum:
    """A row of a pool as a spectrum; errors that are not there stay unknown."""
    medium = {"v": Medium.VACUUM, "a": Medium.AIR}.get(row["wave_frame"][:1], Medium.UNKNOWN)
    resolution = number(row, "resolution")
    return Spectrum(
        axis=SpectralAxis("Angstrom", np.asarray(wave, np.float64), medium=medium,
                          specsys=kind.specsys),
        flux=flux,
        observation=Observation(kind.folder, row["spec_id"],
                                em_res_power=resolution if resolution > 0 else None),
        provenance=Provenance(kind.folder, "pool"),
        uncertainty=error,
        uncertainty_kind=UncertaintyKind.NONE if error is None else UncertaintyKind.STD,
        flux_unit="erg / (s cm2 Angstrom)",
        normalisation=kind.normalisation,
    )  # fmt: skip


def letter(row: Row) -> str | None:
    """Spectral class letter; MILES prefixes dwarfs and subdwarfs with d, sd and the like."""
    found = re.match(r"\s*[a-z]*([OBAFGKM])", row["obj_subclass"])
    return found.group(1) if found else None


def supernova(row: Row) -> str | None:
    """Ia, Ib, Ic, II, IIP, IIb, IIn …: the type before the dash."""
    return row["obj_subclass"].split("-")[0] or None if row["obj_class"] == "SN" else None


def obj_class(row: Row) -> str | None:
    """The survey's class."""
    return row["obj_class"] or None


REAL = (
    RealCorpus(
        "sdss", "sdss_boss_pool", "SDSS/BOSS: quasars, galaxies, stars, sky", "class", obj_class,
        ("z",), ("z", "mjd"),
        ("superposition", "strong_emission", "cosmic_rays", "bad_join"), z="z",
    ),
    RealCorpus(
        "miles", "miles_stars", "MILES stars", "spectral letter", letter,
        ("teff", "logg", "feh"), (), STELLAR_KINDS, SpecSys.SOURCE,
    ),
    RealCorpus(
        "lamost", "lamost_lrs_pool", "LAMOST low resolution: stars", "spectral letter", letter,
        ("teff", "logg", "feh"), ("rv_kms", "mjd"), STELLAR_KINDS,
    ),
    RealCorpus(
        "snid", "snid_templates", "SNID: supernovae, continuum divided out and subtracted",
        "type", supernova, (), (),
        ("superposition", "strong_emission", "wrong_redshift", "cosmic_rays", "bad_join"),
        SpecSys.SOURCE, Normalisation.CONTINUUM_SUBTRACTED,
    ),
)  # fmt: skip
