"""Shapes drawn in a view of the map, and what they enclose, told apart from the page's own code."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from page_browser import SLOW_MS, Serving
from page_steps import columns
from playwright.sync_api import Locator, Page, expect

X, Y = "s_ra", "s_dec"
PLAIN = f"{X}~{Y}~!lx~!ly~!rx~!ry~!k"
"""A view whose axes are linear, not reversed and not locked."""
NEAR_PX = 2.0
"""So close to a border a point may fall on either side."""
_PAD = 0.06


@dataclass
class View:
    """One view on screen: where its points are, in pixels of its area."""

    page: Page
    area: Locator
    row: np.ndarray
    at: np.ndarray

    def mouse(self, part: tuple[float, float]) -> tuple[float, float]:
        """A place in the window, from parts of the area's width and height."""
        box = self.area.bounding_box()
        assert box is not None
        return box["x"] + part[0] * box["width"], box["y"] + part[1] * box["height"]

    def pixels(self, parts: list[tuple[float, float]]) -> np.ndarray:
        """The same within the area."""
        box = self.area.bounding_box()
        assert box is not None
        return np.array(parts) * [box["width"], box["height"]]

    def begin(self, parts: list[tuple[float, float]]) -> None:
        """Press the button and draw; the button stays down."""
        self.page.mouse.move(*self.mouse(parts[0]))
        self.page.mouse.down()
        for part in parts[1:]:
            self.page.mouse.move(*self.mouse(part), steps=8)

    def draw(self, parts: list[tuple[float, float]], held: str = "") -> None:
        """Draw a shape; held: a key that is down meanwhile."""
        if held:
            self.page.keyboard.down(held)
        self.begin(parts)
        self.page.mouse.up()
        if held:
            self.page.keyboard.up(held)

    def polygon(self, parts: list[tuple[float, float]]) -> tuple[set[int], set[int]]:
        """Rows inside a polygon, and rows too near to its border to tell."""
        corners = self.pixels(parts)
        return self._rows(_inside(self.at, corners)), self._near(corners, closed=True)

    def box(self, a: tuple[float, float], b: tuple[float, float]) -> tuple[set[int], set[int]]:
        """The same for a box of two corners."""
        return self.polygon([a, (b[0], a[1]), b, (a[0], b[1])])

    def stroke(self, parts: list[tuple[float, float]], radius: float) -> tuple[set[int], set[int]]:
        """The same for a brush of a radius in pixels."""
        away = _distance(self.at, self.pixels(parts), closed=False)
        return self._rows(away <= radius), self._rows(np.abs(away - radius) < NEAR_PX)

    def _near(self, corners: np.ndarray, closed: bool) -> set[int]:
        return self._rows(_distance(self.at, corners, closed) < NEAR_PX)

    def _rows(self, mask: np.ndarray) -> set[int]:
        return set(self.row[mask].tolist())


def drawn(page: Page, index: int = 1) -> Locator:
    """The area of a view, once its points are on the canvas."""
    view = page.get_by_role("region", name=f"View {index}:")
    expect(view.locator(".body")).to_have_attribute("data-drawn", re.compile(r"^[1-9]\d*$"))
    return view.get_by_role("application")


def changed(canvas: Locator, before: bytes) -> bytes:
    """The picture, once it is another one."""
    for _ in range(SLOW_MS // 100):
        now = canvas.screenshot()
        if now != before:
            return now
        canvas.page.wait_for_timeout(100)
    raise AssertionError("the picture stays as it was")


def view_of(page: Page, server: Serving, index: int = 1) -> View:
    """A view of `PLAIN`, with the places of the server's own columns."""
    area = drawn(page, index)
    found = columns(server, X, Y)
    box = area.bounding_box()
    assert box is not None
    u, v = (_unit(found[name].astype(float)) for name in (X, Y))
    at = np.stack([
        box["width"] * (0.5 + (u - 0.5) * (1 - 2 * _PAD)),
        box["height"] * (0.5 - (v - 0.5) * (1 - 2 * _PAD)),
    ], axis=1)  # fmt: skip
    there = np.isfinite(at).all(axis=1)
    return View(page, area, found["row"][there], at[there])


def _unit(values: np.ndarray) -> np.ndarray:
    """Values as parts of what the axis shows at first: all, or without a few wild ones."""
    good = values[np.isfinite(values)]
    some = np.sort(good[:20_000])
    lo = some[int(np.floor(0.01 * (len(some) - 1)))]
    hi = some[int(np.ceil(0.99 * (len(some) - 1)))]
    start, end = good.min(), good.max()
    if hi > lo and end - start > 2.5 * (hi - lo):
        start, end = max(start, lo - 0.3 * (hi - lo)), min(end, hi + 0.3 * (hi - lo))
    return (values - start) / (end - start)


def _inside(at: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Ray casting; the shapes of the tests do not cross themselves."""
    x, y = at.T
    inside = np.zeros(len(at), bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside


def _distance(at: np.ndarray, corners: np.ndarray, closed: bool) -> np.ndarray:
    """Pixels from each point to the nearest part of a line."""
    ends = np.roll(corners, -1, axis=0) if closed else corners[1:]
    away = np.full(len(at), np.inf)
    for a, b in zip(corners[: len(ends)], ends, strict=True):
        along = b - a
        part = np.clip((at - a) @ along / max(along @ along, 1e-9), 0, 1)
        away = np.minimum(away, np.hypot(*(at - a - part[:, None] * along).T))
    return away
