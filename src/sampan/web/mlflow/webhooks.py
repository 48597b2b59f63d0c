"""Webhooks: addresses that are told of changes to the model registry, in MLflow's words and with its signature.

What happened is read from the ledger, where everything is that was done by whatever way; what a receiver has got is a cursor in the store.
So nothing is lost by a restart, and a delivery that cannot be made is made later, in order. A receiver may see one twice, never too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from sampan.core.changes import Change, DescribeAsset, EnsureAsset
from sampan.core.decoding import read_builtins
from sampan.core.events import Event, new_id
from sampan.core.graph import Recorded
from sampan.errors import NotFound
from sampan.governance.pseudonyms import cipher_of, decrypt
from sampan.web.mlflow import sending
from sampan.web.mlflow.refusals import invalid, items, limited, missing, page, paged, text
from sampan.workspace.governing.privacy_keys import PrivacyKeys
from sampan.workspace.mlflow import graph as mlflow_graph

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

KIND: Final = "webhook"
CONSUMER: Final = "mlflow webhooks"
_KEY: Final = "webhooks"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")
_MAX_DESCRIPTION, _MAX_SECRET = 5000, 1000
_STATUSES: Final = ("ACTIVE", "DISABLED")
_BATCH: Final = 200  # events of the ledger

# What may be asked for, each with an example of what is sent.
EVENTS: Final[Mapping[tuple[str, str], dict[str, Any]]] = {
    ("registered_model", "created"): {"name": "example_model", "tags": {"key": "value"}, "description": "An example"},
    ("model_version", "created"): {
        "name": "example_model",
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": {"key": "value"},
        "description": "An example",
    },
    ("model_version_tag", "set"): {"name": "example_model", "version": "1", "key": "key", "value": "value"},
    ("model_version_tag", "deleted"): {"name": "example_model", "version": "1", "key": "key"},
    ("model_version_alias", "created"): {"name": "example_model", "alias": "champion", "version": "1"},
    ("model_version_alias", "deleted"): {"name": "example_model", "alias": "champion"},
}


class Webhook(msgspec.Struct, frozen=True):
    """One receiver. Its secret is kept as a cipher; the key lies outside the store."""

    id: str
    name: str
    url: str
    events: tuple[tuple[str, str], ...]
    created: int
    updated: int
    description: str = ""
    secret: str = ""
    status: str = "ACTIVE"

    def told(self) -> dict[str, Any]:
        """Return it in MLflow's words, without its secret."""
        return {
            "webhook_id": self.id,
            "name": self.name,
            "description": self.description,
            "url": self.url,
            "events": [{"entity": entity.upper(), "action": action.upper()} for entity, action in self.events],
            "status": self.status,
            "creation_timestamp": self.created,
            "last_updated_timestamp": self.updated,
        }


class WebhookMade(Event, frozen=True, kw_only=True):
    """A receiver of webhooks was named."""

    type: ClassVar[str] = "webhook_made"

    webhook: Webhook

    def changes(self) -> tuple[Change, ...]:
        """Make the asset."""
        return (EnsureAsset(kind=KIND, name=self.webhook.id, facts={mlflow_graph.FACT: msgspec.to_builtins(self.webhook)}),)


class WebhookDescribed(Event, frozen=True, kw_only=True):
    """A receiver was changed or, with the status "deleted", taken away."""

    type: ClassVar[str] = "webhook_described"

    webhook: Webhook

    def changes(self) -> tuple[Change, ...]:
        """Replace what is said."""
        return (DescribeAsset(kind=KIND, name=self.webhook.id, facts={mlflow_graph.FACT: msgspec.to_builtins(self.webhook)}),)


class Webhooks:
    """The receivers of one workspace."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws

    # -- routes

    def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST webhooks."""
        now = self._ws.clock()
        made = self._changed(Webhook(new_id(), "", "", (), now, now), {"status": "ACTIVE", **given}, required=True)
        if not self.active():
            # Who is the first to listen is not told what was before.
            newest = self._ws.catalog.events(limit=1, newest_first=True)
            self._ws.ledger.sent(CONSUMER, newest[0].seq if newest else 0)
        self._ws.ledger.append(WebhookMade(webhook=made))
        return {"webhook": made.told()}

    def get(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET webhooks/ID."""
        return {"webhook": self._find(given).told()}

    def list_all(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """GET webhooks."""
        wanted, offset = page(given, default=100, most=1000)
        shown, more = paged(sorted(self._all(), key=lambda each: (-each.created, each.id)), wanted, offset)
        return {"webhooks": [each.told() for each in shown], **more}

    def update(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH webhooks/ID."""
        found = self._changed(self._find(given), given, required=False)
        self._ws.ledger.append(WebhookDescribed(webhook=found))
        return {"webhook": found.told()}

    def delete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """DELETE webhooks/ID."""
        self._ws.ledger.append(WebhookDescribed(webhook=msgspec.structs.replace(self._find(given), status=mlflow_graph.DELETED, secret="")))
        return {}

    def test(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """POST webhooks/ID/test: send an example now."""
        found = self._find(given)
        asked = given.get("event")
        entity, action = _event(asked) if isinstance(asked, Mapping) else found.events[0]
        try:
            status, body = self._send(found, entity, action, EVENTS[entity, action])
        except sending.Undelivered as cause:
            return {"result": {"success": False, "error_message": str(cause)}}
        return {"result": {"success": status < 400, "response_status": status, "response_body": body}}

    # -- deliveries

    def active(self) -> list[Webhook]:
        """Return those that are to be told."""
        if not self._ws.has_store:
            return []  # looking makes none
        return [each for each in self._all() if each.status == "ACTIVE"]

    def deliver(self) -> bool:
        """Tell the active receivers what they have not been told; say whether there may be more to tell.

        Raises
        ------
        Undelivered : a receiver could not be told; it and those after it are told again from there.
        """
        receivers = self.active()
        if not receivers:
            return False
        events = self._ws.ledger.unsent(CONSUMER, limit=_BATCH)
        for recorded in events:
            for entity, action, data in self._meant(recorded):
                for receiver in receivers:
                    if (entity, action) in receiver.events:
                        self._tell(receiver, entity, action, data)
            self._ws.ledger.sent(CONSUMER, recorded.seq)
        return len(events) == _BATCH

    def _tell(self, receiver: Webhook, entity: str, action: str, data: dict[str, Any]) -> None:
        status, _ = self._send(receiver, entity, action, data)
        # What a receiver refuses it would refuse again; what it cannot take now it may take later.
        if status == 429 or status >= 500:
            raise sending.Undelivered(f"{receiver.name} answered {status}")

    def _send(self, receiver: Webhook, entity: str, action: str, data: dict[str, Any]) -> tuple[int, str]:
        secret = decrypt(PrivacyKeys(self._ws).key(_KEY), receiver.secret) if receiver.secret else ""
        return sending.send(
            receiver.url,
            {"entity": entity, "action": action, "data": data},
            now=self._ws.clock(),
            secret=secret,
            allowed=self._ws.project.webhooks.allow,
        )

    def _meant(self, recorded: Recorded) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Say what an event of the ledger is in MLflow's words: nothing, or one thing."""
        body = recorded.body
        if recorded.type == mlflow_graph.RegisteredModelMade.type:
            about = body["facts"][mlflow_graph.FACT]
            yield "registered_model", "created", {key: about[key] for key in ("name", "tags", "description")}
        elif recorded.type == "alias_moved" and body["kind"] == mlflow_graph.REGISTERED:
            told = {"name": self._model_name(body["name"]), "alias": body["alias"]}
            if body["after"] is None:
                yield "model_version_alias", "deleted", told
            else:
                yield "model_version_alias", "created", {**told, "version": self._version_of(body["after"])}
        elif recorded.type == "version_committed" and body["kind"] == mlflow_graph.REGISTERED:
            facts, tags = body["facts"], self._ws.catalog.tags(body["node"])
            yield (
                "model_version",
                "created",
                {
                    "name": self._model_name(body["name"]),
                    "version": self._version_of(body["node"]),
                    "source": facts["source"],
                    "run_id": facts["run_id"] or None,
                    "tags": {key: value for key, value in tags.items() if not key.startswith(mlflow_graph.OURS)},
                    "description": tags.get(mlflow_graph.DESCRIPTION),
                },
            )
        elif recorded.type == "tagged" and not body["key"].startswith(mlflow_graph.OURS):
            yield from self._tag(body)

    def _tag(self, body: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
        try:
            node = self._ws.catalog.node(body["node"])
        except NotFound:
            return
        if node.kind != mlflow_graph.REGISTERED:
            return
        told = {"name": self._model_name(node.name), "version": str(node.version), "key": body["key"]}
        if body["value"] is None:
            yield "model_version_tag", "deleted", told
        else:
            yield "model_version_tag", "set", {**told, "value": body["value"]}

    def _model_name(self, asset: str) -> str:
        return str(self._ws.catalog.asset(mlflow_graph.REGISTERED, asset).facts[mlflow_graph.FACT]["name"])

    def _version_of(self, node: str) -> str:
        return str(self._ws.catalog.node(node).version)

    # -- within

    def _all(self) -> list[Webhook]:
        found = [read_builtins(asset.facts[mlflow_graph.FACT], Webhook) for asset in self._ws.catalog.assets(KIND)]
        return [each for each in found if each.status != mlflow_graph.DELETED]

    def _find(self, given: Mapping[str, Any]) -> Webhook:
        wanted = text(given, "webhook_id")
        found = next((each for each in self._all() if each.id == wanted), None)
        if found is None:
            raise missing(f"Webhook with ID {wanted} not found.")
        return found

    def _changed(self, known: Webhook, given: Mapping[str, Any], *, required: bool) -> Webhook:
        name = text(given, "name", required=required, default=known.name)
        if not _NAME.match(name):
            raise invalid(
                f"Webhook name {name!r} is invalid. It has at most 63 letters, digits, '.', '_', '-', and starts and ends with one."
            )
        url = text(given, "url", required=required, default=known.url)
        self._check_url(url)
        events = tuple(_event(each) for each in items(given, "events")) or known.events
        if not events:
            raise invalid("Missing value for required parameter 'events': a webhook is told of at least one event")
        status = text(given, "status", required=False, default=known.status)
        if status not in _STATUSES:
            raise invalid(f"Invalid value {status!r} for parameter 'status' supplied: one of {', '.join(_STATUSES)}")
        secret = limited(text(given, "secret", required=False), _MAX_SECRET, "Webhook secret")
        said = limited(text(given, "description", required=False, default=known.description), _MAX_DESCRIPTION, "Description")
        kept = cipher_of(PrivacyKeys(self._ws).key(_KEY), known.id)(secret) if secret else known.secret
        return Webhook(known.id, name, url, events, known.created, self._ws.clock(), said, kept, status)

    def _check_url(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as cause:
            raise invalid(f"Invalid webhook URL: {url!r}") from cause
        if not host or parts.username or parts.scheme not in ("http", "https"):
            raise invalid(f"Invalid webhook URL: {url!r}. It is https://HOST/PATH, without a user's name.")
        if parts.scheme == "http" and host not in self._ws.project.webhooks.allow:
            raise invalid(f"Invalid webhook URL scheme: 'http'. It is https, unless sampan.toml has [webhooks] allow = [\"{host}\"].")


def _event(given: Mapping[str, Any]) -> tuple[str, str]:
    found = text(given, "entity").lower(), text(given, "action").lower()
    if found not in EVENTS:
        known = ", ".join(f"{entity}.{action}" for entity, action in EVENTS)
        raise invalid(f"Invalid webhook event: {found[0]}.{found[1]}. Known are {known}")
    return found
