"""Which collections a registry can have a record of."""

from __future__ import annotations

import re
from collections.abc import Iterable

from .registry import ARCHIVE, ORGANISATION, REGISTRY

_PART = r"[A-Za-z0-9\-_.!~*'()+=]+"
_KEY = re.compile(f"{_PART}(/{_PART})*")


def unregistrable(names: Iterable[str]) -> list[tuple[str, str]]:
    """Collections that can have no record, each with the reason.

    Their spectra are served like all others. Source: VOResource 1.1, type IdentifierURI; IVOIDs
    that differ in case only are one (IVOA Identifiers 2.0).
    """
    out = []
    taken = {ARCHIVE, ORGANISATION, REGISTRY}
    for name in sorted(names):
        if not _KEY.fullmatch(name):
            out.append((name, "its name may hold letters A–Z, digits, - _ and . only"))
        elif name.lower() in taken:
            out.append((name, "another record has this name"))
        else:
            taken.add(name.lower())
    return out
