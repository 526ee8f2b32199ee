"""The page in trouble: no server, slow network, two tabs, a new archive version, hostile files."""

from __future__ import annotations

import contextlib
import gzip
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from astropy.io import fits as pyfits
from page_browser import Seen, Serving
from page_steps import chip, columns, rows_where, select_found, selected, tabs_to
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

import spectrarium as sp

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("page"),
]  # fmt: skip

AWAY = ["ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET", "ERR_FAILED"]


def save_as(page: Page, name: str) -> None:
    page.keyboard.press("Shift+S")
    page.get_by_role("textbox", name="Name", exact=True).fill(name)
    page.get_by_role("button", name="Save", exact=True).click()


def kill(server: Serving) -> None:
    """As a crash does: no farewell."""
    assert server.process is not None
    server.process.kill()
    server.process.wait(20)
    server.process = None


def names(server: Serving) -> list[str]:
    return [one["name"] for one in server.ask("/selections")["selections"]]


def test_a_write_waits_for_a_server_that_died_and_is_done_once(look, own_server):
    server = own_server()
    seen = look(at=server)
    seen.expected += AWAY
    page = seen.open("/")
    n = select_found(page, "snr > 30")
    kill(server)
    save_as(page, "Kept through a crash")
    expect(page.get_by_text("The server does not answer. The change is kept")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    page.get_by_role("button", name="1 change waiting for the server").click()
    expect(page.get_by_role("dialog")).to_contain_text("Kept through a crash")
    page.keyboard.press("Escape")
    box = page.get_by_role("textbox", name="Name, position, id or filter")
    box.fill("snr > 40")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer")
    server.start()
    expect(page.get_by_text("waiting for the server")).to_have_count(0)
    assert names(server) == ["Kept through a crash"]
    assert server.ask("/selections")["selections"][0]["count"] == n
    expect(page.get_by_role("alert")).to_have_count(0)  # asked again when the server is back
    expect(page.get_by_role("grid", name="Found spectra")).to_be_visible()


def test_a_write_outlives_the_page_that_made_it(look, own_server):
    server = own_server()
    seen = look(at=server)
    seen.expected += AWAY
    page = seen.open("/")
    select_found(page, "snr > 30")
    kill(server)
    save_as(page, "From a page that is gone")
    expect(page.get_by_text("1 change waiting for the server")).to_be_visible()
    page.goto("about:blank")
    server.start()
    seen.open("/jobs")
    expect(page.get_by_role("heading", name="Start work")).to_be_visible()
    expect(page.get_by_text("waiting for the server")).to_have_count(0)
    page.keyboard.press("Shift+O")
    expect(page.get_by_role("button", name="From a page that is gone").first).to_be_visible()
    assert names(server) == ["From a page that is gone"]


def test_a_refused_write_is_shown_and_sent_again_when_asked(look, own_server):
    server = own_server()
    seen = look(at=server)
    seen.expected.append("500")
    ident = quote(_ids(server, "class = 'QSO'")[0], safe="")
    page = seen.open(f"/object/{ident}?tab=notes")
    refusal = '{"error":{"code":"x","what":"The disk is full.","where":"","remedy":"Make room."}}'

    def refuse(route):
        if route.request.method == "POST":
            route.fulfill(status=500, content_type="application/json", body=refusal)
        else:
            route.continue_()

    page.route("**/notes", refuse)
    page.get_by_label("New note").fill("At the second try")
    page.get_by_role("button", name="Save note").click()
    expect(page.get_by_role("alert")).to_contain_text("The disk is full.")
    page.unroute("**/notes")
    page.get_by_role("button", name="1 change refused").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Make room.")
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog).to_contain_text("Everything is saved.")
    (note,) = server.ask(f"/object/{ident}/notes")["notes"]
    assert note["text"] == "At the second try"


def test_on_a_slow_network_the_last_question_wins(look, page_server):
    page = look().open("/")
    expect(page.get_by_role("grid", name="Found spectra")).to_be_visible()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    slow = {"offline": False, "downloadThroughput": 60_000, "uploadThroughput": 60_000}
    session.send("Network.emulateNetworkConditions", {**slow, "latency": 700})
    box = page.get_by_role("textbox", name="Name, position, id or filter")
    for q in ("snr > 5", "snr > 10", "snr > 30"):
        box.fill(q)
        page.keyboard.press("Enter")
    expect(page.get_by_role("progressbar").first).to_be_visible()
    n = len(rows_where(page_server, "snr > 30"))
    expect(page.get_by_text(re.compile(f"^{n} spectra"))).to_be_visible()
    expect(page.locator(".results.old")).to_have_count(0)
    expect(page.get_by_text(re.compile(f"^{n} spectra"))).to_be_visible()


def test_what_another_tab_deleted_is_told(look, own_server):
    server = own_server()
    first = look(at=server)
    page = first.open("/")
    select_found(page, "snr > 30")
    save_as(page, "Soon gone")
    expect(chip(page)).to_contain_text("Soon gone")
    (kept,) = server.ask("/selections")["selections"]
    second = look(at=server, tab_of=first)
    other = second.open("/map")
    other.keyboard.press("Shift+O")
    other.get_by_role("button", name="More for Soon gone").click()
    other.get_by_role("button", name="Delete").click()
    expect(other.get_by_text("Nothing is saved yet")).to_be_visible()
    other.keyboard.press("Escape")
    other.keyboard.press("Control+z")
    expect(other.get_by_text("Undone: Delete Soon gone")).to_be_visible()
    assert names(server) == ["Soon gone"]
    other.keyboard.press("Control+Shift+z")
    expect(other.get_by_text("Done again")).to_be_visible()
    stranger = look(at=server)
    stranger.expected.append("404")
    stranger.open(f"/map?sel={kept['sid']}")
    expect(stranger.page.get_by_text(re.compile("^Selection: "))).to_be_visible()
    expect(chip(stranger.page)).to_contain_text("Nothing selected")
    expect(stranger.page.get_by_role("region", name="View 1:")).to_be_visible()


def test_a_new_version_under_an_open_page_keeps_the_selection(look, own_server, data_dir):
    server = own_server(copy=True)
    seen = look(at=server)
    seen.expected.append("409")
    page = seen.open("/")
    n = select_found(page, "snr > 30")
    before = _names(server, page)
    version = server.ask("/archive")["version"]
    example = next((data_dir / "lamost_lrs_pool" / "raw_examples").glob("*.fits.gz"))
    assert sp.open(server.archive).ingest([example], workers=0).stored > 0
    box = page.get_by_role("textbox", name="Name, position, id or filter")
    box.fill("snr > 10")
    page.keyboard.press("Enter")
    newer = page.get_by_role("button", name="Show the new version")
    expect(newer).to_be_visible()
    with contextlib.suppress(PlaywrightError):  # a refused question moves the page on by itself
        newer.click(timeout=5000)
    expect(newer).to_have_count(0)
    assert server.ask("/archive")["version"] > version
    expect(chip(page)).to_contain_text(f"{n} selected")
    assert _names(server, page) == before
    assert len(before) == n
    page.keyboard.press("2")
    expect(page.get_by_role("heading", name=f"{n} spectra selected")).to_be_visible()


def _names(server: Serving, page: Page) -> set[str]:
    """Observations that are selected."""
    found = columns(server, "obs_id")
    of = dict(zip(found["row"].tolist(), found["obs_id"], strict=True))
    return {of[row] for row in selected(page)}


def _ids(server: Serving, where: str, n: int = 500) -> list[str]:
    return [row["id"] for row in server.ask("/find", where=where, limit=n)["rows"]]


def catching(seen: Seen) -> Seen:
    """File choosers are caught from the start: what is switched on later may be too late."""
    seen.page.on("filechooser", lambda _: None)
    return seen


def upload(page: Page, file: Path | dict) -> None:
    """Through the file chooser, as people do."""
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("u")
    chooser.value.set_files(file)


def test_a_file_of_ones_own_finds_its_kin(look, page_server, tmp_path):
    (ident,) = _ids(page_server, "class = 'QSO'", n=1)
    href = f"/api/object/{quote(ident, safe='')}/file?kind=sdm-fits"
    file = tmp_path / "mine.fits"
    file.write_bytes(httpx.get(page_server.url + href, timeout=60).raise_for_status().content)
    page = catching(look()).open("/")
    expect(page.get_by_role("grid", name="Found spectra")).to_be_visible()
    upload(page, file)
    page.wait_for_url(re.compile("/object/upload"))
    expect(page.get_by_text("your file, not in the archive")).to_be_visible()
    kin = page.get_by_role("tabpanel").locator("ol > li")
    expect(kin).to_have_count(12)
    told = page_server.ask(f"/object/{quote(ident, safe='')}/similar", k=12)["answers"]
    for at, one in enumerate(told[:3]):  # its own spectrum in the archive is known for the same
        expect(kin.nth(at)).to_contain_text(one["target_name"])
    expect(tabs_to(page, "Files")).to_contain_text("not kept in the archive")


def test_html_in_header_cards_is_text(look, tmp_path):
    seen = catching(look())
    page = seen.open("/")
    expect(page.get_by_role("grid", name="Found spectra")).to_be_visible()
    card = "<img src=x onerror=alert(1)><b>B</b>"
    header = pyfits.Header({"OBJECT": card, "CRVAL1": 4000.0, "CDELT1": 1.0, "CRPIX1": 1.0,
                            "CTYPE1": "WAVE", "CUNIT1": "Angstrom", "INSTRUME": card})  # fmt: skip
    flux = (1 + 0.1 * np.sin(np.arange(3000) / 50)).astype("f4")
    file = tmp_path / "<b>name.fits"
    pyfits.PrimaryHDU(flux, header).writeto(file)
    seen.expected.append("400")  # no model may cover it
    upload(page, file)
    page.wait_for_url(re.compile("/object/upload"))
    heading = page.locator("main").get_by_role("heading", level=1).first
    expect(heading).to_contain_text("<img src=x onerror=alert(1)>")
    for name in ("Catalogue", "Provenance"):
        expect(tabs_to(page, name)).not_to_be_empty()
        assert page.locator("main b, main img").count() == 0


def test_hostile_files_are_refused_in_words(look, data_dir, tmp_path):
    page = catching(look()).open("/")
    expect(page.get_by_role("grid", name="Found spectra")).to_be_visible()
    whole = next((data_dir / "sdss_boss_pool" / "raw_examples").glob("*.fits.gz"))
    cut = gzip.decompress(whole.read_bytes())[:30_000]
    entities = (
        b'<?xml version="1.0"?><!DOCTYPE V [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        b'<VOTABLE version="1.3"><RESOURCE><TABLE><DESCRIPTION>&a;</DESCRIPTION></TABLE>'
        b"</RESOURCE></VOTABLE>"
    )
    large = tmp_path / "large.fits"
    with large.open("wb") as file:
        file.truncate(65 * 2**20)
    files = {
        "cut.fits": {"name": "cut.fits", "mimeType": "", "buffer": cut},
        "entities.vot": {"name": "entities.vot", "mimeType": "", "buffer": entities},
        "large.fits": large,
    }
    dialog = page.get_by_role("dialog")
    said = {}
    for name, file in files.items():
        upload(page, file)
        expect(dialog.get_by_role("heading", name=name)).to_be_visible()
        alert = dialog.get_by_role("alert").first
        expect(alert).to_be_visible()
        said[name] = alert.inner_text()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    assert not any("Traceback" in text or "root:" in text for text in said.values()), said
    assert "files up to 67 MB" in said["large.fits"]
    assert len(set(said.values())) == 3
