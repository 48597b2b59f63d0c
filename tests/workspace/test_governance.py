"""Terms of data: said by owners, carried along lineage, refusing before a row is read, lifted by leave."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_training import FIT, add_orders, lose_rows, write_training

import sampan as sp
from sampan.engine.step import load_script
from sampan.errors import AccessDenied, ParameterError, PolicyRefused, ProjectFileError, StaleState
from sampan.governance.terms import from_flat
from sampan.workspace.governing.governance import Governance, require_allowed
from sampan.workspace.workspace import Workspace

FOR_LATENESS = FIT.replace("objective=goal)", 'objective=goal, purpose="lateness")')
DAY = 86_400_000


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path, actor="ana") as workspace:
        add_orders(workspace)
        yield workspace


def opened(ws: Workspace, actor: str, *, days_later: int = 0) -> Workspace:
    """Open the same project as someone else, or on a later day."""
    return Workspace.open(ws.root, actor=actor, clock=lambda: ws.clock() + days_later * DAY)


def day(ws: Workspace, days_from_now: int) -> str:
    return (datetime.fromtimestamp(ws.clock() / 1000, UTC) + timedelta(days=days_from_now)).date().isoformat()


def test_a_run_without_an_allowed_purpose_is_refused_before_a_row_is_read(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", ask="ana@example.com", purposes=["lateness"])
    file = write_training(ws.root)
    lose_rows(ws)

    with pytest.raises(PolicyRefused, match="orders may be used for lateness only, and this use declares no purpose") as caught:
        ws.model.train(file, trials=1)
    with pytest.raises(PolicyRefused, match="not for churn") as other:
        require_allowed(ws, [ws.catalog.resolve("orders")], purpose="churn")

    assert (caught.value.rule, caught.value.owner) == ("purpose", "ana")
    assert "purpose=" in caught.value.hint
    assert "ask ana (ana@example.com): sampan policy ask orders --purpose churn" in other.value.hint
    assert "ana in orders.policy@v1" in other.value.message


def test_a_model_carries_the_terms_of_its_data_to_package_and_service(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", purposes=["lateness"], regions=["vn"])
    file = write_training(ws.root, FOR_LATENESS)
    with pytest.raises(PolicyRefused, match="in vn only, and this use declares no region"):
        ws.model.train(file, trials=1)
    (ws.root / "sampan.toml").write_text('[project]\nregion = "vn"\n')

    with opened(ws, "binh") as allowed:
        allowed.model.train(file, trials=1)
        allowed.model.pack("orders-late")
        shown = allowed.policy.show("orders-late")
    with opened(ws, "ana") as owner:
        owner.policy.declare("orders", purposes=["research"])
    with opened(ws, "binh") as refused:
        for refuses in (
            lambda: refused.model.pack("orders-late"),
            lambda: refused.model.pack("orders-late", out=ws.root / "out"),
            lambda: refused.service.deploy("orders-late"),
            lambda: refused.model.evaluate("orders-late", since="2013-02-01"),
        ):
            with pytest.raises(PolicyRefused, match="orders may be used for research only, not for lateness"):
                refuses()

    assert shown.origins == ("orders",)
    assert [(s.what, s.value) for s in shown.statements] == [("owner", "ana"), ("only for", "lateness"), ("only in", "vn")]
    assert shown.owner == "ana"


def test_a_protected_column_reaches_slices_and_never_the_learner(ws: Workspace) -> None:
    file = write_training(ws.root)
    ws.policy.declare("orders", owner="ana", protected=["shop"])
    with pytest.raises(PolicyRefused, match="protects its column shop") as caught:
        ws.model.train(file, trials=1)
    ws.policy.grant("orders", until=day(ws, 30), reason="to measure what it brings", columns=["shop"], to="ana")

    trained = ws.model.train(file, trials=1)

    assert caught.value.rule == "protected"
    assert "take shop out of the features" in caught.value.hint
    assert ws.catalog.resolve(trained.model.ref, kind="model").facts["learns"]["orders"].count("shop") == 1
    with opened(ws, "ana", days_later=31) as later, pytest.raises(PolicyRefused, match="protects its column shop"):
        later.model.pack("orders-late")


def test_a_protected_column_that_is_only_a_slice_trains_and_its_groups_are_reported(ws: Workspace) -> None:
    plain_view = (
        "from small_package import orders, late\n"
        "plain_view = sp.view('plain', on='orders', columns=orders, key=['order'], slices=['shop'], moment=orders.at, label=late,\n"
        "                     features={'x1': orders.x1, 'x2': orders.x2})\n"
    )
    ws.policy.declare("orders", owner="ana", protected=["shop"])
    file = write_training(ws.root, plain_view + FIT.replace("features=orders_view", "features=plain_view"))

    trained = ws.model.train(file, trials=1)

    model = ws.catalog.resolve(trained.model.ref, kind="model")
    report = next(ws.catalog.node(e.dst) for e in ws.catalog.edges_from(model.id) if ws.catalog.node(e.dst).kind == "report")
    assert "shop" not in model.facts["learns"]["orders"]
    assert "shop" in model.facts["reads"]["orders"]
    assert "north" in str(report.facts)


def test_leave_is_asked_for_granted_shown_and_ends(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", purposes=["lateness"])
    node = ws.catalog.resolve("orders")
    with opened(ws, "binh") as other:
        asked = other.policy.ask("orders", purpose="churn", reason="the same customers")
        with pytest.raises(AccessDenied, match="binh may not give leave: ana owns orders"):
            other.policy.grant("orders", until=day(ws, 5), request=asked.request.ref)
        ws.policy.grant("orders", until=day(ws, 5), request=asked.request.ref)
        require_allowed(other, [node], purpose="churn")
        with pytest.raises(PolicyRefused):
            require_allowed(other, [node], purpose="ads")
        shown = other.policy.show("orders")
        assert (shown.leaves[0].to, shown.leaves[0].reason, shown.leaves[0].until) == ("binh", "the same customers", day(ws, 5))
        assert shown.requests == ()
    with opened(ws, "chi") as third, pytest.raises(PolicyRefused):
        require_allowed(third, [node], purpose="churn")
    with opened(ws, "binh", days_later=6) as later:
        with pytest.raises(PolicyRefused):
            require_allowed(later, [node], purpose="churn")
        assert [leave.state for leave in later.policy.leaves().leaves] == ["ended"]

    ws.policy.revoke("orders.grant@v1", why="the campaign ended")

    with opened(ws, "binh") as other, pytest.raises(PolicyRefused):
        require_allowed(other, [node], purpose="churn")
    with pytest.raises(StaleState):
        ws.policy.revoke("orders.grant@v1", why="again")
    assert [event.type for event in ws.catalog.events() if "leave" in event.type] == ["leave_asked", "leave_granted", "leave_ended"]


def test_a_request_is_declined_with_its_reason(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", purposes=["lateness"])
    with opened(ws, "binh") as other:
        ref = other.policy.ask("orders", reason="curious").request.ref

    ws.policy.decline(ref, why="use the aggregates")

    assert [request.state for request in ws.policy.leaves().requests] == ["declined"]
    with pytest.raises(StaleState):
        ws.policy.grant("orders", until=day(ws, 5), request=ref)


def test_leave_ends_within_a_year_and_has_a_reason(ws: Workspace) -> None:
    for until, reason, what in ((day(ws, -1), "x", "past"), (day(ws, 400), "x", "more than a year"), (day(ws, 5), " ", "for a reason")):
        with pytest.raises(ParameterError, match=what):
            ws.policy.grant("orders", until=until, reason=reason)


def test_only_the_owner_its_team_or_an_officer_says_terms(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="sales")
    with pytest.raises(AccessDenied, match="ana may not say what it may be used for: sales owns orders"):
        ws.policy.declare("orders", purposes=["ads"])
    (ws.root / "sampan.toml").write_text('[governance]\nofficers = ["dpo"]\nteams = { sales = "ana, binh" }\n')

    for actor, purpose in (("ana", "one"), ("dpo", "two")):
        with opened(ws, actor) as workspace:
            workspace.policy.declare("orders", purposes=[purpose])
    with opened(ws, "chi") as stranger, pytest.raises(AccessDenied):
        stranger.policy.declare("orders", clear=["purposes"])

    assert ws.policy.show("orders").statements[-1].value == "two"


def test_nobody_takes_a_dataset_from_its_owner_by_describing_it(ws: Workspace) -> None:
    ws.data.describe("orders", owner="ana")
    with opened(ws, "eve") as other:
        for takes in (
            lambda: other.data.describe("orders", owner="eve"),
            lambda: other.data.add_table({"order": [1]}, name="orders", owner="eve"),
        ):
            with pytest.raises(AccessDenied, match="eve may not give it to eve: ana owns orders"):
                takes()
        assert "what it is" == other.data.describe("orders", owner="ana", description="what it is").facts["description"]
        assert "orders@v1" == other.catalog.resolve("orders").ref
    ws.data.describe("orders", owner="binh")
    (ws.root / "sampan.toml").write_text('[datasets.orders]\nsource = "orders.csv"\nowner = "chi"\n')

    with opened(ws, "eve") as other:
        other.data.describe("orders", owner="chi")

    assert "chi" == ws.catalog.asset("dataset", "orders").facts["owner"]


def test_terms_in_a_contract_are_changed_through_a_page_by_the_owner_alone(ws: Workspace) -> None:
    ws.data.infer("orders")
    file = ws.root / "contracts" / "orders.yaml"
    text = file.read_text()
    ws.data.save_contract("orders", contents=text.replace("version: 1.0.0", "version: 1.0.1"))
    kept = file.read_text()
    ws.policy.declare("orders", owner="ana")
    with opened(ws, "eve") as other:
        other.data.save_contract("orders", contents=kept.replace("1.0.1", "1.0.2"))
        with pytest.raises(AccessDenied, match="eve may not change what its contract says of its use: ana owns orders"):
            other.data.save_contract("orders", contents=_with_purposes(kept))

    saved = ws.data.save_contract("orders", contents=_with_purposes(kept))

    assert not saved.unchanged
    assert ("research",) == ws.policy.list_policies().policies[0].purposes


def test_faults_of_terms_in_a_contract_are_named_with_the_file_and_not_saved(ws: Workspace) -> None:
    ws.data.infer("orders")
    file = ws.root / "contracts" / "orders.yaml"
    broken = _with_purposes(file.read_text()).replace("value: [research]", "value: {research: true}")
    with pytest.raises(ParameterError, match=r"purposes is \{'research': True\}, expected a list of texts"):
        ws.data.save_contract("orders", contents=broken)
    file.write_text(broken)

    with pytest.raises(ParameterError, match=r"contracts/orders\.yaml: purposes is"):
        ws.policy.show("orders")


def _with_purposes(contract: str) -> str:
    head, said = "\ncustomProperties:\n", "  - property: purposes\n    value: [research]\n"
    return contract.replace(head, head + said) if head in contract else f"{contract}{head.lstrip()}{said}"


def test_of_two_that_say_terms_at_once_neither_is_lost(ws: Workspace) -> None:
    start = Barrier(2)

    def say(workspace: Workspace, field: str) -> None:
        for round_ in range(6):
            start.wait()
            workspace.policy.say(f"of{round_}", from_flat({field: [field]}))

    with opened(ws, "ana") as other, ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(say, ws, "purposes"), pool.submit(say, other, "not_for")]:
            done.result()

    kept = [Governance(ws).terms(f"of{round_}") for round_ in range(6)]
    assert [(("purposes",), ("not_for",))] * 6 == [(one.purposes, one.not_for) for one in kept]


def test_terms_of_the_project_file_and_of_a_verb_hold_together(ws: Workspace) -> None:
    (ws.root / "sampan.toml").write_text(
        '[policies.orders]\npurposes = ["lateness", "research"]\nbases = { lateness = "contract", research = "consent" }\n'
        'license = "CC-BY-NC-4.0"\nprotected = ["shop"]\npii = { shop = "other" }\n\n[purposes.lateness]\ncommercial = true\n'
    )
    with opened(ws, "ana") as workspace:
        workspace.policy.declare("orders", not_for=["research"])
        node = workspace.catalog.resolve("orders")
        with pytest.raises(PolicyRefused, match="and lateness is commercial") as commercial:
            require_allowed(workspace, [node], purpose="lateness")
        with pytest.raises(PolicyRefused, match="may not be used for research"):
            require_allowed(workspace, [node], purpose="research")
        shown = workspace.policy.show("orders")
        checked = workspace.policy.check("orders", purpose="ads")

    assert "sampan.toml" in commercial.value.message
    assert [(c.column, c.pii, c.protected) for c in shown.columns] == [("shop", "other", True)]
    assert (checked.allowed, checked.rules, checked.exit_code()) == (False, ("purpose", "lawful-basis"), 3)


def test_faults_of_a_policy_in_the_project_file_are_named(ws: Workspace) -> None:
    (ws.root / "sampan.toml").write_text('[policies.orders]\npurpose = ["x"]\nkeep_days = "ten"\n')
    with pytest.raises(ProjectFileError, match=r"(?s)did you mean 'purposes'.*keep_days = 'ten': expected a whole number"):
        opened(ws, "ana")
    (ws.root / "sampan.toml").write_text('[policies.orders]\npii = { shop = "emial" }\n')
    with opened(ws, "ana") as workspace, pytest.raises(ParameterError, match="did you mean email"):
        workspace.policy.show("orders")


def test_time_ends_use_and_no_leave_extends_it(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", keep_days=10)
    ws.policy.grant("orders", until=day(ws, 50), reason="please")
    node = ws.catalog.resolve("orders")

    require_allowed(ws, [node])
    with opened(ws, "ana", days_later=11) as later, pytest.raises(PolicyRefused, match="was to be kept 10 days") as caught:
        require_allowed(later, [node])

    assert "may renew the terms" in caught.value.hint


def test_saying_the_same_again_records_nothing_and_clearing_takes_back(ws: Workspace) -> None:
    ws.policy.declare("orders", purposes=["a"], pii={"shop": "other"})
    n_events = len(ws.catalog.events())
    ws.policy.declare("orders", purposes=["a"])
    assert len(ws.catalog.events()) == n_events

    ws.policy.declare("orders", clear=["purposes", "column:shop"])
    with pytest.raises(ParameterError, match="did you mean purposes"):
        ws.policy.declare("orders", clear=["purpose"])
    with pytest.raises(ParameterError, match="nothing was said"):
        ws.policy.declare("orders")
    with pytest.raises(ParameterError, match="column is 'shp', did you mean shop"):
        ws.policy.declare("orders", pii={"shp": "name"})

    shown = ws.policy.show("orders")
    assert (shown.statements, shown.columns, shown.allowed_now) == ((), (), True)


def test_the_list_counts_what_is_said_asked_and_granted(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", purposes=["lateness"], pii={"shop": "other"}, protected=["shop"])
    ws.policy.ask("orders", reason="why not")
    ws.policy.grant("orders", until=day(ws, 3), reason="x")

    (line,) = ws.policy.list_policies().policies

    assert (line.name, line.owner, line.purposes, line.n_personal, line.n_protected, line.n_leaves, line.n_requests) == (
        "orders",
        "ana",
        ("lateness",),
        1,
        1,
        1,
        1,
    )


def test_a_run_of_steps_is_refused_like_a_training(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", purposes=["lateness"])
    file = ws.root / "steps.py"
    file.write_text("import sampan as sp\n\n@sp.step\ndef shops(orders):\n    return orders.select('shop').unique()\n")

    with pytest.raises(PolicyRefused, match="declares no purpose"):
        ws.run.script(file)


def test_old_terms_stay_in_the_ledger(ws: Workspace) -> None:
    ws.policy.declare("orders", owner="ana", purposes=["one"])
    ws.policy.declare("orders", purposes=["two"])

    versions = ws.catalog.nodes(kind="policy", name="orders.policy")

    assert [(node.version, node.facts["terms"]["purposes"]) for node in versions] == [(2, ["two"]), (1, ["one"])]


def test_terms_are_said_in_the_file_that_trains_and_once_in_the_ledger(ws: Workspace) -> None:
    said = 'sp.terms(owner="ana", purposes=["credit"], protected=["sex"])'
    text = f'import sampan as sp\n\nloans = sp.dataset("loans.csv", key="id", terms={said})\n'
    (ws.root / "loans.csv").write_text("id,sex,paid\n1,f,1\n2,m,0\n")
    (ws.root / "loans.py").write_text(text)

    source = load_script(ws.root / "loans.py").loans
    source.add_to(ws)
    source.add_to(ws)

    shown = ws.policy.show("loans")
    assert [(s.what, s.value) for s in shown.statements if s.what != "owner"] == [("only for", "credit")]
    assert [(c.column, c.protected) for c in shown.columns] == [("sex", True)]
    assert len(ws.catalog.nodes(kind="policy", name="loans.policy")) == 1


def test_reading_in_a_program_is_a_use(ws: Workspace) -> None:
    with pytest.raises(ParameterError, match="did you mean consent"):
        sp.terms(bases={"care": "consnt"})
    sp.data({"a": [1, 2]}, name="small", project=ws.root, purpose="care", terms=sp.terms(purposes=["care"]))

    assert len(sp.data("small", project=ws.root, purpose="care")) == 2
    with pytest.raises(PolicyRefused, match="not for ads"):
        sp.data("small", project=ws.root, purpose="ads")


def test_terms_in_a_contracts_custom_properties_hold(ws: Workspace) -> None:
    ws.data.infer("orders")
    file = ws.root / "contracts" / "orders.yaml"
    text = file.read_text()
    said = (
        "  - property: purposes\n    value: [lateness]\n  - property: bases\n    value: {lateness: consent}\n"
        "  - property: regions\n    value: [vn]\n"
        "  - property: licence\n    value: CC-BY-NC-4.0\n"
    )
    head = "\ncustomProperties:\n"
    text = text.replace(head, head + said) if head in text else f"{text}{head.lstrip()}{said}"
    assert text.count("\ncustomProperties:") == 1
    column = "      - name: shop\n        logicalType: string\n"
    assert column in text
    indent = " " * 10
    lines = ["        customProperties:", f"{indent}- property: protected", f"{indent}  value: true"]
    extra = "\n".join([*lines, f"{indent}- property: pii", f"{indent}  value: other", ""])
    file.write_text(text.replace(column, column + extra))

    shown = ws.policy.show("orders")

    assert {(s.what, s.value, s.said_by) for s in shown.statements} == {
        ("only for", "lateness", "contracts/orders.yaml"),
        ("lawful basis", "lateness: consent", "contracts/orders.yaml"),
        ("only in", "vn", "contracts/orders.yaml"),
        ("license", "CC-BY-NC-4.0", "contracts/orders.yaml"),
    }
    assert [(c.column, c.pii, c.protected) for c in shown.columns] == [("shop", "other", True)]
    with pytest.raises(PolicyRefused):
        require_allowed(ws, [ws.catalog.resolve("orders")])


def test_terms_follow_data_through_a_program_by_memory_and_by_file(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ws.root)
    ws.data.add_table({"id": [1, 2], "x": [3, 4]}, name="small")
    with sp.run("mix", project=ws.root):
        read = sp.data("small", project=ws.root).frame()
        sp.data(read.with_columns(y=read["x"] * 2), name="made", project=ws.root)
    ws.policy.declare("small", owner="ana", purposes=["care"])

    shown = ws.policy.show("made")
    with pytest.raises(PolicyRefused, match="small may be used for care only"):
        sp.data("made", project=ws.root)

    assert shown.origins == ("small",)
    assert not shown.allowed_now


@pytest.mark.slow
def test_terms_follow_a_file_that_a_program_wrote(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ws.root)
    ws.data.add_table({"id": [1, 2], "x": [3, 4]}, name="small")
    (ws.root / "take_rows.py").write_text('import sampan as sp\n\nsp.data("small").frame().write_csv("copied.csv")\n')
    ws.run.program(["take_rows.py"])
    ws.data.add(ws.root / "copied.csv", name="copied")
    ws.policy.declare("small", owner="ana", purposes=["care"])

    checked = ws.policy.check("copied", purpose="ads")

    assert (checked.allowed, checked.refused) == (False, ("small may be used for care only, not for ads",))


def test_terms_follow_data_through_an_exported_file(ws: Workspace) -> None:
    ws.data.add_table({"id": [1, 2], "x": [3, 4]}, name="small", key=["id"])
    ws.data.add_table({"id": [1, 2], "y": [5, 6]}, name="added", key=["id"])
    ws.data.add_table({"id": [9], "x": [9]}, name="appended", key=["id"])
    ws.data.export("small", ws.root / "small.csv", columns=["id", "x"])
    ws.data.add(ws.root / "small.csv", name="copied")
    ws.data.add_column("added", ws.root / "small.csv")
    ws.data.append("appended", ws.root / "small.csv")
    ws.policy.declare("small", owner="ana", purposes=["care"])

    allowed = {ref: ws.policy.check(ref, purpose="ads").allowed for ref in ("copied", "added", "appended", "added@v1", "appended@v1")}

    assert {"copied": False, "added": False, "appended": False, "added@v1": True, "appended@v1": True} == allowed
    assert ["small@v1"] == [each.ref for each in ws.catalog.lineage(ws.catalog.resolve("copied").id).nodes if each.name == "small"]


def test_terms_follow_rows_that_a_program_gives_from_memory_without_a_run(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ws.root)
    ws.data.add_table({"id": [1, 2], "x": [3, 4]}, name="small", key=["id"])
    ws.data.add_table({"id": [7], "x": [8]}, name="before", key=["id"])
    ws.data.append_table("before", {"id": [8], "x": [9]})
    read = sp.data("small", project=ws.root).frame()
    sp.data(read.with_columns(y=read["x"] * 2), name="made", project=ws.root)
    ws.data.append_table("before", {"id": [9], "x": [9]})
    ws.policy.declare("small", owner="ana", purposes=["care"])

    allowed = {ref: ws.policy.check(ref, purpose="ads").allowed for ref in ("made", "before", "before@v2")}

    assert {"made": False, "before": False, "before@v2": True} == allowed
