"""A disk that is full, read-only, or lies: one clear error through the command line, and what was stored can still be read."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import sampan as package

pytestmark = pytest.mark.slow  # each case starts the program several times

TABLE = "flight,carrier,seats\n" + "".join(f"{i},UA,{i % 7}\n" for i in range(500))
STEPS = """
import polars as pl
import sampan as sp

@sp.step
def big(flights: pl.DataFrame) -> pl.DataFrame:
    return flights.head(20)
"""
ENV = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1]), "SAMPAN_ACTOR": "an"}
SAMPAN = f"{sys.executable} -m sampan"


@cache
def namespace() -> tuple[str, ...]:
    """Return the command that gives a process mounts of its own, or nothing where the system allows nobody to."""
    for command in (("unshare", "--user", "--map-root-user", "--mount"), ("unshare", "--mount")):
        if subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0:
            return command
    return ()


def sampan(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sampan", *words]
    return subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, timeout=120)


def told(folder: Path, trouble: str, commands: list[str]) -> list[tuple[int, str]]:
    """Make a project on a disk of 2 MB, bring the trouble about, and return what each command exits with and says.

    Where the system lets nobody mount a disk, no file may grow instead: that fails the same calls.
    """
    (folder / "disk").mkdir()
    (folder / "flights.csv").write_text(TABLE)
    (folder / "steps.py").write_text(STEPS)
    said = "\n".join(f'said=$({SAMPAN} {command} 2>&1); echo "=== $?"; echo "$said"' for command in commands)
    script = f"""
        {f"mount -t tmpfs -o size=2m none {folder}/disk" if namespace() else "true"} && cd {folder}/disk
        cp ../flights.csv ../steps.py . && {SAMPAN} data add flights.csv --key flight >/dev/null
        {trouble if namespace() else "ulimit -f 1"}
        {said}
    """
    done = subprocess.run([*namespace(), "sh", "-c", script], env=ENV, capture_output=True, text=True, timeout=300)
    parts = ("\n" + done.stdout).split("\n=== ")[1:]
    assert len(parts) == len(commands), done.stdout + done.stderr
    return [(int(code), text) for code, _, text in (part.partition("\n") for part in parts)]


READS = ["status", "data head flights", "log", "fsck", "audit verify"]
FILL = "dd if=/dev/zero of=ballast bs=1k >/dev/null 2>&1; dd if=/dev/zero of=rest bs=1 >/dev/null 2>&1"


def test_on_a_full_disk_everything_can_be_read_and_a_write_says_that_it_is_full(tmp_path: Path) -> None:
    *read, ran, freed, again = told(tmp_path, FILL, [*READS, "run ../steps.py", "gc", "fsck"])

    assert [(0, True)] * len(READS) == [(code, "error" not in text) for code, text in read]
    assert ran[0] == 7
    assert ran[1].count("error:") == 1
    assert ("its disk is full" if namespace() else "hint:") in ran[1]
    assert (0, 0) == (freed[0], again[0])
    assert "the store is clean" in again[1]


def test_a_store_mounted_read_only_is_read_and_a_write_says_why_not(tmp_path: Path) -> None:
    *read, added, ran = told(tmp_path, f"mount -o remount,ro {tmp_path}/disk", [*READS, "data add flights.csv --name b", "run steps.py"])

    assert [(0, True)] * len(READS) == [(code, "error" not in text) for code, text in read]
    for code, text in (added, ran):
        assert code == 7
        assert text.count("error:") == 1
        assert ("read-only" if namespace() else "hint:") in text


def test_a_disk_that_fills_up_while_data_is_added_leaves_what_was_there(tmp_path: Path) -> None:
    header = ",".join(f"c{j}" for j in range(200))
    rows = "\n".join(",".join(str((i * 7919 + j * 104729) % 999_983) for j in range(200)) for i in range(6000))
    (tmp_path / "large.csv").write_text(f"{header}\n{rows}\n")

    added, checked, head = told(tmp_path, "true", ["data add ../large.csv", "fsck", "data head flights"])

    assert added[0] == 7
    assert ("No space left on device" if namespace() else "File too large") in added[1]
    assert "hint:" in added[1]
    assert (0, 0) == (checked[0], head[0])
    assert "the store is clean" in checked[1]


def test_one_flipped_byte_is_named_by_head_and_by_fsck(tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text(TABLE)
    sampan(tmp_path, "data", "add", "flights.csv", "--key", "flight")
    stored = (path for path in (tmp_path / ".sampan" / "objects").rglob("*") if path.is_file())
    part = max((path for path in stored if path.read_bytes().startswith(b"PAR1")), key=lambda path: path.stat().st_size)
    flipped = bytearray(part.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    part.chmod(0o644)
    part.write_bytes(flipped)
    digest = part.parent.name + part.name

    head, checked = sampan(tmp_path, "data", "head", "flights"), sampan(tmp_path, "fsck")

    assert head.returncode == checked.returncode == 8
    assert head.stdout == ""
    assert digest in head.stderr
    assert "is damaged" in head.stderr
    assert digest in checked.stdout
    assert "needed by part 0 of dataset flights@v1" in checked.stdout


def test_a_store_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text(TABLE)
    sampan(tmp_path, "data", "add", "flights.csv")
    file = tmp_path / ".sampan" / "sampan.db"
    connection = sqlite3.connect(file)
    connection.execute("insert into migration select max(number) + 1, 'later', 'x', 1, '9.9' from migration")
    connection.commit()
    connection.close()
    before = file.read_bytes()

    for words in (["status"], ["data", "add", "flights.csv", "--name", "other"], ["audit", "verify"]):
        done = sampan(tmp_path, *words)
        assert done.returncode == 7, done.stdout
        assert "made by sampan 9.9" in done.stderr
        assert "upgrade sampan to 9.9 or newer" in done.stderr
    assert before == file.read_bytes()


def test_a_row_of_the_ledger_changed_by_hand_is_named(tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text(TABLE)
    sampan(tmp_path, "data", "add", "flights.csv")
    with sqlite3.connect(tmp_path / ".sampan" / "sampan.db") as connection:
        connection.execute("update event set actor = 'mallory' where seq = 1")
    connection.close()

    done = sampan(tmp_path, "audit", "verify")

    assert done.returncode == 8
    assert "broken at row 1" in done.stdout
