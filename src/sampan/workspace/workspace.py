"""The workspace: one project's store, ledger, engine and rooms, opened lazily so that a command pays only for what it uses."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from sampan import plugins
from sampan.core.project import FILE_NAME, Project, load_project
from sampan.core.times import Clock, system_clock
from sampan.errors import NotFound, UsageError
from sampan.ports import Progress, Stage
from sampan.workspace.operation import ROOMS, Room

if TYPE_CHECKING:
    from sampan.engine.engine import Engine
    from sampan.ledger import Ledger
    from sampan.store.catalog import Catalog
    from sampan.store.places import S3Place
    from sampan.store.store import Store
    from sampan.workspace.audit import Audit
    from sampan.workspace.data.data import Data
    from sampan.workspace.governing.policy import Policy
    from sampan.workspace.home import Home
    from sampan.workspace.lineage.openlineage import OpenLineage
    from sampan.workspace.mlflow.exporting import Exports
    from sampan.workspace.mlflow.importing import Imports
    from sampan.workspace.models.models import Models
    from sampan.workspace.runs.runs import Runs
    from sampan.workspace.services.incidents import Incidents
    from sampan.workspace.services.monitors import Monitors
    from sampan.workspace.services.schedule import Schedule
    from sampan.workspace.services.services import Services

SomeRoom = TypeVar("SomeRoom", bound=Room)
STORE_FOLDER = ".sampan"
_USER_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # the order of the standard library


class SilentStage:
    """A stage nobody watches."""

    def advance(self, n: int = 1, note: str = "") -> None:
        """Do nothing."""


class SilentProgress:
    """Progress of a library call: none is shown."""

    @contextmanager
    def stage(self, title: str, *, total: int | None = None, unit: str = "") -> Iterator[Stage]:  # noqa: ARG002  # the port's signature
        """Open a stage nobody watches."""
        yield SilentStage()


class Workspace:
    """One project. Open it with `Workspace.open`; close it, or use it in a `with`, to release the store."""

    def __init__(self, root: Path, project: Project, *, actor: str, clock: Clock = system_clock, progress: Progress | None = None) -> None:
        self.root = root
        self.project = project
        self.actor = actor
        self.clock = clock
        self.progress: Progress = progress or SilentProgress()
        self._parts: dict[str, Any] = {}
        self._rooms: dict[str, Room] = {}
        # A server opens rooms from several threads; the parts must not be opened twice.
        self._lock = threading.RLock()

    @classmethod
    def open(
        cls,
        folder: Path | str = ".",
        *,
        create: bool = True,
        actor: str = "",
        clock: Clock = system_clock,
        progress: Progress | None = None,
    ) -> Self:
        """Open the project a folder belongs to: the nearest folder upward with a `sampan.toml` or a store, else the folder itself.

        Nothing is written before something needs the store.

        Parameters
        ----------
        create : with False, refuse a folder that belongs to no project
        actor : who acts, as the ledger records it; by default $SAMPAN_ACTOR or the user's name

        Raises
        ------
        UsageError : the folder does not exist.
        NotFound : `create` is False and there is no project.
        ProjectFileError : `sampan.toml` has faults.
        """
        start = Path(folder).expanduser().resolve()
        if not start.is_dir():
            what = "is a file" if start.exists() else "does not exist"
            raise UsageError(f"{start} {what}", hint="give the folder of a project")
        root = find_root(start)
        if root is None and not create:
            raise NotFound(f"{start} belongs to no project", hint="sampan data add FILE starts one")
        root = root or start
        return cls(root, load_project(root), actor=actor or current_actor(), clock=clock, progress=progress)

    @property
    def store_folder(self) -> Path:
        """Where the store's files are."""
        return self.root / self.project.store.folder

    @property
    def has_store(self) -> bool:
        """Say whether anything was ever stored here. Asking creates nothing."""
        return "store" in self._parts or bool(self.project.store.database) or self.store_folder.is_dir()

    @property
    def store(self) -> Store:
        """The store, made on first use."""
        with self._lock:
            if "store" not in self._parts:
                from sampan.store.store import Store

                self._parts["store"] = Store.open(self.store_folder, database=self.project.store.database, blobs=self._blobs_place())
            return cast("Store", self._parts["store"])

    def _blobs_place(self) -> S3Place | None:
        from sampan.store.places import S3Place

        said = self.project.store
        if not said.blobs:
            return None
        return S3Place(address=said.blobs, endpoint=said.endpoint, region=said.region, cache_bytes=said.cache_gb << 30)

    @property
    def catalog(self) -> Catalog:
        """The read side of the store."""
        return self.store.catalog

    @property
    def ledger(self) -> Ledger:
        """The one writer."""
        with self._lock:
            if "ledger" not in self._parts:
                from sampan.ledger import Ledger

                self._parts["ledger"] = Ledger(self.store, actor=self.actor, clock=self.clock)
            return cast("Ledger", self._parts["ledger"])

    @property
    def engine(self) -> Engine:
        """What runs steps."""
        with self._lock:
            if "engine" not in self._parts:
                from sampan.engine.engine import Engine

                self._parts["engine"] = Engine(self.store, self.ledger, progress=self.progress)
            return cast("Engine", self._parts["engine"])

    @overload
    def room(self, noun: str) -> Room: ...

    @overload
    def room(self, noun: type[SomeRoom]) -> SomeRoom: ...

    def room(self, noun: str | type[SomeRoom]) -> Room | SomeRoom:
        """Return a room by its noun, ours or a plug-in's ("" is the top level), or by its class.

        Raises
        ------
        NotFound : no room has this noun.
        """
        name = noun if isinstance(noun, str) else noun.noun
        with self._lock:
            if name not in self._rooms:
                self._rooms[name] = plugins.find(ROOMS, name)(self)
            return self._rooms[name]

    @property
    def home(self) -> Home:
        """The top-level verbs: status, lineage, log, gc, fsck, doctor."""
        return cast("Home", self.room(""))

    @property
    def audit(self) -> Audit:
        """Verify and read the ledger."""
        return cast("Audit", self.room("audit"))

    @property
    def data(self) -> Data:
        """Datasets, their contracts and checks."""
        return cast("Data", self.room("data"))

    @property
    def model(self) -> Models:
        """Models: evaluate, decide, promote, package."""
        return cast("Models", self.room("model"))

    @property
    def openlineage(self) -> OpenLineage:
        """Tell others what ran on what, and take up what they tell."""
        return cast("OpenLineage", self.room("openlineage"))

    @property
    def imports(self) -> Imports:
        """What other tools recorded, brought here."""
        return cast("Imports", self.room("import"))

    @property
    def exports(self) -> Exports:
        """What is here, written for other tools."""
        return cast("Exports", self.room("export"))

    @property
    def policy(self) -> Policy:
        """What data may be used for."""
        return cast("Policy", self.room("policy"))

    @property
    def run(self) -> Runs:
        """Runs: record, list, compare."""
        return cast("Runs", self.room("run"))

    @property
    def schedule(self) -> Schedule:
        """The scheduler: do what is due."""
        return cast("Schedule", self.room("schedule"))

    @property
    def service(self) -> Services:
        """Services: deploy, watch traffic, roll back."""
        return cast("Services", self.room("service"))

    @property
    def monitor(self) -> Monitors:
        """Monitors: drift and live quality by window."""
        return cast("Monitors", self.room("monitor"))

    @property
    def incident(self) -> Incidents:
        """Incidents: what went wrong and what was done."""
        return cast("Incidents", self.room("incident"))

    def close(self) -> None:
        """Release the engine's workers and the store. Closing again does nothing."""
        with self._lock:
            for name in ("engine", "ledger", "store"):
                part = self._parts.pop(name, None)
                if part is not None and hasattr(part, "close"):
                    part.close()
            self._rooms.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"


def find_root(start: Path) -> Path | None:
    """Return the nearest folder from `start` upward that holds a project file or a store, or None.

    The search ends at the home folder, and before a folder that anyone may write to (like /tmp): a stranger could have
    put a project there.
    """
    for folder in chain((start,), start.parents):
        if folder != start and _anyone_may_write(folder):
            return None
        if (folder / FILE_NAME).is_file() or (folder / STORE_FOLDER).is_dir():
            return folder
        if folder == Path.home():
            return None
    return None


def current_actor() -> str:
    """Name who acts: $SAMPAN_ACTOR or the user's name."""
    if name := os.environ.get("SAMPAN_ACTOR", "").strip():
        return name
    return next((name for key in _USER_NAMES if (name := os.environ.get(key, ""))), "") or _login_name(os.getuid())


@cache
def _login_name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run under a number without a name
        return f"uid {uid}"


def _anyone_may_write(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return True
