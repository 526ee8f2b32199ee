"""An archive opened at one version: find, read, scan. Nothing here writes."""

from __future__ import annotations

import contextlib
import difflib
import os
import stat
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError
from ..domain.spectrum import Spectrum
from . import index as index_file
from .codec import id_hash, uid_of
from .datasets import Dataset
from .derived import LEARNT as LEARNT
from .derived import Derived, derived_columns
from .manifest import Manifest, load
from .pixels import PARTS, Pixels
from .receipts import newest, with_status
from .schema import BY_NAME, CATALOGUE
from .sky import cone_ranges, separation_deg

Rows = NDArray[np.int64]
SUMMARY_COLUMNS = (
    "obs_id", "obs_collection", "target_name", "target_class", "s_ra", "s_dec", "t_min",
    "instrument_name", "em_min", "em_max", "snr", "redshift",
)  # fmt: skip


class Archive:
    """One version of an archive.

    Parameters
    ----------
    root : the archive's folder · version : None = the newest committed one
    Raises
    ------
    UsageError : no archive there, no such version, or a newer format
    """

    def __init__(self, root: str | os.PathLike[str], version: int | None = None) -> None:
        self.root = Path(root).absolute()
        self.manifest: Manifest = load(self.root, version)
        self._datasets: dict[str, Dataset] = {}
        self._index: index_file.Index | None = None
        self._superseded: Rows | None = None
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._derived: dict[str, Derived] | None = None
        self._lock = threading.RLock()
        self.pixels = Pixels(self.dataset("pixels"), self.dataset("grids"))

    # what is here -----------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The version that is open."""
        return self.manifest.version

    def dataset(self, name: str) -> Dataset:
        """A dataset as of this version. Raises UsageError when it is not part of it."""
        with self._lock:
            if name not in self._datasets:
                pinned = self.manifest.datasets.get(name)
                if pinned is None:
                    raise UsageError(f"this archive has no {name!r}", code="no_dataset",
                                     where=str(self.root))  # fmt: skip
                self._datasets[name] = Dataset(self.root, name, pinned)
            return self._datasets[name]

    def names(self, prefix: str) -> list[str]:
        """Derived datasets below `prefix`: ``names("labels")`` → their bare names."""
        return sorted(
            n.removeprefix(prefix + "/")
            for n in self.manifest.datasets
            if n.startswith(prefix + "/")
        )

    @property
    def index(self) -> index_file.Index:
        """Keys of all catalogue rows."""
        with self._lock:
            if self._index is None:
                entry = dict(self.manifest.index) if self.manifest.index else None
                self._index = index_file.open_index(
                    self.root, entry, self.dataset("catalogue"), self.catalogue_rows
                )
            return self._index

    @property
    def catalogue_rows(self) -> int:
        """Rows of the catalogue, superseded ones included."""
        return int(self.manifest.rows.get("catalogue", 0))

    @property
    def superseded(self) -> Rows:
        """Catalogue rows that a later row replaces, ascending."""
        with self._lock:
            if self._superseded is None:
                table = self.dataset("superseded").table()
                self._superseded = np.sort(table.column("row").to_numpy())
            return self._superseded

    def __len__(self) -> int:
        return self.catalogue_rows - len(self.superseded)

    def current(self, rows: Rows) -> Rows:
        """Those of `rows` that nothing supersedes."""
        old = self.superseded
        if not len(old):
            return rows
        at = np.searchsorted(old, rows)  # not isin, which would look at all of `old` each time
        at[at == len(old)] = 0
        left: Rows = rows[old[at] != rows]
        return left

    # one observation --------------------------------------------------------------------------

    def resolve(self, identifier: str) -> int:
        """Catalogue row of an observation named by obs_id, ``collection:obs_id`` or its DID.

        Raises UsageError (unknown_id, ambiguous_id), naming candidates.
        """
        if identifier.startswith("ivo://") and "?" in identifier:
            identifier = _from_did(identifier)
        rows = self.current(self.index.equal("id_hash", id_hash(identifier)))
        for at in [i for i, letter in enumerate(identifier) if letter == ":"]:
            if len(rows):
                break
            key = uid_of(identifier[:at], identifier[at + 1 :])
            rows = self.current(self.index.equal("uid", key))
        if len(rows) == 1:
            return int(rows[0])
        if len(rows) > 1:
            found = self.catalogue(rows, ["obs_collection"]).column(0).to_pylist()
            raise UsageError(
                f"{identifier!r} is in {len(rows)} collections", code="ambiguous_id",
                remedy="say which: " + ", ".join(f"{c}:{identifier}" for c in found[:8]),
            )  # fmt: skip
        raise UsageError(f"no observation is called {identifier!r}", code="unknown_id",
                         where=str(self.root), remedy=self._nearest_id(identifier))  # fmt: skip

    def _nearest_id(self, identifier: str) -> str:
        if 0 < self.catalogue_rows <= 200_000:
            near = difflib.get_close_matches(
                identifier, self.column("obs_id").to_pylist(), 3, cutoff=0.7
            )
            if near:
                return "did you mean " + " or ".join(near) + "?"
        return "`spectrarium find` lists what is there"

    def rows_of(self, uids: Sequence[int] | NDArray[np.int64]) -> Rows:
        """Current catalogue row of each uid; −1 where there is none."""
        if len(uids) > 256:
            return self._rows_of_many(np.asarray(uids, np.int64))
        out = np.full(len(uids), -1, np.int64)
        for i, uid in enumerate(uids):
            rows = self.current(self.index.equal("uid", int(uid)))
            if len(rows):
                out[i] = rows[-1]
        return out

    def _rows_of_many(self, uids: NDArray[np.int64]) -> Rows:
        rows = self.current(np.arange(self.catalogue_rows, dtype=np.int64))
        if not len(rows):
            return np.full(len(uids), -1, np.int64)
        mine = self.index.value("uid", rows)
        order = np.argsort(mine, kind="stable")
        at = np.searchsorted(mine[order], uids)
        at[at == len(mine)] = 0
        return np.where(mine[order][at] == uids, rows[order][at], -1)

    def read(self, identifier: str) -> Spectrum:
        """The spectrum of one observation, as delivered."""
        return self.read_rows(np.array([self.resolve(identifier)], np.int64))[0]

    def read_rows(self, rows: Rows | Sequence[int]) -> list[Spectrum]:
        """Spectra at catalogue rows, in the order given."""
        rows = np.asarray(rows, np.int64)
        first = self.index.value("pixel_row", rows)
        tiles = self.index.value("n_tiles", rows)
        return self.pixels.read(list(zip(first.tolist(), tiles.tolist(), strict=True)))

    def window(self, identifier: str | int, lo_aa: float, hi_aa: float) -> Spectrum:
        """Only the samples between two wavelengths (Å, as delivered), reading little else."""
        row = identifier if isinstance(identifier, int) else self.resolve(identifier)
        one = np.array([row], np.int64)
        first = int(self.index.value("pixel_row", one)[0])
        return self.pixels.window(first, int(self.index.value("n_tiles", one)[0]), lo_aa, hi_aa)

    # many observations ------------------------------------------------------------------------

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole catalogue column (all rows), kept in memory once read."""
        with self._lock:
            if name not in self._columns:
                self._columns[name] = self.dataset("catalogue").table([name]).column(0)
            return self._columns[name]

    def catalogue(
        self, rows: Rows | Sequence[int], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Catalogue columns (all public ones by default) at `rows`, in that order."""
        names = list(columns) if columns is not None else [c.name for c in CATALOGUE if c.public]
        known = [n for n in names if n in BY_NAME]
        labels = [n for n in names if n not in BY_NAME]
        rows = np.asarray(rows, np.int64)
        found: dict[str, Any] = {}
        if known and len(rows):
            table = self.dataset("catalogue").take(rows.tolist(), known)
            found = {name: table.column(name) for name in known}
        elif known:
            found = {name: pa.array([], BY_NAME[name].type) for name in known}
        for name in labels:
            found[name] = self.label_column(name).take(pa.array(rows))
        return pa.table({name: found[name] for name in names})

    def columns(self) -> dict[str, str]:
        """Every column a filter may name → its dataset (``catalogue`` or ``labels/…``)."""
        out = {c.name: "catalogue" for c in CATALOGUE if c.public}
        bare: dict[str, set[str]] = {}
        for label in self.names("labels"):
            for field in self.dataset(f"labels/{label}").lance.schema:
                if field.name != "uid":
                    out[f"{label}.{field.name}"] = f"labels/{label}"
                    if label != LEARNT:  # a tag never stands for the catalogue's own value
                        bare.setdefault(field.name, set()).add(f"labels/{label}")
        for name, sets in bare.items():
            if len(sets) == 1:  # of two label sets, silence must not choose one
                out.setdefault(name, *sets)
        return out

    def label_column(self, name: str) -> pa.ChunkedArray:
        """A label column aligned with the catalogue's rows (null where nothing matched)."""
        with self._lock:
            if name not in self._columns:
                where = self.columns().get(name)
                if where is None:
                    raise UsageError(f"there is no column {name!r}", code="no_column")
                bare = name.removeprefix(where.removeprefix("labels/") + ".")
                table = self.dataset(where).table(["uid", bare])
                self._columns[name] = self._align(table, bare)
            return self._columns[name]

    def _align(self, table: pa.Table, column: str) -> pa.ChunkedArray:
        uids = table.column("uid").to_numpy()
        order = np.argsort(uids, kind="stable")
        mine = self.index.column("uid")
        at = np.searchsorted(uids[order], mine)
        at[at == len(uids)] = 0
        hit = (uids[order][at] == mine) if len(uids) else np.zeros(len(mine), bool)
        take = pa.array(order[at] if len(uids) else np.zeros(len(mine), np.int64), mask=~hit)
        return pa.chunked_array([table.column(column).combine_chunks().take(take)])

    def classes(self, rows: Rows | Sequence[int]) -> list[str | None]:
        """Class of each row: that of the file's own pipeline, else of the label sets, in words."""
        take = pa.array(np.asarray(rows, np.int64))
        out: list[str | None] = self.any_column("class").take(take).to_pylist()
        return out

    @property
    def derived(self) -> dict[str, Derived]:
        """Columns worked out from others (``class``, ``gal_l``, ``score:NAME`` …), by name."""
        with self._lock:
            if self._derived is None:
                self._derived = derived_columns(self)
            return self._derived

    def any_column(self, name: str) -> pa.ChunkedArray:
        """A catalogue, label or derived column aligned with the catalogue's rows, kept in memory.

        Raises UsageError (no_column).
        """
        if name not in self.derived:
            return self.column(name) if name in BY_NAME else self.label_column(name)
        with self._lock:
            key = f"\x00{name}"  # ``class`` may be a label column too
            if key not in self._columns:
                self._columns[key] = self.derived[name].values(self)
            return self._columns[key]

    def cone(self, ra_deg: float, dec_deg: float, radius_deg: float) -> tuple[Rows, Any]:
        """(rows, distance in deg) of current observations within a cone, nearest first."""
        rows = self.index.in_ranges("healpix29", cone_ranges(ra_deg, dec_deg, radius_deg))
        rows = self.current(rows)
        ra, dec = self.index.value("s_ra", rows), self.index.value("s_dec", rows)
        distance = separation_deg(ra, dec, ra_deg, dec_deg)
        inside = distance <= radius_deg
        order = np.argsort(distance[inside], kind="stable")
        return rows[inside][order], distance[inside][order]

    def find(
        self,
        where: str | None = None,
        cone: tuple[float, float, float] | None = None,
        target: str | None = None,
        limit: int | None = None,
    ) -> Rows:
        """Current catalogue rows that meet every condition given.

        where : filter text (see `filters`) · cone : (RA, Dec, radius) in deg
        target : name, compared without case, blanks and underscores
        Cone results come nearest first, others in catalogue order.
        """
        if cone is not None:
            rows, _ = self.cone(*cone)
        else:
            rows = self.current(np.arange(self.catalogue_rows, dtype=np.int64))
        if target is not None:
            rows = rows[np.isin(rows, self._named(target))]
        if where is not None:
            keep = self._matching(where)
            rows = rows[keep[rows]]
        return rows if limit is None else rows[:limit]

    def _named(self, target: str) -> Rows:
        wanted = _plain_name(target)
        if not wanted:
            raise UsageError("the target name is empty", code="bad_target")
        names = self.column("target_name").to_pylist()
        return np.array([i for i, n in enumerate(names) if n and _plain_name(n) == wanted],
                        np.int64)  # fmt: skip

    def _matching(self, where: str) -> NDArray[np.bool_]:
        """(catalogue rows,) True where the condition holds; null counts as false."""
        # imported when first needed: an eighth of a second that reading processes can spare
        import duckdb

        from .filters import parse_filter

        condition = parse_filter(where, {**self.columns(), **self.derived})
        n = self.catalogue_rows
        row = "__row" + "_" * max([0, *map(len, condition.columns)])  # no column's name
        data: dict[str, Any] = {row: pa.array(np.arange(n, dtype=np.int64))}
        for name in condition.columns:
            values = self.any_column(name)
            if pa.types.is_floating(values.type):  # NaN would be greater than every number
                values = pc.if_else(pc.is_nan(values), None, values)
            data[name] = values
        table = pa.table(data)
        out = np.zeros(n, bool)
        with duckdb.connect(config={"enable_external_access": False, "threads": 2}) as db:
            db.register("obs", table)
            try:
                hits = db.sql(
                    f"SELECT {row} FROM obs WHERE {condition.sql}",
                    params={f"p{i}": v for i, v in enumerate(condition.parameters)},
                ).to_arrow_table()
            except duckdb.Error as error:
                raise UsageError(
                    f"the condition does not fit its columns: {str(error).splitlines()[0]}",
                    code="bad_filter", where="--where",
                    remedy="compare numbers with numbers and text with 'text'",
                ) from error  # fmt: skip
        out[hits.column(0).to_numpy()] = True
        return out

    # passes over everything -------------------------------------------------------------------

    def scan(
        self, rows: Rows | None = None, batch: int = 256
    ) -> Iterator[tuple[Rows, list[Spectrum]]]:
        """Spectra in batches of flat memory: (catalogue rows, spectra) in storage order."""
        rows = self.find() if rows is None else np.asarray(rows, np.int64)
        order = np.argsort(self.index.value("pixel_row", rows), kind="stable")
        rows = rows[order]
        tiles = self.index.value("n_tiles", rows)
        at = 0
        while at < len(rows):
            # long spectra count by their tiles: a batch stays near 50 MB
            budget = np.cumsum(tiles[at : at + batch])
            take = max(1, int(np.searchsorted(budget, batch * 4, "right")))
            chunk = rows[at : at + take]
            yield chunk, self.read_rows(chunk)
            at += take

    def scan_arrays(
        self, columns: Sequence[str] = ("flux", "uncertainty"), batch_rows: int = 512
    ) -> Iterator[pa.RecordBatch]:
        """Raw pixel rows straight from storage, superseded ones included: the fastest pass."""
        unknown = set(columns) - {"uid", "tile", *PARTS}
        if unknown:
            raise UsageError(f"no pixel columns {sorted(unknown)}", code="no_column")
        yield from self.pixels.scan(batch_rows, columns)

    # receipts ---------------------------------------------------------------------------------

    def receipts(self) -> pa.Table:
        """The newest receipts of every file: one row a file, one a quarantined item."""
        table = self.dataset("receipts").table()
        if not table.num_rows:
            return table
        return newest(table)

    def quarantine(self) -> list[dict[str, Any]]:
        """What could not be stored: path, member, hdu, row, code, reason, remedy."""
        keys = ("path", "member", "hdu", "row", "code", "reason", "remedy", "reader", "file_hash")
        return [
            {k: record[k] for k in keys}
            for record in with_status(self.receipts(), "bad_item").to_pylist()
        ]

    def status(self) -> dict[str, Any]:
        """Counts for ``status``: observations, files_stored, quarantined, version …"""
        receipts = self.receipts()
        bad = with_status(receipts, "bad_item").num_rows
        held = pc.add(receipts.column("n_stored"), receipts.column("n_unchanged"))
        found = self.column("obs_collection").take(pa.array(self.find())).value_counts()
        grouped = {r["values"]: r["counts"] for r in found.to_pylist()}
        return {
            "archive": str(self.root), "version": self.version, "format": self.manifest.format,
            "observations": len(self), "superseded": len(self.superseded),
            "files_seen": receipts.num_rows - bad,
            "files_stored": int(pc.sum(pc.greater(held, 0)).as_py() or 0),
            "not_a_spectrum": with_status(receipts, "not_a_spectrum").num_rows,
            "quarantined": bad,
            "collections": dict(sorted(grouped.items())),
            "labels": self.names("labels"), "models": self.names("embeddings"),
            "scores": self.names("scores"),
            "bytes": _bytes_below(self.root),
        }  # fmt: skip

    def table(self, name: str, columns: Collection[str] | None = None) -> pa.Table:
        """A derived table (``embeddings/…``, ``scores/…``, ``labels/…``) as of this version."""
        return self.dataset(name).table(None if columns is None else list(columns))

    def verify(self) -> list[DataError]:
        """Read every current spectrum and the index again; what is damaged, as errors."""
        from .verify import damaged

        found: list[DataError] = []
        if self.manifest.index is not None:
            try:
                index_file.load(self.root, dict(self.manifest.index))
            except DataError as error:
                found.append(error)
        rows = self.find()
        for at in range(0, len(rows), 64):
            found += damaged(self, rows[at : at + 64])
        return found


def _bytes_below(root: Path) -> int:
    total = 0
    for path in root.rglob("*"):
        with contextlib.suppress(OSError):  # a writer's temporary file is gone again
            facts = path.lstat()
            total += facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    return total


def _plain_name(name: str) -> str:
    return "".join(name.lower().replace("_", " ").split())


def _from_did(did: str) -> str:
    from urllib.parse import unquote

    path, query = did.removeprefix("ivo://").split("?", 1)
    return f"{unquote(path.split('/', 1)[-1])}:{unquote(query)}"
