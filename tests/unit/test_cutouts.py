"""Cut-outs of many spectra: what is read, what comes back, and why something does not."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from embedding_cases import spectrum

import spectrarium as sp
from spectrarium.domain.axis import LinearWCS, Medium, Scale, SpecSys, SpectralAxis
from spectrarium.domain.errors import TransientError, UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import EchelleSpectrum, FlagScheme, UncertaintyKind
from spectrarium.domain.units import C_KMS
from spectrarium.domain.visibility import Visibility
from spectrarium.measure.airvac import air_to_vac, vac_to_air
from spectrarium.run.cutouts import Filter, Status, cutouts, rows_named
from spectrarium.run.recast import FluxWish, Recast, Steps
from spectrarium.store.archive import Archive

BAND = (5.0e-7, 5.02e-7)
LINE_AA = 5007.0
LONG = LinearWCS(4800.0, 0.01, 1.0, 60_000)


def about(name: str, **more: object) -> Observation:
    return Observation("T", obs_id=name, **more)  # type: ignore[arg-type]


def flux_at(vacuum: np.ndarray) -> np.ndarray:
    return 10.0 + 5.0 * np.exp(-0.5 * ((vacuum - LINE_AA) / 0.4) ** 2)


def made() -> list[sp.Spectrum]:
    """One of each kind that is cut out differently."""
    wave = np.linspace(4900.0, 5100.0, 4001)
    bad = np.zeros(4001, np.int32)
    bad[2100:2110] = 4
    scheme = FlagScheme("F", {2: "BAD"}, 4)
    long_air = 4800.0 + 0.01 * np.arange(60_000)
    orders = np.stack([np.linspace(4960.0, 5008.0, 500), np.linspace(5004.0, 5050.0, 500)])
    plain = {"uncertainty": np.full(4001, 0.1), "uncertainty_kind": UncertaintyKind.STD}
    return [
        spectrum(wave, flux_at(wave), observation=about("vacuum", redshift=0.001, s_ra=10.0,
                 s_dec=-20.0, t_min=55000.0, t_max=55000.1), flags=bad, flag_scheme=scheme),
        spectrum(LONG.values(), flux_at(air_to_vac(long_air)).astype(np.float32), sigma=None,
                 medium=Medium.AIR, observation=about("air", rv_kms=30.0)),
        spectrum(wave, flux_at(wave * (1 + 20.0 / C_KMS)), specsys=SpecSys.TOPOCENT,
                 observation=about("topocentric", berv_kms=20.0)),
        spectrum(wave, flux_at(wave), medium=Medium.UNKNOWN, specsys=SpecSys.UNKNOWN,
                 observation=about("unknown", redshift=0.1)),
        spectrum(wave[::-1].copy(), flux_at(wave)[::-1].copy(), observation=about("falling")),
        spectrum(wave, flux_at(wave), observation=about("elsewhere")).replace(
            axis=SpectralAxis("nm", values=wave / 5.0, medium=Medium.VACUUM,
                              specsys=SpecSys.BARYCENT)),
        spectrum(np.log10(wave), flux_at(wave), observation=about("log")).replace(
            axis=SpectralAxis("Angstrom", values=np.log10(wave), scale=Scale.LOG10,
                              medium=Medium.VACUUM, specsys=SpecSys.BARYCENT)),
        EchelleSpectrum(
            axis=SpectralAxis("Angstrom", values=orders, medium=Medium.VACUUM,
                              specsys=SpecSys.BARYCENT),
            flux=flux_at(orders), uncertainty=np.full(orders.shape, 0.5),
            uncertainty_kind=UncertaintyKind.STD, observation=about("echelle"),
            provenance=Provenance("memory", "test"), order_numbers=(101, 100),
            extras={"blaze": np.ones(orders.shape)},
        ),
        spectrum(wave, np.full(4001, np.nan), observation=about("nothing good"), **plain),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    root: Path = tmp_path_factory.mktemp("cutouts") / "archive"
    found = sp.open(root)
    spectra = made()
    spectra[1] = spectra[1].replace(axis=dataclasses.replace(spectra[1].axis, values=None,
                                                             wcs=LONG))  # fmt: skip
    found.ingest(spectra, workers=0)
    return Archive(root)


def cut(archive: Archive, *names: str, filters=None, **recast):
    filters = filters or [Filter(BAND)]
    asked = [f"T:{n}" for n in names]
    return list(cutouts(archive, asked, asked, filters, Recast(**recast)))


def one(archive: Archive, name: str, **recast):
    found = cut(archive, name, **recast)[0]
    assert found.status is Status.OK, found.message
    return found.spectrum


def test_the_band_is_vacuum_whatever_the_spectrum_is_in(archive):
    for name in ("vacuum", "air", "falling", "log"):
        s = one(archive, name, medium=Medium.VACUUM)
        assert 5000.0 <= s.wave_aa.min() < 5000.06, name
        assert 5019.94 < s.wave_aa.max() <= 5020.0, name
        assert s.wave_aa[np.argmax(s.flux)] == pytest.approx(LINE_AA, abs=0.03), name
    air = one(archive, "air")
    assert air.axis.medium is Medium.AIR
    assert air.wave_aa.min() == pytest.approx(float(vac_to_air(5000.0)), abs=0.011)
    assert air.flux.dtype == np.float32
    assert air.wave_aa[np.argmax(air.flux)] == pytest.approx(float(vac_to_air(LINE_AA)), abs=0.01)


def test_only_the_tiles_of_the_window_are_read(archive, monkeypatch):
    seen = []
    take = type(archive._all.pixels.dataset).take

    def watched(self, rows, columns=None):
        if self.name == "pixels":
            seen.append((len(rows), columns))
        return take(self, rows, columns)

    monkeypatch.setattr(type(archive._all.pixels.dataset), "take", watched)
    one(archive, "air")
    tiles = sum(n for n, columns in seen if "flux" in columns)
    assert tiles <= 2, seen


def test_what_is_cut_keeps_its_bits_and_flags(archive):
    whole, s = archive.read("T:vacuum"), one(archive, "vacuum")
    inside = (whole.wave_aa >= 5000.0) & (whole.wave_aa <= 5020.0)
    assert s.flux.tobytes() == whole.flux[inside].tobytes()
    assert s.uncertainty.tobytes() == whole.uncertainty[inside].tobytes()
    assert s.flags.tolist() == whole.flags[inside].tolist()
    assert s.mask.sum() == 10
    assert s.flux_unit == whole.flux_unit


def test_the_band_is_barycentric(archive):
    s = one(archive, "topocentric")
    assert s.wave_aa.min() == pytest.approx(5000.0 / (1 + 20.0 / C_KMS), abs=0.05)
    assert not cut(archive, "topocentric")[0].notes
    found = cut(archive, "unknown")[0]
    assert found.status is Status.OK
    assert any("frame" in n for n in found.notes)
    assert any("air or vacuum" in n for n in found.notes)


def test_at_rest_the_band_is_at_rest(archive):
    s = one(archive, "vacuum", rest=True)
    assert s.axis.specsys is SpecSys.SOURCE
    assert s.wave_aa.min() >= 5000.0
    found = cut(archive, "vacuum", rest=True)[0]
    assert found.redshift == pytest.approx(0.001)
    assert any("observed wavelength" in n for n in found.notes)
    by_velocity = one(archive, "air", rest=True)
    z = math.sqrt((1 + 30 / C_KMS) / (1 - 30 / C_KMS)) - 1
    peak = air_to_vac(by_velocity.wave_aa[np.argmax(by_velocity.flux)])
    assert peak == pytest.approx(LINE_AA / (1 + z), abs=0.02)


def test_what_cannot_be_done_is_said_one_by_one_in_order(archive):
    found = cut(archive, "vacuum", "no such", "unknown", "falling", "log", rest=True)
    assert [c.status.value for c in found] == ["OK", "NOT_FOUND", "REFUSED", "REFUSED", "REFUSED"]
    assert [c.number for c in found] == [1, 2, 3, 4, 5]
    assert "redshift" in found[3].message
    assert "frame" in found[2].message
    found = cut(archive, "unknown", "elsewhere", "nothing good", medium=Medium.AIR)
    assert [c.status.value for c in found] == ["REFUSED", "NO_PIXELS", "OK"]
    assert found[2].spectrum.mask.all()


def test_orders_of_an_echelle_are_cut_each(archive):
    s = one(archive, "echelle")
    assert s.flux.ndim == 1
    assert set(s.extras) == {"blaze", "order"}
    assert set(s.extras["order"].tolist()) == {101, 100}
    assert ((s.wave_aa >= 5000.0) & (s.wave_aa <= 5020.0)).all()
    low = s.wave_aa[s.extras["order"] == 101]
    assert low.max() <= 5008.0
    assert one(archive, "echelle", steps=Steps(1e-5)).extras == {}


def test_narrow_bands_give_the_nearest_sample(archive):
    for width in (0.0, 1e-13):
        found = cut(archive, "vacuum", "air", filters=[Filter((5.0071e-7, 5.0071e-7 + width))])
        for c in found:
            assert c.status is Status.OK
            assert len(c.spectrum) == 1
            wave = c.spectrum.wave_aa[0]
            vacuum = wave if c.spectrum.axis.medium is Medium.VACUUM else float(air_to_vac(wave))
            assert vacuum == pytest.approx(5007.1, abs=0.06)
    assert cut(archive, "vacuum", filters=[Filter((6e-7, 6e-7))])[0].status is Status.NO_PIXELS


@pytest.mark.parametrize(("band", "samples"), [
    (None, 4001), ((0.0, math.inf), 4001), ((5.05e-7, math.inf), 1001), ((0.0, 4.95e-7), 1001),
])  # fmt: skip
def test_open_ends(archive, band, samples):
    found = cut(archive, "vacuum", filters=[Filter(band)])[0]
    assert len(found.spectrum) == pytest.approx(samples, abs=1)


def test_many_bands_and_other_filters(archive):
    filters = [
        Filter(BAND), Filter((6e-7, 7e-7)), Filter(BAND, intensity=False),
        Filter(BAND, sky=(lambda ra, dec: ra < 11 and dec < 0,)),
        Filter(BAND, sky=(lambda ra, dec: ra > 11,)), Filter(BAND, time_mjd=(54999.0, 55001.0)),
        Filter(BAND, time_mjd=(56000.0, math.inf)),
    ]  # fmt: skip
    found = cut(archive, "vacuum", "log", filters=filters)
    ok = [c.status is Status.OK for c in found]
    assert ok == [True, False, False, True, False, True, False,
                  True, False, False, False, False, False, False]  # fmt: skip
    words = [c.message for c in found]
    assert "Stokes" in words[2]
    assert "region" in words[4]
    assert "another time" in words[6]
    assert "position is not known" in words[10]
    assert "time is not known" in words[12]


def test_on_a_grid_all_share_bins(archive):
    steps = Steps(2e-6)
    got = [one(archive, n, medium=Medium.VACUUM, steps=steps) for n in ("vacuum", "air", "falling")]
    bins = [np.log(s.wave_aa) / steps.size for s in got]
    for b in bins:
        assert np.allclose(b, np.rint(b), atol=1e-6)
        assert np.rint(b[0]) == np.rint(bins[0][0])
    for s in got:
        assert s.wave_aa[np.nanargmax(s.flux)] == pytest.approx(LINE_AA, abs=0.03)
    assert got[1].uncertainty is None


def test_flux_wishes(archive):
    s = one(archive, "vacuum", flux=FluxWish.NORMALIZED)
    assert np.median(s.flux) == pytest.approx(1.0, abs=0.01)
    assert s.flux_unit == ""
    assert len(s) == len(one(archive, "vacuum"))
    assert cut(archive, "vacuum", flux=FluxWish.ABSOLUTE)[0].status is Status.REFUSED


def test_the_whole_answer_is_bounded_and_can_be_cancelled(archive):
    asked = ["T:vacuum"] * 50
    with pytest.raises(UsageError, match="samples"):
        list(cutouts(archive, asked, asked, [Filter()], Recast(), most=10_000))
    with pytest.raises(TransientError, match="cancelled"):
        list(cutouts(archive, asked, asked, [Filter()], Recast(), cancelled=lambda: True))


def test_names(archive):
    assert rows_named(archive, ["T:log", "log", "", "T:", ":", "x" * 5000, "U:log"])[1:] == [
        archive.resolve("T:log"), None, None, None, None, None]  # fmt: skip
    hidden = Archive(archive.root, visibility=Visibility(frozenset({"T"})))
    assert rows_named(hidden, ["T:log", "log"]) == [None, None]
    assert [c.status for c in cut(hidden, "log")] == [Status.NOT_FOUND]


def test_many_are_read_as_one_by_one(archive):
    names = ["vacuum", "air", "falling", "log", "echelle"] * 70  # more than one batch
    many = cut(archive, *names)
    alone = {n: one(archive, n) for n in set(names)}
    assert len(many) == len(names)
    for name, c in zip(names, many, strict=True):
        assert c.asked == f"T:{name}"
        assert c.spectrum.flux.tobytes() == alone[name].flux.tobytes()
