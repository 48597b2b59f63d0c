"""What serves a package is pinned with the hashes that the project's own locks know."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.packaging.closure import lock_lines
from sampan.packaging.lock_hashes import locked_hashes
from sampan.packaging.packages import PackageFacts

A, B, C = "a" * 64, "b" * 64, "c" * 64
NUMPY = 'name = "NumPy"\nversion = "2.4.6"'
FACTS = PackageFacts(name="parcels", version="v1", model="parcels@v1", flavor="sklearn", served_by="onnx", request_schema={})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", f'[[package]]\n{NUMPY}\nsdist = {{hash = "sha256:{B}"}}\nwheels = [{{hash = "sha256:{A}"}}]\n'),
        ("pylock.web.toml", f'[[packages]]\n{NUMPY}\nsdist.hashes = {{sha256 = "{B}"}}\nwheels = [{{hashes = {{sha256 = "{A}"}}}}]\n'),
        ("poetry.lock", f'[[package]]\n{NUMPY}\nfiles = [{{hash = "sha256:{B}"}}, {{hash = "sha256:{A}"}}]\n'),
        ("requirements.txt", f"click==8\nnumpy[x]==2.4.6 ; python_version > '3' \\\n    --hash=sha256:{A} \\\n    --hash=sha256:{B}\n"),
    ],
)
def test_hashes_are_read_from_every_kind_of_lock(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)

    assert {("numpy", "2.4.6"): (A, B)} == locked_hashes(tmp_path)


def test_a_broken_lock_is_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "uv.lock").write_text("[[package")
    (tmp_path / "requirements.txt").write_text(f"numpy==2.4.6 --hash=sha256:{A}\n")

    with caplog.at_level(logging.WARNING):
        assert {("numpy", "2.4.6"): (A,)} == locked_hashes(tmp_path)
    assert "uv.lock cannot be read" in caplog.text


def test_pins_have_hashes_where_all_are_known_and_pip_takes_them(tmp_path: Path) -> None:
    plain = [line for line in lock_lines(tmp_path, FACTS) if not line.startswith("#")]
    names = [tuple(line.strip().split("==")) for line in plain]
    known = dict.fromkeys(names, (A, C))

    hashed = list(lock_lines(tmp_path, FACTS, known=known))
    (tmp_path / "serving.txt").write_text("".join(hashed))

    assert not any("Without hashes" in line for line in hashed)
    assert all(f"--hash=sha256:{A} \\\n    --hash=sha256:{C}\n" in line for line in hashed[1:])
    read = "from pip._internal.req.req_file import parse_requirements as read; from pip._internal.network.session import PipSession as S; "
    told = f"{read}print(sum(len(r.options['hashes']['sha256']) for r in read({str(tmp_path / 'serving.txt')!r}, session=S())))"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert 2 * len(names) == int(ran.stdout)


def test_without_the_hash_of_one_none_is_written_and_that_one_is_named(tmp_path: Path) -> None:
    plain = [line for line in lock_lines(tmp_path, FACTS) if not line.startswith("#")]
    known = {(name, version): (A,) for name, version in (line.strip().split("==") for line in plain) if name != "sampan"}

    told = list(lock_lines(tmp_path, FACTS, known=known))

    assert plain == [line for line in told if not line.startswith("#")]
    assert "knows those of sampan==" in told[1]
    assert "knows those of any of it" in list(lock_lines(tmp_path, FACTS))[1]
