"""Catalogue → groups of spectra that one model can be for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from ..domain.axis import Medium, SpecSys
from ..domain.spectrum import Normalisation
from ..embed.domain import SpectrumSummary, flux_kind
from ..embed.grouping import Proposal, ProposedModel
from ..store.archive import Archive, Rows
from ..store.codec import hash63
from .redshifts import Shifts

ROUNDS = 3
"""Times that spectra refused by their group's model are grouped again by their good pixels."""
MAX_REFUSED = 50_000
"""So many refused spectra are read once more; of more, only the reasons are reported."""
_SUMMARY = ("em_min", "em_max", "n_good", "em_pixel_kms", "medium", "specsys", "em_res_power",
            "flux_unit", "normalisation", "snr", "n_orders", "redshift", "rv_kms",
            "berv_kms")  # fmt: skip

Refused = list[tuple[int, str]]
"""(catalogue row, why its model does not take it)."""


def summaries(archive: Archive, rows: Rows) -> list[SpectrumSummary]:
    """What decides whether a model covers each observation, from the catalogue and those joined."""
    table = archive.catalogue(rows, _SUMMARY)
    columns = {name: table.column(name).to_pylist() for name in _SUMMARY}
    known = Shifts.of(archive, rows).at(rows)
    for name, values in zip(("redshift", "rv_kms"), known, strict=True):
        both = zip(columns[name], values.tolist(), strict=True)
        columns[name] = [own if math.isnan(value) else value for own, value in both]
    return [_summary(*values) for values in zip(*columns.values(), strict=True)]


def _summary(
    em_min: float | None, em_max: float | None, n_good: int, pixel_kms: float | None, medium: str,
    specsys: str, res_power: float | None, flux_unit: str | None, normalisation: str,
    snr: float | None, n_orders: int, redshift: float | None, rv_kms: float | None,
    berv_kms: float | None,
) -> SpectrumSummary:  # fmt: skip
    return SpectrumSummary(
        em_min_aa=np.nan if em_min is None else em_min * 1e10,
        em_max_aa=np.nan if em_max is None else em_max * 1e10,
        n_good=n_good,
        pixel_kms=pixel_kms or np.inf,
        medium=Medium(medium),
        specsys=SpecSys(specsys),
        resolving_power=res_power,
        flux_kind=flux_kind(flux_unit, Normalisation(normalisation)),
        snr=snr,
        n_orders=n_orders or 1,
        redshift=redshift,
        rv_kms=rv_kms,
        berv_kms=berv_kms,
    )


def in_groups(
    archive: Archive, rows: Rows, facts: list[SpectrumSummary],
    propose: Callable[[Sequence[SpectrumSummary]], Proposal],
    make: Callable[[ProposedModel, Rows], Refused],
) -> Refused:  # fmt: skip
    """Make one model a group, then group again what turned out to have bad pixels in its range.

    The catalogue knows where a spectrum begins and ends, not where its good pixels do: those that
    their group's model refuses get a second chance by their good pixels, in a group of their own.

    make : a group and its catalogue rows → those that its model refuses
    Returns
    -------
    (row, reason) of all that no model takes
    """
    pending, known = rows, facts
    outside: Refused = []
    refused: Refused = []
    for _ in range(ROUNDS):
        proposal = propose(known)
        refused = []
        for group in proposal.models:
            refused += make(group, pending[list(group.members)])
        outside += [(int(pending[i]), reason) for i, reason in proposal.left_out.items()]
        if not refused or len(refused) > MAX_REFUSED:
            break
        pending, known = _look_again(archive, [row for row, _ in refused])
    return outside + refused


def _look_again(archive: Archive, rows: list[int]) -> tuple[Rows, list[SpectrumSummary]]:
    """Rows in storage order, and what their good pixels say."""
    found_rows: list[Rows] = []
    found: list[SpectrumSummary] = []
    shifts = Shifts.of(archive, np.array(rows, np.int64))
    for chunk, spectra in archive.scan(np.array(rows, np.int64)):
        found_rows.append(chunk)
        found += [SpectrumSummary.of(s) for s in shifts.put(chunk, spectra)]
    return np.concatenate(found_rows), found


def free_name(name: str, where: str | None, taken: set[str], suffix: str = "") -> str:
    """The group's name, told apart from models of other choices and of this run."""
    if where is not None:
        name = f"{name}-where-{hash63(where.encode()) % 16**4:04x}"
    if suffix:
        name = f"{name}-{suffix}"
    free, n = name, 1
    while free in taken:
        n += 1
        free = f"{name}-{n}"
    return free


def counted(reasons: Sequence[str]) -> dict[str, int]:
    """How many for each reason, the commonest first; those that differ in numbers are one."""
    return dict(Counter(_in_words(reason) for reason in reasons).most_common())


def _in_words(reason: str) -> str:
    if reason.endswith("the range asked for"):
        return "covers too little of the range asked for"
    if reason.startswith(("covers", "fits no model: covers", "good pixels cover")):
        return "covers too little of any group's range"
    if reason.startswith("fits no model: resolution"):
        return "resolution unlike that of any group"
    return reason
