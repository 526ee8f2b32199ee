"""Everything known of one observation, and the files it can leave in."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3
from numpy.typing import NDArray

from ..domain.errors import DataError, UsageError
from ..domain.observation import Observation
from ..domain.spectrum import EchelleSpectrum, Spectrum
from ..read.source import gunzip
from ..store.archive import Archive, Rows
from ..store.summary import summarise
from .columns import Columns

SAME_ARCSEC = 1.5
"""Positions this close are taken for one target."""
NATIVE_BYTES = 1 << 30
"""Larger files are not sent."""
_SAME_MOST = 200
_APART = ("scores.", "score:", "map:")
_PROVENANCE = ("access_path", "access_member", "access_hdu", "access_row", "file_hash", "reader",
               "pipeline", "warnings", "ingest_mjd", "obs_version")  # fmt: skip
_OF_NOTHING = ("", "none", "unknown", "unnamed", "n/a", "object", "target", "star", "sky")


def object_record(archive: Archive, row: int, columns: Columns | None = None) -> dict[str, Any]:
    """One observation in plain values: record with units, provenance, kin of the same target."""
    columns = columns or Columns(archive)
    names = list(archive.columns())
    names += [n for n in archive.derived if not n.startswith(_APART) and n not in names]
    at = pa.array([row], pa.int64())
    record = {n: archive.any_column(n).take(at)[0].as_py() for n in names}
    if isinstance(record.get("metadata"), str) and record["metadata"]:
        record["metadata"] = json.loads(record["metadata"])
    known = {n: columns.all[n] for n in names if n in columns.all}
    uid = int(archive.index.value("uid", np.array([row], np.int64))[0])
    return {
        "id": f"{record['obs_collection']}:{record['obs_id']}", "row": row, "uid": uid,
        "did": record.get("obs_publisher_did"), "record": record,
        "units": {n: c.unit for n, c in known.items() if c.unit},
        "about": {n: c.about for n, c in known.items() if c.about},
        "provenance": _provenance(archive, record, uid),
        "same_target": same_target(archive, row, record),
    }  # fmt: skip


def _provenance(archive: Archive, record: dict[str, Any], uid: int) -> dict[str, Any]:
    p = {name.removeprefix("access_"): record.get(name) for name in _PROVENANCE}
    p["file"] = p.pop("path")
    p["warnings"] = [w for w in (p["warnings"] or "").split("; ") if w]
    p["embeddings"] = [e for n in archive.names("embeddings") if (e := _embedding(archive, n, uid))]
    return p


def _embedding(archive: Archive, name: str, uid: int) -> dict[str, Any] | None:
    """The model behind an embedding that holds the observation."""
    there = archive.table(f"embeddings/{name}", ["uid"]).column(0)
    if pc.index(there, uid).as_py() < 0:
        return None
    raw = archive.dataset(f"embeddings/{name}").lance.schema.metadata or {}
    meta = {k.decode(): v.decode() for k, v in raw.items()}
    return {"name": name, "weights_hash": meta.get("weights_hash"),
            "version": meta.get("version"), "training": meta.get("training"),
            "model_id": meta.get("model_id")}  # fmt: skip


def same_target(archive: Archive, row: int, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Other observations within 1.5″, or of the same name in the same collection."""
    found: list[NDArray[np.int64]] = []
    if record.get("s_ra") is not None and record.get("s_dec") is not None:
        near, _ = archive.cone(record["s_ra"], record["s_dec"], SAME_ARCSEC / 3600.0)
        found.append(near)
    name = record.get("target_name")
    if name and name.strip().lower() not in _OF_NOTHING:
        named = pc.and_(
            pc.equal(archive.column("target_name"), name),
            pc.equal(archive.column("obs_collection"), record["obs_collection"]),
        )
        hits = np.flatnonzero(pc.fill_null(named, False).to_numpy())
        found.append(archive.current(hits.astype(np.int64)))
    rows = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    rows = rows[rows != row][:_SAME_MOST]
    names = ["obs_collection", "obs_id", "t_min", "instrument_name", "snr"]
    kin = archive.catalogue(rows, names).to_pylist()
    out = [
        {"id": f"{k['obs_collection']}:{k['obs_id']}", "row": int(r), "t_min": k["t_min"],
         "instrument_name": k["instrument_name"], "snr": k["snr"]}
        for r, k in zip(rows.tolist(), kin, strict=True)
    ]  # fmt: skip
    return sorted(out, key=lambda k: (k["t_min"] is None, k["t_min"] or 0.0))


def uploaded_record(spectrum: Spectrum, identifier: str) -> dict[str, Any]:
    """The same of a spectrum that is in no archive."""
    o, p, facts = spectrum.observation, spectrum.provenance, summarise(spectrum, None)
    record = {name: getattr(o, name) for name in Observation.__slots__ if name != "metadata"}
    record |= {
        "metadata": dict(o.metadata), "em_min": facts.em_min_m, "em_max": facts.em_max_m,
        "em_xel": spectrum.flux.size, "em_pixel_kms": facts.pixel_kms, "n_good": facts.n_good,
        "snr": facts.snr, "snr_source": facts.snr_source, "medium": spectrum.axis.medium.value,
        "specsys": spectrum.axis.specsys.value, "flux_unit": spectrum.flux_unit,
        "flux_calibration": spectrum.flux_calibration.value,
        "normalisation": spectrum.normalisation.value,
        "uncertainty_kind": spectrum.uncertainty_kind.value,
        "n_orders": spectrum.flux.shape[0] if isinstance(spectrum, EchelleSpectrum) else 0,
    }  # fmt: skip
    units = {"s_ra": "deg", "s_dec": "deg", "t_min": "d", "t_max": "d", "t_exptime": "s",
             "em_min": "m", "em_max": "m", "em_pixel_kms": "km/s", "rv_kms": "km/s",
             "berv_kms": "km/s", "bjd_tdb": "d"}  # fmt: skip
    provenance: dict[str, Any] = {"file": p.path, "member": p.member, "hdu": p.hdu, "row": p.row,
                  "file_hash": p.file_hash, "reader": p.reader, "pipeline": p.pipeline,
                  "warnings": list(p.warnings), "ingest_mjd": None,
                  "obs_version": None, "embeddings": []}  # fmt: skip
    return {"id": identifier, "row": None, "uid": None, "did": None, "record": record,
            "units": units, "about": {}, "provenance": provenance, "same_target": [],
            "upload": True}  # fmt: skip


# the file it came from ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Native:
    """A file on this machine that an observation was read from."""

    path: Path
    name: str
    nbytes: int


def native_file(archive: Archive, row: int) -> Native | None:
    """The file of an observation, as `native_files` has it."""
    return native_files(archive, [row])[0]


def native_files(archive: Archive, rows: Rows | Sequence[int]) -> list[Native | None]:
    """(n,) the files of observations that may be given away; their content is not looked at yet.

    None where it is gone or too large, is part of a zip or tar, came from the web, or holds
    spectra that are hidden from the asker.
    """
    names = ["access_path", "access_member", "file_hash"]
    facts = archive.catalogue(rows, names).to_pylist()
    known: dict[str, Native | None] = {}
    out: list[Native | None] = []
    for one, seen in zip(facts, archive.files_seen(rows).tolist(), strict=True):
        text = one["access_path"]
        if not seen or not text or one["access_member"] or not one["file_hash"] or "://" in text:
            out.append(None)
            continue
        if text not in known:  # many spectra may lie in one file
            known[text] = _regular(Path(text))
        out.append(known[text])
    return out


def _regular(path: Path) -> Native | None:
    """A file on this machine that is not too large."""
    try:
        kind = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(kind.st_mode) or not path.is_absolute() or kind.st_size > NATIVE_BYTES:
        return None
    return Native(path, path.name, kind.st_size)


def native_bytes(archive: Archive, row: int) -> tuple[str, bytes]:
    """(name, bytes) of the file an observation was read from, as it was then.

    Raises
    ------
    UsageError (no_file) : see `native_file` · DataError (changed_file) : other bytes lie there now
    """
    native = native_file(archive, row)
    if native is None:
        raise _no_file("its original file is not to be had here")
    expected = archive.catalogue([row], ["file_hash"]).column(0)[0].as_py()
    try:
        data = native.path.read_bytes()
    except OSError as error:
        raise _no_file(f"its original file cannot be read: {error.strerror}") from error
    # what was hashed is what is sent: nobody can change it in between
    content = gunzip(data, native.name) if data[:2] == b"\x1f\x8b" else data
    if blake3(content).hexdigest() != expected:
        raise DataError(
            "the file has changed since it was ingested", code="changed_file", where=native.name,
            remedy="ingest it again, or take the VOTable",
        )  # fmt: skip
    return native.name, data


def _no_file(what: str) -> UsageError:
    return UsageError(what, code="no_file",
                      remedy="take the VOTable or FITS that is made of the archive")  # fmt: skip
