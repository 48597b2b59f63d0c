"""How long prediction logs are kept: `keep_days` of `[logs.SERVICE]`, and of the terms of the data that requests look like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sampan.serving.records import outcomes_stream
from sampan.store.files import store_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sampan.core.times import Millis
    from sampan.workspace.workspace import Workspace

_DAY_MS: Final = 86_400_000


def expired_segments(ws: Workspace, now: Millis) -> list[Path]:
    """Return the sealed segments of which every row is older than its service's logs are kept: predictions, and labels received then.

    A segment holds an hour at most, so a row outlives its days by no more than that. Volumes, which have no row of anybody, stay.
    """
    return [path for service in _services(ws) for path in _expired(ws, service, now)]


def remove_segments(paths: list[Path]) -> int:
    """Remove segments; return how many bytes that freed. One that is gone already counts nothing."""
    freed = 0
    for path in paths:
        with store_errors(path):
            try:
                freed += path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                continue
    return freed


def keep_days(ws: Workspace, service: str) -> int | None:
    """Return how many days a service's logs are kept, the least of what is said; None where nothing is."""
    from sampan.workspace.governing.governance import DATASET, Governance

    rules = ws.project.logs.get(service)
    said = [rules.keep_days] if rules is not None else []
    live = ws.catalog.aliases("deployment", service).get("live")
    if live is not None:
        package = ws.catalog.node(str(ws.catalog.node(live).facts["package"]))
        governance = Governance(ws)
        said += [governance.terms(origin.name).keep_days for origin in governance.origins(package) if origin.kind == DATASET]
    days = [each for each in said if each is not None]
    return min(days) if days else None


def _services(ws: Workspace) -> list[str]:
    return [asset.name for asset in ws.catalog.assets("service")]


def _expired(ws: Workspace, service: str, now: Millis) -> Iterator[Path]:
    from sampan.workspace.services.prediction_frames import prediction_streams

    days = keep_days(ws, service)
    if days is None:
        return
    before = now - days * _DAY_MS
    for stream in prediction_streams(ws, service):
        yield from (path for _, path in ws.store.segments.expired(stream, "at", before))
    yield from (path for _, path in ws.store.segments.expired(outcomes_stream(service), "received", before))
