"""Which words of free text moved the answers most from one model to the next: both stored models asked again without each word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from sampan.features.dropping import choose_drops, effects, known_words, text_features
from sampan.workspace.explaining.explaining import MovedWord
from sampan.workspace.models.judging import Scorer

if TYPE_CHECKING:
    import polars as pl

    from sampan.features.dropping import Drops
    from sampan.workspace.explaining.axes import Comparison
    from sampan.workspace.explaining.replaying import Recipe
    from sampan.workspace.workspace import Workspace

MOST: Final = 12
_SAME: Final = 1e-6  # of an answer: less is rounding


def moved_words(ws: Workspace, comparison: Comparison) -> tuple[MovedWord, ...]:
    """Return the words that moved answers most over all judged rows, the strongest first; none where no text is read."""
    sides = ((comparison.before, comparison.judged_old), (comparison.after, comparison.judged_new))
    texts = [frame[name].to_list() for recipe, frame in sides for name in text_features(recipe.fitted)]
    known = known_words(comparison.before.fitted) | known_words(comparison.after.fitted)
    drops = choose_drops(texts, among=known or None)
    if not len(drops):
        return ()
    with ws.progress.stage(f"Ask both models again without a word, {len(drops):,} times"):
        before, after = (_effects(ws, recipe, frame, drops) for recipe, frame in sides)
    words, places, counts = np.unique(drops.words.astype(str), return_inverse=True, return_counts=True)
    moved = np.bincount(places, np.abs(after - before))
    means = [np.bincount(places, each) / counts for each in (before, after)]
    strongest = [int(i) for i in np.argsort(-moved, kind="stable")[:MOST] if moved[i] > _SAME * counts[i]]
    return tuple(MovedWord(str(words[i]), int(counts[i]), float(means[0][i]), float(means[1][i])) for i in strongest)


def _effects(ws: Workspace, recipe: Recipe, frame: pl.DataFrame, drops: Drops) -> NDArray[np.float64]:
    return effects(recipe.fitted, frame, drops, Scorer(ws, recipe.model).score)
