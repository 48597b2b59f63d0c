"""Traces over MLflow's protocol, version 3 and the older 2; spans also as OpenTelemetry's exporters send them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sampan.core.events import new_id
from sampan.core.mlflow_spans import NAME_TAG
from sampan.core.times import iso, to_millis
from sampan.stats.co_occurrence import pointwise_information
from sampan.web.mlflow import otlp
from sampan.web.mlflow.experiments import Experiments
from sampan.web.mlflow.filters import RLIKE, Comparison, Field, Language, Value, matching, sort_key
from sampan.web.mlflow.refusals import MAX_TAG, integer, invalid, items, key_of, limited, missing, page, paged, pairs, text, texts
from sampan.web.mlflow.trace_records import HERE, PREVIEW, Trace, TraceRecords
from sampan.workspace.mlflow.trace_events import RUN_KEY, Summary

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

_STATES: Final = frozenset({"OK", "ERROR", "IN_PROGRESS", "STATE_UNSPECIFIED"})
_LANGUAGE: Final = Language(
    frozenset({"timestamp_ms", "execution_time_ms", "end_time_ms"}),
    frozenset({"name", "status", "request_id", "client_request_id", "run_id", "experiment_id"}),
    frozenset({"attribute", "tag", "metadata", "span", "feedback", "expectation"}),
    {"timestamp": "timestamp_ms", "execution_time": "execution_time_ms", "end_time": "end_time_ms", "trace_id": "request_id"},
    has_patterns=True,
)
_LATEST: Final = [(("attribute", "timestamp_ms"), True)]
_EDITABLE: Final = ("assessment_name", "expectation", "feedback", "rationale", "metadata", "valid")


class Traces:
    """The traces of one workspace, as routes."""

    def __init__(self, ws: Workspace, experiments: Experiments) -> None:
        self._ws = ws
        self._experiments = experiments
        self._records = TraceRecords(ws, experiments)

    # -- version 3

    def start(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST 3.0 traces: a trace that has ended, its spans apart."""
        info = _object(_object(given, "trace"), "trace_info")
        place = _object(_object(info, "trace_location"), "mlflow_experiment")
        experiment = self._experiments.active(text(place, "experiment_id"))
        state = text(info, "state", required=False, default="STATE_UNSPECIFIED")
        if state not in _STATES:
            raise invalid(f"Invalid value {state!r} for parameter 'state' supplied: one of {', '.join(sorted(_STATES))}")
        summary = Summary(
            requested=_moment(text(info, "request_time")),
            duration=_duration(text(info, "execution_duration", required=False)),
            state=state,
            request=text(info, "request_preview", required=False)[:PREVIEW],
            response=text(info, "response_preview", required=False)[:PREVIEW],
            client_request_id=text(info, "client_request_id", required=False),
            metadata=_mapping(info, "trace_metadata"),
            is_final=True,
        )
        tags = {**_mapping(info, "tags"), **self._places(experiment.location, text(info, "trace_id")), **HERE}
        return {"trace": {"trace_info": _told(self._records.begin(experiment, summary, tags, trace_id=text(info, "trace_id")))}}

    def get_info(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET 3.0 traces/ID."""
        return {"trace": {"trace_info": _told(self._find(given))}}

    def get(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET 3.0 traces/get: with its spans."""
        return {"trace": self._whole(self._records.find(text(given, "trace_id")))}

    def get_several(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET 3.0 traces/batchGet."""
        return {"traces": [self._whole(self._records.find(each)) for each in texts(given, "trace_ids")]}

    def get_infos(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST 3.0 traces/batchGetInfos."""
        return {"trace_infos": [_told(self._records.find(each)) for each in texts(given, "trace_ids")]}

    def search(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST 3.0 traces/search."""
        places = [_object(each, "mlflow_experiment") for each in items(given, "locations")]
        shown, more = self._search(given, [text(each, "experiment_id") for each in places])
        return {"traces": [_told(each) for each in shown], **more}

    def correlate(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST 3.0 traces/calculate-filter-correlation: how far two filters hold of the same traces."""
        base, *pair = (_LANGUAGE.parse(text(given, name, required=False)) for name in ("base_filter", "filter_string1", "filter_string2"))
        traces = self._meeting(self._in(texts(given, "experiment_ids")), base)
        first, second = ({each.id for each in self._meeting(traces, conditions)} for conditions in pair)
        counts = {"filter1_count": len(first), "filter2_count": len(second), "joint_count": len(first & second), "total_count": len(traces)}
        held = counts["joint_count"], len(first), len(second), len(traces)
        plain, steadied = (pointwise_information(*held, prior=prior) for prior in (0.0, 0.5))
        return counts | {name: value for name, value in (("npmi", plain), ("npmi_smoothed", steadied)) if not math.isnan(value)}

    def link(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST traces/link-to-run."""
        self._records.link([self._records.find(each) for each in texts(given, "trace_ids")], text(given, "run_id"))
        return {}

    def export(self, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """POST /v1/traces: spans from any OpenTelemetry exporter."""
        media = headers.get("content-type", "").partition(";")[0].strip()
        if media not in (otlp.JSON, otlp.PROTOBUF):
            raise invalid(f"Invalid Content-Type: {media}. Expected: {otlp.PROTOBUF} or {otlp.JSON}")
        experiment = self._experiments.active(headers.get("x-mlflow-experiment-id", "0"))
        spans = otlp.read(body, media=media, encoding=headers.get("content-encoding", "").lower())
        self._records.add_spans(experiment, spans, run=headers.get("x-mlflow-run-id", ""))
        return {}

    # -- assessments

    def assess(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST traces/ID/assessments."""
        trace, told = self._find(given), _object(given, "assessment")
        text(told, "assessment_name")
        if ("feedback" in told) == ("expectation" in told):
            raise invalid("Invalid assessment: it has either 'feedback' or 'expectation'")
        found = {"valid": True, **told, "assessment_id": f"a-{new_id()}", "trace_id": trace.id}
        self._records.assess(trace, found)
        return {"assessment": found}

    def get_assessment(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET traces/ID/assessments/ID."""
        return {"assessment": _assessment(self._find(given), text(given, "assessment_id"))}

    def edit_assessment(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH traces/ID/assessments/ID."""
        trace = self._find(given)
        found, told = _assessment(trace, text(given, "assessment_id")), _object(given, "assessment")
        fields = text(given, "update_mask").split(",")
        names = {"assessmentName": "assessment_name"}
        edited = {name: told[name] for name in (names.get(each, each) for each in fields) if name in _EDITABLE and name in told}
        found = {**found, **edited, "last_update_time": iso(self._ws.clock())}
        self._records.assess(trace, found)
        return {"assessment": found}

    def delete_assessment(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE traces/ID/assessments/ID."""
        trace = self._find(given)
        self._records.withdraw(trace, _assessment(trace, text(given, "assessment_id"))["assessment_id"])
        return {}

    # -- version 2

    def start_old(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST 2.0 traces: a trace that begins; its spans become a file of it."""
        experiment = self._experiments.active(text(given, "experiment_id"))
        summary = Summary(requested=integer(given, "timestamp_ms"), metadata=_pairs(given, "request_metadata"))
        begun = self._records.begin(experiment, summary, _pairs(given, "tags"))
        for key, value in self._places(experiment.location, begun.id).items():
            self._records.tag(begun, key, value)
        return {"trace_info": _told_old(self._records.find(begun.id))}

    def end_old(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH 2.0 traces/ID."""
        trace, state = self._find(given), text(given, "status")
        if state not in _STATES:
            raise invalid(f"Invalid value {state!r} for parameter 'status' supplied: one of {', '.join(sorted(_STATES))}")
        summary = msgspec.structs.replace(
            trace.summary,
            duration=max(integer(given, "timestamp_ms") - trace.summary.requested, 0),
            state=state,
            metadata={**trace.summary.metadata, **_pairs(given, "request_metadata")},
            is_final=True,
        )
        return {"trace_info": _told_old(self._records.summarize(trace, summary, _pairs(given, "tags")))}

    def get_info_old(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET 2.0 traces/ID/info."""
        return {"trace_info": _told_old(self._find(given))}

    def search_old(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET 2.0 traces."""
        shown, more = self._search(given, texts(given, "experiment_ids"))
        return {"traces": [_told_old(each) for each in shown], **more}

    def delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST traces/delete-traces: those named, or the oldest up to a moment or a number."""
        experiment = self._experiments.by_id(text(given, "experiment_id"))
        named, until = set(texts(given, "request_ids")), given.get("max_timestamp_millis")
        found = self._records.of([experiment])[::-1]
        if named:
            found = [each for each in found if each.id in named]
        elif until is None:
            raise invalid("Either `max_timestamp_millis` or `request_ids` must be specified.")
        else:
            found = [each for each in found if each.summary.requested <= integer(given, "max_timestamp_millis")]
        found = found[: integer(given, "max_traces", default=len(found))]
        self._records.delete(found)
        return {"traces_deleted": len(found)}

    def set_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH traces/ID/tags."""
        self._records.tag(self._find(given), key_of(given, "Tag"), limited(text(given, "value", required=False), MAX_TAG, "Tag value"))
        return {}

    def delete_tag(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE traces/ID/tags."""
        self._records.tag(self._find(given), key_of(given, "Tag"), None)
        return {}

    # -- within

    def _find(self, given: Mapping[str, Any]) -> Trace:
        return self._records.find(text(given, "trace_id"))

    def _places(self, location: str, trace_id: str) -> dict[str, str]:
        return {"mlflow.artifactLocation": f"{location.rstrip('/')}/traces/{trace_id}/artifacts"}

    def _whole(self, trace: Trace) -> dict[str, Any]:
        return {"trace_info": _told(trace), "spans": self._records.spans(trace.node)}

    def _search(self, given: Mapping[str, Any], experiments: Sequence[str]) -> tuple[list[Trace], dict[str, str]]:
        wanted, offset = page(given, default=100, most=500)
        conditions = _LANGUAGE.parse(text(given, "filter", required=False))
        order = _LANGUAGE.parse_order(texts(given, "order_by")) or _LATEST
        found = self._meeting(self._in(experiments), conditions)
        for field, descending in reversed(order):
            found.sort(key=lambda each, f=field, d=descending: sort_key(_value(each, f), descending=d))  # type: ignore[misc]  # bound now
        return paged(found, wanted, offset)

    def _in(self, experiments: Sequence[str]) -> list[Trace]:
        return self._records.of(each for each in self._experiments.all() if each.id in set(experiments))

    def _meeting(self, traces: Sequence[Trace], conditions: Sequence[Comparison]) -> list[Trace]:
        found = list(traces)
        for condition in conditions:
            values = [self._values(trace, condition.field) for trace in found]
            if condition.operator == RLIKE:
                matched = matching(condition.value, (str(each) for several in values for each in several if each is not None))
                holds = [any(str(each) in matched for each in several if each is not None) for several in values]
            else:
                holds = [any(map(condition.holds, several)) for several in values]
            found = [trace for trace, held in zip(found, holds, strict=True) if held]
        return found

    def _values(self, trace: Trace, field: Field) -> list[Value]:
        """Return a trace's values of a field: of its spans there may be several."""
        if field[0] == "span":
            return [_of_span(span, field[1]) for span in self._records.spans(trace.node)]
        return [_value(trace, field)]


def _value(trace: Trace, field: Field) -> Value:
    kind, name = field
    summary = trace.summary
    if kind in ("tag", "metadata"):
        return (trace.tags if kind == "tag" else summary.metadata).get(name)
    if kind in ("feedback", "expectation"):
        found = [each[kind].get("value") for each in trace.assessments if each.get("assessment_name") == name and kind in each]
        return None if not found or found[-1] is None else str(found[-1]).lower() if isinstance(found[-1], bool) else str(found[-1])
    ended = None if summary.duration is None else float(summary.requested + summary.duration)
    values: dict[str, Value] = {
        "timestamp_ms": float(summary.requested),
        "execution_time_ms": None if summary.duration is None else float(summary.duration),
        "end_time_ms": ended,
        "name": trace.tags.get(NAME_TAG),
        "status": summary.state,
        "request_id": trace.id,
        "client_request_id": summary.client_request_id or None,
        "run_id": summary.metadata.get(RUN_KEY),
        "experiment_id": trace.experiment,
    }
    return values[name]


def _of_span(span: otlp.Span, name: str) -> Value:
    if name == "name":
        return str(span.get("name", ""))
    if name == "status":
        return ("UNSET", "OK", "ERROR")[min(int(span.get("status", {}).get("code", 0)), 2)]
    attribute = {"type": "mlflow.spanType"}.get(name, name.removeprefix("attributes."))
    found = otlp.attributes(span).get(attribute)
    # MLflow's own clients write attributes as JSON.
    return found.strip('"') if isinstance(found, str) else None if found is None else str(found)


def _told(trace: Trace) -> dict[str, Any]:
    """Return a trace in the words of version 3."""
    summary = trace.summary
    told: dict[str, Any] = {
        "trace_id": trace.id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": trace.experiment}},
        "request_preview": summary.request,
        "response_preview": summary.response,
        "request_time": iso(summary.requested),
        "state": summary.state,
        "trace_metadata": summary.metadata,
        "tags": trace.tags,
        "assessments": trace.assessments,
    }
    if summary.client_request_id:
        told["client_request_id"] = summary.client_request_id
    if summary.duration is not None:
        told["execution_duration"] = f"{summary.duration / 1000:.3f}s"
    return told


def _told_old(trace: Trace) -> dict[str, Any]:
    """Return a trace in the words of version 2."""
    summary = trace.summary
    told: dict[str, Any] = {
        "request_id": trace.id,
        "experiment_id": trace.experiment,
        "timestamp_ms": summary.requested,
        "status": summary.state,
        "request_metadata": pairs(summary.metadata),
        "tags": pairs(trace.tags),
    }
    return told if summary.duration is None else {**told, "execution_time_ms": summary.duration}


def _assessment(trace: Trace, assessment_id: str) -> dict[str, Any]:
    found = next((each for each in trace.assessments if each["assessment_id"] == assessment_id), None)
    if found is None:
        raise missing(f"Assessment with ID '{assessment_id}' not found for trace '{trace.id}'")
    return found


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = given.get(name)
    if not isinstance(found, Mapping):
        raise invalid(f"Missing value for required parameter '{name}'. See the API docs for more information about request parameters.")
    return found


def _mapping(given: Mapping[str, Any], name: str) -> dict[str, str]:
    found = given.get(name) or {}
    if not isinstance(found, Mapping):
        raise invalid(f"Invalid value {found!r} for parameter '{name}' supplied: Value must be an object.")
    return {key_of({"key": key}, "Tag"): limited(str(value), MAX_TAG, "Tag value") for key, value in found.items()}


def _pairs(given: Mapping[str, Any], name: str) -> dict[str, str]:
    return {key_of(each, "Tag"): limited(text(each, "value", required=False), MAX_TAG, "Tag value") for each in items(given, name)}


def _moment(told: str) -> int:
    try:
        return to_millis(datetime.fromisoformat(told))
    except (ValueError, OverflowError) as cause:
        raise invalid(f"Invalid value {told!r} for parameter 'request_time' supplied: Value must be an RFC 3339 time.") from cause


def _duration(told: str) -> int | None:
    if not told:
        return None
    try:
        return round(float(told.removesuffix("s")) * 1000)
    except (ValueError, OverflowError) as cause:
        raise invalid(f"Invalid value {told!r} for parameter 'execution_duration' supplied: Value must be seconds, as '1.5s'.") from cause
