"""Velocities, redshifts and wavelengths go there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectrarium.domain.errors import UsageError
from spectrarium.measure.doppler import (
    add_velocities,
    line_velocity,
    redshift_to_velocity,
    shift_wavelength,
    unshift_wavelength,
    velocity_to_redshift,
)

C = 299_792.458
speeds = st.floats(-0.95 * C, 0.95 * C)


@given(v=speeds)
def test_relativistic_form(v):
    expected = np.sqrt((1 + v / C) / (1 - v / C)) - 1
    assert velocity_to_redshift(v) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert redshift_to_velocity(velocity_to_redshift(v)) == pytest.approx(v, rel=1e-9, abs=1e-9)


@given(v=speeds, wave=st.floats(900.0, 30_000.0))
def test_there_and_back(v, wave):
    seen = shift_wavelength(wave, v)
    assert unshift_wavelength(seen, v) == pytest.approx(wave, rel=1e-14)
    assert shift_wavelength(seen, -v) == pytest.approx(wave, rel=1e-12)
    assert line_velocity(seen, wave) == pytest.approx(v, rel=1e-8, abs=1e-6)


def test_optical_convention_is_cz():
    assert velocity_to_redshift(3000.0, relativistic=False) == 3000.0 / C
    assert redshift_to_velocity(0.5, relativistic=False) == 0.5 * C
    assert float(redshift_to_velocity(0.5)) == pytest.approx(C * 1.25 / 3.25, rel=1e-14)


def test_small_velocities_keep_their_digits():
    assert velocity_to_redshift(1e-9) * C == pytest.approx(1e-9, rel=1e-12)


def test_velocities_add_as_redshifts_multiply():
    total = velocity_to_redshift(add_velocities(30.0, 250.0))
    product = (1 + velocity_to_redshift(30.0)) * (1 + velocity_to_redshift(250.0)) - 1
    assert total == pytest.approx(product, rel=1e-12)


def test_impossible_values_are_refused():
    for call in (lambda: velocity_to_redshift(C), lambda: shift_wavelength(5000.0, -1.1 * C)):
        with pytest.raises(UsageError):
            call()
    with pytest.raises(UsageError, match="above"):
        redshift_to_velocity(-9999.0)
