"""What an operation is: a typed method of a room, declared once. The command line, HTTP, OpenAPI and the remote client are derived from it.

    class Data(Room):
        noun = "data"

        @operation(reads=True)
        def show(self, ref: str, *, rows: int = 5) -> DatasetShown:
            '''Show a dataset: its versions, columns and newest checks.'''

Parameters before `*` are positional on the command line, the rest are options. A parameter's type is one of: str, int, float, bool, Path,
Literal of strings, T | None, list[T], dict[str, str]. The result is an Answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

Method = TypeVar("Method", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Declared:
    """What the decorator says of a method: whether it only reads, and its verb where that is not the method's name."""

    reads: bool
    verb: str
    local: bool  # starts a process or needs this machine's files: not offered over HTTP


def operation(*, reads: bool = False, verb: str = "", local: bool = False) -> Callable[[Method], Method]:
    """Declare a room's method an operation."""

    def declare(method: Method) -> Method:
        method.__operation__ = Declared(reads=reads, verb=verb or method.__name__.replace("_", "-"), local=local)  # type: ignore[attr-defined]  # functions take attributes
        return method

    return declare


class Room:
    """One noun and its operations. A room holds no state of its own; the workspace it is in does."""

    noun: ClassVar[str] = ""

    def __init__(self, workspace: Workspace) -> None:
        self.ws = workspace
