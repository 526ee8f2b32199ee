"""Functions that translated queries call, in PostgreSQL: with pgSphere, or without it.

They are plain SQL, which PostgreSQL writes into the query, so that indexes on
``spoint(radians(lon), radians(lat))`` serve cones. Without pgSphere, points and circles are
arithmetic; what needs polygons or HEALPix says that pgSphere is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SPOINT = "spoint(radians({0}), radians({1}))"
"""The expression of a position on which an index of the sky is made."""
_F = "float8"
_HAVERSINE = ("power(sin(radians($2 - $4) / 2), 2) + cos(radians($2)) * cos(radians($4)) * "
              "power(sin(radians($1 - $3) / 2), 2)")  # fmt: skip
_WORDS = r"'[^[:alnum:]]+'"
_COMMON: tuple[tuple[str, str, str], ...] = (
    ("vo_acos(float8)", _F, "CASE WHEN abs($1) <= 1 THEN acos($1) END"),
    ("vo_asin(float8)", _F, "CASE WHEN abs($1) <= 1 THEN asin($1) END"),
    ("vo_sqrt(float8)", _F, "CASE WHEN $1 >= 0 THEN sqrt($1) END"),
    ("vo_ln(float8)", _F, "CASE WHEN $1 > 0 THEN ln($1) END"),
    ("vo_log10(float8)", _F, "CASE WHEN $1 > 0 THEN log10($1) END"),
    ("vo_cot(float8)", _F, "1 / nullif(tan($1), 0)"),
    ("vo_exp(float8)", _F, "CASE WHEN $1 < -700 THEN 0 WHEN $1 <= 709.78 THEN exp($1) END"),
    ("vo_power(float8, float8)", _F,
     "CASE WHEN $1 = 0 AND $2 < 0 OR $1 < 0 AND $2 <> floor($2) THEN NULL "
     "WHEN $1 <> 0 AND $2 * ln(abs($1)) > 709.78 THEN NULL "
     "WHEN $1 <> 0 AND $2 * ln(abs($1)) < -700 THEN 0 ELSE power($1, $2) END"),
    ("vo_div(float8, float8)", _F, "$1 / nullif($2, 0)"),
    ("vo_mod(integer, integer)", "integer", "$1 % nullif($2, 0)"),
    ("vo_mod(bigint, bigint)", "bigint", "$1 % nullif($2, 0)"),
    ("vo_mod(float8, float8)", _F, "mod($1::numeric, nullif($2, 0)::numeric)::float8"),
    ("vo_xor(bigint, bigint)", "bigint", "$1 # $2"),
    ("vo_round(float8, integer)", _F, "round($1::numeric, $2)::float8"),
    ("vo_truncate(float8, integer)", _F, "trunc($1::numeric, $2)::float8"),
    ("vo_coded(float8, float8[])", "float8[]", "array_prepend($1, $2)"),
    ("vo_within_any(float8, float8, float8, float8, float8)", "boolean",
     f"{_HAVERSINE} <= CASE WHEN $5 < 0 THEN -1 "
     "ELSE power(sin(radians(least($5, 180)) / 2), 2) END"),
    ("vo_closer_any(float8, float8, float8, float8, float8)", "boolean",
     f"{_HAVERSINE} < CASE WHEN $5 < 0 THEN -1 WHEN $5 > 180 THEN 2 "
     "ELSE power(sin(radians($5) / 2), 2) END"),
    ("vo_distance(float8, float8, float8, float8)", _F,
     "degrees(atan2(sqrt(power(cos(radians($4)) * sin(radians($3 - $1)), 2) + "
     "power(cos(radians($2)) * sin(radians($4)) - sin(radians($2)) * cos(radians($4)) * "
     "cos(radians($3 - $1)), 2)), sin(radians($2)) * sin(radians($4)) + cos(radians($2)) * "
     "cos(radians($4)) * cos(radians($3 - $1))))"),
    ("vo_moved(float8, float8, float8, float8, float8)", "float8[]",
     "CASE WHEN $1 + $2 + $3 + $4 + $5 IS NOT NULL THEN "
     "ARRAY[degrees(radians($1) + atan2(radians($3 * $5), cos(radians($2)) - sin(radians($2)) * "
     "radians($4 * $5))), degrees(atan2(sin(radians($2)) + cos(radians($2)) * radians($4 * $5), "
     "sqrt(power(radians($3 * $5), 2) + power(cos(radians($2)) - sin(radians($2)) * "
     "radians($4 * $5), 2))))] END"),
    ("vo_mjd(timestamp)", _F, "(extract(epoch FROM $1) / 86400 + 40587)::float8"),
    ("vo_seeded(text)", _F,
     "('x' || substr(md5($1), 1, 13))::bit(52)::bigint / 4503599627370496::float8"),
    ("vo_bucket(float8, float8, float8, integer)", "integer",
     "CASE WHEN $1 < $2 THEN 0 WHEN $1 >= $3 THEN $4 + 1 WHEN $1 IS NOT NULL THEN "
     "least($4, floor(($1 - $2) * $4 / ($3 - $2))::integer + 1) END"),
    ("vo_hashlist_has(text, text)", "boolean", "lower($2) = ANY (string_to_array(lower($1), '#'))"),
    ("vo_hasword(text, text)", "boolean",
     f"strpos(' ' || regexp_replace(lower($1), {_WORDS}, ' ', 'g') || ' ', "
     f"' ' || btrim(regexp_replace(lower($2), {_WORDS}, ' ', 'g')) || ' ') > 0"),
    ("vo_apart(float4[], float4[])", _F,
     "(SELECT sqrt(sum(power((a - b)::float8, 2))) FROM unnest($1, $2) AS t(a, b))"),
    ("vo_frame(float8, float8, float8[])", "float8[]",
     "(SELECT CASE WHEN $1 + $2 IS NOT NULL THEN ARRAY[(degrees(atan2(y, x)) + 360)::numeric % "
     "360, degrees(atan2(z, sqrt(x * x + "
     "y * y)))::numeric]::float8[] END FROM (SELECT $3[1] * a + $3[2] * b + $3[3] * c AS x, "
     "$3[4] * a + $3[5] * b + $3[6] * c AS y, $3[7] * a + $3[8] * b + $3[9] * c AS z FROM "
     "(SELECT cos(radians($2)) * cos(radians($1)) AS a, cos(radians($2)) * sin(radians($1)) AS b, "
     "sin(radians($2)) AS c) AS u) AS v)"),
)  # fmt: skip
_VOLATILE: tuple[tuple[str, str, str], ...] = (
    ("vo_normal_random(float8, float8)", _F,
     "$1 + $2 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())"),
)  # fmt: skip
_SPHERE: tuple[tuple[str, str, str], ...] = (
    ("vo_within(float8, float8, float8, float8, float8)", "boolean",
     f"{SPOINT.format('$1', '$2')} <@ scircle({SPOINT.format('$3', '$4')}, radians($5))"),
    ("vo_cell(float8, float8)", "bigint", f"healpix_nest(29, {SPOINT.format('$1', '$2')})"),
    ("vo_cell_centre(integer, bigint)", "float8[]",
     "(SELECT ARRAY[degrees(long(p)), degrees(lat(p))] FROM center_of_healpix_nest($1, $2) AS p)"),
    ("vo_poly(float8[])", "spoly",
     "(SELECT CASE WHEN array_position($1, NULL) IS NULL THEN ('{' || string_agg('(' || "
     "$1[i]::numeric || 'd,' || $1[i + 1]::numeric || 'd)', ',' "
     "ORDER BY i) || '}')::spoly END FROM generate_series(2, array_length($1, 1) - 1, 2) AS i)"),
    ("vo_round_of(float8[])", "scircle",
     f"scircle({SPOINT.format('$1[2]', '$1[3]')}, radians(coalesce($1[4], 0)))"),
    ("vo_contains(float8[], float8[])", "boolean",
     "CASE WHEN $2[1] < 3 AND $1[1] < 3 THEN vo_round_of($1) <@ vo_round_of($2) "
     "WHEN $2[1] < 3 THEN vo_poly($1) <@ vo_round_of($2) "
     "WHEN $1[1] = 1 THEN spoint(radians($1[2]), radians($1[3])) <@ vo_poly($2) "
     "WHEN $1[1] = 2 THEN vo_round_of($1) <@ vo_poly($2) "
     "WHEN $1[1] = 3 THEN vo_poly($1) <@ vo_poly($2) END"),
    ("vo_in_shape(float8, float8, float8[])", "boolean",
     f"{SPOINT.format('$1', '$2')} <@ vo_poly($3)"),
    ("vo_meets(float8[], float8[])", "boolean",
     "CASE WHEN $2[1] < 3 AND $1[1] < 3 THEN vo_round_of($1) && vo_round_of($2) "
     "WHEN $2[1] < 3 THEN vo_round_of($2) && vo_poly($1) "
     "WHEN $1[1] < 3 THEN vo_round_of($1) && vo_poly($2) "
     "WHEN $1[1] = 3 THEN vo_poly($1) && vo_poly($2) END"),
    ("vo_area(float8[])", _F,
     "CASE WHEN array_position($1, NULL) IS NOT NULL THEN NULL WHEN $1[1] = 1 THEN 0 "
     "WHEN $1[1] = 2 THEN area(vo_round_of($1)) WHEN $1[1] = 3 THEN area(vo_poly($1)) "
     "END * power(degrees(1), 2)"),
)  # fmt: skip
_BARE: tuple[tuple[str, str, str], ...] = (
    ("vo_within(float8, float8, float8, float8, float8)", "boolean",
     "vo_within_any($1, $2, $3, $4, $5)"),
    ("vo_contains(float8[], float8[])", "boolean",
     "CASE WHEN $1[1] < 3 AND $2[1] < 3 THEN vo_distance($1[2], $1[3], $2[2], $2[3]) + "
     "coalesce($1[4], 0) <= coalesce($2[4], 0) + 1e-11 "
     "WHEN $1[1] = 3 OR $2[1] = 3 THEN vo_missing('polygons') IS NULL END"),
    ("vo_in_shape(float8, float8, float8[])", "boolean",
     "CASE WHEN $1 IS NOT NULL THEN vo_missing('polygons') IS NULL END"),
    ("vo_meets(float8[], float8[])", "boolean",
     "CASE WHEN $1[1] < 3 AND $2[1] < 3 THEN vo_distance($1[2], $1[3], $2[2], $2[3]) <= "
     "coalesce($1[4], 0) + coalesce($2[4], 0) + 1e-11 "
     "WHEN $1[1] = 3 OR $2[1] = 3 THEN vo_missing('polygons') IS NULL END"),
    ("vo_area(float8[])", _F,
     "CASE WHEN array_position($1, NULL) IS NOT NULL THEN NULL WHEN $1[1] = 1 THEN 0 "
     "WHEN $1[1] = 2 THEN 4 * pi() * power(sin(radians($1[4]) / 2), 2) * power(degrees(1), 2) "
     "WHEN $1[1] = 3 THEN length(vo_missing('areas of polygons')) END"),
    ("vo_cell(float8, float8)", "bigint",
     "CASE WHEN $1 IS NOT NULL THEN length(vo_missing('HEALPix')) END"),
    ("vo_cell_centre(integer, bigint)", "float8[]",
     "CASE WHEN $1 IS NOT NULL THEN string_to_array(vo_missing('HEALPix'), ',')::float8[] END"),
)  # fmt: skip
_LATER: tuple[tuple[str, str, str], ...] = (
    ("vo_closer(float8, float8, float8, float8, float8)", "boolean",
     "vo_within($1, $2, $3, $4, $5) AND vo_closer_any($1, $2, $3, $4, $5)"),
)  # fmt: skip
_MISSING = """CREATE OR REPLACE FUNCTION vo_missing(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% need the extension pgSphere, which this server does not have', what;
END $$"""
_SHAPE = r"""CREATE OR REPLACE FUNCTION vo_shape(words text) RETURNS float8[] LANGUAGE plpgsql
IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  part text[] := regexp_match(upper(words),
    '^\s*(CIRCLE|POLYGON|POSITION|POINT)(?:\s+(?:ICRS|FK5|J2000|UNKNOWNFRAME))?'
    '(?:\s+(?:GEOCENTER|BARYCENTER|TOPOCENTER|UNKNOWNREFPOS))?(?:\s+SPHERICAL2)?'
    '((?:\s+[-+]?[0-9.]+(?:E[-+]?[0-9]+)?)+)\s*$');
  found float8[];
BEGIN
  IF part IS NULL THEN RETURN NULL; END IF;
  found := regexp_split_to_array(btrim(part[2]), '\s+')::float8[];
  IF part[1] = 'CIRCLE' AND array_length(found, 1) = 3 AND found[3] BETWEEN 0 AND 90 THEN
    RETURN array_prepend(2, found);
  ELSIF part[1] = 'POLYGON' AND array_length(found, 1) >= 6 AND array_length(found, 1) % 2 = 0
  THEN RETURN array_prepend(3, found);
  ELSIF part[1] LIKE 'PO%' AND array_length(found, 1) = 2 THEN RETURN array_prepend(1, found);
  END IF;
  RETURN NULL;
EXCEPTION WHEN invalid_text_representation THEN RETURN NULL;
END $$"""
_BOX = """CREATE OR REPLACE FUNCTION vo_box(lon float8, lat float8, width float8, height float8)
RETURNS float8[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  half float8 := radians(width) / 2;
  rise float8 := atan(tan(radians(height) / 2) * cos(half));
  side integer;
  x float8; y float8; z float8; u float8; w float8;
  out float8[] := '{}';
BEGIN
  IF width <= 0 OR width >= 180 OR height <= 0 OR height >= 180 OR abs(lat) > 90 THEN
    RETURN NULL;
  END IF;
  FOR side IN 1..4 LOOP
    x := cos(rise) * cos(half);
    y := cos(rise) * sin(half) * CASE WHEN side <= 2 THEN 1 ELSE -1 END;
    z := sin(rise) * CASE WHEN side IN (1, 4) THEN -1 ELSE 1 END;
    u := cos(radians(lat)) * x - sin(radians(lat)) * z;
    w := sin(radians(lat)) * x + cos(radians(lat)) * z;
    out := out || ARRAY[degrees(atan2(y, u)) + lon, degrees(atan2(w, sqrt(u * u + y * y)))];
  END LOOP;
  RETURN out;
END $$"""
_CENTROID = """CREATE OR REPLACE FUNCTION vo_centroid(shape float8[]) RETURNS float8[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  count integer := (array_length(shape, 1) - 1) / 2;
  i integer; j integer;
  a float8[]; b float8[]; n float8[]; long float8; angle float8;
  total float8[] := '{0,0,0}'; mean float8[] := '{0,0,0}';
BEGIN
  IF shape[1] < 3 THEN RETURN ARRAY[shape[2], shape[3]]; END IF;
  FOR i IN 0..count - 1 LOOP
    j := (i + 1) % count;
    a := vo_vector(shape[2 + 2 * i], shape[3 + 2 * i]);
    b := vo_vector(shape[2 + 2 * j], shape[3 + 2 * j]);
    n := ARRAY[a[2] * b[3] - a[3] * b[2], a[3] * b[1] - a[1] * b[3], a[1] * b[2] - a[2] * b[1]];
    long := sqrt(n[1] * n[1] + n[2] * n[2] + n[3] * n[3]);
    angle := atan2(long, a[1] * b[1] + a[2] * b[2] + a[3] * b[3]);
    FOR k IN 1..3 LOOP
      mean[k] := mean[k] + a[k];
      total[k] := total[k] + CASE WHEN long > 0 THEN n[k] / long * angle ELSE 0 END;
    END LOOP;
  END LOOP;
  IF total[1] * mean[1] + total[2] * mean[2] + total[3] * mean[3] < 0 THEN
    total := ARRAY[-total[1], -total[2], -total[3]];
  END IF;
  RETURN ARRAY[degrees(atan2(total[2], total[1])) + CASE WHEN total[2] < 0 THEN 360 ELSE 0 END,
               degrees(atan2(total[3], sqrt(total[1] * total[1] + total[2] * total[2])))];
END $$"""
_VECTOR = ("vo_vector(float8, float8)", "float8[]", "ARRAY[cos(radians($2)) * cos(radians($1)), "
           "cos(radians($2)) * sin(radians($1)), sin(radians($2))]")  # fmt: skip


def definitions(sphere: bool, galactic: Any) -> Iterator[str]:
    """Statements that define all functions, in order. sphere : whether pgSphere is there

    galactic : (3, 3) rotation of galactic coordinates to ICRS
    """
    yield _MISSING
    for form, gives, body in (*_COMMON, _VECTOR, *(_SPHERE if sphere else _BARE), *_LATER):
        kind = "" if "vo_missing" in body else " IMMUTABLE PARALLEL SAFE"
        yield _defined(form, gives, body, kind)
    for form, gives, body in _VOLATILE:
        yield _defined(form, gives, body, " VOLATILE")
    yield from (_SHAPE, _BOX, _CENTROID)
    for name, matrix in (("vo_from_galactic", galactic), ("vo_to_galactic", galactic.T)):
        numbers = ", ".join(repr(float(v)) for v in matrix.ravel())
        yield _defined(f"{name}(float8, float8)", "float8[]",
                       f"vo_frame($1, $2, ARRAY[{numbers}]::float8[])",
                       " IMMUTABLE PARALLEL SAFE")  # fmt: skip


def _defined(form: str, gives: str, body: str, kind: str) -> str:
    return (f"CREATE OR REPLACE FUNCTION {form} RETURNS {gives} LANGUAGE sql{kind} "
            f"AS $$SELECT {body}$$")  # fmt: skip
