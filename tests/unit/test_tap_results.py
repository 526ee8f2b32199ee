"""Results in every format come back as they were, with units, nulls and odd characters."""

from __future__ import annotations

import csv
import datetime
import io
import json
import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable import parse_single_table
from required import need

from spectrarium.domain.errors import UsageError
from spectrarium.publish.tap_results import FORMATS, Rows, format_named, written
from spectrarium.run.table_columns import Column

COLUMNS = (
    Column("name", pa.string(), "Its name", ucd="meta.id"),
    Column("s_ra", pa.float64(), "Right ascension", "deg", "pos.eq.ra;meta.main"),
    Column("n", pa.int64(), "A count", ucd="meta.number"),
    Column("short_one", pa.int16()), Column("x32", pa.float32(), unit="km/s"),
    Column("vector", pa.list_(pa.float32(), 3), ucd="meta.modelled"),
    Column("any", pa.list_(pa.float64())),
    Column("when", pa.timestamp("us"), "Then", ucd="time.epoch"),
    Column('"size"', pa.int32()),
)  # fmt: skip
N = 25
HOSTILE = 'a "quoted",\tα <b>&amp;\nline'


def table() -> pa.Table:
    when = datetime.datetime(2020, 1, 2, 3, 4, 5, 250000)
    values = [
        [None if i == 3 else HOSTILE if i == 4 else f"HD {i}" for i in range(N)],
        [None if i == 2 else 10.0 + i / 3 for i in range(N)],
        [None if i == 5 else 2**60 + i for i in range(N)],
        [i - 10 if i != 6 else None for i in range(N)], [i / 7 for i in range(N)],
        [None if i == 7 else [i, 0.5, -1.0] for i in range(N)],
        [None if i == 8 else [0.25] * (i % 4) for i in range(N)],
        [None if i == 9 else when for i in range(N)], list(range(N)),
    ]  # fmt: skip
    names = [c.name.strip('"') for c in COLUMNS]
    return pa.table({n: pa.array(v, c.type) for n, v, c in zip(names, values, COLUMNS,
                                                              strict=True)})  # fmt: skip


def answer(wanted: str, *, more: bool = False, source: pa.Table | None = None) -> bytes:
    batches = (table() if source is None else source).to_batches(7)
    rows = Rows(COLUMNS, iter(batches), frozenset({"name"}), lambda: more)
    return b"".join(written(rows, format_named(wanted), infos=[("QUERY", "SELECT <x>")]))


@pytest.mark.parametrize("wanted", ["votable", "votable/td"])
def test_votables_come_back(wanted):
    found = parse_single_table(io.BytesIO(answer(wanted)))
    read = found.to_table(use_names_over_ids=True)
    assert len(read) == N
    assert [f.name for f in found.fields][-1] == "size"
    assert read["s_ra"].unit == "deg"
    assert found.fields[1].ref == "sky"
    assert read["name"][4] == HOSTILE
    assert read["n"][6] == 2**60 + 6
    assert [bool(m) for m in read["n"].mask].index(True) == 5
    np.testing.assert_allclose(read["vector"][1], [1, 0.5, -1])
    assert str(read["when"][0]) == "2020-01-02T03:04:05.250"
    assert found.fields[7].xtype == "timestamp"


def test_votables_please_votlint(tmp_path):
    need("stilts", shutil.which("stilts") is not None, "stilts is not installed")
    for wanted in ("votable", "votable/td"):
        path = tmp_path / "t.vot"
        path.write_bytes(answer(wanted, more=True))
        done = subprocess.run(["stilts", "votlint", str(path)], capture_output=True, text=True,
                              timeout=120)  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert not done.stdout, done.stdout


def test_overflow_and_errors_stand_behind_the_rows():
    text = answer("votable/td", more=True).decode()
    assert text.index('value="OVERFLOW"') > text.index("</TABLE>")
    assert 'value="OVERFLOW"' not in answer("votable/td").decode()

    def failing():
        yield table().to_batches()[0]
        raise UsageError("it took too long", code="query_timeout")

    closed = []
    rows = Rows(COLUMNS, failing(), close=lambda: closed.append(1))
    text = b"".join(written(rows, format_named("votable/td"))).decode()
    assert text.index('value="ERROR"') > text.index("</TABLE>")
    assert "it took too long" in text
    assert closed == [1]
    with pytest.raises(UsageError, match="too long"):
        b"".join(written(Rows(COLUMNS, failing()), format_named("csv")))


def test_csv_and_tsv():
    found = list(csv.DictReader(io.StringIO(answer("csv").decode(), newline="")))
    assert len(found) == N
    assert found[4]["name"] == HOSTILE
    assert found[3]["name"] == "" == found[2]["s_ra"]
    assert found[1]["vector"] == "1.0 0.5 -1.0"
    lines = answer("tsv").decode().splitlines()
    assert len(lines) == N + 1
    assert {line.count("\t") for line in lines} == {len(COLUMNS) - 1}


def test_json_and_text():
    found = json.loads(answer("json", more=True))
    assert found["overflow"] is True
    assert found["metadata"][1] == {"name": "s_ra", "datatype": "double", "unit": "deg",
                                    "ucd": "pos.eq.ra;meta.main",
                                    "description": "Right ascension"}  # fmt: skip
    assert found["data"][5][2] is None
    assert found["data"][1][5] == [1.0, 0.5, -1.0]
    assert json.loads(answer("json", source=table().slice(0, 0)))["data"] == []
    text = answer("text", more=True).decode().splitlines()
    assert len(text) == N + 3
    assert text[0].split()[:3] == ["name", "s_ra", "n"]
    assert "more rows" in text[-1]
    assert "name" in answer("text", source=table().slice(0, 0)).decode()


def test_parquet_says_what_columns_mean():
    found = pq.read_table(io.BytesIO(answer("parquet")))
    assert found.num_rows == N
    assert found.schema.field("s_ra").metadata[b"unit"] == b"deg"
    assert found.column("n").to_pylist() == table().column("n").to_pylist()
    inside = found.schema.metadata[b"IVOA.VOTable-Parquet.content"]
    described = parse_single_table(io.BytesIO(inside))
    assert [f.name for f in described.fields] == found.column_names


@pytest.mark.parametrize("rows", [N, 0])
def test_fits(rows):
    with fits.open(io.BytesIO(answer("fits", more=True, source=table().slice(0, rows)))) as found:
        found.verify("exception")
        data, header = found[1].data, found[1].header
        assert len(data) == rows
        assert header["TUNIT2"] == "deg"
        assert "OVERFLOW" in str(header["COMMENT"])
        if rows:
            assert data["n"][6] == 2**60 + 6
            assert data["n"][5] == header["TNULL3"]
            assert np.isnan(data["s_ra"][2])
            assert data["when"][0].startswith("2020-01-02T03:04:05")
            np.testing.assert_allclose(data["vector"][1], [1, 0.5, -1])
            assert np.isnan(data["any"][1][1:]).all()
            assert data["name"][4].startswith('a "quoted",\t\\u03b1'.replace("\t", "")[:10])


def test_every_word_for_a_format():
    for one in FORMATS:
        for word in one.words:
            assert format_named(word) is one
            assert format_named(word.upper().replace(";", "; ")) is one
    assert format_named(None) is FORMATS[0]
    for odd in ("html", "votable\x00", "x" * 10_000, "text/csv;header=maybe"):
        with pytest.raises(UsageError) as error:
            format_named(odd)
        assert error.value.code == "bad_format"
