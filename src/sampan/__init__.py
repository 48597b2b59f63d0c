"""Sampan carries a machine-learning model through its whole life: data, runs, models, services and checks in one lineage graph.

The names below are imported when they are first used: `import sampan` costs next to nothing.
"""

from __future__ import annotations

import sys

__version__ = "0.1.0"

TYPE_CHECKING = False  # as in typing, whose import takes as long as starting Python
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any
else:
    ModuleType = type(sys)

# name -> "module:attribute", or "module" where the module itself is the name. Their types are in `__init__.pyi`.
_EXPORTS: dict[str, str] = {
    "Workspace": "sampan.workspace.workspace:Workspace",
    "Label": "sampan.features.view:Label",
    "checkpoint": "sampan.tuning.checkpoint",
    "choice": "sampan.tuning.spaces:choice",
    "col": "sampan.features.expressions:col",
    "data": "sampan.workspace.data.datasets:data",
    "connect": "sampan.remote:connect",
    "dataset": "sampan.workspace.sources:dataset",
    "errors": "sampan.errors",
    "feature": "sampan.features.view:feature",
    "feature_view": "sampan.features.view:features",
    "features": "sampan.features",
    "floats": "sampan.tuning.spaces:floats",
    "load_package": "sampan.workspace.models.predictors:load_package",
    "log": "sampan.workspace.runs.live_runs:log",
    "ints": "sampan.tuning.spaces:ints",
    "logs": "sampan.tuning.spaces:logs",
    "objective": "sampan.evaluation.objective:objective",
    "open": "sampan.workspace.workspace:Workspace.open",
    "run": "sampan.workspace.runs.live_runs:run",
    "step": "sampan.engine.step:step",
    "terms": "sampan.governance.terms:terms",
    "train": "sampan.workspace.training.training:train",
    "value": "sampan.evaluation.objective:value",
    "view": "sampan.features.view:view",
}

__all__ = [
    "Label",
    "Workspace",
    "__version__",
    "checkpoint",
    "choice",
    "col",
    "connect",
    "data",
    "dataset",
    "errors",
    "feature",
    "feature_view",
    "features",
    "floats",
    "ints",
    "load_package",
    "log",
    "logs",
    "objective",
    "open",
    "run",
    "step",
    "terms",
    "train",
    "value",
    "view",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'sampan' has no attribute {name!r}")
    from functools import reduce
    from importlib import import_module

    module, _, attributes = _EXPORTS[name].partition(":")
    found = reduce(getattr, attributes.split("."), import_module(module)) if attributes else import_module(module)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """A module on which importing `sampan.data`, a package of the same name, does not hide the function."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name == "data" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
