"""/metrics as the real Prometheus client reads it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from collector import PEERS
from running_server import Running

from sampan.serving.exposition import Counters

_PARSE = """
import json, sys
from prometheus_client.parser import text_string_to_metric_families
print(json.dumps([
    {"name": f.name, "type": f.type, "help": f.documentation, "samples": [[s.name, s.labels, s.value] for s in f.samples]}
    for f in text_string_to_metric_families(sys.stdin.read())
]))
"""


def parsed(text: str) -> dict[str, dict[str, Any]]:
    python = PEERS / "inference" / "bin" / "python"
    assert python.exists(), "run `make peers`"
    done = subprocess.run([str(python), "-c", _PARSE], input=text, capture_output=True, text=True, check=True)
    return {family["name"]: family for family in json.loads(done.stdout)}


def test_the_real_client_reads_every_family_with_its_type_and_values(shared_server: Running) -> None:
    row = {"order": 7, "x1": 0.5, "x2": 0.25, "shop": "north"}
    for _ in range(3):
        assert shared_server.ask("POST", "/predict", row)[0] == 200
    assert shared_server.ask("POST", "/predict", {"x9": 1})[0] == 400

    families = parsed(shared_server.ask("GET", "/metrics")[1])

    assert {name: families[name]["type"] for name in ("sampan_requests", "sampan_request_seconds", "sampan_routing_info")} == {
        "sampan_requests": "counter",
        "sampan_request_seconds": "histogram",
        "sampan_routing_info": "gauge",
    }
    assert "unknown" not in {family["type"] for family in families.values()}
    assert all(family["help"] for family in families.values())
    answered = {(s[1]["route"], s[1]["status"]): s[2] for s in families["sampan_requests"]["samples"]}
    assert answered["/predict", "200"] >= 3
    assert answered["/predict", "400"] >= 1
    histogram = families["sampan_request_seconds"]["samples"]
    buckets = [value for name, _, value in histogram if name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert [labels["le"] for name, labels, _ in histogram if name.endswith("_bucket")][-1] == "+Inf"
    assert buckets[-1] == next(value for name, _, value in histogram if name.endswith("_count"))


def test_the_real_client_reads_labels_with_quotes_backslashes_and_line_ends() -> None:
    odd = 'a"b\\c\nd ü'
    counters = Counters()
    counters.add("sampan_predictions_total", 2, version=odd, role="live")

    (sample,) = parsed(counters.text({}))["sampan_predictions"]["samples"]

    assert sample == ["sampan_predictions_total", {"version": odd, "role": "live"}, 2.0]
