"""Figures say what they show: units, medium and frame, lines in place, titles that never meet."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
from embedding_cases import DOMAIN, linear_world, spectrum
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from spectrarium.domain.axis import Medium, SpecSys, SpectralAxis
from spectrarium.domain.derived import Region
from spectrarium.domain.errors import UsageError
from spectrarium.domain.observation import Observation, Provenance
from spectrarium.domain.spectrum import EchelleSpectrum, Normalisation
from spectrarium.measure.airvac import vac_to_air
from spectrarium.plot.drawing import flux_limits, intervals, smoothed, spread, thinned
from spectrarium.plot.labels import flux_label, unit_label, wave_label
from spectrarium.plot.neighbours import Panel, plot_neighbours
from spectrarium.plot.outliers import plot_outliers
from spectrarium.plot.spectrum import plot_spectrum
from spectrarium.plot.style import DARK, LIGHT, new_figure, save, settle, shorten, themed

WAVE = np.linspace(3800.0, 9200.0, 3000)


def star(**changes):
    flux = 20 - 8 * np.exp(-0.5 * ((WAVE - 6564.6) / 8) ** 2)
    observation = Observation("SDSS", "1-2-3", target_class="STAR", redshift=0.0, snr=40.0)
    return spectrum(WAVE, flux, 0.5, observation=observation,
                    flux_unit="1e-17 erg / (s cm2 Angstrom)", **changes)  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "normalisation", "expected"),
    [
        ("1e-17 erg / (s cm2 Angstrom)", Normalisation.UNKNOWN,
         r"$F_\lambda$ [$10^{-17}$ erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$]"),
        ("Jy", Normalisation.NONE, r"$F_\nu$ [Jy]"),
        ("W / (m2 um)", Normalisation.NONE, r"$F_\lambda$ [W m$^{-2}$ µm$^{-1}$]"),
        ("ct", Normalisation.NONE, "Counts [ct]"),
        ("", Normalisation.UNKNOWN, "Relative flux"),
        (None, Normalisation.UNKNOWN, "Flux [unit unknown]"),
        ("erg / (s cm2 Angstrom)", Normalisation.CONTINUUM_DIVIDED, "Flux / continuum"),
    ],
)  # fmt: skip
def test_flux_labels_are_astronomers(unit, normalisation, expected):
    assert flux_label(unit, normalisation) == expected


def test_unit_factor_with_a_mantissa():
    assert unit_label("2.5e-16 erg / (s cm2 Angstrom)").startswith(r"2.5 × $10^{-16}$ erg")


def test_wave_label_says_medium_and_frame_or_that_they_are_unknown():
    assert wave_label(Medium.AIR, SpecSys.BARYCENT) == "Air wavelength [Å], barycentric"
    unknown = wave_label(Medium.UNKNOWN, SpecSys.UNKNOWN)
    assert "air or vacuum unknown" in unknown
    assert "frame unknown" in unknown
    assert wave_label(Medium.VACUUM, SpecSys.SOURCE, "µm").endswith("[µm], rest frame")


def lines_drawn(figure) -> dict[str, float]:
    """Label → wavelength of the dotted line that belongs to it (drawn in the same order)."""
    axes = figure.axes[0]
    dotted = [line for line in axes.lines if line.get_gid() == "line"]
    labels = [text for text in axes.texts if text.get_rotation() == 90]
    assert len(dotted) == len(labels)
    return {t.get_text(): float(d.get_xdata()[0]) for t, d in zip(labels, dotted, strict=True)}


@pytest.mark.parametrize("z", [0.0, 0.1])
def test_lines_stand_where_the_redshift_puts_them(z):
    assert lines_drawn(plot_spectrum(star(), redshift=z))["Hα"] == pytest.approx(
        6564.632 * (1 + z), abs=0.05
    )


def test_lines_of_a_spectrum_in_air_stand_at_air_wavelengths():
    one = star()
    axis = dataclasses.replace(one.axis, medium=Medium.AIR)
    drawn = lines_drawn(plot_spectrum(one.replace(axis=axis)))
    assert drawn["Hα"] == pytest.approx(float(vac_to_air(6564.632)), abs=0.05)


def test_no_lines_without_a_redshift():
    anonymous = star().replace(observation=Observation("X", "1"))
    assert lines_drawn(plot_spectrum(anonymous)) == {}
    rest = anonymous.replace(axis=dataclasses.replace(anonymous.axis, specsys=SpecSys.SOURCE))
    assert "Hα" in lines_drawn(plot_spectrum(rest))


def test_a_window_shows_that_window_and_an_empty_one_is_refused():
    axes = plot_spectrum(star(), window_aa=(6500, 6620)).axes[0]
    assert axes.get_xlim() == (6500, 6620)
    assert lines_drawn(axes.figure).keys() >= {"Hα"}
    with pytest.raises(UsageError, match=r"3800\.0–9200\.0"):
        plot_spectrum(star(), window_aa=(100, 200))


def test_masked_pixels_are_marked_and_missing_errors_said():
    one = star()
    error = one.uncertainty.copy()
    error[1000:1010] = np.inf
    texts = plot_spectrum(one.replace(uncertainty=error)).axes[0].get_legend().get_texts()
    assert "masked pixels" in [t.get_text() for t in texts]
    bare = plot_spectrum(spectrum(WAVE, one.flux, None)).axes[0].get_legend().get_texts()
    assert "no errors given" in [t.get_text() for t in bare]


def test_infrared_is_drawn_in_microns():
    figure = plot_spectrum(spectrum(WAVE * 5, 20 + 0 * WAVE))
    assert "[µm]" in figure.axes[0].get_xlabel()
    assert figure.axes[0].get_xlim() == pytest.approx((1.9, 4.6))


def test_echelle_orders_do_not_join():
    wave = np.array([np.linspace(5000, 5100, 50), np.linspace(5200, 5300, 50)])
    orders = EchelleSpectrum(
        axis=SpectralAxis("Angstrom", wave), flux=np.ones((2, 50)), order_numbers=(1, 2),
        observation=Observation("X"), provenance=Provenance("p", "r"),
    )  # fmt: skip
    (line,) = [x for x in plot_spectrum(orders).axes[0].lines if x.get_label() == "flux"]
    assert np.isnan(line.get_ydata()).sum() == 2


def panels(n: int, name: str = "SDSS 0618-52049-0372-with-a-long-id  GALAXY STARFORMING BROADLINE"):
    batch, _, _ = linear_world(n + 1)
    region = (Region(5000.0, 5200.0, 0.4, 1),)
    return [
        Panel(f, i, name, "d = 12.34   S/N 45.6", model=np.ones_like(f), regions=region)
        for f, i in zip(batch.flux, batch.ivar, strict=True)
    ]


@pytest.mark.parametrize("n", [1, 3, 8, 20])
@pytest.mark.parametrize("kind", ["neighbours", "outliers"])
def test_titles_never_meet_and_stay_on_the_page(n, kind):
    query, *rest = panels(n)
    label = wave_label(Medium.VACUUM, SpecSys.HELIOCEN)
    if kind == "neighbours":
        figure = plot_neighbours(query, rest, DOMAIN.wave_aa, wave_label=label, heading="Alike")
    else:
        figure = plot_outliers(rest, DOMAIN.wave_aa, wave_label=label, heading="Strange")
    settle(figure)
    figure.draw_without_rendering()
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for axes in figure.axes for text in axes.findobj(mpl.text.Text)]
    titles = [text for text in texts if text.get_gid() in ("title", "note")]
    boxes = [text.get_window_extent(renderer) for text in titles]
    assert len(boxes) == 2 * (n + (kind == "neighbours"))
    for i, a in enumerate(boxes):
        assert a.x0 >= 0
        assert a.x1 <= figure.bbox.x1
        assert not any(a.overlaps(b) for b in boxes[i + 1 :])
    assert min(box.height for box in boxes) >= 12  # pixels: legible


def test_nothing_to_show_is_said():
    with pytest.raises(UsageError):
        plot_neighbours(panels(1)[0], [], DOMAIN.wave_aa, wave_label="")
    with pytest.raises(UsageError):
        plot_outliers([], DOMAIN.wave_aa, wave_label="")


@pytest.mark.parametrize("dark", [False, True])
def test_png_has_its_size_and_background_and_leaves_matplotlib_alone(tmp_path, dark):
    before = dict(mpl.rcParams)
    path = save(plot_spectrum(star(), dark=dark), tmp_path / "new" / "x.png")
    image = imread(path)
    assert image.shape[:2] == (1200, 1600)
    wanted = mpl.colors.to_rgb((DARK if dark else LIGHT).background)
    np.testing.assert_allclose(image[0, -1, :3], wanted, atol=0.01)
    assert image[..., :3].std() > 0.05  # something is drawn
    assert dict(mpl.rcParams) == before


def test_limits_keep_lines_and_ignore_cosmic_rays():
    flux = 1 + 9 * np.exp(-0.5 * ((WAVE - 6000) / 6) ** 2)
    flux[100] = 1e4
    low, high = flux_limits(flux, np.ones(3000, bool))
    assert (low, high) == (0.0, pytest.approx(10.6, rel=0.35))
    assert high > flux[np.abs(WAVE - 6000) < 20].max()


def test_a_long_spectrum_is_thinned_to_its_extremes():
    rng = np.random.default_rng(0)
    wave = np.linspace(3800, 6900, 313_000)
    flux = rng.standard_normal(313_000)
    flux[123_456] = 50
    flux[7] = np.nan
    w, f = thinned(wave, flux)
    assert f.size < 13_000
    assert np.nanmax(f) == 50
    assert np.nanmin(f) == np.nanmin(flux)
    assert np.all(np.diff(w) > 0)


def test_a_gap_between_orders_is_not_drawn_over():
    order = np.append(np.linspace(0.0, 100.0, 30_000), 100.0)
    wave = np.concatenate([8000 + order, 8150 + order, 8240 + order])  # a gap, then an overlap
    flux = np.ones(wave.size)
    flux[30_000::30_001] = np.nan
    w, f = thinned(wave, flux)
    assert f.size < 13_000
    drawn = np.isfinite(f[:-1]) & np.isfinite(f[1:])
    assert np.diff(w)[drawn].max() < 1.0
    assert np.diff(w)[drawn].min() > 0


def test_pictures_that_cannot_be_written_say_so(tmp_path):
    for path in (tmp_path / "x.xyz", tmp_path / "x", tmp_path):
        with pytest.raises(UsageError) as caught:
            save(new_figure(), path)
        assert caught.value.code == "cannot_write"
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        save(new_figure(), tmp_path / "file" / "x.png")


def test_intervals_of_masked_pixels():
    chosen = np.zeros(3000, bool)
    chosen[[5, 6, 7, 100]] = True
    assert intervals(WAVE, chosen) == [(WAVE[5], WAVE[7]), (WAVE[100], WAVE[100])]
    assert len(intervals(WAVE, np.arange(3000) % 2 == 0, most=50)) <= 50


def test_smoothing_weighs_by_information():
    ivar = np.ones(3000)
    ivar[1500] = 0.0
    flux = np.ones(3000)
    flux[1500] = 1e6
    mean = smoothed(flux, ivar, 5)
    assert np.isnan(mean[1500])
    assert np.nanmax(np.abs(mean - 1)) < 1e-9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.001, 0.045))
def test_labels_are_spread_apart_within_the_axes(wanted, least):
    places = spread(np.sort(np.array(wanted)), least)
    assert np.all(np.diff(places) >= least * (1 - 1e-9))
    assert places.min() >= -1e-12
    assert places.max() <= 1 + 1e-9


def test_labels_that_have_room_stay_in_place():
    wanted = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(spread(wanted, 0.02), wanted)


def test_shortened_names_keep_the_id():
    name = "SDSS 0618-52049-0372  GALAXY STARFORMING"
    assert shorten(name, 100) == name
    assert shorten(name, 30) == "SDSS 0618-52049-0372  GALAXY…"
    assert shorten(name, 22) == "SDSS 0618-52049-0372"
    assert shorten("abcdefghij", 5) == "ab…ij"


def test_tex_switched_on_by_another_library_does_no_harm(tmp_path):
    with mpl.rc_context({"text.usetex": True}):
        with themed(LIGHT):
            figure = new_figure()
            figure.add_subplot().set_ylabel(flux_label("1e-17 erg s-1 cm-2 Angstrom-1"))
        save(figure, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000
