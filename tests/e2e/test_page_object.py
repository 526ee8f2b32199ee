"""One object in a browser, on real spectra: its spectrum, its kin, what is said of it, files."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from page_browser import THEMES, Serving
from page_steps import WIDE, chip, fits, looks_well, selected, tabs_to
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("page"),
]  # fmt: skip


def address(server: Serving, where: str, more: str = "") -> str:
    """Address of the first object that a filter finds."""
    found = server.ask("/find", where=where, limit=1)["rows"][0]
    return f"/object/{quote(found['id'], safe='')}{more}"


def is_open(page: Page):
    """The plot, once the spectrum is there, and what is known of it, which comes by itself."""
    expect(page.locator(".readout").first).to_contain_text(re.compile("sample|every"))
    expect(page.locator(".object > .waiting")).to_have_count(0)
    return page.get_by_role("region", name="Spectrum").get_by_role("application")


def window(page: Page) -> tuple[float, float]:
    """What the plot says it shows, Å."""
    words = is_open(page).get_attribute("aria-label") or ""
    lo, hi = re.findall(r"(\d+\.\d) (?:to|Å)", words)[-2:]
    return float(lo), float(hi)


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_accessible_and_fits_the_screen(look, page_server, theme):
    seen = look(theme)
    page = seen.open(address(page_server, "obs_collection = 'SDSS 2.5m SDSS' AND class = 'STAR'"))
    is_open(page)
    expect(page.get_by_role("tabpanel").get_by_role("listitem").first).to_be_visible()
    looks_well(seen, f"similar, {theme}")
    for name in ("Tags", "Scores", "Catalogue", "Provenance", "Files", "Notes"):
        panel = tabs_to(page, name)
        expect(panel.get_by_role("progressbar")).to_have_count(0)
        seen.accessible(f"{name}, {theme}")
    page.keyboard.press("v")
    expect(page.get_by_role("region", name=re.compile("^Values of"))).to_be_visible()
    looks_well(seen, f"values, {theme}")
    page.set_viewport_size(WIDE)
    fits(page)


def test_a_harps_spectrum_opens_and_zooms_to_every_sample(look, page_server):
    seen = look()
    seen.expected.append("400")  # no model covers it, and the page says so
    page = seen.open(address(page_server, "obs_collection = 'HARPS'"))
    expect(page.get_by_text("No model here covers this spectrum.")).to_be_visible()
    plot = is_open(page)
    expect(page.locator(".readout").first).to_contain_text("samples a column")
    lo, hi = window(page)
    for _ in range(3):
        page.keyboard.press("+")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(12):
        page.mouse.wheel(0, -240)
    page.mouse.move(box["x"] + 5, box["y"] - 30)
    expect(page.locator(".readout").first).to_contain_text("every sample shown")
    page.wait_for_url(re.compile("lo=.*hi="))
    now = window(page)
    assert lo < now[0] < now[1] < hi
    assert now[1] - now[0] < (hi - lo) / 20
    page.keyboard.press("v")
    values = page.get_by_role("region", name=re.compile("^Values of"))
    assert values.locator("tbody tr").count() > 20
    page.keyboard.press("v")
    page.keyboard.press("0")
    expect(page.locator(".readout").first).to_contain_text("samples a column")
    assert window(page) == (lo, hi)
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 110, steps=5)
    page.mouse.up()
    page.mouse.move(box["x"] + 5, box["y"] - 30)
    page.wait_for_url(re.compile("lo=.*hi="))
    assert window(page)[1] - window(page)[0] < (hi - lo) / 5


def test_lines_move_with_the_redshift(look, page_server):
    page = look().open(address(page_server, "class = 'GALAXY'"))
    plot = is_open(page)
    canvas = plot.locator("canvas").first

    def picture() -> str:
        return canvas.evaluate(
            "(c) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame("
            "() => done(c.toDataURL()))))"
        )

    page.mouse.move(2, 2)
    before = picture()
    page.get_by_role("slider", name="Redshift").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("z="))
    moved = picture()
    assert moved != before
    page.keyboard.press("z")
    page.keyboard.type("0.5")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("z=0.5"))
    expect(page.get_by_label("v", exact=True)).not_to_have_value("0")
    page.get_by_role("button", name="Catalogue", exact=True).click()
    page.wait_for_url(lambda url: "z=" not in url)
    expect(page.get_by_label("z", exact=True)).not_to_have_value("0.5")
    lines = page.get_by_role("group", name="Line list")
    lines.get_by_role("button", name="Sky").click()
    page.wait_for_url(re.compile("lines="))
    assert picture() != before


def test_units_scales_air_and_vacuum(look, page_server):
    page = look().open(address(page_server, "obs_collection = 'SDSS 2.5m SDSS'"))
    is_open(page)
    medium = page.get_by_label("Air or vacuum wavelengths")
    expect(medium).to_have_value("vacuum")
    lo, _ = window(page)
    medium.select_option("air")
    page.wait_for_url(re.compile("medium=air"))
    expect(is_open(page)).not_to_have_accessible_name(re.compile(f"{lo} to"))
    assert 0.5 < lo - window(page)[0] < 3
    page.get_by_label("Wavelength unit").select_option("nm")
    expect(is_open(page)).to_have_accessible_name(re.compile("nm"))
    page.get_by_label("Flux scale").select_option("log")
    page.get_by_label("Smooth").fill("3")
    page.wait_for_url(re.compile("smooth=3"))
    asked = parse_qs(urlsplit(page.url).query)
    assert {name: asked[name] for name in ("unit", "flux", "medium")} == {
        "unit": ["nm"], "flux": ["log"], "medium": ["air"],
    }  # fmt: skip
    address_now = page.url
    page.reload()
    is_open(page)
    expect(page).to_have_url(address_now)
    expect(page.get_by_label("Flux scale")).to_have_value("log")


def test_a_medium_that_is_not_known_is_not_converted(look, page_server):
    seen = look()
    seen.expected.append("400")  # no model covers it
    page = seen.open(address(page_server, "obs_collection = 'IRAF'"))
    is_open(page)
    choice = page.get_by_label("Air or vacuum wavelengths")
    expect(choice).to_be_disabled()
    expect(choice).to_have_value("unknown")
    page.keyboard.press("a")
    expect(page).not_to_have_url(re.compile("medium"))


def test_its_kin_are_shown_with_the_reason(look, page_server):
    seen = look()
    page = seen.open(address(page_server, "class = 'QSO'"))
    is_open(page)
    panel = page.get_by_role("tabpanel")
    kin = panel.locator("ol > li")
    expect(kin).to_have_count(12)
    ident = page.locator(".id").inner_text()
    told = page_server.ask(f"/object/{quote(ident, safe='')}/similar", k=12)
    expect(kin.first).to_contain_text(told["answers"][0]["target_name"])
    panel.get_by_role("button", name="Why").click()
    panel.get_by_role("button", name="Difference").click()
    expect(kin.first.get_by_role("img", name=re.compile("share of the distance"))).to_be_visible()
    expect(kin.first.get_by_role("img", name=re.compile("query minus answer"))).to_be_visible()
    expect(kin.first.locator(".because")).not_to_be_empty()
    seen.accessible("kin with difference and why")
    kin.first.get_by_role("button", name=re.compile("^Zoom to")).first.click()
    page.wait_for_url(re.compile("lo=.*hi="))
    panel.get_by_label("Alike in").select_option("window")
    page.wait_for_url(re.compile("window="))
    expect(panel.locator(".said")).to_contain_text("searched")
    panel.get_by_role("button", name=re.compile("^Select")).click()
    expect(chip(page)).to_contain_text("selected")
    assert len(selected(page)) == kin.count()
    kin.nth(1).get_by_role("link").click()
    expect(page.locator(".id")).not_to_have_text(ident)
    expect(page.get_by_text(re.compile(r"^3 of \d+"))).to_be_visible()


def test_tags_scores_and_provenance_say_what_the_server_does(look, page_server):
    page = look().open(address(page_server, "obs_collection = 'INT/IDS (MILES v9.1)'"))
    is_open(page)
    ident = quote(page.locator(".id").inner_text(), safe="")
    tag = page_server.ask(f"/object/{ident}/tags")["tags"][0]
    panel = tabs_to(page, "Tags")
    expect(panel).to_contain_text("teff")
    if tag["value"] is not None:
        expect(panel.get_by_role("img", name=re.compile("%: "))).to_be_visible()
    panel.get_by_text("Model and the neighbours behind it").first.click()
    expect(panel).to_contain_text(tag["model"])
    score = page_server.ask(f"/object/{ident}/scores")["scores"][0]
    panel = tabs_to(page, "Scores")
    expect(panel).to_contain_text(f"rank {score['rank']} of {score['of']}")
    panel.locator(".drivers button").first.click()
    page.wait_for_url(re.compile("lo=.*hi="))
    told = page_server.ask(f"/object/{ident}")
    panel = tabs_to(page, "Provenance")
    for key in ("file_hash", "reader"):
        expect(panel).to_contain_text(str(told["provenance"][key]))
    expect(panel).to_contain_text("pca")
    panel = tabs_to(page, "Catalogue")
    panel.get_by_role("searchbox").fill("teff")
    expect(panel.get_by_role("row").first).to_contain_text(re.compile("teff", re.I))
    panel = tabs_to(page, "Files")
    with page.expect_download() as coming:
        panel.get_by_role("link", name=re.compile(r"\.csv$")).click()
    assert coming.value.path().stat().st_size > 10_000


def test_it_is_marked_in_the_map_and_goes_into_the_selection(look, page_server):
    page = look().open(address(page_server, "class = 'QSO'"))
    is_open(page)
    page.keyboard.press("p")
    expect(chip(page)).to_contain_text("1 selected")
    page.get_by_role("link", name="Show on the map").click()
    page.wait_for_url(re.compile("/map"))
    expect(page.get_by_role("region", name="View 1:").locator(".body")).to_have_attribute(
        "data-drawn", re.compile("^[1-9]")
    )
    page.go_back()
    is_open(page)
    page.keyboard.press("p")
    expect(chip(page)).to_contain_text("Nothing selected")


def test_notes_are_kept_changed_and_undone(look, own_server):
    server = own_server()
    page = look(at=server).open(address(server, "class = 'QSO'", "?tab=notes"))
    is_open(page)
    panel = page.get_by_role("tabpanel")
    panel.get_by_label("New note").fill("Look again <img src=x onerror=alert(1)>")
    page.reload()
    expect(panel.get_by_label("New note")).to_have_value("Look again <img src=x onerror=alert(1)>")
    panel.get_by_label("New note").press("Control+Enter")
    note = panel.get_by_role("listitem")
    expect(note).to_contain_text("Look again <img src=x onerror=alert(1)>")
    expect(panel.locator("img")).to_have_count(0)
    note.get_by_role("button", name="Edit").click()
    note.get_by_role("textbox").fill("Looked at again")
    note.get_by_role("button", name="Save").click()
    expect(note).to_contain_text("Looked at again")
    page.get_by_role("tab", name=re.compile("Notes")).focus()
    page.keyboard.press("Control+z")
    expect(note).to_contain_text("Look again")
    page.keyboard.press("Control+z")
    expect(panel).to_contain_text("No notes yet")
    page.keyboard.press("Control+Shift+z")
    expect(note).to_contain_text("Look again")
    ident = quote(page.locator(".id").inner_text(), safe="")
    assert len(server.ask(f"/object/{ident}/notes")["notes"]) == 1


def test_what_is_not_there_is_said_in_words(look):
    seen = look()
    seen.expected.append("404")
    page = seen.open("/object/NOWHERE%3Anothing")
    alert = page.get_by_role("alert")
    expect(alert).to_be_visible()
    assert "Traceback" not in alert.inner_text()
    seen.accessible("unknown id")
    page.goto(seen.server.url + "/object/upload%3Anone%3A0")
    expect(page.get_by_text("open it again")).to_be_visible()
    page.goto(seen.server.url + "/object")
    expect(page.get_by_role("heading", name="No object is open")).to_be_visible()
    seen.accessible("no object")
