"""A process that does nothing but write to a store, noting what was acknowledged: to be killed at a moment of the test's choosing."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import polars as pl

from sampan.store.blobs import LocalBlobs
from sampan.store.tables import Tables, TableVersion


def write_until_killed(root: Path, notes: Path, seed: int) -> None:
    """Put objects and packs, adopt files, create and edit tables, for ever.

    `notes` gets a line after each call that returned: `blob <digest>`, or `table <digest> <rows>`.
    """
    rng = random.Random(seed)  # noqa: S311  # variety, not secrecy
    blobs = LocalBlobs(root)
    tables = Tables(blobs)
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    source = root.with_name(f"source-{seed}")
    # Single appends of single lines: what the system call returned from outlives the process.
    os.write(file, b"begun\n")
    while True:
        for line in chain(_put(rng, blobs, source), _edit(rng, tables)):
            os.write(file, f"{line}\n".encode())


def _put(rng: random.Random, blobs: LocalBlobs, source: Path) -> Iterator[str]:
    yield f"blob {blobs.put(rng.randbytes(rng.randrange(50_000)))}"
    yield "\n".join(f"blob {digest}" for digest in blobs.put_many(rng.randbytes(rng.randrange(2_000)) for _ in range(30)))
    # A hard link makes the source read-only; the next one is a new file.
    source.unlink(missing_ok=True)
    source.write_bytes(rng.randbytes(rng.randrange(200_000)))
    yield f"blob {blobs.adopt_file(source, link=rng.choice(('copy', 'hardlink')))[0]}"


def _edit(rng: random.Random, tables: Tables) -> Iterator[str]:
    rows = pl.DataFrame({"id": range(rng.randrange(1, 5_000))})
    version = tables.create(rows)
    yield _line(version)
    for _ in range(rng.choice((1, 1, 20))):
        version = tables.append(version.digest, rows)
        yield _line(version)
    version = tables.delete(version.digest, range(version.n_rows // 3))
    yield _line(version)
    version = tables.overlay(version.digest, pl.DataFrame({"x": range(version.n_rows)}))
    yield _line(version)
    yield _line(tables.compact(version.digest))


def _line(version: TableVersion) -> str:
    return f"table {version.digest} {version.n_rows}"
