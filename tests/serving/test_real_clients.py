"""Real clients of other inference servers, each in an environment of its own, find what they expect: Triton's, KServe's and MLflow's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from linear_service import expected_score
from running_server import LIVE, Running

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("real_clients.py")
SCORES = [pytest.approx(expected_score(LIVE["weights"], 0.0, row), abs=1e-6) for row in ((0.5, 0.25, 0), (1.0, 0.25, 0), (0.0, 0.0, 0))]
INPUTS = [["order", "FP64", [-1]], ["x1", "FP64", [-1]], ["x2", "FP64", [-1]], ["shop", "BYTES", [-1]]]

pytestmark = pytest.mark.slow  # their libraries alone take a second to import


def ask(server: Running, client: str, *, peer: str = "inference") -> dict[str, Any]:
    python = ROOT / ".peers" / peer / "bin" / "python"
    assert python.exists(), f"no environment {python}: run `make peers`"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
    command = [python, SCRIPT, client, str(server.port), (server.folder / "grpc.txt").read_text()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.rpartition("FOUND ")[2])
    return found


@pytest.mark.parametrize("client", ["triton_json", "triton_binary", "triton_grpc"])
def test_tritons_client_gets_tensors_in_each_of_its_forms(shared_server: Running, client: str) -> None:
    found = ask(shared_server, client)

    assert (found["live"], found["ready"], found["extensions"]) == (True, True, ["binary_tensor_data"])
    assert found["inputs"] == INPUTS
    assert (found["id"], found["scores"], found["usual"]) == ("7", SCORES, SCORES)
    assert found["decisions"] == [True, True, True]
    assert "field 'x2' is None" in str(found["refused"])
    if client == "triton_grpc":
        assert "INVALID_ARGUMENT" in found["refused"][0]
        assert found["flags"] == "row 0: x1: 2500 is beyond training · row 1: x1: 5000 is beyond training"
        assert found["refused"][1].startswith("StatusCode.NOT_FOUND: no model called 'liner' here")


@pytest.mark.parametrize("client", ["kserve_rest", "kserve_grpc"])
def test_kserves_client_gets_tensors_over_rest_and_grpc(shared_server: Running, client: str) -> None:
    assert ask(shared_server, client) == {"live": True, "ready": True, "id": "7", "scores": SCORES}


def test_mlflows_clients_score_frames_lists_and_deployments(shared_server: Running) -> None:
    found = ask(shared_server, "mlflow", peer="mlflow3")

    assert found["frame"] == found["lists"] == found["predicted"] == SCORES
    assert (found["endpoints"], found["model"]) == (["linear"], "linear@v1")
