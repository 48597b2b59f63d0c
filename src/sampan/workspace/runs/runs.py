"""The run room: carry out a file, and look at what ran."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from sampan.core.answers import Answer
from sampan.core.graph import MetricSummary, NodeId, RunRow
from sampan.core.refs import nearest
from sampan.core.times import Millis
from sampan.errors import NotFound, ParameterError, UsageError
from sampan.workspace.columns import align, count, size_text
from sampan.workspace.data.answers import Head
from sampan.workspace.operation import operation
from sampan.workspace.runs.deleting import Deleting
from sampan.workspace.runs.listing import Listing, RunLine, RunList, run_lines
from sampan.workspace.training.training_options import TrainingOptions

if TYPE_CHECKING:
    from sampan.engine.engine import StepOutcome
    from sampan.engine.step import Step

MANY = 10_000
_SHOWN = 10
Words = list[str]  # inside the room, `list` is the operation
_MARKS = {"step", "train"}
_DECLARE = (
    "`import sampan as sp`, then mark each function that makes a table with @sp.step, or the one that fits a model with @sp.train(…);"
    " any other program: sampan run program WORDS"
)


class RunShown(Answer, frozen=True, kw_only=True):
    """One run with its trials and what it made."""

    run: RunLine
    source: str
    inputs: tuple[str, ...]
    made: tuple[str, ...]
    trials: tuple[RunLine, ...]
    artifacts: dict[str, int] = {}  # bytes, by path

    def text(self) -> str:
        """Show the run, what it read and made, and its trials."""
        one = self.run
        took = "" if one.seconds is None else f" in {one.seconds:.1f} s"
        lines = [f"{one.experiment}, {one.title}: {one.state}{took}, started {one.started}", f"  file   {self.source}"]
        lines += [f"  read   {ref}" for ref in self.inputs] + [f"  made   {ref}" for ref in self.made]
        lines += [f"  {key} = {value}" for key, value in one.params.items()] + [
            f"  {key}: {value:.4f}" for key, value in one.metrics.items()
        ]
        lines += [f"  kept   {path}  {size_text(size)}" for path, size in self.artifacts.items()]
        if self.trials:
            lines.append(RunList(runs=self.trials).text())
        return "\n".join(lines)


class RunMetrics(Answer, frozen=True, kw_only=True):
    """What each metric of a run came to, and one metric's whole history where it was asked for."""

    run: str
    summaries: tuple[MetricSummary, ...]
    key: str = ""
    steps: tuple[int, ...] = ()
    at: tuple[Millis, ...] = ()
    values: tuple[float, ...] = ()

    def text(self) -> str:
        """Show the summaries, or the points."""
        if self.key:
            return align(("step", self.key), [(str(s), f"{v:.6g}") for s, v in zip(self.steps, self.values, strict=True)], right=("step",))
        header = ("metric", "last", "min", "max", "points")
        return align(header, [(m.key, f"{m.last:.6g}", f"{m.min:.6g}", f"{m.max:.6g}", str(m.n)) for m in self.summaries])


class StepsRan(Answer, frozen=True, kw_only=True):
    """The steps of a file, brought up to date, and what one of them made where that was asked for."""

    file: str
    ran: tuple[str, ...]
    cached: tuple[str, ...]
    digests: dict[str, str]
    shown: Head | None = None

    def text(self) -> str:
        """Say which steps ran."""
        ran = f"{count(len(self.ran), 'step')} ran: {', '.join(self.ran)}" if self.ran else "no step had to run"
        line = f"{self.file}: {ran}" + (f"; {len(self.cached)} up to date" if self.cached else "")
        return line if self.shown is None else f"{line}\n\n{self.shown.text()}"


class FileRan(Answer, frozen=True, kw_only=True):
    """What carrying out a file came to: steps, or a trained model."""

    steps: StepsRan | None = None
    model: str = ""
    run: NodeId = ""
    cached: bool = False
    metrics: dict[str, float | None] = {}
    said: str = ""

    def text(self) -> str:
        """Say what the steps or the training said."""
        return self.steps.text() if self.steps is not None else self.said


class ScriptRan(Answer, frozen=True, kw_only=True):
    """How a watched program went."""

    run: NodeId
    words: tuple[str, ...]
    code: int
    seconds: float
    cpu_s: float
    max_rss_mb: float
    n_params: int
    metrics: dict[str, float]
    read: tuple[str, ...]
    written: tuple[str, ...]
    models: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Say what was recorded."""
        ended = "finished" if self.code == 0 else f"failed (exit code {self.code})"
        lines = [f"run {self.run[:12]} {ended} in {self.seconds:.1f} s, {self.cpu_s:.1f} s of processor time, {self.max_rss_mb:,.0f} MB"]
        lines += [f"  read     {ref}" for ref in self.read] + [f"  wrote    {ref}" for ref in self.written]
        lines += [f"  model    {model}" for model in self.models]
        lines += [f"  {key}: {value:.6g}" for key, value in self.metrics.items()]
        if self.n_params:
            lines.append(f"  {count(self.n_params, 'parameter')}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def exit_code(self) -> int:
        """Return the program's own; as shells do, 128 and the signal's number where one ended it."""
        return self.code if self.code >= 0 else 128 - self.code


class Runs(Listing, Deleting):
    """Runs: carry out a file, list, show, read metrics."""

    noun: ClassVar[str] = "run"
    default_verb: ClassVar[str] = "script"

    @operation(local=True)
    def script(self, file: Path, *, show: str = "", **options: Unpack[TrainingOptions]) -> FileRan:
        """Carry out a file: train the model it declares, or bring its steps up to date.

        Parameters
        ----------
        file : a Python file with an @sp.train function, or with steps
        show : the step whose result is wanted: a table's first rows, or the value
        params : parameters that are not searched, or those of steps, such as num_leaves=31
        """
        declared = self._declared(file)
        if declared:
            steps = self._run_steps(declared, file, options.get("params") or {}, options.get("data") or {}, show)
            return FileRan(steps=steps, next=() if show else (f"sampan run {file} --show {declared[-1].name}",))
        trained = self.ws.model.train(file, **options)
        metrics = {key: figure.value for key, figure in trained.metrics.items()}
        return FileRan(
            model=trained.model.ref, run=trained.run, cached=trained.cached, metrics=metrics, said=trained.text(), next=trained.next
        )

    @operation(local=True, verbatim=True)
    def program(self, words: Words, *, name: str = "", title: str = "") -> ScriptRan:
        """Carry out any program and record it: its code, arguments, environment, files, fits, scores, output and resources.

        `sampan run train.py --lr 0.1` comes here where the file declares neither steps nor a training function for Sampan. What stands
        after the program's name is its own; our options stand before it. The exit code is the program's.

        Parameters
        ----------
        words : a Python file, -m and a module, a notebook, or a command, with its arguments
        name : what the run belongs to, as runs are grouped and compared; by default the file's name
        title : what tells this run from the others; by default the words
        """
        from sampan.workspace.runs.scripts import Script, show_output

        if not words:
            raise UsageError("there is nothing to run", hint="sampan run FILE.py")
        outcome = Script(self.ws, words, name=name, title=title).carry_out(show_output)
        return ScriptRan(
            run=outcome.run,
            words=tuple(words),
            code=outcome.code,
            seconds=outcome.seconds,
            cpu_s=outcome.cpu_s,
            max_rss_mb=outcome.max_rss_mb,
            n_params=outcome.n_params,
            metrics=outcome.metrics,
            read=tuple(outcome.read),
            written=tuple(outcome.written),
            models=tuple(outcome.models),
            notes=tuple(outcome.notes),
            next=(f"sampan run show {outcome.run[:12]}", "sampan run list"),
        )

    @classmethod
    def verb_for(cls, word: str) -> str:
        """Say which verb `sampan run WORD` means: `script` for a file made for Sampan, or none at all; else `program`."""
        file = Path(word)
        if file.suffix != ".py" or not file.is_file():
            return "script" if file.suffix == ".py" or file.is_dir() else "program"
        return "script" if declares(file) else "program"

    @operation(reads=True)
    def show(self, run: str) -> RunShown:
        """Show a run: what it read and made, its parameters, its trials.

        Parameters
        ----------
        run : the run's id, its first digits, or a model's name for its newest run
        """
        row = self._row(run)
        trials = self.ws.catalog.runs(parent=row.node.id, limit=MANY)
        inputs = [self.ws.catalog.node(e.src) for e in self.ws.catalog.edges_to(row.node.id)]
        made = [self.ws.catalog.node(e.dst) for e in self.ws.catalog.edges_from(row.node.id)]
        kept = self.ws.catalog.artifacts(row.node.id)
        lines = run_lines(self.ws, [row, *reversed(trials)])
        return RunShown(
            run=lines[0],
            source=row.source,
            inputs=tuple(f"{n.kind}:{n.ref}" for n in inputs),
            made=tuple(f"{n.kind}:{n.ref}" for n in made if n.kind != "run"),
            trials=lines[1:],
            artifacts={each.path: each.size for each in kept},
            next=(f"sampan run metrics {row.node.id[:12]}",),
        )

    @operation(reads=True)
    def metrics(self, run: str, *, key: str = "") -> RunMetrics:
        """Show what a run's metrics came to, or one metric point by point.

        Parameters
        ----------
        run : the run's id, its first digits, or a model's name for its newest run
        key : the metric whose points are wanted
        """
        row = self._row(run)
        summaries = tuple(self.ws.catalog.metrics(row.node.id))
        if not key:
            return RunMetrics(run=row.node.id, summaries=summaries)
        if key not in {m.key for m in summaries}:
            raise NotFound(f"run {run} has no metric {key!r}", did_you_mean=tuple(m.key for m in summaries))
        points = self.ws.catalog.metric_history(row.node.id, key)
        return RunMetrics(
            run=row.node.id, summaries=summaries, key=key, steps=tuple(points.steps), at=tuple(points.at), values=tuple(points.values)
        )

    def _row(self, run: str) -> RunRow:
        """Return the run an id means; a model's name means its newest run, not the newest trial inside it."""
        node = self.ws.catalog.resolve(run, kind="run")
        if run == node.name:
            newest = self.ws.catalog.runs(experiment=run, parent="", limit=1)
            if newest:
                return newest[0]
        return self.ws.catalog.run(node.id)

    def _declared(self, file: Path) -> Sequence[Step[..., Any]]:
        """Return the steps a file declares; none where it trains a model.

        Raises
        ------
        NotFound : it is no Python file.
        UsageError : it declares neither, so that importing it would only carry it out unrecorded.
        """
        from sampan.engine.pipeline import find_steps

        if file.is_dir():
            raise NotFound(f"{file} is a folder", hint="give the path of a Python file in it")
        if not file.is_file():
            near = nearest(file.name, [each.name for each in file.parent.glob("*.py")])
            raise NotFound(f"there is no file {file}", did_you_mean=near, hint="" if near else "give the path of a Python file")
        if file.suffix == ".py" and not declares(file):
            raise UsageError(f"{file} has neither steps nor a training function; nothing was run", hint=_DECLARE)
        return find_steps(file, self.ws.engine.hints)

    def _run_steps(self, steps: Sequence[Step[..., Any]], file: Path, params: dict[str, str], data: dict[str, str], show: str) -> StepsRan:
        """Run steps on the datasets their inputs are named for."""
        made = {step.name for step in steps}
        if show and show not in made:
            raise NotFound(f"{file} has no step {show!r}", did_you_mean=nearest(show, made) or tuple(made))
        wanted = {name: step.name for step in steps for name in step.declared.inputs if name not in made}
        inputs: dict[str, Any] = {n: self._input(n, data.get(n, n), wanted[n]) for n in sorted(wanted)}
        known = {name: default for step in steps for name, default in step.declared.defaults.items()}
        outcomes = self.ws.engine.run(steps, inputs=inputs, params={n: _like(n, text, known) for n, text in params.items()})
        return StepsRan(
            file=file.name,
            ran=tuple(name for name, o in outcomes.items() if not o.cached),
            cached=tuple(name for name, o in outcomes.items() if o.cached),
            digests={name: o.digest for name, o in outcomes.items()},
            shown=_head(show, outcomes[show]) if show else None,
        )

    def _input(self, name: str, ref: str, step: str) -> str:
        from sampan.workspace.governing.governance import require_allowed

        try:
            dataset = self.ws.catalog.resolve(ref, kind="dataset")
            require_allowed(self.ws, [dataset], act="read")
            return dataset.digest
        except NotFound as cause:
            if ref != name:
                raise
            hint = cause.hint if cause.did_you_mean else f"sampan data add FILE --name {name}, or --data {name}=DATASET"
            raise NotFound(f"step {step} needs {name!r}, and no dataset or step has that name", hint=hint) from cause


def declares(file: Path) -> bool:
    """Say whether a file declares steps or a training function, itself or by a module beside it that it imports from.

    A file that is no Python is left to the import, which tells why.
    """
    return _declares(file, set())


def _declares(file: Path, seen: set[Path]) -> bool:
    seen.add(file)
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return True
    ours = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "sampan"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _MARKS and isinstance(node.value, ast.Name) and node.value.id in ours:
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sampan" and {a.name for a in node.names} & _MARKS:
            return True
    # A name that is only imported from a module of one's own may be a step as well.
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    beside = [(file.parent / module.replace(".", "/")).with_suffix(".py") for module in sorted(modules)]
    return any(each.is_file() and each not in seen and _declares(each, seen) for each in beside)


def _head(name: str, outcome: StepOutcome) -> Head:
    """Return a result's first rows; a value that is no table is one row."""
    value = outcome.load()
    if not hasattr(value, "to_dicts"):
        return Head(ref=name, columns=(name,), rows=({name: str(value)},))
    frame = value.head(_SHOWN)
    return Head(ref=name, columns=tuple(frame.columns), rows=tuple(frame.to_dicts()))


def _like(name: str, text: str, known: dict[str, Any]) -> Any:
    """Read a step's parameter by the type of its default."""
    default = known.get(name)
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(default, int | float):
            return type(default)(text)
    except (ValueError, KeyError) as cause:
        raise ParameterError(f"{name}={text} is no {type(default).__name__}", hint=f"the default is {default!r}") from cause
    return text
