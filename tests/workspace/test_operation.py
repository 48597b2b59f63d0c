from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from sampan.core.answers import Answer
from sampan.errors import NotFound
from sampan.workspace.operation import Room, describe, find_operation, operation, read_docstring
from sampan.workspace.parameters import REQUIRED


class Shown(Answer, frozen=True):
    what: str


class Shelf(Room):
    noun = "shelf"

    @operation(reads=True)
    def show(self, ref: str, *, rows: int = 5, by: Literal["name", "age"] = "name", file: Path | None = None) -> Shown:
        """Show a shelf.

        It may be long.

        Parameters
        ----------
        ref : which shelf
        rows, by : how many,
            in which order

        Raises
        ------
        NotFound : there is none.
        """
        return Shown(what=f"{ref} {rows} {by} {file}")

    @operation(verb="tidy", local=True)
    def put_in_order(self) -> Shown:
        """Put it in order."""
        return Shown(what="tidy")

    def not_offered(self) -> None:
        """Stay inside."""


class Longer(Shelf):
    """A longer shelf.

    Parameters
    ----------
    ref, file : said once for all operations
    """

    @operation(reads=True)
    def more_of_it(self) -> Shown:
        """Show more."""
        return Shown(what="more")


def test_an_operation_is_described_by_its_signature_and_docstring() -> None:
    show = describe(Shelf)["show"]

    assert (show.name, show.summary, show.description) == ("shelf show", "Show a shelf.", "Show a shelf.\n\nIt may be long.")
    assert (show.reads, show.local, show.result) == (True, False, Shown)
    assert [(p.name, p.positional, p.default, p.help) for p in show.parameters] == [
        ("ref", True, REQUIRED, "which shelf"),
        ("rows", False, 5, "how many, in which order"),
        ("by", False, "name", "how many, in which order"),
        ("file", False, None, ""),
    ]


def test_verbs_come_in_the_order_of_the_class_and_only_declared_methods_are_offered() -> None:
    assert list(describe(Shelf)) == ["show", "tidy"]
    assert list(describe(Longer)) == ["show", "tidy", "more-of-it"]


def test_what_the_class_says_of_a_parameter_holds_where_the_operation_says_nothing() -> None:
    helps = {p.name: p.help for p in describe(Longer)["show"].parameters}

    assert (helps["ref"], helps["file"]) == ("which shelf", "said once for all operations")


def test_a_python_caller_calls_the_plain_method() -> None:
    room = Shelf(None)  # type: ignore[arg-type]  # this room never looks at its workspace

    assert room.show("top", rows=2).what == describe(Shelf)["show"].call(room, {"ref": "top", "rows": 2}).what == "top 2 name None"


def test_an_unknown_verb_names_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        find_operation("audit", "verfy")

    assert caught.value.did_you_mean == ("verify",)


def test_an_operation_must_return_an_answer() -> None:
    class Wrong(Room):
        @operation()
        def make(self) -> int:
            return 1

    with pytest.raises(TypeError, match=r"Wrong\.make is an operation and must return an Answer"):
        describe(Wrong)


def test_an_operation_cannot_take_parameters_without_a_name() -> None:
    class Wrong(Room):
        @operation()
        def make(self, **anything: Any) -> Shown:
            return Shown(what="")

    with pytest.raises(TypeError, match="parameter anything must be an ordinary one"):
        describe(Wrong)


def test_an_operation_cannot_take_a_type_no_surface_can_read() -> None:
    class Wrong(Room):
        @operation()
        def make(self, data: bytes) -> Shown:
            return Shown(what="")

    with pytest.raises(TypeError, match="parameter data: "):
        describe(Wrong)


def test_a_docstring_without_sections_is_all_prose() -> None:
    assert read_docstring("Do it.\n\nWith care.\n\n>>> 1\n1") == ("Do it.", "Do it.\n\nWith care.", {})
    assert read_docstring("") == ("", "", {})
