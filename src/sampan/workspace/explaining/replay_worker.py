"""A clean process that fits models by kept training code: jobs come in as JSON lines, answers go out as JSON lines.

    python -m sampan.workspace.explaining.replay_worker CODE_FOLDER FILE NAME

It is given matrices, not data: whatever decides which rows and features a model learns from is decided outside. So two trainings whose
modules have the same names never meet in one process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np


def main(words: list[str]) -> int:
    """Answer jobs until the input ends."""
    # What training code prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    folder, file, name = words
    os.chdir(folder)
    trainer = None
    while line := sys.stdin.readline():  # not an iterator, which reads ahead: a watched fit is answered in between
        job = json.loads(line)
        try:
            if trainer is None:
                from sampan.workspace.training.training import load_trainer

                trainer = load_trainer(Path(folder) / file, name)
            answer = _fit_watched(trainer, job, answers) if job.get("watch") else fit(trainer, job) if "train" in job else score(job)
        except Exception as error:  # noqa: BLE001  # the process edge: the other side raises it
            answer = {"error": _told(error), "hint": getattr(error, "hint", "")}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    return 0


def _told(error: Exception) -> str:
    """Say what was raised, and where in the training file."""
    from sampan.engine.failures import own_lines

    return getattr(error, "message", None) or f"{type(error).__name__}: {error}{own_lines(error)[0]}"


def _fit_watched(trainer: Any, job: dict[str, Any], answers: IO[str]) -> dict[str, Any]:
    """Fit one model, writing its answers for a few validation rows at each checkpoint; the next line of the input says whether to stop."""
    from sampan.flavors.finding import find_flavor
    from sampan.tuning.checkpoint import FitStopped, watched

    few, out = np.load(job["watch"][0]), job["watch"][1]

    def seen(model: Any, step: int) -> bool:
        np.save(out, find_flavor(model).predict(model, few))
        answers.write(json.dumps({"step": step}) + "\n")
        answers.flush()
        return bool(json.loads(sys.stdin.readline())["stop"])

    try:
        with watched(seen):
            return fit(trainer, job)
    except FitStopped:
        return {"stopped": True}


def fit(trainer: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Fit one model and write its scores of each matrix asked for, its files where a folder is named, its weight where it is asked for."""
    from sampan.flavors.finding import find_flavor

    began = time.perf_counter()
    given = np.load(job["train"])
    model = trainer.function(given["matrix"], given["labels"], **job["params"])
    seconds = time.perf_counter() - began
    flavor = find_flavor(model)
    for matrix, scores in job["score"].items():
        np.save(scores, flavor.predict(model, np.load(matrix)))
    if job.get("save"):
        Path(job["save"]).mkdir(parents=True, exist_ok=True)
        flavor.save(model, Path(job["save"]))
    answer = {"seconds": seconds, "flavor": flavor.name}
    if job.get("weigh"):
        from sampan.flavors.weight import weigh

        found = weigh(flavor, model, given["matrix"])
        answer |= {"latency_ms": found.latency_ms, "size_bytes": found.size_bytes}
    return answer


def score(job: dict[str, Any]) -> dict[str, Any]:
    """Load saved models and write their scores of one matrix."""
    from sampan import plugins

    flavor, matrix = plugins.find("sampan.flavors", job["flavor"])(), np.load(job["matrix"])
    for folder, scores in job["folders"].items():
        np.save(scores, flavor.predict(flavor.load(Path(folder)), matrix))
    return {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
