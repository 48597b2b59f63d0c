"""The prediction server's routes for clients of other servers: Open Inference Protocol (`/v2`) and what MLflow's clients ask.

    GET  /v2 · /v2/health/live · /v2/health/ready · /v2/models/NAME[/versions/V][/ready]
    POST /v2/models/NAME[/versions/V]/infer                   JSON, or values as bytes behind it
    POST /invocations · /endpoints/NAME/invocations           data frames and arrays as MLflow's clients send them
    GET  /ping · /version · /api/2.0/endpoints[/NAME]

Not here: the messages (`serving.inference_protocol`, `serving.invocations`), gRPC (`inference_grpc`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from sampan import __version__
from sampan.core.refs import nearest
from sampan.errors import MethodRefused, NotFound, ParameterError
from sampan.serving import inference_protocol as v2
from sampan.serving.answers import REGRESSION
from sampan.serving.invocations import decode_invocations, encode_invocations
from sampan.serving.records import NumberedIds, Scored
from sampan.serving.routing import Variant
from sampan.serving.spans import Origin
from sampan.table.rows import ColumnRows
from sampan.web.inference.direct import scope_notes
from sampan.web.inference.reply import Answered, Coming, Reply, Request

if TYPE_CHECKING:
    from sampan.web.inference.scoring import Scorer

TEXT = b"text/plain; charset=utf-8"
Answers = Mapping[str, Any]


class TensorRoutes:
    """Answers of one service, whole requests by one version."""

    def __init__(self, service: str, scorer: Scorer, *, max_rows: int) -> None:
        self._service = service
        self._scorer = scorer
        self._max_rows = max_rows
        self.routes: dict[str, tuple[str, Callable[[Request, str], Answered | Coming]]] = {
            "/v2": ("GET", lambda *_: Reply(v2.server_metadata(__version__))),
            "/v2/health/live": ("GET", lambda *_: Reply(b'{"live":true}')),
            "/v2/health/ready": ("GET", lambda *_: _ready(self._is_ready)),
            "/v2/models/": ("", self._model),
            "/invocations": ("POST", self._invocations),
            "/endpoints/": ("POST", self._endpoint_invocations),
            "/api/2.0/endpoints": ("GET", lambda *_: Reply(msgspec.json.encode({"endpoints": [self._endpoint()]}))),
            "/api/2.0/endpoints/": ("GET", self._one_endpoint),
            "/ping": ("GET", lambda *_: Reply(b"\n", status=200 if self._is_ready else 503, content_type=TEXT)),
            "/version": ("GET", lambda *_: Reply(__version__.encode(), content_type=TEXT)),
        }

    # -- Open Inference Protocol --------------------------------------------------------------------------------------------------

    def metadata(self, version: str = "") -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]:
        """Return the loaded versions, and inputs and outputs of one of them (the live one)."""
        variant = self._scorer.variant(version) if version else self._scorer.live()
        outputs = v2.output_tensors(**_kind(variant))
        return [loaded.version for loaded in self._scorer.routing.variants], v2.input_tensors(dict(variant.fields)), outputs

    def ready(self, version: str = "") -> bool:
        """Say whether a version, or whichever is live, answers."""
        return bool(self._scorer.variant(version)) if version else self._is_ready

    def score(
        self,
        rows: ColumnRows,
        *,
        name: str = "",
        version: str = "",
        origin: Origin,
        reply: Callable[[Variant, Answers], Reply],
        flags: bool = False,
    ) -> Answered | Coming:
        """Score rows by one version and reply with its outputs: now, or when a thread has done it.

        `name` is the request's id; `flags` are among the outputs where a row lies beyond training, or where they are asked for.
        """
        n = len(rows)
        ids: Sequence[str] = [name] if name and n == 1 else NumberedIds(name, n) if name else ()
        asked = self._alone(rows) if n == 1 else rows

        def replied(variant: Variant, scored: Scored) -> Reply:
            answers = v2.answers_of(scored.scores, **_kind(variant))
            if (notes := scope_notes(variant, scored)) or flags:
                answers[v2.FLAGS] = v2.flag_texts(notes, n)
            return reply(variant, answers)

        if (coming := self._scorer.gather(asked, replied, ids=ids, version=version, origin=origin)) is not None:
            return coming
        if self._scorer.answers_now(n):
            return replied(*self._scorer.scores_now(asked, ids=ids, version=version, origin=origin))
        return _then(self._scorer.scores(asked, ids=ids, version=version, origin=origin), replied)

    def _alone(self, rows: ColumnRows) -> Sequence[Mapping[str, Any]]:
        """Return a single row as the live model's type of row, half the cost of columns of one value; unchanged where it does not fit."""
        live = self._scorer.routing.live
        kind = getattr(live.predictor, "row_type", None) if live is not None else None
        if kind is None:
            return rows
        try:
            return [msgspec.convert(rows[0], kind)]
        except (msgspec.ValidationError, OverflowError):  # the long way says what does not fit
            return rows

    @property
    def _is_ready(self) -> bool:
        return self._scorer.routing.live is not None

    def _model(self, request: Request, rest: str) -> Answered | Coming:
        """Answer /v2/models/{name}[/versions/{v}][/ready | /infer]."""
        parts = [unquote(part) for part in rest.split("/")]
        name, verb, version = parts.pop(0), "", ""
        if parts and parts[-1] in ("ready", "infer"):
            verb = parts.pop()
        if len(parts) == 2 and parts[0] == "versions":
            version = parts[1]
        elif parts:
            raise NotFound(f"no page {unquote(request.path)}", hint=f"/v2/models/{self._service}[/versions/VERSION][/ready | /infer]")
        self._check_name(name)
        expected = "POST" if verb == "infer" else "GET"
        if request.method not in (expected, "HEAD" if expected == "GET" else expected):
            raise MethodRefused(f"{request.path} takes {expected}, not {request.method}")
        if verb == "infer":
            return self._infer(request, version)
        if verb == "ready":
            return _ready(self.ready(version))
        return Reply(v2.model_metadata(self._service, *self.metadata(version)))

    def _infer(self, request: Request, version: str) -> Answered | Coming:
        form = request.form or _REST
        asked = form.read(request, max_rows=self._max_rows)

        def reply(variant: Variant, answers: Answers) -> Reply:
            return form.write(self._service, variant.version, answers, asked)

        if asked.timeout_us:
            request.timeout_s = asked.timeout_us / 1e6
        wants_flags = any(output.name == v2.FLAGS for output in asked.outputs)
        return self.score(asked.rows, name=asked.id, version=version, origin=request.origin, reply=reply, flags=wants_flags)

    # -- MLflow -------------------------------------------------------------------------------------------------------------------

    def _invocations(self, request: Request, _: str) -> Answered | Coming:
        live = self._scorer.live()
        mime = request.header(b"content-type").decode("latin-1")
        rows = decode_invocations(request.body, mime, dict(live.fields), max_rows=self._max_rows)
        name = request.header(b"x-request-id").decode("latin-1")
        return self.score(rows, name=name, origin=request.origin, reply=lambda _, answers: Reply(encode_invocations(answers)))

    def _endpoint_invocations(self, request: Request, rest: str) -> Answered | Coming:
        name, _, verb = rest.partition("/")
        if verb != "invocations":
            raise NotFound(f"no page {unquote(request.path)}", hint=f"/endpoints/{self._service}/invocations")
        self._check_name(unquote(name))
        return self._invocations(request, "")

    def _one_endpoint(self, request: Request, rest: str) -> Reply:  # noqa: ARG002  # the handlers' signature
        self._check_name(unquote(rest))
        return Reply(msgspec.json.encode(self._endpoint()))

    def _endpoint(self) -> dict[str, object]:
        url = f"/endpoints/{self._service}/invocations"
        model = {"name": self._scorer.live().version, "provider": "sampan"}
        return {"name": self._service, "endpoint_type": "sampan/v1/predict", "model": model, "endpoint_url": url, "limit": None}

    def _check_name(self, name: str) -> None:
        if name != self._service:
            raise NotFound(
                f"no model called {name!r} here", did_you_mean=nearest(name, [self._service]), hint=f"this server has {self._service!r}"
            )


class _Rest:
    """Tensors as JSON, and as bytes behind it."""

    def read(self, request: Request, *, max_rows: int) -> v2.InferRequest:
        said = request.header(v2.BINARY_HEADER)
        if said and not said.isdigit():
            raise ParameterError(f"{v2.BINARY_HEADER.decode()} is {said.decode('latin-1')!r}, expected a number of bytes")
        return v2.decode_infer(request.body, max_rows=max_rows, json_bytes=int(said) if said else None)

    def write(self, model: str, version: str, answers: Answers, asked: v2.InferRequest) -> Reply:
        body, json_bytes = v2.encode_infer(model, version, answers, request=asked)
        if not json_bytes:
            return Reply(body)
        return Reply(body, content_type=v2.BINARY, headers=((v2.BINARY_HEADER, b"%d" % json_bytes),))


_REST = _Rest()


def _ready(ready: bool) -> Reply:
    return Reply(msgspec.json.encode({"ready": ready}), status=200 if ready else 503)


def _kind(variant: Variant) -> dict[str, Any]:
    """Return what of a variant decides which outputs it has."""
    return {"threshold": variant.threshold, "classes": variant.labels.classes, "is_number": variant.labels.kind == REGRESSION}


async def _then(coming: Awaitable[tuple[Variant, Scored]], replied: Callable[[Variant, Scored], Reply]) -> Reply:
    return replied(*await coming)
