"""Schemathesis asks a server all that its OpenAPI document allows, and much that it does not: no answer is a fault of the server's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sampan.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "journeys"))  # the project that trains in a second, under importlib's import mode

import lives  # noqa: E402

# What there is to ask about, so that questions reach further than "there is no such thing".
KNOWN = """
[dictionaries.refs]
values = ["customers", "customers@v1", "churn@v1", "churn@champion"]
[dictionaries.datasets]
values = ["customers", "customers@v1", "customers@v2"]
[dictionaries.models]
values = ["churn", "churn@v1", "churn@champion"]
[dictionaries.columns]
values = ["customer", "asked", "months", "late_bills", "region", "left"]
[dictionaries.conditions]
values = ["region = 'north'", "months > 3", "left", "months >", "drop table node"]

[parameters]
"ref" = { dictionary = "refs", probability = 0.7 }
"body.ref" = { dictionary = "refs", probability = 0.7 }
"name" = { dictionary = "datasets", probability = 0.7 }
"data" = { dictionary = "datasets", probability = 0.7 }
"body.data" = { dictionary = "datasets", probability = 0.7 }
"before" = { dictionary = "refs", probability = 0.7 }
"after" = { dictionary = "refs", probability = 0.7 }
"model" = { dictionary = "models", probability = 0.7 }
"body.model" = { dictionary = "models", probability = 0.7 }
"column" = { dictionary = "columns", probability = 0.7 }
"body.column" = { dictionary = "columns", probability = 0.7 }
"where" = { dictionary = "conditions", probability = 0.7 }
"body.where" = { dictionary = "conditions", probability = 0.7 }
"""


@pytest.mark.slow
def test_no_request_makes_the_server_fail(serve: Any, tmp_path: Path) -> None:
    schemathesis = ROOT / ".peers" / "schemathesis" / "bin" / "schemathesis"
    assert schemathesis.exists(), "make peers"
    project = lives.start(tmp_path / "project")
    (project / "sampan.toml").write_text('[governance]\nkeys = "keys"\n')
    with Workspace.open(project) as ws:
        trained = ws.model.train(project / "train.py", trials=1)
        ws.model.promote(trained.model.ref, force=True, reason="to have one")
    (tmp_path / "schemathesis.toml").write_text(KNOWN)

    how = ["--phases", "coverage,fuzzing", "--max-examples", "8", "--seed", "1", "--request-timeout", "30", "--continue-on-failure"]
    quiet = ["--checks", "not_a_server_error", "--warnings", "off", "--no-color"]
    with serve(project) as served:
        asked = subprocess.run(
            [schemathesis, "--config-file", tmp_path / "schemathesis.toml", "run", f"{served.base}/api/v1/openapi.json", *how, *quiet],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    assert 0 == asked.returncode, asked.stdout[-6000:]
    with Workspace.open(project) as ws:
        assert () == ws.home.fsck().faults
        assert 0 == ws.audit.verify().exit_code()
