import os
from pathlib import Path

import pytest

from sampan.errors import NotFound, ProjectFileError, UsageError
from sampan.workspace.home import Home
from sampan.workspace.workspace import Workspace, current_actor, find_root


def test_opening_a_workspace_writes_nothing(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as workspace:
        assert workspace.has_store is False

    assert list(tmp_path.iterdir()) == []


def test_the_store_is_made_on_first_use(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as workspace:
        assert workspace.catalog.assets() == []
        assert workspace.has_store

    assert (tmp_path / ".sampan").is_dir()


@pytest.mark.parametrize("mark", ["sampan.toml", ".sampan"])
def test_a_project_is_found_from_a_folder_inside_it(tmp_path: Path, mark: str) -> None:
    (tmp_path / mark).touch() if mark.endswith("toml") else (tmp_path / mark).mkdir()
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)

    with Workspace.open(inside) as workspace:
        assert workspace.root == tmp_path


def test_a_project_in_a_folder_anyone_may_write_to_is_not_taken_for_ours(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    mine = shared / "mine"
    mine.mkdir(parents=True)
    (shared / "sampan.toml").touch()
    shared.chmod(0o777)

    assert find_root(mine) is None
    assert find_root(shared) == shared  # asked for by name


def test_without_create_a_folder_of_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="belongs to no project"):
        Workspace.open(tmp_path, create=False)


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="does not exist"):
        Workspace.open(tmp_path / "none")
    with pytest.raises(UsageError, match="is a file"):
        Workspace.open(tmp_path / "file")


def test_faults_of_the_project_file_are_told_on_opening(tmp_path: Path) -> None:
    (tmp_path / "sampan.toml").write_text("[stor]\n")

    with pytest.raises(ProjectFileError, match="did you mean 'store'"):
        Workspace.open(tmp_path)


def test_the_project_file_says_where_the_store_is(tmp_path: Path) -> None:
    (tmp_path / "sampan.toml").write_text("[store]\nfolder = 'state'\n")

    with Workspace.open(tmp_path) as workspace:
        assert workspace.store.root == tmp_path / "state"


def test_the_actor_is_the_variable_or_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPAN_ACTOR", "nightly")
    assert current_actor() == "nightly"

    monkeypatch.delenv("SAMPAN_ACTOR")
    assert current_actor()


def test_an_actor_without_a_name_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SAMPAN_ACTOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999)

    assert current_actor() == "uid 3999999"


def test_a_room_is_found_by_noun_and_by_class_and_kept(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as workspace:
        assert workspace.room("") is workspace.home is workspace.room(Home)
        with pytest.raises(NotFound, match="no room called 'audt'"):
            workspace.room("audt")


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    assert workspace.ledger.verify().n_rows == 0

    workspace.close()
    workspace.close()
