"""Spectra as text: ECSV, CSV and columns of numbers, with units declared somewhere.

Nothing is taken for a spectrum on the strength of being a table: either the columns are called
wavelength and flux, or there is no name at all and the first column runs steadily up or down.
Line lists, cross-correlation masks and catalogues have receipts of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium, Scale
from ..domain.errors import DataError
from ..domain.spectrum import UncertaintyKind
from ..domain.units import spectral_kind
from .ascii_table import TextTable, load, metadata_of, sniff
from .columns import Assignment, assign, meaning
from .registry import CERTAIN, GENERIC, Item, NotASpectrum, Reader
from .row_fields import SPECTRUM_IDS, normal_key, present
from .samples import Samples, no_wave_unit, spectrum_of
from .source import SourceFile

NAMED = 30
"""Columns called wavelength and flux: below any reader that knows the survey."""
_WAVE_UNIT_KEYS = (
    "wave_unit", "wave_units", "units_wave", "unit_wave", "waveunit", "wavelength_unit",
    "wavelength_units", "x_unit", "x_units", "xunit", "xunits", "cunit1", "spectral_unit",
)  # fmt: skip
_FLUX_UNIT_KEYS = (
    "flux_unit", "flux_units", "units_flux", "unit_flux", "fluxunit", "y_unit", "y_units", "yunit",
    "yunits", "bunit",
)  # fmt: skip
_SKY = ({"ra", "dec"}, {"raj2000", "dej2000"}, {"ra_deg", "dec_deg"}, {"s_ra", "s_dec"})
_IDENTIFIER = re.compile(
    r"(\w+_)?ids?|\w*(source|object|obj|obs|spec|target|star)_?id|gaia_?e?dr\d\w*|hip|hd|tic|kic"
    r"|((main|object|obj|target|star|source|file)_?)?name|object|target|star|source|file|path"
    r"|designation|desig"
)
_LINE_WORDS = {"wrest", "restwave", "wave_rest", "rest_wave", "rest_wavelength"}
_NO_FLUX = ("transmission", "throughput", "response", "efficiency", "weight", "depth", "albedo")
_MIN_ROWS = 3
_MAX_BARE_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a table is: a score, the columns' parts, and why it is no spectrum if it is none."""

    score: int
    columns: Assignment | None = None
    not_a_spectrum: str | None = None


_NOTHING = Verdict(0)


def recognise(source: SourceFile) -> int:
    """Score of a text file by its first lines (a tenth of a millisecond)."""
    if source.is_fits or source.data[:1] in (b"<", b"{", b"[", b"\x89"):
        return 0
    return _seen(source)[1].score


_known: WeakKeyDictionary[SourceFile, tuple[TextTable | None, Verdict]] = WeakKeyDictionary()


def _seen(source: SourceFile) -> tuple[TextTable | None, Verdict]:
    """Form and verdict of a file, found once for recognising and reading it."""
    found = _known.get(source)
    if found is None:
        table = sniff(source.data)
        found = _known[source] = (table, _NOTHING if table is None else judge(table))
    return found


def judge(table: TextTable) -> Verdict:
    """Is this table a spectrum, something understood that is none, or not ours at all?"""
    names = [name.lower() for name in table.names]
    if not table.named:
        return _judge_bare(table)
    columns = assign(table.names)
    if columns.wave is None:
        what = _catalogue(table, names, columns.flux)
        return _NOTHING if what is None else Verdict(GENERIC, None, what)
    wave = columns.wave
    if table.is_text(wave) or len(table.rows) < _MIN_ROWS:
        return _NOTHING
    if columns.flux is None:
        columns = _take_flux(table, columns)
    if columns.flux is None or table.is_text(columns.flux):
        return Verdict(GENERIC, columns, "a table by wavelength without fluxes (a line list?)")
    if table.has_text and scattered(table.numbers(wave)):
        return Verdict(GENERIC, columns, "a line list (named lines at scattered wavelengths)")
    if table.names == ("wave_aa", "flux", "err") and any(
        c.startswith("wave_frame:") for c in table.comments
    ):
        return Verdict(CERTAIN, columns)
    return Verdict(NAMED, columns)


def _catalogue(table: TextTable, names: Sequence[str], flux: int | None) -> str | None:
    """What a table with named columns and no spectral axis is, if that is plain.

    Fluxes that are written as lists are spectra of a layout that is not known: not ours to judge.
    """
    if any(pair <= set(names) for pair in _SKY):
        return "a table of objects (positions, no wavelengths)"
    keys = [name for name in names if _IDENTIFIER.fullmatch(name)]
    if table.delimiter is None or not keys or (flux is not None and table.is_text(flux)):
        return None
    if not _LINE_WORDS.isdisjoint(names):
        return "a line list"
    return f"a table by {keys[0]} without a spectral axis"


def _take_flux(table: TextTable, columns: Assignment) -> Assignment:
    """The one column left besides wavelength and error is the flux, unless its name denies it."""
    left = [i for i in columns.others if not table.is_text(i)]
    if len(left) != 1 or table.names[left[0]].lower() in _NO_FLUX:
        return columns
    others = tuple(i for i in columns.others if i != left[0])
    return Assignment(
        columns.wave, left[0], columns.uncertainty, columns.kind, columns.flags, others
    )


def _judge_bare(table: TextTable) -> Verdict:
    """Two or more columns of numbers without names."""
    n = len(table.names)
    if len(table.rows) < _MIN_ROWS or n > _MAX_BARE_COLUMNS or table.has_text:
        return _NOTHING
    wave = table.numbers(0)
    if not (np.isfinite(wave).all() and np.isfinite(table.numbers(1)).all()):
        return _NOTHING
    signs = np.sign(np.diff(wave))
    if abs(signs.sum()) < 0.9 * len(signs):
        return _NOTHING
    return Verdict(
        GENERIC,
        Assignment(0, 1, None, UncertaintyKind.NONE, None, tuple(range(2, n))),
    )


def lines_not_samples(arrays: Sequence[NDArray[Any]]) -> str | None:
    """What a nameless table is if its first column lists lines instead of sampling a range.

    Samples follow each other at nearly the same distance as their neighbours (but for the
    rounding of the written digits), lines do not; a mask gives two close edges for each line.
    """
    wave = arrays[0].astype(np.float64)
    if len(arrays) >= 3 and arrays[1].dtype != object:
        width = arrays[1].astype(np.float64) - wave
        if (width > 0).all() and (width < 1e-3 * wave).all():
            return "a cross-correlation mask (line edges and weights)"
    return "a line list or mask (scattered wavelengths)" if scattered(wave) else None


def scattered(wave: NDArray[np.float64]) -> bool:
    """True if more than 3 steps in 10 differ by over 30 % from the median of their neighbours."""
    steps = np.abs(np.diff(wave[np.isfinite(wave)]))
    if len(steps) < 20:
        return False
    quantum = next((10.0**-k for k in range(9) if np.allclose(wave, wave.round(k), 0, 1e-10)), 0.0)
    local = np.median(np.lib.stride_tricks.sliding_window_view(steps, 9), axis=1)
    off = np.abs(steps[4:-4] - local) > np.maximum(0.3 * local, 1.5 * quantum)
    return bool(off.mean() > 0.3)


def read(source: SourceFile) -> Iterator[Item]:
    """The spectrum in a text file, or what else the file is."""
    table, verdict = _seen(source)
    if table is None or verdict.score == 0:
        raise DataError(
            "is not a table of wavelengths and fluxes", code="unknown_format", where=source.where,
            remedy="name the columns in a header line, as in: wave_aa,flux,err",
        )  # fmt: skip
    if verdict.not_a_spectrum is not None or verdict.columns is None:
        yield NotASpectrum(verdict.not_a_spectrum or "a table")
        return
    arrays, footer = load(source.data, table, source.where)
    numeric = all(array.dtype != object for array in arrays)
    if not table.named and numeric and (lines := lines_not_samples(arrays)) is not None:
        yield NotASpectrum(lines)
        return
    values: dict[str, Any] = metadata_of((*table.comments, *footer))
    units = list(table.units)
    if table.ecsv:
        units, values, types = _ecsv(table, source)
        arrays = [_declared(a, t) for a, t in zip(arrays, types, strict=True)]
    yield _spectrum(source, table, verdict.columns, arrays, units, values)


def _spectrum(
    source: SourceFile,
    table: TextTable,
    columns: Assignment,
    arrays: Sequence[NDArray[Any]],
    units: Sequence[str | None],
    values: dict[str, Any],
) -> Item:
    wave_at, flux_at = columns.wave or 0, columns.flux or 0
    for i in (wave_at, flux_at):
        if arrays[i].dtype == object:
            raise DataError(
                f"column {i + 1} ({table.names[i] or 'unnamed'}) holds text where numbers belong",
                code="bad_table", where=source.where, remedy="mend or fetch the file again",
            )  # fmt: skip
    what = meaning(table.names[wave_at])
    unit = (
        units[wave_at]
        or (what.unit if what else None)
        or next((values[k] for k in _WAVE_UNIT_KEYS if k in values), None)
        or source.options.wave_unit
    )
    if unit is None:
        raise no_wave_unit(source, "nothing in the file states the unit of the wavelengths")
    if spectral_kind(unit) is None and source.options.wave_unit and units[wave_at] is None:
        unit = source.options.wave_unit
    flux_what = meaning(table.names[flux_at])
    flux_unit = (
        units[flux_at]
        or (flux_what.unit if flux_what else None)
        or next((values[k] for k in _FLUX_UNIT_KEYS if k in values), None)
    )
    extras, warnings = _extras(table, columns, arrays)
    if flux_what is None and table.named:
        warnings.append(f"column {table.names[flux_at]!r} is taken for the flux")
    error_at = columns.uncertainty
    samples = Samples(
        wave=_float(arrays[wave_at]), flux=_float(arrays[flux_at]), wave_unit=unit,
        scale=what.scale if what else Scale.LINEAR,
        medium=what.medium if what else Medium.UNKNOWN, flux_unit=flux_unit,
        uncertainty=None if error_at is None or arrays[error_at].dtype == object
        else _float(arrays[error_at]),
        kind=columns.kind,
        error_name="err" if error_at is None else table.names[error_at],
        flags=None if columns.flags is None else arrays[columns.flags],
        flag_name="mask" if columns.flags is None else table.names[columns.flags],
        extras=extras,
    )  # fmt: skip
    obs_id = next((str(v) for k in SPECTRUM_IDS if (v := present(values.get(k))) is not None), None)
    return spectrum_of(source, "ascii", samples, values, obs_id=obs_id, warnings=tuple(warnings))


def _float(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _declared(array: NDArray[Any], name: str | None) -> NDArray[Any]:
    """The column in the narrower numeric type that an ECSV header declares, if it fits there.

    Digits that name a float32 give a float64 near it; its bits come back by rounding.
    """
    if name not in ("float32", "uint8", "int8", "int16", "uint16", "int32", "uint32"):
        return array
    to = np.dtype(name)
    if to.kind == "f":
        with np.errstate(over="ignore"):
            return array.astype(to) if array.dtype.kind in "fi" else array
    if array.dtype.kind != "i" or not len(array):
        return array
    limits = np.iinfo(to)
    return array.astype(to) if limits.min <= array.min() and array.max() <= limits.max else array


def _extras(
    table: TextTable, columns: Assignment, arrays: Sequence[NDArray[Any]]
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Columns that have no part: kept by name, or as ``column3`` with a warning if nameless."""
    extras: dict[str, NDArray[Any]] = {}
    warnings: list[str] = []
    for i in columns.others:
        name = table.names[i] or f"column{i + 1}"
        if arrays[i].dtype == object:
            warnings.append(f"column {name!r} holds text and is left out")
            continue
        if not table.names[i]:
            warnings.append(f"the file does not say what column {i + 1} is: kept as {name!r}")
        while name in extras:
            name += "_"
        extras[name] = arrays[i]
    return extras, warnings


def _ecsv(
    table: TextTable, source: SourceFile
) -> tuple[list[str | None], dict[str, Any], list[str | None]]:
    """Units, metadata and types of an ECSV header (a YAML document in comments)."""
    from astropy.table.meta import get_header_from_yaml

    lines = bytes(source.data[: table.body]).decode("utf-8", "replace").splitlines()
    yaml = [line[2:] for line in lines if line.startswith("# ") and not line.startswith("# %ECSV")]
    try:
        header = get_header_from_yaml(yaml)
        units = {c["name"]: c.get("unit") for c in header["datatype"]}
        types = {c["name"]: c.get("datatype") for c in header["datatype"]}
        meta = dict(header.get("meta") or {})
    except Exception as error:  # a foreign YAML parser on foreign text: anything can come
        raise DataError(
            f"the ECSV header cannot be read: {error}", code="bad_ecsv", where=source.where,
            remedy="write the file again with astropy.table",
        ) from error  # fmt: skip
    found = [units.get(name) for name in table.names]
    values = {normal_key(str(k)): v for k, v in meta.items()}
    texts = [None if unit is None else str(unit) for unit in found]
    return texts, values, [types.get(name) for name in table.names]


READERS = (
    Reader(
        name="ascii",
        title="Text tables: ECSV, CSV, ASCII columns",
        recognise=recognise,
        read=read,
        medium="as declared (column name, header line), else unknown",
        frame="as declared, else unknown",
        uncertainty="by column name (err, var, ivar); an unnamed third column is not guessed",
        mask="a column called mask, flag or quality: any non-zero value is bad",
        why_own="specutils' ASCII and ECSV loaders take the unit for granted or guess the error "
        "column; ours reads declared units only and is about 10 × faster",
        source="ECSV 1.0 (astropy APE 6); CDS byte-by-byte descriptions; LiMe text files",
    ),
)
