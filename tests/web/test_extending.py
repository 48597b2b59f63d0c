"""A package of its own adds a room, a page and a check; nothing of Sampan is touched, and everything appears by itself."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import sampan
from sampan import plugins
from sampan.store import Store
from sampan.workspace.workspace import Workspace

ROOT = Path(sampan.__file__).parents[2]
EXAMPLE = ROOT / "examples" / "extend"
# What a package outside may build on; everything else of the spine is ours to change.
OPEN_TO_OTHERS = (
    "sampan.core",
    "sampan.errors",
    "sampan.ports",
    "sampan.workspace.operation",
    "sampan.workspace.workspace",
    "sampan.web.page",
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    uv = Path(sys.executable).with_name("uv")
    flags = ["--no-build-isolation", "--no-deps", "--offline", "--no-cache"]
    subprocess.run([uv, "pip", "install", "-q", "--python", sys.executable, *flags, "--target", target, EXAMPLE], check=True)
    return target


@pytest.fixture(scope="module")
def project(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("delays")
    define = ["glossary", "define", "late flight", "arrives 15 minutes late or more"]
    assert command(installed, folder, *define)["new"] is True
    return folder


@pytest.fixture(scope="module")
def served(serve: Any, installed: Path, project: Path) -> Iterator[Any]:
    with serve(project, PYTHONPATH=str(installed)) as one:
        yield one


def command(installed: Path, folder: Path, *arguments: str, as_json: bool = True) -> Any:
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{installed}"}
    words = [sys.executable, "-m", "sampan", *arguments, *(["--json"] if as_json else [])]
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if as_json else done.stdout


def test_the_package_installs_nothing_outside_of_its_own_folder(installed: Path) -> None:
    record = next(installed.glob("*.dist-info/RECORD")).read_text()
    tops = {line.split("/")[0] for line in record.splitlines()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"sampan_glossary"}


def test_the_package_stands_on_the_open_modules_only() -> None:
    for file in (EXAMPLE / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sampan":
                assert node.module is not None
                assert node.module.startswith(OPEN_TO_OTHERS), f"{file.name}: {node.module}"


def test_nothing_of_sampan_knows_the_package() -> None:
    for file in (ROOT / "src").rglob("*.py"):
        assert "glossary" not in file.read_text(), file


def test_help_lists_its_noun_with_the_packages_summary(installed: Path, tmp_path: Path) -> None:
    text = command(installed, tmp_path, "--help", as_json=False)

    assert re.search(r"^  glossary +Terms: what the words of this project mean", text, re.MULTILINE)


def test_its_operations_are_commands(installed: Path, project: Path) -> None:
    shown = command(installed, project, "glossary", "show")

    assert [term["ref"] for term in shown["terms"]] == ["late flight@v1"]
    assert "define" in command(installed, project, "glossary", as_json=False)


def test_the_same_meaning_again_is_no_new_version(installed: Path, project: Path) -> None:
    again = command(installed, project, "glossary", "define", "late flight", "arrives 15 minutes late or more")

    assert (again["new"], again["term"]["ref"]) == (False, "late flight@v1")


@pytest.mark.slow
def test_its_versions_and_events_are_in_status_lineage_log_and_audit(installed: Path, project: Path) -> None:
    command(installed, project, "glossary", "define", "delay", "late in minutes", "--about", "late flight")

    assert command(installed, project, "status")["counts"]["term"] == 2
    lineage = command(installed, project, "lineage", "delay", as_json=False)
    assert "└─ describes term late flight@v1" in lineage
    assert {event["type"] for event in command(installed, project, "log")["events"]} == {"term_defined"}
    assert command(installed, project, "audit", "verify")["intact"] is True


@pytest.mark.slow
def test_what_it_recorded_outlives_its_removal(installed: Path, project: Path, tmp_path: Path) -> None:
    command(installed, project, "glossary", "define", "cancelled", "did not depart", "--about", "late flight")
    removed = tmp_path

    lineage = command(removed, project, "lineage", "cancelled", as_json=False)
    assert "└─ describes term late flight@v1" in lineage
    assert "term_defined" in {event["type"] for event in command(removed, project, "log")["events"]}
    assert command(removed, project, "audit", "verify")["intact"] is True
    assert command(removed, project, "fsck")["clean"] is True
    with Workspace.open(project) as ws, Store.open(tmp_path / "copy") as copy:
        ws.ledger.replay(copy)
        assert [node.ref for node in ws.catalog.nodes(kind="term")] == [node.ref for node in copy.catalog.nodes(kind="term")]


def test_its_operations_are_routes_and_described_in_openapi(served: Any) -> None:
    shown = httpx2.get(served.base + "/api/v1/glossary/show", params={"name": "late flight"}).json()
    assert shown["terms"][0]["text"] == "arrives 15 minutes late or more"

    document = httpx2.get(served.base + "/api/v1/openapi.json").json()
    assert "get" in document["paths"]["/api/v1/glossary/show"]
    body = document["paths"]["/api/v1/glossary/define"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["name"]["description"] == 'the term, like "late flight"'
    assert body["required"] == ["name", "text"]


def test_its_operations_are_methods_of_the_remote_client_though_it_is_not_installed_there(served: Any) -> None:
    assert "glossary" not in plugins.names("sampan.rooms")

    with sampan.connect(served.url) as there:
        defined = there.glossary.define("on time", "less than 15 minutes late", about="late flight")
        shown = there.glossary.show()

    assert (type(defined).__name__, defined.new, defined.term["about"]) == ("Defined", True, "late flight@v1")
    assert "on time@v1" in [term["ref"] for term in shown.terms]


def test_its_page_is_in_the_shell_and_in_the_navigation(served: Any) -> None:
    page = httpx2.get(served.base + "/glossary")

    assert page.status_code == 200
    assert '<a href="/glossary" aria-current="page">' in page.text
    assert "arrives 15 minutes late or more" in page.text


def test_its_errors_are_ours(served: Any) -> None:
    answer = httpx2.get(served.base + "/api/v1/glossary/show", params={"name": "late flights"})

    assert answer.status_code == 404
    assert answer.json()["error"]["did_you_mean"] == ["late flight"]


def test_its_check_is_found_and_marks_rows(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    from sampan.ports import Check

    monkeypatch.syspath_prepend(installed)

    check = plugins.find("sampan.checks", "tidy_text")()

    assert isinstance(check, Check)
    frame = pl.DataFrame({"city": ["Hà Nội", " Huế", "Đà  Nẵng", None, ""]})
    assert frame.select(check.violations("city", {})).to_series().to_list() == [False, True, True, False, False]


CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: cities
version: 1.0.0
status: active
schema:
  - name: cities
    properties:
      - name: city
        logicalType: string
        quality:
          - type: custom
            engine: sampan
            implementation: {check: tidy_text}
"""


@pytest.mark.slow
def test_a_contract_may_ask_for_its_check(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "cities.csv").write_text("id,city\n1,Hue\n2,Ha  Noi\n3,Da Nang\n")
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "cities.yaml").write_text(CONTRACT)

    command(installed, tmp_path, "data", "add", "cities.csv", "--key", "id")
    checked = command(installed, tmp_path, "data", "check", "cities", as_json=False)

    assert "city has no blanks at its ends and no double blanks inside" in checked
    assert "Ha  Noi" in checked
