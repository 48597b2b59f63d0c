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
    "How far it came, and why no further": "Đã đi đến đâu, và vì sao không đi tiếp",
    "for": "thay cho",
    "sent back": "đã đưa về",
    "done": "xong",
    "earlier ones:": "lần trước đó:",
}

# Why a version is sent back, waits or was stopped, by the kinds of `serving/guards.py` and `rollout_events.py`, with the same figures.
REASONS: Final[dict[str, str]] = {
    "errors": "lỗi: {n_errors:,} trên {n:,} yêu cầu ({share:.1%}, ít nhất {low:.1%}) > {allowed:.1%}",
    "latency_p95": "độ trễ: p95 {own_ms:.1f} ms gấp {times:.1f} lần bản đang phục vụ ({live_ms:.1f} ms), giới hạn {limit:g} lần",
    "latency_median": "độ trễ: trung vị {own_ms:.1f} ms gấp {times:.1f} lần bản đang phục vụ ({live_ms:.1f} ms), giới hạn {limit:g} lần",
    "drift": "trôi: câu trả lời lệch {moved:.2f} lần độ trải của bản đang phục vụ (trung bình {mean:.3g}, bản kia {live_mean:.3g}), "
    "giới hạn {limit:g}, và {noise:.2f} cho ngẫu nhiên",
    "agreement": "đồng thuận: câu trả lời tương quan {correlation:.2f} với bản đang phục vụ trên cùng các dòng, cần {wanted:g}",
    "rule_broken": "quy tắc: {rule} không đúng trên {n_rows:,} dòng",
    "rule_unanswered": "quy tắc: không tính được {rule}: {cause}",
    "kpi": "giá trị: mỗi quyết định đáng {value:.4g}, của bản đang phục vụ {live_value:.4g}; được phép mất tối đa {limit:g}",
    "few_answered": "đã trả lời {n_rows:,} dòng, cần {wanted:,}",
    "few_scored": "đã chấm điểm {n_rows:,} dòng, cần {wanted:,}",
    "few_timed": "quá ít yêu cầu để so độ trễ: của nó {n_rows:,} dòng, của bản đang phục vụ {n_live:,}",
    "uncounted": "không máy chủ nào cho biết đã có bao nhiêu lỗi",
    "load": "nạp: {cause}",
    "nothing_to_follow": "{cause}",
    "crash": "sập: {n} tiến trình của máy chủ đã chết khi đang chạy nó",
    "crashes": "sập: {n} tiến trình của máy chủ đã chết khi đang chạy nó",
    "seconds_left": "bước này còn {n} giây",
    "minutes_left": "bước này còn {n} phút",
    "not_shadow": "nó không còn chạy bóng của {service}",
    "not_canary": "nó không còn là canary của {service}",
    "not_live": "nó không còn là bản đang phục vụ của {service}",
    "not_followed": "{live} không còn là bản mà nó nối tiếp",
}
