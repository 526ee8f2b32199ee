"""Lines by the names that people give them."""

from __future__ import annotations

import difflib
import re

from ..domain.errors import UsageError
from ..measure.airvac import vac_to_air
from ..measure.lines import LINES, Line, LineKind

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon"}
_BLEND = 0.012
_SOURCE = tuple(k for k in LineKind if k not in (LineKind.SKY, LineKind.TELLURIC))


def lines_named(text: str) -> tuple[Line, ...]:
    """The line, or the members of one close multiplet, that a name means.

    ``Halpha``, ``Ha``, ``Hα``, ``H_alpha``, ``[OIII]5007``, ``OIII_5008``, ``Ca K``, ``NaD`` …;
    numbers may be air or vacuum wavelengths.

    Raises
    ------
    UsageError (unknown_line, ambiguous_line) : listing what there is
    """
    wanted = _plain(text)
    known: dict[str, dict[str, Line]] = {}
    for entry in LINES:
        if entry.kind in _SOURCE:
            for key in _keys(entry):
                known.setdefault(key, {})[entry.name] = entry
    found = sorted(known.get(wanted, {}).values(), key=lambda entry: entry.wave_vac_aa)
    if not found:
        names = ", ".join(entry.name for entry in LINES if entry.kind in _SOURCE)
        near = [n for key in difflib.get_close_matches(wanted, known, 3, 0.7) for n in known[key]]
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
        raise UsageError(f"no line is called {text!r}", code="unknown_line", where="--line",
                         remedy=f"{hint}choose one of: {names}; or give --window LO "
                         "HI")  # fmt: skip
    if found[-1].wave_vac_aa / found[0].wave_vac_aa > 1.0 + _BLEND:
        names = ", ".join(entry.name for entry in found)
        raise UsageError(f"{text!r} is several lines", code="ambiguous_line", where="--line",
                         remedy=f"choose one of: {names}")  # fmt: skip
    return tuple(found)


def _keys(entry: Line) -> set[str]:
    out = {_plain(entry.name), _plain(entry.label)}
    for key in list(out):
        for greek in _GREEK.values():
            if key.endswith(greek):
                out.add(key.removesuffix(greek) + greek[0])
    species = re.match(r"([a-z]+)", _plain(entry.label))
    if species and entry.wave_vac_aa > 2000:
        air = float(vac_to_air(entry.wave_vac_aa, outside="keep"))
        out |= {f"{species[1]}{w:.0f}" for w in (air, entry.wave_vac_aa)}
        out |= {f"{species[1]}{int(w)}" for w in (air, entry.wave_vac_aa)}
    return out


def _plain(text: str) -> str:
    for letter, word in _GREEK.items():
        text = text.replace(letter, word)
    return re.sub(r"[^a-z0-9]", "", text.lower())
