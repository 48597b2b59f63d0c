from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.errors import StoreUnavailable
from sampan.store.scratch import scratch_folder

HOLD = """
import sys, time
from pathlib import Path
from sampan.store.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "train") as folder:
    (folder / "model.bin").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_scratch_folder_is_empty_and_gone_afterwards(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "scratch", "train") as folder:
        assert [] == list(folder.iterdir())
        (folder / "deep").mkdir()
        (folder / "deep" / "model.bin").write_bytes(b"x")

    assert [] == list((tmp_path / "scratch").iterdir())


def test_a_scratch_folder_is_gone_after_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(KeyError), scratch_folder(tmp_path / "scratch", "train"):
        raise KeyError("x")

    assert [] == list((tmp_path / "scratch").iterdir())


def test_what_a_link_leads_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "rows.csv").write_text("a\n")

    with scratch_folder(tmp_path / "scratch", "train") as folder:
        (folder / "inputs").symlink_to(tmp_path / "kept")

    assert "a\n" == (tmp_path / "kept" / "rows.csv").read_text()


def test_the_next_one_removes_what_a_killed_process_left_but_not_what_a_living_one_has(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "scratch")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "src"}) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with scratch_folder(tmp_path / "scratch", "count"):
            assert theirs.is_dir()
        process.send_signal(signal.SIGKILL)
    assert theirs.is_dir()

    with scratch_folder(tmp_path / "scratch", "count") as ours:
        assert [ours] == list((tmp_path / "scratch").iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_text("a file")

    with pytest.raises(StoreUnavailable, match="scratch"), scratch_folder(tmp_path / "scratch", "train"):
        pass
