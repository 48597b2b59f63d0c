"""`sampan demo`: put an example's files into a folder of the user's and tell its story there."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from sampan.cli.progress import progress_for
from sampan.cli.story import Story, code_digest
from sampan.core.digests import digest_bytes
from sampan.errors import NotFound, UsageError
from sampan.workspace.workspace import STORE_FOLDER, Workspace


def main(arguments: Sequence[str] = (), *, project: str = ".", as_json: bool = False) -> int:
    """Tell an example's story; return the exit code."""
    if project != "." or as_json:
        raise UsageError(
            "a story is told in words, into a folder of its own", hint="sampan demo --into FOLDER, without --project and --json"
        )
    given = _parse(arguments)
    source = find_example(given.example)
    folder = Path(given.into or f"sampan-{given.example}").resolve()
    copy_example(source, folder)
    begin_again_where_the_code_changed(folder)
    story = load_story(folder)
    began = time.monotonic()
    with Workspace.open(folder, progress=progress_for()) as workspace:
        telling = Story(workspace, folder=folder, n_stages=story.N_STAGES)
        story.tell(workspace, telling, keep_serving=given.keep_serving)
    sys.stdout.write(f"\nThe whole story held, in {time.monotonic() - began:.0f} s")
    if telling.n_cached:
        sys.stdout.write(f"; {telling.n_cached} of {telling.n_stages} stages from cache in {telling.cached_seconds:.2f} s")
    sys.stdout.write(f".\n\nnext:\n  cd {_shown(folder)}\n  sampan status\n  sampan lineage flights-late@champion\n  sampan ui\n")
    return 0


def find_example(name: str) -> Path:
    """Return the folder of an example, in the installed package or beside the source."""
    package = Path(__file__).resolve().parent.parent
    for home in (package / "examples", package.parent.parent / "examples"):
        if (home / name / "story.py").is_file():
            return home / name
    known = sorted({p.parent.name for home in (package / "examples", package.parent.parent / "examples") for p in home.glob("*/story.py")})
    raise NotFound(f"there is no example {name!r}", hint="examples: " + ", ".join(known))


def copy_example(source: Path, folder: Path) -> None:
    """Copy the example's files. One the user edited is kept; one that came unedited from an older release is replaced."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", hint="give another folder with --into")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / ".example.json"
    copied: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    for file in source.iterdir():
        target = folder / file.name
        if not file.is_file() or (target.exists() and digest_bytes(target.read_bytes()) != copied.get(file.name)):
            continue
        shutil.copyfile(file, target)
        copied[file.name] = digest_bytes(file.read_bytes())
    record.write_text(json.dumps(copied, indent=1, sort_keys=True))


def begin_again_where_the_code_changed(folder: Path) -> None:
    """Set the store of a story told by other code aside: half of an old story and half of a new one would be neither."""
    told_by = folder / ".told-by"
    now = code_digest(folder)
    store = folder / STORE_FOLDER
    if store.exists() and (not told_by.exists() or told_by.read_text() != now):
        with Workspace.open(folder) as workspace:
            for service in workspace.service.list_services().services:
                workspace.service.stop(service.service)
        aside = next(p for n in range(1, 10_000) if not (p := folder / f"{STORE_FOLDER}-earlier-{n}").exists())
        store.rename(aside)
        sys.stdout.write(f"The example's code changed: the store of the earlier story is kept as {aside.name}, the story begins anew.\n")
    told_by.write_text(now)


def load_story(folder: Path) -> ModuleType:
    """Import the example's story.py from its folder."""
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("story", folder / "story.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _parse(arguments: Sequence[str]) -> Any:
    parser = argparse.ArgumentParser(prog="sampan demo", description="See a model's whole life on real data, in about four minutes.")
    parser.add_argument("example", nargs="?", default="flights")
    parser.add_argument("--into", default="", metavar="DIR", help="folder for the example and its store (default: ./sampan-EXAMPLE)")
    parser.add_argument("--keep-serving", action="store_true", help="leave the prediction server running at the end")
    return parser.parse_args(list(arguments))


def _shown(folder: Path) -> str:
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
