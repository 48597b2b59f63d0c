"""A package's folder served alone, without a project: who may ask it, and what it keeps."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sampan.serving.records import predictions_stream
from sampan.store.segments import Segments
from sampan.workspace.workspace import Workspace

ORDER = {"order": 5, "at": 1_356_998_400_000, "shop": "north", "x1": 0.1, "x2": 1.0}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "workspace"))  # under importlib's import mode
    from small_package import add_package

    folder = tmp_path_factory.mktemp("package") / "orders-late"
    with Workspace.open(tmp_path_factory.mktemp("project")) as workspace:
        add_package(workspace, folder)
    return folder


@contextmanager
def serving(*words: object) -> Iterator[str]:
    command = [sys.executable, "-m", "sampan", "serve", "--port", "0", *map(str, words)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        assert "http://" in said
        yield said.split()[-1]
    finally:
        server.terminate()
        assert 0 == server.wait(30)
        server.stdout.close()


def ask(address: str, path: str = "/predict", **headers: str) -> tuple[int, Any]:
    body = json.dumps(ORDER).encode() if path == "/predict" else None
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data=body, headers=headers), timeout=30) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


@pytest.mark.slow
def test_a_folder_is_served_and_its_predictions_are_kept_where_one_says(package: Path, tmp_path: Path) -> None:
    with serving("--package", package, "--log", tmp_path / "log") as address:
        status, answer = ask(address)

    assert (200, "orders-late@v1") == (status, answer["version"])
    logged, _ = Segments(tmp_path / "log").read(predictions_stream("orders-late", "orders-late@v1"))
    assert [answer["score"]] == logged["score"].to_pylist()


@pytest.mark.slow
def test_keys_are_files_and_each_opens_for_its_caller(package: Path, tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("a-key-of-the-shop\n")

    with serving("--package", package, "--keys", tmp_path) as address:
        answers = [ask(address), ask(address, **{"X-Api-Key": "another"}), ask(address, Authorization="Bearer a-key-of-the-shop")]
        healthy = ask(address, "/v2/health/ready")

    assert [401, 401, 200] == [status for status, _ in answers]
    assert (200, {"ready": True}) == healthy


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--package", "PACKAGE", "--host", "0.0.0.0"], "others can reach 0.0.0.0, and this server asks for no keys"),
        (["--package", "PACKAGE", "--keys", "EMPTY"], "holds no key"),
        (["--package", "none"], "there is no folder none"),
        (["--package", "EMPTY"], "is no package"),
        (["--package", "PACKAGE", "orders-late"], "serve a SERVICE of this project"),
        (["orders-late", "--open"], "go with --package"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_served_is_said(words: list[str], said: str, package: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    places = {"PACKAGE": package, "EMPTY": tmp_path / "empty"}

    ran = subprocess.run([sys.executable, "-m", "sampan", "serve", *(str(places.get(w, w)) for w in words)], capture_output=True, text=True)

    assert 2 <= ran.returncode
    assert said in ran.stderr
