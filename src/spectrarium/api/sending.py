"""Sending to other programs by SAMP, and hearing what they point at."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..domain.errors import UsageError
from ..domain.spectrum import Spectrum
from ..publish import sdm_fits, sdm_votable
from ..publish.catalogue import votable
from ..publish.dali import VOTABLE
from ..publish.files import FileNames
from ..publish.samp import (
    ROW,
    ROWS,
    SPECTRUM,
    TABLE,
    Message,
    number_of,
    point_message,
    row_message,
    rows_message,
    spectrum_message,
    spectrum_meta,
    table_message,
    title_of,
)
from ..publish.samp_hub import Client, Hub, Reply, open_hub
from ..publish.source import Record
from ..run.columns import Columns
from ..run.exported import exported, identities
from ..run.record import uploaded_record
from ..store.archive import Archive as Store
from ..store.archive import Rows

Form = Literal["table", "spectrum", "samples", "position"]
FORMS = ("table", "spectrum", "samples", "position")
"""Catalogue rows, a spectrum for spectral tools, its samples as a plain table, where it is."""
SPECTRA_MOST = 50
"""So many spectra at once: each becomes a window, or a row of a list, elsewhere."""
WAIT_S = 60.0
_WRITERS = {
    "votable": (VOTABLE, "vot", sdm_votable.document),
    "fits": ("application/fits", "fits", sdm_fits.document),
}


@dataclass(frozen=True, slots=True)
class Sent:
    """what : it was, in words · replies : of the programs it went to"""

    what: str
    replies: tuple[Reply, ...]

    @property
    def taken(self) -> bool:
        """Whether any program took it."""
        return any(r.status in ("ok", "warning") for r in self.replies)


@dataclass(eq=False)
class _Table:
    url: str
    ids: list[str]
    places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.places = {one: i for i, one in enumerate(self.ids)}


class Link:
    """A connection with the other programs of this desktop, for as long as it is open.

    >>> with archive.link() as link:                             # doctest: +SKIP
    ...     link.send(where="snr > 20")
    ...     link.on_highlight(lambda ids, who: print(who, ids))
    ...     link.highlight("0618-52049-0372")

    Files that were sent lie in a folder of their own, which goes with the link; it stays where a
    program has not answered.
    """

    def __init__(self, store: Store | None = None, hub: Hub | None = None) -> None:
        self._store = store
        self._hub = hub or open_hub()
        self._folder = Path(tempfile.mkdtemp(prefix="spectrarium-samp-"))  # of this user only
        self._names = FileNames()
        self._tables: dict[str, _Table] = {}
        self._lock = threading.Lock()
        self._unanswered = False
        self._heard: list[Callable[[list[str], str], None]] = []
        self.highlighted: list[str] = []
        """Ids of the rows that another program last marked or selected in a table sent here."""
        self._hub.listen(ROW, self._hear)
        self._hub.listen(ROWS, self._hear)

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> Path | None:
        """Leave the hub; the folder of the files, where a program may still be about to read."""
        self._hub.close()
        if self._unanswered:
            return self._folder
        shutil.rmtree(self._folder, ignore_errors=True)
        return None

    @property
    def alive(self) -> bool:
        """Whether the hub still answers."""
        return self._hub.there()

    def clients(self, mtype: str | None = None) -> list[Client]:
        """Other programs on the hub, all or those that take a message."""
        return self._hub.clients(mtype)

    def takes(self, client: Client) -> list[str]:
        """The messages that a program takes."""
        return self._hub.takes(client)

    # sending ----------------------------------------------------------------------------------

    def send(
        self, what: str | Spectrum | Iterable[str | Spectrum] | None = None, *,
        where: str | None = None, cone: tuple[float, float, float] | None = None,
        target: str | None = None, columns: Sequence[str] | None = None,
        limit: int | None = None, form: Form | None = None, file_format: str = "votable",
        to: str | Sequence[str] | None = None, wait_s: float = WAIT_S,
    ) -> list[Sent]:  # fmt: skip
        """Send spectra or a table, and wait for the answers.

        Parameters
        ----------
        what : ids or spectra; without any, all that `where`, `cone` (deg) and `target` let through
        columns : of a table · limit : of what is found
        form : ``table`` (of ids or what is found), ``spectrum`` (spectral tools), ``samples`` (a
            spectrum as a table) or ``position``; None = spectra of what is named, else a table
        file_format : ``votable`` or ``fits``, of spectra
        to : programs by name or the hub's id; None = all that take it · wait_s : for each message
        Returns
        -------
        one entry a message
        Raises
        ------
        UsageError : no_samp_client, nothing_selected, too_many_spectra, ids_and_where,
            unknown_id, no_position, bad_option · TransientError (no_samp_hub)
        """
        named = _named(what)
        if named and not all(v is None for v in (where, cone, target, limit)):
            raise UsageError("identifiers and a condition were given: one of them has to choose",
                             code="ids_and_where", remedy="leave one of them out")  # fmt: skip
        form = form or ("spectrum" if named else "table")
        if form not in FORMS or file_format not in _WRITERS:
            known = ", ".join((*FORMS, *_WRITERS))
            raise UsageError(f"{form!r} as {file_format!r} cannot be sent", code="bad_option",
                             remedy=f"choose from: {known}")  # fmt: skip
        if (columns and form != "table") or (file_format != "votable" and form != "spectrum"):
            raise UsageError(f"columns are of a table, file formats of a spectrum, not of {form}",
                             code="bad_option", remedy="leave them out")  # fmt: skip
        if form == "table":
            rows = self._rows(named) if named else self._known().find(where, cone, target, limit)
            return [self._table(rows, columns, to, wait_s)]
        spectra = named or self._found(where, cone, target, limit)
        if len(spectra) > SPECTRA_MOST:
            raise UsageError(f"{len(spectra):,} spectra are too many to send one by one",
                             code="too_many_spectra",
                             remedy=f"send {SPECTRA_MOST} at most, or a table")  # fmt: skip
        return [self._one(s, form, file_format, to, wait_s) for s in spectra]

    def _known(self) -> Store:
        if self._store is None:
            raise UsageError("spectra by id belong to an archive", code="no_archive",
                             remedy="use the link of an archive")  # fmt: skip
        return self._store

    def _rows(self, named: Sequence[str | Spectrum]) -> Rows:
        if not all(isinstance(n, str) for n in named):
            raise UsageError("a table is made of observations of an archive", code="bad_option",
                             where="form", remedy="name them by their ids")  # fmt: skip
        found = [self._known().resolve(str(n)) for n in named]
        return np.array(list(dict.fromkeys(found)), np.int64)

    def _found(self, *conditions: Any) -> list[str | Spectrum]:
        rows = self._known().find(*conditions)
        if not len(rows):
            raise UsageError("nothing was selected to send", code="nothing_selected",
                             remedy="give ids or a wider filter")  # fmt: skip
        return list(identities(self._known(), rows[: SPECTRA_MOST + 1]))

    def _table(
        self, rows: Rows, columns: Sequence[str] | None, to: str | Sequence[str] | None,
        wait_s: float,
    ) -> Sent:  # fmt: skip
        store = self._known()
        content = exported(Columns(store), rows, columns)
        able = self._hub.chosen(TABLE, to)
        ids = identities(store, rows)
        name = f"{len(ids)} observations of {store.root.name}"
        about = {"archive": store.root.name, "version": str(store.version),
                 "made_by": "Spectrarium"}  # fmt: skip
        with self._lock:
            number = len(self._tables) + 1
            path = self._folder / f"{number}-observations.vot"
            table = _Table(path.as_uri(), ids)
            table_id = f"spectrarium:{self._folder.name}:{number}"
            self._tables[table_id] = table
        path.write_bytes(votable(content, name, about))
        return self._call(name, table_message(table.url, table_id, name), able, wait_s)

    def _one(
        self, what: str | Spectrum, form: str, file_format: str,
        to: str | Sequence[str] | None, wait_s: float,
    ) -> Sent:  # fmt: skip
        record, spectrum = self._spectrum(what)
        title = title_of(record)
        if form == "position":
            message = point_message(number_of(record, "s_ra"), number_of(record, "s_dec"))
            able = self._hub.chosen(message.mtype, to)
        else:
            plain = form == "samples"
            able = self._hub.chosen(TABLE if plain else SPECTRUM, to)
            message = self._file(record, spectrum, "votable" if plain else file_format, plain)
        return self._call(title, message, able, wait_s)

    def _call(self, what: str, message: Message, to: list[Client], wait_s: float) -> Sent:
        replies = tuple(self._hub.call(message, to, wait_s))
        self._unanswered |= any(r.status == "waiting" for r in replies)
        return Sent(what, replies)

    def _file(self, record: Record, spectrum: Spectrum, file_format: str, plain: bool) -> Message:
        media_type, extension, document = _WRITERS[file_format]
        path = self._folder / self._names.name(record, extension)
        path.write_bytes(document(record, spectrum))
        url, title = path.as_uri(), title_of(record)
        if plain:
            return table_message(url, url, title)
        return spectrum_message(url, spectrum_meta(record, media_type), title)

    def _spectrum(self, what: str | Spectrum) -> tuple[Record, Spectrum]:
        if isinstance(what, Spectrum):
            values = uploaded_record(what, "spectrum")["record"]
            return {**values, "metadata": None, "obs_id": values["obs_id"] or "spectrum"}, what
        store = self._known()
        row = store.resolve(what)
        return store.catalogue([row]).to_pylist()[0], store.read_rows([row])[0]

    # rows, both ways --------------------------------------------------------------------------

    def highlight(self, identifier: str) -> None:
        """Mark an observation in every table sent that holds it. Raises UsageError (not_sent)."""
        one = self._identity(identifier)
        for table_id, table in self._holding([one]):
            self._hub.notify(row_message(table_id, table.url, table.places[one]))

    def select(self, identifiers: Iterable[str]) -> None:
        """Select these observations, and no others, in every table sent that holds one."""
        wanted = [self._identity(one) for one in identifiers]
        for table_id, table in self._holding(wanted):
            rows = sorted(table.places[one] for one in wanted if one in table.places)
            self._hub.notify(rows_message(table_id, table.url, rows))

    def point(self, ra: float, dec: float) -> None:
        """Show a position (ICRS, deg) in all programs that can."""
        self._hub.notify(point_message(ra, dec))

    def on_highlight(self, heard: Callable[[list[str], str], None]) -> None:
        """Call ``heard(ids, program)`` whenever one marks or selects rows of a table sent here.

        It runs in a thread of its own.
        """
        self._heard.append(heard)

    def _identity(self, identifier: str) -> str:
        store = self._known()
        return identities(store, np.array([store.resolve(identifier)], np.int64))[0]

    def _holding(self, ids: Sequence[str]) -> list[tuple[str, _Table]]:
        with self._lock:
            tables = list(self._tables.items())
        found = [(k, t) for k, t in tables if any(one in t.places for one in ids)]
        if not found:
            raise UsageError("it is in no table that was sent", code="not_sent",
                             remedy="send a table with it first")  # fmt: skip
        return found

    def _hear(self, sender: str, params: Mapping[str, Any]) -> None:
        with self._lock:
            tables = dict(self._tables)
        table = tables.get(str(params.get("table-id")))
        if table is None:
            table = next((t for t in tables.values() if t.url == params.get("url")), None)
        if table is None:  # of somebody else's table
            return
        named = params["row-list"] if "row-list" in params else [params.get("row")]
        words = [str(row) for row in named if str(row).isdecimal()]
        ids = [table.ids[int(w)] for w in words if int(w) < len(table.ids)]
        self.highlighted = ids
        for heard in list(self._heard):
            heard(ids, sender)


def _named(what: str | Spectrum | Iterable[str | Spectrum] | None) -> list[str | Spectrum]:
    if what is None:
        return []
    found = [what] if isinstance(what, (str, Spectrum)) else list(what)
    if not found:
        raise UsageError("nothing was selected to send", code="nothing_selected",
                         remedy="give ids or a wider filter")  # fmt: skip
    return found


def send(
    what: Spectrum | Iterable[Spectrum], *, to: str | Sequence[str] | None = None,
    form: Form | None = None, file_format: str = "votable", wait_s: float = WAIT_S,
) -> list[Sent]:  # fmt: skip
    """Send spectra that need not be in an archive: see `Link.send`."""
    with Link() as link:
        return link.send(what, to=to, form=form, file_format=file_format, wait_s=wait_s)
