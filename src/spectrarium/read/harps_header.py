"""What the header of a HARPS-family DRS product says of its observation."""

from __future__ import annotations

import re

import numpy as np

from ..domain.observation import Observation
from .fits import Header
from .header_values import metadata, mjd_of, sky_deg
from .source import SourceFile

_RESOLVING_POWER = {"HARPS": 115_000.0, "HARPN": 115_000.0}
"""High-accuracy mode; HARPS' EGGS fibre has 80,000 (HARPS user manual)."""


def fibre(header: Header) -> str:
    """``A`` or ``B``, from the names of the calibration files; A where nothing says."""
    match = re.search(r"_([AB])\.fits", header.text)
    return match[1] if match else "A"


def numbered(header: Header, stem: str) -> dict[int, float]:
    """Values of ``HIERARCH stem0``, ``stem1`` … in one pass: an e2ds has hundreds of them."""
    out: dict[int, float] = {}
    for index, text in re.findall(rf"HIERARCH {stem}(\d{{1,6}}) *= *([^ /]+)", header.text):
        try:
            value = float(text.replace("D", "E"))
        except ValueError:
            continue
        if np.isfinite(value):
            out[int(index)] = value
    return out


def pipeline(header: Header, prefix: str) -> str | None:
    """Version of the DRS."""
    return header.string(f"{prefix} DRS VERSION")


def drs_observation(source: SourceFile, header: Header, prefix: str, kind: str) -> Observation:
    """The observation of one product; BJD is turned from UTC to TDB."""
    ra, dec = sky_deg(header, ("RA",), ("DEC",))
    exposure = header.number("EXPTIME")
    start = mjd_of(header, "MJD-OBS", "DATE-OBS")
    instrument = header.string("INSTRUME") or "HARPS"
    bjd = header.number(f"{prefix} DRS BJD")
    date = header.string("DATE-OBS")
    snr = _snr(header, prefix)
    return Observation(
        obs_collection=source.options.collection or instrument,
        obs_id=f"{instrument}.{date}_{kind}_{fibre(header)}" if date else None,
        target_name=header.string("OBJECT", f"{prefix} OBS TARG NAME"),
        target_class="sky" if _is_sky(header, prefix) else None,
        s_ra=ra, s_dec=dec, t_min=start, t_exptime=exposure,
        t_max=None if start is None else start + (exposure or 0.0) / 86400.0,
        em_res_power=_resolving_power(header, prefix, instrument),
        facility_name=header.string("TELESCOP"), instrument_name=instrument,
        snr=snr, snr_source=None if snr is None else "median of DRS SPE EXT SNn",
        rv_kms=_velocity(header, f"{prefix} DRS CCF RVC", f"{prefix} DRS CCF RV"),
        berv_kms=header.number(f"{prefix} DRS BERV"), bjd_tdb=_tdb(bjd),
        airmass=header.number("AIRMASS", f"{prefix} TEL AIRM START"),
        metadata=metadata(bjd_utc=bjd, fibre=fibre(header),
                          bervmax_kms=header.number(f"{prefix} DRS BERVMX"),
                          drift_ms=header.number(f"{prefix} DRS DRIFT RV USED"),
                          programme=header.string(f"{prefix} OBS PROG ID")),
    )  # fmt: skip


def _is_sky(header: Header, prefix: str) -> bool:
    words = (header.string(f"{prefix} DPR TYPE") or "").upper().split(",")
    return fibre(header) == "B" and len(words) > 1 and words[1] == "SKY"


def _resolving_power(header: Header, prefix: str, instrument: str) -> float | None:
    if "EGGS" in f"{header.get(f'{prefix} INS MODE', '')}{header.get('ORIGFILE', '')}".upper():
        return 80_000.0
    return _RESOLVING_POWER.get(instrument)


def _velocity(header: Header, *keys: str) -> float | None:
    value = header.number(*keys)
    return None if value is None or abs(value) > 2000.0 else value  # −99999: no measurement


def _snr(header: Header, prefix: str) -> float | None:
    found = numbered(header, f"{prefix} DRS SPE EXT SN")
    return float(np.median(list(found.values()))) if found else None


def _tdb(bjd_utc: float | None) -> float | None:
    """BJD in TDB. The classical DRS counts its Barycentric Julian Day in UTC.

    (Light-travel time recomputed for α Cen B and Gl 273 reproduces the header to 0.3 s in UTC;
    taking it for TDB would be wrong by 64 to 69 s.)
    """
    if bjd_utc is None or not 2_430_000 < bjd_utc < 2_500_000:
        return None
    from astropy.time import Time

    day = float(np.floor(bjd_utc))
    return float(Time(day, bjd_utc - day, format="jd", scale="utc").tdb.jd)
