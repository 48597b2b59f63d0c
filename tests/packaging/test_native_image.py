"""The image of a model that no graph can carry: its own library is inside, and it answers where nothing else is."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from sampan.packaging.images import Image
from sampan.ports import TargetOptions
from sampan.workspace.workspace import SilentProgress, Workspace

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from running_images import running, unpacked  # needs the line above

pytestmark = pytest.mark.slow

CHURN = Path(__file__).parents[2] / "examples" / "churn"
FIT = "LogisticRegression(C=strength, max_iter=1000)"


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of boosting that begins from another model, which is not exported."""
    folder = tmp_path_factory.mktemp("churn")
    shutil.copytree(CHURN, folder, dirs_exist_ok=True)
    code = (CHURN / "train.py").read_text()
    assert FIT in code
    boosting = f"GradientBoostingClassifier(init={FIT}, n_estimators=5)"
    code = code.replace(FIT, boosting).replace("LogisticRegression:", "GradientBoostingClassifier:")
    code = code.replace("import sampan as sp\n", "import sampan as sp\nfrom sklearn.ensemble import GradientBoostingClassifier\n")
    (folder / "train.py").write_text(code)
    with Workspace.open(folder) as ws:
        ws.model.train(folder / "train.py", trials=1)
        packed = ws.model.pack("churn", out=folder / "package")
    assert "sklearn" == packed.served_by
    return folder / "package"


def test_a_model_without_a_graph_answers_from_its_image_as_it_did_where_it_was_packed(native: Path, debian: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    probe = pl.read_parquet(native / "probe.parquet").head(20)
    rows = [{name: value for name, value in row.items() if name != "__score"} for row in probe.to_dicts()]

    built = Image("oci").build(native, tmp_path / "out", TargetOptions(base=debian, settings={"compression": "0"}), SilentProgress())
    with running(unpacked(tmp_path / "out", tmp_path / "bundle")) as address:
        answers = [_asked(f"{address}/predict", row) for row in rows]

    assert probe["__score"].to_list() == pytest.approx([answer["score"] for answer in answers], abs=1e-9)
    assert built.facts["image"].startswith("sha256:")


def _asked(address: str, row: dict[str, Any]) -> Any:
    with urllib.request.urlopen(urllib.request.Request(address, data=msgspec.json.encode(row)), timeout=60) as reply:
        return json.load(reply)
