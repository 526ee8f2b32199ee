"""Bulk pools, many spectra a file: Parquet and HATS, HDF5, npz; told by their first bytes."""

from __future__ import annotations

from collections.abc import Iterator

from . import pool_npz
from .guarded import read_guarded
from .registry import LIKELY, Item, NotASpectrum, Reader
from .source import SourceFile

_HDF5 = b"\x89HDF\r\n\x1a\n"


def is_parquet(source: SourceFile) -> int:
    """LIKELY for Parquet's magic bytes."""
    return LIKELY if source.data[:4] == b"PAR1" else 0


def is_hdf5(source: SourceFile) -> int:
    """LIKELY for HDF5's signature."""
    return LIKELY if source.data[:8] == _HDF5 else 0


def is_npz(source: SourceFile) -> int:
    """LIKELY for a zip whose first member is a NumPy array."""
    return LIKELY if pool_npz.is_npz(source.data) else 0


def is_hats_text(source: SourceFile) -> int:
    """LIKELY for the text files that describe a HATS catalogue."""
    head = source.data[:8192]
    properties = b"obs_collection" in head and (b"hats_" in head or b"hipscat" in head)
    partitions = head[:11] == b"Norder,Npix" or head[:14] == b"Norder,Dir,Npi"
    return LIKELY if not source.is_fits and (properties or partitions) else 0


def read_parquet(source: SourceFile) -> Iterator[Item]:
    """One Spectrum per row. Raises DataError."""
    return read_guarded(source, f"{__package__}.pool_parquet:read")


def read_hdf5(source: SourceFile) -> Iterator[Item]:
    """One Spectrum per row or group. Raises DataError."""
    return read_guarded(source, f"{__package__}.pool_hdf5:read")


def read_hats_text(source: SourceFile) -> Iterator[Item]:
    """The receipt of a HATS description: its spectra are in the partitions beside it."""
    del source
    yield NotASpectrum("a HATS catalogue's description (its rows are in the Parquet partitions)")


_DECLARED = "as declared in the file (column name, unit, wave_frame), else unknown"
_KINDS = "by column name: err, var, ivar"
_FLAGS = "a column called mask or flags: any non-zero value is bad"

READERS = (
    Reader(
        name="parquet",
        title="Parquet pools and HATS catalogues (the Multimodal Universe's too)",
        recognise=is_parquet,
        read=read_parquet,
        medium=_DECLARED,
        frame=_DECLARED,
        uncertainty=_KINDS,
        mask=_FLAGS,
        why_own="specutils has no loader",
        source="Apache Parquet; HATS (IVOA Note, hats.properties); nested-pandas struct columns; "
        "Multimodal Universe 2024 (arXiv:2412.02527) and its build scripts",
    ),
    Reader(
        name="hdf5",
        title="HDF5 pools (Multimodal Universe, matrices, a group per spectrum, ragged)",
        recognise=is_hdf5,
        read=read_hdf5,
        medium=_DECLARED,
        frame=_DECLARED,
        uncertainty=_KINDS,
        mask=_FLAGS,
        why_own="specutils has no loader",
        source="HDF5 1.14 file format; Multimodal Universe 2024 (arXiv:2412.02527)",
    ),
    Reader(
        name="npz",
        title="NumPy archives (.npz)",
        recognise=is_npz,
        read=pool_npz.read,
        medium=_DECLARED,
        frame=_DECLARED,
        uncertainty=_KINDS,
        mask=_FLAGS,
        why_own="specutils has no loader",
        source="NumPy Enhancement Proposal 1 (the .npy format)",
    ),
    Reader(
        name="hats",
        title="Descriptions of HATS catalogues",
        recognise=is_hats_text,
        read=read_hats_text,
        medium="none",
        frame="none",
        uncertainty="none",
        mask="none",
        why_own="specutils has no loader",
        source="HATS (IVOA Note): hats.properties, partition_info.csv",
    ),
)
