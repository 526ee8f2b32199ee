"""Answers that are made while they are sent, and no longer than somebody reads them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from itertools import chain

import anyio
import anyio.lowlevel
import anyio.to_thread
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

BLOCK_BYTES, BLOCK_S = 64 << 10, 0.1
STALLED_S = 60.0
"""A client that takes nothing for so long, and does not hang up either, is let go."""


class Stream(StreamingResponse):
    """Pieces as they come; what makes them is closed at the end, or when the client hangs up.

    A client that stays connected but stops reading is let go after `STALLED_S`: what it holds, such
    as the turn of a query, is wanted by others.

    pieces : their iterator's ``close``, if it has one, is called in the end; small ones are joined
    gone : set when the client hangs up, for whoever makes a piece that takes long
    """

    def __init__(
        self, first: bytes, pieces: Iterator[bytes], gone: threading.Event,
        headers: Mapping[str, str], media_type: str,
    ) -> None:  # fmt: skip
        super().__init__(chain((first,), _blocks(pieces)), 200, headers, media_type)
        self._pieces = pieces
        self._gone = gone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, listening for the end of the connection."""
        try:
            async with anyio.create_task_group() as tasks:

                async def patiently(message: Message) -> None:
                    with anyio.move_on_after(STALLED_S) as patience:
                        await send(message)
                    if patience.cancelled_caught:
                        self._gone.set()
                        tasks.cancel_scope.cancel()
                        await anyio.lowlevel.checkpoint()  # which ends this task

                async def sent() -> None:
                    await self.stream_response(patiently)
                    tasks.cancel_scope.cancel()

                tasks.start_soon(sent)
                while (await receive())["type"] != "http.disconnect":
                    pass
                self._gone.set()
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        let_go(self._pieces)


def gathered(pieces: Iterator[bytes]) -> tuple[bytes, bool]:
    """Pieces joined to a block of some size, or of some time's work; whether it was the last."""
    block, size, end = [], 0, time.monotonic() + BLOCK_S
    for piece in pieces:
        block.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES or time.monotonic() > end:
            return b"".join(block), False
    return b"".join(block), True


def _blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    done = False
    while not done:
        block, done = gathered(pieces)
        for at in range(0, len(block), BLOCK_BYTES):  # large ones may take long
            yield block[at : at + BLOCK_BYTES]


def let_go(pieces: Iterator[bytes]) -> None:
    """Close what makes the pieces, if it can be closed."""
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
