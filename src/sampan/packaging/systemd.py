"""A unit for systemd that serves a package on a machine of its own, as a user that owns nothing and may do nothing else.

Source: systemd.service(5), systemd.exec(5), systemd.resource-control(5).
"""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Final

import msgspec

from sampan.core.budgets import hold_to
from sampan.core.settings import read_settings
from sampan.errors import ParameterError
from sampan.packaging.closure import LOCK
from sampan.packaging.measuring import Taken, measure_serving
from sampan.packaging.packages import PackageFacts, read_facts
from sampan.ports import Built, Progress, TargetOptions

_STEP_MIB: Final = 64
_UNIT: Final = """\
[Unit]
Description=Predictions of {model}
Documentation=man:sampan(1)
After=network-online.target
Wants=network-online.target

[Service]
Type=exec
ExecStart={program} serve --package {folder} --host {host} --port {port} --log %S/{name}{keys}
Restart=on-failure
RestartSec=1
TimeoutStopSec=30
Environment=PYTHONDONTWRITEBYTECODE=1 POLARS_MAX_THREADS=1 OMP_NUM_THREADS=1

# What it took to serve the package was measured: {rss_mb:.0f} MB. Twice that leaves room for large requests.
MemoryMax={memory}M
TasksMax=64

DynamicUser=yes
StateDirectory={name}
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
PrivateDevices=yes
PrivateTmp=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
"""


class UnitSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may set of a unit."""

    program: str = "/opt/sampan/bin/sampan"  # where it is installed on that machine
    folder: str = ""  # where the package will lie there; by default below /srv
    host: str = "127.0.0.1"
    port: int = 8080
    keys: str = ""  # a folder with a file for each caller; needed where others can reach `host`


class Systemd:
    """Writes a unit beside the package's folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Write the unit and copy the package.

        Raises
        ------
        ParameterError : a setting cannot be heeded.
        BudgetExceeded : serving takes more than it may: `rss_mb`, `start_s`, `p99_ms`.
        """
        asked = read_settings(options.settings, UnitSettings)
        options.refuse_base("a unit is built on no base", hint="--setting program=PATH says where sampan is installed")
        facts = read_facts(package)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", facts.name)
        folder = asked.folder or f"/srv/{name}"
        _check(asked, folder)
        with progress.stage("Serve the package to measure what it takes"):
            taken = measure_serving(package)
        hold_to(options.budget, {"rss_mb": taken.rss_mb, "start_s": taken.start_s, "p99_ms": taken.p99_ms})
        (out / f"{name}.service").write_text(_unit(facts, asked, taken, name=name, folder=folder), encoding="utf-8")
        shutil.copytree(package, out / "package", copy_function=shutil.copyfile)
        return Built.of(
            out,
            facts={key: round(value, 3) for key, value in msgspec.structs.asdict(taken).items()},
            next=(
                *_installing(asked.program, package),
                f"sudo cp -r {{out}}/package {folder}",
                f"sudo cp {{out}}/{name}.service /etc/systemd/system/ && sudo systemctl enable --now {name}",
            ),
        )


def _unit(facts: PackageFacts, asked: UnitSettings, taken: Taken, *, name: str, folder: str) -> str:
    return _UNIT.format(
        model=facts.model,
        program=asked.program,
        folder=folder,
        host=asked.host,
        port=asked.port,
        name=name,
        keys=f" --keys {asked.keys}" if asked.keys else "",
        rss_mb=taken.rss_mb,
        memory=math.ceil(taken.rss_mb * 2e6 / 2**20 / _STEP_MIB) * _STEP_MIB,
    )


def _installing(program: str, package: Path) -> tuple[str, ...]:
    """Say how the program comes to be on that machine with what serving needs alone."""
    home = Path(program).parent.parent
    if program != f"{home}/bin/sampan" or not (package / LOCK).exists():
        return ()
    return (f"sudo python3 -m venv {home} && sudo {home}/bin/pip install --no-deps -r {{out}}/package/{LOCK}",)


def _check(asked: UnitSettings, folder: str) -> None:
    """Raise ParameterError, naming every setting that would make a unit systemd misreads or one that cannot start."""
    paths = {"program": asked.program, "folder": folder, "keys": asked.keys}
    faults = [
        f"{name}={path} is no whole path of plain letters"
        for name, path in paths.items()
        if path and not re.fullmatch(r"/[\w./@+-]*", path)
    ]
    if not re.fullmatch(r"[\w.:-]+", asked.host):
        faults.append(f"host={asked.host} is no address")
    if not 0 < asked.port < 65536:
        faults.append(f"port={asked.port} is not 1 to 65535")
    if not asked.keys and asked.host not in ("127.0.0.1", "::1", "localhost"):
        faults.append(f"host={asked.host} can be reached by others, so keys=FOLDER is needed")
    if faults:
        raise ParameterError("; ".join(faults), parameter="setting")
