"""The density map: tiles as Aladin makes them, files that pass its check, nothing hidden."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from mocpy import MOC
from required import need
from serve_client import TOKEN, Site
from vo_site import AUTHORITY, Vo, vo

from spectrarium.cli.main import main
from spectrarium.publish.hips import Hips, HipsAbout
from spectrarium.publish.hips_tiles import TILE, Density, pixel_area_deg2
from spectrarium.store.sky import healpix29

__all__ = ["vo"]
JARS = ("/usr/share/java/aladin.jar", "/usr/share/aladin/Aladin.jar")


def hipsgen(*words: str | Path) -> str:
    """Run the HiPS generator of Aladin; what it prints."""
    jar = next((j for j in JARS if Path(j).is_file()), None)
    need("aladin", jar is not None and shutil.which("java") is not None,
         "aladin is not installed")  # fmt: skip
    env = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    done = subprocess.run(
        ["java", "-Xmx512m", "-Djava.awt.headless=true", "-jar", str(jar), "-hipsgen",
         *map(str, words)], capture_output=True, text=True, timeout=280, env=env,
    )  # fmt: skip
    return done.stdout + done.stderr


def lint(folder: Path) -> None:
    """No error and no warning of Aladin's check against HiPS 1.0."""
    said = hipsgen(f"out={folder}", "LINT")
    assert "is fully IVOA HiPS 1.0 compatible" in said, said
    assert "*WARN*" not in said, said
    assert "ERROR" not in said, said


def sky(n: int, spread_deg: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return healpix29(150 + rng.normal(0, spread_deg, n), 2 + rng.normal(0, spread_deg / 2, n))


def a_map(cells: np.ndarray) -> Hips:
    about = HipsAbout("ivo://org.example.test/hips/density", "Test",
                      datetime(2026, 1, 1, tzinfo=UTC), "Who", "", True, (58000.0, 58010.5),
                      (3.6e-7, 9.8e-7))  # fmt: skip
    return Hips(Density.of(cells), about)


def image(content: bytes) -> np.ndarray:
    with fits.open(io.BytesIO(content)) as hdus:
        hdus.verify("exception")
        return np.array(hdus[0].data, np.float64)


def pixels(content: bytes) -> np.ndarray:
    from matplotlib.image import imread

    return np.round(255 * imread(io.BytesIO(content))).astype(int)


# the map --------------------------------------------------------------------------------------


def test_every_order_counts_every_spectrum():
    cells = sky(5000, 3.0)
    density = Density.of(np.concatenate([cells, [-1, -1]]))
    assert density.total == 5000
    for order in range(density.tile_order + 1):
        tiles = [density.tile(order, i) for i in density.tiles(order).tolist()]
        assert sum(int(t.sum()) for t in tiles) == 5000
        assert max(int(t.max()) for t in tiles) == density.fullest[order]
    assert int(density.preview().sum()) == 5000
    assert density.tile(3, 0) is None


@pytest.mark.parametrize(("n", "spread", "order"), [
    (1, 1.0, 3), (200, 90.0, 3), (3000, 0.01, 9), (20_000, 1.0, 5),
])  # fmt: skip
def test_the_grid_is_as_fine_as_the_content(n, spread, order):
    """Scattered spectra get the coarsest orders, a crowded field fine ones."""
    density = Density.of(sky(n, spread))
    assert abs(density.tile_order - order) <= 1
    assert Density.of(np.full(500, int(sky(1, 1)[0]))).tile_order == 3  # one star, 500 times


def test_a_tile_says_density_and_colour():
    hips = a_map(sky(2000, 2.0))
    order = hips.density.tile_order
    index = int(hips.density.tiles(order)[0])
    name = f"Norder{order}/Dir{index // 10_000 * 10_000}/Npix{index}"
    values = image(hips.file(f"{name}.fits")[0])
    counts = hips.density.tile(order, index)
    assert values.shape == (TILE, TILE)
    assert np.isnan(values[counts == 0]).all()
    expected = counts[counts > 0] / pixel_area_deg2(order)
    np.testing.assert_allclose(values[counts > 0], expected, rtol=1e-6)
    colours = pixels(hips.file(f"{name}.png")[0])[::-1]
    assert (colours[..., 3] == np.where(counts > 0, 255, 0)).all()
    brightness = colours[..., :3].sum(-1)
    assert brightness[counts == counts.max()].min() >= brightness[counts == 1].max()


def test_the_same_bytes_every_time():
    cells = sky(300, 2.0)
    one, two = a_map(cells), a_map(cells[::-1])
    assert [one.file(p) for p in one.paths()] == [two.file(p) for p in two.paths()]
    assert len(list(one.paths())) == len(one)


def test_its_coverage_is_that_of_the_spectra(tmp_path):
    cells = sky(300, 2.0)
    hips = a_map(cells)
    (tmp_path / "Moc.fits").write_bytes(hips.file("Moc.fits")[0])
    moc = MOC.load(tmp_path / "Moc.fits", "fits")
    ranges = moc.to_depth29_ranges.astype(np.int64)
    assert all(((ranges[:, 0] <= c) & (c < ranges[:, 1])).any() for c in cells)
    assert moc.sky_fraction == pytest.approx(
        len(hips.density.cells) / (12 * 4**hips.density.order))  # fmt: skip


@pytest.mark.slow
def test_tiles_lie_as_aladin_lays_them(tmp_path):
    """Aladin makes tiles out of a HEALPix map of the same densities: all pixels are the same."""
    hips = a_map(sky(20_000, 25.0))
    density = hips.density
    assert density.order == 9
    values = np.full(12 * 4**9, np.nan)
    values[density.cells] = density.counts / pixel_area_deg2(density.tile_order)
    table = fits.BinTableHDU.from_columns([fits.Column("DENSITY", "E", array=values)])
    for key, value in {"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "NSIDE": 512, "FIRSTPIX": 0,
                       "LASTPIX": len(values) - 1, "INDXSCHM": "IMPLICIT",
                       "COORDSYS": "C"}.items():  # fmt: skip
        table.header[key] = value
    table.writeto(tmp_path / "map.fits")
    hipsgen(f"in={tmp_path / 'map.fits'}", f"out={tmp_path / 'theirs'}", "creator_did=X.Y/z",
            f"hips_tile_width={TILE}", "hips_frame=equatorial", "MAPTILES")  # fmt: skip
    compared = 0
    for index in density.tiles(3).tolist():
        theirs = tmp_path / "theirs" / "Norder3" / "Dir0" / f"Npix{index}.fits"
        if theirs.is_file():
            ours = image(hips.file(f"Norder3/Dir0/Npix{index}.fits")[0])
            np.testing.assert_allclose(ours, image(theirs.read_bytes()), rtol=1e-6)
            compared += 1
    assert compared > 100
    ours = image(hips.file("Norder3/Allsky.fits")[0])
    theirs = image((tmp_path / "theirs" / "Norder3" / "Allsky.fits").read_bytes())
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert both.sum() > 10_000
    np.testing.assert_allclose(ours[both], theirs[both], rtol=1e-6)


@pytest.mark.parametrize(("n", "spread"), [(40, 60.0), (3000, 0.05)])
def test_a_folder_passes_aladins_check(n, spread, tmp_path):
    hips = a_map(sky(n, spread))
    for path in hips.paths():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(hips.file(path)[0])
    lint(tmp_path)


# the command ----------------------------------------------------------------------------------


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return int(ended.value.code or 0)


def test_the_command_writes_what_is_served(site: Site, vo: Vo, tmp_path, capsys):
    out = tmp_path / "hips"
    words = ("hips", "--archive", site.archive, "--out", out, "--authority", AUTHORITY, "--title",
             "Test archive", "--where", "obs_collection <> 'SECRET'")  # fmt: skip
    assert run(*words, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert len(files) == said["files"]
    assert said["spectra"] == 98
    for name in [n for n in files if n not in ("properties", "index.html")][::7]:
        assert vo.get(f"/hips/{name}").content == (out / name).read_bytes(), name
    assert run(*words) == 0  # the same again is no conflict
    assert run(*words[:-1], "obs_collection = 'ODD'") == 2
    lint(out)


def test_a_map_without_positions_is_refused(site: Site, tmp_path, capsys):
    assert run("hips", "--archive", site.archive, "--out", tmp_path / "x", "--where",
               "s_ra IS NULL") == 2  # fmt: skip
    assert "no_coordinates" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


# the server -----------------------------------------------------------------------------------


def test_the_address_without_a_slash_leads_to_the_page(vo: Vo):
    answer = vo.get("/hips")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{vo.base}/vo/hips/"
    page = vo.get("/hips/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    properties = vo.get("/hips/properties").text
    assert f"creator_did          = ivo://{AUTHORITY}/hips/density" in properties
    assert f"hips_service_url     = {vo.base}/vo/hips" in properties
    assert "hips_status          = public master clonableOnce" in properties
    assert "private master unclonable" in vo.get("/hips/properties", TOKEN).text


def test_hidden_spectra_are_nowhere_on_the_map(vo: Vo, tmp_path):
    """SECRET lies at RA 10 and 11, Dec −20."""
    for token, there in ((None, False), (TOKEN, True)):
        path = tmp_path / f"{there}.fits"
        path.write_bytes(vo.get("/hips/Moc.fits", token).content)
        moc = MOC.load(path, "fits")
        assert bool(moc.contains_lonlat(10.0 * u.deg, -20.0 * u.deg)) is there
    guest = image(vo.get("/hips/Norder3/Allsky.fits").content)
    operator = image(vo.get("/hips/Norder3/Allsky.fits", TOKEN).content)
    area = pixel_area_deg2(3)
    assert round(np.nansum(guest) * area) == 98
    assert round(np.nansum(operator) * area) == 100


@pytest.mark.parametrize("path", [
    "/hips/Norder3/Dir0/Npix99999999.fits", "/hips/Norder3/Dir10000/Npix5.fits",
    "/hips/Norder99/Dir0/Npix0.png", "/hips/Norder3/Allsky.jpg", "/hips/metadata.xml",
    "/hips/Norder9/Dir0/Npix0.fits", "/hips/%2e%2e/%2e%2e/etc/passwd", "/hips/properties/",
    "/hips/Norder3/Dir0/Npix" + "9" * 3000 + ".png",
])  # fmt: skip
def test_what_is_not_there_is_not_found(vo: Vo, path):
    answer = vo.get(path)
    assert answer.status_code == 404, answer.text[:300]
    assert b"Traceback" not in answer.content
