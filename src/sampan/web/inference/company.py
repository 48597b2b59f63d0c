"""Single rows that came within one turn of the event loop: whether a model answers them together, which it has to show."""

from __future__ import annotations

from statistics import median
from typing import Final, Protocol

from sampan.serving.spans import Origin
from sampan.table.rows import Row

TRIALS: Final = 9  # times that rows in company are scored both ways before it is decided
AGAIN: Final = 1000  # turns after which a model that gained nothing is tried again: the machine may have been busy
LEAST: Final = 4  # rows of a trial
MOST: Final = 64  # rows that go together …
MOST_NS: Final = 4_000_000  # … and how long a call may keep the event loop
GAIN: Final = 0.8  # together over alone, at most


class AskedRow(Protocol):
    """A request of one row: what `DirectAnswers.read` gave for its body, the name of its answer, and where it came from."""

    @property
    def row(self) -> Row:
        """The row."""
        ...

    @property
    def name(self) -> str:
        """The id its answer will have."""
        ...

    @property
    def origin(self) -> Origin:
        """When and from whom it came."""
        ...


class Company:
    """What was seen of one model's single rows in company: whether each is answered to the bit as it is alone, and what that costs.

    Trees and most graphs add a row up in the same order whoever stands beside it; a product of matrices may not, and such a model answers
    its rows one by one, so that the same request gets the same answer however busy the server is.
    """

    def __init__(self) -> None:
        self._trials: list[tuple[float, float]] = []  # nanoseconds a row: alone, together
        self.alike = True
        self.most_rows = 1  # that may go together
        self._passed = 0

    @property
    def is_known(self) -> bool:
        """Say whether enough was seen."""
        return len(self._trials) == TRIALS or not self.alike

    @property
    def pays(self) -> bool:
        """Say whether rows should go together."""
        return self.most_rows > 1

    def passed(self) -> None:
        """Take note that rows came together and were answered one by one, nothing being tried."""
        self._passed += 1
        if self._passed >= AGAIN and self.alike:
            self._passed = 0
            self._trials.clear()

    def note(self, n_rows: int, *, alone_ns: int, together_ns: int, alike: bool) -> None:
        """Take one trial."""
        self._trials.append((alone_ns / n_rows, together_ns / n_rows))
        self.alike &= alike
        if self.is_known:
            gains = self.alike and self._share <= GAIN
            self.most_rows = min(MOST, int(MOST_NS / self._together_ns)) if gains else 1

    @property
    def _share(self) -> float:
        """What a row costs in company, of what it costs alone; a median, since a busy machine may stop any trial halfway."""
        return median(together / alone for alone, together in self._trials)

    @property
    def _together_ns(self) -> float:
        return median(together for _, together in self._trials)

    def __str__(self) -> str:
        if not self.is_known:
            return "single rows are answered one by one until enough came together"
        if not self.alike:
            return "single rows are answered one by one: in company the last bits differ"
        how = "together" if self.pays else "one by one"
        return f"single rows that come together are answered {how}: that takes {self._share:.0%} of their time alone"
