"""Is what is stored still what was delivered? Every sample is hashed again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from ..domain.errors import DataError
from ..domain.spectrum import Spectrum
from . import index as index_file
from .archive import Archive, Rows
from .codec import encode


def verified(archive: Archive) -> list[DataError]:
    """What is damaged of an archive: its index, and every current spectrum read again."""
    found: list[DataError] = []
    if archive.manifest.index is not None:
        try:
            index_file.load(archive.root, dict(archive.manifest.index))
        except DataError as error:
            found.append(error)
    rows = archive.find()
    for at in range(0, len(rows), 64):
        found += damaged(archive, rows[at : at + 64])
    return found


def damaged(archive: Archive, rows: Rows) -> list[DataError]:
    """Those of some spectra that cannot be read, or are not what was stored."""
    try:
        spectra = archive.read_rows(rows)
    except DataError as error:
        if len(rows) == 1:
            return [error]
        return [e for row in rows for e in damaged(archive, np.array([row], np.int64))]
    except (ValueError, KeyError, TypeError) as error:  # bytes that no longer decode
        if len(rows) > 1:
            return [e for row in rows for e in damaged(archive, np.array([row], np.int64))]
        return [_damage(archive.catalogue(rows, ["obs_collection", "obs_id"]), str(error))]
    prints = archive.index.value("fingerprint", rows).tolist()
    bad = [i for i, s in enumerate(spectra) if not _is_stored(s, prints[i])]
    if not bad:
        return []
    names = archive.catalogue(rows[bad], ["obs_collection", "obs_id"])
    return [_damage(names.slice(i, 1), "its hash is not the stored one")
            for i in range(len(bad))]  # fmt: skip


def _is_stored(spectrum: Spectrum, fingerprint: int) -> bool:
    if encode(spectrum).fingerprint == fingerprint:
        return True
    # one without an identifier of its own was hashed before it was given one
    anonymous = replace(spectrum.observation, obs_id=None)
    return encode(spectrum.replace(observation=anonymous)).fingerprint == fingerprint


def _damage(name: pa.Table, why: str) -> DataError:
    record = name.to_pylist()[0]
    return DataError(
        f"the stored spectrum is damaged: {why}", code="damaged_spectrum",
        where=f"{record['obs_collection']}:{record['obs_id']}",
        remedy="ingest its file into a new archive, or restore this one from a copy",
    )  # fmt: skip
