"""The model room's verbs for models from elsewhere: bring a pickled pipeline, and say that it is trusted.

A pickle runs code when it is read. So nothing here reads one before a named person said why it may be; then it is read in a process of its
own, and only to be turned into data. Where it cannot be, that process answers for it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.answers import Answer
from sampan.core.changes import AddEdge, AddNode, Change
from sampan.core.digests import digest_value
from sampan.core.events import Event, new_id
from sampan.core.graph import Node, NodeId
from sampan.errors import AccessDenied, ParameterError
from sampan.workspace.models.events import FilesCommitted
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    import polars as pl

PICKLE = "pickle"  # the flavor
TRUST = "trust"  # the kind of node
ROWS, FILE = "rows.parquet", "native/model"
_SUFFIXES = (".pkl", ".pickle", ".joblib")


class ModelAdopted(FilesCommitted, frozen=True, kw_only=True):
    """Someone brought a fitted model from elsewhere. Nothing of it was run."""

    type: ClassVar[str] = "model_adopted"


class ModelTrusted(Event, frozen=True, kw_only=True):
    """A named person said that a pickled model may be read, which runs what is in it."""

    type: ClassVar[str] = "model_trusted"

    node: NodeId
    name: str
    model: NodeId
    facts: dict[str, Any]  # by, reason, digest of the model's version

    def subject(self) -> NodeId:
        """Return the model."""
        return self.model

    def changes(self) -> tuple[Change, ...]:
        """Add the act, on the version."""
        return (AddNode(id=self.node, kind=TRUST, name=self.name, facts=self.facts), AddEdge(dst=self.node, src=self.model, role="input"))


class Adopted(Answer, frozen=True, kw_only=True):
    """A model that was brought from elsewhere."""

    model: str
    n_rows: int
    columns: tuple[str, ...]
    made: bool

    def text(self) -> str:
        """Say what it takes, and what it waits for."""
        how = "is kept" if self.made else "was kept before"
        return f"{self.model} {how}, asked by {len(self.columns)} columns, {self.n_rows:,} rows to compare on; nobody has trusted it yet"


class Trusted(Answer, frozen=True, kw_only=True):
    """A model that somebody answers for."""

    model: str
    by: str
    reason: str

    def text(self) -> str:
        """Say who trusts it, and why."""
        return f"{self.by} trusts {self.model}: {self.reason}"


class Adopting(Room):
    """The verbs for models from elsewhere."""

    noun: ClassVar[str] = "model"

    @operation(local=True)
    def adopt(self, file: Path, rows: Path, *, name: str, label: str = "", purpose: str = "") -> Adopted:
        """Bring a fitted scikit-learn pipeline as a pickle, with rows as it is asked. Nothing in it is run yet.

        Parameters
        ----------
        file : the pickle, .pkl or .joblib
        rows : real rows it takes, Parquet or CSV; what is packed is compared with it on these
        name : what to call the model
        label : a column of the rows that the model is not given
        purpose : what it is for
        """
        from sampan.workspace.models.adopted_packages import adopted_view
        from sampan.workspace.training.learning import store_folder

        if file.suffix not in _SUFFIXES or not file.is_file():
            raise ParameterError(f"{file} is no pickle that can be read", parameter="file", hint="give a file ending in .pkl or .joblib")
        frame = _read_rows(rows, label)
        fitted = adopted_view(name, frame)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "native").mkdir()
            (folder / f"{FILE}{file.suffix}").write_bytes(file.read_bytes())
            (folder / "features.json").write_bytes(fitted.to_json())
            frame.write_parquet(folder / ROWS)
            files = store_folder(self.ws, folder)
        digest = digest_value(sorted((each.path, each.digest) for each in files))
        existing = self.ws.catalog.find_version("model", name, digest)
        if existing is None:
            facts = _facts(fitted, frame, self.ws.clock(), purpose or self.ws.project.project.purpose)
            size = sum(each.size for each in files)
            event = ModelAdopted(node=new_id(), kind="model", name=name, digest=digest, size=size, facts=facts, files=files)
            self.ws.ledger.append(event)
            existing, made = self.ws.catalog.node(event.node), True
        else:
            made = False
        following = f"sampan model trust {quote(existing.ref)} --reason WHY"
        return Adopted(model=existing.ref, n_rows=frame.height, columns=tuple(frame.columns), made=made, next=(following,))

    @operation()
    def trust(self, model: str, *, reason: str) -> Trusted:
        """Say, in your own name, that a pickled model may be read, which runs what is in it.

        Parameters
        ----------
        model : such as churn@v1
        reason : why, in words: who made it, and how you know
        """
        node = self.ws.catalog.resolve(model, kind="model")
        if node.facts.get("flavor") != PICKLE:
            raise ParameterError(f"{node.ref} is no pickle: it is kept as data, and needs no trust", parameter="model")
        if not reason.strip():
            raise ParameterError(
                "trust needs a reason", parameter="reason", hint="--reason 'trained by our team on 3 May, file from its bucket'"
            )
        facts = {"by": self.ws.actor, "reason": reason.strip(), "digest": node.digest}
        self.ws.ledger.append(ModelTrusted(node=new_id(), name=node.name, model=node.id, facts=facts), reason=reason.strip())
        return Trusted(model=node.ref, by=self.ws.actor, reason=reason.strip(), next=(f"sampan model pack {quote(node.ref)}",))


def trust_of(ws: Any, model: Node) -> dict[str, str]:
    """Return who trusts a pickled model, and why.

    Raises
    ------
    AccessDenied : nobody does.
    """
    acts = [ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(model.id) if edge.role == "input"]
    found = [act for act in acts if act.kind == TRUST and act.facts["digest"] == model.digest]
    if not found:
        raise AccessDenied(
            f"{model.ref} is a pickle, which runs code when it is read, and nobody has trusted it",
            hint=f"sampan model trust {quote(model.ref)} --reason WHY",
        )
    newest = max(found, key=lambda act: act.seq)
    return {"by": str(newest.facts["by"]), "reason": str(newest.facts["reason"])}


def _read_rows(file: Path, label: str) -> pl.DataFrame:
    import polars as pl

    try:
        frame = pl.read_csv(file) if file.suffix == ".csv" else pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as cause:
        raise ParameterError(f"{file} cannot be read as rows: {cause}", parameter="rows", hint="give a Parquet or CSV file") from cause
    if label and label not in frame.columns:
        raise ParameterError(f"the rows have no column {label!r}", parameter="label", hint=f"they have {', '.join(frame.columns)}")
    if not frame.height:
        raise ParameterError(f"{file} has no rows to compare on", parameter="rows", hint="give a few hundred real ones")
    return frame.drop(label) if label else frame


def _facts(fitted: Any, frame: pl.DataFrame, now: int, purpose: str) -> dict[str, Any]:
    view = fitted.view
    return {
        "adopted": True,
        "view": view.digest,
        "on": view.on,
        "features": list(fitted.names),
        "families": fitted.families,
        "flavor": PICKLE,
        "params": {},
        "threshold": None,
        "since": now,
        "until": now,
        "n_rows": frame.height,
        "objective": msgspec.to_builtins(_objective()),
        "datasets": {},
        "metrics": {},
        "labels": None,
        "purpose": purpose,
        "parity": {"passed": False, "reason": "it is a pickle"},
    }


def _objective() -> Any:
    from sampan.evaluation.objective import objective

    return objective()
