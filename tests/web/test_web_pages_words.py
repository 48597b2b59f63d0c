"""That the pages are in Vietnamese, to the last word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sampan.web
from sampan.web.pages import datasets, figures, home, models, runs
from sampan.web.words.dictionary import VIETNAMESE, translator, vietnamese

TEMPLATES = Path(sampan.web.__file__).parent / "templates"
PAGES = sorted(file.stem for file in TEMPLATES.glob("*.html"))
# Names that are the same in both languages.
SAME = {"AUC", "Log loss", "log loss", "canary", "champion"}


def texts(template: str) -> set[str]:
    """Collect what a template puts through t(), directly or as the label of a piece."""
    source = (TEMPLATES / f"{template}.html").read_text(encoding="utf-8")
    found = re.findall(r"""\bt\(\s*"([^"]+)"\s*\)""", source) + re.findall(r"""\bt\(\s*'([^']+)'\s*\)""", source)
    found += re.findall(r"""parts\.(?:tile|table|empty)\("([^"]+)\"""", source)
    found += re.findall(r"""\bnodes\("([^"]+)\"""", source)
    found += re.findall(r"""parts\.badge\([^()]*, "([^"]+)"\)""", source)
    return set(found)


@pytest.mark.parametrize("template", PAGES)
def test_every_word_of_a_page_is_there_in_vietnamese(template: str) -> None:
    missing = sorted(texts(template) - set(VIETNAMESE))

    assert missing == []


def test_every_title_of_a_chart_and_question_of_a_gate_is_there_in_vietnamese() -> None:
    said = {*models.QUESTIONS.values(), *figures.METRIC_WORDS.values(), *(title for title, _, _ in (*figures.QUALITY, *home.TRENDS))}
    said |= set(figures.CALIBRATION_NOTES.values())
    said |= {name for name, _ in figures.LABELLED} | set(datasets.TYPES.values()) | set(runs.STATES)

    assert sorted(said - set(VIETNAMESE)) == []


def test_nothing_is_translated_by_itself() -> None:
    assert {text for text, told in VIETNAMESE.items() if text == told} <= SAME


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at least 1,000 rows", "ít nhất 1,000 dòng"),
        ("auc 0.7081 (0.675 to 0.7364)", "auc 0.7081 (0.675 đến 0.7364)"),
        ("0.08196 (0 to 0.1777) between WN and AA", "0.08196 (0 đến 0.1777) giữa WN và AA"),
        ("at most 5% more wrong labels than the usual 0.0%", "nhãn sai không vượt mức thường 0.0% quá 5%"),
        ("0.8% (0.0% to 2.2%) of the labels of 2013-04 look wrong", "0.8% (0.0% đến 2.2%) nhãn của 2013-04 có vẻ sai"),
        ("June 2013: the model's scores moved far: ks 0.30", "Tháng 6/2013: điểm của mô hình đã trôi xa: ks 0.30"),
        ("May 2013", "Tháng 5/2013"),
        ("AUC: carrier", "AUC: carrier"),
        ("Cost a row: carrier", "Chi phí mỗi dòng: carrier"),
        ("lies after time_hour in 20,113 of 327,346 rows", "nằm sau time_hour ở 20,113 trên 327,346 dòng"),
        (
            "arr_time - sched_arr_time predicts the label with AUC 0.981, each alone with 0.612 and 0.598",
            "arr_time - sched_arr_time dự đoán nhãn với AUC 0.981, riêng từng cột là 0.612 và 0.598",
        ),
        ("rmse 3.385 (3.221 to 3.533)", "rmse 3.385 (3.221 đến 3.533)"),
        (
            "root mean squared error below 6.763, that of always the same answer",
            "căn sai số bình phương trung bình dưới 6.763, mức khi luôn trả lời như nhau",
        ),
        ("log loss lower than that of ends@v1, beyond chance", "log loss thấp hơn của ends@v1, vượt mức ngẫu nhiên"),
        (
            "mean absolute error lower than that of hours@v1, beyond chance",
            "sai số tuyệt đối trung bình thấp hơn của hours@v1, vượt mức ngẫu nhiên",
        ),
        (
            "live root mean squared error 6.01 (5.8 to 6.2) is above the reference's 3.5 by more than 25%",
            "căn sai số bình phương trung bình thực tế 6.01 (5.8 to 6.2) cao hơn mức tham chiếu 3.5 quá 25%",
        ),
        ("a sentence nobody knows", "a sentence nobody knows"),
    ],
)
def test_composed_sentences_keep_what_they_speak_of(text: str, expected: str) -> None:
    assert expected == vietnamese(text)


def test_english_stays_english() -> None:
    assert "at least 1,000 rows" == translator("en")("at least 1,000 rows")
