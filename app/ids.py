"""Identifiers: UUIDv7 inside, TypeID outside (`sub_01j…`), both sortable by time of creation.

A TypeID is a prefix, `_`, and the 128 bits as 26 digits of Crockford's base 32, lower case
(https://github.com/jetify-com/typeid, version 0.3.0).
"""

from typing import Final
from uuid import UUID

from uuid_utils.compat import uuid7

ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
PAIRS: Final = tuple(a + b for a in ALPHABET for b in ALPHABET)
VALUES: Final = {digit: value for value, digit in enumerate(ALPHABET)}
DIGITS: Final = 26

PREFIXES: Final = frozenset(
    """
    mer key cus pm plan price ftr cpn dis txr sub si inv il pay att re cn clock evt we del req gwa
    """.split()
)


class InvalidId(ValueError):
    """The text is not an identifier of the kind that was asked for."""


def new_id() -> UUID:
    """A new UUIDv7: the creation instant in milliseconds, then random bits."""
    return uuid7()


def show(prefix: str, id: UUID) -> str:
    """The public form of `id`: `show("sub", id)` is `sub_` and 26 digits."""
    rest = id.int
    digits = []
    for _ in range(13):
        digits.append(PAIRS[rest & 1023])
        rest >>= 10
    digits.reverse()
    return f"{prefix}_{''.join(digits)}"


def parse(prefix: str, text: str) -> UUID:
    """The UUID behind `text`, which must carry `prefix`. Raises InvalidId."""
    head, _, tail = text.rpartition("_")
    if head != prefix or len(tail) != DIGITS or tail[0] > "7":
        raise InvalidId(text)
    number = 0
    for digit in tail:
        value = VALUES.get(digit)
        if value is None:
            raise InvalidId(text)
        number = number << 5 | value
    return UUID(int=number)
