"""JWST extracted spectra: the documented table layouts, and a real NIRSpec galaxy at z = 7.82."""

from __future__ import annotations

import gzip
import io
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import FluxCalibration, Normalisation, Spectrum, UncertaintyKind
from spectrarium.read import jwst
from spectrarium.read.check import check
from spectrarium.read.registry import CERTAIN, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile

N = 120
WAVE_UM = np.linspace(2.9, 5.2, N)
RNG = np.random.default_rng(5)
FLUX = 1e-6 * (1 + 0.05 * RNG.standard_normal(N))
ERR = np.full(N, 5e-8)
DQ = np.zeros(N, np.uint32)
DQ[3] = 1
DQ[4] = 2**31 + 4
PRIMARY: dict[str, Any] = {
    "TELESCOP": "JWST", "INSTRUME": "NIRSPEC", "DATAMODL": "MultiSpecModel", "CAL_VER": "1.18.0",
    "FILENAME": "jw01345-o071_s01027_nirspec_x1d.fits", "EXP_TYPE": "NRS_FIXEDSLIT",
    "TARGNAME": "GJ 1", "TARG_RA": 214.9, "TARG_DEC": 52.85, "EXPSTART": 59935.25,
    "EXPEND": 59935.30, "XPOSURE": 3000.0, "EFFINTTM": 30.0, "S_PHOTOM": "COMPLETE",
    "FILTER": "F290LP", "GRATING": "G395M",
}  # fmt: skip


def pixels(flux: Any = FLUX, name: str = "EXTRACT1D", **cards: Any) -> fits.BinTableHDU:
    """The x1d layout: one row per wavelength bin."""
    error = "FLUX_ERROR" if name == "EXTRACT1D" else "ERROR"
    table = fits.BinTableHDU.from_columns(
        [fits.Column("WAVELENGTH", "D", "um", array=WAVE_UM),
         fits.Column("FLUX", "D", "Jy", array=flux), fits.Column(error, "D", "Jy", array=ERR),
         fits.Column("SURF_BRIGHT", "D", "MJy/sr", array=np.zeros(N)),
         fits.Column("DQ", "J", bzero=2**31, array=DQ),
         fits.Column("NPIXELS", "D", array=np.full(N, 6.0))],
        name=name,
    )  # fmt: skip
    table.header.update(cards)
    return table


def rows(n_valid: list[int], **scalars: Any) -> fits.BinTableHDU:
    """The layout since pipeline 1.18: a row per source or integration, NaN-padded."""
    k = len(n_valid)
    wave, flux, err = (np.full((k, N), np.nan) for _ in range(3))
    for i, n in enumerate(n_valid):
        wave[i, :n], flux[i, :n], err[i, :n] = WAVE_UM[:n], FLUX[:n] * (i + 1), ERR[:n]
    columns = [
        fits.Column("WAVELENGTH", f"{N}D", "um", array=wave),
        fits.Column("FLUX", f"{N}D", "Jy", array=flux),
        fits.Column("FLUX_ERROR", f"{N}D", "Jy", array=err),
        fits.Column("DQ", f"{N}J", bzero=2**31, array=np.tile(DQ, (k, 1))),
        fits.Column("N_ALONGDISP", "J", array=n_valid),
        fits.Column("SOURCE_TYPE", "20A", array=["POINT"] * k),
    ]
    for name, values in scalars.items():
        code = "J" if name in {"SOURCE_ID", "INT_NUM"} else "D"
        columns.append(fits.Column(name.replace("MJD_", "MJD-"), code, array=values))
    return fits.BinTableHDU.from_columns(columns, name="EXTRACT1D")


def file(*tables: fits.BinTableHDU, **cards: Any) -> bytes:
    """Primary header and tables."""
    primary = fits.PrimaryHDU()
    for key, value in (PRIMARY | cards).items():
        if value is not None:
            primary.header[key] = value
    out = io.BytesIO()
    fits.HDUList([primary, *tables]).writeto(out)
    return out.getvalue()


def items(data: bytes, **options: Any) -> list[Any]:
    """Everything read from a file that must be recognised with certainty."""
    source = SourceFile("x.fits", data, options=ReadOptions(**options))
    assert jwst.recognise(source) == CERTAIN
    return list(jwst.read(source))


def test_x1d_arrays_units_and_flags() -> None:
    (s,) = items(file(pixels()))
    assert np.array_equal(s.flux, FLUX)
    assert np.array_equal(s.uncertainty, ERR)
    assert s.uncertainty_kind is UncertaintyKind.STD
    np.testing.assert_allclose(s.wave_aa, WAVE_UM * 1e4)
    assert (s.axis.medium, s.axis.specsys) == (Medium.VACUUM, SpecSys.UNKNOWN)
    assert s.flux_unit == "Jy"
    assert s.flags.dtype == np.uint32
    assert np.array_equal(s.flags, DQ)
    assert np.flatnonzero(s.mask).tolist() == [3], "only DO_NOT_USE is unusable"
    assert s.flag_scheme.bits[2] == "JUMP_DET"
    assert set(s.extras) == {"npixels"}, "SURF_BRIGHT was never filled"
    assert s.flux_calibration is FluxCalibration.ABSOLUTE
    assert s.normalisation is Normalisation.NONE


def test_x1d_observation() -> None:
    (s,) = items(file(pixels()))
    o = s.observation
    assert (o.obs_collection, o.obs_id) == ("JWST-NIRSPEC", "jw01345-o071_s01027_nirspec_x1d")
    assert (o.target_name, o.s_ra, o.s_dec) == ("GJ 1", 214.9, 52.85)
    assert (o.t_min, o.t_max, o.t_exptime) == (59935.25, 59935.30, 3000.0)
    assert o.metadata["grating"] == "G395M"
    assert s.provenance.pipeline == "jwst 1.18.0"


def test_frame_is_what_specsys_says() -> None:
    data = file(pixels(SPECSYS="BARYCENT", VELOSYS=-12345.6))
    (s,) = items(data, specsys=SpecSys.TOPOCENT)
    assert s.axis.specsys is SpecSys.BARYCENT
    assert s.observation.metadata["velosys_m_s"] == -12345.6
    assert items(file(pixels()), specsys=SpecSys.BARYCENT)[0].axis.specsys is SpecSys.BARYCENT


def test_slits_are_spectra_of_their_own_and_the_field_is_not_the_source() -> None:
    one = pixels(SLTNAME="1", SOURCEID=7, SRCRA=214.95, SRCDEC=52.9, SRCNAME="1345_7")
    two = pixels(FLUX * 2, SLTNAME="2", SOURCEID=8, SRCNAME="1345_8")
    wrong = pixels(FLUX * 3, SOURCEID=9, SRCRA=214.95, SRCDEC=-52.9)
    got = items(file(one, two, wrong, EXP_TYPE="NRS_MSASPEC"))
    assert [(i.observation.s_ra, i.observation.s_dec) for i in got] == [
        (214.95, 52.9), (None, None), (None, None),
    ]  # fmt: skip
    assert [i.observation.target_name for i in got] == ["1345_7", "1345_8", None]
    assert len({i.observation.obs_id for i in got}) == 3
    assert got[1].observation.metadata["field_ra"] == 214.9
    assert "no coordinates" in got[1].provenance.warnings
    assert any("not used" in w for w in got[2].provenance.warnings)


def test_rows_of_sources_lose_their_padding() -> None:
    table = rows([N, 50, 0], SOURCE_ID=[11, 12, 13], SOURCE_RA=[214.8, 214.9, 215.0],
                 SOURCE_DEC=[52.8, 52.9, 52.7])  # fmt: skip
    a, b, none = items(file(table, EXP_TYPE="NIS_WFSS", INSTRUME="NIRISS"))
    assert (len(a), len(b)) == (N, 50)
    assert np.array_equal(b.flux, FLUX[:50] * 2)
    assert np.array_equal(b.flags, DQ[:50])
    assert (b.observation.s_ra, b.observation.metadata["source_id"]) == (214.9, 12)
    assert b.observation.metadata["source_type"] == "POINT"
    assert b.provenance.row == 1
    assert isinstance(none, NotASpectrum)
    assert none.row == 2


def test_integrations_have_their_own_times() -> None:
    table = rows([N, N], INT_NUM=[1, 2], MJD_BEG=[59935.25, 59935.26], MJD_END=[59935.26, 59935.27])
    a, b = items(file(table, EXP_TYPE="NRS_BRIGHTOBJ"))
    assert (a.observation.t_min, b.observation.t_min) == (59935.25, 59935.26)
    assert b.observation.t_exptime == 30.0
    assert b.observation.metadata["integration"] == 2
    assert a.observation.obs_id != b.observation.obs_id


def test_c1d() -> None:
    (s,) = items(file(pixels(name="COMBINE1D"), DATAMODL="MultiCombinedSpecModel"))
    assert np.array_equal(s.uncertainty, ERR)
    assert s.observation.calib_level == 3


def test_uncalibrated_and_errorless() -> None:
    table = pixels()
    table.columns["FLUX"].unit = "DN/s"
    table.data["FLUX_ERROR"][:] = 0
    (s,) = items(file(table, S_PHOTOM="SKIPPED"))
    assert s.flux_calibration is FluxCalibration.UNCALIBRATED
    assert s.flux_unit == "DN/s"
    assert s.uncertainty is None


def test_bad_files_and_strangers() -> None:
    empty = fits.BinTableHDU.from_columns([fits.Column("X", "D", array=[1.0])], name="EXTRACT1D")
    bad, good = items(file(empty, pixels()))
    assert isinstance(bad, DataError)
    assert (bad.code, bad.hdu) == ("no_column", 1)
    assert isinstance(good, Spectrum)
    unitless = pixels()
    unitless.columns["WAVELENGTH"].unit = None
    (bad,) = items(file(unitless))
    assert bad.code == "bad_wave_unit"
    (s,) = items(file(unitless), wave_unit="um")
    assert s.wave_aa[0] == pytest.approx(29000)
    with pytest.raises(DataError):
        jwst.recognise(SourceFile("x.fits", file(pixels())[:-2880]))
    assert jwst.recognise(SourceFile("x.fits", file(pixels(), TELESCOP="HST"))) == 0
    assert jwst.recognise(SourceFile("x.fits", file())) == 0
    assert jwst.recognise(SourceFile("x.txt", b"EXTRACT1D")) == 0


def test_real_ceers_galaxy(data_dir: Any) -> None:
    path = next(data_dir.glob("format_zoo/raw/lime__hlsp_ceers_*x1d-masked.fits.gz"))
    source = SourceFile.open(path)
    assert jwst.recognise(source) == CERTAIN
    (s,) = jwst.read(source)
    assert isinstance(s, Spectrum)
    check(s)
    with gzip.open(path) as handle:
        table = fits.getdata(io.BytesIO(handle.read()), 1)
    assert np.array_equal(s.flux, table["FLUX"], equal_nan=True)
    assert s.uncertainty is not None
    assert np.array_equal(s.uncertainty, table["FLUX_ERROR"], equal_nan=True)
    assert len(s) == 3402
    assert s.mask.sum() == np.isnan(table["FLUX_ERROR"]).sum()
    # [O III] 5008.24 Å (vacuum) at the published z = 7.82 is the strongest line
    peak = s.wave_aa[np.nanargmax(np.where(s.mask, np.nan, s.flux))]
    assert peak / 5008.24 - 1 == pytest.approx(7.82, abs=0.005)
    o = s.observation
    assert (o.obs_collection, o.target_name) == ("JWST-CEERS", "nirspec10-001027")
    assert o.s_ra is None, "the header's target is the centre of the multi-object field"
    assert o.t_exptime == pytest.approx(3063.666)
    assert s.flags is None, "DQ lost its integer type in this masked copy"
    assert "dq" in s.extras
