"""IVOA Spectrum Data Model 1.x, in VOTable and in FITS: what SSA services deliver."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import UncertaintyKind
from . import sdm_words as words
from .fits import Hdu
from .registry import GENERIC, LIKELY, Item, Reader
from .sdm_roles import QUALITY_SCHEME, choose, normalisation_of
from .sdm_votable import read_votable
from .sdm_words import QUALITY, plain
from .source import SourceFile
from .spectral_words import calibration_of, is_ratio, si_unit
from .table_columns import Roles
from .table_observation import both_headers, medium_of, part_observation
from .table_rows import Facts, spectra_of
from .votable import is_votable

_TUTYP = re.compile(r"(?i)TUTYPE?\d{1,3} *= *'[^']*data\.spectralaxis\.value")
_TAG = re.compile(rb"FIELD(?:ref)?\s[^>]*>")
_SCAN = 2**22


def recognise_fits(source: SourceFile) -> int:
    """LIKELY when a table column has the utype of the spectral axis's values."""
    if not source.is_fits:
        return 0
    return LIKELY if any(_has_axis(hdu) for hdu in source.fits) else 0


def _has_axis(hdu: Hdu) -> bool:
    return hdu.kind in ("table", "ascii") and _cards_with_axis(hdu.table_cards)


@lru_cache(maxsize=256)
def _cards_with_axis(cards: bytes) -> bool:
    return b"TUTYP" in cards and bool(_TUTYP.search(cards.decode("latin-1")))


def recognise_votable(source: SourceFile) -> int:
    """LIKELY with the utype or UCD of a spectral axis in a FIELD, GENERIC for any VOTable."""
    if source.is_fits or not is_votable(source.data):
        return 0
    tags = [t.lower() for t in _TAG.findall(source.data[:_SCAN])]
    axis = rb"data\.spectralaxis\.value|ucd\s*=\s*[\"']\s*em\.(?:wl|freq|energy|wavenumber)\b"
    flux = rb"data\.fluxaxis\.value|ucd\s*=\s*[\"']\s*(?:phot\.(?:flux|count)|spect\.intens)"
    found = [any(re.search(pattern, tag) for tag in tags) for pattern in (axis, flux)]
    return LIKELY if all(found) else GENERIC


def read_fits(source: SourceFile) -> Iterator[Item]:
    """Every table with the model's utypes; rows of array cells are spectra of their own."""
    hdus = [h for h in source.fits if _has_axis(h)]
    for hdu in hdus:
        try:
            yield from _fits_table(source, hdu, len(hdus) > 1)
        except DataError as error:
            error.hdu = hdu.index
            yield error


def _fits_table(source: SourceFile, hdu: Hdu, many: bool) -> Iterator[Item]:
    said = words.from_header(both_headers(hdu))
    by_role: dict[str, list[tuple[str, str]]] = {}
    for column in hdu.columns.values():
        keys = (hdu.header.get(f"TUTYP{column.number}"), hdu.header.get(f"TUTYPE{column.number}"))
        utype = str(keys[0] or keys[1] or "")
        ucd = str(hdu.header.get(f"TUCD{column.number}") or "")
        by_role.setdefault(plain(utype), []).append((column.name, f"{utype}\n{ucd}"))
    wave, flux, error = choose(by_role, source, hdu.index)
    quality = by_role.get(QUALITY)
    roles = Roles(
        wave, flux, error=error,
        error_kind=UncertaintyKind.STD if error else UncertaintyKind.NONE,
        flags=quality[0][0] if quality else None,
    )  # fmt: skip
    calibration = calibration_of(said.get("char.fluxaxis.calibration"))
    facts = Facts(
        "sdm-fits", flux_unit="" if is_ratio(hdu.column_key("TUCD", flux)) else None,
        wave_unit=si_unit(str(said.get("spectralsi") or "")),
        medium=medium_of(hdu, roles, both_headers(hdu)), specsys=words.frame(said),
        calibration=calibration, normalisation=normalisation_of(calibration.value),
        flag_scheme=QUALITY_SCHEME, pipeline=str(said.get("dataid.version") or "") or None,
    )  # fmt: skip
    base = words.observation(source, said)
    part = (hdu.name or f"hdu{hdu.index}") if many else None

    def observe(row: int | None) -> Observation:
        one = part_observation(base, part)
        several = row is not None and hdu.n_rows > 1 and one.obs_id
        return replace(one, obs_id=f"{one.obs_id}/row{row}") if several else one

    yield from spectra_of(source, hdu, roles, facts, observe)


def _reader(
    kind: str,
    title: str,
    recognise: Callable[[SourceFile], int],
    read: Callable[[SourceFile], Iterator[Item]],
) -> Reader:
    return Reader(
        name=f"sdm-{kind}", title=title, recognise=recognise, read=read,
        medium="em.wl;obs.atmos or the column's description (Air wavelength), else unknown",
        frame="CoordSys.SpectralFrame.RefPos / SPECSYS, else unknown",
        uncertainty="std (FluxAxis.Accuracy.StatError), else none",
        mask="FluxAxis.Quality: 0 good, else bad",
        why_own="specutils has no SDM VOTable loader and reads these FITS files without metadata",
        source="IVOA Spectrum Data Model 1.1 (REC 2011-11-20); SSA 1.1",
    )  # fmt: skip


READERS: tuple[Reader, ...] = (
    _reader("votable", "IVOA Spectrum Data Model, VOTable", recognise_votable, read_votable),
    _reader("fits", "IVOA Spectrum Data Model, FITS", recognise_fits, read_fits),
)
