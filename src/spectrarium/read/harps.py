"""HARPS and its family (HARPS-N, SOPHIE, CORALIE): s1d and e2ds of the classical DRS.

The files of the newer, ESPRESSO-like DRS are in `espresso_drs.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import (
    EchelleSpectrum,
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
)
from .espresso_drs import READERS as ESPRESSO_READERS
from .fits import Hdu, Header
from .harps_header import drs_observation, fibre, numbered, pipeline
from .header_values import provenance
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile

_PREFIXES = ("ESO", "TNG", "OHP")
_GAP = FlagScheme("s1d", {0: "NO_DATA"})
_MIN_GAP = 32
"""Pixels of exact zero in a row that are a gap (between the CCDs: ~3295), not a spectrum."""
_SOAP = ("PROF0", "SIGMA0", "WIDTH0", "LIMBA", "VROT")
_LAMPS = ("WAVE", "LAMP", "THAR", "FP", "DARK", "BIAS", "LED", "FLAT")


def recognise(source: SourceFile) -> int:
    """CERTAIN for an image with the keywords of the DRS in its primary header."""
    if not source.is_fits:
        return 0
    hdu = source.fits[0]
    if not hdu.axes:
        return 0
    if _prefix(hdu.header) or (len(hdu.axes) == 1 and all(k in hdu.header for k in _SOAP)):
        return CERTAIN
    return 0


def _prefix(header: Header) -> str | None:
    """``ESO``, ``TNG`` or ``OHP``, the observatory under which the DRS wrote its keywords."""
    for prefix in _PREFIXES:
        if f"HIERARCH {prefix} DRS ".encode() in header.raw:
            return prefix
    return None


def read(source: SourceFile) -> Iterator[Item]:
    """The s1d or e2ds spectrum, or what else the DRS wrote: CCF, bisector, blaze, wavelengths."""
    hdu = source.fits[0]
    header = hdu.header
    prefix = _prefix(header)
    if prefix is None:
        yield NotASpectrum("simulated CCF (SOAP)", hdu=0)
        return
    what = _other_product(hdu, prefix)
    if what:
        yield NotASpectrum(f"{header.string('INSTRUME') or 'HARPS'} {what}", hdu=0)
    elif len(hdu.axes) == 1:
        yield _s1d(source, hdu, prefix)
    elif len(hdu.axes) == 2:
        yield _e2ds(source, hdu, prefix)
    else:
        raise DataError(
            f"a DRS product of shape {hdu.shape} is neither s1d nor e2ds",
            code="wrong_shape", where=source.where, hdu=0, remedy="fetch the s1d or e2ds file",
        )  # fmt: skip


def _other_product(hdu: Hdu, prefix: str) -> str | None:
    header = hdu.header
    if f"HIERARCH {prefix} DRS BIS ".encode() in header.raw:
        return "line bisector"
    mask = header.string(f"{prefix} DRS CCF MASK")
    # spectra may carry the results of the CCF; only the CCF itself has a velocity axis
    if mask and (str(header.get("CTYPE1", "")).lower() == "km/s" or 0 < hdu.axes[0] < 2000):
        return f"CCF ({mask})"
    kind = header.string(f"{prefix} DPR TYPE", "IMAGETYP") or ""
    calibration = header.string(f"{prefix} DPR CATG") == "CALIB"
    words = kind.upper().split(",")
    which = 1 if fibre(header) == "B" and len(words) > 1 else 0
    if not calibration and not words[which].startswith(_LAMPS):
        return None
    return _calibration(hdu, kind)


def _calibration(hdu: Hdu, kind: str) -> str:
    """Which calibration product: their headers are alike, their numbers are not."""
    n = hdu.axes[0]
    if n < 8 or 0 in hdu.axes:
        return f"calibration exposure ({kind})"
    middle = hdu.image().reshape(-1, n)[:, n // 4 : -(n // 4)]
    step = np.diff(middle.astype(np.float64), axis=1)
    if np.all(step > 0) and float(middle.min()) > 3000 and float(middle.max()) < 25_000:
        return "wavelength map"
    level = float(np.median(np.abs(middle)))
    rough = float(np.median(np.abs(step))) / level if level else np.inf
    if "LAMP" in kind.upper() and level < 10.0:
        return "blaze function" if rough < 2e-3 else "flat field"
    return f"calibration exposure ({kind})"


# ---------------------------------------------------------------- spectra


def _s1d(source: SourceFile, hdu: Hdu, prefix: str) -> Spectrum:
    """Merged orders on a 0.01 Å grid: air, barycentric, relative flux (DRS manual §4.2.7)."""
    header = hdu.header
    crval = header.number("CRVAL1")
    cdelt = header.number("CDELT1", "CD1_1")
    if crval is None or not cdelt:
        raise DataError("an s1d without CRVAL1 and CDELT1", code="no_dispersion",
                        where=source.where, hdu=0, remedy="fetch the file again")  # fmt: skip
    flux = hdu.image()
    notes: tuple[str, ...] = ()
    frame = SpecSys.BARYCENT
    observation = drs_observation(source, header, prefix, "s1d")
    if "IRAF-TLM" in header or abs(cdelt - round(cdelt, 2)) > 1e-9:
        frame = source.options.specsys or SpecSys.UNKNOWN
        notes = ("edited after the DRS (IRAF, or a step that is not 0.01): frame unknown",)
        observation = replace(observation, obs_id=None)  # it is not the archive's product
    gap = zero_runs(flux, _MIN_GAP)
    crpix = header.number("CRPIX1")
    wcs = LinearWCS(crval, cdelt, 1.0 if crpix is None else crpix, flux.size)
    return Spectrum(
        axis=SpectralAxis(unit="Angstrom", wcs=wcs, medium=Medium.AIR, specsys=frame),
        flux=flux, flux_unit=source.options.flux_unit,
        flags=gap.astype(np.uint8) if gap.any() else None,
        flag_scheme=_GAP if gap.any() else None,
        flux_calibration=FluxCalibration.RELATIVE, normalisation=Normalisation.NONE,
        observation=observation,
        provenance=provenance(source, "harps", hdu=0, pipeline=pipeline(header, prefix),
                              warnings=notes),
    )  # fmt: skip


def zero_runs(flux: NDArray[Any], minimum: int) -> NDArray[np.bool_]:
    """(n,) True inside runs of at least `minimum` exact zeros.

    The DRS writes zero where no order lies: between the two CCDs (HARPS order 115, ~5305–5337 Å)
    and beyond the ends of the orders.
    """
    zero = np.concatenate(([0], (flux == 0).view(np.int8), [0]))
    edges = np.flatnonzero(np.diff(zero))
    out = np.zeros(flux.size, dtype=np.bool_)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start >= minimum:
            out[start:stop] = True
    return out


def _e2ds(source: SourceFile, hdu: Hdu, prefix: str) -> Spectrum:
    """Extracted orders: air, topocentric, not blaze-corrected (DRS manual §4.2)."""
    header = hdu.header
    flux = hdu.image()
    notes: list[str] = []
    wave = _polynomials(source, header, prefix, flux.shape)
    if wave is None:
        wave = _beside(source, header, f"{prefix} DRS CAL TH FILE", flux.shape, notes)
    if wave is None:
        raise DataError(
            "an e2ds whose header has no wavelength polynomials and whose wave file is not beside "
            "it", code="no_dispersion", where=source.where, hdu=0,
            remedy=f"put {header.get(f'{prefix} DRS CAL TH FILE', 'its wave file')} beside it",
        )  # fmt: skip
    blaze = _beside(source, header, f"{prefix} DRS BLAZE FILE", flux.shape, notes)
    return EchelleSpectrum(
        axis=SpectralAxis(unit="Angstrom", values=wave, medium=Medium.AIR,
                          specsys=SpecSys.TOPOCENT),
        flux=flux, flux_unit=source.options.flux_unit,
        flux_calibration=FluxCalibration.UNCALIBRATED, normalisation=Normalisation.NONE,
        extras={} if blaze is None else {"blaze": blaze},
        order_numbers=_orders(header, prefix, flux.shape[0]), trace=fibre(header),
        observation=drs_observation(source, header, prefix, "e2ds"),
        provenance=provenance(source, "harps", hdu=0, pipeline=pipeline(header, prefix),
                              warnings=tuple(notes)),
    )  # fmt: skip


def _polynomials(
    source: SourceFile, header: Header, prefix: str, shape: tuple[int, ...]
) -> NDArray[np.float64] | None:
    """λ(x) = Σ a_i x^i, x = 0 … n−1, a_i = ``CAL TH COEFF LL(i + order·(degree + 1))``.

    None if the header has no polynomials; DataError (bad_dispersion) if some are missing.
    """
    degree = header.get(f"{prefix} DRS CAL TH DEG LL")
    found = numbered(header, f"{prefix} DRS CAL TH COEFF LL")
    if not isinstance(degree, int) or not 1 <= degree <= 20 or not found:
        return None
    n_orders, n = shape
    wanted = range(n_orders * (degree + 1))
    missing = [i for i in wanted if i not in found]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} wavelength coefficients are missing or unreadable, "
            f"first LL{missing[0]}",
            code="bad_dispersion", where=source.where, hdu=0, remedy="fetch the file again",
        )  # fmt: skip
    powers = np.array([found[i] for i in wanted]).reshape(n_orders, degree + 1).T
    return np.asarray(np.polynomial.polynomial.polyval(np.arange(n, dtype=np.float64), powers))


def _beside(
    source: SourceFile, header: Header, key: str, shape: tuple[int, ...], notes: list[str]
) -> NDArray[Any] | None:
    """The image of the file that `key` names, if it lies beside this one and fits."""
    name = header.string(key)
    if name is None:
        return None
    for candidate in (name, name.replace(":", "."), name.replace(":", "_"), name.replace(":", "-")):
        try:
            other = source.companion(candidate)
            image = None if other is None else other.fits[0].image()
        except DataError as error:
            notes.append(f"{candidate} cannot be read: {error.what}")
            return None
        if image is not None and image.shape == shape:
            return image
        if image is not None:
            notes.append(f"{candidate} has shape {image.shape}, not {shape}")
            return None
    notes.append(f"{name} is not beside the file")
    return None


def _orders(header: Header, prefix: str, n: int) -> tuple[int, ...]:
    """Diffraction orders; the gap between the CCDs skips one (HARPS 161–116, 114–89)."""
    stem = f"{prefix} DRS CAL TH ORDER"
    start, blue, gap = (header.get(f"{stem} {word}") for word in ("START", "NBLUE", "NGAP"))
    if not isinstance(start, int):
        return tuple(range(n))
    jump, gap = (blue, gap) if isinstance(blue, int) and isinstance(gap, int) else (n, 0)
    return tuple(start - i - (gap if i >= jump else 0) for i in range(n))


READERS = (
    Reader(
        name="harps",
        title="HARPS, HARPS-N, SOPHIE, CORALIE DRS: s1d and e2ds",
        recognise=recognise,
        read=read,
        medium="air",
        frame="s1d barycentric (unknown if edited later), e2ds topocentric",
        uncertainty="none",
        mask="runs of exact zeros in s1d (gap between the CCDs) flagged NO_DATA",
        why_own="specutils has no loader for either",
        source="HARPS DRS user manual 3M6-MAN-HAR-33110-0016 §4.2; HARPS user manual "
        "3P6-MAN-ESO-90100-0005",
    ),
    *ESPRESSO_READERS,
)
