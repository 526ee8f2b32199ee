"""APOGEE: apVisit (three chips of one visit), apStar (combined and visits), aspcapStar.

The chips do not overlap, so a visit is an echelle spectrum with three orders. Everything is in
vacuum; a visit is as observed at the telescope, apStar and aspcapStar are in the star's rest frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from ..domain.axis import Medium, SpecSys, SpectralAxis
from ..domain.observation import Observation
from ..domain.spectrum import EchelleSpectrum, FluxCalibration, Normalisation, UncertaintyKind
from .apogee_star import aspcap_table, read_aspcap, read_star
from .apogee_values import (
    FLUX_UNIT,
    PIXMASK,
    RESOLVING_POWER,
    apogee_provenance,
    extras,
    flag_sentinels,
    image,
    magnitude,
    positive,
    target_class,
    templates,
    velocity,
)  # fmt: skip
from .fits import FitsFile, Header
from .header_values import metadata, mjd_of, sky_deg
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile

_LOG = "LOG-LINEAR"


def _bunit(fits: FitsFile, index: int) -> str:
    return (fits[index].header.string("BUNIT") or "").lower() if index < len(fits) else ""


def _is_visit(fits: FitsFile) -> bool:
    return (
        len(fits) > 4
        and len(fits[1].shape) == 2
        and fits[1].shape[0] == 3
        and _bunit(fits, 1).startswith("flux")
        and _bunit(fits, 4).startswith("wavelength")
        and fits.primary.get("TELESCOP") is not None
    )


def _log_image(fits: FitsFile, index: int) -> bool:
    return index < len(fits) and fits[index].header.string("CTYPE1") == _LOG


def _is_star(fits: FitsFile) -> bool:
    return (
        len(fits) > 3
        and _log_image(fits, 1)
        and _bunit(fits, 1).startswith("flux")
        and _bunit(fits, 3).startswith(("flag mask", "mask"))
        and fits.primary.get("NVISITS") is not None
    )


def _recognise_visit(source: SourceFile) -> int:
    return CERTAIN if source.is_fits and _is_visit(source.fits) else 0


def _recognise_star(source: SourceFile) -> int:
    return CERTAIN if source.is_fits and _is_star(source.fits) else 0


def _recognise_aspcap(source: SourceFile) -> int:
    if not source.is_fits or not _log_image(source.fits, 1) or len(source.fits) < 4:
        return 0
    return CERTAIN if aspcap_table(source.fits) is not None else 0


def _recognise_catalogue(source: SourceFile) -> int:
    if not source.is_fits or len(source.fits) < 2 or source.fits[1].kind != "table":
        return 0
    hdu = source.fits[1]
    star, visit = hdu.has("APOGEE_ID", "STARFLAG"), hdu.has("APOGEE_ID", "VISIT_ID")
    return CERTAIN if star or visit else 0


def _read_catalogue(source: SourceFile) -> Iterator[Item]:
    yield NotASpectrum("APOGEE catalogue (allStar or allVisit)", hdu=1)


def read_visit(source: SourceFile) -> Iterator[Item]:
    """One echelle spectrum of three chips (red, green, blue; wavelengths fall)."""
    fits = source.fits
    flux = fits[1].image()
    shape = flux.shape
    error = image(fits, 2, shape)
    observation = _visit_observation(source)
    yield EchelleSpectrum(
        axis=SpectralAxis(
            unit="Angstrom", values=image(fits, 4, shape), medium=Medium.VACUUM,
            specsys=SpecSys.TOPOCENT,
        ),
        flux=flux,
        uncertainty=error,
        uncertainty_kind=UncertaintyKind.STD,
        flags=flag_sentinels(image(fits, 3, shape), error),
        flag_scheme=PIXMASK,
        flux_unit=FLUX_UNIT,
        flux_calibration=FluxCalibration.ABSOLUTE,
        normalisation=Normalisation.NONE,
        extras=MappingProxyType(extras(fits, shape, 5)),
        order_numbers=(1, 2, 3),
        observation=observation,
        provenance=apogee_provenance(source, "apogee-visit", observation),
    )  # fmt: skip


def _visit_observation(source: SourceFile) -> Observation:
    h = source.fits.primary
    ra, dec = sky_deg(h)
    start, middle = mjd_of(h, "DATE-OBS"), mjd_of(h, "JD-MID", "UT-MID")
    # EXPTIME counts one dither position; a visit of pairs has two
    exptime = h.number("EXPTIME")
    if exptime is not None and (h.number("NPAIRS") or 0) > 0:
        exptime *= 2.0
    known = start is not None and middle is not None
    return Observation(
        obs_collection=source.options.collection or "APOGEE-visit",
        obs_id=_visit_id(h),
        target_name=h.string("OBJID"),
        target_class=target_class(h),
        s_ra=ra, s_dec=dec,
        t_min=start, t_max=2.0 * middle - start if known and middle and start else None,
        t_exptime=exptime,
        em_res_power=RESOLVING_POWER,
        facility_name=h.string("TELESCOP"), instrument_name="APOGEE", calib_level=2,
        snr=positive(h, "SNR"), snr_source="SNR" if positive(h, "SNR") else None,
        rv_kms=velocity(h, "VHELIO", "VHBARY"), berv_kms=velocity(h, "BC"),
        metadata=MappingProxyType(metadata(
            plate=h.string("PLATE"), mjd=h.get("MJD5"), fiber=h.get("FIBERID"),
            location_id=h.get("LOCID"), field=h.string("FIELD"), survey=h.string("SURVEY"),
            objtype=h.string("OBJTYPE"), starflag=h.get("STARFLAG"), exptime=h.number("EXPTIME"),
            hmag=magnitude(h), vrad=velocity(h, "VRAD"), vrad_err=h.number("VRADERR"),
            **templates(h),
        )),
    )  # fmt: skip


def _visit_id(h: Header) -> str | None:
    """``apo25m-7125-56557-285``; the 1-m telescope has no plates: ``apo1m-56557-OBJID``."""
    telescope, mjd, fibre = h.string("TELESCOP"), h.get("MJD5"), h.get("FIBERID")
    if telescope is None or mjd is None:
        return None
    plate = h.string("PLATE")
    if telescope == "apo1m" or plate is None or not isinstance(fibre, int):
        star = h.string("OBJID")
        return None if star is None else f"{telescope}-{mjd}-{star}"
    return f"{telescope}-{plate}-{mjd}-{fibre:03d}"


_MODEL = "data.sdss.org/datamodel/files/APOGEE_REDUX (apVisit, apStar), APOGEE_ASPCAP"
READERS = (
    Reader(
        name="apogee-visit", title="APOGEE apVisit/asVisit", recognise=_recognise_visit,
        read=read_visit, medium="vacuum", frame="topocentric (sky lines at laboratory wavelengths)",
        uncertainty="std", mask="APOGEE_PIXMASK bits 0–7 and 14 are bad",
        why_own="specutils strings the three chips into one array and drops mask, medium and frame",
        source=f"{_MODEL}; Nidever et al. 2015, AJ 150, 173",
    ),
    Reader(
        name="apogee-star", title="APOGEE apStar/asStar", recognise=_recognise_star,
        read=read_star, medium="vacuum", frame="rest frame of the star",
        uncertainty="std (1e10: no data)", mask="APOGEE_PIXMASK; AND over visits when combined",
        why_own="specutils reads the first row only and drops mask, medium and frame",
        source=f"{_MODEL}; Nidever et al. 2015, AJ 150, 173",
    ),
    Reader(
        name="apogee-aspcap", title="APOGEE aspcapStar", recognise=_recognise_aspcap,
        read=read_aspcap, medium="vacuum", frame="rest frame of the star",
        uncertainty="std (1e10: no data)", mask="built from the error sentinel",
        why_own="specutils keeps a numeric unit called 'arbitrary' and no mask, medium or frame",
        source=f"{_MODEL}; García Pérez et al. 2016, AJ 151, 144",
    ),
    Reader(
        name="apogee-catalogue", title="APOGEE allStar and allVisit tables",
        recognise=_recognise_catalogue, read=_read_catalogue, medium="–", frame="–",
        uncertainty="–", mask="–", why_own="no spectrum", source=_MODEL,
    ),
)  # fmt: skip
