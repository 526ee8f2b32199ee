"""One spectrum for drawing: extremes kept, samples exact where few, air and vacuum, orders."""

from __future__ import annotations

import numpy as np
import pytest
from embedding_cases import spectrum
from hypothesis import given
from hypothesis import strategies as st

import spectrarium as sp
from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.errors import UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import EchelleSpectrum, FlagScheme
from spectrarium.measure.airvac import air_to_vac
from spectrarium.run.opened import Samples, View, decimated, drawn, drawn_row, lines_listed


@given(n=st.integers(2, 3000), width=st.integers(1, 300), share=st.floats(0.0, 1.0),
       seed=st.integers(0, 20))  # fmt: skip
def test_columns_keep_the_extremes_of_good_samples(
    n: int, width: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    wave = np.sort(rng.uniform(4000.0, 5000.0, n))
    flux, bad = rng.normal(size=n), rng.random(n) < share
    flux[bad] = 1e9
    out, low, high = decimated(Samples(wave, flux, bad, None, np.arange(n)), width)
    assert len(out.wave) <= width
    assert (np.diff(out.wave) >= 0).all()
    if bad.all():
        assert np.isnan(high).all()
        assert np.isnan(low).all()
    else:
        assert np.nanmax(high) == flux[~bad].max()
        assert np.nanmin(low) == flux[~bad].min()
    assert out.bad.any() == bad.any()
    assert np.bitwise_or.reduce(out.flags) == np.bitwise_or.reduce(np.arange(n))
    there = ~np.isnan(low)
    assert (low[there] <= out.flux[there] + 1e-12).all()
    assert (out.flux[there] <= high[there] + 1e-12).all()


def test_a_spike_of_one_sample_shows_in_two_thousand_columns() -> None:
    flux = np.ones(313_156)
    flux[123_456] = 50.0
    found = drawn(spectrum(np.linspace(3780.0, 6910.0, flux.size), flux, None), View())
    assert found.hi is not None
    assert np.nanmax(found.hi) == 50.0
    assert found.table().num_rows == 2000
    assert not found.about["exact"]
    assert found.about["n"] == 313_156


def test_few_samples_are_sent_as_they_are_masked_ones_too() -> None:
    wave = np.linspace(4000.0, 5000.0, 900)
    flux = np.random.default_rng(0).normal(1.0, 0.1, 900)
    flux[[3, 40]] = np.nan, np.inf
    flags = np.zeros(900, np.int32)
    flags[100] = 4
    one = spectrum(wave, flux, flags=flags, flag_scheme=FlagScheme("Q", {2: "COSMIC"}))
    found = drawn(one, View(width=225))
    table = found.table()
    assert found.about["exact"]
    assert table.column("lo").null_count == 900
    assert table.column("wave_aa").to_numpy() == pytest.approx(wave)
    assert table.column("flux").to_numpy() == pytest.approx(flux.astype(np.float32), nan_ok=True)
    assert np.flatnonzero(table.column("masked").to_numpy()).tolist() == [3, 40, 100]
    assert table.column("flags")[100].as_py() == 4
    assert table.column("sigma")[5].as_py() == pytest.approx(0.1)
    assert found.about["flag_bits"] == {"2": "COSMIC"}
    assert not drawn(one, View(width=224)).about["exact"]


def test_unknown_errors_and_flags_are_null() -> None:
    table = drawn(spectrum(np.linspace(1.0, 2.0, 50), np.ones(50), None), View()).table()
    assert table.column("sigma").null_count == 50
    assert table.column("flags").null_count == 50


def test_descending_and_unsorted_axes_come_ascending() -> None:
    wave = np.linspace(4000.0, 5000.0, 300)
    for order in (np.arange(300)[::-1], np.random.default_rng(0).permutation(300)):
        found = drawn(spectrum(wave[order], wave[order] * 2.0), View()).samples
        assert (np.diff(found.wave) > 0).all()
        assert found.flux == pytest.approx(2.0 * found.wave)


@pytest.mark.parametrize(("have", "want"), [("air", "vacuum"), ("vacuum", "air")])
def test_air_and_vacuum_move_a_line_by_what_they_must(have: str, want: str) -> None:
    """Hα lies at 6562.79 Å in air (IAU), 6564.61 Å in vacuum."""
    places = {"air": 6562.79, "vacuum": 6564.61}
    wave = np.linspace(6500.0, 6620.0, 2401)
    flux = np.exp(-0.5 * ((wave - places[have]) / 0.8) ** 2)
    found = drawn(spectrum(wave, flux, medium=Medium(have)), View(medium=want))
    peak = found.samples.wave[np.argmax(found.samples.flux)]
    assert peak == pytest.approx(places[want], abs=0.06)
    assert found.about["medium"] == want
    assert found.about["delivered_medium"] == have
    assert drawn(spectrum(wave, flux, medium=Medium(have)), View()).about["medium"] == have


def test_an_unknown_medium_stays_unknown() -> None:
    one = spectrum(np.linspace(6500.0, 6600.0, 50), np.ones(50), medium=Medium.UNKNOWN)
    assert drawn(one, View()).about["medium"] == "unknown"
    with pytest.raises(UsageError) as told:
        drawn(one, View(medium="vacuum"))
    assert told.value.code == "unknown_medium"


def echelle() -> EchelleSpectrum:
    wave = np.stack([np.linspace(5000.0, 5100.0, 200), np.linspace(5080.0, 5180.0, 200)])
    flux = np.stack([np.ones(200), np.full(200, 2.0)])
    return EchelleSpectrum(
        axis=SpectralAxis("Angstrom", values=wave, medium=Medium.AIR, specsys=SpecSys.TOPOCENT),
        flux=flux, observation=Observation("E", obs_id="e1"), provenance=Provenance("m", "t"),
        order_numbers=(90, 89),
    )  # fmt: skip


def test_orders_meet_in_the_middle_of_their_overlap_and_are_whole_alone() -> None:
    found = drawn(echelle(), View())
    assert (np.diff(found.samples.wave) > 0).all()
    assert found.samples.flux[found.samples.wave < 5090.0] == pytest.approx(1.0)
    assert found.samples.flux[found.samples.wave > 5090.0] == pytest.approx(2.0)
    assert found.about["orders"] == 2
    assert found.about["order_numbers"] == [90, 89]
    second = drawn(echelle(), View(order=1)).samples
    assert second.wave[[0, -1]] == pytest.approx([5080.0, 5180.0])
    for order, one in ((2, echelle()), (0, spectrum(np.arange(1.0, 50.0), np.ones(49)))):
        with pytest.raises(UsageError, match="order"):
            drawn(one, View(order=order))


@pytest.mark.parametrize("wrong", [
    {"width": 0}, {"width": 10**6}, {"smooth": -1.0}, {"smooth": 1e4}, {"medium": "water"},
    {"lo_aa": 5.0, "hi_aa": 4.0}, {"lo_aa": -1.0},
])  # fmt: skip
def test_views_that_are_none_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError):
        View(**wrong)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> sp.Archive:
    """A long spectrum in air, a short one with a gap, an echelle."""
    archive = sp.open(tmp_path_factory.mktemp("opened") / "a")
    wave = 4000.0 * np.exp(np.arange(60_000) * 1e-5)
    flux = np.random.default_rng(0).normal(1.0, 0.1, wave.size)
    gap = np.concatenate([np.arange(4000.0, 4500.0), np.arange(6000.0, 6500.0)])
    archive.ingest([
        spectrum(wave, flux, medium=Medium.AIR, observation=Observation("T", obs_id="long")),
        spectrum(gap, np.ones(1000), observation=Observation("T", obs_id="gap")), echelle(),
    ], workers=0)  # fmt: skip
    return archive


@pytest.mark.parametrize("view", [
    View(lo_aa=5000.0, hi_aa=5010.0), View(lo_aa=5000.0, hi_aa=5050.0, smooth=6.0),
    View(lo_aa=5000.0, hi_aa=5500.0, width=100), View(lo_aa=7000.0), View(hi_aa=4100.0, smooth=2.0),
    View(lo_aa=5000.0, hi_aa=5010.0, medium="vacuum"), View(lo_aa=1.0, hi_aa=1e5, width=300),
])  # fmt: skip
def test_a_window_from_tiles_is_that_of_the_whole(stored: sp.Archive, view: View) -> None:
    store = stored.store
    row = store.resolve("T:long")
    found, whole = drawn_row(store, row, view), drawn(store.read("T:long"), view, "T:long")
    for a, b in ((found.samples.wave, whole.samples.wave), (found.samples.flux, whole.samples.flux),
                 (found.samples.sigma, whole.samples.sigma)):  # fmt: skip
        assert a == pytest.approx(b, nan_ok=True)
    assert found.about["n"] == whole.about["n"] == 60_000
    assert found.about["first_aa"] == pytest.approx(whole.about["first_aa"])
    assert found.about["exact"] == whole.about["exact"]
    assert found.about["id"] == "T:long"


def test_a_window_in_a_gap_or_outside_holds_nothing_and_is_no_error(stored: sp.Archive) -> None:
    row = stored.store.resolve("T:gap")
    for lo, hi in ((5000.0, 5100.0), (9000.0, 9100.0)):
        found = drawn_row(stored.store, row, View(lo_aa=lo, hi_aa=hi))
        assert found.table().num_rows == 0
        assert found.about["first_aa"] == pytest.approx(4000.0)


def test_an_order_of_a_stored_echelle(stored: sp.Archive) -> None:
    row = stored.store.resolve("E:e1")
    found = drawn_row(stored.store, row, View(order=1, lo_aa=5100.0, hi_aa=5110.0))
    assert found.samples.flux == pytest.approx(2.0)
    assert found.about["orders"] == 2


def test_lines_have_both_wavelengths() -> None:
    lines = lines_listed(6560.0, 6570.0)
    assert [line["name"] for line in lines] == ["H_alpha"]
    assert lines[0]["wave_air_aa"] == pytest.approx(6562.8, abs=0.05)
    everything = lines_listed()
    assert [x["wave_vac_aa"] for x in everything] == sorted(x["wave_vac_aa"] for x in everything)
    vacuum = air_to_vac(np.array([x["wave_air_aa"] for x in everything]), outside="keep")
    assert vacuum == pytest.approx([x["wave_vac_aa"] for x in everything], abs=1e-3)
