"""One box: places as astronomers write them, ids, conditions, names, and what is none of these."""

from __future__ import annotations

import numpy as np
import pytest
from embedding_cases import spectrum
from hypothesis import given
from hypothesis import strategies as st

import spectrarium as sp
from spectrarium.domain.errors import UsageError
from spectrarium.domain.observation import Observation
from spectrarium.run.asked import Conditions, found
from spectrarium.run.columns import Columns
from spectrarium.run.positions import RADIUS_ARCSEC, place_in_name, place_of

WAVE = np.linspace(4000.0, 5000.0, 40)
ETA_CAR = (160.2583333, -59.6844444)
OBJECTS = (
    ("A", "a1", "HD 20619", 10.0, 20.0, 5.0), ("A", "a2", "HD 206190", 10.001, 20.0, 50.0),
    ("A", "a3", "<b>snr > 3</b>", None, None, None), ("B", "a1", "eta Car", *ETA_CAR, 80.0),
    ("B", "x:y", "snr > 4", 359.9999, 0.0, 90.0), ("B", "100% o'x_1", "Romeo and Juliet", 0.0001,
                                                  0.0, 10.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    root = tmp_path_factory.mktemp("asked")
    spectra = [
        spectrum(WAVE, np.ones(WAVE.size), observation=Observation(
            c, obs_id=i, target_name=t, s_ra=ra, s_dec=dec, snr=snr))
        for c, i, t, ra, dec, snr in OBJECTS
    ]  # fmt: skip
    archive = sp.open(root / "archive")
    archive.ingest(spectra, workers=0)
    return Columns(archive.store)


def ask(columns, q=None, **more):
    """(ids, how it was understood)."""
    answer = found(columns, Conditions(q, **more))
    table = columns.archive.catalogue(answer.rows, ["obs_collection", "obs_id"])
    return [f"{r['obs_collection']}:{r['obs_id']}" for r in table.to_pylist()], answer.asked


# places ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "10 41 02 -59 41 04", "10:41:02 -59:41:04", "10h41m02s -59d41m04s", "10h41m02s, −59°41′04″",
    "160.2583333 -59.6844444", "160.2583333,-59.6844444", "160.2583333deg -59.6844444deg",
    "  10 41 02.0 −59 41 04.0 ", "10:41:02-59:41:04",
])  # fmt: skip
def test_places_as_they_are_written(text):
    place = place_of(text)
    assert place.cone == pytest.approx((*ETA_CAR, RADIUS_ARCSEC / 3600), abs=2e-7)
    assert not place.radius_given


@pytest.mark.parametrize(("text", "arcsec"), [
    ("10 20 r=5", 5), ("10 20 r=5\"", 5), ("10 20, r = 2'", 120), ("10 20 radius=0.5deg", 1800),
    ("10 20 r=.5°", 1800), ("10 20 R=3arcmin", 180),
])  # fmt: skip
def test_radii(text, arcsec):
    assert place_of(text).radius_deg * 3600 == pytest.approx(arcsec)


@pytest.mark.parametrize("text", [
    "", "10", "10 20 30", "HD 1234", "1 2 3 4", "12 34 56", "snr > 3", "3C 273", "10 20 30 40 50",
    "1.2.3 4", "-10 41 02 -59 41 04", "10 41 02 - 59 41 04 3", "NGC 4-5", "1e5 20", "M 31",
])  # fmt: skip
def test_what_is_no_place(text):
    assert place_of(text) is None


@pytest.mark.parametrize("text", [
    "400 10", "-1 10", "10 91", "25 00 00 +10 00 00", "10 61 00 +10 00 00", "10 00 00 +91 00 00",
    "10 00 60 +10 00 00", "10 20 r=0", "10 20 r=500deg", "10 20 r=3parsec",
])  # fmt: skip
def test_places_that_there_are_not(text):
    with pytest.raises(UsageError) as told:
        place_of(text)
    assert told.value.code in ("bad_position", "bad_radius")


@given(st.floats(0, 359.999), st.floats(-89.9, 89.9))
def test_sexagesimal_and_degrees_agree(ra, dec):
    from astropy.coordinates import SkyCoord

    where = SkyCoord(ra, dec, unit="deg")
    for how in ({"sep": ":"}, {"sep": " "}, {}):
        place = place_of(where.to_string("hmsdms", precision=4, **how))
        got = SkyCoord(place.ra_deg % 360, place.dec_deg, unit="deg")
        assert got.separation(where).arcsec < 2e-3


def test_minus_zero_degrees():
    assert place_of("00 00 10 -00 30 00").dec_deg == pytest.approx(-0.5)


def test_a_designation_holds_a_place():
    for text in ("SDSS J104102.00-594104.0", "J104102-594104", "2MASS_J104102.0−594104"):
        assert place_in_name(text).cone[:2] == pytest.approx(ETA_CAR, abs=1e-6)
    assert place_in_name("HD 104102") is None


# the box --------------------------------------------------------------------------------------


def test_nothing_asked_is_everything(columns):
    for q in (None, "", "   "):
        ids, asked = ask(columns, q)
        assert len(ids) == len(OBJECTS)
        assert asked.kind == "all"


def test_ids(columns):
    assert ask(columns, "a2")[0] == ["A:a2"]
    assert ask(columns, "B:a1")[0] == ["B:a1"]
    assert ask(columns, "B:x:y")[0] == ["B:x:y"]
    ids, asked = ask(columns, "a1")
    assert ids == ["A:a1", "B:a1"]
    assert asked.kind == "id"
    assert "2 collections" in asked.note
    ids, asked = ask(columns, "100% o'x_1")
    assert ids == ["B:100% o'x_1"]
    assert ask(columns, where=asked.where)[0] == ids  # told as a condition that holds for it alone


def test_conditions(columns):
    ids, asked = ask(columns, "snr >= 50 and target_name like 'HD%'")
    assert ids == ["A:a2"]
    assert asked.kind == "filter"
    assert asked.where
    assert ask(columns, "class = 'STAR'")[0] == []
    assert ask(columns, "abs(gal_b) < 1")[0] == ["B:a1"]  # η Car lies in the plane


@pytest.mark.parametrize(("q", "word"), [
    ("snr >", "missing"), ("foo > 3", "foo"), ("snr = (select 1)", ""), ("snr > 1; drop", ""),
    ("target_name like 'HD%' and", "missing"), ("snr in (", ""), ("snr = 'a' = ", ""),
    ("target_name > 3 and snr > 'x'", ""), ("<script>", ""), ("snr > " + "9" * 20_001, "longer"),
    ("not not", ""), ("class = STAR", "STAR"),
])  # fmt: skip
def test_a_malformed_condition_is_never_taken_for_a_name(columns, q, word):
    with pytest.raises(UsageError) as told:
        ask(columns, q)
    assert told.value.code == "bad_filter"
    assert told.value.where == "q"
    assert word in told.value.what


def test_a_condition_goes_before_a_target_called_like_one(columns):
    assert ask(columns, "snr > 4")[1].kind == "filter"
    ids, asked = ask(columns, "<b>snr > 3</b>")  # no condition, and a target's very name
    assert (ids, asked.kind) == (["A:a3"], "target")


def test_names(columns):
    for q in ("HD 20619", "hd20619", "hd_2 0619"):
        ids, asked = ask(columns, q)
        assert ids == ["A:a1"]
        assert (asked.kind, asked.note) == ("target", "")
    ids, asked = ask(columns, "hd206")
    assert ids == ["A:a1", "A:a2"]
    assert "2 names" in asked.note
    assert ask(columns, "Romeo and Juliet")[0] == ["B:100% o'x_1"]
    assert ask(columns, "100%")[0] == ["B:100% o'x_1"]  # % is no wild card here


def test_nothing_like_it(columns):
    ids, asked = ask(columns, "HD 20691x")
    assert ids == []
    assert asked.kind == "nothing"
    assert "did you mean HD 20619" in asked.note
    assert ask(columns, "___")[1].kind == "nothing"


def test_positions(columns):
    ids, asked = ask(columns, "10 41 02 -59 41 04")
    assert (ids, asked.kind) == (["B:a1"], "position")
    assert ask(columns, "10 20 r=1arcmin")[0] == ["A:a1", "A:a2"]  # the nearest first
    assert ask(columns, "10.001 20 r=1arcmin")[0] == ["A:a2", "A:a1"]
    assert set(ask(columns, "0 0")[0]) == {"B:x:y", "B:100% o'x_1"}  # across 0 h
    ids, asked = ask(columns, "10 21")
    assert ids == []
    assert "nearest is 1° away" in asked.note


def test_all_conditions_hold(columns):
    near = (10.0, 20.0, 0.1)
    assert ask(columns, "snr > 20", cone=near)[0] == ["A:a2"]
    assert ask(columns, "hd", where="snr < 20")[0] == ["A:a1"]
    assert ask(columns, target="eta_car", where="snr > 1")[0] == ["B:a1"]
    assert ask(columns, cone=near, where="snr > 1000")[0] == []
    assert ask(columns, "10.001 20 r=1deg", where="snr > 1")[0] == ["A:a2", "A:a1"]
    for bad in ({"where": "snr >"}, {"cone": (10.0, 95.0, 1.0)}, {"target": "_"}):
        with pytest.raises(UsageError):
            ask(columns, **bad)
    with pytest.raises(UsageError) as told:
        ask(columns, where="snr >")
    assert told.value.where == "where"


def test_an_empty_archive(tmp_path):
    archive = sp.open(tmp_path / "a")
    archive.ingest([spectrum(WAVE, np.ones(WAVE.size))], workers=0)
    columns = Columns(archive.store)
    columns.rows = columns.rows[:0]  # as for somebody from whom everything is hidden
    for q, kind in (("", "all"), ("x", "nothing"), ("10 20", "position")):
        answer = found(columns, Conditions(q))
        assert len(answer.rows) == 0
        assert answer.asked.kind == kind
