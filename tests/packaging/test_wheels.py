"""Wheels with a package inside, installed as anyone would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.errors import BudgetExceeded, ParameterError
from sampan.packaging.wheels import Wheel
from sampan.ports import Built, TargetOptions
from sampan.workspace.workspace import SilentProgress

_ASK = """
import json, sys
from orders_late import MODEL, THRESHOLD, predict
print(json.dumps([MODEL, THRESHOLD, predict(json.load(sys.stdin)).tolist()]))
"""


def build(package: Path, out: Path, **options: object) -> Built:
    out.mkdir(exist_ok=True)
    return Wheel("wheel").build(package, out, TargetOptions(**options), SilentProgress())  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_wheel_is_installed_and_predicts(package: Path, tmp_path: Path) -> None:
    build(package, tmp_path)
    wheel = tmp_path / "orders_late-1-py3-none-any.whl"

    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "pip", "install", "-q", "--offline", "--no-deps", "--target", tmp_path / "site", wheel], check=True)
    order = {"order": 5, "at": 1_356_998_400_000, "shop": "north", "x1": 0.1, "x2": 1.0}
    path = os.pathsep.join([str(tmp_path / "site"), *filter(None, sys.path)])
    ran = subprocess.run(
        [sys.executable, "-c", _ASK],
        input=json.dumps([order]),
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )

    model, threshold, (score,) = json.loads(ran.stdout)
    assert ("orders-late@v1", 0.2) == (model, threshold)
    assert 0.2535060048 == pytest.approx(score, abs=1e-6)


def test_the_same_package_gives_the_same_wheel(package: Path, tmp_path: Path) -> None:
    assert build(package, tmp_path / "a").files == build(package, tmp_path / "b").files


def test_what_cannot_be_imported_or_is_too_large_is_refused(package: Path, tmp_path: Path) -> None:
    for module, said in (("two words", "nothing can be imported"), ("class", "nothing can be imported"), ("json", "something else")):
        with pytest.raises(ParameterError, match=said):
            build(package, tmp_path, settings={"module": module})
    with pytest.raises(BudgetExceeded, match="mb is"):
        build(package, tmp_path, budget={"mb": 0.001})
