"""What must not be skipped: SPECTRARIUM_REQUIRE=data,gaiaxpy turns those skips into failures."""

from __future__ import annotations

import os

import pytest

REQUIRED = set(filter(None, os.environ.get("SPECTRARIUM_REQUIRE", "").split(",")))


def need(name: str, present: bool, reason: str) -> None:
    """Skip with a reason when `name` is absent; fail instead if SPECTRARIUM_REQUIRE names it."""
    if present:
        return
    if name in REQUIRED:
        pytest.fail(f"{name} is required here, but {reason}")
    pytest.skip(reason)
