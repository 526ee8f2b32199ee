"""A PostgreSQL server of the tests' own, started from the system's packages and ended with them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from required import need


@dataclass(frozen=True)
class Server:
    """A server that listens on a socket in `folder` and on the loopback interface."""

    folder: Path
    port: int
    programs: Path

    def address(self, database: str) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/{database}"

    def by_socket(self, database: str) -> str:
        return f"postgresql://tester@localhost:{self.port}/{database}?host={self.folder}"

    def connect(self, database: str = "postgres") -> Any:
        import pg8000.native

        return pg8000.native.Connection("tester", host="127.0.0.1", port=self.port,
                                        database=database)  # fmt: skip

    def database(self, name: str, sphere: bool) -> str:
        """Make a database, with pgSphere or without; its address."""
        with contextlib.closing(self.connect()) as connection:
            connection.run(f"CREATE DATABASE {name}")
        if sphere:
            with contextlib.closing(self.connect(name)) as connection:
                connection.run("CREATE EXTENSION pg_sphere")
        return self.address(name)


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(
        p.parts[-3]) if p.parts[-3].isdigit() else 0)  # fmt: skip
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _share(programs: Path) -> Path | None:
    """Where the files of these programs' extensions are, if pgSphere is among them."""
    said = subprocess.run([programs / "pg_config", "--sharedir"], capture_output=True, text=True,
                          check=False) if (programs / "pg_config").exists() else None  # fmt: skip
    shares = [Path(said.stdout.strip())] if said and said.returncode == 0 else []
    shares.append(Path("/usr/share/postgresql") / programs.parts[-2])
    return next((s for s in shares if (s / "extension" / "pg_sphere.control").exists()), None)


def mended(script: str) -> str:
    """pgSphere's SQL without commutators and negators that contradict others.

    Debian's pgSphere 1.1.1 names some operators as partner of two; PostgreSQL before 15.20 took
    that, later ones refuse the extension.
    """
    partner: dict[tuple[str, ...], tuple[str, ...]] = {}

    def kept(found: re.Match[str]) -> str:
        text = found[0]
        said = {k.upper(): v.strip("'\" ") for k, v in re.findall(
            r"(\w+)\s*=\s*('[^']+'|[^\s,()]+)\s*[,)\n]", text[text.index("(") :])}  # fmt: skip
        left, right = said.get("LEFTARG", ""), said.get("RIGHTARG", "")
        for kind, sides in (("COMMUTATOR", (right, left)), ("NEGATOR", (left, right))):
            if kind not in said:
                continue
            own, other = (kind, found[1], left, right), (kind, said[kind], *sides)
            if partner.get(own, other) != other or partner.get(other, own) != own:
                text = re.sub(rf"\n\s*{kind}\s*=[^\n]*", "", text)
                text = re.sub(r",(\s*\);)", r"\1", text)
            else:
                partner[own], partner[other] = other, own
        return text

    return re.sub(r"CREATE OPERATOR\s+(\S+)\s*\(.*?\);", kept, script, flags=re.DOTALL)


def _with_mended_sphere(programs: Path, share: Path, folder: Path) -> Path:
    """The programs in a tree of their own, where pgSphere's files are mended; the system's stay.

    PostgreSQL looks for its files from where the program lies.
    """
    base = programs.parent.parent.parent.parent  # …/lib/postgresql/15/bin, …/share/postgresql/15
    bin_, files = folder / programs.relative_to(base), folder / share.relative_to(base)
    shutil.copytree(programs, bin_)
    (bin_.parent / "lib").symlink_to(programs.parent / "lib")
    (files / "extension").mkdir(parents=True)
    for path in share.iterdir():
        if path.name != "extension":
            (files / path.name).symlink_to(path)
    for path in (share / "extension").iterdir():
        if path.name.startswith("pg_sphere--"):
            (files / "extension" / path.name).write_text(mended(path.read_text()))
        else:
            (files / "extension" / path.name).symlink_to(path)
    return bin_


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """The server; skips where PostgreSQL or pgSphere is not installed."""
    programs = _programs()
    need("postgres", programs is not None, "PostgreSQL is not installed")
    assert programs is not None
    share = _share(programs)
    need("postgres", share is not None, "pgSphere is not installed")
    assert share is not None
    # a server does not run as root; its socket's path must be short
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} \
        if os.geteuid() == 0 else {}  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    scripts = (share / "extension").glob("pg_sphere--*.sql")
    if any(mended(text) != text for text in (path.read_text() for path in scripts)):
        programs = _with_mended_sphere(programs, share, folder / "own")
    if user:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, **user}
    subprocess.run([programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "tester",
                    "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"], check=True, **run)  # fmt: skip
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    subprocess.run([programs / "pg_ctl", "-D", folder / "data", "-o", options, "-l",
                    folder / "log", "-w", "start"], check=True, **run)  # fmt: skip
    try:
        yield Server(folder, port, programs)
    finally:
        subprocess.run([programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w",
                        "stop"], check=False, **run)  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server of all tests of a process."""
    with running() as server:
        yield server
