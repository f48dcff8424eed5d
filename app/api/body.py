"""Reading a body: JSON only, whole numbers only, nothing a database or a log must not see."""

import re
from typing import Any, Final

import orjson
from starlette.requests import Request

from app.api.problems import MalformedBody, UnsupportedMediaType, path
from app.domain.errors import InvalidRequest

DEPTH_MAX: Final = 20
"""Deeper than any request of ours, and far from what recursion bears."""
SAFE_INTEGER: Final = 2**53 - 1
"""Beyond it JavaScript, and so many clients, cannot say which number was meant."""
JSON_TYPES: Final = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.ASCII)

# Issuers' ranges with their lengths (ISO/IEC 7812 and the networks' published tables).
CARD_NUMBER: Final = re.compile(
    r"""(?<![\w.-])(?:
        4(?:\d{12}|\d{15}|\d{18})                                 # Visa
      | (?:5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}  # Mastercard
      | 3[47]\d{13}                                               # American Express
      | 3(?:0[0-5]|[689]\d)\d{11}                                 # Diners Club
      | (?:6011|65\d{2}|64[4-9]\d)\d{12,15}                       # Discover
      | 35(?:2[89]|[3-8]\d)\d{12,15}                              # JCB
      | 62\d{14,17}                                               # UnionPay
      | (?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}        # Maestro
    )(?![\w.-])""",
    re.VERBOSE | re.ASCII,
)
GROUPED: Final = re.compile(r"(?<=\d)[ -](?=\d)")


class JsonRequest(Request):
    """A request whose body was read and checked before anything else sees it."""

    raw: bytes = b""
    value: Any = None

    async def body(self) -> bytes:
        return self.raw or b"{}"

    async def json(self) -> Any:
        return self.value


async def read(request: Request) -> JsonRequest:
    """Read the body of `request`. Raises MalformedBody, UnsupportedMediaType, InvalidRequest."""
    careful = JsonRequest(request.scope, request.receive)
    careful.raw = await request.body()
    careful.value = {}
    if careful.raw:
        if not JSON_TYPES.match(request.headers.get("content-type", "")):
            raise UnsupportedMediaType("Send the body as application/json.")
        careful.value = parse(careful.raw)
    elif "content-type" not in request.headers:
        # An absent body is an empty object: what is required is then named, field by field.
        careful.scope["headers"] = [
            *request.scope["headers"],
            (b"content-type", b"application/json"),
        ]
    return careful


def parse(raw: bytes) -> Any:
    """The value of a JSON text that is safe to pass on."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"The body is not JSON: {_said(error)}.") from None
    check(value)
    return value


def _said(error: orjson.JSONDecodeError) -> str:
    return f"line {error.lineno}, column {error.colno}"


def check(value: Any, location: tuple[str | int, ...] = ()) -> None:
    """Refuse what no field of ours takes, wherever it stands. Raises InvalidRequest."""
    match value:
        case str():
            _check_text(value, location)
        case bool() | None:
            pass
        case int():
            if abs(value) > SAFE_INTEGER:
                raise _number(location)
        case float():
            raise _number(location)
        case _:
            if len(location) >= DEPTH_MAX:
                raise MalformedBody(f"The body is nested more than {DEPTH_MAX} levels deep.")
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in pairs:
                if isinstance(key, str):
                    _check_text(key, location)
                check(item, (*location, key))


def _check_text(text: str, location: tuple[str | int, ...]) -> None:
    if "\x00" in text:
        raise _fault("Text cannot hold the NUL character.", "invalid_character", location)
    if looks_like_card(text):
        raise _fault(
            "This looks like a card number. Send the gateway's token, never the number itself.",
            "card_number_refused",
            location,
        )


def looks_like_card(text: str) -> bool:
    """Whether a number in `text`, grouped or not, is one a card could have."""
    if len(text) < 12 or not any(map(str.isdigit, text)):  # noqa: PLR2004  shorter than any card
        return False
    return any(_luhn(found[0]) for found in CARD_NUMBER.finditer(GROUPED.sub("", text)))


def _luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    odd = sum(map(int, digits[-1::-2]))
    even = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (odd + even) % 10 == 0


def _number(location: tuple[str | int, ...]) -> InvalidRequest:
    return _fault(
        "Numbers are whole and at most 2^53 - 1 here; write a decimal as text.",
        "invalid_number",
        location,
    )


def _fault(message: str, code: str, location: tuple[str | int, ...]) -> InvalidRequest:
    return InvalidRequest(message, code=code, param=path(location) or None)
