"""`sampan why`: real trainings, refitted in clean processes from the code kept with the models."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, FIT, add_orders, write_training

from sampan.errors import ParameterError, StepFailed
from sampan.evaluation.losses import log_losses
from sampan.web.app import create_app
from sampan.workspace.explaining.explaining import Why
from sampan.workspace.models.judging import judge_stored
from sampan.workspace.workspace import Workspace

TICKETS = Path(__file__).parents[2] / "examples" / "tickets"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path)


def adds_up(found: Why) -> bool:
    return abs(sum(axis.share.value for axis in found.axes) - found.gain.value) < 1e-9


@pytest.mark.slow
def test_rows_and_parameters_get_shares_that_add_up_to_the_change_of_the_stored_models(ws: Workspace) -> None:
    add_orders(ws)
    file = write_training(ws.root)
    old = ws.model.train(file, trials=1, until="2013-01-20").model
    new = ws.model.train(file, trials=1, until=CUT, params={"num_leaves": "9"}).model

    found = ws.home.why(old.ref, new.ref)

    assert {"rows added", "parameters"} == {axis.name for axis in found.axes}
    assert adds_up(found)
    nodes = [ws.catalog.resolve(each.ref, kind="model") for each in (old, new)]
    judged = judge_stored(ws, nodes, since=-(2**61), until=2**61)
    stored = [float(log_losses(judged.labels, judged.scores[node.id]).mean()) for node in nodes]
    # The stored models answer by their ONNX graphs, the refitted ones by their library.
    np.testing.assert_allclose(stored, [found.value_before, found.value_after], atol=1e-5)
    again = ws.home.why(old.ref, new.ref)
    assert again.axes == found.axes
    assert again.explanation == found.explanation
    (explanation,) = ws.catalog.nodes(kind="explanation")
    http = TestClient(create_app(ws), base_url="http://127.0.0.1")
    page = http.get(f"/explanations/{explanation.id}")
    assert 200 == page.status_code
    assert "rows added" in page.text
    assert f'href="/explanations/{explanation.id}"' in http.get(f"/models/{new.ref}").text


@pytest.mark.slow
def test_a_harmful_relabeling_gets_the_most_negative_share(ws: Workspace) -> None:
    add_orders(ws)
    file = write_training(ws.root)
    old = ws.model.train(file, trials=1, until="2013-01-20").model
    add_orders(ws, flip_from_day=0)
    new = ws.model.train(file, trials=1, until=CUT).model

    found = ws.home.why(old.ref, new.ref, data={"orders": "orders@v1"})

    worst = min(found.axes, key=lambda axis: axis.share.value)
    assert "labels" == worst.name
    assert worst.share.high is not None
    assert worst.share.high < 0
    assert adds_up(found)


@pytest.mark.slow
def test_features_and_code_are_axes_and_a_short_budget_draws_orders(ws: Workspace) -> None:
    add_orders(ws)
    old = ws.model.train(write_training(ws.root), trials=1, until=CUT).model
    other = FIT.replace('"deterministic": True', '"deterministic": True, "min_data_in_leaf": 300').replace(
        "features=orders_view", "features=fewer"
    )
    fewer = "\nimport msgspec\nfewer = msgspec.structs.replace(orders_view, features=orders_view.features[1:])\n"
    new = ws.model.train(write_training(ws.root, fewer + other, name="train_other.py"), trials=1, until=CUT).model

    exact = ws.home.why(old.ref, new.ref, metric="auc")
    drawn = ws.home.why(old.ref, new.ref, metric="auc", budget=0.001)

    names = {axis.name for axis in exact.axes}
    assert "training code" in names
    assert any(name.startswith("features: ") for name in names)
    assert exact.exact
    assert not drawn.exact
    assert adds_up(exact)
    assert adds_up(drawn)
    assert "of all combinations" in exact.text()
    assert "of drawn orders" in drawn.text()


@pytest.mark.slow
def test_words_of_free_text_are_named_with_what_they_do_to_either_models_answers(ws: Workspace) -> None:
    shutil.copytree(TICKETS, ws.root / "tickets")
    file = ws.root / "tickets" / "train.py"
    text = (
        file.read_text(encoding="utf-8")
        .replace("Letters(most=200)", "Letters(most=20)")
        .replace("Words(most=200, longest=2)", "Words(most=60)")
    )
    file.write_text(text, encoding="utf-8")
    old, new = (ws.model.train(file, trials=1, until="2024-05-15", params={"strength": strength}).model for strength in ("0.1", "10"))

    found = ws.home.why(old.ref, new.ref)

    assert 3 <= len(found.words) <= 12
    assert min(each.n_rows for each in found.words) >= 3
    assert abs(found.words[0].after) > abs(found.words[0].before), "the bolder model heeds words more"
    assert "words that moved the answers most" in found.text()
    (explanation,) = ws.catalog.nodes(kind="explanation")
    page = TestClient(create_app(ws), base_url="http://127.0.0.1").get(f"/explanations/{explanation.id}?lang=vi").text
    assert "Những từ làm câu trả lời thay đổi nhiều nhất" in page
    assert f'<th scope="row">{found.words[0].word}</th>' in page


@pytest.mark.slow
def test_what_cannot_be_explained_is_refused_with_the_reason(ws: Workspace) -> None:
    add_orders(ws)
    file = write_training(ws.root)
    old = ws.model.train(file, trials=1, until=CUT).model
    all_rows = ws.model.train(file, trials=1).model

    with pytest.raises(ParameterError, match="no labeled rows later"):
        ws.home.why(old.ref, all_rows.ref)
    with pytest.raises(ParameterError, match="budget"):
        ws.home.why(old.ref, all_rows.ref, budget=-1)
    same = ws.home.why(old.ref, old.ref)
    assert "nothing a training depends on differs" in same.text()


@pytest.mark.slow
def test_code_that_fails_when_it_is_replayed_is_told_from_its_own_process(ws: Workspace) -> None:
    add_orders(ws)
    old = ws.model.train(write_training(ws.root), trials=1, until=CUT).model
    # It fits once, for the stored model, and raises when asked again with other parameters.
    strict = FIT.replace("    params =", "    assert num_leaves == 8, 'eight leaves only'\n    params =")
    file = write_training(ws.root, strict, name="train_strict.py")
    new = ws.model.train(file, trials=1, until=CUT, params={"num_leaves": "8"}).model

    with pytest.raises(StepFailed, match="eight leaves only"):
        ws.home.why(old.ref, new.ref)
