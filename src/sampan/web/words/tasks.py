"""The words of models of numbers and of several classes, in Vietnamese; `words` puts them with the others."""

from __future__ import annotations

from typing import Final

_N, _SPAN = r"[-\d.,e]+%?", r"[-\d.,e]+%?(?: \([^)]*\))?"

WORDS: Final[dict[str, str]] = {
    "Accuracy": "Độ chính xác",
    "Mean F1 of the classes": "F1 trung bình các lớp",
    "Mean AUC of the classes": "AUC trung bình các lớp",
    "Root mean squared error": "Căn sai số bình phương trung bình",
    "Mean absolute error": "Sai số tuyệt đối trung bình",
    "Mean error as a share of the truth": "Sai số trung bình theo tỷ lệ giá trị thật",
    "Pinball loss": "Sai số phân vị",
    "Share of variance explained": "Tỷ lệ phương sai giải thích được",
    "Mean of answer minus truth": "Trung bình của câu trả lời trừ giá trị thật",
    "Log loss, always the same answer": "Log loss, khi luôn trả lời như nhau",
    "Root mean squared error, always the same answer": "Căn sai số bình phương trung bình, khi luôn trả lời như nhau",
    "Mean absolute error, always the same answer": "Sai số tuyệt đối trung bình, khi luôn trả lời như nhau",
    "Mean error as a share of the truth, always the same answer": "Sai số theo tỷ lệ giá trị thật, khi luôn trả lời như nhau",
    "Pinball loss, always the same answer": "Sai số phân vị, khi luôn trả lời như nhau",
    "Cost a row, always the same answer": "Chi phí mỗi dòng, khi luôn trả lời như nhau",
    "Mean of the truth": "Trung bình giá trị thật",
    "Live": "Thực tế",
    "Live accuracy": "Độ chính xác thực tế",
    "Live root mean squared error": "Căn sai số bình phương thực tế",
    "Live mean absolute error": "Sai số tuyệt đối thực tế",
    "Class by class": "Từng lớp một",
    "Class": "Lớp",
    "Found, of those that were": "Tìm ra, trong số thật có",
    "Right, of those named so": "Đúng, trong số được gọi như vậy",
    "Rows: what it was. Columns: what was decided.": "Hàng: thực tế là gì. Cột: đã quyết định gì.",
    "Across: how sure the model was of the likeliest class. Up: the share in which it came, with its interval.": (
        "Ngang: mức chắc chắn của mô hình về lớp có khả năng nhất. Dọc: tỷ lệ lớp đó thật sự xảy ra, kèm khoảng tin cậy."
    ),
    "Across: what the model said. Up: what it was on average, with its interval. On the dashed line both are the same.": (
        "Ngang: điều mô hình nói. Dọc: giá trị thật trung bình, kèm khoảng tin cậy. Trên đường gạch, hai bên bằng nhau."
    ),
    "How far off": "Lệch bao nhiêu",
    "Quantiles of the truth minus the answer.": "Các phân vị của giá trị thật trừ câu trả lời.",
    "Is it right no less often than the champion?": "Có đúng thường xuyên không kém mô hình đang dùng không?",
    "Is it no farther off than the champion?": "Có lệch không hơn mô hình đang dùng không?",
    "Does it lose no more than its budget allows?": "Có mất mát không quá mức cho phép không?",
    "Are its chances no worse than the champion's?": "Xác suất đưa ra có không kém mô hình đang dùng không?",
    "root mean squared error": "căn sai số bình phương trung bình",
    "mean absolute error": "sai số tuyệt đối trung bình",
    "pinball loss": "sai số phân vị",
    "mean AUC of the classes": "AUC trung bình các lớp",
    "mean F1 of the classes": "F1 trung bình các lớp",
    "accuracy": "độ chính xác",
    "cost": "chi phí",
}

_ERRORS: Final = "root mean squared error|mean absolute error|pinball loss"
_TITLES: Final = "Accuracy|Root mean squared error|Mean absolute error|Mean AUC of the classes|Mean F1 of the classes|Pinball loss"

PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    (rf"cost per row below ({_N}), that of never warning", "chi phí mỗi dòng dưới {1}, mức khi không bao giờ cảnh báo"),
    (rf"cost per row below ({_N}), that of always warning", "chi phí mỗi dòng dưới {1}, mức khi luôn cảnh báo"),
    (rf"cost per row below ({_N}), that of always the same answer", "chi phí mỗi dòng dưới {1}, mức khi luôn trả lời như nhau"),
    (rf"([a-zA-Z0-9 ]+) below ({_N}), that of always the same answer", "{1:t} dưới {2}, mức khi luôn trả lời như nhau"),
    (r"([a-zA-Z0-9 ]+) lower than that of (.+), beyond chance", "{1:t} thấp hơn của {2}, vượt mức ngẫu nhiên"),
    (
        rf"live accuracy ({_SPAN}) is below the reference's ({_N}) by more than ({_N})",
        "độ chính xác thực tế {1} thấp hơn mức tham chiếu {2} quá {3}",
    ),
    (
        rf"live ({_ERRORS}) ({_SPAN}) is above the reference's ({_N}) by more than ({_N})",
        "{1:t} thực tế {2} cao hơn mức tham chiếu {3} quá {4}",
    ),
    (rf"({_ERRORS}|accuracy|mean AUC of the classes) ({_SPAN})", "{1:t} {2:t}"),
    (rf"({_TITLES}): search", "{1:t}: tìm tham số"),
    (rf"({_TITLES}): (.+)", "{1:t}: {2}"),
)
