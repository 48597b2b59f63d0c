"""Croissant out and in: what mlcroissant reads of ours, and what is read of others'."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from sampan.errors import AccessDenied, AlreadyExists, DataFormatError, IntegrityError, ParameterError, PolicyRefused, UsageError
from sampan.workspace.governing.governance import Governance
from sampan.workspace.governing.policy import Policy
from sampan.workspace.workspace import Workspace

ORDERS = "id,zip,paid,at,late\n" + "".join(
    f"{i},0{7000 + i},{i % 50}.5,2024-01-{i % 28 + 1:02}T00:00:00Z,{'true' if i % 3 else 'false'}\n" for i in range(60)
)
PEER = Path(__file__).parents[2] / ".peers" / "mlcroissant" / "bin" / "python"
READ = """
import json, sys, warnings
import mlcroissant as mlc
dataset = mlc.Dataset(jsonld=sys.argv[1])
rows = [{k: (v.decode() if isinstance(v, bytes) else str(v)) for k, v in row.items()} for row in dataset.records("orders")]
meta = dataset.metadata
print(json.dumps({"errors": list(meta.issues.errors), "warnings": list(meta.issues.warnings), "rows": rows,
    "version": str(meta.ctx.conforms_to.value), "name": meta.name, "fields": [str(f.data_types) for f in meta.record_sets[0].fields]}))
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "orders.csv").write_text(ORDERS)
    with Workspace.open(tmp_path, actor="ana") as workspace:
        workspace.data.add(tmp_path / "orders.csv", key=["id"], types={"zip": "text"}, description="all orders")
        workspace.room(Policy).declare("orders", license="CC-BY-4.0", purposes=["research"], not_for=["credit"], expires="2090-01-01")
        yield workspace


def write(folder: Path, **changes: Any) -> Path:
    """Write a small description of somebody else's, with some of it changed."""
    folder.mkdir(exist_ok=True)
    (folder / "a.csv").write_text("zip,n\n01,1\n02,2\n")
    fields = [
        {"@type": "cr:Field", "@id": f"t/{name}", "dataType": kind, "source": {"fileObject": {"@id": "f"}, "extract": {"column": column}}}
        for name, kind, column in (("postcode", "sc:Text", "zip"), ("n", "sc:Integer", "n"))
    ]
    document = {
        "@type": "sc:Dataset",
        "dct:conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": {"en": "Things"},
        "license": "https://spdx.org/licenses/MIT.html",
        "distribution": [{"@type": "cr:FileObject", "@id": "f", "contentUrl": "a.csv", "encodingFormat": "text/csv"}],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "t", "key": {"@id": "t/n"}, "field": fields}],
        **changes,
    }
    (folder / "croissant.json").write_text(json.dumps(document))
    return folder / "croissant.json"


@pytest.mark.slow
def test_mlcroissant_finds_nothing_wrong_and_reads_every_row(ws: Workspace, tmp_path: Path) -> None:
    written = ws.data.to_croissant("orders", tmp_path / "out", purpose="research")
    answer = subprocess.run([PEER, "-c", READ, written.file], capture_output=True, text=True, check=True, cwd=tmp_path)
    told = json.loads(answer.stdout.splitlines()[-1])

    assert (told["errors"], told["version"], len(told["rows"])) == ([], "http://mlcommons.org/croissant/1.1", 60)
    assert told["rows"][5] | {"orders/at": ""} == {
        "orders/id": "5",
        "orders/zip": "07005",
        "orders/paid": "5.5",
        "orders/at": "",
        "orders/late": "True",
    }
    assert {kind for kinds in told["fields"] for kind in ("Text", "Boolean", "Int64", "Float64") if kind in kinds} == {
        "Text",
        "Boolean",
        "Int64",
        "Float64",
    }
    assert "not standard" not in answer.stderr


def test_what_is_written_comes_back_with_key_owner_and_conditions(ws: Workspace, tmp_path: Path) -> None:
    written = ws.data.to_croissant("orders", tmp_path / "out", purpose="research")
    brought = ws.data.from_croissant(Path(written.file), prefix="copy-")
    before, after = (ws.store.tables.read(ws.catalog.resolve(name, kind="dataset").digest) for name in ("orders", "copy-orders"))
    policy = ws.room(Policy).show("copy-orders")

    assert brought.datasets == ("copy-orders@v1",)
    assert after.equals(before)
    assert ws.catalog.asset("dataset", "copy-orders").facts == {"key": ["id"], "description": "all orders"}
    assert {s.what: s.value for s in policy.statements}["license"] == "CC-BY-4.0"
    assert {"research", "credit", "2090-01-01"} <= {s.value for s in policy.statements}
    assert ws.data.from_croissant(Path(written.file), prefix="copy-").datasets == ("copy-orders@v1",)


def test_every_term_comes_back_with_its_owner_and_those_of_what_it_was_made_of(ws: Workspace, tmp_path: Path) -> None:
    policy = ws.room(Policy)
    policy.declare("orders", ask="privacy@x.vn", bases={"research": "consent"}, keep_days=400, protected=["late"], pii={"zip": "address"})
    policy.declare("orders", column_purposes={"zip": "research"}, owner=ws.actor)
    written = ws.data.to_croissant("orders", tmp_path / "out", purpose="research")

    ws.data.from_croissant(Path(written.file), prefix="copy-")

    before, after = (Governance(ws).terms(name) for name in ("orders", "copy-orders"))
    assert msgspec.structs.replace(before, owner="") == msgspec.structs.replace(after, owner="")
    assert ws.actor == after.owner
    assert ["zip: address"] == json.loads(Path(written.file).read_text())["rai:personalSensitiveInformation"]
    with pytest.raises(AccessDenied):
        Workspace.open(ws.root, actor="eve").room(Policy).declare("copy-orders", purposes=["ads"])


def test_what_is_made_of_restricted_data_says_so_in_its_description(ws: Workspace, tmp_path: Path) -> None:
    ws.room(Policy).declare("orders", owner=ws.actor)
    first = ws.data.to_croissant("orders", tmp_path / "out", purpose="research")
    ws.data.add(Path(first.table), name="derived")

    written = ws.data.to_croissant("derived", tmp_path / "again", purpose="research")

    document = json.loads(Path(written.file).read_text())
    assert ws.actor == document["creator"]["name"]
    assert "research" in json.dumps(document["usageInfo"])
    assert document["license"].endswith("CC-BY-4.0")


@pytest.mark.parametrize("terms", [{"bases": "consent"}, {"keep_days": "long"}, {"protected": [1]}])
def test_terms_that_cannot_be_meant_are_named(ws: Workspace, tmp_path: Path, terms: dict[str, Any]) -> None:
    offer = {"@type": "odrl:Offer", "urn:sampan:terms": {"@type": "@json", "@value": terms}}

    with pytest.raises(ParameterError, match=f"{next(iter(terms))} is"):
        ws.data.from_croissant(write(tmp_path / "other", usageInfo=offer))


def test_a_description_of_somebody_elses_is_read_with_its_types_and_names(ws: Workspace, tmp_path: Path) -> None:
    brought = ws.data.from_croissant(write(tmp_path / "theirs"))

    assert brought.datasets == ("t@v2",)
    assert ws.store.tables.read(ws.catalog.resolve("t", kind="dataset").digest).to_dict(as_series=False) == {
        "postcode": ["01", "02"],
        "n": [1, 2],
    }
    assert ws.catalog.resolve("t", kind="dataset").facts["columns"] == {"postcode": "String", "n": "Int64"}


def test_what_is_no_table_in_a_file_is_named(ws: Workspace, tmp_path: Path) -> None:
    file = write(tmp_path / "theirs")
    document = json.loads(file.read_text())
    document["recordSet"] += [{"@id": "labels", "field": [{"@id": "labels/name"}], "data": []}, {"@id": "nothing"}]
    file.write_text(json.dumps(document))

    assert ws.data.from_croissant(file).left_out == ("labels has a field that is no column of a file: name", "nothing has no fields")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"@type": "sc:Person"}, "no Croissant description"),
        ({"dct:conformsTo": None}, "does not say which version"),
        ({"recordSet": []}, "it has no record set"),
        ({"distribution": []}, "refers to a file that is not described: f"),
    ],
)
def test_a_description_that_cannot_be_read_says_why(ws: Workspace, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataFormatError, match=said):
        ws.data.from_croissant(write(tmp_path / "theirs", **changes))


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ({"contentUrl": "https://example.org/a.csv"}, UsageError, "no address is opened"),
        ({"contentUrl": "../orders.csv"}, UsageError, "outside the description's folder"),
        ({"contentUrl": "b.csv"}, DataFormatError, "is not there"),
        ({"contentUrl": "a.csv", "sha256": "0" * 64}, IntegrityError, "is not the file"),
    ],
)
def test_a_file_elsewhere_or_of_other_content_is_refused(
    ws: Workspace, tmp_path: Path, place: dict[str, str], error: type[Exception], said: str
) -> None:
    file = {"@type": "cr:FileObject", "@id": "f", "encodingFormat": "text/csv", **place}
    with pytest.raises(error, match=said):
        ws.data.from_croissant(write(tmp_path / "theirs", distribution=[file]))


def test_text_that_is_no_json_is_no_description(ws: Workspace, tmp_path: Path) -> None:
    (tmp_path / "croissant.json").write_text("{")
    with pytest.raises(DataFormatError, match="is not JSON"):
        ws.data.from_croissant(tmp_path / "croissant.json")


def test_a_description_that_is_there_is_replaced_only_when_asked(ws: Workspace, tmp_path: Path) -> None:
    ws.data.to_croissant("orders", tmp_path / "out", purpose="research")
    with pytest.raises(AlreadyExists):
        ws.data.to_croissant("orders", tmp_path / "out", purpose="research")

    assert ws.data.to_croissant("orders", tmp_path / "out", purpose="research", force=True).n_fields == 5


def test_what_may_not_be_taken_out_is_not_written(ws: Workspace, tmp_path: Path) -> None:
    ws.data.add_table(pl.DataFrame({"a": [1]}), name="old")
    ws.room(Policy).declare("old", expires="2001-01-01")
    with pytest.raises(PolicyRefused):
        ws.data.to_croissant("old", tmp_path / "out")

    assert not (tmp_path / "out").exists()
