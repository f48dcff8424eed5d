"""The words around the figures, in each language that documents speak."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("en", "nl", "de", "fr", "es", "hi", "ja")
FALLBACK: Final = "en"
FOLDER: Final = Path(__file__).with_name("languages")


@lru_cache(maxsize=len(LANGUAGES))
def of(language: str) -> Mapping[str, str]:
    """Every word, by its key, in one of LANGUAGES."""
    assert language in LANGUAGES, language
    words: Mapping[str, str] = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
    return words


def best(*wishes: str | None) -> str:
    """The first wish that we speak ("de-AT" is German), or English."""
    for wish in wishes:
        primary = (wish or "").replace("_", "-").partition("-")[0].lower()
        if primary in LANGUAGES:
            return primary
    return FALLBACK
