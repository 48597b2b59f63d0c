"""Packages of small real models: what is in them, and that they answer as the batch path did."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, FIT, add_orders, write_training

import sampan as sp
from sampan.errors import IntegrityError, NotFound, ParameterError, Unsupported
from sampan.flavors.whole_graph import WholeScorer
from sampan.ports import Predictor
from sampan.workspace.models.packages import probe
from sampan.workspace.models.predictors import EXPECTED, open_predictor
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # each trains a small model

SKLEARN = """
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, c=sp.logs(0.1, 10.0)):
    return make_pipeline(SimpleImputer(), LogisticRegression(C=c)).fit(features, labels)
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        add_orders(workspace)
        yield workspace


def packed(ws: Workspace, text: str = FIT) -> Path:
    model = ws.model.train(write_training(ws.root, text), trials=1, until=CUT).model.ref
    return ws.model.package_path(ws.model.pack(model).package)


def test_a_package_holds_all_that_is_needed_to_answer(ws: Workspace) -> None:
    folder = packed(ws)

    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {
        "package.json",
        "features.json",
        "scope.json",
        "model.onnx",
        "compact.onnx",
        "whole.onnx",
        "native/model.txt",
        "probe.parquet",
        "reference.parquet",
        "environment.json",
        "card.md",
        "data.md",
        "examples.json",
        "request.schema.json",
        "requirements.txt",
        "serving.txt",
        "bom.cdx.json",
        "signature.json",
    }
    assert expected | {"online/orders.parquet"} == files
    assert "orders-late@v1" in (folder / "card.md").read_text()


def test_a_package_answers_its_probe_requests_with_the_scores_of_the_batch_path(ws: Workspace) -> None:
    folder = packed(ws)

    found = probe(folder)

    assert found.passed
    assert 256 == found.n_rows
    assert found.max_difference < 1e-6
    assert ws.model.verify("orders-late").passed


def test_the_same_model_packed_twice_is_the_same_package(ws: Workspace) -> None:
    packed(ws)

    first, second = ws.model.pack("orders-late"), ws.model.pack("orders-late")

    assert (first.digest, first.package) == (second.digest, second.package)
    assert not second.made
    assert 1 == len(ws.catalog.nodes(kind="package"))


def test_a_package_that_was_changed_after_it_was_signed_is_not_run(ws: Workspace) -> None:
    folder = packed(ws)
    frame = pl.read_parquet(folder / "probe.parquet")
    frame.with_columns(pl.col(EXPECTED) + 0.01).write_parquet(folder / "probe.parquet")
    (folder / "card.md").unlink()
    (folder / "evil.pkl").write_bytes(b"")

    found = ws.model.verify("orders-late")

    assert ("probe.parquet was changed", "card.md is missing", "evil.pkl was added") == found.faults
    assert (False, 0, 8) == (found.passed, found.n_rows, found.exit_code())
    assert (256, 256) == (probe(folder).n_rows, probe(folder).n_far)


def test_a_copy_is_verified_elsewhere_by_the_public_key(ws: Workspace, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    packed(ws)
    ws.model.pack("orders-late", out=tmp_path / "out")
    key = ws.model.signing_key(out=tmp_path / "sampan.pub")

    with Workspace.open(tmp_path_factory.mktemp("elsewhere")) as other:
        trusted = other.model.verify(str(tmp_path / "out"), key=tmp_path / "sampan.pub")
        stranger = other.model.verify(str(tmp_path / "out"))
        (tmp_path / "out" / "signature.json").unlink()
        unsigned = other.model.verify(str(tmp_path / "out"), key=tmp_path / "sampan.pub")
        with pytest.raises(NotFound, match="cannot be read"):
            other.model.verify(str(tmp_path / "out"), key=tmp_path / "lost.pub")

    assert (True, key.key_id, 18, 256) == (trusted.passed, trusted.signed_by, trusted.n_files, trusted.n_rows)
    assert not stranger.passed
    assert "no such key is trusted here" in stranger.text()
    assert ("it is not signed",) == unsigned.faults


def test_a_package_says_how_it_is_asked_and_what_it_was_made_of(ws: Workspace) -> None:
    (ws.root / "sampan.toml").write_text('[project]\nowner = "ana"\npurpose = "lateness"\n')
    with Workspace.open(ws.root) as owned:
        folder = packed(owned)
    examples = json.loads((folder / "examples.json").read_text())
    schema = json.loads((folder / "request.schema.json").read_text())
    predictor = open_predictor(folder)

    assert [list(schema["properties"])] * 3 == [list(row) for row in examples["/predict"]["rows"]]
    assert ({"type": "string"}, {"anyOf": [{"type": "number"}, {"type": "null"}]}) == tuple(schema["properties"][n] for n in ("shop", "x1"))
    np.testing.assert_allclose(predictor.predict(examples["rows"]), examples["answers"], atol=1e-6)
    assert ("ana", "lateness") == (predictor.manifest.owner, predictor.manifest.purpose)
    assert "- Owner: ana" in (folder / "card.md").read_text()
    assert "| x1 | number | 0.0% |" in (folder / "data.md").read_text()
    assert "numpy==" + np.__version__ in (folder / "requirements.txt").read_text().splitlines()
    assert "CycloneDX" == json.loads((folder / "bom.cdx.json").read_text())["bomFormat"]


def test_a_predictor_scores_what_its_features_say_and_keeps_the_port(ws: Workspace) -> None:
    predictor: Predictor = open_predictor(packed(ws))
    rows = [{"order": 1, "at": "2013-02-01T00:00:00Z", "shop": "north", "x1": 0.5, "x2": None}]

    matrix = predictor.features(rows)

    assert (1, 3) == matrix.shape
    assert np.isnan(matrix[0, list(predictor.feature_names).index("x2")])
    np.testing.assert_array_equal(predictor.score(matrix), predictor.predict(rows))
    assert [1_359_676_800_000] == predictor.moments(rows).tolist()
    assert ("orders-late", "v1") == (predictor.name, predictor.version)


def test_a_predictor_learns_from_outcomes_it_is_fed(ws: Workspace) -> None:
    predictor = open_predictor(packed(ws))
    row = {"order": 1, "at": "2013-02-03T00:00:00Z", "shop": "north", "x1": 0.5, "x2": 0.1}
    before = predictor.features([row])[0, 2]

    predictor.feed("orders", [{"at": 0, "shop": "north", "late": 1.0, "done": "2013-02-02T12:00:00Z"}])

    assert (0.0, 1.0) == (before, predictor.features([row])[0, 2])


def test_a_bad_request_is_refused_by_field(ws: Workspace) -> None:
    predictor = open_predictor(packed(ws))

    with pytest.raises(ParameterError, match="x1"):
        predictor.predict([{"order": 1, "at": "2013-02-01T00:00:00Z", "shop": "north", "x1": "much", "x2": 0}])
    with pytest.raises(ParameterError, match="shape"):
        predictor.score(np.zeros((1, 2), np.float32))


def test_a_scikit_learn_model_is_packed_without_pickle(ws: Workspace) -> None:
    folder = packed(ws, SKLEARN)

    assert {"model.json", "arrays.npz", "params.json"} == {path.name for path in (folder / "native").iterdir()}
    assert probe(folder).passed


def test_a_scikit_learn_model_that_has_no_right_graph_is_served_natively(ws: Workspace) -> None:
    text = SKLEARN.replace("SimpleImputer()", "KNNImputer()").replace("import SimpleImputer", "import KNNImputer")
    frame = add_orders(ws)
    frame.with_columns(x1=pl.when(pl.col("order") % 5 > 0).then("x1")).write_parquet(ws.root / "holes.parquet")
    ws.data.add(ws.root / "holes.parquet", name="orders")
    model = ws.model.train(write_training(ws.root, text), trials=1, until=CUT)

    ws.model.pack(model.model.ref)
    folder = ws.model.package_path(model.model.ref)

    assert "KNNImputer is not exported" in model.parity
    assert not (folder / "model.onnx").exists()
    assert probe(folder).passed


def test_a_part_of_the_training_files_own_that_nothing_can_keep_is_refused(ws: Workspace) -> None:
    own = "class Own(SimpleImputer):\n    pass\n\n@sp.train("

    with pytest.raises(Unsupported, match=r"without pickle: Pipeline.steps\[0\]\[1\] is a .*Own"):
        ws.model.train(
            write_training(ws.root, SKLEARN.replace("@sp.train(", own).replace("(SimpleImputer(),", "(Own(),")), trials=1, until=CUT
        )


def test_a_model_that_cannot_be_exported_is_served_natively_and_marked_slow(ws: Workspace) -> None:
    text = FIT.replace('"objective": "binary"', '"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5')
    folder = packed(ws, text)

    predictor = open_predictor(folder)

    assert not (folder / "model.onnx").exists()
    assert ("lightgbm", True) == (predictor.manifest.served_by, "random forests" in predictor.manifest.why_slow)
    assert probe(folder).passed


def test_another_environment_is_told(ws: Workspace) -> None:
    folder = packed(ws)
    file = folder / "environment.json"
    file.write_text(file.read_text().replace('"implementation": "CPython"', '"implementation": "PyPy"'))

    assert any("CPython" in line for line in open_predictor(folder).differences())


@pytest.mark.parametrize("missing", ["package.json", "features.json", "model.onnx compact.onnx"])
def test_a_package_that_lacks_a_file_is_named(ws: Workspace, missing: str) -> None:
    folder = packed(ws)
    for name in missing.split():
        (folder / name).unlink()

    with pytest.raises(IntegrityError, match="package"):
        open_predictor(folder)


def test_a_package_is_copied_to_a_new_folder_only(ws: Workspace, tmp_path: Path) -> None:
    packed(ws)

    ws.model.pack("orders-late", out=tmp_path / "out")

    assert probe(tmp_path / "out").passed
    with pytest.raises(ParameterError, match="exists"):
        ws.model.pack("orders-late", out=tmp_path / "out")


def test_a_package_holds_one_graph_from_the_request_to_the_score(ws: Workspace) -> None:
    folder = packed(ws)
    predictor = open_predictor(folder)
    manifest = predictor.manifest
    rows = pl.read_parquet(folder / "probe.parquet").drop(EXPECTED).to_dicts()

    features, scores = WholeScorer((folder / "whole.onnx").read_bytes())(predictor.tensors(rows))

    assert manifest.inputs is not None
    assert manifest.whole is not None
    assert [("x1", "request"), ("x2", "request"), ("past.rate", "store")] == [(each.name, each.source) for each in manifest.inputs.num]
    assert (True, 2 * len(rows)) == (manifest.whole.passed, manifest.whole.n_rows)
    np.testing.assert_array_equal(predictor.features(rows), features)
    np.testing.assert_allclose(predictor.predict(rows), scores, atol=1e-7)
    assert manifest.whole.n_rows == ws.catalog.resolve("orders-late", kind="package").facts["whole"]["n_rows"]


def test_a_loaded_package_takes_rows_as_dicts_and_tables_alike(ws: Workspace) -> None:
    folder = packed(ws)
    predictor = sp.load_package(str(folder))
    table = pl.read_parquet(folder / "probe.parquet").head(8)
    rows = table.drop(EXPECTED)
    frame = pd.DataFrame(rows.to_dicts())

    expected = table[EXPECTED].to_numpy()
    np.testing.assert_allclose(predictor.predict(rows.to_dicts()), expected, atol=1e-6)
    np.testing.assert_allclose(predictor.predict(rows), expected, atol=1e-6)  # type: ignore[arg-type]
    np.testing.assert_allclose(predictor.predict(frame), expected, atol=1e-6)  # type: ignore[arg-type]
