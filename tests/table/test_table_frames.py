"""Tables in memory come in unchanged, or it is said why not."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sampan.errors import DataFormatError
from sampan.table.frames import from_memory, thinned

FRAME = pl.DataFrame({"a": [1, 2], "b": ["x", None]})


def test_every_kind_of_table_gives_the_same_frame() -> None:
    for table in (FRAME, FRAME.lazy(), FRAME.to_arrow(), FRAME.to_pandas(), {"a": [1, 2], "b": ["x", None]}):
        assert from_memory(table).equals(FRAME), type(table)


def test_a_named_index_is_kept_and_nan_is_missing() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan]}, index=pd.Index([7, 8], name="id"))

    assert from_memory(frame).to_dicts() == [{"id": 7, "a": 1.0}, {"id": 8, "a": None}]


def test_a_column_twice_or_of_several_types_is_refused() -> None:
    with pytest.raises(DataFormatError, match="a column twice: 'a'"):
        from_memory(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(DataFormatError, match="a column twice: 'a'"):
        from_memory(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]))
    with pytest.raises(DataFormatError, match="'a' of table holds int and str"):
        from_memory(pd.DataFrame({"a": pd.Series([1, "x"], dtype=object)}))
    with pytest.raises(DataFormatError, match="cannot become a table"):
        from_memory({"a": [1, "x"]})


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataFormatError, match="table is no table but of type int"):
        from_memory(5)
    for empty in (pl.DataFrame(), pd.DataFrame(), {}):
        with pytest.raises(DataFormatError, match="table has no columns"):
            from_memory(empty)


def test_every_so_many_th_row_is_taken_from_the_first() -> None:
    lazy = pl.LazyFrame({"x": range(10)})

    assert thinned(lazy, 4)["x"].to_list() == [0, 4, 8]
    assert thinned(lazy, 1)["x"].to_list() == list(range(10))
