"""What is in the real data, and what must become of each file. The words are checked by tests."""

from __future__ import annotations

from dataclasses import dataclass

POOLS: dict[str, tuple[str, ...]] = {
    "apogee_samples": ("fits", "csv", "parquet"),
    "desi_coadds": ("fits", "csv", "parquet"),
    "galah_dr6_sample": ("fits", "csv", "parquet"),
    "calspec_standards": ("fits",),
    "fors2_rxj0054": ("csv",),
    "gaia_dr3_samples": ("csv",),
    "harps_acenB_timeseries": ("parquet",),
    "lamost_lrs_pool": ("fits",),
    "mastar_hc_templates": ("fits",),
    "miles_stars": ("parquet",),
    "ondrejov_ccd700": ("csv",),
    "osc_transients": ("parquet",),
    "palomar_lsr1835_timeseries": ("csv",),
    "pyhammer_sdss_templates": ("parquet",),
    "sdss_boss_pool": ("fits",),
    "snid_templates": ("parquet",),
}
"""Every pool, and the formats it is written out in: each format for large and small pools."""

FORMATS = ("fits", "csv", "parquet")


@dataclass(frozen=True)
class Fate:
    """What must become of an original file.

    spectra : stored · refused : quarantine code → how many · note : text of `not_a_spectrum`
    """

    reader: str | None
    spectra: int = 1
    refused: tuple[tuple[str, int], ...] = ()
    note: str | None = None


_CCF = Fate("harps", 0, note="HARPS CCF (K5)")
_NO_UNIT = Fate("ascii", 0, (("no_wave_unit", 1),))
FOLDERS: dict[str, tuple[int, Fate]] = {
    "apogee_samples/raw": (4, Fate("apogee-visit")),
    "calspec_standards/raw_examples": (3, Fate("calspec")),
    "desi_coadds/raw": (3, Fate("desi", 3)),
    "format_zoo/raw": (29, Fate(None)),
    "fors2_rxj0054/raw_examples": (6, _NO_UNIT),
    "gaia_dr3_samples/raw": (14, Fate("gaia")),
    "galah_dr6_sample/raw": (24, Fate("galah")),
    "harps_acenB_timeseries/raw_examples": (1, Fate("harps")),
    "harps_ccf_hd224789/raw": (36, _CCF),
    "lamost_lrs_pool/raw_examples": (18, Fate("lamost-lrs")),
    "miles_stars/raw_examples": (5, Fate("fits-image")),
    "ondrejov_ccd700/raw": (26, Fate("sdm-fits")),
    "palomar_lsr1835_timeseries/raw_examples": (1, _NO_UNIT),
    "pyhammer_sdss_templates/raw_examples": (2, Fate("pyhammer-template")),
    "sdss_boss_pool/raw_examples": (11, Fate("sdss")),
    "snid_templates/raw_examples": (1, Fate("snid", 26)),
}
"""Folder of originals → number of files and the fate of those that FILES does not name."""

FILES: dict[str, Fate] = {
    # fibres without data: ivar is 0 everywhere in all three arms
    "coadd-5-169-thru20210419.fits.gz": Fate("desi", 3, (("no_good_pixels", 4),)),
    "coadd-sv3-dark-26065.fits.gz": Fate("desi", 6, (("no_good_pixels", 3),)),
    # a repository's test file cut down to ten pixels, four of them valid
    "linetools__popler_sample.fits.gz": Fate("uves-popler", 0, (("too_few_pixels", 1),)),
    "gaiaxpy_LICENSE": Fate(None, 0, (("unknown_format", 1),)),
    "gaiaxpy_18Sco-XP-spectra.csv": Fate("gaia-xp-continuous"),
    "gaiaxpy_XP_CONTINUOUS_RAW.csv": Fate("gaia-xp-continuous", 2),
    "gaiaxpy_XP_CONTINUOUS_RAW.ecsv": Fate("gaia-xp-continuous", 2),
    "gaiaxpy_XP_CONTINUOUS_RAW.fits": Fate("gaia-xp-continuous", 2),
    "gaiaxpy_XP_CONTINUOUS_RAW.xml": Fate("gaia-xp-continuous", 2),
    "gaiaxpy_XP_SAMPLED_RAW_dr3int6.ecsv": Fate("gaia", 2),
    "gaiaxpy_XP_SAMPLED_RAW_votable_plain_dr3int6.xml": Fate("gaia", 2),
    "oe270005.fits": Fate("iraf"),  # the one file of its folder that is not a VO table
    "spec-0280-51612-0117.fits.gz": Fate("loglam-table"),  # a copy cut to three columns
    # one of each kind
    "ACTIN__HARPS.2003-12-12T21.42.45.093_blaze_A.fits.gz":
        Fate("harps", 0, note="HARPS blaze function"),
    "ACTIN__HARPS.2003-12-12T21.47.59.366_wave_A.fits.gz":
        Fate("harps", 0, note="HARPS wavelength map"),
    "ACTIN__HARPS.2003-12-13T06.19.48.371_e2ds_A.fits.gz": Fate("harps"),
    "ACTIN__HARPS.2006-07-05T03.52.40.071_ccf_G2_A.fits.gz":
        Fate("harps", 0, note="HARPS CCF (G2)"),
    "ACTIN__HARPS.2010-09-18T23.42.36.178_ccf_M2_A.fits.gz":
        Fate("harps", 0, note="HARPS CCF (M2)"),
    "ACTIN__HARPS.2010-09-18T23.42.36.178_s1d_A.fits.gz": Fate("harps"),
    "FASMA-synthesis__38Vir_HARPS_2017.fits.gz": Fate("harps"),
    "FASMA-synthesis__HARPS.GBOG_alfTau.fits.gz": Fate("fits-image"),
    "Marz__emlLogVacuumHelioMultiple.fits.gz": Fate("marz", 3),
    "ODUSSEAS__SOPHIE_Gl908.fits.gz": Fate("fits-image"),
    "PyHammer__spec-0618-52049-0372.fits.gz": Fate("sdss"),
    "SpecData__cg922.fits.gz": Fate("iraf"),
    "lime__IZW18_isis.fits.gz": Fate("iraf", 2),
    "lime__SHOC579_MANGA38-35.txt.gz": Fate("ascii"),
    "lime__hlsp_ceers_jwst_nirspec_nirspec10-001027_comb-mgrat_v0.7_x1d-masked.fits.gz":
        Fate("jwst-x1d"),
    "linetools__UM184_nE.fits.gz":
        Fate("iraf", 0, note="error array of a flux file (SIGFILE pair)"),
    "linetools__UM184_nF.fits.gz": Fate("iraf"),
    "linetools__XShooter_XQ100.fits.gz": Fate("eso-sdp"),
    "muler_example_data__Goldilocks_20210517T054403_v1.0_0060.spectra.fits.gz":
        Fate("hpf", 2, note="HPF Cal fibre, calibration light"),
    "muler_example_data__SDCH_20201202_0059.spec.fits.gz": Fate("igrins"),
    "muler_example_data__SDCH_20201202_0059.variance.fits.gz":
        Fate("igrins", 0, note="IGRINS variance or S/N array of a spectrum file"),
    "muler_example_data__SKY_SDCH_20201202_0033.wvlsol_v1.fits.gz":
        Fate("igrins", 0, note="IGRINS wavelength map"),
    "pydl__spPlate-4055-55359-0020.fits.gz": Fate("sdss-plate", 20),
    "pyspeckit__n2hp_opha_example.fits.gz": Fate("fits-image", 1, note="a row of zeros"),
    "qsofitmore__spec_J001554.18+560257.5_LJT.fits.gz": Fate("iraf"),
    "sculptor__J030341.04-002321.8_0.fits.gz": Fate("sdss"),
    "sculptor__J2125-1719_NIR.fits.gz": Fate("pypeit"),
    "specmatch-emp__rj59.1926_adj.fits.gz": Fate("specmatch-emp"),
}  # fmt: skip

NO_UNIT_FOLDERS = (
    "fors2_rxj0054/raw_examples",
    "palomar_lsr1835_timeseries/raw_examples",
)
"""Text files that state no unit: with ``wave_unit="Angstrom"`` they can be read."""

WITH_POOL = tuple(
    folder for folder in FOLDERS
    if folder.split("/")[0] not in (
        "desi_coadds",  # the pool merges the three arms
        "format_zoo", "harps_ccf_hd224789",  # no pool
        "pyhammer_sdss_templates", "snid_templates",  # binned; other templates
    )
)  # fmt: skip
"""Folders of originals whose pool holds the same samples."""


def fate_of(folder: str, name: str) -> Fate:
    """What must become of one original file."""
    return FILES.get(name, FOLDERS[folder][1])


def pool_key(folder: str, name: str) -> str | None:
    """The pool's id of the spectrum in an original file; None where the pool has another form.

    Pools were made by their curators from these very files, without this software: an
    independent reading of the same bytes, rounded to 13 bits of mantissa.
    """
    pool = folder.split("/")[0]
    stem = name.removesuffix(".gz").removesuffix(".fits").removesuffix(".csv").removesuffix(".txt")
    if pool == "gaia_dr3_samples":
        return f"rvs-{stem}" if not stem.startswith("gaiaxpy") else None
    if pool == "lamost_lrs_pool":  # those with a release in the name were kept apart
        return None if "_dr" in stem else f"lamost-{stem.removeprefix('spec-')}"
    return {
        "apogee_samples": f"apogee-{stem}", "calspec_standards": f"calspec-{stem}",
        "fors2_rxj0054": f"fors2-{stem.removesuffix('n')}", "galah_dr6_sample": f"galah-{stem}",
        "harps_acenB_timeseries": f"harps-{stem[6:29]}", "miles_stars": f"miles-{stem[-5:-1]}",
        "ondrejov_ccd700": f"ond-{stem}", "sdss_boss_pool": f"sdss-{stem.removeprefix('spec-')}",
        "palomar_lsr1835_timeseries": f"lsr1835-{int(stem[5:] or 0):03d}"
        if stem.startswith("spec_") else "",
    }.get(pool)  # fmt: skip
