"""A store, an engine on it, and a project written to disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sampan.engine.engine import Engine
from sampan.engine.step import load_script
from sampan.ledger import Ledger
from sampan.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / ".sampan") as opened:
        yield opened


@pytest.fixture
def engine(store: Store) -> Engine:
    return Engine(store, Ledger(store, actor="ann"))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Write files and import one of them afresh: `project(text, {"other.py": text})`. What was imported before is forgotten."""
    folder = tmp_path / "project"
    folder.mkdir()
    before_modules, before_path = set(sys.modules), list(sys.path)

    def forget() -> None:
        for name in set(sys.modules) - before_modules:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
                del sys.modules[name]

    def load(main: str, others: dict[str, str] | None = None) -> Any:
        forget()
        for name, text in {"pipeline.py": main, **(others or {})}.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            for cached in path.parent.glob(f"__pycache__/{path.stem}.*"):
                cached.unlink()
        return load_script(folder / "pipeline.py")

    yield load
    forget()
    sys.path[:] = before_path
