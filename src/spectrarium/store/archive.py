"""An archive opened at one version: find, read, scan. Nothing here writes."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError
from ..domain.spectrum import Spectrum
from ..domain.visibility import EVERYTHING, Visibility
from . import index as index_file
from .codec import id_hash, uid_of
from .datasets import Dataset
from .derived import LEARNT as LEARNT
from .derived import Derived, classes, derived_columns
from .manifest import Manifest
from .matching import aligned, close_to, from_did, matching, named
from .pixels import PARTS, Pixels
from .receipts import newest, quarantined
from .schema import BY_NAME, CATALOGUE
from .schema import SUMMARY_COLUMNS as SUMMARY_COLUMNS
from .sight import Sight
from .sky import cone_ranges, separation_deg
from .snapshot import Rows as Rows
from .snapshot import Snapshot


class Archive:
    """One version of an archive, as far as somebody may see it.

    Rows of hidden collections behave as superseded ones do: nothing finds, counts or reads them.

    Parameters
    ----------
    root : the archive's folder · version : None = the newest committed one
    visibility : what may be seen · snapshot : that version, if it is open already
    Raises
    ------
    UsageError : no archive there, no such version, or a newer format
    """

    def __init__(
        self, root: str | os.PathLike[str], version: int | None = None,
        visibility: Visibility = EVERYTHING, *, snapshot: Snapshot | None = None,
    ) -> None:  # fmt: skip
        self._all = snapshot or Snapshot(root, version)
        self._sight = Sight(self._all, visibility)
        self.root: Path = self._all.root
        self.manifest: Manifest = self._all.manifest
        self.visibility = visibility
        self._columns: dict[str, pa.ChunkedArray] = {}
        self._derived: dict[str, Derived] | None = None
        self._lock = threading.RLock()

    def seen_by(self, visibility: Visibility) -> Archive:
        """The same version for other eyes; what is open is shared."""
        return Archive(self.root, self.version, visibility, snapshot=self._all)

    # what is here -----------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The version that is open."""
        return self.manifest.version

    @property
    def restricted(self) -> bool:
        """True where something may be hidden: what is worked out then is nobody else's answer."""
        return not self.visibility.everything

    @property
    def pixels(self) -> Pixels:
        """The samples. Raises UsageError (not_allowed) where something may be hidden."""
        self._whole("pixels")
        return self._all.pixels

    def _whole(self, what: str) -> None:
        if self.restricted:
            raise UsageError("this is for whoever may see the whole archive", code="not_allowed",
                             where=what)  # fmt: skip

    def dataset(self, name: str) -> Dataset:
        """A dataset as of this version. Raises UsageError when it is not part of it.

        Where something may be hidden: of a derived one what may be seen, of others the schema.
        """
        return self._sight.dataset(name)

    def names(self, prefix: str) -> list[str]:
        """Derived datasets below `prefix`: ``names("labels")`` → their bare names."""
        found = [n for n in self.manifest.datasets if n.startswith(prefix + "/")]
        return sorted(n.removeprefix(prefix + "/") for n in found if self._sight.there(n))

    def has(self, name: str) -> bool:
        """Whether a dataset (``maps/…``) is part of this version, with something to be seen."""
        return self._sight.there(name)

    def held(self, name: str) -> int:
        """Rows of a derived table (``embeddings/…``); 0 where there is none."""
        return self._sight.held(name)

    @property
    def index(self) -> index_file.Index:
        """Keys of all catalogue rows."""
        return self._sight.index

    @property
    def catalogue_rows(self) -> int:
        """Length of columns: superseded and hidden rows count, unlike in `len`. Not to be shown."""
        return self._all.catalogue_rows

    @property
    def superseded(self) -> Rows:
        """Catalogue rows that a later row replaces, ascending."""
        return self._sight.superseded

    def __len__(self) -> int:
        return len(self._sight)

    def current(self, rows: Rows) -> Rows:
        """Those of `rows` that nothing supersedes and that may be seen."""
        return self._sight.current(rows)

    # one observation --------------------------------------------------------------------------

    def resolve(self, identifier: str) -> int:
        """Catalogue row of an observation named by obs_id, ``collection:obs_id`` or its DID.

        Raises UsageError (unknown_id, ambiguous_id), naming candidates.
        """
        if identifier.startswith("ivo://") and "?" in identifier:
            identifier = from_did(identifier)
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
                         where=str(self.root), remedy=close_to(
                             identifier, lambda: self.column("obs_id"), self.catalogue_rows
                         ))  # fmt: skip

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
        firsts = self._firsts(rows)
        tiles = self.index.value("n_tiles", np.asarray(rows, np.int64)).tolist()
        return self._all.pixels.read(list(zip(firsts, tiles, strict=True)))

    def files_seen(self, rows: Rows | Sequence[int]) -> NDArray[np.bool_]:
        """(n,) whether everything ever read from the files of observations may be seen."""
        return self._sight.files_seen(np.asarray(rows, np.int64))

    def window(self, identifier: str | int, lo_aa: float, hi_aa: float) -> Spectrum:
        """Only the samples between two wavelengths (Å, as delivered), reading little else."""
        row = self.resolve(identifier) if isinstance(identifier, str) else int(identifier)
        return self._all.pixels.window(self._firsts([row])[0], lo_aa, hi_aa)

    def windows(
        self, rows: Rows | Sequence[int], windows_aa: Sequence[tuple[float, float]]
    ) -> list[Spectrum | None]:
        """`window` of each row, read together; None where it holds no sample."""
        return self._all.pixels.windows(self._firsts(rows), windows_aa)

    def extras(self, rows: Rows | Sequence[int]) -> list[tuple[str, ...]]:
        """Names of the further arrays (``blaze``, ``sky`` …) of each row, without reading them."""
        return self._all.pixels.extras(self._firsts(rows))

    def _firsts(self, rows: Rows | Sequence[int]) -> list[int]:
        at = np.asarray(rows, np.int64)
        self._sight.require(at)
        firsts: list[int] = self.index.value("pixel_row", at).tolist()
        return firsts

    # many observations ------------------------------------------------------------------------

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole catalogue column (all rows, null at hidden ones), kept in memory once read."""
        if not self.restricted:
            return self._all.column(name)
        with self._lock:
            if name not in self._columns:
                self._columns[name] = self._sight.masked(self._all.column(name))
            return self._columns[name]

    def catalogue(
        self, rows: Rows | Sequence[int], columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Catalogue columns (all public ones by default) at `rows`, in that order."""
        names = list(columns) if columns is not None else [c.name for c in CATALOGUE if c.public]
        known = [n for n in names if n in BY_NAME]
        labels = [n for n in names if n not in BY_NAME]
        rows = np.asarray(rows, np.int64)
        self._sight.require(rows)
        found: dict[str, Any] = {}
        if known and len(rows):
            table = self._all.dataset("catalogue").at(rows, known)
            found = {name: table.column(name) for name in known}
        elif known:
            found = {name: pa.array([], BY_NAME[name].type) for name in known}
        for name in labels:
            found[name] = self.any_column(name).take(pa.array(rows))
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
                table = self._all.dataset(where).table(["uid", bare])
                self._columns[name] = self._sight.masked(
                    aligned(table, bare, self._all.index.column("uid"))
                )
            return self._columns[name]

    def classes(self, rows: Rows | Sequence[int]) -> list[str | None]:
        """Class of each row: that of the file's own pipeline, else of the label sets, in words."""
        at = np.asarray(rows, np.int64)
        self._sight.require(at)
        with self._lock:  # of a label set with numbers called ``class`` these are not the words
            if "\x00class" not in self._columns:
                self._columns["\x00class"] = classes(self)
            out: list[str | None] = self._columns["\x00class"].take(pa.array(at)).to_pylist()
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
        self, where: str | None = None, cone: tuple[float, float, float] | None = None,
        target: str | None = None, limit: int | None = None,
    ) -> Rows:  # fmt: skip
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
            rows = rows[np.isin(rows, named(target, self.column("target_name")))]
        if where is not None:
            keep = self._matching(where)
            rows = rows[keep[rows]]
        return rows if limit is None else rows[:limit]

    def _matching(self, where: str) -> NDArray[np.bool_]:
        known = {**self.columns(), **self.derived}
        return matching(where, known, self.catalogue_rows, self.any_column)

    # passes over everything -------------------------------------------------------------------

    def scan(
        self, rows: Rows | None = None, batch: int = 256
    ) -> Iterator[tuple[Rows, list[Spectrum]]]:
        """Spectra in batches of flat memory: (catalogue rows, spectra) in storage order."""
        rows = self.find() if rows is None else np.asarray(rows, np.int64)
        self._sight.require(rows)
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
        if not self.restricted:
            yield from self._all.pixels.scan(batch_rows, columns)
            return
        raw = self._all.pixels.scan(batch_rows, list(dict.fromkeys(["uid", *columns])))
        yield from self._sight.pixel_rows(raw, columns)

    # receipts ---------------------------------------------------------------------------------

    def receipts(self) -> pa.Table:
        """The newest receipts of every file: one row a file, one a quarantined item."""
        table = self._all.dataset("receipts").table()
        return self._sight.receipts(newest(table)) if table.num_rows else table

    def quarantine(self) -> list[dict[str, Any]]:
        """What could not be stored: path, member, hdu, row, code, reason, remedy."""
        found: list[dict[str, Any]] = quarantined(self.receipts()).to_pylist()
        return found

    def status(self) -> dict[str, Any]:
        """Counts for ``status``: observations, files_stored, quarantined, version …"""
        from .status import status

        return status(self)

    def table(self, name: str, columns: Collection[str] | None = None) -> pa.Table:
        """A derived table (``embeddings/…``, ``scores/…``, ``labels/…``) as of this version."""
        return self.dataset(name).table(None if columns is None else list(columns))

    def verify(self) -> list[DataError]:
        """Read every current spectrum and the index again; what is damaged, as errors."""
        from .verify import verified

        return verified(self)
