"""FITS header cards, kept as bytes until a keyword is asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

CARD = 80
_QUICK_LOOKUPS = 6
_LONG = 64 * CARD
_HIERARCH = int.from_bytes(b"HIERARCH", "little")
_EQUALS = ord("=")
_MJD_ZERO = datetime(1858, 11, 17)
Value = str | int | float | bool | None
_Array = np.ndarray[Any, Any]


class Header:
    """Keyword look-up on the raw cards of one header unit.

    Parameters
    ----------
    cards : (80 · n) the cards without END, as bytes or latin-1 text
    """

    __slots__ = ("_cache", "_hierarch", "_index", "_long", "_lookups", "raw")

    def __init__(self, cards: str | bytes) -> None:
        self.raw = cards.encode("latin-1", "replace") if isinstance(cards, str) else cards
        self._cache: dict[str, Value] = {}
        self._index: Mapping[bytes, int] | None = None
        self._hierarch: dict[str, int] | None = None
        self._long: tuple[_Array, _Array | None] | None = None
        self._lookups = 0

    @property
    def text(self) -> str:
        """The cards as text."""
        return self.raw.decode("latin-1")

    def get(self, key: str, default: Any = None) -> Any:
        """Value of `key` (``ESO DRS BERV`` finds ``HIERARCH ESO DRS BERV``) or `default`."""
        cache = self._cache
        if key in cache:
            value = cache[key]
        else:
            start = self._find(key)
            value = cache[key] = None if start < 0 else self.value_at(start)
        return default if value is None else value

    def __contains__(self, key: str) -> bool:
        return self._find(key) >= 0

    def __getitem__(self, key: str) -> Any:
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def first(self, *keys: str) -> Any:
        """Value of the first of `keys` that is present and defined, or None."""
        for key in keys:
            value = self.get(key)
            if value is not None:
                return value
        return None

    def number(self, *keys: str) -> float | None:
        """First finite number among `keys` (numbers written as strings count), or None."""
        for key in keys:
            value = self.get(key)
            if isinstance(value, bool) or value is None:
                continue
            try:
                x = float(value)
            except (ValueError, OverflowError):
                continue
            if math.isfinite(x):
                return x
        return None

    def string(self, *keys: str) -> str | None:
        """First non-blank value among `keys` as text, or None."""
        for key in keys:
            value = self.get(key)
            if value is not None:
                text = str(value).strip()
                if text:
                    return text
        return None

    def keys(self) -> Iterator[str]:
        """All keywords in order (commentary and blank cards left out)."""
        text = self.text
        for i in range(0, len(text), CARD):
            card = text[i : i + CARD]
            if card[8:9] == "=":
                yield card[:8].rstrip()
            elif card.startswith("HIERARCH ") and "=" in card:
                yield " ".join(card[9 : card.index("=")].split())

    def fixed_integer(self, card: int, key: str) -> int | None:
        """An integer in fixed format (columns 11-30) if card number `card` is `key`'s, or None.

        The mandatory keywords stand at fixed places; asking there spares indexing the header.
        """
        raw, at = self.raw, card * CARD
        if raw[at : at + 10] != b"%-8b= " % key.encode() or raw[at + 30 : at + 31] not in b" /":
            return None
        field = raw[at + 10 : at + 30]
        if b"_" in field:
            return None
        try:
            return int(field)
        except ValueError:
            return None

    def last_card_in(self, initials: bytes) -> int:
        """Number of the last card whose keyword begins with one of `initials` (or continues it)."""
        first = self._cards("u1")
        hits = np.logical_or.reduce([first == initial for initial in initials]).nonzero()[0]
        at = int(hits[-1]) if len(hits) else len(first) - 1
        while self.raw.startswith(b"CONTINUE", (at + 1) * CARD):
            at += 1
        return at

    def _find(self, key: str) -> int:
        """Byte offset of the first card of `key`, or -1."""
        if self._index is not None:
            at = self._index.get(_padded(key), -1)
            if at >= 0 and self.raw[at + 8] == _EQUALS:
                return at
        if key.startswith("HIERARCH "):
            key = key[9:]
        short = len(key) <= 8 and " " not in key
        if not short:
            return self._find_hierarch(key)
        if self._index is None:
            self._lookups += 1
            if self._lookups <= _QUICK_LOOKUPS and len(self.raw) > _LONG:
                return self._scan(key)  # indexing a long header for a few keys costs more
            self._build_index()
            assert self._index is not None
        at = self._index.get(_padded(key), -1)
        if at >= 0 and self.raw[at + 8 : at + 9] != b"=":
            return self._scan(key)  # a commentary card of that name came first
        return at if at >= 0 else self._find_hierarch(key)

    def _cards(self, dtype: str, start: int = 0) -> _Array:
        """The bytes of every card from number `start` on, as one array of `dtype`."""
        return np.ndarray((len(self.raw) // CARD,), dtype, self.raw, start, (CARD,))

    def _scan(self, key: str) -> int:
        words = self._cards("<u8")
        name = key.ljust(8).encode("latin-1", "replace")
        for i in (words == int.from_bytes(name, "little")).nonzero()[0].tolist():
            if self.raw[i * CARD + 8 : i * CARD + 9] == b"=":
                return int(i) * CARD
        return self._find_hierarch(key)

    def _build_index(self) -> None:
        names = self._cards("S8").tobytes() if self.raw else b""
        if b"HIERARCH" not in names:
            self._index, self._hierarch = _offsets(names), {}
            return
        plain = self._cards("<u8") != _HIERARCH  # ESO's headers have thousands of the others
        found = self._cards("S8")[plain][::-1].tolist()
        offsets = (plain.nonzero()[0] * CARD).tolist()
        self._index = dict(zip(found, reversed(offsets), strict=True))  # the first one wins

    def _find_hierarch(self, key: str) -> int:
        """Byte offset of the first ``HIERARCH key = …`` card, or -1."""
        if self._hierarch is None:
            offsets, starts = self._long_names()
            if not len(offsets):
                self._hierarch = {}
            elif 0 < len(key) <= 8 and starts is not None:
                return self._scan_hierarch(key, offsets, starts)
            else:
                self._hierarch = self._index_hierarch(offsets)
        return self._hierarch.get(key, -1)

    def _long_names(self) -> tuple[_Array, _Array | None]:
        """Offsets of the HIERARCH cards and the first 8 bytes of their names.

        The latter are None if a name does not begin in column 10, one blank after HIERARCH.
        """
        if self._long is None:
            at = (self._cards("<u8") == _HIERARCH).nonzero()[0]
            starts = self._cards("<u8", 9)[at] if len(at) else at.astype("<u8")
            irregular = (starts & np.uint64(0xFF) == ord(" ")).any()
            self._long = at * CARD, None if irregular else starts
        return self._long

    def _scan_hierarch(self, key: str, offsets: _Array, starts: _Array) -> int:
        """One word among thousands of long names, without reading them all."""
        name = key.encode("latin-1", "replace")
        same = starts & np.uint64((1 << 8 * len(name)) - 1) == int.from_bytes(name, "little")
        for at in offsets[same].tolist():
            if self.raw[at + 9 + len(name) : at + CARD].lstrip().startswith(b"="):
                return int(at)
        return -1

    def _index_hierarch(self, offsets: _Array) -> dict[str, int]:
        found: dict[str, int] = {}
        bodies = self._cards("S71", 9)[offsets // CARD].tolist()
        for offset, body in zip(offsets.tolist(), bodies, strict=True):
            name, equals, _ = body.partition(b"=")
            if equals:
                found.setdefault(b" ".join(name.split()).decode("latin-1"), offset)
        return found

    def value_at(self, start: int) -> Value:
        """Value of the card at byte offset `start`, CONTINUE cards included."""
        card = self.raw[start : start + CARD].decode("latin-1")
        if card[8:11] == "= '":  # the usual text: in fixed format, in one card, no quote inside
            end = card.find("'", 11)
            if end > 0 and card[end + 1 : end + 2] in ("", " ", "/") and card[end - 1] != "&":
                return card[11:end].rstrip()
        body = card[9:] if card[8:9] == "=" else card.partition("=")[2]
        stripped = body.lstrip()
        if not stripped.startswith("'"):
            return _literal(body.partition("/")[0].strip())
        value, closed = _quoted(stripped)
        at = start + CARD
        while closed and value.endswith("&") and self.raw.startswith(b"CONTINUE", at):
            more, closed = _quoted(self.raw[at + 8 : at + CARD].decode("latin-1").lstrip())
            value = value[:-1] + more
            at += CARD
        return value.rstrip()


@lru_cache(maxsize=4096)
def _padded(key: str) -> bytes:
    return key.ljust(8).encode("latin-1", "replace")


@lru_cache(maxsize=512)
def _offsets(names: bytes) -> Mapping[bytes, int]:
    """Byte offset of the first card of each keyword: most files of a survey share the order."""
    starts = range(len(names) - 8, -1, -8)
    return {names[at : at + 8]: at // 8 * CARD for at in starts}


def _quoted(text: str) -> tuple[str, bool]:
    """The FITS string at the start of `text`, and whether its quote was closed.

    Two quotes stand for one. A single one inside a word (``'O'Meara'``) is not allowed, yet real
    headers have it, and it cannot be the end.
    """
    parts: list[str] = []
    start = 1
    end = text.find("'", 1)
    while end >= 0:
        after = text[end + 1 : end + 2]
        if after in ("", " ", "/"):
            return "".join(parts) + text[start:end], True
        parts.append(text[start : end + 1])
        start = end + 2 if after == "'" else end + 1
        end = text.find("'", start)
    return "".join(parts) + text[start:], False


def _literal(token: str) -> Value:
    if not token:
        return None
    if token == "T":
        return True
    if token == "F":
        return False
    if "_" in token:
        return token  # Python reads 1_000 as a number, FITS does not
    if token.isdecimal() or (token[0] in "+-" and token[1:].isdecimal()):
        return int(token)
    try:
        return float(token.replace("D", "E").replace("d", "e"))
    except ValueError:
        return token  # not standard, yet real files hold bare words: keep what was written


@lru_cache(maxsize=4096)
def iso_to_mjd(text: str) -> float | None:
    """MJD of an ISO 8601 / FITS DATE-OBS text (also the old ``dd/mm/yy``), or None.

    A text with a UTC offset is turned to UTC; second 60 (a leap second) counts on.
    """
    s = text.strip().rstrip(".").replace(" ", "T")
    old = re.fullmatch(r"(\d\d)/(\d\d)/(\d\d)", s)
    if old:
        s = f"19{old[3]}-{old[2]}-{old[1]}"
    leap = 0
    if re.search(r"T\d\d:\d\d:60", s):
        s, leap = re.sub(r"(T\d\d:\d\d:)60", r"\g<1>59", s), 1
    try:
        when = datetime.fromisoformat(s)
        if when.tzinfo is not None:
            when = when.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return ((when - _MJD_ZERO).total_seconds() + leap) / 86400.0
