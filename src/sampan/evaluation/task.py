"""What a model is asked: one of two outcomes, one of several classes, or a number. Everything that is judged follows from it.

binary      labels 0 or 1            the model answers with P(label = 1), shape (n,)
multiclass  labels 0 … k - 1         with one probability for each class, shape (n, k)
regression  labels are numbers       with a number, shape (n,)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from sampan.errors import ParameterError

Kind = Literal["binary", "multiclass", "regression"]
KINDS: Final[tuple[Kind, ...]] = ("binary", "multiclass", "regression")
UNKNOWN: Final = -1.0  # the code of a class that training never saw: no model can name it
MOST_CLASSES: Final = 1000
_SHOWN: Final = 5


class Task(msgspec.Struct, frozen=True):
    """What is asked; of several classes, their names in the order of their codes."""

    kind: Kind = "binary"
    classes: tuple[str, ...] = ()

    @property
    def n_outputs(self) -> int:
        """How many numbers an answer has."""
        return len(self.classes) if self.kind == "multiclass" else 1

    def code(self, label: float | str) -> float:
        """Return a label as the model is given it; a class that training never saw is UNKNOWN."""
        if self.kind != "multiclass":
            return float(label)
        name = class_name(label)
        return float(self.classes.index(name)) if name in self.classes else UNKNOWN

    def codes(self, labels: Iterable[float | str]) -> dict[float | str, float]:
        """Return the code of each of some labels."""
        return {label: self.code(label) for label in labels}

    def shape(self, n_rows: int) -> tuple[int, ...]:
        """Return the shape of the answers to so many rows."""
        return (n_rows, len(self.classes)) if self.kind == "multiclass" else (n_rows,)


BINARY: Final = Task()


def class_name(label: float | str) -> str:
    """Name a class by its label: text as it is, a whole number without a point.

    >>> class_name("setosa"), class_name(3.0)
    ('setosa', '3')
    """
    return label if isinstance(label, str) else str(int(label)) if float(label).is_integer() else str(label)


def read_task(stated: Kind | Literal[""], labels: Sequence[float | str], *, where: str) -> Task:
    """Tell what is asked from what was stated and from the labels there are.

    Parameters
    ----------
    stated : "" where the labels are to tell: 0 and 1 are two outcomes, text and other whole numbers are classes
    labels : each label once
    where : whose labels they are, for the message

    Raises
    ------
    ParameterError : the labels do not fit what was stated.
    """
    texts = [label for label in labels if isinstance(label, str)]
    if texts:
        return _of_texts(stated, sorted(texts), where)
    numbers = sorted(float(label) for label in labels)
    if stated == "regression":
        return _of_numbers(numbers, where)
    if set(numbers) <= {0.0, 1.0} and stated != "multiclass":
        return BINARY
    if stated == "binary":
        wrong = next(number for number in numbers if number not in (0.0, 1.0))
        raise ParameterError(
            f"labels of {where} are neither 0 nor 1, such as {wrong:g}",
            hint="state the label as a comparison, such as arr_delay >= 15; or ask for a number: sp.objective(metric='rmse'),"
            " or for classes: sp.objective(metric='macro_auc')",
        )
    return _of_codes(numbers, where)


def _of_texts(stated: str, texts: list[str], where: str) -> Task:
    if stated in ("binary", "regression"):
        raise ParameterError(
            f"labels of {where} are text, such as {texts[0]!r}, and the objective asks for {_ASKED[stated]}",
            hint=f"ask for classes: sp.objective(metric='macro_auc'), or compare: label == {texts[0]!r}",
        )
    return _of_names(texts, where, like=repr(texts[-1]))


def _of_codes(numbers: list[float], where: str) -> Task:
    if broken := [number for number in numbers if not number.is_integer()]:
        raise ParameterError(
            f"labels of {where} are no classes: {broken[0]:g} is not a whole number",
            hint="ask for a number: sp.objective(metric='rmse'), or cut it into classes",
        )
    return _of_names([class_name(number) for number in numbers], where, like=f"{numbers[-1]:g}" if numbers else "1")


def _of_names(names: list[str], where: str, *, like: str) -> Task:
    if len(names) == 2:
        asked = next((name for name in names if name.strip().lower() in _AFFIRMED), "")
        proposed = f"label == {asked!r} is probably meant" if asked else f"label == {like} asks for {names[1]}"
        raise ParameterError(
            f"labels of {where} have two values, {names[0]} and {names[1]}; which one is asked for?",
            hint=f"state the label as a comparison; {proposed}",
        )
    if len(names) > MOST_CLASSES:
        shown = ", ".join(names[:_SHOWN])
        raise ParameterError(
            f"labels of {where} have {len(names):,} values: {shown} …", hint=f"at most {MOST_CLASSES:,} classes are told apart"
        )
    return Task("multiclass", tuple(names))


def _of_numbers(numbers: list[float], where: str) -> Task:
    if wrong := [number for number in numbers if not math.isfinite(number)]:
        raise ParameterError(f"a label of {where} is {wrong[0]}, no finite number", hint="leave such rows without a label")
    return Task("regression")


_AFFIRMED: Final = frozenset({"yes", "y", "true", "t", "positive", "pos", "ja", "oui", "sí", "có", "1"})
_ASKED: Final = {"binary": "one of two outcomes", "multiclass": "one of several classes", "regression": "a number"}
