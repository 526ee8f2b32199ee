"""Compare in a browser, on real spectra: overlay, offset, median and ratio, trailed."""

from __future__ import annotations

import re

import pytest
from page_browser import THEMES
from page_steps import WIDE, chip, fits, looks_well, rows_where, select_found
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("page"),
]  # fmt: skip

SERIES = "obs_collection = 'asu.cas.cz/stel/ccd700'"


def members(page: Page):
    return page.get_by_role("complementary", name="Members")


def compared(look, server, where=SERIES, theme="dark", more=""):
    """The comparison of what a filter finds, by rows in the address."""
    rows = sorted(rows_where(server, where))[:60]
    seen = look(theme)
    version = server.ask("/archive")["version"]
    page = seen.open(f"/compare?rows={','.join(map(str, rows))}&v={version}{more}")
    expect(members(page).get_by_role("heading")).to_have_text(f"{len(rows)} spectra")
    return seen, len(rows)


@pytest.mark.parametrize("theme", THEMES)
def test_every_kind_of_picture_is_accessible_and_fits(look, page_server, theme):
    seen, n = compared(look, page_server, theme=theme)
    page = seen.page
    kinds = page.get_by_role("group", name="Kind of picture")
    for word in ("Overlay", "Offset", "Median & ratio", "Trailed"):
        kinds.get_by_role("button", name=word).click()
        plot = page.get_by_role("application", name=re.compile(f"^{word} of {n} spectra"))
        expect(plot).to_be_visible()
        expect(page.locator(".busy")).to_have_count(0)
        looks_well(seen, f"{word}, {theme}")
        canvas = plot.locator("canvas").first
        assert canvas.evaluate(_COLOURS) > 2000, word
    page.keyboard.press("v")
    expect(page.get_by_role("region", name="Values of the comparison")).to_be_visible()
    looks_well(seen, f"values, {theme}")
    page.set_viewport_size(WIDE)
    fits(page)
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(seen.server.url + "/compare")
    expect(page.get_by_role("heading", name="Nothing to compare yet")).to_be_visible()
    seen.accessible(f"nothing, {theme}")


# How many pixels of the canvas have something on them.
_COLOURS = """(canvas) => {
  const pen = canvas.getContext('2d')
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height)
  let n = 0
  for (let i = 3; i < data.length; i += 4) if (data[i]) n++
  return n
}"""


def test_members_are_pointed_at_left_out_and_opened(look, page_server):
    seen, n = compared(look, page_server)
    page = seen.page
    plot = page.get_by_role("application")
    canvas = plot.locator("canvas").first
    page.keyboard.press("j")
    hot = members(page).locator("tr.hot")
    expect(hot).to_have_count(1)
    name = hot.get_by_role("link").inner_text()
    expect(page.locator(".readout")).to_contain_text(name)
    before = canvas.evaluate("(c) => c.toDataURL()")
    page.keyboard.press("x")
    expect(members(page).locator("tr.off")).to_have_count(1)
    expect(hot.get_by_role("checkbox")).not_to_be_checked()
    assert canvas.evaluate(_AFTER) != before
    members(page).get_by_role("button", name="Show all").click()
    expect(members(page).locator("tr.off")).to_have_count(0)
    page.keyboard.press("Home")
    page.mouse.move(2, 2)
    page.keyboard.press("j")
    where = hot.get_by_role("link").get_attribute("title")
    page.keyboard.press("Enter")
    expect(page.locator(".id")).to_have_text(str(where))
    seen.expected.append("400")  # its models may not cover what is opened
    expect(page.get_by_text(re.compile(rf"^\d+ of {n}$"))).to_be_visible()


_AFTER = """(canvas) => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(() => done(canvas.toDataURL()))))"""


def test_settings_are_in_the_address(look, page_server):
    seen, _ = compared(look, page_server)
    page = seen.page
    page.keyboard.press("n")
    page.wait_for_url(re.compile("norm=none"))
    page.keyboard.press("+")
    page.wait_for_url(re.compile("lo=.*hi="))
    expect(page.locator(".busy")).to_have_count(0)
    page.get_by_label("Order").select_option("phase")
    expect(page.get_by_role("heading", name="A phase needs a period")).to_be_visible()
    page.get_by_label("Period").fill("3.5")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("period=3.5"))
    expect(members(page)).to_contain_text("phase")
    page.get_by_role("button", name="Trailed").click()
    page.get_by_role("combobox", name=re.compile("^Show")).select_option("ratio")
    page.wait_for_url(re.compile("show=ratio"))
    address = page.url
    page.reload()
    expect(members(page)).to_contain_text("phase")
    expect(page.get_by_role("combobox", name=re.compile("^Show"))).to_have_value("ratio")
    expect(page).to_have_url(address)
    page.keyboard.press("0")
    page.wait_for_url(lambda url: "lo=" not in url)


def test_any_selection_is_compared_and_saved_as_numbers(look, page_server):
    seen = look()
    seen.expected.append("400")  # at rest they cannot be put: their files tell no velocity frame
    page = seen.open("/")
    n = select_found(page, "class = 'QSO'")
    page.keyboard.press("g")
    page.keyboard.press("c")
    expect(members(page).get_by_role("heading")).to_have_text(f"{min(60, n)} spectra")
    if n > 60:
        expect(page.get_by_text(f"60 of {n}, chosen by chance.")).to_be_visible()
        first = members(page).get_by_role("link").first.inner_text()
        page.get_by_role("button", name="Choose others").click()
        expect(members(page).get_by_role("link").first).not_to_have_text(first)
    page.keyboard.press("r")
    page.wait_for_url(re.compile("frame=rest"))
    expect(page.get_by_role("alert")).to_contain_text("velocity frame unknown")
    page.get_by_role("button", name="Try again").click()
    page.keyboard.press("r")
    with page.expect_download() as coming:
        page.get_by_role("button", name="CSV").click()
    lines = coming.value.path().read_text("utf-8").strip().split("\n")
    assert len(lines) > 500
    assert lines[-1].count(",") >= min(60, n)
    with page.expect_download() as coming:
        page.get_by_role("button", name="PNG").click()
    assert coming.value.path().read_bytes()[:4] == b"\x89PNG"


def test_rows_of_another_version_are_not_shown_as_if_they_were_of_this(look, page_server):
    seen = look()
    page = seen.open("/compare?rows=1,2,3&v=999")
    expect(page.get_by_role("alert")).to_contain_text("version 999")
    expect(chip(page)).to_contain_text("Nothing selected")
