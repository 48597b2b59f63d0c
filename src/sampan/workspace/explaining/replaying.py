"""A model's recipe, read back from what was kept with it, and carried out again in a clean process.

A recipe is everything that a training's outcome depends on: which rows of which dataset versions, the feature view, the parameters, the
training code. Changed recipes (`why`) and the same one again (`reproduce`) are both carried out here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from sampan.core.graph import Node
from sampan.core.times import Millis
from sampan.engine.executors import THREAD_LIMITS
from sampan.errors import NotFound, StepFailed, Unsupported
from sampan.evaluation.task import BINARY, Task
from sampan.features.fitted import FittedView
from sampan.features.view import View
from sampan.flavors.weight import Weight
from sampan.tuning.checkpoint import FitStopped
from sampan.tuning.spaces import ParameterValue
from sampan.workspace.models.judging import task_of_model
from sampan.workspace.models.predictors import FEATURES
from sampan.workspace.runs.code_snapshot import CODE

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_DATA_SUFFIXES = (".csv", ".tsv", ".parquet")


Watch = Callable[[int, NDArray[np.float64]], bool]  # a step of a fit and its answers then; whether to stop


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a model was made from."""

    model: Node
    view: View
    fitted: FittedView
    datasets: dict[str, Node]
    since: Millis
    until: Millis
    params: dict[str, ParameterValue]
    code: str  # the digest of the training function and what it uses
    program: str  # the training file's name
    files: dict[str, str]  # the kept sources, digests by path
    task: Task = BINARY

    @classmethod
    def of(cls, ws: Workspace, model: Node) -> Self:
        """Read a model's recipe.

        Raises
        ------
        Unsupported : its code was not kept, as before this release.
        """
        if (variant := model.facts.get("variant")) and not variant["is_replayable"]:
            made = f"{model.ref} was made from {variant['parent_ref']} by {variant['name']!r}, not by its training alone"
            raise Unsupported(made, hint=f"ask of {variant['parent_ref']}")
        files = {each.path: each.digest for each in ws.catalog.artifacts(model.id)}
        sources = {path.removeprefix(f"{CODE}/"): digest for path, digest in files.items() if path.startswith(f"{CODE}/")}
        if not sources or "program" not in model.facts:
            raise Unsupported(
                f"{model.ref} was trained before code was kept with models", hint="train it again: the same file gives it a code"
            )
        fitted = FittedView.from_json(ws.store.blobs.read(files[FEATURES]))
        facts = model.facts
        return cls(
            model=model,
            view=fitted.view,
            fitted=fitted,
            datasets={name: ws.catalog.node(node) for name, node in facts["datasets"].items()},
            since=facts["since"],
            until=facts["until"],
            params=dict(facts["params"]),
            code=facts["code"],
            program=facts["program"],
            files=sources,
            task=task_of_model(model),
        )

    def lay_out(self, ws: Workspace, folder: Path) -> None:
        """Write the kept code, and the data files that it names beside itself, into an empty folder."""
        for path, digest in self.files.items():
            (kept := folder / path).parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(ws.store.blobs.read(digest))
        for node in self.datasets.values():
            source = Path(str(node.facts.get("source", "")))
            # `sp.dataset("loans.csv")` reads the columns when the file is imported; the rows come from the store.
            if source.suffix in _DATA_SUFFIXES and not (folder / source.name).exists():
                frame = ws.store.tables.scan(node.digest)
                target = folder / source.name
                frame.sink_parquet(target) if source.suffix == ".parquet" else frame.sink_csv(
                    target, separator="\t" if source.suffix == ".tsv" else ","
                )


@dataclass(frozen=True, slots=True)
class Fit:
    """One fit to carry out: what to learn from, with which parameters, what to score."""

    matrix: NDArray[np.float32]
    labels: NDArray[np.float64]
    params: Mapping[str, ParameterValue]
    score: NDArray[np.float32]
    codes: NDArray[np.intp] | None = None  # which class each label's number is, where not all classes are there


@dataclass(frozen=True, slots=True)
class Refitted:
    """What a fit came to."""

    scores: NDArray[np.float64]
    seconds: float
    weight: Weight | None = None


class Replay:
    """A clean process that fits by one recipe's code. Close it, or use it in a `with`."""

    def __init__(
        self,
        folder: Path,
        program: str,
        name: str,
        *,
        python: str = sys.executable,
        threads: Mapping[str, str] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._folder = scratch or folder
        kept = {key: value for key, value in os.environ.items() if key not in THREAD_LIMITS or threads is None}
        ours = str(Path(__file__).resolve().parents[3])
        command = [python, "-m", "sampan.workspace.explaining.replay_worker", str(folder), program, name]
        self._prefix = f".replay-{os.urandom(6).hex()}"
        self._told = self._folder / f"{self._prefix}-told"
        with self._told.open("wb") as told:  # a pipe that nobody reads would fill up
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                env={**kept, **(threads or {}), "PYTHONPATH": ours, "PYTHONHASHSEED": "0"},
            )
        self._n = 0

    def fit(self, wanted: Fit, *, save: Path | None = None) -> Refitted:
        """Fit a model and return its scores.

        Raises
        ------
        StepFailed : the training code raised, or the process died.
        """
        self._n += 1
        train, score, out = (self._folder / f"{self._prefix}-{self._n}-{word}" for word in ("train.npz", "score.npy", "scores.npy"))
        np.savez(train, matrix=wanted.matrix, labels=wanted.labels)
        np.save(score, wanted.score)
        job = {"train": str(train), "params": dict(wanted.params), "score": {str(score): str(out)}, "save": str(save) if save else ""}
        answer = self._ask(job)
        scores = np.load(out)
        for file in (train, score, out):
            file.unlink()
        return Refitted(scores, float(answer["seconds"]))

    def fit_files(
        self,
        train: Path,
        matrix: Path,
        params: Mapping[str, ParameterValue],
        *,
        weigh: bool,
        few: Path | None = None,
        watch: Watch | None = None,
    ) -> Refitted:
        """Fit on matrices that lie in files for many fits, and return the scores.

        At each `sp.checkpoint` of the fit `watch` is shown the answers for the rows of `few`.

        Raises
        ------
        StepFailed : the training code raised, or the process died.
        FitStopped : `watch` said so.
        """
        self._n += 1
        out, seen = (self._folder / f"{self._prefix}-{self._n}-{word}.npy" for word in ("scores", "seen"))
        job = {"train": str(train), "params": dict(params), "score": {str(matrix): str(out)}, "weigh": weigh}
        answer = self._ask(job if watch is None else {**job, "watch": [str(few), str(seen)]})
        try:
            while "step" in answer:
                assert watch is not None
                answer = self._ask({"stop": self._is_enough(watch, int(answer["step"]), seen)})
        finally:
            seen.unlink(missing_ok=True)
        if answer.get("stopped"):
            raise FitStopped
        scores = np.load(out)
        out.unlink()
        weight = Weight(float(answer["latency_ms"]), int(answer["size_bytes"])) if weigh else None
        return Refitted(scores, float(answer["seconds"]), weight)

    def _is_enough(self, watch: Watch, step: int, seen: Path) -> bool:
        try:
            return watch(step, np.load(seen))
        except BaseException:
            self._ask({"stop": True})  # it waits for a word
            raise

    def is_alive(self) -> bool:
        """Say whether the process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()

    def score(self, folders: Sequence[Path], flavor: str, matrix: NDArray[np.float32]) -> list[NDArray[np.float64]]:
        """Load saved models in the clean process and return the scores of each.

        Raises
        ------
        StepFailed : a model cannot be loaded there, or the process died.
        """
        self._n += 1
        given = self._folder / f"{self._prefix}-{self._n}-matrix.npy"
        outs = {str(folder): str(self._folder / f"{self._prefix}-{self._n}-{n}.npy") for n, folder in enumerate(folders)}
        np.save(given, matrix)
        self._ask({"flavor": flavor, "folders": outs, "matrix": str(given)})
        return [np.load(out) for out in outs.values()]

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(job) + "\n")
            stdin.flush()
            line = stdout.readline()
        except (BrokenPipeError, ValueError):  # it died, or was closed meanwhile
            line = ""
        if not line:
            self._process.wait()
            told = self._told.read_text(errors="replace").strip().splitlines()
            why = told[-1] if told else f"exit code {self._process.returncode}"
            raise StepFailed(f"the replay's process ended: {why}", step="replay", hint="run the training file by itself to see why")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise StepFailed(f"the training code failed: {answer['error']}", step="replay", hint=answer["hint"])
        return answer

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def model_node(ws: Workspace, ref: str) -> Node:
    """Return a model by reference. Raises NotFound."""
    try:
        return ws.catalog.resolve(ref, kind="model")
    except NotFound as missing:
        raise NotFound(missing.message, hint=missing.hint or "sampan model list", did_you_mean=missing.did_you_mean) from None
