"""Models in a list: what is said of each in a line. Nothing here computes, so listing loads no library of numbers."""

from __future__ import annotations

from shlex import quote
from typing import ClassVar

import msgspec

from sampan.core.answers import Answer
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.workspace.columns import align
from sampan.workspace.operation import Room, operation
from sampan.workspace.parameters import Count

# What is shown of a model in a line, of whatever task it is; those it does not have are left out.
METRICS = ("auc", "log_loss", "brier", "accuracy", "macro_f1", "macro_auc", "rmse", "mae", "r2", "bias", "pinball", "cost")


class ModelLine(msgspec.Struct, frozen=True):
    """One version of a model."""

    ref: str
    created: str
    n_rows: int
    until: str
    metrics: dict[str, float]
    flavor: str
    aliases: tuple[str, ...] = ()


class ModelList(Answer, frozen=True, kw_only=True):
    """The newest versions of models."""

    models: tuple[ModelLine, ...]

    def text(self) -> str:
        """Lay the versions out as a table."""
        if not self.models:
            return "No models yet."
        shown = [name for name in METRICS if any(name in m.metrics for m in self.models)]
        header = ("model", "alias", "trained until", "rows", *shown)
        rows = [
            (m.ref, ", ".join(m.aliases), m.until, f"{m.n_rows:,}", *(number_text(m.metrics[k]) if k in m.metrics else "" for k in shown))
            for m in self.models
        ]
        return align(header, rows, right=("rows", *shown))


class Listing(Room):
    """The verb that lists models."""

    noun: ClassVar[str] = "model"

    @operation(reads=True)
    def list(self, *, name: str = "", limit: Count = 20) -> ModelList:
        """List models, newest first.

        Parameters
        ----------
        name : only versions of this model
        limit : at most so many
        """
        nodes = self.ws.catalog.nodes(kind="model", name=name, limit=limit)
        following = f"sampan model show {quote(nodes[0].ref)}" if nodes else "sampan run FILE"
        return ModelList(models=tuple(model_line(node) for node in nodes), next=(following,))


def model_line(node: Node) -> ModelLine:
    """Return a model's line."""
    metrics = {name: figure["value"] for name, figure in node.facts["metrics"].items() if figure["value"] is not None}
    return ModelLine(
        ref=node.ref,
        created=iso(node.created),
        n_rows=node.facts["n_rows"],
        until=iso(node.facts["until"]),
        metrics=metrics,
        flavor=node.facts["flavor"],
        aliases=node.aliases,
    )


def number_text(value: float, digits: int = 4) -> str:
    """Write a figure: so many digits after the point, of large ones fewer."""
    return f"{value:.{digits}f}" if abs(value) < 100 else f"{value:,.1f}" if abs(value) < 1e5 else f"{value:,.0f}"
