"""What may be asked of a run: its metrics, parameters, tags and attributes."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Kind = Literal["metric", "param", "tag", "attribute"]

# Attributes and where they stand: r is the run's row, n its node. A run's length is computed of two others.
ATTRIBUTES: Final = {
    "experiment": "r.experiment",
    "title": "r.title",
    "state": "n.state",
    "by": "n.actor",
    "run": "n.id",
    "started": "r.started",
    "ended": "r.ended",
    "seconds": "",
    "parent": "r.parent",
}
_NUMBERS: Final = frozenset({"started", "ended", "seconds", "parent"})


class Field(NamedTuple):
    """One thing that is asked of runs: `Field("metric", "auc")`, `Field("attribute", "started")`."""

    kind: Kind
    name: str

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers by nature. A parameter's are texts."""
        return self.kind == "metric" or (self.kind == "attribute" and self.name in _NUMBERS)
