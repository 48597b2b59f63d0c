"""The pages' words in Vietnamese. English is the key; a word that is missing shows in English, and a test names it.

Sentences that rooms compose (a gate's findings, a window's reasons) are matched by pattern; what they speak of stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from sampan.core.reasons import Reason
from sampan.web.words import admission as words_admission
from sampan.web.words import catalog as words_catalog
from sampan.web.words import compare as words_compare
from sampan.web.words import contract as words_contract
from sampan.web.words import explaining as words_explaining
from sampan.web.words import exploring as words_exploring
from sampan.web.words import models as words_models
from sampan.web.words import optimizing as words_optimizing
from sampan.web.words import policy as words_policy
from sampan.web.words import serving as words_serving
from sampan.web.words import studies as words_studies
from sampan.web.words import tasks as words_tasks
from sampan.web.words import versions as words_versions

LANGUAGES: Final = ("en", "vi")

_SHELL: Final[dict[str, str]] = {
    "Skip to content": "Đến nội dung",
    "Main": "Chính",
    "Times are UTC": "Giờ UTC",
    "Home": "Trang chủ",
    "Datasets": "Bộ dữ liệu",
    "Runs": "Lượt chạy",
    "Models": "Mô hình",
    "Services": "Dịch vụ",
    "Incidents": "Sự cố",
    "Log": "Nhật ký",
    "Not shown": "Không hiển thị được",
    "Sign in": "Đăng nhập",
    "Token": "Mã truy cập",
    "Paste the token that the server printed when it started, or open the whole address that it printed.": (
        "Dán mã truy cập mà máy chủ đã in ra khi khởi động, hoặc mở nguyên địa chỉ mà nó đã in."
    ),
    "This token is not the server's": "Mã này không phải của máy chủ",
    "It stands behind token= in the address that the server printed.": "Mã nằm sau token= trong địa chỉ mà máy chủ đã in.",
    "What to do next": "Việc nên làm tiếp",
    "to": "đến",
    "Numbers": "Số liệu",
    "No data yet.": "Chưa có dữ liệu.",
    "What happened": "Diễn biến",
    "When": "Khi nào",
    "Who": "Ai",
    "What": "Việc gì",
    "Nothing happened yet.": "Chưa có gì xảy ra.",
    "Since": "Từ",
    "since": "từ",
    "Lineage": "Nguồn gốc",
    "State": "Trạng thái",
    "Owner": "Phụ trách",
    "Model": "Mô hình",
    "Rows": "Số dòng",
    "rows": "dòng",
    "Show all": "Xem tất cả",
    "nothing": "không có gì",
    "none": "không có",
    "all": "tất cả",
    "yes": "có",
    "no": "không",
    "days": "ngày",
    "until": "đến trước",
    "windows": "cửa sổ",
    "Made": "Tạo lúc",
}

_STATES: Final[dict[str, str]] = {
    "live": "đang phục vụ",
    "previous": "trước đó",
    "shadow": "chạy bóng",
    "canary": "canary",
    "champion": "champion",
    "running": "đang chạy",
    "stopped": "đã dừng",
    "finished": "xong",
    "failed": "lỗi",
    "killed": "bị ngắt",
    "passed": "đạt",
    "warned": "có cảnh báo",
    "blocked": "vi phạm",
    "refused": "bị từ chối",
    "active": "đang dùng",
    "open": "đang mở",
    "closed": "đã đóng",
    "quiet": "ổn định",
    "drift": "có trôi dạt",
    "alarm": "báo động",
    "unknown": "chưa rõ",
    "better": "tốt hơn",
    "worse": "kém hơn",
    "not shown": "chưa thấy khác biệt",
    "fine": "đạt",
    "unclear": "chưa rõ",
    "broken": "vi phạm",
    "run requested": "yêu cầu huấn luyện",
    "dataset": "bộ dữ liệu",
    "contract": "hợp đồng dữ liệu",
    "check": "lần kiểm tra",
    "leakage": "lần tìm rò rỉ nhãn",
    "found": "có tìm thấy",
    "run": "lượt chạy",
    "model": "mô hình",
    "report": "báo cáo đánh giá",
    "decision": "quyết định",
    "package": "gói triển khai",
    "service": "dịch vụ",
    "deployment": "lần triển khai",
    "window": "cửa sổ",
    "incident": "sự cố",
    "copy": "bản sao",
    "there": "còn ở đó",
}

_EVENTS: Final[dict[str, str]] = {
    "alias moved": "chuyển bí danh",
    "dataset checked": "kiểm tra dữ liệu",
    "dataset described": "mô tả dữ liệu",
    "version published": "công bố phiên bản",
    "version exported": "xuất phiên bản ra tệp",
    "deployed": "triển khai",
    "gate decided": "cổng kiểm duyệt quyết định",
    "gate overridden": "bỏ qua cổng kiểm duyệt",
    "leaks found": "tìm cột làm lộ nhãn",
    "incident closed": "đóng sự cố",
    "incident continued": "sự cố tiếp diễn",
    "incident opened": "mở sự cố",
    "model evaluated": "đánh giá mô hình",
    "model trained": "huấn luyện xong mô hình",
    "package built": "đóng gói mô hình",
    "params logged": "ghi tham số",
    "run ended": "kết thúc lượt chạy",
    "run request handled": "đã xử lý yêu cầu huấn luyện",
    "run requested": "yêu cầu huấn luyện",
    "run started": "bắt đầu lượt chạy",
    "state changed": "đổi trạng thái",
    "step committed": "ghi nhận một bước",
    "tagged": "gắn thẻ",
    "traffic routed": "định tuyến lưu lượng",
    "version committed": "thêm phiên bản",
    "window sealed": "chốt cửa sổ",
}

_HOME: Final[dict[str, str]] = {
    "Nothing here yet. See a model's whole life on real data, or begin with your own.": (
        "Chưa có gì ở đây. Hãy xem trọn vòng đời một mô hình trên dữ liệu thật, hoặc bắt đầu với dữ liệu của bạn."
    ),
    "Live now": "Đang phục vụ",
    "Answers with": "Trả lời bằng",
    "Open incidents": "Sự cố đang mở",
    "Newest window": "Cửa sổ mới nhất",
    "with a label": "đã có nhãn",
    "No window of its traffic has been judged yet.": "Chưa có cửa sổ lưu lượng nào được đánh giá.",
    "No service is live.": "Chưa có dịch vụ nào đang phục vụ.",
    "Needs a person": "Cần người xử lý",
    "What there is": "Hiện có",
    "Model versions": "Phiên bản mô hình",
    "Runs and trials": "Lượt chạy và lần thử",
    "more reasons": "lý do khác",
    "The whole log": "Toàn bộ nhật ký",
    "Live AUC": "AUC thực tế",
    "Live log loss": "Log loss thực tế",
    "Live cost a row": "Chi phí thực tế mỗi dòng",
}

_SERVICE: Final[dict[str, str]] = {
    "Service": "Dịch vụ",
    "What answers requests, and how it is doing.": "Cái gì đang trả lời yêu cầu, và hoạt động ra sao.",
    "Windows": "Cửa sổ",
    "Window": "Cửa sổ",
    "Address": "Địa chỉ",
    "It answers at": "Phục vụ tại",
    "No server runs.": "Không có máy chủ nào đang chạy.",
    "The newest routing could not be loaded:": "Không nạp được cấu hình định tuyến mới nhất:",
    "Requests": "Yêu cầu",
    "Who asked": "Ai đã hỏi",
    "Caller": "Bên gọi",
    "Refused": "Bị từ chối",
    "Mean time": "Thời gian trung bình",
    "Last asked": "Lần hỏi cuối",
    "since the server started": "từ khi máy chủ khởi động",
    "Errors": "Lỗi",
    "Half are answered within": "Một nửa được trả lời trong",
    "95 of 100 within": "95% được trả lời trong",
    "Rows in the prediction log": "Dòng trong nhật ký dự đoán",
    "lost": "bị mất",
    "Who answers": "Mô hình nào trả lời",
    "Role": "Vai trò",
    "Rows answered": "Số dòng đã trả lời",
    "How good its answers were": "Chất lượng câu trả lời",
    "Live figures wait for labels; the estimate is made without them. Dashed lines: another model went live.": (
        "Số liệu thực tế phải chờ nhãn; số ước lượng không cần nhãn. Nét đứt dọc: một mô hình khác bắt đầu phục vụ."
    ),
    "AUC": "AUC",
    "Log loss": "Log loss",
    "log loss": "log loss",
    "Cost a row": "Chi phí mỗi dòng",
    "Rows by window": "Số dòng theo cửa sổ",
    "With a label": "Đã có nhãn",
    "all rows": "tất cả các dòng",
    "live, 95 % interval": "thực tế, khoảng tin cậy 95 %",
    "estimate": "ước lượng",
    "Drift by window": "Trôi dạt theo cửa sổ",
    "How far each feature is from what the model was judged on, 0 to 1. Shaded: it moved, beyond chance and by enough to matter.": (
        "Mỗi đặc trưng lệch bao xa so với dữ liệu dùng để đánh giá mô hình, từ 0 đến 1. "
        "Ô tô màu: đã trôi dạt, vượt mức ngẫu nhiên và đủ lớn để đáng quan tâm."
    ),
    "Feature": "Đặc trưng",
    "more features": "đặc trưng khác",
    "Verdict": "Kết luận",
    "Moved": "Trôi dạt",
    "Shadow": "Chạy bóng",
    "Why each verdict": "Vì sao có kết luận đó",
    "nothing moved": "không có gì trôi dạt",
    "A new candidate was asked for and nobody has taken it up:": "Đã có yêu cầu huấn luyện ứng viên mới nhưng chưa ai nhận:",
}

_INCIDENT: Final[dict[str, str]] = {
    "What needed a person, and what was done about it.": "Những việc cần người xử lý, và đã xử lý ra sao.",
    "No incident is like that.": "Không có sự cố nào như vậy.",
    "No incident. One opens when a window of traffic raises an alarm:": (
        "Chưa có sự cố. Sự cố được mở khi một cửa sổ lưu lượng phát báo động:"
    ),
    "How it ended": "Kết thúc ra sao",
    "What raised it": "Nguyên nhân",
}

_DATA: Final[dict[str, str]] = {
    "Columns that give the label away": "Các cột làm lộ nhãn",
    "They stay out of a model. The label:": "Không đưa chúng vào mô hình. Nhãn:",
    "rows have one": "dòng có nhãn",
    "None was found. The label:": "Không tìm thấy cột nào. Nhãn:",
    "AUC alone": "AUC riêng cột",
    "Evidence": "Bằng chứng",
    "the label is computed from it": "nhãn được tính từ cột này",
    "Every version that was ever added, its contract, and who uses it.": "Mọi phiên bản từng được thêm, hợp đồng dữ liệu, và nơi sử dụng.",
    "Dataset": "Bộ dữ liệu",
    "Columns": "Cột",
    "Column": "Cột",
    "Contract": "Hợp đồng dữ liệu",
    "Updated": "Cập nhật",
    "not checked": "chưa kiểm tra",
    "No dataset yet. Add a CSV, Parquet or JSON file:": "Chưa có bộ dữ liệu nào. Hãy thêm một tệp CSV, Parquet hoặc JSON:",
    "It keeps its contract.": "Dữ liệu tuân thủ hợp đồng.",
    "It keeps its contract, with warnings.": "Dữ liệu tuân thủ hợp đồng, có cảnh báo.",
    "It breaks its contract.": "Dữ liệu vi phạm hợp đồng.",
    "rules on": "quy tắc trên",
    "warn": "cảnh báo",
    "block": "chặn",
    "note": "ghi chú",
    "Example rows": "Dòng ví dụ",
    "No contract was checked yet. One command drafts it from the data:": (
        "Chưa kiểm tra hợp đồng dữ liệu. Một lệnh sẽ soạn hợp đồng từ chính dữ liệu:"
    ),
    "What is said of it": "Thông tin khai báo",
    "Label": "Nhãn",
    "none where": "không có nhãn khi",
    "Key": "Khóa",
    "Time": "Thời gian",
    "Type": "Kiểu",
    "Missing": "Thiếu",
    "Distinct": "Số giá trị khác nhau",
    "Values": "Giá trị",
    "Values are not shown:": "Không hiện giá trị:",
    "Distribution": "Phân bố",
    "integer": "số nguyên",
    "number": "số thực",
    "text": "văn bản",
    "time": "thời gian",
    "date": "ngày",
    "yes or no": "có/không",
    "Version": "Phiên bản",
    "Added": "Thêm lúc",
    "Source": "Nguồn",
    "Who uses it": "Nơi sử dụng",
    "Kind": "Loại",
    "As": "Vai trò",
    "Nothing was made from it yet.": "Chưa có gì được tạo từ dữ liệu này.",
}

_RUNS: Final[dict[str, str]] = {
    "Every training, with what it read and what came of it.": "Mọi lượt huấn luyện, cùng dữ liệu đã đọc và kết quả.",
    "Trials of searches": "Lần thử khi tìm tham số",
    "folded": "gộp lại",
    "shown": "hiện ra",
    "Filter": "Lọc",
    "Run": "Lượt chạy",
    "Started": "Bắt đầu",
    "Took": "Thời lượng",
    "Show more": "Xem thêm",
    "Older runs": "Các lượt chạy cũ hơn",
    "Newest runs": "Các lượt chạy mới nhất",
    "No run is like that.": "Không có lượt chạy nào như vậy.",
    "No run yet. A Python file with a training function is enough:": "Chưa có lượt chạy. Chỉ cần một tệp Python có hàm huấn luyện:",
    "Code": "Mã nguồn",
    "Machine": "Máy",
    "Id": "Mã số",
    "What it read": "Dữ liệu đã đọc",
    "What came of it": "Kết quả tạo ra",
    "None was given: the search chose them.": "Không khai báo: quá trình tìm tham số tự chọn.",
    "None was given.": "Không khai báo.",
    "Metrics": "Chỉ số",
    "Last": "Cuối",
    "Least": "Nhỏ nhất",
    "Most": "Lớn nhất",
    "Points": "Số điểm",
    "None was logged.": "Chưa ghi chỉ số nào.",
    "Trial": "Lần thử",
    "Environment": "Môi trường",
    "System": "Hệ thống",
    "Processor": "Bộ xử lý",
    "and changes not committed": "và thay đổi chưa commit",
    "no repository": "không có kho mã nguồn",
    "Changes not committed": "Thay đổi chưa commit",
    "libraries": "thư viện",
    "Search: log loss by trial": "Tìm tham số: log loss theo lần thử",
    "best so far": "tốt nhất đến lúc đó",
    "each trial": "từng lần thử",
    "Best so far": "Tốt nhất đến lúc đó",
    "Step": "Bước",
}

_LINEAGE: Final[dict[str, str]] = {
    "and": "và",
    "more like it": "mục tương tự",
    "What it was made from is on the left, what came of it on the right.": "Bên trái là nguồn tạo ra nó, bên phải là những gì nó tạo ra.",
    "Show alike things one by one": "Hiện từng mục tương tự",
    "Fold alike things": "Gộp các mục tương tự",
    "Shown are the nearest": "Đang hiện số mục gần nhất:",
    "more are farther away.": "mục khác ở xa hơn.",
    "The same as a table": "Dưới dạng bảng",
    "Made from": "Tạo từ",
    "Came of it": "Tạo ra",
    "Nothing is linked to it yet.": "Chưa có liên kết nào.",
    "Its page": "Trang riêng",
    "input": "đầu vào",
    "output": "đầu ra",
    "trained on": "học từ",
    "evaluated on": "đánh giá trên",
    "copied to": "sao ra",
    "derived from": "sinh ra từ",
    "checked by": "kiểm tra bởi",
    "packaged as": "đóng gói thành",
    "built as": "dựng thành",
    "deployed as": "triển khai thành",
    "observed by": "theo dõi bởi",
    "raised": "gây ra",
    "caused": "dẫn đến",
    "gated by": "duyệt bởi",
}

_LOG: Final[dict[str, str]] = {
    "Everything that changed, by whom and why. Each row is chained by hash to the one before.": (
        "Mọi thay đổi, do ai và vì sao. Mỗi dòng được nối với dòng trước bằng mã băm."
    ),
    "About": "Về",
    "Verify the chain": "Kiểm tra chuỗi",
    "whole": "nguyên vẹn",
    "Nothing happened yet. The first thing that does is written down:": "Chưa có gì xảy ra. Việc đầu tiên sẽ được ghi lại:",
}

VIETNAMESE: Final[dict[str, str]] = {
    **_SHELL,
    **_EVENTS,
    **_STATES,
    **_HOME,
    **_SERVICE,
    **_INCIDENT,
    **words_models.WORDS,
    **_DATA,
    **_RUNS,
    **_LINEAGE,
    **_LOG,
    **words_admission.WORDS,
    **words_catalog.WORDS,
    **words_compare.WORDS,
    **words_studies.WORDS,
    **words_tasks.WORDS,
    **words_explaining.WORDS,
    **words_versions.WORDS,
    **words_contract.WORDS,
    **words_exploring.WORDS,
    **words_policy.WORDS,
    **words_serving.WORDS,
    **words_optimizing.WORDS,
}

_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_N, _SPAN = r"[-\d.,e]+%?", r"[-\d.,e]+%?(?: \([^)]*\))?"
# A pattern of a composed sentence, and it in Vietnamese; {1} is put in as it is, {1:t} is translated itself.
SENTENCES: Final[tuple[tuple[str, str], ...]] = (
    *words_policy.PATTERNS,
    *words_admission.PATTERNS,
    *words_catalog.PATTERNS,
    *words_exploring.PATTERNS,
    *words_tasks.PATTERNS,
    (rf"at least ({_N}) rows", "ít nhất {1} dòng"),
    (rf"({_N}) rows", "{1} dòng"),
    (rf"(\w+) at least ({_N})", "{1} ít nhất {2}"),
    (rf"(\w+) at most ({_N})", "{1} không quá {2}"),
    (rf"(\w+) by (.+) within ({_N})", "{1} theo {2} chênh không quá {3}"),
    (rf"95 of 100 answers within ({_N}) ms", "95 trên 100 câu trả lời trong vòng {1} ms"),
    ("no answer time was measured", "chưa đo thời gian trả lời"),
    ("single requests are answered as in batch", "từng yêu cầu được trả lời như khi chạy theo lô"),
    (rf"({_N}) of ({_N}) answers are the same", "{1} trên {2} câu trả lời giống nhau"),
    (rf"at most ({_N}) more wrong labels than the usual ({_N})", "nhãn sai không vượt mức thường {2} quá {1}"),
    (rf"({_SPAN}) of the labels of (\S+) look wrong", "{1:t} nhãn của {2} có vẻ sai"),
    (r"(\w+) not worse than that of (.+)", "{1} không kém {2}"),
    (r"better than (.+)", "tốt hơn {1}"),
    ("no labeled rows that neither model was trained on", "không có dòng đã gán nhãn nào mà cả hai mô hình đều chưa học"),
    ("fewer than two groups with enough rows", "chưa có hai nhóm đủ dòng"),
    ("not enough rows to say for sure", "chưa đủ dòng để khẳng định"),
    ("the interval reaches past the limit", "khoảng tin cậy vượt qua giới hạn"),
    ("no difference shown", "chưa thấy khác biệt"),
    (rf"({_SPAN}) between (.+) and (.+)", "{1:t} giữa {2} và {3}"),
    (
        rf"(\w+) ({_N}) against ({_N}), difference ({_SPAN}) on ({_N}) rows; about ({_N}) more rows would show a difference of this size",
        "{1} {2} so với {3}, chênh lệch {4:t} trên {5} dòng; cần thêm khoảng {6} dòng để thấy rõ mức chênh này",
    ),
    (rf"(\w+) ({_N}) against ({_N}), difference ({_SPAN}) on ({_N}) rows", "{1} {2} so với {3}, chênh lệch {4:t} trên {5} dòng"),
    (rf"the ledger is intact: ({_N}) rows, each chained to the one before", "sổ cái nguyên vẹn: {1} dòng, mỗi dòng nối với dòng trước"),
    (rf"the ledger is broken at row ({_N}): (.+)", "sổ cái bị hỏng ở dòng {1}: {2}"),
    (r"declared to be known only (\w+)", "được khai báo là chỉ biết được {1}"),
    (rf"lies after (.+) in ({_N}) of ({_N}) rows", "nằm sau {1} ở {2} trên {3} dòng"),
    (
        rf"missing in ({_N}) of the ({_N}) rows without a label and in ({_N}) others: it comes with the outcome",
        "thiếu ở {1} trên {2} dòng không có nhãn và {3} dòng khác: nó đến cùng với kết quả",
    ),
    (
        rf"(.+) predicts the label with AUC ({_N}), each alone with ({_N}) and ({_N})",
        "{1} dự đoán nhãn với AUC {2}, riêng từng cột là {3} và {4}",
    ),
    (rf"equals (.+), which predicts the label, in ({_N}) of the rows", "bằng {1}, vốn dự đoán được nhãn, ở {2} số dòng"),
    (
        rf"alone it predicts the label with AUC ({_N}); the usual column has ({_N}) \(({_N}) deviations less\)",
        "riêng cột này dự đoán nhãn với AUC {1}; cột thông thường là {2} (kém {3} độ lệch)",
    ),
    (r"decision:(.+)", "quyết định:{1}"),
    (rf"(\w+ )?({_N}) \(({_N}) to ({_N})\)", "{1}{2} ({3} đến {4})"),
    (rf"live AUC ({_SPAN}) is below the reference's ({_N}) by more than ({_N})", "AUC thực tế {1:t} thấp hơn mức tham chiếu {2} quá {3}"),
    (
        rf"live log loss ({_SPAN}) is above the reference's ({_N}) by more than ({_N})",
        "log loss thực tế {1:t} cao hơn mức tham chiếu {2} quá {3}",
    ),
    (
        rf"live cost ({_SPAN}) a row is above the reference's ({_N}) by more than ({_N})",
        "chi phí thực tế mỗi dòng {1:t} cao hơn mức tham chiếu {2} quá {3}",
    ),
    (
        rf"estimated AUC ({_SPAN}) is below the reference's ({_N}) by more than ({_N})",
        "AUC ước lượng {1:t} thấp hơn mức tham chiếu {2} quá {3}",
    ),
    (
        rf"estimated log loss ({_SPAN}) is above the reference's ({_N}) by more than ({_N})",
        "log loss ước lượng {1:t} cao hơn mức tham chiếu {2} quá {3}",
    ),
    (
        rf"estimated cost ({_SPAN}) a row is above the reference's ({_N}) by more than ({_N})",
        "chi phí ước lượng mỗi dòng {1:t} cao hơn mức tham chiếu {2} quá {3}",
    ),
    (rf"features with ({_N}) of the importance moved far: (.+)", "các đặc trưng chiếm {1} độ quan trọng đã trôi xa: {2}"),
    (r"(.+): missing (\S+) -> (\S+)", "{1}: tỷ lệ thiếu {2} → {3}"),
    (rf"(.+): ({_N}) of rows have a value unlike any seen before", "{1}: {2} số dòng có giá trị chưa từng thấy"),
    (r"the model's scores moved far: (.+)", "điểm của mô hình đã trôi xa: {1}"),
    (r"(.+) was trained, shown better and promoted", "đã huấn luyện {1}, chứng minh tốt hơn và đưa lên thay"),
    (r"(.+) was trained and refused: (.+)", "đã huấn luyện {1} nhưng bị từ chối: {2}"),
    (r"deployed (.+)", "triển khai {1}"),
    (r"shadow (.+)", "chạy bóng {1}"),
    (r"promoted the (shadow|canary)", "đưa bản {1:t} lên thay"),
    (r"withdrew the (shadow|canary)", "rút bản {1:t}"),
    ("rolled back", "quay lại bản trước"),
    (r"rolled out (.+)", "triển khai dần {1}"),
    (r"rollout of (.+): (.+)", "triển khai dần {1}: {2:t}"),
    (r"(AUC|Log loss|Cost a row|Brier score): (.+)", "{1:t}: {2}"),
    (r"([a-z_]+): (.+); asked: (.+)", "{1}: {2:t}; yêu cầu: {3:t}"),
    (rf"({'|'.join(_MONTHS)}) (\d{{4}})(?:: (.+))?", "{1:month}/{2}{3:after}"),
    (r"(\d{4}-\d\d-\d\d[\d :–-]*): (.+)", "{1}: {2:t}"),  # an incident's title: its window, and why
    *words_contract.PATTERNS,
    *words_optimizing.PATTERNS,
    *words_explaining.PATTERNS,
)
_BEFORE: Final = {"after": ": ", "then": ", "}  # what stands before a part that may be missing
_SLOT: Final = re.compile(r"\{(\d)(?::(\w+))?\}")


def translator(language: str) -> Callable[[str | Reason], str]:
    """Return the function that puts an English text into `language`."""
    return vietnamese if language == "vi" else str


def vietnamese(text: str | Reason) -> str:
    """Put a text into Vietnamese, by the words and then by the patterns; what neither knows stays. A reason is said by its kind.

    >>> vietnamese("at least 1,000 rows")
    'ít nhất 1,000 dòng'
    """
    if isinstance(text, Reason):
        return _say(text)
    if text in VIETNAMESE:
        return VIETNAMESE[text]
    for pattern, form in _patterns():
        if found := pattern.fullmatch(text):
            return _SLOT.sub(lambda slot: _fill(found.group(int(slot[1])) or "", slot[2] or ""), form)
    return text


def _say(reason: Reason) -> str:
    try:
        return words_serving.REASONS[reason.kind].format(**reason.figures)
    except (KeyError, ValueError):  # of an older record, or of a plug-in's guard: the sentence it came with
        return vietnamese(reason.text)


def _fill(text: str, how: str) -> str:
    if how == "month":
        return f"Tháng {_MONTHS.index(text) + 1}"
    if how in _BEFORE:
        return f"{_BEFORE[how]}{vietnamese(text)}" if text else ""
    return vietnamese(text) if how == "t" else text


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), form) for pattern, form in SENTENCES)
