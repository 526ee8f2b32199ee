"""How long work reports and is cancelled: a protocol, so that no room knows the screen."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a job tells whoever is watching."""

    def start(self, what: str, total: int | None) -> None:
        """Begin a stage of `total` steps (None = unknown)."""

    def advance(self, steps: int = 1) -> None:
        """`steps` more are done."""

    def note(self, text: str) -> None:
        """Say something worth reading."""

    def cancelled(self) -> bool:
        """True once the user asked to stop; the job then stops at its next safe point."""
        ...


class Silent:
    """A watcher that shows nothing and never cancels."""

    def start(self, what: str, total: int | None) -> None:
        """Ignore."""

    def advance(self, steps: int = 1) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def cancelled(self) -> bool:
        """Never."""
        return False
