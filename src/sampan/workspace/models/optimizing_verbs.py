"""`sampan model optimise`: smaller and faster forms of a model, measured, and the one a budget picks made a version."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from sampan.errors import ParameterError
from sampan.workspace.models.optimizing_answers import Optimized
from sampan.workspace.operation import Room, operation
from sampan.workspace.parameters import Count


class Optimizing(Room):
    """The verb that makes models smaller and faster."""

    noun: ClassVar[str] = "model"

    @operation(local=True)
    def optimise(
        self,
        model: str,
        *,
        budget: str = "",
        take: str = "",
        tries: Count = 24,
        seed: int = 0,
        examples: Path | None = None,
        out: Path | None = None,
    ) -> Optimized:
        """Try what can make a model smaller or faster, and show what none of the others beats, measured.

        Trees are cut back, trained smaller on labels, by a teacher, on fewer features; networks are fused, kept in 8 or 16 bits, thinned.
        In the place of a model that has no graph, trees and networks are trained that have one.
        Quality is told on rows that no form had learned from, costs are measured in turns. Within a budget the best is made a version; it
        passes the same gate as any. What was tried is remembered: the same command goes on where it was, and with another budget tries
        nothing again.

        Parameters
        ----------
        model : such as flights-late@champion, or a graph from elsewhere: an ONNX file, or graph:NAME where it was kept
        budget : limits such as p99=2ms,size=1MB,loss=0.005: times of one row (p50_100 and p99_100 of a hundred), the graph's size, how
            much worse the objective's metric may be at the far end of its interval
        take : make this variant a version, whatever the budget picks
        tries : at most so many trainings
        seed : of what is drawn: importance of features, labels by a teacher, intervals
        examples : for an ONNX graph: an .npz with an array for each input, and `labels` where rows have some
        out : for an ONNX graph: where to write what was picked
        """
        from sampan.compression.budget import read_limits
        from sampan.workspace.explaining.replaying import model_node
        from sampan.workspace.models.optimizing import Optimization

        limits = read_limits(budget)
        if budget and take:
            raise ParameterError("a budget picks a variant, and --take names one", parameter="take", hint="give one of the two")
        if model.endswith(".onnx") or model.startswith("graph:"):
            from sampan.workspace.models.outside_graphs import optimise_graph

            return optimise_graph(self.ws, model, examples, seed=seed).carry_out(limits, take, out)
        if examples is not None or out is not None:
            raise ParameterError("--examples and --out are for an ONNX file", parameter="examples", hint="leave them out: a model has rows")
        return Optimization(self.ws, model_node(self.ws, model), tries=tries, seed=seed).carry_out(limits, take)
