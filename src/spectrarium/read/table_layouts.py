"""Tables whose meaning is in a document, not in the file: what each document says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..domain.axis import Medium, Scale, SpecSys
from ..domain.errors import DataError
from ..domain.observation import Observation
from ..domain.spectrum import FluxCalibration, Normalisation, UncertaintyKind
from .fits import Hdu, Header
from .header_values import metadata
from .table_columns import Roles
from .table_rows import Facts

FLAM = "erg s-1 cm-2 Angstrom-1"


@dataclass(frozen=True, slots=True)
class Layout:
    """One documented table.

    matches : of the names of a table (lower case) and its primary header
    roles, facts : of a table that matches · collection : None = the instrument's name
    complete : the observation with what only this format's headers say
    """

    name: str
    matches: Callable[[frozenset[str], Header], bool]
    roles: Callable[[frozenset[str]], Roles]
    facts: Callable[[Hdu], Facts]
    collection: str | None = None
    complete: Callable[[Observation, Hdu], Observation] = lambda base, hdu: base


def _is_calspec(names: frozenset[str], primary: Header) -> bool:
    said = (primary.get("DBTABLE"), primary.get("MAPKEY"))
    return {"wavelength", "flux"} <= names and ("CRSPECTRUM" in said or "calspec" in said)


def _calspec_roles(names: frozenset[str]) -> Roles:
    has_error = "staterror" in names
    return Roles(
        "WAVELENGTH", "FLUX",
        error="STATERROR" if has_error else None,
        error_kind=UncertaintyKind.STD if has_error else UncertaintyKind.NONE,
        flags="DATAQUAL" if "dataqual" in names else None,
    )  # fmt: skip


def _calspec_facts(hdu: Hdu) -> Facts:
    # no exposure went into these pixels (TOTEXP is 0 there) and HISTORY names the model
    notes = ("where STATERROR is 0 the flux is a model's beyond the observed range: masked",)
    return Facts("calspec", wave_unit="Angstrom", flux_unit=FLAM, medium=Medium.VACUUM,
                 calibration=FluxCalibration.ABSOLUTE, normalisation=Normalisation.NONE,
                 good_value=1, notes=notes)  # fmt: skip


def _calspec_complete(base: Observation, hdu: Hdu) -> Observation:
    primary = hdu.file.primary
    name = primary.string("FILENAME")
    stem = name.rsplit(".fit", 1)[0] if name else None
    return replace(
        base, obs_id=stem, target_name=primary.string("TARGETID"), facility_name="HST",
        calib_level=3, airmass=None,
        metadata=metadata(
            description=primary.string("DESCRIP"), pedigree=primary.string("PEDIGREE")
        ),
    )  # fmt: skip


def _pyhammer_complete(base: Observation, hdu: Hdu) -> Observation:
    return replace(base, calib_level=4, facility_name="SDSS")


CALSPEC = Layout("calspec", _is_calspec, _calspec_roles, _calspec_facts, "CALSPEC",
                 _calspec_complete)  # fmt: skip
PYHAMMER = Layout(
    "pyhammer-template",
    lambda names, primary: names == {"loglam", "flux", "properr", "std"},
    lambda names: Roles("LogLam", "Flux", Scale.LOG10, "PropErr", UncertaintyKind.STD),
    lambda hdu: Facts("pyhammer-template", wave_unit="Angstrom", flux_unit="",
                      medium=Medium.VACUUM, specsys=SpecSys.SOURCE,
                      calibration=FluxCalibration.RELATIVE, normalisation=Normalisation.SCALED),
    "SDSS-templates-Kesseli2017", _pyhammer_complete,
)  # fmt: skip
SPECMATCH = Layout(
    "specmatch-emp",
    lambda names, primary: names in ({"s", "w", "serr"}, {"s", "w", "serr", "mask"}),
    # its `mask` marks tellurics in one version and good pixels in another: kept as an extra only
    lambda names: Roles("w", "s", error="serr", error_kind=UncertaintyKind.STD),
    lambda hdu: Facts("specmatch-emp", wave_unit="Angstrom", flux_unit="",
                      calibration=FluxCalibration.NORMALIZED,
                      normalisation=Normalisation.CONTINUUM_DIVIDED),
    "SpecMatch-Emp",
    lambda base, hdu: replace(base, facility_name="Keck", instrument_name="HIRES", calib_level=3),
)  # fmt: skip
_ONESPEC = frozenset({"wave", "wave_grid_mid", "flux", "ivar", "mask"})


def _pypeit_roles(names: frozenset[str]) -> Roles:
    if names >= _ONESPEC:
        return Roles("wave", "flux", error="ivar", error_kind=UncertaintyKind.IVAR, flags="mask")
    for way in ("OPT", "BOX"):  # optimal before boxcar, fluxed before counts
        for what in ("FLAM", "COUNTS"):
            flux, ivar, mask = f"{way}_{what}", f"{way}_{what}_IVAR", f"{way}_MASK"
            if flux.lower() in names:
                known = ivar.lower() in names
                return Roles(
                    f"{way}_WAVE", flux, error=ivar if known else None,
                    error_kind=UncertaintyKind.IVAR if known else UncertaintyKind.NONE,
                    flags=mask if mask.lower() in names else None,
                )  # fmt: skip
    raise DataError("no extracted flux among the columns", code="no_column",
                    remedy="fetch the file again")  # fmt: skip


def _is_pypeit(names: frozenset[str], primary: Header) -> bool:
    if names >= _ONESPEC:
        return True
    return any(
        f"{way}_wave" in names and (f"{way}_flam" in names or f"{way}_counts" in names)
        for way in ("opt", "box")
    )


def _pypeit_facts(hdu: Hdu) -> Facts:
    names = frozenset(c.lower() for c in hdu.columns)
    counts = hdu.header.get("FLUXED") is False or "COUNTS" in _pypeit_roles(names).flux
    frame = hdu.header.string("VEL_TYPE", "REFFRAME") or ""
    return Facts(
        "pypeit", wave_unit="Angstrom", flux_unit="ct" if counts else f"1e-17 {FLAM}",
        medium=Medium.VACUUM,
        specsys={"heliocentric": SpecSys.HELIOCEN, "barycentric": SpecSys.BARYCENT}.get(
            frame.lower(), SpecSys.UNKNOWN),
        calibration=FluxCalibration.UNCALIBRATED if counts else FluxCalibration.ABSOLUTE,
        good_value=1, pipeline="PypeIt",
    )  # fmt: skip


def _pypeit_complete(base: Observation, hdu: Hdu) -> Observation:
    name = hdu.file.primary.string("FILENAME")
    return replace(base, obs_id=name.split(".fit", 1)[0] if name else base.obs_id)


PYPEIT = Layout("pypeit", _is_pypeit, _pypeit_roles, _pypeit_facts, None, _pypeit_complete)
LAYOUTS = (CALSPEC, PYHAMMER, SPECMATCH, PYPEIT)
