"""The words of the page of a study, in Vietnamese; `words` puts them with the others."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    "Study": "Cuộc tìm tham số",
    "Run of the search": "Lần chạy của cuộc tìm",
    "Trials": "Số lần thử",
    "stopped early": "dừng sớm",
    "Best": "Tốt nhất",
    "trial": "lần thử",
    "worker": "tiến trình",
    "workers": "tiến trình",
    "Failed": "Thất bại",
    "The best trial": "Lần thử tốt nhất",
    "What the trials came to": "Kết quả của các lần thử",
    "each trial": "từng lần thử",
    "best so far": "tốt nhất đến lúc đó",
    "What mattered": "Điều gì đáng kể",
    "Parameter": "Tham số",
    "Of all differences": "Trong mọi khác biệt",
    "Near the best": "Gần mức tốt nhất",
    "Good values": "Giá trị tốt",
    "Shares of all differences between trials; few trials tell little.": ""
    "Phần của mọi khác biệt giữa các lần thử; ít lần thử thì nói được ít.",
    "Tuned anew before each later span": "Tìm lại trước mỗi khoảng về sau",
    "What the search believed, and what came of it on rows it had not seen.": "Điều cuộc tìm tin, và kết quả trên những dòng nó chưa thấy.",
    "Span from": "Khoảng từ",
    "Believed": "Tin là",
    "Came to": "Thực tế",
    "not beaten in all": "không bị vượt ở mọi mặt",
}
