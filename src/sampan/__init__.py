"""Sampan carries a machine-learning model through its whole life: data, runs, models, services and checks in one lineage graph.

The names below are imported when they are first used: `import sampan` costs next to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

TYPE_CHECKING = False  # as in typing, whose import takes as long as starting Python
if TYPE_CHECKING:
    from typing import Any

    from sampan import errors
    from sampan.engine.step import step
    from sampan.remote import connect
    from sampan.workspace.workspace import Workspace

    open = Workspace.open  # noqa: A001  # sp.open("folder") reads as the builtin does

# name -> "module:attribute", or "module" where the module itself is the name
_EXPORTS: dict[str, str] = {
    "Workspace": "sampan.workspace.workspace:Workspace",
    "connect": "sampan.remote:connect",
    "errors": "sampan.errors",
    "open": "sampan.workspace.workspace:Workspace.open",
    "step": "sampan.engine.step:step",
}

__all__ = ["Workspace", "__version__", "connect", "errors", "open", "step"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'sampan' has no attribute {name!r}")
    from functools import reduce
    from importlib import import_module

    module, _, attributes = _EXPORTS[name].partition(":")
    value = reduce(getattr, attributes.split("."), import_module(module)) if attributes else import_module(module)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
