"""Personal data in text and in columns. How often it is right is measured on others' text in benchmarks/personal_data.py."""

from __future__ import annotations

import unicodedata
from itertools import product

import polars as pl
import pytest

from sampan.governance.columns import hinted, scan, scan_column
from sampan.governance.detection import find, redact
from sampan.governance.patterns import plain


def classes(text: str) -> list[tuple[str, str]]:
    return [(each.pii, each.of(unicodedata.normalize("NFC", text))) for each in find(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ana.tran+x@example.co.uk.", [("email", "ana.tran+x@example.co.uk")]),
        ("from 203.0.113.7 and 2001:db8::ff00:42:8329", [("ip", "203.0.113.7"), ("ip", "2001:db8::ff00:42:8329")]),
        ("version 1.2.3.4.5 of 0.0.0.0", []),
        ("card 4111-1111-1111-1111", [("card", "4111-1111-1111-1111")]),
        ("order 4111-1111-1111-1112", []),
        ("IBAN DE89 3704 0044 0532 0130 00, thanks", [("bank-account", "DE89 3704 0044 0532 0130 00")]),
        ("SSN 536-90-4399", [("national-id", "536-90-4399")]),
        ("sđt 0912 345 678 hoặc 024 3825 3536", [("phone", "0912 345 678"), ("phone", "024 3825 3536")]),
        ("call (212) 555-0143 or +44 20 7946 0958", [("phone", "(212) 555-0143"), ("phone", "+44 20 7946 0958")]),
        ("on 2013-05-01 at 10.30 we sold 1,234,567 units for 98.765.432 d", []),
        ("CCCD số 001090012345", [("national-id", "001090012345")]),
        ("so cmnd: 123456789", [("national-id", "123456789")]),
        ("mã số thuế 0100233488", [("tax-id", "0100233488")]),
        ("hộ chiếu C1234567", [("passport", "C1234567")]),
        ("xe 29A-123.45 vượt đèn", [("plate", "29A-123.45")]),
        ("stk 0011004567890", [("bank-account", "0011004567890")]),
        ("NI number AB 12 34 56 C, NRIC S1234567D", [("national-id", "AB 12 34 56 C"), ("national-id", "S1234567D")]),
        ("part GB123456C, order S1234567A", []),
        ("NHS no. 943 476 5919, her SIN: 123-456-782", [("national-id", "943 476 5919"), ("national-id", "123-456-782")]),
        ("Aadhaar 2341 2341 2346", [("national-id", "2341 2341 2346")]),
        ("the sin of 123-456-782, the NHS paid 9434765918", []),
        ("ring (0118) 496 0986 or (03)50344400", [("phone", "(0118) 496 0986"), ("phone", "(03)50344400")]),
    ],
)
def test_what_has_a_shape_is_found_and_what_only_looks_alike_is_not(text: str, expected: list[tuple[str, str]]) -> None:
    assert classes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hôm qua Nguyễn Thị Minh Anh gặp ông Hùng.", ["Nguyễn Thị Minh Anh", "Hùng"]),
        ("Toi la Tran Van Binh, sinh nam 1990 tai Ha Noi", ["Tran Van Binh"]),
        ("Nhà ở đường Nguyễn Trãi, quận Thanh Xuân", []),
        ("Đi Hà Nội rồi vào TP Hồ Chí Minh", []),
        ("tại 277D Lê Thánh Tôn", []),
        ("Bệnh nhân là bà N.T.H., 54 tuổi", ["N.T.H."]),
        ("Yesterday Barbara Johnson met Dr. Iwase at the Jordan River.", ["Barbara Johnson", "Iwase"]),
        ("Jennifer Lopez sang. Then Jennifer left.", ["Jennifer Lopez", "Jennifer"]),
        ("toi la nguyen van an, chi tran thi lan oi", ["nguyen van an", "tran thi lan"]),
        ("Hôm đó bạn bè đưa Khiêm về, còn Thảo ở lại bệnh viện Chợ Rẫy", ["Khiêm", "Thảo"]),
        ("Theo thông tin của Hải quan và Thanh tra thành phố", []),
        ("NGUYỄN VĂN AN, sinh năm 1990", ["NGUYỄN VĂN AN"]),
        ("We flew to San Diego in April with Delta Airlines", []),
        ('"No," says Zuzana. Kadiev and Aleksandra Nowak were there.', ["Kadiev", "Aleksandra Nowak"]),
        ("Please call Malcolm Smith Motorsports or Hurricane Rita's hotline", []),
        ("The U.S. Department of Housing and Urban Development in Houston", []),
        ("Giám đốc Sở Y tế Hà Nội Nguyễn Khắc Hiền báo cáo", ["Nguyễn Khắc Hiền"]),
        ("cách ly tại Bà Rịa - Vũng Tàu, quê ở Vũ Thư, Thái Bình", []),
        ("Thuỳ ơi, đừng buồn nhé", ["Thuỳ"]),
        ("Nam 76 tuoi, o Hoang Hoa Tham, Tay Ho, Ha Noi", []),
    ],
)
def test_names_are_told_from_places_streets_and_words(text: str, expected: list[str]) -> None:
    composed = unicodedata.normalize("NFC", text)

    assert [each.of(composed) for each in find(text, classes=["name"])] == expected


def test_every_name_says_what_speaks_for_it() -> None:
    (found,) = find("Regards, Priscilla Okafor", classes=["name"])

    assert found.evidence.startswith("English: ")
    assert "given" in found.evidence or "introduced" in found.evidence


def test_text_in_decomposed_letters_is_found_the_same() -> None:
    text = "Gửi Nguyễn Văn An ở số 12 đường Lê Lợi, phường Bến Nghé, quận 1"
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))

    assert classes(composed) == classes(decomposed)
    assert [pii for pii, _ in classes(composed)] == ["name", "address"]


def test_addresses_are_found_with_and_without_marks() -> None:
    text = "Giao đến số 12 đường Lê Lợi, phường Bến Nghé, quận 1, Sài Gòn"

    assert [pii for pii, _ in classes(text)] == ["address"]
    assert [pii for pii, _ in classes(plain(text))] == ["address"]
    assert [pii for pii, _ in classes("12/5 Nguyen Trai, P.Ben Thanh, Q.1, TP.HCM")] == ["address"]
    assert classes("deliver to 350 Fifth Avenue, New York, NY 10118") == [("address", "350 Fifth Avenue, New York, NY 10118")]


@pytest.mark.parametrize(
    "address",
    [
        "173 Roberts Knolls\nPerryfurt, MH 61316",
        "07313 Kimberly Isle Suite 553\nPort Ambermouth, AZ 61501-1234",
        "2035 Gewerbepark 45 Apt. 815",
        "329/50 Miranda Quadrangle\nNew Stephenfurt, TAS, 8464",
        "1290 Beaumont Heights, Montréal, QC H2W 1T9",
        "Flat 8\nJade Springs\nWest Edwardchester\nSR9 6WW",
    ],
)
def test_addresses_without_a_word_for_street_are_told_by_what_stands_behind(address: str) -> None:
    text = f"Please send it to {address}. Thanks"

    assert [each.of(text) for each in find(text, classes=["address"])] == [address]


def test_sentences_with_numbers_and_capitals_are_no_addresses() -> None:
    for text in ("On May 5 John met us in Suite 12", "In 2019 Acme sold 12 Units, and 30 OR 40 failed", "1 A" + "\n" * 20_000 + "B"):
        assert find(text, classes=["address"]) == []


def test_columns_of_organizations_hold_no_names_of_people() -> None:
    """Hospitals, schools and firms bear names of people in Vietnam; without the word before they are taken for them."""
    kinds = ("Bệnh viện {} {}", "Trường tiểu học {} {}", "Công ty TNHH {} {}", "Ngan hang {} {}", "Nhà thuốc {} {}")
    firms = [kind.format(*name) for kind in kinds for name in product(("Nguyễn", "Trần", "Lê", "Phạm"), ("Minh Châu", "Hồng Ngọc"))]
    people = [" ".join(name) for name in product(("Trương", "Đoàn", "Hồ", "Nguyễn", "Cao"), ("Thị", "Văn"), ("Hội", "Châu", "Ngọc"))]

    found = [scan_column(pl.Series("c", values)) for values in (firms, people)]

    assert ["name"] == [each.pii for each in found if each is not None and each.pii == "name"]
    assert "name" == getattr(found[1], "pii", "")


def test_redacting_puts_the_class_in_place() -> None:
    assert redact("Anh Nguyễn Văn An, 0912345678") == "Anh [name], [phone]"
    assert redact("nothing here", classes=["email"]) == "nothing here"


def test_columns_are_told_by_their_values_and_their_names_are_only_a_hint() -> None:
    frame = pl.DataFrame(
        {
            "contact": [f"user{i}@example.com" for i in range(40)],
            "mobile": [f"09{i:08}" for i in range(40)],
            "khach": [f"Nguyễn Văn {word}" for word in ("An", "Bình", "Chi", "Dũng", "Giang", "Hà", "Khoa", "Lan") * 5],
            "note": [f"Khách tên Trần Thị Lan gọi lần {i} lúc sáng nay" for i in range(40)],
            "passport": list(range(40)),
            "airline": ["Delta Airlines", "United", "Vietnam Airlines", "JetBlue"] * 10,
            "price": [i * 1.5 for i in range(40)],
        }
    )

    found = {each.column: (each.pii, each.certainty) for each in scan(frame)}

    assert found == {
        "contact": ("email", "likely"),
        "mobile": ("phone", "likely"),
        "khach": ("name", "likely"),
        "note": ("free-text", "likely"),
    }


def test_a_name_over_values_that_say_otherwise_is_a_possibility() -> None:
    frame = pl.DataFrame({"phone": ["yes", "no"] * 30, "diagnosis": ["flu", "cold"] * 30})

    found = {each.column: (each.pii, each.certainty, each.evidence) for each in scan(frame)}

    assert found == {
        "phone": ("phone", "possible", ("only its name says phone",)),
        "diagnosis": ("health", "possible", ("only its name says health",)),
    }


def test_examples_in_a_finding_are_masked() -> None:
    (found,) = scan(pl.DataFrame({"mail": [f"somebody{i}@secret.org" for i in range(30)]}))

    assert found.examples == ("s***@***.org",)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("Ngày sinh", "birth-date"),
        ("so_dien_thoai", "phone"),
        ("customerPhone", "phone"),
        ("filename", ""),
        ("flight", ""),
        ("MST", "tax-id"),
    ],
)
def test_names_of_columns_are_read_in_both_languages(column: str, expected: str) -> None:
    assert hinted(column) == expected
