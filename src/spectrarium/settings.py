"""Settings from the environment; read by the command line and the server only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .domain.errors import UsageError


class Settings(BaseSettings):
    """Variables ``SPECTRARIUM_ARCHIVE``, ``SPECTRARIUM_WORKERS``, ``SPECTRARIUM_TOKEN`` …"""

    model_config = SettingsConfigDict(env_prefix="SPECTRARIUM_", extra="ignore")

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
    names: tuple[str, ...] = ()
    """Further host names that `serve` is reached by, as a JSON list."""
    upload_mib: int = Field(64, ge=1, le=4096)
    """Largest spectrum file that `serve` takes, in MiB."""

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            first = error.errors()[0]
            name = "SPECTRARIUM_" + "_".join(map(str, first["loc"])).upper()
            raise UsageError(f"{first['input']!r}: {first['msg']}", code="bad_setting", where=name,
                             remedy="mend or unset this variable") from error  # fmt: skip

    def secret(self) -> str | None:
        """The token, if there is one."""
        return self.token.get_secret_value() if self.token is not None else None


def headless() -> bool:
    """Whether there is no screen that a browser could open on."""
    if sys.platform in ("win32", "darwin"):
        return bool(os.environ.get("SSH_CONNECTION"))
    return not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
