"""`sampan reproduce MODEL`: replay a training from what was kept, and say whether it answers the same; if not, where it first diverges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from sampan.core.answers import Answer
from sampan.core.digests import digest_bytes
from sampan.core.events import Input, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.errors import ParameterError, SampanError
from sampan.workspace.columns import align
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sampan.workspace.feature_tables import LabeledRows
    from sampan.workspace.rebuilding import Rebuilt
    from sampan.workspace.replaying import Recipe
    from sampan.workspace.workspace import Workspace

Verdict = Literal["bit-equal", "within tolerance", "different"]
KIND = "reproduction"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")


class Compared(msgspec.Struct, frozen=True):
    """One node of the way from data to predictions, then and now."""

    node: str  # data flights | features | rows | encoders | model | predictions
    same: bool
    what: str


class Reproduced(Answer, frozen=True, kw_only=True):
    """Whether a training, replayed, gives a model that answers the same."""

    model: str
    verdict: Verdict
    n_probe: int
    n_moved: int
    max_difference: float
    mean_difference: float
    tolerance: float
    nodes: tuple[Compared, ...]
    diverges_at: str = ""
    likely_cause: str = ""
    environment: tuple[str, ...] = ()  # how the environment of the replay differs from the recorded one
    rebuilt: bool = False
    reproduction: str = ""
    seconds: float = 0.0

    def text(self) -> str:
        """Show the way node by node, then the verdict."""
        head = f"{self.model}: {self.verdict}"
        if self.verdict != "bit-equal":
            head += f", {self.n_moved:,} of {self.n_probe:,} predictions moved, at most by {self.max_difference:.3g}"
        lines = [head, align(("node", "", "what"), [(each.node, "same" if each.same else "differs", each.what) for each in self.nodes])]
        if self.diverges_at:
            lines.append(f"it first diverges at {self.diverges_at}; {self.likely_cause}")
        where = "the recorded environment, rebuilt" if self.rebuilt else "a clean process of the present environment"
        lines.append(f"replayed in {where} in {self.seconds:.1f} s; {self.n_probe:,} pinned rows compared")
        return "\n".join([*lines, *(f"  environment: {line}" for line in self.environment)])

    def exit_code(self) -> int:
        """Return 3 where it answers differently: the tool works, the model said no."""
        return 3 if self.verdict == "different" else 0


class Moved(Answer, frozen=True, kw_only=True):
    """What a changed library does to a model's predictions."""

    model: str
    changed: tuple[str, ...]
    n_probe: int
    n_moved: int
    max_difference: float
    mean_difference: float
    quantiles: dict[str, float]
    seconds: float

    def text(self) -> str:
        """Say how many predictions move and by how much."""
        if not self.n_moved:
            return f"{self.model} with {', '.join(self.changed)}: none of {self.n_probe:,} predictions moves"
        spread = ", ".join(f"{name} {value:.3g}" for name, value in self.quantiles.items())
        return (
            f"{self.model} with {', '.join(self.changed)}: {self.n_moved:,} of {self.n_probe:,} predictions move,"
            f" by {self.mean_difference:.3g} on average, at most {self.max_difference:.3g} ({spread})"
        )


class Reproducing(Room):
    """The top-level verbs that replay a training."""

    noun: ClassVar[str] = ""

    @operation(local=True)
    def reproduce(self, model: str, *, rebuild: bool = False, tolerance: float = 1e-6) -> Reproduced:
        """Train a model again from what was kept, in a clean process, and compare its predictions on the pinned rows.

        Exit code 3 if they differ by more than the tolerance. The first node that differs is named, with the likely cause.

        Parameters
        ----------
        model : such as flights-late@champion
        rebuild : install the recorded Python libraries with uv, which asks the package index; else the present ones are used
        tolerance : the largest difference of a probability that counts as the same
        """
        from sampan.workspace import rebuilding
        from sampan.workspace.environments import environment_of
        from sampan.workspace.replaying import Recipe, model_node

        if not tolerance >= 0:
            raise ParameterError(f"tolerance is {tolerance:g}", hint="0 or more")
        node = model_node(self.ws, model)
        recipe = Recipe.of(self.ws, node)
        recorded = environment_of(self.ws, node)
        libraries = rebuilding.needed(self.ws, recipe, recorded)
        if rebuild:
            with self.ws.progress.stage(f"Rebuild the environment: {len(libraries)} libraries"):
                where = rebuilding.rebuild(self.ws, libraries, recorded.python)
        else:
            where = rebuilding.present(libraries)
        found = _Cone(self.ws, recipe, where, threads=recorded.threads).replay(tolerance)
        return self._keep_reproduction(msgspec.structs.replace(found, environment=_differences(recorded, where)), node)

    @operation(local=True, verb="upgrade-check")
    def upgrade_check(self, model: str, libraries: list[str]) -> Moved:
        """Train a model again with other library versions, and say which predictions move and by how much.

        The environment is the recorded one but for these libraries; uv installs it, which asks the package index.

        Parameters
        ----------
        model : such as flights-late@champion
        libraries : the versions to try, such as lightgbm==4.5.0
        """
        from sampan.workspace import rebuilding
        from sampan.workspace.environments import environment_of
        from sampan.workspace.replaying import Recipe, model_node

        wanted = dict(_pinned(each) for each in libraries)
        if not wanted:
            raise ParameterError("no library was named", hint="sampan upgrade-check MODEL lightgbm==4.5.0")
        node = model_node(self.ws, model)
        recipe = Recipe.of(self.ws, node)
        recorded = environment_of(self.ws, node)
        needed = rebuilding.needed(self.ws, recipe, recorded)
        if unknown := sorted(set(wanted) - set(needed)):
            raise ParameterError(
                f"the training of {node.ref} does not use {', '.join(unknown)}", hint="it uses " + ", ".join(sorted(needed))
            )
        with self.ws.progress.stage("Rebuild the environment with other versions"):
            where = rebuilding.rebuild(self.ws, {**needed, **wanted}, recorded.python)
        found = _Cone(self.ws, recipe, where, threads=recorded.threads).replay(0.0)
        return Moved(
            model=node.ref,
            changed=tuple(f"{name} {needed[name]} → {version}" for name, version in sorted(wanted.items())),
            n_probe=found.n_probe,
            n_moved=found.n_moved,
            max_difference=found.max_difference,
            mean_difference=found.mean_difference,
            quantiles=found.quantiles,
            seconds=found.seconds,
            next=(f"sampan reproduce {quote(node.ref)}",),
        )

    def _keep_reproduction(self, found: Reproduced, node: Node) -> Reproduced:
        facts: dict[str, Any] = msgspec.to_builtins(found)
        event = VersionCommitted(
            node=new_id(),
            kind=KIND,
            name=node.name,
            digest=digest_bytes(msgspec.json.encode(facts)),
            facts=facts,
            inputs=(Input(node.id, "input"),),
        )
        self.ws.ledger.append(event)
        ref = f"{KIND}:{self.ws.catalog.node(event.node).ref}"
        return msgspec.structs.replace(found, reproduction=ref, next=(f"sampan model show {quote(node.ref)}",))


class Replayed(Reproduced, frozen=True, kw_only=True):
    """A reproduction with the spread of the differences."""

    quantiles: dict[str, float] = {}


class _Cone:
    """One model's way from data to predictions, gone again."""

    def __init__(self, ws: Workspace, recipe: Recipe, where: Rebuilt, *, threads: Mapping[str, str]) -> None:
        self.ws = ws
        self.recipe = recipe
        self.where = where
        self.threads = {name: value for name, value in threads.items() if name in THREADS}

    def replay(self, tolerance: float) -> Replayed:
        """Go all the way, and compare each node with what was kept."""
        import time

        import numpy as np

        began = time.monotonic()
        nodes = list(self._data())
        rows, told = self._features()
        nodes += told
        fitted = self.recipe.view.fit(rows.frame)
        same = fitted.to_json() == self.recipe.fitted.to_json()
        nodes.append(Compared("encoders", same, f"{len(fitted.encoders)} fitted encoders"))
        stored, replayed, model = self._refit(fitted.matrix(rows.frame), rows)
        nodes.append(model)
        difference = np.abs(stored - replayed)
        nodes.append(Compared("predictions", bool(np.array_equal(stored, replayed)), f"{len(stored):,} pinned rows"))
        largest = float(difference.max(initial=0.0))
        verdict: Verdict = "bit-equal" if np.array_equal(stored, replayed) else "within tolerance" if largest <= tolerance else "different"
        first = next((each.node for each in nodes if not each.same), "") if verdict != "bit-equal" else ""
        return Replayed(
            model=self.recipe.model.ref,
            verdict=verdict,
            n_probe=len(stored),
            n_moved=int((difference > 0).sum()),
            max_difference=largest,
            mean_difference=float(difference.mean()),
            tolerance=tolerance,
            nodes=tuple(nodes),
            diverges_at=first,
            likely_cause=self._cause(first),
            rebuilt=not self.where.is_present,
            seconds=time.monotonic() - began,
            quantiles={f"{q:.0%}": float(np.quantile(difference, q)) for q in (0.5, 0.9, 0.99)},
        )

    def _data(self) -> Iterator[Compared]:
        """Re-read and re-hash every object of every dataset version."""
        for name, node in self.recipe.datasets.items():
            faults = []
            for digest in self.ws.store.tables.objects(node.digest):
                try:
                    self.ws.store.blobs.verify(digest)
                except SampanError as fault:
                    faults.append(fault.message)
            yield Compared(f"data {name}", not faults, faults[0] if faults else f"{node.ref}, every byte re-read")

    def _features(self) -> tuple[LabeledRows, list[Compared]]:
        """Compute the features anew: what the cache holds would prove nothing."""
        from sampan.workspace.feature_tables import labeled_rows, open_tables

        view, facts = self.recipe.view, self.recipe.model.facts
        with self.ws.progress.stage(f"Compute {len(view.features)} features anew"):
            table = self.ws.store.tables.create(view.batch(open_tables(self.ws, self.recipe.datasets))).digest
        rows = labeled_rows(self.ws, view, table, since=self.recipe.since, until=self.recipe.until, known_by=self.recipe.until)
        n_then = int(facts["n_rows"])
        return rows, [
            Compared("features", table == facts["table"], f"{len(view.features)} features"),
            Compared("rows", len(rows) == n_then, f"{len(rows):,} rows" + ("" if len(rows) == n_then else f", {n_then:,} then")),
        ]

    def _refit(self, matrix: NDArray[np.float32], rows: LabeledRows) -> tuple[NDArray[np.float64], NDArray[np.float64], Compared]:
        from sampan.store.scratch import scratch_folder
        from sampan.workspace.predictors import NATIVE
        from sampan.workspace.replaying import Fit, Replay

        model = self.recipe.model
        files = {
            each.path.removeprefix(f"{NATIVE}/"): each.digest
            for each in self.ws.catalog.artifacts(model.id)
            if each.path.startswith(f"{NATIVE}/")
        }
        probe = self._probe()
        with scratch_folder(self.ws.store.root / "scratch", "reproduce") as folder:
            code, then, now = folder / "code", folder / "then", folder / "now"
            code.mkdir()
            self.recipe.lay_out(self.ws, code)
            then.mkdir()
            for name, digest in files.items():
                (then / name).write_bytes(self.ws.store.blobs.read(digest))
            with (
                self.ws.progress.stage(f"Fit {model.name} again on {len(rows):,} rows"),
                Replay(code, self.recipe.program, model.name, python=self.where.python, threads=self.threads) as replay,
            ):
                replay.fit(Fit(matrix, rows.labels, self.recipe.params, probe[:1]), save=now)
                stored, replayed = replay.score([then, now], str(model.facts["flavor"]), probe)
            same = {name: digest_bytes((now / name).read_bytes()) == digest for name, digest in files.items() if (now / name).exists()}
        differ = [name for name in files if not same.get(name)]
        return (
            stored,
            replayed,
            Compared("model", not differ, f"{', '.join(differ)} differ" if differ else f"{len(files)} files, byte for byte"),
        )

    def _probe(self) -> NDArray[np.float32]:
        """Return the pinned rows as the model sees them: those it was tested on."""
        import io

        import numpy as np
        import polars as pl

        from sampan.workspace.predictors import REFERENCE

        digest = next(each.digest for each in self.ws.catalog.artifacts(self.recipe.model.id) if each.path == REFERENCE)
        frame = pl.read_parquet(io.BytesIO(self.ws.store.blobs.read(digest)))
        return np.ascontiguousarray(frame.select(self.recipe.fitted.names).to_numpy(), dtype=np.float32)

    def _cause(self, node: str) -> str:
        if not node:
            return ""
        if node.startswith("data"):
            return "the stored bytes are not those it was trained on: sampan fsck"
        if node in ("features", "rows", "encoders"):
            return "the features are computed otherwise: another version of Sampan or Polars"
        return (
            "data and features are the same, so it lies in the fit: another library version, another number of threads, another processor,"
            " or a seed that the training function does not set"
        )


def _differences(recorded: Any, where: Rebuilt) -> tuple[str, ...]:
    """Say how the replay's libraries differ from the recorded ones; a rebuilt environment has the very same."""
    if not where.is_present:
        return ()
    from sampan.engine.environment import capture

    now = capture()
    pairs = [(name, version, now.libraries.get(name, "not installed")) for name, version in where.libraries.items()]
    found = [f"{name} {then} → {present}" for name, then, present in pairs if then != present]
    if recorded.python != now.python:
        found.insert(0, f"Python {recorded.python} → {now.python}")
    if recorded.threads.get("usable") != now.threads.get("usable"):
        found.append(f"usable processors {recorded.threads.get('usable')} → {now.threads.get('usable')}")
    if recorded.cpu_model != now.cpu_model:
        found.append(f"processor {recorded.cpu_model} → {now.cpu_model}")
    return tuple(found)


def _pinned(text: str) -> tuple[str, str]:
    name, equals, version = text.partition("==")
    if not equals or not name or not version:
        raise ParameterError(f"{text!r} names no version", hint="write it as lightgbm==4.5.0")
    return name.lower().replace("_", "-"), version
