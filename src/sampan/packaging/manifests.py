"""Manifests for a cluster, with resources that were measured: a Deployment with its Service for Kubernetes, an InferenceService for KServe.

The image is one that `--target oci` wrote and a registry holds. Sources: the Kubernetes API reference (apps/v1, v1, policy/v1) and KServe's
`serving.kserve.io/v1beta1`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from sampan.core.budgets import hold_to
from sampan.core.settings import read_settings
from sampan.errors import ParameterError
from sampan.packaging.images import KEYS, PORT
from sampan.packaging.measuring import Taken, measure_serving
from sampan.packaging.packages import PackageFacts, read_facts
from sampan.ports import Built, Progress, TargetOptions

GRACE_S: Final = 30  # the server finishes within 20 s of being told to stop
_STEP_MIB: Final = 64
_STEP_MILLICPU: Final = 50
_USER: Final = 65532
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may set of what runs in a cluster."""

    image: str = ""  # as the cluster's machines pull it; by default the name and version that the image has in its layout
    replicas: int = 2
    rate: float = 50.0  # requests a second that one replica has processor time for
    namespace: str = ""
    keys: str = ""  # the Secret whose entries are keys of callers; by default named for the model


class Kubernetes:
    """Writes a Deployment, a Service and a PodDisruptionBudget."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Write `kubernetes.yaml`; memory and processor are asked for as serving the package took them on this machine.

        Raises
        ------
        ParameterError : a setting cannot be heeded.
        BudgetExceeded : serving takes more than it may: `rss_mb`, `start_s`, `p99_ms`.
        """
        plan = _plan(package, options, progress)
        parts = [_deployment(plan), _service(plan)]
        if plan.asked.replicas > 1:
            parts.append(_disruption_budget(plan))
        return _write(plan, parts, out / "kubernetes.yaml")


class KServe:
    """Writes an InferenceService."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Write `inference-service.yaml`, as `Kubernetes.build` does."""
        plan = _plan(package, options, progress)
        return _write(plan, [_inference_service(plan)], out / "inference-service.yaml")


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written."""

    facts: PackageFacts
    asked: ClusterSettings
    taken: Taken
    name: str
    image: str
    secret: str

    @property
    def labels(self) -> dict[str, str]:
        """Name what belongs together."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/managed-by": "sampan"}

    def metadata(self) -> dict[str, Any]:
        """Name one part."""
        told = {"dev.sampan/model": self.facts.model}
        where = {"namespace": self.asked.namespace} if self.asked.namespace else {}
        return {"name": self.name, **where, "labels": {**self.labels, "app.kubernetes.io/version": self.facts.version}, "annotations": told}


def _plan(package: Path, options: TargetOptions, progress: Progress) -> _Plan:
    asked = read_settings(options.settings, ClusterSettings)
    options.refuse_base("manifests are built on no base", hint="--target oci builds the image")
    facts = read_facts(package)
    name = re.sub(r"[^a-z0-9]+", "-", facts.name.lower()).strip("-")[:63]
    faults = [
        *([f"replicas={asked.replicas} is not 1 or more"] if asked.replicas < 1 else []),
        *([f"rate={asked.rate:g} is not above 0"] if asked.rate <= 0 else []),
        *(
            f"{word}={value} is no name in a cluster"
            for word, value in (("namespace", asked.namespace), ("keys", asked.keys))
            if value and not _NAME.match(value)
        ),
    ]
    if faults:
        raise ParameterError("; ".join(faults), parameter="setting")
    with progress.stage("Serve the package to measure what it takes"):
        taken = measure_serving(package)
    hold_to(options.budget, {"rss_mb": taken.rss_mb, "start_s": taken.start_s, "p99_ms": taken.p99_ms})
    image = asked.image or f"{facts.name}:{facts.version}"
    return _Plan(facts=facts, asked=asked, taken=taken, name=name, image=image, secret=asked.keys or f"{name}-keys")


def _write(plan: _Plan, parts: Iterable[dict[str, Any]], path: Path) -> Built:
    path.write_text(yaml.safe_dump_all(parts, sort_keys=False, allow_unicode=True), encoding="utf-8")
    warnings = []
    if "@sha256:" not in plan.image:
        warnings.append(f"{plan.image} may come to mean another image; --setting image=REGISTRY/NAME@sha256:… cannot")
    return Built.of(
        path.parent,
        facts={name: round(value, 3) for name, value in msgspec.structs.asdict(plan.taken).items()},
        warnings=tuple(warnings),
        next=(
            f"kubectl create secret generic {plan.secret} --from-literal=CALLER=KEY",
            f"kubectl apply -f {{out}}/{path.name}",
        ),
    )


def _container(plan: _Plan, name: str) -> dict[str, Any]:
    """Describe the one container: what it may take, how to ask whether it is well, and that it may change nothing."""
    mib = _rounded(plan.taken.rss_mb * 1e6 / 2**20 * 1.25, _STEP_MIB)
    millicpu = _rounded(plan.taken.cpu_ms * plan.asked.rate, _STEP_MILLICPU)
    return {
        "name": name,
        "image": plan.image,
        "ports": [{"name": "http1", "containerPort": PORT, "protocol": "TCP"}],
        # Memory beyond what was measured is for larger requests; the processor has no limit, which would only make answers wait.
        "resources": {"requests": {"cpu": f"{millicpu}m", "memory": f"{mib}Mi"}, "limits": {"memory": f"{2 * mib}Mi"}},
        "startupProbe": {**_probe("ready"), "periodSeconds": 1, "failureThreshold": max(30, math.ceil(plan.taken.start_s * 20))},
        "readinessProbe": {**_probe("ready"), "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**_probe("live"), "periodSeconds": 10, "failureThreshold": 3},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108  # within the container
            {"name": "keys", "mountPath": KEYS, "readOnly": True},
        ],
    }


def _pod(plan: _Plan, container: dict[str, Any]) -> dict[str, Any]:
    return {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "containers": [container],
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "256Mi"}},
            {"name": "keys", "secret": {"secretName": plan.secret}},
        ],
    }


def _deployment(plan: _Plan) -> dict[str, Any]:
    container = _container(plan, "model")
    # The endpoints learn of a pod's end some moments after the pod does; until then requests still come.
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": plan.metadata(),
        "spec": {
            "replicas": plan.asked.replicas,
            "selector": {"matchLabels": plan.labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": plan.labels}, "spec": _pod(plan, container)},
        },
    }


def _service(plan: _Plan) -> dict[str, Any]:
    ports = [{"name": "http1", "port": 80, "targetPort": "http1", "protocol": "TCP"}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": plan.metadata(), "spec": {"selector": plan.labels, "ports": ports}}


def _disruption_budget(plan: _Plan) -> dict[str, Any]:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": plan.labels}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": plan.metadata(), "spec": spec}


def _inference_service(plan: _Plan) -> dict[str, Any]:
    pod = _pod(plan, _container(plan, "kserve-container"))
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": plan.metadata(),
        "spec": {"predictor": {"minReplicas": plan.asked.replicas, **pod}},
    }


def _probe(word: str) -> dict[str, Any]:
    return {"httpGet": {"path": f"/v2/health/{word}", "port": PORT}, "timeoutSeconds": 2}


def _rounded(amount: float, step: int) -> int:
    """Round up to a step, so that two measurements of one package give one manifest."""
    return max(step, math.ceil(amount / step) * step)
