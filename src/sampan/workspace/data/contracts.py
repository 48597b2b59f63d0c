"""A workspace's contracts: the files, drafting them from what is here, and recorded checks."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.digests import Digest, digest_bytes, digest_value
from sampan.core.events import VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.errors import NotFound, ProjectFileError
from sampan.store.files import store_errors
from sampan.workspace.data.answers import RuleLine, TableChecked
from sampan.workspace.data.events import DatasetChecked

if TYPE_CHECKING:
    import polars as pl

    from sampan.data.contract import Contract
    from sampan.data.findings import CheckResult
    from sampan.workspace.workspace import Workspace

FOLDER = "contracts"
# Raise when the same inputs would give another outcome.
_DRAFTING = 3
_CHECKING = 3
_MOST_ARRIVALS = 12


class Contracts:
    """Contracts of the datasets of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace

    def path(self, name: str) -> Path:
        """Return where a dataset's contract stands, or would."""
        declared = self.ws.project.datasets.get(name)
        return self.ws.root / (declared.contract if declared and declared.contract else f"{FOLDER}/{name}.yaml")

    def read(self, name: str) -> Contract | None:
        """Read a dataset's contract; None if it has none.

        Raises
        ------
        ProjectFileError : every fault of the file, with its line.
        """
        from sampan.data.contract_yaml import read_contract

        data, shown = self.data(name), shown_path(self.ws, self.path(name))
        if data is None:
            return None
        try:
            return read_contract(data.decode("utf-8").replace("\r\n", "\n"), file=shown)
        except UnicodeDecodeError as cause:
            raise ProjectFileError(f"{shown} is not UTF-8", file=shown, hint="save the file as UTF-8") from cause

    def data(self, name: str) -> bytes | None:
        """Return the file's bytes; None if there is none. Raises ProjectFileError where it cannot be read."""
        file = self.path(name)
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as cause:
            shown = shown_path(self.ws, file)
            hint = "put a file there that you may read"
            raise ProjectFileError(f"{shown} cannot be read: {cause.strerror}", file=shown, hint=hint) from cause

    def text(self, name: str) -> tuple[str, Digest]:
        """Return the file as it is, faults and all, and its digest."""
        data = self.path(name).read_bytes()
        return data.decode("utf-8", errors="replace"), digest_bytes(data)

    def fault(self, name: str) -> ProjectFileError | None:
        """Return what is wrong with the file; None if nothing."""
        try:
            self.read(name)
        except ProjectFileError as fault:
            return fault
        return None

    def write(self, name: str, text: str) -> None:
        """Write a contract file, whole or not at all."""
        file = self.path(name)
        with store_errors(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(file.resolve(), text)

    def draft(self, node: Node) -> Contract:
        """Draft a contract from a dataset version and the newest versions of the others; done once for the same data."""
        from sampan.data.contract_yaml import read_contract, write_contract

        catalog = self.ws.catalog
        said = catalog.asset("dataset", node.name).facts
        others = {a.name: catalog.resolve(a.name, kind="dataset") for a in catalog.assets("dataset") if a.name != node.name}
        keys = {name: catalog.asset("dataset", name).facts.get("key", []) for name in others}
        arrivals = self._arrivals(node, said)
        parts = [_DRAFTING, node.digest, said, {name: other.digest for name, other in others.items()}, keys, arrivals]
        text, _ = self.ws.engine.once("draft", [node.name, *parts], lambda: write_contract(self._infer(node, said, others, keys, arrivals)))
        return read_contract(text, file="draft")

    def check(self, node: Node) -> TableChecked:
        """Check a dataset version and record it; the same version, contract and references are not checked twice.

        Raises
        ------
        NotFound : the dataset has no contract.
        """
        from sampan.data.contract import Custom, Freshness

        contract = self.read(node.name)
        if contract is None:
            file = shown_path(self.ws, self.path(node.name))
            raise NotFound(f"{node.name} has no contract: no file {file}", hint=f"sampan data infer {quote(node.name)}")
        others = self._referred(contract)
        parts = [_CHECKING, node.id, digest_value(contract), {name: other.id for name, other in others.items()}]
        if any(isinstance(rule, Freshness | Custom) for rule in contract.rules):
            parts.append(self.ws.clock())  # such a rule's answer changes with time, or with the plug-in's code
        recorded, cached = self.ws.engine.once("check", parts, lambda: self._record(node, contract, others))
        check = self.ws.catalog.node(recorded)
        return TableChecked(
            dataset=node.ref,
            contract=shown_path(self.ws, self.path(node.name)),
            verdict=check.facts["verdict"],
            n_rows=check.facts["n_rows"],
            n_rules=check.facts["n_rules"],
            findings=tuple(read_builtins(finding, RuleLine) for finding in check.facts["findings"]),
            notes=tuple(read_builtins(note, RuleLine) for note in check.facts["notes"]),
            check=check.ref,
            cached=cached,
        )

    def check_frame(self, name: str, frame: pl.DataFrame | pl.LazyFrame) -> CheckResult:
        """Check a batch on its way into a dataset, recording nothing; `rows` are the numbers of those that break a blocking rule.

        A dataset without a contract promises nothing, so its batches pass.
        """
        from sampan.data.checking import check_batch
        from sampan.data.findings import CheckResult

        contract = self.read(name)
        if contract is None:
            return CheckResult(table=name, n_rows=frame.lazy().collect().height, n_rules=0)
        tables = self.ws.store.tables
        others = {other: tables.scan(node.digest) for other, node in self._referred(contract).items()}
        return check_batch(contract, frame, tables=others, checks=self._checks(contract), now=self.ws.clock())

    def newest_check(self, node: Node) -> Node | None:
        """Return the newest check of a dataset version."""
        checks = [self.ws.catalog.node(e.dst) for e in self.ws.catalog.edges_from(node.id) if e.role == "evaluated_on"]
        return max((check for check in checks if check.kind == "check"), key=lambda check: check.version or 0, default=None)

    def _arrivals(self, node: Node, said: Mapping[str, Any]) -> list[tuple[int, int]]:
        """Return, for the newest versions up to this one, the newest moment in each and when it came; [] without a time."""
        from sampan.data.inference import find_time, newest_moment

        tables = self.ws.store.tables
        time = str(said.get("time", "")) or find_time(tables.scan(node.digest))
        if not time:
            return []
        versions = [v for v in self.ws.catalog.nodes(kind="dataset", name=node.name) if (v.version or 0) <= (node.version or 0)]
        found = []
        for version in reversed(versions[:_MOST_ARRIVALS]):
            table = tables.scan(version.digest)
            if time in table.collect_schema():
                newest = newest_moment(table, time)
                found.extend([] if newest is None else [(newest, version.created)])
        return found

    def _infer(
        self,
        node: Node,
        said: Mapping[str, Any],
        others: Mapping[str, Node],
        keys: Mapping[str, Any],
        arrivals: Sequence[tuple[int, int]],
    ) -> Contract:
        from sampan.data.inference import infer_contract

        tables = self.ws.store.tables
        contract = infer_contract(
            node.name,
            tables.scan(node.digest),
            key=said.get("key", ()),
            time=str(said.get("time", "")),
            tables={name: tables.scan(other.digest) for name, other in others.items()},
            keys={name: key for name, key in keys.items() if key},
            arrivals=arrivals,
        )
        return msgspec.structs.replace(contract, owner=str(said.get("owner", "")), description=str(said.get("description", "")))

    def _referred(self, contract: Contract) -> dict[str, Node]:
        """Return the newest versions of the other datasets that a contract's references and queries name.

        A query answers a number, which may be any value of theirs: PolicyRefused, where one may not be read.
        """
        from sampan.data.contract import Query, Reference
        from sampan.workspace.governing.governance import require_allowed  # which reads contracts

        here = {asset.name for asset in self.ws.catalog.assets("dataset")}
        named = {rule.table for rule in contract.rules if isinstance(rule, Reference)}
        queries = " ".join(rule.sql for rule in contract.rules if isinstance(rule, Query))
        queried = {name for name in here if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", queries)}
        found = {name: self.ws.catalog.resolve(name, kind="dataset") for name in sorted((named | queried) & here)}
        for name in queried:
            require_allowed(self.ws, [found[name]], columns=[*found[name].facts["columns"]])
        return found

    def _checks(self, contract: Contract) -> dict[str, Any]:
        """Return the plug-ins, and the project's own functions that the contract names."""
        from sampan.workspace.project_checks import project_checks

        own = project_checks(self.ws.root, python_rules(contract), frozenset(column.name for column in contract.columns))
        return {**installed_checks(), **own}

    def _record(self, node: Node, contract: Contract, others: Mapping[str, Node]) -> str:
        """Run a check and record it beside the contract it was made by; return its node."""
        from sampan.data.checking import check_table

        tables = self.ws.store.tables
        result = check_table(
            contract,
            tables.scan(node.digest),
            tables={name: tables.scan(other.digest) for name, other in others.items()},
            checks=self._checks(contract),
            now=self.ws.clock(),
        )
        facts: dict[str, Any] = {"verdict": result.verdict, **msgspec.to_builtins(result)}
        by = self.record(node.name, contract)
        event = DatasetChecked(node=new_id(), name=f"{node.name}.check", dataset=node.id, contract=by, facts=facts)
        self.ws.ledger.append(event)
        return event.node

    def record(self, name: str, contract: Contract) -> str:
        """Record the file as a version of the contract, unless it is one already; return its node."""
        from sampan.data.contract import count_rules

        asset, text = f"{name}.contract", self.path(name).read_bytes()
        digest = self.ws.store.blobs.put(text)
        known = self.ws.catalog.find_version("contract", asset, digest)
        if known is not None:
            return known.id
        facts = {"file": shown_path(self.ws, self.path(name)), "n_rules": count_rules(contract), "status": contract.status}
        event = VersionCommitted(node=new_id(), kind="contract", name=asset, digest=digest, size=len(text), facts=facts)
        self.ws.ledger.append(event)
        return event.node


def _write_whole(file: Path, text: str) -> None:
    """Write a file under a name of its own, then take the place of the one that is there; two who write at once do not meet."""
    temporary = file.with_name(f".{file.name}.{new_id()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())  # a crash may otherwise leave an empty file under the name
        if file.exists():
            shutil.copymode(file, temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def shown_path(workspace: Workspace, path: Path) -> str:
    """Write a path relative to the project where it lies inside."""
    absolute = path.resolve()
    return str(absolute.relative_to(workspace.root)) if absolute.is_relative_to(workspace.root) else str(absolute)


def python_rules(contract: Contract) -> set[str]:
    """Return the functions of the project that a contract names, as FILE.py:FUNCTION."""
    from sampan.data.contract import Custom

    return {rule.name for rule in contract.rules if isinstance(rule, Custom) and ".py:" in rule.name}


def installed_checks() -> dict[str, Any]:
    """Return the check plug-ins by name."""
    from sampan import plugins

    found = {name: plugins.find("sampan.checks", name) for name in plugins.names("sampan.checks")}
    return {name: check() if isinstance(check, type) else check for name, check in found.items()}
