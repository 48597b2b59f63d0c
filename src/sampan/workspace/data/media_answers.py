"""What looking into the files of a dataset answers."""

from __future__ import annotations

from sampan.core.answers import Answer
from sampan.data.media_found import KindSummary, Notice
from sampan.workspace.columns import align, count, cut, size_text

_UNITS = {
    "width": "pixels",
    "height": "pixels",
    "duration_s": "s",
    "loudness_db": "dB",
    "n_characters": "characters",
    "n_words": "words",
    "size_bytes": "bytes",
}

_OF_ONE = {"are": "is", "have": "has", "hold": "holds", "say": "says", "show": "shows"}
_WIDEST = 80


class MediaShown(Answer, frozen=True, kw_only=True):
    """What a dataset's files are like, and what stands out among them."""

    ref: str
    table: str  # the dataset that holds a row a file
    n_files: int
    kinds: tuple[KindSummary, ...]
    notices: tuple[Notice, ...]

    def text(self) -> str:
        """Kind by kind, then what stands out."""
        parts = [f"{self.ref}: {count(self.n_files, 'file')}, one row each in {self.table}"]
        for kind in self.kinds:
            types = ", ".join(f"{name} ({n:,})" for name, n in kind.types.items())
            lines = [f"{kind.kind}: {count(kind.n_files, 'file')}, {size_text(kind.n_bytes)}: {types}"]
            rows = [(name, *(_number(value) for value in found), _UNITS.get(name, "")) for name, found in kind.ranges.items()]
            if rows:
                lines.append(align(("", "least", "median", "most", ""), rows, right=("least", "median", "most")))
            lines += [f"  {name}: {', '.join(f'{word} ({n:,})' for word, n in counts.items())}" for name, counts in kind.words.items()]
            parts.append("\n".join(lines))
        if self.notices:
            parts.append("\n".join(["what stands out:", *map(_notice_text, self.notices)]))
        else:
            parts.append("nothing stands out")
        return "\n\n".join(parts)


def _notice_text(notice: Notice) -> str:
    verb, _, rest = notice.what.partition(" ")
    what = f"{_OF_ONE.get(verb, verb)} {rest}" if notice.n_files == 1 else notice.what
    more = " …" if notice.n_files > len(notice.examples) else ""
    return f"  {notice.n_files:,} {what}: {', '.join(cut(name, _WIDEST) for name in notice.examples)}{more}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
