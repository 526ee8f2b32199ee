"""Errors and masks in image extensions: companions of their flux, never spectra of their own."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from spectrarium.domain.spectrum import Spectrum, UncertaintyKind
from spectrarium.read import registry
from spectrarium.read.fits import Header
from spectrarium.read.image_parts import Part, part_of
from spectrarium.read.registry import NotASpectrum
from spectrarium.read.source import SourceFile

N = 60
FLUX = np.linspace(10, 20, N).astype("f4")
QUALITY = np.where(np.arange(N) < 5, 64, 0).astype("i4")


def image(data: Any, name: str = "", **cards: Any) -> Any:
    hdu = fits.ImageHDU(data, name=name)
    hdu.header.update({"CRVAL1": 550.0, "CDELT1": 0.02, "CRPIX1": 1.0, "CUNIT1": "nm",
                       "CTYPE1": "WAVE"} | cards)  # fmt: skip
    return hdu


def items(*hdus: Any) -> list[Any]:
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(hdus[0].data, hdus[0].header), *hdus[1:]]).writeto(out)
    registry._recent.clear()
    return list(registry.read_source(SourceFile("x.fits", out.getvalue())))


def test_a_pipeline_that_writes_flux_errors_and_quality_as_images() -> None:
    """The layout of ESO's X-shooter pipeline: FLUX, ERRS and QUAL of one shape."""
    found = items(image(FLUX), image(FLUX / 10, "ERRS"), image(QUALITY, "QUAL"))
    (spectrum,) = [item for item in found if isinstance(item, Spectrum)]
    np.testing.assert_array_equal(spectrum.flux, FLUX)
    np.testing.assert_array_equal(spectrum.uncertainty, FLUX / np.float32(10))
    assert spectrum.uncertainty_kind is UncertaintyKind.STD
    np.testing.assert_array_equal(np.flatnonzero(spectrum.mask), np.arange(5))
    rest = [item for item in found if item is not spectrum]
    names = ("image extension ERRS", "image extension QUAL")
    assert rest == [NotASpectrum(name, hdu) for hdu, name in enumerate(names, 1)]


def test_each_flux_takes_the_errors_that_follow_it() -> None:
    found = items(image(FLUX, "SCI"), image(FLUX, "VAR"), image(FLUX * 2, "SCI"),
                  image(FLUX * 2, "VAR"), image(FLUX * 3, "SCI"))  # fmt: skip
    one, two, three = [item for item in found if isinstance(item, Spectrum)]
    np.testing.assert_array_equal(one.uncertainty, FLUX)
    np.testing.assert_array_equal(two.uncertainty, FLUX * 2)
    assert two.uncertainty_kind is UncertaintyKind.VAR
    assert three.uncertainty is None


def test_rows_share_an_image_of_errors() -> None:
    flux = np.array([FLUX, FLUX + 1])
    found = items(image(flux), image(flux / 10, "SIGMA"))
    rows = [item for item in found if isinstance(item, Spectrum)]
    np.testing.assert_array_equal(rows[1].uncertainty, flux[1] / np.float32(10))


def test_errors_of_another_shape_or_of_something_else_are_not_taken() -> None:
    found = items(image(FLUX), image(FLUX[:50], "ERR"), image(FLUX, "SKY_ERR"),
                  image(FLUX, "input_sigma"))  # fmt: skip
    (spectrum,) = [item for item in found if isinstance(item, Spectrum)]
    assert spectrum.uncertainty is None
    assert [item.hdu for item in found if isinstance(item, NotASpectrum)] == [1, 2, 3]


def test_an_iraf_image_with_an_error_extension() -> None:
    cards = {"DC-FLAG": 0, "CTYPE1": "LINEAR", "CUNIT1": "Angstrom", "CRVAL1": 5000.0}
    found = items(image(FLUX, **cards), image(FLUX / 10, "ERROR", **cards))
    (spectrum,) = [item for item in found if isinstance(item, Spectrum)]
    assert spectrum.provenance.reader == "iraf"
    np.testing.assert_array_equal(spectrum.uncertainty, FLUX / np.float32(10))


class Stub:
    """What `part_of` looks at."""

    index = 3

    def __init__(self, **cards: str) -> None:
        self.header = Header("".join(f"{k:8}= '{v}'".ljust(80) for k, v in cards.items()))


@pytest.mark.parametrize(
    ("cards", "part"),
    [
        ({"EXTNAME": "FLUX"}, Part.FLUX), ({"EXTNAME": "RAW"}, Part.FLUX), ({}, Part.FLUX),
        ({"EXTNAME": "FLUX_ERR"}, Part.STD), ({"EXTNAME": "SCI_VAR"}, Part.VAR),
        ({"EXTNAME": "IVAR"}, Part.IVAR), ({"EXTNAME": "DQ"}, Part.FLAGS),
        ({"EXTNAME": "SKY"}, Part.OTHER), ({"EXTNAME": "SKY_VAR"}, Part.OTHER),
        ({"BUNIT": "Error (10^-17 erg/s/cm^2/Ang)"}, Part.STD),
        ({"BUNIT": "Flag Mask (bitwise)"}, Part.FLAGS),
        ({"BUNIT": "erg/s/cm2/Angstrom"}, Part.FLUX),
    ],
)  # fmt: skip
def test_labels(cards: dict[str, str], part: Part) -> None:
    assert part_of(Stub(**cards)) is part  # type: ignore[arg-type]
