"""Smaller forms of one model for targets it does not fit: edits of its graph and smaller trainings, judged by twins, made versions.

They are the forms of `sampan model optimise`, by the same names; what either has tried the other remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from sampan.compression.edits import OF_ONE_MATRIX, edits_for, name_of
from sampan.compression.sizing import Size, grid, halvings
from sampan.compression.timing import Contender, measure
from sampan.core.graph import Node
from sampan.core.refs import nearest
from sampan.errors import GateRejected, NotFound, PolicyRefused, StepFailed, Unsupported
from sampan.evaluation.paired import Paired, Scored, compare
from sampan.flavors.onnx_graph import INPUT
from sampan.ports import Gain
from sampan.workspace.models.judging import objective_of
from sampan.workspace.models.smaller_trainings import costs_more, gain_of, halved, metric_of, recipe_of, sizes_of, smaller, spread
from sampan.workspace.models.variant_bench import Attempt, Bench, Tried
from sampan.workspace.models.variants import Chosen, make_version
from sampan.workspace.training.fitting import over_classes

if TYPE_CHECKING:
    from sampan.workspace.explaining.replaying import Recipe
    from sampan.workspace.workspace import Workspace

ROWS: Final = 2000  # on which generated code is judged: a board in emulation takes about a second for them

Floats = NDArray[np.float64]


class ModelForms:
    """Implements `sampan.ports.SmallerForms` for a model of a workspace; what it holds open ends with the `with` it is opened by."""

    def __init__(self, ws: Workspace, model: Node, *, seed: int = 0) -> None:
        self.made: Node | None = None  # the version that was made of a form
        self._ws, self._model, self._seed = ws, model, seed
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def _recipe(self) -> Recipe | str:
        try:
            return recipe_of(self._ws, self._model)
        except (Unsupported, PolicyRefused, NotFound) as cause:
            return cause.message

    @property
    def why_not(self) -> str:
        """Why there are none: the model was not trained here, or its data may not be learned from now."""
        return self._recipe if isinstance(self._recipe, str) else ""

    @cached_property
    def _bench(self) -> Bench:
        if isinstance(self._recipe, str):
            raise Unsupported(self._recipe)
        return Bench.of(self._ws, self._recipe, seed=self._seed, stack=self._stack)

    @cached_property
    def _twin(self) -> Tried:
        with self._ws.progress.stage(f"Fit {self._model.ref} on the rows before its test"):
            return self._bench.try_out(Attempt(name="parent"))

    def trained(self, tries: int) -> Iterator[tuple[str, bytes]]:
        """Train smaller, at most so often; yield the forms' names and graphs."""
        found: dict[str, Tried] = {}
        with self._ws.progress.stage(f"Train smaller, about {self._twin.seconds * tries:.0f} s at most", unit="trainings") as stage:
            for each in halved(self._bench)[:tries]:
                self._try(each, found)
                stage.advance(1, each.name)
            sizes = sizes_of(self._bench, self._twin, found)
            tried = len(found)
            yield from ((name, one.graph) for name, one in found.items() if any(size.name in one.attempt.params for size in sizes))
            more = [each for each in map(smaller, grid(self._bench.recipe.params, sizes)) if each.name not in found]
            for each in spread(more, tries - tried) if tries > tried else ():
                self._try(each, found)
                stage.advance(1, each.name)
                if each.name in found:
                    yield each.name, found[each.name].graph

    def _try(self, attempt: Attempt, found: dict[str, Tried]) -> None:
        try:
            found[attempt.name] = self._bench.try_out(attempt)
        except (Unsupported, StepFailed):  # a size that its code does not take is no form
            return

    def judge(self, form: str, answer: Callable[[bytes, Any], Any] | None = None) -> Gain | None:
        """Hold a form against the model, both fitted on the rows before the test, on the rows of the test."""
        try:
            one = self._bench.try_out(self._attempt(form)) if form else self._twin
        except (Unsupported, StepFailed):
            return None
        rows, answers = np.arange(len(one.answers)), one.answers
        if answer is not None:
            rows, answers = self._answered(one, answer)
        paired = self._paired(rows, answers)
        found = gain_of(self._model, paired)
        if found.value is None or found.low is None or found.high is None:
            return None
        return Gain(
            metric=metric_of(self._model, paired),
            value=found.value,
            low=found.low,
            high=found.high,
            n_rows=len(rows),
            costs_more=costs_more(paired),
        )

    def _answered(self, one: Tried, answer: Callable[[bytes, Any], Any]) -> tuple[NDArray[np.intp], Floats]:
        """Answer some rows of the test by other means than the graph's."""
        learned = self._bench.learned
        rows = np.unique(np.linspace(0, len(learned.asked) - 1, ROWS).round().astype(int))
        if not self._model.facts.get("takes_missing", True):
            rows = rows[~np.isnan(learned.asked[rows]).any(axis=1)]
        found = np.asarray(answer(one.graph, np.ascontiguousarray(learned.asked[rows])), np.float64)
        return rows, over_classes(found.ravel() if found.shape[1] == 1 else found, self._bench.task, learned.codes)

    def _paired(self, rows: NDArray[np.intp], answers: Floats) -> Paired:
        """Compare a form's answers for some rows of the test with the model's own."""
        judged, threshold = self._bench.learned.judged, self._model.facts["threshold"]
        rng, objective = np.random.default_rng(self._seed), objective_of(self._model)
        ours, theirs = Scored(answers, threshold), Scored(self._twin.answers[rows], threshold)
        return compare(judged.labels[rows], ours, theirs, judged.moments[rows], rng, objective=objective, task=self._bench.task)

    def make(self, form: str, *, allowed_loss: float | None) -> Path:
        """Make a version of a form as `optimise --take` does, hold it to its gate, pack it."""
        one = self._bench.try_out(self._attempt(form))
        asked = self._bench.calibration(self._bench.learned.asked)[:200]
        costs = measure({"form": Contender(one.graph, {INPUT: asked}), "parent": Contender(self._twin.graph, {INPUT: asked})})
        paired = self._paired(np.arange(len(one.answers)), one.answers)
        told = {"gain": gain_of(self._model, paired), "cost": costs["form"], "parent_cost": costs["parent"]}
        with self._ws.progress.stage(f"Make {form} of {self._model.ref}"):
            self.made = make_version(self._bench, Chosen(one.attempt, one.answers, paired, told, allowed_loss))
        gated = self._ws.model.gate(self.made.ref)
        if not gated.passed:
            what = (
                "say how much worse its metric may be: --budget loss=0.01" if allowed_loss is None else f"sampan model show {self.made.ref}"
            )
            raise GateRejected(f"{self.made.ref}, {form} of {self._model.ref}, was refused by its gate", reasons=gated.reasons, hint=what)
        return self._ws.model.package_path(self._ws.model.pack(self.made.ref).package)

    def _attempt(self, form: str) -> Attempt:
        """Find a form by its name. Raises NotFound."""
        known = {each.name: each for each in self._known()}
        if form not in known:
            raise NotFound(
                f"{self._model.ref} has no smaller form {form!r}",
                did_you_mean=tuple(nearest(form, list(known))),
                hint="the refusal without variant= names them",
            )
        return known[form]

    def _known(self) -> Iterator[Attempt]:
        """Name all forms there may be, without a training: of each number that may turn out to be one of size, and of each two."""
        for edit, share in edits_for(self._twin.graph):
            if edit in OF_ONE_MATRIX:
                yield Attempt(name=name_of(edit, share), how=edit, edit=edit, share=share)
        params = self._bench.recipe.params
        yield from halved(self._bench)
        sizes = [Size(name, 0.5, trees) for name in halvings(params) for trees in (0.5, None)]
        for chosen in (*((each,) for each in sizes), *combinations(sizes, 2), *((b, a) for a, b in combinations(sizes, 2))):
            if len({size.name for size in chosen}) == len(chosen):
                yield from map(smaller, grid(params, chosen))
