"""The same queries on PostgreSQL, with pgSphere and without: the same answers as DuckDB's."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pyarrow as pa
import pytest
from adql_site import CATALOGUE, asked, database, tables
from test_adql import CASES, MATHS

from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.publish.adql import translate
from spectrarium.publish.postgres_store import PREFIX, PostgresStore, connected
from spectrarium.run.table_columns import Column, VoTable

P = "POINT(s_ra, s_dec)"


def served(data: dict[str, pa.Table]) -> dict[str, VoTable]:
    def made(name: str) -> VoTable:
        columns = tuple(Column(f.name, f.type) for f in data[name].schema)
        return VoTable(name, "", columns, lambda: data[name])

    return {name: made(name) for name in data}


@pytest.fixture(scope="module")
def data() -> Any:
    return tables(800)


@pytest.fixture(scope="module")
def duck(data: Any) -> Any:
    connection = database(data)
    yield connection
    connection.close()


def opened(address: str, data: Any) -> Any:
    store = PostgresStore(address, served(data), "test")
    store.use(CATALOGUE)
    return store


@pytest.fixture(scope="module")
def sphere(postgres: Any, data: Any) -> Any:
    store = opened(postgres.database("sphere", True), data)
    assert store.sphere == "public"
    yield store
    store.close()


@pytest.fixture(scope="module")
def plain(postgres: Any, data: Any) -> Any:
    store = opened(postgres.database("plain", False), data)
    assert store.sphere is None
    yield store
    store.close()


def answer(store: Any, text: str, maxrec: int = 100_000) -> list[tuple[Any, ...]]:
    sql = translate(text, CATALOGUE, dialect="postgres", maxrec=maxrec).sql
    with contextlib.closing(store.connection()) as connection:
        connection.run("BEGIN TRANSACTION READ ONLY")
        return [tuple(r) for r in connection.execute_simple(sql).rows]


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    def one(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [one(v) for v in value]
        if isinstance(value, str | int | None.__class__) or not hasattr(value, "__float__"):
            return value
        return float(f"{float(value):.9g}")

    return [tuple(map(one, r)) for r in rows]


@pytest.mark.parametrize("text", [c[0] for c in CASES], ids=[c[0][:60] for c in CASES])
def test_answers_are_the_same(duck: Any, sphere: Any, text: str) -> None:
    text = text.replace("2999", "799")
    theirs, ours = rounded(answer(sphere, text)), rounded(asked(duck, text))
    if "ORDER BY" in text.upper():
        assert theirs == ours
    else:
        assert sorted(theirs, key=str) == sorted(ours, key=str)


@pytest.mark.parametrize(("call", "value"), MATHS)
def test_maths(sphere: Any, call: str, value: float) -> None:
    [(found,)] = answer(sphere, f"SELECT {call} FROM tags WHERE id = 1")
    assert float(found) == pytest.approx(value, rel=1e-12)


CIRCLES = [
    f"CONTAINS({P}, CIRCLE(10, 20, 30)) = 1", f"CONTAINS({P}, CIRCLE(0, -90, 40)) = 0",
    f"CONTAINS({P}, CIRCLE(10, 20, 120)) = 1", f"DISTANCE({P}, POINT(200, 5)) < 33",
    f"DISTANCE({P}, POINT(200, 5)) > 133", f"NOT DISTANCE({P}, POINT(200, 5)) <= 33",
    "CONTAINS(POINT(10, 20), CIRCLE(s_ra, s_dec, 25)) = 1", "INTERSECTS(CIRCLE(s_ra, s_dec, 2), "
    "CIRCLE(10, 20, 20)) = 1", f"DISTANCE({P}, POINT(1, 2)) < id / 10.",
    f"CONTAINS({P}, CIRCLE(10, 20, id / 10.)) = 0", "CONTAINS(POINT(10, 20), REGION(s_region)) = 1 "
    "AND MOD(id, 2) = 1", "INTERSECTS(s_region, CIRCLE(10, 20, 30)) = 1 AND MOD(id, 2) = 1",
    "AREA(s_region) > 0.7 AND MOD(id, 2) = 1", "CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 9)) = 1",
    f"COORD1({P}) > 180", "COORD2(CENTROID(s_region)) > 20",
]  # fmt: skip
SHAPES = [
    f"CONTAINS({P}, POLYGON(0, 0, 90, 10, 60, 70, 40, 20)) = 1",
    f"CONTAINS({P}, POLYGON(0, 60, 90, 65, 180, 55, 270, 70)) = 0", f"CONTAINS({P}, BOX(30, 40, 50,"
    " 30)) = 1", "INTERSECTS(s_region, CIRCLE(10, 20, 30)) = 1",
    "INTERSECTS(s_region, POLYGON(0, 0, 90, 10, 60, 70)) = 1",
    "CONTAINS(s_region, CIRCLE(10, 20, 30)) = 1",
    "CONTAINS(s_region, POLYGON(0, 0, 90, 10, 60, 70)) = 0",
    "CONTAINS(POINT(10.2, 20.2), BOX(s_ra, s_dec, 9, 8)) = 1", "AREA(s_region) > 0.6",
    "CONTAINS(POINT(10.1, 20.1), s_region) = 1", f"CONTAINS({P}, MOC('3/5 10-99')) = 1",
    "ivo_healpix_index(6, s_ra + 0, s_dec) < 20000", f"CONTAINS({P}, MOC(4, CIRCLE(9, 9, 9))) = 1",
]  # fmt: skip


def _text(condition: str) -> str:
    if "ra, dec" in condition.replace("s_ra, s_dec", ""):
        return f"SELECT key FROM plain WHERE {condition} ORDER BY key"
    return f"SELECT id FROM obscore WHERE {condition} ORDER BY id"


@pytest.mark.parametrize("condition", CIRCLES)
def test_points_and_circles_with_pgsphere_and_without(
    duck: Any, sphere: Any, plain: Any, condition: str
) -> None:
    ours = asked(duck, _text(condition))
    assert ours
    assert answer(sphere, _text(condition)) == ours
    assert answer(plain, _text(condition)) == ours


SHAPES_OF_NOTHING = ("POINT(NULL, 2)", "POINT(NULL, NULL)", "CIRCLE(NULL, NULL, 1)",
                     "POLYGON(NULL, NULL, 1, 2, 3, 4)", "AREA(CIRCLE(1, NULL, 1))",
                     "POINT('GALACTIC', NULL, NULL)")  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES_OF_NOTHING)
def test_shapes_of_nothing_are_nothing(plain: Any, shape: str) -> None:
    assert answer(plain, f"SELECT {shape} FROM tags WHERE id = 1") == [(None,)]


def test_columns_in_galactic_coordinates(duck: Any, plain: Any) -> None:
    text = _text("CONTAINS(POINT('GALACTIC', s_ra, s_dec), CIRCLE(250, -10, 25)) = 1")
    ours = asked(duck, text)
    assert ours
    assert answer(plain, text) == ours


def test_a_seed_draws_the_same_numbers_again(plain: Any) -> None:
    by_id = dict(answer(plain, "SELECT id, RAND(3) FROM obscore"))
    assert len(set(by_id.values())) == 800
    assert 0 <= min(by_id.values()) < 0.02 < 0.98 < max(by_id.values()) < 1
    sample = answer(plain, "SELECT TOP 20 o.id FROM obscore AS o ORDER BY RAND(3)")
    assert [i for (i,) in sample] == sorted(by_id, key=by_id.__getitem__)[:20]
    some = answer(plain, "SELECT a.id, RAND(3) FROM tags a LEFT JOIN obscore b ON a.id = b.id")
    assert len({r for _, r in some}) == len(some) == 5


@pytest.mark.parametrize("condition", SHAPES)
def test_shapes_with_pgsphere(duck: Any, sphere: Any, condition: str) -> None:
    ours = asked(duck, _text(condition))
    assert ours
    assert answer(sphere, _text(condition)) == ours


def test_values_of_geometry(duck: Any, sphere: Any) -> None:
    text = (f"SELECT {P}, CIRCLE(s_ra, s_dec, 1), CENTROID(s_region), DISTANCE({P}, POINT(1, 2)), "
            "AREA(s_region), ivo_healpix_center(6, id), ivo_healpix_index(8, s_ra + 0, s_dec), "
            "ivo_apply_pm(s_ra, s_dec, 0.01, 0.02, 3), BOX(s_ra, s_dec, 1, 2), "
            f"ivo_geom_transform('ICRS', 'GALACTIC', {P}), POINT(1, 2) FROM obscore WHERE id < 30 "
            "ORDER BY id")  # fmt: skip
    for ours, theirs in zip(asked(duck, text), answer(sphere, text), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            if isinstance(a, list | tuple):
                turned = [math.fmod(x - y + 540.0, 360.0) - 180.0 for x, y in
                          zip(map(float, b), a, strict=True)]  # fmt: skip
                assert max(map(abs, turned)) < 1e-7
            elif isinstance(a, int):
                assert a == b
            elif a is None:
                assert b is None
            else:
                assert float(b) == pytest.approx(a, rel=1e-7, abs=1e-9)


def test_cones_use_the_index_of_the_sky(sphere: Any) -> None:
    sql = translate("SELECT key FROM plain WHERE CONTAINS(POINT(ra, dec), CIRCLE(10, 20, 0.1)) = 1",
                    CATALOGUE, dialect="postgres", maxrec=9).sql  # fmt: skip
    with contextlib.closing(sphere.connection()) as connection:
        connection.run("SET enable_seqscan = off")
        plan = "\n".join(r[0] for r in connection.run(f"EXPLAIN {sql}"))
    assert "spoint(radians" in plan
    assert "Index" in plan


def test_without_pgsphere_polygons_say_so(plain: Any) -> None:
    import pg8000.exceptions

    for condition in (SHAPES[0], "ivo_healpix_index(6, s_ra + 0, s_dec) < 5"):
        with pytest.raises(pg8000.exceptions.DatabaseError, match="pgSphere"):
            answer(plain, _text(condition))


def test_a_query_changes_nothing(sphere: Any) -> None:
    import pg8000.exceptions

    with contextlib.closing(sphere.connection()) as connection:
        connection.run("BEGIN TRANSACTION READ ONLY")
        with pytest.raises(pg8000.exceptions.DatabaseError, match="read-only"):
            connection.run('DELETE FROM "spectra.tags"')


def test_schemas_that_nobody_uses_are_dropped(postgres: Any, data: Any) -> None:
    postgres.database("versions", True)
    address = postgres.by_socket("versions")
    few = {k: v for k, v in data.items() if k == "spectra.tags"}
    first, again = (PostgresStore(address, served(few), "one") for _ in range(2))
    first.use(few)
    again.use(few)

    def schemas() -> set[str]:
        with contextlib.closing(connected(address)) as connection:
            found = connection.run("SELECT nspname::text FROM pg_namespace")
        return {r[0] for r in found if r[0].startswith(PREFIX)}

    second = PostgresStore(address, served(few), "two")
    assert schemas() == {first.schema, second.schema}
    first.close()
    again.close()
    third = PostgresStore(address, served(few), "three")
    assert schemas() == {second.schema, third.schema}
    second.close()
    third.close()


def test_a_table_is_loaded_whole_or_not_at_all(postgres: Any, data: Any) -> None:
    address = postgres.database("broken", False)

    def fails() -> pa.Table:
        raise OSError("the disk is gone")

    tags = served(data)["spectra.tags"]
    broken = VoTable(tags.name, "", tags.columns, fails)
    store = PostgresStore(address, {"spectra.tags": broken}, "x")
    with pytest.raises(OSError, match="disk"):
        store.use({"spectra.tags"})
    store.tables = {"spectra.tags": tags}
    store.use({"spectra.tags"})
    assert len(answer(store, "SELECT * FROM tags")) == 5
    store.close()


def test_texts_arrive_as_they_are(postgres: Any) -> None:
    odd = ["", None, "a,b", 'q"q', "l\nl", "\\N", "\\.", "é\U0001f600", " ", "x\0y", "NULL"]
    table = pa.table({"id": range(len(odd)), "tag": odd, "value": [float("inf"), *[None] * 10],
                      "words": ["x"] * 11})  # fmt: skip
    store = PostgresStore(postgres.database("odd", False), served({"spectra.tags": table}), "o")
    store.use({"spectra.tags"})
    found = answer(store, "SELECT tag, value FROM tags ORDER BY id")
    assert [r[0] for r in found] == [t and t.replace("\0", "") for t in odd]
    assert found[0][1] == float("inf")
    store.close()


@pytest.mark.parametrize("address", ["mysql://x@y/z", "postgresql:///x", "x", ""])
def test_addresses_that_make_no_sense(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        connected(address)
    assert caught.value.code == "bad_database"


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(TransientError) as caught:
        connected("postgresql://x:secret@127.0.0.1:1/y")
    assert caught.value.code == "database_away"
    assert "secret" not in str(caught.value)
