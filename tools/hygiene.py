"""Refuse what must not be in the repository: registry hosts in locks, files over 600 lines, TODOs without an issue."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 600


def tracked() -> list[Path]:
    """List the files git tracks or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def faults(path: Path) -> list[str]:
    """Name every fault of one file."""
    name = path.relative_to(ROOT).as_posix()
    found = []
    if name.startswith("requirements/") and re.search(r"https?://|--index-url|--extra-index", path.read_text()):
        found.append(f"{name}: a lock file names a host")
    if path.name in {"uv.lock", "pylock.toml"}:
        found.append(f"{name}: this lock format records the registry's host")
    if path.suffix == ".py":
        text = path.read_text()
        if text.count("\n") > MAX_LINES:
            found.append(f"{name}: {text.count(chr(10))} lines, at most {MAX_LINES}")
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"#\s*(TODO|FIXME|XXX)(?!\(#\d+\))", line):
                found.append(f"{name}:{number}: TODO without an issue number")
    return found


def main() -> int:
    """Print all faults; exit 1 if there are any."""
    found = [fault for path in tracked() for fault in faults(path)]
    for fault in found:
        sys.stdout.write(fault + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
