"""Types that several threads read for the first time at once, and where in the code types are read."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import sampan
from sampan.core.decoding import decoder_of, read_builtins, read_json

FIRST_READS = """
import sys, threading, types
from sampan.core.decoding import read_builtins, read_json

sys.setswitchinterval(1e-6)
n_threads = 6
for number in range(40):
    module = types.ModuleType(f"made_{number}")
    sys.modules[module.__name__] = module
    source = "from __future__ import annotations\\nimport msgspec\\n"
    for depth in range(8):
        inner = f"inner: Level{depth + 1} | None = None" if depth < 7 else "inner: int = 0"
        source += f"class Level{depth}(msgspec.Struct):\\n    a: int\\n    {inner}\\n    b: list[str] = []\\n"
    exec(source, module.__dict__)
    together = threading.Barrier(n_threads)

    def read(place):
        kind = getattr(module, f"Level{place % 3}")
        together.wait()
        value = read_json(b'{"a": 1, "b": ["x"]}', kind) if place % 2 else read_builtins({"a": 1, "b": ["x"]}, kind)
        assert (value.a, value.b) == (1, ["x"])

    threads = [threading.Thread(target=read, args=(place,)) for place in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("whole")
"""


MAY_READ = re.compile(r"msgspec\.(convert|json\.Decoder\(.|json\.decode\([^\n]*type=)")


class Inner(msgspec.Struct):
    x: int


def test_types_that_many_threads_read_first_at_once_are_whole_for_each() -> None:
    ended = subprocess.run([sys.executable, "-c", FIRST_READS], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (0, "whole\n"), ended.stderr[-2000:]


def test_values_are_read_as_msgspec_reads_them() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `str` - at `\$\[0\]\.x`"):
        read_json(b'[{"x": "1"}]', list[Inner])
    with pytest.raises(msgspec.DecodeError):
        read_json(b"[", list[Inner])

    assert read_json(b'[{"x": 1}]', list[Inner]) == [Inner(1)]
    assert read_builtins({"x": "1"}, Inner, strict=False) == Inner(1)
    assert decoder_of(Inner).decode(b'{"x": 2}') == Inner(2)


def test_declared_types_are_read_in_this_one_way() -> None:
    root = Path(sampan.__file__).parent
    # Types made at run time are made ready where they are made.
    made_at_run_time = {"core/decoding.py", "features/online.py", "web/inference/direct.py", "web/inference/tensors.py"}
    found = [
        f"{file.relative_to(root)}:{call.lineno}"
        for file in sorted(root.rglob("*.py"))
        if file.relative_to(root).as_posix() not in made_at_run_time
        if MAY_READ.search(text := file.read_text())
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and _reads_a_type(call)
    ]

    assert found == [], "read_json, read_builtins and decoder_of of sampan.core.decoding make a type ready for all threads"


def _reads_a_type(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    is_typed = any(keyword.arg == "type" for keyword in call.keywords)
    is_decoded = name == "msgspec.json.decode" and is_typed
    return name == "msgspec.convert" or is_decoded or (name == "msgspec.json.Decoder" and bool(call.args))
