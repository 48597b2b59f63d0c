"""Erasing a subject from tables: gone from every file of every version, and nothing else changed."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import polars as pl
import pytest

from sampan.core.digests import Digest
from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables, parts
from sampan.store.tables.erasing import Erasing, erase_rows
from sampan.store.tables.manifest import Overlay, Part

PERSON = "person-000777"
VISITS = pl.DataFrame(
    {
        "person": [PERSON, "person-1", "person-2", PERSON],
        "place": pl.Series(["Huế", "Vinh", "Huế", "Dalat"], dtype=pl.Categorical),
        "cost": [1.5, None, float("nan"), -2.0],
    }
)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(LocalBlobs(tmp_path / "store"))


def bytes_of(tables: Tables, versions: list[Digest]) -> bytes:
    """Return everything the versions are made of, Parquet decoded."""
    found = b""
    for version in versions:
        for digest in tables.objects(version):
            data = tables.blobs.read(digest)
            found += data
            if data.startswith(b"PAR1"):
                found += repr(pl.read_parquet(data).to_dict(as_series=False)).encode()
    return found


def test_a_subject_is_gone_from_every_version_and_all_else_is_as_it_was(tables: Tables) -> None:
    first = tables.create(VISITS).digest
    second = tables.append(first, VISITS.with_columns(person=pl.lit("person-9"), place=pl.lit("Vinh").cast(pl.Categorical))).digest
    third = tables.delete(second, [0, 2]).digest
    fourth = tables.overlay(third, pl.DataFrame({"late": [1, 2, 3, 4, 5, 6]})).digest
    fifth = tables.upsert(fourth, tables.read(fourth).filter(pl.col("person") == "person-1"), key=["person"]).digest
    versions = [first, second, third, fourth, fifth]
    expected = [tables.read(version).filter(pl.col("person") != PERSON) for version in versions]
    assert PERSON.encode() in bytes_of(tables, versions)

    erased = Erasing(tables, {"person": [PERSON]}).erase(versions)

    after = [erased[version].new_version for version in versions]
    assert [tables.read(version).equals(frame) for version, frame in zip(after, expected, strict=True)] == [True] * 5
    assert [erased[version].n_rows for version in versions] == [2, 2, 1, 1, 1]
    assert [tables.schema(version) for version in after] == [tables.schema(version) for version in versions]
    assert PERSON.encode() not in bytes_of(tables, after)
    assert b"Dalat" not in bytes_of(tables, after)  # a category that nobody else has
    for version in after:
        tables.check(version)


def test_versions_without_the_subject_stay_the_same_objects(tables: Tables) -> None:
    version = tables.create(VISITS).digest

    assert erase_rows(tables, version, key="person", values=["nobody"]) == msgspec.convert(
        {"new_version": version, "n_rows": 0, "n_left": 4}, type(erase_rows(tables, version, key="person", values=["nobody"]))
    )
    assert erase_rows(tables, version, key="no such column", values=[PERSON]).new_version == version


def test_what_versions_share_is_written_once(tables: Tables) -> None:
    first = tables.create(VISITS).digest
    versions = [first] + [tables.overlay(first, pl.DataFrame({"n": [number] * 4})).digest for number in range(5)]
    before = set(tables.blobs.digests())

    after = Erasing(tables, {"person": [PERSON]}).erase(versions)

    written = set(tables.blobs.digests()) - before
    assert len(written) == 1 + 5 + 6  # one file, an overlay each, a manifest each
    bases = {part.base for erased in after.values() for part in tables.parts(erased.new_version)}
    assert len(bases) == 1


def test_a_key_that_an_overlay_brought_erases_the_row_everywhere(tables: Tables) -> None:
    bare = tables.create(VISITS.drop("person")).digest
    named = tables.overlay(bare, VISITS.select("person")).digest

    erased = Erasing(tables, {"person": [PERSON]}).erase([bare, named])

    assert tables.read(erased[bare].new_version)["place"].to_list() == ["Vinh", "Huế"]
    assert tables.read(erased[named].new_version)["person"].to_list() == ["person-1", "person-2"]


def test_a_key_that_an_overlay_hides_is_erased_too(tables: Tables) -> None:
    version = tables.create(VISITS).digest
    masked = tables.overlay(version, pl.DataFrame({"person": ["a", "b", "c", "d"]})).digest

    erased = Erasing(tables, {"person": [PERSON]}).erase([masked])[masked]

    assert tables.read(erased.new_version)["person"].to_list() == ["b", "c"]
    assert PERSON.encode() not in bytes_of(tables, [erased.new_version])


def test_a_part_that_was_the_subjects_alone_is_dropped(tables: Tables) -> None:
    version = tables.append(tables.create(VISITS[1:3]).digest, VISITS[:1]).digest

    erased = erase_rows(tables, version, key="person", values=[PERSON])

    assert (erased.n_rows, erased.n_left) == (1, 2)
    assert tables.info(erased.new_version).n_parts == 1
    emptied = erase_rows(tables, tables.create(VISITS[:1]).digest, key="person", values=[PERSON]).new_version
    assert tables.read(emptied).equals(VISITS.clear())


def test_a_number_is_matched_as_a_number_and_a_text_as_a_text(tables: Tables) -> None:
    numbers = tables.create(pl.DataFrame({"id": [7, 77, -7]})).digest
    texts = tables.create(pl.DataFrame({"id": ["7", "007"]})).digest

    assert tables.read(erase_rows(tables, numbers, key="id", values=["7"]).new_version)["id"].to_list() == [77, -7]
    assert tables.read(erase_rows(tables, numbers, key="id", values=[-7]).new_version)["id"].to_list() == [7, 77]
    assert erase_rows(tables, numbers, key="id", values=["007"]).new_version == numbers
    assert tables.read(erase_rows(tables, texts, key="id", values=["7"]).new_version)["id"].to_list() == ["007"]


@pytest.mark.parametrize(
    ("column", "value", "left"),
    [
        (pl.Series([17.0, None, 170.0, 1.5]), "17", [None, 170.0, 1.5]),
        (pl.Series([17.0, None, 170.0, 1.5]), "1.5", [17.0, None, 170.0]),
        (pl.Series([17.0, 1.0]), "017", [17.0, 1.0]),
        (pl.Series([float("nan"), 1.0]), "nan", [float("nan"), 1.0]),
        (pl.Series([0.1, 2.0], dtype=pl.Float32), "0.1", [2.0]),
        (pl.Series(["17", "170", "1.5"], dtype=pl.String).cast(pl.Decimal(9, 2)).alias(""), "17", ["170.00", "1.50"]),
        (pl.Series(["Nguye\u0302\u0303n", "Nguyen"]), "Nguy\u1ec5n", ["Nguyen"]),
        (pl.Series(["Nguy\u1ec5n", "Nguyen"]), "Nguye\u0302\u0303n", ["Nguyen"]),
    ],
)
def test_a_value_is_found_in_whatever_form_the_column_has_it(tables: Tables, column: pl.Series, value: str, left: list[object]) -> None:
    version = tables.create(pl.DataFrame({"id": column})).digest

    kept = tables.read(erase_rows(tables, version, key="id", values=[value]).new_version)["id"]

    assert kept.equals(pl.Series("id", left, dtype=None if column.dtype.is_decimal() else column.dtype).cast(column.dtype))


def test_a_large_adopted_file_is_written_again_in_parts(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_PART_ROWS", 1_000)
    frame = pl.DataFrame({"person": [f"p{number % 97}" for number in range(4_500)], "n": range(4_500)})
    path = tmp_path / "visits.parquet"
    frame.write_parquet(path)
    adopted = tables.adopt(path).digest
    edited = tables.overlay(tables.delete(adopted, [0, 2_222, 4_499]).digest, pl.DataFrame({"late": range(4_497)})).digest
    expected = tables.read(edited).filter(pl.col("person") != "p5")

    erased = Erasing(tables, {"person": ["p5"]}).erase([adopted, edited])

    assert tables.info(erased[edited].new_version).n_parts == 5
    assert tables.read(erased[edited].new_version).equals(expected)
    assert tables.read(erased[adopted].new_version).equals(frame.filter(pl.col("person") != "p5"))


@pytest.mark.parametrize("seed", range(8))
def test_any_history_reads_as_if_the_subject_had_never_been_there(tables: Tables, seed: int) -> None:
    rng = random.Random(seed)
    versions = [tables.create(_people(rng, 30)).digest]
    for number in range(12):
        base = rng.choice(versions)
        n_rows = tables.info(base).n_rows
        schema = tables.schema(base)
        edit = rng.choice(["append", "delete", "overlay", "compact"])
        if edit == "append":
            new = _people(rng, rng.randint(1, 20))
            new = new.with_columns(pl.lit(number).alias(name) for name in schema if name not in new.columns)
            versions.append(tables.append(base, new.cast(schema)).digest)
        elif edit == "delete" and n_rows:
            versions.append(tables.delete(base, rng.sample(range(n_rows), rng.randint(1, max(1, n_rows // 3)))).digest)
        elif edit == "overlay" and n_rows:
            versions.append(tables.overlay(base, pl.DataFrame({f"c{number}": [rng.random() for _ in range(n_rows)]})).digest)
        else:
            versions.append(tables.compact(base).digest)
    expected = {version: tables.read(version).filter(pl.col("person") != PERSON) for version in versions}

    erased = Erasing(tables, {"person": [PERSON]}).erase(versions)

    for version, found in erased.items():
        assert tables.read(found.new_version).equals(expected[version])
        assert found.n_left == expected[version].height
        tables.check(found.new_version)
    assert PERSON.encode() not in bytes_of(tables, [found.new_version for found in erased.values()])


def test_erasing_knows_every_field_of_a_part() -> None:
    # A field added to a part (statistics, a filter) may hold values of the erased rows: teach `erasing.py` what becomes of it.
    assert Part.__struct_fields__ == ("base", "n_rows", "base_bytes", "dead", "n_dead", "dead_bytes", "overlays")
    assert Overlay.__struct_fields__ == ("data", "columns", "size_bytes")


def _people(rng: random.Random, n: int) -> pl.DataFrame:
    return pl.DataFrame({"person": [rng.choice([PERSON, "a", "b", "c"]) for _ in range(n)], "cost": [rng.random() for _ in range(n)]})
