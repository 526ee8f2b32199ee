"""APOGEE apStar (combined and visit spectra) and aspcapStar (normalised): log-λ, rest frame."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import FluxCalibration, Normalisation, Spectrum, UncertaintyKind
from .apogee_values import (
    ERR_BAD,
    ERRORMASK,
    FLUX_UNIT,
    PIXMASK,
    RESOLVING_POWER,
    apogee_provenance,
    extras,
    flag_sentinels,
    image,
    magnitude,
    optional,
    positive,
    target_class,
    templates,
    velocity,
)  # fmt: skip
from .fits import FitsFile, Hdu
from .header_values import metadata, mjd_of, sky_deg
from .registry import Item
from .source import SourceFile


def read_star(source: SourceFile) -> Iterator[Item]:
    """The combined spectrum, then each visit resampled to the rest frame.

    Rows: 0 combined (weighted pixel by pixel), 1 combined (weighted as a whole), 2 … visits; a
    star with one visit has a single row, or none but the wavelength axis.
    """
    fits = source.fits
    shape = fits[1].shape
    if len(shape) not in (1, 2) or 0 in shape:
        raise fits.bad(f"HDU 1 has shape {shape}, (rows, pixels) was expected", hdu=1)
    arrays = {
        "flux": fits[1].image(),
        "error": image(fits, 2, shape),
        "mask": image(fits, 3, shape),
    }
    arrays = {k: np.atleast_2d(v) for k, v in (arrays | extras(fits, shape, 4)).items()}
    axis = _log_axis(fits[1], shape[-1])
    n_rows = len(arrays["flux"])
    for row in (0, *range(2, n_rows)):
        try:
            yield _star_row(source, row, axis, arrays)
        except DataError as error:
            error.where, error.hdu, error.row = source.where, 1, row
            yield error
    visits = fits.primary.number("NVISITS")
    if n_rows > 1 and visits is not None and visits + 2 > n_rows:
        yield DataError(
            f"NVISITS = {visits:g}, but HDU 1 has {n_rows} rows", code="missing_rows",
            where=source.where, hdu=1, remedy="fetch the file again",
        )  # fmt: skip


def _star_row(
    source: SourceFile, row: int, axis: SpectralAxis, arrays: dict[str, NDArray[Any]]
) -> Spectrum:
    cells = {name: array[row].copy() for name, array in arrays.items()}
    flux, error, mask = cells.pop("flux"), cells.pop("error"), cells.pop("mask")
    if row == 0 and len(arrays["flux"]) > 1:
        # row 1 is the same data with other weights: kept beside it, not as a second observation
        cells["flux_global"] = arrays["flux"][1].copy()
        cells["error_global"] = arrays["error"][1].copy()
        # mask rows 0 and 1 are the OR and the AND over visits: a pixel that one visit lost is
        # still measured by the others, so only the AND makes a combined pixel bad
        cells["mask_or"], mask = mask, arrays["mask"][1].copy()
    observation = _star_observation(source, row)
    return Spectrum(
        axis=axis,
        flux=flux,
        uncertainty=error,
        uncertainty_kind=UncertaintyKind.STD,
        flags=flag_sentinels(mask, error),
        flag_scheme=PIXMASK,
        flux_unit=FLUX_UNIT,
        flux_calibration=FluxCalibration.ABSOLUTE,
        normalisation=Normalisation.NONE,
        extras=MappingProxyType(cells),
        observation=observation,
        provenance=apogee_provenance(source, "apogee-star", observation, hdu=1, row=row),
    )


def _log_axis(hdu: Hdu, n: int) -> SpectralAxis:
    start, step = hdu.header.number("CRVAL1"), hdu.header.number("CDELT1", "CD1_1")
    if start is None or step is None:
        raise DataError("no CRVAL1 and CDELT1", code="no_wavelength", hdu=hdu.index,
                        where=hdu.file.where, remedy="fetch the file again")  # fmt: skip
    wcs = LinearWCS(start, step, hdu.header.number("CRPIX1") or 1.0, n)
    return SpectralAxis(
        unit="Angstrom", wcs=wcs, scale=Scale.LOG10, medium=Medium.VACUUM, specsys=SpecSys.SOURCE
    )


def _star_observation(source: SourceFile, row: int) -> Observation:
    h = source.fits.primary
    ra, dec = sky_deg(h)
    visit = max(0, row - 1)  # 0 for the combined spectrum, else the 1-based number of the visit
    one = visit or (1 if h.number("NVISITS") == 1 else 0)
    keys = (f"VHELIO{visit}", f"VHBARY{visit}") if visit else ("VHELIO", "VHBARY", "OBSVHELI")
    snr_key = f"SNRVIS{visit}" if visit else "SNR"
    mjd = mjd_of(h, f"JD{one}", f"DATE{one}") if one else None
    name = h.string("OBJID")
    site = "-".join(x for x in (h.string("TELESCOP"), h.string("FIELD") or h.string("LOCID")) if x)
    file = (h.string(f"SFILE{visit}") or f"visit{visit}").rsplit("/", 1)[-1]
    parts = [site, name, file.removesuffix(".fits")] if visit else [site, name]
    return Observation(
        obs_collection=source.options.collection or "APOGEE-star",
        obs_id="-".join(p for p in parts if p) if name else None,
        target_name=name,
        target_class=target_class(h) or "STAR",
        s_ra=ra, s_dec=dec, t_min=mjd,
        em_res_power=RESOLVING_POWER,
        facility_name=h.string("TELESCOP"), instrument_name="APOGEE",
        calib_level=3,
        snr=positive(h, snr_key), snr_source=snr_key if positive(h, snr_key) else None,
        rv_kms=velocity(h, *keys),
        berv_kms=velocity(h, f"BC{one}") if one else None,
        metadata=MappingProxyType(metadata(
            nvisits=h.get("NVISITS"), field=h.string("FIELD"), location_id=h.get("LOCID"),
            starflag=h.get(f"FLAG{visit}" if visit else "STARFLAG"),
            vscatter=h.number("VSCATTER", "OVSCAT"), hmag=magnitude(h), **templates(h),
        )),
    )  # fmt: skip


def aspcap_table(fits: FitsFile) -> Hdu | None:
    """The table of ASPCAP's parameters, which only aspcapStar files have."""
    for hdu in fits.hdus[3:]:
        if hdu.kind == "table" and hdu.has("APOGEE_ID", "FPARAM"):
            return hdu
    return None


def read_aspcap(source: SourceFile) -> Iterator[Item]:
    """The continuum-normalised spectrum that ASPCAP fitted; its best model is an extra."""
    fits = source.fits
    flux = fits[1].image()
    if flux.ndim != 1:
        raise fits.bad(f"HDU 1 has shape {flux.shape}, (pixels,) was expected", hdu=1)
    error = image(fits, 2, flux.shape)
    with np.errstate(invalid="ignore"):
        nothing = ~((error > 0) & (error < ERR_BAD))
    model = optional(fits, 3, flux.shape)
    observation = _aspcap_observation(source)
    yield Spectrum(
        axis=_log_axis(fits[1], flux.size),
        flux=flux,
        uncertainty=error,
        uncertainty_kind=UncertaintyKind.STD,
        flags=nothing.astype(np.uint8),
        flag_scheme=ERRORMASK,
        flux_unit="",
        flux_calibration=FluxCalibration.NORMALIZED,
        normalisation=Normalisation.CONTINUUM_DIVIDED,
        extras=MappingProxyType({} if model is None else {"model": model}),
        observation=observation,
        provenance=apogee_provenance(source, "apogee-aspcap", observation, hdu=1),
    )


def _aspcap_observation(source: SourceFile) -> Observation:
    fits, h = source.fits, source.fits.primary
    table = aspcap_table(fits)
    assert table is not None
    ra, dec = sky_deg(h)
    name = h.string("OBJID") or table.scalar("APOGEE_ID")
    # FPARAM: Teff, log g, log vmicro, [M/H], [C/M], [N/M], [α/M], log vsini
    raw = table.column("FPARAM")[0] if table.n_rows else ()
    labels = [float(x) if x > -999 else None for x in np.ravel(raw)]
    labels += [None] * (7 - len(labels))
    site = "-".join(x for x in (h.string("TELESCOP"), h.string("FIELD") or h.string("LOCID")) if x)
    return Observation(
        obs_collection=source.options.collection or "APOGEE-aspcap",
        obs_id=("-".join(x for x in (site, name) if x)) or None,
        target_name=name, target_class="STAR", s_ra=ra, s_dec=dec,
        em_res_power=RESOLVING_POWER,
        facility_name=h.string("TELESCOP"), instrument_name="APOGEE", calib_level=3,
        snr=positive(h, "SNR"), snr_source="SNR" if positive(h, "SNR") else None,
        rv_kms=velocity(h, "VHELIO", "VHBARY"),
        metadata=MappingProxyType(metadata(
            teff=labels[0], logg=labels[1], feh=labels[3], alpha_m=labels[6],
            aspcapflag=table.scalar("ASPCAPFLAG"), starflag=table.scalar("STARFLAG"),
            nvisits=h.get("NVISITS"), vscatter=h.number("VSCATTER"), hmag=magnitude(h),
        )),
    )  # fmt: skip
