"""Versions of a dataset: what there is, what is in them, what changed between them."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.errors import ParameterError
from sampan.workspace.data.answers import (
    ARROW,
    ContractShift,
    DatasetLine,
    Datasets,
    Differs,
    Head,
    ProfileShift,
    RuleLine,
    Shown,
    column_line,
    profile_shift,
    version_line,
)
from sampan.workspace.data.leaks import newest_leaks
from sampan.workspace.data.profiling import read_profile
from sampan.workspace.data.room import KIND, DataRoom, Names, plain
from sampan.workspace.operation import operation

if TYPE_CHECKING:
    from sampan.store.tables import RowCounts, TableDiff

_N_VERSIONS = 20


class Versions(DataRoom):
    """The verbs that read and compare versions."""

    @operation(reads=True)
    def list(self) -> Datasets:
        """List the datasets, each with its newest version and check."""
        catalog = self.ws.catalog
        lines = []
        for asset in catalog.assets(KIND):
            node = catalog.resolve(asset.name, kind=KIND)
            check = self.contracts.newest_check(node)
            lines.append(
                DatasetLine(
                    name=asset.name,
                    newest=node.ref,
                    n_rows=node.facts.get("n_rows", 0),
                    n_columns=len(node.facts.get("columns", {})),
                    check=str(check.facts["verdict"]) if check else "",
                    updated=iso(node.created),
                    owner=str(asset.facts.get("owner", "")),
                )
            )
        following = (f"sampan data show {quote(lines[0].name)}", "sampan data check") if lines else ("sampan data add FILE",)
        return Datasets(datasets=tuple(lines), next=following)

    @operation(reads=True)
    def show(self, ref: str) -> Shown:
        """Show a dataset: what is said of it, its newest check, its columns and versions.

        Parameters
        ----------
        ref : flights, flights@v3 or flights@alias
        """
        node = self._node(ref)
        check = self.contracts.newest_check(node)
        found = check.facts if check else {}
        leaks = newest_leaks(self.ws, node)
        withheld = self.withheld(node)
        versions = self.ws.catalog.nodes(kind=KIND, name=node.name, limit=_N_VERSIONS)
        return Shown(
            name=node.name,
            ref=node.ref,
            n_rows=node.facts["n_rows"],
            digest=node.digest,
            facts=dict(self.ws.catalog.asset(KIND, node.name).facts),
            versions=tuple(version_line(v) for v in versions),
            columns=tuple(column_line(column, node, hidden=bool(withheld)) for column in self._profile(node).columns),
            withheld=withheld,
            verdict=str(found.get("verdict", "")),
            findings=tuple(_finding(f, hidden=bool(withheld)) for f in (*found.get("findings", ()), *found.get("notes", ()))),
            check=check.ref if check else "",
            kept_out={leak.column: leak.reason for leak in leaks.leaks} if leaks else {},
            next=(
                f"sampan data card {quote(node.ref)}",
                *((f"sampan policy show {quote(node.name)}",) if withheld else (f"sampan data head {quote(node.ref)}",)),
                *(() if check or withheld else self._towards_check(node.name)),
            ),
        )

    @operation(reads=True)
    def head(self, ref: str, *, rows: int = 5, columns: Names | None = None) -> Head:
        """Show the first rows.

        Parameters
        ----------
        ref : the dataset
        rows : how many, 1 to 1,000
        columns : only these
        """
        if not 1 <= rows <= 1000:
            raise ParameterError(f"rows is {rows}", hint="1 to 1,000")
        node = self._readable(ref, columns=columns)
        self._check_columns(node, columns or [])
        scanned = self.ws.store.tables.scan(node.digest)
        frame = (scanned.select(columns) if columns else scanned).head(rows).collect()
        return Head(ref=node.ref, columns=tuple(frame.columns), rows=tuple(plain(row) for row in frame.to_dicts()))

    @operation(reads=True)
    def diff(self, before: str, after: str, *, key: Names | None = None, counts: bool = False) -> Differs:
        """Compare two versions: rows by key, columns, the columns' values, and how each keeps the contract.

        What both versions share is not read again, so comparing two versions of a large table takes as long as what changed is large.

        Parameters
        ----------
        before, after : two versions, e.g. flights@v1 flights@v2, or flights@2026-11-01 flights
        key : the columns rows are matched by; by default the dataset's key
        counts : only how many rows came, went and changed: quicker, since of most columns nothing is read
        """
        old, new = self._readable(before), self._readable(after)
        by = tuple(key or self._key_of_both(old, new))
        tables = self.ws.store.tables
        with self.ws.progress.stage(f"comparing {old.ref} with {new.ref}"):
            try:
                if counts:
                    return _counted(old, new, by, tables.count_rows(old.digest, new.digest, key=by), is_given=key is not None)
                found = tables.diff(old.digest, new.digest, key=by)
            except ParameterError as error:
                # The store knows digests; the person named versions.
                said = error.message.replace(old.digest, old.ref).replace(new.digest, new.ref)
                raise ParameterError(said, hint=error.hint) from error
        return Differs(
            before=old.ref,
            after=new.ref,
            key=found.key,
            n_added=found.n_added,
            n_removed=found.n_removed,
            n_changed=found.n_changed,
            n_same=found.n_same,
            changed_columns=found.changed_columns,
            columns_added=found.columns_added,
            columns_removed=found.columns_removed,
            columns_retyped={name: f"{types.before} → {types.after}" for name, types in found.columns_retyped.items()},
            examples=_examples(found),
            n_compared=found.n_compared,
            profile=self._shifts(old, new, found),
            contract=self._contract_shift(old, new),
            next=self._after_diff(new),
        )

    def _key_of_both(self, old: Node, new: Node) -> Names:
        """Return the key of one of two versions that both have the columns of."""
        for node in (new, old) if new.name != old.name else (new,):
            by = self._key(node)
            if all(name in self.ws.store.tables.schema(one.digest) for name in by for one in (old, new)):
                return by
        both = [name for name in old.facts["columns"] if name in new.facts["columns"]]
        raise ParameterError(
            f"{old.ref} has no column {', '.join(name for name in by if name not in both)}, which is the key of {new.ref}"
            if new.name == old.name
            else f"{old.ref} and {new.ref} have no key in common",
            hint=f"say --key COLUMN,COLUMN; both have {', '.join(both[:20])}" if both else "they have no column in common",
        )

    def _shifts(self, old: Node, new: Node, found: TableDiff) -> tuple[ProfileShift, ...]:
        """Compare the profiles. Where all rows are the same but for some columns' values, no others can have moved."""
        from sampan.stats.profile_shifts import compare_profiles

        moved = None if found.n_added or found.n_removed else [*found.changed_columns, *found.columns_retyped]
        if moved == []:
            return ()
        with self.ws.progress.stage("comparing the profiles"):
            profiles = [read_profile(self.ws, node, columns=moved) for node in (old, new)]
            return tuple(profile_shift(shift) for shift in compare_profiles(*profiles))

    def _contract_shift(self, old: Node, new: Node) -> ContractShift | None:
        """Compare the newest checks of both versions; None where neither was checked."""
        checks = [self.contracts.newest_check(node) for node in (old, new)]
        if not any(checks):
            return None
        findings = [{str(f["message"]): None for f in check.facts["findings"]} if check else {} for check in checks]
        both = all(checks)
        return ContractShift(
            before=str(checks[0].facts["verdict"]) if checks[0] else "",
            after=str(checks[1].facts["verdict"]) if checks[1] else "",
            new=tuple(message for message in findings[1] if message not in findings[0]) if both else (),
            gone=tuple(message for message in findings[0] if message not in findings[1]) if both else (),
        )

    def _after_diff(self, new: Node) -> tuple[str, ...]:
        if self.contracts.path(new.name).exists() and self.contracts.newest_check(new) is None:
            return (f"sampan data check {quote(new.ref)}",)
        return (f"sampan data show {quote(new.ref)}",)


def _counted(old: Node, new: Node, key: tuple[str, ...], counts: RowCounts, *, is_given: bool) -> Differs:
    following = ["sampan data diff", quote(old.ref), quote(new.ref), *(["--key", quote(",".join(key))] if is_given else [])]
    return Differs(before=old.ref, after=new.ref, key=key, **msgspec.structs.asdict(counts), next=(" ".join(following),))


def _examples(found: TableDiff) -> dict[str, list[dict[str, Any]]]:
    pairs = ((row.key, plain(row.before), plain(row.after)) for row in found.examples_changed)
    changed = [{**key, **{name: f"{_or_missing(old[name])}{ARROW}{_or_missing(new[name])}" for name in new}} for key, old, new in pairs]
    examples = {"added": found.examples_added, "removed": found.examples_removed, "changed": changed}
    return {word: [plain(row) for row in rows] for word, rows in examples.items() if rows}


def _or_missing(value: object) -> str:
    return "∅" if value is None else str(value)


def _finding(said: dict[str, Any], *, hidden: bool) -> RuleLine:
    found = read_builtins(said, RuleLine)
    return found.without_values() if hidden else found
