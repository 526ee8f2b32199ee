"""What an archive holds, in one record: columns, collections, models, maps, scores, tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..store.archive import Archive
from ..store.derived import ANY_LABELS, LEARNT
from ..store.schema import CATALOGUE
from .quantities import usual_unit
from .tag_rows import described
from .trained import encoder_of

SAMPLE = 2000
"""Observations looked at to tell how full a column is."""


def overview(archive: Archive) -> dict[str, Any]:
    """What the archive holds and what may be asked of it, in plain values.

    Returns
    -------
    record : version, count, columns (name, unit, ucd, about, kind, source, share), collections,
        embeddings, maps, scores, tags, suggested axes. `share` is how many of at most `SAMPLE`
        evenly spaced observations have a value.
    """
    columns = catalogue_columns(archive)
    columns += derived_columns(archive, columns)
    return {
        "name": archive.root.name, "version": archive.version, "count": len(archive),
        "columns": columns,
        "collections": collections(archive),
        "embeddings": [
            {"name": n, "encoder": encoder_of(n), "count": archive.held(f"embeddings/{n}")}
            for n in archive.names("embeddings")
        ],
        "maps": maps_there(archive),
        "scores": scores_there(archive),
        "tags": tags_there(archive),
        "suggested": suggested(columns),
    }  # fmt: skip


def catalogue_columns(archive: Archive) -> list[dict[str, Any]]:
    """Every column of the catalogue and of the label sets, with how full it is."""
    found = []
    for spec in CATALOGUE:
        if spec.public:
            found.append({"name": spec.name, "unit": spec.unit, "ucd": spec.ucd,
                          "about": spec.about, "kind": kind_of(spec.type, spec.unit, spec.ucd),
                          "source": "catalogue"})  # fmt: skip
    for label in archive.names("labels"):
        for field in archive.dataset(f"labels/{label}").lance.schema:
            if field.name != "uid":
                found.append(_label_column(label, field))
    shares = _shares(archive, [str(c["name"]) for c in found])
    return [c | {"share": shares[str(c["name"])]} for c in found]


def _label_column(label: str, field: pa.Field) -> dict[str, Any]:
    meta = {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
    unit = meta.get("unit", "") or usual_unit(field.name)
    about = meta.get("description") or f"{meta.get('name', field.name)} of {label}"
    if meta.get("source") and label != LEARNT:
        about += f" ({meta['source']})"
    return {"name": f"{label}.{field.name}", "unit": unit, "ucd": meta.get("ucd", ""),
            "about": about, "kind": kind_of(field.type, unit, meta.get("ucd", "")),
            "source": f"labels/{label}"}  # fmt: skip


def kind_of(kind: pa.DataType, unit: str = "", ucd: str = "") -> str:
    """``number``, ``text``, ``bool`` or ``time`` (a date in days, not a duration)."""
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_temporal(kind) or (unit == "d" and ucd.startswith("time")):
        return "time"
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return "number" if numeric else "text"


def _shares(archive: Archive, names: list[str]) -> dict[str, float]:
    """Share of a sample of the observations that has a value, by column."""
    rows = archive.find()
    if not len(rows):
        return dict.fromkeys(names, 0.0)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64))]
    table = archive.catalogue(rows, names)
    return {n: round(1.0 - _missing(table.column(n)) / len(rows), 4) for n in names}


def _missing(values: pa.ChunkedArray) -> int:
    missing = int(values.null_count)
    if pa.types.is_floating(values.type):
        missing += int(pc.sum(pc.is_nan(values)).as_py() or 0)
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        missing += int(pc.sum(pc.equal(values, "")).as_py() or 0)
    return missing


def derived_columns(archive: Archive, others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Columns that are worked out when asked for: class, Galactic position, maps, scores …

    `share` of a joined column is that of its parts together, else None: nobody has looked.
    """
    found = []
    for one in archive.derived.values():
        kind, share = "text" if one.name == "class" else "number", None
        if one.source == ANY_LABELS:
            bare = one.name.removeprefix(f"{ANY_LABELS}.")
            parts = [c for c in others if str(c["name"]).partition(".")[2] == bare]
            parts = [c for c in parts if c["source"] != f"labels/{LEARNT}"]
            kind, share = parts[0]["kind"], min(1.0, sum(float(c["share"]) for c in parts))
        unit = one.unit or usual_unit(one.name.rpartition(".")[2])
        found.append({"name": one.name, "unit": unit, "ucd": one.ucd, "about": one.about,
                      "kind": kind, "source": "derived", "share": share})  # fmt: skip
    return found


def collections(archive: Archive) -> list[dict[str, Any]]:
    """Collections with their number of observations, largest first."""
    rows = archive.find()
    if not len(rows):
        return []
    counted = archive.column("obs_collection").take(pa.array(rows)).value_counts().to_pylist()
    pairs = [(str(c["values"] or ""), int(c["counts"])) for c in counted]
    return [{"name": n, "count": c} for n, c in sorted(pairs, key=lambda p: (-p[1], p[0]))]


def maps_there(archive: Archive) -> list[dict[str, Any]]:
    """Kept maps with what they say of their own quality; largest first."""
    found = []
    for name in archive.names("maps"):
        raw = archive.dataset(f"maps/{name}").lance.schema.metadata or {}
        record = json.loads(raw[b"layout"])
        found.append({
            "name": name, "method": record["method"], "model": _model_of(name),
            "count": archive.held(f"maps/{name}"), "axes": list(record["axes"]),
            "quality": record["quality"], "placement": record["placement"],
            "where": json.loads(raw.get(b"where", b"null")),
            "note": _map_note(record["quality"]),
        })  # fmt: skip
    return sorted(found, key=lambda m: (-m["count"], m["name"]))


def _map_note(quality: Mapping[str, Any]) -> str:
    kept = quality.get("kept_10")
    note = "for looking at only: no distance may be read off it"
    return note if kept is None else (
        f"{100 * kept:.0f} % of the ten nearest are kept; {note}"
    )  # fmt: skip


def _model_of(name: str) -> str:
    """The embedding in a name like ``umap.pca.low-…`` or ``combined.pca.low-…``."""
    return name.split(".", 1)[1].split("-where-")[0] if "." in name else ""


def scores_there(archive: Archive) -> list[dict[str, Any]]:
    """Kept scores, by name: ``combined.pca.low-…``."""
    return [
        {"name": n, "score": n.split(".", 1)[0], "model": _model_of(n),
         "count": archive.held(f"scores/{n}")}
        for n in archive.names("scores")
    ]  # fmt: skip


def tags_there(archive: Archive) -> list[dict[str, Any]]:
    """Learnt labels: kind, unit, levels, models and how many observations have a value."""
    found: dict[str, dict[str, Any]] = {}
    for name in archive.names("tags"):
        meta = described(archive, name)
        one = found.setdefault(meta["label"], {
            "label": meta["label"], "kind": meta["kind"], "unit": meta.get("unit", ""),
            "levels": meta["levels"], "models": [], "count": 0,
            "column": f"{LEARNT}.{meta['label']}",
        })  # fmt: skip
        one["models"].append(meta["embedding"])
    for one in found.values():
        if one["column"] in archive.columns():
            values = archive.label_column(one["column"]).take(pa.array(archive.find()))
            one["count"] = len(values) - _missing(values)
    return sorted(found.values(), key=lambda t: str(t["label"]))


def suggested(columns: list[dict[str, Any]]) -> dict[str, Any]:
    """Axes that are worth a first look, by what the columns are called and how full they are."""
    share = {str(c["name"]): float(c["share"] or 0.0) for c in columns if c["kind"] == "number"}

    def pair(x: tuple[str, ...], y: tuple[str, ...]) -> list[str] | None:
        found: list[tuple[float, bool, str, str]] = []
        for name, filled in share.items():
            stem, _, bare = name.rpartition(".")
            if bare.lower() in x:
                others = [n for n in share if n.rpartition(".")[0] == stem
                          and n.rpartition(".")[2].lower() in y]  # fmt: skip
                found += [(min(filled, share[o]), stem != LEARNT, name, o) for o in others]
        best = max(found, default=None, key=lambda f: (round(f[0], 1), f[1], f[0], f[2]))
        return [best[2], best[3]] if best is not None and best[0] > 0 else None

    placed, far = bool(share.get("s_ra")), "gal_x_kpc" in share
    return {
        "kiel": pair(("teff", "teff_k", "t_eff"), ("logg", "log_g")),
        "hr": pair(("bp_rp", "b_v", "bv"), ("abs_g", "m_g", "mg", "abs_mag", "m_v")),
        "metallicity": pair(("feh", "fe_h", "m_h", "mh"),
                            ("alpha_m", "alpha_fe", "afe", "alphafe", "mg_fe")),
        "sky": ["s_ra", "s_dec"] if placed else None,
        "galactic": ["gal_l", "gal_b"] if placed else None,
        "plane": ["gal_x_kpc", "gal_y_kpc"] if placed and far else None,
        "side": ["gal_x_kpc", "gal_z_kpc"] if placed and far else None,
        "colour": "class",
    }  # fmt: skip
