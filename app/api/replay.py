"""Idempotency-Key over HTTP: which requests are the same, and what is kept of an answer."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app import log
from app.api import problems
from app.api.answers import SecretResponse, answer
from app.api.body import JsonRequest, check_text
from app.domain.errors import (
    BillingError,
    Forbidden,
    InvalidRequest,
    RateLimited,
    Stale,
    Unauthorized,
    Unavailable,
)
from app.runtime import Runtime
from app.services import idempotency, lookup
from app.services.caller import Caller, Claim
from app.services.idempotency import Done, InProgress, Kept

KEY_CHARS_MAX: Final = 255
PUBLIC: Final = "public "
"""Before the keys that pages send, in which anybody may have put what a backend will: a word that
no key can begin with.
"""
KEPT_HEADERS: Final = ("content-type", "etag")
REPLAYED: Final = {"Idempotent-Replayed": "true"}
PASSING: Final = (Forbidden, InProgress, RateLimited, Unauthorized, Unavailable)
PASSING_CODES: Final = frozenset({"lock_timeout"})
SERVER_FAULT: Final = 500

logger = log.get(__name__)


async def once(
    rt: Runtime,
    request: JsonRequest,
    respond: Callable[[Request], Awaitable[Response]],
    status: int,
) -> Response:
    """Answer `request`, or answer it again as before when its Idempotency-Key says so."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return await respond(request)
    check_key(key)
    caller: Caller = request.scope["caller"]
    if caller.publishable:
        key = PUBLIC + key
    match await idempotency.claim(rt, caller, key, fingerprint(request)):
        case Kept() as kept:
            return Response(kept.body, kept.status, {**kept.headers, **REPLAYED})
        case Done() as done:
            present = await lookup.by_public_id(rt, caller, done.resource)
            return answer(present, status, REPLAYED)
        case Claim() as claim:
            caller = replace(caller, claim=claim)
            request.scope["caller"] = caller
            return await _first(rt, caller, request, respond)


def check_key(key: str) -> None:
    """Refuse what cannot be a key. Raises InvalidRequest."""
    if not 1 <= len(key) <= KEY_CHARS_MAX or not all("!" <= char <= "~" for char in key):
        raise InvalidRequest(
            f"An Idempotency-Key has 1 to {KEY_CHARS_MAX} printable ASCII characters, no blanks.",
            code="invalid_idempotency_key",
            param="Idempotency-Key",
        )
    check_text(key, ("Idempotency-Key",))


def fingerprint(request: JsonRequest) -> bytes:
    """What makes two requests the same: method, address and body, byte for byte."""
    scope = request.scope
    parts = (
        scope["method"].encode(),
        scope["path"].encode(),
        scope["query_string"],
        request.headers.get("if-match", "").encode(),
        request.raw,
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest()


async def _first(
    rt: Runtime,
    caller: Caller,
    request: JsonRequest,
    respond: Callable[[Request], Awaitable[Response]],
) -> Response:
    try:
        response = await respond(request)
    except BillingError as error:
        response = await problems.billing_error(request, error)
        if _passing(error, request):
            await idempotency.release(rt, caller)
            return response
    except Exception:
        # A wrong shape, or our own fault: nothing was done, so the key is free again.
        await idempotency.release(rt, caller)
        raise
    if response.status_code >= SERVER_FAULT or isinstance(response, SecretResponse):
        # A secret is never stored: a replay shows the object without it.
        await idempotency.release(rt, caller)
        return response
    try:
        await idempotency.keep(rt, caller, _kept(response))
    except Exception as error:
        logger.warning("answer_not_kept", request_id=caller.request_id, exc_info=error)
    return response


def _passing(error: BillingError, request: Request) -> bool:
    """Whether the same request may fare better a moment later."""
    overtaken = isinstance(error, Stale) and "if-match" not in request.headers
    return overtaken or isinstance(error, PASSING) or error.code in PASSING_CODES


def _kept(response: Response) -> Kept:
    headers = {
        name: value for name, value in response.headers.items() if name.lower() in KEPT_HEADERS
    }
    return Kept(response.status_code, bytes(response.body), headers)
