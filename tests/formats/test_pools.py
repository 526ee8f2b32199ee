"""Bulk pools: identities and numbers as in single files, memory bounded, hostile files refused."""

from __future__ import annotations

import importlib
import io
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spectrarium.domain.axis import Medium, Scale, SpecSys
from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.read import ascii as text
from spectrarium.read import pool_npz, pool_parquet, pools, spectra1d
from spectrarium.read.registry import LIKELY, NotASpectrum, Reader
from spectrarium.read.source import ReadOptions, SourceFile

N, M = 7, 40
WAVE = np.linspace(4000.0, 4390.0, M)
RNG = np.random.default_rng(11)
FLUX = RNG.normal(1, 0.1, (N, M)).astype(np.float32)
IVAR = RNG.uniform(1, 2, (N, M)).astype(np.float32)
IDS = np.array([f"id-{i}" for i in range(N)])


def reader_of(source: SourceFile) -> Reader:
    (reader,) = [r for r in pools.READERS if r.recognise(source)]
    assert reader.recognise(source) == LIKELY
    return reader


def items(data: bytes | Path, **options: Any) -> list[Any]:
    source = (
        SourceFile.open(data, ReadOptions(**options))
        if isinstance(data, Path)
        else SourceFile("pool", data, options=ReadOptions(**options))
    )
    return list(reader_of(source).read(source))


def spectra(data: bytes | Path, **options: Any) -> list[Spectrum]:
    found = items(data, **options)
    assert all(isinstance(item, Spectrum) for item in found), found
    return found


def parquet(columns: dict[str, Any] | pa.Table, **options: Any) -> bytes:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def npz(compressed: bool = True, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def hdf5(tmp_path: Path, **datasets: Any) -> bytes:
    path = tmp_path / "made.h5"
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
    return path.read_bytes()


def error_of(data: bytes | Path, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        items(data, **options)
    assert caught.value.what
    return caught.value


def same(found: list[Spectrum]) -> None:
    assert len(found) == N
    for i, s in enumerate(found):
        np.testing.assert_array_equal(s.flux, FLUX[i])
        assert s.flux.dtype == np.float32
        np.testing.assert_array_equal(s.uncertainty, IVAR[i])
        assert s.uncertainty_kind is UncertaintyKind.IVAR
        np.testing.assert_array_equal(s.wave_aa, WAVE)
        assert s.provenance.row == i


# --- the pools, unpacked in three formats


def unpack(data_dir: Path, pool: str, out: Path, limit: int) -> None:
    """Write the first spectra of a pool as FITS, CSV and Parquet with the pool's own program."""
    sys.path.insert(0, str(data_dir))
    try:
        program = importlib.import_module("unpack")
    finally:
        sys.path.remove(str(data_dir))
    for form in ("fits", "csv", "parquet"):
        (out / form).mkdir()
    for i, (row, wave, flux, err) in enumerate(program.rows(pool, limit)):
        program.to_fits(row, wave, flux, err, out / f"fits/{i}.fits")
        program.to_csv(row, wave, flux, err, out / f"csv/{i}.csv")
    program.to_parquet(pool, out / "parquet", limit)


@pytest.mark.parametrize("pool", ["lamost_lrs_pool", "harps_acenB_timeseries", "osc_transients",
                                  "miles_stars", "galah_dr6_sample"])  # fmt: skip
def test_a_spectrum_is_the_same_as_fits_csv_and_parquet(
    pool: str, data_dir: Path, tmp_path: Path
) -> None:
    limit = 2 if pool.startswith("harps") else 20
    unpack(data_dir, pool, tmp_path, limit)
    found: dict[str, dict[tuple[str, str | None], Spectrum]] = {}
    for form in ("fits", "csv", "parquet"):
        found[form] = {}
        for path in sorted((tmp_path / form).iterdir()):
            source = SourceFile.open(path)
            if form == "fits":
                read = max(spectra1d.READERS, key=lambda r: r.recognise(source)).read
            else:
                read = text.read if form == "csv" else reader_of(source).read
            for s in read(source):
                assert isinstance(s, Spectrum), s
                found[form][s.observation.obs_collection, s.observation.obs_id] = s
    assert len(found["csv"]) == limit
    assert found["fits"].keys() == found["csv"].keys() == found["parquet"].keys()
    for key, a in found["parquet"].items():
        for b in (found["csv"][key], found["fits"][key]):
            np.testing.assert_array_equal(a.flux, b.flux.astype(np.float32))
            np.testing.assert_array_equal(a.wave_aa, b.wave_aa)
            assert a.axis.medium is b.axis.medium
            assert a.uncertainty_kind is b.uncertainty_kind
            np.testing.assert_array_equal(a.mask, b.mask)
        assert a.axis.specsys is found["csv"][key].axis.specsys
        if a.axis.specsys is not SpecSys.SOURCE:  # rest is a word that unpacked FITS cannot hold
            assert a.axis.specsys is found["fits"][key].axis.specsys


def test_index_columns_become_the_observation(data_dir: Path, tmp_path: Path) -> None:
    unpack(data_dir, "lamost_lrs_pool", tmp_path, 3)
    path = tmp_path / "parquet/lamost_lrs_pool.parquet"
    row = pq.read_table(path).slice(1, 1).to_pylist()[0]
    o = spectra(path)[1].observation
    assert o.obs_id == row["spec_id"]
    assert o.obs_collection == row["instrument"] == o.instrument_name
    assert (o.s_ra, o.s_dec, o.t_min, o.snr) == (row["ra"], row["dec"], row["mjd"], row["snr"])
    assert (o.redshift, o.target_class) == (row["z"], row["obj_class"])
    assert o.em_res_power == row["resolution"]
    assert o.metadata["object_id"] == row["object_id"]
    assert o.metadata["subclass"] == row["obj_subclass"]


def test_the_pools_own_ragged_store(data_dir: Path) -> None:
    sys.path.insert(0, str(data_dir))
    try:
        from pool import Store
    finally:
        sys.path.remove(str(data_dir))
    store = Store("ondrejov_ccd700", root=str(data_dir))
    found = spectra(data_dir / "ondrejov_ccd700/spectra.h5")
    assert [s.observation.obs_id for s in found] == store.ids
    for i, s in enumerate(found):
        wave, flux, err = store[i]
        np.testing.assert_array_equal(s.flux, flux)
        np.testing.assert_array_equal(s.wave_aa, wave)
        assert (s.uncertainty is None) == (not np.isfinite(err).any())
    assert found[0].axis.medium is Medium.AIR
    assert found[0].observation.obs_collection == "Ondrejov 2m Perek/coude CCD700"
    logs = spectra(data_dir / "lamost_lrs_pool/spectra.h5")
    assert {s.axis.scale for s in logs} == {Scale.LOG10}


def test_fluxes_without_wavelengths_are_refused(data_dir: Path) -> None:
    error = error_of(data_dir / "apogee_samples/annieslasso_671stars_100pix.npz")
    assert error.code == "no_wavelength"


# --- Parquet


def columns(**more: Any) -> dict[str, Any]:
    return {"obs_id": IDS.tolist(), "wave_aa": [WAVE.tolist()] * N,
            "flux": pa.array(list(FLUX)), "ivar": pa.array(list(IVAR)), **more}  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 100])
def test_parquet_rows_across_row_groups(size: int) -> None:
    found = spectra(parquet(columns(), row_group_size=size))
    same(found)
    assert [s.observation.obs_id for s in found] == IDS.tolist()


def test_units_from_field_metadata_and_from_voparquet() -> None:
    table = pa.table({**columns(), "wave_aa": [(WAVE / 10).tolist()] * N})
    plain = table.rename_columns(["obs_id", "wave", "flux", "ivar"])
    assert error_of(parquet(plain)).code == "no_wave_unit"
    field = plain.schema.field("wave").with_metadata({"unit": "nm"})
    declared = plain.cast(plain.schema.set(1, field))
    assert spectra(parquet(declared))[0].wave_aa[0] == pytest.approx(4000.0)
    votable = b'<VOTABLE><FIELD datatype="double" unit="nm" name="wave"/></VOTABLE>'
    vo = plain.replace_schema_metadata({"IVOA.VOTable-Parquet.content": votable})
    assert spectra(parquet(vo))[0].axis.unit == "nm"
    assert spectra(parquet(plain), wave_unit="nm")[0].axis.unit == "nm"


def test_angstroms_are_proved_by_the_range_columns_row_by_row() -> None:
    table = {**columns(), "wave": [WAVE.tolist()] * N, "wmin_A": [WAVE[0]] * N,
             "wmax_A": [WAVE[-1]] * 6 + [439.0]}  # fmt: skip
    del table["wave_aa"]
    found = items(parquet(table))
    assert [s.axis.unit for s in found[:6]] == ["Angstrom"] * 6
    assert isinstance(found[6], DataError)
    assert (found[6].code, found[6].row) == ("wave_range_mismatch", 6)


@pytest.mark.parametrize("form", ["struct of lists", "list of structs"])
def test_nested_columns_as_in_hats_and_the_multimodal_universe(form: str) -> None:
    cells = [
        {"flux": FLUX[i], "ivar": IVAR[i], "lambda": WAVE, "lsf_sigma": np.full(M, 1.5, "f4"),
         "mask": np.arange(M) == i} for i in range(N)
    ]  # fmt: skip
    kinds = {"flux": pa.float32(), "ivar": pa.float32(), "lambda": pa.float64(),
             "lsf_sigma": pa.float32(), "mask": pa.bool_()}  # fmt: skip
    if form == "struct of lists":
        kind = pa.struct([(k, pa.list_(t)) for k, t in kinds.items()])
        values = [{k: v.tolist() for k, v in c.items()} for c in cells]
    else:
        kind = pa.list_(pa.struct(list(kinds.items())))
        values = [[{k: v[j].item() for k, v in c.items()} for j in range(M)] for c in cells]
    table = {"spectrum": pa.array(values, kind), "object_id": [str(i) for i in range(N)],
             "ra": [1.0] * N, "dec": [2.0] * N, "VDISP": [0.1] * N, "VDISP_ERR": [0.1] * N,
             "Z": [0.5] * N, "Z_ERR": [1e-4] * N}  # fmt: skip
    found = spectra(parquet(table))
    same(found)
    for i, s in enumerate(found):
        assert s.mask.nonzero()[0].tolist() == [i]
        assert s.extras["lsf_sigma"].tolist() == [1.5] * M
    o = found[3].observation
    assert (o.obs_collection, o.obs_id, o.s_ra, o.redshift) == ("MMU-SDSS", "3", 1.0, 0.5)
    assert found[0].axis.medium is Medium.VACUUM
    assert found[0].axis.specsys is SpecSys.HELIOCEN


def test_multimodal_spectra_of_an_unknown_survey_need_a_unit() -> None:
    kind = pa.struct([(k, pa.list_(pa.float64())) for k in ("flux", "ivar", "lambda")])
    values = [{"flux": FLUX[0], "ivar": IVAR[0], "lambda": WAVE}]
    table = {"spectrum": pa.array(values, kind), "object_id": ["1"]}
    assert error_of(parquet(table)).code == "no_wave_unit"
    (s,) = spectra(parquet(table), wave_unit="Angstrom")
    assert s.axis.medium is Medium.UNKNOWN


def test_a_hats_catalogue(tmp_path: Path) -> None:
    part = tmp_path / "cat/dataset/Norder=1/Dir=0/Npix=17.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(parquet(columns()))
    text_file = "#HATS catalog\nobs_collection=desi_mini\ndataproduct_type=object\nhats_nrows=7\n"
    (tmp_path / "cat/hats.properties").write_text(text_file)
    (tmp_path / "cat/partition_info.csv").write_text("Norder,Npix\n1,17\n")
    found = spectra(part)
    assert {s.observation.obs_collection for s in found} == {"desi_mini"}
    for name in ("hats.properties", "partition_info.csv"):
        (item,) = items(tmp_path / "cat" / name)
        assert isinstance(item, NotASpectrum)
    collected: list[Any] = []
    pq.write_to_dataset(pa.table(columns()), tmp_path / "d", metadata_collector=collected)
    collected[0].set_file_path("part.parquet")
    pq.write_metadata(pa.table(columns()).schema, tmp_path / "_metadata", collected)
    (item,) = items(tmp_path / "_metadata")
    assert isinstance(item, NotASpectrum)


def test_repeated_object_ids_are_told_apart_by_row() -> None:
    table = columns(source_id=[1, 1, 2, 3, 4, 5, 6])
    del table["obs_id"]
    assert [s.observation.obs_id for s in spectra(parquet(table))][:3] == ["1-0", "1-1", "2-2"]
    table["source_id"] = list(range(N))
    assert [s.observation.obs_id for s in spectra(parquet(table))][:3] == ["0", "1", "2"]


def test_row_faults_do_not_end_the_file() -> None:
    table = columns()
    short = [f.tolist() for f in FLUX]
    short[2] = short[2][:-1]
    found = items(parquet({**table, "flux": short}))
    assert [type(x).__name__ for x in found].count("Spectrum") == N - 1
    assert isinstance(found[2], DataError)
    assert (found[2].code, found[2].row) == ("mismatched_lengths", 2)


def test_a_parquet_catalogue_is_no_spectrum() -> None:
    (item,) = items(parquet({"ra": [1.0], "dec": [2.0], "colours": [[1.0, 2.0]]}))
    assert isinstance(item, NotASpectrum)


def test_damaged_parquet_is_a_data_error() -> None:
    good = parquet(columns(), row_group_size=3)
    assert error_of(good[: len(good) // 2]).code == "truncated"
    assert error_of(b"PAR1" + b"\xff" * 200 + b"PAR1").code == "corrupt"
    hurt = bytearray(good)
    offset = pq.ParquetFile(io.BytesIO(good)).metadata.row_group(1).column(2).data_page_offset
    hurt[offset : offset + 40] = b"\xff" * 40
    found = items(bytes(hurt))
    assert [type(x).__name__ for x in found] == ["Spectrum"] * 3 + ["DataError", "Spectrum"]
    assert found[3].row == 3


def test_a_parquet_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_parquet, "MAX_ROW_BYTES", 2**24)
    nothing = pa.array([np.zeros(300_000)] * 20)
    data = parquet({"wave_aa": nothing, "flux": nothing}, compression="zstd")
    assert len(data) < 2**16
    with pytest.raises(DataError) as caught:
        list(pool_parquet.read(SourceFile("p", data)))
    assert caught.value.code == "bomb"


def test_memory_does_not_grow_with_the_rows() -> None:
    def peak(n: int) -> int:
        wave, flux = np.linspace(4000, 5000, 2000), np.ones(2000, np.float32)
        noise = [np.random.default_rng(i).normal(size=2000) for i in range(n)]
        table = pa.table({"wave_aa": [wave] * n, "flux": [flux] * n, "err": noise})
        source = SourceFile("p", parquet(table, row_group_size=64))
        del table, noise
        pool = pa.default_memory_pool()
        before, most = pool.bytes_allocated(), 0
        tracemalloc.start()
        count = 0
        for _ in pool_parquet.read(source):
            count += 1
            most = max(most, pool.bytes_allocated() - before)
        most += tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == n
        return most

    few, many = peak(200), peak(1600)
    assert many < 1.5 * few


# --- npz


@pytest.mark.parametrize("compressed", [True, False])
def test_npz_rows(compressed: bool) -> None:
    same(spectra(npz(compressed, wave_aa=WAVE, flux=FLUX, ivar=IVAR, ids=IDS)))
    same(spectra(npz(compressed, wave_aa=np.tile(WAVE, (N, 1)), flux=np.asfortranarray(FLUX),
                     ivar=IVAR.astype(">f4"))))  # fmt: skip


def test_npz_metadata_ids_and_units() -> None:
    data = npz(wavelength=WAVE / 10, wave_unit="nm", flux=FLUX, ivar=IVAR, ids=IDS,
               teff=np.arange(N) + 4000.0, medium="air", labels=np.zeros((N, 3)))  # fmt: skip
    found = spectra(data)
    o = found[4].observation
    assert (o.obs_collection, o.obs_id, o.metadata["teff"]) == ("local", "id-4", 4004.0)
    assert found[0].axis.unit == "nm"
    assert found[0].axis.medium is Medium.AIR
    assert not found[0].extras


def test_npz_of_one_spectrum() -> None:
    (s,) = spectra(npz(wave_nm=WAVE / 10, flux=FLUX[0], err=IVAR[0], sky=FLUX[1]))
    assert s.uncertainty_kind is UncertaintyKind.STD
    np.testing.assert_array_equal(s.extras["sky"], FLUX[1])


def test_npz_without_unit_or_flux() -> None:
    assert error_of(npz(wave=WAVE, flux=FLUX)).code == "no_wave_unit"
    assert error_of(npz(flux=FLUX)).code == "no_wavelength"
    assert error_of(npz(a=WAVE)).code == "unknown_layout"
    found = items(npz(wave_aa=WAVE[:-1], flux=FLUX))
    assert {x.code for x in found} == {"mismatched_lengths"}


class Trap:
    """What a hostile pickle would run."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was loaded",))


def test_pickles_are_never_loaded() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, wave_aa=WAVE, flux=FLUX, ids=np.array([Trap()] * N, dtype=object))
    assert error_of(buffer.getvalue()).code == "pickle"


def test_zip_bombs_and_lying_headers_in_npz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_npz, "MAX_ROW_BYTES", 2**24)
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("flux.npy", "w") as member,
    ):
        member.write(np.lib.format.magic(1, 0))
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (40, 2**18)}
        )
        for _ in range(40):
            member.write(bytes(2**20))
    assert len(buffer.getvalue()) < 2**16
    assert error_of(buffer.getvalue()).code == "bomb"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("flux.npy", "w") as member:
        member.write(np.lib.format.magic(1, 0))
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)}
        )
    assert error_of(buffer.getvalue()).code == "corrupt"


def test_damaged_npz() -> None:
    good = npz(wave_aa=WAVE, flux=FLUX, ivar=IVAR)
    assert error_of(good[:300]).code == "corrupt"
    hurt = bytearray(good)
    at = good.index(b"flux.npy") + 120
    hurt[at : at + 60] = b"\x55" * 60
    codes = []
    try:
        codes = [x.code for x in items(bytes(hurt)) if isinstance(x, DataError)]
    except DataError as error:
        codes = [error.code]
    assert set(codes) <= {"stream", "corrupt"}
    assert codes


# --- HDF5


def test_hdf5_matrices_with_attributes(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["medium"] = "vacuum"
        file["wave"] = WAVE / 10
        file["wave"].attrs["unit"] = "nm"
        file["flux"] = FLUX
        file.create_dataset("ivar", data=IVAR, chunks=(2, M), compression="gzip")
        file["spec_id"] = IDS.astype("S")
        file["teff"] = np.arange(N)
    found = spectra(path)
    for i, s in enumerate(found):
        np.testing.assert_array_equal(s.axis.coordinate(), WAVE / 10)
        np.testing.assert_array_equal(s.flux, FLUX[i])
        np.testing.assert_array_equal(s.uncertainty, IVAR[i])
        assert s.observation.metadata["teff"] == i
    assert found[0].axis.medium is Medium.VACUUM
    assert found[2].observation.obs_id == "id-2"


def test_hdf5_of_the_multimodal_universe(tmp_path: Path) -> None:
    wave = np.tile(WAVE.astype(np.float32), (N, 1))
    wave[:, -3:] = -1.0  # its padding
    data = hdf5(tmp_path, spectrum_lambda=wave, spectrum_flux=FLUX, spectrum_ivar=IVAR,
                spectrum_mask=np.zeros((N, M), bool), spectrum_lsf_sigma=IVAR,
                object_id=np.arange(N) + 39627646000000000, ra=np.full(N, 10.0),
                dec=np.full(N, -5.0), healpix=np.zeros(N, int), Z=np.full(N, 0.7),
                TARGETID=np.arange(N), COADD_FIBERSTATUS=np.zeros(N, int))  # fmt: skip
    found = spectra(data)
    assert len(found) == N
    s = found[2]
    assert s.observation.obs_collection == "MMU-DESI"
    assert s.observation.obs_id == "39627646000000002"
    assert (s.observation.s_ra, s.observation.redshift) == (10.0, 0.7)
    assert (s.axis.unit, s.axis.medium) == ("Angstrom", Medium.VACUUM)
    assert s.mask.sum() == 3
    np.testing.assert_array_equal(s.extras["spectrum_lsf_sigma"], IVAR[2])


def test_hdf5_group_per_spectrum_and_ragged_rows(tmp_path: Path) -> None:
    path = tmp_path / "g.h5"
    with h5py.File(path, "w") as file:
        for i in range(3):
            group = file.create_group(f"night1/star{i}")
            group["wave_aa"], group["flux"], group["err"] = WAVE, FLUX[i], IVAR[i]
            group.attrs["ra"], group.attrs["dec"] = 10.0 + i, 5.0
    found = spectra(path)
    assert [s.observation.obs_id for s in found] == [f"night1/star{i}" for i in range(3)]
    assert found[1].observation.s_ra == 11.0
    with h5py.File(path, "w") as file:
        kind = h5py.vlen_dtype(np.float32)
        for name, values in (("wave_aa", WAVE), ("flux", FLUX[0])):
            data = file.create_dataset(name, (3,), kind)
            for i in range(3):
                data[i] = values[: 20 + i]
    assert [len(s) for s in spectra(path)] == [20, 21, 22]


def test_hdf5_never_leaves_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["wave_aa"], file["flux"] = WAVE, FLUX
    (tmp_path / "raw.bin").write_bytes(FLUX.tobytes())
    path = tmp_path / "links.h5"
    with h5py.File(path, "w") as file:
        file["flux"] = h5py.ExternalLink("secret.h5", "/flux")
        file["wave_aa"] = h5py.SoftLink("/flux")
        file.create_dataset(
            "ivar", (N, M), "f4", external=[(str(tmp_path / "raw.bin"), 0, 4 * N * M)]
        )
        layout = h5py.VirtualLayout((N, M), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "flux", (N, M))
        file.create_virtual_dataset("err", layout)
    for data in (path, path.read_bytes()):
        found = items(data)
        assert len(found) == 4
        assert {x.code for x in found} == {"external_link"}


def test_hdf5_that_announces_far_more_than_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file["wave_aa"] = WAVE
        file.create_dataset("flux", (10**9, M), "f4", chunks=(1024, M))
    assert error_of(path).code == "bomb"
    with h5py.File(path, "w") as file:
        file["wave_aa"] = WAVE
        file.create_dataset("flux", (2**15, 2**15), "f4", chunks=(2**14, 2**13), shuffle=True)
    assert {x.code for x in items(path)} == {"too_large"}  # chunks of 512 MiB


def test_hdf5_group_cycles_end(tmp_path: Path) -> None:
    path = tmp_path / "cycle.h5"
    with h5py.File(path, "w") as file:
        file.create_group("a")["loop"] = file["/"]
    assert items(path) == []


def test_damaged_hdf5(tmp_path: Path) -> None:
    good = hdf5(tmp_path, wave_aa=WAVE, flux=FLUX)
    assert error_of(good[: len(good) // 3]).code == "corrupt"
    assert error_of(good[:8] + b"\xff" * 500).code == "corrupt"
    path = tmp_path / "chunks.h5"
    with h5py.File(path, "w") as file:
        file["wave_aa"] = WAVE
        data = file.create_dataset("flux", data=FLUX, chunks=(1, M), compression="gzip")
        at = data.id.get_chunk_info(3).byte_offset
    hurt = bytearray(path.read_bytes())
    hurt[at : at + 20] = b"\xff" * 20
    found = items(bytes(hurt))
    assert [type(x).__name__ for x in found].count("Spectrum") == N - 1
    (error,) = [x for x in found if isinstance(x, DataError)]
    assert error.row == 3


@pytest.mark.parametrize(
    "data",
    [b"SIMPLE  =" + b" " * 100, b"wave,flux\n1,2\n", b"<html>", b"PK\x03\x04" + b"\x00" * 60,
     b"\x89PNG\r\n\x1a\n", b"PAR"],
)  # fmt: skip
def test_other_files_are_not_recognised(data: bytes) -> None:
    source = SourceFile("x", data)
    assert [r.name for r in pools.READERS if r.recognise(source)] == []
