"""What a recording is like: sample rate, channels, duration, loudness, silence, clipping. WAV is read, other formats are named."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SILENT_DB = -50.0  # of full scale
_FRAME_S = 0.02
_FULL = 0.999
_MOST_BYTES = 240_000_000  # twenty minutes of 48 kHz in stereo; the rest of a longer recording is not listened to


@dataclass(frozen=True, slots=True)
class _Wave:
    """A recording's header, and where its samples are."""

    form: int
    channels: int
    rate: int
    width: int  # bytes a sample
    samples: bytes
    n_bytes: int


def read_audio(data: bytes, media_type: str) -> dict[str, Any]:
    """Return a recording's facts; one that is damaged, or in a format that is not read, has a `problem`."""
    if media_type != "audio/wav":
        return {"problem": f"{media_type} is not read; only its size is known"}
    try:
        recording = _read_wave(data)
        samples = _samples(recording)
    except (ValueError, struct.error) as cause:
        return {"problem": str(cause)}
    n_frames = recording.n_bytes // (recording.width * recording.channels)
    facts = {"problem": "", "sample_rate_hz": recording.rate, "channels": recording.channels, "duration_s": n_frames / recording.rate}
    whole = len(samples) // recording.channels * recording.channels
    level = np.abs(samples[:whole].reshape(-1, recording.channels)).max(axis=1)
    return {**facts, **_loudness(level, recording.rate)} if len(level) else facts


def _read_wave(data: bytes) -> _Wave:
    """Read a RIFF file's chunks; Python's own `wave` knows whole numbers only, and models are fed floats."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("it does not begin with RIFF … WAVE")
    header: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt ":
            form, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at + 8)
            if form == _EXTENSIBLE and size >= 26:
                form = int.from_bytes(data[at + 32 : at + 34], "little")
            header = (form, channels, rate, (bits + 7) // 8)
        elif name == b"data" and header is not None:
            if not all(header):
                raise ValueError("its header has no sample rate, no channel or no sample width")
            n_bytes = min(size, len(data) - at - 8)
            return _Wave(*header, data[at + 8 : at + 8 + min(n_bytes, _MOST_BYTES)], n_bytes)
        at += 8 + size + size % 2
    raise ValueError("it ends before its samples begin")


def _samples(recording: _Wave) -> np.ndarray:
    """Return samples between -1 and 1."""
    width, raw = recording.width, recording.samples
    raw = raw[: len(raw) // width * width]
    if recording.form == _FLOAT and width in (4, 8):
        return np.nan_to_num(np.frombuffer(raw, dtype=f"<f{width}").astype(np.float64))
    if recording.form != _PCM or width > 4:
        raise ValueError(f"samples of form {recording.form} with {width} bytes are not read")
    if width == 1:  # unsigned
        return (np.frombuffer(raw, dtype=np.uint8).astype(np.float64) - 128) / 128
    if width == 3:
        padded = np.zeros((len(raw) // 3, 4), dtype=np.uint8)
        padded[:, 1:] = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 3)
        return np.asarray(padded.view("<i4").ravel() / 2.0**31)
    return np.asarray(np.frombuffer(raw, dtype=f"<i{width}") / float(2 ** (8 * width - 1)))


def _loudness(level: np.ndarray, rate: int) -> dict[str, float]:
    step = max(1, int(rate * _FRAME_S))
    starts = np.arange(0, len(level), step)
    power = np.add.reduceat(level**2, starts) / np.diff(np.append(starts, len(level)))
    silent = power < 10 ** (_SILENT_DB / 10)
    mean = float((level**2).mean())
    return {
        "loudness_db": 10 * float(np.log10(max(mean, 1e-12))),
        "silence_share": float(silent.mean()),
        "clipped_share": float((level >= _FULL).mean()),
    }
