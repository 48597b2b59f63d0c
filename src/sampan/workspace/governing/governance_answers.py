"""What the policy room answers."""

from __future__ import annotations

from typing import Final

import msgspec

from sampan.core.answers import Answer
from sampan.errors import PolicyRefused
from sampan.workspace.columns import align


class Statement(msgspec.Struct, frozen=True):
    """One thing that is said of an asset, and who said it where."""

    what: str
    value: str
    said_by: str


class ColumnStatement(msgspec.Struct, frozen=True):
    """What is said of a column."""

    column: str
    pii: str = ""
    protected: bool = False
    action: str = ""
    purposes: tuple[str, ...] = ()


class LeaveLine(msgspec.Struct, frozen=True):
    """Leave that was given."""

    ref: str
    dataset: str
    to: str
    purpose: str
    region: str
    columns: tuple[str, ...]
    reason: str
    until: str
    by: str
    state: str  # active | ended | revoked


class RequestLine(msgspec.Struct, frozen=True):
    """Leave that was asked for."""

    ref: str
    dataset: str
    by: str
    purpose: str
    columns: tuple[str, ...]
    reason: str
    asked: str
    state: str  # open | granted | declined


class PolicyShown(Answer, frozen=True, kw_only=True):
    """What something may be used for, who said so, and how to ask."""

    ref: str
    kind: str
    owner: str
    how_to_ask: str
    statements: tuple[Statement, ...] = ()
    columns: tuple[ColumnStatement, ...] = ()
    origins: tuple[str, ...] = ()  # the named things whose terms it carries
    leaves: tuple[LeaveLine, ...] = ()
    requests: tuple[RequestLine, ...] = ()
    allowed_now: bool = True
    refused: tuple[str, ...] = ()
    untreated: tuple[str, ...] = ()  # columns of this version that were admitted before their action was declared
    unknown: tuple[str, ...] = ()  # columns of which something is said and that this version does not have

    def text(self) -> str:
        """Show what is said, by whom, and whether this project may use it now."""
        lines = [f"{self.ref}: " + ("this project may use it" if self.allowed_now else "this project may not use it now")]
        lines += [f"  no: {reason}" for reason in self.refused]
        if self.statements:
            lines.append(align(("what", "value", "said by"), [(s.what, s.value, s.said_by) for s in self.statements]))
        else:
            lines.append("  nothing is said of its use")
        if self.columns:
            rows = [(c.column, c.pii, "protected" if c.protected else "", c.action, ", ".join(c.purposes)) for c in self.columns]
            lines.append(align(("column", "personal data", "learner", "at admission", "only for"), rows))
        if self.untreated:
            lines.append(f"  {', '.join(self.untreated)}: in this version as they came; the action holds from the next admission on")
        if self.unknown:
            lines.append(f"  {', '.join(self.unknown)}: no column of this version; what is said of it binds nothing")
        lines += [f"  leave {leave_text(leave)}" for leave in self.leaves]
        lines += [f"  asked {each.ref}: {each.by} for {each.purpose or 'any purpose'}: {each.reason}" for each in self.requests]
        if self.origins:
            lines.append(f"  carries the terms of {', '.join(self.origins)}")
        return "\n".join([*lines, f"  owner {self.owner or '(nobody)'}; {self.how_to_ask}"])


class PolicyLine(msgspec.Struct, frozen=True):
    """One dataset in the list."""

    name: str
    owner: str
    purposes: tuple[str, ...]
    regions: tuple[str, ...]
    expires: str
    n_personal: int
    n_protected: int
    n_leaves: int
    n_requests: int


class PolicyList(Answer, frozen=True, kw_only=True):
    """What the datasets may be used for."""

    policies: tuple[PolicyLine, ...]
    unknown: tuple[str, ...] = ()  # datasets that sampan.toml speaks of, and that are not here

    def text(self) -> str:
        """One line a dataset."""
        absent = [f"{name}: in sampan.toml, and no dataset has this name" for name in self.unknown]
        if not self.policies:
            return "\n".join(["no dataset yet", *absent])
        header = ("dataset", "owner", "only for", "only in", "until", "personal", "protected", "leaves", "asked")
        rows = [
            (
                p.name,
                p.owner,
                ", ".join(p.purposes),
                ", ".join(p.regions),
                p.expires,
                *map(str, (p.n_personal, p.n_protected, p.n_leaves, p.n_requests)),
            )
            for p in self.policies
        ]
        return "\n".join([align(header, rows, right=("personal", "protected", "leaves", "asked")), *absent])


class UseChecked(Answer, frozen=True, kw_only=True):
    """Whether a use is allowed."""

    ref: str
    allowed: bool
    purpose: str
    region: str
    refused: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def text(self) -> str:
        """Say yes, or every rule that says no."""
        use = ", ".join(
            each for each in (f"for {self.purpose}" if self.purpose else "", f"in {self.region}" if self.region else "") if each
        )
        head = f"{self.ref} {'may' if self.allowed else 'may not'} be used {use}".rstrip()
        return "\n".join([head, *(f"  {rule}: {reason}" for rule, reason in zip(self.rules, self.refused, strict=True))])

    def exit_code(self) -> int:
        """Exit as PolicyRefused does where the answer is no."""
        return 0 if self.allowed else PolicyRefused.exit_code


class Leave(Answer, frozen=True, kw_only=True):
    """Leave that was given or taken back."""

    leave: LeaveLine
    did: str

    def text(self) -> str:
        """Say what was done."""
        return f"{self.did}: {leave_text(self.leave)}"


class Leaves(Answer, frozen=True, kw_only=True):
    """Leaves and open requests, newest first."""

    leaves: tuple[LeaveLine, ...]
    requests: tuple[RequestLine, ...]

    def text(self) -> str:
        """One line each."""
        lines = [f"{leave.dataset}  {leave.state:<8} {leave_text(leave)}" for leave in self.leaves]
        lines += [f"{each.dataset}  {each.state:<8} {each.ref}: {each.by} asks: {each.reason}" for each in self.requests]
        return "\n".join(lines) or "nobody was given or asked for leave"


class Asked(Answer, frozen=True, kw_only=True):
    """A request for leave."""

    request: RequestLine
    owner: str
    how_to_ask: str
    did: str = "asked"

    def text(self) -> str:
        """Say who has to answer it."""
        what = f"{self.request.ref}: {self.request.purpose or 'any purpose'}, because: {self.request.reason}"
        return f"{self.did} {what}\n  {self.owner or '(nobody)'} owns {self.request.dataset}; {self.how_to_ask}"


ANYONE: Final = "everyone"


def leave_text(leave: LeaveLine) -> str:
    """Say one leave in words."""
    parts = [f"{leave.ref} for {leave.to if leave.to != '*' else ANYONE}"]
    if leave.purpose:
        parts.append(f"for {leave.purpose}")
    if leave.region:
        parts.append(f"in {leave.region}")
    if leave.columns:
        parts.append(f"on {', '.join(leave.columns)}")
    return f"{', '.join(parts)}, until {leave.until}, by {leave.by}: {leave.reason}"
