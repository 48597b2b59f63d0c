"""The model room: train, evaluate, compare, decide, promote, package, ship."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Unpack

import msgspec

from sampan import __version__
from sampan.core.decoding import read_builtins
from sampan.core.digests import digest_value
from sampan.core.events import AliasMoved, Input, new_id
from sampan.core.graph import Node
from sampan.core.times import iso
from sampan.errors import GateRejected, NotFound, ParameterError
from sampan.evaluation.gate import Decision, Evidence, decide
from sampan.evaluation.noise import LabelHealth
from sampan.evaluation.paired import Paired
from sampan.evaluation.report import ClassFigures, Report
from sampan.evaluation.slices import Gap
from sampan.stats.estimates import Estimate
from sampan.workspace.models import judging, sign_offs
from sampan.workspace.models.adopting import Adopting
from sampan.workspace.models.answers import (
    Compared,
    Gated,
    ModelShown,
    ModelTrainedAnswer,
    Promoted,
    Reported,
    Shipped,
)
from sampan.workspace.models.bill_of_materials import Bills
from sampan.workspace.models.events import GateDecided, GateOverridden, ModelEvaluated
from sampan.workspace.models.listing import Listing, model_line
from sampan.workspace.models.optimizing_verbs import Optimizing
from sampan.workspace.models.packing import Packing
from sampan.workspace.models.signing import Signing
from sampan.workspace.models.tuning import Tuning
from sampan.workspace.operation import Room, operation
from sampan.workspace.options import filled
from sampan.workspace.training.training_options import TrainingOptions

CHAMPION = "champion"


class Lifecycle(Room):
    """The verbs that take a model from training to its service."""

    noun: ClassVar[str] = "model"

    @operation(local=True)
    def train(self, file: Path, **options: Unpack[TrainingOptions]) -> ModelTrainedAnswer:
        """Train the model a file declares, unless that was done before.

        The same data, code and parameters give the same model, so it is not trained again.

        Parameters
        ----------
        file : a Python file with an @sp.train function
        """
        from sampan.workspace.training.learning import Learning
        from sampan.workspace.training.orders import order_of, rows_of

        order = order_of(self.ws, file, filled(TrainingOptions, options))
        trainer = order.trainer

        def make() -> dict[str, str]:
            return Learning(self.ws, order, rows_of(self.ws, order)).carry_out()

        # Trials depend on the data, code and parameters alone, so they are re-used when only the objective or their number changed.
        key = {"training": order.key, "trials": order.trials, "objective": msgspec.to_builtins(trainer.objective), "program": __version__}
        if purpose := trainer.purpose or self.ws.project.project.purpose:
            key["purpose"] = purpose
        made, cached = self.ws.engine.once("train", key, make)
        return self._trained(self.ws.catalog.node(made["model"]), made["run"], cached=cached)

    @operation()
    def evaluate(self, model: str, *, since: str = "", until: str = "", data: dict[str, str] | None = None) -> Reported:
        """Judge a model on labeled rows later than those it learned from, also group by group.

        Parameters
        ----------
        model : such as flights-late@v2
        since : from this date on; by default from the end of the training
        until : before this date
        data : another version of a dataset, such as flights=flights@v3
        """
        node = self._model(model)
        judged = judging.judge_stored(self.ws, [node], **self._window(since, until), data=data)
        return self._reported(self._record_report(node, judged), node)

    @operation()
    def compare(self, candidate: str, champion: str, *, since: str = "", until: str = "", data: dict[str, str] | None = None) -> Compared:
        """Test two models on the same labeled rows, later than either's training.

        Parameters
        ----------
        candidate : such as flights-late@v2
        champion : such as flights-late@champion
        since : from this date on; by default from the end of the later training
        until : before this date
        data : another version of a dataset, such as flights=flights@v3
        """
        ours, theirs = self._model(candidate), self._model(champion)
        judged = judging.judge_stored(self.ws, [ours, theirs], **self._window(since, until), data=data)
        found = judging.paired(judged, ours, theirs, judging.objective_of(ours))
        return Compared(
            candidate=ours.ref,
            champion=theirs.ref,
            n_rows=found.n_rows,
            n_days=found.n_blocks,
            differences=found.differences,
            next=(f"sampan model gate {ours.ref}",),
        )

    @operation()
    def gate(self, model: str, *, since: str = "", until: str = "", service: str = "", data: dict[str, str] | None = None) -> Gated:
        """Decide whether a model may go live, and say why not.

        The first model of a name meets the objective's absolute conditions on its own test rows. A later one is also tested against
        the champion, on labeled rows that neither learned from.

        Parameters
        ----------
        model : such as flights-late@v2
        since : judge on rows from this date on; by default from the end of the later training
        until : judge on rows before this date
        service : take the scores that the live model and this shadow gave to the service's requests
        data : another version of a dataset, such as flights=flights@v3
        """
        node = self._model(model)
        champion = self._champion(node)
        report, report_node, paired = self._evidence(node, champion, since=since, until=until, service=service, data=data)
        p95_ms, probe_rows, probe_far = self._probe(node)
        decision = decide(
            judging.objective_of(node),
            Evidence(
                report=report,
                champion=champion.ref if champion else "",
                paired=paired,
                labels=judging.label_health_of(node),
                p95_ms=p95_ms,
                probe_rows=probe_rows,
                probe_far=probe_far,
                allowed_loss=judging.allowed_loss(node, champion),
            ),
        )
        return self._gated(self._record_decision(node, champion, report_node, decision, paired), node)

    @operation()
    def promote(self, model: str, *, alias: str = CHAMPION, force: bool = False, reason: str = "") -> Promoted:
        """Make a model the champion, if its gate passed it against the present one.

        Parameters
        ----------
        model : such as flights-late@v2
        alias : the alias to move
        force : promote without a passing decision; needs a reason, and both are recorded. Without required signatures only an officer may
        reason : why, in words
        """
        node = self._model(model)
        before = self.ws.catalog.aliases("model", node.name).get(alias)
        if before == node.id:
            return Promoted(model=node.ref, alias=alias, before=node.ref, moved=False)
        if force and not reason.strip():
            raise ParameterError("a promotion by force needs a reason", hint="--reason 'why the gate is wrong this time'")
        if reason and not force:
            raise ParameterError("the reason would have no effect: the decision gives it", hint="leave --reason out, or add --force")
        decision = self._newest("decision", node)
        if self.ws.actor not in self.ws.project.governance.officers or not force:
            sign_offs.require_signed(self.ws, node, alias)
        refusal = self._refusal(node, decision) or sign_offs.refusal(self.ws, node, alias)
        events: list[Any] = []
        if refusal and not force:
            raise refusal
        if refusal and force:
            reasons = refusal.reasons or (refusal.message,)
            events.append(GateOverridden(model=node.id, decision=decision.id if decision else None, reasons=reasons, why=reason))
        why = reason or (f"decision:{decision.ref}" if decision else "")
        events.append(AliasMoved(kind="model", name=node.name, alias=alias, before=before, after=node.id, reason=why))
        self.ws.ledger.append(*events, reason=why)
        was = self.ws.catalog.node(before).ref if before else ""
        forced = force and refusal is not None
        return Promoted(model=node.ref, alias=alias, before=was, moved=True, forced=forced, next=(f"sampan model pack {node.ref}",))

    @operation(local=True)
    def ship(self, model: str, *, name: str = "", since: str = "", until: str = "", port: int = 0) -> Shipped:
        """Take a model from trained to live: gate, champion, package, service.

        Parameters
        ----------
        model : such as flights-late
        name : the service; by default the model's name
        since : judge on rows from this date on
        until : judge on rows before this date
        port : of the server, where one has to be started; 0 finds a free one
        """
        node = self._model(model)
        decision = self._newest("decision", node)
        if decision is not None and self._refusal(node, decision) is None:
            gated = self._gated(decision, node)
        else:
            gated = self.gate(node.ref, since=since, until=until)
        if not gated.passed:
            raise GateRejected(f"{node.ref} may not go live", reasons=gated.reasons, hint=f"sampan model show {node.ref}")
        promoted = self.promote(node.ref)
        packed = self.ws.model.pack(node.ref)
        live = self.ws.service.deploy(node.ref, name or node.name, port=port)
        return Shipped(decision=gated, promoted=promoted, package=packed, service=live.service, url=live.url, next=live.next)

    @operation(reads=True)
    def show(self, model: str) -> ModelShown:
        """Show a model: its figures, parameters, newest report and decision.

        Parameters
        ----------
        model : such as flights-late@champion
        """
        node = self._model(model)
        report, decision = self._newest("report", node), self._newest("decision", node)
        run = next((e.src for e in self.ws.catalog.edges_to(node.id) if e.role == "derived_from"), "")
        return ModelShown(
            model=model_line(node),
            node=node.id,
            digest=node.digest,
            run=run,
            params=node.facts["params"],
            features=tuple(node.facts["features"]),
            report=report.facts if report else None,
            decision=_decision_of(decision) if decision else None,
            decision_ref=f"decision:{decision.ref}" if decision else "",
            next=(f"sampan model gate {node.ref}",) if decision is None else (f"sampan lineage {node.ref}",),
        )

    # -- what decisions rest on -----------------------------------------------------------------------------------------------------

    def _evidence(
        self, node: Node, champion: Node | None, *, since: str, until: str, service: str, data: dict[str, str] | None
    ) -> tuple[Report, Node, Paired | None]:
        window = self._window(since, until)
        models = [node, champion] if champion else [node]
        if service:
            if champion is None:
                raise ParameterError(f"{node.name} has no champion, so no shadow to compare", hint="leave --service out")
            judged = judging.judge_shadow(self.ws, service, node, champion, **window)
        elif champion or since or until:
            try:
                judged = judging.judge_stored(self.ws, models, **window, data=data)
            except ParameterError:
                if since or until:
                    raise
                return self._backtest(node, champion)
        else:
            return self._backtest(node, champion)
        report = self._record_report(node, judged)
        paired = judging.paired(judged, node, champion, judging.objective_of(node)) if champion else None
        return judging.report_of(report), report, paired

    def _backtest(self, node: Node, champion: Node | None) -> tuple[Report, Node, Paired | None]:
        found = self._newest("report", node)
        if found is None:
            raise NotFound(f"{node.ref} has no report", hint=f"sampan model evaluate {node.ref}")
        return judging.report_of(found), found, judging.paired_at_birth(node, champion)

    def _record_report(self, node: Node, judged: judging.Judged) -> Node:
        report = judging.report_on(judged, node, judging.objective_of(node))
        facts = {**msgspec.to_builtins(report), "how": "held-out" if judged.evaluated_on else "shadow", "model": node.id}
        digest = digest_value(facts)
        if same := self.ws.catalog.find_version("report", node.name, digest):
            return same
        inputs = [Input(node.id, "input")]
        if judged.evaluated_on:
            inputs.append(Input(judged.evaluated_on, "evaluated_on"))
        event = ModelEvaluated(node=new_id(), kind="report", name=node.name, digest=digest, facts=facts, inputs=tuple(inputs))
        self.ws.ledger.append(event)
        return self.ws.catalog.node(event.node)

    def _record_decision(self, node: Node, champion: Node | None, report: Node, decision: Decision, paired: Paired | None) -> Node:
        facts = {
            **msgspec.to_builtins(decision),
            "model": node.id,
            "report": report.id,
            "champion": champion.id if champion else "",
            "champion_ref": champion.ref if champion else "",
            "paired": msgspec.to_builtins(paired) if paired else None,
        }
        inputs = [Input(node.id, "input"), Input(report.id, "input")]
        if champion is not None:
            inputs.append(Input(champion.id, "input"))
        event = GateDecided(
            node=new_id(),
            kind="decision",
            name=node.name,
            digest=digest_value(facts),
            state="passed" if decision.passed else "refused",
            facts=facts,
            inputs=tuple(inputs),
        )
        self.ws.ledger.append(event)
        return self.ws.catalog.node(event.node)

    def _probe(self, node: Node) -> tuple[float | None, int | None, int]:
        """Pack the model and ask it its probe set; the package becomes a version only by `package`."""
        from sampan.workspace.models.package_files import materialize
        from sampan.workspace.models.packages import build_package, probe

        found = probe(materialize(self.ws, build_package(self.ws, node).files))
        return found.p95_ms, found.n_rows, found.n_far

    def _refusal(self, node: Node, decision: Node | None) -> GateRejected | None:
        """Return why a model may not be promoted now, or None."""
        if decision is None:
            return GateRejected(
                f"{node.ref} has not been through its gate", reasons=("no_decision: never judged",), hint=f"sampan model gate {node.ref}"
            )
        if not decision.facts["passed"]:
            reasons = tuple(decision.facts["reasons"])
            return GateRejected(f"{node.ref} was refused by its gate", reasons=reasons, hint=f"sampan model show {node.ref}")
        champion = self._champion(node)  # None, too, where the model is the champion itself
        if champion is not None and decision.facts["champion"] != champion.id:
            reason = "stale_decision: the champion has changed since the decision"
            return GateRejected(f"{node.ref} was judged against another champion", reasons=(reason,), hint=f"sampan model gate {node.ref}")
        return None

    # -- finding and answering ------------------------------------------------------------------------------------------------------

    def _model(self, ref: str) -> Node:
        return self.ws.catalog.resolve(ref, kind="model")

    def _champion(self, node: Node) -> Node | None:
        found = self.ws.catalog.aliases("model", node.name).get(CHAMPION)
        return self.ws.catalog.node(found) if found and found != node.id else None

    def _newest(self, kind: str, model: Node) -> Node | None:
        """Return the newest report or decision about a model."""
        about = (self.ws.catalog.node(e.dst) for e in self.ws.catalog.edges_from(model.id) if e.role == "input")
        own = [n for n in about if n.kind == kind and n.facts["model"] == model.id]
        return max(own, key=lambda n: n.version or 0, default=None)

    def _window(self, since: str, until: str) -> dict[str, int]:
        from sampan.workspace.training.feature_tables import FOREVER, read_moment

        return {"since": read_moment(since, otherwise=-FOREVER), "until": read_moment(until, otherwise=FOREVER)}

    def _trained(self, node: Node, run: str, *, cached: bool) -> ModelTrainedAnswer:
        parity, health = node.facts["parity"], judging.label_health_of(node)
        exported = (
            f"graph within {parity['max_difference']:.1g} of the model on {parity['n_rows']:,} rows"
            if parity["passed"]
            else parity["reason"]
        )
        is_number = judging.task_of_model(node).kind == "regression"
        unjudged = "numbers are not judged for wrong ones" if is_number else "too few to judge"
        labels = _labels_text(health) if health else unjudged
        return ModelTrainedAnswer(
            model=model_line(node),
            node=node.id,
            run=run,
            cached=cached,
            params=node.facts["params"],
            metrics=read_builtins(node.facts["metrics"], dict[str, Estimate]),
            baseline=read_builtins(node.facts["baseline"], Paired),
            label_health=labels,
            parity=exported,
            made_features=_made_features(node.facts.get("generated"), judging.loss_words(node)),
            next=(f"sampan model gate {node.ref}", f"sampan ship {node.name}"),
        )

    def _reported(self, report: Node, model: Node) -> Reported:
        facts = report.facts
        gaps = tuple(_gap_text(read_builtins(gap, Gap)) for gap in facts["gaps"])
        return Reported(
            report=f"report:{report.ref}",
            model=model.ref,
            n_rows=facts["n_rows"],
            n_days=facts["n_days"],
            since=iso(facts["since"]),
            until=iso(facts["until"]),
            metrics=read_builtins(facts["metrics"], dict[str, Estimate]),
            slices=facts["slices"],
            gaps=gaps,
            classes=read_builtins(facts.get("classes", ()), tuple[ClassFigures, ...]),
            residuals=read_builtins(facts.get("residuals", {}), dict[str, Estimate]),
            next=(f"sampan model gate {model.ref}",),
        )

    def _gated(self, decision: Node, model: Node) -> Gated:
        found = _decision_of(decision)
        return Gated(
            model=model.ref,
            champion=decision.facts["champion_ref"],
            passed=found.passed,
            reasons=found.reasons,
            checks=found.checks,
            decision=f"decision:{decision.ref}",
            next=(f"sampan model promote {model.ref}",) if found.passed else (f"sampan model show {model.ref}",),
        )


class Models(Lifecycle, Listing, Packing, Adopting, Tuning, Optimizing, Signing, Bills):
    """Models: what was trained, how good it is, what may go live."""


def _decision_of(node: Node) -> Decision:
    return read_builtins({k: node.facts[k] for k in ("passed", "reasons", "checks")}, Decision)


def _made_features(found: dict[str, Any] | None, loss: str) -> str:
    """Say what came of features made from the declared columns."""
    if found is None:
        return ""
    if not found["added"]:
        return f"none of {found['n_candidates']} helped"
    losses = f"{loss} {found['without']:.4f} without, {found['with']:.4f} with them"
    return f"{len(found['added'])} of {found['n_candidates']} taken, {losses}: {', '.join(found['added'])}"


_GAP = {"fine": "within", "unclear": "not enough rows to say whether within", "broken": "over"}


def _gap_text(gap: Gap) -> str:
    return f"{gap.metric} by {gap.column}: {gap.worse} is {gap.gap} worse than {gap.better}, {_GAP[gap.verdict]} {gap.limit:g}"


def _labels_text(health: LabelHealth) -> str:
    share = health.newest.share
    between = "" if share.low is None or share.high is None else f" ({share.low:.1%} to {share.high:.1%})"
    return f"{share.value or 0:.1%}{between} of those of {health.newest.batch} look wrong; {health.usual:.1%} is usual"
