"""Put all of it together: the report, the hooks, and what is done at the program's end."""

from __future__ import annotations

import atexit
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from .files import INSTALLED, Files, foreign_folders
from .fits import Fits
from .imports import AfterImport
from .models import keep
from .records import Report, Silence
from .torch_fits import TorchFits

_WATCHED_BEFORE = "SAMPAN_WATCHED"


def start(folder: str) -> None:
    """Watch this program, and report into `folder`."""
    report = Report(folder)
    files, fits = Files(report), Fits(report)
    torch = TorchFits(report, fits)
    # Of what the command starts, the first Python is the program; the others are its workers.
    is_first = not os.environ.get(_WATCHED_BEFORE)
    os.environ[_WATCHED_BEFORE] = "1"
    report.write(
        "process",
        parent=os.getppid(),
        is_first=is_first,
        arguments=list(getattr(sys, "orig_argv", sys.argv)),
        executable=sys.executable,
        python=sys.version.split()[0],
        cwd=os.getcwd(),
    )
    sys.addaudithook(files.audit)
    sys.meta_path.insert(0, AfterImport({**_readers(files), **(_trainers(fits, torch) if is_first else {})}))
    # atexit calls the last registered first, so the program's own functions run before this one; a fork must not repeat it.
    atexit.register(_finish, os.getpid(), report, fits, torch, time.monotonic())


def _readers(files: Files) -> dict[str, Callable[[ModuleType], None]]:
    return {
        "polars": files.watch_polars,
        "pyarrow.parquet": files.watch_parquet,
        "pyarrow.csv": files.watch_arrow_source,
        "pyarrow.json": files.watch_arrow_source,
        "pyarrow.feather": files.watch_arrow_source,
        "pyarrow.dataset": files.watch_arrow_source,
        "duckdb": files.watch_duckdb,
    }


def _trainers(fits: Fits, torch: TorchFits) -> dict[str, Callable[[ModuleType], None]]:
    return {
        "sklearn.base": fits.watch_sklearn_base,
        "sklearn.metrics": fits.watch_sklearn_metrics,
        "sklearn.model_selection": fits.watch_sklearn_selection,
        "lightgbm.engine": fits.watch_lightgbm_engine,
        "lightgbm.sklearn": partial(fits.watch_estimators, library="lightgbm"),
        "xgboost.training": fits.watch_xgboost_training,
        "xgboost.sklearn": partial(fits.watch_estimators, library="xgboost"),
        "torch.optim.optimizer": torch.watch_optimizer,
        "torch._tensor": torch.watch_tensor,
    }


def _finish(pid: int, report: Report, fits: Fits, torch: TorchFits, started: float) -> None:
    if os.getpid() != pid:
        return
    for name, (model, rows) in fits.models.items():
        keep(report, name, model, rows)
    with Silence():
        modules = torch.trained()
    for name, module in modules.items():
        keep(report, name, module, None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    report.write("modules", files=_own_modules(), versions=_versions())
    report.write("end", seconds=time.monotonic() - started, cpu_s=used.ru_utime + used.ru_stime, max_rss_kb=used.ru_maxrss)


def _own_modules() -> list[str]:
    """Return the files of the program's own modules: not Python's, not installed ones, not ours."""
    with Silence():
        foreign = foreign_folders()
        found = {
            os.path.abspath(file)
            for module in list(sys.modules.values())
            if isinstance(file := getattr(module, "__file__", None), str) and file.endswith(".py")
        }
        return sorted(file for file in found if not file.startswith(foreign) and not any(part in file for part in INSTALLED))


def _versions() -> dict[str, Any]:
    """Return the versions of the imported packages that say theirs; asking the metadata of all would take longer than most programs."""
    found = {}
    for name, module in list(sys.modules.items()):
        version = vars(module).get("__version__") if "." not in name and module is not None else None
        if isinstance(version, str):
            found[name] = version
    return dict(sorted(found.items()))
