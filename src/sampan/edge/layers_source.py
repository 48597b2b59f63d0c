"""Layers as C functions, each written once however often it is called."""

from __future__ import annotations

from typing import Final

LAYERS: Final[dict[str, str]] = {
    "dense": """static void @dense(const float *x, float *y, const float *w, const float *b, int n, int m, int relu)
{
    int i, o;
    for (o = 0; o < m; ++o) {
        float sum = b[o];
        for (i = 0; i < n; ++i) sum += *w++ * x[i];
        y[o] = relu && sum < 0.0f ? 0.0f : sum;
    }
}
""",
    "convolution": """/* s: channels, height, width of x; of y; kernel; strides; pads; dilations; groups; relu. */
static void @convolution(const float *x, float *y, const float *w, const float *b, const int16_t *s)
{
    const int own = s[0] / s[14], plane = s[1] * s[2], area = s[6] * s[7];
    int o, r, q, c, i, j;
    for (o = 0; o < s[3]; ++o, w += own * area) {
        const float *from = x + o / (s[3] / s[14]) * own * plane;
        for (r = 0; r < s[4]; ++r)
            for (q = 0; q < s[5]; ++q) {
                float sum = b[o];
                for (i = 0; i < s[6]; ++i) {
                    const int row = r * s[8] - s[10] + i * s[12];
                    if (row < 0 || row >= s[1]) continue;
                    for (j = 0; j < s[7]; ++j) {
                        const int column = q * s[9] - s[11] + j * s[13];
                        const float *p = from + row * s[2] + column, *v = w + i * s[7] + j;
                        if (column < 0 || column >= s[2]) continue;
                        for (c = 0; c < own; ++c, p += plane, v += area) sum += *v * *p;
                    }
                }
                *y++ = s[15] && sum < 0.0f ? 0.0f : sum;
            }
    }
}
""",
    "pool_max": """static void @pool_max(const float *x, float *y, const int16_t *s)
{
    int c, r, q, i, j;
    for (c = 0; c < s[3]; ++c, x += s[1] * s[2])
        for (r = 0; r < s[4]; ++r)
            for (q = 0; q < s[5]; ++q) {
                float most = -1.0f / 0.0f;
                for (i = 0; i < s[6]; ++i)
                    for (j = 0; j < s[7]; ++j) {
                        const int row = r * s[8] - s[10] + i * s[12], column = q * s[9] - s[11] + j * s[13];
                        if (row < 0 || row >= s[1] || column < 0 || column >= s[2]) continue;
                        if (x[row * s[2] + column] > most) most = x[row * s[2] + column];
                    }
                *y++ = most;
            }
}
""",
    "pool_mean": """static void @pool_mean(const float *x, float *y, const int16_t *s)
{
    int c, r, q, i, j;
    for (c = 0; c < s[3]; ++c, x += s[1] * s[2])
        for (r = 0; r < s[4]; ++r)
            for (q = 0; q < s[5]; ++q) {
                float sum = 0.0f;
                int n = 0;
                for (i = 0; i < s[6]; ++i)
                    for (j = 0; j < s[7]; ++j) {
                        const int row = r * s[8] - s[10] + i * s[12], column = q * s[9] - s[11] + j * s[13];
                        if (row < 0 || row >= s[1] || column < 0 || column >= s[2]) continue;
                        sum += x[row * s[2] + column];
                        ++n;
                    }
                *y++ = sum / (float)(s[14] ? s[6] * s[7] : n);
            }
}
""",
    "softmax": """static void @softmax(const float *x, float *y, int size, int width)
{
    int i, at;
    for (at = 0; at < size; at += width) {
        float most = x[at], sum = 0.0f;
        for (i = at; i < at + width; ++i) most = x[i] > most ? x[i] : most;
        for (i = at; i < at + width; ++i) sum += y[i] = @exp(x[i] - most);
        for (i = at; i < at + width; ++i) y[i] /= sum;
    }
}
""",
}

LAYERS["flow"] = """/* Rounds features to whole numbers. */
static void @flow(const float *x, int16_t *q, const float *offset, const float *rate, int n, float reach)
{
    int i;
    for (i = 0; i < n; ++i) {
        float v = (x[i] - offset[i]) * rate[i];
        v = v < reach ? v : reach;
        v = v > -reach ? v : -reach;
        q[i] = (int16_t)(v < 0.0f ? v - 0.5f : v + 0.5f);
    }
}
"""
LAYERS["sum8"] = """static int32_t @sum8(const int16_t *x, const int8_t *w, int32_t sum, int n)
{
    int i;
    for (i = 0; i < n; ++i) sum += w[i] * x[i];
    return sum;
}
"""
LAYERS[
    "hidden8"
] = """static void @hidden8(const int16_t *x, int16_t *q, const int8_t *w, const int32_t *b, const int32_t *factor, const uint8_t *shift,
    int n, int m, int top)
{
    int o;
    for (o = 0; o < m; ++o, w += n) {
        const int32_t sum = @sum8(x, w, b[o], n);
        int64_t v = 0;
        if (sum > 0) v = ((int64_t)sum * factor[o] + ((int64_t)1 << (shift[o] - 1))) >> shift[o];
        q[o] = (int16_t)(v > top ? top : v);
    }
}
"""
LAYERS["last8"] = """static void @last8(const int16_t *x, float *y, const int8_t *w, const int32_t *b, const float *scale, int n, int m)
{
    int o;
    for (o = 0; o < m; ++o, w += n) y[o] = (float)@sum8(x, w, b[o], n) * scale[o];
}
"""

LAYERS["place_of"] = """/* Where the largest of each n numbers is, the first of equals. */
static void @place_of(const float *x, float *y, int size, int n)
{
    int i, j, at;
    for (i = 0; i < size; ++i, x += n) {
        for (at = 0, j = 1; j < n; ++j)
            if (x[j] > x[at]) at = j;
        y[i] = (float)at;
    }
}
"""

_REDUCTION: Final = """static void @{name}_of{ending}(const {kind} *x, {kind} *y, int size, int n)
{{
    int i, j;
    for (i = 0; i < size; ++i, x += n) {{
        {kind} found = {first};
        for (j = {begin}; j < n; ++j) {step};
        y[i] = {end};
    }}
}}
"""
_REDUCTIONS: Final = {
    "product": ("1.0f", 0, "found *= x[j]", "found"),
    "sum": ("0.0f", 0, "found += x[j]", "found"),
    "mean": ("0.0f", 0, "found += x[j]", "found / (float)n"),
    "max": ("x[0]", 1, "if (x[j] > found || x[j] != x[j]) found = x[j]", "found"),
    "min": ("x[0]", 1, "if (x[j] < found || x[j] != x[j]) found = x[j]", "found"),
    "norm1": ("0.0f", 0, "found += x[j] < 0.0f ? -x[j] : x[j]", "found"),
    "norm2": ("0.0f", 0, "found += x[j] * x[j]", "sqrtf(found)"),
}
for _name, (_first, _begin, _step, _end) in _REDUCTIONS.items():
    for _ending, _kind in (("", "float"), ("_doubles", "double")):
        _last = _end.replace("sqrtf", "sqrt") if _ending else _end
        LAYERS[f"{_name}_of{_ending}"] = _REDUCTION.format(
            name=_name, ending=_ending, kind=_kind, first=_first, begin=_begin, step=_step, end=_last
        )
