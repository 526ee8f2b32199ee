"""Negative standard deviations in files that do not say what they mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..domain.spectrum import FlagScheme, UncertaintyKind

BIT = 30
"""The bit set in `Spectrum.flags`: above those that surveys use, below the sign of an int32."""
NAME = "NEGATIVE_ERROR"
MOST = 0.5
"""With more than this share of negative numbers the column is no error at all."""


class Errors(NamedTuple):
    """The fields of a Spectrum that errors decide, and a warning for its provenance."""

    uncertainty: NDArray[Any] | None
    kind: UncertaintyKind
    flags: NDArray[Any] | None
    scheme: FlagScheme | None
    note: str | None = None


def without_negative_errors(
    error: NDArray[Any] | None,
    kind: UncertaintyKind,
    flags: NDArray[Any] | None,
    scheme: FlagScheme | None,
    kinds: tuple[UncertaintyKind, ...] = (UncertaintyKind.STD,),
) -> Errors:
    """The arguments, with `BIT` set in the flags where a standard deviation is negative.

    Old pipelines write −σ or −1 for pixels that were rejected, and sky subtraction leaves such
    values where it failed; of the public spectra at hand 6 of 24 GALAH arms and 385 of 3939 of
    supernovae have some. Where more than half of the numbers are negative (4 of the 3939) the
    column is no error: the uncertainty is then unknown. The numbers are never changed. Variances
    and inverse variances are left to the common check, which refuses negative ones, unless
    `kinds` names them for a format known to have such.

    Parameters
    ----------
    error : (n,) as delivered, of `kind` · flags, scheme : as delivered, or None
    kinds : the kinds of uncertainty that are treated
    Returns
    -------
    the same objects when no number is negative; uncertainty None when most are
    """
    if error is None or kind not in kinds or error.dtype.kind not in "fi":
        return Errors(error, kind, flags, scheme)
    negative = error < 0
    count = int(np.count_nonzero(negative))
    if not count:
        return Errors(error, kind, flags, scheme)
    if count > MOST * int(np.count_nonzero(np.isfinite(error))):
        note = f"{count} of {error.size} errors are negative: no errors, kept apart"
        return Errors(None, UncertaintyKind.NONE, flags, scheme, note)
    base = np.zeros(error.shape, np.int32) if flags is None else flags
    wide = base.astype(np.int32 if base.dtype.itemsize < 4 else np.int64)
    np.bitwise_or(wide, wide.dtype.type(1 << BIT), out=wide, where=negative)
    old = scheme or FlagScheme("uncertainty" if flags is None else "flags")
    bad = old.bad if old.bad is None else old.bad | (1 << BIT)
    new = FlagScheme(old.name, {**old.bits, BIT: NAME}, bad)
    note = f"{count} pixels with a negative {kind.value} are flagged ({NAME})"
    return Errors(error, kind, wide, new, note)
