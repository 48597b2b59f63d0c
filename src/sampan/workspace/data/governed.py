"""Personal data in datasets: finding it, how well rows hide, and looking behind pseudonyms with leave."""

from __future__ import annotations

from shlex import quote

from sampan.core.decoding import read_builtins
from sampan.core.graph import Node
from sampan.errors import AccessDenied, ParameterError
from sampan.governance.terms import Terms
from sampan.workspace.data.governed_answers import Hidden, PersonalData, Reidentification, Seen
from sampan.workspace.data.room import DataRoom, Names
from sampan.workspace.governing.governance import Governance, require_allowed
from sampan.workspace.governing.governance_events import Reidentified
from sampan.workspace.governing.privacy import key_purpose
from sampan.workspace.governing.privacy_keys import PrivacyKeys
from sampan.workspace.operation import operation

_MOST_ROWS = 200_000  # looked at, evenly over the table
_FINDING = 2  # raise when the same table would give other findings


class Governed(DataRoom):
    """The verbs of personal data."""

    @operation()
    def pii(self, ref: str, *, declare: bool = False) -> PersonalData:
        """Find columns with personal data, by their values and by their names, with the evidence.

        Parameters
        ----------
        ref : the dataset
        declare : say of each likely column what was found, as `sampan policy set --pii` does
        """
        import msgspec

        from sampan.governance.columns import scan
        from sampan.governance.columns_found import ColumnFinding

        node = self._node(ref)

        def find() -> object:
            lazy, columns = self.ws.store.tables.scan(node.digest), node.facts["columns"]
            step = max(node.facts["n_rows"] // _MOST_ROWS, 1)
            found = []
            with self.ws.progress.stage("looking for personal data", total=len(columns), unit="columns") as stage:
                for name in columns:  # one at a time: a wide table of millions of rows would not fit
                    found += [*scan(lazy.select(name).gather_every(step).collect())]
                    stage.advance(1, name)
            return msgspec.to_builtins(found)

        made, _ = self.ws.engine.once("personal data", [_FINDING, node.digest], find)
        findings = tuple(read_builtins(made, list[ColumnFinding]))
        if self.withheld(node):  # a mask still tells of a value
            findings = tuple(msgspec.structs.replace(each, examples=()) for each in findings)
        likely = {each.column: each.pii for each in findings if each.certainty == "likely"}
        if declare and likely:
            self.ws.policy.declare(node.id, pii=likely)
        said = Governance(self.ws).terms(node.name).personal()
        undeclared = tuple(column for column in likely if column not in said)
        pairs = " ".join(f"--pii {quote(f'{column}={likely[column]}')}" for column in undeclared)
        following = f"sampan policy set {quote(node.name)} {pairs}" if undeclared else f"sampan policy show {quote(node.name)}"
        return PersonalData(
            ref=node.ref,
            n_rows=node.facts["n_rows"],
            n_columns=len(node.facts["columns"]),
            findings=findings,
            undeclared=undeclared,
            next=(following,),
        )

    @operation(reads=True)
    def anonymity(self, ref: str, *, by: Names | None = None, sensitive: Names | None = None, k: int | None = None) -> Hidden:
        """Count how many rows share what could single them out (k), and how varied each such group is (l).

        Parameters
        ----------
        ref : the dataset
        by : columns that others may know of a person; by default those that are generalized at admission
        sensitive : columns that must vary within a group; by default the protected ones
        k : the least that is wanted; below it the exit code is 3
        """
        from sampan.governance.anonymity import measure

        node = self._node(ref)
        terms = Governance(self.ws).terms(node.name)
        quasi = by or [name for name, column in terms.columns.items() if column.action == "generalize"]
        if not quasi:
            raise ParameterError(f"nothing says by what the people of {node.name} could be told", hint="--by age,postcode,sex")
        wanted = [*quasi, *(sensitive if sensitive is not None else terms.protected())]
        self._check_columns(node, wanted)
        hidden = [name for name in wanted if name not in quasi and name in node.facts["columns"]]
        frame = self.ws.store.tables.scan(node.digest).select(*dict.fromkeys([*quasi, *hidden])).collect()
        found = measure(frame, quasi, sensitive=hidden)
        least = k if k is not None else (terms.k or 0)
        following = _towards_k(node, terms, quasi, max(least, 5)) if found.k < max(least, 2) else ""
        return Hidden(
            ref=node.ref, quasi=tuple(quasi), anonymity=found, wanted_k=least, next=(following or f"sampan policy show {quote(node.name)}",)
        )

    @operation()
    def reidentify(self, ref: str, *, column: str, values: Names, why: str, candidates: Names | None = None) -> Reidentification:
        """Look behind ciphers, or ask which of some candidates a pseudonym is; needs a role, and is recorded.

        Parameters
        ----------
        ref : the dataset
        column : the encrypted or pseudonymous column
        values : what stands in it
        why : the reason; it stays in the ledger, the values do not
        candidates : whom a pseudonym might be; a pseudonym cannot be turned back
        """
        from sampan.governance.pseudonyms import PSEUDONYM, decrypt, pseudonym

        node = self._node(ref)
        self._check_columns(node, [column])
        if not why.strip():
            raise ParameterError("looking behind a pseudonym needs a reason", hint="--why 'court order 12/2026'")
        terms = Governance(self.ws).terms(node.name)
        self._require_role(node, column, len(values), why)
        require_allowed(self.ws, [node], columns=[column])
        key = PrivacyKeys(self.ws).key(key_purpose(terms.purposes))
        known = {pseudonym(key, each, terms.column(column).pii): each for each in candidates or ()}
        if not candidates and any(value.startswith(PSEUDONYM) for value in values):
            raise ParameterError("a pseudonym cannot be turned back", hint="--candidates NAME,NAME: say whom it might be")
        seen = tuple(Seen(value, known.get(value) if value.startswith(PSEUDONYM) else str(decrypt(key, value))) for value in values)
        receipt = self._record_look(node, column, len(values), why, outcome="shown")
        return Reidentification(
            ref=node.ref, column=column, seen=seen, event=receipt, next=(f"sampan log {quote(node.ref)} --type reidentified",)
        )

    def _require_role(self, node: Node, column: str, n_values: int, why: str) -> None:
        allowed = self.ws.project.governance.reidentify
        if self.ws.actor in allowed:
            return
        self._record_look(node, column, n_values, why, outcome="refused")
        named = ", ".join(allowed) or "nobody"
        raise AccessDenied(
            f"{self.ws.actor} may not look behind pseudonyms; {named} may",
            hint="sampan.toml: [governance] reidentify = ['name']; the try is recorded",
        )

    def _record_look(self, node: Node, column: str, n_values: int, why: str, *, outcome: str) -> int:
        event = Reidentified(dataset=node.id, outcome=outcome, column=column, n_values=n_values, reason=why)
        return self.ws.ledger.append(event, reason=why).seq


def _towards_k(node: Node, terms: Terms, quasi: Names, least: int) -> str:
    """Say what makes groups larger: generalizing, and where that is declared, admitting the source again."""
    if (terms.k or 0) >= least and all(terms.column(name).action == "generalize" for name in quasi):
        return f"sampan data add {quote(str(node.facts.get('source') or 'FILE'))} --name {quote(node.name)}"
    coarser = " ".join(f"--actions {quote(f'{name}=generalize')}" for name in quasi)
    return f"sampan policy set {quote(node.name)} {coarser} --k {least}"
