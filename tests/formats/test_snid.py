"""SNID templates: the real SN 2002er, and files built to the same layout."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from spectrarium.domain.axis import Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import Normalisation, Spectrum
from spectrarium.read import snid
from spectrarium.read.registry import CERTAIN
from spectrarium.read.source import ReadOptions, SourceFile


def spectra(source: SourceFile) -> list[Spectrum]:
    out = list(snid.read(source))
    assert all(isinstance(item, Spectrum) for item in out)
    return out  # type: ignore[return-value]


@pytest.fixture
def sn2002er(data_dir: Path) -> Path:
    return data_dir / "snid_templates/raw_examples/sn2002er.lnw.gz"


def template(n_bins: int = 32, ages: tuple[float, ...] = (-5.0, 12.5)) -> tuple[str, np.ndarray]:
    """A template in SNID's own Fortran formats, and the values written."""
    n = len(ages)
    values = np.zeros((n_bins, n))
    rng = np.random.default_rng(1)
    values[4:-6] = rng.normal(0, 0.2, (n_bins - 10, n)).round(3)
    values[4:-6][values[4:-6] == 0] = 0.001
    values[10] = -1234.567  # nine characters: the columns grow together
    step = np.log(4) / n_bins
    wave = 2500 * np.exp(step * (np.arange(n_bins) + 0.5))
    lines = [
        f"{n:5d}{n_bins:5d}{2500:10.2f}{10000:10.2f}{2:7d}     {'sn2030xy':>12s}{-9.99:7.2f}"
        f"  {'IIb':>10s}{2:3d}{3:3d}"
    ]
    lines.append(f"{2:7d}" + "".join(f"{2:3d}{-13.94562:14.5f}" for _ in ages))
    lines += [f"{k:7d}" + "".join(f"{2.45:8.4f}{-0.3583:9.4f}" for _ in ages) for k in (1, 2)]
    lines.append(f"{0:8d}" + "".join(f"{age:9.3f}" for age in ages))
    lines += [
        f"{w:8.2f}" + "".join(f"{v:9.3f}" for v in row) for w, row in zip(wave, values, strict=True)
    ]
    return "\n".join(lines) + "\n", values


def test_real_template_gives_one_spectrum_per_epoch(sn2002er: Path) -> None:
    source = SourceFile.open(sn2002er)
    assert snid.recognise(source) == CERTAIN
    found = spectra(source)
    with gzip.open(sn2002er, "rt") as handle:
        lines = handle.read().splitlines()
    table = np.loadtxt(lines[14:])
    assert len(found) == 26
    assert table.shape == (1024, 27)
    for i, s in enumerate(found):
        np.testing.assert_array_equal(s.flux, table[:, i + 1])
        assert s.axis.scale is Scale.LN
        np.testing.assert_allclose(s.wave_aa, table[:, 0], atol=0.0075)
    ids = [s.observation.obs_id for s in found]
    assert ids[:2] == ["sn2002er-000", "sn2002er-001"]
    assert len(set(ids)) == 26
    phases = [s.observation.metadata["phase_days"] for s in found]
    assert phases[:3] == [-11.9, -10.0, -9.0]
    assert phases[-1] == 212.3
    assert found[0].observation.metadata["dm15"] == 1.23
    assert found[0].observation.target_class == "SN"
    assert found[0].observation.metadata["subclass"] == "Ia-norm"


def test_what_the_template_says_of_itself(sn2002er: Path) -> None:
    s = spectra(SourceFile.open(sn2002er))[5]
    assert s.axis.specsys is SpecSys.SOURCE
    assert s.axis.medium is Medium.UNKNOWN
    assert s.normalisation is Normalisation.CONTINUUM_SUBTRACTED
    assert s.flux_unit == ""
    assert s.uncertainty is None
    assert s.observation.redshift is None  # rest frame by construction is no redshift label
    assert abs(float(np.median(s.flux[~s.mask]))) < 0.1  # continuum divided out, level 0


def test_type_ia_features_are_where_they_belong(sn2002er: Path) -> None:
    """Si II 6355 absorption near maximum light, blueshifted to ~6150 Å."""
    found = spectra(SourceFile.open(sn2002er))
    near_max = min(found, key=lambda s: abs(float(s.observation.metadata["phase_days"])))
    window = (near_max.wave_aa > 5900) & (near_max.wave_aa < 6400)
    assert 6080 < near_max.wave_aa[window][np.argmin(near_max.flux[window])] < 6220


def test_padding_is_flagged_and_only_padding(sn2002er: Path) -> None:
    s = spectra(SourceFile.open(sn2002er))[1]
    good = ~s.mask
    assert s.flux[~good].any() == np.False_
    first, last = np.flatnonzero(good)[[0, -1]]
    assert good[first : last + 1].all()
    assert s.flux[first] != 0
    assert s.flux[last] != 0


def test_fortran_columns_that_grow_together() -> None:
    text, values = template()
    source = SourceFile("x.lnw", text.encode())
    assert snid.recognise(source) == CERTAIN
    found = spectra(source)
    np.testing.assert_array_equal(np.stack([s.flux for s in found], axis=1), values)
    assert "dm15" not in found[0].observation.metadata
    assert found[1].observation.metadata["phase_days"] == 12.5


def test_options_fill_the_unknown_medium_only() -> None:
    text, _ = template()
    options = ReadOptions(medium=Medium.AIR, specsys=SpecSys.TOPOCENT, collection="mine")
    s = spectra(SourceFile("x", text.encode(), options=options))[0]
    assert s.axis.medium is Medium.AIR
    assert s.axis.specsys is SpecSys.SOURCE
    assert s.observation.obs_collection == "mine"


def test_bins_that_are_not_logarithmic_keep_the_written_wavelengths() -> None:
    text, _ = template()
    lines = text.splitlines()
    for i in range(5, len(lines)):
        lines[i] = f"{2500 + 10.0 * i:8.2f}" + lines[i][8:]
    s = spectra(SourceFile("x", "\n".join(lines).encode()))[0]
    assert s.axis.wcs is None
    assert s.wave_aa[0] == 2550.0


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda t: t[: len(t) // 2], "truncated"),
        (lambda t: t.replace(" 2500.00  10000.00", "10000.00   2500.00"), "bad_table"),
        (lambda t: t.replace("    0.000", "  letters", 1), "bad_table"),
    ],
)
def test_bad_templates_are_data_errors(spoil, code: str) -> None:
    text, _ = template()
    source = SourceFile("x.lnw", spoil(text).encode())
    with pytest.raises(DataError) as caught:
        list(snid.read(source))
    assert caught.value.code == code
    assert caught.value.remedy


@pytest.mark.parametrize(
    "data", [b"<html>", b"SIMPLE  =", b"1 2 3\n4 5 6\n7 8 9\n", b"wave,flux\n1,2\n", b"\x00" * 99]
)
def test_other_files_are_not_templates(data: bytes) -> None:
    assert snid.recognise(SourceFile("x", data)) == 0
