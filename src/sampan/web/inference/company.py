"""Single rows that came within one turn of the event loop: whether a model answers them together, which it has to show."""

from __future__ import annotations

from typing import Final, Protocol

from sampan.serving.spans import Origin
from sampan.table.rows import Row

TRIALS: Final = 8  # times that rows in company are scored both ways before it is decided
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
        self._left = TRIALS
        self._n_rows = 0
        self._alone_ns = self._together_ns = 0
        self.alike = True

    @property
    def is_known(self) -> bool:
        """Say whether enough was seen."""
        return not self._left

    @property
    def pays(self) -> bool:
        """Say whether rows should go together."""
        return not self._left and self.alike and self._together_ns <= GAIN * self._alone_ns and self.most_rows > 1

    @property
    def most_rows(self) -> int:
        """How many rows may go together."""
        return min(MOST, MOST_NS * self._n_rows // max(self._together_ns, 1))

    def note(self, n_rows: int, *, alone_ns: int, together_ns: int, alike: bool) -> None:
        """Take one trial."""
        self._left -= 1
        self._n_rows += n_rows
        self._alone_ns += alone_ns
        self._together_ns += together_ns
        self.alike &= alike
        if not self.alike:
            self._left = 0

    def __str__(self) -> str:
        if self._left:
            return "single rows are answered one by one until enough came together"
        if not self.alike:
            return "single rows are answered one by one: in company the last bits differ"
        how = "together" if self.pays else "one by one"
        share = self._together_ns / self._alone_ns
        return f"single rows that come together are answered {how}: that takes {share:.0%} of their time alone"
