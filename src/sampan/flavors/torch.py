"""torch modules that answer with probabilities or a number, kept as weights in safetensors' format and the ONNX graph that answers alike.

A module's code is no part of a model here, so the graph is what is loaded again; the weights are for people who go on training.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from sampan.errors import Unsupported
from sampan.flavors.onnx_graph import ALL, INPUT, OnnxScorer, with_one_score
from sampan.plugins import require

GRAPH, WEIGHTS = "model.onnx", "weights.safetensors"
OPSET: Final = 18
_TYPES: Final = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}


class Torch:
    """A `torch.nn.Module` whose answer to (n, k) float32 has shape (n,), (n, 1), (n, 2) with the positive class last, or (n, m)."""

    name = "torch"

    def matches(self, model: object) -> bool:
        """Say whether the model is a module; torch is not imported to find out."""
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(model, torch.nn.Module)

    def save(self, model: object, folder: Path) -> None:
        """Write the weights and the graph. Raises Unsupported where torch cannot export the module."""
        module: Any = model
        arrays = {name: _array(value) for name, value in module.state_dict().items()}
        (folder / WEIGHTS).write_bytes(safetensors({name: each for name, each in arrays.items() if each is not None}))
        (folder / GRAPH).write_bytes(self.to_onnx(model, _width(module)))

    def load(self, folder: Path) -> object:
        """Read the graph."""
        return OnnxScorer((folder / GRAPH).read_bytes())

    def predict(self, model: object, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of the positive class, of each of m classes, or the number; in evaluation mode, on the module's device."""
        if isinstance(model, OnnxScorer):
            return model(features)
        torch = require("torch", extra="torch")
        module: Any = model
        was_training = module.training
        module.eval()
        try:
            with torch.no_grad():
                given = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32)).to(_device(module))
                answers = np.asarray(module(given).detach().cpu().numpy(), dtype=np.float64)
        finally:
            module.train(was_training)
        return answers[:, -1] if answers.ndim == 2 and answers.shape[1] <= 2 else answers

    def to_onnx(self, model: object, n_features: int) -> bytes:
        """Export with torch's own exporter."""
        torch = require("torch", extra="torch")
        require("onnxscript", extra="torch")
        module: Any = model
        was_training = module.training
        module.eval()
        try:
            given = torch.zeros((2, n_features), dtype=torch.float32, device=_device(module))
            width = _answer_width(module, given)
            with _quiet():
                exported = torch.onnx.export(
                    _Matrix.of(torch, module),
                    (given,),
                    input_names=[INPUT],
                    dynamic_shapes=({0: torch.export.Dim("rows")},),
                    opset_version=OPSET,
                    dynamo=True,
                    verbose=False,
                )
            buffer = io.BytesIO()
            exported.save(buffer)
        except Exception as cause:  # the exporter raises anything
            reason = str(cause).strip().split("\n", 1)[0][:200]
            raise Unsupported(f"{type(module).__name__} cannot be exported to ONNX: {reason}", hint="use torch.nn's own parts") from cause
        finally:
            module.train(was_training)
        return with_one_score(buffer.getvalue(), column=width - 1 if width <= 2 else ALL)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own remarks from the person who trains; whether the graph is right is measured by us."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


class _Matrix:
    """Gives a module's answer two dimensions, whatever it had."""

    @staticmethod
    def of(torch: Any, module: Any) -> Any:
        class Matrix(torch.nn.Module):  # type: ignore[misc]  # torch is no import of this file
            def __init__(self) -> None:
                super().__init__()
                self.module = module

            def forward(self, features: Any) -> Any:
                answer = self.module(features)
                return answer if answer.ndim == 2 else answer.reshape(-1, 1)

        return Matrix().eval()


def safetensors(arrays: dict[str, NDArray[Any]]) -> bytes:
    """Write arrays in the format of the safetensors library: a length, a JSON header, the bytes. Names in order.

    References
    ----------
    https://github.com/huggingface/safetensors, "Format"
    """
    header: dict[str, Any] = {}
    parts, at = [], 0
    for name in sorted(arrays):
        data = np.ascontiguousarray(arrays[name]).tobytes()
        header[name] = {"dtype": _TYPES[arrays[name].dtype.name], "shape": list(arrays[name].shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    told = msgspec.json.encode(header)
    told += b" " * (-len(told) % 8)
    return len(told).to_bytes(8, "little") + told + b"".join(parts)


def _array(value: Any) -> NDArray[Any] | None:
    try:
        found = value.detach().cpu().contiguous().numpy()
    except (AttributeError, TypeError):  # extra state that is no tensor, bfloat16
        return None
    return np.asarray(found) if found.dtype.name in _TYPES else None


def _device(module: Any) -> Any:
    return next((parameter.device for parameter in module.parameters()), "cpu")


def _width(module: Any) -> int:
    """Find how many features a module takes, by its first layer that says so."""
    for each in module.modules():
        for word in ("in_features", "input_size", "num_features"):
            if isinstance(found := getattr(each, word, None), int):
                return found
    raise Unsupported(f"{type(module).__name__} does not say how many features it takes", hint="begin it with a torch.nn.Linear")


def _answer_width(module: Any, given: Any) -> int:
    answer = module(given)
    width = 1 if answer.ndim == 1 else int(answer.shape[1]) if answer.ndim == 2 else 0
    if not width:
        raise ValueError(f"it answers with shape {tuple(answer.shape)}, neither one number for each row nor one for each class")
    return width
