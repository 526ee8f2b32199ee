"""What the image extensions of an unknown file are: flux, its errors and flags, or something else.

Told by EXTNAME, else by the first words of BUNIT. Without this an array of errors would be read
as a spectrum of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..domain.spectrum import FlagScheme, UncertaintyKind
from .fits import Hdu
from .negative_errors import without_negative_errors


class Part(StrEnum):
    """The part an image plays."""

    FLUX = "flux"
    STD = "std"
    VAR = "var"
    IVAR = "ivar"
    FLAGS = "flags"
    OTHER = "other"


_WORDS = {
    Part.STD: """err errs error errors sig sigma stdev std stddev noise unc uncert uncertainty
        errdata""",
    Part.VAR: "var variance",
    Part.IVAR: "ivar invvar",
    Part.FLAGS: "mask flag flags qual quality dq bpm badpix pixmask qualdata",
    Part.OTHER: """sky background bkg bgd continuum cont telluric teluric model fit residual wave
        wavelength wavelengths lambda lam resolution fwhm blaze weight weights response throughput
        sensitivity exptime exposure snr profile extinction calibration relative redshifts""",
}  # fmt: skip
_PARTS = {word: part for part, words in _WORDS.items() for word in words.split()}
_FLUX_WORDS = {"flux", "sci", "spec", "spectrum", "data", "pixel", "counts", "bitwise", "of", "the"}


class Companions(NamedTuple):
    """The fields of a Spectrum that the extensions beside its flux give, and notes."""

    uncertainty: NDArray[Any] | None = None
    uncertainty_kind: UncertaintyKind = UncertaintyKind.NONE
    flags: NDArray[Any] | None = None
    flag_scheme: FlagScheme | None = None
    notes: tuple[str, ...] = ()


def label(hdu: Hdu) -> str:
    """EXTNAME, else BUNIT without what is in brackets, else the number."""
    said = hdu.header.string("EXTNAME") or (hdu.header.string("BUNIT") or "").partition("(")[0]
    return said.strip() or f"HDU {hdu.index}"


def part_of(hdu: Hdu) -> Part:
    """The part that the label says; FLUX where it says none."""
    words = [w for w in re.split(r"[^a-z]+", label(hdu).lower()) if w]
    parts = {_PARTS[word] for word in words if word in _PARTS}
    if not parts:
        return Part.FLUX
    plain = all(word in _PARTS or word in _FLUX_WORDS or len(word) < 2 for word in words)
    return parts.pop() if len(parts) == 1 and plain else Part.OTHER


def companions(hdu: Hdu) -> Companions:
    """The errors and flags that follow the flux image `hdu`, of its shape, before the next flux."""
    error, kind, flags, scheme = None, UncertaintyKind.NONE, None, None
    notes: list[str] = []
    for other in _following(hdu):
        part = part_of(other)
        if part is Part.FLAGS and flags is None:
            values = other.image()
            if values.dtype.kind in "iu":
                flags, scheme = values, FlagScheme(label(other))
                notes.append(f"any non-zero value of {label(other)} is taken as bad")
        elif part in (Part.STD, Part.VAR, Part.IVAR) and error is None:
            error, kind = other.image(), UncertaintyKind(part.value)
    found = without_negative_errors(error, kind, flags, scheme)
    if found.note:
        notes.append(found.note)
    return Companions(found.uncertainty, found.kind, found.flags, found.scheme, tuple(notes))


def _following(hdu: Hdu) -> Sequence[Hdu]:
    out = []
    for other in hdu.file.hdus[hdu.index + 1 :]:
        if other.kind != "image" or other.shape != hdu.shape:
            continue
        if part_of(other) is Part.FLUX:
            break
        out.append(other)
    return out
