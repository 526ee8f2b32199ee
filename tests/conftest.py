"""Where the real spectra are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from postgres_server import postgres
from required import need

__all__ = ["data_dir", "postgres"]

settings.register_profile(
    # a busy machine is no defect; whether a change lands is no matter of chance: as for damaged
    # files (formats/test_fuzz_readers.py), SPECTRARIUM_FUZZ_SEED=7 draws other cases
    "spectrarium", deadline=None, derandomize="SPECTRARIUM_FUZZ_SEED" not in os.environ,
)  # fmt: skip
settings.load_profile("spectrarium")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real spectra that SPECTRARIUM_DATA names."""
    text = os.environ.get("SPECTRARIUM_DATA", "")
    need("data", bool(text) and Path(text).is_dir(), "SPECTRARIUM_DATA names no folder")
    return Path(text)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """See that groups of tests stay together: xdist once ceased to, without a word."""
    if getattr(config.option, "loadgroup", False):
        for item in items:
            if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
                raise pytest.UsageError("pytest-xdist does not heed xdist_group with this pytest")
