"""What there is to say of runs, models, reports and datasets, as sheets that `compare` and `diff` lay side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.decoding import read_builtins, read_json
from sampan.core.digests import digest_bytes
from sampan.core.graph import Artifact, MetricPoints, Node
from sampan.core.times import iso
from sampan.workspace.data.answers import RuleLine
from sampan.workspace.runs.code_snapshot import CODE
from sampan.workspace.runs.comparing import NOTE, Sheet, cell_of, figure_cell, named, text_cell
from sampan.workspace.runs.comparing_answers import Cell

if TYPE_CHECKING:
    from sampan.engine.environment import Environment
    from sampan.workspace.workspace import Workspace

METRICS, SLICES, CURVES, DATA, LABELS, FEATURES = "metrics", "slices", "curves", "data", "labels", "features"
PARAMETERS, CODE_FILES, LIBRARIES, ENVIRONMENT, TAGS = "parameters", "code", "libraries", "environment", "tags"
_ENVIRONMENT_FILE, _FEATURES_FILE = "environment.json", "features.json"
_MOST_POINTS: Final = 160  # of a curve
_MOST_CURVES: Final = 24
_MOST_CODE: Final = 1 << 20  # bytes of a text that is compared line by line
_MOST_FACTS: Final = 2_000


def run_sheet(ws: Workspace, node: Node) -> Sheet:
    """Tell a run: what it logged, read, and what ran where."""
    sheet, row = Sheet(), ws.catalog.run(node.id)
    summaries = ws.catalog.metrics(node.id)
    for each in summaries:
        sheet.add(METRICS, each.key, cell_of(each.last))
    if row.ended is not None:
        sheet.add(METRICS, "seconds", cell_of((row.ended - row.started) / 1000))
    for each in [each for each in summaries if each.n > 1][:_MOST_CURVES]:
        sheet.add(CURVES, each.key, curve_cell(ws.catalog.metric_history(node.id, each.key), each.n))
    for edge in ws.catalog.edges_to(node.id):
        _add_input(sheet, ws.catalog.node(edge.src))
    for name, value in ws.catalog.params(node.id).items():
        sheet.add(PARAMETERS, name, text_cell(value))
    made = [ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(node.id)]
    for model in [each for each in made if each.kind == "model" and "features" in each.facts][:1]:
        _add_labels(ws, sheet, model)
        _add_features(ws, sheet, model)
        _add_code(ws, sheet, ws.catalog.artifacts(model.id))
        _add_environment(sheet, _stored_environment(ws, model))
    _add_code(ws, sheet, ws.catalog.artifacts(node.id))
    _add_environment(sheet, _run_environment(ws, node))
    for name, value in ws.catalog.tags(node.id).items():
        if name != NOTE and not name.startswith("mlflow."):
            sheet.add(TAGS, name, value)
    return sheet


def model_sheet(ws: Workspace, node: Node) -> Sheet:
    """Tell a model: its newest report, what it learned from, and how it was made."""
    sheet, facts = Sheet(), node.facts
    about = [ws.catalog.node(edge.dst) for edge in ws.catalog.edges_from(node.id) if edge.role == "input"]
    reports = [each for each in about if each.kind == "report" and each.facts.get("model") == node.id]
    report = max(reports, key=lambda each: each.version or 0, default=None)
    _add_figures(sheet, report.facts if report else facts)
    run = next((edge.src for edge in ws.catalog.edges_to(node.id) if edge.role == "derived_from"), "")
    if run:
        for each in [each for each in ws.catalog.metrics(run) if each.n > 1][:_MOST_CURVES]:
            sheet.add(CURVES, each.key, curve_cell(ws.catalog.metric_history(run, each.key), each.n))
    _add_learned(ws, sheet, node)
    _add_labels(ws, sheet, node)
    _add_features(ws, sheet, node)
    for name, value in facts.get("params", {}).items():
        sheet.add(PARAMETERS, name, cell_of(value))
    files = ws.catalog.artifacts(node.id)
    _add_code(ws, sheet, files)
    _add_environment(sheet, _stored_environment(ws, node))
    return sheet


def report_sheet(_ws: Workspace, node: Node) -> Sheet:
    """Tell a report: its figures, group by group too."""
    sheet = Sheet()
    _add_figures(sheet, node.facts)
    return sheet


def dataset_sheet(ws: Workspace, node: Node) -> Sheet:
    """Tell a dataset version: rows, columns with their types and statistics, its newest check, its terms."""
    sheet, facts = Sheet(), node.facts
    sheet.add("rows", "rows", cell_of(facts.get("n_rows", 0)))
    sheet.add("rows", "bytes", cell_of(node.size))
    for name, kind in facts.get("columns", {}).items():
        sheet.add("columns", name, str(kind))
    sheet.withheld = _withheld(ws, node)
    check = ws.data.contracts.newest_check(node)
    if check is not None:
        sheet.add("contract", "verdict", str(check.facts["verdict"]))
        for finding in read_builtins(check.facts.get("findings", ()), tuple[RuleLine, ...]):
            sheet.add("contract", (finding.without_values() if sheet.withheld else finding).message, "found")
    if facts.get("columns"):
        _add_profile(ws, sheet, node)
    for name in ("source", "encoding", "delimiter"):
        if facts.get(name):
            sheet.add("source", name, str(facts[name]))
    return sheet


def decision_sheet(_ws: Workspace, node: Node) -> Sheet:
    """Tell a gate's decision: verdict, reasons, each check."""
    sheet, facts = Sheet(), node.facts
    sheet.add("verdict", "passed", cell_of(bool(facts["passed"])))
    sheet.add("verdict", "champion", str(facts.get("champion_ref") or "none"))
    for check in facts.get("checks", ()):
        said = "ok" if check["passed"] else "NO"
        sheet.add("checks", check["code"], f"{said}: {check['found']} (asked {check['asked']})")
    for difference in (facts.get("paired") or {}).get("differences", ()):
        cell = figure_cell(difference["difference"])
        sheet.add("paired tests", difference["metric"], msgspec.structs.replace(cell, text=f"{difference['verdict']}, {cell.text}"))
    return sheet


def explanation_sheet(_ws: Workspace, node: Node) -> Sheet:
    """Tell an explanation: the gain and each change's share."""
    sheet, facts = Sheet(), node.facts
    sheet.add("gain", str(facts["metric"]), figure_cell(facts["gain"]))
    for axis in facts["axes"]:
        sheet.add("shares", axis["name"], figure_cell(axis["share"]))
        sheet.add("what changed", axis["name"], str(axis["what"]))
    return sheet


def any_sheet(ws: Workspace, node: Node) -> Sheet:
    """Tell any node by what is recorded of every one: facts, what it was made from, its files."""
    sheet = Sheet()
    sheet.add("record", "state", node.state)
    if node.digest:
        sheet.add("record", "content", Cell(node.digest[:15], key=node.digest))
    sheet.add("record", "by", node.actor)
    sheet.withheld = _withheld(ws, node)
    for place, (name, value) in enumerate(flat({} if sheet.withheld else node.facts)):
        if place == _MOST_FACTS:
            sheet.add("facts", "…", "more are not shown")
            break
        sheet.add("facts", name, cell_of(value))
    for edge in ws.catalog.edges_to(node.id):
        source = ws.catalog.node(edge.src)
        sheet.add("made from", f"{edge.role.replace('_', ' ')} {source.kind} {source.name}".rstrip(), named(source))
    for file in ws.catalog.artifacts(node.id):
        sheet.add("files", file.path, Cell(f"{file.size:,} bytes", key=file.digest))
    return sheet


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Iterate over the plain values of nested facts by their dotted paths; a figure with its interval is one value.

    >>> list(flat({"a": {"b": 1}, "c": [2, 3]}))
    [('a.b', 1), ('c.1', 2), ('c.2', 3)]
    """
    if isinstance(value, Mapping) and not {"value", "low", "high"} <= value.keys():
        for name, inner in value.items():
            yield from flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple) and value and not all(isinstance(each, str) for each in value):
        for place, inner in enumerate(value, start=1):
            yield from flat(inner, f"{path}.{place}")
    elif isinstance(value, list | tuple):
        yield path, ", ".join(value)
    else:
        yield path, value


def curve_cell(points: MetricPoints, n: int) -> Cell:
    """Return a metric's history as a cell: how many points, where it ended, and few enough points to draw.

    Of each stretch the point farthest from the one kept before it stays, so that spikes are seen.
    """
    steps, values = thin(points.steps, points.values)
    key = digest_bytes(repr((points.steps, points.values)).encode())
    end = points.values[-1] if points.values else float("nan")
    return Cell(f"{end:.6g} after {n:,} points", number=end if end == end else None, key=key, steps=steps, values=values)


def thin(steps: Sequence[float], values: Sequence[float], most: int = _MOST_POINTS) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Keep at most so many points of a curve: both ends, and of each stretch between the one that strays farthest."""
    if len(values) <= most:
        return tuple(map(float, steps)), tuple(values)
    kept = [0]
    stretches = most - 2
    inner = len(values) - 2
    for i in range(stretches):
        places = range(1 + i * inner // stretches, 1 + (i + 1) * inner // stretches)
        before = values[kept[-1]]
        kept.append(max(places, key=lambda place: abs(values[place] - before) if values[place] == values[place] else -1.0))
    kept.append(len(values) - 1)
    return tuple(float(steps[i]) for i in kept), tuple(values[i] for i in kept)


def _add_figures(sheet: Sheet, facts: Mapping[str, Any]) -> None:
    for name, figure in facts.get("metrics", {}).items():
        sheet.add(METRICS, name, cell_of(figure))
    if "n_rows" in facts and "n_days" in facts:
        sheet.add("judged on", "rows", cell_of(facts["n_rows"]))
        sheet.add("judged on", "span", f"{iso(facts['since'])[:10]} to {iso(facts['until'])[:10]}")
    for column, groups in facts.get("slices", {}).items():
        for group in groups:
            for metric in ("auc", "log_loss", "accuracy", "rmse", "mae", "bias", "pinball", "cost"):
                if group["enough"] and metric in group["metrics"]:
                    sheet.add(SLICES, f"{metric} · {column} = {group['group']}", cell_of(group["metrics"][metric]))


def _add_profile(ws: Workspace, sheet: Sheet, node: Node) -> None:
    from sampan.workspace.data.profiling import read_profile

    for column in read_profile(ws, node).columns:
        sheet.add("missing values", column.name, cell_of((column.n_null + column.n_nan) / column.n if column.n else 0.0))
        sheet.add("distinct values", column.name, cell_of(column.n_distinct))
        if column.minimum is not None and not sheet.withheld:
            sheet.add("ranges", column.name, f"{_end(column.minimum)} to {_end(column.maximum)}")


def _withheld(ws: Workspace, node: Node) -> str:
    """Say why a sheet quotes no values of the data behind a node; '' where it may."""
    from sampan.workspace.governing.governance import Governance

    return Governance(ws).withheld(node)


def _end(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _add_input(sheet: Sheet, source: Node) -> None:
    if source.kind == "run":
        return
    rows = source.facts.get("n_rows")
    text = f"{source.ref}, {rows:,} rows" if isinstance(rows, int) else source.ref
    sheet.add(
        DATA, source.name or source.kind, Cell(text, number=float(rows) if isinstance(rows, int) else None, key=source.digest or source.id)
    )


def _add_learned(ws: Workspace, sheet: Sheet, model: Node) -> None:
    facts = model.facts
    for node in facts.get("datasets", {}).values():
        _add_input(sheet, ws.catalog.node(node))
    if "n_rows" in facts:
        sheet.add(DATA, "rows learned from", cell_of(facts["n_rows"]))
    for name in ("since", "until"):
        if name in facts:
            sheet.add(DATA, f"learned {name}", iso(facts[name]))


def _add_labels(ws: Workspace, sheet: Sheet, model: Node) -> None:
    from sampan.features.describe import describe

    facts = model.facts
    view = _view_of(ws, model)
    if view is not None and view.label is not None:
        sheet.add(LABELS, "label", describe(view.label.value))
        sheet.add(LABELS, "known at", describe(view.label.known_at))
    if health := facts.get("labels"):
        sheet.add(LABELS, "look wrong", figure_cell(health["newest"]["share"]))
    if facts.get("threshold") is not None:
        sheet.add(LABELS, "threshold", cell_of(facts["threshold"]))


def _add_features(ws: Workspace, sheet: Sheet, model: Node) -> None:
    from sampan.features.describe import describe

    view = _view_of(ws, model)
    if view is None:
        return
    for feature in view.features:
        encoding = f", encoded by {_encoding(feature.encoding)}" if feature.encoding else ""
        text = describe(feature.value) + encoding
        sheet.add(FEATURES, feature.name, Cell(text, key=digest_bytes(msgspec.json.encode(feature))))


def _encoding(encoding: msgspec.Struct) -> str:
    """Name an encoding and what of it is not as usual: words (most 30)."""
    usual = msgspec.structs.asdict(type(encoding)())
    said = [f"{name} {value}" for name, value in msgspec.structs.asdict(encoding).items() if value != usual[name]]
    return type(encoding).__name__.lower() + (f" ({', '.join(said)})" if said else "")


def _view_of(ws: Workspace, model: Node) -> Any:
    from sampan.features.fitted import FittedView

    data = _file(ws, ws.catalog.artifacts(model.id), _FEATURES_FILE)
    return FittedView.from_json(data).view if data is not None else None


def _add_code(ws: Workspace, sheet: Sheet, files: Sequence[Artifact]) -> None:
    for file in files:
        if not file.path.startswith(f"{CODE}/") or file.size > _MOST_CODE:
            continue
        path = file.path.removeprefix(f"{CODE}/")
        text = ws.store.blobs.read(file.digest).decode("utf-8", errors="replace")
        sheet.add(CODE_FILES, path, Cell(f"{len(text.splitlines()):,} lines, {file.digest[3:11]}", key=file.digest))
        sheet.texts[path] = text


def _stored_environment(ws: Workspace, model: Node) -> Environment | None:
    data = _file(ws, ws.catalog.artifacts(model.id), _ENVIRONMENT_FILE)
    return _environment(data) if data is not None else None


def _run_environment(ws: Workspace, run: Node) -> Environment | None:
    digest = str(run.facts.get("environment", ""))
    # A training's run names what its libraries come to, which is no stored content.
    return _environment(ws.store.blobs.read(digest)) if digest and ws.store.blobs.has(digest) else None


def _environment(data: bytes) -> Environment | None:
    from sampan.engine.environment import Environment

    return read_json(data, Environment)


def _file(ws: Workspace, files: Sequence[Artifact], path: str) -> bytes | None:
    digest = next((file.digest for file in files if file.path == path), "")
    return ws.store.blobs.read(digest) if digest else None


def _add_environment(sheet: Sheet, found: Environment | None) -> None:
    if found is None:
        return
    for name, version in sorted(found.libraries.items()):
        sheet.add(LIBRARIES, name, version)
    plain = {"Python": found.python, "operating system": found.os, "machine": found.machine, "processor": found.cpu_model}
    for name, value in {**plain, **{f"threads: {name}": value for name, value in found.threads.items()}}.items():
        sheet.add(ENVIRONMENT, name, value)
    features = ", ".join(found.cpu_features)
    sheet.add(ENVIRONMENT, "processor features", Cell(f"{len(found.cpu_features)} of them", key=features or "none"))
    if found.git_commit:
        sheet.add(CODE_FILES, "commit", Cell(found.git_commit[:12], key=found.git_commit))
    if found.git_diff:
        digest = digest_bytes(found.git_diff.encode())
        sheet.add(CODE_FILES, "uncommitted changes", Cell(f"{len(found.git_diff.splitlines()):,} lines, {digest[3:11]}", key=digest))
        sheet.texts["uncommitted changes"] = found.git_diff
