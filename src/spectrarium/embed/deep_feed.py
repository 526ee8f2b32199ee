"""Training spectra on their way to a network: read ahead by threads, in a reproducible order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from blake3 import blake3
from numpy.typing import NDArray

from .training_set import TrainingSet

_BLOCK_BYTES = 2**20
"""Rows that lie next to each other on disk are read together up to this size."""
_WINDOW_BYTES = 2**30
"""Training sets larger than this are shuffled within windows of this size, not as a whole."""
_CACHED = 2**15
"""Values cleaned at a time on a CPU: they stay in its cache."""


_Memory = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Spectra on the device that computes.

    flux, ivar : (n, n_pix) float32; both 0 wherever there is no information
    objects : (n,) int64, equal numbers for spectra of the same object
    rows : (n,) int64 on the CPU, positions in the training set, ascending
    """

    flux: torch.Tensor
    ivar: torch.Tensor
    objects: torch.Tensor
    rows: torch.Tensor

    def __len__(self) -> int:
        return int(self.flux.shape[0])


def seed_of(*parts: object) -> int:
    """A 63-bit seed from anything that can be printed: random numbers that resume anywhere."""
    return int.from_bytes(blake3(repr(parts).encode()).digest(8), "little") >> 1


def shuffled(
    rows: NDArray[np.int64], row_bytes: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """`rows` in random order; of more than memory may cache, blocks that a disk reads at once.

    Blocks of neighbouring rows (1 MiB) come in random order and rows are mixed within windows of
    1 GiB, so that a set larger than memory is read at the speed of long reads.
    """
    if len(rows) * row_bytes <= _WINDOW_BYTES:
        return rng.permutation(rows)
    block = max(1, _BLOCK_BYTES // row_bytes)
    blocks = [rows[i : i + block] for i in range(0, len(rows), block)]
    ordered = np.concatenate([blocks[i] for i in rng.permutation(len(blocks))])
    window = max(block, _WINDOW_BYTES // row_bytes)
    parts = [rng.permutation(ordered[i : i + window]) for i in range(0, len(rows), window)]
    return np.concatenate(parts)


def equal_batches(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Batches of one size ≤ `size`; the fewer than n_batches rows that do not fit are left out.

    One size, because compiled networks are slow on any other; rows ascend within a batch.
    """
    count = -(-len(rows) // size)
    each = len(rows) // max(count, 1)
    return [np.sort(rows[i * each : (i + 1) * each]) for i in range(count)]


def clean(flux: NDArray[np.float32], ivar: NDArray[np.float32]) -> None:
    """Set both to zero, in place, wherever there is no information, whatever lies there."""
    flat_flux, flat_ivar = flux.reshape(-1), ivar.reshape(-1)
    for start in range(0, flat_flux.size, _CACHED):
        f, i = flat_flux[start : start + _CACHED], flat_ivar[start : start + _CACHED]
        good = np.abs(f) < np.inf
        good &= i > 0
        good &= i < np.inf
        if not good.all():
            np.copyto(f, 0, where=~good)
            np.copyto(i, 0, where=~good)


def clean_on_device(flux: torch.Tensor, ivar: torch.Tensor) -> None:
    """The same as `clean` where the tensors are."""
    bad = ~((flux.abs() < torch.inf) & (ivar > 0) & (ivar < torch.inf))
    flux.masked_fill_(bad, 0.0)
    ivar.masked_fill_(bad, 0.0)


class Feed:
    """Batches of a training set, read by threads while the network computes.

    A batch holds until the next is asked for: on a CPU its memory is then filled anew.
    Memory: `ahead` batches on the host; on CUDA they are page-locked and copied on a stream of
    their own, one batch ahead of the one in use.
    """

    def __init__(self, data: TrainingSet, device: torch.device) -> None:
        self.data = data
        self.device = device
        self.readers = 4 if device.type == "cuda" else 1
        self.ahead = 2 * self.readers
        self._objects = torch.from_numpy(np.ascontiguousarray(data.objects))
        self._free: list[_Memory] = []
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, batches: list[NDArray[np.int64]]) -> Iterator[Batch]:
        """One batch after the other, in the order given."""
        pool = ThreadPoolExecutor(self.readers, thread_name_prefix="spectra")
        try:
            yield from self._ahead(self._on_host(pool, batches))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _on_host(
        self, pool: ThreadPoolExecutor, batches: list[NDArray[np.int64]]
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        waiting: deque[tuple[Future[tuple[torch.Tensor, ...]], _Memory]] = deque()
        most = max((len(rows) for rows in batches), default=0)
        for rows in batches:
            memory = self._memory(most)
            waiting.append((pool.submit(self._read, rows, memory), memory))
            if len(waiting) > self.ahead:
                yield from self._next(waiting)
        while waiting:
            yield from self._next(waiting)

    def _next(
        self, waiting: deque[tuple[Future[tuple[torch.Tensor, ...]], _Memory]]
    ) -> Iterator[tuple[torch.Tensor, ...]]:
        future, memory = waiting.popleft()
        yield future.result()
        if self.device.type == "cpu":  # elsewhere a copy may still be under way; torch keeps
            self._free.append(memory)  # page-locked memory for whoever asks next

    def _memory(self, n: int) -> _Memory:
        """Of n spectra or more; fresh memory costs more than filling it."""
        while self._free:
            known = self._free.pop()
            if len(known[0]) >= n:
                return known
        shape, pinned = (n, self.data.domain.n_pix), self._stream is not None
        return torch.empty(shape, pin_memory=pinned), torch.empty(shape, pin_memory=pinned)

    def _read(self, rows: NDArray[np.int64], memory: _Memory) -> tuple[torch.Tensor, ...]:
        """Straight into the memory that batches are used in, or copied to the device from."""
        pinned = self._stream is not None
        flux, ivar = (m[: len(rows)] for m in memory)
        arrays = flux.numpy(), ivar.numpy()
        self.data.take(rows, arrays)
        if not (pinned or self.data.clean):
            clean(*arrays)
        at = torch.from_numpy(rows)
        objects = self._objects[at]
        return flux, ivar, objects.pin_memory() if pinned else objects, at

    def _ahead(self, host: Iterator[tuple[torch.Tensor, ...]]) -> Iterator[Batch]:
        """On CUDA the next batch is on its way while this one is in use."""
        if self._stream is None:
            for flux, ivar, objects, rows in host:
                there = [t.to(self.device) for t in (flux, ivar, objects)]
                yield Batch(there[0], there[1], there[2], rows)
            return
        current: tuple[torch.Tensor, ...] | None = None
        for tensors in host:
            coming = self._send(tensors)
            if current is not None:
                yield self._receive(current)
            current = coming
        if current is not None:
            yield self._receive(current)

    def _send(self, tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        with torch.cuda.stream(self._stream):
            return (*(t.to(self.device, non_blocking=True) for t in tensors[:3]), tensors[3])

    def _receive(self, sent: tuple[torch.Tensor, ...]) -> Batch:
        now = torch.cuda.current_stream(self.device)
        assert self._stream is not None
        now.wait_stream(self._stream)
        for tensor in sent[:3]:
            tensor.record_stream(now)  # else its memory could be given away while in use
        if not self.data.clean:
            clean_on_device(sent[0], sent[1])
        return Batch(sent[0], sent[1], sent[2], sent[3])


def sent(
    blocks: Iterable[tuple[NDArray[np.float32], ...]], device: torch.device
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Blocks on the device that computes, in their order.

    On CUDA the next block is made, page-locked and copied on a stream of its own while this one is
    in use; at most three are in the device's memory.
    """
    on_host = (tuple(torch.from_numpy(a) for a in block) for block in blocks)
    if device.type != "cuda":
        yield from (tuple(t.to(device) for t in block) for block in on_host)
        return
    copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    now = torch.cuda.current_stream(device)
    used: deque[torch.cuda.Event] = deque()
    waiting: tuple[tuple[torch.Tensor, ...], torch.cuda.Event] | None = None
    for block in on_host:
        if len(used) > 1:
            used.popleft().synchronize()
        with torch.cuda.stream(copies):
            there = tuple(t.pin_memory().to(device, non_blocking=True) for t in block)
        copied = copies.record_event()
        if waiting is not None:
            yield _arrived(*waiting, now)
            used.append(now.record_event())
        waiting = there, copied
    if waiting is not None:
        yield _arrived(*waiting, now)


def _arrived(
    tensors: tuple[torch.Tensor, ...], copied: torch.cuda.Event, now: torch.cuda.Stream
) -> tuple[torch.Tensor, ...]:
    now.wait_event(copied)
    for tensor in tensors:
        tensor.record_stream(now)  # else its memory could be given away while in use
    return tensors
