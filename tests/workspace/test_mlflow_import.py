"""Stores of the real MLflow, 3 and 2, come over whole and go back: what its client reads after the way round is what it read before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sampan.core.mlflow import MlflowExperiment, MlflowModel, MlflowRegistered
from sampan.errors import AlreadyExists, DataFormatError, NotFound
from sampan.workspace.mlflow.folder import MlflowFolder
from sampan.workspace.mlflow.importing import MlflowImport, opened_source
from sampan.workspace.mlflow.told import ToldToMlflow
from sampan.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
LARGEST = sys.float_info.max
SCRIPT = Path(__file__).with_name("mlflow_store.py")


Told = dict[str, Any]


def mlflow(peer: str, *words: str, cwd: Path) -> list[Told]:
    """Let the real client do things, and return what it told."""
    python = ROOT / ".peers" / peer / "bin" / "python"
    assert python.exists(), "make peers"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "GIT_PYTHON_REFRESH": "quiet", "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run([python, SCRIPT, *words], capture_output=True, text=True, cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line.removeprefix("TOLD ")) for line in done.stdout.splitlines() if line.startswith("TOLD ")]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Told]]:
    """A folder and a SQLite database of MLflow 3, and a folder of MLflow 2, with what their clients read from them."""
    home = tmp_path_factory.mktemp("stores")
    folder, database, old = str(home / "three"), f"sqlite:///{home}/three.db", str(home / "two")
    new = mlflow("mlflow3", "fill", folder, "tell", folder, "fill", database, "tell", database, cwd=home)
    (former,) = mlflow("mlflow2", "fill", old, "tell", old, cwd=home)
    return {"folder": (folder, new[0]), "sqlite": (database, new[1]), "mlflow2": (old, former)}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "project").mkdir()
    return Workspace.open(tmp_path / "project")


@pytest.mark.slow
@pytest.mark.parametrize("names", [("folder", "sqlite"), ("mlflow2",)])
def test_what_went_to_sampan_and_back_is_what_it_was(names: tuple[str, ...], stores: dict[str, tuple[str, Told]], tmp_path: Path) -> None:
    words = []
    for name in names:
        (tmp_path / name).mkdir()
        with Workspace.open(tmp_path / name) as ws:
            words += ["tell", _there_and_back(ws, stores[name][0], tmp_path / f"{name}-back")]

    after = mlflow("mlflow2" if "mlflow2" in names else "mlflow3", *words, cwd=tmp_path)

    for name, found in zip(names, after, strict=True):
        before = stores[name][1]
        for what in ("experiments", "runs", "models", "registered", "versions"):
            assert before[what] == found[what], (name, what)


def _there_and_back(ws: Workspace, address: str, out: Path) -> str:
    came = ws.imports.mlflow(address)
    gone = ws.exports.mlflow(out)
    assert [3, 6, ()] == [came.experiments, came.runs, came.left]
    assert [6, ()] == [gone.runs, gone.left]
    assert ws.ledger.verify().first_bad is None
    assert ws.home.fsck().faults == ()
    # Once more, nothing changes.
    seq = ws.ledger.last
    again = ws.imports.mlflow(address)
    assert [0, 0, 0, 0, 0, 0] == [again.experiments, again.runs, again.updated, again.points, again.models, again.versions]
    assert seq == ws.ledger.last
    return str(out)


@pytest.mark.slow
def test_postgresql_holds_the_same_as_sqlite(stores: dict[str, tuple[str, Told]], ws: Workspace, tmp_path: Path, postgres_uri: str) -> None:
    """The tables of MLflow's SQLite store, copied as they are: its own store on PostgreSQL has the same names and kinds of values."""
    import psycopg

    kinds = {"BIGINT": "bigint", "INTEGER": "bigint", "FLOAT": "double precision", "BOOLEAN": "boolean"}
    file = stores["sqlite"][0].removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as there, psycopg.connect(postgres_uri) as here:
        for (table,) in there.execute("select name from sqlite_master where type = 'table'").fetchall():
            columns = [(row[1], kinds.get(row[2].split("(")[0], "text")) for row in there.execute(f"pragma table_info({table})")]
            quoted = [(f'"{name}"', kind) for name, kind in columns]
            here.execute(f"create table {table}({', '.join(f'{name} {kind}' for name, kind in quoted)})".encode())
            for row in there.execute(f"select {', '.join(name for name, _ in quoted)} from {table}").fetchall():
                values = [bool(v) if kind == "boolean" and v is not None else v for v, (_, kind) in zip(row, columns, strict=True)]
                here.execute(f"insert into {table} values ({', '.join(['%s'] * len(row))})".encode(), values)

    came = MlflowImport(ws, opened_source(postgres_uri)).carry_out()

    (tmp_path / "other").mkdir()
    with Workspace.open(tmp_path / "other") as other:
        assert 6 == MlflowImport(other, opened_source(stores["sqlite"][0])).carry_out().runs == came.runs
        assert repr(_runs(other)) == repr(_runs(ws))
        assert 2 == len(_traces(other))
        assert _traces(other) == _traces(ws)
        assert other.catalog.counts() == ws.catalog.counts()


@pytest.mark.slow
def test_a_servers_history_comes_by_its_protocol(stores: dict[str, tuple[str, Told]], ws: Workspace, tmp_path: Path) -> None:
    """The server is Sampan's, which answers as MLflow's does: what came from a folder is read from it over HTTP."""
    ws.imports.mlflow(stores["folder"][0])
    command = [sys.executable, "-m", "sampan", "ui", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=ws.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            url = json.loads(server.stdout.readline())["url"].rstrip("/")
            (tmp_path / "other").mkdir()
            with Workspace.open(tmp_path / "other") as other:
                came = other.imports.mlflow(url)
                assert () == came.left
                assert [_without_place(run) for run in _runs(ws)] == [_without_place(run) for run in _runs(other)]
                assert [] == [run for run in _runs(other) if not run["name"]]
                assert 2 == came.traces == len(_traces(other))
                assert _traces(ws) == _traces(other)
        finally:
            server.terminate()


def _runs(ws: Workspace) -> list[dict[str, Any]]:
    import msgspec

    source = ToldToMlflow(ws)
    return [msgspec.to_builtins(run) for each in source.experiments() for run in source.runs(each, source.run_ids(each))]


def _traces(ws: Workspace) -> list[dict[str, Any]]:
    import msgspec

    source = ToldToMlflow(ws)
    found = [msgspec.to_builtins(trace) for each in source.experiments() for trace in source.traces(each)]
    return [
        {**each, "experiment_id": "", "tags": {k: v for k, v in each["tags"].items() if k != "mlflow.artifactLocation"}} for each in found
    ]


def _without_place(run: dict[str, Any]) -> dict[str, Any]:
    # The protocol has no infinity, and gives equal points once.
    points = {
        key: sorted({(step, at, max(min(value, LARGEST), -LARGEST)) for step, at, value in found if value == value})
        for key, found in run["points"].items()
    }
    return {**run, "location": "", "points": points}


@pytest.mark.slow
def test_an_import_killed_at_any_moment_is_completed_by_the_next(stores: dict[str, tuple[str, Told]], tmp_path: Path) -> None:
    """Killed when its first runs are there, and sooner: the next one brings the rest, and nothing twice."""
    project, whole = tmp_path / "killed", tmp_path / "whole"
    project.mkdir()
    whole.mkdir()
    for delay_s in (0.25, 0.35, 0.45, 0.6, 0.8):
        command = [sys.executable, "-m", "sampan", "import", "mlflow", stores["folder"][0]]
        with subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(delay_s)
            os.kill(process.pid, signal.SIGKILL)
    with Workspace.open(project) as killed, Workspace.open(whole) as other:
        for each in (killed, other):
            each.imports.mlflow(stores["folder"][0])
        assert repr(_runs(other)) == repr(_runs(killed))
        assert other.catalog.counts() == killed.catalog.counts()
        assert killed.home.fsck().faults == ()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder by hand, as an old release left it: without names, deleted state or steps."""
    home = tmp_path / "mlruns"
    run = home / "1" / ("ab" * 16)
    for name in ("params", "metrics", "tags", "artifacts"):
        (run / name).mkdir(parents=True)
    (home / "1" / "meta.yaml").write_text("experiment_id: 1\nname: old\nartifact_location: /gone/1\n")
    (run / "meta.yaml").write_text(
        f"run_uuid: {'ab' * 16}\nexperiment_id: 1\nstatus: 3\nstart_time: 5\nend_time: 9\nname: ''\nuser_id: ana\n"
    )
    (run / "params" / "depth").write_text("3")
    (run / "metrics" / "loss").write_text("10 0.5\n11 0.25\n")
    return home


def test_an_old_folder_that_was_moved_comes_as_well(folder: Path, ws: Workspace) -> None:
    (folder / "1" / ("ab" * 16) / "artifacts" / "a.txt").write_text("x")

    came = MlflowImport(ws, opened_source(str(folder))).carry_out()

    assert [1, 1, 2, 1, ()] == [came.experiments, came.runs, came.points, came.files, came.left]
    row = ws.catalog.run("ab" * 16)
    assert ["old", "finished", 5, 9, "ana"] == [row.experiment, row.state, row.started, row.ended, row.node.actor]
    assert [0.5, 0.25] == ws.catalog.metric_history(row.node.id, "loss").values


def test_what_happened_there_since_comes_by_importing_again(folder: Path, ws: Workspace) -> None:
    MlflowImport(ws, opened_source(str(folder))).carry_out()
    run = folder / "1" / ("ab" * 16)
    (run / "metrics" / "loss").write_text("10 0.5\n11 0.25\n12 0.125 7\n")
    (run / "tags" / "kind").write_text("late")
    (run / "params" / "more").write_text("1")
    (run / "artifacts" / "b.txt").write_text("y")

    came = MlflowImport(ws, opened_source(str(folder))).carry_out()

    assert [0, 1, 1] == [came.runs, came.updated, came.points]
    assert [0.5, 0.25, 0.125] == ws.catalog.metric_history("ab" * 16, "loss").values
    assert "late" == ws.catalog.tags("ab" * 16)["kind"]
    assert {"depth": "3", "more": "1"} == ws.catalog.params("ab" * 16)
    assert ["b.txt"] == [each.path for each in ws.catalog.artifacts("ab" * 16)]


def test_a_record_cannot_name_other_files_of_this_machine(folder: Path, ws: Workspace, tmp_path: Path) -> None:
    run = folder / "1" / ("ab" * 16)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.txt").write_text("secret")
    (run / "artifacts" / "link.txt").symlink_to(tmp_path / "secret" / "key.txt")
    (run / "meta.yaml").write_text((run / "meta.yaml").read_text() + f"artifact_uri: {tmp_path}/secret\n")
    MlflowImport(ws, opened_source(str(folder))).carry_out()
    shutil.rmtree(run / "artifacts")
    MlflowImport(ws, opened_source(str(folder))).carry_out()

    assert [] == ws.catalog.artifacts("ab" * 16)


def test_names_from_elsewhere_lead_to_no_file_outside_an_export(ws: Workspace, tmp_path: Path) -> None:
    class Hostile(MlflowFolder):
        def experiments(self) -> list[MlflowExperiment]:
            return [MlflowExperiment(id="../../escape", name="../escape")]

        def run_ids(self, experiment: MlflowExperiment) -> list[str]:
            return []

        def models(self, experiment: MlflowExperiment) -> Iterator[MlflowModel]:
            return iter(())

        def registered(self) -> Iterator[MlflowRegistered]:
            return iter([MlflowRegistered(name="../../escape"), MlflowRegistered(name="fine")])

    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")
    MlflowImport(ws, Hostile(tmp_path / "mlruns")).carry_out()

    gone = ws.exports.mlflow(tmp_path / "a" / "b" / "out")

    assert [1, 1, 1] == [gone.experiments, gone.registered, len(gone.left)]
    assert [] == [path for path in tmp_path.rglob("*escape*") if "project" not in path.parts]


def test_a_registered_model_of_the_same_name_is_not_mixed_with_another(folder: Path, ws: Workspace, tmp_path: Path) -> None:
    for home in (folder, tmp_path / "second"):
        if home != folder:
            shutil.copytree(folder, home)
        version = home / "models" / "churn" / "version-1"
        version.mkdir(parents=True, exist_ok=True)
        (home / "models" / "churn" / "meta.yaml").write_text("name: churn\ncreation_timestamp: 1\nlast_updated_timestamp: 1\n")
        created = 2 if home == folder else 3
        (version / "meta.yaml").write_text(f"name: churn\nversion: 1\ncreation_timestamp: {created}\nsource: x\ncurrent_stage: None\n")
    MlflowImport(ws, opened_source(str(folder))).carry_out()
    seq = ws.ledger.last

    with pytest.raises(AlreadyExists, match="churn; nothing was brought"):
        MlflowImport(ws, opened_source(str(tmp_path / "second"))).carry_out()
    assert seq == ws.ledger.last


@pytest.mark.parametrize("text", ["a: [", "- a", "a: !!python/object/apply:os.system ['true']"])
def test_a_record_that_is_none_is_named(text: str, folder: Path, ws: Workspace) -> None:
    (folder / "1" / ("ab" * 16) / "meta.yaml").write_text(text)

    with pytest.raises(DataFormatError, match=r"meta\.yaml"):
        MlflowImport(ws, opened_source(str(folder))).carry_out()


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database")
    with pytest.raises(NotFound, match="holds no experiments"):
        opened_source(str(tmp_path))
    with pytest.raises(NotFound, match="there is no file"):
        opened_source("sqlite:///nowhere.db")
    with pytest.raises(DataFormatError, match="cannot be read"):
        opened_source(str(tmp_path / "x.db"))


def test_an_export_goes_into_no_folder_with_other_things(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()

    with pytest.raises(AlreadyExists, match="not empty"):
        ws.exports.mlflow(tmp_path / "full")


def test_names_that_no_file_can_have_are_told(ws: Workspace, tmp_path: Path) -> None:
    import sampan as sp

    with sp.run("own", params={"../../escape": "1", "a": "2", "a/b": "3"}, project=ws.root) as run:
        run.log("loss", 0.5)

    gone = ws.exports.mlflow(tmp_path / "out")

    assert 2 == len(gone.left)
    assert not (tmp_path / "escape").exists()
    (experiment,) = [each for each in opened_source(str(tmp_path / "out")).experiments() if isinstance(each, MlflowExperiment)]
    assert [run.id] == list(opened_source(str(tmp_path / "out")).run_ids(experiment))
