"""HATS: a catalogue partitioned on the sky, each spectrum a nested column of its row."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cdshealpix
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.spectrum import Spectrum
from .columnar import FILE_METADATA, Layout, list_array, open_writer, record_schema, row_groups
from .source import ExportSource

FOLDER = "hats"
LEFT_OUT = "hats_left_out.csv"
PARTITION_SAMPLES = 2**24
"""Samples in a partition beyond which it is split: some 200 MB."""
MAX_ORDER = 12
_ORDER = 29
_INDEX = "_healpix_29"


@dataclass(frozen=True, slots=True)
class Pixel:
    """One partition: a nested HEALPix cell and the slice of sorted rows in it."""

    order: int
    pixel: int
    start: int
    stop: int

    @property
    def path(self) -> str:
        """Where the partition lies below ``dataset``."""
        return f"Norder={self.order}/Dir={self.pixel // 10_000 * 10_000}/Npix={self.pixel}.parquet"


def write(source: ExportSource, folder: Path) -> list[Path]:
    """A HATS catalogue in a folder ``hats``; its path, and that of a list of what is not in it.

    Rows are the catalogue's columns, ``_healpix_29`` and the struct of lists ``spectrum``
    (``wave_aa``, ``flux``, ``uncertainty``, ``flags``, extras: all of one length, null where a
    spectrum has none, but flags 0 where ``has_flags`` is false). Echelle spectra are flattened
    order after order; ``n_orders`` and ``order_numbers`` tell how.

    A row without a position has no place in HATS: it is listed in ``hats_left_out.csv`` beside
    the catalogue, with a warning. Raises UsageError (no_coordinates) when no row has one.
    Source: HATS (IVOA Note 2025), as read by hats and lsdb 0.11.
    """
    cells = healpix29(source.s_ra, source.s_dec)
    placed = np.flatnonzero(cells >= 0)
    if not len(placed):
        raise UsageError(
            "none of the observations has coordinates", code="no_coordinates",
            remedy="HATS is a partition of the sky: export as parquet instead",
        )  # fmt: skip
    rows = placed[np.argsort(cells[placed], kind="stable")]
    layout = Layout.of(source)
    root = folder / FOLDER
    pixels = partitions(cells[rows], np.array(layout.n_samples, np.int64)[rows])
    _dataset(source, layout, rows, cells, pixels, root)
    text = "Norder,Npix\n" + "".join(f"{p.order},{p.pixel}\n" for p in pixels)
    (root / "partition_info.csv").write_text(text)
    properties = _properties(source, rows, pixels)
    for name in ("hats.properties", "properties"):  # the second is what older readers look for
        (root / name).write_text(properties, "utf-8")
    return [root, *_left_out(source, np.flatnonzero(cells < 0), folder)]


def healpix29(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) nested HEALPix of order 29; −1 without a position."""
    out = np.full(ra_deg.shape, -1, np.int64)
    ok = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    if ok.any():
        out[ok] = cdshealpix.lonlat_to_healpix(
            Longitude(ra_deg[ok], u.deg), Latitude(dec_deg[ok], u.deg), _ORDER
        ).astype(np.int64)
    return out


def partitions(cells: NDArray[np.int64], samples: NDArray[np.int64]) -> list[Pixel]:
    """Cells of the coarsest orders that hold at most `PARTITION_SAMPLES`, along the sorted rows.

    A single row that holds more stays whole, as do rows nearer together than order `MAX_ORDER`.
    """
    total = np.concatenate(([0], np.cumsum(samples)))

    def split(order: int, pixel: int, start: int, stop: int) -> Iterator[Pixel]:
        few = total[stop] - total[start] <= PARTITION_SAMPLES or stop - start == 1
        if few or order == MAX_ORDER:
            yield Pixel(order, pixel, start, stop)
            return
        yield from children(order + 1, range(4 * pixel, 4 * pixel + 4), start, stop)

    def children(order: int, pixels: range, start: int, stop: int) -> Iterator[Pixel]:
        shift = 2 * (_ORDER - order)
        edges = np.array([p << shift for p in (*pixels, pixels[-1] + 1)], np.int64)
        bounds = start + np.searchsorted(cells[start:stop], edges)
        for i, pixel in enumerate(pixels):
            if bounds[i] < bounds[i + 1]:
                yield from split(order, pixel, int(bounds[i]), int(bounds[i + 1]))

    return sorted(children(0, range(12), 0, len(cells)), key=lambda p: (p.order, p.pixel))


def _dataset(
    source: ExportSource, layout: Layout, rows: NDArray[np.int64], cells: NDArray[np.int64],
    pixels: list[Pixel], root: Path,
) -> None:  # fmt: skip
    records = record_schema(source.schema)
    children = [pa.field(c, pa.list_(pa.from_numpy_dtype(t)), metadata=layout.metadata(c))
                for c, t in layout.types.items()]  # fmt: skip
    nested = pa.struct(children)
    schema = pa.schema(
        [pa.field(_INDEX, pa.int64()), *records, pa.field("spectrum", nested)],
        metadata=FILE_METADATA,
    )
    leaves = {c: f"spectrum.{c}.list.element" for c in layout.types}
    footers: list[Any] = []
    for pixel in pixels:
        path = root / "dataset" / pixel.path
        path.parent.mkdir(parents=True, exist_ok=True)
        at = rows[pixel.start : pixel.stop]
        done = 0
        with open_writer(path, schema, leaves, layout) as writer:
            for group in row_groups(source.take(at)):
                index = cells[at[done : done + len(group)]]
                done += len(group)
                arrays = [pa.array(index), *(
                    pa.array([r[f.name] for r, _ in group], f.type) for f in records
                )]  # fmt: skip
                arrays.append(_nested(layout, [s for _, s in group], nested))
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        footer = pq.read_metadata(path)
        footer.set_file_path(pixel.path)
        footers.append(footer)
    pq.write_metadata(schema, root / "dataset" / "_common_metadata")
    pq.write_metadata(schema, root / "dataset" / "_metadata", metadata_collector=footers)


def _nested(layout: Layout, spectra: list[Spectrum], kind: Any) -> Any:
    """The struct column; in each row all lists have the spectrum's length."""
    cells = [layout.cells(s) for s in spectra]
    sizes = np.array([s.flux.size for s in spectra])
    arrays = []
    for f in kind:
        dtype = f.type.value_type.to_pandas_dtype()
        filled = [c.get(f.name) for c in cells]
        values: list[NDArray[Any] | None] = [
            np.zeros(n, dtype) if v is None else v for v, n in zip(filled, sizes, strict=True)
        ]
        array = list_array(values, f.type)
        absent = np.repeat([v is None for v in filled], sizes)
        if absent.any() and f.name != "flags":
            flat = pa.array(array.flatten().to_numpy(zero_copy_only=False), f.type.value_type,
                            mask=absent)  # fmt: skip
            array = pa.ListArray.from_arrays(array.offsets, flat, f.type)
        arrays.append(array)
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _properties(source: ExportSource, rows: NDArray[np.int64], pixels: list[Pixel]) -> str:
    name = re.sub(r"[^\w.+ -]", "_", source.name)  # a backslash would escape in such a file
    sky = sum(1 / (12 * 4**p.order) for p in pixels)
    default = [n for n in ("obs_id", "obs_collection", "target_name", "target_class", "s_ra",
                           "s_dec", "snr", "redshift", "medium", "specsys", "flux_unit",
                           "uncertainty_kind") if n in source.schema.names]  # fmt: skip
    values = {
        "obs_collection": name, "dataproduct_type": "object", "hats_nrows": len(rows),
        "hats_col_ra": "s_ra", "hats_col_dec": "s_dec",
        "hats_cols_default": " ".join([*default, "spectrum"]),
        "hats_col_healpix": _INDEX, "hats_col_healpix_order": _ORDER,
        "hats_npix_suffix": ".parquet", "hats_order": max(p.order for p in pixels),
        "hats_max_rows": max(p.stop - p.start for p in pixels),
        "moc_sky_fraction": f"{sky:.5f}", "hats_builder": "spectrarium", "hats_version": "v1.0",
    }  # fmt: skip
    return "#HATS catalog\n" + "".join(f"{k}={v}\n" for k, v in values.items())


def _left_out(source: ExportSource, rows: NDArray[np.int64], folder: Path) -> list[Path]:
    if not len(rows):
        return []
    path = folder / LEFT_OUT
    with path.open("w", newline="", encoding="utf-8") as handle:
        out = csv.writer(handle)
        out.writerow(["obs_collection", "obs_id", "target_name", "reason"])
        for record, _ in source.take(rows):
            names = (record.get(k) for k in ("obs_collection", "obs_id", "target_name"))
            out.writerow([*names, "no coordinates"])
    warnings.warn(f"{len(rows)} observations without coordinates are not in the HATS catalogue: "
                  f"see {LEFT_OUT}", UserWarning, stacklevel=2)  # fmt: skip
    return [path]
