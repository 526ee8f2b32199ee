"""What can be chosen about training any network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from ..domain.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepSettings:
    """Settings that all network encoders share; all of them are in the model card.

    latent : components of a vector · seed : of the split by object, weights, order and noise
    epochs : at most · batch : spectra a step · learning_rate : at its peak
    least_steps : steps that `for_spectra` allows for, however few the spectra
    weight_decay : AdamW's · warm_up : share of all steps in which the rate rises
    clip_gradient : largest norm of a step's gradient
    patience : epochs without a better held-out loss before training stops
    held_out : share of the objects that judge and are not learnt from
    huber : σ beyond which a residual counts linearly, so that cosmic rays do not rule
    softening : least scatter, in units of the flux scale · unexplained : share of each pixel's
    variance that counts as scatter in the loss, so that bright spectra do not rule
    compile : compile the network, on CUDA only

    before : what settings were where a model card is from before there were such
    """

    before: ClassVar[dict[str, Any]] = {}

    latent: int = 16
    seed: int = 0
    epochs: int = 60
    least_steps: int = 600
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.05
    clip_gradient: float = 1.0
    patience: int = 12
    held_out: float = 0.1
    huber: float = 5.0
    softening: float = 0.005
    unexplained: float = 0.01
    compile: bool = True

    def __post_init__(self) -> None:
        whole = ("latent", "epochs", "batch", "patience")
        self._demand("least_steps", "at least 0", self.least_steps >= 0)
        positive = ("learning_rate", "clip_gradient", "huber", "softening")
        shares = ("warm_up", "unexplained")
        for name in whole:
            self._demand(name, "a whole number of at least 1", int(getattr(self, name)) >= 1)
        for name in positive:
            self._demand(name, "positive", getattr(self, name) > 0)
        for name in shares:
            self._demand(name, "from 0 to below 1", 0 <= getattr(self, name) < 1)
        self._demand("held_out", "between 0 and 1", 0 < self.held_out < 1)
        self._demand("weight_decay", "at least 0", self.weight_decay >= 0)

    @property
    def least_spectra(self) -> int:
        """Fewer do not determine the latents."""
        return self.latent + 1

    def for_spectra(self, count: int) -> Self:
        """These settings with as many epochs as `least_steps` need, and patience in proportion: a
        small set must be gone through more often."""
        a_pass = max(1, -(-round(count * (1.0 - self.held_out)) // self.batch))
        epochs = max(self.epochs, -(-self.least_steps // a_pass))
        return replace(self, epochs=epochs, patience=max(self.patience, epochs // 3))

    def _demand(self, name: str, what: str, met: bool) -> None:
        if not met:
            raise UsageError(f"{name} is {getattr(self, name)}, it must be {what}", code="bad_fit",
                             remedy=f"choose another {name}")  # fmt: skip
