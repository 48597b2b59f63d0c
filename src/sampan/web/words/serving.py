"""The words of rollouts, workers and guards on a service's page, in Vietnamese; `words` puts them with the others."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    "Rollouts": "Các lần triển khai",
    "How new versions came to answer": "Các phiên bản mới đã đến lượt trả lời ra sao",
    "After": "Sau",
    "Steps": "Các bước",
    "Guards": "Chốt canh",
    "kept to its guards": "giữ đúng các chốt canh",
    "A version is being rolled out; the guards are asked every second.": ""
    "Một phiên bản đang được triển khai; các chốt canh được hỏi mỗi giây.",
    "done": "xong",
    "rolled_back": "đã đưa về",
}
