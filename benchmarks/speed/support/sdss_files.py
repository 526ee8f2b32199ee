"""SDSS ``spec-lite`` files made to the published layout: one template, patched per file.

Every file has its own PLATE-MJD-FIBER, position, flux and inverse variance, and one of 60 log λ
grids, as in the survey, where grids start at whole steps of 1e-4 dex.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

N_PIX = 4600
N_GRIDS = 60
_LABELS: dict[str, Any] = {
    "SURVEY": "boss", "INSTRUMENT": "BOSS", "PROGRAMNAME": "boss", "PLATEQUALITY": "good",
    "PLATE": 3586, "MJD": 55181, "FIBERID": 1, "SPECOBJID": 4037423512348952576,
    "OBJTYPE": "GALAXY", "SOURCETYPE": "LRG", "TARGETTYPE": "SCIENCE", "THING_ID": 83714285,
    "PLUG_RA": 31.282286, "PLUG_DEC": 26.582945, "RUN2D": "v5_13_0", "CLASS": "GALAXY",
    "SUBCLASS": "", "Z": np.float32(0.4812), "Z_ERR": np.float32(1.2e-4), "ZWARNING": 0,
    "RCHI2": np.float32(1.04), "VDISP": np.float32(211.0), "VDISP_ERR": np.float32(22.0),
    "Z_NOQSO": np.float32(0.4812), "CLASS_NOQSO": "GALAXY", "SN_MEDIAN_ALL": np.float32(6.5),
    "ELODIE_TEFF": np.float32(0.0), "ELODIE_LOGG": np.float32(0.0),
    "ELODIE_FEH": np.float32(0.0), "ELODIE_SPTYPE": "",
}  # fmt: skip
_CARDS: dict[str, Any] = {
    "TELESCOP": "SDSS 2.5-M", "FLAVOR": "science", "PLATEID": 3586, "MJD": 55181,
    "MJDLIST": "55180 55181", "NAME": "3586-55181-01", "TILEID": 16204, "CARTID": 11,
    "RA": 29.815837, "DEC": 27.250524, "EQUINOX": 2000.0, "RADECSYS": "FK5", "AIRMASS": 1.1234,
    "TAI-BEG": 4767690000.0, "TAI-END": 4767699000.0, "EXPTIME": 8100.65, "VERS2D": "v5_13_0",
    "VERSCOMB": "v5_13_0", "RUN2D": "v5_13_0", "HELIO_RV": 10.2460566157, "VACUUM": True,
    "SFLATTEN": True, "PSFSKY": 3, "COEFF0": 3.5534, "COEFF1": 1e-4, "WFITTYPE": "LOG-LINEAR",
    "BUNIT": "1E-17 erg/cm^2/s/Ang", "PLUG_RA": 31.282286, "PLUG_DEC": 26.582945,
    "THING_ID": 83714285, "FIBERID": 1, "NEXP": 8,
}  # fmt: skip


class SpecLite:
    """A template and the offsets at which it is patched.

    label_columns : columns of the SPALL table; those beyond the ones that mean something to a
        reader are fillers (the survey's own tables have 126 or 236)
    """

    def __init__(self, label_columns: int = 30, n_pix: int = N_PIX, seed: int = 0) -> None:
        self._n = n_pix
        self._rng = np.random.default_rng(seed)
        self._bytes = bytearray(_template(self._rng, label_columns, n_pix))
        with fits.open(io.BytesIO(bytes(self._bytes))) as hdus:
            self._table = hdus[1].header, hdus[1].fileinfo()["datLoc"]
            self._labels = hdus[2].fileinfo()["datLoc"]
            layout = hdus[2].columns.dtype.newbyteorder(">")
        raw = np.frombuffer(self._bytes, "u1")
        rows = self._table[1]
        self.rows = raw[rows : rows + n_pix * 32].view(_ROW)
        self.label = raw[self._labels : self._labels + layout.itemsize].view(layout)
        self._flux = self.rows["flux"].copy()

    def __len__(self) -> int:
        return len(self._bytes)

    def nth(self, i: int) -> bytes:
        """File number i."""
        plate, mjd, fiber = 3500 + i // 1000, 55100 + (i // 1000) % 500, 1 + i % 1000
        ra, dec = (i * 137.50776405) % 360.0, -10.0 + (i * 0.0617) % 70.0
        start = 3.5534 + 1e-4 * (i % N_GRIDS)
        self.rows["loglam"] = start + 1e-4 * np.arange(self._n)
        self.rows["flux"] = self._flux + self._rng.standard_normal(self._n, np.float32)
        self.rows["ivar"] = self._rng.random(self._n, np.float32) + 0.5
        for key, value in (("PLATEID", plate), ("MJD", mjd), ("FIBERID", fiber),
                           ("PLUG_RA", ra), ("PLUG_DEC", dec), ("COEFF0", start)):  # fmt: skip
            self._card(key, value)
        labels = {"PLATE": plate, "MJD": mjd, "FIBERID": fiber, "PLUG_RA": ra, "PLUG_DEC": dec}
        for key, value in (labels | {"Z": 1e-4 * (i % 9000)}).items():
            self.label[key] = value
        return bytes(self._bytes)

    def _card(self, key: str, value: float) -> None:
        at = self._bytes.index(b"%-8b= " % key.encode())
        self._bytes[at + 10 : at + 30] = b"%20b" % repr(round(value, 8)).encode()


_ROW = np.dtype([
    ("flux", ">f4"), ("loglam", ">f4"), ("ivar", ">f4"), ("and_mask", ">i4"),
    ("or_mask", ">i4"), ("wdisp", ">f4"), ("sky", ">f4"), ("model", ">f4"),
])  # fmt: skip


def _template(rng: np.random.Generator, label_columns: int, n_pix: int) -> bytes:
    primary = fits.PrimaryHDU()
    for key, value in _CARDS.items():
        primary.header[key] = value
    rows = np.zeros(n_pix, _ROW)
    x = np.linspace(0, 1, n_pix)
    rows["flux"] = 20 + 10 * np.sin(5 * x) + 30 * np.exp(-(((x - 0.4) / 0.001) ** 2))
    rows["model"], rows["sky"] = rows["flux"], rng.uniform(1, 9, n_pix)
    rows["wdisp"] = 0.9 + 0.2 * x
    rows["and_mask"][::97] = 1 << 23
    rows["or_mask"] = rows["and_mask"]
    rows["or_mask"][::31] |= 1 << 16
    labels = dict(list(_LABELS.items())[:label_columns])
    for i in range(label_columns - len(labels)):
        labels[f"FILLER_{i}"] = np.float32(i)
    lines = np.zeros(29, dtype=[("PLATE", ">i4"), ("MJD", ">i4"), ("FIBERID", ">i4"),
                                ("LINENAME", "S13"), ("LINEWAVE", ">f8"),
                                *((f"LINE_{i}", ">f4") for i in range(14))])  # fmt: skip
    hdus = fits.HDUList([
        primary, fits.BinTableHDU(rows, name="COADD"),
        fits.BinTableHDU(_one_row(labels), name="SPALL"), fits.BinTableHDU(lines, name="SPZLINE"),
    ])  # fmt: skip
    out = io.BytesIO()
    hdus.writeto(out)
    return out.getvalue()


def _one_row(values: dict[str, Any]) -> np.ndarray[Any, Any]:
    kinds = {str: "S19", int: ">i8", float: ">f8", np.float32: ">f4"}
    dtype = [(name, kinds[type(value)]) for name, value in values.items()]
    return np.array([tuple(values.values())], dtype=dtype)


def write_files(
    folder: Path, n: int, label_columns: int = 30, n_pix: int = N_PIX, first: int = 0
) -> list[str]:
    """Files number first … first + n in subfolders of 1000; their paths."""
    made = SpecLite(label_columns, n_pix)
    paths = []
    for i in range(first, first + n):
        below = folder / f"{3500 + i // 1000}"
        if i % 1000 == 0 or not paths:
            below.mkdir(parents=True, exist_ok=True)
        path = below / f"spec-{i:07d}.fits"
        path.write_bytes(made.nth(i))
        paths.append(str(path))
    return paths
