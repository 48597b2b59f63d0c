"""The glossary room: terms are assets of the kind `term`; each definition is a version."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from sampan.core.answers import Answer
from sampan.core.changes import AddEdge, AddNode, Change
from sampan.core.digests import digest_value
from sampan.core.events import Event, new_id
from sampan.core.graph import Node, NodeId
from sampan.core.refs import check_name
from sampan.core.times import iso
from sampan.errors import ParameterError
from sampan.workspace.operation import Room, operation

KIND = "term"


class TermDefined(Event, frozen=True, kw_only=True):
    """A term was given a meaning, or a new one."""

    type: ClassVar[str] = "term_defined"

    node: NodeId
    name: str
    text: str
    about: NodeId | None = None

    def subject(self) -> NodeId:
        """Return the new definition."""
        return self.node

    def changes(self) -> tuple[Change, ...]:
        """Add the definition, and the arrow to what it speaks about."""
        add = AddNode(id=self.node, kind=KIND, name=self.name, digest=digest_value(self.text), facts={"text": self.text})
        return (add, AddEdge(dst=self.node, src=self.about, role="describes")) if self.about else (add,)


class Term(msgspec.Struct, frozen=True):
    """A term as it is defined now."""

    ref: str
    text: str
    about: str
    since: str
    by: str


class Defined(Answer, frozen=True, kw_only=True):
    """A definition, and whether it is new."""

    term: Term
    new: bool

    def text(self) -> str:
        """Say what the term means now."""
        return f"{self.term.ref}: {self.term.text}" + ("" if self.new else " (as before)")


class Terms(Answer, frozen=True, kw_only=True):
    """All terms, or one with its history."""

    terms: tuple[Term, ...]

    def text(self) -> str:
        """One line a term."""
        if not self.terms:
            return "no terms yet"
        return "\n".join(f"{one.ref}: {one.text}" + (f"  (about {one.about})" if one.about else "") for one in self.terms)


class Glossary(Room):
    """What the words of this project mean."""

    noun = "glossary"

    @operation()
    def define(self, name: str, text: str, *, about: str = "") -> Defined:
        """Say what a term means from now on.

        Parameters
        ----------
        name : the term, like "late flight"
        text : its meaning, in a sentence
        about : the dataset or model it speaks about, like flights@v3
        """
        check_name(name)
        if not text.strip():
            raise ParameterError("text: the meaning is empty", parameter="text", hint="write a sentence")
        known = self.ws.catalog.find_version(KIND, name, digest_value(text))
        if known is not None:
            return Defined(term=self._term(known), new=False, next=("sampan glossary show",))
        subject = self.ws.catalog.resolve(about).id if about else None
        event = TermDefined(node=new_id(), name=name, text=text, about=subject)
        self.ws.ledger.append(event)
        return Defined(
            term=self._term(self.ws.catalog.node(event.node)), new=True, next=("sampan glossary show", f'sampan lineage "{name}"')
        )

    @operation(reads=True)
    def show(self, name: str = "") -> Terms:
        """Show what terms mean.

        Parameters
        ----------
        name : one term, with all it ever meant; without it, all terms as they stand
        """
        catalog = self.ws.catalog
        if name:
            catalog.asset(KIND, name)  # NotFound with the nearest terms
            return Terms(terms=tuple(self._term(node) for node in catalog.nodes(kind=KIND, name=name)))
        newest = [catalog.resolve(asset.name, kind=KIND) for asset in catalog.assets(KIND)]
        return Terms(terms=tuple(map(self._term, newest)), next=() if newest else ('sampan glossary define "TERM" "MEANING"',))

    def _term(self, node: Node) -> Term:
        catalog = self.ws.catalog
        about = [catalog.node(edge.src).ref for edge in catalog.edges_to(node.id) if edge.role == "describes"]
        return Term(ref=node.ref, text=node.facts["text"], about=", ".join(about), since=iso(node.created), by=node.actor)
