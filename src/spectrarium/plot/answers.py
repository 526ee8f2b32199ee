"""Pictures of answers: what is like this one, what is strange here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ..measure.lines import LineKind, lines_between
from ..run.answers import Answer, Outliers, Similar
from ..store.archive import Archive
from .neighbours import Panel, plot_neighbours
from .outliers import plot_outliers as outliers_figure
from .outliers import strange_panels
from .style import save

MOST = 12
"""Panels of one picture; more are not legible."""
_REST = 0.003  # what is at rest is a star, unless its class says otherwise
_GAS = ("GALAXY", "QSO", "AGN", "NEBULA", "PN", "HII")


def similar_figure(archive: Archive, found: Similar, dark: bool = False) -> Figure:
    """The query above its nearest neighbours, with where they differ and what lies there."""
    shown = found.answers[:MOST]
    names = _names(archive, shown)
    pixels = found.metric != "embedding"
    panels = [
        Panel(flux=a.flux, ivar=a.ivar, name=names[i], regions=a.drivers,
              note=f"distance {_share(a.value) if pixels else format(a.value, '.3g')}   "
              f"S/N {a.snr:.0f}",
              labels=_labels(a),
              contribution=None if a.explanation is None else a.explanation.trace.contribution)
        for i, a in enumerate(shown)
    ]  # fmt: skip
    o = found.query_spectrum.observation
    z = None if found.redshift is None or found.frame == "rest" else f"z = {found.redshift:.4f}"
    known = (o.obs_id or found.query, o.target_class, z and z.replace("-", "\u2212"))
    query = Panel(flux=found.query_flux, ivar=found.query_ivar, labels=_query_labels(found),
                  name=" · ".join(x for x in known if x))  # fmt: skip
    by = f" by {found.metric}" if pixels else ""
    return plot_neighbours(
        query, panels, found.wave_aa, wave_label=_wave_label(found.frame),
        heading=f"Most like {found.query} among {found.searched}{by}", dark=dark,
    )  # fmt: skip


def _share(value: float | None) -> str:
    return "?" if value is None else f"{100 * value:.2g} %"


def _labels(answer: Answer) -> tuple[tuple[str, float], ...]:
    """The likeliest name of each region that sets an answer apart."""
    if answer.explanation is None:
        return ()
    found = [next((x for x in i if x.kind != "continuum"), i[0])
             for _, i in answer.explanation.named if i]  # fmt: skip
    return tuple((i.label + ("" if i.certain else "?"), i.wave_aa)
                 for i in found if i.kind != "continuum")  # fmt: skip


def _query_labels(found: Similar) -> tuple[tuple[str, float], ...]:
    """The strong lines where the query's redshift puts them; none if that is not known."""
    if found.redshift is None:
        return ()
    z = found.redshift
    kinds = [LineKind.HYDROGEN]
    if abs(z) > _REST or (found.query_spectrum.observation.target_class or "").upper() in _GAS:
        kinds += [LineKind.NEBULAR, LineKind.QUASAR]
    if z < 0.3:  # beyond, what is seen at optical wavelengths is not starlight by line
        kinds.append(LineKind.STELLAR)
    low, high = float(found.wave_aa[0]), float(found.wave_aa[-1])
    lines = lines_between(low, high, z=z, kinds=tuple(kinds), max_weight=1)
    return tuple((entry.label, at) for entry, at in lines)


def outliers_figures(archive: Archive, found: Outliers, dark: bool = False) -> dict[str, Figure]:
    """One figure a model: spectra of different models share no axis."""
    out: dict[str, Figure] = {}
    for model, wave in found.waves.items():
        shown = [a for a in found.answers if a.model == model][:MOST]
        if not shown:
            continue
        binned = f" in bins of {found.bins_of}" if found.bins_of else ""
        out[model] = outliers_figure(
            strange_panels(shown, _names(archive, shown)), wave,
            wave_label=_wave_label(found.frames[model]),
            heading=f"Strangest by {found.score}{binned}: {model.split('@')[0]}",
            expected="the model's" if shown[0].expected_by == "model" else "like its neighbours",
            ranks=[a.rank for a in shown], dark=dark,
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


def _names(archive: Archive, answers: Sequence[Answer]) -> list[str]:
    rows = [a.row for a in answers]
    ids: list[str] = archive.catalogue(rows, ["obs_id"]).column(0).to_pylist()
    return [" · ".join(x for x in pair if x) for pair in zip(ids, archive.classes(rows),
                                                            strict=True)]  # fmt: skip


def _wave_label(frame: str) -> str:
    """Models see vacuum wavelengths; the frame is the class their members share."""
    words = {"observed": "observed frame", "rest": "rest frame", "unknown": "frame unknown"}
    return f"Vacuum wavelength [Å], {words.get(frame, frame)}"
