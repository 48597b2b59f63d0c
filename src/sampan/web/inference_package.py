"""A server for one package folder, with no project and no store beside it: what a container, a unit of systemd or a laptop runs.

What it logs goes to a folder of its own, in the form a store has, or nowhere.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from socket import socket

import uvloop

from sampan.errors import ParameterError
from sampan.serving.keeping import Keeping
from sampan.serving.routing import Routing, Variant
from sampan.store.segments import Segments
from sampan.web.inference import InferenceApp
from sampan.web.inference_log import ArrivalLog, PredictionLog
from sampan.web.inference_server import listen, serve_app
from sampan.workspace.predictors import PackagePredictor, open_predictor

_NOTHING = Keeping(share=0.0)


def serve_package(folder: Path, *, host: str = "127.0.0.1", port: int = 0, log: Path | None = None) -> None:
    """Serve a package's folder until the process is told to stop.

    Parameters
    ----------
    folder : what `sampan model pack MODEL --out FOLDER` wrote
    log : where predictions, true labels and fed rows are kept; by default predictions are not, and the rest as long as the process lives

    Raises
    ------
    ParameterError : the folder does not exist.
    IntegrityError : it is no package, or one that is broken.
    Unavailable : the port is taken.
    """
    if not folder.is_dir():
        raise ParameterError(f"there is no folder {folder}", parameter="package", hint="sampan model pack MODEL --out FOLDER makes one")
    with ExitStack() as until_the_end:
        root = log or Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="sampan-serve-")))
        listener = until_the_end.enter_context(listen(host, port))
        uvloop.run(_run(folder, listener, Segments(root), keeps=log is not None))


async def _run(folder: Path, listener: socket, segments: Segments, *, keeps: bool) -> None:
    predictor = open_predictor(folder)
    variant = _live(predictor)
    name = predictor.name
    arrivals = ArrivalLog(segments, name)
    arrivals.replay(predictor, after="", known_until=predictor.manifest.until)
    log = PredictionLog(segments) if keeps else PredictionLog(segments, rules=lambda *_: _NOTHING)
    app = InferenceApp(name, log=log, arrivals=arrivals)
    try:
        await app.scorer.swap(Routing(live=variant), catch_up=_nothing_to_do)
        await serve_app(app, listener, ready=lambda: _announce(variant, listener))
    finally:
        await app.close()


async def _nothing_to_do() -> None:
    """Nothing was fed while the one model was loaded."""


def _live(predictor: PackagePredictor) -> Variant:
    manifest = predictor.manifest
    return Variant(
        role="live",
        package=manifest.model,
        version=manifest.model,
        predictor=predictor,
        threshold=manifest.threshold,
        fields=tuple((name, str(spec["type"])) for name, spec in manifest.request_schema.items()),
        keys=manifest.keys,
        slices=manifest.slices,
    )


def _announce(variant: Variant, listener: socket) -> None:
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"{variant.version} answers at http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()
