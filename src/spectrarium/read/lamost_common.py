"""What LAMOST's surveys share: mask bits, local time, identifiers, labels, frame."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import (
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from .fits import Header, iso_to_mjd
from .header_values import metadata, provenance
from .source import SourceFile

_LOCAL_DAYS = 8.0 / 24.0
"""LAMOST's DATE-BEG, DATE-END, LMJD and LMJM count local time, UTC+8."""
_UNKNOWN = -999.0
"""Placeholders are −999 and −9999."""

ANDMASK = FlagScheme(
    "LAMOST ANDMASK",
    MappingProxyType({1: "BADCCD", 2: "BADPROFILE", 3: "NOSKY", 4: "BRIGHTSKY", 5: "BADCENTER",
                      6: "NODATA"}),
)  # fmt: skip
"""An AND bit means that no exposure was good there: any is bad. Bits are numbered 1 to 6 as in the
survey's table (its files hold 64 = bit 6).

Source: LAMOST DR3-DR9 data description, FITS data array, Andmask and Ormask."""
PILOT_MASK = FlagScheme("LAMOST pilot ANDMASK", MappingProxyType({0: "BADPIXEL"}))
"""The pilot's masks say only 1 = bad in all exposures (LAMOST pilot data, FITS files)."""


def build(
    source: SourceFile, header: Header, axis: SpectralAxis, *, flux: NDArray[Any],
    ivar: NDArray[Any], flags: NDArray[Any] | None, extras: dict[str, NDArray[Any]],
    scheme: FlagScheme, reader: str, hdu: int, observation: Observation,
) -> Spectrum:  # fmt: skip
    """The spectrum: ivar, relative flux at low resolution, no unit unless the user declares one.

    Raises DataError (mismatched_lengths).
    """
    version = header.string("VERSPIPE", "DATA_V")
    low = reader == "lamost-lrs"
    return Spectrum(
        axis=axis, flux=flux, uncertainty=ivar, uncertainty_kind=UncertaintyKind.IVAR,
        flags=flags, flag_scheme=None if flags is None else scheme, extras=extras,
        flux_unit=source.options.flux_unit,
        flux_calibration=FluxCalibration.RELATIVE if low else FluxCalibration.UNKNOWN,
        normalisation=Normalisation.NONE, observation=observation,
        provenance=provenance(
            source, reader, hdu=hdu,
            pipeline=f"LAMOST pipeline {version}" if version else "LAMOST pipeline",
            warnings=() if observation.s_ra is not None else ("no coordinates",),
        ),
    )  # fmt: skip


def bits(values: NDArray[Any], source: SourceFile, hdu: int) -> NDArray[Any]:
    """Mask bits, which most layouts store as floats. Raises DataError (bad_flags)."""
    if values.dtype.kind in "iu":
        return values
    with np.errstate(invalid="ignore"):  # not-a-numbers, which the comparison finds
        bits = values.astype(np.int32)
        whole = np.array_equal(bits, values)
    if not whole:
        raise DataError("a mask holds values that are no bit patterns", code="bad_flags",
                        where=source.where, hdu=hdu, remedy="fetch the file again")  # fmt: skip
    return bits


def frame(source: SourceFile, *headers: Header) -> dict[str, Any]:
    """Vacuum and heliocentric as documented for every release, unless a header denies it."""
    vacuum = next((h.get("VACUUM") for h in headers if "VACUUM" in h), True)
    helio = next((h.get("HELIO") for h in headers if "HELIO" in h), True)
    return {
        "medium": Medium.VACUUM if vacuum is not False
        else source.options.medium or Medium.UNKNOWN,
        "specsys": SpecSys.HELIOCEN if helio is not False
        else source.options.specsys or SpecSys.UNKNOWN,
    }  # fmt: skip


def known(header: Header, *keys: str) -> float | None:
    """The first number that is no placeholder."""
    for key in keys:
        value = header.number(key)
        if value is not None and value > _UNKNOWN:
            return value
    return None


def _local_to_utc(text: Any) -> float | None:
    """MJD (UTC) of a local (UTC+8) ISO date and time."""
    mjd = iso_to_mjd(text) if isinstance(text, str) else None
    return None if mjd is None else mjd - _LOCAL_DAYS


def minutes_to_utc(minutes: float | None) -> float | None:
    """MJD (UTC) of a local modified Julian minute."""
    return None if minutes is None else minutes / 1440.0 - _LOCAL_DAYS


def times(*headers: Header) -> tuple[float | None, float | None]:
    """(t_min, t_max), MJD UTC, of the first header that knows them."""
    for header in headers:
        begin, end = (_local_to_utc(header.get(key)) for key in ("DATE-BEG", "DATE-END"))
        if begin is not None and end is not None and end >= begin:
            return begin, end
        minutes = [float(m) for m in re.findall(r"\d{8}", str(header.get("LMJMLIST", "")))]
        if minutes:  # starts of exposures: the end of the last one is not known
            return minutes_to_utc(min(minutes)), minutes_to_utc(max(minutes))
    for header in headers:
        middle = header.get("DATE-OBS")
        mjd = iso_to_mjd(middle) if isinstance(middle, str) else None
        if mjd is not None:
            return mjd, mjd
    return None, None


def stem_of(header: Header) -> str | None:
    """LMJD-PLANID_spSS-FFF: what every release names the spectrum, with OBSID or without."""
    plan = header.string("PLANID")
    lmjd, spid, fiber = (header.number(key) for key in ("LMJD", "SPID", "FIBERID"))
    if plan is None or lmjd is None or spid is None or fiber is None:
        return header.string("OBSID")
    return f"{int(lmjd)}-{plan}_sp{int(spid):02d}-{int(fiber):03d}"


def class_of(header: Header) -> str | None:
    """CLASS in upper case (STAR, GALAXY, QSO); None where the pipeline says Unknown."""
    text = header.string("CLASS")
    return None if text is None or text.upper() == "UNKNOWN" else text.upper()


def labels_of(header: Header) -> dict[str, Any]:
    """The pipeline's labels and the survey's identifiers that have no column of their own."""
    subclass = header.string("SUBCLASS")
    return metadata(
        subclass=None if subclass in ("Non", "null", "NULL") else subclass,
        z_err=known(header, "Z_ERR"), z_from=header.string("ZFLAG", "Z_FROM"),
        teff=known(header, "TEFF"), logg=known(header, "LOGG"), feh=known(header, "FEH"),
        obsid=header.get("OBSID"), objname=header.string("OBJNAME"),
        objtype=header.string("OBJTYPE"), data_release=header.string("DATA_V"),
        helio_rv_kms=known(header, "HELIO_RV"), lmjd=header.get("LMJD"),
        **{f"snr_{band.lower()}": known(header, f"SNR{band}", f"SN_{band}") for band in "UGRIZ"},
    )  # fmt: skip
