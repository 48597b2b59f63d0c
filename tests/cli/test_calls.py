"""Words that leave no doubt are read without click, and mean what click would have read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan import plugins
from sampan.cli import calls, commands
from sampan.workspace.operation import ROOMS, Operation, nouns, operations

OPERATIONS = {operation.name: operation for noun in nouns() for operation in operations(noun).values()}
VALUES = ("a", "3", "x=1", "-", "a b", "é", "", "--", "-5", "-h", "--help", "--nothing", "true")


@st.composite
def typed(draw: st.DrawFn) -> tuple[Operation, list[str]]:
    """Draw an operation and words after it: its options with and without values, words by place, and what is out of place."""
    operation = OPERATIONS[draw(st.sampled_from(sorted(OPERATIONS)))]
    options = [parameter.spelled for parameter in calls.spelled(operation) if not parameter.positional]
    names = [*options, *(name.replace("--", "--no-", 1) for name in options), "--help"]
    option = st.sampled_from(names)
    value = st.sampled_from(VALUES)
    words = st.one_of(
        value.map(lambda one: [one]), option.map(lambda one: [one]), st.tuples(option, value).map(list), st.builds(joined, option, value)
    )
    return operation, [word for some in draw(st.lists(words, max_size=5)) for word in some]


def joined(option: str, value: str) -> list[str]:
    return [f"{option}={value}"]


def as_click_reads(operation: Operation, words: list[str]) -> calls.Given:
    command = commands.operation_command(operation, calls.Settings())
    return commands.read_given(command.make_context(operation.verb, list(words)).params)


@settings(max_examples=400, deadline=None)
@given(typed())
def test_what_is_read_plainly_is_what_click_reads(said: tuple[Operation, list[str]]) -> None:
    operation, words = said
    plain = calls.read([*operation.name.split(), *words])

    if plain is not None:
        assert (plain[1].method, plain[2]) == (operation.method, as_click_reads(operation, words))


@pytest.mark.parametrize("operation", [one for one in OPERATIONS.values() if not one.verbatim], ids=lambda one: one.name)
def test_every_operation_is_read_plainly_with_everything_it_takes(operation: Operation) -> None:
    words: list[str] = []
    for parameter in calls.spelled(operation):
        flag = parameter.form.base == "flag" and parameter.form.many == "one"
        words += ["word"] if parameter.positional else [parameter.spelled] if flag else [parameter.spelled, "value"]

    plain = calls.read([*operation.name.split(), *words])

    assert plain is not None
    assert (plain[1].method, plain[2]) == (operation.method, as_click_reads(operation, words))
    assert issubclass(plugins.find(ROOMS, operation.noun), plain[0])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["data"],
        ["data", "ad", "x.csv"],
        ["data", "--help"],
        ["data", "add", "--help"],
        ["data", "add"],
        ["data", "add", "x.csv", "--nmae", "y"],
        ["data", "add", "x.csv", "--name"],
        ["data", "add", "x.csv", "--name", "--key"],
        ["data", "add", "x.csv", "--name", "a", "--name", "b"],
        ["data", "add", "x.csv", "y.csv"],
        ["run", "-m", "train"],
        ["run", "lsit"],
        ["run", "train.py", "--", "--rows"],
        ["data", "flights.csv"],
        ["service", "key", "add"],
        ["serve", "late"],
        ["no-such-word"],
    ],
)
def test_what_leaves_a_doubt_is_left_to_click(words: list[str]) -> None:
    assert calls.read(words) is None


def test_a_program_is_read_plainly_with_words_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("print('no step of ours')")
    plain = calls.read(["run", "train.py", "--rows", "3", "--help"])

    assert plain is not None
    assert (plain[1].name, plain[2]) == ("run program", {"words": ["train.py", "--rows", "3", "--help"]})
    assert plain[2] == as_click_reads(plain[1], ["train.py", "--rows", "3", "--help"])


def test_a_shortcut_is_read_plainly() -> None:
    plain = calls.read(["tune", "late.py"])

    assert plain is not None
    assert (plain[1].name, plain[2]) == ("model tune", {"file": ["late.py"]})


@pytest.mark.parametrize("command", ["data list", "data add files", "status", "run list", "model list", "service list", "lineage files"])
def test_a_command_imports_neither_click_nor_what_it_does_not_use(command: str, project: Path) -> None:
    code = (
        f"import sys; from sampan.cli.start import main; main({command.split()});"
        "print(' '.join(sys.modules), file=sys.stderr); import typing_extensions, click"  # both are there for who asks
    )
    env = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=project, env=env, capture_output=True, text=True)
    loaded = set(done.stderr.split())

    assert (done.returncode, "msgspec" in loaded) == (0, True), done
    assert loaded.isdisjoint(("click", "typing_extensions", "inspect", "ast", "tokenize", "hashlib", "dataclasses", "logging", "socket"))
    assert loaded.isdisjoint(("numpy", "polars", "pyarrow", "sampan.workspace.data.data", "sampan.workspace.home"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a folder of files that is a dataset already."""
    place = tmp_path_factory.mktemp("project")
    (place / "files").mkdir()
    for number in range(3):
        (place / "files" / f"{number}.bin").write_bytes(bytes([number]))
    assert calls.run(["data", "add", str(place / "files"), "--project", str(place)]) == 0
    return place
