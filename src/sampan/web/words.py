"""The pages' words in Vietnamese. English is the key; a word that is missing shows in English, and a test names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LANGUAGES: Final = ("en", "vi")

VIETNAMESE: Final[dict[str, str]] = {
    "Skip to content": "Đến nội dung",
    "Main": "Chính",
    "Home": "Trang chủ",
    "Not shown": "Không hiển thị được",
    "What to do next": "Việc nên làm tiếp",
    "to": "đến",
}


def translator(language: str) -> Callable[[str], str]:
    """Return the function that puts an English text into `language`."""
    if language == "vi":
        return lambda text: VIETNAMESE.get(text, text)
    return lambda text: text
