"""What a service's processes load: not Polars, not Arrow, nothing that trains, where its features look nothing up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from plain_package import ROWS, add_plain_package, asked

from sampan.serving.records import predictions_stream
from sampan.workspace.services import process
from sampan.workspace.workspace import Workspace

HEAVY = ("polars", "_polars_runtime", "pyarrow", "pandas", "scipy", "sklearn", "cryptography")


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_process_of_a_service_loads_polars_or_arrow(tmp_path: Path, workers: str) -> None:
    with Workspace.open(tmp_path) as ws:
        add_plain_package(ws, tmp_path / "package")
        ws.service.deploy("parcels", start=False)
        files = process.ServiceFiles(ws.store_folder, "parcels")
        live = process.start(files, [*process.server_command(tmp_path, "parcels"), "--workers", workers])
        try:
            scores = [asked(live, row) for row in ROWS]
            pids = {live.pid, *(one.pid for one in process.processes(files, live))}
            loaded = {pid: [name for name in HEAVY if f"/{name}" in Path(f"/proc/{pid}/maps").read_text()] for pid in pids}
        finally:
            process.stop(files, live)
        package = ws.catalog.resolve("parcels", kind="package")
        logged, _ = ws.store.segments.read(predictions_stream("parcels", package.id))

    assert pytest.approx([2.0, 1.1, 0.5], abs=1e-6) == scores
    assert {pid: [] for pid in pids} == loaded
    assert (1 if workers == "1" else 3) == len(pids)
    assert sorted(scores) == sorted(logged["score"].to_pylist())
