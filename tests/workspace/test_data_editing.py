"""Editing datasets: what an edit makes of a version, and what becomes of two at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from sampan.errors import AlreadyExists, EditConflict, NotFound, ParameterError, StoreUnavailable, UsageError
from sampan.workspace.data.dataset_edits import AddColumns, Edits, PutRows
from sampan.workspace.workspace import Workspace

ORDERS = pl.DataFrame({"id": range(100), "shop": [f"s{i % 3}" for i in range(100)], "paid": [i + 0.5 for i in range(100)]})


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add_table(ORDERS, name="orders", key=["id"])
        yield workspace


def rows(ws: Workspace, ref: str) -> pl.DataFrame:
    return ws.store.tables.read(ws.catalog.resolve(ref, kind="dataset").digest)


# -- columns


def test_a_column_is_added_by_the_datasets_key_whatever_the_order(ws: Workspace) -> None:
    late = pl.DataFrame({"id": range(89, -1, -1), "late": [i % 2 for i in range(89, -1, -1)]})
    answer = ws.data.add_columns("orders", late)

    assert (answer.ref, answer.n_columns, answer.unchanged) == ("orders@v2", 4, False)
    assert [i % 2 for i in range(90)] + [None] * 10 == rows(ws, "orders")["late"].to_list()
    assert "late" not in rows(ws, "orders@v1").columns


def test_a_column_is_added_row_for_row(ws: Workspace, tmp_path: Path) -> None:
    pl.DataFrame({"late": range(100), "other": range(100)}).write_csv(tmp_path / "late.csv")
    ws.data.add_column("orders", tmp_path / "late.csv", by_order=True, columns=["late"])

    assert list(range(100)) == rows(ws, "orders")["late"].to_list()
    assert "other" not in rows(ws, "orders").columns


def test_values_of_a_column_that_is_there_are_replaced_where_new_ones_are_given(ws: Workspace) -> None:
    ws.data.add_columns("orders", pl.DataFrame({"id": [3], "paid": [99.0]}))

    assert [*ORDERS["paid"].to_list()[:3], 99.0, *ORDERS["paid"].to_list()[4:]] == rows(ws, "orders")["paid"].to_list()


def test_columns_that_do_not_fit_are_refused_with_the_reason(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match="99 rows of new columns for a table of 100 rows"):
        ws.data.add_columns("orders", pl.DataFrame({"late": range(99)}), by_order=True)
    with pytest.raises(ParameterError, match="the key id is not unique in the new columns: several rows have id=1"):
        ws.data.add_columns("orders", pl.DataFrame({"id": [1, 1], "late": [0, 1]}))
    with pytest.raises(ParameterError, match="the key id is String and in the table Int64"):
        ws.data.add_columns("orders", pl.DataFrame({"id": ["1"], "late": [0]}))
    with pytest.raises(ParameterError, match="the new columns come without the key: id"):
        ws.data.add_columns("orders", pl.DataFrame({"late": [0]}))
    with pytest.raises(ParameterError, match="key and by-order exclude each other"):
        ws.data.add_columns("orders", pl.DataFrame({"late": [0]}), key=["id"], by_order=True)
    with pytest.raises(NotFound, match="no column 'lat'"):
        ws.data.add_columns("orders", pl.DataFrame({"id": [1], "late": [0]}), columns=["lat"])

    assert ws.catalog.resolve("orders").version == 1


# -- rows


def test_rows_are_deleted_by_a_condition(ws: Workspace) -> None:
    answer = ws.data.delete("orders", where="shop = 's1' and paid > 50")

    assert ORDERS.filter(~((pl.col("shop") == "s1") & (pl.col("paid") > 50))).equals(rows(ws, "orders"))
    assert answer.n_rows == rows(ws, "orders").height
    assert "orders@v1 orders@v2" in answer.next[0]


def test_a_condition_that_meets_no_row_makes_no_version(ws: Workspace) -> None:
    assert ws.data.delete("orders", where="id > 1000").unchanged
    assert ws.catalog.resolve("orders").version == 1


def test_a_condition_over_no_column_names_the_nearest(ws: Workspace) -> None:
    with pytest.raises(NotFound) as caught:
        ws.data.delete("orders", where="shopp = 's1'")

    assert caught.value.did_you_mean == ("shop",)


def test_compacting_keeps_the_rows_and_leaves_one_clean_part(ws: Workspace) -> None:
    ws.data.delete("orders", where="id % 2 = 0")
    ws.data.upsert("orders", ORDERS.head(3))
    before = rows(ws, "orders")
    ws.data.compact("orders")

    node = ws.catalog.resolve("orders")
    assert before.equals(rows(ws, "orders"))
    assert [True] == [part.is_clean for part in ws.store.tables.parts(node.digest)]


def test_much_edited_versions_lead_to_compacting(ws: Workspace) -> None:
    few = ws.data.delete("orders", where="id < 5")
    many = ws.data.delete("orders", where="id < 50")

    assert not any("compact" in command for command in few.next)
    assert "sampan data compact orders" in many.next


def test_a_key_that_is_not_unique_is_named_with_the_version(ws: Workspace) -> None:
    ws.data.delete("orders", where="id = 7")

    with pytest.raises(ParameterError, match=r"shop is not unique in the version before, orders@v1: several rows have shop='s[012]'"):
        ws.data.diff("orders@v1", "orders", key=["shop"])


def test_a_cached_version_is_mapped_and_can_be_dropped(ws: Workspace) -> None:
    cached = ws.data.cache("orders")

    assert cached.size_bytes > 0
    assert ORDERS.equals(rows(ws, "orders"))
    assert cached.size_bytes == ws.data.drop_cache("orders").size_bytes
    assert 0 == ws.data.drop_cache().size_bytes


# -- branches, tags, moments


def test_a_branch_goes_its_own_way_until_it_is_merged(ws: Workspace) -> None:
    ws.data.branch("orders", "try")
    ws.data.delete("orders@try", where="id >= 10")
    apart = (rows(ws, "orders").height, rows(ws, "orders@try").height, ws.data.list().datasets[0].newest)
    merged = ws.data.merge("orders@try")

    assert (100, 10, "orders@v1") == apart
    assert rows(ws, "orders").height == 10
    assert merged.ref == ws.catalog.resolve("orders").ref


def test_a_branch_that_was_merged_goes_on_and_is_merged_again(ws: Workspace) -> None:
    ws.data.branch("orders", "try")
    edited = ws.data.delete("orders@try", where="id >= 10")
    first = ws.data.merge("orders@try")
    again = ws.data.merge("orders@try")
    ws.data.delete("orders@try", where="id >= 5")
    second = ws.data.merge("orders@try")
    ws.data.delete("orders", where="id = 1")

    assert "sampan data merge orders@try" in edited.next
    assert first.next[0] == f"sampan data diff orders@v1 {first.ref}"
    assert (again.ref, again.unchanged) == (first.ref, True)
    assert (second.before, second.n_rows) == (first.ref, 5)
    with pytest.raises(EditConflict, match=r"orders went on to orders@v7"):
        ws.data.merge("orders@v3")
    with pytest.raises(EditConflict, match=r"orders went on to orders@v7"):
        ws.data.merge("orders@try")


def test_a_file_that_cannot_be_written_is_named_as_it_was_given(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(StoreUnavailable, match=f"cannot write {tmp_path}/file/orders.csv: Not a directory"):
        ws.data.export("orders", tmp_path / "file" / "orders.csv")


def test_a_condition_that_fits_no_column_is_told_in_a_line(ws: Workspace) -> None:
    ws.data.add_table(ORDERS.with_columns(day=pl.date(2025, 1, 2)), name="dated")

    with pytest.raises(ParameterError, match="cannot tell which rows to delete") as caught:
        ws.data.delete("dated", where="day < '2025-03-01'")
    assert "\n" not in caught.value.message
    assert caught.value.hint.endswith("day (Date); a day is written as in day < date('2025-12-31')")
    assert ws.data.delete("dated", where="day < date('2025-03-01')").n_rows == 0


def test_datasets_are_compared_by_the_key_that_both_have(ws: Workspace) -> None:
    ws.data.add_table(ORDERS.with_columns(code=pl.col("id") + 1000), name="codes", key=["code"])
    ws.data.add_table(pl.DataFrame({"other": [1, 2]}), name="else", key=["other"])

    assert ws.data.diff("orders", "codes").key == ("id",)
    assert ws.data.diff("codes", "orders").key == ("id",)
    with pytest.raises(ParameterError, match="codes@v1 and else@v1 have no key in common"):
        ws.data.diff("codes", "else")


def test_examples_of_a_difference_are_short_and_say_what_is_missing(ws: Workspace) -> None:
    notes = ORDERS.select("id", note=pl.lit("x" * 10_000))
    ws.data.add_table(notes, name="notes", key=["id"])
    ws.data.upsert("notes", notes.head(1).with_columns(note=pl.lit(None, pl.String)))
    found = ws.data.diff("notes@v1", "notes")
    text = found.text()

    assert found.examples["changed"][0]["note"] == "x" * 10_000 + " → ∅"
    assert "x… → ∅" in text
    assert "note differs in 1 row\n" in text
    assert max(map(len, text.splitlines())) < 200


def test_a_branch_is_not_merged_over_what_came_meanwhile(ws: Workspace) -> None:
    ws.data.branch("orders", "try")
    ws.data.delete("orders@try", where="id >= 10")
    ws.data.delete("orders", where="id = 5")

    with pytest.raises(EditConflict, match=r"orders went on to orders@v4 since the branch try began at orders@v1"):
        ws.data.merge("orders@try")


def test_a_name_is_a_branch_or_a_tag_and_moves_only_on_purpose(ws: Workspace) -> None:
    ws.data.branch("orders", "try")
    ws.data.tag("orders@v1", "gold")
    ws.data.delete("orders", where="id = 5")

    with pytest.raises(AlreadyExists, match="branch or tag gold"):
        ws.data.branch("orders", "gold")
    with pytest.raises(AlreadyExists, match="orders@try is a branch"):
        ws.data.tag("orders@v1", "try")
    with pytest.raises(AlreadyExists, match="orders@gold is orders@v1"):
        ws.data.tag("orders", "gold")
    assert ws.data.tag("orders", "gold", move=True).moved_from == "orders@v1"
    assert rows(ws, "orders@gold").height == 99


def test_a_version_is_named_by_a_moment(tmp_path: Path) -> None:
    now = [1_800_000_000_000]
    with Workspace.open(tmp_path, clock=lambda: now[0]) as ws:
        ws.data.add_table(ORDERS, name="orders", key=["id"])
        now[0] += 86_400_000
        ws.data.delete("orders", where="id = 5")

        assert ws.data.show("orders@2027-01-15").ref == "orders@v1"
        assert ws.data.show("orders@2027-01-16").ref == "orders@v2"
        assert ws.data.show("orders@2027-01-16T07:59:59Z").ref == "orders@v1"
        assert ws.data.show("orders@2027-01-16T15:00:00+07:00").ref == "orders@v2"
        with pytest.raises(NotFound, match=r"had no version at 2027-01-14T23:59:59\.999Z; its first is of 2027-01-15"):
            ws.data.show("orders@2027-01-14")
        with pytest.raises(UsageError, match="is no day or moment"):
            ws.data.show("orders@2027-13-01")


# -- two writers


def test_edits_of_other_rows_are_made_on_top_of_each_other(ws: Workspace) -> None:
    seen = ws.catalog.resolve("orders")
    Edits(ws).apply(seen, PutRows(ORDERS[[1]].with_columns(paid=pl.lit(1000.0)), ["id"]))
    Edits(ws).apply(seen, PutRows(ORDERS[[2]].with_columns(paid=pl.lit(2000.0)), ["id"]))

    paid = dict(rows(ws, "orders").select("id", "paid").iter_rows())
    assert (1000.0, 2000.0, 3.5) == (paid[1], paid[2], paid[3])


@pytest.mark.parametrize("theirs", ["id = 1", "paid"])
def test_edits_of_the_same_rows_are_a_conflict_that_names_them(ws: Workspace, theirs: str) -> None:
    seen = ws.catalog.resolve("orders")
    if theirs == "paid":
        Edits(ws).apply(seen, AddColumns(pl.DataFrame({"id": [1], "paid": [7.0]}), ["id"]))
    else:
        ws.data.delete("orders", where=theirs)

    with pytest.raises(EditConflict, match=r"orders@v2 changed 1 of the same rows since orders@v1: id=1") as caught:
        ws.data.upsert("orders@v1", ORDERS.head(2))
    assert caught.value.rows == ({"id": 1},)
    assert rows(ws, "orders").height == (100 if theirs == "paid" else 99)


def test_the_same_column_written_twice_is_a_conflict(ws: Workspace) -> None:
    seen = ws.catalog.resolve("orders")
    Edits(ws).apply(seen, AddColumns(pl.DataFrame({"id": [1], "late": [1]}), ["id"]))

    with pytest.raises(EditConflict, match="orders@v2 also changed late since orders@v1"):
        Edits(ws).apply(seen, AddColumns(pl.DataFrame({"id": [2], "late": [1]}), ["id"]))
    Edits(ws).apply(seen, AddColumns(pl.DataFrame({"id": [2], "other": [1]}), ["id"]))
    assert ["late", "other"] == rows(ws, "orders").columns[-2:]


def test_columns_in_row_order_do_not_go_onto_other_rows(ws: Workspace) -> None:
    seen = ws.catalog.resolve("orders")
    ws.data.delete("orders", where="id = 5")

    with pytest.raises(EditConflict, match="orders@v2 has other rows than orders@v1"):
        Edits(ws).apply(seen, AddColumns(pl.DataFrame({"late": range(100)}), []))


@pytest.mark.slow
def test_writers_at_once_lose_no_update(ws: Workspace) -> None:
    def write(number: int) -> None:
        with Workspace.open(ws.root, actor=f"writer {number}") as own:
            for i in range(5):
                key = 1000 + 10 * number + i
                own.data.upsert("orders", ORDERS.head(1).with_columns(id=pl.lit(key, pl.Int64)))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))

    assert {1000 + 10 * number + i for number in range(3) for i in range(5)} == set(rows(ws, "orders")["id"]) - set(range(100))
    assert ws.catalog.resolve("orders").version == 16


@pytest.mark.slow
def test_writers_at_once_lose_no_update_on_postgresql(tmp_path: Path, postgres_uri: str) -> None:
    (tmp_path / "sampan.toml").write_text(f'[store]\ndatabase = "{postgres_uri}"\n')
    with Workspace.open(tmp_path) as ws:
        ws.data.add_table(ORDERS, name="orders", key=["id"])

        def write(number: int) -> None:
            with Workspace.open(tmp_path, actor=f"writer {number}") as own:
                for i in range(3):
                    own.data.upsert("orders", ORDERS.head(1).with_columns(id=pl.lit(1000 + 10 * number + i, pl.Int64)))

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(write, range(3)))

        assert {1000 + 10 * number + i for number in range(3) for i in range(3)} == set(rows(ws, "orders")["id"]) - set(range(100))


@pytest.mark.slow
def test_batches_at_once_are_all_admitted(ws: Workspace) -> None:
    for number in range(6):
        ORDERS.head(3).with_columns(pl.col("id") + 1000 * (number + 1)).write_csv(ws.root / f"batch{number}.csv")

    def append(number: int) -> None:
        with Workspace.open(ws.root, actor=f"writer {number}") as own:
            own.data.append("orders", ws.root / f"batch{number}.csv")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(append, range(6)))

    assert {1000 * (number + 1) + i for number in range(6) for i in range(3)} == set(rows(ws, "orders")["id"]) - set(range(100))
    assert rows(ws, "orders")["id"].n_unique() == rows(ws, "orders").height


def test_a_batch_for_a_branch_leaves_the_dataset_alone(ws: Workspace) -> None:
    ORDERS.head(3).with_columns(pl.col("id") + 1000).write_csv(ws.root / "batch.csv")
    ws.data.branch("orders", "try")
    answer = ws.data.append("orders@try", ws.root / "batch.csv")

    assert (answer.ref, answer.n_rows) == ("orders@v3", 103)
    assert rows(ws, "orders").height == 100
    assert rows(ws, "orders@try").height == 103
