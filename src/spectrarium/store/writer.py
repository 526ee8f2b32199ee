"""The one writer of an archive: stages batches, commits them at once or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import InternalError, UsageError
from ..domain.observation import printable
from ..domain.spectrum import Spectrum
from . import index as index_file
from .archive import Archive
from .codec import Encoded, Grid, encode, tile_bounds
from .datasets import (
    CORE,
    append,
    append_fragments,
    create,
    dataset_path,
    delete_orphan_files,
    replace_table,
    sync_tree,
    take_back_orphans,
    write_pixels,
)
from .manifest import FORMAT, NAME, Manifest, commit, disk_error, is_leftover, load, writer_lock
from .schema import CATALOGUE_SCHEMA, GRID_SCHEMA, RECEIPT_SCHEMA
from .sky import healpix29
from .snapshot import Snapshot
from .staging import PixelRows
from .summary import summarise

AUTHORITY = "spectrarium.local"
"""Naming authority of DIDs until an operator sets one."""
INDEX_TAIL = 200_000
"""Rows since the last index file that make a commit write a new one."""
_UNIX_MJD = 40587.0


_NOTHING: frozenset[int] = frozenset()
_IDENTITY = ("obs_collection", "obs_id", "access_path", "access_member")


class _Current(NamedTuple):
    """The present content of an observation; `known`: contents it had within this commit."""

    row: int
    number: int
    fingerprint: int
    names: tuple[Any, ...]
    known: frozenset[int] = frozenset()


@dataclass
class _Staged:
    """What the next commit makes visible: rows already admitted, in the order they came."""

    pixel_rows: int
    catalogue_rows: int
    fragments: list[Any] = field(default_factory=list)
    catalogue: list[pa.Table] = field(default_factory=list)
    grids: list[pa.Table] = field(default_factory=list)
    receipts: list[pa.Table] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    seen: dict[int, _Current] = field(default_factory=dict)
    unchanged: int = 0


@dataclass
class Batch:
    """What a worker wrote: pixel fragments nobody refers to yet, and their catalogue rows.

    `catalogue` has `pixel_row` relative to the first row of `fragments` and no `healpix29` yet:
    the commit fills both in.
    """

    fragments: list[Any] = field(default_factory=list)
    pixel_rows: int = 0
    catalogue: pa.Table | None = None
    grids: list[Grid] = field(default_factory=list)
    receipts: pa.Table | None = None


class BatchBuilder:
    """Turns spectra into a `Batch`; used by workers, needs no lock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pixels = PixelRows()
        self._forget()

    def _forget(self) -> None:
        self._records: list[dict[str, Any]] = []
        self._grids: dict[int, Grid] = {}
        self.receipts: list[dict[str, Any]] = []
        self.nbytes = 0
        self._pixels.clear()

    def __len__(self) -> int:
        return len(self._records)

    def add(self, encoded: Encoded, spectrum: Spectrum) -> None:
        """Stage one spectrum (already encoded)."""
        record = _checked(_record(encoded, spectrum))  # may fail: before anything is staged
        record["pixel_row"] = len(self._pixels)
        self._pixels.add(encoded)
        if encoded.grid is not None:
            self._grids.setdefault(encoded.grid.grid_id, encoded.grid)
        self._records.append(record)
        self.nbytes += encoded.nbytes

    def build(self) -> Batch:
        """Write the pixels; afterwards the builder is empty."""
        batch = Batch(grids=list(self._grids.values()))
        if self.receipts:
            batch.receipts = receipt_table(self.receipts)
        if self._records:
            batch.fragments = write_pixels(self.root, "pixels", self._pixels.table())
            batch.pixel_rows = len(self._pixels)
            batch.catalogue = _catalogue_table(self._records)
        self._forget()
        return batch


def _record(encoded: Encoded, s: Spectrum) -> dict[str, Any]:
    """One catalogue row (without position and pixel row, which come in bulk)."""
    o, p = s.observation, s.provenance
    facts = summarise(s, encoded.grid.grid_id if encoded.grid else None)
    warnings, s_ra, s_dec = p.warnings, o.s_ra, o.s_dec
    if not _on_sky(s_ra, s_dec):
        warnings, s_ra, s_dec = (*warnings, f"impossible position {s_ra}, {s_dec}"), None, None
    did = f"ivo://{AUTHORITY}/{quote(o.obs_collection)}?{quote(encoded.obs_id)}"
    return {
        "obs_id": encoded.obs_id, "obs_collection": o.obs_collection, "obs_publisher_did": did,
        "obs_creator_did": o.obs_creator_did, "dataproduct_type": "spectrum",
        "calib_level": o.calib_level, "target_name": o.target_name,
        "target_class": o.target_class, "s_ra": s_ra, "s_dec": s_dec, "t_min": o.t_min,
        "t_max": o.t_max, "t_exptime": o.t_exptime, "em_res_power": o.em_res_power,
        "em_min": facts.em_min_m, "em_max": facts.em_max_m, "em_xel": s.flux.size,
        "em_pixel_kms": facts.pixel_kms,
        "facility_name": o.facility_name, "instrument_name": o.instrument_name,
        "snr": facts.snr, "snr_source": facts.snr_source, "redshift": o.redshift,
        "rv_kms": o.rv_kms, "berv_kms": o.berv_kms, "bjd_tdb": o.bjd_tdb, "airmass": o.airmass,
        "medium": s.axis.medium.value, "specsys": s.axis.specsys.value, "flux_unit": s.flux_unit,
        "flux_calibration": s.flux_calibration.value, "normalisation": s.normalisation.value,
        "uncertainty_kind": s.uncertainty_kind.value, "has_flags": s.flags is not None,
        "n_good": facts.n_good, "n_orders": s.flux.shape[0] if s.flux.ndim == 2 else 0,
        "bib_reference": o.bib_reference,
        "metadata": encoded.metadata,
        "access_path": p.path, "access_member": p.member, "access_hdu": p.hdu,
        "access_row": p.row, "file_hash": p.file_hash, "reader": p.reader,
        "pipeline": p.pipeline, "warnings": "; ".join(warnings) or None, "obs_version": 1,
        "ingest_mjd": time.time() / 86400.0 + _UNIX_MJD, "uid": encoded.uid,
        "fingerprint": encoded.fingerprint, "healpix29": -1, "pixel_row": 0,
        "n_tiles": len(encoded.tiles), "grid_id": encoded.grid.grid_id if encoded.grid else -1,
    }  # fmt: skip


def _on_sky(ra_deg: float | None, dec_deg: float | None) -> bool:
    """False for a position that is none: sentinels such as −999."""
    return (dec_deg is None or not abs(dec_deg) > 90.0) and (
        ra_deg is None or not abs(ra_deg) > 360.0
    )


_KINDS: tuple[tuple[str, Any], ...] = tuple(
    (f.name, str if pa.types.is_string(f.type) else bool if pa.types.is_boolean(f.type)
     else float if pa.types.is_floating(f.type) else int) for f in CATALOGUE_SCHEMA
)  # fmt: skip


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """The record with plain values of its columns' types: one wrong value must not sink a batch.

    Raises TypeError for a value of another kind, a defect of the reader.
    """
    for name, kind in _KINDS:
        value = record[name]
        if value is None or type(value) is kind:
            continue
        if kind in (int, float) and isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError(f"{name} is {value!r}, not a number")
        record[name] = kind(value)
    return record


def _catalogue_table(records: list[dict[str, Any]]) -> pa.Table:
    columns = {f.name: _array([r[f.name] for r in records], f.type) for f in CATALOGUE_SCHEMA}
    return pa.table(columns, schema=CATALOGUE_SCHEMA)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """A column; NaN says nothing, so it becomes null."""
    try:
        return pa.array(values, kind, from_pandas=True)
    except UnicodeEncodeError:  # a file name that is no UTF-8
        return pa.array([None if v is None else printable(v) for v in values], kind)


@contextmanager
def open_writer(root: Path, timeout_s: float = 60.0) -> Iterator[Writer]:
    """Hold the lock of the archive in `root` (made if absent) and take back orphans.

    Raises TransientError (locked) when another writer is at work for longer than `timeout_s`.
    """
    root = Path(root).absolute()
    if root.exists() and not root.is_dir():
        raise UsageError("is a file, not a folder", code="not_a_folder", where=str(root),
                         remedy="give --archive a folder")  # fmt: skip
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(error, root) from error
    if not (root / NAME).exists() and any(
        p.name != "writer.lock" and not p.name.endswith(".lance") and p.name != "manifests"
        and p.name != "index" and not is_leftover(p) for p in root.iterdir()
    ):  # fmt: skip
        raise UsageError(
            "the folder is not empty and holds no archive", code="not_an_archive",
            where=str(root), remedy="choose an empty or new folder",
        )  # fmt: skip
    with writer_lock(root, timeout_s):
        writer = Writer(root)
        try:
            yield writer
        except BaseException:
            writer.close(clean=False)
            raise
        writer.close()


class Writer:
    """Appends to an archive. Made by `open_writer` only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._dirty = root / "writer.dirty"
        self._spent = False
        self.has_orphans = False
        if not (root / NAME).exists():
            versions = {name: create(root, name, schema) for name, schema in CORE.items()}
            commit(root, Manifest(version=0, format=FORMAT, created=time.time(),
                                  datasets=versions, rows=dict.fromkeys(CORE, 0)))  # fmt: skip
        self._heal()
        self._dirty.touch()
        self.archive = Archive(root)
        self._grid_ids = self.archive.pixels.grid_ids()
        self._staged: _Staged | None = None

    def _heal(self) -> None:
        """Take back what a writer that died left uncommitted."""
        manifest = load(self.root)
        versions = {
            name: take_back_orphans(self.root, name, version)
            for name, version in manifest.datasets.items()
        }
        if versions != dict(manifest.datasets):
            manifest = manifest.next(datasets=versions, note="took back uncommitted data")
            commit(self.root, manifest)
        if self._dirty.exists():
            keep = {**{n: [v] for n, v in versions.items()}}
            for name, olds in manifest.keep.items():
                keep[name] = [*keep.get(name, []), *olds]
            for name in CORE:
                delete_orphan_files(self.root, name, keep[name])
            index_file.delete_unused(self.root, self._index_files())
            for path in (*self.root.iterdir(), *(self.root / "manifests").iterdir()):
                if is_leftover(path):
                    path.unlink(missing_ok=True)
            for spool in self.root.glob("spool-*"):  # training data of a run that was killed
                shutil.rmtree(spool, ignore_errors=True)

    def _index_files(self) -> set[str]:
        out: set[str] = set()
        for path in [self.root / NAME, *(self.root / "manifests").glob("*.json")]:
            with contextlib.suppress(ValueError, OSError):
                entry = json.loads(path.read_text()).get("index")
                if entry:
                    out.add(entry["file"])
        return out

    def close(self, clean: bool = True) -> None:
        """Leave the archive; not `clean` = with files that the next writer has to take back."""
        if clean and not (self._spent or self._staged or self.has_orphans):
            self._dirty.unlink(missing_ok=True)

    # spectra ----------------------------------------------------------------------------------

    def stage(self, batch: Batch) -> None:
        """Queue a worker's batch for the next commit: what can be done before, is done now."""
        if self._staged is None:
            rows = self.archive.manifest.rows
            self._staged = _Staged(rows["pixels"], rows["catalogue"])
        staged = self._staged
        if batch.catalogue is not None:
            self._admit(batch.catalogue, staged)
        staged.fragments += batch.fragments
        staged.pixel_rows += batch.pixel_rows
        if batch.receipts is not None:
            staged.receipts.append(batch.receipts)
        grids = self._grid_table(batch.grids)
        if grids.num_rows:
            staged.grids.append(grids)

    def commit(self) -> tuple[int, int]:
        """Make everything staged visible, atomically; (stored, unchanged) numbers of spectra."""
        if self._staged is None:
            return 0, 0
        with self._all_or_nothing():
            return self._commit(self._staged)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """After a failed commit this writer is spent: the next one takes its data back."""
        if self._spent:
            raise InternalError("this writer failed before and cannot go on", code="spent_writer")
        self._spent = True
        yield
        self._spent = False

    def _commit(self, staged: _Staged) -> tuple[int, int]:
        self._staged = None
        manifest = self.archive.manifest
        versions, rows = dict(manifest.datasets), dict(manifest.rows)
        self._append(versions, rows, "grids", staged.grids)
        if staged.fragments:
            versions["pixels"] = append_fragments(
                self.root, "pixels", versions["pixels"], staged.fragments
            )
            rows["pixels"] = staged.pixel_rows
        catalogue = self._append(versions, rows, "catalogue", staged.catalogue)
        if staged.superseded:
            self._append(versions, rows, "superseded", [pa.table({"row": staged.superseded})])
        self._append(versions, rows, "receipts", staged.receipts)
        self._finish(manifest.next(datasets=versions, rows=rows, note=""), catalogue)
        return (0 if catalogue is None else catalogue.num_rows), staged.unchanged

    def _append(
        self, versions: dict[str, int], rows: dict[str, int], name: str, tables: list[pa.Table]
    ) -> pa.Table | None:
        """The rows that were appended, as one table; None if there are none."""
        table = pa.concat_tables(tables) if tables else None
        if table is None or not table.num_rows:
            return None
        versions[name] = append(self.root, name, versions[name], table)
        rows[name] = rows.get(name, 0) + table.num_rows
        return table

    def _admit(self, table: pa.Table, staged: _Staged) -> None:
        """Take in catalogue rows: drop what is already there, number new versions."""
        uids, prints = table.column("uid").to_pylist(), table.column("fingerprint").to_pylist()
        seen, start = staged.seen, staged.catalogue_rows
        index = self.archive.index
        stored = index.has("uid", table.column("uid").to_numpy()).tolist()
        before = self._current_of([uid for uid, there in zip(uids, stored, strict=True) if there])
        identity = [table.column(name).to_pylist() for name in _IDENTITY]
        keep: list[int] = []
        version: list[int] = []
        each = zip(uids, prints, stored, zip(*identity, strict=True), strict=True)
        for i, (uid, fingerprint, there, names) in enumerate(each):
            number = 1
            if there or uid in seen:
                now = seen.get(uid) or before[uid]
                if now.names[:2] != names[:2]:
                    raise InternalError(
                        f"{names[:2]} and {now.names[:2]} have the same key", code="uid_collision",
                        remedy="give one of them another --collection",
                    )  # fmt: skip
                known = fingerprint in now.known or fingerprint in index.value(
                    "fingerprint", index.equal("uid", uid)
                )
                # an earlier content is news only from the file that the present one came from:
                # of two files with one identifier, neither may replace the other time and again
                if fingerprint == now.fingerprint or (known and names[2:] != now.names[2:]):
                    staged.unchanged += 1
                    continue
                staged.superseded.append(now.row)
                number = now.number + 1
            already = seen[uid].known if uid in seen else _NOTHING
            seen[uid] = _Current(start + len(keep), number, fingerprint, names,
                                 already | {fingerprint})  # fmt: skip
            keep.append(i)
            version.append(number)
        out = table if len(keep) == table.num_rows else table.take(pa.array(keep, pa.int64()))
        position = np.asarray(out.column("pixel_row").to_numpy(), np.int64) + staged.pixel_rows
        out = _with(out, "pixel_row", pa.array(position))
        cells = healpix29(_float(out, "s_ra"), _float(out, "s_dec"))
        out = _with(out, "healpix29", pa.array(cells))
        staged.catalogue.append(_with(out, "obs_version", pa.array(version, pa.int32())))
        staged.catalogue_rows += out.num_rows

    def _current_of(self, uids: list[int]) -> dict[int, _Current]:
        """The present row of each of `uids`, all of which are stored."""
        if not uids:
            return {}
        archive = self.archive
        rows = archive.rows_of(uids)
        prints = archive.index.value("fingerprint", rows).tolist()
        table = archive.catalogue(rows, ["obs_version", *_IDENTITY])
        numbers, *names = (table.column(n).to_pylist() for n in table.column_names)
        each = zip(uids, rows.tolist(), numbers, prints, zip(*names, strict=True), strict=True)
        return {uid: _Current(row, n, mark, key) for uid, row, n, mark, key in each}

    def _grid_table(self, grids: Iterable[Grid]) -> pa.Table:
        """The grids that are not stored yet, from now on counted as stored."""
        records = []
        for grid in grids:
            if grid.grid_id in self._grid_ids:
                continue
            self._grid_ids.add(grid.grid_id)
            flat = grid.values.reshape(-1)
            kind = ";".join([grid.values.dtype.str, *map(str, grid.values.shape)])
            for i, (a, b) in enumerate(tile_bounds(flat.size)):
                records.append({"grid_id": grid.grid_id, "tile": i, "dtype": kind,
                                "n": flat.size, "values": flat[a:b].tobytes()})  # fmt: skip
        return pa.Table.from_pylist(records, schema=GRID_SCHEMA)

    def _finish(self, manifest: Manifest, catalogue: pa.Table | None) -> None:
        """The commit point, then the archive as it now is (index carried over, not reread)."""
        index = self.archive.index
        if catalogue is not None and catalogue.num_rows:
            index.add(catalogue.select(list(index_file.COLUMNS)))
            if index.tail_rows > max(INDEX_TAIL, index.rows // 4):
                manifest = replace(manifest, index=self._new_index(index))
        commit(self.root, manifest)
        self._reopen(index)

    def _new_index(self, index: index_file.Index) -> dict[str, Any]:
        entry = index_file.save(self.root, index.compacted())
        index.blocks = [index_file.load(self.root, entry, check=False)]
        return entry

    def _reopen(self, index: index_file.Index | None) -> None:
        snapshot = Snapshot(self.root)
        if index is not None:
            snapshot.take_index(index)
        self.archive = Archive(self.root, snapshot=snapshot)

    # derived tables ---------------------------------------------------------------------------

    def put_table(self, name: str, table: pa.Table) -> None:
        """Store a derived table (``labels/…``, ``embeddings/…``, ``scores/…``), replacing it.

        Past versions of the archive keep what they had.
        """
        version = replace_table(self.root, name, table)
        manifest = self.archive.manifest
        self._finish(
            manifest.next(
                datasets={**manifest.datasets, name: version},
                rows={**manifest.rows, name: table.num_rows}, note=f"wrote {name}",
            ),
            None,
        )  # fmt: skip

    def drop_table(self, name: str) -> None:
        """Forget a derived table from this version on."""
        manifest = self.archive.manifest
        datasets = {k: v for k, v in manifest.datasets.items() if k != name}
        rows = {k: v for k, v in manifest.rows.items() if k != name}
        self._finish(manifest.next(datasets=datasets, rows=rows, note=f"dropped {name}"), None)

    def compact(self) -> None:
        """Merge small files and rebuild the index. Past versions stay readable."""
        import lance

        manifest = self.archive.manifest
        versions, keep = dict(manifest.datasets), {k: list(v) for k, v in manifest.keep.items()}
        try:
            for name in CORE:
                dataset = lance.dataset(str(dataset_path(self.root, name)))
                before = versions[name]
                dataset.optimize.compact_files()
                sync_tree(dataset_path(self.root, name))
                versions[name] = int(dataset.version)
                if versions[name] != before:  # the old files belong to past versions
                    keep.setdefault(name, []).append(before)
        except OSError as error:
            raise disk_error(error, self.root) from error
        entry = self._new_index(self.archive.index)
        self._finish(
            manifest.next(datasets=versions, keep=keep, index=entry, note="compacted"), None
        )

    def build_index(self) -> None:
        """Write a search index over all rows, if there are rows outside the file."""
        if self.archive.index.tail_rows:
            entry = self._new_index(self.archive.index)
            self._finish(self.archive.manifest.next(index=entry, note="indexed"), None)


def add_spectra(root: Path, spectra: Sequence[Spectrum], timeout_s: float = 60.0) -> int:
    """Store spectra held in memory, in one commit; the number that was new."""
    with open_writer(root, timeout_s) as writer:
        builder = BatchBuilder(writer.root)
        for spectrum in spectra:
            builder.add(encode(spectrum), spectrum)
        writer.stage(builder.build())
        return writer.commit()[0]


def receipt_table(records: list[dict[str, Any]]) -> pa.Table:
    """Receipts as rows for their dataset."""
    return pa.Table.from_pylist(records, schema=RECEIPT_SCHEMA)


def _float(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column with NaN for null."""
    return np.asarray(table.column(name).to_numpy(zero_copy_only=False), np.float64)


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)
