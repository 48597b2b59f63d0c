"""What webhooks' receivers are told, also after a restart and after they were away, and where a webhook must not lead."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from sampan.web.app import create_app
from sampan.web.mlflow.sending import Undelivered, is_public, send
from sampan.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from webhook_receiver import Receiver

API = "/api/2.0/mlflow"
MADE = {"entity": "REGISTERED_MODEL", "action": "CREATED"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "sampan.toml").write_text('[webhooks]\nallow = ["127.0.0.1"]\n[governance]\nkeys = "keys"\n')
    return tmp_path


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver("known to both") as found:
        yield found


def living(project: Path) -> TestClient:
    """Return an application whose threads run while it is entered."""
    return TestClient(create_app(Workspace.open(project)), base_url="http://127.0.0.1")


def hook(http: TestClient, url: str, **more: Any) -> Any:
    given = {"name": "ci", "url": url, "events": [MADE], "secret": "known to both", **more}
    return http.post(f"{API}/webhooks", json=given)


def register(http: TestClient, name: str) -> None:
    assert 200 == http.post(f"{API}/registered-models/create", json={"name": name}).status_code


def test_what_a_receiver_could_not_take_it_gets_later_in_order(project: Path, receiver: Receiver) -> None:
    with living(project) as http:
        register(http, "before")
        assert 200 == hook(http, receiver.url).status_code
        receiver.failures = 1
        for name in ("a", "b", "c"):
            register(http, name)

        assert ["a", "b", "c"] == [each["data"]["name"] for each in receiver.wait_for(3)]


def test_what_happened_while_no_server_ran_is_told_when_one_does(project: Path, receiver: Receiver) -> None:
    with living(project) as http:
        hook(http, receiver.url)
    register(living(project), "meanwhile")  # entered by nobody: its threads do not run
    assert [] == receiver.got
    with living(project):
        assert ["meanwhile"] == [each["data"]["name"] for each in receiver.wait_for(1)]


def test_a_receiver_that_is_disabled_or_deleted_is_told_nothing(project: Path, receiver: Receiver) -> None:
    with living(project) as http, Receiver("known to both") as other:
        found = [hook(http, each.url, name=name).json()["webhook"]["webhook_id"] for each, name in ((receiver, "a"), (other, "b"))]
        http.patch(f"{API}/webhooks/{found[0]}", json={"status": "DISABLED"})
        register(http, "m")
        assert 1 == len(other.wait_for(1))
        http.delete(f"{API}/webhooks/{found[1]}")
        register(http, "n")

        assert [[], 1] == [receiver.got, len(other.got)]
        assert ["a"] == [each["name"] for each in http.get(f"{API}/webhooks").json()["webhooks"]]


def test_a_secret_is_neither_shown_nor_kept_in_the_clear(project: Path, receiver: Receiver) -> None:
    with living(project) as http:
        told = hook(http, receiver.url).text + http.get(f"{API}/webhooks").text

    kept = b"".join(file.read_bytes() for file in (project / ".sampan").rglob("*") if file.is_file())
    assert "known to both" not in told
    assert b"known to both" not in kept


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "http://example.org/x",
        "https://user:word@example.org/",
        "https://",
        "//x",
        "file:///etc/passwd",
        "https://a:b/",
    ],
)
def test_an_address_that_is_no_webhook_is_refused(url: str, project: Path) -> None:
    answer = hook(living(project), url)

    assert [400, "INVALID_PARAMETER_VALUE"] == [answer.status_code, answer.json()["error_code"]]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "224.0.0.1",
    ],
)
def test_the_servers_own_network_is_not_public(address: str) -> None:
    assert not is_public(address)


def test_the_open_network_is_public() -> None:
    assert is_public("93.184.215.14")
    assert is_public("2606:2800:21f:cb07:6820:80da:af6b:8b2c")


def test_a_name_that_leads_inside_is_not_followed(receiver: Receiver) -> None:
    inside = receiver.url.replace("127.0.0.1", "localhost")
    with pytest.raises(Undelivered, match="lies within this network"):
        send(inside, {"entity": "e", "action": "a", "data": {}}, now=0, secret="", allowed=())
    assert [] == receiver.got


def test_an_example_that_does_not_arrive_says_why(project: Path) -> None:
    http = living(project)
    made = hook(http, "https://localhost:9/x").json()["webhook"]["webhook_id"]
    result = http.post(f"{API}/webhooks/{made}/test", json={}).json()["result"]

    assert [False, True] == [result["success"], "lies within this network" in result["error_message"]]
