"""Change a YAML file that people edit: only what differs is written anew; comments, order and all that nobody asked about stay.

`merged` says what the file would hold: what is new where the old and the new differ, and what the file says everywhere else. `rewritten`
brings the text there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import yaml

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_FOLD = 140
_ABSENT = object()  # of a key that reading merged into another place: equal to nothing


def revise(text: str, before: Any, after: Any) -> str:
    """Return a file's text, changed in what `after` differs from `before`, which says what was understood of it."""
    node, held = _parsed(text)
    return _rewritten(text, node, held, merged(held, before, after))


def write_yaml(document: Any) -> str:
    """Write a document the same way every time."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_FOLD, default_flow_style=False)


class _Dumper(yaml.SafeDumper):
    """Indents list items under their key, as people do, and never writes anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  # PyYAML's signature
        super().increase_indent(flow=flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # PyYAML's signature
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML writes "next line" bare or in single quotes, where reading folds it into a space.
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\x85" in text else None)


_Dumper.add_representer(str, _represent_text)


def _parsed(text: str) -> tuple[yaml.Node | None, Any]:
    """Return a text's nodes, which know where they stand, and what it holds."""
    node = yaml.compose(text, Loader=_LOADER)
    return node, None if node is None else yaml.constructor.SafeConstructor().construct_document(node)


def merged(file: Any, before: Any, after: Any) -> Any:
    """Return what a file would hold: `after` where it differs from `before`, and what the file says everywhere else.

    >>> merged({"a": 1, "note": "mine"}, {"a": 1, "b": 2}, {"a": 3, "b": 2})
    {'a': 3, 'note': 'mine'}
    """
    if before == after:
        return file
    if isinstance(file, Mapping) and isinstance(before, Mapping) and isinstance(after, Mapping):
        return _merged_mapping(file, before, after)
    lists = isinstance(file, list) and isinstance(before, list) and isinstance(after, list)
    return _merged_list(file, before, after) if lists else after


def _merged_mapping(file: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in file.items() if key in after or key not in before}
    for key, value in after.items():
        if key not in before:
            kept[key] = value
        elif before[key] != value:
            # What the file lacks although it was read from there stands elsewhere in it, as `unique: true` does: only the change is new.
            kept[key] = merged(file.get(key, type(value)()), before[key], value)
    return kept


def _merged_list(file: list[Any], before: list[Any], after: list[Any]) -> list[Any]:
    """Apply to the file's items what was done between the two others; items that only the file has stay at their places."""
    theirs = _aligned(file, before)
    items: list[Any] = []
    for same, was, now in _steps(before, after):
        if not same:
            items.extend(after[at] for at in now)
            continue
        for old, new in zip(was, now, strict=True):
            if old in theirs:
                items.append(merged(file[theirs[old]], before[old], after[new]))
            elif before[old] != after[new]:
                items.append(after[new])
    for at in sorted(set(range(len(file))) - set(theirs.values())):
        items.insert(at, file[at])
    return items


def _aligned(file: list[Any], before: list[Any]) -> dict[int, int]:
    """Say which item of the file each item was read from: the next of its name or kind."""
    places: dict[str, list[int]] = {}
    for place in reversed(range(len(file))):
        places.setdefault(_kind(file[place]), []).append(place)
    return {at: places[kind].pop() for at, kind in enumerate(map(_kind, before)) if places.get(kind)}


def _kind(item: Any) -> str:
    """Say what an item of a list is, whatever it says: a column or property by name, a rule by what it measures, a value by itself."""
    if not isinstance(item, Mapping):
        return repr(item)
    if "property" in item:  # a service level stands there once for each column
        return repr((item["property"], str(item.get("element", "")).rpartition(".")[2]))
    body = item.get("implementation")
    measured = tuple(body.get(key) for key in ("check", "sql", "statistic")) if isinstance(body, Mapping) else (body,)
    is_rule = "metric" in item or "type" in item
    said = (item.get("metric"), item.get("query"), *measured, str(item.get("arguments", {}).get("properties") or ""))
    return repr(said if is_rule else item.get("name"))


def _steps(before: Sequence[Any], after: Sequence[Any]) -> Iterator[tuple[bool, range, range]]:
    """Return runs of items that are the same in both, whatever they say, and runs that are replaced."""
    was, now = ([_kind(item) for item in items] for items in (before, after))
    for tag, first, last, start, end in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        yield tag == "equal", range(first, last), range(start, end)


def rewritten(text: str, document: Any) -> str:
    """Return the text, changed to hold the document. What is equal keeps its text; where that cannot be done, all is written anew."""
    return _rewritten(text, *_parsed(text), document)


def _rewritten(text: str, node: yaml.Node | None, held: Any, document: Any) -> str:
    if held == document:
        return text
    edits = _Edits(text)
    if node is not None:
        edits.change(node, held, document)
    changed = edits.applied()
    try:
        return changed if _parsed(changed)[1] == document else write_yaml(document)
    except yaml.YAMLError:
        return write_yaml(document)


class _Edits:
    """Pieces of a text, and what will stand there instead."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._pieces: list[tuple[int, int, int, str]] = []

    def applied(self) -> str:
        """Return the text with all pieces replaced; of two at one place the deeper comes to stand first."""
        parts, at = [], 0
        for start, end, _, new in sorted(self._pieces, key=lambda piece: piece[:3]):
            parts += [self.text[at:start], new]
            at = max(at, end)
        return "".join([*parts, self.text[at:]])

    def change(self, node: yaml.Node, was: Any, value: Any) -> None:
        """Change what stands at a node, which was this, to that."""
        if was == value:
            return
        by_lines = isinstance(node, yaml.CollectionNode) and not node.flow_style and value
        if by_lines and isinstance(node, yaml.MappingNode) and isinstance(value, Mapping) and str(node.value[0][0].value) in value:
            self._change_mapping(node, was, value)
        elif by_lines and isinstance(node, yaml.SequenceNode) and isinstance(value, list):
            self._change_list(node, was, value)
        else:
            self._replace(node, value)

    def _change_mapping(self, node: yaml.MappingNode, was: Mapping[str, Any], value: Mapping[str, Any]) -> None:
        """Change the values of keys that stay, cut lines of those that go, and write new keys behind the last."""
        indent = node.start_mark.column
        held = {str(key.value): (key, said) for key, said in node.value}
        for name, (key, said) in held.items():
            if name not in value:
                self._cut(key, said)
            elif isinstance(value[name], dict | list) and value[name] and not isinstance(said, yaml.CollectionNode):
                below = "\n" + _indented(write_yaml(value[name]), indent + 2).rstrip("\n")
                self._pieces.append((key.end_mark.index + 1, _end(said), -indent, below))
            else:
                self.change(said, was.get(name, _ABSENT), value[name])
        added = {name: one for name, one in value.items() if name not in held}
        if added:
            self._insert(self._line_after(node), _indented(write_yaml(added), indent), indent)

    def _change_list(self, node: yaml.SequenceNode, held: list[Any], value: list[Any]) -> None:
        """Change items that stay, cut the lines of those that go, and write new ones between them."""
        indent, items = node.start_mark.column, node.value
        at = self._line_of(items[0])
        for same, was, now in _steps(held, value):
            if same:
                for old, new in zip(was, now, strict=True):
                    self.change(items[old], held[old], value[new])
            elif was:
                self._cut(items[was[0]], items[was[-1]])
            if not same and now:
                self._insert(at, _indented(write_yaml([value[new] for new in now]), indent), indent)
            if was:
                at = self._line_after(items[was[-1]])

    def _replace(self, node: yaml.Node, value: Any) -> None:
        indent = node.start_mark.column
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and isinstance(value, dict | list) and value:
            new = _indented(write_yaml(value), indent).strip()
        else:
            new = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=True)
            new = new.rstrip("\n").removesuffix("\n...")
        self._pieces.append((node.start_mark.index, _end(node), -indent, new))

    def _cut(self, first: yaml.Node, last: yaml.Node) -> None:
        self._pieces.append((self._line_of(first), self._line_after(last), 0, ""))

    def _insert(self, at: int, lines: str, indent: int) -> None:
        begun = at and self.text[at - 1] != "\n"
        self._pieces.append((at, at, -indent, ("\n" if begun else "") + lines))

    def _line_of(self, node: yaml.Node) -> int:
        return self.text.rfind("\n", 0, node.start_mark.index) + 1

    def _line_after(self, node: yaml.Node) -> int:
        end = _end(node)
        if end and self.text[end - 1] == "\n":  # a block of text takes its last line break with it
            return end
        found = self.text.find("\n", end)
        return len(self.text) if found < 0 else found + 1


def _end(node: yaml.Node) -> int:
    """Return where a node's own text ends; a collection's mark is further on, behind blank lines and comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _indented(text: str, by: int) -> str:
    return "\n".join(" " * by + line if line else line for line in text.split("\n"))  # YAML itself breaks lines at more than these
