"""The policy room: what data may be used for, who said so, and how to ask; leave that owners give."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from shlex import quote
from typing import Any, ClassVar, Final

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.events import new_id
from sampan.core.graph import Node
from sampan.core.refs import nearest
from sampan.core.times import Millis, iso
from sampan.errors import ParameterError, StaleState, UsageError
from sampan.governance.terms import ColumnTerms, Terms, faults_of, from_flat, strictest
from sampan.governance.uses import Grant
from sampan.workspace.governing.governance import DATASET, Governance, Layer, policy_name
from sampan.workspace.governing.governance_answers import (
    Asked,
    ColumnStatement,
    Leave,
    LeaveLine,
    Leaves,
    PolicyLine,
    PolicyList,
    PolicyShown,
    RequestLine,
    Statement,
    UseChecked,
)
from sampan.workspace.governing.governance_events import GRANT, REQUEST, LeaveAsked, LeaveEnded, LeaveGranted, PolicyDeclared
from sampan.workspace.governing.privacy import untreated
from sampan.workspace.operation import Room, operation

Names = list[str]  # inside a room, `list` may be the operation
_MANY: Final = 1000
_MOST_TRIES: Final = 20
_LONGEST_DAYS: Final = 366
_WORDS: Final = {
    "owner": "owner",
    "ask": "how to ask",
    "license": "license",
    "conditions": "conditions",
    "purposes": "only for",
    "not_for": "not for",
    "bases": "lawful basis",
    "regions": "only in",
    "expires": "not from",
    "keep_days": "days kept",
    "k": "k of generalized columns",
}


class Policy(Room):
    """What data may be used for.

    Parameters
    ----------
    ref : a dataset, model or package, like flights or flights-late@v2
    """

    noun: ClassVar[str] = "policy"

    @property
    def governance(self) -> Governance:
        """Terms and leaves."""
        return Governance(self.ws)

    @operation(reads=True, verb="list")
    def list_policies(self) -> PolicyList:
        """List the datasets with what they may be used for, who owns them, and who asks for leave."""
        if not self.ws.has_store:
            return PolicyList(policies=(), next=("sampan data add FILE",))
        found = []
        for asset in self.ws.catalog.assets(DATASET):
            terms = self.governance.terms(asset.name)
            found.append(
                PolicyLine(
                    name=asset.name,
                    owner=terms.owner,
                    purposes=terms.purposes,
                    regions=terms.regions,
                    expires=terms.expires,
                    n_personal=len(terms.personal()),
                    n_protected=len(terms.protected()),
                    n_leaves=sum(leave.state == "active" for leave in self._leaves(asset.name)),
                    n_requests=len(self._requests(asset.name)),
                )
            )
        following = (f"sampan policy show {quote(found[0].name)}",) if found else ("sampan data add FILE",)
        unknown = tuple(name for name in self.ws.project.policies if name not in {line.name for line in found})
        return PolicyList(policies=tuple(found), unknown=unknown, next=following)

    @operation(reads=True)
    def show(self, ref: str) -> PolicyShown:
        """Show what something may be used for, who said so, how to ask, and what it carries from its data."""
        node = self._node(ref)
        origins = [each for each in self.governance.origins(node) if (each.kind, each.name) != (node.kind, node.name)]
        layers = [(node, layer) for layer in self.governance.layers(node.name, node.kind)]
        carried = [(each, layer) for each in origins for layer in self.governance.layers(each.name, each.kind)]
        whole = strictest(layer.terms for _, layer in (*layers, *carried))
        use = self.governance.use("read")
        refused = self.governance.refusals(node, use)
        before = untreated(self.ws, node) if node.kind == DATASET else ()
        names = dict.fromkeys([node.name, *(each.name for each in origins)])
        return PolicyShown(
            ref=node.ref,
            kind=node.kind,
            owner=whole.owner or self.ws.project.project.owner,
            how_to_ask=_how(node.name, whole),
            statements=tuple(_statements([layer for _, layer in (*layers, *carried)])),
            columns=tuple(_column_lines(whole)),
            origins=tuple(each.name for each, layer in carried if layer.terms != Terms()),
            leaves=tuple(leave for name in names for leave in self._leaves(name) if leave.state == "active"),
            requests=tuple(request for name in names for request in self._requests(name)),
            allowed_now=not refused,
            refused=tuple(refusal.what for refusal in refused),
            untreated=before,
            unknown=_unknown_columns(node, [layer.terms for _, layer in layers]),
            next=(f"sampan policy ask {quote(node.name)} --reason WHY",)
            if refused
            else (f"sampan policy check {quote(node.name)} --purpose PURPOSE",),
        )

    @operation(verb="set")
    def declare(
        self,
        ref: str,
        *,
        owner: str = "",
        ask: str = "",
        license: str = "",  # noqa: A002  # the field's word
        conditions: str = "",
        purposes: Names | None = None,
        not_for: Names | None = None,
        bases: dict[str, str] | None = None,
        regions: Names | None = None,
        expires: str = "",
        keep_days: int | None = None,
        k: int | None = None,
        pii: dict[str, str] | None = None,
        protected: Names | None = None,
        actions: dict[str, str] | None = None,
        column_purposes: dict[str, str] | None = None,
        clear: Names | None = None,
    ) -> PolicyShown:
        """Say what something may be used for; what is not said again stays. Only its owner may.

        Parameters
        ----------
        owner : who answers for it, as the ledger names people
        ask : how to ask the owner: an address or a form
        license : its SPDX name, such as CC-BY-NC-4.0
        conditions : terms in words
        purposes : the only purposes it may be used for
        not_for : purposes it may not be used for
        bases : the lawful basis of each purpose, such as churn=consent; *=contract for every one
        regions : the only regions it may be processed in
        expires : the first day on which it may not be used any more
        keep_days : how many days a version may be used
        k : how many rows must share their generalized columns
        pii : the class of personal data in a column, such as mail=email
        protected : columns that reach evaluation and never the learner
        actions : what admission does to a column: drop, mask, pseudonym, generalize or encrypt
        column_purposes : the only purposes of a column, such as income=credit
        clear : what shall not be said any more, such as purposes, or column:NAME
        """
        node = self._node(ref)
        said = {
            "owner": owner,
            "ask": ask,
            "license": license,
            "conditions": conditions,
            "purposes": purposes,
            "not_for": not_for,
            "bases": bases,
            "regions": regions,
            "expires": expires,
            "keep_days": keep_days,
            "k": k,
            "pii": pii,
            "protected": protected,
            "actions": actions,
            "column_purposes": column_purposes,
        }
        if not any(value not in (None, "") for value in said.values()) and not clear:
            raise ParameterError("nothing was said", hint="such as --purposes churn, --regions vn, --pii mail=email")
        columns = node.facts.get("columns") if node.kind == DATASET else None
        self.say(node.name, from_flat(said), kind=node.kind, clear=clear or (), columns=columns)
        return self.show(node.id)

    def say(
        self,
        name: str,
        said: Terms,
        *,
        kind: str = DATASET,
        clear: Iterable[str] = (),
        columns: Iterable[str] | None = None,
        source: str = "",
    ) -> None:
        """Record newly said terms of an asset; saying the same again records nothing.

        Raises
        ------
        ParameterError : they cannot be meant; every fault at once.
        AccessDenied : another than the owner says them.
        """
        faults = list(faults_of(said, columns=columns))
        if faults:
            raise ParameterError("; ".join(faults), hint="sampan policy set --help")
        clear = tuple(clear)  # read again at each try
        for _ in range(_MOST_TRIES):
            with suppress(StaleState):  # somebody else said something meanwhile, to which this adds
                self._say_once(name, said, kind=kind, clear=clear, source=source)
                return
        raise StaleState(f"others change the terms of {name} so fast that {_MOST_TRIES} tries came too late", hint="try again in a moment")

    def _say_once(self, name: str, said: Terms, *, kind: str, clear: Iterable[str], source: str) -> None:
        newest = self.governance.declared(name, kind)
        before = read_builtins(newest.facts["terms"], Terms) if newest else Terms()
        after = _merged(_cleared(before, clear), said)
        if after == before:
            return
        self.governance.require_owner(name, kind, "say what it may be used for")
        facts = {"kind": kind, "name": name, "terms": msgspec.to_builtins(after), **({"source": source} if source else {})}
        follows = newest.id if newest else None
        self.ws.ledger.append(PolicyDeclared(node=new_id(), name=policy_name(name, kind), facts=facts, before=follows))

    @operation(reads=True)
    def check(
        self, ref: str, *, purpose: str = "", region: str = "", columns: Names | None = None, learned: Names | None = None
    ) -> UseChecked:
        """Say whether a use would be allowed, and which rules forbid it; exit code 3 if any does.

        Parameters
        ----------
        purpose : of the use; by default the project's
        region : of the use; by default $SAMPAN_REGION or the project's
        columns : that are read
        learned : of those, what a model is shown
        """
        node = self._node(ref)
        use = self.governance.use(
            "train" if learned else "read",
            purpose=purpose,
            region=region,
            columns=[*(columns or ()), *(learned or ())],
            learned=learned or (),
        )
        refused = self.governance.refusals(node, use)
        asked = f"sampan policy ask {quote(refused[0].dataset)} --reason WHY" if refused else f"sampan policy show {quote(node.name)}"
        return UseChecked(
            ref=node.ref,
            allowed=not refused,
            purpose=use.purpose,
            region=use.region,
            refused=tuple(refusal.what for refusal in refused),
            rules=tuple(refusal.rule for refusal in refused),
            next=(asked,),
        )

    @operation()
    def ask(self, ref: str, *, reason: str, purpose: str = "", region: str = "", columns: Names | None = None) -> Asked:
        """Ask the owner for leave to do what the terms forbid. The request waits in the ledger and on the page.

        Parameters
        ----------
        reason : why, for the owner to judge
        purpose : for which purpose
        region : in which region
        columns : for which protected or restricted columns
        """
        node = self._node(ref)
        if not reason.strip():
            raise ParameterError("a request needs a reason", hint="--reason 'the model serves the same customers'")
        facts = {"dataset": node.name, "purpose": purpose, "region": region, "columns": columns or [], "reason": reason}
        event = LeaveAsked(node=new_id(), name=f"{node.name}.request", facts=facts)
        self.ws.ledger.append(event, reason=reason)
        request = self._request_line(self.ws.catalog.node(event.node))
        terms = self.governance.terms(node.name, node.kind)
        answer = f"sampan policy grant {quote(node.name)} --request {request.ref} --until DATE"
        return Asked(request=request, owner=terms.owner or self.ws.project.project.owner, how_to_ask=_how(node.name, terms), next=(answer,))

    @operation()
    def grant(
        self,
        ref: str,
        *,
        until: str,
        reason: str = "",
        to: str = "",
        purpose: str = "",
        region: str = "",
        columns: Names | None = None,
        request: str = "",
    ) -> Leave:
        """Give leave to do what the terms forbid, for a reason and until a day. Only the owner may.

        Parameters
        ----------
        until : the day on which it ends, at most a year from now
        reason : why; by default the request's
        to : whom; by default who asked, else everyone
        purpose : for this purpose only
        region : for this region
        columns : the protected or restricted columns it frees
        request : the request it answers
        """
        node = self._node(ref)
        self.governance.require_owner(node.name, node.kind, "give leave")
        asked = self._request(request) if request else None
        said = asked.facts if asked else {}
        grant = Grant(
            dataset=node.name,
            to=to or (asked.actor if asked else "*"),
            purpose=purpose or str(said.get("purpose", "")),
            region=region or str(said.get("region", "")),
            columns=tuple(columns or said.get("columns", ())),
            reason=reason or str(said.get("reason", "")),
            until=self._end(until),
        )
        if not grant.reason.strip():
            raise ParameterError("leave is given for a reason", hint="--reason 'agreed with the works council on 2 May'")
        event = LeaveGranted(node=new_id(), name=f"{node.name}.grant", facts=msgspec.to_builtins(grant), answers=asked.id if asked else "")
        self.ws.ledger.append(event, reason=grant.reason)
        line = self._leave_line(self.ws.catalog.node(event.node), grant)
        return Leave(
            leave=line, did="granted", next=(f"sampan policy revoke {line.ref} --why WHY", f"sampan policy show {quote(node.name)}")
        )

    @operation()
    def revoke(self, leave: str, *, why: str) -> Leave:
        """Take leave back before its end. Only the owner may.

        Parameters
        ----------
        leave : such as flights.grant@v1
        why : the reason; it stays in the ledger
        """
        node = self.ws.catalog.resolve(leave, kind=GRANT)
        grant = read_builtins(node.facts, Grant)
        self.governance.require_owner(grant.dataset, DATASET, "take leave back")
        if not why.strip():
            raise ParameterError("leave is taken back for a reason", hint="--why 'the project ended'")
        if node.state != "active":
            raise StaleState(f"{node.ref} is {node.state} already", expected="active", actual=node.state)
        self.ws.ledger.append(LeaveEnded(node=node.id, before="active", after="revoked", reason=why), reason=why)
        line = self._leave_line(self.ws.catalog.node(node.id), grant)
        return Leave(leave=line, did="revoked", next=(f"sampan policy show {quote(grant.dataset)}",))

    @operation()
    def decline(self, request: str, *, why: str) -> Asked:
        """Decline a request for leave. Only the owner may.

        Parameters
        ----------
        request : such as flights.request@v1
        why : the reason; who asked will read it
        """
        node = self._request(request)
        name = str(node.facts["dataset"])
        self.governance.require_owner(name, DATASET, "decline")
        if not why.strip():
            raise ParameterError("a request is declined for a reason", hint="--why 'use the pseudonymous copy'")
        self.ws.ledger.append(LeaveEnded(node=node.id, before="open", after="declined", reason=why), reason=why)
        terms = self.governance.terms(name)
        line = self._request_line(self.ws.catalog.node(node.id))
        return Asked(
            request=line, owner=terms.owner, how_to_ask=_how(name, terms), did="declined", next=(f"sampan policy show {quote(name)}",)
        )

    @operation(reads=True)
    def leaves(self, *, ref: str = "") -> Leaves:
        """List leaves and requests, newest first, with those that ended.

        Parameters
        ----------
        ref : of this dataset only
        """
        name = self._node(ref).name if ref else ""
        if not self.ws.has_store:
            return Leaves(leaves=(), requests=())
        leaves = tuple(self._leave_line(node, grant) for node, grant in self.governance.grants(name, state=""))
        requests = tuple(self._requests(name, state=""))
        waiting = next((each for each in requests if each.state == "open"), None)
        following = (f"sampan policy grant {quote(waiting.dataset)} --request {waiting.ref} --until DATE",) if waiting else ()
        return Leaves(leaves=leaves, requests=requests, next=following or ("sampan policy list",))

    # -- parts ----------------------------------------------------------------------------------------------------------------------

    def _node(self, ref: str) -> Node:
        """Return what a reference means; of several things of one name the dataset, else the model."""
        for kind in (DATASET, "model"):
            with suppress(UsageError):
                return self.ws.catalog.resolve(ref, kind=kind)
        return self.ws.catalog.resolve(ref)

    def _end(self, until: str) -> Millis:
        from sampan.workspace.training.feature_tables import read_moment

        end, now = read_moment(until, otherwise=0), self.ws.clock()
        if end <= now:
            raise ParameterError(f"until is {until}, which is past", hint="give a day to come")
        latest = datetime.fromtimestamp(now / 1000, UTC) + timedelta(days=_LONGEST_DAYS)
        if end > latest.timestamp() * 1000:
            raise ParameterError(
                f"until is {until}, more than a year from now", hint="leave is looked at again once a year; or change the terms"
            )
        return end

    def _leaves(self, name: str) -> list[LeaveLine]:
        return [self._leave_line(node, grant) for node, grant in self.governance.grants(name)]

    def _leave_line(self, node: Node, grant: Grant) -> LeaveLine:
        state = "ended" if node.state == "active" and grant.until <= self.ws.clock() else node.state
        return LeaveLine(
            ref=node.ref,
            dataset=grant.dataset,
            to=grant.to,
            purpose=grant.purpose,
            region=grant.region,
            columns=grant.columns,
            reason=grant.reason,
            until=iso(grant.until)[:10],
            by=node.actor,
            state=state,
        )

    def _request(self, ref: str) -> Node:
        node = self.ws.catalog.resolve(ref, kind=REQUEST)
        if node.state != "open":
            raise StaleState(f"{node.ref} is {node.state} already", expected="open", actual=node.state)
        return node

    def _requests(self, name: str, *, state: str = "open") -> list[RequestLine]:
        nodes = self.ws.catalog.nodes(kind=REQUEST, name=f"{name}.request" if name else "", state=state, limit=_MANY)
        return [self._request_line(node) for node in nodes]

    def _request_line(self, node: Node) -> RequestLine:
        said = node.facts
        return RequestLine(
            ref=node.ref,
            dataset=str(said["dataset"]),
            by=node.actor,
            purpose=str(said["purpose"]),
            columns=tuple(said["columns"]),
            reason=str(said["reason"]),
            asked=iso(node.created),
            state=node.state,
        )


def _unknown_columns(node: Node, said: Iterable[Terms]) -> tuple[str, ...]:
    """Return columns of which something is said that a version lacks, other than by being dropped."""
    there = node.facts.get("columns") if node.kind == DATASET else None
    if there is None:
        return ()
    return tuple(name for name, column in strictest(said).columns.items() if name not in there and column.action != "drop")


def _how(name: str, terms: Terms) -> str:
    command = f"sampan policy ask {quote(name)} --reason WHY"
    return f"{terms.ask}, or {command}" if terms.ask else command


def _statements(layers: Iterable[Layer]) -> Iterable[Statement]:
    for layer in layers:
        for field, word in _WORDS.items():
            value: Any = getattr(layer.terms, field)
            if value not in ("", (), {}, None):
                yield Statement(word, _shown(value), layer.said_by)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {each}" for name, each in value.items())
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _column_lines(terms: Terms) -> Iterable[ColumnStatement]:
    for name, column in terms.columns.items():
        yield ColumnStatement(name, column.pii, column.protected, column.action, column.purposes)


def _merged(before: Terms, said: Terms) -> Terms:
    """Return terms in which what is newly said replaces what was."""
    fresh = {name: value for name in msgspec.structs.asdict(said) if (value := getattr(said, name)) not in ("", (), {}, None)}
    columns = dict(before.columns)
    for name, column in fresh.pop("columns", {}).items():
        newly = {field: value for field, value in msgspec.structs.asdict(column).items() if value}
        columns[name] = msgspec.structs.replace(columns.get(name, ColumnTerms()), **newly)
    return msgspec.structs.replace(before, **fresh, columns=columns)


def _cleared(terms: Terms, names: Iterable[str]) -> Terms:
    fresh = Terms()
    columns = dict(terms.columns)
    for name in names:
        head, colon, column = name.partition(":")
        if colon and head == "column":
            if columns.pop(column, None) is None:
                raise ParameterError(f"nothing is said of column {column!r}", hint="columns: " + (", ".join(columns) or "none"))
        elif name not in _WORDS:
            close = nearest(name, _WORDS, n=1)
            raise ParameterError(
                f"clear names {name!r}" + (f", did you mean {close[0]}?" if close else ""), hint="one of " + ", ".join(_WORDS)
            )
        else:
            terms = msgspec.structs.replace(terms, **{name: getattr(fresh, name)})
    return msgspec.structs.replace(terms, columns=columns)
