"""A package opened to answer: raw request rows in, probabilities out. The server, the probe and the latency check all use this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan import plugins
from sampan.core.decoding import decoder_of, read_json
from sampan.core.times import Millis
from sampan.engine.environment import Environment, capture, differences
from sampan.errors import IntegrityError, ParameterError
from sampan.evaluation.task import BINARY, Task
from sampan.features.encoding import UNSEEN
from sampan.features.fitted import FittedView
from sampan.features.graph import GraphInputs
from sampan.features.online import OnlineView
from sampan.features.scope import Scope, ScopeWatch
from sampan.features.sources import OnlineSources
from sampan.features.view import View
from sampan.flavors.onnx_graph import OnnxScorer
from sampan.flavors.parity import Parity
from sampan.ports import Flavor
from sampan.workspace.models.direct_scoring import AskedRows, open_direct
from sampan.workspace.models.online_tables import first_tables

if TYPE_CHECKING:
    import polars as pl

    from sampan.workspace.models.redis_tables import FeatureRedis

MANIFEST, FEATURES, GRAPH, NATIVE, PROBE = "package.json", "features.json", "model.onnx", "native", "probe.parquet"
COMPACT = "compact.onnx"  # the graph of a model of trees once more, with the same answers to the bit: smaller, and opened sooner
WHOLE = "whole.onnx"  # request fields in, features and score out; see features/graph.py for its inputs
ENVIRONMENT, ONLINE, CARD, REFERENCE = "environment.json", "online", "card.md", "reference.parquet"
SCOPE = "scope.json"  # what training showed of the features
EXPECTED = "__score"  # column of the probe set and of the reference rows


class PackageManifest(msgspec.Struct, frozen=True, kw_only=True):
    """`package.json`: what is in a package and how it is asked."""

    format: int = 1
    name: str
    version: str
    model: str
    view: str
    request_schema: dict[str, Any]
    keys: tuple[str, ...]
    slices: tuple[str, ...]
    feature_names: tuple[str, ...]
    families: dict[str, str]
    label: str
    threshold: float | None
    output: str = "score"
    until: Millis
    flavor: str
    served_by: str  # onnx | the flavor's name
    why_slow: str = ""
    takes_missing: bool = True  # whether it answers where a feature is missing
    environment: str
    inputs: GraphInputs | None = None  # of the whole graph; its fetched columns come from the online store
    whole: Parity | None = None  # of the whole graph against the native answers; where it did not pass, there is none
    purpose: str = ""
    owner: str = ""
    closed: tuple[str, ...] = ()  # fields whose text must be one that was seen: the model raises at others
    direct: bool = False  # the whole graph, or the pickle's process, answers from the rows; the features are for logs alone
    trusted: dict[str, str] = {}  # of a pickle: who trusts it, and why
    task: Task = BINARY  # what is asked: an outcome, a class of these, a number
    worth: tuple[tuple[float, ...], ...] = ()  # of classes: what deciding for each (inner) is worth where each (outer) is true
    scale: float = 1.0  # the unit that differences of answers are told in: 1 for probabilities, the spread of numbers


class PackagePredictor:
    """An opened package. `predict` may be called from many threads; `feed` from one at a time."""

    def __init__(self, folder: Path, *, redis: FeatureRedis | None = None, package: str = "") -> None:
        self.manifest = read_manifest(folder)
        self.name = self.manifest.name
        self.version = self.manifest.version
        self.feature_names: Sequence[str] = self.manifest.feature_names
        self._folder = folder
        try:
            fitted = FittedView.from_json((folder / FEATURES).read_bytes())
        except OSError as cause:
            raise IntegrityError(f"package {self.name} has no {FEATURES}", hint="pack the model again") from cause
        self._online = OnlineView(fitted, self._first_tables(fitted.view, redis, package))
        self.row_type = self._online.row_type  # rows decoded into it need no other check
        decoder_of(self.row_type)  # made ready here, by one thread
        self._watch = ScopeWatch(self._online, _read_scope(folder))
        self._score = open_direct(folder, self) if self.manifest.direct else load_scorer(folder, self.manifest)

    def _first_tables(self, view: View, redis: FeatureRedis | None, package: str) -> OnlineSources:
        until = self.manifest.until
        return first_tables(
            view, redis, package, lambda: OnlineSources.of_tables(view, _online_tables(self._folder), known_until=until), until=until
        )

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Return one score per row, shape (n,); a table of polars or pandas will do as rows."""
        return self.score(self.features(rows if isinstance(rows, list) else as_rows(rows)))

    def features(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
        """Return the feature matrix the model sees, shape (n, k)."""
        found = self._online.matrix(rows)
        if self.manifest.closed:
            self._refuse_unseen(found, rows)
        return AskedRows.of(found, rows) if self.manifest.direct else found

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one score per row of a feature matrix, shape (n,)."""
        if features.ndim != 2 or features.shape[1] != len(self.feature_names):
            raise ParameterError(f"features of shape {features.shape} are not (n, {len(self.feature_names)})", hint="see feature_names")
        if not self.manifest.takes_missing and np.isnan(features).any():
            row, column = np.argwhere(np.isnan(features))[0]
            raise ParameterError(
                f"row {row}: feature {self.feature_names[column]!r} is missing, and this model cannot answer without it",
                hint="send a value for the fields that the feature is made from",
            )
        return self._score(features)

    def _refuse_unseen(self, features: NDArray[np.float32], rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise ParameterError where a field has a text that the model was never shown and raises at."""
        for name in self.manifest.closed:
            unseen = np.flatnonzero(features[:, self.feature_names.index(name)] == UNSEEN)
            if len(unseen):
                row = int(unseen[0])
                raise ParameterError(
                    f"row {row}: field {name!r} is {rows[row][name]!r}, and this model answers none but those it was shown",
                    hint="send one of them, or adopt the model with rows that have it",
                )

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a request."""
        return tuple(self.manifest.request_schema)

    def tensors(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        """Return what goes into the package's whole graph for these rows."""
        return self._online.tensors(rows)

    def moments(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        """Return the moment each row speaks of, shape (n,)."""
        return self._online.moments(rows)

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to an online table: outcomes that arrived, new weather."""
        self._online.feed(table, rows)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that its online features look at; () where every feature comes from the request itself."""
        view = self._online.fitted.view
        return (*((view.on,) if view.event_columns() else ()), *view.tables)

    @property
    def view_table(self) -> str:
        """The table whose rows requests look like."""
        return self._online.fitted.view.on

    @property
    def online(self) -> OnlineView:
        """Its features, as they are answered online."""
        return self._online

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Look at every field of every row. Raises ParameterError naming field, value and expectation."""
        self._online.check(rows)

    def flags(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
        """Say per row what training never showed."""
        return self._online.flags(rows)

    def scope_notes(self, rows: Sequence[Mapping[str, Any]], features: NDArray[np.float32]) -> dict[int, tuple[str, ...]]:
        """Say of which rows, whose features are given, what lies beyond training; at next to no cost where nothing does."""
        return self._watch.notes(rows, features)

    def differences(self) -> list[str]:
        """Say in words how this process's environment differs from the one the model was trained in."""
        data = (self._folder / ENVIRONMENT).read_bytes()
        return differences(read_json(data, Environment), capture(self._folder))


def open_predictor(folder: Path, *, redis: FeatureRedis | None = None, package: str = "") -> PackagePredictor:
    """Open a package folder; with a Redis, its online tables are looked up there, under the package's id.

    Raises
    ------
    IntegrityError : a file is missing or broken.
    MissingDependency : the model is served natively and its library is not installed.
    """
    return PackagePredictor(folder, redis=redis, package=package)


def serving_files(paths: Iterable[str], *, served_by: str) -> set[str]:
    """Return which files of a package a server opens: a tenth of them, where the graph is what serves."""
    held = set(paths)
    if served_by != "onnx":
        return held
    opened = (MANIFEST, FEATURES, SCOPE, COMPACT if COMPACT in held else GRAPH, ENVIRONMENT)
    return {path for path in held if path in opened or path.startswith(f"{ONLINE}/")}


def load_package(folder: Path | str) -> PackagePredictor:
    """Open the folder of a package to ask it, wherever it is: `load_package("churn").predict(rows)`.

    `predict` takes rows as a list of dicts, or a table of polars or pandas, and returns one score per row.

    Raises
    ------
    IntegrityError : it is no package, or a file is missing or broken.
    MissingDependency : the model is served natively and its library is not installed.
    """
    return open_predictor(Path(folder).expanduser())


def read_manifest(folder: Path) -> PackageManifest:
    """Read a package's manifest."""
    try:
        return read_json((folder / MANIFEST).read_bytes(), PackageManifest)
    except (OSError, msgspec.DecodeError) as cause:
        raise IntegrityError(f"{folder} is no package: {cause}", hint="sampan model pack MODEL") from cause


def _read_scope(folder: Path) -> Scope:
    """Read what training showed; packages of earlier releases do not say it."""
    file = folder / SCOPE
    return read_json(file.read_bytes(), Scope) if file.exists() else Scope()


def as_rows(table: Any) -> Sequence[Mapping[str, Any]]:
    """Return a table of polars or pandas as rows; rows stay what they are."""
    if hasattr(table, "to_dicts"):  # of polars
        table = table.to_dicts()
    elif hasattr(table, "isna"):  # of pandas
        table = table.astype(object).where(~table.isna(), None).to_dict("records")
    return cast("Sequence[Mapping[str, Any]]", table)


def _online_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """Read the tables that a package carries to answer online. Polars is loaded for those that carry some."""
    if not (files := sorted((folder / ONLINE).glob("*.parquet"))):
        return {}
    import polars as pl

    return {file.stem: pl.read_parquet(file) for file in files}


class NativeScorer:
    """Scores with the model's own library: slower, and only where the exported graph was refused."""

    def __init__(self, flavor: Flavor, folder: Path) -> None:
        self._flavor = flavor
        self._model = flavor.load(folder)

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return one score per row, shape (n,)."""
        return self._flavor.predict(self._model, features)


def load_scorer(folder: Path, manifest: PackageManifest) -> OnnxScorer | NativeScorer:
    """Load what scores: the graph where it passed the parity gate, else the native model."""
    if manifest.served_by == "onnx":
        compact = folder / COMPACT
        try:
            return OnnxScorer((compact if compact.exists() else folder / GRAPH).read_bytes())
        except OSError as cause:
            raise IntegrityError(f"package {manifest.name} has no {GRAPH}", hint="pack the model again") from cause
    return NativeScorer(plugins.find("sampan.flavors", manifest.flavor)(), folder / NATIVE)
