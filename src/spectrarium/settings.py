"""Settings from the environment; read by the command line and the server only."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from .domain.errors import UsageError

PREFIX = "SPECTRARIUM_"


def _listed(value: Any) -> Any:
    """``a.org, b.org`` or ``["a.org", "b.org"]`` as a list."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError("neither names by comma nor a JSON list") from error
    return [part.strip() for part in value.split(",") if part.strip()]


Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)]


class Settings(BaseSettings):
    """Variables ``SPECTRARIUM_ARCHIVE``, ``SPECTRARIUM_WORKERS``, ``SPECTRARIUM_TOKEN`` …"""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    archive: Path = Path("archive")
    """Folder of the archive when --archive is not given."""
    workers: int | None = None
    """Reading processes of an ingest; one a core by default."""
    wait_s: float = 60.0
    """How long to wait for another writer."""
    host: str = "127.0.0.1"
    """Address that `serve` listens at; other machines reach it only at another, with a token."""
    port: int = Field(8600, ge=0, le=65535)
    """Port of `serve`; 0 takes any free one."""
    token: SecretStr | None = None
    """Who gives it to `serve` is the operator; at least 16 characters."""
    people: Path | None = None
    """File of selections, notes and users; beside the archive by default."""
    names: Hosts = ()
    """Further host names that `serve` is reached by, by comma; they need a token."""
    upload_mib: int = Field(64, ge=1, le=4096)
    """Largest spectrum file that `serve` takes, in MiB."""

    vo_title: str = "Spectrarium archive"
    """What the archive is called in the Virtual Observatory."""
    vo_authority: str = "spectrarium.local"
    """Authority of its identifiers, ``org.example``; one that you have registered."""
    vo_contact: str = ""
    """E-mail address of who answers questions."""
    vo_contact_name: str = ""
    """Name that goes with it."""
    vo_url: str = ""
    """Address by which the world reaches `serve`, such as ``https://host.org``; needs a token."""
    vo_maxrec: int = Field(20_000, ge=1)
    """Rows of an answer where a client says nothing."""
    vo_maxrec_most: int = Field(1_000_000, ge=1)
    """Rows of an answer at most."""
    vo_query_s: float = Field(60.0, gt=0)
    """Seconds that a TAP query or a cut-out may take while the client waits."""
    vo_job_s: float = Field(3600.0, gt=0)
    """Seconds that a background job may take."""
    vo_upload_mib: int = Field(64, ge=1, le=4096)
    """Largest table that TAP takes, in MiB."""
    vo_upload_hosts: Hosts = ()
    """Hosts that TAP may fetch tables from, by comma; none by default."""
    vo_jobs: Path | None = None
    """Folder of background jobs; beside the archive by default."""
    vo_database: str = ""
    """``postgresql://…`` where TAP is to use a server that you run; embedded by default."""

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            first = error.errors()[0]
            raise _bad_setting(
                str(first["loc"][0]), f"{first['input']!r}: {first['msg']}"
            ) from error
        except SettingsError as error:  # of a field whose text is decoded before it is validated
            named = re.search(r'field "(\w+)"', str(error))
            raise _bad_setting(named[1] if named else "", str(error)) from error

    def secret(self) -> str | None:
        """The token, if there is one."""
        return self.token.get_secret_value() if self.token is not None else None


def _bad_setting(field: str, what: str) -> UsageError:
    return UsageError(what, code="bad_setting", where=PREFIX + field.upper(),
                      remedy="mend or unset this variable")  # fmt: skip


def headless() -> bool:
    """Whether there is no screen that a browser could open on."""
    if sys.platform in ("win32", "darwin"):
        return bool(os.environ.get("SSH_CONNECTION"))
    return not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
