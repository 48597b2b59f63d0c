"""What a run is seen to use: processor and memory of a real process; a card as `nvidia-smi` tells of it, which is a script here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan.workspace.runs.resources import Resources


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the script that stands for nvidia-smi; it is told what to say by writing it."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "nvidia-smi"


def says(script: Path, text: str, code: int = 0) -> None:
    script.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
    script.chmod(0o755)


def of_cards() -> dict[str, float]:
    return {name: value for name, value in Resources(os.getpid()).measure().items() if "gpu" in name}


def test_a_process_uses_memory_and_without_a_card_nothing_is_said_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = Resources(os.getpid()).measure()

    assert {"system.cores", "system.rss_mb"} == set(found)
    assert found["system.rss_mb"] > 1


def test_each_card_tells_its_share_and_its_memory(cards: Path) -> None:
    says(cards, "37, 1024\\n0, 3\\n")

    assert {"system.gpu0.share": 37.0, "system.gpu0.mb": 1024.0, "system.gpu1.share": 0.0, "system.gpu1.mb": 3.0} == of_cards()


def test_what_a_card_does_not_tell_is_left_out(cards: Path) -> None:
    says(cards, "[N/A], 512\\n")

    assert {"system.gpu0.mb": 512.0} == of_cards()


def test_a_driver_that_fails_is_asked_no_more_and_the_rest_is_measured(cards: Path) -> None:
    says(cards, "no devices were found\\n", code=9)
    seen = Resources(os.getpid())

    assert {"system.cores", "system.rss_mb"} == set(seen.measure())
    assert seen._gpu is None
