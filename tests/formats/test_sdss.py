"""SDSS spec, spPlate, spSpec: real files against astropy and the survey's own numbers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.time import Time

from spectrarium.domain.axis import Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import FluxCalibration, Spectrum, UncertaintyKind
from spectrarium.domain.units import parse_unit
from spectrarium.read import sdss
from spectrarium.read.fits import Header
from spectrarium.read.registry import CERTAIN, LIKELY
from spectrarium.read.sdss_common import SPPIXMASK, resolving_power, time_span, utc_of_tai
from spectrarium.read.source import ReadOptions, SourceFile

SPEC, PLATE, SPSPEC, LOGLAM = sdss.READERS
SPEC_FILES = ("0266-51602-0031", "0390-51900-0282", "0411-51817-0119", "0461-51910-0361",
              "0548-51986-0001", "0618-52049-0372", "10000-57346-0002", "10656-58163-0366",
              "1325-52762-0133", "3586-55181-0500")  # fmt: skip


def raw(data_dir: Path, name: str) -> Path:
    return data_dir / "sdss_boss_pool" / "raw_examples" / f"spec-{name}.fits.gz"


def made(*hdus: Any, options: ReadOptions | None = None) -> SourceFile:
    out = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(out)
    return SourceFile("made.fits", out.getvalue(), options=options)


def spectra(source: SourceFile, reader: Any = SPEC) -> list[Spectrum]:
    return [item for item in reader.read(source) if isinstance(item, Spectrum)]


def coadd(n: int = 40, upper: bool = False, drop: str = "") -> fits.BinTableHDU:
    values = {
        "flux": ("E", np.linspace(1, 2, n)), "loglam": ("E", 3.6 + 1e-4 * np.arange(n)),
        "ivar": ("E", np.full(n, 4.0)), "and_mask": ("J", np.zeros(n)),
        "or_mask": ("J", np.full(n, 1 << 23)), "wdisp": ("E", np.full(n, 0.9)),
        "sky": ("E", np.ones(n)), "model": ("E", np.ones(n)),
    }  # fmt: skip
    values.pop(drop, None)
    columns = [
        fits.Column(name.upper() if upper else name, form, array=array)
        for name, (form, array) in values.items()
    ]
    return fits.BinTableHDU.from_columns(columns, name="COADD")


def primary(**keys: Any) -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU()
    for key, value in keys.items():
        hdu.header[key.replace("_", "-") if key.startswith("TAI_") else key] = value
    return hdu


class TestMaskBits:
    def test_published_bits(self) -> None:
        assert SPPIXMASK.bits[23] == "BRIGHTSKY"
        assert SPPIXMASK.bits[18] == "FULLREJECT"
        assert SPPIXMASK.bits[28] == "REDMONSTER"
        assert set(SPPIXMASK.bits) == {*range(13), *range(16, 29)}

    def test_only_bits_that_spoil_a_pixel_are_bad(self) -> None:
        flags = np.array([0] + [1 << b for b in range(29)], dtype=np.int32)
        bad = [b for b, is_bad in enumerate(SPPIXMASK.mask(flags)[1:].tolist()) if is_bad]
        assert bad == [0, 1, 2, 3, 18, 22, 23, 27, 28]
        assert not SPPIXMASK.mask(flags)[0]


class TestTimes:
    @pytest.mark.parametrize("tai", [4458436689.74, 4783034232.0, 5.2e9])
    def test_tai_seconds_become_utc(self, tai: float) -> None:
        expected = Time(tai / 86400.0, format="mjd", scale="tai").utc.mjd
        assert utc_of_tai(tai) == pytest.approx(expected, abs=1e-9)

    def test_nonsense_is_no_time(self) -> None:
        assert utc_of_tai(0.0) is None
        assert utc_of_tai(None) is None
        assert utc_of_tai(1e300) is None

    def test_a_night_alone_gives_the_night(self) -> None:
        header = Header(b"MJDLIST = '51816 51817'".ljust(80))
        assert time_span(header) == (51816 - 0.3, 51817 + 0.7)
        assert time_span(Header(b"")) == (None, None)

    def test_resolving_power(self) -> None:
        power = resolving_power(np.full(1000, 0.9, dtype="f4"))
        sigma = 0.9 * 1e-4 * np.log(10)
        assert power == pytest.approx(1 / (2 * np.sqrt(2 * np.log(2)) * sigma), rel=1e-4)
        assert resolving_power(np.zeros(10)) is None


@pytest.mark.data
class TestRealSpec:
    @pytest.mark.parametrize("name", SPEC_FILES)
    def test_arrays_are_bit_for_bit(self, data_dir: Path, name: str) -> None:
        source = SourceFile.open(raw(data_dir, name))
        assert SPEC.recognise(source) == CERTAIN
        (spectrum,) = spectra(source)
        with fits.open(raw(data_dir, name)) as hdus:
            table = {key.lower(): hdus[1].data[key] for key in hdus[1].data.names}
            for found, key in (
                (spectrum.flux, "flux"), (spectrum.uncertainty, "ivar"),
                (spectrum.axis.values, "loglam"), (spectrum.flags, "and_mask"),
                (spectrum.extras["or_mask"], "or_mask"), (spectrum.extras["wdisp"], "wdisp"),
                (spectrum.extras["sky"], "sky"), (spectrum.extras["model"], "model"),
            ):  # fmt: skip
                assert found is not None
                assert found.dtype == table[key].dtype.newbyteorder("=")
                assert found.tobytes() == table[key].astype(found.dtype).tobytes(), key
        assert spectrum.observation.obs_id == name
        assert spectrum.axis.medium is Medium.VACUUM
        assert spectrum.axis.specsys is SpecSys.HELIOCEN
        assert spectrum.axis.scale is Scale.LOG10
        assert spectrum.uncertainty_kind is UncertaintyKind.IVAR
        assert spectrum.flux_calibration is FluxCalibration.ABSOLUTE
        unit = parse_unit(spectrum.flux_unit)
        assert unit is not None
        assert unit.to(u.erg / u.s / u.cm**2 / u.AA) == pytest.approx(1e-17)

    @pytest.mark.parametrize("name", SPEC_FILES)
    def test_labels_equal_the_survey_catalogue(self, data_dir: Path, name: str) -> None:
        with open(data_dir / "sdss_boss_pool" / "index.csv") as text:
            rows = {row["object_name"]: row for row in csv.DictReader(text)}
        row = rows.get(name)
        if row is None:
            pytest.skip("not in this copy's index")
        (spectrum,) = spectra(SourceFile.open(raw(data_dir, name)))
        obs = spectrum.observation
        assert obs.s_ra == pytest.approx(float(row["ra"]), abs=1e-5)
        assert obs.s_dec == pytest.approx(float(row["dec"]), abs=1e-5)
        assert obs.target_class == row["obj_class"]
        if row["z"]:
            assert obs.redshift == pytest.approx(float(row["z"]), abs=1e-6)
        if row["teff"]:
            assert obs.metadata["teff"] == pytest.approx(float(row["teff"]))
        assert obs.snr == pytest.approx(float(row["snr"]), rel=1e-4)

    def test_object_position_not_the_telescopes(self, data_dir: Path) -> None:
        (spectrum,) = spectra(SourceFile.open(raw(data_dir, "0266-51602-0031")))
        assert (spectrum.observation.s_ra, spectrum.observation.s_dec) == pytest.approx(
            (147.32107, -0.00657572)
        )

    def test_exposures_give_the_times(self, data_dir: Path) -> None:
        path = raw(data_dir, "3586-55181-0500")
        (spectrum,) = spectra(SourceFile.open(path))
        with fits.open(path) as hdus:
            starts = [hdu.header["TAI-BEG"] for hdu in hdus[4:]]
            ends = [hdu.header["TAI-END"] for hdu in hdus[4:]]
        expected = Time([min(starts) / 86400, max(ends) / 86400], format="mjd", scale="tai").utc.mjd
        found = (spectrum.observation.t_min, spectrum.observation.t_max)
        assert found == pytest.approx(tuple(expected), abs=1e-8)

    def test_wavelengths_are_vacuum_and_in_place(self, data_dir: Path) -> None:
        """Hα of a star-forming galaxy: vacuum 6564.61 Å, shifted by the pipeline's redshift."""
        (spectrum,) = spectra(SourceFile.open(raw(data_dir, "0390-51900-0282")))
        assert spectrum.observation.redshift is not None
        rest = spectrum.wave_aa / (1 + spectrum.observation.redshift)
        near = np.abs(rest - 6564.61) < 5
        line = spectrum.flux[near] - np.median(spectrum.flux[np.abs(rest - 6564.61) < 100])
        centre = np.average(rest[near], weights=np.clip(line, 0, None))
        assert centre == pytest.approx(6564.61, abs=0.5)  # the air value would be 1.8 Å off

    def test_brightsky_is_masked_and_other_bits_are_not(self, data_dir: Path) -> None:
        (spectrum,) = spectra(SourceFile.open(raw(data_dir, "3586-55181-0500")))
        assert spectrum.flags is not None
        assert spectrum.uncertainty is not None
        partial = (spectrum.flags & (1 << 19)) != 0
        bright = (spectrum.flags & (1 << 23)) != 0
        assert partial.sum() == 327
        assert spectrum.mask[bright].all()
        assert spectrum.mask.sum() == (bright | (spectrum.uncertainty == 0)).sum()

    def test_other_sdss_files(self, data_dir: Path) -> None:
        zoo = data_dir / "format_zoo" / "raw"
        for name, obs_id in (("PyHammer__spec-0618-52049-0372", "0618-52049-0372"),
                             ("sculptor__J030341.04-002321.8_0", "0411-51817-0176")):  # fmt: skip
            (spectrum,) = spectra(SourceFile.open(zoo / f"{name}.fits.gz"))
            assert spectrum.observation.obs_id == obs_id

    def test_gelato_result_says_little(self, data_dir: Path) -> None:
        source = SourceFile.open(raw(data_dir, "0280-51612-0117"))
        assert SPEC.recognise(source) == 0
        assert LOGLAM.recognise(source) == LIKELY
        (spectrum,) = spectra(source, LOGLAM)
        assert spectrum.axis.medium is Medium.UNKNOWN
        assert spectrum.flux_unit is None
        assert len(spectrum) == 3848
        assert spectrum.wave_aa[[0, -1]] == pytest.approx([3792.277, 9196.02], abs=0.01)
        assert spectrum.observation.obs_collection == "GELATO"

    def test_spplate_rows(self, data_dir: Path) -> None:
        path = data_dir / "format_zoo" / "raw" / "pydl__spPlate-4055-55359-0020.fits.gz"
        source = SourceFile.open(path)
        assert PLATE.recognise(source) == CERTAIN
        assert [r.recognise(source) for r in (SPEC, SPSPEC, LOGLAM)] == [0, 0, 0]
        items = spectra(source, PLATE)
        image = fits.getdata(path)
        assert len(items) == 20
        for row, spectrum in enumerate(items):
            assert spectrum.flux.tobytes() == image[row].astype("f4").tobytes()
            assert spectrum.provenance.row == row
            assert spectrum.uncertainty is None  # this file has no HDU 1: unknown, not 1
            assert spectrum.flags is None
        assert len({s.observation.obs_id for s in items}) == 20
        assert items[0].wave_aa[[0, -1]] == pytest.approx(
            10 ** (3.5529 + 1e-4 * np.array([0, 4636]))
        )
        assert items[0].observation.t_exptime == 5405.01


class TestMadeSpec:
    def test_upper_case_and_no_names(self) -> None:
        table = coadd(upper=True)
        del table.header["EXTNAME"]
        source = made(primary(PLATEID=10656, MJD=58163, FIBERID=366), table)
        assert SPEC.recognise(source) == CERTAIN
        (spectrum,) = spectra(source)
        assert spectrum.observation.obs_id == "10656-58163-0366"
        assert any("SPECOBJ" in note for note in spectrum.provenance.warnings)
        assert "no coordinates" in spectrum.provenance.warnings
        assert spectrum.observation.redshift is None
        assert spectrum.observation.target_class is None

    def test_sky_fibre_has_no_redshift(self) -> None:
        labels = fits.BinTableHDU.from_columns([
            fits.Column("CLASS", "6A", array=["GALAXY"]), fits.Column("Z", "E", array=[0.5]),
            fits.Column("OBJTYPE", "6A", array=["SKY"]),
        ], name="SPALL")  # fmt: skip
        (spectrum,) = spectra(made(primary(PLATEID=1, MJD=58163, FIBERID=2), coadd(), labels))
        assert spectrum.observation.target_class == "SKY"
        assert spectrum.observation.redshift is None
        assert spectrum.observation.metadata["pipeline_class"] == "GALAXY"

    def test_sdss_v_identity_and_position(self) -> None:
        labels = fits.BinTableHDU.from_columns([
            fits.Column("CLASS", "6A", array=["STAR"]), fits.Column("Z", "E", array=[1e-5]),
            fits.Column("FIELD", "J", array=[15170]), fits.Column("MJD", "J", array=[59187]),
            fits.Column("CATALOGID", "K", array=[4357252132]),
            fits.Column("FIBER_RA", "D", array=[120.5]),
            fits.Column("FIBER_DEC", "D", array=[-3.25]),
            fits.Column("SDSS_ID", "K", array=[2**53 + 1]),
        ], name="SPALL")  # fmt: skip
        (spectrum,) = spectra(made(primary(), coadd(), labels))
        assert spectrum.observation.obs_id == "015170-59187-4357252132"
        assert (spectrum.observation.s_ra, spectrum.observation.s_dec) == (120.5, -3.25)
        assert spectrum.observation.metadata["sdss_id"] == 2**53 + 1

    def test_the_file_may_deny_vacuum(self) -> None:
        (spectrum,) = spectra(made(primary(VACUUM=False), coadd()))
        assert spectrum.axis.medium is Medium.UNKNOWN
        declared = made(primary(VACUUM=False), coadd(), options=ReadOptions(medium=Medium.AIR))
        assert spectra(declared)[0].axis.medium is Medium.AIR
        kept = made(primary(), coadd(), options=ReadOptions(medium=Medium.AIR))
        assert spectra(kept)[0].axis.medium is Medium.VACUUM

    def test_collection_overrides(self) -> None:
        source = made(primary(), coadd(), options=ReadOptions(collection="mine"))
        assert spectra(source)[0].observation.obs_collection == "mine"

    def test_missing_wavelength_or_mask_is_not_sdss(self) -> None:
        assert SPEC.recognise(made(primary(), coadd(drop="loglam"))) == 0
        cut = made(primary(), coadd(drop="and_mask"))
        assert SPEC.recognise(cut) == 0
        assert LOGLAM.recognise(cut) == LIKELY

    def test_array_cells_are_refused(self) -> None:
        n = 30
        columns = [fits.Column(name, f"{n}{form}", array=np.ones((1, n)))
                   for name, form in (("flux", "E"), ("loglam", "E"), ("ivar", "E"),
                                      ("and_mask", "J"), ("or_mask", "J"))]  # fmt: skip
        source = made(primary(), fits.BinTableHDU.from_columns(columns, name="COADD"))
        with pytest.raises(DataError) as caught:
            spectra(source)
        assert caught.value.code == "bad_shape"

    def test_truncated(self, tmp_path: Path) -> None:
        whole = bytes(made(primary(), coadd()).data)
        with pytest.raises(DataError) as caught:
            spectra(SourceFile("cut", whole[:-3000]))
        assert caught.value.code == "truncated"

    @pytest.mark.parametrize("data", [b"<html>", b"\x00" * 5000, b"SIMPLE  text", b"1 2 3\n"])
    def test_no_fits_no_score(self, data: bytes) -> None:
        if data[:9] == b"SIMPLE  =":
            return
        assert [r.recognise(SourceFile("x", data)) for r in sdss.READERS] == [0, 0, 0, 0]


def plate_hdus(n_fibres: int = 640, n_pix: int = 30) -> list[Any]:
    rng = np.random.default_rng(4)
    shape = (n_fibres, n_pix)
    head = primary(PLATEID=266, MJD=51602, COEFF0=3.58, COEFF1=1e-4, BUNIT="1E-17 erg/cm^2/s/Ang",
                   VACUUM=True, EXPTIME=2700.0)  # fmt: skip
    head.data = rng.normal(size=shape).astype("f4")
    plugmap = fits.BinTableHDU.from_columns([
        fits.Column("OBJTYPE", "16A", array=["SKY"] + ["GALAXY"] * (n_fibres - 1)),
        fits.Column("RA", "D", array=100 + np.arange(n_fibres) / 1000),
        fits.Column("DEC", "D", array=np.full(n_fibres, 2.5)),
        fits.Column("FIBERID", "J", array=np.arange(n_fibres, 0, -1)),
    ])  # fmt: skip
    return [
        head, fits.ImageHDU(rng.random(shape).astype("f4")),
        fits.ImageHDU(rng.integers(0, 1 << 28, shape, dtype="i4")),
        fits.ImageHDU(rng.integers(0, 1 << 28, shape, dtype="i4")),
        fits.ImageHDU(np.full(shape, 1.1, dtype="f4")), plugmap,
        fits.ImageHDU(rng.random(shape).astype("f4")),
    ]  # fmt: skip


class TestMadePlate:
    def test_all_planes_and_the_plugmap(self) -> None:
        hdus = plate_hdus()
        source = made(*hdus)
        assert PLATE.recognise(source) == CERTAIN
        items = spectra(source, PLATE)
        assert len(items) == 640
        spectrum = items[7]
        for found, hdu in (
            (spectrum.flux, 0),
            (spectrum.uncertainty, 1),
            (spectrum.flags, 2),
            (spectrum.extras["or_mask"], 3),
            (spectrum.extras["sky"], 6),
        ):
            np.testing.assert_array_equal(found, hdus[hdu].data[7])  # fmt: skip
        assert spectrum.flag_scheme is SPPIXMASK
        assert spectrum.observation.obs_id == "0266-51602-0633"  # FIBERID, not the row
        assert spectrum.observation.s_ra == pytest.approx(100.007)
        assert spectrum.observation.em_res_power == pytest.approx(1676.6, abs=1)
        assert items[0].observation.target_class == "SKY"
        assert spectrum.observation.target_class is None

    def test_a_complete_plate_without_plugmap_counts_rows(self) -> None:
        items = spectra(made(plate_hdus()[0]), PLATE)
        assert items[9].observation.obs_id == "0266-51602-0010"
        assert items[9].uncertainty_kind is UncertaintyKind.NONE

    def test_a_plane_of_another_shape_is_left_out(self) -> None:
        hdus = plate_hdus(640)
        hdus[1] = fits.ImageHDU(np.ones((640, 5), dtype="f4"))
        assert spectra(made(*hdus), PLATE)[0].uncertainty is None

    def test_same_identity_as_the_spec_file(self) -> None:
        plate = spectra(made(plate_hdus()[0]), PLATE)[30].observation
        (single,) = spectra(made(primary(PLATEID=266, MJD=51602, FIBERID=31), coadd()))
        assert (plate.obs_collection, plate.obs_id) == (
            single.observation.obs_collection, single.observation.obs_id,
        )  # fmt: skip


class TestSpSpec:
    def source(self, rows: np.ndarray[Any, Any] | None = None) -> SourceFile:
        head = primary(
            PLATEID=415, MJD=51810, FIBERID=12, COEFF0=3.5796, COEFF1=1e-4, RAOBJ=18.5,
            DECOBJ=0.25, Z=0.1, Z_ERR=1e-4, SPEC_CLN=2, SN_R=12.5, TELESCOP="SDSS 2.5-M",
            BUNIT="1.0E-17 ERG/CM/CM/S/ANG", EXPTIME=2700.0, TAI_BEG=4476441600.0,
            TAI_END=4476444600.0,
        )  # fmt: skip
        head.data = self.rows() if rows is None else rows
        return made(head)

    def rows(self) -> np.ndarray[Any, Any]:
        rows = np.ones((5, 50), dtype="f4")
        rows[0] = np.arange(50)
        rows[2, 3] = 0.0
        rows[3] = 0
        rows[3, 4] = 1 << 23
        return rows

    def test_rows(self) -> None:
        source = self.source()
        assert SPSPEC.recognise(source) == CERTAIN
        assert PLATE.recognise(source) == 0
        (spectrum,) = spectra(source, SPSPEC)
        np.testing.assert_array_equal(spectrum.flux, np.arange(50))
        assert spectrum.uncertainty_kind is UncertaintyKind.STD
        assert np.nonzero(spectrum.mask)[0].tolist() == [3, 4]  # σ = 0; BRIGHTSKY
        assert spectrum.flags is not None
        assert spectrum.flags.dtype == np.int32
        assert set(spectrum.extras) == {"continuum_subtracted", "row_4"}
        assert spectrum.wave_aa[0] == pytest.approx(10**3.5796)
        assert spectrum.flux_unit == sdss.FLUX_UNIT
        obs = spectrum.observation
        assert (obs.obs_id, obs.target_class, obs.redshift) == ("0415-51810-0012", "GALAXY", 0.1)
        assert obs.t_min == pytest.approx(
            Time(4476441600 / 86400, format="mjd", scale="tai").utc.mjd
        )

    def test_no_wavelength(self) -> None:
        source = self.source()
        broken = bytes(source.data).replace(
            b"COEFF1  =               0.0001", b"COEFF1  = 'x'".ljust(30)
        )
        with pytest.raises(DataError) as caught:
            spectra(SourceFile("x", broken), SPSPEC)
        assert caught.value.code == "no_wavelength"

    def test_a_mask_that_is_no_mask(self) -> None:
        rows = self.rows()
        rows[3, 0] = np.nan
        with pytest.raises(DataError) as caught:
            spectra(self.source(rows), SPSPEC)
        assert caught.value.code == "bad_flags"
