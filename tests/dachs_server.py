"""DaCHS, the publishing suite of GAVO, of Debian: a server of the tests' own beside ours."""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from postgres_server import Server
from required import need

AUTHORITY = "org.example.peer"
_CONFIG = """[general]
rootDir: {root}
maintainerAddress: who@example.org
group: {group}
gavoGroup: {group}
[web]
bindAddress: 127.0.0.1
serverPort: {port}
serverURL: http://127.0.0.1:{port}
user:
[ivoa]
authority: {authority}
"""


@dataclass
class Dachs:
    """base : address of the server · folder : of its configuration and everything else"""

    base: str
    folder: Path

    @property
    def inputs(self) -> Path:
        """Where the folders of resources lie."""
        return self.folder / "root" / "inputs"

    def _env(self) -> dict[str, str]:
        return {**os.environ, "GAVOSETTINGS": str(self.folder / "gavo.rc"),
                "HOME": str(self.folder)}  # fmt: skip

    def run(self, *words: str) -> str:
        """Run the command `dachs`; what it prints. Fails where it ends with an error."""
        done = subprocess.run(["dachs", *words], env=self._env(), cwd=self.folder, timeout=300,
                              capture_output=True, text=True)  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"dachs {' '.join(words)}: {said[-3000:]}"
        return said

    def publish(self, description: Path, files: Sequence[Path]) -> None:
        """Import spectra: `files` as data/ beside the description, which becomes q.rd."""
        home = self.inputs / description.stem
        (home / "data").mkdir(parents=True)
        for file in files:
            shutil.copy(file, home / "data")
        shutil.copy(description, home / "q.rd")
        self.run("imp", f"{description.stem}/q")

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve while the block lasts."""
        log = (self.folder / "serve.log").open("w")
        with log, subprocess.Popen(
            ["dachs", "serve", "start", "-f"], env=self._env(), cwd=self.folder, stdout=log,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                self._wait(process)
                yield
            finally:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.base}/tap/availability", timeout=30).status_code == 200:
                    return
            time.sleep(0.2)
        raise AssertionError((self.folder / "serve.log").read_text()[-3000:])


def dachs(postgres: Server, folder: Path) -> Dachs:
    """A new installation in `folder`, its tables in a database of the server's.

    Skips where DaCHS or an extension of PostgreSQL's that it wants is not installed.
    """
    need("dachs", shutil.which("dachs") is not None, "DaCHS is not installed")
    extension = Path("/usr/share/postgresql") / postgres.programs.parts[-2] / "extension"
    need("dachs", (extension / "q3c.control").exists(), "PostgreSQL's q3c is not installed")
    postgres.database("gavo", sphere=True)
    with contextlib.closing(postgres.connect("gavo")) as connection:
        connection.run("CREATE EXTENSION q3c")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = grp.getgrgid(os.getgid()).gr_name
    (folder / "gavo.rc").write_text(_CONFIG.format(root=folder / "root", group=group, port=port,
                                                   authority=AUTHORITY))  # fmt: skip
    made = Dachs(f"http://127.0.0.1:{port}", folder)
    made.run("init", "-d", f"host=127.0.0.1 port={postgres.port} user=tester dbname=gavo")
    made.run("imp", "//obscore")
    return made
