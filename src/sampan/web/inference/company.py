"""Requests that came within one turn of the event loop: whether a model answers them together, which it has to show."""

from __future__ import annotations

from statistics import median
from typing import Final

TRIALS: Final = 9  # times that rows in company are scored both ways before it is decided
AGAIN: Final = 10_000  # requests after which a model that gained nothing is tried again: the machine may have been busy


class Company:
    """What was seen of one model's requests in company: whether each is answered to the bit as it is alone, and what that costs.

    Trees and most graphs add a row up in the same order whoever stands beside it; a product of matrices may not, and such a model answers
    its requests one by one, so that the same request gets the same answer however busy the server is.

    Parameters
    ----------
    asked : what the requests are called
    gain : cost in company over alone, at most
    most_rows : that go together
    most_ns : how long a call may keep the event loop
    """

    def __init__(self, asked: str, *, gain: float, most_rows: int, most_ns: int) -> None:
        self.alike = True
        self.most_rows = most_rows  # that may go together, as far as is known
        self._asked = asked
        self._gain = gain
        self._limits = most_rows, most_ns
        self._trials: list[tuple[float, float]] = []  # nanoseconds a row: alone, together
        self._passed = 0

    @property
    def is_known(self) -> bool:
        """Say whether enough was seen."""
        return len(self._trials) == TRIALS or not self.alike

    @property
    def pays(self) -> bool:
        """Say whether requests should go together."""
        return self.is_known and self.most_rows > 1

    @property
    def gathers(self) -> bool:
        """Say whether requests should wait for the end of the turn: they go together, or it is not known yet whether that pays."""
        return not self.is_known or self.most_rows > 1

    def note(self, n_rows: int, *, alone_ns: int, together_ns: int, alike: bool) -> None:
        """Take one trial."""
        self._trials.append((alone_ns / n_rows, together_ns / n_rows))
        self.alike &= alike
        if self.is_known:
            most_rows, most_ns = self._limits
            self.most_rows = min(most_rows, int(most_ns / self._together_ns)) if self.alike and self._share <= self._gain else 1

    def passed(self) -> None:
        """Take note of a request that was answered by itself, nothing being tried; after many of them it is tried again."""
        self._passed += 1
        if self._passed >= AGAIN and self.alike:
            self._passed = 0
            self._trials.clear()
            self.most_rows, _ = self._limits

    @property
    def _share(self) -> float:
        """What a row costs in company, of what it costs alone; a median, since a busy machine may stop any trial halfway."""
        return median(together / alone for alone, together in self._trials)

    @property
    def _together_ns(self) -> float:
        return median(together for _, together in self._trials)

    def __str__(self) -> str:
        if not self.is_known:
            return f"{self._asked} are answered one by one until enough came together"
        if not self.alike:
            return f"{self._asked} are answered one by one: in company the last bits differ"
        how = "together" if self.pays else "one by one"
        return f"{self._asked} that come together are answered {how}: that takes {self._share:.0%} of their time alone"
