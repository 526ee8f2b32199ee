"""SDSS, BOSS, eBOSS and SDSS-V optical spectra: ``spec`` tables, spPlate and spSpec images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from numpy.typing import NDArray

from ..domain.axis import Medium, Scale, SpecSys, SpectralAxis
from ..domain.observation import Observation, Scalar
from ..domain.spectrum import FluxCalibration, Normalisation, Spectrum, UncertaintyKind
from .fits import FitsFile, Hdu, Header
from .header_values import provenance, valid_sky
from .registry import CERTAIN, LIKELY, Item, Reader
from .sdss_common import (
    FLUX_UNIT,
    SPPIXMASK,
    frame_of,
    medium_of,
    resolving_power,
    time_span,
    utc_of_tai,
)
from .sdss_plate import PLATE_READERS
from .source import SourceFile

_EXTRAS = ("or_mask", "wdisp", "sky", "model", "wresl")
_LABELS = {
    "z_err": "Z_ERR", "zwarning": "ZWARNING", "subclass": "SUBCLASS", "rchi2": "RCHI2",
    "vdisp": "VDISP", "vdisp_err": "VDISP_ERR", "objtype": "OBJTYPE", "targettype": "TARGETTYPE",
    "sourcetype": "SOURCETYPE", "programname": "PROGRAMNAME", "survey": "SURVEY",
    "platequality": "PLATEQUALITY", "specobjid": "SPECOBJID", "thing_id": "THING_ID",
    "sdss_id": "SDSS_ID", "run2d": "RUN2D", "z_noqso": "Z_NOQSO", "class_noqso": "CLASS_NOQSO",
}  # fmt: skip
_CELLS = (
    *_LABELS.values(), "Z", "CLASS", "SN_MEDIAN_ALL", "INSTRUMENT", "PLUG_RA", "PLUG_DEC",
    "FIBER_RA", "FIBER_DEC", "RACAT", "DECCAT", "MJD", "FIELD", "CATALOGID", "PLATE", "FIBERID",
    "ELODIE_TEFF", "ELODIE_LOGG", "ELODIE_FEH", "ELODIE_SPTYPE",
)  # fmt: skip


def _recognise(source: SourceFile) -> int:
    if not source.is_fits:
        return 0
    hdus = source.fits.hdus
    if len(hdus) < 2 or hdus[1].kind != "table" or not hdus[1].has("flux", "loglam", "ivar"):
        return 0
    return CERTAIN if hdus[1].has("and_mask", "or_mask") else 0


def _read(source: SourceFile) -> Iterator[Item]:
    fits = source.fits
    coadd, primary = fits[1], fits.primary
    labels = _labels(fits)
    flags = coadd.column("and_mask")
    flux, loglam, ivar = (_floats(coadd, name) for name in ("flux", "loglam", "ivar"))
    if flags.dtype.kind not in "iu":
        raise source.fits.bad("and_mask is not an integer column", "bad_flags", 1)
    extras = {name: coadd.column(name) for name in _EXTRAS if coadd.has(name)}
    power = resolving_power(extras["wdisp"], _step(primary)) if "wdisp" in extras else None
    observation, notes = _observation(source, primary, labels, power)
    yield Spectrum(
        axis=SpectralAxis(
            "Angstrom", values=loglam, scale=Scale.LOG10,
            medium=medium_of(primary, source), specsys=frame_of(primary, source),
        ),
        flux=flux, flux_unit=FLUX_UNIT,
        uncertainty=ivar, uncertainty_kind=UncertaintyKind.IVAR,
        flags=flags, flag_scheme=SPPIXMASK, extras=extras, observation=observation,
        provenance=provenance(source, "sdss", hdu=1, pipeline=_pipeline(primary), warnings=notes),
        flux_calibration=FluxCalibration.ABSOLUTE, normalisation=Normalisation.NONE,
    )  # fmt: skip


def _floats(table: Hdu, name: str) -> NDArray[Any]:
    values = table.column(name)
    if values.ndim != 1 or values.dtype.kind != "f":
        raise table.file.bad(
            f"{name} has shape {values.shape} and type {values.dtype}", "bad_shape", table.index
        )
    return values


def _step(primary: Header) -> float:
    step = primary.number("COEFF1")
    return step if step is not None and step > 0 else 1e-4


def _pipeline(primary: Header) -> str | None:
    version = primary.string("RUN2D", "VERS2D", "VERSCOMB")
    return f"idlspec2d {version}" if version else None


Labels = Mapping[str, Any]


def _labels(fits: FitsFile) -> Labels | None:
    """What SPECOBJ (SDSS-I/II) or SPALL (BOSS on) says; nameless where a file was written anew.

    Only values that mean something: SDSS fills gaps with blanks and NaN.
    """
    for hdu in fits.hdus[2:4]:
        if hdu.kind == "table" and hdu.has("Z", "CLASS") and hdu.n_rows:
            cells = hdu.record(_CELLS)
            return {k: v for k, v in cells.items()
                    if v != "" and (type(v) is not float or isfinite(v))}  # fmt: skip
    return None


def _observation(
    source: SourceFile, primary: Header, labels: Labels | None, power: float | None
) -> tuple[Observation, tuple[str, ...]]:
    def cell(*names: str) -> Any:
        return _cell(labels, names)

    notes: list[str] = (
        [] if labels is not None else ["no SPECOBJ or SPALL table: no class and redshift"]
    )
    ra, dec = _position(primary, labels)
    if ra is None:
        notes.append("no coordinates")
    exposures = [hdu.header for hdu in source.fits.hdus[4:]]
    t_min, t_max = time_span(primary, exposures)
    is_sky = str(cell("OBJTYPE", "TARGETTYPE") or "").upper().startswith("SKY")
    found_class = cell("CLASS")
    snr = cell("SN_MEDIAN_ALL")
    observation = Observation(
        obs_collection=source.options.collection or "SDSS",
        obs_id=_obs_id(primary, labels),
        target_class="SKY" if is_sky else found_class or None,
        s_ra=ra, s_dec=dec, t_min=t_min, t_max=t_max,
        t_exptime=primary.number("EXPTIME"), em_res_power=power,
        facility_name=primary.string("TELESCOP") or "SDSS 2.5-M",
        instrument_name=cell("INSTRUMENT") or ("BOSS" if labels is not None else None),
        snr=snr, snr_source=None if snr is None else "SN_MEDIAN_ALL",
        redshift=None if is_sky else cell("Z"), airmass=primary.number("AIRMASS"),
        metadata=_metadata(primary, labels, found_class if is_sky else None),
    )  # fmt: skip
    return observation, tuple(notes)


def _cell(labels: Labels | None, names: tuple[str, ...]) -> Any:
    if labels is not None:
        for name in names:
            if name in labels:
                return labels[name]
    return None


def _position(primary: Header, labels: Labels | None) -> tuple[float | None, float | None]:
    """Of the object. RA and DEC of the primary header are the telescope's, never used."""
    for pair in (("PLUG_RA", "PLUG_DEC"), ("FIBER_RA", "FIBER_DEC"), ("RACAT", "DECCAT")):
        ra, dec = valid_sky(primary.number(pair[0]), primary.number(pair[1]))
        if ra is None and labels is not None:
            ra, dec = _cell(labels, pair[:1]), _cell(labels, pair[1:])
            numbers = isinstance(ra, float) and isinstance(dec, float)
            ra, dec = valid_sky(ra, dec) if numbers else (None, None)
        if ra is not None:
            return ra, dec
    return None, None


def _obs_id(primary: Header, labels: Labels | None) -> str | None:
    """PLATE-MJD-FIBER, or FIELD-MJD-CATALOGID since SDSS-V, as in the survey's file names."""

    def number(key: str, *columns: str) -> int | None:
        value = _cell(labels, columns)
        if value is None:
            value = primary.get(key)
        if isinstance(value, str):
            value = int(value) if value.isascii() and value.strip().isdigit() else None
        return value if isinstance(value, int) and value > 0 else None

    mjd = number("MJD", "MJD")
    field, catalogid = number("FIELDID", "FIELD"), number("CATID", "CATALOGID")
    if mjd and field and catalogid:
        return f"{field:06d}-{mjd}-{catalogid}"
    plate, fiber = number("PLATEID", "PLATE"), number("FIBERID", "FIBERID")
    if mjd and plate and fiber:
        return f"{plate:04d}-{mjd}-{fiber:04d}"
    return None


def _metadata(primary: Header, labels: Labels | None, sky_class: str | None) -> dict[str, Scalar]:
    found = labels or {}
    values: dict[str, Any] = {key: found.get(name) for key, name in _LABELS.items()}
    if values["class_noqso"] is None:
        values["z_noqso"] = None  # the column is filled with 0 where that fit was not made
    if values["specobjid"] is not None:
        values["specobjid"] = str(values["specobjid"])  # text in SPECOBJ, a number in SPALL
    teff = _cell(labels, ("ELODIE_TEFF",))
    if isinstance(teff, float) and teff > 0:  # fitted to stars only; 0 elsewhere
        values["teff"] = teff
        values["logg"] = _cell(labels, ("ELODIE_LOGG",))
        values["feh"] = _cell(labels, ("ELODIE_FEH",))
        values["elodie_sptype"] = _cell(labels, ("ELODIE_SPTYPE",))
    values |= {
        "pipeline_class": sky_class, "mjd": primary.get("MJD"), "nexp": primary.get("NEXP"),
        "helio_rv_kms": primary.number("HELIO_RV"),
        "t_mean_mjd": utc_of_tai(primary.number("TAI")),
    }  # fmt: skip
    return {k: v for k, v in values.items() if isinstance(v, (str, int, float))}


def _recognise_loglam(source: SourceFile) -> int:
    if not source.is_fits:
        return 0
    hdus = source.fits.hdus
    if len(hdus) < 2 or hdus[1].kind != "table" or not hdus[1].has("flux", "loglam", "ivar"):
        return 0
    column = hdus[1].find("loglam")
    return LIKELY if column is not None and column.shape == () else 0


def _read_loglam(source: SourceFile) -> Iterator[Item]:
    table = source.fits[1]
    known = {"flux", "loglam", "ivar"}
    extras = {
        name.lower(): table.column(name)
        for name, column in table.columns.items()
        if name.lower() not in known and column.shape == () and column.code in "EDIJKB"
    }
    gelato = table.name == "SUMMARY" and table.has("model")
    options = source.options
    yield Spectrum(
        axis=SpectralAxis(
            "Angstrom", values=_floats(table, "loglam"), scale=Scale.LOG10,
            medium=options.medium or Medium.UNKNOWN, specsys=options.specsys or SpecSys.UNKNOWN,
        ),
        flux=_floats(table, "flux"), flux_unit=table.unit("flux") or options.flux_unit,
        uncertainty=_floats(table, "ivar"), uncertainty_kind=UncertaintyKind.IVAR, extras=extras,
        observation=Observation(
            obs_collection=options.collection or ("GELATO" if gelato else "loglam-table")
        ),
        provenance=provenance(source, "loglam-table", hdu=1, warnings=("no coordinates",)),
    )  # fmt: skip


READERS: tuple[Reader, ...] = (
    Reader(
        name="sdss",
        title="SDSS/BOSS/eBOSS/SDSS-V spec and spec-lite (coadd; exposures are not ingested)",
        recognise=_recognise,
        read=_read,
        medium="vacuum (documented; VACUUM in the header)",
        frame="HELIOCEN (documented; HELIO_RV was applied)",
        uncertainty="ivar",
        mask="and_mask, SPPIXMASK bits 0-3, 18, 22, 23, 27, 28 bad; or_mask kept as an extra",
        why_own="specutils' loader masks pixels with any and_mask bit and drops the medium",
        source="data.sdss.org/datamodel: BOSS_SPECTRO_REDUX/RUN2D/spectra/PLATE4/spec (HDU 1 "
        "COADD, HDU 2 SPECOBJ or SPALL). The HDUs of single exposures of full files give the "
        "times only: their spectra are not ingested",
    ),
    *PLATE_READERS,
    Reader(
        name="loglam-table",
        title="Table of loglam, flux, ivar as SDSS writes it (GELATO results, cut-outs)",
        recognise=_recognise_loglam,
        read=_read_loglam,
        medium="as declared (the files do not say)",
        frame="as declared (the files do not say)",
        uncertainty="ivar",
        mask="none",
        why_own="specutils has no loader for it",
        source="github.com/TheSkyentist/GELATO: inputs loglam (log10 Å), flux, ivar; SUMMARY HDU",
    ),
)
