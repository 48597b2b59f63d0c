"""A package's whole graph: the feature transform before the model, and the gate it passes before it is packed.

The gate asks real requests, and the same requests again with fields taken away and texts that training never saw. Each is answered twice:
as the package answers natively, and by the whole graph. A graph that answers otherwise is left out, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from sampan import plugins
from sampan.errors import MissingDependency, SampanError
from sampan.features.graph import GraphInputs, feature_graph, inputs_of, leaves
from sampan.features.online import OnlineView
from sampan.flavors.compact_trees import compact_trees
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.flavors.parity import Parity, measure
from sampan.flavors.whole_graph import WholeScorer, whole_graph
from sampan.workspace.models.predictors import COMPACT, GRAPH, NATIVE, WHOLE, NativeScorer, PackageManifest, load_scorer

UNSEEN: Final = "a text that training never saw"
_STRANGE: Final = " ΟΔΟΣ İ e\u0302\u0323 😂🏽 हिन्दी 你好\u200d ǅ ﬁ\x00"  # letters that programs do not agree on, after what was written
_ALONE: Final = 100  # requests that a compact graph is asked one by one
_SPOILED: Final = 0.15  # share of cells taken away or replaced, in the requests that are asked again

Rows = Sequence[Mapping[str, Any]]


class Wholeness(msgspec.Struct, frozen=True):
    """Whether a package has a whole graph, what goes into it, and how far it was from the native answers."""

    inputs: GraphInputs
    parity: Parity


def add_whole_graph(folder: Path, manifest: PackageManifest, online: OnlineView, rows: Rows) -> Wholeness:
    """Build a package's whole graph, ask it, and write it where it answers as the package does.

    Parameters
    ----------
    online : the package's features, opened
    rows : real requests
    """
    inputs = inputs_of(leaves(online.fitted))
    if manifest.served_by != "onnx":
        return Wholeness(inputs, Parity(passed=False, reason=manifest.why_slow))
    try:
        graph = whole_graph(feature_graph(online.fitted), (folder / GRAPH).read_bytes())
        asked = [*rows, *spoiled(rows, online, np.random.default_rng(0))]
        features = online.matrix(asked)
        if not manifest.takes_missing:
            whole = np.asarray(~np.isnan(features).any(axis=1))
            features, asked = features[whole], [row for row, kept in zip(asked, whole.tolist(), strict=True) if kept]
        _, answered = WholeScorer(graph)(online.tensors(asked))
        parity = measure(_native(folder, manifest)(features), answered, features, scale=manifest.scale)
    except SampanError as cause:
        return Wholeness(inputs, Parity(passed=False, reason=cause.message))
    if parity.passed:
        (folder / WHOLE).write_bytes(graph)
    return Wholeness(inputs, parity)


def add_compact_graph(folder: Path, manifest: PackageManifest, online: OnlineView, rows: Rows) -> None:
    """Write the graph with its trees as arrays beside it, where that answers the same to the bit, alone and in company."""
    if manifest.served_by != "onnx" or manifest.direct:
        return
    graph = (folder / GRAPH).read_bytes()
    compact = compact_trees(graph)
    if compact is None or len(compact) >= len(graph):
        return
    features = online.matrix([*rows, *spoiled(rows, online, np.random.default_rng(0))])
    before, after = OnnxScorer(graph), OnnxScorer(compact)
    asked = [features, *(features[first : first + 1] for first in range(min(len(features), _ALONE)))]
    if all(before(each).tobytes() == after(each).tobytes() for each in asked):
        (folder / COMPACT).write_bytes(compact)


def spoiled(rows: Rows, online: OnlineView, rng: np.random.Generator, *, unseen: bool = True) -> list[dict[str, Any]]:
    """Return requests again, a share of their cells taken away or, if `unseen`, set to a text that training never saw; free text grows."""
    free = online.fitted.free_text()
    found = []
    for row in rows:
        again = dict(row)
        for name, spec in online.schema.items():
            drawn = rng.random()
            if drawn < _SPOILED and spec.nullable:
                again[name] = None
            elif drawn < 2 * _SPOILED and spec.type == "text" and unseen:
                again[name] = f"{row[name] or UNSEEN}{_STRANGE}".upper() if name in free else UNSEEN
        found.append(again)
    return found


def _native(folder: Path, manifest: PackageManifest) -> Any:
    """Open the model in its own library; where that is not installed, its graph, which was compared with it when it was trained."""
    try:
        return NativeScorer(plugins.find("sampan.flavors", manifest.flavor)(), folder / NATIVE)
    except MissingDependency:
        return load_scorer(folder, manifest)
