"""A wheel with a package inside: `pip install`, then `from flights_late import predict`.

Source: the binary distribution format (packaging.python.org/specifications/binary-distribution-format) and core metadata 2.1.
"""

from __future__ import annotations

import hashlib
import keyword
import re
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from packaging.utils import canonicalize_name

from sampan import __version__
from sampan.core.budgets import hold_to
from sampan.core.settings import read_settings
from sampan.errors import ParameterError
from sampan.packaging.answering import NATIVE
from sampan.packaging.distributions import installed
from sampan.packaging.packages import PackageFacts, read_facts
from sampan.ports import Built, Progress, TargetOptions

_THEN: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file knows: a wheel that says when it was made is another one each time
_MODULE: Final = '''\
"""Predictions of {model}, with everything they need inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FOLDER", "MODEL", "THRESHOLD", "predict"]
__version__ = {version!r}

FOLDER = Path(__file__).parent / "package"
MODEL = {model!r}
THRESHOLD: float | None = {threshold!r}


def predict(rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
    """Return one score per row. Raises sampan.errors.ParameterError naming field, value and expectation for a bad row."""
    return _predictor().predict(rows)


@cache
def _predictor() -> Any:
    from sampan.workspace.models.predictors import open_predictor

    return open_predictor(FOLDER)
'''


class WheelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may set of a wheel."""

    module: str = ""  # what is imported; by default the model's name


class Wheel:
    """Writes a wheel of pure Python."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Write the wheel.

        Raises
        ------
        ParameterError : a setting cannot be heeded.
        BudgetExceeded : the wheel has more megabytes (`mb`) than it may have.
        """
        asked = read_settings(options.settings, WheelSettings)
        options.refuse_base("a wheel is built on no base")
        facts = read_facts(package)
        module = _module(asked.module or re.sub(r"\W+", "_", facts.name))
        version = facts.version.removeprefix("v")
        stem = f"{canonicalize_name(facts.name).replace('-', '_')}-{version}"
        path = out / f"{stem}-py3-none-any.whl"
        with progress.stage("Write the wheel"):
            _write(path, dict(_files(package, facts, module=module, version=version, stem=stem)), f"{stem}.dist-info")
        mb = path.stat().st_size / 1e6
        hold_to(options.budget, {"mb": mb})
        return Built.of(out, facts={"mb": mb, "module": module}, next=(f"pip install {{out}}/{path.name}",))


def _module(name: str) -> str:
    """Return a module's name. Raises ParameterError where nothing can be imported by it, or something else is."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ParameterError(f"nothing can be imported as {name!r}", parameter="module", hint="--setting module=NAME")
    if name in sys.stdlib_module_names or name == "sampan":
        raise ParameterError(f"{name!r} is imported as something else already", parameter="module", hint="--setting module=NAME")
    return name


def _files(package: Path, facts: PackageFacts, *, module: str, version: str, stem: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(package.rglob("*")):
        if path.is_file():
            yield f"{module}/package/{path.relative_to(package).as_posix()}", path.read_bytes()
    yield f"{module}/__init__.py", _MODULE.format(model=facts.model, version=version, threshold=facts.threshold).encode()
    yield f"{module}/py.typed", b""
    yield f"{stem}.dist-info/METADATA", _metadata(facts, version).encode()
    yield (
        f"{stem}.dist-info/WHEEL",
        f"Wheel-Version: 1.0\nGenerator: sampan {__version__}\nRoot-Is-Purelib: true\nTag: py3-none-any\n".encode(),
    )


def _metadata(facts: PackageFacts, version: str) -> str:
    needs = [f"sampan=={__version__}"]
    if facts.served_by != "onnx":  # what loads the model is that by which it was written
        needs += [f"{name}=={installed(name).version}" for name in NATIVE.get(facts.flavor, ())]
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {facts.name}",
        f"Version: {version}",
        f"Summary: Predictions of {facts.model}",
        "Requires-Python: >=3.11",
    ]
    return "\n".join([*lines, *(f"Requires-Dist: {need}" for need in needs)]) + "\n"


def _write(path: Path, files: dict[str, bytes], folder: str) -> None:
    record = f"{folder}/RECORD"
    lines = [f"{name},sha256={_hashed(data)},{len(data)}" for name, data in files.items()]
    files = {**files, record: ("\n".join([*lines, f"{record},,"]) + "\n").encode()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, _THEN)
            info.external_attr, info.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def _hashed(data: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
