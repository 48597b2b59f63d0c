"""One operation, four ways to call it, one answer: Python, the command line, HTTP and the remote client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

import sampan
from sampan.cli import calls
from sampan.core.answers import to_json
from sampan.core.events import AliasMoved
from sampan.errors import SampanError
from sampan.web import openapi
from sampan.workspace.operation import Operation, nouns, operations
from sampan.workspace.workspace import Workspace

READS = [o for noun in nouns() for o in operations(noun).values() if o.reads and not o.local]
# For required parameters, by name; any other text is answered with an error, which has to agree as well.
SAMPLES: dict[str, Any] = {"ref": "flights", "name": "flights", "before": "flights@v1", "after": "flights@v2"}
BASES: dict[str, Any] = {"text": "nothing of this name", "integer": 1, "number": 0.5, "flag": True, "path": "nothing.csv"}


@pytest.fixture(scope="module")
def served(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("delays")
    with Workspace.open(folder, actor="an") as ws:
        fill(ws)
    with serve(folder) as one:
        yield one


def fill(ws: Workspace) -> None:
    source = ws.root / "flights.csv"
    for rows in ("1,2.5\n2,\n", "1,2.5\n2,\n3,NaN\n"):
        source.write_text("id,delay\n" + rows)
        ws.data.add(source, key=["id"])
    newest = ws.catalog.resolve("flights@v2").id
    ws.ledger.append(AliasMoved(kind="dataset", name="flights", alias="checked", before=None, after=newest), reason="to begin with")


def arguments_for(operation: Operation) -> dict[str, Any]:
    found = {}
    for parameter in operation.parameters:
        if parameter.required:
            one = parameter.form.choices[0] if parameter.form.choices else SAMPLES.get(parameter.name, BASES.get(parameter.form.base))
            found[parameter.name] = {"list": [one], "mapping": {"id": one}}.get(parameter.form.many, one)
    return found


def outcome(call: Any) -> Any:
    """Return an answer or an error as the JSON that programs see."""
    try:
        return json.loads(to_json(call()))
    except SampanError as error:
        return {"code": error.code, "message": error.message, "hint": error.hint}


def error_of(told: dict[str, Any]) -> dict[str, Any]:
    return {key: told["error"][key] for key in ("code", "message", "hint")}


@pytest.mark.parametrize("operation", READS, ids=lambda operation: operation.name)
def test_every_read_answers_the_same_on_every_surface(operation: Operation, served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = arguments_for(operation)
    with Workspace.open(served.project) as ws:
        in_python = outcome(lambda: operation.call(ws.room(operation.noun), arguments))

    assert by_command(operation, arguments, served.project, capsys) == in_python
    assert by_http(operation, arguments, served.base) == in_python
    with sampan.connect(served.url) as there:
        assert outcome(lambda: getattr(there.room(operation.noun), operation.method)(**arguments)) == in_python


def by_command(operation: Operation, arguments: dict[str, Any], project: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    words = operation.name.split()
    for parameter in operation.parameters:
        if parameter.name in arguments:
            value = arguments[parameter.name]
            several = [f"{k}={v}" for k, v in value.items()] if isinstance(value, dict) else value
            texts = [str(one) for one in (several if isinstance(several, list) else [several])]
            words += texts if parameter.positional else [part for text in texts for part in (f"--{parameter.name.replace('_', '-')}", text)]
    calls.run([*words, "--json", "--project", str(project)])
    said = capsys.readouterr()
    return json.loads(said.out) if said.out else error_of(json.loads(said.err))


def by_http(operation: Operation, arguments: dict[str, Any], base: str) -> Any:
    flat = {name: [f"{k}={v}" for k, v in value.items()] if isinstance(value, dict) else value for name, value in arguments.items()}
    answer = httpx2.get(base + openapi.path_of(operation), params=flat)
    return answer.json() if answer.status_code == 200 else error_of(answer.json())


@pytest.mark.parametrize("noun", nouns())
def test_every_operation_can_be_read_by_every_surface(noun: str) -> None:
    for operation in operations(noun).values():
        assert operation.summary.endswith("."), operation.name
        assert len(operation.summary) <= 120, operation.name
        names = [parameter.name for parameter in operation.parameters]
        assert not {"json", "project", "help"} & set(names), operation.name
        msgspec.json.schema(operation.result, schema_hook=lambda _: {"type": "string"})
        for parameter in operation.parameters:
            assert parameter.help, f"{operation.name} does not explain {parameter.name}"
