"""Columns worked out from others: class, Galactic position, places on maps, scores, joined labels.

They may be named wherever a catalogue column may: in filters, as axes and as colours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import UsageError

if TYPE_CHECKING:
    from .archive import Archive

CLASS_COLUMNS = ("obj_class", "class", "target_class", "classification", "spectral_type", "sptype")
"""Label columns that hold a class, the first of a label set is taken."""
LEARNT = "tags"
"""The label set that holds learnt tags, named in full only: ``tags.teff``."""
ANY_LABELS = "labels"
"""``labels.teff`` is the value of whichever label set has one."""
Values = Callable[["Archive"], pa.ChunkedArray]


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived column: unit (VOUnit), UCD1+, one sentence, what it is worked out from.

    values : archive → (catalogue rows,) values, null where unknown · text : not numbers
    """

    name: str
    about: str
    values: Values = field(repr=False, compare=False)
    unit: str = ""
    ucd: str = ""
    source: str = "derived"
    text: bool = False


def derived_columns(archive: Archive) -> dict[str, Derived]:
    """The derived columns that an archive has, by name."""
    found = [Derived("class", "Class that the file's pipeline gives, else a label set", classes,
                     ucd="src.class", text=True)]  # fmt: skip
    found += _galactic()
    found += _distances(archive)
    found += _joined(archive)
    found += _maps(archive)
    found += _scores(archive)
    there = set(archive.columns())
    if "class" in there and not _is_number(archive.label_column("class").type):
        there.remove("class")  # what a file or any label set says, rather than one set alone
    return {d.name: d for d in found if d.name not in there}


# class and labels -----------------------------------------------------------------------------


def classes(archive: Archive) -> pa.ChunkedArray:
    """(catalogue rows,) class in words: of the file's own pipeline, else of the label sets."""
    parts = [_words(archive.column("target_class"))]
    for label in [n for n in archive.names("labels") if n != LEARNT]:
        names = archive.dataset(f"labels/{label}").lance.schema.names
        own = next((name for name in CLASS_COLUMNS if name in names), None)
        if own is not None:
            parts.append(_words(archive.label_column(f"{label}.{own}")))
    return _chunked(pc.coalesce(*parts))


def _words(column: pa.ChunkedArray) -> pa.Array:
    words = _one(column).cast(pa.string())
    return pc.if_else(pc.equal(words, ""), pa.scalar(None, pa.string()), words)


def _joined(archive: Archive) -> Iterator[Derived]:
    """Columns that several label sets have: what only one of them can say of an observation."""
    sets: dict[str, list[tuple[str, pa.Field]]] = {}
    for label in [n for n in archive.names("labels") if n != LEARNT]:
        for f in archive.dataset(f"labels/{label}").lance.schema:
            if f.name != "uid":
                sets.setdefault(f.name, []).append((f"{label}.{f.name}", f))
    for name, members in sets.items():
        kinds = {_is_number(f.type) for _, f in members}
        units = {_said(f, "unit") for _, f in members} - {""}
        if len(members) < 2 or len(kinds) > 1 or len(units) > 1:
            continue
        columns = tuple(column for column, _ in members)
        yield Derived(
            f"{ANY_LABELS}.{name}",
            f"Value of {' or '.join(columns)}; unknown where two of them differ",
            partial(_undisputed, columns=columns, number=kinds == {True}),
            unit=next(iter(units), ""), ucd=next((u for _, f in members if (u := _said(f, "ucd"))),
                                                 ""), source="labels",
            text=kinds != {True},
        )  # fmt: skip


def _undisputed(archive: Archive, columns: tuple[str, ...], number: bool) -> pa.ChunkedArray:
    parts = []
    for name in columns:
        column = archive.label_column(name)
        parts.append(_numbers(column) if number else _words(column))
    value, disputed = parts[0], pa.scalar(False)
    for other in parts[1:]:
        differs = pc.fill_null(pc.not_equal(value, other), False)
        disputed = pc.or_(disputed, differs)
        value = pc.coalesce(value, other)
    return _chunked(pc.if_else(disputed, pa.scalar(None, value.type), value))


def _said(f: pa.Field, key: str) -> str:
    return str((f.metadata or {}).get(key.encode(), b"").decode())


# places ---------------------------------------------------------------------------------------


def _galactic() -> Iterator[Derived]:
    for i, (name, what) in enumerate((("gal_l", "longitude"), ("gal_b", "latitude"))):
        yield Derived(
            name, f"Galactic {what}", partial(_lb, part=i), "deg",
            f"pos.galactic.{what[:3]}", "s_ra, s_dec",
        )  # fmt: skip


def _lb(archive: Archive, part: int) -> pa.ChunkedArray:
    return _array(_lb_deg(archive)[part])


def _lb_deg(archive: Archive) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Galactic longitude and latitude, deg. Source: Hipparcos (ESA SP-1200) vol. 1, eq. 1.5.11."""
    import erfa  # type: ignore[import-untyped]

    ra, dec = (_numbers(archive.column(c)).to_numpy(zero_copy_only=False)
               for c in ("s_ra", "s_dec"))  # fmt: skip
    with np.errstate(invalid="ignore"):  # no position
        lon, lat = erfa.icrs2g(np.radians(ra), np.radians(dec))
    return np.degrees(lon), np.degrees(lat)


_DISTANCE_KPC = {
    "distance_kpc": 1.0, "dist_kpc": 1.0, "d_kpc": 1.0, "distance_pc": 1e-3, "dist_pc": 1e-3,
    "d_pc": 1e-3, "r_med_photogeo": 1e-3, "rpgeo": 1e-3, "r_med_geo": 1e-3, "rgeo": 1e-3,
    "distance_gspphot": 1e-3,
}  # fmt: skip
"""Names that say their unit, or that Gaia and Bailer-Jones et al. (2021) use, who give pc."""
_PARALLAX = {"parallax": ("parallax_error", "e_parallax"), "plx": ("e_plx",),
             "parallax_mas": ("parallax_error_mas",), "plx_value": ("plx_err",)}  # fmt: skip
LEAST_PARALLAX_SN = 5.0
"""A parallax is turned into a distance only when it is so many times its error."""


def _distances(archive: Archive) -> list[Derived]:
    there = {n: where for n, where in archive.columns().items() if "." in n and where != "catalogue"
             and not n.startswith(f"{LEARNT}.")}  # fmt: skip
    bare = {n: n.rsplit(".", 1)[-1].lower() for n in there}
    ranked = [*_DISTANCE_KPC, *_PARALLAX]
    chosen = min((n for n in there if bare[n] in ranked), key=lambda n: ranked.index(bare[n]),
                 default=None)  # fmt: skip
    if chosen is None:
        return []
    errors = _PARALLAX.get(bare[chosen], ())
    error = next((n for n in there if there[n] == there[chosen] and bare[n] in errors), None)
    how = (f"1/{chosen}" + (f" where it is {LEAST_PARALLAX_SN:g} times its error" if error else "")
           if bare[chosen] in _PARALLAX else chosen)  # fmt: skip
    towards = ("the Galactic centre", "l = 90°", "the north Galactic pole")
    return [
        Derived(
            f"gal_{axis}_kpc", f"From the Sun towards {what}; distance: {how}",
            partial(_xyz, column=chosen, error=error, part=i), "kpc",
            "pos.cartesian." + axis, chosen,
        ) for i, (axis, what) in enumerate(zip("xyz", towards, strict=True))
    ]  # fmt: skip


def _xyz(archive: Archive, column: str, error: str | None, part: int) -> pa.ChunkedArray:
    return _array(_xyz_kpc(archive, column, error)[part])


def _xyz_kpc(
    archive: Archive, column: str, error: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    value = _numbers(archive.label_column(column)).to_numpy(zero_copy_only=False)
    name = column.rsplit(".", 1)[-1].lower()
    kpc = np.full(len(value), np.nan)
    if name in _DISTANCE_KPC:
        good = value > 0
        kpc[good] = value[good] * _DISTANCE_KPC[name]
    else:
        good = value > 0
        if error is not None:
            sigma = _numbers(archive.label_column(error)).to_numpy(zero_copy_only=False)
            good &= value >= LEAST_PARALLAX_SN * sigma
        kpc[good] = 1.0 / value[good]
    lon, lat = (np.radians(v) for v in _lb_deg(archive))
    flat = kpc * np.cos(lat)
    return flat * np.cos(lon), flat * np.sin(lon), kpc * np.sin(lat)


# maps and scores ------------------------------------------------------------------------------


def _maps(archive: Archive) -> Iterator[Derived]:
    for name in archive.names("maps"):
        for axis in ("x", "y"):
            yield Derived(
                f"map:{name}:{axis}", f"Place on the map {name}; for looking at only",
                partial(_place, dataset=f"maps/{name}", axis=axis),
                source=f"maps/{name}",
            )  # fmt: skip


def _scores(archive: Archive) -> Iterator[Derived]:
    by_score: dict[str, list[str]] = {}
    for name in archive.names("scores"):
        by_score.setdefault(name.split(".", 1)[0], []).append(name)
    for score, names in by_score.items():
        about = f"Score {score}: how far above what is usual at the same S/N, in σ"
        every = (score, tuple(names), about + (", of the model that says most" if names[1:] else
                                               ""))  # fmt: skip
        for own, tables, text in (every, *((n, (n,), about) for n in names)):
            yield Derived(
                f"score:{own}", text,
                partial(_strangest, names=tables),
                ucd="stat.value", source=f"scores/{own}",
            )  # fmt: skip


def _strangest(archive: Archive, names: tuple[str, ...]) -> pa.ChunkedArray:
    out = np.full(archive.catalogue_rows, np.nan)
    for name in names:
        out = np.fmax(out, _by_uid(archive, f"scores/{name}", "significance"))
    return _array(out)


def _place(archive: Archive, dataset: str, axis: str) -> pa.ChunkedArray:
    return _array(_by_uid(archive, dataset, axis))


def _by_uid(archive: Archive, dataset: str, column: str) -> NDArray[np.float64]:
    """(catalogue rows,) values of a derived table; NaN where it is of a spectrum that changed."""
    table = archive.table(dataset, ["uid", "fingerprint", column])
    rows = archive.rows_of(table.column("uid").to_numpy())
    live = np.flatnonzero(rows >= 0)
    prints = table.column("fingerprint").to_numpy()[live]
    live = live[archive.index.value("fingerprint", rows[live]) == prints]
    out = np.full(archive.catalogue_rows, np.nan)
    out[rows[live]] = _numbers(table.column(column)).to_numpy(zero_copy_only=False)[live]
    return out


# arrays ---------------------------------------------------------------------------------------


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _numbers(column: pa.ChunkedArray) -> pa.Array:
    return _one(column.cast(pa.float64(), safe=False))


def _array(values: NDArray[np.float64]) -> pa.ChunkedArray:
    return _chunked(pa.array(values, mask=~np.isfinite(values)))


def _one(column: pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _chunked(values: Any) -> pa.ChunkedArray:
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def column_of(archive: Archive, name: str) -> pa.ChunkedArray:
    """(catalogue rows,) a derived column. Raises UsageError (no_column)."""
    found = derived_columns(archive).get(name)
    if found is None:
        raise UsageError(f"there is no column {name!r}", code="no_column")
    return found.values(archive)
