"""The whole flights story, on full data, with every network but loopback denied; then again, from cache."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.workspace.workspace import Workspace

HERE = Path(__file__).parent
DEMO = [sys.executable, str(HERE / "without_network.py"), sys.executable, "-m", "sampan", "demo", "--into"]


@pytest.mark.slow
def test_the_flights_story_holds_without_a_network_and_is_retold_from_cache(tmp_path: Path) -> None:
    folder = tmp_path / "flights"
    first = subprocess.run([*DEMO, str(folder)], capture_output=True, text=True)
    again = subprocess.run([*DEMO, str(folder)], capture_output=True, text=True)

    assert 0 == first.returncode, first.stdout[-3000:] + first.stderr[-3000:]
    assert "The whole story held" in first.stdout
    assert 0 == again.returncode, again.stdout[-3000:] + again.stderr[-3000:]
    n_stages = int(re.findall(r"\[\d+/(\d+)\]", again.stdout)[0])
    assert f"{n_stages} of {n_stages} stages from cache" in again.stdout
    with Workspace.open(folder) as ws:
        decisions = ws.catalog.nodes(kind="decision", name="flights-late")
        champions = [e for e in ws.catalog.events(type="alias_moved") if e.body["alias"] == "champion"]
        assert ws.home.fsck().clean
        assert 0 == ws.audit.verify().exit_code()
        # Whoever became champion had passed; whoever was refused is not.
        passed = {d.facts["model"] for d in decisions if d.facts["passed"]}
        assert {e.body["after"] for e in champions} <= passed
        assert any(not d.facts["passed"] for d in decisions)
        assert "stopped" == ws.service.show("flights-late").state
