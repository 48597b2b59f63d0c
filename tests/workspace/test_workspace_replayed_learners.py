"""Every learner the product names, trained, kept, and trained again: bit for bit where it can be, and the truth where it cannot."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, add_orders, write_training

from sampan.engine import environment
from sampan.errors import ParameterError
from sampan.workspace.workspace import Workspace

TRAINER = """
@sp.train(name="{name}", features=orders_view, objective=goal)
def fit_{number}(features, labels, *, seed=0):
    {imports}
    return {made}.fit({features}, labels)
"""
LEARNERS = {
    "histogram": ("from sklearn.ensemble import HistGradientBoostingClassifier as Made", "Made(max_iter=20, random_state=seed)"),
    "forest": ("from sklearn.ensemble import RandomForestClassifier as Made", "Made(20, n_jobs=2, random_state=seed)"),
    "extra-trees": ("from sklearn.ensemble import ExtraTreesClassifier as Made", "Made(20, random_state=seed)"),
    "xgboost": ("from xgboost import XGBClassifier as Made", "Made(n_estimators=20, subsample=0.8, n_jobs=2, random_state=seed)"),
}
LINE = "from sklearn.linear_model import LogisticRegression; from sklearn.pipeline import make_pipeline"
VARYING = {
    "clusters": (
        f"from sklearn.cluster import KMeans; {LINE}",
        "make_pipeline(KMeans(6, n_init=1, random_state=seed), LogisticRegression(max_iter=300))",
    ),
}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path)


def training(ws: Workspace, learners: dict[str, tuple[str, str]], *, features: str = "features") -> Path:
    add_orders(ws)
    parts = [
        TRAINER.format(name=name, number=number, imports=imports, made=made, features=features)
        for number, (name, (imports, made)) in enumerate(learners.items())
    ]
    return write_training(ws.root, "".join(parts))


@pytest.mark.slow
def test_forests_and_boosting_are_replayed_bit_for_bit_also_by_two_threads(ws: Workspace) -> None:
    file = training(ws, LEARNERS)

    for name in LEARNERS:
        model = ws.model.train(file, name=name, trials=1, until=CUT).model
        found = ws.home.reproduce(model.ref)
        assert ("bit-equal", True) == (found.verdict, all(node.same for node in found.nodes)), found.text()
        assert ws.catalog.resolve(model.ref, kind="model").facts["parity"]["passed"]


@pytest.mark.slow
def test_what_another_number_of_threads_does_is_told(ws: Workspace) -> None:
    model = ws.model.train(training(ws, VARYING, features="np.nan_to_num(features)"), trials=1, until=CUT).model

    as_then, by_more = ws.home.reproduce(model.ref), ws.home.reproduce(model.ref, threads=2)

    assert "bit-equal" == as_then.verdict
    assert any(line.startswith("threads ") and line.endswith("→ 2") for line in by_more.environment)
    if by_more.verdict != "bit-equal":  # on a machine with one processor, two threads may still take sums in one order
        assert "model" == by_more.diverges_at
        assert "threads" in by_more.likely_cause
    with pytest.raises(ParameterError, match="-1 threads"):
        ws.home.reproduce(model.ref, threads=-1)


@pytest.mark.slow
def test_the_doctor_compares_this_machine_with_what_a_model_was_built_on(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    add_orders(ws)
    model = ws.model.train(write_training(ws.root), trials=1, until=CUT).model
    same = ws.home.doctor(model.ref)
    present = environment.capture()
    other = msgspec.structs.replace(
        present,
        python="3.14.1",
        libraries={**{k: v for k, v in present.libraries.items() if k != "lightgbm"}, "numpy": "9.0"},
        cpu_features=tuple(set(present.cpu_features) - {"avx2", "asimd"}),
        threads={"usable": "64"},
        gpus=("NVIDIA H200",),
    )
    monkeypatch.setattr("sampan.workspace.models.diagnosis.capture", lambda: other)

    found = {each.about: each for each in ws.home.doctor(model.ref).findings}

    assert not [each for each in same.findings if each.trouble]
    assert "its ONNX graph" in same.findings[0].value
    assert {"Python", "lightgbm", "numpy", "threads", "GPU"} <= {about for about, each in found.items() if each.trouble}
    assert found["processor"].trouble or not {"avx2", "asimd"} & set(present.cpu_features)
    assert f"upgrade-check {model.ref} numpy==9.0" in found["numpy"].trouble
    assert "not installed here" in found["lightgbm"].value
