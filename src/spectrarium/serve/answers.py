"""Values as bytes: JSON without NaN, Arrow streams with their metadata, files to keep."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from starlette.responses import Response

ARROW = "application/vnd.apache.arrow.stream"
SAFE_INT = 2**53
"""JavaScript holds larger integers inexactly: they travel as text."""
_UIDS = frozenset({"uid", "uids"})


def json_answer(
    value: Any, status: int = 200, *, headers: Mapping[str, str] | None = None, secret: bool = False
) -> Response:
    """A value as JSON: NaN and infinities are null, uids are text.

    secret : never compressed, as lengths would tell of what is in it
    """
    answer = Response(json_bytes(value), status, dict(headers or {}), "application/json")
    answer.headers.setdefault("Cache-Control", "no-store" if secret else "no-cache")
    answer.raw_headers += [(b"x-no-compression", b"1")] if secret else []
    return answer


def json_bytes(value: Any) -> bytes:
    """UTF-8 JSON that any parser takes."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")  # lone surrogates of odd file names


def plain(value: Any, uid: bool = False) -> Any:
    """A value of plain JSON types; uid : integers in it are identities, so text."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v, uid=uid or k in _UIDS) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v, uid) for v in value]
    if isinstance(value, np.ndarray):
        return _array(value, uid)
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return plain(value.to_pylist(), uid)
    if isinstance(value, np.generic):
        value = _short(value) if isinstance(value, np.float32) else value.item()
    if isinstance(value, Enum):
        return plain(value.value, uid)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value) if uid or abs(value) > SAFE_INT else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if is_dataclass(value) and not isinstance(value, type):
        return plain({f.name: getattr(value, f.name) for f in fields(value)}, uid)
    return None if value is None else str(value)


def _short(value: np.float32) -> float:
    return float(f"{value:.7g}")  # a float32 has no more digits


def _array(values: np.ndarray[Any, Any], uid: bool) -> list[Any]:
    if values.dtype == np.float32:
        if values.ndim > 1:
            return [_array(v, uid) for v in values]
        return [float(f"{v:.7g}") if math.isfinite(v) else None for v in values.tolist()]
    return [plain(v, uid) for v in values.tolist()]


def arrow_answer(
    table: pa.Table, metadata: Mapping[str, Any] | None = None, *,
    headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """A table as one Arrow stream of one batch.

    metadata : of the schema; values that are not text are written as JSON
    """
    return Response(arrow_bytes(table, metadata), 200,
                    {"Cache-Control": "no-cache", **(headers or {})}, ARROW)  # fmt: skip


def arrow_bytes(table: pa.Table, metadata: Mapping[str, Any] | None = None) -> memoryview:
    """The bytes of `arrow_answer`."""
    known = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    for key, value in (metadata or {}).items():
        known[key] = value if isinstance(value, str) else json_bytes(value).decode()
    table = table.replace_schema_metadata(known or None).unify_dictionaries().combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def file_answer(content: bytes | memoryview, name: str, media_type: str) -> Response:
    """Bytes to be kept under a name: an attachment that no browser shows as a page."""
    name = safe_name(name)
    plain_name = name.encode("ascii", "replace").decode().replace("?", "_")
    shown = f"attachment; filename=\"{plain_name}\"; filename*=UTF-8''{quote(name, safe='')}"
    return Response(content, 200, {"Content-Disposition": shown, "Cache-Control": "no-cache"},
                    media_type)  # fmt: skip


def safe_name(name: str) -> str:
    """A file name of letters, digits and ``. _ - +``, of a length that any disk takes."""
    bare = re.sub(r"[^\w.+-]+", "_", name).strip("._-")
    return bare[-120:].strip("._-") or "spectrum"
