"""What can make one model smaller and faster, tried: graphs edited, trainings made smaller, taught and on fewer features; then measured.

The order is that of what it costs: edits of the graph first, then one training for each whole number of the recipe to see which of them are
parameters of size, a grid over these, fewer features, and at last a teacher for the sizes that came out best.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from sampan.compression.budget import Budget
from sampan.compression.edits import edits_for, name_of
from sampan.compression.ensembles import n_trees
from sampan.compression.features import levels
from sampan.compression.front import Point, front, pick, warnings
from sampan.compression.sizing import grid
from sampan.compression.students import students
from sampan.compression.teaching import COPIES
from sampan.compression.timing import Contender, measure
from sampan.core.digests import digest_value
from sampan.core.events import Input, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.errors import NotFound, StepFailed, Unsupported
from sampan.evaluation.paired import Paired, Scored, compare
from sampan.flavors.onnx_graph import INPUT
from sampan.stats.estimates import Estimate
from sampan.workspace.models.judging import objective_of
from sampan.workspace.models.optimizing_answers import NATIVELY, PARENT, Optimized, Variant
from sampan.workspace.models.smaller_trainings import (
    costs_more,
    gain_of,
    halved,
    has_graph,
    metric_of,
    replayable_recipe,
    sizes_of,
    smaller,
    spread,
)
from sampan.workspace.models.variant_bench import TEACHERS, Attempt, Bench, Tried
from sampan.workspace.models.variants import Chosen, make_version

if TYPE_CHECKING:
    from sampan.compression.costs import Cost
    from sampan.workspace.workspace import Workspace

KIND: Final = "optimization"
THREADS: Final = "threads"  # a setting of whoever runs the graph, so it is measured and never made a version
STAND_IN: Final = "stand-in"
_STOOD_IN: Final = 3  # of them that are also trained by a teacher
_TAUGHT: Final = 2  # sizes that are also trained by a teacher, and on fewer features
_SMALL: Final = 0.75  # of the parent's graph: a size that is worth a teacher
_FOR_OTHERS: Final = 8  # trainings kept for features and teachers, where the grid would take all


@dataclass(slots=True)
class Optimization:
    """One model's forms, as far as they are tried."""

    ws: Workspace
    model: Node
    tries: int
    seed: int
    tried: dict[str, Tried] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    n_left_out: int = 0
    _n_trained: int = 0

    def carry_out(self, budget: Budget, take: str) -> Optimized:
        """Try, measure, pick and make.

        Raises
        ------
        Unsupported : the model was not trained here, or was cut from another.
        NotFound : `take` names no variant.
        PolicyRefused : its data may not be learned from now.
        """
        began = time.monotonic()
        recipe = replayable_recipe(self.ws, self.model)
        with ExitStack() as stack:
            with self.ws.progress.stage(f"Fit {self.model.ref} on the rows before its test"):
                bench = Bench.of(self.ws, recipe, seed=self.seed, stack=stack)
                own = Attempt(name=PARENT)
                parent = bench.try_out(own) if has_graph(self.model) else bench.try_natively(own)
            self._try_all(bench, parent) if has_graph(self.model) else self._try_stand_ins(bench, parent)
            found = self._measured(bench, parent, budget)
            name = self._chosen(found, take)
            made = self._make(bench, parent, found, name, budget) if name and name != PARENT else None
        done = msgspec.structs.replace(
            found,
            picked=name,
            made=made.ref if made else "",
            n_remembered=bench.n_remembered,
            seconds=time.monotonic() - began,
            next=self._next(found, made),
        )
        return msgspec.structs.replace(done, optimization=self._keep(done))

    # -- what is tried ------------------------------------------------------------------------------------------------------------

    def _try_all(self, bench: Bench, parent: Tried) -> None:
        edits = [Attempt(name=name_of(edit, share), how=edit, edit=edit, share=share) for edit, share in edits_for(parent.graph)]
        self._round(bench, edits, "Edit the graph")
        for threads in range(2, n_threads() + 1):
            attempt = Attempt(name=f"{threads} threads", how=THREADS, threads=threads)
            self.tried[attempt.name] = Tried(attempt, parent.graph, parent.answers, parent.seconds)
        self._round(bench, halved(bench), "See which parameters are of size", seconds=parent.seconds)
        sizes = sizes_of(bench, parent, self.tried)
        for each in halved(bench):  # what did not make the model smaller is another model, not a smaller one
            if not any(size.name in each.params for size in sizes):
                self.tried.pop(each.name, None)
        made = [smaller(params) for params in grid(bench.recipe.params, sizes)]
        unknown = [each for each in made if each.name not in self.tried]
        room = max(3, self.tries - self._n_trained - _FOR_OTHERS)
        self._round(bench, spread(unknown, room), "Train smaller", seconds=parent.seconds)
        self.n_left_out += max(0, len(unknown) - room)
        self._fewer_features(bench, parent)
        self._round(bench, list(self._combined(bench, parent)), "Train smaller on fewer features", seconds=parent.seconds)
        taught = list(self._taught(bench, parent))
        self._round(bench, taught, "Train by a teacher", seconds=(COPIES + TEACHERS / max(len(taught), 1)) * parent.seconds)
        self._round(bench, list(self._edited_again(bench, parent)), "Edit the smaller ones")

    def _try_stand_ins(self, bench: Bench, parent: Tried) -> None:
        """Train models that can be a graph in the place of one that cannot: on labels, then the best of them by its own answers."""
        sizes = [Attempt(name=name, how=STAND_IN, params=size, student=kind) for name, kind, size in students()]
        self._round(bench, sizes, "Train models that can be a graph", seconds=parent.seconds)
        trained = [each for each in self.tried.values() if each.attempt.how == STAND_IN]
        best = sorted(trained, key=lambda each: -(self._gain(bench, parent, each).value or -np.inf))[:_STOOD_IN]
        taught = [_by_a_teacher(each.attempt) for each in best]
        self._round(bench, taught, "Train them by its answers", seconds=(COPIES + TEACHERS / max(len(taught), 1)) * parent.seconds)
        self._round(bench, list(self._edited_again(bench, parent)), "Edit them")

    def _round(self, bench: Bench, attempts: Sequence[Attempt], title: str, *, seconds: float = 0.0) -> None:
        """Try attempts one after the other; trainings only as many as are left."""
        allowed = [each for each in attempts if each.name not in self.tried and each.name not in self.refused]
        if seconds:
            room = max(0, self.tries - self._n_trained)
            self.n_left_out += max(0, len(allowed) - room)
            allowed = allowed[:room]
        if not allowed:
            return
        forecast = f", about {seconds * len(allowed):.0f} s at most" if seconds * len(allowed) >= 2 else ""
        with self.ws.progress.stage(title + forecast, total=len(allowed), unit="attempts") as stage:
            for each in allowed:
                self._n_trained += bool(seconds)
                try:
                    self.tried[each.name] = bench.try_out(each)
                except (Unsupported, StepFailed) as fault:
                    self.refused[each.name] = fault.message
                stage.advance(1, each.name)

    def _fewer_features(self, bench: Bench, parent: Tried) -> None:
        """Leave the least important features out, level by level; each level ranks what is left anew."""
        kept, columns = Attempt(), bench.recipe.fitted.columns
        for n in levels(len(columns)):
            if self._n_trained >= self.tries:
                self.n_left_out += 1
                continue
            try:
                matters = bench.importance(kept)
            except (Unsupported, StepFailed) as fault:
                self.refused["fewer features"] = fault.message
                return
            # A free text is one feature of many columns: all of them stay, or none.
            together = {feature: sum(matters.get(each, 0.0) for each in own) for feature, own in columns.items() if own[0] in matters}
            best = set(sorted(together, key=lambda feature: -together[feature])[:n])
            names = tuple(each for feature, own in columns.items() if feature in best for each in own)
            kept = Attempt(name=f"{n} of {len(columns)} features", how="fewer features", features=names)
            self._round(bench, [kept], "Train on fewer features", seconds=parent.seconds)

    def _combined(self, bench: Bench, parent: Tried) -> Iterator[Attempt]:
        """Yield the best sizes on the fewest features that are not shown to cost quality."""
        levels_tried = [each for each in self.tried.values() if each.attempt.how == "fewer features"]
        harmless = [each for each in levels_tried if not self._is_worse(bench, parent, each)]
        if not harmless:
            return
        fewest = min(harmless, key=lambda each: len(each.attempt.features)).attempt
        for one in self._best_sizes(bench, parent):
            yield msgspec.structs.replace(fewest, name=f"{fewest.name}, {one.attempt.name}", params=one.attempt.params)

    def _taught(self, bench: Bench, parent: Tried) -> Iterator[Attempt]:
        """Yield the sizes that came out best once more, by a teacher."""
        for one in self._best_sizes(bench, parent):
            yield _by_a_teacher(one.attempt)

    def _best_sizes(self, bench: Bench, parent: Tried) -> list[Tried]:
        """Return the smaller trainings that no smaller one is better than, the best first."""
        trained = [each for each in self.tried.values() if each.attempt.how == "smaller"]
        order = sorted(trained, key=lambda each: -(self._gain(bench, parent, each).value or -np.inf))
        worth = [
            one
            for place, one in enumerate(order)
            if not any(len(better.graph) <= len(one.graph) for better in order[:place]) and len(one.graph) < _SMALL * len(parent.graph)
        ]
        return worth[:_TAUGHT]

    def _edited_again(self, bench: Bench, parent: Tried) -> Iterator[Attempt]:
        """Yield edits of the best smaller trainings, where their graphs have weights: small and in 8 bits at once."""
        if n_trees(parent.graph):
            return
        worth = sorted(
            (each for each in self.tried.values() if each.attempt.is_trained),
            key=lambda each: -(self._gain(bench, parent, each).value or -np.inf),
        )
        for one in worth[:_TAUGHT]:
            for edit, share in edits_for(one.graph):
                if share == 1:
                    name = f"{one.attempt.name}, {name_of(edit, share)}"
                    yield msgspec.structs.replace(one.attempt, name=name, how=edit, edit=edit, share=share)

    # -- what came of it ----------------------------------------------------------------------------------------------------------

    def _measured(self, bench: Bench, parent: Tried, budget: Budget) -> Optimized:
        paired = {name: self._paired(bench, parent, each) for name, each in self.tried.items()}
        costs = self._costs(bench, parent)
        metric = metric_of(self.model, next(iter(paired.values()), None))
        itself = Point(name=PARENT, gain=Estimate(0.0, 0.0, 0.0), cost=costs[PARENT])
        points = [Point(name=name, gain=gain_of(self.model, found), cost=costs[name]) for name, found in paired.items()]
        beaten = front([itself, *points])
        versions = [each for each in points if self.tried[each.name].attempt.how != THREADS and not costs_more(paired[each.name])]
        chosen, exceeded = pick(versions, itself, budget) if budget else ("", {})
        mine = Variant(
            name=PARENT,
            how=NATIVELY if parent.native else "parent",
            value=_value(next(iter(paired.values()), None), metric),
            gain=itself.gain,
            cost=itself.cost,
            n_features=len(bench.recipe.fitted.names),
            exceeds=exceeded.get(PARENT, ()),
        )
        variants = [
            Variant(
                name=each.name,
                how=self.tried[each.name].attempt.how,
                value=_value(paired[each.name], metric, of_candidate=True),
                gain=each.gain,
                cost=each.cost,
                params=dict(self.tried[each.name].attempt.params),
                n_features=len(self.tried[each.name].attempt.features) or len(bench.recipe.fitted.names),
                beaten_by=beaten[each.name],
                exceeds=exceeded.get(each.name, ()),
                warnings=(*warnings(each, itself, metric), *(("cost shown worse",) if costs_more(paired[each.name]) else ())),
                beside=self.tried[each.name].attempt.beside,
            )
            for each in points
        ]
        return Optimized(
            optimization="",
            model=self.model.ref,
            metric=metric,
            n_rows=len(bench.learned.judged),
            n_days=next((each.n_blocks for each in paired.values()), 0),
            parent=mine,
            variants=tuple(sorted(variants, key=lambda each: -each.cost.size_bytes)),
            budget=str(budget),
            picked=chosen,
            work="instructions" if itself.cost.instructions is not None else "processor time",
            refused=self.refused,
            n_left_out=self.n_left_out,
        )

    def _is_worse(self, bench: Bench, parent: Tried, one: Tried) -> bool:
        """Say whether a variant is shown worse in its metric or in what decisions by it cost."""
        paired = self._paired(bench, parent, one)
        high = gain_of(self.model, paired).high
        return costs_more(paired) or (high is not None and high < 0)

    def _gain(self, bench: Bench, parent: Tried, one: Tried) -> Estimate:
        return gain_of(self.model, self._paired(bench, parent, one))

    def _paired(self, bench: Bench, parent: Tried, one: Tried) -> Paired:
        judged, threshold = bench.learned.judged, self.model.facts["threshold"]
        rng, objective = np.random.default_rng(self.seed), objective_of(self.model)
        ours, theirs = Scored(one.answers, threshold), Scored(parent.answers, threshold)
        return compare(judged.labels, ours, theirs, judged.moments, rng, objective=objective, task=bench.task)

    def _costs(self, bench: Bench, parent: Tried) -> dict[str, Cost]:
        """Measure all in turns, the parent with more threads among them."""
        asked = bench.calibration(bench.learned.asked)[:200]
        contenders = {PARENT: Contender(parent.graph, {INPUT: asked}, native=parent.native)}
        for name, each in self.tried.items():
            contenders[name] = Contender(each.graph, {INPUT: asked[:, bench.columns(each.attempt.features)]}, each.attempt.threads)
        with self.ws.progress.stage(f"Measure {len(contenders)} graphs in turns") as stage:
            return measure(contenders, advance=stage.advance)

    def _chosen(self, found: Optimized, take: str) -> str:
        if not take:
            return found.picked
        if take not in self.tried or self.tried[take].attempt.how == THREADS:
            raise NotFound(f"{self.model.ref} has no variant {take!r}", hint="one of: " + "; ".join(each.name for each in found.variants))
        return take

    def _make(self, bench: Bench, parent: Tried, found: Optimized, name: str, budget: Budget) -> Node:
        one = self.tried[name]
        variant = next(each for each in found.variants if each.name == name)
        chosen = Chosen(
            attempt=one.attempt,
            answers=one.answers,
            paired=self._paired(bench, parent, one),
            told={"gain": variant.gain, "cost": variant.cost, "parent_cost": found.parent.cost},
            allowed_loss=budget.loss,
        )
        with self.ws.progress.stage(f"Make {name} of {self.model.ref}"):
            return make_version(bench, chosen)

    def _keep(self, found: Optimized) -> str:
        """Record what was found; the very same, times apart, is there already."""
        stable = [[each.name, each.gain.value, each.cost.size_bytes] for each in found.variants]
        digest = digest_value([self.model.id, found.budget, found.picked, stable])
        known = self.ws.catalog.find_version(KIND, self.model.name, digest)
        if known is None:
            facts: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(found, next=()))
            event = VersionCommitted(
                node=new_id(), kind=KIND, name=self.model.name, digest=digest, facts=facts, inputs=(Input(self.model.id, "input"),)
            )
            self.ws.ledger.append(event)
            known = self.ws.catalog.node(event.node)
        return f"{KIND}:{known.ref}"

    def _next(self, found: Optimized, made: Node | None) -> tuple[str, ...]:
        if made is not None:
            return (f"sampan model gate {made.ref}", f"sampan ship {made.ref}")
        kept = [each for each in found.front if each.gain.low is not None]
        if found.budget or not kept:
            return (f"sampan model optimise {self.model.ref} --tries {2 * self.tries}",)
        smallest = max(0.0005, min(-(each.gain.low or 0.0) for each in kept))
        return (f"sampan model optimise {self.model.ref} --budget loss={smallest:.2g}",)


def _value(paired: Paired | None, metric: str, *, of_candidate: bool = False) -> float | None:
    difference = paired.of(metric) if paired is not None else None
    if difference is None:
        return None
    return difference.candidate if of_candidate else difference.champion


def _by_a_teacher(attempt: Attempt) -> Attempt:
    return msgspec.structs.replace(attempt, name=f"{attempt.name}, taught", how="taught", is_taught=True, beside=attempt.name)


def n_threads() -> int:
    """Return how many threads are worth a try."""
    return min(4, os.cpu_count() or 1)
