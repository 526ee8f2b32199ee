"""Oddities planted into real spectra, on the model's grid, with the noise they would have had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ..domain.units import C_KMS
from ..embed.domain import FluxKind
from ..embed.prepare import Prepared, flux_scale
from ..measure.lines import line
from .corpus import Corpus

Array = NDArray[np.float64]
_HOT = ("p_cygni", "double_peaked_halpha")
FWHM_TO_SIGMA = 2.3548
_BALMER = ("H_alpha", "H_beta", "H_gamma", "H_delta")
_NEBULAR = (("H_alpha", 1.0), ("H_beta", 0.35), ("OIII_5008", 0.9), ("OIII_4960", 0.3),
            ("NII_6585", 0.3), ("SII_6718", 0.2), ("SII_6733", 0.15),
            ("OII_3727", 0.5))  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Planted:
    """Odd spectra. batch : (p,) prepared like the others · kind : (p,) · host : (p,) row of the
    corpus whose spectrum was spoiled · objects : (p,) the host's"""

    batch: Prepared
    kind: NDArray[Any]
    host: NDArray[np.int64]
    objects: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """A spectrum to spoil. flux, ivar : (n,) normalised; ivar 0 = no information

    wave : (n,) vacuum Å, equal steps in ln λ of `pixel_kms` · level : (n,) continuum where there
    is one · z : lines are planted at · sigma_kms : of the line-spread function
    partner_flux, partner_ivar : another spectrum: of the same class for a binary, of another for a
    superposition; None = there is none
    """

    wave: Array
    pixel_kms: float
    flux: Array
    ivar: Array
    level: Array
    z: float
    sigma_kms: float
    partner: tuple[Array, Array] | None = None

    def sees(self, wave_aa: float, margin_kms: float = 1500.0) -> bool:
        """Whether a line lies inside the range, on pixels with information."""
        at = int(np.searchsorted(self.wave, wave_aa))
        reach = int(margin_kms / self.pixel_kms) + 1
        if not reach <= at < self.wave.size - reach:
            return False
        return bool((self.ivar[at - reach : at + reach] > 0).mean() > 0.9)


Spoiler = Callable[[Host, np.random.Generator], tuple[Array, Array] | None]


def _profile(host: Host, rest_aa: float, ew_aa: float, sigma_kms: float, v_kms: float) -> Array:
    """Light of a Gaussian line of rest equivalent width `ew_aa` against the local continuum."""
    shape, sigma = _shape(host, rest_aa, sigma_kms, v_kms)
    peak = ew_aa / rest_aa * C_KMS / (sigma * np.sqrt(2.0 * np.pi))
    near = shape > 0.1
    level = float(np.median(host.level[near])) if near.any() else 0.0
    return np.asarray(level * peak * shape)


def _shape(host: Host, rest_aa: float, sigma_kms: float, v_kms: float) -> tuple[Array, float]:
    """A Gaussian of height 1, broadened by the instrument, and its σ in km/s."""
    centre = rest_aa * (1.0 + host.z) * (1.0 + v_kms / C_KMS)
    sigma = float(np.hypot(sigma_kms, host.sigma_kms))
    v = np.log(host.wave / centre) * C_KMS
    return np.asarray(np.exp(-0.5 * (v / sigma) ** 2)), sigma


def _with_light(host: Host, added: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """More light brings more photon noise, drawn and told.

    The noise of the host is taken to be that of its own light: an upper bound where sky and
    read-out count too.
    """
    variance = np.where(host.ivar > 0, 1.0 / np.maximum(host.ivar, 1e-30), 0.0)
    extra = variance * np.maximum(added, 0.0) / np.maximum(host.level, np.sqrt(variance) + 1e-30)
    flux = host.flux + added + np.sqrt(extra) * rng.standard_normal(added.size)
    total = variance + extra
    return flux, np.where(host.ivar > 0, 1.0 / np.maximum(total, 1e-30), 0.0)


def _dimmed(host: Host, through: Array, rng: np.random.Generator) -> Host:
    """The host behind a layer that lets this share of its light through: photon noise with it."""
    variance = np.where(host.ivar > 0, 1.0 / np.maximum(host.ivar, 1e-30), 0.0)
    share = np.clip(through, 0.05, 1.0)
    extra = variance * (share - share**2)  # on top of the host's own noise, dimmed too
    flux = through * host.flux + np.sqrt(extra) * rng.standard_normal(share.size)
    ivar = np.where(host.ivar > 0, host.ivar / share, 0.0)
    return replace(host, flux=flux, ivar=ivar)


def p_cygni(host: Host, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Emission with blue-shifted absorption in Balmer lines: a wind."""
    seen = [name for name in _BALMER if host.sees(line(name).wave_vac_aa * (1 + host.z))]
    if not seen:
        return None
    wind, strength = float(rng.uniform(200, 500)), float(rng.uniform(10, 35))
    added, depth = np.zeros(host.wave.size), np.zeros(host.wave.size)
    for name, share in zip(_BALMER, (1.0, 0.3, 0.15, 0.1), strict=True):
        if name in seen:
            rest = line(name).wave_vac_aa
            added += _profile(host, rest, strength * share, 120.0, 40.0)
            depth += 1.5 * share**0.5 * _shape(host, rest, 90.0, -wind)[0]
    return _with_light(_dimmed(host, np.exp(-depth), rng), added, rng)


def double_peaked(host: Host, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Two peaks of Hα (or the first Balmer line in range): a disc."""
    seen = [name for name in _BALMER if host.sees(line(name).wave_vac_aa * (1 + host.z))]
    if not seen:
        return None
    rest = line(seen[0]).wave_vac_aa
    speed, ew, lean = rng.uniform(180, 350), rng.uniform(10, 30), rng.uniform(0.7, 1.3)
    added = _profile(host, rest, 0.5 * ew, 70.0, -speed)
    added += _profile(host, rest, 0.5 * ew * lean, 70.0, speed)
    return _with_light(host, added, rng)


def strong_emission(host: Host, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Nebular lines of Hα equivalent width 30 to 120 Å."""
    seen = [(n, s) for n, s in _NEBULAR if host.sees(line(n).wave_vac_aa * (1 + host.z))]
    if len(seen) < 2:
        return None
    strength = float(rng.uniform(30, 120)) / max(share for _, share in seen)
    added = np.zeros(host.wave.size)
    for name, share in seen:
        added += _profile(host, line(name).wave_vac_aa, strength * share, 50.0, 0.0)
    return _with_light(host, added, rng)


def double_lined(host: Host, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Two spectra of one class, up to 500 km/s apart: whole pixels, so that noise stays noise."""
    if host.partner is None or host.pixel_kms > 150.0:
        return None
    apart = rng.uniform(320.0, 520.0) / host.pixel_kms
    there, back = round(apart / 2), -(round(apart) - round(apart / 2))
    one = _moved(host.flux, host.ivar, there)
    two = _moved(*host.partner, back)
    return _sum(one, two, float(rng.uniform(0.6, 1.0)))


def superposition(host: Host, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Two objects of different classes in one aperture."""
    if host.partner is None:
        return None
    return _sum((host.flux, host.ivar), host.partner, float(rng.uniform(0.5, 1.0)))


def wrong_redshift(host: Host, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Shifted by 2,500 to 9,000 km/s: brought to rest, or calibrated, wrongly."""
    pixels = round(float(rng.uniform(2500, 9000)) / host.pixel_kms) or 1
    return _moved(host.flux, host.ivar, pixels if rng.random() < 0.5 else -pixels)


def cosmic_rays(host: Host, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Six to fifteen spikes that nobody flagged: the errors know nothing of them."""
    flux = host.flux.copy()
    good = np.flatnonzero(host.ivar > 0)
    good = good[(good > 2) & (good < flux.size - 4)]
    size = float(np.median(np.abs(host.level[good])))
    for at in rng.choice(good, int(rng.integers(6, 16))):
        tail = np.array([0.25, 1.0, float(rng.uniform(0.1, 0.9)), 0.15])
        flux[at : at + 4] += size * float(rng.uniform(2, 15)) * tail
    return flux, host.ivar


def bad_join(host: Host, rng: np.random.Generator) -> tuple[Array, Array] | None:
    """Beyond a join of two arms the flux, and its error with it, is off by a factor."""
    at = int(rng.uniform(0.3, 0.7) * host.flux.size)
    factor = float(rng.uniform(0.45, 0.7)) ** (1 if rng.random() < 0.5 else -1)
    flux, ivar = host.flux.copy(), host.ivar.copy()
    flux[at:] *= factor
    ivar[at:] /= factor**2
    return flux, ivar


SPOILERS: dict[str, Spoiler] = {
    "double_lined_binary": double_lined, "p_cygni": p_cygni,
    "double_peaked_halpha": double_peaked, "strong_emission": strong_emission,
    "wrong_redshift": wrong_redshift, "cosmic_rays": cosmic_rays, "bad_join": bad_join,
    "superposition": superposition,
}  # fmt: skip


def _moved(flux: Array, ivar: Array, pixels: int) -> tuple[Array, Array]:
    """Shifted by whole pixels; what comes in from beyond the range is unknown."""
    out_flux, out_ivar = np.roll(flux, pixels), np.roll(ivar, pixels)
    gone = slice(0, pixels) if pixels > 0 else slice(flux.size + pixels, None)
    if pixels:
        out_flux[gone], out_ivar[gone] = 0.0, 0.0
    return out_flux, out_ivar


def _sum(one: tuple[Array, Array], two: tuple[Array, Array], share: float) -> tuple[Array, Array]:
    """one + share × two, variances added; known where both are."""
    both = (one[1] > 0) & (two[1] > 0)
    ivar_one, ivar_two = np.where(both, one[1], 1.0), np.where(both, two[1], 1.0)
    flux = np.where(both, one[0] + share * two[0], 0.0)
    return flux, np.where(both, 1.0 / (1.0 / ivar_one + share**2 / ivar_two), 0.0)


def plant(corpus: Corpus, per_kind: int = 20, seed: int = 0) -> Planted:
    """Up to `per_kind` oddities of each of the corpus's kinds, in test spectra drawn by chance.

    A kind that a spectrum cannot have (its lines lie outside, no partner) takes another spectrum.
    """
    rng = np.random.default_rng([seed, 41])
    flux, ivar, kinds, hosts = [], [], [], []
    for kind in corpus.kinds:
        made = 0
        for row in rng.permutation(hosts_of(corpus, kind)):
            if made == per_kind:
                break
            host = _host(corpus, int(row), kind, rng)
            spoiled = None if host is None else SPOILERS[kind](host, rng)
            if spoiled is None or (spoiled[1] > 0).mean() < 0.5 * corpus.domain.least_coverage:
                continue
            flux.append(spoiled[0])
            ivar.append(spoiled[1])
            kinds.append(kind)
            hosts.append(int(row))
            made += 1
    where = np.array(hosts, np.int64)
    batch = _prepared(corpus, np.array(flux), np.array(ivar), where)
    return Planted(batch, np.array(kinds), where, corpus.objects[where])


def hosts_of(corpus: Corpus, kind: str) -> NDArray[np.int64]:
    """Test spectra that can have this oddity: no empty sky, no supernovae among stars, and winds
    and discs around hot stars (O to F) where classes are letters."""
    rows = corpus.test_rows
    label = corpus.label[rows]
    fit = ~np.isin(label, ("SKY", "SN"))
    if kind in _HOT and np.isin(label, tuple("OBAF")).any():
        fit &= np.isin(label, tuple("OBAF"))
    return np.asarray(rows[fit])


def _host(corpus: Corpus, row: int, kind: str, rng: np.random.Generator) -> Host | None:
    domain, batch = corpus.domain, corpus.batch
    flux = batch.flux[row].astype(np.float64)
    ivar = batch.ivar[row].astype(np.float64)
    z = float(corpus.z[row]) if np.isfinite(corpus.z[row]) else 0.0
    low, high = domain.resolution
    resolving = low if not np.isfinite(high) else np.sqrt(max(low, 1.0) * high)
    sigma = max(C_KMS / max(resolving, 1.0) / FWHM_TO_SIGMA, 0.5 * domain.pixel_kms)
    return Host(
        wave=domain.wave_aa, pixel_kms=domain.pixel_kms, flux=flux, ivar=ivar,
        level=_level(flux, ivar, float(batch.scale[row]), domain.flux_kind), z=z,
        sigma_kms=float(sigma), partner=_partner(corpus, row, kind, rng),
    )  # fmt: skip


def _level(flux: Array, ivar: Array, scale: float, kind: FluxKind) -> Array:
    """The continuum; of continuum-subtracted flux it is 1 before normalisation."""
    if kind is FluxKind.CONTINUUM_SUBTRACTED:
        return np.full(flux.size, 1.0 / scale)
    pixels = np.arange(flux.size)
    good = ivar > 0
    filled = np.interp(pixels, pixels[good], flux[good])
    smooth = median_filter(filled, size=min(151, flux.size // 4 * 2 + 1), mode="nearest")
    return np.asarray(np.maximum(smooth, 0.0))


def _partner(
    corpus: Corpus, row: int, kind: str, rng: np.random.Generator
) -> tuple[Array, Array] | None:
    """A test spectrum of another object, as good, of the same class or (superposition) another."""
    if kind not in ("double_lined_binary", "superposition"):
        return None
    rows = hosts_of(corpus, kind)
    same = corpus.label[rows] == corpus.label[row]
    ratio = corpus.batch.snr[rows] / max(float(corpus.batch.snr[row]), 1e-6)
    fit = (same if kind == "double_lined_binary" else ~same) & (corpus.label[rows] != "")
    fit &= (corpus.objects[rows] != corpus.objects[row]) & (ratio > 1 / 3) & (ratio < 3)
    if not fit.any() or corpus.label[row] == "":
        return None
    other = int(rng.choice(rows[fit]))
    batch = corpus.batch
    return batch.flux[other].astype(np.float64), batch.ivar[other].astype(np.float64)


def _prepared(corpus: Corpus, flux: Array, ivar: Array, host: NDArray[np.int64]) -> Prepared:
    """Normalised anew, as preparation would have done."""
    kind = corpus.domain.flux_kind
    scale, snr = np.ones(len(flux)), np.zeros(len(flux))
    for i in range(len(flux)):
        at = ivar[i] > 0
        scale[i] = flux_scale(flux[i][at], ivar[i][at], kind)
        signal = scale[i] if kind is FluxKind.CONTINUUM_SUBTRACTED else flux[i][at]
        snr[i] = np.median(signal * np.sqrt(ivar[i][at]))
    return Prepared(
        flux=(flux / scale[:, None]).astype(np.float32),
        ivar=(ivar * scale[:, None] ** 2).astype(np.float32),
        scale=scale * corpus.batch.scale[host], snr=snr, coverage=(ivar > 0).mean(axis=1),
        noise_source=tuple(corpus.batch.noise_source[i] for i in host),
        index=np.arange(len(flux)),
    )  # fmt: skip
