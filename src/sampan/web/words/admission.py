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
    "Way": "Cách xử lý",
    "Rows learned": "Số dòng đã học",
    "not admitting": "không nhận",
    "admitting": "nhận",
    "admitting without the suspicious rows": "nhận, trừ các dòng đáng ngờ",
    "All on the same trusted rows; less loss is better.": "Cùng đo trên những dòng đáng tin cậy; tổn thất càng thấp càng tốt.",
    "A model that learns these rows gets better. They can be let in.": "Mô hình học các dòng này sẽ tốt lên. Có thể nhận.",
    "Nothing looks wrong, and the model does as well without these rows. They can be let in.": (
        "Không có gì bất thường, và không có các dòng này mô hình vẫn tốt như vậy. Có thể nhận."
    ),
    "Something looks wrong. A person should look at the rows below before a model learns them.": (
        "Có điều bất thường. Nên có người xem các dòng dưới đây trước khi mô hình học chúng."
    ),
    "Something looks wrong, and a model that learns these rows does worse than with as many usual ones. They should stay out.": (
        "Có điều bất thường, và mô hình học các dòng này kém hơn khi học cùng số dòng thông thường. Không nên nhận."
    ),
    "admitted in part": "đã nhận một phần",
    "There is not enough to say whether these rows are right.": "Chưa đủ để nói các dòng này có đúng không.",
    "Rows with a label": "Dòng có nhãn",
    "Rows that look wrong": "Dòng có vẻ sai",
    "Held back": "Bị giữ lại",
    "What became of it": "Kết cục của lô",
    "Why": "Vì sao",
    "What happens to the model": "Mô hình sẽ ra sao",
    "The model becomes": "Mô hình trở nên",
    "Change": "Thay đổi",
    "as it is": "như hiện nay",
    "no different": "không khác",
    "squared error": "sai số bình phương",
    "rank agreement": "độ khớp thứ hạng",
    "Which rows": "Những dòng nào",
    "Surprise": "Độ bất ngờ",
    "Looks wrong": "Có vẻ sai ở",
    "label": "nhãn",
    "repeated": "lặp lại",
    "strange": "khác lạ",
    "all its rows are there already, so that nothing changes": "mọi dòng của lô đã có sẵn, nên không có gì thay đổi",
    "The most surprising first; rows are counted from 0 in the batch.": "Dòng bất ngờ nhất ở trên; dòng trong lô đếm từ 0.",
    "Surprise is the chance, by models of trusted rows, that the label or the value is another.": (
        "Độ bất ngờ là xác suất, theo mô hình của các dòng đáng tin cậy, rằng nhãn hoặc giá trị phải là khác."
    ),
    "To see all rows that are held, to let them in with a reason, or to drop them:": (
        "Để xem mọi dòng bị giữ, nhận chúng kèm lý do, hoặc bỏ chúng:"
    ),
    "A row's value says how few rows lie further from what models which did not see it expect; -1 is the furthest.": (
        "Giá trị của một dòng cho biết có bao ít dòng lệch xa hơn so với điều các mô hình chưa thấy nó dự đoán; -1 là lệch xa nhất."
    ),
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
    (r"the label (\S+)", "nhãn {1}"),
    (
        rf"the labels hardly follow the columns: (AUC|rank agreement) ({_N}), usually ({_N})",
        "nhãn gần như không còn theo các cột: {1:t} {2}, thường là {3}",
    ),
    (
        rf"about ({_N}(?: \([^)]*\))?) of the labels look wrong to (?:.+); usually ({_N}), at most ({_N})",
        "khoảng {1:t} nhãn có vẻ sai; thường {2}, nhiều nhất {3}",
    ),
    (rf"about ({_N}) of the ({_N}) labels look wrong where (.+) is (.+)", "khoảng {1} trong {2} nhãn có vẻ sai ở nơi {3} là {4}"),
    (
        rf"(.+) looks planted: in ({_N}) rows \((?:.+)\), ({_N}) labeled (.+) where ({_N}) were to be expected",
        "{1} có vẻ bị cài vào: ở {2} dòng, {3} có nhãn {4} trong khi chỉ nên là {5}",
    ),
    (
        rf"({_N}) of the rows repeat rows that are there already; usually ({_N})",
        "{1} số dòng lặp lại các dòng đã có; thường là {2}",
    ),
    (
        rf"({_N}) of the rows are like hardly any before \(AUC ([\d.]+), most by (.+)\); usually ({_N}), at most ({_N})",
        "{1} số dòng gần như không giống dòng nào trước đây (AUC {2}, nhiều nhất ở {3}); thường {4}, nhiều nhất {5}",
    ),
    (
        rf"({_N}) of the rows are like hardly any before \(AUC ([\d.]+)\); usually ({_N}), at most ({_N})",
        "{1} số dòng gần như không giống dòng nào trước đây (AUC {2}); thường {3}, nhiều nhất {4}",
    ),
    (
        rf"a model that learns it loses ({_N}) of (log loss|squared error) on ({_N}) trusted rows, beside one that learns usual rows",
        "mô hình học lô này xấu đi {1} {2:t} trên {3} dòng đáng tin cậy, so với mô hình học các dòng thông thường",
    ),
    (
        rf"a model that learns it gains ({_N}) of (log loss|squared error) on ({_N}) trusted rows",
        "mô hình học lô này tốt lên {1} {2:t} trên {3} dòng đáng tin cậy",
    ),
    (
        rf"half of it teaches the other half: ({_N}) of (log loss|squared error) gained",
        "một nửa lô dạy được nửa kia: {2:t} tốt lên {1}",
    ),
    (
        rf"about ({_N}) of the values of (.+) do not fit the rest of their rows; usually ({_N}), at most ({_N})",
        "khoảng {1} giá trị của {2} không hợp với phần còn lại của dòng; thường {3}, nhiều nhất {4}",
    ),
    (
        rf"(.+) is (\S+) in ({_N}) rows, far out of the range before \(({_N}); ({_N}) of the rows before\)",
        "{1} là {2} ở {3} dòng, nằm xa ngoài khoảng trước đây ({4}; trước đây {5} số dòng)",
    ),
    (rf"(.+) is (\S+) in ({_N}) rows \(({_N}); ({_N}) of the rows before\)", "{1} là {2} ở {3} dòng ({4}; trước đây {5} số dòng)"),
    (
        rf"(.+) is missing in ({_N}) rows \(({_N})\); usually ({_N}), at most ({_N})",
        "{1} bị thiếu ở {2} dòng ({3}); thường {4}, nhiều nhất {5}",
    ),
    (
        rf"({_N}) of ({_N}) rows are there already or came late; they change nothing and were not judged",
        "{1} trong {2} dòng đã có sẵn hoặc đến muộn; chúng không thay đổi gì và không được đánh giá",
    ),
    (
        rf"({_N}) rows are labeled (.+), where about ({_N}) were to be expected",
        "{1} dòng có nhãn {2}, trong khi dự kiến có khoảng {3}",
    ),
    (rf"({_N}) rows have the label (.+), which no row before has", "{1} dòng có nhãn {2}, nhãn chưa dòng nào trước đây có"),
    (rf"({_N}) labeled rows are too few to judge, ({_N}) are needed", "{1} dòng có nhãn là quá ít để đánh giá, cần {2}"),
    (rf"({_N}) trusted labeled rows are too few to judge by, ({_N}) are needed", "{1} dòng đáng tin cậy là quá ít để làm chuẩn, cần {2}"),
)
