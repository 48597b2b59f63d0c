"""Pseudonyms and ciphers: values replaced by what only the holder of a key can link or read.

A pseudonym is a keyed hash, for joining rows of one person; nobody can read a name out of it, the holder of the key can ask of a name which
pseudonym is its own. A cipher can be read with the key. Both are the same for the same value, so that versions can be compared: how often
a value occurs stays visible. Destroying the key makes both meaningless.

References
----------
RFC 2104 (HMAC) with SHA-256, RFC 5869 (HKDF), RFC 8452 (AES-GCM-SIV, AES-GCM that stays safe where a nonce repeats).
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import msgspec

from sampan.errors import IntegrityError, ParameterError

KEY_BYTES: Final = 32
PSEUDONYM, CIPHER = "p_", "e_"
_SHOWN_BYTES: Final = 16
_NONCE_BYTES: Final = 12


def fingerprint(key: bytes) -> str:
    """Name a key without giving it away."""
    import hmac  # brings OpenSSL, which commands without a key shall not load

    return hmac.digest(key, b"sampan fingerprint", "sha256")[:8].hex()


def pseudonym(key: bytes, value: object, pii: str = "") -> str:
    """Return the pseudonym of a value. The same value in another spelling of Unicode, case of an address or blanks around it is the same.

    >>> pseudonym(bytes(32), "Ana@Example.com", "email") == pseudonym(bytes(32), " ana@example.com", "email")
    True
    """
    return pseudonyms_of(key, pii)(value)


def pseudonyms_of(key: bytes, pii: str) -> Callable[[object], str]:
    """Return what gives the values of a class their pseudonyms."""
    import hmac

    secret, head = _derive(key, "pseudonym"), f"{pii}\x00"

    def name(value: object) -> str:
        text = unicodedata.normalize("NFC", str(value).strip())
        text = text.casefold() if pii == "email" else text
        digest = hmac.digest(secret, (head + text).encode(), "sha256")
        return PSEUDONYM + base64.b32encode(digest[:_SHOWN_BYTES]).decode().rstrip("=").lower()

    return name


def cipher_of(key: bytes, column: str) -> Callable[[object], str]:
    """Return what encrypts the values of a column."""
    import hmac

    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

    secret = _derive(key, "encrypt")
    seal = AESGCMSIV(secret)
    nonce = hmac.digest(secret, column.encode(), "sha256")[:_NONCE_BYTES]

    def encrypt(value: object) -> str:
        return CIPHER + base64.urlsafe_b64encode(nonce + seal.encrypt(nonce, msgspec.json.encode(value), None)).decode().rstrip("=")

    return encrypt


def decrypt(key: bytes, text: str) -> Any:
    """Return the value behind a cipher, as JSON has it: a date is text.

    Raises
    ------
    ParameterError : `text` is no cipher.
    IntegrityError : it was made with another key, or changed.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

    if not text.startswith(CIPHER):
        raise ParameterError("that is no encrypted value", hint=f"one begins with {CIPHER}")
    body = text.removeprefix(CIPHER)
    try:
        raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        return msgspec.json.decode(AESGCMSIV(_derive(key, "encrypt")).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], None))
    except (InvalidTag, ValueError) as cause:
        raise IntegrityError("an encrypted value does not open with this key", hint="it was made with another key, or changed") from cause


def _derive(key: bytes, what: str) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=f"sampan {what} 1".encode()).derive(key)
