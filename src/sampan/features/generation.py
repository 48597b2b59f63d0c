"""Features made from a view's declared columns without being told: parts of moments, ratios, categories by their labels, recent history.

Every one is an expression like those people write, so batch and online evaluate it alike, nothing of the future gets in (what is declared
`later` enters by `past` alone), and a person can read it, keep it in the view's file, or leave it out. Which of them help is decided on
data, elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, islice
from typing import Final

import msgspec

from sampan.errors import ParameterError
from sampan.features.encoding import Means
from sampan.features.expressions import Expr, col, concat, past, prediction_moment
from sampan.features.nodes import Column, Stat, walk
from sampan.features.operations import kind_of
from sampan.features.texts import Letters, Words
from sampan.features.view import Feature, FeatureOptions, View, check_view, feature, make_feature

MOST: Final = 300
_PAIRED: Final = 12  # columns of a kind that are combined with each other
_KINDS: Final = ("number", "text", "moment", "flag")
_WINDOWS: Final = ("7d", "28d")
_ZONE: Final = "UTC"
PREFIX: Final = "made_"


def candidates(view: View, *, by_label: bool = True) -> tuple[Feature, ...]:
    """Return features that could be added to a view, at most 300, the plainest first.

    Keys are left out: a number that names a row says nothing of the next; so is free text, which no category is. Moments are cut in UTC.

    Parameters
    ----------
    by_label : also means of the label, which classes do not have
    """
    taken = {item.name for item in view.features} | {*view.key, *view.slices}
    made = {msgspec.json.encode([item.value, item.encoding]) for item in view.features}
    found: list[Feature] = []
    for name, options in _made(view, by_label=by_label):
        built = make_feature(_free(name, taken), options, view.moment)
        content = msgspec.json.encode([built.value, built.encoding])
        if content not in made:
            made.add(content)
            taken.add(built.name)
            found.append(built)
        if len(found) == MOST:
            break
    return tuple(found)


def with_features(view: View, added: tuple[Feature, ...]) -> View:
    """Return a view with more features; checked like any."""
    longer = msgspec.structs.replace(view, features=(*view.features, *added))
    check_view(longer)
    return longer


def _made(view: View, *, by_label: bool) -> Iterator[tuple[str, FeatureOptions]]:
    free = {
        node.name for f in view.features if isinstance(f.encoding, Words | Letters) for node in walk(f.value) if isinstance(node, Column)
    }
    known = {name: spec for name, spec in view.columns.items() if not spec.later and name not in {*view.key, *free}}
    numbers, texts, moments, flags = ([name for name, spec in known.items() if spec.type == kind] for kind in _KINDS)
    for name in (*numbers, *flags):
        yield name, feature(col(name, known[name].type))
    for name in texts:
        if by_label:
            yield f"{name}_by_label", feature(col(name, "text"), encode=Means())
        yield f"{name}_number", feature(col(name, "text"))
    for name in moments:
        yield from _parts(name, view)
    if by_label:
        yield from _history(view, texts)
    for a, b in islice(combinations(numbers[:_PAIRED], 2), MOST):
        x, y = col(a), col(b)
        yield f"{a}_less_{b}", feature(x - y)
        yield f"{a}_per_{b}", feature(x / y)
        yield f"{a}_times_{b}", feature(x * y)
    for a, b in combinations(texts[:_PAIRED], 2) if by_label else ():
        yield f"{a}_and_{b}_by_label", feature(concat(col(a, "text"), col(b, "text")), encode=Means())


def _parts(name: str, view: View) -> Iterator[tuple[str, FeatureOptions]]:
    at = col(name, "moment")
    yield f"{name}_hour", feature(at.hour(_ZONE))
    yield f"{name}_weekday", feature(at.weekday(_ZONE))
    yield f"{name}_day_of_year", feature(at.day_of_year(_ZONE))
    if at.node != view.moment:
        yield f"{name}_ahead", feature(at.seconds() - prediction_moment().seconds())


def _history(view: View, texts: list[str]) -> Iterator[tuple[str, FeatureOptions]]:
    """How often the label was true lately for rows of the same category."""
    if view.label is None:
        return
    label, known_at = (Expr(node, kind_of(node)) for node in (view.label.value, view.label.known_at))
    stat: Stat = "rate" if label.kind == "flag" else "mean"
    for window in _WINDOWS:
        for name in texts:
            try:
                recent = past(label, by=[col(name, "text")], known_at=known_at, window=window, stat=stat)
            except ParameterError:  # a label that itself looks at other rows cannot be summed up over rows
                return
            yield f"{name}_label_{window}", feature(recent)


def _free(name: str, taken: set[str]) -> str:
    plain = PREFIX + re.sub(r"\W+", "_", name)
    return plain if plain not in taken else next(f"{plain}_{n}" for n in range(2, MOST) if f"{plain}_{n}" not in taken)
