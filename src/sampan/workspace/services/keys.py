"""The service room's verbs for keys: who may ask the prediction servers of a project. The store keeps a key's hash, never the key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from sampan.core.answers import Answer
from sampan.core.changes import AddNode, Change, EnsureAsset, SetState
from sampan.core.events import Event, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.refs import check_name, nearest
from sampan.core.times import Millis, iso
from sampan.errors import NotFound, ParameterError
from sampan.workspace.columns import align
from sampan.workspace.operation import operation
from sampan.workspace.services.room import ServiceRoom

if TYPE_CHECKING:
    from sampan.serving.callers import KeyRing
    from sampan.store.catalog import Catalog

KIND: Final = "caller_key"  # not "key": those of data are of that kind
VALID, REVOKED = "valid", "revoked"
_DAY_MS: Final = 86_400_000
_MOST: Final = 10_000


class KeyAdded(Event, frozen=True, kw_only=True):
    """A caller was given a key."""

    type: ClassVar[str] = "key_added"

    node: NodeId
    caller: str
    facts: dict[str, Any]  # hash, shown, services, rate, expires

    def subject(self) -> NodeId:
        """Return the key."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the key; it is valid from now on."""
        return (
            EnsureAsset(kind=KIND, name=self.caller),
            AddNode(id=self.node, kind=KIND, name=self.caller, state=VALID, facts=self.facts, numbered=False),
        )


class KeyRevoked(Event, frozen=True, kw_only=True):
    """A key stopped being valid."""

    type: ClassVar[str] = "key_revoked"

    node: NodeId
    caller: str

    def subject(self) -> NodeId:
        """Return the key."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Compare and set the key's state."""
        return (SetState(node=self.node, before=VALID, after=REVOKED),)


class Key(msgspec.Struct, frozen=True):
    """A key, as far as anyone may see it."""

    caller: str
    shown: str  # how the key begins
    state: str
    since: str
    services: tuple[str, ...] = ()
    rate: float = 0.0
    expires: str = ""


class KeyMade(Answer, frozen=True, kw_only=True):
    """A new key. This is the one time that it is shown."""

    caller: str
    key: str
    services: tuple[str, ...] = ()

    def text(self) -> str:
        """Show the key, and say that it cannot be shown again."""
        opens = ", ".join(self.services) or "every service"
        return f"{self.key}\n  is the key of {self.caller} for {opens}. Keep it now: only its hash is stored."


class KeyList(Answer, frozen=True, kw_only=True):
    """The keys of a project."""

    keys: tuple[Key, ...]

    def text(self) -> str:
        """One line a key."""
        if not self.keys:
            return "no key yet: servers answer on loopback only"
        rows = [
            (k.caller, f"{k.shown}…", k.state, k.since, ", ".join(k.services) or "every", f"{k.rate:g}/s" if k.rate else "-", k.expires)
            for k in self.keys
        ]
        return align(("caller", "key", "state", "since", "services", "rate", "expires"), rows)


class ServiceKeys(ServiceRoom):
    """The verbs for keys."""

    @operation(local=True)
    def key_add(self, caller: str, *, service: list[str] | None = None, rate: float = 0.0, days: float | None = None) -> KeyMade:
        """Make a key for a caller. It is shown once; from then on servers answer to keys only.

        Parameters
        ----------
        caller : who will use it: a program, a team
        service : which services it opens; none: every one
        rate : requests a second that the caller may send; 0: the servers' limit
        days : how long it is valid; none: until it is revoked
        """
        from sampan.serving.callers import SHOWN, hash_key, new_key

        if rate < 0 or (days is not None and days <= 0):
            raise ParameterError(f"rate is {rate:g} and days {days}, expected at least 0 and more than 0", parameter="rate")
        services = tuple(dict.fromkeys(service or ()))
        self._check_services(services)
        key = new_key()
        expires = None if days is None else self.ws.clock() + int(days * _DAY_MS)
        facts = {"hash": hash_key(key), "shown": key[:SHOWN], "services": services, "rate": rate, "expires": expires}
        self.ws.ledger.append(KeyAdded(node=new_id(), caller=check_name(caller), facts=facts))
        return KeyMade(caller=caller, key=key, services=services, next=("sampan service key list",))

    @operation(reads=True)
    def key_list(self) -> KeyList:
        """List keys: whose, since when, for what. The keys themselves are not stored."""
        found = self.ws.catalog.nodes(kind=KIND, limit=_MOST) if self.ws.has_store else []
        keys = tuple(_key(node) for node in found)
        return KeyList(keys=keys, next=(f"sampan service key revoke {keys[0].caller}",) if keys else ("sampan service key add CALLER",))

    @operation()
    def key_revoke(self, caller: str, *, key: str = "") -> KeyList:
        """Make the keys of a caller worthless, within a second on every running server.

        Parameters
        ----------
        caller : whose keys
        key : how the one key begins that is meant; by default all of the caller's
        """
        valid = self.ws.catalog.nodes(kind=KIND, state=VALID, limit=_MOST) if self.ws.has_store else []
        meant = [node for node in valid if node.name == caller and str(node.facts["shown"]).startswith(key[: len(node.facts["shown"])])]
        if not meant:
            names = sorted({node.name for node in valid})
            raise NotFound(f"{caller} has no valid key {key}".rstrip(), did_you_mean=nearest(caller, names), hint="sampan service key list")
        self.ws.ledger.append(*(KeyRevoked(node=node.id, caller=caller) for node in meant))
        gone = tuple(_key(self.ws.catalog.node(node.id)) for node in meant)
        return KeyList(keys=gone, next=("sampan service key list",))

    def _check_services(self, services: tuple[str, ...]) -> None:
        known = [asset.name for kind in ("service", "model") for asset in self.ws.catalog.assets(kind)]
        for name in services:
            if name not in known:
                raise NotFound(f"no service or model called {name!r}", did_you_mean=nearest(name, known), hint="sampan service list")


def key_ring(catalog: Catalog, *, asked_for: bool = False) -> KeyRing:
    """Return the valid keys; with `asked_for`, a server answers to keys only even where there is none."""
    from sampan.serving.callers import Caller, KeyRing

    known = catalog.nodes(kind=KIND, limit=_MOST)
    callers = [(str(n.facts["hash"]), _caller(n)) for n in known if n.state == VALID]
    # Who revokes the last key does not mean to open the server to everyone.
    return KeyRing([(h, Caller(*c)) for h, c in callers], asked_for=asked_for or bool(known))


def _caller(node: Node) -> tuple[str, tuple[str, ...], float, Millis | None]:
    return node.name, tuple(node.facts["services"]), float(node.facts["rate"]), node.facts["expires"]


def _key(node: Node) -> Key:
    facts = node.facts
    expires = iso(facts["expires"]) if facts["expires"] is not None else ""
    return Key(node.name, facts["shown"], node.state, iso(node.created), tuple(facts["services"]), facts["rate"], expires)
