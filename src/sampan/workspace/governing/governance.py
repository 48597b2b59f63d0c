"""What the data of a workspace may be used for: terms from every place where they are said, carried along lineage, and the refusal.

Terms of a dataset come from `sampan.toml` ([policies.NAME]), its contract (customProperties), `sampan policy set` and `sp.dataset`; all of
them hold. A thing derived from datasets (a dataset, a model, a package) may do what the terms of every one of them allow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.graph import Graph, Node
from sampan.core.times import Millis, iso
from sampan.errors import AccessDenied, NotFound, ParameterError, PolicyRefused
from sampan.governance.terms import ColumnTerms, Terms, covers, faults_of, from_flat, strictest
from sampan.governance.uses import Act, Grant, Refusal, Use, judge, lift
from sampan.workspace.governing.governance_events import GRANT, POLICY

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

DATASET: Final = "dataset"
REGION_VARIABLE: Final = "SAMPAN_REGION"
# The edges along which content flows. That a thing was judged, checked or watched by another passes nothing on.
_DERIVED: Final = frozenset(
    {"input", "output", "trained_on", "derived_from", "packaged_as", "deployed_as", "repaired_from", "held_from", "erased_from"}
)
_NAMED: Final = frozenset({DATASET, "model", "package"})  # kinds that may have terms of their own
_MANY: Final = 1000
_DECLARES: Final = {"read": "sp.data(…, purpose=…), or ", "train": "@sp.train(…, purpose=…), or "}  # where a program says its purpose
_SAYS_TERMS: Final = re.compile(
    rb"property:\s*['\"]?(?:owner|ask|licen[cs]e|conditions|purposes|not_for|bases|regions|expires|keep_days|k|pii|protected|action)\b"
)
_SAID_OF_TABLES: Final = ("ask", "license", "conditions", "purposes", "not_for", "bases", "regions", "expires", "keep_days", "k")


class Layer(msgspec.Struct, frozen=True):
    """Terms as one source says them."""

    source: str  # a file, or the reference of the declaration
    terms: Terms
    by: str = ""
    at: Millis | None = None

    @property
    def said_by(self) -> str:
        """Who said it and where, in words."""
        who = f"{self.by} in " if self.by else ""
        return f"{who}{self.source}" + (f" on {iso(self.at)[:10]}" if self.at is not None else "")


class Origin(msgspec.Struct, frozen=True):
    """A named thing that something is derived from, with the earliest moment of the versions used, and what is read of it."""

    kind: str
    name: str
    made: Millis
    columns: tuple[str, ...] | None = None  # None = not known, so whatever the use says
    learned: tuple[str, ...] = ()


class Governance:
    """Terms and leaves of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace

    # -- what is said ---------------------------------------------------------------------------------------------------------------

    def layers(self, name: str, kind: str = DATASET) -> list[Layer]:
        """Return the terms of an asset from each source that says any, the newest declaration first."""
        found = [*self._declared(name, kind)]
        if kind == DATASET:
            found += [*self._in_contract(name), *self._in_project_file(name), *self._on_asset(name)]
        return found

    def terms(self, name: str, kind: str = DATASET) -> Terms:
        """Return the strictest of all that is said of an asset."""
        return strictest(layer.terms for layer in self.layers(name, kind))

    def declared(self, name: str, kind: str = DATASET) -> Node | None:
        """Return the newest declaration by verb or in Python, or None."""
        found = self.ws.catalog.nodes(kind=POLICY, name=policy_name(name, kind), limit=1) if self.ws.has_store else []
        return found[0] if found else None

    def _declared(self, name: str, kind: str) -> Iterator[Layer]:
        if (node := self.declared(name, kind)) is not None:
            yield Layer(str(node.facts.get("source") or node.ref), read_builtins(node.facts["terms"], Terms), node.actor, node.created)

    def _in_project_file(self, name: str) -> Iterator[Layer]:
        policy = self.ws.project.policies.get(name)
        source = self.ws.project.datasets.get(name)
        said = msgspec.structs.asdict(policy) if policy else {}
        terms = from_flat({**said, "owner": said.get("owner") or (source.owner if source else "")})
        if faults := list(faults_of(terms)):
            raise ParameterError(f"sampan.toml, [policies.{name}]: " + "; ".join(faults), hint="mend sampan.toml and try again")
        if terms != Terms():
            yield Layer("sampan.toml", terms)

    def _in_contract(self, name: str) -> Iterator[Layer]:
        from sampan.workspace.data.contracts import Contracts, shown_path

        contracts = Contracts(self.ws)
        file, data = contracts.path(name), contracts.data(name)
        if data is None or not _may_say_terms(data):
            return
        contract = contracts.read(name)
        try:
            terms = terms_of_contract(contract) if contract is not None else Terms()
        except ParameterError as fault:
            raise ParameterError(f"{shown_path(self.ws, file)}: {fault.message}", hint="mend the contract and try again") from fault
        if terms != Terms():
            yield Layer(shown_path(self.ws, file), terms)

    def _on_asset(self, name: str) -> Iterator[Layer]:
        if not self.ws.has_store:
            return
        try:
            owner = str(self.ws.catalog.asset(DATASET, name).facts.get("owner", ""))
        except NotFound:
            return
        if owner:
            yield Layer("the dataset's description", Terms(owner=owner))

    def acts_for(self, owner: str) -> bool:
        """Say whether who acts now is an owner, one of a team's people, or an officer."""
        declared = self.ws.project.governance
        people = {owner, *declared.officers, *(name.strip() for name in declared.teams.get(owner, "").split(","))}
        return self.ws.actor in people

    def require_owner(self, name: str, kind: str, what: str) -> None:
        """Let only the owner act, or an officer; where nobody owns it, anyone may be the first to say who does. Raises AccessDenied."""
        owner = self.terms(name, kind).owner
        if owner and not self.acts_for(owner):
            raise AccessDenied(
                f"{self.ws.actor} may not {what}: {owner} owns {name}",
                hint=f"ask {owner}; a team's people are named in sampan.toml: [governance] teams = {{ {quote(owner)} = '…' }}",
            )

    def require_handover(self, name: str, owner: str) -> None:
        """Let only the owner give a dataset to another. What a reviewed file says of its owner already is no handover."""
        if owner not in ("", self.terms(name).owner):
            self.require_owner(name, DATASET, f"give it to {owner}")

    def require_same_terms(self, name: str, before: Any, after: Any) -> None:
        """Let only the owner change what a dataset's contract says of its use; `before` is None where there was no contract."""
        if terms_of_contract(after) != (Terms() if before is None else terms_of_contract(before)):
            self.require_owner(name, DATASET, "change what its contract says of its use")

    # -- leaves ---------------------------------------------------------------------------------------------------------------------

    def grants(self, name: str = "", *, state: str = "active") -> list[tuple[Node, Grant]]:
        """Return leaves with their nodes, newest first, of one dataset if given; also those that have ended."""
        if not self.ws.has_store:
            return []
        nodes = self.ws.catalog.nodes(kind=GRANT, name=f"{name}.grant" if name else "", state=state, limit=_MANY)
        return [(node, read_builtins(node.facts, Grant)) for node in nodes]

    # -- whether a use is allowed ---------------------------------------------------------------------------------------------------

    def use(self, act: Act, *, purpose: str = "", region: str = "", columns: Sequence[str] = (), learned: Sequence[str] = ()) -> Use:
        """Describe a use; purpose and region default to the project's, the region to $SAMPAN_REGION before that."""
        about = self.ws.project.project
        purpose = purpose or about.purpose
        earning = (name for name, each in self.ws.project.purposes.items() if each.commercial)
        return Use(
            act=act,
            purpose=purpose,
            commercial=any(covers(name, purpose) for name in earning),
            region=region or os.environ.get(REGION_VARIABLE, "") or about.region,
            columns=tuple(columns),
            learned=tuple(learned),
            actor=self.ws.actor,
            now=self.ws.clock(),
        )

    def origins(self, node: Node) -> list[Origin]:
        """Return everything with a name that a node's content comes from, itself included."""
        graph = self.ws.catalog.lineage(node.id)
        nodes = {each.id: each for each in graph.nodes}
        reached = _reached(node, graph)
        read: dict[str, tuple[set[str], set[str]]] = {}
        for each in reached:
            for name, columns in nodes[each].facts.get("reads", {}).items() if nodes[each].kind == "model" else ():
                known = read.setdefault(name, (set(), set()))
                known[0].update(columns)
                known[1].update(nodes[each].facts.get("learns", {}).get(name, ()))
        found: dict[tuple[str, str], Origin] = {}
        for each in reached:
            one = nodes[each]
            if one.kind in _NAMED and one.name:
                before = found.get((one.kind, one.name))
                made = min(one.created, before.made) if before else one.created
                columns, learned = read.get(one.name, (None, set())) if one.kind == DATASET else (None, set())
                found[one.kind, one.name] = Origin(
                    one.kind, one.name, made, None if columns is None else tuple(sorted(columns)), tuple(sorted(learned))
                )
        return list(found.values())

    def whole_terms(self, node: Node) -> Terms:
        """Return the strictest of what is said of a node and of everything it comes from; of columns, what is said of its own name's."""
        said = [layer.terms for origin in self.origins(node) for layer in self.layers(origin.name, origin.kind)]
        return msgspec.structs.replace(strictest(said), columns=self.terms(node.name, node.kind).columns)

    def refusals(self, node: Node, use: Use) -> list[Refusal]:
        """Return what forbids a use of a node and is lifted by no leave."""
        found: list[Refusal] = []
        for origin in self.origins(node):
            layers = self.layers(origin.name, origin.kind)
            if not any(layer.terms != Terms() for layer in layers):
                continue
            seen = use
            if origin.columns is not None:
                seen = msgspec.structs.replace(use, columns=origin.columns, learned=origin.learned)
            whole = strictest(layer.terms for layer in layers)
            named = origin.name if origin.kind == DATASET else f"{origin.kind} {origin.name}"
            refused = [r for layer in layers for r in judge(layer.terms, seen, dataset=named, made=origin.made, said_by=layer.said_by)]
            about = self.ws.project.project
            refused = [
                msgspec.structs.replace(r, dataset=origin.name, owner=r.owner or whole.owner or about.owner, ask=r.ask or whole.ask)
                for r in refused
            ]
            found += lift(refused, (grant for _, grant in self.grants(origin.name)), seen) if refused else []
        return found

    def withheld(self, node: Node) -> str:
        """Say why the values of a version may not be shown, nor those that a record (a check, a batch) quotes of one; '' where they may."""
        versions = [node] if node.kind == DATASET else _newest_by_name(self.ws.catalog.lineage(node.id))
        try:
            for version in versions:
                require_allowed(self.ws, [version], columns=[*version.facts.get("columns", ())])
        except PolicyRefused as refusal:
            return f"{refusal.message}; {refusal.hint}"
        return ""


def require_allowed(
    ws: Workspace,
    nodes: Sequence[Node],
    *,
    purpose: str = "",
    region: str = "",
    columns: Sequence[str] = (),
    act: Act = "read",
) -> None:
    """Refuse a use of these nodes that the terms of any of their origins forbid. Reads records only, no row.

    Parameters
    ----------
    purpose, region : of the use; by default those of the project file
    columns : the columns of datasets that are read, where they are known
    act : what is about to be done

    Raises
    ------
    PolicyRefused : the first rule that forbids it, who owns the data and how to ask; `reasons` lists all.
    """
    if not ws.has_store:
        return
    governance = Governance(ws)
    use = governance.use(act, purpose=purpose, region=region, columns=columns)
    refuse_any([refusal for node in nodes for refusal in governance.refusals(node, use)], use)


def require_training(
    ws: Workspace,
    datasets: Mapping[str, Node],
    *,
    reads: Mapping[str, Sequence[str]],
    learns: Mapping[str, Sequence[str]],
    purpose: str = "",
    act: Act = "train",
) -> None:
    """Refuse a training, or an evaluation, whose purpose, region, day or columns a dataset's terms forbid.

    Parameters
    ----------
    datasets : the versions, by the name under which `reads` and `learns` give their columns

    Raises
    ------
    PolicyRefused : as `require_allowed`.
    """
    governance = Governance(ws)
    found: list[Refusal] = []
    use = governance.use(act, purpose=purpose)
    for table, node in datasets.items():
        seen = governance.use(act, purpose=purpose, columns=reads.get(table, ()), learned=learns.get(table, ()))
        found += governance.refusals(node, seen)
    refuse_any(found, use)


def refuse_any(refusals: Iterable[Refusal], use: Use) -> None:
    """Raise one PolicyRefused for all refusals, if there is one."""
    found = list({refusal.what: refusal for refusal in refusals}.values())
    if not found:
        return
    first = found[0]
    owner = first.owner or "the project's owner"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    said = f" (said by {first.said_by})" if first.said_by else ""
    raise PolicyRefused(
        f"{first.what}{said}{more}",
        rule=first.rule,
        owner=owner,
        reasons=tuple(refusal.what for refusal in found) if more else (),
        hint=_how_to_ask(first, use, owner),
    )


def _how_to_ask(first: Refusal, use: Use, owner: str) -> str:
    show = f"sampan policy show {quote(first.dataset)}"
    if first.rule in ("purpose", "lawful-basis", "column") and not use.purpose:
        call = _DECLARES.get(use.act, "")
        return f"declare it: {call}purpose in [project] of sampan.toml; {show}"
    if first.rule == "region" and not use.region:
        return f"declare it: region in [project] of sampan.toml, or ${REGION_VARIABLE}; {show}"
    if first.rule == "protected":
        return f"take {first.column} out of the features, or keep it as a slice; {show}"
    if first.rule in ("expiry", "retention"):
        return f"{owner} may renew the terms ({first.ask or 'sampan policy set'}); {show}"
    purpose = f" --purpose {quote(use.purpose)}" if use.purpose else ""
    asked = f"sampan policy ask {quote(first.dataset)}{purpose} --reason WHY"
    return f"ask {owner}" + (f" ({first.ask})" if first.ask else "") + f": {asked}"


def policy_name(name: str, kind: str = DATASET) -> str:
    """Return the name under which an asset's declarations are kept."""
    return f"{name}.policy" if kind == DATASET else f"{kind} {name}.policy"


def terms_of_contract(contract: Any) -> Terms:
    """Read the terms that a contract's customProperties hold; what else stands there is left alone. ParameterError: its faults."""
    said: Mapping[str, Any] = getattr(contract, "properties", {})
    known = {name: value for name, value in said.items() if name in _SAID_OF_TABLES}
    columns = {column.name: terms for column in contract.columns if (terms := _terms_of_column(column)) != ColumnTerms()}
    flat = from_flat({**known, "owner": contract.owner, "license": getattr(contract, "licence", "") or known.get("license", "")})
    whole = msgspec.structs.replace(flat, columns=columns)
    if faults := list(faults_of(whole)):
        raise ParameterError("; ".join(faults), hint="sampan policy set --help lists the words")
    return whole


def _terms_of_column(column: Any) -> ColumnTerms:
    said: Mapping[str, Any] = getattr(column, "properties", {})
    name, protected = column.name, said.get("protected", False)
    if not isinstance(protected, bool):
        raise ParameterError(f"protected of {name} is {protected!r}, expected true or false")
    flat = from_flat(
        {
            "pii": {name: str(getattr(column, "pii", "") or said.get("pii", ""))},
            "actions": {name: str(said.get("action", ""))},
            "column_purposes": {name: said.get("purposes", ())},
        }
    )
    return msgspec.structs.replace(flat.column(name), protected=protected)


def _may_say_terms(text: bytes) -> bool:
    """Say whether reading a contract could find terms: drafts of thousands of columns have none, and are not parsed for nothing."""
    return bool(_SAYS_TERMS.search(text))


def _newest_by_name(graph: Graph) -> list[Node]:
    """Return the newest version of each dataset in a graph."""
    versions = sorted((node for node in graph.nodes if node.kind == DATASET), key=lambda node: node.version or 0)
    return list({node.name: node for node in versions}.values())


def _reached(start: Node, graph: Graph) -> list[str]:
    """Return the ids of what a node's content comes from, itself first."""
    sources: dict[str, list[str]] = {}
    for edge in graph.edges:
        if edge.role in _DERIVED:
            sources.setdefault(edge.dst, []).append(edge.src)
    found, waiting = [start.id], [start.id]
    seen = {start.id}
    while waiting:
        for src in sources.get(waiting.pop(), ()):
            if src not in seen:
                seen.add(src)
                found.append(src)
                waiting.append(src)
    return found
