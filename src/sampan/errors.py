"""Every error Sampan raises on purpose. Anything else that escapes is a bug.

SampanError(message, hint)                                                            exit  HTTP
├ UsageError ─ ProjectFileError · ParameterError · DataFormatError · NotFound · AmbiguousRef    2   400/404
│              MethodRefused · TooLarge                                               2   405/413
├ Rejected ── ContractViolated · GateRejected · PolicyRefused · BudgetExceeded · StoryFailed    3   422
├ StepFailed                                 user code raised                         4   500
├ ModelFailed                                a served model raised                    4   500
├ Conflict ── AlreadyExists · StaleState · Immutable · EditConflict                   5   409
├ AccessDenied ─ NotSignedIn                                                          6   403/401
├ Unavailable ─ StoreUnavailable · BlobUnavailable · ExecutorLost                     7   503
│               TooManyRequests · DeadlineExceeded                                    7   429/504
├ IntegrityError                             bytes do not match their digest          8   500
└ MissingDependency · Unsupported                                                     9   501

A message says what is wrong with which value; the hint says what to do. `code` is stable and documented in docs/reference/errors.md.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import would cost a start of the command as much as Python itself
if TYPE_CHECKING:
    from typing import ClassVar


class SampanError(Exception):
    """Base of all errors a user can act on."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders (pool workers, servers); keyword-only arguments would be lost by the default.
        return _rebuild, (type(self), dict(self.__dict__))

    def details(self) -> dict[str, object]:
        """Return the fields a program may want, as JSON-able values, beside code, message and hint."""
        return {k: v for k, v in self.__dict__.items() if k not in ("message", "hint") and not k.startswith("_")}


def _rebuild(kind: type[SampanError], fields: dict[str, object]) -> SampanError:
    error = kind.__new__(kind)
    Exception.__init__(error, fields.get("message", ""))
    error.__dict__.update(fields)
    return error


class UsageError(SampanError):
    """The request cannot be understood or names something that does not exist."""

    code = "usage"
    exit_code = 2
    http_status = 400


class ProjectFileError(UsageError):
    """A fault in `sampan.toml`, a contract or another file a person wrote. Several faults of one file come in one error."""

    code = "project_file"

    def __init__(self, message: str, *, file: str, line: int | None = None, key: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line
        self.key = key


class ParameterError(UsageError):
    """An argument has a value that cannot be used. `parameter` names it where that is known."""

    code = "parameter"

    def __init__(self, message: str, *, parameter: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.parameter = parameter


class DataFormatError(UsageError):
    """A source cannot be read as a table. `source` and, where known, `line` say where."""

    code = "data_format"

    def __init__(self, message: str, *, source: str, line: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.source = source
        self.line = line


class NotFound(UsageError):
    """Nothing has that name. `did_you_mean` lists the nearest names."""

    code = "not_found"
    http_status = 404

    def __init__(self, message: str, *, did_you_mean: tuple[str, ...] = (), hint: str = "") -> None:
        if did_you_mean and not hint:
            hint = "did you mean " + " or ".join(did_you_mean) + "?"
        super().__init__(message, hint=hint)
        self.did_you_mean = did_you_mean


class AmbiguousRef(UsageError):
    """A reference fits several things; `candidates` are the references that fit one each."""

    code = "ambiguous_ref"

    def __init__(self, message: str, *, candidates: tuple[str, ...], hint: str = "") -> None:
        super().__init__(message, hint=hint or "say which: " + ", ".join(candidates))
        self.candidates = candidates


class MethodRefused(UsageError):
    """A path exists, but not for this HTTP method."""

    code = "method"
    http_status = 405


class TooLarge(UsageError):
    """A request's body is over the limit."""

    code = "too_large"
    http_status = 413


class Rejected(SampanError):
    """Sampan works; your data or your model was said no to, with reasons."""

    code = "rejected"
    exit_code = 3
    http_status = 422

    def __init__(self, message: str, *, reasons: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reasons = reasons


class ContractViolated(Rejected):
    """Data broke a blocking rule of its contract."""

    code = "contract_violated"


class BudgetExceeded(Rejected):
    """What was built does not fit its budget; `measured` says what it takes."""

    code = "budget_exceeded"

    def __init__(self, message: str, *, measured: dict[str, float], reasons: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, reasons=reasons, hint=hint)
        self.measured = measured


class GateRejected(Rejected):
    """A model did not pass its gate."""

    code = "gate_rejected"


class PolicyRefused(Rejected):
    """A rule forbids this use. `rule` and `owner` say which rule and who may change it; `reasons` are all, where there are several."""

    code = "policy_refused"

    def __init__(self, message: str, *, rule: str, owner: str, reasons: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__(message, reasons=reasons, hint=hint or f"ask {owner}")
        self.rule = rule
        self.owner = owner


class StoryFailed(Rejected):
    """An example's own truth did not hold on this run."""

    code = "story_failed"


class StepFailed(SampanError):
    """A step's own code raised. `trace` is the part of the traceback inside the user's code."""

    code = "step_failed"
    exit_code = 4

    def __init__(self, message: str, *, step: str, trace: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.trace = trace


class ModelFailed(SampanError):
    """A model that serves raised on a request, or answered with no number. Its neighbors go on."""

    code = "model_failed"
    exit_code = 4
    http_status = 500


class Conflict(SampanError):
    """Someone else changed the same thing first, or it may not change."""

    code = "conflict"
    exit_code = 5
    http_status = 409


class AlreadyExists(Conflict):
    """A new thing has a name that is taken."""

    code = "already_exists"


class StaleState(Conflict):
    """A compare-and-set found another value than expected."""

    code = "stale_state"

    def __init__(self, message: str, *, expected: str = "", actual: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.expected = expected
        self.actual = actual


class Immutable(Conflict):
    """A version's content was about to be changed."""

    code = "immutable"


class EditConflict(Conflict):
    """A dataset was edited meanwhile in what this edit changes, too. `versions` did so; `rows` or `columns` say where they meet."""

    code = "edit_conflict"

    def __init__(
        self,
        message: str,
        *,
        versions: tuple[str, ...],
        columns: tuple[str, ...] = (),
        rows: tuple[dict[str, object], ...] = (),
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.versions = versions
        self.columns = columns
        self.rows = rows


class AccessDenied(SampanError):
    """The caller has no right to do this."""

    code = "access_denied"
    exit_code = 6
    http_status = 403


class NotSignedIn(AccessDenied):
    """The caller has not said who they are."""

    code = "not_signed_in"
    http_status = 401


class Unavailable(SampanError):
    """Something outside the program does not answer now."""

    code = "unavailable"
    exit_code = 7
    http_status = 503
    retryable: ClassVar[bool] = True


class TooManyRequests(Unavailable):
    """A caller sends more than its rate allows."""

    code = "too_many_requests"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(Unavailable):
    """A request was not answered by the time it named, or the server's own."""

    code = "deadline_exceeded"
    http_status = 504


class StoreUnavailable(Unavailable):
    """The database or the store's folder cannot be used: full, read-only, locked, unreachable or of a newer program."""

    code = "store_unavailable"


class StoreUnreachable(StoreUnavailable):
    """The database does not answer: its server or the network is down. The same request may succeed later."""

    code = "store_unreachable"


class BlobUnavailable(Unavailable):
    """An object that should be in the store is not there."""

    code = "blob_unavailable"


class ExecutorLost(Unavailable):
    """A worker died before it returned a step's outcome."""

    code = "executor_lost"


class IntegrityError(SampanError):
    """Bytes do not match their digest, or a chain of records is broken."""

    code = "integrity"
    exit_code = 8

    def __init__(self, message: str, *, expected: str = "", actual: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.expected = expected
        self.actual = actual


class MissingDependency(SampanError):
    """An optional package is needed and not installed."""

    code = "missing_dependency"
    exit_code = 9
    http_status = 501

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(f"{package} is not installed", hint=f"pip install 'sampan[{extra}]'")
        self.package = package
        self.extra = extra


class Unsupported(SampanError):
    """A kind of thing cannot do what was asked of it."""

    code = "unsupported"
    exit_code = 9
    http_status = 501
