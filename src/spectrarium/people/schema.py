"""The tables of the people file, and how an older file becomes a newer one."""

from __future__ import annotations

APPLICATION_ID = 0x53504543
"""``SPEC``, in the file's header: another program's database is never taken for ours."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE users (
            name TEXT PRIMARY KEY, created REAL NOT NULL,
            disabled INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
        """CREATE TABLE rights (
            user TEXT NOT NULL REFERENCES users, "right" TEXT NOT NULL,
            PRIMARY KEY (user, "right")) WITHOUT ROWID""",
        """CREATE TABLE tokens (
            tid TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users, hash BLOB NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN ('token', 'session', 'server')),
            about TEXT NOT NULL, parent TEXT REFERENCES tokens ON DELETE CASCADE,
            created REAL NOT NULL, expires REAL, used REAL) WITHOUT ROWID""",
        "CREATE INDEX tokens_parent ON tokens (parent)",
        """CREATE TABLE collections (
            name TEXT PRIMARY KEY,
            state TEXT NOT NULL CHECK (state IN ('private', 'public'))) WITHOUT ROWID""",
        """CREATE TABLE selections (
            sid TEXT PRIMARY KEY, name TEXT NOT NULL, about TEXT NOT NULL, kind TEXT NOT NULL,
            text TEXT NOT NULL, count INTEGER NOT NULL, owner TEXT NOT NULL REFERENCES users,
            shared INTEGER NOT NULL DEFAULT 0, revision INTEGER NOT NULL DEFAULT 1,
            version INTEGER, created REAL NOT NULL, changed REAL NOT NULL,
            deleted REAL) WITHOUT ROWID""",
        "CREATE INDEX selections_owner ON selections (owner)",
        # apart from the rest: a new name must not write a hundred megabytes again
        """CREATE TABLE members (
            sid TEXT PRIMARY KEY REFERENCES selections ON DELETE CASCADE, uids BLOB NOT NULL)""",
        """CREATE TABLE judgements (
            jid INTEGER PRIMARY KEY AUTOINCREMENT, uid INTEGER NOT NULL, id TEXT NOT NULL,
            score TEXT NOT NULL, verdict TEXT, user TEXT NOT NULL REFERENCES users,
            undoes INTEGER REFERENCES judgements, at REAL NOT NULL)""",
        "CREATE INDEX judgements_of ON judgements (user, score, uid, jid)",
        "CREATE INDEX judgements_undo ON judgements (undoes)",
        """CREATE TRIGGER judgements_stay BEFORE UPDATE ON judgements
            BEGIN SELECT RAISE(ABORT, 'judgements are never changed'); END""",
        """CREATE TABLE notes (
            nid TEXT PRIMARY KEY, uid INTEGER NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL,
            user TEXT NOT NULL REFERENCES users, created REAL NOT NULL, changed REAL NOT NULL,
            revision INTEGER NOT NULL DEFAULT 1, deleted REAL) WITHOUT ROWID""",
        "CREATE INDEX notes_of ON notes (uid)",
        """CREATE TABLE workspaces (
            user TEXT NOT NULL REFERENCES users, name TEXT NOT NULL, state TEXT NOT NULL,
            revision INTEGER NOT NULL, changed REAL NOT NULL, deleted REAL,
            PRIMARY KEY (user, name))""",
        """CREATE TABLE keys (
            user TEXT NOT NULL REFERENCES users, key TEXT NOT NULL, digest TEXT NOT NULL,
            status INTEGER NOT NULL, body TEXT NOT NULL, at REAL NOT NULL,
            PRIMARY KEY (user, key))""",
        """CREATE TABLE jobs (
            jid TEXT PRIMARY KEY, kind TEXT NOT NULL, title TEXT NOT NULL, phase TEXT NOT NULL,
            owner TEXT NOT NULL REFERENCES users, params TEXT NOT NULL, progress TEXT NOT NULL,
            log TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL, created REAL NOT NULL,
            started REAL, ended REAL)""",
        "CREATE INDEX jobs_owner ON jobs (owner, created)",
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        "INSERT INTO facts VALUES ('salt', randomblob(32))",
    ),
    (  # no digest = the record is gone
        """CREATE TABLE registered (
            ivoid TEXT PRIMARY KEY, digest TEXT NOT NULL, changed REAL NOT NULL) WITHOUT ROWID""",
    ),
)  # fmt: skip
"""Statements that lead from schema N to N + 1; the schema is the number of steps taken."""
