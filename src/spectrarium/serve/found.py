"""The spectrum that an id in a URL names: of the archive, or uploaded."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain.spectrum import Spectrum
from ..run.upload import PREFIX, Uploads
from .asking import Ask


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """row : of the open version, or None for an upload, whose `spectrum` it then is."""

    id: str
    row: int | None
    spectrum: Spectrum | None = None

    def read(self, ask: Ask) -> Spectrum:
        """The spectrum itself."""
        if self.spectrum is not None:
            return self.spectrum
        assert self.row is not None
        return ask.archive.read_rows([self.row])[0]


def uploads(ask: Ask) -> Uploads:
    """What was uploaded to this server."""
    return ask.served.kept("uploads", Uploads)


def found(ask: Ask) -> Found:
    """What ``{id}`` of the path names. Raises UsageError (unknown_id, ambiguous_id, no_upload)."""
    text = ask.path["id"]
    if text.startswith(PREFIX):
        return Found(text, None, uploads(ask).spectrum(owner_of(ask), text))
    row = ask.archive.resolve(text)
    record = ask.archive.catalogue([row], ["obs_collection", "obs_id"]).to_pylist()[0]
    return Found(f"{record['obs_collection']}:{record['obs_id']}", row)


def owner_of(ask: Ask) -> str:
    """Whose uploads these are: guests are told apart by nothing but the token."""
    return ask.user.name
