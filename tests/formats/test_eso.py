"""ESO Phase 3 tables: the published column layouts of seven instruments, and a real X-shooter."""

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
from spectrarium.read import eso
from spectrarium.read.registry import CERTAIN
from spectrarium.read.source import ReadOptions, SourceFile

N = 500
WAVE_AA = 6000.0 + 0.5 * np.arange(N)
RNG = np.random.default_rng(7)
FLUX = (1000.0 + 30.0 * RNG.standard_normal(N)).astype(np.float32)
ERR = np.full(N, 30.0, np.float32)
OTHER = RNG.uniform(1, 2, N).astype(np.float32)
AIR, VAC = "em.wl;obs.atmos", "em.wl"
UNCAL = "phot.flux.density;em.wl;stat.uncalib"
CGS = "erg.cm**(-2).s**(-1).angstrom**(-1)"
V1, V2, ESO = "Spectrum.Data.", "spec:Data.", "eso:Data."
S, F, E = "SpectralAxis.Value", "FluxAxis.Value", "FluxAxis.Accuracy.StatError"
Q = "FluxAxis.Accuracy.QualityStatus"
NAN = np.full(N, np.nan, np.float32)

HARPS = [
    ("WAVE", V1 + S, AIR, "angstrom", WAVE_AA),
    ("FLUX", V1 + F, UNCAL, "adu", FLUX),
    ("ERR", V1 + E, "stat.error;" + UNCAL, "adu", NAN),
]
UVES = [  # main columns in both spellings of the model; the sky has HARPS's flux UCD
    ("WAVE", V2 + S, AIR, "angstrom", WAVE_AA),
    ("BGFLUX_REDUCED", V2 + "BackgroundModel.Value", UNCAL, "adu", OTHER),
    ("FLUX_REDUCED", V1 + F, "phot.flux.density;em.wl;src.net;stat.uncalib", "adu", FLUX),
    ("ERR_REDUCED", V2 + E, "stat.error;phot.flux.density", "adu", ERR),
]
XSHOOTER = [  # the ADU error comes first: order alone would pair it with the erg flux
    ("WAVE", V2 + S, AIR, "nm", WAVE_AA / 10),
    ("ERR_REDUCED", ESO + E, "stat.error;phot.flux.density", "adu", OTHER),
    ("FLUX_REDUCED", ESO + F, UNCAL, "adu", OTHER * 7),
    ("FLUX", V2 + F, "phot.flux.density;em.wl;src.net;meta.main", CGS, FLUX),
    ("ERR", V2 + E, "stat.error;phot.flux.density;meta.main", CGS, ERR),
    ("QUAL", V2 + Q, "meta.code.qual;meta.main", " ", (np.arange(N) % 10 == 0).astype(np.int32)),
]
GIRAFFE = [
    ("WAVE", V2 + S, AIR, "nm", WAVE_AA / 10),
    ("FLUX_REDUCED", V2 + F, UNCAL, "adu", FLUX),
    ("ERR_REDUCED", V2 + E, "stat.error;" + UNCAL, "adu", ERR),
    ("QUAL_REDUCED", V2 + Q.replace("Accuracy", "Accurancy"), "meta.code.qual", "",
     np.where(np.arange(N) < 20, 4, 0).astype(np.int32)),
]  # fmt: skip
ESPRESSO = [
    ("WAVE", V2 + S, "em.wl;meta.main", "angstrom", WAVE_AA),
    ("FLUX", V2 + F, "phot.flux.density;em.wl;meta.main", CGS, FLUX),
    ("ERR", V2 + E, "stat.error;phot.flux.density;meta.main", CGS, ERR),
    ("SNR", ESO + "FluxAxis.Accuracy.SNR", "stat.snr", "", OTHER),
    ("WAVE_AIR", ESO + S, AIR, "angstrom", WAVE_AA / 1.00028),
    ("FLUX_EL", ESO + F, "", "", OTHER),
    ("ERR_EL", ESO + E, "", "", OTHER),
    ("FLUX_CAL", ESO + F, "phot.flux.density;em.wl", CGS, OTHER),
    ("ERR_CAL", ESO + E, "stat.error;phot.flux.density", CGS, OTHER),
]


def build(
    columns: list[tuple[str, str | None, str | None, str, Any]],
    *,
    ext: dict[str, Any] | None = None,
    **cards: Any,
) -> bytes:
    """A Phase 3 file with these (name, utype, UCD, unit, values) columns."""
    primary = fits.PrimaryHDU()
    head = {
        "TELESCOP": "ESO-3.6", "INSTRUME": "HARPS", "OBJECT": "HD 1", "RA": 10.5, "DEC": -20.25,
        "MJD-OBS": 55000.25, "MJD-END": 55000.26, "EXPTIME": 900.0, "SPECSYS": "BARYCENT",
        "PRODCATG": "SCIENCE.SPECTRUM", "FLUXCAL": "UNCALIBRATED", "CONTNORM": False,
        "SNR": 46.1, "SPEC_RES": 115000.0, "FLUXERR": -1.0, "PROG_ID": "072.C-0488(E)",
        "ARCFILE": "ADP.2014-09-16T11:03:30.947.fits", "ORIGFILE": "s1d.fits",
    }  # fmt: skip
    for key, value in (head | {k.replace("_OBS", "-OBS"): v for k, v in cards.items()}).items():
        if value is not None:
            primary.header[key] = value
    made = []
    for name, _, _, unit, values in columns:
        code = {"f4": "E", "f8": "D", "i4": "J", "i2": "I"}[values.dtype.str[1:]]
        made.append(fits.Column(name, f"{values.size}{code}", unit=unit or None, array=[values]))
    table = fits.BinTableHDU.from_columns(made, name="SPECTRUM")
    for i, (_, utype, ucd, _, _) in enumerate(columns, 1):
        if utype is not None:
            table.header[f"TUTYP{i}"] = utype
        if ucd is not None:
            table.header[f"TUCD{i}"] = ucd
    defaults = {"VOCLASS": "SPECTRUM V2.0", "VOPUB": "ESO/SAF", "NELEM": columns[0][4].size}
    for key, value in (defaults | (ext or {})).items():
        table.header[key] = value
    out = io.BytesIO()
    fits.HDUList([primary, table]).writeto(out)
    return out.getvalue()


def one(data: bytes, **options: Any) -> Spectrum:
    """The only item of a file, which must be a spectrum."""
    source = SourceFile("x.fits", data, options=ReadOptions(**options))
    assert eso.recognise(source) == CERTAIN
    (item,) = eso.read(source)
    assert isinstance(item, Spectrum), item
    return item


def test_harps_is_air_barycentric_and_its_nan_errors_are_no_errors() -> None:
    s = one(build(HARPS, **{"HIERARCH ESO DRS BERV": -12.5, "HIERARCH ESO DRS BJD": 2455000.7}))
    assert (s.axis.medium, s.axis.specsys) == (Medium.AIR, SpecSys.BARYCENT)
    assert s.uncertainty is None
    assert s.uncertainty_kind is UncertaintyKind.NONE
    assert any("all NaN" in w for w in s.provenance.warnings)
    assert not s.mask.any()
    assert s.flux.dtype == np.float32
    assert np.array_equal(s.flux, FLUX)
    np.testing.assert_allclose(s.wave_aa, WAVE_AA, rtol=0, atol=1e-9)
    o = s.observation
    assert (o.obs_collection, o.obs_id) == ("HARPS", "ADP.2014-09-16T11:03:30.947")
    assert o.obs_creator_did == "ivo://eso.org/ID?ADP.2014-09-16T11:03:30.947"
    assert (o.s_ra, o.s_dec, o.t_min, o.t_max) == (10.5, -20.25, 55000.25, 55000.26)
    assert (o.t_exptime, o.em_res_power, o.snr, o.berv_kms) == (900.0, 115000.0, 46.1, -12.5)
    assert o.bjd_tdb is None, "the HARPS DRS does not say that its BJD is TDB"
    assert o.metadata["drs_bjd"] == 2455000.7
    assert "fluxerr_percent" not in o.metadata
    assert s.flux_calibration is FluxCalibration.UNCALIBRATED
    assert s.normalisation is Normalisation.NONE


def test_a_topocentric_file_is_topocentric_and_an_unknown_frame_unknown() -> None:
    assert one(build(HARPS, SPECSYS="TOPOCENT")).axis.specsys is SpecSys.TOPOCENT
    bare = build(HARPS, SPECSYS=None)
    assert one(bare).axis.specsys is SpecSys.UNKNOWN
    assert one(bare, specsys=SpecSys.HELIOCEN).axis.specsys is SpecSys.HELIOCEN
    said = build(HARPS)
    assert one(said, specsys=SpecSys.HELIOCEN).axis.specsys is SpecSys.BARYCENT


def test_uves_sky_is_not_the_star() -> None:
    s = one(build(UVES, INSTRUME="UVES"))
    assert np.array_equal(s.flux, FLUX)
    assert s.uncertainty is not None
    assert np.array_equal(s.uncertainty, ERR)
    assert set(s.extras) == {"sky"}
    assert np.array_equal(s.extras["sky"], OTHER)


def test_xshooter_pairs_the_calibrated_flux_with_its_own_error() -> None:
    s = one(build(XSHOOTER, INSTRUME="XSHOOTER", FLUXCAL="ABSOLUTE", FLUXERR=8.0))
    assert np.array_equal(s.flux, FLUX)
    assert s.uncertainty is not None
    assert np.array_equal(s.uncertainty, ERR)
    assert set(s.extras) == {"err_reduced", "flux_reduced"}
    assert s.axis.unit == "nm"
    np.testing.assert_allclose(s.wave_aa, WAVE_AA, rtol=1e-12)
    assert s.flux_calibration is FluxCalibration.ABSOLUTE
    assert s.observation.metadata["fluxerr_percent"] == 8.0
    assert s.flags is not None
    assert s.flags.dtype == np.int32
    assert np.array_equal(s.mask, np.arange(N) % 10 == 0)


def test_an_error_of_another_namespace_or_unit_is_never_borrowed() -> None:
    foreign = [c for c in XSHOOTER if c[0] != "ERR"]
    s = one(build(foreign))
    assert s.uncertainty is None
    assert "err_reduced" in s.extras
    assert any("none can be matched" in w for w in s.provenance.warnings)
    percent = [(*c[:3], "%", c[4]) if c[0] == "ERR" else c for c in XSHOOTER]
    s = one(build(percent))
    assert s.uncertainty is None
    assert np.array_equal(s.extras["err"], ERR)


def test_giraffe_quality_is_found_under_its_misspelt_utype() -> None:
    s = one(build(GIRAFFE, INSTRUME="GIRAFFE"))
    assert s.flag_scheme is not None
    assert s.flag_scheme.name == "GIRAFFE QUAL_REDUCED"
    assert np.array_equal(s.mask, np.arange(N) < 20)


def test_espresso_is_vacuum_and_its_second_axis_is_an_extra() -> None:
    s = one(build(ESPRESSO, INSTRUME="ESPRESSO", **{"HIERARCH ESO QC BJD": 2458425.5}))
    assert s.axis.medium is Medium.VACUUM
    np.testing.assert_array_equal(s.wave_aa, WAVE_AA)
    assert s.uncertainty is not None
    assert np.array_equal(s.uncertainty, ERR)
    assert {"wave_air", "flux_el", "err_el", "flux_cal", "err_cal", "snr"} == set(s.extras)
    assert s.observation.bjd_tdb == 2458425.5


def test_a_column_without_ucd_leaves_the_medium_unknown() -> None:
    silent = build([(*HARPS[0][:2], None, *HARPS[0][3:]), *HARPS[1:]])
    assert one(silent).axis.medium is Medium.UNKNOWN
    assert one(silent, medium=Medium.AIR).axis.medium is Medium.AIR
    assert one(build(HARPS), medium=Medium.VACUUM).axis.medium is Medium.AIR


def test_the_medium_comes_from_the_wavelength_column_wherever_it_stands() -> None:
    assert one(build([HARPS[1], HARPS[0], HARPS[2]])).axis.medium is Medium.AIR


def test_standard_names_serve_where_there_are_no_utypes() -> None:
    plain = [(name, None, ucd, unit, values) for name, _, ucd, unit, values in HARPS]
    assert np.array_equal(one(build(plain)).flux, FLUX)


def test_normalised_spectra_say_so() -> None:
    columns = [
        HARPS[0],
        ("FLUX_NORM", V2 + F, "phot.flux.density;em.wl;arith.ratio;meta.main", "", FLUX / 1000),
        ("ERR_NORM", V2 + E, "stat.error;phot.flux.density;meta.main", "", ERR / 1000),
        ("FLUX", ESO + F, "phot.flux.density;em.wl", CGS, FLUX),
        ("ERR", ESO + E, "stat.error;phot.flux.density;em.wl", CGS, ERR),
    ]
    s = one(build(columns, CONTNORM=True))
    assert s.normalisation is Normalisation.CONTINUUM_DIVIDED
    assert s.flux_unit == ""
    assert np.array_equal(s.flux, FLUX / 1000)
    assert np.array_equal(s.extras["flux"], FLUX)
    assert s.uncertainty is not None
    assert np.array_equal(s.uncertainty, ERR / 1000)


def test_uves_squad_status_counts_one_as_good() -> None:
    status = np.where(np.arange(N) % 3 == 0, -5, 1).astype(np.int16)
    s = one(build([*HARPS[:2], ("STATUS", V1 + Q, "meta.code.qual", "", status)]))
    assert s.flags is not None
    assert s.flags.dtype == np.int16
    assert np.array_equal(s.mask, status < 0)


def test_a_quality_column_of_unknown_polarity_is_not_used_but_kept() -> None:
    weird = np.full(N, 3, np.int32)
    s = one(build([*HARPS[:2], ("QUAL", V1 + Q, "meta.code.qual", "", weird)]))
    assert s.flags is None
    assert np.array_equal(s.extras["qual"], weird)
    assert any("never says good" in w for w in s.provenance.warnings)


def test_uves_popler_negative_errors_become_flags() -> None:
    err = np.where(np.arange(N) < 50, -1.0, 30.0).astype(np.float32)
    s = one(build([*HARPS[:2], (*HARPS[2][:4], err)], PROCSOFT="UVES_popler 1.00"))
    assert s.flags is not None
    assert s.flag_scheme is not None
    assert np.array_equal(s.flag_scheme.mask(s.flags), err < 0)
    assert s.uncertainty is not None
    assert np.array_equal(s.uncertainty, err)


@pytest.mark.parametrize(
    ("arcfile", "p3orig", "expected"),
    [("ADP.2020-01-01T00:00:00.000.fits", "IDP", "ADP.2020-01-01T00:00:00.000"),
     ("HARPS.2020-01-01T00:00:00.000.fits", None, None),
     (None, "EDP", "s1d.fits")],
)  # fmt: skip
def test_only_names_given_by_the_archive_identify(
    arcfile: str | None, p3orig: str | None, expected: str | None
) -> None:
    assert one(build(HARPS, ARCFILE=arcfile, P3ORIG=p3orig)).observation.obs_id == expected


def test_missing_coordinates_are_a_warning() -> None:
    s = one(build(HARPS, RA=None, DEC=None))
    assert s.observation.s_ra is None
    assert "no coordinates" in s.provenance.warnings


def items(data: bytes) -> list[Any]:
    """Everything the reader yields."""
    return list(eso.read(SourceFile("x.fits", data)))


def test_bad_tables_are_data_errors_with_their_hdu() -> None:
    cases = {
        "mismatched_lengths": build(HARPS, ext={"NELEM": N + 1}),
        "no_column": build([HARPS[0]]),
        "bad_wave_unit": build([(*HARPS[0][:3], "", WAVE_AA), *HARPS[1:]]),
    }
    for code, data in cases.items():
        (item,) = items(data)
        assert isinstance(item, DataError), item
        assert (item.code, item.hdu) == (code, 1)
    short = items(build([HARPS[0], (*HARPS[1][:4], FLUX[:-1])]))
    assert isinstance(short[0], DataError)
    assert short[0].code == "mismatched_lengths"


def test_a_declared_unit_mends_a_missing_one_only() -> None:
    silent = build([(*HARPS[0][:3], "", WAVE_AA), *HARPS[1:]])
    assert one(silent, wave_unit="Angstrom").wave_aa[0] == 6000.0
    assert one(build(HARPS), wave_unit="nm").wave_aa[0] == 6000.0


def test_truncated_files_and_strangers() -> None:
    data = build(HARPS)
    with pytest.raises(DataError, match="left"):
        eso.recognise(SourceFile("x.fits", data[:-2880]))
    other = build(HARPS, PRODCATG=None, ext={"VOPUB": "MAST"})
    assert eso.recognise(SourceFile("x.fits", other)) == 0
    assert eso.recognise(SourceFile("x.txt", b"6000 1\n6001 2\n")) == 0
    cube = build(HARPS, PRODCATG="SCIENCE.CUBE.IFS", ext={"VOPUB": "none"})
    assert eso.recognise(SourceFile("x.fits", cube)) == 0


def test_real_xshooter_xq100(data_dir: Any) -> None:
    path = data_dir / "format_zoo/raw/linetools__XShooter_XQ100.fits.gz"
    source = SourceFile.open(path)
    assert eso.recognise(source) == CERTAIN
    (s,) = eso.read(source)
    assert isinstance(s, Spectrum)
    with gzip.open(path) as handle:
        table = fits.getdata(io.BytesIO(handle.read()), 1)[0]
    assert np.array_equal(s.flux, table["FLUX"])
    assert s.flux.dtype == np.float32
    assert s.uncertainty is not None
    assert np.array_equal(s.uncertainty, table["ERR_FLUX"])
    assert np.array_equal(s.extras["continuum"], table["CONTINUUM"])
    assert np.array_equal(s.extras["flux_tell_corr"], table["FLUX_TELL_CORR"])
    np.testing.assert_allclose(s.wave_aa, table["WAVE"].astype(float) * 10)
    assert (s.axis.medium, s.axis.specsys) == (Medium.VACUUM, SpecSys.HELIOCEN)
    assert s.observation.obs_id == "ADP.2016-07-15T08:22:40.678"
    assert s.observation.t_exptime == 3600.0
    assert s.observation.em_res_power == 5300.0
    # the band between J and H is opaque whatever the target, medium or frame
    wave = s.wave_aa
    ratio = np.median(s.flux[(wave > 13600) & (wave < 14100)]) / np.median(
        s.flux[(wave > 12500) & (wave < 13000)]
    )
    assert ratio < 0.5
