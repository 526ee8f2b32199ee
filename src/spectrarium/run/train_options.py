"""What can be asked of training, what it reports, and what a group's size allows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..domain.errors import UsageError
from ..embed.choosing import choosable, chosen
from ..embed.domain import Rest, Telluric, choice
from ..embed.encoder import (
    OPTIONS,
    Encoder,
    absolute,
    check_device,
    field_of,
    latent_of,
    settings_of,
)
from ..embed.grouping import GroupingRules, ProposedModel

BEARS_GAPS = ("patch", "aion")
"""Encoders that may be trained on spectra of different coverage; others may say ``bears_gaps``."""
WIDE_CROP = 0.7
"""With any_coverage: largest share of a range that the views lack which a network learns from."""
MAX_TRAIN = 2_000_000
"""Spectra of a group that a model learns from, unless asked otherwise; of more, a random choice."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What can be asked of `train`; None = the encoder's own default.

    where : filter of the spectra · any_coverage : one wide model per kind, for encoders that bear
    gaps · rest, telluric : how spectra are prepared (see `ModelDomain`) · range_aa : what models
    are limited to, Å, vacuum, in their frame (see `GroupingRules`) · name : suffix that tells the
    models from others of the same groups · object_column : says which spectra are of one object
    max_train : spectra of a group at most · max_pixels : of a model's grid, which is else made
    coarser (None = 6,000; 16,384 with any_coverage; 327,680 of conv) · weights : the user's file or
    folder, for networks that others trained, kept as an absolute path · settings : any others of
    the encoder's own, by name (see `completed`)
    """

    encoder: str
    latent: int | None = None
    device: str = "auto"
    where: str | None = None
    any_coverage: bool = False
    rest: str = "none"
    telluric: str = "keep"
    range_aa: tuple[float, float] | None = None
    epochs: int | None = None
    batch: int | None = None
    seed: int | None = None
    name: str = ""
    object_column: str | None = None
    max_train: int | None = None
    max_pixels: int | None = None
    weights: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Mapping):
            raise UsageError(f"settings are {self.settings!r}", code="bad_option", where="settings",
                             remedy="give names with values: {'width': 512}")  # fmt: skip
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,40}", self.name):
            raise UsageError(f"{self.name!r} cannot be part of a model's name", code="bad_name",
                             where="--name", remedy="use letters, digits, - and _")  # fmt: skip
        for option in ("latent", "epochs", "batch", "max_train", "max_pixels"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise UsageError(f"{option} is {value}", code="bad_option",
                                 where=f"--{option.replace('_', '-')}",
                                 remedy="give a number above 0")  # fmt: skip
        if self.seed is not None and self.seed < 0:
            raise UsageError(f"seed is {self.seed}", code="bad_option", where="--seed",
                             remedy="give a whole number from 0")  # fmt: skip
        if self.range_aa is not None:
            object.__setattr__(self, "range_aa", _range(self.range_aa))
        if self.weights:
            object.__setattr__(self, "weights", absolute(str(self.weights)))

    @property
    def family(self) -> str:
        """Models that share out the observations: of one encoder, prepared and chosen alike."""
        kind = "wide" if self.any_coverage else "group"
        if self.range_aa is not None:
            kind += f" {self.range_aa[0]!r}-{self.range_aa[1]!r}"
        return "|".join([self.encoder, kind, self.rest, self.telluric, self.name,
                         self.where or ""])  # fmt: skip


def _range(given: Any) -> tuple[float, float]:
    """Two wavelengths in Å. Raises UsageError (bad_range)."""
    try:
        low, high = (math.nan,) * 2 if isinstance(given, str) else map(float, given)
    except (TypeError, ValueError):
        low = high = math.nan
    if not 0 < low < high < math.inf:
        raise UsageError(f"{given!r} is no range of wavelengths", code="bad_range", where="--range",
                         remedy="give two wavelengths in Å, the shorter one first")  # fmt: skip
    return low, high


@dataclass
class TrainedGroup:
    """One model: what it is for, what it learnt from, how that went.

    fitted : False where the very same model was there already
    own_pixels : that the range has at the spectra's own sampling · coarser : why the grid has fewer
    (see `ProposedModel`), "" where it has not
    report : how training went, in the encoder's own words
    """

    name: str
    model: str
    wave_min_aa: float
    wave_max_aa: float
    pixels: int
    frame: str
    flux_kind: str
    latent: int
    members: int
    spectra: int
    objects: int
    seconds: float
    fitted: bool
    own_pixels: int
    coarser: str
    report: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainReport:
    """The models, and the observations without one by reason."""

    encoder: str
    groups: list[TrainedGroup] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    observations: int = 0
    version: int = 0

    def record(self) -> dict[str, Any]:
        """Plain fields for ``--json``."""
        return asdict(self)


def completed(kind: type[Encoder], options: TrainOptions) -> TrainOptions:
    """The same options, `settings` read as the types that they have; where one has an option of its
    own (``n_components`` of pca: ``latent``) it is that option.

    Raises
    ------
    UsageError : no such setting, a value of another type (see `choosing.chosen`), or one that its
        own option gives too (``given_twice``)
    """
    settings = chosen(kind, options.settings)
    own: dict[str, Any] = {}
    for option in OPTIONS:
        name = field_of(kind, option)
        if name is None or name not in settings:
            continue
        if getattr(options, option) is not None:
            raise UsageError(
                f"{name} is given twice", code="given_twice", where=f"--set {name}",
                remedy=f"leave it or --{option} out; {kind.__name__} knows: "
                + ", ".join(choosable(kind)),
            )  # fmt: skip
        own[option] = settings.pop(name)
    return replace(options, settings=settings, **own)


def check_options(kind: type[Encoder], options: TrainOptions) -> None:
    """Refuse what cannot be, before any work is done. Raises UsageError."""
    check_device(options.encoder, options.device)
    bears_gaps = options.encoder in BEARS_GAPS or getattr(kind, "bears_gaps", False)
    if options.any_coverage and not bears_gaps:
        raise UsageError(
            f"{options.encoder} needs spectra that share a range", code="needs_coverage",
            where="--any-coverage", remedy=f"use one of: {', '.join(BEARS_GAPS)}",
        )  # fmt: skip
    settings_of(kind, options.settings, **_asked(options))


def rules_of(kind: type[Encoder], options: TrainOptions) -> GroupingRules:
    """How groups are made; an encoder may have ``most_pixels`` of its own.

    Raises UsageError (bad_choice) for words that are no choice.
    """
    rules = GroupingRules(
        telluric=choice(Telluric, options.telluric, "telluric"),
        rest=choice(Rest, options.rest, "rest"),
        range_aa=options.range_aa,
    )
    most = options.max_pixels or getattr(kind, "most_pixels", None)
    return rules if most is None else replace(rules, max_pixels=most, wide_most=most)


def _asked(options: TrainOptions) -> dict[str, int | str | None]:
    return {k: getattr(options, k) for k in ("latent", "epochs", "batch", "seed", "weights")}


def settings_for(
    kind: type[Encoder], options: TrainOptions, group: ProposedModel, spectra: int
) -> Any:
    """The encoder's settings for a group; a text says why the group is too small for them.

    PCA cannot have more components than spectra and pixels determine: its own default gives way
    to that, a number that was asked for does not.
    """
    settings = settings_of(kind, options.settings, **_asked(options))
    if options.encoder == "pca":
        most = max(2, min(spectra // 4, group.domain.n_pix // 4, 512))
        if options.latent is not None and options.latent > most:
            return f"too few spectra or pixels for {options.latent} components: at most {most}"
        return replace(settings, n_components=min(settings.n_components, most))
    if options.any_coverage and hasattr(settings, "crop") and "crop" not in options.settings:
        settings = replace(settings, crop=WIDE_CROP)
    latent = latent_of(settings)
    if latent is not None and latent > group.domain.n_pix:
        return f"{latent} latents are more than the model's pixels"
    if options.epochs is None and hasattr(settings, "for_spectra"):
        return replace(settings.for_spectra(spectra), **options.settings)
    return settings


def least_spectra(encoder: str, settings: Any) -> int:
    """Fewer usable spectra than this make no model."""
    least = GroupingRules().least_members
    return max(least, 2 * settings.n_components) if encoder == "pca" else least
