"""Trees as C: tables in the chosen layout and one loop over them."""

from __future__ import annotations

from typing import Final

from sampan.edge.keys import LOWEST
from sampan.edge.layouts import Layout
from sampan.edge.text import floats, integers, kind_for, number, table

_TYPES: Final = {
    4: ("uint8_t", "uint16_t", "uint8_t key, jump; uint16_t threshold;"),
    6: ("uint16_t", "uint16_t", "uint16_t key, jump, threshold;"),
    8: ("uint16_t", "int32_t", "uint16_t key, jump; int32_t threshold;"),
}

KEY_FUNCTION: Final = """/* The bits of a float as an integer that compares as the float does; a missing value lies beyond all others. */
static int32_t @key(float x, int goes_left)
{
    union { float f; int32_t i; } bits;
    bits.f = x;
    if ((bits.i & 0x7fffffff) > 0x7f800000) return goes_left ? INT32_MIN : INT32_MAX;
    return bits.i < 0 ? (int32_t)(0x80000000u - (uint32_t)bits.i) : bits.i;
}
"""


def write_trees(layout: Layout, number_of: int) -> str:
    """Return the tables and the function `@trees<number>(x, y)`."""
    if not layout.sizes:
        return _constant(layout, number_of)
    parts = [_about(layout), *_tables(layout, number_of), _function(layout, number_of)]
    return "".join(parts)


def _constant(layout: Layout, n: int) -> str:
    lines = "".join(f"    y[{i}] = {number(value)};\n" for i, value in enumerate(layout.base.tolist()))
    return f"static void @trees{n}(const float *x, float *y)\n{{\n    (void)x;\n{lines}}}\n"


def _about(layout: Layout) -> str:
    leaves = f"leaves are off by at most {layout.error:.2g} in sum" if layout.vectors is None else "leaves in a table"
    return (
        f"/* {len(layout.sizes)} trees, {len(layout.entries)} entries of {layout.width} bytes, {len(layout.thresholds)} shared thresholds, "
        f"{len(layout.keys)} keys; {leaves}. */\n"
    )


def _tables(layout: Layout, n: int) -> list[str]:
    parts = []
    if layout.width == 3:
        cells = (str(byte) for key, jump, value in layout.entries for byte in _bytes(layout, key, jump, value))
        parts.append(table("uint8_t", f"@entries{n}", cells))
        parts.append(integers(f"@starts{n}", layout.starts.tolist()))
    else:
        parts.append(f"typedef struct {{ {_TYPES[layout.width][2]} }} @entry{n};\n")
        cells = (f"{{{','.join(map(str, _fields(layout, *entry)))}}}" for entry in layout.entries)
        parts.append(table(f"@entry{n}", f"@entries{n}", cells))
    if layout.width != 8:
        parts.append(table("int32_t", f"@thresholds{n}", map(str, layout.thresholds.tolist())))
    parts.append(integers(f"@sizes{n}", layout.sizes))
    parts.append(integers(f"@given{n}", [2 * feature + (missing == LOWEST) for feature, missing in layout.keys]))
    if layout.vectors is not None:
        parts.append(floats(f"@leaves{n}", layout.vectors))
    return parts


def _fields(layout: Layout, key: int, jump: int, value: int) -> tuple[int, int, int]:
    """Return the fields of an entry; a leaf's value fills those a split has for its jump and threshold."""
    if key != layout.leaf_mark or layout.width == 8:
        return key, jump, value
    if layout.width == 4:
        return key, value & 0xFF, value >> 8 & 0xFFFF
    return key, value >> 16 & 0xFFFF, value & 0xFFFF


def _bytes(layout: Layout, key: int, jump: int, value: int) -> tuple[int, int, int]:
    return (key, value & 0xFF, value >> 8 & 0xFF) if key == layout.leaf_mark else (key, jump, value)


# How a layout reads an entry `e`: the key it looks at, the threshold it compares with, where to go on if that lies above, a leaf's value.
_READS: Final = {
    3: ("e[0]", "thresholds[@starts{n}[key] + e[2]]", "3 * e[1]", "3", "(int16_t)(e[1] | e[2] << 8)"),
    4: ("e->key", "thresholds[e->threshold]", "e->jump", "1", "(int32_t)(int16_t)e->threshold * 256 + e->jump"),
    6: ("e->key", "thresholds[e->threshold]", "e->jump", "1", "(int32_t)((uint32_t)e->jump << 16 | e->threshold)"),
    8: ("e->key", "e->threshold", "e->jump", "1", "e->threshold"),
}
# Compilers that know which tables a function is called with compute their addresses anew at every split.
APART: Final = """#if defined(__GNUC__) && !defined(__clang__)
#define @APART __attribute__((noipa))
#else
#define @APART
#endif
"""


def _function(layout: Layout, n: int) -> str:
    key, threshold, jump, follow, leaf = (part.format(n=n) for part in _READS[layout.width])
    kind = "uint8_t" if layout.width == 3 else f"@entry{n}"
    several = layout.vectors is not None
    outs = layout.base.size
    add = [f"sum += {leaf};"]
    if several:
        add = [f"leaf = @leaves{n} + {outs} * ({leaf});" if outs > 1 else f"leaf = @leaves{n} + ({leaf});"]
        add += [f"for (i = 0; i < {outs}; ++i) y[i] += leaf[i];"] if outs > 1 else ["y[0] += leaf[0];"]
    held = "" if layout.width == 8 else ", const int32_t *thresholds"
    sizes = kind_for(max(layout.sizes))
    apart = f", const {kind} *root, const {sizes} *size, const {sizes} *end" if outs > 1 and not several else ""
    walk = [
        f"static {'void' if several else 'int32_t'} @APART @walk{n}(const int32_t *keys{held}{', float *y' if several else apart})",
        "{",
        *([f"    const {kind} *e;"] if apart else [f"    const {kind} *root = @entries{n}, *e;", f"    const {sizes} *size = @sizes{n};"]),
        *(["    const float *leaf;", *(["    int i;"] if outs > 1 else [])] if several else ["    int32_t sum = 0;"]),
        "    do {",
        f"        unsigned key = {key.replace('e', 'root', 1)};",
        "        e = root;",
        "        do { /* the first entry of a tree is a split */",
        f"            unsigned step = {follow};",
        f"            if (keys[key] > {threshold}) step = {jump};",
        "            e += step;",
        f"        }} while ((key = {key}) != {layout.leaf_mark});",
        *(f"        {line}" for line in add),
        f"        root += {'3 * ' if layout.width == 3 else ''}*size++;",
        "    } while (size != end);" if apart else f"    }} while (size != @sizes{n} + {len(layout.sizes)});",
        *([] if several else ["    return sum;"]),
        "}",
        "",
    ]
    return "\n".join([*walk, *_caller(layout, n)])


def _caller(layout: Layout, n: int) -> list[str]:
    """Write the function that makes the row's keys and calls the walk."""
    given = f"x[@given{n}[i] >> 1], @given{n}[i] & 1"
    held = "" if layout.width == 8 else f", @thresholds{n}"
    if layout.vectors is None and layout.base.size > 1:
        walk = _apart(layout, n, held)
    elif layout.vectors is None:
        walk = [f"    y[0] = (float)@walk{n}(keys{held}) * {number(layout.unit)} + {number(float(layout.base[0]))};"]
    else:
        walk = [*(f"    y[{i}] = {number(value)};" for i, value in enumerate(layout.base.tolist())), f"    @walk{n}(keys{held}, y);"]
    return [
        "",
        f"static void @trees{n}(const float *x, float *y)",
        "{",
        f"    int32_t keys[{len(layout.keys)}];",
        "    int i;",
        f"    for (i = 0; i < {len(layout.keys)}; ++i) keys[i] = @key({given});",
        *walk,
        "}",
        "",
    ]


def _apart(layout: Layout, n: int, held: str) -> list[str]:
    """Write one walk for each output, over the trees that add to it."""
    lines, tree, entry = [], 0, 0
    for output, (n_trees, base) in enumerate(zip(layout.outputs, layout.base.tolist(), strict=True)):
        if n_trees:
            place = f"@entries{n} + {entry * (3 if layout.width == 3 else 1)}, @sizes{n} + {tree}, @sizes{n} + {tree + n_trees}"
            lines.append(f"    y[{output}] = (float)@walk{n}(keys{held}, {place}) * {number(layout.unit)} + {number(base)};")
        else:
            lines.append(f"    y[{output}] = {number(base)};")
        entry += sum(layout.sizes[tree : tree + n_trees])
        tree += n_trees
    return lines
