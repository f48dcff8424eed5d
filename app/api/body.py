"""Reading a body: JSON only, whole numbers only, nothing a database or a log must not see."""

import re
from typing import Any, Final

import orjson
from starlette.requests import Request

from app.api.problems import BodyTooLarge, MalformedBody, UnsupportedMediaType, path
from app.domain.errors import InvalidRequest
from app.redaction import looks_like_card

DEPTH_MAX: Final = 20
"""Deeper than any request of ours, and far from what recursion bears."""
PUBLIC_BYTES_MAX: Final = 131_072
"""From whoever has no secret key: many times what a page sends. Each character is looked at, so a
large body takes a moment in which nobody else is answered.
"""
SAFE_INTEGER: Final = 2**53 - 1
"""Beyond it JavaScript, and so many clients, cannot say which number was meant."""
JSON_TYPES: Final = re.compile(r"application/(?:[\w.+-]+\+)?json\b", re.ASCII)


class JsonRequest(Request):
    """A request whose body was read and checked before anything else sees it."""

    raw: bytes = b""
    value: Any = None

    async def body(self) -> bytes:
        return self.raw or b"{}"

    async def json(self) -> Any:
        return self.value


async def read(request: Request, *, public: bool = False) -> JsonRequest:
    """Read the body of `request`; `public`: anybody may have sent it. Raises BodyTooLarge,
    MalformedBody, UnsupportedMediaType, InvalidRequest.
    """
    careful = JsonRequest(request.scope, request.receive)
    careful.raw = await _public(request) if public else await request.body()
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


async def _public(request: Request) -> bytes:
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > PUBLIC_BYTES_MAX:
            raise BodyTooLarge(f"A body may have {PUBLIC_BYTES_MAX} bytes here.")
    return bytes(raw)


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
            check_text(value, location)
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
                    check_text(key, location)
                check(item, (*location, key))


def check_text(text: str, location: tuple[str | int, ...]) -> None:
    """Refuse text that no field, parameter or header of ours takes. Raises InvalidRequest."""
    if "\x00" in text:
        raise _fault("Text cannot hold the NUL character.", "invalid_character", location)
    if looks_like_card(text):
        raise _fault(
            "This looks like a card number. Send the gateway's token, never the number itself.",
            "card_number_refused",
            location,
        )


def _number(location: tuple[str | int, ...]) -> InvalidRequest:
    return _fault(
        "Numbers are whole and at most 2^53 - 1 here; write a decimal as text.",
        "invalid_number",
        location,
    )


def _fault(message: str, code: str, location: tuple[str | int, ...]) -> InvalidRequest:
    return InvalidRequest(message, code=code, param=path(location) or None)
