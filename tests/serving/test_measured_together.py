"""Rows of several requests, in whichever forms they came: scored together they give what each gives alone, to the last bit of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from sampan.features import Columns, Label, flag, moment, number, text, view
from sampan.features.encoding import Codes, fit
from sampan.features.expressions import col
from sampan.features.fitted import FittedView
from sampan.features.online import OnlineView
from sampan.serving.records import NumberedIds, Scored, record_block
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin
from sampan.table.arrow_blocks import END_OF_STREAM, Ascii
from sampan.table.rows import ColumnRows, columns_of, joined
from sampan.web.inference.shadow import measure, measure_together

ORDERS = Columns(at=moment(), shop=text(), size=number(), new=flag(), late=flag(later=True), done=moment(later=True))
FIELDS = (("at", "moment"), ("shop", "text"), ("size", "number"), ("new", "flag"))
PLAIN = {"shop_code": col("shop", "text"), "amount": ORDERS.size, "is_new": ORDERS.new}
COMPUTED = {**PLAIN, "twice": ORDERS.size * 2.0}


class ViewModel:
    """Adds a row's features up, by a view of these features."""

    def __init__(self, features: Mapping[str, Any]) -> None:
        orders = view(
            "orders",
            on="orders",
            columns=ORDERS,
            key=["at"],
            moment=ORDERS.at,
            label=Label(ORDERS.late, known_at=ORDERS.done),
            features=features,
        )
        shops, labels = pl.Series(["a", "b", "a", None]), pl.Series([1.0, 0.0, 0.0, 1.0])
        self._online = OnlineView.of(FittedView(orders, {"shop_code": fit(Codes(), shops, labels)}), {})
        self.row_type = self._online.row_type
        self.feature_names = tuple(features)
        self.name, self.version = "orders", "1"

    def features(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
        return self._online.matrix(rows)

    def score(self, features: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(np.nan_to_num(features, nan=-1.0).astype(np.float64).sum(axis=1))

    def moments(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
        return self._online.moments(rows)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
        return self.score(self.features(rows))

    def feed(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        raise AssertionError("nothing is fed here")


def asked(number_of: int, *, shop: str | None = "a") -> dict[str, Any]:
    return {"at": 1_000 + number_of, "shop": shop, "size": number_of / 3, "new": number_of % 2 == 0}


def forms(model: ViewModel) -> list[Sequence[Any]]:
    """Return the same requests anew, each in another form: what a model was asked changes its form."""
    typed = [msgspec.convert(each, model.row_type) for each in (asked(1), asked(2, shop="unseen"), asked(3, shop=None))]
    numbers = np.arange(5.0)
    wire = {"at": numbers + 1_000, "shop": Ascii([b"a", b"b", b"a", b"new", b""]), "size": numbers / 3, "new": numbers > 2}
    lists = {"at": [7, 8.0], "shop": ["b", None], "size": [None, 2], "new": [None, True]}
    return [columns_of(typed), ColumnRows(wire, 5), [typed[0]], ColumnRows(lists, 2), columns_of(typed[:1])]


def logged(variant: Variant, scored: Sequence[Scored]) -> dict[str, list[Any]]:
    rows = joined([one.rows for one in scored], [name for name, _ in FIELDS])
    block = record_block(
        scored,
        rows,
        feature_names=variant.predictor.feature_names,
        fields=FIELDS,
        keys=("at",),
        moments=variant.predictor.moments(rows),
    )
    found: dict[str, list[Any]] = pa.ipc.open_stream(block.schema.message() + block.message() + END_OF_STREAM).read_all().to_pydict()
    return {name: [str(value) for value in values] for name, values in found.items() if name != "latency_us"}  # NaN as text equals itself


@pytest.mark.parametrize("features", [PLAIN, COMPUTED], ids=["plain", "computed"])
@pytest.mark.parametrize("some", [slice(None), slice(2), slice(2, None), slice(2, 3)], ids=["all", "columns", "mixed", "one row"])
def test_scored_together_requests_give_what_each_gives_alone(features: dict[str, Any], some: slice) -> None:
    model = ViewModel(features)
    variant = Variant("live", "p" * 32, "orders@v1", model, fields=FIELDS, keys=("at",))

    def items() -> Sequence[tuple[Variant, Sequence[Any], Sequence[str], Origin]]:
        origins = [Origin(at=5 + n, caller=f"c{n}") for n in range(5)]
        return [(variant, rows, NumberedIds(f"r{n}", len(rows)), origins[n]) for n, rows in enumerate(forms(model))][some]

    alone = [measure("s", variant, rows, ids, origin, started_ns=0) for _, rows, ids, origin in items()]
    together = measure_together("s", items())

    assert [one.scores.tobytes() for one in alone] == [one.scores.tobytes() for one in together]
    assert [one.features.tobytes() for one in alone] == [one.features.tobytes() for one in together]
    assert [len(one.rows) for one in alone] == [len(one.rows) for one in together]
    assert logged(variant, alone) == logged(variant, together)
    assert [list(map(dict, one.rows)) for one in alone] == [list(map(dict, one.rows)) for one in together]
