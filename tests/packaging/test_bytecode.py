"""Python compiled ahead: the same bytes in every process, and Python runs them without the source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sampan.packaging.bytecode import with_bytecode
from sampan.packaging.layers import Entry

SOURCE = b'''"""A module."""
NAMES = {"b", "a", "sampan"} if "x" in {"c", "x", "y"} else frozenset({1, 2.5, "one"})


def twice(x, *, by=("a", "sampan")):
    return [x * 2 for _ in by if x not in {"p", "q", "r"}]
'''
_COMPILE = """
import sys
from sampan.packaging.bytecode import with_bytecode
from sampan.packaging.layers import Entry
interned = [sys.intern(word) for word in sys.argv[1:]]
entries = list(with_bytecode([Entry("opt/m.py", content=sys.stdin.buffer.read())], sys.version_info.minor))
sys.stdout.buffer.write(entries[1].content)
"""


def test_two_processes_compile_to_the_same_bytes() -> None:
    compiled = [
        subprocess.run(
            [sys.executable, "-c", _COMPILE, *words],
            input=SOURCE,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed, words in (("1", ()), ("2", ("sampan", "twice", "NAMES")))
    ]

    assert compiled[0] == compiled[1]


def test_python_runs_what_was_compiled_and_looks_at_no_source(tmp_path: Path) -> None:
    source, made = with_bytecode([Entry("m.py", content=SOURCE)], sys.version_info.minor)
    assert isinstance(made.content, bytes)
    assert f"./__pycache__/m.cpython-3{sys.version_info.minor}.pyc" == made.path
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / made.path).write_bytes(made.content)
    (tmp_path / "m.py").write_text("raise SystemExit('the source was read')\n")

    ran = subprocess.run(
        [sys.executable, "-c", "import m; print(m.twice(2), sorted(m.NAMES))"], cwd=tmp_path, capture_output=True, text=True
    )

    assert ("[4, 4] ['a', 'b', 'sampan']\n", "") == (ran.stdout, ran.stderr)
    assert SOURCE == source.content


def test_what_is_no_python_of_today_and_what_another_python_runs_is_left_as_it_is() -> None:
    old = Entry("a.py", content=b"print 'two'\n")
    data = Entry("a.txt", content=b"x = 1\n")

    assert [old, data] == list(with_bytecode([old, data], sys.version_info.minor))
    assert 1 == len(list(with_bytecode([Entry("b.py", content=b"x = 1\n")], sys.version_info.minor + 1)))
