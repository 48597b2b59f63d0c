"""The data room: what a person does with datasets, and what is recorded of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from sampan.core.answers import to_json
from sampan.data.contract import NullShare
from sampan.data.contract_yaml import read_contract, revise_contract
from sampan.errors import NotFound, ParameterError, ProjectFileError, UsageError
from sampan.workspace.data.data import PROFILE
from sampan.workspace.workspace import Workspace

ORDERS = "id,shop,paid,at\n" + "".join(f"{i},s{i % 3},{i % 50}.5,2024-01-{i % 28 + 1:02}T00:00:00Z\n" for i in range(200))
SHOPS = "shop,city\ns0,Hanoi\ns1,Hue\n"


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "shops.csv").write_text(SHOPS)
    with Workspace.open(tmp_path, actor="ana") as workspace:
        yield workspace


def add_both(ws: Workspace) -> None:
    ws.data.add(ws.root / "orders.csv", key=["id"], time="at", owner="sales")
    ws.data.add(ws.root / "shops.csv", key=["shop"])


def test_adding_records_source_schema_and_owner(ws: Workspace) -> None:
    answer = ws.data.add(ws.root / "orders.csv", key=["id"], time="at", owner="sales", description="all orders")
    node = ws.catalog.resolve("orders", kind="dataset")

    assert (answer.ref, answer.n_rows, answer.n_columns, answer.unchanged) == ("orders@v1", 200, 4, False)
    assert node.facts["source"] == "orders.csv"
    assert node.facts["source_digest"].startswith("b3:")
    assert node.facts["columns"]["at"] == "Datetime(time_unit='us', time_zone='UTC')"
    assert ws.catalog.asset("dataset", "orders").facts == {"key": ["id"], "time": "at", "owner": "sales", "description": "all orders"}


def test_the_same_content_again_changes_nothing(ws: Workspace) -> None:
    ws.data.add(ws.root / "orders.csv")
    n_events = len(ws.catalog.events())
    again = ws.data.add(ws.root / "orders.csv")
    (ws.root / "orders.csv").write_text(ORDERS.replace("\n", "\r\n"))
    other_bytes = ws.data.add(ws.root / "orders.csv")

    assert (again.ref, again.unchanged) == ("orders@v1", True)
    assert (other_bytes.ref, other_bytes.unchanged) == ("orders@v1", True)
    assert len(ws.catalog.events()) == n_events


def test_new_content_is_a_new_version_and_what_was_said_stays(ws: Workspace) -> None:
    ws.data.add(ws.root / "orders.csv", key=["id"], owner="ana")  # who may hand it over
    (ws.root / "orders.csv").write_text(ORDERS.replace("0.5,", "9.5,"))
    answer = ws.data.add(ws.root / "orders.csv", owner="finance")

    assert answer.ref == "orders@v2"
    assert ws.catalog.asset("dataset", "orders").facts == {"key": ["id"], "owner": "finance"}


def test_parquet_is_adopted_and_tables_in_memory_are_added(ws: Workspace) -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    frame.write_parquet(ws.root / "t.parquet")

    assert ws.data.add(ws.root / "t.parquet").ref == "t@v1"
    assert ws.data.add(ws.root / "t.parquet").unchanged
    assert ws.data.add_table(frame.to_pandas(), name="u", key=["a"]).ref == "u@v1"
    assert ws.store.tables.read(ws.catalog.resolve("t").digest).equals(frame)


def test_a_key_or_time_that_is_no_column_is_refused_before_anything_is_recorded(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match="key: there is no column 'idd'") as caught:
        ws.data.add(ws.root / "orders.csv", key=["idd"])
    assert "did you mean id" in caught.value.hint
    with pytest.raises(ParameterError, match="time: column 'paid' is Float64"):
        ws.data.add(ws.root / "orders.csv", time="paid")

    assert ws.data.list().datasets == ()
    ws.data.add(ws.root / "orders.csv")
    with pytest.raises(ParameterError, match="key: there is no column 'idd'"):
        ws.data.add(ws.root / "orders.csv", key=["idd"])


def test_the_project_file_says_where_a_dataset_comes_from(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text(ORDERS)
    (tmp_path / "sampan.toml").write_text('[datasets.orders]\nsource = "raw.csv"\nkey = ["id"]\ntime = "at"\nowner = "sales"\n')
    with Workspace.open(tmp_path) as ws:
        assert ws.data.add(Path("orders")).ref == "orders@v1"
        assert ws.catalog.asset("dataset", "orders").facts == {"key": ["id"], "time": "at", "owner": "sales"}


def test_a_contract_is_drafted_and_changed_only_by_force(ws: Workspace) -> None:
    add_both(ws)
    first = ws.data.infer("orders")
    file = ws.root / "contracts/orders.yaml"
    drafted = read_contract(file.read_text(), file="f")
    kept = tuple(rule for rule in drafted.rules if not isinstance(rule, NullShare) or rule.column != "paid")
    by_hand = revise_contract(file.read_text(), drafted, msgspec.structs.replace(drafted, rules=kept))
    file.write_text("# ours\n" + by_hand.replace("status: draft", "status: active  # since May"))
    unchanged = ws.data.infer("orders")
    (ws.root / "orders.csv").write_text(ORDERS.replace(",s2,", ",,"))
    ws.data.add(ws.root / "orders.csv")
    proposed = ws.data.infer("orders")

    assert (first.written, first.file) == (True, "contracts/orders.yaml")
    assert (unchanged.written, unchanged.diff) == (False, "")
    assert "not proposed again, since someone took it out:\n  warn: paid is never missing" in unchanged.text()
    assert not proposed.written
    assert "-status: active" not in proposed.diff
    assert [line for line in proposed.changed if line.startswith("shop is never missing → shop is missing in at most 5")]
    assert "kept as it is" in proposed.text()
    assert "shop is missing" not in file.read_text()
    assert ws.data.infer("orders", force=True).written
    assert file.read_text().startswith("# ours\n")
    assert "status: active  # since May\n" in file.read_text()
    assert "paid is never missing" not in "".join(ws.data.contract("orders").rules)
    assert ws.data.infer("orders").diff == ""


def test_a_check_is_recorded_with_the_contract_and_version_it_judged(ws: Workspace) -> None:
    add_both(ws)
    ws.data.infer("orders")
    (table,) = ws.data.check().tables
    check = ws.catalog.resolve("orders.check")
    edges = {edge.role: ws.catalog.node(edge.src).ref for edge in ws.catalog.edges_to(check.id)}

    assert (table.dataset, table.verdict, table.cached) == ("orders@v1", "warned", False)
    assert [f.message for f in table.findings] == [
        "66 of 200 rows (33.00%) have no counterpart in shops: 1 value of shop",
    ]
    assert edges == {"evaluated_on": "orders@v1", "checked_by": "orders.contract@v1"}
    assert ws.data.check(["orders"]).tables[0].cached
    assert ws.data.show("orders").verdict == "warned"


def test_a_blocking_rule_gives_exit_code_3(ws: Workspace) -> None:
    add_both(ws)
    ws.data.infer("orders")
    (ws.root / "orders.csv").write_text(ORDERS + "0,s0,1.5,2024-01-01T00:00:00Z\n")
    ws.data.add(ws.root / "orders.csv")
    answer = ws.data.check(["orders"])

    assert answer.verdict == "blocked"
    assert answer.exit_code() == 3
    assert "2 of 201 rows (1.00%) share id with another" in answer.text()


def test_a_version_is_profiled_when_it_is_added_so_that_looking_writes_nothing(ws: Workspace) -> None:
    add_both(ws)
    n_events, files = len(ws.catalog.events()), sorted(ws.store.root.rglob("*"))
    shown, profiled = ws.data.show("orders"), ws.data.profile("orders")

    assert shown.columns == profiled.columns
    assert (n_events, files) == (len(ws.catalog.events()), sorted(ws.store.root.rglob("*")))
    assert ws.catalog.resolve("orders", kind="dataset").facts[PROFILE] in set(ws.catalog.referenced_digests())


def test_a_profile_that_is_damaged_is_made_anew(ws: Workspace) -> None:
    add_both(ws)
    before = ws.data.profile("orders")
    digest = ws.catalog.resolve("orders", kind="dataset").facts[PROFILE]
    ws.store.blobs.path(digest).chmod(0o644)
    ws.store.blobs.path(digest).write_bytes(b"{}")

    assert before == ws.data.profile("orders")
    assert [digest] == [fault.digest for fault in ws.home.fsck().faults]


def test_a_broken_contract_file_is_named_with_its_line(ws: Workspace) -> None:
    add_both(ws)
    ws.data.infer("orders")
    file = ws.root / "contracts/orders.yaml"
    file.write_text(file.read_text().replace("kind: DataContract", "kind: DataContrakt"))

    with pytest.raises(ProjectFileError, match=r"contracts/orders\.yaml, line 2: kind is .DataContrakt.; did you mean DataContract"):
        ws.data.check(["orders"])
    file.write_bytes("name: ä".encode("latin-1"))
    with pytest.raises(ProjectFileError, match=r"contracts/orders\.yaml is not UTF-8"):
        ws.data.check(["orders"])


def test_a_folder_in_the_place_of_a_contract_is_told(ws: Workspace) -> None:
    ws.data.add(ws.root / "orders.csv", key=["id"])
    (ws.root / "contracts" / "orders.yaml").mkdir(parents=True)

    for ask in (ws.data.show, ws.data.infer, ws.data.contract):
        with pytest.raises(ProjectFileError, match=r"contracts/orders\.yaml cannot be read: Is a directory"):
            ask("orders")


def test_what_is_not_there_says_what_to_do(ws: Workspace) -> None:
    add_both(ws)

    with pytest.raises(UsageError, match="no dataset here has a contract yet"):
        ws.data.check()
    with pytest.raises(NotFound, match="orders has no contract"):
        ws.data.check(["orders"])
    with pytest.raises(NotFound) as caught:
        ws.data.show("ordres")
    assert caught.value.did_you_mean == ("orders",)
    with pytest.raises(UsageError, match="no declared label"):
        ws.data.leaks("orders")


def test_versions_are_compared_by_the_key(ws: Workspace) -> None:
    ws.data.add(ws.root / "orders.csv", key=["id"])
    (ws.root / "orders.csv").write_text(ORDERS.replace("\n7,s1,7.5", "\n7,s1,8.5") + "200,s0,1.5,2024-01-01T00:00:00Z\n")
    ws.data.add(ws.root / "orders.csv")
    answer = ws.data.diff("orders@v1", "orders")

    assert (answer.n_added, answer.n_removed, answer.n_changed, answer.n_same) == (1, 0, 1, 199)
    assert answer.changed_columns == {"paid": 1}
    assert "paid=7.5 → 8.5" in answer.text()
    counted = ws.data.diff("orders@v1", "orders", key=["id"], counts=True)
    assert (counted.n_added, counted.n_removed, counted.n_changed, counted.n_same) == (1, 0, 1, 199)
    assert counted.text() == "orders@v1 → orders@v2, rows matched by id\n  1 added, 0 removed, 1 changed, 199 the same"
    assert counted.next == ("sampan data diff orders@v1 orders@v2 --key id",)


def test_a_label_is_declared_and_its_leaks_are_found(ws: Workspace) -> None:
    add_both(ws)
    labelled = ws.data.label("orders", target="paid >= 25", unless="shop = 's2'", why="closed")
    leaks = ws.data.leaks("orders")

    assert (labelled.n_rows, labelled.n_excluded, labelled.n_labelled) == (200, 66, 134)
    assert [(leak.column, leak.kind) for leak in leaks.leaks][:1] == [("paid", "source")] or "paid" in {x.column for x in leaks.leaks}
    assert "66 rows get none, since shop = 's2': closed" in labelled.text()
    with pytest.raises(ParameterError, match="is no expression"):
        ws.data.label("orders", target="paid >>= 5")


def test_leaks_are_recorded_once_with_their_evidence_and_shown(ws: Workspace) -> None:
    add_both(ws)
    ws.data.label("orders", target="paid >= 25")
    leaks = ws.data.leaks("orders")
    n_events = len(ws.catalog.events())
    again = ws.data.leaks("orders")
    (recorded,) = ws.catalog.events(type="leaks_found")
    node = ws.catalog.resolve(leaks.found, kind="leakage")

    assert again == leaks
    assert n_events == len(ws.catalog.events())
    assert ("ana", node.id) == (recorded.actor, recorded.subject)
    assert [leak.column for leak in leaks.leaks] == [leak["column"] for leak in node.facts["leaks"]]
    assert ("paid >= 25", "at", {}) == (node.facts["target"], node.facts["moment"], node.facts["known"])
    assert [("evaluated_on", "orders@v1")] == [(e.role, ws.catalog.node(e.src).ref) for e in ws.catalog.edges_to(node.id)]
    assert {"paid": "the label is computed from it"} == ws.data.show("orders").kept_out
    assert "paid: the label is computed from it" in ws.data.show("orders").text()


def test_another_label_is_judged_anew(ws: Workspace) -> None:
    add_both(ws)
    first = ws.data.leaks("orders", target="paid >= 25")
    second = ws.data.leaks("orders", target="id >= 100")

    assert (first.found, second.found) == ("orders.leakage@v1", "orders.leakage@v2")
    assert "id" in ws.data.show("orders").kept_out


def test_every_answer_has_text_json_and_a_next_step(ws: Workspace) -> None:
    add_both(ws)
    ws.data.infer("orders")
    answers = [ws.data.list(), ws.data.show("orders"), ws.data.check(), ws.data.profile("orders"), ws.data.head("orders", rows=2)]

    for answer in answers:
        assert answer.text()
        assert to_json(answer)
    assert "1 … 49.5" not in ws.data.profile("orders").text()
    assert "0.5 … 49.5, median 24.5" in ws.data.profile("orders").text()
    with pytest.raises(ParameterError, match="rows is 0"):
        ws.data.head("orders", rows=0)


def test_a_profile_writes_numbers_out_and_names_nobody(ws: Workspace) -> None:
    people = pl.DataFrame(
        {
            "who": [f"Person {k:04}" for k in range(2_000)],
            "pay": [57.0] * 1_990 + [7_777_777.0] * 10,
            "loan": [1_147_740.4 + 1_000 * k for k in range(2_000)],
            "empty": ["", "a"] * 1_000,
        }
    )
    ws.data.add_table(people, name="people")
    values = {line.name: line.values for line in ws.data.profile("people").columns}

    assert values["who"] == "like Aa+ 9+ (2,000)"
    assert values["pay"] == "57 … 7,777,777, median 57"
    assert values["loan"] == "1,147,740 … 3,146,740, median 2,150,000"
    assert values["empty"] == '"" (1,000), a (1,000)'
    ws.data.add_table(pl.DataFrame({"path": ["a/" * k for k in range(1, 6)]}), name="paths")
    assert ws.data.profile("paths").columns[0].values == "2 … 10 characters"


def test_freshness_is_drafted_for_a_feed_and_checked_against_the_clock(ws: Workspace) -> None:
    now = datetime.now(UTC)
    feed = pl.DataFrame({"id": range(40), "at": [now - timedelta(hours=2 + i) for i in range(40)]})
    ws.data.add_table(feed, name="feed", key=["id"], time="at")
    drafted = ws.data.infer("feed")
    (checked,) = ws.data.check(["feed"]).tables

    assert [line for line in drafted.rules if "the newest at is at most 4 hours old" in line]
    assert (checked.verdict, checked.n_rules) == ("passed", drafted.n_rules)


def test_many_who_write_a_contract_at_once_leave_one_whole_file(ws: Workspace) -> None:
    texts = [f"# {i}\n" * 20_000 for i in range(8)]
    with ThreadPoolExecutor(8) as writers:
        list(writers.map(lambda text: ws.data.contracts.write("orders", text), texts * 4))
    files = list((ws.root / "contracts").iterdir())

    assert [file.name for file in files] == ["orders.yaml"]
    assert files[0].read_text() in texts


def test_a_contract_keeps_its_link_and_its_permissions(ws: Workspace) -> None:
    (ws.root / "shared.yaml").write_text("old")
    (ws.root / "shared.yaml").chmod(0o640)
    (ws.root / "contracts").mkdir()
    (ws.root / "contracts/orders.yaml").symlink_to(ws.root / "shared.yaml")
    ws.data.contracts.write("orders", "new")

    assert ((ws.root / "shared.yaml").read_text(), (ws.root / "contracts/orders.yaml").is_symlink()) == ("new", True)
    assert (ws.root / "shared.yaml").stat().st_mode & 0o777 == 0o640
