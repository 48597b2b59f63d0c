"""Labels, and the columns that give them away."""

from __future__ import annotations

from sampan.core.graph import Node
from sampan.workspace.data.answers import Labelled, Leaks
from sampan.workspace.data.leaks import as_expression, judge_leaks, label_expression, read_expression
from sampan.workspace.data.room import DataRoom
from sampan.workspace.operation import operation


class Labels(DataRoom):
    """The verbs of labels."""

    @operation()
    def label(self, ref: str, *, target: str, unless: str = "", why: str = "") -> Labelled:
        """Declare how rows get their label, and which get none.

        Parameters
        ----------
        ref : the dataset
        target : the label as an expression, e.g. "arr_delay >= 15"; or a column of classes, or a number
        unless : the rows without a label, e.g. "arr_time IS NULL"
        why : the reason for that
        """
        node = self._readable(ref)  # how many rows an expression is true of tells of their values
        target = as_expression(target, node.facts["columns"])
        answer = self._labelled(node, target, unless, why)
        self._describe(node.name, {"label": {"target": target, "unless": unless, "why": why}})
        return answer

    @operation()
    def leaks(self, ref: str, *, target: str = "", moment: str = "") -> Leaks:
        """Find and record columns that give the label away: known only later, or too predictive.

        Parameters
        ----------
        ref : the dataset
        target : the label as an expression; by default the declared one (sampan data label)
        moment : the column of the moment of prediction; by default the dataset's time
        """
        node = self._readable(ref)
        target = as_expression(target, node.facts["columns"])
        contract = self.contracts.read(node.name)
        return judge_leaks(self.ws, node, target=target, moment=moment, known=contract.known() if contract else {})

    def _labelled(self, node: Node, target: str, unless: str, why: str) -> Labelled:
        from sampan.table.targets import read_target

        expression, without = label_expression(target, unless), read_expression(unless) if unless else None
        named = [*expression.meta.root_names(), *(without.meta.root_names() if without is not None else ())]
        lazy = self.ws.store.tables.scan(node.digest)
        frame = lazy.select(name for name in lazy.collect_schema() if name in named).collect(engine="streaming")
        found = read_target(frame, expression)
        label = found.values
        excluded = int(frame.select(without.fill_null(value=False).sum()).item()) if without is not None else 0
        n_labelled = len(label) - label.null_count()
        return Labelled(
            ref=node.ref,
            target=target,
            unless=unless,
            why=why,
            n_rows=len(label),
            n_labelled=n_labelled,
            n_positive=int((label == 1).sum()) if found.kind == "two classes" else 0,
            classes=found.classes,
            kind=found.kind,
            n_excluded=excluded,
            n_undefined=len(label) - n_labelled - excluded,
        )
