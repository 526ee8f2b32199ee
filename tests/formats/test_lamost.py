"""LAMOST LRS in three layouts and MRS: real files against astropy and the survey's numbers."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time, TimeDelta

from spectrarium.domain.axis import Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import FluxCalibration, Spectrum, UncertaintyKind
from spectrarium.read import lamost, sdss
from spectrarium.read.registry import CERTAIN
from spectrarium.read.source import ReadOptions, SourceFile

LRS, MRS = lamost.READERS


def real(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "lamost_lrs_pool" / "raw_examples").glob("*.fits.gz"))


def index(data_dir: Path) -> dict[str, dict[str, str]]:
    with open(data_dir / "lamost_lrs_pool" / "index.csv") as text:
        return {Path(row["path"]).name.split(".")[0]: row for row in csv.DictReader(text)}


def head(**keys: Any) -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU()
    base = {"TELESCOP": "LAMOST", "LMJD": 58408, "PLANID": "HIP507401", "SPID": 1, "FIBERID": 8,
            "RA": 11.5, "DEC": 40.25, "DESIG": "LAMOST J004600.00+401500.0"}  # fmt: skip
    for key, value in (base | keys).items():
        if value is not None:
            hdu.header[key.replace("_", "-") if key.startswith("DATE_") else key] = value
    return hdu


def made(*hdus: Any, options: ReadOptions | None = None) -> SourceFile:
    out = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(out)
    return SourceFile("made.fits", out.getvalue(), options=options)


def image(n: int = 60, exten: str | None = "Flux Inverse Wavelength Andmask Ormask") -> Any:
    rows = np.zeros((5, n), dtype="f4")
    rows[0], rows[1], rows[2] = np.arange(n), 0.25, 10 ** (3.5682 + 1e-4 * np.arange(n))
    rows[3, 5], rows[4, 5], rows[4, 6] = 64, 64, 2
    hdu = head(COEFF0=3.5682, COEFF1=1e-4, EXTEN0=exten)
    hdu.data = rows
    return hdu


def arm(name: str, n: int = 50, *, cells: bool = False, log: bool = True, **keys: Any) -> Any:
    wave = np.linspace(4950, 5350, n) if "B" in name else np.linspace(6300, 6800, n)
    mask = "PIXMASK" if "-" in name else "ANDMASK"
    arrays = {"FLUX": np.linspace(5, 6, n), "IVAR": np.full(n, 0.5),
              ("LOGLAM" if log else "WAVELENGTH"): np.log10(wave) if log else wave,
              mask: np.zeros(n), "ORMASK": np.zeros(n)}  # fmt: skip
    columns = [
        fits.Column(key, f"{n}E" if cells else "E", array=value[None] if cells else value)
        for key, value in arrays.items()
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    for key, value in keys.items():
        hdu.header[key] = value
    return hdu


@pytest.mark.data
class TestRealLRS:
    def test_all_read_and_arrays_are_bit_for_bit(self, data_dir: Path) -> None:
        paths = real(data_dir)
        assert len(paths) == 18
        layouts = set()
        for path in paths:
            source = SourceFile.open(path)
            assert LRS.recognise(source) == CERTAIN
            assert all(r.recognise(source) == 0 for r in (MRS, *sdss.READERS)), path.name
            (spectrum,) = LRS.read(source)
            assert isinstance(spectrum, Spectrum)
            with fits.open(path) as hdus:
                if hdus[0].data is not None:
                    flux, ivar, _, andmask, ormask = hdus[0].data
                else:
                    flux, ivar, andmask, ormask = (
                        hdus[1].data[key][0] for key in ("FLUX", "IVAR", "ANDMASK", "ORMASK")
                    )
                assert spectrum.flag_scheme is not None
                layouts.add((hdus[0].data is not None, spectrum.flag_scheme.name))
            assert spectrum.flux.tobytes() == flux.astype(spectrum.flux.dtype).tobytes()
            assert spectrum.uncertainty is not None
            assert spectrum.uncertainty.tobytes() == ivar.astype(spectrum.flux.dtype).tobytes()
            np.testing.assert_array_equal(spectrum.flags, andmask)
            np.testing.assert_array_equal(spectrum.extras["or_mask"], ormask)
            assert spectrum.axis.medium is Medium.VACUUM
            assert spectrum.axis.specsys is SpecSys.HELIOCEN
            assert spectrum.uncertainty_kind is UncertaintyKind.IVAR
            assert spectrum.flux_calibration is FluxCalibration.RELATIVE
            assert spectrum.flux_unit is None
        assert len(layouts) == 3

    def test_wavelength_never_comes_from_the_third_row(self, data_dir: Path) -> None:
        for path in real(data_dir):
            (spectrum,) = LRS.read(SourceFile.open(path))
            assert isinstance(spectrum, Spectrum)
            header = fits.getheader(path)
            expected = 10 ** (header["COEFF0"] + header["COEFF1"] * np.arange(len(spectrum)))
            velocity = np.abs(spectrum.wave_aa / expected - 1) * 299792.458
            assert velocity.max() < 0.1, path.name  # km/s: the new layout stores float32

    def test_labels_and_positions_equal_the_catalogue(self, data_dir: Path) -> None:
        rows = index(data_dir)
        checked = 0
        for path in real(data_dir):
            row = rows.get(path.name.split(".")[0].removesuffix("_dr7").removesuffix("_dr8"))
            if row is None:
                continue
            (spectrum,) = LRS.read(SourceFile.open(path))
            obs = spectrum.observation  # type: ignore[union-attr]
            assert obs.s_ra == pytest.approx(float(row["ra"]), abs=1e-5)
            assert obs.s_dec == pytest.approx(float(row["dec"]), abs=1e-5)
            if row["obj_class"] not in ("", "UNKNOWN"):
                assert obs.target_class == row["obj_class"]
                assert obs.metadata.get("subclass") == row["obj_subclass"]
            else:
                assert obs.target_class is None
            if row["z"]:
                assert obs.redshift == pytest.approx(float(row["z"]), abs=1e-8)
            checked += 1
        assert checked >= 10

    def test_identity_is_the_files_stem_in_every_release(self, data_dir: Path) -> None:
        for path in real(data_dir):
            (spectrum,) = LRS.read(SourceFile.open(path))
            stem = path.name.split(".")[0].removeprefix("spec-")
            stem = stem.removesuffix("_dr7").removesuffix("_dr8")
            assert spectrum.observation.obs_id == stem  # type: ignore[union-attr]

    def test_utc_from_local_time(self, data_dir: Path) -> None:
        """DATE-OBS is the middle in UTC: it must lie between the local begin and end − 8 h."""
        for path in real(data_dir):
            (spectrum,) = LRS.read(SourceFile.open(path))
            obs = spectrum.observation  # type: ignore[union-attr]
            header = fits.getheader(path)
            middle = Time(header["DATE-OBS"]).mjd
            assert obs.t_min is not None
            assert obs.t_max is not None
            slack = 31 / 1440  # some releases round the middle to half an hour
            assert obs.t_min - slack <= middle <= obs.t_max + slack
            local = Time(header["DATE-BEG"]) - TimeDelta(8 * 3600, format="sec")
            assert obs.t_min == pytest.approx(local.mjd, abs=1e-9)

    def test_balmer_lines_of_an_a_star(self, data_dir: Path) -> None:
        """Vacuum Hβ at 4862.69 Å: the air value would be 1.36 Å off."""
        path = next(p for p in real(data_dir) if "56271" in p.name)
        (spectrum,) = LRS.read(SourceFile.open(path))
        assert isinstance(spectrum, Spectrum)
        rest = spectrum.wave_aa / (1 + spectrum.observation.redshift)  # type: ignore[operator]
        near = np.abs(rest - 4862.69) < 12
        depth = np.clip(np.percentile(spectrum.flux[near], 95) - spectrum.flux[near], 0, None)
        assert np.average(rest[near], weights=depth**2) == pytest.approx(4862.69, abs=0.5)


class TestMadeLRS:
    def test_image(self) -> None:
        source = made(image())
        assert LRS.recognise(source) == CERTAIN
        (spectrum,) = LRS.read(source)
        assert isinstance(spectrum, Spectrum)
        assert spectrum.flags is not None
        assert spectrum.flags.dtype == np.int32
        assert np.nonzero(spectrum.mask)[0].tolist() == [5]  # the OR mask spoils nothing
        assert spectrum.flag_scheme is not None
        assert spectrum.flag_scheme.bits[6] == "NODATA"
        assert spectrum.observation.obs_id == "58408-HIP507401_sp01-008"
        assert set(spectrum.extras) == {"or_mask"}

    def test_pilot_image_keeps_the_normalised_flux_apart(self) -> None:
        source = made(image(exten="Flux Inverse Subcontinuum Andmask Ormask"))
        (spectrum,) = LRS.read(source)
        assert isinstance(spectrum, Spectrum)
        assert spectrum.axis.scale is Scale.LOG10
        assert "continuum_normalised" in spectrum.extras
        assert spectrum.flag_scheme is not None
        assert spectrum.flag_scheme.name == "LAMOST pilot ANDMASK"

    def test_image_without_coefficients(self) -> None:
        hdu = image()
        hdu.header["COEFF1"] = 0.0
        with pytest.raises(DataError) as caught:
            list(LRS.read(made(hdu)))
        assert caught.value.code == "no_wavelength"

    def test_mask_that_is_no_mask(self) -> None:
        hdu = image()
        hdu.data[3, 1] = 0.5
        with pytest.raises(DataError) as caught:
            list(LRS.read(made(hdu)))
        assert caught.value.code == "bad_flags"

    def test_table_with_options(self) -> None:
        hdu = arm("COADD", cells=True, log=False)
        options = ReadOptions(flux_unit="adu", collection="mine", medium=Medium.AIR)
        (spectrum,) = LRS.read(made(head(), hdu, options=options))
        assert isinstance(spectrum, Spectrum)
        assert spectrum.flux_unit == "adu"
        assert spectrum.observation.obs_collection == "mine"
        assert spectrum.axis.medium is Medium.VACUUM  # the survey says so: not overridden

    def test_placeholders_are_unknown(self) -> None:
        hdu = image()
        for key, value in (("Z", -9999.0), ("CLASS", "Unknown"), ("SUBCLASS", "Non"),
                           ("SN_R", 99.0), ("SN_G", 5.0), ("TEFF", -9999.0)):  # fmt: skip
            hdu.header[key] = value
        (spectrum,) = LRS.read(made(hdu))
        obs = spectrum.observation  # type: ignore[union-attr]
        assert (obs.redshift, obs.target_class, obs.snr) == (None, None, None)
        assert obs.metadata["snr_g"] == 5.0
        assert not {"subclass", "teff"} & set(obs.metadata)

    def test_no_coordinates_is_a_warning(self) -> None:
        hdu = image()
        del hdu.header["RA"]
        (spectrum,) = LRS.read(made(hdu))
        assert spectrum.observation.s_ra is None  # type: ignore[union-attr]
        assert spectrum.provenance.warnings == ("no coordinates",)  # type: ignore[union-attr]

    def test_other_telescopes_are_not_claimed(self) -> None:
        hdu = image()
        hdu.header["TELESCOP"] = "other"
        assert LRS.recognise(made(hdu)) == 0
        assert (
            LRS.recognise(SourceFile("x", b"text")) == MRS.recognise(SourceFile("x", b"text")) == 0
        )


class TestMRS:
    def hdus(self, **style: Any) -> list[Any]:
        information = fits.BinTableHDU.from_columns(
            [fits.Column("NAME", "4A", array=["x"])], name="Information"
        )
        return [
            head(DATE_BEG="2018-10-18T22:30:00", DATE_END="2018-10-18T23:30:00", HELIO=True,
                 VACUUM=True, EXPT_B=3600.0), information,
            arm("COADD_B", **style, SNR=25.0, LMJMLIST="84109230-84109250"),
            arm("COADD_R", **style, SNR=40.0, LMJMLIST="84109230-84109250"),
            arm("B-84109230", **style, SNR=12.0, LMJM=84109230, EXPTIME=1200.0),
            arm("R-84109230", **style, SNR=22.0, LMJM=84109230, EXPTIME=1200.0),
        ]  # fmt: skip

    @pytest.mark.parametrize("style", [{}, {"cells": True, "log": False}, {"cells": True}])
    def test_every_arm_and_epoch_is_a_spectrum(self, style: dict[str, Any]) -> None:
        source = made(*self.hdus(**style))
        assert MRS.recognise(source) == CERTAIN
        assert LRS.recognise(source) == 0
        items = [item for item in MRS.read(source) if isinstance(item, Spectrum)]
        stem = "58408-HIP507401_sp01-008"
        assert [s.observation.obs_id for s in items] == [
            f"{stem}:{name}" for name in ("COADD_B", "COADD_R", "B-84109230", "R-84109230")
        ]
        assert [s.provenance.hdu for s in items] == [2, 3, 4, 5]
        for spectrum in items:
            lo, hi = (4950, 5350) if ":COADD_B" in str(spectrum.observation.obs_id) or (
                ":B-" in str(spectrum.observation.obs_id)) else (6300, 6800)  # fmt: skip
            assert spectrum.wave_aa[[0, -1]] == pytest.approx([lo, hi], abs=0.01)
            assert spectrum.axis.medium is Medium.VACUUM
            assert spectrum.axis.specsys is SpecSys.HELIOCEN
            assert spectrum.flags is not None
        assert items[0].observation.snr == 25.0

    def test_local_minutes_become_utc(self) -> None:
        items = list(MRS.read(made(*self.hdus())))
        coadded, epoch = items[0].observation, items[2].observation  # type: ignore[union-attr]
        # 84109230 min = 58409 d 06:30 local… = 22:30 UTC of the day before
        assert epoch.t_min == pytest.approx(84109230 / 1440 - 8 / 24, abs=1e-9)
        assert epoch.t_max - epoch.t_min == pytest.approx(1200 / 86400, abs=1e-9)
        assert coadded.t_min == pytest.approx(epoch.t_min)
        assert coadded.t_max == pytest.approx(84109250 / 1440 - 8 / 24)

    def test_one_bad_hdu_does_not_end_the_file(self) -> None:
        hdus = self.hdus()
        hdus[2].columns["LOGLAM"].name = "NOTHING"
        items = list(MRS.read(made(*hdus)))
        assert isinstance(items[0], DataError)
        assert (items[0].code, items[0].hdu) == ("no_column", 2)
        assert sum(isinstance(item, Spectrum) for item in items) == 3

    def test_a_topocentric_header_is_believed(self) -> None:
        hdus = self.hdus()
        hdus[4].header["HELIO"] = False
        items = list(MRS.read(made(*hdus)))
        assert items[2].axis.specsys is SpecSys.UNKNOWN  # type: ignore[union-attr]
        assert items[0].axis.specsys is SpecSys.HELIOCEN  # type: ignore[union-attr]
