"""The verbs for prediction logs: looked at, queried, saved, labelled, expired, erased; under rules of the project and terms of the data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the module beside this one, under importlib's import mode

from small_package import START, add_package, draw_orders, requests_of

from sampan.core.graph import Node
from sampan.errors import ParameterError
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin
from sampan.web.inference.log import PredictionLog
from sampan.web.inference.shadow import measure
from sampan.workspace.models.predictors import open_predictor
from sampan.workspace.services.log_rules import keeping_of, log_rules
from sampan.workspace.services.routing import Deployed, routed
from sampan.workspace.workspace import Workspace

NAME = "orders-late"
DAY_MS = 86_400_000
ORDERS = draw_orders(12, first=0, day=0, rng=np.random.default_rng(0))
POLICY = '[policies.orders]\npii = { shop = "name" }\nactions = { x2 = "drop" }\n'


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPAN_KEYS", str(tmp_path / "keys"))


def project(folder: Path, said: str = "") -> Workspace:
    folder.mkdir(exist_ok=True)
    (folder / "sampan.toml").write_text(said)
    return Workspace.open(folder)


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with project(tmp_path / "project") as workspace:
        yield workspace


def deployed(ws: Workspace, folder: Path) -> Node:
    """A package that is live in a service whose server does not run, trained on the dataset orders."""
    ws.data.add_table(ORDERS, name="orders", key=["order"])
    package = add_package(ws, folder, dataset=ws.catalog.resolve("orders", kind="dataset"))
    facts = {"package": package.id, "version": str(package.facts["model"])}
    made = Deployed(node="d" * 32, service=NAME, package=package.id, model=facts["version"], role="live", facts=facts)
    ws.ledger.append(made, routed(NAME, {}, {"live": "d" * 32}, states={}))
    return package


def answer(ws: Workspace, package: Node, frame: pl.DataFrame, *, caller: str = "ana", at: int | None = None) -> None:
    """Score orders one by one, as a server does, and log that."""
    manifest = (predictor := open_predictor(ws.model.package_path(package.id))).manifest
    fields = tuple((name, str(spec["type"])) for name, spec in manifest.request_schema.items())
    variant = Variant("live", package.id, str(package.facts["model"]), predictor, 0.2, fields=fields, keys=manifest.keys)
    log = PredictionLog(ws.store.segments, rules=log_rules(ws), clock=lambda: START + DAY_MS)
    for index, row in enumerate(requests_of(frame)):
        origin = Origin(at=(START if at is None else at) + index, caller=caller)
        log.offer(variant, measure(NAME, variant, [row], [f"{caller}-{row['order']}"], origin, started_ns=0))
    log.close()
    assert log.dropped_rows == 0


def columns(ws: Workspace) -> dict[str, list[Any]]:
    return ws.service.predictions(NAME).to_dict(as_series=False)


def test_the_log_shows_the_newest_answers_with_their_labels(ws: Workspace, tmp_path: Path) -> None:
    package = deployed(ws, tmp_path / "package")
    answer(ws, package, ORDERS)
    answer(ws, package, ORDERS[:2], caller="bo", at=START + 1000)
    labels = tmp_path / "labels.csv"
    ORDERS[:3].select("order", pl.col("late").alias("label")).write_csv(labels)
    taken = ws.service.labels(NAME, labels)

    shown = ws.service.show_log(NAME, limit=3)
    of_bo = ws.service.show_log(NAME, caller="bo", version="v1")

    assert (taken.n_rows, taken.n_matched, taken.n_unknown) == (3, 3, 0)
    assert [row["id"] for row in shown.rows] == ["bo-1", "bo-0", "ana-11"]
    assert [row["label"] for row in shown.rows] == [*ORDERS["late"][:2].reverse(), None]
    assert shown.rows[2]["field.x1"] == ORDERS["x1"][11]
    assert {row["caller"] for row in of_bo.rows} == {"bo"}
    assert "bo-1" in shown.text()


def test_the_log_answers_sql_and_refuses_what_reads_files(ws: Workspace, tmp_path: Path) -> None:
    answer(ws, deployed(ws, tmp_path / "package"), ORDERS)

    found = ws.service.show_log(NAME, sql='SELECT "field.shop" AS shop, COUNT(*) AS n FROM predictions GROUP BY shop ORDER BY n')

    assert found.rows == ({"shop": "north", "n": 4}, {"shop": "south", "n": 8})
    with pytest.raises(ParameterError, match="reads the datasets here, no files"):
        ws.service.show_log(NAME, sql="SELECT * FROM read_csv('/etc/passwd')")
    with pytest.raises(ParameterError, match="the query cannot be run"):
        ws.service.show_log(NAME, sql="SELECT nothing FROM predictions")


def test_a_saved_log_and_the_segments_themselves_are_read_by_duckdb(ws: Workspace, tmp_path: Path) -> None:
    answer(ws, deployed(ws, tmp_path / "package"), ORDERS)
    saved = ws.service.save_log(NAME, tmp_path / "out" / "log.parquet")
    (segment,) = (ws.store.root / "segments").glob("predictions.*/*.arrows")

    stream = pl.read_ipc_stream(segment)
    found = []
    with duckdb.connect() as connection:
        connection.register("segment", stream.to_arrow())
        for table in (f"'{saved.path}'", "segment"):
            found += connection.execute(f"SELECT COUNT(*), AVG(score) FROM {table}").fetchall()

    assert (saved.n_rows, saved.n_labelled) == (12, 0)
    assert found == [pytest.approx((12, stream["score"].mean()))] * 2
    with pytest.raises(ParameterError, match=r"ends in '.txt'"):
        ws.service.save_log(NAME, tmp_path / "log.txt")


def test_late_doubled_and_changed_labels_are_counted_and_the_newest_holds(ws: Workspace, tmp_path: Path) -> None:
    answer(ws, deployed(ws, tmp_path / "package"), ORDERS)
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    pl.DataFrame({"order": [0, 1, 1, 99], "truth": [1, 0, 1, 1], "known": [START + 1, START + 1, START + 2, START + 1]}).write_csv(first)
    pl.DataFrame({"id": ["ana-0", "ana-1"], "truth": [0, 1]}).write_csv(second)

    before = ws.service.labels(NAME, first, label="truth", at="known")
    again = ws.service.labels(NAME, first, label="truth", at="known")
    by_id = ws.service.labels(NAME, second, label="truth")

    assert (before.n_matched, before.n_unknown, before.n_doubled, before.n_changed) == (2, 1, 1, 0)
    assert (again.n_repeated, again.n_changed) == (3, 0)
    assert (by_id.n_matched, by_id.n_unknown) == (2, 0)
    found = columns(ws)
    assert found["label"][:3] == [0.0, 1.0, None], "by id counts before by key; of one key, the label known last"
    assert found["labelled_at"][2] is None


def test_a_file_of_labels_tells_every_faulty_row_and_takes_none(ws: Workspace, tmp_path: Path) -> None:
    deployed(ws, tmp_path / "package")
    wrong, nameless = tmp_path / "wrong.csv", tmp_path / "nameless.csv"
    pl.DataFrame({"order": [0, 1, 2], "label": [0.5, 1, 7]}).write_csv(wrong)
    pl.DataFrame({"ordr": [0], "label": [1]}).write_csv(nameless)

    with pytest.raises(ParameterError, match=r"outcome 0: label is the number 0.5, expected 0 or 1; outcome 2"):
        ws.service.labels(NAME, wrong)
    with pytest.raises(ParameterError, match=r"no column 'order'"):
        ws.service.labels(NAME, nameless)


def test_terms_of_the_data_and_rules_of_the_project_decide_what_is_kept(tmp_path: Path) -> None:
    with project(tmp_path / "project", f"{POLICY}[logs.orders-late]\nhashed = ['order']\n") as ws:
        package = deployed(ws, tmp_path / "package")
        answer(ws, package, ORDERS)
        found = columns(ws)
        ws.service.labels(NAME, _labels(tmp_path))
        labelled = columns(ws)

    assert "field.x2" not in found, "dropped at admission, so here"
    assert "feature.x2" not in found, "what is computed from it alone goes with it"
    assert "feature.x1" in found
    assert "feature.shop_late" in found, "fetched by the shop, it does not tell it"
    assert all(value.startswith("p_") for value in (*found["field.shop"], *found["field.order"], *found["key"]))
    assert len(set(found["field.shop"])) == 2, "rows of one shop can still be told to be of one"
    assert labelled["label"][:2] == ORDERS["late"][:2].to_list(), "labels by key find their rows"


def _labels(folder: Path) -> Path:
    ORDERS.select("order", pl.col("late").alias("label")).write_csv(folder / "labels.csv")
    return folder / "labels.csv"


def test_rules_that_name_no_field_or_no_share_are_told_all_at_once(tmp_path: Path) -> None:
    said = "[logs.orders-late]\nleft_out = ['shp']\nhashed = ['y']\nsample = 2.0\nkeep_days = 0\n"
    with project(tmp_path / "project", said) as ws:
        package = deployed(ws, tmp_path / "package")
        with pytest.raises(ParameterError) as told:
            keeping_of(ws, NAME, package)

    for fault in ("did you mean 'shop'", "names 'y', which no request has", "sample is 2.0", "keep_days is 0"):
        assert fault in told.value.message


def test_erasing_a_person_reaches_rows_under_pseudonyms_and_their_labels(tmp_path: Path) -> None:
    people = ORDERS.with_columns(shop=pl.when(pl.col("order") == 3).then(pl.lit("P-000777")).otherwise("shop"))
    with project(tmp_path / "project", f"{POLICY}[logs.orders-late]\nhashed = ['order']\n") as ws:
        package = deployed(ws, tmp_path / "package")
        answer(ws, package, people)
        ws.service.labels(NAME, _labels(tmp_path))
        hidden = columns(ws)["field.shop"][3]

        done = ws.data.erase(subject={"shop": "P-000777"}, reason="asked")
        left = columns(ws)
        stored = b"".join(path.read_bytes() for path in (ws.store.root / "segments").rglob("*") if path.is_file())
        n_labels = len(ws.service.show_log(NAME, sql="SELECT * FROM labels", limit=50).rows)

    assert done.n_log_rows == 2, "the prediction and its label"
    assert left["id"] == [f"ana-{n}" for n in range(12) if n != 3]
    assert n_labels == 11
    assert hidden.encode() not in stored


def test_a_number_that_names_a_person_is_erased_as_well(ws: Workspace, tmp_path: Path) -> None:
    answer(ws, deployed(ws, tmp_path / "package"), ORDERS)

    ws.data.erase(subject={"order": "7"}, reason="asked")

    assert columns(ws)["field.order"] == [float(n) for n in range(12) if n != 7]


def test_gc_removes_segments_beyond_their_days_and_says_so(tmp_path: Path) -> None:
    with project(tmp_path / "project", "[logs.orders-late]\nkeep_days = 30\n") as ws:
        package = deployed(ws, tmp_path / "package")
        answer(ws, package, ORDERS[:5])
        answer(ws, package, ORDERS[5:], at=ws.clock())

        asked = ws.home.gc(dry_run=True)
        kept = len(columns(ws)["id"])
        freed = ws.home.gc()

        assert (asked.n_segments, kept, freed.n_segments) == (1, 12, 1)
        assert columns(ws)["key"] == [str(n) for n in range(5, 12)]
        assert "1 segment of prediction logs" in freed.text()
        assert ws.service.callers(NAME).volumes[0].rows == 12, "volumes outlive the rows"


def test_callers_are_shown_with_what_they_asked(ws: Workspace, tmp_path: Path) -> None:
    package = deployed(ws, tmp_path / "package")
    answer(ws, package, ORDERS)
    answer(ws, package, ORDERS[:4], caller="bo")

    found = ws.service.callers(NAME)

    assert [(one.caller, one.version, one.requests, one.rows) for one in found.volumes] == [
        ("ana", f"{NAME}@v1", 12, 12),
        ("bo", f"{NAME}@v1", 4, 4),
    ]
    assert "ana" in found.text()
    assert "nobody asked" in ws.service.callers(NAME, since="2099-01-01").text()
