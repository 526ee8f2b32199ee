"""Fixtures of the served archive."""

from serve_client import client, desk, fresh, local, site

__all__ = ["client", "desk", "fresh", "local", "site"]
