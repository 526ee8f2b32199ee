"""Steps and looks that the tests of the page share."""

from __future__ import annotations

import base64
import io
import json

import httpx
import numpy as np
import pyarrow as pa
from page_browser import Seen, Serving
from playwright.sync_api import Locator, Page, expect

WIDE = {"width": 2560, "height": 1440}


def fits(page: Page) -> None:
    """The page itself never scrolls; its panels do."""
    for way in ("Height", "Width"):
        assert page.evaluate(f"document.documentElement.scroll{way} <= inner{way}"), way


def looks_well(seen: Seen, where: str) -> None:
    """Accessible, and without scroll bars of the page; results that are being replaced are dim."""
    expect(seen.page.locator(".old, .stale")).to_have_count(0)
    fits(seen.page)
    seen.accessible(where)


def chip(page: Page) -> Locator:
    """What the top bar says of the selection."""
    return page.get_by_role("group", name="Selection", exact=True)


def selected(page: Page) -> set[int]:
    """Rows that this tab has selected, as it keeps them for a reload."""
    kept = page.evaluate("sessionStorage.getItem('spectrarium.selection')")
    return set() if kept is None else _unpacked(json.loads(kept)["rows"])


def _unpacked(text: str) -> set[int]:
    rows, last, step, shift = set(), 0, 0, 0
    for byte in base64.b64decode(text):
        step |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            last += step
            rows.add(last)
            step = shift = 0
    return rows


def table(server: Serving, path: str, **params: str) -> pa.Table:
    """An answer of the interface in Arrow."""
    answer = httpx.get(f"{server.url}/api{path}", params=params, timeout=120)
    answer.raise_for_status()
    return pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()


def columns(server: Serving, *names: str) -> dict[str, np.ndarray]:
    """Columns of all rows as the server sends them, with `row`; texts as objects."""
    found = table(server, "/columns", names=",".join(names))
    out = {}
    for name in ("row", *names):
        column = found.column(name).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        out[name] = column.to_numpy(zero_copy_only=False)
    return out


def rows_where(server: Serving, where: str) -> set[int]:
    """Rows that a filter finds."""
    return set(table(server, "/rows", where=where).column("row").to_pylist())


def ids_where(server: Serving, where: str = "", n: int = 500) -> list[str]:
    """Ids that a filter finds, n at most."""
    return [row["id"] for row in server.ask("/find", where=where, limit=n)["rows"]]


def select_found(page: Page, q: str) -> int:
    """Search, select everything found, and say how many that is."""
    page.get_by_role("textbox", name="Name, position, id or filter").fill(q)
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Conditions")).to_contain_text("Filter")
    page.get_by_role("button", name="Select all", exact=True).click()
    expect(chip(page)).to_contain_text(q)
    return len(selected(page))


def tabs_to(page: Page, name: str) -> Locator:
    """Open a tab of the object and give its panel."""
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel")
