"""Columns and parameters of an SSA answer. Source: IVOA SSAP 1.1, sections 4.1, 4.2 and 8."""

from __future__ import annotations

from typing import Any

from .votable import Field

_C, _T = "Char", "Char.TimeAxis"


def _field(name: str, kind: str, utype: str, ucd: str, about: str, unit: str = "",
           size: str = "", **more: Any) -> Field:  # fmt: skip
    size = size or ("*" if kind in ("char", "unicodeChar") else "")
    return Field(name, kind, size, unit, ucd, f"ssa:{utype}", about=about, **more)


FIELDS: tuple[Field, ...] = (
    _field("ssa_acref", "char", "Access.Reference", "meta.ref.url", "The spectrum itself"),
    _field("ssa_mime", "char", "Access.Format", "meta.code.mime", "Its type"),
    _field("ssa_size", "long", "Access.Size", "phys.size;meta.file", "Its size, estimated",
           "kbyte"),
    _field("ssa_datamodel", "char", "Dataset.DataModel", "", "Data model of the spectrum"),
    _field("ssa_type", "char", "Dataset.Type", "", "Kind of data"),
    _field("ssa_length", "long", "Dataset.Length", "meta.number", "Number of samples"),
    _field("ssa_title", "unicodeChar", "DataID.Title", "meta.title;meta.dataset", "Title"),
    _field("ssa_collection", "unicodeChar", "DataID.Collection", "meta.id", "Collection"),
    _field("ssa_creatorDID", "unicodeChar", "DataID.CreatorDID", "meta.id",
           "Creator's dataset identifier"),
    _field("ssa_date", "char", "DataID.Date", "time;meta.dataset",
           "When the dataset was stored or last changed here (UTC)", xtype="timestamp"),
    _field("ssa_instrument", "unicodeChar", "DataID.Instrument", "meta.id;instr", "Instrument"),
    _field("ssa_creationtype", "char", "DataID.CreationType", "", "How the dataset came to be"),
    _field("ssa_datasource", "char", "DataID.DataSource", "", "Where the data come from"),
    _field("ssa_pubDID", "char", "Curation.PublisherDID", "meta.ref.ivoid;meta.curation",
           "Publisher's dataset identifier", id="ssa_pubDID"),
    _field("ssa_reference", "unicodeChar", "Curation.Reference", "meta.bib.bibcode", "Publication"),
    _field("ssa_targname", "unicodeChar", "Target.Name", "meta.id;src", "Object observed"),
    _field("ssa_targclass", "unicodeChar", "Target.Class", "src.class", "Class of the object"),
    _field("ssa_redshift", "double", "Target.Redshift", "src.redshift",
           "Redshift that the file's pipeline gives"),
    _field("ssa_targetpos", "double", "Target.Pos", "pos.eq;src", "Place of the object, ICRS",
           "deg", "2"),
    _field("ssa_snr", "double", "Derived.SNR", "stat.snr", "Signal to noise per sample"),
    _field("ssa_location", "double", "Char.SpatialAxis.Coverage.Location.Value", "pos.eq",
           "Place observed, ICRS", "deg", "2"),
    _field("ssa_aperture", "double", "Char.SpatialAxis.Coverage.Bounds.Extent",
           "instr.fov", "Diameter of the aperture; unknown here", "deg"),
    _field("ssa_timeloc", "double", f"{_T}.Coverage.Location.Value", "time.epoch",
           "Middle of the exposure, MJD (UTC)", "d"),
    _field("ssa_timeext", "double", f"{_T}.Coverage.Bounds.Extent", "time.duration",
           "Exposure time", "s"),
    _field("ssa_timestart", "double", f"{_T}.Coverage.Bounds.Start", "time.start;obs.exposure",
           "Start of the exposure, MJD (UTC)", "d"),
    _field("ssa_timestop", "double", f"{_T}.Coverage.Bounds.Stop", "time.end;obs.exposure",
           "End of the exposure, MJD (UTC)", "d"),
    _field("ssa_specmid", "double", "Char.SpectralAxis.Coverage.Location.Value",
           "em.wl;instr.bandpass", "Middle of the range, in vacuum", "m"),
    _field("ssa_specext", "double", "Char.SpectralAxis.Coverage.Bounds.Extent",
           "em.wl;instr.bandwidth", "Width of the range", "m"),
    _field("ssa_specstart", "double", "Char.SpectralAxis.Coverage.Bounds.Start",
           "em.wl;stat.min", "Shortest wavelength, in vacuum", "m"),
    _field("ssa_specend", "double", "Char.SpectralAxis.Coverage.Bounds.Stop",
           "em.wl;stat.max", "Longest wavelength, in vacuum", "m"),
    _field("ssa_specres", "double", "Char.SpectralAxis.ResPower", "spect.resolution",
           "Resolving power"),
    _field("ssa_fluxcalib", "char", "Char.FluxAxis.Calibration", "", "Calibration of the flux"),
    _field("ssa_fluxucd", "char", "Char.FluxAxis.Ucd", "meta.ucd", "UCD of the flux"),
    _field("ssa_fluxunit", "unicodeChar", "Char.FluxAxis.Unit", "meta.unit", "Unit of the flux"),
    _field("ssa_specucd", "char", "Char.SpectralAxis.Ucd", "meta.ucd", "UCD of the axis"),
    _field("ssa_speccalib", "char", "Char.SpectralAxis.Calibration", "",
           "Calibration of the wavelengths"),
    _field("ssa_score", "double", "Query.Score", "", "Rank: 1 for the nearest, falling"),
)  # fmt: skip
"""One a column; mandatory ones that are unknown are there and empty."""


def same(title: str) -> list[Field]:
    """Parameters with one value for all rows: publisher, frame, query."""

    def one(name: str, utype: str, value: str, ucd: str = "", about: str = "") -> Field:
        return Field(name, "char" if value.isascii() else "unicodeChar", "*", utype=f"ssa:{utype}",
                     ucd=ucd, value=value, about=about)  # fmt: skip

    return [
        one("ssa_publisher", "Curation.Publisher", title, "meta.curation", "Publisher"),
        one("ssa_csysName", "CoordSys.SpaceFrame.Name", "ICRS", "", "Frame of positions"),
        one("ssa_timesys", "CoordSys.TimeFrame.Name", "UTC", "", "Scale of times"),
        one("ssa_specRef", "CoordSys.SpectralFrame.RefPos", "UNKNOWN", "",
            "Velocity frames differ between spectra; each says its own"),
    ]  # fmt: skip


_INPUTS = (
    (
        "POS",
        "char",
        "*",
        "",
        "pos.eq",
        "Place, RA,DEC in deg; ;FRAME may follow (ICRS, FK5, FK4, GALACTIC, ECLIPTIC)",
    ),
    ("SIZE", "double", "", "deg", "pos.angDistance", "Diameter of the search"),
    (
        "BAND",
        "char",
        "*",
        "m",
        "em.wl",
        "Ranges of wavelength LO/HI between commas, or a band's name",
    ),
    ("TIME", "char", "*", "", "time", "Ranges of ISO 8601 times between commas"),
    (
        "FORMAT",
        "char",
        "*",
        "",
        "meta.code.mime",
        "all, compliant, native, graphic, votable, fits, metadata or MIME types",
    ),
    ("SPECRP", "char", "*", "", "spect.resolution", "Least resolving power, or ranges"),
    ("SNR", "char", "*", "", "stat.snr", "Least signal to noise, or ranges"),
    ("REDSHIFT", "char", "*", "", "src.redshift", "Ranges of redshift"),
    ("TARGETNAME", "char", "*", "", "meta.id;src", "Names of objects"),
    ("TARGETCLASS", "char", "*", "", "src.class", "Classes of objects"),
    ("FLUXCALIB", "char", "*", "", "", "any, absolute, relative, normalized or uncalibrated"),
    ("WAVECALIB", "char", "*", "", "", "any, absolute, calibrated or relative"),
    ("PUBDID", "char", "*", "", "meta.ref.ivoid", "Publisher's identifiers"),
    ("CREATORDID", "char", "*", "", "meta.id", "Creator's identifiers"),
    ("COLLECTION", "char", "*", "", "meta.id", "Collections"),
    ("MTIME", "char", "*", "", "time.processing", "Ranges of ISO 8601 times of storing"),
    ("TOP", "int", "", "", "meta.number", "The best so many"),
    ("MAXREC", "int", "", "", "meta.number", "Rows at most"),
    ("COMPRESS", "boolean", "", "", "", "Whether compressed data may be sent; they never are"),
    ("RUNID", "char", "*", "", "meta.id", "Name that the client gives the query"),
)


def inputs() -> list[Field]:
    """The parameters of a query, as FORMAT=METADATA lists them."""
    return [
        Field(f"INPUT:{name}", kind, size, unit, ucd, value="" if kind == "char" else None,
              about=about)
        for name, kind, size, unit, ucd, about in _INPUTS
    ]  # fmt: skip
