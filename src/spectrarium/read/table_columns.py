"""Which columns of a table are wavelength, flux, error and flags: by UCD, then by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..domain.axis import Medium, Scale
from ..domain.errors import DataError
from ..domain.spectrum import UncertaintyKind
from .columns import Role, meaning
from .spectral_words import FLUX_UCDS, SPECTRAL_UCDS, ucd_words

_STD, _VAR, _IVAR = UncertaintyKind.STD, UncertaintyKind.VAR, UncertaintyKind.IVAR
_ROLES = {_IVAR: Role.IVAR, _STD: Role.STD, _VAR: Role.VAR}

_SECOND = ("count", "intens", "norm", "rel")
"""Words in the names of fluxes that stand back when the same table has a calibrated one."""


@dataclass(frozen=True, slots=True)
class Field:
    """One numeric column as a file describes it."""

    name: str
    ucd: str = ""
    unit: str | None = None

    @property
    def key(self) -> str:
        """The name as it is compared: lower case, blanks and hyphens as underscores."""
        return self.name.strip().lower().replace(" ", "_").replace("-", "_")

    @property
    def role(self) -> Role | None:
        """The part that the name alone suggests."""
        what = meaning(self.name)
        return None if what is None else what.role


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns of a spectrum. wave_unit : the unit that the column's name states, if any."""

    wave: str
    flux: str
    scale: Scale = Scale.LINEAR
    error: str | None = None
    error_kind: UncertaintyKind = UncertaintyKind.NONE
    flags: str | None = None
    wave_unit: str | None = None


def find_roles(fields: Sequence[Field], where: str, hdu: int | None = None) -> Roles | None:
    """The roles of a table's columns, or None if it lacks a spectral axis or a flux.

    Raises
    ------
    DataError (ambiguous_columns) : two columns could equally be meant; lists them
    Source: UCD1+ controlled vocabulary (em.*, phot.flux.density, stat.error) and the names in
    use. Valid for: one flux a table; a second flux is ambiguous unless a UCD has ``meta.main``.
    """
    wave = _wave(fields, where, hdu)
    if wave is None:
        return None
    flux = _flux([f for f in fields if f is not wave], where, hdu)
    if flux is None:
        return None
    rest = [f for f in fields if f is not wave and f is not flux]
    error, kind = _error(rest, flux, where, hdu)
    flags = _flags([f for f in rest if f is not error], where, hdu)
    named = meaning(wave.name)
    is_axis = named is not None and named.role is Role.WAVE
    return Roles(
        wave=wave.name, flux=flux.name,
        scale=named.scale if named and is_axis else Scale.LINEAR,
        error=error.name if error else None, error_kind=kind,
        flags=flags.name if flags else None,
        wave_unit=named.unit if named and is_axis else None,
    )  # fmt: skip


def looks_spectral(fields: Iterable[Field]) -> bool:
    """True if some column could be a spectral axis and another a flux (never raises)."""
    wave = flux = False
    for field in fields:
        first = (ucd_words(field.ucd) or [""])[0]
        wave = wave or first in SPECTRAL_UCDS or field.role is Role.WAVE
        flux = flux or first in FLUX_UCDS or field.role is Role.FLUX
    return wave and flux


def medium_in_name(name: str) -> Medium:
    """The medium a column name states (``WAVE_AIR``, ``lambda_vac``, ``AWAV``)."""
    if name.strip().lower() == "awav":
        return Medium.AIR
    what = meaning(name)
    return what.medium if what is not None else Medium.UNKNOWN


def _wave(fields: Sequence[Field], where: str, hdu: int | None) -> Field | None:
    by_ucd = [f for f in fields if (ucd_words(f.ucd) or [""])[0] in SPECTRAL_UCDS
              and not _is_width(f)]  # fmt: skip
    if by_ucd:
        named = [f for f in by_ucd if f.role is Role.WAVE]
        return _one(_main(by_ucd), named, "spectral axis", where, hdu)
    named = [f for f in fields if f.role is Role.WAVE or f.key == "awav"]
    if not named:
        return None
    # a table with λ and log λ says the same twice: the plain one is the less rounded
    linear = [f for f in named if (what := meaning(f.name)) is None or what.scale is Scale.LINEAR]
    return _one(linear or named, [], "spectral axis", where, hdu)


def _is_width(field: Field) -> bool:
    """Bin edges, widths and errors of the axis carry em.wl too."""
    words = ucd_words(field.ucd)
    return any(w.startswith(("stat.", "spect.", "instr.")) for w in words[1:])


def _flux(fields: Sequence[Field], where: str, hdu: int | None) -> Field | None:
    by_ucd = []
    for field in fields:
        words = ucd_words(field.ucd)
        beside = any(w in ("spect.continuum", "instr.background", "stat.fit") for w in words)
        if words and words[0] in FLUX_UCDS and not beside:
            by_ucd.append(field)
    if by_ucd:
        named = [f for f in by_ucd if f.key == "flux"] or [f for f in by_ucd if f.role is Role.FLUX]
        return _one(_main(by_ucd), named, "flux", where, hdu)
    named = [f for f in fields if f.role is Role.FLUX]
    first = [f for f in named if not any(word in f.key for word in _SECOND)]
    plain = [f for f in named if f.key == "flux"]
    return _one(first or named, plain, "flux", where, hdu) if named else None


def _error(
    fields: Sequence[Field], flux: Field, where: str, hdu: int | None
) -> tuple[Field | None, UncertaintyKind]:
    """The error that belongs to `flux`: by its name, then by UCD, then by the usual names."""
    paired = {
        _IVAR: (f"{flux.key}_ivar", f"ivar_{flux.key}"),
        _STD: (f"{flux.key}_err", f"err_{flux.key}", f"{flux.key}_error", f"e_{flux.key}",
               f"error_{flux.key}", f"{flux.key}_sig", f"{flux.key}_sigma", f"{flux.key}_std"),
        _VAR: (f"{flux.key}_var", f"var_{flux.key}", f"{flux.key}_variance"),
    }  # fmt: skip
    by_ucd = {
        _STD: [f for f in fields if _error_ucd(f, "stat.error")],
        _VAR: [f for f in fields if _error_ucd(f, "stat.variance")],
    }
    for kind, names in paired.items():
        hits = [f for f in fields if f.key in names]
        if hits:
            return _one(hits, [], "error", where, hdu), kind
    for kind, hits in by_ucd.items():
        if hits:
            plain = [f for f in hits if f.role is not None]
            return _one(hits, plain, "error", where, hdu), kind
    for kind, role in _ROLES.items():
        hits = [f for f in fields if f.role is role]
        if hits:
            return _one(hits, [], "error", where, hdu), kind
    return None, UncertaintyKind.NONE


def _error_ucd(field: Field, first: str) -> bool:
    words = ucd_words(field.ucd)
    return words[:1] == [first] and not any(w.startswith(("em.", "pos.")) for w in words[1:2])


def _flags(fields: Sequence[Field], where: str, hdu: int | None) -> Field | None:
    by_ucd = [f for f in fields if ucd_words(f.ucd)[:1] == ["meta.code.qual"]]
    named = [f for f in fields if f.role is Role.FLAGS]
    hits = by_ucd or named
    return _one(hits, [], "flags", where, hdu) if hits else None


def _main(hits: list[Field]) -> list[Field]:
    return [f for f in hits if "meta.main" in ucd_words(f.ucd)] or hits


def _one(
    hits: Sequence[Field], preferred: Sequence[Field], what: str, where: str, hdu: int | None
) -> Field:
    if len(hits) == 1:
        return hits[0]
    both = [f for f in preferred if f in hits]
    if len(both) == 1:
        return both[0]
    names = ", ".join(f.name for f in hits)
    raise DataError(
        f"{len(hits)} columns could be the {what}: {names}", code="ambiguous_columns",
        where=where, hdu=hdu,
        remedy="keep one of them, or mark it with a UCD that ends in ;meta.main",
    )  # fmt: skip
