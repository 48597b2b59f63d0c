"""What admission does to personal data: the actions that a dataset's terms declare for its columns, with keys from outside the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.digests import digest_value
from sampan.errors import ParameterError
from sampan.governance.pseudonyms import CIPHER, PSEUDONYM
from sampan.governance.terms import Terms
from sampan.workspace.governing.governance import Governance

if TYPE_CHECKING:
    import polars as pl

    from sampan.core.graph import Node
    from sampan.store.tables import TableVersion
    from sampan.workspace.data.quarantine import HeldCell
    from sampan.workspace.workspace import Workspace


def protect(ws: Workspace, dataset: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Apply the declared actions (drop, mask, pseudonym, generalize, encrypt) of a dataset's columns; the frame itself without any.

    The same frame gives the same result, so that a batch that comes twice is recognized.

    Raises
    ------
    NotFound : an action needs a key that was made before and is not on this machine.
    """
    terms = Governance(ws).terms(dataset)
    actions = {name: action for name, action in _actions(terms).items() if name in frame.columns}
    return _apply(ws, terms, actions, frame) if actions else frame


def protect_held(ws: Workspace, dataset: str, rows: pl.DataFrame, cells: Sequence[HeldCell]) -> tuple[pl.DataFrame, tuple[HeldCell, ...]]:
    """Apply the declared actions to rows that are held as text, and hide what the reasons quote of such columns.

    A few rows cannot be generalized by themselves: their columns are hidden whole.
    """
    terms = Governance(ws).terms(dataset)
    actions = {name: action for name, action in _actions(terms).items() if name in rows.columns}
    if not actions:
        return rows, tuple(cells)
    import polars as pl

    coarse = [name for name, action in actions.items() if action == "generalize"]
    kept = _apply(ws, terms, {name: action for name, action in actions.items() if action != "generalize"}, rows)
    hidden = tuple(msgspec.structs.replace(cell, value=HIDDEN) if cell.column in actions and cell.value else cell for cell in cells)
    return kept.with_columns(pl.lit(HIDDEN).alias(name) for name in coarse), hidden


def protect_cells(ws: Workspace, dataset: str, cells: Mapping[tuple[int, str], str]) -> dict[tuple[int, str], str]:
    """Apply the declared actions to single cells, by row and column, that a person types.

    Raises
    ------
    ParameterError : a column is generalized, which takes many rows.
    """
    terms = Governance(ws).terms(dataset)
    actions = _actions(terms)
    alone = sorted({column for _, column in cells if actions.get(column) == "generalize"})
    if alone:
        raise ParameterError(
            f"{', '.join(alone)} of {dataset} is generalized at admission, and one cell cannot be hidden among others",
            hint="mend the source and append it, so that whole rows come in together",
        )
    import polars as pl

    return {
        (row, column): str(_apply(ws, terms, {column: actions[column]}, pl.DataFrame({column: [value]}))[column][0])
        if value and column in actions
        else value
        for (row, column), value in cells.items()
    }


def hide_few(ws: Workspace, dataset: str, version: TableVersion) -> TableVersion:
    """Return a version that an edit made, with the generalized columns hidden in rows that fewer than k share by now.

    Versions whose columns were admitted before they were to be generalized stay as they are.
    """
    import polars as pl

    terms = Governance(ws).terms(dataset)
    tables, quasi = (
        ws.store.tables,
        [name for name, action in _actions(terms).items() if action == "generalize" and name in version.columns],
    )
    schema = tables.schema(version.digest) if quasi else {}
    if not quasi or any(schema[name] != pl.String for name in quasi):
        return version
    from sampan.governance.anonymity import suppress
    from sampan.governance.terms import DEFAULT_K

    frame = tables.scan(version.digest).select(quasi).collect(engine="streaming")
    hidden = suppress(frame, quasi, k=terms.k or DEFAULT_K)
    return version if hidden is frame else tables.overlay(version.digest, hidden)


def untreated(ws: Workspace, node: Node) -> tuple[str, ...]:
    """Return the columns of a version that were admitted before their action was declared, as far as a few rows tell."""
    actions = {name: action for name, action in _actions(Governance(ws).terms(node.name)).items() if name in node.facts["columns"]}
    if not actions:
        return ()
    head = ws.store.tables.scan(node.digest).select(*actions).head(_LOOKED_AT).collect()
    return tuple(name for name, action in actions.items() if not _is_treated(head[name], action))


def _is_treated(column: pl.Series, action: str) -> bool:
    import polars as pl

    if action == "drop" or column.dtype != pl.String:
        return False
    marks = {"pseudonym": PSEUDONYM, "encrypt": CIPHER}
    values = column.drop_nulls().to_list()
    if action in marks:
        return all(value.startswith(marks[action]) for value in values)
    # A generalized number or date has become text; a text may be its own group's only value.
    return action == "generalize" or any("*" in value or "[" in value for value in values) or not values


def actions_digest(ws: Workspace, dataset: str) -> str:
    """Digest what admission does to a dataset; "" for nothing. The same bytes under other actions become another table."""
    terms = Governance(ws).terms(dataset)
    actions = _actions(terms)
    return digest_value([actions, terms.personal(), terms.k, key_purpose(terms.purposes)]) if actions else ""


def key_purpose(purposes: tuple[str, ...]) -> str:
    """Name the key of a dataset: datasets for the same purposes share it and can be joined, others cannot be.

    >>> key_purpose(("care", "billing")), key_purpose(())
    ('billing+care', 'any')
    """
    return "+".join(sorted(purposes)) or "any"


HIDDEN: Final = "***"
_LOOKED_AT: Final = 50  # rows


def _actions(terms: Terms) -> dict[str, str]:
    return {name: column.action for name, column in terms.columns.items() if column.action}


def _apply(ws: Workspace, terms: Terms, actions: Mapping[str, str], frame: Any) -> pl.DataFrame:
    from sampan.governance.protecting import Protection, apply
    from sampan.workspace.governing.privacy_keys import PrivacyKeys

    keyed = {"pseudonym", "encrypt"} & set(actions.values())
    key = PrivacyKeys(ws).key(key_purpose(terms.purposes)) if keyed else b""
    classes = {name: terms.column(name).pii for name in actions}
    return apply(frame, Protection(actions=dict(actions), classes=classes, k=terms.k or 0), key=key)
