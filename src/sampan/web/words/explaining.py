"""The words of the page that explains a gain, in Vietnamese; `words` puts them with the others."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    "Explanation": "Giải thích",
    "Why is it better?": "Vì sao tốt hơn?",
    "later rows": "dòng về sau",
    "Gain": "Phần hơn",
    "positive is better": "dương là tốt hơn",
    "One change at a time would add up to": "Nếu cộng từng thay đổi riêng lẻ",
    "Changes act on each other; the shares take that into account.": "Các thay đổi tác động lẫn nhau; phần chia đã tính đến điều đó.",
    "Fits": "Số lần huấn luyện",
    "all combinations": "mọi tổ hợp",
    "drawn orders": "thứ tự rút ngẫu nhiên",
    "What changed": "Điều đã thay đổi",
    "Nothing a training depends on differs between the two.": "Không có gì ảnh hưởng đến huấn luyện khác nhau giữa hai bên.",
    "What each change contributed": "Đóng góp của từng thay đổi",
    "Share of the gain": "Phần trong mức hơn",
    "95 % interval": "Khoảng 95 %",
    "Alone": "Riêng lẻ",
    "As the last change": "Là thay đổi cuối",
    "In words": "Bằng lời",
    "Words that moved the answers most": "Những từ làm câu trả lời thay đổi nhiều nhất",
    "What the answer loses, on average, when the word is taken out of the rows that have it.": (
        "Câu trả lời mất đi bao nhiêu, trung bình, khi bỏ từ đó khỏi các dòng có nó."
    ),
    "Word": "Từ",
    "Why is it worse?": "Vì sao kém hơn?",
    "rows added": "thêm dòng",
    "rows removed": "bớt dòng",
    "values": "giá trị",
    "training code": "mã huấn luyện",
    "Before": "Trước",
    "After": "Sau",
    "Explanations": "Các lời giải thích",
    "log loss": "log loss",
    "auc": "AUC",
}

# What changed between two trainings.
PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    (r"features: (.+)", "đặc trưng: {1:t}"),
    (r"([\d,]+) rows are no longer learned from", "không còn học từ {1} dòng"),
    (r"([\d,]+) rows are learned from besides", "học thêm từ {1} dòng"),
    (r"([\d,]+) of ([\d,]+) rows in common have another label", "{1} trên {2} dòng chung có nhãn khác"),
    (r"values of (\d+) features differ on rows in common: (.+)", "giá trị của {1} đặc trưng khác nhau trên các dòng chung: {2}"),
    (r"and its parameters, which the other code does not take: (.+)", "và tham số của nó, mà mã kia không nhận: {1}"),
)
