"""A server for one package folder, with no project and no store beside it: what a container, a unit of systemd or a laptop runs.

What it logs goes to a folder of its own, in the form a store has, or nowhere.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from socket import socket

import msgspec
import uvloop

from sampan.errors import ParameterError
from sampan.serving.keeping import Keeping
from sampan.serving.routing import Routing, Variant
from sampan.store.segments import Segments
from sampan.web.inference.app import InferenceApp
from sampan.web.inference.key_folder import KeyFolder
from sampan.web.inference.log import ArrivalLog, PredictionLog
from sampan.web.inference.models import variant_of
from sampan.web.inference.plan import listen
from sampan.web.inference.server import SWITCH_S, serve_app
from sampan.web.security import is_loopback
from sampan.workspace.models.predictors import open_predictor

_NOTHING = Keeping(share=0.0)


class PackageServing(msgspec.Struct, frozen=True, kw_only=True):
    """How a package's folder is served."""

    host: str = "127.0.0.1"
    port: int = 0
    log: Path | None = None  # where predictions, true labels and fed rows are kept; by default these two only as long as the process lives
    keys: Path | None = None  # a folder with a file for each caller
    open: bool = False  # to everyone who reaches it


def serve_package(folder: Path, how: PackageServing) -> None:
    """Serve a folder that `sampan model pack MODEL --out FOLDER` wrote, until the process is told to stop.

    Raises
    ------
    ParameterError : the folder does not exist, or others could reach the server and nobody asks them for a key.
    IntegrityError : it is no package, or one that is broken.
    Unavailable : the port is taken.
    """
    if not folder.is_dir():
        raise ParameterError(f"there is no folder {folder}", parameter="package", hint="sampan model pack MODEL --out FOLDER makes one")
    if how.keys is None and not how.open and not is_loopback(how.host):
        raise ParameterError(
            f"others can reach {how.host}, and this server asks for no keys",
            parameter="keys",
            hint="--keys FOLDER with a file for each caller; or --open, where something before it asks who comes in",
        )
    with ExitStack() as until_the_end:
        root = how.log or Path(until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="sampan-serve-")))
        listener = until_the_end.enter_context(listen(how.host, how.port))
        sys.setswitchinterval(SWITCH_S)  # the log's thread lets the loop go on
        uvloop.run(_run(folder, listener, Segments(root), how))


async def _run(folder: Path, listener: socket, segments: Segments, how: PackageServing) -> None:
    predictor = open_predictor(folder)
    model = predictor.manifest.model
    variant = variant_of(predictor, role="live", package=model, version=model)
    name = predictor.name
    arrivals = ArrivalLog(segments, name)
    arrivals.replay(predictor, after="", known_until=predictor.manifest.until)
    log = PredictionLog(segments) if how.log else PredictionLog(segments, rules=lambda *_: _NOTHING)
    app = InferenceApp(name, log=log, arrivals=arrivals)
    if how.keys is not None:
        app.admit = KeyFolder(how.keys, service=name).admit
    try:
        await app.scorer.swap(Routing(live=variant), catch_up=_nothing_to_do)
        await serve_app(app, listener, ready=lambda: _announce(variant, listener))
    finally:
        await app.close()


async def _nothing_to_do() -> None:
    """Nothing was fed while the one model was loaded."""


def _announce(variant: Variant, listener: socket) -> None:
    host, port = listener.getsockname()[:2]
    sys.stdout.write(f"{variant.version} answers at http://{f'[{host}]' if ':' in host else host}:{port}\n")
    sys.stdout.flush()
