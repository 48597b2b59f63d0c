"""A version's profile costs what is new in it, and is kept where looking may keep things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sampan.core.graph import Node
from sampan.stats.profile_building import profile_table
from sampan.stats.profiles import Profile
from sampan.store.tables import parts
from sampan.store.tables.manifest import Part
from sampan.workspace.data import profiling
from sampan.workspace.data.profiling import PROFILE, make_profile, read_profile
from sampan.workspace.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="ana") as workspace:
        yield workspace


def add(ws: Workspace, frame: pl.DataFrame) -> Node:
    return ws.catalog.resolve(ws.data.add_table(frame, name="t").ref, kind="dataset")


def rows(n: int) -> pl.DataFrame:
    return pl.DataFrame({"a": [k % 7 for k in range(n)], "b": [f"w{k % 50}" for k in range(n)]})


def test_a_version_that_grew_reads_only_what_was_added(ws: Workspace) -> None:
    first = add(ws, rows(300))
    grown = ws.store.tables.append(first.digest, rows(40))
    (ws.store.blobs.path(ws.store.tables.parts(first.digest)[0].base)).unlink()

    profile = make_profile(ws, grown.digest, after=first)

    assert profile == profile_table(pl.concat([rows(300), rows(40)]))


def test_a_version_that_lost_rows_is_profiled_anew(ws: Workspace) -> None:
    first = add(ws, rows(300))
    fewer = ws.store.tables.delete(first.digest, pl.col("a") == 3)

    assert make_profile(ws, fewer.digest, after=first) == profile_table(rows(300).filter(pl.col("a") != 3))


def test_a_file_with_dead_rows_is_profiled_without_them(ws: Workspace) -> None:
    odd = rows(400).with_columns(c=pl.col("a").cast(pl.Decimal(10, 2)), d=pl.when(pl.col("a") > 2).then(pl.col("a") / 3))
    first = add(ws, odd)
    fewer = ws.store.tables.delete(first.digest, [*range(200), 399])
    relabelled = ws.store.tables.overlay(fewer.digest, odd[200:399].select(pl.col("a") + 1))

    assert make_profile(ws, fewer.digest) == profile_table(odd[200:399])
    assert make_profile(ws, relabelled.digest) == profile_table(odd[200:399].with_columns(pl.col("a") + 1))


def test_where_values_were_corrected_only_their_columns_are_profiled(ws: Workspace) -> None:
    numbered = rows(300).with_row_index("id")
    ws.data.add_table(numbered, name="t", key=["id"])
    ws.data.upsert("t", numbered[:30].with_columns(a=pl.lit(99, dtype=pl.Int64)))
    node = ws.catalog.resolve("t@v2", kind="dataset")
    bare = type(node)(**{name: getattr(node, name) for name in node.__struct_fields__ if name != "facts"}, facts={})

    (corrected,) = read_profile(ws, bare, columns=["a"]).columns
    assert corrected == read_profile(ws, node).column("a")
    assert [shift.column for shift in ws.data.diff("t@v1", "t@v2").profile] == ["a"]


def test_a_profile_that_nobody_recorded_is_made_once_and_kept_among_the_hints(ws: Workspace) -> None:
    node = add(ws, rows(300))
    bare = type(node)(**{name: getattr(node, name) for name in node.__struct_fields__ if name != "facts"}, facts={})
    n_events, hints = len(ws.catalog.events()), ws.root / ".sampan" / "hints"

    assert read_profile(ws, bare) == read_profile(ws, node) == profile_table(rows(300))
    kept = [file for file in hints.iterdir() if file.name.startswith(PROFILE)]
    assert len(kept) == 1
    kept[0].write_text('"broken"')
    assert read_profile(ws, bare) == profile_table(rows(300))
    assert len(ws.catalog.events()) == n_events


def test_a_source_that_grew_is_profiled_where_its_parts_are_new(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_PART_ROWS", 200)
    monkeypatch.setattr(profiling, "_WORTH_KEEPING", 200)
    first = add(ws, rows(500))
    read: list[int] = []
    make = profiling._make_part_profile

    def counted(ws: Workspace, part: Part, *rest: Any) -> Profile:
        read.append(part.n_rows)
        return make(ws, part, *rest)

    monkeypatch.setattr(profiling, "_make_part_profile", counted)

    grown = add(ws, rows(700))

    assert ws.store.tables.parts(grown.digest)[:2] == ws.store.tables.parts(first.digest)[:2]
    assert read == [200, 100]
    assert read_profile(ws, grown) == profile_table(rows(700))
