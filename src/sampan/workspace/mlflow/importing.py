"""`sampan import mlflow`: a whole store of MLflow's comes over, with its history; done again, what is new there comes.

Files first, then the things that name them, then points: so an import that was killed is completed by importing again. A run keeps its id,
an experiment its number where that is free, a version its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from sampan.core.answers import Answer
from sampan.core.changes import ActedThen, AddEdge, Change, DescribeAsset, EnsureAsset
from sampan.core.decoding import read_builtins
from sampan.core.graph import NodeId
from sampan.core.mlflow import MlflowExperiment, MlflowModel, MlflowRegistered, MlflowRun, MlflowSource, MlflowTrace, MlflowVersion
from sampan.errors import AlreadyExists, NotFound, Unavailable, Unsupported
from sampan.workspace.columns import count
from sampan.workspace.mlflow import changes, graph
from sampan.workspace.mlflow.changes import KnownRun, MlflowImported, node_of
from sampan.workspace.mlflow.trace_events import RUN_KEY
from sampan.workspace.mlflow.traces import more_of_trace, new_trace, stored_spans, trace_node
from sampan.workspace.models.events import StoredFile
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    from sampan.store.run_search import Details
    from sampan.workspace.workspace import Workspace

_PAGE: Final = 200  # runs a transaction
_MANY: Final = 1_000_000
_SHOWN: Final = 5
_SMALL_BYTES: Final = 1 << 20


class Imported(Answer, frozen=True, kw_only=True):
    """What came over from MLflow."""

    source: str
    experiments: int
    runs: int  # that were not here
    updated: int  # runs and models that were here and had news
    points: int
    files: int
    models: int
    traces: int
    versions: int
    left: tuple[str, ...] = ()  # what could not come, and why

    def text(self) -> str:
        """Say what came, then what did not."""
        if not any((self.experiments, self.runs, self.updated, self.points, self.models, self.traces, self.versions)):
            line = f"nothing new in {self.source}"
        else:
            told = (count(self.experiments, "experiment"), count(self.runs, "run"), count(self.points, "metric point"))
            more = (count(self.files, "file"), count(self.models, "logged model"), count(self.versions, "model version"))
            seen = (count(self.traces, "trace"),) if self.traces else ()
            line = f"from {self.source}: {', '.join((*told, *more, *seen))}; {self.updated:,} brought up to date"
        shown = [f"left out: {each}" for each in self.left[:_SHOWN]]
        rest = len(self.left) - len(shown)
        return "\n".join([line, *shown, *([f"and {rest:,} more"] if rest > 0 else [])])


class Imports(Room):
    """What other tools recorded, brought here."""

    noun: ClassVar[str] = "import"

    @operation(local=True)
    def mlflow(self, source: str, *, files: bool = True) -> Imported:
        """Bring over everything an MLflow store knows: experiments, runs, histories, files, inputs, models, the registry.

        Done again, it brings what is new there; what is here is not changed back.

        Parameters
        ----------
        source : an mlruns folder, sqlite:///FILE, postgresql://…, or the address of an MLflow server
        files : bring the files of runs and models as well
        """
        return MlflowImport(self.ws, opened_source(source), files=files).carry_out()


def opened_source(source: str) -> MlflowSource:
    """Return a reader of an MLflow store, by its address.

    Raises
    ------
    NotFound, Unavailable, DataFormatError : there is none.
    """
    if source.startswith(("http://", "https://")):
        from sampan.workspace.mlflow.server import MlflowServer

        return MlflowServer(source)
    if source.startswith(("sqlite:", "postgresql:", "postgres:")) or Path(source).is_file():
        from sampan.store.mlflow_database import MlflowDatabase

        return MlflowDatabase(source)
    from sampan.workspace.mlflow.folder import MlflowFolder

    return MlflowFolder(Path(source.removeprefix("file://")))


class MlflowImport:
    """One import."""

    def __init__(self, ws: Workspace, source: MlflowSource, *, files: bool = True) -> None:
        self.ws = ws
        self._source = source
        self._with_files = files
        self._left: list[str] = []
        self._n = dict.fromkeys(("experiments", "runs", "updated", "points", "files", "models", "traces", "versions"), 0)
        self._nodes: set[NodeId] = set()  # known to be here, beside runs
        self._read_models: list[tuple[NodeId, NodeId]] = []  # a run, and a model that it read

    def carry_out(self) -> Imported:
        """Bring everything over.

        Raises
        ------
        AlreadyExists : a registered model of the same name here is another one; nothing was brought.
        """
        registered = list(self._source.registered())
        self._require_free(registered)
        experiments = self._source.experiments()
        ids = {each.id: self._source.run_ids(each) for each in experiments}
        with self.ws.progress.stage("runs", total=sum(map(len, ids.values())), unit="runs") as stage:
            for experiment in experiments:
                here = self._take_experiment(experiment)
                known = self._known(here.asset)
                for start in range(0, len(ids[experiment.id]), _PAGE):
                    some = ids[experiment.id][start : start + _PAGE]
                    self._take_runs(self._source.runs(experiment, some), here, known)
                    stage.advance(len(some))
                for model in self._source.models(experiment):
                    self._take_model(model, here)
                self._take_traces(self._source.traces(experiment), here)
        self._link_models()
        for one in registered:
            self._take_registered(one)
        runs = self.ws.catalog.runs(limit=1)
        following = (f"sampan run show {runs[0].node.id[:12]}",) if runs else ()
        return Imported(source=self._source.address, left=tuple(self._left), next=("sampan run list", *following), **self._n)

    # -- experiments

    def _take_experiment(self, found: MlflowExperiment) -> graph.Experiment:
        """Return an experiment as it is here, made or described anew where it has to be."""
        assets = self.ws.catalog.assets(graph.EXPERIMENT)
        known = {here.name: here for here in map(graph.experiment_of, assets)}
        state = graph.DELETED if found.is_deleted else graph.ACTIVE
        if (here := known.get(found.name)) is None:
            return self._make_experiment(found, state, {each.id for each in known.values()}, {asset.name for asset in assets})
        wanted = msgspec.structs.replace(here, tags={**here.tags, **found.tags}, state=state)
        described = next((asset.facts for asset in assets if asset.name == here.asset), {})
        if wanted != here and "imported" in described:
            facts = {**described, graph.FACT: msgspec.to_builtins(wanted)}
            self._append([DescribeAsset(kind=graph.EXPERIMENT, name=here.asset, facts=facts)], "", "experiment", found.name)
            self._n["updated"] += 1
            return wanted
        return here

    def _make_experiment(self, found: MlflowExperiment, state: str, numbers: set[str], names: set[str]) -> graph.Experiment:
        said = graph.safe_number(found.id, found.name)
        id = said if said not in numbers else graph.experiment_number(found.name)  # noqa: A001  # the field's word
        asset = graph.asset_name(found.name, otherwise="experiment")
        asset = asset if asset not in names else f"{asset} {node_of(found.name, 'experiment')[:8]}"
        location = graph.experiment_location(id)
        made = graph.Experiment(asset, id, found.name, state, found.created, found.updated, location, found.tags)
        facts = {graph.FACT: msgspec.to_builtins(made), "imported": self._source.address}
        then = ActedThen(found.created or self.ws.clock(), self.ws.actor)
        self._append([then, EnsureAsset(kind=graph.EXPERIMENT, name=asset, facts=facts)], "", "experiment", found.name)
        self._n["experiments"] += 1
        return made

    # -- runs

    def _known(self, experiment: str) -> dict[NodeId, KnownRun]:
        """Return what is here of an experiment's runs."""
        from sampan.store.run_search import RunSearch

        search = RunSearch(self.ws.store.database)
        candidates = search.candidates([experiment])
        details: dict[int, Details] = search.details([each.pk for each in candidates]) if candidates else {}
        return {each.id: KnownRun(each.state, details[each.pk].params, details[each.pk].tags) for each in candidates}

    def _take_runs(self, runs: Sequence[MlflowRun], experiment: graph.Experiment, known: dict[NodeId, KnownRun]) -> None:
        """Bring a page of runs: their files, then the runs, then their points."""
        from sampan.store.bringing import bring_points

        files = self._files(runs)
        events = []
        for run in runs:
            node = node_of(run.id)
            here = known.get(node)
            if here is None:
                parent = changes.parent_of(run)
                made = list(changes.new_run(run, experiment.asset, files[run.id], parent=parent if parent in known else None))
                self._n["runs"] += 1
            else:
                made = list(changes.more_of_run(run, self._with_kept(node, here, files[run.id]), files[run.id]))
                self._n["updated"] += bool(made)
            made += self._inputs(run, is_new=here is None)
            known[node] = KnownRun(run.state, run.params, run.tags)
            self._read_models += [(node, node_of(model)) for model in run.read_models]
            if made:
                events.append(MlflowImported.made(made, node=node, kind="run", name=run.name, source=self._source.address))
        if events:
            self.ws.ledger.append(*events)
        self._n["points"] += bring_points(self.ws.store, {node_of(run.id): run.points for run in runs}, origin="mlflow")

    def _inputs(self, run: MlflowRun, *, is_new: bool) -> Iterator[Change]:
        """Yield the datasets a run read, those made that are not here."""
        for found in run.inputs:
            node = changes.dataset_node(found)
            if not self._is_here(node):
                yield changes.new_dataset(found)
                self._nodes.add(node)
            elif not is_new and any(edge.src == node for edge in self.ws.catalog.edges_to(node_of(run.id))):
                continue
            yield AddEdge(dst=node_of(run.id), src=node, role="input")

    def _is_here(self, node: NodeId) -> bool:
        if node not in self._nodes:
            try:
                self.ws.catalog.node(node)
            except NotFound:
                return False
            self._nodes.add(node)
        return True

    def _with_kept(self, node: NodeId, here: KnownRun, files: Sequence[StoredFile]) -> KnownRun:
        """Return what is here with the files' paths, where there are files to compare."""
        if not files:
            return here
        return msgspec.structs.replace(here, files=frozenset(each.path for each in self.ws.catalog.artifacts(node)))

    # -- files

    def _files(self, owners: Sequence[MlflowRun | MlflowModel]) -> dict[str, tuple[StoredFile, ...]]:
        """Store the files of runs or models, many at once; return them by their owner's id."""
        from sampan.store.scratch import scratch_folder

        found: dict[str, tuple[StoredFile, ...]] = {owner.id: () for owner in owners}
        if not self._with_files:
            return found
        with scratch_folder(self.ws.store.root / "scratch", "import") as folder, self.ws.store.blobs.batch() as batch:
            for owner in owners:
                try:
                    files = self._source.files(owner, folder / owner.id)
                except (NotFound, Unsupported, Unavailable) as cause:
                    self._left.append(f"files of {owner.name or owner.id}: {cause.message}")
                    continue
                stored = []
                for each in files:
                    size = each.file.stat().st_size
                    digest = batch.put_small(each.file.read_bytes()) if size < _SMALL_BYTES else self.ws.store.blobs.put_file(each.file)[0]
                    stored.append(StoredFile(each.path, digest, size))
                found[owner.id] = tuple(stored)
                self._n["files"] += len(stored)
        return found

    # -- models

    def _take_model(self, model: MlflowModel, experiment: graph.Experiment) -> None:
        files = self._files([model])[model.id]
        node = node_of(model.id)
        try:
            here = self.ws.catalog.node(node)
        except NotFound:
            has_run = bool(model.run) and self._is_here(node_of(model.run))
            made = list(changes.new_model(model, experiment.id, files, has_run=has_run))
            self._n["models"] += 1
        else:
            known = self._with_kept(node, KnownRun(here.state, {}, self.ws.catalog.tags(node)), files)
            made = list(changes.more_of_model(model, known, files))
            self._n["updated"] += bool(made)
        self._append(made, node, "logged model", model.name)

    def _take_traces(self, traces: Iterator[MlflowTrace], experiment: graph.Experiment) -> None:
        while page := list(islice(traces, _PAGE)):
            self._left += [f"spans of trace {each.id}: {each.without}" for each in page if each.without]
            with self.ws.store.blobs.batch() as batch:
                files = {each.id: stored_spans(each, batch.put_small) for each in page if each.spans}
            events = []
            for trace in page:
                node = trace_node(trace)
                if is_new := not self._is_here(node):
                    run = node_of(trace.metadata.get(RUN_KEY, "")) if trace.metadata.get(RUN_KEY) else ""
                    made = list(new_trace(trace, experiment, files.get(trace.id), run=run if run and self._is_here(run) else ""))
                    self._nodes.add(node)
                else:
                    made = list(more_of_trace(trace, experiment, self.ws.catalog.tags(node)))
                self._n["traces"] += is_new
                self._n["updated"] += bool(made) and not is_new
                if made:
                    events.append(MlflowImported.made(made, node=node, kind="trace", name=trace.id, source=self._source.address))
            if events:
                self.ws.ledger.append(*events)

    def _link_models(self) -> None:
        """Say which runs read which models, once both are here."""
        for run, model in self._read_models:
            linked = any(edge.src == model for edge in self.ws.catalog.edges_to(run))
            if not linked and self._is_here(model):
                self._append([AddEdge(dst=run, src=model, role="input")], run, "run", "")

    # -- the registry

    def _registered_here(self) -> dict[str, graph.Registered]:
        assets = self.ws.catalog.assets(graph.REGISTERED)
        found = (read_builtins(asset.facts[graph.FACT], graph.Registered) for asset in assets if graph.FACT in asset.facts)
        return {each.name: each for each in found if each.state != graph.DELETED}

    def _require_free(self, registered: Iterable[MlflowRegistered]) -> None:
        """See that a registered model of a known name is the one that came from there."""
        known = self._registered_here()
        other = []
        for one in registered:
            here = known.get(one.name)
            if here is not None and one.versions and not self._is_here(changes.version_node(one.name, one.versions[0])):
                numbers = [node.version for node in self.ws.catalog.nodes(kind=graph.REGISTERED, name=here.asset, limit=_MANY)]
                other += [one.name] if numbers else []
        if other:
            raise AlreadyExists(
                f"registered models of the same name are here already: {', '.join(other)}; nothing was brought",
                hint="rename them there or here first: the versions of two models cannot stand under one name",
            )

    def _take_registered(self, found: MlflowRegistered) -> None:
        here = self._registered_here().get(found.name)
        if here is None:
            taken = {asset.name for asset in self.ws.catalog.assets(graph.REGISTERED)}
            asset = graph.asset_name(found.name, otherwise="model")
            asset = asset if asset not in taken else f"{asset} {node_of(found.name, 'registered')[:8]}"
            here = graph.Registered(asset, found.name, found.created, found.updated, found.description, found.tags)
            then = ActedThen(found.created or self.ws.clock(), self.ws.actor)
            facts = {graph.FACT: msgspec.to_builtins(here)}
            self._append([then, EnsureAsset(kind=graph.REGISTERED, name=asset, facts=facts)], "", "registered model", found.name)
        self._take_versions(found, here.asset)
        self._take_aliases(found, here.asset)

    def _take_versions(self, found: MlflowRegistered, asset: str) -> None:
        """Bring versions under their numbers; those MLflow has forgotten leave theirs empty."""
        for version in found.versions:
            node = changes.version_node(found.name, version)
            if self._is_here(node):
                more = list(changes.changed_tags(node, changes.version_tags(version), self.ws.catalog.tags(node)))
                self._append(more, node, "model version", found.name)
                self._n["updated"] += bool(more)
                continue
            made: list[Change] = []
            for number in range(self.ws.catalog.asset(graph.REGISTERED, asset).n_versions + 1, version.version):
                made += changes.missing_version(found.name, asset, number, version.created)
            made += changes.new_version(found.name, asset, version, self._source_of(version), self._derived(version))
            self._append(made, node, "model version", f"{found.name} {version.version}")
            self._nodes.add(node)
            self._n["versions"] += 1

    def _source_of(self, version: MlflowVersion) -> str:
        """Return where a version's files are here, for clients: with its run, where they were with its run there."""
        head, mark, rest = version.source.partition("/artifacts/")
        if mark and version.run and head.endswith(version.run) and self._is_here(node_of(version.run)):
            asset = self.ws.catalog.asset(graph.EXPERIMENT, self.ws.catalog.run(node_of(version.run)).experiment)
            return f"{graph.experiment_of(asset).location}/{node_of(version.run)}/artifacts/{rest}"
        return version.source

    def _derived(self, version: MlflowVersion) -> NodeId | None:
        for id in (version.model_id, version.run):  # noqa: A001  # the field's word
            if id and self._is_here(node_of(id)):
                return node_of(id)
        return None

    def _take_aliases(self, found: MlflowRegistered, asset: str) -> None:
        known = self.ws.catalog.aliases(graph.REGISTERED, asset)
        versions = {version.version: changes.version_node(found.name, version) for version in found.versions}
        for alias, number in found.aliases.items():
            node = versions.get(number)
            if node is None or known.get(alias) == node:
                continue
            if alias in known:
                self._left.append(f"alias {found.name}@{alias}: it points elsewhere here, and is not moved to version {number}")
                continue
            self._append([changes.move_alias(asset, alias, None, node)], node, "alias", f"{found.name}@{alias}")

    def _append(self, made: Sequence[Change], node: NodeId, kind: str, name: str) -> None:
        if made:
            self.ws.ledger.append(MlflowImported.made(made, node=node, kind=kind, name=name, source=self._source.address))
