"""Parquet: one file, one row a spectrum, samples as lists beside the catalogue's columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.spectrum import EchelleSpectrum, Spectrum, UncertaintyKind
from .samples import flat, safe_name
from .source import ExportSource, Record, scheme_json
from .units import vounit

NAME = "spectra.parquet"
GROUP_ROWS = 100
GROUP_SAMPLES = 2**20
"""Small row groups: reading one spectrum reads its whole group."""
_POWERS = {UncertaintyKind.STD: 1, UncertaintyKind.VAR: 2, UncertaintyKind.IVAR: -2}


@dataclass(slots=True)
class Layout:
    """What the spectra of one export have in common, found in a first pass over them.

    types : list column → the narrowest type that holds every spectrum's numbers exactly
    extras : name of an extra → its column · units, kinds : all flux units and uncertainty kinds
    n_samples : (n,) samples of each spectrum
    """

    types: dict[str, np.dtype[Any]] = field(default_factory=dict)
    extras: dict[str, str] = field(default_factory=dict)
    units: set[str | None] = field(default_factory=set)
    kinds: set[UncertaintyKind] = field(default_factory=set)
    n_samples: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, source: ExportSource) -> Layout:
        """The layout of all spectra of a source.

        Raises UsageError (mixed_types) when no type holds all flags or extras of one name.
        """
        layout = cls(types={"wave_aa": np.dtype(np.float64)})
        taken = {"wave_aa", "flux", "uncertainty", "flags"}
        for _, spectrum in source:
            layout.units.add(spectrum.flux_unit)
            layout.n_samples.append(spectrum.flux.size)
            layout._add("flux", spectrum.flux)
            if spectrum.uncertainty is not None:
                layout.kinds.add(spectrum.uncertainty_kind)
                layout._add("uncertainty", spectrum.uncertainty)
            if spectrum.flags is not None:
                layout._add("flags", spectrum.flags)
            for name, array in spectrum.extras.items():
                if name not in layout.extras:
                    layout.extras[name] = safe_name(name, taken)
                layout._add(layout.extras[name], array)
        return layout

    def _add(self, column: str, array: NDArray[Any]) -> None:
        old = self.types.get(column, array.dtype)
        new = np.promote_types(old, array.dtype)
        inexact = new.kind == "f" and {old, array.dtype} & {np.dtype("u8"), np.dtype("i8")}
        if inexact and old != array.dtype:
            raise UsageError(
                f"{column!r} is {old} in some spectra and {array.dtype} in others: no column "
                "type holds both exactly",
                code="mixed_types", remedy="export them in two goes, with --where",
            )  # fmt: skip
        self.types[column] = new

    def cells(self, spectrum: Spectrum) -> dict[str, NDArray[Any]]:
        """Column → flattened samples, of those that the spectrum has."""
        found = {"wave_aa": flat(spectrum.wave_aa), "flux": flat(spectrum.flux)}
        if spectrum.uncertainty is not None:
            found["uncertainty"] = flat(spectrum.uncertainty)
        if spectrum.flags is not None:
            found["flags"] = flat(spectrum.flags)
        found |= {self.extras[name]: flat(array) for name, array in spectrum.extras.items()}
        return found

    def metadata(self, column: str) -> dict[str, str]:
        """Unit and description of a list column; a unit only where all spectra share it."""
        if column == "wave_aa":
            return {"unit": "Angstrom", "ucd": "em.wl",
                    "description": "Wavelength, in the row's medium and specsys"}  # fmt: skip
        unit: str | None = next(iter(self.units)) if len(self.units) == 1 else None
        if column == "flux":
            about = {"description": "Flux as delivered, in the row's flux_unit"}
            text = vounit(unit)
            return {"unit": text, **about} if text else about
        if column == "uncertainty":
            about = {"description": "As delivered, of the row's uncertainty_kind"}
            text = vounit(unit, _POWERS[next(iter(self.kinds))]) if len(self.kinds) == 1 else None
            return {"unit": text, **about} if text else about
        if column == "flags":
            return {"description": "As delivered; bits are explained by the row's flag_scheme"}
        name = next(n for n, c in self.extras.items() if c == column)
        return {"description": f"{name} as delivered"}


def write(source: ExportSource, folder: Path) -> list[Path]:
    """One file ``spectra.parquet``: a row a spectrum, in the order of the source.

    Beside the catalogue's columns stand lists ``wave_aa`` (Å), ``flux``, ``uncertainty`` (of the
    row's ``uncertainty_kind``), ``flags`` and extras, null where a spectrum has none, and
    ``flag_scheme`` (JSON). Samples keep their bits; a column whose spectra differ in type takes
    the narrowest type that holds all exactly. Echelle spectra are flattened order after order;
    ``n_orders`` tells into how many equal parts, ``order_numbers`` (JSON) which.
    """
    layout = Layout.of(source)
    lists = [pa.field(c, pa.list_(pa.from_numpy_dtype(t)), metadata=layout.metadata(c))
             for c, t in layout.types.items()]  # fmt: skip
    records = record_schema(source.schema)
    schema = pa.schema([*records, *lists], metadata=FILE_METADATA)
    with open_writer(folder / NAME, schema, {c: f"{c}.list.element" for c in layout.types},
                     layout) as writer:  # fmt: skip
        for group in row_groups(iter(source)):
            arrays = [pa.array([r[f.name] for r, _ in group], f.type) for f in records]
            cells = [layout.cells(spectrum) for _, spectrum in group]
            arrays += [list_array([c.get(f.name) for c in cells], f.type) for f in lists]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return [folder / NAME]


FILE_METADATA = {"written_by": "spectrarium"}


def record_schema(schema: pa.Schema) -> pa.Schema:
    """The catalogue's columns and those that explain the lists."""
    more = (
        ("flag_scheme", "What the bits of flags mean (JSON: name, bits, bad = OR of bad bits)"),
        ("order_numbers", "Echelle orders that follow one another in the lists (JSON)"),
    )
    fields = [pa.field(name, pa.string(), metadata={"description": text}) for name, text in more]
    return pa.schema([*schema, *fields])


def full_record(record: Record, spectrum: Spectrum) -> dict[str, Any]:
    """The catalogue row with `flag_scheme` and `order_numbers`."""
    has_flags = spectrum.flags is not None
    orders = spectrum.order_numbers if isinstance(spectrum, EchelleSpectrum) else None
    return {
        **record,
        "flag_scheme": scheme_json(spectrum.flag_scheme) if has_flags else None,
        "order_numbers": None if orders is None else json.dumps(orders),
    }


def row_groups(
    pairs: Iterator[tuple[Record, Spectrum]],
) -> Iterator[list[tuple[dict[str, Any], Spectrum]]]:
    """Rows in groups of at most `GROUP_ROWS` and about `GROUP_SAMPLES`."""
    group: list[tuple[dict[str, Any], Spectrum]] = []
    samples = 0
    for record, spectrum in pairs:
        if group and (
            len(group) >= GROUP_ROWS or samples + spectrum.flux.size > GROUP_SAMPLES
        ):  # fmt: skip
            yield group
            group, samples = [], 0
        group.append((full_record(record, spectrum), spectrum))
        samples += spectrum.flux.size
    if group:
        yield group


def list_array(cells: list[NDArray[Any] | None], kind: Any) -> Any:
    """A list column of per-row arrays; None becomes null."""
    lengths = [0 if c is None else len(c) for c in cells]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    dtype = kind.value_type.to_pandas_dtype()
    present = [c.astype(dtype) for c in cells if c is not None]
    values = np.concatenate(present) if present else np.zeros(0, dtype)
    null = np.array([c is None for c in cells])
    return pa.ListArray.from_arrays(
        offsets, pa.array(values, kind.value_type), kind, mask=pa.array(null)
    )


def open_writer(path: Path, schema: Any, leaves: Mapping[str, str], layout: Layout) -> Any:
    """A ParquetWriter: zstd; floats as split bytes; a dictionary for texts only.

    leaves : list column → path of its values in the Parquet schema
    """
    floats = [leaves[c] for c, t in layout.types.items() if t.kind == "f"]
    texts = [f.name for f in schema if pa.types.is_string(f.type)]
    scalars = [f.name for f in schema if not pa.types.is_nested(f.type)]
    return pq.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=texts or False,
        use_byte_stream_split=floats or False, write_statistics=scalars or False,
    )  # fmt: skip
