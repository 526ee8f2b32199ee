"""The mock survey: the same seed gives the same sky, and its files can be read back."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from astropy.table import Table

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import UsageError
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.mock import MockSurvey, write_survey
from spectrarium.mock.oddities import ODDITIES
from spectrarium.read.registry import recognise
from spectrarium.read.source import ReadOptions, SourceFile

SMALL = MockSurvey(5, 24, 8, 5, 2, 20, 1)


@pytest.fixture(scope="module")
def small():
    return list(SMALL)


def test_numbers_and_classes(small):
    classes = Counter(s.truth.obj_class for s in small if not s.truth.oddity)
    assert classes == {"STAR": 25, "GALAXY": 8, "QSO": 5, "SKY": 2}
    assert Counter(s.truth.oddity for s in small if s.truth.oddity) == dict.fromkeys(ODDITIES, 2)
    assert len(small) == len(SMALL) == 60
    assert len({s.truth.object_id for s in small}) == 60


def test_the_same_seed_gives_the_same_spectra_whatever_the_numbers(small):
    again = {s.truth.object_id: s for s in MockSurvey(5, 3, 2, 1, 1, 11, 0)}
    first = {s.truth.object_id: s for s in small}
    assert set(again) < set(first)
    for key, spectrum in again.items():
        assert np.allclose(spectrum.exposure.flux, first[key].exposure.flux, rtol=1e-9, atol=1e-12)
        assert np.array_equal(spectrum.exposure.dead, first[key].exposure.dead)
        assert spectrum.truth.s_ra == first[key].truth.s_ra
    other = next(iter(MockSurvey(6, 1, 0, 0, 0, 0, 0)))
    assert not np.allclose(other.exposure.flux[:100], small[0].exposure.flux[:100])


def test_spectra_are_finite_and_good(small):
    for spectrum in small:
        exposure = spectrum.exposure
        assert np.isfinite(exposure.flux).all()
        assert np.isfinite(exposure.ivar).all()
        assert np.all(exposure.ivar[~exposure.dead] > 0)
        assert exposure.dead.mean() < 0.02
        if spectrum.truth.obj_class != "SKY":
            assert exposure.snr > 3


def test_faults_are_in_the_flux_and_not_in_the_errors(small):
    for spectrum in small:
        instrument, exposure = spectrum.instrument, spectrum.exposure
        if spectrum.truth.oddity == "bad_join":
            at = int(np.searchsorted(instrument.wave_vac_aa, instrument.join_aa))
            ratio = np.median(exposure.flux[at : at + 60]) / np.median(exposure.flux[at - 60 : at])
            assert abs(np.log(ratio)) > 0.25
        if spectrum.truth.oddity == "cosmic_rays":
            jumps = np.abs(np.diff(exposure.flux)) > 2 * np.median(np.abs(exposure.flux))
            assert jumps.sum() >= 6
            assert not exposure.dead[:-1][jumps].all()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("mock")
    return out, write_survey(out, survey=SMALL)


def test_truth_table_comes_back(written, small):
    out, path = written
    assert path == out / "truth.ecsv"
    table = Table.read(path, format="ascii.ecsv")
    assert len(table) == 60
    assert str(table["teff"].unit) == "K"
    assert table.meta["seed"] == 5
    for row, spectrum in zip(table, small, strict=True):
        assert row["object_id"] == spectrum.truth.object_id
        assert (row["oddity"] or "") == spectrum.truth.oddity
        assert row["snr"] == pytest.approx(spectrum.exposure.snr, rel=1e-6)
        assert (out / row["file"]).is_file()
    assert len(set(table["obs_id"])) == 60
    assert set(table["layout"]) == {"sdss", "lamost", "s1d", "ecsv", "csv"}


def test_every_file_is_read_back_as_it_was_made(written, small):
    out, path = written
    table = Table.read(path, format="ascii.ecsv")
    options = ReadOptions(collection="MOCK")
    for row, made in zip(table, small, strict=True):
        source = SourceFile.open(out / row["file"], options)
        items = list(recognise(source).read(source))
        assert len(items) == 1
        (spectrum,) = items
        assert isinstance(spectrum, Spectrum), spectrum
        assert spectrum.observation.obs_collection == "MOCK"
        assert spectrum.observation.obs_id == row["obs_id"]
        assert spectrum.observation.s_ra == pytest.approx(row["s_ra"], abs=1e-5)
        assert np.allclose(spectrum.flux, made.exposure.flux, rtol=1e-4, atol=1e-4)
        air = row["layout"] == "s1d"
        assert spectrum.axis.medium is (Medium.AIR if air else Medium.VACUUM)
        assert spectrum.axis.specsys is (SpecSys.BARYCENT if air else SpecSys.HELIOCEN)
        if air:
            assert spectrum.uncertainty_kind is UncertaintyKind.NONE
            continue
        assert np.allclose(spectrum.wave_aa, made.instrument.wave_vac_aa, rtol=2e-6)
        assert np.array_equal(spectrum.mask, made.exposure.dead)
        good = ~made.exposure.dead
        assert np.allclose(spectrum.ivar[good], made.exposure.ivar[good], rtol=1e-4)


def test_an_earlier_survey_is_not_overwritten_unasked(written):
    out, _ = written
    with pytest.raises(UsageError) as caught:
        write_survey(out, 5)
    assert caught.value.code == "exists"


def test_sizes_add_up():
    for n in (0, 1, 7, 50, 600, 5000):
        assert len(MockSurvey.of_size(n)) == n
    with pytest.raises(UsageError):
        MockSurvey(1, -1)


def test_pieces_make_what_the_whole_makes(small):
    """Any part of a survey alone is the same as in the whole: workers may share it out."""
    pieces = SMALL.pieces()
    assert sum(p.stop - p.first for p in pieces) == len(SMALL)
    first = {s.truth.object_id: s for s in small}
    for piece in pieces[::-1]:
        for spectrum in SMALL.make(piece):
            before = first[spectrum.truth.object_id]
            scale = np.abs(before.exposure.flux).max()
            assert np.allclose(spectrum.exposure.flux, before.exposure.flux, atol=1e-9 * scale)
            assert spectrum.truth.pipeline_z == before.truth.pipeline_z or np.isnan(
                spectrum.truth.pipeline_z
            )
    alone = next(SMALL.make(pieces[0]._replace(first=7, stop=8)))
    assert np.allclose(
        alone.exposure.flux, first[alone.truth.object_id].exposure.flux, rtol=1e-9, atol=1e-12
    )


def test_wrong_redshifts_are_in_the_catalogue_and_nowhere_else():
    """The catalogue confuses lines; the spectrum is a good one of its true redshift."""
    survey = MockSurvey(3, 20, 12, 8, 2, 0, 0, n_wrong_z=25)
    spectra = list(survey)
    good = [s.truth for s in spectra if not s.truth.oddity and np.isfinite(s.truth.z)]
    gap = [abs(t.pipeline_z - t.z) / (1 + t.z) for t in good]
    assert 0 < max(gap) < 0.006
    assert all(np.isnan(s.truth.pipeline_z) for s in spectra if s.truth.obj_class == "SKY")
    wrong = [s.truth for s in spectra if s.truth.oddity == "wrong_redshift"]
    assert len(wrong) == 25
    assert Counter(t.obj_class for t in wrong) == {"GALAXY": 15, "QSO": 10}
    for truth in wrong:
        assert truth.pipeline_z > 0
        assert abs(truth.pipeline_z - truth.z) / (1 + truth.z) > 0.2
    emission = next(
        s for s in spectra if s.truth.oddity and s.truth.subclass in ("starburst", "starforming")
    )
    wave, flux = emission.instrument.wave_vac_aa, emission.exposure.flux
    at = 6564.6 * (1 + emission.truth.z)
    if at < wave[-1] - 50:
        near = np.abs(wave - at) < 8
        around = (np.abs(wave - at) < 60) & ~near
        assert flux[near].max() > np.median(flux[around])
