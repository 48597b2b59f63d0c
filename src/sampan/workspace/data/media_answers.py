"""What looking into the files of a dataset answers."""

from __future__ import annotations

from sampan.core.answers import Answer
from sampan.data.media_found import KindSummary, Notice
from sampan.workspace.columns import align, count, size_text

_UNITS = {
    "width": "pixels",
    "height": "pixels",
    "duration_s": "s",
    "loudness_db": "dB",
    "n_characters": "characters",
    "n_words": "words",
    "size_bytes": "bytes",
}


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
            notices = [
                f"  {one.n_files:,} {one.what}: {', '.join(one.examples)}" + (" …" if one.n_files > len(one.examples) else "")
                for one in self.notices
            ]
            parts.append("\n".join(["what stands out:", *notices]))
        else:
            parts.append("nothing stands out")
        return "\n\n".join(parts)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
