"""Images of packages: read by the tools that registries' users have, and run."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from sampan.errors import BudgetExceeded, ParameterError
from sampan.packaging.bases import add_base
from sampan.packaging.cache import Cache
from sampan.packaging.images import Image
from sampan.packaging.layout import Layout
from sampan.ports import Built, TargetOptions
from sampan.workspace.workspace import SilentProgress

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from running_images import running, tool, unpacked  # needs the line above

pytestmark = pytest.mark.slow

ORDER = {"order": 5, "at": 1_356_998_400_000, "shop": "north", "x1": 0.1, "x2": 1.0}


class Made(NamedTuple):
    built: Built
    folder: Path
    options: TargetOptions


def build(package: Path, out: Path, options: TargetOptions) -> Built:
    out.mkdir()
    return Image("oci").build(package, out, options, SilentProgress())


@pytest.fixture(scope="module")
def image(package: Path, debian: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("image")
    options = TargetOptions(base=debian, cache=folder / "cache", settings={"compression": "1"})
    return Made(build(package, folder / "out", options), folder / "out", options)


def manifest_of(layout: Path) -> dict[str, Any]:
    index = json.loads((layout / "index.json").read_bytes())
    return dict(json.loads((layout / "blobs" / "sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")).read_bytes()))


def test_skopeo_reads_an_image_and_finds_what_it_is(image: Made) -> None:
    told = json.loads(tool("skopeo", "inspect", f"oci:{image.folder}:v1"))
    config = json.loads(tool("skopeo", "inspect", "--config", f"oci:{image.folder}:v1"))["config"]

    assert image.built.facts["image"] == told["Digest"]
    assert ("amd64" if os.uname().machine == "x86_64" else "arm64", "linux", 4) == (told["Architecture"], told["Os"], len(told["Layers"]))
    assert ("orders-late", "orders-late@v1") == (told["Labels"]["org.opencontainers.image.title"], told["Labels"]["dev.sampan.model"])
    assert ("65532:65532", ["8080/tcp"]) == (config["User"], list(config["ExposedPorts"]))


def test_the_image_answers_a_request_where_nothing_but_it_is(image: Made, tmp_path: Path) -> None:
    with running(unpacked(image.folder, tmp_path / "bundle")) as address:
        request = urllib.request.Request(f"{address}/predict", data=json.dumps(ORDER).encode())
        with urllib.request.urlopen(request, timeout=30) as reply:
            answer = json.load(reply)

    assert ("orders-late@v1", True) == (answer["version"], answer["decision"])
    assert 0.2535060048 == pytest.approx(answer["score"], abs=1e-6)


def test_a_change_of_the_package_makes_one_layer_anew_and_no_change_makes_the_same_image(
    image: Made, package: Path, tmp_path: Path
) -> None:
    changed = shutil.copytree(package, tmp_path / "changed")
    (changed / "card.md").write_text("# orders-late@v1\n")

    again = build(package, tmp_path / "again", image.options)
    other = build(changed, tmp_path / "other", image.options)

    assert image.built.files == again.files
    before, after = manifest_of(image.folder)["layers"], manifest_of(tmp_path / "other")["layers"]
    assert [True, True, True, False] == [a == b for a, b in zip(before, after, strict=True)]
    assert image.built.facts["image"] != other.facts["image"]


def test_an_image_can_be_built_on_an_image_and_keeps_what_that_one_says(image: Made, package: Path, debian: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "base")
    (tmp_path / "base").mkdir()
    below = add_base(debian, layout, Cache(image.options.cache), compression=1).layers
    said = {"Env": ["LANG=C.UTF-8", "OMP_NUM_THREADS=8"], "Labels": {"made.by": "us"}}
    config = {"architecture": "amd64", "os": "linux", "config": said, "rootfs": {"type": "layers", "diff_ids": [below[0].diff_id]}}
    layout.add_image(config, below, name="12", annotations={})

    built = build(package, tmp_path / "out", msgspec.structs.replace(image.options, base=tmp_path / "base"))

    told = json.loads(tool("skopeo", "inspect", f"oci:{tmp_path / 'out'}"))
    assert [below[0].digest, built.facts["image"]] == [told["Layers"][0], told["Digest"]]
    assert {"LANG=C.UTF-8", "OMP_NUM_THREADS=1"} <= set(told["Env"])
    assert "us" == told["Labels"]["made.by"]


def test_an_image_over_its_budget_is_refused_with_its_size(image: Made, package: Path, tmp_path: Path) -> None:
    with pytest.raises(BudgetExceeded, match=r"mb is .*, at most 50") as refused:
        build(
            package,
            tmp_path / "out",
            TargetOptions(base=image.options.base, cache=image.options.cache, budget={"mb": 50.0}, settings={"compression": "1"}),
        )

    assert image.built.facts["mb"] == refused.value.measured["mb"]


def test_what_cannot_be_heeded_is_refused(package: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="needs a base"):
        build(package, tmp_path / "a", TargetOptions())
    with pytest.raises(ParameterError, match="there is no"):
        build(package, tmp_path / "b", TargetOptions(base=tmp_path / "none"))
    with pytest.raises(ParameterError, match="no setting 'wheel', perhaps wheels; compression=best"):
        build(package, tmp_path / "c", TargetOptions(base=tmp_path, settings={"wheel": "x", "compression": "best"}))
