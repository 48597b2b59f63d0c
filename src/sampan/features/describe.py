"""Expressions in words, for errors, reports and pages."""

from __future__ import annotations

from sampan.features.moments import HOUR, MINUTE
from sampan.features.nodes import Apply, AsOf, Column, Literal, Lookup, Match, Moment, Node, Past, Planned


def describe(node: Node) -> str:
    """Write a tree as a person would."""
    match node:
        case Column():
            return node.name
        case Literal():
            return repr(int(node.value) if isinstance(node.value, float) and node.value.is_integer() else node.value)
        case Moment():
            return "moment of prediction"
        case Apply():
            return _describe_apply(node)
        case Lookup():
            return f"{node.table}[{_keys(node.keys)}].{node.column}"
        case AsOf():
            return f"{node.table}[{_keys(node.keys)}].{node.column} as of {describe(node.at)}"
        case Planned():
            return f"planned rows of {node.table}[{_keys(node.keys)}]"
        case Past():
            span = "all time" if node.window_ms is None else _span(node.window_ms)
            return f"{node.stat} of {describe(node.value)} by {', '.join(map(describe, node.by))} over {span}"


_SIGNS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
    "and": "&",
    "or": "|",
}


def _describe_apply(node: Apply) -> str:
    parts = [describe(a) for a in node.args]
    if node.op in _SIGNS:
        return f"({parts[0]} {_SIGNS[node.op]} {parts[1]})"
    constants = [repr(v) for v in node.values]
    return f"{node.op}({', '.join(parts + (constants if len(constants) < 6 else [f'{len(constants)} values']))})"


def _keys(keys: tuple[Match, ...]) -> str:
    return ", ".join(f"{m.column}={describe(m.value)}" for m in keys)


def _span(span_ms: float) -> str:
    hours = span_ms / HOUR
    return f"{hours / 24:g} days" if hours >= 48 else f"{hours:g} hours" if hours >= 1 else f"{span_ms / MINUTE:g} minutes"
