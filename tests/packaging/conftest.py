"""What tests of targets share: a real package's folder, and a small Debian with Python to build on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sampan.workspace.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package's folder, as `sampan model pack --out` writes it."""
    sys.path.insert(0, str(ROOT / "tests" / "workspace"))  # under importlib's import mode
    from small_package import WEIGHTS, add_package, draw_orders, requests_of, true_chances

    folder = tmp_path_factory.mktemp("package") / "orders-late"
    with Workspace.open(tmp_path_factory.mktemp("project")) as workspace:
        add_package(workspace, folder)
    asked = draw_orders(40, first=0, day=0, rng=np.random.default_rng(3))
    scores = true_chances(asked["x1"].to_numpy(), asked["x2"].to_numpy(), WEIGHTS)
    pl.DataFrame(requests_of(asked)).with_columns(pl.Series("__score", scores)).write_parquet(folder / "probe.parquet")
    return folder


@pytest.fixture(scope="session")
def debian() -> Path:
    """A root filesystem with Python 3.11, as a tar file."""
    path = ROOT / ".peers" / "debian.tar"
    if not path.exists():
        pytest.fail("there is no .peers/debian.tar: run tools/containers.sh")
    return path
