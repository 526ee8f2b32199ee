"""Answers of `similar` and `outliers` as records with the catalogue's field names."""

from __future__ import annotations

from typing import Any

from ..api import Archive
from ..run.answers import Answer

LABELS = ("class", "target_name", "obs_collection", "redshift")


def answer_records(archive: Archive, answers: list[Answer], value: str) -> list[dict[str, Any]]:
    """One record an answer; `differs` and `alike` list (lo Å, hi Å, share, sign)."""
    columns = ["obs_id", "obs_collection", "s_ra", "s_dec", "target_name", "target_class",
               "redshift", "access_path"]  # fmt: skip
    rows = [a.row for a in answers]
    table = archive.store.catalogue(rows, columns).to_pylist()
    out = []
    for answer, known, kind in zip(answers, table, archive.store.classes(rows), strict=True):
        known["class"] = kind  # the file's own, else that of the labels
        out.append({
            "rank": answer.rank, **known, value: answer.value,
            "significance": answer.significance, "snr": answer.snr,
            "noise_source": answer.noise_source, "differs": [list(d) for d in answer.drivers],
            "alike": [list(d) for d in answer.alike], "chi2_per_pixel": answer.chi2,
            "pixel_distance": answer.pixel_distance, "model": answer.model,
        })  # fmt: skip
    return out
