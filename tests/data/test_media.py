"""What files of images, audio and text are like, and which are near-duplicates."""

from __future__ import annotations

import io
import struct
import warnings
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.io
from PIL import Image, ImageFilter
from scipy.io import wavfile

from sampan.data.media import SCHEMA, find_notices, read_file, summarize, with_near_duplicates
from sampan.data.media_texts import language_of
from sampan.errors import ParameterError
from sampan.workspace.workspace import Workspace


def scene(seed: int) -> Image.Image:
    """Draw soft blobs with some grain, as in a photograph."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).resize((320, 240), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 12, (240, 320, 1))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def tone(seconds: float, *, rate: int = 16_000, level: float = 0.5, channels: int = 1, width: int = 2) -> bytes:
    moments = np.arange(int(seconds * rate)) / rate
    samples = np.repeat(np.clip(level * np.sin(2 * np.pi * 440 * moments), -1, 1), channels)
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(channels)
        recording.setsampwidth(width)
        recording.setframerate(rate)
        whole = (samples * (2 ** (8 * width - 1) - 1)).astype("<i4")
        raw = whole.view(np.uint8).reshape(-1, 4)[:, :width] if width > 1 else (whole + 128).astype(np.uint8)
        recording.writeframes(raw.tobytes())
    return file.getvalue()


def table(files: dict[str, tuple[bytes, str]]) -> pl.DataFrame:
    rows = [
        {"path": path, "file": f"b3:{hash(data):x}", "type": kind, "size_bytes": len(data), **read_file(data, kind)}
        for path, (data, kind) in files.items()
    ]
    return with_near_duplicates(pl.DataFrame(rows, schema=SCHEMA))


def noticed(frame: pl.DataFrame) -> dict[str, int]:
    return {notice.what: notice.n_files for notice in find_notices(frame)}


def test_a_picture_says_its_size_colors_and_light() -> None:
    facts = read_file(encoded(Image.new("RGB", (40, 30), (255, 255, 255))), "image/png")

    assert facts == {
        "kind": "image",
        "problem": "",
        "width": 40,
        "height": 30,
        "mode": "RGB",
        "has_position": False,
        "brightness": 1.0,
        "contrast": 0.0,
        "sharpness": 0.0,
        "fingerprint": 0,
    }


def test_a_picture_that_says_where_it_was_taken_is_noticed() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"

    assert read_file(encoded(scene(1), "JPEG", exif=exif), "image/jpeg")["has_position"] is True


def test_pictures_that_were_scaled_or_compressed_again_are_near_duplicates() -> None:
    scenes = {f"{seed}.png": (encoded(scene(seed)), "image/png") for seed in range(40)}
    again = scene(3).resize((200, 150)).filter(ImageFilter.SMOOTH)
    found = table({**scenes, "copy.jpg": (encoded(again, "JPEG", quality=60), "image/jpeg"), "same.png": scenes["5.png"]})
    same = {path: other for path, other in found.select("path", "same_as").iter_rows() if other}

    assert same == {"copy.jpg": "3.png", "same.png": "5.png"}


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"II*\0", "image/tiff"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "audio/wav"),
        (b"\xff\xfe", "text/plain"),
    ],
)
def test_a_file_of_noise_has_a_problem_and_stops_nothing(head: bytes, kind: str) -> None:
    rng = np.random.default_rng(0)
    problems = [read_file(head + rng.bytes(n), kind)["problem"] for n in (0, 3, 40, 4_000) for _ in range(5)]

    assert all(problems)


def test_more_pictures_than_are_compared_at_once_are_compared_all() -> None:
    rng = np.random.default_rng(0)
    prints = rng.integers(0, 2**63, 5_000, dtype=np.uint64)
    prints[4_999] = prints[7] ^ np.uint64(0b101)
    names = [f"{i}" for i in range(5_000)]
    frame = pl.DataFrame({"path": names, "file": names, "fingerprint": prints}).with_columns(kind=pl.lit("image"), contrast=pl.lit(0.2))

    assert with_near_duplicates(frame).filter(pl.col("same_as").is_not_null()).select("path", "same_as").rows() == [("4999", "7")]


def test_dark_white_flat_blurred_broken_and_misnamed_pictures_stand_out() -> None:
    blurred = scene(50).filter(ImageFilter.GaussianBlur(8))
    files = {f"{seed}.png": (encoded(scene(seed)), "image/png") for seed in range(20)} | {
        "dark.png": (encoded(Image.new("RGB", (90, 90), (4, 4, 4))), "image/png"),
        "white.png": (encoded(Image.new("RGB", (90, 90), (253, 253, 253))), "image/png"),
        "blurred.png": (encoded(blurred), "image/png"),
        "cut.png": (encoded(scene(60))[:2_000], "image/png"),
        "named.jpg": (encoded(scene(61)), "image/png"),
        "words.png": (b"these are words", "text/plain"),
        "gray.png": (encoded(scene(62).convert("L")), "image/png"),
    }

    assert noticed(table(files)) == {
        "cannot be read": 1,
        "have an ending that is not of their type": 2,
        "are nearly black": 1,
        "are nearly white": 1,
        "show next to nothing": 2,
        "are blurred, against the others": 1,
        "have other colors than most": 1,
    }


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_recording_says_its_rate_length_and_loudness(width: int) -> None:
    facts = read_file(tone(0.5, rate=8_000, level=0.5, channels=2, width=width), "audio/wav")

    assert (facts["sample_rate_hz"], facts["channels"], facts["duration_s"], facts["silence_share"]) == (8_000, 2, 0.5, 0.0)
    assert facts["loudness_db"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.2)  # 8 bits are coarse


def test_a_recording_of_floats_is_read_as_well() -> None:
    samples = (0.5 * np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)).astype("<f4").tobytes()
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 3, 1, 8_000, 32_000, 4, 32, b"data", len(samples)
    )
    facts = read_file(header + samples, "audio/wav")

    assert (facts["problem"], facts["duration_s"]) == ("", 1.0)
    assert facts["loudness_db"] == pytest.approx(-9.03, abs=0.01)


@pytest.mark.parametrize("file", sorted(Path(scipy.io.__file__).parent.glob("tests/data/*.wav")), ids=lambda file: file.name)
def test_any_recording_is_read_or_says_why_not(file: Path) -> None:
    facts = read_file(file.read_bytes(), "audio/wav")
    try:
        with warnings.catch_warnings(action="ignore"):
            rate, samples = wavfile.read(file)
    except ValueError:  # it cannot read the file either, or finds its header inconsistent
        assert facts["problem"] or "inconsistent" in file.name
        return
    if not facts["problem"] and "early-eof" not in file.name:
        assert (facts["sample_rate_hz"], facts["duration_s"]) == (rate, len(samples) / rate)


def test_a_transparent_picture_is_as_light_as_the_page_it_lies_on() -> None:
    clear = encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0)))

    assert read_file(clear, "image/png")["brightness"] == 1.0


def test_silent_clipped_short_and_unlike_recordings_stand_out() -> None:
    files = {f"{n}.wav": (tone(2 + n / 10), "audio/wav") for n in range(20)} | {
        "silent.wav": (tone(2, level=0.0001), "audio/wav"),
        "clipped.wav": (tone(2, level=1.8), "audio/wav"),
        "short.wav": (tone(0.1), "audio/wav"),
        "other.wav": (tone(2, rate=44_100), "audio/wav"),
        "cut.wav": (tone(2)[:20], "audio/wav"),
        "music.mp3": (b"ID3....", "audio/mpeg"),
    }

    assert noticed(table(files)) == {
        "cannot be read": 2,
        "are silent": 1,
        "are clipped": 1,
        "are far shorter than the others": 1,
        "have another sample rate than most": 1,
    }


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("It was the best of times, it was the worst of times, it was the age of wisdom.", "en"),
        ("Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.", "vi"),
        ("Alle Menschen sind frei und gleich an Würde und Rechten geboren und sie sind mit Vernunft begabt.", "de"),
        ("Tous les êtres humains naissent libres et égaux en dignité et en droits et ils sont doués de raison.", "fr"),
        ("Todos los seres humanos nacen libres e iguales en dignidad y derechos y están dotados de razón.", "es"),
        ("すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。", "ja"),
        ("人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心。", "zh"),
        ("Все люди рождаются свободными и равными в своем достоинстве и правах.", "ru"),
        ("모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.", "ko"),
        ("x1 y2 z3", ""),
        ("foo bar baz qux quux corge grault garply waldo fred plugh xyzzy", ""),
    ],
)
def test_a_text_says_its_language_or_that_it_cannot_be_told(text: str, language: str) -> None:
    assert language_of(text) == language


def test_texts_with_few_words_changed_are_near_duplicates() -> None:
    rng = np.random.default_rng(1)
    words = [f"w{chr(97 + a)}{chr(97 + b)}" for a in range(26) for b in range(26)]
    texts = [" ".join(rng.choice(words, 300)) for _ in range(30)]
    near = texts[4].split()
    near[150] = "changed"
    found = table({f"{i}.txt": (text.encode(), "text/plain") for i, text in enumerate([*texts, " ".join(near)])})

    assert found.filter(pl.col("same_as").is_not_null()).select("path", "same_as").rows() == [("30.txt", "4.txt")]


def test_kinds_are_summed_up() -> None:
    first, second = summarize(table({"a.wav": (tone(1), "audio/wav"), "b.wav": (tone(3), "audio/wav"), "c.txt": (b"hello", "text/plain")}))

    assert (first.kind, first.n_files, first.ranges["duration_s"], first.words["sample_rate_hz"]) == (
        "audio",
        2,
        (1.0, 2.0, 3.0),
        {"16000": 2},
    )
    assert (second.kind, second.types, second.ranges["n_words"]) == ("text", {"text/plain": 1}, (1.0, 1.0, 1.0))


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.png").write_bytes(encoded(scene(1)))
    (tmp_path / "files" / "b.png").write_bytes(encoded(scene(1)))
    (tmp_path / "files" / "c.wav").write_bytes(tone(1))
    (tmp_path / "files" / "d.txt").write_text("Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm.")
    (tmp_path / "files" / "e.bin").write_bytes(bytes(9))
    with Workspace.open(tmp_path, actor="ana") as workspace:
        yield workspace


def test_a_folders_files_become_a_dataset_of_what_they_are_like(ws: Workspace) -> None:
    ws.data.add(ws.root / "files", name="shots")
    shown = ws.data.media("shots")
    again = ws.data.media("shots")
    node = ws.catalog.resolve("shots-media", kind="dataset")

    assert (shown.table, shown.n_files, again) == ("shots-media@v1", 5, shown)
    assert [(kind.kind, kind.n_files) for kind in shown.kinds] == [("image", 2), ("audio", 1), ("other", 1), ("text", 1)]
    assert [(notice.what, notice.examples) for notice in shown.notices] == [("are near-duplicates of another", ("b.png",))]
    assert [ws.catalog.node(edge.src).name for edge in ws.catalog.edges_to(node.id)] == ["shots"]
    assert "what stands out" in shown.text()


def test_a_table_that_is_not_of_files_is_refused(ws: Workspace) -> None:
    ws.data.add_table({"a": [1]}, name="numbers")
    with pytest.raises(ParameterError, match="no column path, file, type, size_bytes"):
        ws.data.media("numbers")
