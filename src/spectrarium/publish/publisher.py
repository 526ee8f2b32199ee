"""Who publishes, and how services and datasets are named and reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode

from ..domain.errors import UsageError

LOCAL = "spectrarium.local"
"""Authority of archives whose operator has named none: no registry knows it."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """What an operator says of the archive as a publisher.

    authority : of IVOIDs, as registered (``org.example``) · contact : e-mail address
    base : address of the server, without a slash at its end
    """

    title: str = "Spectrarium archive"
    authority: str = LOCAL
    contact: str = ""
    contact_name: str = ""
    base: str = "http://127.0.0.1:8600"

    def at(self, path: str, **query: Any) -> str:
        """The absolute address of a path, with parameters escaped."""
        given = [(k, v) for k, v in query.items() if v is not None]
        return f"{self.base}{path}" + (f"?{urlencode(given, quote_via=quote)}" if given else "")

    def did(self, record: Mapping[str, Any]) -> str:
        """Publisher's dataset identifier: ``ivo://AUTHORITY/COLLECTION?OBS_ID``, parts escaped."""
        collection, obs_id = (quote(str(record.get(n))) for n in ("obs_collection", "obs_id"))
        return f"ivo://{self.authority}/{collection}?{obs_id}"

    def ivoid(self, path: str) -> str:
        """IVOID of a service: ``ivo://AUTHORITY/path``."""
        return f"ivo://{self.authority}/{path}"

    @property
    def named(self) -> bool:
        """Whether an operator has said who publishes: what a registry needs."""
        return self.authority != LOCAL and bool(self.contact)


def identity_of(did: str) -> str:
    """``COLLECTION:OBS_ID`` of a publisher's DID, whatever its authority; others as they are.

    Raises UsageError (unknown_id) for an IVOID that is no dataset's.
    """
    if not did.startswith("ivo://"):
        return did
    path, mark, query = did.removeprefix("ivo://").partition("?")
    collection = path.partition("/")[2]
    if not (mark and collection and query):
        raise UsageError(f"{did[:200]!r} names no dataset", code="unknown_id", where="ID",
                         remedy="use an obs_publisher_did of this archive")  # fmt: skip
    return f"{unquote(collection)}:{unquote(query)}"
