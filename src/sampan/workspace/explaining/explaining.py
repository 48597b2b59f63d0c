"""`sampan why A B`: how much each thing that changed between two models contributed to the change of a figure."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.answers import Answer
from sampan.core.digests import digest_bytes, digest_value
from sampan.core.events import Input, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.errors import ParameterError
from sampan.evaluation.objective import HIGHER_IS_BETTER, METRICS, Objective
from sampan.workspace.columns import align
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sampan.evaluation.task import Task
    from sampan.stats.shapley import Coalition
    from sampan.workspace.explaining.axes import Comparison
    from sampan.workspace.explaining.replaying import Fit, Recipe, Refitted, Replay
    from sampan.workspace.workspace import Workspace

EXACT_AXES = 6  # 64 combinations; beyond, orders are drawn
_PAIRS = 8  # of orders, where nothing was said of a budget
_BAR = 24
KIND = "explanation"


class Figure(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval; None where the rows do not suffice to say."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        between = "" if self.low is None or self.high is None else f"  ({self.low:+.4f} to {self.high:+.4f})"
        return f"{self.value:+.4f}{between}"


class Axis(msgspec.Struct, frozen=True):
    """One thing that changed and its share. `alone`: what it does to the first model; `last`: what it does as the last change of all."""

    name: str
    what: str
    share: Figure
    alone: float | None
    last: float | None


class MovedWord(msgspec.Struct, frozen=True):
    """A word, and what it does to the answers to the rows that have it, on average: by the model before, and by the one after."""

    word: str
    n_rows: int
    before: float
    after: float


class Why(Answer, frozen=True, kw_only=True):
    """The change of a figure between two models, and what it is made of. Positive is better, whatever the metric."""

    before: str
    after: str
    metric: str
    value_before: float
    value_after: float
    gain: Figure
    axes: tuple[Axis, ...]
    n_rows: int
    n_fits: int
    seconds: float
    exact: bool
    one_at_a_time: float | None = None  # the sum of what each change does alone: equal to the gain only where nothing interacts
    explanation: str = ""
    notes: tuple[str, ...] = ()
    words: tuple[MovedWord, ...] = ()  # of free text, those that moved the answers most

    def text(self) -> str:
        """Draw the shares as a waterfall, the largest first."""
        head = f"{self.before} → {self.after}: {self.metric} {self.value_before:.4f} → {self.value_after:.4f} on {self.n_rows:,} later rows"
        if not self.axes:
            return f"{head}\nnothing a training depends on differs between the two"
        scale = max(abs(axis.share.value) for axis in self.axes) or 1.0
        rows = [(axis.name, str(axis.share), _bar(axis.share.value / scale), axis.what) for axis in self.axes]
        rows.append(("together", str(self.gain), "", "positive is better"))
        lines = [head, align(("what changed", "share of the gain", "", ""), rows)]
        if self.one_at_a_time is not None and abs(self.one_at_a_time - self.gain.value) > 0.1 * max(abs(self.gain.value), scale):
            lines.append(
                f"one change at a time would add up to {self.one_at_a_time:+.4f}, not {self.gain.value:+.4f}: they act on each other"
            )
        how = "all combinations" if self.exact else "drawn orders"
        lines.append(f"{self.n_fits} fits of {how} in {self.seconds:.1f} s; intervals are of the judged rows, by days")
        return "\n".join([*lines, *self._words(), *(f"note: {note}" for note in self.notes)])

    def _words(self) -> list[str]:
        if not self.words:
            return []
        rows = [(each.word, f"{each.before:+.4f}", f"{each.after:+.4f}", f"{each.n_rows:,}") for each in self.words]
        head = ("word", "before", "after", "rows")
        return ["words that moved the answers most, by what the answer loses without them:", align(head, rows, right=head[1:])]


class Explaining(Room):
    """The top-level verb that explains a gain."""

    noun: ClassVar[str] = ""

    @operation()
    def why(
        self,
        before: str,
        after: str,
        *,
        metric: str = "",
        budget: float = 0.0,
        data: dict[str, str] | None = None,
        seed: int = 0,
    ) -> Why:
        """Say how much each change between two models contributed: rows, labels, values, features, parameters, code.

        Mixes of the two trainings are fitted and judged on labeled rows later than both; each change gets its Shapley share, and the
        shares add up to the whole difference. Fits are kept: the same question again, or one that was stopped, takes what is there.
        Of free text, the words are named that moved the answers most: both models are asked again without each.

        Parameters
        ----------
        before : such as flights-late@v1
        after : such as flights-late@v2
        metric : the figure to explain, such as auc or mae; by default the loss that the search made small
        budget : at most about so many seconds of fitting; above 6 changes, or where the budget is short, orders are drawn
        data : another version of a dataset to judge on, such as flights=flights@v3
        seed : of the drawn orders and the intervals
        """
        from sampan.workspace.explaining.axes import lay_side_by_side
        from sampan.workspace.explaining.moving_words import moved_words
        from sampan.workspace.explaining.replaying import Recipe, model_node
        from sampan.workspace.models.judging import objective_of

        if budget < 0:
            raise ParameterError(f"budget is {budget:g} s", hint="0 for none, or a number of seconds")
        old, new = model_node(self.ws, before), model_node(self.ws, after)
        with self.ws.progress.stage("Lay the two trainings side by side"):
            comparison = lay_side_by_side(self.ws, Recipe.of(self.ws, old), Recipe.of(self.ws, new), data=data)
        stated = objective_of(new)
        name = metric or stated.loss(comparison.task)
        _check_metric(name, stated, comparison.task)
        found = Mixes(self.ws, comparison, metric=name, objective=stated, seed=seed).explain(budget)
        if comparison.axes:
            found = msgspec.structs.replace(found, words=moved_words(self.ws, comparison))
        return self._keep_explanation(found, old, new)

    def _keep_explanation(self, found: Why, old: Node, new: Node) -> Why:
        facts: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(found, seconds=0.0, next=()))
        digest = digest_value(facts)
        known = self.ws.catalog.find_version(KIND, new.name, digest)
        if known is None:
            inputs = (Input(old.id, "input"), Input(new.id, "input"))
            event = VersionCommitted(node=new_id(), kind=KIND, name=new.name, digest=digest, facts=facts, inputs=inputs)
            self.ws.ledger.append(event)
            known = self.ws.catalog.node(event.node)
        return msgspec.structs.replace(found, explanation=f"{KIND}:{known.ref}", next=(f"sampan model show {quote(new.ref)}",))


@dataclass(slots=True)
class Mixes:
    """The mixes of two trainings, fitted as far as they are asked for."""

    ws: Workspace
    comparison: Comparison
    metric: str
    objective: Objective
    seed: int
    _scores: dict[Coalition, NDArray[np.float64]] = field(default_factory=dict)
    _seconds: list[float] = field(default_factory=list)
    _n_blocks: int = 0

    def explain(self, budget: float) -> Why:
        """Fit what is needed and share the gain out."""
        from sampan.stats.shapley import exact_shares, shares_of_orders

        began = time.monotonic()
        axes = list(self.comparison.axes)
        ends = [frozenset[str](), frozenset(axes)]
        with ExitStack() as stack:
            pools = _Pools(self.ws, self.comparison, stack)
            self._fit(ends, pools)
            orders = self._orders(axes, budget)
            self._fit(_wanted(axes, orders), pools)
        drawn = self._values()
        values = {mix: value[0] for mix, value in drawn.items()}
        shares = exact_shares(axes, drawn) if orders is None else shares_of_orders(orders, drawn.__getitem__)
        gain = drawn[ends[1]] - drawn[ends[0]]
        alone = {axis: float(values[one] - values[ends[0]]) for axis in axes if (one := frozenset([axis])) in values}
        last = {axis: float(values[ends[1]] - values[rest]) for axis in axes if (rest := ends[1] - {axis}) in values}
        found = [
            Axis(axis, self.comparison.axes[axis], self._figure(shares[axis]), alone.get(axis), last.get(axis))
            for axis in sorted(axes, key=lambda each: -abs(float(shares[each][0])))
        ]
        sign = 1 if HIGHER_IS_BETTER[self.metric] else -1
        return Why(
            before=self.comparison.before.model.ref,
            after=self.comparison.after.model.ref,
            metric=METRICS[self.metric].words,
            value_before=sign * float(values[ends[0]]),
            value_after=sign * float(values[ends[1]]),
            gain=self._figure(gain),
            axes=tuple(found),
            n_rows=len(self.comparison.labels),
            n_fits=len(self._scores),
            seconds=time.monotonic() - began,
            exact=orders is None,
            one_at_a_time=sum(alone.values()) if len(alone) == len(axes) and len(axes) > 1 else None,
            notes=self.comparison.notes,
        )

    def _orders(self, axes: list[str], budget: float) -> list[tuple[str, ...]] | None:
        """Return the orders to go through, None for all combinations; say beforehand what it costs."""
        import numpy as np

        from sampan.stats.shapley import antithetic_orders

        each = max(self._seconds, default=0.0) / _workers()
        if len(axes) <= EXACT_AXES and (not budget or 2 ** len(axes) * each <= budget):
            return None
        n_pairs = _PAIRS if not budget else max(1, int(budget / max(each, 1e-3) / (2 * max(len(axes) - 1, 1))))
        return antithetic_orders(axes, min(n_pairs, 64), np.random.default_rng(self.seed))

    def _fit(self, wanted: list[Coalition], pools: _Pools) -> None:
        """Fit mixes side by side; one that was fitted before is remembered."""
        missing = [mix for mix in wanted if mix not in self._scores]
        if not missing:
            return
        each = max(self._seconds, default=0.0) / _workers()
        title = f"Fit {len(missing)} mixes of the two trainings" + (f", about {each * len(missing):.0f} s" if each else "")
        with self.ws.progress.stage(title, total=len(missing), unit="fits") as stage, ThreadPoolExecutor(_workers()) as threads:
            for mix, scores in zip(missing, threads.map(lambda mix: self._scored(mix, pools), missing), strict=True):
                self._scores[mix] = scores
                stage.advance(1, ", ".join(sorted(mix)) or "as before")

    def _scored(self, mix: Coalition, pools: _Pools) -> NDArray[np.float64]:
        import io

        import numpy as np

        from sampan.workspace.training.fitting import over_classes

        wanted = self.comparison.fit(mix)
        code = pools.code(mix)
        key = {
            "code": code,
            "params": wanted.params,
            "data": [digest_bytes(array.tobytes()) for array in (wanted.matrix, wanted.labels, wanted.score)],
        }

        def make() -> dict[str, Any]:
            fitted = pools.fit(mix, wanted)
            buffer = io.BytesIO()
            np.save(buffer, fitted.scores)
            return {"scores": self.ws.store.blobs.put(buffer.getvalue()), "seconds": fitted.seconds}

        outcome, _ = self.ws.engine.once("mix", key, make)
        self._seconds.append(float(outcome["seconds"]))
        scores: NDArray[np.float64] = np.load(io.BytesIO(self.ws.store.blobs.read(outcome["scores"])))
        return over_classes(scores, self.comparison.task, wanted.codes)

    def _values(self) -> dict[Coalition, NDArray[np.float64]]:
        """Return each mix's figure, higher is better: on all rows first, then on each draw of days."""
        import numpy as np

        from sampan.evaluation.metrics import Answered, measure
        from sampan.stats.bootstrap import Resampling

        labels, task = self.comparison.labels, self.comparison.task
        sign = 1 if HIGHER_IS_BETTER[self.metric] else -1
        resampling = Resampling.by_time(self.comparison.moments, np.random.default_rng(self.seed), draws=1000)
        found = {}
        for mix, scores in self._scores.items():
            value, drawn = measure(self.metric, Answered.under(self.objective, labels, scores, task), resampling)
            found[mix] = sign * np.concatenate([[value], drawn])
        self._n_blocks = resampling.n_blocks
        return found

    def _figure(self, values: NDArray[np.float64]) -> Figure:
        from sampan.stats.bootstrap import estimate

        found = estimate(float(values[0]), values[1:], self._n_blocks)
        return Figure(float(values[0]), found.low, found.high)


class _Pools:
    """The clean processes that fit, as many for each code as work side by side."""

    def __init__(self, ws: Workspace, comparison: Comparison, stack: ExitStack) -> None:
        from sampan.store.scratch import scratch_folder

        self._comparison = comparison
        self._free: dict[str, SimpleQueue[Replay | None]] = {}
        self._stack = stack
        self._scratch: dict[str, Path] = {}
        for recipe in (comparison.before, comparison.after):
            if recipe.code not in self._free:
                folder = stack.enter_context(scratch_folder(ws.store.root / "scratch", "replay"))
                recipe.lay_out(ws, folder)
                self._scratch[recipe.code] = folder
                self._free[recipe.code] = SimpleQueue()
                for _ in range(_workers()):
                    self._free[recipe.code].put(None)

    def code(self, mix: Coalition) -> str:
        """Return the digest of the code a mix is fitted by."""
        return self._recipe(mix).code

    def _recipe(self, mix: Coalition) -> Recipe:
        from sampan.workspace.explaining.axes import CODE

        return self._comparison.after if CODE in mix else self._comparison.before

    def fit(self, mix: Coalition, wanted: Fit) -> Refitted:
        """Fit in a process of the mix's code, starting it where none is free."""
        from sampan.workspace.explaining.replaying import Replay

        recipe = self._recipe(mix)
        free = self._free[recipe.code]
        replay = free.get()
        if replay is None:
            replay = self._stack.enter_context(Replay(self._scratch[recipe.code], recipe.program, recipe.model.name))
        try:
            return replay.fit(wanted)
        finally:
            free.put(replay)


def _check_metric(name: str, stated: Objective, task: Task) -> None:
    """Raise ParameterError unless a metric can be measured on any mix: a cost by a threshold cannot, each mix would need its own."""
    left_out = {"cost"} if stated.kpi is None or task.kind == "binary" else set()
    left_out |= {"pinball"} if stated.quantile is None else set()
    known = [each for each, spec in METRICS.items() if task.kind in spec.kinds and each not in left_out]
    if name not in known:
        raise ParameterError(f"{name} cannot be explained of a {task.kind} model", hint=f"one of {', '.join(known)}")


def _wanted(axes: list[str], orders: list[tuple[str, ...]] | None) -> list[Coalition]:
    from sampan.stats.shapley import coalitions, prefixes

    if orders is None:
        return list(coalitions(axes))
    return list(dict.fromkeys(mix for order in orders for mix in prefixes(order)))


def _workers() -> int:
    return max(min(os.cpu_count() or 1, 8), 1)


def _bar(share: float) -> str:
    filled = "█" * max(round(abs(share) * _BAR / 2), 1 if share else 0)
    half = _BAR // 2
    return f"{filled:>{half}}|{'':<{half}}" if share < 0 else f"{'':>{half}}|{filled:<{half}}"
