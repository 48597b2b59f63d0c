"""The bill of materials of a model, as CycloneDX 1.6: the model, the data it was trained on, the libraries and the system behind it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import msgspec

from sampan import __version__
from sampan.core.answers import Answer
from sampan.core.graph import Node
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    from sampan.engine.environment import Environment
    from sampan.workspace.workspace import Workspace

SPEC = "1.6"


class Billed(Answer, frozen=True, kw_only=True):
    """A model's bill of materials."""

    model: str
    n_libraries: int
    n_datasets: int
    document: dict[str, Any]
    file: str = ""

    def text(self) -> str:
        """Say what is in it, and show it where it was not written to a file."""
        head = f"{self.model}: {self.n_libraries} libraries, {self.n_datasets} dataset versions (CycloneDX {SPEC})"
        if self.file:
            return f"{head}, written to {self.file}"
        return msgspec.json.format(msgspec.json.encode(self.document), indent=2).decode()


class Bills(Room):
    """The verb that lists what a model is made of."""

    noun: ClassVar[str] = "model"

    @operation(local=True)
    def bom(self, model: str, *, out: Path | None = None) -> Billed:
        """List what a model is made of, as a CycloneDX bill of materials.

        The same model gives the same bill, byte for byte.

        Parameters
        ----------
        model : such as flights-late@champion
        out : the file to write, such as model.cdx.json; else the bill is printed
        """
        from sampan.workspace.explaining.replaying import model_node

        node = model_node(self.ws, model)
        document = bill(self.ws, node)
        if out is not None:
            out.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        n_datasets = sum(each["type"] == "data" for each in document["components"])
        return Billed(
            model=node.ref,
            n_libraries=sum(each["type"] == "library" for each in document["components"]),
            n_datasets=n_datasets,
            document=document,
            file=str(out or ""),
            next=(f"sampan upgrade-check {node.ref} LIBRARY==VERSION",),
        )


def bill(ws: Workspace, model: Node, *, environment: Environment | None = None) -> dict[str, Any]:
    """Return a model's bill of materials.

    Parameters
    ----------
    environment : by default the one that is kept with the model

    References
    ----------
    OWASP (2024), "CycloneDX Specification 1.6", ECMA-424.
    """
    from sampan.workspace.environments import environment_of

    environment = environment or environment_of(ws, model)
    datasets = [ws.catalog.node(node) for node in dict.fromkeys(model.facts["datasets"].values())]
    about = _model(model, datasets)
    libraries = [_library(name, version) for name, version in sorted(environment.libraries.items())]
    components = [_system(environment), *libraries, *map(_dataset, datasets)]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.UUID(model.id)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(model.created / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "tools": {"components": [{"type": "application", "name": "sampan", "version": __version__}]},
            "component": about,
        },
        "components": components,
        "dependencies": [{"ref": about["bom-ref"], "dependsOn": [each["bom-ref"] for each in components]}],
    }


def _model(model: Node, datasets: list[Node]) -> dict[str, Any]:
    metrics = model.facts.get("metrics", {})
    measured = [
        {
            "type": name,
            "value": f"{found['value']:.6g}",
            "confidenceInterval": {"lowerBound": str(found["low"]), "upperBound": str(found["high"])},
        }
        if found.get("low") is not None
        else {"type": name, "value": f"{found['value']:.6g}"}
        for name, found in metrics.items()
        if found.get("value") is not None
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.ref}",
        "name": model.name,
        "version": f"v{model.version}",
        "properties": [{"name": "sampan:digest", "value": model.digest}, {"name": "sampan:flavor", "value": str(model.facts["flavor"])}],
        "modelCard": {
            "modelParameters": {
                "task": "classification",
                "datasets": [{"ref": f"data:{node.ref}"} for node in datasets],
                "inputs": [{"format": name} for name in model.facts["features"]],
            },
            "quantitativeAnalysis": {"performanceMetrics": measured},
        },
    }


def _library(name: str, version: str) -> dict[str, Any]:
    address = f"pkg:pypi/{quote(name)}@{quote(version)}"
    return {"type": "library", "bom-ref": address, "name": name, "version": version, "purl": address}


def _system(environment: Environment) -> dict[str, Any]:
    return {
        "type": "platform",
        "bom-ref": "platform:python",
        "name": environment.implementation,
        "version": environment.python,
        "description": f"{environment.os}, {environment.machine}, {environment.cpu_model}",
    }


def _dataset(node: Node) -> dict[str, Any]:
    return {
        "type": "data",
        "bom-ref": f"data:{node.ref}",
        "name": node.name,
        "version": f"v{node.version}",
        "properties": [
            {"name": "sampan:digest", "value": node.digest},
            {"name": "sampan:rows", "value": str(node.facts.get("n_rows", ""))},
        ],
    }
