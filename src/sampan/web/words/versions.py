"""The words of the page that says what changed between versions, in Vietnamese; `words` puts them with the others."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    "What changed": "Những gì đã thay đổi",
    "Rows are matched by": "Các dòng được ghép theo",
    "Rows that had to be read:": "Số dòng phải đọc:",
    "Rows added": "Dòng thêm",
    "Rows removed": "Dòng bị bỏ",
    "Rows changed": "Dòng thay đổi",
    "Rows the same": "Dòng giữ nguyên",
    "Compare with": "So sánh với",
    "Compare": "So sánh",
    "Changed values": "Giá trị thay đổi",
    "Share of the rows matched": "Tỷ lệ trong các dòng ghép được",
    "How the values moved": "Giá trị dịch chuyển ra sao",
    "From 0 (as before) to 1; missing counts as a value.": "Từ 0 (như cũ) đến 1; thiếu cũng tính là một giá trị.",
    "Moved by": "Mức dịch chuyển",
    "From → to": "Từ → đến",
    "Not checked.": "Chưa kiểm tra.",
    "New findings": "Phát hiện mới",
    "No longer found": "Không còn thấy",
    "added": "thêm",
    "removed": "bị bỏ",
    "changed": "thay đổi",
    "retyped": "đổi kiểu",
    "version edited": "sửa phiên bản",
    "version published": "công bố phiên bản",
}
