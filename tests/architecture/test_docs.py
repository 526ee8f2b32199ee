"""The documentation is true: generated pages are new, commands run, links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import spectrarium as sp

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TO_RUN = [p for p in PAGES if "reference" not in p.parts and p.name != "real-data.md"]
"""Pages whose commands are run; those left out are generated and hold none."""

RUN_ELSEWHERE = {
    "make demo": "run by .ci/run, from a clean checkout",
    "make test": "this very run",
    "make setup": "the first step of both",
    "make bench": "takes an hour; its results are committed",
    "make docs": "test_generated_pages_are_new, and a measurement of minutes",
    "make lint": "the first step of make test",
}
WALKED = ("publish.md",)
"""Run in its order, with a server that goes on, by tests/protocol/test_vo_publish_page.py."""
KNOWN_ID = "0618-52049-0372"
"""The identifier that examples use; the staged archive holds it."""


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_new(generate):
    """Else: `make docs`."""
    assert generate.outdated() == []


def test_generated_pages_hold_what_they_are_for(generate):
    from spectrarium.cli.main import VERBS
    from spectrarium.read.registry import readers
    from spectrarium.store.schema import CATALOGUE

    formats, cli = generate.formats_page(), generate.cli_page()
    assert all(f"`{r.name}`" in formats and r.title in formats for r in readers())
    assert all(f"### spectrarium {verb}\n" in cli for verb in VERBS)
    assert "### spectrarium catalogue add\n" in cli
    columns = generate.catalogue_page()
    assert all((f"`{c.name}`" in columns) == c.public for c in CATALOGUE)
    errors = generate.errors_page()
    for code in ("truncated", "no_wave_unit", "locked", "unknown_id", "reader_defect", "bomb"):
        assert f"| `{code}` |" in errors, code


def test_an_error_whose_code_cannot_be_told_is_not_left_out(generate, tmp_path):
    """The list of codes is complete, or making it fails."""
    (tmp_path / "domain").mkdir()
    (tmp_path / "domain" / "errors.py").write_text("class DataError(Exception):\n    pass\n")
    module = tmp_path / "reader.py"
    module.write_text("def bad(what, code='torn'):\n    return DataError(what, code=code)\n"
                      "x = bad('a hole')\ny = bad('two holes', 'holes')\n")  # fmt: skip
    found = {(e.name, e.says) for e in generate.error_codes(tmp_path)}
    assert found == {("torn", "a hole"), ("holes", "two holes")}
    module.write_text("raise DataError('what', code=which())\n")
    with pytest.raises(ValueError, match="not a constant"):
        generate.error_codes(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{short(page)} → {target}"
        if anchor:
            assert anchor in _anchors(there), f"{short(page)} → {target}"


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in heads}


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_pages_name_no_place_on_someones_machine(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w./])/(home|root|tmp|work|mnt|Users|var|data)/", text)
    assert not re.search(r"\.\./shared\b", text)


# commands -------------------------------------------------------------------------------------


def commands(page: Path) -> list[str]:
    """Lines of ```bash blocks, continued ones joined, comments dropped."""
    out = []
    for block in re.findall(r"```(?:bash|sh|shell)\n(.*?)```", page.read_text(), re.S):
        for line in block.replace("\\\n", " ").splitlines():
            bare = re.sub(r"(^|\s)#.*$", "", line).strip()
            if bare:
                out.append(bare.removeprefix("$ "))
    return out


def mentioned(page: Path) -> list[str]:
    """Commands in running text that are complete: `spectrarium similar ID --plot x.png`."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    spans = re.findall(r"`(spectrarium [^`]+)`", text)
    return [s for s in spans if not re.search(r"…|\.\.\.|\b(PATH|DIR|NAME|FILE|FOLDER)\b", s)]


@pytest.fixture(scope="session")
def stage(tmp_path_factory) -> Path:
    """A folder with everything that examples name, and an archive of a few versions."""
    from spectrarium.mock import write_survey

    folder = tmp_path_factory.mktemp("stage")
    write_survey(folder / "mock", n=160, seed=3)
    shutil.copytree(folder / "mock" / "spectra", folder / "my-spectra")
    one = next(p for p in sorted((folder / "my-spectra").iterdir()) if p.suffix == ".fits")
    shutil.copy(one, folder / "my-spectrum.fits")
    (folder / "old-spectra").mkdir()
    wave = np.linspace(5000, 6000, 400)
    for i in range(3):
        flux = 1 + 0.1 * np.random.default_rng(i).normal(size=wave.size)
        np.savetxt(folder / "old-spectra" / f"plate{i}.txt", np.column_stack([wave, flux]))
    archive = sp.open(folder / "archive")
    archive.ingest([folder / "my-spectra"], workers=0)
    first = sp.read_spectra(one)[0]
    archive.ingest(first.replace(observation=_known(first.observation)))
    names = archive.find(columns=["obs_id"]).column(0).to_pylist()
    lines = [f"{name},{4000 + 100 * i}" for i, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["obs_id,teff", *lines]) + "\n")
    archive.embed()
    return folder


def _known(observation: sp.Observation) -> sp.Observation:
    from dataclasses import replace

    return replace(observation, obs_collection="SDSS", obs_id=KNOWN_ID, snr=30.0)


@pytest.fixture
def desk(stage, tmp_path) -> Path:
    shutil.copytree(stage, tmp_path / "desk")
    return tmp_path / "desk"


def surroundings() -> dict[str, str]:
    bin_folder = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPECTRARIUM_")}
    environment["PATH"] = f"{bin_folder}{os.pathsep}{environment['PATH']}"
    return environment


def run(command: str, desk: Path) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=desk, capture_output=True, text=True,
                          timeout=280, env=surroundings())  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@contextmanager
def samp_hub(desk: Path) -> Iterator[None]:
    """A hub of SAMP, and a program on it that takes everything."""
    from samp_desk import Program, hub

    with pytest.MonkeyPatch.context() as patch, hub(desk, patch):
        program = Program()
        yield
        program.close()


TOKEN = "0123456789-abcdefghij"


def serve(command: str, desk: Path) -> None:
    """A command that goes on until it is stopped: it answers, and Ctrl-C ends it quietly."""
    words = f"exec {command} --port 0 --no-browser"
    process = subprocess.Popen(
        ["bash", "-c", words], cwd=desk, text=True, bufsize=1, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=surroundings() | {"TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    said: list[str] = []
    url: list[str] = []
    ready = threading.Event()

    def listen() -> None:
        for line in process.stdout or ():
            said.append(line)
            found = re.search(r"http://[\w.\[\]:]+:\d+", line)
            if found and not url:
                url.append(found[0].replace("0.0.0.0", "127.0.0.1"))
                ready.set()
        ready.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        assert ready.wait(120), f"{command}: silent"
        assert url, f"{command}: {''.join(said)}"
        asked = urllib.request.Request(f"{url[0]}/api/archive",
                                       headers={"Authorization": f"Bearer {TOKEN}"})  # fmt: skip
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(asked, timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, "".join(said)
    finally:
        process.kill()
        process.wait(10)
        listener.join(10)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", [p for p in TO_RUN if p.name not in WALKED
                                  and (commands(p) or mentioned(p))], ids=short)  # fmt: skip
def test_every_command_runs(page, desk):
    """The blocks of a page in order, in one folder; then what its text mentions."""
    for command in commands(page):
        if command.startswith("spectrarium serve"):
            serve(command, desk)
        elif command.startswith("spectrarium send"):
            with samp_hub(desk):
                run(command, desk)
        elif command.startswith("spectrarium "):
            run(re.sub(r"(mock \S+ -n) \d+", r"\1 120", command), desk)  # the same, sooner
            for picture in re.findall(r"--plot (\S+)", command):
                assert list(desk.glob(f"{Path(picture).stem}*")), command
    for command in mentioned(page):
        if command.startswith("spectrarium serve"):
            serve(command, desk)
            continue
        send = command.startswith("spectrarium send")
        with samp_hub(desk) if send else nullcontext():
            run(re.sub(r"\bID\b", KNOWN_ID, command), desk)


@pytest.mark.parametrize("page", TO_RUN, ids=short)
def test_every_other_command_is_known_to_run_elsewhere(page):
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for command in commands(page):
        if command.startswith("make "):
            assert command in RUN_ELSEWHERE, f"{short(page)}: {command}"
            assert command.split()[1] in targets
    ci = (ROOT / ".ci" / "run").read_text()
    assert all(f"\nmake {target}" in ci for target in ("demo", "test"))


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in TO_RUN if "```python" in p.read_text()], ids=short)
def test_every_python_example_runs(page, desk):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    (desk / "example.py").write_text("\n".join(blocks))
    run("python example.py", desk)
