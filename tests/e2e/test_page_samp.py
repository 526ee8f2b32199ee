"""The page among other programs: SAMP's web profile, with pyvo's hub and Java's, in a browser."""

from __future__ import annotations

import io
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from astropy.table import Table
from page_browser import THEMES, Seen, Serving
from page_steps import chip, columns, select_found, selected
from playwright.sync_api import Locator, Page, expect
from required import need
from samp_desk import LOADS, WEB_PORT, Consent, Program, hub, javas_hub, until

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("page"),
]  # fmt: skip

TABLE, SPECTRUM, POINT = LOADS
ROW, ROWS = "table.highlight.row", "table.select.rowList"
HUB = f"http://localhost:{WEB_PORT}"
NOBODY = ["ERR_CONNECTION_REFUSED", "ERR_FAILED", "ERR_CONNECTION_RESET",
          "ERR_SOCKET_NOT_CONNECTED", "ERR_EMPTY_RESPONSE"]  # fmt: skip


@pytest.fixture
def free_port() -> None:
    """The port of SAMP's web profile: there is only this one, and a hub leaves it slowly."""

    def free() -> bool:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", WEB_PORT))
            except OSError:
                return False
        return True

    end = time.monotonic() + 60
    while not free() and time.monotonic() < end:
        time.sleep(0.2)
    need("page", free(), f"port {WEB_PORT}, the only one of SAMP's web profile, is taken")


@pytest.fixture
def desktop(free_port, tmp_path, monkeypatch) -> Iterator[Callable[..., Consent]]:
    """Starts a hub that lets pages in, or not."""
    with ExitStack() as stack:

        def start(yes: bool = True) -> Consent:
            consent = Consent(yes)
            consent.hub = stack.enter_context(hub(tmp_path, monkeypatch, consent))
            return consent

        yield start


@pytest.fixture
def taker(desktop) -> Iterator[Program]:
    """A program on a hub that says yes."""
    desktop()
    program = Program("Other program")
    yield program
    program.close()


def looking(look: Callable[..., Seen], **how) -> Seen:
    seen = look(**how)
    seen.also.append(HUB)
    return seen


def sending(page: Page) -> Locator:
    """The dialog, by its key."""
    page.keyboard.press("Shift+P")
    return page.get_by_role("dialog", name="Send to other programs")


def sent(page: Page, what: str) -> None:
    """Send to whoever takes it, and wait until it says so."""
    dialog = sending(page)
    dialog.get_by_role("radio", name=what).check()
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog).to_contain_text("Other program has it")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def fetched(url: str) -> Table:
    """What a program reads, which has no cookie and no token."""
    answer = httpx.get(url, timeout=60)
    answer.raise_for_status()
    return Table.read(io.BytesIO(answer.content), format="votable")


def test_nothing_is_asked_of_a_hub_before_somebody_wants_it(look, page_server, taker):
    seen = look()  # any request elsewhere fails this test
    page = seen.open("/")
    select_found(page, "snr > 30")
    expect(page.get_by_role("grid", name="Found spectra")).to_be_visible()
    assert len(taker.others()) == 1  # the hub itself


def test_a_table_is_sent_and_its_rows_are_marked_both_ways(look, page_server, taker):
    page = looking(look).open("/")
    count = select_found(page, "snr > 30")
    sent(page, "The selection as a table")
    told = taker.wait(TABLE)
    table = fetched(told["url"])
    assert len(table) == count
    assert told["table-id"].startswith("spectrarium:")
    known = columns(page_server, "obs_id")
    names = dict(zip(known["row"].tolist(), known["obs_id"], strict=True))
    assert list(table["obs_id"]) == [names[row] for row in sorted(selected(page))]
    spectrum = httpx.get(str(table["access_url"][0]), timeout=60)
    assert len(Table.read(io.BytesIO(spectrum.content), format="votable"))

    rows = page.get_by_role("grid", name="Found spectra").locator("tbody tr")
    shown = [text.strip() for text in rows.locator("td.obs").all_inner_texts()]
    ids = [str(one) for one in table["obs_id"]]
    rows.nth(3).locator("td.obs").click(position={"x": 1, "y": 12})
    assert ids[int(taker.wait(ROW)["row"])] == shown[3]
    page.keyboard.press("j")
    assert ids[int(taker.wait(ROW, 2)["row"])] == shown[4]

    name = {"table_id": told["table-id"], "url": told["url"]}
    taker.tell(ROW, **name, row=str(ids.index(shown[7])))
    expect(page.locator("tr.current")).to_contain_text(shown[7])
    taker.tell(ROWS, **name, row_list=["0", "2", "5"])
    expect(chip(page)).to_contain_text("3 selected")
    expect(chip(page)).to_contain_text("chosen in Other program")
    assert {names[row] for row in selected(page)} == {ids[0], ids[2], ids[5]}
    page.wait_for_timeout(800)
    assert len(taker.of(ROW)) == 2  # what was heard is not said again
    assert taker.of(ROWS) == []
    page.get_by_role("button", name=re.compile("^Undo")).first.click()
    assert len(taker.wait(ROWS)["row-list"]) == count
    page.keyboard.press("Shift+Escape")
    assert taker.wait(ROWS, 2)["row-list"] == []


def test_a_row_marked_elsewhere_opens_where_an_object_is_open(look, page_server, taker):
    page = looking(look).open("/")
    select_found(page, "snr > 30")
    sent(page, "The selection as a table")
    told = taker.wait(TABLE)
    table = fetched(told["url"])
    page.keyboard.press("o")
    expect(page.get_by_role("region", name="Spectrum")).to_be_visible()
    taker.wait(ROW)
    taker.tell(ROW, table_id=told["table-id"], url="", row="1")
    expect(page.locator("header .id")).to_contain_text(str(table["obs_id"][1]))
    page.wait_for_timeout(500)
    assert len(taker.of(ROW)) == 1
    alone = next(r for r in table[2:] if (abs(table["s_dec"] - r["s_dec"]) < 0.01).sum() == 1)
    taker.tell(POINT, ra=str(float(alone["s_ra"])), dec=str(float(alone["s_dec"])))
    expect(page.get_by_text("Other program points at")).to_be_visible()
    expect(page.locator("header .id")).to_contain_text(str(alone["obs_id"]))
    page.get_by_role("button", name="Search there").click()
    expect(page.get_by_role("grid", name="Found spectra")).to_contain_text(str(alone["obs_id"]))


def test_a_spectrum_goes_to_spectral_tools_to_tables_and_as_a_place(look, page_server, taker):
    found = page_server.ask("/find", where="obs_collection = 'SDSS 2.5m SDSS'", limit=1)["rows"][0]
    page = looking(look).open(f"/object/{quote(found['id'], safe='')}")
    page.get_by_role("button", name="Send to …").click()
    dialog = page.get_by_role("dialog", name="Send to other programs")
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog).to_contain_text("Other program has it")
    told = taker.wait(SPECTRUM)
    assert told["meta"]["Access.Reference"] == told["url"]
    assert told["meta"]["Access.Format"] == "application/x-votable+xml"
    samples = fetched(told["url"])
    dialog.get_by_role("radio", name="Its samples as a table").check()
    dialog.get_by_role("button", name="Send", exact=True).click()
    plain = fetched(taker.wait(TABLE)["url"])
    assert np.array_equal(plain["flux"], samples["flux"])
    dialog.get_by_role("radio", name="Its position").check()
    dialog.get_by_role("button", name="Send", exact=True).click()
    place = taker.wait(POINT)
    assert float(place["ra"]) == pytest.approx(found["s_ra"])
    assert float(place["dec"]) == pytest.approx(found["s_dec"])
    taker.answer = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "No <room>"}}
    dialog.get_by_role("button", name="Send", exact=True).click()
    expect(dialog).to_contain_text("Other program refused it: No <room>")
    dialog.get_by_role("button", name="Disconnect").click()
    until(lambda: len(taker.others()) == 1)


def test_what_was_found_is_sent_without_selecting_it(look, page_server, taker):
    page = looking(look).open("/?q=snr > 40")
    expect(page.get_by_role("grid", name="Found spectra")).to_be_visible()
    sent(page, "What was found as a table")
    expected = page_server.ask("/find", where="snr > 40", limit=1)["count"]
    assert len(fetched(taker.wait(TABLE)["url"])) == expected


def test_no_hub_a_refusal_and_a_hub_that_goes_are_told(look, page_server, desktop):
    seen = looking(look)
    seen.expected += NOBODY
    page = seen.open("/")
    select_found(page, "snr > 30")
    dialog = sending(page)
    expect(dialog.get_by_role("alert")).to_contain_text("No SAMP hub answers on this computer.")
    expect(dialog.get_by_role("alert")).to_contain_text("Start TOPCAT, Aladin")
    expect(dialog.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    seen.accessible("no hub")
    consent = desktop(yes=False)
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog.get_by_role("alert")).to_contain_text("did not let this page in")
    assert consent.asked == [f"Spectrarium of {page_server.url}"]
    consent.yes = True
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog).to_contain_text("No program that is open takes this.")
    program = Program("Other program")
    expect(dialog.get_by_role("radio", name="Other program")).to_be_checked()  # it has just come
    program.close()
    expect(dialog).to_contain_text("No program that is open takes this.")
    page.keyboard.press("Escape")
    consent.hub.stop()
    expect(page.get_by_text("The SAMP hub has gone.")).to_be_visible()
    expect(sending(page).get_by_role("alert")).to_contain_text("No SAMP hub answers")


def test_the_archive_of_those_who_signed_in_is_read_by_link(look, own_server, taker):
    token = "a-token-of-the-tests-0123456789"
    server: Serving = own_server("--token", token)
    seen = looking(look, at=server)
    seen.expected.append("401")
    page = seen.open("/")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    count = select_found(page, "snr > 30")
    sent(page, "The selection as a table")
    url = taker.wait(TABLE)["url"]
    assert len(fetched(url)) == count
    for wrong in (url[:-20], re.sub(r"handed/[^/]+", "handed/" + "A" * 22, url)):
        assert httpx.get(wrong).status_code in (401, 404)
    assert httpx.get(f"{server.url}/api/archive").status_code == 401


@pytest.mark.parametrize("theme", THEMES)
def test_the_dialog_is_accessible_and_worked_by_keys(look, page_server, taker, theme):
    seen = looking(look, theme=theme)
    page = seen.open("/")
    select_found(page, "snr > 30")
    page.keyboard.press("Shift+P")
    dialog = page.get_by_role("dialog", name="Send to other programs")
    expect(dialog.get_by_role("radio", name="Other program")).to_be_checked()
    seen.accessible(f"send, {theme}")
    for _ in range(12):
        if page.evaluate("document.activeElement.textContent") == "Send":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("Other program has it")
    seen.accessible(f"sent, {theme}")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Selections").click()
    expect(page.get_by_role("menuitem", name="Send to other programs …")).to_be_visible()


def test_javas_hub_lets_the_page_in(look, page_server, free_port, tmp_path, monkeypatch):
    """JSAMP, which TOPCAT and Aladin have inside; it waits with its answers until there is one."""
    with javas_hub(tmp_path, monkeypatch, "-profiles", "std,web", "-web:auth", "true") as taker:
        page = looking(look).open("/")
        count = select_found(page, "snr > 30")
        sent(page, "The selection as a table")
        told = taker.wait(TABLE)
        assert len(fetched(told["url"])) == count
        assert "Spectrarium" in taker.others().values()
        taker.tell(ROWS, table_id=told["table-id"], url=told["url"], row_list=["1"])
        expect(chip(page)).to_contain_text("1 selected")
        page.goto("about:blank")
        until(lambda: "Spectrarium" not in taker.others().values())
