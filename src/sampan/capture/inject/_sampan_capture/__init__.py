"""Watch the program this Python is about to run. Standard library alone; `start` is called before the program's first line."""

from __future__ import annotations

from .watching import start

__all__ = ["start"]
