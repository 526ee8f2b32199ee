"""From the named values of a row or a header to an Observation and to the words of the domain."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from astropy import units as u

from ..domain.axis import Medium, SpecSys
from ..domain.observation import Observation, Scalar
from ..domain.spectrum import FluxCalibration, Normalisation
from ..domain.units import parse_unit
from .fits import iso_to_mjd
from .header_values import scalar, sexagesimal, valid_sky
from .source import SourceFile

SPECTRUM_IDS = ("spec_id", "obs_id", "obsid", "spectrum_id", "specid", "observation_id")
"""Names under which files give an identifier of the spectrum itself."""
OBJECT_IDS = ("object_id", "targetid", "source_id", "sobject_id", "id", "ids", "name")
"""Names that may repeat where an object was observed more than once."""
MAX_METADATA = 256
_NAMES: dict[str, tuple[str, ...]] = {
    "target_name": ("object_name", "target_name", "object", "target", "objname", "name"),
    "target_class": ("obj_class", "target_class", "class", "spectype"),
    "s_ra": ("s_ra", "ra", "ra_deg", "target_ra", "raj2000", "plug_ra"),
    "s_dec": ("s_dec", "dec", "dec_deg", "target_dec", "dej2000", "plug_dec"),
    "t_min": ("t_min", "mjd", "mjd_obs", "date_obs"),
    "t_max": ("t_max", "mjd_end"),
    "t_exptime": ("t_exptime", "exptime", "exposure_time"),
    "em_res_power": ("em_res_power", "resolution", "resolving_power", "spec_res"),
    "instrument_name": ("instrument_name", "instrument", "instrume"),
    "facility_name": ("facility_name", "telescope", "facility", "telescop"),
    "snr": ("snr",),
    "redshift": ("redshift", "z"),
    "rv_kms": ("rv_kms",),
    "berv_kms": ("berv_kms",),
    "bjd_tdb": ("bjd_tdb",),
    "airmass": ("airmass",),
    "bib_reference": ("bib_reference", "bibcode"),
    "obs_creator_did": ("obs_creator_did",),
}
_TEXT = {"target_name", "target_class", "instrument_name", "facility_name", "bib_reference",
         "obs_creator_did"}  # fmt: skip
_RENAMED = {"obj_subclass": "subclass", "subtype": "subclass"}
_NOT_KEPT = frozenset({"file", "key", "npix", "wmin_a", "wmax_a", "obs_collection", "medium"})


def normal_key(key: str) -> str:
    """``MJD-OBS`` → ``mjd_obs``: how keys are compared."""
    return re.sub(r"[\s\-.]+", "_", key.strip()).lower()


def present(value: Any) -> Scalar | None:
    """The value as a JSON scalar, or None for NaN, blanks and the texts nan and None."""
    found = scalar(value)
    if isinstance(found, str) and found.lower() in ("nan", "none", "null", "<na>", "--"):
        return None
    return found


def number(value: Any) -> float | None:
    """The value as a finite float, or None."""
    value = present(value)
    if value is None or isinstance(value, bool):
        return None
    try:
        x = float(value)
    except ValueError:
        return None
    return x if math.isfinite(x) else None


def collection_of(values: Mapping[str, Any], source: SourceFile, default: str | None = None) -> str:
    """Collection of a row: as declared, as written, by its instrument, else `default` or local.

    The instrument is taken as a FITS header can hold it (ASCII, 60 characters), so that a
    spectrum written as FITS, CSV and Parquet is one observation.
    """
    if source.options.collection:
        return source.options.collection
    written = present(values.get("obs_collection"))
    if written is not None:
        return str(written)
    if default is not None:
        return default
    instrument = next(
        (v for k in _NAMES["instrument_name"] if isinstance(v := present(values.get(k)), str)), None
    )
    return (header_text(instrument) if instrument else "") or "local"


def header_text(text: str) -> str:
    """The text as one FITS header card holds it."""
    return text.encode("ascii", "replace").decode()[:60].strip()


def observation(
    values: Mapping[str, Any],
    source: SourceFile,
    *,
    obs_id: str | None,
    collection: str | None = None,
) -> Observation:
    """The catalogue row of named values (keys as `normal_key` gives them).

    What no ObsCore field takes is kept as metadata. Redshifts ≤ −1 and positions that are no
    positions are placeholders and left out.
    """
    fields: dict[str, Any] = {}
    used: set[str] = {*SPECTRUM_IDS}
    for field, names in _NAMES.items():
        for name in names:
            if name in values and (value := _field(field, values[name])) is not None:
                fields[field] = value
                used.add(name)
                break
    fields["s_ra"], fields["s_dec"] = valid_sky(fields.get("s_ra"), fields.get("s_dec"))
    if fields.get("snr") is not None:
        said = present(values.get("snr_source")) if exported(values) else None
        fields["snr_source"] = "file" if said is None else str(said)
    level = number(values.get("calib_level"))
    if level is not None and level in (0, 1, 2, 3, 4):
        fields["calib_level"] = int(level)
        used.add("calib_level")
    return Observation(
        obs_collection=collection or collection_of(values, source),
        obs_id=obs_id, metadata=_rest(values, used), **fields,
    )  # fmt: skip


def _field(field: str, value: Any) -> Any:
    if field in _TEXT:
        value = present(value)
        return None if value is None else str(value)
    if field in ("s_ra", "s_dec") and isinstance(value, str):
        hours = sexagesimal(value)
        if hours is not None:
            return hours * (15.0 if field == "s_ra" else 1.0)
    if field in ("t_min", "t_max"):
        return _mjd(value)
    x = number(value)
    if x is None or (field == "redshift" and x <= -1.0):
        return None
    if field in ("em_res_power", "t_exptime", "snr") and x <= 0.0:
        return None
    return x


def _mjd(value: Any) -> float | None:
    x = number(value)
    if x is None:
        return iso_to_mjd(value) if isinstance(value, str) else None
    if 2_400_000.5 < x < 2_500_000.5:
        return x - 2_400_000.5
    return x if -700_000 < x < 100_000 and x != 0 else None


def _rest(values: Mapping[str, Any], used: Iterable[str]) -> dict[str, Scalar]:
    out: dict[str, Scalar] = {}
    if exported(values):  # all else in it is the archive's own book-keeping
        found = {k: present(v) for k, v in _metadata(values.get("metadata")).items()}
        return {k: v for k, v in found.items() if v is not None}
    for key, raw in values.items():
        if key in used or key in _NOT_KEPT or len(out) >= MAX_METADATA:
            continue
        value = present(raw)
        if isinstance(value, str):
            value = _typed(value)
        if value is not None:
            out[_RENAMED.get(key, key)] = value
    return out


def exported(values: Mapping[str, Any]) -> bool:
    """True for the rows and headers that `spectrarium export` writes: catalogue names, by-the-book
    values, and what the observation's file said besides as one `metadata`."""
    return values.get("written_by") == "spectrarium"


def _metadata(said: Any) -> dict[str, Any]:
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except ValueError:
            return {}
    return {str(k): v for k, v in said.items()} if isinstance(said, dict) else {}


def _typed(text: str) -> Scalar | None:
    if text in ("True", "False"):
        return text == "True"
    if re.fullmatch(r"[+-]?\d{1,19}", text):  # identifiers of 19 digits are no floats
        return int(text) if abs(int(text)) < 2**63 else text
    x = number(text)
    return text if x is None else x


def medium_of(text: str) -> Medium:
    """Medium of words such as ``vac, heliocentric``; naming both, or doubting (``air?``), says
    nothing."""
    low = text.lower()
    if ("air" in low) == ("vac" in low) or "?" in low:
        return Medium.UNKNOWN
    return Medium.AIR if "air" in low else Medium.VACUUM


def specsys_of(text: str) -> SpecSys:
    """Frame of words such as ``air, barycentric`` or ``vac, rest (…)``, or a FITS SPECSYS value.

    ``rest`` counts only as a word of its own at the head of a clause: ``vac (rest-frame stack
    matches vacuum lines)`` tells how the medium was found, not the frame.
    """
    low = text.strip().lower()
    for system in SpecSys:
        if low == system.value.lower():
            return system
    for word, system in (("bary", SpecSys.BARYCENT), ("helio", SpecSys.HELIOCEN),
                         ("topo", SpecSys.TOPOCENT)):  # fmt: skip
        if word in low:
            return system
    for clause in re.split(r"[,;]", low):
        if re.fullmatch(r"rest([\s-]?frame)?(\s*\(.*)?", clause.strip()):
            return SpecSys.SOURCE
    return SpecSys.UNKNOWN


@dataclass(frozen=True, slots=True)
class FluxKind:
    """What a text such as ``f_lambda 1e-17 erg/s/cm2/A`` says of the flux."""

    unit: str | None = None
    calibration: FluxCalibration = FluxCalibration.UNKNOWN
    normalisation: Normalisation = Normalisation.UNKNOWN


def flux_kind_of(text: str) -> FluxKind:
    """Unit, calibration and normalisation of a free text on the flux.

    A flux that was divided by something (``… / median``, ``… / flux_scale``) has no longer the
    unit that the text starts with: its unit is unknown and it is relative.
    """
    low = text.lower()
    if re.search(r"\s/\s*[a-z_]+\s*$", low):
        return FluxKind(None, FluxCalibration.RELATIVE, Normalisation.SCALED)
    normalisation = Normalisation.UNKNOWN
    if re.search(r"\bsnid\b", low):  # (f − continuum) / continuum: Blondin & Tonry 2007, §2
        normalisation = Normalisation.CONTINUUM_SUBTRACTED
    elif "continuum-flattened" in low or "continuum-normali" in low:
        normalisation = Normalisation.CONTINUUM_DIVIDED
    calibration = FluxCalibration.UNKNOWN
    if low.startswith(("normalised", "normalized")):
        calibration = FluxCalibration.NORMALIZED
    elif "relative" in low:
        calibration = FluxCalibration.RELATIVE
    return FluxKind(_flux_unit(text), calibration, normalisation)


def _flux_unit(text: str) -> str | None:
    if "erg/s/cm2/A" in text:
        scale = re.search(r"\b1e-(1[0-9])\b", text)
        return f"{f'10**-{scale[1]} ' if scale else ''}erg s-1 cm-2 Angstrom-1"
    if "count" in text or "ADU" in text:
        return "adu"
    unit = parse_unit(text) if re.search("[A-Za-z]", text) else None
    if unit is None:
        return None
    return "" if unit == u.dimensionless_unscaled else text.strip()
