"""What there is: ``/api/archive``."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..people.records import JUDGE, OPERATE, SAVE
from ..run.overview import overview
from .answers import json_answer
from .asking import Ask, answering

STACK_AT_ONCE = 2000
TABLE_ROWS = 500


@answering
def archive(ask: Ask) -> Response:
    """The overview of the open version, what may be asked of it, and who asks."""
    found = ask.holding.cached("overview", lambda: overview(ask.archive))
    return json_answer(
        found
        | {
            "limits": {
                "upload_bytes": ask.served.upload_bytes, "stack_at_once": STACK_AT_ONCE,
                "table_rows": TABLE_ROWS,
            },
            "user": described_user(ask),
            "writable": ask.user.may(OPERATE),
        }
    )  # fmt: skip


def described_user(ask: Ask) -> dict[str, object]:
    """Who asks, and what they may do."""
    rights = [right for right in (OPERATE, JUDGE, SAVE) if ask.user.may(right)]
    return {"name": ask.user.name, "rights": rights, "signed_in": ask.user.signed_in}


ROUTES = [Route("/api/archive", archive, methods=["GET"])]
