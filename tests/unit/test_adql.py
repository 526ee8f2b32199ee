"""Queries in ADQL 2.1, answered by DuckDB, beside answers worked out by hand or by numpy."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from adql_site import CATALOGUE, DEC_UCD, RA_UCD, asked, database, tables
from scipy.stats import kstest

from spectrarium.publish.adql import AdqlError, ColumnMeta, Function, translate

O = "ivoa.obscore"  # noqa: E741


@pytest.fixture(scope="module")
def site() -> Any:
    connection = database(tables())
    yield connection
    connection.close()


CASES = [
    ("SELECT TOP 2 id FROM ivoa.obscore ORDER BY id", [(0,), (1,)]),
    ("select distinct top 2 tag from spectra.tags order by tag", [("class",), ("teff",)]),
    ("SELECT TOP 2 DISTINCT tag FROM spectra.tags ORDER BY 1 DESC", [("teff",), ("class",)]),
    ("SELECT ALL id FROM tags OFFSET 3", [(2,), (9999,)]),
    ("SELECT TOP 0 id FROM tags", []),
    ("SELECT id FROM Spectra.TAGS WHERE Tag = 'class'", [(0,)]),
    ("SELECT tags.id, spectra.tags.tag FROM spectra.tags WHERE value > 6500", [(2, "teff")]),
    ("SELECT t.* FROM tags AS t WHERE t.value = 5e3", [(0, "teff", 5000.0, "hot#blue")]),
    ("SELECT spectra.tags.* FROM spectra.tags WHERE id = 1", [(1, "teff", 6000.0, "")]),
    ("SELECT target_name FROM ivoa.obscore WHERE target_name = 'O''Neil'", [("O'Neil",)]),
    ("SELECT target_name FROM obscore WHERE target_name LIKE 'M _1'", [("M 31",)]),
    ("SELECT target_name FROM obscore WHERE target_name ILIKE 'VEGA'", [("Vega",)]),
    ("SELECT target_name FROM obscore WHERE target_name NOT LIKE 's%' AND id < 4",
     [("Vega",), ("M 31",), ("100% x",)]),
    ("SELECT id FROM obscore WHERE target_name IS NULL", [(5,)]),
    ("SELECT COUNT(*) FROM tags WHERE value IS NOT NULL", [(4,)]),
    ("SELECT id FROM obscore WHERE id BETWEEN 3 AND 4 OR id NOT BETWEEN 1 AND 2999", [(0,), (3,),
                                                                                     (4,)]),
    ("SELECT id FROM obscore WHERE id IN (1, 2) AND id NOT IN (2)", [(1,)]),
    ("SELECT id FROM obscore WHERE id IN (SELECT id FROM tags WHERE tag = 'class')", [(0,)]),
    ("SELECT DISTINCT id FROM tags t WHERE NOT EXISTS (SELECT * FROM obscore o WHERE o.id = t.id)",
     [(9999,)]),
    ("SELECT t.id FROM tags t WHERE value = (SELECT MAX(value) FROM tags)", [(2,)]),
    ("SELECT tag, COUNT(*), COUNT(value), COUNT(DISTINCT id), AVG(value) FROM tags "
     "WHERE id < 9 GROUP BY tag HAVING COUNT(*) >= 1 ORDER BY tag",
     [("class", 1, 0, 1, None), ("teff", 3, 3, 3, 6000.0)]),
    ("SELECT tag AS k, SUM(id) FROM tags GROUP BY k ORDER BY k", [("class", 0), ("teff", 10002)]),
    ("SELECT MOD(id, 2), COUNT(*) AS n FROM obscore GROUP BY 1 ORDER BY n, 1", [(0, 1500),
                                                                              (1, 1500)]),
    ("SELECT MOD(id, 2) AS m, COUNT(*) FROM obscore GROUP BY MOD(id, 2) ORDER BY MOD(id, 2) DESC",
     [(1, 1500), (0, 1500)]),
    ("SELECT CASE WHEN id = 1 THEN 'one' WHEN id = 2 THEN 'two' ELSE 'many' END FROM obscore "
     "WHERE id IN (1, 2, 3)", [("one",), ("two",), ("many",)]),
    ("SELECT CASE id WHEN 1 THEN 10 END FROM obscore WHERE id < 2", [(None,), (10,)]),
    ("SELECT COALESCE(value, 0), COALESCE(words, tag, 'x') FROM tags WHERE id = 2",
     [(7000.0, "teff")]),
    ("SELECT 'a' || tag || 'b' FROM tags WHERE value = 1", [("ateffb",)]),
    ("SELECT UPPER(tag), LOWER('ÄB') FROM tags WHERE id = 1", [("TEFF", "äb")]),
    ("WITH q AS (SELECT id AS n FROM tags), r (m) AS (SELECT n + 1 FROM q WHERE n = 1) "
     "SELECT m FROM r UNION ALL SELECT n FROM q WHERE n > 100 ORDER BY 1", [(2,), (9999,)]),
    ("SELECT id FROM tags UNION SELECT id FROM tags ORDER BY id", [(0,), (1,), (2,), (9999,)]),
    ("SELECT id FROM tags INTERSECT SELECT id FROM obscore ORDER BY id DESC", [(2,), (1,), (0,)]),
    ("SELECT id FROM tags EXCEPT SELECT id FROM obscore", [(9999,)]),
    ("SELECT id FROM tags EXCEPT ALL SELECT id FROM obscore ORDER BY 1 OFFSET 1", [(9999,)]),
    ("SELECT id FROM tags WHERE id = 1 UNION (SELECT id FROM tags EXCEPT SELECT id FROM obscore) "
     "ORDER BY id", [(1,), (9999,)]),
    ("(SELECT id FROM tags WHERE id = 1)", [(1,)]),
    ("SELECT x.id, y.tag FROM (SELECT id FROM obscore WHERE id < 2) AS x JOIN tags AS y "
     "ON x.id = y.id AND y.tag = 'teff' ORDER BY x.id", [(0, "teff"), (1, "teff")]),
    ("SELECT id, tag FROM (SELECT id FROM obscore WHERE id = 1) AS x NATURAL JOIN tags",
     [(1, "teff")]),
    ("SELECT id FROM tags AS a RIGHT OUTER JOIN (SELECT id FROM obscore WHERE id = 7) AS b "
     "USING (id)", [(7,)]),
    ("SELECT id, b.n FROM tags FULL JOIN (SELECT id, 1 AS n FROM obscore WHERE id = 7) b USING "
     "(id) WHERE id IN (7, 9999) ORDER BY id", [(7, 1), (9999, None)]),
    ("SELECT a.id, b.id FROM (tags a LEFT JOIN obscore b ON a.id = b.id) WHERE a.id > 1 "
     "ORDER BY 1", [(2, 2), (9999, None)]),
    ("SELECT COUNT(*) FROM tags a, tags AS b, spectra.plain CROSS JOIN tags c WHERE key = 1",
     [(125,)]),
    ("SELECT 1 + 2 * 3, (1 + 2) * 3, 7 / 2, -3 - -2, 1e2, 0x1F, .5 FROM tags WHERE id = 1",
     [(7, 9, 3.5, -1, 100.0, 31, 0.5)]),
    ("SELECT 6 & 3, 6 | 3, 6 ^ 3, ~6 FROM tags WHERE id = 1", [(2, 7, 5, -7)]),
    ("SELECT value / 0, SQRT(-1 * value), LOG(0 * value), ACOS(value) FROM tags WHERE id = 1",
     [(None, None, None, None)]),
    ("SELECT CAST('12' AS INTEGER), CAST(1.5 AS VARCHAR), CAST(tag AS CHAR(2)), "
     "CAST(id AS DOUBLE PRECISION), CAST(2.0 AS BIGINT) FROM tags WHERE id = 1",
     [(12, "1.5", "te", 1.0, 2)]),
    ("SELECT id FROM obscore WHERE t_min < CAST('2020-01-03T00:00:00' AS TIMESTAMP) AND id > 0",
     [(1,)]),
    ("SELECT size FROM tap_schema.columns WHERE \"size\" = 1", [(1,)]),
    ('SELECT Aa, "b c", "q""q" FROM odd."Mixed Case" WHERE "Aa" = 2', [(2, "y", 4)]),
    ('SELECT "Odd name" FROM (SELECT id AS "Odd name" FROM tags WHERE id = 1) AS "T 1"', [(1,)]),
    ("SELECT id -- the number\nFROM tags -- 'here\nWHERE id = 1;", [(1,)]),
    ("SELECT id FROM tags WHERE NOT (id = 0 OR id = 1 OR id = 2)", [(9999,)]),
    ("SELECT TOP 1 id FROM tags WHERE id > 0 AND (tag = 'teff') ORDER BY value DESC", [(2,)]),
    ("SELECT id FROM tags ORDER BY value DESC, id", [(2,), (1,), (0,), (9999,), (0,)]),
    ("SELECT id FROM tags WHERE ivo_hashlist_has(words, 'BLUE') = 1", [(0,)]),
    ("SELECT id FROM tags WHERE 1 = ivo_hasword(words, 'hot')", [(0,), (0,)]),
    ("SELECT id FROM tags WHERE ivo_hasword(words, 'star very') = 1", [(0,)]),
    ("SELECT ivo_nocasematch(tag, 'TE%') FROM tags WHERE id = 1", [(1,)]),
    ("SELECT ivo_string_agg(tag, ' ') FROM tags WHERE id = 1", [("teff",)]),
    ("SELECT ivo_interval_overlaps(1, 3, 2, 4), ivo_interval_overlaps(1, 2, 3, 4), "
     "ivo_interval_overlaps(1, NULL, 0, 4) FROM tags WHERE id = 1", [(1, 0, None)]),
    ("SELECT ivo_histogram(value, 5000, 8000, 3) FROM tags", [([1, 1, 1, 1, 0],)]),
    ("SELECT ivo_to_mjd(t_min), ivo_to_jd(t_min) FROM obscore WHERE id = 0",
     [(58849.0, 2458849.5)]),
    ("SELECT tag FROM tags GROUP BY tag HAVING MIN(value) < 2", [("teff",)]),
    ("SELECT CASE WHEN COUNT(*) > 3 THEN 'many' ELSE 'few' END FROM tags", [("many",)]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rows"), CASES, ids=[c[0][:60] for c in CASES])
def test_answers(site: Any, text: str, rows: list[tuple[Any, ...]]) -> None:
    assert asked(site, text) == rows


MATHS = [
    ("ABS(-2.5)", 2.5), ("ACOS(0.5)", math.acos(0.5)), ("ASIN(0.5)", math.asin(0.5)),
    ("ATAN(2)", math.atan(2)), ("ATAN2(1, -1)", math.atan2(1, -1)), ("CEILING(1.2)", 2.0),
    ("COS(1)", math.cos(1)), ("COT(1)", 1 / math.tan(1)), ("DEGREES(1)", math.degrees(1)),
    ("EXP(1)", math.e), ("FLOOR(-1.2)", -2.0), ("LOG(10)", math.log(10)), ("LOG10(1000)", 3.0),
    ("MOD(17, 5)", 2), ("PI()", math.pi), ("POWER(2, 10)", 1024.0),
    ("RADIANS(180)", math.pi), ("ROUND(2.567, 2)", 2.57), ("ROUND(2.5)", 3.0),
    ("SIN(1)", math.sin(1)), ("SQRT(2)", math.sqrt(2)), ("TAN(1)", math.tan(1)),
    ("TRUNCATE(2.567, 2)", 2.56),
    ("TRUNCATE(-2.9)", -2.0), ("SIGN(-3)", -1),
]  # fmt: skip


@pytest.mark.parametrize(("call", "value"), MATHS)
def test_maths(site: Any, call: str, value: float) -> None:
    [(found,)] = asked(site, f"SELECT {call} FROM tags WHERE id = 1")
    assert found == pytest.approx(value, rel=1e-14)


def test_random_numbers_differ_by_row(site: Any) -> None:
    rows = asked(site, "SELECT RAND(), RAND(3), ivo_normal_random(10, 2), RAND(4) FROM obscore")
    uniform, seeded, normal, other = np.array(rows).T
    assert len(set(uniform)) > 2900
    assert len(set(seeded)) > 2900
    assert (uniform >= 0).all()
    assert (uniform < 1).all()
    assert abs(normal.mean() - 10) < 0.2
    assert abs(normal.std() - 2) < 0.15
    for one in (seeded, other):
        assert kstest(one, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(seeded, other)[0, 1]) < 0.07


def test_a_seed_draws_the_same_numbers_again(site: Any) -> None:
    by_id = dict(asked(site, "SELECT id, RAND(3) FROM obscore"))
    again = asked(site, "SELECT id, 1 + RAND(3), RAND(4) FROM obscore AS o ORDER BY s_dec")
    assert all(r == 1 + by_id[i] and other != by_id[i] for i, r, other in again)
    sample = asked(site, "SELECT TOP 20 id FROM obscore ORDER BY RAND(3)")
    assert [i for (i,) in sample] == sorted(by_id, key=by_id.__getitem__)[:20]
    some = asked(site, "SELECT n FROM (SELECT id AS n FROM obscore WHERE RAND(3) < 0.1) AS q")
    assert {i for (i,) in some} == {i for i, r in by_id.items() if r < 0.1}
    pairs = asked(site, "SELECT RAND(3) FROM tags AS a LEFT JOIN tags AS b ON a.id = b.id")
    assert len(set(pairs)) == len(pairs) == 7
    for text, said in (("RAND(3) FROM (SELECT id FROM tags) AS q", "names tables only"),
                       ("RAND('x') FROM tags", "a text")):  # fmt: skip
        with pytest.raises(AdqlError, match=said):
            translate(f"SELECT {text}", CATALOGUE, maxrec=1)


def test_units(site: Any) -> None:
    [row] = asked(site, "SELECT IN_UNIT(em_min, 'nm'), ivo_specconv(em_min, 'GHz'), "
                        "ivo_specconv(2, 'eV', 'um'), ivo_specconv(em_min, 'Angstrom') "
                        "FROM obscore WHERE id = 0")  # fmt: skip
    c, h, ev = 299792458.0, 6.62607015e-34, 1.602176634e-19
    assert row == pytest.approx((400.0, c / 4e-7 / 1e9, h * c / (2 * ev) * 1e6, 4000.0), rel=1e-12)
    said = translate("SELECT IN_UNIT(em_min, 'nm') AS x FROM obscore", CATALOGUE, maxrec=1)
    assert said.columns[0].meta.unit == "nm"
    assert said.columns[0].meta.ucd == "em.wl;stat.min"


def test_what_is_known_of_columns() -> None:
    said = translate(
        "SELECT o.s_ra AS ra, o.*, t.tag, MIN(value), AVG(s_dec) AS m, COUNT(*), s_ra + 1, "
        "DISTANCE(POINT(s_ra, s_dec), POINT(1, 2)) FROM ivoa.obscore o JOIN tags t USING (id) "
        "GROUP BY 1", CATALOGUE, maxrec=10)  # fmt: skip
    by_name = {c.name: c for c in said.columns}
    assert said.tables == {"ivoa.obscore", "spectra.tags"}
    assert by_name["ra"].source == "ivoa.obscore.s_ra"
    assert by_name["ra"].meta == CATALOGUE["ivoa.obscore"]["s_ra"]
    assert [c.name for c in said.columns][1:9] == list(CATALOGUE["ivoa.obscore"])
    assert by_name["s_region"].meta.xtype == "adql:REGION"
    assert (by_name["min"].source, by_name["min"].meta.unit) == (None, "K")
    assert by_name["m"].meta.ucd == f"{DEC_UCD};stat.mean"
    assert by_name["count"].meta.ucd == "meta.number"
    assert (by_name["distance"].meta.unit, by_name["distance"].meta.ucd) == \
        ("deg", "pos.angDistance")  # fmt: skip
    assert [c.name for c in said.columns][-2] == "col_14"
    assert said.columns[-2].meta.unit == "deg"


def test_columns_keep_their_source_through_queries_and_joins() -> None:
    said = translate(
        "WITH q AS (SELECT s_ra AS a, id FROM obscore) SELECT x.b, id, id FROM "
        "(SELECT a AS b, id FROM q) AS x LEFT JOIN tags USING (id) UNION "
        "SELECT s_ra, id, 1 FROM obscore", CATALOGUE, maxrec=10)  # fmt: skip
    assert [c.name for c in said.columns] == ["b", "id", "id_2"]
    assert said.columns[0].source == "ivoa.obscore.s_ra"
    assert said.columns[0].meta.ucd == RA_UCD
    assert said.columns[2].source is None


def test_the_star_of_joins_has_united_columns_once(site: Any) -> None:
    said = translate("SELECT * FROM tags NATURAL JOIN obscore", CATALOGUE, maxrec=10)
    names = [c.name for c in said.columns]
    assert names == ["id", "tag", "value", "words", *list(CATALOGUE["ivoa.obscore"])[1:]]
    assert len(asked(site, "SELECT * FROM tags NATURAL JOIN obscore")) == 4


@pytest.mark.parametrize(("top", "maxrec", "rows"), [("", 10, 11), ("TOP 5", 10, 5),
                                                     ("TOP 50", 10, 11), ("", 0, 1)])  # fmt: skip
def test_rows_are_limited(site: Any, top: str, maxrec: int, rows: int) -> None:
    assert len(asked(site, f"SELECT {top} id FROM obscore", maxrec)) == rows
    said = translate(f"SELECT {top} id FROM obscore", CATALOGUE, maxrec=maxrec)
    assert said.top == (int(top[4:]) if top else None)
    assert len(asked(site, "SELECT id FROM obscore UNION ALL SELECT id FROM obscore", 7)) == 8


WRONG = [
    ("SELECT s_raa FROM ivoa.obscore", "adql_unknown_column", 8, "s_ra"),
    ("SELECT id FROM ivoa.obscor", "adql_unknown_table", 16, "ivoa.obscore"),
    ("SELECT id FROM spectra.obscore", "adql_unknown_table", 16, "obscore"),
    ("SELECT SQRTT(id) FROM tags", "adql_unknown_function", 8, "SQRT"),
    ("SELECT CONTAIN(id) FROM tags", "adql_unknown_function", 8, "CONTAINS"),
    ("SELECT id FROM tags\nWHERE tga = 1", "adql_unknown_column", 27, "tag"),
    ("SELECT id FROM tags, obscore", "adql_ambiguous", 8, ""),
    ("SELECT a.id FROM tags a, obscore a", "adql_ambiguous", 26, "AS"),
    ("SELECT o.nope FROM obscore o", "adql_unknown_column", 8, ""),
    ("SELECT z.id FROM obscore o", "adql_unknown_column", 8, ""),
    ("SELECT z.* FROM obscore o", "adql_unknown_table", 8, ""),
    ('SELECT "ID" FROM tags', "adql_unknown_column", 8, "id"),
    ('SELECT id FROM "Ivoa"."obscore"', "adql_unknown_table", 16, ""),
    ("SELECT id FROM tags WHERE id = 'x'", "adql_types", 27, "quotes"),
    ("SELECT id FROM tags WHERE CONTAINS(POINT(1,2), CIRCLE(1,2,3))", "adql_types", 27, "= 1"),
    ("SELECT id FROM tags WHERE id", "adql_types", 27, ""),
    ("SELECT id = 1 FROM tags", "adql_types", 8, "CASE"),
    ("SELECT tag + 1 FROM tags", "adql_types", 8, "CAST"),
    ("SELECT SIN(tag) FROM tags", "adql_types", 12, ""),
    ("SELECT SIN(1, 2) FROM tags", "adql_arguments", 8, ""),
    ("SELECT id FROM tags WHERE COUNT(*) > 1", "adql_types", 27, "HAVING"),
    ("SELECT MAX(MIN(id)) FROM tags", "adql_types", 8, ""),
    ("SELECT SUM(tag) FROM tags", "adql_types", 8, ""),
    ("SELECT id FROM tags ORDER BY 2", "adql_unknown_column", 30, "1 to 1"),
    ("SELECT id FROM tags UNION SELECT id, tag FROM tags", "adql_arguments", None, ""),
    ("SELECT id FROM tags WHERE id IN (SELECT id, tag FROM tags)", "adql_arguments", 27, ""),
    ("SELECT IN_UNIT(id, 'm') FROM tags", "adql_unit", 8, ""),
    ("SELECT IN_UNIT(value, 'm') FROM tags", "adql_unit", 8, ""),
    ("SELECT IN_UNIT(value, 'qqq') FROM tags", "adql_unit", 8, "VOUnit"),
    ("SELECT CAST(id AS BLOB) FROM tags", "adql_types", None, "VARCHAR"),
    ("SELECT id FROM tags JOIN obscore", "adql_syntax", 26, ""),
    ("SELECT id FROM tags LIMIT 5", "adql_syntax", 21, "TOP"),
    ("SELECT id FROM tags WHERE id = 5 % 2", "adql_syntax", 34, "MOD"),
    ("SELECT id FROM tags JOIN obscore USING (tag)", "adql_unknown_column", None, ""),
    ("SELECT id FROM tags WITH", "adql_syntax", None, ""),
    ("SELECT FROM tags", "adql_syntax", None, ""),
    ("", "adql_syntax", None, "SELECT"),
    ("SELECT TOP -1 id FROM tags", "adql_syntax", None, ""),
    ("SELECT TOP x id FROM tags", "adql_syntax", None, ""),
    ("SELECT id FROM tags OFFSET 1.5", "adql_arguments", None, ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "code", "position", "remedy"), WRONG)
def test_wrong_queries_say_where_and_what_to_do(
    text: str, code: str, position: int | None, remedy: str
) -> None:
    with pytest.raises(AdqlError) as caught:
        translate(text, CATALOGUE, maxrec=10)
    assert caught.value.code == code
    assert remedy in caught.value.remedy
    if position is not None:
        assert caught.value.position == position
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.position) == (str(caught.value), caught.value.position)


def test_functions_of_the_service_are_passed_on() -> None:
    said = translate("SELECT TOP 5 id, Similarity(target_name, 'ivo://x?1', 'pca') AS d "
                     "FROM obscore ORDER BY d", CATALOGUE, maxrec=9)  # fmt: skip
    assert 'similarity("t1"."target_name", \'ivo://x?1\', \'pca\')' in said.sql
    twice = Function(("real",), "real", lambda a: f"(2 * {a[0]})", meta=ColumnMeta(unit="m"))
    said = translate("SELECT TWICE(id) FROM tags", CATALOGUE, maxrec=1, functions={"twice": twice})
    assert '(2 * "t1"."id")' in said.sql
    assert said.columns[0].meta.unit == "m"
    with pytest.raises(AdqlError, match="no function similarity"):
        translate("SELECT similarity('a', 'b') FROM tags", CATALOGUE, maxrec=1, functions={})
