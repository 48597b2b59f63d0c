"""The words of the page that says whether data is useful, in Vietnamese; `words` puts them with the others."""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, str]] = {
    "Is it useful?": "Dữ liệu có ích không?",
    "What each batch would do to the model that exists, and the rows that a person should look at.": (
        "Mỗi lô dữ liệu sẽ tác động thế nào đến mô hình đang có, và những dòng con người nên xem."
    ),
    "Batches": "Các lô dữ liệu",
    "asked by": "hỏi bởi",
    "What each way does to a model": "Tác động của mỗi cách xử lý lên mô hình",
    "Way": "Cách xử lý",
    "Rows learned": "Số dòng đã học",
    "Change in log loss": "Thay đổi log loss",
    "not admitting": "không nhận",
    "admitting": "nhận",
    "admitting without the suspicious rows": "nhận, trừ các dòng đáng ngờ",
    "All on the same trusted rows; less is better.": "Cùng đo trên những dòng đáng tin cậy; càng thấp càng tốt.",
    "Beside as many usual rows:": "So với cùng số dòng thông thường:",
    "No batch was judged yet. A batch is judged before it is let in:": "Chưa có lô nào được đánh giá. Mỗi lô được đánh giá trước khi nhận:",
    "What the rows are worth": "Giá trị của từng dòng",
    "Labeled rows": "Dòng có nhãn",
    "Labels contradicted": "Nhãn bị phản bác",
    "Estimated share of wrong labels": "Tỷ lệ nhãn sai ước tính",
    "A row's value is the chance that models which did not see it give its label, less the most they give another.": (
        "Giá trị của một dòng là xác suất mà các mô hình chưa thấy dòng đó gán cho nhãn của nó, trừ đi xác suất cao nhất của nhãn khác."
    ),
    "A row's value is its exact Shapley value for its nearest neighbors.": (
        "Giá trị của một dòng là giá trị Shapley chính xác đối với các láng giềng gần nhất."
    ),
    "Values of all rows": "Giá trị của mọi dòng",
    "What leaving the least valuable rows out does": "Tác động khi bỏ các dòng ít giá trị nhất",
    "Left out": "Bỏ ra",
    "Beside as many at random": "So với bỏ ngẫu nhiên cùng số dòng",
    "On rows set aside, which keep their labels; less is better.": "Đo trên các dòng để riêng, giữ nguyên nhãn; càng thấp càng tốt.",
    "Rows to look at": "Những dòng nên xem",
    "Row": "Dòng",
    "Value": "Giá trị",
    "Fits better": "Nhãn hợp hơn",
    "The rows of this version were not valued yet. One command does:": "Các dòng của phiên bản này chưa được định giá. Một lệnh là đủ:",
    "helps": "có ích",
    "neutral": "trung tính",
    "suspicious": "đáng ngờ",
    "harmful": "có hại",
    "unknown": "chưa đủ để kết luận",
    "a model does as well without it": "mô hình vẫn tốt như vậy khi không có lô này",
    "admitted": "đã nhận",
    "held": "tạm giữ",
}
_N = r"[-\d.,e]+%?"
PATTERNS: Final[tuple[tuple[str, str], ...]] = (
    (
        rf"the labels hardly follow the columns: AUC ({_N}), usually ({_N})",
        "nhãn gần như không còn theo các cột: AUC {1}, thường là {2}",
    ),
    (
        rf"about ({_N}(?: \([^)]*\))?) of the labels look wrong to (?:.+); usually ({_N}), at most ({_N})",
        "khoảng {1:t} nhãn có vẻ sai; thường {2}, nhiều nhất {3}",
    ),
    (rf"about ({_N}) of the ({_N}) labels look wrong where (.+) is (.+)", "khoảng {1} trong {2} nhãn có vẻ sai ở nơi {3} là {4}"),
    (
        rf"(.+) looks planted: in ({_N}) rows \((?:.+)\), ({_N}) labeled (\S+) where ({_N}) were to be expected",
        "{1} có vẻ bị cài vào: ở {2} dòng, {3} có nhãn {4} trong khi chỉ nên là {5}",
    ),
    (
        rf"({_N}) of the rows repeat rows that are there already; usually ({_N})",
        "{1} số dòng lặp lại các dòng đã có; thường là {2}",
    ),
    (
        rf"({_N}) of the rows are like hardly any before \(AUC ({_N})(?:.*)\); usually ({_N}), at most ({_N})",
        "{1} số dòng gần như không giống dòng nào trước đây (AUC {2}); thường {3}, nhiều nhất {4}",
    ),
    (
        rf"a model that learns it loses ({_N}) of log loss on ({_N}) trusted rows, beside one that learns usual rows",
        "mô hình học lô này xấu đi {1} log loss trên {2} dòng đáng tin cậy, so với mô hình học các dòng thông thường",
    ),
    (
        rf"a model that learns it gains ({_N}) of log loss on ({_N}) trusted rows",
        "mô hình học lô này tốt lên {1} log loss trên {2} dòng đáng tin cậy",
    ),
    (rf"half of it teaches the other half: ({_N}) of log loss gained", "một nửa lô dạy được nửa kia: log loss tốt lên {1}"),
    (rf"({_N}) labeled rows are too few to judge, ({_N}) are needed", "{1} dòng có nhãn là quá ít để đánh giá, cần {2}"),
    (rf"({_N}) trusted labeled rows are too few to judge by, ({_N}) are needed", "{1} dòng đáng tin cậy là quá ít để làm chuẩn, cần {2}"),
)
