"""The FITS parser against astropy: on every real file, and on tables and images drawn at random."""

from __future__ import annotations

import gzip
import io
import mmap
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spectrarium.domain.errors import DataError
from spectrarium.read.fits import FitsFile, Header, iso_to_mjd
from spectrarium.read.source import SourceFile, gunzip


def written(*hdus: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(out, **options)
    return out.getvalue()


def parsed(*hdus: Any, **options: Any) -> FitsFile:
    return FitsFile(written(*hdus, **options), "made here")


def card(text: str) -> bytes:
    return text.ljust(80).encode("latin-1")


class TestHeader:
    def test_values(self) -> None:
        header = Header(
            card("NAME    = 'O''Meara'           / a quote")
            + card("BARE    = 'O'Meara '           / not allowed, yet found")
            + card("FLAG    =                    T")
            + card("SCALE   =             1.5D-3 / Fortran")
            + card("EMPTY   =                      / undefined")
            + card("BIG     = 1_000")
            + card("WORD    = NaN")
            + card("HIERARCH ESO DRS BERV = -12.5 / [km/s]")
            + card("COMMENT = 'no value'")
            + card("LONG    = 'one &'")
            + card("CONTINUE  'two &'")
            + card("CONTINUE  'three'")
            + card("NAME    = 'second'")
        )
        assert header.get("NAME") == "O'Meara"
        assert header.get("BARE") == "O'Meara"
        assert header.get("FLAG") is True
        assert header.get("SCALE") == 1.5e-3
        assert header.get("EMPTY", 7) == 7
        assert "EMPTY" in header
        assert header.get("BIG") == "1_000"
        assert header.number("WORD") is None
        assert header.get("ESO DRS BERV") == header.get("HIERARCH ESO DRS BERV") == -12.5
        assert header.get("LONG") == "one two three"
        assert header.get("ABSENT") is None
        with pytest.raises(KeyError):
            header["ABSENT"]

    def test_a_key_inside_a_value_is_no_key(self) -> None:
        header = Header(card("OBJECT  = 'EXPTIME = 12'") + card("EXPTIME =  3"))
        assert header.get("EXPTIME") == 3

    def test_long_headers_are_searched_before_they_are_indexed(self) -> None:
        cards = b"".join(card(f"KEY{i:<5}= {i:>20}") for i in range(900))
        for first in (1, 20):
            header = Header(cards)
            assert [header.get(f"KEY{i}") for i in range(first)] == list(range(first))
            assert header.get("KEY899") == 899
            assert header.get("NOKEY") is None

    @pytest.mark.parametrize(
        ("text", "mjd"),
        [
            ("2000-01-01T12:00:00", 51544.5), ("2000-01-01", 51544.0), ("31/12/99", 51543.0),
            ("2000-01-01T20:00:00+08:00", 51544.5), ("2000-01-01T12:00:00Z", 51544.5),
            ("2016-12-31T23:59:60", 57754.0), ("rubbish", None), ("", None),
        ],
    )  # fmt: skip
    def test_iso_to_mjd(self, text: str, mjd: float | None) -> None:
        found = iso_to_mjd(text)
        assert found == (None if mjd is None else pytest.approx(mjd, abs=1e-9))


FORMATS = {
    "L": hnp.arrays(bool, 5), "B": hnp.arrays("u1", 5), "I": hnp.arrays("i2", 5),
    "J": hnp.arrays("i4", 5), "K": hnp.arrays("i8", 5),
    "E": hnp.arrays("f4", 5), "D": hnp.arrays("f8", 5), "C": hnp.arrays("c8", 5),
    "M": hnp.arrays("c16", 5), "3I": hnp.arrays("i2", (5, 3)), "4D": hnp.arrays("f8", (5, 4)),
    "11X": hnp.arrays(bool, (5, 11)), "2L": hnp.arrays(bool, (5, 2)),
    "0E": hnp.arrays("f4", (5, 0)),
    "7A": st.lists(st.text("abc XYZ09", max_size=7), min_size=5, max_size=5),
}  # fmt: skip
WORDS = st.text("abcdefg_XYZ", min_size=1, max_size=12)


@st.composite
def tables(draw: Any) -> list[fits.Column]:
    names = draw(st.lists(WORDS, min_size=1, max_size=6, unique_by=str.lower))
    out = [fits.Column(name="row", format="J", array=np.arange(5))]  # no table of zero width
    for name in names:
        form = draw(st.sampled_from(sorted(FORMATS)))
        unit = draw(st.sampled_from([None, "Angstrom", "erg/s"]))
        out.append(fits.Column(name=name, format=form, array=draw(FORMATS[form]), unit=unit))
    return out


def same_values(ours: np.ndarray[Any, Any], theirs: Any) -> bool:
    theirs = np.asarray(theirs)
    if ours.dtype.kind == "U":
        return bool((ours == np.char.rstrip(theirs.astype("U"))).all())
    floats = ours.dtype.kind in "fc"
    return ours.dtype == theirs.dtype.newbyteorder("=") and np.array_equal(
        ours, theirs, equal_nan=floats
    )


@settings(max_examples=150, deadline=None)
@given(tables(), st.booleans())
def test_tables_equal_astropy(columns: list[fits.Column], checksum: bool) -> None:
    table = fits.BinTableHDU.from_columns(columns)
    data = written(table, checksum=checksum)
    ours = FitsFile(data, "x")[1]
    ours.verify()
    with fits.open(io.BytesIO(data)) as hdus:
        theirs = hdus[1]
        assert list(ours.columns) == theirs.columns.names
        for column in theirs.columns:
            found = ours.column(column.name.swapcase())
            expected = theirs.data[column.name]
            if found.size or np.asarray(expected).size:
                assert same_values(found, expected), (column.name, column.format)
            assert ours.unit(column.name) == column.unit
            if column.format in "BIJKEDL":
                cell, value = ours.scalar(column.name, 3), expected[3].item()
                assert cell == value or (cell != cell and value != value)


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]),
        hnp.array_shapes(max_dims=3, max_side=6),
    ),
    st.booleans(),
)
def test_images_equal_astropy(image: np.ndarray[Any, Any], checksum: bool) -> None:
    data = written(fits.ImageHDU(image, name="IM"), checksum=checksum)
    ours = FitsFile(data, "x").named("IM")
    assert ours is not None
    ours.verify()
    found = ours.image()
    assert found.dtype == image.dtype
    assert np.array_equal(found, image, equal_nan=image.dtype.kind == "f")
    for row in range(len(image)):
        assert np.array_equal(ours.image_row(row), image[row], equal_nan=image.dtype.kind == "f")


class TestScaling:
    @pytest.mark.parametrize("kind", ["i2", "i4", "i8", "u1", "f4", "f8"])
    def test_scaled_images(self, kind: str) -> None:
        raw = np.arange(12, dtype=kind).reshape(3, 4)
        hdu = fits.ImageHDU(raw)
        hdu.header["BSCALE"], hdu.header["BZERO"] = 0.25, 3.0
        data = written(hdu)
        # astropy scales on writing only what it read: the keywords above reach the file as they are
        with fits.open(io.BytesIO(data)) as hdus:
            expected = hdus[1].data
            found = FitsFile(data, "x")[1].image()
            assert found.dtype == expected.dtype.newbyteorder("=")
            np.testing.assert_array_equal(found, expected)

    def test_blank_pixels_are_nan(self) -> None:
        hdu = fits.ImageHDU(np.array([1, 2, -99], dtype="i4"))
        hdu.header["BLANK"] = -99
        np.testing.assert_array_equal(parsed(hdu)[1].image(), [1.0, 2.0, np.nan])

    @pytest.mark.parametrize(
        ("form", "zero", "kind"), [("I", 2**15, "u2"), ("J", 2**31, "u4"), ("K", 2**63, "u8")]
    )
    def test_unsigned_columns_stay_integers(self, form: str, zero: int, kind: str) -> None:
        values = np.array([0, 1, zero, 2 * zero - 1], dtype=kind)
        hdu = parsed(fits.BinTableHDU.from_columns(
            [fits.Column("a", form, bzero=zero, array=values)]))[1]  # fmt: skip
        found = hdu.column("a")
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)
        assert [hdu.scalar("a", i) for i in range(4)] == values.tolist()

    def test_scaled_column(self) -> None:
        raw = np.array([-3, 10, 25])
        table = fits.BinTableHDU.from_columns([fits.Column("a", "I", array=raw)])
        table.header["SCALE1"], table.header["ZERO1"] = 0.1, 5.0
        data = (
            written(table).replace(b"SCALE1  =", b"TSCAL1  =").replace(b"ZERO1   =", b"TZERO1  =")
        )
        with fits.open(io.BytesIO(data)) as hdus:
            found = FitsFile(data, "x")[1].column("a")
            np.testing.assert_array_equal(found, hdus[1].data["a"])
            np.testing.assert_allclose(found, 0.1 * raw + 5.0)
            assert found.dtype == np.float64
            assert FitsFile(data, "x")[1].scalar("a", 2) == found[2]

    def test_null_is_nan_in_a_column_and_none_in_a_cell(self) -> None:
        big = 2**62 + 1  # exact as an integer only
        hdu = parsed(fits.BinTableHDU.from_columns(
            [fits.Column("id", "K", null=-1, array=np.array([big, -1]))]))[1]  # fmt: skip
        assert hdu.scalar("id", 0) == big
        assert hdu.scalar("id", 1) is None
        assert np.isnan(hdu.column("id")).tolist() == [False, True]


class TestUnusualColumns:
    def test_variable_length(self) -> None:
        arrays = np.array([np.arange(3.0), np.empty(0), np.arange(7.0)], dtype=object)
        words = np.array(["ab", "", "defg"], dtype=object)
        data = written(fits.BinTableHDU.from_columns([
            fits.Column("p", "PD()", array=arrays), fits.Column("q", "QJ()", array=arrays),
            fits.Column("w", "PA()", array=words),
        ]))  # fmt: skip
        hdu = FitsFile(data, "x")[1]
        for name in "pq":
            for found, expected in zip(hdu.column(name), arrays, strict=True):
                np.testing.assert_array_equal(found, expected)
        assert hdu.column("w").tolist() == words.tolist()

    def test_array_of_texts_and_matrix_cells(self) -> None:
        texts = np.array([["ab", "c"], ["", "xyz"]])
        matrix = np.arange(12.0).reshape(2, 2, 3)
        hdu = parsed(fits.BinTableHDU.from_columns([
            fits.Column("t", "6A", dim="(3,2)", array=texts),
            fits.Column("m", "6D", dim="(3,2)", array=matrix),
        ]))[1]  # fmt: skip
        assert hdu.column("t").tolist() == texts.tolist()
        np.testing.assert_array_equal(hdu.column("m"), matrix)
        np.testing.assert_array_equal(hdu.scalar("m", 1), matrix[1])

    def test_text_ends_at_nul(self) -> None:
        data = written(fits.BinTableHDU.from_columns([fits.Column("a", "5A", array=["ab~cd"])]))
        hdu = FitsFile(data.replace(b"ab~cd", b"ab\x00cd"), "x")[1]
        assert hdu.column("a").tolist() == ["ab"]
        assert hdu.scalar("a") == "ab"

    def test_ascii_table(self) -> None:
        data = written(fits.TableHDU.from_columns([
            fits.Column("n", "I6", array=np.array([1, -20, 300]), ascii=True),
            fits.Column("x", "E15.7", array=np.array([1.5, -2e-8, 3e20]), ascii=True),
            fits.Column("d", "D23.15", array=np.array([1.25, 2.5, -3.0]), ascii=True),
            fits.Column("s", "A4", array=np.array(["ab", "", "xyzw"]), ascii=True),
        ]))  # fmt: skip
        hdu = FitsFile(data, "x")[1]
        with fits.open(io.BytesIO(data)) as hdus:
            for name in "nxds":
                np.testing.assert_array_equal(hdu.column(name), hdus[1].data[name])

    def test_compressed_image(self) -> None:
        image = np.arange(600, dtype="i4").reshape(20, 30)
        hdu = parsed(fits.CompImageHDU(image, compression_type="RICE_1"))[1]
        assert hdu.kind == "compressed"
        assert hdu.shape == (20, 30)
        np.testing.assert_array_equal(hdu.image(), image)
        np.testing.assert_array_equal(hdu.image_row(7), image[7])

    def test_compressed_table_is_refused_not_misread(self) -> None:
        table = fits.BinTableHDU.from_columns([fits.Column("a", "PB()", array=np.array(
            [np.arange(3, dtype="u1")], dtype=object))])  # fmt: skip
        table.header["ZTABLE"] = True
        with pytest.raises(DataError) as caught:
            parsed(table)[1].column("a")
        assert caught.value.code == "compressed_table"

    def test_missing_column(self) -> None:
        hdu = parsed(fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])]))[1]
        assert hdu.scalar("b") is None
        assert not hdu.has("a", "b")
        with pytest.raises(DataError) as caught:
            hdu.column("b")
        assert caught.value.code == "no_column"


class TestChecksum:
    def make(self) -> bytearray:
        table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(100))])
        return bytearray(written(table, checksum=True))

    def test_damaged_data_are_refused(self) -> None:
        data = self.make()
        hdu = FitsFile(bytes(data), "x")[1]
        data[hdu.data_start + 17] ^= 4
        with pytest.raises(DataError) as caught:
            FitsFile(bytes(data), "x")[1].verify()
        assert caught.value.code == "wrong_checksum"
        assert caught.value.hdu == 1

    def test_an_edited_header_is_not_refused(self) -> None:
        data = self.make()
        at = data.index(b"TTYPE1  = 'a")
        data[at + 11 : at + 12] = b"b"
        FitsFile(bytes(data), "x")[1].verify()

    def test_zero_means_not_computed(self) -> None:
        data = self.make()
        at = data.index(b"DATASUM = ", FitsFile(bytes(data), "x")[1].data_start - 2 * 2880)
        data[at : at + 80] = card("DATASUM = '         0'")
        FitsFile(bytes(data), "x")[1].verify()


class TestBadFiles:
    def headed(self, *cards: str, tail: bytes = b"") -> bytes:
        head = b"".join(card(c) for c in (*cards, "END"))
        return head.ljust(-(-len(head) // 2880) * 2880) + tail

    def extension(self, *cards: str, tail: bytes = b"\x00" * 2880) -> bytes:
        primary = self.headed("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 0")
        return primary + self.headed("XTENSION= 'BINTABLE'", *cards, tail=tail)

    def table(self, *cards: str, rows: int = 2, width: int = 8, pcount: int = 0) -> FitsFile:
        return FitsFile(self.extension(
            "BITPIX  = 8", "NAXIS   = 2", f"NAXIS1  = {width}", f"NAXIS2  = {rows}",
            f"PCOUNT  = {pcount}", "GCOUNT  = 1", *cards), "x")  # fmt: skip

    @pytest.mark.parametrize(
        "cards",
        [
            ("BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = 99999999999999999999"),
            ("BITPIX  = -64", "NAXIS   = 3", *(f"NAXIS{i}  = 4000000000" for i in (1, 2, 3))),
            ("BITPIX  = 8", "NAXIS   = 99999999999"),
            ("BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 5"),
            ("BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = -5"),
            ("BITPIX  = 12", "NAXIS   = 0"),
            ("BITPIX  = 'text'", "NAXIS   = 0"),
            ("BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 0", "NAXIS2  = 100000000000"),
        ],
    )
    def test_wild_sizes(self, cards: tuple[str, ...]) -> None:
        with pytest.raises(DataError):
            FitsFile(self.headed("SIMPLE  = T", *cards, tail=bytes(2880)), "x")

    @pytest.mark.parametrize("extra", ["PCOUNT  = 99999999999", "PCOUNT  = -8", "GCOUNT  = -1",
                                       "GCOUNT  = 1000000000000"])  # fmt: skip
    def test_wild_counts(self, extra: str) -> None:
        with pytest.raises(DataError):
            FitsFile(self.extension("BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = 8", extra), "x")

    @pytest.mark.parametrize(
        "cards",
        [
            ("TFIELDS = 999999999999",),
            ("TFIELDS = -1",),
            ("TFIELDS = 1",),
            ("TFIELDS = 1", "TFORM1  = 'Z'"),
            ("TFIELDS = 1", "TFORM1  = '99999999999999D'"),
            ("TFIELDS = 1", "TFORM1  = '5PD(3)'"),
            ("TFIELDS = 1", "TFORM1  = 'D'", "TSCAL1  = 'much'"),
        ],
    )
    def test_wild_columns(self, cards: tuple[str, ...]) -> None:
        with pytest.raises(DataError):
            self.table(*cards)[1].column("col1")

    @pytest.mark.parametrize("dim", ["(-1,-8)", "(99999999,99999999)", "(1)", "()", "(x)",
                                     "(" + ",".join("1" * 30) + ")"])  # fmt: skip
    def test_wild_tdim_is_ignored(self, dim: str) -> None:
        hdu = self.table("TFIELDS = 1", "TFORM1  = '2E'", f"TDIM1   = '{dim}'")[1]
        assert hdu.column("col1").shape == (2, 2)

    def test_rows_of_no_bytes(self) -> None:
        hdu = self.table("TFIELDS = 1", "TFORM1  = '0A'", rows=2000, width=0)[1]
        assert hdu.n_rows == 0
        assert hdu.column("col1").shape == (0,)

    @pytest.mark.parametrize(("n", "at"), [(-1, 0), (4, -4), (2**31 - 1, 0), (1, 2**31 - 1)])
    def test_wild_heap_pointers(self, n: int, at: int) -> None:
        data = self.extension(
            "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8", "NAXIS2  = 1", "PCOUNT  = 64",
            "GCOUNT  = 1", "TFIELDS = 1", "TFORM1  = 'PD(4)'",
            tail=np.array([n, at], dtype=">i4").tobytes().ljust(2880, b"\x00"),
        )  # fmt: skip
        with pytest.raises(DataError):
            FitsFile(data, "x")[1].column("col1")

    def test_heap_shared_by_many_rows_does_not_fill_the_memory(self) -> None:
        rows, heap = 20_000, 100_000
        data = self.extension(
            "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 8", f"NAXIS2  = {rows}", f"PCOUNT  = {heap}",
            "GCOUNT  = 1", "TFIELDS = 1", "TFORM1  = 'PB(9)'",
            tail=np.tile(np.array([heap, 0], dtype=">i4"), rows).tobytes() + bytes(heap),
        )  # fmt: skip
        with pytest.raises(DataError):
            FitsFile(data, "x")[1].column("col1")

    @pytest.mark.parametrize("theap", ["-1", "3", "'x'", "99999999999"])
    def test_wild_theap(self, theap: str) -> None:
        hdu = self.table("TFIELDS = 1", "TFORM1  = 'PD(4)'", f"THEAP   = {theap}", pcount=64)[1]
        with pytest.raises(DataError):
            hdu.column("col1")

    def test_compressed_image_bomb(self) -> None:
        data = written(fits.CompImageHDU(np.zeros((30, 40), dtype="i4")))
        wild = data.replace(b"ZNAXIS2 =                   30", b"ZNAXIS2 =           1999999999")
        assert wild != data
        with pytest.raises(DataError):
            FitsFile(wild, "x")[1].image()

    def test_no_end_and_no_simple(self) -> None:
        for bad in (b"SIMPLE  =" + b" " * 5000, b"SIMPLE", b"", b"\x00" * 2880):
            with pytest.raises(DataError):
                FitsFile(bad, "x")

    def test_truncated_anywhere(self) -> None:
        data = written(fits.ImageHDU(np.arange(3000.0)))
        whole = 0
        for stop in range(0, len(data) - 2880, 160):
            if data[:stop].rstrip(b" ").endswith(b"END") and stop <= 2880:
                assert len(FitsFile(data[:stop], "x")) == 1  # in the padding of the primary HDU
                whole += 1
                continue
            with pytest.raises(DataError) as caught:
                FitsFile(data[:stop], "x")
            assert caught.value.code in ("truncated", "not_fits")
        assert 0 < whole < 18

    def test_junk_behind_the_last_hdu_is_allowed(self) -> None:
        assert len(FitsFile(written() + b"junk", "x")) == 1


class TestSource:
    def test_gzip(self) -> None:
        packed = gzip.compress(b"abc" * 5000)
        assert gunzip(packed, "x") == b"abc" * 5000
        assert gunzip(packed + packed + bytes(9000) + packed, "x") == b"abc" * 15000
        assert gunzip(gzip.compress(b"a") * 20_000, "x") == b"a" * 20_000

    @pytest.mark.parametrize("cut", [2, 5, 12, 40, -1, -7])
    def test_truncated_gzip(self, cut: int) -> None:
        packed = gzip.compress(np.random.default_rng(1).bytes(1000))
        with pytest.raises(DataError) as caught:
            SourceFile("x.gz", packed[:cut])
        assert caught.value.code == "truncated"

    def test_damaged_gzip(self) -> None:
        packed = bytearray(gzip.compress(np.random.default_rng(1).bytes(1000)))
        packed[-6] ^= 1
        with pytest.raises(DataError) as caught:
            SourceFile("x.gz", bytes(packed))
        assert caught.value.code == "corrupt"

    def test_bomb(self) -> None:
        with pytest.raises(DataError) as caught:
            SourceFile("x.gz", gzip.compress(bytes(2**27), 9))
        assert caught.value.code == "bomb"

    def test_big_files_are_mapped_and_read_the_same(self, tmp_path: Path) -> None:
        image = np.arange(2**21 + 2**19, dtype="f8")
        table = fits.BinTableHDU.from_columns([
            fits.Column("a", "7A", array=["xyz"]), fits.Column("k", "K", array=[-5]),
            fits.Column("v", "PJ()", array=np.array([np.arange(4)], dtype=object)),
        ])  # fmt: skip
        path = tmp_path / "big.fits"
        path.write_bytes(written(fits.ImageHDU(image), table, checksum=True))
        source = SourceFile.open(path)
        assert isinstance(source.data, mmap.mmap)
        for hdu in source.fits:
            hdu.verify()
        np.testing.assert_array_equal(source.fits[1].image(), image)
        last = source.fits[2]
        assert (last.scalar("a"), last.scalar("k")) == ("xyz", -5)
        assert last.column("v")[0].tolist() == [0, 1, 2, 3]
        assert SourceFile("x", path.read_bytes()).hash == source.hash

    def test_a_big_gzip_is_mapped_too(self, tmp_path: Path) -> None:
        noise = np.random.default_rng(3).bytes(2**24 + 2**20)
        path = tmp_path / "big.gz"
        path.write_bytes(gzip.compress(noise, 1))
        assert SourceFile.open(path).data == noise

    def test_no_file(self, tmp_path: Path) -> None:
        import os

        (tmp_path / "empty").touch()
        os.mkfifo(tmp_path / "pipe")
        for name, code in (("", "is_directory"), ("empty", "empty_file"), ("gone", "vanished"),
                           ("pipe", "not_a_file")):  # fmt: skip
            with pytest.raises(DataError) as caught:
                SourceFile.open(tmp_path / name)
            assert caught.value.code == code


@pytest.mark.data
def test_every_real_file_equals_astropy(data_dir: Path) -> None:
    paths = sorted(p for p in data_dir.rglob("*.fit*") if p.is_file())
    assert len(paths) > 400
    compared = 0
    for path in paths:
        source = SourceFile.open(path)
        for hdu in source.fits:
            hdu.verify()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(io.BytesIO(bytes(source.data)), memmap=False) as theirs:
                assert len(theirs) == len(source.fits), path
                for ours, other in zip(source.fits, theirs, strict=True):
                    compared += _compare_hdu(ours, other, f"{path.name}[{ours.index}]")
    assert compared > 4000


def _compare_hdu(ours: Any, theirs: Any, where: str) -> int:
    _compare_header(ours.header, theirs.header, where)
    if ours.kind == "image" and ours.axes and theirs.data is not None:
        assert same_values(ours.image(), theirs.data), where
        return 1
    if ours.kind not in ("table", "ascii"):
        return 0
    for name in ours.columns:
        found, expected = ours.column(name), theirs.data[name]
        if found.dtype == object:
            for mine, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(mine, other)
        elif ours.kind == "ascii" and found.dtype.kind in "if":  # astropy picks narrower types
            good = np.isfinite(found)
            np.testing.assert_array_equal(found[good], np.asarray(expected)[good])
        else:
            assert same_values(found, expected), f"{where} {name}"
    return len(ours.columns)


def _compare_header(ours: Header, theirs: fits.Header, where: str) -> None:
    for key in set(ours.keys()) - {"COMMENT", "HISTORY"}:
        try:
            expected = theirs[key]
        except (fits.VerifyError, KeyError):
            continue  # a card that astropy refuses
        found = ours.get(key)
        if isinstance(expected, fits.card.Undefined):
            expected = None
        if isinstance(expected, str):
            expected = expected.rstrip()
            found = found or ""
        assert found == expected or expected != expected, (where, key, found, expected)
