"""Result tables as VOTable: every type, null and odd character comes back, in both forms."""

from __future__ import annotations

import io
import shutil
import subprocess
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import parse_single_table
from required import need

from spectrarium.domain.errors import UsageError
from spectrarium.publish import votable

FORMS = ("binary2", "tabledata")


def table(n: int = 500) -> pa.Table:
    draw = np.random.default_rng(4)
    doubles = draw.normal(size=n)
    doubles[:3] = [np.nan, np.inf, -np.inf]
    return pa.table({
        "x": pa.array(doubles),
        "unknown": pa.array(draw.normal(size=n), mask=draw.random(n) < 0.3),
        "x32": pa.array(draw.normal(size=n).astype("f4")),
        "count": pa.array(draw.integers(-(2**62), 2**62, n), mask=draw.random(n) < 0.2),
        "small": pa.array(draw.integers(0, 255, n).astype("u1")),
        "seen": pa.array([True, False, None] * n, pa.bool_())[:n],
        "name": pa.array([f"HD {i} <b>&amp; \"x\" \x01" if i % 7 else None for i in range(n)]),
        "word": pa.array([f"α Cen {i}" for i in range(n)]),
        "kind": pa.array([["STAR", "QSO", None][i % 3] for i in range(n)]).dictionary_encode(),
        "list": pa.array([[0.5 * k for k in range(i % 4)] for i in range(n)],
                         pa.list_(pa.float32())),
        "vector": pa.array([[i, 1.5, -i] for i in range(n)], pa.list_(pa.float64(), 3)),
    })  # fmt: skip


def written(source: pa.Table, form: str) -> bytes:
    return b"".join(votable.document(source, serialisation=form, infos=[("QUERY_STATUS", "OK")]))


def known(column) -> list:
    """Values with None where masked."""
    mask = getattr(column, "mask", np.zeros(len(column), bool))
    return [None if np.all(m) and np.size(m) else v for v, m in zip(column, mask, strict=True)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int32(), pa.bool_()], ids=str)
@pytest.mark.parametrize("cells", [[None], [[]], [None, []], []], ids=str)
def test_lists_without_any_element_are_written(form, kind, cells):
    source = pa.table({"a": pa.array(cells, pa.list_(kind)), "n": pa.array(range(len(cells)))})
    read = parse_single_table(io.BytesIO(written(source, form))).to_table()
    assert read["n"].tolist() == list(range(len(cells)))
    assert all(c is None or len(np.atleast_1d(c)) == 0 or np.ma.is_masked(c) for c in read["a"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cut", [slice(0, 500), slice(7, 30), slice(0, 0)])
def test_every_value_comes_back(form, cut):
    source = table()[cut.start : cut.stop] if cut.stop else table().slice(0, 0)
    read = parse_single_table(io.BytesIO(written(source, form))).to_table()
    assert len(read) == source.num_rows
    if not len(read):
        return
    np.testing.assert_array_equal(np.ma.filled(read["x"], np.nan), source["x"].to_numpy())
    np.testing.assert_array_equal(read["x32"], source["x32"].to_numpy())
    for name in ("count", "seen", "small"):
        assert known(read[name]) == source[name].to_pylist(), name
    assert known(read["unknown"]) == source["unknown"].to_pylist()
    told = [v or "" for v in source["name"].to_pylist()]
    if form == "tabledata":  # XML cannot hold a control character
        told = [v.replace("\x01", "\ufffd") for v in told]
    assert [str(v) if v is not None and v is not np.ma.masked else "" for v in read["name"]] == told
    assert [str(v) for v in read["word"]] == source["word"].to_pylist()
    assert [list(map(float, v)) for v in read["vector"]] == source["vector"].to_pylist()
    assert [list(map(float, v)) for v in read["list"]] == source["list"].to_pylist()


@pytest.mark.parametrize("form", FORMS)
def test_other_programs_find_no_fault(form, tmp_path):
    need("stilts", shutil.which("stilts") is not None, "stilts is not installed")
    path = tmp_path / "t.vot"
    source = table()
    path.write_bytes(written(source.drop_columns(["name"]), form))
    done = subprocess.run(
        ["stilts", "votlint", str(path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert done.stdout.strip() == ""
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("form", FORMS)
def test_it_is_sent_in_pieces_of_flat_memory(form):
    """Ten times the rows take no more: those of Arrow, which numpy and Python do not count, too."""

    def most(batches: int) -> int:
        one = table(10_000).combine_chunks().to_batches()[0]
        fields = votable.fields_of(pa.Table.from_batches([one]))
        before, arrow, longest = pa.total_allocated_bytes(), 0, 0
        tracemalloc.start()
        for piece in votable.document((one for _ in range(batches)), fields=fields,
                                      serialisation=form):  # fmt: skip
            longest = max(longest, len(piece))
            arrow = max(arrow, pa.total_allocated_bytes() - before)
        python = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert longest < 3_000_000
        return arrow + python

    most(2)
    assert most(20) < 1.3 * most(2)


def test_a_type_without_a_place_is_refused():
    with pytest.raises(UsageError, match="cannot be in a VOTable") as caught:
        b"".join(votable.document(pa.table({"s": pa.array([{"a": 1}])})))
    assert caught.value.code == "no_votable_type"


def test_hostile_text_stays_text():
    bad = '"><RESOURCE/><x y="'
    body = votable.failure(bad).decode()
    assert "<RESOURCE/>" not in body
    field = votable.param("a", bad, about=bad, ucd=bad).xml("PARAM")
    assert "<RESOURCE/>" not in field
