"""What admission does to personal data: the actions that a dataset's terms declare for its columns, with keys from outside the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.workspace.governance import Governance

if TYPE_CHECKING:
    import polars as pl

    from sampan.workspace.workspace import Workspace


def protect(ws: Workspace, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Apply the declared actions (drop, mask, pseudonym, generalize, encrypt) of a dataset's columns; the frame itself without any.

    The same frame gives the same result, so that a batch that comes twice is recognized.

    Raises
    ------
    NotFound : an action needs a key that was made before and is not on this machine.
    """
    terms = Governance(ws).terms(dataset)
    actions = {name: column.action for name, column in terms.columns.items() if column.action and name in frame.columns}
    if not actions:
        return frame
    from sampan.governance.protecting import Protection, apply
    from sampan.workspace.privacy_keys import PrivacyKeys

    keyed = {"pseudonym", "encrypt"} & set(actions.values())
    key = PrivacyKeys(ws).key(key_purpose(terms.purposes)) if keyed else b""
    classes = {name: terms.column(name).pii for name in actions}
    return apply(frame, Protection(actions=actions, classes=classes, k=terms.k or 0), key=key)


def key_purpose(purposes: tuple[str, ...]) -> str:
    """Name the key of a dataset: datasets for the same purposes share it and can be joined, others cannot be.

    >>> key_purpose(("care", "billing")), key_purpose(())
    ('billing+care', 'any')
    """
    return "+".join(sorted(purposes)) or "any"
