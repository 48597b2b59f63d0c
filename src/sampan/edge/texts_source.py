"""Functions of feature transforms in C: texts looked up, compared and joined; numbers placed among edges."""

from __future__ import annotations

from typing import Final

TEXT_FUNCTIONS: Final[dict[str, str]] = {
    "compare": """static int @compare(const char *a, const char *b)
{
    while (*a && *a == *b) {
        ++a;
        ++b;
    }
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}
""",
    "encode": """/* The number of a text among known ones, which are sorted. */
static float @encode(const char *text, const char *const *known, const float *values, int n, float missing, float unseen)
{
    int low = 0, high = n;
    if (!text) return missing;
    while (low < high) {
        const int middle = (low + high) / 2, order = @compare(text, known[middle]);
        if (order == 0) return values[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return unseen;
}
""",
    "same": """static float @same(const char *a, const char *b)
{
    if (!a || !b) return a == b ? 1.0f : 0.0f;
    return @compare(a, b) == 0 ? 1.0f : 0.0f;
}
""",
    "join": """/* Two texts as one, cut after n bytes; a missing one counts as empty. */
static const char *@join(char *to, int n, const char *a, const char *b)
{
    int at = 0;
    for (; a && *a && at < n; ++a) to[at++] = *a;
    for (; b && *b && at < n; ++b) to[at++] = *b;
    to[at] = 0;
    return to;
}
""",
    "ladder": """/* The height above the edges that lie at or below x; the lowest where x is no number. */
static double @ladder(double x, const double *edges, const double *heights, int n)
{
    int low = 0, high = n;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (x >= edges[middle]) low = middle + 1;
        else high = middle;
    }
    return heights[low];
}
""",
}
