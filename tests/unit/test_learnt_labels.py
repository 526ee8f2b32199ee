"""The label set of learnt tags: only tags stand in it, and only those that hold."""

from __future__ import annotations

import pyarrow as pa
import pytest
from test_store import make

from spectrarium.domain.errors import UsageError
from spectrarium.run.labels import add_catalogue
from spectrarium.run.tag_apply import publish
from spectrarium.run.tag_rows import schema_of
from spectrarium.store.archive import Archive
from spectrarium.store.writer import add_spectra, open_writer

N = 4


@pytest.fixture
def root(tmp_path):
    add_spectra(tmp_path / "a", [make(i) for i in range(N)])
    return tmp_path / "a"


def say(root, label, kind, values):
    """What `tag apply` does with a tagger that says `values`, None where it abstains."""
    schema = schema_of(kind, (0.68,), {"label": label, "kind": kind, "levels": "[0.68]"})
    uid = Archive(root).index.column("uid").tolist()
    columns = dict.fromkeys(schema.names, [None] * N) | {"uid": uid, "value": values}
    if kind == "number":
        columns |= {s: [v and v + d for v in values] for s, d in (("lo_68", -1.0), ("hi_68", 1.0))}
    else:
        columns["probability"] = [v and 0.9 for v in values]
    with open_writer(root) as writer:
        writer.put_table(f"tags/{label}.pca", pa.table(columns, schema=schema))
        publish(writer)


def learnt(root):
    archive = Archive(root)
    there = [c for c in archive.columns() if c.startswith("tags.")]
    return {c: archive.label_column(c).to_pylist() for c in there}


@pytest.mark.parametrize(("kind", "values", "suffixes"), [
    ("number", [5000.0, None, 6000.0, None], ["", "_lo", "_hi"]),
    ("class", ["STAR", None, "QSO", None], ["", "_p"]),
])  # fmt: skip
def test_a_label_whose_tagger_falls_silent_is_published_no_more(root, kind, values, suffixes):
    say(root, "other", "number", [None, 1.0, 2.0, None])
    say(root, "mine", kind, values)
    found = learnt(root)
    assert found["tags.mine"] == values
    assert {f"tags.mine{s}" for s in suffixes} <= set(found)
    say(root, "mine", kind, [None] * N)
    assert set(learnt(root)) == {"tags.other", "tags.other_lo", "tags.other_hi"}
    say(root, "other", "number", [None] * N)
    assert Archive(root).names("labels") == []
    say(root, "mine", kind, values)
    assert learnt(root)["tags.mine"] == values


@pytest.mark.parametrize("file", ["tags.csv", "Tags.csv", "_tags_.csv", "tags.v2.csv"])
def test_no_catalogue_takes_the_name_of_the_learnt_tags(root, tmp_path, file):
    say(root, "teff", "number", [5000.0, None, None, None])
    before = Archive(root).version
    (tmp_path / file).write_text("obs_id,teff\nt-0,1\nt-1,2\n")
    with pytest.raises(UsageError) as caught:
        add_catalogue(root, tmp_path / file, "obs_id")
    assert caught.value.code == "reserved_name"
    assert "rename the file" in caught.value.remedy
    assert Archive(root).version == before
    with pytest.raises(UsageError):
        add_catalogue(root, tmp_path / file, "obs_id", name="tags")
    assert add_catalogue(root, tmp_path / file, "obs_id", name="mine").name == "mine"
    assert learnt(root)["tags.teff"] == [5000.0, None, None, None]
