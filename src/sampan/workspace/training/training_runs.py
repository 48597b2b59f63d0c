"""The runs that a training leaves: one for the whole, one for each trial. One whose process died is ended by the next."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sampan.core.events import Input, RunEnded, RunStarted
from sampan.core.graph import Node, NodeId
from sampan.store.journals import MetricJournal
from sampan.tuning.spaces import ParameterValue
from sampan.workspace.runs.liveness import is_dead
from sampan.workspace.training.orders import Order

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


@contextmanager
def recorded_run(
    ws: Workspace,
    order: Order,
    run: NodeId,
    title: str,
    *,
    parent: NodeId | None,
    params: Mapping[str, ParameterValue] | None = None,
    closing: list[RunEnded] | None = None,
) -> Iterator[MetricJournal]:
    """Record a run from start to end; a run whose process dies has a journal without a writer and is buried by the next."""
    ledger = ws.ledger
    given = order.fixed if params is None else {**order.fixed, **params}
    ledger.append(
        RunStarted(
            node=run,
            experiment=order.trainer.name,
            title=title,
            started=ws.clock(),
            parent=parent,
            source=str(order.file),
            host=socket.gethostname(),
            pid=os.getpid(),
            params={name: str(value) for name, value in given.items()},
            inputs=tuple(Input(node.id, "input") for node in unique(order.datasets)) if parent is None else (),
            facts={"training": order.key, "environment": order.environment, "code": order.code, "trials": order.trials},
        )
    )
    try:
        with ws.store.journals.open(run) as journal:
            yield journal
    except BaseException as error:
        state = "killed" if isinstance(error, KeyboardInterrupt | SystemExit) else "failed"
        ledger.append(RunEnded(node=run, state=state, ended=ws.clock(), reason=str(error)[:500]))
        raise
    ended = RunEnded(node=run, state="finished", ended=ws.clock())
    if closing is None:
        ledger.append(ended)
    else:
        closing[:] = [ended]


def bury_dead_runs(ws: Workspace, experiment: str) -> None:
    """End the runs of a model whose process died."""
    for row in ws.catalog.runs(experiment=experiment, state="running"):
        if is_dead(row, ws.store.journals):
            ws.ledger.append(RunEnded(node=row.node.id, state="killed", ended=ws.clock(), reason="its process died"))


def unique(datasets: Mapping[str, Node]) -> list[Node]:
    """Return each dataset version once."""
    return list({node.id: node for node in datasets.values()}.values())
