"""Erasing a person's data from everything a store holds, besides the tables' own parts (see `tables/erasing.py`)."""

from sampan.store.erasure.subjects import ERASED, MIN_TEXT, Subject

__all__ = ["ERASED", "MIN_TEXT", "Subject"]
