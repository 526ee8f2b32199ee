"""The outliers screen in a browser, on real spectra: looked at, judged, ranked again, kept."""

from __future__ import annotations

import re

import pytest
from page_browser import SIZES, THEMES
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("page"),
]  # fmt: skip


def cells(page: Page):
    found = page.get_by_role("listbox", name=re.compile("Outliers")).get_by_role("option")
    expect(found.first).to_be_visible()
    return found


def current(page: Page):
    return page.locator("[role=option][aria-selected=true]")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_it_is_accessible_and_fits_the_screen(look, theme, size):
    seen = look(theme, size)
    page = seen.open("/outliers")
    assert cells(page).count() == 60
    seen.accessible(f"grid, {theme}")
    page.keyboard.press("Space")
    expect(page.get_by_role("dialog")).to_be_visible()
    seen.accessible(f"large, {theme}")
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    expect(page.get_by_role("table")).to_be_visible()
    seen.accessible(f"list, {theme}")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_words_say_what_the_picture_shows(look, page_server):
    page = look().open("/outliers")
    first = page_server.ask("/outliers", k=1)["answers"][0]
    words = cells(page).first
    expect(words).to_have_accessible_name(re.compile("^Rank 1 "))
    expect(words).to_have_accessible_name(re.compile(f"σ {first['kind']} "))
    expect(words).to_contain_text(first["reasons"][0]["text"])
    panel = page.get_by_role("complementary", name="The present outlier")
    expect(panel).to_contain_text(first["reasons"][0]["text"])
    expect(panel.get_by_role("img", name=re.compile("what was expected"))).to_be_visible()
    page.keyboard.press("v")
    expect(page.get_by_role("row").nth(1)).to_contain_text(first["reasons"][0]["text"])


def test_arrows_move_and_stay_inside(look):
    page = look().open("/outliers")
    cells(page)
    ranks = []
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown", "ArrowUp", "Home", "End", "ArrowRight"):
        page.keyboard.press(key)
        ranks.append(int(current(page).locator(".rank").inner_text()))
    assert ranks[:2] == [1, 2]
    assert ranks[2] > 3
    assert ranks[3] == 2
    assert ranks[4] == 1
    assert ranks[5] >= 60
    assert current(page).evaluate("(cell) => cell === document.activeElement")
    page.keyboard.press("Home")
    page.get_by_role("textbox", name="Filter").fill("snr")
    page.keyboard.press("ArrowRight")
    expect(current(page).locator(".rank")).to_have_text("1")


def test_judgements_are_shown_at_once_kept_and_undone(look, own_server):
    server = own_server()
    seen = look(at=server)
    page = seen.open("/outliers")
    cells(page)
    page.keyboard.press("a")
    expect(current(page)).to_contain_text("Artefact")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("i")
    expect(current(page)).to_contain_text("Interesting")
    page.keyboard.press("k")
    expect(current(page)).to_contain_text("Known")
    expect(page.get_by_text("Saving …")).to_have_count(0)
    page.keyboard.press("u")
    expect(current(page)).to_contain_text("Interesting")
    kept = {j["verdict"] for j in server.ask("/judgements", score="combined")["judgements"]}
    assert kept == {"artefact", "interesting"}
    page.reload()
    cells(page)
    expect(page.get_by_text("1 interesting")).to_be_visible()
    expect(page.get_by_text("1 artefact")).to_be_visible()


def test_judgements_rank_the_list_again(look, own_server):
    page = look(at=own_server()).open("/outliers")
    cells(page)
    name = cells(page).first.locator(".name").inner_text()
    page.keyboard.press("a")
    page.get_by_role("button", name=re.compile("Rank again")).click()
    expect(page.get_by_text(re.compile("Ranked again by 1 judgement"))).to_be_visible()
    expect(cells(page).first.locator(".name")).not_to_have_text(name)
    page.get_by_label("Re-rank by my judgements").uncheck()
    expect(cells(page).first.locator(".name")).to_have_text(name)


def test_whoever_opens_one_walks_along_the_list(look):
    page = look().open("/outliers")
    cells(page)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/object/"))
    first = page.url
    expect(page.get_by_text(re.compile(r"^1 of \d+$"))).to_be_visible()
    page.keyboard.press("]")
    expect(page.get_by_text(re.compile(r"^2 of \d+$"))).to_be_visible()
    assert page.url != first


def test_judging_in_the_large_view_goes_on_to_the_next(look, own_server):
    page = look(at=own_server()).open("/outliers")
    cells(page)
    page.keyboard.press("Space")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("What it looks like")
    page.keyboard.press("i")
    expect(dialog.get_by_role("button", name=re.compile("Interesting"))).to_have_attribute(
        "aria-pressed", "true"
    )
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("heading", level=2)).to_contain_text("2. ")
    page.keyboard.press("Space")
    expect(dialog).to_be_hidden()
    expect(current(page).locator(".rank")).to_have_text("2")


def test_filters_bins_and_kinds_are_in_the_address(look):
    seen = look()
    seen.expected.append("400")  # the filter that is no filter, below
    page = seen.open("/outliers?where=snr > 20&bins=obs_collection&kind=astrophysical")
    cells(page)
    expect(page.get_by_role("textbox", name="Filter")).to_have_value("snr > 20")
    expect(page.get_by_label("Within bins of")).to_have_value("obs_collection")
    # one that somebody judged shows that in the place of its kind
    expect(cells(page).filter(has_not_text=re.compile("astrophysical|judged"))).to_have_count(0)
    page.get_by_role("button", name="All", exact=True).click()
    expect(page).not_to_have_url(re.compile("kind="))
    page.get_by_role("textbox", name="Filter").fill("snr >> 3")
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    assert "Traceback" not in alert.inner_text()
    page.go_back()
    cells(page)


def test_a_score_that_takes_long_is_offered_as_a_job(look):
    page = look().open("/outliers")
    cells(page)
    page.get_by_role("combobox", name="Score").select_option("total")
    expect(page.get_by_text("has not computed it yet")).to_be_visible()
    expect(page.get_by_role("button", name="Compute it")).to_be_enabled()
    page.go_back()
    cells(page)


def test_a_malformed_filter_is_no_error_of_the_page(look):
    seen = look()
    seen.expected.append("400")
    page = seen.open("/outliers?where=nonsense(")
    expect(page.get_by_role("alert")).to_be_visible()


def test_what_was_judged_becomes_a_selection_that_is_saved_and_shared(look, own_server):
    server = own_server()
    seen = look(at=server)
    page = seen.open("/outliers")
    cells(page)
    for _ in range(3):
        page.keyboard.press("i")
        page.keyboard.press("ArrowRight")
    expect(page.get_by_text("3 interesting")).to_be_visible()
    page.get_by_role("button", name="Select", exact=True).click()
    page.get_by_role("menuitem", name="Judged interesting (3)").click()
    expect(page.get_by_role("group", name="Selection")).to_contain_text("3 selected")
    page.keyboard.press("Shift+S")
    page.get_by_role("textbox", name="Name").fill("Odd ones <b>here</b>")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("group", name="Selection")).to_contain_text("Odd ones <b>here</b>")
    (kept,) = server.ask("/selections")["selections"]
    assert kept["count"] == 3
    other = look(at=server).open(f"/outliers?sel={kept['sid']}")
    expect(other.get_by_role("group", name="Selection")).to_contain_text("3 selected")
    expect(other.locator("b")).to_have_count(0)


def test_two_tabs_that_change_one_selection_are_asked_which_holds(look, own_server):
    server = own_server()
    first = look(at=server)
    page = first.open("/outliers")
    first.expected.append("409")
    cells(page)
    page.keyboard.press("s")
    page.keyboard.press("Shift+S")
    page.get_by_role("textbox", name="Name").fill("mine")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    page.keyboard.press("Shift+S")
    page.get_by_role("textbox", name="Name").fill("mine")
    expect(page.get_by_text("You have a selection of this name")).to_be_visible()

    second = look(at=server, tab_of=first)
    other = second.open("/jobs")
    other.keyboard.press("Shift+O")
    other.get_by_role("button", name="More for mine").click()
    other.get_by_role("button", name="Rename").click()
    other.get_by_role("textbox", name="About").fill("changed in the other tab")
    other.get_by_role("button", name="Keep").click()
    expect(other.get_by_text("changed in the other tab")).to_be_visible()

    page.get_by_role("button", name="Replace").click()
    expect(page.get_by_text("was changed elsewhere")).to_be_visible()
    page.get_by_role("button", name="Keep both together").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    (kept,) = server.ask("/selections")["selections"]
    assert kept["count"] == 2
    assert kept["about"] == "changed in the other tab"


def test_a_judgement_waits_for_a_server_that_is_away(look, own_server):
    server = own_server()
    seen = look(at=server)
    seen.expected += ["ERR_CONNECTION_REFUSED", "ERR_EMPTY_RESPONSE"]
    page = seen.open("/outliers")
    cells(page)
    server.stop()
    page.keyboard.press("i")
    expect(current(page)).to_contain_text("Interesting")
    expect(page.get_by_text("1 change waiting for the server")).to_be_visible()
    server.start()
    expect(page.get_by_text("waiting for the server")).to_have_count(0)
    (kept,) = server.ask("/judgements", score="combined")["judgements"]
    assert kept["verdict"] == "interesting"
