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
    "as it is": "như hiện có",
    "fused": "gộp phép tính",
    "int8 dynamic": "int8 động",
    "int8 static": "int8 tĩnh",
    "int8 dynamic, tables in 4 bits": "int8 động, bảng 4 bit",
    "fewer features": "ít đặc trưng hơn",
    "size": "kích thước",
    "loss": "mức kém đi",
    " bytes": " byte",
    "cost shown worse": "chi phí được chứng minh là tệ hơn",
    "What was tried to make it smaller": "Những gì đã thử để thu gọn",
}

# Names of variants, and what is said of one against its parent and its budget.
PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    (r"first trees (\d+) %", "{1} % cây đầu"),
    (r"cut back (\d+) %", "tỉa còn {1} %"),
    (r"fewer units (\d+) %", "{1} % số nút"),
    (r"(\d+) threads?", "{1} luồng"),
    (r"(\d+) of (\d+) features", "{1} trên {2} đặc trưng"),
    (r"(\d+ of \d+ features), (.+)", "{1:t}, {2:t}"),
    (r"(\d+) trees of (\d+) leaves", "{1} cây {2} lá"),
    (r"network of (\d+) units", "mạng {1} nút"),
    (r"(.+), taught", "{1:t}, học theo mô hình gốc"),
    (r"(\d[\d.]*x) slower on one row", "chậm {1} với 1 dòng"),
    (r"(\d[\d.]*x) slower on 100 rows", "chậm {1} với 100 dòng"),
    (r"(\d[\d.]*x) larger", "lớn {1}"),
    (r"(\d[\d.]*x) more work a row", "tốn công {1} mỗi dòng"),
    (r"(\S+) shown worse", "{1:t} được chứng minh là tệ hơn"),
    (r"(size|loss|p99|p50|p99_100|p50_100) ≤ (\S+)( bytes| ms)?(?:, (.+ ≤ .+))?", "{1:t} ≤ {2}{3:t}{4:then}"),
    (r"size (\S+) bytes > (\S+) bytes", "kích thước {1} byte > {2} byte"),
    (r"loss (\S+) > (\S+)", "mức kém đi {1} > {2}"),
)
