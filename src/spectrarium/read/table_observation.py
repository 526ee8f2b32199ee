"""The observation of a FITS table's spectrum, from its headers and its row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..domain.axis import Medium, SpecSys
from ..domain.observation import Observation
from .fits import Hdu, Header
from .header_values import metadata, mjd_of, scalar, sky_deg, valid_sky
from .source import SourceFile
from .spectral_words import medium_in_text, medium_of_ucd, specsys_of, ucd_words
from .table_columns import Roles, medium_in_name

LOCAL = "local"
"""Collection of spectra whose file names neither a survey nor an instrument."""
_ID_KEYS = ("OBSID", "OBS_ID", "SPEC_ID", "SPECID", "DS_IDPUB", "ARCFILE", "ORIGFILE", "ROOTNAME")
_ROW_IDS = ("obsid", "obs_id", "spec_id", "specid", "specobjid", "spectrum_id", "source_id",
            "targetid", "sobject_id", "mangaid", "objid", "object_id", "segment", "sporder",
            "order", "name", "object")  # fmt: skip
_ROW_NUMBERS = {
    "t_exptime": ("exptime", "exposure"), "snr": ("snr", "sn", "s2n"),
    "redshift": ("z", "redshift", "z_best"), "airmass": ("airmass",),
}  # fmt: skip


def both_headers(hdu: Hdu) -> Header:
    """The table's header, then the primary one: the nearer word counts."""
    primary = hdu.file.primary
    return Header(hdu.header.text + primary.text) if hdu.index else primary


def instrument_collection(instrument: str | None) -> str:
    """The collection of a file without a survey: its instrument (60 ASCII characters) or local."""
    if not instrument:
        return LOCAL
    return instrument.encode("ascii", "replace").decode()[:60].strip() or LOCAL


def header_observation(source: SourceFile, header: Header, collection: str | None) -> Observation:
    """What the usual FITS keywords say; nothing is guessed for those that are absent."""
    ra, dec = sky_deg(header, ("RA", "RA_TARG", "RA_OBJ", "TARG_RA"),
                      ("DEC", "DEC_TARG", "DEC_OBJ", "TARG_DEC"))  # fmt: skip
    start = mjd_of(header, "MJD-OBS", "MJD_OBS", "MJD", "DATE-OBS", "DATE_OBS")
    exptime = header.number("EXPTIME", "EXPOSURE", "TEXPTIME")
    end = mjd_of(header, "MJD-END", "MJD_END", "DATE-END")
    if end is None and start is not None and exptime is not None and exptime > 0:
        end = start + exptime / 86_400.0
    instrument = header.string("INSTRUME", "INSTRUMENT")
    snr = header.number("SNR", "DER_SNR")
    return Observation(
        obs_collection=source.options.collection or collection
        or instrument_collection(header.string("SURVEY") or instrument),
        obs_id=header.string(*_ID_KEYS),
        target_name=header.string("OBJECT", "TARGNAME", "TARGET", "TARGETID"),
        target_class=header.string("SRCCLASS", "OBJTYPE"),
        s_ra=ra, s_dec=dec, t_min=start, t_max=end, t_exptime=exptime,
        em_res_power=header.number("SPEC_RP", "SPEC_RES", "RESPOWER"),
        facility_name=header.string("TELESCOP"), instrument_name=instrument,
        snr=snr, snr_source=None if snr is None else "delivered",
        redshift=header.number("REDSHIFT"), airmass=header.number("AIRMASS"),
        bib_reference=header.string("REFERENC", "BIBCODE"),
        metadata=metadata(teff=header.number("TEFF"), logg=header.number("LOGG"),
                          feh=header.number("FEH"), subclass=header.string("SUBCLASS")),
    )  # fmt: skip


def row_observation(base: Observation, hdu: Hdu, row: int, part: str | None) -> Observation:
    """`base` with what the scalar columns of a row say, and an id that is unique in the file."""
    changes: dict[str, Any] = {}
    ra, dec = (
        _cell(hdu, row, "ra", "raj2000", "target_ra", "ra_icrs", "objra"),
        _cell(hdu, row, "dec", "dej2000", "target_dec", "dec_icrs", "objdec"),
    )
    if _is_number(ra) and _is_number(dec):
        sky = valid_sky(float(ra), float(dec))
        if sky[0] is not None:
            changes |= {"s_ra": sky[0], "s_dec": sky[1]}
    for field, names in _ROW_NUMBERS.items():
        value = _cell(hdu, row, *names)
        if _is_number(value):
            changes[field] = float(value)
    if "snr" in changes:
        changes["snr_source"] = "delivered"
    name = _cell(hdu, row, "object", "target_name", "targname", "target", "name")
    if isinstance(name, str) and name:
        changes["target_name"] = name
    changes["obs_id"] = _row_id(base, hdu, row, part)
    return replace(base, **changes)


def part_observation(base: Observation, part: str | None) -> Observation:
    """`base` with `part` (the HDU's name) in its id when one file holds several spectra."""
    if base.obs_id is None or part is None:
        return base
    return replace(base, obs_id=f"{base.obs_id}/{part}")


def medium_of(hdu: Hdu, roles: Roles, header: Header) -> Medium:
    """The medium a table states: in UCD, column name, column comment or keyword.

    Bare ``em.wl`` means vacuum only in one-row tables of array cells, whose convention
    (ESO Science Data Products Standard) tells the two apart by ``obs.atmos``.
    """
    ucd = str(hdu.column_key("TUCD", roles.wave) or "")
    stated = medium_of_ucd(ucd)
    if stated is Medium.UNKNOWN:
        stated = medium_in_name(roles.wave)
    if stated is Medium.UNKNOWN:
        stated = medium_in_text(_comment(hdu, roles.wave))
    if stated is Medium.UNKNOWN:
        stated = _medium_keyword(header)
    if stated is Medium.UNKNOWN and ucd_words(ucd) == ["em.wl"]:
        column = hdu.find(roles.wave)
        if hdu.n_rows == 1 and column is not None and (column.shape or column.code in "PQ"):
            stated = Medium.VACUUM
    return stated


def specsys_in(header: Header) -> SpecSys:
    """SPECSYS, if it is one of the FITS words."""
    return specsys_of(header.get("SPECSYS", ""))


def _medium_keyword(header: Header) -> Medium:
    vacuum = header.get("VACUUM")
    if isinstance(vacuum, bool):
        return Medium.VACUUM if vacuum else Medium.AIR
    word = str(header.get("AIRORVAC", "")).strip().lower()
    return {"air": Medium.AIR, "vac": Medium.VACUUM, "vacuum": Medium.VACUUM}.get(
        word, Medium.UNKNOWN
    )


def _comment(hdu: Hdu, name: str) -> str:
    """The comment of the column's TTYPE card, which writers use for its description."""
    column = hdu.find(name)
    if column is None:
        return ""
    text = hdu.header.text
    at = text.find(f"{f'TTYPE{column.number}':<8}=")
    while at >= 0 and at % 80:
        at = text.find(f"{f'TTYPE{column.number}':<8}=", at + 1)
    card = text[at : at + 80] if at >= 0 else ""
    return card[card.find("/", card.rfind("'")) + 1 :].strip() if "/" in card else ""


def _cell(hdu: Hdu, row: int, *names: str) -> Any:
    column = hdu.find(*names)
    if column is None or column.shape or column.code in "PQX":
        return None
    return scalar(hdu.column(column.name)[row])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _row_id(base: Observation, hdu: Hdu, row: int, part: str | None) -> str | None:
    stem = base.obs_id if part is None else f"{base.obs_id}/{part}" if base.obs_id else part
    if hdu.n_rows == 1 and stem is not None and base.obs_id is not None:
        return stem
    for name in _ROW_IDS:
        column = hdu.find(name)
        if column is None or column.shape or column.code in "PQXLED":
            continue
        values = [str(scalar(v) or "") for v in hdu.column(column.name)]
        if values[row] and len(set(values)) == len(values):
            return f"{stem}/{values[row]}" if base.obs_id else values[row]
    if base.obs_id is None:
        return None
    return stem if hdu.n_rows == 1 else f"{stem}/row{row}"
