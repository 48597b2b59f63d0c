"""The remote client against a real server."""

import inspect
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import sampan
from sampan.errors import AccessDenied, NotFound, NotSignedIn, ParameterError, Unavailable, UsageError
from sampan.remote import _error_from, _made_up, _with_nan
from sampan.workspace.lineage.tracing_answers import Lineage
from sampan.workspace.overview import Status
from sampan.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def served(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from sampan.core.events import VersionCommitted, new_id

    folder = tmp_path_factory.mktemp("delays")
    with Workspace.open(folder) as ws:
        ws.ledger.append(VersionCommitted(node=new_id(), kind="dataset", name="flights", digest=""))
    with serve(folder, "server") as one:
        yield one


def test_the_same_call_gives_the_same_answer_here_and_there(served: Any) -> None:
    with Workspace.open(served.project) as here, sampan.connect(served.url) as there:
        assert there.home.status() == here.home.status()
        assert there.home.lineage("flights", down=True) == here.home.lineage("flights", down=True)
        assert there.audit.log(limit=1) == here.audit.log(limit=1)
        assert isinstance(there.home.status(), Status)
        assert isinstance(there.home.lineage("flights"), Lineage)


def test_a_write_goes_through(served: Any) -> None:
    with sampan.connect(served.base, token=served.token) as there:
        assert there.home.gc(dry_run=True).dry_run is True


def test_methods_have_the_signature_and_text_of_the_operation(served: Any) -> None:
    with sampan.connect(served.url) as there:
        signature = inspect.signature(there.home.lineage)

        assert str(signature) == "(ref, *, down=False, depth=50, limit=300)"
        assert there.home.lineage.__doc__.startswith("Show what a version was made from")
        assert "lineage" in dir(there.home)
        assert "audit" in dir(there)


def test_errors_are_of_the_same_class_with_the_same_fields(served: Any) -> None:
    with Workspace.open(served.project) as here, sampan.connect(served.url) as there:
        with pytest.raises(NotFound) as local:
            here.home.lineage("flight")
        with pytest.raises(NotFound) as remote:
            there.home.lineage("flight")
        assert remote.value.__dict__ == local.value.__dict__
        assert str(remote.value) == str(local.value)

        with pytest.raises(ParameterError, match="depth: 'x' is not a whole number"):
            there.home.lineage("flights", depth="x")
        with pytest.raises(TypeError, match="missing a required argument: 'ref'"):
            there.home.lineage()


def test_what_is_not_there_is_said_with_what_is(served: Any) -> None:
    with sampan.connect(served.url) as there:
        with pytest.raises(AttributeError, match="no room 'audt'"):
            _ = there.audt
        with pytest.raises(AttributeError, match="no operation 'verfy'; it has"):
            _ = there.audit.verfy
        with pytest.raises(NotFound):
            there.room("audt")


def test_local_operations_are_not_offered(served: Any) -> None:
    with sampan.connect(served.url) as there:
        assert "doctor" not in dir(there.home)


def test_a_missing_or_wrong_token_is_told(served: Any) -> None:
    with pytest.raises(NotSignedIn):
        sampan.connect(served.base)
    with pytest.raises(AccessDenied):
        sampan.connect(served.base, token="wrong")


def test_threads_share_a_client(served: Any) -> None:
    answers: list[Any] = []
    with sampan.connect(served.url) as there:
        threads = [Thread(target=lambda: answers.append(there.home.status())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(answers) == 8


@pytest.mark.slow
def test_a_server_that_restarted_is_reached_again(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path) as first:
        there = sampan.connect(first.url)
        assert there.home.status().counts == {}
    with pytest.raises(Unavailable, match="does not answer"):
        there.home.status()


def test_an_address_where_nobody_answers_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    with pytest.raises(Unavailable, match="does not answer"):
        sampan.connect(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("url", ["", "localhost:4140", "ftp://x", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        sampan.connect(url)


def test_an_answer_of_a_room_unknown_here_is_still_a_struct() -> None:
    made = _made_up("Tasted", {"sweet": 3, "next": ["sampan taste"]})

    assert (type(made).__name__, made.sweet, made.next) == ("Tasted", 3, ("sampan taste",))


def test_nan_comes_back_where_json_wrote_null() -> None:
    from sampan.core.graph import MetricPoints, MetricSummary

    points = _with_nan({"key": "loss", "steps": [1], "at": [2], "values": [None]}, MetricPoints)
    assert points["values"][0] != points["values"][0]

    summary = _with_nan({"key": "loss", "last": None, "n": 1}, MetricSummary)
    assert summary["last"] != summary["last"]
    assert _with_nan(None, float | None) is None


def test_an_answer_that_is_no_sampan_error_is_told() -> None:
    assert isinstance(_error_from(502, b"<html>", "http://x"), Unavailable)
