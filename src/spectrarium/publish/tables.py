"""ECSV: one text table an observation, with units and everything known in its header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from astropy.table import Column as TableColumn
from astropy.table import Table

from ..domain.spectrum import EchelleSpectrum, Spectrum, UncertaintyKind
from .files import FileNames
from .samples import Column, flat, order_numbers, portable, safe_name
from .sdm import metadata_of
from .source import ExportSource, Record, scheme_json, scheme_text
from .units import vounit

_POWERS = {UncertaintyKind.STD: 1, UncertaintyKind.VAR: 2, UncertaintyKind.IVAR: -2}
WRITTEN_BY = "spectrarium"


def write(source: ExportSource, folder: Path) -> list[Path]:
    """One ``.ecsv`` table an observation.

    Every number is written so that it reads back to the same bits in its declared type. Orders
    of an echelle spectrum follow one another, told apart by a column ``order``.
    """
    names = FileNames()
    out = []
    for record, spectrum in source:
        path = folder / names.name(record, "ecsv")
        table(record, spectrum).write(path, format="ascii.ecsv", delimiter=",")
        out.append(path)
    return out


def table(record: Record, spectrum: Spectrum) -> Table:
    """Columns wave_aa, flux, uncertainty, flags, order and extras; the record as ``meta``.

    The uncertainty is as delivered, its kind in ``meta["uncertainty_kind"]``.
    Source: ECSV 1.0 (astropy APE 6).
    """
    columns = {}
    left_out = []
    for column in _columns(spectrum):
        values = portable(column.values)
        if values is None:
            left_out.append(column.name)
            continue
        unit = column.unit if column.unit else None
        columns[column.name] = TableColumn(values, unit=unit, description=column.description)
    meta: dict[str, Any] = {"written_by": WRITTEN_BY}
    meta |= {k: v for k, v in record.items() if v is not None and k != "metadata"}
    if (found := metadata_of(record)) != {}:
        meta["metadata"] = found
    if spectrum.flags is not None and spectrum.flag_scheme is not None:
        meta["flag_scheme"] = scheme_json(spectrum.flag_scheme)
    if isinstance(spectrum, EchelleSpectrum) and spectrum.trace is not None:
        meta["trace"] = spectrum.trace
    if left_out:
        meta["left_out"] = left_out
    return Table(columns, meta=meta)


def _columns(spectrum: Spectrum) -> list[Column]:
    unit = spectrum.flux_unit
    out = [Column("wave_aa", flat(spectrum.wave_aa), "Angstrom", description="Wavelength"),
           Column("flux", flat(spectrum.flux), vounit(unit), description="As delivered"),
           ]  # fmt: skip
    if spectrum.uncertainty is not None:
        kind = spectrum.uncertainty_kind
        out.append(Column("uncertainty", flat(spectrum.uncertainty), vounit(unit, _POWERS[kind]),
                          description=f"{kind.value} as delivered"))  # fmt: skip
    if spectrum.flags is not None:
        out.append(Column("flags", flat(spectrum.flags),
                          description=scheme_text(spectrum.flag_scheme)))  # fmt: skip
    orders = order_numbers(spectrum)
    if orders is not None:
        out.append(Column("order", orders, description="Echelle order"))
    taken = {c.name for c in out}
    for name, array in spectrum.extras.items():
        out.append(Column(safe_name(name, taken), flat(array), description=f"{name} as delivered"))
    return out
