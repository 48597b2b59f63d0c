import sqlite3
from pathlib import Path

from sampan.core.events import VersionCommitted, new_id
from sampan.workspace.workspace import Workspace


def fill(folder: Path, n_rows: int) -> None:
    with Workspace.open(folder) as ws:
        for i in range(n_rows):
            ws.ledger.append(VersionCommitted(node=new_id(), kind="dataset", name=f"d{i}", digest=""))


def test_an_untouched_ledger_is_intact(tmp_path: Path) -> None:
    fill(tmp_path, 3)

    with Workspace.open(tmp_path) as ws:
        found = ws.audit.verify()

    assert (found.intact, found.n_rows, found.exit_code()) == (True, 3, 0)


def test_the_first_changed_row_is_named_and_the_exit_code_is_that_of_integrity(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    # sqlite3 by hand: this is what someone with access to the file could do
    with sqlite3.connect(tmp_path / ".sampan" / "sampan.db") as database:
        database.execute("UPDATE event SET actor = 'someone else' WHERE seq = 3")
    database.close()

    with Workspace.open(tmp_path) as ws:
        found = ws.audit.verify()

    assert (found.intact, found.first_bad, found.exit_code()) == (False, 3, 8)
    assert "broken at row 3" in found.text()


def test_the_ledgers_rows_are_paged(tmp_path: Path) -> None:
    fill(tmp_path, 3)

    with Workspace.open(tmp_path) as ws:
        first = ws.audit.log(limit=2)
        rest = ws.audit.log(after=2, limit=2)

    assert [row.seq for row in first.rows] == [1, 2]
    assert first.next == ("sampan audit log --after 2",)
    assert [row.seq for row in rest.rows] == [3]


def test_an_empty_folder_has_an_intact_ledger_of_no_rows(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as ws:
        assert ws.audit.verify().n_rows == 0
        assert ws.audit.log().rows == ()
