"""Where a store's content lies when it does not lie in the store's folder."""

from __future__ import annotations

import msgspec


class S3Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a store's content lies in S3, and what a probe found that the bucket can do."""

    address: str  # s3://bucket/prefix
    endpoint: str = ""
    region: str = ""
    cache_bytes: int = 20 << 30
    conditional_puts: bool = True  # without them nothing is lost: content is addressed by digest, commits are made in SQL
    ranges: bool = True  # without them, whole objects are fetched
    keeps_versions: bool = False  # then what is deleted stays in the bucket's history
