"""What a Python caller may write for an operation's arguments: "july.csv" for a path, "id" for a list of one, 17 for a key's value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


def taking_plain_values(method: Method) -> Method:
    """Return a method that also takes plain values where its annotations say paths, lists of texts, or texts by name."""
    meant = {name: convert for name, said in method.__annotations__.items() if (convert := _MEANT.get(str(said).removesuffix(" | None")))}
    if not meant:
        return method
    places = method.__code__.co_varnames[1 : method.__code__.co_argcount]

    @functools.wraps(method)
    def called(self: Any, *given: Any, **options: Any) -> Any:
        placed = [meant[name](value) if name in meant else value for name, value in zip(places, given, strict=False)]
        named = {name: meant[name](value) if name in meant else value for name, value in options.items()}
        return method(self, *placed, *given[len(placed) :], **named)

    return called  # type: ignore[return-value]  # it takes what the method takes, and more


def _as_path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value


def _as_texts(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_texts_by_name(value: Any) -> Any:
    return {name: text if isinstance(text, str) else str(text) for name, text in value.items()} if isinstance(value, dict) else value


_MEANT: Final[dict[str, Callable[[Any], Any]]] = {
    "Path": _as_path,
    "Names": _as_texts,
    "list[str]": _as_texts,
    "Keys": _as_texts_by_name,
    "dict[str, str]": _as_texts_by_name,
}
