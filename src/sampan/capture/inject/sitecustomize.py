"""Runs before a watched program does: start watching, then make room for the sitecustomize this one hides."""

import importlib
import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _start() -> None:
    folder = os.environ.get("SAMPAN_CAPTURE", "")
    if not folder:
        return
    try:
        importlib.import_module("_sampan_capture").start(folder)
    except Exception as error:  # noqa: BLE001  # watching must never keep a program from running
        sys.stderr.write(f"sampan: this program is not watched: {type(error).__name__}: {error}\n")


def _run_hidden() -> None:
    """Load the sitecustomize that stands further down the path, as Python would have without us."""
    path = [each for each in sys.path if os.path.abspath(each or ".") != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


_start()
_run_hidden()
