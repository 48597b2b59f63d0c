"""The closed set of state changes. An event says what happened; its changes say what that does to the graph.

The ledger writes an event and applies its changes in one transaction, and stores the changes beside the event. So the tables can be rebuilt
from the ledger by any release, whatever became of the event's class, and a plug-in's event needs no change in the ledger.
Compare-and-set changes (ExpectNewest, ExpectContent, MoveAlias, SetState, FinishStep) raise StaleState when the present value is not
`before`, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sampan.core.graph import NodeId
from sampan.core.times import Millis


class Change(msgspec.Struct, frozen=True, tag_field="do"):
    """Base of all changes."""


class EnsureAsset(Change, frozen=True, tag="ensure_asset"):
    """Make the asset if it is not there; `facts` are kept only when it is new."""

    kind: str
    name: str
    facts: dict[str, Any] = {}


class DescribeAsset(Change, frozen=True, tag="describe_asset"):
    """Replace what is said of an asset (owner, description, key …)."""

    kind: str
    name: str
    facts: dict[str, Any]


class AddNode(Change, frozen=True, tag="add_node"):
    """Add a node. With `name`, it belongs to that asset (made if needed); `numbered` gives it the asset's next version number."""

    id: NodeId
    kind: str
    name: str = ""
    digest: str = ""
    state: str = "active"
    size: int = 0
    facts: dict[str, Any] = {}
    numbered: bool = True


class AddEdge(Change, frozen=True, tag="add_edge"):
    """Say that `src` was needed for `dst`. Adding it again changes nothing."""

    dst: NodeId
    src: NodeId
    role: str


class ExpectNewest(Change, frozen=True, tag="expect_newest"):
    """Go on only if an asset's newest version is `node` (None: it has none yet): what follows was made from it. Changes nothing itself."""

    kind: str
    name: str
    node: NodeId | None


class ExpectContent(Change, frozen=True, tag="expect_content"):
    """Go on only if a node's content still is `digest`: an erasure may have written it again meanwhile. Changes nothing itself."""

    node: NodeId
    digest: str


class MoveAlias(Change, frozen=True, tag="move_alias"):
    """Point an asset's alias from `before` to `after`; None = no such alias (before) or remove it (after)."""

    kind: str
    name: str
    alias: str
    before: NodeId | None
    after: NodeId | None


class SetState(Change, frozen=True, tag="set_state"):
    """Move a node from one state to another."""

    node: NodeId
    before: str
    after: str


class SetTag(Change, frozen=True, tag="set_tag"):
    """Set or, with value None, remove a tag."""

    node: NodeId
    key: str
    value: str | None


class StartRun(Change, frozen=True, tag="start_run"):
    """Add the run's own row beside its node: where its points go and which process writes them."""

    node: NodeId
    experiment: str
    title: str
    started: Millis
    parent: NodeId | None = None
    source: str = ""
    host: str = ""
    pid: int = 0


class EndRun(Change, frozen=True, tag="end_run"):
    """Finish a run: its node's state goes from running to `state`."""

    node: NodeId
    state: str  # finished | failed | killed
    ended: Millis


class AddParams(Change, frozen=True, tag="add_params"):
    """Add parameters to a run; a parameter once set never changes (Immutable)."""

    node: NodeId
    params: dict[str, str]


class AddArtifact(Change, frozen=True, tag="add_artifact"):
    """Attach stored bytes to a node under a path. A path once used never changes (Immutable)."""

    node: NodeId
    path: str
    digest: str
    size: int


class AddObservations(Change, frozen=True, tag="add_observations"):
    """Add points of a monitored series: (moment, key, value, rows behind it). A value that is no finite number means "not defined then".

    A point measured again, since later labels arrived, replaces the one before.
    """

    node: NodeId
    points: Sequence[tuple[Millis, str, float | None, int]]


class FinishStep(Change, frozen=True, tag="finish_step"):
    """Commit a step's outcome under its cache key, if `token` is still the key's newest attempt (fencing)."""

    key: str
    token: int
    step: str
    outcome: dict[str, Any]


class Supersede(Change, frozen=True, tag="supersede"):
    """Let everything that names content by the digest `before` name it by `after`, and have its new size. The old name still resolves.

    With an empty `after` the content is no more: artifacts, facts and step outcomes that name it are dropped.
    """

    before: str
    after: str
    size: int = 0


class AmendFacts(Change, frozen=True, tag="amend_facts"):
    """Replace what a room knows of a node, where what it knew was erased."""

    node: NodeId
    facts: dict[str, Any]


class ActedThen(Change, frozen=True, tag="acted_then"):
    """What follows in this event was done at another moment, by somebody else: it comes from another store or tool."""

    at: Millis
    actor: str


class Adopt(Change, frozen=True, tag="adopt"):
    """A row of another store's ledger, named by its hash, is part of this one from now on. Adopting it again changes nothing."""

    hash: str
    origin: str
    seq: int


class StandsFor(Change, frozen=True, tag="stands_for"):
    """A node that is here is what another store knows as `id`: the same content under the same name."""

    id: NodeId
    node: NodeId


class DropFiles(Change, frozen=True, tag="drop_files"):
    """Detach all files of a node that was deleted, so that `gc` frees those that nothing else names. The node stays."""

    node: NodeId


AnyChange = (
    EnsureAsset
    | DescribeAsset
    | AddNode
    | AddEdge
    | ExpectNewest
    | MoveAlias
    | SetState
    | SetTag
    | StartRun
    | EndRun
    | AddParams
    | AddArtifact
    | AddObservations
    | FinishStep
    | Supersede
    | AmendFacts
    | ExpectContent
    | ActedThen
    | Adopt
    | StandsFor
    | DropFiles
)
