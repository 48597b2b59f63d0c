"""What a run ran in: Python, every library, the machine, thread counts, and the code's commit with what was not committed.

Read from files and from git; no library is imported and nothing is fetched.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from sampan.core.decoding import read_builtins
from sampan.core.digests import Digest, digest_value
from sampan.engine.executors import THREAD_LIMITS
from sampan.engine.libraries import installed

MAX_DIFF_BYTES: Final = 1 << 20
_GIT_TIMEOUT_S: Final = 10
# Never read into a record: files by which people keep secrets out of their code.
_SECRETS: Final = (
    ".env*",
    "*.env",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "id_rsa*",
    "id_ed25519*",
    "*credentials*",
    "*secret*",
    ".netrc",
    ".pypirc",
)
_THREADS: Final = (*THREAD_LIMITS, "VECLIB_MAXIMUM_THREADS", "OMP_THREAD_LIMIT")


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Where code ran. `digest` covers what can change a result: not the kernel, the processor's name or git, which tells code."""

    python: str
    implementation: str
    libraries: dict[str, str]
    os: str
    kernel: str
    machine: str
    cpu_model: str
    cpu_features: tuple[str, ...]
    threads: dict[str, str]
    gpus: tuple[str, ...] = ()
    git_commit: str
    git_diff: str  # tracked changes, then the names of new files
    git_diff_cut: bool  # the changes were longer than is kept
    digest: Digest


def capture(folder: Path | None = None) -> Environment:
    """Describe this process's environment; git is asked about `folder`, by default the working directory.

    Files that usually hold secrets (.env, keys, credentials) are left out of the difference, and it is cut at 1 MiB.
    """
    model, features = _processor()
    comparable = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "libraries": installed(),
        "os": _distribution(),
        "machine": platform.machine(),
        "cpu_features": features,
        "threads": _threads(),
    }
    if gpus := _gpus():
        comparable["gpus"] = gpus
    commit, diff, is_cut = _git(folder or Path.cwd())
    return read_builtins(
        {
            **comparable,
            "kernel": f"{platform.system()} {platform.release()}",
            "cpu_model": model,
            "git_commit": commit,
            "git_diff": diff,
            "git_diff_cut": is_cut,
            "digest": digest_value(comparable),
        },
        Environment,
    )


def differences(a: Environment, b: Environment) -> list[str]:
    """Say in words what is different in `b`; [] if a result cannot differ for the environment's sake, as far as it is known."""
    found = [
        f"{word} {before} → {after}"
        for word, before, after in (
            ("Python", a.python, b.python),
            ("implementation", a.implementation, b.implementation),
            ("operating system", a.os, b.os),
            ("machine", a.machine, b.machine),
        )
        if before != after
    ]
    found += _pairs("", a.libraries, b.libraries, gone="not installed")
    found += _pairs("threads: ", a.threads, b.threads, gone="not set")
    lost, new = set(a.cpu_features) - set(b.cpu_features), set(b.cpu_features) - set(a.cpu_features)
    if lost:
        found.append(f"the processor lacks {', '.join(sorted(lost))}")
    if new:
        found.append(f"the processor has {', '.join(sorted(new))} besides")
    if a.gpus != b.gpus:
        found.append(f"GPU {', '.join(a.gpus) or 'none'} → {', '.join(b.gpus) or 'none'}")
    if a.git_commit != b.git_commit:
        found.append(f"commit {a.git_commit[:12] or 'none'} → {b.git_commit[:12] or 'none'}")
    if a.git_diff != b.git_diff:
        found.append("other uncommitted changes")
    return found


def _pairs(title: str, a: dict[str, str], b: dict[str, str], *, gone: str) -> list[str]:
    changed = sorted(name for name in {*a, *b} if a.get(name) != b.get(name))
    return [f"{title}{name} {a.get(name, gone)} → {b.get(name, gone)}" for name in changed]


def _processor() -> tuple[str, tuple[str, ...]]:
    """Read name and features of the first processor; Arm has neither word of x86's."""
    found: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines():
            key, _, value = line.partition(":")
            found[key.strip()] = value.strip()
    except OSError:
        return platform.processor(), ()
    features = found.get("flags") or found.get("Features") or ""
    return found.get("model name") or found.get("CPU part") or platform.processor(), tuple(sorted(features.split()))


def _gpus() -> tuple[str, ...]:
    """Read the names of NVIDIA's GPUs from the driver; asking its tool would take a second."""
    try:
        files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        lines = [line for file in files for line in file.read_text().splitlines() if line.startswith("Model:")]
    except OSError:
        return ()
    return tuple(line.partition(":")[2].strip() for line in lines)


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.platform(terse=True)


def _threads() -> dict[str, str]:
    set_by_hand = {name: value for name in _THREADS if (value := os.environ.get(name))}
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return {**set_by_hand, "processors": str(os.cpu_count() or 1), "usable": str(usable)}


def _git(folder: Path) -> tuple[str, str, bool]:
    """Return the commit, what differs from it, and whether that was cut; empty outside a repository or without git."""
    if not (top := _ask(folder, "rev-parse", "--show-toplevel")[0].strip()):
        return "", "", False
    root, without = Path(top), [f":(exclude,top,icase,glob)**/{pattern}" for pattern in _SECRETS]
    commit = _ask(root, "rev-parse", "--verify", "--quiet", "HEAD")[0].strip()
    diff, is_cut = _ask(
        root, "diff", "--no-ext-diff", "--no-textconv", "--no-color", *([commit] if commit else ["--cached"]), "--", ":/", *without
    )
    names, more_cut = _ask(root, "ls-files", "--others", "--exclude-standard", "--", ":/", *without)
    new = "".join(f"new file: {name}\n" for name in names.splitlines())
    return commit, (diff + new)[:MAX_DIFF_BYTES], is_cut or more_cut or len(diff) + len(new) > MAX_DIFF_BYTES


def _ask(folder: Path, *arguments: str) -> tuple[str, bool]:
    """Run git and read at most so much of its answer; '' if it fails. It takes no lock, runs no hook, asks nobody."""
    quiet = ("core.fsmonitor=false", "core.quotePath=false", "diff.autoRefreshIndex=false")
    command = ["git", "-C", str(folder), *(part for setting in quiet for part in ("-c", setting)), *arguments]
    try:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
        ) as process:
            assert process.stdout is not None
            answer = process.stdout.read(MAX_DIFF_BYTES + 1)
            if is_cut := len(answer) > MAX_DIFF_BYTES:
                process.kill()
            code = process.wait(_GIT_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return "", False
    if code and not is_cut:
        return "", False
    return answer[:MAX_DIFF_BYTES].decode(errors="replace"), is_cut
