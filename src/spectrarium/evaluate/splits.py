"""Which objects are learnt from and which are asked about: decided by their names, for ever."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

TEST_FROM = 154
"""First byte of the name's BLAKE3 from which an object is held out: 60 % train, 40 % test."""
MOCK_TEST_FROM = 124
"""The same for mock surveys: 48 % train, 52 % test."""


def held_out_by_name(object_ids: Sequence[str], test_from: int = TEST_FROM) -> NDArray[np.bool_]:
    """(n,) True for test objects: never fitted on, with or without labels.

    Spectra of one object share its side; adding objects never moves those there are.
    """
    first = np.array([blake3(o.encode()).digest()[0] for o in object_ids], np.int64)
    return np.asarray(first >= test_from)


def numbered(object_ids: Sequence[str]) -> NDArray[np.int64]:
    """(n,) whole numbers, equal for equal names: of the name alone, whatever others there are.

    Folds and parts are drawn by number, so that no object moves when others come.
    """
    digests = {o: blake3(o.encode()).digest(length=8) for o in set(object_ids)}
    return np.array([int.from_bytes(digests[o], "little") >> 1 for o in object_ids], np.int64)
