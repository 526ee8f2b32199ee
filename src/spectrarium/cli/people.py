"""``spectrarium people``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..domain.errors import UsageError
from ..settings import Settings
from .output import archive_only, console, emit, json_option, opened, show_table

if TYPE_CHECKING:
    from ..people import People
    from ..people.records import User

F = TypeVar("F", bound=Callable[..., Any])
RIGHTS = "judge, save (selections, notes), operate (everything), see:COLLECTION, see:*"


@click.group()
def command() -> None:
    """Who may see and keep what, once the page is served to others.

    A server that is running takes a change at once.
    """


def _options(function: F) -> F:
    people = click.option(
        "--people", "file", type=click.Path(path_type=Path, dir_okay=False), default=None,
        help="File of what people keep [default: $SPECTRARIUM_PEOPLE or beside the archive].",
    )  # fmt: skip
    return archive_only(people(json_option(function)))


def _people(folder: Path | None, file: Path | None) -> People:
    """The people file; beside an archive it is made, beside nothing it is not."""
    from ..people import People, people_beside

    settings = Settings()
    file = file or settings.people
    if file is None:
        file = people_beside(folder or settings.archive)
        if not file.exists():
            _ = opened(folder).store.version  # a misspelt folder is told, not given a file
    return People(file)


@command.command("list")
@_options
def list_(folder: Path | None, file: Path | None, as_json: bool) -> None:
    """Users and their rights."""
    with _people(folder, file) as people:
        records = [_user(u) for u in people.users.list()]
    if as_json:
        emit(records)
    elif not records:
        console.print("there are no users yet: `spectrarium people add NAME` makes one")
    else:
        rows = [r | {"rights": ", ".join(r["rights"])} for r in records]
        show_table(rows, ["user", "rights", "since", "disabled"])


@command.command("add")
@click.argument("name")
@click.option("--right", "rights", multiple=True, metavar="RIGHT",
              help=f"Instead of judge and save: {RIGHTS}. May be repeated.")  # fmt: skip
@_options
def add(
    name: str, rights: tuple[str, ...], folder: Path | None, file: Path | None, as_json: bool
) -> None:
    """A new user. `people token NAME` then gives the token to sign in with."""
    with _people(folder, file) as people:
        user = people.users.add(name, rights) if rights else people.users.add(name)
    _say(user, as_json)


@command.command("grant")
@click.argument("name")
@click.argument("rights", nargs=-1, required=True)
@_options
def grant(
    name: str, rights: tuple[str, ...], folder: Path | None, file: Path | None, as_json: bool
) -> None:
    """Give a user rights: judge, save, operate, see:COLLECTION or see:*."""
    with _people(folder, file) as people:
        user = people.users.grant(name, *rights)
    _say(user, as_json)


@command.command("withdraw")
@click.argument("name")
@click.argument("rights", nargs=-1, required=True)
@_options
def withdraw(
    name: str, rights: tuple[str, ...], folder: Path | None, file: Path | None, as_json: bool
) -> None:
    """Take rights from a user."""
    with _people(folder, file) as people:
        user = people.users.withdraw(name, *rights)
    _say(user, as_json)


@command.command("disable")
@click.argument("name")
@_options
def disable(name: str, folder: Path | None, file: Path | None, as_json: bool) -> None:
    """Let nobody in by this name any more; what was kept stays."""
    with _people(folder, file) as people:
        user = people.users.disable(name)
    _say(user, as_json)


@command.command("enable")
@click.argument("name")
@_options
def enable(name: str, folder: Path | None, file: Path | None, as_json: bool) -> None:
    """Let a disabled user in again."""
    with _people(folder, file) as people:
        user = people.users.enable(name)
    _say(user, as_json)


@command.command("token")
@click.argument("name")
@click.option("--about", default="", help="What it is for.")
@click.option("--days", type=float, default=None, help="It ends after so many days "
              "[default: when it is revoked].")  # fmt: skip
@_options
def token(
    name: str, about: str, days: float | None, folder: Path | None, file: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """A token for a user to sign in with: shown here and never again."""
    with _people(folder, file) as people:
        new = people.users.add_token(name, about, days)
    if as_json:
        emit({"token": new.token, "tid": new.tid, "user": new.user, "expires": _when(new.expires)})
        return
    console.print(new.token, markup=False, soft_wrap=True)
    console.print(f"[dim]it is shown only now; `spectrarium people revoke {new.tid}` ends it[/]")


@command.command("tokens")
@click.argument("name", required=False)
@_options
def tokens(name: str | None, folder: Path | None, file: Path | None, as_json: bool) -> None:
    """Tokens and sign-ins, of one user or all."""
    with _people(folder, file) as people:
        if name is not None:
            people.users.get(name)
        found = people.users.tokens(name)
    records = [
        {"tid": t.tid, "user": t.user, "kind": t.kind, "about": t.about,
         "created": _when(t.created), "expires": _when(t.expires), "used": _when(t.used)}
        for t in found
    ]  # fmt: skip
    if as_json:
        emit(records)
    elif not records:
        console.print("there are no tokens")
    else:
        show_table(records, ["tid", "user", "kind", "about", "created", "expires", "used"])


@command.command("revoke")
@click.argument("tid")
@_options
def revoke(tid: str, folder: Path | None, file: Path | None, as_json: bool) -> None:
    """End a token and the sign-ins made with it."""
    with _people(folder, file) as people:
        people.users.revoke(tid)
    if as_json:
        emit({"revoked": tid})
    else:
        console.print(f"{tid} is revoked", markup=False)


@command.command("collections")
@_options
def collections(folder: Path | None, file: Path | None, as_json: bool) -> None:
    """Who sees which collection."""
    with _people(folder, file) as people:
        declared = people.collections.declared()
    there = _there(folder)
    records = [
        {"collection": name, "seen_by": declared.get(name, "members"),
         "observations": there.get(name, 0)}
        for name in sorted({*declared, *there})
    ]  # fmt: skip
    if as_json:
        emit(records)
    else:
        show_table(records, ["collection", "seen_by", "observations"])


def _declaring(state: str, words: str, about: str) -> Callable[..., None]:
    def run(
        names: Sequence[str], yet_to_come: bool, folder: Path | None, file: Path | None,
        as_json: bool,
    ) -> None:  # fmt: skip
        with _people(folder, file) as people:
            if not yet_to_come and state != "members":
                _refuse_unknown(names, _there(folder))
            for name in names:
                people.collections.declare(name, state)
        if as_json:
            emit([{"collection": name, "seen_by": state} for name in names])
        else:
            for name in names:
                console.print(f"{name}: {words}", markup=False)

    run.__doc__ = about
    arguments = click.argument("names", nargs=-1, required=True, metavar="COLLECTION...")
    coming = click.option("--yet-to-come", is_flag=True,
                          help="The archive does not hold it yet.")  # fmt: skip
    return arguments(coming(_options(run)))


command.command("hide")(_declaring(
    "private", "seen by users with the right see:COLLECTION only",
    "Show collections to nobody but users with the right see:COLLECTION.",
))  # fmt: skip
command.command("show")(_declaring(
    "members", "seen by everybody who is signed in",
    "Show collections to everybody who is signed in, as at first.",
))  # fmt: skip
command.command("publish")(_declaring(
    "public", "seen by everybody, guests too", "Show collections to guests too.",
))  # fmt: skip


def _there(folder: Path | None) -> dict[str, int]:
    found: dict[str, int] = opened(folder).status()["collections"]
    return found


def _refuse_unknown(names: Sequence[str], there: dict[str, int]) -> None:
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, 3, 0.5) or sorted(there)[:8]
            raise UsageError(
                f"the archive has no collection {name!r}", code="no_collection",
                remedy="mind the case; there are: " + ", ".join(near)
                + "; --yet-to-come if it is still to be ingested",
            )  # fmt: skip


def _user(user: User) -> dict[str, Any]:
    return {"user": user.name, "rights": sorted(user.rights), "since": _when(user.created),
            "disabled": user.disabled}  # fmt: skip


def _say(user: User, as_json: bool) -> None:
    if as_json:
        emit(_user(user))
        return
    off = " (disabled)" if user.disabled else ""
    rights = ", ".join(sorted(user.rights)) or "no rights"
    console.print(f"{user.name}{off}: {rights}", markup=False)


def _when(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="minutes")[:16] + "Z"
