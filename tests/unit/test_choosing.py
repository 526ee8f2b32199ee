"""Settings of an encoder by name: read as what they are, or refused with the names there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from spectrarium.domain.errors import UsageError
from spectrarium.embed.choosing import choosable, chosen
from spectrarium.embed.domain import ModelDomain
from spectrarium.embed.encoder import encoder_named, settings_of
from spectrarium.embed.grouping import ProposedModel
from spectrarium.run.train_options import WIDE_CROP, TrainOptions, completed, settings_for


@dataclass(frozen=True)
class Settings:
    layers: int = 3
    rate: float = 0.1
    fast: bool = True
    kernel: str = "box"
    widths: tuple[int, ...] = (8, 4)
    least: int | None = None
    table: dict | None = None


class Kind:
    def __init__(self, domain, settings: Settings | None = None) -> None: ...


class Bare:
    def __init__(self, domain) -> None: ...


def test_texts_are_read_as_the_types_that_settings_have():
    words = {"layers": "7", "rate": "1e-3", "fast": "No", "kernel": "7", "widths": "16,8, 4",
             "least": "2"}  # fmt: skip
    assert chosen(Kind, words) == {"layers": 7, "rate": 1e-3, "fast": False, "kernel": "7",
                                   "widths": (16, 8, 4), "least": 2}  # fmt: skip
    assert chosen(Kind, {"least": "none"}) == chosen(Kind, {"least": None}) == {"least": None}


def test_values_are_taken_as_they_are_but_for_their_exact_type():
    found = chosen(Kind, {"layers": np.int64(7), "rate": 2, "fast": np.True_, "widths": [3, 1]})
    assert found == {"layers": 7, "rate": 2.0, "fast": True, "widths": (3, 1)}
    assert [type(v) for v in found.values()] == [int, float, bool, tuple]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers", "many"), ("layers", "3.5"), ("layers", 3.0), ("layers", True), ("layers", None),
        ("rate", "fast"), ("rate", "nan"), ("rate", math.inf), ("rate", False), ("rate", [1.0]),
        ("fast", "maybe"), ("fast", 1), ("kernel", 3), ("widths", "8,x"), ("widths", ""),
        ("widths", 8), ("widths", [8.5]), ("least", "some"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(name, value):
    with pytest.raises(UsageError) as caught:
        chosen(Kind, {name: value})
    assert caught.value.code == "bad_option"
    assert name in caught.value.what
    assert name in caught.value.where
    assert "layers, rate, fast, kernel, widths, least" in caught.value.remedy


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError) as caught:
        chosen(encoder_named("pca"), {"width": 3})
    assert caught.value.code == "no_such_setting"
    assert "n_components, max_passes, tolerance, clip" in caught.value.remedy
    with pytest.raises(UsageError, match="no setting of this encoder") as caught:
        chosen(Bare, {"width": 3})
    assert caught.value.remedy == "it knows: none"
    assert "table" not in choosable(Kind), "no words for a dict"
    with pytest.raises(UsageError):
        chosen(Kind, {"table": {}})


def test_what_has_an_option_of_its_own_is_that_option():
    kind = encoder_named("pca")
    options = completed(kind, TrainOptions("pca", settings={"n_components": "5", "clip": "3"}))
    assert (options.latent, options.settings) == (5, {"clip": 3.0})
    with pytest.raises(UsageError) as caught:
        completed(kind, TrainOptions("pca", latent=4, settings={"n_components": 5}))
    assert caught.value.code == "given_twice"
    assert "--latent" in caught.value.remedy
    assert "clip" in caught.value.remedy
    with pytest.raises(UsageError, match="latent is 0"):
        completed(kind, TrainOptions("pca", settings={"n_components": 0}))


@pytest.mark.parametrize("options", [{"settings": ["width=3"]}, {"seed": -1}])
def test_options_that_cannot_be(options):
    with pytest.raises(UsageError) as caught:
        TrainOptions("pca", **options)
    assert caught.value.code == "bad_option"


@pytest.mark.parametrize(
    "wrong", [{"clip": 0.0}, {"softening": -1.0}, {"sample": 0}, {"tolerance": -0.1}]
)
def test_pca_refuses_what_it_cannot_compute_with(wrong):
    with pytest.raises(UsageError) as caught:
        settings_of(encoder_named("pca"), chosen(encoder_named("pca"), wrong))
    assert caught.value.code == "bad_fit"


def test_a_patch_of_36_million_parameters_can_be_made():
    pytest.importorskip("torch")
    kind = encoder_named("patch")
    words = {"width": "512", "depth": "11", "heads": "8", "linear": "16", "variance_draws": "4",
             "redshift": "0.1"}  # fmt: skip
    settings = settings_of(kind, chosen(kind, words))
    assert (settings.linear, settings.variance_draws, settings.redshift) == (16, 4, 0.1)
    network = kind(ModelDomain(3800.0, 9200.0, 3800), settings).build()
    assert 35e6 < sum(p.numel() for p in network.parameters()) < 38e6
    with pytest.raises(UsageError, match="a multiple of 2 × 7 heads"):
        settings_of(kind, chosen(kind, {"width": 512, "heads": 7}))


def test_patch_learns_from_crops_where_spectra_cover_different_ranges():
    pytest.importorskip("torch")
    kind = encoder_named("patch")
    group = ProposedModel("wide", ModelDomain(4000.0, 8000.0, 500), tuple(range(200)), 500)

    def crop(**options) -> float:
        asked = completed(kind, TrainOptions("patch", **options))
        return settings_for(kind, asked, group, 200).crop

    assert crop() == 0.0
    assert crop(any_coverage=True) == WIDE_CROP > 0.5
    assert crop(any_coverage=True, epochs=3) == WIDE_CROP
    assert crop(any_coverage=True, settings={"crop": "0.2"}) == 0.2
    assert crop(any_coverage=True, settings={"crop": 0.0}) == 0.0
    plain = settings_for(encoder_named("pca"), TrainOptions("pca", any_coverage=True), group, 200)
    assert not hasattr(plain, "crop")
