from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

from sampan.engine.libraries import installed, versions_behind
from sampan.store.hints import Hints


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of its own, with a project file beside it."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(folder)])
    return folder


def install(site: Path, name: str, version: str, *, modules: str = "", requires: tuple[str, ...] = ()) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = [f"Name: {name}", *(f"Requires-Dist: {r}" for r in requires), "", "Requires-Dist: not-a-header"]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "RECORD").write_text(f"{modules or name}/__init__.py,,\n")


def test_it_agrees_with_pythons_own_list() -> None:
    theirs = {re.sub(r"[-_.]+", "-", d.name).lower(): d.version for d in importlib.metadata.distributions()}

    assert installed() == dict(sorted(theirs.items()))


def test_a_module_leads_to_its_distribution_and_what_that_requires(site: Path) -> None:
    install(
        site,
        "scikit_learn",
        "1.9",
        modules="sklearn",
        requires=("numpy>=2 ; python_version > '3'", "joblib (>=1)", "pytest ; extra == 'tests'"),
    )
    install(site, "numpy", "2.4")
    install(site, "joblib", "1.6", requires=("NumPy",))
    install(site, "pytest", "9.0")
    install(site, "unrelated", "1.0")

    assert versions_behind(["sklearn", "json", "my_project"]) == {"joblib": "1.6", "numpy": "2.4", "scikit-learn": "1.9"}


def test_an_unrelated_installation_changes_nothing(site: Path, tmp_path: Path) -> None:
    install(site, "numpy", "2.4")
    memory = Hints(tmp_path / "hints")
    before = versions_behind(["numpy"], memory)
    install(site, "unrelated", "1.0")

    assert versions_behind(["numpy"], memory) == before


def test_an_upgrade_is_seen_through_what_was_remembered(site: Path, tmp_path: Path) -> None:
    install(site, "pandas", "3.0", requires=("numpy",))
    install(site, "numpy", "2.4")
    memory = Hints(tmp_path / "hints")
    assert versions_behind(["pandas"], memory) == {"numpy": "2.4", "pandas": "3.0"}

    (site / "numpy-2.4.dist-info").rename(site / "numpy-2.5.dist-info")

    assert versions_behind(["pandas"], memory) == {"numpy": "2.5", "pandas": "3.0"}


def test_polars_always_counts_because_tables_pass_through_it(site: Path) -> None:
    install(site, "polars", "2.1")

    assert versions_behind([]) == {"polars": "2.1"}


def test_requirements_in_a_circle_end(site: Path) -> None:
    install(site, "a", "1", requires=("b",))
    install(site, "b", "2", requires=("a",))

    assert versions_behind(["a"]) == {"a": "1", "b": "2"}
