"""That the pages are in Vietnamese, to the last word."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

import sampan.web
from sampan.compression import edits
from sampan.compression.students import students
from sampan.core.reasons import Reason, because
from sampan.serving import guards
from sampan.web.pages import datasets, figures, home, models, runs
from sampan.web.words import serving
from sampan.web.words.dictionary import VIETNAMESE, translator, vietnamese
from sampan.workspace.services import rollout_events

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


def test_every_form_a_graph_can_be_given_has_a_vietnamese_name() -> None:
    edits_named = {edits.name_of(edit, 0.5) for edit in edits.OF_ONE_MATRIX}
    edits_named |= {edits.FUSED, edits.DYNAMIC_INT8, edits.STATIC_INT8, edits.INT4_TABLES, *(name for name, _, _ in students())}

    assert [name for name in sorted(edits_named) if vietnamese(name) == name] == []


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
        ("3 of 8 features, 40 trees of 15 leaves, taught", "3 trên 8 đặc trưng, 40 cây 15 lá, học theo mô hình gốc"),
        ("first trees 50 %", "50 % cây đầu"),
        ("1.3x slower on one row", "chậm 1.3x với 1 dòng"),
        ("size 34,120 bytes > 30,000 bytes", "kích thước 34,120 byte > 30,000 byte"),
        ("p99 ≤ 2 ms, size ≤ 1,000,000 bytes, loss ≤ 0.005", "p99 ≤ 2 ms, kích thước ≤ 1,000,000 byte, mức kém đi ≤ 0.005"),
        ("rollout of churn@v2: shadow", "triển khai dần churn@v2: chạy bóng"),
        ("a sentence nobody knows", "a sentence nobody knows"),
    ],
)
def test_composed_sentences_keep_what_they_speak_of(text: str, expected: str) -> None:
    assert expected == vietnamese(text)


def test_reasons_are_said_in_vietnamese_with_the_same_figures() -> None:
    forms = {**guards.FORMS, **rollout_events.FORMS}

    assert sorted(serving.REASONS) == sorted(forms)
    for kind, form in forms.items():
        assert figures_in(form) == figures_in(serving.REASONS[kind]), kind


def figures_in(form: str) -> list[tuple[str, str]]:
    return sorted((name, shown or "") for _, name, shown, _ in Formatter().parse(form) if name)


def test_a_reason_that_no_form_fits_stays_as_it_was_written() -> None:
    said = because(guards.FORMS, "few_answered", n_rows=10, wanted=1200)

    assert vietnamese(said) == "đã trả lời 10 dòng, cần 1,200"
    assert translator("en")(said) == "10 rows answered, 1,200 wanted"
    assert (
        vietnamese(Reason("an older sentence"))
        == vietnamese(Reason("an older sentence", "few_answered", {"other": 1}))
        == "an older sentence"
    )


def test_english_stays_english() -> None:
    assert "at least 1,000 rows" == translator("en")("at least 1,000 rows")
