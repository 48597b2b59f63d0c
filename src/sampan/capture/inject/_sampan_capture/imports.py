"""Do something right after a module was first imported. The module is not imported for our sake."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any


class AfterImport(importlib.abc.MetaPathFinder):
    """Stands first in `sys.meta_path`; lets the others find the module and calls back once it is loaded."""

    def __init__(self, wanted: Mapping[str, Callable[[ModuleType], None]]) -> None:
        self._wanted = dict(wanted)

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a wanted module as the others do, and wrap its loader."""
        callback = self._wanted.pop(fullname, None)
        if callback is None:
            return None
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Calling(spec.loader, callback)  # type: ignore[assignment]  # a loader by what it does
        return spec


class _Calling:
    """A loader that calls back after the real one has carried the module out."""

    def __init__(self, loader: Any, callback: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._callback = callback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the real loader."""
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """As the real loader; then call back. What our own code trips over is told and does not stop the program."""
        self._loader.exec_module(module)
        try:
            self._callback(module)
        except Exception as error:  # noqa: BLE001  # watching must never keep a program from running
            sys.stderr.write(f"sampan: {module.__name__} is not watched: {type(error).__name__}: {error}\n")
