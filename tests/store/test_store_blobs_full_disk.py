"""A full disk and a read-only one: one clear error, nothing half-written, and everything that was there still is."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PRELUDE = """
import json, os, resource, sys
import polars as pl
from pathlib import Path
from sampan.errors import StoreUnavailable
from sampan.store.blobs import LocalBlobs
from sampan.store.segments import Segments
from sampan.table.arrow_blocks import Block, Field, Schema
from sampan.store.tables import Tables
root, source = Path(sys.argv[1]) / "store", Path(sys.argv[2])
blobs, tables, segments = LocalBlobs(root), Tables(LocalBlobs(root)), Segments(root)
schema = Schema([Field("data", "binary")])

def rows(n):
    return pl.DataFrame({"id": range(n), "noise": [os.urandom(16) for _ in range(n)]})

def log(data):
    with segments.writer("log", schema) as writer:
        writer.write(Block(schema, 1, [[data]]))
        writer.flush()
"""
BEFORE = """
blobs.put(b"kept")
tables.create(rows(100))
log(b"kept")
source.write_bytes(os.urandom(300_000))
"""
AFTER = """
told = {}
(version,) = [digest for digest in blobs.digests() if tables.is_version(digest)]
for name, attempt in {
    "put": lambda: blobs.put(os.urandom(300_000)),
    "pack": lambda: blobs.put_many(os.urandom(30_000) for _ in range(20)),
    "adopt": lambda: blobs.adopt_file(source),
    "create": lambda: tables.create(rows(30_000)),
    "append": lambda: tables.append(version, rows(30_000)),
    "log": lambda: log(os.urandom(300_000)),
}.items():
    try:
        attempt()
        told[name] = ["no error", ""]
    except StoreUnavailable as error:
        told[name] = [error.message, error.hint]
for digest in blobs.digests():
    blobs.verify(digest)
whole = tables.read(version).height == 100 and segments.read("log")[0]["data"].to_pylist() == [b"kept"]
print(json.dumps({"told": told, "left": [str(path) for path in blobs.leftovers()], "n": len(list(blobs.digests())), "whole": whole}))
"""
LIMIT = """
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
"""
# Root without its capabilities is an owner like any other: what is closed is closed, and a checkout in root's home stays readable.
GIVE_UP_CAPABILITIES = """
import ctypes
if ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()):
    raise OSError("capset")
"""
FILL = """
with open(root / "ballast", "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
    size = ballast.tell()
    # A little is left: files can be begun, and not ended.
    os.ftruncate(ballast.fileno(), size - 40_000)
"""


@cache
def namespace() -> tuple[str, ...]:
    """Return the command that gives a process mounts of its own, or nothing where the system allows nobody to."""
    for command in (("unshare", "--user", "--map-root-user", "--mount"), ("unshare", "--mount")):
        if subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0:
            return command
    return ()


def run(script: str, *arguments: Path, mount: str = "") -> dict[str, object]:
    python = [sys.executable, "-c", PRELUDE + script, *map(str, arguments)]
    command = [*namespace(), "sh", "-c", f'{mount} && exec "$@"', "sh", *python] if mount else python
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def check(answer: dict[str, object], reason: str, hint: str) -> None:
    told = answer["told"]
    assert isinstance(told, dict)
    assert list(told) == ["put", "pack", "adopt", "create", "append", "log"]
    for name, (message, given) in told.items():
        assert reason in message, name
        assert hint in given, name
    assert answer["left"] == []
    assert answer["n"] == 4  # as before: an object, and a table's manifest, columns and part
    assert answer["whole"] is True


@pytest.mark.slow
def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    folder, source = tmp_path / "disk", tmp_path / "source"
    folder.mkdir()
    if namespace():
        answer = run(BEFORE + FILL + AFTER, folder, source, mount=f"mount -t tmpfs -o size=2m none {folder}")
        check(answer, "No space left on device", "sampan gc")
    else:  # the same calls fail, for the other reason a file cannot grow
        check(run(BEFORE + LIMIT + AFTER, folder, source), "File too large", "ulimit")


@pytest.mark.slow
def test_a_limit_on_file_sizes_is_one_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    check(run(BEFORE + LIMIT + AFTER, tmp_path, tmp_path / "source"), "File too large", "ulimit")


@pytest.mark.slow
def test_a_store_without_the_right_to_write_is_read_and_says_so_when_written(tmp_path: Path) -> None:
    folder, source = tmp_path / "store", tmp_path / "store" / "source"
    folder.mkdir()
    run(BEFORE + "print('{}')", folder, source)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        check(run(GIVE_UP_CAPABILITIES + AFTER, folder, source), "Permission denied", "right to write")
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


@pytest.mark.slow
def test_a_read_only_disk_is_read_and_says_so_when_written(tmp_path: Path) -> None:
    folder, source = tmp_path / "disk", tmp_path / "source"
    folder.mkdir()
    if namespace():
        run(BEFORE + "print('{}')", folder, source)
        remount = f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"
        check(run(AFTER, folder, source, mount=remount), "Read-only file system", "mounted read-only")
    else:
        check(run(BEFORE + LIMIT + AFTER, folder, source), "File too large", "ulimit")
