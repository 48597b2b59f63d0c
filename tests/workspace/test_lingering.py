"""A workspace kept open between a program's runs: never another's, never a store that is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import sampan as sp
from sampan.workspace.runs import lingering
from sampan.workspace.workspace import Workspace


def titles(folder: Path) -> list[str]:
    with Workspace.open(folder) as ws:
        return [run.title for run in ws.run.list().runs]


def test_runs_one_after_another_share_a_workspace_and_others_see_each_at_once(tmp_path: Path) -> None:
    kept = []
    for title in ("one", "two"):
        with sp.run("short", title=title, project=tmp_path) as run:
            run.log("loss", 0.5)
        kept.append(lingering._KEPT[0][0])
        assert title == titles(tmp_path)[0]

    assert kept[0] is kept[1]
    lingering.close_kept()
    assert [] == lingering._KEPT


def test_another_project_or_actor_gets_a_workspace_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with sp.run("short", title=folder, project=tmp_path / folder):
            pass
    monkeypatch.setenv("SAMPAN_ACTOR", "binh")
    with sp.run("short", title="c", project=tmp_path / "b"):
        pass

    assert (["a"], ["c", "b"]) == (titles(tmp_path / "a"), titles(tmp_path / "b"))
    with Workspace.open(tmp_path / "b") as ws:
        assert "binh" == ws.catalog.nodes(kind="run", limit=1)[0].actor


def test_a_store_that_was_removed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    with sp.run("short", title="lost", project=tmp_path):
        pass
    shutil.rmtree(tmp_path / ".sampan")
    with sp.run("short", title="kept", project=tmp_path):
        pass

    assert ["kept"] == titles(tmp_path)


def test_a_project_file_that_was_edited_meanwhile_is_read_again(tmp_path: Path) -> None:
    with sp.run("short", project=tmp_path):
        pass
    (tmp_path / "sampan.toml").write_text('[store]\nfolder = "elsewhere"\n')
    with sp.run("short", title="there", project=tmp_path):
        pass

    assert ["there"] == titles(tmp_path)
    assert (tmp_path / "elsewhere" / "sampan.db").exists()
