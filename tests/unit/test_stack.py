"""Stacks: the median of known spectra, levels, who is left out and why, samples, one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedding_cases import spectrum

import spectrarium as sp
from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.domain.observation import Observation
from spectrarium.domain.progress import Silent
from spectrarium.domain.spectrum import Normalisation, Spectrum
from spectrarium.measure.airvac import vac_to_air
from spectrarium.run import stack as stack_module
from spectrarium.run.compare import Comparison, compared
from spectrarium.run.levels import level_place, levelled
from spectrarium.run.members import Members, Wish
from spectrarium.run.stack import stacked

WAVE = 4000.0 * np.exp(np.arange(3000) * 1.5e-4)


def lined(wave: np.ndarray, at: float = 5000.0, depth: float = 0.5) -> np.ndarray:
    return 1.0 - depth * np.exp(-0.5 * ((wave - at) / (at * 4e-4)) ** 2)


def one(name: str, flux: np.ndarray, wave: np.ndarray = WAVE, **changes: Any) -> Spectrum:
    about = {"redshift": changes.pop("redshift", None), "t_min": changes.pop("t_min", None),
             "bjd_tdb": changes.pop("bjd_tdb", None)}  # fmt: skip
    return spectrum(wave, flux, observation=Observation("S", obs_id=name, **about), **changes)


def stored(folder: Path, spectra: Sequence[Spectrum]) -> Any:
    archive = sp.open(folder / "archive")
    report = archive.ingest(list(spectra), workers=0)
    assert report.stored == len(spectra)
    return archive.store


def test_the_median_of_known_spectra_at_their_levels(tmp_path: Path) -> None:
    """Levels a thousand times apart, a few cosmic rays, masked samples: the line comes out."""
    rng = np.random.default_rng(0)
    spectra = []
    for i in range(60):
        flux = lined(WAVE) * 10.0 ** rng.uniform(-17, -14)
        flux *= 1.0 + 0.02 * rng.normal(size=WAVE.size)
        flux[rng.integers(0, WAVE.size, 20)] *= 100.0
        flags = np.zeros(WAVE.size, np.int16)
        flags[1500:1520] = 1
        flux[1500:1520] = 1e3
        sigma = 0.02 * np.abs(np.median(flux))
        spectra.append(one(f"s{i}", flux, sigma=sigma, flags=flags))
    found = stacked(store := stored(tmp_path, spectra), store.find(), Wish(width=2000))
    assert found.about["used"] == 60
    assert found.about["medium"] == "vacuum"
    truth = lined(found.wave_aa) / np.median(lined(WAVE))
    there = np.isfinite(found.bands[2])
    masked = (found.wave_aa > WAVE[1501]) & (found.wave_aa < WAVE[1518])
    assert not there[masked].any()
    assert (found.count[masked] == 0).all()
    assert found.bands[2][there] == pytest.approx(truth[there], abs=0.025)
    widths = (found.bands[3] - found.bands[1])[there] / 2.0
    step = np.log(found.wave_aa[1] / found.wave_aa[0])  # wider than a sample: noise averages out
    assert np.median(widths) == pytest.approx(0.02 * np.sqrt(1.5e-4 / step), rel=0.25)
    assert found.error == pytest.approx(0.0)
    assert (np.diff(np.log(found.wave_aa)) > 0).all()


def test_air_and_vacuum_are_put_together_and_unknown_is_left_out(tmp_path: Path) -> None:
    in_air = vac_to_air(WAVE)
    spectra = [one(f"v{i}", lined(WAVE)) for i in range(6)]
    spectra += [one(f"a{i}", lined(WAVE), in_air, medium=Medium.AIR) for i in range(6)]
    spectra += [one("u", lined(in_air), in_air, medium=Medium.UNKNOWN)]
    found = stacked(store := stored(tmp_path, spectra), store.find(), Wish(width=3000))
    assert found.about["used"] == 12
    assert found.about["left_out"] == {"air or vacuum unknown": 1}
    assert found.wave_aa[np.nanargmin(found.bands[2])] == pytest.approx(5000.0, abs=0.8)
    assert np.nanmax(found.bands[4] - found.bands[0]) < 0.05  # the line of all is at one place


def test_all_of_an_unknown_medium_are_stacked_as_they_are(tmp_path: Path) -> None:
    spectra = [one(f"u{i}", lined(WAVE), medium=Medium.UNKNOWN) for i in range(5)]
    found = stacked(store := stored(tmp_path, spectra), store.find(), Wish())
    assert found.about["medium"] == "unknown"
    assert any("not known" in note for note in found.about["notes"])


def test_at_rest_lines_meet_and_who_has_no_redshift_is_left_out(tmp_path: Path) -> None:
    spectra = []
    for i, z in enumerate(np.linspace(0.0, 0.05, 8)):
        spectra.append(one(f"z{i}", lined(WAVE, 5000.0 * (1 + z)), redshift=float(z)))
    spectra.append(one("none", lined(WAVE)))
    spectra.append(one("lost", lined(WAVE), redshift=0.01, specsys=SpecSys.UNKNOWN))
    spectra.append(one("rest", lined(WAVE), specsys=SpecSys.SOURCE))
    store = stored(tmp_path, spectra)
    found = stacked(store, store.find(), Wish(width=3000, frame="rest"))
    assert found.about["left_out"] == {"no redshift or velocity": 1, "velocity frame unknown": 1}
    assert found.about["used"] == 9
    assert np.nanmin(found.bands[2]) < 0.56
    assert found.wave_aa[np.nanargmin(found.bands[2])] == pytest.approx(5000.0, abs=1.0)
    delivered = stacked(store, store.find(), Wish(width=3000))
    assert np.nanmin(delivered.bands[2]) > 0.6


def test_the_grid_reaches_where_half_of_the_members_do(tmp_path: Path) -> None:
    red = 6000.0 * np.exp(np.arange(1500) * 1.5e-4)
    spectra = [one(f"b{i}", lined(WAVE)) for i in range(8)]
    spectra += [one(f"r{i}", lined(red), red) for i in range(3)]
    spectra += [one("far", np.ones(500), np.linspace(20_000.0, 21_000.0, 500))]
    store = stored(tmp_path, spectra)
    found = stacked(store, store.find(), Wish())
    assert found.wave_aa[[0, -1]] == pytest.approx(WAVE[[0, -1]], rel=2e-3)
    assert found.about["used"] == 8
    assert found.about["left_out"]["covers none of the range"] == 1
    assert sum(found.about["left_out"].values()) == 4
    asked = stacked(store, store.find(), Wish(lo_aa=4800.0, hi_aa=5200.0))
    assert asked.wave_aa[0] >= 4799.0
    assert asked.wave_aa[-1] <= 5201.0
    with pytest.raises(UsageError) as told:
        stacked(store, store.find(), Wish(lo_aa=100.0, hi_aa=200.0))
    assert told.value.code == "nothing_to_stack"


def test_who_does_not_fit_is_counted_with_the_reason(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    spectra = [one(f"s{i}", lined(WAVE)) for i in range(6)]
    spectra.append(one("sky", 0.1 * rng.normal(size=WAVE.size)))
    spectra.append(one("below", -lined(WAVE)))
    spectra.append(one("normal", lined(WAVE), normalisation=Normalisation.CONTINUUM_DIVIDED))
    spectra.append(one("bad", np.full(WAVE.size, np.nan)))
    found = stacked(store := stored(tmp_path, spectra), store.find(), Wish())
    assert found.about["used"] == 6
    left = Counter(found.about["left_out"])
    assert left["no signal where levels are taken"] == 2
    assert left["flux of another kind than calibrated"] == 1
    assert sum(left.values()) == 4


def test_flux_of_unknown_unit_goes_with_most(tmp_path: Path) -> None:
    spectra = [one(f"c{i}", lined(WAVE), flux_unit="adu") for i in range(3)]
    spectra += [one(f"u{i}", lined(WAVE), flux_unit=None) for i in range(5)]
    spectra.append(one("f", lined(WAVE)))
    found = stacked(store := stored(tmp_path, spectra), store.find(), Wish())
    assert found.about["kind"] == "counts"
    assert found.about["used"] == 8
    assert any("unit of the flux is not known" in note for note in found.about["notes"])


def test_flux_per_frequency_is_brought_to_flux_per_wavelength(tmp_path: Path) -> None:
    flat = np.ones(WAVE.size)
    spectra = [one(f"l{i}", flat) for i in range(4)]
    spectra += [one(f"n{i}", WAVE**2, flux_unit="Jy", sigma=None) for i in range(4)]
    found = stacked(store := stored(tmp_path, spectra), store.find(), Wish())
    assert found.about["used"] == 8
    assert np.nanmax(np.abs(found.bands - 1.0)) < 2e-3


def test_without_levels_only_one_unit_goes_together(tmp_path: Path) -> None:
    spectra = [one(f"s{i}", 3.0 * np.ones(WAVE.size)) for i in range(4)]
    spectra.append(one("jy", np.ones(WAVE.size), flux_unit="Jy"))
    found = stacked(store := stored(tmp_path, spectra), store.find(), Wish(normalise="none"))
    assert found.bands[2] == pytest.approx(3.0)
    assert found.about["left_out"] == {"flux in another unit": 1}
    assert found.about["flux_unit"] == "erg / (s cm2 Angstrom)"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """600 spectra of 200 samples, noisy and of different slopes."""
    rng = np.random.default_rng(5)
    wave = 4000.0 * np.exp(np.arange(200) * 1e-3)
    slope = rng.normal(size=(600, 1)) * np.linspace(-0.3, 0.3, 200)
    flux = 1.0 + slope + 0.1 * rng.normal(size=(600, 200))
    return stored(tmp_path_factory.mktemp("many"), [one(f"m{i}", f, wave) for i, f in
                                                    enumerate(flux)])  # fmt: skip


def test_of_many_a_sample_answers_and_its_error_covers(
    many: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "AT_ONCE", 150)
    whole = stacked(many, many.find(), Wish(), exact=True)
    assert whole.about["exact"]
    assert whole.about["used"] == 600
    sample = stacked(many, many.find(), Wish())
    assert sample.about["sampled"] == 150
    assert not sample.about["exact"]
    assert (sample.error > 0).all()
    off = np.abs(sample.bands[2] - whole.bands[2]) / sample.error
    assert 0.5 < np.mean(off < 1.0) < 0.9
    assert np.mean(off < 3.0) > 0.97
    again = stacked(many, many.find(), Wish())
    assert again.bands == pytest.approx(sample.bands)


def test_more_than_memory_holds_passes_by(many: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stacked(many, many.find(), Wish(), exact=True)
    monkeypatch.setattr(stack_module, "AT_ONCE", 200)
    monkeypatch.setattr(stack_module, "MEMORY_BYTES", 1)
    monkeypatch.setattr(stack_module, "_CHUNK", 128)
    passing = stacked(many, many.find(), Wish(), exact=True)
    assert passing.about["used"] == whole.about["used"]
    assert (passing.count == whole.count).all()
    # no more than the distance of neighbouring values among 600
    assert passing.bands[1:4] == pytest.approx(whole.bands[1:4], abs=0.01)
    assert np.abs(passing.bands[2] - whole.bands[2]).mean() < 1e-3


def test_members_are_remembered_and_forgotten(many: Any) -> None:
    rows = many.find()[:100]
    members = Members(many, limit=200_000)
    first = stacked(many, rows, Wish(), members=members)
    assert 0 < members.nbytes <= 200_000
    again = stacked(many, rows, Wish(), members=members)
    assert again.bands == pytest.approx(first.bands)
    small = Members(many, limit=5000)
    assert stacked(many, rows, Wish(), members=small).bands == pytest.approx(first.bands)
    assert small.nbytes <= 5000


class Stopped(Silent):
    def cancelled(self) -> bool:
        return True


def test_a_stack_can_be_cancelled(many: Any) -> None:
    with pytest.raises(TransientError) as told:
        stacked(many, many.find(), Wish(), exact=True, progress=Stopped())
    assert told.value.code == "cancelled"


@pytest.mark.parametrize("wrong", [
    {"width": 1}, {"width": 10**6}, {"frame": "solar"}, {"normalise": "max"},
    {"lo_aa": 2.0, "hi_aa": 1.0},
])  # fmt: skip
def test_wishes_that_are_none_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError):
        Wish(**wrong)


def test_levels_are_taken_where_nearly_all_have_flux() -> None:
    from spectrarium.embed.domain import FluxKind

    rng = np.random.default_rng(0)
    values = (1.0 + 0.05 * rng.normal(size=(100, 400))).astype(np.float32)
    values *= 10.0 ** rng.uniform(-3, 3, (100, 1)).astype(np.float32)
    values[:60, :150] = np.nan
    values[0, 150:] = np.nan
    wave = 4000.0 * np.exp(np.arange(400) * 1e-3)
    place = level_place(values, wave, FluxKind.CALIBRATED)
    assert place.lo_aa == pytest.approx(wave[150])
    left: Counter[str] = Counter()
    firm, out = levelled(values, place, left)
    assert firm.sum() == 99
    assert +left == {"too little flux where levels are taken": 1}
    assert np.nanmedian(out, axis=1) == pytest.approx(1.0, abs=0.02)


# beside each other ----------------------------------------------------------------------------


def test_trailed_by_phase(tmp_path: Path) -> None:
    """A line that swings with a period of 3.7 days comes out as a sine in order of phase."""
    times = np.random.default_rng(2).uniform(0.0, 80.0, 40)
    spectra = []
    for i, t in enumerate(times):
        at = 5000.0 * (1.0 + 1e-3 * np.sin(2 * np.pi * t / 3.7))
        spectra.append(one(f"t{i}", lined(WAVE, at), bjd_tdb=2_455_000.0 + float(t)))
    store = stored(tmp_path, spectra)
    how = Comparison("trailed", "phase", period_d=3.7, epoch=2_455_000.0)
    found = compared(store, store.find(), Wish(width=3000), how)
    assert (np.diff(found.x) > 0).all()
    assert found.about["time"] == "BJD (TDB)"
    place = found.wave_aa[np.nanargmin(found.flux, axis=1)]
    assert place == pytest.approx(5000.0 * (1 + 1e-3 * np.sin(2 * np.pi * found.x)), abs=1.2)
    assert found.ids[0].startswith("S:t")


def test_ratios_are_over_the_median_and_unknown_times_come_last(tmp_path: Path) -> None:
    spectra = [one(f"r{i}", lined(WAVE), t_min=55_000.0 - i) for i in range(4)]
    spectra.append(one("odd", lined(WAVE, depth=0.9)))
    store = stored(tmp_path, spectra)
    found = compared(store, store.find(), Wish(width=2000), Comparison("ratio"))
    assert found.ids[-1] == "S:odd"
    assert np.isnan(found.x[-1])
    assert found.ids[0] == "S:r3"
    assert found.flux[0] == pytest.approx(1.0, abs=0.01)
    assert np.nanmin(found.flux[-1]) < 0.3
    assert any("come last" in note for note in found.about["notes"])


def test_comparisons_that_are_none_are_refused(many: Any) -> None:
    for wrong in ({"mode": "heap"}, {"order_by": "phase"}, {"order_by": "phase", "period_d": -1.0}):
        with pytest.raises(UsageError):
            Comparison(**wrong)
    rows = many.find()
    with pytest.raises(UsageError) as told:
        compared(many, rows[:61], Wish(), Comparison())
    assert told.value.code == "too_many"
    with pytest.raises(UsageError, match="words"):
        compared(many, rows[:3], Wish(), Comparison(order_by="obs_id"))
    with pytest.raises(UsageError) as told:
        compared(many, rows[:3], Wish(), Comparison(order_by="nope"))
    assert told.value.code == "no_column"
