"""The words of contracts in Vietnamese: the page that edits one, rules, and what a check finds."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    "Edit the contract": "Sửa hợp đồng",
    "Edit": "Sửa",
    "Rules": "Quy tắc",
    "The file has faults": "Tệp có lỗi",
    "Faults": "Lỗi",
    "The file": "Tệp",
    "Save": "Lưu",
    "Saved.": "Đã lưu.",
    "Nothing was saved": "Chưa lưu gì",
    "Saving writes the file and records a version of the contract under your name. A text with faults is not saved.": (
        "Khi lưu, tệp được ghi và một phiên bản hợp đồng được ghi lại dưới tên bạn. Văn bản có lỗi sẽ không được lưu."
    ),
    "It has no contract yet. One command drafts it from the data:": "Chưa có hợp đồng. Một lệnh phác thảo nó từ dữ liệu:",
    "the table has rows": "bảng có dòng",
}

_N = r"[-\d.,e+]+%?"
_ROWS = rf"({_N} of {_N} rows \({_N}\)|0 rows)"
# Put last among the sentences: a rule may begin with any column's name, so these match much.
PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    (rf"({_N}) of ({_N}) rows \(({_N})\)", "{1} trên {2} dòng ({3})"),
    ("0 rows", "0 dòng"),
    (r"column '(.+)' is missing; is '(.+)' it under another name\?", "thiếu cột '{1}'; có phải '{2}' là nó dưới tên khác?"),
    (r"column '(.+)' is missing", "thiếu cột '{1}'"),
    (r"column '(.+)' is not in the contract", "cột '{1}' không có trong hợp đồng"),
    (r"column '(.+)' is (\w+) \((.+)\) where the contract says (\w+)", "cột '{1}' là {2} ({3}) trong khi hợp đồng ghi {4}"),
    (rf"{_ROWS} lack (.+); none may", "{1:t} thiếu {2}; không dòng nào được phép"),
    (rf"{_ROWS} lack (.+); at most ({_N}) may", "{1:t} thiếu {2}; tối đa {3} được phép"),
    (rf"{_ROWS} lack (.+) together; (.+) (?:is|are) missing there too", "{1:t} cùng thiếu {2}; ở đó cũng thiếu {3}"),
    (rf"{_ROWS} lack (.+) together", "{1:t} cùng thiếu {2}"),
    (rf"{_ROWS} break “(.+)”", "{1:t} vi phạm “{2:t}”"),
    (
        rf"{_ROWS} share (.+) with another \(({_N}) values are not unique\)",
        "{1:t} trùng {2} với dòng khác ({3} giá trị không duy nhất)",
    ),
    (
        rf"{_ROWS} have no counterpart in (.+): ({_N}) values of (.+); ({_N}) more lack a value and refer to nothing",
        "{1:t} không có dòng tương ứng trong {2}: {3} giá trị của {4}; thêm {5} dòng thiếu giá trị nên không tham chiếu đến gì",
    ),
    (rf"{_ROWS} have no counterpart in (.+): ({_N}) values of (.+)", "{1:t} không có dòng tương ứng trong {2}: {3} giá trị của {4}"),
    (r"(.+) cannot be looked up in (.+): (.+)", "không thể tra {1} trong {2}: {3}"),
    (rf"({_N}) rows where at (least|most) ({_N}) are expected", "{1} dòng trong khi cần {2:t} {3}"),
    ("least", "ít nhất"),
    ("most", "nhiều nhất"),
    (rf"the newest (.+) is (\S+), ({_N}) hours ago; ({_N}) are allowed", "{1} mới nhất là {2}, cách đây {3} giờ; cho phép {4} giờ"),
    (rf"({_N}) where “(.+)” is expected", "{1} trong khi cần “{2:t}”"),
    (
        rf"(.+) lies ({_N}) from its reference; at most ({_N}) is allowed\. (?:up to )?(.+): ({_N}) were expected, ({_N}) are there",
        "{1} lệch {2} so với phân phối tham chiếu; cho phép tối đa {3}. Tại {4}: cần {5}, thực tế {6}",
    ),
    (r"not judged: (.+); there is no dataset (.+) here", "không xét được: {1:t}; ở đây không có bộ dữ liệu {2}"),
    (r"not judged: (.+); there is no value", "không xét được: {1:t}; không có giá trị"),
    (r"not judged: (.+)", "không xét được: {1:t}"),
    # Rules in words, the most particular first.
    (rf"(.+) \(false alarms expected a year: ({_N})\)", "{1:t} (dự kiến báo nhầm mỗi năm: {2})"),
    (rf"(.+), in all but ({_N}) of the rows", "{1:t}, trừ {2} số dòng"),
    (r"(.+) is there, as (string|integer|number|boolean|date|timestamp|time|array|object)", "có cột {1}, kiểu {2}"),
    (r"(.+) \((.+) count as missing\)", "{1:t} ({2} được tính là thiếu)"),
    (r"(.+) is never missing", "{1} không bao giờ thiếu"),
    (rf"(.+) is missing in at most ({_N}) of the rows", "{1} thiếu ở tối đa {2} số dòng"),
    (r"(.+) are missing together or not at all", "{1} cùng thiếu hoặc cùng có"),
    (r"(.+) is found in (\S+) \((.+)\)", "{1} có trong {2} ({3})"),
    (r"(.+) is unique", "{1} là duy nhất"),
    (r"the newest (.+) is at most (\S+) hours old", "{1} mới nhất không quá {2} giờ"),
    (r"(.+) is distributed as in its reference, up to (\S+)", "{1} phân phối như tham chiếu, lệch tối đa {2}"),
    (r"the table has (.+) rows", "bảng có {1:t} dòng"),
    (r"the standard deviation of (.+) is (.+)", "độ lệch chuẩn của {1} {2:t}"),
    (r"the number of distinct values of (.+) is (.+)", "số giá trị khác nhau của {1} {2:t}"),
    (r"the share of distinct values of (.+) is (.+)", "tỷ lệ giá trị khác nhau của {1} {2:t}"),
    (r"the mean of (.+) is (.+)", "trung bình của {1} {2:t}"),
    (r"the median of (.+) is (.+)", "trung vị của {1} {2:t}"),
    (r"the sum of (.+) is (.+)", "tổng của {1} {2:t}"),
    (r"the minimum of (.+) is (.+)", "giá trị nhỏ nhất của {1} {2:t}"),
    (r"the maximum of (.+) is (.+)", "giá trị lớn nhất của {1} {2:t}"),
    (r"(.+) has (.+) characters", "{1} có {2:t} ký tự"),
    (r"(.+) is one of (.+) … \((\d+) values\)", "{1} là một trong {2} … ({3} giá trị)"),
    (r"(.+) is one of (.+)", "{1} là một trong {2}"),
    (r"(.+) is none of (.+)", "{1} không là giá trị nào trong {2}"),
    (r"(.+) looks like (.+)", "{1} có dạng {2}"),
    (r"(.+) is (between .+ and .+|at least .+|at most .+|above .+|below .+)", "{1} {2:t}"),
    (r"between (\S+) and (\S+)", "từ {1} đến {2}"),
    (r"at least (\S+) and below (\S+)", "ít nhất {1} và dưới {2}"),
    (r"above (\S+) and at most (\S+)", "trên {1} và nhiều nhất {2}"),
    (r"above (\S+) and below (\S+)", "trên {1} và dưới {2}"),
    (r"at least (\S+)", "ít nhất {1}"),
    (r"at most (\S+)", "nhiều nhất {1}"),
    (r"above (\S+)", "trên {1}"),
    (r"below (\S+)", "dưới {1}"),
    (r"every row passes (.+)", "mọi dòng đạt {1}"),
    (r"(.+) passes (\S+)", "{1} đạt {2}"),
    (r"(.+) holds", "{1} luôn đúng"),
)
