"""Contracts: drafted from data, checked against data."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

import msgspec

from sampan.errors import UsageError
from sampan.workspace.data.answers import Checked, Inferred, TableChecked
from sampan.workspace.data.contracts import shown_path
from sampan.workspace.data.room import KIND, DataRoom, Names
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    from sampan.core.graph import Node
    from sampan.data.contract import Contract


class Checking(DataRoom):
    """The verbs of contracts."""

    @operation(local=True)
    def infer(self, ref: str, *, force: bool = False) -> Inferred:
        """Draft a contract from a dataset and the others here, as contracts/NAME.yaml.

        A file that is there is never overwritten silently: what the data would add, drop or change is shown, rule by rule. Rules written by
        hand stay as they are, and so do levels, roles and all else a person said.

        Parameters
        ----------
        ref : the dataset
        force : take the proposal over into the contract that is there
        """
        from sampan.data.contract_yaml import write_contract
        from sampan.data.proposal import fingerprints

        node = self._readable(ref)
        drafted, existing = self.contracts.draft(node), self.contracts.read(node.name)
        if existing is not None:
            return self._proposed(node, existing, drafted, force=force)
        contract = msgspec.structs.replace(drafted, drafted=fingerprints(drafted.rules))
        self.contracts.write(node.name, write_contract(contract))
        return self._inferred(node, contract, written=True)

    def _proposed(self, node: Node, existing: Contract, drafted: Contract, *, force: bool) -> Inferred:
        """Say what a newer draft would change in the contract that is there; change it by force."""
        from sampan.data.contract_yaml import revise_contract
        from sampan.data.proposal import propose

        proposal = propose(existing, drafted)
        answer = self._inferred(node, proposal.contract, declined=proposal.declined)
        if proposal.is_empty:
            return answer
        before = self.contracts.path(node.name).read_text(encoding="utf-8")
        text = revise_contract(before, existing, proposal.contract)
        changed = tuple(f"{one.before} → {one.after} ({one.evidence})" for one in proposal.changed)
        answer = msgspec.structs.replace(answer, added=proposal.added, removed=proposal.removed, changed=changed)
        if force:
            self.contracts.write(node.name, text)
            return msgspec.structs.replace(answer, written=True)
        following = (f"sampan data infer {quote(node.name)} --force", *answer.next)
        return msgspec.structs.replace(answer, diff=_difference(before, text, answer.file), next=following)

    def _inferred(self, node: Node, contract: Contract, *, written: bool = False, declined: tuple[str, ...] = ()) -> Inferred:
        from sampan.data.contract import count_rules

        return Inferred(
            dataset=node.ref,
            file=shown_path(self.ws, self.contracts.path(node.name)),
            written=written,
            n_rules=count_rules(contract),
            rules=rule_lines(contract),
            declined=declined,
            next=(f"sampan data check {quote(node.name)}",),
        )

    @operation()
    def check(self, refs: Names | None = None) -> Checked:
        """Check datasets against their contracts; exit code 3 if a blocking rule is broken.

        References lead to the newest versions of the other datasets here.

        Parameters
        ----------
        refs : which datasets; without any, all that have a contract
        """
        names = refs or [asset.name for asset in self.ws.catalog.assets(KIND) if self.contracts.path(asset.name).exists()]
        if not names:
            raise UsageError("no dataset here has a contract yet", hint="sampan data infer NAME drafts one")
        tables = []
        with self.ws.progress.stage("checking", total=len(names), unit="datasets") as stage:
            for name in names:
                tables.append(self._checked(self._node(name)))
                stage.advance(1, tables[-1].dataset)
        following = tuple(f"sampan data show {quote(self._node(name).name)}" for name in names[:1])
        return Checked(tables=tuple(tables), next=following)

    def _checked(self, node: Node) -> TableChecked:
        """Check a version; rows stand in the answer as examples only where its values may be read."""
        found = self.contracts.check(node)
        if not self.withheld(node):
            return found
        findings, notes = (tuple(one.without_values() for one in told) for told in (found.findings, found.notes))
        return msgspec.structs.replace(found, findings=findings, notes=notes)


def rule_lines(contract: Contract) -> tuple[str, ...]:
    """Say each rule a check holds a table against, the columns and their types first."""
    from sampan.data.contract import all_rules
    from sampan.data.rule_words import describe, unjudged

    columns = [f"block: {column.name} is there" + (f", as {column.type}" if column.type else "") for column in contract.columns]
    rules = (f"{rule.level}: {describe(rule)}{_expected(rule.false_alarms)}" for rule in all_rules(contract))
    return (*columns, *rules, *(f"note: kept, not judged here: {one}" for one in unjudged(contract)))


def _expected(false_alarms: float | None) -> str:
    return "" if false_alarms is None else f" (false alarms expected a year: {false_alarms:g})"


def _difference(before: str, after: str, file: str) -> str:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), fromfile=file, tofile=f"{file} (inferred)", lineterm="", n=1)
    return "\n".join(lines)
