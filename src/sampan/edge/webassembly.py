"""A program as WebAssembly with a module of JavaScript beside it: the features of a request and their score, in a page or in Node.

The module has no dependencies and fetches nothing but the WebAssembly beside it. The feature transform is carried out by a small
interpreter of the view's ONNX graph, in doubles as ONNX does; the score by the generated C.
"""

from __future__ import annotations

import base64
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.edge.hosted import call, write_sources
from sampan.edge.source import Generated
from sampan.edge.toolchains import HEADERS, PARTS, fill, needs_library, require_tool, zig_cc
from sampan.errors import IntegrityError, Unsupported
from sampan.plugins import require

TARGET, WITH_LIBRARY = "wasm32-freestanding", "wasm32-wasi"
_FLAGS: Final = ("-Oz", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=16384")
Json = dict[str, Any]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the module says of the model."""

    model: str
    version: str
    title: str
    threshold: float | None
    fields: dict[str, Json]  # of a request: type, nullable, description, and the texts that training saw
    features: tuple[str, ...]
    outputs: tuple[str, ...]
    inputs: dict[str, tuple[Json, ...]]  # the columns of the transform's input tensors: name and kind
    ignored: tuple[str, ...] = ()  # fields of a request that no feature reads
    example: Json | None = None  # a request to begin with


def compile_wasm(generated: Generated, folder: Path) -> Path:
    """Compile generated C as `name.wasm` in a folder; return its path.

    Raises
    ------
    MissingDependency : Zig is not installed.
    StepFailed : the code does not compile.
    """
    work = folder / "c"
    work.mkdir()
    try:
        sources = [*write_sources(generated, work), fill("wrapper.c", generated.name, work / "wrapper.c")]
        library = needs_library(generated)
        flags = [
            *_FLAGS,
            f"-I{work}",
            *(["-nostartfiles", "-Wno-unused-command-line-argument", "-lm"] if library else [f"-isystem{HEADERS}"]),
        ]
        program = zig_cc(WITH_LIBRARY if library else TARGET, sources, folder / f"{generated.name}.wasm", flags=flags)
    finally:
        shutil.rmtree(work)
    program.chmod(0o644)
    return program


def write_module(about: About, transform: bytes, name: str, folder: Path) -> Path:
    """Write `name.js`; `transform` is the ONNX graph from the inputs to `features`.

    Raises
    ------
    Unsupported : the transform has an operation that the module does not carry out.
    """
    path = folder / f"{name}.js"
    words = {"@runtime@": _runtime(), "@about@": _told(about, transform), "@name@": name, "@title@": about.title}
    path.write_text(_replaced((PARTS / "module.js").read_text(encoding="utf-8"), words), encoding="utf-8")
    return path


def write_page(about: About, transform: bytes, wasm: Path, folder: Path) -> Path:
    """Write `index.html`: a form for a request and its answer, all in one file that needs no network and no server."""
    path = folder / "index.html"
    words = {
        "@runtime@": _runtime().replace("export class", "class"),
        "@about@": _told(about, transform),
        "@wasm@": base64.b64encode(wasm.read_bytes()).decode(),
        "@title@": _escaped(about.title),
        "@example@": _script_safe(msgspec.json.encode(about.example).decode()),
    }
    path.write_text(_replaced((PARTS / "page.html").read_text(encoding="utf-8"), words), encoding="utf-8")
    return path


class Answered(msgspec.Struct, frozen=True):
    """What a module answered in Node."""

    features: NDArray[np.float32]
    scores: NDArray[np.float64]  # (n, outputs)
    us: float  # for a request, on average


def ask_module(module: Path, requests: Sequence[Mapping[str, Any]]) -> Answered:
    """Let Node ask a module; it is the module that is shipped, as it is.

    Raises
    ------
    MissingDependency : Node is not installed.
    StepFailed : the module throws.
    """
    node = require_tool("node", "nodejs")
    given = msgspec.json.encode(list(requests))
    told = msgspec.json.decode(
        call([node, str(PARTS / "check.mjs"), str(module.resolve())], what="the generated module failed in Node", given=given)
    )
    return Answered(
        features=np.array([[float(v) for v in each["features"]] for each in told["answers"]], np.float32),
        scores=np.array([[float(v) for v in each["scores"]] for each in told["answers"]], np.float64),
        us=float(told["us"]),
    )


def ask_features(module: Path, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Let Node score rows of features by a module, shape (n, outputs).

    Raises
    ------
    MissingDependency : Node is not installed.
    StepFailed : the module throws.
    """
    command = [require_tool("node", "nodejs"), str(PARTS / "score.mjs"), str(module.resolve()), str(rows.shape[1])]
    found = call(command, what="the generated module failed in Node", given=np.ascontiguousarray(rows, "<f4").tobytes())
    return np.frombuffer(found, "<f4").astype(np.float64).reshape(len(rows), -1)


def _runtime() -> str:
    return (PARTS / "runtime.js").read_text(encoding="utf-8")


def _told(about: About, transform: bytes) -> str:
    return _script_safe(msgspec.json.encode({**msgspec.to_builtins(about), **read_transform(transform)}).decode())


def _script_safe(json: str) -> str:
    """Keep JSON from ending the script it stands in, or from being lines of its own."""
    return json.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def _replaced(text: str, words: Mapping[str, str]) -> str:
    """Put words in, each once: what is put in is not looked through again."""
    return re.sub("|".join(map(re.escape, words)), lambda found: words[found[0]], text)


def operations() -> set[str]:
    """Name the operations that the module carries out. Shape and Expand are among them because a request is one row."""
    table = _runtime().partition("const OPERATIONS = {")[2].partition("\n};")[0]
    return set(re.findall(r"^  (\w+): ", table, re.MULTILINE))


def read_transform(graph: bytes) -> Json:
    """Read a transform's graph into the module's form: constants by name, and nodes in their order.

    Raises
    ------
    Unsupported : it has an operation that the module does not carry out; all of them are named.
    IntegrityError : it is no ONNX graph.
    """
    onnx = require("onnx", extra="train")
    try:
        model = onnx.load_from_string(graph)
    except Exception as cause:  # protobuf's own error class is private to its implementation
        raise IntegrityError(f"the feature graph cannot be read: {cause}", hint="pack the model again") from cause
    if unknown := sorted({node.op_type for node in model.graph.node} - operations()):
        what = "cut free text into words" if "Tokenizer" in unknown else f"carry out {', '.join(unknown)}"
        raise Unsupported(f"a page does not {what}", hint="sampan model pack MODEL --target oci serves it whole")
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    nodes = [_node(onnx, node, constants) for node in model.graph.node]
    return {"constants": {name: [_plain(v) for v in array.ravel().tolist()] for name, array in constants.items()}, "nodes": nodes}


def _node(onnx: Any, node: Any, constants: Mapping[str, NDArray[Any]]) -> list[Any]:
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    told = [node.op_type, list(node.input), node.output[0]]
    if node.op_type == "Cast":
        return [*told, {"to": attributes["to"]}]
    if node.op_type == "MatMul":
        return [*told, {"columns": constants[node.input[1]].shape[1]}]
    if node.op_type == "LabelEncoder":
        keys = [key.decode() for key in attributes["keys_strings"]]
        return [
            *told,
            {"keys": keys, "values": [_plain(v) for v in attributes["values_floats"]], "default": _plain(attributes["default_float"])},
        ]
    return told


def _plain(value: Any) -> Any:
    """Write so that JSON can carry it what it has no number for."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return value
