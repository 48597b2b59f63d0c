"""Contracts: drafted from data, checked against data."""

from __future__ import annotations

from shlex import quote

import msgspec

from sampan.errors import UsageError
from sampan.workspace.data_answers import Checked, Inferred
from sampan.workspace.data_contracts import shown_path
from sampan.workspace.data_room import KIND, DataRoom, Names
from sampan.workspace.operation import operation


class Checking(DataRoom):
    """The verbs of contracts."""

    @operation(local=True)
    def infer(self, ref: str, *, force: bool = False) -> Inferred:
        """Draft a contract from a dataset and the others here, as contracts/NAME.yaml.

        A file that is there is never overwritten silently: the difference is shown.

        Parameters
        ----------
        ref : the dataset
        force : replace the contract that is there
        """
        from sampan.data.contract import count_rules
        from sampan.data.contract_yaml import write_contract
        from sampan.data.rule_words import describe

        node = self._node(ref)
        contract = self.contracts.draft(node)
        text = write_contract(contract)
        file = self.contracts.path(node.name)
        before = file.read_text(encoding="utf-8", errors="replace") if file.exists() else None
        rules = tuple(f"{rule.level}: {describe(rule)}" for rule in contract.rules)
        shown = shown_path(self.ws, file)
        answer = Inferred(
            dataset=node.ref,
            file=shown,
            written=False,
            n_rules=count_rules(contract),
            rules=rules,
            next=(f"sampan data check {quote(node.name)}",),
        )
        if before == text:
            return answer
        if before is not None and not force:
            again = f"sampan data infer {quote(node.name)} --force"
            return msgspec.structs.replace(
                answer, diff=_difference(before, text, shown), next=(again, f"sampan data check {quote(node.name)}")
            )
        self.contracts.write(node.name, text)
        return msgspec.structs.replace(answer, written=True)

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
                tables.append(self.contracts.check(self._node(name)))
                stage.advance(1, tables[-1].dataset)
        following = tuple(f"sampan data show {quote(self._node(name).name)}" for name in names[:1])
        return Checked(tables=tuple(tables), next=following)


def _difference(before: str, after: str, file: str) -> str:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), fromfile=file, tofile=f"{file} (inferred)", lineterm="", n=1)
    return "\n".join(lines)
