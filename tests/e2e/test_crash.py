"""kill -9 at any instant loses at most the uncommitted batch; two writers queue; readers stay."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from spectrarium.domain.axis import SpectralAxis
from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.store.archive import Archive
from spectrarium.store.codec import encode
from spectrarium.store.writer import BatchBuilder, open_writer

KILLS, MOST_KILLS = 60, 240
"""On a busy machine writers come less far, and it takes more of them to test anything."""
BATCH = 20
CONTEXT = mp.get_context("forkserver")
CONTEXT.set_forkserver_preload(["spectrarium.store.writer", "spectrarium.store.archive"])


def nth(i: int) -> Spectrum:
    """Spectrum number i, always the same; a long one now and then."""
    rng = np.random.default_rng(i)
    n = 9000 if i % 17 == 0 else 400
    return Spectrum(
        axis=SpectralAxis(unit="Angstrom", values=np.linspace(4000 + i % 5, 7000, n)),
        flux=rng.normal(size=n).astype("f4"), uncertainty=rng.uniform(1, 2, n),
        uncertainty_kind=UncertaintyKind.STD,
        observation=Observation(obs_collection="CRASH", obs_id=f"c{i}", s_ra=float(i % 360),
                                s_dec=1.0),
        provenance=Provenance(path=f"/c{i}", reader="test"),
    )  # fmt: skip


def write_for_ever(root: str, done: str) -> None:
    """Append batches; after each commit note how many spectra are promised."""
    Path(done + ".up").touch()
    with open_writer(Path(root), 30) as writer:
        at = len(writer.archive)
        while True:
            builder = BatchBuilder(writer.root)
            for i in range(at, at + BATCH):
                spectrum = nth(i)
                builder.add(encode(spectrum), spectrum)
            writer.stage(builder.build())
            writer.commit()
            at += BATCH
            with open(done, "a") as handle:
                handle.write(f"{at}\n")
                handle.flush()
            if at % (4 * BATCH) == 0:
                writer.build_index()


def wait_for(path: Path, seconds: float = 60.0) -> None:
    """Until a child has made `path`."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.005)


def check(root: Path, promised: int, fully: bool) -> int:
    """Everything promised is there and is right to the last bit."""
    archive = Archive(root)
    n = len(archive)
    assert n >= promised
    assert n % BATCH == 0, "a batch is committed whole or not at all"
    for i in range(n) if fully else random.Random(n).sample(range(n), min(n, 15)):
        got, want = archive.read(f"c{i}"), nth(i)
        assert got.flux.tobytes() == want.flux.tobytes()
        assert got.uncertainty.tobytes() == want.uncertainty.tobytes()
        assert got.axis.coordinate().tobytes() == want.axis.coordinate().tobytes()
    rows, _ = archive.cone(5.0, 1.0, 0.1)
    assert len(rows) == len(range(5, n, 360))
    return n


def test_kill_at_random_moments_loses_nothing_committed(tmp_path):
    root, done = tmp_path / "a", tmp_path / "done"
    done.touch()
    rng = random.Random(42)
    versions: list[tuple[int, int]] = []
    longest, before = 0.4, -1
    for kill in range(MOST_KILLS):
        if kill >= KILLS and versions and versions[-1][1] > 10 * BATCH:
            break
        child = CONTEXT.Process(target=write_for_ever, args=(str(root), str(done)))
        child.start()
        wait_for(Path(f"{done}.up"))
        time.sleep(rng.uniform(0.0, longest))
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        Path(f"{done}.up").unlink()
        reached = versions[-1][1] if versions else 0
        if reached == before:  # a busy machine: no writer comes as far as a commit
            longest = min(1.3 * longest, 2.0)
        before = reached
        if (root / "manifest.json").exists():
            lines = done.read_text().split()
            n = check(root, int(lines[-1]) if lines else 0, fully=False)
            versions.append((Archive(root).version, n))
    assert versions, "no writer ever got to commit"
    assert versions[-1][1] > 10 * BATCH, "the writers made too little progress to test anything"
    n = check(root, versions[-1][1], fully=True)
    for version, then in versions[:: max(1, len(versions) // 6)]:
        assert len(Archive(root, version)) == then, "a past version has changed"
    with open_writer(root) as writer:  # the next writer takes the orphans back
        assert len(writer.archive) == n
    data = sum(f.stat().st_size for f in (root / "pixels.lance" / "data").iterdir())
    assert data < 1.5 * sum(encode(nth(i)).nbytes for i in range(n)) + 2**20, "orphans were kept"


def hold(root: str, ready: str, seconds: float) -> None:
    """Keep the writer lock for a while."""
    with open_writer(Path(root), 5):
        Path(ready).touch()
        time.sleep(seconds)


def test_a_second_writer_waits_and_gives_up_with_a_reason(tmp_path):
    root, ready = tmp_path / "a", tmp_path / "ready"
    child = CONTEXT.Process(target=hold, args=(str(root), str(ready), 30.0))
    child.start()
    try:
        wait_for(ready)
        with pytest.raises(TransientError) as caught, open_writer(root, 0.3):
            pass
        assert caught.value.code == "locked"
        assert len(Archive(root)) == 0, "readers are not kept out"
    finally:
        child.kill()
        child.join()
    with open_writer(root, 5) as writer:  # the lock died with its process
        assert writer.archive.version >= 0


def append_some(root: str, start: int, n: int) -> None:
    """Commit spectra start … start + n one by one."""
    for i in range(start, start + n):
        with open_writer(Path(root), 60) as writer:
            builder = BatchBuilder(writer.root)
            builder.add(encode(nth(i)), nth(i))
            writer.stage(builder.build())
            writer.commit()


def test_two_writers_queue_and_keep_every_commit(tmp_path):
    root = tmp_path / "a"
    with open_writer(root):
        pass
    children = [
        CONTEXT.Process(target=append_some, args=(str(root), 1000 * c, 12)) for c in range(2)
    ]
    for child in children:
        child.start()
    reader = Archive(root)
    for child in children:
        child.join(120)
        assert child.exitcode == 0
    assert len(reader) == 0, "a reader sees the version it opened"
    archive = Archive(root)
    assert len(archive) == 24
    for i in [*range(12), *range(1000, 1012)]:
        assert archive.read(f"c{i}").flux.tobytes() == nth(i).flux.tobytes()


def fill_disk(root: str, out: str) -> None:
    """Commit with no room for files over 64 KiB, and write down the error."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
    try:
        with open_writer(Path(root), 5) as writer:
            builder = BatchBuilder(writer.root)
            for i in range(100, 160):
                builder.add(encode(nth(i)), nth(i))
            writer.stage(builder.build())
            writer.commit()
        Path(out).write_text("no error")
    except TransientError as error:
        Path(out).write_text(error.code)


def test_a_full_disk_commits_nothing_and_says_so(tmp_path):
    root, out = tmp_path / "a", tmp_path / "out"
    append_some(str(root), 0, 3)
    before = Archive(root).version
    child = CONTEXT.Process(target=fill_disk, args=(str(root), str(out)))
    child.start()
    child.join(60)
    assert out.read_text() == "disk_full"
    archive = Archive(root)
    assert (archive.version, len(archive)) == (before, 3)
    append_some(str(root), 200, 1)
    assert sorted(Archive(root).column("obs_id").to_pylist()) == ["c0", "c1", "c2", "c200"]


@pytest.mark.parametrize("name", ["catalogue", "pixels", "grids"])
def test_a_full_disk_in_the_middle_of_a_commit(tmp_path, monkeypatch, name):
    """The disk fills after some datasets were committed and before others."""
    import spectrarium.store.writer as module

    root = tmp_path / "a"
    append_some(str(root), 0, 3)
    before = Archive(root)
    real = module.append_fragments if name == "pixels" else module.append

    def full(where, dataset, *rest):
        if dataset == name:
            raise TransientError("the disk is full", code="disk_full")
        return real(where, dataset, *rest)

    monkeypatch.setattr(module, "append_fragments" if name == "pixels" else "append", full)
    with pytest.raises(TransientError):
        append_some(str(root), 50, 2)
    monkeypatch.undo()
    assert len(Archive(root)) == 3
    append_some(str(root), 70, 2)
    archive = Archive(root)
    assert sorted(archive.column("obs_id").to_pylist()) == ["c0", "c1", "c2", "c70", "c71"]
    for i in (0, 1, 2, 70, 71):
        assert archive.read(f"c{i}").flux.tobytes() == nth(i).flux.tobytes()
    assert before.read("c2").flux.tobytes() == nth(2).flux.tobytes()


def test_an_archive_deleted_under_a_reader(tmp_path):
    root = tmp_path / "a"
    append_some(str(root), 0, 2)
    archive = Archive(root)
    shutil.rmtree(root)
    with pytest.raises(TransientError) as caught:
        archive.read("c1")
    assert caught.value.code == "archive_gone"
    with pytest.raises(UsageError):
        Archive(root)
