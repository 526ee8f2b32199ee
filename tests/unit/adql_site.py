"""A small catalogue of tables in an embedded database, for queries in ADQL."""

from __future__ import annotations

import datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from spectrarium.publish.adql import ColumnMeta, prepare_duckdb, translate
from spectrarium.store.sky import healpix29

_F, _I, _S = pa.float64(), pa.int64(), pa.string()
RA_UCD, DEC_UCD = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
CATALOGUE = {
    "ivoa.obscore": {
        "id": ColumnMeta(_I, ucd="meta.id", about="Number"),
        "s_ra": ColumnMeta(_F, unit="deg", ucd=RA_UCD, about="Right ascension", indexed=True),
        "s_dec": ColumnMeta(_F, unit="deg", ucd=DEC_UCD, about="Declination"),
        "healpix29": ColumnMeta(_I, ucd="pos.healpix"),
        "target_name": ColumnMeta(_S, ucd="meta.id;src", utype="obscore:Target.Name"),
        "s_region": ColumnMeta(_S, xtype="adql:REGION"),
        "em_min": ColumnMeta(_F, unit="m", ucd="em.wl;stat.min"),
        "t_min": ColumnMeta(pa.timestamp("us"), ucd="time.start"),
    },
    "spectra.tags": {
        "id": ColumnMeta(_I), "tag": ColumnMeta(_S), "value": ColumnMeta(_F, unit="K"),
        "words": ColumnMeta(_S),
    },
    "spectra.plain": {
        "key": ColumnMeta(_I), "ra": ColumnMeta(_F, unit="deg"), "dec": ColumnMeta(_F, unit="deg"),
    },
    "tap_schema.columns": {'"size"': ColumnMeta(pa.int32()), "table_name": ColumnMeta(_S)},
    "odd.Mixed Case": {"Aa": ColumnMeta(_I), "b c": ColumnMeta(_S), 'q"q': ColumnMeta(_I)},
}  # fmt: skip
"""Five schemas; one table has cells of its positions."""
NAMES = ("Vega", "sirius B", "M 31", "100% x", "O'Neil", None)


def sky(count: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Positions spread evenly over the sky, deg."""
    draw = np.random.default_rng(seed)
    return draw.uniform(0, 360, count), np.degrees(np.arcsin(draw.uniform(-1, 1, count)))


def tables(count: int = 3000) -> dict[str, pa.Table]:
    """Rows of the tables."""
    ra, dec = sky(count)
    ra[:4], dec[:4] = [10.0, 10.0, 359.9, 0.1], [20.0, 20.4, 0.05, -0.05]
    cells = healpix29(ra, dec)
    gone = np.arange(count) == 5
    number = np.arange(count)
    day = datetime.datetime(2020, 1, 1)
    region = [f"CIRCLE ICRS {a:.8f} {d:.8f} 0.5" if i % 2 else
              f"POLYGON ICRS {a:.6f} {min(d, 88.0):.6f} {a + 1:.6f} {min(d, 88.0):.6f} {a:.6f} "
              f"{min(d, 88.0) + 1:.6f}" for i, (a, d) in enumerate(zip(ra, dec, strict=True))]
    obscore = pa.table({
        "id": number, "s_ra": pa.array(ra, mask=gone), "s_dec": pa.array(dec, mask=gone),
        "healpix29": pa.array(cells, mask=gone),
        "target_name": [NAMES[i] if i < len(NAMES) else f"star {i}" for i in number],
        "s_region": pa.array(region, mask=gone), "em_min": 4e-7 + 1e-10 * number,
        "t_min": [day + datetime.timedelta(days=int(i)) for i in number],
    })  # fmt: skip
    tags = pa.table({
        "id": [0, 0, 1, 2, 9999], "tag": ["teff", "class", "teff", "teff", "teff"],
        "value": [5000.0, None, 6000.0, 7000.0, 1.0],
        "words": ["hot#blue", "Hot star, very", "", None, "shot"],
    })  # fmt: skip
    plain = pa.table({"key": number[:200], "ra": ra[:200] + 1e-5, "dec": dec[:200]})
    columns = pa.table({"size": pa.array([1, None], pa.int32()), "table_name": ["a", "b"]})
    odd = pa.table({"Aa": [1, 2], "b c": ["x", "y"], 'q"q': [3, 4]})
    named = (obscore, tags, plain, columns, odd)
    return dict(zip(CATALOGUE, named, strict=True))


def database(data: dict[str, pa.Table]) -> Any:
    """The tables in DuckDB, set up as a service has it: no files, nothing to be changed."""
    connection = duckdb.connect()
    prepare_duckdb(connection)
    for name, table in data.items():
        schema, _, bare = name.partition(".")
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        connection.register("incoming", table)
        connection.execute(f'CREATE TABLE "{schema}"."{bare}" AS SELECT * FROM incoming')
        connection.unregister("incoming")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def asked(connection: Any, text: str, maxrec: int = 100_000) -> list[tuple[Any, ...]]:
    """Rows that a query in ADQL gives."""
    sql = translate(text, CATALOGUE, maxrec=maxrec).sql
    rows: list[tuple[Any, ...]] = connection.cursor().execute(sql).fetchall()
    return rows
