"""The models of an archive: which there are, where they lie, what they were made of."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..domain.errors import DataError, UsageError
from ..embed.card import CARD, card_understood, move_over, read_card, write_card
from ..embed.domain import ModelDomain
from ..embed.encoder import Encoder, encoder_named
from ..store.archive import Archive, Rows
from ..store.writer import Writer
from .groups import Refused

REFUSED = "refused.json"


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that `train` made: registered once it is complete, before anything is embedded.

    name : that its embedding will have (``ENCODER.GROUP``) · job : hash of all it was made of
    family : models of one family share out the observations; another family starts afresh
    spectra, objects : it was trained on · archive_version : then · made : UTC, ISO 8601
    """

    name: str
    model_id: str
    encoder: str
    family: str
    job: str
    where: str | None
    latent: int
    spectra: int
    objects: int
    archive_version: int
    made: str
    device: str


def encoder_of(name: str) -> str:
    """The encoder in the name of an embedding."""
    return name.split(".", 1)[0]


def trained_models(archive: Archive, encoder: str | None = None) -> list[Trained]:
    """What `train` registered, of one encoder or all, by name."""
    out = []
    for name in archive.names("trained"):
        if encoder is None or encoder_of(name) == encoder:
            record = archive.table(f"trained/{name}").to_pylist()[0]
            out.append(Trained(**{f.name: record[f.name] for f in fields(Trained)}))
    return out


def register(writer: Writer, model: Trained) -> None:
    """Make a trained model part of the archive; its embedding, if any, stays until replaced."""
    types = {"latent": pa.int64(), "spectra": pa.int64(), "objects": pa.int64(),
             "archive_version": pa.int64()}  # fmt: skip
    schema = pa.schema([(f.name, types.get(f.name, pa.string())) for f in fields(Trained)])
    writer.put_table(f"trained/{model.name}", pa.Table.from_pylist([asdict(model)], schema))


def install(archive: Archive, staged: Path, model_id: str, facts: Mapping[str, Any]) -> Path:
    """Move a saved model to its place, its card saying also how it came about; durable."""
    write_card(staged, read_card(staged) | {"trained": dict(facts)})
    place = archive.root / "models" / model_id
    place.parent.mkdir(parents=True, exist_ok=True)
    if (place / CARD).is_file():  # the same weights once more
        move_over(staged, place)
    else:
        shutil.rmtree(place, ignore_errors=True)
        os.replace(staged, place)
    return place


def keep_refused(staged: Path, archive: Archive, refused: Refused) -> None:
    """Beside a saved model, by content, which of its group's spectra it refused and why."""
    rows = np.array([row for row, _ in refused], np.int64)
    prints = archive.index.value("fingerprint", rows).tolist()
    _write(staged / REFUSED, {str(p): why for p, (_, why) in zip(prints, refused, strict=True)})


def refused_by(archive: Archive, model_id: str, members: Rows) -> Refused:
    """(row, reason) of the `members` that a model refused when it was made.

    Raises DataError (bad_model) if the record of it is damaged.
    """
    path = archive.root / "models" / model_id / REFUSED
    try:
        reasons = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:  # a model of before there was such a record
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"the record of refused spectra is damaged: {error}", code="bad_model",
                        where=str(path), remedy="train the model again") from error  # fmt: skip
    prints = archive.index.value("fingerprint", members).tolist()
    return [(int(row), reasons[str(p)]) for row, p in zip(members, prints, strict=True)
            if str(p) in reasons]  # fmt: skip


def _write(path: Path, record: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, sort_keys=True, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def metadata(archive: Archive, name: str) -> dict[bytes, bytes]:
    """What an embedding's table says about itself."""
    return archive.dataset(f"embeddings/{name}").lance.schema.metadata or {}


def chosen_by(archive: Archive, name: str) -> str | None:
    """The filter whose observations an embedding is for; None = all."""
    meta = metadata(archive, name)
    return json.loads(meta[b"where"]) if b"where" in meta else None


def made_at(archive: Archive, name: str) -> int:
    """Rows the catalogue had when an embedding was last made: later ones came since."""
    return int(metadata(archive, name).get(b"catalogue_rows", b"0"))


def model_id_of(archive: Archive, name: str) -> str:
    """Id of the model behind an embedding, or of a trained one that has none yet."""
    if name in archive.names("embeddings"):
        return metadata(archive, name)[b"model_id"].decode()
    if name in archive.names("trained"):
        return str(archive.table(f"trained/{name}", ["model_id"]).column(0)[0].as_py())
    there = sorted({*archive.names("embeddings"), *archive.names("trained")})
    raise UsageError(
        f"there is no model {name!r}", code="no_model",
        remedy="models: " + (", ".join(there) or "none yet; run "
                             "`spectrarium embed --encoder pca`"),
    )  # fmt: skip


def model_dir(archive: Archive, name: str) -> Path:
    """Folder of the model behind the embedding `name`."""
    return archive.root / "models" / model_id_of(archive, name)


def load_model(archive: Archive, name: str) -> Encoder:
    """The encoder of an embedding, verified against its hash."""
    directory = model_dir(archive, name)
    return encoder_named(encoder_of(name)).load(directory)


def model_card(archive: Archive, name: str) -> dict[str, Any]:
    """The card of a model.

    Raises DataError (no_model, bad_model, hash_mismatch) if it is gone, damaged or changed.
    """
    directory = model_dir(archive, name)
    try:
        return read_card(directory)
    except DataError as error:
        if error.code != "no_model":
            raise
        raise DataError("the model's folder or its card is gone", code="no_model",
                        where=str(directory / CARD),
                        remedy="copy it back, or train the model again") from None  # fmt: skip


def domain_of(archive: Archive, name: str) -> ModelDomain:
    """What a model covers, as its card says. Raises DataError as `model_card`."""
    card = model_card(archive, name)
    with card_understood(model_dir(archive, name)):
        return ModelDomain.from_json(card["domain"])


def model_records(archive: Archive) -> list[dict[str, Any]]:
    """Every model: encoder, latent size, coverage, what it was trained on, how many it embedded.

    A model whose folder is damaged is listed with what is wrong under ``damage``. Where something
    may be hidden, what it was trained on is left out: it may have been that.
    """
    made = {m.name: m for m in trained_models(archive)}
    out = []
    for name in sorted({*archive.names("embeddings"), *made}):
        record: dict[str, Any] = {"name": name, "encoder": encoder_of(name), "covered": 0}
        if name in archive.names("embeddings"):
            dataset = archive.dataset(f"embeddings/{name}")
            raw = metadata(archive, name)
            record |= {k.decode(): v.decode() for k, v in raw.items() if k != b"model_name"}
            record |= {"covered": len(dataset), "where": chosen_by(archive, name),
                       "latent": dataset.lance.schema.field("vector").type.list_size}  # fmt: skip
        if name in made:
            record = _with_training(record, made[name])
        directory = archive.root / "models" / record["model_id"]
        record["path"] = str(directory)
        try:
            record |= _of_card(model_card(archive, name))
        except DataError as error:
            record["damage"] = error.what
        if archive.restricted:
            record = {k: v for k, v in record.items() if k not in _OF_TRAINING}
        out.append(record)
    return out


_OF_TRAINING = ("training", "catalogue_rows", "spectra", "objects", "where", "trained_where",
                "path", "archive_version")  # fmt: skip


def _with_training(record: dict[str, Any], model: Trained) -> dict[str, Any]:
    facts = {k: v for k, v in asdict(model).items() if k not in ("family", "job", "name")}
    if record.get("model_id") in (None, model.model_id):
        facts["where"] = record.get("where", model.where)
        return record | facts | {"trained_where": model.where}
    # trained anew since: the vectors there are still those of the model before
    return record | {"next_model_id": model.model_id, "next_made": model.made}


def _of_card(card: dict[str, Any]) -> dict[str, Any]:
    domain = card.get("domain")
    domain = domain if isinstance(domain, dict) else {}
    keys = ("wave_min_aa", "wave_max_aa", "n_pix", "frame", "flux_kind", "telluric", "rest")
    return {"training": card.get("training", ""), "version": card.get("version", "")} | {
        k: domain[k] for k in keys if k in domain
    }
