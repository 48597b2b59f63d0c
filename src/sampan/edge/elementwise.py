"""Operations on single numbers, by the names ONNX gives them, as C expressions over `a`, `b`, `c`. Flags are 1 and 0.

Those that call a function name it in `functions.py`, or in math.h.
"""

from __future__ import annotations

from typing import Final

# Operation -> C, with {0}, {1}, {2} for the operands.
EXPRESSIONS: Final[dict[str, str]] = {
    "Abs": "{0} < 0.0f ? -{0} : {0}",
    "Add": "{0} + {1}",
    "And": "({0} != 0.0f && {1} != 0.0f) ? 1.0f : 0.0f",
    "Ceil": "ceilf({0})",
    "Cos": "cosf({0})",
    "Div": "{0} / {1}",
    "Elu": "{0} < 0.0f ? {1} * (@exp({0}) - 1.0f) : {0}",
    "Equal": "{0} == {1} ? 1.0f : 0.0f",
    "Erf": "erff({0})",
    "Exp": "@exp({0})",
    "Floor": "floorf({0})",
    "Greater": "{0} > {1} ? 1.0f : 0.0f",
    "GreaterOrEqual": "{0} >= {1} ? 1.0f : 0.0f",
    "Identity": "{0}",
    "HardSigmoid": "@clip({1} * {0} + {2}, 0.0f, 1.0f)",
    "IsInf": "{0} - {0} != 0.0f && {0} == {0} ? 1.0f : 0.0f",
    "IsNaN": "{0} != {0} ? 1.0f : 0.0f",
    "LeakyRelu": "{0} < 0.0f ? {1} * {0} : {0}",
    "Less": "{0} < {1} ? 1.0f : 0.0f",
    "LessOrEqual": "{0} <= {1} ? 1.0f : 0.0f",
    "Log": "logf({0})",
    "Max": "@max({0}, {1})",
    "Min": "@min({0}, {1})",
    "Mul": "{0} * {1}",
    "Neg": "-{0}",
    "Not": "{0} == 0.0f ? 1.0f : 0.0f",
    "Or": "({0} != 0.0f || {1} != 0.0f) ? 1.0f : 0.0f",
    "Pow": "powf({0}, {1})",
    "Reciprocal": "1.0f / {0}",
    "Relu": "{0} < 0.0f ? 0.0f : {0}",
    "Selu": "{0} > 0.0f ? {2} * {0} : {2} * {1} * (@exp({0}) - 1.0f)",
    "Sigmoid": "@sigmoid({0})",
    "Sin": "sinf({0})",
    "Sign": "{0} > 0.0f ? 1.0f : {0} < 0.0f ? -1.0f : {0}",
    "Softplus": "({0} > 0.0f ? {0} : 0.0f) + logf(1.0f + @exp({0} > 0.0f ? -{0} : {0}))",
    "Sqrt": "sqrtf({0})",
    "Sub": "{0} - {1}",
    "Tanh": "@tanh({0})",
    "Where": "{0} != 0.0f ? {1} : {2}",
}

# Tests: their answer is a flag, whatever they compare.
FLAGS: Final = ("And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or")

# Where an operand is a double, these call other functions.
DOUBLES: Final[dict[str, str]] = {
    "Ceil": "-@floor(-({0}))",
    "Cos": "cos({0})",
    "Elu": "{0} < 0.0 ? {1} * (exp({0}) - 1.0) : {0}",
    "Erf": "erf({0})",
    "Exp": "exp({0})",
    "Floor": "@floor({0})",
    "HardSigmoid": "{1} * {0} + {2} < 0.0 ? 0.0 : {1} * {0} + {2} > 1.0 ? 1.0 : {1} * {0} + {2}",
    "Log": "log({0})",
    "Max": "{0} != {0} || {0} > {1} ? {0} : {1}",
    "Min": "{0} != {0} || {0} < {1} ? {0} : {1}",
    "Pow": "pow({0}, {1})",
    "Selu": "{0} > 0.0 ? {2} * {0} : {2} * {1} * (exp({0}) - 1.0)",
    "Sigmoid": "1.0 / (1.0 + exp(-({0})))",
    "Sin": "sin({0})",
    "Softplus": "({0} > 0.0 ? {0} : 0.0) + log(1.0 + exp({0} > 0.0 ? -{0} : {0}))",
    "Sqrt": "sqrt({0})",
    "Tanh": "tanh({0})",
}

# Functions the generated file brings along, written once where an expression calls them as @name. Their names get the model's prefix.
FUNCTIONS: Final[dict[str, str]] = {
    "exp": """/* e^x: x = n ln 2 + r, a polynomial for e^r (relative error below 1.3e-7), n added to the exponent. */
static float @exp(float x)
{
    union { float f; int32_t i; } power, scale;
    int32_t n;
    float r, p;
    if (!(x > -87.3f)) return x != x ? x : 0.0f;
    if (x > 88.7f) return 1.0f / 0.0f;
    n = (int32_t)(x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f));
    r = x - (float)n * 0.693359375f;
    r -= (float)n * -2.12194440e-4f;
    p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    power.f = p * r * r + r + 1.0f;
    scale.i = (n > 127 ? 127 : n) + 127;
    scale.i <<= 23;
    return n > 127 ? power.f * scale.f * 2.0f : power.f * scale.f;
}
""",
    "sigmoid": """static float @sigmoid(float x)
{
    return 1.0f / (1.0f + @exp(-x));
}
""",
    "tanh": """static float @tanh(float x)
{
    float e;
    if (x > -0.1f && x < 0.1f) { /* 1 - e^x loses digits near 0 */
        float s = x * x;
        return x * (1.0f + s * (-0.333333333f + s * (0.133333333f + s * -0.0539682540f)));
    }
    e = @exp(-2.0f * (x < 0.0f ? -x : x));
    e = (1.0f - e) / (1.0f + e);
    return x < 0.0f ? -e : e;
}
""",
    "max": """static float @max(float a, float b)
{
    return a != a ? a : b != b ? b : a > b ? a : b;
}
""",
    "min": """static float @min(float a, float b)
{
    return a != a ? a : b != b ? b : a < b ? a : b;
}
""",
    "floor": """static double @floor(double x)
{
    double whole;
    if (!(x > -4503599627370496.0 && x < 4503599627370496.0)) return x; /* whole already, or no number */
    whole = (double)(int64_t)x;
    return whole > x ? whole - 1.0 : whole;
}
""",
    "clip": """static float @clip(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}
""",
}
_CALLS: Final = {"sigmoid": ("exp",), "tanh": ("exp",)}


def called(text: str) -> list[str]:
    """Name the functions of this file that a piece of C calls, callees first."""
    found: list[str] = []
    for name in FUNCTIONS:
        if f"@{name}(" in text:
            found += [f for f in (*_CALLS.get(name, ()), name) if f not in found]
    return found
