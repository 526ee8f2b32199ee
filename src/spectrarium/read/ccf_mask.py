"""Cross-correlation masks of the ESO pipelines: lines and their weights, not a spectrum."""

from __future__ import annotations

from collections.abc import Iterator

from .fits import Hdu
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile

_COLUMNS = {"lambda", "contrast"}


def _mask(source: SourceFile) -> Hdu | None:
    """The first table if it has a mask's columns and no others."""
    if not source.is_fits or len(source.fits) < 2:
        return None
    hdu = source.fits[1]
    return hdu if hdu.kind == "table" and {n.lower() for n in hdu.columns} == _COLUMNS else None


def recognise(source: SourceFile) -> int:
    """CERTAIN for a table of wavelength and contrast and nothing else."""
    return CERTAIN if _mask(source) is not None else 0


def read(source: SourceFile) -> Iterator[Item]:
    """The receipt: instrument, what it is for, number of lines."""
    hdu, primary = _mask(source), source.fits.primary
    molecule = primary.string("ESO MOLECULE")
    kind = f"telluric mask ({molecule})" if molecule else "mask"
    rows = 0 if hdu is None else hdu.n_rows
    instrument = primary.string("INSTRUME")
    name = f"{instrument} " if instrument else ""
    yield NotASpectrum(f"{name}CCF {kind}, {rows} lines", hdu=1)


READERS = (
    Reader(
        name="ccf-mask",
        title="Cross-correlation masks (HARPS, ESPRESSO, NIRPS, CORALIE): lambda, contrast",
        recognise=recognise,
        read=read,
        medium="none",
        frame="none",
        uncertainty="none",
        mask="none",
        why_own="specutils has no loader; a line list is no spectrum",
        source="ESPRESSO pipeline user manual: static calibrations MASK_TABLE, HITRAN_CCF_MASK",
    ),
)
