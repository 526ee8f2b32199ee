"""The jobs screen and what a file of one's own gives, in a browser on real spectra."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from page_browser import THEMES
from playwright.sync_api import Page, expect

pytestmark = [
    pytest.mark.data, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("page"),
]  # fmt: skip


def start_selection(page: Page, name: str, where: str) -> None:
    """Fills the form of a selection and starts it."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Filter", exact=True).fill(where)
    page.get_by_role("button", name="Start", exact=True).click()


def select(page: Page, name: str, where: str) -> None:
    """The same, and what it found is selected."""
    start_selection(page, name, where)
    page.get_by_role("button", name="Open as selection").click()
    expect(page.get_by_role("group", name="Selection")).to_contain_text(re.compile(r"\d selected"))


@pytest.mark.parametrize("theme", THEMES)
def test_it_is_accessible(look, own_server, theme):
    seen = look(theme, at=own_server())
    page = seen.open("/jobs")
    expect(page.get_by_text("No work was started yet")).to_be_visible()
    seen.accessible(f"empty, {theme}")
    start_selection(page, "bright", "snr > 40")
    expect(page.get_by_role("button", name="Open as selection")).to_be_visible()
    seen.accessible(f"a job, {theme}")
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_a_job_runs_and_its_result_is_opened(look, own_server):
    server = own_server()
    page = look(at=server).open("/jobs")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
    start_selection(page, "bright", "snr > 40")
    expect(page.get_by_role("option", name=re.compile("bright.*Done"))).to_be_visible()
    expect(page).to_have_url(re.compile("job="))
    page.get_by_role("button", name="Open as selection").click()
    (kept,) = server.ask("/selections")["selections"]
    wanted = server.ask("/find", where="snr > 40", limit=1)["count"]
    assert kept["count"] == wanted > 0
    expect(page.get_by_role("group", name="Selection")).to_contain_text(f"{wanted} selected")
    page.reload()
    expect(page.get_by_role("heading", name="Selection bright")).to_be_visible()


def test_a_refused_filter_is_told_in_words_and_starts_nothing(look, own_server):
    server = own_server()
    seen = look(at=server)
    seen.expected.append("40")
    page = seen.open("/jobs")
    start_selection(page, "no", "snr >> 4")
    expect(page.get_by_role("alert")).to_be_visible()
    assert server.ask("/jobs")["jobs"] == []


def test_a_running_job_shows_its_log_and_is_cancelled(look, own_server):
    page = look(at=own_server(copy=True)).open("/jobs")
    page.get_by_role("button", name="Outlier score").click()
    page.get_by_label("Score", exact=True).select_option("total")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name="Score total")).to_be_visible()
    page.keyboard.press("x")
    ended = re.compile("Score total.*(Cancelled|Done)")
    expect(page.get_by_role("option", name=ended)).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No work was started yet")).to_be_visible()


def test_a_score_is_computed_and_its_outliers_opened(look, own_server):
    page = look(at=own_server(copy=True)).open("/jobs")
    page.get_by_role("button", name="Outlier score").click()
    page.get_by_label("Score", exact=True).select_option("density")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("link", name="Open the outliers").click()
    expect(page.get_by_role("combobox", name="Score")).to_have_value("density")
    expect(page.get_by_role("option", name=re.compile("^Rank 1 "))).to_be_visible()


def test_work_that_writes_is_for_the_operator(look, own_server):
    server = own_server("--token", "a-token-of-enough-length")
    seen = look(at=server)
    seen.expected.append("401")
    page = seen.open("/jobs")
    expect(page.get_by_label("Token")).to_be_visible()
    page.get_by_label("Token").fill("a-token-of-enough-length")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Start work")).to_be_visible()
    page.get_by_role("button", name="Outlier score").click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_enabled()


@pytest.mark.parametrize("way", ["chosen", "dropped"])
def test_a_file_of_ones_own_is_looked_at(look, data_dir, way):
    seen = look()
    seen.expected.append("400 (Bad Request)")  # what the panel then says in words
    page = seen.open("/")
    example = next((data_dir / "sdss_boss_pool" / "raw_examples").glob("*.fits.gz"))
    if way == "chosen":
        page.get_by_label("File of spectra").set_input_files(example)
    else:
        drop(page, example)
    expect(page).to_have_url(re.compile("/object/upload"))
    panel = page.get_by_role("tabpanel")
    expect(panel).to_contain_text("No model here covers this spectrum")
    panel.get_by_text("Why not, model by model").click()
    expect(panel).to_contain_text("model needs unknown")


def drop(page: Page, path: Path) -> None:
    """Let go of a file over the page."""
    held = page.evaluate_handle(
        """([name, text]) => { const held = new DataTransfer()
          held.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name))
          return held }""",
        [path.name, base64.b64encode(path.read_bytes()).decode()],
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event("main", event, {"dataTransfer": held})


def test_a_file_that_says_no_unit_is_asked_for_one(look, data_dir):
    seen = look()
    page = seen.open("/")
    example = next((data_dir / "fors2_rxj0054" / "raw_examples").glob("*"))
    page.get_by_label("File of spectra").set_input_files(example)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("no_wave_unit")
    seen.accessible("a file with a problem")
    dialog.get_by_label("Unit of the wavelengths").fill("Angstrom")
    dialog.get_by_role("button", name="Read again").click()
    expect(page).to_have_url(re.compile("/object/upload"))


def test_hostile_and_empty_files_are_refused_in_words(look, tmp_path):
    page = look().open("/")
    dialog = page.get_by_role("dialog")
    page.get_by_label("File of spectra").set_input_files(
        {"name": "<img src=x onerror=alert(1)>.fits", "mimeType": "", "buffer": b"<html>no</html>"}
    )
    expect(dialog.get_by_role("alert")).to_be_visible()
    expect(dialog.get_by_role("heading")).to_have_text("<img src=x onerror=alert(1)>.fits")
    page.keyboard.press("Escape")
    page.get_by_label("File of spectra").set_input_files(
        {"name": "empty.csv", "mimeType": "", "buffer": b""}
    )
    expect(dialog).to_contain_text("The file is empty")


@pytest.mark.parametrize("theme", THEMES)
def test_dialogs_of_the_selection_are_accessible_and_do_what_they_say(look, own_server, theme):
    server = own_server()
    seen = look(theme, at=server)
    page = seen.open("/jobs")
    select(page, "bright", "snr > 40")
    dialog = page.get_by_role("dialog")
    for key, title in (("S", "Save"), ("O", "Selections"), ("E", "Export"), ("W", "Workspaces")):
        page.keyboard.press(f"Shift+{key}")
        expect(dialog.get_by_role("heading", name=title)).to_be_visible()
        if key == "O":
            dialog.get_by_role("button", name="More for bright").click()
        seen.accessible(f"{title}, {theme}")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()


def test_a_selection_is_deleted_brought_back_and_exported(look, own_server):
    server = own_server()
    page = look(at=server).open("/jobs")
    select(page, "bright", "snr > 40")
    page.keyboard.press("Shift+O")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="More for bright").click()
    dialog.get_by_role("button", name="Delete").click()
    expect(dialog).to_contain_text("Nothing is saved yet")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")
    expect(page.get_by_text(re.compile("Undone: Delete bright"))).to_be_visible()
    (kept,) = server.ask("/selections")["selections"]
    page.keyboard.press("Shift+E")
    dialog.get_by_label(re.compile("^Identifiers")).check()
    with page.expect_download() as waiting:
        dialog.get_by_role("button", name="Export", exact=True).click()
    lines = waiting.value.path().read_text("utf-8").strip().splitlines()
    assert len([line for line in lines if ":" in line and line[0] != "#"]) == kept["count"]


def test_a_workspace_is_kept_and_gone_back_to(look, own_server):
    server = own_server()
    page = look(at=server).open("/jobs")
    select(page, "bright", "snr > 40")
    page.keyboard.press("Shift+W")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name of the workspace").fill("my desk")
    dialog.get_by_role("button", name="Keep", exact=True).click()
    expect(dialog.get_by_role("listitem").filter(has_text="my desk")).to_be_visible()
    other = look(at=server).open("/")
    other.get_by_role("button", name="Selections").click()
    other.get_by_role("menuitem", name=re.compile("Workspaces")).click()
    line = other.get_by_role("dialog").get_by_role("listitem").filter(has_text="my desk")
    line.get_by_role("button", name="Go there").click()
    expect(other).to_have_url(re.compile("/jobs"))
    expect(other.get_by_role("group", name="Selection")).to_contain_text("bright")
