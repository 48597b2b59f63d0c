"""What a package says of itself to people and programs: the schema of a request, examples, what to install, what it was made of, cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.decoding import read_json
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.engine.environment import Environment
from sampan.errors import SampanError
from sampan.packaging.closure import LOCK as SERVING_LOCK
from sampan.packaging.closure import lock_lines as serving_lock
from sampan.packaging.lock_hashes import locked_hashes
from sampan.packaging.packages import read_facts
from sampan.workspace.data.profiling import read_profile
from sampan.workspace.governing.governance import Governance
from sampan.workspace.models.bill_of_materials import bill
from sampan.workspace.models.predictors import CARD, PackageManifest

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.workspace.workspace import Workspace

DATA_CARD: Final = "data.md"
SCHEMA, EXAMPLES, LOCK, BILL = "request.schema.json", "examples.json", "requirements.txt", "bom.cdx.json"
EXAMPLE_ROWS: Final = 3
_JSON_TYPES: Final[dict[str, dict[str, Any]]] = {
    "number": {"type": "number"},
    "text": {"type": "string"},
    "flag": {"type": "boolean"},
    "moment": {"anyOf": [{"type": "string", "description": "ISO 8601"}, {"type": "number", "description": "milliseconds since 1970 UTC"}]},
}

Rows = Sequence[Mapping[str, Any]]


def write_documents(ws: Workspace, model: Node, manifest: PackageManifest, folder: Path, rows: Rows, scores: Sequence[Any]) -> None:
    """Write everything in a package that nothing is computed from.

    Parameters
    ----------
    rows, scores : real requests with their answers
    """
    datasets = {name: ws.catalog.node(node) for name, node in model.facts["datasets"].items()}
    environment = read_json((folder / "environment.json").read_bytes(), Environment)
    few = slice(0, EXAMPLE_ROWS)
    _write(folder / SCHEMA, request_schema(manifest))
    _write(folder / EXAMPLES, examples(manifest, rows[few], scores[few]))
    _write(folder / BILL, bill(ws, model, environment=environment))
    (folder / LOCK).write_text("".join(lock_lines(environment)), encoding="utf-8")
    pins = serving_lock(folder, read_facts(folder), known=locked_hashes(ws.root))
    (folder / SERVING_LOCK).write_text("".join(pins), encoding="utf-8")
    (folder / CARD).write_text("\n".join(card_lines(model, manifest, datasets)) + "\n", encoding="utf-8")
    (folder / DATA_CARD).write_text("\n".join(data_card_lines(ws, datasets)) + "\n", encoding="utf-8")


def owner_of(ws: Workspace, model: Node) -> str:
    """Return who answers for a model: its declared owner, else the project's, else the owners of the data it learned from."""
    governance = Governance(ws)
    own = governance.terms(model.name, "model").owner or ws.project.project.owner
    if own:
        return own
    datasets = {ws.catalog.node(node).name for node in model.facts["datasets"].values()}
    return ", ".join(sorted({owner for name in datasets if (owner := governance.terms(name).owner)}))


def request_schema(manifest: PackageManifest) -> dict[str, Any]:
    """Describe one request row as JSON Schema (draft 2020-12)."""
    properties = {}
    for name, spec in manifest.request_schema.items():
        kind = _JSON_TYPES[spec["type"]]
        told = {"anyOf": [kind, {"type": "null"}]} if spec.get("nullable", True) else dict(kind)
        properties[name] = {**told, **({"description": spec["description"]} if spec.get("description") else {})}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A request to {manifest.model}",
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def examples(manifest: PackageManifest, rows: Rows, scores: Sequence[Any]) -> dict[str, Any]:
    """Show real requests with the answers they get, in each way a server takes them."""
    plain = [msgspec.to_builtins(dict(row)) for row in rows]
    split = {"columns": list(manifest.request_schema), "data": [list(row.values()) for row in plain]}
    return {
        "answers": [msgspec.to_builtins(score) for score in scores],
        "/predict": {"rows": plain},
        "/invocations": {"dataframe_split": split},
        "rows": plain,
    }


def lock_lines(environment: Environment) -> Iterator[str]:
    """Pin every library of the environment a model was trained in, as pip reads it."""
    yield f"# {environment.implementation} {environment.python}, {environment.os} {environment.machine}\n"
    yield from (f"{name}=={version}\n" for name, version in sorted(environment.libraries.items()))


_ANSWERS: Final[dict[str, str]] = {
    "binary": "the chance of an outcome",
    "multiclass": "the chance of each class",
    "regression": "a number",
}


def card_lines(model: Node, manifest: PackageManifest, datasets: dict[str, Node]) -> Iterator[str]:
    """Write a model's card: what it is for, made of, and how well it does, from what was recorded."""
    facts = model.facts
    yield f"# {model.ref}"
    if manifest.trusted:
        yield f"\nBrought from elsewhere as a pickle on {iso(facts['since'])}, compared on {facts['n_rows']:,} rows; digest {model.digest}."
        yield f"\nTrusted by {manifest.trusted['by']}: {manifest.trusted['reason']}"
    else:
        yield f"\nTrained on {facts['n_rows']:,} rows from {iso(facts['since'])} to {iso(facts['until'])}; digest {model.digest}."
    yield f"\nIt answers with {_ANSWERS[manifest.task.kind]}{': ' + ', '.join(manifest.task.classes) if manifest.task.classes else ''}."
    yield f"\n- Purpose: {manifest.purpose or 'not declared'}\n- Owner: {manifest.owner or 'not declared'}"
    yield "\n## Data\n"
    yield from (f"- {name}: {node.ref} {node.digest}" for name, node in datasets.items())
    yield f"\nRows without a label: {manifest.label or 'not recorded'}."
    yield "\n## Quality on the newest rows before the cut, not seen by the search\n"
    yield "| metric | value | 95 % interval |\n|---|---|---|"
    for name, figure in facts["metrics"].items():
        yield f"| {name} | {_number(figure['value'])} | {_number(figure['low'])} to {_number(figure['high'])} |"
    yield "\n## Parameters\n"
    yield from (f"- {name}: {value}" for name, value in facts["params"].items())
    yield f"\n## Features\n\n{', '.join(_features(manifest))}"
    yield "\n## Serving\n"
    slow = f", slower: {manifest.why_slow}" if manifest.why_slow else ""
    decides = "" if manifest.threshold is None else f"; threshold {manifest.threshold}"
    yield f"Served by {manifest.served_by}{slow}{decides}."
    yield from _whole_lines(manifest)


def _features(manifest: PackageManifest) -> Iterator[str]:
    """Yield the features and their families; the columns of a free text as one."""
    for feature, columns in groupby(manifest.families.items(), key=lambda item: item[0].partition(": ")[0]):
        (name, family), *more = columns
        yield f"{feature} ({family}, {len(more) + 1} columns of its text)" if more else f"{name} ({family})"


def _whole_lines(manifest: PackageManifest) -> Iterator[str]:
    whole = manifest.whole
    if whole is None:
        return
    if not whole.passed:
        yield f"\nNo single graph from request to score: {whole.reason}."
        return
    yield (
        f"\nOne graph from request to score (whole.onnx): on {whole.n_rows:,} requests, {whole.n_with_missing:,} of them with something "
        f"missing, it differs by at most {whole.max_difference:.2g} from the native answers, by {whole.mean_difference:.2g} on average; "
        f"{whole.share_far:.2%} of rows are off by more than 0.001."
    )


def data_card_lines(ws: Workspace, datasets: dict[str, Node]) -> Iterator[str]:
    """Write what the data is that a model learned from: columns, terms, owners."""
    yield "# Data this model learned from"
    for name, node in datasets.items():
        terms = Governance(ws).terms(node.name)
        yield f"\n## {name}: {node.ref}\n"
        yield f"- Digest: {node.digest}\n- Owner: {terms.owner or 'not declared'}\n- License: {terms.license or 'not declared'}"
        yield f"- Purposes: {', '.join(terms.purposes) or 'not restricted'}"
        yield from _column_lines(ws, node)


def _column_lines(ws: Workspace, node: Node) -> Iterator[str]:
    try:
        profile = read_profile(ws, node)
    except SampanError as cause:
        yield f"\nIts columns are not known here: {cause.message}."
        return
    yield f"- Rows: {profile.n_rows:,}"
    yield "\n| column | kind | missing | least | most |\n|---|---|---|---|---|"
    for column in profile.columns:
        missing = (column.n_null + column.n_nan) / column.n if column.n else 0.0
        # Texts may be names: a card travels further than the data.
        ends = ("", "") if column.kind == "text" else (_number(column.minimum), _number(column.maximum))
        yield f"| {column.name} | {column.kind} | {missing:.1%} | {ends[0]} | {ends[1]} |"


def _number(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
