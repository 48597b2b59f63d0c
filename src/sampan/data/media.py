"""What files of images, audio and text are like: one row a file, near-duplicates by fingerprint, and what stands out.

Each kind is read by a module of its own (`media_images`, `media_audio`, `media_texts`). A fingerprint is 64 bits that hardly change when
a picture is scaled or compressed again, or a few words of a text are changed; files whose fingerprints differ in few bits are called
near-duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import polars as pl

from sampan.data.media_audio import read_audio
from sampan.data.media_found import KindSummary, Notice
from sampan.data.media_images import read_image
from sampan.data.media_texts import read_text

SCHEMA: Final[dict[str, Any]] = {
    "path": pl.String,
    "file": pl.String,
    "type": pl.String,
    "size_bytes": pl.Int64,
    "kind": pl.String,  # image | audio | text | other
    "problem": pl.String,  # why it could not be read
    "width": pl.Int64,
    "height": pl.Int64,
    "mode": pl.String,
    "brightness": pl.Float64,  # mean, 0 black to 1 white
    "contrast": pl.Float64,  # standard deviation of the brightness
    "sharpness": pl.Float64,  # variance of the Laplacian, at 256 pixels
    "has_position": pl.Boolean,  # the picture says where it was taken
    "sample_rate_hz": pl.Int64,
    "channels": pl.Int64,
    "duration_s": pl.Float64,
    "loudness_db": pl.Float64,  # of full scale
    "silence_share": pl.Float64,
    "clipped_share": pl.Float64,
    "n_characters": pl.Int64,
    "n_words": pl.Int64,
    "language": pl.String,
    "fingerprint": pl.UInt64,
    "same_as": pl.String,  # the first file this one is a near-duplicate of
}
_NEAR: Final = {"image": 5, "text": 8}  # bits of 64 that may differ; unrelated files differ in 32 ± 4
_BLOCK = 2_048
_ENDINGS: Final = {
    "image/png": {".png"},
    "image/jpeg": {".jpg", ".jpeg", ".jpe"},
    "image/gif": {".gif"},
    "image/bmp": {".bmp"},
    "image/webp": {".webp"},
    "image/tiff": {".tif", ".tiff"},
    "audio/wav": {".wav"},
    "audio/flac": {".flac"},
    "audio/mpeg": {".mp3"},
    "application/pdf": {".pdf"},
}
_TYPED_ENDINGS: Final = frozenset().union(*_ENDINGS.values())
_DARK, _BRIGHT, _FLAT = 0.06, 0.94, 0.02
_BLURRED = 0.1  # of the median sharpness
_SILENT, _CLIPPED = 0.95, 0.01
_SHORT_OF_MEDIAN = 0.1  # of the median length
_RARE = 0.1  # of the files: a sample rate, size or language that few have
_EXAMPLES = 3


def read_file(data: bytes, media_type: str) -> dict[str, Any]:
    """Return what is known of one file; `problem` says why it could not be read, "" where it could.

    Raises
    ------
    MissingDependency : it is a picture, and Pillow is not installed (the extra `media`).
    """
    if media_type.startswith("image/") and media_type != "image/svg+xml":
        return {"kind": "image", **read_image(data)}
    if media_type.startswith("audio/"):
        return {"kind": "audio", **read_audio(data, media_type)}
    if media_type.startswith("text/") or media_type in ("application/json", "application/x-empty"):
        return {"kind": "text", **read_text(data)}
    return {"kind": "other", "problem": ""}


def with_near_duplicates(frame: pl.DataFrame) -> pl.DataFrame:
    """Fill `same_as`: the path of the first file, in the table's order, with the same content or nearly the same fingerprint."""
    first_of: dict[str, int] = {}
    same = np.full(frame.height, -1)
    for i, digest in enumerate(frame["file"].to_list()):
        same[i] = first_of.setdefault(digest, i)
    same[same == np.arange(frame.height)] = -1
    for kind, n_bits in _NEAR.items():
        # Pictures without any detail all have the same fingerprint.
        told = (pl.col("kind") == kind) & pl.col("fingerprint").is_not_null() & (pl.col("contrast").fill_null(1.0) >= _FLAT)
        rows = np.flatnonzero(frame.select(told).to_series().to_numpy() & (same < 0))
        prints = frame["fingerprint"].gather(rows).to_numpy().astype(np.uint64)
        for later, earlier in _near(prints, n_bits):
            same[rows[later]] = rows[earlier]
    paths = frame["path"].to_list()
    return frame.with_columns(pl.Series("same_as", [paths[i] if i >= 0 else None for i in same.tolist()], dtype=pl.String))


def _near(prints: np.ndarray, n_bits: int) -> Iterator[tuple[int, int]]:
    """Yield, for each fingerprint that is near an earlier one, the two places; all pairs are compared, in blocks."""
    for start in range(0, len(prints), _BLOCK):
        block = prints[start : start + _BLOCK]
        nearest = np.full(len(block), -1)
        for other in range(0, start + len(block), _BLOCK):
            close = np.bitwise_count(block[:, None] ^ prints[None, other : other + _BLOCK]) <= n_bits
            earlier = close & (np.arange(other, other + close.shape[1])[None, :] < np.arange(start, start + len(block))[:, None])
            found = earlier.any(axis=1) & (nearest < 0)
            nearest[found] = other + earlier[found].argmax(axis=1)
        yield from ((start + i, int(place)) for i, place in enumerate(nearest.tolist()) if place >= 0)


def summarize(frame: pl.DataFrame) -> tuple[KindSummary, ...]:
    """Sum the files up by kind, the most files first."""
    parts = sorted(frame.partition_by("kind"), key=lambda part: (-part.height, part["kind"][0]))
    return tuple(_summary(part) for part in parts)


def _summary(part: pl.DataFrame) -> KindSummary:
    ranges, words = {}, {}
    for name, dtype in SCHEMA.items():
        values = part[name].drop_nulls()
        if not len(values) or name in ("path", "file", "type", "kind", "problem", "fingerprint", "same_as", "has_position"):
            continue
        if dtype == pl.String or name in ("sample_rate_hz", "channels"):
            words[name] = _counted(values)
        else:
            low, middle, high = values.min(), values.median(), values.max()
            ranges[name] = (float(low), float(middle), float(high))  # type: ignore[arg-type]  # numbers, by the schema
    kind, n_bytes = str(part["kind"][0]), int(part["size_bytes"].sum())
    return KindSummary(kind=kind, n_files=part.height, n_bytes=n_bytes, types=_counted(part["type"]), ranges=ranges, words=words)


def _counted(values: pl.Series) -> dict[str, int]:
    return dict(Counter(str(value) for value in values.to_list()).most_common(10))


def find_notices(frame: pl.DataFrame) -> tuple[Notice, ...]:
    """Find what stands out: broken and near-duplicate files, wrong endings, dark, flat, blurred, silent, clipped, short or mixed ones."""
    blurred = pl.col("sharpness") < _BLURRED * pl.col("sharpness").median()
    checks: list[tuple[str, pl.Expr]] = [
        ("cannot be read", pl.col("problem").fill_null("") != ""),
        ("hold nothing", pl.col("size_bytes") == 0),
        ("are near-duplicates of another", pl.col("same_as").is_not_null()),
        ("have an ending that is not of their type", _wrong_ending(frame)),
        ("say where they were taken", pl.col("has_position")),
        ("are nearly black", pl.col("brightness") < _DARK),
        ("are nearly white", pl.col("brightness") > _BRIGHT),
        ("show next to nothing", pl.col("contrast") < _FLAT),
        ("are blurred, against the others", blurred & (pl.col("contrast") >= _FLAT)),
        ("are silent", pl.col("silence_share") >= _SILENT),
        ("are clipped", pl.col("clipped_share") >= _CLIPPED),
        ("are far shorter than the others", _short(frame)),
        ("have another sample rate than most", _unlike_most("sample_rate_hz", frame)),
        ("have other colors than most", _unlike_most("mode", frame)),
        ("are in another language than most", _unlike_most("language", frame)),
    ]
    found = []
    for what, holds in checks:
        paths = frame.filter(holds.fill_null(value=False))["path"]
        if len(paths):
            found.append(Notice(what, len(paths), tuple(paths.head(_EXAMPLES).to_list())))
    return tuple(found)


def _wrong_ending(frame: pl.DataFrame) -> pl.Expr:
    wrong = [
        bool(suffix := PurePosixPath(path).suffix.lower())
        and suffix not in _ENDINGS.get(kind, ())
        and (kind in _ENDINGS or (suffix in _TYPED_ENDINGS and size > 0))
        for path, kind, size in zip(frame["path"].to_list(), frame["type"].to_list(), frame["size_bytes"].to_list(), strict=True)
    ]
    return pl.lit(pl.Series(wrong, dtype=pl.Boolean))


def _short(frame: pl.DataFrame) -> pl.Expr:
    """Audio and texts much shorter than the median; of so few files that have one, none."""
    del frame
    seconds, words = pl.col("duration_s"), pl.col("n_words")
    return (seconds < _SHORT_OF_MEDIAN * seconds.median()) | ((words < _SHORT_OF_MEDIAN * words.median()) & (pl.col("size_bytes") > 0))


def _unlike_most(name: str, frame: pl.DataFrame) -> pl.Expr:
    counts = frame[name].drop_nulls().value_counts(sort=True)
    if counts.height < 2:
        return pl.lit(value=False)
    rare = counts.filter(pl.col("count") <= _RARE * int(counts["count"].sum()))[name]
    return pl.col(name).is_in(rare.implode())
