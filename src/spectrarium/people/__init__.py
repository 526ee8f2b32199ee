"""Users and what they keep: rights, selections, judgements, notes, workspaces, past jobs.

One SQLite file beside the archive, never inside it.
"""

from .people import People, people_beside

__all__ = ["People", "people_beside"]
