"""The front door for Python users: ``sp.open(DIR)`` and what can be done with an archive."""

from .archive import Archive, open_archive, read_spectra

__all__ = ["Archive", "open_archive", "read_spectra"]
