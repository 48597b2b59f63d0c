"""Cells of others that name a subject: found whatever a column's type, and written without it, all else as it was."""

from __future__ import annotations

import polars as pl
import pytest

from sampan.store.blobs import LocalBlobs
from sampan.store.erasure import Subject
from sampan.store.tables import Tables
from sampan.store.tables.erasing import Erasing
from sampan.store.tables.mentions import Mentions

CODE, EMAIL = "P-000777", "lan@example.net"
CELLS = [f"ask {CODE}, {EMAIL} {EMAIL}.", f"{CODE}-2", CODE, f"x{CODE}", None]
LEFT = ["ask [erased], [erased] [erased].", f"{CODE}-2", "[erased]", f"x{CODE}", None]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pl.Series(CELLS), LEFT),
        (pl.Series(CELLS, dtype=pl.Categorical), LEFT),
        (pl.Series([CODE, "other", None], dtype=pl.Enum([CODE, "other"])), [None, "other", None]),
        (pl.Series([CELLS, [], None], dtype=pl.List(pl.String)), [LEFT, [], None]),
        (pl.Series([[CODE, "a"]], dtype=pl.Array(pl.String, 2)), [["[erased]", "a"]]),
        (pl.Series([{"a": CODE, "n": 1}, {"a": "b", "n": 2}, None]), [{"a": "[erased]", "n": 1}, {"a": "b", "n": 2}, None]),
        (pl.Series([[{"a": EMAIL}, None], None]), [[{"a": "[erased]"}, None], None]),
        (pl.Series([1, 2]), [1, 2]),
    ],
)
def test_a_text_is_taken_out_of_cells_of_every_type(column: pl.Series, expected: list[object]) -> None:
    mentions = Mentions(Subject({}, (CODE, EMAIL)))

    made = mentions.without(column.to_frame("*"))["*"]

    assert made.to_list() == expected
    assert made.dtype == column.dtype
    assert bool(mentions.count(column.to_frame("*").lazy())) == (expected != column.to_list())
    assert mentions.count(made.to_frame().lazy()) == {}


def test_key_columns_are_not_looked_at() -> None:
    frame = pl.DataFrame({"who": [f"{CODE} jr"], "said": [f"with {CODE}"]})

    assert Mentions(Subject({"who": CODE}, (CODE,))).without(frame).row(0) == (f"{CODE} jr", "with [erased]")
    assert Mentions(Subject({})).count(frame.lazy()) == {}


@pytest.mark.parametrize(
    ("text", "cell"),
    [("Nguy\u1ec5n Lan", "NGUYE\u0302\u0303N LAN"), ("lan@example.net", "Lan: LAN@EXAMPLE.NET"), ("LAN@example.net", "Lan@Example.net")],
)
def test_a_text_is_found_in_every_way_in_which_it_is_written(text: str, cell: str) -> None:
    subject = Subject.named({"who": text})

    assert Mentions(subject).count(pl.LazyFrame({"said": [cell]})) == {"said": 1}
    assert subject.is_in(cell.encode())
    assert "[erased]" in subject.redact_text(cell)


def test_codes_that_differ_in_a_capital_are_two() -> None:
    subject = Subject.named({"who": "aB3xY"})

    assert not subject.is_in(b"for AB3XY")
    assert subject.is_in(b"for aB3xY")
    assert Mentions(subject).count(pl.LazyFrame({"said": ["for AB3XY", "for aB3xY"]})) == {"said": 1}


def test_mentions_leave_every_version_and_rows_keep_their_places(tmp_path) -> None:  # type: ignore[no-untyped-def]  # pytest's
    tables = Tables(LocalBlobs(tmp_path / "store"))
    first = tables.create(pl.DataFrame({"id": range(4), "said": ["a", f"to {EMAIL}", f"{EMAIL}?", "d"]})).digest
    second = tables.delete(first, [0, 2]).digest
    third = tables.overlay(second, pl.DataFrame({"late": [f"by {EMAIL}", "no"]})).digest
    other = tables.create(pl.DataFrame({"id": [1]})).digest

    erased = Erasing(tables, {}, Mentions(Subject({}, (EMAIL,)))).erase([first, second, third, other])

    after = [tables.read(erased[version].new_version).rows() for version in (first, second, third)]
    assert after[0] == [(0, "a"), (1, "to [erased]"), (2, "[erased]?"), (3, "d")]
    assert after[1] == [(1, "to [erased]"), (3, "d")]
    assert after[2] == [(1, "to [erased]", "by [erased]"), (3, "d", "no")]
    assert [erased[version].n_cells for version in (first, second)] == [2, 2]
    assert erased[other].new_version == other
    for version in (first, second, third):
        tables.check(erased[version].new_version)
        assert Erasing(tables, {}, Mentions(Subject({}, (EMAIL,)))).mentioned([erased[version].new_version]) == {}
