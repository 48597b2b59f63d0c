"""Which files a program reads and writes: Python's own `open` by an audit hook, the readers of native libraries by their functions."""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .records import Report, Silence, is_silent

# What every program touches says nothing about it.
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".pth", ".mo")
_SYSTEM = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib", "/lib64", "/bin", "/sbin", "/var/lib", "/run")
_HIDDEN = tuple(
    os.path.join(os.path.expanduser("~"), name) for name in (".cache", ".config", ".local", ".pyenv", ".matplotlib", ".ipython")
)
# Installed packages lie there, also those of another environment that this one sees.
INSTALLED = ("/site-packages/", "/dist-packages/")
_OWN_FOLDERS = ("/.sampan/", "/.git/", "/__pycache__/")
# The package this file belongs to, three folders up, is no part of the program.
OURS = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
_WRITES = os.O_WRONLY | os.O_RDWR

_POLARS_READS = ("csv", "parquet", "ipc", "ndjson", "json", "excel", "avro", "ods", "ipc_stream")
_POLARS_WRITES = ("csv", "parquet", "ipc", "ndjson", "json", "excel", "avro", "ipc_stream")


def foreign_folders() -> tuple[str, ...]:
    """Return where nothing of the program's own lies: Python's folders, installed packages, ours."""
    folders = {OURS, sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()}
    return tuple(os.path.join(os.path.abspath(each), "") for each in folders)


class Files:
    """The files of this program, each reported once as read and once as written."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._seen: set[tuple[str, bool]] = set()
        more = (report.folder, *_SYSTEM, *_HIDDEN)
        self._ignored = (*foreign_folders(), *(os.path.join(os.path.abspath(p), "") for p in more))

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at what Python is about to open. Called for every audit event, so it leaves at once."""
        if event not in ("open", "sqlite3.connect") or is_silent():
            return
        if event == "open":
            path, mode, flags = arguments
            self.note(path, is_write=bool(flags & _WRITES) if isinstance(flags, int) else bool(set(str(mode)) & set("wax+")))
        else:
            self.note(arguments[0], is_write=False)

    def note(self, path: Any, *, is_write: bool) -> None:
        """Report a file, unless it is one of those that every program touches."""
        if isinstance(path, int) or path is None:
            return
        try:
            name = os.path.abspath(os.fsdecode(path))
        except TypeError:  # an open file, a buffer: its own opening was seen
            return
        if (name, is_write) in self._seen or self._is_ignored(name):
            return
        self._seen.add((name, is_write))
        with Silence():
            if is_write:
                self._report.write("write", path=name, before=_digest(name) if (name, False) in self._seen else "")
            elif (found := _stat(name)) is not None:
                self._report.write("read", path=name, size=found.st_size, mtime_ns=found.st_mtime_ns)

    def note_source(self, source: Any, *, is_write: bool) -> None:
        """Report what a library was given as a source: a path, a pattern, or a list of them."""
        for each in source if isinstance(source, list | tuple) else (source,):
            if not isinstance(each, str | os.PathLike):
                continue
            text = os.fspath(each)
            if "://" in str(text):
                self._report.write("address", address=str(text).split("?", 1)[0], written=is_write)
                continue
            with Silence():
                found = glob.glob(str(text), recursive=True) if glob.has_magic(str(text)) else [text]
            for path in found:
                if os.path.isdir(path):
                    with Silence():
                        inside = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
                    for name in inside:
                        self.note(name, is_write=is_write)
                else:
                    self.note(path, is_write=is_write)

    def _is_ignored(self, name: str) -> bool:
        return name.endswith(_CODE) or name.startswith(self._ignored) or any(part in name for part in (*INSTALLED, *_OWN_FOLDERS))

    # -- libraries that open files outside of Python

    def watch_polars(self, polars: ModuleType) -> None:
        """Watch Polars' readers and writers."""
        for form in _POLARS_READS:
            for verb in ("read", "scan"):
                self._wrap(polars, f"{verb}_{form}", is_write=False)
        for form in _POLARS_WRITES:
            self._wrap(polars.DataFrame, f"write_{form}", is_write=True, position=1)
            self._wrap(polars.LazyFrame, f"sink_{form}", is_write=True, position=1)

    def watch_parquet(self, parquet: ModuleType) -> None:
        """Watch PyArrow's Parquet reader and writer, which pandas uses as well."""
        for name in ("read_table", "read_pandas", "read_schema"):
            self._wrap(parquet, name, is_write=False)
        self._wrap(parquet, "write_table", is_write=True, position=1)
        self._wrap(parquet.ParquetFile, "__init__", is_write=False, position=1)
        self._wrap(parquet.ParquetWriter, "__init__", is_write=True, position=1)

    def watch_arrow_source(self, module: ModuleType) -> None:
        """Watch the readers of pyarrow.csv, pyarrow.json, pyarrow.feather and pyarrow.dataset."""
        for name in ("read_csv", "open_csv", "read_json", "read_feather", "read_table", "dataset"):
            self._wrap(module, name, is_write=False)
        for name, position in (("write_csv", 1), ("write_feather", 1), ("write_dataset", 1)):
            self._wrap(module, name, is_write=True, position=position)

    def watch_duckdb(self, duckdb: ModuleType) -> None:
        """Watch DuckDB's readers of files; what stands inside a query's text is not looked for."""
        for name in ("read_csv", "read_parquet", "read_json", "from_csv_auto", "from_parquet", "connect"):
            self._wrap(duckdb, name, is_write=False)

    def _wrap(self, owner: Any, name: str, *, is_write: bool, position: int = 0) -> None:
        original: Callable[..., Any] | None = getattr(owner, name, None)
        if original is None:
            return

        @functools.wraps(original)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if not is_silent():
                first = args[position] if len(args) > position else next(iter(kwargs.values()), None)
                self.note_source(first, is_write=is_write)
            return original(*args, **kwargs)

        try:
            setattr(owner, name, watched)
        except (AttributeError, TypeError):  # a type written in C takes no new attributes
            return


def _stat(name: str) -> os.stat_result | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found if os.path.isfile(name) else None


def _digest(name: str) -> str:
    """Digest a file that was read before it is written over; afterwards nobody could tell what was read."""
    try:
        with open(name, "rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
