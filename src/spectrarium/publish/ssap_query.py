"""What an SSA client asks for, and which observations that is.

Source: IVOA SSAP 1.1, sections 4.1 and 8.7.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy import units as u
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..run.cutouts import rows_named
from ..store.archive import Archive, Rows
from .dali import DaliError, Params, finite
from .dali_values import Interval, every_range, intervals, meets, time_ranges
from .obscore import vacuum_m
from .publisher import identity_of

Keep = Callable[[Hashable, Callable[[], Any]], Any]
SIZE_DEG = 1.0
"""Diameter of a search whose client gives none."""
NATIVE = "native"
FORMATS = {
    "votable": "application/x-votable+xml", "fits": "application/fits", "graphic": "image/png",
    NATIVE: "application/octet-stream",
}  # fmt: skip
"""Formats of spectra and their types; that of a native file is its own, where its name tells it."""
_WORDS = {
    "all": ("votable",), "compliant": ("votable", "fits"), "votable": ("votable",),
    "xml": ("votable",), "fits": ("fits",), "graphic": ("graphic",), "native": (NATIVE,),
    "image/png": ("graphic",),
    "application/x-votable+xml": ("votable",), "application/votable+xml": ("votable",),
    "text/xml": ("votable",), "text/xml;x-votable": ("votable",),
    "application/x-votable+xml;content=spec": ("votable",),
    "application/fits": ("fits",), "image/fits": ("fits",), "image/*": ("graphic",),
    "application/octet-stream": (NATIVE,),
}  # fmt: skip
"""A spectrum is one row in its VOTable unless another type is named; links lead to all types."""
_MIME = re.compile(r"[\w!#$&^.+*-]+/[\w!#$&^.+*-]+(;.*)?")
_BANDS = {
    "U": (320e-9, 400e-9), "B": (390e-9, 490e-9), "V": (500e-9, 600e-9), "R": (560e-9, 730e-9),
    "I": (730e-9, 880e-9), "J": (1.1e-6, 1.4e-6), "H": (1.5e-6, 1.8e-6), "K": (2.0e-6, 2.4e-6),
    "OPTICAL": (300e-9, 1e-6), "INFRARED": (1e-6, 100e-6), "UV": (10e-9, 300e-9),
    "RADIO": (0.01, math.inf), "MILLIMETER": (1e-4, 0.01), "EUV": (10e-9, 100e-9),
    "X-RAY": (1e-11, 10e-9), "GAMMA-RAY": (0.0, 1e-11),
}  # fmt: skip
"""Bands by name, m: Johnson's, and those of the registry."""
_LEAST = {"SPECRP": "em_res_power", "SNR": "snr"}
"""A single value of these is the least that will do."""
_WAVES_KNOWN = {"any", "calibrated", "absolute"}
_TEXTS = {"TARGETNAME": "target_name", "TARGETCLASS": "target_class"}
IGNORED = ("APERTURE", "SPATRES", "TIMERES", "VARAMPL")
"""Not known of the spectra here: they restrict nothing, and the answer says so."""


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """One query, read. cone : ra, dec, radius in deg · formats : keys of `FORMATS`, in order;
    may be none"""

    params: Params
    cone: tuple[float, float, float] | None
    formats: tuple[str, ...]
    notes: tuple[str, ...] = ()


def wish_of(params: Params) -> Wish:
    """What a request says. Raises DaliError for anything it says wrongly."""
    notes = [f"{n} is not known of these spectra and restricts nothing" for n in IGNORED
             if params.one(n) is not None]  # fmt: skip
    params.choice("COMPRESS", ("true", "false", "1", "0"))  # it may be, and it need not be
    return Wish(params, cone_of(params), formats_of(params.one("FORMAT")), tuple(notes))


def formats_of(text: str | None) -> tuple[str, ...]:
    """Formats that a FORMAT names; none of spectra here for a MIME type that no spectrum has.

    Raises DaliError for a word that is neither.
    """
    out: list[str] = []
    for part in (text or "all").split(","):
        word = part.strip().lower().replace(" ", "")
        found = _WORDS.get(word) or _WORDS.get(word.partition(";")[0])
        if found is None and _MIME.fullmatch(word):
            continue
        if found is None:
            raise DaliError(f"FORMAT is {part.strip()[:60]!r}", where="FORMAT",
                            remedy="choose from: all, compliant, native, graphic, votable, fits, "
                            "metadata, or their MIME types")  # fmt: skip
        out += [f for f in found if f not in out]
    return tuple(out)


def cone_of(params: Params) -> tuple[float, float, float] | None:
    """Where a request looks: POS (ICRS, FK5, FK4 or GALACTIC) and SIZE, a diameter in deg.

    Raises DaliError.
    """
    size = params.number("SIZE", SIZE_DEG, least=0.0, most=360.0)
    text = params.one("POS")
    if text is None:
        return None
    place, _, frame = text.partition(";")
    parts = place.split(",")
    if len(parts) != 2:
        raise DaliError(f"POS is {text[:60]!r}", where="POS", remedy="give RA,DEC in degrees")
    lon, lat = finite(parts[0].strip(), "POS"), finite(parts[1].strip(), "POS")
    ra, dec = to_icrs(lon, lat, frame.strip() or "ICRS")
    assert size is not None
    return ra, dec, min(max(size / 2, 1e-7), 180.0)


def to_icrs(lon: float, lat: float, frame: str) -> tuple[float, float]:
    """A place of another frame in ICRS, deg. Raises DaliError."""
    known = {"ICRS": "icrs", "FK5": "fk5", "FK4": "fk4", "GALACTIC": "galactic",
             "ECLIPTIC": "barycentrictrueecliptic"}  # fmt: skip
    if frame.upper() not in known:
        raise DaliError(f"POS is in the frame {frame[:40]!r}", where="POS",
                        remedy="use " + ", ".join(known))  # fmt: skip
    if not -90 <= lat <= 90 or not -360 <= lon <= 360:
        raise DaliError(f"POS names the place {lon:g}, {lat:g}", where="POS",
                        remedy="give -90 to 90 degrees of latitude")  # fmt: skip
    if frame.upper() == "ICRS":
        return lon % 360.0, lat
    found = SkyCoord(lon * u.deg, lat * u.deg, frame=known[frame.upper()]).icrs
    return float(found.ra.deg), float(found.dec.deg)


# which rows -----------------------------------------------------------------------------------


class Asked:
    """The observations of an archive that meet a wish. keep : (key, make) → value, kept"""

    def __init__(self, archive: Archive, keep: Keep) -> None:
        self.archive = archive
        self._keep = keep

    def rows(self, wish: Wish) -> Rows:
        """Catalogue rows, the nearest first where a place is given. Raises DaliError."""
        params = wish.params
        rows = self._start(wish)
        far: NDArray[np.float64] | None = None
        if wish.cone is not None:
            near, far = self.archive.cone(*wish.cone)
            keep = np.isin(near, rows) if params.all("PUBDID") else np.ones(len(near), bool)
            order = np.argsort(far[keep], kind="stable")
            rows = near[keep][order]
        for good in self._conditions(params):
            rows = rows[good(rows)]
        return rows

    def _start(self, wish: Wish) -> Rows:
        wanted = wish.params.all("PUBDID")
        if not wanted:
            return self._all() if wish.cone is None else np.zeros(0, np.int64)
        names = []
        for did in (d for text in wanted for d in text.split(",") if d):
            with suppress(UsageError):  # an IVOID that is no dataset's
                names.append(identity_of(did))
        found = {row for row in rows_named(self.archive, names) if row is not None}
        return np.array(sorted(found), np.int64)

    def _all(self) -> Rows:
        found: Rows = self._keep("ssa rows", self.archive.find)
        return found

    def _conditions(self, params: Params) -> list[Callable[[Rows], NDArray[np.bool_]]]:
        """One test of rows for each parameter that restricts."""
        out: list[Callable[[Rows], NDArray[np.bool_]]] = []
        if bands := every_range(params.all("BAND"), bands_of, "BAND"):
            lo, hi = self._keep("ssa limits", self._limits)
            out.append(lambda rows: meets(lo[rows], hi[rows], bands))
        if times := every_range(params.all("TIME"), time_ranges, "TIME"):
            start, end = self._numbers("t_min"), self._numbers("t_max")
            ends = np.where(np.isfinite(end), end, start)
            out.append(lambda rows: meets(start[rows], ends[rows], times))
        for name, column in (("SPECRP", "em_res_power"), ("SNR", "snr"), ("REDSHIFT", "redshift"),
                             ("MTIME", "ingest_mjd")):  # fmt: skip
            if ranges := _ranges(params, name):
                out.append(self._inside(column, ranges))
        for name, column in _TEXTS.items():
            if words := _listed(params, name):
                out.append(self._among(column, words))
        for name, column in (("COLLECTION", "obs_collection"), ("CREATORDID", "obs_creator_did")):
            if words := _listed(params, name):
                out.append(self._among(column, words))
        if words := _listed(params, "FLUXCALIB"):
            out.append(self._calibrated(words))
        words = _listed(params, "WAVECALIB")
        if odd := set(words) - {*_WAVES_KNOWN, "relative", "uncalibrated"}:
            raise DaliError(f"WAVECALIB is {min(odd)[:40]!r}", where="WAVECALIB",
                            remedy="choose from: any, absolute, calibrated, relative")  # fmt: skip
        if words and not set(words) & _WAVES_KNOWN:
            out.append(lambda rows: np.zeros(len(rows), bool))  # all spectra here are calibrated
        return out

    def _limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        columns = ("em_min", "em_max", "medium")
        return vacuum_m(pa.table({c: self.archive.column(c) for c in columns}))

    def _numbers(self, name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._keep(
            ("ssa column", name),
            lambda: self.archive.column(name).to_numpy().astype(np.float64),
        )
        return found

    def _inside(self, column: str, ranges: list[Interval]) -> Callable[[Rows], NDArray[np.bool_]]:
        values = self._numbers(column)
        return lambda rows: meets(values[rows], values[rows], ranges)

    def _words(self, column: str) -> tuple[NDArray[np.int64], dict[str, int]]:
        """(codes of all rows, −1 = none; words in small letters, without blanks → their code)"""

        def make() -> tuple[NDArray[np.int64], dict[str, int]]:
            coded = self.archive.column(column).combine_chunks().dictionary_encode()
            known: dict[str, int] = {}
            codes = [known.setdefault(_squeezed(str(w)), len(known))
                     for w in coded.dictionary.to_pylist()]  # fmt: skip
            places = pc.fill_null(coded.indices, len(codes)).to_numpy().astype(np.int64)
            return np.array([*codes, -1], np.int64)[places], known

        found: tuple[NDArray[np.int64], dict[str, int]] = self._keep(("ssa words", column), make)
        return found

    def _among(self, column: str, wanted: list[str]) -> Callable[[Rows], NDArray[np.bool_]]:
        codes, known = self._words(column)
        good = [known[w] for w in map(_squeezed, wanted) if w in known]
        return lambda rows: np.isin(codes[rows], good)

    def _calibrated(self, wanted: list[str]) -> Callable[[Rows], NDArray[np.bool_]]:
        if "any" in wanted:
            return lambda rows: np.ones(len(rows), bool)
        known = {"absolute", "relative", "normalized", "uncalibrated", "calibrated"}
        if odd := set(wanted) - known:
            raise DaliError(f"FLUXCALIB is {min(odd)[:40]!r}", where="FLUXCALIB",
                            remedy="choose from: any, " + ", ".join(sorted(known)))  # fmt: skip
        if "calibrated" in wanted:
            wanted = [*wanted, "absolute", "relative"]
        return self._among("flux_calibration", wanted)


def bands_of(text: str) -> list[Interval]:
    """Ranges of wavelength, m, or bands by name. Raises DaliError."""
    body, _, frame = text.partition(";")
    if frame.strip().lower() not in ("", "observer"):
        raise DaliError(f"BAND is asked in the frame {frame[:40]!r}", where="BAND",
                        remedy="give wavelengths as observed")  # fmt: skip
    out: list[Interval] = []
    for part in body.split(","):
        named = _BANDS.get(part.strip().upper())
        out += [named] if named else intervals(part, what="BAND")
    if any(hi < 0 for _, hi in out):
        raise DaliError("BAND holds negative wavelengths", where="BAND", remedy="give metres")
    return out


def _ranges(params: Params, name: str) -> list[Interval]:
    texts = params.all(name)
    if name == "MTIME":
        return every_range(texts, partial(time_ranges, what=name), name)
    found = every_range(texts, partial(intervals, what=name), name)
    return [(lo, math.inf) if lo == hi else (lo, hi) for lo, hi in found] if name in _LEAST \
        else found  # fmt: skip


def _squeezed(text: str) -> str:
    """A word as it is compared: HD 1 is hd1."""
    return "".join(text.lower().split())


def _listed(params: Params, name: str) -> list[str]:
    return [w.strip().lower() for t in params.all(name) for w in t.split(",") if w.strip()]
