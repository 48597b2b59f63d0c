"""Which libraries decide what a package answers: whatever else was installed at the training decides nothing where it is served."""

from __future__ import annotations

from typing import Final

# What loads a model that is served natively, by flavor.
NATIVE: Final = {
    "lightgbm": ("lightgbm", "scikit-learn"),
    "sklearn": ("scikit-learn",),
    "torch": ("torch",),
    "xgboost": ("xgboost-cpu",),
}


def answering_libraries(flavor: str, *, served_by: str, has_tables: bool) -> tuple[str, ...]:
    """Name the libraries whose versions can change an answer: of the model as it is served, and of the tables that features look up."""
    model = ("onnxruntime",) if served_by == "onnx" else (flavor, *NATIVE.get(flavor, ()))
    return ("numpy", *model, *(("polars",) if has_tables else ()))
