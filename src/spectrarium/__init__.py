"""Spectrarium: explore archives of astronomical spectra."""

__version__ = "0.1.0"
