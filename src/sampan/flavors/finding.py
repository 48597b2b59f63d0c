"""Which flavor is responsible for a fitted model."""

from __future__ import annotations

from sampan import plugins
from sampan.errors import Unsupported
from sampan.ports import Flavor


def find_flavor(model: object) -> Flavor:
    """Return the flavor that is responsible for a fitted model.

    Raises
    ------
    Unsupported : no flavor knows it.
    """
    for name in plugins.names("sampan.flavors"):
        flavor: Flavor = plugins.find("sampan.flavors", name)()
        if flavor.matches(model):
            return flavor
    raise Unsupported(
        f"no flavor knows a {type(model).__module__}.{type(model).__qualname__}",
        hint="return an estimator of scikit-learn's protocol (a classifier has predict_proba), LightGBM, XGBoost or torch, or a plug-in",
    )
