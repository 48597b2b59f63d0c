"""The Protocols a plug-in implements. Everything replaceable in Sampan is one of these; `plugins.py` finds the implementations.

Conformance suites for plug-in authors are in `sampan.testing`; our own implementations pass the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from sampan.core.digests import Digest, digest_stream
from sampan.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


@runtime_checkable
class Blobs(Protocol):
    """Content-addressed bytes. Immutable, idempotent puts; a put that returned survives a crash of the process and of the machine."""

    def put(self, data: bytes) -> Digest:
        """Store bytes; storing them again changes nothing."""
        ...

    def put_file(self, path: Path) -> tuple[Digest, int]:
        """Store a copy of a file; return its digest and size in bytes."""
        ...

    def open(self, digest: Digest) -> IO[bytes]:
        """Open for reading. Raises BlobUnavailable if it is not there."""
        ...

    def read(self, digest: Digest) -> bytes:
        """Return all bytes, checked against the digest. Raises IntegrityError naming the digest if they differ."""
        ...

    def path(self, digest: Digest) -> Path:
        """Return a local read-only file with these bytes (a remote store fetches it into its cache)."""
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether the bytes are there."""
        ...

    def size(self, digest: Digest) -> int:
        """Return the size in bytes."""
        ...

    def digests(self) -> Iterator[Digest]:
        """Iterate over everything stored, in no order."""
        ...

    def verify(self, digest: Digest) -> None:
        """Re-read and re-hash. Raises IntegrityError or BlobUnavailable."""
        ...

    def delete(self, digest: Digest) -> int:
        """Free the bytes (only `gc` calls this); return how many were freed, 0 if it was not there."""
        ...


class Task(Protocol):
    """A unit of work an executor can carry to another process: `call(*args)` of an importable function."""

    @property
    def key(self) -> str:
        """What its outcome comes back under."""
        ...

    @property
    def call(self) -> Callable[..., Any]:
        """The function."""
        ...

    @property
    def args(self) -> tuple[Any, ...]:
        """Its arguments."""
        ...

    @property
    def cpu(self) -> int:
        """How many of the executor's slots it fills."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Runs tasks somewhere. An executor reports outcomes and never records them."""

    slots: int

    def submit(self, task: Task) -> None:
        """Take a task on; it starts when there are slots for it."""
        ...

    def wait(self, timeout_s: float | None = None) -> tuple[str, Any | BaseException] | None:
        """Return (key, result or exception) of a task that ended, None when time is out or nothing was submitted."""
        ...

    def map(self, tasks: Sequence[Task]) -> Iterator[tuple[str, Any | BaseException]]:
        """Run tasks, in any order and in parallel if it can; yield (key, result or exception) as each ends."""
        ...

    def close(self) -> None:
        """Stop the workers."""
        ...


@runtime_checkable
class Check(Protocol):
    """A kind of contract rule. The rule's parameters come from the contract file; `violations` marks the rows that break it."""

    name: str
    level: str  # block | warn, when the contract does not say

    def describe(self, column: str, parameters: Mapping[str, Any]) -> str:
        """Say the rule in words a person who owns the data would use."""
        ...

    def violations(self, column: str, parameters: Mapping[str, Any]) -> pl.Expr:
        """Return a Boolean expression over the table's columns, true where the row breaks the rule, never null."""
        ...


@runtime_checkable
class Flavor(Protocol):
    """A kind of fitted model that can be saved safely, loaded, and turned into an ONNX graph."""

    name: str

    def matches(self, model: object) -> bool:
        """Say whether this flavor is responsible for `model`."""
        ...

    def save(self, model: object, folder: Path) -> None:
        """Write files that `load` reads. No pickle."""
        ...

    def load(self, folder: Path) -> object:
        """Read what `save` wrote."""
        ...

    def predict(self, model: object, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Answer float32 features (n, k): the chance of the positive class or a number, shape (n,); that of each of m classes, (n, m)."""
        ...

    def to_onnx(self, model: object, n_features: int) -> bytes:
        """Return an ONNX graph: float32 (n, k) `features` in, float32 `score` out, shaped as `predict` answers. Raises Unsupported."""
        ...


class Predictor(Protocol):
    """A loaded package: raw request rows in, probabilities out. What a server serves.

    `predict(rows)` equals `score(features(rows))`; a server calls the two halves, since it logs what lies between.
    """

    name: str
    version: str

    @property
    def feature_names(self) -> Sequence[str]:
        """The columns of `features`, in their order."""
        ...

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
        """Return one score per row, shape (n,) float64; of m classes (n, m). Raises ParameterError naming field, value and expectation."""
        ...

    def features(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
        """Return the feature matrix the model sees, shape (n, k) float32, for the prediction log and drift. Raises as `predict` does."""
        ...

    def score(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return one score per row of a feature matrix, shape (n,) float64; of m classes (n, m)."""
        ...

    def moments(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any] | None:
        """Return the moment each row speaks of, shape (n,) int64 Millis; None where the rows carry no event time."""
        ...

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows to an online feature table (labels that arrived, new weather)."""
        ...


class Stage(Protocol):
    """One piece of long work, shown to the person who waits."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Say that `n` more units are done."""
        ...


class Progress(Protocol):
    """Where long work reports. The CLI draws it on stderr; a server keeps it for the page; a library call is silent."""

    def stage(self, title: str, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Stage]:
        """Open a stage; leaving it ends it."""
        ...


class Gain(msgspec.Struct, frozen=True, kw_only=True):
    """How much better a form's metric is than its model's own, with its interval; negative where it is worse.

    Both were fitted on the rows before the ones that they are judged on here.
    """

    metric: str
    value: float
    low: float
    high: float
    n_rows: int
    costs_more: bool = False  # deciding by it is shown to cost more

    @property
    def loss(self) -> float:
        """Return how much worse the metric may be: the far end of the interval."""
        return -self.low

    def __str__(self) -> str:
        cost = ", and decisions cost more" if self.costs_more else ""
        return f"{self.metric} gained {self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f}){cost}"


class SmallerForms(Protocol):
    """Smaller forms of a packaged model, from where its rows and its training code are at hand. Nothing is trained before it is asked for.

    A form is named as `sampan model optimise` names it, "" is the model itself.
    """

    @property
    def why_not(self) -> str:
        """Why there are none, "" where there are."""
        ...

    def trained(self, tries: int) -> Iterator[tuple[str, bytes]]:
        """Train smaller, at most so often; yield the forms' names and graphs, of the fits that are judged."""
        ...

    def judge(self, form: str, answer: Callable[[bytes, Any], Any] | None = None) -> Gain | None:
        """Hold a form against the model on rows that neither learned from; None where they do not suffice.

        `answer` answers rows by a graph in another way than ONNX does, such as by generated code.
        """
        ...

    def make(self, form: str, *, allowed_loss: float | None) -> Path:
        """Make a version of a form, hold it to its gate and return its package's folder.

        Raises
        ------
        NotFound : there is no such form.
        GateRejected : the version may not take its model's place; it is kept, with the decision.
        """
        ...


class TargetOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked of a target. A target refuses what it cannot heed: an option is never ignored."""

    budget: dict[str, float] = {}  # by name, such as {"flash": 65536, "ms": 5}; see core/budgets.py
    base: Path | None = None  # what to build on: an image's base as folder or tar
    settings: dict[str, str] = {}  # of this target alone, such as {"replicas": "3"}; see core/settings.py
    forms: SmallerForms | None = None  # smaller forms of the model, where it does not fit; None where the workspace hands none in
    cache: Path | None = None  # a folder for what takes long to make again; all of it may be deleted at any time

    def refuse_base(self, why: str, *, hint: str = "leave --base out") -> None:
        """Raise ParameterError where a base is given: for targets that build on none."""
        if self.base is not None:
            raise ParameterError(why, parameter="base", hint=hint)


class BuiltFile(msgspec.Struct, frozen=True):
    """A file that a target made."""

    path: str  # within the folder it was asked to fill
    size_bytes: int
    digest: Digest


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What a target made of a package, and what it measured."""

    files: tuple[BuiltFile, ...]
    facts: dict[str, str | int | float | bool | None] = {}  # flat: they become facts of the build in lineage
    warnings: tuple[str, ...] = ()
    next: tuple[str, ...] = ()  # commands to go on with; "{out}" in one stands for the folder, which gets its name only when it is full

    @classmethod
    def of(
        cls,
        folder: Path,
        *,
        facts: dict[str, str | int | float | bool | None] | None = None,
        warnings: tuple[str, ...] = (),
        next: tuple[str, ...] = (),  # noqa: A002  # the name every answer gives it
    ) -> Built:
        """Say that a folder's files are what was made."""
        found = []
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            with path.open("rb") as stream:
                digest, size = digest_stream(stream)
            found.append(BuiltFile(path.relative_to(folder).as_posix(), size, digest))
        return cls(files=tuple(found), facts=facts or {}, warnings=warnings, next=next)


class Target(Protocol):
    """A place a package is made ready for: an image, a manifest, a board, a browser.

    It is made with the name it was asked by, so that one class may serve several: `find("sampan.targets", name)(name)`.
    """

    name: str

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Fill the empty folder `out` from a package's folder, which is only read; the same package gives the same bytes.

        Raises
        ------
        ParameterError : an option that this target does not know or cannot heed.
        BudgetExceeded : what was built does not fit the budget; the error carries what was measured.
        Unsupported : the package holds what this target cannot carry.
        """
        ...
