"""What is to be published: catalogue rows with their spectra, in any order, in flat memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.spectrum import FlagScheme, Spectrum

Record = Mapping[str, Any]
"""One catalogue row: ObsCore names → values, None where unknown."""
Take = Callable[[NDArray[np.int64]], Iterator[tuple[Record, Spectrum]]]


@dataclass(frozen=True, slots=True, eq=False)
class ExportSource:
    """Observations chosen for export.

    Parameters
    ----------
    schema : columns of the records; fields may carry ``unit``, ``ucd`` and ``description``
    s_ra, s_dec : (n,) deg, ICRS; NaN where there is no position
    take : yields (record, spectrum) at the positions given (0 … n − 1), in that order, holding
        a bounded number of spectra at a time; may be called more than once
    name : of the whole, for formats that have one (HATS)
    """

    schema: pa.Schema
    s_ra: NDArray[np.float64]
    s_dec: NDArray[np.float64]
    take: Take
    name: str = "spectrarium"

    def __len__(self) -> int:
        return len(self.s_ra)

    def __iter__(self) -> Iterator[tuple[Record, Spectrum]]:
        return self.take(np.arange(len(self), dtype=np.int64))

    @classmethod
    def of(
        cls, pairs: Sequence[tuple[Record, Spectrum]], name: str = "spectrarium"
    ) -> ExportSource:
        """A source over pairs that are in memory.

        Raises UsageError (nothing_selected) when there are none.
        """
        if not pairs:
            raise UsageError("there is nothing to export", code="nothing_selected")

        def take(at: NDArray[np.int64]) -> Iterator[tuple[Record, Spectrum]]:
            return (pairs[int(i)] for i in at)

        def column(key: str) -> NDArray[np.float64]:
            values = [r.get(key) for r, _ in pairs]
            return np.array([np.nan if v is None else v for v in values], np.float64)

        schema = pa.Table.from_pylist([dict(r) for r, _ in pairs]).schema
        return cls(schema, column("s_ra"), column("s_dec"), take, name)


def scheme_json(scheme: FlagScheme | None) -> str | None:
    """``{"name": …, "bits": {"0": …}, "bad": …}``, or None."""
    if scheme is None:
        return None
    bits = {str(bit): name for bit, name in sorted(scheme.bits.items())}
    return json.dumps({"name": scheme.name, "bits": bits, "bad": scheme.bad})


def scheme_text(scheme: FlagScheme | None) -> str:
    """What the bits of delivered flags mean, in one paragraph."""
    if scheme is None:
        return "Flags as delivered; any non-zero value is bad"
    bits = ", ".join(f"{bit} {name}" for bit, name in sorted(scheme.bits.items()))
    bad = "any non-zero value" if scheme.bad is None else f"flags & {scheme.bad} != 0"
    text = f"{scheme.name} as delivered; bad: {bad}"
    return f"{text}; bits: {bits}" if bits else text
