"""The only SQL and the only file writes."""

from sampan.store.store import Store

__all__ = ["Store"]
