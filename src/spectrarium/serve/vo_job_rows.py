"""The file of background jobs: its columns, and a row of it as a job."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from ..publish.publisher import Publisher
from ..publish.uws import Job, Result
from .vo_guests import ends_at

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, owner TEXT NOT NULL, phase TEXT NOT NULL,
  run_id TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL, destruction REAL NOT NULL,
  duration REAL NOT NULL, parameters TEXT NOT NULL, results TEXT NOT NULL, error TEXT NOT NULL,
  publisher TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS by_owner ON jobs (kind, owner, created);
"""
_LATER = {"client": "TEXT NOT NULL DEFAULT ''", "brought": "INTEGER NOT NULL DEFAULT 0"}
"""Columns that files of earlier servers lack: whose a guest's job is, and bytes of its tables."""


def opened(path: Path) -> sqlite3.Connection:
    """The file, made or brought up to date; to be used by one thread at a time."""
    db = sqlite3.connect(path, check_same_thread=False, timeout=30.0)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(_SCHEMA)
    known = {row["name"] for row in db.execute("PRAGMA table_info(jobs)")}
    for name in _LATER.keys() - known:
        db.execute(f"ALTER TABLE jobs ADD COLUMN {name} {_LATER[name]}")
    return db


def publisher_text(publisher: Publisher) -> str:
    """What is kept of who publishes: arguments of `Publisher`, as JSON."""
    names = ("title", "authority", "contact", "contact_name", "base")
    return json.dumps({name: getattr(publisher, name) for name in names})


def job_of(row: sqlite3.Row) -> Job:
    """The job of a row."""
    results = tuple(Result(*r) for r in json.loads(row["results"]))
    pairs = tuple((str(k), str(v)) for k, v in json.loads(row["parameters"]))
    return Job(row["id"], row["kind"], row["owner"], row["phase"], row["created"],
               ends_at(row), row["duration"], row["run_id"], row["started"], row["ended"],
               pairs, results, row["error"])  # fmt: skip
