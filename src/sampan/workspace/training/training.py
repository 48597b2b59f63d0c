"""What a training file declares: a function that fits a model, the features it is given, the objective it is for, what to search.

    @sp.train(name="flights-late", features=flights_view, objective=goal)
    def fit(X, y, *, num_leaves=sp.ints(15, 63), learning_rate=sp.logs(0.02, 0.2), seed=0):
        return lightgbm.train(...)

The decorated function stays a plain function: `fit(X, y, num_leaves=31)` fits a model and records nothing. How `sampan run` carries it out
is in `learning.py`.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sampan.core.refs import check_name, nearest
from sampan.errors import NotFound, ParameterError
from sampan.evaluation.objective import Objective
from sampan.tuning.spaces import Choice, Floats, Ints, ParameterValue, Space, condition_faults, first_values
from sampan.workspace.sources import DataFile

if TYPE_CHECKING:
    from sampan.features.view import View

SEED = "seed"  # a parameter of this name is given the run's seed


class Trainer:
    """A training function with its view, objective and search space."""

    def __init__(self, function: Callable[..., Any], *, name: str, features: View, objective: Objective, purpose: str = "") -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = check_name(name)
        self.view = features
        self.objective = objective
        self.purpose = purpose
        self.space: dict[str, Space] = {}
        self.defaults: dict[str, ParameterValue] = {}
        self.sources: tuple[DataFile, ...] = ()  # what its module names with sp.dataset; set when the module is loaded
        self._read_parameters()

    def __call__(self, features: Any, labels: Any, **params: Any) -> Any:
        """Fit a model; parameters with a search space take their first value unless given."""
        return self.function(features, labels, **{**first_values(self.space), **params})

    def with_view(self, view: View) -> Trainer:
        """Return the same trainer for another view."""
        other = copy.copy(self)
        other.view = view
        return other

    def fill(self, params: Mapping[str, ParameterValue], *, seed: int) -> dict[str, ParameterValue]:
        """Return all parameters a call gets: defaults, then the seed, then what was given."""
        seeded = {SEED: seed} if SEED in self.defaults else {}
        return {**self.defaults, **first_values(self.space), **seeded, **params}

    def read_params(self, texts: Mapping[str, str]) -> dict[str, ParameterValue]:
        """Read parameters written as text (`num_leaves=31`), each by the type of its space or default.

        Raises
        ------
        ParameterError : naming every unknown parameter and every value that does not fit.
        """
        faults, found = [], {}
        known = {**self.defaults, **self.space}
        for name, text in texts.items():
            if name not in known:
                close = nearest(name, known)
                faults.append(f"{self.name} has no parameter {name!r}" + (f", did you mean {close[0]}?" if close else ""))
                continue
            try:
                found[name] = _read(text, known[name])
            except ValueError as fault:
                faults.append(f"{name}={text} {fault}")
        if faults:
            raise ParameterError("; ".join(faults), hint="parameters: " + ", ".join(known))
        return found

    def _read_parameters(self) -> None:
        faults = []
        positional = 0
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.default is parameter.empty:
                positional += 1
            elif isinstance(parameter.default, Ints | Floats | Choice):
                self.space[parameter.name] = parameter.default
            elif isinstance(parameter.default, int | float | str | bool):
                self.defaults[parameter.name] = parameter.default
            else:
                faults.append(f"{parameter.name} has the default {parameter.default!r}, neither a search space nor a plain value")
        faults += condition_faults(self.space)
        if positional != 2:
            faults.append(f"it has {positional} parameters without a default, and is given two: the features and the labels")
        if faults:
            raise ParameterError(
                f"training function {self.function.__name__}: " + "; ".join(faults), hint="def fit(X, y, *, depth=sp.ints(3, 10))"
            )


def train(*, name: str, features: View, objective: Objective, purpose: str = "") -> Callable[[Callable[..., Any]], Trainer]:
    """Declare a training function. It may be called from several threads at once, and the same arguments must give the same model.

    Parameters
    ----------
    name : the model's name; its versions are name@v1, name@v2 …
    features : the feature view whose matrix and labels the function is given
    objective : what the model is judged by, see `sp.objective`
    purpose : what the model is for, held against the terms of the data; by default the project's (`purpose` in sampan.toml)
    """

    def declare(function: Callable[..., Any]) -> Trainer:
        return Trainer(function, name=name, features=features, objective=objective, purpose=purpose)

    return declare


train.__declares__ = True  # type: ignore[attr-defined]  # the view and the objective are no code of the function: see engine/code.py


def load_trainer(file: Path, name: str = "") -> Trainer:
    """Import a training file and return its trainer, by model name where it has several.

    Raises
    ------
    NotFound : no such file, or it declares no such trainer.
    StepFailed : the file raised while it was imported.
    """
    from sampan.engine.step import load_script

    if not file.is_file():
        raise NotFound(f"there is no file {file}", hint="give the path of a file with an @sp.train function")
    module = load_script(file)
    found = {each.name: each for each in vars(module).values() if isinstance(each, Trainer)}
    for trainer in found.values():
        trainer.sources = tuple(each for each in vars(module).values() if isinstance(each, DataFile))
    if not found:
        raise NotFound(f"{file} declares no training function", hint="mark it with @sp.train(name=…, features=…, objective=…)")
    if name and name not in found:
        raise NotFound(f"{file} does not train {name!r}", did_you_mean=nearest(name, found) or tuple(found))
    if not name and len(found) > 1:
        raise ParameterError(f"{file} trains {', '.join(found)}", hint="say which: --name " + next(iter(found)))
    return found[name] if name else next(iter(found.values()))


def _read(text: str, like: Space | ParameterValue) -> ParameterValue:
    if isinstance(like, Choice):
        found = next((option for option in like.options if str(option) == text), None)
        if found is None:
            raise ValueError(f"is none of {', '.join(map(str, like.options))}")
        return found
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError("is neither true nor false")
        return text.lower() == "true"
    value: ParameterValue = int(text) if isinstance(like, Ints | int) else float(text) if isinstance(like, Floats | float) else text
    if isinstance(like, Ints | Floats) and not like.holds(value):
        raise ValueError(f"is not within {like.low} to {like.high}")
    return value
