"""Features defined once: captured as expressions, computed in batch, as of a past moment, and online, to the same bits."""

from sampan.features.encoding import Codes, Means
from sampan.features.expressions import (
    Columns,
    Expr,
    FieldSpec,
    as_of,
    col,
    concat,
    constant,
    flag,
    lookup,
    maximum,
    minimum,
    moment,
    number,
    past,
    planned,
    prediction_moment,
    text,
    where,
)
from sampan.features.fitted import FittedView
from sampan.features.moments import DAY, HOUR, MINUTE, SECOND
from sampan.features.online import OnlineView
from sampan.features.texts import Letters, Words
from sampan.features.view import Feature, FeatureOptions, Label, View, feature, features, view

__all__ = [
    "DAY",
    "HOUR",
    "MINUTE",
    "SECOND",
    "Codes",
    "Columns",
    "Expr",
    "Feature",
    "FeatureOptions",
    "FieldSpec",
    "FittedView",
    "Label",
    "Letters",
    "Means",
    "OnlineView",
    "View",
    "Words",
    "as_of",
    "col",
    "concat",
    "constant",
    "feature",
    "features",
    "flag",
    "lookup",
    "maximum",
    "minimum",
    "moment",
    "number",
    "past",
    "planned",
    "prediction_moment",
    "text",
    "view",
    "where",
]
