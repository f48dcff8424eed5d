"""Other people's text, made fit to print: no controls, nothing that turns the reading order round,
and for PDF only characters that the bundled fonts can show.
"""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

FONTS: Final = Path(__file__).with_name("fonts")
UNKNOWN: Final = "\u25a1"
"""Stands for a character that no bundled font has."""
# Controls but for the line break, surrogates, private use, noncharacters, and the marks that
# override the direction of writing.
UNFIT: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff\ufeff"
    "\u200e\u200f\u2028-\u202e\u2066-\u2069\U0001fffe-\U0001ffff\U000e0000-\U0010ffff]"
)


def clean(value: T) -> T:
    """`value` with every text in it, however deep in dataclasses and tuples, fit to print."""
    if isinstance(value, str):
        if type(value) is not str:  # an enumeration of ours
            return value
        fit = UNFIT.sub(" ", unicodedata.normalize("NFC", value).replace("\r\n", "\n"))
        return cast("T", fit.strip())
    if isinstance(value, tuple):
        return cast("T", tuple(clean(item) for item in value))
    if is_dataclass(value) and not isinstance(value, type):
        changed: dict[str, Any] = {
            field.name: clean(getattr(value, field.name)) for field in fields(value)
        }
        return cast("T", replace(value, **changed))
    return value


def printable(value: Any) -> Any:
    """JSON-like `value` in which characters without a glyph are shown as a box."""
    return _each(value, lambda char: covered(ord(char)) or char == "\n")


def plain(value: Any) -> Any:
    """JSON-like `value` without combining marks: what shaping can never stumble over."""
    return _each(
        value,
        lambda char: char == "\n" or (covered(ord(char)) and unicodedata.category(char)[0] != "M"),
    )


def _each(value: Any, fits: Any) -> Any:
    match value:
        case str():
            return "".join(char if fits(char) else UNKNOWN for char in value)
        case dict():
            return {key: _each(item, fits) for key, item in value.items()}
        case list() | tuple():
            return [_each(item, fits) for item in value]
        case _:
            return value


def covered(code: int) -> bool:
    """Whether a bundled font has a glyph for this code point."""
    starts, ends = _coverage()
    place = bisect_right(starts, code) - 1
    return place >= 0 and code <= ends[place]


@lru_cache(maxsize=1)
def _coverage() -> tuple[list[int], list[int]]:
    """Where the ranges of `fonts/coverage.txt` begin and end."""
    ranges = [line.split("-") for line in (FONTS / "coverage.txt").read_text().split()]
    return [int(low, 16) for low, _ in ranges], [int(high, 16) for _, high in ranges]
