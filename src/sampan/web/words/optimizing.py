"""The words of the page of a model's smaller forms, in Vietnamese; `words` puts them with the others."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    "Smaller forms": "Dạng gọn hơn",
    "Smaller and faster forms": "Các dạng nhỏ hơn và nhanh hơn",
    "variants measured": "biến thể đã đo",
    "rows that none had learned from": "dòng mà không dạng nào đã học",
    "examples": "ví dụ",
    "Budget": "Ngân sách",
    "made": "đã tạo",
    "nothing is better than the model as it is": "không có gì tốt hơn mô hình hiện có",
    "nothing is within it": "không có gì nằm trong đó",
    "All that was measured": "Tất cả những gì đã đo",
    "Variant": "Biến thể",
    "Against the parent": "So với mô hình gốc",
    "1 row, p50": "1 dòng, p50",
    "100 rows, p50": "100 dòng, p50",
    "Instructions a row": "Số lệnh mỗi dòng",
    "Processor time a row": "Thời gian xử lý mỗi dòng",
    "As it is": "Như hiện có",
    "picked": "được chọn",
    "beaten by": "thua",
    "Beaten": "Bị vượt qua",
    "Beaten by none": "Không bị vượt qua",
    "Costs are of the graph alone, measured in turns on one machine.": "Chi phí chỉ tính đồ thị, đo luân phiên trên một máy.",
    "Not to be had": "Không có được",
    "Size and quality": "Kích thước và chất lượng",
    "Time of one row and quality": "Thời gian một dòng và chất lượng",
    "Time of 100 rows and quality": "Thời gian 100 dòng và chất lượng",
    "Picked": "Được chọn",
    "As it is, it has no graph: its costs are of the model asked in Python.": (
        "Mô hình hiện có không có đồ thị: chi phí đo khi hỏi nó bằng Python."
    ),
    "accuracy of a probe": "độ đúng của mô hình dò",
    "R² of a probe": "R² của mô hình dò",
    "likeness": "độ giống",
    "Made smaller from": "Thu gọn từ",
    "What was tried to make it smaller": "Những gì đã thử để thu gọn",
}
