from __future__ import annotations

import gzip
from pathlib import Path

from sampan.table.blocks import Records, read_blocks

TEXT = b"".join(b"%d,%s\n" % (i, b"x" * (i % 90)) for i in range(20_000))


def test_blocks_of_a_plain_file_end_where_lines_do(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT)

    blocks = list(read_blocks(path, size=1 << 16))

    assert b"".join(blocks) == TEXT
    assert len(blocks) > 10
    assert all(block.endswith(b"\n") and len(block) <= 1 << 16 for block in blocks)


def test_a_line_longer_than_a_block_and_an_archive_come_whole_all_the_same(tmp_path: Path) -> None:
    long, packed = tmp_path / "long.csv", tmp_path / "rows.csv.gz"
    long.write_bytes(b"y" * 200_000 + b"\n" + TEXT)
    packed.write_bytes(gzip.compress(TEXT))

    assert b"".join(read_blocks(long, size=1 << 16)) == long.read_bytes()
    assert b"".join(read_blocks(packed, size=1 << 16)) == TEXT
    records = [block.text for block in Records(read_blocks(packed, size=1 << 16))]
    assert b"".join(records) == TEXT
    assert all(record.endswith(b"\n") for record in records)
