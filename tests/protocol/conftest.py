"""Fixtures of the served archive."""

from serve_client import client, desk, fresh, local, site
from vo_site import vo

__all__ = ["client", "desk", "fresh", "local", "site", "vo"]
