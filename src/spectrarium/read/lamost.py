"""LAMOST: low-resolution spectra in both layouts, and the medium-resolution survey."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Scale, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import Spectrum
from .fits import Hdu, Header
from .header_values import metadata, valid_sky
from .lamost_common import (
    ANDMASK,
    PILOT_MASK,
    bits,
    build,
    class_of,
    frame,
    known,
    labels_of,
    minutes_to_utc,
    stem_of,
    times,
)
from .registry import CERTAIN, Item, Reader
from .source import SourceFile

_EPOCH = re.compile(r"([BR])-?(\d{8})(?:\D.*)?")
_SNR_CAP = 99.0
"""The pilot's pipeline wrote 99.00 for every larger signal-to-noise ratio."""
_RESOLVING_POWER = {"x2/3": 1800.0, "": 1800.0}
"""By slit mode (SLIT_MOD); the documentation gives it for 2/3 slits only."""


def _telescope(source: SourceFile) -> bool:
    return source.is_fits and "LAMOST" in (source.fits.primary.string("TELESCOP") or "").upper()


def _cells(hdu: Hdu) -> bool:
    return hdu.kind == "table" and hdu.has("flux", "ivar")


def _recognise_lrs(source: SourceFile) -> int:
    if not _telescope(source):
        return 0
    hdus = source.fits.hdus
    if len(hdus[0].axes) == 2:
        return CERTAIN if hdus[0].axes[1] == 5 and "COEFF0" in hdus[0].header else 0
    return CERTAIN if any(hdu.name == "COADD" and _cells(hdu) for hdu in hdus[1:3]) else 0


def _recognise_mrs(source: SourceFile) -> int:
    if not _telescope(source):
        return 0
    return CERTAIN if any(_arm(hdu) and _cells(hdu) for hdu in source.fits.hdus[1:]) else 0


def _arm(hdu: Hdu) -> str | None:
    """``B``/``R`` of COADD_B, COADD_R, B-84420148 …; None for anything else."""
    name = hdu.name
    if name in ("COADD_B", "COADD_R"):
        return name[-1]
    match = _EPOCH.fullmatch(name)
    return match[1] if match else None


def _read_lrs(source: SourceFile) -> Iterator[Item]:
    fits = source.fits
    header = fits.primary
    if len(fits[0].axes) == 2:
        yield _from_image(source, header)
        return
    hdu = next(h for h in fits.hdus[1:3] if h.name == "COADD" and _cells(h))
    yield _from_table(source, header, hdu, "lamost-lrs", _observation(source, header, "LAMOST-LRS"))


def _from_image(source: SourceFile, header: Header) -> Spectrum:
    """Old layout: rows flux, ivar, (wavelength or normalised flux), andmask, ormask.

    The third row's meaning changed between releases without a change of shape, so that the
    wavelength always comes from COEFF0 and COEFF1, by which the pipeline built that row.
    """
    rows = source.fits[0].image()
    zero, step = header.number("COEFF0"), header.number("COEFF1")
    if zero is None or not step:
        raise DataError("the header has no COEFF0/COEFF1, so no wavelength", code="no_wavelength",
                        where=source.where, hdu=0, remedy="fetch the file again")  # fmt: skip
    contents = (header.string("EXTEN0") or "").upper()
    pilot = "SUBCONT" in contents
    extras: dict[str, NDArray[Any]] = {"or_mask": bits(rows[4], source, 0)}
    if "WAVELENGTH" not in contents:
        extras["continuum_normalised" if pilot else "row_2"] = rows[2]
    return build(
        source, header,
        SpectralAxis("Angstrom", wcs=LinearWCS(zero, step, 1.0, rows.shape[1]), scale=Scale.LOG10,
                     **frame(source, header, header)),
        flux=rows[0], ivar=rows[1], flags=bits(rows[3], source, 0), extras=extras,
        scheme=PILOT_MASK if pilot else ANDMASK, reader="lamost-lrs", hdu=0,
        observation=_observation(source, header, "LAMOST-LRS"),
    )  # fmt: skip


def _from_table(
    source: SourceFile, header: Header, hdu: Hdu, reader: str, observation: Observation
) -> Spectrum:
    """New layout and MRS: one row of array cells, or one row a pixel."""

    def values(name: str) -> NDArray[Any]:
        column = hdu.column(name)
        column = column.reshape(-1) if hdu.n_rows == 1 else column
        if column.ndim != 1 or column.dtype.kind not in "iuf":
            raise DataError(
                f"{name} has shape {column.shape} and type {column.dtype}", code="bad_shape",
                where=source.where, hdu=hdu.index, remedy="fetch the file again",
            )  # fmt: skip
        return column

    if hdu.has("loglam"):
        wave, scale = values("loglam"), Scale.LOG10
    elif hdu.has("wavelength"):
        wave, scale = values("wavelength"), Scale.LINEAR
    else:
        raise DataError(
            "neither LOGLAM nor WAVELENGTH is there", code="no_column", where=source.where,
            hdu=hdu.index, remedy="fetch the file again",
        )  # fmt: skip
    mask = next((m for m in ("andmask", "and_mask", "pixmask", "mask") if hdu.has(m)), None)
    names = {"ormask": "or_mask", "or_mask": "or_mask"}
    extras = {key: bits(values(name), source, hdu.index) for name, key in names.items()
              if hdu.has(name)}  # fmt: skip
    extras |= {
        name: values(name)
        for name in ("normalization", "continuum")
        if hdu.has(name) and values(name).shape == wave.shape
    }
    return build(
        source, header,
        SpectralAxis("Angstrom", values=wave, scale=scale, **frame(source, hdu.header, header)),
        flux=values("flux"), ivar=values("ivar"),
        flags=None if mask is None else bits(values(mask), source, hdu.index), extras=extras,
        scheme=ANDMASK, reader=reader, hdu=hdu.index, observation=observation,
    )  # fmt: skip


def _observation(source: SourceFile, header: Header, collection: str) -> Observation:
    ra, dec = valid_sky(header.number("RA"), header.number("DEC"))
    t_min, t_max = times(header)
    snr = known(header, "SNRR", "SN_R")
    capped = "SNRR" not in header and snr == _SNR_CAP
    return Observation(
        obs_collection=source.options.collection or collection,
        obs_id=stem_of(header), target_name=header.string("DESIG", "OBJNAME"),
        target_class=class_of(header), s_ra=ra, s_dec=dec, t_min=t_min, t_max=t_max,
        t_exptime=known(header, "EXPTIME"),
        em_res_power=_RESOLVING_POWER.get(header.string("SLIT_MOD") or ""),
        facility_name=header.string("TELESCOP") or "LAMOST", instrument_name="LAMOST LRS",
        snr=None if capped else snr,
        snr_source=None if snr is None or capped else "SNRR" if "SNRR" in header else "SN_R",
        redshift=known(header, "Z"), metadata=labels_of(header),
    )  # fmt: skip


def _read_mrs(source: SourceFile) -> Iterator[Item]:
    header = source.fits.primary
    for hdu in source.fits.hdus[1:]:
        arm = _arm(hdu)
        if arm is None and not _cells(hdu):
            continue  # Information: a table about the exposures
        try:
            if arm is None or not _cells(hdu):
                what = f"the arm in HDU {hdu.name!r}" if arm else "an arm of an unknown name"
                lacks = "" if arm is None else " lacks FLUX or IVAR"
                raise DataError(f"{what}{lacks}: the file is damaged", code="bad_arm",
                                where=source.where, remedy="fetch the file again")  # fmt: skip
            observation = _mrs_observation(source, header, hdu, arm)
            yield _from_table(source, header, hdu, "lamost-mrs", observation)
        except DataError as error:
            error.hdu = hdu.index
            yield error


def _mrs_observation(source: SourceFile, header: Header, hdu: Hdu, arm: str) -> Observation:
    own = hdu.header
    ra, dec = valid_sky(header.number("RA"), header.number("DEC"))
    stem = stem_of(header)
    match = _EPOCH.fullmatch(hdu.name)
    exptime = known(own, "EXPTIME") or known(header, f"EXPT_{arm}", "EXPTIME")
    if match:
        t_min = minutes_to_utc(own.number("LMJM") or float(match[2]))
        t_max = t_min + exptime / 86_400.0 if t_min is not None and exptime else None
    else:
        t_min, t_max = times(own, header)
    snr = known(own, "SNR")
    return Observation(
        obs_collection=source.options.collection or "LAMOST-MRS",
        obs_id=None if stem is None else f"{stem}:{hdu.name}",
        target_name=header.string("DESIG", "OBJNAME"), target_class=class_of(header),
        s_ra=ra, s_dec=dec, t_min=t_min, t_max=t_max, t_exptime=exptime, em_res_power=7500.0,
        facility_name=header.string("TELESCOP") or "LAMOST", instrument_name="LAMOST MRS", snr=snr,
        snr_source=None if snr is None else "SNR", redshift=known(header, "Z"),
        metadata=labels_of(header) | metadata(
            arm=arm, coadd=match is None, lmjm=own.get("LMJM"),
            helio_rv_kms=known(own, "HELIO_RV"), lamplist=own.string("LAMPLIST"),
        ),
    )  # fmt: skip


_FRAME = "HELIOCEN (documented; HELIO in the header)"
_WHY = "specutils has no LAMOST loader"
READERS: tuple[Reader, ...] = (
    Reader(
        name="lamost-lrs",
        title="LAMOST low resolution: five-row image (pilot to DR7) and COADD table (DR8 on)",
        recognise=_recognise_lrs,
        read=_read_lrs,
        medium="vacuum (documented; VACUUM in the header)",
        frame=_FRAME,
        uncertainty="ivar",
        mask="ANDMASK, any bit bad; ORMASK kept as an extra",
        why_own=_WHY,
        source="LAMOST DR1-DR9 LRS data production description; lamost.org pilot data, FITS files."
        " Flux is relative. Wavelengths of images come from COEFF0/COEFF1",
    ),
    Reader(
        name="lamost-mrs",
        title="LAMOST medium resolution: COADD_B, COADD_R and single exposures, each a spectrum",
        recognise=_recognise_mrs,
        read=_read_mrs,
        medium="vacuum (documented)",
        frame=_FRAME,
        uncertainty="ivar",
        mask="ANDMASK of coadds, PIXMASK of exposures, any bit bad; ORMASK kept as an extra",
        why_own=_WHY,
        source="LAMOST DR6-DR9 MRS data production description; Zhang et al. 2021, ApJS 256, 14",
    ),
)
