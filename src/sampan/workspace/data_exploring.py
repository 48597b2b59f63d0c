"""What the data is like: profiles."""

from __future__ import annotations

from sampan.workspace.data_answers import Profiled, column_line
from sampan.workspace.data_room import DataRoom
from sampan.workspace.operation import operation


class Exploring(DataRoom):
    """The verbs that describe data."""

    @operation(reads=True)
    def profile(self, ref: str) -> Profiled:
        """Describe each column: missing and distinct values, range, median, most frequent texts."""
        node = self._node(ref)
        profile = self._profile(node)
        ranged = [c for c in profile.columns if c.codes]
        return Profiled(
            ref=node.ref,
            n_rows=profile.n_rows,
            columns=tuple(column_line(c, node) for c in profile.columns),
            histograms={c.name: c.histogram() for c in ranged},
            top={c.name: c.top() for c in profile.columns if c.values},
            next=self._towards_check(node.name),
        )
