"""The filter grammar: what is allowed works, everything else is refused before it reaches SQL."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from spectrarium.domain.errors import UsageError
from spectrarium.store.filters import MAX_LENGTH, parse_filter

COLUMNS = ("snr", "target_name", "s_ra", "has_flags", "truth.z", "z")
TABLE = pa.table({
    "snr": [1.0, 20.0, None, 50.0], "target_name": ["HD 1", "O'Neil", "x%y", None],
    "s_ra": [0.0, 10.0, 20.0, 359.0], "has_flags": [True, False, True, None],
    "truth.z": [0.1, None, 2.0, 3.0], "z": [1, 2, 3, 4],
})  # fmt: skip


def rows(text):
    """Row numbers that DuckDB finds with the bound condition."""
    condition = parse_filter(text, COLUMNS)
    values = {f"p{i}": v for i, v in enumerate(condition.parameters)}
    with duckdb.connect() as db:
        db.register("obs", TABLE)
        found = db.sql(
            "SELECT i FROM (SELECT row_number() OVER () - 1 AS i, * FROM obs) "
            f"WHERE {condition.sql}",
            params=values,
        )
        return [r[0] for r in found.fetchall()]


@pytest.mark.parametrize(("text", "expected"), [
    ("snr > 10", [1, 3]),
    ("snr >= 20 AND s_ra < 100", [1]),
    ("NOT snr > 10", [0]),
    ("target_name = 'O''Neil'", [1]),
    ("target_name LIKE 'HD%'", [0]),
    ("target_name ILIKE 'hd %'", [0]),
    ("target_name IN ('HD 1', 'O''Neil')", [0, 1]),
    ("snr IS NULL", [2]),
    ("snr IS NOT NULL AND has_flags", [0]),
    ("snr BETWEEN 10 AND 30 OR s_ra > 300", [1, 3]),
    ("s_ra / 2 + 5 > 10", [2, 3]),
    ("abs(s_ra - 360) < 2", [3]),
    ("log(snr) > 1.5", [3]),
    ("lower(target_name) = 'hd 1'", [0]),
    ("truth.z > 1.5", [2, 3]),
    ("SNR > 10", [1, 3]),
    ("(snr > 10)", [1, 3]),
    ("z > 2 -- a comment", [2, 3]),
    ("target_name = '; DROP TABLE obs; --'", []),
    ("target_name = '$p0'", []),
    ("snr > -1e0", [0, 1, 3]),
])  # fmt: skip
def test_allowed(text, expected):
    assert rows(text) == expected


@pytest.mark.parametrize("text", [
    "", "1", "snr", "snr +", "snr > 1; DROP TABLE obs", "snr > (SELECT 1)", "snr IN (SELECT 1)",
    "EXISTS (SELECT 1)", "nosuch > 1", "snr > 1 UNION SELECT 1", "read_csv('/etc/passwd') = 1",
    "getenv('HOME') = 'x'", "snr > 1 ORDER BY snr", "snr > 1 LIMIT 1", "snr > 1 GROUP BY z",
    "snr > 1) OR (1=1", "CAST(snr AS VARCHAR) = '1'", "snr::text = '1'", "snr = ANY([1])",
    "CASE WHEN snr > 1 THEN true ELSE false END", "sum(snr) > 1", "row_number() OVER () > 1",
    "snr > $1", "snr > ?", "target_name = \"HD 1\"", "obs.snr > 1", "pg_sleep(10) = 1",
    "snr > 1 OFFSET 1", "x -> x = 1", "[1,2] = [1,2]", "{'a': 1} = {'a': 1}", "snr > 1 /* x",
    "target_name = 'unclosed", "*", "COLUMNS(*) > 1", "snr > 1 QUALIFY snr > 2",
    "a" * (MAX_LENGTH + 1), "(" * 500 + "snr > 1" + ")" * 500, "lambda x : x",
    "snr > 1 WINDOW w AS ()",
    "current_setting('home_directory') = 'x'", "snr > 1 FOR UPDATE", "snr SIMILAR TO 'x'",
])  # fmt: skip
def test_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_filter(text, COLUMNS)
    assert caught.value.code == "bad_filter"
    assert caught.value.remedy


def test_unknown_columns_are_named_with_near_ones():
    with pytest.raises(UsageError) as caught:
        parse_filter("target_nam = 'x'", COLUMNS)
    assert "target_name" in caught.value.remedy


def test_literals_never_reach_the_sql():
    condition = parse_filter("target_name = 'secret' AND snr > 12.5", COLUMNS)
    assert "secret" not in condition.sql
    assert "12.5" not in condition.sql
    assert condition.parameters == ("secret", 12.5)
    assert condition.columns == {"target_name", "snr"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("snr between 3", "something is missing after BETWEEN"),
        ("select 1", "it is no condition"),
        ("snr > 'a", "a quote is not closed"),
        ("lower(snr", "expecting ) at character"),
    ],
)
def test_what_is_malformed_is_said_in_a_users_words(text, said):
    with pytest.raises(UsageError) as caught:
        parse_filter(text, ["snr"])
    assert said in caught.value.what
    assert "class" not in caught.value.what
