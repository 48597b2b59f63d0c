import io
import json
from typing import Any

import msgspec
import pytest

from sampan.cli import output
from sampan.cli.progress import TerminalProgress, progress_for
from sampan.core.answers import Answer, to_json
from sampan.errors import MissingDependency, StepFailed


class Line(msgspec.Struct, frozen=True):
    name: str
    n: int
    share: float | None = None


class Plain(Answer, frozen=True, kw_only=True):
    n_rows: int
    tags: dict[str, str] = {}
    lines: tuple[Line, ...] = ()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_answer_without_text_is_laid_out_by_its_fields() -> None:
    answer = Plain(n_rows=3, tags={"a": "b"}, lines=(Line("long name", 5, 0.123456789), Line("x", 1234)), next=("sampan status",))

    assert output.lay_out(answer).splitlines() == [
        "n rows: 3",
        "tags: a=b",
        "",
        "lines:",
        "  name          n  share",
        "  long name     5  0.123457",
        "  x          1234  -",
    ]


def test_what_is_next_comes_last(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(Plain(n_rows=1, next=("sampan a", "sampan b")), as_json=False)

    assert capsys.readouterr().out.endswith("\n\nnext: sampan a\nnext: sampan b\n")


def test_names_from_data_do_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2J\x9b31m\r\u202eb"
    output.show(Plain(n_rows=1, tags={"k": hostile}, next=(f"sampan data show {hostile}",)), as_json=False)
    output.show_error(StepFailed(hostile, step="a", hint=hostile), as_json=False)
    shown = "".join(capsys.readouterr())

    assert shown.count("a\\x1b[2J\\x9b31m\\x0d\\u202eb") == 4
    assert not {"\x1b", "\x9b", "\r", "\u202e"} & set(shown)


def test_json_holds_no_nan() -> None:
    assert json.loads(to_json({"x": float("nan"), "y": float("inf")})) == {"x": None, "y": None}


def test_an_error_class_adds_its_own_fields(capsys: pytest.CaptureFixture[str]) -> None:
    code = output.show_error(StepFailed("step clean raised", step="clean", trace="line 3"), as_json=True)

    assert code == 4
    assert json.loads(capsys.readouterr().err)["error"] == {
        "code": "step_failed",
        "message": "step clean raised",
        "hint": "",
        "step": "clean",
        "trace": "line 3",
    }
    assert output.show_error(MissingDependency("optuna", extra="train"), as_json=False) == 9


def test_color_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b" in output.paint("\x1b[1m", "x", Terminal())
    assert output.paint("\x1b[1m", "x", io.StringIO()) == "x"

    monkeypatch.setenv("NO_COLOR", "1")
    assert output.paint("\x1b[1m", "x", Terminal()) == "x"


def stages(stream: io.StringIO, **settings: Any) -> str:
    progress = TerminalProgress(stream, every_s=0.0, **settings)
    with progress.stage("train", total=4, unit="trials") as outer:
        outer.advance(2, "best 0.75")
        with progress.stage("fold") as inner:
            inner.advance()
    return stream.getvalue()


def test_a_terminal_gets_bars_that_redraw_one_line() -> None:
    text = stages(Terminal(), bars=True)

    assert "\r\x1b[Ktrain: ████████████░░░░░░░░░░░░  50% 2/4 trials best 0.75" in text
    assert text.count("\n") == 2


def test_a_log_gets_plain_lines() -> None:
    text = stages(io.StringIO(), bars=False)

    assert "\x1b" not in text
    assert "\r" not in text
    assert text.splitlines()[0] == "train:  50% 2/4 trials best 0.75"
    assert text.splitlines()[1].startswith("  fold: 1")
    assert text.splitlines()[-1].startswith("train: done, 2 trials, 0.0 s (best 0.75)")


def test_a_log_is_not_flooded() -> None:
    stream = io.StringIO()
    with progress_for(stream, quick_s=0).stage("read", unit="rows") as stage:
        for _ in range(10_000):
            stage.advance()

    assert stream.getvalue() == "read: done, 10,000 rows, 0.0 s\n"


def test_quick_work_leaves_no_trace() -> None:
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        with progress_for(stream).stage("read", total=3) as stage:
            stage.advance(3)

    assert log.getvalue() == ""
    assert "\n" not in terminal.getvalue()


def test_a_stage_that_fails_says_that_it_stopped() -> None:
    stream = io.StringIO()

    with pytest.raises(KeyboardInterrupt), progress_for(stream, quick_s=0).stage("read"):
        raise KeyboardInterrupt

    assert stream.getvalue().startswith("read: stopped, 0.0 s")


def test_a_library_of_ours_that_is_not_there_is_no_bug() -> None:
    for module in ("polars", "pyarrow.compute", "yaml"):
        told = output.describe(ModuleNotFoundError(f"No module named {module!r}", name=module))

        assert ("missing_dependency", f"{module} is not installed here") == (told["code"], told["message"])
        assert "pip install sampan" in told["hint"]
    assert "internal" == output.describe(ModuleNotFoundError("No module named 'flotsam'", name="flotsam"))["code"]
