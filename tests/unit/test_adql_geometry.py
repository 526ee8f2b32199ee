"""Shapes on the sphere and geometry in queries, beside formulas of other kinds.

What a polygon holds is asked in a gnomonic projection, where great circles are straight lines;
areas and centroids are counted on HEALPix; distances are astropy's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from adql_site import CATALOGUE, asked, database, sky, tables
from astropy import units as u
from astropy.coordinates import SkyCoord, angular_separation
from hypothesis import given, settings
from hypothesis import strategies as st

from spectrarium.publish.adql import AdqlError, translate
from spectrarium.publish.shape_lists import numbers_of_words
from spectrarium.publish.shape_relations import (
    box,
    from_icrs,
    shape_contains,
    shape_of_words,
    shapes_meet,
    to_icrs,
)
from spectrarium.publish.shapes import (
    Shape,
    area,
    bounding_box,
    bounding_circle,
    centroid,
    inside,
)

LON, LAT = sky(40_000, 3)


def apart(a: Any, d: Any, a0: float, d0: float) -> Any:
    """Degrees, by astropy."""
    return np.degrees(angular_separation(np.radians(a), np.radians(d), math.radians(a0),
                                         math.radians(d0)))  # fmt: skip


def projected(lon: Any, lat: Any, lon0: float, lat0: float) -> tuple[Any, Any, Any]:
    """Gnomonic x, y and whether a place is on this half of the sky."""
    a, d, d0 = np.radians(np.asarray(lon) - lon0), np.radians(lat), math.radians(lat0)
    cos_c = math.sin(d0) * np.sin(d) + math.cos(d0) * np.cos(d) * np.cos(a)
    safe = np.where(cos_c > 1e-6, cos_c, 1.0)
    x = np.cos(d) * np.sin(a) / safe
    y = (math.cos(d0) * np.sin(d) - math.sin(d0) * np.cos(d) * np.cos(a)) / safe
    return x, y, cos_c > 1e-6


def even_odd(lon: Any, lat: Any, corners: list[tuple[float, float]],
             centre: tuple[float, float]) -> Any:  # fmt: skip
    """Whether places lie in a polygon, by counting crossings in the plane."""
    x, y, front = projected(lon, lat, *centre)
    px, py, _ = projected([c[0] for c in corners], [c[1] for c in corners], *centre)
    found = np.zeros(len(x), bool)
    for i in range(len(px)):
        j = i - 1
        crosses = (py[i] > y) != (py[j] > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            found ^= crosses & (x < (px[j] - px[i]) * (y - py[i]) / (py[j] - py[i]) + px[i])
    return found & front


def star_shaped(lon0: float, lat0: float, radii: list[float]) -> list[tuple[float, float]]:
    """Corners around a centre at these distances (deg): as little convex as they are unequal."""
    centre = SkyCoord(lon0 * u.deg, lat0 * u.deg)
    angles = np.linspace(0, 360, len(radii), endpoint=False) + 7.3
    made = centre.directional_offset_by(angles * u.deg, np.array(radii) * u.deg)
    return list(zip(made.ra.deg.tolist(), made.dec.deg.tolist(), strict=True))


def polygon(corners: list[tuple[float, float]]) -> Shape:
    return Shape("polygon", tuple(v for c in corners for v in c))


CENTRES = [(10.0, 20.0), (0.0, 0.0), (359.9, -45.0), (123.0, 89.9), (50.0, -90.0), (180.0, 75.0)]
RADII = [[30, 8, 30, 8, 30, 8, 30, 8], [20, 20, 20, 20], [40, 5, 12], [3, 25, 4, 9, 30, 2, 14]]


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("radii", RADII, ids=str)
def test_polygons_hold_what_they_hold_in_the_plane(
    centre: tuple[float, float], radii: list[float]
) -> None:
    corners = star_shaped(*centre, radii)
    wanted = even_odd(LON, LAT, corners, centre)
    for order in (corners, corners[::-1], corners[2:] + corners[:2]):
        assert (inside(LON, LAT, polygon(order)) == wanted).all()
    assert wanted.any()


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 359.9), st.floats(-90, 90), st.lists(st.floats(0.5, 60), min_size=3,
                                                        max_size=12))  # fmt: skip
def test_polygons_of_any_kind(lon: float, lat: float, radii: list[float]) -> None:
    if len(radii) == 3:
        radii = [max(r, 5.0) for r in radii]
    corners = star_shaped(lon, lat, radii)
    shape = polygon(corners)
    wanted = even_odd(LON[:4000], LAT[:4000], corners, (lon, lat))
    if len(radii) > 4 or area(shape) < 1.5 * 10313:  # the star is the smaller side
        assert (inside(LON[:4000], LAT[:4000], shape) == wanted).mean() > 0.9995
    a, d, r = bounding_circle(shape)
    assert (apart(LON[:4000], LAT[:4000], a, d)[wanted] <= r + 1e-6).all()
    low, high, south, north = bounding_box(shape)
    held = LAT[:4000][wanted]
    assert (held >= south - 1e-9).all()
    assert (held <= north + 1e-9).all()
    along = (LON[:4000][wanted] - low) % 360.0
    assert (along <= (high - low) % 360.0 + 1e-9).all() or (low, high) == (0.0, 360.0)


def test_borders_and_corners_belong_to_a_polygon() -> None:
    shape = polygon([(10, 0), (20, 0), (20, 10), (10, 10)])
    lon = np.array([10, 20, 20, 10, 15, 10, 20, 9.999999, 15.0])
    lat = np.array([0, 0, 10, 10, 0, 5, 3, 5, -1e-6])
    assert inside(lon, lat, shape).tolist() == [True] * 7 + [False] * 2


def test_tiny_and_huge_polygons() -> None:
    tiny = polygon([(1e-7, 0), (2e-7, 0), (2e-7, 1e-7), (1e-7, 1e-7)])
    assert inside(np.array([1.5e-7, 3e-7]), np.array([5e-8, 5e-8]), tiny).tolist() == [True, False]
    assert area(tiny) == pytest.approx(1e-14, rel=1e-2)
    octant = polygon([(0, 0), (90, 0), (0, 90)])
    assert area(octant) == pytest.approx(41252.96 / 8, rel=1e-6)
    assert inside(np.array([45, 45, 135]), np.array([45, -1, 45]), octant).tolist() == \
        [True, False, False]  # fmt: skip


@pytest.mark.parametrize("shape", [
    Shape("circle", (10, 20, 30)), Shape("circle", (200, -80, 15)), Shape("circle", (5, 0, 120)),
    polygon(star_shaped(10, 20, RADII[0])), polygon(star_shaped(123, 89.9, RADII[3])),
    polygon([(0, 0), (90, 0), (0, 90)]), box(100, 60, 40, 20),
], ids=lambda s: f"{s.kind} {s.numbers[:2]}")  # fmt: skip
def test_areas_and_centroids_are_those_counted_on_healpix(shape: Shape) -> None:
    import cdshealpix

    lon, lat = cdshealpix.healpix_to_lonlat(np.arange(12 * 4**7, dtype=np.uint64), 7)
    held = inside(lon.deg, lat.deg, shape)
    counted = held.mean() * 41252.9612
    assert area(shape) == pytest.approx(counted, rel=7e-3)
    a, d = np.radians(lon.deg[held]), np.radians(lat.deg[held])
    mean = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)]).mean(axis=1)
    lon0, lat0 = centroid(shape)
    assert apart(lon0, lat0, math.degrees(math.atan2(mean[1], mean[0])),
                 math.degrees(math.asin(mean[2] / np.linalg.norm(mean)))) < 0.15  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_relations_agree_with_samples(data: Any) -> None:
    def drawn() -> Shape:
        lon, lat = data.draw(st.floats(0, 60)), data.draw(st.floats(50, 90))
        if data.draw(st.booleans()):
            return Shape("circle", (lon, lat, data.draw(st.floats(1, 50))))
        radii = data.draw(st.lists(st.floats(4, 40), min_size=5, max_size=8))
        return polygon(star_shaped(lon, lat, radii))

    a, b = drawn(), drawn()
    in_a, in_b = (inside(LON[:8000], LAT[:8000], s) for s in (a, b))
    if (in_a & in_b).any():
        assert shapes_meet(a, b)
        assert shapes_meet(b, a)
    if (in_a & ~in_b).any():
        assert not shape_contains(a, b)
    if shape_contains(a, b):
        assert shapes_meet(a, b)
    if not shapes_meet(a, b):
        assert not (in_a & in_b).any()


def test_circles_in_and_beside_polygons() -> None:
    square = polygon([(0, 0), (10, 0), (10, 10), (0, 10)])
    assert shape_contains(Shape("circle", (5, 5, 4.9)), square)
    assert not shape_contains(Shape("circle", (5, 5, 5.1)), square)
    assert shape_contains(square, Shape("circle", (5, 5, 7.2)))
    assert not shape_contains(square, Shape("circle", (5, 5, 6.9)))
    assert shapes_meet(Shape("circle", (12, 5, 2.1)), square)
    assert not shapes_meet(Shape("circle", (12, 5, 1.9)), square)
    assert shapes_meet(square, polygon([(4, -5), (6, -5), (6, 15), (4, 15)]))  # a cross
    assert not shape_contains(square, polygon([(4, -5), (6, -5), (6, 15), (4, 15)]))
    far = Shape("circle", (5, 5, 170))
    assert shape_contains(square, far)
    assert not shape_contains(square, Shape("circle", (185, -5, 179)))


def test_a_box_has_arms_along_the_axes() -> None:
    shape = box(40, 60, 10, 4)
    ends = SkyCoord(40 * u.deg, 60 * u.deg).directional_offset_by(
        [0, 180, 90, 270] * u.deg, [2, 2, 5, 5] * u.deg)  # fmt: skip
    middle = SkyCoord(40 * u.deg, 60 * u.deg)
    for end in ends:
        reach = middle.separation(end)
        angle = middle.position_angle(end)
        for by, wanted in ((0.999, True), (1.001, False)):
            place = middle.directional_offset_by(angle, reach * by)
            assert inside(np.array([place.ra.deg]), np.array([place.dec.deg]), shape)[0] == wanted
    assert area(shape) == pytest.approx(40, rel=0.01)


def test_words_make_shapes() -> None:
    assert shape_of_words("Circle ICRS 10 20 0.5") == Shape("circle", (10, 20, 0.5))
    assert shape_of_words("POLYGON 1 2 3 4 5 6").kind == "polygon"
    assert shape_of_words("Position FK5 GEOCENTER 1 2") == Shape("point", (1, 2))
    galactic = shape_of_words("CIRCLE GALACTIC 0 0 1")
    centre = SkyCoord(0 * u.deg, 0 * u.deg, frame="galactic").icrs
    assert galactic.numbers[:2] == pytest.approx((centre.ra.deg, centre.dec.deg), abs=1e-5)
    back = from_icrs(galactic, "GALACTIC")
    assert apart(*back.numbers[:2], 0.0, 0.0) < 1e-9
    assert to_icrs(galactic, "ICRS") == galactic
    for wrong in ("", "x", "CIRCLE", "CIRCLE 1 2", "CIRCLE 1 2 -3", "CIRCLE ICRS 1 2 nan",
                  "POLYGON 1 2 3 4", "UNION ICRS (CIRCLE 1 2 3 CIRCLE 2 3 4)", "CIRCLE 1 95 2",
                  "BOX ICRS 1 2 3", "CIRCLE FK4 1 2 3", "CIRCLE ICRS 1 2 3 x"):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            shape_of_words(wrong)
        assert numbers_of_words(wrong) is None


# ---- in queries


@pytest.fixture(scope="module")
def data() -> Any:
    return tables()


@pytest.fixture(scope="module")
def site(data: Any) -> Any:
    connection = database(data)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def positions(data: Any) -> tuple[Any, Any, Any]:
    """(id, ra, dec) of rows that have a position."""
    table = data["ivoa.obscore"].filter(data["ivoa.obscore"]["s_ra"].is_valid())
    return tuple(table.column(c).to_numpy() for c in ("id", "s_ra", "s_dec"))


def ids(site: Any, condition: str, table: str = "obscore") -> set[int]:
    return {r[0] for r in asked(site, f"SELECT id FROM {table} WHERE {condition}")}


P = "POINT(s_ra, s_dec)"


@pytest.mark.parametrize(("lon", "lat", "radius"), [
    (10, 20, 0.5), (0, 0, 20), (200, -89.9, 12), (45, 90, 5), (359.99, 0, 0.2), (10, 20, 0),
    (77, 33, 44), (77, 33, 60), (77, -33, 179), (77, -33, 180),
])  # fmt: skip
def test_cones_hold_what_astropy_says(
    site: Any, positions: Any, lon: float, lat: float, radius: float
) -> None:
    number, ra, dec = positions
    wanted = set(number[apart(ra, dec, lon, lat) <= radius].tolist())
    circle = f"CIRCLE({lon}, {lat}, {radius})"
    assert ids(site, f"CONTAINS({P}, {circle}) = 1") == wanted
    assert ids(site, f"1 = CONTAINS(POINT('ICRS', s_ra, s_dec), CIRCLE('', POINT({lon}, {lat}), "
                     f"{radius}))") == wanted  # fmt: skip
    assert ids(site, f"CONTAINS(POINT({lon}, {lat}), CIRCLE(s_ra, s_dec, {radius})) = 1") == wanted
    assert ids(site, f"INTERSECTS({circle}, {P}) <> 0") == wanted
    assert ids(site, f"DISTANCE({P}, POINT({lon}, {lat})) <= {radius}") == wanted
    assert ids(site, f"{radius} >= DISTANCE(s_ra, s_dec, {lon}, {lat})") == wanted
    others = set(number.tolist()) - wanted
    assert ids(site, f"CONTAINS({P}, {circle}) = 0") == others
    assert ids(site, f"NOT CONTAINS({P}, {circle}) = 1") == others
    assert ids(site, f"DISTANCE({P}, POINT({lon}, {lat})) > {radius}") == others


def test_cones_use_the_cells_where_a_table_has_them(site: Any) -> None:
    cone = "CONTAINS(POINT({ra}, {dec}), CIRCLE(10, 20, 1)) = 1"
    plain = translate(f"SELECT key FROM plain WHERE {cone.format(ra='ra', dec='dec')}", CATALOGUE,
                      maxrec=9)  # fmt: skip
    assert "healpix29" not in plain.sql
    own = cone.format(ra="s_ra", dec="s_dec")
    sql = translate(f"SELECT id FROM obscore WHERE {own}", CATALOGUE, maxrec=9).sql
    assert '"healpix29" BETWEEN' in sql
    assert sql.count("BETWEEN") <= 10
    inner = translate(f"SELECT id FROM (SELECT * FROM obscore) AS q WHERE {own}", CATALOGUE,
                      maxrec=9)  # fmt: skip
    assert '"c4" BETWEEN' in inner.sql
    for other in ("s_dec, s_ra", "s_ra + 0, s_dec"):
        swapped = cone.replace("{ra}, {dec}", other)
        assert "BETWEEN" not in translate(f"SELECT id FROM obscore WHERE {swapped}", CATALOGUE,
                                          maxrec=9).sql  # fmt: skip


@pytest.mark.parametrize("corners", [
    star_shaped(10, 20, RADII[0]), star_shaped(123, 89.9, RADII[3]), star_shaped(0, 0, RADII[2]),
], ids=["star", "over the pole", "thin"])  # fmt: skip
def test_polygons_in_queries(site: Any, positions: Any, corners: list[tuple[float, float]]) -> None:
    number, ra, dec = positions
    wanted = set(number[inside(ra, dec, polygon(corners))].tolist())
    numbers = ", ".join(f"{v!r}" for c in corners for v in c)
    points = ", ".join(f"POINT({a!r}, {d!r})" for a, d in corners)
    assert ids(site, f"CONTAINS({P}, POLYGON({numbers})) = 1") == wanted
    assert ids(site, f"CONTAINS({P}, POLYGON('ICRS', {points})) = 1") == wanted
    words = " ".join(f"{v!r}" for c in corners for v in c)
    assert ids(site, f"CONTAINS({P}, REGION('POLYGON ICRS {words}')) = 1") == wanted
    assert ids(site, f"CONTAINS({P}, POLYGON({numbers})) = 0") == set(number.tolist()) - wanted


def test_regions_of_rows(site: Any, data: Any) -> None:
    region = data["ivoa.obscore"]["s_region"].to_pylist()
    shapes = {i: shape_of_words(t) for i, t in enumerate(region[:400]) if t is not None}
    ask = Shape("circle", (10, 20, 8))
    wanted = {i for i, s in shapes.items() if shapes_meet(s, ask)}
    first = "AND id < 400"
    assert ids(site, f"INTERSECTS(s_region, CIRCLE(10, 20, 8)) = 1 {first}") == wanted
    assert ids(site, f"INTERSECTS(CIRCLE(10, 20, 8), s_region) = 0 {first}") == \
        set(shapes) - wanted  # fmt: skip
    held = {i for i, s in shapes.items() if shape_contains(s, ask)}
    assert ids(site, f"CONTAINS(s_region, CIRCLE(10, 20, 8)) = 1 {first}") == held
    assert held
    point = Shape("point", (10.1, 20.2))
    assert ids(site, f"CONTAINS(POINT(10.1, 20.2), s_region) = 1 {first}") == \
        {i for i, s in shapes.items() if shape_contains(point, s)}  # fmt: skip
    rows = asked(site, "SELECT id, AREA(s_region), CENTROID(s_region), COORD2(CENTROID(s_region)) "
                       "FROM obscore WHERE id < 40 AND s_region IS NOT NULL")  # fmt: skip
    for number, size, middle, lat in rows:
        assert size == pytest.approx(area(shapes[number]))
        assert middle == pytest.approx(centroid(shapes[number]))
        assert lat == middle[1]


def test_moving_shapes(site: Any, positions: Any) -> None:
    number, ra, dec = positions
    wanted = {int(n) for n, a, d in zip(number[:300], ra, dec, strict=False)
              if inside(np.array([10.2]), np.array([20.2]), box(a, d, 1.0, 0.9))[0]}
    boxed = "CONTAINS(POINT(10.2, 20.2), BOX(s_ra, s_dec, 1.0, 0.9)) = 1"
    assert ids(site, f"{boxed} AND id < 301") == wanted
    assert wanted
    near = "INTERSECTS(CIRCLE(s_ra, s_dec, 0.2), CIRCLE(10, 20, 0.3)) = 1"
    assert ids(site, near) == set(number[apart(ra, dec, 10, 20) <= 0.5].tolist())
    moved = ids(site, "CONTAINS(POINT(10, 20.1), POLYGON(s_ra - 1, s_dec - 1, s_ra + 1, s_dec - 1, "
                      "s_ra, s_dec + 1)) = 1 AND s_dec < 80 AND s_dec > -80")  # fmt: skip
    assert {0, 1} <= moved


def test_matching_two_tables(site: Any, positions: Any) -> None:
    near = {int(n) for n in positions[0] if n < 200}
    on = "CONTAINS(POINT(o.s_ra, o.s_dec), CIRCLE(p.ra, p.dec, 2/3600.)) = 1"
    joined = asked(site, f"SELECT o.id, p.key FROM obscore o JOIN plain p ON {on}")
    assert {i for i, _ in joined} >= near - {5}
    assert sorted(joined) == sorted(asked(site, f"SELECT o.id, p.key FROM obscore o, plain p "
                                                f"WHERE {on}"))  # fmt: skip
    left = asked(site, f"SELECT p.key, o.id FROM plain p LEFT JOIN obscore o ON {on}")
    assert {k for k, _ in left} == set(range(200))
    assert [i for k, i in left if k == 5] == [None]
    by_distance = asked(site, "SELECT o.id, p.key FROM obscore o JOIN plain p ON DISTANCE("
                              "POINT(o.s_ra, o.s_dec), POINT(p.ra, p.dec)) < 2/3600.")  # fmt: skip
    assert sorted(by_distance) == sorted(joined)


def test_values_of_geometry(site: Any) -> None:
    [row] = asked(site, f"SELECT {P}, CIRCLE(s_ra, s_dec, 1), COORD1({P}), COORD2(POINT(3, 4)), "
                        f"COORDSYS({P}), DISTANCE({P}, POINT(10, 21)), AREA(CIRCLE(0, 0, 180)), "
                        f"CONTAINS({P}, CIRCLE(10, 20, 1)) FROM obscore WHERE id = 0")  # fmt: skip
    assert [list(v) if isinstance(v, list | tuple) else v for v in row[:5]] == \
        [[10.0, 20.0], [10.0, 20.0, 1.0], 10.0, 4.0, "ICRS"]  # fmt: skip
    assert row[5:] == pytest.approx((1.0, 41252.961249, 1))
    said = translate(f"SELECT {P} AS p, CIRCLE(1, 2, 3) AS c, POLYGON(0,0,1,0,1,1) AS q "
                     "FROM obscore", CATALOGUE, maxrec=1)  # fmt: skip
    assert [c.meta.xtype for c in said.columns] == ["point", "circle", "polygon"]
    inner = asked(site, f"SELECT COORD1(p), DISTANCE(p, POINT(10, 20)) FROM (SELECT {P} AS p "
                        "FROM obscore) AS q WHERE CONTAINS(p, CIRCLE(10, 20, 0.1)) = 1")
    assert inner == [pytest.approx((10.0, 0.0), abs=1e-9)]
    nothing = asked(site, f"SELECT {P}, CONTAINS({P}, CIRCLE(1, 2, 3)), DISTANCE({P}, "
                          "POINT(1, 2)), AREA(s_region), INTERSECTS(s_region, CIRCLE(1, 2, 3)) "
                          "FROM obscore WHERE id = 5")  # fmt: skip
    assert nothing == [(None,) * 5]


def test_distances_of_all_sizes(site: Any) -> None:
    for a, d in ((10.0, 20.0), (10 + 1e-9, 20.0), (190.0, -20.0), (190.0, -20 + 1e-9), (11, 89)):
        [(found,)] = asked(site, f"SELECT DISTANCE(POINT({a!r}, {d!r}), {P}) FROM obscore "
                                 "WHERE id = 0")  # fmt: skip
        [(folded,)] = asked(site, f"SELECT DISTANCE(POINT({a!r}, {d!r}), POINT(10, 20)) FROM tags "
                                  "WHERE id = 1")  # fmt: skip
        wanted = apart(a, d, 10.0, 20.0)
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-12)
        assert folded == pytest.approx(wanted, rel=1e-6, abs=1e-12)


def test_healpix_and_mocs(site: Any, positions: Any) -> None:
    import cdshealpix
    from astropy.coordinates import Latitude, Longitude

    number, ra, dec = positions
    cells = np.asarray(cdshealpix.lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), 6))
    rows = asked(site, "SELECT id, ivo_healpix_index(6, s_ra, s_dec), ivo_healpix_index(6, "
                       "POINT(s_ra + 0, s_dec)) FROM obscore WHERE s_ra IS NOT NULL ORDER BY "
                       "id")  # fmt: skip
    assert [r[1] for r in rows] == cells.tolist()
    assert [r[2] for r in rows] == cells.tolist()
    own = {int(n) for n, c in zip(number, cells, strict=True) if c in (7, *range(100, 200))}
    assert ids(site, f"CONTAINS({P}, MOC('6/7 100-199')) = 1") == own
    assert ids(site, "CONTAINS(POINT(s_ra + 0, s_dec), MOC('6/7 100-199')) = 1") == own
    assert ids(site, f"CONTAINS({P}, MOC('6/7, 100-199')) = 0") == set(number.tolist()) - own
    cone = ids(site, f"CONTAINS({P}, CIRCLE(10, 20, 5)) = 1")
    covered = ids(site, f"CONTAINS({P}, MOC(7, CIRCLE(10, 20, 5))) = 1")
    assert cone <= covered
    assert len(covered - cone) <= 4
    [(centre,)] = asked(site, "SELECT ivo_healpix_center(6, 100) FROM tags WHERE id = 1")
    lon, lat = cdshealpix.healpix_to_lonlat(np.array([100], np.uint64), 6)
    assert list(centre) == pytest.approx([lon.deg[0], lat.deg[0]])


def test_moving_and_turning_points(site: Any) -> None:
    [(moved,)] = asked(site, "SELECT ivo_apply_pm(10, 60, 0.01, -0.02, 10) FROM tags WHERE id = 1")
    there = SkyCoord(10 * u.deg, 60 * u.deg).spherical_offsets_by(0.1 * u.deg, -0.2 * u.deg)
    assert apart(*moved, there.ra.deg, there.dec.deg) < 1e-3
    [(turned,)] = asked(site, f"SELECT ivo_geom_transform('ICRS', 'GALACTIC', {P}) FROM obscore "
                              "WHERE id = 0")  # fmt: skip
    there = SkyCoord(10 * u.deg, 20 * u.deg).galactic
    assert list(turned) == pytest.approx([there.l.deg, there.b.deg], abs=1e-5)
    [(back,)] = asked(site, f"SELECT ivo_geom_transform('GALACTIC', 'ICRS', POINT({turned[0]!r}, "
                            f"{turned[1]!r})) FROM tags WHERE id = 1")  # fmt: skip
    assert list(back) == pytest.approx([10.0, 20.0], abs=1e-9)


def test_columns_in_galactic_coordinates(site: Any, positions: Any) -> None:
    number, lon, lat = positions  # taken as galactic
    there = SkyCoord(lon * u.deg, lat * u.deg, frame="galactic").icrs
    wanted = set(number[apart(there.ra.deg, there.dec.deg, 250, -10) <= 15].tolist())
    assert wanted
    point = "POINT('GALACTIC', s_ra, s_dec)"
    assert ids(site, f"CONTAINS({point}, CIRCLE(250, -10, 15)) = 1") == wanted
    assert ids(site, f"DISTANCE({point}, POINT(250, -10)) <= 15") == wanted
    circle = "CIRCLE('galactic', s_ra, s_dec, 15)"
    assert ids(site, f"CONTAINS(POINT(250, -10), {circle}) = 1") == wanted
    rows = asked(site, f"SELECT {point}, {circle}, POLYGON('GALACTIC', s_ra, s_dec, 1, 2, 3, 4) "
                       "FROM obscore WHERE id < 6 ORDER BY id")  # fmt: skip
    for (p, c, q), a, d in zip(rows[:5], there.ra.deg, there.dec.deg, strict=False):
        assert list(p) == pytest.approx([a, d], abs=2e-5)
        assert list(c) == pytest.approx([a, d, 15], abs=2e-5)
        # the Hipparcos Catalogue's rotation is within 0.02″ of astropy's
        corner = SkyCoord(3 * u.deg, 4 * u.deg, frame="galactic").icrs
        assert list(q) == pytest.approx([a, d, *q[2:4], corner.ra.deg, corner.dec.deg], abs=2e-5)
    assert rows[5] == (None, None, None)


def test_shapes_of_nothing_are_nothing(site: Any) -> None:
    [row] = asked(site, "SELECT POINT(NULL, 2), POINT(NULL, NULL), CIRCLE(NULL, NULL, 1), "
                        "POINT('GALACTIC', NULL, 2), BOX(NULL, 1, 1, 1), AREA(CIRCLE(1, NULL, 1)), "
                        f"DISTANCE(POINT(NULL, NULL), {P}), CONTAINS(POINT(NULL, 1), "
                        "CIRCLE(1, 2, 3)) FROM obscore WHERE id = 0")  # fmt: skip
    assert row == (None,) * 8


@pytest.mark.parametrize(("wrong", "says"), [
    ("ivo_healpix_index(id, s_ra, s_dec) = 1", "written out, no column"),
    ("CONTAINS(s_region, MOC('0/1')) = 1", "points only"),
    ("INTERSECTS(MOC('0/1'), CIRCLE(1, 2, 3)) = 1", "points only"),
    ("CONTAINS(MOC('0/1'), MOC('0/1')) = 1", "CENTROID"),
    ("CONTAINS(POINT('FK4', s_ra, s_dec), CIRCLE(1, 2, 3)) = 1", "FK4 are not converted"),
])  # fmt: skip
def test_what_is_not_done_says_what_is(wrong: str, says: str) -> None:
    with pytest.raises(AdqlError, match=says):
        translate(f"SELECT id FROM obscore WHERE {wrong}", CATALOGUE, maxrec=1)


@pytest.mark.parametrize("wrong", [
    "CONTAINS(POINT(1), CIRCLE(1,2,3)) = 1", "CONTAINS(POINT(1,95), CIRCLE(1,2,3)) = 1",
    "CONTAINS(POINT(1,2), CIRCLE(1,2,-3)) = 1", "CONTAINS(1, 2) = 1", "AREA(3) = 1",
    "CONTAINS(POINT(1,2), POLYGON(1,2,3,4)) = 1", "CONTAINS(POINT(1,2)) = 1",
    "CONTAINS(POINT('FK4', 1,2), CIRCLE(1,2,3)) = 1", "CONTAINS(POINT('a','b'), s_region) = 1",
    "CONTAINS(POINT('FK4', s_ra, s_dec), CIRCLE(1,2,3)) = 1",
    "CONTAINS(POINT(1,2), BOX('GALACTIC', s_ra, s_dec, 1, 1)) = 1",
    "CONTAINS(CIRCLE(1,2,3), MOC('6/1')) = 1", "CONTAINS(POINT(1,2), MOC('6/x')) = 1",
    "CONTAINS(POINT(1,2), MOC('30/1')) = 1", "CONTAINS(POINT(1,2), MOC('0/12')) = 1",
    "CONTAINS(POINT(1,2), MOC('1/5-3')) = 1", "CONTAINS(POINT(1,2), REGION('CIRCLE x')) = 1",
    "DISTANCE(1, 2, 3) < 1", "DISTANCE(POINT(1,2), 3) < 1", "COORD1(CIRCLE(1,2,3)) = 1",
    "POINT(1,2) = POINT(1,2)", "CONTAINS(POINT(1,2), BOX(1,2,200,3)) = 1",
    "ivo_healpix_index(30, 1, 2) = 1", "ivo_healpix_index(s_ra, 1, 2) = 1",
    "CONTAINS(POINT(1,2), MOC(29, CIRCLE(1,2,3))) = 1", "MAX(POINT(1,2)) = 1",
])  # fmt: skip
def test_geometry_that_makes_no_sense(wrong: str) -> None:
    with pytest.raises(AdqlError) as caught:
        translate(f"SELECT id FROM obscore WHERE {wrong}", CATALOGUE, maxrec=1)
    assert caught.value.position >= 29
