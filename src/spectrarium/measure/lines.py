"""Names, labels and vacuum wavelengths of the lines that people look for in spectra."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ..domain.errors import UsageError

WIDTH_KMS = 1500.0
"""Half-width of the window around a line unless another is given."""


class LineKind(StrEnum):
    """Where a line is at home; many are at home in more than one place."""

    HYDROGEN = "hydrogen"
    NEBULAR = "nebular"
    QUASAR = "quasar"
    STELLAR = "stellar"
    SKY = "sky"
    TELLURIC = "telluric"


@dataclass(frozen=True, slots=True)
class Line:
    """A spectral line or band.

    name : unique, plain ASCII (``H_alpha``) · label : short, for plots (``Hα``)
    wave_vac_aa : rest wavelength in vacuum, Å; a blend's is the mean of its components, a band's
        that of its head · weight : 1 strongest … 3 weak: which labels to drop first
    """

    name: str
    label: str
    wave_vac_aa: float
    kind: LineKind
    weight: int = 1


def _lines(kind: LineKind, text: str) -> tuple[Line, ...]:
    rows = (row.split("|") for row in text.strip().splitlines())
    return tuple(Line(r[0].strip(), r[1].strip(), float(r[2]), kind, int(r[3])) for r in rows)


# NIST Atomic Spectra Database 5 (Ritz) for ultraviolet lines in vacuum and, converted from air
# with Morton 2000, for the others; [O III], [N II], [S II] … as in the SDSS DR8 line table.
_HYDROGEN = """
Ly_alpha   | Lyα   | 1215.670  | 1
Ly_beta    | Lyβ   | 1025.722  | 2
H_alpha    | Hα    | 6564.632  | 1
H_beta     | Hβ    | 4862.691  | 1
H_gamma    | Hγ    | 4341.691  | 1
H_delta    | Hδ    | 4102.900  | 1
H_epsilon  | Hε    | 3971.202  | 2
H_8        | H8    | 3890.151  | 3
H_9        | H9    | 3836.479  | 3
H_10       | H10   | 3798.982  | 3
Pa_alpha   | Paα   | 18756.13  | 1
Pa_beta    | Paβ   | 12821.58  | 1
Pa_gamma   | Paγ   | 10941.08  | 2
Pa_delta   | Paδ   | 10052.12  | 2
Pa_8       | P8    | 9548.59   | 3
Pa_9       | P9    | 9231.55   | 3
Br_gamma   | Brγ   | 21661.20  | 1
"""
_NEBULAR = """
OII_3727   | [O II]   | 3727.092 | 1
OII_3730   | [O II]   | 3729.875 | 1
NeIII_3870 | [Ne III] | 3869.857 | 2
OIII_4364  | [O III]  | 4364.436 | 2
HeII_4687  | He II    | 4687.015 | 2
OIII_4960  | [O III]  | 4960.295 | 1
OIII_5008  | [O III]  | 5008.240 | 1
NII_5756   | [N II]   | 5756.236 | 3
HeI_5877   | He I     | 5877.250 | 2
OI_6302    | [O I]    | 6302.046 | 2
OI_6366    | [O I]    | 6365.535 | 3
NII_6550   | [N II]   | 6549.859 | 2
NII_6585   | [N II]   | 6585.269 | 1
SII_6718   | [S II]   | 6718.294 | 1
SII_6733   | [S II]   | 6732.674 | 1
HeI_7067   | He I     | 7067.138 | 3
ArIII_7138 | [Ar III] | 7137.757 | 3
SIII_9071  | [S III]  | 9071.089 | 2
SIII_9533  | [S III]  | 9533.214 | 2
HeI_10833  | He I     | 10833.31 | 1
FeII_12570 | [Fe II]  | 12570.24 | 2
H2_21218   | H2       | 21218.34 | 2
"""
_QUASAR = """
OVI_1034   | O VI    | 1033.816  | 2
NV_1240    | N V     | 1240.81   | 2
OI_1304    | O I     | 1304.35   | 3
CII_1335   | C II    | 1335.31   | 3
SiIV_1398  | Si IV   | 1397.61   | 2
CIV_1549   | C IV    | 1549.48   | 1
HeII_1640  | He II   | 1640.420  | 2
AlIII_1857 | Al III  | 1857.40   | 3
CIII_1909  | C III]  | 1908.734  | 1
CII_2326   | C II]   | 2326.00   | 3
MgII_2799  | Mg II   | 2799.117  | 1
NeV_3347   | [Ne V]  | 3346.783  | 3
NeV_3427   | [Ne V]  | 3426.863  | 3
"""
_STELLAR = """
CN_3883    | CN      | 3884.5   | 3
CaII_K     | Ca K    | 3934.777 | 1
CaII_H     | Ca H    | 3969.592 | 1
HeI_4027   | He I    | 4027.329 | 2
SrII_4079  | Sr II   | 4078.860 | 3
CaI_4228   | Ca I    | 4227.918 | 2
G_band     | G       | 4305.61  | 1
FeI_4385   | Fe I    | 4384.777 | 2
HeI_4473   | He I    | 4472.735 | 2
MgII_4482  | Mg II   | 4482.383 | 2
HeII_4543  | He II   | 4542.864 | 3
BaII_4555  | Ba II   | 4555.306 | 3
NIII_4642  | N III   | 4641.94  | 3
TiO_4955   | TiO     | 4956.4   | 2
FeII_5170  | Fe II   | 5170.473 | 3
MgI_b3     | Mg b    | 5168.761 | 2
MgI_b2     | Mg b    | 5174.125 | 1
MgI_b1     | Mg b    | 5185.048 | 2
FeI_5271   | Fe I    | 5271.004 | 2
HeII_5413  | He II   | 5413.020 | 3
CIV_5803   | C IV    | 5802.939 | 3
NaI_D2     | Na D    | 5891.583 | 1
NaI_D1     | Na D    | 5897.558 | 2
TiO_6160   | TiO     | 6160.5   | 2
SiII_6349  | Si II   | 6348.864 | 3
HeI_6680   | He I    | 6679.995 | 2
LiI_6710   | Li I    | 6709.667 | 2
TiO_7055   | TiO     | 7055.9   | 1
KI_7667    | K I     | 7667.009 | 3
KI_7701    | K I     | 7701.084 | 3
OI_7776    | O I     | 7776.305 | 2
NaI_8186   | Na I    | 8185.505 | 3
NaI_8197   | Na I    | 8197.077 | 2
OI_8449    | O I     | 8448.680 | 3
CaII_8500  | Ca II   | 8500.358 | 1
CaII_8544  | Ca II   | 8544.438 | 1
CaII_8664  | Ca II   | 8664.520 | 1
"""
_OBSERVER = """
OI_sky_5579 | [O I] sky | 5578.887 | 1
Na_sky_5891 | Na sky    | 5891.583 | 2
OI_sky_6302 | [O I] sky | 6302.046 | 2
OI_sky_6366 | [O I] sky | 6365.535 | 3
"""
_TELLURIC = """
O2_B        | O2 B      | 6869.1   | 1
O2_A        | O2 A      | 7596.0   | 1
"""

LINES: tuple[Line, ...] = (
    *_lines(LineKind.HYDROGEN, _HYDROGEN),
    *_lines(LineKind.NEBULAR, _NEBULAR),
    *_lines(LineKind.QUASAR, _QUASAR),
    *_lines(LineKind.STELLAR, _STELLAR),
    *_lines(LineKind.SKY, _OBSERVER),
    *_lines(LineKind.TELLURIC, _TELLURIC),
)
"""Strong optical and near-infrared lines. Sky and telluric features are at the observer."""

_BY_NAME = {line.name: line for line in LINES}


def line(name: str) -> Line:
    """The line of this name. Raises UsageError (unknown_line) listing the known ones."""
    if name not in _BY_NAME:
        raise UsageError(f"no line is called {name!r}", code="unknown_line",
                         remedy=f"choose one of: {', '.join(_BY_NAME)}")  # fmt: skip
    return _BY_NAME[name]


def lines_between(
    low_vac_aa: float,
    high_vac_aa: float,
    *,
    z: float = 0.0,
    kinds: tuple[LineKind, ...] = tuple(LineKind),
    max_weight: int = 3,
) -> tuple[tuple[Line, float], ...]:
    """Lines seen in an observed vacuum range, with their observed wavelength, ascending.

    Parameters
    ----------
    low_vac_aa, high_vac_aa : Å, observed, vacuum · z : redshift of the source; sky and telluric
        lines stay where they are · kinds, max_weight : which lines
    """
    at_home = (LineKind.SKY, LineKind.TELLURIC)
    seen = (
        (entry, entry.wave_vac_aa * (1.0 if entry.kind in at_home else 1.0 + z))
        for entry in LINES
        if entry.kind in kinds and entry.weight <= max_weight
    )
    inside = [(entry, wave) for entry, wave in seen if low_vac_aa <= wave <= high_vac_aa]
    return tuple(sorted(inside, key=lambda pair: pair[1]))
