"""How a model's parameters are searched, as `model tune` is told."""

from __future__ import annotations

from typing import Annotated, TypedDict

from sampan.tuning.trials import Pruner, Sampler


class TuningOptions(TypedDict, total=False):
    """How a model's parameters are searched.

    Parameters
    ----------
    name : which model, where the file declares several
    trials : how many sets of parameters to try; a killed search goes on where it was
    minutes : begin no trial after so many minutes; 0 for no limit
    workers : how many trials run at once, each in a process of its own; the processors are shared out among them
    sampler : how the next parameters are drawn; nsga2 for several objectives
    pruner : stop a trial that lags behind after some of its folds, or within a fit that it shows by sp.checkpoint
    toward : what to make good: loss, a metric such as auc or mae, latency of an answer, size of the model; several end in a front
    folds : spans of time to validate on, each learned from all rows before it
    nested : judge the search itself on so many later spans, each tuned anew on the rows before it
    start : try these first: models, or the best trials of earlier studies, such as study:flights-late
    since : learn from rows of this date on, such as 2013-01-01
    until : learn only from rows before this date whose labels were known by then
    seed : of the search and the training
    data : another version of a dataset, such as flights=flights@v3
    params : parameters that are not searched, such as num_leaves=31
    generate : add up to so many features made from the declared columns, those that help on the rows before the test span
    """

    name: str
    trials: Annotated[int, 50]
    minutes: float
    workers: Annotated[int, 1]
    sampler: Annotated[Sampler, "tpe"]
    pruner: Annotated[Pruner, "none"]
    toward: list[str] | None
    folds: Annotated[int, 2]
    nested: int
    start: list[str] | None
    since: str
    until: str
    seed: int
    data: dict[str, str] | None
    params: dict[str, str] | None
    generate: int
