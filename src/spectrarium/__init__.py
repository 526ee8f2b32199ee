"""Spectrarium: explore archives of astronomical spectra.

>>> import spectrarium as sp
>>> archive = sp.open("my-archive")       # doctest: +SKIP
>>> archive.ingest(["data/"])             # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "open": ("api", "open_archive"),
    "read_spectra": ("api", "read_spectra"),
    "send": ("api.sending", "send"),
    "Archive": ("api", "Archive"),
    "Spectrum": ("domain.spectrum", "Spectrum"),
    "EchelleSpectrum": ("domain.spectrum", "EchelleSpectrum"),
    "SpectralAxis": ("domain.axis", "SpectralAxis"),
    "Observation": ("domain.observation", "Observation"),
    "Provenance": ("domain.observation", "Provenance"),
}
__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from .api import Archive as Archive
    from .api import open_archive as open  # noqa: F401
    from .api import read_spectra as read_spectra
    from .api.sending import send as send
    from .domain.axis import SpectralAxis as SpectralAxis
    from .domain.observation import Observation as Observation
    from .domain.observation import Provenance as Provenance
    from .domain.spectrum import EchelleSpectrum as EchelleSpectrum
    from .domain.spectrum import Spectrum as Spectrum


def __getattr__(name: str) -> Any:
    """Load a public name on first use: `import spectrarium` stays instant."""
    if name not in _HOME:
        raise AttributeError(f"module 'spectrarium' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
