"""IRAF images of every dialect, and other FITS images with a spectral axis."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from spectrarium.domain.axis import LinearWCS, Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import EchelleSpectrum, FluxCalibration, Spectrum, UncertaintyKind
from spectrarium.read import iraf
from spectrarium.read.check import check
from spectrarium.read.iraf_wcs import parse_spec
from spectrarium.read.registry import GENERIC, LIKELY, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile

IRAF, IMAGE = iraf.READERS
ZOO = "format_zoo/raw"


def build(data: Any, **cards: Any) -> bytes:
    """A FITS file of one image; ``__`` in a keyword's name stands for ``-``."""
    header = fits.Header()
    for key, value in cards.items():
        header[key.replace("__", "-")] = value
    out = io.BytesIO()
    fits.PrimaryHDU(np.asarray(data), header).writeto(out)
    return out.getvalue()


def wat_cards(axis: int, text: str) -> dict[str, str]:
    return {
        f"WAT{axis}_{i + 1:03d}": text[at : at + 68] for i, at in enumerate(range(0, len(text), 68))
    }


def multispec_file(data: Any, specs: list[str], **cards: Any) -> bytes:
    text = "wtype=multispec " + " ".join(f'spec{i + 1} = "{s}"' for i, s in enumerate(specs))
    base: dict[str, Any] = {
        "WCSDIM": 2, "CTYPE1": "MULTISPE", "CTYPE2": "MULTISPE", "CD1_1": 1.0, "CD2_2": 1.0,
        "LTM1_1": 1.0, "LTM2_2": 1.0, "WAT0_001": "system=multispec",
        "WAT1_001": "wtype=multispec label=Wavelength units=Angstroms",
    }  # fmt: skip
    return build(data, **(base | wat_cards(2, text) | cards))


def items(content: bytes | SourceFile, reader: Any = IRAF, **options: Any) -> list[Any]:
    source = content if isinstance(content, SourceFile) else SourceFile(
        "made.fits", content, options=ReadOptions(**options))  # fmt: skip
    assert reader.recognise(source)
    return list(reader.read(source))


def spectrum(content: bytes | SourceFile, reader: Any = IRAF, **options: Any) -> Spectrum:
    (only,) = items(content, reader, **options)
    assert isinstance(only, Spectrum), only
    return only


FLUX = np.linspace(1.0, 2.0, 100, dtype=np.float32)
ANGSTROM = {"WAT0_001": "system=equispec",
            "WAT1_001": "wtype=linear label=Wavelength units=angstroms"}  # fmt: skip


# ---------------------------------------------------------------- linear and log-linear


def test_linear_agrees_with_astropy_wcs() -> None:
    content = build(FLUX, CTYPE1="LINEAR", CRVAL1=4200.0, CD1_1=1.25, CRPIX1=11.0, DC__FLAG=0,
                    **ANGSTROM)  # fmt: skip
    s = spectrum(content)
    wcs = WCS(fits.Header({"CTYPE1": "LINEAR", "CRVAL1": 4200.0, "CDELT1": 1.25, "CRPIX1": 11.0,
                           "NAXIS": 1, "NAXIS1": 100}))  # fmt: skip
    np.testing.assert_allclose(s.wave_aa, wcs.all_pix2world(np.arange(100), 0)[0], rtol=1e-15)
    assert s.axis.wcs == LinearWCS(4200.0, 1.25, 11.0, 100)
    assert s.flux.dtype == np.float32
    np.testing.assert_array_equal(s.flux, FLUX)
    assert s.axis.medium is Medium.UNKNOWN
    assert s.axis.specsys is SpecSys.UNKNOWN
    assert s.uncertainty_kind is UncertaintyKind.NONE


@pytest.mark.parametrize("ctype", ["LINEAR", "PIXEL", "LAMBDA"])
def test_log_linear_is_not_taken_for_angstrom(ctype: str) -> None:
    s = spectrum(build(FLUX, CTYPE1=ctype, CRVAL1=3.5682, CDELT1=1e-4, DC__FLAG=1))
    assert s.axis.scale is Scale.LOG10
    assert s.axis.wcs == LinearWCS(3.5682, 1e-4, 1.0, 100)
    assert s.wave_aa[0] == pytest.approx(10**3.5682)
    assert s.wave_aa[99] == pytest.approx(10 ** (3.5682 + 99e-4))


def test_older_headers_with_w0_and_wpc() -> None:
    s = spectrum(build(FLUX, DC__FLAG=0, W0=5000.0, WPC=0.5))
    assert s.wave_aa[[0, 99]].tolist() == [5000.0, 5049.5]


def test_log_linear_with_a_linear_crval_is_refused() -> None:
    (error,) = items(build(FLUX, CTYPE1="LINEAR", CRVAL1=3700.0, CDELT1=1.0, DC__FLAG=1))
    assert isinstance(error, DataError)
    assert error.code == "bad_dispersion"


@pytest.mark.parametrize(
    "cards",
    [
        {"DC__FLAG": -1, "CRVAL1": 1.0, "CDELT1": 1.0},
        {"WAT0_001": "system=equispec", "WAT1_001": "wtype=linear label=Pixel"},
        {"APNUM1": "1 1 3. 8.", "CRVAL1": 1.0, "CDELT1": 1.0, "CTYPE1": "PIXEL"},
    ],
)
def test_uncalibrated_pixels_have_no_wavelength(cards: dict[str, Any]) -> None:
    (error,) = items(build(FLUX, **cards))
    assert isinstance(error, DataError)
    assert error.code == "no_dispersion"
    assert "calibrate" in error.remedy
    assert error.hdu == 0


# ---------------------------------------------------------------- units


def test_assumed_angstrom_is_noted_and_a_declaration_wins() -> None:
    content = build(FLUX, CTYPE1="LINEAR", CRVAL1=1000.0, CDELT1=1.0, DC__FLAG=0)
    s = spectrum(content)
    assert s.axis.unit == "Angstrom"
    assert "wavelength unit assumed: Angstrom (IRAF default)" in s.provenance.warnings
    s = spectrum(content, wave_unit="nm")
    assert s.axis.unit == "nm"
    assert s.wave_aa[0] == pytest.approx(10_000.0)
    assert not [w for w in s.provenance.warnings if "assumed" in w]


def test_implausible_numbers_need_a_declared_unit() -> None:
    content = build(FLUX, CTYPE1="LINEAR", CRVAL1=0.5, CDELT1=0.001, DC__FLAG=0)
    (error,) = items(content)
    assert error.code == "no_wave_unit"
    assert "--wave-unit" in error.remedy
    assert spectrum(content, wave_unit="um").wave_aa[0] == pytest.approx(5000.0)


def test_wat_units_go_before_a_stray_cunit_and_options() -> None:
    s = spectrum(build(FLUX, CUNIT1="deg", CRVAL1=4000.0, CD1_1=2.0, DC__FLAG=0, **ANGSTROM),
                 wave_unit="nm")  # fmt: skip
    assert s.wave_aa[0] == 4000.0


def test_a_unit_of_something_else_is_not_overruled_by_the_default() -> None:
    content = build(FLUX, CTYPE1="LINEAR", CUNIT1="pixel", CRVAL1=4e3, CDELT1=1.0, DC__FLAG=0)
    (error,) = items(content)
    assert error.code == "no_wave_unit"
    s = spectrum(content, wave_unit="Angstrom")
    assert any("CUNIT1" in w for w in s.provenance.warnings)


def test_lone_a_in_a_flux_unit_is_angstrom_not_ampere() -> None:
    s = spectrum(build(FLUX, CRVAL1=4000.0, CD1_1=2.0, DC__FLAG=0, BUNIT="erg/cm2/s/A", CA__FLAG=0,
                       **ANGSTROM))  # fmt: skip
    assert s.flux_unit is not None
    assert "Angstrom" in s.flux_unit
    assert s.flux_calibration is FluxCalibration.ABSOLUTE


def test_a_power_of_ten_that_the_values_contradict_is_not_believed() -> None:
    cards = {"CRVAL1": 4000.0, "CD1_1": 2.0, "DC__FLAG": 0, "BUNIT": "1E-17 erg/cm^2/s/Ang",
             **ANGSTROM}  # fmt: skip
    assert spectrum(build(FLUX * 30, **cards)).flux_unit is not None
    s = spectrum(build(FLUX * 1e-16, **cards))
    assert s.flux_unit is None
    assert any("contradicts" in w for w in s.provenance.warnings)


# ---------------------------------------------------------------- multispec functions

P = np.arange(1.0, 257.0)
N = (P - 128.5) / 127.5  # specwcs: n for pmin 1, pmax 256


def wave_of(spec: str, **cards: Any) -> np.ndarray:
    s = spectrum(multispec_file(np.ones((1, 256), np.float32), [spec], **cards))
    return s.wave_aa.reshape(-1)


def test_multispec_linear_with_doppler_factor() -> None:
    z = 1.5e-4
    got = wave_of(f"1 113 0 4955.44287109375 0.0503 256 {z} 23.22 31.27")
    np.testing.assert_allclose(got, (4955.44287109375 + 0.0503 * (P - 1)) / (1 + z), rtol=1e-14)


def test_multispec_log_linear_divides_the_wavelength_not_its_logarithm() -> None:
    z = -2e-4
    s = spectrum(multispec_file(np.ones(256, np.float32), [f"1 1 1 3.6 1e-4 256 {z} 1. 2."]))
    assert s.axis.scale is Scale.LOG10
    np.testing.assert_allclose(s.wave_aa, 10 ** (3.6 + 1e-4 * (P - 1)) / (1 + z), rtol=1e-12)


def test_multispec_chebyshev_and_legendre_by_their_definitions() -> None:
    head = "1 113 2 4955. 0.05 256 0. 23.22 31.27 1. 0."
    c = "4963.01 8.49 -0.319 -0.8169"
    a = [float(x) for x in c.split()]
    cheb = a[0] + a[1] * N + a[2] * (2 * N**2 - 1) + a[3] * (4 * N**3 - 3 * N)
    leg = a[0] + a[1] * N + a[2] * (3 * N**2 - 1) / 2 + a[3] * (5 * N**3 - 3 * N) / 2
    np.testing.assert_allclose(wave_of(f"{head} 1 4 1. 256. {c}"), cheb, rtol=1e-14)
    np.testing.assert_allclose(wave_of(f"{head} 2 4 1. 256. {c}"), leg, rtol=1e-14)


def test_multispec_cubic_spline_is_a_uniform_b_spline() -> None:
    c = np.array([4990.0, 5000.0, 5011.0, 5020.5, 5031.0, 5040.2, 5050.0]) / 6.0
    pieces = c.size - 3
    knots = 1.0 + (256.0 - 1.0) / pieces * np.arange(-3, pieces + 4)
    expected = BSpline(knots, 6.0 * c, 3)(np.minimum(P, 256.0 - 1e-9))
    text = " ".join(repr(float(x)) for x in c)
    got = wave_of(f"1 1 2 5000. 0.2 256 0. 1. 2. 1. 0. 3 {pieces} 1. 256. {text}")
    np.testing.assert_allclose(got, expected, rtol=1e-11)


def test_multispec_linear_spline() -> None:
    got = wave_of("1 1 2 5000. 0.2 256 0. 1. 2. 1. 0. 4 2 1. 256. 5000. 5030. 5052.")
    np.testing.assert_allclose(got, np.interp(P, [1, 128.5, 256], [5000, 5030, 5052]), rtol=1e-14)


def test_multispec_pixel_array_and_sampled_array() -> None:
    values = 5000 + 0.2 * P + 1e-4 * P**2
    text = " ".join(repr(float(x)) for x in values)
    got = wave_of(f"1 1 2 5000. 0.2 256 0. 1. 2. 1. 0. 5 256 {text}")
    np.testing.assert_allclose(got, values, rtol=1e-14)
    pairs = "1. 5000. 100. 5020. 256. 5055."
    expected = np.interp(P, [1, 100, 256], [5000, 5020, 5055])
    for count in (3, 6):  # the help page counts pairs, the driver counts numbers
        got = wave_of(f"1 1 2 5000. 0.2 256 0. 1. 2. 1. 0. 6 {count} 0 {pairs}")
        np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_multispec_weighted_sum_of_two_calibrations() -> None:
    z = 1e-4
    one = "0.25 0.5 2 2 1. 256. 5000. 10."
    two = "0.75 -0.25 1 2 1. 256. 5001. 11."
    expected = (0.25 * (0.5 + 5000 + 10 * N) + 0.75 * (-0.25 + 5001 + 11 * N)) / (1 + z)
    got = wave_of(f"1 1 2 5000. 0.1 256 {z} 1. 2. {one} {two}")
    np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_multispec_functions_count_physical_pixels() -> None:
    """After blkavg by 2 of a section starting at pixel 21: l = 0.5 p − 9.75."""
    spec = "1 1 0 5000. 0.2 296 0. 1. 2."
    got = wave_of(spec, LTM1_1=0.5, LTV1=-9.75)
    np.testing.assert_allclose(got, 5000 + 0.2 * ((P + 9.75) / 0.5 - 1), rtol=1e-14)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(1e-3, 1e3))
def test_scaling_all_weights_changes_nothing(tail: list[float], weight: float) -> None:
    def text(w: float) -> str:
        c = " ".join(map(repr, [5000.0, *tail]))
        return f"1 1 2 5000. 0.1 256 0. 1. 2. {w!r} 0. 2 {len(tail) + 1} 1. 256. {c}"

    a, b = parse_spec(text(1.0)).wavelength(P), parse_spec(text(weight)).wavelength(P)
    np.testing.assert_allclose(a, b, rtol=1e-12)


def test_short_lines_are_flagged_beyond_their_valid_pixels() -> None:
    specs = ["1 90 0 5000. 0.2 256 0. 1. 2.", "2 89 0 5050. 0.2 200 0. 1. 2."]
    s = spectrum(multispec_file(np.ones((2, 256), np.float32), specs))
    assert isinstance(s, EchelleSpectrum)
    assert s.flags is not None
    assert s.flags.sum(axis=1).tolist() == [0, 56]
    assert s.mask[1, 200:].all()
    assert not s.mask[1, :200].any()
    assert np.all(np.diff(s.wave_aa, axis=1) > 0)
    check(s)


def test_a_number_split_between_two_cards_survives() -> None:
    """With and without a blank at the cut, which FITS strips."""
    for pad in range(12):
        spec = f"1 1 0 5000.0625 0.2{'0' * pad} 256 0. 1. 2."
        assert wave_of(spec)[0] == 5000.0625


def test_orders_stay_together_and_fibres_do_not() -> None:
    data = np.arange(2 * 256, dtype=np.float32).reshape(2, 256)
    echelle = spectrum(multispec_file(data, ["1 113 0 4955. 0.2 256 0. 1. 2.",
                                             "2 112 0 5000. 0.2 256 0. 3. 4."]))  # fmt: skip
    assert isinstance(echelle, EchelleSpectrum)
    assert echelle.order_numbers == (113, 112)
    np.testing.assert_array_equal(echelle.flux, data)
    fibres = items(multispec_file(data, ["1 1 0 5000.1 0.2 256 0. 1. 2.",
                                         "2 1 0 5000.0 0.2 256 0. 3. 4."]))  # fmt: skip
    assert [type(f) for f in fibres] == [Spectrum, Spectrum]
    assert [f.provenance.row for f in fibres] == [0, 1]
    assert fibres[1].wave_aa[0] == 5000.0
    np.testing.assert_array_equal(fibres[1].flux, data[1])


def test_a_line_cut_out_of_a_multispec_image_keeps_its_own_dispersion() -> None:
    specs = ["1 90 0 5000. 0.2 256 0. 1. 2.", "2 89 0 5050. 0.3 256 0. 1. 2."]
    s = spectrum(multispec_file(np.ones(256, np.float32), specs, WAXMAP01="1 0 0 1 "))
    assert s.wave_aa[0] == 5050.0


@pytest.mark.parametrize(
    "spec",
    [
        "1 1 0 5000.",
        "1 1 7 5000. 0.2 256 0. 1. 2.",
        "1 1 2 5000. 0.2 256 0. 1. 2.",
        "1 1 2 5000. 0.2 256 0. 1. 2. 1. 0. 9 2 1. 256. 5000. 10.",
        "1 1 2 5000. 0.2 256 0. 1. 2. 1. 0. 1 4 1. 256. 5000.",
        "1 1 2 5000. 0.2 256 0. 1. 2. 1. 0. 1 2 5. 5. 5000. 10.",
        "1 1 0 nan 0.2 256 0. 1. 2.",
        "1 1 0 5000. 0.2 256 -1. 1. 2.",
    ],
)
def test_broken_dispersions_are_refused(spec: str) -> None:
    (error,) = items(multispec_file(np.ones((1, 256), np.float32), [spec]))
    assert isinstance(error, DataError)
    assert error.code == "bad_dispersion"
    assert error.hdu == 0


def test_a_line_without_dispersion_does_not_spoil_the_others() -> None:
    specs = ["1 1 0 5000. 0.2 256 0. 1. 2.", "2 1 -1 1. 1. 256 0. 1. 2."]
    good, bad = items(multispec_file(np.ones((2, 256), np.float32), specs))
    assert isinstance(good, Spectrum)
    assert bad.code == "no_dispersion"
    assert bad.row == 1


# ---------------------------------------------------------------- bands, frames, positions


def test_bands_without_names_give_no_uncertainty() -> None:
    s = spectrum(build(np.ones((2, 1, 100), np.float32), CRVAL1=4000.0, CD1_1=1.0, **ANGSTROM))
    assert s.uncertainty is None
    assert list(s.extras) == ["band2"]
    assert any("BANDID" in w for w in s.provenance.warnings)


@pytest.mark.parametrize(
    ("cards", "frame"),
    [
        ({"VHELIO": 12.5}, SpecSys.UNKNOWN),
        ({"VHELIO": 12.5, "DOPCOR01": "-12.5 all"}, SpecSys.HELIOCEN),
        ({"VHELIO": 12.5, "DOPCOR01": "-4.16955e-5 all"}, SpecSys.HELIOCEN),
        ({"VHELIO": 12.5, "DOPCOR01": "0.0312 all"}, SpecSys.UNKNOWN),
        ({"SPECSYS": "BARYCENT"}, SpecSys.BARYCENT),
    ],
)
def test_frame_only_where_the_header_shows_it(cards: dict[str, Any], frame: SpecSys) -> None:
    s = spectrum(build(FLUX, CRVAL1=4000.0, CD1_1=1.0, DC__FLAG=0, **ANGSTROM, **cards))
    assert s.axis.specsys is frame


def test_declared_medium_fills_the_unknown_but_never_overrides() -> None:
    cards = {"CRVAL1": 4000.0, "CD1_1": 1.0, "DC__FLAG": 0, **ANGSTROM}
    assert spectrum(build(FLUX, **cards), medium=Medium.AIR).axis.medium is Medium.AIR
    said = spectrum(build(FLUX, AIRORVAC="vacuum", **cards), medium=Medium.AIR)
    assert said.axis.medium is Medium.VACUUM


def test_long_slit_images_are_no_spectra() -> None:
    content = build(np.ones((80, 100), np.float32), CRVAL1=4000.0, CD1_1=1.0, DC__FLAG=0,
                    DISPAXIS=1, WAT0_001="system=world")  # fmt: skip
    assert [type(i) for i in items(content)] == [NotASpectrum]


def test_flux_and_error_files_find_each_other(tmp_path: Path) -> None:
    cards = {
        "CTYPE1": "LINEAR",
        "CRVAL1": 3.5,
        "CDELT1": 1e-4,
        "DC__FLAG": 1,
        "SIGFILE": "x_E.fits",
    }
    sigma = np.full(100, 0.1, np.float32)
    (tmp_path / "x_nF.fits").write_bytes(build(FLUX, **cards))
    (tmp_path / "x_nE.fits").write_bytes(build(sigma, **cards))
    s = spectrum(SourceFile.open(tmp_path / "x_nF.fits"))
    assert s.uncertainty_kind is UncertaintyKind.STD
    np.testing.assert_array_equal(s.uncertainty, sigma)
    (other,) = items(SourceFile.open(tmp_path / "x_nE.fits"))
    assert isinstance(other, NotASpectrum)
    (tmp_path / "x_nE.fits").write_bytes(build(sigma[:50], **cards))
    assert spectrum(SourceFile.open(tmp_path / "x_nF.fits")).uncertainty is None


# ---------------------------------------------------------------- generic images


@pytest.mark.parametrize(
    ("cards", "first", "medium"),
    [
        ({"CTYPE1": "AWAV", "CUNIT1": "Angstrom", "CRVAL1": 4800.0, "CDELT1": 0.01}, 4800.0, "air"),
        ({"CTYPE1": "WAVE", "CUNIT1": "nm", "CRVAL1": 480.0, "CDELT1": 0.01}, 4800.0, "vacuum"),
        ({"CTYPE1": "WAVE", "CRVAL1": 4.8e-7, "CDELT1": 1e-12}, 4800.0, "vacuum"),
        ({"CTYPE1": "FREQ", "CRVAL1": 1.42e9, "CDELT1": 1e3}, 2.99792458e18 / 1.42e9, "vacuum"),
        ({"CTYPE1": "Wavelength", "CUNIT1": "Angstroms", "CRVAL1": 4800.0, "CDELT1": 1.0}, 4800.0,
         "unknown"),
        ({"CRVAL1": 4800.0, "CDELT1": 1.0}, 4800.0, "unknown"),
    ],
)  # fmt: skip
def test_axis_types_and_units(cards: dict[str, Any], first: float, medium: str) -> None:
    s = spectrum(build(FLUX, **cards), IMAGE)
    assert s.wave_aa[0] == pytest.approx(first, rel=1e-14)
    assert s.axis.medium.value == medium
    assert IMAGE.recognise(SourceFile("x", build(FLUX, **cards))) == GENERIC


def test_logarithmic_axis_agrees_with_wcslib() -> None:
    cards = {"CTYPE1": "WAVE-LOG", "CUNIT1": "nm", "CRVAL1": 500.0, "CDELT1": 0.3, "CRPIX1": 40.0}
    s = spectrum(build(FLUX, **cards), IMAGE)
    assert s.axis.scale is Scale.LN
    wcs = WCS(fits.Header(cards | {"NAXIS": 1, "NAXIS1": 100}), naxis=1)
    metres = wcs.all_pix2world(np.arange(100), 0)[0]
    np.testing.assert_allclose(s.wave_aa, metres * 1e10, rtol=1e-12)


@pytest.mark.parametrize(
    ("cards", "code"),
    [
        ({"CTYPE1": "VOPT", "CUNIT1": "m/s", "CRVAL1": 0.0, "CDELT1": 1.0}, "velocity_convention"),
        ({"CTYPE1": "WAVE-GRI", "CUNIT1": "nm", "CRVAL1": 5.0, "CDELT1": 1.0}, "unsupported_wcs"),
        ({"CTYPE1": "WAVE-LOG", "CUNIT1": "nm", "CRVAL1": -5.0, "CDELT1": 1.0}, "bad_dispersion"),
        (
            {"CTYPE1": "VELO-LSR", "CUNIT1": "m/s", "CRVAL1": 1e3, "CDELT1": 1.0},
            "no_rest_frequency",
        ),
    ],
)
def test_axes_that_cannot_be_read_are_errors(cards: dict[str, Any], code: str) -> None:
    (error,) = items(build(FLUX, **cards), IMAGE)
    assert isinstance(error, DataError)
    assert error.code == code


@pytest.mark.parametrize(
    ("shape", "cards"),
    [
        ((100,), {}),
        ((50, 100), {"CTYPE1": "RA---TAN", "CRVAL1": 10.0, "CDELT1": 1e-4}),
        ((50, 100), {"CRVAL1": 3540.5, "CDELT1": 0.9}),
        ((4, 100), {"CTYPE1": "log10(wavelength)", "CRVAL1": 2.6, "CDELT1": 1e-4}),
        ((100,), {"CTYPE1": "km/s", "CRVAL1": 16.7, "CDELT1": 0.25}),
        ((100,), {"CTYPE1": "TIME", "CUNIT1": "s", "CRVAL1": 5000.0, "CDELT1": 1.0}),
    ],
)
def test_other_images_are_left_alone(shape: tuple[int, ...], cards: dict[str, Any]) -> None:
    source = SourceFile("x", build(np.ones(shape, np.float32), **cards))
    assert not IMAGE.recognise(source)
    assert not IRAF.recognise(source)


def test_text_and_truncation() -> None:
    assert not any(r.recognise(SourceFile("x", b"4000 1\n")) for r in iraf.READERS)
    whole = build(np.ones(2000), CRVAL1=4000.0, CD1_1=1.0, **ANGSTROM)
    with pytest.raises(DataError, match="needs 16000 bytes"):
        IRAF.recognise(SourceFile("x", whole[: 2880 + 5000]))


# ---------------------------------------------------------------- real files


def zoo(data_dir: Path, name: str) -> SourceFile:
    return SourceFile.open(data_dir / ZOO / f"{name}.fits.gz")


def delivered(source: SourceFile, hdu: int = 0) -> np.ndarray:
    data = fits.open(io.BytesIO(bytes(source.data)))[hdu].data
    return data.astype(data.dtype.newbyteorder("="))


def peak(s: Spectrum, low: float, high: float) -> float:
    wave = s.wave_aa
    inside = (wave > low) & (wave < high)
    return float(wave[inside][np.argmax(s.flux[inside])])


def test_multispec_chebyshev_against_a_pipelines_own_wavelengths(data_dir: Path) -> None:
    """IGRINS: 28 Chebyshev orders in WAT2 and, independently, wavelengths in µm in HDU 1."""
    source = zoo(data_dir, "muler_example_data__SDCH_20201202_0059.spec")
    s = spectrum(source)
    assert isinstance(s, EchelleSpectrum)
    np.testing.assert_allclose(s.wave_aa, delivered(source, 1) * 1e4, atol=1e-9)
    assert s.order_numbers == tuple(range(98, 126))


def test_sdss_galaxy_exported_by_iraf(data_dir: Path) -> None:
    source = zoo(data_dir, "SpecData__cg922")
    s = check(spectrum(source))
    assert IRAF.recognise(source) == LIKELY
    np.testing.assert_array_equal(s.flux, delivered(source))
    assert s.wave_aa[0] == 3634.79339018633
    assert s.axis.medium is Medium.VACUUM
    assert abs(peak(s, 6500, 6600) - 6564.61) < 2.0  # Hα, vacuum, of a galaxy at z ~ 0
    assert s.flux_unit is None  # BUNIT says 1e-17, the values are 1e-16


def test_lijiang_quasar_with_four_bands(data_dir: Path) -> None:
    source = zoo(data_dir, "qsofitmore__spec_J001554.18+560257.5_LJT")
    s = check(spectrum(source))
    cube = delivered(source)
    np.testing.assert_array_equal(s.flux, cube[0, 0])
    np.testing.assert_array_equal(s.uncertainty, cube[3, 0])
    np.testing.assert_array_equal(s.extras["raw"], cube[1, 0])
    np.testing.assert_array_equal(s.extras["background"], cube[2, 0])
    assert s.uncertainty_kind is UncertaintyKind.STD
    assert s.axis.unit == "Angstrom"  # WAT1, not the CUNIT1 = deg left from the image
    assert abs(peak(s, 7500, 7800) / (6564.61 * 1.1684) - 1) < 1e-3  # Hα at z = 0.1684
    assert s.observation.s_ra == pytest.approx(3.97576, abs=1e-4)  # J001554.18
    assert s.observation.t_min == pytest.approx(58813.5640, abs=1e-3)


def test_izw18_two_apertures(data_dir: Path) -> None:
    source = zoo(data_dir, "lime__IZW18_isis")
    both = items(source)
    assert len(both) == 2
    for row, s in enumerate(both):
        check(s)
        np.testing.assert_array_equal(s.flux, delivered(source)[row])
        assert s.provenance.row == row
        expected = 5006.84 * (1 + 751 / 299792.458)  # [O III], air
        assert abs(peak(s, 5010, 5030) - expected) < 2 * 0.8666
    assert both[0].observation.s_ra == pytest.approx(143.50902, abs=1e-5)


def test_mage_flux_and_its_error_file(data_dir: Path) -> None:
    source = zoo(data_dir, "linetools__UM184_nF")
    s = check(spectrum(source))
    assert s.axis.scale is Scale.LOG10
    assert s.wave_aa[0] == pytest.approx(10**3.48320848395, rel=1e-15)
    np.testing.assert_array_equal(s.uncertainty, delivered(zoo(data_dir, "linetools__UM184_nE")))
    assert [type(i) for i in items(zoo(data_dir, "linetools__UM184_nE"))] == [NotASpectrum]
    assert s.observation.t_min == pytest.approx(56120.35681, abs=1e-4)


def test_ondrejov_image_is_precessed(data_dir: Path) -> None:
    source = SourceFile.open(data_dir / "ondrejov_ccd700/raw/oe270005.fits")
    s = check(spectrum(source))
    assert s.wave_aa[[0, -1]] == pytest.approx([6265.01713266358, 6777.402466441691])
    # HD 208905 (SIMBAD J2000): 21 57 06.8 +61 16 06: the header gives equinox 2005.4
    assert s.observation.s_ra == pytest.approx(329.278, abs=0.02)
    assert s.observation.s_dec == pytest.approx(61.268, abs=0.01)


def test_radio_velocity_axis_takes_the_first_of_two_crpix(data_dir: Path) -> None:
    source = zoo(data_dir, "pyspeckit__n2hp_opha_example")
    s, zeros = items(source, IMAGE)
    check(s)
    assert zeros == NotASpectrum("a row of zeros", hdu=0, row=1)
    assert s.flux_unit == "K"
    kms = s.axis.coordinate() / 1e3
    # the main hyperfine group (93173.7 MHz) lies 8 km/s above the rest frequency's component,
    # the cloud at 3.6 km/s
    assert abs(kms[np.argmax(s.flux)] - (3.6 + 8.0)) < 0.5
    assert s.wave_aa[0] == pytest.approx(3.2178e7, rel=1e-4)
    assert s.axis.specsys is SpecSys.UNKNOWN


def test_miles_stars(data_dir: Path) -> None:
    paths = sorted((data_dir / "miles_stars/raw_examples").glob("*.gz"))
    assert paths
    for path in paths:
        s = check(spectrum(SourceFile.open(path), IMAGE))
        assert s.wave_aa[[0, -1]] == pytest.approx([3540.5, 7409.6])
        np.testing.assert_array_equal(s.flux, delivered(SourceFile.open(path)))
        assert any("assumed" in w for w in s.provenance.warnings)


def test_one_dimensional_images_of_other_tools(data_dir: Path) -> None:
    tau = check(spectrum(zoo(data_dir, "FASMA-synthesis__HARPS.GBOG_alfTau"), IMAGE))
    assert tau.axis.medium is Medium.AIR
    assert len(tau) == 200_000
    wave = tau.wave_aa
    core = (wave > 6121.7) & (wave < 6122.7)
    assert abs(wave[core][np.argmin(tau.flux[core])] - 6122.217) < 0.05  # Ca I, air, rest
    sophie = check(spectrum(zoo(data_dir, "ODUSSEAS__SOPHIE_Gl908"), IMAGE))
    assert sophie.wave_aa[0] == pytest.approx(3873.698915408198)
    assert sophie.axis.medium is Medium.UNKNOWN
