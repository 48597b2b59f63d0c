"""Studies: what a search over parameters came to, kept as a version of kind `study`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from sampan.core.events import VersionCommitted
from sampan.core.graph import Node
from sampan.errors import NotFound

if TYPE_CHECKING:
    from sampan.tuning.spaces import ParameterValue
    from sampan.workspace.workspace import Workspace

STUDY: Final = "study"


class StudyEnded(VersionCommitted, frozen=True, kw_only=True):
    """A search over a model's parameters came to an end, or its time was up."""

    type: ClassVar[str] = "study_ended"


def find_study(ws: Workspace, ref: str) -> tuple[Node, dict[str, Any]]:
    """Return a study and one of its trials: the best, or the one named as in `study:flights-late@v1#7`.

    Raises
    ------
    NotFound : there is no such study or trial.
    """
    name, _, number = ref.removeprefix(f"{STUDY}:").partition("#")
    node = ws.catalog.resolve(name, kind=STUDY)
    wanted = number or str(node.facts["best"])
    trial: dict[str, Any] | None = next((each for each in node.facts["trials"] if str(each["number"]) == wanted), None)
    if trial is None:
        raise NotFound(f"{STUDY}:{node.ref} has no trial {number}", hint=f"it has 0 to {len(node.facts['trials']) - 1}")
    return node, trial


def params_of_study(ws: Workspace, ref: str) -> dict[str, ParameterValue]:
    """Return the parameters of a study's best trial, or of the one named."""
    _, trial = find_study(ws, ref)
    return dict(trial["params"])
