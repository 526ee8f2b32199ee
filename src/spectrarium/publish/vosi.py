"""Availability and capabilities of services. Source: IVOA VOSI 1.1, VODataService 1.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from .votable import attribute, text

_NAMESPACES = (
    'xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
    'xmlns:vr="http://www.ivoa.net/xml/VOResource/v1.0" '
    'xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
BASIC, BEARER = "ivo://ivoa.net/sso#BasicAA", "ivo://ivoa.net/sso#token"
"""Standards of sign-in: HTTP Basic, a bearer token."""
PASSWORD = "ivo://ivoa.net/sso#tls-with-password"
"""Standard of where a name and a password give a bearer token."""


@dataclass(frozen=True, slots=True)
class Interface:
    """Where and how a capability is reached.

    kind : ``vs:ParamHTTP``, ``vr:WebBrowser`` … · use : ``base``, ``full`` or ``dir``
    results : MIME types · params : <param> elements, as XML · test : query of a test, for base URLs
    """

    url: str
    kind: str = "vs:ParamHTTP"
    use: str = "base"
    version: str = ""
    role: str = "std"
    results: tuple[str, ...] = ()
    queries: tuple[str, ...] = ()
    params: str = ""
    test: str = ""

    def xml(self) -> str:
        """The element."""
        words = f" role={attribute(self.role)}" if self.role else ""
        words += f" version={attribute(self.version)}" if self.version else ""
        inside = f"<accessURL use={attribute(self.use)}>{text(self.url)}</accessURL>\n"
        inside += "<securityMethod/>\n" + "".join(
            f"<securityMethod standardID={attribute(how)}/>\n" for how in (BASIC, BEARER)
        )
        inside += "".join(f"<queryType>{text(q)}</queryType>\n" for q in self.queries)
        inside += "".join(f"<resultType>{text(r)}</resultType>\n" for r in self.results)
        inside += self.params
        inside += f"<testQuery>{text(self.test)}</testQuery>\n" if self.test else ""
        return f"<interface xsi:type={attribute(self.kind)}{words}>\n{inside}</interface>\n"


@dataclass(frozen=True, slots=True)
class Capability:
    """One capability.

    standard : IVOID of the standard · kind : xsi:type with `namespaces` declaring its prefix
    extra : further elements after the interfaces, as XML
    """

    standard: str
    interfaces: tuple[Interface, ...]
    kind: str = ""
    namespaces: str = ""
    extra: str = ""
    about: str = ""

    def xml(self) -> str:
        """The element."""
        said = f" xsi:type={attribute(self.kind)}" if self.kind else ""
        names = f" {self.namespaces}" if self.namespaces else ""
        about = f"<description>{text(self.about)}</description>\n" if self.about else ""
        inside = about + "".join(i.xml() for i in self.interfaces) + self.extra
        head = f"<capability standardID={attribute(self.standard)}{names}{said}>\n"
        return f"{head}{inside}</capability>\n"


def capabilities(found: Sequence[Capability]) -> bytes:
    """The capabilities document."""
    inside = "".join(c.xml() for c in found)
    return f"{_XML}<vosi:capabilities {_NAMESPACES}>\n{inside}</vosi:capabilities>\n".encode()


def own(base: str, *, tables: bool = False) -> list[Capability]:
    """The VOSI capabilities of the service at `base` themselves."""
    names = ["capabilities", "availability", *(["tables"] if tables else [])]
    return [
        Capability(f"ivo://ivoa.net/std/VOSI#{name}",
                   (Interface(f"{base}/{name}", use="full", role="std"),))
        for name in names
    ]  # fmt: skip


def availability(up_since: datetime, note: str = "", available: bool = True) -> bytes:
    """The availability document. up_since : UTC"""
    since = up_since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    notes = f"<vosi:note>{text(note)}</vosi:note>\n" if note else ""
    return (
        f'{_XML}<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">\n'
        f"<vosi:available>{'true' if available else 'false'}</vosi:available>\n"
        f"<vosi:upSince>{since}</vosi:upSince>\n{notes}</vosi:availability>\n"
    ).encode()
