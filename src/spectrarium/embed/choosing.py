"""Settings of an encoder that are chosen by their own names, as values or in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from ..domain.errors import UsageError
from .encoder import Encoder, settings_type

_WORDS = {"true": True, "yes": True, "on": True, "1": True,
          "false": False, "no": False, "off": False, "0": False}  # fmt: skip
_SAID = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text",
         tuple: "whole numbers, separated by commas"}  # fmt: skip


def choosable(kind: type[Encoder]) -> dict[str, Any]:
    """Names of an encoder's settings that can be chosen → their types, in the order they have."""
    found = settings_type(kind)
    if found is None:
        return {}
    hints = get_type_hints(found)
    types = {f.name: hints[f.name] for f in fields(found)}
    return {name: hint for name, hint in types.items() if _kind(hint) in _SAID}


def chosen(kind: type[Encoder], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for, each of its setting's type; texts (of a command line) are read as that.

    Raises
    ------
    UsageError : a name that is no setting of this encoder (``no_such_setting``), a value of another
        type than the setting's (``bad_option``); both list the settings
    """
    types = choosable(kind)
    names = ", ".join(types) or "none"
    out = {}
    for name, value in asked.items():
        if name not in types:
            raise UsageError(f"{name!r} is no setting of this encoder", code="no_such_setting",
                             where=kind.__name__, remedy=f"it knows: {names}")  # fmt: skip
        try:
            out[name] = _read(types[name], value)
        except (ValueError, TypeError, KeyError, OverflowError):
            raise UsageError(
                f"{name} cannot be {value!r}", code="bad_option", where=f"--set {name}",
                remedy=f"give {_SAID[_kind(types[name])]}; {kind.__name__} knows: {names}",
            ) from None  # fmt: skip
    return out


def _optional(hint: Any) -> tuple[Any, bool]:
    """(the type but for None, whether None is allowed)."""
    some = [t for t in get_args(hint) if t is not type(None)]
    if type(None) in get_args(hint) and len(some) == 1:
        return some[0], True
    return hint, False


def _kind(hint: Any) -> Any:
    plain, _ = _optional(hint)
    if get_origin(plain) is tuple:
        return tuple if get_args(plain) == (int, ...) else None
    return plain


def _read(hint: Any, value: Any) -> Any:
    """The value as that type. Raises ValueError, TypeError, KeyError or OverflowError."""
    kind = _kind(hint)
    if _optional(hint)[1] and (value is None or value == "none"):
        return None
    if kind is tuple:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, Iterable):
            raise ValueError
        return tuple(_read(int, part) for part in parts)
    if kind is str:
        if not isinstance(value, str):
            raise ValueError
        return value
    if isinstance(value, str):
        value = _WORDS[value.lower()] if kind is bool else kind(value)
    return _as(kind, value)


def _as(kind: Any, value: Any) -> bool | int | float:
    truth = isinstance(value, bool | np.bool_)
    if kind is bool and truth:
        return bool(value)
    if kind is int and isinstance(value, Integral) and not truth:
        return int(value)
    if kind is float and isinstance(value, Real) and not truth and math.isfinite(value):
        return float(value)
    raise ValueError
