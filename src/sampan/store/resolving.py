"""Which node a reference means: by name and version, alias, digest or id; helpful when it is none or several."""

from __future__ import annotations

from sampan.core.graph import Node
from sampan.core.refs import Ref, nearest, parse_ref
from sampan.core.times import iso
from sampan.errors import AmbiguousRef, NotFound
from sampan.store import listing
from sampan.store.database import Session

_ID_DIGITS = set("0123456789abcdef")
_MIN_ID_DIGITS = 4
_TOLD_DIGITS = 12  # of an id, where a person reads it
_SHOWN = 8
_ON_MAIN = "n.state not in ('deleted', 'branch')"  # a branch's versions are named by the branch or their number
_NEWEST = "order by n.pk desc limit 1"


def resolve(session: Session, ref: str | Ref, kind: str) -> Node:
    """Return the node `ref` means; see `Catalog.resolve`."""
    wanted = parse_ref(ref) if isinstance(ref, str) else ref
    if kind and wanted.kind and wanted.kind != kind:
        raise NotFound(f"{wanted} is a {wanted.kind}, and here a {kind} is needed", hint=f"name a {kind}")
    kind = kind or wanted.kind
    if wanted.digest:
        return _only(_by_prefix(session, "digest", wanted.digest, kind) or _by_former_digest(session, wanted.digest, kind), wanted, kind)
    if wanted.node_id:
        # Eight digits, like 20130101, may as well be a name; a name someone gave comes first.
        return _by_name(session, Ref(name=wanted.node_id), kind) or _only(_by_prefix(session, "id", wanted.node_id, kind), wanted, kind)
    if found := _by_name(session, wanted, kind):
        return found
    if _may_be_id(wanted) and (nodes := _by_prefix(session, "id", wanted.name, kind)):
        return _only(nodes, wanted, kind)
    raise missing_asset(session, wanted.name, kind)


def missing_asset(session: Session, name: str, kind: str) -> NotFound:
    """Say that nothing is called so, and what is."""
    rows = session.all("select kind, name from asset")
    elsewhere = tuple(f"{k}:{n}" for k, n in sorted(rows) if n == name)
    if kind and elsewhere:
        return NotFound(f"no {kind} called {name!r}", did_you_mean=elsewhere)
    known = {n for k, n in rows if not kind or k == kind}
    close = nearest(name, sorted(known))
    hint = "" if close else _known_names(sorted(known), kind or "asset")
    return NotFound(f"no {kind or 'asset'} called {name!r}", did_you_mean=close, hint=hint)


def _known_names(names: list[str], what: str) -> str:
    if not names:
        return f"there is no {what} in this store yet"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    plural = f"{what[:-1]}ies" if what.endswith("y") else f"{what}s"
    return f"{plural} here: {', '.join(names[:_SHOWN])}{more}"


def _by_name(session: Session, wanted: Ref, kind: str) -> Node | None:
    """Return the node; None if there is no asset of the name at all."""
    where, values = listing.conditions({"name = ?": wanted.name, "kind = ?": kind})
    kinds = sorted(row[0] for row in session.all(f"select kind from asset {where}", *values))  # noqa: S608  # literals
    if not kinds:
        return None
    found = [node for k in kinds if (node := _selected(session, wanted, k))]
    if not found:
        raise _missing_selection(session, wanted, kinds)
    if len(found) > 1:
        candidates = tuple(str(Ref(name=wanted.name, kind=n.kind, version=wanted.version, alias=wanted.alias)) for n in found)
        raise AmbiguousRef(f"{wanted} may mean a {' or a '.join(n.kind for n in found)}", candidates=candidates)
    return found[0]


def _selected(session: Session, wanted: Ref, kind: str) -> Node | None:
    of_asset = f"where {listing.OF_ASSET}"
    if wanted.version is not None:
        found = listing.nodes(session, f"{of_asset} and n.version = ?", kind, wanted.name, wanted.version)
    elif wanted.alias:
        target = "n.pk = (select l.node from alias l join asset o on o.pk = l.asset where o.kind = ? and o.name = ? and l.name = ?)"
        found = listing.nodes(session, f"where {target}", kind, wanted.name, wanted.alias)
    elif wanted.at is not None:
        found = listing.nodes(session, f"{of_asset} and {_ON_MAIN} and n.created <= ? {_NEWEST}", kind, wanted.name, wanted.at)
    else:
        found = listing.nodes(session, f"{of_asset} and {_ON_MAIN} {_NEWEST}", kind, wanted.name)
    return found[0] if found else None


def _missing_selection(session: Session, wanted: Ref, kinds: list[str]) -> NotFound:
    """Say that an asset has no such version or alias, and which it has."""
    newest = next((node for kind in kinds if (node := _selected(session, Ref(name=wanted.name), kind))), None)
    if newest is None:
        return NotFound(f"the {kinds[0]} {wanted.name!r} has no version yet")
    if wanted.at is not None:
        first = listing.nodes(session, f"where {listing.OF_ASSET} and {_ON_MAIN} order by n.created, n.pk limit 1", kinds[0], wanted.name)[
            0
        ]
        return NotFound(
            f"the {kinds[0]} {wanted.name!r} had no version at {iso(wanted.at)}; its first is of {iso(first.created)}",
            did_you_mean=(first.ref,),
        )
    if not wanted.alias:
        return NotFound(f"no version {wanted}; the newest is {newest.ref}", did_you_mean=(newest.ref,))
    sql = "select l.name from alias l join asset a on a.pk = l.asset where a.name = ? and a.kind = ?"
    aliases = sorted({row[0] for kind in kinds for row in session.all(sql, wanted.name, kind)})
    close = nearest(wanted.alias, aliases) or tuple(aliases[:_SHOWN])
    return NotFound(
        f"the {kinds[0]} {wanted.name!r} has no alias {wanted.alias!r}; its newest version is {newest.ref}",
        did_you_mean=tuple(f"{wanted.name}@{alias}" for alias in close) or (newest.ref,),
    )


def _by_prefix(session: Session, column: str, prefix: str, kind: str) -> list[Node]:
    # A range, not `like`: it uses the index. 'g' follows every hex digit.
    where, values = listing.conditions({f"n.{column} >= ?": prefix, f"n.{column} < ?": prefix + "g", "n.kind = ?": kind})
    found = listing.nodes(session, f"{where} order by n.pk desc limit 1000", *values)
    return [node for node in found if getattr(node, column).startswith(prefix)]


def _by_former_digest(session: Session, prefix: str, kind: str) -> list[Node]:
    """Find nodes by what their content was called before a person was erased from it."""
    rows = session.all("select distinct after from superseded where before >= ? and before < ? and after <> ''", prefix, prefix + "g")
    return [node for (digest,) in rows for node in _by_prefix(session, "digest", digest, kind)]


def _only(found: list[Node], wanted: Ref, kind: str) -> Node:
    """Return the newest of nodes that are versions of one asset with one content; newest first in `found`."""
    if not found:
        raise NotFound(f"no {kind or 'node'} has the {'digest' if wanted.digest else 'id'} {wanted}")
    same = {(n.kind, n.name, n.digest) if wanted.digest else (n.id,) for n in found}
    if len(same) > 1:
        raise AmbiguousRef(f"{wanted} fits {len(found)} {kind or 'node'}s", candidates=_distinct(found[:_SHOWN], by_id=not wanted.digest))
    return found[0]


def _distinct(found: list[Node], *, by_id: bool) -> tuple[str, ...]:
    """Name each of some nodes by its version, or else by its kind and as much of its id as tells it from the others."""
    ids = {node.id for node in found}
    n_digits = next(n for n in range(_TOLD_DIGITS, 33) if len({id_[:n] for id_ in ids}) == len(ids))
    by_id = by_id or any(not node.name or node.version is None for node in found)
    return tuple(f"{node.kind}:{node.id[:n_digits]}" if by_id else f"{node.kind}:{node.name}@v{node.version}" for node in found)


def _may_be_id(wanted: Ref) -> bool:
    """Say whether a bare name may be the beginning of an id, as in `window:8f3c12ab90cd`."""
    bare = wanted.version is None and not wanted.alias
    return bare and _MIN_ID_DIGITS <= len(wanted.name) <= 32 and set(wanted.name) <= _ID_DIGITS
