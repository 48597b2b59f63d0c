"""Seconds of what benchmarks/serve_chaos.py does for ten minutes: swaps, kill -9, hostile clients and models, every answer checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "benchmarks" / "serve_chaos.py"


@pytest.mark.slow
def test_under_load_nothing_is_lost_or_mixed_up_while_everything_goes_wrong() -> None:
    words = [sys.executable, str(HARNESS), "--seconds", "8", "--kill-every", "3", "--clients", "3", "--unwritten-s", "inf", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}

    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)
    told = json.loads(ended.stdout)

    assert told["faults"] == [], ended.stderr[-2000:]
    assert ended.returncode == 0
    assert told["answered"] > 0
    assert told["kills"] >= 1
    assert told["swaps"] >= 2
    assert set(told["wild"]["throws"]) <= {"good 200", "good 503", "good 504", "asked to 500", "asked to 503", "asked to 504", "cut"}
    assert {"half-sent bodies", "slow clients"} <= set(told["hostile"])
