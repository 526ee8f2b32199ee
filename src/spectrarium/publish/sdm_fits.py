"""Spectrum Data Model 1.2 in FITS: one row of array cells, with its keywords and checksums."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.spectrum import Spectrum
from .files import FileNames
from .fits_bytes import primary, table_bytes, table_header
from .samples import Column, sdm_columns, wave_limits
from .sdm import Param, params
from .source import ExportSource, Record
from .units import fits_unit

_NAMES = {"flux_error": "ERR"}
"""Names that the model's FITS mapping recommends where they are not our own in capitals."""


def write(source: ExportSource, folder: Path) -> list[Path]:
    """One ``.fits`` file an observation.

    Flux, errors and flags keep their delivered bits. Orders of an echelle spectrum follow one
    another in the same cell, told apart by the column ORDER.
    """
    names = FileNames()
    out = []
    for record, spectrum in source:
        path = folder / names.name(record, "fits")
        path.write_bytes(document(record, spectrum))
        out.append(path)
    return out


def document(record: Record, spectrum: Spectrum) -> bytes:
    """An empty primary HDU, the spectrum, and a table OBSERVATION of all names and values.

    Keywords hold what table F.1 of the model names; texts that FITS cannot hold (not ASCII) have
    ``?`` there and are whole, backslash-escaped, in OBSERVATION.
    Source: IVOA Spectrum Data Model 1.2, section 9; FITS 4.0.
    """
    columns, notes = sdm_columns(spectrum)
    rows = _rows(columns)
    header = table_header(rows, "SPECTRUM")
    found = params(record, spectrum, columns[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)  # long texts take CONTINUE cards
        for number, column in enumerate(columns, 1):
            _describe(header, number, column, spectrum)
        low, high = wave_limits(columns[0], spectrum)
        _set(header, "TDMIN1", low)
        _set(header, "TDMAX1", high)
        for p in found:
            _keyword(header, p, spectrum)
        if spectrum.axis.medium is not Medium.UNKNOWN:
            header["VACUUM"] = (spectrum.axis.medium is Medium.VACUUM, "wavelength in vacuum?")
        for note in notes:
            header["COMMENT"] = note
    about = _observation(found, columns)
    return (
        primary()
        + table_bytes(header, rows)
        + table_bytes(table_header(about, "OBSERVATION"), about)
    )


def _rows(columns: list[Column]) -> NDArray[Any]:
    """(1,) structured array of cells in FITS's byte order; logicals are the bytes T and F."""
    cells = []
    for column in columns:
        dtype = column.values.dtype
        wire = "S1" if dtype.kind == "b" else dtype.newbyteorder(">").str
        cells.append((_NAMES.get(column.name, column.name.upper()), wire, column.values.shape))
    out = np.zeros(1, np.dtype(cells))
    for (name, _, _), column in zip(cells, columns, strict=True):
        values = column.values
        out[name][0] = np.where(values, b"T", b"F") if values.dtype == bool else values
    return out


def _describe(header: fits.Header, number: int, column: Column, spectrum: Spectrum) -> None:
    ucd = column.ucd
    if number == 1 and spectrum.axis.medium is Medium.UNKNOWN and ucd == "em.wl":
        # in one-row tables a bare em.wl is read as vacuum (ESO's convention)
        ucd = "em.wl;meta.main"
    if len(column.description) <= 40 and column.description.isascii():
        header.comments[f"TTYPE{number}"] = column.description
    after = f"TFORM{number}"
    for key, value in (
        ("TUTYP", f"Spectrum.Data.{column.role}" if column.role else ""),
        ("TUCD", ucd), ("TUNIT", fits_unit(column.unit) or ""),
    ):  # fmt: skip
        if value:
            header.set(f"{key}{number}", value, after=after)


def _keyword(header: fits.Header, p: Param, spectrum: Spectrum) -> None:
    value = p.value
    if p.keyword == "RA DEC":
        for key, angle in zip(("RA", "DEC"), value, strict=True):
            _set(header, key, angle, f"[{p.unit}]")
    elif p.keyword == "SPECSYS":
        specsys = spectrum.axis.specsys
        header["SPECSYS"] = "UNKNOWN" if specsys is SpecSys.UNKNOWN else specsys.value
    elif p.keyword:
        _set(header, p.keyword, value, f"[{p.unit}]" if p.unit else "")
        if p.keyword == "RADECSYS":
            header["RADESYS"] = value


def _set(header: fits.Header, key: str, value: Any, comment: str = "") -> None:
    if isinstance(value, float) and not np.isfinite(value):
        return  # FITS has no NaN in headers: what is unknown is absent
    if isinstance(value, str):
        value = "".join(c if " " <= c <= "~" else "?" for c in value)
        comment = comment if len(value) < 40 else ""
    header[key] = (value, comment) if comment else value


def _observation(found: list[Param], columns: list[Column]) -> NDArray[Any]:
    pairs = [(_ascii(p.name), _ascii(_text(p.value))) for p in found]
    pairs += [(_ascii(f"column {c.name}"), _ascii(c.description)) for c in columns if c.description]
    widths = [max(len(pair[i]) for pair in pairs) or 1 for i in (0, 1)]
    return np.array(pairs, [("NAME", f"S{widths[0]}"), ("VALUE", f"S{widths[1]}")])


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "backslashreplace")
