"""The database is out of reach while a program trains: it goes on, and when the database answers again everything is there."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

import sampan as sp
from sampan.errors import StoreUnreachable
from sampan.workspace.runs import late_events
from sampan.workspace.workspace import Workspace

pytestmark = pytest.mark.slow
CUT_S = 3.0
TRAIN = """
import time, sys
import sampan as sp
sp.log("loss", 1.0)
print("begun", flush=True)
for step in range(200):
    sp.log("loss", 1 / (step + 2))
    time.sleep(0.02)
"""


class Wire:
    """A socket that leads to the database's, until it is cut."""

    def __init__(self, folder: Path, uri: str) -> None:
        there = Path(parse_qs(urlsplit(uri).query)["host"][0])
        self._server = next(there.glob(".s.PGSQL.*[0-9]"))
        self.place = folder / self._server.name
        self.uri = uri.replace(str(there), str(folder)).replace(str(there).replace("/", "%2F"), str(folder).replace("/", "%2F"))
        self._open: list[socket.socket] = []
        self.mend()

    def mend(self) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.place))
        self._listening.listen()
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        self.place.unlink()
        self._listening.close()
        for each in self._open:
            each.close() if each.fileno() < 0 else each.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._server))
            self._open += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
        except OSError:
            pass
        finally:
            source.close()
            sink.close()


@pytest.fixture
def wire(tmp_path: Path, postgres_uri: str) -> Wire:
    found = Wire(tmp_path, postgres_uri)
    (tmp_path / "sampan.toml").write_text(f'[store]\ndatabase = "{found.uri}"\n')
    return found


def test_a_program_goes_on_while_the_database_is_out_of_reach(wire: Wire, tmp_path: Path) -> None:
    with sp.run("long", params={"depth": 3}, project=tmp_path) as run:
        run.log("loss", 1.0)
        wire.cut()
        began = time.monotonic()
        while time.monotonic() < began + CUT_S:
            run.log("loss", time.monotonic() - began)
            time.sleep(0.01)
        run.params(width=5)
        run.tag("mood", "cut off")
        run.artifact(b"kept", "note.txt")
        assert time.monotonic() < began + CUT_S + 2  # it did not stand still
        wire.mend()
        run.tag("mood", "back")
        n_points = run._steps["loss"]

    with Workspace.open(tmp_path) as ws:
        assert "finished" == ws.catalog.run(run.id).state
        assert {"depth": "3", "width": "5"} == ws.catalog.params(run.id)
        assert "back" == ws.catalog.tags(run.id)["mood"]
        assert ["note.txt"] == [each.path for each in ws.catalog.artifacts(run.id)]
        assert list(range(n_points)) == ws.catalog.metric_history(run.id, "loss").steps
        assert 0 == ws.audit.verify().exit_code()


def test_a_watched_program_ends_while_the_database_is_out_of_reach(wire: Wire, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    command = [sys.executable, "-m", "sampan", "run", "train.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "begun" in line:
                break
        wire.cut()
        time.sleep(CUT_S + 3)  # it has trained to its end
        assert process.poll() is None
        wire.mend()
        rest = process.communicate(timeout=60)[0]

    assert 0 == process.returncode, rest
    with Workspace.open(tmp_path) as ws:
        (row,) = ws.catalog.runs(limit=10)
        assert "finished" == row.state
        assert 201 == len(ws.catalog.metric_history(row.node.id, "loss").steps)


def test_a_database_that_stays_away_is_said_and_no_point_is_lost(wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_events, "PATIENCE_S", 1.0)
    run = sp.run("long", project=tmp_path)
    run.log("loss", 1.0)
    wire.cut()
    run.log("loss", 2.0)
    with pytest.raises(StoreUnreachable, match="does not answer"):
        run.end()
    wire.mend()

    with Workspace.open(tmp_path) as ws:
        assert [1.0, 2.0] == ws.catalog.metric_history(run.id, "loss").values
    with sp.run(resume=run.id, project=tmp_path) as again:
        again.log("loss", 3.0)
    with Workspace.open(tmp_path) as ws:
        assert "finished" == ws.catalog.run(run.id).state
        assert [1.0, 2.0, 3.0] == ws.catalog.metric_history(run.id, "loss").values
