"""Bytes become UTF-8 text, or the first wrong byte is named."""

import codecs

import pytest

from sampan.errors import DataFormatError, ParameterError
from sampan.table.encodings import decode, detect_encoding


def test_utf8_with_and_without_a_byte_order_mark() -> None:
    assert decode("é".encode(), source="t").utf8 == "é".encode()
    assert decode(codecs.BOM_UTF8 + "é".encode(), source="t").utf8 == "é".encode()
    assert decode(codecs.BOM_UTF8 + b"a", source="t").encoding == "utf-8-sig"


def test_a_wrong_byte_is_named_with_its_offset_and_line() -> None:
    with pytest.raises(DataFormatError, match=r"byte 7 \(line 2\) of t is not UTF-8: 0x81") as caught:
        decode(b"name\nRe\x81\n", source="t")

    assert caught.value.line == 2
    assert "--encoding cp1252" in caught.value.hint


def test_a_wrong_byte_beyond_the_first_block_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.table.encodings._BLOCK", 4)
    data = "aé\nbé\n".encode() + b"\xff\n"

    with pytest.raises(DataFormatError, match=r"byte 8 \(line 3\)"):
        decode(data, source="t")
    assert decode("aéé日本\n".encode(), source="t").utf8 == "aéé日本\n".encode()


def test_a_character_cut_off_at_the_end_is_an_error() -> None:
    with pytest.raises(DataFormatError, match="byte 5 "):
        decode("aééé".encode()[:-1], source="t")


def test_a_declared_encoding_is_used_and_held_to() -> None:
    assert decode("René".encode("latin-1"), source="t", encoding="latin-1").utf8 == "René".encode()
    assert decode("a\n".encode("utf-16"), source="t", encoding="utf-16").utf8 == b"a\n"
    with pytest.raises(DataFormatError, match="is not ascii"):
        decode("é".encode(), source="t", encoding="ascii")
    with pytest.raises(ParameterError, match="no encoding is called 'utf9'"):
        decode(b"a", source="t", encoding="utf9")


def test_utf16_is_recognized_and_zero_bytes_are_refused() -> None:
    assert decode("a".encode("utf-16"), source="t").encoding == "utf-16"
    with pytest.raises(DataFormatError, match=r"byte 3 \(line 2\) of t is zero"):
        decode(b"a\nb\0", source="t")


def test_names_in_shift_jis_are_not_taken_for_korean() -> None:
    assert detect_encoding("氏名,値\n山田太郎,1\n鈴木一郎,2\n".encode("shift_jis")) == "cp932"
    assert detect_encoding("이름,값\n서울,1\n부산,2\n".encode("euc_kr")) == "cp949"
    assert detect_encoding("name,v\nMüller,1\nÖzil,2\nÉmile,3\n".encode("mac_roman")) == ""


def test_utf8_with_some_lines_of_an_older_encoding_is_no_encoding() -> None:
    assert detect_encoding("name,v\nMüller,1\n".encode() + "Özil,2\n".encode("cp1252")) == ""
