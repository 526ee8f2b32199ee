"""Flux and error in two files: the F/E pairs of XIDL and mage_pipe, told by the SIGFILE keyword.

Both files carry the same header; SIGFILE names the error file. What cannot be told from a header
(which of the two this is) is told by the pipeline's own convention: the name of the error file
ends in E where that of the flux ends in F.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from .fits import Hdu, Header
from .source import SourceFile

_NAME = re.compile(r"(.*)([FE])(\.fits?)", re.IGNORECASE)


def is_error_array(source: SourceFile, header: Header, hdu: Hdu) -> bool:
    """True for the error half of a pair: SIGFILE in the header, named …E, nothing negative."""
    match = _NAME.fullmatch(source.name)
    if header.string("SIGFILE") is None or not match or match[2].upper() != "E":
        return False
    return not bool(np.any(hdu.image() < 0))


def error_companion(source: SourceFile, hdu: Hdu, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """The 1-σ array beside a flux file that has SIGFILE, or None if it is not there.

    It must have the same shape and the same CRVAL1, and nothing negative.
    """
    header = hdu.header
    named = header.string("SIGFILE")
    match = _NAME.fullmatch(source.name)
    if named is None or not match or match[2].upper() != "F":
        return None
    for name in (named, f"{match[1]}{'E' if match[2] == 'F' else 'e'}{match[3]}"):
        try:
            other = source.companion(name)
            if other is None or other.hash == source.hash or not other.is_fits:
                continue
            error = other.fits[hdu.index]
            array = error.image()
        except (DataError, IndexError):
            continue  # an unreadable companion leaves the errors unknown
        if error.header.get("CRVAL1") == header.get("CRVAL1") and not bool(np.any(array < 0)):
            flat: NDArray[Any] = array.reshape(shape) if array.size == np.prod(shape) else array
            if flat.shape == shape:
                return flat
    return None
