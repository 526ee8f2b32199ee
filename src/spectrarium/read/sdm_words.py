"""What the Spectrum Data Model's fields say of an observation, from utypes or FITS keywords."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ..domain.axis import SpecSys
from ..domain.observation import Observation
from .fits import Header
from .header_values import metadata, scalar, valid_sky
from .source import SourceFile
from .spectral_words import specsys_of
from .table_observation import instrument_collection

WAVE, FLUX = "data.spectralaxis.value", "data.fluxaxis.value"
STAT, QUALITY = "data.fluxaxis.accuracy.staterror", "data.fluxaxis.quality"
LOW, HIGH = "data.fluxaxis.accuracy.staterrlow", "data.fluxaxis.accuracy.staterrhigh"
_LOCATION = "char.spatialaxis.coverage.location.value"
_TIME = "char.timeaxis.coverage."
_KEYWORDS = {
    "VOCLASS": "datamodel", "SPECSDIM": "spectralsi", "RADECSYS": "coordsys.spaceframe.name",
    "RADESYS": "coordsys.spaceframe.name", "SPECSYS": "coordsys.spectralframe.refpos",
    "REST_Z": "coordsys.spectralframe.redshift", "VOREF": "curation.reference",
    "DS_IDPUB": "curation.publisherdid", "OBJECT": "target.name", "SRCCLASS": "target.class",
    "SPECTYPE": "target.spectralclass", "REDSHIFT": "target.redshift", "TITLE": "dataid.title",
    "COLLECT1": "dataid.collection", "DS_IDENT": "dataid.datasetid",
    "CR_IDENT": "dataid.creatordid", "VERSION": "dataid.version",
    "INSTRUME": "dataid.instrument", "SPECBAND": "dataid.bandpass", "DER_SNR": "derived.snr",
    "DER_Z": "derived.redshift.value", "FLUX_CAL": "char.fluxaxis.calibration",
    "SPEC_CAL": "char.spectralaxis.calibration", "SPEC_RP": "char.spectralaxis.respower",
    "TMID": _TIME + "location.value", "TELAPSE": _TIME + "bounds.extent",
    "TSTART": _TIME + "bounds.start", "TSTOP": _TIME + "bounds.stop",
    "EXPOSURE": _TIME + "support.extent", "TELESCOP": "facility",
}  # fmt: skip


def plain(utype: str) -> str:
    """``spec:Spectrum.Data.FluxAxis.Value`` → ``data.fluxaxis.value``."""
    text = utype.strip().lower().rsplit(":", 1)[-1]
    for prefix in ("sed.", "spectrum.", "segment.", "dataset."):
        text = text.removeprefix(prefix)
    return text


def namespace(utype: str) -> str:
    """The prefix of a utype, lower case; '' if it has none."""
    return utype.rsplit(":", 1)[0].strip().lower() if ":" in utype else ""


def from_header(header: Header) -> dict[str, Any]:
    """The model's fields out of the keywords of its FITS serialisation (Table F.1)."""
    found = {field: header.get(key) for key, field in _KEYWORDS.items()}
    for ra, dec in (("RA", "DEC"), ("RA_TARG", "DEC_TARG")):
        pair = header.number(ra), header.number(dec)
        if None not in pair:
            found.setdefault(_LOCATION, pair)
    return {k: v for k, v in found.items() if v is not None}


def from_params(params: tuple[tuple[str, str, str, Any], ...]) -> dict[str, Any]:
    """The model's fields out of PARAMs; the first that has a value counts."""
    found: dict[str, Any] = {}
    for utype, _, _, value in params:
        key = plain(utype)
        if key and value is not None and value != "" and value != []:
            found.setdefault(key, value)
    return found


def frame(said: Mapping[str, Any]) -> SpecSys:
    """SpectralFrame.RefPos; CUSTOM with a redshift is the rest frame. Absent stays unknown."""
    word = str(said.get("coordsys.spectralframe.refpos", "")).strip()
    z = _number(said, "coordsys.spectralframe.redshift")
    if word.upper() == "CUSTOM" and z is not None:
        return SpecSys.SOURCE
    return specsys_of(word)


def observation(source: SourceFile, said: Mapping[str, Any]) -> Observation:
    """The observation that the model's fields describe.

    Source: IVOA Spectrum Data Model 1.1, Table 1; times are MJD, durations seconds, positions
    degrees. Positions in frames other than ICRS and FK5 are left out, not converted.
    """
    did = _text(said, "curation.publisherdid", "dataid.datasetid", "dataid.creatordid")
    instrument = _text(said, "dataid.instrument")
    start, stop, exptime = _times(said)
    ra, dec = _position(said)
    snr = _number(said, "derived.snr")
    collection = _text(said, "dataid.collection")
    return Observation(
        obs_collection=source.options.collection or collection
        or _did_path(did) or instrument_collection(instrument),
        obs_id=_within(did, collection), target_name=_text(said, "target.name"),
        target_class=_text(said, "target.class"), s_ra=ra, s_dec=dec, t_min=start, t_max=stop,
        t_exptime=exptime, em_res_power=_number(said, "char.spectralaxis.respower"),
        facility_name=_text(said, "facility", "provenance.obsconfig.facility.name"),
        instrument_name=instrument, snr=snr,
        snr_source=None if snr is None else "delivered",
        redshift=_number(said, "target.redshift", "derived.redshift.value"),
        obs_creator_did=_text(said, "dataid.creatordid"),
        bib_reference=_text(said, "curation.reference"),
        metadata=metadata(title=_text(said, "dataid.title"),
                          bandpass=_text(said, "dataid.bandpass"),
                          sp_type=_text(said, "target.spectralclass")),
    )  # fmt: skip


def _text(said: Mapping[str, Any], *keys: str) -> str | None:
    for key in keys:
        value = scalar(said.get(key)) if not isinstance(said.get(key), (list, tuple)) else None
        text = str(value).strip() if value is not None else ""
        if text and text.upper() not in ("UNKNOWN", "NONE", "NAN", "NULL"):
            return text
    return None


def _number(said: Mapping[str, Any], *keys: str) -> float | None:
    for key in keys:
        value = said.get(key)
        if isinstance(value, bool) or value is None or isinstance(value, (list, tuple)):
            continue
        try:
            x = float(value)
        except (TypeError, ValueError):
            continue
        if math.isfinite(x):
            return x
    return None


def _times(said: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """(start, stop, exposure in s): from the bounds, else from the midpoint and the duration."""
    start, stop, middle = (
        _mjd(_number(said, _TIME + word)) for word in ("bounds.start", "bounds.stop",
                                                       "location.value")
    )  # fmt: skip
    extent = _number(said, _TIME + "bounds.extent", _TIME + "support.extent")
    exposure = _number(said, _TIME + "support.extent", _TIME + "bounds.extent")
    extent = extent if extent is not None and extent >= 0 else None
    if start is None and middle is not None:
        half = (extent or 0.0) / 172_800.0
        start, stop = middle - half, middle + half
    if stop is None and start is not None and extent is not None:
        stop = start + extent / 86_400.0
    return start, stop, exposure if exposure is not None and exposure >= 0 else None


def _mjd(value: float | None) -> float | None:
    if value is None:
        return None
    if 2_415_000 < value < 2_500_000:
        value -= 2_400_000.5  # the model wants MJD, services also write JD
    return value if 15_000 < value < 100_000 else None


def _position(said: Mapping[str, Any]) -> tuple[float | None, float | None]:
    name = (_text(said, "coordsys.spaceframe.name") or "ICRS").upper()
    if name not in ("ICRS", "FK5"):
        return None, None
    for key in (_LOCATION, "target.pos"):
        value = said.get(key)
        numbers: list[float] = []
        if isinstance(value, (list, tuple)):
            numbers = [float(v) for v in value if isinstance(v, (int, float))]
        elif isinstance(value, str) and not re.search(r"(?i)gal|fk4|ecl", value):
            numbers = [float(t) for t in re.findall(r"[+-]?\d+\.?\d*(?:[eE][+-]?\d+)?", value)]
        if len(numbers) == 2:
            sky = valid_sky(*numbers)
            if sky[0] is not None:
                return sky
    return None, None


def _within(did: str | None, collection: str | None) -> str | None:
    """``x`` of ``ivo://authority/COLLECTION?x`` in that collection, so that what an archive of
    ours published keeps its identity; any other identifier as it is."""
    match = re.fullmatch(r"ivo://[^/?#]+/([^?#]+)\?([^?#]+)", did or "")
    if match is None or unquote(match[1]) != collection:
        return did
    return unquote(match[2])


def _did_path(did: str | None) -> str | None:
    """The collection in an identifier: ``ivo://asu.cas.cz/stel/ccd700/a1`` → ``…/ccd700``."""
    inside = re.fullmatch(r"ivo://([^/?#]+)/~\?([^/?#]+)/.*", did or "")
    if inside:  # DaCHS writes authority, then a path inside the server
        return f"{inside[1]}/{inside[2]}"
    match = re.fullmatch(r"ivo://([^?#]+?)(?:[?#/][^/?#]*)?", did or "")
    return match[1] if match and "/" in match[1] else None
