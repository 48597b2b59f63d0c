"""The fast path of the command: help and version."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sampan import __version__, plugins
from sampan.cli import start
from sampan.cli.calls import Settings
from sampan.cli.commands import Root
from sampan.workspace.operation import operations
from sampan.workspace.parts import PARTS

HEAVY = (
    "click",
    "msgspec",
    "numpy",
    "polars",
    "pyarrow",
    "starlette",
    "uvicorn",
    "jinja2",
    "typing",
    "re",
    "json",
    "pathlib",
    "dataclasses",
)


def modules_after(*arguments: str) -> set[str]:
    code = "import sys; from sampan.cli.start import main; main(sys.argv[1:]); print(' '.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-S", "-c", code, *arguments], capture_output=True, text=True, env={"PYTHONPATH": source()})
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def source() -> str:
    return str(Path(start.__file__).parents[2])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["-h"], ["-V"], ["help"], []])
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    loaded = modules_after(*arguments)

    assert loaded.isdisjoint(HEAVY)
    assert {name for name in loaded if name.startswith("sampan")} == {"sampan", "sampan.cli", "sampan.cli.start", "sampan.plugins"}


def test_importing_sampan_imports_nothing_of_it() -> None:
    code = "import sys, sampan; print(' '.join(sys.modules))"

    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": source()})

    assert set(done.stdout.split()).isdisjoint(HEAVY)


def test_parts_of_rooms_load_no_library_of_numbers_before_they_compute() -> None:
    judging = {"sampan.workspace.models.models", "sampan.workspace.models.packing"}
    parts = {part.partition(":")[0] for parts in PARTS.values() for part in parts} - judging
    code = f"import sys, {', '.join(sorted(parts))}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": source()})
    loaded = set(done.stdout.split())

    assert parts <= loaded, done.stderr
    assert loaded.isdisjoint({"numpy", "polars", "pyarrow", "pandas", "onnxruntime"})


def test_help_lists_every_noun_and_top_level_verb_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert start.main(["--help"]) == 0

    text = capsys.readouterr().out
    for noun in plugins.names("sampan.rooms"):
        assert not noun or f"  {noun} " in text
    for verb in operations(""):
        assert f"  {verb} " in text


def test_the_table_of_top_level_verbs_says_what_the_rooms_say() -> None:
    assert list(start.VERBS) == list(operations(""))


def test_every_built_in_noun_and_process_has_a_summary_and_exists() -> None:
    words = {*plugins.BUILT_IN["sampan.rooms"], *plugins.BUILT_IN["sampan.processes"]} - {""}

    assert words == plugins.SUMMARIES.keys()
    assert all(callable(plugins.find("sampan.processes", process)) for process in start.processes())


def test_no_word_at_the_top_level_means_two_things() -> None:
    words = Root(Settings()).list_commands(None)  # type: ignore[arg-type]  # it does not look at the context

    assert len(words) == len(set(words))


def test_every_shortcut_leads_to_an_operation() -> None:
    for target in start.shortcuts().values():
        noun, _, verb = target.partition(" ")
        assert verb in operations(noun)


def test_version_and_help_answer_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert start.main(["--version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__}

    assert start.main(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"data", "run", "model", "service"} <= told["nouns"].keys()
    assert "status" in told["verbs"]


def test_a_closed_pipe_is_no_error() -> None:
    command = f"set -o pipefail; {sys.executable} -m sampan --help | true"

    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env={"PYTHONPATH": source(), "PATH": "/usr/bin:/bin"})

    assert done.stderr == ""


@pytest.mark.slow
def test_help_takes_at_most_three_times_the_cpu_of_bare_python() -> None:
    import resource

    def cpu_of(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], stdout=subprocess.DEVNULL, env={"PYTHONPATH": source()})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # The least of many: what else this machine does can only add.
    bare = min(cpu_of("-c", "pass") for _ in range(20))
    ours = min(cpu_of("-c", "from sampan.cli.start import main; main(['--help'])") for _ in range(20))

    assert ours <= 3 * bare
