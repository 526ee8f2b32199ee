"""Parameters of a URL or a JSON body, checked as they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from ..domain.errors import UsageError

TEXT_MOST = 20_000
D = TypeVar("D")


class Fields(Mapping[str, Any]):
    """Values by name. Every method raises UsageError (bad_parameter) naming what is wrong.

    A default of ``...`` makes a parameter required.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def _raw(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is None or value == "":
            if default is ...:
                raise _bad(name, "is missing")
            return None
        return value

    def text(self, name: str, default: Any = None, most: int = TEXT_MOST) -> Any:
        """Text of at most `most` characters."""
        value = self._raw(name, default)
        if value is None:
            return default
        if not isinstance(value, str):
            raise _bad(name, "is not text")
        if len(value) > most:
            raise _bad(name, f"is longer than {most:,} characters")
        if "\x00" in value:
            raise _bad(name, "holds a NUL character")
        return value

    def integer(
        self, name: str, default: Any = None, least: int | None = None, most: int | None = None
    ) -> Any:
        """An integer within [least, most]."""
        value = self._raw(name, default)
        if value is None:
            return default
        return _integer(name, value, least, most)

    def number(
        self, name: str, default: Any = None, least: float | None = None, most: float | None = None
    ) -> Any:
        """A finite number within [least, most]."""
        value = self._raw(name, default)
        return default if value is None else _number(name, value, least, most)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false: JSON's own, or 1 and 0, true and false."""
        value = self._raw(name, default)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        found = known.get(str(value).lower())
        if found is None:
            raise _bad(name, "is neither 1 nor 0")
        return found

    def choice(self, name: str, options: Sequence[str], default: Any = None) -> Any:
        """One of `options`."""
        value = self._raw(name, default)
        if value is None:
            return default
        if value not in options:
            raise _bad(name, f"is {str(value)[:40]!r}", "choose from: " + ", ".join(options))
        return value

    def words(self, name: str, default: Any = None, most: int = 200) -> Any:
        """A list of text: JSON's, or parts between commas."""
        return [self._word(name, v) for v in self._list(name, default, most)] \
            if self._raw(name, default) is not None else default  # fmt: skip

    def integers(self, name: str, default: Any = None, most: int = 200) -> Any:
        """A list of integers: JSON's, or parts between commas."""
        if self._raw(name, default) is None:
            return default
        return [_integer(name, v, None, None) for v in self._list(name, default, most)]

    def numbers(self, name: str, default: Any = None, most: int = 200) -> Any:
        """A list of finite numbers: JSON's, or parts between commas."""
        if self._raw(name, default) is None:
            return default
        return [_number(name, v, None, None) for v in self._list(name, default, most)]

    def interval(self, name: str, default: Any = None) -> Any:
        """(lo, hi), two rising numbers between a comma."""
        found = self.numbers(name, default)
        if found is default:
            return default
        if len(found) != 2 or not found[0] < found[1]:
            raise _bad(name, "is no interval", "give LO,HI")
        return found[0], found[1]

    def _list(self, name: str, default: Any, most: int) -> list[Any]:
        value = self._raw(name, default)
        if isinstance(value, str):
            value = [v.strip() for v in value.split(",") if v.strip()]
        if not isinstance(value, list):
            raise _bad(name, "is no list")
        if len(value) > most:
            raise _bad(name, f"lists more than {most:,}")
        return value

    def _word(self, name: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > 1000 or "\x00" in value:
            raise _bad(name, "lists what is no short text")
        return value


def _integer(name: str, value: Any, least: int | None, most: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _bad(name, "is no integer")
    try:
        found = int(value)
    except ValueError as error:
        raise _bad(name, "is no integer") from error
    if (least is not None and found < least) or (most is not None and found > most):
        raise _bad(name, f"is {str(value)[:40]}", _range(least, most))
    if abs(found) >= 2**63:
        raise _bad(name, "is too large")
    return found


def _number(name: str, value: Any, least: float | None, most: float | None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _bad(name, "is no number")
    try:
        found = float(value)
    except (ValueError, OverflowError) as error:
        raise _bad(name, "is no number") from error
    if not math.isfinite(found):
        raise _bad(name, "is not finite")
    if (least is not None and found < least) or (most is not None and found > most):
        raise _bad(name, f"is {found:g}", _range(least, most))
    return found


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return f"at most {most:g}"
    return f"at least {least:g}" if most is None else f"between {least:g} and {most:g}"


def _bad(name: str, what: str, remedy: str = "") -> UsageError:
    return UsageError(f"{name} {what}", code="bad_parameter", where=name, remedy=remedy)
