"""H(code): a digest of a function and of all the project's code and constants that it uses, whatever the process and the formatting.

Followed are global names, attributes of the project's modules, imports inside functions and closures, through functions, classes and
constants. Code of Python and of installed distributions is not read: their versions stand for it (see libraries.py). Not seen is what is
found by a name made at run time (`getattr(module, text)`), nor what is read from outside (files, the clock, environment variables), be it
by the function or to make a constant that is no plain value: such things are inputs.
"""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import inspect
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec, resolve_name
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from sampan.core.digests import Digest, digest_bytes, digest_value
from sampan.engine import sources
from sampan.engine.canonical import digest_plain, is_plain
from sampan.engine.sources import Source
from sampan.engine.step import CodeKey, Step
from sampan.engine.step import step as step_decorator
from sampan.errors import ParameterError

_OWN_DEFAULT: Final = ast.Constant(None)
DECLARES: Final = "__declares__"  # a decorator with this attribute only declares: what it is given is keyed elsewhere


def code_keys(steps: Iterable[Step[..., Any]]) -> dict[str, CodeKey]:
    """Digest the code of steps, by name; each file is read once.

    Raises
    ------
    ParameterError : a function closes over something whose content cannot be told.
    """
    read: dict[str, Source | None] = {}
    found = {}
    for step in steps:
        walk = _Walk(step.name, read)
        walk.step(step)
        digest = digest_value(sorted(walk.parts.items()))
        found[step.name] = CodeKey(digest, walk.parts, tuple(sorted(walk.libraries)), walk.dynamic)
    return found


class _Walk:
    """One journey from a step through everything it uses; each thing is visited once."""

    def __init__(self, step_name: str, read: dict[str, Source | None]) -> None:
        self.parts: dict[str, Digest] = {}
        self.libraries: set[str] = set()
        self.dynamic = False
        self._step_name = step_name
        self._sources = read

    def step(self, step: Step[..., Any]) -> None:
        """Visit a step. Its decorator and its own defaults are not code: options do not change a result, parameters are keyed by value."""
        self._function(step.function, as_step=True)

    def value(self, name: str, value: Any, module: ModuleType | None) -> None:
        """Visit what a name stands for; `module` is where the name is global, None in a closure."""
        if isinstance(value, Step):
            self.step(value)
        elif isinstance(value, ModuleType):
            self._module_as_value(value)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, MethodType):
            self._function(value.__func__)
            self.value(name, value.__self__, module)
        elif isinstance(value, BuiltinFunctionType):
            self._library(value.__module__ or "builtins")
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self.value(name, part, None)
            self.parts[f"{_label(module)}:{name}"] = digest_value([len(value.args), sorted(value.keywords)])
        elif isinstance(wrapped := getattr(value, "__wrapped__", None), FunctionType):
            self._function(wrapped)
        else:
            self._constant(name, value, module)

    def _function(self, function: Any, *, as_step: bool = False) -> None:
        function = inspect.unwrap(function)
        code: CodeType = function.__code__
        if sources.is_library(code.co_filename):
            self._library(function.__module__)
            return
        label = f"{_label(sys.modules.get(function.__module__), code.co_filename)}:{function.__qualname__}"
        if label in self.parts:
            return
        closed = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        source = self._source(code.co_filename)
        node = source.function(code) if source else None
        if node is None:
            self.parts[label] = digest_bytes(repr(_bytecode(code)).encode())
            paths: sources.Chains = {name: {()} for name in _bytecode_names(code)}
            names = set(paths)
        else:
            self._check_defaults(node, as_step)
            node = _bare(node, function.__globals__) if as_step else node
            self.parts[label] = digest_bytes(sources.normal(node).encode())
            names, paths = sources.outer_names(node), sources.chains(node)
            self._inner_imports(node, function.__globals__, paths)
        self._names(names, paths, function.__globals__, closed)

    def _check_defaults(self, node: sources.Function, as_step: bool) -> None:
        """A step's defaults are keyed by value, yet only running the module tells the value of a call."""
        defaults = [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        if as_step and not all(sources.is_static(default) and not sources.outer_names(ast.Expr(default)) for default in defaults):
            self.dynamic = True

    def _class(self, kind: type) -> None:
        module = sys.modules.get(kind.__module__)
        file = getattr(module, "__file__", None) or ""
        if sources.is_library(file) if file else kind.__module__ != "__main__":
            self._library(kind.__module__)
            return
        label = f"{_label(module)}:{kind.__qualname__}"
        if label in self.parts:
            return
        source = self._source(file) if file else None
        node = source.class_(kind.__qualname__) if source else None
        if node is None:
            self._class_members(label, kind)
            return
        self.parts[label] = digest_bytes(sources.normal(node).encode())
        namespace, paths = vars(module), sources.chains(node)
        self._inner_imports(node, namespace, paths)
        self._names(sources.outer_names(node), paths, namespace, {})

    def _class_members(self, label: str, kind: type) -> None:
        """Digest a class that is written nowhere we can read (at a prompt, in a notebook) by what it holds."""
        self.parts[label] = digest_value([base.__qualname__ for base in kind.__mro__])
        for name, held in sorted(vars(kind).items()):
            member = getattr(held, "__func__", None) or getattr(held, "fget", None) or held
            if isinstance(member, FunctionType):
                self._function(member)
            elif not name.startswith("__") and is_plain(member):
                self.parts[f"{label}.{name}"] = digest_plain(member)

    def _names(self, names: set[str], paths: sources.Chains, namespace: dict[str, Any], closed: dict[str, CellType]) -> None:
        module = sys.modules.get(namespace.get("__name__", ""))
        for name in sorted(names):
            if name in closed:
                self._closed(name, closed[name])
            elif name in namespace:
                self._paths(name, namespace[name], paths.get(name, {()}), module)

    def _closed(self, name: str, cell: CellType) -> None:
        try:
            value = cell.cell_contents
        except ValueError:  # a variable that its function has not set yet
            return
        self.value(name, value, None)

    def _paths(self, name: str, value: Any, paths: set[tuple[str, ...]], module: ModuleType | None) -> None:
        """Follow `a.b.c` through modules to the first thing that is none."""
        if not isinstance(value, ModuleType):
            self.value(name, value, module)
            return
        for path in sorted(paths):
            owner, last = value, name
            here: Any = value
            for last in path:
                owner, here = here, getattr(here, last, None)
                if not isinstance(here, ModuleType):
                    break
            if isinstance(here, ModuleType):
                self._module_as_value(here)
            elif self._is_library(owner):
                self._library(owner.__name__)
            elif hasattr(owner, last):
                self.value(last, here, owner)

    def _inner_imports(self, node: ast.AST, namespace: dict[str, Any], paths: sources.Chains) -> None:
        for statement in sources.imports(node):
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    top = alias.name if alias.asname else alias.name.partition(".")[0]
                    if not self._library_by_name(alias.name):
                        import_module(alias.name)
                        self._paths(top, sys.modules[top], paths.get(alias.asname or top, {()}), None)
                continue
            name = resolve_name("." * statement.level + (statement.module or ""), namespace.get("__package__") or "")
            if self._library_by_name(name):
                continue
            module = import_module(name)
            for alias in statement.names:
                if alias.name != "*" and not hasattr(module, alias.name):
                    import_module(f"{name}.{alias.name}")
                if alias.name != "*":
                    self._paths(alias.name, getattr(module, alias.name), paths.get(alias.asname or alias.name, {()}), module)

    def _module_as_value(self, module: ModuleType) -> None:
        """A module that is handed on as a whole may be used as a whole."""
        if self._is_library(module):
            self._library(module.__name__)
        elif (label := f"{_label(module)}:*") not in self.parts:
            source = self._source(module.__file__ or "")
            self.parts[label] = digest_bytes(sources.normal(source.tree).encode() if source else b"")

    def _constant(self, name: str, value: Any, module: ModuleType | None) -> None:
        label = f"{_label(module)}:{name}"
        if label in self.parts or (name.startswith("__") and name.endswith("__")):
            return
        source = self._source(getattr(module, "__file__", None) or "") if module is not None else None
        statements = source.bindings.get(name, []) if source else []
        if (
            module is not None
            and (origin := _imported_from(name, statements or source.bindings.get("*", []) if source else [], module)) is not None
        ):
            self._imported(origin, value)
            return
        expression = sources.value_of(statements[0]) if len(statements) == 1 else None
        if module is not None and expression is not None and (sources.is_static(expression) or not is_plain(value)):
            self._written(label, [expression], module)
        elif is_plain(value):
            # Told by its value: it came from a call or was set more than once.
            self.dynamic = True
            self.parts[label] = digest_plain(value)
            self._class(type(value))
        elif statements and module is not None:
            self._written(label, list(statements), module)
        else:
            raise ParameterError(
                f"step {self._step_name} uses {name}, a {type(value).__module__}.{type(value).__qualname__} whose content cannot be told",
                hint=f"make {name} an input or a parameter of the step, or build it inside",
            )

    def _written(self, label: str, nodes: list[Any], module: ModuleType) -> None:
        """Digest a constant by the text that makes it, and by what that text names."""
        self.parts[label] = digest_value([sources.normal(ast.Expr(n) if isinstance(n, ast.expr) else n) for n in nodes])
        for node in nodes:
            whole = ast.Expr(node) if isinstance(node, ast.expr) else node
            paths = sources.chains(whole)
            self._names(sources.outer_names(whole), paths, vars(module), {})
            self.dynamic |= any(self._may_vary(name, path, module) for name, found in paths.items() for path in found)

    def _may_vary(self, name: str, path: tuple[str, ...], module: ModuleType) -> bool:
        """Say whether `name.path` is a library's variable, like os.environ, rather than a constant, like math.pi."""
        owner: Any = vars(module).get(name, getattr(builtins, name, None))
        if not isinstance(owner, ModuleType) or not self._is_library(owner):
            return False
        for part in path:
            owner = getattr(owner, part, None)
            if not isinstance(owner, ModuleType):
                break
        return not (callable(owner) or isinstance(owner, (int, float, str, ModuleType)))

    def _imported(self, origin: tuple[str, str], value: Any) -> None:
        module = sys.modules.get(origin[0])
        if module is not None and self._is_library(module):
            self._library(origin[0])
        else:
            self._constant(origin[1], value, module)

    def _source(self, file: str) -> Source | None:
        if file not in self._sources:
            self._sources[file] = Source.read(file) if file else None
        return self._sources[file]

    def _library(self, module: str) -> None:
        self.libraries.add(module.partition(".")[0])

    def _library_by_name(self, name: str) -> bool:
        top = name.partition(".")[0]
        if top not in sys.builtin_module_names and top not in sys.stdlib_module_names:
            spec = sys.modules[top].__spec__ if top in sys.modules else find_spec(top)
            places = [spec.origin or "", *(spec.submodule_search_locations or ())] if spec else []
            if not any(sources.is_library(f"{place}/") for place in places):
                return spec is None  # what is not there cannot be read; running the step will say so
        self.libraries.add(top)
        return True

    def _is_library(self, module: ModuleType) -> bool:
        places = [getattr(module, "__file__", None) or "", *(getattr(module, "__path__", None) or ())]
        if module.__name__ == "__main__":
            return False
        return not any(places) or any(place and sources.is_library(f"{place}/" if place != places[0] else place) for place in places)


def _label(module: ModuleType | None, file: str = "") -> str:
    """Name a module the same whether it is imported, run as a script or loaded from its path."""
    name = module.__name__ if module is not None else ""
    if name and name != "__main__" and not name.startswith("sampan_script_"):
        return name
    path = file or getattr(module, "__file__", None) or ""
    return path.rpartition("/")[2].removesuffix(".py") if path else name


def _bare(node: sources.Function, namespace: dict[str, Any]) -> sources.Function:
    """Return a step's definition without its own decorator and defaults, which the key holds elsewhere."""
    if isinstance(node, ast.Lambda):
        return node
    arguments = ast.arguments(
        posonlyargs=node.args.posonlyargs,
        args=node.args.args,
        vararg=node.args.vararg,
        kwonlyargs=node.args.kwonlyargs,
        kw_defaults=[default and _OWN_DEFAULT for default in node.args.kw_defaults],
        kwarg=node.args.kwarg,
        defaults=[_OWN_DEFAULT for _ in node.args.defaults],
    )
    decorators = [decorator for decorator in node.decorator_list if not _is_step_decorator(decorator, namespace)]
    bare = type(node)(name=node.name, args=arguments, body=node.body, decorator_list=decorators, returns=node.returns)
    return ast.copy_location(bare, node)


def _is_step_decorator(decorator: ast.expr, namespace: dict[str, Any]) -> bool:
    named = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(named, ast.Name):
        found = namespace.get(named.id)
        return named.id == "step" or found is step_decorator or hasattr(found, DECLARES)
    if not isinstance(named, ast.Attribute):
        return False
    owner = namespace.get(named.value.id) if isinstance(named.value, ast.Name) else None
    return named.attr == "step" or hasattr(getattr(owner, named.attr, None), DECLARES)


def _imported_from(name: str, statements: list[ast.stmt], module: ModuleType) -> tuple[str, str] | None:
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            target = resolve_name("." * statement.level + (statement.module or ""), module.__package__ or "")
            original = next((alias.name for alias in statement.names if (alias.asname or alias.name) == name), name)
            if hasattr(sys.modules.get(target), original):  # of several star imports, the one that has it
                return target, original
    return None


def _bytecode(code: CodeType) -> tuple[Any, ...]:
    """What a code object does, without where it was written; for functions whose text is gone or was changed since."""
    constants = [
        _bytecode(c) if isinstance(c, CodeType) else sorted(map(repr, c)) if isinstance(c, frozenset) else repr(c) for c in code.co_consts
    ]
    return (code.co_name, code.co_flags, code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable)


def _bytecode_names(code: CodeType) -> set[str]:
    names = {str(i.argval) for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF")}
    return names.union(*(_bytecode_names(c) for c in code.co_consts if isinstance(c, CodeType)))
