"""The words of rollouts, workers and guards on a service's page, in Vietnamese; `words` puts them with the others."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    "Rollouts": "Các lần triển khai",
    "How new versions came to answer": "Các phiên bản mới đã đến lượt trả lời ra sao",
    "by gRPC at": "qua gRPC tại",
    "comes in for": "đang vào thay",
    "Each step gives it more of the traffic. Every second its errors, its speed and its answers are held against those of the version that "
    "answers now; if it does worse, it goes back by itself.": "Mỗi bước giao cho nó thêm lưu lượng. Mỗi giây, lỗi, tốc độ và câu trả lời "
    "của nó được so với phiên bản đang trả lời; nếu kém hơn, nó tự được đưa về.",
    "What it does on this step": "Nó làm được gì ở bước này",
    "Mean answer": "Câu trả lời trung bình",
    "It goes back, because of:": "Nó được đưa về, vì:",
    "It waits for the next step:": "Nó chờ bước kế tiếp:",
    "All is well; the next step comes in a moment.": "Mọi thứ đều ổn; bước kế tiếp đến ngay.",
    "How it ended": "Kết cục",
    "How far it came": "Đã đi đến đâu",
    "for": "thay cho",
    "sent back": "đã đưa về",
    "kept to its guards": "giữ đúng các chốt canh",
    "done": "xong",
}
