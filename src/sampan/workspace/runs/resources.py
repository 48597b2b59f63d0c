"""What a process and its children use while they run: processor, memory, and the GPU where there is one. Read from /proc."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

EVERY_S: Final = 2.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_MB: Final = os.sysconf("SC_PAGE_SIZE") / (1 << 20)
_NUMBER: Final = re.compile(r"\d+(\.\d+)?\Z")
_GPU: Final = ("--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits")


class Resources:
    """The resources of a process tree, measured now and then."""

    def __init__(self, pid: int) -> None:
        self.n = -1  # the number of the newest measurement
        self._pid = pid
        self._at = time.monotonic()
        self._cpu_s = 0.0
        self._gpu = shutil.which("nvidia-smi")

    def measure(self) -> dict[str, float]:
        """Return what is used now by metric name; {} where the last measurement is too fresh or the process has gone."""
        now = time.monotonic()
        if self.n >= 0 and now - self._at < EVERY_S:
            return {}
        used = [found for pid in _tree(self._pid) if (found := _used(pid)) is not None]
        if not used:
            return {}
        cpu_s, rss_mb = sum(cpu for cpu, _ in used), sum(rss for _, rss in used)
        # A child that ended takes its seconds along: the sum may fall.
        cores = max(cpu_s - self._cpu_s, 0.0) / max(now - self._at, 1e-3)
        self.n, self._at, self._cpu_s = self.n + 1, now, cpu_s
        return {"system.cores": cores, "system.rss_mb": rss_mb, **self._measure_gpu()}

    def _measure_gpu(self) -> dict[str, float]:
        if self._gpu is None:
            return {}
        try:
            told = subprocess.run([self._gpu, *_GPU], capture_output=True, text=True, timeout=EVERY_S, check=True).stdout
            lines = [line.split(",") for line in told.splitlines() if line.strip()]
            cards = [[float(word) if _NUMBER.match(word.strip()) else None for word in line] for line in lines]
        except (OSError, ValueError, subprocess.SubprocessError):
            self._gpu = None  # a driver that does not answer will not do so in two seconds either
            return {}
        # What a card does not tell is "[N/A]", as the share of one that is split among several.
        named = ((n, name, value) for n, card in enumerate(cards) for name, value in zip(("share", "mb"), card, strict=False))
        return {f"system.gpu{n}.{name}": value for n, name, value in named if value is not None}


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _tree(int(child))


def _used(pid: int) -> tuple[float, float] | None:
    """Return processor seconds and resident megabytes; None where the process has gone."""
    try:
        # The second field is the program's name in brackets, which may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE_MB
