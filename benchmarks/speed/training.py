"""Training and embedding by networks: spectra/s, share of the machine's limits, peak memory.

python benchmarks/speed/training.py [--device auto] [--pixels N] [--spectra N] [--out FILE.json]
python benchmarks/speed/training.py --part feed

Each encoder in a process of its own: steps on spectra that are already on the device, epochs fed
from memory and from a spool on disk, embedding. Limits take turns with the steps, so that a busy
machine slows both: matrix products, memory copy. The feed alone stands beside reading the spool's
bytes, and is written to feed.json. The convolutional
network at 327,680 pixels stands beside plain PyTorch layers of the same shapes (no trust channel,
no noise, no frame), which take turns with it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.record import RESULTS, interleaved, machine, timed
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from spectrarium.domain.derived import NoiseSource
from spectrarium.embed.conv import ConvNetwork, ConvSettings
from spectrarium.embed.deep import DeepEncoder
from spectrarium.embed.deep_feed import Batch, Feed, equal_batches
from spectrarium.embed.device import device_named, mixed_precision
from spectrarium.embed.domain import ModelDomain
from spectrarium.embed.encoder import encoder_named
from spectrarium.embed.network import Network, frame_of, misfit
from spectrarium.embed.prepare import Prepared
from spectrarium.embed.spool import Spool
from spectrarium.embed.training_set import InMemory

ENCODERS = ("patch", "dense", "conv", "gfnet")
ECHELLE = 327_680


def made(n: int, n_pix: int, seed: int = 0) -> Prepared:
    """Noisy spectra of two lines; what they show does not matter to the clock."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 1, n_pix, dtype=np.float32)
    lines = np.stack([np.exp(-0.5 * ((x - c) / 0.01) ** 2) for c in (0.3, 0.7)])
    flux = 1 - rng.uniform(0.1, 0.9, (n, 2)).astype(np.float32) @ lines
    flux += 0.02 * rng.standard_normal(flux.shape, dtype=np.float32)
    ones = np.ones(n)
    return Prepared(flux, np.full_like(flux, 2500), ones, 50 * ones, ones,
                    (NoiseSource.DELIVERED,) * n, np.arange(n))  # fmt: skip


def waiting(device: torch.device, work: Callable[[], Any]) -> Callable[[], None]:
    """`work`, ended only when the device has ended it."""

    def whole() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return whole


def product(device: torch.device) -> tuple[int, Callable[[], None]]:
    """Operations of a large matrix product, and one: in bfloat16 on CUDA, else in float32."""
    cuda = device.type == "cuda"
    size, kind = (8192, torch.bfloat16) if cuda else (1536, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3, waiting(device, lambda: a @ b)


def copying(device: torch.device) -> tuple[int, Callable[[], None]]:
    """Bytes read and written by a copy far larger than caches, and one."""
    source = torch.randn(2**28 if device.type == "cuda" else 2**25, device=device)
    target = torch.empty_like(source)
    return 8 * source.numel(), waiting(device, lambda: target.copy_(source))


def with_limits(
    works: dict[str, Callable[[], None]], device: torch.device, repeat: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Median times of `works`, in turns with what the machine can do in the same minutes."""
    flops, multiply = product(device)
    volume, copy = copying(device)
    everything = {**works, "gemm": multiply, "copy": copy}
    for work in everything.values():
        work()  # compilation and first allocations do not count
    took = interleaved(everything, repeat)
    return took, {"gemm_tflops": round(flops / took["gemm"] / 1e12, 4),
                  "copy_gb_s": round(volume / took["copy"] / 1e9, 2)}  # fmt: skip


def on_device(batch: Prepared, device: torch.device) -> Batch:
    """A whole batch already where it is needed."""
    flux, ivar = (torch.from_numpy(a).to(device) for a in (batch.flux, batch.ivar))
    rows = torch.arange(len(batch))
    return Batch(flux, ivar, rows.to(device), rows)


def stepping(
    network: nn.Module, loss: Callable[[], torch.Tensor], device: torch.device, *, fast: bool
) -> Callable[[], None]:
    """One training step on what is resident; `fast` = bfloat16 and compiled, on CUDA."""
    fast = fast and device.type == "cuda"
    optimiser = torch.optim.AdamW(network.parameters(), fused=device.type == "cuda" or None)
    compiled = torch.compile(loss) if fast else loss

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with mixed_precision(device, wanted=fast):
            value = compiled()
        value.backward()
        optimiser.step()

    return waiting(device, step)


def encoding(encode: Callable[[], Any], device: torch.device, *, fast: bool) -> Callable[[], None]:
    """One pass through the encoder alone on what is resident."""
    fast = fast and device.type == "cuda"
    compiled = torch.compile(encode) if fast else encode

    def once() -> None:
        with torch.inference_mode(), mixed_precision(device, wanted=fast):
            compiled()

    return waiting(device, once)


def flops_of(work: Callable[[], Any]) -> int:
    """Multiplications and additions of matrix products and convolutions in one call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def measure(kind: str, device: torch.device, pixels: int, spectra: int, repeat: int) -> Any:
    """One encoder: resident, from memory, from disk; embedding; peak memory."""
    domain = ModelDomain(4000.0, 9000.0, pixels)
    cls: Any = encoder_named(kind)
    model: DeepEncoder = cls(domain)
    model.settings = replace(model.settings, epochs=1)
    size = model.settings.batch
    data = made(spectra, pixels)
    network: Network = model.build()
    network.stand_in(frame_of(data.flux[:500], data.ivar[:500], model.settings))
    network.to(device)
    batch = on_device(data[:size], device)
    flops = {
        "train": flops_of(lambda: model.loss(network, batch).backward()),
        "encode": flops_of(lambda: network.encode(batch.flux, batch.ivar)),
    }
    works = {
        "train": stepping(network, lambda: model.loss(network, batch), device, fast=True),
        "encode": encoding(lambda: network.encode(batch.flux, batch.ivar), device, fast=False),
    }
    took, limits = with_limits(works, device, repeat)
    out: dict[str, Any] = limits | {
        "batch": size, "parameters": sum(p.numel() for p in network.parameters()),
        "train_step_spectra_s": round(size / took["train"], 1),
        "encode_only_spectra_s": round(size / took["encode"], 1),
        "train_tflops": round(flops["train"] / took["train"] / 1e12, 4),
        "encode_tflops": round(flops["encode"] / took["encode"] / 1e12, 4),
    }  # fmt: skip
    out |= fed(cls, domain, data, model.settings, device)
    out["peak_host_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if device.type == "cuda":
        out["peak_device_mb"] = torch.cuda.max_memory_allocated(device) // 2**20
    return out


def fed(cls: Any, domain: ModelDomain, data: Prepared, settings: Any, device: torch.device) -> Any:
    """An epoch (with judging held-out spectra) and embedding, from memory and from disk."""
    out: dict[str, Any] = {}
    with Spool(domain) as spool:
        spool.add(data)
        for name, source in (("memory", InMemory(domain, data)), ("disk", spool)):
            model = cls(domain, settings)
            model.fit(source, device=str(device))
            seconds = model.card["seconds"]
            out[f"epoch_from_{name}_spectra_s"] = round(len(data) / seconds, 1)
            took = timed(lambda m=model, s=source: [m.encode(b.flux, b.ivar) for b in s()])
            out[f"embed_from_{name}_spectra_s"] = round(len(data) / took, 1)
    return out


def feeding(n: int, n_pix: int, size: int, device: torch.device) -> dict[str, Any]:
    """The feed alone, shuffled as in training, beside what only reads the spool's bytes: into
    arrays that hold them, and through one small buffer, which leaves them nowhere."""
    with Spool(ModelDomain(4000.0, 9000.0, n_pix)) as spool:
        for start in range(0, n, size):
            spool.add(made(min(size, n - start), n_pix, start))
        batches = equal_batches(np.random.default_rng(0).permutation(n), size)
        volume = sum(len(b) for b in batches) * n_pix * 8
        files = [spool.folder / f"{name}.bin" for name in ("flux", "ivar")]

        def through() -> None:
            block = bytearray(2**22)
            for path in files:
                with path.open("rb", buffering=0) as file:
                    while file.readinto(block):
                        pass

        def load() -> None:
            for path in files:  # a batch's worth at a time: all at once need not fit
                with path.open("rb", buffering=0) as file:
                    while len(np.fromfile(file, np.float32, size * n_pix)):
                        pass

        fed = Feed(spool, device)
        feed = waiting(device, lambda: [len(b) for b in fed(batches)])
        took = interleaved({"feed": feed, "load": load, "through": through}, 9)
    whole = n * n_pix * 8
    return {"pixels": n_pix, "spectra": n, "batch": size,
            "feed_gb_s": round(volume / took["feed"] / 1e9, 2),
            "load_gb_s": round(whole / took["load"] / 1e9, 2),
            "through_a_buffer_gb_s": round(whole / took["through"] / 1e9, 2),
            "feed_spectra_s": round(volume / n_pix / 8 / took["feed"], 1)}  # fmt: skip


class Plain(nn.Module):
    """Layers of the shapes of `ConvNetwork` as anyone would write them down: flux in, flux out."""

    def __init__(self, settings: ConvSettings, shape: Any) -> None:
        super().__init__()
        widths = (1, *shape.channels[1:])
        self.first = nn.Sequential(*(
            part for a, b in pairwise(widths)
            for part in (nn.Conv1d(a, b, settings.kernel, 2, 1), nn.LeakyReLU(0.1))
        ))  # fmt: skip
        back = [
            part for a, b in pairwise(widths[::-1])
            for part in (nn.ConvTranspose1d(a, b, settings.kernel, 2, 1), nn.LeakyReLU(0.1))
        ]  # fmt: skip
        self.last = nn.Sequential(*back[:-1])
        self.narrow = nn.Linear(shape.end * widths[-1], settings.latent)
        self.widen = nn.Linear(settings.latent, shape.end * widths[-1])
        self.end = shape.end

    def encode(self, flux: torch.Tensor) -> torch.Tensor:
        """(n, length) → (n, latent)."""
        return self.narrow(self.first(flux[:, None]).flatten(1))

    def decode(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, latent) → (n, length)."""
        return self.last(self.widen(vectors).view(len(vectors), -1, self.end))[:, 0]


def echelle(device: torch.device, size: int, repeat: int) -> dict[str, Any]:
    """327,680 pixels: ours beside the plain layers, in turns."""
    settings = ConvSettings()
    network = ConvNetwork(ECHELLE, settings).to(device)
    plain = Plain(settings, network.shape).to(device)
    batch = on_device(made(size, ECHELLE), device)
    loss = lambda: misfit(  # noqa: E731
        batch.flux, batch.ivar, network.decode(network.encode(batch.flux, batch.ivar)[0]),
        network.floor, 5.0).mean()  # fmt: skip
    plain_loss = lambda: (plain.decode(plain.encode(batch.flux)) - batch.flux).square().mean()  # noqa: E731
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    works = {
        "encode_ours": encoding(lambda: network.encode(batch.flux, batch.ivar), device, fast=True),
        "encode_plain": encoding(lambda: plain.encode(batch.flux), device, fast=False),
        "train_ours": stepping(network, loss, device, fast=True),
        "train_plain": stepping(plain, plain_loss, device, fast=False),
    }
    if device.type == "cuda":
        works["encode_plain_fast"] = encoding(lambda: plain.encode(batch.flux), device, fast=True)
        works["train_plain_fast"] = stepping(plain, plain_loss, device, fast=True)
    flops = flops_of(lambda: loss().backward())
    took, limits = with_limits(works, device, repeat)
    out: dict[str, Any] = {f"{name}_spectra_s": round(size / took[name], 3) for name in works}
    out |= limits | {"pixels": ECHELLE, "batch": size, "train_ratio": round(
        took["train_plain"] / took["train_ours"], 3), "encode_ratio": round(
        took["encode_plain"] / took["encode_ours"], 3)}  # fmt: skip
    out["train_gflop_a_spectrum"] = round(flops / size / 1e9, 2)
    out["train_tflops"] = round(flops / took["train_ours"] / 1e12, 4)
    out["peak_host_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if device.type == "cuda":
        out["peak_device_mb"] = torch.cuda.max_memory_allocated(device) // 2**20
    return out


def apart(part: str, args: argparse.Namespace) -> Any:
    """One part in a process of its own, so that its peak memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "part.json"
        command = [sys.executable, __file__, "--part", part, "--out", str(out)]
        for name in ("device", "pixels", "spectra", "repeat", "threads"):
            command += [f"--{name}", str(getattr(args, name))]
        subprocess.run(command, check=True)
        return json.loads(out.read_text())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pixels", type=int, default=4000)
    parser.add_argument("--spectra", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", choices=[*ENCODERS, "echelle", "feed"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.out = args.out or RESULTS / ("feed.json" if args.part == "feed" else "training.json")
    torch.set_num_threads(args.threads)
    device = device_named(args.device)
    result: dict[str, Any]
    if args.part == "echelle":
        result = echelle(device, 128 if device.type == "cuda" else 1, args.repeat)
    elif args.part == "feed":
        result = {"machine": machine(("torch",)), "device": str(device), "runs": [
            feeding(4000, 4000, 64, device), feeding(256, ECHELLE, 32, device)]}  # fmt: skip
        print(json.dumps(result["runs"], indent=1))
    elif args.part:
        result = measure(args.part, device, args.pixels, args.spectra, args.repeat)
    else:
        result = {"machine": machine(("torch", "safetensors")), "device": args.device,
                  "threads": args.threads, "pixels": args.pixels,
                  "spectra": args.spectra}  # fmt: skip
        result |= {part: apart(part, args) for part in (*ENCODERS, "echelle")}
        for part in (*ENCODERS, "echelle"):
            share = result[part]["train_tflops"] / result[part]["gemm_tflops"]
            result[part]["train_share_of_gemm"] = round(share, 3)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if not args.part:
        print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
