"""Where the real spectra are, and what must not be skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REQUIRED = set(filter(None, os.environ.get("SPECTRARIUM_REQUIRE", "").split(",")))


def need(name: str, present: bool, reason: str) -> None:
    """Skip with a reason when `name` is absent; fail instead if SPECTRARIUM_REQUIRE names it."""
    if present:
        return
    if name in REQUIRED:
        pytest.fail(f"{name} is required here, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real spectra that SPECTRARIUM_DATA names."""
    text = os.environ.get("SPECTRARIUM_DATA", "")
    need("data", bool(text) and Path(text).is_dir(), "SPECTRARIUM_DATA names no folder")
    return Path(text)
