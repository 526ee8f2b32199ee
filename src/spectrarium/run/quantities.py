"""What is known of observations besides their pixels: columns to colour by and to test against."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..store.archive import Archive, Rows
from ..store.schema import BY_NAME


class Role(StrEnum):
    """Whether a likeness of spectra should follow a quantity or be blind to it."""

    PHYSICAL = "physical"
    NUISANCE = "nuisance"


@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """One quantity of many observations.

    values : (n,) numbers (NaN = unknown) or words (None = unknown) · unit : VOUnit, or ""
    scale : what was done to the numbers: ``log10``, ``log10(1+)`` or "" · source : the column
    """

    name: str
    role: Role
    values: NDArray[Any]
    unit: str = ""
    scale: str = ""
    source: str = ""


_NUISANCES = {
    "snr": "snr", "sn": "snr", "s_n": "snr", "rv": "rv_kms", "rv_kms": "rv_kms",
    "radial_velocity": "rv_kms", "vhelio": "rv_kms", "hrv": "rv_kms", "berv": "berv_kms",
    "berv_kms": "berv_kms", "redshift": "z", "z": "z", "pipeline_z": "z", "zbest": "z",
    "airmass": "airmass", "t_min": "date",
    "mjd": "date", "date": "date", "jd": "date", "bjd": "date", "t_exptime": "exposure_time",
    "exptime": "exposure_time", "fiber": "fibre", "fiberid": "fibre", "fibre": "fibre",
    "fibreid": "fibre", "fiber_id": "fibre", "fibre_id": "fibre", "plate": "plate",
    "plateid": "plate", "petal": "petal", "petal_loc": "petal", "spid": "spectrograph",
    "spectrograph": "spectrograph", "specid": "spectrograph", "spectro": "spectrograph",
    "camera": "camera", "arm": "arm", "seeing": "seeing",
    "coverage": "coverage", "obs_collection": "collection", "instrument_name": "instrument",
}  # fmt: skip
"""Column names (lower case) of what a likeness should not follow, and what we call it.

Velocity and redshift are among them: they are facets of their own, to be asked for by name.
"""
_NUMBERED = ("fibre", "plate", "petal", "spectrograph", "camera", "arm")
"""Parts of an instrument: their numbers are names, and the next one is no nearer than any other."""
_UCDS = {
    "teff": "phys.temperature.effective", "logg": "phys.gravity", "feh": "phys.abund.Fe",
    "fe_h": "phys.abund.Fe", "m_h": "phys.abund.Z", "alpha_m": "phys.abund",
    "alpha_fe": "phys.abund", "z": "src.redshift", "rv": "spect.dopplerVeloc",
    "ra": "pos.eq.ra", "dec": "pos.eq.dec", "parallax": "pos.parallax", "mjd": "time.epoch",
    "pmra": "pos.pm;pos.eq.ra", "pmdec": "pos.pm;pos.eq.dec", "ebv": "phot.color.excess",
    "vsini": "phys.veloc.rotat", "vsini_kms": "phys.veloc.rotat", "file": "meta.id;meta.file",
    "obj_class": "src.class", "class": "src.class", "subclass": "src.class",
    "classification": "src.class", "spectral_type": "src.spType", "sptype": "src.spType",
    "object_id": "meta.id", "source_id": "meta.id", "name": "meta.id",
}  # fmt: skip
"""UCDs of label columns whose name says enough, in lower case."""
_UNITS = {"teff": "K", "logg": "log(cm.s**-2)"} | dict.fromkeys(
    ("feh", "fe_h", "m_h", "alpha_m", "alpha_fe"), "dex")  # fmt: skip
_CLASSES = ("obj_class", "class", "target_class", "classification")
_NOT_QUANTITIES = (
    "ra", "dec", "s_ra", "s_dec", "raj2000", "dej2000", "glon", "glat", "l", "b", "uid", "name",
    "object", "filename", "file", "path", "url", "note", "notes", "origin", "reference", "bibcode",
    "medium", "frame", "split", "n_pix", "npix", "layout", "zwarning", "z_noqso", "resolution",
    "wmin_a", "wmax_a", "label_source", "flux_kind", "wave_frame", "key", "repo", "run2d",
)  # fmt: skip
_NOT_ENDINGS = (
    "_id", "id", "err", "error", "_sigma", "_flag", "_file", "_name", "_unit", "hash", "_n",
)  # fmt: skip
_SCALES = {"snr": "log10", "exposure_time": "log10", "teff": "log10", "z": "log10(1+)"}
_CATALOGUE = ("redshift", "rv_kms", "berv_kms", "airmass", "t_min", "t_exptime",
              "obs_collection", "instrument_name")  # fmt: skip


def column_values(archive: Archive, rows: Rows, name: str) -> Quantity:
    """A column at catalogue rows; ``class`` is that of the file or else of the label sets.

    Raises UsageError (no_column), naming the nearest, when there is none.
    """
    if name == "class":
        return Quantity(name, Role.PHYSICAL, np.array(archive.classes(rows), object), source=name)
    known = archive.columns()
    if name not in known:
        near = difflib.get_close_matches(name, [*known, "class"], 3, 0.5)
        raise UsageError(
            f"there is no column {name!r}", code="no_column",
            remedy="did you mean " + " or ".join(near) + "?" if near else
            "`spectrarium catalogue` adds columns; there are " + ", ".join(sorted(known)),
        )  # fmt: skip
    column = archive.column(name) if name in BY_NAME else archive.label_column(name)
    values = column.take(pa.array(np.asarray(rows, np.int64)))
    bare = name.rsplit(".", 1)[-1].lower()
    role = Role.NUISANCE if bare in _NUISANCES else Role.PHYSICAL
    return Quantity(name, role, _plain(values), _unit(archive, known[name], name), source=name)


def _plain(values: pa.ChunkedArray) -> NDArray[Any]:
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = [np.nan if v is None else float(v) for v in values.to_pylist()]
        return np.array(numbers, np.float64)
    words = [None if v is None or str(v).strip() == "" else str(v) for v in values.to_pylist()]
    return np.array(words, object)


def ucd_of(name: str, words: bool = False) -> str:
    """The UCD of a label by its name, where this says enough, else the vaguest there is.

    words : it holds words, not numbers
    """
    bare = name.lower()
    if bare in BY_NAME and BY_NAME[bare].ucd:
        return BY_NAME[bare].ucd.replace(";meta.main", "")
    return _UCDS.get(bare) or ("meta" if words else "stat.value")


def unit_of(archive: Archive, name: str) -> str:
    """Unit (VOUnit) of a catalogue or label column, ``""`` where none is known."""
    return _unit(archive, archive.columns()[name], name)


def _unit(archive: Archive, dataset: str, name: str) -> str:
    if name in BY_NAME:
        return BY_NAME[name].unit
    bare = name.removeprefix(dataset.removeprefix("labels/") + ".")
    field = archive.dataset(dataset).lance.schema.field(bare)
    meta = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    return meta.get("unit", "") or usual_unit(bare)


def usual_unit(name: str) -> str:
    """Unit (VOUnit) of a label column that says none, where its name leaves no doubt, else ""."""
    plain = name.lower().removesuffix("_lo").removesuffix("_hi")  # ends of an interval
    if plain.endswith("_kms"):
        return "km/s"
    if re.fullmatch(r"\[\w+/\w+\]", plain):  # logarithms of abundances, from the Sun's
        return "dex"
    return _UNITS.get(plain, "")


def quantities(archive: Archive, rows: Rows, against: tuple[str, ...] = ()) -> Iterator[Quantity]:
    """The columns that may mean something, each once: of the file, of the labels, of metadata.

    against : only these columns (any), as they are named; () = all that look like a quantity
    """
    if against:
        yield from (_scaled(column_values(archive, rows, name)) for name in against)
        return
    seen: set[str] = set()
    for found in _candidates(archive, rows):
        name = _canonical(found)
        if name not in seen and _any(found):
            seen.add(name)
            role = Role.NUISANCE if name in _NUISANCES.values() else Role.PHYSICAL
            yield _scaled(Quantity(name, role, found.values, found.unit, source=found.source))


def _canonical(found: Quantity) -> str:
    bare = found.name.rsplit(".", 1)[-1].lower()
    return "class" if bare in _CLASSES else _NUISANCES.get(bare, bare)


def _any(found: Quantity) -> bool:
    if found.values.dtype.kind == "O":
        return any(v is not None for v in found.values.tolist())
    return bool(np.isfinite(found.values).any())


def _candidates(archive: Archive, rows: Rows) -> Iterator[Quantity]:
    yield column_values(archive, rows, "class")
    for name in _CATALOGUE:
        yield column_values(archive, rows, name)
    for name in archive.columns():
        bare = name.rsplit(".", 1)[-1].lower()
        if name in BY_NAME or "." not in name or bare in _NOT_QUANTITIES:
            continue
        if name.startswith("tags."):  # read off the vectors themselves: nothing to learn from
            continue
        if bare in _NUISANCES or not bare.endswith(_NOT_ENDINGS):
            yield column_values(archive, rows, name)
    yield from _metadata(archive, rows)


def _metadata(archive: Archive, rows: Rows) -> Iterator[Quantity]:
    """What files give beyond the catalogue's columns: fibre, plate, seeing …"""
    texts = archive.catalogue(rows, ["metadata"]).column(0).to_pylist()
    records: list[dict[str, Any]] = [json.loads(t) if t else {} for t in texts]
    for key in sorted({k for r in records for k in r if k.lower() in _NUISANCES}):
        values = [r.get(key) for r in records]
        if _NUISANCES[key.lower()] in _NUMBERED:
            found = np.array([_word(v) for v in values], object)
        else:
            found = np.array([_number(v) for v in values])
        yield Quantity(key, Role.NUISANCE, found, source=f"metadata.{key}")


def _number(value: Any) -> float:
    """A number, also one written as text; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan


def _word(value: Any) -> str | None:
    """The name of a part: ``17`` for 17, 17.0 and " 17 " alike; None if there is none."""
    number = _number(value)
    if math.isfinite(number) and number == int(number):
        return str(int(number))
    text = "" if value is None or value != value else str(value).strip()
    return text or None


def _scaled(found: Quantity) -> Quantity:
    """Numbers on the scale on which equal steps mean the same; those that are names as words."""
    if _canonical(found) in _NUMBERED:
        words = np.array([_word(v) for v in found.values.tolist()], object)
        return Quantity(found.name, found.role, words, source=found.source)
    scale = _SCALES.get(_canonical(found), "")
    if not scale or found.values.dtype.kind == "O":
        return found
    values = found.values + (1.0 if scale == "log10(1+)" else 0.0)
    out = np.full(values.shape, np.nan)
    np.log10(values, out=out, where=values > 0)
    return Quantity(found.name, found.role, out, found.unit, scale, found.source)
