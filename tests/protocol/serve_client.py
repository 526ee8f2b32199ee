"""A small archive with everything a page can ask of it, and clients that ask.

``served`` is shared by all tests and must not be changed; ``fresh`` is a copy of one's own.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
from embedding_cases import spectrum
from starlette.testclient import TestClient

import spectrarium as sp
from spectrarium.domain.observation import Observation
from spectrarium.mock import write_survey
from spectrarium.serve.app import create_app

BASE = "http://127.0.0.1:8600"
TOKEN = "a-token-of-the-tests-0123456789"
WRITE = {"X-Spectrarium": "1"}
HOSTILE = "<img src=x onerror=alert(1)> & 'co'"
"""The target name of an observation: it has to stay text."""
SLASHED = "a/b c:d%2F?e#f"
"""The obs_id of an observation: it has to survive being part of a path."""


@dataclass(frozen=True)
class Site:
    """An archive that is served, the file of its people, and how to get a client."""

    archive: Path
    people: Path

    def client(self, *, token: str | None = None, **options: Any) -> TestClient:
        """A client, to be used in a `with` block."""
        app = create_app(self.archive, self.people, token=token, **options)
        return TestClient(app, base_url=BASE, follow_redirects=False)

    @property
    def store(self) -> Any:
        """The archive, opened apart from the server."""
        return sp.open(self.archive).store


def arrow(answer: Any) -> pa.Table:
    """The table of an Arrow answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    with pa.ipc.open_stream(io.BytesIO(answer.content)) as stream:
        return stream.read_all()


def error(answer: Any, status: int, code: str) -> dict[str, str]:
    """The error of an answer, which must be this one."""
    assert answer.status_code == status, answer.text
    found = answer.json()["error"]
    assert found["code"] == code, found
    assert set(found) >= {"code", "what", "where", "remedy"}
    assert "Traceback" not in answer.text
    return found


def first_id(site: Site, where: str = "obs_collection = 'MOCK'") -> str:
    """``COLLECTION:OBS_ID`` of the first observation that meets a filter."""
    row = site.store.find(where)[0]
    found = site.store.catalogue([row], ["obs_collection", "obs_id"]).to_pylist()[0]
    return f"{found['obs_collection']}:{found['obs_id']}"


def path(identifier: str) -> str:
    """An id as part of a path."""
    return quote(identifier, safe="")


def make_archive(folder: Path) -> Path:
    """An archive of 96 mock spectra and four odd ones: labels, pca, a map and outlier scores."""
    write_survey(folder / "mock", n=96, seed=5)
    archive = sp.open(folder / "archive")
    report = archive.ingest([folder / "mock" / "spectra"], collection="MOCK", workers=0)
    assert report.quarantined == 0
    archive.add_catalogue(folder / "mock" / "truth.ecsv", "obs_id")
    archive.embed()
    archive.ingest(list(extra()), workers=0)
    archive.outliers(k=1)
    archive.map("pca")
    return folder / "archive"


def extra() -> Iterator[sp.Spectrum]:
    """Two collections besides: one to be hidden, and names that are hostile."""
    wave = np.linspace(4000.0, 7000.0, 600)
    for i, (collection, name, target) in enumerate((
        ("SECRET", "s1", "Hidden 1"), ("SECRET", "s2", "Hidden 2"), ("ODD", "o1", HOSTILE),
        ("ODD", SLASHED, "Slashed"),
    )):  # fmt: skip
        flux = 1.0 + 0.05 * np.random.default_rng(i).normal(size=wave.size)
        about = Observation(collection, obs_id=name, target_name=target, s_ra=10.0 + i,
                            s_dec=-20.0, em_res_power=2000.0)  # fmt: skip
        yield spectrum(wave, flux, observation=about)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The archive that all tests share; do not change it."""
    folder = tmp_path_factory.mktemp("served")
    return Site(make_archive(folder), folder / "people.sqlite")


@pytest.fixture(scope="session")
def client(site: Site) -> Iterator[TestClient]:
    """The operator of this machine, at the shared archive; writes go to a people file of its own.

    ``client.headers`` hold what every write needs.
    """
    with site.client() as found:
        found.headers.update(WRITE)
        yield found


@pytest.fixture
def fresh(site: Site, tmp_path: Path) -> Site:
    """A copy of the archive that may be changed."""
    shutil.copytree(site.archive, tmp_path / "archive")
    return Site(tmp_path / "archive", tmp_path / "people.sqlite")


@pytest.fixture
def desk(site: Site, tmp_path: Path) -> Site:
    """The shared archive with a people file of one's own."""
    return Site(site.archive, tmp_path / "people.sqlite")


@pytest.fixture
def local(desk: Site) -> Iterator[TestClient]:
    """The operator, with a people file of one's own."""
    with desk.client() as found:
        found.headers.update(WRITE)
        yield found
