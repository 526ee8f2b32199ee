"""What every pool of spectra has in common: columns with parts, and rows that become spectra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import LinearWCS, Medium, Scale
from ..domain.errors import DataError
from ..domain.spectrum import Spectrum, UncertaintyKind
from .columns import assign, meaning
from .row_fields import OBJECT_IDS, SPECTRUM_IDS, collection_of, number, present
from .samples import Samples, no_wave_unit, spectrum_of
from .source import SourceFile

MAX_ROW_BYTES = 2**30
"""Largest spectrum that is taken into memory."""
RATIO = 400
"""More than this many times the file's own size (beyond 1 GiB) is taken for a bomb."""
_RANGE_TOLERANCE = 2e-6


@dataclass(frozen=True, slots=True)
class PoolColumns:
    """Which column of a pool plays which part, and what is known of all its rows.

    collection : default when no row says · values : what the file says once for all rows
    unique_ids : False if an identifier repeats and the row has to be added to it
    """

    wave: str | None
    flux: str
    uncertainty: str | None = None
    kind: UncertaintyKind = UncertaintyKind.NONE
    flags: str | None = None
    extras: tuple[str, ...] = ()
    wave_unit: str | None = None
    scale: Scale = Scale.LINEAR
    medium: Medium = Medium.UNKNOWN
    flux_unit: str | None = None
    id_key: str | None = None
    unique_ids: bool = True
    collection: str | None = None
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def arrays(self) -> tuple[str, ...]:
        """All per-pixel columns."""
        parts = (self.wave, self.flux, self.uncertainty, self.flags, *self.extras)
        return tuple(name for name in parts if name is not None)


@dataclass(frozen=True, slots=True)
class Survey:
    """A survey's spectra in the Multimodal Universe's layout, known by their catalogue columns."""

    marks: tuple[frozenset[str], ...]
    collection: str
    medium: Medium
    specsys: str
    flux_unit: str


SURVEYS = (
    Survey(
        (frozenset({"plate", "fiberid", "specobjid"}), frozenset({"vdisp", "vdisp_err", "z_err"})),
        "MMU-SDSS", Medium.VACUUM, "HELIOCEN", "1e-17 erg s-1 cm-2 Angstrom-1",
    ),
    Survey(
        (frozenset({"targetid", "coadd_fiberstatus"}), frozenset({"zwarn", "fibertotflux_g"})),
        "MMU-DESI", Medium.VACUUM, "BARYCENT", "1e-17 erg s-1 cm-2 Angstrom-1",
    ),
)  # fmt: skip
"""Both keep ångströms in vacuum, as their build scripts take them from spPlate and desispec."""


def choose(
    names: Mapping[str, str | None], scalars: Mapping[str, Any] | set[str], **known: Any
) -> PoolColumns | None:
    """Parts of the per-pixel columns `names` (name → declared unit), or None without a flux.

    `scalars` are the keys of the one-value columns; `known` goes into the PoolColumns.
    """
    keys = list(names)
    found = assign([_leaf(key) for key in keys])
    if found.flux is None:
        return None
    wave = None if found.wave is None else keys[found.wave]
    what = None if wave is None else meaning(_leaf(wave))
    flux = keys[found.flux]
    flux_what = meaning(_leaf(flux))
    id_key = next((k for k in (*SPECTRUM_IDS, *OBJECT_IDS) if k in scalars), None)
    columns: dict[str, Any] = {
        "wave": wave, "flux": flux, "kind": found.kind, "id_key": id_key,
        "uncertainty": None if found.uncertainty is None else keys[found.uncertainty],
        "flags": None if found.flags is None else keys[found.flags],
        "extras": tuple(keys[i] for i in found.others),
        "wave_unit": (names[wave] if wave else None) or (what.unit if what else None),
        "scale": what.scale if what else Scale.LINEAR,
        "medium": what.medium if what else Medium.UNKNOWN,
        "flux_unit": names[flux] or (flux_what.unit if flux_what else None),
    }  # fmt: skip
    return PoolColumns(**{**columns, **{k: v for k, v in known.items() if v is not None}})


def _leaf(key: str) -> str:
    return key.rsplit(".", 1)[-1]


def survey_of(keys: set[str]) -> Survey | None:
    """The survey whose catalogue columns are among `keys`, or None."""
    return next((s for s in SURVEYS if any(mark <= keys for mark in s.marks)), None)


def row_spectrum(
    source: SourceFile,
    reader: str,
    columns: PoolColumns,
    arrays: Mapping[str, NDArray[Any]],
    values: Mapping[str, Any],
    row: int,
    wave: LinearWCS | None = None,
) -> Spectrum | DataError:
    """The spectrum of one row, or why it is none. `wave` stands in for a column that is absent."""
    merged = {**columns.values, **values}
    try:
        samples = Samples(
            wave=wave if columns.wave is None and wave is not None else arrays[columns.wave or ""],
            flux=arrays[columns.flux],
            wave_unit=_wave_unit(source, columns, arrays, merged, row),
            scale=columns.scale, medium=columns.medium, flux_unit=columns.flux_unit,
            uncertainty=arrays.get(columns.uncertainty or ""), kind=columns.kind,
            error_name=_leaf(columns.uncertainty or "err"),
            flags=arrays.get(columns.flags or ""),
            flag_name=_leaf(columns.flags or "mask"),
            extras={_leaf(name): arrays[name] for name in columns.extras if name in arrays},
        )  # fmt: skip
        return spectrum_of(
            source, reader, samples, merged, obs_id=_obs_id(columns, merged, row),
            collection=collection_of(merged, source, columns.collection), row=row,
        )  # fmt: skip
    except DataError as error:
        error.row = row
        return error


def _obs_id(columns: PoolColumns, values: Mapping[str, Any], row: int) -> str | None:
    found = present(values.get(columns.id_key)) if columns.id_key else None
    if found is None:
        return None
    return str(found) if columns.unique_ids else f"{found}-{row}"


def _wave_unit(
    source: SourceFile,
    columns: PoolColumns,
    arrays: Mapping[str, NDArray[Any]],
    values: Mapping[str, Any],
    row: int,
) -> str:
    """The declared unit; else Å if the row's wmin_A and wmax_A prove it; else the user's."""
    unit = columns.wave_unit or present(values.get("wave_unit"))
    if unit is not None:
        return str(unit)
    low, high = number(values.get("wmin_a")), number(values.get("wmax_a"))
    if low is not None and high is not None and columns.wave is not None:
        wave = arrays[columns.wave]
        finite = wave[np.isfinite(wave)]
        if len(finite) and np.allclose(
            (finite.min(), finite.max()), (low, high), rtol=_RANGE_TOLERANCE, atol=0.006
        ):
            return "Angstrom"
        raise DataError(
            f"wave does not run from wmin_A = {low} to wmax_A = {high}: its unit stays unknown",
            code="wave_range_mismatch", where=source.where, row=row,
            remedy="mend the file or declare the unit of a column without that range",
        )  # fmt: skip
    if source.options.wave_unit:
        return source.options.wave_unit
    raise no_wave_unit(source, "nothing in the file states the unit of the wavelengths", row)


def unit_known(source: SourceFile, columns: PoolColumns, keys: set[str]) -> bool:
    """True if some row may have a wavelength unit: else one error is enough for the file."""
    return bool(
        columns.wave_unit
        or columns.values.get("wave_unit")
        or source.options.wave_unit
        or {"wmin_a", "wmax_a"} <= keys
        or "wave_unit" in keys
    )


def no_wavelength(source: SourceFile, keys: tuple[str, ...]) -> DataError:
    """The error of a pool of fluxes that lie nowhere."""
    return DataError(
        f"holds fluxes but no wavelengths (arrays: {', '.join(keys[:12])})",
        code="no_wavelength", where=source.where,
        remedy="add an array called wave, with one value a pixel",
    )  # fmt: skip
