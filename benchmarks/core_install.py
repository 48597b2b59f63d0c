"""Goal: the core install (no `train` extra) resolves to at most 25 packages; beside it MLflow's.

    python benchmarks/core_install.py

Counts what a resolver would install on this machine (`uv pip compile`, no markers left open); nothing is installed. We are not
counted.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = str(Path(sys.executable).parent / "uv")


def resolved(requirement: str) -> list[str]:
    """Resolve one requirement to its pinned packages."""
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "requirements.in"
        asked.write_text(requirement)
        answer = subprocess.run(
            [UV, "pip", "compile", "-q", "--no-header", "--no-annotate", "--python-version", "3.11", str(asked)],
            capture_output=True,
            text=True,
            check=True,
        )
    return [line for line in answer.stdout.splitlines() if "==" in line]


def main() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = resolved("\n".join(project["dependencies"]))
    peer = resolved("mlflow")
    version = next(line for line in peer if line.startswith("mlflow=="))
    print(f"sampan core      {len(ours):4d} packages   goal: at most 25")
    print(f"{version:<16} {len(peer):4d} packages   {len(peer) / len(ours):.1f}x")
    print("\n".join(f"  {line}" for line in ours))


if __name__ == "__main__":
    main()
