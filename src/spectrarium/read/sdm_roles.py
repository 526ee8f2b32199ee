"""Which columns play which part in the Spectrum Data Model: by utype, never across namespaces."""

from __future__ import annotations

from ..domain.errors import DataError
from ..domain.spectrum import FlagScheme, Normalisation
from . import sdm_words as words
from .sdm_words import FLUX, STAT, WAVE
from .source import SourceFile

QUALITY_SCHEME = FlagScheme("SDM quality", {}, bad=None)
"""0 is good, anything else is not (SDM 1.1, section 5.5)."""


def choose(
    by_role: dict[str, list[tuple[str, str]]], source: SourceFile, hdu: int | None
) -> tuple[str, str, str | None]:
    """Names of axis, flux and the flux's error; an error of another namespace never pairs."""
    wave = _only(by_role.get(WAVE, []), "spectral axis", source, hdu)
    flux = _only(by_role.get(FLUX, []), "flux", source, hdu)
    if wave is None or flux is None:
        raise DataError(
            "the table has a spectral axis but no FluxAxis.Value", code="no_column",
            where=source.where, hdu=hdu, remedy="it may be a calibration: leave it out",
        )  # fmt: skip
    space = words.namespace(flux[1])
    errors = [e for e in by_role.get(STAT, []) if words.namespace(e[1]) == space]
    error = _only(errors, "error", source, hdu)
    return wave[0], flux[0], error[0] if error else None


def _only(
    hits: list[tuple[str, str]], what: str, source: SourceFile, hdu: int | None
) -> tuple[str, str] | None:
    if len(hits) < 2:
        return hits[0] if hits else None
    known = [h for h in hits if words.namespace(h[1]) in ("spec", "ssa", "sdm", "")]
    main = [h for h in hits if "meta.main" in h[1]]
    for narrowed in (main, known):
        if len(narrowed) == 1:
            return narrowed[0]
    raise DataError(
        f"{len(hits)} columns could be the {what}: {', '.join(h[0] for h in hits)}",
        code="ambiguous_columns", where=source.where, hdu=hdu,
        remedy="mark the one that is meant with a UCD that ends in ;meta.main",
    )  # fmt: skip


def normalisation_of(calibration: str) -> Normalisation:
    """The model: NORMALIZED means divided by a reference spectrum."""
    return Normalisation.CONTINUUM_DIVIDED if calibration == "NORMALIZED" else Normalisation.UNKNOWN
