"""What `sampan pack MODEL --target browser` makes: it answers the probe set in Node as the package does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from page_training import train_for_a_page

from sampan.errors import BudgetExceeded, IntegrityError, ParameterError
from sampan.ports import TargetOptions
from sampan.workspace.models.predictors import open_predictor
from sampan.workspace.targets.browser_target import Browser
from sampan.workspace.workspace import SilentProgress, Workspace

pytestmark = pytest.mark.slow

_USE = """
import { open, fields } from %r;
const model = await open();
const answer = model.predict(%s);
process.stdout.write(JSON.stringify({ fields, score: answer.score, decision: answer.decision, notes: answer.notes }));
"""


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with Workspace.open(tmp_path_factory.mktemp("page")) as workspace:
        train_for_a_page(workspace)
        yield workspace


def test_the_module_answers_as_the_package_and_says_what_it_does_not_know(ws: Workspace, tmp_path: Path) -> None:
    packed = ws.model.pack("orders-page@v1", target="browser", out=tmp_path / "out")
    request = {"x1": 0.4, "x2": None, "shop": "west", "at": "2013-01-20T13:00:00Z", "past.rate": 0.25}
    script = _USE % (str(tmp_path / "out" / "orders_page.js"), json.dumps(request))
    told = json.loads(subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, check=True).stdout)

    assert packed.build is not None
    facts = packed.build.facts
    assert (256, 0.0) == (facts["n_rows"], facts["feature_difference"])
    assert facts["max_difference"] <= 1e-6
    assert facts["wasm"] == (tmp_path / "out" / "orders_page.wasm").stat().st_size <= 20_000
    assert {"x1": False, "x2": False, "shop": False, "at": False, "past.rate": True} == {n: f["stored"] for n, f in told["fields"].items()}
    assert ["north", "south"] == told["fields"]["shop"]["choices"]
    assert ['shop: "west" was not seen in training'] == told["notes"]
    assert 0 < told["score"] < 1


def test_the_page_holds_everything_and_no_request_that_anyone_sent(ws: Workspace, tmp_path: Path) -> None:
    ws.model.pack("orders-page@v1", target="browser", out=tmp_path / "out", setting={"title": "Late? <b>", "name": "late"})

    page = (tmp_path / "out" / "index.html").read_text()
    assert {"index.html", "late.js", "late.wasm"} == {path.name for path in (tmp_path / "out").iterdir()}
    assert "<title>Late? &lt;b></title>" in page
    assert "http" not in page.replace("http-equiv", "")
    example = json.loads(page.partition("const EXAMPLE = ")[2].partition(";\n")[0])
    probe = pl.read_parquet(ws.model.package_path(ws.model.pack("orders-page@v1").package) / "probe.parquet")
    assert float(f"{np.median(probe['x1'].drop_nulls().to_numpy()):.4g}") == example["x1"]
    assert example["x1"] not in probe["x1"].to_list()


def test_what_does_not_fit_or_cannot_be_heeded_is_refused(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded, match=r"wasm [\d,]+, at most 1,024"):
        ws.model.pack("orders-page@v1", target="browser", out=tmp_path / "out", budget="wasm=1k", setting={"variant": "exact"})
    with pytest.raises(ParameterError, match="a limit on flash cannot be held"):
        ws.model.pack("orders-page@v1", target="browser", out=tmp_path / "out", budget="flash=1k")
    with pytest.raises(ParameterError, match="a page has no base"):
        ws.model.pack("orders-page@v1", target="browser", out=tmp_path / "out", base=tmp_path)
    package = shutil.copytree(ws.model.package_path(ws.model.pack("orders-page@v1").package), tmp_path / "package")
    (package / "probe.parquet").unlink()
    (tmp_path / "empty").mkdir()
    with pytest.raises(IntegrityError, match=r"has no probe\.parquet"):
        Browser("browser").build(package, tmp_path / "empty", TargetOptions(), SilentProgress())


def test_a_smaller_form_is_a_version_and_its_page_is_built(ws: Workspace, tmp_path: Path) -> None:
    packed = ws.model.pack("orders-page@v1", target="browser", out=tmp_path / "out", setting={"variant": "rounds 6"})

    assert packed.build is not None
    assert ("rounds 6", "exact") == (packed.build.facts["form"], packed.build.facts["variant"])
    assert 6 == ws.catalog.resolve(packed.model, kind="model").facts["params"]["rounds"]
    assert (tmp_path / "out" / "index.html").is_file()


def test_requests_of_the_probe_set_get_the_packages_scores(ws: Workspace, tmp_path: Path) -> None:
    from sampan.edge.webassembly import ask_module
    from sampan.workspace.targets.edge_packages import open_carried, request_columns

    package = ws.model.package_path(ws.model.pack("orders-page@v1").package)
    Browser("browser").build(package, tmp_path, TargetOptions(), SilentProgress())

    asked = request_columns(open_carried(package))
    answered = ask_module(tmp_path / "orders_page.js", asked)

    requests = pl.read_parquet(package / "probe.parquet").drop("__score").to_dicts()
    np.testing.assert_allclose(answered.scores[:, 0], open_predictor(package).predict(requests), atol=1e-6)
