"""What the data is like: profiles, and explorations as a page."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Literal

from sampan import plugins
from sampan.store.files import store_errors
from sampan.workspace.data.answers import Profiled, column_line
from sampan.workspace.data.batch_profiles import find_batch, profile_batch
from sampan.workspace.data.contracts import shown_path
from sampan.workspace.data.exploration import Asked, explore_version
from sampan.workspace.data.exploring_answers import Explored
from sampan.workspace.data.room import DataRoom, Names
from sampan.workspace.operation import operation

_MOST_BINS = 24  # and no more than values can be told apart


class Exploring(DataRoom):
    """The verbs that describe data."""

    @operation(reads=True)
    def profile(self, ref: str, *, batch: str = "") -> Profiled:
        """Describe each column: missing and distinct values, range, median, most frequent texts.

        Parameters
        ----------
        batch : describe only the rows that this batch brought: its reference, or its number
        """
        node = self._node(ref)
        if batch:
            came = find_batch(self.ws, node.name, batch)
            node, profile = profile_batch(self.ws, came)
        else:
            came, profile = node, self._profile(node)
        withheld = self.withheld(node)
        shown = () if withheld else profile.columns
        return Profiled(
            ref=came.ref,
            n_rows=profile.n_rows,
            columns=tuple(column_line(c, node, hidden=bool(withheld)) for c in profile.columns),
            histograms={c.name: c.histogram(min(_MOST_BINS, len(c.code_array))) for c in shown if c.code_bytes},
            top={c.name: c.top() for c in shown if c.values},
            withheld=withheld,
            next=(f"sampan policy show {quote(node.name)}",)
            if withheld
            else (f"sampan data explore {quote(node.name)}", *self._towards_check(node.name)),
        )

    @operation(local=True)
    def explore(
        self,
        ref: str,
        *,
        target: str = "",
        time: str = "",
        groups: Names | None = None,
        reference: str = "",
        test: str = "",
        out: Path | None = None,
        language: Literal["en", "vi"] = "en",
    ) -> Explored:
        """Explore a dataset and write what was found as one page: warnings first, what to try last, aggregates only.

        Parameters
        ----------
        ref : the dataset
        target : what is to be predicted: a column, or e.g. "arr_delay >= 15"; by default the declared label
        time : the column that says when a row happened; by default the declared one
        groups : columns whose groups must be represented; by default the protected ones
        reference : a file or dataset with the groups' shares (column share, count or population), or with rows to compare with
        test : another dataset, looked up in this one row by row
        out : where the page goes; by default NAME-explored.html
        language : of the page
        """
        node = self._node(ref)
        asked = Asked(target=target, time=time, groups=tuple(groups or ()), reference=reference, test=test)
        found = explore_version(self.ws, node, asked)
        page = plugins.find("sampan.renderers", "exploration")(found, language).encode()
        file = out or self.ws.root / f"{node.name}-explored.html"
        _write(file, page)
        advised = [one.todo for one in found.warnings if one.level == "bad" and one.todo.startswith("sampan ")]
        following = (*advised[:1], f"sampan data infer {quote(node.name)}", f"sampan data errors {quote(node.name)}")
        return Explored(ref=node.ref, file=shown_path(self.ws, file), size_bytes=len(page), exploration=found, next=following)


def _write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with store_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.part")
        draft.write_bytes(content)
        draft.replace(file)
