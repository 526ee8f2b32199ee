"""Pictures of answers: what is like this one, what is strange here."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from ..run.answers import Answer, Outliers, Similar
from ..store.archive import Archive
from .neighbours import Panel, plot_neighbours
from .outliers import plot_outliers as outliers_figure
from .style import save

MOST = 12
"""Panels of one picture; more are not legible."""


def similar_figure(archive: Archive, found: Similar, dark: bool = False) -> Figure:
    """The query above its nearest neighbours, with where they differ."""
    shown = found.answers[:MOST]
    names = _names(archive, shown)
    panels = [
        Panel(flux=a.flux, ivar=a.ivar, name=names[i], regions=a.drivers,
              note=f"distance {a.value:.3g}   S/N {a.snr:.0f}")
        for i, a in enumerate(shown)
    ]  # fmt: skip
    o = found.query_spectrum.observation
    name = " · ".join(x for x in (o.obs_id or found.query, o.target_class) if x)
    query = Panel(flux=found.query_flux, ivar=found.query_ivar, name=name)
    return plot_neighbours(
        query, panels, found.wave_aa, wave_label=_wave_label(found.frame),
        heading=f"Most like {found.query} among {found.searched}", dark=dark,
    )  # fmt: skip


def outliers_figures(archive: Archive, found: Outliers, dark: bool = False) -> dict[str, Figure]:
    """One figure a model: spectra of different models share no axis."""
    out: dict[str, Figure] = {}
    for model, wave in found.waves.items():
        shown = [a for a in found.answers if a.model == model][:MOST]
        names = _names(archive, shown)
        panels = [
            Panel(flux=a.flux, ivar=a.ivar, model=a.reconstruction, regions=a.drivers,
                  name=names[i],
                  note=f"{a.significance:+.1f} σ   score {a.value:.3g}   S/N {a.snr:.0f}")
            for i, a in enumerate(shown)
        ]  # fmt: skip
        out[model] = outliers_figure(
            panels, wave, wave_label=_wave_label(found.frames[model]),
            heading=f"Strangest by {found.score}: {model.split('@')[0]}", dark=dark,
        )  # fmt: skip
    return out


def plot_similar(archive: Archive, found: Similar, path: Path) -> list[Path]:
    """Write the picture of a similarity answer."""
    return [save(similar_figure(archive, found), path)]


def plot_outliers(archive: Archive, found: Outliers, path: Path) -> list[Path]:
    """Write the pictures of an outlier answer: ``out.png``, then ``out-2.png`` … by model."""
    paths = []
    for i, figure in enumerate(outliers_figures(archive, found).values()):
        name = path if i == 0 else path.with_name(f"{path.stem}-{i + 1}{path.suffix}")
        paths.append(save(figure, name))
    return paths


def _names(archive: Archive, answers: list[Answer]) -> list[str]:
    rows = [a.row for a in answers]
    ids: list[str] = archive.catalogue(rows, ["obs_id"]).column(0).to_pylist()
    return [" · ".join(x for x in pair if x) for pair in zip(ids, archive.classes(rows),
                                                            strict=True)]  # fmt: skip


def _wave_label(frame: str) -> str:
    """Models see vacuum wavelengths; the frame is the class their members share."""
    words = {"observed": "observed frame", "rest": "rest frame", "unknown": "frame unknown"}
    return f"Vacuum wavelength [Å], {words.get(frame, frame)}"
