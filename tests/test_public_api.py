"""What Sampan offers to programs, held by a file: changing it is a reviewed act.

To accept a change: python tests/test_public_api.py > tests/public_api.txt
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sampan
from sampan import errors, ports

LISTED = Path(__file__).with_name("public_api.txt")


def public_api() -> Iterator[str]:
    """Yield one line per public name: with its signature, or with its base for a class that is only raised."""
    for name in sorted(sampan.__all__):
        yield f"sampan.{name}{shown(getattr(sampan, name))}"
    for name, kind in sorted(vars(errors).items()):
        if isinstance(kind, type) and issubclass(kind, errors.SampanError):
            yield f"sampan.errors.{name}({kind.__bases__[0].__name__}) {kind.code} {kind.exit_code} {kind.http_status}"
    for name, kind in sorted(vars(ports).items()):
        if getattr(kind, "_is_protocol", False) and kind.__module__ == ports.__name__:
            for method, member in sorted(vars(kind).items()):
                if not method.startswith("_") and callable(member):
                    yield f"sampan.ports.{name}.{method}{written(inspect.signature(member))}"


def shown(value: Any) -> str:
    if inspect.ismodule(value) or not callable(value):
        return ""
    return written(inspect.signature(value))


def written(signature: inspect.Signature) -> str:
    """Write a signature as its source has it: without quotes around annotations, functions by name."""
    unquoted = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature))
    return re.sub(r"<function ([\w.]+) at 0x[0-9a-f]+>", r"\1", unquoted)


def test_the_public_names_and_signatures_are_those_listed() -> None:
    assert LISTED.read_text().splitlines() == list(public_api())


def test_every_public_name_is_listed_for_completion_and_explained() -> None:
    assert set(sampan.__all__) <= set(dir(sampan))
    for name in sampan.__all__:
        value = getattr(sampan, name)
        assert not callable(value) or inspect.getdoc(value), name


def test_the_lazy_names_are_those_declared() -> None:
    assert {*sampan._EXPORTS, "__version__"} == set(sampan.__all__)
    stub = ast.parse(Path(sampan.__file__).with_suffix(".pyi").read_text())
    imported = {
        alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names if alias.name == alias.asname
    }
    set_here = {ast.unparse(node.targets[0]) for node in stub.body if isinstance(node, ast.Assign)}
    assert set(sampan.__all__) == {*imported, *set_here, "__version__"}  # what is imported under another name is not exported


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(sampan, "opn")


if __name__ == "__main__":
    sys.stdout.write("\n".join(public_api()) + "\n")
