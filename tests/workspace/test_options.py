from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict, Unpack

import pytest

from sampan.core.answers import Answer
from sampan.errors import ParameterError
from sampan.workspace.operation import Room, describe, operation
from sampan.workspace.options import filled
from sampan.workspace.parameters import bind, from_text
from sampan.workspace.training.training_options import TrainingOptions


class Reading(TypedDict, total=False):
    """How it is read.

    Parameters
    ----------
    sheet : of a workbook
    rows : at most
    """

    sheet: str
    rows: Annotated[int, 100]
    types: dict[str, str] | None


class Said(Answer, frozen=True):
    said: dict[str, str]


class Desk(Room):
    noun = "desk"

    @operation()
    def read(self, file: Path, *, name: str = "", **reading: Unpack[Reading]) -> Said:
        """Read."""
        said = filled(Reading, reading)
        return Said(said={"file": str(file), "name": name, "sheet": said["sheet"], "rows": str(said["rows"])})

    @operation()
    def glance(self, **reading: Unpack[Reading]) -> Said:
        """Glance.

        Parameters
        ----------
        rows : to glance at
        """
        return Said(said={name: str(value) for name, value in reading.items()})


def test_shared_options_are_options_of_each_operation() -> None:
    read = describe(Desk)["read"]

    assert [(p.name, p.default, p.help) for p in read.parameters[2:]] == [
        ("sheet", "", "of a workbook"),
        ("rows", 100, "at most"),
        ("types", None, ""),
    ]


def test_an_operation_may_say_of_a_shared_option_what_it_is_there() -> None:
    assert [p.help for p in describe(Desk)["glance"].parameters] == ["of a workbook", "to glance at", ""]


def test_shared_options_are_bound_and_called_as_all_others() -> None:
    read = describe(Desk)["read"]
    arguments = bind(read.parameters, {"file": ["x.csv"], "rows": ["7"]}, from_text)

    answer = read.call(Desk(None), arguments)  # type: ignore[arg-type]  # this room never looks at its workspace

    assert answer == Said(said={"file": "x.csv", "name": "", "sheet": "", "rows": "7"})
    with pytest.raises(ParameterError, match="there is no parameter 'row'"):
        bind(read.parameters, {"file": ["x.csv"], "row": ["7"]}, from_text)


def test_an_option_that_is_not_declared_is_refused_to_a_python_caller() -> None:
    with pytest.raises(TypeError, match="there is no option sheets; there are sheet, rows, types"):
        filled(Reading, {"sheets": "May"})  # as a caller without a type checker would


def test_what_is_left_out_has_its_default() -> None:
    assert filled(Reading, {"sheet": "May"}) == {"sheet": "May", "rows": 100, "types": None}
    assert filled(TrainingOptions, {})["trials"] == 20


def test_a_type_that_cannot_be_empty_needs_a_default() -> None:
    class Wrong(TypedDict, total=False):
        folder: Path

    class Room2(Room):
        noun = "wrong"

        @operation()
        def read(self, **reading: Unpack[Wrong]) -> Said:
            """Read."""
            raise AssertionError(reading)

    Room2.read.__annotations__["reading"] = Unpack[Wrong]  # a class of a function is not found by its name
    with pytest.raises(TypeError, match="no empty value"):
        describe(Room2)
