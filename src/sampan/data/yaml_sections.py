"""Read YAML a person wrote: every fault with its line, unknown keys with the nearest known one, all faults in one error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from sampan.core.refs import nearest
from sampan.errors import ProjectFileError

_WORDS = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong on which line, at which key."""

    line: int
    key: str
    what: str


class Faults:
    """The faults of one file, collected and raised once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[Fault] = []

    def add(self, line: int, key: str, what: str) -> None:
        """Note a fault."""
        self.found.append(Fault(line, key, what))

    def raise_any(self) -> None:
        """Raise one ProjectFileError that lists every fault, if there is one."""
        if not self.found:
            return
        faults = sorted(self.found, key=lambda f: f.line)
        lines = [f"line {f.line}: {f.what}" for f in faults]
        head = f"{self.file}, {lines[0]}" if len(lines) == 1 else f"{self.file} has {len(lines)} faults:\n  " + "\n  ".join(lines)
        raise ProjectFileError(head, file=self.file, line=faults[0].line, key=faults[0].key, hint=f"mend {self.file} and try again")


class Section:
    """A YAML mapping with its lines. Take what you know; `finish` notes the keys nobody took."""

    def __init__(self, node: yaml.MappingNode, faults: Faults, path: str = "") -> None:
        self.faults = faults
        self.path = path
        self.line = node.start_mark.line + 1
        self._values: dict[str, yaml.Node] = {}
        self._lines: dict[str, int] = {}
        self._taken: set[str] = set()
        for key_node, value in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in self._values:
                faults.add(line, self._at(key), f"{key!r} stands twice; first on line {self._lines[key]}")
            self._values[key], self._lines[key] = value, line

    def line_of(self, key: str) -> int:
        """Return the line of a key, or of the section where the key is absent."""
        return self._lines.get(key, self.line)

    def fault(self, key: str, what: str) -> None:
        """Note a fault at a key."""
        self.faults.add(self.line_of(key), self._at(key), what)

    def text(self, key: str, default: str = "", *, required: bool = False, choices: Iterable[str] = ()) -> str:
        """Take a text; one of `choices` if given."""
        value = self._take(key, (str,), required=required)
        if value is None:
            return default
        known = tuple(choices)
        if known and value not in known:
            close = nearest(value, known)
            self.fault(key, f"{key} is {value!r}; " + (f"did you mean {close[0]}?" if close else "one of " + ", ".join(known)))
            return default
        return str(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Take true or false."""
        value = self._take(key, (bool,))
        return default if value is None else bool(value)

    def number(self, key: str, *, required: bool = False) -> float | int | None:
        """Take a number."""
        value = self._take(key, (int, float), required=required)
        return value if isinstance(value, int | float) else None

    def anything(self, key: str) -> Any:
        """Take whatever stands there."""
        return self._take(key, ())

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a list of texts; one text alone counts as a list of one."""
        value = self._take(key, (str, list))
        if isinstance(value, str):
            return (value,)
        if value is None:
            return ()
        if not all(isinstance(v, str) for v in value):
            self.fault(key, f"{key} holds something that is not text; write '…' around it")
        return tuple(str(v) for v in value)

    def sections(self, key: str) -> list[Section]:
        """Take a list of mappings."""
        self._taken.add(key)
        node = self._values.get(key)
        if node is None or (isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "~")):
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.fault(key, f"{key} must be a list")
            return []
        found = []
        for i, item in enumerate(node.value):
            if isinstance(item, yaml.MappingNode):
                found.append(Section(item, self.faults, f"{self._at(key)}[{i}]"))
            else:
                self.faults.add(item.start_mark.line + 1, self._at(key), f"{key} must hold mappings, not {item.value!r}")
        return found

    def section(self, key: str) -> Section | None:
        """Take a mapping."""
        self._taken.add(key)
        node = self._values.get(key)
        if node is None:
            return None
        if isinstance(node, yaml.MappingNode):
            return Section(node, self.faults, self._at(key))
        self.fault(key, f"{key} must be a mapping")
        return None

    def whole(self) -> dict[str, Any]:
        """Take every key, taken or not."""
        return {key: self._take(key, ()) for key in self._values}

    def rest(self) -> dict[str, Any]:
        """Take every key not taken yet."""
        return {key: self._take(key, ()) for key in self._values if key not in self._taken}

    def keep(self, keys: Iterable[str]) -> dict[str, Any]:
        """Take those of `keys` that are there, as they are."""
        return {key: self._take(key, ()) for key in keys if key in self._values}

    def finish(self) -> None:
        """Note each key that was not taken, with the nearest that would have been."""
        for key in self._values:
            if key not in self._taken:
                close = nearest(key, self._taken, n=1)
                self.fault(key, f"unknown key {key!r}" + (f"; did you mean {close[0]}?" if close else ""))

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _take(self, key: str, kinds: tuple[type, ...], *, required: bool = False) -> Any:
        self._taken.add(key)
        node = self._values.get(key)
        if node is None:
            if required:
                self.faults.add(self.line, self._at(key), f"{key} is missing")
            return None
        try:
            value = _construct(node)
        except (yaml.YAMLError, ValueError):  # a tag nobody knows, or a date like 2024-13-01
            self.fault(key, f"{key} cannot be read as a value; write '…' around it")
            return None
        if value is None and not required:
            return None
        right = not kinds or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)))
        if not right:
            wanted = " or ".join(dict.fromkeys(_WORDS[k] for k in kinds if k is not int or float not in kinds))
            self.fault(key, f"{key} must be {wanted}, not {value!r}")
            return None
        return value


def read_yaml(text: str, file: str) -> tuple[Section, Faults]:
    """Parse a file that is one mapping.

    Raises
    ------
    ProjectFileError : not YAML, empty, or not a mapping; names the line.
    """
    try:
        node = yaml.compose(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(cause, "problem", None) or str(cause)
        raise ProjectFileError(
            f"{file}, line {line}: not YAML: {problem}", file=file, line=line, hint="check indentation and quotes"
        ) from cause
    if not isinstance(node, yaml.MappingNode):
        raise ProjectFileError(f"{file} is empty or no mapping of keys to values", file=file, line=1, hint="write `key: value` lines")
    faults = Faults(file)
    return Section(node, faults), faults


def _construct(node: yaml.Node) -> Any:
    return yaml.constructor.SafeConstructor().construct_object(node, deep=True)
