"""The same object seen otherwise: shifted, noisier, blurrier, worse calibrated, with gaps.

Every function takes and gives (n, n_pix) flux and ivar, on whatever device they are, and draws
from torch's generator; pixels without information (ivar 0) never gain any.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..measure.noise import MAD_TO_SIGMA

Pair = tuple[torch.Tensor, torch.Tensor]
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Strengths:
    """How far an augmented view may be from the original; 0 switches one off.

    shift_pix : σ of a shift along ln λ, pixels, cut at 2σ · far_pix : largest of the shifts that
    half of the views get instead, so that redshift does not matter
    blur_pix : largest σ of a Gaussian that half of the views are smoothed by
    tilt : σ of ln flux of slow multiplicative errors over the range
    noise : largest factor by which the noise variance grows · floor : largest noise added, in
    units of the mean flux, so that the best spectra too are seen noisy
    gap : largest share of the range that is lost · spikes : largest share of pixels hit
    scale : σ of ln of the overall factor
    crop : largest share of a spectrum's range that a view lacks at its ends, its flux scale taken
    from what is left as that of a spectrum which has no more · subtracted : flux whose continuum
    was subtracted has a scale of its own
    """

    shift_pix: float = 0.0
    far_pix: float = 0.0
    blur_pix: float = 0.0
    tilt: float = 0.0
    noise: float = 1.0
    floor: float = 0.0
    gap: float = 0.0
    spikes: float = 0.0
    scale: float = 0.0
    crop: float = 0.0
    subtracted: bool = False


def augmented(flux: torch.Tensor, ivar: torch.Tensor, by: Strengths) -> Pair:
    """One random view of each spectrum, the physical effects in the order light meets them."""
    n = len(flux)
    uniform = torch.rand(8, n, 1, device=flux.device)
    if by.blur_pix > 0:
        often = (uniform[0] < 0.5).to(flux.dtype)
        flux = blurred(flux, ivar, uniform[1] * by.blur_pix * often)
    if by.shift_pix > 0 or by.far_pix > 0:
        pixels = torch.randn(n, 1, device=flux.device).clamp(-2, 2) * by.shift_pix
        if by.far_pix > 0:
            far = (2.0 * uniform[2] - 1.0) * by.far_pix
            pixels = torch.where(uniform[3] < 0.5, far, pixels)
        flux, ivar = shifted(flux, ivar, pixels)
    if by.tilt > 0:
        flux, ivar = tilted(flux, ivar, by.tilt * uniform[4])
    if by.scale > 0:
        factor = torch.exp(by.scale * torch.randn(n, 1, device=flux.device))
        flux, ivar = flux * factor, ivar / factor**2
    if by.noise > 1 or by.floor > 0:
        growth = torch.exp(uniform[5] ** 2 * math.log(max(by.noise, 1.0)))
        flux, ivar = noisier(flux, ivar, growth, uniform[6] ** 2 * by.floor)
    if by.spikes > 0:
        flux = spiked(flux, ivar, by.spikes * uniform[7])
    if by.gap > 0:
        flux, ivar = gapped(flux, ivar, by.gap)
    if by.crop > 0:
        kept = 1.0 - by.crop * torch.rand(n, 1, device=flux.device)
        start = torch.rand(n, 1, device=flux.device) * (1.0 - kept)
        flux, ivar = cropped(flux, ivar, start, start + kept, subtracted=by.subtracted)
    return torch.where(ivar > 0, flux, torch.zeros_like(flux)), ivar


def shifted(flux: torch.Tensor, ivar: torch.Tensor, pixels: torch.Tensor) -> Pair:
    """Moved by (n, 1) `pixels` to higher wavelengths, linear between pixels, nothing beyond ends.

    On a grid of equal velocity pixels this is a Doppler shift by pixels × pixel width. Variance is
    propagated pixel by pixel; the covariance that interpolation brings is left out.
    """
    n_pix = flux.shape[1]
    whole = torch.floor(pixels)
    part = pixels - whole
    right = torch.arange(n_pix, device=flux.device)[None] - whole.long()
    left = right - 1
    inside = (left >= 0) & (right < n_pix)
    left, right = left.clamp(0, n_pix - 1), right.clamp(0, n_pix - 1)
    weight_left, weight_right = ivar.gather(1, left), ivar.gather(1, right)
    good = inside & (weight_left > 0) & (weight_right > 0)
    moved = part * flux.gather(1, left) + (1.0 - part) * flux.gather(1, right)
    variance = (part**2 / weight_left.clamp(min=_LEAST)
                + (1.0 - part) ** 2 / weight_right.clamp(min=_LEAST))  # fmt: skip
    zero = torch.zeros_like(flux)
    return torch.where(good, moved, zero), torch.where(good, 1.0 / variance, zero)


def blurred(flux: torch.Tensor, ivar: torch.Tensor, sigma_pix: torch.Tensor) -> torch.Tensor:
    """Flux at lower resolution: a Gaussian of (n, 1) `sigma_pix`, over informative pixels only."""
    n_pix = flux.shape[1]
    length = 2 ** math.ceil(math.log2(n_pix + 32))
    frequency = torch.fft.rfftfreq(length, device=flux.device)[None]
    kernel = torch.exp(-2.0 * (math.pi * frequency * sigma_pix) ** 2)
    good = (ivar > 0).to(flux.dtype)

    def smooth(values: torch.Tensor) -> torch.Tensor:
        waves = torch.fft.rfft(values, length) * kernel
        return torch.as_tensor(torch.fft.irfft(waves, length)[:, :n_pix])

    return torch.where(ivar > 0, smooth(flux * good) / smooth(good).clamp(min=0.05), flux)


def tilted(flux: torch.Tensor, ivar: torch.Tensor, amplitude: torch.Tensor) -> Pair:
    """Slow errors of the flux calibration: exp of three random Legendre modes over the range.

    amplitude : (n, 1) σ of the first mode's coefficient; of the others a half and a third
    """
    x = torch.linspace(-1.0, 1.0, flux.shape[1], device=flux.device)
    modes = torch.stack([x, 1.5 * x**2 - 0.5, 2.5 * x**3 - 1.5 * x])
    random = torch.randn(len(flux), 3, device=flux.device)
    share = torch.tensor([1.0, 0.5, 1.0 / 3.0], device=flux.device)
    factor = torch.exp(((amplitude * random * share) @ modes).clamp(-1.5, 1.5))
    return flux * factor, ivar / factor**2


def noisier(
    flux: torch.Tensor, ivar: torch.Tensor, growth: torch.Tensor, floor: torch.Tensor
) -> Pair:
    """Noise variance × (n, 1) `growth`, and a white part of `floor` × the mean |flux| on top.

    The noise that is added and the ivar that is given agree.
    """
    good = ivar > 0
    mean = (flux.abs() * good).sum(dim=1, keepdim=True) / good.sum(dim=1, keepdim=True).clamp(min=1)
    before = 1.0 / ivar.clamp(min=_LEAST)
    added = (growth - 1.0) * before + (floor * mean) ** 2
    noisy = flux + added.sqrt() * torch.randn_like(flux)
    zero = torch.zeros_like(flux)
    return torch.where(good, noisy, zero), torch.where(good, 1.0 / (before + added), zero)


def spiked(flux: torch.Tensor, ivar: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Unflagged cosmic rays: (n, 1) `share` of the pixels rise by up to 10 × the mean |flux|."""
    good = ivar > 0
    mean = (flux.abs() * good).sum(dim=1, keepdim=True) / good.sum(dim=1, keepdim=True).clamp(min=1)
    hit = (torch.rand_like(flux) < share) & good
    return flux + hit * torch.rand_like(flux) * 10.0 * mean


def gapped(flux: torch.Tensor, ivar: torch.Tensor, most: float) -> Pair:
    """One stretch of up to `most` of the range loses its information, now and then at an end.

    A stretch never takes the whole of a spectrum's information: such a view keeps all of it.
    """
    n, n_pix = flux.shape
    length = torch.rand(n, 1, device=flux.device) * most * n_pix
    start = torch.rand(n, 1, device=flux.device) * (n_pix + length) - length
    at = torch.arange(n_pix, device=flux.device)[None]
    left = torch.where((at >= start) & (at < start + length), torch.zeros_like(ivar), ivar)
    some = (left > 0).any(dim=1, keepdim=True)
    left = torch.where(some, left, ivar)
    return torch.where(left > 0, flux, torch.zeros_like(flux)), left


def cropped(
    flux: torch.Tensor, ivar: torch.Tensor, start: torch.Tensor, stop: torch.Tensor, *,
    subtracted: bool = False,
) -> Pair:  # fmt: skip
    """What is left between (n, 1) shares `start` and `stop` of the informative pixels, rescaled.

    It is divided by the flux scale of what is left, as a spectrum is that has no more than this:
    that of `prepare.flux_scale`. One pixel is left at least.
    """
    good = ivar > 0
    rank = good.cumsum(dim=1)
    total = rank[:, -1:]
    first = torch.minimum((start * total).floor(), (total - 1).to(start.dtype))
    last = torch.maximum((stop * total).floor(), first + 1)
    good = good & (rank > first) & (rank <= last)
    nothing = torch.full_like(flux, torch.nan)

    def median(values: torch.Tensor) -> torch.Tensor:
        return torch.where(good, values, nothing).nanmedian(dim=1, keepdim=True).values

    level = median(flux)
    if subtracted:
        scale = MAD_TO_SIGMA * median((flux - level).abs())
    else:
        scale = torch.hypot(level, median(ivar).rsqrt())
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # none left, or all of it zero
    zero = torch.zeros_like(flux)
    return torch.where(good, flux / scale, zero), torch.where(good, ivar * scale**2, zero)
