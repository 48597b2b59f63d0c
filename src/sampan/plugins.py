"""How implementations are found: ours by the table below, others by entry points of the same group names.

Finding must cost next to nothing, since `sampan --help` lists plug-in rooms too: `importlib.metadata` takes longer than bare Python starts,
so the entry points files beside installed packages are read directly, and nothing is imported before it is asked for.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing typing takes as long as starting Python
if TYPE_CHECKING:
    from typing import Any

# group -> name -> "module:attribute"
BUILT_IN: dict[str, dict[str, str]] = {
    # A room is a noun with operations; see workspace/operation.py. "" holds the top-level verbs.
    "sampan.rooms": {
        "": "sampan.workspace.home:Home",
        "audit": "sampan.workspace.audit:Audit",
        "data": "sampan.workspace.data.data:Data",
        "export": "sampan.workspace.mlflow.exporting:Exports",
        "import": "sampan.workspace.mlflow.importing:Imports",
        "incident": "sampan.workspace.services.incidents:Incidents",
        "model": "sampan.workspace.models.models:Models",
        "monitor": "sampan.workspace.services.monitors:Monitors",
        "openlineage": "sampan.workspace.lineage.openlineage:OpenLineage",
        "policy": "sampan.workspace.governing.policy:Policy",
        "run": "sampan.workspace.runs.runs:Runs",
        "schedule": "sampan.workspace.services.schedule:Schedule",
        "service": "sampan.workspace.services.services:Services",
    },
    # A shortcut is a word at the top level that stands for a noun and a verb.
    "sampan.shortcuts": {
        "pack": "model pack",
        "optimise": "model optimise",
        "optimize": "model optimise",
        "ship": "model ship",
        "tune": "model tune",
    },
    # A module's PAGES (web/page.py).
    # A process is a command that is no operation: it gets the words typed after its name, `project` and `as_json`, and returns
    # the exit code.
    "sampan.processes": {
        "demo": "sampan.cli.demo:main",
        "ui": "sampan.web.commands:ui",
        "server": "sampan.web.commands:server",
        "serve": "sampan.web.commands:serve",
    },
    "sampan.pages": {
        "home": "sampan.web.pages.home:PAGES",
        "admission": "sampan.web.pages.admission:PAGES",
        "datasets": "sampan.web.pages.datasets:PAGES",
        "contracts": "sampan.web.pages.contracts:PAGES",
        "explored": "sampan.web.pages.explored:PAGES",
        "versions": "sampan.web.pages.versions:PAGES",
        "runs": "sampan.web.pages.runs:PAGES",
        "compare": "sampan.web.pages.compare:PAGES",
        "models": "sampan.web.pages.models:PAGES",
        "studies": "sampan.web.pages.studies:PAGES",
        "explanations": "sampan.web.pages.explanations:PAGES",
        "optimizations": "sampan.web.pages.optimizations:PAGES",
        "services": "sampan.web.pages.services:PAGES",
        "policies": "sampan.web.pages.policies:PAGES",
        "incidents": "sampan.web.pages.incidents:PAGES",
        "log": "sampan.web.pages.log:PAGES",
        "lineage": "sampan.web.pages.lineage:PAGES",
    },
    # A renderer makes one page of an answer that stands alone: called with the answer and a language, it returns HTML.
    "sampan.renderers": {
        "exploration": "sampan.web.explored:render_exploration",
    },
    # A differ writes the sheet of one kind of node (workspace/runs/comparing.py); "*" that of any other kind.
    "sampan.differs": {
        "run": "sampan.workspace.runs.sheets:run_sheet",
        "model": "sampan.workspace.runs.sheets:model_sheet",
        "dataset": "sampan.workspace.runs.sheets:dataset_sheet",
        "report": "sampan.workspace.runs.sheets:report_sheet",
        "decision": "sampan.workspace.runs.sheets:decision_sheet",
        "explanation": "sampan.workspace.runs.sheets:explanation_sheet",
        "*": "sampan.workspace.runs.sheets:any_sheet",
    },
    "sampan.checks": {},
    "sampan.flavors": {
        "lightgbm": "sampan.flavors.lightgbm:LightGBM",
        "onnx": "sampan.flavors.onnx_file:Onnx",
        "torch": "sampan.flavors.torch:Torch",
        "xgboost": "sampan.flavors.xgboost:XGBoost",
        "sklearn": "sampan.flavors.sklearn:ScikitLearn",  # the last: estimators of other libraries follow its protocol too
    },
    "sampan.executors": {
        "inline": "sampan.engine.executors:Inline",
        "pool": "sampan.engine.pool:Pool",
    },
    "sampan.sources": {},
    # What a package is built for (ports.Target): called with its name.
    "sampan.targets": {
        "oci": "sampan.packaging.images:Image",
        "kubernetes": "sampan.packaging.manifests:Kubernetes",
        "kserve": "sampan.packaging.manifests:KServe",
        "systemd": "sampan.packaging.systemd:Systemd",
        "wheel": "sampan.packaging.wheels:Wheel",
        "browser": "sampan.workspace.targets.browser_target:Browser",
        "rpi4": "sampan.workspace.targets.linux_targets:ArmLinux",
        "rpi5": "sampan.workspace.targets.linux_targets:ArmLinux",
        "rpi-armhf": "sampan.workspace.targets.linux_targets:ArmLinux",
        "jetson": "sampan.workspace.targets.linux_targets:ArmLinux",
        "phone": "sampan.workspace.targets.linux_targets:ArmLinux",
        "cortex-m0plus": "sampan.workspace.targets.edge_targets:Microcontroller",
        "cortex-m4f": "sampan.workspace.targets.edge_targets:Microcontroller",
        "cortex-m7": "sampan.workspace.targets.edge_targets:Microcontroller",
        "esp32c3": "sampan.workspace.targets.edge_targets:Microcontroller",
    },
}

# What a person reads beside each noun and process in `sampan --help`; a plug-in's is its package's summary.
SUMMARIES: dict[str, str] = {
    "audit": "The ledger: verify its chain, read what happened",
    "data": "Datasets: add, check against a contract, compare versions",
    "export": "Write what is here for other tools: MLflow's folders",
    "import": "Bring what other tools recorded: MLflow's stores and servers",
    "incident": "Incidents: what went wrong, and what was done about it",
    "model": "Models: train, judge, promote, pack, ship",
    "monitor": "Monitors: drift and live quality, window by window",
    "openlineage": "OpenLineage: tell others what ran on what, take up what they tell",
    "policy": "Policies: what data may be used for, who said so, how to ask",
    "run": "Runs: train or compute from a file, list and look at them",
    "schedule": "The scheduler: judge shadows, take up requests for runs",
    "service": "Services: what is live, its traffic and latency",
    "demo": "Run the flagship story on real data",
    "ui": "Open the pages on this machine",
    "server": "Serve pages and API to others, behind a sign-in token",
    "serve": "Answer prediction requests with a service's deployed model",
}


def names(group: str) -> dict[str, str]:
    """Return every name of a group with its "module:attribute", ours first. Nothing is imported."""
    return {**BUILT_IN.get(group, {}), **_installed().get(group, {})}


def find(group: str, name: str) -> Any:
    """Import and return one implementation.

    Raises
    ------
    NotFound : the group has no such name.
    """
    known = names(group)
    if name not in known:
        import difflib

        from sampan.errors import NotFound

        close = tuple(difflib.get_close_matches(name, known, n=3))
        raise NotFound(f"no {group.removeprefix('sampan.').removesuffix('s')} called {name!r}", did_you_mean=close)
    from importlib import import_module

    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)


def summary(word: str) -> str:
    """Return the line that `sampan --help` shows beside a noun or a process."""
    return SUMMARIES.get(word) or _SUMMARIES_INSTALLED.get(word, "")


# What keeps a library from telling its makers about us. It has to stand in the environment before the library is imported.
_SILENCE: dict[str, tuple[str, str]] = {"onnxruntime": ("ORT_DISABLE_TELEMETRY", "1")}


def require(module: str, *, extra: str) -> Any:
    """Import an optional dependency, or say which extra brings it."""
    from importlib import import_module

    if silence := _SILENCE.get(module):
        os.environ.setdefault(*silence)
    try:
        return import_module(module)
    except ImportError as cause:
        from sampan.errors import MissingDependency

        raise MissingDependency(module.partition(".")[0], extra=extra) from cause


_CACHE: dict[tuple[str, ...], dict[str, dict[str, str]]] = {}
_SUMMARIES_INSTALLED: dict[str, str] = {}  # noun or process -> the summary of the package that brings it


def _installed() -> dict[str, dict[str, str]]:
    """Read the sampan.* groups of every entry_points.txt on the import path."""
    path = tuple(sys.path)
    if path not in _CACHE:
        found: dict[str, dict[str, str]] = {}
        for folder in path:
            for file in _entry_point_files(folder):
                _read_entry_points(file, found)
        _CACHE[path] = found
    return _CACHE[path]


def _entry_point_files(folder: str) -> list[str]:
    try:
        with os.scandir(folder or ".") as entries:
            return sorted(os.path.join(e.path, "entry_points.txt") for e in entries if e.name.endswith((".dist-info", ".egg-info")))
    except OSError:
        return []


def _read_entry_points(file: str, found: dict[str, dict[str, str]]) -> None:
    try:
        with open(file, encoding="utf-8") as lines:
            text = lines.read()
    except OSError:
        return
    if "[sampan." not in text:
        return
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line.strip("[]")
        elif group.startswith("sampan.") and "=" in line:
            name, _, target = line.partition("=")
            found.setdefault(group, {})[name.strip()] = target.strip()
            if group in ("sampan.rooms", "sampan.processes"):
                _SUMMARIES_INSTALLED[name.strip()] = _package_summary(os.path.dirname(file))


def _package_summary(folder: str) -> str:
    try:
        with open(os.path.join(folder, "METADATA"), encoding="utf-8") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("Summary:")), "")
    except OSError:
        return ""
