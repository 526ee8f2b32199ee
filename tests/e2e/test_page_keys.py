"""The keys of the page in a browser: listed, and working wherever the focus is but in text."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import pytest
from page_browser import THEMES, Serving
from page_steps import chip, select_found
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.xdist_group("page"),
]  # fmt: skip

PLACES = {"1": "/", "2": "/map", "3": "/object", "4": "/outliers", "5": "/compare", "6": "/jobs"}
LETTERS = dict(zip("smoucj", PLACES.values(), strict=True))
SIGNS = {"↑": "ArrowUp", "↓": "ArrowDown", "←": "ArrowLeft", "→": "ArrowRight", "Esc": "Escape",
         "Del": "Delete", "PgUp": "PageUp", "PgDn": "PageDown", "Ctrl": "Control"}  # fmt: skip
NOT_ALONE = ("Open a file", "Leave the text field", "Send to other programs")
"""Opens a dialog of the operating system; works in a text field only; asks a hub outside."""


def listed(page: Page) -> dict[str, list[str]]:
    """What `?` lists: for each act its keys, as Playwright names them."""
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    found = dialog.evaluate("""(box) => [...box.querySelectorAll('dl > div')].map((line) => [
        line.querySelector('dd').textContent,
        [...line.querySelectorAll('kbd')].map((key) => key.textContent)])""")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    return {about: [_named(one) for one in keys] for about, keys in found}


def _named(text: str) -> str:
    return " ".join(
        "+".join(SIGNS.get(part, part) for part in re.split(r"\+(?=.)", chord))
        for chord in text.split(" ")
    )


def press(page: Page, keys: str) -> None:
    for chord in keys.split(" "):
        page.keyboard.press(chord)


def screens(server: Serving) -> dict[str, str]:
    ident = server.ask("/find", where="class = 'QSO'", limit=1)["rows"][0]["id"]
    return {
        "/": "/?q=snr > 20",
        "/map": "/map",
        "/object": f"/object/{quote(ident, safe='')}",
        "/outliers": "/outliers",
        "/compare": "/compare?rows=1,2,3",
        "/jobs": "/jobs",
    }


def settled(page: Page) -> None:
    expect(page.locator("main > :not(h1, .middle)").first).to_be_visible()
    expect(page.locator("main").get_by_role("progressbar")).to_have_count(0)


@pytest.mark.parametrize("theme", THEMES)
def test_the_list_of_keys_is_accessible(look, theme):
    seen = look(theme)
    page = seen.open("/map")
    settled(page)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Lasso")
    seen.accessible(f"keys, {theme}")


def test_numbers_and_letters_go_to_every_screen_from_every_screen(look):
    page = look().open("/jobs")
    settled(page)
    for keys, place in [*PLACES.items(), *((f"g {one}", at) for one, at in LETTERS.items())]:
        press(page, keys)
        page.wait_for_url(lambda url, place=place: url.split("?")[0].endswith(place))
        expect(page.locator("nav [aria-current=page]")).to_have_attribute(
            "title", re.compile(str(list(PLACES.values()).index(place) + 1))
        )


def test_slash_goes_to_the_box_and_escape_leaves_it(look):
    page = look().open("/map")
    settled(page)
    page.keyboard.press("/")
    box = page.get_by_role("textbox", name="Name, position, id or filter")
    expect(box).to_be_focused()
    page.keyboard.type("2 m?/")
    expect(box).to_have_value("2 m?/")
    expect(page).not_to_have_url(re.compile("/map"))
    page.keyboard.press("Escape")
    expect(box).not_to_be_focused()
    page.keyboard.press("2")
    page.wait_for_url(re.compile("/map"))


@pytest.mark.parametrize("place", PLACES.values())
def test_every_listed_key_does_something_and_none_in_text(look, page_server, place):
    """Each key is pressed with the focus on the page and on a button; the page stays whole."""
    seen = look()
    seen.expected += ["400", "404"]  # keys that walk to objects which no model covers
    page = seen.open(screens(page_server)[place])
    settled(page)
    acts = listed(page)
    assert {"Search", "This list of keys", "Undo", "Redo", "Go to Map"} <= set(acts)
    assert len(acts) > 12, acts

    def back() -> None:
        page.goto(page_server.url + screens(page_server)[place])
        settled(page)

    used = [key for keys in acts.values() for key in keys]
    assert len(used) == len(set(used)), f"one key, two acts: {sorted(used)}"
    for about, keys in acts.items():
        if about.startswith(("Go to ", *NOT_ALONE)):
            continue
        for key in keys:
            page.evaluate("document.activeElement?.blur?.()")
            caught = _pressed(page, key)
            if not caught and _moved(page, place):  # the key before led away, but only now
                back()
                caught = _pressed(page, key)
            assert caught, f"{key} ({about}) is listed and does nothing"
            page.keyboard.press("Escape")
            if page.get_by_role("dialog").count() or _moved(page, place):
                back()
    assert page.locator("main").count() == 1


def _moved(page: Page, place: str) -> bool:
    """Whether another screen is shown, or is about to be."""
    page.wait_for_load_state("networkidle")
    return f"/{urlsplit(page.url).path.split('/')[1]}" != place


def _pressed(page: Page, keys: str) -> bool:
    """Press keys; whether the page took the last of them for itself."""
    page.evaluate("""() => {
      window.taken = false
      addEventListener('keydown', (event) => { window.taken = event.defaultPrevented })
    }""")
    press(page, keys)
    return bool(page.evaluate("window.taken"))


def test_text_fields_keep_their_letters(look, page_server):
    page = look().open("/map")
    settled(page)
    field = page.get_by_role("combobox", name="Column that colours the points")
    field.fill("")
    page.keyboard.type("abelpsvm12?/")
    expect(field).to_have_value("abelpsvm12?/")
    expect(page).not_to_have_url(re.compile("tool="))
    expect(page).not_to_have_url(re.compile("mode="))
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Panel").focus()
    page.keyboard.press("b")
    page.wait_for_url(re.compile("tool=box"))
    page.get_by_role("link", name="Outliers").focus()
    page.keyboard.press("l")
    page.wait_for_url(lambda url: "tool=" not in url)


def test_keys_under_an_open_dialog_are_out_of_reach(look):
    page = look().open("/map")
    settled(page)
    page.keyboard.press("Shift+O")
    dialog = page.get_by_role("dialog", name="Selections")
    dialog.get_by_role("button", name="Close").focus()
    page.keyboard.press("b")
    page.keyboard.press("2")
    page.keyboard.press("1")
    expect(dialog).to_be_visible()
    expect(page).to_have_url(re.compile("/map"))
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.wait_for_url(re.compile("tool=box"))


def test_the_theme_and_undo_have_keys(look):
    page = look().open("/")
    select_found(page, "snr > 30")
    page.keyboard.press("Control+z")
    expect(chip(page)).to_contain_text("Nothing selected")
    page.keyboard.press("Control+y")
    expect(chip(page)).to_contain_text("selected")
    page.keyboard.press("Shift+Escape")
    expect(chip(page)).to_contain_text("Nothing selected")
    root = page.locator("html")
    seen = set()
    for _ in range(3):
        page.keyboard.press("Shift+D")
        seen.add(root.get_attribute("data-theme"))
    assert seen == {"dark", "light"}


def test_the_page_is_walked_by_tab_alone(look):
    page = look().open("/")
    settled(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate("""() => {
          const it = document.activeElement
          const shown = it.matches(':focus-visible') && it.getBoundingClientRect().width > 0
          return shown ? it.getAttribute('aria-label') ?? it.textContent ?? it.id : null }""")
        )
    assert all(name is not None for name in names), names
