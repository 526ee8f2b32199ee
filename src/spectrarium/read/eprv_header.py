"""The EPRV standard's primary header: values that say UNKNOWN are unknown."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..domain.observation import Observation
from .fits import Header
from .header_values import metadata, mjd_of, sexagesimal, valid_sky
from .source import SourceFile

_NOTHING = frozenset({"", "UNKNOWN", "UNDEFINED", "UNDEF", "N/A", "NA", "NONE", "NULL", "NAN"})
_LAMPS = ("CAL", "LFC", "ETALON", "FP", "THAR", "UNE", "URNE", "LAMP", "DARK", "BIAS", "FLAT")
_DOTTED = re.compile(r"([+-]?\d{1,3})\.(\d{1,2})\.(\d{1,2}(?:\.\d*)?)")


def known(header: Header, *keys: str) -> Any:
    """The first of `keys` with a value that means something (not UNKNOWN, N/A …), or None.

    The standard's compliance check passes files whose required keywords all say UNKNOWN.
    """
    for key in keys:
        value = header.get(key)
        if value is not None and str(value).strip().upper() not in _NOTHING:
            return value.strip() if isinstance(value, str) else value
    return None


def trace_type(header: Header, trace: int) -> str:
    """SCI, SKY, CAL or UNKNOWN, by the keyword TRACEn."""
    word = str(known(header, f"TRACE{trace}") or "").upper()
    if word.startswith(("SCI", "STAR", "TARGET", "OBJ")):
        return "SCI"
    if word.startswith("SKY"):
        return "SKY"
    return "CAL" if word.startswith(_LAMPS) else "UNKNOWN"


def standard_version(header: Header) -> str:
    """The version of the standard that the file says it follows."""
    return f"EPRV standard {known(header, 'EPRVTAG', 'VOCLASS') or 'of unknown version'}"


def _angle(value: Any, factor: float) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value)
    dotted = _DOTTED.fullmatch(text)
    if dotted:  # the keyword table's own example: DD.mm.ss.sss
        text = ":".join(dotted.groups())
    degrees = sexagesimal(text)
    if degrees is not None:
        return degrees * factor
    try:
        return float(text)
    except ValueError:
        return None


def _sky(header: Header, trace: int) -> tuple[float | None, float | None]:
    """The catalogue position of the trace's object, else where the telescope pointed."""
    for ra_key, dec_key in ((f"CRA{trace}", f"CDEC{trace}"), ("TRA1", "TDEC1"), ("TRA", "TDEC")):
        pair = valid_sky(_angle(known(header, ra_key), 15.0), _angle(known(header, dec_key), 1.0))
        if pair[0] is not None:
            return pair
    return None, None


def _snr(header: Header) -> float | None:
    values = [header.number(f"EXSNR{i}") for i in range(1, 21)]
    positive = [x for x in values if x is not None and x > 0]
    return float(np.median(positive)) if positive else None


def observation(
    source: SourceFile, stem: str, trace: int | None, kind: str, level: int
) -> Observation:
    """What the primary header says of one trace (None = the combined science traces).

    `kind` is SCI, SKY or UNKNOWN; `level` 2 or 3. BERV and BJD_TDB are extensions, not keywords.
    """
    head = source.fits.primary
    n = trace or _first_science(head)
    ra, dec = _sky(head, n)
    start, exptime = mjd_of(head, "DATE-OBS", "JD_UTC"), head.number("EXPTIME")
    name = known(head, "FILENAME")
    instrument = known(head, "INSTRUME")
    snr = _snr(head) if kind != "SKY" else None
    end = None if start is None or exptime is None else start + exptime / 86400.0
    return Observation(
        obs_collection=source.options.collection or f"{instrument or 'EPRV'}-EPRV-L{level}",
        obs_id=None if name is None else f"{str(name).removesuffix('.fits')}#{stem}",
        target_name=None if kind == "SKY" else known(head, "OBJECT"),
        target_class="SKY" if kind == "SKY" else None,
        s_ra=ra, s_dec=dec, t_min=start, t_max=end, t_exptime=exptime,
        facility_name=known(head, "TELESCOP", "OBSERVAT"), instrument_name=instrument,
        calib_level=level, snr=snr, airmass=head.number("AIRMASS"),
        snr_source=None if snr is None else "median of EXSNRn",
        metadata=metadata(
            trace=stem, trace_type=kind, program=known(head, "PROGRAM"),
            obsmode=known(head, "OBSMODE"), obstype=known(head, "OBSTYPE"),
            catalogue=known(head, f"CSRC{n}"), catalogue_id=known(head, f"CID{n}"),
            systemic_rv_kms=head.number(f"CRV{n}"), parallax_mas=head.number(f"CPLX{n}"),
            calibration_source=known(head, f"CLSRC{n}"), extract=known(head, "EXTRACT"),
            drptag=known(head, "DRPTAG"), eprvtag=known(head, "EPRVTAG"),
            instera=known(head, "INSTERA"), summflag=known(head, "SUMMFLAG"),
            dqlvl2=known(head, "DQLVL2"), blaze_corrected=head.get("BLZCORR"),
            flux_normalisation=known(head, "FLXNRMMD"),
        ),
    )  # fmt: skip


def _first_science(header: Header) -> int:
    count = header.number("NUMTRACE")
    traces = range(1, int(min(max(count or 1, 1), 50)) + 1)
    return next((i for i in traces if trace_type(header, i) == "SCI"), 1)
