"""Hashes that are stored must never change."""

import numpy as np
import polars as pl

from sampan.stats.stable_hash import hash_numbers, hash_texts


def test_hashes_are_what_they_were() -> None:
    # Written once; a change here makes every stored profile unmergeable and needs a new NAME.
    assert hash_numbers(np.array([0.0, 1.0, -2.5])).tolist() == [16294208416658607535, 9860564707913756141, 16147957956850547208]
    assert hash_texts(pl.Series(["", "a", "Straße"])).tolist() == [16294208416658607535, 4824385676517010403, 9678381815521013455]


def test_equal_values_hash_alike_whatever_their_neighbors() -> None:
    texts = ["x", "", "yy", "é", "yy"]
    whole = hash_texts(pl.Series(texts)).tolist()

    assert whole == [hash_texts(pl.Series([text])).tolist()[0] for text in texts]
    assert whole[2] == whole[4]
    assert hash_texts(pl.Series(["?", *texts])[1:]).tolist() == whole
    assert hash_numbers(np.array([3])).tolist() == hash_numbers(np.array([3.0])).tolist()
    assert hash_numbers(np.array([-0.0])).tolist() == hash_numbers(np.array([0.0])).tolist()


def test_similar_values_do_not_collide() -> None:
    assert len(np.unique(hash_texts(pl.Series([f"N{i}" for i in range(100_000)])))) == 100_000
    assert len(np.unique(hash_numbers(np.arange(100_000)))) == 100_000
