"""One of several processes that want the same steps of one store: `racer.py STORE MARKS HOW`. Each run of the step leaves a mark."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from sampan.engine.engine import Engine
from sampan.engine.step import step
from sampan.ledger import Ledger
from sampan.store import Store


@step
def slow(marks: str) -> str:
    Path(marks, f"{time.time_ns()}").touch()
    time.sleep(0.4)
    return "made"


if __name__ == "__main__":
    root, marks, how = sys.argv[1:]
    with Store.open(Path(root)) as store:
        engine = Engine(store, Ledger(store, actor="racer"), lease_ms=60_000)
        if how == "once":
            answer = engine.once("deploy", {"model": 3}, lambda: slow(marks))
        else:
            answer = engine.run([slow], inputs={"marks": marks})["slow"].load()
        sys.stdout.write(f"{answer}\n")
