"""The IVOA Spectrum Data Model in VOTable (all serialisations) and FITS, and what is refused."""

from __future__ import annotations

import io
import urllib.request
from pathlib import Path
from typing import Any

import fuzzing
import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Table

from spectrarium.domain.axis import Medium, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import (
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from spectrarium.domain.units import parse_unit
from spectrarium.read import sdm, spectra1d
from spectrarium.read.check import check
from spectrarium.read.registry import GENERIC, LIKELY, Item, NotASpectrum
from spectrarium.read.source import ReadOptions, SourceFile

READERS = {r.name: r for r in sdm.READERS}
N = 60
WAVE = np.linspace(4000.0, 5000.0, N)
FLUX = np.linspace(1.0, 2.0, N).astype(np.float32)
FLAM = "erg s-1 cm-2 Angstrom-1"
PREFIX = "spec:Spectrum."
PARAMS = {
    "Target.Name": "HD 1", "Target.Class": "star", "DataID.Collection": "Test Survey",
    "Curation.PublisherDID": "ivo://org.test/spec?one/a17", "DataID.Title": "HD 1 in blue",
    "DataID.Instrument": "Coude", "CoordSys.SpaceFrame.Name": "ICRS",
    "CoordSys.SpectralFrame.RefPos": "BARYCENTER", "Char.FluxAxis.Calibration": "ABSOLUTE",
    "Char.TimeAxis.Coverage.Location.Value": 55000.5,
    "Char.TimeAxis.Coverage.Bounds.Extent": 864.0, "Char.SpectralAxis.ResPower": 13000.0,
    "Derived.SNR": 33.0, "Target.Redshift": 0.0018, "Curation.Reference": "2020A&A...1....1A",
    "Char.SpatialAxis.Coverage.Location.Value": "10.5 -20.25",
}  # fmt: skip


def read(source: SourceFile, name: str | None = None) -> list[Item]:
    best = max(READERS.values(), key=lambda r: r.recognise(source))
    assert best.recognise(source) > 0
    if name is not None:
        assert best.name == name
    return list(best.read(source))


def one(source: SourceFile) -> Spectrum:
    (item,) = read(source)
    assert isinstance(item, Spectrum), item
    return check(item)


def param(utype: str, value: object, prefix: str = PREFIX) -> str:
    kind = "double" if isinstance(value, float) else "char"
    size = "" if kind == "double" else ' arraysize="*"'
    text = str(value).replace("&", "&amp;")
    return f'<PARAM name="p" datatype="{kind}"{size} utype="{prefix}{utype}" value="{text}"/>'


def document(
    fields: str, rows: str, params: str = "", *, prolog: str = '<?xml version="1.0"?>',
    table: str = "",
) -> SourceFile:  # fmt: skip
    text = (
        f'{prolog}<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><TABLE {table}>{params}{fields}<DATA>{rows}</DATA></TABLE>'
        "</RESOURCE></VOTABLE>"
    )
    return SourceFile("made.vot", text.encode())


def pixels(*columns: Any) -> str:
    lines = ("".join(f"<TD>{v!s}</TD>" for v in row) for row in zip(*columns, strict=True))
    return "<TABLEDATA>" + "".join(f"<TR>{line}</TR>" for line in lines) + "</TABLEDATA>"


def field(name: str, utype: str = "", ucd: str = "", unit: str = "", more: str = "") -> str:
    extra = f' unit="{unit}"' if unit else ""
    return (f'<FIELD ID="{name}" name="{name}" datatype="double" utype="{utype}" ucd="{ucd}"'
            f"{extra}>{more}</FIELD>")  # fmt: skip


AXIS = field("wl", PREFIX + "Data.SpectralAxis.Value", "em.wl;obs.atmos", "Angstrom")
VALUE = field("fl", PREFIX + "Data.FluxAxis.Value", "phot.flux.density;em.wl", FLAM)
PLAIN = AXIS + VALUE
ALL = "".join(param(k, v) for k, v in PARAMS.items())


def serialised(how: str) -> SourceFile:
    """The same spectrum by astropy's writer, with utypes and PARAMs put in."""
    quality = np.zeros(N, np.int32)
    quality[4] = 3
    votable = from_table(
        Table({"wl": WAVE, "fl": FLUX, "er": FLUX / 10, "qu": quality},
              units={"wl": "Angstrom", "fl": FLAM, "er": FLAM})
    )  # fmt: skip
    tab = votable.get_first_table()
    tab.format = how
    utypes = ("Data.SpectralAxis.Value", "Data.FluxAxis.Value",
              "Data.FluxAxis.Accuracy.StatError", "Data.FluxAxis.Quality")  # fmt: skip
    for column, utype in zip(tab.fields, utypes, strict=True):
        column.utype = PREFIX + utype
    tab.fields[0].ucd = "em.wl;obs.atmos"
    out = io.BytesIO()
    votable.to_xml(out)
    text = out.getvalue().replace(b"<FIELD", ALL.encode() + b"<FIELD", 1)
    return SourceFile("made.vot", text)


# ---- what the model says -----------------------------------------------------------------


@pytest.mark.parametrize("how", ["tabledata", "binary", "binary2"])
def test_every_serialisation_gives_the_same_spectrum(how: str) -> None:
    source = serialised(how)
    assert READERS["sdm-votable"].recognise(source) == LIKELY
    got = one(source)
    np.testing.assert_array_equal(got.axis.coordinate(), WAVE)
    np.testing.assert_array_equal(got.flux, FLUX)
    assert got.flux.dtype == np.dtype(np.float32)
    assert got.uncertainty_kind is UncertaintyKind.STD
    np.testing.assert_array_equal(got.uncertainty, FLUX / 10)
    assert np.flatnonzero(got.mask).tolist() == [4]
    assert (got.axis.medium, got.axis.specsys) == (Medium.AIR, SpecSys.BARYCENT)
    assert parse_unit(got.flux_unit) == parse_unit(FLAM)
    assert got.flux_calibration is FluxCalibration.ABSOLUTE


def test_metadata_become_the_observation() -> None:
    o = one(serialised("tabledata")).observation
    assert (o.obs_collection, o.obs_id) == ("Test Survey", "ivo://org.test/spec?one/a17")
    assert (o.target_name, o.target_class) == ("HD 1", "star")
    assert (o.s_ra, o.s_dec) == (10.5, -20.25)
    assert o.t_min == pytest.approx(55000.495)
    assert o.t_max == pytest.approx(55000.505)
    assert o.t_exptime == 864.0
    assert (o.em_res_power, o.snr, o.redshift) == (13000.0, 33.0, 0.0018)
    assert o.bib_reference == "2020A&A...1....1A"
    assert o.metadata["title"] == "HD 1 in blue"


@pytest.mark.parametrize("prefix", ["spec:Spectrum.", "ssa:", "sdm:Spectrum.", "", "Spectrum."])
def test_any_namespace_and_case_of_utypes(prefix: str) -> None:
    fields = field("a", prefix + "Data.SpectralAxis.Value".lower(), "", "nm") + field(
        "b", prefix + "data.FluxAxis.VALUE", "", "Jy"
    )
    params = param("Target.Name", "X", prefix) + param("coordsys.spectralframe.refpos",
                                                        "HELIOCENTER", prefix)  # fmt: skip
    got = one(document(fields, pixels(WAVE / 10, FLUX), params))
    assert (got.axis.unit, got.flux_unit) == ("nm", "Jy")
    assert got.observation.target_name == "X"
    assert got.axis.specsys is SpecSys.HELIOCEN
    np.testing.assert_allclose(got.wave_aa, WAVE)


@pytest.mark.parametrize(
    ("word", "frame"),
    [("TOPOCENTER", SpecSys.TOPOCENT), ("BARYCENTER", SpecSys.BARYCENT), ("LSRK", SpecSys.LSRK),
     ("HELIOCENTER", SpecSys.HELIOCEN), ("UNKNOWN", SpecSys.UNKNOWN)],
)  # fmt: skip
def test_reference_positions(word: str, frame: SpecSys) -> None:
    params = param("CoordSys.SpectralFrame.RefPos", word)
    assert one(document(PLAIN, pixels(WAVE, FLUX), params)).axis.specsys is frame


def test_an_absent_frame_stays_unknown_and_custom_with_z_is_rest() -> None:
    assert one(document(PLAIN, pixels(WAVE, FLUX))).axis.specsys is SpecSys.UNKNOWN
    params = param("CoordSys.SpectralFrame.RefPos", "CUSTOM") + param(
        "CoordSys.SpectralFrame.Redshift", 2.5
    )
    assert one(document(PLAIN, pixels(WAVE, FLUX), params)).axis.specsys is SpecSys.SOURCE


@pytest.mark.parametrize(
    ("ucd", "description", "medium"),
    [("em.wl;obs.atmos", "", Medium.AIR), ("em.wl", "", Medium.UNKNOWN),
     ("em.wl", "Air wavelength", Medium.AIR), ("em.wl", "Wavelength in vacuum", Medium.VACUUM),
     ("em.wl", "Wavelength (air or vacuum)", Medium.UNKNOWN)],
)  # fmt: skip
def test_medium_by_ucd_or_description(ucd: str, description: str, medium: Medium) -> None:
    text = f"<DESCRIPTION>{description}</DESCRIPTION>" if description else ""
    axis = field("wl", PREFIX + "Data.SpectralAxis.Value", ucd, "Angstrom", text)
    assert one(document(axis + VALUE, pixels(WAVE, FLUX))).axis.medium is medium


def test_declarations_fill_in_and_never_override() -> None:
    options = ReadOptions(medium=Medium.VACUUM, specsys=SpecSys.GEOCENTR, collection="mine")
    plain = document(PLAIN.replace(";obs.atmos", ""), pixels(WAVE, FLUX))
    free = one(SourceFile("x", bytes(plain.data), options=options))
    assert (free.axis.medium, free.axis.specsys) == (Medium.VACUUM, SpecSys.GEOCENTR)
    said = one(SourceFile("x", bytes(serialised("binary2").data), options=options))
    assert (said.axis.medium, said.axis.specsys) == (Medium.AIR, SpecSys.BARYCENT)
    assert said.observation.obs_collection == "mine"


@pytest.mark.parametrize(
    ("unit", "values"),
    [("keV", np.linspace(0.3, 10, N)), ("GHz", np.linspace(100, 110, N)),
     ("m", WAVE * 1e-10), ("0.1nm", WAVE)],
)  # fmt: skip
def test_units_of_the_axis(unit: str, values: Any) -> None:
    axis = field("x", PREFIX + "Data.SpectralAxis.Value", "", unit)
    got = one(document(axis + VALUE, pixels(values, FLUX)))
    expected = {"keV": 12.398419843320026 / values, "GHz": 2.99792458e9 / values}.get(unit, WAVE)
    np.testing.assert_allclose(got.wave_aa, expected, rtol=1e-12)


def test_the_unit_may_be_a_dimensional_text_and_must_be_something() -> None:
    axis = field("x", PREFIX + "Data.SpectralAxis.Value")
    params = param("SpectralSI", "10-10 L")
    got = one(document(axis + VALUE, pixels(WAVE, FLUX), params))
    np.testing.assert_allclose(got.wave_aa, WAVE, rtol=1e-12)
    (error,) = read(document(axis + VALUE, pixels(WAVE, FLUX)))
    assert isinstance(error, DataError)
    assert error.code == "no_wave_unit"
    assert "--wave-unit" in error.remedy


def test_utypes_given_by_group_references_count() -> None:
    """SDM's own VOTable example names the roles in GROUPs of FIELDrefs."""
    fields = field("Coord", ucd="em.wl", unit="Angstrom") + field("Flux1", unit="Jy")
    groups = (
        '<GROUP utype="spec:Spectrum.Data"><GROUP>'
        '<FIELDref ref="Coord" utype="spec:Spectrum.Data.SpectralAxis.Value"/>'
        '<FIELDref ref="Flux1" utype="spec:Spectrum.Data.FluxAxis.Value"/></GROUP></GROUP>'
        '<GROUP utype="spec:Spectrum.Target">' + param("Target.Name", "Arp 220")
        + '<PARAM name="pos" datatype="double" arraysize="2" value="233.737917 23.503330" '
        'utype="spec:Spectrum.Target.Pos" unit="deg"/></GROUP>'
    )  # fmt: skip
    source = document(fields, pixels(WAVE, FLUX), groups)
    got = one(source)
    assert READERS["sdm-votable"].recognise(source) == LIKELY
    assert got.observation.target_name == "Arp 220"
    assert (got.observation.s_ra, got.observation.s_dec) == (233.737917, 23.50333)


def test_ucds_alone_are_enough() -> None:
    fields = field("lam", ucd="em.wl", unit="nm") + field(
        "f", ucd="phot.flux.density;em.wl", unit="Jy"
    ) + field("e", ucd="stat.error;phot.flux.density;em.wl", unit="Jy")  # fmt: skip
    got = one(document(fields, pixels(WAVE / 10, FLUX, FLUX / 9)))
    assert got.uncertainty_kind is UncertaintyKind.STD
    assert got.axis.medium is Medium.UNKNOWN


def test_asymmetric_errors_are_kept_but_not_averaged() -> None:
    low = field("lo", PREFIX + "Data.FluxAxis.Accuracy.StatErrLow", "", FLAM)
    high = field("hi", PREFIX + "Data.FluxAxis.Accuracy.StatErrHigh", "", FLAM)
    got = one(document(PLAIN + low + high, pixels(WAVE, FLUX, FLUX / 9, FLUX / 5)))
    assert got.uncertainty is None
    assert set(got.extras) == {"lo", "hi"}
    same = one(document(PLAIN + low + high, pixels(WAVE, FLUX, FLUX / 9, FLUX / 9)))
    assert same.uncertainty_kind is UncertaintyKind.STD


def test_an_error_of_another_namespace_or_unit_never_pairs() -> None:
    other = field("sky", "eso:Data.FluxAxis.Accuracy.StatError", "", FLAM)
    assert one(document(PLAIN + other, pixels(WAVE, FLUX, FLUX))).uncertainty is None
    scaled = field("e", PREFIX + "Data.FluxAxis.Accuracy.StatError", "", "Jy")
    got = one(document(PLAIN + scaled, pixels(WAVE, FLUX, FLUX)))
    assert got.uncertainty is None
    assert "e" in got.extras


def test_two_fluxes_need_a_main_one() -> None:
    second = field("f2", PREFIX + "Data.FluxAxis.Value", "phot.flux.density;em.wl", FLAM)
    with pytest.raises(DataError, match="fl, f2") as caught:
        read(document(PLAIN + second, pixels(WAVE, FLUX, FLUX)))
    assert caught.value.code == "ambiguous_columns"
    main = second.replace("em.wl", "em.wl;meta.main")
    got = one(document(PLAIN + main, pixels(WAVE, FLUX, FLUX * 2)))
    np.testing.assert_allclose(got.flux, FLUX * 2)


def test_normalised_flux_is_divided_by_its_continuum() -> None:
    params = param("Char.FluxAxis.Calibration", "NORMALIZED")
    got = one(document(PLAIN, pixels(WAVE, FLUX), params))
    assert got.normalisation is Normalisation.CONTINUUM_DIVIDED


def test_nulls_become_nan_and_only_mask() -> None:
    text = [str(f) for f in FLUX]
    text[5] = ""
    got = one(document(PLAIN, pixels(WAVE, text)))
    assert np.flatnonzero(got.mask).tolist() == [5]


def test_a_position_in_galactic_coordinates_is_not_taken_for_icrs() -> None:
    params = param("CoordSys.SpaceFrame.Name", "GALACTIC_II") + param("Target.Pos", "10.5 -20.25")
    got = one(document(PLAIN, pixels(WAVE, FLUX), params))
    assert got.observation.s_ra is None
    assert "no coordinates" in got.provenance.warnings


def test_spectra_as_rows_of_array_cells() -> None:
    cell = '<FIELD ID="{0}" name="{0}" datatype="double" arraysize="*" utype="{1}" unit="{2}"/>'
    fields = (
        cell.format("w", PREFIX + "Data.SpectralAxis.Value", "Angstrom")
        + cell.format("f", PREFIX + "Data.FluxAxis.Value", "Jy")
        + f'<FIELD name="did" datatype="char" arraysize="*" utype="{PREFIX}'
        'Curation.PublisherDID"/>'
    )
    cells = [[" ".join(map(str, WAVE[:n])) for n in (20, 30, 40)],
             [" ".join(map(str, FLUX[:n])) for n in (20, 30, 39)],
             ["ivo://a/b/1", "ivo://a/b/2", "ivo://a/b/3"]]  # fmt: skip
    items = read(document(fields, pixels(*cells)))
    first, second, third = items
    assert isinstance(first, Spectrum)
    assert isinstance(second, Spectrum)
    assert (len(first), len(second)) == (20, 30)
    assert (first.observation.obs_id, second.observation.obs_id) == ("ivo://a/b/1", "ivo://a/b/2")
    assert isinstance(third, DataError)
    assert (third.code, third.row) == ("mismatched_lengths", 2)


# ---- what is no spectrum -------------------------------------------------------------------


def test_a_search_result_is_told_with_what_to_fetch() -> None:
    fields = (
        '<FIELD name="accref" datatype="char" arraysize="*" utype="ssa:Access.Reference"/>'
        '<FIELD name="start" datatype="double" ucd="em.wl;stat.min" '
        'utype="ssa:Char.SpectralAxis.Coverage.Bounds.Start"/>'
    )
    source = document(fields, pixels(["http://x/1", "http://x/2"], [4e-7, 5e-7]))
    assert READERS["sdm-votable"].recognise(source) == GENERIC
    (item,) = read(source)
    assert isinstance(item, NotASpectrum)
    assert "search" in item.what
    assert "accref" in item.what


def test_photometry_of_many_positions_is_a_catalogue() -> None:
    fields = (field("ra", ucd="pos.eq.ra;meta.main", unit="deg")
              + field("nu", ucd="em.freq", unit="GHz")
              + field("f", ucd="phot.flux.density;em.freq", unit="Jy"))  # fmt: skip
    (item,) = read(document(fields, pixels(WAVE, WAVE, FLUX)))
    assert isinstance(item, NotASpectrum)


def test_an_error_message_of_a_service_is_one() -> None:
    text = (
        '<VOTABLE version="1.4"><RESOURCE type="results"><INFO name="QUERY_STATUS" '
        'value="ERROR">no such spectrum</INFO></RESOURCE></VOTABLE>'
    )
    with pytest.raises(DataError, match="no such spectrum") as caught:
        read(SourceFile("x", text.encode()))
    assert caught.value.code == "service_error"


def test_real_catalogues_are_no_spectra(data_dir: Path) -> None:
    files = sorted((data_dir / "catalogs" / "votable").glob("*.vot"))
    assert len(files) == 4
    for path in files:
        source = SourceFile.open(path)
        assert READERS["sdm-votable"].recognise(source) == GENERIC
        (item,) = read(source)
        assert isinstance(item, NotASpectrum)
        assert "catalogue" in item.what


# ---- hostile documents ------------------------------------------------------------------------

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
LEAK = '<!DOCTYPE x [<!ENTITY leak SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("prolog", [BOMB, LEAK, '<!DOCTYPE x SYSTEM "a.dtd" [<!ELEMENT y ANY>]>'])
def test_entities_and_own_document_types_are_refused(prolog: str) -> None:
    source = document(PLAIN, pixels(WAVE, FLUX), param("Target.Name", "&b;"), prolog=prolog)
    hidden = document(PLAIN, pixels(WAVE, FLUX), prolog="<!-- <VOTABLE> -->" + prolog)
    for each in (source, hidden):
        with pytest.raises(DataError) as caught:
            list(READERS["sdm-votable"].read(each))
        assert caught.value.code in ("unsafe_xml", "bad_xml")


def test_a_bare_doctype_is_harmless() -> None:
    prolog = '<!DOCTYPE VOTABLE SYSTEM "http://us-vo.org/xml/VOTable.dtd">'
    one(document(PLAIN, pixels(WAVE, FLUX), prolog=prolog))


@pytest.mark.parametrize(
    "stream",
    ['<STREAM href="http://127.0.0.1:9/x" encoding="base64"/>',
     '<STREAM encoding="a>b" href="file:///etc/passwd"/>', "<STREAM href='ftp://x/y'></STREAM>"],
)  # fmt: skip
def test_data_elsewhere_are_never_fetched(monkeypatch: pytest.MonkeyPatch, stream: str) -> None:
    def fetched(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the reader opened a URL")

    monkeypatch.setattr(urllib.request, "urlopen", fetched)
    source = document(PLAIN, f"<BINARY>{stream}</BINARY>")
    with pytest.raises(DataError) as caught:
        read(source)
    assert caught.value.code == "external_stream"


@pytest.mark.parametrize(
    ("fields", "table", "code"),
    [(PLAIN, 'nrows="999999999999"', "bad_votable"),
     (PLAIN.replace('datatype="double"', 'datatype="double" arraysize="99999999x999"'), "",
      "bad_votable")],
)  # fmt: skip
def test_sizes_that_the_document_cannot_hold(fields: str, table: str, code: str) -> None:
    with pytest.raises(DataError) as caught:
        read(document(fields, pixels(WAVE, FLUX), table=table))
    assert caught.value.code == code


def test_nesting_truncation_and_odd_encodings_are_refused() -> None:
    deep = "<RESOURCE>" * 200 + "</RESOURCE>" * 200
    good = bytes(document(PLAIN, pixels(WAVE, FLUX)).data)
    bad = [
        (f"<VOTABLE>{deep}</VOTABLE>".encode(), "unsafe_xml"),
        (good[: len(good) // 2], "bad_xml"),
        (good.replace(b'version="1.0"', b'version="1.0" encoding="cp037"', 1), "bad_xml"),
        (good.replace(b"</TR>", b"</TD>", 1), "bad_xml"),
    ]
    for data, code in bad:
        with pytest.raises(DataError) as caught:
            list(READERS["sdm-votable"].read(SourceFile("x", data)))
        assert caught.value.code == code, data[:40]


@pytest.mark.parametrize("how", ["tabledata", "binary2"])
def test_damaged_votables_never_pass_as_good(how: str) -> None:
    original = bytes(serialised(how).data)
    reading = fuzzing.read_with(*READERS.values())
    outcomes = [
        fuzzing.check_outcome(reading, original, damaged)
        for damaged in fuzzing.mutations(original, seed=7, n=120)
    ]
    assert outcomes.count("refused") > 20


# ---- FITS ---------------------------------------------------------------------------------------


def table_hdu(cells: bool = False, **keys: Any) -> fits.BinTableHDU:
    form = (lambda c: f"{N}{c}") if cells else (lambda c: c)
    data = [a[None] if cells else a for a in (WAVE, FLUX, FLUX / 10, np.arange(N, dtype="i2") % 2)]
    names = ("WAVE", "FLUX", "ERR", "QUALITY")
    utypes = ("Data.SpectralAxis.Value", "Data.FluxAxis.Value",
              "Data.FluxAxis.Accuracy.StatError", "Data.FluxAxis.Quality")  # fmt: skip
    units = ("Angstrom", FLAM, FLAM, None)
    hdu = fits.BinTableHDU.from_columns([
        fits.Column(n, form(c), unit=u, array=a)
        for n, c, u, a in zip(names, "DEEI", units, data, strict=True)
    ])  # fmt: skip
    for i, utype in enumerate(utypes, 1):
        hdu.header[f"TUTYP{i}"] = "Spectrum." + utype
    hdu.header.update(keys)
    return hdu


def fits_source(*hdus: fits.BinTableHDU) -> SourceFile:
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(out)
    return SourceFile("made.fits", out.getvalue())


@pytest.mark.parametrize("cells", [False, True])
def test_fits_with_utypes(cells: bool) -> None:
    keys = {"TUCD1": "em.wl;obs.atmos", "SPECSYS": "HELIOCEN", "OBJECT": "HD 1", "RA": 10.5,
            "DEC": -20.25, "TMID": 55000.5, "TELAPSE": 864.0, "COLLECT1": "Survey",
            "DS_IDPUB": "ivo://a/b/c", "FLUX_CAL": "RELATIVE", "SPEC_RP": 5000.0,
            "VOCLASS": "SPECTRUM 1.0"}  # fmt: skip
    source = fits_source(table_hdu(cells, **keys))
    assert READERS["sdm-fits"].recognise(source) == LIKELY
    got = one(source)
    np.testing.assert_array_equal(got.flux, FLUX)
    np.testing.assert_array_equal(got.uncertainty, FLUX / 10)
    assert got.mask.sum() == N // 2
    assert (got.axis.medium, got.axis.specsys) == (Medium.AIR, SpecSys.HELIOCEN)
    assert got.flux_calibration is FluxCalibration.RELATIVE
    o = got.observation
    assert (o.obs_collection, o.obs_id) == ("Survey", "ivo://a/b/c")
    assert (o.t_min, o.em_res_power) == (pytest.approx(55000.495), 5000.0)


def test_fits_without_a_flux_is_an_error_of_that_hdu() -> None:
    hdu = table_hdu()
    del hdu.header["TUTYP2"]
    items = read(fits_source(table_hdu(DS_IDPUB="ivo://a/b/c"), hdu))
    assert isinstance(items[0], Spectrum)
    assert items[0].observation.obs_id == "ivo://a/b/c/hdu1"
    assert isinstance(items[1], DataError)
    assert (items[1].code, items[1].hdu) == ("no_column", 2)


def test_real_ondrejov_products(data_dir: Path) -> None:
    """DaCHS products of the Ondřejov CCD700 archive: air by the column's own description."""
    paths = sorted((data_dir / "ondrejov_ccd700" / "raw").glob("*.fits"))
    read_here = 0
    for path in paths:
        source = SourceFile.open(path)
        with fits.open(path) as theirs:
            if len(theirs) == 1:  # one of the 26 is the original 1-D image
                assert READERS["sdm-fits"].recognise(source) == 0
                continue
            data, head = theirs[1].data, theirs[1].header
            assert READERS["sdm-fits"].recognise(source) == LIKELY
            assert all(r.recognise(source) < LIKELY for r in spectra1d.READERS)
            got = one(source)
            np.testing.assert_array_equal(got.flux, data["flux"])
            np.testing.assert_array_equal(got.axis.coordinate(), data["spectral"])
            o = got.observation
            assert o.obs_id == head["DS_IDPUB"]
            assert o.obs_collection == "asu.cas.cz/stel/ccd700"
            assert (o.s_ra, o.s_dec) == (head["RA"], head["DEC"])
            assert (o.t_min + o.t_max) / 2 == pytest.approx(head["TMID"], abs=1e-8)  # type: ignore[operator]
            assert o.t_exptime == head["TELAPSE"]
        assert got.axis.medium is Medium.AIR
        assert got.axis.specsys is SpecSys.UNKNOWN
        assert got.flux_calibration is FluxCalibration.UNCALIBRATED
        assert (got.flux_unit, got.uncertainty) == (None, None)
        read_here += 1
    assert (len(paths), read_here) == (26, 25)


def test_the_air_wavelengths_of_vega_are_air(data_dir: Path) -> None:
    path = data_dir / "ondrejov_ccd700" / "raw" / "alpha-lyr-absorption.fits"
    got = one(SourceFile.open(path))
    wave, flux = got.wave_aa, got.flux
    near = abs(wave - 6563) < 8
    core = wave[near][np.argmin(flux[near])]
    # Vega moves at -14 km/s and the Earth at less than 30: within 0.9 Å of 6562.80, not 6564.61
    assert abs(core - 6562.80) < 0.95


@pytest.mark.parametrize("cells", [False, True])
def test_damaged_fits_never_passes_as_good(cells: bool) -> None:
    original = bytes(fits_source(table_hdu(cells)).data)
    reading = fuzzing.read_with(*READERS.values(), *spectra1d.READERS)
    outcomes = {
        fuzzing.check_outcome(reading, original, damaged)
        for damaged in fuzzing.mutations(original, seed=3, n=160)
    }
    assert "refused" in outcomes
