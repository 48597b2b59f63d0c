"""Keys that packages are signed with, as stores hold them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.core.events import new_id
from sampan.errors import IntegrityError
from sampan.packaging.signing import key_id, public_key, to_pem
from sampan.workspace.models.signing_keys import SigningKeyMade, SigningKeys
from sampan.workspace.workspace import Workspace

SEED = bytes(range(32))


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path) as workspace:
        yield workspace


def test_a_key_that_an_early_store_holds_as_pem_is_trusted(ws: Workspace) -> None:
    key = public_key(SEED)
    ws.ledger.append(SigningKeyMade(node=new_id(), key_id=key_id(key), public=to_pem(key)))

    assert {key_id(key): key} == SigningKeys(ws).trusted()


def test_every_key_that_is_none_is_named_at_once(ws: Workspace) -> None:
    ws.ledger.append(SigningKeyMade(node=new_id(), key_id="a" * 64, public="no base64!"))
    ws.ledger.append(SigningKeyMade(node=new_id(), key_id="b" * 64, public="AAAA"))

    with pytest.raises(IntegrityError, match=r"aaaaaaaaaaaaaaaa.signing.*bbbbbbbbbbbbbbbb.signing|b{16}.signing.*a{16}.signing") as refused:
        SigningKeys(ws).trusted()
    assert "--key FILE.pem" in refused.value.hint
