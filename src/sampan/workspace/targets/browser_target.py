"""The target `browser`: WebAssembly from the generated C, a module of JavaScript that computes features and score, and a page to try it.

What is built is asked the package's probe set in Node before it is handed over; the answers must be the package's.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.core.settings import read_settings
from sampan.edge.source import Generated, generate
from sampan.edge.toolchains import zig_version
from sampan.edge.trying import EXACT, Point, Variant
from sampan.edge.webassembly import About, ask_features, ask_module, compile_wasm, write_module, write_page
from sampan.errors import SampanError, Unsupported
from sampan.ports import Built, Progress, TargetOptions
from sampan.workspace.targets.edge_packages import PARITY, CarriedPackage, open_carried, request_columns
from sampan.workspace.targets.ladder import Ladder, LadderSettings, build_version

if TYPE_CHECKING:
    from sampan.features.fitted import FittedView


class BrowserSettings(LadderSettings, frozen=True, kw_only=True):
    """What a person may set of what runs in a browser."""

    name: str = ""  # of the files; by default the model's
    title: str = ""  # of the page; by default the model's name


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """A site of the ladder: WebAssembly and module, run in Node."""

    carried: CarriedPackage
    about: About
    transform: bytes
    requests: list[dict[str, Any]]

    def attempt(self, variant: Variant, folder: Path) -> tuple[Generated | None, Point]:
        """Compile a variant, and let Node ask its module the probe's requests."""
        if variant.program is None:
            return None, Point(variant=variant.name, why_not=variant.why_not)
        try:
            generated, wasm, module = self.compiled(variant, folder)
            answered = ask_module(module, self.requests)
            scores = np.concatenate([answered.scores, ask_features(module, self.carried.hard.rows)])
        except SampanError as cause:
            if variant.name == EXACT:
                raise
            return None, Point(variant=variant.name, why_not=cause.message)
        download = sum(len(gzip.compress(path.read_bytes(), 9)) for path in (wasm, module))
        limits = {"wasm": float(wasm.stat().st_size), "download": float(download), "ms": answered.us / 1000}
        far = float(np.nanmax(np.abs(answered.features - self.carried.rows), initial=0.0))
        return generated, self.carried.probe.point(variant.name, scores, limits, us=round(answered.us, 2), feature_difference=far)

    def answers(self, variant: Variant, rows: NDArray[np.float32], folder: Path) -> NDArray[np.float64]:
        """Answer other rows of features: by the module alone, without its transform."""
        *_, module = self.compiled(variant, folder)
        return ask_features(module, rows)

    def compiled(self, variant: Variant, folder: Path) -> tuple[Generated, Path, Path]:
        """Write `NAME.wasm` and `NAME.js`."""
        assert variant.program is not None
        folder.mkdir(parents=True, exist_ok=True)
        generated = generate(variant.program, msgspec.structs.replace(self.carried.schema, numbers=(), texts=()), variant.options)
        return generated, compile_wasm(generated, folder), write_module(self.about, self.transform, generated.name, folder)


class Browser:
    """Builds WebAssembly, a module and a page."""

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, package: Path, out: Path, options: TargetOptions, progress: Progress) -> Built:
        """Write `NAME.wasm`, `NAME.js` and `index.html`.

        Raises
        ------
        ParameterError : a setting, limit or base that cannot be heeded.
        BudgetExceeded : too many bytes (`wasm`, `download` with gzip), or too many `ms` for a request in Node on this machine.
        GateRejected : the form that was taken may not take the model's place.
        Unsupported : no code is generated for the model or its features, or it answers otherwise.
        MissingDependency : Zig or Node is not installed.
        """
        asked = read_settings(options.settings, BrowserSettings)
        options.refuse_base("a page has no base")
        carried = open_carried(package, asked.name)
        fitted, transform = _transform(package, carried)
        requests = request_columns(carried)
        page = Page(carried, _about(carried, fitted, asked.title, requests), transform, requests)
        taken = Ladder(page, carried, asked, PARITY, options.forms).climb(options.budget, progress, "Build for the browser")
        if taken.form:
            return build_version(self, taken, out, options, progress)
        assert taken.generated is not None
        wasm = compile_wasm(taken.generated, out)
        write_module(page.about, transform, taken.generated.name, out)
        write_page(page.about, transform, wasm, out)
        facts = {
            **taken.point.facts(),
            "n_rows": len(carried.rows),
            "n_hard_rows": len(carried.hard.rows),
            "compiler": f"Zig {zig_version()}",
        }
        warnings = taken.warnings(asked=bool(asked.variant))
        return Built.of(out, facts=facts, warnings=warnings, next=("xdg-open {out}/index.html",))


def _transform(package: Path, carried: CarriedPackage) -> tuple[FittedView, bytes]:
    """Return the package's features, and their graph from the request to the model's matrix."""
    from sampan.features.fitted import FittedView
    from sampan.features.graph import feature_graph
    from sampan.workspace.models.predictors import FEATURES

    fitted = FittedView.from_json((package / FEATURES).read_bytes())
    if carried.manifest.inputs is None:
        raise Unsupported(f"{carried.manifest.model} was packed before packages told their graph's inputs", hint="pack the model again")
    return fitted, feature_graph(fitted)


def _about(carried: CarriedPackage, fitted: FittedView, title: str, requests: Sequence[Mapping[str, Any]]) -> About:
    manifest = carried.manifest
    assert manifest.inputs is not None
    tensors = {"num": manifest.inputs.num, "cat": manifest.inputs.cat}
    known = _known_texts(fitted)
    fields: dict[str, dict[str, Any]] = {}
    for column in (*tensors["num"], *tensors["cat"]):
        spec: Mapping[str, Any] = manifest.request_schema.get(column.name, {}) if column.source == "request" else {}
        fields[column.name] = {
            "type": column.kind,
            "nullable": bool(spec.get("nullable", True)),
            "description": str(spec.get("description", "")),
            "stored": column.source == "store",
            **({"choices": known[column.name]} if column.name in known else {}),
        }
    order = [*manifest.request_schema, *fields]
    return About(
        model=manifest.model,
        version=manifest.version,
        title=title or manifest.name,
        threshold=manifest.threshold if manifest.task.kind == "binary" else None,
        fields=dict(sorted(fields.items(), key=lambda each: order.index(each[0]))),
        ignored=tuple(name for name in manifest.request_schema if name not in fields),
        features=tuple(manifest.feature_names),
        outputs=manifest.task.classes if manifest.task.kind == "multiclass" else (manifest.output,),
        example=_usual(fields, requests),
        inputs={name: tuple({"name": c.name, "kind": c.kind} for c in columns) for name, columns in tensors.items() if columns},
    )


def _known_texts(fitted: FittedView) -> dict[str, list[str]]:
    """Return the texts that training saw, for fields that a feature encodes as they are."""
    from sampan.features.nodes import Column

    found: dict[str, list[str]] = {}
    for item in fitted.view.features:
        encoder = fitted.encoders.get(item.name)
        if encoder is not None and isinstance(item.value, Column):
            found[item.value.name] = sorted(map(str, encoder.values))
    return found


def _usual(fields: Mapping[str, Mapping[str, Any]], requests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make a request that nobody sent, to begin with: medians, the most frequent of the texts training saw, the newest moment."""
    found: dict[str, Any] = {}
    for name, spec in fields.items():
        values = [each[name] for each in requests if each[name] is not None]
        if not values:
            continue
        if spec["type"] == "number":
            middle = float(f"{np.median(values):.4g}")
            found[name] = float(int(middle)) if all(float(each).is_integer() for each in values) else middle
        elif spec["type"] == "moment":
            found[name] = max(values)
        elif spec["type"] == "flag" or values[0] in spec.get("choices", ()):
            found[name] = Counter(values).most_common(1)[0][0]
    return found
