"""A server process of `linear_service.py` and a plain client for it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("linear_service.py")

LIVE: dict[str, Any] = {"version": "linear@v1", "weights": [1.0, -1.0, 0.1]}
NEXT: dict[str, Any] = {"version": "linear@v2", "weights": [-2.0, 0.5, 0.0], "bias": 0.3}


class Running:
    """A server process and a plain client for it."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        self.write(plan)
        (folder / "ready.json").unlink(missing_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen([sys.executable, str(SCRIPT), str(folder)], env=environment)
        deadline = time.monotonic() + 60
        while not (folder / "ready.json").exists() or not (folder / "ready.json").read_text():
            assert self.process.poll() is None, "the server ended before it was ready"
            assert time.monotonic() < deadline, "the server was not ready in a minute"
            time.sleep(0.02)
        self.port = int((folder / "ready.json").read_text())

    def write(self, plan: dict[str, Any]) -> None:
        (self.folder / "routing.json").write_text(json.dumps(plan))

    def ask(self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = self.connect()
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, body=data, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read()
            is_json = answer.headers["content-type"] == "application/json"
            return answer.status, json.loads(text) if is_json else text.decode()
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def reload(self, plan: dict[str, Any]) -> None:
        self.write(plan)
        status, body = self.ask("POST", "/admin/reload", headers={"Authorization": "Bearer secret"})
        assert status == 200, body

    def metric(self, name: str, **labels: str) -> float:
        from sampan.serving.exposition import parse, total

        return total(parse(self.ask("GET", "/metrics")[1]), name, **labels)

    def takes_connections(self) -> bool:
        connection = self.connect()
        try:
            connection.connect()
        except ConnectionError:
            return False
        finally:
            connection.close()
        return True

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "did not come true in 30 s"
            time.sleep(0.02)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)
