"""A page that stayed open while the archive changed finds its rows again."""

from __future__ import annotations

import numpy as np
from embedding_cases import spectrum
from serve_client import WRITE, Site, arrow, error

import spectrarium as sp
from spectrarium.domain.observation import Observation


def test_rows_of_an_older_version_are_found_again(fresh: Site) -> None:
    with fresh.client() as client:
        before = client.get("/api/archive").json()["version"]
        rows = np.sort(arrow(client.get("/api/rows"))["row"].to_numpy())[::3]
        uids = fresh.store.index.value("uid", rows)
        wave = np.linspace(4000.0, 7000.0, 300)
        added = spectrum(wave, np.ones(300), observation=Observation("MOCK-2", "new"))
        sp.open(fresh.archive).ingest([added], workers=0)
        asked = {"rows": rows.tolist(), "version": before}
        stale = client.post(f"/api/rows/moved?version={before}", json=asked, headers=WRITE)
        error(stale, 409, "stale_version")
        answer = client.post("/api/rows/moved", json=asked, headers=WRITE)
        found = arrow(answer)["row"].to_numpy()
        assert int(answer.headers["X-Spectrarium-Version"]) > before
        assert answer.headers["X-Missing"] == "0"
        now = fresh.store.index.value("uid", found)
        assert sorted(now.tolist()) == sorted(np.asarray(uids).tolist())
        unknown = client.post("/api/rows/moved", json=asked | {"version": 10**6}, headers=WRITE)
        assert unknown.status_code in (400, 404), unknown.text
