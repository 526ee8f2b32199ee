"""ESO Phase 3 one-dimensional spectra: one row of array cells, told apart by their utypes."""

from __future__ import annotations

from collections.abc import Iterator
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
from ..domain.units import parse_unit, spectral_kind
from .eso_columns import SKY, Field, Roles, bad_table, fields_of, roles_of
from .fits import Hdu, Header
from .header_values import metadata, mjd_of, provenance, sky_deg
from .registry import CERTAIN, Item, Reader
from .source import SourceFile

NAME = "eso-sdp"
_FRAMES = {
    "TOPOC": SpecSys.TOPOCENT, "GEOC": SpecSys.GEOCENTR, "HELIO": SpecSys.HELIOCEN,
    "BARYC": SpecSys.BARYCENT, "LSRK": SpecSys.LSRK, "LSRD": SpecSys.LSRD,
    "GALACT": SpecSys.GALACTOC, "SOURCE": SpecSys.SOURCE,
}  # fmt: skip


def recognise(source: SourceFile) -> int:
    """CERTAIN for a Phase 3 spectrum (PRODCATG, or ESO as the publisher, and a table)."""
    if not source.is_fits:
        return 0
    declared = str(source.fits.primary.get("PRODCATG", "")).startswith("SCIENCE.SPECTRUM")
    for hdu in source.fits.hdus[1:4]:  # the standard has it in the first extension
        if hdu.kind == "table" and (declared or _by_eso(hdu)) and _holds_spectrum(hdu):
            return CERTAIN
    return 0


def _by_eso(hdu: Hdu) -> bool:
    return str(hdu.header.get("VOPUB", "")).upper().startswith("ESO")


def _holds_spectrum(hdu: Hdu) -> bool:
    if hdu.kind != "table":
        return False
    text = hdu.header.text
    if "Data.SpectralAxis.Value" in text:
        return True
    named = str(hdu.header.get("VOCLASS", "")).strip().upper().startswith("SPECTRUM")
    return named and "'WAVE" in text and "'FLUX" in text


def read(source: SourceFile) -> Iterator[Item]:
    """One spectrum per row of each spectral table (the standard has one table of one row)."""
    tables = [hdu for hdu in source.fits.hdus[1:] if _holds_spectrum(hdu)]
    if not tables:
        raise DataError(
            "no table holds a spectral axis (TUTYPn Data.SpectralAxis.Value)", code="no_table",
            where=source.where, remedy="fetch the product again from the archive",
        )  # fmt: skip
    for hdu in tables:
        try:
            roles = roles_of(fields_of(hdu), hdu)
            by_pixel = _is_scalar(hdu, roles.wave)
            rows = 1 if by_pixel else hdu.n_rows
            if hdu.n_rows == 0:
                raise bad_table(hdu, "the spectral table has no rows", "no_rows")
        except DataError as error:
            yield error
            continue
        for row in range(rows):
            suffix = "" if len(tables) == 1 and rows == 1 else f"#{hdu.index}.{row}"
            try:
                yield _spectrum(source, hdu, None if by_pixel else row, roles, suffix)
            except DataError as error:
                error.hdu, error.row = hdu.index, row
                yield error


def _is_scalar(hdu: Hdu, field: Field) -> bool:
    column = hdu.find(field.name)
    return column is not None and column.shape == () and column.code not in "PQ"


def _array(hdu: Hdu, row: int | None, field: Field) -> NDArray[Any]:
    column = hdu.column(field.name)
    return np.ascontiguousarray(column if row is None else column[row])


def _spectrum(source: SourceFile, hdu: Hdu, row: int | None, roles: Roles, suffix: str) -> Spectrum:
    # keywords of the primary win: the extension repeats some and adds NELEM, TMID, TELAPSE …
    head = Header(source.fits.primary.text + hdu.header.text)
    warnings = list(roles.warnings)
    wave = _array(hdu, row, roles.wave)
    n_elem = hdu.header.get("NELEM")
    if wave.ndim != 1 or (n_elem is not None and n_elem != wave.size):
        raise bad_table(
            hdu, f"NELEM is {n_elem} but {roles.wave.name} has {wave.shape} elements",
            "mismatched_lengths",
        )  # fmt: skip
    flux = _array(hdu, row, roles.flux)
    error = None if roles.error is None else _array(hdu, row, roles.error)
    if error is not None and bool(np.isnan(error).all()):
        assert roles.error is not None
        warnings.append(f"{roles.error.name} is all NaN: the file gives no errors")
        error = None
    flags, scheme, taken = _flags(hdu, row, roles, error, head, warnings)
    used = {roles.wave.name, roles.flux.name} | taken
    used |= {roles.error.name} if roles.error is not None else set()
    extras = _extras(hdu, row, [f for f in roles.fields if f.name not in used], wave, warnings)
    normalisation = _normalisation(head)
    flux_unit = _flux_unit(source, roles.flux, normalisation, warnings)
    observation = _observation(source, head, suffix)
    if observation.s_ra is None:
        warnings.append("no coordinates")
    return Spectrum(
        axis=_axis(source, hdu, roles.wave, wave, head), flux=flux, uncertainty=error,
        uncertainty_kind=UncertaintyKind.NONE if error is None else UncertaintyKind.STD,
        flags=flags, flag_scheme=scheme, flux_unit=flux_unit, flux_ucd=roles.flux.ucd or None,
        flux_calibration=_calibration(head), normalisation=normalisation, extras=extras,
        observation=observation,
        provenance=provenance(
            source, NAME, hdu=hdu.index, row=row, warnings=tuple(warnings),
            pipeline=head.string("PROCSOFT", "ESO PRO REC1 PIPE ID"),
        ),
    )  # fmt: skip


def _axis(
    source: SourceFile, hdu: Hdu, field: Field, wave: NDArray[Any], head: Header
) -> SpectralAxis:
    unit = field.unit or source.options.wave_unit
    if unit is None or spectral_kind(unit) is None:
        raise bad_table(
            hdu, f"the spectral axis has the unit {unit!r}", "bad_wave_unit",
            remedy="declare it with --wave-unit",
        )  # fmt: skip
    specsys = frame_of(head.string("SPECSYS"))
    if specsys is SpecSys.UNKNOWN and source.options.specsys is not None:
        specsys = source.options.specsys
    medium = _medium(field, spectral_kind(unit))
    if medium is Medium.UNKNOWN and source.options.medium is not None:
        medium = source.options.medium
    return SpectralAxis(unit=unit, values=wave, medium=medium, specsys=specsys)


def frame_of(text: str | None) -> SpecSys:
    """SPECSYS as files spell it (``BARYCENT``, ``barycentric`` …); UNKNOWN if it is not there."""
    word = (text or "").strip().upper()
    for prefix, frame in _FRAMES.items():
        if word.startswith(prefix):
            return frame
    return SpecSys.UNKNOWN


def _medium(field: Field, kind: str | None) -> Medium:
    """SDP standard: ``em.wl;obs.atmos`` is air, ``em.wl`` vacuum; nothing else says."""
    words = [word.strip() for word in field.ucd.split(";")]
    if "em.wl" in words:
        return Medium.AIR if "obs.atmos" in words else Medium.VACUUM
    # frequency and energy do not depend on the medium: λ = c/ν is the vacuum wavelength
    return Medium.VACUUM if kind in {"frequency", "energy"} else Medium.UNKNOWN


def _flags(
    hdu: Hdu,
    row: int | None,
    roles: Roles,
    error: NDArray[Any] | None,
    head: Header,
    warnings: list[str],
) -> tuple[NDArray[Any] | None, FlagScheme | None, set[str]]:
    """(flags, scheme, names of columns used up)."""
    popler = "POPLER" in (head.string("PROCSOFT") or "").upper()
    if roles.quality is not None:
        name = roles.quality.name
        flags = _integers(_array(hdu, row, roles.quality))
        if flags is None:
            warnings.append(f"{name} is not integer: kept as an extra, not used as flags")
        elif (flags == 0).any():
            # the standard: 0 is good, anything else is not; codes are each contributor's own
            return flags, FlagScheme(f"{head.string('INSTRUME') or 'ESO'} {name}"), {name}
        elif (popler or name.upper() == "STATUS") and (flags == 1).any():
            return flags, _popler_status(flags), {name}
        else:
            warnings.append(
                f"{name} never says good (0): its convention is unknown, kept as an extra"
            )
    elif popler and error is not None and (error < 0).any():
        scheme = FlagScheme("UVES_popler error sentinel", {0: "no information (error < 0)"}, 1)
        return (error < 0).astype(np.uint8), scheme, set()
    return None, None, set()


def _popler_status(flags: NDArray[Any]) -> FlagScheme:
    """UVES_popler: 1 = valid, a negative code = clipped, so that the bit below the sign tells."""
    bit = 8 * flags.dtype.itemsize - 2
    return FlagScheme("UVES_popler status", {0: "valid", bit: "clipped (status < 0)"}, 1 << bit)


def _integers(array: NDArray[Any]) -> NDArray[Any] | None:
    """Integers as delivered, or whole numbers stored as floats made integer; None otherwise."""
    if array.dtype.kind in "iub":
        return array
    if array.dtype.kind == "f" and bool(np.isfinite(array).all()):
        whole = array.astype(np.int32)
        if bool((whole == array).all()):
            return whole
    return None


def _extras(
    hdu: Hdu, row: int | None, fields: list[Field], wave: NDArray[Any], warnings: list[str]
) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for field in fields:
        column = hdu.find(field.name)
        if column is None or column.code in "AX":
            continue
        array = _array(hdu, row, field)
        if array.shape == wave.shape:
            plain = field.role == SKY and "sky" not in out
            out["sky" if plain else field.name.lower()] = array
        else:
            warnings.append(f"{field.name} has another length {array.shape}: left out")
    return out


def _normalisation(head: Header) -> Normalisation:
    return {True: Normalisation.CONTINUUM_DIVIDED, False: Normalisation.NONE}.get(
        head.get("CONTNORM"), Normalisation.UNKNOWN
    )


def _calibration(head: Header) -> FluxCalibration:
    word = (head.string("FLUXCAL") or "").upper()
    known = {c.value: c for c in FluxCalibration if c is not FluxCalibration.UNKNOWN}
    return known.get(word, FluxCalibration.UNKNOWN)


def _flux_unit(
    source: SourceFile, flux: Field, normalisation: Normalisation, warnings: list[str]
) -> str | None:
    if flux.unit is None:
        if normalisation is Normalisation.CONTINUUM_DIVIDED:
            return ""
        return source.options.flux_unit
    if parse_unit(flux.unit) is None:
        warnings.append(f"the flux unit {flux.unit!r} is not understood")
        return source.options.flux_unit
    return flux.unit


def _identity(head: Header) -> str | None:
    """The archive's own id; other names are inherited from raw files and not unique."""
    arcfile = head.string("ARCFILE") or ""
    if arcfile.startswith("ADP."):
        return arcfile.removesuffix(".fits")
    return head.string("ORIGFILE") if head.string("P3ORIG") else None


def _observation(source: SourceFile, head: Header, suffix: str) -> Observation:
    ra, dec = sky_deg(head)
    identity = _identity(head)
    instrument = head.string("INSTRUME")
    snr = head.number("SNR")
    power = head.number("SPEC_RES")
    fluxerr = head.number("FLUXERR")
    return Observation(
        obs_collection=source.options.collection or instrument or "ESO-Phase3",
        obs_id=None if identity is None else identity + suffix,
        target_name=head.string("OBJECT"), s_ra=ra, s_dec=dec,
        t_min=mjd_of(head, "MJD-OBS", "DATE-OBS"), t_max=mjd_of(head, "MJD-END"),
        t_exptime=head.number("EXPTIME", "TEXPTIME"),
        em_res_power=power if power is not None and power > 0 else None,
        facility_name=head.string("TELESCOP"), instrument_name=instrument,
        calib_level=3 if head.get("PRODLVL") == 3 or head.get("M_EPOCH") is True else 2,
        snr=snr if snr is not None and snr > 0 else None,
        snr_source="SNR keyword" if snr is not None and snr > 0 else None,
        rv_kms=head.number("ESO DRS CCF RVC", "ESO QC CCF RV"),
        berv_kms=head.number("ESO DRS BERV", "ESO QC BERV"),
        bjd_tdb=head.number("ESO QC BJD"), airmass=_airmass(head),
        obs_creator_did=_did(identity), bib_reference=head.string("REFERENC"),
        metadata=metadata(
            prog_id=head.get("PROG_ID"), ob_id=head.get("OBID1"), title=head.get("TITLE"),
            p3orig=head.get("P3ORIG"), origfile=head.get("ORIGFILE"),
            raw_file=head.get("PROV1"), n_combine=head.get("NCOMBINE"),
            dispelem=head.get("DISPELEM"), obstech=head.get("OBSTECH"),
            tmid_mjd=head.number("TMID"), telapse_s=head.number("TELAPSE"),
            texptime_s=head.number("TEXPTIME"), extended=head.get("EXT_OBJ"),
            total_flux=head.get("TOT_FLUX"), lamrms=head.number("LAMRMS"),
            fluxerr_percent=fluxerr if fluxerr is not None and fluxerr >= 0 else None,
            drs_bjd=head.number("ESO DRS BJD"),
        ),
    )  # fmt: skip


def _did(identity: str | None) -> str | None:
    return f"ivo://eso.org/ID?{identity}" if identity and identity.startswith("ADP.") else None


def _airmass(head: Header) -> float | None:
    ends = [head.number(f"ESO TEL AIRM {end}") for end in ("START", "END")]
    known = [x for x in ends if x is not None and x >= 1.0]
    return sum(known) / len(known) if known else None


READERS = (
    Reader(
        name=NAME,
        title="ESO Phase 3 spectra (HARPS, FEROS, UVES, X-shooter, GIRAFFE, ESPRESSO …)",
        recognise=recognise,
        read=read,
        medium="air if TUCD says em.wl;obs.atmos, vacuum if em.wl, else unknown",
        frame="SPECSYS",
        uncertainty="std; none where the column is all NaN (HARPS, FEROS)",
        mask="QUAL: 0 is good; UVES_popler STATUS: 1 is valid, negative is clipped",
        why_own="specutils has no loader for Phase 3 tables",
        source="ESO Science Data Products Standard (GEN-SPE-ESO-33000-5335) §5; "
        "IVOA Spectral Data Model 1.1/2.0 utypes",
    ),
)
