"""How a model is trained, as `model train` and `run FILE` are told."""

from __future__ import annotations

from typing import Annotated, TypedDict


class TrainingOptions(TypedDict, total=False):
    """How a model is trained.

    Parameters
    ----------
    name : which model, where the file declares several
    trials : how many sets of parameters to try; a killed search goes on where it was
    since : learn from rows of this date on, such as 2013-01-01
    until : learn only from rows before this date whose labels were known by then
    like : take the parameters of this model or study instead of searching, such as flights-late@champion or study:flights-late
    seed : of the search, the folds and the training
    data : another version of a dataset, such as flights=flights@v3
    params : parameters that are not searched, such as num_leaves=31
    generate : add up to so many features made from the declared columns, those that help on the rows before the test span
    """

    name: str
    trials: Annotated[int, 20]
    since: str
    until: str
    like: str
    seed: int
    data: dict[str, str] | None
    params: dict[str, str] | None
    generate: int
