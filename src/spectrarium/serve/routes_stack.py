"""What sets of spectra look like: medians and bands, members, comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from starlette.responses import Response
from starlette.routing import Route

from ..domain.errors import UsageError
from ..domain.progress import Progress
from ..run.compare import COMPARED_MOST, MODES, TRAILED_MOST, Comparison, compared
from ..run.jobs import Result, Work
from ..run.members import MOST_WIDTH, Members, Wish
from ..run.stack import AT_ONCE, members_drawn, stacked
from ..store.archive import Rows
from .answers import arrow_answer, arrow_bytes, json_answer
from .asking import Ask, answering
from .chosen import chosen_rows
from .fields import Fields
from .working import job_record, started

MEMBERS_MOST = 200


def wish_of(fields: Fields) -> Wish:
    """How members are to be put together, as a body says."""
    return Wish(
        width=fields.integer("width", 1500, least=2, most=MOST_WIDTH),
        frame=fields.choice("frame", ("delivered", "rest"), "delivered"),
        lo_aa=fields.number("lo_aa", None, least=0.0),
        hi_aa=fields.number("hi_aa", None, least=0.0),
        normalise=fields.choice("normalise", ("level", "none"), "level"),
    )  # fmt: skip


def members_of(ask: Ask) -> Members:
    """Resampled spectra that this version's stacks share."""
    return ask.holding.cached("members", lambda: Members(ask.archive))


@answering
def stack(ask: Ask) -> Response:
    """Median, 16–84 and 5–95 bands; of many members those of a random sample."""
    fields = ask.json()
    rows = _some(ask, fields)
    if fields.flag("exact") and len(rows) > AT_ONCE:
        job = started(ask, "stack", *stack_work(ask, fields), params=_without_rows(fields))
        return json_answer({"job": job_record(job)}, 202)
    found = stacked(ask.archive, rows, wish_of(fields), members=members_of(ask))
    return arrow_answer(found.table(), {"stack": found.about})


def _some(ask: Ask, fields: Fields) -> Rows:
    rows = chosen_rows(ask, fields)
    if not len(rows):
        raise UsageError("nothing is selected", code="nothing_selected", where="rows",
                         remedy="choose some spectra")  # fmt: skip
    return rows


def stack_work(ask: Ask, fields: Fields) -> tuple[str, Work]:
    """An exact stack as a job: its title and what is to be done."""
    rows, wish, members = _some(ask, fields), wish_of(fields), members_of(ask)
    archive = ask.archive

    def work(progress: Progress) -> Result:
        found = stacked(archive, rows, wish, members=members, exact=True, progress=progress)
        content = arrow_bytes(found.table(), {"stack": found.about})
        return Result({"stack": True, "members": len(rows)}, content)

    return f"Stack of {len(rows):,}", work


def _without_rows(fields: Fields) -> dict[str, Any]:
    """What a job is remembered by; a million rows are not."""
    return {k: v for k, v in fields.items() if k != "rows"}


@answering
def members(ask: Ask) -> Response:
    """The members of a stack on its grid."""
    fields = ask.json()
    rows = chosen_rows(ask, fields, MEMBERS_MOST)
    kept, wave, values, about = members_drawn(ask.archive, rows, wish_of(fields), members_of(ask))
    table = pa.table({"row": pa.array(kept.astype(np.int32)), "flux": float_lists(values)})
    return arrow_answer(table, {"wave": wave, "members": about})


def float_lists(values: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> pa.Array:
    """A list column of the rows of (n, m) values."""
    n, m = values.shape
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * m)
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))


@answering
def compare(ask: Ask) -> Response:
    """Members one by one, ordered by time, phase or a column, with their median."""
    fields = ask.json()
    mode = fields.choice("mode", MODES, "overlay")
    rows = chosen_rows(ask, fields, TRAILED_MOST if mode == "trailed" else COMPARED_MOST)
    comparison = Comparison(
        mode=mode, order_by=fields.text("order_by", "time", most=200),
        period_d=fields.number("period_d", None), epoch=fields.number("epoch", None),
    )  # fmt: skip
    found = compared(ask.archive, rows, wish_of(fields), comparison, members_of(ask))
    table = pa.table({
        "row": pa.array(found.rows.astype(np.int32)), "label": pa.array(found.labels, pa.string()),
        "id": pa.array(found.ids, pa.string()), "x": found.x, "flux": float_lists(found.flux),
    })  # fmt: skip
    return arrow_answer(table, {
        "wave": found.wave_aa, "compare": found.about, "median": found.median,
    })  # fmt: skip


ROUTES = [
    Route("/api/stack", stack, methods=["POST"]),
    Route("/api/stack/members", members, methods=["POST"]),
    Route("/api/compare", compare, methods=["POST"]),
]
