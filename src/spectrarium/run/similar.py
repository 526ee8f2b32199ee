"""What is like this one?"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.axis import SpecSys
from ..domain.errors import UsageError
from ..domain.progress import Progress, Silent
from ..domain.spectrum import Spectrum
from ..domain.units import C_KMS
from ..embed.prepare import Prepared, Preparer
from ..explore.explain import Explanation, Why, alike_at, component_shares, why
from ..explore.identify import Pair, identify
from ..explore.pixels import difference, expected
from ..measure.lines import WIDTH_KMS
from ..read.source import ReadOptions
from ..store.archive import Archive, Rows
from ..store.codec import encode
from .answers import Answer, Similar
from .explorer import Explorer, covering, query_spectrum, refuse_other_encoder
from .redshifts import at_its_redshift, read_for, redshift_of, redshifts
from .window import (
    Compared,
    Place,
    compare,
    none_covers,
    place_of,
    prepared_window,
    scaled,
)

RERANKED = 200
"""So many nearest by the embedding are ranked again by their pixels."""
PIXEL_WEIGHT = 0.1
"""Re-ranked answers come by d^(1 − w) D^w, d of the embedding, D of the pixels. Measured over four
real corpora (PCA, precision at 10; docs/science.md): w = 0.1 gains up to 0.016 on three of four
and loses on none, w = 1 loses much on one; it reads 200 spectra, so it is done when asked for."""
PIXELS_MOST = 200_000
"""Spectra compared pixel by pixel at most; of more, the embedding's nearest `PIXELS_NEAREST`."""
PIXELS_NEAREST = 20_000
REGIONS_EXPLAINED = 6
_SAME_KMS = 600.0  # sources further apart share no line, as in `explore.identify`
_SURE = 1e8  # a mean is taken to have no noise of its own


@dataclass(frozen=True, slots=True)
class _Ask:
    """A question: the query, its own row and uid if it is in the archive, its redshift."""

    archive: Archive
    name: str
    spectrum: Spectrum
    own: int | None
    z: float | None
    k: int
    explain: bool
    progress: Progress


def similar(
    archive: Archive,
    query: str | Spectrum,
    k: int = 20,
    *,
    where: str | None = None,
    model: str | None = None,
    options: ReadOptions | None = None,
    explorer: Explorer | None = None,
    encoder: str | None = None,
    window: tuple[float, float] | None = None,
    air: bool = False,
    line: str | None = None,
    width_kms: float = WIDTH_KMS,
    rest: bool = False,
    redshift: float | None = None,
    rerank: bool = False,
    exact: bool = False,
    explain: bool = False,
    approximate_from: int | None = None,
    progress: Progress | None = None,
) -> Similar:
    """The k spectra most like the query, with where they agree and differ.

    Parameters
    ----------
    query : id, file or Spectrum · where : only among observations that meet this filter
    model, encoder : embedding, or encoder whose embeddings are asked; None = see `covering`
    window, line, rest : compare pixels instead, there only (Å vacuum, or `air`; in the query's
        frame, or at rest) or at a line ± `width_kms`, or with `rest` alone everywhere at rest
    redshift : of the query, if not the archive's or the file's
    rerank : order the 200 nearest by embedding and pixels together
    exact : no approximate index · approximate_from : rows from which on there is one
    explain : answers carry an `Explanation`
    Raises
    ------
    UsageError : no model covers the query (saying why for each), a window outside it or outside all
        others, unknown line, encoder or model, no redshift to put it at rest by, k < 1, options
        that exclude each other
    """
    by_pixels = rest or window is not None or line is not None
    _refuse(k, redshift, width=line is None and width_kms != WIDTH_KMS,
            air=air and window is None, rerank=rerank and by_pixels)  # fmt: skip
    refuse_other_encoder(archive, model, encoder)
    spectrum = query if isinstance(query, Spectrum) else query_spectrum(archive, query, options)
    own = _own_uid(archive, query, spectrum)
    row = None if own is None else int(archive.rows_of([own])[0])
    z = redshift_of(archive, spectrum, row) if redshift is None else redshift
    spectrum = (at_its_redshift(archive, spectrum, row) if redshift is None
                else _at(spectrum, redshift))  # fmt: skip
    name = query if isinstance(query, str) else spectrum.observation.obs_id or "query"
    ask = _Ask(archive, name, spectrum, own, z, k, explain, progress or Silent())
    if by_pixels:
        notes: list[str] = []
        place = place_of(spectrum, z, notes, window=window, air=air, line=line,
                         width_kms=width_kms, rest=rest)  # fmt: skip
        return _by_pixels(ask, place, where, notes, (model, explorer, encoder))
    chosen = _Search(where, rerank, exact, approximate_from), (model, explorer, encoder)
    return _by_embedding(ask, *chosen)


def _refuse(k: int, redshift: float | None, *, width: bool, air: bool, rerank: bool) -> None:
    """What cannot be asked. width, air, rerank : asked for where they would mean nothing"""
    if k < 1:
        raise UsageError(f"k is {k}", code="bad_k", remedy="ask for one neighbour or more")
    if redshift is not None and not -0.5 < redshift < 100:
        raise UsageError(f"{redshift:g} is no redshift", code="no_redshift", where="--redshift",
                         remedy="give z, not a velocity")  # fmt: skip
    if width:
        raise UsageError("a width without a line says nothing", code="bad_window", where="--width",
                         remedy="give --line too, or --window LO HI")  # fmt: skip
    if air:
        raise UsageError("air wavelengths without a window say nothing", code="bad_window",
                         where="--air", remedy="give --window LO HI too")  # fmt: skip
    if rerank:
        raise UsageError("pixels alone decide in a window, at a line or at rest",
                         code="bad_window", where="--rerank",
                         remedy="leave --rerank out")  # fmt: skip


def _at(spectrum: Spectrum, redshift: float) -> Spectrum:
    """The spectrum with this redshift: models of rest-frame spectra go by what it says itself."""
    about = dataclasses.replace(spectrum.observation, redshift=redshift)
    return spectrum.replace(observation=about)


def _notes(explorer: Explorer, method: str, rerank: bool) -> list[str]:
    notes = explorer.notes_of(method)
    if rerank:
        notes.append(f"the {RERANKED} nearest are ordered by embedding and pixels together")
    return notes


def _own_uid(archive: Archive, query: str | Spectrum, spectrum: Spectrum) -> int | None:
    """The query's own uid if it is in the archive: it is not its own neighbour."""
    if isinstance(query, Spectrum) or Path(query).is_file():
        uid = encode(spectrum).uid
        return uid if archive.rows_of([uid])[0] >= 0 else None
    return int(archive.index.value("uid", np.array([archive.resolve(query)]))[0])


# by an embedding ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Search:
    """How an embedding is to be searched: see `similar`."""

    where: str | None
    rerank: bool
    exact: bool
    approximate_from: int | None


def _by_embedding(
    ask: _Ask, search: _Search, chosen: tuple[str | None, Explorer | None, str | None]
) -> Similar:
    archive, k = ask.archive, ask.k
    model, explorer, encoder = chosen
    explorer, batch, encoded = covering(archive, ask.spectrum, ask.own, model, explorer, encoder)
    allowed = None
    if search.where is not None:
        allowed = np.isin(explorer.rows, archive.find(where=search.where))
    searcher = explorer.searcher(
        exact=search.exact, least=search.approximate_from, progress=ask.progress
    )
    found = searcher.search(
        encoded.vectors, max(k, RERANKED) if search.rerank else k, model=explorer.model.ref,
        allowed=allowed, exclude=None if ask.own is None else np.array([ask.own]),
    )  # fmt: skip
    good = found.obs_uid[0] >= 0
    uid, distance = found.obs_uid[0][good], found.distance[0][good]
    pixel, order = np.full(len(uid), np.nan), np.arange(len(uid))
    if search.rerank:
        pixel = _pixel_distances(explorer, batch, uid)
        order = reranked(distance, pixel)
    uid, distance, pixel = uid[order][:k], distance[order][:k], pixel[order][:k]
    domain = explorer.model.domain
    out = Similar(
        query=ask.name, query_spectrum=ask.spectrum, model=explorer.model.ref.model_id,
        wave_aa=domain.wave_aa, query_flux=batch.flux[0], query_ivar=batch.ivar[0],
        answers=[], frame=domain.frame, search=found.method,
        notes=_notes(explorer, found.method, search.rerank),
        searched=int(allowed.sum()) if allowed is not None else len(explorer.index),
        redshift=0.0 if domain.frame == "rest" else ask.z,
    )  # fmt: skip
    out.answers = _explained(ask, explorer, batch, archive.rows_of(uid), distance, pixel, out,
                             encoded.vectors[0])  # fmt: skip
    return out


def _pixel_distances(
    explorer: Explorer, query: Prepared, uid: NDArray[np.int64]
) -> NDArray[np.float64]:
    if not len(uid):
        return np.empty(0)
    rows = explorer.archive.rows_of(uid)
    spectra = read_for(explorer.archive, explorer.model.domain, rows)
    batch, _ = explorer.preparer.batch(spectra)
    out = np.full(len(uid), np.nan)
    d = difference(query.flux[0], query.ivar[0], batch.flux, batch.ivar)
    out[batch.index] = expected(d.square, d.error)
    return out


def reranked(
    distance: NDArray[np.float64], pixel: NDArray[np.float64], weight: float = PIXEL_WEIGHT
) -> NDArray[np.int64]:
    """(n,) order by d^(1 − weight) D^weight, least first.

    distance, pixel : (n,) d and D; D that is NaN is taken for the typical one of the others
    """
    if not np.isfinite(pixel).any():
        return np.arange(len(distance))
    judged = np.where(np.isfinite(pixel), pixel, np.nanmedian(pixel))
    tiny = 1e-12
    both = (1 - weight) * np.log(distance + tiny) + weight * np.log(judged + tiny)
    return np.asarray(np.argsort(both, kind="stable"))


def _explained(
    ask: _Ask, explorer: Explorer, query: Prepared, rows: Rows, distance: NDArray[np.float64],
    pixel: NDArray[np.float64], out: Similar, vector: NDArray[np.float32],
) -> list[Answer]:  # fmt: skip
    model = explorer.model
    mean = explorer.typical() if len(rows) else np.zeros(model.domain.n_pix)
    spectra = read_for(explorer.archive, model.domain, rows) if len(rows) else []
    batch, left = explorer.preparer.batch(spectra)
    if left:
        out.notes.append(f"{len(left)} answers cannot be prepared any more: {left[0].reason}")
    vectors = model.encode(batch.flux, batch.ivar).vectors if ask.explain else None
    decoded = None if vectors is None else model.decode(np.concatenate([vector[None], vectors]))
    known = redshifts(explorer.archive, rows) if ask.explain else np.full(len(rows), np.nan)
    answers: list[Answer] = []
    for n, i in enumerate(batch.index.tolist()):
        because = why(out.wave_aa, query.flux[0], query.ivar[0], batch.flux[n], batch.ivar[n],
                      mean, model.scatter, most=_most(ask))  # fmt: skip
        answer = _answer(int(rows[i]), len(answers) + 1, float(distance[i]), batch, n, because,
                         out.model)  # fmt: skip
        answer.pixel_distance = float(pixel[i]) if np.isfinite(pixel[i]) else None
        if vectors is not None and decoded is not None:
            answer.explanation = _explanation(
                ask, out, because, batch.flux[n], batch.ivar[n], float(known[i]),
                component_shares(vector, vectors[n], model.metric_scale()),
                decoded[0] - decoded[n + 1], mean,
            )  # fmt: skip
        answers.append(answer)
    return answers


def _most(ask: _Ask) -> int:
    return REGIONS_EXPLAINED if ask.explain else 3


def _answer(
    row: int, rank: int, value: float, batch: Prepared, n: int, because: Why, model: str
) -> Answer:
    return Answer(
        row=row, rank=rank, value=value, snr=float(batch.snr[n]),
        noise_source=batch.noise_source[n].value, drivers=because.differs, alike=because.alike,
        chi2=because.chi2, model=model, flux=batch.flux[n], ivar=batch.ivar[n],
    )  # fmt: skip


def _explanation(
    ask: _Ask, out: Similar, because: Why, flux: NDArray[np.float32], ivar: NDArray[np.float32],
    other_z: float, components: tuple[tuple[int, float], ...],
    decoded: NDArray[np.float32] | None, mean: NDArray[Any],
) -> Explanation | None:  # fmt: skip
    if because.trace is None:
        return None
    pair = Pair(out.wave_aa, out.query_flux, out.query_ivar, flux, ivar)
    at_rest: float | None = 0.0
    if out.frame == "rest":
        # templates delivered at rest have lost their redshift: the air is anywhere
        moved = ask.spectrum.axis.specsys is not SpecSys.SOURCE and ask.z is not None
        at_rest = 1.0 / (1.0 + ask.z) - 1.0 if moved and ask.z is not None else None
    elif out.frame == "unknown":
        at_rest = None
    other = 0.0 if out.frame == "rest" else other_z if np.isfinite(other_z) else None
    named = tuple(
        (region, identify(region, pair, z=out.redshift, other_z=other, observer_z=at_rest))
        for region in because.differs
    )
    # what two have in common shows in what sets the query apart from the mean
    sure = np.where(out.query_ivar > 0, _SURE, 0.0)
    apart = Pair(out.wave_aa, out.query_flux, out.query_ivar, mean, sure)
    z = out.redshift
    same = z is None or other is None or abs(other - z) < _SAME_KMS / C_KMS * (1.0 + z)
    alike = tuple(
        (region, alike_at(identify(region, apart, z=z, observer_z=at_rest), lines=same))
        for region in because.alike
    )
    return Explanation(because.trace, named, components, decoded, alike)


# by pixels ------------------------------------------------------------------------------------


def _by_pixels(
    ask: _Ask, place: Place, where: str | None, notes: list[str],
    chosen: tuple[str | None, Explorer | None, str | None],
) -> Similar:  # fmt: skip
    archive = ask.archive
    rows = archive.find(where=where)
    if ask.own is not None:
        rows = rows[archive.index.value("uid", rows) != ask.own]
    if len(rows) > PIXELS_MOST:
        rows = _nearest(ask, rows, chosen, notes)
        notes.append(f"compared with the embedding's {len(rows):,} nearest only")
    found = compare(archive, ask.spectrum, ask.z, place, rows, ask.progress)
    if len(rows) and not len(found.rows) and none_covers(archive, rows, found):
        reasons = "; ".join(f"{n} {reason}" for reason, n in found.left_out.items())
        raise UsageError(
            f"no other spectrum can be compared in {place.what}: {reasons}", code="not_covered",
            remedy="choose a window that others cover too (`spectrarium find` with em_min and "
            "em_max shows which)",
        )  # fmt: skip
    order = np.lexsort((archive.index.value("uid", found.rows), found.distance))[: ask.k]
    domain = found.domain
    rest = domain.frame == "rest"
    out = Similar(
        query=ask.name, query_spectrum=ask.spectrum,
        model=f"pixels {domain.wave_min_aa:.0f}–{domain.wave_max_aa:.0f} Å"
        + (" at rest" if place.rest else ""),
        wave_aa=domain.wave_aa, query_flux=found.query.flux[0], query_ivar=found.query.ivar[0],
        answers=[], searched=len(found.rows), frame=domain.frame, metric=f"pixels, {place.what}",
        notes=notes, left_out=found.left_out, redshift=0.0 if rest else ask.z,
    )  # fmt: skip
    out.answers = _pixel_answers(ask, found, order, out)
    return out


def _nearest(
    ask: _Ask, rows: Rows, chosen: tuple[str | None, Explorer | None, str | None], notes: list[str]
) -> Rows:
    model, explorer, encoder = chosen
    explorer, _, encoded = covering(ask.archive, ask.spectrum, ask.own, model, explorer, encoder)
    found = explorer.searcher(progress=ask.progress).search(
        encoded.vectors, PIXELS_NEAREST, allowed=np.isin(explorer.rows, rows)
    )
    uid = found.obs_uid[0]
    notes += explorer.notes_of(found.method)
    return ask.archive.rows_of(uid[uid >= 0])


def _pixel_answers(
    ask: _Ask, found: Compared, order: NDArray[np.int64], out: Similar
) -> list[Answer]:
    archive, rows = ask.archive, found.rows[order]
    at = {int(row): n for n, row in enumerate(rows)}
    preparer = Preparer(found.domain)
    answers: list[Answer] = []
    z = redshifts(archive, rows)
    for chunk, batch, _ in prepared_window(archive, preparer, rows, z):
        for n, row in enumerate(chunk.tolist()):
            i = order[at[row]]
            amplitude = found.amplitude[i : i + 1]
            usable = amplitude[0, 0] > 0
            factor = scaled(np.ones_like(batch.flux[n : n + 1]), amplitude)[0] if usable else 1.0
            flux = np.asarray(batch.flux[n] * factor, np.float32)
            ivar = np.asarray(batch.ivar[n] / np.square(factor), np.float32)
            because = why(out.wave_aa, out.query_flux, out.query_ivar, flux, ivar, found.typical,
                          most=_most(ask))  # fmt: skip
            answer = _answer(row, at[row] + 1, float(found.distance[i]), batch, n, because,
                             out.model)  # fmt: skip
            answer.flux, answer.ivar, answer.chi2 = flux, ivar, float(found.chi2[i])
            answer.pixel_distance = answer.value
            if ask.explain:
                answer.explanation = _explanation(ask, out, because, flux, ivar,
                                                  float(z[at[row]]), (), None,
                                                  found.typical)  # fmt: skip
            answers.append(answer)
    return sorted(answers, key=lambda a: a.rank)
