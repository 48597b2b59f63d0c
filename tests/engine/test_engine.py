from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sampan.engine.engine import Engine, StepOutcome
from sampan.engine.execution import scratch
from sampan.engine.pool import Pool
from sampan.engine.step import step
from sampan.errors import ContractViolated, ExecutorLost, NotFound, ParameterError, StepFailed, UsageError
from sampan.ledger import Ledger
from sampan.store import Store

RACER = Path(__file__).with_name("racer.py")
FLIGHTS = pl.DataFrame({"carrier": ["AA", "UA", "AA"], "delay": [5.0, 20.0, 30.0]})


@step
def clean(flights: pl.LazyFrame, *, least: float = 10.0) -> pl.LazyFrame:
    return flights.filter(pl.col("delay") >= least)


@step
def count(clean: pl.DataFrame) -> int:
    return clean.height


@step
def share(clean: pl.DataFrame, count: int, total: int) -> float:
    return count / total if clean.height else math.nan


STEPS = [share, count, clean]
INPUTS = {"flights": FLIGHTS, "total": 3}


def cached(outcomes: dict[str, StepOutcome]) -> dict[str, bool]:
    return {name: outcome.cached for name, outcome in outcomes.items()}


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(workers=2) as opened:
        yield opened


# What a run gives


def test_steps_run_in_order_and_hand_their_results_on(engine: Engine) -> None:
    outcomes = engine.run(STEPS, inputs=INPUTS)

    assert outcomes["share"].load() == pytest.approx(2 / 3)
    assert outcomes["clean"].load().equals(FLIGHTS.filter(pl.col("delay") >= 10))
    assert isinstance(outcomes["clean"].load(want="LazyFrame"), pl.LazyFrame)
    assert cached(outcomes) == {"clean": False, "count": False, "share": False}


def test_a_second_run_takes_everything_from_cache(engine: Engine) -> None:
    first = engine.run(STEPS, inputs=INPUTS)

    second = engine.run(STEPS, inputs=INPUTS)

    assert cached(second) == {"clean": True, "count": True, "share": True}
    assert [o.digest for o in second.values()] == [o.digest for o in first.values()]
    assert second["share"].seconds == first["share"].seconds


def test_another_engine_on_the_store_takes_it_from_cache_too(engine: Engine, store: Store) -> None:
    engine.run(STEPS, inputs=INPUTS)

    assert all(cached(Engine(store, Ledger(store, actor="bob")).run(STEPS, inputs=INPUTS)).values())


def test_each_run_step_is_one_event_of_the_ledger(engine: Engine, store: Store) -> None:
    engine.run(STEPS, inputs=INPUTS)
    engine.run(STEPS, inputs=INPUTS)

    events = store.catalog.events(type="step_committed")

    assert [event.body["step"] for event in events] == ["clean", "count", "share"]


def test_targets_run_only_what_they_need(engine: Engine) -> None:
    assert list(engine.run(STEPS, inputs=INPUTS, targets=["count"])) == ["clean", "count"]


def test_an_outcome_of_one_run_is_an_input_of_another(engine: Engine) -> None:
    made = engine.run([clean], inputs={"flights": FLIGHTS})

    assert engine.run([count], inputs={"clean": made["clean"]})["count"].load() == 2
    assert engine.run([count], inputs={"clean": made["clean"].digest})["count"].cached


def test_a_step_writes_files_into_its_scratch_folder(engine: Engine) -> None:
    @step
    def model(total: int) -> Path:
        (scratch() / "model").mkdir()
        (scratch() / "model" / "tree.txt").write_text(str(total))
        return scratch() / "model"

    @step
    def size(model: Path) -> int:
        return len((model / "tree.txt").read_text())

    assert engine.run([model, size], inputs={"total": 3})["size"].load() == 1
    with pytest.raises(UsageError, match="no scratch folder outside"):
        scratch()


def test_a_given_file_reaches_the_step_under_its_name(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text("delay\n5\n")

    @step
    def read(raw: Path) -> str:
        return f"{raw.name} {raw.read_text()}"

    @step
    def hand_on(raw: Path) -> Path:
        return raw

    outcomes = engine.run([read, hand_on], inputs={"raw": tmp_path / "flights.csv"})

    assert outcomes["read"].load() == "flights.csv delay\n5\n"
    assert outcomes["hand_on"].load(into=tmp_path / "out") == tmp_path / "out" / "flights.csv"


# What makes a step run again


def test_another_parameter_runs_the_step_and_what_needs_its_result(engine: Engine) -> None:
    engine.run(STEPS, inputs=INPUTS)

    assert cached(engine.run(STEPS, inputs=INPUTS, params={"least": 1.0})) == {"clean": False, "count": False, "share": False}
    assert all(cached(engine.run(STEPS, inputs=INPUTS, params={"clean.least": 1.0})).values())


def test_what_gives_the_same_result_lets_later_steps_come_from_cache(engine: Engine) -> None:
    engine.run(STEPS, inputs=INPUTS)

    assert cached(engine.run(STEPS, inputs=INPUTS, params={"least": 10.5})) == {"clean": False, "count": True, "share": True}


def test_another_input_runs_the_steps_that_need_it(engine: Engine) -> None:
    engine.run(STEPS, inputs=INPUTS)

    assert cached(engine.run(STEPS, inputs={**INPUTS, "total": 4})) == {"clean": True, "count": True, "share": False}


def test_changed_code_of_a_helper_runs_the_step(engine: Engine, project: Callable[..., Any]) -> None:
    text = "from sampan.engine.step import step\n\ndef twice(x):\n    return 2 * x\n\n@step\ndef a(x):\n    return twice(x)\n"

    def run(text: str) -> StepOutcome:
        return engine.run([project(text).a], inputs={"x": 2})["a"]

    assert (run(text).load(), run(text).cached) == (4, True)
    changed = run(text.replace("2 * x", "3 * x"))
    assert (changed.load(), changed.cached) == (6, False)


def test_another_version_of_a_library_that_the_step_uses_runs_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.run(STEPS, inputs=INPUTS)
    kept = engine.hints.get("libraries")
    kept["versions"]["polars"] = "99.0"
    engine.hints.put("libraries", kept)

    assert cached(engine.run(STEPS, inputs=INPUTS)) == {"clean": False, "count": False, "share": False}


def test_a_step_without_cache_runs_each_time(engine: Engine) -> None:
    @step(cache=False)
    def look(total: int) -> int:
        return total

    @step
    def use(look: int) -> int:
        return look

    engine.run([look, use], inputs={"total": 3})

    assert cached(engine.run([look, use], inputs={"total": 3})) == {"look": False, "use": True}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinite_parameters_have_keys_of_their_own(value: float, engine: Engine) -> None:
    @step
    def told(total: int, *, x: float | None = None) -> str:
        return repr(x)

    engine.run([told], inputs={"total": 1})
    first = engine.run([told], inputs={"total": 1}, params={"x": value})["told"]
    second = engine.run([told], inputs={"total": 1}, params={"x": value})["told"]

    assert (first.cached, first.load()) == (False, repr(value))
    assert (second.cached, second.load()) == (True, repr(value))


# What is refused before anything runs


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"inputs": {"flights": FLIGHTS}}, ParameterError, "step share needs 'total'"),
        ({"inputs": {**INPUTS, "planes": 1}}, ParameterError, "no step needs the given 'planes'"),
        ({"inputs": INPUTS, "params": {"leest": 1}}, ParameterError, "no step has a parameter 'leest'"),
        ({"inputs": INPUTS, "params": {"least": object()}}, ParameterError, r"clean\.least: a object is not a plain value"),
        ({"inputs": INPUTS, "targets": ["shares"]}, NotFound, "no step makes 'shares'"),
        ({"inputs": {**INPUTS, "total": None}}, ParameterError, "input total is None"),
    ],
)
def test_a_run_that_cannot_work_is_refused(
    call: dict[str, Any], error: type[Exception], message: str, engine: Engine, store: Store
) -> None:
    with pytest.raises(error, match=message):
        engine.run(STEPS, **call)

    assert store.catalog.events() == []


# What goes wrong in a step


def _divide(x: int) -> float:
    return x / 0


@step
def broken(total: int) -> float:
    return _divide(total)


@step
def after(broken: float) -> float:
    return broken


@step
def beside(total: int) -> int:
    return total


def test_a_step_that_raises_is_named_with_the_users_own_lines(engine: Engine) -> None:
    with pytest.raises(StepFailed, match=r"step broken raised ZeroDivisionError: division by zero at .*test_engine\.py:\d+") as error:
        engine.run([broken], inputs={"total": 1})

    assert error.value.step == "broken"
    assert [line.strip() for line in error.value.trace.splitlines() if not line.lstrip().startswith(("File", "~", "^"))] == [
        "return _divide(total)",
        "return x / 0",
        "ZeroDivisionError: division by zero",
    ]


def test_a_failure_deep_in_a_library_is_told_by_the_users_line(engine: Engine) -> None:
    @step
    def select(flights: pl.DataFrame) -> pl.DataFrame:
        return flights.select("no_such_column")

    with pytest.raises(StepFailed, match="ColumnNotFoundError") as error:
        engine.run([select], inputs={"flights": FLIGHTS})

    assert "site-packages" not in error.value.trace
    assert "test_engine.py" in error.value.message


def test_branches_that_do_not_need_a_failed_step_are_finished(engine: Engine) -> None:
    with pytest.raises(StepFailed, match="step broken"):
        engine.run([broken, after, beside], inputs={"total": 1})

    assert engine.run([beside], inputs={"total": 1})["beside"].cached


def test_a_failed_step_can_be_run_again_at_once(engine: Engine, tmp_path: Path) -> None:
    @step
    def needs_file(folder: str) -> str:
        return Path(folder, "a.txt").read_text()

    with pytest.raises(StepFailed):
        engine.run([needs_file], inputs={"folder": str(tmp_path)})
    (tmp_path / "a.txt").write_text("here")

    assert engine.run([needs_file], inputs={"folder": str(tmp_path)})["needs_file"].load() == "here"


def test_a_step_that_returns_nothing_is_told_to_return_something(engine: Engine) -> None:
    @step
    def silent(total: int):
        total += 1

    with pytest.raises(StepFailed, match="step silent returned nothing") as error:
        engine.run([silent], inputs={"total": 1})
    assert "return" in error.value.hint


def test_a_step_that_returns_what_cannot_be_kept_is_told_what_can(engine: Engine) -> None:
    @step
    def odd(total: int):
        return object()

    with pytest.raises(StepFailed, match=r"step odd returned what cannot be kept: a builtins\.object") as error:
        engine.run([odd], inputs={"total": 1})
    assert "Polars frame" in error.value.hint


def test_a_step_that_exits_does_not_end_the_program(engine: Engine) -> None:
    @step
    def leave(total: int) -> int:
        sys.exit(3)

    with pytest.raises(StepFailed, match="step leave raised SystemExit: 3"):
        engine.run([leave], inputs={"total": 1})


def test_our_own_errors_pass_through_a_step_as_they_are(engine: Engine) -> None:
    @step
    def check(total: int) -> int:
        raise ContractViolated("too few rows", reasons=("rows 3 < 10",))

    with pytest.raises(ContractViolated, match="too few rows"):
        engine.run([check], inputs={"total": 1})


def test_an_interrupt_frees_the_step_for_others(engine: Engine, store: Store, tmp_path: Path) -> None:
    @step
    def stopped(folder: str) -> str:
        if not Path(folder, "go").exists():
            raise KeyboardInterrupt
        return "went"

    with pytest.raises(KeyboardInterrupt):
        engine.run([stopped], inputs={"folder": str(tmp_path)})
    (tmp_path / "go").touch()
    other = Engine(store, Ledger(store, actor="bob"))

    assert other.run([stopped], inputs={"folder": str(tmp_path)})["stopped"].load() == "went"


# Effects


def test_effects_wait_for_everything_else_and_do_not_happen_after_a_failure(engine: Engine, tmp_path: Path) -> None:
    @step(effects=True)
    def deploy(folder: str) -> int:
        return Path(folder, "deployed").write_text("x")

    @step
    def seen_before(folder: str) -> bool:
        return Path(folder, "deployed").exists()

    with pytest.raises(StepFailed, match="step broken"):
        engine.run([deploy, broken], inputs={"folder": str(tmp_path), "total": 1})
    assert not (tmp_path / "deployed").exists()

    outcomes = engine.run([deploy, seen_before], inputs={"folder": str(tmp_path)})

    assert (tmp_path / "deployed").exists()
    assert outcomes["seen_before"].load() is False


# The pool


def test_a_pool_gives_what_this_process_gives(store: Store, pool: Pool) -> None:
    outcomes = Engine(store, Ledger(store, actor="ann"), executor=pool).run(STEPS, inputs=INPUTS)

    assert outcomes["share"].load() == pytest.approx(2 / 3)


@step
def pid(n: int) -> int:
    return os.getpid()


@step(effects=True)
def pid_with_effects(n: int) -> int:
    return os.getpid()


def test_steps_run_in_workers_and_steps_with_effects_here(store: Store, pool: Pool) -> None:
    outcomes = Engine(store, Ledger(store, actor="ann"), executor=pool).run([pid, pid_with_effects], inputs={"n": 1})

    assert outcomes["pid"].load() in pool.pids()
    assert outcomes["pid_with_effects"].load() == os.getpid()


def test_a_step_that_no_worker_could_find_runs_here(store: Store, pool: Pool) -> None:
    @step
    def local(n: int) -> int:
        return os.getpid()

    assert Engine(store, Ledger(store, actor="ann"), executor=pool).run([local], inputs={"n": 1})["local"].load() == os.getpid()


SCRIPT = """
import os, sys
from pathlib import Path

from texts import shout
from sampan.engine.engine import Engine
from sampan.engine.pool import Pool
from sampan.engine.step import step
from sampan.ledger import Ledger
from sampan.store import Store

@step
def loud(word: str) -> str:
    return f"{shout(word)} {os.getppid()}"

def main():
    with Store.open(Path(sys.argv[1])) as store, Pool(1) as pool:
        outcomes = Engine(store, Ledger(store, actor="a"), executor=pool).run([loud], inputs={"word": "hi"})
        print(outcomes["loud"].load(), os.getpid())
"""


def run_script(store: Store, folder: Path, end: str) -> subprocess.CompletedProcess[str]:
    (folder / "texts.py").write_text("def shout(x):\n    return x.upper()\n")
    (folder / "pipeline.py").write_text(SCRIPT + end)
    command = [sys.executable, str(folder / "pipeline.py"), str(store.root)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "src"}, timeout=60)


def test_steps_of_a_script_outside_any_package_run_in_workers(store: Store, tmp_path: Path) -> None:
    ran = run_script(store, tmp_path, "\nif __name__ == '__main__':\n    main()\n")

    word, parent, script_pid = ran.stdout.split()
    assert (word, parent) == ("HI", script_pid)


def test_a_script_that_runs_its_steps_when_imported_is_told_to_guard_them(store: Store, tmp_path: Path) -> None:
    ran = run_script(store, tmp_path, "\nmain()\n")

    assert "pipeline.py runs steps while it is being imported" in ran.stderr
    assert ran.returncode == 1


@step
def die_once(marks: str) -> str:
    mark = Path(marks, "died")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


@step
def die_always(marks: str) -> str:
    with Path(marks, "deaths").open("a") as file:
        file.write("x")
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def test_a_step_whose_worker_was_killed_is_tried_again(store: Store, pool: Pool, tmp_path: Path) -> None:
    outcomes = Engine(store, Ledger(store, actor="ann"), executor=pool).run([die_once], inputs={"marks": str(tmp_path)})

    assert outcomes["die_once"].load() == "lived"
    assert len(store.catalog.events(type="step_committed")) == 1


def test_a_step_whose_worker_dies_twice_is_given_up(store: Store, pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(ExecutorLost, match="was killed by SIGKILL"):
        Engine(store, Ledger(store, actor="ann"), executor=pool).run([die_always], inputs={"marks": str(tmp_path)})

    assert (tmp_path / "deaths").read_text() == "xx"
    assert store.catalog.events() == []


@pytest.mark.slow
def test_steps_run_on_postgresql_from_workers_too(tmp_path: Path, postgres_uri: str, pool: Pool) -> None:
    with Store.open(tmp_path / "on_postgres", database=postgres_uri) as store:
        first = Engine(store, Ledger(store, actor="ann"), executor=pool).run(STEPS, inputs=INPUTS)
        second = Engine(store, Ledger(store, actor="bob")).run(STEPS, inputs=INPUTS)

        assert first["share"].load() == pytest.approx(2 / 3)
        assert all(cached(second).values())
        pool.close()  # its workers hold connections


# once


def test_once_does_a_deed_once_for_each_key(engine: Engine) -> None:
    done: list[int] = []

    def make() -> dict[str, Any]:
        done.append(1)
        return {"n": len(done), "x": math.inf}

    assert engine.once("deploy", {"model": 3}, make) == ({"n": 1, "x": math.inf}, False)
    assert engine.once("deploy", {"model": 3}, make) == ({"n": 1, "x": math.inf}, True)
    assert engine.once("deploy", {"model": 4}, make) == ({"n": 2, "x": math.inf}, False)
    assert engine.once("undeploy", {"model": 4}, make)[1] is False


def test_a_deed_that_raises_was_not_done(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        engine.once("deploy", 1, lambda: 1 / 0)

    assert engine.once("deploy", 1, lambda: "done") == ("done", False)


def test_a_deed_whose_result_is_not_plain_is_refused(engine: Engine) -> None:
    with pytest.raises(ParameterError, match="not a plain value"):
        engine.once("deploy", 1, object)


# explain


def test_explain_says_what_is_cached_and_why_the_rest_runs(engine: Engine) -> None:
    assert [(p.name, p.state, p.why) for p in engine.explain(STEPS, inputs=INPUTS)] == [
        ("clean", "runs", ("it has not run before",)),
        ("count", "runs", ("it has not run before",)),
        ("share", "runs", ("it has not run before",)),
    ]
    engine.run(STEPS, inputs=INPUTS)
    assert {p.state for p in engine.explain(STEPS, inputs=INPUTS)} == {"cached"}

    assert [(p.name, p.state, p.why) for p in engine.explain(STEPS, inputs={**INPUTS, "total": 4}, params={"least": 20})] == [
        ("clean", "runs", ("parameter least: 10.0 → 20",)),
        ("count", "may run", ("input clean is made anew",)),
        ("share", "runs", ("input total changed", "input clean is made anew", "input count is made anew")),
    ]


def test_explain_names_the_helper_whose_code_changed(engine: Engine, project: Callable[..., Any]) -> None:
    text = "from sampan.engine.step import step\n\ndef twice(x):\n    return 2 * x\n\n@step\ndef a(x):\n    return twice(x)\n"
    engine.run([project(text).a], inputs={"x": 2})

    (planned,) = engine.explain([project(text.replace("2 * x", "3 * x")).a], inputs={"x": 2})

    assert planned.why == ("code of pipeline:twice changed",)


# progress


class Heard:
    def __init__(self) -> None:
        self.said: list[Any] = []

    @contextmanager
    def stage(self, title: str, *, total: int | None = None, unit: str = "") -> Iterator[Heard]:
        self.said.append((title, total, unit))
        yield self

    def advance(self, n: int = 1, note: str = "") -> None:
        self.said.append(note)


def test_progress_names_each_step_and_whether_it_came_from_cache(store: Store) -> None:
    heard = Heard()
    engine = Engine(store, Ledger(store, actor="ann"), progress=heard)
    engine.run([beside], inputs={"total": 1})
    engine.run([beside], inputs={"total": 1})

    assert heard.said == [("steps", 1, "steps"), "beside: 0.0 s", ("steps", 1, "steps"), "beside: from cache"]
