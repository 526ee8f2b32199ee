"""What a TAP service says that it can do.

Source: IVOA TAPRegExt 1.0; TAP 1.1, section 2.4; ADQL 2.1, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .adql import FUNCTIONS
from .adql_functions import CATALOGUED
from .tap_results import FORMATS
from .vosi import Capability, Interface, own
from .votable import attribute, text

STANDARD = "ivo://ivoa.net/std/TAP"
EXAMPLES = "ivo://ivoa.net/std/DALI#examples"
_TAPREGEXT = "ivo://ivoa.net/std/TAPRegExt"
_GEOMETRY = ("POINT", "CIRCLE", "POLYGON", "BOX", "REGION", "CONTAINS", "INTERSECTS", "DISTANCE",
             "AREA", "CENTROID", "COORD1", "COORD2", "COORDSYS")  # fmt: skip
_OPTIONAL = (
    ("adql-string", ("LOWER", "UPPER", "ILIKE")), ("adql-sets", ("UNION", "EXCEPT", "INTERSECT")),
    ("adql-common-table", ("WITH",)), ("adql-type", ("CAST",)), ("adql-unit", ("IN_UNIT",)),
    ("adql-offset", ("OFFSET",)),
)  # fmt: skip
_OWN = (
    ("MOC(moc VARCHAR) -> MOC",
     "a coverage in words, such as MOC('4/0-2 5/17'), written out: it is asked about points, as in "
     "CONTAINS(POINT(ra, dec), MOC('4/0-2')) = 1, and not about other shapes or MOCs"),
    ("MOC(order INTEGER, shape GEOMETRY) -> MOC",
     "the cells of an order that a shape touches; both are written out, as in MOC(6, CIRCLE(10, "
     "20, 1)); it is asked about points only"),
    ("ivo_healpix_index(order INTEGER, ra DOUBLE, dec DOUBLE) -> BIGINT",
     "the nested HEALPix cell that a place lies in; the order is written out, no column"),
    ("ivo_healpix_index(order INTEGER, p POINT) -> BIGINT",
     "the nested HEALPix cell that a point lies in; the order is written out, no column"),
    ("ivo_healpix_center(order INTEGER, index BIGINT) -> POINT", "the middle of such a cell"),
    ("ivo_apply_pm(ra DOUBLE, dec DOUBLE, pmra DOUBLE, pmde DOUBLE, epdist DOUBLE) -> POINT",
     "a place after so many years; angles in degrees"),
    ("ivo_geom_transform(from_sys VARCHAR, to_sys VARCHAR, geo GEOMETRY) -> GEOMETRY",
     "a shape in another frame: ICRS, GALACTIC …"),
    ("ivo_specconv(expr DOUBLE, dest_unit VARCHAR) -> DOUBLE",
     "a wavelength, frequency or energy in another unit"),
    ("ivo_specconv(expr DOUBLE, expr_unit VARCHAR, dest_unit VARCHAR) -> DOUBLE",
     "the same where the expression has no unit of its own"),
    ("ivo_histogram(val REAL, lower REAL, upper REAL, nbins INTEGER) -> INTEGER[]",
     "numbers of values by bin, with those below before and those above behind"),
)  # fmt: skip
"""Functions that the translator writes out itself."""
_MODEL = ", model VARCHAR"
"""An argument that may be left out."""


@dataclass(frozen=True, slots=True)
class TapLimits:
    """rows, rows_most : of an answer, by default and at most · job_s : of a query in the background
    keep_s : that results are kept · upload_bytes : of a table"""

    rows: int
    rows_most: int
    job_s: float
    keep_s: float
    upload_bytes: int


def tap_capabilities(base: str, limits: TapLimits, obscore: bool = True) -> list[Capability]:
    """The capabilities of the TAP service at `base`, those of VOSI included."""
    extra = _models(obscore) + _language() + _formats() + _uploads() + _limits(limits)
    tap = Capability(
        STANDARD, (Interface(base, version="1.1"),), "tr:TableAccess",
        'xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0"', extra,
    )  # fmt: skip
    examples = Capability(EXAMPLES, (Interface(f"{base}/examples", "vr:WebBrowser", "full",
                                               role=""),))  # fmt: skip
    return [tap, *own(base, tables=True), examples]


def _models(obscore: bool) -> str:
    if not obscore:
        return ""
    return '<dataModel ivo-id="ivo://ivoa.net/std/ObsCore#core-1.1">ObsCore 1.1</dataModel>\n'


def _feature(form: str, about: str = "") -> str:
    said = f"<description>{text(about)}</description>" if about else ""
    return f"<feature><form>{text(form)}</form>{said}</feature>\n"


def _features(kind: str, features: Iterable[str]) -> str:
    inside = "".join(features)
    return f'<languageFeatures type="{_TAPREGEXT}#features-{kind}">\n{inside}</languageFeatures>\n'


def _language() -> str:
    versions = "".join(f'<version ivo-id="ivo://ivoa.net/std/ADQL#v{v}">{v}</version>\n'
                       for v in ("2.1", "2.0"))  # fmt: skip
    parts = [
        _features("adqlgeo", map(_feature, _GEOMETRY)),
        _features("udf", (_feature(form, about) for form, about in _functions())),
    ]
    parts += [_features(kind, map(_feature, forms)) for kind, forms in _OPTIONAL]
    about = "ADQL 2.1 with its geometry; SELECT only"
    return (f"<language>\n<name>ADQL</name>\n{versions}<description>{about}</description>\n"
            f"{''.join(parts)}</language>\n")  # fmt: skip


def _formats() -> str:
    out = []
    for one in FORMATS:
        identifier = f" ivo-id={attribute(one.identifier)}" if one.identifier else ""
        alias = "".join(f"<alias>{text(w)}</alias>" for w in one.words[1:2])
        out.append(f"<outputFormat{identifier}><mime>{text(one.media_type)}</mime>{alias}"
                   "</outputFormat>\n")  # fmt: skip
    return "".join(out)


def _uploads() -> str:
    """From http and https too, of which the operator says from where."""
    return "".join(f'<uploadMethod ivo-id="{_TAPREGEXT}#upload-{m}"/>\n'
                   for m in ("inline", "http", "https"))  # fmt: skip


def _limits(limits: TapLimits) -> str:
    def both(tag: str, usual: float, most: float, unit: str = "") -> str:
        of = f" unit={attribute(unit)}" if unit else ""
        return f"<{tag}><default{of}>{int(usual)}</default><hard{of}>{int(most)}</hard></{tag}>\n"

    size = limits.upload_bytes
    return (
        both("retentionPeriod", limits.keep_s, limits.keep_s)
        + both("executionDuration", limits.job_s, limits.job_s)
        + both("outputLimit", limits.rows, limits.rows_most, "row")
        + both("uploadLimit", size, size, "byte")
    )  # fmt: skip


def _functions() -> list[tuple[str, str]]:
    """(signature, what it is) of every function that ADQL itself does not have."""
    known = [(f.form, f.about) for f in (*FUNCTIONS.values(), *CATALOGUED.values())]
    short = [(form.replace(_MODEL, ""), about) for form, about in known if _MODEL in form]
    return [*known, *short, *_OWN]
