"""What the optical spectra of SDSS I-V share: mask bits, units, times, wavelength frame."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import erfa  # type: ignore[import-untyped]
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from ..domain.errors import DataError
from ..domain.spectrum import FlagScheme
from .fits import Header
from .source import SourceFile

FLUX_UNIT = "1e-17 erg s-1 cm-2 Angstrom-1"
_FWHM_PER_SIGMA = 2.354_820_045

SPPIXMASK_BITS = MappingProxyType({
    0: "NOPLUG", 1: "BADTRACE", 2: "BADFLAT", 3: "BADARC", 4: "MANYBADCOLUMNS",
    5: "MANYREJECTED", 6: "LARGESHIFT", 7: "BADSKYFIBER", 8: "NEARWHOPPER", 9: "WHOPPER",
    10: "SMEARIMAGE", 11: "SMEARHIGHSN", 12: "SMEARMEDSN", 16: "NEARBADPIXEL", 17: "LOWFLAT",
    18: "FULLREJECT", 19: "PARTIALREJECT", 20: "SCATTEREDLIGHT", 21: "CROSSTALK", 22: "NOSKY",
    23: "BRIGHTSKY", 24: "NODATA", 25: "COMBINEREJ", 26: "BADFLUXFACTOR", 27: "BADSKYCHI",
    28: "REDMONSTER",
})  # fmt: skip
_BAD = ("NOPLUG", "BADTRACE", "BADFLAT", "BADARC", "FULLREJECT", "NOSKY", "BRIGHTSKY",
        "BADSKYCHI", "REDMONSTER")  # fmt: skip
SPPIXMASK = FlagScheme(
    "SPPIXMASK", SPPIXMASK_BITS, sum(1 << b for b, name in SPPIXMASK_BITS.items() if name in _BAD)
)
"""Bad: the fibre or its calibration failed (bits 0-3), the pixel holds nothing (18, 22), or sky
residuals dominate (23, 27, 28: what the pipeline's own redshift fit leaves out). The DR9+ notes
say that other very bad conditions already have ivar 0 and that NODATA is to be ignored.

Source: sdss.org bitmasks, SPPIXMASK (DR10, DR17); idlspec2d ``skymask``."""


def log_axis(header: Header, n: int, source: SourceFile, *, where: str) -> SpectralAxis:
    """log10 λ axis of `n` pixels from COEFF0/COEFF1. Raises DataError (no_wavelength)."""
    zero, step = header.number("COEFF0"), header.number("COEFF1")
    if zero is None or not step:
        raise DataError(
            "the header has no COEFF0/COEFF1, so no wavelength", code="no_wavelength",
            where=where, remedy="fetch the file again",
        )  # fmt: skip
    return SpectralAxis(
        "Angstrom", wcs=LinearWCS(zero, step, 1.0, n), scale=Scale.LOG10,
        medium=medium_of(header, source), specsys=frame_of(header, source),
    )  # fmt: skip


def medium_of(header: Header, source: SourceFile) -> Medium:
    """Vacuum as documented, unless the file itself denies it."""
    if header.get("VACUUM") is False:
        return source.options.medium or Medium.UNKNOWN
    return Medium.VACUUM


def frame_of(header: Header, source: SourceFile) -> SpecSys:
    """Heliocentric as documented, unless the file itself denies it."""
    if header.get("HELIO") is False:
        return source.options.specsys or SpecSys.UNKNOWN
    return SpecSys.HELIOCEN


def flux_unit_of(header: Header) -> str:
    """BUNIT, of which the pipeline has several spellings for the same 1e-17 erg/s/cm²/Å."""
    text = header.string("BUNIT")
    if text is None or text.upper().replace(".0", "").startswith("1E-17 ERG/CM"):
        return FLUX_UNIT
    return text


def resolving_power(wdisp: NDArray[Any], dloglam: float = 1e-4) -> float | None:
    """Median λ/FWHM from the dispersion `wdisp` (σ in pixels of `dloglam` dex)."""
    sample = wdisp[::8]
    sample = sample[sample > 0]
    if sample.size == 0:
        return None
    sample.sort()
    sigma = float(sample[sample.size // 2]) * dloglam * 2.302_585_093
    return round(1.0 / (_FWHM_PER_SIGMA * sigma), 1) if 0.0 < sigma < 1.0 else None


@lru_cache(maxsize=1)
def _leap_seconds() -> tuple[list[float], list[float]]:
    """MJDs on which TAI − UTC changed, and its values since then (ERFA's table)."""
    table = erfa.leap_seconds.get()
    days = [erfa.cal2jd(row["year"], row["month"], 1)[1] for row in table]
    return [float(d) for d in days], [float(row["tai_utc"]) for row in table]


def _tai_minus_utc(mjd: float) -> float:
    days, offsets = _leap_seconds()
    return offsets[bisect_right(days, mjd) - 1]


def utc_of_tai(seconds: float | None) -> float | None:
    """MJD (UTC) of SDSS's TAI: seconds since MJD 0. None unless it lies in 1990-2100."""
    if seconds is None or not 47_892 < seconds / 86_400.0 < 88_069:
        return None
    return (seconds - _tai_minus_utc(seconds / 86_400.0)) / 86_400.0


def time_span(
    header: Header, exposures: Iterable[Header] = ()
) -> tuple[float | None, float | None]:
    """(t_min, t_max) as MJD UTC: of the exposures, of the header, else of the nights.

    SDSS counts a night as MJD = ⌊MJD(TAI) + 0.3⌋: only the night known, the span is the night's.
    """
    begins, ends = [], []
    for h in (*exposures, header):
        begin, end = utc_of_tai(h.number("TAI-BEG")), utc_of_tai(h.number("TAI-END"))
        length = h.number("EXPTIME")
        if begin is not None and end is None and length is not None and h is not header:
            end = begin + length / 86_400.0
        if begin is not None and end is not None and end >= begin:
            begins.append(begin)
            ends.append(end)
    if begins:
        return min(begins), max(ends)
    nights = nights_of(header)
    return (nights[0] - 0.3, nights[-1] + 0.7) if nights else (None, None)


def nights_of(header: Header) -> list[int]:
    """The SDSS MJDs of the nights that went into a coadd, sorted."""
    words = str(header.first("MJDLIST", "MJD") or "").split()
    nights = sorted(int(word) for word in words if word.isascii() and word.isdigit())
    return [n for n in nights if 47_892 < n < 88_069]
