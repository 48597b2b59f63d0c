"""What a recording is like: sample rate, channels, duration, loudness, silence, clipping. WAV is read, other formats are named."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np

_SILENT_DB = -50.0  # of full scale
_FRAME_S = 0.02
_FULL = 0.999
_MOST_FRAMES = 30_000_000  # ten minutes at 48 kHz; the rest of a longer recording is not listened to


def read_audio(data: bytes, media_type: str) -> dict[str, Any]:
    """Return a recording's facts; one that is damaged, or in a format that is not read, has a `problem`."""
    if media_type != "audio/wav":
        return {"problem": f"{media_type} is not read; only its size is known"}
    try:
        with wave.open(io.BytesIO(data)) as recording:
            rate, channels, width = recording.getframerate(), recording.getnchannels(), recording.getsampwidth()
            n_frames = recording.getnframes()
            samples = _samples(recording.readframes(min(n_frames, _MOST_FRAMES)), width)
    except (wave.Error, EOFError, ValueError) as cause:
        return {"problem": str(cause) or "it ends before its header does"}
    if not rate or not channels:
        return {"problem": "its header has no sample rate or no channel"}
    facts = {"problem": "", "sample_rate_hz": rate, "channels": channels, "duration_s": n_frames / rate}
    mono = np.abs(samples[: len(samples) // channels * channels].reshape(-1, channels)).max(axis=1)
    return {**facts, **_loudness(mono, rate)} if len(mono) else facts


def _samples(raw: bytes, width: int) -> np.ndarray:
    """Return samples between -1 and 1."""
    if width == 1:  # unsigned
        return (np.frombuffer(raw, dtype=np.uint8).astype(np.float64) - 128) / 128
    if width == 3:
        whole = np.frombuffer(raw[: len(raw) // 3 * 3], dtype=np.uint8).reshape(-1, 3)
        padded = np.zeros((len(whole), 4), dtype=np.uint8)
        padded[:, 1:] = whole
        return padded.view("<i4").ravel() / 2.0**31
    if width not in (2, 4):
        raise ValueError(f"samples of {width} bytes are not read")
    return np.frombuffer(raw[: len(raw) // width * width], dtype=f"<i{width}") / float(2 ** (8 * width - 1))


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
