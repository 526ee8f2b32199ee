"""One small sound file for every reader, built to the published layouts, for tests of damage.

The builders are those of the format tests: what is fuzzed is what is tested for its physics.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import test_apogee
import test_desi
import test_echelle
import test_eprv
import test_eso
import test_fits_fuzz
import test_gaia
import test_galah
import test_harps
import test_iraf
import test_jwst
import test_lamost
import test_pools
import test_sdm
import test_sdss
import test_snid
import test_spectra1d
from astropy.io import fits

from spectrarium.read.source import SourceFile

WAVE = np.linspace(4000.0, 4600.0, 60)
FLUX = np.linspace(1.0, 2.0, 60).astype("f4")
FLAM = "erg s-1 cm-2 Angstrom-1"


def on_disk(write: Callable[[Path], Any]) -> bytes:
    """What `write` leaves in a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seed.fits"
        write(path)
        return path.read_bytes()


def content(source: SourceFile) -> bytes:
    return bytes(source.data)


def packed(*hdus: Any) -> bytes:
    out = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(out)
    return out.getvalue()


def with_checksums(data: bytes) -> bytes:
    """The same FITS file with DATASUM and CHECKSUM in every HDU."""
    out = io.BytesIO()
    with fits.open(io.BytesIO(data)) as hdus:
        hdus.writeto(out, checksum=True)
    return out.getvalue()


def sdss_plate() -> bytes:
    hdus = test_sdss.plate_hdus(6, 40)
    hdus[2].data[:] = 0  # the AND mask: random bits would leave no pixel
    return packed(*hdus)


def apogee_visit() -> bytes:
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "apo25m", "PLATE": "7125", "MJD5": 56557, "FIBERID": 285,
                           "OBJID": "2M1", "RA": 12.5, "DEC": -3.5, "EXPTIME": 500.0,
                           "DATE-OBS": "2013-09-22T03:00:00"})  # fmt: skip
    wave = np.array([np.linspace(a, a - 300, 60) for a in (16950.0, 16400.0, 15800.0)])
    ones = np.ones((3, 60), "f4")
    arrays = [ones * 100, ones, np.zeros((3, 60), "i4"), wave, ones, ones, ones, ones]
    units = ("Flux (10^-17 erg/s/cm^2/Ang)", "Error", "Flag mask", "Wavelength (Angstroms)")
    images = [fits.ImageHDU(array) for array in arrays]
    for hdu, unit in zip(images, units, strict=False):
        hdu.header["BUNIT"] = unit
    return packed(primary, *images)


def apogee_catalogue() -> bytes:
    columns = [fits.Column("APOGEE_ID", "4A", array=["2M1"]),
               fits.Column("STARFLAG", "K", array=[0])]  # fmt: skip
    return packed(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns))


def gaia_csv() -> bytes:
    table = test_gaia.sampled_table(40)
    lines = ["source_id,solution_id,wavelength,flux,flux_error"]
    lines += [f"5853498713190525696,4545469030156206080,{w},{f:.8e},{e:.8e}" for w, f, e in table]
    return "\n".join(lines).encode()


def gaia_rvs() -> bytes:
    n = 2401
    columns = [
        fits.Column("source_id", "K", array=[7]), fits.Column("solution_id", "K", array=[1]),
        fits.Column("flux", f"{n}E", array=np.ones((1, n), "f4")),
        fits.Column("flux_error", f"{n}E", array=np.full((1, n), 0.1, "f4")),
    ]  # fmt: skip
    return packed(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns))


def gaia_continuous() -> bytes:
    """Coefficients as the archive's CSV has them: BP of one source, 55 bases."""
    n, rng = 55, np.random.default_rng(2)
    text = {"source_id": "5853498713190525696", "solution_id": "1"}
    for band in ("bp", "rp"):
        values = rng.normal(0, 1, n)
        values[0] = 500.0
        pairs = np.zeros(n * (n - 1) // 2)
        text |= {
            f"{band}_n_parameters": str(n), f"{band}_standard_deviation": "1.0",
            f"{band}_n_relevant_bases": str(n), f"{band}_n_measurements": "100",
            f"{band}_coefficients": _array(values),
            f"{band}_coefficient_errors": _array(np.full(n, 0.1)),
            f"{band}_coefficient_correlations": _array(pairs),
        }  # fmt: skip
    return (",".join(text) + "\n" + ",".join(f'"{v}"' for v in text.values()) + "\n").encode()


def _array(values: np.ndarray[Any, Any]) -> str:
    return "(" + ",".join(f"{v:.6g}" for v in values) + ")"


def marz() -> bytes:
    rows, n = 3, 40
    flux = fits.PrimaryHDU(np.ones((rows, n), "f4"))
    flux.header.update({"CRVAL1": 5000.0, "CDELT1": 1.0, "CRPIX1": 1.0, "CUNIT1": "Angstroms",
                        "UTMJD": 57373.5, "OBJECT": "field", "INSTRUME": "AAOMEGA"})  # fmt: skip
    fibres = fits.BinTableHDU.from_columns([
        fits.Column("NAME", "8A", array=["a", "b", "c"]),
        fits.Column("TYPE", "1A", array=["P", "P", "S"]),
        fits.Column("RA", "D", array=[0.1, 0.2, 0.3]), fits.Column("DEC", "D", array=[-0.5] * 3),
    ], name="FIBRES")  # fmt: skip
    variance = fits.ImageHDU(np.full((rows, n), 0.5, "f4"), name="VARIANCE")
    wave = fits.ImageHDU(np.tile(np.linspace(5000, 5039, n), (rows, 1)), name="WAVELENGTH")
    return packed(flux, variance, wave, fibres)


def espresso_s1d() -> bytes:
    columns = [
        fits.Column("wavelength", "D", unit="angstrom", array=WAVE),
        fits.Column("wavelength_air", "D", unit="angstrom", array=WAVE / 1.00028),
        fits.Column("flux", "E", unit="e-", array=FLUX),
        fits.Column("error", "E", unit="e-", array=np.sqrt(FLUX)),
        fits.Column("quality", "J", array=np.zeros(60, "i4")),
    ]
    return content(test_harps.espresso(fits.BinTableHDU.from_columns(columns)))


def harps_e2ds() -> bytes:
    cards: dict[str, Any] = {"HIERARCH__ESO__DRS__CAL__TH__DEG__LL": 1,
                             "HIERARCH__ESO__DRS__BERV": 3.5}  # fmt: skip
    for order in range(3):
        cards[f"HIERARCH__ESO__DRS__CAL__TH__COEFF__LL{2 * order}"] = 5000.0 + 60 * order
        cards[f"HIERARCH__ESO__DRS__CAL__TH__COEFF__LL{2 * order + 1}"] = 0.02
    return content(test_harps.classical(np.full((3, 60), 900.0, "f4"), "ESO", **cards))


def hpf() -> bytes:
    wave = np.linspace(8000, 9000, 120).reshape(2, 60)
    flux = np.ones((2, 60), "f4")
    return content(test_echelle.hpf(Sci_Flux=flux, Sci_Wavl=wave, Sci_Variance=flux))


def iraf_multispec() -> bytes:
    specs = [f"{i} {90 - i} 0 {4000.0 + 200 * i} 3.5 60 0. 1. 9." for i in (1, 2, 3)]
    return test_iraf.multispec_file(np.ones((3, 60), "f4"), specs, OBJECT="HD 1")


def ccf_mask() -> bytes:
    primary = fits.PrimaryHDU()
    primary.header["INSTRUME"] = "HARPS"
    primary.header["HIERARCH ESO PRO CATG"] = "MASK_TABLE"
    columns = [fits.Column("lambda", "D", array=np.sort(WAVE)),
               fits.Column("contrast", "E", array=FLUX)]  # fmt: skip
    return packed(primary, fits.BinTableHDU.from_columns(columns))


def eigenspectra() -> bytes:
    hdu = fits.PrimaryHDU(np.ones((4, 60), "f4"))
    hdu.header.update({"OBJECT": "GALAXY", "COEFF0": 3.0, "COEFF1": 1e-4, "EIGEN0": 9.5})
    return packed(hdu)


def table(*columns: tuple[str, Any, str | None], **keys: Any) -> bytes:
    return content(test_spectra1d.table(list(columns), **keys))


def hdf5() -> bytes:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["wave_aa"] = WAVE
            file.create_dataset("flux", data=np.tile(FLUX, (4, 1)), chunks=(2, 60),
                                compression="gzip", fletcher32=True)  # fmt: skip
            file["ivar"] = np.ones((4, 60), "f4")
            file["ids"] = np.arange(4)

    return on_disk(write)


def npz() -> bytes:
    return test_pools.npz(wave_aa=WAVE, flux=np.tile(FLUX, (4, 1)), ids=np.arange(4),
                          ivar=np.ones((4, 60), "f4"))  # fmt: skip


def parquet() -> bytes:
    flux = pa.array([FLUX.tolist()] * 4, pa.list_(pa.float32()))
    columns = {"obs_id": list("abcd"), "wave_aa": [WAVE.tolist()] * 4, "flux": flux, "ivar": flux}
    return test_pools.parquet(columns, write_page_checksum=True)


def ascii_csv() -> bytes:
    lines = ["# medium: air", "wave_aa,flux,err"]
    lines += [f"{w:.3f},{f:.6f},0.01" for w, f in zip(WAVE, FLUX, strict=True)]
    return "\n".join(lines).encode()


HATS = b"obs_collection=demo\nhats_nrows=5\nhats_col_ra=ra\nhats_version=v1\n"

BUILDERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "sdss": ("sdss", test_fits_fuzz.spec_lite),
    "sdss-plate": ("sdss-plate", sdss_plate),
    "sdss-spspec": ("sdss-spspec", lambda: content(test_sdss.TestSpSpec().source())),
    "loglam-table": ("loglam-table", lambda: table(
        ("loglam", np.log10(WAVE), None), ("flux", FLUX, FLAM), ("ivar", FLUX, None))),
    "lamost-lrs": ("lamost-lrs", test_fits_fuzz.lamost_image),
    "lamost-mrs": ("lamost-mrs", lambda: packed(*test_lamost.TestMRS().hdus())),
    "lamost-mrs cells": ("lamost-mrs", lambda: packed(*test_lamost.TestMRS().hdus(cells=True))),
    "desi": ("desi", lambda: on_disk(test_desi.build)),
    "desi compressed": ("desi", lambda: on_disk(lambda p: test_desi.build(p, compress=True))),
    "apogee-visit": ("apogee-visit", apogee_visit),
    "apogee-star": ("apogee-star", lambda: on_disk(test_apogee.ap_star)),
    "apogee-aspcap": ("apogee-aspcap", lambda: on_disk(test_apogee.aspcap_star)),
    "apogee-catalogue": ("apogee-catalogue", apogee_catalogue),
    "galah": ("galah", lambda: on_disk(test_galah.dr3)),
    "eso-sdp": ("eso-sdp", lambda: test_eso.build(test_eso.XSHOOTER)),
    "harps": ("harps", lambda: content(test_harps.classical(
        np.ones(120, "f4"), CRVAL1=3890.0, CDELT1=0.01, CTYPE1="Angstrom"))),
    "harps e2ds": ("harps", harps_e2ds),
    "espresso-drs": ("espresso-drs", espresso_s1d),
    "igrins": ("igrins", lambda: content(test_echelle.igrins(
        np.ones((3, 60), "f4"), np.linspace(2.0, 2.3, 180).reshape(3, 60)))),
    "hpf": ("hpf", hpf),
    "uves-popler": ("uves-popler", lambda: content(test_echelle.popler(60))),
    "eprv": ("eprv", test_eprv.kpf),
    "gaia": ("gaia", gaia_csv),
    "gaia rvs": ("gaia", gaia_rvs),
    "gaia-xp-continuous": ("gaia-xp-continuous", gaia_continuous),
    "jwst-x1d": ("jwst-x1d", lambda: test_jwst.file(test_jwst.pixels())),
    "iraf": ("iraf", lambda: test_iraf.build(
        np.ones(60, "f4"), CRVAL1=3.6, CD1_1=1e-4, CRPIX1=1.0, DC__FLAG=1, CTYPE1="LINEAR")),
    "iraf multispec": ("iraf", iraf_multispec),
    "fits-image": ("fits-image", lambda: test_iraf.build(
        FLUX, CRVAL1=4000.0, CDELT1=10.0, CRPIX1=1.0, CUNIT1="Angstrom", CTYPE1="AWAV")),
    "sdm-votable": ("sdm-votable", lambda: content(test_sdm.serialised("tabledata"))),
    "sdm-votable binary2": ("sdm-votable", lambda: content(test_sdm.serialised("binary2"))),
    "sdm-fits": ("sdm-fits", lambda: content(test_sdm.fits_source(test_sdm.table_hdu()))),
    "marz": ("marz", marz),
    "calspec": ("calspec", lambda: table(
        ("WAVELENGTH", WAVE, "ANGSTROMS"), ("FLUX", FLUX, "FLAM"), ("STATERROR", FLUX, "FLAM"),
        ("DATAQUAL", np.ones(60, "i2"), None), primary={"DBTABLE": "CRSPECTRUM"})),
    "pypeit": ("pypeit", lambda: table(
        ("OPT_WAVE", WAVE, None), ("OPT_FLAM", FLUX, None), ("OPT_FLAM_IVAR", FLUX, None))),
    "pyhammer-template": ("pyhammer-template", lambda: table(
        ("LogLam", np.log10(WAVE), None), ("Flux", FLUX, None), ("PropErr", FLUX, None),
        ("Std", FLUX, None))),
    "specmatch-emp": ("specmatch-emp", lambda: table(
        ("s", FLUX, None), ("w", WAVE, "Angstrom"), ("serr", FLUX, None))),
    "table": ("table", lambda: content(test_spectra1d.plain())),
    "table rows": ("table", lambda: content(test_spectra1d.many_rows(["a", "b", "c"]))),
    "ccf-mask": ("ccf-mask", ccf_mask),
    "eigenspectra": ("eigenspectra", eigenspectra),
    "ascii": ("ascii", ascii_csv),
    "snid": ("snid", lambda: test_snid.template()[0].encode()),
    "parquet": ("parquet", parquet),
    "hdf5": ("hdf5", hdf5),
    "npz": ("npz", npz),
    "hats": ("hats", lambda: HATS),
}  # fmt: skip
"""Name of a seed → (reader that must win it, its builder)."""


@cache
def seed(name: str) -> bytes:
    """The bytes of one seed."""
    return BUILDERS[name][1]()
