"""Many cut-outs as FITS: a table whose rows have arrays of varying length, or a trailed image."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from numpy.typing import NDArray

from ..domain.axis import Medium, SpecSys
from ..domain.errors import UsageError
from ..domain.spectrum import Normalisation
from ..run.cutouts import Cutout
from ..run.recast import Steps
from .fits_bytes import image_bytes, primary, table_bytes, table_header
from .publisher import Publisher
from .soda_table import infos, table_of
from .units import fits_unit
from .votable_rows import is_list, is_text

_TYPES = {pa.int16(): ">i2", pa.int32(): ">i4", pa.int64(): ">i8", pa.uint8(): "u1",
          pa.float32(): ">f4", pa.float64(): ">f8", pa.bool_(): "u1"}  # fmt: skip
_LETTERS = {"i2": "I", "i4": "J", "i8": "K", "u1": "B", "f4": "E", "f8": "D"}
_PIXELS_MOST = 200_000_000
"""Of a trailed image."""


def table_document(found: Sequence[Cutout], publisher: Publisher) -> bytes:
    """An empty primary HDU and the table SPECTRA, a row a cut-out.

    Arrays lie in the heap (FITS 4.0, section 7.3.5). Texts are ASCII, other characters escaped.
    """
    return primary() + table_hdu(table_of(found, publisher), "SPECTRA", infos(found))


def table_hdu(table: pa.Table, name: str, said: Sequence[tuple[str, str]] = ()) -> bytes:
    """A binary table of an Arrow one; unknown numbers are NaN or TNULL. said : COMMENT cards"""
    table = table.combine_chunks()
    heap: list[bytes] = []
    size = 0
    cells: dict[str, NDArray[Any]] = {}
    longest: dict[str, int] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        if is_list(field.type):
            found, data = _varying(array, size)
            heap.append(data)
            size += len(data)
            longest[field.name] = int(found[:, 0].max()) if len(found) else 0
            cells[field.name] = found
        else:
            cells[field.name] = _plain(array)
    rows = np.zeros(table.num_rows, np.dtype([(n, c.dtype, c.shape[1:]) for n, c in cells.items()]))
    for n, c in cells.items():
        rows[n] = c
    header = table_header(rows, name)
    header["PCOUNT"] = size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)  # long texts are cut
        for number, field in enumerate(table.schema, 1):
            _describe(header, number, field, longest.get(field.name))
        for key, value in said:
            header["COMMENT"] = f"{key}: {value}"
    return table_bytes(header, rows, b"".join(heap))


def _varying(array: pa.Array, start: int) -> tuple[NDArray[Any], bytes]:
    """(n, 2) descriptors (elements, offset in the heap) and the heap's part."""
    length = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    dtype = np.dtype(_TYPES[array.type.value_type])
    values = array.flatten().to_numpy(zero_copy_only=False).astype(dtype)
    offset = start + (np.cumsum(length) - length) * dtype.itemsize
    return np.stack([length, offset], axis=1).astype(">i4"), values.tobytes()


def _plain(array: pa.Array) -> NDArray[Any]:
    if is_text(array.type):
        words = [(v or "").encode("ascii", "backslashreplace") for v in array.to_pylist()]
        return np.array(words, f"S{max([1, *map(len, words)])}")
    dtype = np.dtype(_TYPES[array.type])
    unknown = np.nan if dtype.kind == "f" else _null(dtype)
    return np.asarray(pc.fill_null(array, unknown).to_numpy(zero_copy_only=False), dtype)


def _null(dtype: np.dtype[Any]) -> int:
    return 255 if dtype.itemsize == 1 else int(np.iinfo(dtype).min)


def _describe(header: fits.Header, number: int, field: pa.Field, longest: int | None) -> None:
    said = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    after = f"TFORM{number}"
    if longest is not None:
        letter = _LETTERS[np.dtype(_TYPES[field.type.value_type]).str[1:]]
        header[after] = f"1P{letter}({longest})"
    elif not is_text(field.type) and np.dtype(_TYPES[field.type]).kind in "iu":
        header.set(f"TNULL{number}", _null(np.dtype(_TYPES[field.type])), after=after)
    about = said.get("about", "").encode("ascii", "replace").decode()
    for key, value in (("TCOMM", about[:68]), ("TUCD", said.get("ucd", "")),
                       ("TUNIT", fits_unit(said.get("unit") or None) or "")):  # fmt: skip
        if value:
            header.set(f"{key}{number}", value, after=after)


# a trailed image ------------------------------------------------------------------------------


class Trail:
    """Cut-outs on one grid, a row each in the order asked for; rows without one are empty.

    flux, error : (n, m) float32, NaN where unknown · quality : (n, m) uint8, 1 = unusable
    wave_aa : (m,) Å, all in one medium and frame · unit : of the flux, None = not known
    Raises UsageError (mixed) for cut-outs that share no medium, frame or unit of flux, and
    (too_much) for an image that is too large.
    """

    def __init__(self, found: Sequence[Cutout], steps: Steps) -> None:
        self.found = found
        there = [(i, c.spectrum) for i, c in enumerate(found) if c.spectrum is not None]
        kinds = {(s.axis.medium, s.axis.specsys) for _, s in there}
        units = {s.flux_unit for _, s in there}
        if len(kinds) > 1 or len(units) > 1:
            raise UsageError(
                "spectra in several media, frames or units of flux make no image", code="mixed",
                where="RESPONSEFORMAT", remedy="ask for MEDIUM, FRAME=rest or FLUXCALIB too, or "
                "for a table",
            )  # fmt: skip
        self.medium, self.specsys = (
            kinds.pop() if kinds else (Medium.UNKNOWN, SpecSys.UNKNOWN)
        )  # fmt: skip
        self.unit = units.pop() if units else None
        states = {s.normalisation for _, s in there}
        self.normalisation = states.pop() if len(states) == 1 else Normalisation.UNKNOWN
        bins = [self._bins(s.wave_aa, steps) for _, s in there]
        first = min((int(b[0]) for b in bins), default=0)
        stop = max((int(b[-1]) for b in bins), default=-1) + 1
        shape = (len(found), stop - first)
        if shape[0] * shape[1] > _PIXELS_MOST:
            raise UsageError(
                f"an image of {shape[0]} × {shape[1]} pixels",
                code="too_much",
                remedy="ask for a narrower BAND, a wider step or fewer spectra",
            )
        self.steps, self.wave_aa = steps, steps.wave_aa(np.arange(first, stop))
        self.flux = np.full(shape, np.nan, np.float32)
        self.error = np.full(shape, np.nan, np.float32)
        self.quality = np.ones(shape, np.uint8)
        for (row, s), own in zip(there, bins, strict=True):
            at = own - first
            self.flux[row, at], self.quality[row, at] = s.flux, s.mask
            if s.uncertainty is not None:
                self.error[row, at] = s.uncertainty

    @staticmethod
    def _bins(wave_aa: NDArray[np.float64], steps: Steps) -> NDArray[np.int64]:
        at = wave_aa if steps.linear else np.log(wave_aa)
        return np.rint(at / steps.size).astype(np.int64)


def common_steps(found: Sequence[Cutout]) -> Steps:
    """A grid for spectra that were not resampled: the median of their samples' widths.

    Raises UsageError (too_few_pixels) where no cut-out has two samples.
    """
    widths = []
    for c in found:
        if c.spectrum is not None and len(c.spectrum) > 1:
            wave = np.sort(c.spectrum.wave_aa)
            step = np.diff(wave) / wave[1:]
            widths.append(float(np.median(step[step > 0])) if (step > 0).any() else math.nan)
    known = [w for w in widths if math.isfinite(w) and w > 0]
    if not known:
        raise UsageError("no cut-out has two samples or more", code="too_few_pixels", where="BAND")
    return Steps(float(np.median(known)))


def image_document(trail: Trail, publisher: Publisher) -> bytes:
    """Flux as the primary image, ERROR and QUALITY beside it, and a table of what each row is.

    Source: FITS 4.0, section 8 (WAVE-LOG and AWAV-LOG: WCS Paper III, table 1 and equation 5).
    """
    said = table_of(trail.found, publisher)
    said = said.select([f.name for f in said.schema if not is_list(f.type)])
    header = fits.Header()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)
        _wcs(header, trail)
        if unit := fits_unit(trail.unit):
            header["BUNIT"] = unit
        for key, value in infos(trail.found):
            header["COMMENT"] = f"{key}: {value}"
        header["COMMENT"] = "Rows are in the order asked for; the table SPECTRA says what each is."
        out = image_bytes(header, trail.flux)
        out += image_bytes(header, trail.error, "ERROR")
        plain = header.copy(strip=False)
        plain.remove("BUNIT", ignore_missing=True)
        out += image_bytes(plain, trail.quality, "QUALITY")
    return out + table_hdu(said, "SPECTRA")


def _wcs(header: fits.Header, trail: Trail) -> None:
    name = "AWAV" if trail.medium is Medium.AIR else "WAVE"
    first = float(trail.wave_aa[0]) if trail.wave_aa.size else 1.0
    linear = trail.steps.linear
    header["CTYPE1"] = name if linear else f"{name}-LOG"
    header["CUNIT1"] = "Angstrom"
    header["CRPIX1"], header["CRVAL1"] = 1.0, first
    header["CDELT1"] = trail.steps.size if linear else first * trail.steps.size
    header["CTYPE2"], header["CRPIX2"], header["CRVAL2"], header["CDELT2"] = (
        "SPECTRUM",
        1.0,
        1.0,
        1.0,
    )
    if trail.specsys is not SpecSys.UNKNOWN:
        header["SPECSYS"] = trail.specsys.value
    if trail.medium is not Medium.UNKNOWN:
        header["VACUUM"] = (trail.medium is Medium.VACUUM, "wavelength in vacuum?")
