"""The columns of the archive's datasets, with unit, UCD and meaning for every face."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One catalogue column: Arrow type, unit (VOUnit), UCD1+ and one sentence."""

    name: str
    type: pa.DataType
    unit: str = ""
    ucd: str = ""
    about: str = ""
    public: bool = True


_S, _D, _I, _L = pa.string(), pa.float64(), pa.int32(), pa.int64()

CATALOGUE: tuple[ColumnSpec, ...] = (
    ColumnSpec("obs_id", _S, "", "meta.id", "The survey's own identifier, or the content hash"),
    ColumnSpec("obs_collection", _S, "", "meta.id", "Survey or instrument product"),
    ColumnSpec("obs_publisher_did", _S, "", "meta.ref.ivoid", "Publisher's dataset identifier"),
    ColumnSpec("obs_creator_did", _S, "", "meta.id", "Creator's dataset identifier"),
    ColumnSpec("dataproduct_type", _S, "", "meta.code.class", "Always spectrum"),
    ColumnSpec("calib_level", _I, "", "meta.code;obs.calib", "ObsCore calibration level"),
    ColumnSpec("target_name", _S, "", "meta.id;src", "Object observed"),
    ColumnSpec("target_class", _S, "", "src.class", "Class that the file's own pipeline gives"),
    ColumnSpec("s_ra", _D, "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS"),
    ColumnSpec("s_dec", _D, "deg", "pos.eq.dec;meta.main", "Declination, ICRS"),
    ColumnSpec("t_min", _D, "d", "time.start;obs.exposure", "Start, MJD (UTC)"),
    ColumnSpec("t_max", _D, "d", "time.end;obs.exposure", "End, MJD (UTC)"),
    ColumnSpec("t_exptime", _D, "s", "time.duration;obs.exposure", "Exposure time"),
    ColumnSpec("em_min", _D, "m", "em.wl;stat.min", "Shortest wavelength, as delivered"),
    ColumnSpec("em_max", _D, "m", "em.wl;stat.max", "Longest wavelength, as delivered"),
    ColumnSpec("em_res_power", _D, "", "spect.resolution", "Resolving power λ/Δλ"),
    ColumnSpec("em_xel", _L, "", "meta.number", "Number of samples"),
    ColumnSpec("em_pixel_kms", _D, "km/s", "spect.binSize", "Median sample width as a velocity"),
    ColumnSpec("facility_name", _S, "", "meta.id;instr.tel", "Telescope or mission"),
    ColumnSpec("instrument_name", _S, "", "meta.id;instr", "Instrument"),
    ColumnSpec("snr", _D, "", "stat.snr", "Signal to noise per sample"),
    ColumnSpec("snr_source", _S, "", "meta.code", "delivered, computed from errors, or estimated"),
    ColumnSpec("redshift", _D, "", "src.redshift", "Redshift that the file's pipeline gives"),
    ColumnSpec("rv_kms", _D, "km/s", "spect.dopplerVeloc", "Radial velocity that the file gives"),
    ColumnSpec("berv_kms", _D, "km/s", "spect.dopplerVeloc;pos.barycenter",
               "Barycentric Earth radial velocity"),
    ColumnSpec("bjd_tdb", _D, "d", "time.epoch", "Mid-exposure barycentric Julian date, TDB"),
    ColumnSpec("airmass", _D, "", "obs.airMass", "Airmass"),
    ColumnSpec("medium", _S, "", "meta.code", "vacuum, air or unknown"),
    ColumnSpec("specsys", _S, "", "meta.code", "Velocity frame of the wavelengths"),
    ColumnSpec("flux_unit", _S, "", "meta.unit", "Flux unit; empty = dimensionless"),
    ColumnSpec("flux_calibration", _S, "", "meta.code;obs.calib", "SSA FluxAxis calibration"),
    ColumnSpec("normalisation", _S, "", "meta.code", "What was done to the continuum"),
    ColumnSpec("uncertainty_kind", _S, "", "meta.code", "std, var, ivar or none as delivered"),
    ColumnSpec("has_flags", pa.bool_(), "", "meta.code", "True if the file has pixel flags"),
    ColumnSpec("n_good", _L, "", "meta.number", "Samples that are not masked"),
    ColumnSpec("n_orders", _I, "", "meta.number", "Echelle orders kept apart; 0 = one spectrum"),
    ColumnSpec("bib_reference", _S, "", "meta.bib", "Publication"),
    ColumnSpec("metadata", _S, "", "meta", "Further values of the file, JSON"),
    ColumnSpec("access_path", _S, "", "meta.ref.url", "File it was read from"),
    ColumnSpec("access_member", _S, "", "meta.id;meta.file", "Name inside a zip or tar"),
    ColumnSpec("access_hdu", _I, "", "meta.number", "HDU in the file"),
    ColumnSpec("access_row", _L, "", "meta.number", "Row in the HDU"),
    ColumnSpec("file_hash", _S, "", "meta.checksum", "BLAKE3 of the file's bytes"),
    ColumnSpec("reader", _S, "", "meta.code", "Reader that understood the file"),
    ColumnSpec("pipeline", _S, "", "meta.id;meta.software", "The survey's pipeline"),
    ColumnSpec("warnings", _S, "", "meta.note", "What the reader noted"),
    ColumnSpec("obs_version", _I, "", "meta.version", "1 for the first content, 2 after a change"),
    ColumnSpec("ingest_mjd", _D, "d", "time.processing", "When it was stored, MJD"),
    ColumnSpec("uid", _L, "", "meta.id", "Hash of the identity: key of every derived table", False),
    ColumnSpec("fingerprint", _L, "", "meta.checksum", "Hash of arrays and metadata", False),
    ColumnSpec("healpix29", _L, "", "pos.healpix", "Nested HEALPix of order 29; −1 = none", False),
    ColumnSpec("pixel_row", _L, "", "", "First row in the pixel dataset", False),
    ColumnSpec("n_tiles", _I, "", "", "Rows in the pixel dataset", False),
    ColumnSpec("grid_id", _L, "", "", "Shared wavelength grid; −1 = linear WCS", False),
)  # fmt: skip

SUMMARY_COLUMNS = (
    "obs_id", "obs_collection", "target_name", "target_class", "s_ra", "s_dec", "t_min",
    "instrument_name", "em_min", "em_max", "snr", "redshift",
)  # fmt: skip
"""What a list of observations shows."""

BY_NAME = {spec.name: spec for spec in CATALOGUE}
CATALOGUE_SCHEMA = pa.schema([pa.field(c.name, c.type) for c in CATALOGUE])

# Pixels are incompressible noise: no compression, and values laid out for single reads.
_RAW = {"lance-encoding:compression": "none", "lance-encoding:structural-encoding": "fullzip"}


def _raw(name: str) -> pa.Field:
    return pa.field(name, pa.large_binary(), metadata=_RAW)


PIXEL_SCHEMA = pa.schema([
    pa.field("uid", pa.int64()), pa.field("tile", pa.int32()), _raw("header"), _raw("flux"),
    _raw("uncertainty"), _raw("flags"), _raw("extras"),
])  # fmt: skip

GRID_SCHEMA = pa.schema([
    pa.field("grid_id", pa.int64()), pa.field("tile", pa.int32()), pa.field("dtype", pa.string()),
    pa.field("n", pa.int64()), _raw("values"),
])  # fmt: skip

RECEIPT_SCHEMA = pa.schema([
    ("path", pa.string()), ("member", pa.string()), ("size", pa.int64()), ("mtime_ns", pa.int64()),
    ("file_hash", pa.string()), ("reader", pa.string()), ("status", pa.string()),
    ("n_stored", pa.int32()), ("n_unchanged", pa.int32()), ("n_quarantined", pa.int32()),
    ("hdu", pa.int32()), ("row", pa.int64()), ("code", pa.string()), ("reason", pa.string()),
    ("remedy", pa.string()), ("declared", pa.string()), ("seq", pa.int64()),
    ("time_mjd", pa.float64()),
])  # fmt: skip

SUPERSEDED_SCHEMA = pa.schema([("row", pa.int64())])
