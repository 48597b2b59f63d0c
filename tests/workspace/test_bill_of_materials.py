"""A model's bill of materials, checked by the specification's own validator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, add_orders, write_training

from sampan.workspace.workspace import Workspace

PEER = Path(__file__).parents[2] / ".peers" / "cyclonedx" / "bin" / "python"
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
"""


@pytest.mark.slow
def test_a_models_bill_of_materials_is_valid_whole_and_the_same_each_time(tmp_path: Path) -> None:
    assert PEER.exists(), "make peers"
    with Workspace.open(tmp_path) as ws:
        add_orders(ws)
        model = ws.model.train(write_training(tmp_path), trials=1, until=CUT).model
        first, second = (ws.model.bom(model.ref, out=tmp_path / name) for name in ("one.cdx.json", "two.cdx.json"))

    validated = subprocess.run([PEER, "-c", VALIDATE, tmp_path / "one.cdx.json"], capture_output=True, text=True)
    assert "None" == validated.stdout.strip(), validated.stdout + validated.stderr
    assert (tmp_path / "one.cdx.json").read_bytes() == (tmp_path / "two.cdx.json").read_bytes()
    told = json.loads((tmp_path / "one.cdx.json").read_text())
    names = {each["name"]: each["version"] for each in told["components"]}
    import lightgbm

    assert lightgbm.__version__ == names["lightgbm"]
    assert "v1" == names["orders"]
    assert ["orders-late", "v1"] == [told["metadata"]["component"]["name"], told["metadata"]["component"]["version"]]
    assert first.n_libraries == second.n_libraries > 20
    assert 1 == first.n_datasets
