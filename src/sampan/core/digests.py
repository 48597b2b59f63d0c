"""Content addresses. A digest is the text `b3:` and 64 hex digits of BLAKE3; it names bytes everywhere in Sampan."""

from __future__ import annotations

import re
from typing import IO, Final

import msgspec

try:  # as `random` of the standard library does: `hashlib` loads OpenSSL, which would cost every command 3 ms
    from _sha256 import sha256 as _sha256  # type: ignore[import-not-found]
except ImportError:
    try:
        from _sha2 import sha256 as _sha256  # type: ignore[import-not-found]  # its name from Python 3.12 on
    except ImportError:
        from hashlib import sha256 as _sha256

Digest = str  # "b3:" + 64 lower-case hex digits

PREFIX: Final = "b3:"
_FULL = re.compile(r"b3:[0-9a-f]{64}\Z")
_ANYWHERE = re.compile(r"b3:[0-9a-f]{64}")
_BLOCK = 1 << 20


def is_digest(text: str) -> bool:
    """Say whether `text` is a whole digest."""
    return bool(_FULL.match(text))


def digests_in(text: str) -> list[Digest]:
    """Return the whole digests that stand in a text, in their order."""
    return _ANYWHERE.findall(text)


def digest_bytes(data: bytes | memoryview) -> Digest:
    """Digest bytes in memory."""
    from blake3 import blake3

    return PREFIX + blake3(data).hexdigest()


def digest_stream(stream: IO[bytes]) -> tuple[Digest, int]:
    """Digest a stream from where it stands to its end; also return how many bytes that were."""
    from blake3 import blake3

    hasher, size = blake3(), 0
    while block := stream.read(_BLOCK):
        hasher.update(block)
        size += len(block)
    return PREFIX + hasher.hexdigest(), size


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of a short text in hex, for what others check as well: the ledger's chain, the schema's history.

    >>> sha256_hex(b"")[:16]
    'e3b0c44298fc1c14'
    """
    hashed: str = _sha256(data).hexdigest()
    return hashed


def canonical_json(value: object) -> bytes:
    """Encode as JSON with sorted keys: equal values give equal bytes."""
    return msgspec.json.encode(value, order="deterministic")


def digest_value(value: object) -> Digest:
    """Digest a JSON-able value or msgspec Struct by its canonical JSON."""
    return digest_bytes(canonical_json(value))


def short(digest: Digest, n_digits: int = 12) -> Digest:
    """Shorten a digest for people: `b3:` and its first hex digits."""
    return digest[: len(PREFIX) + n_digits]
