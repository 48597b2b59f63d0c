"""Personal data at admission, keys outside the store, and looking behind pseudonyms."""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest

from sampan.errors import AccessDenied, IntegrityError, NotFound, ParameterError, PolicyRefused
from sampan.governance.pseudonyms import PSEUDONYM, pseudonym
from sampan.workspace.governing.privacy import protect
from sampan.workspace.governing.privacy_keys import PrivacyKeys
from sampan.workspace.workspace import Workspace

N = 60
PEOPLE = pl.DataFrame(
    {
        "id": list(range(N)),
        "mail": [f"person{i}@example.vn" for i in range(N)],
        "phone": [f"09{i:08}" for i in range(N)],
        "age": [20 + i % 40 for i in range(N)],
        "secret": [f"s{i}" for i in range(N)],
        "illness": [("flu", "cold", "none")[i % 3] for i in range(N)],
    }
)
ACTIONS = {"mail": "pseudonym", "phone": "mask", "age": "generalize", "secret": "encrypt", "illness": "drop"}


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    (tmp_path / "project").mkdir()
    monkeypatch.setenv("SAMPAN_KEYS", str(tmp_path / "keys"))
    PEOPLE.write_csv(tmp_path / "project" / "people.csv")
    (tmp_path / "project" / "sampan.toml").write_text('[governance]\nreidentify = ["dpo"]\n')
    with Workspace.open(tmp_path / "project", actor="ana") as workspace:
        yield workspace


def declare(ws: Workspace, purposes: str = "care") -> None:
    said = ", ".join(f'{name} = "{action}"' for name, action in ACTIONS.items())
    text = f'[policies.people]\nk = 5\nactions = {{ {said} }}\npii = {{ mail = "email", phone = "phone" }}\n'
    text += f'purposes = ["{purposes}"]\n[project]\npurpose = "{purposes}"\n[governance]\nreidentify = ["dpo"]\n'
    (ws.root / "sampan.toml").write_text(text)


def reopened(ws: Workspace, actor: str = "ana") -> Workspace:
    return Workspace.open(ws.root, actor=actor)


def everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_what_is_declared_is_done_before_anything_is_stored(ws: Workspace) -> None:
    declare(ws)
    with reopened(ws) as declared:
        added = declared.data.add(ws.root / "people.csv")
        frame = declared.store.tables.read(declared.catalog.resolve("people", kind="dataset").digest)
        hidden = declared.data.anonymity("people")

    assert (added.n_rows, added.n_columns) == (N, 5)
    assert all(value.startswith(PSEUDONYM) for value in frame["mail"])
    assert frame["phone"][1] == "*******001"
    assert hidden.anonymity.k >= 5
    assert b"person7@example.vn" not in everything(ws.store_folder)


def test_the_same_file_again_is_known_and_other_actions_make_another_version(ws: Workspace) -> None:
    declare(ws)
    with reopened(ws) as first:
        assert first.data.add(ws.root / "people.csv").ref == "people@v1"
        assert first.data.add(ws.root / "people.csv").unchanged
    (ws.root / "sampan.toml").write_text('[policies.people]\nactions = { mail = "drop" }\n')
    with reopened(ws) as second:
        assert second.data.add(ws.root / "people.csv").ref == "people@v2"


def test_a_batch_is_protected_as_the_table_was_and_joins_by_pseudonym(ws: Workspace) -> None:
    declare(ws)
    with reopened(ws) as declared:
        declared.data.add(ws.root / "people.csv", key=["id"])
        batch = PEOPLE.head(10).with_columns(pl.col("id") + 1000)
        batch.write_csv(ws.root / "more.csv")
        declared.data.append("people", ws.root / "more.csv")
        frame = declared.store.tables.read(declared.catalog.resolve("people", kind="dataset").digest)

    assert frame.height == N + 10
    assert "illness" not in frame.columns
    assert set(frame.filter(pl.col("id") >= 1000)["mail"]) <= set(frame.filter(pl.col("id") < 1000)["mail"])
    assert b"person7@example.vn" not in everything(ws.store_folder)


def test_keys_lie_outside_the_store_for_their_owner_alone_and_one_a_purpose(
    ws: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = PrivacyKeys(ws)
    care, ads = keys.key("care"), keys.key("ads")
    assert [record.message.split(";")[1].strip()[:14] for record in caplog.records] == ["keep a copy of"] * 2
    files = list((tmp_path / "keys").iterdir())

    assert care != ads
    assert PrivacyKeys(ws).key("care") == care
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    assert base64.b64encode(care).strip() not in everything(ws.root)
    files[0].chmod(0o644)
    with pytest.raises(ParameterError, match="can be read by others"):
        [keys.key(purpose) for purpose in ("care", "ads")]


def test_two_that_need_a_new_key_at_once_get_the_same(ws: Workspace) -> None:
    purposes = [f"purpose{i}" for i in range(8)]
    start = Barrier(2)

    def make(workspace: Workspace) -> list[bytes]:
        keys = []
        for purpose in purposes:
            start.wait()
            keys.append(PrivacyKeys(workspace).key(purpose))
        return keys

    with reopened(ws) as other, ThreadPoolExecutor(2) as pool:
        one, two = pool.map(make, (ws, other))

    assert one == two
    assert len(purposes) == len([*PrivacyKeys(ws).folder.glob("*.key")])


def test_a_lost_key_is_asked_for_and_never_made_anew(ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = PrivacyKeys(ws)
    key = keys.key("care")
    for file in (tmp_path / "keys").iterdir():
        file.unlink()

    with pytest.raises(NotFound, match=r"the key for care .* is not on this machine"):
        keys.key("care")
    monkeypatch.setenv("SAMPAN_PRIVACY_KEYS", f"care={base64.b64encode(key).decode()}")
    assert keys.key("care") == key
    monkeypatch.setenv("SAMPAN_PRIVACY_KEYS", f"care={base64.b64encode(bytes(32)).decode()}")
    with pytest.raises(IntegrityError, match="another one than was used here"):
        keys.key("care")
    monkeypatch.setenv("SAMPAN_PRIVACY_KEYS", "care=short")
    with pytest.raises(ParameterError):
        keys.key("care")


def test_keys_inside_the_store_are_refused(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPAN_KEYS", str(ws.store_folder / "keys"))

    with pytest.raises(ParameterError, match="lies inside the store"):
        PrivacyKeys(ws).key("care")


def test_looking_behind_needs_the_role_and_is_recorded_either_way(ws: Workspace) -> None:
    declare(ws)
    with reopened(ws) as declared:
        declared.data.add(ws.root / "people.csv")
        frame = declared.store.tables.read(declared.catalog.resolve("people", kind="dataset").digest)
        sealed, known = frame["secret"][3], frame["mail"][3]
        with pytest.raises(AccessDenied, match="ana may not look behind pseudonyms; dpo may"):
            declared.data.reidentify("people", column="secret", values=[sealed], why="curious")
    with reopened(ws, "dpo") as officer:
        opened = officer.data.reidentify("people", column="secret", values=[sealed], why="court order 12")
        guessed = officer.data.reidentify(
            "people", column="mail", values=[known, frame["mail"][4]], why="court order 12", candidates=["person3@example.vn"]
        )
        with pytest.raises(ParameterError, match="cannot be turned back"):
            officer.data.reidentify("people", column="mail", values=[known], why="court order 12")
        events = [event for event in officer.catalog.events() if event.type == "reidentified"]

    assert [one.behind for one in opened.seen] == ["s3"]
    assert [one.behind for one in guessed.seen] == ["person3@example.vn", None]
    assert [(event.actor, event.body["outcome"], event.reason) for event in events] == [
        ("ana", "refused", "curious"),
        ("dpo", "shown", "court order 12"),
        ("dpo", "shown", "court order 12"),
    ]
    assert "person3" not in str([event.body for event in events])


def test_pseudonyms_of_two_purposes_do_not_join(ws: Workspace) -> None:
    keys = PrivacyKeys(ws)

    assert pseudonym(keys.key("care"), "a@b.vn", "email") != pseudonym(keys.key("ads"), "a@b.vn", "email")


def test_a_frame_without_declared_actions_is_left_alone(ws: Workspace) -> None:
    assert protect(ws, "people", PEOPLE) is PEOPLE


def test_personal_data_is_found_declared_and_shown(ws: Workspace) -> None:
    ws.data.add(ws.root / "people.csv")
    found = ws.data.pii("people")
    again = ws.data.pii("people", declare=True)

    assert {each.column: each.pii for each in found.findings if each.certainty == "likely"} == {"mail": "email", "phone": "phone"}
    assert found.undeclared == ("mail", "phone")
    assert "sampan policy set people" in found.next[0]
    assert again.undeclared == ()
    assert [(c.column, c.pii) for c in ws.policy.show("people").columns] == [("mail", "email"), ("phone", "phone")]


def test_anonymity_below_what_is_wanted_says_what_to_do(ws: Workspace) -> None:
    ws.data.add(ws.root / "people.csv")
    found = ws.data.anonymity("people", by=["age"], sensitive=["illness"], k=5)

    assert (found.anonymity.k, found.exit_code()) == (1, 3)
    assert found.next == ("sampan policy set people --actions age=generalize --k 5",)
    with pytest.raises(ParameterError, match="no column 'agee'"):
        ws.data.anonymity("people", by=["agee"])


def test_exporting_is_a_use_that_terms_may_forbid(ws: Workspace) -> None:
    ws.data.add(ws.root / "people.csv")
    ws.policy.declare("people", purposes=["care"])

    with pytest.raises(PolicyRefused):
        ws.data.export("people", ws.root / "out.csv")
    with pytest.raises(PolicyRefused):
        ws.data.publish("people", ws.root / "out")
    assert not (ws.root / "out.csv").exists()


def test_a_version_admitted_before_its_actions_is_said_to_be_as_it_came(ws: Workspace) -> None:
    ws.data.add(ws.root / "people.csv")
    declare(ws)
    with reopened(ws) as declared:
        before = declared.policy.show("people").untreated
        declared.data.add(ws.root / "people.csv")
        after = declared.policy.show("people").untreated

    assert before == ("mail", "phone", "age", "secret", "illness")
    assert after == ()


def test_columns_and_rows_that_an_edit_brings_are_protected_as_at_admission(ws: Workspace) -> None:
    declare(ws)
    with reopened(ws) as declared:
        declared.data.add(ws.root / "people.csv", key=["id"])
        declared.data.add_columns(
            "people", {"id": [1, 2], "secret": ["told1", "told2"], "illness": ["plague", "plague"], "nick": ["a", "b"]}
        )
        declared.data.upsert(
            "people",
            declared.store.tables.read(declared.catalog.resolve("people").digest).head(1).with_columns(mail=pl.lit("typed@example.vn")),
        )
        frame = declared.store.tables.read(declared.catalog.resolve("people", kind="dataset").digest)
        with pytest.raises(ParameterError, match="nothing is left to add to people"):
            declared.data.add_columns("people", {"id": [1], "illness": ["plague"]})

    assert "illness" not in frame.columns
    assert frame.filter(pl.col("id") == 1)["secret"][0].startswith("e_")
    assert frame.filter(pl.col("id") == 0)["mail"][0].startswith(PSEUDONYM)
    assert ["a", "b"] == frame.filter(pl.col("id").is_in([1, 2])).sort("id")["nick"].to_list()
    stored = everything(ws.store_folder)
    assert [word for word in (b"told1", b"plague", b"typed@example.vn") if word in stored] == []


def test_columns_are_matched_by_a_key_that_is_a_pseudonym(ws: Workspace) -> None:
    declare(ws)
    with reopened(ws) as declared:
        declared.data.add(ws.root / "people.csv")
        declared.data.add_columns("people", {"mail": ["person3@example.vn"], "score": [7]}, key=["mail"])
        frame = declared.store.tables.read(declared.catalog.resolve("people", kind="dataset").digest)

    assert [3] == frame.filter(pl.col("score") == 7)["id"].to_list()


def test_a_cell_that_a_person_mends_is_protected_as_the_others(ws: Workspace) -> None:
    declare(ws)
    with reopened(ws) as declared:
        declared.data.add(ws.root / "people.csv", key=["id"])
        PEOPLE.head(8).with_columns(id=pl.Series([f"{900 + i}" for i in range(7)] + ["x9"])).write_csv(ws.root / "more.csv")
        holding = declared.data.append("people", ws.root / "more.csv").held[0]
        with pytest.raises(ParameterError, match="age of people is generalized at admission"):
            declared.data.mend(holding, values={"0:age": "33"})
        mended = declared.data.mend(holding, values={"0:id": "907", "0:mail": "typed@example.vn", "0:phone": "0900999888"})
        declared.data.readmit(mended.ref)
        row = declared.store.tables.read(declared.catalog.resolve("people", kind="dataset").digest).filter(pl.col("id") == 907)

    assert row["mail"][0].startswith(PSEUDONYM)
    assert "*******888" == row["phone"][0]
    assert b"typed@example.vn" not in everything(ws.store_folder)


def test_groups_stay_k_large_whatever_an_edit_deletes_or_replaces(ws: Workspace) -> None:
    declare(ws)
    with reopened(ws) as declared:
        declared.data.add(ws.root / "people.csv", key=["id"])
        PEOPLE.filter(pl.col("id") % 7 == 0).write_csv(ws.root / "more.csv")
        declared.data.append("people", ws.root / "more.csv")
        appended = declared.data.anonymity("people", k=5)
        declared.data.delete("people", where="id % 3 = 1")
        deleted = declared.data.anonymity("people", k=5)
        frame = declared.store.tables.read(declared.catalog.resolve("people", kind="dataset").digest)

    sizes = frame.group_by("age").len()["len"].to_list()
    assert min(sizes) == deleted.anonymity.k >= 5
    assert frame.filter(pl.col("age") == "*").height == deleted.anonymity.n_hidden > 0
    assert (0, 0) == (appended.exit_code(), deleted.exit_code())
    assert "rows are hidden altogether" in deleted.text()
