"""What the tables of a DESI file say of each row: identity, place, time, score, redshift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.observation import Observation
from .fits import FitsFile, Hdu
from .header_values import metadata, valid_sky
from .source import SourceFile

_FIBERMAP = (
    "TARGETID", "TARGET_RA", "TARGET_DEC", "DESINAME", "OBJTYPE", "EXPID", "TILEID", "FIBER",
    "PETAL_LOC", "NIGHT", "MJD", "EXPTIME", "COADD_EXPTIME", "COADD_NUMEXP", "COADD_FIBERSTATUS",
    "FIBERSTATUS", "MIN_MJD", "MAX_MJD", "MORPHTYPE", "EBV",
)  # fmt: skip
_TEXTS = {"DESINAME", "OBJTYPE", "MORPHTYPE"}
_NUMBERS = {"TARGETID", "EXPID", "TILEID", "FIBER", "PETAL_LOC", "NIGHT"}
_REDROCK = ("TARGETID", "Z", "ZERR", "ZWARN", "SPECTYPE", "SUBTYPE", "DELTACHI2")


def arms(fits: FitsFile) -> list[str]:
    """Camera names in file order: those with both a wavelength and a flux HDU."""
    found = [name[: -len("_WAVELENGTH")] for name in fits.names if name.endswith("_WAVELENGTH")]
    return [arm for arm in found if f"{arm}_FLUX" in fits.names]


def lonely(fits: FitsFile) -> list[str]:
    """Names of wavelength and flux HDUs that lack their counterpart."""
    pairs = (("_WAVELENGTH", "_FLUX"), ("_FLUX", "_WAVELENGTH"))
    return [
        name
        for name in fits.names
        for ours, theirs in pairs
        if name.endswith(ours) and name.removesuffix(ours) + theirs not in fits.names
    ]


@dataclass
class Rows:
    """What the tables of the file say of each row."""

    source: SourceFile

    @cached_property
    def table(self) -> dict[str, NDArray[Any]]:
        """Columns of FIBERMAP that are used; {} without that table."""
        hdu = self.source.fits.named("FIBERMAP")
        if hdu is None:
            return {}
        found = {name: hdu.column(name) for name in _FIBERMAP if hdu.has(name)}
        for name, values in found.items():
            kinds = "U" if name in _TEXTS else "iu" if name in _NUMBERS else "iuf"
            if values.ndim != 1 or values.dtype.kind not in kinds:
                raise hdu.file.bad(
                    f"FIBERMAP column {name} has values of the type {values.dtype} and the shape "
                    f"{values.shape[1:]}", "bad_column", hdu.index,
                )  # fmt: skip
        return found

    @cached_property
    def count(self) -> int:
        """Number of rows: objects of a coadd, exposures of a spectra file."""
        hdu = self.source.fits.named("FIBERMAP")
        if hdu is not None:
            return hdu.n_rows
        flux = self.source.fits.named(f"{arms(self.source.fits)[0]}_FLUX")
        return flux.shape[0] if flux is not None and len(flux.shape) == 2 else 0

    @cached_property
    def pipeline(self) -> str | None:
        """``desispec 0.51.4 (fuji)`` from the dependency cards."""
        header = self.source.fits.primary
        found = {}
        for i in range(100):
            name = header.string(f"DEPNAM{i:02d}")
            if name in ("desispec", "SPECPROD"):
                found[name] = header.string(f"DEPVER{i:02d}") or ""
            if name is None and i > 0:
                break
        production = f" ({found['SPECPROD']})" if "SPECPROD" in found else ""
        return f"desispec {found['desispec']}{production}" if "desispec" in found else None

    @cached_property
    def group(self) -> str:
        """How the survey names this set of coadds: healpix or tile group."""
        header = self.source.fits.primary
        healpix = header.get("HPXPIXEL")
        if healpix is not None:
            return "-".join(
                str(x) for x in (header.get("SURVEY"), header.get("PROGRAM"), healpix) if x
            ).lower()
        parts = (header.get("SPGRP"), header.get("TILEID"), header.get("SPGRPVAL"))
        return "-".join(str(x) for x in parts if x is not None)

    @cached_property
    def epochs(self) -> dict[int, tuple[float, float]]:
        """TARGETID → (start of the first, end of the last exposure), MJD."""
        hdu = self.source.fits.named("EXP_FIBERMAP")
        if hdu is None or not hdu.has("TARGETID", "MJD", "EXPTIME"):
            return {}
        start = hdu.column("MJD").astype(np.float64)
        end = start + hdu.column("EXPTIME").astype(np.float64) / 86400.0
        out: dict[int, tuple[float, float]] = {}
        for target, t0, t1 in zip(hdu.column("TARGETID").tolist(), start, end, strict=True):
            if t0 > 0:
                first, last = out.get(target, (t0, t1))
                out[target] = (min(first, float(t0)), max(last, float(t1)))
        return out

    @cached_property
    def redrock(self) -> tuple[str, dict[int, dict[str, Any]]]:
        """Name of the file the redshifts come from, and the redrock row of each TARGETID."""
        fits, name = self.source.fits, ""
        hdu = fits.named("REDSHIFTS")
        if hdu is None and self.source.name.startswith("coadd-"):
            beside = self.source.companion("redrock-" + self.source.name[len("coadd-") :])
            if beside is not None and beside.is_fits:
                hdu, name = beside.fits.named("REDSHIFTS"), beside.name
        if hdu is None or not hdu.has("TARGETID", "Z"):
            return name, {}
        columns = {key: hdu.column(key).tolist() for key in _REDROCK if hdu.has(key)}
        keys = list(columns)
        rows = (dict(zip(keys, row, strict=True)) for row in zip(*columns.values(), strict=True))
        return name, {row["TARGETID"]: row for row in rows}

    @cached_property
    def scores(self) -> Hdu | None:
        """The SCORES table, if it has a row for each spectrum."""
        hdu = self.source.fits.named("SCORES")
        return hdu if hdu is not None and hdu.n_rows == self.count else None

    @cached_property
    def _snr(self) -> dict[str, tuple[str, NDArray[Any]]]:
        return {}

    @cached_property
    def repeated(self) -> frozenset[int]:
        """TARGETIDs on several rows although the file is no set of exposures."""
        ids, counts = np.unique(self.table.get("TARGETID", np.empty(0, int)), return_counts=True)
        return frozenset(ids[counts > 1].tolist())

    def value(self, name: str, row: int, default: Any = None) -> Any:
        """A fibermap cell as a Python value."""
        column = self.table.get(name)
        return default if column is None else column[row].item()

    def snr(self, row: int, arm: str) -> tuple[float | None, str | None]:
        """Median signal to noise per pixel as the pipeline scored it, and the score's name."""
        if arm not in self._snr and self.scores is not None:
            for name in (f"MEDIAN_COADD_SNR_{arm}", f"MEDIAN_CALIB_SNR_{arm}"):
                if self.scores.has(name):
                    self._snr[arm] = (name, self.scores.column(name))
                    break
        if arm not in self._snr:
            return None, None
        name, column = self._snr[arm]
        value = float(column[row])
        return (value, name) if np.isfinite(value) else (None, None)

    def warnings(self, row: int) -> tuple[str, ...]:
        """What a user of this row should know."""
        out = []
        if self.sky(row) == (None, None):
            out.append("no coordinates")
        name, rows = self.redrock
        if name and self.value("TARGETID", row) in rows:
            out.append(f"redshift and class from {name} beside the file")
        return tuple(out)

    def sky(self, row: int) -> tuple[float | None, float | None]:
        """(ra, dec), deg."""
        return valid_sky(self.value("TARGET_RA", row), self.value("TARGET_DEC", row))

    def identifier(self, row: int, arm: str) -> str | None:
        """The survey's id: exposure and target for ``spectra``, group and target for ``coadd``."""
        target = self.value("TARGETID", row)
        if target is None:
            return None
        exposure = self.value("EXPID", row)
        if exposure is not None:
            parts = [f"{exposure:08d}", str(target), *self._fibre(row)]
        else:
            parts = [self.group, str(target)]
            if target in self.repeated:
                parts.append(f"row{row}")
        return "-".join([*(p for p in parts if p), arm.lower()])

    def _fibre(self, row: int) -> list[str]:
        fibre = self.value("FIBER", row)
        return [] if fibre is None else [str(fibre)]

    def times(self, row: int) -> tuple[float | None, float | None, float | None]:
        """(t_min, t_max, t_exptime): MJD, MJD, s."""
        exptime = self.value("COADD_EXPTIME", row, self.value("EXPTIME", row))
        mjd = self.value("MJD", row)
        if mjd is not None:
            return mjd, mjd + (exptime or 0.0) / 86400.0, exptime
        start, end = self.epochs.get(self.value("TARGETID", row), (None, None))
        if start is None:
            start, end = self.value("MIN_MJD", row), self.value("MAX_MJD", row)
        return start, end, exptime

    def observation(self, row: int, arm: str, resolving_power: float | None) -> Observation:
        """The catalogue row."""
        header = self.source.fits.primary
        ra, dec = self.sky(row)
        t_min, t_max, exptime = self.times(row)
        snr, snr_source = self.snr(row, arm)
        redrock = self.redrock[1].get(self.value("TARGETID", row), {})
        objtype = (self.value("OBJTYPE", row) or "").strip()
        # redrock fits noise in sky fibres too: what was targeted decides
        label = "SKY" if objtype == "SKY" else redrock.get("SPECTYPE") or None
        redshift = None if objtype == "SKY" else redrock.get("Z")
        exposures = "EXPID" in self.table
        target = self.value("TARGETID", row)
        return Observation(
            obs_collection=self.source.options.collection
            or ("DESI-exposure" if exposures else "DESI-coadd"),
            obs_id=self.identifier(row, arm),
            target_name=self.value("DESINAME", row) or (None if target is None else str(target)),
            target_class=label,
            s_ra=ra, s_dec=dec, t_min=t_min, t_max=t_max, t_exptime=exptime,
            em_res_power=resolving_power,
            facility_name="Mayall", instrument_name="DESI",
            calib_level=2 if exposures else 3,
            snr=snr, snr_source=snr_source,
            redshift=redshift,
            metadata=MappingProxyType(metadata(
                targetid=None if target is None else str(target),  # beyond 2**53
                arm=arm.lower(), objtype=objtype or None,
                survey=header.get("SURVEY"), program=header.get("PROGRAM"),
                healpix=header.get("HPXPIXEL"),
                tileid=self.value("TILEID", row, header.get("TILEID")),
                expid=self.value("EXPID", row), night=self.value("NIGHT", row),
                fiber=self.value("FIBER", row), petal=self.value("PETAL_LOC", row),
                fiberstatus=self.value("COADD_FIBERSTATUS", row, self.value("FIBERSTATUS", row)),
                numexp=self.value("COADD_NUMEXP", row), morphtype=self.value("MORPHTYPE", row),
                ebv=self.value("EBV", row), z_err=redrock.get("ZERR"),
                zwarning=redrock.get("ZWARN"), subclass=redrock.get("SUBTYPE"),
                deltachi2=redrock.get("DELTACHI2"),
            )),
        )  # fmt: skip
