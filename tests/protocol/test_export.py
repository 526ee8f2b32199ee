"""Exports, judged by programs that are not ours (astropy, votlint, hats) and by our readers."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits, votable
from astropy.table import Table
from required import need

import spectrarium as sp
from spectrarium.cli.main import main
from spectrarium.domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import (
    EchelleSpectrum,
    FlagScheme,
    FluxCalibration,
    Normalisation,
    Spectrum,
    UncertaintyKind,
)
from spectrarium.domain.units import parse_unit
from spectrarium.publish import columnar, files, hats
from spectrarium.publish.export import FORMATS
from spectrarium.publish.export import export as write_export
from spectrarium.publish.fits_bytes import encoded, ones_complement
from spectrarium.publish.samples import safe_name, sdm_columns
from spectrarium.publish.source import ExportSource
from spectrarium.read import columns as read_columns
from spectrarium.read.registry import read_source, recognise
from spectrarium.read.source import SourceFile

N = 240
SCHEME = FlagScheme("PIX", {0: "NODATA", 3: "NEARSKY"}, 0b1)
PER_FILE = ("sdm-votable", "sdm-fits", "ecsv")
HOSTILE = ("../../x", "a/b", "A/b", "n" * 300, "ΗD 1 ☉", "-rf", ".hidden", "x\ny\x00z", "a\\..\\b",
           "<&\"'>", "CON", "a b", "a_b")  # fmt: skip


def axis(unit="Angstrom", medium=Medium.VACUUM, specsys=SpecSys.BARYCENT, **more):
    if not more:
        more = {"values": np.linspace(4000.0, 5000.0, N)}
    return SpectralAxis(unit=unit, medium=medium, specsys=specsys, **more)


def spectrum(obs_id, seed=1, *, collection="T", observation=(), **changes):
    rng = np.random.default_rng(seed)
    about = {"obs_collection": collection, "obs_id": obs_id, "target_name": f"HD {seed}",
             "s_ra": 3.0 * seed, "s_dec": -80.0 + 1.5 * seed, "t_min": 58000.25, "t_max": 58000.5,
             "t_exptime": 1800.0, "instrument_name": "ABC", "facility_name": "Big One",
             "em_res_power": 5000.0, "snr": 12.5, "redshift": 0.01}  # fmt: skip
    fields = {
        "axis": axis(), "flux": rng.normal(5, 1, N).astype("f4"), "flux_unit": "Jy",
        "observation": Observation(**(about | dict(observation))),
        "provenance": Provenance(path=f"/in/{seed}.fits", reader="test"),
    }  # fmt: skip
    return Spectrum(**(fields | changes))


def zoo():
    """One of each kind: types, units, media, frames, uncertainties, flags, scales."""
    rng = np.random.default_rng(5)
    ivar = rng.uniform(0.1, 9, N).astype("f4")
    ivar[7] = 0
    std = rng.uniform(0.1, 1, N)
    std[3] = np.nan
    flux = rng.normal(5, 1, N).astype("f4")
    flux[11] = np.nan
    flags = np.zeros(N, "i4")
    flags[20], flags[21] = 1, 8  # bit 3 is information only
    std_flags = {"uncertainty": std, "uncertainty_kind": UncertaintyKind.STD, "flags": flags,
                 "flag_scheme": SCHEME}  # fmt: skip
    return [
        spectrum("std", 1, flux=flux.astype("f8"), **std_flags,
                 flux_unit="1e-17 erg s-1 cm-2 Angstrom-1"),
        spectrum("ivar", 2, flux=flux, uncertainty=ivar, uncertainty_kind=UncertaintyKind.IVAR,
                 flux_unit="erg s-1 cm-2 Angstrom-1",
                 flags=flags.astype("u4") * 500_000_000, flag_scheme=FlagScheme("W", {}, None),
                 axis=axis(medium=Medium.AIR, specsys=SpecSys.HELIOCEN, scale=Scale.LOG10,
                           values=np.linspace(3.6, 3.9, N)),
                 extras={"sky": flux * 2, "sigma": std, "seen": flags > 0}),
        spectrum("var", 3, uncertainty=std**2, uncertainty_kind=UncertaintyKind.VAR,
                 axis=axis("GHz", values=np.linspace(900.0, 800.0, N)), flux_unit="Jy"),
        spectrum("counts", 4, flux=np.arange(N, dtype="i2"), flux_unit="electron s-1",
                 axis=axis("nm", Medium.UNKNOWN, SpecSys.UNKNOWN,
                           wcs=LinearWCS(500.0, 0.25, 1.0, N)),
                 observation={"t_min": None, "t_max": None, "snr": None, "redshift": None}),
        spectrum("normal", 5, flux_unit="", flux_calibration=FluxCalibration.NORMALIZED,
                 normalisation=Normalisation.CONTINUUM_DIVIDED,
                 axis=axis(specsys=SpecSys.SOURCE, values=np.linspace(400, 500, N, dtype="f4"),
                           unit="nm")),
        spectrum("unknown", 6, flux_unit=None, axis=axis(medium=Medium.UNKNOWN),
                 observation={"metadata": {"teff": 5000.5, "note": "ü <&>", "run": "007"}}),
        spectrum("no sky", 7, observation={"s_ra": None, "s_dec": None}),
    ]  # fmt: skip


def echelle():
    wave = np.stack([np.linspace(4000 + 90 * i, 4100 + 90 * i, N) for i in range(3)])
    return EchelleSpectrum(
        axis=axis(values=wave), flux=np.arange(3.0 * N).reshape(3, N), flux_unit="adu",
        observation=Observation(obs_collection="T", obs_id="ech", s_ra=1.0, s_dec=2.0),
        provenance=Provenance(path="/in/e.fits", reader="test"), order_numbers=(61, 60, 59),
        trace="A",
    )  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    archive = sp.open(tmp_path_factory.mktemp("archive") / "a")
    archive.ingest(zoo())
    return archive


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def spectra_in(paths):
    out = []
    for path in paths:
        out += list(read_source(SourceFile.open(path)))
    assert all(isinstance(item, Spectrum) for item in out), out
    return {(s.observation.obs_collection, s.observation.obs_id): s for s in out}


def partitions(folder):
    return sorted(folder.rglob("Npix=*.parquet"))


def read_back(kind, paths):
    return spectra_in(partitions(paths[0]) if kind == "hats" else paths)


def assert_same_science(ours, back, kind):
    """What every format has to keep: identity, flux bits, axis, medium, frame, unit, errors."""
    mine, theirs = ours.observation, back.observation
    shape = ours.flux.reshape(-1)
    wider = back.flux.astype(ours.flux.dtype)
    assert wider.tobytes() == shape.tobytes()
    assert np.array_equal(back.flux.astype("f8"), shape.astype("f8"), equal_nan=True)
    if kind in PER_FILE:
        assert back.flux.dtype == ours.flux.dtype or ours.flux.dtype.kind == "i"
    np.testing.assert_allclose(back.wave_aa, ours.wave_aa.reshape(-1), rtol=1e-15)
    assert (back.axis.medium, back.axis.specsys) == (ours.axis.medium, ours.axis.specsys)
    assert parse_unit(back.flux_unit) == parse_unit(ours.flux_unit)
    assert (back.flux_unit is None, back.flux_unit == "") == (
        ours.flux_unit is None, ours.flux_unit == "")  # fmt: skip
    assert np.array_equal(back.mask, ours.mask.reshape(-1))
    assert (back.ivar is None) == (ours.ivar is None)
    if ours.ivar is not None:
        rtol = 3e-7 if kind.startswith("sdm") else 0
        np.testing.assert_allclose(back.ivar, ours.ivar.reshape(-1), rtol=rtol)
    for name in ("s_ra", "s_dec", "t_min", "t_max", "t_exptime", "target_name", "facility_name",
                 "instrument_name", "em_res_power"):  # fmt: skip
        assert getattr(theirs, name) == getattr(mine, name), name
    assert back.flux_calibration == ours.flux_calibration
    if mine.redshift is not None:
        assert theirs.redshift == pytest.approx(mine.redshift, rel=1e-13)


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_every_format_reads_back_as_the_same_observations(archive, tmp_path, kind, quiet):
    paths = archive.export([], kind, tmp_path / "out")
    back = read_back(kind, paths)
    originals = {(s.observation.obs_collection, s.observation.obs_id): s for s in zoo()}
    if kind == "hats":
        del originals["T", "no sky"]
    assert back.keys() == originals.keys()
    for key, ours in originals.items():
        assert_same_science(ours, back[key], kind)


@pytest.mark.parametrize("kind", ["ecsv", "parquet", "hats"])
def test_what_else_these_formats_keep(archive, tmp_path, kind, quiet):
    back = read_back(kind, archive.export([], kind, tmp_path))
    std, ivar = back["T", "std"], back["T", "ivar"]
    assert std.flag_scheme == SCHEME
    assert ivar.uncertainty_kind is UncertaintyKind.IVAR
    assert np.array_equal(ivar.flags, zoo()[1].flags)
    assert np.array_equal(ivar.extras["sky"], zoo()[1].extras["sky"], equal_nan=True)
    assert np.array_equal(ivar.extras["extra_sigma"], zoo()[1].extras["sigma"], equal_nan=True)
    assert back["T", "normal"].normalisation is Normalisation.CONTINUUM_DIVIDED
    assert back["T", "unknown"].flags is None
    assert back["T", "unknown"].extras == {}
    assert dict(back["T", "unknown"].observation.metadata) == {
        "teff": 5000.5, "note": "ü <&>", "run": "007"}  # fmt: skip


def test_ids_choose_and_the_order_is_theirs(archive, tmp_path):
    paths = archive.export(["var", "T:std", "var"], "ecsv", tmp_path)
    assert [p.name for p in paths] == ["T__var.ecsv", "T__std.ecsv"]
    paths = archive.export([], "sdm-fits", tmp_path, where="snr IS NULL OR obs_id = 'std'")
    assert {p.name for p in paths} >= {"T__std.fits"}
    assert {p.name for p in paths}.isdisjoint({"T__ivar.fits"})


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((["nobody"], "ecsv"), "unknown_id"),
        ((["std", "nobody"], "parquet"), "unknown_id"),
        ((["std"], "word"), "unknown_format"),
        (([], "ecsv", "snr > 1e9"), "nothing_selected"),
        ((["std"], "ecsv", "snr > 1"), "ids_and_where"),
        ((["no sky"], "hats"), "no_coordinates"),
    ],
)
def test_the_callers_mistakes_write_nothing(archive, tmp_path, arguments, code):
    ids, kind, *where = arguments
    with pytest.raises(UsageError) as caught:
        archive.export(ids, kind, tmp_path / "new" / "out", *where)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_the_same_export_again_is_no_error_and_another_is(archive, tmp_path, kind, quiet):
    first = archive.export(["std", "var"], kind, tmp_path)
    state = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file()}
    assert archive.export(["std", "var"], kind, tmp_path) == first
    assert state == {
        p: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file()
    }
    victim = next(p for p in state if p.suffix not in (".properties", "", ".csv"))
    victim.write_bytes(b"mine")
    with pytest.raises(UsageError, match="already") as caught:
        archive.export(["ivar", "std", "var"], kind, tmp_path)
    assert caught.value.code == "exists"
    assert victim.read_bytes() == b"mine"
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == set(state)


def test_a_hats_folder_never_keeps_parts_of_another_catalogue(archive, tmp_path, quiet):
    archive.export(["std", "ivar"], "hats", tmp_path)
    before = {p.name for p in tmp_path.rglob("*")}
    with pytest.raises(UsageError) as caught:
        archive.export(["std"], "hats", tmp_path)
    assert caught.value.code == "exists"
    assert {p.name for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("kind", PER_FILE)
def test_hostile_identifiers_stay_inside_and_apart(tmp_path, kind):
    archive = sp.open(tmp_path / "a")
    hostile = [spectrum(name, i + 1) for i, name in enumerate(HOSTILE)]
    hostile += [spectrum("b", 90, collection="T__a"), spectrum("a__b", 91),
                spectrum("q", 92, collection="../../../etc/cron.d/x")]  # fmt: skip
    archive.ingest(hostile)
    out = tmp_path / "deep" / "out"
    paths = archive.export([], kind, out)
    assert len(paths) == len(hostile) == len({str(p).lower() for p in paths})
    assert all(p.parent == out and p.is_file() for p in paths)
    assert all(p.name.isascii() and len(p.name) < 150 and p.name[0] not in "-." for p in paths)
    assert all(set(p.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._+-") for p in paths)  # fmt: skip
    assert {p.name for p in tmp_path.iterdir()} == {"a", "deep"}
    back = spectra_in(paths)
    assert {k for k in back if "\n" not in k[1]} >= {
        ("T", name) for name in HOSTILE if name.isprintable()
    }


def test_out_that_is_a_file_or_a_full_disk(archive, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError) as caught:
        archive.export(["std"], "ecsv", tmp_path / "file")
    assert caught.value.code == "cannot_write"

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "publish_files", full)
    monkeypatch.setattr("spectrarium.publish.export.publish_files", full)
    with pytest.raises(TransientError) as busy:
        archive.export(["std"], "ecsv", tmp_path / "new")
    assert busy.value.code == "no_space"
    assert not (tmp_path / "new").exists()


def test_a_link_in_the_way_is_never_followed(archive, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "T__std.ecsv").symlink_to(tmp_path / "target")
    with pytest.raises(UsageError) as caught:
        archive.export(["std"], "ecsv", tmp_path / "out")
    assert caught.value.code == "exists"
    assert not (tmp_path / "target").exists()


# the Spectrum Data Model ----------------------------------------------------------------------


def read_votable(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # erg and Angstrom are in VOUnit, which prefers others
        warnings.filterwarnings("ignore", "The unit '.*' has been deprecated", u.UnitsWarning)
        return votable.parse(path, verify="exception")


def test_votable_for_astropy_without_a_warning(archive, tmp_path):
    paths = archive.export([], "sdm-votable", tmp_path)
    kinds = {"std": "double", "ivar": "float", "counts": "short"}
    for path in paths:
        found = read_votable(path).get_first_table()
        utypes = {f.utype.split("Data.")[-1]: f for f in found.fields if f.utype}
        assert {"SpectralAxis.Value", "FluxAxis.Value", "FluxAxis.Quality"} <= set(utypes)
        name = path.stem.split("__")[1]
        if name in kinds:
            assert utypes["FluxAxis.Value"].datatype == kinds[name]
    table = read_votable(tmp_path / "T__ivar.vot").get_first_table()
    wave = table.get_field_by_id("wave")
    assert wave.ucd == "em.wl;obs.atmos"
    np.testing.assert_array_equal(table.array["wave"], 10.0 ** zoo()[1].axis.values)
    assert table.array["ivar"].data.tobytes() == zoo()[1].uncertainty.tobytes()
    error = np.ma.getdata(table.array["flux_error"])
    assert np.isnan(error[7])
    np.testing.assert_allclose(error[:7], 1 / np.sqrt(zoo()[1].uncertainty[:7]), rtol=1e-6)
    assert list(np.flatnonzero(table.array["quality"])) == [7, 11, 20, 21]
    assert list(table.array["seen"].data[19:23]) == [False, True, True, False]
    std = read_votable(tmp_path / "T__std.vot").get_first_table()
    assert "0 NODATA, 3 NEARSKY" in std.get_field_by_id("flags").description
    assert list(np.flatnonzero(std.array["quality"])) == [3, 11, 20]  # bit 3 does not spoil


def test_votable_metadata_under_its_utypes(archive, tmp_path):
    table = read_votable(archive.export(["std"], "sdm-votable", tmp_path)[0]).get_first_table()
    said = {e.utype.split("Spectrum.")[-1]: e for g in table.groups for e in g.entries if e.utype}
    assert said["Target.Name"].value == "HD 1"
    assert said["CoordSys.SpectralFrame.RefPos"].value == "BARYCENTER"
    assert said["Curation.PublisherDID"].value == "ivo://spectrarium.local/T?std"
    assert said["Char.TimeAxis.Coverage.Location.Value"].value == 58000.375
    assert said["Char.TimeAxis.Coverage.Bounds.Extent"].value == 21600.0
    assert list(said["Char.SpatialAxis.Coverage.Location.Value"].value) == [3.0, -78.5]
    assert said["Char.SpectralAxis.Coverage.Bounds.Start"].value == 4000.0
    for name in ("DataID.Title", "DataID.Collection", "Derived.SNR", "Curation.Publisher"):
        assert name in said


def test_votlint_finds_nothing(archive, tmp_path):
    need("stilts", shutil.which("stilts") is not None, "stilts is not installed")
    source = [*zoo(), echelle(), spectrum("<&\"'>☉", 9)]
    other = sp.open(tmp_path / "a")
    other.ingest(source)
    for path in other.export([], "sdm-votable", tmp_path / "out"):
        run = subprocess.run(["stilts", "votlint", str(path)], capture_output=True, text=True,
                             check=False)  # fmt: skip
        assert (run.returncode, run.stdout, run.stderr) == (0, "", ""), path


def test_sdm_fits_for_astropy_with_its_checksums(archive, tmp_path):
    paths = archive.export([], "sdm-fits", tmp_path)
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with fits.open(path, checksum=True) as hdus:
                hdus.verify("exception")
                header, data = hdus[1].header, hdus[1].data
                assert header["VOCLASS"] == "Spectrum-1.0"
                assert header["NAXIS2"] == 1
                assert header["TUTYP1"] == "Spectrum.Data.SpectralAxis.Value"
                assert header["TUTYP2"] == "Spectrum.Data.FluxAxis.Value"
                assert header["DATASUM"]
                assert len(data["FLUX"][0]) == N
        for hdu in SourceFile.open(path).fits:
            hdu.verify()
    with fits.open(tmp_path / "T__ivar.fits") as hdus:
        header, row = hdus[1].header, hdus[1].data[0]
        assert header["TUCD1"] == "em.wl;obs.atmos"
        assert header["VACUUM"] is False
        assert (header["SPECSYS"], header["TIMESYS"]) == ("HELIOCEN", "UTC")
        assert (header["RA"], header["DEC"]) == (6.0, -77.0)
        assert (header["TSTART"], header["TSTOP"], header["TMID"]) == (58000.25, 58000.5, 58000.375)
        assert row["FLUX"].astype("f4").tobytes() == zoo()[1].flux.tobytes()
        assert row["IVAR"].astype("f4").tobytes() == zoo()[1].uncertainty.tobytes()
        assert list(row["SEEN"][19:23]) == [False, True, True, False]
        assert u.Unit(header["TUNIT2"]) == u.Unit("erg s-1 cm-2 Angstrom-1")
    with fits.open(tmp_path / "T__unknown.fits") as hdus:
        about = {r["NAME"]: r["VALUE"] for r in hdus["OBSERVATION"].data}
        assert about["teff"] == "5000.5"
        assert about["note"] == "\\xfc <&>"
        assert "TUNIT2" not in hdus[1].header


def test_one_changed_bit_breaks_the_checksum(archive, tmp_path):
    path = archive.export(["std"], "sdm-fits", tmp_path)[0]
    raw = bytearray(path.read_bytes())
    raw[2880 * 4] ^= 1
    path.write_bytes(raw)
    with pytest.warns(Warning, match="verification failed"), fits.open(path, checksum=True) as h:
        assert h[1].data is not None


def test_checksum_characters_encode_the_sum():
    rng = np.random.default_rng(0)
    for value in [0, 1, 0xFFFFFFFF, *rng.integers(0, 2**32, 500).tolist()]:
        text = encoded(int(value))
        assert text.isalnum()
        # appendix J: minus the zeros that stood there, the rotated text adds up to the value
        words = np.frombuffer((text[1:] + text[0]).encode(), "u1").astype(">i8") - ord("0")
        assert ones_complement(words.astype("u1").tobytes()) % 0xFFFFFFFF == value % 0xFFFFFFFF


def test_unsigned_numbers_beyond_the_formats_are_left_out_with_a_note():
    huge = np.full(N, 2**63, np.uint64)
    columns, notes = sdm_columns(spectrum("x", extras={"id": huge, "few": huge // 2**40}))
    names = {c.name: c for c in columns}
    assert "id" not in names
    assert names["few"].values.dtype == np.int64
    assert notes == ["id (uint64) has no exact type here: left out"]


def test_no_extra_can_be_taken_for_something_else():
    words = [w for names in read_columns._NAMES.values() for w in names]
    words += [*read_columns._WAVE, *read_columns._LOG10, *read_columns._LN, "lambda vac nm"]
    words += ["flux_tell_corr", "error of x", "Ångström", "2nd", "", "a" * 200]
    taken: set[str] = set()
    names = [safe_name(w, taken) for w in words]
    assert len(set(names)) == len(words)
    assert [n for n in names if read_columns.meaning(n) is not None] == []
    assert safe_name("sky", set()) == "sky"


# echelle --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_orders_follow_one_another_and_can_be_told_apart(tmp_path, kind):
    archive = sp.open(tmp_path / "a")
    archive.ingest([echelle()])
    path = archive.export(["ech"], kind, tmp_path / "out")[0]
    expected = echelle()
    if kind in ("parquet", "hats"):
        row = pq.read_table(partitions(path)[0] if kind == "hats" else path).to_pylist()[0]
        assert row["n_orders"] == 3
        assert json.loads(row["order_numbers"]) == [61, 60, 59]
        samples = row["spectrum"] if kind == "hats" else row
        flux = np.array(samples["flux"]).reshape(3, -1)
        wave = np.array(samples["wave_aa"]).reshape(3, -1)
    else:
        if kind == "sdm-votable":
            columns = read_votable(path).get_first_table().array
        elif kind == "sdm-fits":
            columns = {k.lower(): v for k, v in zip(*_cells(path), strict=True)}
        else:
            columns = Table.read(path)
        order = np.asarray(columns["order"])
        name = "wave_aa" if kind == "ecsv" else "wave"
        flux = np.stack([np.asarray(columns["flux"])[order == m] for m in (61, 60, 59)])
        wave = np.stack([np.asarray(columns[name])[order == m] for m in (61, 60, 59)])
    np.testing.assert_array_equal(flux, expected.flux)
    np.testing.assert_array_equal(wave, expected.wave_aa)


def _cells(path):
    with fits.open(path) as hdus:
        data = hdus[1].data
        return data.names, [data[n][0].copy() for n in data.names]


# columns --------------------------------------------------------------------------------------


def test_ecsv_in_astropy_has_units_types_and_everything_known(archive, tmp_path):
    table = Table.read(archive.export(["ivar"], "ecsv", tmp_path)[0])
    assert table["wave_aa"].unit == u.AA
    assert table["flux"].unit == u.Unit("erg s-1 cm-2 Angstrom-1")
    assert table["uncertainty"].unit == table["flux"].unit ** -2
    assert table["flux"].dtype == np.float32
    flux = np.ma.filled(np.ma.asarray(table["flux"]), np.nan).astype("f4")
    np.testing.assert_array_equal(flux, zoo()[1].flux)
    assert table.meta["medium"] == "air"
    assert table.meta["uncertainty_kind"] == "ivar"
    assert table.meta["obs_publisher_did"] == "ivo://spectrarium.local/T?ivar"
    assert "weight" not in table.colnames


def test_parquet_layout(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(columnar, "GROUP_ROWS", 3)
    path = archive.export([], "parquet", tmp_path)[0]
    meta = pq.read_metadata(path)
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [3, 3, 1]
    group = meta.row_group(0)
    by_path = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    flux = by_path["flux.list.element"]
    assert flux.compression == "ZSTD"
    assert "BYTE_STREAM_SPLIT" in flux.encodings
    assert not any("DICTIONARY" in e for e in flux.encodings)
    schema = pq.read_schema(path)
    assert schema.field("wave_aa").metadata[b"unit"] == b"Angstrom"
    assert b"unit" not in schema.field("flux").metadata  # spectra of several units
    assert schema.field("s_ra").metadata[b"unit"] == b"deg"
    one = archive.export(["std"], "parquet", tmp_path / "one")[0]
    said = pq.read_schema(one).field("flux")
    assert u.Unit(said.metadata[b"unit"].decode(), format="vounit") == u.Unit(
        "1e-17 erg s-1 cm-2 Angstrom-1")  # fmt: skip
    assert pq.read_schema(archive.export(["ivar"], "parquet", tmp_path / "two")[0]).field(
        "flux").type == pa.list_(pa.float32())  # fmt: skip


def test_types_that_no_column_can_hold_are_refused(tmp_path):
    archive = sp.open(tmp_path / "a")
    archive.ingest([
        spectrum("a", 1, flags=np.full(N, 0, "u8"), flag_scheme=FlagScheme("X", {}, 1)),
        spectrum("b", 2, flags=np.full(N, 0, "i8"), flag_scheme=FlagScheme("X", {}, 1)),
    ])  # fmt: skip
    with pytest.raises(UsageError) as caught:
        archive.export([], "parquet", tmp_path / "out")
    assert caught.value.code == "mixed_types"
    assert not (tmp_path / "out").exists()


def test_memory_holds_a_group_and_not_the_export(tmp_path):
    alive = most = 0
    one = spectrum("x")
    record = {"obs_id": "x", "obs_collection": "T", "s_ra": 1.0, "s_dec": 1.0, "flux_unit": "Jy"}
    n = 500

    class Counted(Spectrum):
        __slots__ = ()

        def __del__(self):
            nonlocal alive
            alive -= 1

    def take(at):
        nonlocal alive, most
        for i in at.tolist():
            alive += 1
            most = max(most, alive)
            yield {**record, "obs_id": str(i)}, Counted(
                axis=one.axis, flux=one.flux, observation=one.observation,
                provenance=one.provenance, flux_unit="Jy")  # fmt: skip

    schema = pa.Table.from_pylist([record]).schema
    source = ExportSource(schema, np.ones(n), np.ones(n), take)
    for kind in FORMATS:
        write_export(source, kind, tmp_path / kind)
        assert most <= 2 * columnar.GROUP_ROWS + 2
    assert pq.read_metadata(tmp_path / "parquet" / columnar.NAME).num_rows == n


def test_hats_partitions_split_and_stay_sorted(archive, tmp_path, monkeypatch, quiet):
    monkeypatch.setattr(hats, "PARTITION_SAMPLES", 2 * N)
    near = [spectrum(f"near{i}", 20 + i, observation={"s_ra": 150.0 + 3 * i, "s_dec": 2.0})
            for i in range(9)]  # fmt: skip
    archive = sp.open(tmp_path / "a")
    archive.ingest(near + zoo())
    root, left_out = archive.export([], "hats", tmp_path / "out")
    with left_out.open(encoding="utf-8") as handle:
        assert [r["obs_id"] for r in csv.DictReader(handle)] == ["no sky"]
    parts = partitions(root)
    listed = (root / "partition_info.csv").read_text().split()[1:]
    assert len(listed) == len(parts)
    total, orders = 0, set()
    for part in parts:
        order, pixel = (int(part.parts[i].split("=")[1].split(".")[0]) for i in (-3, -1))
        index = np.array(pq.read_table(part, columns=["_healpix_29"]).column(0))
        assert len(index) <= 2
        assert (np.diff(index) >= 0).all()
        assert (index >> (2 * (29 - order)) == pixel).all()
        assert f"{order},{pixel}" in listed
        orders.add(order)
        total += len(index)
    assert total == 15
    assert max(orders) > 0
    said = dict(line.split("=", 1) for line in
                (root / "hats.properties").read_text().splitlines()[1:])  # fmt: skip
    assert (said["hats_nrows"], said["hats_col_ra"]) == ("15", "s_ra")
    assert said["hats_order"] == str(max(orders))


def test_hats_library_calls_it_valid(archive, tmp_path, quiet):
    need("hats", importlib.util.find_spec("hats") is not None, "hats is not installed")
    from hats import read_hats
    from hats.io.validation import is_valid_catalog

    root = archive.export([], "hats", tmp_path)[0]
    assert is_valid_catalog(root, strict=True)
    assert len(read_hats(root)) == 6


def test_left_out_rows_are_warned_of(archive, tmp_path):
    with pytest.warns(UserWarning, match="1 observations without coordinates"):
        archive.export([], "hats", tmp_path)


def test_the_command(archive, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", "std", "--format", "ecsv", "--out", str(tmp_path / "o"),
              "--archive", str(archive.path), "--json"])  # fmt: skip
    assert ended.value.code in (0, None)
    said = json.loads(capsys.readouterr().out)
    assert said == [{"path": str(tmp_path / "o" / "T__std.ecsv")}]
    with pytest.raises(SystemExit) as ended:
        main(["export", "nobody", "--format", "ecsv", "--out", str(tmp_path / "p"),
              "--archive", str(archive.path)])  # fmt: skip
    assert ended.value.code == 2


# real spectra ---------------------------------------------------------------------------------

REAL = {
    "sdss": ("sdss_boss_pool/raw_examples/spec-0266-51602-0031.fits.gz", 1),
    "harps": ("harps_acenB_timeseries/raw_examples/"
              "HARPS.2010-03-23T05.34.00.274_s1d_A.fits.gz", 1),
    "ondrejov": ("ondrejov_ccd700/raw/a201402030013.fits", 1),
    "lamost": ("lamost_lrs_pool/raw_examples/spec-55859-F5902_sp01-001_dr7.fits.gz", 1),
    "desi": ("desi_coadds/raw/coadd-sv3-dark-26065.fits.gz", 6),
    "gaia": ("gaia_dr3_samples/raw/Kepler-93.csv", 1),
    "eso": ("format_zoo/raw/linetools__XShooter_XQ100.fits.gz", 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def real(data_dir, tmp_path_factory):
    archive = sp.open(tmp_path_factory.mktemp("real") / "a")
    items = [i for name, _ in REAL.values() for i in read_source(SourceFile.open(data_dir / name))]
    archive.ingest([i for i in items if isinstance(i, Spectrum)])
    assert len(archive) == sum(n for _, n in REAL.values())
    return archive


@pytest.mark.data
@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_real_spectra_come_back_the_same(real, tmp_path, kind, quiet):
    back = read_back(kind, real.export([], kind, tmp_path))
    originals = {}
    for _, batch in real.store.scan():
        for one in batch:
            originals[one.observation.obs_collection, one.observation.obs_id] = one
    if kind == "hats":
        placed = {k for k, s in originals.items() if s.observation.s_ra is not None}
        assert back.keys() == placed
    else:
        assert back.keys() == originals.keys()
    for key, found in back.items():
        assert_same_science(originals[key], found, kind)


@pytest.mark.data
def test_a_real_export_is_recognised_by_its_content(real, tmp_path):
    for kind, reader in (("sdm-votable", "sdm-votable"), ("sdm-fits", "sdm-fits"),
                         ("ecsv", "ascii"), ("parquet", "parquet")):  # fmt: skip
        for path in real.export([], kind, tmp_path / kind):
            assert recognise(SourceFile.open(path)).name == reader
