"""C as text: numbers that read back as the same numbers, tables of bounded line length, names that are identifiers."""

from __future__ import annotations

import keyword
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LINE: Final = 120
_RESERVED: Final = frozenset(
    re.findall(
        r"\w+",
        "auto,break,case,char,const,continue,default,do,double,else,enum,extern,float,for,goto,if,inline,int,long,main,register,"
        "restrict,return,short,signed,sizeof,static,struct,switch,typedef,union,unsigned,void,volatile,while",
    )
)


def identifier(name: str) -> str:
    """Return a name as a C identifier in lower case.

    >>> identifier("flights-late")
    'flights_late'
    """
    found = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "model"
    return f"m_{found}" if found[0].isdigit() or found in _RESERVED or keyword.iskeyword(found) else found


def number(value: float) -> str:
    """Write a float32 so that a compiler reads the same one.

    >>> number(0.1), number(2.0), number(float("inf"))
    ('0.1f', '2.0f', '(1.0f / 0.0f)')
    """
    single = np.float32(value)
    if np.isnan(single):
        return "(0.0f / 0.0f)"  # without math.h, which small compilers lack
    if np.isinf(single):
        return "(1.0f / 0.0f)" if single > 0 else "(-1.0f / 0.0f)"
    told = str(single)
    return f"{told}f" if "." in told or "e" in told else f"{told}.0f"


def double(value: float) -> str:
    """Write a float64 so that a compiler reads the same one.

    >>> double(0.1), double(86400000.0)
    ('0.1', '86400000.0')
    """
    if np.isnan(value):
        return "(0.0 / 0.0)"
    if np.isinf(value):
        return "(1.0 / 0.0)" if value > 0 else "(-1.0 / 0.0)"
    return repr(float(value))


def quoted(text: str) -> str:
    r"""Write a text as a literal, whatever is in it.

    >>> quoted('a"é')
    '"a\\042\\303\\251"'
    """
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?@' else f"\\{byte:03o}" for byte in text.encode("utf-8"))
    return f'"{plain}"'


def integer(value: int) -> str:
    """Write an int32; the lowest has no literal of its own in C."""
    return "(-2147483647 - 1)" if value == -(1 << 31) else str(value)


def kind_for(highest: int, *, lowest: int = 0) -> str:
    """Return the smallest integer type for a range."""
    for bits in (8, 16, 32):
        if lowest >= 0 and highest < 1 << bits:
            return f"uint{bits}_t"
        if -(1 << bits - 1) <= lowest and highest < 1 << bits - 1:
            return f"int{bits}_t"
    raise ValueError(f"{lowest} to {highest} need more than 32 bits")


def table(kind: str, name: str, cells: Iterable[str]) -> str:
    """Write a constant table."""
    told = list(cells)
    lines = textwrap.fill(
        ", ".join(told), LINE, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return f"static const {kind} {name}[{len(told)}] = {{\n{lines}\n}};\n"


def floats(name: str, values: NDArray[Any]) -> str:
    """Write a table of float32."""
    return table("float", name, map(number, values.ravel().tolist()))


def doubles(name: str, values: NDArray[Any]) -> str:
    """Write a table of float64."""
    return table("double", name, map(double, values.ravel().tolist()))


def texts(name: str, known: Sequence[str]) -> str:
    """Write a table of texts, one a line: a text may hold spaces and commas."""
    lines = ",\n".join(f"    {quoted(each)}" for each in known)
    return f"static const char *const {name}[{len(known)}] = {{\n{lines}\n}};\n"


def integers(name: str, values: Sequence[int], kind: str | None = None) -> str:
    """Write a table of integers, in the smallest type that holds them where none is named."""
    return table(kind or kind_for(max(values), lowest=min(values)), name, map(integer, values))


def comment(text: str) -> str:
    """Make text safe and short enough for a comment."""
    return " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *").encode("ascii", "replace").decode()
