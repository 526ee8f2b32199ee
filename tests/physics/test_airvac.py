"""Air and vacuum: published numbers, an exact inverse, and a range that is enforced."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spectrarium.domain.errors import UsageError
from spectrarium.domain.units import C_KMS
from spectrarium.measure.airvac import (
    air_to_vac,
    refractive_index,
    vac_to_air,
    valid_range_aa,
)

FORMULAE = ("morton2000", "edlen1953", "ciddor1996")


@pytest.mark.parametrize(
    ("formula", "vacuum", "air", "digits"),
    [
        # ADAS, documentation of vacuum2air: 5300 Å by Edlén 1953 and Ciddor 1996
        ("edlen1953", 5300.0, 5298.525733087971, 1e-9),
        ("ciddor1996", 5300.0, 5298.525674870389, 1e-9),
        # IDL astronomy library, airtovac (Ciddor 1996): the Kr line, 4 decimals given
        ("ciddor1996", 6057.8019, 6056.125, 5.1e-5),
        # SDSS DR7 table of air and vacuum wavelengths (Edlén 1953 by Morton 1991), 3 decimals
        ("edlen1953", 4862.683, 4861.325, 1.1e-3),
        ("edlen1953", 5008.240, 5006.843, 1.1e-3),
        ("edlen1953", 6732.678, 6730.820, 1.1e-3),
        # NIST: the sodium D lines, measured in both media
        ("morton2000", 5891.5833, 5889.9509, 2e-4),
        ("morton2000", 5897.5581, 5895.9242, 2e-4),
    ],
)
def test_published_values(formula, vacuum, air, digits):
    assert vac_to_air(vacuum, formula) == pytest.approx(air, abs=digits)
    assert air_to_vac(air, formula) == pytest.approx(vacuum, abs=digits * 1.001)


def test_morton_2000_against_its_equation_written_out():
    wave = np.array([2000.0, 3933.66, 6564.6, 10_000.0, 30_000.0])
    s2 = (1e4 / wave) ** 2
    n = 1 + 0.0000834254 + 0.02406147 / (130 - s2) + 0.00015998 / (38.9 - s2)
    assert np.array_equal(refractive_index(wave), n)


def test_edlen_and_morton_agree_as_morton_states():
    """Morton 2000: < 0.0001 Å at 2000 Å and < 0.001 Å at 30 000 Å from Edlén 1953."""
    difference = np.abs(
        vac_to_air([2000.0, 30_000.0]) - vac_to_air([2000.0, 30_000.0], "edlen1953")
    )
    assert difference[0] < 1e-4
    assert difference[1] < 1e-3


@pytest.mark.parametrize("formula", FORMULAE)
@given(fraction=st.floats(0.0, 1.0))
def test_round_trip_is_exact(formula, fraction):
    low, high = valid_range_aa(formula)
    wave = low + fraction * (high - low)
    back = float(air_to_vac(vac_to_air(wave, formula), formula))
    assert abs(back - wave) < 1e-9
    assert abs(back - wave) / wave * C_KMS * 1e3 < 1e-3  # m/s, where one-step inverses leave 2.5


@pytest.mark.parametrize("formula", FORMULAE)
def test_ends_of_the_range_are_inside_both_ways(formula):
    ends = np.array(valid_range_aa(formula))
    assert np.allclose(air_to_vac(vac_to_air(ends, formula), formula), ends, atol=1e-9, rtol=0)


@pytest.mark.parametrize("convert", [vac_to_air, air_to_vac, refractive_index])
@pytest.mark.parametrize("wave", [1500.0, 1603.35, 40_000.0, 0.0, -5000.0, np.inf])
def test_out_of_range_is_refused(convert, wave):
    with pytest.raises(UsageError) as caught:
        convert([5000.0, wave])
    assert caught.value.code == "outside_air_range"
    assert "outside" in caught.value.remedy


def test_out_of_range_on_request():
    wave = np.array([1500.0, 5000.0, np.nan])
    as_nan = vac_to_air(wave, outside="nan")
    kept = vac_to_air(wave, outside="keep")
    assert np.isnan(as_nan[[0, 2]]).all()
    assert kept[0] == 1500.0
    assert np.isnan(kept[2])
    assert as_nan[1] == kept[1] == vac_to_air(5000.0)
    assert air_to_vac(wave, outside="keep")[0] == 1500.0


def test_unknown_names_list_the_known():
    with pytest.raises(UsageError, match="morton2000"):
        vac_to_air(5000.0, "griesen")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="raise, nan or keep"):
        vac_to_air(5000.0, outside="clip")  # type: ignore[arg-type]
