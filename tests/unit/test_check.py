"""What may be stored: one set of questions for every format, each refusal with its code."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrarium.domain.axis import LinearWCS, Scale, SpectralAxis
from spectrarium.domain.errors import DataError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import EchelleSpectrum, FlagScheme, Spectrum, UncertaintyKind
from spectrarium.read.check import check
from spectrarium.read.registry import GENERIC, Item, NotASpectrum, Reader, read_source
from spectrarium.read.source import SourceFile

N = 50
OBSERVATION = Observation("test")
WHERE = Provenance("night.fits", "test", member="a/b.fits", hdu=2, row=7)


def spectrum(
    wave: Any = None, flux: Any = None, *, unit: str = "Angstrom", scale: Scale = Scale.LINEAR,
    wcs: LinearWCS | None = None, **more: Any,
) -> Spectrum:  # fmt: skip
    values = None if wcs else np.linspace(4000, 5000, N) if wave is None else np.asarray(wave)
    n = wcs.n if wcs else len(values)
    return Spectrum(
        axis=SpectralAxis(unit, values=values, wcs=wcs, scale=scale),
        flux=np.ones(n) if flux is None else np.asarray(flux),
        observation=OBSERVATION, provenance=WHERE, **more,
    )  # fmt: skip


def code_of(bad: Spectrum) -> str:
    with pytest.raises(DataError) as caught:
        check(bad)
    return caught.value.code


def test_a_good_spectrum_comes_back_untouched() -> None:
    good = spectrum()
    assert check(good) is good


@pytest.mark.parametrize("step", [slice(None), slice(None, None, -1)])
@pytest.mark.parametrize(
    ("unit", "low", "high"),
    [("Angstrom", 3e3, 1e4), ("keV", 0.3, 10.0), ("Hz", 1e9, 2e9), ("cm-1", 400.0, 4000.0)],
)
def test_rising_and_falling_axes_of_any_unit_pass(
    unit: str, low: float, high: float, step: slice
) -> None:
    check(spectrum(np.linspace(low, high, N)[step], unit=unit))


def test_the_error_says_where() -> None:
    with pytest.raises(DataError) as caught:
        check(spectrum(flux=np.full(N, np.nan)))
    error = caught.value
    assert (error.code, error.hdu, error.row) == ("no_flux", 2, 7)
    assert error.where == "night.fits!a/b.fits"
    assert error.remedy


def test_nine_good_pixels_are_too_few_and_ten_are_enough() -> None:
    flux = np.full(N, np.nan)
    flux[:10] = 1.0
    check(spectrum(flux=flux))
    flux[9] = np.inf
    assert code_of(spectrum(flux=flux)) == "too_few_pixels"


def test_pixels_without_information_do_not_count() -> None:
    ivar = np.zeros(N, np.float32)
    ivar[:9] = 1.0
    kind = UncertaintyKind.IVAR
    assert code_of(spectrum(uncertainty=ivar, uncertainty_kind=kind)) == "too_few_pixels"
    ivar[9] = 1.0
    check(spectrum(uncertainty=ivar, uncertainty_kind=kind))


def test_only_bad_bits_count_as_flagged() -> None:
    flags = np.full(N, 1 << 3, np.int32)
    harmless = FlagScheme("PIXMASK", {3: "SKY"}, bad=1)
    check(spectrum(flags=flags, flag_scheme=harmless))
    assert code_of(spectrum(flags=flags, flag_scheme=FlagScheme("PIXMASK"))) == "too_few_pixels"


@pytest.mark.parametrize("padding", [0.0, -1.0, np.nan, np.inf])
def test_padding_is_only_flagged(padding: float) -> None:
    wave = np.linspace(4000, 5000, N)
    wave[[0, 1, 20, 21, -1]] = padding
    check(spectrum(wave))
    wave[9:] = padding
    assert code_of(spectrum(wave)) == "too_few_pixels"


def test_turning_back_and_repeating_are_told_apart() -> None:
    wave = np.linspace(4000, 5000, N)
    turned = wave.copy()
    turned[30] = wave[28]
    assert code_of(spectrum(turned)) == "not_monotonic"
    repeated = wave.copy()
    repeated[30] = repeated[31]
    assert code_of(spectrum(repeated)) == "duplicate_wavelength"
    assert code_of(spectrum(repeated[::-1])) == "duplicate_wavelength"
    flux = np.ones(N)
    flux[30] = np.nan  # a repeated sample that is masked disturbs nobody
    check(spectrum(repeated, flux))


def test_two_orders_end_to_end_are_not_one_spectrum() -> None:
    wave = np.concatenate([np.linspace(4000, 4100, 30), np.linspace(4050, 4150, 30)])
    assert code_of(spectrum(wave)) == "not_monotonic"


def test_a_constant_wcs_is_a_repeated_wavelength() -> None:
    assert code_of(spectrum(wcs=LinearWCS(5000.0, 0.0, 1.0, N))) == "duplicate_wavelength"


def test_a_wcs_that_starts_below_zero_loses_only_those_pixels() -> None:
    check(spectrum(wcs=LinearWCS(-5.0, 1.0, 1.0, N)))
    assert code_of(spectrum(wcs=LinearWCS(-45.0, 1.0, 1.0, N))) == "too_few_pixels"
    check(spectrum(wcs=LinearWCS(3.58, 1e-4, 1.0, N), scale=Scale.LOG10))
    assert code_of(spectrum(wcs=LinearWCS(np.nan, 1.0, 1.0, N))) == "too_few_pixels"


def test_a_log_grid_rounded_to_float32_is_good_and_a_true_repeat_is_not() -> None:
    fine = np.linspace(3.58, 3.58 + 1e-7 * 4000, 4000).astype(np.float32)
    assert (np.diff(fine) == 0).any(), "the test needs rounding to make equal neighbours"
    check(spectrum(fine, scale=Scale.LOG10))
    check(spectrum(fine[::-1].copy(), scale=Scale.LOG10))
    same = np.diff(fine.astype(np.float64)) == 0
    assert code_of(spectrum(fine.astype(np.float64), scale=Scale.LOG10)) == "duplicate_wavelength"
    assert same.any()
    sdss = (3.58 + 1e-4 * np.arange(4000)).astype(np.float32)
    assert (np.diff(sdss) > 0).all()
    check(spectrum(sdss, scale=Scale.LOG10))
    sdss[100] = sdss[101]
    assert code_of(spectrum(sdss, scale=Scale.LOG10)) == "duplicate_wavelength"


@pytest.mark.parametrize("value", [-1.0, np.inf, -np.inf])
def test_an_impossible_inverse_variance_is_refused_unless_flagged(value: float) -> None:
    ivar = np.ones(N, np.float32)
    ivar[5] = value
    kind = UncertaintyKind.IVAR
    assert code_of(spectrum(uncertainty=ivar, uncertainty_kind=kind)) == "bad_uncertainty"
    flags = np.zeros(N, np.uint8)
    flags[5] = 1
    check(spectrum(uncertainty=ivar, uncertainty_kind=kind, flags=flags))


@pytest.mark.parametrize("kind", [UncertaintyKind.STD, UncertaintyKind.VAR])
def test_negative_errors_are_refused_but_infinite_ones_say_nothing(kind: UncertaintyKind) -> None:
    error = np.ones(N)
    error[5] = -0.1
    assert code_of(spectrum(uncertainty=error, uncertainty_kind=kind)) == "bad_uncertainty"
    error[5] = np.inf
    check(spectrum(uncertainty=error, uncertainty_kind=kind))
    error[:] = np.inf
    assert code_of(spectrum(uncertainty=error, uncertainty_kind=kind)) == "too_few_pixels"


@pytest.mark.parametrize(
    ("unit", "wave"),
    [("m", np.linspace(4000, 5000, N)), ("TeV", np.linspace(4000, 5000, N)),
     ("Angstrom", np.linspace(1e-9, 1e-8, N))],
)  # fmt: skip
def test_wavelengths_that_no_instrument_sees_are_a_wrong_unit(unit: str, wave: Any) -> None:
    assert code_of(spectrum(wave, unit=unit)) == "bad_wave_unit"


def test_logarithms_read_as_the_logarithm_of_a_logarithm_are_a_wrong_unit() -> None:
    assert code_of(spectrum(np.linspace(100, 200, N), scale=Scale.LOG10)) == "bad_wave_unit"
    assert code_of(spectrum(np.linspace(4000, 5000, N), scale=Scale.LOG10)) == "too_few_pixels"


def echelle(wave: Any) -> EchelleSpectrum:
    return EchelleSpectrum(
        axis=SpectralAxis("Angstrom", values=wave), flux=np.ones(wave.shape),
        observation=OBSERVATION, provenance=WHERE, order_numbers=tuple(range(len(wave))),
    )  # fmt: skip


def test_echelle_orders_are_judged_one_by_one() -> None:
    orders = np.stack([np.linspace(4000, 4100, N), np.linspace(4050, 4150, N)[::-1]])
    check(echelle(orders))
    orders[1, 10] = orders[1, 30]
    with pytest.raises(DataError, match="in order 1") as caught:
        check(echelle(orders))
    assert caught.value.code == "not_monotonic"
    orders[1] = 0.0  # an order without wavelengths is only masked
    check(echelle(orders))


@settings(max_examples=200, deadline=None)
@given(
    wave=st.lists(st.floats(width=32), min_size=10, max_size=40),
    scale=st.sampled_from(list(Scale)),
    unit=st.sampled_from(["Angstrom", "Hz", "eV"]),
)
def test_what_passes_is_usable(wave: list[float], scale: Scale, unit: str) -> None:
    """No crash on any numbers; and what passes really is in order with ten usable pixels."""
    candidate = spectrum(np.array(wave, np.float64), scale=scale, unit=unit)
    try:
        check(candidate)
    except DataError:
        return
    with np.errstate(all="ignore"):
        good = ~candidate.mask
    steps = np.diff(candidate.axis.coordinate()[good])
    assert good.sum() >= 10
    assert (steps > 0).all() or (steps < 0).all()


def reader(items: list[Item]) -> Reader:
    def read(source: SourceFile) -> Iterator[Item]:
        yield from items

    fields = {f.name: "" for f in dataclasses.fields(Reader)}
    return Reader(**{**fields, "recognise": lambda s: GENERIC, "read": read})  # type: ignore[arg-type]


def test_read_source_quarantines_one_and_goes_on() -> None:
    bad = spectrum(flux=np.full(N, np.nan))
    lost = DataError("row unreadable", code="bad_row", row=3)
    items = [spectrum(), bad, NotASpectrum("mask"), lost, spectrum()]
    got = list(read_source(SourceFile("f.txt", b"text"), reader(items)))
    assert [type(i).__name__ for i in got] == [
        "Spectrum", "DataError", "NotASpectrum", "DataError", "Spectrum",
    ]  # fmt: skip
    assert isinstance(got[1], DataError)
    assert got[1].code == "no_flux"
    assert got[3].where == "f.txt"  # type: ignore[union-attr]
