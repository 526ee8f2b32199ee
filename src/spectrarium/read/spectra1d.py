"""FITS tables that say enough by UCD, column name and unit, and a few documented ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from ..domain.errors import DataError
from ..domain.observation import Observation
from .fits import Hdu
from .registry import CERTAIN, GENERIC, LIKELY, Item, NotASpectrum, Reader
from .source import SourceFile
from .spectral_words import SPECTRAL_UCDS
from .table_columns import Field, Roles, find_roles, looks_spectral
from .table_layouts import CALSPEC, LAYOUTS, PYHAMMER, PYPEIT, SPECMATCH, Layout
from .table_observation import (
    both_headers,
    header_observation,
    medium_of,
    part_observation,
    row_observation,
    specsys_in,
)
from .table_rows import Facts, spectra_of

_TTYPE = re.compile(r"TTYPE(\d{1,3}) *= *'([^']*)'")
_TUCD = re.compile(r"TUCD(\d{1,3}) *= *'([^']*)'")
_SKY = re.compile(
    r"(?:_?raj?2000|ra|ra_?(?:deg|icrs|obj|obs|j2000)?|(?:target|obj|plug|fiber|mean)_?ra|alpha_j2000)"
)


@dataclass(frozen=True, slots=True)
class _Look:
    """What names and UCDs of a table's columns promise: the cheap look that recognition needs.

    names : in lower case · spectral : a spectral axis and a flux, `by_ucd` if the UCD says so
    positions : a place on the sky in every row
    """

    names: frozenset[str]
    spectral: bool
    by_ucd: bool
    positions: bool


def _look(hdu: Hdu) -> _Look:
    return _look_at(hdu.table_cards)


@lru_cache(maxsize=256)
def _look_at(cards: bytes) -> _Look:
    # from the cards, not from Hdu.columns: recognition must not fail on a malformed table,
    # and five readers ask about every HDU of a file
    text = cards.decode("latin-1")
    ucds = dict(_TUCD.findall(text)) if "TUCD" in text else {}
    found = _TTYPE.findall(text)
    fields = [Field(name.strip(), ucds.get(n, "").strip()) for n, name in found]
    return _Look(
        names=frozenset(f.name.lower() for f in fields),
        spectral=looks_spectral(fields),
        by_ucd=any(f.ucd.lower().split(";")[0].strip() in SPECTRAL_UCDS for f in fields),
        positions=_has_positions(fields),
    )


def _tables(source: SourceFile) -> list[Hdu]:
    return [h for h in source.fits if h.kind in ("table", "ascii") and h.n_rows > 0]


def _has_positions(fields: Sequence[Field]) -> bool:
    return any(
        _SKY.fullmatch(f.key) or f.ucd.lower().startswith(("pos.eq.ra", "pos_eq_ra"))
        for f in fields
    )


def _layout_of(hdu: Hdu) -> Layout | None:
    names, primary = _look(hdu).names, hdu.file.primary
    return next((one for one in LAYOUTS if one.matches(names, primary)), None)


def _recognise_layout(layout: Layout, source: SourceFile) -> int:
    if not source.is_fits:
        return 0
    return CERTAIN if any(_layout_of(hdu) is layout for hdu in _tables(source)) else 0


def _recognise(source: SourceFile) -> int:
    if not source.is_fits:
        return 0
    tables = _tables(source)
    for hdu in tables:
        look = _look(hdu)
        if look.spectral:
            return LIKELY if look.by_ucd else GENERIC
    pictures = [h for h in source.fits if h.axes and h.kind == "image" and not _is_votmeta(h)]
    if not pictures and any(_look(hdu).positions for hdu in tables):
        return GENERIC
    return 0


def _is_votmeta(hdu: Hdu) -> bool:
    """The byte array in which STIL keeps a VOTable header: no picture."""
    return hdu.index == 0 and hdu.bitpix == 8 and hdu.header.get("VOTMETA") is True


def _read_layout(layout: Layout, source: SourceFile) -> Iterator[Item]:
    hdus = [hdu for hdu in _tables(source) if _layout_of(hdu) is layout]
    for hdu in hdus:
        names = frozenset(c.lower() for c in hdu.columns)
        yield from _guarded(source, hdu, len(hdus) > 1, layout, partial(layout.roles, names))


def _read(source: SourceFile) -> Iterator[Item]:
    tables = _tables(source)
    found = [hdu for hdu in tables if _look(hdu).spectral]
    for hdu in found:
        yield from _guarded(source, hdu, len(found) > 1, None, partial(_roles, source, hdu))
    if not found:
        rows = max((hdu.n_rows for hdu in tables), default=0)
        yield NotASpectrum(f"catalogue table ({rows} rows, no spectral axis)")


def _roles(source: SourceFile, hdu: Hdu) -> Roles | None:
    fields = [
        Field(c.name, str(hdu.header.get(f"TUCD{c.number}", "")), hdu.unit(c.name))
        for c in hdu.columns.values()
        if c.code in "LBIJKEDFPQ"
    ]
    return find_roles(fields, source.where, hdu.index)


def _guarded(
    source: SourceFile, hdu: Hdu, many: bool, layout: Layout | None,
    choose: Callable[[], Roles | None],
) -> Iterator[Item]:  # fmt: skip
    """The spectra of one table; what is wrong with it as a whole becomes one item."""
    try:
        roles = choose()
        if roles is None:
            return
        if layout is None and _is_list(hdu, roles):
            yield NotASpectrum("catalogue or line list with a position in every row", hdu.index)
            return
        yield from _spectra(source, hdu, roles, many, layout)
    except DataError as error:
        error.hdu = hdu.index
        yield error


def _is_list(hdu: Hdu, roles: Roles) -> bool:
    wave = hdu.find(roles.wave)
    return (
        wave is not None and not wave.shape and wave.code not in "PQ"
        and hdu.n_rows > 1 and _look(hdu).positions
    )  # fmt: skip


def _spectra(
    source: SourceFile, hdu: Hdu, roles: Roles, many: bool, layout: Layout | None
) -> Iterator[Item]:
    header = both_headers(hdu)
    base = header_observation(source, header, layout.collection if layout else None)
    if layout:
        base = layout.complete(base, hdu)
        facts = layout.facts(hdu)
    else:
        facts = Facts("table")
    facts = replace(
        facts,
        medium=facts.medium if layout else medium_of(hdu, roles, header),
        specsys=facts.specsys if layout else specsys_in(header),
        wave_unit=facts.wave_unit or _sdss_log_unit(roles),
        pipeline=facts.pipeline or header.string("PIPELINE", "PROCSOFT"),
    )
    part = (hdu.name or f"hdu{hdu.index}") if many else None

    def observe(row: int | None) -> Observation:
        if row is None:
            return part_observation(base, part)
        return row_observation(base, hdu, row, part)

    yield from spectra_of(source, hdu, roles, facts, observe)


def _sdss_log_unit(roles: Roles) -> str | None:
    """SDSS's data model defines LOGLAM as log10 of the wavelength in Å; others must say."""
    return "Angstrom" if roles.wave.lower() == "loglam" else None


def _reader(layout: Layout, title: str, medium: str, frame: str, uncertainty: str, mask: str,
            source: str) -> Reader:  # fmt: skip
    return Reader(
        name=layout.name, title=title, recognise=partial(_recognise_layout, layout),
        read=partial(_read_layout, layout), medium=medium, frame=frame, uncertainty=uncertainty,
        mask=mask, source=source,
        why_own="specutils guesses columns and drops medium, frame and flags",
    )  # fmt: skip


READERS: tuple[Reader, ...] = (
    _reader(CALSPEC, "CALSPEC spectrophotometric standards", "vacuum", "unknown",
            "std (STATERROR)",
            "DATAQUAL, 1 = good; STATERROR 0 = a model's flux where nothing was observed (TOTEXP "
            "0; named in HISTORY): kept as delivered, masked as no measurement",
            "Bohlin, Gordon & Tremblay 2014, PASP 126, 711; the files' own HISTORY (vacuum)"),
    _reader(PYPEIT, "PypeIt spec1d and coadded 1-D spectra", "vacuum",
            "VEL_TYPE of the table, else unknown", "ivar", "OPT_MASK / mask, 1 = good",
            "PypeIt documentation: spec1D and OneSpec data models"),
    _reader(PYHAMMER, "PyHammer empirical SDSS templates", "vacuum", "SOURCE (rest)",
            "std (PropErr)", "none", "Kesseli et al. 2017, ApJS 230, 16"),
    _reader(SPECMATCH, "SpecMatch-Emp HIRES spectra (s, w, serr)", "unknown", "unknown", "std",
            "none", "Yee, Petigura & von Braun 2017, ApJ 836, 77; package documentation"),
    Reader(
        name="table", title="Any FITS table with a spectral axis and a flux",
        recognise=_recognise, read=_read,
        medium="UCD (em.wl;obs.atmos = air), column name or comment, VACUUM, AIRORVAC",
        frame="SPECSYS", uncertainty="by UCD or name: std, var or ivar; none if not there",
        mask="any non-zero value of a column called MASK, FLAGS, QUAL, DQ …",
        why_own="specutils' generic loaders take the first columns that fit by unit, without "
        "UCDs, ambiguity errors, medium, frame or flags",
        source="FITS 4.0; UCD1+ list 1.5; ESO Science Data Products Standard (TUCD, one row)",
    ),
)  # fmt: skip
