"""Spectrum Data Model 1.2 in FITS: one row of array cells, with its keywords and checksums."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning

from ..domain.axis import Medium, SpecSys
from ..domain.spectrum import Spectrum
from .files import FileNames
from .samples import Column, sdm_columns, wave_limits
from .sdm import Param, params
from .source import ExportSource, Record

_FORMATS = {"bool": "L", "uint8": "B", "int16": "I", "int32": "J", "int64": "K", "float32": "E",
            "float64": "D"}  # fmt: skip
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
        hdus(record, spectrum).writeto(path)
        out.append(path)
    return out


def hdus(record: Record, spectrum: Spectrum) -> fits.HDUList:
    """An empty primary HDU, the spectrum, and a table OBSERVATION of all names and values.

    Keywords hold what table F.1 of the model names; texts that FITS cannot hold (not ASCII) have
    ``?`` there and are whole, backslash-escaped, in OBSERVATION.
    Source: IVOA Spectrum Data Model 1.2, section 9; FITS 4.0.
    """
    columns, notes = sdm_columns(spectrum)
    table = fits.BinTableHDU.from_columns([_column(c) for c in columns], name="SPECTRUM")
    header = table.header
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
    # a fixed text in place of the time keeps the same export the same file
    for hdu in (table, about):
        hdu.add_checksum(when="by Spectrarium")
    return fits.HDUList([fits.PrimaryHDU(), table, about])


def _column(column: Column) -> fits.Column:
    cell = f"{len(column.values)}{_FORMATS[column.values.dtype.name]}"
    name = _NAMES.get(column.name, column.name.upper())
    return fits.Column(name=name, format=cell, array=column.values[np.newaxis])


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
        ("TUCD", ucd), ("TUNIT", column.unit or ""),
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


def _observation(found: list[Param], columns: list[Column]) -> fits.BinTableHDU:
    rows: Iterable[tuple[str, str]] = (
        *((p.name, _text(p.value)) for p in found),
        *((f"column {c.name}", c.description) for c in columns if c.description),
    )
    names, values = zip(*((_ascii(n), _ascii(v)) for n, v in rows), strict=True)
    width = [max(map(len, texts)) or 1 for texts in (names, values)]
    return fits.BinTableHDU.from_columns(
        [fits.Column("NAME", f"{width[0]}A", array=np.array(names)),
         fits.Column("VALUE", f"{width[1]}A", array=np.array(values))],
        name="OBSERVATION",
    )  # fmt: skip


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
