"""Redshifts and velocities that count for observations: the file's own, else a joined catalogue's.

Whatever is put at rest goes by these: models that were trained at rest, and pixels compared there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.spectrum import Spectrum
from ..domain.units import C_KMS
from ..embed.domain import ModelDomain, Rest, Telluric
from ..measure.doppler import velocity_to_redshift
from ..store.archive import LEARNT, Archive, Rows

_REDSHIFTS = ("redshift", "z")
_VELOCITIES = ("rv_kms",)


def redshifts(archive: Archive, rows: Rows) -> NDArray[np.float64]:
    """(n,) redshift of catalogue rows, NaN where none is known.

    The file's own redshift, else its velocity, else columns of label sets called ``redshift``,
    ``z`` or ``rv_kms``. Sentinels (z ≤ −0.5, |v| ≥ c) are none, nor is a ``z`` beside ``r`` and
    ``i``: a magnitude. Learnt tags do not count: they are no measurement to put a spectrum at rest
    by.
    """
    out = np.full(len(rows), np.nan)
    names = ["redshift", "rv_kms", *_called(archive, (*_REDSHIFTS, *_VELOCITIES))]
    for name in names:
        values = _numbers(archive, rows, name)
        if name.rpartition(".")[2] in _VELOCITIES:
            values = velocity_to_redshift(np.where(np.abs(values) < C_KMS, values, np.nan))
        out = np.where(np.isnan(out) & (values > -0.5), values, out)
    return out


def velocities(archive: Archive, rows: Rows) -> NDArray[np.float64]:
    """(n,) radial velocity of catalogue rows, km/s, NaN where none is known.

    The file's own, else that of label sets in a column called ``rv_kms``; a redshift is none.
    """
    out = np.full(len(rows), np.nan)
    for name in ["rv_kms", *_called(archive, _VELOCITIES)]:
        values = _numbers(archive, rows, name)
        out = np.where(np.isnan(out) & (np.abs(values) < C_KMS), values, out)
    return out


def _called(archive: Archive, wanted: tuple[str, ...]) -> list[str]:
    """Columns of joined catalogues that are called so, by the order of `wanted`."""
    known = [n for n in archive.columns() if not n.startswith(f"{LEARNT}.")]
    there = set(known)
    return [n for one in wanted for n in known if n.endswith(f".{one}") and not (
        one == "z" and {f"{n[:-1]}r", f"{n[:-1]}i"} <= there)]  # fmt: skip


def _numbers(archive: Archive, rows: Rows, name: str) -> NDArray[np.float64]:
    column = archive.catalogue(rows, [name]).column(0)
    if not pa.types.is_floating(column.type) and not pa.types.is_integer(column.type):
        return np.full(len(rows), np.nan)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def redshift_of(archive: Archive, spectrum: Spectrum, row: int | None) -> float | None:
    """Redshift of a query: its archive row's, else what its own file says; None = unknown."""
    if row is not None:
        known = redshifts(archive, np.array([row], np.int64))[0]
        return float(known) if np.isfinite(known) else None
    o = spectrum.observation
    if o.redshift is not None and o.redshift > -0.5:
        return o.redshift
    if o.rv_kms is not None and abs(o.rv_kms) < C_KMS:
        return float(velocity_to_redshift(o.rv_kms))
    return None


def at_its_redshift(archive: Archive, spectrum: Spectrum, row: int | None) -> Spectrum:
    """A query that says the redshift and velocity that count for it; see `redshift_of`."""
    if row is not None:
        at = np.array([row], np.int64)
        return Shifts.of(archive, at).put(at, [spectrum])[0]
    z = redshift_of(archive, spectrum, None)
    return spectrum if z is None else spectrum.replace(
        observation=dataclasses.replace(spectrum.observation, redshift=z))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Shifts:
    """What counts for catalogue rows (ascending): redshifts, and velocities in km/s; NaN = unknown.

    All arrays (n,).
    """

    rows: Rows
    z: NDArray[np.float64]
    rv_kms: NDArray[np.float64]

    @classmethod
    def of(cls, archive: Archive, rows: Rows) -> Self:
        """What is known of these rows."""
        rows = np.sort(np.asarray(rows, np.int64))
        return cls(rows, redshifts(archive, rows), velocities(archive, rows))

    @classmethod
    def needed(cls, archive: Archive, domain: ModelDomain, rows: Rows) -> Self | None:
        """The same, or None where a model of this domain does not ask how spectra are shifted."""
        return cls.of(archive, rows) if asks(domain) else None

    def at(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(redshifts, velocities) of some of them, in the order given."""
        where = np.searchsorted(self.rows, np.asarray(rows, np.int64))
        return self.z[where], self.rv_kms[where]

    def take(self, rows: Rows) -> Shifts:
        """Only these."""
        rows = np.sort(np.asarray(rows, np.int64))
        return Shifts(rows, *self.at(rows))

    def put(self, rows: Rows, spectra: list[Spectrum]) -> list[Spectrum]:
        """The spectra of `rows`, each saying what counts for it; what is unknown stays as it is."""
        out = []
        for spectrum, z, rv in zip(spectra, *(v.tolist() for v in self.at(rows)), strict=True):
            o = spectrum.observation
            known = dataclasses.replace(o, redshift=z if np.isfinite(z) else o.redshift,
                                        rv_kms=rv if np.isfinite(rv) else o.rv_kms)  # fmt: skip
            out.append(spectrum if known == o else spectrum.replace(observation=known))
        return out


def asks(domain: ModelDomain) -> bool:
    """Whether a model of this domain prepares spectra by how they are shifted."""
    return domain.rest != Rest.NONE or domain.telluric == Telluric.MASK


def read_for(archive: Archive, domain: ModelDomain, rows: Rows) -> list[Spectrum]:
    """Spectra of the archive, each saying what counts for it where a model of `domain` asks."""
    spectra = archive.read_rows(rows)
    shifts = Shifts.needed(archive, domain, rows)
    return spectra if shifts is None else shifts.put(rows, spectra)


def joined_shifts(archive: Archive, domain: ModelDomain, rows: Rows) -> NDArray[np.float64]:
    """(n, 1 or 2) what a model of this domain shifts `rows` by.

    Empty where their files say all of it: joined catalogues are then no part of the model.
    """
    if not asks(domain):
        return np.empty((0, 1))
    table = archive.catalogue(rows, ["redshift", "rv_kms"])
    own = [table.column(i).to_numpy(zero_copy_only=False).astype(np.float64) for i in (0, 1)]
    known = Shifts.of(archive, rows).at(rows)
    both = domain.rest == Rest.NONE
    use = [i for i, rest in enumerate((Rest.Z, Rest.RV)) if both or domain.rest == rest]
    if all(np.array_equal(own[i], np.where(np.isnan(known[i]), own[i], known[i]), equal_nan=True)
           for i in use):  # fmt: skip
        return np.empty((0, 1))
    return np.stack([known[i] for i in use], axis=1)
