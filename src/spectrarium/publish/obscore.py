"""Observations as ObsCore has them: what TAP, SSA and cone search all answer from.

Source: IVOA ObsCore 1.1, tables 1 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..measure.airvac import air_to_vac, valid_range_aa
from ..store.archive import Archive, Rows
from .dali import LINKS
from .publisher import Publisher
from .units import ucd_by_unit, vounit

Catalogue = Callable[[Rows, Sequence[str]], pa.Table]
"""(rows, columns) → the catalogue there, in their order: `Archive.catalogue`, or faster."""
_S, _D, _I, _L = pa.string(), pa.float64(), pa.int32(), pa.int64()
_NOT_PLAIN = r"[^A-Za-z0-9_.~/-]"
"""What `urllib.parse.quote` escapes."""
SAMPLE_BYTES = 24
"""Of a sample in the files that are served: wavelength, flux, uncertainty, flags, encoded."""


@dataclass(frozen=True, slots=True)
class ObsColumn:
    """One column: Arrow type, unit (VOUnit), UCD1+, utype, one sentence.

    principal : shown by default · std : of the standard
    """

    name: str
    type: pa.DataType
    unit: str
    ucd: str
    utype: str
    about: str
    principal: bool = False
    std: bool = True
    xtype: str = ""


def _column(
    name: str, kind: pa.DataType, unit: str, ucd: str, utype: str, about: str, *,
    principal: bool = False, std: bool = True, xtype: str = "",
) -> ObsColumn:  # fmt: skip
    return ObsColumn(name, kind, unit, ucd, f"obscore:{utype}" if utype else "", about, principal,
                     std, xtype)  # fmt: skip


_SPACE, _TIME = "Char.SpatialAxis", "Char.TimeAxis"
_PLACE = f"{_SPACE}.Coverage.Location.Coord.Position2D.Value2"
_SPECTRAL = "Char.SpectralAxis"
OBSCORE: tuple[ObsColumn, ...] = (
    _column("dataproduct_type", _S, "", "meta.code.class", "ObsDataset.dataProductType",
            "Kind of data: always spectrum", principal=True),
    _column("calib_level", _I, "", "meta.code;obs.calib", "ObsDataset.calibLevel",
            "Calibration level, 0 to 4", principal=True),
    _column("obs_collection", _S, "", "meta.id", "DataID.Collection",
            "Survey or instrument product", principal=True),
    _column("obs_id", _S, "", "meta.id", "DataID.observationID", "The survey's own identifier",
            principal=True),
    _column("obs_publisher_did", _S, "", "meta.ref.ivoid", "Curation.PublisherDID",
            "Publisher's dataset identifier", principal=True),
    _column("access_url", _S, "", "meta.ref.url", "Access.reference",
            "Links to the spectrum and what belongs to it (DataLink)", principal=True),
    _column("access_format", _S, "", "meta.code.mime", "Access.format", "Type of what is there",
            principal=True),
    _column("access_estsize", _L, "kbyte", "phys.size;meta.file", "Access.size",
            "Size of the spectrum, estimated", principal=True),
    _column("target_name", _S, "", "meta.id;src", "Target.name", "Object observed",
            principal=True),
    _column("s_ra", _D, "deg", "pos.eq.ra", f"{_PLACE}.C1",
            "Right ascension, ICRS", principal=True),
    _column("s_dec", _D, "deg", "pos.eq.dec",
            f"{_PLACE}.C2", "Declination, ICRS",
            principal=True),
    _column("s_fov", _D, "deg", "phys.angSize;instr.fov",
            f"{_SPACE}.Coverage.Bounds.Extent.diameter",
            "Diameter of the aperture; unknown here", principal=True),
    _column("s_region", _S, "", "pos.outline;obs.field", f"{_SPACE}.Coverage.Support.Area",
            "Outline on the sky: the position, as apertures are unknown", principal=True,
            xtype="adql:REGION"),
    _column("s_resolution", _D, "arcsec", "pos.angResolution", f"{_SPACE}.Resolution.Refval.value",
            "Angular resolution; unknown here", principal=True),
    _column("s_xel1", _L, "", "meta.number", f"{_SPACE}.numBins1", "Pixels along the sky, first"),
    _column("s_xel2", _L, "", "meta.number", f"{_SPACE}.numBins2", "Pixels along the sky, second"),
    _column("t_min", _D, "d", "time.start;obs.exposure",
            f"{_TIME}.Coverage.Bounds.Limits.StartTime",
            "Start of the exposure, MJD (UTC)", principal=True),
    _column("t_max", _D, "d", "time.end;obs.exposure", f"{_TIME}.Coverage.Bounds.Limits.StopTime",
            "End of the exposure, MJD (UTC)", principal=True),
    _column("t_exptime", _D, "s", "time.duration;obs.exposure", f"{_TIME}.Coverage.Support.Extent",
            "Exposure time", principal=True),
    _column("t_resolution", _D, "s", "time.resolution", f"{_TIME}.Resolution.Refval.value",
            "Resolution in time: the exposure", principal=True),
    _column("t_xel", _L, "", "meta.number", f"{_TIME}.numBins", "Samples in time: one"),
    _column("em_min", _D, "m", "em.wl;stat.min", f"{_SPECTRAL}.Coverage.Bounds.Limits.LoLimit",
            "Shortest wavelength, in vacuum where air or vacuum is known", principal=True),
    _column("em_max", _D, "m", "em.wl;stat.max", f"{_SPECTRAL}.Coverage.Bounds.Limits.HiLimit",
            "Longest wavelength, in vacuum where air or vacuum is known", principal=True),
    _column("em_res_power", _D, "", "spect.resolution",
            f"{_SPECTRAL}.Resolution.ResolPower.refVal", "Resolving power λ/Δλ", principal=True),
    _column("em_xel", _L, "", "meta.number", f"{_SPECTRAL}.numBins", "Samples in wavelength"),
    _column("o_ucd", _S, "", "meta.ucd", "Char.ObservableAxis.ucd", "UCD of the flux",
            principal=True),
    _column("pol_states", _S, "", "meta.code;phys.polarization",
            "Char.PolarizationAxis.stateList", "Polarisation states; none", principal=True),
    _column("pol_xel", _L, "", "meta.number", "Char.PolarizationAxis.numBins",
            "Number of polarisation states"),
    _column("facility_name", _S, "", "meta.id;instr.tel", "Provenance.ObsConfig.Facility.name",
            "Telescope or mission", principal=True),
    _column("instrument_name", _S, "", "meta.id;instr", "Provenance.ObsConfig.Instrument.name",
            "Instrument", principal=True),
    _column("target_class", _S, "", "src.class", "Target.class",
            "Class that the file's own pipeline gives"),
    _column("obs_title", _S, "", "meta.title;obs", "DataID.title", "Collection and target"),
    _column("obs_creator_did", _S, "", "meta.id", "DataID.creatorDID",
            "Creator's dataset identifier"),
    _column("bib_reference", _S, "", "meta.bib.bibcode", "Curation.reference", "Publication"),
    _column("em_ucd", _S, "", "meta.ucd", f"{_SPECTRAL}.ucd", "UCD of the spectral axis"),
    _column("o_unit", _S, "", "meta.unit", "Char.ObservableAxis.unit", "Unit of the flux"),
    _column("o_calib_status", _S, "", "meta.code.qual",
            "Char.ObservableAxis.CalibrationStatus", "Calibration of the flux"),
    _column("snr", _D, "", "stat.snr", "", "Signal to noise per sample", std=False),
)  # fmt: skip
"""Every column, the mandatory ones first. Frames, apertures and resolutions that files do not give
are null: nothing is guessed."""

_AS_STORED = ("calib_level", "obs_collection", "obs_id", "target_name", "s_ra", "s_dec", "t_min",
              "t_max", "t_exptime", "em_res_power", "facility_name", "instrument_name",
              "target_class", "obs_creator_did", "bib_reference", "snr")  # fmt: skip
_NEEDS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in _AS_STORED},
    "obs_publisher_did": ("obs_collection", "obs_id"), "access_url": ("obs_collection", "obs_id"),
    "access_estsize": ("em_xel",), "em_xel": ("em_xel",), "s_region": ("s_ra", "s_dec"),
    "t_resolution": ("t_exptime",), "em_min": ("em_min", "em_max", "medium"),
    "em_max": ("em_min", "em_max", "medium"), "o_ucd": ("flux_unit",), "o_unit": ("flux_unit",),
    "o_calib_status": ("flux_calibration",),
    "obs_title": ("obs_collection", "obs_id", "target_name"),
}  # fmt: skip
"""Catalogue columns that a column is made of."""


def obscore_table(
    archive: Archive, publisher: Publisher, rows: Rows, names: Collection[str] | None = None
) -> pa.Table:
    """(rows,) the columns of `OBSCORE`, or those named, in their order."""
    wanted = [c for c in OBSCORE if names is None or c.name in names]
    asked = list(dict.fromkeys(n for c in wanted for n in _NEEDS.get(c.name, ())))
    made = _Made(archive.catalogue(rows, asked), publisher, len(rows))
    arrays = [made.column(c.name, c.type) for c in wanted]
    fields = [
        pa.field(c.name, c.type, metadata={
            "unit": c.unit, "ucd": c.ucd, "utype": c.utype, "about": c.about, "xtype": c.xtype})
        for c in wanted
    ]  # fmt: skip
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


class _Made:
    """Columns of ObsCore, made of those of the catalogue when they are asked for."""

    def __init__(self, found: pa.Table, publisher: Publisher, number: int) -> None:
        self.found = found
        self.publisher = publisher
        self.number = number
        self._makers: dict[str, Callable[[], pa.Array]] = {
            "dataproduct_type": lambda: _all("spectrum", number),
            "obs_publisher_did": lambda: self.did,
            "access_url": lambda: links(publisher, self.did),
            "access_format": lambda: _all(LINKS, number),
            "access_estsize": lambda: pc.add(pc.divide(pc.multiply(
                self.plain("em_xel").cast(_L), SAMPLE_BYTES), 1000), 10),
            "s_region": lambda: _region(self.stored("s_ra"), self.stored("s_dec")),
            "t_resolution": lambda: self.stored("t_exptime"),
            "t_xel": lambda: pa.array(np.ones(number, np.int64)),
            "em_min": lambda: _array(self.limits[0]), "em_max": lambda: _array(self.limits[1]),
            "em_xel": lambda: self.plain("em_xel"),
            "o_ucd": lambda: by_unit(found.column("flux_unit"), ucd_by_unit),
            "em_ucd": lambda: _all("em.wl", number),
            "o_unit": lambda: by_unit(found.column("flux_unit"), vounit),
            "o_calib_status": lambda: _calibration(found.column("flux_calibration")),
            "obs_title": lambda: _title(found),
        }  # fmt: skip

    def column(self, name: str, kind: pa.DataType) -> pa.Array:
        """(number,) one column; null where nothing is known of it."""
        if name in _AS_STORED:
            return self.stored(name).cast(kind)
        make = self._makers.get(name)
        return pa.nulls(self.number, kind) if make is None else make().cast(kind)

    def plain(self, name: str) -> pa.Array:
        """A column of the catalogue as it is."""
        return _one(self.found.column(name))

    def stored(self, name: str) -> pa.Array:
        """The same, NaN as null."""
        return _known(self.plain(name))

    @cached_property
    def did(self) -> pa.Array:
        """Identifiers."""
        return dids(self.publisher, self.found.column("obs_collection"),
                    self.found.column("obs_id"))  # fmt: skip

    @cached_property
    def limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Wavelengths in vacuum."""
        return vacuum_m(self.found)


def dids(
    publisher: Publisher, collection: pa.ChunkedArray | pa.Array, obs_id: pa.ChunkedArray | pa.Array
) -> pa.Array:
    """(n,) publisher's identifiers, as `Publisher.did` makes them one by one."""
    codes = _one(collection).dictionary_encode()
    lead = [f"ivo://{publisher.authority}/{quote(str(c))}?" for c in codes.dictionary.to_pylist()]
    ids = _one(obs_id)
    odd = pc.match_substring_regex(ids, _NOT_PLAIN)
    if pc.any(odd).as_py():
        pairs = zip(ids.to_pylist(), odd.to_pylist(), strict=True)
        ids = pa.array([quote(v) if o else v for v, o in pairs], _S)
    return pc.binary_join_element_wise(pa.array(lead, _S).take(codes.indices), ids, "")


def links(publisher: Publisher, did: pa.Array) -> pa.Array:
    """(n,) addresses of the links of observations. did : (n,) as `dids` gives them"""
    return pc.binary_join_element_wise(
        publisher.at("/vo/datalink/links") + "?ID=", escaped(did), ""
    )


def escaped(did: pa.Array) -> pa.Array:
    """(n,) identifiers of `dids` as values of a parameter."""
    for mark, code in (("%", "%25"), (":", "%3A"), ("/", "%2F"), ("?", "%3F")):
        did = pc.replace_substring(did, mark, code)
    return did


def vacuum_m(found: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n,) limits in metres, those in air as in vacuum; NaN = unknown.

    found : em_min, em_max (m, as delivered) and medium
    """
    air = pc.fill_null(pc.equal(found.column("medium"), "air"), False).to_numpy()
    out = []
    for name in ("em_min", "em_max"):
        wave = found.column(name).to_numpy().astype(np.float64).copy()
        lo, hi = valid_range_aa()
        here = air & (wave * 1e10 >= lo) & (wave * 1e10 <= hi)
        if here.any():
            wave[here] = air_to_vac(wave[here] * 1e10) * 1e-10
        out.append(wave)
    return out[0], out[1]


def by_unit(
    column: pa.ChunkedArray | pa.Array, make: Callable[[str | None], str | None]
) -> pa.Array:
    """(n,) `make` of each different value, null included."""
    codes = _one(column).dictionary_encode(null_encoding="encode")
    return pa.array([make(v) for v in codes.dictionary.to_pylist()], _S).take(codes.indices)


def _region(ra: pa.Array, dec: pa.Array) -> pa.Array:
    """A point where no aperture is known (STC-S)."""
    text = pc.binary_join_element_wise("Position ICRS", ra.cast(_S), dec.cast(_S), " ")
    return pc.if_else(pc.is_valid(ra), text, pa.scalar(None, _S))


def _title(found: pa.Table) -> pa.Array:
    name = pc.coalesce(found.column("target_name"), found.column("obs_id"))
    return _one(pc.binary_join_element_wise(found.column("obs_collection"), name, " "))


def _calibration(column: pa.ChunkedArray) -> pa.Array:
    words = pc.utf8_lower(_one(column))
    return pc.if_else(pc.equal(words, "unknown"), pa.scalar(None, _S), words)


def _all(value: str, number: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, _S), number)


def _array(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=~np.isfinite(values))


def _known(column: pa.Array) -> pa.Array:
    """NaN as null."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
