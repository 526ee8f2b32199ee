"""What a TAP service says that it can do.

Source: IVOA TAPRegExt 1.0; TAP 1.1, section 2.4; ADQL 2.1, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .tap_results import FORMATS
from .vosi import Capability, Interface, own
from .votable import attribute, text

STANDARD = "ivo://ivoa.net/std/TAP"
EXAMPLES = "ivo://ivoa.net/std/DALI#examples"
_TAPREGEXT = "ivo://ivoa.net/std/TAPRegExt"
_GEOMETRY = ("POINT", "CIRCLE", "POLYGON", "CONTAINS", "INTERSECTS", "DISTANCE", "COORD1",
             "COORD2")  # fmt: skip


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
        _features("udf", (_feature(form, about) for form, about in FUNCTIONS)),
    ]
    parts += [_features(kind, map(_feature, forms)) for kind, forms in OPTIONAL]
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


FUNCTIONS: Sequence[tuple[str, str]] = (
    ("similarity(did VARCHAR, of VARCHAR) -> DOUBLE",
     "How unlike the spectrum did is to the spectrum of, an obs_publisher_did: the Euclidean "
     "distance of their vectors; of several embeddings, in that which the query names, else the "
     "one with most spectra. Null where did has no vector."),
    ("similarity(did VARCHAR, of VARCHAR, model VARCHAR) -> DOUBLE",
     "The same in the embedding that is named: as in spectra.models.model_name."),
)  # fmt: skip
OPTIONAL: Sequence[tuple[str, Sequence[str]]] = ()
