"""Every reader on damaged files: refused, the same, or damage that the format cannot notice.

SPECTRARIUM_FUZZ=20 multiplies the number of cases, SPECTRARIUM_FUZZ_SEED=7 draws others.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fuzzing import check_outcome, mutations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeds import BUILDERS, seed, with_checksums

from spectrarium.domain.errors import DataError
from spectrarium.domain.spectrum import Spectrum
from spectrarium.read import guarded, registry
from spectrarium.read.fits import FitsFile
from spectrarium.read.registry import Item
from spectrarium.read.source import SourceFile

SCALE = int(os.environ.get("SPECTRARIUM_FUZZ", "1"))
SEED = int(os.environ.get("SPECTRARIUM_FUZZ_SEED", "0"))
CASES = {"gaia-xp-continuous": 6, "hdf5": 24, "parquet": 24, "apogee-star": 40, "desi": 60,
         "desi compressed": 40, "eprv": 60, "apogee-aspcap": 60}  # fmt: skip
"""Damaged copies of the seeds that take longer than a few milliseconds."""
FITS = [name for name in BUILDERS if seed(name).startswith(b"SIMPLE")]
CARD, BLOCK = 80, 2880


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hanging parser is given up after 4 seconds instead of half a minute."""
    monkeypatch.setattr(guarded, "STALL_S", 4.0)


def read(data: bytes) -> list[Item]:
    """All that an ingest makes of a file's bytes."""
    registry._recent.clear()  # the winner must not depend on the file before
    return list(registry.read_source(SourceFile("fuzzed", data)))


def needs_extra(name: str) -> None:
    if name == "gaia-xp-continuous":
        pytest.importorskip("gaiaxpy")


def test_every_reader_has_a_seed() -> None:
    assert {reader for reader, _ in BUILDERS.values()} == {r.name for r in registry.readers()}


@pytest.mark.parametrize("name", BUILDERS)
def test_seeds_are_sound_and_won_by_their_reader(name: str) -> None:
    needs_extra(name)
    registry._recent.clear()
    assert registry.recognise(SourceFile("x", seed(name))).name == BUILDERS[name][0]
    found = read(seed(name))
    assert found
    assert not [item for item in found if isinstance(item, DataError)]
    for item in found:
        if isinstance(item, Spectrum):
            assert np.count_nonzero(~item.mask) >= 10


@pytest.mark.parametrize("name", BUILDERS)
def test_damaged_files_never_pass_as_good(name: str) -> None:
    needs_extra(name)
    original = seed(name)
    assert check_outcome(read, original, original) == "same"
    n = CASES.get(name, 120) * SCALE
    damaged = mutations(original, seed=SEED + sum(name.encode()), n=n)
    seen = Counter(check_outcome(read, original, bad) for bad in damaged)
    assert seen["refused"] > 0, seen


@pytest.mark.parametrize("name", FITS)
def test_no_damage_gets_past_a_checksum(name: str) -> None:
    """With DATASUM in the file, one flipped bit in the data of any HDU is enough to refuse it."""
    original = with_checksums(seed(name))
    if name != "gaia-xp-continuous":
        assert check_outcome(read, original, original) == "same"
    rng = np.random.default_rng(SEED + len(original))
    # of zeros throughout the DATASUM is 0, which pipelines also write for "not computed"
    hdus = [hdu for hdu in FitsFile(original, "x") if str(hdu.header.get("DATASUM", "0")) != "0"]
    for _ in range(8 * SCALE):
        hdu = hdus[int(rng.integers(len(hdus)))]
        at = hdu.data_start + int(rng.integers(hdu.data_size))
        bad = bytearray(original)
        bad[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(DataError) as caught:
            read(bytes(bad))
        assert (caught.value.code, caught.value.hdu) == ("wrong_checksum", hdu.index)


@pytest.mark.parametrize("name", ["sdss", "galah", "ascii", "snid", "sdm-votable"])
def test_gzip_lets_no_damage_through(name: str) -> None:
    original = gzip.compress(seed(name), mtime=0)
    for bad in mutations(original, seed=SEED + 5, n=80 * SCALE):
        outcome = check_outcome(read, original, bad)
        assert outcome in ("refused", "same")


# ---- headers that lie ---------------------------------------------------------------------------

WILD = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["0", "-1", "1", "2", "7", "2147483648", "9223372036854775807", "99999999999",
                     "1E400", "-1E-400", "NaN", "Inf", "T", "F", "", "1_0", "0x10", "1D5"]),
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["'NaN'", "'inf'", "''", "'   '", "'12:34:56'", "'-99.5'", "'999E999'",
                     "'2019-13-45T99:99:99'", "'Angstrom'", "'km/s'", "'10**'", "'('", "'a''b'",
                     "'unclosed", "'PE(999999999)'", "'0D'", "'1Q'", "'(1,2,3'", "'multispec'"]),
    st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=30).map(
        lambda text: "'" + text.replace("'", "''") + "'"
    ),
)  # fmt: skip


@st.composite
def lying_headers(draw: st.DrawFn) -> tuple[str, bytes]:
    """A seed of which one to four cards are deleted or have another value."""
    name = draw(st.sampled_from([n for n in FITS if n not in CASES]))
    data = bytearray(seed(name))
    cards = [
        at
        for hdu in FitsFile(bytes(data), "x")
        for at in range(_start(hdu), _start(hdu) + len(hdu.header.raw), CARD)
        if data[at + 8 : at + 9] == b"=" or data.startswith(b"HIERARCH", at)
    ]
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.sampled_from(cards))
        card = bytes(data[at : at + CARD])
        key = card[: card.find(b"=") + 1]
        if key and draw(st.booleans()):
            value = draw(WILD).encode("latin-1", "replace")
            data[at : at + CARD] = (key + b" " + value.rjust(20))[:CARD].ljust(CARD)
        else:
            data[at : at + CARD] = b"COMMENT gone".ljust(CARD)
    return name, bytes(data)


def _start(hdu: object) -> int:
    """Where the header of an HDU begins."""
    raw = hdu.header.raw  # type: ignore[attr-defined]
    return int(hdu.data_start - math.ceil((len(raw) + CARD) / BLOCK) * BLOCK)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FITS)
def test_without_a_mandatory_keyword_a_file_is_refused(name: str) -> None:
    """What a size or type is must never be assumed: the rest would be read from elsewhere."""
    original = seed(name)
    for hdu in FitsFile(original, "x"):
        start = _start(hdu)
        for at in range(start, start + len(hdu.header.raw), CARD):
            key = original[at : at + 8].decode().strip()
            if re.fullmatch(r"XTENSION|BITPIX|NAXIS\d?|TFIELDS|TFORM\d+", key):
                bad = original[:at] + b"COMMENT gone".ljust(CARD) + original[at + CARD :]
                try:
                    assert any(isinstance(item, DataError) for item in read(bad)), (hdu.index, key)
                except DataError:
                    continue


@settings(max_examples=400 * SCALE, deadline=None, derandomize=not SEED,
          suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
@given(case=lying_headers())
def test_lying_headers_are_refused_or_harmless(case: tuple[str, bytes]) -> None:
    name, data = case
    check_outcome(read, seed(name), data)


@settings(max_examples=60 * SCALE, deadline=None, derandomize=not SEED)
@given(data=st.binary(max_size=400), magic=st.sampled_from([
    b"", b"SIMPLE  =", b"PK\x03\x04", b"PAR1", b"\x89HDF\r\n\x1a\n", b"\x1f\x8b", b"<?xml ",
    b"<VOTABLE><RESOURCE><TABLE><FIELD ", b"# %ECSV 1.0\n", b"wave,flux\n", b"\xef\xbb\xbf",
]))  # fmt: skip
def test_anything_after_a_magic_number(magic: bytes, data: bytes) -> None:
    if magic + data:
        check_outcome(read, magic + data, magic + data)


@settings(max_examples=150 * SCALE, deadline=None, derandomize=not SEED)
@given(text=st.text(max_size=300), header=st.sampled_from([
    "", "wave_aa,flux\n", "# wavelength flux err\n", "wave_nm;flux;mask\n", "loglam\tflux\tivar\n",
    "source_id,wavelength,flux,flux_error\n", "    2   32   2500.00\n", "Norder,Npix\n",
]))  # fmt: skip
def test_any_text(header: str, text: str) -> None:
    if header + text:
        data = (header + text).encode("utf-8", "replace")
        check_outcome(read, data, data)


# ---- real files ---------------------------------------------------------------------------------

REAL = (
    "apogee_samples/raw", "calspec_standards/raw_examples", "desi_coadds/raw",
    "format_zoo/raw", "gaia_dr3_samples/raw",
    "galah_dr6_sample/raw", "harps_ccf_hd224789/raw", "lamost_lrs_pool/raw_examples",
    "masks_linelists/templates", "miles_stars/raw_examples", "ondrejov_ccd700/raw",
    "pyhammer_sdss_templates/raw_examples", "snid_templates/raw_examples",
)  # fmt: skip
LARGEST = 600_000


def is_read(source: SourceFile) -> bool:
    """False for a file that is refused as it is (one that states no unit, a licence)."""
    try:
        return bool(read(bytes(source.data)))
    except DataError:
        return False


@pytest.mark.data
@pytest.mark.parametrize("folder", REAL)
def test_real_files_never_pass_as_good_when_damaged(folder: str, data_dir: Path) -> None:
    files = [p for p in sorted((data_dir / folder).glob("*")) if p.is_file()]
    sources = [SourceFile.open(p) for p in files if not re.search("CONTINUOUS|18Sco", p.name)]
    sources.sort(key=lambda source: len(source.data))
    small = [s for s in sources if len(s.data) < LARGEST and is_read(s)] or sources[:1]
    seen: Counter[str] = Counter()
    for number, source in enumerate(small[:: max(1, len(small) // 5)]):
        original = bytes(source.data)
        for bad in mutations(original, seed=SEED + number, n=5 * SCALE):
            seen[check_outcome(read, original, bad)] += 1
    assert seen["refused"] + seen["same"] > 0, seen


def test_the_row_width_must_be_that_of_the_columns() -> None:
    """A damaged TFORM would shift every later column by some bytes: garbage that looks fine."""
    table = fits.BinTableHDU.from_columns([
        fits.Column("WAVE", "D", unit="Angstrom", array=np.linspace(4000, 5000, 50)),
        fits.Column("FLUX", "E", unit="Jy", array=np.ones(50)),
    ])  # fmt: skip
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(out)
    bad = re.sub(rb"TFORM1  = 'D ", b"TFORM1  = 'E ", out.getvalue())
    assert bad != out.getvalue()
    with pytest.raises(DataError):
        read(bad)
