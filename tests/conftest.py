"""Where the real spectra are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from postgres_server import postgres
from required import need

__all__ = ["data_dir", "postgres"]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real spectra that SPECTRARIUM_DATA names."""
    text = os.environ.get("SPECTRARIUM_DATA", "")
    need("data", bool(text) and Path(text).is_dir(), "SPECTRARIUM_DATA names no folder")
    return Path(text)
