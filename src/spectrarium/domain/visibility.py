"""Which collections somebody may see: given to every query of an archive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visibility:
    """What may be seen, whoever asks: equal for people with the same rights, so it keys caches.

    hidden : collections that may not be seen
    only : the only ones that may; None = all that are not hidden, those to come included
    """

    hidden: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def sees(self, collection: str | None) -> bool:
        """Whether observations of a collection are there at all for this asker."""
        if self.only is not None and collection not in self.only:
            return False
        return collection not in self.hidden

    @property
    def everything(self) -> bool:
        """True where nothing is hidden, whatever an archive holds."""
        return not self.hidden and self.only is None


EVERYTHING = Visibility()
