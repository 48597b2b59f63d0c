"""Pickles from elsewhere: nothing of one runs before somebody answers for it, and then in a process of its own, to become data."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sampan.errors import AccessDenied, ParameterError, Unavailable, Unsupported
from sampan.workspace.models.pickled import PickleProcess
from sampan.workspace.models.predictors import open_predictor
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # each starts a process that imports scikit-learn
N = 400


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": np.where(rng.random(N) < 0.1, np.nan, rng.integers(18, 90, N).astype(float)),
            "city": rng.choice(np.array(["Huế", "Vinh", None], dtype=object), N),
            "note": [" ".join(rng.choice(["late", "Paid", "trả góp", "call"], 3)) for _ in range(N)],
            "left": rng.integers(0, 2, N),
        }
    )


def columns() -> ColumnTransformer:
    filled = make_pipeline(SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore"))
    age = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer([("age", age, ["age"]), ("city", filled, ["city"]), ("note", TfidfVectorizer(), "note")])


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    table().to_parquet(tmp_path / "rows.parquet")
    with Workspace.open(tmp_path, actor="ana") as workspace:
        yield workspace


def adopted(ws: Workspace, model: Any, name: str = "churn") -> str:
    file = ws.root / f"{name}.joblib"
    joblib.dump(model, file)
    return ws.model.adopt(file, ws.root / "rows.parquet", name=name, label="left").model


def test_a_trusted_pipeline_of_numbers_categories_and_text_becomes_one_graph_without_a_pickle(ws: Workspace) -> None:
    frame = table()
    model = make_pipeline(columns(), LogisticRegression()).fit(frame.drop(columns="left"), frame["left"])
    ref = adopted(ws, model)
    with pytest.raises(AccessDenied, match="nobody has trusted it"):
        ws.model.pack(ref)

    ws.model.trust(ref, reason="we fitted it")
    packed = ws.model.pack(ref)
    folder = ws.model.package_path(packed.package)
    predictor = open_predictor(folder)
    rows = [{"age": 30, "city": "Vinh", "note": "PAID trả"}, {"age": None, "city": "Hà Nội", "note": "unheard of"}]

    expected = model.predict_proba(pd.DataFrame(rows).assign(age=[30.0, np.nan]))[:, 1]
    np.testing.assert_allclose(predictor.predict(rows), expected, atol=1e-6)
    assert ("onnx", {"by": "ana", "reason": "we fitted it"}) == (packed.served_by, predictor.manifest.trusted)
    assert [] == list(folder.rglob("*.joblib"))
    assert ws.model.verify(ref).passed
    assert {"age": True, "city": True, "note": False} == {
        name: spec["nullable"] for name, spec in predictor.manifest.request_schema.items()
    }
    with pytest.raises(ParameterError, match="field 'note' is null, expected text"):
        predictor.predict([{"age": 1, "city": "Vinh", "note": None}])
    assert predictor.manifest.whole is not None
    assert 2 * N == predictor.manifest.whole.n_rows
    assert (("city: category 'Hà Nội' was not seen in training",)) == predictor.flags(rows)[1][:1]


def test_a_pipeline_without_a_right_graph_is_answered_by_its_own_process(ws: Workspace) -> None:
    frame = table()
    words = TfidfVectorizer(strip_accents="unicode")
    model = make_pipeline(ColumnTransformer([("note", words, "note")]), LogisticRegression()).fit(frame, frame["left"])
    ref = adopted(ws, model)
    ws.model.trust(ref, reason="we fitted it")

    packed = ws.model.pack(ref)
    predictor = open_predictor(ws.model.package_path(packed.package))
    rows = [{"age": 1.0, "city": None, "note": "late call"}]

    assert ("pickle", True) == (packed.served_by, "strip_accents='unicode'" in predictor.manifest.why_slow)
    np.testing.assert_allclose(predictor.score(predictor.features(rows)), model.predict_proba(pd.DataFrame(rows))[:, 1], atol=1e-12)
    with pytest.raises(ParameterError, match="asked by rows"):
        predictor.score(np.zeros((1, 3), np.float32))


def test_numbers_are_adopted_too_and_a_text_that_the_model_raises_at_is_refused_by_name(ws: Workspace) -> None:
    frame = table()
    known = ColumnTransformer([("note", OneHotEncoder(), ["note"]), ("age", SimpleImputer(), ["age"])])
    model = make_pipeline(known, Ridge()).fit(frame.drop(columns="left"), frame["age"].fillna(0))
    ref = adopted(ws, model, "age")
    ws.model.trust(ref, reason="we fitted it")

    predictor = open_predictor(ws.model.package_path(ws.model.pack(ref).package))

    assert ("regression", "onnx") == (predictor.manifest.task.kind, predictor.manifest.served_by)
    with pytest.raises(ParameterError, match="row 0: field 'note' is 'never said', and this model answers none but those"):
        predictor.predict([{"age": 1.0, "city": None, "note": "never said"}])


class Hostile:
    """Leaves a mark where it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.mark), "w"))


def test_nothing_in_a_pickle_runs_before_it_is_trusted(ws: Workspace, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (ws.root / "evil.pkl").write_bytes(pickle.dumps(Hostile(mark)))

    ref = ws.model.adopt(ws.root / "evil.pkl", ws.root / "rows.parquet", name="evil").model
    with pytest.raises(AccessDenied):
        ws.model.pack(ref)

    assert not mark.exists()


class Moody:
    """Answers, dies, hangs or eats memory, as its rows say."""

    classes_ = (0, 1)

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        wish = frame["wish"].iloc[0]
        if wish == "die":
            os._exit(9)
        if wish == "hang":
            import time

            time.sleep(600)
        if wish == "eat":
            return np.ones((1 << 34, 2))
        print("a model that prints")  # noqa: T201
        return np.array([[0.25, 0.75]])


def test_a_model_that_dies_hangs_or_eats_takes_nobody_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    (tmp_path / "moody.pkl").write_bytes(b"ctest_model_adopting\nMoody\n(tR.")  # a call without arguments, written by hand
    process = PickleProcess(tmp_path / "moody.pkl", answer_s=1.0)

    assert [0.75] == process.scores({"wish": ["answer"]}).tolist()
    with pytest.raises(Unavailable, match="has died"):
        process.scores({"wish": ["die"]})
    with pytest.raises(Unavailable, match="did not answer within 1 s"):
        process.scores({"wish": ["hang"]})
    with pytest.raises(Unsupported, match="allocate"):
        process.scores({"wish": ["eat"]})
    assert [0.75] == process.scores({"wish": ["answer"]}).tolist()
    process.close()


def test_what_is_no_pickle_or_no_model_is_named(ws: Workspace) -> None:
    model = ws.root / "model.bin"
    model.write_bytes(b"")
    (ws.root / "broken.pkl").write_bytes(b"no pickle")
    with pytest.raises(ParameterError, match="no pickle"):
        ws.model.adopt(model, ws.root / "rows.parquet", name="a")
    with pytest.raises(ParameterError, match="no column 'lost'"):
        ws.model.adopt(ws.root / "broken.pkl", ws.root / "rows.parquet", name="a", label="lost")

    ref = ws.model.adopt(ws.root / "broken.pkl", ws.root / "rows.parquet", name="a").model
    ws.model.trust(ref, reason="to see what it says")

    with pytest.raises(Unsupported, match="cannot be read: UnpicklingError"):
        ws.model.pack(ref)


def test_trust_needs_a_reason_and_something_to_trust(ws: Workspace) -> None:
    frame = table()
    ref = adopted(ws, KNeighborsClassifier().fit(frame[["age"]].fillna(0), frame["left"]))

    with pytest.raises(ParameterError, match="needs a reason"):
        ws.model.trust(ref, reason=" ")
    assert ws.model.adopt(ws.root / "churn.joblib", ws.root / "rows.parquet", name="churn", label="left").made is False
