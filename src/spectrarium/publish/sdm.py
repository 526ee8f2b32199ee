"""The Spectrum Data Model's metadata of one observation, for VOTable and FITS alike."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np

from ..domain.axis import SpecSys
from ..domain.spectrum import EchelleSpectrum, FluxCalibration, Spectrum
from .samples import Column, wave_limits
from .source import Record

MODEL = "Spectrum-1.0"
"""DataModel and VOCLASS (Spectrum 1.2, erratum 1: minor versions do not count)."""
PUBLISHER = "Spectrarium archive"
_STC = {
    SpecSys.TOPOCENT: "TOPOCENTER", SpecSys.GEOCENTR: "GEOCENTER", SpecSys.HELIOCEN: "HELIOCENTER",
    SpecSys.BARYCENT: "BARYCENTER", SpecSys.GALACTOC: "GALACTIC_CENTER",
    SpecSys.UNKNOWN: "UNKNOWN",
}  # fmt: skip
"""STC's names; the others are called as in FITS (Spectrum 1.2, section 9.3)."""
_MORE = ("rv_kms", "berv_kms", "bjd_tdb", "airmass", "normalisation", "uncertainty_kind",
         "snr_source", "calib_level", "pipeline", "reader", "file_hash", "warnings")  # fmt: skip
_UNITS = {"rv_kms": "km/s", "berv_kms": "km/s", "bjd_tdb": "d"}


class Param(NamedTuple):
    """One field of the model.

    group : class of the model it belongs to, or ``Archive`` for what the model lacks
    value : text, number, or a pair of numbers; NaN where a mandatory number is unknown
    utype : below ``Spectrum``; a prefix of its own is kept · keyword : of the FITS serialisation
    """

    group: str
    name: str
    value: Any
    utype: str = ""
    unit: str = ""
    ucd: str = ""
    keyword: str = ""


def publisher_did(record: Record) -> str:
    """The archive's identifier of the observation; made of collection and obs_id without one."""
    did = record.get("obs_publisher_did")
    if did:
        return str(did)
    collection, obs_id = str(record.get("obs_collection")), str(record.get("obs_id"))
    return f"ivo://spectrarium.local/{quote(collection)}?{quote(obs_id)}"


def params(record: Record, spectrum: Spectrum, axis: Column) -> list[Param]:
    """All that is known of an observation; optional fields that are unknown are left out.

    Times are MJD in UTC, as the archive keeps them, and TimeFrame.Name says so.
    Source: IVOA Spectrum Data Model 1.2, tables 1 and F.1.
    """
    found = [*_target(record), *_frames(record, spectrum), *_identity(record, spectrum),
             *_time(record), *_axes(record, spectrum, axis)]  # fmt: skip
    snr = record.get("snr")
    found.append(Param("Derived", "snr", snr, "Derived.SNR", "", "stat.snr", "DER_SNR"))
    for name in _MORE:
        found.append(Param("Archive", name, record.get(name), "", _UNITS.get(name, "")))
    if isinstance(spectrum, EchelleSpectrum) and spectrum.trace is not None:
        found.append(Param("Archive", "trace", spectrum.trace))
    found += [Param("Metadata", k, v) for k, v in metadata_of(record).items()]
    return [p for p in found if p.value is not None]


def metadata_of(record: Record) -> dict[str, Any]:
    """Further values of the file the observation came from."""
    text = record.get("metadata")
    return dict(json.loads(text)) if text else {}


def _target(r: Record) -> list[Param]:
    ra, dec = r.get("s_ra"), r.get("s_dec")
    name = r.get("target_name") or "UNKNOWN"
    out = [
        Param("Target", "target_name", name, "Target.Name", "", "meta.id;src", "OBJECT"),
        Param("Target", "target_class", r.get("target_class"), "Target.Class", "", "src.class",
              "SRCCLASS"),
        Param("Target", "redshift", r.get("redshift"), "Target.Redshift", "", "src.redshift",
              "REDSHIFT"),
    ]  # fmt: skip
    sky = (np.nan, np.nan) if ra is None or dec is None else (ra, dec)
    utype = "Char.SpatialAxis.Coverage.Location.Value"
    out.append(Param("Char", "position", sky, utype, "deg", "pos.eq", "RA DEC"))
    out.append(Param("Char", "aperture", np.nan, "Char.SpatialAxis.Coverage.Bounds.Extent", "deg",
                     "pos.angDistance;instr.fov"))  # fmt: skip
    return out


def _frames(r: Record, spectrum: Spectrum) -> list[Param]:
    specsys = spectrum.axis.specsys
    out = [
        Param("CoordSys", "space_frame", "ICRS", "CoordSys.SpaceFrame.Name", "", "pos.frame",
              "RADECSYS"),
        Param("CoordSys", "time_frame", "UTC", "CoordSys.TimeFrame.Name", "", "time.scale",
              "TIMESYS"),
        Param("CoordSys", "specsys", _STC.get(specsys, specsys.value),
              "CoordSys.SpectralFrame.RefPos", "", "", "SPECSYS"),
    ]  # fmt: skip
    if specsys is SpecSys.SOURCE:
        utype = "CoordSys.SpectralFrame.Redshift"
        out.append(Param("CoordSys", "rest_redshift", r.get("redshift"), utype, "",
                         "src.redshift", "REST_Z"))  # fmt: skip
    return out


def _identity(r: Record, spectrum: Spectrum) -> list[Param]:
    title = f"{r.get('target_name') or r.get('obs_id')} ({r.get('obs_collection')})"
    facility = "obscore:Provenance.ObsConfig.Facility.name"
    return [
        Param("Dataset", "model", MODEL, "DataModel", "", "", "VOCLASS"),
        Param("Dataset", "type", "Spectrum", "Type", "", "", "VOSEGT"),
        Param("Dataset", "length", spectrum.flux.size, "Length", "", "meta.number", "DATALEN"),
        Param("Curation", "publisher", r.get("publisher") or PUBLISHER, "Curation.Publisher", "",
              "meta.curation", "VOPUB"),
        Param("Curation", "publisher_did", publisher_did(r), "Curation.PublisherDID", "",
              "meta.ref.ivoid;meta.curation", "DS_IDPUB"),
        Param("Curation", "reference", r.get("bib_reference"), "Curation.Reference", "",
              "meta.bib.bibcode", "VOREF"),
        Param("DataID", "title", title, "DataID.Title", "", "meta.title;meta.dataset", "TITLE"),
        Param("DataID", "collection", r.get("obs_collection"), "DataID.Collection", "", "",
              "COLLECT1"),
        Param("DataID", "creator_did", r.get("obs_creator_did"), "DataID.CreatorDID", "",
              "meta.id", "CR_IDENT"),
        Param("DataID", "instrument", r.get("instrument_name"), "DataID.Instrument", "",
              "meta.id;instr", "INSTRUME"),
        Param("DataID", "facility", r.get("facility_name"), facility, "",
              "meta.id;instr.tel", "TELESCOP"),
        Param("DataID", "version", r.get("pipeline"), "DataID.Version", "",
              "meta.version;meta.dataset", "VERSION"),
        Param("DataID", "creation", r.get("creation_type") or "Archival", "DataID.CreationType",
              "", "", "CRETYPE"),
    ]  # fmt: skip


def _time(r: Record) -> list[Param]:
    start, stop, exposure = r.get("t_min"), r.get("t_max"), r.get("t_exptime")
    middle, extent = np.nan, np.nan if exposure is None else exposure
    if start is not None and stop is not None:
        middle, extent = (start + stop) / 2, (stop - start) * 86_400.0
    top = "Char.TimeAxis.Coverage"
    return [
        Param("Char", "t_middle", middle, f"{top}.Location.Value", "d", "time.epoch", "TMID"),
        Param("Char", "t_extent", extent, f"{top}.Bounds.Extent", "s", "time.duration", "TELAPSE"),
        Param("Char", "t_min", start, f"{top}.Bounds.Start", "d", "time.start;obs.exposure",
              "TSTART"),
        Param("Char", "t_max", stop, f"{top}.Bounds.Stop", "d", "time.end;obs.exposure", "TSTOP"),
        Param("Char", "t_exptime", exposure, f"{top}.Support.Extent", "s",
              "time.duration;obs.exposure", "EXPOSURE"),
    ]  # fmt: skip


def _axes(r: Record, spectrum: Spectrum, axis: Column) -> list[Param]:
    low, high = wave_limits(axis, spectrum)
    top, unit, first = "Char.SpectralAxis", axis.unit or "", axis.ucd.split(";")[0]
    calibration = spectrum.flux_calibration
    word = "UNKNOWN" if calibration is FluxCalibration.UNKNOWN else calibration.value
    return [
        Param("Char", "spectral_ucd", axis.ucd, f"{top}.Ucd", "", "meta.ucd"),
        Param("Char", "spectral_unit", unit, f"{top}.Unit", "", "meta.unit"),
        Param("Char", "spectral_middle", (low + high) / 2, f"{top}.Coverage.Location.Value", unit,
              "instr.bandpass", "SPEC_VAL"),
        Param("Char", "spectral_extent", high - low, f"{top}.Coverage.Bounds.Extent", unit,
              "instr.bandwidth", "SPEC_BW"),
        Param("Char", "spectral_min", low, f"{top}.Coverage.Bounds.Start", unit,
              f"{first};stat.min"),
        Param("Char", "spectral_max", high, f"{top}.Coverage.Bounds.Stop", unit,
              f"{first};stat.max"),
        Param("Char", "em_res_power", r.get("em_res_power"), f"{top}.ResPower", "",
              "spect.resolution", "SPEC_RP"),
        Param("Char", "flux_calibration", word, "Char.FluxAxis.Calibration", "", "",
              "FLUX_CAL"),
    ]  # fmt: skip
