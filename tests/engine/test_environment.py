from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sampan.engine.environment import MAX_DIFF_BYTES, capture, differences


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        who = ("-c", "user.name=ann", "-c", "user.email=ann@example.org")
        return subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], capture_output=True, text=True, check=True).stdout

    run("init", "-q")
    (tmp_path / "train.py").write_text("depth = 3\n")
    run("add", ".")
    run("commit", "-qm", "first")
    return run


def test_python_the_libraries_and_the_machine_are_told() -> None:
    import numpy

    found = capture()

    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.libraries["numpy"] == numpy.__version__
    assert found.machine
    assert found.os
    assert int(found.threads["usable"]) >= 1
    assert found.digest.startswith("b3:")


def test_nothing_is_imported_for_it() -> None:
    script = "import sys; sys.path.insert(0, 'src'); from sampan.engine.environment import capture; capture(); print(*sorted(sys.modules))"
    loaded = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split())

    assert loaded.isdisjoint({"numpy", "polars", "pyarrow", "importlib.metadata", "sklearn"})


def test_the_commit_and_what_was_not_committed_are_told(git: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("depth = 4\n")
    (tmp_path / "new_file.py").write_text("x = 1\n")

    found = capture(tmp_path)

    assert found.git_commit == git("rev-parse", "HEAD").strip()
    assert "-depth = 3\n+depth = 4\n" in found.git_diff
    assert found.git_diff.endswith("new file: new_file.py\n")
    assert not found.git_diff_cut


def test_changes_anywhere_in_the_repository_are_told_from_a_folder_inside(git: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "train.py").write_text("depth = 4\n")

    assert "+depth = 4" in capture(tmp_path / "inner").git_diff


@pytest.mark.parametrize("name", [".env", ".env.local", "deploy/prod.env", "certs/server.pem", "id_rsa", "aws_credentials", "Secrets.toml"])
def test_files_that_hold_secrets_are_never_read(name: str, git: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("KEY=first\n")
    git("add", "-f", name)
    git("commit", "-qm", "second")
    path.write_text("KEY=hunter2\n")
    (tmp_path / ".env.new").write_text("KEY=hunter3\n")
    (tmp_path / "train.py").write_text("depth = 4\n")

    found = capture(tmp_path)

    assert "hunter" not in found.git_diff
    assert name not in found.git_diff
    assert "+depth = 4" in found.git_diff


def test_a_large_difference_is_cut(git: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("x = 1\n" * 500_000)

    found = capture(tmp_path)

    assert found.git_diff_cut
    assert len(found.git_diff) <= MAX_DIFF_BYTES


def test_a_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    found = capture(tmp_path)

    assert (found.git_commit, found.git_diff, found.git_diff_cut) == ("", "", False)


def test_a_repository_without_a_commit_tells_its_new_files(tmp_path: Path) -> None:
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    (tmp_path / "a.py").write_text("x = 1\n")

    assert capture(tmp_path).git_diff == "new file: a.py\n"


def test_nothing_is_written_to_the_repository(git: Callable[..., str], tmp_path: Path) -> None:
    index = tmp_path / ".git" / "index"
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    os.utime(tmp_path / "train.py", (1, 1))  # git would note the new time

    capture(tmp_path)

    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


def test_differences_are_told_in_words() -> None:
    here = capture()
    there = msgspec.structs.replace(
        here,
        python="3.99.0",
        libraries={**{k: v for k, v in here.libraries.items() if k != "polars"}, "numpy": "99", "extra": "1"},
        threads={**here.threads, "OMP_NUM_THREADS": "64"},
        cpu_features=("avx999",),
        git_commit="abc",
        git_diff="x",
    )

    found = differences(here, there)

    assert f"Python {here.python} → 3.99.0" in found
    assert f"numpy {here.libraries['numpy']} → 99" in found
    assert f"polars {here.libraries['polars']} → not installed" in found
    assert "extra not installed → 1" in found
    assert f"threads: OMP_NUM_THREADS {here.threads.get('OMP_NUM_THREADS', 'not set')} → 64" in found
    assert "the processor has avx999 besides" in found
    assert "other uncommitted changes" in found
    assert differences(here, here) == []


def test_the_digest_tells_place_and_not_code(git: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = capture(tmp_path)
    (tmp_path / "train.py").write_text("depth = 9\n")

    assert capture(tmp_path).digest == clean.digest
    monkeypatch.setenv("OMP_NUM_THREADS", "63")
    assert capture(tmp_path).digest != clean.digest
