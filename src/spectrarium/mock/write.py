"""The mock survey as ordinary files, in the layouts of several surveys, and its truth table.

Everything in the files says that it is a mock: telescope, instrument and object names begin with
MOCK. What a real file of the layout keeps to itself (LAMOST its flux unit, an s1d its errors) these
keep to themselves too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time

from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from .survey import MockSpectrum, MockSurvey, Truth

COLLECTION = "MOCK"
"""What the files' collection should be declared as when they are ingested."""
FLUX_UNIT = "1e-17 erg s-1 cm-2 Angstrom-1"
TRUTH_NAME = "truth.ecsv"
_FULLREJECT = 1 << 18
_UNITS = {"teff": "K", "logg": "dex(cm s-2)", "feh": "dex", "vsini_kms": "km/s", "rv_kms": "km/s",
          "ebv": "mag", "s_ra": "deg", "s_dec": "deg", "mjd": "d"}  # fmt: skip


def write_survey(
    out_dir: str | Path,
    n: int = 600,
    seed: int = 1,
    *,
    survey: MockSurvey | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Files of a mock survey under ``out_dir/spectra`` and the path of its truth table.

    Parameters
    ----------
    out_dir : made if it does not exist · n, seed : see `MockSurvey.of_size`
    survey : a survey of other proportions; `n` and `seed` are then ignored
    overwrite : write over an earlier survey (files of its other objects stay)
    Returns
    -------
    truth : ``out_dir/truth.ecsv``, one row a spectrum: ``file`` relative to `out_dir`, ``obs_id``
        as the files' own readers give it, ``obs_collection``, ``layout`` and the fields of `Truth`
    Raises
    ------
    UsageError (exists) : there is a truth table already and `overwrite` is False
    """
    out = Path(out_dir)
    truth_path = out / TRUTH_NAME
    if truth_path.exists() and not overwrite:
        raise UsageError("holds a mock survey already", code="exists", where=str(out),
                         remedy="choose another folder or ask to overwrite")  # fmt: skip
    spectra = out / "spectra"
    spectra.mkdir(parents=True, exist_ok=True)
    survey = survey or MockSurvey.of_size(n, seed)
    watch = progress or Silent()
    watch.start("making mock spectra", len(survey))
    rows: list[dict[str, object]] = []
    for spectrum in survey:
        if watch.cancelled():
            break
        layout = layout_of(spectrum)
        path = spectra / f"mock-{spectrum.truth.object_id}.{layout.extension}"
        obs_id = layout.write(path, spectrum)
        rows.append({
            "obs_id": obs_id, "obs_collection": COLLECTION, "file": f"spectra/{path.name}",
            "layout": layout.name, **dataclasses.asdict(spectrum.truth),
        })  # fmt: skip
        watch.advance()
    _write_truth(truth_path, rows, survey)
    return truth_path


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """A kind of file. write : makes the file and gives the obs_id it will be known by."""

    name: str
    extension: str
    write: Callable[[Path, MockSpectrum], str]


def layout_of(spectrum: MockSpectrum) -> Layout:
    """The layout that an observation is delivered in: its instrument's, or now and then text."""
    if spectrum.instrument.name == "sdss":
        return {0: _ECSV, 1: _CSV}.get(spectrum.truth.object_id % 8, _SDSS)
    return {"lamost": _LAMOST, "s1d": _S1D}[spectrum.instrument.name]


def object_name(truth: Truth) -> str:
    """``MOCK J150.12345+02.12345``: decimal degrees, so that no real name can be the same."""
    return f"MOCK J{truth.s_ra:.5f}{truth.s_dec:+.5f}"


def _write_sdss(path: Path, spectrum: MockSpectrum) -> str:
    """As spec-lite: COADD (a row a pixel, log λ in vacuum) and SPECOBJ."""
    truth, exposure = spectrum.truth, spectrum.exposure
    n = exposure.flux.size
    plate, fiber = 90_000 + truth.object_id // 1000, truth.object_id % 1000 + 1
    mjd = int(truth.mjd)
    flags = np.where(exposure.dead, _FULLREJECT, 0).astype(np.int32)
    coadd = np.zeros(n, dtype=[("flux", ">f4"), ("loglam", ">f4"), ("ivar", ">f4"),
                               ("and_mask", ">i4"), ("or_mask", ">i4"), ("wdisp", ">f4"),
                               ("sky", ">f4")])  # fmt: skip
    coadd["flux"], coadd["ivar"], coadd["sky"] = exposure.flux, exposure.ivar, exposure.sky
    coadd["loglam"] = np.log10(spectrum.instrument.wave_vac_aa)
    coadd["and_mask"] = coadd["or_mask"] = flags
    coadd["wdisp"] = spectrum.instrument.sigma_kms / (np.log(10.0) * 1e-4 * 299_792.458)
    sky = truth.obj_class == "SKY"
    row = [("PLATE", "i4", plate), ("MJD", "i4", mjd), ("FIBERID", "i4", fiber),
           ("PLUG_RA", "f8", truth.s_ra), ("PLUG_DEC", "f8", truth.s_dec),
           ("OBJTYPE", "S16", "SKY" if sky else "MOCK"), ("INSTRUMENT", "S8", "MOCK"),
           ("CLASS", "S6", "" if sky else truth.obj_class), ("SUBCLASS", "S21", truth.subclass),
           ("Z", "f4", 0.0 if sky else truth.pipeline_z), ("Z_ERR", "f4", 1e-5),
           ("ZWARNING", "i4", 0), ("SN_MEDIAN_ALL", "f4", truth.snr)]  # fmt: skip
    labels = np.array([tuple(v for *_, v in row)], dtype=[(k, t) for k, t, _ in row])
    primary = fits.PrimaryHDU()
    primary.header.update(
        TELESCOP="MOCK", OBJECT=object_name(truth), PLATEID=plate, MJD=mjd, FIBERID=fiber,
        PLUG_RA=truth.s_ra, PLUG_DEC=truth.s_dec, EXPTIME=3600.0, VACUUM=True,
        COEFF0=float(np.log10(spectrum.instrument.wave_vac_aa[0])), COEFF1=1e-4,
        BUNIT="1E-17 erg/cm^2/s/Ang", RUN2D="mock",
    )  # fmt: skip
    hdus = [
        primary,
        fits.BinTableHDU(coadd, name="COADD"),
        fits.BinTableHDU(labels, name="SPECOBJ"),
    ]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return f"{plate:04d}-{mjd}-{fiber:04d}"


def _write_lamost(path: Path, spectrum: MockSpectrum) -> str:
    """As LAMOST DR8 and later: one row of array cells, COADD."""
    truth, exposure = spectrum.truth, spectrum.exposure
    n, number = exposure.flux.size, truth.object_id
    lmjd, plan = int(truth.mjd), f"MOCK{number // 4000}"
    spid, fiber = number % 4000 // 250 + 1, number % 250 + 1
    cells = np.zeros(1, dtype=[(name, ">f4", (n,)) for name in
                               ("FLUX", "IVAR", "WAVELENGTH", "ANDMASK", "ORMASK")])  # fmt: skip
    cells["FLUX"][0], cells["IVAR"][0] = exposure.flux, exposure.ivar
    cells["WAVELENGTH"][0] = spectrum.instrument.wave_vac_aa
    cells["ANDMASK"][0] = cells["ORMASK"][0] = exposure.dead
    primary = fits.PrimaryHDU()
    primary.header.update(
        TELESCOP="MOCK LAMOST", OBSID=number, DESIG=object_name(truth), LMJD=lmjd, PLANID=plan,
        SPID=spid, FIBERID=fiber, RA=truth.s_ra, DEC=truth.s_dec, DATA_V="mock", EXPTIME=3600.0,
        OBJTYPE="MOCK", VACUUM=True, HELIO=True, SLIT_MOD="x2/3", SNRR=max(truth.snr, 0.0),
        CLASS="Unknown" if truth.obj_class == "SKY" else truth.obj_class, SUBCLASS=truth.subclass,
        **{"DATE-OBS": Time(truth.mjd, format="mjd").isot},
    )  # fmt: skip
    if np.isfinite(truth.pipeline_z):
        primary.header["Z"] = truth.pipeline_z
    fits.HDUList([primary, fits.BinTableHDU(cells, name="COADD")]).writeto(path, overwrite=True)
    return f"{lmjd}-{plan}_sp{spid:02d}-{fiber:03d}"


def _write_s1d(path: Path, spectrum: MockSpectrum) -> str:
    """As the s1d of HARPS' classical pipeline: air, barycentric, 0.01 Å, no errors."""
    truth = spectrum.truth
    begin = truth.mjd - 450.0 / 86_400.0
    date = Time(begin, format="mjd").isot
    header = fits.Header()
    header.update(
        CRVAL1=3781.0, CDELT1=0.01, CRPIX1=1.0, CTYPE1="Angstrom", TELESCOP="MOCK",
        INSTRUME="MOCK", OBJECT=object_name(truth), RA=truth.s_ra, DEC=truth.s_dec, EXPTIME=900.0,
        **{"MJD-OBS": begin, "DATE-OBS": date, "HIERARCH ESO DRS VERSION": "mock",
           "HIERARCH ESO DRS SPE EXT SN50": truth.snr, "HIERARCH ESO DRS CCF RVC": truth.rv_kms},
    )  # fmt: skip
    flux = spectrum.exposure.flux.astype(np.float32)
    fits.PrimaryHDU(flux, header).writeto(path, overwrite=True)
    return f"MOCK.{date}_s1d_A"


def _text_values(truth: Truth) -> dict[str, object]:
    return {
        "obs_id": f"MOCK-{truth.object_id}", "obs_collection": COLLECTION,
        "target_name": object_name(truth), "target_class": truth.obj_class,
        "s_ra": truth.s_ra, "s_dec": truth.s_dec, "mjd": truth.mjd, "exptime": 3600.0,
        "telescope": "MOCK", "instrument": "MOCK", "snr": round(truth.snr, 3),
        "medium": "vacuum", "specsys": "HELIOCEN",
    }  # fmt: skip


def _write_ecsv(path: Path, spectrum: MockSpectrum) -> str:
    """Enhanced CSV: units and metadata in the file's own header."""
    values = _text_values(spectrum.truth)
    if np.isfinite(spectrum.truth.pipeline_z):
        values["redshift"] = spectrum.truth.pipeline_z
    exposure = spectrum.exposure
    ivar = exposure.ivar
    table = Table(
        {"wavelength": spectrum.instrument.wave_vac_aa.round(4), "flux": exposure.flux.round(5),
         "ivar": np.array([float(f"{v:.6g}") for v in ivar]), "mask": exposure.dead.astype(int)},
        meta=values,
    )  # fmt: skip
    table["wavelength"].unit, table["flux"].unit = "Angstrom", "1e-17 erg / (s cm2 Angstrom)"
    table.write(path, format="ascii.ecsv", overwrite=True, delimiter=",")
    return str(values["obs_id"])


def _write_csv(path: Path, spectrum: MockSpectrum) -> str:
    """Plain CSV: ``key: value`` comments, then wave_aa, flux, err with err 0 where it is dead."""
    values = _text_values(spectrum.truth)
    values |= {"wave_unit": "Angstrom", "flux_unit": FLUX_UNIT}
    if np.isfinite(spectrum.truth.pipeline_z):
        values["redshift"] = spectrum.truth.pipeline_z
    exposure = spectrum.exposure
    error = np.divide(1.0, np.sqrt(exposure.ivar), out=np.zeros(exposure.ivar.size),
                      where=exposure.ivar > 0)  # fmt: skip
    rows = np.column_stack([spectrum.instrument.wave_vac_aa, exposure.flux, error, exposure.dead])
    head = "".join(f"# {key}: {value}\n" for key, value in values.items())
    with path.open("w", encoding="utf-8") as file:
        file.write(head + "wave_vac_aa,flux,err,mask\n")
        np.savetxt(file, rows, fmt=("%.4f", "%.5f", "%.6g", "%d"), delimiter=",")
    return str(values["obs_id"])


def _write_truth(path: Path, rows: list[dict[str, object]], survey: MockSurvey) -> None:
    names = [
        "obs_id",
        "obs_collection",
        "file",
        "layout",
        *(f.name for f in dataclasses.fields(Truth)),
    ]
    table = Table(rows=[[row[name] for name in names] for row in rows] or None, names=names)
    for name, unit in _UNITS.items():
        table[name].unit = unit
    table.meta = {"what": "truth table of a mock survey", "seed": survey.seed}
    table.write(path, format="ascii.ecsv", overwrite=True)


_SDSS = Layout("sdss", "fits", _write_sdss)
_LAMOST = Layout("lamost", "fits", _write_lamost)
_S1D = Layout("s1d", "fits", _write_s1d)
_ECSV = Layout("ecsv", "ecsv", _write_ecsv)
_CSV = Layout("csv", "csv", _write_csv)
