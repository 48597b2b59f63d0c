"""A nursery of short lives: forks workers that use a project in every way and note what was acknowledged, until someone kills them.

    python short_lives.py PROJECT          reads seeds from stdin, answers each with the pid of a new worker

Forked from a process that has imported everything and used nothing (no threads yet), a life costs no start-up.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import lightgbm  # noqa: F401  # imported before the fork
import polars  # noqa: F401  # the same
import skl2onnx  # noqa: F401  # the same
import sklearn.linear_model  # noqa: F401  # the same

import churn
from sampan.core.events import RunEnded, RunStarted, new_id
from sampan.workspace.workspace import Workspace


class Life:
    """One worker's deeds. A line in the journal of acknowledgements is written only after the call it speaks of returned."""

    def __init__(self, project: Path, seed: int) -> None:
        self.project, self.seed = project, seed
        self.acknowledged = os.open(project / "acknowledged.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self.ws = Workspace.open(project, actor=f"life {seed}")

    def live(self) -> None:
        """Do everything, again and again, beginning with another deed each life."""
        deeds = [self.ingest, self.log_points, self.train, self.promote, self.tune]
        for turn in range(1_000):
            deeds[(self.seed + turn) % len(deeds)](turn)

    def ingest(self, turn: int) -> None:
        """Add a file that no other life adds."""
        file = self.project / f"extra-{self.seed}-{turn}.csv"
        churn.customers(400, seed=1000 * self.seed + turn).write_csv(file)
        self.note("begin ingest")
        added = self.ws.data.add(file, name="extra")
        node = self.ws.catalog.resolve(added.ref, kind="dataset")
        self.note(f"version dataset {added.ref} {node.digest}")

    def log_points(self, turn: int) -> None:
        """Log points call by call, fold them, end the run."""
        run = new_id()
        self.note("begin log")
        self.ws.ledger.append(RunStarted(node=run, experiment="lives", title=f"{self.seed}.{turn}", started=self.ws.clock()))
        with self.ws.store.journals.open(run) as journal:
            for step in range(400):
                journal.log("loss", float(step), step=step, at=self.ws.clock())
                self.note(f"point {run} {step}")
                if step % 100 == 99:
                    self.ws.ledger.fold(run)
        self.ws.ledger.append(RunEnded(node=run, state="finished", ended=self.ws.clock()))
        self.note(f"ended {run}")

    def train(self, turn: int) -> None:
        """Train a model no other life trains."""
        self.note("begin train")
        strength = 0.5 + self.seed + turn / 1000
        trained = self.ws.model.train(self.project / "train.py", trials=1, params={"strength": str(strength)})
        node = self.ws.catalog.node(trained.node)
        self.note(f"version model {trained.model.ref} {node.digest}")

    def tune(self, turn: int) -> None:
        """Log trials of a search, each a run of its own below one."""
        study = new_id()
        self.note("begin tune")
        self.ws.ledger.append(RunStarted(node=study, experiment="lives", title=f"study {self.seed}.{turn}", started=self.ws.clock()))
        for number in range(5):
            trial, strength = new_id(), str(self.seed + number / 10)
            began = RunStarted(
                node=trial, experiment="lives", title=f"{number}", started=self.ws.clock(), parent=study, params={"strength": strength}
            )
            self.ws.ledger.append(began, RunEnded(node=trial, state="finished", ended=self.ws.clock()))
            self.note(f"trial {trial} {strength}")
        self.ws.ledger.append(RunEnded(node=study, state="finished", ended=self.ws.clock()))
        self.note(f"ended {study}")

    def promote(self, turn: int) -> None:
        """Make the newest model the champion."""
        models = self.ws.model.list(limit=1).models
        if not models:
            return
        self.note("begin promote")
        promoted = self.ws.model.promote(models[0].ref, force=True, reason=f"life {self.seed}, turn {turn}")
        self.note(f"alias {promoted.model}")

    def note(self, line: str) -> None:
        """Write a line in one call."""
        os.write(self.acknowledged, f"{line}\n".encode())


def main() -> None:
    """Fork a worker for each seed that is asked for."""
    project = Path(sys.argv[1])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                Life(project, int(line)).live()
            finally:
                os._exit(1)  # a life that ends by itself has failed
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
