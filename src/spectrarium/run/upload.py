"""Files that somebody drops on the page: read apart, kept for a while, never stored."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..domain.errors import UsageError
from ..domain.observation import printable
from ..domain.spectrum import Spectrum
from ..read.source import ReadOptions
from ..store.summary import summarise
from .upload_reading import close, read_apart

MOST_A_USER = 8
MOST_BYTES = 1 << 30
"""Of spectra kept for everybody together."""
KEPT_S = 3600.0
PREFIX = "upload:"


@dataclass(frozen=True, slots=True)
class Upload:
    """The spectra of one file, and what could not be read.

    problems : code, what, where, remedy of each
    """

    token: str
    name: str
    owner: str
    spectra: tuple[Spectrum, ...]
    problems: tuple[dict[str, str], ...]
    notes: tuple[str, ...]
    nbytes: int
    until: float

    def record(self) -> dict[str, Any]:
        """Plain values: token, name, spectra (id, title, n, range, S/N), problems, notes."""
        listed = [_listed(s, f"{PREFIX}{self.token}:{i}") for i, s in enumerate(self.spectra)]
        return {"token": self.token, "name": self.name, "spectra": listed,
                "problems": list(self.problems), "notes": list(self.notes)}  # fmt: skip


def _listed(spectrum: Spectrum, identifier: str) -> dict[str, Any]:
    facts = summarise(spectrum, None)
    o = spectrum.observation
    return {
        "id": identifier, "title": o.target_name or o.obs_id or spectrum.provenance.path,
        "n": spectrum.flux.size, "n_good": facts.n_good,
        "lo_aa": None if facts.em_min_m is None else facts.em_min_m * 1e10,
        "hi_aa": None if facts.em_max_m is None else facts.em_max_m * 1e10,
        "snr": facts.snr, "snr_source": facts.snr_source, "medium": spectrum.axis.medium.value,
        "specsys": spectrum.axis.specsys.value, "flux_unit": spectrum.flux_unit,
        "reader": spectrum.provenance.reader, "warnings": list(spectrum.provenance.warnings),
    }  # fmt: skip


@dataclass(eq=False)
class Uploads:
    """What was uploaded, the oldest of each user forgotten beyond eight, everything after an hour.

    A token cannot be guessed and is good for the user who uploaded only.
    """

    clock: Any = time.monotonic
    _kept: OrderedDict[str, Upload] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, owner: str, name: str, data: bytes, options: ReadOptions) -> Upload:
        """Read a file's bytes and keep its spectra.

        Raises UsageError (empty_file). A file that cannot be read gives an upload of no spectra
        whose `problems` say why.
        """
        if not data:
            raise UsageError("the file is empty (0 bytes)", code="empty_file", where=name,
                             remedy="choose another file")  # fmt: skip
        name = plain_name(name)
        read = read_apart(name, data, options)
        size = sum(_size(s) for s in read.spectra)
        made = Upload(
            secrets.token_urlsafe(12), name, owner, tuple(read.spectra), tuple(read.problems),
            tuple(read.notes), size, self.clock() + KEPT_S,
        )  # fmt: skip
        with self._lock:
            self._tidy()
            if made.spectra:
                self._kept[made.token] = made
                self._shrink(owner)
        return made

    def _tidy(self) -> None:
        now = self.clock()
        for token in [t for t, one in self._kept.items() if one.until < now]:
            del self._kept[token]

    def _shrink(self, owner: str) -> None:
        mine = [t for t, one in self._kept.items() if one.owner == owner]
        for token in mine[:-MOST_A_USER]:
            del self._kept[token]
        while sum(one.nbytes for one in self._kept.values()) > MOST_BYTES and len(self._kept) > 1:
            self._kept.popitem(last=False)

    def spectrum(self, owner: str, identifier: str) -> Spectrum:
        """The spectrum of an id ``upload:TOKEN:N``.

        Raises UsageError (no_upload) : unknown, another's, or forgotten
        """
        token, _, number = identifier.removeprefix(PREFIX).partition(":")
        with self._lock:
            self._tidy()
            one = self._kept.get(token)
            if one is not None and one.owner == owner:
                self._kept.move_to_end(token)
                if number.isdecimal() and len(number) < 6 and int(number) < len(one.spectra):
                    return one.spectra[int(number)]
        raise UsageError(
            "that upload is not there any more: the server keeps them for an hour, eight a user",
            code="no_upload", where=identifier[:80], remedy="drop the file again",
        )  # fmt: skip

    def forget(self, owner: str, token: str) -> None:
        """Drop an upload. Raises UsageError (no_upload)."""
        with self._lock:
            one = self._kept.get(token)
            if one is None or one.owner != owner:
                raise UsageError("there is no such upload", code="no_upload", where=token[:40])
            del self._kept[token]

    def close(self) -> None:
        """End the process that waits for the next file."""
        close()


def plain_name(name: str) -> str:
    """A file's name without folders and control characters, of 120 characters at most."""
    bare = printable(name).replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in bare if c.isprintable())[-120:] or "upload"


def _size(s: Spectrum) -> int:
    arrays = [s.flux, s.uncertainty, s.flags, s.axis.values, *s.extras.values()]
    return sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))
