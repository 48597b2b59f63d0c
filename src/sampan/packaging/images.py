"""A container image that serves a package, written without a daemon, a registry or root: base, libraries, program, package.

The same package on the same base gives the same digest. After a change of the model only the last layer is made again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from sampan import __version__
from sampan.core.budgets import hold_to
from sampan.core.digests import digest_bytes
from sampan.core.settings import read_settings
from sampan.errors import ParameterError
from sampan.packaging.bases import Base, Grounds, add_base
from sampan.packaging.bytecode import with_bytecode
from sampan.packaging.cache import Cache
from sampan.packaging.closure import serving_names
from sampan.packaging.distributions import UNUSED, Library, installed, needed, program, wheels_of
from sampan.packaging.layers import Entry, Layer, folder_entries, write_layer
from sampan.packaging.layout import EPOCH, Layout
from sampan.packaging.packages import PackageFacts, read_facts
from sampan.ports import Built, Progress, TargetOptions

PORT: Final = 8080
USER: Final = "65532:65532"  # a number needs no line in /etc/passwd, and no base gives this one to a person
LIBRARIES: Final = "opt/sampan"
PACKAGE: Final = "srv/package"
KEYS: Final = "/run/keys"  # where a file for each caller is to be mounted, with its key
SECONDS: Final = 1_000_000_000  # what Docker counts time in is nanoseconds
_HEALTHY: Final = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/v2/health/ready', timeout=2)"
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VARIABLES: Final = {
    "PYTHONPATH": f"/{LIBRARIES}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    # A container's share of a machine is less than the machine, whose processors the libraries would count.
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


class ImageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may set of an image."""

    wheels: str = ""  # a folder of wheels, to put in other libraries than this environment's
    libraries: str = ""  # more of them, by name with commas between: of a flavor that another package brings
    compression: int = 6  # 0 to 9


class Image:
    """Builds OCI image layouts."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Write an image of a package as an OCI layout.

        Raises
        ------
        ParameterError : there is no base, or a setting cannot be heeded.
        NotFound, Unsupported : libraries that serving needs are not there, or are not for the base.
        BudgetExceeded : the image has more megabytes (`mb`) than it may have.
        """
        asked, where = _asked(options)
        facts = read_facts(package)
        writer = _Writer(Layout(out), Cache(options.cache), asked.compression)
        with progress.stage("Write the image's layers", total=4, unit="layers") as stage:
            base = add_base(where, writer.layout, writer.cache, compression=asked.compression)
            stage.advance(note="base")
            libraries = _libraries(package, facts, base.grounds, asked)
            own = [writer.add_libraries(libraries, base.grounds.minor)]
            stage.advance(note="libraries")
            own.append(writer.add_program(base.grounds.minor))
            stage.advance(note="program")
            own.append(writer.add_package(package, facts))
            stage.advance(note="package")
        layers = [*base.layers, *own]
        labels = _labels(facts)
        digest = writer.layout.add_image(_config(base, layers, labels), layers, name=facts.version, annotations=labels)
        mb = sum(layer.size for layer in layers) / 1e6
        hold_to(options.budget, {"mb": mb})
        return Built.of(
            out,
            facts={
                "image": digest,
                "mb": mb,
                "base_mb": sum(layer.size for layer in base.layers) / 1e6,
                "python": f"3.{base.grounds.minor}",
            },
            next=(f"skopeo copy oci:{{out}}:{facts.version} docker://REGISTRY/{facts.name}:{facts.version}",),
        )


class _Writer:
    """Writes layers into a layout, or takes them from the cache."""

    def __init__(self, layout: Layout, cache: Cache, compression: int) -> None:
        self.layout = layout
        self.cache = cache
        self._compression = compression

    def add_libraries(self, libraries: Sequence[Library], minor: int) -> Layer:
        """Write the libraries' layer: the one beside the base that takes long."""
        entries = (entry for library in libraries for entry in library.entries(LIBRARIES))
        about = {"libraries": [library.identity for library in libraries], "without": UNUSED.pattern}
        return self._cached(with_bytecode(entries, minor), "sampan: libraries", about={**about, "python": _compiling(minor)})

    def add_program(self, minor: int) -> Layer:
        """Write this program's layer; it is made again where a file of it changed."""
        entries = [Entry("tmp", mode=0o1777), *program(LIBRARIES)]
        about = {entry.path: digest_bytes(entry.content.read_bytes()) for entry in entries if isinstance(entry.content, Path)}
        return self._cached(with_bytecode(entries, minor), "sampan: program", about={"files": about, "python": _compiling(minor)})

    def add_package(self, package: Path, facts: PackageFacts) -> Layer:
        """Write the package's layer anew: looking whether it is the same would take as long."""
        entries = folder_entries(package, below=PACKAGE)
        return self.layout.write_layer(
            partial(write_layer, entries, made_by=f"sampan: package {facts.model}", compression=self._compression)
        )

    def _cached(self, entries: Iterable[Entry], made_by: str, *, about: dict[str, Any]) -> Layer:
        write = partial(write_layer, entries, made_by=made_by, compression=self._compression)
        return self.layout.add_layer(write, about={**about, "compression": self._compression}, cache=self.cache)


def _compiling(minor: int) -> str:
    """Say which Python compiles ahead: bytecode is that of one version, and only this process's own can be made."""
    return sys.version if minor == sys.version_info.minor else ""


def _asked(options: TargetOptions) -> tuple[ImageSettings, Path]:
    asked = read_settings(options.settings, ImageSettings)
    if not 0 <= asked.compression <= 9:
        raise ParameterError(f"compression={asked.compression} is not 0 to 9", parameter="setting")
    if options.base is None:
        raise ParameterError(
            "an image needs a base to be built on", parameter="base", hint="--base FOLDER|TAR|LAYOUT; docs/guide/containers.md makes one"
        )
    return asked, options.base


def _libraries(package: Path, facts: PackageFacts, grounds: Grounds, asked: ImageSettings) -> list[Library]:
    more = tuple(filter(None, map(str.strip, asked.libraries.split(","))))
    names = serving_names(package, facts, more)
    return needed(names, wheels_of(Path(asked.wheels), grounds) if asked.wheels else installed, grounds)


def _labels(facts: PackageFacts) -> dict[str, str]:
    return {
        "org.opencontainers.image.title": facts.name,
        "org.opencontainers.image.version": facts.version,
        "org.opencontainers.image.description": f"Predictions of {facts.model}, served by Sampan {__version__}",
        "dev.sampan.model": facts.model,
        "dev.sampan.served-by": facts.served_by,
        "dev.sampan.version": __version__,
    }


def _config(base: Base, layers: Sequence[Layer], labels: dict[str, str]) -> dict[str, Any]:
    """Write the image's configuration: what runs, as whom, on what port, and how to ask whether it is well."""
    inherited = base.config.get("config", {})
    python = base.grounds.python
    variables = dict(line.split("=", 1) for line in inherited.get("Env", [f"PATH={_PATH}"])) | _VARIABLES
    serve = [python, "-m", "sampan", "serve", "--package", f"/{PACKAGE}"]
    return {
        "created": EPOCH,
        "architecture": base.grounds.architecture,
        "os": "linux",
        "config": {
            "User": USER,
            "Entrypoint": serve,
            # Apart from the entrypoint, so that `docker run IMAGE --open …` can say other things.
            "Cmd": ["--host", "0.0.0.0", "--port", str(PORT), "--keys", KEYS],  # noqa: S104  # within a container
            "WorkingDir": "/",
            "Env": [f"{name}={value}" for name, value in sorted(variables.items())],
            "ExposedPorts": {f"{PORT}/tcp": {}},
            "Labels": {**inherited.get("Labels", {}), **labels},
            "StopSignal": "SIGTERM",
            # Docker's and Podman's word; what reads OCI alone passes over it, and orchestrators bring probes of their own.
            "Healthcheck": {
                "Test": ["CMD", python, "-c", _HEALTHY],
                "Interval": 10 * SECONDS,
                "Timeout": 3 * SECONDS,
                "StartPeriod": 10 * SECONDS,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created": EPOCH, "created_by": layer.made_by} for layer in layers],
    }
