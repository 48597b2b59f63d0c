"""What `model optimise` answers: measured variants, which of them are worth having, what a budget picked, what was made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from sampan.compression.costs import Cost
from sampan.core.answers import Answer
from sampan.errors import GateRejected
from sampan.stats.estimates import Estimate
from sampan.workspace.columns import align, count, size_text

PARENT = "as it is"
NATIVELY = "natively"  # how a parent without a graph is asked
_BUSY = 0.3  # of the calls


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A measured form of a model. `gain` is how much better its metric is than the parent's on the same rows, negative where worse."""

    name: str
    how: str
    value: float | None
    gain: Estimate
    cost: Cost
    params: dict[str, Any] = {}  # where it was trained with others than the parent
    n_features: int = 0
    beaten_by: str = ""  # the name of one that is at least as good in everything; "" on the front
    exceeds: tuple[str, ...] = ()  # which limits of the budget, and by what
    warnings: tuple[str, ...] = ()  # in what it is slower, larger or shown worse than the parent
    beside: str = ""  # the variant of the same size that was trained on labels


class Optimized(Answer, frozen=True, kw_only=True):
    """The forms of a model that were tried, all measured on the same rows and in the same minutes."""

    optimization: str
    model: str
    metric: str
    n_rows: int
    n_days: int
    parent: Variant
    variants: tuple[Variant, ...]
    budget: str = ""
    picked: str = ""  # the name of the variant a budget picked, or PARENT where the parent is the best within it
    made: str = ""  # the version of the model that was made of it
    work: str = "processor time"  # what stands for energy: instructions where the processor shows them
    refused: dict[str, str] = {}  # what could not be tried or made, and why
    n_left_out: int = 0
    n_remembered: int = 0
    seconds: float = 0.0

    @property
    def front(self) -> tuple[Variant, ...]:
        """Return those that no other one beats."""
        return tuple(each for each in self.variants if not each.beaten_by)

    def exit_code(self) -> int:
        """Return 3 where there was a budget and nothing is within it."""
        return GateRejected.exit_code if self.budget and not self.picked else 0

    def text(self) -> str:
        """Show the parent and the front as a table, then what was picked, what lost and what was refused."""
        judged = f"{self.n_rows:,} held-out rows of {self.n_days} days" if self.n_days else f"{self.n_rows:,} examples"
        head = f"{self.model}: {count(len(self.variants), 'variant')} measured on {judged}"
        shown = [self.parent, *self.front, *self._beside(), *self._picked_though_beaten()]
        header = (
            "variant",
            f"{self.metric} against the parent",
            "size",
            "1 row p50",
            "p99",
            "100 rows p50",
            "p99",
            self._unit(),
            "",
        )
        rows = [self._row(each) for each in shown]
        lines = [head, align(header, rows, right=header[2:8], widest=70), *self._told()]
        return "\n".join(lines)

    def _beside(self) -> list[Variant]:
        """Return what stands beside a student on the front: the same size, trained on labels."""
        names = {each.beside for each in self.front if each.beside} - {each.name for each in self.front}
        return [each for each in self.variants if each.name in names]

    def _picked_though_beaten(self) -> list[Variant]:
        """Return what was picked though another one beats it: that one is not within the budget."""
        return [each for each in self.variants if each.name == self.picked and each.beaten_by and each not in self._beside()]

    def _row(self, one: Variant) -> tuple[str, ...]:
        cost = one.cost
        mark = "picked" if one.name == self.picked and self.made else "beaten" if one.beaten_by else ""
        return (
            one.name,
            f"{one.value:.4f}" if one.name == PARENT and one.value is not None else _gain(one.gain),
            size_text(cost.size_bytes),
            *(_ms(each) for each in (cost.p50_ms, cost.p99_ms, cost.p50_100_ms, cost.p99_100_ms)),
            f"{cost.instructions / 1e3:,.0f} k" if cost.instructions is not None else f"{cost.cpu_us:,.0f} us",
            "; ".join(filter(None, [mark, *one.warnings, *one.exceeds])),
        )

    def _unit(self) -> str:
        return "instructions a row" if self.work == "instructions" else "processor time a row"

    def _told(self) -> Iterator[str]:
        beaten = [each for each in self.variants if each.beaten_by]
        if beaten:
            yield f"{len(beaten)} beaten: " + "; ".join(map(_lost, beaten[:6])) + (" …" if len(beaten) > 6 else "")
        for reason in dict.fromkeys(self.refused.values()):
            yield f"not to be had: {'; '.join(name for name, why in self.refused.items() if why == reason)}: {reason}"
        if self.n_left_out:
            yield f"{count(self.n_left_out, 'more training')} left out: --tries {len(self.variants) + self.n_left_out}"
        if self.budget:
            yield self._verdict()
        if self.parent.cost.disturbed > _BUSY:
            yield f"the machine was busy, {self.parent.cost.disturbed:.0%} of calls were interrupted: times are rough, measure again later"
        remembered = f", {self.n_remembered:,} remembered" if self.n_remembered else ""
        yield f"{self.seconds:.1f} s{remembered}; {self._measure()}, one thread, on this machine"

    def _measure(self) -> str:
        if self.parent.how == NATIVELY:
            return "it has no graph: its costs are of the model asked in Python, those of the others of their graphs"
        return "costs are of the graph alone"

    def _verdict(self) -> str:
        if self.made:
            return f"within {self.budget}: {self.picked}, made {self.made}"
        if self.picked == PARENT:
            return f"within {self.budget} nothing is better than the model as it is"
        return f"nothing is within {self.budget}" if not self.picked else f"within {self.budget}: {self.picked}"


def _gain(gain: Estimate) -> str:
    if gain.value is None:
        return "unknown"
    between = "" if gain.low is None or gain.high is None else f" ({gain.low:+.4f} to {gain.high:+.4f})"
    return f"{gain.value:+.4f}{between}"


def _ms(value: float) -> str:
    return f"{value * 1e3:,.1f} us" if value < 0.1 else f"{value:.3g} ms"


def _lost(one: Variant) -> str:
    return f"{one.name} ({'; '.join(one.warnings) or _gain(one.gain)}) by {one.beaten_by}"
