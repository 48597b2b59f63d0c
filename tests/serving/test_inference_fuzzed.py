"""Schemathesis asks all that the Open Inference Protocol allows: every answer has the form and status that the standard names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from running_server import Running

ROOT = Path(__file__).parents[2]
STANDARD = Path(__file__).with_name("open_inference.yaml")
KNOWN = """
[dictionaries.models]
values = ["linear"]
[dictionaries.versions]
values = ["1", "v1", "linear@v1"]
[parameters]
"path.model" = { dictionary = "models", probability = 0.9 }
"path.version" = { dictionary = "versions", probability = 0.8 }
"""


@pytest.mark.slow
def test_every_answer_is_one_that_the_protocol_names(shared_server: Running, tmp_path: Path) -> None:
    schemathesis = ROOT / ".peers" / "schemathesis" / "bin" / "schemathesis"
    assert schemathesis.exists(), f"no {schemathesis}: run `make peers`"
    (tmp_path / "schemathesis.toml").write_text(KNOWN)

    how = [
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "25",
        "--seed",
        "1",
        "--continue-on-failure",
        "--request-timeout",
        "30",
    ]
    checks = "not_a_server_error,response_schema_conformance,content_type_conformance,status_code_conformance"
    asked = subprocess.run(
        [
            *(
                schemathesis,
                "--config-file",
                tmp_path / "schemathesis.toml",
                "run",
                STANDARD,
                "--url",
                f"http://127.0.0.1:{shared_server.port}",
            ),
            *(*how, "--checks", checks, "--exclude-checks", "unsupported_method", "--warnings", "off", "--no-color"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert 0 == asked.returncode, asked.stdout[-6000:] + asked.stderr[-2000:]
    assert shared_server.metric("sampan_requests_total", route="/v2/models/", status="200") > 5
