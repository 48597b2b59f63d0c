"""A contract itself: shown, saved, and exchanged with other tools' files."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Literal

from sampan.core.digests import digest_bytes
from sampan.errors import AccessDenied, NotFound, ParameterError, StaleState
from sampan.store.files import store_errors
from sampan.workspace.data.checking import rule_lines
from sampan.workspace.data.contract_answers import ContractSaved, ContractShown, RulesExported, RulesImported
from sampan.workspace.data.contracts import python_rules, shown_path
from sampan.workspace.data.room import DataRoom
from sampan.workspace.governing.governance import Governance
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    from sampan.data.contract import Contract
    from sampan.data.suites import Suite


class ContractEditing(DataRoom):
    """The verbs on a contract as such."""

    @operation(reads=True)
    def contract(self, ref: str) -> ContractShown:
        """Show a dataset's contract: every rule in words, and the file.

        Parameters
        ----------
        ref : the dataset
        """
        from sampan.data.contract import count_rules

        name = self._node(ref).name
        contract = self._contract(name)
        text = self.contracts.path(name).read_bytes()
        return ContractShown(
            dataset=name,
            file=shown_path(self.ws, self.contracts.path(name)),
            digest=digest_bytes(text),
            n_rules=count_rules(contract),
            rules=rule_lines(contract),
            contents=text.decode("utf-8"),
            next=(f"sampan data check {quote(name)}",),
        )

    @operation()
    def save_contract(self, ref: str, *, contents: str, base: str = "") -> ContractSaved:
        """Replace a dataset's contract by this text, if it is one, and record the version.

        Nothing is written if the text has faults, or if the file is no longer the one it was made from. A rule in Python runs code of the
        project, so a new one is written into the file on the machine itself, not by this.

        Parameters
        ----------
        ref : the dataset
        contents : the whole contract, as YAML
        base : digest of the contract it was made from (`sampan data contract` tells it); without one, whatever is there is replaced
        """
        from sampan.data.contract import count_rules
        from sampan.data.contract_yaml import read_contract

        name = self._node(ref).name
        file = self.contracts.path(name)
        shown, text = shown_path(self.ws, file), contents.replace("\r\n", "\n")
        contract = read_contract(text, file=shown)
        before = self.contracts.data(name) or b""
        if base and base != digest_bytes(before):
            said = f"{shown} has changed since this text was made from it"
            raise StaleState(said, expected=base, actual=digest_bytes(before), hint="load it again and repeat the change")
        there = self.contracts.read(name) if before and self.contracts.fault(name) is None else None
        _refuse_new_code(contract, there)
        Governance(self.ws).require_same_terms(name, there, contract)
        unchanged = before == text.encode()
        if not unchanged:
            self.contracts.write(name, text)
        recorded = self.ws.catalog.node(self.contracts.record(name, contract)).ref
        return ContractSaved(
            dataset=name,
            file=shown,
            version=recorded,
            n_rules=count_rules(contract),
            unchanged=unchanged,
            next=(f"sampan data check {quote(name)}",),
        )

    @operation(local=True)
    def import_rules(self, ref: str, source: Path) -> RulesImported:
        """Take the rules of a Pandera schema or a Great Expectations suite into a dataset's contract.

        Rules that are there already stay; what has no counterpart is named. Without a contract, one of the dataset's columns is begun.

        Parameters
        ----------
        ref : the dataset
        source : a schema that Pandera wrote as YAML or JSON, or a suite that Great Expectations wrote as JSON
        """
        from sampan.data.contract import count_rules
        from sampan.data.contract_yaml import read_contract, revise_contract, write_contract
        from sampan.data.rule_words import describe
        from sampan.data.suites import take_in

        node = self._node(ref)
        suite = _read_suite(self.ws.root / source, str(source))
        existing = self.contracts.read(node.name)
        base = existing or self._bare_contract(node.name, node.digest)
        taken = take_in(base, suite, source=source.name)
        file = shown_path(self.ws, self.contracts.path(node.name))
        before = self.contracts.text(node.name)[0] if existing else ""
        text = revise_contract(before, base, taken.contract) if existing else write_contract(taken.contract)
        contract = read_contract(text, file=f"{file} with {source}")
        self.contracts.write(node.name, text)
        return RulesImported(
            dataset=node.ref,
            file=file,
            source=str(source),
            n_rules=count_rules(contract),
            added=tuple(f"{rule.level}: {describe(rule)}" for rule in taken.added),
            left_out=taken.left_out,
            next=(f"sampan data check {quote(node.name)}",),
        )

    @operation(local=True)
    def export_rules(self, ref: str, *, form: Literal["pandera", "great-expectations"], to: Path | None = None) -> RulesExported:
        """Write a dataset's contract for Pandera (YAML) or Great Expectations (JSON); what has no place there is named.

        Parameters
        ----------
        ref : the dataset
        form : for which tool
        to : the file; without one, its text is shown
        """
        from sampan.data.expectation_suites import write_expectations
        from sampan.data.pandera_suites import write_pandera

        name = self._node(ref).name
        contract = self._contract(name)
        written = write_pandera(contract) if form == "pandera" else write_expectations(contract)
        if to is not None:
            with store_errors((self.ws.root / to).parent):
                (self.ws.root / to).write_text(written.text, encoding="utf-8")
        return RulesExported(
            dataset=name,
            written=str(to) if to else "",
            n_rules=written.n_rules,
            left_out=written.left_out,
            contents="" if to else written.text,
            next=(f"sampan data contract {quote(name)}",),
        )

    def _contract(self, name: str) -> Contract:
        contract = self.contracts.read(name)
        if contract is None:
            file = shown_path(self.ws, self.contracts.path(name))
            raise NotFound(f"{name} has no contract: no file {file}", hint=f"sampan data infer {quote(name)}")
        return contract

    def _bare_contract(self, name: str, digest: str) -> Contract:
        from sampan.data.contract import Column, Contract, logical_type

        schema = self.ws.store.tables.scan(digest).collect_schema()
        columns = (Column(name=column, type=logical_type(dtype), physical_type=str(dtype)) for column, dtype in schema.items())
        return Contract(name=name, columns=tuple(columns))


def _refuse_new_code(contract: Contract, before: Contract | None) -> None:
    """Refuse a function of the project that the contract did not name before: a page or a caller over HTTP must not choose what runs."""
    added = python_rules(contract) - (python_rules(before) if before else set())
    if added:
        said = f"the rule {min(added)} runs code of the project"
        raise AccessDenied(said, hint="write a new rule in Python into the contract's file, on the machine where the project is")


def _read_suite(file: Path, shown: str) -> Suite:
    from sampan.data.expectation_suites import read_expectations
    from sampan.data.pandera_suites import read_pandera

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        said = f"{shown} cannot be read: {getattr(cause, 'strerror', None) or 'it is not UTF-8'}"
        raise ParameterError(said, parameter="source", hint="name a file of the project") from cause
    return read_expectations(text, file=shown) if '"expectations"' in text else read_pandera(text, file=shown)
