"""What a service's prediction log may keep: `[logs.SERVICE]` in sampan.toml, and the terms of the data its requests look like.

A request has the columns of the table that the model's view is over. What admission does to a column of that dataset, the log does too,
with the same key, so that both can be joined; a column of personal data that no action is declared for is kept as its pseudonym. A field
that is left out or changed takes the features with it that are computed from it alone: a code is as good as the name it stands for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from sampan.core.project import LogRules
from sampan.core.refs import nearest
from sampan.errors import ParameterError
from sampan.governance.terms import Terms
from sampan.serving.keeping import Change, Keeping, Remembered
from sampan.workspace.governing.governance import Governance
from sampan.workspace.governing.privacy import key_purpose
from sampan.workspace.governing.privacy_keys import PrivacyKeys
from sampan.workspace.models.package_files import serving_folder
from sampan.workspace.models.predictors import FEATURES, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from sampan.core.graph import Node
    from sampan.workspace.workspace import Workspace

_LEFT_OUT: Final = frozenset({"drop", "generalize"})  # one row cannot be generalized: there is no group to hide it in
_PSEUDONYM: Final = "pseudonym"
_FRESH_S: Final = 60.0


def log_rules(ws: Workspace) -> Callable[[str, str], Keeping]:
    """Return what says, for a service and the id of a package, what is kept of its rows; it raises what `keeping_of` raises.

    The graph is asked again after a minute: terms may be declared while a server runs.
    """
    known: dict[tuple[str, str], tuple[float, Keeping]] = {}

    def rules(service: str, package: str) -> Keeping:
        asked, keeping = known.get((service, package), (0.0, None))
        if keeping is None or time.monotonic() - asked > _FRESH_S:
            keeping = keeping_of(ws, service, ws.catalog.node(package))
            known[service, package] = (time.monotonic(), keeping)
        return keeping

    return rules


def keeping_of(ws: Workspace, service: str, package: Node) -> Keeping:
    """Return what is kept of the rows that a service's package answers.

    Raises
    ------
    ParameterError : `[logs.SERVICE]` names a field the package does not take, or a share that is none; all faults at once.
    NotFound : a pseudonym needs a key that was made before and is not on this machine.
    """
    folder = serving_folder(ws, package.id)
    manifest = read_manifest(folder)
    fields = list(manifest.request_schema)
    rules = ws.project.logs.get(service, LogRules())
    _check(service, rules, fields)
    terms = _terms(ws, package, folder)
    actions = {**_actions(terms, fields), **dict.fromkeys(rules.hashed, _PSEUDONYM)}
    left_out = {*(name for name, action in actions.items() if action in _LEFT_OUT), *rules.left_out}
    left_out |= set(fields) - set(rules.only) if rules.only else set()
    actions = {name: action for name, action in actions.items() if name not in left_out}
    purpose = key_purpose(terms.purposes)
    touched = {*left_out, *actions}
    hidden_key = bool(touched & set(manifest.keys))
    key = PrivacyKeys(ws).key(purpose) if hidden_key or {"pseudonym", "encrypt"} & set(actions.values()) else b""
    return Keeping(
        share=rules.sample,
        left_out=frozenset(left_out),
        changes={name: _change(action, name, terms, key) for name, action in actions.items()},
        features_left_out=frozenset(manifest.feature_names if not rules.features else _told(folder, touched, manifest.feature_names)),
        name_key=_change(_PSEUDONYM, "", Terms(), key) if hidden_key else None,
    )


def pseudonyms_in_logs(ws: Workspace, keys: Mapping[str, str]) -> Iterator[str]:
    """Yield every pseudonym under which logs of this store may name a subject, as far as its keys are on this machine."""
    from sampan.governance.pseudonyms import pseudonyms_of

    purposes = {key_purpose(Governance(ws).terms(asset.name).purposes) for asset in ws.catalog.assets("dataset")}
    classes = {column.pii for asset in ws.catalog.assets("dataset") for column in Governance(ws).terms(asset.name).columns.values()}
    privacy = PrivacyKeys(ws)
    for purpose in sorted({*purposes, "any"}):
        if privacy.knows(purpose):
            for pii in sorted({*classes, ""}):
                name = pseudonyms_of(privacy.key(purpose), pii)
                yield from (name(value) for value in keys.values())


def _check(service: str, rules: LogRules, fields: list[str]) -> None:
    faults = []
    for what in ("only", "left_out", "hashed"):
        for name in getattr(rules, what):
            if name not in fields:
                close = nearest(name, fields, n=1)
                faults.append(f"{what} names {name!r}, " + (f"did you mean {close[0]!r}?" if close else "which no request has"))
    if not 0 <= rules.sample <= 1:
        faults.append(f"sample is {rules.sample}, expected 0 to 1")
    if rules.keep_days is not None and rules.keep_days < 1:
        faults.append(f"keep_days is {rules.keep_days}, expected 1 or more")
    if faults:
        raise ParameterError(f"sampan.toml, [logs.{service}]: " + "; ".join(faults), hint=f"requests have {', '.join(fields)}")


def _terms(ws: Workspace, package: Node, folder: Path) -> Terms:
    """Return the terms of the dataset whose rows the requests look like."""
    view = _view_table(folder)
    for edge in ws.catalog.edges_to(package.id):
        if edge.role == "packaged_as":
            versions = ws.catalog.node(edge.src).facts.get("datasets", {})
            if view in versions:
                return Governance(ws).terms(ws.catalog.node(versions[view]).name)
    return Terms()


def _view_table(folder: Path) -> str:
    from sampan.features.fitted import FittedView

    file = folder / FEATURES
    return FittedView.from_json(file.read_bytes()).view.on if file.exists() else ""


def _actions(terms: Terms, fields: list[str]) -> dict[str, str]:
    said = {name: terms.column(name) for name in fields}
    return {name: column.action or _PSEUDONYM for name, column in said.items() if column.action or column.pii}


def _change(action: str, column: str, terms: Terms, key: bytes) -> Change:
    from sampan.governance.protecting import change_of

    return Remembered(change_of(action, column, terms.column(column).pii, key))


def _told(folder: Path, fields: set[str], names: tuple[str, ...]) -> set[str]:
    """Return the columns of features that tell one of these fields: computed from it, not fetched by it."""
    from sampan.features.fitted import FittedView
    from sampan.features.nodes import Column, Fetched, children, walk

    file = folder / FEATURES
    if not fields or not file.exists():
        return set(names) & fields

    found: set[str] = set()
    fitted = FittedView.from_json(file.read_bytes())
    for item in fitted.view.features:
        parts = walk(item.value, lambda node: () if isinstance(node, Fetched) else children(node))
        if any(isinstance(part, Column) and part.name in fields for part in parts):
            found.update(fitted.columns[item.name])
    return found
