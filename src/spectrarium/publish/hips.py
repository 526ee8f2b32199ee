"""A density map of an archive as HiPS: tiles in FITS and PNG, and the files that go with them.

Every file is made from the counts when it is asked for, and is the same each time.
Source: IVOA HiPS 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from importlib.metadata import version
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..plot.colour_maps import colour_map
from .fits_bytes import image_bytes
from .hips_tiles import PREVIEW_ORDER, TILE, Density, pixel_area_deg2
from .moc import moc_bytes, space_moc, wavebands
from .png import png_bytes

COLOURS = "batlow"
_PALEST = 0.5
"""Where in the colours one observation is: darker ones would not be seen on the sky."""
_TILE_NAME = re.compile(r"Norder(\d{1,2})/Dir(\d{1,9})/Npix(\d{1,9})\.(fits|png)")
_ALLSKY_NAME = re.compile(rf"Norder{PREVIEW_ORDER}/Allsky\.(fits|png)")
MEDIA = {"fits": "application/fits", "png": "image/png", "html": "text/html; charset=utf-8",
         "": "text/plain; charset=utf-8"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HipsAbout:
    """What the properties say of the map.

    ivoid : of the map · title : of the archive · creator : who made it · url : where it is served,
    if anywhere · released : UTC · public : whether anybody may have it
    days : first and last, MJD · waves_m : shortest and longest; None where unknown
    """

    ivoid: str
    title: str
    released: datetime
    creator: str = ""
    url: str = ""
    public: bool = True
    days: tuple[float, float] | None = None
    waves_m: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Hips:
    """The files of a density map by their paths."""

    density: Density
    about: HipsAbout

    def file(self, path: str) -> tuple[bytes, str]:
        """The bytes of a file and their media type. Raises UsageError (no_tile)."""
        if path in ("", "index.html"):
            return self._page().encode(), MEDIA["html"]
        if path == "properties":
            return self._properties().encode(), MEDIA[""]
        if path == "Moc.fits":
            return self._moc, MEDIA["fits"]
        if (found := _TILE_NAME.fullmatch(path)) is not None:
            order, folder, index = map(int, found.groups()[:3])
            if order <= self.density.tile_order and folder == index // 10_000 * 10_000:
                counts = self.density.tile(order, index)
                if counts is not None:
                    return self._picture(counts, order, found[4])
        elif (found := _ALLSKY_NAME.fullmatch(path)) is not None:
            return self._picture(self.density.preview(), PREVIEW_ORDER, found[1])
        raise UsageError(f"there is no {path[:100]!r} in this map", code="no_tile",
                         remedy="Moc.fits says where it has tiles")  # fmt: skip

    def paths(self) -> Iterator[str]:
        """The paths of all files."""
        yield from ("index.html", "properties", "Moc.fits")
        yield from (f"Norder{PREVIEW_ORDER}/Allsky.{kind}" for kind in ("fits", "png"))
        for order in range(self.density.tile_order + 1):
            for index in self.density.tiles(order).tolist():
                stem = f"Norder{order}/Dir{index // 10_000 * 10_000}/Npix{index}"
                yield from (f"{stem}.fits", f"{stem}.png")

    def __len__(self) -> int:
        """Number of files."""
        orders = range(self.density.tile_order + 1)
        return 5 + 2 * sum(len(self.density.tiles(order)) for order in orders)

    # tiles ------------------------------------------------------------------------------------

    def _picture(self, counts: NDArray[np.int64], order: int, kind: str) -> tuple[bytes, str]:
        if kind == "fits":
            values = np.where(counts > 0, counts / pixel_area_deg2(order), np.nan)
            header = fits.Header([("BUNIT", "deg-2", "observations per square degree")])
            return image_bytes(header, values.astype(np.float32)), MEDIA["fits"]
        most = max(self.density.fullest[order], 1)
        shade = np.log(np.maximum(counts, 1)) / np.log(most) if most > 1 else np.ones(counts.shape)
        at = np.round(255 * (_PALEST + (1 - _PALEST) * shade)).astype(np.int64)
        pixels = _palette()[at]
        pixels[counts == 0] = 0
        return png_bytes(pixels[::-1]), MEDIA["png"]

    @cached_property
    def _moc(self) -> bytes:
        """Where there is something: the cells that hold observations."""
        cells = self.density.cells << 2 * (29 - self.density.order)
        return moc_bytes(space_moc(cells, min(self.density.order, self._moc_order)), "fits")

    @property
    def _moc_order(self) -> int:
        return self.density.order if len(self.density.cells) < 200_000 else self.density.tile_order

    # texts ------------------------------------------------------------------------------------

    @cached_property
    def _facts(self) -> list[tuple[str, str]]:
        """Keywords and values; one that has several is there as often."""
        about, density = self.about, self.density
        status = "public master clonableOnce" if about.public else "private master unclonable"
        released = about.released.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")
        ra, dec, size = _middle(density)
        peak = density.fullest[-1] / pixel_area_deg2(density.tile_order)
        facts: dict[str, Any] = {
            "creator_did": about.ivoid, "obs_title": f"{about.title}: density of spectra",
            "obs_description": f"Observations per square degree of {density.total} spectra with "
            "a position; blank where there is none. Colours of the PNG tiles go with the "
            "logarithm of the number in a pixel, from one to the fullest pixel of their order.",
            "prov_progenitor": f"Positions of the spectra in {about.title}",
            "hips_creator": about.creator, "hips_builder": f"Spectrarium {version('spectrarium')}",
            "hips_version": "1.4", "hips_creation_date": released, "hips_release_date": released,
            "hips_frame": "equatorial", "hips_order": density.tile_order, "hips_order_min": 0,
            "hips_tile_width": TILE, "hips_tile_format": "png fits", "hips_status": status,
            "hips_service_url": about.url, "hips_pixel_bitpix": -32,
            "hips_pixel_cut": f"0 {peak:.6g}", "hips_data_range": f"0 {peak:.6g}",
            "hips_pixel_scale": f"{pixel_area_deg2(density.tile_order) ** 0.5:.6g}",
            "hips_initial_ra": f"{ra:.5f}", "hips_initial_dec": f"{dec:+.5f}",
            "hips_initial_fov": f"{size:.5g}", "dataproduct_type": "image",
            "moc_sky_fraction": f"{len(density.cells) / (12 * 4**density.order):.6g}",
        }  # fmt: skip
        for names, pair in ((("t_min", "t_max"), about.days), (("em_min", "em_max"),
                                                               about.waves_m)):  # fmt: skip
            facts |= zip(names, (f"{v:.10g}" for v in pair or ()), strict=False)
        if about.waves_m:
            facts["obs_regime"] = wavebands(*about.waves_m)
        several = [(k, v if isinstance(v, list) else [v]) for k, v in facts.items()]
        return [(k, " ".join(str(v).split())) for k, vs in several for v in vs if v != ""]

    def _properties(self) -> str:
        return "".join(f"{k:<20} = {v}\n" for k, v in self._facts)

    def _page(self) -> str:
        title = escape(dict(self._facts)["obs_title"])
        rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>\n"
                       for k, v in self._facts)  # fmt: skip
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"</head>\n<body><h1>{title}</h1>\n<p>A HiPS: open this address in Aladin. "
            '<a href="properties">properties</a> <a href="Moc.fits">Moc.fits</a></p>\n'
            f'<img src="Norder{PREVIEW_ORDER}/Allsky.png" width="576" alt="All tiles of order '
            f'{PREVIEW_ORDER}">\n<table>\n{rows}</table></body></html>\n'
        )


def _palette() -> NDArray[np.uint8]:
    """(256, 4) red, green, blue and opacity."""
    colours: NDArray[np.float64] = colour_map(COLOURS)(np.arange(256))
    return np.round(255 * colours).astype(np.uint8)


def _middle(density: Density) -> tuple[float, float, float]:
    """(RA, Dec, width) in deg of a view that shows most of what there is."""
    if not len(density.cells):
        return 0.0, 0.0, 180.0
    import cdshealpix

    lon, lat = cdshealpix.healpix_to_lonlat(density.cells.astype(np.uint64), density.order)
    x = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    mean = np.average(np.asarray(x), axis=0, weights=density.counts)
    length = float(np.linalg.norm(mean))
    if length < 0.3:  # all over the sky
        return 0.0, 0.0, 180.0
    away = np.degrees(np.arccos(np.clip(np.asarray(x) @ (mean / length), -1, 1)))
    size = float(np.clip(2.2 * np.percentile(away, 95), 0.5, 180.0))
    ra = float(np.degrees(np.arctan2(mean[1], mean[0])) % 360)
    return ra, float(np.degrees(np.arcsin(mean[2] / length))), size
