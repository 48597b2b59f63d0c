"""What `reproduce` and `upgrade-check` answer."""

from __future__ import annotations

from typing import Literal

import msgspec

from sampan.core.answers import Answer
from sampan.workspace.columns import align

Verdict = Literal["bit-equal", "within tolerance", "different"]


class Compared(msgspec.Struct, frozen=True):
    """One node of the way from data to predictions, then and now."""

    node: str  # data flights | features | rows | encoders | model | predictions
    same: bool
    what: str


class Reproduced(Answer, frozen=True, kw_only=True):
    """Whether a training, replayed, gives a model that answers the same."""

    model: str
    verdict: Verdict
    n_probe: int
    n_moved: int
    max_difference: float
    mean_difference: float
    tolerance: float
    nodes: tuple[Compared, ...]
    diverges_at: str = ""
    likely_cause: str = ""
    environment: tuple[str, ...] = ()  # how the environment of the replay differs from the recorded one
    rebuilt: bool = False
    reproduction: str = ""
    seconds: float = 0.0

    def text(self) -> str:
        """Show the way node by node, then the verdict."""
        head = f"{self.model}: {self.verdict}"
        if self.verdict != "bit-equal":
            head += f", {self.n_moved:,} of {self.n_probe:,} predictions moved, at most by {self.max_difference:.3g}"
        lines = [head, align(("node", "", "what"), [(each.node, "same" if each.same else "differs", each.what) for each in self.nodes])]
        if self.diverges_at:
            lines.append(f"it first diverges at {self.diverges_at}; {self.likely_cause}")
        where = "the recorded environment, rebuilt" if self.rebuilt else "a clean process of the present environment"
        lines.append(f"replayed in {where} in {self.seconds:.1f} s; {self.n_probe:,} pinned rows compared")
        return "\n".join([*lines, *(f"  environment: {line}" for line in self.environment)])

    def exit_code(self) -> int:
        """Return 3 where it answers differently: the tool works, the model said no."""
        return 3 if self.verdict == "different" else 0


class Moved(Answer, frozen=True, kw_only=True):
    """What a changed library does to a model's predictions."""

    model: str
    changed: tuple[str, ...]
    n_probe: int
    n_moved: int
    max_difference: float
    mean_difference: float
    quantiles: dict[str, float]
    seconds: float

    def text(self) -> str:
        """Say how many predictions move and by how much."""
        if not self.n_moved:
            return f"{self.model} with {', '.join(self.changed)}: none of {self.n_probe:,} predictions moves"
        spread = ", ".join(f"{name} {value:.3g}" for name, value in self.quantiles.items())
        return (
            f"{self.model} with {', '.join(self.changed)}: {self.n_moved:,} of {self.n_probe:,} predictions move,"
            f" by {self.mean_difference:.3g} on average, at most {self.max_difference:.3g} ({spread})"
        )
