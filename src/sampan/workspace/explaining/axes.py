"""The axes along which two models' trainings differ, and the training each mix of them stands for.

Rows are told apart by the view's key. Of the rows both learned from, labels and values may differ; the features of either view are computed
on both sides' data, so any mix of definitions, values, labels and rows can be laid out as one training table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from sampan.engine.environment import differences
from sampan.errors import ParameterError, Unsupported
from sampan.evaluation.task import Task
from sampan.features import view_tables
from sampan.features.view import LABEL, MOMENT, Feature, View
from sampan.workspace.environments import environment_of
from sampan.workspace.explaining.replaying import Fit, Recipe
from sampan.workspace.models.judging import common_task
from sampan.workspace.training.feature_tables import coded, feature_table, find_datasets, labeled_rows
from sampan.workspace.training.fitting import present_codes

if TYPE_CHECKING:
    from sampan.stats.shapley import Coalition
    from sampan.workspace.workspace import Workspace

REMOVED, ADDED, LABELS, VALUES = "rows removed", "rows added", "labels", "values"
PARAMS, CODE = "parameters", "training code"
FEATURES: Final = "features: "
FOREVER: Final = 2**61
_ROW, _NTH = "__row", "__nth"


@dataclass(frozen=True, slots=True)
class Sides:
    """The union of both trainings' rows under one view's definitions, with values and labels as either side has them."""

    before: pl.DataFrame
    after: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two recipes laid side by side."""

    before: Recipe
    after: Recipe
    axes: dict[str, str]  # what changed along each, in words
    old: Sides  # features by the view before
    new: Sides  # features by the view after
    in_before: NDArray[np.bool_]
    in_after: NDArray[np.bool_]
    judged_old: pl.DataFrame  # the rows that every mix is judged on, features by the view before
    judged_new: pl.DataFrame
    notes: tuple[str, ...]
    task: Task  # of classes, those of both sides

    @property
    def labels(self) -> NDArray[np.float64]:
        """The labels of the judged rows."""
        return self.judged_new[LABEL].to_numpy()

    @property
    def moments(self) -> NDArray[np.int64]:
        """The moments of the judged rows."""
        return self.judged_new[MOMENT].to_numpy()

    def view(self, mix: Coalition) -> View:
        """Return the view of a mix: unchanged features, and each changed group by the definition that the mix says."""
        old = {each.name: each for each in self.before.view.features}
        new = {each.name: each for each in self.after.view.features}
        groups = _groups(self.before.view, self.after.view)
        names = list(dict.fromkeys([*new, *old]))
        chosen = [(new if _is_new(name, groups, mix) else old).get(name) for name in names]
        return msgspec.structs.replace(self.after.view, features=tuple(each for each in chosen if each is not None))

    def fit(self, mix: Coalition) -> Fit:
        """Lay a mix out: its rows, labels, values and features, its parameters. Classes are numbered anew: see `Fit.codes`."""
        rows = (
            (self.in_before & self.in_after) | (self.in_after & (ADDED in mix)) | (self.in_before & ~self.in_after & (REMOVED not in mix))
        )
        view, groups = self.view(mix), _groups(self.before.view, self.after.view)
        is_new = {each.name: _is_new(each.name, groups, mix) for each in view.features}
        training = self._frame(is_new, values_after=VALUES in mix)
        # A row of one side alone has that side's label, whichever labels the mix takes of the rows in common.
        shared = self.in_before & self.in_after
        labels = np.where(
            np.where(shared, LABELS in mix, self.in_after), self.new.after[LABEL].to_numpy(), self.old.before[LABEL].to_numpy()
        )
        frame = training.with_columns(pl.Series(LABEL, labels)).filter(pl.Series(rows)).sort(MOMENT, maintain_order=True)
        judged = self._judged(is_new)
        fitted = view_tables.fit(view, frame)
        recipe = self.after if (PARAMS if PARAMS in self.axes else CODE) in mix else self.before
        learned, codes = present_codes(frame[LABEL].to_numpy(), self.task)
        return Fit(fitted.matrix(frame), learned, recipe.params, fitted.matrix(judged), codes)

    def _frame(self, is_new: Mapping[str, bool], *, values_after: bool) -> pl.DataFrame:
        columns = []
        shared = self.in_before & self.in_after
        after = np.where(shared, values_after, self.in_after)
        for name, new in is_new.items():
            side = self.new if new else self.old
            columns.append(pl.select(pl.when(pl.Series(after)).then(side.after[name]).otherwise(side.before[name])).to_series().alias(name))
        moment = pl.select(pl.coalesce(self.new.after[MOMENT], self.new.before[MOMENT])).to_series().alias(MOMENT)
        return pl.DataFrame([*columns, moment])

    def _judged(self, is_new: Mapping[str, bool]) -> pl.DataFrame:
        return pl.DataFrame([(self.judged_new if new else self.judged_old)[name] for name, new in is_new.items()])


def _is_new(name: str, groups: Mapping[str, str], mix: Coalition) -> bool:
    """Say whether a feature of a mix is taken by its definition after."""
    return name not in groups or groups[name] in mix


def lay_side_by_side(ws: Workspace, before: Recipe, after: Recipe, *, data: Mapping[str, str] | None = None) -> Comparison:
    """Find the axes along which two recipes differ, and the rows to judge every mix on: later than either training.

    Parameters
    ----------
    data : versions of datasets to judge on, by name; by default the newest

    Raises
    ------
    Unsupported : the views speak of other tables or keys, so no mix can be built.
    ParameterError : there are no labeled rows later than both trainings.
    """
    if (before.view.on, before.view.key) != (after.view.on, after.view.key):
        raise Unsupported(
            f"{before.model.ref} and {after.model.ref} speak of other rows: {before.view.on} by {', '.join(before.view.key)}"
            f" and {after.view.on} by {', '.join(after.view.key)}; no mix of the two can be built",
            hint="sampan model compare tests them beside each other",
        )
    task = common_task([before.model, after.model])
    first, second = _learned(ws, before, task), _learned(ws, after, task)
    key = [*after.view.key, _NTH]
    # In the later training's order, so that rows of one moment come as they came then: libraries add up in the order of rows.
    union = pl.concat([second.select(key), first.select(key)]).unique(keep="first", maintain_order=True).with_row_index(_ROW)
    old, new = (Sides(*(_aligned(ws, union, recipe.view, side, key, task) for side in (before, after))) for recipe in (before, after))
    in_before, in_after = (_present(union, frame, key) for frame in (first, second))
    judged_old, judged_new = _judged_rows(ws, before, after, task, data or {})
    found = Comparison(before, after, {}, old, new, in_before, in_after, judged_old, judged_new, _notes(ws, before, after), task)
    return replace(found, axes=_axes(found))


def _numbered(frame: pl.DataFrame, key: tuple[str, ...]) -> pl.DataFrame:
    """Number rows that share a key, so that each has a name."""
    return frame.with_columns(pl.int_range(pl.len()).over(list(key)).alias(_NTH))


def _learned(ws: Workspace, recipe: Recipe, task: Task) -> pl.DataFrame:
    table, _ = feature_table(ws, recipe.view, recipe.datasets)
    rows = labeled_rows(ws, recipe.view, table, task=task, since=recipe.since, until=recipe.until, known_by=recipe.until)
    return _numbered(rows.frame, recipe.view.key)


def _aligned(ws: Workspace, union: pl.DataFrame, view: View, side: Recipe, key: list[str], task: Task) -> pl.DataFrame:
    """Return a view's features over one side's data, in the order of the union; null for rows this side does not have."""
    wanted = {name: side.datasets[name] for name in (view.on, *view.tables) if name in side.datasets}
    if lost := [name for name in (view.on, *view.tables) if name not in wanted]:
        wanted |= find_datasets(ws, view, {name: name for name in lost})
    table, _ = feature_table(ws, view, wanted)
    frame = ws.store.tables.scan(table).sort(MOMENT, maintain_order=True).collect()
    rows = union.join(_numbered(frame, view.key), on=key, how="left", nulls_equal=True, maintain_order="left")
    return coded(rows.drop(_ROW, *key, strict=False), task)


def _present(union: pl.DataFrame, frame: pl.DataFrame, key: list[str]) -> NDArray[np.bool_]:
    marked = union.join(
        frame.select(key).with_columns(pl.lit(value=True).alias("__in")), on=key, how="left", nulls_equal=True, maintain_order="left"
    )
    return marked["__in"].fill_null(value=False).to_numpy()


def _judged_rows(ws: Workspace, before: Recipe, after: Recipe, task: Task, data: Mapping[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    since, found = max(before.until, after.until), []
    for recipe in (before, after):
        wanted = {name: ref for name, ref in data.items() if name in (recipe.view.on, *recipe.view.tables)}
        table, _ = feature_table(ws, recipe.view, find_datasets(ws, recipe.view, wanted))
        rows = labeled_rows(ws, recipe.view, table, task=task, since=since, until=FOREVER)
        found.append(_numbered(rows.frame, recipe.view.key))
    old, new = found
    key = [*after.view.key, _NTH]
    both = new.select(key).join(old.select(key), on=key, how="semi", nulls_equal=True)
    if not both.height:
        raise ParameterError(
            f"there are no labeled rows later than the trainings of {before.model.ref} and {after.model.ref}",
            hint="add newer data; a change cannot be judged on rows that were learned from",
        )
    old, new = (both.join(frame, on=key, how="left", nulls_equal=True, maintain_order="left") for frame in (old, new))
    return old, new


def _groups(before: View, after: View) -> dict[str, str]:
    """Return the axis of each feature whose definition changed: its family."""
    old, new = ({each.name: each for each in view.features} for view in (before, after))

    def family(name: str) -> str:
        found: Feature | None = new.get(name) or old.get(name)
        return FEATURES + (found.family if found else "")

    return {name: family(name) for name in dict.fromkeys([*new, *old]) if new.get(name) != old.get(name)}


def _axes(found: Comparison) -> dict[str, str]:
    axes: dict[str, str] = {}
    n_removed, n_added = int((found.in_before & ~found.in_after).sum()), int((found.in_after & ~found.in_before).sum())
    shared = pl.Series(found.in_before & found.in_after)
    if n_removed:
        axes[REMOVED] = f"{n_removed:,} rows are no longer learned from"
    if n_added:
        axes[ADDED] = f"{n_added:,} rows are learned from besides"
    relabeled = int((shared & found.old.before[LABEL].ne_missing(found.new.after[LABEL])).sum())
    if relabeled:
        axes[LABELS] = f"{relabeled:,} of {int(shared.sum()):,} rows in common have another label"
    names = [each.name for each in found.before.view.features]
    revalued = [name for name in names if bool((shared & found.old.before[name].ne_missing(found.old.after[name])).any())]
    if revalued:
        axes[VALUES] = f"values of {len(revalued)} features differ on rows in common: {_some(revalued)}"
    groups = _groups(found.before.view, found.after.view)
    for group in sorted(set(groups.values())):
        axes[group] = _some([name for name, each in groups.items() if each == group])
    code, params = found.before.code != found.after.code, found.before.params != found.after.params
    changed = _changed(found.before.params, found.after.params)
    if code and params and set(found.before.params) != set(found.after.params):
        # Neither code takes the other's parameters, so the two can only change together.
        axes[CODE] = f"and its parameters, which the other code does not take: {changed}"
        return axes
    if params:
        axes[PARAMS] = changed
    if code:
        axes[CODE] = " → ".join(dict.fromkeys([found.before.program, found.after.program]))
    return axes


def _notes(ws: Workspace, before: Recipe, after: Recipe) -> tuple[str, ...]:
    old, new = (environment_of(ws, each.model) for each in (before, after))
    found = [line for line in differences(old, new) if not line.startswith(("commit", "other uncommitted"))]
    if not found:
        return ()
    told = f"the two were trained in different environments ({_some(found)}); a process has one, so every mix was fitted in the present one"
    return (f"{told} and the environment has no share: sampan upgrade-check shows what it moves",)


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    names = sorted({*before, *after})
    return ", ".join(f"{name} {before.get(name, '-')} → {after.get(name, '-')}" for name in names if before.get(name) != after.get(name))


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
