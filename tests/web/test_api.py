"""The operations over HTTP, on a real server."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sampan.core.events import VersionCommitted, new_id
from sampan.web.progress import KeptProgress
from sampan.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def served(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("delays")
    with Workspace.open(folder) as ws:
        for name in ("flights", "weather"):
            ws.ledger.append(VersionCommitted(node=new_id(), kind="dataset", name=name, digest=""))
    with serve(folder) as one:
        yield one


def test_reading_is_get_with_a_query(served: Any) -> None:
    answer = httpx2.get(served.base + "/api/v1/audit/log", params={"limit": 1, "after": 1})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert [row["seq"] for row in answer.json()["rows"]] == [2]


def test_a_top_level_verb_has_no_noun_in_its_path(served: Any) -> None:
    assert httpx2.get(served.base + "/api/v1/status").json()["counts"] == {"dataset": 2}


def test_writing_is_post_with_a_json_object(served: Any) -> None:
    assert httpx2.post(served.base + "/api/v1/gc", json={"dry_run": True}).json()["dry_run"] is True
    assert httpx2.post(served.base + "/api/v1/gc").json()["dry_run"] is False


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/gc", 405, "method"),
        ("POST", "/api/v1/status", 405, "method"),
        ("DELETE", "/api/v1/status", 405, "method"),
        ("GET", "/api/v1/statsu", 404, "not_found"),
        ("GET", "/api/v1/audit/verfy", 404, "not_found"),
        ("GET", "/api/v1/nothing/here", 404, "not_found"),
        ("GET", "/api/v1/a/b/c/d", 404, "not_found"),
        ("GET", "/api/v1/doctor", 403, "access_denied"),
        ("GET", "/api/v1/lineage", 400, "parameter"),
        ("GET", "/api/v1/lineage?ref=nothing", 404, "not_found"),
        ("GET", "/api/v1/log?limit=x", 400, "parameter"),
        ("GET", "/api/v1/log?limit=1&limit=2", 400, "parameter"),
    ],
)
def test_what_cannot_be_answered_is_an_error_with_its_documented_status(
    served: Any, method: str, path: str, status: int, code: str
) -> None:
    answer = httpx2.request(method, served.base + path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_refused_method_names_those_allowed(served: Any) -> None:
    assert httpx2.post(served.base + "/api/v1/status").headers["allow"] == "GET, HEAD, OPTIONS"
    assert httpx2.get(served.base + "/api/v1/gc").headers["allow"] == "POST, OPTIONS"


def test_options_says_what_is_allowed_and_head_has_no_body(served: Any) -> None:
    options = httpx2.options(served.base + "/api/v1/status")
    head = httpx2.head(served.base + "/api/v1/status")

    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"dry_run": 1}', b'{"dryrun": true}'])
def test_a_bad_body_is_one_clear_error(served: Any, body: bytes) -> None:
    answer = httpx2.post(served.base + "/api/v1/gc", content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "parameter")


def test_requests_at_once_are_all_answered(served: Any) -> None:
    codes: list[int] = []

    def ask() -> None:
        with httpx2.Client() as client:
            codes.extend(client.get(served.base + "/api/v1/log").status_code for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert codes == [200] * 80


def test_progress_can_be_asked_for(served: Any) -> None:
    assert httpx2.get(served.base + "/api/v1/progress").json() == {"stages": []}


def test_open_stages_are_kept_until_they_end() -> None:
    progress = KeptProgress()

    with progress.stage("train", total=20, unit="trials") as stage:
        stage.advance(3, "best 0.75")
        (kept,) = progress.stages()
        assert (kept["title"], kept["n"], kept["total"], kept["note"]) == ("train", 3, 20, "best 0.75")

    assert progress.stages() == []


def test_a_path_outside_of_the_project_cannot_be_named_over_http(tmp_path: Path) -> None:
    from msgspec.structs import replace

    from sampan.errors import AccessDenied
    from sampan.web.api import _confine_paths
    from sampan.workspace.operation import operations
    from sampan.workspace.parameters import Parameter, read_form

    operation = replace(operations("")["log"], parameters=(Parameter("file", read_form(Path)), Parameter("files", read_form(list[Path]))))
    with Workspace.open(tmp_path) as ws:
        for inside in ("a.csv", "sub/../b.csv", str(tmp_path / "c.csv")):
            _confine_paths(ws, operation, {"file": Path(inside), "files": [Path(inside)]})
        for outside in ("../x", "/etc/passwd", ".sampan/sampan.db"):
            with pytest.raises(AccessDenied):
                _confine_paths(ws, operation, {"file": Path(outside)})
            with pytest.raises(AccessDenied):
                _confine_paths(ws, operation, {"files": [Path("a"), Path(outside)]})
