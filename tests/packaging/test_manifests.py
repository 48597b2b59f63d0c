"""Manifests for clusters, read by Kubernetes' own schemas and by KServe's SDK."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.errors import BudgetExceeded, ParameterError
from sampan.packaging.manifests import KServe, Kubernetes
from sampan.ports import TargetOptions
from sampan.workspace.workspace import SilentProgress

PEERS = Path(__file__).resolve().parents[2] / ".peers"
PINNED = "registry.example/orders-late@sha256:" + "0" * 64
# Reads manifests into the classes of KServe's SDK, and of Kubernetes' client within, and writes them again. A field that a class does not
# have, or that is of another kind, is refused.
_READ = """
import json, sys
import kserve.models, kubernetes.client as cluster

def read(data, kind):
    if kind.startswith("list["):
        return [read(each, kind[5:-1]) for each in data]
    if (ours := getattr(kserve.models, kind, None)) is not None:
        names = {outside: inside for inside, outside in ours.attribute_map.items()}
        ours(**{names[key]: read(value, ours.openapi_types[names[key]]) for key, value in data.items()})
        return data
    if (theirs := getattr(cluster, kind, None)) is not None:
        again = json.loads(theirs.model_validate(data).model_dump_json(by_alias=True, exclude_none=True))
        assert again == data, (kind, again, data)
        return data
    assert type(data).__name__ == kind, (data, kind)
    return data

def outcome(data):
    try:
        return read(data, "V1beta1InferenceService")
    except Exception as fault:
        return repr(fault)

json.dump([outcome(each) for each in json.load(sys.stdin)], sys.stdout)
"""


def peer(name: str) -> Path:
    path = PEERS / name / "bin" / "python"
    assert path.exists(), f"there is no {path}: run make peers"
    return path


def parts(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.mark.slow
def test_kubernetes_takes_the_manifest_and_asks_for_the_memory_that_was_measured(package: Path, tmp_path: Path) -> None:
    built = Kubernetes("kubernetes").build(
        package, tmp_path, TargetOptions(settings={"image": PINNED, "namespace": "shop"}), SilentProgress()
    )

    check = [peer("kubernetes").with_name("kubernetes-validate"), "--strict", "-k", "1.35", tmp_path / "kubernetes.yaml"]
    ran = subprocess.run(check, capture_output=True, text=True)
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    deployment, service, disruption = parts(tmp_path / "kubernetes.yaml")
    assert ("Deployment", "Service", "PodDisruptionBudget") == (deployment["kind"], service["kind"], disruption["kind"])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    asked_mib = int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
    rss_mb = built.facts["rss_mb"]
    assert isinstance(rss_mb, float)
    assert rss_mb * 1.25e6 <= asked_mib * 2**20 < rss_mb * 1.25e6 + 64 * 2**20
    assert () == built.warnings


@pytest.mark.slow
def test_a_wrong_manifest_is_noticed_by_what_checks_ours(tmp_path: Path) -> None:
    wrong = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": "two"}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))

    ran = subprocess.run(
        [peer("kubernetes").with_name("kubernetes-validate"), "--strict", "-k", "1.35", tmp_path / "wrong.yaml"], capture_output=True
    )

    assert 0 != ran.returncode


@pytest.mark.slow
def test_kserve_reads_the_inference_service_and_loses_nothing_of_it(package: Path, tmp_path: Path) -> None:
    KServe("kserve").build(package, tmp_path, TargetOptions(settings={"image": PINNED, "replicas": "1"}), SilentProgress())

    (ours,) = parts(tmp_path / "inference-service.yaml")
    wrong = json.loads(json.dumps(ours).replace("minReplicas", "replicas"))
    ran = subprocess.run([peer("inference"), "-W", "ignore", "-c", _READ], input=json.dumps([ours, wrong]), capture_output=True, text=True)
    assert 0 == ran.returncode, ran.stderr
    assert [ours, "KeyError('replicas')"] == json.loads(ran.stdout)


@pytest.mark.slow
def test_an_image_that_is_not_pinned_is_warned_of_and_a_budget_is_held(package: Path, tmp_path: Path) -> None:
    built = Kubernetes("kubernetes").build(package, tmp_path, TargetOptions(settings={"replicas": "1"}), SilentProgress())

    assert ("orders-late:v1 may come to mean another image; --setting image=REGISTRY/NAME@sha256:… cannot",) == built.warnings
    assert ["Deployment", "Service"] == [part["kind"] for part in parts(tmp_path / "kubernetes.yaml")]
    with pytest.raises(BudgetExceeded, match=r"rss_mb is [\d.]+, at most 10"):
        Kubernetes("kubernetes").build(package, tmp_path, TargetOptions(budget={"rss_mb": 10.0}), SilentProgress())


def test_all_settings_that_a_cluster_would_refuse_are_named(package: Path, tmp_path: Path) -> None:
    settings = {"replicas": "0", "rate": "-1", "namespace": "Shop!", "keys": "my_keys"}

    with pytest.raises(ParameterError) as refused:
        Kubernetes("kubernetes").build(package, tmp_path, TargetOptions(settings=settings), SilentProgress())

    said = (
        "replicas=0 is not 1 or more; rate=-1 is not above 0; namespace=Shop! is no name in a cluster; keys=my_keys is no name in a cluster"
    )
    assert said == refused.value.message
    with pytest.raises(ParameterError, match="built on no base"):
        KServe("kserve").build(package, tmp_path, TargetOptions(base=tmp_path), SilentProgress())
