"""Read what a watched program reported (`sampan/capture`): JSON lines of one or more processes, whole ones only."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sampan.core.digests import digest_stream

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReportedMetric:
    """One number a program came to."""

    key: str
    value: float
    step: int
    at: int


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A file a program read or wrote, as it is at the end."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class ReportedModel:
    """A model a program fitted; without a path it could not be kept, and the note says why."""

    name: str
    path: str
    note: str


@dataclass(slots=True)
class Told:
    """All a program told."""

    params: dict[str, str] = field(default_factory=dict)
    last_metrics: dict[str, float] = field(default_factory=dict)
    read: list[ScriptFile] = field(default_factory=list)
    written: list[ScriptFile] = field(default_factory=list)
    code: list[Path] = field(default_factory=list)
    models: list[ReportedModel] = field(default_factory=list)
    process: Record = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Reports:
    """The reports in a folder, read on while they grow. Only the program itself tells of fits and scores; its workers tell of files."""

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder = folder
        self._store = store
        self._read_to: dict[Path, int] = {}
        self._records: list[Record] = []
        self._programs: set[int] = set()
        self._n_told = 0
        self._lock = threading.Lock()

    def new_metrics(self) -> list[ReportedMetric]:
        """Return the metrics reported since the last call."""
        with self._lock:
            self._read_on()
            fresh, self._n_told = self._records[self._n_told :], len(self._records)
            return [
                ReportedMetric(record["key"], float(record["value"]), record["step"], record["at"])
                for record in fresh
                if record["kind"] == "metric" and record["pid"] in self._programs
            ]

    def read_all(self) -> Told:
        """Return all that was reported, files digested as they are now."""
        with self._lock:
            self._read_on()
        told = Told()
        for record in self._records:
            if record["pid"] in self._programs:
                _take(told, record)
        overwritten = {r["path"]: r["before"] for r in self._records if r["kind"] == "write" and r.get("before")}
        read = {r["path"]: r for r in self._records if r["kind"] == "read"}
        written = list(dict.fromkeys(r["path"] for r in self._records if r["kind"] == "write"))
        told.read += self._files([path for path in read if path not in overwritten and path not in written], read, told.notes)
        told.written += self._files(written, {}, told.notes)
        told.notes += [f"{path} was read and then written over; what was read is {digest[:23]}…" for path, digest in overwritten.items()]
        told.notes += [f"{'wrote to' if r['written'] else 'read from'} {r['address']}" for r in self._records if r["kind"] == "address"]
        return told

    def _files(self, paths: list[str], seen: dict[str, Record], notes: list[str]) -> Iterator[ScriptFile]:
        for name in paths:
            path = Path(name)
            if not path.is_file() or path.is_relative_to(self._store):
                continue  # a temporary file, gone again; the store's own
            found = path.stat()
            if name in seen and (found.st_size, found.st_mtime_ns) != (seen[name]["size"], seen[name]["mtime_ns"]):
                notes.append(f"{name} changed after it was read; its present content is recorded")
            with path.open("rb") as stream:
                digest, size = digest_stream(stream)
            yield ScriptFile(path, digest, size)

    def _read_on(self) -> None:
        for file in sorted(self._folder.glob("*.jsonl")):
            with file.open("rb") as stream:
                stream.seek(self._read_to.get(file, 0))
                data = stream.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._read_to[file] = self._read_to.get(file, 0) + len(whole)
            for line in whole.splitlines():
                record = json.loads(line)
                if record["kind"] == "process" and record["is_first"]:
                    self._programs.add(record["pid"])
                self._records.append(record)


def _take(told: Told, record: Record) -> None:
    """Take one record of the program into what it told."""
    kind = record["kind"]
    if kind == "metric":
        told.last_metrics[record["key"]] = float(record["value"])
    elif kind in ("fit", "params"):
        told.params.update({f"{record['name']}.{key}": value for key, value in record["params"].items()})
    elif kind == "model":
        told.models.append(ReportedModel(record["name"], record["path"], record["note"]))
    elif kind == "modules":
        told.code += map(Path, record["files"])
        told.process["versions"] = {**told.process.get("versions", {}), **record["versions"]}
    elif kind in ("process", "end"):
        told.process[kind] = [*told.process.get(kind, ()), {key: value for key, value in record.items() if key != "kind"}]
