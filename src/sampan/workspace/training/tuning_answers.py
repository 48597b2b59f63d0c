"""What `model tune` answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from sampan.core.answers import Answer
from sampan.evaluation.objective import METRICS
from sampan.workspace.columns import align, count

_UNITS = {"latency": "ms an answer", "size": "bytes"}


class TriedOnce(msgspec.Struct, frozen=True):
    """One trial of a search."""

    number: int
    params: dict[str, Any]
    values: dict[str, float]
    run: str


class Mattering(msgspec.Struct, frozen=True):
    """What one parameter had to do with it: shares of all differences, and of what tells good trials from others; None = too few trials."""

    name: str
    overall: float | None
    near_best: float | None
    good: tuple[Any, ...]
    n_trials: int


class NestedSpan(msgspec.Struct, frozen=True):
    """A later span, judged by a model tuned on the rows before it alone."""

    begins: str
    n_rows: int
    params: dict[str, Any]
    searched_loss: float  # what the search believed, in the metric that it was led by
    loss: float  # what came of it
    others: dict[str, float] = {}  # other metrics of the task


class Tuned(Answer, frozen=True, kw_only=True):
    """What a search over a model's parameters came to."""

    study: str
    model: str
    run: str
    n_trials: int
    n_pruned: int
    workers: int
    seconds: float
    best: TriedOnce
    loss: str = "log_loss"  # the metric that "loss" stands for
    n_remembered: int = 0  # trials that had been run before, so that they were not run again
    failures: tuple[str, ...] = ()  # what the training function raised, trial by trial
    front: tuple[TriedOnce, ...] = ()  # with several objectives: none of these is beaten in all
    mattered: tuple[Mattering, ...] = ()
    nested: tuple[NestedSpan, ...] = ()

    def text(self) -> str:
        """Show the best first, then what mattered."""
        more = [
            f"{self.n_pruned:,} stopped early" if self.n_pruned else "",
            f"{len(self.failures):,} failed" if self.failures else "",
            f"{self.n_remembered:,} remembered" if self.n_remembered else "",
        ]
        told = ", ".join(filter(None, [count(self.n_trials, "trial"), *more, f"{self.seconds:.1f} s", count(self.workers, "worker")]))
        chosen = _params(self.best.params) or "nothing to search"
        parts = [f"{self.study}: {told}", f"best is trial {self.best.number}, {_values(self.best.values, self.loss)}: {chosen}"]
        if len(self.front) > 1:
            rows = [(str(each.number), *_numbers(each.values), _params(each.params)) for each in self.front]
            parts.append(
                "none beats these in all:\n" + align(("trial", *(_words(name, self.loss) for name in self.best.values), "parameters"), rows)
            )
        if self.failures:
            parts.append(f"{count(len(self.failures), 'failure')}, first: {self.failures[0]}")
        if self.mattered:
            shown = [(m.name, _share(m.overall), _share(m.near_best), _good(m.good), str(m.n_trials)) for m in self.mattered]
            parts.append("what mattered:\n" + align(("parameter", "of all differences", "near the best", "good values", "trials"), shown))
        if self.nested:
            others = tuple(METRICS[name].words for name in self.nested[0].others)
            head = ("span from", "rows", "believed", "came to", *others, "parameters")
            parts.append("tuned anew before each later span:\n" + align(head, self._spans()))
        return "\n".join(parts)

    def _spans(self) -> list[tuple[str, ...]]:
        return [
            (
                s.begins,
                f"{s.n_rows:,}",
                f"{s.searched_loss:.4f}",
                f"{s.loss:.4f}",
                *(f"{v:.4f}" for v in s.others.values()),
                _params(s.params),
            )
            for s in self.nested
        ]


def _words(name: str, loss: str) -> str:
    return _UNITS.get(name) or METRICS[loss if name == "loss" else name].words


def _values(values: Mapping[str, float], loss: str) -> str:
    return ", ".join(
        f"{number} {_UNITS[name]}" if name in _UNITS else f"{_words(name, loss)} {number}"
        for name, number in zip(values, _numbers(values), strict=True)
    )


def _numbers(values: Mapping[str, float]) -> Iterator[str]:
    for name, value in values.items():
        yield f"{value:,.0f}" if name == "size" else f"{value:.4g}"


def _params(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items())


def _share(share: float | None) -> str:
    return "too few" if share is None else f"{share:.0%}"


def _good(values: tuple[Any, ...]) -> str:
    if len(values) == 2 and all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        return f"{values[0]:.4g} to {values[1]:.4g}"
    return ", ".join(map(str, values))
