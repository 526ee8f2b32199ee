"""A mock survey, ingested and embedded once for all tests that only ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from astropy.table import Table
from page_browser import (  # noqa: F401  fixtures of the tests of the page
    chromium_browser,
    look,
    own_server,
    page_archive,
    page_server,
)

import spectrarium as sp
from spectrarium.mock import write_survey


@pytest.fixture(scope="session")
def mock_files(tmp_path_factory) -> Path:
    """Folder of a mock survey of 260 objects."""
    folder = tmp_path_factory.mktemp("mock")
    write_survey(folder, n=260, seed=5)
    return folder


@pytest.fixture(scope="session")
def truth(mock_files) -> Table:
    """Its truth table."""
    return Table.read(mock_files / "truth.ecsv", format="ascii.ecsv")


@pytest.fixture(scope="session")
def asked(mock_files, tmp_path_factory):
    """The survey as an archive with labels and models; do not change it."""
    archive = sp.open(tmp_path_factory.mktemp("asked") / "archive")
    report = archive.ingest([mock_files / "spectra"], collection="MOCK")
    assert report.quarantined == 0
    archive.add_catalogue(mock_files / "truth.ecsv", "obs_id")
    archive.embed()
    return archive
