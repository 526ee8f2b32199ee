"""A PostgreSQL server of the tests' own, started from the system's packages and ended with them."""

from __future__ import annotations

import contextlib
import os
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
                self._add_sphere(connection)
        return self.address(name)


    def _add_sphere(self, connection: Any) -> None:
        import pg8000.native

        try:
            connection.run("CREATE EXTENSION pg_sphere")
        except pg8000.native.DatabaseError as error:  # pgSphere 1.1.1 on PostgreSQL 15.20
            pytest.skip(f"this PostgreSQL does not take this pgSphere: {error}")


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(
        p.parts[-3]) if p.parts[-3].isdigit() else 0)  # fmt: skip
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _sphere_there(programs: Path) -> bool:
    said = subprocess.run([programs / "pg_config", "--sharedir"], capture_output=True, text=True,
                          check=False) if (programs / "pg_config").exists() else None  # fmt: skip
    shares = [Path(said.stdout.strip())] if said and said.returncode == 0 else []
    shares.append(Path("/usr/share/postgresql") / programs.parts[-2])
    return any((s / "extension" / "pg_sphere.control").exists() for s in shares)


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """The server; skips where PostgreSQL or pgSphere is not installed."""
    programs = _programs()
    need("postgres", programs is not None, "PostgreSQL is not installed")
    assert programs is not None
    need("postgres", _sphere_there(programs), "pgSphere is not installed")
    # a server does not run as root; its socket's path must be short
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} \
        if os.geteuid() == 0 else {}  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="pg"))
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
