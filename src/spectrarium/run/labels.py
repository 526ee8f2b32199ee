"""Catalogues and labels joined to observations: every row is matched, unmatched or ambiguous."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky
from blake3 import blake3

from ..domain.errors import UsageError
from ..read.tables import read_table, text_column
from ..store.archive import LEARNT, Archive
from ..store.writer import open_writer

KEYS = ("obs_id", "target_name", "file", "sky:RADIUS")
_OWN_NAMES = {
    "obs_id": ("obs_id", "spec_id", "obsid", "specobjid", "id"),
    "target_name": ("target_name", "object_name", "object", "target", "name", "star",
                    "source_name"),
    "file": ("file", "filename", "file_name", "path"),
}  # fmt: skip
_RA = ("ra", "s_ra", "raj2000", "ra_deg", "_raj2000", "ra_icrs", "alpha")
_DEC = ("dec", "s_dec", "dej2000", "dec_deg", "decl", "_dej2000", "de_icrs", "delta")


@dataclass
class JoinReport:
    """Rows of the file by fate, and how many observations got a label.

    matched + unmatched + ambiguous = rows. Ambiguous rows (two rows claim one observation) are
    not joined; some of them are named in `examples`.
    """

    name: str
    key: str
    rows: int
    matched: int
    unmatched: int
    ambiguous: int
    observations: int
    columns: list[str]
    examples: dict[str, list[str]] = field(default_factory=dict)
    version: int = 0

    def record(self) -> dict[str, Any]:
        """Plain fields for ``--json``."""
        return asdict(self)


def add_catalogue(
    root: Path,
    file: str | Path,
    key: str,
    *,
    on: str | None = None,
    columns: Sequence[str] | None = None,
    name: str | None = None,
    wait_s: float = 60.0,
) -> JoinReport:
    """Join a table to the archive as the versioned columns ``labels/NAME``.

    key : ``obs_id``, ``target_name``, ``file`` or ``sky:1arcsec`` · on : the file's key column
        where it is not called like the key · columns : those to keep (default all)
    Raises UsageError for an unknown key or column, or a reserved name; the archive is then
    unchanged.
    """
    joined, report = join_catalogue(root, file, key, on=on, columns=columns, name=name)
    return put_labels(root, joined, report, wait_s)


def join_catalogue(
    root: Path,
    file: str | Path,
    key: str,
    *,
    on: str | None = None,
    columns: Sequence[str] | None = None,
    name: str | None = None,
) -> tuple[pa.Table, JoinReport]:
    """The labels that `add_catalogue` would keep, by uid, and its report; nothing is written."""
    table = read_table(file)
    archive = Archive(root)
    label = _label_name(name or Path(file).name)
    rows = archive.find()
    if key.startswith("sky"):
        pairs = _sky_pairs(table, archive, rows, _radius_arcsec(key), on)
    elif key in _OWN_NAMES:
        pairs = _text_pairs(table, archive, rows, key, on)
    else:
        raise UsageError(f"cannot join by {key!r}", code="bad_key",
                         remedy=f"choose one of: {', '.join(KEYS)}")  # fmt: skip
    keep = _kept(table, columns)
    stored = _storable(keep)
    good, ambiguous = _unambiguous(pairs)
    report = _report(table, label, key, good, ambiguous, stored)
    joined = _joined(table, archive, good, dict(zip(keep, stored, strict=True)), file, key)
    return joined, report


def put_labels(root: Path, joined: pa.Table, report: JoinReport, wait_s: float) -> JoinReport:
    """Write what `join_catalogue` found; the report then has its version."""
    with open_writer(root, wait_s) as writer:
        writer.put_table(f"labels/{report.name}", joined)
        report.version = writer.archive.version
    return report


def _label_name(text: str) -> str:
    stem = text.split(".")[0]
    name = re.sub(r"\W+", "_", stem.strip()).strip("_").lower()
    if not name or name[0].isdigit():
        name = f"t_{name}"
    if name == LEARNT:
        raise UsageError(f"the label set {name!r} is kept for learnt tags", code="reserved_name",
                         where=text, remedy="rename the file, or give `catalogue add` a "
                         "--name")  # fmt: skip
    return name


def _column(table: pa.Table, wanted: str | None, guesses: Sequence[str], what: str) -> str:
    lower = {c.lower(): c for c in table.column_names}
    if wanted is not None:
        if wanted.lower() in lower:
            return str(lower[wanted.lower()])
        raise UsageError(f"the file has no column {wanted!r}", code="no_column",
                         remedy=f"its columns: {', '.join(table.column_names)}")  # fmt: skip
    for guess in guesses:
        if guess in lower:
            return str(lower[guess])
    raise UsageError(
        f"no column of the file looks like {what}", code="no_column",
        remedy=f"name it with --on; columns: {', '.join(table.column_names)}",
    )  # fmt: skip


def _kept(table: pa.Table, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return [c for c in table.column_names if c.lower() != "uid"]
    return [_column(table, c, (), c) for c in columns]


def _storable(names: Sequence[str]) -> list[str]:
    """Names that columns can have in the archive: without dots and backticks, none twice."""
    out: list[str] = []
    for at, name in enumerate(names):
        plain = re.sub(r"[.`\x00-\x1f]", "_", name).strip() or f"column_{at + 1}"
        while plain in out or plain.lower() == "uid":
            plain += "_"
        out.append(plain)
    return out


def _text_pairs(
    table: pa.Table, archive: Archive, rows: Any, key: str, on: str | None
) -> list[tuple[int, int]]:
    """(file row, catalogue row) of equal keys."""
    theirs = text_column(table, _column(table, on, _OWN_NAMES[key], key))
    source = {"obs_id": "obs_id", "target_name": "target_name", "file": "access_path"}[key]
    mine = archive.column(source).take(pa.array(rows)).to_pylist()
    normal = {"obs_id": _as_is, "target_name": _squeezed, "file": _base}[key]
    index: dict[str, list[int]] = defaultdict(list)
    for row, value in zip(rows.tolist(), mine, strict=True):
        if value:
            index[normal(value)].append(row)
    if key == "file":
        members = archive.column("access_member").take(pa.array(rows)).to_pylist()
        for row, member in zip(rows.tolist(), members, strict=True):
            if member:
                index[_base(member)].append(row)
    return [(i, r) for i, v in enumerate(theirs) if v for r in index.get(normal(v), ())]


def _as_is(text: str) -> str:
    return text.strip()


def _squeezed(text: str) -> str:
    return "".join(text.lower().replace("_", " ").split())


def _base(text: str) -> str:
    return Path(text).name.removesuffix(".gz")


def _radius_arcsec(key: str) -> float:
    text = key.partition(":")[2] or "1arcsec"
    match = re.fullmatch(r"\s*([\d.eE+-]+)\s*([a-zA-Z\"']*)\s*", text)
    try:
        unit = {"": "arcsec", '"': "arcsec", "'": "arcmin"}.get(match[2], match[2]) if match else ""
        radius = float((float(match[1]) * u.Unit(unit)).to_value(u.arcsec)) if match else 0.0
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise _bad_radius(key) from error
    if not 0 < radius <= 3600:
        raise _bad_radius(key)
    return radius


def _bad_radius(key: str) -> UsageError:
    return UsageError(f"{key!r} gives no radius up to one degree", code="bad_key",
                      remedy="write it like sky:1arcsec")  # fmt: skip


def _sky_pairs(
    table: pa.Table, archive: Archive, rows: Any, radius_arcsec: float, on: str | None
) -> list[tuple[int, int]]:
    names = on.split(",") if on else [None, None]
    if len(names) != 2:
        raise UsageError("--on takes RA,DEC for a sky join", code="bad_key")
    ra = _floats(table, _column(table, names[0], _RA, "a right ascension"))
    dec = _floats(table, _column(table, names[1], _DEC, "a declination"))
    mine_ra, mine_dec = archive.index.value("s_ra", rows), archive.index.value("s_dec", rows)
    theirs = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec) & (np.abs(dec) <= 90))
    mine = np.flatnonzero(np.isfinite(mine_ra) & np.isfinite(mine_dec))
    if not theirs.size or not mine.size:
        return []
    i, j, _, _ = search_around_sky(
        SkyCoord(ra[theirs], dec[theirs], unit="deg"),
        SkyCoord(mine_ra[mine], mine_dec[mine], unit="deg"), radius_arcsec * u.arcsec,
    )  # fmt: skip
    return list(zip(theirs[i].tolist(), rows[mine[j]].tolist(), strict=True))


def _floats(table: pa.Table, name: str) -> Any:
    try:
        return np.array([np.nan if v is None else float(v) for v in table.column(name).to_pylist()])
    except ValueError as error:
        raise UsageError(f"column {name!r} is not in degrees", code="bad_column") from error


def _unambiguous(pairs: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], set[int]]:
    """Pairs whose observation is claimed once; file rows that share a claim."""
    claims: dict[int, set[int]] = defaultdict(set)
    for theirs, mine in pairs:
        claims[mine].add(theirs)
    good = [(t, m) for t, m in pairs if len(claims[m]) == 1]
    contested = {t for t, m in pairs if len(claims[m]) > 1}
    return good, contested - {t for t, _ in good}


def _report(
    table: pa.Table, label: str, key: str, good: list[tuple[int, int]], ambiguous: set[int],
    keep: list[str],
) -> JoinReport:  # fmt: skip
    matched = {t for t, _ in good}
    n = table.num_rows
    unmatched = [i for i in range(n) if i not in matched and i not in ambiguous]
    first = table.column_names[0]
    show = {
        "ambiguous": [str(table.column(first)[i]) for i in sorted(ambiguous)[:5]],
        "unmatched": [str(table.column(first)[i]) for i in unmatched[:5]],
    }
    return JoinReport(
        name=label, key=key, rows=n, matched=len(matched), unmatched=len(unmatched),
        ambiguous=len(ambiguous), observations=len({m for _, m in good}), columns=keep,
        examples={k: v for k, v in show.items() if v},
    )  # fmt: skip


def _joined(
    table: pa.Table, archive: Archive, good: list[tuple[int, int]], keep: dict[str, str],
    file: str | Path, key: str,
) -> pa.Table:  # fmt: skip
    """The label columns `keep` (name in the file → name in the archive) by uid."""
    theirs = pa.array([t for t, _ in good], pa.int64())
    mine = np.array([m for _, m in good], np.int64)
    mark = blake3(max_threads=blake3.AUTO).update_mmap(file).hexdigest()
    source = {"source": Path(file).name, "source_hash": mark, "key": key}
    arrays: list[Any] = [pa.array(archive.index.value("uid", mine))]
    fields = [pa.field("uid", pa.int64())]
    for name, plain in keep.items():
        field_ = table.schema.field(name)
        values = table.column(name).take(theirs)
        if pa.types.is_null(field_.type):
            values, field_ = values.cast(pa.float64()), field_.with_type(pa.float64())
        own = {k.decode(): v.decode() for k, v in (field_.metadata or {}).items()}
        arrays.append(values)
        if plain != name:
            own["name"] = name
        fields.append(pa.field(plain, field_.type, metadata=own | source))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))
