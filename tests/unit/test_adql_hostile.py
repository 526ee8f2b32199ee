"""Queries that mean harm, or nothing: refused in words, quickly, and never more than reading."""

from __future__ import annotations

import time
from typing import Any

import duckdb
import pytest
import sqlglot
from adql_site import CATALOGUE, database, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from spectrarium.publish.adql import AdqlError, translate
from spectrarium.publish.adql_duckdb import FUNCTION_NAMES


@pytest.fixture(scope="module")
def site() -> Any:
    connection = database(tables(50))
    yield connection
    connection.close()


REFUSED = [
    "INSERT INTO spectra.tags VALUES (1)", "DROP TABLE spectra.tags", "DELETE FROM spectra.tags",
    "UPDATE spectra.tags SET id = 1", "CREATE TABLE x AS SELECT 1", "PRAGMA database_list",
    "COPY spectra.tags TO '/tmp/x'", "ATTACH '/tmp/x'", "SET threads = 9", "INSTALL httpfs",
    "LOAD httpfs", "CALL pragma_version()", "EXPLAIN SELECT 1", "DESCRIBE spectra.tags",
    "SHOW TABLES", "VACUUM", "CHECKPOINT", "BEGIN", "USE odd", "EXPORT DATABASE '/tmp/x'",
    "VALUES (1)", "FROM spectra.tags", "TABLE spectra.tags", "SUMMARIZE spectra.tags",
    "SELECT 1 FROM spectra.tags; DROP TABLE spectra.tags", ";", "SELECT 1 FROM tags;;SELECT 2",
    "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM parquet_scan('x.parquet')",
    'SELECT * FROM "/etc/passwd"', "SELECT * FROM glob('*')", "SELECT * FROM range(10)",
    "SELECT * FROM information_schema.tables", "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_tables", "SELECT * FROM sqlite_master",
    "SELECT * FROM pg_catalog.pg_class", "SELECT * FROM memory.spectra.tags",
    "SELECT getenv('HOME') FROM tags", "SELECT current_setting('threads') FROM tags",
    "SELECT version() FROM tags", "SELECT pg_sleep(10) FROM tags",
    "SELECT pg_read_file('/etc/passwd') FROM tags", "SELECT lo_import('/etc/passwd') FROM tags",
    "SELECT query('drop') FROM tags", "SELECT vo_shape('x') FROM tags",
    "SELECT list_value(1) FROM tags", "SELECT current_user FROM tags",
    "SELECT id FROM tags WHERE id = $1", "SELECT id FROM tags WHERE id = ?",
    "SELECT id FROM tags WHERE id = :x", "SELECT [1, 2] FROM tags", "SELECT {'a': 1} FROM tags",
    "SELECT id::VARCHAR FROM tags", "SELECT tag[1] FROM tags", "SELECT COLUMNS('.*') FROM tags",
    "SELECT * EXCLUDE (id) FROM tags", "SELECT * REPLACE (1 AS id) FROM tags",
    "SELECT SUM(id) OVER () FROM tags", "SELECT id FROM tags QUALIFY id = 1",
    "SELECT id FROM tags TABLESAMPLE 10", "SELECT id FROM tags FOR UPDATE",
    "SELECT id INTO x FROM tags", "SELECT id FROM tags, LATERAL (SELECT 1)",
    "SELECT id FROM tags POSITIONAL JOIN obscore", "SELECT id FROM (VALUES (1)) AS t(id)",
    "SELECT id FROM UNNEST([1])", "SELECT id FROM tags PIVOT (SUM(id) FOR tag IN ('a'))",
    "WITH RECURSIVE q AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM q) SELECT * FROM q",
    "WITH q AS (DELETE FROM tags) SELECT * FROM q", "WITH q AS (SELECT 1 AS n) DELETE FROM tags",
    "WITH q AS (SELECT * FROM q) SELECT * FROM q", "SELECT id FROM tags GROUP BY ROLLUP (id)",
    "SELECT id FROM tags GROUP BY ALL", "SELECT id FROM tags ORDER BY ALL",
    "SELECT id FROM tags UNION BY NAME SELECT id FROM tags",
    "SELECT id FROM tags WHERE id = ANY (SELECT 1)",
    "SELECT id FROM tags WHERE (id, tag) = (1, 'x')",
    "SELECT id FROM tags WHERE tag SIMILAR TO 'x'", "SELECT id FROM tags WHERE tag ~ 'x'",
    "SELECT id FROM tags WHERE tag GLOB 'x'", "SELECT id FROM tags WHERE id IS DISTINCT FROM 1",
    "SELECT id FROM tags WHERE tag LIKE 'a' ESCAPE 'b'", "SELECT x -> x FROM tags",
    "SELECT DISTINCT ON (id) id FROM tags", "SELECT TRY_CAST(id AS INT) FROM tags",
    "SELECT EXTRACT(year FROM t_min) FROM obscore", "SELECT INTERVAL '1' DAY FROM tags",
    "SELECT /*+ x */ id FROM tags", "SELECT id /* x */ FROM tags", "SELECT id FROM tags # x",
    "SELECT CAST(id AS INT[]) FROM tags", "SELECT CAST(id AS STRUCT(a INT)) FROM tags",
    "SELECT CAST(id AS VARCHAR(1", "SELECT CAST(id) FROM tags", "SELECT CASE END FROM tags",
    "SELECT COUNT(*, 1) FROM tags", "SELECT COUNT() FROM tags",
    "SELECT COUNT(DISTINCT *) FROM tags", "SELECT SIN(*) FROM tags",
    "SELECT SIN(DISTINCT id) FROM tags", "SELECT * + 1 FROM tags", "SELECT id FROM tags WHERE",
    "SELECT id, FROM tags", "SELECT (id FROM tags", "SELECT id) FROM tags", "SELECT 'x FROM tags",
    'SELECT "x FROM tags', "SELECT '\x00' FROM tags", "SELECT id\x01 FROM tags",
    "SELECT 1e999 FROM tags", "SELECT 0xZ FROM tags", "SELECT 0x FROM tags", "\ufeff", "\n\t ",
    "--", "SELECT 0x1FFFFFFFFFFFFFFFFF FROM tags", "SELECT é FROM tags",
    "SELECT 'a' 'b' FROM tags", "SELECT $$x$$ FROM tags", "SELECT E'x' FROM tags",
    "SELECT x'00' FROM tags", "SELECT @@version", "SELECT a.b.c.d.e FROM tags",
    "SELECT id FROM a.b.c.tags", "SELECT tags FROM tags", "SELECT {{ id }} FROM tags",
    "SELECT {% x %} FROM tags", "SELECT id FROM tags AS t (a, b)",
    "SELECT id FROM (tags JOIN obscore USING (id)) AS q", "SELECT t.id FROM (SELECT id FROM tags)",
    "SELECT id FROM tags OFFSET -1", "SELECT TOP 99999999999999999999 id FROM tags",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(AdqlError):
        translate(text, CATALOGUE, maxrec=10)


LONG = {
    "parentheses": "SELECT " + "(" * 5000 + "1" + ")" * 5000 + " FROM tags",
    "parentheses in WHERE": "SELECT id FROM tags WHERE " + "(" * 900 + "id=1" + ")" * 900,
    "parentheses in FROM": "SELECT 1 FROM " + "(" * 3000 + "tags" + ")" * 3000,
    "queries within": "SELECT 1 FROM " + "(SELECT id FROM " * 600 + "tags" + ") AS q" * 600,
    "calls": "SELECT " + "SIN(" * 3000 + "id" + ")" * 3000 + " FROM tags",
    "NOT": "SELECT id FROM tags WHERE " + "NOT " * 5000 + "id=1",
    "signs": "SELECT " + "- " * 5000 + "id FROM tags",
    "pluses": "SELECT " + "+ " * 5000 + "id FROM tags",
    "tildes": "SELECT " + "~" * 5000 + "id FROM tags",
    "CASE": "SELECT " + "CASE WHEN 1=1 THEN " * 900 + "1" + " END" * 900 + " FROM tags",
    "ELSE": "SELECT " + "CASE WHEN 1=1 THEN 1 ELSE " * 900 + "1" + " END" * 900 + " FROM tags",
    "open parentheses": "SELECT " + "(" * 100_000,
    "sum": "SELECT id" + "+1" * 20_000 + " FROM tags",
    "joined": "SELECT 'a'" + "||'a'" * 20_000 + " FROM tags",
    "sets": "SELECT id FROM tags" + " UNION SELECT id FROM tags" * 3000,
    "tables": "SELECT 1 FROM tags AS t0" + "".join(f", tags AS t{i}" for i in range(1, 3000)),
    "joins": "SELECT 1 FROM tags AS t0" + "".join(
        f" JOIN tags AS t{i} ON t{i}.id = t0.id" for i in range(1, 2000)),
    "WITH": "WITH " + ", ".join(f"q{i} AS (SELECT id FROM tags)" for i in range(2000)) +
    " SELECT id FROM q0",
    "doubling": "WITH q0 AS (SELECT id FROM tags), " + ", ".join(
        f"q{i} AS (SELECT a.id FROM q{i - 1} AS a, q{i - 1} AS b)" for i in range(1, 300)) +
    " SELECT id FROM q299",
    "letters": "x" * 3_000_000, "blanks": "SELECT 1" + " " * 3_000_000,
    "commas": "SELECT " + "," * 200_000 + " FROM tags", "quotes": "SELECT " + "'" * 100_001,
    "words": "SELECT " + "a " * 200_000, "digits": f"SELECT {'9' * 5000} FROM tags",
    "dots": "SELECT id" + ".id" * 30_000 + " FROM tags",
    "moc": "SELECT id FROM tags WHERE CONTAINS(POINT(1,2), MOC('9/" +
    " ".join(map(str, range(0, 90000, 2))) + "')) = 1",
}  # fmt: skip


@pytest.mark.parametrize("name", LONG)
def test_long_and_deep_texts_are_refused_quickly(name: str) -> None:
    start = time.process_time()
    with pytest.raises(AdqlError) as caught:
        translate(LONG[name], CATALOGUE, maxrec=10)
    assert time.process_time() - start < 5.0
    assert len(str(caught.value)) < 1000


def test_what_is_wide_is_answered(site: Any) -> None:
    numbers = ", ".join(map(str, range(20_000)))
    either = " OR ".join(f"id = {i}" for i in range(2000))
    both = " AND ".join(f"id <> {i}" for i in range(100, 2100))
    many = ", ".join(f"id + {i}" for i in range(500))
    corners = ", ".join(f"{10 + i * 1e-3}, {(i % 2) * 5}" for i in range(1000))
    deep = "(" * 40 + "id = 1" + ")" * 40
    for text, rows in ((f"SELECT id FROM obscore WHERE id IN ({numbers})", 50),
                       (f"SELECT id FROM obscore WHERE {either}", 50),
                       (f"SELECT id FROM obscore WHERE {both}", 50),
                       (f"SELECT {many} FROM obscore", 50),
                       (f"SELECT id FROM obscore WHERE CONTAINS(POINT(s_ra, s_dec), POLYGON("
                        f"{corners})) = 0", 49),
                       (f"SELECT id FROM obscore WHERE {deep}", 1)):  # fmt: skip
        sql = translate(text, CATALOGUE, maxrec=1000).sql
        assert len(site.cursor().execute(sql).fetchall()) == rows


def test_texts_stay_texts(site: Any) -> None:
    for text in ("'; DROP TABLE x; --", "\\", "\\'", "''", "%s", "$1", "{}", "é\u2028\U0001f600",
                 "a\nb"):  # fmt: skip
        quoted = text.replace("'", "''")
        sql = translate(f"SELECT '{quoted}' AS x FROM tags WHERE id = 1", CATALOGUE, maxrec=9).sql
        assert site.cursor().execute(sql).fetchall() == [(text,)]


def test_names_stay_names(site: Any) -> None:
    name = 'x"; DROP TABLE y; --'
    quoted = name.replace('"', '""')
    said = translate(f'SELECT q."{quoted}" FROM (SELECT id AS "{quoted}" FROM tags) AS q',
                     CATALOGUE, maxrec=9)  # fmt: skip
    assert said.columns[0].name == name
    found = site.cursor().execute(said.sql)
    assert found.description[0][0] == name
    assert len(found.fetchall()) == 5


VOCABULARY = r"""
SELECT SELECT DISTINCT TOP 1 2 3 0 id id tag s_ra s_dec tags obscore spectra . , , ( ) ( ) ( )
FROM FROM FROM WHERE WHERE AND OR NOT = = <> < > + - * / || 'x' 'teff' IN BETWEEN LIKE ILIKE IS NULL
JOIN ON USING NATURAL LEFT FULL GROUP BY ORDER HAVING UNION ALL EXCEPT INTERSECT WITH AS q AS CASE
WHEN THEN ELSE END COUNT(*) MAX( POINT( CIRCLE( CONTAINS( DISTANCE( POLYGON( AREA( CAST( COALESCE(
EXISTS( 1.5 1e3 0x1F OFFSET "tags" "a""b" -- ; & | ^ ~ MOD( ROUND( IN_UNIT( DESC ivo_hasword( MOC(
s_region t_min LIMIT DROP read_csv( information_schema [ ] { } ? @ # \ % : é
"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\n"])


def _only_reads(sql: str) -> None:
    statements = duckdb.extract_statements(sql)
    assert len(statements) == 1
    assert statements[0].type == duckdb.StatementType.SELECT
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    shared = {c.alias for c in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        assert isinstance(table.this, exp.Identifier)
        assert f"{table.db}.{table.name}" in CATALOGUE or table.name in shared
    for call in tree.find_all(exp.Anonymous):
        assert call.name.lower() in FUNCTION_NAMES | {"atan2"}


@settings(max_examples=500, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=25))
def test_any_words_are_refused_or_only_read(words: list[str]) -> None:
    try:
        said = translate("SELECT " + " ".join(words), CATALOGUE, maxrec=10)
    except AdqlError:
        return
    _only_reads(said.sql)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_refused(text: str) -> None:
    for whole in (text, f"SELECT {text} FROM tags", f"SELECT id FROM tags WHERE tag = '{text}"):
        try:
            said = translate(whole, CATALOGUE, maxrec=10)
        except AdqlError:
            continue
        _only_reads(said.sql)


KINDS_AND_GROUPS = ("GROUP BY", "No function matches", "Cannot compare", "aggregate", "cast",
                    "More than one row")  # fmt: skip
"""What the database itself says of types that are not known here, and of columns beside MAX."""
COLUMN = st.sampled_from(["id", "s_ra", "s_dec", "target_name", "t_min", "s_region", "1", "2.5",
                          "'x'", "NULL", "em_min"])  # fmt: skip


@st.composite
def values(draw: Any, depth: int = 3) -> str:
    """Expressions that look right, whatever their types."""
    if depth == 0:
        return str(draw(COLUMN))
    below = values(depth - 1)
    shape = draw(st.sampled_from([
        "{a}", "{a} + {b}", "({a} * {b})", "-{a}", "ABS({a})", "MOD({a}, {b})", "{a} || {b}",
        "CASE WHEN {a} < {b} THEN {a} ELSE {b} END", "COALESCE({a}, {b})", "{a} / {b}",
        "POINT({a}, {b})", "CIRCLE({a}, {b}, 1)", "DISTANCE(POINT({a}, {b}), POINT(1, 2))",
        "CONTAINS(POINT({a}, {b}), CIRCLE(10, 20, {a}))", "AREA({a})", "COORD1({a})",
        "CAST({a} AS VARCHAR)", "INTERSECTS({a}, {b})", "(SELECT MAX({a}) FROM tags)", "MAX({a})",
        "ivo_healpix_index(5, {a}, {b})", "ROUND({a}, 2)", "POLYGON({a}, 1, 2, 3, {b}, 4)",
        "BOX({a}, {b}, 1, 1)", "CENTROID({a})", "ivo_hasword({a}, {b})", "LOG({a})",
    ]))  # fmt: skip
    return str(shape.format(a=draw(below), b=draw(below)))


@settings(max_examples=150, deadline=None)
@given(value=values())
def test_whatever_is_translated_can_be_answered(site: Any, value: str) -> None:
    for text in (f"SELECT {value} AS x FROM obscore", f"SELECT id FROM obscore WHERE {value} = 1"):
        try:
            said = translate(text, CATALOGUE, maxrec=100)
        except AdqlError:
            continue
        _only_reads(said.sql)
        try:
            site.cursor().execute(said.sql).fetchall()
        except (duckdb.ConversionException, duckdb.OutOfRangeException):
            continue  # values that are not what their types promise: 'x' as a number
        except (duckdb.BinderException, duckdb.InvalidInputException) as error:
            if not any(w in str(error) for w in KINDS_AND_GROUPS):
                raise
