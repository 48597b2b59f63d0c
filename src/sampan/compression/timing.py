"""What graphs cost in use: time of one row and of a hundred, processor time, instructions, size. All are measured in turns.

Turns matter: on a machine with other work the same graph may take twice as long a minute later, so graphs that are to be compared take
short turns for as long as it takes. Calls from which the system took the processor away measure the machine's load, not the graph; they
are left out unless they are the most.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from sampan.compression.costs import Cost
from sampan.compression.instructions import Counter, open_counter
from sampan.errors import IntegrityError
from sampan.plugins import require

MANY: Final = 100
TURNS: Final = 12
_ONES, _MANIES = 40, 6  # calls in a turn
_MOST_SECONDS: Final = 0.25  # of a turn: slow graphs get fewer calls
_WARM: Final = 3
_MASK: Final = "attention_mask"  # as tokenizers' clients call it

Feeds = Mapping[str, "np.ndarray[Any, Any]"]


@dataclass(frozen=True, slots=True)
class Native:
    """A model that answers without a graph, in this process: what it says of a matrix, and the bytes of its files."""

    answers: Callable[[np.ndarray[Any, Any]], Any]
    size_bytes: int

    def run(self, _outputs: None, given: Feeds) -> Any:
        """Answer as a session does."""
        return self.answers(next(iter(given.values())))


@dataclass(slots=True)
class Contender:
    """A graph in the measurement, or a `native` model in its place: how it is asked, and what was seen.

    `rows` are its inputs by name, at least one row; a hundred are taken, again from the first where there are fewer.
    """

    graph: bytes
    rows: Feeds
    threads: int = 1
    native: Native | None = None
    ones: list[float] = field(default_factory=list)
    manies: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    instructions: int = 0
    n_calls: int = 0


def open_session(graph: bytes, *, threads: int = 1) -> Any:
    """Open a graph with so many threads.

    Raises
    ------
    IntegrityError : the runtime refuses it.
    """
    ort = require("onnxruntime", extra="train")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as cause:  # the runtime's own error classes are not public
        raise IntegrityError(f"the graph cannot be loaded: {str(cause).splitlines()[0][:200]}") from cause


def measure(contenders: Mapping[str, Contender], *, turns: int = TURNS, advance: Callable[[], None] = lambda: None) -> dict[str, Cost]:
    """Measure graphs in turns; `advance` is called after each turn of all.

    Raises
    ------
    IntegrityError : a graph does not load, or wants inputs that its rows do not have.
    """
    names = list(contenders)
    asked = {name: _Asked.of(each) for name, each in contenders.items()}
    with open_counter() as counter:
        for turn in range(turns):
            for place in range(len(names)):
                name = names[(place + turn) % len(names)]
                _take_turn(contenders[name], asked[name], counter)
            advance()
        return {name: _cost(each, has_counter=counter is not None) for name, each in contenders.items()}


@dataclass(frozen=True, slots=True)
class _Asked:
    """A graph opened and warm, with what it is asked."""

    session: Any
    ones: Sequence[Feeds]
    many: Feeds

    @classmethod
    def of(cls, one: Contender) -> Self:
        found = cls(one.native or open_session(one.graph, threads=one.threads), _ones(one.rows), _many(one.rows))
        if one.native is None:
            _known_inputs(found.session, found.many)
        began = time.perf_counter()
        for given in (*found.ones[:_WARM], *[found.many] * _WARM):
            found.session.run(None, given)
            if time.perf_counter() - began > _MOST_SECONDS and given is found.many:
                break
        return found


def _take_turn(one: Contender, asked: _Asked, counter: Counter | None) -> None:
    session, ones, many = asked.session, asked.ones, asked.many
    began, cpu = time.perf_counter(), time.process_time()
    counted = counter.read() if counter else 0
    calls = 0
    for call in range(_ONES):
        one.ones.extend(_timed(session, ones[(one.n_calls + call) % len(ones)]))
        calls += 1
        if time.perf_counter() - began > _MOST_SECONDS:
            break
    one.cpu_s += time.process_time() - cpu
    one.instructions += counter.read() - counted if counter else 0
    one.n_calls += calls
    began = time.perf_counter()
    for _ in range(_MANIES):
        one.manies.extend(_timed(session, many))
        if time.perf_counter() - began > _MOST_SECONDS:
            break


def _timed(session: Any, given: Feeds) -> list[float]:
    """Return the seconds of a call, negative where the system took the processor away meanwhile."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    began = time.perf_counter()
    session.run(None, given)
    seconds = time.perf_counter() - began
    return [-seconds if resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw > before else seconds]


def _cost(one: Contender, *, has_counter: bool) -> Cost:
    ones, manies = _undisturbed(one.ones), _undisturbed(one.manies)
    return Cost(
        size_bytes=one.native.size_bytes if one.native else len(one.graph),
        p50_ms=float(np.median(ones)) * 1e3,
        p99_ms=float(np.quantile(ones, 0.99)) * 1e3,
        p50_100_ms=float(np.median(manies)) * 1e3,
        p99_100_ms=float(np.quantile(manies, 0.99)) * 1e3,
        cpu_us=one.cpu_s / one.n_calls * 1e6,
        instructions=one.instructions / one.n_calls if has_counter and one.threads == 1 else None,
        threads=one.threads,
        disturbed=sum(each < 0 for each in (*one.ones, *one.manies)) / (len(one.ones) + len(one.manies)),
    )


def _undisturbed(seconds: list[float]) -> np.ndarray[Any, Any]:
    kept = [each for each in seconds if each >= 0]
    return np.asarray(kept if 2 * len(kept) >= len(seconds) else [abs(each) for each in seconds])


def _ones(rows: Feeds) -> list[Feeds]:
    n = min(len(next(iter(rows.values()))), MANY)
    return [without_padding({name: each[i : i + 1] for name, each in rows.items()}) for i in range(n)]


def _many(rows: Feeds) -> Feeds:
    chosen = np.arange(MANY) % len(next(iter(rows.values())))
    return without_padding({name: each[chosen] for name, each in rows.items()})


def shortest_first(rows: Feeds) -> np.ndarray[Any, Any]:
    """Return the order of rows by how many tokens they have, so that few are padded; the order they are in where there is no mask."""
    mask = rows.get(_MASK)
    return np.arange(len(next(iter(rows.values())))) if mask is None else np.argsort(mask.sum(axis=1), kind="stable")


def without_padding(rows: Feeds) -> Feeds:
    """Cut tokens off that no row of these has, where the inputs have an attention mask: who asks for one text does not pad it."""
    mask = rows.get(_MASK)
    if mask is None or mask.ndim != 2:
        return {name: np.ascontiguousarray(each) for name, each in rows.items()}
    longest = max(1, int(np.flatnonzero(mask.any(axis=0)).max(initial=0)) + 1)
    return {
        name: np.ascontiguousarray(each[:, :longest]) if each.ndim == 2 and each.shape[1] == mask.shape[1] else np.ascontiguousarray(each)
        for name, each in rows.items()
    }


def _known_inputs(session: Any, given: Feeds) -> None:
    """Raise IntegrityError where a graph wants inputs that the rows do not have."""
    wanted = {each.name for each in session.get_inputs()}
    if lacking := sorted(wanted - set(given)):
        raise IntegrityError(f"the graph wants inputs {', '.join(lacking)}; the rows have {', '.join(given)}")
