"""What versioned tables do, whichever blob store is under them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from sampan.core.digests import Digest
from sampan.errors import BlobUnavailable, DataFormatError, IntegrityError, ParameterError
from sampan.store.tables import Tables
from sampan.testing.blobs import flip_a_byte

FLIGHTS = pl.DataFrame(
    {
        "id": [1, 2, 3, 4],
        "carrier": ["UA", "AA", None, "UA"],
        "delay": [1.5, float("nan"), None, -2.0],
    }
)
EVERY_TYPE = pl.DataFrame(
    {
        "int8": pl.Series([1, None], dtype=pl.Int8),
        "uint64": pl.Series([2**64 - 1, None], dtype=pl.UInt64),
        "float32": pl.Series([float("nan"), None], dtype=pl.Float32),
        "text": ["Đà Nẵng", None],
        "binary": [b"\x00\xff", None],
        "boolean": [True, None],
        "date": [date(2013, 1, 1), None],
        "moment": pl.Series([datetime(2013, 1, 1, tzinfo=UTC), None], dtype=pl.Datetime("ms", "America/New_York")),
        "time": [time(5, 30), None],
        "span": [timedelta(minutes=3), None],
        "decimal": pl.Series([Decimal("1.25"), None], dtype=pl.Decimal(10, 2)),
        "category": pl.Series(["a", None], dtype=pl.Categorical),
        "enum": pl.Series(["b", None], dtype=pl.Enum(["a", "b"])),
        "list": [[1, None], None],
        "struct": [{"x": 1, "y": None}, {"x": None, "y": "z"}],
        "null": [None, None],
    }
)


class TablesContract:
    """Inherit, and say how tables are opened: the same folder twice must give the same tables."""

    def open_tables(self, folder: Path) -> Tables:
        """Open the tables that belong to a folder."""
        raise NotImplementedError

    def damage(self, tables: Tables, digest: Digest) -> None:
        """Change a byte of a stored object behind the store's back. Override it where `path` is a copy."""
        flip_a_byte(tables.blobs.path(digest), 50)

    @pytest.fixture
    def tables(self, tmp_path: Path) -> Tables:
        """Lend a new store's tables."""
        return self.open_tables(tmp_path / "store")

    # -- creating and reading

    def test_what_was_created_is_read(self, tables: Tables) -> None:
        made = tables.create(FLIGHTS)

        assert tables.read(made.digest).equals(FLIGHTS)
        assert tables.scan(made.digest).filter(pl.col("id") > 2).select("carrier").collect()["carrier"].to_list() == [None, "UA"]
        assert (made.n_rows, made.n_parts) == (4, 1)
        assert made.columns == {"id": "Int64", "carrier": "String", "delay": "Float64"}
        assert tables.info(made.digest) == made

    def test_the_same_rows_give_the_same_version(self, tables: Tables, tmp_path: Path) -> None:
        in_pieces = pl.concat([FLIGHTS[:1], FLIGHTS[1:3], FLIGHTS[3:]], rechunk=False)
        elsewhere = self.open_tables(tmp_path / "another")

        assert len({t.create(f).digest for t in (tables, elsewhere) for f in (FLIGHTS, in_pieces, FLIGHTS.lazy())}) == 1
        assert tables.create(FLIGHTS.reverse()).digest != tables.create(FLIGHTS).digest

    def test_every_column_type_comes_back(self, tables: Tables) -> None:
        version = tables.create(EVERY_TYPE).digest
        twice = tables.append(version, EVERY_TYPE).digest

        assert tables.read(version).equals(EVERY_TYPE)
        assert tables.read(version).schema == EVERY_TYPE.schema
        assert tables.read(twice).equals(pl.concat([EVERY_TYPE, EVERY_TYPE]))
        assert tables.schema(twice) == EVERY_TYPE.schema

    def test_a_table_without_rows_keeps_its_columns(self, tables: Tables) -> None:
        none = tables.create(EVERY_TYPE.clear())
        emptied = tables.delete(tables.create(FLIGHTS).digest, [0, 1, 2, 3])

        assert (none.n_rows, none.n_parts) == (0, 0)
        assert tables.read(none.digest).schema == EVERY_TYPE.schema
        assert tables.read(emptied.digest).equals(FLIGHTS.clear())
        assert emptied.digest == tables.create(FLIGHTS.clear()).digest
        assert tables.read(tables.append(emptied.digest, FLIGHTS).digest).equals(FLIGHTS)

    def test_python_objects_are_refused_by_column(self, tables: Tables) -> None:
        with pytest.raises(ParameterError, match="thing"):
            tables.create(pl.DataFrame({"thing": pl.Series([object()], dtype=pl.Object)}))

    def test_an_unknown_version_is_unavailable_and_another_object_is_no_version(self, tables: Tables) -> None:
        with pytest.raises(BlobUnavailable):
            tables.read("b3:" + "0" * 64)
        some_object = next(d for d in tables.objects(tables.create(FLIGHTS).digest) if not tables.is_version(d))
        with pytest.raises(IntegrityError, match="is not a table version"):
            tables.read(some_object)

    # -- adopting

    def test_an_adopted_parquet_file_keeps_its_bytes(self, tables: Tables, tmp_path: Path) -> None:
        path = tmp_path / "flights.parquet"
        FLIGHTS.write_parquet(path, compression="snappy")

        made = tables.adopt(path)
        assert tables.read(made.digest).equals(FLIGHTS)
        assert made.size_bytes == path.stat().st_size
        assert tables.adopt(path).digest == made.digest

    def test_an_adopted_table_takes_every_edit(self, tables: Tables, tmp_path: Path) -> None:
        path = tmp_path / "flights.parquet"
        FLIGHTS.write_parquet(path)
        edited = tables.append(tables.adopt(path).digest, FLIGHTS)
        edited = tables.delete(edited.digest, pl.col("carrier") == "UA")
        edited = tables.overlay(edited.digest, pl.DataFrame({"late": [True, False, True, False]}))

        assert tables.read(edited.digest)["carrier"].to_list() == ["AA", None, "AA", None]
        assert tables.read(edited.digest)["late"].to_list() == [True, False, True, False]

    def test_what_is_no_parquet_file_is_refused(self, tables: Tables, tmp_path: Path) -> None:
        path = tmp_path / "flights.csv"
        path.write_text("id,carrier\n1,UA\n")

        with pytest.raises(DataFormatError, match=r"flights\.csv"):
            tables.adopt(path)

    # -- editing

    def test_appending_adds_rows_and_keeps_the_former_version(self, tables: Tables) -> None:
        first = tables.create(FLIGHTS)
        second = tables.append(first.digest, FLIGHTS.with_columns(pl.col("id") + 10).select("delay", "id", "carrier"))

        assert tables.read(second.digest)["id"].to_list() == [1, 2, 3, 4, 11, 12, 13, 14]
        assert tables.read(second.digest).columns == FLIGHTS.columns
        assert tables.read(first.digest).equals(FLIGHTS)
        assert tables.append(first.digest, FLIGHTS.clear()).digest == first.digest

    def test_a_column_without_values_takes_the_tables_type(self, tables: Tables) -> None:
        row = pl.DataFrame({"id": [5], "carrier": [None], "delay": [None]})
        assert tables.read(tables.append(tables.create(FLIGHTS).digest, row).digest).row(4) == (5, None, None)

    def test_appending_other_columns_names_all_of_them(self, tables: Tables) -> None:
        rows = pl.DataFrame({"id": ["1"], "carrier": ["UA"], "speed": [3.0]})

        with pytest.raises(ParameterError) as caught:
            tables.append(tables.create(FLIGHTS).digest, rows)
        assert "delay: missing (the table has Float64)" in caught.value.message
        assert "speed: not in the table" in caught.value.message
        assert "id: String instead of Int64" in caught.value.message

    def test_rows_are_deleted_by_condition_or_number(self, tables: Tables) -> None:
        base = tables.append(tables.create(FLIGHTS).digest, FLIGHTS.with_columns(pl.col("id") + 4)).digest

        assert tables.read(tables.delete(base, pl.col("carrier") == "UA").digest)["id"].to_list() == [2, 3, 6, 7]
        assert tables.read(tables.delete(base, [7, 0, 0, 4]).digest)["id"].to_list() == [2, 3, 4, 6, 7]
        assert tables.delete(base, pl.col("id") == pl.col("id").max()).n_rows == 7
        twice = tables.delete(tables.delete(base, [0]).digest, [0, 5])
        assert tables.read(twice.digest)["id"].to_list() == [3, 4, 5, 6, 8]

    def test_deleting_nothing_is_the_same_version(self, tables: Tables) -> None:
        base = tables.create(FLIGHTS).digest

        assert tables.delete(base, []).digest == base
        assert tables.delete(base, pl.col("id") > 100).digest == base

    @pytest.mark.parametrize(("rows", "told"), [([4], "row 4"), ([-1], "row -1"), (pl.col("nope") == 1, "nope")])
    def test_deleting_what_is_not_there_is_refused(self, tables: Tables, rows: pl.Expr | list[int], told: str) -> None:
        with pytest.raises(ParameterError, match=told):
            tables.delete(tables.create(FLIGHTS).digest, rows)

    def test_an_overlay_adds_and_replaces_columns_of_the_living_rows(self, tables: Tables) -> None:
        base = tables.delete(tables.append(tables.create(FLIGHTS).digest, FLIGHTS).digest, [1, 6]).digest
        once = tables.overlay(base, pl.DataFrame({"late": list(range(6)), "carrier": list("abcdef")}))
        twice = tables.overlay(once.digest, pl.DataFrame({"carrier": list(range(6))}))

        assert once.columns == {"id": "Int64", "carrier": "String", "delay": "Float64", "late": "Int64"}
        assert tables.read(once.digest).select("id", "carrier", "late").rows() == [
            (1, "a", 0),
            (3, "b", 1),
            (4, "c", 2),
            (1, "d", 3),
            (2, "e", 4),
            (4, "f", 5),
        ]
        assert twice.columns["carrier"] == "Int64"
        assert tables.read(twice.digest)["carrier"].to_list() == [0, 1, 2, 3, 4, 5]
        assert tables.read(tables.delete(twice.digest, [0]).digest)["late"].to_list() == [1, 2, 3, 4, 5]
        assert tables.read(base).columns == FLIGHTS.columns

    def test_an_overlay_of_another_height_is_refused(self, tables: Tables) -> None:
        with pytest.raises(ParameterError, match="3 rows of new columns for a table of 4 rows"):
            tables.overlay(tables.create(FLIGHTS).digest, pl.DataFrame({"late": [1, 2, 3]}))

    def test_an_upsert_replaces_rows_with_the_key_and_adds_the_others(self, tables: Tables) -> None:
        new = pl.DataFrame({"id": [2, 9], "carrier": ["XX", "YY"], "delay": [0.0, 1.0]})
        after = tables.read(tables.upsert(tables.create(FLIGHTS).digest, new, key=["id"]).digest)

        assert after["id"].to_list() == [1, 3, 4, 2, 9]
        assert after["carrier"].to_list() == ["UA", None, "UA", "XX", "YY"]

    def test_an_upsert_matches_null_and_nan_keys(self, tables: Tables) -> None:
        new = pl.DataFrame({"id": [7, 8], "carrier": ["n", "m"], "delay": [float("nan"), None]})
        after = tables.read(tables.upsert(tables.create(FLIGHTS).digest, new, key=["delay"]).digest)

        assert after["id"].to_list() == [1, 4, 7, 8]

    def test_an_upsert_with_a_key_that_is_none_is_refused(self, tables: Tables) -> None:
        base = tables.create(FLIGHTS).digest
        twice = pl.concat([FLIGHTS[:1], FLIGHTS[:1]])

        with pytest.raises(ParameterError, match=r"the key id is not unique in the new rows: several rows have id=1"):
            tables.upsert(base, twice, key=["id"])
        with pytest.raises(ParameterError, match="the key carrier is not unique in the table"):
            tables.upsert(base, FLIGHTS[:1], key=["carrier"])
        with pytest.raises(ParameterError, match="the key names no column of the table: nope"):
            tables.upsert(base, FLIGHTS, key=["nope"])
        with pytest.raises(ParameterError, match="names no columns"):
            tables.upsert(base, FLIGHTS, key=[])

    def test_compacting_keeps_rows_and_order_and_is_done_once(self, tables: Tables) -> None:
        base = tables.append(tables.create(FLIGHTS).digest, FLIGHTS.with_columns(pl.col("id") + 4)).digest
        edited = tables.overlay(tables.delete(base, [0, 5]).digest, pl.DataFrame({"late": list(range(6))})).digest
        compacted = tables.compact(edited)

        assert tables.read(compacted.digest).equals(tables.read(edited))
        assert compacted.n_parts == 1
        assert compacted.digest == tables.create(tables.read(edited)).digest
        assert tables.compact(compacted.digest).digest == compacted.digest

    # -- what a version needs

    def test_a_version_is_readable_from_its_objects_alone(self, tables: Tables) -> None:
        base = tables.delete(tables.create(FLIGHTS).digest, [0]).digest
        version = tables.overlay(base, pl.DataFrame({"late": [1, 2, 3]})).digest

        needed = set(tables.objects(version))
        assert version in needed
        assert len(needed) == 5  # manifest, schema, file, deletion vector, overlay
        assert tables.is_version(version)
        tables.check(version)

    def test_a_damaged_part_is_named_before_any_row_is_read(self, tables: Tables, tmp_path: Path) -> None:
        version = tables.append(tables.create(FLIGHTS).digest, FLIGHTS.reverse()).digest
        part = tables.parts(version)[1]
        self.damage(tables, part.base)

        for reader in (tables, self.open_tables(tmp_path / "store")):
            with pytest.raises(IntegrityError, match=f"part 1 of table {version}") as caught:
                reader.scan(version)
            assert caught.value.expected == part.base
