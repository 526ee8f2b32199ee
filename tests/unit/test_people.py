"""The people file: rights, revisions, undo, once and only once, and no write is ever lost."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from spectrarium.domain.errors import DataError, InternalError, TransientError, UsageError
from spectrarium.domain.visibility import EVERYTHING, Visibility
from spectrarium.people import People, people_beside
from spectrarium.people import database as database_module
from spectrarium.people.database import Database
from spectrarium.people.records import (
    GUEST,
    ChangedElsewhere,
    JobRecord,
    Kept,
    Origin,
    User,
)
from spectrarium.people.schema import STEPS
from spectrarium.people.selections import packed, unpacked

DAY = 86400.0
HOSTILE = '<script>alert(1)</script> \'; DROP TABLE users; -- \u202e\u200b "é𝄞" %s {0} \\x00'


class Clock:
    """Time that tests move on."""

    def __init__(self):
        self.now = 1_700_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.people.sqlite"


@pytest.fixture
def people(path, clock):
    with People(path, clock) as opened:
        yield opened


@pytest.fixture
def ann(people):
    return people.users.add("ann")


@pytest.fixture
def bob(people):
    return people.users.add("bob")


@contextmanager
def refused(code):
    """The block raises a UsageError with this code."""
    with pytest.raises(UsageError) as caught:
        yield
    assert caught.value.code == code


# the file --------------------------------------------------------------------------------------


def test_it_lies_beside_the_archive_and_is_the_owners_alone(tmp_path, people, path):
    assert people_beside(tmp_path / "archive") == tmp_path / "archive.people.sqlite"
    assert path.stat().st_mode & 0o777 == 0o600
    people.users.add("ann")
    for extra in path.parent.glob(path.name + "-*"):
        assert extra.stat().st_mode & 0o777 == 0o600, "what SQLite keeps beside it too"


def test_what_was_written_is_there_when_it_is_opened_again(path, clock):
    with People(path, clock) as people:
        ann = people.users.add("ann")
        kept = people.selections.create(ann, "a", [3, 1, 2])
    with People(path, clock) as people:
        assert people.selections.get(people.users.get("ann"), kept.sid) == kept
        assert people.selections.uids(ann, kept.sid).tolist() == [1, 2, 3]


@pytest.mark.parametrize("content", [b"SIMPLE  =   T", b"\0" * 5000, b"SQLite format 3"])
def test_a_file_that_is_none_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        People(path)
    assert caught.value.code == "not_a_people_file"
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_another_programs_database_is_left_alone(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE cookies (a)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(DataError) as caught:
        People(path)
    assert caught.value.code == "not_a_people_file"
    assert path.read_bytes() == before


def test_a_damaged_file_is_refused_and_left_alone(path):
    with People(path) as people:
        ann = people.users.add("ann")
        for i in range(300):
            people.notes.add(ann, i, f"c:{i}", "x" * 400)
    data = bytearray(path.read_bytes())
    assert len(data) > 100_000
    for at in range(8192, len(data), 4096):
        data[at : at + 2048] = os.urandom(2048)
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        People(path)
    assert caught.value.code == "damaged_people"
    assert "copy" in caught.value.remedy
    assert path.read_bytes() == data


def test_a_cut_off_file_is_refused_and_left_alone(path):
    with People(path) as people:
        people.users.add("ann")
    data = path.read_bytes()[:5000]
    path.write_bytes(data)
    with pytest.raises(DataError):
        People(path)
    assert path.read_bytes() == data


def test_a_newer_file_is_refused_and_an_older_one_is_brought_up(path):
    newer = (*STEPS, ("CREATE TABLE future (a)",))
    Database(path).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO users (name, created) VALUES ('ann', 1)")
    db.close()
    database = Database(path, newer)
    with database.reading() as db:
        assert db.execute("SELECT count(*) FROM future").fetchone()[0] == 0
        assert db.execute("SELECT name FROM users").fetchone()[0] == "ann"
    database.close()
    before = path.read_bytes()
    with refused("newer_people"):
        People(path)
    assert path.read_bytes() == before


def test_a_step_that_fails_leaves_the_older_file(path):
    Database(path).close()
    with pytest.raises(InternalError):
        Database(path, (*STEPS, ("CREATE TABLE future (a)", "NO SQL AT ALL")))
    with People(path) as people:
        people.users.add("ann")


@pytest.mark.parametrize("what", ["folder", "missing", "locked"])
def test_a_place_that_cannot_be_used_is_named(tmp_path, what):
    place = tmp_path / "x.sqlite"
    if what == "folder":
        place.mkdir()
    elif what == "missing":
        place = tmp_path / "no" / "x.sqlite"
    else:
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        place.write_bytes(b"")
        place.chmod(0)
    with pytest.raises(UsageError) as caught:
        People(place)
    assert caught.value.code in ("not_a_file", "no_permission")
    assert str(place) in caught.value.where


def test_a_busy_file_says_try_again(path, people, ann, monkeypatch):
    monkeypatch.setattr(database_module, "BUSY_S", 0.1)
    other = People(path)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError) as caught:
        other.notes.add(ann, 1, "c:1", "x")
    assert caught.value.code == "people_busy"
    assert other.notes.of(ann, 1) == [], "reading does not wait"
    db.execute("ROLLBACK")
    db.close()
    other.notes.add(ann, 1, "c:1", "x")
    other.close()


def test_a_full_disk_says_so_and_writes_nothing(path, people, ann):
    with people._db._lent() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(TransientError) as caught:
        people.selections.create(ann, "a", np.random.default_rng(1).integers(0, 2**63, 50_000))
    assert caught.value.code == "disk_full"
    assert people.selections.list(ann) == []


def test_a_closed_file_is_not_opened_again(people):
    people.close()
    with pytest.raises(InternalError):
        people.users.list()


# together --------------------------------------------------------------------------------------

WRITER = """
import sys
from spectrarium.people import People
people = People(sys.argv[1])
ann = people.users.get("ann")
print("ready", flush=True)
for i in range(int(sys.argv[2])):
    people.judgements.give(ann, i, f"c:{i}", sys.argv[3], "known")
    print(i, flush=True)
"""


def writer(path, n, score):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n), score],
                            stdout=subprocess.PIPE, text=True)  # fmt: skip


def test_processes_write_at_the_same_time_and_nothing_is_lost(people, ann, path):
    processes = [writer(path, 60, f"s{k}") for k in range(3)]
    assert all(p.wait(120) == 0 for p in processes)
    for p in processes:
        p.stdout.close()
    assert len(people.judgements.history(ann)) == 180
    assert len({j.jid for j in people.judgements.history(ann)}) == 180
    for k in range(3):
        assert len(people.judgements.current(ann, f"s{k}")) == 60


def test_what_was_said_before_a_kill_stays_said(people, ann, path):
    process = writer(path, 10**6, "s")
    said = [process.stdout.readline().strip() for _ in range(40)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    said += process.stdout.read().split()
    process.stdout.close()
    last = max(int(word) for word in said if word.isdigit())
    with People(path) as again:
        found = [j.uid for j in again.judgements.history(ann)]
        assert found == list(range(len(found)))
        assert len(found) in (last + 1, last + 2), "the one under way is there whole or not at all"
        again.judgements.give(ann, 1, "c:1", "s", "artefact")


def test_files_are_made_by_several_processes_at_once(tmp_path):
    path = tmp_path / "new.sqlite"
    code = ("import sys; from spectrarium.people import People; p = People(sys.argv[1]); "
            "p.users.local(); p.users.add(sys.argv[2])")  # fmt: skip
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), f"u{i}"])
                 for i in range(4)]  # fmt: skip
    assert [p.wait(120) for p in processes] == [0] * 4
    with People(path) as people:
        assert [u.name for u in people.users.list()] == ["local", "u0", "u1", "u2", "u3"]


def test_threads_write_and_read_at_the_same_time(people, ann):
    def work(k):
        for i in range(15):
            people.notes.add(ann, k, f"c:{k}", f"{i}")
            assert len(people.notes.of(ann, k)) == i + 1
            people.workspaces.put(ann, f"w{k}", {"i": i}, i)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sum(len(people.notes.of(ann, k)) for k in range(8)) == 120
    assert {w.revision for w in people.workspaces.list(ann)} == {15}


def test_of_two_who_change_the_same_one_is_told(people, ann):
    kept = people.selections.create(ann, "a", [1])
    start = threading.Barrier(6)

    def work(i):
        start.wait()
        try:
            return people.selections.update(ann, kept.sid, 1, name=f"n{i}").name
        except ChangedElsewhere as error:
            return error.revision

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(work, range(6)))
    won = [name for name in said if isinstance(name, str)]
    assert len(won) == 1
    assert said.count(2) == 5, "the others are told the present revision"
    assert people.selections.get(ann, kept.sid).name == won[0]
    assert people.selections.get(ann, kept.sid).revision == 2


def test_reading_sees_one_state_while_others_write(people, ann):
    people.notes.add(ann, 1, "c:1", "first")
    with people._db.reading() as db:
        assert db.execute("SELECT count(*) FROM notes").fetchone()[0] == 1
        done = threading.Thread(target=people.notes.add, args=(ann, 1, "c:1", "second"))
        done.start()
        done.join()
        assert db.execute("SELECT count(*) FROM notes").fetchone()[0] == 1
    assert len(people.notes.of(ann, 1)) == 2


FORK = """
import os, sys
from spectrarium.people import People
people = People(sys.argv[1])
ann = people.users.get("ann")
people.notes.add(ann, 1, "c:1", "parent")
pid = os.fork()
people.notes.add(ann, 1, "c:1", "both")
if pid:
    assert os.waitpid(pid, 0)[1] == 0
    people.notes.add(ann, 1, "c:1", "afterwards")
"""


def test_a_forked_process_opens_its_own(people, ann, path):
    done = subprocess.run([sys.executable, "-c", FORK, str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = sorted(n.text for n in people.notes.of(ann, 1))
    assert said == ["afterwards", "both", "both", "parent"]


# users and rights ------------------------------------------------------------------------------


def test_users_have_rights(people):
    ann = people.users.add("ann")
    assert ann.rights == {"judge", "save"}
    assert not ann.may("operate")
    assert people.users.grant("ann", "see:GALAH", "operate").may("see:SECRET"), "operate: all"
    ann = people.users.withdraw("ann", "operate")
    assert ann.may("see:GALAH")
    assert not ann.may("see:SECRET")
    assert people.users.grant("ann", "see:*").may("see:SECRET")
    assert people.users.get("ann").rights == {"judge", "save", "see:GALAH", "see:*"}
    assert [u.name for u in people.users.list()] == ["ann"]
    assert people.users.add("eve", ()).rights == frozenset()


def test_the_machines_owner_is_made_once_and_stays(people):
    local = people.users.local()
    assert local == people.users.local()
    assert local.may("operate")
    assert local.may("see:anything")
    with refused("bad_right"):
        people.users.withdraw("local", "operate")
    with refused("bad_name"):
        people.users.disable("local")


@pytest.mark.parametrize("name", ["", " ", "guest", "Local", "a b", "a\n", "a" * 65, "../x", "<b>",
                                  "é", "-x", ".", None, 7, "x\0"])  # fmt: skip
def test_odd_names_of_users_are_refused(people, name):
    with refused("bad_name"):
        people.users.add(name)


def test_what_cannot_be_is_refused(people, ann):
    with refused("user_exists"):
        people.users.add("ann")
    with refused("no_user"):
        people.users.get("nobody")
    with refused("no_user"):
        people.users.grant("nobody", "judge")
    for right in ("rule", "see:", "", None, "OPERATE"):
        with refused("bad_right"):
            people.users.grant("ann", right)
    assert people.users.get("ann") == ann, "nothing of it was done"
    with refused("bad_right"):
        people.users.add("eve", ["judge", "rule"])
    with refused("no_user"):
        people.users.get("eve")


def test_only_operators_change_users(people, ann):
    boss = people.users.add("boss", ["operate"])
    users, collections = people.users, people.collections
    for by, code in ((ann, "not_allowed"), (GUEST, "sign_in")):
        for act in (
            lambda by: users.add("eve", by=by), lambda by: users.list(by=by),
            lambda by: users.grant("ann", "operate", by=by),
            lambda by: users.withdraw("boss", "operate", by=by),
            lambda by: users.disable("boss", by=by), lambda by: users.enable("boss", by=by),
            lambda by: users.add_token("boss", by=by), lambda by: users.tokens(by=by),
            lambda by: users.revoke("x", by=by),
            lambda by: collections.declare("C", "public", by=by),
        ):  # fmt: skip
            with refused(code):
                act(by)
    assert users.grant("ann", "see:C", by=boss).may("see:C")
    assert collections.declared() == {}


def test_a_disabled_user_may_nothing_and_keeps_everything(people, ann):
    token = people.users.add_token("ann").token
    kept = people.selections.create(ann, "a", [1])
    off = people.users.disable("ann")
    assert people.users.by_token(token) is None
    with refused("sign_in"):
        people.selections.list(off)
    assert people.visibility(off) == Visibility(only=frozenset())
    on = people.users.enable("ann")
    assert people.users.by_token(token).name == "ann"
    assert people.selections.list(on) == [kept]


def test_guests_keep_nothing(people):
    for act in (
        lambda: people.selections.create(GUEST, "a", [1]), lambda: people.selections.list(GUEST),
        lambda: people.selections.get(GUEST, "x"), lambda: people.selections.uids(GUEST, "x"),
        lambda: people.judgements.give(GUEST, 1, "c:1", "s", "known"),
        lambda: people.judgements.current(GUEST), lambda: people.judgements.undo(GUEST),
        lambda: people.notes.add(GUEST, 1, "c:1", "x"), lambda: people.notes.of(GUEST, 1),
        lambda: people.workspaces.put(GUEST, "w", 1, 0), lambda: people.workspaces.list(GUEST),
        lambda: people.jobs.list(GUEST), lambda: people.jobs.get(GUEST, "x"),
        lambda: people.once(GUEST, "k", "d").__enter__(),
    ):  # fmt: skip
        with refused("sign_in"):
            act()


def test_a_right_that_is_not_there_stops_every_write(people):
    eve = people.users.add("eve", ())
    for act in (
        lambda: people.selections.create(eve, "a", [1]),
        lambda: people.selections.update(eve, "x", 1, name="b"),
        lambda: people.selections.delete(eve, "x"), lambda: people.selections.undelete(eve, "x"),
        lambda: people.judgements.give(eve, 1, "c:1", "s", "known"),
        lambda: people.judgements.undo(eve),
        lambda: people.notes.add(eve, 1, "c:1", "x"), lambda: people.notes.change(eve, "x", "y"),
        lambda: people.notes.delete(eve, "x"), lambda: people.workspaces.put(eve, "w", 1, 0),
        lambda: people.workspaces.delete(eve, "w"),
    ):  # fmt: skip
        with refused("not_allowed"):
            act()


def test_a_user_the_file_does_not_know_keeps_nothing(people):
    stranger = User("stranger", frozenset({"save", "judge"}))
    with refused("no_user"):
        people.selections.create(stranger, "a", [1])
    with refused("no_user"):
        people.judgements.give(stranger, 1, "c:1", "s", "known")


# tokens ----------------------------------------------------------------------------------------


def test_a_token_is_shown_once_and_only_its_hash_is_kept(people, ann, path, clock):
    new = people.users.add_token("ann", "laptop")
    assert len(new.token) > 40
    assert new.token not in repr(new)
    assert people.users.by_token(new.token) == ann
    clock.now += 1
    session = people.users.sign_in(new.token)
    (first, second) = people.users.tokens("ann")
    assert (first.tid, first.about, first.kind, first.user) == (new.tid, "laptop", "token", "ann")
    assert second.kind == "session"
    files = b"".join(p.read_bytes() for p in path.parent.glob(path.name + "*"))
    for secret in (new.token, session.token):
        assert secret.encode() not in files
        assert secret.removeprefix("spt_").encode() not in files
    assert new.tid.encode() in files


def test_two_files_hash_the_same_token_differently(tmp_path):
    hashes = []
    for name in ("a", "b"):
        with People(tmp_path / name) as people:
            people.users.set_server_token("the very same token")
            with people._db.reading() as db:
                hashes.append(db.execute("SELECT hash FROM tokens").fetchone()[0])
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize("wrong", ["", "x", "spt_", HOSTILE, "a" * 100_000, "\ud800"])
def test_what_is_no_token_lets_nobody_in(people, ann, wrong):
    people.users.add_token("ann")
    assert people.users.by_token(wrong) is None
    assert people.users.sign_in(wrong) is None
    people.users.sign_out(wrong)


def test_tokens_end(people, ann, clock):
    day, ever = people.users.add_token("ann", days=1), people.users.add_token("ann")
    session = people.users.sign_in(day.token, days=30)
    assert session.expires == day.expires == clock.now + DAY, "a sign-in ends with its token"
    clock.now += DAY - 1
    assert people.users.by_token(day.token) is not None
    clock.now += 1
    assert people.users.by_token(day.token) is None
    assert people.users.by_token(session.token) is None
    assert people.users.sign_in(day.token) is None
    assert people.users.by_token(ever.token) is not None
    assert len(people.users.tokens()) == 3
    people.tidy()
    assert [t.tid for t in people.users.tokens()] == [ever.tid]
    for days in (0, -1, 1e9, float("nan")):
        with refused("bad_days"):
            people.users.add_token("ann", days=days)


def test_a_revoked_token_takes_its_sign_ins_with_it(people, ann):
    one, two = people.users.add_token("ann"), people.users.add_token("ann")
    mine, other = people.users.sign_in(one.token), people.users.sign_in(two.token)
    people.users.revoke(one.tid)
    assert people.users.by_token(one.token) is None
    assert people.users.by_token(mine.token) is None
    assert people.users.by_token(other.token) == ann
    with refused("no_token"):
        people.users.revoke(one.tid)


def test_signing_out_ends_that_session_alone(people, ann):
    token = people.users.add_token("ann").token
    a, b = people.users.sign_in(token), people.users.sign_in(token)
    people.users.sign_out(a.token)
    assert people.users.by_token(a.token) is None
    assert people.users.by_token(b.token) == ann
    people.users.sign_out(token)
    assert people.users.by_token(token) == ann, "a token is revoked, not signed out"
    assert people.users.sign_in(b.token) is None, "a session makes no session: it would never end"


def test_the_servers_token_is_the_operators_until_another_comes(people, ann):
    people.users.set_server_token("a token of sixteen")
    assert people.users.by_token("a token of sixteen").may("operate")
    session = people.users.sign_in("a token of sixteen").token
    people.users.set_server_token("a token of sixteen")
    assert people.users.by_token(session) is not None, "a restart signs nobody out"
    people.users.set_server_token("another long token")
    assert people.users.by_token("a token of sixteen") is None
    assert people.users.by_token(session) is None
    with refused("weak_token"):
        people.users.set_server_token("short")
    mine = people.users.add_token("ann").token
    with refused("token_taken"):
        people.users.set_server_token(mine)
    assert people.users.by_token("another long token") is not None, "nothing of it was done"


def test_rights_are_those_of_now(people, ann):
    token = people.users.add_token("ann").token
    people.users.grant("ann", "see:X")
    assert people.users.by_token(token).may("see:X")
    people.users.withdraw("ann", "see:X")
    assert not people.users.by_token(token).may("see:X")


def test_when_a_token_was_used_is_known_and_seldom_written(people, ann, clock):
    token = people.users.add_token("ann").token
    people.users.by_token(token)
    first = people.users.tokens()[0].used
    assert first == clock.now
    clock.now += 100
    people.users.by_token(token)
    assert people.users.tokens()[0].used == first
    clock.now += 4000
    people.users.by_token(token)
    assert people.users.tokens()[0].used == clock.now


def test_a_busy_file_keeps_nobody_out(people, ann, path, monkeypatch):
    monkeypatch.setattr(database_module, "BUSY_S", 0.1)
    token = people.users.add_token("ann").token
    with People(path) as other:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        assert other.users.by_token(token) == ann
        db.close()


# visibility ------------------------------------------------------------------------------------


def test_who_sees_what(people, ann):
    people.collections.declare("SECRET", "private")
    people.collections.declare("OTHER", "private")
    people.collections.declare("SDSS", "public")
    assert people.visibility(ann) == Visibility(frozenset({"SECRET", "OTHER"}))
    ann = people.users.grant("ann", "see:SECRET")
    assert people.visibility(ann) == Visibility(frozenset({"OTHER"}))
    assert people.visibility(people.users.grant("ann", "see:*")) == EVERYTHING
    assert people.visibility(people.users.local()) == EVERYTHING
    assert people.visibility(GUEST) == Visibility(only=frozenset({"SDSS"}))
    people.collections.declare("SDSS", "members")
    assert people.visibility(GUEST) == Visibility(only=frozenset()), "nothing was declared public"
    assert people.collections.declared() == {"OTHER": "private", "SECRET": "private"}
    with refused("bad_state"):
        people.collections.declare("SDSS", "open")
    with refused("bad_name"):
        people.collections.declare("", "private")


# selections ------------------------------------------------------------------------------------


def test_a_selection_keeps_what_it_was_given(people, ann, clock):
    origin = Origin("filter", "snr > 20 AND class = 'STAR'")
    kept = people.selections.create(ann, "  odd stars ", [9, 3, 9, 1], "why\nnot", origin, 7)
    assert dataclasses.asdict(kept) == {
        "sid": kept.sid, "name": "odd stars", "about": "why\nnot",
        "origin": {"kind": "filter", "text": origin.text}, "count": 3, "owner": "ann",
        "shared": False, "revision": 1, "version": 7, "created": clock.now, "changed": clock.now,
        "deleted": None,
    }  # fmt: skip
    assert re.fullmatch(r"[0-9a-f]{16}", kept.sid)
    found = people.selections.uids(ann, kept.sid)
    assert found.dtype == np.int64
    assert found.tolist() == [1, 3, 9]


def test_millions_of_uids_come_back_every_one(people, ann, path):
    uids = np.random.default_rng(4).integers(0, 2**63, 2_000_000)
    kept = people.selections.create(ann, "all", uids)
    assert (people.selections.uids(ann, kept.sid) == np.unique(uids)).all()
    before = path.with_name(path.name + "-wal").stat().st_size
    assert before < 0.8 * 8 * len(uids)
    people.selections.update(ann, kept.sid, 1, name="everything")
    assert path.with_name(path.name + "-wal").stat().st_size - before < 200_000, "named, not copied"
    assert (people.selections.uids(ann, kept.sid) == np.unique(uids)).all()


@pytest.mark.parametrize(
    "uids", [[], [0], [2**63 - 1], [-(2**63), 2**63 - 1, 0], [5] * 1000, np.arange(5, dtype="u4"),
             np.array([1, 2], np.uint64)],
)  # fmt: skip
def test_uids_at_the_edges(people, ann, uids):
    kept = people.selections.create(ann, "a", uids)
    wanted = sorted({int(u) for u in uids})
    assert people.selections.uids(ann, kept.sid).tolist() == wanted
    assert kept.count == len(wanted)


@pytest.mark.parametrize("uids", [[1.5], ["1"], [[1, 2]], [2**63], 3, np.array([2**63], np.uint64),
                                  [None], np.array([True])])  # fmt: skip
def test_what_are_no_uids_is_refused(people, ann, uids):
    with refused("bad_uids"):
        people.selections.create(ann, "a", uids)


def test_too_many_uids_are_refused(people, ann, monkeypatch):
    monkeypatch.setattr("spectrarium.people.selections.MOST_UIDS", 10)
    with refused("too_large"):
        people.selections.create(ann, "a", np.arange(11))


def test_a_bomb_in_place_of_uids_is_told(people, ann):
    import zlib

    for blob in (b"", b"nothing", zlib.compress(bytes(8)), zlib.compress(bytes(10**7))):
        with pytest.raises(DataError):
            unpacked(blob, 3)
    assert unpacked(packed(np.array([1, 5, 9])), 3).tolist() == [1, 5, 9]


def test_changes_count_and_old_ones_are_refused(people, ann, clock):
    kept = people.selections.create(ann, "a", [1])
    clock.now += 5
    second = people.selections.update(ann, kept.sid, 1, uids=[4, 2], about="b", shared=True)
    assert (second.revision, second.count, second.about, second.shared) == (2, 2, "b", True)
    assert second.changed == clock.now
    assert second.created == kept.created
    with pytest.raises(ChangedElsewhere) as caught:
        people.selections.update(ann, kept.sid, 1, name="late", uids=[7])
    error = caught.value
    assert (error.code, error.revision, error.where) == ("changed_elsewhere", 2, "revision 2")
    assert pickle.loads(pickle.dumps(error)).revision == 2
    assert people.selections.get(ann, kept.sid) == second
    assert people.selections.uids(ann, kept.sid).tolist() == [2, 4]
    with refused("changed_elsewhere"):
        people.selections.delete(ann, kept.sid, 1)
    moved = people.selections.update(ann, kept.sid, 2, origin=Origin("lasso"), version=3)
    assert (moved.origin, moved.version, moved.name) == (Origin("lasso"), 3, "a")


def test_deleted_selections_come_back_for_a_month(people, ann, clock):
    kept = people.selections.create(ann, "a", [1, 2])
    people.selections.delete(ann, kept.sid)
    assert people.selections.list(ann) == []
    assert [s.sid for s in people.selections.deleted(ann)] == [kept.sid]
    for ask in (people.selections.get, people.selections.uids, people.selections.delete):
        with refused("no_selection"):
            ask(ann, kept.sid)
    back = people.selections.undelete(ann, kept.sid)
    assert people.selections.undelete(ann, kept.sid) == back
    assert people.selections.uids(ann, kept.sid).tolist() == [1, 2]
    people.selections.delete(ann, kept.sid)
    clock.now += 29 * DAY
    people.tidy()
    assert len(people.selections.deleted(ann)) == 1
    clock.now += 2 * DAY
    people.tidy()
    with refused("no_selection"):
        people.selections.undelete(ann, kept.sid)
    with people._db.reading() as db:
        assert db.execute("SELECT count(*) FROM members").fetchone()[0] == 0


def test_others_see_what_is_shared_and_change_nothing(people, ann, bob):
    mine = people.selections.create(ann, "mine", [1])
    ours = people.selections.create(ann, "ours", [2])
    ours = people.selections.update(ann, ours.sid, 1, shared=True)
    assert people.selections.list(bob) == [ours]
    assert people.selections.uids(bob, ours.sid).tolist() == [2]
    with refused("no_selection"):
        people.selections.get(bob, mine.sid)
    with refused("no_selection"):
        people.selections.update(bob, mine.sid, 1, name="x")
    with refused("not_allowed"):
        people.selections.update(bob, ours.sid, 2, name="x")
    with refused("not_allowed"):
        people.selections.delete(bob, ours.sid)
    boss = people.users.local()
    assert people.selections.update(boss, mine.sid, 1, name="moderated").owner == "ann"
    people.selections.delete(ann, ours.sid)
    with refused("no_selection"):
        people.selections.get(bob, ours.sid)
    with refused("no_selection"):
        people.selections.undelete(bob, ours.sid)


# judgements ------------------------------------------------------------------------------------


def test_the_newest_judgement_counts_and_none_is_forgotten(people, ann, bob):
    give = people.judgements.give
    give(ann, 1, "c:1", "density", "interesting")
    give(ann, 1, "c:1", "combined", "known")
    give(ann, 2, "c:2", "density", "artefact")
    give(ann, 1, "c:1", "density", "artefact")
    give(bob, 1, "c:1", "density", "known")
    said = {(j.uid, j.score): j.verdict for j in people.judgements.current(ann)}
    assert said == {
        (1, "density"): "artefact",
        (1, "combined"): "known",
        (2, "density"): "artefact",
    }
    assert [j.uid for j in people.judgements.current(ann, "density")] == [1, 2], "newest first"
    give(ann, 1, "c:1", "density", None)
    assert [j.uid for j in people.judgements.current(ann, "density")] == [2]
    history = people.judgements.history(ann, 1)
    assert [j.verdict for j in history] == ["interesting", "known", "artefact", None]
    with refused("bad_verdict"):
        give(ann, 1, "c:1", "density", "great")
    for uid in (1.5, "1", None, 2**63, True):
        with refused("bad_number"):
            give(ann, uid, "c:1", "density", "known")


def test_judgements_are_undone_one_after_another(people, ann, bob):
    for verdict in ("known", "artefact", None, "interesting"):
        people.judgements.give(ann, 1, "c:1", "s", verdict)
    people.judgements.give(bob, 1, "c:1", "s", "artefact")
    people.judgements.give(ann, 2, "c:2", "other", "known")
    undone = []
    while (back := people.judgements.undo(ann)) is not None:
        undone.append((back.uid, back.verdict))
    assert undone == [(2, None), (1, None), (1, "artefact"), (1, "known"), (1, None)]
    assert people.judgements.current(ann) == []
    assert len(people.judgements.history(ann)) == 10, "undoing is a word too"
    people.judgements.give(ann, 1, "c:1", "s", "known")
    assert people.judgements.undo(ann).verdict is None
    assert len(people.judgements.current(bob)) == 1


def test_undo_of_one_score_leaves_the_others(people, ann):
    people.judgements.give(ann, 1, "c:1", "a", "known")
    people.judgements.give(ann, 1, "c:1", "b", "known")
    assert people.judgements.undo(ann, "a").score == "a"
    assert people.judgements.undo(ann, "a") is None
    assert [j.score for j in people.judgements.current(ann)] == ["b"]


def test_what_was_judged_cannot_be_rewritten(people, ann):
    people.judgements.give(ann, 1, "c:1", "s", "known")
    with pytest.raises(InternalError, match="never changed"), people._db.writing() as db:
        db.execute("UPDATE judgements SET verdict = 'artefact'")
    assert people.judgements.current(ann)[0].verdict == "known"


# notes and workspaces --------------------------------------------------------------------------


def test_notes_are_read_by_all_and_changed_by_their_writer(people, ann, bob, clock):
    note = people.notes.add(ann, 5, "c:5", "a companion?")
    clock.now += 1
    other = people.notes.add(bob, 5, "c:5", "no")
    assert people.notes.of(bob, 5) == [note, other]
    assert people.notes.of(bob, 6) == []
    for act in (lambda: people.notes.change(bob, note.nid, "x"),
                lambda: people.notes.delete(bob, note.nid)):  # fmt: skip
        with refused("not_allowed"):
            act()
    clock.now += 1
    new = people.notes.change(ann, note.nid, "yes: SB2", 1)
    assert (new.text, new.revision, new.created) == ("yes: SB2", 2, note.created)
    with pytest.raises(ChangedElsewhere) as caught:
        people.notes.change(ann, note.nid, "late", 1)
    assert caught.value.revision == 2
    people.notes.delete(ann, note.nid)
    assert people.notes.of(ann, 5) == [other]
    with refused("no_note"):
        people.notes.get(ann, note.nid)
    assert people.notes.undelete(ann, note.nid) == new
    assert people.notes.of(ann, 5) == [new, other]
    assert people.notes.change(people.users.local(), other.nid, "moderated").user == "bob"


@pytest.mark.parametrize("text", [HOSTILE, "\n\tä\n", "x" * 10_000, "'", '"', "\x1b[31m", "𝄞" * 9])
def test_hostile_text_is_kept_as_it_is(people, ann, text):
    note = people.notes.add(ann, 1, "<b>:'; --", text)
    assert people.notes.get(ann, note.nid).text == text
    assert note.id == "<b>:'; --"
    assert people.users.list() != []


@pytest.mark.parametrize("text", ["", "   \n", "x" * 10_001, "a\0b", "\ud800", None, 7, b"x"])
def test_text_that_cannot_be_kept_is_refused(people, ann, text):
    with refused("bad_text"):
        people.notes.add(ann, 1, "c:1", text)
    with pytest.raises(UsageError):
        people.selections.create(ann, text, [1])
    assert people.notes.of(ann, 1) == []


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31mred", "x" * 201, "\u202eevil", " \t "])
def test_names_are_one_printable_line(people, ann, name):
    with pytest.raises(UsageError):
        people.selections.create(ann, name, [1])
    with pytest.raises(UsageError):
        people.workspaces.put(ann, name, {}, 0)


def test_two_tabs_never_overwrite_each_other_unseen(people, ann, bob):
    first = people.workspaces.put(ann, "main", {"view": [1, 2.5, None, "é"]}, 0)
    assert first.revision == 1
    assert people.workspaces.get(ann, "main") == first
    people.workspaces.put(ann, "main", {"tab": 1}, 1)
    with pytest.raises(ChangedElsewhere) as caught:
        people.workspaces.put(ann, "main", {"tab": 2}, 1)
    assert caught.value.revision == 2
    with pytest.raises(ChangedElsewhere):
        people.workspaces.put(ann, "main", {}, 0)
    assert people.workspaces.get(ann, "main").state == {"tab": 1}
    assert people.workspaces.put(bob, "main", [], 0).revision == 1, "each has their own"
    (listed,) = people.workspaces.list(ann)
    assert (listed.name, listed.state, listed.revision) == ("main", None, 2)


def test_a_deleted_workspace_comes_back_or_makes_room(people, ann, clock):
    people.workspaces.put(ann, "w", 1, 0)
    people.workspaces.delete(ann, "w")
    for act in (people.workspaces.get, people.workspaces.delete):
        with refused("no_workspace"):
            act(ann, "w")
    assert people.workspaces.list(ann) == []
    assert people.workspaces.undelete(ann, "w").state == 1
    people.workspaces.delete(ann, "w")
    new = people.workspaces.put(ann, "w", 2, 0)
    assert new.revision == 2, "an old tab's revision 1 does not fit by chance"
    with pytest.raises(ChangedElsewhere):
        people.workspaces.put(ann, "w", 3, 1)
    people.workspaces.delete(ann, "w")
    clock.now += 31 * DAY
    people.tidy()
    with refused("no_workspace"):
        people.workspaces.undelete(ann, "w")


def test_states_are_json_of_a_size(people, ann):
    for state, code in (({"a": float("nan")}, "bad_json"), ({1, 2}, "bad_json"),
                        ("x" * 2**20, "too_large")):  # fmt: skip
        with refused(code):
            people.workspaces.put(ann, "w", state, 0)
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with refused("bad_json"):
        people.workspaces.put(ann, "w", deep, 0)
    assert people.workspaces.list(ann) == []


# once ------------------------------------------------------------------------------------------


def test_a_request_is_done_once_however_often_it_comes(people, ann, bob):
    def request(who, text="x"):
        with people.once(who, "key-1", f"digest {text}") as slot:
            if slot.kept:
                return slot.kept
            note = people.notes.add(who, 1, "c:1", text)
            slot.keep(201, note.nid)
            return Kept(201, note.nid)

    first = request(ann)
    assert request(ann) == first
    assert len(people.notes.of(ann, 1)) == 1
    with refused("key_reused"):
        request(ann, "something else")
    assert request(bob) != first, "keys are each user's own"


def test_a_request_that_fails_leaves_nothing_and_may_come_again(people, ann):
    def failing():
        with people.once(ann, "k", "d") as slot:
            people.notes.add(ann, 1, "c:1", "x")
            slot.keep(201, "{}")
            return 1 / 0

    with pytest.raises(ZeroDivisionError):
        failing()
    assert people.notes.of(ann, 1) == []
    with people.once(ann, "k", "d") as slot:
        assert slot.kept is None
        people.notes.add(ann, 1, "c:1", "x")
        with pytest.raises(UsageError):  # a part that fails does not take the rest with it
            people.notes.add(ann, 1, "c:1", "")
        with pytest.raises(ChangedElsewhere):
            people.workspaces.put(ann, "w", 1, 5)
        slot.keep(200, "{}")
    assert len(people.notes.of(ann, 1)) == 1


def test_the_same_request_from_two_threads_is_done_once(people, ann):
    start = threading.Barrier(5)

    def request(_):
        start.wait()
        with people.once(ann, "k", "d") as slot:
            if slot.kept:
                return slot.kept.body
            time.sleep(0.05)
            slot.keep(201, people.notes.add(ann, 1, "c:1", "x").nid)
            return slot.new.body

    with ThreadPoolExecutor(5) as pool:
        answers = set(pool.map(request, range(5)))
    assert len(answers) == 1
    assert len(people.notes.of(ann, 1)) == 1


def test_keys_are_forgotten_after_two_days(people, ann, clock):
    with people.once(ann, "k", "d") as slot:
        slot.keep(200, "old")
    clock.now += 1.5 * DAY
    people.tidy()
    with people.once(ann, "k", "d") as slot:
        assert slot.kept == Kept(200, "old")
    clock.now += DAY
    people.tidy()
    with people.once(ann, "k", "other") as slot:
        assert slot.kept is None
    for key in ("", "a\nb", "x" * 300, None):
        with pytest.raises(UsageError), people.once(ann, key, "d"):
            pass


# jobs ------------------------------------------------------------------------------------------


def job(**changes):
    values = {"jid": "j1", "kind": "stack", "title": "median of 9", "phase": "EXECUTING",
              "owner": "ann", "params": {"rows": [1, 2]}, "created": 5.0}  # fmt: skip
    return JobRecord(**(values | changes))


def test_jobs_are_remembered(people, ann, bob, clock):
    people.jobs.put(job(log=("a", HOSTILE), progress={"what": "reading", "done": 1, "total": 9}))
    done = job(phase="COMPLETED", log=("a", "b"), result={"selection": "x"}, ended=9.0, started=6.0)
    people.jobs.put(done)
    people.jobs.put(job(jid="j2", owner="bob", created=6.0))
    assert people.jobs.get(ann, "j1") == done
    assert [j.jid for j in people.jobs.list(ann)] == ["j1"]
    assert [j.jid for j in people.jobs.list(people.users.local())] == ["j2", "j1"]
    with refused("no_job"):
        people.jobs.get(bob, "j1")
    with refused("no_job"):
        people.jobs.delete(bob, "j1")
    assert people.jobs.interrupted("the server was stopped") == 1
    lost = people.jobs.get(bob, "j2")
    assert (lost.phase, lost.ended, lost.error["code"]) == ("ABORTED", clock.now, "interrupted")
    assert people.jobs.get(ann, "j1") == done
    people.jobs.delete(ann, "j1")
    with refused("no_job"):
        people.jobs.get(ann, "j1")
    with refused("bad_phase"):
        people.jobs.put(job(phase="DONE"))
    with refused("no_user"):
        people.jobs.put(job(jid="j3", owner="nobody"))


def test_a_job_keeps_its_owner_and_the_end_of_its_log(people, ann, bob):
    people.jobs.put(job(log=tuple(f"line {i}" for i in range(5000))))
    kept = people.jobs.get(ann, "j1")
    assert kept.log[-1] == "line 4999"
    assert len(kept.log) == 2000
    people.jobs.put(job(owner="bob"))
    assert people.jobs.get(ann, "j1").owner == "ann"


# records ---------------------------------------------------------------------------------------


def test_records_are_frozen(people, ann):
    kept = people.selections.create(ann, "a", [1])
    for record in (ann, GUEST, kept, kept.origin, job(), people.users.add_token("ann")):
        field = dataclasses.fields(record)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field, "other")


def test_importing_people_brings_no_archive():
    program = ("import sys, spectrarium.people; "
               "print(*sorted({m.split('.')[1] for m in sys.modules "
               "if m.startswith('spectrarium.')} | {m for m in sys.modules if m in "
               "('pyarrow', 'lance', 'duckdb', 'astropy', 'scipy')}))")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"domain", "people"}
