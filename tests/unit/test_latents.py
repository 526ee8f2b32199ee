"""The report on latents: as many as are asked for, each with each quantity, twelve to a page."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from spectrarium.cli.meaning import _most, markdown
from spectrarium.domain.errors import UsageError
from spectrarium.explore.information import LatentScores
from spectrarium.explore.meaning import ProbeResult
from spectrarium.plot import latents
from spectrarium.plot.latents import plot_latents
from spectrarium.run.latents import latent_matrix, latent_records
from spectrarium.run.meaning import Finding, Meaning
from spectrarium.run.quantities import Quantity, Role

D, PIX = 30, 64
WAVE = np.linspace(4000.0, 7000.0, PIX)


def finding(name: str, role: Role, latent: int, score: float) -> Finding:
    scores, p = np.full(D, 0.01), np.ones(D)
    scores[latent], p[latent] = score, 0.002
    result = ProbeResult("ridge", "R²", 0.9, 0.0, (0.8, 0.95), 0.01, 0.0, 100, 100)
    return Finding(Quantity(name, role, np.zeros(100)), {"own": {"ridge": result}}, 0.01, {},
                   LatentScores(scores, p, np.full(D, 0.5)))  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Meaning:
    rng = np.random.default_rng(0)
    modes = rng.standard_normal((D, PIX)).astype(np.float32)
    domain = SimpleNamespace(wave_aa=WAVE, frame="observed")
    model = SimpleNamespace(domain=domain, decode=lambda v: 1 + v @ modes)
    found = (finding("airmass", Role.NUISANCE, 20, 0.3), finding("teff", Role.PHYSICAL, 0, 0.8),
             finding("feh", Role.PHYSICAL, 25, 0.6))  # fmt: skip
    shares = np.linspace(2, 0.1, D)
    return Meaning("pca.x", "pca.x@0", 100, 100, 100, 0, found, {}, shares / shares.sum(), {},
                   SimpleNamespace(model=model), rng.standard_normal((100, D)).astype(np.float32),
                   np.zeros(100))  # fmt: skip


def test_the_matrix_has_every_latent_and_every_quantity(report):
    rows = latent_matrix(report, D)
    assert [r["latent"] for r in rows] == list(range(D))
    assert all(list(r) == ["latent", "teff", "feh", "airmass"] for r in rows)
    assert rows[0]["teff"] == "0.80*"
    assert rows[25]["feh"] == "0.60*"
    assert rows[20]["airmass"] == "0.30*"
    assert rows[7]["feh"] == "0.01"


def test_the_page_has_what_was_asked_for(report):
    plain = markdown(report)
    assert plain.count("\n| ") == 1 + 3 + 1 + 12
    assert "0.60" not in plain, "the 26th latent is not among the first 12"
    whole = markdown(report, 10**6, True)
    assert whole.count("\n| ") == 1 + 3 + 2 * (1 + D)
    assert "| 25 | 0.01 | 0.60* | 0.01 |" in whole
    assert markdown(report, 5, True).count("\n| ") == 1 + 3 + 2 * (1 + 5)
    assert len(latent_records(report, 10**6)) == D


def test_pictures_are_pages_of_twelve(report, tmp_path, monkeypatch):
    drawn = []

    def figure(effects, wave, *, heading, **_):
        drawn.append(([e.index for e in effects], heading))

    monkeypatch.setattr(latents, "latents_figure", figure)
    monkeypatch.setattr(latents, "save", lambda figure, path: path)
    names = [p.name for p in plot_latents([report], tmp_path / "l.png", 10**6)]
    assert names == ["l-1.png", "l-2.png", "l-3.png"]
    assert [i for shown, _ in drawn for i in shown] == list(range(D))
    assert [len(shown) for shown, _ in drawn] == [12, 12, 6]
    assert drawn[1][1].endswith("13–24 of 30")
    assert [p.name for p in plot_latents([report], tmp_path / "m.png")] == ["m.png"]
    two = plot_latents([report, report], tmp_path / "n.png", 3)
    assert [p.name for p in two] == ["n.png", "n-2.png"]
    assert drawn[-1] == ([0, 1, 2], "What the latents of pca.x do, by share of variance")


def test_a_page_is_drawn(report, tmp_path):
    (page,) = plot_latents([report], tmp_path / "l.png", 2)
    assert page.stat().st_size > 10_000


@pytest.mark.parametrize(("words", "most"), [(None, 12), ("7", 7), ("all", 10**6)])
def test_how_many_is_a_number_or_all(words, most):
    assert _most(words) == most


@pytest.mark.parametrize("words", ["0", "-3", "many", "1.5", ""])
def test_anything_else_is_refused(words):
    with pytest.raises(UsageError) as caught:
        _most(words)
    assert caught.value.code == "bad_latents"
