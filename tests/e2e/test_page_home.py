"""Search in a browser, on real spectra: the one box, facets, the sky, the table."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from page_browser import THEMES
from page_steps import WIDE, chip, fits, looks_well, rows_where, select_found, selected
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("page"),
]  # fmt: skip


def box(page: Page):
    return page.get_by_role("textbox", name="Name, position, id or filter")


def answer(page: Page):
    return page.get_by_role("region", name="Answer")


def lines(page: Page):
    found = page.get_by_role("grid", name="Found spectra").locator("tbody tr")
    expect(found.first).to_be_visible()
    return found


def has_found(page: Page, n: int) -> None:
    expect(answer(page).get_by_text(re.compile(rf"^{n} spectr(um|a)\b"))).to_be_visible()


def asks(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_accessible_and_fits_the_screen(look, theme):
    seen = look(theme)
    page = seen.open("/")
    lines(page)
    expect(page.get_by_role("img", name=re.compile("^Spectrum of ")).first).to_be_visible()
    looks_well(seen, f"all, {theme}")
    page.keyboard.press("c")
    expect(page.get_by_role("dialog", name="Columns for filters")).to_be_visible()
    seen.accessible(f"columns, {theme}")
    page.keyboard.press("Escape")
    box(page).fill("snr > 20")
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Conditions")).to_contain_text("snr > 20")
    looks_well(seen, f"found, {theme}")
    page.set_viewport_size(WIDE)
    fits(page)


def test_the_one_box_takes_ids_names_positions_and_filters(look, page_server):
    page = look().open("/")
    lines(page)
    rows = page_server.ask("/find", where="s_ra IS NOT NULL AND target_name IS NOT NULL", limit=50)
    one = rows["rows"][0]
    questions = {
        one["id"]: "Id",
        one["obs_id"]: "Id",
        one["target_name"]: "Name",
        f"{one['s_ra']} {one['s_dec']} r=30": "Position",
        "snr > 20 AND class = 'STAR'": "Filter",
    }
    for q, kind in questions.items():
        told = page_server.ask("/find", q=q, limit=60)
        assert told["count"] > 0, q
        box(page).fill(q)
        page.keyboard.press("Enter")
        expect(page.get_by_role("group", name="Conditions")).to_contain_text(kind)
        has_found(page, told["count"])
        assert asks(page)["q"] == q
        shown = lines(page)
        assert shown.count() == len(told["rows"])
        expect(shown.first).to_contain_text(told["rows"][0]["obs_id"])
    page.go_back()
    expect(box(page)).to_have_value(list(questions)[-2])
    page.reload()
    expect(box(page)).to_have_value(list(questions)[-2])
    expect(page.get_by_role("group", name="Conditions")).to_contain_text("Position")


def test_what_is_not_found_or_not_understood_is_said(look):
    seen = look()
    seen.expected.append("400")
    page = seen.open("/")
    lines(page)
    box(page).fill("no such thing as this")
    page.keyboard.press("Enter")
    expect(page.get_by_text("There is nothing of this name.")).to_be_visible()
    page.get_by_role("button", name="Clear all conditions").click()
    lines(page)
    box(page).fill("snr > 20 AND")  # half of a filter is no mistake while it is typed
    expect(answer(page).locator(".count .dim").first).not_to_be_empty()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    assert "Traceback" not in alert.inner_text()


def test_facets_narrow_down_with_mouse_and_keys(look, page_server):
    page = look().open("/")
    lines(page)
    kind = page.get_by_role("button", name=re.compile(r"^✓?\s*STAR \d")).first
    kind.click()
    has_found(page, page_server.ask("/find", where="class = 'STAR'")["count"])
    expect(kind).to_have_attribute("aria-pressed", "true")
    low = page.get_by_role("slider", name=re.compile(r"^S.N.*lower end"))
    low.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("group", name="Conditions")).to_contain_text("S/N")
    expect(low).to_have_attribute("aria-valuenow", "4")
    address = page.url
    text = answer(page).locator(".count").inner_text()
    page.reload()
    expect(page).to_have_url(address)
    expect(answer(page).locator(".count")).to_have_text(text)
    page.get_by_role("button", name=re.compile("^Remove .*S.N")).click()
    has_found(page, page_server.ask("/find", where="class = 'STAR'")["count"])
    page.keyboard.press("Shift+C")
    expect(page.get_by_text("holds")).to_be_visible()


def test_the_sky_strip_gives_a_cone(look, page_server):
    page = look().open("/")
    lines(page)
    sky = page.get_by_role("region", name="Sky")
    sky.get_by_role("button", name="List").click()
    sky.get_by_role("listitem").first.get_by_role("button").click()
    expect(page.get_by_role("group", name="Conditions")).to_contain_text("Sky")
    cone = asks(page)["cone"]
    has_found(page, page_server.ask("/find", cone=cone)["count"])
    sky.get_by_role("button", name="Whole sky").click()
    sky.get_by_role("button", name="Sky", exact=True).click()
    at = sky.get_by_role("img").bounding_box()
    assert at is not None
    page.mouse.move(at["x"] + at["width"] * 0.5, at["y"] + at["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(at["x"] + at["width"] * 0.6, at["y"] + at["height"] * 0.4, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("cone="))
    drawn = asks(page)["cone"]
    assert float(drawn.split(",")[2]) > 15
    has_found(page, page_server.ask("/find", cone=drawn)["count"])


def test_the_table_sorts_pages_and_opens(look, page_server):
    page = look().open("/")
    lines(page)
    page.get_by_role("columnheader", name="S/N").get_by_role("button").click()
    page.wait_for_url(re.compile("sort=-snr"))
    best = page_server.ask("/find", sort=asks(page)["sort"], limit=120)["rows"]
    expect(lines(page).first).to_contain_text(best[0]["obs_id"])
    page.keyboard.press("]")
    expect(lines(page).first).to_contain_text(best[60]["obs_id"])
    page.keyboard.press("[")
    expect(lines(page).first).to_contain_text(best[0]["obs_id"])
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("2 of 60")).to_be_visible()
    page.keyboard.press("]")
    expect(page.get_by_text("3 of 60")).to_be_visible()
    expect(page.locator(".id")).to_have_text(best[2]["id"])


def test_rows_are_picked_one_by_one_in_ranges_and_all(look, page_server):
    page = look().open("/?sort=snr")
    found = page_server.ask("/find", sort="snr", limit=10)["rows"]
    lines(page).nth(1).get_by_role("checkbox").check()
    lines(page).nth(4).get_by_role("checkbox").click(modifiers=["Shift"])
    assert selected(page) == {row["row"] for row in found[1:5]}
    page.keyboard.press("j")
    page.keyboard.press("x")
    assert len(selected(page)) in (3, 5)
    page.keyboard.press("Control+z")
    assert selected(page) == {row["row"] for row in found[1:5]}
    n = select_found(page, "snr > 25")
    assert selected(page) == rows_where(page_server, "snr > 25")
    expect(chip(page)).to_contain_text(f"{n} selected")
    page.get_by_role("button", name="Open as map").click()
    page.wait_for_url(re.compile("/map"))
    expect(chip(page)).to_contain_text(f"{n} selected")
    page.go_back()
    page.get_by_role("button", name="Save selection").click()
    expect(page.get_by_role("dialog", name="Save the selection")).to_contain_text("snr > 25")


def test_a_column_is_put_into_the_box(look):
    page = look().open("/")
    lines(page)
    page.get_by_role("button", name="Columns").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("searchbox").fill("signal")
    dialog.get_by_role("button", name="snr", exact=True).click()
    expect(box(page)).to_be_focused()
    expect(box(page)).to_have_value("snr ")
