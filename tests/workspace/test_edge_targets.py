"""Packages of trained models built for microcontrollers: parity, budgets, the ladder of smaller forms."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

import small_tasks
from small_training import CUT, add_orders, write_training

from sampan.edge.profiles import FOLDER
from sampan.errors import BudgetExceeded, GateRejected, ParameterError
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("boards")
    with Workspace.open(root) as workspace:
        add_orders(workspace)
        workspace.model.train(write_training(root), trials=1, until=CUT)
        yield workspace


def facts_of(ws: Workspace, target: str, out: Path, **more: Any) -> dict[str, Any]:
    build = ws.model.pack("orders-late", target=target, out=out, **more).build
    assert build is not None
    return dict(build.facts)


@pytest.mark.parametrize("target", ["cortex-m0plus", "cortex-m4f", "cortex-m7", "esp32c3"])
def test_a_trained_model_answers_on_each_board_as_its_package_does(ws: Workspace, tmp_path: Path, target: str) -> None:
    found = facts_of(ws, target, tmp_path / "out", budget="flash=64k,ram=8k,ms=5")

    assert (found["variant"], found["transform"]) == ("exact", True)
    assert found["max_difference"] <= 1e-6
    assert found["n_rows"] > 100
    assert 0 < found["flash"] <= 65536
    assert found["instructions"] <= found["worst_instructions"] + 40
    report = msgspec.json.decode((tmp_path / "out" / "report.json").read_bytes())
    assert report["profile"]["source"]
    assert report["budget"] == {"flash": 65536, "ram": 8192, "ms": 5}
    header = (tmp_path / "out" / "orders_late.h").read_text()
    assert "float orders_late_score(const float *x);" in header
    assert "void orders_late_answer(const double *numbers, const char *const *texts, float *y);" in header
    assert "looked up by the caller" in header


def test_what_was_measured_is_the_same_each_time_and_kept_as_a_build_of_the_package(ws: Workspace, tmp_path: Path) -> None:
    first = ws.model.pack("orders-late", target="cortex-m4f", out=tmp_path / "one")
    second = ws.model.pack("orders-late", target="cortex-m4f", out=tmp_path / "two")

    assert first.build == second.build
    assert first.build is not None
    node = ws.catalog.resolve(first.build.ref)
    assert node.facts["instructions"] == first.build.facts["instructions"]


def test_features_can_be_left_to_the_caller(ws: Workspace, tmp_path: Path) -> None:
    whole = facts_of(ws, "cortex-m4f", tmp_path / "whole")
    alone = facts_of(ws, "cortex-m4f", tmp_path / "alone", setting={"transform": "false"})

    assert (whole["transform"], alone["transform"]) == (True, False)
    assert alone["flash"] < whole["flash"]
    assert "_answer" not in (tmp_path / "alone" / "orders_late.h").read_text()


def test_a_budget_that_the_model_exceeds_is_met_by_the_mildest_smaller_form(ws: Workspace, tmp_path: Path) -> None:
    whole = facts_of(ws, "cortex-m4f", tmp_path / "whole")

    packed = ws.model.pack("orders-late", target="cortex-m4f", out=tmp_path / "small", budget=f"flash={whole['flash'] - 1}")

    assert packed.build is not None
    assert packed.build.facts["variant"] == "i16 leaves"
    assert packed.build.facts["flash"] < whole["flash"]
    assert packed.build.facts["max_difference"] <= 1e-3
    assert "does not fit" in packed.build.warnings[0]


def test_where_nothing_fits_the_front_is_told_with_what_each_form_loses_on_rows_held_out(ws: Workspace, tmp_path: Path) -> None:
    whole = facts_of(ws, "cortex-m4f", tmp_path / "whole")
    budget = f"flash={whole['flash'] // 2}"

    with pytest.raises(BudgetExceeded, match="the front is") as refused:
        ws.model.pack("orders-late", target="cortex-m4f", out=tmp_path / "out", budget=budget, setting={"tries": "2"})

    measured = refused.value.measured
    names = sorted({name.partition(": ")[0] for name in measured if ": " in name})
    assert any(name.startswith("rounds ") or "num_leaves" in name for name in names), names
    assert all(measured[f"{name}: gain_low"] <= measured[f"{name}: gain"] <= measured[f"{name}: gain_high"] for name in names)
    fitting = [name for name in names if measured[f"{name}: flash"] <= whole["flash"] // 2]
    assert fitting
    assert "--setting 'variant=" in refused.value.hint
    assert "rows held out" in refused.value.message


def test_a_limit_on_loss_makes_the_best_form_that_fits_a_version_which_passes_its_gate(ws: Workspace, tmp_path: Path) -> None:
    parent = ws.catalog.resolve("orders-late@v1", kind="model")
    whole = facts_of(ws, "cortex-m4f", tmp_path / "whole")
    limit = round(0.7 * whole["flash"])

    packed = ws.model.pack(parent.ref, target="cortex-m4f", out=tmp_path / "out", budget=f"flash={limit},loss=0.05", setting={"tries": "2"})

    assert packed.build is not None
    assert packed.build.facts["flash"] <= limit
    version = ws.catalog.resolve(packed.model, kind="model")
    assert (parent.ref, 0.05) == (version.facts["variant"]["parent_ref"], version.facts["variant"]["allowed_loss"])
    assert version.facts["variant"]["name"] == packed.build.facts["form"]
    assert ws.model.show(version.ref).decision is not None
    lineage = {ws.catalog.node(edge.src).ref for edge in ws.catalog.edges_to(ws.catalog.resolve(packed.build.ref).id)}
    assert {packed.package.removeprefix("package:")} == lineage


def test_a_form_can_be_taken_by_its_name_and_is_held_to_its_gate(ws: Workspace, tmp_path: Path) -> None:
    parent = ws.catalog.resolve("orders-late@v1", kind="model")

    trained = ws.model.pack(parent.ref, target="cortex-m0plus", out=tmp_path / "out", setting={"variant": "rounds 12, i16 leaves"})

    assert trained.build is not None
    assert ("rounds 12", "i16 leaves") == (trained.build.facts["form"], trained.build.facts["variant"])
    assert 12 == ws.catalog.resolve(trained.model, kind="model").facts["params"]["rounds"]
    ws.model.gate(parent.ref)
    ws.model.promote(parent.ref)
    with pytest.raises(GateRejected, match="was refused by its gate") as refused:
        ws.model.pack(parent.ref, target="cortex-m4f", out=tmp_path / "half", setting={"variant": "first trees 25 %"})
    assert "loss=0.01" in refused.value.hint


def test_a_board_of_ones_own_is_a_file(ws: Workspace, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    text = (FOLDER / "cortex-m4f.yaml").read_text(encoding="utf-8")
    own.write_text(text.replace("name: cortex-m4f", "name: own").replace("clock_mhz: 80", "clock_mhz: 8"), encoding="utf-8")

    usual = facts_of(ws, "cortex-m4f", tmp_path / "usual")
    found = facts_of(ws, "cortex-m4f", tmp_path / "out", setting={"profile": str(own)})

    assert found["profile"] == "own"
    assert found["ms"] == pytest.approx(10 * usual["ms"])


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"budget": "mb=3"}, "a limit on mb"),
        ({"base": Path("debian.tar")}, "no base"),
        ({"setting": {"varient": "exact"}}, "varient"),
        ({"setting": {"variant": "huge"}}, "no variant 'huge'"),
    ],
)
def test_what_a_board_cannot_heed_is_refused(ws: Workspace, tmp_path: Path, asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        ws.model.pack("orders-late", target="cortex-m4f", out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_models_of_classes_and_of_numbers_answer_on_a_board_as_their_packages_do(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as ws:
        small_tasks.add_visits(ws)
        for name, text in (("ends", small_tasks.ENDS_FILE), ("hours", small_tasks.HOURS)):
            ws.model.train(small_tasks.write_task(tmp_path, text, name=f"train_{name}.py"), trials=1, until=small_tasks.CUT)
            build = ws.model.pack(name, target="cortex-m4f", out=tmp_path / "out" / name).build

            assert build is not None
            assert (build.facts["variant"], build.facts["transform"]) == ("exact", True)
            assert build.facts["max_difference"] <= 1e-5
    assert "chance of other ward" in (tmp_path / "out" / "ends" / "ends.h").read_text()
