"""What a batch does to a model: learned with it, without it, and with it less the suspicious rows, all judged on the same trusted rows.

The hold-out is the newest trusted rows (or some at random, where there is no time). In the paired test against a control, the batch's rows
stand beside as many usual rows, on a base small enough for them to matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.evaluation.admission.learner import Learner, Predict
from sampan.evaluation.admission.table import Rows, Table
from sampan.evaluation.losses import log_losses
from sampan.stats.bootstrap import Estimate, Resampling, draw_weights
from sampan.stats.ranking import auc

_HOLD_OUT: Final = 0.2
_MOST_JUDGED: Final = 10_000
_TIMES_BATCH: Final = 2
_DRAWS: Final = 500
_N_BLOCKS: Final = 200


class Outcome(msgspec.Struct, frozen=True):
    """How a model did on the hold-out, and its log loss less that of the model that did not learn the batch (negative = better)."""

    what: str
    n_rows: int
    log_loss: float
    auc: float
    change: Estimate


class Effect(msgspec.Struct, frozen=True):
    """The effect of a batch: on the hold-out each way, against a control of usual rows, and on the batch's own other half."""

    outcomes: tuple[Outcome, ...]
    against_control: Estimate  # log loss with the batch less log loss with usual rows in its place
    own_half: Estimate  # log loss on one half of the batch, after learning the other, less that before
    n_hold_out: int


@dataclass(frozen=True, slots=True)
class Trial:
    """The rows to learn from and to judge on."""

    table: Table
    learner: Learner
    learned: Rows
    hold_out: Rows
    resampling: Resampling

    @classmethod
    def of(cls, table: Table, learner: Learner, rng: np.random.Generator, *, moments: NDArray[np.int64] | None) -> Trial:
        """Set the hold-out aside. Trusted rows are in time order where they have moments."""
        n_judged = min(int(_HOLD_OUT * table.n_base), _MOST_JUDGED)
        order = table.base if moments is not None else rng.permutation(table.n_base)
        learned, hold_out = order[:-n_judged], order[-n_judged:]
        if moments is None:
            blocks = np.arange(n_judged, dtype=np.intp) % min(_N_BLOCKS, n_judged)
            resampling = Resampling(blocks, draw_weights(int(blocks.max()) + 1, _DRAWS, rng))
        else:
            resampling = Resampling.by_time(moments[hold_out], rng, draws=_DRAWS)
        return cls(table, learner, learned, hold_out, resampling)

    def measure(self, suspicious: NDArray[np.bool_], rng: np.random.Generator) -> Effect:
        """Learn each way and compare.

        Parameters
        ----------
        suspicious : shape (n_batch,)
        """
        batch = self.table.batch
        without = self.learner.fit(self.learned)
        ways = [("not admitting", self.learned, without)]
        admitted = np.concatenate([self.learned, batch])
        ways.append(("admitting", admitted, self.learner.fit(admitted)))
        if suspicious.any():
            kept = np.concatenate([self.learned, batch[~suspicious]])
            ways.append(("admitting without the suspicious rows", kept, self.learner.fit(kept)))
        outcomes = tuple(self._outcome(what, len(rows), model, without) for what, rows, model in ways)
        return Effect(outcomes, self._against_control(rng), self._own_half(without, rng), len(self.hold_out))

    def _outcome(self, what: str, n_rows: int, model: Predict, without: Predict) -> Outcome:
        labels, matrix = self.table.labels[self.hold_out], self.table.matrix[self.hold_out]
        scores = model(matrix)
        losses = log_losses(labels, scores)
        return Outcome(what, n_rows, float(losses.mean()), auc(labels, scores), self._change(model, without))

    def _change(self, model: Predict, other: Predict) -> Estimate:
        labels, matrix = self.table.labels[self.hold_out], self.table.matrix[self.hold_out]
        return self.resampling.mean(log_losses(labels, model(matrix)) - log_losses(labels, other(matrix)))

    def _against_control(self, rng: np.random.Generator) -> Estimate:
        n = min(self.table.n_batch, len(self.learned) // (1 + _TIMES_BATCH))
        chosen = rng.permutation(self.learned)
        control, common = chosen[:n], chosen[n : (1 + _TIMES_BATCH) * n]
        batch = rng.permutation(self.table.batch)[:n]
        usual, arrived = (self.learner.fit(np.concatenate([common, part])) for part in (control, batch))
        return self._change(arrived, usual)

    def _own_half(self, without: Predict, rng: np.random.Generator) -> Estimate:
        """Return what learning one half of the batch does for the other: negative where the batch teaches something true of itself."""
        batch = rng.permutation(self.table.batch)
        taught, asked = batch[::2], batch[1::2]
        matrix, labels = self.table.matrix[asked], self.table.labels[asked]
        model = self.learner.fit(np.concatenate([self.learned, taught]))
        change = log_losses(labels, model(matrix)) - log_losses(labels, without(matrix))
        blocks = np.arange(len(asked), dtype=np.intp) % min(_N_BLOCKS, len(asked))
        return Resampling(blocks, draw_weights(int(blocks.max()) + 1, _DRAWS, rng)).mean(change)
