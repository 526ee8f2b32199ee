"""Spectrum.to_specutils: units, kinds, masks, and what an axis cannot hold."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from astropy import nddata
from astropy import units as u

import spectrarium as sp
from spectrarium.domain.axis import Medium, Scale, SpecSys, SpectralAxis
from spectrarium.domain.errors import DataError, UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import EchelleSpectrum, FlagScheme, Spectrum, UncertaintyKind

specutils = pytest.importorskip("specutils", reason="specutils is an extra")
N = 50


def make(wave=None, unit="Angstrom", scale=Scale.LINEAR, **changes):
    wave = np.linspace(4000.0, 4100.0, N) if wave is None else wave
    fields = {
        "axis": SpectralAxis(unit=unit, values=wave, scale=scale, medium=Medium.AIR,
                             specsys=SpecSys.BARYCENT),
        "flux": np.arange(1, N + 1, dtype="f4"), "flux_unit": "1e-17 erg s-1 cm-2 Angstrom-1",
        "observation": Observation(obs_collection="T", obs_id="x", metadata={"teff": 5000}),
        "provenance": Provenance(path="/in.fits", reader="test", warnings=("odd",)),
    }  # fmt: skip
    return Spectrum(**(fields | changes))


def test_flux_axis_unit_and_meta():
    found = make().to_specutils()
    assert isinstance(found, specutils.Spectrum)
    assert found.flux.unit == u.Unit("1e-17 erg s-1 cm-2 Angstrom-1")
    assert found.flux.value.tobytes() == np.arange(1, N + 1, dtype="f4").tobytes()
    assert found.spectral_axis.unit == u.AA
    np.testing.assert_array_equal(found.spectral_axis.value, np.linspace(4000.0, 4100.0, N))
    assert (found.meta["medium"], found.meta["specsys"]) == ("air", "BARYCENT")
    assert found.meta["observation"]["metadata"] == {"teff": 5000}
    assert found.meta["provenance"]["warnings"] == ("odd",)
    assert found.uncertainty is None
    assert not found.mask.any()
    assert "dropped_pixels" not in found.meta


@pytest.mark.parametrize(
    ("kind", "cls", "power"),
    [
        (UncertaintyKind.STD, nddata.StdDevUncertainty, 1),
        (UncertaintyKind.VAR, nddata.VarianceUncertainty, 2),
        (UncertaintyKind.IVAR, nddata.InverseVariance, -2),
    ],
)
def test_uncertainty_keeps_its_kind_numbers_and_unit(kind, cls, power):
    sigma = np.linspace(0.5, 2, N).astype("f4")
    found = make(uncertainty=sigma, uncertainty_kind=kind).to_specutils()
    assert type(found.uncertainty) is cls
    assert found.uncertainty.array.tobytes() == sigma.tobytes()
    assert found.uncertainty.unit == found.flux.unit**power


@pytest.mark.parametrize(("unit", "said"), [("", ""), (None, "unknown"), ("furlongs!", "unknown")])
def test_no_unit_is_dimensionless_and_says_why(unit, said):
    found = make(flux_unit=unit).to_specutils()
    assert found.flux.unit == u.dimensionless_unscaled
    assert found.meta["flux_unit"] == said


def test_mask_and_flags():
    flags = np.zeros(N, "i4")
    flags[4], flags[5] = 1, 2
    ivar = np.ones(N)
    ivar[9] = 0
    scheme = FlagScheme("S", {0: "BAD", 1: "NOTE"}, 1)
    found = make(uncertainty=ivar, uncertainty_kind=UncertaintyKind.IVAR, flags=flags,
                 flag_scheme=scheme, extras={"sky": np.arange(N)}).to_specutils()  # fmt: skip
    assert list(np.flatnonzero(found.mask)) == [4, 9]
    assert np.array_equal(found.meta["flags"], flags)
    assert found.meta["flag_scheme"] == scheme
    assert np.array_equal(found.meta["extras"]["sky"], np.arange(N))


@pytest.mark.parametrize("falling", [False, True])
def test_pixels_without_a_place_on_the_axis_are_dropped_and_counted(falling):
    wave = np.linspace(4000.0, 4100.0, N)[:: -1 if falling else 1].copy()
    wave[[0, 1, -1]] = 0.0, -1.0, np.nan
    flags = np.zeros(N, "i4")
    flags[10] = flags[20] = 1
    wave[10] = 4500.0  # a fill value in a flagged pixel; pixel 20 is bad where it should be
    found = make(wave, flags=flags, flag_scheme=FlagScheme("S", {}, None)).to_specutils()
    assert found.meta["dropped_pixels"] == 4
    kept = [i for i in range(N) if i not in (0, 1, 10, N - 1)]
    assert list(found.flux.value) == [i + 1 for i in kept]
    assert found.mask[kept.index(20)]
    assert np.count_nonzero(found.mask) == 1
    assert len(found.meta["flags"]) == len(kept)


def test_usable_wavelengths_out_of_order_are_an_error():
    wave = np.linspace(4000.0, 4100.0, N)
    wave[20] = 4001.0
    with pytest.raises(DataError) as caught:
        make(wave).to_specutils()
    assert caught.value.code == "not_monotonic"


def test_log_and_frequency_axes_become_aa():
    logs = make(np.linspace(3.6, 3.7, N), scale=Scale.LOG10).to_specutils()
    np.testing.assert_allclose(logs.spectral_axis.value, 10 ** np.linspace(3.6, 3.7, N), rtol=1e-15)
    ghz = make(np.linspace(100.0, 101.0, N), unit="GHz").to_specutils()
    expected = (np.linspace(100.0, 101.0, N) * u.GHz).to_value(u.AA, u.spectral())
    np.testing.assert_allclose(ghz.spectral_axis.value, expected, rtol=1e-13)


def test_orders_become_a_list():
    wave = np.stack([np.linspace(4000 + 80 * i, 4100 + 80 * i, N) for i in range(3)])
    wave[1] = 0.0  # an order without a solution
    flux = np.arange(3.0 * N).reshape(3, N)
    found = EchelleSpectrum(
        axis=SpectralAxis(unit="Angstrom", values=wave), flux=flux, order_numbers=(9, 8, 7),
        trace="A", flux_unit="adu", observation=Observation(obs_collection="T"),
        provenance=Provenance(path="/in", reader="test"),
    ).to_specutils()  # fmt: skip
    assert isinstance(found, specutils.SpectrumList)
    assert [one.meta["order"] for one in found] == [9, 7]
    assert found[1].flux.unit == u.adu
    np.testing.assert_array_equal(found[1].flux.value, flux[2])


def test_integers_become_floats():
    found = make(flux=np.arange(N, dtype="i2"), flux_unit="ct").to_specutils()
    assert found.flux.dtype == np.float64
    assert found.flux.unit == u.ct


def test_without_specutils_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "specutils", None)
    with pytest.raises(UsageError) as caught:
        make().to_specutils()
    assert caught.value.code == "missing_extra"
    assert "spectrarium[specutils]" in caught.value.remedy


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "sdss_boss_pool/raw_examples/spec-0266-51602-0031.fits.gz",
        "ondrejov_ccd700/raw/a201402030013.fits",
        "lamost_lrs_pool/raw_examples/spec-55859-F5902_sp01-001_dr7.fits.gz",
        "calspec_standards/raw_examples/10lac_stis_007.fits.gz",
        "desi_coadds/raw/coadd-sv3-dark-26065.fits.gz",
    ],
)
def test_real_spectra(data_dir, name):
    from spectrarium.read.registry import read_source
    from spectrarium.read.source import SourceFile

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        items = list(read_source(SourceFile.open(data_dir / name)))
        spectra = [one for one in items if isinstance(one, sp.Spectrum)]
        assert spectra
        for one in spectra:
            found = one.to_specutils()
            assert np.array_equal(found.flux.value, one.flux, equal_nan=True)
            assert np.array_equal(found.mask, one.mask)
            assert np.array_equal(found.spectral_axis.value, one.wave_aa)
