"""Stars are explained by what stars have: bands of molecules, no lines of nebulae or quasars."""

from __future__ import annotations

import numpy as np
import pytest

from spectrarium.domain.derived import Region
from spectrarium.domain.units import C_KMS
from spectrarium.explore.identify import Pair, identify
from spectrarium.explore.triage import names_in
from spectrarium.measure.airvac import air_to_vac
from spectrarium.measure.lines import line
from spectrarium.measure.molecules import MOLECULAR

WAVE = 3700.0 * np.exp(np.arange(3400) * 70.0 / C_KMS)
IVAR = np.full(WAVE.size, 50.0**2)


def banded(molecule: str, depth: float) -> np.ndarray:
    flux = np.ones(WAVE.size)
    for band in MOLECULAR:
        if band.molecule == molecule:
            head, tail = (float(air_to_vac(a)) for a in band[1:])
            inside = (WAVE - head) / (tail - head)
            flux *= 1.0 - depth * np.where((inside >= 0) & (inside < 1), 1 - inside, 0)
    return flux


def gauss(at: float, height: float, kms: float = 120.0) -> np.ndarray:
    return height * np.exp(-0.5 * ((WAVE / at - 1) * C_KMS / kms) ** 2)


def labels(region: Region, pair: Pair, z: float | None = None, **known: float) -> list[str]:
    return [i.label for i in identify(region, pair, z=z, **known) if i.kind in ("line", "band")]


@pytest.mark.parametrize("z", [None, 0.0, -0.0002])
def test_a_carbon_star_has_swan_bands_and_no_oxygen(z):
    pair = Pair(WAVE, banded("C2", 0.6), IVAR, np.ones(WAVE.size), IVAR, True)
    for low, high in ((4629.0, 5728.0), (5000.0, 5180.0), (4940.0, 5020.0)):
        named = names_in(Region(low, high, 0.5, -1), pair, z)
        assert named.startswith("C₂"), (low, high)
        assert "[" not in named
    first = identify(Region(5000.0, 5180.0, 0.5, -1), pair, z=z)[0]
    assert (first.name, first.kind, first.certain) == ("C2_5165", "band", z is not None)
    assert first.text.startswith("C₂ band in the query only")


@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_a_star_with_titanium_oxide_has_neither_nitrogen_nor_carbon_ions(sign):
    deep, shallow = banded("TiO", 0.5), banded("TiO", 0.3)
    one, two = (deep, shallow) if sign < 1 else (shallow, deep)
    pair = Pair(WAVE, one + gauss(line("CIV_5803").wave_vac_aa, -0.1), IVAR, two, IVAR)
    assert labels(Region(6505.0, 7125.0, 0.5, sign), pair)[0] == "TiO"
    assert "C IV" not in labels(Region(5720.0, 5870.0, 0.5, sign), pair)
    assert labels(Region(5795.0, 5810.0, 0.5, sign), pair) == []
    deeper = "deeper" if sign < 1 else "shallower"
    found = identify(Region(6140.0, 6330.0, 0.5, sign), pair, z=0.0)[0]
    assert found.text == f"TiO band {deeper} in the query"


def test_two_cool_stars_that_differ_in_sodium_differ_in_sodium():
    at = line("NaI_D2").wave_vac_aa
    pair = Pair(WAVE, banded("TiO", 0.4) + gauss(at, -0.4), IVAR, banded("TiO", 0.4), IVAR)
    assert labels(Region(at - 8, at + 8, 0.5, -1), pair)[0] == "Na D"
    balmer = Pair(WAVE, banded("TiO", 0.4) + gauss(6564.6, 2.0), IVAR, banded("TiO", 0.4), IVAR)
    assert labels(Region(6555.0, 6575.0, 0.5, 1), balmer)[0] == "Hα"


@pytest.mark.parametrize("name", ["OIII_5008", "NII_6585", "SII_6718", "OII_3727"])
def test_forbidden_lines_emit_or_are_not_named(name):
    at, label = line(name).wave_vac_aa, line(name).label
    flat = np.ones(WAVE.size)
    here = Region(at - 8, at + 8, 0.5, -1)
    absorbs = Pair(WAVE, flat + gauss(at, -0.5), IVAR, flat, IVAR)
    nothing = Pair(WAVE, flat - 0.1, IVAR, flat, IVAR)
    for z in (None, 0.0):
        for pair in (absorbs, nothing):
            assert label not in labels(here, pair, z)
            assert label not in labels(here._replace(sign=1), pair, z)
    emits = Pair(WAVE, flat + gauss(at, 0.5), IVAR, flat, IVAR)
    assert labels(here._replace(sign=1), emits, 0.0)[0] == label, "a nebula of the Galaxy has them"
    assert labels(here._replace(sign=1), emits)[0] == label
    assert label not in labels(here, Pair(WAVE, flat, IVAR, flat + gauss(at, 0.5), IVAR, True), 0.0)
    lacks = Pair(WAVE, flat, IVAR, flat + gauss(1.1 * at, 0.5), IVAR, True)
    moved = Region(1.1 * at - 8, 1.1 * at + 8, 0.5, -1)
    assert labels(moved, lacks, 0.1)[0] == label, "a galaxy may lack what its neighbours have"


def test_lines_of_quasars_are_named_where_quasars_are():
    at = line("MgII_2799").wave_vac_aa
    moved = at * 1.6
    region = Region(moved - 40, moved + 40, 0.5, -1)
    absorbs = Pair(WAVE, 1 + gauss(moved, -0.5, 900), IVAR, np.ones(WAVE.size), IVAR)
    assert labels(region, absorbs, 0.6) == ["Mg II"]
    ultraviolet = np.linspace(2700.0, 2900.0, 800)
    flux = 1 - 0.5 * np.exp(-0.5 * ((ultraviolet - at) / 4) ** 2)
    ivar = np.full(800, 2500.0)
    pair = Pair(ultraviolet, flux, ivar, np.ones(800), ivar)
    assert identify(Region(at - 8, at + 8, 0.5, -1), pair, z=0.0) == ()


def test_stars_alone_absorb_in_magnesium():
    at = line("MgI_b2").wave_vac_aa
    flat = np.ones(WAVE.size)
    region = Region(at - 8, at + 12, 0.5, 1)
    assert labels(region, Pair(WAVE, flat + gauss(at, -0.4), IVAR, flat, IVAR), 0.0)[0] == "Mg b"
    hump = Pair(WAVE, flat + gauss(at, 0.6, 3000), IVAR, flat, IVAR, True)
    assert "Mg b" not in names_in(Region(at - 60, at + 60, 0.5, 1), hump, 0.0)
