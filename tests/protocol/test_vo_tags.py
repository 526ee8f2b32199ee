"""Tags in the services: what was learnt is a table as any other, with errors and reasons."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from astropy.io.votable import parse_single_table
from serve_client import TOKEN, Site
from vo_site import SETTINGS, serving, stilts, votlint

import spectrarium as sp
from spectrarium.mock import write_survey

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("vo-tags")]


@pytest.fixture(scope="module")
def tap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """TAP of an archive with the temperature and the class learnt and applied."""
    folder = tmp_path_factory.mktemp("vo-tags")
    write_survey(folder / "mock", n=260, seed=8)
    archive = sp.open(folder / "archive")
    archive.ingest([folder / "mock" / "spectra"], collection="MOCK", workers=0)
    archive.add_catalogue(folder / "mock" / "truth.ecsv", "obs_id")
    archive.embed(components=12)
    for label in ("truth.teff", "truth.obj_class"):
        archive.tag_train(label, heads=["ridge"])
    archive.tag_apply()
    site = Site(folder / "archive", folder / "people.sqlite")
    with serving(site, site.people, SETTINGS) as base:
        yield f"{base}/vo/tap"


def asked(tap: str, query: str, form: str = "votable") -> bytes:
    answer = httpx.get(f"{tap}/sync", timeout=60, headers={"Authorization": f"Bearer {TOKEN}"},
                       params={"LANG": "ADQL", "QUERY": query, "RESPONSEFORMAT": form})  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize("table", ["spectra.tags", "spectra.labels_tags", "spectra.labels_truth",
                                   "spectra.models"])  # fmt: skip
@pytest.mark.parametrize("form", ["votable", "votable/td"])
def test_votlint_has_nothing_to_say(tap: str, tmp_path: Path, table: str, form: str):
    found = asked(tap, f"SELECT * FROM {table}", form)
    votlint(found, tmp_path)
    assert len(parse_single_table(io.BytesIO(found)).array)


def test_tags_hold_values_within_their_intervals(tap: str):
    found = parse_single_table(io.BytesIO(asked(
        tap, "SELECT number, lowest, highest, coverage, abstained, reason FROM spectra.tags "
        "WHERE tag = 'teff' AND coverage BETWEEN 0.6 AND 0.7"
    ))).to_table()  # fmt: skip
    value, low, high = (np.ma.filled(found[c], np.nan) for c in ("number", "lowest", "highest"))
    known = np.asarray(found["abstained"]) == 0
    assert known.sum() > 50
    assert np.all((low[known] <= value[known]) & (value[known] <= high[known]))
    assert np.isnan(value[~known]).all()
    assert all(bool(r) for r in found["reason"][~known])


def test_taplint_finds_the_tables_described(tap: str):
    """Stages that look at tables and columns; all others are run on an archive without tags.

    It signs in by HTTP Basic: nothing here is public.
    """
    said = stilts("-Dstar.basicauth.user=who", f"-Dstar.basicauth.password={TOKEN}", "taplint",
                  f"tapurl={tap}", "report=EF", "stages=TMV TME TMS TMC CPV")  # fmt: skip
    assert not [line for line in said.splitlines() if line.startswith(("E-", "F-"))], said
