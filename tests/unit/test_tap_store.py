"""The store of TAP: of large tables, columns come in as queries name them, and stay one table."""

from __future__ import annotations

import threading
from collections.abc import Collection

import pyarrow as pa
import pytest

from spectrarium.publish.adql_duckdb import prepare_duckdb
from spectrarium.publish.tap_store import Store, StoreLimits
from spectrarium.run.table_columns import Column, VoTable

ROWS = 5000
NAME = "s.large"
WHOLE = pa.table({
    "a": list(range(ROWS)), "b": [f"name {i}" for i in range(ROWS)],
    "c": [0.5 * i for i in range(ROWS)], "d": ["é" if i == 7 else "e" for i in range(ROWS)],
})  # fmt: skip


class Source:
    """A large table; what is asked of it is written down."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []
        columns = tuple(Column(f.name, f.type) for f in WHOLE.schema)
        self.table = VoTable(NAME, "", columns, lambda: WHOLE, ROWS, some=self.some)

    def some(self, names: Collection[str]) -> pa.Table:
        self.asked.append(set(names))
        return WHOLE.select([n for n in WHOLE.column_names if n in names])


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def store(source):
    made = Store({NAME: source.table}, StoreLimits(kept_bytes=1 << 20), prepare_duckdb)
    yield made
    made.close()


def ask(store: Store, sql: str) -> list[tuple]:
    with store.using({NAME}, sql):
        return store.cursor().execute(sql).fetchall()


def test_columns_come_when_they_are_named_and_only_once(store, source):
    assert ask(store, 'SELECT sum("a") FROM "s"."large"') == [(ROWS * (ROWS - 1) // 2,)]
    assert source.asked == [{"a"}]
    assert ask(store, 'SELECT "b", "c" FROM "s"."large" WHERE "a" = 4321') == [
        ("name 4321", 2160.5)]  # fmt: skip
    assert source.asked == [{"a"}, {"b", "c"}]
    ask(store, 'SELECT "c", "a" FROM "s"."large"')
    assert len(source.asked) == 2
    every = 'SELECT "a", "b", "c", "d" FROM "s"."large"'
    assert ask(store, every) == [tuple(row.values()) for row in WHOLE.to_pylist()]


def test_rows_alone_are_counted(store, source):
    assert ask(store, 'SELECT COUNT(*) FROM "s"."large"') == [(ROWS,)]
    assert source.asked == [{"d"}]


def test_without_the_query_all_columns_come(store, source):
    with store.using({NAME}):
        assert source.asked == [{"a", "b", "c", "d"}]


def test_what_holds_more_than_ascii_is_known_of_what_is_there(store):
    with store.using({NAME}, '"b"') as wide:
        assert wide == frozenset()
    with store.using({NAME}, '"d"') as wide:
        assert wide == {f"{NAME}.d"}


def test_a_query_goes_on_while_columns_are_added(store):
    with store.using({NAME}, '"a"'):
        reader = store.cursor().sql('SELECT "a" FROM "s"."large"').to_arrow_reader(100)
        first = reader.read_next_batch()
        assert ask(store, 'SELECT "c" FROM "s"."large" WHERE "a" = 9') == [(4.5,)]
        rest = reader.read_all()
    assert first.column(0).to_pylist() + rest.column(0).to_pylist() == list(range(ROWS))


def test_many_at_once(store, source):
    wrong: list[object] = []

    def one(k: int) -> None:
        for i in range(20):
            name = "abcd"[(i + k) % 4]
            want = [(WHOLE.column(name)[77 * i].as_py(),)]
            found = ask(store, f'SELECT "{name}" FROM "s"."large" WHERE "a" = {77 * i}')
            if found != want:
                wrong.append((name, found, want))

    threads = [threading.Thread(target=one, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert store.idle


def test_what_fails_leaves_the_table_as_it_was(store, source):
    ask(store, 'SELECT "a" FROM "s"."large"')

    def fails(names: Collection[str]) -> pa.Table:
        raise RuntimeError("no")

    object.__setattr__(store.tables[NAME], "some", fails)
    with pytest.raises(RuntimeError):
        ask(store, 'SELECT "b" FROM "s"."large"')
    object.__setattr__(store.tables[NAME], "some", source.some)
    assert store.idle
    assert ask(store, 'SELECT "b" FROM "s"."large" WHERE "a" = 1') == [("name 1",)]
