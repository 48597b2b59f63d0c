"""Packages built for targets, by a target that another package brings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import CUT, add_orders, write_training

from sampan.errors import BudgetExceeded, NotFound, ParameterError
from sampan.workspace.workspace import Workspace

TARGET = """
from sampan.errors import BudgetExceeded, ParameterError
from sampan.ports import Built


class Tape:
    def __init__(self, name):
        self.name = name

    def build(self, package, out, options, progress):
        if unknown := set(options.settings) - {"side"}:
            raise ParameterError(f"a tape has no setting {', '.join(unknown)}", parameter="setting")
        graph = (package / "model.onnx").read_bytes()
        measured = {"inches": float(len(graph))}
        if measured["inches"] > options.budget.get("inches", float("inf")):
            raise BudgetExceeded("the tape is too short", measured=measured, reasons=(f"inches: {len(graph)}",))
        (out / "reel").mkdir()
        (out / "reel" / "tape.bin").write_bytes(graph)
        return Built.of(out, facts=measured, warnings=("tapes tear",), next=("rewind",))
"""


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    root = tmp_path_factory.mktemp("packing")
    with Workspace.open(root) as workspace:
        add_orders(workspace)
        workspace.model.train(write_training(root), trials=1, until=CUT)
        yield workspace


@pytest.fixture
def tape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tapes-1.dist-info").mkdir()
    (tmp_path / "tapes-1.dist-info" / "entry_points.txt").write_text("[sampan.targets]\ntape = tapes:Tape\n")
    (tmp_path / "tapes.py").write_text(TARGET)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("tape")
def test_what_a_target_made_and_measured_is_a_build_derived_from_the_package(ws: Workspace, tmp_path: Path) -> None:
    packed = ws.model.pack("orders-late", target="tape", out=tmp_path / "out")
    again = ws.model.pack("orders-late", target="tape", out=tmp_path / "again")

    assert packed.build is not None
    node = ws.catalog.resolve(packed.build.ref, kind="build")
    size = (tmp_path / "out" / "reel" / "tape.bin").stat().st_size
    assert ({"reel/tape.bin": size}, {"inches": float(size)}) == (node.facts["files"], packed.build.facts)
    assert [packed.package] == [f"package:{ws.catalog.node(e.src).ref}" for e in ws.catalog.edges_to(node.id) if e.role == "built_as"]
    assert ("rewind",) == packed.next
    assert "warning: tapes tear" in packed.text()
    assert again.build is not None
    assert packed.build.ref == again.build.ref


@pytest.mark.slow
@pytest.mark.usefixtures("tape")
def test_a_build_over_its_budget_leaves_no_files_but_what_was_measured(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded, match="too short") as refused:
        ws.model.pack("orders-late", target="tape", out=tmp_path / "out", budget="inches=1k")

    (node,) = [each for each in ws.catalog.nodes(kind="build") if each.state == "refused"]
    assert refused.value.measured == {"inches": node.facts["inches"]}
    assert {"inches": 1024.0} == node.facts["budget"]
    assert [] == [path for path in tmp_path.iterdir() if "out" in path.name]


@pytest.mark.usefixtures("tape")
def test_a_folder_that_exists_is_refused_before_anything_is_built(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # without --out, the folder named for model and target lies where one is
    ws.model.pack("orders-late", target="tape")

    with pytest.raises(ParameterError, match="orders-late-v1-tape exists") as refused:
        ws.model.pack("orders-late", target="tape")
    assert "--out" in refused.value.hint


@pytest.mark.usefixtures("tape")
def test_what_would_have_no_effect_is_refused(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="need a target"):
        ws.model.pack("orders-late", budget="ms=5")
    with pytest.raises(ParameterError, match="no setting colour"):
        ws.model.pack("orders-late", target="tape", out=tmp_path / "out", setting={"colour": "red"})
    with pytest.raises(NotFound, match="no target called 'tap'"):
        ws.model.pack("orders-late", target="tap")
