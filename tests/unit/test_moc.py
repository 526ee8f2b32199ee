"""Coverage maps hold what was observed, at an order that keeps them small."""

from __future__ import annotations

import io
import json
from itertools import pairwise

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from astropy.io import fits
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC, FrequencyMOC, TimeMOC

from spectrarium.domain.errors import UsageError
from spectrarium.publish import moc as m
from spectrarium.store.sky import healpix29

C_M_S = 299_792_458.0


def positions(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def test_every_position_is_inside_and_few_places_without_one():
    ra, dec = positions(3000)
    moc = m.space_moc(healpix29(ra, dec))
    assert moc.max_order == m.SPACE_ORDER
    assert moc.contains_lonlat(Longitude(ra, u.deg), Latitude(dec, u.deg)).all()
    assert moc.sky_fraction <= 3000 / (12 * 4**m.SPACE_ORDER)


def test_a_map_that_would_be_large_is_coarser():
    ra, dec = positions(20_000)
    cells = healpix29(ra, dec)
    moc = m.space_moc(cells, most=500)
    assert moc.max_order < m.SPACE_ORDER
    assert moc.contains_lonlat(Longitude(ra, u.deg), Latitude(dec, u.deg)).all()
    assert len(moc.to_depth29_ranges) <= 500
    assert m.space_moc(cells, order=9).max_order == 9


def test_positions_that_are_unknown_cover_nothing():
    assert m.space_moc(np.array([-1, -1])).empty()
    assert m.cones_moc(np.array([np.nan]), np.array([1.0]), 0.1).empty()


def test_circles_reach_as_far_as_they_say():
    ra, dec = np.array([10.0, 10.0, 200.0]), np.array([-30.0, -30.0, 80.0])
    moc = m.cones_moc(ra, dec, 0.5)
    area = 2 * (1 - np.cos(np.radians(0.5))) / 2  # of the sphere, two circles
    assert moc.sky_fraction == pytest.approx(area, rel=0.2)
    assert moc.sky_fraction >= area
    inside = moc.contains_lonlat([10.0, 10.0] * u.deg, [-30.49, -31.2] * u.deg)
    assert inside.tolist() == [True, False]


def test_circles_around_too_many_positions_are_refused(monkeypatch):
    monkeypatch.setattr(m, "CONES_MOST", 10)
    with pytest.raises(UsageError, match="too many"):
        m.cones_moc(*positions(11), 0.1)


def test_times_are_counted_in_tcb():
    """58000.0 UTC is 58000.00103 TCB: 90 s that a map of seconds must not lose."""
    start = np.array([58000.0, np.nan, 59000.0])
    end = np.array([58000.5, 58001.0, np.nan])
    moc = m.time_moc(start, end)
    inside = Time([58000.00001, 58000.49999, 58000.5001, 59000.0], format="mjd", scale="utc").tcb
    assert moc.contains(inside).tolist() == [True, True, False, True]
    assert moc.total_duration.sec == pytest.approx(43200, abs=5)
    assert Time(moc.min_time, scale="tcb").utc.mjd == pytest.approx(58000.0, abs=2 / 86400)


def test_many_short_exposures_are_told_in_longer_stretches(monkeypatch):
    monkeypatch.setattr(m, "CELLS_MOST", 100)
    start = 50_000 + np.arange(3000) * 0.37
    moc = m.time_moc(start, start + 0.01)
    assert moc.max_order < m.TIME_ORDER
    assert moc.contains(Time(start + 0.005, format="mjd", scale="utc").tcb).all()
    assert m.time_moc(start, start + 0.01, order=30).max_order == 30


def test_frequencies_are_those_of_the_wavelengths():
    moc = m.spectral_moc(np.array([400e-9, np.nan]), np.array([700e-9, 1e-6]))
    nm = np.array([399.0, 401.0, 699.0, 701.0])
    assert moc.contains(C_M_S / (nm * 1e-9) * u.Hz).tolist() == [False, True, True, False]
    assert moc.min_freq.to_value("Hz") == pytest.approx(C_M_S / 700e-9, rel=2e-4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), max_size=30), st.integers(1, 8))
def test_few_intervals_cover_all(pairs, most):
    lo = np.array([a for a, _ in pairs])
    hi = np.array([a + b for a, b in pairs])
    found = m.few(lo, hi, most)
    assert len(found) <= most
    assert all(a <= b for a, b in found)
    assert all(b < c for (_, b), (c, _) in pairwise(found))
    assert all(any(a <= x and y <= b for a, b in found) for x, y in zip(lo, hi, strict=True))


@pytest.mark.parametrize(("made", "kind"), [
    (m.space_moc(healpix29(*positions(50))), MOC),
    (m.time_moc(np.array([58000.0]), np.array([58001.0])), TimeMOC),
    (m.spectral_moc(np.array([4e-7]), np.array([7e-7])), FrequencyMOC),
    (m.space_moc(np.array([-1])), MOC),
    (m.time_moc(np.array([np.nan]), np.array([np.nan])), TimeMOC),
    (m.spectral_moc(np.array([]), np.array([])), FrequencyMOC),
])  # fmt: skip
def test_all_forms_come_back(made, kind, tmp_path):
    path = tmp_path / "moc.fits"
    path.write_bytes(m.moc_bytes(made, "fits"))
    assert kind.load(path, "fits") == made
    assert kind.from_json(json.loads(m.moc_bytes(made, "json"))) == made
    assert kind.from_string(m.moc_bytes(made, "ascii").decode()) == made
    with fits.open(io.BytesIO(path.read_bytes())) as hdus:
        hdus.verify("exception")
        dimension = {MOC: "SPACE", TimeMOC: "TIME", FrequencyMOC: "FREQUENCY"}[kind]
        assert hdus[1].header["MOCDIM"] == dimension
