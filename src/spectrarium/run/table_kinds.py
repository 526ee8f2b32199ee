"""Tables of what was worked out: tags with their intervals, scores, vectors and models."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..domain.errors import DataError, UsageError
from ..embed.card import read_card
from .embedding import load_model
from .quantities import ucd_of
from .table_columns import Column, VoTable, identifiers, table_of
from .table_rows import DID, TableRows, did_column, observed
from .tag_rows import described, percent
from .trained import encoder_of, model_card, model_records

_S, _D, _I, _L = pa.string(), pa.float64(), pa.int16(), pa.int64()
MODELS = "spectra.models"

# tags -----------------------------------------------------------------------------------------

TAGS = (
    did_column(),
    Column("tag", _S, "What was read off the spectrum: name of a label that was learnt",
           ucd="meta.id", principal=True),
    Column("tag_kind", _S, "number or class", ucd="meta.code"),
    Column("number", _D, "The tag, where it is a number; null where the tagger abstains",
           ucd="stat.fit.param", principal=True),
    Column("word", _S, "The tag, where it is a class; null where the tagger abstains",
           ucd="src.class", principal=True, wide=True),
    Column("tag_unit", _S, "Unit of number, lowest and highest (VOUnit)", ucd="meta.unit"),
    Column("tag_ucd", _S, "UCD1+ of the tag", ucd="meta.ucd"),
    Column("coverage", _D, "Share of true values that intervals and sets of this row are made to "
           "hold (conformal prediction)", ucd="stat.probability", principal=True),
    Column("lowest", _D, "Lower end of the interval", ucd="stat.fit.param;stat.min",
           principal=True),
    Column("highest", _D, "Upper end of the interval", ucd="stat.fit.param;stat.max",
           principal=True),
    Column("class_set", _S, "Classes of the set, the likeliest first, between bars",
           ucd="src.class", principal=True, wide=True),
    Column("probability", _D, "Probability of the class in column word", ucd="stat.probability"),
    Column("abstained", _I, "1 where the tagger gives no value: reason says why", ucd="meta.code",
           principal=True),
    Column("reason", _S, "Why there is no value", ucd="meta.note", wide=True),
    Column("snr", _D, "Signal to noise of the spectrum as the model sees it", ucd="stat.snr"),
    Column("training_role", _S, "Part that the observation had in making the tagger: train, "
           "validate, calibrate or test; empty = none", ucd="meta.code"),
    Column("embedding", _S, "Embedding it was read off", ucd="meta.id"),
    Column("model_id", _S, "The tagger: name and hash of its weights", ucd="meta.id;meta.software"),
    Column("encoder_id", _S, "The model that made the vectors", ucd="meta.id;meta.software"),
)  # fmt: skip


def tag_table(source: TableRows) -> list[VoTable]:
    """``spectra.tags``: one row for each observation, tag and coverage; none where none exist."""
    names = source.archive.names("tags")
    if not names:
        return []
    about = (
        "Tags read off the spectra with calibrated intervals (numbers) or sets (classes), and "
        "why a tagger abstains: one row per observation, tag, embedding and coverage"
    )
    return [VoTable("spectra.tags", about, TAGS, partial(_tags, source, names),
                    joins=(observed(), ("model_id", MODELS, "model_id")))]  # fmt: skip


def _tags(source: TableRows, names: list[str]) -> pa.Table:
    parts = []
    for name in names:
        meta = described(source.archive, name)
        table, place = source.living(f"tags/{name}")
        did = source.dids_at(place)
        for level in meta["levels"]:
            parts.append(_tags_at(meta, table, did, float(level)))
    return pa.concat_tables(parts)


def _tags_at(meta: dict[str, Any], table: pa.Table, did: pa.Array, level: float) -> pa.Table:
    n, number = table.num_rows, meta["kind"] == "number"
    ucd = meta.get("ucd") or (ucd_of(meta["label"]) if number else "src.class")
    value = table.column("value")
    said: dict[str, Any] = {
        DID: did, "tag": _same(meta["label"], n), "tag_kind": _same(meta["kind"], n),
        "tag_unit": _same(meta.get("unit", ""), n), "tag_ucd": _same(ucd, n),
        "coverage": pa.array(np.full(n, level)), "abstained": pc.is_null(value),
        "reason": table.column("reason"), "snr": table.column("snr"),
        "training_role": table.column("role"), "embedding": _same(meta["embedding"], n),
        "model_id": _same(meta["tagger"], n), "encoder_id": _same(meta["encoder"], n),
        "number" if number else "word": value,
    }  # fmt: skip
    if number:
        said["lowest"] = table.column(f"lo_{percent(level)}")
        said["highest"] = table.column(f"hi_{percent(level)}")
    else:
        said["class_set"] = table.column(f"set_{percent(level)}")
        said["probability"] = table.column("probability")
    return table_of(TAGS, [said.get(c.name, pa.nulls(n, c.type)) for c in TAGS])


def _same(text: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, _S), n)


# scores ---------------------------------------------------------------------------------------

SCORES = (
    did_column(),
    Column("score", _S, "Name of the score", ucd="meta.id", principal=True),
    Column("number", _D, "The score itself; null where it abstains", ucd="stat.value",
           principal=True),
    Column("significance", _D, "How far above what is usual at the same signal to noise, in "
           "standard deviations", ucd="stat.value", principal=True),
    Column("strangeness_rank", _L, "1 = the most significant of this score and embedding",
           ucd="meta.number", principal=True),
    Column("snr", _D, "Signal to noise of the spectrum as the model sees it", ucd="stat.snr"),
    Column("noise_source", _S, "Where the noise is from: delivered, estimated or unknown",
           ucd="meta.code"),
    Column("reason", _S, "Why there is no score", ucd="meta.note", wide=True),
    Column("note", _S, "What more there is to say", ucd="meta.note", wide=True),
    Column("embedding", _S, "Embedding it was worked out from", ucd="meta.id"),
    Column("model_id", _S, "The model that made the vectors", ucd="meta.id;meta.software"),
)  # fmt: skip


def score_table(source: TableRows) -> list[VoTable]:
    """``spectra.scores``: one row for each observation, score and embedding, if there are any."""
    names = source.archive.names("scores")
    if not names:
        return []
    about = "How strange spectra are: one row per observation, score and embedding"
    rows = sum(source.archive.held(f"scores/{n}") for n in names)
    return [VoTable("spectra.scores", about, SCORES, partial(_scores, source, names), rows,
                    joins=(observed(), ("model_id", MODELS, "model_id")))]  # fmt: skip


def _scores(source: TableRows, names: list[str]) -> pa.Table:
    parts = []
    for name in names:
        score, _, embedding = name.partition(".")
        meta = source.archive.table(f"scores/{name}", ["uid"]).schema.metadata or {}
        table, place = source.living(f"scores/{name}")
        n = table.num_rows
        said: dict[str, Any] = {
            c: table.column(c) for c in ("significance", "snr", "noise_source", "reason", "note")
        }
        said |= {
            DID: source.dids_at(place), "score": _same(score, n), "number": table.column("value"),
            "embedding": _same(embedding, n), "strangeness_rank": _ranks(table),
            "model_id": _same(meta.get(b"model_id", b"").decode(), n),
        }  # fmt: skip
        parts.append(table_of(SCORES, [said[c.name] for c in SCORES]))
    return pa.concat_tables(parts)


def _ranks(table: pa.Table) -> pa.Array:
    """1 = the most significant; null where the score abstains."""
    values = table.column("significance").to_numpy(zero_copy_only=False).astype(np.float64)
    out = np.zeros(len(values), np.int64)
    judged = np.flatnonzero(np.isfinite(values))
    out[judged[np.argsort(-values[judged], kind="stable")]] = np.arange(1, len(judged) + 1)
    return pa.array(out, mask=out == 0)


# vectors --------------------------------------------------------------------------------------


def embedding_tables(source: TableRows) -> list[VoTable]:
    """``spectra.embedding_NAME``: the vectors of each model."""
    return list(embeddings(source).values())


def embeddings(source: TableRows) -> dict[str, VoTable]:
    """The table of each embedding, by the embedding's own name."""
    names = [n for n in source.archive.names("embeddings") if source.archive.held(
        f"embeddings/{n}")]  # fmt: skip
    out = {}
    for own, plain in zip(names, identifiers(names), strict=True):
        schema = source.archive.dataset(f"embeddings/{own}").lance.schema
        size = schema.field("vector").type.list_size
        columns = (
            did_column(),
            Column("vector", pa.list_(pa.float32(), size), "What the model makes of the spectrum, "
                   "on the scale on which the Euclidean distance of two says how unlike they are",
                   ucd="stat.value;meta.modelled", principal=True),
            Column("chi2", _D, "Of what the model cannot reproduce, in units of the noise",
                   ucd="stat.fit.chi2"),
            Column("n_pix", _D, "Good pixels on the model's grid", ucd="meta.number"),
            Column("n_fit", _D, "Pixels used up by the fit", ucd="meta.number"),
            Column("snr", _D, "Signal to noise of the spectrum as the model sees it",
                   ucd="stat.snr", principal=True),
        )  # fmt: skip
        about = f"Vectors of the embedding {own}, {size} components; similarity(...) compares them"
        out[own] = VoTable(
            f"spectra.embedding_{plain}", about, columns, partial(_vectors, source, own, columns),
            source.archive.held(f"embeddings/{own}"), joins=(observed(),),
        )  # fmt: skip
    return out


def _vectors(source: TableRows, name: str, columns: tuple[Column, ...]) -> pa.Table:
    table, place = source.living(f"embeddings/{name}")
    size = columns[1].type.list_size
    flat = table.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    scaled = flat.reshape(-1, size) * load_model(source.archive, name).metric_scale()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(scaled.ravel(), pa.float32()), size)
    said = {c: table.column(c).cast(_D) for c in ("chi2", "n_pix", "n_fit", "snr")}
    return table_of(columns, [source.dids_at(place), vectors, *(said[c.name]
                                                              for c in columns[2:])])  # fmt: skip


# models ---------------------------------------------------------------------------------------

MODEL_COLUMNS = (
    Column("model_id", _S, "Name of the model and hash of its weights", ucd="meta.id;meta.main",
           principal=True),
    Column("model_name", _S, "Name of the embedding or tag", ucd="meta.id", principal=True),
    Column("model_kind", _S, "encoder (spectra to vectors) or tagger (vectors to tags)",
           ucd="meta.code", principal=True),
    Column("method", _S, "Encoder or head: pca, patch, linear …", ucd="meta.code", principal=True),
    Column("table_name", _S, "Table of its results", ucd="meta.id;meta.table"),
    Column("latent", _L, "Components of its vectors", ucd="meta.number"),
    Column("covered", _L, "Observations it has a result for", ucd="meta.number", principal=True),
    Column("wave_min_aa", _D, "Shortest wavelength of its grid, in vacuum", "Angstrom",
           "em.wl;stat.min"),
    Column("wave_max_aa", _D, "Longest wavelength of its grid, in vacuum", "Angstrom",
           "em.wl;stat.max"),
    Column("n_pix", _L, "Samples of its grid", ucd="meta.number"),
    Column("frame", _S, "Velocity frame of its grid", ucd="meta.code"),
    Column("flux_kind", _S, "Kind of flux it takes", ucd="meta.code"),
    Column("software_version", _S, "Version of the code that made it", ucd="meta.version"),
    Column("training", _S, "What it was trained on", ucd="meta.note", wide=True),
    Column("card", _S, "The model card: everything that is recorded of it, as JSON",
           ucd="meta.note", wide=True),
)  # fmt: skip


def model_table(source: TableRows) -> list[VoTable]:
    """``spectra.models``: the cards of encoders and taggers, if there are any."""
    archive = source.archive
    if not (archive.names("embeddings") or archive.names("trained") or archive.names("tags")):
        return []
    about = "Models behind vectors, scores and tags: what they cover and what they were trained on"
    return [VoTable(MODELS, about, MODEL_COLUMNS, partial(_models, source))]


def _models(source: TableRows) -> pa.Table:
    records = [*_encoders(source), *_taggers(source)]
    values = [[r.get(c.name) for r in records] for c in MODEL_COLUMNS]
    return table_of(MODEL_COLUMNS, values)


def _encoders(source: TableRows) -> list[dict[str, Any]]:
    """Of models whose card is damaged, what else is known of them."""
    archive, of = source.archive, embeddings(source)
    out = []
    for record in model_records(archive):
        name = record["name"]
        whole = not archive.restricted and "damage" not in record
        out.append({
            **record, "model_name": name, "model_kind": "encoder", "method": encoder_of(name),
            "table_name": of[name].name if name in of else None,
            "latent": int(record["latent"]) if record.get("latent") is not None else None,
            "software_version": record.get("version"),
            "card": _card(model_card(archive, name)) if whole else None,
        })  # fmt: skip
    return out


def _taggers(source: TableRows) -> list[dict[str, Any]]:
    """Of what only some may see, nothing is said of what a tagger was trained on."""
    archive = source.archive
    out: list[dict[str, Any]] = []
    for name in archive.names("tags"):
        meta = described(archive, name)
        record: dict[str, Any] = {
            "model_id": meta["tagger"], "model_name": meta["label"], "model_kind": "tagger",
            "table_name": "spectra.tags", "covered": archive.held(f"tags/{name}"),
        }  # fmt: skip
        if not archive.restricted:
            record |= _tagger_card(source, meta["tagger"])
        out.append(record)
    return out


def _tagger_card(source: TableRows, tagger: str) -> dict[str, Any]:
    try:
        card = read_card(source.archive.root / "models" / tagger)
    except DataError:  # `spectrarium models` tells of damage; the rest is still true
        return {}
    return {"method": card.get("head"), "software_version": card.get("version"),
            "card": _card(card)}  # fmt: skip


def _card(card: dict[str, Any]) -> str:
    return json.dumps(card, sort_keys=True)


def embedding_named(source: TableRows, model: str) -> str:
    """The embedding that a query calls `model`: by its own name or that of its table.

    Raises UsageError (unknown_model).
    """
    found = embeddings(source)
    folded = model.strip().lower()
    for own, table in found.items():
        if folded in (own.lower(), table.name, table.name.removeprefix("spectra.embedding_")):
            return own
    raise UsageError(f"there is no model {model!r}", code="unknown_model", where="similarity",
                     remedy="models: " + (", ".join(found) or "none yet"))  # fmt: skip
