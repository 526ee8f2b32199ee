"""Columns, facets and tables of a search, by hand-made archives whose answers are known."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import parse, validate
from astropy.table import Table
from embedding_cases import spectrum

import spectrarium as sp
from spectrarium.domain.errors import UsageError
from spectrarium.domain.observation import Observation
from spectrarium.publish.catalogue import csv, votable
from spectrarium.publish.notebook import notebook
from spectrarium.run.asked import Conditions, found
from spectrarium.run.columns import Columns
from spectrarium.run.exported import exported, identities
from spectrarium.run.facets import binned_of, default_facets, facets, filter_name, sky
from spectrarium.run.finding import find, sorted_rows, sparklines, trace

WAVE = np.linspace(4000.0, 5000.0, 500)
N = 60


def observation(i):
    return Observation(
        "ABC"[i % 3], obs_id=f"o{i:02d}", target_name=f"star {i}" if i % 7 else None,
        target_class="STAR" if i % 2 else None, s_ra=6.0 * i if i % 5 else None,
        s_dec=80.0 - 2.5 * i if i % 5 else None, snr=float(i + 1), t_min=58000.123456 + i,
        t_exptime=10.0 ** (i / 15), em_res_power=2000.0, instrument_name="same",
    )  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("columns")
    made = sp.open(root / "archive")
    made.ingest([spectrum(WAVE, np.ones(WAVE.size) * i, observation=observation(i))
                 for i in range(N)], workers=0)  # fmt: skip
    first = Table({"obs_id": [f"o{i:02d}" for i in range(40)],
                   "teff": np.arange(40) * 100.0 + 3000,
                   "kind": ["QSO"] * 40, "parallax": np.linspace(-1, 10, 40),
                   "parallax_error": np.full(40, 0.5), "obj_class": ["GALAXY"] * 40,
                   "source_id": np.arange(40) + 4_000_000_000_000_000_000})  # fmt: skip
    other = Table({"obs_id": [f"o{i:02d}" for i in range(30, N)],
                   "teff": [3000.0 + 100 * i + (i == 31) for i in range(30, N)]})  # fmt: skip
    for name, table in (("one", first), ("two", other)):
        table.write(root / f"{name}.ecsv")
        made.add_catalogue(root / f"{name}.ecsv", "obs_id")
    return made.store


@pytest.fixture
def columns(archive):
    return Columns(archive)


# columns --------------------------------------------------------------------------------------


def test_one_order_for_all_columns(columns):
    first, second = columns.table(["snr"]), columns.table(["t_min", "snr", "snr"])
    assert first.column("row").equals(second.column("row"))
    assert second.column_names == ["row", "t_min", "snr"]
    rows = first.column("row").to_numpy()
    assert sorted(rows.tolist()) == list(range(N))
    assert rows.tolist() != list(range(N))
    assert Columns(columns.archive).order.tolist() == rows.tolist()  # whenever it is asked
    np.testing.assert_array_equal(first.column("snr").to_numpy(), rows + 1.0)


def test_types_and_what_fields_say(columns):
    table = columns.table(["snr", "t_min", "s_ra", "class", "has_flags", "calib_level",
                           "one.source_id", "one.teff"])  # fmt: skip
    kinds = {f.name: f.type for f in table.schema}
    assert kinds["row"] == pa.int32()
    assert kinds["snr"] == kinds["calib_level"] == kinds["one.teff"] == pa.float32()
    assert kinds["t_min"] == kinds["s_ra"] == kinds["one.source_id"] == pa.float64()
    assert kinds["class"] == kinds["has_flags"] == pa.dictionary(pa.int32(), pa.string())
    said = table.schema.field("one.teff").metadata
    assert (said[b"unit"], said[b"ucd"]) == (b"K", b"phys.temperature.effective")
    ra = table.column("s_ra").to_numpy()
    rows = table.column("row").to_numpy()
    assert np.isnan(ra[rows % 5 == 0]).all()
    assert table.column("s_ra").null_count == 0  # unknown numbers are NaN
    t = table.column("t_min").to_numpy()
    np.testing.assert_allclose(t, 58000.123456 + rows, atol=1e-9, rtol=0)
    assert set(table.column("has_flags").to_pylist()) == {"false"}


def test_class_is_the_files_then_that_of_labels(columns):
    table = columns.table(["class"])
    for row, word in zip(table.column("row").to_pylist(), table.column("class").to_pylist(),
                         strict=True):  # fmt: skip
        assert word == ("STAR" if row % 2 else "GALAXY" if row < 40 else None)
    for word in ("STAR", "GALAXY"):
        rows = columns.archive.find(where=f"class = '{word}'")
        assert len(rows) == table.column("class").to_pylist().count(word)


def test_joined_labels_say_nothing_where_they_differ(columns):
    teff = columns.numbers("labels.teff")
    expected = 3000.0 + 100.0 * np.arange(N)
    expected[31] = np.nan
    np.testing.assert_array_equal(teff, expected)
    assert columns.column("labels.teff").unit == "K"
    assert 31 not in columns.archive.find(where="labels.teff > 0").tolist()


def test_galactic_positions_are_astropys(columns):
    from astropy.coordinates import SkyCoord

    ra, dec = columns.numbers("s_ra"), columns.numbers("s_dec")
    there = np.isfinite(ra)
    sky_ = SkyCoord(ra[there], dec[there], unit="deg").galactic
    np.testing.assert_allclose(columns.numbers("gal_l")[there], sky_.l.deg, atol=1e-5)
    np.testing.assert_allclose(columns.numbers("gal_b")[there], sky_.b.deg, atol=1e-5)
    assert np.isnan(columns.numbers("gal_l")[~there]).all()


def test_distances_of_parallaxes_that_are_sure(columns):
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    i = 39
    parallax = columns.numbers("one.parallax")
    where = SkyCoord(6.0 * i * u.deg, (80.0 - 2.5 * i) * u.deg, distance=u.kpc / parallax[i])
    xyz = where.galactic.cartesian.xyz.to_value(u.kpc)
    for axis, value in zip("xyz", xyz, strict=True):
        assert columns.numbers(f"gal_{axis}_kpc")[i] == pytest.approx(value, abs=1e-6)
        got = np.isfinite(columns.numbers(f"gal_{axis}_kpc"))
        placed = np.isfinite(columns.numbers("s_ra"))
        np.testing.assert_array_equal(got, placed & (parallax >= 5 * 0.5))
    assert "parallax" in columns.column("gal_x_kpc").about


def test_unknown_columns_name_their_like(columns):
    with pytest.raises(UsageError) as told:
        columns.table(["sn"])
    assert told.value.code == "no_column"
    assert "snr" in told.value.remedy
    for name in ("", "uid", "healpix29", "\x00class", "score:none", "map:x:y", "one.", "row; drop"):
        with pytest.raises(UsageError):
            columns.column(name)
    with pytest.raises(UsageError) as told:
        columns.numbers("target_name")
    assert told.value.code == "not_a_number"
    with pytest.raises(UsageError) as told:
        columns.table([f"c{i}" for i in range(65)])
    assert told.value.code == "too_many_columns"


def test_words_of_rows_that_are_not_shown_are_not_told(columns):
    columns.rows = columns.rows[columns.rows % 3 != 0]
    words = columns.codes("obs_collection")
    assert words.values.to_pylist() == ["B", "C"]
    assert (words.codes[::3] == -1).all()


# facets ---------------------------------------------------------------------------------------


def by_name(columns, rows, names=None):
    return {f["column"]: f for f in facets(columns, rows, names)}


def test_facets_are_of_what_varies(columns):
    names = default_facets(columns)
    assert names[:3] == ["obs_collection", "class", "snr"]
    assert "labels.teff" in names
    assert not {"instrument_name", "em_res_power", "obs_id", "target_name", "one.teff", "uid",
                "one.source_id"} & set(names)  # fmt: skip


def test_counts_add_up_and_are_those_of_the_condition(columns):
    for where in (None, "snr > 20", "class = 'STAR' AND s_ra > 100", "snr < 0"):
        rows = found(columns, Conditions(where=where)).rows
        for one in facets(columns, rows):
            assert one["total"] == len(rows)
            if one["kind"] == "categories":
                total = sum(v["count"] for v in one["values"]) + one["others"]["count"]
                for v in one["values"]:
                    text = f"{one['filter']} = '{v['value']}'"
                    if isinstance(v["value"], str) and one["column"] != "has_flags":
                        assert len(columns.archive.find(where=text)) == v["of"]
                        both = text if where is None else f"({where}) AND {text}"
                        assert len(columns.archive.find(where=both)) == v["count"]
            else:
                total = sum(one["counts"]) + one["below"] + one["above"]
                assert len(one["edges"]) == len(one["counts"]) + 1 == len(one["of"]) + 1
            assert total + one["missing"] == len(rows)


def test_a_brushed_range_gives_what_its_bins_count(columns):
    for one in facets(columns, columns.rows, ["snr", "t_exptime", "t_min", "labels.teff"]):
        for i in (0, 3, len(one["counts"]) - 1):
            lo, hi = one["edges"][i], one["edges"][i + 1]
            text = f"{one['filter']} >= {lo} AND {one['filter']} < {hi}"
            assert len(columns.archive.find(where=text)) == one["counts"][i], (one["column"], i)


def test_edges_are_robust_and_logarithmic_where_wide():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(5000, 300, 10_000), [1e30, -1e30, np.nan, np.inf]])
    binned = binned_of(values, np.arange(len(values)))
    assert 3000 < binned.edges[0] < binned.edges[-1] < 8000
    assert not binned.log
    assert binned.bins[-4:].tolist() == [-3, -2, -1, -1]
    wide = binned_of(10.0 ** rng.uniform(-2, 4, 5000), np.arange(5000))
    assert wide.log
    np.testing.assert_allclose(np.diff(np.log10(wide.edges)), np.diff(np.log10(wide.edges))[0],
                               rtol=1e-3)  # fmt: skip
    assert (wide.bins >= 0).all()  # an end that is not far off is the edge
    for odd in (np.full(5, 3.0), np.zeros(5), np.full(5, np.nan), np.array([]), np.array([-2.0])):
        edges = binned_of(odd, np.arange(len(odd))).edges
        assert (np.diff(edges) > 0).all()


def test_facets_by_name_and_bad_ones(columns):
    got = by_name(columns, columns.rows, ["calib_level", "target_name", "has_flags", "gal_b"])
    assert got["calib_level"]["kind"] == "categories"
    assert got["calib_level"]["values"] == [{"value": 2, "count": N, "of": N}]
    assert got["target_name"]["others"]["values"] == len({i for i in range(N) if i % 7}) - 40
    assert got["has_flags"]["values"][0]["value"] == "false"
    with pytest.raises(UsageError):
        facets(columns, columns.rows, ["nothing"])
    with pytest.raises(UsageError):
        facets(columns, columns.rows, [f"c{i}" for i in range(30)])


def test_names_as_the_filter_takes_them(columns):
    assert filter_name("snr") == "snr"
    assert filter_name("one.teff") == "one.teff"
    assert filter_name("map:pca.x-1:y") == '"map:pca.x-1:y"'
    assert filter_name('a"b') == '"a""b"'


def test_the_sky_counts_all(columns):
    for nside in (1, 16, 256):
        got = sky(columns, columns.rows, nside)
        assert sum(c[3] for c in got["cells"]) == got["placed"] == N - N // 5
        assert got["unplaced"] == N // 5
    import cdshealpix
    from astropy import units as u
    from astropy.coordinates import Latitude, Longitude

    cell, ra, dec, _ = sky(columns, columns.rows)["cells"][0]
    assert cdshealpix.lonlat_to_healpix(Longitude(ra * u.deg), Latitude(dec * u.deg), 4) == cell
    assert sky(columns, columns.rows[:0])["cells"] == []
    for nside in (3, 512, 0):
        with pytest.raises(UsageError):
            sky(columns, columns.rows, nside)


# tables ---------------------------------------------------------------------------------------


def test_sorting_puts_the_unknown_last(columns):
    rows = columns.rows
    assert sorted_rows(columns, rows, "-snr").tolist() == list(range(N))[::-1]
    for sort in ("s_ra", "-s_ra", "target_name", "-target_name"):
        values = columns.archive.catalogue(sorted_rows(columns, rows, sort), [sort.lstrip("-")])
        values = values.column(0).to_pylist()
        known = [v for v in values if v is not None]
        assert values[: len(known)] == known
        assert known == sorted(known, reverse=sort[0] == "-")
    both = sorted_rows(columns, rows, "obs_collection, -snr").tolist()
    assert both == [*range(57, -1, -3), *range(58, -1, -3), *range(59, -1, -3)]
    for bad in (",", "a,b,c,d,e", "nothing", "-", "--snr x"):
        with pytest.raises(UsageError):
            sorted_rows(columns, rows, bad)


def test_pages(columns):
    whole = find(columns, Conditions(), sort="-snr", limit=500)
    parts = [find(columns, Conditions(), sort="-snr", offset=o, limit=7)["rows"]
             for o in range(0, N, 7)]  # fmt: skip
    assert [r for p in parts for r in p] == whole["rows"]
    assert whole["count"] == N
    row = whole["rows"][0]
    assert row["id"] == "C:o59"
    assert row["class"] == "STAR"
    assert row["uid"] == int(columns.archive.index.value("uid", np.array([59]))[0])
    assert find(columns, Conditions(), offset=1000)["rows"] == []
    assert find(columns, Conditions(where="snr < 0"))["count"] == 0
    more = find(columns, Conditions(cone=(6.0, 77.5, 1.0)), more=["labels.teff"])["rows"]
    assert more[0]["labels.teff"] == 3100.0
    assert more[0]["separation_deg"] == pytest.approx(0.0, abs=1e-9)


def test_sparklines_are_medians_of_the_good_samples(columns):
    got = sparklines(columns.archive, np.array([3, 0]), 10)
    assert [g["id"] for g in got] == ["A:o03", "A:o00"]
    assert got[0]["y"] == [3.0] * 10
    assert got[0]["lo"] < 3.0 < got[0]["hi"]
    with pytest.raises(UsageError):
        sparklines(columns.archive, np.arange(65) % N)
    assert sparklines(columns.archive, np.array([], int)) == []


def test_a_trace_has_holes_where_nothing_is_and_ignores_spikes():
    flux = np.sin(WAVE / 30.0)
    hit = flux.copy()
    hit[::40] = 1e9
    gap = np.full(WAVE.size, 0.1)
    gap[100:200] = np.inf  # no information
    got = trace(spectrum(WAVE, hit, gap), 50)
    smooth = trace(spectrum(WAVE, flux, gap), 50)
    assert got["y"][10:20] == [None] * 10
    np.testing.assert_allclose([v for v in got["y"] if v is not None],
                               [v for v in smooth["y"] if v is not None], atol=0.1)  # fmt: skip
    assert -2 < got["lo"] < got["hi"] < 2
    nothing = trace(spectrum(WAVE, np.full(WAVE.size, np.nan)), 5)
    assert nothing["y"] == [None] * 5
    assert nothing["lo_aa"] is None
    one = trace(spectrum(WAVE[:1], np.ones(1)), 5)
    assert one["lo"] < 1 < one["hi"]
    long = np.linspace(3000, 9000, 400_000)
    many = trace(dataclasses.replace(spectrum(long, np.ones(long.size))), 120)
    assert many["y"] == [1.0] * 120


# to take away ---------------------------------------------------------------------------------


@pytest.fixture
def table(columns):
    return exported(columns, columns.order, [n for n in columns.all if not n.startswith("map:")])


def test_votable_gives_back_every_value(columns, table, tmp_path):
    document = votable(table, "a <name> & é", {"asked": 'snr > 3 & "x" <b>'})
    got = parse(io.BytesIO(document), verify="ignore")
    read = got.get_first_table().to_table()
    assert read["s_ra"].unit == "deg"
    assert len(read) == N
    for name in table.column_names:
        ours, theirs = table.column(name).to_pylist(), read[name].tolist()
        for a, b in zip(ours, theirs, strict=True):
            if a is None:
                assert b is None or b == "" or b != b, name
            else:
                assert a == b, name
    (tmp_path / "x.vot").write_bytes(document)
    said = io.StringIO()
    validate(str(tmp_path / "x.vot"), output=said)
    problems = [line for line in said.getvalue().splitlines() if ": E" in line]
    assert not problems


def test_csv_gives_back_every_value(table):
    import csv as reader

    rows = list(reader.DictReader(io.StringIO(csv(table).decode())))
    assert len(rows) == N
    for name in ("obs_id", "snr", "s_ra", "class", "one_source_id", "t_min"):
        for row, value in zip(rows, table.column(name).to_pylist(), strict=True):
            if value is None:
                assert row[name] == ""
            else:
                assert type(value)(row[name]) == value


def test_odd_texts_survive():
    odd = ['a,b\n"c"', "é☉", "<b>&", None, "", "\x01x", "𝒳"]
    table = pa.table({"a": odd, "b": pa.array([[1, 2], None, [], [3], None, None, None])})
    got = parse(io.BytesIO(votable(table, "t", {}))).get_first_table().to_table()
    assert got["a"].tolist()[:3] == odd[:3]
    assert got["b"].tolist()[0] == "1 | 2"
    assert csv(table).decode("utf-8").startswith('"a","b"')
    one = pa.table({"x": pa.array([], pa.float64()), "w": pa.array([], pa.string())})
    assert len(parse(io.BytesIO(votable(one, "t", {}))).get_first_table().array) == 0


def test_by_default_what_says_something(columns):
    names = exported(columns, columns.rows[:5]).column_names
    assert {"obs_id", "snr", "class", "one_teff"} <= set(names)
    assert not {"metadata", "access_path", "redshift", "teff"} & set(names)
    for bad in ({"names": ["nothing"]}, {"rows": columns.rows[:0]}):
        with pytest.raises(UsageError):
            exported(columns, **({"rows": columns.rows[:3]} | bad))


def test_the_notebook_makes_the_set_again(columns):
    rows = found(columns, Conditions(where="snr > 55")).rows
    book = notebook(identities(columns.archive, rows), archive=str(columns.archive.root), version=3,
                    name="x <b>\n# y", question={"where": "snr > 55"})  # fmt: skip
    cells = json.loads(book)["cells"]
    assert len({c["id"] for c in cells}) == len(cells)
    assert "<b>" not in cells[0]["source"]
    namespace = {}
    for cell in cells:
        if cell["cell_type"] == "code" and "matplotlib" not in cell["source"]:
            exec(cell["source"], namespace)
    assert namespace["rows"] == rows.tolist()
    assert namespace["found"].num_rows == len(rows)
    assert Path(columns.archive.root).is_dir()
