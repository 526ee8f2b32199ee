"""The map in a browser, on real spectra: shapes, selection, colour, axes, keys, saving, sharing."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from astropy.io.votable import parse_single_table
from page_browser import THEMES
from page_shapes import PLAIN, changed, drawn, view_of
from page_steps import (
    WIDE,
    chip,
    fits,
    looks_well,
    rows_where,
    select_found,
    selected,
)
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("page"),
]  # fmt: skip

HERE = f"/map?n=2&v=1:{PLAIN},2:em_min~snr"
TRIANGLE = [(0.15, 0.1), (0.85, 0.3), (0.4, 0.9)]
_PICTURE = """(canvas) => new Promise((done) =>
  requestAnimationFrame(() => requestAnimationFrame(() => done(canvas.toDataURL()))))"""
NO_GL = """const real = HTMLCanvasElement.prototype.getContext
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === 'webgl2' ? null : real.call(this, kind, ...rest)
}"""


def panel(page: Page):
    return page.get_by_role("complementary", name="Colour and selection")


def dock(page: Page):
    return page.get_by_role("region", name="The selection as spectra and numbers")


def enough(inside: set[int], near: set[int]) -> None:
    """The comparison means something: many points inside, few on the border."""
    assert len(inside) > 40
    assert len(near) < len(inside) / 4


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_accessible_and_fits_the_screen(look, theme):
    seen = look(theme)
    page = seen.open("/map")
    for index in (1, 2, 3, 4):
        drawn(page, index)
    expect(dock(page).get_by_role("status")).to_contain_text("Median of")
    looks_well(seen, f"four views, {theme}")
    page.keyboard.press("e")
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    expect(page.get_by_role("dialog", name="What view 1 shows")).to_be_visible()
    seen.accessible(f"menu of a view, {theme}")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    expect(dock(page).get_by_role("img").first).to_be_visible()
    page.keyboard.press("e")
    expect(page.get_by_role("form", name="Select by values")).to_be_visible()
    looks_well(seen, f"histograms, {theme}")
    page.set_viewport_size(WIDE)
    fits(page)


def test_a_lasso_selects_what_it_encloses(look, page_server):
    page = look().open(HERE)
    view = view_of(page, page_server)
    inside, near = view.polygon(TRIANGLE)
    enough(inside, near)
    view.draw(TRIANGLE)
    expect(chip(page)).to_contain_text("selected")
    got = selected(page)
    assert got - near == inside - near
    expect(panel(page).get_by_role("heading", name=f"{len(got)} spectra selected")).to_be_visible()
    status = dock(page).get_by_role("status")
    expect(status).to_contain_text(re.compile(rf"Median of (all )?{len(got)} |of {len(got)} that"))
    plot = dock(page).get_by_role("application")
    expect(plot).to_have_accessible_name(re.compile(f"Median spectrum of {len(got)} selected"))


def test_shapes_add_subtract_and_intersect(look, page_server):
    page = look().open(HERE)
    view = view_of(page, page_server)
    first, near = view.box((0.1, 0.1), (0.7, 0.9))
    page.keyboard.press("b")
    view.draw([(0.1, 0.1), (0.7, 0.9)])
    want, unsure = first, set(near)
    enough(want, unsure)
    expect(chip(page)).to_contain_text("selected")
    assert selected(page) - unsure == want - unsure

    def joined(corners, held, key, merge):
        nonlocal want, unsure
        before = chip(page).inner_text()
        if key:
            page.keyboard.press(key)
        view.draw(corners, held)
        more, close = view.box(*corners)
        want, unsure = merge(want, more), unsure | close
        expect(chip(page)).not_to_have_text(before)
        assert selected(page) - unsure == want - unsure

    joined([(0.6, 0.2), (0.95, 0.8)], "Shift", "", set.union)
    joined([(0.05, 0.05), (0.4, 0.6)], "Alt", "", set.difference)
    joined([(0.2, 0.1), (0.9, 0.75)], "", "i", set.intersection)
    joined([(0.2, 0.1), (0.3, 0.95)], "", "a", set.union)
    joined([(0.5, 0.1), (0.6, 0.95)], "", "s", set.difference)


def test_a_brush_paints_over_points(look, page_server):
    page = look().open(HERE + "&tool=brush")
    view = view_of(page, page_server)
    stroke = [(0.1, 0.5), (0.5, 0.35), (0.9, 0.5)]
    page.keyboard.press("]")
    inside, near = view.stroke(stroke, radius=22)
    view.draw(stroke)
    expect(chip(page)).to_contain_text("selected")
    assert len(inside) > 20
    assert selected(page) - near == inside - near


def test_a_drag_never_sticks(look, page_server):
    page = look().open(HERE)
    view = view_of(page, page_server)
    page.mouse.move(-5, -5)
    over = view.area.locator("xpath=..").locator("canvas.over")
    bare = over.evaluate(_PICTURE)
    for end in (
        lambda: page.keyboard.press("Escape"),
        lambda: page.evaluate("dispatchEvent(new Event('blur'))"),
    ):
        view.begin(TRIANGLE)
        assert over.evaluate(_PICTURE) != bare
        end()
        page.mouse.move(*view.mouse((0.5, 0.5)), steps=4)
        page.mouse.up()
        page.mouse.move(-5, -5)
        expect(page.get_by_label("Spectrum pointed at")).to_have_count(0)
        assert over.evaluate(_PICTURE) == bare
        assert selected(page) == set()
    view.begin(TRIANGLE[:2])
    page.mouse.move(-400, 300, steps=5)  # out of the window, and let go there
    page.mouse.up()
    before = selected(page)
    page.mouse.move(*view.mouse((0.6, 0.6)), steps=4)
    page.mouse.move(*view.mouse((0.2, 0.8)), steps=4)
    assert selected(page) == before
    view.draw(TRIANGLE)
    inside, near = view.polygon(TRIANGLE)
    expect(chip(page)).to_contain_text("selected")
    assert selected(page) - near == inside - near
    view.begin(TRIANGLE)  # the screen is left in the middle of it
    page.keyboard.press("1")
    page.wait_for_url(lambda url: "/map" not in url)
    page.mouse.up()
    assert selected(page) - near == inside - near


def test_ranges_of_values_select_the_same_by_keys_alone(look, page_server):
    page = look().open(HERE)
    drawn(page)
    page.keyboard.press("e")
    form = page.get_by_role("form", name="Select by values")
    expect(form.get_by_label("s_ra from")).to_be_focused()
    page.keyboard.type("100.5")
    page.keyboard.press("Tab")
    page.keyboard.type("250")
    want = rows_where(page_server, "s_ra BETWEEN 100.5 AND 250")
    expect(form.get_by_role("status")).to_have_text(f"{len(want)} spectra")
    page.keyboard.press("Enter")
    expect(chip(page)).to_contain_text(f"{len(want)} selected")
    assert selected(page) == want
    page.keyboard.press("Escape")
    expect(form).to_be_hidden()
    page.keyboard.press("Control+z")
    expect(chip(page)).to_contain_text("Nothing selected")
    page.keyboard.press("Control+Shift+z")
    assert selected(page) == want


def test_colour_and_axes_are_chosen(look, page_server):
    page = look().open(HERE)
    area = drawn(page)
    canvas = area.locator("xpath=..").locator("canvas.points")
    before = canvas.screenshot()
    page.keyboard.press("c")
    page.keyboard.type("snr")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("colour=snr"))
    colours = panel(page).get_by_role("region", name="Colour")
    expect(colours.get_by_label("Colour map")).to_be_visible()
    by_snr = changed(canvas, before)
    colours.get_by_label("Colour map").select_option(label="Cividis")
    colours.get_by_role("button", name="log").click()
    page.wait_for_url(re.compile("cmap=cividis"))
    changed(canvas, by_snr)
    colours.get_by_role("combobox", name="Column that colours the points").click()
    page.keyboard.type("class")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("colour=class|map\\?(?!.*colour)"))
    colours.get_by_role("button", name=re.compile("^STAR")).click()
    stars = page_server.ask("/find", where="class = 'STAR'")["count"]
    total = page_server.ask("/archive")["count"]
    expect(page.get_by_text(re.compile(f"^{total - stars} of {total} spectra"))).to_be_attached()
    page.keyboard.press("x")
    menu = page.get_by_role("dialog", name="What view 1 shows")
    menu.get_by_role("combobox", name="Column of the x axis").fill("miles.teff")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name=re.compile("View 1: .*teff", re.I))).to_be_visible()
    expect(page).to_have_url(re.compile(r"miles\.teff"))
    page.reload()
    drawn(page)
    expect(page.get_by_text(re.compile(f"^{total - stars} of {total} spectra"))).to_be_attached()


def test_first_views_are_the_archives_own(look, page_server):
    page = look().open("/map")
    for index in (1, 2, 3, 4):
        drawn(page, index)
    first = page_server.ask("/archive")["maps"][0]
    view = page.get_by_role("region", name="View 1:")
    expect(view).to_contain_text(f"{first['count']} of ")
    area = view.get_by_role("application")
    area.focus()
    canvas = view.locator("canvas.points")
    before = canvas.screenshot()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    changed(canvas, before)
    page.keyboard.press("f")
    drawn(page)
    page.mouse.move(2, 2)
    page.keyboard.press("w")
    expect(page.get_by_role("region", name=re.compile("^View \\d:"))).to_have_count(1)


def test_a_question_narrows_what_a_shape_can_take(look, page_server):
    page = look().open(HERE + "&where=snr > 20")
    want = rows_where(page_server, "snr > 20")
    expect(page.get_by_text(re.compile(f"^{len(want)} spectra"))).to_be_visible()
    view = view_of(page, page_server)
    view.draw(TRIANGLE)
    expect(chip(page)).to_contain_text("selected")
    assert selected(page) <= want
    page.get_by_role("button", name="Show all spectra again").click()
    page.wait_for_url(lambda url: "where" not in url)


def test_pointing_shows_the_spectrum(look, page_server):
    page = look().open(HERE)
    view = view_of(page, page_server)
    alone = _alone(view.at)
    box = view.area.bounding_box()
    assert box is not None
    x, y = view.at[alone]
    page.mouse.move(box["x"] + x, box["y"] + y)
    card = page.get_by_label("Spectrum pointed at")
    spark = page_server.ask("/sparklines", rows=str(view.row[alone]), width=20)["items"][0]
    expect(card).to_contain_text(spark["id"].split(":", 1)[1])
    expect(card.get_by_role("img")).to_be_visible()
    page.mouse.click(box["x"] + x, box["y"] + y)
    card.get_by_role("button", name="Select").click()
    assert selected(page) == {int(view.row[alone])}
    page.keyboard.press("Control+z")
    card.get_by_role("link", name="Open").click()
    expect(page.locator(".id")).to_have_text(spark["id"])
    page.go_back()
    drawn(page)


def _alone(at) -> int:
    """The point in the middle that is farthest from its neighbours."""
    away = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1))
    np.fill_diagonal(away, np.inf)
    lonely = away.min(axis=0)
    low, high = at.min(axis=0), at.max(axis=0)
    part = (at - low) / (high - low)
    lonely[((part < 0.1) | (part > 0.9)).any(axis=1)] = 0
    return int(lonely.argmax())


def test_the_list_does_by_keys_what_a_pointer_does(look, page_server):
    page = look().open(HERE)
    drawn(page)
    page.keyboard.press("t")
    box = panel(page).get_by_role("listbox", name=re.compile("spectra$"))
    expect(box).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    expect(chip(page)).to_contain_text("1 selected")
    expect(box.get_by_role("option")).to_have_count(1)
    (row,) = selected(page)
    (spark,) = page_server.ask("/sparklines", rows=str(row), width=20)["items"]
    expect(box.get_by_role("option")).to_contain_text(spark["id"].split(":", 1)[1])
    page.keyboard.press("Enter")
    expect(page.locator(".id")).to_have_text(spark["id"])


def test_one_selection_is_seen_on_every_screen_and_outlives_a_reload(look, page_server):
    page = look().open("/")
    n = select_found(page, "snr > 30")
    page.keyboard.press("2")
    drawn(page)
    expect(panel(page).get_by_role("heading", name=f"{n} spectra selected")).to_be_visible()
    page.keyboard.press("5")
    members = page.get_by_role("complementary", name="Members")
    expect(members.get_by_role("heading")).to_have_text(f"{min(n, 60)} spectra")
    page.reload()
    expect(chip(page)).to_contain_text(f"{n} selected")
    page.keyboard.press("1")
    picked = page.locator("tr[aria-selected=true]")
    expect(picked.first).to_be_visible()
    page.keyboard.press("Shift+Escape")
    expect(picked).to_have_count(0)


def test_a_selection_is_saved_shared_and_exported(look, own_server):
    server = own_server()
    seen = look(at=server)
    page = seen.open(HERE)
    view = view_of(page, server)
    view.draw(TRIANGLE)
    expect(chip(page)).to_contain_text("selected")
    rows = selected(page)
    panel(page).get_by_role("button", name="Save").click()
    dialog = page.get_by_role("dialog", name="Save the selection")
    dialog.get_by_role("textbox", name="Name").fill("My triangle")
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    (kept,) = server.ask("/selections")["selections"]
    assert kept["count"] == len(rows)
    page.wait_for_url(re.compile(f"sel={kept['sid']}"))

    page.keyboard.press("Shift+O")
    page.get_by_role("button", name="More for My triangle").click()
    page.get_by_role("button", name="Share a link").click()
    link = page.get_by_role("textbox", name="Link to My triangle").input_value()
    page.keyboard.press("Escape")
    other = look(at=server)
    other.page.goto(link)
    expect(chip(other.page)).to_contain_text(f"{len(rows)} selected")
    assert selected(other.page) == rows

    panel(page).get_by_role("button", name="Download").click()
    with page.expect_download() as coming:
        page.get_by_role("menuitem", name="VOTable").click()
    table = parse_single_table(io.BytesIO(coming.value.path().read_bytes())).to_table()
    want = {
        r["obs_id"] for r in server.ask("/find", limit=500, sort="s_ra")["rows"] if r["row"] in rows
    }
    got = {str(one) for one in table["obs_id"]}
    assert len(table) == len(rows)
    assert want <= got
    page.keyboard.press("Shift+E")
    page.get_by_role("radio", name=re.compile("Identifiers")).check()
    with page.expect_download() as coming:
        page.get_by_role("button", name="Export", exact=True).click()
    ids = coming.value.path().read_text("utf-8").split("\n")
    assert len({one for one in ids if one.strip()}) == len(rows)
    assert {one.split(":", 1)[1] for one in ids if one.strip()} == got


@pytest.mark.parametrize("theme", THEMES)
def test_without_webgl2_the_server_draws(look, page_server, theme):
    seen = look(theme)
    seen.page.add_init_script(NO_GL)
    page = seen.open(HERE)
    expect(page.get_by_text("This browser gives no WebGL2")).to_be_visible()
    picture = page.get_by_role("img", name=re.compile("drawn by the server")).first
    expect(page.get_by_text("The server is drawing")).to_have_count(0)
    assert picture.evaluate("(image) => image.naturalWidth") > 300
    looks_well(seen, f"pictures, {theme}")
    page.keyboard.press("e")
    page.keyboard.type("100.5")
    page.keyboard.press("Enter")
    want = rows_where(page_server, "s_ra >= 100.5")
    expect(chip(page)).to_contain_text(f"{len(want)} selected")
    assert selected(page) == want
