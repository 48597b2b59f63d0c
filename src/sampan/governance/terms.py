"""Terms: what is said of a dataset's use (owner, purposes, lawful bases, regions, time, licence) and of each of its columns.

Only what is said binds. Terms come from several places (a project file, a contract, a verb, Python), and all of them hold at once:
`strictest` folds them for a reader, `sampan.governance.uses` judges each by itself, so that a refusal can name who said so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final, Literal

import msgspec

from sampan.core.refs import nearest
from sampan.errors import ParameterError

Action = Literal["drop", "mask", "pseudonym", "generalize", "encrypt"]
ACTIONS: Final[tuple[str, ...]] = ("drop", "mask", "pseudonym", "generalize", "encrypt")
# General Data Protection Regulation, article 6 (1); the Vietnamese decree 13/2023/ND-CP knows the same but for the last.
BASES: Final = ("consent", "contract", "legal-obligation", "vital-interests", "public-task", "legitimate-interests")
CLASSES: Final = (
    "name",
    "email",
    "phone",
    "address",
    "national-id",
    "tax-id",
    "passport",
    "card",
    "bank-account",
    "ip",
    "plate",
    "birth-date",
    "free-text",  # sentences in which personal data may stand; masking takes out what is found in them
    "other",
)
EVERY: Final = "*"  # among lawful bases: for every purpose
DEFAULT_K: Final = 5


class ColumnTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is said of one column."""

    pii: str = ""  # the class of personal data in it, one of CLASSES
    protected: bool = False  # reaches evaluation, by groups, and never the learner
    purposes: tuple[str, ...] = ()  # fewer than the dataset's
    action: str = ""  # what admission does to it, one of ACTIONS


class Terms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is said of one dataset by one source. Empty = not said."""

    owner: str = ""
    ask: str = ""  # how to ask the owner: an address, a form
    license: str = ""  # its SPDX name, such as CC-BY-NC-4.0
    conditions: str = ""  # terms in words
    purposes: tuple[str, ...] = ()  # the only ones it may be used for; a purpose covers those below it: research covers research/churn
    not_for: tuple[str, ...] = ()
    bases: dict[str, str] = {}  # purpose -> lawful basis; "*" = for every purpose
    regions: tuple[str, ...] = ()  # the only ones it may be processed in
    expires: str = ""  # the first day on which it may not be used any more, 2027-01-01
    keep_days: int | None = None  # a version may be used for so many days after it was admitted
    k: int | None = None  # of the k-anonymity that `generalize` gives
    columns: dict[str, ColumnTerms] = {}

    def column(self, name: str) -> ColumnTerms:
        """Return what is said of a column; nothing, where nothing is."""
        return self.columns.get(name, _NOTHING)

    def personal(self) -> dict[str, str]:
        """Return the class of personal data of each column that has one."""
        return {name: column.pii for name, column in self.columns.items() if column.pii}

    def protected(self) -> tuple[str, ...]:
        """Return the columns that never reach the learner."""
        return tuple(name for name, column in self.columns.items() if column.protected)


_NOTHING: Final = ColumnTerms()


def faults_of(terms: Terms, *, columns: Iterable[str] | None = None) -> Iterator[str]:
    """Find what cannot be meant: an unknown basis, class, action or column, a date that is none, a limit below 1.

    Parameters
    ----------
    columns : the columns there are, where that is known
    """
    for purpose, basis in terms.bases.items():
        yield from _unknown(f"the lawful basis for {purpose}", basis, BASES)
    for field in _TEXTS:
        if not isinstance(getattr(terms, field), str):
            yield f"{field} is {getattr(terms, field)!r}, expected text"
    if isinstance(terms.expires, str) and terms.expires and not _is_date(terms.expires):
        yield f"expires is {terms.expires!r}, no date such as 2027-01-31"
    for field, least, why in (("keep_days", 1, ""), ("k", 2, ": a smaller group hides nobody")):
        number = getattr(terms, field)
        if number is not None and (type(number) is not int or number < least):
            yield f"{field} is {number!r}, expected a whole number from {least} on{why}"
    known = None if columns is None else list(columns)
    for name, column in terms.columns.items():
        if known is not None and name not in known:
            yield from _unknown("column", name, known)
        if column.pii:
            yield from _unknown(f"the class of {name}", column.pii, CLASSES)
        if column.action:
            yield from _unknown(f"the action on {name}", column.action, ACTIONS)


def strictest(many: Iterable[Terms]) -> Terms:
    """Fold terms that hold together into one for a reader: what all allow, what any forbids, the earliest end.

    Where two name different purposes or regions and share none, nothing is allowed any more: the result says so by the purpose "(none)".
    """
    given = list(many)
    columns: dict[str, ColumnTerms] = {}
    for terms in given:
        for name, column in terms.columns.items():
            columns[name] = _both(columns[name], column) if name in columns else column
    return Terms(
        owner=_first(terms.owner for terms in given),
        ask=_first(terms.ask for terms in given),
        license=" and ".join(dict.fromkeys(terms.license for terms in given if terms.license)),
        conditions="; ".join(dict.fromkeys(terms.conditions for terms in given if terms.conditions)),
        purposes=_common(terms.purposes for terms in given),
        not_for=tuple(dict.fromkeys(purpose for terms in given for purpose in terms.not_for)),
        bases={purpose: basis for terms in reversed(given) for purpose, basis in terms.bases.items()},
        regions=_common(terms.regions for terms in given),
        expires=min((terms.expires for terms in given if terms.expires), default="", key=date.fromisoformat),
        keep_days=min((terms.keep_days for terms in given if terms.keep_days is not None), default=None),
        k=max((terms.k for terms in given if terms.k is not None), default=None),
        columns=columns,
    )


def covers(allowed: str, purpose: str) -> bool:
    """Say whether a purpose is another or lies below it.

    >>> covers("research", "research/churn"), covers("research", "researching"), covers("research/churn", "research")
    (True, False, False)
    """
    return purpose == allowed or purpose.startswith(f"{allowed}/")


NONE_LEFT: Final = "(none)"


def _common(many: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    said = [each for each in many if each]
    if not said:
        return ()
    left = said[0]
    for each in said[1:]:
        narrower = [one for one in left if any(covers(other, one) for other in each)]
        narrower += [other for other in each if any(covers(one, other) for one in left)]
        left = tuple(dict.fromkeys(narrower))
    return left or (NONE_LEFT,)


def _both(one: ColumnTerms, other: ColumnTerms) -> ColumnTerms:
    return ColumnTerms(
        pii=one.pii or other.pii,
        protected=one.protected or other.protected,
        purposes=_common((one.purposes, other.purposes)),
        action=_harder(one.action, other.action),
    )


# What takes more of a value away wins where two actions are said.
_HARDNESS: Final = ("", "encrypt", "pseudonym", "mask", "generalize", "drop")


def _harder(one: str, other: str) -> str:
    return max(one, other, key=_HARDNESS.index)


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")


def _unknown(what: str, word: str, known: Iterable[str]) -> Iterator[str]:
    words = list(known)
    if word not in words:
        close = nearest(word, words, n=1)
        yield f"{what} is {word!r}" + (f", did you mean {close[0]}?" if close else "; one of " + ", ".join(words[:20]))


def _is_date(text: str) -> bool:
    """Say whether a text is a day as days are compared, letter by letter: 20270131 is a day of the standard, and would come after all."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def terms(
    *,
    owner: str = "",
    ask: str = "",
    license: str = "",  # noqa: A002  # the field's word
    conditions: str = "",
    purposes: Sequence[str] = (),
    not_for: Sequence[str] = (),
    bases: Mapping[str, str] | None = None,
    regions: Sequence[str] = (),
    expires: str = "",
    keep_days: int | None = None,
    k: int | None = None,
    pii: Mapping[str, str] | None = None,
    protected: Sequence[str] = (),
    actions: Mapping[str, str] | None = None,
    column_purposes: Mapping[str, str] | None = None,
) -> Terms:
    """Say what a dataset may be used for, for `sp.dataset` and `sp.data`; the words are those of `sampan policy set`.

    Raises
    ------
    ParameterError : they cannot be meant; every fault at once.

    >>> terms(owner="ana", purposes=["churn"], protected=["sex"]).protected()
    ('sex',)
    """
    made = from_flat({name: value for name, value in locals().items() if value is not None})
    if faults := list(faults_of(made)):
        raise ParameterError("; ".join(faults), hint="sampan policy set --help lists the words")
    return made


def from_flat(said: Mapping[str, Any]) -> Terms:
    """Build terms from flat keys, as a project file or a command has them: columns by `pii`, `protected`, `actions`, `column_purposes`.

    One word may stand for a list of one, and several in one text are parted by commas.

    Raises
    ------
    ParameterError : what is said is no text, no list of texts, or not said by name; every fault at once.
    """
    if faults := [*_faults_of_shape(said)]:
        raise ParameterError("; ".join(faults), hint="sampan policy set --help lists the words")
    pii: Mapping[str, str] = said.get("pii") or {}
    actions: Mapping[str, str] = said.get("actions") or {}
    narrower: Mapping[str, Any] = said.get("column_purposes") or {}
    protected = _words(said.get("protected") or ())
    names = dict.fromkeys((*pii, *protected, *actions, *narrower))
    columns = {
        name: ColumnTerms(
            pii=pii.get(name, ""),
            protected=name in protected,
            action=actions.get(name, ""),
            purposes=_words(narrower.get(name, ())),
        )
        for name in names
    }
    plain = {field: said[field] for field in _PLAIN if said.get(field) not in (None, "")}
    if isinstance(plain.get("expires"), date):  # what YAML and Python make of an unquoted day
        plain["expires"] = plain["expires"].strftime("%Y-%m-%d")
    lists: dict[str, Any] = {field: _words(said.get(field) or ()) for field in ("purposes", "not_for", "regions")}
    return Terms(**plain, **lists, bases=dict(said.get("bases") or {}), columns=columns)


_TEXTS: Final = ("owner", "ask", "license", "conditions", "expires")
_PLAIN: Final = (*_TEXTS, "keep_days", "k")
_LISTS: Final = ("purposes", "not_for", "regions", "protected")
_BY_NAME: Final = {"bases": "churn=consent", "pii": "mail=email", "actions": "mail=mask", "column_purposes": "income=credit"}


def _faults_of_shape(said: Mapping[str, Any]) -> Iterator[str]:
    for field in _LISTS:
        value = said.get(field) or ()
        if not isinstance(value, str) and not (isinstance(value, list | tuple) and all(isinstance(word, str) for word in value)):
            yield f"{field} is {value!r}, expected a list of texts"
    for field, example in _BY_NAME.items():
        if not isinstance(said.get(field) or {}, Mapping):
            yield f"{field} is {said[field]!r}, expected each by its name, such as {example}"
    narrower = said.get("column_purposes") or {}
    for name, value in narrower.items() if isinstance(narrower, Mapping) else ():
        if not isinstance(value, str | list | tuple):
            yield f"the purposes of {name} are {value!r}, expected a list of texts"


def _words(value: Any) -> tuple[str, ...]:
    return tuple(word.strip() for text in ([value] if isinstance(value, str) else value) for word in text.split(",") if word.strip())
