"""Selections, judgements, notes and workspaces over HTTP."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from serve_client import HOSTILE, TOKEN, WRITE, arrow, error

import spectrarium as sp
from spectrarium.people import People


def made(client, **body):
    answer = client.post("/api/selections", json={"name": "mine"} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()


# selections -----------------------------------------------------------------------------------


def test_a_selection_is_kept_and_given_back(local, desk):
    store = desk.store
    rows = store.find(where="snr > 20")
    found = made(local, rows=rows.tolist(), about="bright", version=store.version,
                 origin={"kind": "filter", "text": "snr > 20"})  # fmt: skip
    assert found["count"] == len(rows)
    assert found["origin"] == {"kind": "filter", "text": "snr > 20"}
    assert found["mine"]
    assert not found["shared"]
    assert found["missing"] == 0
    assert found["version"] == store.version
    answer = local.get(f"/api/selections/{found['sid']}/rows")
    assert arrow(answer).column("row").to_pylist() == sorted(rows.tolist())
    assert answer.headers["x-missing"] == "0"
    assert local.get("/api/selections").json()["selections"] == [found]


def test_uids_travel_as_text_and_back(local, desk):
    store = desk.store
    uids = store.index.value("uid", store.find()[:5])
    assert (np.abs(uids) > 2**53).any()
    found = made(local, uids=[str(u) for u in uids])
    rows = arrow(local.get(f"/api/selections/{found['sid']}/rows")).column("row").to_pylist()
    assert sorted(store.index.value("uid", np.array(rows)).tolist()) == sorted(uids.tolist())


def test_a_selection_is_changed_by_who_saw_its_last_state(local):
    found = made(local, rows=[1, 2])
    at = f"/api/selections/{found['sid']}"
    one = local.patch(at, json={"name": "better", "revision": found["revision"]}).json()
    assert one["name"] == "better"
    assert one["revision"] > found["revision"]
    old = local.patch(at, json={"name": "other tab", "revision": found["revision"]})
    assert error(old, 409, "changed_elsewhere")["revision"] == one["revision"]
    two = local.patch(at, json={"rows": [3], "shared": True, "about": "",
                                "revision": one["revision"]}).json()  # fmt: skip
    assert two["count"] == 1
    assert two["shared"]
    error(local.patch(at, json={"name": "x"}), 400, "bad_parameter")


def test_a_dropped_selection_can_be_brought_back(local):
    found = made(local, rows=[1, 2])
    at = f"/api/selections/{found['sid']}"
    assert local.delete(at).status_code == 200
    error(local.get(at), 404, "no_selection")
    assert local.get("/api/selections").json()["selections"] == []
    assert [s["sid"] for s in local.get("/api/selections?deleted=1").json()["selections"]] == [
        found["sid"]
    ]
    assert local.post(f"{at}/undelete").json()["count"] == 2
    assert local.get(at).status_code == 200


def test_a_new_version_leaves_selections_right_and_rows_refused(fresh):
    """Rows move with versions, selections do not: they hold identities."""
    with fresh.client() as client:
        client.headers.update(WRITE)
        store = fresh.store
        row = int(store.find()[-1])
        name = store.catalogue([row], ["obs_id"]).column(0)[0].as_py()
        before = made(client, rows=[row], version=store.version)
        spectrum = store.read_rows([row])[0]
        archive = sp.open(fresh.archive)
        archive.ingest(spectrum.replace(flux=spectrum.flux * 2))  # the same one, changed
        assert archive.store.version > store.version
        answer = client.get("/api/archive")
        assert answer.headers["x-spectrarium-version"] == str(archive.store.version)
        assert answer.json()["version"] == archive.store.version
        error(client.get(f"/api/archive?version={store.version}"), 409, "stale_version")
        late = {"name": "late", "rows": [row], "version": store.version}
        error(client.post("/api/selections", json=late), 409, "stale_version")
        error(client.post("/api/selections", json={"name": "gone", "rows": [row]}), 404, "no_row")
        rows = arrow(client.get(f"/api/selections/{before['sid']}/rows")).column(0).to_pylist()
        assert archive.store.catalogue(rows, ["obs_id"]).column(0).to_pylist() == [name]


def test_what_is_gone_is_counted(local):
    found = made(local, uids=["123456789", "-5"])
    assert found["missing"] == 2
    answer = local.get(f"/api/selections/{found['sid']}/rows")
    assert arrow(answer).num_rows == 0
    assert answer.headers["x-missing"] == "2"


def test_a_write_sent_twice_is_done_once(local):
    body, key = {"name": "once", "rows": [1]}, {"Idempotency-Key": "k-1"}
    first = local.post("/api/selections", json=body, headers=key)
    again = local.post("/api/selections", json=body, headers=key)
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert len(local.get("/api/selections").json()["selections"]) == 1
    other = local.post("/api/selections", json=body | {"name": "other"}, headers=key)
    error(other, 400, "key_reused")
    bad = local.post("/api/selections", json={"name": "x"}, headers={"Idempotency-Key": "k-2"})
    error(bad, 400, "bad_parameter")  # a request that failed may be sent again, mended
    assert local.post("/api/selections", json=body,
                      headers={"Idempotency-Key": "k-2"}).status_code == 201  # fmt: skip


def test_two_tabs_at_once_lose_nothing(local):
    answers = []

    def write(i):
        answers.append(local.post("/api/selections", json={"name": f"s{i}", "rows": [i]}))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert [a.status_code for a in answers] == [201] * 12
    assert len(local.get("/api/selections").json()["selections"]) == 12


def test_people_see_what_is_theirs_or_shared(desk):
    with People(desk.people) as people:
        tokens = {n: people.users.add_token(people.users.add(n).name).token for n in ("ada", "bo")}
    ada, bo = ({"authorization": f"Bearer {t}"} | WRITE for t in tokens.values())
    with desk.client(token=TOKEN) as client:
        body = {"name": HOSTILE, "rows": [1]}
        mine = client.post("/api/selections", json=body, headers=ada).json()
        assert mine["name"] == HOSTILE
        at = f"/api/selections/{mine['sid']}"
        error(client.get(at, headers=bo), 404, "no_selection")
        change = {"shared": True, "revision": mine["revision"]}
        shared = client.patch(at, json=change, headers=ada).json()
        seen = client.get(at, headers=bo).json()
        assert seen["owner"] == "ada"
        assert not seen["mine"]
        theirs = {"name": "stolen", "revision": shared["revision"]}
        error(client.patch(at, json=theirs, headers=bo), 403, "not_allowed")
        error(client.delete(at, headers=bo), 403, "not_allowed")


# judgements -----------------------------------------------------------------------------------


def test_judgements_are_kept_and_taken_back(local):
    body = {"id": "o1", "score": "combined", "verdict": "interesting"}
    given = local.post("/api/judgements", json=body).json()["judgement"]
    assert given["id"] == "ODD:o1"
    assert isinstance(given["uid"], str)
    again = local.post("/api/judgements", json=body | {"verdict": "artefact"})
    assert again.status_code == 200
    found = local.get("/api/judgements?score=combined").json()["judgements"]
    assert [j["verdict"] for j in found] == ["artefact"]
    assert local.get("/api/judgements?score=density").json()["judgements"] == []
    local.post("/api/judgements/undo")
    found = local.get("/api/judgements").json()["judgements"]
    assert [j["verdict"] for j in found] == ["interesting"]
    local.post("/api/judgements", json=body | {"verdict": None})
    assert local.get("/api/judgements").json()["judgements"] == []


@pytest.mark.parametrize(("change", "status", "code"), [
    ({"verdict": "lovely"}, 400, "bad_parameter"), ({"id": "nobody"}, 404, "unknown_id"),
    ({"id": ""}, 400, "bad_parameter"), ({"score": 3}, 400, "bad_parameter"),
])  # fmt: skip
def test_bad_judgements_are_refused(local, change, status, code):
    body = {"id": "o1", "score": "combined", "verdict": "known"} | change
    error(local.post("/api/judgements", json=body), status, code)


# notes and workspaces -------------------------------------------------------------------------


def test_notes_are_text_that_stays_as_it_was_written(local):
    text = f"{HOSTILE}\n=cmd()\u202e ünï"
    note = local.post("/api/object/ODD%3Ao1/notes", json={"text": text}).json()
    assert note["text"] == text
    assert note["mine"]
    at = f"/api/notes/{note['nid']}"
    changed = local.patch(at, json={"text": "calm", "revision": note["revision"]}).json()
    assert local.get("/api/object/o1/notes").json()["notes"] == [changed]
    old = local.patch(at, json={"text": "late", "revision": note["revision"]})
    error(old, 409, "changed_elsewhere")
    assert local.delete(at).status_code == 200
    assert local.get("/api/object/o1/notes").json()["notes"] == []
    local.post(f"{at}/undelete")
    assert len(local.get("/api/object/o1/notes").json()["notes"]) == 1
    error(local.post("/api/object/o1/notes", json={"text": "x" * 10_001}), 400, "bad_text")
    error(local.post("/api/object/o1/notes", json={"text": " "}), 400, "bad_text")
    error(local.patch("/api/notes/none", json={"text": "x"}), 404, "no_note")


def test_a_workspace_is_kept_by_the_tab_that_saw_it_last(local):
    state = {"views": [{"x": "map:a:x"}], "n": 1.5, "none": None}
    one = local.put("/api/workspaces/my map", json={"state": state, "revision": 0}).json()
    assert one["state"] == state
    error(local.put("/api/workspaces/my map", json={"state": 1, "revision": 0}), 409,
          "changed_elsewhere")  # fmt: skip
    two = local.put("/api/workspaces/my map", json={"state": [], "revision": one["revision"]})
    assert local.get("/api/workspaces/my map").json() == two.json()
    assert [w["name"] for w in local.get("/api/workspaces").json()["workspaces"]] == ["my map"]
    assert local.delete("/api/workspaces/my map").status_code == 200
    error(local.get("/api/workspaces/my map"), 404, "no_workspace")
    huge = {"state": "x" * 2_000_000, "revision": 0}
    assert local.put("/api/workspaces/huge", json=huge).status_code in (400, 413)


def test_a_new_server_has_what_the_old_one_kept(desk):
    with desk.client() as client:
        client.headers.update(WRITE)
        sid = made(client, rows=[0, 1])["sid"]
        client.post("/api/object/o1/notes", json={"text": "kept"})
    with desk.client() as client:
        assert client.get(f"/api/selections/{sid}").json()["count"] == 2
        assert client.get("/api/object/o1/notes").json()["notes"][0]["text"] == "kept"
