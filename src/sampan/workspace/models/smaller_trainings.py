"""What all who look for smaller forms of a model share: its recipe, the trainings that are worth a try, how much better one came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sampan.compression.ensembles import n_trees
from sampan.compression.sizing import Size, halvings, sizes_among
from sampan.core.graph import Node
from sampan.errors import Unsupported
from sampan.evaluation.metrics import is_higher_better
from sampan.evaluation.paired import Paired
from sampan.features.reading import columns_learned, columns_read
from sampan.stats.estimates import Estimate
from sampan.workspace.explaining.replaying import Recipe
from sampan.workspace.governing import governance
from sampan.workspace.models.judging import objective_of
from sampan.workspace.models.variant_bench import Attempt, Bench, Tried

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace


def recipe_of(ws: Workspace, model: Node) -> Recipe:
    """Return the recipe of a model that may be trained again and is served as a graph.

    Raises
    ------
    Unsupported : the model was not trained here, was cut from another, or is served natively.
    PolicyRefused : its data may not be learned from now.
    """
    if not has_graph(model):
        raise Unsupported(
            f"{model.ref} is served natively, not as a graph, so there is nothing to make smaller",
            hint=f"sampan model optimise {model.ref} trains a model with a graph in its place",
        )
    return replayable_recipe(ws, model)


def has_graph(model: Node) -> bool:
    """Say whether a model is served as a graph, not natively."""
    return bool(model.facts.get("parity", {}).get("passed"))


def replayable_recipe(ws: Workspace, model: Node) -> Recipe:
    """Return the recipe of a model that may be trained again.

    Raises
    ------
    Unsupported : the model was not trained here, or was cut from another.
    PolicyRefused : its data may not be learned from now.
    """
    facts = model.facts
    if facts.get("variant") and not facts["variant"].get("is_replayable"):
        parent = facts["variant"]["parent_ref"]
        raise Unsupported(f"{model.ref} was made from {parent} without a training", hint=f"sampan model optimise {parent}")
    if facts.get("flavor") == "pickle":
        raise Unsupported(
            f"{model.ref} was brought as a pickle: there is no training here that could be made smaller",
            hint="optimise its graph: sampan model optimise FILE.onnx --examples ROWS.npz",
        )
    recipe = Recipe.of(ws, model)
    purpose = str(facts.get("purpose", ""))
    reads, learns = columns_read(recipe.view), columns_learned(recipe.view)
    governance.require_training(ws, recipe.datasets, reads=reads, learns=learns, purpose=purpose)
    return recipe


def halved(bench: Bench) -> list[Attempt]:
    """Return the trainings that tell which parameters are of size: each whole number halved by itself."""
    return [smaller(changed) for changed in halvings(bench.recipe.params).values()]


def sizes_of(bench: Bench, parent: Tried, tried: Mapping[str, Tried]) -> list[Size]:
    """Return the parameters of size, by what halving each left."""
    trees, found = n_trees(parent.graph), []
    for each in halved(bench):
        if one := tried.get(each.name):
            (name,) = each.params
            left = n_trees(one.graph) / trees if trees else None
            found.append(Size(name, len(one.graph) / len(parent.graph), left))
    return sizes_among(found)


def smaller(params: Mapping[str, Any]) -> Attempt:
    """Return a training with some parameters changed, named for them."""
    named = ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items())
    return Attempt(name=named, how="smaller", params=dict(params))


def spread(attempts: Sequence[Attempt], most: int) -> list[Attempt]:
    """Return at most so many of some attempts, from the first to the last."""
    if len(attempts) <= most:
        return list(attempts)
    places = np.unique(np.linspace(0, len(attempts) - 1, most).round().astype(int))
    return [attempts[place] for place in places]


def metric_of(model: Node, paired: Paired | None) -> str:
    """Return the objective's metric, or the loss where the paired test has none of that name."""
    wanted = objective_of(model).metric
    if paired is None or paired.of(wanted) is not None:
        return wanted
    return paired.differences[0].metric


def gain_of(model: Node, paired: Paired) -> Estimate:
    """Return how much better the candidate's metric is, with its interval; negative where it is worse."""
    difference = paired.of(metric_of(model, paired))
    if difference is None or difference.difference.value is None:
        return Estimate(None)
    found = difference.difference
    if is_higher_better(difference.metric):
        return found
    value, low, high = (None if each is None else 0.0 - each for each in (found.value, found.high, found.low))
    return Estimate(value, low, high)


def costs_more(paired: Paired) -> bool:
    """Say whether deciding by a variant is shown to cost more: its gate would refuse it."""
    difference = paired.of("cost")
    return difference is not None and difference.verdict == "worse"
