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

LAYERS["flow"] = """/* Rounds features to whole numbers; zeros fill up to a multiple of 4. */
static void @flow(const float *x, int16_t *q, const float *offset, const float *rate, int n, float reach)
{
    int i;
    for (i = 0; i < n; ++i) {
        float v = (x[i] - offset[i]) * rate[i];
        v = v < reach ? v : reach;
        v = v > -reach ? v : -reach;
        q[i] = (int16_t)(v < 0.0f ? v - 0.5f : v + 0.5f);
    }
    for (; i & 3; ++i) q[i] = 0;
}
"""
LAYERS[
    "sums8"
] = """/* Adds two rows of weights times x to two sums; n is a multiple of 4, and each 4 weights lie in the order 0, 2, 1, 3. */
static void @sums8(const int16_t *x, const int8_t *w, int n, int32_t *sums)
{
    const int16_t *const end = x + n;
    const int8_t *v = w + n;
    int32_t a = sums[0], b = sums[1];
    do {
#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M'
        uint32_t x01, x23, p, q, r; /* two products at once */
        __asm__ volatile(
            "ldr %[x01], [%[x]], #4\\n\\t"
            "ldr %[x23], [%[x]], #4\\n\\t"
            "ldr %[p], [%[w]], #4\\n\\t"
            "ldr %[q], [%[v]], #4\\n\\t"
            "sxtb16 %[r], %[p]\\n\\t"
            "sxtb16 %[p], %[p], ror #8\\n\\t"
            "smlad %[a], %[r], %[x01], %[a]\\n\\t"
            "smlad %[a], %[p], %[x23], %[a]\\n\\t"
            "sxtb16 %[r], %[q]\\n\\t"
            "sxtb16 %[q], %[q], ror #8\\n\\t"
            "smlad %[b], %[r], %[x01], %[b]\\n\\t"
            "smlad %[b], %[q], %[x23], %[b]"
            : [x] "+r"(x), [w] "+r"(w), [v] "+r"(v), [a] "+r"(a), [b] "+r"(b), [x01] "=&r"(x01), [x23] "=&r"(x23), [p] "=&r"(p),
              [q] "=&r"(q), [r] "=&r"(r)
            :
            : "memory");
#else
        a += w[0] * x[0] + w[2] * x[1] + w[1] * x[2] + w[3] * x[3];
        b += v[0] * x[0] + v[2] * x[1] + v[1] * x[2] + v[3] * x[3];
        x += 4;
        w += 4;
        v += 4;
#endif
    } while (x != end);
    sums[0] = a;
    sums[1] = b;
}
"""
LAYERS["hidden8"] = """static int16_t @within(int32_t sum, int32_t factor, int32_t top)
{
    const int32_t v = (int32_t)(((int64_t)sum * factor) >> 32);
    return (int16_t)(v < 0 ? 0 : v > top ? top : v);
}

/* A layer with a Relu, two outputs at a time: b has their biases and their factors, in 1 / 2^32. Zeros fill up to a multiple of 4. */
static void @hidden8(const int16_t *x, int16_t *q, const int8_t *w, const int32_t *b, int n, int m, int32_t top)
{
    int16_t *const end = q + m;
    for (; q != end; q += 2, w += 2 * n, b += 4) {
        int32_t sums[2];
        sums[0] = b[0];
        sums[1] = b[1];
        @sums8(x, w, n, sums);
        q[0] = @within(sums[0], b[2], top);
        q[1] = @within(sums[1], b[3], top);
    }
    if (m & 2) q[0] = q[1] = 0;
}
"""
LAYERS["last8"] = """static void @last8(const int16_t *x, float *y, const int8_t *w, const int32_t *b, const float *scale, int n, int m)
{
    int o;
    for (o = 0; o < m; o += 2, w += 2 * n, b += 2) {
        int32_t sums[2];
        sums[0] = b[0];
        sums[1] = b[1];
        @sums8(x, w, n, sums);
        y[o] = (float)sums[0] * scale[o];
        if (o + 1 < m) y[o + 1] = (float)sums[1] * scale[o + 1];
    }
}
"""

LAYERS[
    "convolution8"
] = """/* A layer with a Relu at each place of a window. s: channels, height, width of x, steps to its next channel and place; channels,
   height, width of q; kernel; strides; pads; dilations. In q each place has its channels, filled up to a multiple of 4. */
static void @convolution8(const int16_t *x, int16_t *q, int16_t *column, const int8_t *w, const int32_t *b, const int16_t *s, int32_t top)
{
    const int n = (s[0] * s[8] * s[9] + 3) & ~3;
    int r, c, i, j, k;
    for (k = n - 4; k < n; ++k) column[k] = 0;
    for (r = 0; r < s[6]; ++r)
        for (c = 0; c < s[7]; ++c) {
            int16_t *to = column;
            for (i = 0; i < s[8]; ++i)
                for (j = 0; j < s[9]; ++j) {
                    const int row = r * s[10] - s[12] + i * s[14], place = c * s[11] - s[13] + j * s[15];
                    const int inside = row >= 0 && row < s[1] && place >= 0 && place < s[2];
                    const int16_t *from = x + (inside ? (row * s[2] + place) * s[4] : 0);
                    for (k = 0; k < s[0]; ++k, from += s[3]) *to++ = (int16_t)(inside ? *from : 0);
                }
            @hidden8(column, q, w, b, n, (s[5] + 1) & ~1, top);
            q += (s[5] + 3) & ~3;
        }
}
"""
LAYERS["most8"] = """/* The maximum under a window of what is never negative, place by place; n channels. s as for convolutions. */
static void @most8(const int16_t *x, int16_t *q, const int16_t *s, int n)
{
    int r, c, i, j, k;
    for (r = 0; r < s[4]; ++r)
        for (c = 0; c < s[5]; ++c, q += n) {
            for (k = 0; k < n; ++k) q[k] = 0;
            for (i = 0; i < s[6]; ++i)
                for (j = 0; j < s[7]; ++j) {
                    const int row = r * s[8] - s[10] + i * s[12], place = c * s[9] - s[11] + j * s[13];
                    const int16_t *from = x + (row * s[2] + place) * n;
                    if (row < 0 || row >= s[1] || place < 0 || place >= s[2]) continue;
                    for (k = 0; k < n; ++k)
                        if (from[k] > q[k]) q[k] = from[k];
                }
        }
}
"""
LAYERS["mean8"] = """/* The mean of each of n channels over all places. */
static void @mean8(const int16_t *x, int16_t *q, int n, int places)
{
    int i, k;
    for (k = 0; k < n; ++k) {
        int32_t sum = places / 2;
        for (i = 0; i < places; ++i) sum += x[i * n + k];
        q[k] = (int16_t)(sum / places);
    }
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
