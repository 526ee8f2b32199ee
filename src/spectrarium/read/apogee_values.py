"""What the three APOGEE products share: bit masks, companions of the flux, header values."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from ..domain.observation import Observation, Provenance
from ..domain.spectrum import FlagScheme
from .fits import FitsFile, Header
from .header_values import provenance
from .source import SourceFile

FLUX_UNIT = "1e-17 erg s-1 cm-2 Angstrom-1"
RESOLVING_POWER = 22_500.0
"""Nominal, Majewski et al. 2017, AJ 154, 94."""
ERR_BAD = 1e10
"""Error that the pipeline writes where a pixel holds nothing."""
_BITS = {
    0: "BADPIX", 1: "CRPIX", 2: "SATPIX", 3: "UNFIXABLE", 4: "BADDARK", 5: "BADFLAT", 6: "BADERR",
    7: "NOSKY", 8: "LITTROW_GHOST", 9: "PERSIST_HIGH", 10: "PERSIST_MED", 11: "PERSIST_LOW",
    12: "SIG_SKYLINE", 13: "SIG_TELLURIC", 14: "NOT_ENOUGH_PSF", 16: "FERRE_MASK", 30: "NO_DATA",
}  # fmt: skip
PIXMASK = FlagScheme(
    "APOGEE_PIXMASK", MappingProxyType(_BITS), bad=sum(1 << b for b in (*range(8), 14, 30))
)
"""Bad as the survey's own PixelBitMask has it; ghosts, persistence, sky and telluric lines warn.
Bit 30 is ours: the error is the sentinel 1e10 and no bad bit of the survey says so."""
ERRORMASK = FlagScheme("APOGEE_ERROR", MappingProxyType({0: "NO_DATA"}), bad=1)
"""aspcapStar has no mask: flags are built from its sentinel, error ≥ 1e10 or ≤ 0."""


def image(fits: FitsFile, index: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """The image of an HDU. Raises DataError unless it has the shape of the flux."""
    array = fits[index].image()
    if array.shape != shape:
        raise DataError(
            f"HDU {index} has shape {array.shape}, the flux has {shape}",
            code="mismatched_lengths", where=fits.where, hdu=index,
            remedy="the file is inconsistent: fetch it again",
        )  # fmt: skip
    return array


def optional(fits: FitsFile, index: int, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """The image of an HDU if there is one of this shape."""
    if index >= len(fits) or fits[index].kind != "image" or fits[index].shape != shape:
        return None
    return fits[index].image()


def extras(fits: FitsFile, shape: tuple[int, ...], first: int) -> dict[str, NDArray[Any]]:
    """Sky and telluric correction with their errors, from HDU `first` on, where they fit."""
    names = ("sky", "sky_error", "telluric", "telluric_error")
    found = {name: optional(fits, first + i, shape) for i, name in enumerate(names)}
    return {name: array for name, array in found.items() if array is not None}


def flag_sentinels(flags: NDArray[Any], error: NDArray[Any]) -> NDArray[Any]:
    """The flags as delivered; widened by bit 30 only where an error of 1e10 goes unflagged.

    Raises DataError (bad_type) if they are no integers.
    """
    if flags.dtype.kind not in "iu":
        raise DataError(f"the mask has values of the type {flags.dtype}", code="bad_type",
                        remedy="fetch the file again")  # fmt: skip
    missed = (error >= ERR_BAD) & ~PIXMASK.mask(flags)
    if not missed.any():
        return flags
    # through unsigned: bit 15 of a 16-bit mask must not spread into the bits above
    wide = flags.view(f"u{flags.dtype.itemsize}").astype(np.int32)
    wide[missed] |= 1 << 30
    return wide


def positive(h: Header, *keys: str) -> float | None:
    """The first of the values that is given, if it is above zero."""
    value = h.number(*keys)
    return value if value is not None and value > 0 else None


def velocity(h: Header, *keys: str) -> float | None:
    """A velocity, km/s; the pipeline writes 999999 where it has none."""
    value = h.number(*keys)
    return value if value is not None and abs(value) < 9000 else None


def magnitude(h: Header) -> float | None:
    """H magnitude; the pipeline writes negative or 99.99-like values where it has none."""
    value = h.number("HMAG", "H")
    return value if value is not None and 0 < value < 50 else None


def templates(h: Header) -> dict[str, float | None]:
    """Parameters of the best radial-velocity template: coarse, so not called teff or feh."""
    return {
        "rv_teff": positive(h, "RVTEFF"), "rv_logg": h.number("RVLOGG"),
        "rv_feh": h.number("RVFEH"),
    }  # fmt: skip


def target_class(h: Header) -> str | None:
    """STAR for targets and standards, else the word of the file (SKY …)."""
    kind = (h.string("OBJTYPE") or "").upper()
    return "STAR" if kind in ("STAR", "HOT_STD", "OBJECT") else kind or None


def apogee_provenance(
    source: SourceFile, reader: str, observation: Observation, **at: int | None
) -> Provenance:
    """Provenance with the reduction's version and a warning where there are no coordinates."""
    version = source.fits.primary.string("V_APRED", "APRED", "V_APSTAR")
    return provenance(
        source, reader, hdu=at.get("hdu"), row=at.get("row"),
        pipeline=None if version is None else f"apred {version}",
        warnings=() if observation.s_ra is not None else ("no coordinates",),
    )  # fmt: skip
