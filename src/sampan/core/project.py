"""The project file `sampan.toml`: what an auditor reads of a project. Optional; Python holds what computes.

Not here: any meaning of the values (rooms give them one), interpolation, conditionals, class paths. A section is added together with the
operation that reads it: a key that takes no effect is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.refs import check_name, nearest
from sampan.errors import ProjectFileError, UsageError

FILE_NAME = "sampan.toml"


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[project]`: whose it is, what its runs are for and where they run, for the terms of the data they read."""

    name: str = ""
    owner: str = ""
    description: str = ""
    purpose: str = ""
    region: str = ""


class StorePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[store]`: where state is kept. An empty `database` is SQLite inside `folder`; empty `blobs` keep all content there as well.

    With `blobs`, content lies in that bucket and `folder` is its cache; credentials come from the usual AWS variables.
    """

    folder: str = ".sampan"
    database: str = ""
    blobs: str = ""  # s3://bucket/folder
    endpoint: str = ""
    region: str = ""
    cache_gb: int = 20


class DatasetSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[datasets.NAME]`: where a dataset comes from, how its rows are told apart, and how it is written where that is not found out."""

    source: str
    key: tuple[str, ...] = ()
    time: str = ""
    contract: str = ""
    owner: str = ""
    description: str = ""
    query: str = ""
    encoding: str = ""
    delimiter: str = ""
    decimal: str = ""
    thousands: str = ""
    nulls: tuple[str, ...] = ()
    types: dict[str, str] = {}
    sheet: str = ""
    header: str = ""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[policies.DATASET]`: what a dataset may be used for, and what is said of its columns."""

    owner: str = ""
    ask: str = ""
    license: str = ""
    conditions: str = ""
    purposes: tuple[str, ...] = ()
    not_for: tuple[str, ...] = ()
    bases: dict[str, str] = {}
    regions: tuple[str, ...] = ()
    expires: str = ""
    keep_days: int | None = None
    k: int | None = None
    protected: tuple[str, ...] = ()
    pii: dict[str, str] = {}
    actions: dict[str, str] = {}
    column_purposes: dict[str, str] = {}


class Purpose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[purposes.NAME]`: what a purpose means, and whether it earns money."""

    description: str = ""
    commercial: bool = False


class Governance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[governance]`: who may act for every owner, who may see behind pseudonyms, and where the keys are."""

    officers: tuple[str, ...] = ()
    teams: dict[str, str] = {}  # a team that owns data -> its people, with commas
    reidentify: tuple[str, ...] = ()
    keys: str = ""  # a folder outside the store


class Webhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[webhooks]`: hosts within the server's own network that webhooks may lead to, and be reached without TLS."""

    allow: tuple[str, ...] = ()


class SignOffRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[sign_offs.ALIAS]`: who must sign a model version before it may have an alias (champion) or a stage (Production)."""

    models: tuple[str, ...] = ()  # which models it holds for; none: every model
    people: tuple[str, ...] = ()  # each of these
    teams: tuple[str, ...] = ()  # of each of these, one person
    fresh_days: int | None = None  # how old the gate's decision may be


class Serving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[serving]`: how prediction servers of this project run: processes, address, TLS, and what one caller and one process may take."""

    workers: int = 1  # processes; from 2 on they are watched, and replaced when they die or hang
    host: str = "127.0.0.1"  # beyond loopback only with a key (sampan service key add)
    tls_cert: str = ""
    tls_key: str = ""
    grpc_port: int | None = None  # answer gRPC there, too; 0: a free one
    body_mb: int = 16
    rate: float = 0.0  # requests a second for each caller whose key names no rate of its own; 0: no limit
    memory_mb: int = 2048  # of loaded models in one process; the least recently used are unloaded
    worker_memory_mb: int = 0  # a worker that takes more is replaced; 0: half of the machine's
    hang_s: float = 10.0  # a worker that says nothing for so long is replaced
    timeout_s: float = 30.0  # a request that names no deadline of its own
    concurrency: int = 4  # requests of one model that run at the same time outside the event loop
    queue: int = 64  # requests of one model that may wait; more are sent away with 503
    redis: str = ""  # where online features live that servers share: redis://127.0.0.1:6379/0; its password is in $SAMPAN_REDIS_PASSWORD
    redis_outage: str = "refuse"  # refuse | missing: what a value is that Redis does not answer for and that is not at hand
    alias: str = "champion"  # a model that has no service is answered by its version of this alias (sampan serve --models)


class ServiceRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[services.NAME]`: what a service follows, the steps a new version takes, the guards on each, what a foreign environment means."""

    follow: str = ""  # MODEL@ALIAS: a version that gets the alias is taken up by itself
    shadow: str = ""  # how long it scores unseen first; 0s: not at all; nothing said: as long as a step is held
    steps: tuple[str, ...] = ("1%", "5%", "25%", "100%")
    hold: str = "10min"  # the least time on each step
    min_rows: int = 200  # the least answered rows on each step
    errors: float = 0.01  # share of requests
    latency: float = 2.0  # its p95 beside live's
    drift: float = 0.4  # how far its answers moved from live's, in standard deviations of those
    agreement: float = 0.5  # correlation with live's answers to the same rows, while it shadows
    rules: tuple[str, ...] = ()  # SQL conditions on its answers, such as "AVG(score) < 0.5"
    kpi_loss: float | None = None  # the value a row that its decisions may lose beside live's; none: not judged
    environment: str = "report"  # report | refuse
    features: str = "newest"  # newest | package: the dataset versions that online features are looked up in


class LogRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[logs.SERVICE]`: what a service's prediction log keeps. What the terms of the data forbid or change holds beside it."""

    sample: float = 1.0  # share of the keys whose predictions are kept
    only: tuple[str, ...] = ()  # the request fields that are kept; none: every field
    left_out: tuple[str, ...] = ()  # request fields
    hashed: tuple[str, ...] = ()  # request fields of which a keyed hash is kept: rows of one value can be linked, the value not read
    features: bool = True  # whether what the model saw is kept; drift of features is not watched without
    keep_days: int | None = None  # sampan gc removes segments that are older


class Traces(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[traces]`: where prediction servers send OpenTelemetry spans (OTLP over HTTP); nowhere by default."""

    endpoint: str = ""  # http://127.0.0.1:4318; headers come from $OTEL_EXPORTER_OTLP_HEADERS
    sample: float = 1.0  # share of the requests whose caller did not decide it in traceparent
    name: str = ""  # what the spans call this project; by default its name


class Project(msgspec.Struct, frozen=True):
    """A whole project file; all defaults where there is no file."""

    project: About = About()
    store: StorePlace = StorePlace()
    datasets: dict[str, DatasetSource] = {}
    policies: dict[str, Policy] = {}
    purposes: dict[str, Purpose] = {}
    governance: Governance = Governance()
    sign_offs: dict[str, SignOffRule] = {}
    webhooks: Webhooks = Webhooks()
    serving: Serving = Serving()
    services: dict[str, ServiceRules] = {}
    logs: dict[str, LogRules] = {}
    traces: Traces = Traces()


class Fault(msgspec.Struct, frozen=True):
    """One thing wrong in a project file."""

    key: str
    what: str
    line: int | None = None


_SINGLE: dict[str, type[msgspec.Struct]] = {
    "project": About,
    "store": StorePlace,
    "governance": Governance,
    "webhooks": Webhooks,
    "serving": Serving,
    "traces": Traces,
}
_NAMED: dict[str, type[msgspec.Struct]] = {
    "datasets": DatasetSource,
    "policies": Policy,
    "purposes": Purpose,
    "sign_offs": SignOffRule,
    "services": ServiceRules,
    "logs": LogRules,
}
_EXPECTED: dict[Any, str] = {
    str: "text in quotes",
    tuple[str, ...]: "a list of texts",
    dict[str, str]: "a table of texts",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    float | None: "a number",
    int | None: "a whole number",
}


def sections() -> Iterator[tuple[str, type[msgspec.Struct], bool]]:
    """Iterate over the tables a project file may have: name, its keys, and whether each entry has a name of its own."""
    yield from ((name, kind, False) for name, kind in _SINGLE.items())
    yield from ((name, kind, True) for name, kind in _NAMED.items())


def load_project(folder: Path) -> Project:
    """Read a folder's project file; without one, return the defaults.

    Raises
    ------
    ProjectFileError : every fault of the file in one message, each with line, key, value and the nearest valid key.
    """
    file = folder / FILE_NAME
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return Project()
    except OSError as cause:
        raise ProjectFileError(f"{file} cannot be read: {cause.strerror}", file=str(file)) from cause
    try:
        return parse_project(data.decode("utf-8"), file=str(file))
    except UnicodeDecodeError as cause:
        line = data[: cause.start].count(b"\n") + 1
        raise ProjectFileError(f"{file}:{line}: not UTF-8", file=str(file), line=line, hint="save the file as UTF-8") from cause


def parse_project(text: str, *, file: str = FILE_NAME) -> Project:
    """Parse a project file's text."""
    import tomllib

    try:
        tables = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as cause:
        raise _syntax_fault(text, file, str(cause)) from cause
    faults: list[Fault] = []
    sections: dict[str, Any] = {}
    for name, table in tables.items():
        if name in _SINGLE:
            sections[name] = _read_table(_SINGLE[name], table, (name,), faults)
        elif name in _NAMED:
            sections[name] = dict(_read_named(name, table, faults))
        else:
            faults.append(_unknown(name, (name,), (*_SINGLE, *_NAMED), "sampan.toml"))
    if faults:
        raise _all_faults(faults, text, file)
    return Project(**sections)


def _read_named(section: str, table: Any, faults: list[Fault]) -> Iterator[tuple[str, Any]]:
    if not isinstance(table, dict):
        faults.append(Fault(section, f"{section} = {table!r}: expected tables like [{section}.NAME]"))
        return
    for name, entry in table.items():
        try:
            check_name(name)
        except UsageError as fault:
            faults.append(Fault(f"{section}.{name}", f"{fault.message}: {fault.hint}"))
        yield name, _read_table(_NAMED[section], entry, (section, name), faults)


def _read_table(kind: type[msgspec.Struct], table: Any, path: tuple[str, ...], faults: list[Fault]) -> Any:
    where = ".".join(path)
    if not isinstance(table, dict):
        faults.append(Fault(where, f"{where} = {table!r}: expected a table [{where}]"))
        return None
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    faults.extend(_unknown(key, (*path, key), tuple(fields), f"[{where}]") for key in table.keys() - fields.keys())
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _read_value(field.type, table[name], (*path, name), faults)
        elif field.required:
            faults.append(Fault(where, f"[{where}] has no {name!r}"))
    return kind(**values) if values.keys() >= {f.name for f in fields.values() if f.required} else None


def _read_value(kind: Any, value: Any, path: tuple[str, ...], faults: list[Fault]) -> Any:
    if kind == tuple[str, ...] and isinstance(value, str):
        value = [value]
    try:
        return read_builtins(value, kind)
    except msgspec.ValidationError:
        faults.append(Fault(".".join(path), f"{path[-1]} = {_shown(value)}: expected {_EXPECTED[kind]}"))
        return None


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown(key: str, path: tuple[str, ...], known: tuple[str, ...], where: str) -> Fault:
    close = nearest(key, known, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)
    return Fault(".".join(path), f"unknown key {key!r} in {where}; {remedy}")


def _all_faults(faults: list[Fault], text: str, file: str) -> ProjectFileError:
    lines = dict(_lines_of_keys(text))
    placed = [Fault(fault.key, fault.what, lines.get(fault.key)) for fault in faults]
    placed.sort(key=lambda fault: fault.line or 0)
    said = [f"{file}:{fault.line}: {fault.what}" if fault.line else f"{file}: {fault.what}" for fault in placed]
    return ProjectFileError("\n".join(said), file=file, line=placed[0].line, key=placed[0].key, hint=f"mend {file} and try again")


def _syntax_fault(text: str, file: str, message: str) -> ProjectFileError:
    import re

    what, _, place = message.rpartition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found else text.count("\n") + 1
    source = text.splitlines()[line - 1].strip() if 0 < line <= len(text.splitlines()) else ""
    shown = f": {source!r}" if source else ""
    return ProjectFileError(f"{file}:{line}: {what or message}{shown}", file=file, line=line, hint="this is not valid TOML")


def _lines_of_keys(text: str) -> Iterator[tuple[str, int]]:
    """Yield (dotted key, line) for every table header and key; tomllib itself keeps no lines."""
    import re

    header = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]")
    entry = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
    table, quotes = "", ""
    for number, line in enumerate(text.splitlines(), start=1):
        if quotes:  # inside a multi-line string
            quotes = "" if quotes in line else quotes
            continue
        if found := header.match(line):
            table = _bare(found[1])
            yield table, number
        elif found := entry.match(line):
            yield f"{table}.{_bare(found[1])}".lstrip("."), number
            quotes = next((mark for mark in ('"""', "'''") if line.count(mark) == 1), "")


def _bare(dotted: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in dotted.split("."))
