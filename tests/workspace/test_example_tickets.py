"""The example of free text, trained as its README says, packed as one graph, asked as clients ask; its words kept out of logs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampan.flavors.whole_graph import WholeScorer
from sampan.workspace.models.predictors import PackagePredictor, open_predictor
from sampan.workspace.services.log_rules import keeping_of
from sampan.workspace.workspace import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "tickets"
ANGRY, CALM = "ĐƠN HÀNG bị hỏng, trả tiền lại cho tôi 😡", "thank you for the lamp, it is lovely 😊"
N_ROWS = 900

pytestmark = pytest.mark.slow


def ticket(message: str | None) -> dict[str, Any]:
    return {"ticket": 9_001.0, "written": "2024-06-09T09:00:00Z", "shop": "web", "orders": 3.0, "message": message}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, trained on its first rows and packed."""
    folder = tmp_path_factory.mktemp("tickets")
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
    rows = (EXAMPLE / "tickets.csv").read_text(encoding="utf-8").splitlines(keepends=True)[: N_ROWS + 1]
    (folder / "tickets.csv").write_text("".join(rows), encoding="utf-8")
    (folder / "sampan.toml").write_text('[logs.tickets]\nhashed = ["message"]\n')
    with Workspace.open(folder) as ws:
        ws.model.train(folder / "train.py", trials=1)
        ws.model.pack("tickets", out=folder / "package")
    return folder


@pytest.fixture(scope="module")
def predictor(project: Path) -> PackagePredictor:
    return open_predictor(project / "package")


def test_the_package_is_one_graph_with_text_in(project: Path, predictor: PackagePredictor) -> None:
    manifest = predictor.manifest
    assert manifest.whole is not None
    assert (True, ["message", "shop"]) == (manifest.whole.passed, [each.name for each in manifest.inputs.cat] if manifest.inputs else [])
    rows = [ticket(each) for each in (ANGRY, CALM, "", None, "e\u0302\u0323 ΟΔΟΣ")]

    _, answered = WholeScorer((project / "package" / "whole.onnx").read_bytes())(predictor.tensors(rows))

    np.testing.assert_allclose(answered, predictor.predict(rows), atol=1e-6)
    assert answered[0] > 0.8 > 0.2 > answered[1]


def test_composed_and_decomposed_letters_are_answered_alike(predictor: PackagePredictor) -> None:
    from unicodedata import normalize

    forms = [ticket(normalize(form, ANGRY)) for form in ("NFC", "NFD")]

    composed, decomposed = predictor.predict(forms)

    assert composed == decomposed


def test_words_that_nobody_used_are_told(predictor: PackagePredictor) -> None:
    assert [(), ("words: no word of it is one that the model knows",)] == [
        tuple(note for note in notes if note.startswith("words")) for notes in predictor.flags([ticket(ANGRY), ticket("qwxz")])
    ]


def test_a_ticket_is_asked_by_name_and_as_tensors(project: Path, predictor: PackagePredictor) -> None:
    command = [sys.executable, "-m", "sampan", "serve", "--port", "0", "--package", str(project / "package")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        address = server.stdout.readline().split()[-1]
        named = _asked(address, "/predict", ticket(ANGRY))
        fields = {"ticket": "FP64", "written": "BYTES", "shop": "BYTES", "orders": "FP64", "message": "BYTES"}
        row = ticket(ANGRY)
        inputs = [{"name": name, "datatype": kind, "shape": [1], "data": [row[name]]} for name, kind in fields.items()]
        tensors = _asked(address, "/v2/models/tickets/infer", {"inputs": inputs})
        frame = _asked(address, "/invocations", {"dataframe_records": [row]})
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()

    (expected,) = predictor.predict([row])
    assert expected == pytest.approx(named["score"], abs=1e-9)
    assert [expected] == pytest.approx(next(each["data"] for each in tensors["outputs"] if each["name"] == "score"), abs=1e-9)
    assert [expected] == pytest.approx([each if isinstance(each, float) else each["score"] for each in frame["predictions"]], abs=1e-9)


def _asked(address: str, path: str, body: Any) -> Any:
    request = urllib.request.Request(address + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)


def test_a_log_that_hides_the_message_hides_the_columns_of_its_words(project: Path, predictor: PackagePredictor) -> None:
    with Workspace.open(project) as ws:
        keeping = keeping_of(ws, "tickets", ws.catalog.resolve("tickets", kind="package"))

    kept = keeping.features(predictor.feature_names)

    assert ["orders", "where"] == list(kept)
    assert "message" in keeping.changes
