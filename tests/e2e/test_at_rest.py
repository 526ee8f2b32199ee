"""Models at rest by redshifts that files do not have and a joined catalogue does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import spectrarium as sp
from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.errors import UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.domain.units import C_KMS
from spectrarium.embed.domain import ModelDomain
from spectrarium.embed.prepare import Preparer
from spectrarium.run import pending
from spectrarium.run.groups import summaries
from spectrarium.run.preparing import prepared
from spectrarium.run.redshifts import velocities
from spectrarium.store.archive import Archive
from spectrarium.store.writer import add_spectra

LINES = ((4500.0, 5600.0), (4900.0, 6200.0))
"""Of two kinds of sources, Å at rest."""
N = 48
UNKNOWN = "no redshift to shift it to rest by"


def source(i, z, **about) -> Spectrum:
    """Of kind i % 2, observed at z; its file says so only if told to."""
    rng = np.random.default_rng(i)
    wave = np.geomspace(4000, 9000, 500)
    flux = 2 + 0.2 * rng.normal() * (wave / 6000 - 1) + rng.normal(0, 0.02, wave.size)
    for line in LINES[i % 2]:
        flux += rng.uniform(0.7, 1.3) * np.exp(-0.5 * ((wave / (1 + z) - line) / 25) ** 2)
    axis = SpectralAxis("Angstrom", values=wave, medium=Medium.VACUUM, specsys=SpecSys.BARYCENT)
    said = Observation("T", obs_id=f"s{i}", em_res_power=800.0, s_ra=float(i), s_dec=5.0, **about)
    return Spectrum(
        axis=axis, flux=flux, observation=said, provenance=Provenance("memory", "test"),
        uncertainty=np.full(wave.size, 0.02), uncertainty_kind=UncertaintyKind.STD,
        flux_unit="erg / (s cm2 Angstrom)",
    )  # fmt: skip


TRUE_Z = np.random.default_rng(1).uniform(0.0, 0.25, N)
TRUE_RV = np.random.default_rng(2).uniform(-900, 900, N)


@pytest.fixture
def root(tmp_path) -> Path:
    add_spectra(tmp_path / "archive", [source(i, z) for i, z in enumerate(TRUE_Z)])
    return tmp_path / "archive"


def join(archive, values, column="z", name="survey"):
    table = archive.path.parent / f"{name}.csv"
    rows = "".join(f"s{i},{value}\n" for i, value in enumerate(values))
    table.write_text(f"obs_id,{column}\n{rows}")
    archive.add_catalogue(table, "obs_id")


def kinds(archive, found) -> set[int]:
    names = archive.store.catalogue([a.row for a in found.answers], ["obs_id"]).column(0)
    return {int(name[1:]) % 2 for name in names.to_pylist()}


def test_a_joined_redshift_puts_models_and_questions_at_rest(root):
    archive = sp.open(root)
    with pytest.raises(UsageError, match=UNKNOWN) as caught:
        archive.train("pca", latent=4, rest="z")
    assert caught.value.code == "nothing_trained"

    join(archive, TRUE_Z)
    (group,) = archive.train("pca", latent=4, rest="z").groups
    assert (group.frame, group.spectra) == ("rest", N)
    assert archive.embed("pca", where=None).covered == N
    for query in ("s4", "s7"):
        found = archive.similar(query, 10, model=group.name, explain=True)
        assert found.frame == "rest"
        assert kinds(archive, found) == {int(query[1:]) % 2}
        assert len(found.answers) == 10
        assert not [note for note in found.notes if "prepared" in note]
    again = archive.similar("s4", 10, model=group.name, rerank=True)
    assert kinds(archive, again) == {0}
    assert np.isfinite([a.pixel_distance for a in again.answers]).all()
    strange = archive.outliers("reconstruction", 5, model=group.name)
    assert len(strange.answers) == 5


def test_what_came_since_is_put_at_rest_too(root):
    archive = sp.open(root)
    join(archive, [*TRUE_Z, 0.1, 0.2])
    (group,) = archive.train("pca", latent=4, rest="z").groups
    archive.embed("pca")
    add_spectra(root, [source(N, 0.1), source(N + 1, 0.2)])
    archive.refresh()
    with pytest.raises(UsageError, match=UNKNOWN):
        archive.similar(f"s{N}", 5, model=group.name)  # joined before it came: it has no z yet
    join(archive, [*TRUE_Z, 0.1, 0.2], name="again")
    assert kinds(archive, archive.similar(f"s{N}", 5, model=group.name)) == {N % 2}
    stranger = source(N + 8, 0.2)
    with pytest.raises(UsageError, match=UNKNOWN):
        archive.similar(stranger, 5, model=group.name)
    assert kinds(archive, archive.similar(stranger, 5, model=group.name, redshift=0.2)) == {N % 2}


@pytest.mark.parametrize("telluric", ["keep", "mask"])
def test_vectors_that_hang_on_a_catalogue_are_not_kept(root, telluric):
    """Where telluric lines are masked by how a spectrum is shifted, it may be joined to a
    catalogue that says otherwise later."""
    archive = sp.open(root)
    (group,) = archive.train("pca", latent=4, telluric=telluric).groups
    archive.embed("pca")
    add_spectra(root, [source(N, 0.1)])
    archive.refresh()
    archive.similar(f"s{N}", 5, model=group.name)
    folder = root / pending.FOLDER
    assert bool(folder.exists() and list(folder.iterdir())) == (telluric == "keep")


def test_velocities_of_a_catalogue_count_for_models_by_velocity(tmp_path):
    beta = TRUE_RV / C_KMS
    z = np.sqrt((1 + beta) / (1 - beta)) - 1
    add_spectra(tmp_path / "archive", [source(i, one) for i, one in enumerate(z)])
    archive = sp.open(tmp_path / "archive")
    join(archive, TRUE_Z)
    with pytest.raises(UsageError, match="no radial velocity"):
        archive.train("pca", latent=4, rest="rv")
    join(archive, TRUE_RV, "rv_kms", "velocities")
    np.testing.assert_allclose(velocities(archive.store, archive.store.find()), TRUE_RV)
    (group,) = archive.train("pca", latent=4, rest="rv").groups
    assert group.spectra == N
    archive.embed("pca")
    assert kinds(archive, archive.similar("s3", 8, model=group.name)) == {1}


def test_what_the_file_says_comes_first(tmp_path):
    root = tmp_path / "archive"
    add_spectra(root, [source(0, 0.1, redshift=0.1), source(1, 0.1, redshift=-9.0),
                       source(2, 0.0, rv_kms=300.0), source(3, 0.1), source(4, 0.1)])  # fmt: skip
    archive = sp.open(root)
    facts = summaries(archive.store, archive.store.find())
    assert [f.redshift for f in facts[:2]] == [0.1, -9.0]
    assert facts[2].redshift == pytest.approx(300 / C_KMS, rel=1e-3)
    join(archive, [0.5, 0.2, 0.3, 0.4])
    facts = summaries(archive.store, archive.store.find())
    assert [f.redshift for f in facts] == [0.1, 0.2, pytest.approx(0.001, abs=1e-4), 0.4, None]
    assert [f.rv_kms for f in facts] == [None, None, 300.0, None, None]


def test_several_processes_shift_alike(root):
    archive = sp.open(root)
    join(archive, TRUE_Z)
    domain = ModelDomain(4010.0, 7100.0, 300, frame="rest", rest="z")
    store = Archive(root)
    rows = store.find()[::-1]
    alone, both = (list(prepared(store, Preparer(domain), rows, 8, workers=n)) for n in (0, 2))
    assert sum(len(batch) for batch, _, _ in alone) == N
    for (one, chunk, _), (other, chunk2, _) in zip(alone, both, strict=True):
        np.testing.assert_array_equal(chunk, chunk2)
        np.testing.assert_array_equal(one.flux, other.flux)


def test_a_model_of_other_redshifts_is_another(root):
    archive = sp.open(root)
    join(archive, TRUE_Z)
    first = archive.train("pca", latent=4, rest="z").groups[0]
    assert not archive.train("pca", latent=4, rest="z").groups[0].fitted
    plain = archive.train("pca", latent=4).groups[0]
    changed = TRUE_Z.copy()
    changed[3] += 0.001
    join(archive, changed)
    other = archive.train("pca", latent=4, rest="z").groups[0]
    assert other.fitted
    assert (other.name, other.model != first.model) == (first.name, True)
    again = archive.train("pca", latent=4).groups[0]
    assert (again.fitted, again.model) == (False, plain.model), "it asks for no redshift"
