"""Which column of an ESO Phase 3 table is what: utypes, namespaces and the errors' partners."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain.errors import DataError
from ..domain.units import parse_unit
from .fits import Hdu

_MAIN = frozenset({"spec", "spectrum", "sdm", "ssa"})
WAVE, FLUX = "data.spectralaxis.value", "data.fluxaxis.value"
ERROR = "data.fluxaxis.accuracy.staterror"
QUALITY = "data.fluxaxis.accuracy.qualitystatus"
SKY = "data.backgroundmodel.value"
# TTYPE values that the standard fixes, for the few products that carry no utypes
_BY_NAME = {
    "wave": WAVE, "freq": WAVE, "ener": WAVE, "flux": FLUX, "err": ERROR,
    "qual": QUALITY, "bgflux": SKY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Field:
    """One column: namespace ("spec" for the main one), role and what its keywords say."""

    name: str
    space: str
    role: str
    ucd: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class Roles:
    """Which columns make up the main spectrum."""

    wave: Field
    flux: Field
    error: Field | None
    quality: Field | None
    fields: tuple[Field, ...]
    warnings: tuple[str, ...]


def bad_table(hdu: Hdu, what: str, code: str, remedy: str = "fetch the file again") -> DataError:
    """A DataError about the table `hdu`."""
    return DataError(what, code=code, where=hdu.file.where, hdu=hdu.index, remedy=remedy)


def fields_of(hdu: Hdu) -> tuple[Field, ...]:
    """Every column with its namespace and role (by the standard's names if no utypes exist)."""
    out = []
    any_utype = False
    for column in hdu.columns.values():
        utype = str(hdu.header.first(f"TUTYP{column.number}", f"TUTYPE{column.number}") or "")
        any_utype |= bool(utype.strip())
        space, role = _split(utype)
        ucd = str(hdu.header.get(f"TUCD{column.number}", "")).strip().lower()
        out.append(Field(column.name, space, role, ucd, hdu.unit(column.name)))
    if any_utype:
        return tuple(out)
    return tuple(
        Field(f.name, "spec", _BY_NAME.get(f.name.lower(), ""), f.ucd, f.unit) for f in out
    )


def _split(utype: str) -> tuple[str, str]:
    """``eso:Data.FluxAxis.Value`` → ("eso", "data.fluxaxis.value").

    Both spellings of the main model count as one namespace: UVES mixes them in one table.
    ``Accurancy`` is how ESPRESSO and GIRAFFE products spell it.
    """
    text = utype.strip().lower().replace("accurancy", "accuracy")
    space, colon, role = text.partition(":")
    if not colon:
        space, _, role = text.partition(".")
        if space == "data":
            space, role = "spec", text
    return ("spec" if space in _MAIN else space), role


def roles_of(fields: tuple[Field, ...], hdu: Hdu) -> Roles:
    """The columns of the main spectrum. Raises DataError (no_column) without λ or flux.

    An error is paired with a flux only inside one namespace and in one unit: UVES gives its sky
    the UCD of the flux, and X-shooter an error in ADU beside a flux in erg.
    """
    wave = _choose([f for f in fields if f.role == WAVE])
    flux = _choose([f for f in fields if f.role == FLUX])
    if wave is None or flux is None:
        missing = "wavelength" if wave is None else "flux"
        raise bad_table(hdu, f"no column is declared as the {missing}", "no_column")
    warnings: list[str] = []
    error = _partner(flux, [f for f in fields if f.role == ERROR], warnings)
    if error is not None and not _same_unit(flux, error):
        warnings.append(
            f"{error.name} is in {error.unit!r}, {flux.name} in {flux.unit!r}: not its error"
        )
        error = None
    quality = _partner(flux, [f for f in fields if f.role == QUALITY], warnings)
    return Roles(wave, flux, error, quality, fields, tuple(warnings))


def _choose(candidates: list[Field]) -> Field | None:
    """The main namespace first, then what the UCD calls main, then the order of the file."""
    ranked = sorted(candidates, key=lambda f: (f.space != "spec", "meta.main" not in f.ucd))
    return ranked[0] if ranked else None


def _partner(flux: Field, candidates: list[Field], warnings: list[str]) -> Field | None:
    """The one column that belongs to `flux`: of its namespace and, if several, of its name."""
    mine = [f for f in candidates if f.space == flux.space]
    if len(mine) > 1:
        stem = flux.name.upper().removeprefix("FLUX").strip("_")
        named = [f for f in mine if _stem(f.name) == stem]
        main = [f for f in mine if "meta.main" in f.ucd]
        mine = named if len(named) == 1 else main
    if len(mine) == 1:
        return mine[0]
    if candidates and flux.space == "spec":
        names = ", ".join(f.name for f in candidates)
        warnings.append(f"{names}: none can be matched to {flux.name}, kept as extras")
    return None


def _stem(name: str) -> str:
    words = [w for w in name.upper().split("_") if w not in {"ERR", "ERROR", "QUAL", "FLUX"}]
    return "_".join(words)


def _same_unit(flux: Field, error: Field) -> bool:
    if flux.unit is None or error.unit is None:
        return True
    ours, theirs = parse_unit(flux.unit), parse_unit(error.unit)
    if ours is None or theirs is None:
        return flux.unit == error.unit
    return bool(ours == theirs)
