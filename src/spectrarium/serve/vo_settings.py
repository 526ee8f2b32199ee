"""What an operator sets for the services of the Virtual Observatory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..domain.errors import UsageError
from ..settings import Settings


@dataclass(frozen=True, slots=True)
class VoSettings:
    """Who publishes, and the limits of services.

    url : address by which the world reaches the server; empty = the one that each request used
    maxrec, maxrec_most : rows where a client says nothing, and at most · query_s : of a TAP query
    or cut-out that is waited for · job_s : of one in the background · upload_mib : of one table
    upload_hosts : hosts that tables may be fetched from · jobs : folder of background jobs; None =
    beside the archive · database : ``postgresql://…``; empty = embedded
    """

    title: str = "Spectrarium archive"
    authority: str = "spectrarium.local"
    contact: str = ""
    contact_name: str = ""
    url: str = ""
    maxrec: int = 20_000
    maxrec_most: int = 1_000_000
    query_s: float = 60.0
    job_s: float = 3600.0
    upload_mib: int = 64
    upload_hosts: tuple[str, ...] = ()
    jobs: Path | None = None
    database: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,}", self.authority):
            raise UsageError(f"{self.authority!r} is no authority", code="bad_authority",
                             where="--authority",
                             remedy="letters, digits, points and hyphens: org.example")  # fmt: skip
        parts = urlsplit(self.url)
        if self.url and not (parts.scheme in ("http", "https") and parts.hostname):
            raise UsageError(f"{self.url!r} is no address of a server", code="bad_url",
                             where="--url", remedy="write https://archive.example.org")  # fmt: skip


def vo_settings(settings: Settings, said: Mapping[str, Any]) -> VoSettings:
    """The settings of the environment, and what was said at the command line before them.

    Raises UsageError (bad_authority, bad_url).
    """
    found = {f.name: getattr(settings, f"vo_{f.name}") for f in fields(VoSettings)}
    found |= said
    return VoSettings(**(found | {"url": found["url"].rstrip("/")}))
