"""Generated transforms as a program of an operating system: requests on standard input, their features and answers on standard output."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sampan.edge.hosted import FLAGS, call, write_sources
from sampan.edge.source import Generated
from sampan.edge.text import quoted

MISSING: Final = "\ue000"  # how tensors of requests write a missing text
_MAIN: Final = """#include <stdio.h>

#include "{name}.h"

int main(void)
{{
    static double numbers[{n_numbers}];
    static char held[{n_texts}][{longest}];
    static const char *texts[{n_texts}];
    static float x[{upper}_N_FEATURES], y[{upper}_N_OUTPUTS];
    int i, size;
    for (;;) {{
        if (fread(&size, sizeof size, 1, stdin) != 1) return 0;
        if (size && fread(numbers, sizeof numbers[0], (size_t)size, stdin) != (size_t)size) return 1;
        for (i = 0; i < {used}; ++i) {{
            if (fread(&size, sizeof size, 1, stdin) != 1) return 1;
            texts[i] = size < 0 ? NULL : held[i];
            if (size > 0 && fread(held[i], 1, (size_t)size, stdin) != (size_t)size) return 1;
            if (size >= 0) held[i][size] = 0;
        }}
        {name}_features(numbers, texts, x);
        {name}_scores(x, y);
        if (fwrite(x, sizeof x, 1, stdout) != 1 || fwrite(y, sizeof y, 1, stdout) != 1) return 1;
    }}
}}
"""

_ADAPTER: Final = """#include <stdint.h>

#include "{name}.h"

static const char *const pool[] = {{{pool}}};

void {name}_asked(const float *row, float *y);
void {name}_asked(const float *row, float *y)
{{
    const char *texts[{room}];
    const int32_t *place = (const int32_t *)(const void *)row + {words};
    int i;
    for (i = 0; i < {n_texts}; ++i) texts[i] = place[i] < 0 ? 0 : pool[place[i]];
    {name}_answer((const double *)(const void *)row, texts, y);
}}
"""


class Packed(NamedTuple):
    """Requests as rows of 32-bit words, for a board: the numbers' doubles, then the place of each text in a pool, -1 where missing."""

    words: NDArray[np.float32]
    pool: tuple[str, ...]
    n_numbers: int
    n_texts: int

    def adapter(self, name: str) -> dict[str, str]:
        """Write the file that answers such a row by the generated code of this name: `<name>_asked`."""
        pool = ", ".join(map(quoted, self.pool)) or '""'
        shape = {"words": 2 * self.n_numbers, "n_texts": self.n_texts, "room": max(self.n_texts, 1)}
        return {f"{name}_asked.c": _ADAPTER.format(name=name, pool=pool, **shape)}


def pack_requests(tensors: dict[str, NDArray[Any]]) -> Packed:
    """Pack requests as a package's whole graph takes them."""
    numbers, texts = tensors.get("num"), tensors.get("cat")
    n = len(next(iter(tensors.values())))
    pool: dict[str, int] = {}
    blocks = [] if numbers is None else [np.ascontiguousarray(numbers, np.float64).view(np.uint32).reshape(n, -1)]
    if texts is not None:
        places = [[-1 if each == MISSING else pool.setdefault(each, len(pool)) for each in row] for row in texts.tolist()]
        blocks.append(np.array(places, np.int32).view(np.uint32).reshape(n, -1))
    words = np.concatenate(blocks, axis=1)
    if words.shape[1] % 2:  # each row begins where a double may
        words = np.concatenate([words, np.zeros((n, 1), np.uint32)], axis=1)
    shape = [0 if each is None else each.shape[1] for each in (numbers, texts)]
    return Packed(np.ascontiguousarray(words).view(np.float32), tuple(pool), shape[0], shape[1])


def answer_requests(
    generated: Generated,
    tensors: dict[str, NDArray[Any]],
    shape: tuple[int, int],
    folder: Path,
    *,
    compiler: Sequence[str] = ("cc",),
    flags: Sequence[str] = FLAGS,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Compile a generated transform and model, and answer requests.

    Parameters
    ----------
    tensors : `num`, float64 (n, k), and `cat`, texts (n, m), as a package's whole graph takes them
    shape : how many features and outputs there are

    Returns
    -------
    The features, shape (n, features), and the answers, shape (n, outputs).
    """
    numbers, texts = tensors.get("num"), tensors.get("cat")
    n = len(numbers) if numbers is not None else len(texts if texts is not None else ())
    k, m = (0 if each is None else each.shape[1] for each in (numbers, texts))
    encoded = [[None if each == MISSING else each.encode("utf-8") for each in row] for row in (texts.tolist() if texts is not None else [])]
    longest = max((len(each) for row in encoded for each in row if each is not None), default=0) + 1
    upper = generated.name.upper()
    main = folder / f"{generated.name}_requests.c"
    main.write_text(
        _MAIN.format(name=generated.name, upper=upper, n_numbers=max(k, 1), n_texts=max(m, 1), longest=longest, used=m), encoding="ascii"
    )
    program = folder / f"{generated.name}_requests"
    sources = [*write_sources(generated, folder), main]
    call([*compiler, *flags, *map(str, sources), "-o", str(program), "-lm"], what="the generated C does not compile")
    rows = []
    for i in range(n):
        rows.append(struct.pack("<i", k) + (np.ascontiguousarray(numbers[i], np.float64).tobytes() if numbers is not None else b""))
        for each in encoded[i] if encoded else ():
            rows.append(struct.pack("<i", -1) if each is None else struct.pack("<i", len(each)) + each)
    found = call([str(program)], what="the compiled program failed", given=b"".join(rows))
    cells = np.frombuffer(found, np.float32).reshape(n, sum(shape))
    return cells[:, : shape[0]], cells[:, shape[0] :].astype(np.float64)
