"""Which spectra are of the same object: what training and its tests are split by."""

from __future__ import annotations

import difflib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..store.archive import Archive, Rows
from ..store.schema import BY_NAME

RADIUS_ARCSEC = 1.5
"""Positions this close, directly or through others, are one object."""
OBJECTS_ARE = f"positions within {RADIUS_ARCSEC}″, else one target name in one collection"
_CELL_ORDER = 21
"""Positions in one HEALPix cell of this order (0.1″) are taken for one: thousands of visits of one
star are then a few points, not millions of pairs. Distances are wrong by that much at most."""
_NAMELESS = ("", "none", "unknown", "unnamed", "n/a", "na", "null", "object", "target", "star",
             "sky", "test", "nan", "anonymous")  # fmt: skip


def objects_of(archive: Archive, rows: Rows, column: str | None = None) -> NDArray[np.int64]:
    """(n,) whole numbers, the same for spectra of one object.

    Spectra are of one object if the user's `column` says so; where it is null, or there is none,
    if their positions lie within 1.5″ of each other or are linked by others that do (any
    collection); without a position, if their collection gives them one target name (compared
    without case, blanks and underscores). Who is told apart or together by the first of these takes
    along those that only the next links to it: no visit lands on the other side of a split.
    Everything else is an object of its own.

    The number is the uid of the object's earliest row among `rows`: later rows do not change it.
    Valid for: positions of about one epoch. A star that moves more than 1.5″ between visits, and
    is listed where it was at each, becomes several objects unless `column` tells otherwise; two
    stars within 1.5″ become one, which is the safe side for splits.

    Parameters
    ----------
    rows : (n,) catalogue rows · column : a catalogue or label column such as ``truth.object_id``
    Raises
    ------
    UsageError : there is no such column (``no_column``)
    """
    rows = np.asarray(rows, np.int64)
    group = np.full(len(rows), -1, np.int64)
    for number in (_by_column(archive, rows, column), _by_sky(archive, rows),
                   _by_name(archive, rows)):  # fmt: skip
        group = _joined(group, number)
    alone = group < 0
    group[alone] = np.arange(int(alone.sum())) + group.max(initial=-1) + 1
    return _numbered(archive, rows, group)


def _joined(group: NDArray[np.int64], number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups of those that had none: that of others with the same number, else a new one."""
    free = int(group.max(initial=-1)) + 1
    of_number = free + np.arange(int(number.max(initial=-1)) + 1)
    known = (group >= 0) & (number >= 0)
    np.minimum.at(of_number, number[known], group[known])
    fresh = (group < 0) & (number >= 0)
    out = group.copy()
    out[fresh] = of_number[number[fresh]]
    return out


def _numbered(archive: Archive, rows: Rows, group: NDArray[np.int64]) -> NDArray[np.int64]:
    order = np.argsort(rows, kind="stable")
    _, first, where = np.unique(group[order], return_index=True, return_inverse=True)
    uid = archive.index.value("uid", rows[order][first])
    out = np.empty(len(rows), np.int64)
    out[order] = uid[where]
    return out


def _by_column(archive: Archive, rows: Rows, column: str | None) -> NDArray[np.int64]:
    if column is None:
        return np.full(len(rows), -1, np.int64)
    if column not in archive.columns():
        near = difflib.get_close_matches(column, archive.columns(), 3, cutoff=0.5)
        labels = [name for name in archive.columns() if "." in name]
        raise UsageError(
            f"there is no column {column!r} to tell objects by", code="no_column",
            where="--object", remedy="columns are: " + ", ".join(
                dict.fromkeys([*near, *labels[:10], "target_name"])),
        )  # fmt: skip
    values = archive.column(column) if column in BY_NAME else archive.label_column(column)
    mine = values.take(pa.array(rows))
    if pa.types.is_floating(mine.type):
        mine = pc.if_else(pc.is_nan(mine), None, mine)
    return _codes(mine)


def _codes(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Whole numbers for distinct values; −1 for null."""
    coded = pa.chunked_array(values.chunks, values.type).combine_chunks().dictionary_encode()
    indices = coded.indices if not isinstance(coded, pa.ChunkedArray) else coded.chunk(0).indices
    return np.asarray(pc.fill_null(indices, -1).to_numpy(zero_copy_only=False), np.int64)


def _by_sky(archive: Archive, rows: Rows) -> NDArray[np.int64]:
    """Friends of friends within `RADIUS_ARCSEC`; −1 without a position."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    out = np.full(len(rows), -1, np.int64)
    cell = np.asarray(archive.column("healpix29").take(pa.array(rows)).to_numpy(), np.int64)
    there = np.flatnonzero(cell >= 0)
    if not len(there):
        return out
    cells, first, where = np.unique(
        cell[there] >> 2 * (29 - _CELL_ORDER), return_index=True, return_inverse=True
    )
    some = rows[there[first]]
    xyz = _unit_vectors(archive.index.value("s_ra", some), archive.index.value("s_dec", some))
    chord = 2.0 * np.sin(0.5 * np.radians(RADIUS_ARCSEC / 3600.0))
    pairs = cKDTree(xyz).query_pairs(chord, output_type="ndarray")
    n = len(cells)
    links = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, label = connected_components(links, directed=False)
    out[there] = label[where]
    return out


def _unit_vectors(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def _by_name(archive: Archive, rows: Rows) -> NDArray[np.int64]:
    """By target name within a collection; −1 without a name that means something."""
    take = pa.array(rows)
    name = archive.column("target_name").take(take)
    plain = pc.replace_substring_regex(pc.utf8_lower(name), r"[\s_]+", "")
    plain = pc.if_else(pc.is_in(plain, value_set=pa.array(_NAMELESS)), None, plain)
    collection = pc.fill_null(archive.column("obs_collection").take(take), "")
    return _codes(pc.binary_join_element_wise(collection, plain, "\x1f"))
