"""A model with its vectors, ready for questions, and the spectrum a question is about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..domain.derived import Embedding
from ..domain.errors import DataError, UsageError
from ..domain.progress import Progress
from ..domain.spectrum import Spectrum
from ..embed.encoder import Encoded, Encoder
from ..embed.prepare import Prepared, Preparer
from ..explore.approximate import LEAST_ROWS, ApproximateIndex
from ..explore.neighbours import ExactIndex
from ..read.registry import read_source
from ..read.source import ReadOptions, SourceFile
from ..store.archive import Archive, Rows
from ..store.manifest import load as newest_manifest
from .embedding import chosen_by, load_model, made_at, prepared, summaries
from .index import APPROXIMATE_FROM, indexed
from .pending import Pending, keep, kept
from .redshifts import asks, read_for
from .train_options import TrainOptions
from .trained import encoder_of, trained_models
from .vectors import vectors_of

PENDING_MOST = 20_000
"""Spectra newer than an embedding that a question encodes and keeps; of more, the newest."""
_PREFERRED = ("patch", "pca")
_TYPICAL = 128


class Explorer:
    """A model with its vectors, ready for questions. One per embedding of one archive version."""

    def __init__(self, archive: Archive, name: str, model: Encoder | None = None) -> None:
        """model : the embedding's own, if it is at hand; else it is loaded"""
        self.archive = archive
        self.name = name
        self.model: Encoder = model or load_model(archive, name)
        self.preparer = Preparer(self.model.domain)
        self._near: ApproximateIndex | None = None
        self._typical: NDArray[np.float32] | None = None
        self.table, self.rows, vectors = vectors_of(archive, name)
        self._add_pending(vectors)

    def _add_pending(self, vectors: NDArray[np.float32]) -> None:
        """Take in what came since: the answer is about the whole archive, or `notes` says not.

        Of what no earlier question encoded, only what is among the newest is encoded here: so that
        the next question finds all of it done.
        """
        todo = _came_since(self.archive, self.name)
        if len(todo):
            facts = summaries(self.archive, todo)
            fits = np.array([self.model.domain.covers(f)[0] for f in facts], bool)
            todo = todo[fits]
        prints = self.archive.index.value("fingerprint", todo)
        model = self.model.ref.weights_hash
        known = (kept(self.archive.root, self.name, model, vectors.shape[1]) if len(todo)
                 else Pending.none(vectors.shape[1]))  # fmt: skip
        at = known.at(prints)
        newest = np.arange(len(todo)) >= len(todo) - PENDING_MOST
        fresh = self._encoded(todo[newest & (at < 0)], vectors.shape[1])
        by_content = not asks(self.model.domain)  # else catalogues may say otherwise later
        if len(fresh.fingerprint) and by_content and self._is_for_all():
            keep(self.archive.root, self.name, model, fresh, prints)
        pending = Pending.joined([known, fresh])
        at = pending.at(prints)
        self.not_searched = int((at < 0).sum())
        searched = at >= 0
        searched[searched] = ~pending.refused[at[searched]]
        self.pending = int(searched.sum())
        if self.pending:
            self.rows = np.concatenate([self.rows, todo[searched]])
            vectors = np.concatenate([vectors, pending.vectors[at[searched]]])
        self.uid = self.archive.index.value("uid", self.rows)
        embedding = Embedding(self.model.ref, vectors, self.uid)
        self.index = ExactIndex(embedding, self.model.metric_scale())

    def _encoded(self, rows: Rows, dimensions: int) -> Pending:
        """What the model makes of these rows."""
        out = [Pending.none(dimensions)]
        for batch, chunk, _ in prepared(self.archive, self.preparer, rows) if len(rows) else ():
            prints = self.archive.index.value("fingerprint", chunk)
            vectors = np.zeros((len(chunk), dimensions), np.float32)
            refused = np.ones(len(chunk), bool)
            if len(batch):
                vectors[batch.index] = self.model.encode(batch.flux, batch.ivar).vectors
                refused[batch.index] = False
            out.append(Pending(prints, vectors, refused))
        return Pending.joined(out)

    def _is_for_all(self) -> bool:
        """Whether what is worked out here may be kept: of the newest version, as all may see it."""
        newest = newest_manifest(self.archive.root).version == self.archive.version
        return newest and not self.archive.restricted

    @property
    def notes(self) -> list[str]:
        """What an answer from here has to say about what it is not about."""
        return [unsearched(self.name, self.not_searched)] if self.not_searched else []

    def notes_of(self, method: str) -> list[str]:
        """The same, of an answer that was found so (`Found.method`): an old index makes it late."""
        if method == "exact" or self._near is None or not self._near.behind:
            return self.notes
        return [*self.notes, f"{len(self._near.tail):,} spectra came or changed since the "
                "approximate index was built and are compared one by one: run `spectrarium embed "
                f"--encoder {encoder_of(self.name)}` to build it anew"]  # fmt: skip

    def searcher(
        self, *, exact: bool = False, least: int | None = None, progress: Progress | None = None
    ) -> ExactIndex | ApproximateIndex:
        """What to search with: the exact index, or the approximate one of `least` rows or more.

        least : None = `index.APPROXIMATE_FROM` · `embed` makes the approximate one. Where there is
        none it is made here, but not of a past version or of what only some may see: those are
        searched exactly. An old one is used with what came since beside it: see `notes_of`.
        """
        if exact or len(self.index) < max(APPROXIMATE_FROM if least is None else least, LEAST_ROWS):
            return self.index
        if self._near is None:
            prints = self.archive.index.value("fingerprint", self.rows)
            self._near = indexed(self.archive.root, self.name, self.index, prints,
                                 progress=progress, make=self._is_for_all())  # fmt: skip
        return self.index if self._near is None else self._near

    def typical(self) -> NDArray[np.float32]:
        """(n_pix,) mean normalised flux of what the model covers, against which likeness counts.

        The model's own mean where it has one, else that of evenly spaced spectra.
        """
        if self._typical is None:
            mean = getattr(self.model, "mean", None)
            if mean is None and len(self.rows):
                take = np.unique(np.linspace(0, len(self.rows) - 1, _TYPICAL).astype(int))
                some = read_for(self.archive, self.model.domain, self.rows[take])
                batch, _ = self.preparer.batch(some)
                there = np.maximum((batch.ivar > 0).sum(axis=0), 1)
                mean = np.where(batch.ivar > 0, batch.flux, 0.0).sum(axis=0) / there
            if mean is None:
                mean = np.zeros(self.model.domain.n_pix)
            self._typical = np.asarray(mean, dtype=np.float32)
        return self._typical

    def prepare(self, spectrum: Spectrum) -> tuple[Prepared, Encoded]:
        """A spectrum on this model's grid and its vector. Raises UsageError (not_covered)."""
        batch, left = self.preparer.batch([spectrum])
        if left:
            raise UsageError(f"model {self.name} does not cover it: {left[0].reason}",
                             code="not_covered")  # fmt: skip
        return batch, self.model.encode(batch.flux, batch.ivar)


def unsearched(name: str, number: int) -> str:
    """That so many spectra came since an embedding was made, too many to encode on the spot."""
    return (f"{number:,} newer spectra are not searched: run `spectrarium embed --encoder "
            f"{encoder_of(name)}`")  # fmt: skip


def _came_since(archive: Archive, name: str) -> Rows:
    """Current rows newer than an embedding, of those it is for, that no model holds which shares
    out the observations with its own: what another encoder holds is news to this one."""
    rows = archive.find(where=chosen_by(archive, name))
    rows = rows[rows >= made_at(archive, name)]
    family = {m.name: m.family for m in trained_models(archive)}

    def kin(one: str) -> tuple[str, str]:
        return encoder_of(one), family.get(one, TrainOptions(encoder_of(one)).family)

    for other in [n for n in archive.names("embeddings") if kin(n) == kin(name)]:
        if not len(rows):
            break
        prints = archive.index.value("fingerprint", rows)
        known = archive.table(f"embeddings/{other}", ["fingerprint"]).column(0).to_numpy()
        rows = rows[~np.isin(prints, known)]
    return rows


def query_spectrum(archive: Archive, text: str, options: ReadOptions | None = None) -> Spectrum:
    """The spectrum a user named: an archive id, or a file whose first good spectrum is taken."""
    if Path(text).is_file():
        problems: list[DataError] = []
        for item in read_source(SourceFile.open(text, options)):
            if isinstance(item, Spectrum):
                return item
            if isinstance(item, DataError):
                problems.append(item)
        if problems:
            raise problems[0]
        raise UsageError("the file holds no spectrum", code="not_a_spectrum", where=text)
    try:
        return archive.read(text)
    except UsageError as error:
        if error.code != "unknown_id" or not (Path(text).suffix or "/" in text):
            raise
        raise UsageError(f"{error.what}, and there is no such file", code="unknown_id",
                         where=error.where, remedy=error.remedy) from error  # fmt: skip


def covering(
    archive: Archive, spectrum: Spectrum, own: int | None, model: str | None,
    explorer: Explorer | None, encoder: str | None = None,
) -> tuple[Explorer, Prepared, Encoded]:  # fmt: skip
    """The embedding a question is put to, with the query as its model sees it.

    That named by `model`; else, of those (by `encoder`, if given) whose model covers the query,
    the one that holds most observations; of equals ``patch`` before ``pca`` before the
    others, as measured in docs/science.md.

    Raises
    ------
    UsageError (no_model, not_covered, no_good_pixels) : saying why for each
    """
    if spectrum.mask.all():
        raise UsageError("the query has no good pixel", code="no_good_pixels",
                         where=_called(spectrum),
                         remedy="`spectrarium show` gives its flags; choose another")  # fmt: skip
    names = [_named(archive, model)] if model else candidates(archive, encoder)
    reasons = []
    for name in names:
        if explorer is not None and explorer.name == name:
            batch, left = explorer.preparer.batch([spectrum])
        else:
            loaded = load_model(archive, name)
            batch, left = Preparer(loaded.domain).batch([spectrum])
        if left:
            reasons.append(f"model {name} does not cover it: {left[0].reason}")
            continue
        if explorer is None or explorer.name != name:
            explorer = Explorer(archive, name, loaded)
        return explorer, batch, explorer.model.encode(batch.flux, batch.ivar)
    raise UsageError(
        f"no model covers this spectrum: {'; '.join(reasons)}", code="not_covered",
        where=_called(spectrum),
        remedy="declare what its file leaves out (--medium, --specsys, --flux-unit), or ingest "
        "more spectra like it and run `spectrarium embed` again",
    )  # fmt: skip


def refuse_other_encoder(archive: Archive, model: str | None, encoder: str | None) -> None:
    """Raises UsageError (no_model) where a model is asked for and another's encoder."""
    if model is None or encoder is None or encoder_of(model) == encoder:
        return
    there = {*archive.names("embeddings"), *archive.names("trained")}
    if model in there:  # of a name that is none, there is more to say elsewhere
        mine = sorted(n for n in there if encoder_of(n) == encoder)
        raise UsageError(
            f"the model {model} is not by the encoder {encoder!r}", code="no_model",
            where="--encoder", remedy="leave one of --model and --encoder out"
            + (f"; by {encoder} there are: {', '.join(mine)}" if mine else ""),
        )  # fmt: skip


def _named(archive: Archive, model: str) -> str:
    if model in archive.names("trained") and not archive.held(f"embeddings/{model}"):
        raise UsageError(
            f"{model} is trained, but nothing is embedded with it yet", code="no_model",
            remedy=f"run `spectrarium embed --encoder {model.split('.')[0]}`",
        )  # fmt: skip
    return model


def candidates(archive: Archive, encoder: str | None) -> list[str]:
    """Embeddings that may be asked, the one to try first coming first."""
    held = {n: archive.held(f"embeddings/{n}") for n in archive.names("embeddings")}
    idle = sorted({*archive.names("trained"), *held} - {n for n, rows in held.items() if rows})
    kinds = sorted({n.split(".", 1)[0] for n in held})
    of = {n for n in held if encoder in (None, n.split(".", 1)[0])}
    names = [n for n in of if held[n]]
    if names:
        rank = {kind: i for i, kind in enumerate(_PREFERRED)}
        return sorted(names, key=lambda n: (-held[n], rank.get(n.split(".", 1)[0], 9), n))
    waiting = [n for n in idle if encoder in (None, n.split(".", 1)[0])]
    if waiting:
        raise UsageError(
            f"{', '.join(waiting)} is trained, but nothing is embedded with it yet",
            code="no_model", remedy=f"run `spectrarium embed --encoder {waiting[0].split('.')[0]}`",
        )  # fmt: skip
    if not held:
        raise UsageError("nothing is embedded yet", code="no_model",
                         remedy="run `spectrarium embed --encoder pca` first")  # fmt: skip
    raise UsageError(f"nothing is embedded by an encoder {encoder!r}", code="no_model",
                     remedy=f"there are: {', '.join(kinds)}")  # fmt: skip


def _called(spectrum: Spectrum) -> str:
    return spectrum.observation.obs_id or spectrum.provenance.path
