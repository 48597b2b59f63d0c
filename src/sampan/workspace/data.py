"""The data room: datasets, their contracts, checks, profiles, and the columns that must stay out of a model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.digests import Digest, digest_stream, digest_value, short
from sampan.core.events import VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.core.refs import check_name, nearest
from sampan.core.times import iso
from sampan.errors import BlobUnavailable, IntegrityError, ParameterError, UsageError
from sampan.workspace.data_answers import (
    Added,
    Checked,
    ColumnLine,
    DatasetLine,
    Datasets,
    Differs,
    Head,
    Inferred,
    Labelled,
    Leaks,
    Profiled,
    RuleLine,
    Shown,
    column_line,
    version_line,
)
from sampan.workspace.data_contracts import Contracts, shown_path
from sampan.workspace.data_events import DatasetDescribed
from sampan.workspace.data_leaks import judge_leaks, label_expression, newest_leaks, read_expression
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    from sampan.stats.profiles import Profile
    from sampan.table.sources import Loaded, SourceForm

KIND = "dataset"
Names = list[str]  # inside the room, `list` is the operation
_READING = 1  # raise when the same bytes would be read as another table
PROFILE = "profile_1"  # the fact that names a version's profile; another number when profiles change
_N_VERSIONS = 20


class Data(Room):
    """Datasets: versions, contracts, checks, profiles.

    Parameters
    ----------
    ref : the dataset, like flights or flights@v3
    """

    noun: ClassVar[str] = "data"

    @property
    def contracts(self) -> Contracts:
        """The datasets' contracts."""
        return Contracts(self.ws)

    @operation(local=True)
    def add(
        self,
        source: Path,
        *,
        name: str = "",
        key: Names | None = None,
        time: str = "",
        owner: str = "",
        description: str = "",
        encoding: str = "",
        delimiter: str = "",
        nulls: Names | None = None,
        types: dict[str, str] | None = None,
    ) -> Added:
        """Add a file as a dataset's new version; the same content again changes nothing.

        Parameters
        ----------
        source : CSV or TSV (plain, gzip, zip, zstd), Parquet or JSON lines; or the name of a dataset in sampan.toml
        name : the dataset's name; by default the file's
        key : the columns that name a row
        time : the column that says when a row happened
        owner : who answers for the data
        description : what it is, in a sentence
        encoding : where it is not UTF-8
        delimiter : where it cannot be told from the first lines
        nulls : the words that mean "missing"
        types : a column's type where it must not be found out, e.g. zip=text
        """
        from sampan.table.sources import SourceForm
        from sampan.table.types import NULL_SPELLINGS

        declared = self.ws.project.datasets.get(name or str(source))
        path = self.ws.root / declared.source if declared and not source.exists() else source
        name = check_name(name or (str(source) if declared else path.name.partition(".")[0]))
        declared = declared or self.ws.project.datasets.get(name)
        facts = _asset_facts(
            key=key or (list(declared.key) if declared else []),
            time=time or (declared.time if declared else ""),
            owner=owner or (declared.owner if declared else ""),
            description=description or (declared.description if declared else ""),
        )
        spellings = NULL_SPELLINGS if nulls is None else ("", *nulls)
        form = SourceForm(encoding=encoding, delimiter=delimiter, null_values=spellings, types=types or {})
        return self._add_file(name, path, form, facts)

    def add_table(self, data: Any, *, name: str, key: Names | None = None, time: str = "", owner: str = "", description: str = "") -> Added:
        """Add a table from memory (Polars, pandas, Arrow, a dict of columns) as a dataset's new version."""
        from sampan.table.sources import read_source

        loaded = read_source(data)
        facts = _asset_facts(key=key or [], time=time, owner=owner, description=description)
        return self._commit(check_name(name), loaded, facts, read="")

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
        versions = self.ws.catalog.nodes(kind=KIND, name=node.name, limit=_N_VERSIONS)
        return Shown(
            name=node.name,
            ref=node.ref,
            n_rows=node.facts["n_rows"],
            digest=node.digest,
            facts=dict(self.ws.catalog.asset(KIND, node.name).facts),
            versions=tuple(version_line(v) for v in versions),
            columns=self._column_lines(node),
            verdict=str(found.get("verdict", "")),
            findings=tuple(msgspec.convert(f, RuleLine) for f in (*found.get("findings", ()), *found.get("notes", ()))),
            check=check.ref if check else "",
            kept_out={leak.column: leak.reason for leak in leaks.leaks} if leaks else {},
            next=(f"sampan data head {quote(node.ref)}",) + (() if check else self._towards_check(node.name)),
        )

    @operation(local=True)
    def infer(self, ref: str, *, force: bool = False) -> Inferred:
        """Draft a contract from a dataset and the others here, as contracts/NAME.yaml.

        A file that is there is never overwritten silently: the difference is shown.

        Parameters
        ----------
        ref : the dataset
        force : replace the contract that is there
        """
        from sampan.data.contract import describe
        from sampan.data.contract_yaml import write_contract

        node = self._node(ref)
        contract = self.contracts.draft(node)
        text = write_contract(contract)
        file = self.contracts.path(node.name)
        before = file.read_text(encoding="utf-8", errors="replace") if file.exists() else None
        rules = tuple(f"{rule.level}: {describe(rule)}" for rule in contract.rules)
        shown = shown_path(self.ws, file)
        answer = Inferred(
            dataset=node.ref, file=shown, written=False, n_rules=len(rules), rules=rules, next=(f"sampan data check {quote(node.name)}",)
        )
        if before == text:
            return answer
        if before is not None and not force:
            again = f"sampan data infer {quote(node.name)} --force"
            return msgspec.structs.replace(
                answer, diff=_difference(before, text, shown), next=(again, f"sampan data check {quote(node.name)}")
            )
        self.contracts.write(node.name, text)
        return msgspec.structs.replace(answer, written=True)

    @operation()
    def check(self, refs: Names | None = None) -> Checked:
        """Check datasets against their contracts; exit code 3 if a blocking rule is broken.

        References lead to the newest versions of the other datasets here.

        Parameters
        ----------
        refs : which datasets; without any, all that have a contract
        """
        names = refs or [asset.name for asset in self.ws.catalog.assets(KIND) if self.contracts.path(asset.name).exists()]
        if not names:
            raise UsageError("no dataset here has a contract yet", hint="sampan data infer NAME drafts one")
        tables = []
        with self.ws.progress.stage("checking", total=len(names), unit="datasets") as stage:
            for name in names:
                tables.append(self.contracts.check(self._node(name)))
                stage.advance(1, tables[-1].dataset)
        following = tuple(f"sampan data show {quote(self._node(name).name)}" for name in names[:1])
        return Checked(tables=tuple(tables), next=following)

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

    @operation(reads=True)
    def head(self, ref: str, *, rows: int = 5) -> Head:
        """Show the first rows.

        Parameters
        ----------
        ref : the dataset
        rows : how many, 1 to 1,000
        """
        if not 1 <= rows <= 1000:
            raise ParameterError(f"rows is {rows}", hint="1 to 1,000")
        node = self._node(ref)
        frame = self.ws.store.tables.scan(node.digest).head(rows).collect()
        return Head(ref=node.ref, columns=tuple(frame.columns), rows=tuple(_plain(row) for row in frame.to_dicts()))

    @operation(reads=True)
    def diff(self, before: str, after: str, *, key: Names | None = None) -> Differs:
        """Compare two versions row by row.

        Parameters
        ----------
        before, after : two versions, e.g. flights@v1 flights@v2
        key : the columns rows are matched by; by default the dataset's key
        """
        old, new = self._node(before), self._node(after)
        found = self.ws.store.tables.diff(old.digest, new.digest, key=key or self._key(new))
        changed = [{**row.key, **{name: f"{row.before[name]} → {row.after[name]}" for name in row.after}} for row in found.examples_changed]
        examples = {"added": found.examples_added, "removed": found.examples_removed, "changed": changed}
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
            examples={word: [_plain(row) for row in rows] for word, rows in examples.items() if rows},
        )

    @operation()
    def label(self, ref: str, *, target: str, unless: str = "", why: str = "") -> Labelled:
        """Declare how rows get their label, and which get none.

        Parameters
        ----------
        ref : the dataset
        target : the label as an expression, e.g. "arr_delay >= 15"
        unless : the rows without a label, e.g. "arr_time IS NULL"
        why : the reason for that
        """
        node = self._node(ref)
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
        node = self._node(ref)
        contract = self.contracts.read(node.name)
        return judge_leaks(self.ws, node, target=target, moment=moment, known=contract.known() if contract else {})

    # -- adding

    def _add_file(self, name: str, path: Path, form: SourceForm, facts: dict[str, Any]) -> Added:
        from sampan.table.sources import check_file, read_source

        check_file(path)
        with path.open("rb") as stream:
            bytes_digest, _ = digest_stream(stream)
        declared = [form.encoding, form.delimiter, list(form.null_values), dict(form.types)]
        read = digest_value([_READING, bytes_digest, path.suffixes, declared])
        newest = self._newest(name)
        if newest is not None and newest.facts.get("read") == read:
            # The same bytes, read the same way, are the same table: no need to read them.
            _check_columns(newest.facts["columns"], facts)
            self._describe(name, facts)
            return self._answer(newest, unchanged=True, notes=tuple(newest.facts.get("notes", ())))
        return self._commit(name, read_source(path, form=form, progress=self.ws.progress), facts, read=read)

    def _commit(self, name: str, loaded: Loaded, facts: dict[str, Any], *, read: str) -> Added:
        frame = loaded.frame
        _check_columns({column: str(dtype) for column, dtype in frame.schema.items()}, facts)
        tables = self.ws.store.tables
        adopts = loaded.format == "parquet" and not loaded.member
        version = tables.adopt(Path(loaded.source)) if adopts else tables.create(frame)
        newest = self._newest(name)
        if newest is not None and newest.digest == version.digest:
            self._describe(name, facts)
            return self._answer(newest, unchanged=True, notes=loaded.notes)
        recorded: dict[str, Any] = {
            "source": shown_path(self.ws, Path(loaded.source)) if loaded.digest else loaded.source,
            "source_digest": loaded.digest,
            "read": read,
            "format": loaded.format,
            "n_rows": version.n_rows,
            "columns": version.columns,
            PROFILE: self._record_profile(version.digest),
        }
        for fact in ("encoding", "delimiter", "member"):
            if getattr(loaded, fact):
                recorded[fact] = getattr(loaded, fact)
        if loaded.notes:
            recorded["notes"] = list(loaded.notes)
        event = VersionCommitted(node=new_id(), kind=KIND, name=name, digest=version.digest, size=version.size_bytes, facts=recorded)
        self.ws.ledger.append(event)
        self._describe(name, facts)
        return self._answer(self.ws.catalog.node(event.node), unchanged=False, notes=loaded.notes)

    def _answer(self, node: Node, *, unchanged: bool, notes: tuple[str, ...]) -> Added:
        return Added(
            ref=node.ref,
            unchanged=unchanged,
            n_rows=node.facts["n_rows"],
            n_columns=len(node.facts["columns"]),
            source=str(node.facts["source"]),
            digest=short(node.digest),
            notes=(*notes, *self._key_notes(node)),
            next=self._towards_check(node.name),
        )

    def _key_notes(self, node: Node) -> tuple[str, ...]:
        """Say at once where the columns that should name a row do not: a contract would say so later, a comparison not at all."""
        key = self.ws.catalog.asset(KIND, node.name).facts.get("key", [])
        if not key or not set(key) <= set(node.facts["columns"]):
            return ()

        def count() -> int:
            keys = self.ws.store.tables.scan(node.digest).select(key).collect()
            return int(keys.is_duplicated().sum())

        n_shared, _ = self.ws.engine.once("key", [node.digest, key], count)
        return (f"{n_shared:,} rows share their key {' + '.join(key)} with another; --key names other columns",) if n_shared else ()

    def _describe(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record what is newly said of a dataset; what is not said again stays."""
        before = self.ws.catalog.asset(KIND, name).facts
        after = {**before, **{key: value for key, value in facts.items() if value}}
        if after != before:
            self.ws.ledger.append(DatasetDescribed(name=name, facts=after))

    # -- reading

    def _node(self, ref: str) -> Node:
        return self.ws.catalog.resolve(ref, kind=KIND)

    def _newest(self, name: str) -> Node | None:
        found = self.ws.catalog.nodes(kind=KIND, name=name, limit=1)
        return found[0] if found else None

    def _key(self, node: Node) -> Names:
        from sampan.data.keys import find_keys

        declared = self.ws.catalog.asset(KIND, node.name).facts.get("key")
        if declared:
            return [str(column) for column in declared]
        found = find_keys(self.ws.store.tables.read(node.digest))
        if not found:
            raise ParameterError(f"{node.ref} has no key: no few columns tell its rows apart", hint="say --key COLUMN,COLUMN")
        return [*found[0]]

    def _record_profile(self, table: Digest) -> Digest:
        """Profile a table and store the profile; done once for the same content."""
        from sampan.stats.profiles import profile_table

        def make() -> Digest:
            frame = self.ws.store.tables.read(table)
            with self.ws.progress.stage("profiling", total=frame.width, unit="columns") as stage:
                profile = profile_table(frame, done=lambda column: stage.advance(1, column))
            return self.ws.store.blobs.put(msgspec.json.encode(profile))

        digest, _ = self.ws.engine.once("profile", [PROFILE, table], make)
        return str(digest)

    def _profile(self, node: Node) -> Profile:
        """Read a version's profile; where none is recorded, or its bytes are lost or damaged (`fsck` names them), profile anew."""
        from sampan.stats.profiles import Profile, profile_table

        if PROFILE in node.facts:
            with suppress(BlobUnavailable, IntegrityError):
                return msgspec.json.decode(self.ws.store.blobs.read(node.facts[PROFILE]), type=Profile)
        return profile_table(self.ws.store.tables.read(node.digest))

    def _column_lines(self, node: Node) -> tuple[ColumnLine, ...]:
        return tuple(column_line(column, node) for column in self._profile(node).columns)

    def _towards_check(self, name: str) -> tuple[str, ...]:
        verb = "check" if self.contracts.path(name).exists() else "infer"
        return (f"sampan data {verb} {quote(name)}",)

    # -- labels

    def _labelled(self, node: Node, target: str, unless: str, why: str) -> Labelled:
        import polars as pl

        from sampan.data.leakage import compute_label

        lazy = self.ws.store.tables.scan(node.digest)
        frame = lazy.collect()
        label = compute_label(frame, label_expression(target, unless))
        excluded = int(frame.select(read_expression(unless).fill_null(value=False).sum()).item()) if unless else 0
        n_labelled = len(label) - label.null_count()
        return Labelled(
            ref=node.ref,
            target=target,
            unless=unless,
            why=why,
            n_rows=len(label),
            n_labelled=n_labelled,
            n_positive=int(label.cast(pl.Int64).sum()),
            n_excluded=excluded,
            n_undefined=len(label) - n_labelled - excluded,
        )


def _asset_facts(*, key: list[str], time: str, owner: str, description: str) -> dict[str, Any]:
    return {"key": key, "time": time, "owner": owner, "description": description}


def _check_columns(types: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Refuse a key or time that the table does not have."""
    for what, columns in (("key", facts["key"]), ("time", [facts["time"]] if facts["time"] else [])):
        for column in columns:
            if column not in types:
                close = nearest(column, types)
                hint = f"did you mean {' or '.join(close)}?" if close else "columns: " + ", ".join([*types][:20])
                raise ParameterError(f"{what}: there is no column {column!r}", hint=hint)
    if facts["time"] and not types[facts["time"]].startswith("Date"):
        said = f"time: column {facts['time']!r} is {types[facts['time']]}, not a timestamp or date"
        raise ParameterError(said, hint="write times as 2013-01-01T06:00:00Z")


def _difference(before: str, after: str, file: str) -> str:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), fromfile=file, tofile=f"{file} (inferred)", lineterm="", n=1)
    return "\n".join(lines)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Make a row JSON-able: times as ISO text."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
