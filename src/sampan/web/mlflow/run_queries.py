"""A search over runs in MLflow's words, carried out on columns: which of the runs meet the filter, and which of those come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sampan.store.run_search import RunSearch
from sampan.web.mlflow.filters import Comparison, Field, Language, Value
from sampan.workspace.comparisons import ORDERINGS
from sampan.workspace.mlflow.graph import DATASET, DELETED, LIFECYCLE, NAME_TAG, USER_TAG

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sampan.core.graph import NodeId
    from sampan.store.run_columns import Numbers, Texts, View
    from sampan.store.store import Store
    from sampan.web.mlflow.experiments import Experiment

    Bools = NDArray[np.bool_]
    Places = NDArray[np.intp]

TOLD: Final = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
LANGUAGE: Final = Language(
    frozenset({"start_time", "end_time"}),
    frozenset({"run_id", "run_name", "status", "artifact_uri", "user_id", "experiment_id"}),
    frozenset({"metric", "parameter", "tag", "attribute", "dataset"}),
    {"Run ID": "run_id", "run name": "run_name", "Run name": "run_name", "created": "start_time", "Created": "start_time"},
)


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What a client asked: conditions that all must hold, an order, of which experiments, and whether deleted runs count."""

    conditions: Sequence[Comparison]
    order: Sequence[tuple[Field, bool]]
    experiments: Mapping[str, Experiment]
    view: str  # ACTIVE_ONLY | DELETED_ONLY | ALL

    def carry_out(self, store: Store, limit: int) -> tuple[list[int], int]:
        """Return the internal numbers of the first `limit` runs in order, and how many were found in all.

        Ties go by start, the newest first, then by id, as MLflow's own server orders them.
        """
        n_found = 0

        def put(view: View, places: Places) -> Places:
            nonlocal n_found
            n_found = len(places)
            return self._first(_Columns(view, store, self.experiments), places, limit)

        return store.run_columns.search(lambda view: self._chosen(_Columns(view, store, self.experiments)), put), n_found

    def _chosen(self, columns: _Columns) -> Bools:
        found = columns.view.texts("attribute", "experiment").where(self.experiments.__contains__)
        if self.view != "ALL":
            deleted = columns.view.texts("tag", LIFECYCLE).where(lambda word: word == DELETED)
            found &= deleted if self.view == "DELETED_ONLY" else ~deleted
        # What is read run by run goes last, over the few that are left.
        for condition in sorted(self.conditions, key=lambda each: each.field[0] == "dataset"):
            found &= columns.meets(condition, found)
        return found

    def _first(self, columns: _Columns, places: Places, limit: int) -> Places:
        import numpy as np

        from sampan.store.run_columns import first, order_keys

        started: tuple[Field, bool] = (("attribute", "start_time"), True)
        keys = [
            key
            for field, descending in (*self.order, started)
            for key in order_keys(columns.of(field, places), places, descending=descending)
        ]
        ids = columns.view.texts("attribute", "run")
        return places[first(keys, limit, ties=lambda few: np.array(ids.of(places[few])))]


@dataclass(frozen=True, slots=True)
class _Columns:
    """MLflow's fields as columns of one moment."""

    view: View
    store: Store
    experiments: Mapping[str, Experiment]

    def meets(self, condition: Comparison, among: Bools) -> Bools:
        """Return which runs meet a condition; those outside `among` need not be right."""
        import numpy as np

        from sampan.store.run_columns import Texts

        if condition.field[0] == "dataset":
            found = np.zeros(len(self.view), np.bool_)
            for place, values in self._datasets(condition.field[1], np.flatnonzero(among)).items():
                found[place] = any(map(condition.holds, values))
            return found
        column = self.of(condition.field, np.flatnonzero(among))
        if isinstance(column, Texts):
            return column.where(condition.holds, missing=condition.holds(None))
        compare, number = ORDERINGS[condition.operator], condition.value
        return column.where(lambda values: compare(values, number))

    def of(self, field: Field, places: Places) -> Numbers | Texts:
        """Return a field's column, filled at least at some places."""
        kind, name = field
        if kind == "metric":
            return self.view.numbers("metric", name)
        if kind == "parameter":
            return self.view.texts("param", name)
        if kind == "dataset":
            return self._texts({place: values[0] for place, values in self._datasets(name, places).items()})
        if field in (("tag", NAME_TAG), ("attribute", "run_name")):
            return self.view.texts("tag", NAME_TAG).otherwise(self.view.texts("attribute", "title"))
        return self.view.texts("tag", name) if kind == "tag" else self._attribute(name, places)

    def _attribute(self, name: str, places: Places) -> Numbers | Texts:
        if name in ("start_time", "end_time"):
            return self.view.numbers("attribute", "started" if name == "start_time" else "ended")
        if name == "user_id":
            return self.view.texts("tag", USER_TAG).otherwise(self.view.texts("attribute", "by"))
        if name == "status":
            return self.view.texts("attribute", "state").worded(lambda word: TOLD.get(word, "RUNNING"))
        if name == "run_id":
            return self.view.texts("attribute", "run")
        experiments = self.view.texts("attribute", "experiment")
        if name == "experiment_id":
            return experiments.worded(lambda asset: self.experiments[asset].id if asset in self.experiments else "")
        owners, runs = experiments.of(places), self.view.texts("attribute", "run").of(places)
        uris = (artifact_uri(self.experiments[owner], run) for owner, run in zip(owners, runs, strict=True))
        return self._texts(dict(zip(places.tolist(), uris, strict=True)))

    def _texts(self, by_place: Mapping[int, Value]) -> Texts:
        import numpy as np

        from sampan.store.run_columns import Texts

        told = {place: value for place, value in by_place.items() if value is not None}
        found = Texts.empty(len(self.view))
        found.put(np.array([*told], np.intp), [str(value) for value in told.values()])
        return found

    def _datasets(self, name: str, places: Places) -> dict[int, list[Value]]:
        """Return what the datasets that runs read say of themselves; [None] for a run without one."""
        pks = self.view.pks(places)
        beside = RunSearch(self.store.database).neighbors(pks, (DATASET,))
        found: dict[int, list[Value]] = {}
        for place, pk in zip(places.tolist(), pks, strict=True):
            facts = [each.facts for each in beside[pk] if each.is_input]
            of_use = [each.get("tags", {}).get("mlflow.data.context") if name == "context" else each.get(name) for each in facts]
            found[place] = of_use or [None]
        return found


def artifact_uri(experiment: Experiment, run: NodeId) -> str:
    """Return where a run's files are, as clients write it."""
    return f"{experiment.location.rstrip('/')}/{run}/artifacts"
