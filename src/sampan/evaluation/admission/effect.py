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

from sampan.evaluation.admission.learner import Learner
from sampan.evaluation.admission.loss import names, row_losses, score
from sampan.evaluation.admission.table import Floats, Rows, Table
from sampan.stats.bootstrap import Estimate, Resampling, draw_weights

_HOLD_OUT: Final = 0.2
_MOST_JUDGED: Final = 10_000
_TIMES_BATCH: Final = 2
_DRAWS: Final = 500
_N_BLOCKS: Final = 200


class Outcome(msgspec.Struct, frozen=True):
    """How a model did on the hold-out, and its loss less that of the model that did not learn the batch (negative = better)."""

    what: str
    n_rows: int
    loss: float
    score: float
    change: Estimate


class Effect(msgspec.Struct, frozen=True):
    """The effect of a batch: on the hold-out each way, against a control of usual rows, and on the batch's own other half."""

    outcomes: tuple[Outcome, ...]
    against_control: Estimate  # loss with the batch less loss with usual rows in its place
    own_half: Estimate  # loss on one half of the batch, after learning the other, less that before
    n_hold_out: int
    loss: str  # what the loss and the score are called
    score: str


@dataclass(frozen=True, slots=True)
class Trial:
    """The rows to learn from and to judge on."""

    table: Table
    learner: Learner
    learned: Rows
    hold_out: Rows
    resampling: Resampling

    @classmethod
    def of(
        cls, table: Table, learner: Learner, rng: np.random.Generator, *, moments: NDArray[np.int64] | None, copied: NDArray[np.bool_]
    ) -> Trial:
        """Set the hold-out aside. Trusted rows are in time order where they have moments.

        Parameters
        ----------
        copied : trusted rows that the batch brings again, shape (n_base,); a model that learned it is not judged on these
        """
        n_judged = min(int(_HOLD_OUT * table.n_base), _MOST_JUDGED)
        order = table.base if moments is not None else rng.permutation(table.n_base)
        fresh = order[~copied[order]]
        hold_out = (fresh if len(fresh) > n_judged else order)[-n_judged:]
        learned = order[~np.isin(order, hold_out)]
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
        table, batch = self.table, self.table.batch
        ways = {"not admitting": self.learned, "admitting": np.concatenate([self.learned, batch])}
        if suspicious.any():
            ways["admitting without the suspicious rows"] = np.concatenate([self.learned, batch[~suspicious]])
        control, arrived, taught, asked = self._beside(rng)
        models = self.learner.fit_all([*ways.values(), control, arrived, taught])
        matrix = table.matrix[self.hold_out]
        without, *said = (model(matrix) for model in models[:-1])
        base = row_losses(table, self.hold_out, without)
        losses = [base, *(row_losses(table, self.hold_out, one) for one in said)]
        outcomes = tuple(
            Outcome(what, len(rows), float(cost.mean()), score(table, self.hold_out, predicted), self.resampling.mean(cost - base))
            for (what, rows), cost, predicted in zip(ways.items(), losses, [without, *said], strict=False)
        )
        own_half = self._own_half(asked, models[0](table.matrix[asked]), models[-1](table.matrix[asked]), rng)
        return Effect(outcomes, self.resampling.mean(losses[-1] - losses[-2]), own_half, len(self.hold_out), *names(table))

    def _beside(self, rng: np.random.Generator) -> tuple[Rows, Rows, Rows, Rows]:
        """Draw usual rows alone, as many with the batch in place of some, and the batch in two halves, the first with all learned rows."""
        n = min(self.table.n_batch, len(self.learned) // (1 + _TIMES_BATCH))
        chosen = rng.permutation(self.learned)
        control, common = chosen[:n], chosen[n : (1 + _TIMES_BATCH) * n]
        batch = rng.permutation(self.table.batch)
        taught = np.concatenate([self.learned, batch[::2]])
        return np.concatenate([common, control]), np.concatenate([common, batch[:n]]), taught, batch[1::2]

    def _own_half(self, asked: Rows, before: Floats, after: Floats, rng: np.random.Generator) -> Estimate:
        """Return what learning one half of the batch does for the other: negative where the batch teaches something true of itself."""
        change = row_losses(self.table, asked, after) - row_losses(self.table, asked, before)
        blocks = np.arange(len(asked), dtype=np.intp) % min(_N_BLOCKS, len(asked))
        return Resampling(blocks, draw_weights(int(blocks.max()) + 1, _DRAWS, rng)).mean(change)
