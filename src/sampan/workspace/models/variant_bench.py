"""Where the forms of one model are tried: its rows cut as at its birth, its recipe replayed in a clean process, every outcome kept.

All forms are judged by twins: the recipe fitted on the rows before the test span, and what is made of that. So neither the parent nor any
form has learned from the rows it is judged on. The version that is made at last is fitted on all rows, as its parent was.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan import __version__, plugins
from sampan.compression.edits import REVISION, edited
from sampan.compression.features import ROWS, importance
from sampan.compression.students import fit_student
from sampan.compression.teaching import between, taught
from sampan.compression.timing import Native
from sampan.core.digests import digest_value
from sampan.engine.environment import capture
from sampan.evaluation.metrics import Answered, row_losses
from sampan.features import view_tables
from sampan.features.fitted import FittedView
from sampan.flavors.onnx_graph import INPUT, OnnxScorer
from sampan.flavors.parity import Parity, export
from sampan.flavors.sklearn import ScikitLearn
from sampan.plugins import require
from sampan.ports import Flavor
from sampan.store.scratch import scratch_folder
from sampan.tuning.folds import Fold, rolling_origin
from sampan.tuning.spaces import ParameterValue
from sampan.workspace.explaining.replaying import Fit, Recipe, Replay
from sampan.workspace.models.judging import task_of_model
from sampan.workspace.models.predictors import GRAPH
from sampan.workspace.training.feature_tables import LabeledRows, labeled_rows
from sampan.workspace.training.fitting import over_classes, present_codes
from sampan.workspace.training.learning import PARITY_ROWS, hard_rows

if TYPE_CHECKING:
    from sampan.evaluation.task import Task
    from sampan.workspace.workspace import Workspace

CALIBRATION_ROWS: Final = 10_000
TEACHERS: Final = 3

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One form of a model: how it is trained, and what is then done to its graph."""

    name: str = ""
    how: str = ""
    params: dict[str, ParameterValue] = {}  # other than the parent's; a student's own
    features: tuple[str, ...] = ()  # the ones that are kept; () for all
    is_taught: bool = False
    student: str = ""  # the kind of a model that is trained in the parent's place
    edit: str = ""
    share: float = 1.0  # of what the edit takes away, so much is kept
    threads: int = 1
    beside: str = ""

    @property
    def is_trained(self) -> bool:
        """Say whether it is another training than the parent's."""
        return bool(self.params or self.features or self.is_taught or self.student)

    @property
    def is_replayable(self) -> bool:
        """Say whether the parent's code alone makes it."""
        return not (self.edit or self.is_taught or self.student)

    @property
    def training(self) -> Attempt:
        """Return the training alone."""
        return Attempt(params=self.params, features=self.features, is_taught=self.is_taught, student=self.student)

    def settings(self, parents: Mapping[str, ParameterValue]) -> dict[str, ParameterValue]:
        """Return all parameters that it is trained with."""
        return dict(self.params) if self.student else {**parents, **self.params}


@dataclass(frozen=True, slots=True)
class Tried:
    """What an attempt came to: its graph, and its answers for the rows of the test. A parent without a graph is `native`."""

    attempt: Attempt
    graph: bytes
    answers: Floats
    seconds: float
    native: Native | None = None


@dataclass(frozen=True, slots=True)
class Laid:
    """Rows to learn from and rows to answer, laid out as the model sees them; `codes` are the classes that the labels number."""

    matrix: Matrix
    labels: Floats
    asked: Matrix
    codes: NDArray[np.intp] | None


@dataclass(frozen=True, slots=True)
class Learned(Laid):
    """A fold laid out, with the rows that are judged."""

    judged: LabeledRows


@dataclass(slots=True)
class Bench:
    """One model's bench."""

    ws: Workspace
    recipe: Recipe
    rows: LabeledRows
    task: Task
    test: Fold
    search: Fold
    seed: int
    stack: ExitStack
    libraries: str  # a digest of what is installed: another version may fit otherwise
    n_remembered: int = 0
    seconds_of_fits: list[float] = field(default_factory=list)
    _replay: Replay | None = None
    _folder: Path | None = None
    _laid_out: dict[int, Learned] = field(default_factory=dict)
    _n: int = 0

    @classmethod
    def of(cls, ws: Workspace, recipe: Recipe, *, seed: int, stack: ExitStack) -> Self:
        """Read a model's rows and cut them as at its birth."""
        task = task_of_model(recipe.model)
        table = str(recipe.model.facts["table"])
        rows = labeled_rows(ws, recipe.view, table, task=task, since=recipe.since, until=recipe.until, known_by=recipe.until)
        split = rolling_origin(rows.moments, rows.known_at)
        return cls(ws, recipe, rows, task, split.test, split.search[-1], seed, stack, digest_value(capture(ws.root).libraries))

    @property
    def learned(self) -> Learned:
        """The rows before the test, and those of the test."""
        return self._lay_out(self.test)

    def try_out(self, attempt: Attempt) -> Tried:
        """Carry an attempt out, or remember it.

        Raises
        ------
        Unsupported : there is no such form of this model.
        StepFailed : the training code raised.
        """
        if not attempt.edit:
            return self._trained(attempt)
        base = self._trained(attempt.training)
        return self._edited(attempt, base)

    def try_natively(self, attempt: Attempt) -> Tried:
        """Train an attempt that has no graph, and ask it in this process.

        Raises
        ------
        StepFailed : the training code raised.
        """
        learned, folder, flavor = self.learned, self._next_folder(), self._flavor(attempt)
        seconds = self._fit(attempt, Laid(learned.matrix, learned.labels, learned.asked[:1], learned.codes), folder)
        model = flavor.load(folder)
        answers = over_classes(flavor.predict(model, learned.asked), self.task, learned.codes)
        native = Native(partial(flavor.predict, model), sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()))
        return Tried(attempt, b"", answers, seconds, native)

    def flavor_of(self, attempt: Attempt) -> str:
        """Return the name of the flavor that an attempt is kept in."""
        return ScikitLearn.name if attempt.student else str(self.recipe.model.facts["flavor"])

    def whole(self, attempt: Attempt, folder: Path) -> tuple[Matrix, bytes | None, Parity]:
        """Train an attempt on all rows and save it in a folder; return the matrix, its graph and what its parity came to."""
        fitted = kept_view(self.recipe.fitted, attempt.features)
        matrix = fitted.matrix(self.rows.frame)
        rows = hard_rows(matrix[-PARITY_ROWS:], np.random.default_rng(self.seed))
        asked = rows if self.recipe.model.facts.get("takes_missing", True) else rows[~np.isnan(rows).any(axis=1)]
        self._fit(attempt, Laid(matrix, self.rows.labels, asked, None), folder)
        flavor = self._flavor(attempt)
        model = flavor.load(folder)
        if isinstance(model, OnnxScorer):  # what some flavors keep is the graph alone
            return matrix, (folder / GRAPH).read_bytes(), Parity(passed=True, reason="", n_rows=len(asked))
        graph, parity = export(flavor, model, asked, are_numbers=self.task.kind == "regression")
        return matrix, graph, parity

    def calibration(self, matrix: Matrix) -> Matrix:
        """Return some rows of a matrix, drawn; without gaps where the model takes none."""
        usable = matrix if self.recipe.model.facts.get("takes_missing", True) else matrix[~np.isnan(matrix).any(axis=1)]
        chosen = np.random.default_rng(self.seed).permutation(len(usable))[:CALIBRATION_ROWS]
        return np.ascontiguousarray(usable[np.sort(chosen)])

    def importance(self, attempt: Attempt) -> dict[str, float]:
        """Return how much each kept feature matters on the last span before the test, for a model that has not seen that span."""

        def make() -> list[float]:
            learned, columns = self._lay_out(self.search), self.columns(attempt.features)
            graph, _ = self._fitted_graph(attempt, learned, columns)
            rng = np.random.default_rng(self.seed)
            chosen = np.sort(rng.permutation(len(learned.asked))[:ROWS])
            judged = Laid(learned.matrix, learned.labels, learned.asked[chosen], learned.codes)
            labels, scorer = learned.judged.labels[chosen], OnnxScorer(graph)

            def losses(answers: Floats) -> Floats:
                said = Answered(labels, over_classes(answers, self.task, judged.codes), self.task)
                found = row_losses("mae" if self.task.kind == "regression" else "log_loss", said)
                return np.zeros(len(labels)) if found is None else found

            return [float(each) for each in importance(scorer, losses, judged.asked[:, columns], rng)]

        found, known = self.ws.engine.once("importance", self._key(attempt), make)
        self.n_remembered += known
        return dict(zip(attempt.features or self.recipe.fitted.names, found, strict=True))

    # -- trainings ----------------------------------------------------------------------------------------------------------------

    def _trained(self, attempt: Attempt) -> Tried:
        training = attempt.training

        def make() -> dict[str, Any]:
            learned, columns = self.learned, self.columns(training.features)
            graph, seconds = self._fitted_graph(training, learned, columns)
            answers = over_classes(OnnxScorer(graph)(learned.asked[:, columns]), self.task, learned.codes)
            return {"graph": self.ws.store.blobs.put(graph), "answers": self._put(answers), "seconds": seconds}

        found, known = self.ws.engine.once("variant", self._key(training), make)
        self.n_remembered += known
        self.seconds_of_fits.append(float(found["seconds"]))
        return Tried(attempt, self.ws.store.blobs.read(found["graph"]), self._get(found["answers"]), float(found["seconds"]))

    def _edited(self, attempt: Attempt, base: Tried) -> Tried:
        def make() -> dict[str, Any]:
            learned, columns = self.learned, self.columns(attempt.features)
            graph = edited(base.graph, attempt.edit, attempt.share, {INPUT: self.calibration(learned.matrix[:, columns])})
            answers = over_classes(OnnxScorer(graph)(learned.asked[:, columns]), self.task, learned.codes)
            return {"graph": self.ws.store.blobs.put(graph), "answers": self._put(answers)}

        parts = {**self._key(attempt.training), "edit": attempt.edit, "share": attempt.share, "revision": REVISION}
        found, _ = self.ws.engine.once("variant-edit", parts, make)
        return Tried(attempt, self.ws.store.blobs.read(found["graph"]), self._get(found["answers"]), base.seconds)

    def _fitted_graph(self, attempt: Attempt, learned: Laid, columns: NDArray[np.intp]) -> tuple[bytes, float]:
        """Train, and return the graph and the seconds it took.

        Raises
        ------
        Unsupported : the model cannot be a graph; costs are measured of graphs.
        """
        folder = self._next_folder()
        given = Laid(learned.matrix[:, columns], learned.labels, learned.asked[:1, columns], learned.codes)
        seconds = self._fit(attempt, given, folder)
        if (folder / GRAPH).exists():
            return (folder / GRAPH).read_bytes(), seconds
        flavor = self._flavor(attempt)
        return flavor.to_onnx(flavor.load(folder), len(columns)), seconds

    def _fit(self, attempt: Attempt, given: Laid, folder: Path) -> float:
        matrix, labels = given.matrix, given.labels
        if attempt.is_taught:
            teacher = self._teacher(given)
            if self.task.kind == "regression":
                labels = between(labels, teacher)
            else:
                chosen, labels = taught(labels, teacher, np.random.default_rng(self.seed))
                matrix = matrix[chosen]
        if attempt.student:
            return self._fit_student(attempt, Laid(matrix, labels, given.asked, given.codes), folder)
        params = attempt.settings(self.recipe.params)
        return self._process().fit(Fit(matrix, labels, params, given.asked), save=folder).seconds

    def _fit_student(self, attempt: Attempt, given: Laid, folder: Path) -> float:
        """Fit a model of ours in this process: no code of the user's has a part in it."""
        began = time.perf_counter()
        # One thread: sums come out alike on every machine, and what else runs here is not kept waiting.
        with require("threadpoolctl", extra="train").threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a network that could learn longer says so
            made = fit_student(attempt.student, attempt.params, given.matrix, given.labels, of=self.task.kind, seed=self.seed)
        folder.mkdir(parents=True, exist_ok=True)
        ScikitLearn().save(made, folder)
        return time.perf_counter() - began

    def _teacher(self, given: Laid) -> Floats:
        """Return what the parent's recipe says of rows it had not learned from, fold by fold."""

        def make() -> str:
            numbers = np.random.default_rng(self.seed).integers(0, TEACHERS, len(given.matrix))
            found: Floats | None = None
            for number in range(TEACHERS):
                inside, outside = numbers != number, numbers == number
                fitted = self._process().fit(Fit(given.matrix[inside], given.labels[inside], self.recipe.params, given.matrix[outside]))
                found = np.empty((len(given.matrix), *fitted.scores.shape[1:])) if found is None else found
                found[outside] = fitted.scores
            return self._put(np.asarray(found))

        parts = {**self._key(Attempt()), "rows": list(given.matrix.shape)}
        digest, _ = self.ws.engine.once("teacher", parts, make)
        return self._get(str(digest))

    def _flavor(self, attempt: Attempt) -> Flavor:
        found: Flavor = plugins.find("sampan.flavors", self.flavor_of(attempt))()
        return found

    # -- what is laid out ---------------------------------------------------------------------------------------------------------

    def _lay_out(self, fold: Fold) -> Learned:
        if fold.begins not in self._laid_out:
            train, judged = self.rows.take(fold.train), self.rows.take(fold.validate)
            fitted = view_tables.fit(self.recipe.view, train.frame)
            labels, codes = present_codes(train.labels, self.task)
            self._laid_out[fold.begins] = Learned(fitted.matrix(train.frame), labels, fitted.matrix(judged.frame), codes, judged)
        return self._laid_out[fold.begins]

    def columns(self, features: tuple[str, ...]) -> NDArray[np.intp]:
        """Return the places of some features in the matrix, of all for ()."""
        names = self.recipe.fitted.names
        return np.array([names.index(each) for each in features or names], dtype=np.intp)

    def _key(self, attempt: Attempt) -> dict[str, Any]:
        return {
            "model": self.recipe.model.id,
            "attempt": msgspec.to_builtins(attempt.training),
            "seed": self.seed,
            "program": __version__,
            "libraries": self.libraries,
        }

    def _put(self, array: Floats) -> str:
        buffer = io.BytesIO()
        np.save(buffer, array)
        return str(self.ws.store.blobs.put(buffer.getvalue()))

    def _get(self, digest: str) -> Floats:
        found: Floats = np.load(io.BytesIO(self.ws.store.blobs.read(digest)))
        return found

    # -- the clean process --------------------------------------------------------------------------------------------------------

    def _scratch(self) -> Path:
        if self._folder is None:
            self._folder = self.stack.enter_context(scratch_folder(self.ws.store.root / "scratch", "optimise"))
        return self._folder

    def _next_folder(self) -> Path:
        self._n += 1
        return self._scratch() / f"model-{self._n}"

    def _process(self) -> Replay:
        if self._replay is None or not self._replay.is_alive():
            code = self._scratch() / f"code-{self._n}"
            code.mkdir()
            self.recipe.lay_out(self.ws, code)
            self._replay = self.stack.enter_context(Replay(code, self.recipe.program, self.recipe.model.name))
        return self._replay


def kept_view(fitted: FittedView, features: tuple[str, ...]) -> FittedView:
    """Return a fitted view with some of its features alone, in its own order."""
    if not features:
        return fitted
    return fitted.kept(features)
