"""Which models an archive needs: one for each group of spectra that can be compared."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import Medium
from ..domain.errors import UsageError
from ..domain.units import C_KMS
from .domain import (
    AIR_SHIFT_KMS,
    FluxKind,
    ModelDomain,
    Rest,
    SpectrumSummary,
    Telluric,
    frame_class,
    overlap_fraction,
    rest_shift,
    telluric_shift,
)
from .shared_range import best_range, lattice, reached_by, to_the_ends

LOW_BELOW, HIGH_ABOVE = 5_000.0, 30_000.0
"""Resolving powers that divide low | mid | high."""
RESOLUTION_SLACK = 1.5
"""A model also takes spectra this factor below or above its members' range of λ/Δλ: on its grid,
which the coarser members set, lines differ by less than the members' own spread of widths."""


@dataclass(frozen=True, slots=True)
class GroupingRules:
    """least_members : fewer get no model · least_coverage : of a model's range, per spectrum
    edge_share : of the members that must reach each end of the range
    max_pixels : of a model's grid (the pixel grows to fit) · least_pixels : good ones a spectrum
    needs · telluric, rest : how the models prepare spectra (see `ModelDomain`)
    range_aa : that no grid goes beyond, Å, vacuum, in the frame of the models; of it a spectrum has
    to cover `least_coverage` (a wide model's: `wide_coverage`) · range_pixels : and by so many
    wide_pixels, wide_coverage : of a wide model's grid, good ones a spectrum needs, by number and
    by share, whichever is more · wide_most : pixels of such a grid at most"""

    least_members: int = 20
    least_coverage: float = 0.9
    edge_share: float = 0.75
    max_pixels: int = 6_000
    least_pixels: int = 50
    telluric: Telluric = Telluric.KEEP
    rest: Rest = Rest.NONE
    range_aa: tuple[float, float] | None = None
    range_pixels: int = 16
    wide_pixels: int = 64
    wide_coverage: float = 0.02
    wide_most: int = 16_384


@dataclass(frozen=True, slots=True)
class ProposedModel:
    """One group: its name, its domain and the positions of its members.

    own_pixels : that the range has at the members' own sampling · coarser : why the grid has
    fewer, ``max-pixels`` (the rules allow no more) or ``medium`` (air or vacuum is unknown); ""
    where it has not
    """

    name: str
    domain: ModelDomain
    members: tuple[int, ...]
    own_pixels: int
    coarser: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """The models, and every spectrum without one with the reason."""

    models: tuple[ProposedModel, ...]
    left_out: dict[int, str] = field(default_factory=dict)


Key = tuple[str, str, str, bool]
Divide = Callable[
    [Key, list[int], Sequence[SpectrumSummary], GroupingRules],
    tuple[list[ProposedModel], dict[int, str]],
]


def resolution_class(resolving_power: float) -> str:
    """``low`` | ``mid`` | ``high``."""
    if resolving_power < LOW_BELOW:
        return "low"
    return "mid" if resolving_power <= HIGH_ABOVE else "high"


def propose_models(
    summaries: Sequence[SpectrumSummary], rules: GroupingRules | None = None
) -> Proposal:
    """One model per group of spectra alike in kind, frame, resolution and coverage.

    Greedy: within each kind the range that the largest (members × ln range) can share becomes a
    model, its members leave, and so on while `least_members` remain. Every spectrum belongs to
    one model at most. Deterministic: depends on the summaries only, not on chance.
    """
    rules = rules or GroupingRules()
    return _propose(summaries, rules, _split, rules.least_coverage)


def propose_wide_models(
    summaries: Sequence[SpectrumSummary], rules: GroupingRules | None = None
) -> Proposal:
    """One model per kind, frame and resolution whatever the coverage, for encoders that bear gaps.

    Its grid spans all that at least `least_members` spectra reach; a spectrum belongs to it when
    `wide_pixels` of the grid, and the share `wide_coverage`, carry information. Deterministic.
    """
    rules = rules or GroupingRules()
    return _propose(summaries, rules, _widest, rules.wide_coverage)


def refuse_range(summaries: Sequence[SpectrumSummary], rules: GroupingRules) -> None:
    """Raises UsageError (no_coverage) if no spectrum reaches the range asked for."""
    some = [i for i, s in enumerate(summaries) if not _unfit(s, rules)]
    if rules.range_aa is None or not some:
        return
    lo, hi = rules.range_aa
    low, high = _ranges(some, summaries, replace(rules, range_aa=None))
    if not np.any((np.exp(low) < hi) & (np.exp(high) > lo)):
        raise UsageError(
            f"no spectrum reaches {lo:g}–{hi:g} Å", code="no_coverage", where="--range",
            remedy=f"choose within {math.exp(low.min()):.0f}–{math.exp(high.max()):.0f} Å, where "
            "they lie" + (" at rest" if rules.rest != Rest.NONE else ""),
        )  # fmt: skip


def _propose(
    summaries: Sequence[SpectrumSummary], rules: GroupingRules, divide: Divide, least: float
) -> Proposal:
    groups: dict[Key, list[int]] = defaultdict(list)
    left: dict[int, str] = {}
    for i, s in enumerate(summaries):
        reason = _unfit(s, rules) or _off_range(s, rules, least)
        if reason:
            left[i] = reason
        else:
            groups[_key(s, rules)].append(i)
    models: list[ProposedModel] = []
    # spectra of known medium found the models; those of unknown medium may join them
    for key in sorted(groups, key=lambda k: (not k[3], k)):
        rest = _join(models, groups[key], summaries) if not key[3] else groups[key]
        found, remaining = divide(key, rest, summaries, rules)
        models.extend(found)
        for i, reason in remaining.items():
            left[i] = reason
    return Proposal(tuple(_unique_names(models)), dict(sorted(left.items())))


def _widest(
    key: Key, indexes: list[int], summaries: Sequence[SpectrumSummary], rules: GroupingRules
) -> tuple[list[ProposedModel], dict[int, str]]:
    """One model over everything that `least_members` of these reach."""
    models: list[ProposedModel] = []
    if len(indexes) >= rules.least_members:
        low, high = _ranges(indexes, summaries, rules)
        a, b = reached_by(low, high, rules.least_members)
        if b > a:
            pixel = np.array([summaries[i].pixel_kms for i in indexes])
            everyone = np.arange(len(indexes))
            model = _model(key, a, b, everyone, indexes, summaries, pixel, rules, True)
            if len(model.members) >= rules.least_members:
                models.append(model)
    taken = set(models[0].members) if models else set()
    return models, {i: _why_left(summaries[i], models, rules) for i in indexes if i not in taken}


def _ranges(
    indexes: list[int], summaries: Sequence[SpectrumSummary], rules: GroupingRules
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ln λ of both ends of each, in the frame of the models, within the range asked for."""
    some = [summaries[i] for i in indexes]
    shift = np.log([rest_shift(s, rules.rest, math.inf)[0] for s in some])
    low, high = (np.log([getattr(s, end) for s in some]) for end in ("em_min_aa", "em_max_aa"))
    if rules.range_aa is None:
        return low - shift, high - shift
    a, b = np.log(rules.range_aa)
    return np.clip(low - shift, a, b), np.clip(high - shift, a, b)


def _unfit(s: SpectrumSummary, rules: GroupingRules) -> str:
    if s.n_orders > 1:
        return "echelle orders are not merged"
    if s.n_good < rules.least_pixels or not s.em_max_aa > s.em_min_aa > 0:
        return f"{s.n_good} good pixels"
    if s.medium is Medium.UNKNOWN and resolution_class(s.resolution) != "low":
        return "air or vacuum unknown: declare it with --medium"
    if rules.telluric == Telluric.MASK and (reason := telluric_shift(s)[2]):
        return reason
    # whether the barycentric correction matters depends on the pixel, not known before the group
    pixel = math.inf if resolution_class(s.resolution) == "low" else 0.0
    return rest_shift(s, rules.rest, pixel)[1]


def _off_range(s: SpectrumSummary, rules: GroupingRules, least: float) -> str:
    """Why a spectrum has too little of the range asked for."""
    if rules.range_aa is None:
        return ""
    lo, hi = rules.range_aa
    shift, _ = rest_shift(s, rules.rest, math.inf)
    share = overlap_fraction(s.em_min_aa / shift, s.em_max_aa / shift, lo, hi)
    if not share > 0:
        return f"lies outside {lo:g}–{hi:g} Å"
    if share < least:
        return f"covers {100 * share:.0f} % of {lo:g}–{hi:g} Å, the range asked for"
    if share * math.log(hi / lo) * C_KMS < rules.range_pixels * s.pixel_kms:
        return f"has fewer than {rules.range_pixels} pixels in {lo:g}–{hi:g} Å"
    return ""


def _key(s: SpectrumSummary, rules: GroupingRules) -> Key:
    level = resolution_class(s.resolution)
    pixel = C_KMS / (2 * LOW_BELOW) * 2.1 if level == "low" else 0.0
    frame = frame_class(s.specsys, pixel) if rules.rest == Rest.NONE else "rest"
    return level, frame, s.flux_kind.value, s.medium is not Medium.UNKNOWN


def _join(
    models: list[ProposedModel], indexes: list[int], summaries: Sequence[SpectrumSummary]
) -> list[int]:
    """Add each spectrum to the first model that covers it; return the others."""
    rest: list[int] = []
    joined: dict[int, list[int]] = defaultdict(list)
    for i in indexes:
        for m, model in enumerate(models):
            if model.domain.covers(summaries[i])[0]:
                joined[m].append(i)
                break
        else:
            rest.append(i)
    for m, extra in joined.items():
        old = models[m]
        models[m] = replace(old, members=tuple(sorted((*old.members, *extra))))
    return rest


def _split(
    key: Key, indexes: list[int], summaries: Sequence[SpectrumSummary], rules: GroupingRules
) -> tuple[list[ProposedModel], dict[int, str]]:
    """Take the best shared range again and again until too few are left."""
    low, high = _ranges(indexes, summaries, rules)
    pixel = np.array([summaries[i].pixel_kms for i in indexes])
    remaining = np.arange(len(indexes))
    models: list[ProposedModel] = []
    origin, step = lattice(rules.range_aa)
    while remaining.size >= rules.least_members:
        a, b, inside = best_range(low[remaining] - origin, high[remaining] - origin,
                                  rules.least_members, rules.least_coverage, step)  # fmt: skip
        if inside.sum() < rules.least_members:
            break
        chosen = remaining[inside]
        a, b = to_the_ends(a + origin, b + origin, rules.range_aa, step)
        # an end that few members reach would be learnt from those few: draw it in
        a = max(a, float(np.quantile(low[chosen], rules.edge_share)))
        b = min(b, float(np.quantile(high[chosen], 1.0 - rules.edge_share)))
        model = _model(key, a, b, chosen, indexes, summaries, pixel, rules)
        if len(model.members) < rules.least_members:
            break
        models.append(model)
        taken = set(model.members)
        remaining = np.array([r for r in remaining if indexes[r] not in taken], dtype=np.int64)
    reasons = {indexes[r]: _why_left(summaries[indexes[r]], models, rules) for r in remaining}
    return models, reasons


def _model(
    key: Key,
    a: float,
    b: float,
    chosen: NDArray[np.int64],
    indexes: list[int],
    summaries: Sequence[SpectrumSummary],
    pixel: NDArray[np.float64],
    rules: GroupingRules,
    wide: bool = False,
) -> ProposedModel:
    """The grid that a group shares, and those of the group that it covers."""
    # the coarser members set the pixel: finer ones are averaged, nobody is oversampled threefold
    own_kms = float(np.quantile(pixel[chosen], 0.75))
    step_kms = own_kms if key[3] else max(own_kms, 2.02 * AIR_SHIFT_KMS)
    own, full = (max(math.floor((b - a) * C_KMS / kms) + 1, 2) for kms in (own_kms, step_kms))
    n_pix = min(full, rules.wide_most if wide else rules.max_pixels)
    share = max(rules.wide_coverage, rules.wide_pixels / n_pix)
    narrow = rules.least_coverage - 0.02
    width_kms = (b - a) * C_KMS / n_pix
    # fine pixels part frames that the group's name does not: the commonest decides, not the first
    frames = Counter(frame_class(summaries[indexes[c]].specsys, width_kms) for c in chosen)
    resolving = [summaries[indexes[c]].resolution for c in chosen]
    domain = ModelDomain(
        wave_min_aa=round(math.exp(a), 3),
        wave_max_aa=round(math.exp(b), 3),
        n_pix=n_pix,
        frame="rest" if rules.rest != Rest.NONE else max(sorted(frames), key=frames.__getitem__),
        resolution=(
            math.floor(min(resolving) / RESOLUTION_SLACK),
            math.ceil(max(resolving) * RESOLUTION_SLACK),
        ),
        flux_kind=FluxKind(key[2]),
        least_coverage=min(share, narrow) if wide else narrow,
        telluric=rules.telluric,
        rest=rules.rest,
    )
    kept = tuple(indexes[c] for c in chosen if domain.covers(summaries[indexes[c]])[0])
    coarser = "max-pixels" if n_pix < full else "medium" if full < own else ""
    return ProposedModel(_name(key, domain, rules, wide), domain, kept, own, coarser)


def _why_left(s: SpectrumSummary, models: list[ProposedModel], rules: GroupingRules) -> str:
    if not models:
        return f"fewer than {rules.least_members} comparable spectra"
    reasons = sorted((m.domain.covers(s)[1] or "best range was shared by too few") for m in models)
    return f"fits no model: {reasons[0]}"


def _name(key: Key, domain: ModelDomain, rules: GroupingRules, wide: bool) -> str:
    kind = "" if key[2] == FluxKind.CALIBRATED.value else f"-{key[2]}"
    if domain.telluric == Telluric.MASK:
        kind += "-masked"
    if domain.rest != Rest.NONE:
        kind += f"-by-{domain.rest.value}"
    if rules.range_aa is not None:
        kind += "-within"
    level = f"wide-{key[0]}" if wide else key[0]
    return f"{level}-{key[1]}{kind}-{domain.wave_min_aa:.0f}-{domain.wave_max_aa:.0f}"


def _unique_names(models: list[ProposedModel]) -> list[ProposedModel]:
    seen: Counter[str] = Counter()
    out = []
    for model in models:
        seen[model.name] += 1
        name = model.name if seen[model.name] == 1 else f"{model.name}-{seen[model.name]}"
        out.append(replace(model, name=name))
    return out
