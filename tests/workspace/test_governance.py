"""Terms of data: said by owners, carried along lineage, refusing before a row is read, lifted by leave."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, FIT, add_orders, write_training

from sampan.core.times import to_millis
from sampan.errors import AccessDenied, ParameterError, PolicyRefused, StaleState
from sampan.workspace.governance import require_allowed
from sampan.workspace.workspace import Workspace

FOR_LATENESS = FIT.replace("objective=goal)", 'objective=goal, purpose="lateness")')


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="ana") as workspace:
        add_orders(workspace)
        yield workspace


def as_actor(ws: Workspace, actor: str) -> Workspace:
    return Workspace.open(ws.root, actor=actor)


def lose_rows(ws: Workspace, name: str) -> None:
    """Take a dataset's stored bytes away: whoever reads a row now fails otherwise than by refusing."""
    for file in (ws.store_folder / "blobs").rglob("*"):
        if file.is_file():
            file.unlink()


def test_a_run_without_an_allowed_purpose_is_refused_before_a_row_is_read(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", ask="ana@example.com", purposes=["lateness"])
    file = write_training(ws.root)
    lose_rows(ws, "orders")

    with pytest.raises(PolicyRefused, match="orders may be used for lateness only, and this use declares no purpose") as caught:
        ws.model.train(file, trials=1)

    assert (caught.value.rule, caught.value.owner) == ("purpose", "ana")
    assert "purpose=" in caught.value.hint
    with pytest.raises(PolicyRefused, match="not for churn") as other:
        require_allowed(ws, [ws.catalog.resolve("orders")], purpose="churn")
    assert "sampan policy ask orders --purpose churn" in other.value.hint
