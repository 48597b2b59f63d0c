"""Source files as trees: where a function, class or constant is written, what it names, and its text without what does not matter."""

from __future__ import annotations

import ast
import linecache
import os
import symtable
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import CodeType
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Chains: TypeAlias = dict[str, set[tuple[str, ...]]]

_STDLIB = f"{Path(os.path.realpath(os.__file__)).parent}{os.sep}"
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_STATIC = (
    *(ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Subscript),
    *(ast.Slice, ast.JoinedStr, ast.FormattedValue, ast.Name, ast.Attribute, ast.Starred),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context),
)


def is_library(file: str) -> bool:
    """Say whether a file belongs to Python or to an installed distribution, so that a version stands for its content."""
    return file.startswith("<frozen") or any(mark in file for mark in _INSTALLED) or os.path.realpath(file).startswith(_STDLIB)


@dataclass(frozen=True)
class Source:
    """One file's text, read through Python's line cache, so that notebook cells have one too."""

    file: str
    text: str = field(repr=False)

    @classmethod
    def read(cls, file: str) -> Source | None:
        """Read a file as it is now; None where there is no readable Python."""
        linecache.checkcache(file)
        source = cls(file, "".join(linecache.getlines(file)))
        try:
            return source if source.text and source.tree else None
        except SyntaxError:
            return None

    @cached_property
    def tree(self) -> ast.Module:
        """The file's syntax tree."""
        return ast.parse(self.text)

    @cached_property
    def _functions(self) -> dict[tuple[int, str], Function]:
        found: dict[tuple[int, str], Function] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found[first, node.name] = node
            elif isinstance(node, ast.Lambda):
                found.setdefault((node.lineno, "<lambda>"), node)
        return found

    @cached_property
    def _compiled(self) -> set[CodeType]:
        return set(_nested(compile(self.text, self.file, "exec", dont_inherit=True)))

    def function(self, code: CodeType) -> Function | None:
        """Return where this code is written; None if the file was changed after it was imported, so that its text is not this code."""
        return self._functions.get((code.co_firstlineno, code.co_name)) if code in self._compiled else None

    def class_(self, qualname: str) -> ast.ClassDef | None:
        """Return where a class is written."""
        body: list[ast.stmt] = self.tree.body
        node: ast.stmt | None = None
        for part in qualname.split("."):
            if part == "<locals>":
                continue
            named = [
                n for n in _statements(body) if isinstance(n, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and n.name == part
            ]
            node = named[-1] if named else None
            body = named[-1].body if named else []
        return node if isinstance(node, ast.ClassDef) else None

    @cached_property
    def bindings(self) -> dict[str, list[ast.stmt]]:
        """The statements at module level that give a value to a name, by name; '*' for star imports."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in _statements(self.tree.body):
            for name in _bound(statement):
                found.setdefault(name, []).append(statement)
        return found


def normal(node: ast.AST) -> str:
    """Write a tree without positions, comments and docstrings."""
    return ast.dump(_WithoutDocstrings().visit(ast.parse(ast.unparse(node))))


def outer_names(node: ast.AST) -> set[str]:
    """Return the names that a function, class or statement takes from outside itself."""
    table = symtable.symtable(ast.unparse(node), "<source>", "exec")
    inner = {name for child in _tables(table) if child is not table for name in _globals(child)}
    top = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    return inner | top


def chains(node: ast.AST) -> Chains:
    """Return, for each name, the attribute paths taken from it.

    `np.random.rand(x.y)` gives np: ("random", "rand") and x: ("y",); () stands for the name alone.
    """
    found: Chains = {}
    seen: set[int] = set()
    for part in ast.walk(node):
        path: list[str] = []
        inner: ast.AST = part
        while isinstance(inner, ast.Attribute):
            seen.add(id(inner.value))
            path.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and id(part) not in seen:
            found.setdefault(inner.id, set()).add(tuple(reversed(path)))
    return found


def imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Iterate over the import statements anywhere inside."""
    return (part for part in ast.walk(node) if isinstance(part, (ast.Import, ast.ImportFrom)))


def is_static(expression: ast.AST) -> bool:
    """Say whether an expression is made of constants and names alone, so that its text and theirs decide its value."""
    return all(isinstance(part, _STATIC) for part in ast.walk(expression))


def value_of(statement: ast.stmt) -> ast.expr | None:
    """Return the expression that a plain assignment assigns."""
    return statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None


class _WithoutDocstrings(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)) and isinstance(body, list):
            first = body[0] if body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                body[0] = ast.Pass()
            node.body = [part for part in body if not isinstance(part, ast.Pass)] or [ast.Pass()]
        return node


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Iterate over statements of one scope, also those under if, try, with and loops."""
    for statement in body:
        yield statement
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for part in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(statement, part, []))
        for handler in getattr(statement, "handlers", []):
            yield from _statements(handler.body)


def _bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
        return
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign, ast.For, ast.AsyncFor)):
        targets = [statement.target]
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        targets = [item.optional_vars for item in statement.items if item.optional_vars]
    for target in targets:
        yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    return (symbol.get_name() for symbol in table.get_symbols() if symbol.is_global())
