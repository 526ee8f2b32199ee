"""Many cut-outs as one table: a row each, in the order asked for, samples in array columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.axis import Scale
from ..domain.spectrum import Spectrum
from ..domain.units import spectral_kind
from ..run.cutouts import Cutout, Status
from . import votable
from .columnar import list_array
from .publisher import Publisher
from .samples import flux_ucd, portable, standard_deviation
from .units import vounit

SODA = "ivo://ivoa.net/std/SODA#sync-1.0"
_RECORD = (
    ("obs_collection", pa.string(), "", "meta.id", "Survey or instrument product"),
    ("obs_id", pa.string(), "", "meta.id", "The survey's own identifier"),
    ("target_name", pa.string(), "", "meta.id;src", "Object observed"),
    ("s_ra", pa.float64(), "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS"),
    ("s_dec", pa.float64(), "deg", "pos.eq.dec;meta.main", "Declination, ICRS"),
    ("t_min", pa.float64(), "d", "time.start;obs.exposure", "Start, MJD (UTC)"),
    ("t_max", pa.float64(), "d", "time.end;obs.exposure", "End, MJD (UTC)"),
    ("instrument_name", pa.string(), "", "meta.id;instr", "Instrument"),
    ("em_res_power", pa.float64(), "", "spect.resolution", "Resolving power"),
)  # fmt: skip
_ROWS = 50
"""Cut-outs encoded at a time: what a table of any length needs in memory beside itself."""
_PIECE = 1 << 20
_MORE = "sky, continuum and other such columns are in the cut-out of this spectrum alone"


@dataclass(frozen=True, slots=True)
class Shared:
    """What all spectra of a table have in common. None = they differ, or it is not known.

    wave : unit of the wavelengths (Å where they differ) · flux, ucd : of the flux
    """

    wave: str
    flux: str | None
    ucd: str

    @classmethod
    def of(cls, spectra: Sequence[Spectrum]) -> Shared:
        """Of these."""
        units = {
            s.axis.unit
            for s in spectra
            if s.axis.scale is Scale.LINEAR and spectral_kind(s.axis.unit) == "wavelength"
        }
        same = len(units) == 1 and all(s.axis.unit in units for s in spectra)
        fluxes = {s.flux_unit for s in spectra}
        ucds = {flux_ucd(s) for s in spectra}
        return cls(
            units.pop() if same else "Angstrom", fluxes.pop() if len(fluxes) == 1 else None,
            ucds.pop() if len(ucds) == 1 else "phot.flux.density",
        )  # fmt: skip


def table_of(found: Sequence[Cutout], publisher: Publisher) -> pa.Table:
    """The table of cut-outs; fields say unit, ucd and meaning.

    Flux, flags and their types are as delivered (the narrowest type that holds all), errors are
    standard deviations, quality is 0 = good, 1 = unusable.
    """
    spectra = [c.spectrum for c in found]
    shared = Shared.of([s for s in spectra if s is not None])
    wave = vounit(shared.wave) or ""
    flux = vounit(shared.flux) or ""
    columns = [
        _column("number", [c.number for c in found], pa.int32(), "", "meta.number",
                "Which of the IDs asked for, from 1"),
        _column("id", [c.asked for c in found], pa.string(), "", "meta.id", "ID as asked for"),
        _column("obs_publisher_did", [publisher.did(c.record) if c.record else None for c in found],
                pa.string(), "", "meta.ref.ivoid;meta.main", "The dataset it was cut out of"),
        _column("status", [c.status.value for c in found], pa.string(), "", "meta.code.status",
                "OK, NOT_FOUND, NO_PIXELS, REFUSED or DAMAGED"),
        _column("message", [c.message for c in found], pa.string(), "", "meta.note",
                "Why there is no cut-out"),
        _column("notes", [_notes(c) for c in found], pa.string(), "", "meta.note",
                "What to know of the cut-out"),
        *(_column(name, [c.record.get(name) for c in found], kind, unit, ucd, about)
          for name, kind, unit, ucd, about in _RECORD),
        _column("band_min", [_end(c, 0) for c in found], pa.float64(), "m", "em.wl;stat.min",
                "Asked for: from, vacuum"),
        _column("band_max", [_end(c, 1) for c in found], pa.float64(), "m", "em.wl;stat.max",
                "Asked for: to, vacuum"),
        *_said(spectra),
        _column("redshift", [c.redshift for c in found], pa.float64(), "", "src.redshift",
                "Redshift that the wavelengths were put to rest by"),
        _column("n_samples", [0 if s is None else len(s) for s in spectra], pa.int32(), "",
                "meta.number", "Samples"),
        _arrays("wavelength", [_each(s, lambda s: _wave(s, shared.wave)) for s in spectra], wave,
                "em.wl", "Wavelength, in the row's medium and frame", np.dtype("f8")),
        _arrays("flux", [_each(s, lambda s: s.flux) for s in spectra], flux, shared.ucd,
                "Flux, in the row's flux_unit"),
        _arrays("flux_error", [_each(s, standard_deviation) for s in spectra], flux,
                f"stat.error;{shared.ucd}", "Standard deviation of the flux"),
        _arrays("quality", [_each(s, lambda s: s.mask.astype(np.int16)) for s in spectra], "",
                "meta.code.qual", "0 good, 1 unusable", np.dtype("i2")),
        _arrays("flags", [_each(s, lambda s: s.flags) for s in spectra], "", "meta.code",
                "Flags as delivered, or 1 where a bin is less than half covered"),
        _arrays("order", [_each(s, lambda s: s.extras.get("order")) for s in spectra], "",
                "instr.order", "Echelle order; orders follow one another", np.dtype("i4")),
    ]  # fmt: skip
    fields, arrays = zip(*(c for c in columns if c is not None), strict=True)
    return pa.Table.from_arrays(list(arrays), schema=pa.schema(list(fields)))


Made = tuple[pa.Field, pa.Array]


def _column(
    name: str, values: list[Any], kind: pa.DataType, unit: str, ucd: str, about: str
) -> Made:
    return _field(name, kind, unit, ucd, about), pa.array(values, kind)


def _field(name: str, kind: pa.DataType, unit: str, ucd: str, about: str) -> pa.Field:
    said = {"unit": unit, "ucd": ucd, "about": about}
    return pa.field(name, kind, metadata={k: v for k, v in said.items() if v})


def _said(spectra: Sequence[Spectrum | None]) -> list[Made]:
    """What spectra say of themselves after all was done to them."""
    words = (
        ("medium", "meta.code", "vacuum, air or unknown", lambda s: s.axis.medium.value),
        ("specsys", "meta.code", "Velocity frame of the wavelengths; SOURCE = at rest",
         lambda s: s.axis.specsys.value),
        ("flux_unit", "meta.unit", "Unit of the flux; empty = dimensionless or not known",
         lambda s: vounit(s.flux_unit)),
        ("flux_calibration", "meta.code;obs.calib", "SSA FluxAxis calibration",
         lambda s: s.flux_calibration.value),
        ("normalisation", "meta.code", "What was done to the continuum",
         lambda s: s.normalisation.value),
    )  # fmt: skip
    return [_column(name, [_each(s, read) for s in spectra], pa.string(), "", ucd, about)
            for name, ucd, about, read in words]  # fmt: skip


def _each(spectrum: Spectrum | None, read: Any) -> Any:
    return None if spectrum is None else read(spectrum)


def _arrays(
    name: str, cells: list[NDArray[Any] | None], unit: str, ucd: str, about: str,
    kind: np.dtype[Any] | None = None,
) -> Made | None:  # fmt: skip
    """A column of arrays; None where no row has any."""
    plain = [None if c is None else portable(c) for c in cells]
    there = [c for c in plain if c is not None]
    if not there:
        return None
    if kind is None:
        kind = np.result_type(*{c.dtype for c in there})
    values = [None if c is None else c.astype(kind, copy=False) for c in plain]
    arrow = pa.list_(pa.bool_() if kind.kind == "b" else pa.from_numpy_dtype(kind))
    return _field(name, arrow, unit, ucd, about), list_array(values, arrow)


def _wave(s: Spectrum, unit: str) -> NDArray[np.float64]:
    """In the unit of all: as delivered where that is it, else Å."""
    if s.axis.unit == unit and s.axis.scale is Scale.LINEAR:
        return np.asarray(s.axis.coordinate(), np.float64)
    return s.wave_aa


def _end(c: Cutout, which: int) -> float | None:
    return None if c.filter.band_m is None else float(c.filter.band_m[which])


def _notes(c: Cutout) -> str:
    notes = list(c.notes)
    if c.spectrum is not None:
        flags = c.spectrum.flags
        notes += [_MORE] if set(c.spectrum.extras) - {"order"} else []
        notes += ["its flags have no exact type here"] if flags is not None and \
            portable(flags) is None else []  # fmt: skip
    return "; ".join(notes)


# formats --------------------------------------------------------------------------------------


def infos(found: Sequence[Cutout]) -> list[tuple[str, str]]:
    """What a document says of all: status, and how many could not be cut out."""
    missing = sum(c.status is not Status.OK for c in found)
    out = [("QUERY_STATUS", "OK"), ("standardID", SODA)]
    if missing:
        out.append(("warning", f"{missing} of {len(found)} cut-outs could not be made: see status"))
    return out


def votable_pieces(found: Sequence[Cutout], publisher: Publisher) -> Iterator[bytes]:
    """VOTable 1.4 (BINARY2): one row a cut-out, arrays of varying length."""
    table = table_of(found, publisher)
    return _large(votable.document(
        table.to_batches(_ROWS), fields=votable.fields_of(table), infos=infos(found),
        name="cutouts",
        about=f"Cut-outs of spectra of {publisher.title}, in the order asked for",
    ))  # fmt: skip


def _large(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of a MiB: each costs a server a change of threads."""
    kept: list[bytes] = []
    size = 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(kept)
            kept, size = [], 0
    yield b"".join(kept)


def csv_document(found: Sequence[Cutout], publisher: Publisher) -> bytes:
    """A line a sample; comment lines say what each number is, and what could not be cut out."""
    table = table_of(found, publisher)
    text = io.StringIO()
    text.write("# number: status id\n")
    for c in found:
        words = " ".join(f"{c.asked} {c.message} {_notes(c)}".split())
        text.write(f"# {c.number}: {c.status.value} {words}\n")
    names = [n for n in ("wavelength", "flux", "flux_error", "quality", "flags", "order")
             if n in table.column_names]  # fmt: skip
    out = csv.writer(text, lineterminator="\n")
    units = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in table.schema}
    out.writerow(["number", *(f"{n} [{units[n]}]" if units[n] else n for n in names)])
    columns = [table.column(n).to_pylist() for n in names]
    for c, *cells in zip(found, *columns, strict=True):
        if c.spectrum is None:
            continue
        lists = [[""] * len(c.spectrum) if cell is None else map(_text, cell) for cell in cells]
        out.writerows((c.number, *values) for values in zip(*lists, strict=True))
    return text.getvalue().encode()


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
