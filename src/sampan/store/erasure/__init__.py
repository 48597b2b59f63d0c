"""Erasing a person's data from everything a store holds, besides the tables' own parts (see `tables/erasing.py`)."""

from sampan.store.erasure.subjects import ERASED, Subject

__all__ = ["ERASED", "Subject"]
