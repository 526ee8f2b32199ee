"""SDSS spectra in images: spPlate (one row a fibre) and the old spSpec (one file a fibre)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import FluxCalibration, Normalisation, Spectrum, UncertaintyKind
from .fits import FitsFile, Hdu, Header
from .header_values import metadata, provenance, valid_sky
from .registry import CERTAIN, Item, Reader
from .sdss_common import (
    SPPIXMASK,
    flux_unit_of,
    log_axis,
    resolving_power,
    time_span,
    utc_of_tai,
)
from .source import SourceFile

_FULL_PLATES = (320, 500, 640, 1000)
"""Fibres of a complete plate (a spectrograph alone: half): there row i is fibre i + 1."""
_SPEC_CLN = ("UNKNOWN", "STAR", "GALAXY", "QSO", "HIZ_QSO", "SKY", "STAR_LATE", "GAL_EM")
_CLASS_OF = {"STAR_LATE": "STAR", "HIZ_QSO": "QSO", "GAL_EM": "GALAXY"}


def _is_log_image(source: SourceFile) -> bool:
    if not source.is_fits:
        return False
    hdu = source.fits[0]
    header = hdu.header
    return (
        len(hdu.axes) == 2
        and hdu.axes[0] > 1
        and "COEFF0" in header
        and "COEFF1" in header
        and ("PLATEID" in header or "FIELDID" in header)
    )


def _recognise_plate(source: SourceFile) -> int:
    if not _is_log_image(source):
        return 0
    header = source.fits.primary  # RAOBJ and FIBERID belong to one object: rows are no fibres
    return 0 if "FIBERID" in header or "RAOBJ" in header else CERTAIN


def _recognise_spspec(source: SourceFile) -> int:
    if not _is_log_image(source) or not 4 <= source.fits[0].axes[1] <= 6:
        return 0
    return CERTAIN if "FIBERID" in source.fits.primary else 0


def _matching(fits: FitsFile, index: int, kinds: str) -> Hdu | None:
    """HDU `index` if it is an image of the flux's shape holding what is expected there."""
    if index >= len(fits):
        return None
    hdu = fits[index]
    fits_kind = "f" if hdu.bitpix < 0 else "i"
    return hdu if hdu.kind == "image" and hdu.axes == fits[0].axes and fits_kind in kinds else None


def _read_plate(source: SourceFile) -> Iterator[Item]:
    fits = source.fits
    header = fits.primary
    n_pix, n_rows = fits[0].axes
    axis = log_axis(header, n_pix, source, where=source.where)
    unit, span = flux_unit_of(header), time_span(header)
    step = abs(header.number("COEFF1") or 1e-4)
    ivar, andmask = _matching(fits, 1, "f"), _matching(fits, 2, "i")
    planes = {"or_mask": _matching(fits, 3, "i"), "wdisp": _matching(fits, 4, "f"),
              "sky": _matching(fits, 6, "f")}  # fmt: skip
    plugmap = _Plugmap(fits, n_rows)
    for row in range(n_rows):
        extras = {name: hdu.image_row(row) for name, hdu in planes.items() if hdu is not None}
        power = resolving_power(extras["wdisp"], step) if "wdisp" in extras else None
        observation = _fibre(source, header, plugmap, row, span, power)
        notes = () if observation.s_ra is not None else ("no coordinates",)
        yield Spectrum(
            axis=axis, flux=fits[0].image_row(row), flux_unit=unit,
            uncertainty=None if ivar is None else ivar.image_row(row),
            uncertainty_kind=UncertaintyKind.NONE if ivar is None else UncertaintyKind.IVAR,
            flags=None if andmask is None else andmask.image_row(row),
            flag_scheme=None if andmask is None else SPPIXMASK,
            extras=extras, observation=observation,
            provenance=provenance(source, "sdss-plate", hdu=0, row=row, warnings=notes,
                                  pipeline=_pipeline(header)),
            flux_calibration=FluxCalibration.ABSOLUTE, normalisation=Normalisation.NONE,
        )  # fmt: skip


class _Plugmap:
    """Columns of HDU 5, one row a fibre, read once."""

    def __init__(self, fits: FitsFile, n_rows: int) -> None:
        table = fits[5] if len(fits) > 5 and fits[5].kind == "table" else None
        self.present = table is not None and table.has("fiberid") and table.n_rows == n_rows
        self._columns: dict[str, list[Any]] = {}
        if table is not None and self.present:
            for name in ("fiberid", "ra", "dec", "objtype", "sourcetype", "catalogid"):
                column = table.find(name)
                if column is not None and column.shape == ():
                    self._columns[name] = table.column(name).tolist()

    def cell(self, name: str, row: int) -> Any:
        """One value, or None if there is no such column."""
        column = self._columns.get(name)
        return None if column is None else column[row]


def _fibre(
    source: SourceFile, header: Header, plugmap: _Plugmap, row: int,
    span: tuple[float | None, float | None], power: float | None,
) -> Observation:  # fmt: skip
    ra, dec = valid_sky(plugmap.cell("ra", row), plugmap.cell("dec", row))
    kind = plugmap.cell("objtype", row)
    fiber = plugmap.cell("fiberid", row)
    if not plugmap.present and source.fits[0].axes[1] in _FULL_PLATES:
        fiber = row + 1
    catalogid = plugmap.cell("catalogid", row)
    plate, mjd = header.number("PLATEID", "FIELDID"), header.number("MJD")
    obs_id = None
    if plate is not None and mjd is not None:
        last = f"row{row:04d}" if fiber is None else f"{fiber:04d}"
        obs_id = f"{int(plate):04d}-{int(mjd)}-{last}"
        if catalogid and "PLATEID" not in header:
            obs_id = f"{int(plate):06d}-{int(mjd)}-{catalogid}"
    return Observation(
        obs_collection=source.options.collection or "SDSS", obs_id=obs_id,
        target_class="SKY" if str(kind or "").strip().upper() == "SKY" else None,
        s_ra=ra, s_dec=dec, t_min=span[0], t_max=span[1],
        t_exptime=header.number("EXPTIME"), em_res_power=power,
        facility_name=header.string("TELESCOP") or "SDSS 2.5-M", airmass=header.number("AIRMASS"),
        metadata=metadata(objtype=kind, sourcetype=plugmap.cell("sourcetype", row),
                          fiberid=fiber, helio_rv_kms=header.number("HELIO_RV"),
                          mjd=header.get("MJD")),
    )  # fmt: skip


def _pipeline(header: Header) -> str | None:
    version = header.string("RUN2D", "VERS2D", "VERSCOMB", "VERSION")
    return f"idlspec2d {version}" if version else None


def _read_spspec(source: SourceFile) -> Iterator[Item]:
    header, rows = source.fits.primary, source.fits[0].image()
    extras = {"continuum_subtracted": rows[1]}
    extras |= {f"row_{i}": rows[i] for i in range(4, len(rows))}
    observation = _spspec_observation(source, header)
    yield Spectrum(
        axis=log_axis(header, rows.shape[1], source, where=source.where),
        flux=rows[0], flux_unit=flux_unit_of(header),
        uncertainty=rows[2], uncertainty_kind=UncertaintyKind.STD,
        flags=integer_flags(rows[3], source.where), flag_scheme=SPPIXMASK, extras=extras,
        observation=observation,
        provenance=provenance(
            source, "sdss-spspec", hdu=0, pipeline=_pipeline(header),
            warnings=() if observation.s_ra is not None else ("no coordinates",),
        ),
        flux_calibration=FluxCalibration.ABSOLUTE, normalisation=Normalisation.NONE,
    )  # fmt: skip


def _spspec_observation(source: SourceFile, header: Header) -> Observation:
    ra, dec = valid_sky(header.number("RAOBJ"), header.number("DECOBJ"))
    t_min, t_max = time_span(header)
    plate, mjd, fiber = (header.number(key) for key in ("PLATEID", "MJD", "FIBERID"))
    known = plate is not None and mjd is not None and fiber is not None
    number = header.get("SPEC_CLN")
    name = _SPEC_CLN[number] if isinstance(number, int) and 0 <= number < 8 else None
    found = _CLASS_OF.get(name, name) if name not in (None, "UNKNOWN") else None
    snr = header.number("SN_R")
    return Observation(
        obs_collection=source.options.collection or "SDSS",
        obs_id=f"{int(plate):04d}-{int(mjd)}-{int(fiber):04d}" if known else None,  # type: ignore[arg-type]
        target_class=found, s_ra=ra, s_dec=dec, t_min=t_min, t_max=t_max,
        t_exptime=header.number("EXPTIME"), instrument_name="SDSS",
        facility_name=header.string("TELESCOP") or "SDSS 2.5-M",
        snr=snr, snr_source=None if snr is None else "SN_R",
        redshift=None if found == "SKY" else header.number("Z"), airmass=header.number("AIRMASS"),
        metadata=metadata(
            z_err=header.number("Z_ERR"), z_conf=header.number("Z_CONF"), spec_cln=name,
            zwarning=header.get("Z_WARNIN"), objtype=header.string("OBJTYPE"),
            vdisp=header.number("VEL_DIS"), mjd=header.get("MJD"),
            helio_rv_kms=header.number("HELIO_RV"), t_mean_mjd=utc_of_tai(header.number("TAI")),
        ),
    )  # fmt: skip


def integer_flags(values: NDArray[Any], where: str) -> NDArray[np.int32]:
    """Bits that an image stores as floats. Raises DataError (bad_flags) if they are no integers."""
    with np.errstate(invalid="ignore"):  # not-a-numbers, which the comparison finds
        flags = values.astype(np.int32)
        whole = np.array_equal(flags, values)
    if not whole:
        raise DataError("the mask row holds values that are no bit patterns", code="bad_flags",
                        where=where, remedy="fetch the file again")  # fmt: skip
    return flags


_SPECUTILS = "specutils' loader drops the medium and reads only files of the usual name"
PLATE_READERS: tuple[Reader, ...] = (
    Reader(
        name="sdss-plate",
        title="SDSS/BOSS spPlate: all fibres of a plate",
        recognise=_recognise_plate,
        read=_read_plate,
        medium="vacuum (documented; VACUUM in the header)",
        frame="HELIOCEN (documented; HELIO_RV was applied)",
        uncertainty="ivar (HDU 1); unknown where a file has the flux only",
        mask="AND mask (HDU 2), SPPIXMASK bits as for sdss; OR mask kept as an extra",
        why_own=_SPECUTILS,
        source="data.sdss.org/datamodel: BOSS_SPECTRO_REDUX/RUN2D/PLATE4/spPlate",
    ),
    Reader(
        name="sdss-spspec",
        title="SDSS-I/II spSpec (DR1-DR7): one image, rows flux, continuum-subtracted, σ, mask",
        recognise=_recognise_spspec,
        read=_read_spspec,
        medium="vacuum (documented)",
        frame="HELIOCEN (documented; HELIO_RV was applied)",
        uncertainty="standard deviation (row 3); 0 = no information",
        mask="row 4, SPPIXMASK bits (stored as float32: the lowest bits of large values are lost)",
        why_own=_SPECUTILS,
        source="classic.sdss.org/dr7/products/spectra/read_spSpec (4 rows; further ones are kept "
        "as extras row_4 …)",
    ),
)
