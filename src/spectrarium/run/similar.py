"""What is like this one?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import UsageError
from ..domain.spectrum import Spectrum
from ..embed.prepare import Prepared
from ..explore.explain import why
from ..read.source import ReadOptions
from ..store.archive import Archive, Rows
from ..store.codec import encode
from .answers import Answer, Similar
from .explorer import Explorer, covering, query_spectrum


def similar(
    archive: Archive,
    query: str | Spectrum,
    k: int = 20,
    *,
    where: str | None = None,
    model: str | None = None,
    options: ReadOptions | None = None,
    explorer: Explorer | None = None,
) -> Similar:
    """The k spectra most like the query, with where they agree and differ.

    query : id, file or Spectrum · model : embedding name; None = the largest that covers it
    Raises UsageError when no model covers the query, saying why for each.
    """
    if k < 1:
        raise UsageError(f"k is {k}", code="bad_k", remedy="ask for one neighbour or more")
    spectrum = query if isinstance(query, Spectrum) else query_spectrum(archive, query, options)
    own = _own_uid(archive, query, spectrum)
    explorer, batch, encoded = covering(archive, spectrum, own, model, explorer)
    allowed = None
    if where is not None:
        allowed = np.isin(explorer.rows, archive.find(where=where))
    found = explorer.index.search(
        encoded.vectors, k, model=explorer.model.ref, allowed=allowed,
        exclude=None if own is None else np.array([own]),
    )  # fmt: skip
    uid, distance = found.obs_uid[0], found.distance[0]
    good = uid >= 0
    rows = archive.rows_of(uid[good])
    answers = _explained(explorer, batch, rows, distance[good])
    return Similar(
        query=query if isinstance(query, str) else spectrum.observation.obs_id or "query",
        query_spectrum=spectrum, model=explorer.model.ref.model_id,
        wave_aa=explorer.model.domain.wave_aa, query_flux=batch.flux[0],
        query_ivar=batch.ivar[0], answers=answers,
        searched=int(allowed.sum()) if allowed is not None else len(explorer.index),
        frame=explorer.model.domain.frame,
    )  # fmt: skip


def _own_uid(archive: Archive, query: str | Spectrum, spectrum: Spectrum) -> int | None:
    """The query's own uid if it is in the archive: it is not its own neighbour."""
    if isinstance(query, Spectrum) or Path(query).is_file():
        uid = encode(spectrum).uid
        return uid if archive.rows_of([uid])[0] >= 0 else None
    return int(archive.index.value("uid", np.array([archive.resolve(query)]))[0])


def _explained(
    explorer: Explorer, query: Prepared, rows: Rows, distance: NDArray[np.float64]
) -> list[Answer]:
    model, wave = explorer.model, explorer.model.domain.wave_aa
    mean = model.decode(np.zeros((1, explorer.index.vectors(np.array([0])).shape[-1]), "f4"))[0]
    answers = []
    spectra = explorer.archive.read_rows(rows) if len(rows) else []
    batch, _ = explorer.preparer.batch(spectra)
    at = {int(i): n for n, i in enumerate(batch.index)}
    for rank, (row, far) in enumerate(zip(rows.tolist(), distance, strict=True), 1):
        n = at[rank - 1]
        because = why(wave, query.flux[0], query.ivar[0], batch.flux[n], batch.ivar[n], mean,
                      model.scatter)  # fmt: skip
        answers.append(Answer(
            row=row, rank=rank, value=float(far), snr=float(batch.snr[n]),
            noise_source=batch.noise_source[n].value, drivers=because.differs,
            alike=because.alike, chi2=because.chi2, model=model.ref.model_id,
            flux=batch.flux[n], ivar=batch.ivar[n],
        ))  # fmt: skip
    return answers
