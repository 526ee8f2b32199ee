"""What was observed and where the bytes came from: one row of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Scalar = float | int | str | bool
_NOT_TEXT = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Observation:
    """ObsCore fields of one spectrum (IVOA ObsCore 1.1) plus the few that spectra need.

    Unknown values are None, never zero. Identity is (`obs_collection`, `obs_id`): `obs_id` is
    the survey's own identifier, made unique by the reader where one file holds several spectra
    (an arm, an exposure); None if the survey gives none (the store then uses the content hash).

    s_ra, s_dec : deg, ICRS · t_min, t_max : MJD, UTC · t_exptime : s
    em_res_power : λ/Δλ · snr : median per pixel, as delivered or measured (see `snr_source`)
    redshift : as the file's own pipeline gives it · rv_kms, berv_kms : km/s
    bjd_tdb : mid-exposure barycentric Julian date · calib_level : ObsCore 0–4
    metadata : any further values worth keeping, JSON scalars only
    """

    obs_collection: str
    obs_id: str | None = None
    target_name: str | None = None
    target_class: str | None = None
    s_ra: float | None = None
    s_dec: float | None = None
    t_min: float | None = None
    t_max: float | None = None
    t_exptime: float | None = None
    em_res_power: float | None = None
    facility_name: str | None = None
    instrument_name: str | None = None
    calib_level: int = 2
    snr: float | None = None
    snr_source: str | None = None
    redshift: float | None = None
    rv_kms: float | None = None
    berv_kms: float | None = None
    bjd_tdb: float | None = None
    airmass: float | None = None
    obs_creator_did: str | None = None
    bib_reference: str | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))


def printable(text: str) -> str:
    """A path or text in which bytes that are no UTF-8 are spelt out, like ``\\xff``."""
    return _NOT_TEXT.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"


@dataclass(frozen=True, slots=True)
class Provenance:
    """The file a spectrum came from and how it was read.

    path : as given by the user, or the URL · member : name inside a zip or tar
    file_hash : BLAKE3 of the file's bytes (after gunzip), hex · hdu, row : 0-based, None = whole
    reader : registry name · pipeline : the survey's own pipeline and version, if the file says
    warnings : what the reader had to note (missing coordinates, flagged pixels …)
    """

    path: str
    reader: str
    file_hash: str | None = None
    member: str | None = None
    hdu: int | None = None
    row: int | None = None
    pipeline: str | None = None
    warnings: tuple[str, ...] = ()
