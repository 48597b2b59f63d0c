from __future__ import annotations

from pathlib import Path

from sampan.store.hints import Hints


def test_what_was_put_is_there_for_the_next_process(tmp_path: Path) -> None:
    Hints(tmp_path / "hints").put("libraries", {"numpy": ["2.4", None]})

    assert Hints(tmp_path / "hints").get("libraries") == {"numpy": ["2.4", None]}


def test_what_was_never_put_is_none(tmp_path: Path) -> None:
    assert Hints(tmp_path / "hints").get("libraries") is None


def test_a_torn_file_reads_as_none(tmp_path: Path) -> None:
    hints = Hints(tmp_path / "hints")
    hints.put("libraries", {"numpy": "2.4"})
    file = tmp_path / "hints" / "libraries.json"
    file.write_bytes(file.read_bytes()[:-3])

    assert hints.get("libraries") is None


def test_a_folder_that_cannot_be_made_keeps_nothing_and_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    hints = Hints(tmp_path / "file" / "hints")
    hints.put("libraries", 1)

    assert hints.get("libraries") is None


def test_nothing_but_the_hint_is_left_behind(tmp_path: Path) -> None:
    hints = Hints(tmp_path / "hints")
    for n in range(3):
        hints.put("libraries", n)

    assert [path.name for path in (tmp_path / "hints").iterdir()] == ["libraries.json"]
