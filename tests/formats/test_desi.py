"""DESI coadd and spectra files: arms by name, masks, identity, redshifts, flat memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.domain.units import parse_unit
from spectrarium.read.check import check
from spectrarium.read.desi import READERS
from spectrarium.read.registry import CERTAIN, LIKELY, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile

READER = READERS[0]
COADDS = {
    "coadd-5-169-thru20210419.fits.gz": (1, 4),
    "coadd-special-dark-27247.fits.gz": (1, 0),
    "coadd-sv3-dark-26065.fits.gz": (2, 3),
}
"""File → (targets with data, targets without)."""
GRIDS = {"B": (3600.0, 5800.0), "R": (5760.0, 7620.0), "Z": (7520.0, 9824.0)}


def build(
    path: Path, *, n_rows: int = 3, arms: str = "BRZ", exposures: bool = False,
    compress: bool = False, **changes: object,
) -> fits.HDUList:  # fmt: skip
    """A small file to the published layout."""
    rng = np.random.default_rng(7)
    primary = fits.PrimaryHDU()
    for key, value in (("HPXPIXEL", 9), ("SURVEY", "main"), ("PROGRAM", "bright")):
        primary.header[key] = value
    targets = np.arange(n_rows, dtype="i8") + 39_627_866_878_511_337
    columns = [
        fits.Column("TARGETID", "K", array=targets),
        fits.Column("TARGET_RA", "D", array=np.linspace(10.0, 11.0, n_rows)),
        fits.Column("TARGET_DEC", "D", array=np.full(n_rows, -5.0)),
        fits.Column("OBJTYPE", "3A", array=["TGT"] * (n_rows - 1) + ["SKY"]),
    ]
    if exposures:
        columns += [
            fits.Column("EXPID", "J", array=np.full(n_rows, 83_734)),
            fits.Column("FIBER", "J", array=np.arange(n_rows)),
            fits.Column("MJD", "D", array=np.full(n_rows, 59_311.25)),
            fits.Column("EXPTIME", "D", array=np.full(n_rows, 864.0)),
        ]
    hdus = [primary, fits.BinTableHDU.from_columns(columns, name="FIBERMAP")]
    for arm in [arms] if arms == "BRZ" and changes.get("merged") else arms:
        low, high = GRIDS.get(arm, (3600.0, 9824.0))
        wave = np.arange(low, high + 0.4, 0.8)[:600]
        mask = np.zeros((n_rows, wave.size), "u4")
        mask[:, 5], mask[:, 6] = 1 << 2, 2**31
        flux = fits.ImageHDU(rng.normal(1, 1, mask.shape).astype("f4"), name=f"{arm}_FLUX")
        flux.header["BUNIT"] = "10**-17 erg/(s cm2 Angstrom)"
        image = fits.CompImageHDU if compress else fits.ImageHDU
        options = {"compression_type": "GZIP_1"} if compress else {}
        hdus += [
            fits.ImageHDU(wave, name=f"{arm}_WAVELENGTH"), flux,
            fits.ImageHDU(np.full(mask.shape, 4.0, "f4"), name=f"{arm}_IVAR"),
            image(mask, name=f"{arm}_MASK", **options),
        ]  # fmt: skip
    out = fits.HDUList(hdus)
    out.writeto(path, overwrite=True)
    return out


def spectra(path: Path, options: ReadOptions | None = None) -> list[Spectrum]:
    source = SourceFile.open(path, options)
    assert READER.recognise(source) == CERTAIN
    items = list(READER.read(source))
    bad = [item for item in items if not isinstance(item, Spectrum)]
    assert not bad, bad
    return [check(item) for item in items if isinstance(item, Spectrum)]


@pytest.mark.parametrize("name", COADDS)
def test_real_coadds_arm_by_arm(data_dir: Path, name: str) -> None:
    path = data_dir / "desi_coadds" / "raw" / name
    source = SourceFile.open(path)
    assert READER.recognise(source) == CERTAIN
    items = list(READER.read(source))
    good = [check(item) for item in items if isinstance(item, Spectrum)]
    empty = [item for item in items if isinstance(item, DataError)]
    assert (len(good), len(empty)) == (3 * COADDS[name][0], COADDS[name][1])
    assert {error.code for error in empty} <= {"no_good_pixels"}
    assert len({s.observation.obs_id for s in good}) == len(good)
    with fits.open(path) as truth:
        for error in empty:
            assert all(not truth[f"{arm}_IVAR"].data[error.row].any() for arm in "BRZ")
        for spectrum in good:
            row, arm = spectrum.provenance.row, str(spectrum.observation.metadata["arm"]).upper()
            for array, hdu in ((spectrum.flux, "FLUX"), (spectrum.uncertainty, "IVAR"),
                               (spectrum.flags, "MASK")):  # fmt: skip
                expected = truth[f"{arm}_{hdu}"].data[row]
                assert array is not None
                assert array.dtype == expected.dtype.newbyteorder("=")
                np.testing.assert_array_equal(array, expected)
            np.testing.assert_array_equal(spectrum.wave_aa, truth[f"{arm}_WAVELENGTH"].data)
            table = truth["FIBERMAP"].data[row]
            seen = spectrum.observation
            assert seen.obs_id is not None
            assert str(table["TARGETID"]) in seen.obs_id
            assert seen.s_ra == table["TARGET_RA"]
            assert seen.t_exptime == pytest.approx(float(table["COADD_EXPTIME"]))
            exposures = truth["EXP_FIBERMAP"].data
            exposures = exposures[exposures["TARGETID"] == table["TARGETID"]]
            assert seen.t_min == exposures["MJD"].min()
            score = truth["SCORES"].data[row][f"MEDIAN_COADD_SNR_{arm}"]
            assert seen.snr == pytest.approx(float(score))


def test_units_medium_frame_and_resolution(data_dir: Path) -> None:
    path = data_dir / "desi_coadds" / "raw" / "coadd-special-dark-27247.fits.gz"
    for spectrum, (low, high) in zip(
        spectra(path), ((2000, 3600), (3400, 5200), (4000, 5800)), strict=True
    ):
        assert spectrum.axis.medium is Medium.VACUUM
        assert spectrum.axis.specsys is SpecSys.BARYCENT
        assert spectrum.uncertainty_kind is UncertaintyKind.IVAR
        unit = parse_unit(spectrum.flux_unit)
        assert unit is not None
        assert unit.to("W m-2 nm-1") == pytest.approx(1e-19)
        # Abareshi et al. 2022, AJ 164, 207, figure 33: the measured range of each camera
        assert spectrum.observation.em_res_power is not None
        assert low < spectrum.observation.em_res_power < high
    ids = [s.observation.obs_id for s in spectra(path)]
    assert ids == [f"special-dark-27247-39089837499744649-{arm}" for arm in "brz"]


def test_resolving_power_of_a_known_line_spread(tmp_path: Path) -> None:
    sigma = 1.5  # pixels
    hdus = build(tmp_path / "a.fits", n_rows=1, arms="R")
    offset = 5 - np.arange(11)
    profile = np.exp(-0.5 * (offset / sigma) ** 2)
    data = np.repeat((profile / profile.sum())[:, None], 600, axis=1)[None].astype("f4")
    hdus.append(fits.ImageHDU(data, name="R_RESOLUTION"))
    hdus.writeto(tmp_path / "b.fits")
    (spectrum,) = spectra(tmp_path / "b.fits")
    expected = spectrum.wave_aa[300] / (2.354820045 * sigma * 0.8)
    assert spectrum.observation.em_res_power == pytest.approx(expected, rel=0.01)
    (without,) = spectra(tmp_path / "a.fits")
    assert without.observation.em_res_power is None


@pytest.mark.parametrize("compress", [False, True])
def test_mask_bits_survive_even_the_sign_bit(tmp_path: Path, compress: bool) -> None:
    build(tmp_path / "c.fits", compress=compress)
    for spectrum in spectra(tmp_path / "c.fits"):
        assert spectrum.flags is not None
        assert spectrum.flags.dtype == np.uint32
        assert (spectrum.flags[5], spectrum.flags[6]) == (4, 2**31)
        assert spectrum.flag_scheme is not None
        assert spectrum.flag_scheme.bits[2] == "COSMIC"
        np.testing.assert_array_equal(np.flatnonzero(spectrum.mask), [5, 6])


def test_exposures_are_identified_by_expid_and_sky_is_labelled(tmp_path: Path) -> None:
    build(tmp_path / "s.fits", exposures=True)
    got = spectra(tmp_path / "s.fits")
    assert len(got) == 9
    assert got[0].observation.obs_collection == "DESI-exposure"
    assert got[0].observation.obs_id == "00083734-39627866878511337-0-b"
    assert got[0].observation.t_max == pytest.approx(59_311.26)
    assert [s.observation.target_class for s in got[-3:]] == ["SKY"] * 3
    # TARGETIDs exceed 2**53: a JSON number would be rounded
    assert got[0].observation.metadata["targetid"] == "39627866878511337"


def test_merged_camera_is_one_spectrum(tmp_path: Path) -> None:
    build(tmp_path / "m.fits", merged=True)
    assert [s.observation.metadata["arm"] for s in spectra(tmp_path / "m.fits")] == ["brz"] * 3


def redshifts(name: str) -> fits.BinTableHDU:
    ids = np.arange(3, dtype="i8") + 39_627_866_878_511_337
    columns = [
        fits.Column("TARGETID", "K", array=ids[::-1]),
        fits.Column("Z", "D", array=[0.3, 0.2, 0.1]),
        fits.Column("ZERR", "D", array=[1e-4] * 3),
        fits.Column("ZWARN", "K", array=[0, 4, 0]),
        fits.Column("SPECTYPE", "6A", array=["STAR", "QSO", "GALAXY"]),
    ]
    return fits.BinTableHDU.from_columns(columns, name=name)


@pytest.mark.parametrize("beside", [False, True])
def test_redshifts_are_joined_by_targetid(tmp_path: Path, beside: bool) -> None:
    path = tmp_path / "coadd-main-bright-9.fits"
    hdus = build(path)
    if beside:
        table = fits.HDUList([fits.PrimaryHDU(), redshifts("REDSHIFTS")])
        table.writeto(tmp_path / "redrock-main-bright-9.fits")
        other = list(READER.read(SourceFile.open(tmp_path / "redrock-main-bright-9.fits")))
        assert other == [NotASpectrum("DESI redshift catalogue", hdu=1)]
    else:
        fits.HDUList([*hdus, redshifts("REDSHIFTS")]).writeto(path, overwrite=True)
    got = spectra(path)[::3]
    assert [s.observation.redshift for s in got] == [0.1, 0.2, None]
    # redrock calls the sky fibre a star
    assert [s.observation.target_class for s in got] == ["GALAXY", "QSO", "SKY"]
    assert got[1].observation.metadata["zwarning"] == 4
    assert bool(got[0].provenance.warnings) is beside


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(n_rows: int) -> int:
        path = tmp_path / f"{n_rows}.fits"
        build(path, n_rows=n_rows, arms="B")
        source = SourceFile.open(path)
        tracemalloc.start()
        for item in READER.read(source):
            assert isinstance(item, Spectrum)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    small, large = peak(50), peak(2000)
    assert large - small < 2000 * 600 * 4 / 2  # half of one flux image


def test_a_repeated_target_keeps_both_rows(tmp_path: Path) -> None:
    path = tmp_path / "r.fits"
    hdus = build(path, n_rows=2, arms="B")
    hdus["FIBERMAP"].data["TARGETID"][1] = hdus["FIBERMAP"].data["TARGETID"][0]
    hdus.writeto(path, overwrite=True)
    ids = {s.observation.obs_id for s in spectra(path)}
    assert len(ids) == 2


def test_collection_can_be_named_and_missing_places_warn(tmp_path: Path) -> None:
    path = tmp_path / "o.fits"
    hdus = build(path, n_rows=1, arms="B")
    hdus["FIBERMAP"].data["TARGET_RA"] = np.nan
    hdus.writeto(path, overwrite=True)
    (spectrum,) = spectra(path, ReadOptions(collection="mine"))
    assert spectrum.observation.obs_collection == "mine"
    assert spectrum.observation.s_ra is None
    assert "no coordinates" in spectrum.provenance.warnings


def test_one_broken_camera_does_not_lose_the_others(tmp_path: Path) -> None:
    path = tmp_path / "b.fits"
    hdus = build(path)
    index = hdus.index_of("R_IVAR")
    hdus[index] = fits.ImageHDU(np.ones((3, 10), "f4"), name="R_IVAR")
    hdus.writeto(path, overwrite=True)
    items = list(READER.read(SourceFile.open(path)))
    errors = [item for item in items if isinstance(item, DataError)]
    assert [(e.code, e.hdu) for e in errors] == [("mismatched_lengths", index)]
    assert len(items) - len(errors) == 6


def test_without_ivar_and_mask_nothing_is_invented(tmp_path: Path) -> None:
    path = tmp_path / "n.fits"
    hdus = build(path, arms="B")
    del hdus["B_IVAR"], hdus["B_MASK"]
    hdus.writeto(path, overwrite=True)
    spectrum = spectra(path)[0]
    assert spectrum.uncertainty is None
    assert spectrum.uncertainty_kind is UncertaintyKind.NONE
    assert spectrum.flags is None


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    build(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DataError) as caught:
        list(READER.read(SourceFile.open(path)))
    assert caught.value.code == "truncated"


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "x.fits"
    fits.PrimaryHDU(np.ones((4, 4))).writeto(other)
    text = tmp_path / "x.csv"
    text.write_text("B_WAVELENGTH,B_FLUX\n1,2\n")
    assert READER.recognise(SourceFile.open(other)) == 0
    assert READER.recognise(SourceFile.open(text)) == 0
    hdus = build(tmp_path / "f.fits", arms="B")
    del hdus["FIBERMAP"]
    hdus.writeto(other, overwrite=True)
    source = SourceFile.open(other)
    assert READER.recognise(source) == LIKELY
    first = next(iter(READER.read(source)))
    assert isinstance(first, Spectrum)
    assert first.observation.obs_id is None
