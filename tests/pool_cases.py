"""Pools of labelled spectra written for tests, as `evaluate.pools` reads them."""

from __future__ import annotations

import h5py
import numpy as np


def write_pool(folder, spectra, objects=None, kinds=None, **changes):
    """Ragged store of (wave, flux) pairs, each with a listed grid of its own.

    kinds : spectral types, 'G2V' of all else · changes : arrays of the file, None = left out
    """
    folder.mkdir()
    objects = objects or [f"o{i}" for i in range(len(spectra))]
    kinds = kinds or ["G2V"] * len(spectra)
    lines = [
        f"s{i},{o},STAR,{kind},vac,2000"
        for i, (o, kind) in enumerate(zip(objects, kinds, strict=True))
    ]
    header = changes.pop("header", "spec_id,object_id,obj_class,obj_subclass,wave_frame,resolution")
    (folder / "index.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    off = np.cumsum([0, *(len(f) for _, f in spectra)])
    arrays = {
        "spec_id": np.array([f"s{i}".encode() for i in range(len(spectra))]), "off": off,
        "widx": np.arange(len(spectra)), "woff": off, "wtype": np.zeros(len(spectra), int),
        "wpar": np.zeros((len(spectra), 2)), "wave": np.concatenate([w for w, _ in spectra]),
        "flux": np.concatenate([f for _, f in spectra]),
    } | changes  # fmt: skip
    with h5py.File(folder / "spectra.h5", "w") as file:
        for name, values in arrays.items():
            if values is not None:
                file[name] = values
    return folder
