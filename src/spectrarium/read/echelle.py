"""Échelle pipelines of single instruments: IGRINS PLP, HPF Goldilocks, UVES_popler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import (
    EchelleSpectrum,
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from .fits import Hdu
from .header_values import metadata, provenance, sky_deg
from .image_header import observation
from .iraf_wcs import multispec, wat
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile

# ---------------------------------------------------------------- IGRINS


def recognise_igrins(source: SourceFile) -> int:
    """CERTAIN for a 2-D image whose instrument is IGRINS."""
    if not source.is_fits:
        return 0
    hdu = source.fits[0]
    return CERTAIN if len(hdu.axes) == 2 and hdu.header.string("INSTRUME") == "IGRINS" else 0


def read_igrins(source: SourceFile) -> Iterator[Item]:
    """The orders of one band (flux in HDU 0, wavelengths in HDU 1), or what else it is."""
    fits = source.fits
    flux_hdu = fits[0]
    wave_hdu = fits.named("WAVELENGTH") or (fits[1] if len(fits) > 1 else None)
    if wave_hdu is None or wave_hdu.kind != "image":
        yield NotASpectrum(_igrins_companion(flux_hdu), hdu=0)
        return
    flux, wave = flux_hdu.image(), wave_hdu.image()
    if wave.shape != flux.shape:
        raise _mismatch(source, flux.shape, wave.shape)
    variance, notes = _igrins_variance(source, flux.shape)
    header = flux_hdu.header
    noted = observation(source, header, "IGRINS")
    ra, dec = sky_deg(header, ("OBJRA", "TELRA"), ("OBJDEC", "TELDEC"))
    date, band = header.string("DATE-OBS"), header.string("BAND")
    obs = replace(
        noted.observation, s_ra=ra, s_dec=dec, airmass=header.number("AMSTART"),
        obs_id=f"IGRINS.{date}_{band}" if date else None, em_res_power=45_000.0,
        metadata=metadata(band=band, programme=header.string("PROGID")),
    )  # fmt: skip
    yield EchelleSpectrum(
        axis=SpectralAxis(unit=_igrins_unit(source, wave), values=wave, medium=Medium.VACUUM,
                          specsys=SpecSys.TOPOCENT),
        flux=flux, uncertainty=variance, flux_unit=source.options.flux_unit,
        uncertainty_kind=UncertaintyKind.NONE if variance is None else UncertaintyKind.VAR,
        flux_calibration=FluxCalibration.UNCALIBRATED,
        order_numbers=_igrins_orders(source, flux_hdu, flux.shape[0]), trace=band, observation=obs,
        provenance=provenance(source, "igrins", hdu=0, warnings=notes),
    )  # fmt: skip


def _igrins_companion(hdu: Hdu) -> str:
    values = hdu.image()
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 1.3 and finite.max() < 2.7:
        return "IGRINS wavelength map"
    if finite.size and finite.min() >= 0:
        return "IGRINS variance or S/N array of a spectrum file"
    return "IGRINS array without wavelengths"


def _igrins_variance(
    source: SourceFile, shape: tuple[int, ...]
) -> tuple[NDArray[Any] | None, tuple[str, ...]]:
    """The pipeline's ``….variance.fits`` beside ``….spec.fits``."""
    stem, dot, _ = source.name.rpartition(".spec")
    if not dot:
        return None, ()
    name = f"{stem}.variance.fits"
    try:
        other = source.companion(name)
        if other is None:
            return None, (f"{name} is not beside the file: no uncertainty",)
        variance = other.fits[0].image()
    except DataError as error:
        return None, (f"{name} cannot be read: {error.what}",)
    if variance.shape != shape:
        return None, (f"{name} has shape {variance.shape}, not {shape}",)
    return variance, ()


def _igrins_unit(source: SourceFile, wave: NDArray[Any]) -> str:
    """The pipeline writes µm (older versions nm) and no unit: H and K tell them apart."""
    middle = float(np.nanmedian(wave))
    if 1.3 < middle < 2.7:
        return "um"
    if 1300 < middle < 2700:
        return "nm"
    raise DataError(
        f"wavelengths near {middle:g} are neither µm nor nm of the H or K band",
        code="bad_wave_unit", where=source.where, hdu=1, remedy="fetch the file again",
    )  # fmt: skip


def _igrins_orders(source: SourceFile, hdu: Hdu, n: int) -> tuple[int, ...]:
    specs = multispec(wat(hdu.header, 2), source.where, 0)
    beams = tuple(specs[i].beam for i in range(1, n + 1) if i in specs)
    return beams if len(set(beams)) == n else tuple(range(n))


# ---------------------------------------------------------------- HPF


def recognise_hpf(source: SourceFile) -> int:
    """CERTAIN for named science fluxes and wavelengths of HPF."""
    if not source.is_fits or source.fits.primary.string("INSTRUME") != "HPF":
        return 0
    named = source.fits.named
    return CERTAIN if named("SCI FLUX") and named("SCI WAVL") else 0


def read_hpf(source: SourceFile) -> Iterator[Item]:
    """Science and sky fibre as separate spectra; the calibration fibre is none."""
    calibration = (source.fits.primary.string("OBSTYPE") or "").lower().startswith("cal")
    for fibre in ("Sci", "Sky", "Cal"):
        flux_hdu = source.fits.named(f"{fibre.upper()} FLUX")
        if flux_hdu is None:
            continue
        if calibration or fibre == "Cal":
            yield NotASpectrum(f"HPF {fibre} fibre, calibration light", hdu=flux_hdu.index)
            continue
        try:
            yield _hpf_fibre(source, fibre, flux_hdu)
        except DataError as error:
            error.hdu = flux_hdu.index if error.hdu is None else error.hdu
            yield error


def _hpf_fibre(source: SourceFile, fibre: str, flux_hdu: Hdu) -> Spectrum:
    wave_hdu = source.fits.named(f"{fibre.upper()} WAVL")
    if wave_hdu is None:
        raise DataError(f"no '{fibre} Wavl' for '{fibre} Flux'", code="no_dispersion",
                        where=source.where, remedy="fetch the file again")  # fmt: skip
    flux, wave = flux_hdu.image(), wave_hdu.image()
    if wave.shape != flux.shape:
        raise _mismatch(source, flux.shape, wave.shape)
    error = source.fits.named(f"{fibre.upper()} ERROR")
    variance = source.fits.named(f"{fibre.upper()} VARIANCE")
    kind = UncertaintyKind.NONE
    if error is not None or variance is not None:
        kind = UncertaintyKind.STD if error is not None else UncertaintyKind.VAR
    uncertainty = error or variance
    header = source.fits.primary
    noted = observation(source, header, "HPF")
    # RA is in hours in these headers: the queue's sexagesimal position is unambiguous
    ra, dec = sky_deg(header, ("QRA",), ("QDEC",))
    date = header.string("DATE-OBS")
    berv, drift = header.number("BRVCORR"), header.number("LRVCORR")
    obs = replace(
        noted.observation, s_ra=ra, s_dec=dec, em_res_power=55_000.0,
        obs_id=f"HPF.{date}_{fibre}" if date else None,
        target_class="sky" if fibre == "Sky" else None,
        berv_kms=None if berv is None else berv / 1000.0,
        metadata=metadata(fibre=fibre, drift_ms=drift, programme=header.string("QPROG")),
    )  # fmt: skip
    return EchelleSpectrum(
        axis=SpectralAxis(unit="Angstrom", values=wave, medium=Medium.VACUUM,
                          specsys=SpecSys.TOPOCENT),
        flux=flux, flux_unit="electron / s", flux_calibration=FluxCalibration.UNCALIBRATED,
        uncertainty=None if uncertainty is None else uncertainty.image(), uncertainty_kind=kind,
        order_numbers=tuple(range(flux.shape[0])), trace=fibre, observation=obs,
        provenance=provenance(source, "hpf", hdu=flux_hdu.index),
    )  # fmt: skip


# ---------------------------------------------------------------- UVES_popler

_POPLER_FLAGS = FlagScheme("UVES_popler", {0: "NO_INFORMATION", 1: "STATUS_NOT_VALID"})
_POPLER_EXTRAS = {3: "expected_fluctuation", 4: "continuum", 5: "status", 6: "n_before_clip",
                  7: "n_after_clip", 8: "chi2_before_clip", 9: "chi2_after_clip"}  # fmt: skip


def recognise_popler(source: SourceFile) -> int:
    """CERTAIN for an image whose rows UVES_popler names."""
    if not source.is_fits:
        return 0
    hdu = source.fits[0]
    return CERTAIN if len(hdu.axes) == 2 and "UP_ARR01" in hdu.header else 0


def read_popler(source: SourceFile) -> Iterator[Item]:
    """The combined spectrum: normalised flux and error, continuum, status as extras."""
    hdu = source.fits[0]
    header = hdu.header
    rows = hdu.image()
    crval, cdelt = header.number("CRVAL1"), header.number("CD1_1", "CDELT1")
    if rows.shape[0] < 4 or crval is None or not cdelt:
        raise DataError(
            f"{rows.shape[0]} rows, at least 4 and a dispersion are needed", code="wrong_shape",
            where=source.where, hdu=0, remedy="fetch the file again",
        )  # fmt: skip
    log = header.get("DC-FLAG") == 1
    crpix = header.number("CRPIX1")
    flags = (rows[1] < 0).astype(np.uint8)
    if rows.shape[0] > 4:
        flags |= (rows[4] != 1).astype(np.uint8) << 1
    noted = observation(source, header, "UVES_popler")
    yield Spectrum(
        axis=SpectralAxis(
            unit="Angstrom", wcs=LinearWCS(crval, cdelt, 1.0 if crpix is None else crpix,
                                           rows.shape[1]),
            scale=Scale.LOG10 if log else Scale.LINEAR,
            medium=Medium.VACUUM, specsys=SpecSys.HELIOCEN,
        ),
        flux=rows[0], uncertainty=rows[1], uncertainty_kind=UncertaintyKind.STD,
        flags=flags, flag_scheme=_POPLER_FLAGS, flux_unit="",
        flux_calibration=FluxCalibration.NORMALIZED,
        normalisation=Normalisation.CONTINUUM_DIVIDED,
        extras={name: rows[i - 1] for i, name in _POPLER_EXTRAS.items() if i <= rows.shape[0]},
        observation=replace(noted.observation, redshift=header.number("UP_ZEM"), calib_level=3),
        provenance=provenance(source, "uves-popler", hdu=0, pipeline="UVES_popler",
                              warnings=noted.warnings),
    )  # fmt: skip


def _mismatch(source: SourceFile, flux: tuple[int, ...], wave: tuple[int, ...]) -> DataError:
    return DataError(
        f"flux has shape {flux} but wavelength has {wave}", code="mismatched_lengths",
        where=source.where, remedy="the file is inconsistent: fetch it again",
    )  # fmt: skip


READERS = (
    Reader(
        name="igrins",
        title="IGRINS Pipeline Package: spec (with its variance file)",
        recognise=recognise_igrins,
        read=read_igrins,
        medium="vacuum",
        frame="topocentric",
        uncertainty="variance from the .variance.fits beside it, else none",
        mask="none (NaN)",
        why_own="specutils has no loader",
        source="IGRINS PLP (Lee & Gullikson 2017, doi:10.5281/zenodo.845059): orders in HDU 0, "
        "wavelengths in µm in HDU 1",
    ),
    Reader(
        name="hpf",
        title="HPF Goldilocks: science and sky fibre",
        recognise=recognise_hpf,
        read=read_hpf,
        medium="vacuum",
        frame="topocentric (BRVCORR and LRVCORR are in the header, not applied)",
        uncertainty="std; 0 where masked",
        mask="error 0",
        why_own="specutils has no loader",
        source="Goldilocks documentation (Zeimann, HET): vacuum Å, e-/s, zeros are masked pixels; "
        "orders are numbered from 0 as there",
    ),
    Reader(
        name="uves-popler",
        title="UVES_popler combined spectrum",
        recognise=recognise_popler,
        read=read_popler,
        medium="vacuum",
        frame="heliocentric",
        uncertainty="std; negative = no information (flagged)",
        mask="error < 0, or status not 1",
        why_own="specutils takes the log10 axis for Å and the nine rows for nine spectra",
        source="UVES_popler (Murphy 2016, doi:10.5281/zenodo.56158); Murphy et al. 2019, MNRAS "
        "482, 3458: vacuum, heliocentric",
    ),
)
