"""Parameters and errors as all services of the Virtual Observatory have them.

Source: IVOA DALI 1.1, sections 2.1, 3 and 4.4.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from ..domain.errors import SpectrariumError, TransientError, UsageError
from .votable import failure

VOTABLE = "application/x-votable+xml"
LINKS = "application/x-votable+xml;content=datalink"
TEXT_MOST = 100_000
"""Longest value of one parameter; longer ones are refused before they are read."""
QUERY_MOST = 500_000
"""The same of QUERY, which may hold a long list of identifiers."""
VALUES_MOST = 10_000


class DaliError(UsageError):
    """What a client asked wrongly.

    fault : in the words of the standards: ``UsageFault``, ``MultiValuedParamNotSupported``,
        ``NotFoundFault``, ``AuthenticationFault``, ``AuthorizationFault``
    """

    default_code = "bad_parameter"

    def __init__(
        self, what: str, *, fault: str = "UsageFault", code: str | None = None, where: str = "",
        remedy: str = "",
    ) -> None:  # fmt: skip
        super().__init__(what, code=code, where=where, remedy=remedy)
        self.fault = fault


class Params:
    """The parameters of a request: names in any case, every value kept, in order.

    Empty values count as missing. Raises DaliError for what is far too long or too many.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for number, (name, value) in enumerate(pairs, 1):
            if number > VALUES_MOST:
                raise DaliError(f"there are more than {VALUES_MOST} parameters")
            if len(name) > 200:
                raise DaliError(f"no parameter is called {name[:40]} …", where=name[:40])
            _not_long(name, value)
            if "\x00" in value or "\x00" in name:
                raise DaliError(f"{name[:40]!r} holds a NUL character", where=name[:40])
            kept = self._values.setdefault(name.upper(), [])
            if value.strip():
                kept.append(value.strip())

    def names(self) -> set[str]:
        """All names that came, in upper case."""
        return set(self._values)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """(name in upper case, value), values of one name in their order."""
        for name, values in self._values.items():
            for value in values:
                yield name, value

    def all(self, name: str) -> list[str]:
        """Every value of a name; empty where there is none."""
        return list(self._values.get(name.upper(), ()))

    def one(self, name: str, default: str | None = None) -> str | None:
        """The only value of a name. Raises DaliError where several differ."""
        values = self.all(name)
        if len(set(values)) > 1:
            raise DaliError(f"{name} is given {len(values)} times", where=name,
                            fault="MultiValuedParamNotSupported",
                            remedy="give one value")  # fmt: skip
        return values[0] if values else default

    def need(self, name: str) -> str:
        """The only value of a name that must be there. Raises DaliError."""
        value = self.one(name)
        if value is None:
            raise DaliError(f"{name} is missing", where=name)
        return value

    def integer(
        self, name: str, default: int | None = None, least: int | None = None,
        most: int | None = None,
    ) -> int | None:  # fmt: skip
        """An integer within [least, most]. Raises DaliError."""
        text = self.one(name)
        if text is None:
            return default
        try:
            value = int(text) if len(text) <= 20 else None
        except ValueError:
            value = None
        if value is None:
            raise DaliError(f"{name} is {text[:40]!r}, no integer", where=name)
        _within(name, value, least, most)
        return value

    def number(
        self, name: str, default: float | None = None, least: float | None = None,
        most: float | None = None,
    ) -> float | None:  # fmt: skip
        """A finite number within [least, most]. Raises DaliError."""
        text = self.one(name)
        if text is None:
            return default
        value = finite(text, name)
        _within(name, value, least, most)
        return value

    def choice(self, name: str, options: Iterable[str], default: str | None = None) -> str | None:
        """One of `options`, whatever its case. Raises DaliError."""
        text = self.one(name)
        if text is None:
            return default
        known = {o.lower(): o for o in options}
        if text.lower() not in known:
            raise DaliError(f"{name} is {text[:40]!r}", where=name,
                            remedy="choose from: " + ", ".join(known.values()))  # fmt: skip
        return known[text.lower()]


def _not_long(name: str, value: str) -> None:
    most = QUERY_MOST if name.upper() == "QUERY" else TEXT_MOST
    if len(value) > most:
        raise DaliError(f"{name} has {len(value)} characters, more than {most}", where=name,
                        remedy="upload long lists as a table" if most > TEXT_MOST
                        else "send less")  # fmt: skip


def finite(text: str, what: str) -> float:
    """A finite number. Raises DaliError naming `what`."""
    try:
        value = float(text) if len(text) <= 60 and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DaliError(f"{what} is {text[:40]!r}, no finite number", where=what)
    return value


def _within(name: str, value: float, least: float | None, most: float | None) -> None:
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = [f"at least {least:g}" if least is not None else "",
                  f"at most {most:g}" if most is not None else ""]  # fmt: skip
        raise DaliError(f"{name} is {value:g}", where=name,
                        remedy="give " + " and ".join(b for b in bounds if b))  # fmt: skip


def maxrec(params: Params, default: int, most: int, name: str = "MAXREC") -> int:
    """Rows that a client takes: its MAXREC up to `most`; 0 asks for the columns alone.

    Raises DaliError for what is no count.
    """
    found = params.integer(name, default, least=0)
    assert found is not None
    return min(found, most)


def votable_alone(params: Params, name: str) -> None:
    """Raises DaliError where a service that has VOTables only is asked for another format."""
    text = params.one(name)
    if text is not None and text.partition(";")[0].strip().lower() not in _VOTABLES:
        raise DaliError(f"{name} is {text[:40]!r}", where=name, remedy="this is a VOTable always")


_VOTABLES = frozenset({VOTABLE, "votable", "text/xml", "application/xml", "all", "compliant"})


def error_document(error: SpectrariumError) -> bytes:
    """The VOTable of a service that could not answer, with QUERY_STATUS ERROR."""
    return failure(message_of(error))


def message_of(error: SpectrariumError) -> str:
    """One line for a client: ``UsageFault: what it is (what to do)``."""
    if isinstance(error, DaliError):
        fault = error.fault
    elif error.code == "unknown_id":
        fault = "NotFoundFault"
    elif error.code == "sign_in":
        fault = "AuthenticationFault"
    elif error.code == "not_allowed":
        fault = "AuthorizationFault"
    elif isinstance(error, TransientError):
        fault = "TransientFault"
    elif isinstance(error, UsageError):
        fault = "UsageFault"
    else:
        fault = "FatalFault"
    text = f"{error.what} ({error.remedy})" if error.remedy else error.what
    if getattr(error, "at", None) is not None:  # a place in a query
        text = f"{error.where}: {text}"
    return f"{fault}: {text}"
