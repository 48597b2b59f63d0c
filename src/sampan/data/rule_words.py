"""Rules in the words a person who owns the data would use."""

from __future__ import annotations

from sampan.data.contract import (
    AllowedValues,
    AnyRule,
    Bound,
    Condition,
    Contract,
    Custom,
    Distribution,
    Freshness,
    Length,
    NullShare,
    NullTogether,
    Pattern,
    Query,
    Range,
    Reference,
    RowCount,
    RowRule,
    Scalar,
    Stated,
    Statistic,
    Unique,
    options_not_held,
)

_MOST_VALUES = 8
_STATISTICS = {
    "std": "the standard deviation",
    "n_distinct": "the number of distinct values",
    "distinct_share": "the share of distinct values",
}


def describe(rule: AnyRule) -> str:
    """Say a rule in words.

    >>> describe(Range(column="age", minimum=0, maximum=120))
    'age is between 0 and 120'
    """
    told = _of_the_table(rule) or _of_rows(rule)
    if not isinstance(rule, RowRule) or not (rule.tolerance or rule.tolerated):
        return told
    return f"{told}, in all but " + (f"{rule.tolerated:,} rows" if rule.tolerated else f"{rule.tolerance:.2%} of the rows")


def unjudged(contract: Contract) -> tuple[str, ...]:
    """Say what the contract holds beside the rules that are judged: sentences for people, rules of other tools, service levels."""
    stated = [describe(rule) for rule in contract.rules if isinstance(rule, Stated)]
    levels = list(dict.fromkeys(str(level.get("property")) for level in contract.other.get("slaProperties", [])))
    options = [f"{column.name} ({', '.join(left)})" for column in contract.columns if (left := options_not_held(column))]
    return (
        *stated,
        *([f"the service levels {', '.join(levels)}"] if levels else []),
        *([f"the type options of {', '.join(options)}"] if options else []),
    )


def _of_rows(rule: AnyRule) -> str:
    match rule:
        case AllowedValues(column=column, values=values, forbidden=forbidden):
            shown = ", ".join(map(_value, values[:_MOST_VALUES])) + (f" … ({len(values)} values)" if len(values) > _MOST_VALUES else "")
            return f"{column} is {'none' if forbidden else 'one'} of {shown}"
        case Range(column=column, minimum=low, maximum=high, beyond=beyond):
            return f"{column} is {_between(low, high, beyond)}"
        case Length(column=column, minimum=low, maximum=high) if low == high:
            return f"{column} has {low} characters"
        case Length(column=column, minimum=low, maximum=high):
            return f"{column} has {_between(low, high)} characters"
        case Pattern(column=column, pattern=pattern):
            return f"{column} looks like {pattern}"
        case Unique(columns=columns):
            return f"{' + '.join(columns)} is unique"
        case NullTogether(columns=columns):
            return f"{', '.join(columns)} are missing together or not at all"
        case Condition(sql=sql):
            return f"{sql} holds"
        case Reference(columns=columns, table=table, to_columns=to):
            return f"{' + '.join(columns)} is found in {table} ({' + '.join(to)})"
        case Custom(column=column, name=name):
            return f"{column or 'every row'} passes {name}"
    raise AssertionError(rule)


def _of_the_table(rule: AnyRule) -> str:
    match rule:
        case Stated(column=column, engine=engine, entry=entry):
            said = str(entry.get("description") or entry.get("name") or entry.get("implementation") or "a rule without words").strip()
            about = f"{column}: " if column else ""
            return f"{about}{said.splitlines()[0]} ({f'a rule of {engine}' if engine else 'for people'})"
        case NullShare(column=column, max_share=share, tolerated=rows, also=also):
            spelled = f" ({', '.join(map(repr, also))} count as missing)" if also else ""
            if rows:
                return f"{column} is missing in at most {rows:,} rows" + spelled
            return (f"{column} is never missing" if not share else f"{column} is missing in at most {share:.2%} of the rows") + spelled
        case RowCount(minimum=1, maximum=None):
            return "the table has rows"
        case RowCount(minimum=low, maximum=high):
            return f"the table has {_between(low, high)} rows"
        case Query(sql=sql, minimum=low, maximum=high, beyond=beyond):
            return f"{sql} is {_between(low, high, beyond)}"
        case Statistic(column=column, statistic=statistic, minimum=low, maximum=high):
            return f"{_STATISTICS.get(statistic, f'the {statistic}')} of {column} is {_between(low, high)}"
        case Distribution(column=column, max_distance=distance):
            return f"{column} is distributed as in its reference, up to {distance:g}"
        case Freshness(column=column, max_hours=hours):
            return f"the newest {column} is at most {hours:g} hours old"
    return ""


def _value(value: Scalar) -> str:
    """Write a value, in quotes where nobody would see where it ends."""
    text = str(value)
    return text if text and text == text.strip() and "," not in text else repr(text)


def _between(low: Bound, high: Bound, beyond: tuple[str, ...] = ()) -> str:
    if low is not None and low == high:
        return _bound(low)
    least = f"{'above' if 'minimum' in beyond else 'at least'} {_bound(low)}"
    most = f"{'below' if 'maximum' in beyond else 'at most'} {_bound(high)}"
    if low is None or high is None:
        return most if low is None else least
    return f"{least} and {most}" if beyond else f"between {_bound(low)} and {_bound(high)}"


def _bound(value: Bound) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
