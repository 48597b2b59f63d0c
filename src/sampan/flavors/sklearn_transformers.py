"""The nodes of scikit-learn's transformers: scaling, imputing, encoding, expanding, projecting, and the ways steps are put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from sampan.errors import Unsupported
from sampan.flavors.sklearn_graph import Frame, knows, transform
from sampan.table.graph_writer import BOOL, DOUBLE, MISSING, STRING, Block, joined

_FUNCTIONS: Final = {
    "sqrt": "Sqrt",
    "abs": "Abs",
    "absolute": "Abs",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "sin": "Sin",
    "cos": "Cos",
}


# -- how steps are put together -----------------------------------------------------------------------------------------------------


@knows("transform", "Pipeline")
def _pipeline(step: Any, frame: Frame) -> Frame:
    for _, each in step.steps:
        frame = transform(each, frame)
    return frame


@knows("transform", "FeatureUnion")
def _union(step: Any, frame: Frame) -> Frame:
    weights = step.transformer_weights or {}
    parts = [(name, transform(each, frame)) for name, each in step.transformer_list if each not in (None, "drop")]
    weighted = [part if name not in weights else Frame((part.numbers * weights[name],)) for name, part in parts]
    return frame.made(*(block for part in weighted for block in part.blocks))


@knows("transform", "ColumnTransformer")
def _column_transformer(step: Any, frame: Frame) -> Frame:
    weights = step.transformer_weights or {}
    blocks: list[Block] = []
    for name, each, columns in step.transformers_:
        places = frame.places(columns)
        if (isinstance(each, str) and each == "drop") or not places:
            continue
        part = transform(each, frame.take(places))
        blocks += [part.numbers * weights[name]] if name in weights else part.blocks
    return frame.made(*blocks)


@knows("transform", "GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV")
def _searched(step: Any, frame: Frame) -> Frame:
    return transform(step.best_estimator_, frame)


@knows("transform", "FrozenEstimator")
def _frozen(step: Any, frame: Frame) -> Frame:
    return transform(step.estimator, frame)


@knows("transform", "FunctionTransformer")
def _function(step: Any, frame: Frame) -> Frame:
    if step.func is None or _is_check(step.func):
        return frame
    x = frame.numbers
    name = getattr(step.func, "__name__", "")
    if getattr(np, name, None) is not step.func or step.kw_args:
        raise Unsupported(f"FunctionTransformer({name or 'func'}) is code, not data", hint="it is served natively, slower")
    if name == "log1p":
        return frame.made(_log1p(x))
    if name == "square":
        return frame.made(x * x)
    if name not in _FUNCTIONS:
        raise Unsupported(f"FunctionTransformer({name}) has no counterpart in ONNX", hint="it is served natively, slower")
    return frame.made(x.apply(_FUNCTIONS[name]))


def _is_check(function: Any) -> bool:
    """Say whether a function looks at rows and changes nothing, as in scikit-learn's own preprocessing."""
    return getattr(getattr(function, "func", None), "__name__", "") == "check_array"


def _log1p(x: Block) -> Block:
    """Write log(1 + x) so that small x keep their digits: log(u) * x / (u - 1) for u = 1 + x (W. Kahan)."""
    u = x + 1.0
    near = u - 1.0
    is_tiny = near.test("Equal", 0.0)
    return (u.apply("Log") * x / near.where(is_tiny, 1.0)).where(is_tiny, x)


# -- scaling ------------------------------------------------------------------------------------------------------------------------


@knows("transform", "StandardScaler")
def _standard(step: Any, frame: Frame) -> Frame:
    x = frame.numbers
    kind = np.float32 if frame.is_single else np.float64  # it rounds what it learned to the type of the rows
    x = frame.rounded(x - step.mean_.astype(kind)) if step.with_mean else x
    return frame.made(frame.rounded(x / step.scale_.astype(kind)) if step.with_std else x)


@knows("transform", "RobustScaler")
def _robust(step: Any, frame: Frame) -> Frame:
    x = frame.numbers
    x = frame.rounded(x - step.center_) if step.with_centering else x
    return frame.made(frame.rounded(x / step.scale_) if step.with_scaling else x)


@knows("transform", "MinMaxScaler")
def _min_max(step: Any, frame: Frame) -> Frame:
    x = frame.rounded(frame.rounded(frame.numbers * step.scale_) + step.min_)
    if step.clip:
        low, high = step.feature_range
        x = x.where(x.test("Less", low), low)
        x = x.where(x.test("Greater", high), high)
    return frame.made(x)


@knows("transform", "MaxAbsScaler")
def _max_abs(step: Any, frame: Frame) -> Frame:
    return frame.made(frame.rounded(frame.numbers / step.scale_))


@knows("transform", "Normalizer")
def _normalizer(step: Any, frame: Frame) -> Frame:
    x = frame.numbers
    norm = {
        "l1": lambda: x.apply("Abs").reduce("ReduceSum"),
        "l2": lambda: (x * x).reduce("ReduceSum").apply("Sqrt"),
        "max": lambda: x.apply("Abs").reduce("ReduceMax"),
    }[step.norm]()
    return frame.made(x / norm.where(norm.test("Equal", 0.0), 1.0))


@knows("transform", "Binarizer")
def _binarizer(step: Any, frame: Frame) -> Frame:
    return frame.made(frame.numbers.test("Greater", step.threshold))


@knows("transform", "PowerTransformer")
def _power(step: Any, frame: Frame) -> Frame:
    parts = [_powered(x, float(rate), step.method) for x, rate in zip(frame.each(), step.lambdas_, strict=True)]
    found = frame.made(joined(parts))
    return _standard(step._scaler, found) if step.standardize else found


def _powered(x: Block, rate: float, method: str) -> Block:
    """Write one column of Box and Cox, or of Yeo and Johnson."""
    if method == "box-cox":
        return x.apply("Log") if rate == 0 else (x.apply("Pow", rate) - 1.0) / rate
    above, below = x.where(x.test("Less", 0.0), 0.0) + 1.0, (-x).where(x.test("GreaterOrEqual", 0.0), 0.0) + 1.0
    rises = above.apply("Log") if abs(rate) < np.spacing(1.0) else (above.apply("Pow", rate) - 1.0) / rate
    falls = -below.apply("Log") if abs(rate - 2) <= np.spacing(1.0) else -(below.apply("Pow", 2 - rate) - 1.0) / (2 - rate)
    return falls.where(x.test("GreaterOrEqual", 0.0), rises) + x * 0.0  # what is missing stays so


# -- what is missing ----------------------------------------------------------------------------------------------------------------


@knows("transform", "SimpleImputer")
def _imputer(step: Any, frame: Frame) -> Frame:
    filled: list[Block] = []
    plain = not any(block.is_text for block in frame.blocks) and not any(map(_is_nothing, step.statistics_))
    if plain:
        x = frame.numbers
        filled = [frame.rounded(x.where(_gaps(x, step.missing_values), np.asarray(step.statistics_, np.float64)))]
    for x, value in () if plain else zip(frame.each(), step.statistics_, strict=True):
        if _is_nothing(value) and not step.keep_empty_features:
            continue  # a column without any value in training is left out
        nothing = "missing_value" if x.is_text else 0.0
        filled.append(_filled(x, _gaps(x, step.missing_values), nothing if _is_nothing(value) else value))
    if step.add_indicator and step.indicator_.features_.size:
        filled += _indicators(step.indicator_, frame)
    return frame.made(*filled)


@knows("transform", "MissingIndicator")
def _missing_indicator(step: Any, frame: Frame) -> Frame:
    return frame.made(*_indicators(step, frame))


def _indicators(step: Any, frame: Frame) -> list[Block]:
    columns = frame.each()
    return [_gaps(columns[place], step.missing_values) for place in step.features_]


def _gaps(x: Block, missing: Any) -> Block:
    """Mark where a value is missing."""
    if x.is_text:
        wanted = MISSING if _is_nothing(missing) else str(missing)
        return _equal_text(x, [wanted])
    return x.test("IsNaN") if _is_nothing(missing) else x.test("Equal", float(missing))


def _filled(x: Block, gaps: Block, value: Any) -> Block:
    if not x.is_text:
        return x.where(gaps, float(value))
    writer = x.writer
    condition = writer.node("Cast", gaps.name, to=BOOL)
    return Block(writer, writer.node("Where", condition, writer.constant([[str(value)]], STRING), x.name), 1, is_text=True)


# -- categories and bins ------------------------------------------------------------------------------------------------------------


@knows("transform", "OneHotEncoder")
def _one_hot(step: Any, frame: Frame) -> Frame:
    parts = []
    for place, x in enumerate(frame.each()):
        marks = _marks(x, step.categories_[place])
        groups = _infrequent(step, place)
        if groups is not None:
            frequent, rare = groups
            together = marks.columns(rare).reduce("ReduceMax")
            if step.handle_unknown in ("infrequent_if_exist", "warn"):
                seen = marks.reduce("ReduceMax")
                together = together.where(seen.test("Equal", 0.0), 1.0)
            marks = joined([marks.columns(frequent), together])
        dropped = step.drop_idx_[place] if step.drop_idx_ is not None else None
        if dropped is not None:
            kept = [each for each in range(marks.width) if each != int(dropped)]
            if not kept:
                continue
            marks = marks.columns(kept)
        parts.append(marks)
    return frame.made(*parts)


@knows("transform", "OrdinalEncoder")
def _ordinal(step: Any, frame: Frame) -> Frame:
    parts = []
    for place, x in enumerate(frame.each()):
        categories = step.categories_[place]
        codes = np.arange(len(categories), dtype=np.float64)
        groups = _infrequent(step, place)
        if groups is not None:
            frequent, rare = groups
            codes[frequent], codes[rare] = np.arange(len(frequent)), len(frequent)
        codes = np.array([float(step.encoded_missing_value) if _is_nothing(c) else code for c, code in zip(categories, codes, strict=True)])
        unknown = float(step.unknown_value) if step.handle_unknown == "use_encoded_value" else float("nan")
        parts.append(_looked_up(x, categories, codes, unknown))
    return frame.made(joined(parts))


@knows("transform", "TargetEncoder")
def _target(step: Any, frame: Frame) -> Frame:
    columns = frame.each()
    n_classes = len(step.classes_) if step.target_type_ == "multiclass" else 1
    parts = []
    for number, encodings in enumerate(step.encodings_):
        place, output = divmod(number, n_classes)
        mean = float(np.ravel(step.target_mean_)[output])
        parts.append(_looked_up(columns[place], step.categories_[place], np.asarray(encodings, np.float64), mean))
    return frame.made(joined(parts))


@knows("transform", "KBinsDiscretizer")
def _bins(step: Any, frame: Frame) -> Frame:
    parts = []
    for x, edges, n_bins in zip(frame.each(), step.bin_edges_, step.n_bins_, strict=True):
        inner = np.asarray(edges[1:-1], np.float64)
        codes = x.test("GreaterOrEqual", inner).reduce("ReduceSum") if len(inner) else x * 0.0
        parts.append(codes if step.encode == "ordinal" else codes.test("Equal", np.arange(int(n_bins), dtype=np.float64)))
    return frame.made(joined(parts))


def _marks(x: Block, categories: Sequence[Any]) -> Block:
    """Mark which category each value is, a column for each."""
    if x.is_text:
        return _equal_text(x, [MISSING if _is_nothing(each) else str(each) for each in categories])
    numbers = np.array([np.nan if _is_nothing(each) else float(each) for each in categories])
    marks = x.test("Equal", numbers)
    holes = np.isnan(numbers)
    return marks if not holes.any() else marks + x.test("IsNaN") * holes.astype(np.float64)


def _looked_up(x: Block, categories: Sequence[Any], values: Any, unknown: float) -> Block:
    """Write the value of each category, and of all others `unknown`."""
    marks = _marks(x, categories)
    holes = np.isnan(values)
    found = marks.matmul(np.where(holes, 0.0, values).reshape(-1, 1))
    if holes.any():
        found = found.where(marks.matmul(holes.astype(np.float64).reshape(-1, 1)), float("nan"))
    return found.where(marks.reduce("ReduceMax").test("Equal", 0.0), unknown)


def _equal_text(x: Block, wanted: Sequence[str]) -> Block:
    same = x.writer.node("Equal", x.name, x.writer.constant([list(wanted)], STRING))
    return x.of(x.writer.node("Cast", same, to=DOUBLE), len(wanted))


def _infrequent(step: Any, place: int) -> tuple[list[int], list[int]] | None:
    """Return the places of frequent and of rare categories, where an encoder puts the rare ones together."""
    rare = getattr(step, "_infrequent_indices", None) if getattr(step, "_infrequent_enabled", False) else None
    if rare is None or rare[place] is None:
        return None
    together = [int(each) for each in rare[place]]
    n = len(step.categories_[place])
    missing = [each for each in range(n) if _is_nothing(step.categories_[place][each])] if hasattr(step, "encoded_missing_value") else []
    return [each for each in range(n) if each not in together and each not in missing], together


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value))) or str(value) == "<NA>"


# -- expanding and projecting -------------------------------------------------------------------------------------------------------


@knows("transform", "PolynomialFeatures")
def _polynomial(step: Any, frame: Frame) -> Frame:
    x = frame.numbers
    factors = [[place for place, power in enumerate(powers) for _ in range(power)] for powers in step.powers_]
    most = max((len(each) for each in factors), default=0)
    padded = joined([x, x.columns([0]) * 0.0 + 1.0])  # a column of ones stands in where a product has fewer factors
    found = padded.columns([each[0] if each else x.width for each in factors])
    for turn in range(1, most):
        found = found * padded.columns([each[turn] if turn < len(each) else x.width for each in factors])
    return frame.made(found)


@knows("transform", "SplineTransformer")
def _splines(step: Any, frame: Frame) -> Frame:
    if step.extrapolation != "constant":
        raise Unsupported(f"SplineTransformer(extrapolation={step.extrapolation!r})", hint="it is served natively, slower")
    from scipy.interpolate import PPoly

    parts = []
    for x, spline in zip(frame.each(), step.bsplines_, strict=True):
        low, high = float(spline.t[spline.k]), float(spline.t[-spline.k - 1])
        clipped = x.where(x.test("Less", low), low)
        clipped = clipped.where(clipped.test("Greater", high), high)
        pieces = [PPoly.from_spline((spline.t, np.asarray(column), spline.k)) for column in np.asarray(spline.c).T]
        inner = [float(t) for t in np.unique(spline.t) if low < t < high]
        starts = np.array([low, *inner])
        # Which piece a value is in, then its powers from where the piece begins.
        ends = np.append(starts[1:], np.inf)
        marks = clipped.test("GreaterOrEqual", starts) * clipped.test("Less", ends)
        away = clipped - marks.matmul(starts.reshape(-1, 1))
        place = [int(np.searchsorted(pieces[0].x, start, side="right")) - 1 for start in starts]
        total = marks.matmul(np.array([[piece.c[0, p] for piece in pieces] for p in place]))
        for power in range(1, spline.k + 1):
            total = total * away + marks.matmul(np.array([[piece.c[power, p] for piece in pieces] for p in place]))
        parts.append(total)
    found = joined(parts)
    if not step.include_bias:
        n_splines = parts[0].width
        found = found.columns([place for place in range(found.width) if (place + 1) % n_splines])
    return frame.made(found)


@knows("transform", "PCA", "IncrementalPCA")
def _pca(step: Any, frame: Frame) -> Frame:
    x = frame.numbers
    x = (x - step.mean_ if step.mean_ is not None else x).matmul(step.components_.T)
    if step.whiten:
        floor = np.finfo(np.asarray(step.explained_variance_).dtype).eps
        scale = np.sqrt(step.explained_variance_)
        x = x / np.where(scale < floor, floor, scale)
    return frame.made(x)


@knows("transform", "TruncatedSVD", "GaussianRandomProjection")
def _projected(step: Any, frame: Frame) -> Frame:
    return frame.made(frame.numbers.matmul(np.asarray(step.components_).T))


@knows("transform", "FastICA")
def _independent(step: Any, frame: Frame) -> Frame:
    x = frame.numbers
    return frame.made((x - step.mean_ if step.whiten else x).matmul(step.components_.T))


@knows("transform", "LinearDiscriminantAnalysis")
def _discriminant(step: Any, frame: Frame) -> Frame:
    x = frame.numbers
    if step.solver == "lsqr":
        raise Unsupported("LinearDiscriminantAnalysis(solver='lsqr') does not transform")
    x = (x - step.xbar_).matmul(step.scalings_) if step.solver == "svd" else x.matmul(step.scalings_)
    return frame.made(x.columns(list(range(step._max_components))))


@knows("transform", "Nystroem")
def _nystroem(step: Any, frame: Frame) -> Frame:
    if step.kernel != "rbf":
        raise Unsupported(f"Nystroem(kernel={step.kernel!r})", hint="it is served natively, slower")
    x, centers = frame.numbers, np.asarray(step.components_, np.float64)
    gamma = step.gamma if step.gamma is not None else 1.0 / centers.shape[1]
    apart = (x * x).reduce("ReduceSum") - x.matmul(centers.T) * 2.0 + (centers**2).sum(axis=1)
    near = (apart.where(apart.test("Less", 0.0), 0.0) * -gamma).apply("Exp")
    return frame.made(near.matmul(step.normalization_.T))


@knows("transform", "RBFSampler")
def _rbf_sampler(step: Any, frame: Frame) -> Frame:
    waves = (frame.numbers.matmul(step.random_weights_) + step.random_offset_).apply("Cos")
    return frame.made(waves * np.sqrt(2.0 / step.n_components))


@knows(
    "transform",
    *("SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "GenericUnivariateSelect", "VarianceThreshold"),
    *("SelectFromModel", "RFE", "RFECV", "SequentialFeatureSelector"),
)
def _selected(step: Any, frame: Frame) -> Frame:
    return frame.take([int(each) for each in step.get_support(indices=True)])


def texts_of(frame: Frame) -> Iterator[Block]:
    """Yield every column of text; raise Unsupported for numbers."""
    for block in frame.each():
        if not block.is_text:
            raise Unsupported("a vectorizer of text that is given numbers")
        yield block
