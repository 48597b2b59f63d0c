from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampan.engine.code import code_keys
from sampan.engine.step import CodeKey
from sampan.errors import ParameterError

HEAD = "from sampan.engine.step import step\n"
BODY = """
import math

import polars as pl

from tidying import rules
from tidying.texts import squash as tidy_name

LIMIT = 3
FACTOR = LIMIT * 2
TABLE = {"a": [1, 2]}

class Scale:
    '''Scales.'''
    by = FACTOR

    def apply(self, x):
        return x * self.by + math.pi

def helper(x, *, low=LIMIT):
    # a comment
    return [Scale().apply(v) for v in x if v > low]

def unrelated(x):
    return x - 1

@step
def clean(flights: pl.DataFrame, *, offset: int = 1):
    '''Clean.'''
    return tidy_name(helper(flights)) + offset + rules.bound(TABLE)
"""
TIDYING = {
    "tidying/__init__.py": "",
    "tidying/rules.py": "from . import texts\nBOUND = 5\n\ndef bound(t):\n    return texts.squash(t) + BOUND\n\ndef other(): ...\n",
    "tidying/texts.py": "def squash(t):\n    return t\n",
}


@pytest.fixture
def key(project: Callable[..., Any]) -> Callable[..., CodeKey]:
    def of(text: str = BODY, others: dict[str, str] | None = None) -> CodeKey:
        module = project(HEAD + text, {**TIDYING, **(others or {})})
        return code_keys([module.clean])["clean"]

    return of


def test_parts_are_what_the_function_reaches_and_nothing_else(key: Callable[..., CodeKey]) -> None:
    found = key()

    assert sorted(found.parts) == [
        "pipeline:FACTOR",
        "pipeline:LIMIT",
        "pipeline:Scale",
        "pipeline:TABLE",
        "pipeline:clean",
        "pipeline:helper",
        "tidying.rules:BOUND",
        "tidying.rules:bound",
        "tidying.texts:squash",
    ]
    assert set(found.libraries) >= {"math", "polars"}
    assert not found.dynamic


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    # a comment\n", ""),
        ("'''Clean.'''", "'''Clean, in other words.'''"),
        ("'''Scales.'''\n", "\n"),
        ("return [Scale().apply(v) for v in x if v > low]", "return [\n        Scale().apply(v) for v in x\n        if v > low\n    ]"),
        ("LIMIT = 3", "\n\n\nLIMIT = (3)"),
        ("return x - 1", "return x - 2"),
        ("def unrelated", "UNUSED = 8\n\ndef unrelated"),
        ("@step\n", "@step(cpu=2, cache=False)\n"),
        ("offset: int = 1", "offset: int = 2"),  # a parameter: keyed by its value
        ("import math\n", "import math\nimport json\n"),
    ],
)
def test_what_does_not_change_the_work_does_not_change_the_key(before: str, after: str, key: Callable[..., CodeKey]) -> None:
    first = key()
    assert before in BODY

    assert key(BODY.replace(before, after)).digest == first.digest


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("+ offset + rules", "- offset + rules", "pipeline:clean"),
        ("if v > low]", "if v >= low]", "pipeline:helper"),
        ("LIMIT = 3", "LIMIT = 4", "pipeline:LIMIT"),
        ("LIMIT * 2", "LIMIT * 3", "pipeline:FACTOR"),
        ("[1, 2]", "[1, 3]", "pipeline:TABLE"),
        ("x * self.by", "x / self.by", "pipeline:Scale"),
        ("low=LIMIT", "low=LIMIT + 1", "pipeline:helper"),
        ("flights: pl.DataFrame", "flights: pl.LazyFrame", "pipeline:clean"),
    ],
)
def test_a_changed_helper_constant_or_class_changes_the_key(before: str, after: str, changed: str, key: Callable[..., CodeKey]) -> None:
    first = key()
    assert before in BODY

    second = key(BODY.replace(before, after))

    assert second.digest != first.digest
    assert [name for name in first.parts if first.parts[name] != second.parts.get(name)] == [changed]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tidying/texts.py", "def squash(t):\n    return t + t\n"),
        ("tidying/rules.py", "from . import texts\nBOUND = 6\n\ndef bound(t):\n    return texts.squash(t) + BOUND\n"),
    ],
)
def test_a_change_in_another_file_of_the_project_changes_the_key(file: str, text: str, key: Callable[..., CodeKey]) -> None:
    first = key()

    assert key(others={file: text}).digest != first.digest


def test_the_key_is_the_same_in_another_process(key: Callable[..., CodeKey], tmp_path: Path) -> None:
    here = key()
    script = "import sys\nfrom pathlib import Path\nfrom sampan.engine.code import code_keys\nfrom sampan.engine.step import load_script\n"
    script += "print(code_keys([load_script(Path(sys.argv[1])).clean])['clean'].digest)"
    file = tmp_path / "project" / "pipeline.py"

    there = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": "src"},
    )
    as_main = file.with_name("pipeline.py")
    as_main.write_text(
        file.read_text()
        + "\nif __name__ == '__main__':\n    from sampan.engine.code import code_keys\n    print(code_keys([clean])['clean'].digest)\n"
    )
    run = subprocess.run(
        [sys.executable, str(as_main)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "8", "PYTHONPATH": "src"},
    )

    assert (there.stdout.strip(), run.stdout.strip()) == (here.digest, here.digest)


def test_a_parameter_called_like_another_step_does_not_bring_that_steps_code(project: Callable[..., Any]) -> None:
    module = project(HEAD + "@step\ndef clean(raw):\n    return raw\n\n@step\ndef train(clean):\n    return clean\n")

    assert list(code_keys([module.train])["train"].parts) == ["pipeline:train"]


def test_a_step_that_calls_another_step_uses_its_code(project: Callable[..., Any]) -> None:
    module = project(HEAD + "@step\ndef clean(raw):\n    return raw\n\n@step\ndef train(raw):\n    return clean(raw)\n")

    assert sorted(code_keys([module.train])["train"].parts) == ["pipeline:clean", "pipeline:train"]


def test_imports_inside_a_function_are_followed(project: Callable[..., Any]) -> None:
    text = (
        HEAD
        + """
@step
def clean(raw):
    from late import fix as mend
    import late_too
    import sklearn
    return mend(raw) + late_too.add(raw)
"""
    )
    others = {"late.py": "def fix(x):\n    return x\n", "late_too.py": "def add(x):\n    return x\n\ndef unused(x):\n    return x\n"}
    first = code_keys([project(text, others).clean])["clean"]

    assert sorted(first.parts) == ["late:fix", "late_too:add", "pipeline:clean"]
    assert "sklearn" in first.libraries
    changed = {**others, "late.py": "def fix(x):\n    return -x\n"}
    assert code_keys([project(text, changed).clean])["clean"].digest != first.digest


def test_a_module_handed_on_as_a_whole_counts_as_a_whole(project: Callable[..., Any]) -> None:
    text = HEAD + "import late\n\n@step\ndef clean(raw):\n    return getattr(late, raw)()\n"
    first = code_keys([project(text, {"late.py": "def a():\n    return 1\n"}).clean])["clean"]

    assert code_keys([project(text, {"late.py": "def a():\n    return 2\n"}).clean])["clean"].digest != first.digest
    assert "late:*" in first.parts


def test_a_constant_from_a_call_counts_by_its_value_and_is_dynamic(project: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    text = HEAD + "import os\nDEPTH = int(os.environ['TEST_DEPTH'])\n\n@step\ndef clean(raw):\n    return raw * DEPTH\n"
    monkeypatch.setenv("TEST_DEPTH", "3")
    first = code_keys([project(text).clean])["clean"]
    monkeypatch.setenv("TEST_DEPTH", "4")
    second = code_keys([project(text).clean])["clean"]

    assert first.dynamic
    assert second.digest != first.digest


def test_a_constant_imported_from_another_file_is_followed_to_where_it_is_written(project: Callable[..., Any]) -> None:
    text = HEAD + "from settings import DEPTH as D\n\n@step\ndef clean(raw):\n    return raw * D\n"
    first = code_keys([project(text, {"settings.py": "DEPTH = 3\n"}).clean])["clean"]

    assert sorted(first.parts) == ["pipeline:clean", "settings:DEPTH"]
    assert not first.dynamic
    assert code_keys([project(text, {"settings.py": "DEPTH = 4\n"}).clean])["clean"].digest != first.digest


def test_an_object_counts_by_the_text_that_makes_it(project: Callable[..., Any]) -> None:
    text = (
        HEAD
        + """
import re
import logging

log = logging.getLogger(__name__)
WORD = re.compile('a+')

@step
def clean(raw):
    log.info('x')
    return WORD.sub('', raw)
"""
    )
    first = code_keys([project(text).clean])["clean"]

    assert {"pipeline:WORD", "pipeline:log"} < set(first.parts)
    assert code_keys([project(text.replace("a+", "b+")).clean])["clean"].digest != first.digest


def test_wrapped_functions_and_partials_are_seen_through(project: Callable[..., Any]) -> None:
    text = (
        HEAD
        + """
import functools

@functools.lru_cache
def slow(x):
    return x

def add(x, y):
    return x + y

add_one = functools.partial(add, y=1)

@step
def clean(raw):
    return slow(raw) + add_one(raw)
"""
    )
    first = code_keys([project(text).clean])["clean"]

    for before, after in (("return x\n", "return -x\n"), ("return x + y", "return x - y"), ("y=1", "y=2")):
        assert code_keys([project(text.replace(before, after)).clean])["clean"].digest != first.digest, before


def test_closures_count_by_what_they_hold(project: Callable[..., Any]) -> None:
    text = (
        HEAD
        + """
def make(n, f):
    @step
    def clean(raw):
        return f(raw) + n
    return clean

def one(x):
    return x

def two(x):
    return x * 2
"""
    )
    module = project(text)

    digests = [code_keys([module.make(n, f)])["clean"].digest for n, f in ((1, module.one), (2, module.one), (1, module.two))]

    assert len(set(digests)) == 3
    assert code_keys([module.make(1, module.one)])["clean"].digest == digests[0]


def test_a_closure_over_what_cannot_be_told_is_refused_by_name(project: Callable[..., Any]) -> None:
    module = project(HEAD + "def make(model):\n    @step\n    def clean(raw):\n        return model(raw)\n    return clean\n")

    with pytest.raises(ParameterError, match=r"step clean uses model, a builtins\.object whose content cannot be told") as error:
        code_keys([module.make(object())])
    assert "make model an input" in error.value.hint


def test_recursion_and_functions_that_call_each_other_end(project: Callable[..., Any]) -> None:
    module = project(
        HEAD + "def a(x):\n    return b(x)\n\ndef b(x):\n    return a(x) if x else b(x)\n\n@step\ndef clean(raw):\n    return a(raw)\n"
    )

    assert sorted(code_keys([module.clean])["clean"].parts) == ["pipeline:a", "pipeline:b", "pipeline:clean"]


def test_a_file_changed_after_its_import_does_not_lend_its_new_text_to_the_old_code(project: Callable[..., Any], tmp_path: Path) -> None:
    text = HEAD + "@step\ndef clean(raw):\n    return raw\n"
    old = project(text)
    imported = code_keys([old.clean])["clean"].digest
    (tmp_path / "project" / "pipeline.py").write_text(text.replace("return raw", "return raw + 1"))

    still_old = code_keys([old.clean])["clean"].digest
    now_new = code_keys([project(text.replace("return raw", "return raw + 1")).clean])["clean"].digest

    assert len({imported, still_old, now_new}) == 3


def test_functions_without_source_count_by_their_bytecode() -> None:
    def made(text: str) -> str:
        namespace: dict[str, Any] = {"__name__": "nowhere"}
        exec(HEAD + text, namespace)
        return code_keys([namespace["clean"]])["clean"].digest

    first = made("def h(x):\n    return x\n@step\ndef clean(raw):\n    return h(raw)\n")

    assert made("\n\ndef h(x):\n    return x\n@step\ndef clean(raw):\n    return h(raw)\n") == first
    assert made("def h(x):\n    return -x\n@step\ndef clean(raw):\n    return h(raw)\n") != first


def test_the_code_of_installed_libraries_is_named_and_not_read(project: Callable[..., Any]) -> None:
    module = project(
        HEAD + "from numpy.linalg import norm\nfrom click import Path as P\n\n@step\ndef clean(raw):\n    return norm(raw), P, raw.std()\n"
    )

    found = code_keys([module.clean])["clean"]

    assert list(found.parts) == ["pipeline:clean"]
    assert {"numpy", "click"} <= set(found.libraries)


def test_a_decorator_under_another_name_is_left_out_too(project: Callable[..., Any]) -> None:
    text = "import sampan as sp\nfrom sampan.engine.step import step as made\n\n@{}\ndef clean(raw):\n    return raw\n"

    keys = [code_keys([project(text.format(how)).clean])["clean"] for how in ("made", "made(cpu=2)", "sp.step", "sp.step(cache=False)")]

    assert len({key.digest for key in keys}) == 1
    assert [list(key.parts) for key in keys] == [["pipeline:clean"]] * 4


def test_names_from_star_imports_are_followed(project: Callable[..., Any]) -> None:
    text = HEAD + "from first import *\nfrom settings import *\n\n@step\ndef clean(raw):\n    return raw * DEPTH\n"
    first = code_keys([project(text, {"first.py": "X = 1\n", "settings.py": "DEPTH = 3\n"}).clean])["clean"]

    assert sorted(first.parts) == ["pipeline:clean", "settings:DEPTH"]
    assert not first.dynamic


def test_a_column_expression_counts_by_its_text(project: Callable[..., Any]) -> None:
    text = HEAD + "import polars as pl\nLATE = pl.col('delay') >= 15\n\n@step\ndef clean(raw):\n    return raw.filter(LATE)\n"
    first = code_keys([project(text).clean])["clean"]

    assert code_keys([project(text.replace("15", "30")).clean])["clean"].digest != first.digest
    assert not first.dynamic


def test_a_constant_object_of_a_data_class_counts_by_value_and_by_its_class(project: Callable[..., Any]) -> None:
    text = (
        HEAD
        + """
from dataclasses import dataclass

@dataclass(frozen=True)
class Search:
    depth: int
    def both(self):
        return self.depth * 2

SEARCH = Search(3)

@step
def clean(raw):
    return raw * SEARCH.both()
"""
    )
    first = code_keys([project(text).clean])["clean"].digest

    assert code_keys([project(text.replace("Search(3)", "Search(4)")).clean])["clean"].digest != first
    assert code_keys([project(text.replace("* 2", "* 3")).clean])["clean"].digest != first
