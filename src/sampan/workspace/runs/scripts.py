"""Carry out a program that knows nothing of Sampan, and record it: code, arguments, environment, files, fits, scores, output, resources.

The program runs as it would alone, with a folder of ours on its import path (`sampan/capture`) that reports what it does. It is a program
of any kind: a Python file, a module, a notebook, a command of the shell whose Pythons are watched as well. Here its report becomes a run:
metrics while it goes on, the rest at its end.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.events import Input, ParamsLogged, RunEnded, RunStarted, VersionCommitted, new_id
from sampan.core.graph import Node, NodeId
from sampan.errors import NotFound
from sampan.store.scratch import scratch_folder
from sampan.workspace.models.events import StoredFile
from sampan.workspace.runs.environment import record_environment
from sampan.workspace.runs.events import ArtifactsLogged, InputsRead
from sampan.workspace.runs.late_events import await_database
from sampan.workspace.runs.live_runs import WATCHED_PROJECT, WATCHED_RUN
from sampan.workspace.runs.notebooks import as_program
from sampan.workspace.runs.resources import Resources
from sampan.workspace.runs.script_reports import Reports, ScriptFile

if TYPE_CHECKING:
    from sampan.store.journals import MetricJournal
    from sampan.workspace.workspace import Workspace

INJECTED: Final = Path(__file__).resolve().parents[2] / "capture" / "inject"
FILE = "file"  # the kind of a file that a program read or wrote
_NEWEST: Final = 20  # versions of a dataset that a file is looked for among
_TAIL_S: Final = 0.5
_MAX_OUTPUT: Final = 16 << 20  # bytes kept
_MAX_KEPT: Final = 256 << 20  # bytes of one written file kept with the run
_MAX_CODE: Final = 1 << 20


@dataclass(slots=True)
class ScriptOutcome:
    """How a watched program went."""

    run: NodeId
    code: int
    seconds: float
    cpu_s: float
    max_rss_mb: float
    n_params: int
    metrics: dict[str, float]
    read: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Script:
    """One program to carry out and record."""

    def __init__(self, ws: Workspace, words: Sequence[str], *, name: str = "", title: str = "") -> None:
        self.ws = ws
        self.words = list(words)
        self.name = name or _name(words)
        self.title = title or " ".join(words)[:200]
        self.run = new_id()

    def carry_out(self, tell: Callable[[str], object]) -> ScriptOutcome:
        """Run the program to its end; `tell` is given what it prints, as it comes.

        Raises
        ------
        NotFound : there is no such program.
        UsageError : a notebook cannot be run here.
        """
        with scratch_folder(self.ws.store.root / "scratch", "watched") as folder:
            command, cwd = as_program(self.words, folder)
            _require_program(command)
            self._start(cwd)
            try:
                with self.ws.store.journals.open(self.run) as journal:
                    reports = Reports(folder, self.ws.store.root)
                    outcome = self._watch(command, cwd, folder, reports, journal, tell)
                    await_database(self.ws)
                    self._record(reports, outcome, folder, cwd, journal)
            except BaseException as error:
                state = "killed" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"
                self._end(state, f"{type(error).__name__}: {error}")
                raise
            self._end("finished" if outcome.code == 0 else "failed", "" if outcome.code == 0 else _how_it_ended(outcome.code))
        self.ws.ledger.fold(self.run)
        return outcome

    # -- before

    def _start(self, cwd: Path) -> None:
        file = next((Path(word) for word in self.words if Path(word).is_file()), None)
        facts: dict[str, Any] = {
            "arguments": self.words,
            "environment": record_environment(self.ws, file.resolve().parent if file else cwd),
            "watched": True,
        }
        params = read_arguments(self.words)
        self.ws.ledger.append(
            RunStarted(
                node=self.run,
                experiment=self.name,
                title=self.title,
                started=self.ws.clock(),
                source=str(file or self.words[0]),
                host=socket.gethostname(),
                pid=os.getpid(),
                params=params,
                facts=facts,
            )
        )

    # -- while it runs

    def _watch(
        self, command: Sequence[str], cwd: Path, folder: Path, reports: Reports, journal: MetricJournal, tell: Callable[[str], object]
    ) -> ScriptOutcome:
        began = time.monotonic()
        output = folder / "output.txt"
        with subprocess.Popen(
            command, cwd=cwd, env=self._environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        ) as process:
            assert process.stdout is not None
            resources = Resources(process.pid)
            with _repeated(lambda: self._tail(reports, resources, journal)), _passed_on(process):
                _copy(process.stdout, output, tell)
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
        self._tail(reports, resources, journal)
        return ScriptOutcome(
            run=self.run,
            code=process.returncode,
            seconds=time.monotonic() - began,
            cpu_s=used.ru_utime + used.ru_stime,
            max_rss_mb=used.ru_maxrss / 1024,
            n_params=0,
            metrics={},
        )

    def _environment(self, folder: Path) -> dict[str, str]:
        before = os.environ.get("PYTHONPATH", "")
        return {
            **os.environ,
            "PYTHONPATH": str(INJECTED) + (os.pathsep + before if before else ""),
            "PYTHONUNBUFFERED": "1",
            "SAMPAN_CAPTURE": str(folder),
            WATCHED_RUN: self.run,
            WATCHED_PROJECT: str(self.ws.root),
        }

    def _tail(self, reports: Reports, resources: Resources, journal: MetricJournal) -> None:
        """Log the metrics reported since the last time, and what the program uses now."""
        for metric in reports.new_metrics():
            journal.log(metric.key, metric.value, step=metric.step, at=metric.at)
        for key, value in resources.measure().items():
            journal.log(key, value, step=resources.n, at=self.ws.clock())

    # -- after

    def _record(self, reports: Reports, outcome: ScriptOutcome, folder: Path, cwd: Path, journal: MetricJournal) -> None:
        """Record what the program did: parameters, files as versions with their edges, code, models, output."""
        told = reports.read_all()
        journal.log("system.cpu_s", outcome.cpu_s, step=0, at=self.ws.clock())
        journal.log("system.max_rss_mb", outcome.max_rss_mb, step=0, at=self.ws.clock())
        taken = set(read_arguments(self.words))
        params = {name: value for name, value in told.params.items() if name not in taken}
        if params:
            self.ws.ledger.append(ParamsLogged(node=self.run, params=params))
        outcome.n_params = len(params) + len(taken)
        outcome.metrics = told.last_metrics
        outcome.notes += told.notes
        inputs = self._inputs(told.read)
        if inputs:
            self.ws.ledger.append(InputsRead(node=self.run, inputs=tuple(Input(node.id, "input") for node in inputs)))
        outcome.read = [node.ref for node in inputs]
        outcome.written = [node.ref for node in self._outputs(told.written)]
        files = [*self._code(told.code, cwd), *self._kept(told.models, told.written, folder)]
        outcome.models = [f"{model.name} ({model.note})" for model in told.models if model.path]
        outcome.notes += [f"model {model.name}: {model.note}" for model in told.models if not model.path]
        if told.process:
            files.append(self._store_bytes("process.json", msgspec.json.format(msgspec.json.encode(told.process))))
        if files:
            self.ws.ledger.append(ArtifactsLogged(node=self.run, files=tuple({file.path: file for file in files}.values())))

    def _inputs(self, read: Sequence[ScriptFile]) -> list[Node]:
        """Return a version for each file read: the dataset that was made from these bytes, a run's output, or the file itself."""
        datasets = self._datasets_by_source() if read else {}
        others = [file for file in read if file.digest not in datasets]
        versions = dict(zip((file.path for file in others), self._file_versions(others), strict=True))
        found = [datasets.get(file.digest) or versions[file.path] for file in read]
        return list({node.id: node for node in found}.values())

    def _datasets_by_source(self) -> dict[str, Node]:
        """Return the newest version that was made from each file's bytes, of the newest versions of every dataset."""
        found: dict[str, Node] = {}
        for asset in self.ws.catalog.assets("dataset"):
            for node in self.ws.catalog.nodes(kind="dataset", name=asset.name, limit=_NEWEST):
                found.setdefault(str(node.facts.get("source_digest", "")), node)
        found.pop("", None)
        return found

    def _outputs(self, written: Sequence[ScriptFile]) -> list[Node]:
        return self._file_versions(written, inputs=(Input(self.run, "output"),))

    def _file_versions(self, files: Sequence[ScriptFile], *, inputs: tuple[Input, ...] = ()) -> list[Node]:
        """Return a version of each file; those that are new, or were made by this run, are recorded in one transaction."""
        found: list[Node | NodeId] = []
        events = []
        for file in files:
            path = self._shown(file.path)
            name = path.replace("\\", "/").replace("/", "·").replace("@", "_").lstrip(". -")
            known = None if inputs else self.ws.catalog.find_version(FILE, name, file.digest)
            if known is None:
                facts = {"path": path, "source_digest": file.digest}
                events.append(
                    VersionCommitted(node=new_id(), kind=FILE, name=name, digest=file.digest, size=file.size, facts=facts, inputs=inputs)
                )
            found.append(known or events[-1].node)
        if events:
            self.ws.ledger.append(*events)
        return [self.ws.catalog.node(each) if isinstance(each, str) else each for each in found]

    def _shown(self, path: Path) -> str:
        return path.relative_to(self.ws.root).as_posix() if path.is_relative_to(self.ws.root) else str(path)

    def _code(self, files: Sequence[Path], cwd: Path) -> Iterator[StoredFile]:
        own = [Path(word) for word in self.words if Path(word).is_file()]
        for file in dict.fromkeys((cwd / each).resolve() for each in (*own, *files)):
            if file.is_file() and file.stat().st_size <= _MAX_CODE:
                yield self._store_bytes(f"code/{self._shown(file).lstrip('/')}", file.read_bytes())

    def _kept(self, models: Sequence[Any], written: Sequence[ScriptFile], folder: Path) -> Iterator[StoredFile]:
        blobs = self.ws.store.blobs
        for model in models:
            if model.path:
                path = Path(model.path)
                for part in sorted(path.iterdir()) if path.is_dir() else [path]:
                    yield StoredFile(f"models/{part.relative_to(path.parent).as_posix()}", *blobs.put_file(part))
        for file in written:
            if file.size <= _MAX_KEPT:
                yield StoredFile(f"written/{self._shown(file.path).lstrip('/')}", *blobs.put_file(file.path))
        output = folder / "output.txt"
        if output.stat().st_size:
            yield StoredFile("output.txt", *blobs.put_file(output))

    def _store_bytes(self, path: str, data: bytes) -> StoredFile:
        return StoredFile(path, self.ws.store.blobs.put(data), len(data))

    def _end(self, state: str, reason: str) -> None:
        self.ws.ledger.append(RunEnded(node=self.run, state=state, ended=self.ws.clock(), reason=reason[:500]))


def read_arguments(words: Sequence[str]) -> dict[str, str]:
    """Read a command line's parameters: `--lr 0.1`, `--lr=0.1`, `lr=0.1`, `--fast`; values without a name are no parameters."""
    found: dict[str, str] = {}
    rest = list(words[1:])
    while rest:
        word = rest.pop(0)
        name, is_given, value = word.lstrip("-").partition("=")
        if word == "--" or not name or not name[0].isalpha():
            continue
        if is_given:
            found[name] = value
        elif word.startswith("--"):
            found[name] = rest.pop(0) if rest and not rest[0].startswith("--") and "=" not in rest[0] else "true"
    return found


def _name(words: Sequence[str]) -> str:
    """Name the experiment for the file or module that is run."""
    if words[0] == "-m" and len(words) > 1:
        return words[1]
    scripts = [word for word in words if Path(word).suffix in (".py", ".ipynb", ".sh")]
    return Path(scripts[0] if scripts else words[0]).stem.lstrip(".-") or "run"


def _require_program(command: Sequence[str]) -> None:
    if shutil.which(command[0]) is None:
        raise NotFound(
            f"there is no program {command[0]!r}", hint="sampan run FILE.py, or -m MODULE, or a command that the shell would find"
        )


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def _copy(stream: IO[bytes], output: Path, tell: Callable[[str], object]) -> None:
    """Show what comes, and keep its first part."""
    import codecs

    decode, n_kept = codecs.getincrementaldecoder("utf-8")("replace").decode, 0
    with output.open("wb") as kept:
        while chunk := stream.read(1 << 16):
            tell(decode(chunk))
            if n_kept < _MAX_OUTPUT:
                n_kept += kept.write(chunk[: _MAX_OUTPUT - n_kept])


@contextmanager
def _repeated(call: Callable[[], None]) -> Iterator[None]:
    """Call again and again in a thread until the block is left."""
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.wait(_TAIL_S):
            call()

    thread = threading.Thread(target=repeat, name="tail of a watched program", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def _passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass an interruption on to the program, which may want to tidy up; without a main thread there is none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, _frame: object) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show_output(text: str) -> None:
    """Write what a program printed, as it comes."""
    sys.stdout.write(text)
    sys.stdout.flush()
