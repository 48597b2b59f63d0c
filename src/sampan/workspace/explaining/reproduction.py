"""One model's way from data to predictions, gone again in a clean process, and each node compared with what was kept."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.core.digests import digest_bytes
from sampan.engine.environment import Environment, capture
from sampan.engine.executors import THREAD_LIMITS
from sampan.errors import SampanError
from sampan.features import view_tables
from sampan.flavors.parity import distances
from sampan.store.scratch import scratch_folder
from sampan.workspace.explaining.rebuilding import Rebuilt
from sampan.workspace.explaining.replaying import Fit, Recipe, Replay
from sampan.workspace.explaining.reproduction_answers import Compared, Reproduced, Verdict
from sampan.workspace.models.predictors import NATIVE, REFERENCE
from sampan.workspace.training.feature_tables import LabeledRows, labeled_rows, open_tables

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

# Where none of these was set, libraries took as many threads as there were processors.
_BY_PROCESSORS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ORDER: Final = "sums taken in another order round otherwise"


class Replayed(Reproduced, frozen=True, kw_only=True):
    """A reproduction with the spread of the differences."""

    quantiles: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a replay runs: the libraries it fits with, those that read the kept model, and the thread limits."""

    fits: Rebuilt
    reads: Rebuilt
    threads: Mapping[str, str]
    differences: tuple[str, ...] = ()  # from the recorded environment, in words


def thread_limits(recorded: Environment, threads: int) -> dict[str, str]:
    """Return the variables that give a replay as many threads as the training had, or as many as asked for.

    Libraries that were told nothing took as many as there were processors; on a machine with more or fewer they are told that number.
    """
    if threads:
        return dict.fromkeys(THREAD_LIMITS, str(threads))
    then = recorded.threads
    limits: dict[str, str] = {name: then[name] for name in THREAD_LIMITS if name in then}
    if then.get("usable") and then["usable"] != capture().threads.get("usable"):
        limits = {**dict.fromkeys(_BY_PROCESSORS, then["usable"]), **limits}
    return limits


def differences(recorded: Environment, where: Rebuilt, *, threads: int = 0) -> tuple[str, ...]:
    """Say how a replay's surroundings differ from the recorded ones; a rebuilt environment has the very same libraries."""
    now = capture()
    found = []
    if where.is_present:
        pairs = [(name, version, now.libraries.get(name, "not installed")) for name, version in where.libraries.items()]
        found = [f"{name} {then} → {present}" for name, then, present in pairs if then != present]
        if recorded.python != now.python:
            found.insert(0, f"Python {recorded.python} → {now.python}")
    if threads:
        then = recorded.threads.get("OMP_NUM_THREADS") or recorded.threads.get("usable", "unknown")
        found.append(f"threads {then} → {threads}")
    elif recorded.threads.get("usable") != now.threads.get("usable"):
        found.append(f"usable processors {recorded.threads.get('usable')} → {now.threads.get('usable')}")
    if recorded.cpu_model != now.cpu_model:
        found.append(f"processor {recorded.cpu_model} → {now.cpu_model}")
    if recorded.gpus != now.gpus:
        found.append(f"GPU {', '.join(recorded.gpus) or 'none'} → {', '.join(now.gpus) or 'none'}")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Refitted:
    stored: NDArray[np.float64]
    replayed: NDArray[np.float64]
    model: Compared
    is_steady: bool  # fitted twice in the same process, it answers the same


class Cone:
    """All that a model was made from, gone through again."""

    def __init__(self, ws: Workspace, recipe: Recipe, around: Surroundings) -> None:
        self.ws = ws
        self.recipe = recipe
        self.around = around

    def replay(self, tolerance: float) -> Replayed:
        """Go all the way, and compare each node with what was kept."""
        began = time.monotonic()
        nodes = list(self._data())
        rows, told = self._features()
        nodes += told
        fitted = view_tables.fit(self.recipe.view, rows.frame)
        same = fitted.to_json() == self.recipe.fitted.to_json()
        nodes.append(Compared("encoders", same, f"{len(fitted.encoders)} fitted encoders"))
        refitted = self._refit(fitted.matrix(rows.frame), rows)
        nodes.append(refitted.model)
        is_equal = bool(np.array_equal(refitted.stored, refitted.replayed))
        nodes.append(Compared("predictions", is_equal, f"{len(refitted.stored):,} pinned rows"))
        scale = float(self.recipe.model.facts["parity"].get("scale", 1.0))
        difference = distances(refitted.stored, refitted.replayed, scale=scale)
        largest = float(difference.max(initial=0.0))
        verdict: Verdict = "bit-equal" if is_equal else "within tolerance" if largest <= tolerance else "different"
        first = "" if is_equal else next(each.node for each in nodes if not each.same)
        return Replayed(
            model=self.recipe.model.ref,
            verdict=verdict,
            n_probe=len(difference),
            n_moved=int((difference > 0).sum()),
            max_difference=largest,
            mean_difference=float(difference.mean()),
            tolerance=tolerance,
            nodes=tuple(nodes),
            diverges_at=first,
            likely_cause=self._cause(first, is_steady=refitted.is_steady),
            environment=self.around.differences,
            rebuilt=not self.around.fits.is_present,
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
        view, facts = self.recipe.view, self.recipe.model.facts
        with self.ws.progress.stage(f"Compute {len(view.features)} features anew"):
            table = self.ws.store.tables.create(view_tables.batch(view, open_tables(self.ws, self.recipe.datasets))).digest
        task, until = self.recipe.task, self.recipe.until
        rows = labeled_rows(self.ws, view, table, task=task, since=self.recipe.since, until=until, known_by=until)
        n_then = int(facts["n_rows"])
        return rows, [
            Compared("features", table == facts["table"], f"{len(view.features)} features"),
            Compared("rows", len(rows) == n_then, f"{len(rows):,} rows" + ("" if len(rows) == n_then else f", {n_then:,} then")),
        ]

    def _refit(self, matrix: NDArray[np.float32], rows: LabeledRows) -> _Refitted:
        model, probe = self.recipe.model, self._probe()
        with scratch_folder(self.ws.store.root / "scratch", "reproduce") as folder:
            code, then, now = folder / "code", folder / "then", folder / "now"
            code.mkdir()
            self.recipe.lay_out(self.ws, code)
            files = self._native(then)
            with (
                self.ws.progress.stage(f"Fit {model.name} again on {len(rows):,} rows"),
                self._process(code, self.around.fits) as replay,
            ):
                wanted = Fit(matrix, rows.labels, self.recipe.params, probe)
                once = replay.fit(wanted, save=now).scores
                flavor = str(model.facts["flavor"])
                (replayed,) = replay.score([now], flavor, probe)
                stored = self._stored(replay, code, then, probe)
                is_steady = bool(np.array_equal(stored, replayed)) or bool(np.array_equal(once, replay.fit(wanted).scores))
            differ = [name for name, digest in files.items() if not _is(now / name, digest)]
        what = f"{', '.join(differ)} differ" if differ else f"{len(files)} files, byte for byte"
        return _Refitted(stored, replayed, Compared("model", not differ, what), is_steady)

    def _stored(self, replay: Replay, code: Path, then: Path, probe: NDArray[np.float32]) -> NDArray[np.float64]:
        """Ask the kept model, by the libraries it was kept with."""
        flavor = str(self.recipe.model.facts["flavor"])
        if self.around.reads == self.around.fits:
            return replay.score([then], flavor, probe)[0]
        with self._process(code, self.around.reads) as reading:
            return reading.score([then], flavor, probe)[0]

    def _process(self, code: Path, where: Rebuilt) -> Replay:
        return Replay(code, self.recipe.program, self.recipe.model.name, python=where.python, threads=self.around.threads)

    def _native(self, folder: Path) -> dict[str, str]:
        """Lay the kept model out in a folder; return the digests of its files by name."""
        folder.mkdir()
        own = [each for each in self.ws.catalog.artifacts(self.recipe.model.id) if each.path.startswith(f"{NATIVE}/")]
        files = {each.path.removeprefix(f"{NATIVE}/"): each.digest for each in own}
        for name, digest in files.items():
            (folder / name).write_bytes(self.ws.store.blobs.read(digest))
        return files

    def _probe(self) -> NDArray[np.float32]:
        """Return the pinned rows as the model sees them: those it was tested on."""
        digest = next(each.digest for each in self.ws.catalog.artifacts(self.recipe.model.id) if each.path == REFERENCE)
        frame = pl.read_parquet(io.BytesIO(self.ws.store.blobs.read(digest)))
        return np.ascontiguousarray(frame.select(self.recipe.fitted.names).to_numpy(), dtype=np.float32)

    def _cause(self, node: str, *, is_steady: bool) -> str:
        if not node:
            return ""
        if node.startswith("data"):
            return "the stored bytes are not those it was trained on: sampan fsck"
        if node in ("features", "rows", "encoders"):
            return "the features are computed otherwise: another version of Sampan or Polars"
        if not is_steady:
            return (
                "fitted twice in one process it differs too: a seed that the training function does not set, or threads that share out work"
                " in no fixed order"
            )
        if self.around.differences:
            return f"data and features are the same, so it lies in what differs around it: {'; '.join(self.around.differences)} ({_ORDER})"
        return (
            "data, features, libraries and processor are the same, and each fit gives the same again: something outside of what is recorded"
        )


def _is(file: Path, digest: str) -> bool:
    return file.exists() and digest_bytes(file.read_bytes()) == digest
