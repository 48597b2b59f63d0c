"""Keep the models a program fitted, at its end, in forms that run no code when they are read: text, JSON, ONNX, plain arrays."""

from __future__ import annotations

import importlib
import os
import pathlib
from typing import Any

from .records import Report, Silence

_TOLERANCE = 1e-4
_SHARE_OFF = 0.01


def keep(report: Report, name: str, model: Any, rows: Any) -> None:
    """Write one model; say why where none of the forms takes it."""
    folder = os.path.join(report.folder, "models")
    with Silence():
        os.makedirs(folder, exist_ok=True)
        try:
            written, note = _write(model, rows, os.path.join(folder, name))
        except Exception as error:  # noqa: BLE001  # converters raise anything, and the program is done
            report.write(
                "model",
                name=name,
                path="",
                note=f"not kept: {str(error).strip().splitlines()[0][:200] if str(error) else type(error).__name__}",
            )
        else:
            report.write("model", name=name, path=written, note=note)


def _write(model: Any, rows: Any, stem: str) -> tuple[str, str]:
    if hasattr(model, "state_dict"):
        return _write_torch(model, stem)
    booster = getattr(model, "booster_", model)
    if hasattr(booster, "model_to_string"):
        with open(f"{stem}.txt", "w") as stream:
            stream.write(booster.model_to_string())
        return f"{stem}.txt", "LightGBM text"
    if hasattr(model, "save_model") and type(model).__module__.startswith("xgboost"):
        model.save_model(f"{stem}.json")
        return f"{stem}.json", "XGBoost JSON"
    try:
        written, note, is_right = _write_onnx(model, rows, stem)
    except Exception as error:  # noqa: BLE001  # converters raise anything
        return _write_state(model, stem, reason=str(error).strip().splitlines()[0][:200] if str(error) else type(error).__name__)
    if is_right:
        return written, note
    try:
        return _write_state(model, stem, reason=note)
    except Exception:  # noqa: BLE001  # a wrong graph that says so is more than nothing
        return written, f"{note}: do not use it"


def _write_state(model: Any, stem: str, *, reason: str) -> tuple[str, str]:
    """Write a scikit-learn estimator's attributes, where the environment has what reads them: no graph answers as it does."""
    write_state = importlib.import_module("sampan.flavors.sklearn_state").write_state
    os.makedirs(stem, exist_ok=True)
    write_state(model, pathlib.Path(stem))
    return stem, f"scikit-learn's state, bit for bit; {reason}"


def _write_torch(model: Any, stem: str) -> tuple[str, str]:
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    try:
        save_file = importlib.import_module("safetensors.torch").save_file
    except ImportError:
        import numpy as np

        np.savez(f"{stem}.npz", **{key: value.numpy() for key, value in state.items()})
        return f"{stem}.npz", "weights as NumPy arrays"
    save_file(state, f"{stem}.safetensors")
    return f"{stem}.safetensors", "weights"


def _write_onnx(model: Any, rows: Any, stem: str) -> tuple[str, str, bool]:
    """Convert with skl2onnx; say on how many of the rows it was fitted on the graph answers otherwise, and whether those are few."""
    import numpy as np
    import onnxruntime
    import skl2onnx

    given = rows.astype(np.float32) if isinstance(rows, np.ndarray) else rows
    if given is None:
        raise ValueError("the rows it was fitted on are not known")
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    graph = skl2onnx.to_onnx(model, given[:1], options=options).SerializeToString()
    with open(f"{stem}.onnx", "wb") as stream:
        stream.write(graph)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    answers = session.run(None, _feed(session, given))
    expected = model.predict(rows)
    if answers[0].dtype.kind == "f":
        off = ~np.isclose(np.ravel(answers[0]), np.ravel(expected), rtol=_TOLERANCE, atol=_TOLERANCE)
    else:
        off = np.ravel(answers[0]).astype(str) != np.ravel(expected).astype(str)
    share = float(off.mean())
    return f"{stem}.onnx", f"ONNX, {share:.1%} of {len(off)} rows answered otherwise", share <= _SHARE_OFF


def _feed(session: Any, rows: Any) -> dict[str, Any]:
    import numpy as np

    names = [each.name for each in session.get_inputs()]
    if isinstance(rows, np.ndarray):
        return {names[0]: rows}
    columns = {column: rows[column].to_numpy().reshape(-1, 1) for column in rows.columns}
    return {name: values.astype(np.float32) if values.dtype.kind == "f" else values for name, values in columns.items() if name in names}
