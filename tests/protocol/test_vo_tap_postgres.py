"""TAP on a PostgreSQL server: the embedded engine's answers, limits and errors."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import replace
from typing import Any

import httpx
import pyarrow as pa
import pytest
from serve_client import TOKEN
from vo_site import SETTINGS, serving

from spectrarium.domain.errors import SpectrariumError, TransientError, UsageError
from spectrarium.publish.postgres_store import connected
from spectrarium.publish.publisher import Publisher
from spectrarium.publish.tap import Engine, Query
from spectrarium.publish.tap_postgres import PostgresEngine
from spectrarium.publish.tap_results import FORMATS, written
from spectrarium.publish.tap_tables import ArchiveTables
from spectrarium.run.table_columns import Column, VoTable

CROSSED = ", ".join(f"spectra.observations AS t{i}" for i in range(7))


@pytest.fixture(scope="module")
def pair(site: Any, postgres: Any) -> Any:
    """The embedded engine and one on PostgreSQL, of the same archive."""
    tables = ArchiveTables(site.store, Publisher(authority="x.y"))
    embedded = Engine(tables)
    other = PostgresEngine(tables, postgres.database("tap", True))
    yield embedded, other
    embedded.close()
    other.close()


def rows(engine: Any, text: str, maxrec: int = 100_000, **more: Any) -> tuple[Any, list[Any], bool]:
    found = engine.run(Query(text, maxrec, **more))
    try:
        batches = list(found.batches)
    finally:
        found.close()
    values = [tuple(r.values()) for b in batches for r in pa.table(
        b.columns, names=[str(i) for i in range(b.num_columns)]).to_pylist()]  # fmt: skip
    return found.columns, values, found.overflowed()


def close_to(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(close_to, a, b))
    return bool(a == b)


QUERIES = [
    "SELECT * FROM ivoa.obscore", "SELECT * FROM spectra.observations",
    "SELECT * FROM tap_schema.columns", "SELECT TOP 3 obs_id, s_ra FROM ivoa.obscore",
    "SELECT obs_collection, COUNT(*) AS n, AVG(s_ra), SUM(t_exptime) FROM ivoa.obscore GROUP BY "
    "obs_collection",
    "SELECT obs_id, POINT(s_ra, s_dec), DISTANCE(POINT(s_ra, s_dec), POINT(10, 20)) "
    "FROM ivoa.obscore",
    "SELECT obs_id FROM spectra.observations WHERE CONTAINS(POINT(s_ra, s_dec), CIRCLE(180, 0, 80))"
    " = 1",
    "SELECT obs_id FROM ivoa.obscore WHERE INTERSECTS(s_region, CIRCLE(180, 0, 80)) = 1",
    "SELECT o.obs_id, c.snr FROM ivoa.obscore AS o JOIN spectra.observations AS c USING "
    "(obs_publisher_did) WHERE c.snr > 5",
    "SELECT obs_id, 'x' AS t, 1 AS i, 2.5 AS f, NULL AS n FROM ivoa.obscore",
]  # fmt: skip


@pytest.mark.parametrize("text", QUERIES)
def test_answers_and_columns_are_the_same(pair: Any, text: str) -> None:
    embedded, other = pair
    ours, theirs = rows(embedded, text), rows(other, text)
    if "TOP" in text:
        assert len(ours[1]) == len(theirs[1]) == 3
        return
    assert [(c.name, c.unit, c.ucd, c.utype, c.xtype) for c in ours[0]] == \
        [(c.name, c.unit, c.ucd, c.utype, c.xtype) for c in theirs[0]]  # fmt: skip
    if "NULL" not in text:
        assert [c.type for c in ours[0]] == [c.type for c in theirs[0]]
    assert len(ours[1]) == len(theirs[1]) > 0
    for a, b in zip(sorted(ours[1], key=repr), sorted(theirs[1], key=repr), strict=True):
        assert all(map(close_to, a, b))


def test_similarity_is_the_same(pair: Any) -> None:
    embedded, other = pair
    tables = embedded.tables.embeddings()
    if not tables:
        pytest.skip("the archive has no embedding")
    did = rows(embedded, f"SELECT TOP 1 obs_publisher_did FROM {tables[0]}")[1][0][0]
    text = (f"SELECT obs_publisher_did, similarity(obs_publisher_did, '{did}') AS d "
            f"FROM ivoa.obscore ORDER BY d, obs_publisher_did")  # fmt: skip
    ours, theirs = rows(embedded, text)[1], rows(other, text)[1]
    assert len(ours) == len(theirs)
    for a, b in zip(ours[:20], theirs[:20], strict=True):
        assert a[0] == b[0]
        assert close_to(a[1], b[1])
    for wrong, code in ((f"'{did}x'", "unknown_vector"), ("obs_id", "bad_similarity"),
                        (f"'{did}', 'none'", "unknown_model")):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            rows(other, f"SELECT similarity(obs_publisher_did, {wrong}) AS d FROM ivoa.obscore")
        assert caught.value.code == code


@pytest.mark.parametrize("one", FORMATS, ids=lambda f: f.name)
def test_every_format_can_be_written(pair: Any, one: Any) -> None:
    found = pair[1].run(Query("SELECT * FROM ivoa.obscore", 1000))
    assert len(b"".join(written(found, one))) > 1000


def test_rows_are_cut(pair: Any) -> None:
    text = "SELECT obs_id FROM ivoa.obscore"
    _, found, more = rows(pair[1], text, 10)
    assert (len(found), more) == (10, True)
    _, found, more = rows(pair[1], text.replace("SELECT", "SELECT TOP 10"), 10)
    assert (len(found), more) == (10, False)
    crossed = "SELECT a.obs_id FROM ivoa.obscore a, ivoa.obscore b, spectra.observations c"
    assert len(rows(pair[1], f"{crossed} WHERE c.snr > 0", 25_000)[1]) == 25_000


def test_uploads_join(pair: Any) -> None:
    table = pa.table({"k": [1, 2], "name": ["a", None], "v": [0.5, None]})
    columns = (Column("k", pa.int64()), Column("name", pa.string()),
               Column("v", pa.float64(), unit="m"))  # fmt: skip
    upload = {"tap_upload.mine": VoTable("tap_upload.mine", "", columns, lambda: table)}
    text = "SELECT k, name, v FROM tap_upload.mine ORDER BY k"
    ours = rows(pair[0], text, uploads=upload)
    assert ours[1] == rows(pair[1], text, uploads=upload)[1] == [(1, "a", 0.5), (2, None, None)]
    with pytest.raises(UsageError):
        rows(pair[1], text)


def test_what_takes_too_long_ends(pair: Any) -> None:
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        rows(pair[1], f"SELECT COUNT(*) AS n FROM {CROSSED}", most_s=0.5)
    assert caught.value.code == "query_timeout"
    over = threading.Event()
    threading.Timer(0.3, over.set).start()
    with pytest.raises(TransientError) as cancelled:
        rows(pair[1], f"SELECT COUNT(*) AS n FROM {CROSSED}", cancelled=over.is_set)
    assert cancelled.value.code == "cancelled"
    assert time.monotonic() - start < 10
    assert pair[1].idle
    assert rows(pair[1], "SELECT COUNT(*) AS n FROM ivoa.obscore")[1][0][0] > 0


@pytest.mark.parametrize("text", [
    "DROP TABLE ivoa.obscore", "SELECT pg_sleep(9) FROM ivoa.obscore",
    "SELECT * FROM pg_catalog.pg_class", "SELECT nope FROM ivoa.obscore",
    "SELECT obs_id, COUNT(*) FROM ivoa.obscore", "SELECT CAST(obs_id AS INTEGER) FROM ivoa.obscore",
    "SELECT * FROM tap_upload.nothing", "SELECT obs_id FROM ivoa.obscore WHERE obs_id = ANY (1)",
])  # fmt: skip
def test_wrong_queries_are_refused_in_words(pair: Any, text: str) -> None:
    with pytest.raises(SpectrariumError) as caught:
        rows(pair[1], text)
    assert isinstance(caught.value, UsageError)
    assert pair[1].idle


def test_many_at_once(pair: Any) -> None:
    found: list[Any] = []

    def ask() -> None:
        found.append(rows(pair[1], "SELECT COUNT(*) AS n FROM ivoa.obscore")[1])

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(found) == 12
    assert all(f == found[0] for f in found)


def test_a_server_of_ours_asks_it(site: Any, postgres: Any, tmp_path: Any) -> None:
    settings = replace(SETTINGS, database=postgres.database("served", True))
    with serving(site, tmp_path / "people.sqlite", settings) as base:
        query = {
            "LANG": "ADQL",
            "RESPONSEFORMAT": "csv",
            "QUERY": "SELECT COUNT(*) AS n FROM "
            "ivoa.obscore WHERE CONTAINS(POINT(s_ra, s_dec), CIRCLE(0, 0, 180)) = 1",
        }
        answer = httpx.get(f"{base}/vo/tap/sync", params=query, timeout=60,
                           headers={"Authorization": f"Bearer {TOKEN}"})  # fmt: skip
        assert answer.status_code == 200, answer.text
        assert int(answer.text.split()[1]) > 90
    with contextlib.closing(connected(postgres.address("served"))) as connection:
        assert connection.run("SELECT COUNT(*) FROM pg_tables WHERE tablename = 'ivoa.obscore'") \
            == [[1]]  # fmt: skip


def test_a_server_that_went_away_is_come_back_to(site: Any, postgres: Any) -> None:
    address = postgres.database("away", True)
    engine = PostgresEngine(ArchiveTables(site.store, Publisher(authority="x.y")), address)
    assert rows(engine, "SELECT COUNT(*) AS n FROM ivoa.obscore")[1]
    with contextlib.closing(connected(postgres.address("postgres"))) as connection:
        connection.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
                       "'away' AND pid <> pg_backend_pid()")  # fmt: skip
    assert rows(engine, "SELECT COUNT(*) AS n FROM ivoa.obscore")[1]
    with pytest.raises(UsageError) as caught:
        rows(engine, f"SELECT COUNT(*) AS n FROM {CROSSED}", most_s=0.3)
    assert caught.value.code == "query_timeout"
    engine.close()
