"""Who is asking, from the Authorization header, and whether they may ask for this."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.requests import Request

from app.domain.errors import Forbidden, Unauthorized
from app.runtime import Runtime
from app.services import api_keys
from app.services.api_keys import TOKEN_CHARS_MAX, KeyRing
from app.services.caller import Caller

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


class Access(StrEnum):
    """Who may call a route."""

    SECRET = "secret"  # noqa: S105  a word, not one
    """Secret keys with the scope: the default."""
    PUBLISHABLE = "publishable"
    """Publishable keys too: what a price page in a browser may ask."""
    ADMIN = "admin"
    """Whoever runs the service."""
    GATEWAY = "gateway"
    """No key at all: whoever proves it by a gateway's signature."""
    LINK = "link"
    """No key at all: whoever holds a payment link, whose token is in the address."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a route asks of its callers: `customers:read`."""

    access: Access
    noun: str
    verb: str


async def authenticate(request: Request, rt: Runtime, ring: KeyRing, need: Need) -> Caller:
    """The caller behind `request`. Raises Unauthorized, Forbidden."""
    token = token_of(request)
    known = await ring.identify(rt, token)
    if known.publishable:
        if need.access is not Access.PUBLISHABLE:
            raise Forbidden("A publishable key may not do this.", code="secret_key_required")
    else:
        check_scope(known.scopes, need.noun, need.verb)
    return Caller(
        known.merchant_id,
        known.livemode,
        known.key_id,
        known.scopes,
        request.scope["request_id"],
        known.publishable,
    )


def check_scope(scopes: Collection[str], noun: str, verb: str) -> None:
    """Refuse what a key's scopes do not reach. Raises Forbidden."""
    if not api_keys.allows(scopes, noun, verb):
        raise Forbidden(f"The key needs the scope {noun}:{verb}.", code="insufficient_scope")


def authenticate_admin(request: Request, rt: Runtime) -> None:
    """Let whoever runs the service through. Raises Unauthorized, Forbidden."""
    key = rt.settings.admin_key
    if key is None:
        raise Forbidden("The merchants API is closed: no admin key is set.", code="admin_closed")
    # Digests have one length, so the comparison tells nothing about the key's.
    given = hashlib.sha256(token_of(request).encode()).digest()
    right = hashlib.sha256(key.get_secret_value().encode()).digest()
    if not hmac.compare_digest(given, right):
        raise Unauthorized("The admin key is not right.", code="invalid_api_key")


def token_of(request: Request) -> str:
    """The key in the header: as a bearer token, or as the user name of basic authentication."""
    header = request.headers.get("authorization")
    if header is None:
        raise Unauthorized("Send an API key: Authorization: Bearer sk_…", code="missing_api_key")
    scheme, _, rest = header.partition(" ")
    token = rest.strip()
    if scheme.lower() == "basic":
        try:
            token = base64.b64decode(token, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            token = ""
    elif scheme.lower() != "bearer":
        token = ""
    if not token or len(token) > TOKEN_CHARS_MAX:
        raise Unauthorized("The Authorization header cannot be read.", code="invalid_api_key")
    return token
