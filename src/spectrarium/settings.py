"""Settings from the environment; read by the command line and the server only."""

from __future__ import annotations

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Variables ``SPECTRARIUM_ARCHIVE``, ``SPECTRARIUM_WORKERS``, ``SPECTRARIUM_WAIT_S``."""

    model_config = SettingsConfigDict(env_prefix="SPECTRARIUM_", extra="ignore")

    archive: Path = Path("archive")
    """Folder of the archive when --archive is not given."""
    workers: int | None = None
    """Reading processes of an ingest; one a core by default."""
    wait_s: float = 60.0
    """How long to wait for another writer."""
