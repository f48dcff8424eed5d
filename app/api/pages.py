"""Lists: how many, from where, in which filter; cursors fit only the list they are from."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from pydantic import Field

from app.api.common import Input, Instant
from app.domain.errors import InvalidRequest
from app.services.lookup import Page

LIMIT_MAX: Final = 100
LIMIT_DEFAULT: Final = 20
EXPANSIONS_MAX: Final = 10
CURSOR_CHARS_MAX: Final = 64
DIGEST_BYTES: Final = 8
ID_BYTES: Final = 16

EXPAND: Final = (
    "References to show in full, comma-separated or repeated: `expand=customer` puts the object "
    "beside `customer_id`. The key's scopes must reach it."
)
Expand = Annotated[
    list[str],
    Field(
        max_length=EXPANSIONS_MAX,
        description=EXPAND,
        examples=[["customer"]],
    ),
]


class Listing(Input):
    """What every list takes."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[
        str | None, Field(max_length=CURSOR_CHARS_MAX, description="`next_cursor` of a page.")
    ] = None
    expand: Expand = Field(default_factory=list)

    def filters(self) -> dict[str, Any]:
        """The filters that are set, by name."""
        own = {"limit", "cursor", "expand"}
        return {
            name: value
            for name in type(self).model_fields
            if name not in own and (value := getattr(self, name)) is not None
        }


class Created(Listing):
    """Lists of what has a moment of creation."""

    created_gte: Instant | None = None
    created_gt: Instant | None = None
    created_lte: Instant | None = None
    created_lt: Instant | None = None


def expansions(values: list[str]) -> list[str]:
    """The names in `expand`, each once. Raises InvalidRequest beyond EXPANSIONS_MAX."""
    names = list(dict.fromkeys(n for value in values for n in value.split(",") if n))
    if len(names) > EXPANSIONS_MAX:
        raise InvalidRequest(f"Expand at most {EXPANSIONS_MAX} references.", param="expand")
    return names


def _digest(scope: str, filters: Mapping[str, Any]) -> bytes:
    text = orjson.dumps([scope, filters], default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).digest()[:DIGEST_BYTES]


def cursor_for(scope: str, filters: Mapping[str, Any], after: UUID) -> str:
    """Where the next page of this list, in this filter, begins."""
    return base64.urlsafe_b64encode(after.bytes + _digest(scope, filters)).rstrip(b"=").decode()


def place_of(cursor: str | None, scope: str, filters: Mapping[str, Any]) -> UUID | None:
    """Where `cursor` says to go on. Raises InvalidRequest where it is from another list."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != ID_BYTES + DIGEST_BYTES or raw[ID_BYTES:] != _digest(scope, filters):
        raise InvalidRequest(
            "This cursor is not from this list with these filters.",
            code="invalid_cursor",
            param="cursor",
        )
    return UUID(bytes=raw[:ID_BYTES])


def listing(page: Page, scope: str, filters: Mapping[str, Any]) -> dict[str, Any]:
    """A page as callers see it."""
    after = page.next_after
    return {
        "object": "list",
        "data": page.objects,
        "has_more": after is not None,
        "next_cursor": None if after is None else cursor_for(scope, filters, after),
    }
