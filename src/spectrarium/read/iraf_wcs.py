"""IRAF's spectral world coordinates: WAT attributes and MULTISPEC dispersion functions.

Source: F. Valdes 1993, "The IRAF/NOAO Spectral World Coordinate Systems" (IRAF help page
``specwcs``), and the MULTISPEC driver of IRAF's mwcs interface, which all IRAF tasks use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from .fits import Header

Floats = NDArray[np.float64]

CHEBYSHEV, LEGENDRE, SPLINE3, SPLINE1, PIXEL, SAMPLE = 1, 2, 3, 4, 5, 6
NOT_CALIBRATED, LINEAR, LOG_LINEAR, NONLINEAR = -1, 0, 1, 2
_ATTRIBUTE = re.compile(r"""(\S+?)\s*=\s*("[^"]*"|'[^']*'|\S+)""")


def wat(header: Header, axis: int) -> dict[str, str]:
    """The attributes of ``WATn_001`` … (names in lower case), pasted together in order.

    Each card holds 68 characters of one long string, and a number may be split between two
    cards. FITS drops trailing blanks, so cards but the last are padded back before joining.
    """
    parts: list[str] = []
    while True:
        value = header.get(f"WAT{axis}_{len(parts) + 1:03d}")
        if value is None:
            break
        parts.append(str(value))
    longest = max((len(part) for part in parts[:-1]), default=0)
    width = 68 if longest >= 60 else longest  # other writers may cut into shorter pieces
    text = "".join(part.ljust(width) for part in parts[:-1]) + "".join(parts[-1:])
    return {key.lower(): value.strip("\"'") for key, value in _ATTRIBUTE.findall(text)}


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """One ``wt w0 ftype …`` part of a nonlinear dispersion: adds ``weight · (zero + W(p))``.

    order : coefficients of a polynomial, pieces of a spline, entries of a table
    coefficients : polynomial or spline coefficients; wavelengths of pixels 1 … (PIXEL);
        alternating pixel coordinate and wavelength (SAMPLE)
    """

    weight: float
    zero: float
    kind: int
    order: int
    pmin: float
    pmax: float
    coefficients: Floats

    def __call__(self, pixel: Floats) -> Floats:
        """(n,) W(p) of (n,) physical pixel coordinates (1-based)."""
        c = self.coefficients
        if self.kind in (CHEBYSHEV, LEGENDRE):
            x = (2.0 * pixel - (self.pmax + self.pmin)) / (self.pmax - self.pmin)
            if self.kind == CHEBYSHEV:
                return np.asarray(np.polynomial.chebyshev.chebval(x, c))
            return np.asarray(np.polynomial.legendre.legval(x, c))
        if self.kind in (SPLINE3, SPLINE1):
            return self._spline(pixel)
        if self.kind == PIXEL:
            j = np.clip(np.floor(pixel).astype(int), 1, max(self.order - 1, 1))
            b = pixel - j
            return np.asarray((1.0 - b) * c[j - 1] + b * c[np.minimum(j, self.order - 1)])
        x, y = c[0::2], c[1::2]
        j = np.clip(np.searchsorted(x, pixel, side="right") - 1, 0, x.size - 2)
        b = (pixel - x[j]) / (x[j + 1] - x[j])
        return np.asarray((1.0 - b) * y[j] + b * y[j + 1])

    def _spline(self, pixel: Floats) -> Floats:
        c = self.coefficients
        s = (pixel - self.pmin) / (self.pmax - self.pmin) * self.order
        j = np.clip(np.floor(s).astype(int), 0, self.order - 1)
        b = s - j
        a = 1.0 - b
        if self.kind == SPLINE1:
            return np.asarray(a * c[j] + b * c[j + 1])
        return np.asarray(
            a**3 * c[j] + (1 + 3 * a * (1 + a * b)) * c[j + 1]
            + (1 + 3 * b * (1 + a * b)) * c[j + 2] + b**3 * c[j + 3]
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Dispersion:
    """One ``specN`` attribute: the dispersion of one image line.

    aperture, beam : IRAF's numbers; `beam` is the order number in echelle data
    dtype : −1 not calibrated, 0 linear, 1 log-linear (w1, dw are log10), 2 nonlinear
    w1, dw : coordinate of physical pixel 1 and step (exact unless nonlinear)
    nw : number of valid pixels · z : Doppler factor, wavelengths are divided by 1 + z
    """

    aperture: int
    beam: int
    dtype: int
    w1: float
    dw: float
    nw: int
    z: float
    limits: tuple[float, float]
    functions: tuple[Function, ...] = ()

    def wavelength(self, pixel: Floats) -> Floats:
        """(n,) wavelength at (n,) physical pixel coordinates (1-based).

        Beyond pixel `nw` there is no dispersion: the last step is continued, so that the padding
        of a short line has distinct, finite coordinates (readers flag it).
        Source: specwcs §5; the weighted sum is divided by the sum of weights, as IRAF does.
        """
        last = float(max(self.nw, 2))
        inside = np.clip(pixel, 0.5, last + 0.5)
        w = self._evaluate(inside)
        beyond = pixel > last + 0.5
        if beyond.any():
            step = self._evaluate(np.array([last - 1.0, last]))
            w[beyond] = step[1] + (pixel[beyond] - last) * (step[1] - step[0])
        return w

    def _evaluate(self, pixel: Floats) -> Floats:
        if self.dtype != NONLINEAR:
            w = self.w1 + self.dw * (pixel - 1.0)
            return np.asarray((10.0**w if self.dtype == LOG_LINEAR else w) / (1.0 + self.z))
        total = np.zeros_like(pixel)
        for f in self.functions:
            total += f.weight * (f.zero + f(pixel))
        return total / sum(f.weight for f in self.functions) / (1.0 + self.z)


def multispec(attributes: dict[str, str], where: str, hdu: int) -> dict[int, Dispersion]:
    """Dispersion of each physical line (1-based) from the attributes of axis 2.

    Raises DataError (bad_dispersion) when a ``specN`` string cannot be understood.
    """
    out: dict[int, Dispersion] = {}
    for key, text in attributes.items():
        match = re.fullmatch(r"spec(\d+)", key)
        if match:
            try:
                out[int(match[1])] = parse_spec(text)
            except (ValueError, IndexError, OverflowError) as error:
                raise DataError(
                    f"{key} = \"{text[:60]}…\" is not a MULTISPEC dispersion: {error}",
                    code="bad_dispersion", where=where, hdu=hdu,
                    remedy="mend the WAT2 keywords (IRAF: wcsedit, hedit) or fetch it again",
                ) from error  # fmt: skip
    return out


def parse_spec(text: str) -> Dispersion:
    """``ap beam dtype w1 dw nw z aplow aphigh [functions]`` as values. Raises ValueError."""
    fields = [float(x.replace("D", "E").replace("d", "e")) for x in text.split()]
    if len(fields) < 9:
        raise ValueError(f"{len(fields)} fields, at least 9 needed")
    if not np.all(np.isfinite(fields)):
        raise ValueError("a field is not finite")
    ap, beam, dtype, w1, dw, nw, z, low, high = fields[:9]
    if dtype not in (NOT_CALIBRATED, LINEAR, LOG_LINEAR, NONLINEAR):
        raise ValueError(f"dispersion type {dtype:g} is unknown")
    if z <= -1.0:
        raise ValueError(f"Doppler factor {z:g}")
    functions: list[Function] = []
    at = 9
    while dtype == NONLINEAR and at < len(fields):
        function, at = _function(fields, at)
        functions.append(function)
    if dtype == NONLINEAR and not sum(f.weight for f in functions):
        raise ValueError("a nonlinear dispersion without functions, or with weights of sum 0")
    return Dispersion(int(ap), int(beam), int(dtype), w1, dw, int(nw), z, (low, high),
                      tuple(functions))  # fmt: skip


def _function(fields: list[float], at: int) -> tuple[Function, int]:
    weight, zero, kind, order = fields[at], fields[at + 1], int(fields[at + 2]), int(fields[at + 3])
    if order < 1:
        raise ValueError(f"function of order {order}")
    at += 4
    pmin = pmax = 0.0
    if kind in (CHEBYSHEV, LEGENDRE, SPLINE3, SPLINE1):
        pmin, pmax = fields[at], fields[at + 1]
        if pmin == pmax:
            raise ValueError("the pixel range of a function is empty")
        at += 2
        n = order + {SPLINE3: 3, SPLINE1: 1}.get(kind, 0)
    elif kind == PIXEL:
        n = order
    elif kind == SAMPLE:
        at += 1  # a dummy field
        # the help page counts pairs, IRAF's driver counts numbers: what is there decides
        rest = len(fields) - at
        n = 2 * order if rest >= 2 * order else order
    else:
        raise ValueError(f"function type {kind} is unknown")
    coefficients = np.array(fields[at : at + n])
    if coefficients.size < n or (kind == SAMPLE and (n < 4 or n % 2)):
        raise ValueError(f"{coefficients.size} coefficients, {n} needed")
    if kind == SAMPLE and np.any(np.diff(coefficients[0::2]) <= 0):
        raise ValueError("sampled pixel coordinates do not increase")
    return Function(weight, zero, kind, order, pmin, pmax, coefficients), at + n


@dataclass(frozen=True, slots=True)
class Physical:
    """Logical (stored) → physical pixels of one axis: ``p = (l − ltv) / ltm`` (specwcs §3)."""

    ltv: float
    ltm: float

    def of(self, logical: Floats) -> Floats:
        """Physical coordinates of 1-based logical ones."""
        return np.asarray((logical - self.ltv) / self.ltm)


def physical(header: Header, axis: int) -> Physical:
    """The LTV/LTM keywords of an axis; the identity where absent or absurd."""
    ltm = header.number(f"LTM{axis}_{axis}")
    ltv = header.number(f"LTV{axis}") or 0.0
    return Physical(ltv if abs(ltv) < 1e9 else 0.0, ltm if ltm and 1e-6 < abs(ltm) < 1e6 else 1.0)


def dropped_line(header: Header) -> int | None:
    """The physical line (1-based) that a 1-D image was cut from (``WAXMAP01``), or None."""
    numbers = str(header.get("WAXMAP01", "")).split()
    if len(numbers) >= 4 and numbers[2] == "0" and numbers[3].isdigit():
        return int(numbers[3]) + 1
    return None
