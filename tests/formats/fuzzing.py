"""Damage to files, and what a reader may make of it: for tests of any reader.

The rule: a damaged file is refused (DataError, raised or yielded), or it reads as the undamaged
one does, or the damage lies where the format has no means to notice it (data bytes without a
checksum, the value of a header card): then values may differ, but what comes out is still sane.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import Spectrum
from spectrarium.domain.units import parse_unit, spectral_kind
from spectrarium.read.fits import FitsFile
from spectrarium.read.registry import Item, NotASpectrum, Reader
from spectrarium.read.source import ReadOptions, SourceFile

Read = Callable[[bytes], list[Item]]
PATIENCE_S = 5.0
_BLOCK = 2880


def mutations(data: bytes, seed: int, n: int) -> Iterator[bytes]:
    """`n` damaged copies of `data`: flipped bits and bytes, wild digits, cuts, swapped blocks."""
    rng = np.random.default_rng(seed)
    kinds = (_flip_bits, _flip_bits_in_headers, _wild_digits, _truncate, _swap_blocks, _zero_run,
             _insert, _random_bytes)  # fmt: skip
    produced = 0
    while produced < n:
        damaged = kinds[produced % len(kinds)](data, rng)
        if damaged != data:
            produced += 1
            yield damaged


def _flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for at in rng.integers(0, len(out), int(rng.integers(1, 9))):
        out[at] ^= 1 << int(rng.integers(0, 8))
    return bytes(out)


def _flip_bits_in_headers(data: bytes, rng: np.random.Generator) -> bytes:
    """As above, in the first blocks, where the structure is described."""
    head = min(len(data), 3 * _BLOCK)
    return _flip_bits(data[:head], rng) + data[head:]


def _wild_digits(data: bytes, rng: np.random.Generator) -> bytes:
    """Another number in place of one: sizes, pointers and counts go astray."""
    digits = [i for i in range(min(len(data), 40_000)) if 48 <= data[i] <= 57]
    if not digits:
        return _flip_bits(data, rng)
    out = bytearray(data)
    for i in rng.choice(len(digits), min(4, len(digits)), replace=False):
        out[digits[i]] = b"0123456789-.EX"[int(rng.integers(0, 14))]
    return bytes(out)


def _truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def _swap_blocks(data: bytes, rng: np.random.Generator) -> bytes:
    size = min(_BLOCK, max(1, len(data) // 4))
    a, b = (int(x) * size for x in rng.integers(0, max(1, len(data) // size), 2))
    out = bytearray(data)
    out[a : a + size], out[b : b + size] = data[b : b + size], data[a : a + size]
    return bytes(out)


def _zero_run(data: bytes, rng: np.random.Generator) -> bytes:
    at, length = int(rng.integers(0, len(data))), int(rng.integers(1, 4096))
    return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]


def _insert(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(data)))
    return data[:at] + rng.bytes(int(rng.integers(1, 200))) + data[at:]


def _random_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(data)))
    noise = rng.bytes(int(rng.integers(1, 64)))
    return data[:at] + noise + data[at + len(noise) :]


def read_with(*readers: Reader, options: ReadOptions | None = None) -> Read:
    """What an ingest does with a file's bytes, given only these readers."""

    def read(data: bytes) -> list[Item]:
        source = SourceFile("fuzzed", data, options=options)
        if source.is_fits:
            for hdu in source.fits:
                hdu.verify()
        best = max(readers, key=lambda reader: reader.recognise(source))
        if best.recognise(source) == 0:
            raise DataError("no reader knows this format", code="unknown_format")
        return list(best.read(source))

    return read


def check_outcome(read: Read, original: bytes, damaged: bytes) -> str:
    """``refused``, ``same`` or ``differs``; AssertionError if the rule above is broken."""
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            items = read(damaged)
    except DataError:
        return "refused"
    finally:
        assert time.perf_counter() - began < PATIENCE_S, "too slow on damaged bytes"
    for item in items:
        if isinstance(item, Spectrum):
            assert_sane(item, len(damaged))
        else:
            assert isinstance(item, (NotASpectrum, DataError)), type(item)
    if any(isinstance(item, DataError) for item in items):
        return "refused"
    if same(items, read(original)):
        return "same"
    assert may_differ(original, damaged), "harmless damage changed what was read"
    return "differs"


def assert_sane(spectrum: Spectrum, size: int) -> None:
    """Shapes agree, units parse, and no more samples come out than the file has bytes."""
    assert spectrum.flux.shape == spectrum.axis.shape
    assert spectrum.flux.dtype.kind in "iuf"
    assert spectrum.flux.size <= max(size, 1) * 8
    assert spectral_kind(spectrum.axis.unit) is not None
    assert not spectrum.flux_unit or parse_unit(spectrum.flux_unit) is not None
    with np.errstate(all="ignore"):
        assert spectrum.mask.shape == spectrum.flux.shape
    observation = spectrum.observation
    for value in observation.metadata.values():
        assert isinstance(value, (str, int, float)), value
    if observation.s_ra is not None:
        assert observation.s_dec is not None
        assert 0.0 <= observation.s_ra <= 360.0
        assert abs(observation.s_dec) <= 90.0


def same(ours: Iterable[Item], theirs: Iterable[Item]) -> bool:
    """True if the good pixels of all spectra agree bit for bit."""
    a = [item for item in ours if isinstance(item, Spectrum)]
    b = [item for item in theirs if isinstance(item, Spectrum)]
    return len(a) == len(b) and all(map(_same_spectrum, a, b))


def _same_spectrum(a: Spectrum, b: Spectrum) -> bool:
    if a.flux.shape != b.flux.shape or a.flux_unit != b.flux_unit:
        return False
    with np.errstate(all="ignore"):
        pairs: list[tuple[Any, Any]] = [
            (a.mask, b.mask), (a.wave_aa, b.wave_aa), (a.flux, b.flux),
            (a.uncertainty, b.uncertainty),
        ]  # fmt: skip
        good = ~b.mask
    for x, y in pairs:
        if (x is None) != (y is None):
            return False
        if x is not None and not np.array_equal(x[good], y[good]):
            return False
    return True


def may_differ(original: bytes, damaged: bytes) -> bool:
    """False if all damage lies where it cannot matter: comments, commentary cards, padding."""
    if len(original) != len(damaged) or original[:9] != b"SIMPLE  =":
        return True
    a, b = np.frombuffer(original, "u1"), np.frombuffer(damaged, "u1")
    changed = set(np.nonzero(a != b)[0].tolist())
    start = 0
    for hdu in FitsFile(original, "original"):
        end = start + len(hdu.header.raw)
        for card in range(start, end, 80):
            text = original[card : card + 80]
            slash = text.find(b" /", 10)
            free = text[:8] in (b"COMMENT ", b"HISTORY ", b"        ")
            comment = slash if slash > 0 and b"'" not in text else 80
            first = 8 if free else comment + 2
            changed -= set(range(card + first, card + 80))
        stop = hdu.data_start + hdu.data_size
        padded = hdu.data_start + -(-hdu.data_size // _BLOCK) * _BLOCK
        changed -= set(range(end + 80, hdu.data_start)) | set(range(stop, padded))
        start = padded
    return bool(changed)
