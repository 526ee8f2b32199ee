"""Settings from the environment; read by the command line and the server only."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .domain.errors import UsageError


class Settings(BaseSettings):
    """Variables ``SPECTRARIUM_ARCHIVE``, ``SPECTRARIUM_WORKERS``, ``SPECTRARIUM_WAIT_S``."""

    model_config = SettingsConfigDict(env_prefix="SPECTRARIUM_", extra="ignore")

    archive: Path = Path("archive")
    """Folder of the archive when --archive is not given."""
    workers: int | None = None
    """Reading processes of an ingest; one a core by default."""
    wait_s: float = 60.0
    """How long to wait for another writer."""

    def __init__(self) -> None:
        try:
            super().__init__()
        except ValidationError as error:
            first = error.errors()[0]
            name = "SPECTRARIUM_" + "_".join(map(str, first["loc"])).upper()
            raise UsageError(f"{first['input']!r}: {first['msg']}", code="bad_setting", where=name,
                             remedy="mend or unset this variable") from error  # fmt: skip
