"""Eigenspectra and template sets: the vectors that pipelines fit with are no observations."""

from __future__ import annotations

from collections.abc import Iterator

from .fits import Hdu, Header
from .registry import CERTAIN, Item, NotASpectrum, Reader
from .source import SourceFile


def _redrock(source: SourceFile) -> Hdu | None:
    hdu = source.fits.named("BASIS_VECTORS")
    if hdu is None or len(hdu.axes) != 2 or hdu.header.string("RRTYPE") is None:
        return None
    return hdu


def _idlspec2d(source: SourceFile) -> Hdu | None:
    """spEigen*: several vectors on a COEFF0 axis, each with its eigenvalue or its star's name."""
    hdu = source.fits[0]
    header = hdu.header
    if len(hdu.axes) != 2 or hdu.axes[1] < 2 or "COEFF0" not in header:
        return None
    observed = "PLATEID" in header or "FIELDID" in header
    return hdu if not observed and ("EIGEN0" in header or "NAME0" in header) else None


def recognise(source: SourceFile) -> int:
    """CERTAIN for the templates of redrock and of idlspec2d."""
    if not source.is_fits:
        return 0
    return CERTAIN if _idlspec2d(source) is not None or _redrock(source) is not None else 0


def read(source: SourceFile) -> Iterator[Item]:
    """The receipt: whose templates, of which class, how many."""
    hdu = _redrock(source)
    if hdu is not None:
        yield NotASpectrum(f"redrock eigenspectra ({_label(hdu.header)}, {hdu.axes[1]} vectors)",
                           hdu=hdu.index)  # fmt: skip
        return
    hdu = source.fits[0]
    kind = "eigenspectra" if "EIGEN0" in hdu.header else "template spectra"
    target = hdu.header.string("OBJECT") or "of an unnamed class"
    rows = hdu.axes[1] if len(hdu.axes) > 1 else 0
    yield NotASpectrum(f"SDSS {kind} ({target}, {rows} vectors)", hdu=0)


def _label(header: Header) -> str:
    parts = (header.string("RRTYPE"), header.string("RRSUBTYP"))
    return " ".join(part for part in parts if part)


READERS = (
    Reader(
        name="eigenspectra",
        title="Eigenspectra of redshift fitters (SDSS spEigen, redrock templates)",
        recognise=recognise,
        read=read,
        medium="none",
        frame="none",
        uncertainty="none",
        mask="none",
        why_own="specutils has no loader; a basis vector is no spectrum",
        source="idlspec2d templates/spEigen*.fits; desihub/redrock-templates: BASIS_VECTORS HDU",
    ),
)
