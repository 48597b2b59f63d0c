"""Servers of several processes, of many services, behind keys and over TLS: real processes, real packages, killed for real."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_package import WEIGHTS, add_package, draw_orders, requests_of, true_chances
from wild_graphs import wild_graph

from sampan.core.events import AliasMoved
from sampan.errors import Unavailable
from sampan.serving.exposition import parse, total
from sampan.workspace.services import process
from sampan.workspace.services.process import Liveness
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow  # processes for each

NAME = "orders-late"
PATIENCE_S = 180  # of a machine that others keep busy
ROWS = requests_of(draw_orders(20, first=0, day=0, rng=np.random.default_rng(0)))


class Server:
    """A project, and the server that its configuration asks for."""

    def __init__(self, ws: Workspace, *words: str) -> None:
        self.ws = ws
        self.files = process.ServiceFiles(ws.store_folder, process.EVERY if "--all" in words else NAME)
        self.live = process.start(self.files, [sys.executable, "-m", "sampan", "serve", *words, "--project", str(ws.root)])

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "", **headers: str) -> tuple[int, Any, dict[str, str]]:
        connection = http.client.HTTPConnection(self.live.host, self.live.port, timeout=30)
        if self.live.tls:
            trusted = ssl.create_default_context(cafile=str(self.ws.root / "cert.pem"))
            connection = http.client.HTTPSConnection(self.live.host, self.live.port, timeout=30, context=trusted)
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | ({"authorization": f"Bearer {key}"} if key else {})
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read()
            told = json.loads(text) if answer.headers["content-type"] == "application/json" else text.decode()
            return answer.status, told, dict(answer.headers)
        finally:
            connection.close()

    def workers(self) -> list[Liveness]:
        return [one for one in process.processes(self.files, self.live) if one.worker is not None]

    def wait_until_heard(self, worker: Liveness) -> None:
        """Wait until the process that watches has what a worker counts now: it came twice, so what it was told first is with it."""

        def met() -> int:
            lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
            return sum(address.endswith(f":{worker.port:04X}") for line in lines for address in line.split()[1:3])

        before = met()
        self.wait_for(lambda: met() >= before + 2)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, f"did not come true in {PATIENCE_S} s"
            time.sleep(0.05)


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    opened: list[Any] = []

    def start(*words: str, config: str = "", prepare: Callable[[Workspace], object] = lambda _: None) -> Server:
        (tmp_path / "sampan.toml").write_text(config)
        ws = Workspace.open(tmp_path)
        opened.append(ws)
        add_package(ws, tmp_path / "first")
        ws.service.deploy(NAME, start=False)
        prepare(ws)
        opened.insert(0, Server(ws, *(words or (NAME,))))
        return opened[0]  # type: ignore[no-any-return]

    yield start
    for one in opened:
        if isinstance(one, Server) and process.find(one.files) is not None:
            process.stop(one.files, one.live)
    for one in opened:
        if isinstance(one, Workspace):
            one.close()


def by_hand(rows: list[dict[str, Any]]) -> Any:
    return pytest.approx([float(true_chances(np.array(r["x1"]), np.array(r["x2"]), WEIGHTS)) for r in rows], abs=1e-5)


def test_a_worker_killed_with_9_is_replaced_and_counts_do_not_fall(serve: Serve) -> None:
    server = serve(NAME, "--workers", "2")
    for _ in range(20):
        assert server.ask("POST", "/predict", ROWS[0])[0] == 200
    counted = total(parse(server.ask("GET", "/metrics")[1]), "sampan_predictions_total")
    victim = server.workers()[0]
    server.wait_until_heard(victim)

    os.kill(victim.pid, signal.SIGKILL)
    server.wait_for(lambda: len(server.workers()) == 2 and victim.pid not in [one.pid for one in server.workers()])
    answers = [server.ask("POST", "/predict", ROWS[1]) for _ in range(20)]

    assert counted == 20
    assert {status for status, _, _ in answers} == {200}
    assert total(parse(server.ask("GET", "/metrics")[1]), "sampan_predictions_total") == 40
    assert server.ws.service.show(NAME).deployments[0].predictions == 40


def test_every_worker_learns_what_one_of_them_was_fed(serve: Serve) -> None:
    def heed(ws: Workspace) -> None:
        add_package(ws, ws.root / "heeding", weights=(*WEIGHTS[:2], 2.0))  # a model that answers otherwise once it was fed
        ws.service.deploy(NAME, start=False)

    server = serve(NAME, "--workers", "2", prepare=heed)
    late: dict[str, Any] = {"shop": ROWS[5]["shop"], "late": 1.0, "done": ROWS[5]["at"]}
    row: dict[str, Any] = {**ROWS[5], "at": late["done"] + 1}

    def scores() -> list[float]:
        said = [process.ask(one, "POST", "/predict", body=json.dumps(row).encode())[1] for one in server.workers()]
        return [json.loads(one)["score"] for one in said]

    before = scores()
    status, _, _ = server.ask("POST", "/feed/orders", {"rows": [late], "at": ROWS[5]["at"]})
    server.wait_for(lambda: min(scores()) > max(before) + 0.1)
    asked = [server.ask("POST", "/predict", row)[1]["id"] for _ in range(30)]
    process.stop(server.files, server.live)
    from sampan.serving.records import predictions_stream

    (stream,) = [one for one in server.ws.store.segments.streams() if one.startswith(predictions_stream(NAME, ""))]
    logged = server.ws.store.segments.read(stream)[0]
    rates = dict(zip(logged["id"].to_pylist(), logged["feature.shop_late"].to_pylist(), strict=True))
    assert status == 200
    assert [rates[one] for one in asked] == [1.0] * 30, "once fed, by whichever process, and not twice"


def test_a_model_that_hangs_costs_its_callers_their_deadline_and_its_neighbors_nothing(serve: Serve) -> None:
    def wild(ws: Workspace) -> None:
        add_package(ws, ws.root / "wild", name="wild", graph=wild_graph(WEIGHTS, hangs_at=5.0, throws_at=3.0))
        ws.service.deploy("wild", start=False)

    server = serve("--all", config="[serving]\nconcurrency = 1\nqueue = 1\n", prepare=wild)
    bad, worse = {**ROWS[0], "x1": 4.0}, {**ROWS[0], "x1": 6.0}

    threw = server.ask("POST", "/services/wild/predict", bad)
    hung = server.ask("POST", "/services/wild/predict", worse, x_request_timeout_ms="200")
    neighbor = server.ask("POST", f"/services/{NAME}/predict", {"rows": ROWS})
    waits = server.ask("POST", "/services/wild/predict", ROWS[0], x_request_timeout_ms="200")

    assert (threw[0], threw[1]["code"]) == (500, "model_failed")
    assert threw[1]["error"].startswith("wild@v1 failed on this request: InvalidArgument")
    assert (hung[0], hung[1]["error"]) == (504, "no answer after 0.2 s")
    assert [p["score"] for p in neighbor[1]["predictions"]] == by_hand(ROWS)
    assert waits[0] == 504, "the one place of this model is taken by the request that hangs"


def test_a_worker_whose_loop_hangs_is_replaced(serve: Serve) -> None:
    def wild(ws: Workspace) -> None:
        add_package(ws, ws.root / "wild", graph=wild_graph(WEIGHTS, hangs_at=5.0))
        ws.service.deploy(f"{NAME}@v2", start=False)

    server = serve(NAME, "--workers", "2", config="[serving]\nhang_s = 3.0\n", prepare=wild)
    before = {one.pid for one in server.workers()}
    for _ in range(60):  # proven quick, it runs on the event loop of both
        server.ask("POST", "/predict", ROWS[0])

    with pytest.raises((ConnectionError, http.client.HTTPException)):
        server.ask("POST", "/predict", {**ROWS[0], "x1": 6.0})
    server.wait_for(lambda: len(server.workers()) == 2 and {one.pid for one in server.workers()} != before)
    answers = [server.ask("POST", "/predict", ROWS[0])[0] for _ in range(10)]

    assert answers == [200] * 10
    assert len({one.pid for one in server.workers()} & before) == 1, "the other one went on"


def test_services_and_models_are_loaded_when_first_asked_and_unloaded_when_memory_is_short(serve: Serve) -> None:
    def many(ws: Workspace) -> None:
        for i in range(6):
            add_package(ws, ws.root / f"m{i}", name=f"model-{i}")
            champion(ws, f"model-{i}")

    server = serve("--all", "--models", config='[serving]\nmemory_mb = 1\nalias = "champion"\n', prepare=many)

    none = server.ask("GET", "/health")[1]["loaded"]
    answers = [server.ask("POST", f"/services/model-{i}/predict", ROWS[0]) for i in (0, 1, 2, 3, 4, 5, 0)]
    infer = server.ask("GET", "/v2/models/model-3")
    unknown = server.ask("POST", "/services/model-7/predict", ROWS[0])
    counted = parse(server.ask("GET", "/metrics")[1])

    assert none == 0
    assert [(status, body["version"]) for status, body, _ in answers] == [(200, f"model-{i}@v1") for i in (0, 1, 2, 3, 4, 5, 0)]
    assert (infer[0], infer[1]["name"]) == (200, "model-3")
    assert (unknown[0], unknown[1]["did_you_mean"][0][:6]) == (404, "model-")
    assert total(counted, "sampan_unloaded_services_total") >= 5
    assert server.ask("GET", "/health")[1]["loaded"] < 7


def test_with_a_key_everyone_needs_one_for_its_services_at_its_rate(serve: Serve) -> None:
    server = serve(NAME)
    made = server.ws.service.key_add("shop", rate=5)
    other = server.ws.service.key_add("bank", service=[NAME])
    server.wait_for(lambda: server.ask("POST", "/predict", ROWS[0])[0] == 401)

    without = server.ask("POST", "/predict", ROWS[0])
    answers = [server.ask("POST", "/predict", ROWS[0], key=made.key) for _ in range(12)]
    server.ws.service.key_revoke("bank")
    server.wait_for(lambda: server.ask("POST", "/predict", ROWS[0], key=other.key)[0] == 401)

    assert without[1]["code"] == "not_signed_in"
    assert [status for status, _, _ in answers[:4]] == [200] * 4
    refused = [(status, told["code"], int(headers["retry-after"])) for status, told, headers in answers if status != 200]
    assert set(refused) == {(429, "too_many_requests", 1)}
    assert server.ask("GET", "/v2/health/ready")[0] == 200, "a load balancer needs no key"
    stored = b"".join(path.read_bytes() for path in server.ws.store_folder.rglob("*") if path.is_file())
    assert made.key.encode() not in stored, "only hashes are kept"
    assert server.ws.service.show(NAME).state == "running", "the commands have the server's own token"


def test_nothing_listens_beyond_loopback_without_a_key(serve: Serve) -> None:
    with pytest.raises(Unavailable, match=r"0\.0\.0\.0 is reached by others, and there is no key"):
        serve(NAME, "--host", "0.0.0.0")  # what is refused


def test_it_answers_over_tls_with_files_of_a_certificate(serve: Serve, tmp_path: Path) -> None:
    write_certificate(tmp_path)
    server = serve(NAME, "--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))

    status, body, _ = server.ask("POST", "/predict", {"rows": ROWS})

    assert server.live.url.startswith("https://")
    assert (status, [p["score"] for p in body["predictions"]]) == (200, by_hand(ROWS))
    assert server.ws.service.show(NAME).state == "running"


def test_where_it_answers_grpc_is_shown_also_of_several_processes(serve: Serve) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = serve(NAME, "--workers", "2", "--grpc-port", str(port))

    shown = server.ws.service.show(NAME)

    assert shown.grpc == f"127.0.0.1:{port}"
    assert f"gRPC at 127.0.0.1:{port}, process" in shown.text()


def champion(ws: Workspace, name: str) -> None:
    model = ws.catalog.resolve(f"{name}@v1", kind="model")
    ws.ledger.append(AliasMoved(kind="model", name=name, alias="champion", before=None, after=model.id))


def write_certificate(folder: Path) -> None:
    """Write a certificate for 127.0.0.1 that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sampan test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
