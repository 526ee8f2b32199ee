"""``spectrarium show``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ..domain.spectrum import Spectrum
from ..store.schema import CATALOGUE
from .output import archive_option, cell, console, emit, json_option, opened

_HIDDEN = {"dataproduct_type", "obs_publisher_did"}
_UNITS = {c.name: f" {c.unit}" for c in CATALOGUE if c.unit}


@click.command()
@click.argument("identifier", metavar="ID")
@click.option("--window", nargs=2, type=float, default=None, metavar="LO HI", help="Å.")
@click.option("--plot", type=click.Path(path_type=Path), default=None, help="Write a picture.")
@click.option("--samples", is_flag=True, help="With --json: include the samples themselves.")
@archive_option
@json_option
def command(
    identifier: str, window: tuple[float, float] | None, plot: Path | None, samples: bool,
    folder: Path | None, version: int | None, as_json: bool,
) -> None:  # fmt: skip
    """One observation: its record with labels, and what its samples look like."""
    archive = opened(folder, version)
    record = archive.record(identifier)
    spectrum = archive.window(identifier, *window) if window else archive.read(identifier)
    facts = _facts(spectrum)
    if plot is not None:
        from ..plot.spectrum import plot_spectrum
        from ..plot.style import save

        facts["plot"] = str(save(plot_spectrum(spectrum, window_aa=window), plot))
    if as_json:
        emit(record | facts | (_samples(spectrum) if samples else {}))
        return
    known = {k: v for k, v in (record | facts).items() if v is not None and k not in _HIDDEN}
    width = max(map(len, known))
    for name, value in known.items():
        unit = _UNITS.get(name, "")
        console.print(f"{name:<{width}}  {cell(value, name)}{unit}", markup=False)


def _facts(s: Spectrum) -> dict[str, Any]:
    wave, good = s.wave_aa, ~s.mask
    facts: dict[str, Any] = {"samples_read": s.flux.size, "samples_good": int(good.sum())}
    if good.any():
        facts |= {
            "wave_min_aa": float(wave[good].min()), "wave_max_aa": float(wave[good].max()),
            "flux_median": float(np.median(s.flux[good])),
        }  # fmt: skip
    return facts


def _samples(s: Spectrum) -> dict[str, Any]:
    ivar = s.ivar
    return {
        "wave_aa": s.wave_aa.reshape(-1).tolist(), "flux": s.flux.reshape(-1).tolist(),
        "ivar": None if ivar is None else ivar.reshape(-1).tolist(),
        "mask": s.mask.reshape(-1).tolist(),
    }  # fmt: skip
