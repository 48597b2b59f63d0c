"""The commands that stay in the foreground, as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

import sampan as package
from sampan.cli import calls
from sampan.errors import ParameterError, StoreUnavailable
from sampan.web.commands import listen


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    command = [sys.executable, "-m", "sampan", *words]
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
def test_ui_prints_where_it_is_and_ends_quietly_at_control_c(tmp_path: Path) -> None:
    with started(tmp_path, "ui", "--port", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        url = line.split()[-1]
        assert line == f"{tmp_path.name} is at {url}\n"
        assert httpx2.get(url).status_code == 200

        process.send_signal(signal.SIGINT)

        assert process.wait(20) == 0
        assert process.stderr.read() == ""
    assert list(tmp_path.iterdir()) == []  # looking writes nothing


@pytest.mark.slow
def test_server_prints_a_token_and_answers_to_names_it_was_told(tmp_path: Path) -> None:
    with started(tmp_path, "server", "--port", "0", "--allow-host", "ML.example", "--json") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        token = told["url"].partition("token=")[2]
        url = f"http://127.0.0.1:{told['port']}/api/v1/status"
        headers = {"authorization": f"Bearer {token}"}

        assert len(token) >= 40
        assert httpx2.get(url, headers={**headers, "host": "ml.example"}).status_code == 200
        assert httpx2.get(url, headers={**headers, "host": "other.example"}).status_code == 403


def test_a_port_that_is_taken_is_told_and_the_customary_one_gives_way() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(StoreUnavailable, match=f"cannot listen on 127.0.0.1:{port}"):
            listen("127.0.0.1", port)
    with listen("127.0.0.1", None) as one, listen("127.0.0.1", None) as other:
        assert one.getsockname()[1] != other.getsockname()[1]


def test_an_address_of_no_machine_is_told() -> None:
    with pytest.raises(ParameterError, match=r"no\.such\.host\.invalid"):
        listen("no.such.host.invalid", 0)


def test_serving_a_service_that_is_not_there_is_one_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calls.run(["serve", "late", "--project", str(tmp_path)]) == 2
    assert "belongs to no project" in capsys.readouterr().err


def test_ipv6_loopback_is_served_where_the_machine_has_it() -> None:
    if socket.has_ipv6:
        with listen("::1", 0) as listening:
            assert listening.family == socket.AF_INET6
