"""A machine that serves needs little: a package is served where nothing but its lock is installed, with log, metrics and checks on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sampan
from sampan.packaging.closure import LOCK, lock_lines, serving_names
from sampan.packaging.distributions import installed
from sampan.packaging.packages import PackageFacts, read_facts
from sampan.packaging.systemd import Systemd
from sampan.ports import TargetOptions
from sampan.serving.records import outcomes_stream, predictions_stream
from sampan.store.segments import Segments
from sampan.workspace.workspace import SilentProgress

HEAVY = ("polars", "pyarrow", "pandas", "duckdb", "scipy", "sklearn", "cryptography", "jinja2", "starlette", "yaml")
EXPECTED = [2.0, 1.1, 0.5]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))  # under importlib's import mode
    from plain_package import write_plain_package

    folder = tmp_path_factory.mktemp("plain") / "parcels"
    write_plain_package(folder)
    return folder


@pytest.fixture(scope="module")
def lean(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has what the lock names, and nothing else."""
    home = tmp_path_factory.mktemp("lean")
    venv.create(home, symlinks=True, with_pip=False)
    place = next(home.glob("lib/python3.*/site-packages"))
    for name in pinned(lock_lines(plain, read_facts(plain))):
        if name != "sampan":
            link(name, place)
    (place / "sampan").symlink_to(Path(sampan.__path__[0]))
    return home / "bin" / "python"


def link(name: str, place: Path) -> None:
    """Link what a library has at the top: packages, modules, shared libraries, metadata."""
    for inside, content in installed(name).files():
        top, *below = Path(inside).parts
        if isinstance(content, Path) and top != ".." and not (place / top).exists():
            (place / top).symlink_to(content.parents[len(below) - 1] if below else content)


def pinned(lines: Iterator[str] | Sequence[str]) -> dict[str, str]:
    found = (line.strip().partition("==") for line in "".join(lines).splitlines() if not line.startswith("#"))
    return {name: version for name, _, version in found}


@contextmanager
def serving(python: Path, *words: object) -> Iterator[tuple[str, int]]:
    # From what is installed there alone: no variable of this process points it to another library.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(python), "-I", "-m", "sampan", "serve", "--port", "0", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            assert "http://" in said
            yield said.split()[-1], server.pid
        finally:
            server.terminate()
            assert 0 == server.wait(30)


def ask(address: str, path: str, body: Any = None) -> Any:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "X-Request-Id": "r1"}
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data, headers), timeout=30) as reply:
            said = reply.read()
    except urllib.error.HTTPError as refused:
        said = refused.read()
    return json.loads(said) if said.startswith((b"{", b"[")) else said.decode()


def asked_all_ways(address: str, rows: list[dict[str, Any]]) -> list[list[float]]:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    columns["at"] = [1_356_998_400_000, 1_357_120_800_000, 1_357_084_800_000]
    tensors = [
        {"name": "parcel", "shape": [3], "datatype": "FP64", "data": columns["parcel"]},
        {"name": "at", "shape": [3], "datatype": "FP64", "data": columns["at"]},
        {"name": "shop", "shape": [3], "datatype": "BYTES", "data": columns["shop"]},
        {"name": "kilos", "shape": [3], "datatype": "FP64", "data": columns["kilos"]},
    ]
    split = {"columns": list(columns), "data": [list(row.values()) for row in rows]}
    return [
        [ask(address, "/predict", row)["score"] for row in rows],
        [each["score"] for each in ask(address, "/predict", {"rows": rows})["predictions"]],
        ask(address, "/v2/models/parcels/infer", {"inputs": tensors})["outputs"][0]["data"],
        ask(address, "/invocations", {"dataframe_split": split})["predictions"],
    ]


@pytest.mark.slow
def test_a_server_needs_nothing_but_what_the_lock_names(plain: Path, lean: Path, tmp_path: Path) -> None:
    from plain_package import ROWS

    with serving(lean, "--package", plain, "--log", tmp_path) as (address, pid):
        answers = asked_all_ways(address, ROWS)
        refused = ask(address, "/predict", {**ROWS[0], "kilos": "heavy"})
        taken = ask(address, "/outcomes", [{"parcel": 1, "label": 1}])
        metrics = ask(address, "/metrics")
        maps = Path(f"/proc/{pid}/maps").read_text()

    assert [EXPECTED] * len(answers) == [np.round(each, 5).tolist() for each in answers]
    assert "kilos" in json.dumps(refused)
    assert {"received": 1} == taken
    assert "sampan_predictions_total" in metrics
    assert [] == [name for name in HEAVY if f"/{name}/" in maps]
    log = Segments(tmp_path)
    logged, _ = log.read(predictions_stream("parcels", "parcels@v1"))
    assert EXPECTED * len(answers) == np.round(logged["score"].to_pylist(), 5).tolist()
    assert ["north", "Đông", ""] * len(answers) == logged["field.shop"].to_pylist()
    assert 1 == log.read(outcomes_stream("parcels"))[0].num_rows


def test_the_lock_names_what_serving_imports_by_version(plain: Path, package: Path) -> None:
    lock = pinned(lock_lines(plain, read_facts(plain)))

    assert {"numpy", "onnxruntime", "uvicorn", "h11", "sampan"} <= set(lock)
    assert not set(HEAVY) & set(lock)
    assert (installed("numpy").version, sampan.__version__) == (lock["numpy"], lock["sampan"])
    assert {"polars", "pyarrow"} <= set(pinned(lock_lines(package, read_facts(package))))  # its features look at the past


@pytest.mark.slow
def test_a_unit_says_how_its_machine_gets_what_the_lock_names(plain: Path, tmp_path: Path) -> None:
    built = Systemd("systemd").build(plain, tmp_path, TargetOptions(), SilentProgress())

    expected = f"sudo python3 -m venv /opt/sampan && sudo /opt/sampan/bin/pip install --no-deps -r {{out}}/package/{LOCK}"
    assert expected == built.next[0]
    assert "sampan" in pinned((tmp_path / "package" / LOCK).read_text())


def test_a_native_model_brings_its_library_and_an_unknown_one_is_named(plain: Path) -> None:
    facts = PackageFacts(name="x", version="v1", model="x@v1", flavor="lightgbm", served_by="lightgbm", request_schema={})

    assert serving_names(plain, facts)[-2:] == ("lightgbm", "scikit-learn")
    assert {"lightgbm", "scipy"} <= set(pinned(lock_lines(plain, facts)))
    foreign = PackageFacts(name="x", version="v1", model="x@v1", flavor="rope", served_by="rope", request_schema={})
    assert {"rope": ""}.items() <= pinned(lock_lines(plain, foreign)).items()
    assert f"-r {LOCK}" in next(lock_lines(plain, foreign))
