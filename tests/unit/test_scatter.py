"""The server's picture of two columns: always a picture, whatever the numbers and names are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import matplotlib.image
import numpy as np
import pytest

from spectrarium.domain.errors import UsageError
from spectrarium.plot.colour_maps import NAMES, colour_map
from spectrarium.plot.map import Colour
from spectrarium.plot.scatter import Axis, scatter_png

RNG = np.random.default_rng(3)
SIZE = {"width": 480, "height": 360}


def picture(x, y, colour=None, **more):
    """(height, width, 3) of the PNG."""
    png = scatter_png(Axis(np.asarray(x, float), "x"), Axis(np.asarray(y, float), "y"), colour,
                      **(SIZE | more))  # fmt: skip
    return matplotlib.image.imread(BytesIO(png))[..., :3]


def has(image, rgb, tolerance=0.06):
    """How many pixels have a colour."""
    return int((np.abs(image - np.array(rgb)).max(axis=-1) < tolerance).sum())


@pytest.mark.parametrize("n", [1, 50, 5000])
@pytest.mark.parametrize("dark", [False, True])
def test_any_number_of_points(n, dark):
    x, y = RNG.normal(size=(2, n))
    words = np.array(["A", None, "$\\frac{", "<b>"], object)[RNG.integers(0, 4, n)]
    for colour in (None, Colour("v", x), Colour("class", words), Colour("v", np.full(n, np.nan))):
        image = picture(x, y, colour, dark=dark)
        assert image.shape == (360, 480, 3)
        background = image[-1, 0]
        assert (background < 0.2).all() if dark else (background > 0.9).all()
        assert (np.abs(image - background).max(axis=-1) > 0.1).sum() > 50


@pytest.mark.parametrize(("x", "y"), [
    ([1, 1, 1], [2, 2, 2]), ([0, 0], [0, 1]), ([1e300, -1e300], [0, 1]), ([1e-300, 0], [1, 2]),
    ([1, np.nan, 3], [np.inf, 2, 3]), ([58000.0001, 58000.0002], [1, 2]),
])  # fmt: skip
def test_odd_numbers(x, y):
    picture(x, y, Colour("v", np.asarray(y, float)))
    picture(x, y, equal=True)


def test_no_points():
    for x, y in (([], []), ([np.nan], [1.0])):
        with pytest.raises(UsageError) as told:
            picture(x, y)
        assert told.value.code == "empty"


def test_a_rare_class_is_not_lost_in_a_crowd():
    x, y = RNG.normal(size=(2, 50_000))
    x[:40], y[:40] = 8 + 0.1 * RNG.normal(size=40), 8 + 0.1 * RNG.normal(size=40)
    words = np.array(["common"] * 50_000, object)
    words[:40] = "rare"
    image = picture(x, y, Colour("class", words))
    axes = image[:, :365]  # left of the legend
    orange = (axes[..., 0] - axes[..., 2] > 0.25) & (axes[..., 0] > 0.7)
    assert orange.sum() > 4


def test_a_crowd_shows_the_median_of_its_values():
    x, y = np.zeros((2, 20_000))
    x[:2], y[:2] = [-1, 1], [-1, 1]
    values = np.full(20_000, 10.0)
    values[::3] = 1e6  # a third of wild values
    values[1] = 0.0
    image = picture(x, y, Colour("v", values), cmap="viridis")
    assert image.shape == (360, 480, 3)


def test_axes_can_run_backwards():
    x, y = [0, 1], [0, 1]
    forth = picture(x, y)
    back = matplotlib.image.imread(
        BytesIO(
            scatter_png(
                Axis(np.array(x, float), "x", True), Axis(np.array(y, float), "y", True), **SIZE
            )
        )
    )[..., :3]
    assert not np.array_equal(forth, back)


def test_maps_have_even_lightness():
    for name in NAMES:
        rgb = colour_map(name)(np.linspace(0, 1, 64))[:, :3]
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        y = linear @ [0.2126, 0.7152, 0.0722]
        lightness = np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)
        parts = np.split(lightness, [32]) if name in ("vik", "berlin") else [lightness]
        for part in parts:
            steps = np.diff(part)
            assert (steps > -0.7).all() or (steps < 0.7).all(), name
        np.testing.assert_allclose(colour_map(name + "_r")(0.0), colour_map(name)(1.0))
    for bad in ("jet", "", "viridis_r_r", "../x"):
        with pytest.raises(UsageError):
            colour_map(bad)


def test_pictures_in_threads_are_those_of_one():
    x, y = RNG.normal(size=(2, 200))
    alone = [picture(x, y, dark=d) for d in (False, True)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda d: picture(x, y, dark=d), [False, True] * 4))
    for i, image in enumerate(got):
        np.testing.assert_array_equal(image, alone[i % 2])
