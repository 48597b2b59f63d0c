"""Graphs that came from outside, made smaller and faster: an ONNX file, examples of what it is asked, labels where there are some.

What is found is kept as versions of kind `graph`: the file as it came, and what a budget made of it, derived from the first.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.compression.budget import Budget
from sampan.compression.edits import OF_ONE_MATRIX, REVISION, edited, edits_for, name_of
from sampan.compression.front import Point, front, pick, warnings
from sampan.compression.probing import flat, gain, judge_of
from sampan.compression.timing import TURNS, Contender, measure, open_session, shortest_first, without_padding
from sampan.core.digests import digest_bytes, digest_value
from sampan.core.events import Input, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.core.refs import check_name
from sampan.errors import NotFound, ParameterError, Unsupported
from sampan.stats.estimates import Estimate
from sampan.workspace.models.events import FilesCommitted, StoredFile
from sampan.workspace.models.optimizing import KIND, THREADS, n_threads
from sampan.workspace.models.optimizing_answers import PARENT, Optimized, Variant
from sampan.workspace.models.predictors import GRAPH

if TYPE_CHECKING:
    from sampan.compression.costs import Cost
    from sampan.workspace.workspace import Workspace

GRAPHS: Final = "graph"
LABELS: Final = "labels"
_FLOATS: Final = ("tensor(float)", "tensor(double)", "tensor(float16)")
_ROWS_AT_ONCE: Final = 32
_SLOW_S: Final = 0.05  # for 100 rows: fewer turns are enough where each takes long
_FEW_TURNS: Final = 5

Arrays = Mapping[str, NDArray[Any]]


class GraphAdded(FilesCommitted, frozen=True, kw_only=True):
    """A graph came from outside, or was made of one that did."""

    type: ClassVar[str] = "graph_added"


@dataclass(frozen=True, slots=True)
class Examples:
    """What a graph is asked, by its inputs' names, and the labels of the rows where they are known."""

    rows: Arrays
    labels: NDArray[Any] | None
    digest: str

    @property
    def n_rows(self) -> int:
        """How many there are."""
        return len(next(iter(self.rows.values())))


@dataclass(slots=True)
class GraphOptimization:
    """One graph's other forms."""

    ws: Workspace
    name: str
    asked: str  # the file or the reference, as it was given
    examples: Examples
    seed: int
    graph: bytes
    graphs: dict[str, bytes] = field(default_factory=dict)
    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    n_remembered: int = 0

    def carry_out(self, budget: Budget, take: str, out: Path | None) -> Optimized:
        """Try, measure, pick and keep."""
        began = time.monotonic()
        one_input = len(self.examples.rows) == 1
        attempts = [(edit, share) for edit, share in edits_for(self.graph) if one_input or edit not in OF_ONE_MATRIX]
        with self.ws.progress.stage(f"Try other forms of {self.name}", total=len(attempts) + 1, unit="attempts") as stage:
            self.outputs[PARENT] = self._asked(PARENT, lambda: self.graph)
            stage.advance(1, PARENT)
            for edit, share in attempts:
                name = name_of(edit, share)
                try:
                    self.outputs[name] = self._asked(name, lambda e=edit, s=share: edited(self.graph, e, s, self.examples.rows))
                    self.how[name] = edit
                except Unsupported as fault:
                    self.refused[name] = fault.message
                stage.advance(1, name)
        if not attempts:
            self.refused["edits"] = "the graph has neither layers with weights nor one ensemble of trees that are added up"
        found = self._measured(budget)
        name = self._chosen(found, take)
        kept = self._keep_graph(self.graph, Path(self.asked).name, {}, ())
        made = self._keep_variant(found, name, kept, out) if name and name != PARENT else None
        done = msgspec.structs.replace(
            found,
            model=f"{GRAPHS}:{kept.ref}",
            picked=name,
            made=f"{GRAPHS}:{made.ref}" if made else "",
            n_remembered=self.n_remembered,
            seconds=time.monotonic() - began,
            next=(f"sampan lineage {GRAPHS}:{made.ref}",) if made else self._advice(found),
        )
        return msgspec.structs.replace(done, optimization=self._keep_study(done, kept))

    def _asked(self, name: str, make: Any) -> NDArray[Any]:
        """Make a form of the graph and ask it all examples, or remember both."""

        def ask() -> dict[str, Any]:
            graph = make()
            buffer = io.BytesIO()
            np.save(buffer, answers(graph, self.examples.rows))
            return {"graph": self.ws.store.blobs.put(graph), "outputs": self.ws.store.blobs.put(buffer.getvalue())}

        asked = {"graph": digest_bytes(self.graph), "form": name, "examples": self.examples.digest}
        parts = {**asked, "runtime": _runtime(), "edits": REVISION}
        kept, known = self.ws.engine.once("graph-form", parts, ask)
        self.n_remembered += known
        self.graphs[name] = self.ws.store.blobs.read(kept["graph"])
        found: NDArray[Any] = np.load(io.BytesIO(self.ws.store.blobs.read(kept["outputs"])))
        return found

    def _measured(self, budget: Budget) -> Optimized:
        rng = np.random.default_rng(self.seed)
        probe = judge_of(self.outputs[PARENT], self.examples.labels, rng)
        rows = {name: probe.rows(each) for name, each in self.outputs.items()}
        costs = self._costs()
        gains = {name: gain(each, rows[PARENT], np.random.default_rng(self.seed)) for name, each in rows.items()}
        gains |= {name: Estimate(0.0, 0.0, 0.0) for name in costs if name not in gains} | {PARENT: Estimate(0.0, 0.0, 0.0)}
        points = {name: Point(name=name, gain=gains[name], cost=cost) for name, cost in costs.items()}
        beaten = front(list(points.values()))
        parent = points[PARENT]
        versions = [each for name, each in points.items() if name in self.how]
        chosen, exceeded = pick(versions, parent, budget) if budget else ("", {})
        value = float(rows[PARENT].mean())
        variants = [
            Variant(
                name=name,
                how=self.how.get(name, THREADS),
                value=value + (each.gain.value or 0.0),
                gain=each.gain,
                cost=each.cost,
                beaten_by=beaten[name],
                exceeds=exceeded.get(name, ()),
                warnings=warnings(each, parent, probe.metric),
            )
            for name, each in points.items()
            if name != PARENT
        ]
        itself = Variant(name=PARENT, how="parent", value=value, gain=parent.gain, cost=parent.cost, exceeds=exceeded.get(PARENT, ()))
        return Optimized(
            optimization="",
            model="",
            metric=probe.metric,
            n_rows=self.examples.n_rows,
            n_days=0,
            parent=itself,
            variants=tuple(sorted(variants, key=lambda each: -each.cost.size_bytes)),
            budget=str(budget),
            picked=chosen,
            work="instructions" if parent.cost.instructions is not None else "processor time",
            refused=self.refused,
        )

    def _costs(self) -> dict[str, Cost]:
        contenders = {name: Contender(graph, self.examples.rows) for name, graph in self.graphs.items()}
        for threads in range(2, n_threads() + 1):
            contenders[f"{threads} threads"] = Contender(self.graph, self.examples.rows, threads)
        turns = _FEW_TURNS if self._is_slow() else TURNS
        with self.ws.progress.stage(f"Measure {len(contenders)} graphs in turns", total=turns, unit="turns") as stage:
            return measure(contenders, turns=turns, advance=stage.advance)

    def _is_slow(self) -> bool:
        session = open_session(self.graph)
        some = without_padding({name: each[:10] for name, each in self.examples.rows.items()})
        began = time.perf_counter()
        session.run(None, some)
        return 10 * (time.perf_counter() - began) > _SLOW_S

    def _chosen(self, found: Optimized, take: str) -> str:
        if take and take not in self.how:
            raise NotFound(f"{self.name} has no form {take!r}", hint="one of: " + "; ".join(self.how))
        return take or found.picked

    def _advice(self, found: Optimized) -> tuple[str, ...]:
        kept = [-each.gain.low for each in found.front if each.gain.low is not None and each.how != THREADS]
        if found.budget or not kept:
            return ()
        return (f"sampan model optimise {self.asked} --examples … --budget loss={max(0.0005, min(kept)):.2g}",)

    # -- what is kept -------------------------------------------------------------------------------------------------------------

    def _keep_graph(self, graph: bytes, source: str, facts: Mapping[str, Any], inputs: tuple[Input, ...]) -> Node:
        name, digest = check_name(self.name), digest_bytes(graph)
        known = self.ws.catalog.find_version(GRAPHS, name, digest)
        if known is not None:
            return known
        event = GraphAdded(
            node=new_id(),
            kind=GRAPHS,
            name=name,
            digest=digest,
            size=len(graph),
            facts={"source": source, **facts},
            inputs=inputs,
            files=(StoredFile(GRAPH, self.ws.store.blobs.put(graph), len(graph)),),
        )
        self.ws.ledger.append(event)
        return self.ws.catalog.node(event.node)

    def _keep_variant(self, found: Optimized, name: str, parent: Node, out: Path | None) -> Node:
        variant = next(each for each in found.variants if each.name == name)
        facts = {"form": name, "metric": found.metric, "gain": variant.gain, "cost": variant.cost, "parent_cost": found.parent.cost}
        made = self._keep_graph(self.graphs[name], name, {"variant": msgspec.to_builtins(facts)}, (Input(parent.id, "derived_from"),))
        if out is not None:
            out.write_bytes(self.graphs[name])
        return made

    def _keep_study(self, found: Optimized, parent: Node) -> str:
        stable = [[each.name, each.gain.value, each.cost.size_bytes] for each in found.variants]
        digest = digest_value([parent.id, found.budget, found.picked, self.examples.digest, stable])
        known = self.ws.catalog.find_version(KIND, parent.name, digest)
        if known is None:
            facts: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(found, next=()))
            event = VersionCommitted(
                node=new_id(), kind=KIND, name=parent.name, digest=digest, facts=facts, inputs=(Input(parent.id, "input"),)
            )
            self.ws.ledger.append(event)
            known = self.ws.catalog.node(event.node)
        return f"{KIND}:{known.ref}"


def optimise_graph(ws: Workspace, asked: str, examples: Path | None, *, seed: int) -> GraphOptimization:
    """Read a graph, from its file or as it was kept, and the examples it is to be judged on.

    Raises
    ------
    NotFound : a file, or a graph of this name, is not there.
    ParameterError : there are no examples, or they are not what the graph asks for.
    IntegrityError : the graph does not load.
    """
    name, graph = _kept(ws, asked.removeprefix(f"{GRAPHS}:")) if asked.startswith(f"{GRAPHS}:") else _of_file(Path(asked))
    if examples is None:
        raise ParameterError(
            f"{Path(asked).name} comes without rows to judge it on",
            parameter="examples",
            hint="--examples FILE.npz: an array for each input, and labels where there are some",
        )
    session = open_session(graph)
    return GraphOptimization(ws, name, asked, _read(examples, {each.name for each in session.get_inputs()}), seed, graph)


def _of_file(file: Path) -> tuple[str, bytes]:
    if not file.is_file():
        raise NotFound(f"there is no file {file}", hint="give the path of an ONNX graph")
    return file.stem, file.read_bytes()


def _kept(ws: Workspace, ref: str) -> tuple[str, bytes]:
    node = ws.catalog.resolve(ref, kind=GRAPHS)
    digest = next(each.digest for each in ws.catalog.artifacts(node.id) if each.path == GRAPH)
    return node.name, ws.store.blobs.read(digest)


def answers(graph: bytes, rows: Arrays) -> NDArray[Any]:
    """Ask a graph all rows, some at a time; return its first output of floats, one vector for each row."""
    session = open_session(graph)
    output = next((each.name for each in session.get_outputs() if each.type in _FLOATS), None)
    if output is None:
        raise Unsupported(
            "the graph has no output of floats to judge it by", hint="a classifier of skl2onnx has one when exported with zipmap=False"
        )
    order = shortest_first(rows)
    found = []
    for at in range(0, len(order), _ROWS_AT_ONCE):
        given = without_padding({name: each[order[at : at + _ROWS_AT_ONCE]] for name, each in rows.items()})
        found.append(flat(session.run([output], given)[0]).astype(np.float32))
    return np.concatenate(found)[np.argsort(order)]


def _read(file: Path, inputs: set[str]) -> Examples:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            given = dict(arrays)
    except (OSError, ValueError) as cause:
        raise ParameterError(
            f"{file} holds no arrays: {cause}", parameter="examples", hint="numpy.savez(FILE, input=…, labels=…)"
        ) from cause
    labels = given.pop(LABELS, None) if LABELS not in inputs else None
    faults = [f"no array for the input {name!r}" for name in sorted(inputs - set(given))]
    rows = {name: each for name, each in given.items() if name in inputs}
    lengths = {name: len(each) for name, each in {**rows, **({LABELS: labels} if labels is not None else {})}.items()}
    if len(set(lengths.values())) > 1:
        faults.append("arrays of different lengths: " + ", ".join(f"{name} {n:,}" for name, n in lengths.items()))
    elif rows and next(iter(lengths.values())) < 2:
        faults.append("fewer than two rows")
    if labels is not None and len(np.unique(labels)) < 2:
        faults.append("labels of one class only")
    if faults:
        raise ParameterError(f"{file}: " + "; ".join(faults), parameter="examples", hint="the graph's inputs: " + ", ".join(sorted(inputs)))
    return Examples(rows, labels, digest_bytes(file.read_bytes()))


def _runtime() -> str:
    from importlib.metadata import version

    return version("onnxruntime")
