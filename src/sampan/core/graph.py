"""The lineage graph's nouns as a reader meets them: assets, nodes, edges, and what was recorded of them."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.core.times import Millis

NodeId = str  # 32 lower-case hex digits


class Asset(msgspec.Struct, frozen=True):
    """A named thing that has versions: a dataset, a model, an endpoint. A plug-in may bring new kinds; a kind is a plain word."""

    kind: str
    name: str
    state: str  # active | deleted
    created: Millis
    n_versions: int
    facts: dict[str, Any] = {}


class Node(msgspec.Struct, frozen=True):
    """One version, run, deployment, window, decision or incident. Immutable but for `state`, tags and aliases."""

    id: NodeId
    kind: str
    name: str  # the asset's name; "" for a node of no asset
    version: int | None  # 1, 2, … within its asset; None for nodes that are not numbered
    digest: str  # content digest; "" where there is no content
    state: str
    created: Millis
    actor: str
    size: int = 0  # bytes
    facts: dict[str, Any] = {}  # what the room that made it knows; typed by that room
    aliases: tuple[str, ...] = ()
    seq: int = 0  # nodes are numbered in the order in which they came to be; lists are paged by it

    @property
    def ref(self) -> str:
        """The shortest lasting reference to this node."""
        if self.name and self.version is not None:
            return f"{self.name}@v{self.version}"
        return f"{self.kind}:{self.id[:12]}" if not self.name else f"{self.name} ({self.kind} {self.id[:12]})"


class Edge(msgspec.Struct, frozen=True):
    """`src` was needed for `dst`: dst --role--> src, e.g. model --trained_on--> dataset version."""

    dst: NodeId
    src: NodeId
    # input | output | trained_on | evaluated_on | derived_from | checked_by | packaged_as | deployed_as | observed_by | raised |
    # caused | gated_by; a plug-in may bring others
    role: str


class Graph(msgspec.Struct, frozen=True):
    """A part of the lineage graph."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class Recorded(msgspec.Struct, frozen=True):
    """One row of the ledger: a typed event, by whom and when, chained by hash to the row before."""

    seq: int
    at: Millis
    actor: str
    type: str
    subject: NodeId  # the node the event is about; "" if none
    body: dict[str, Any]
    prev: str
    hash: str
    reason: str = ""


class MetricSummary(msgspec.Struct, frozen=True):
    """What a run's metric came to. `last` is the point with the greatest (step, time)."""

    key: str
    last: float
    last_step: int
    last_at: Millis
    min: float
    max: float
    n: int


class MetricPoints(msgspec.Struct, frozen=True):
    """A metric's whole history, in the order of (step, time)."""

    key: str
    steps: list[int]
    at: list[Millis]
    values: list[float]


class RunRow(msgspec.Struct, frozen=True):
    """A run as a table of runs shows it."""

    node: Node
    experiment: str
    title: str
    state: str  # running | finished | failed | killed
    started: Millis
    ended: Millis | None
    parent: NodeId | None
    source: str
    host: str = ""
    pid: int = 0


class Artifact(msgspec.Struct, frozen=True):
    """Stored bytes attached to a node under a path."""

    path: str
    digest: str
    size: int


class Observation(msgspec.Struct, frozen=True):
    """One point of a monitored series; `value` is NaN where nothing was defined, `n` the rows behind it."""

    at: Millis
    key: str
    value: float
    n: int
