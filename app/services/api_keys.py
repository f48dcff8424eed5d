"""API keys: made once, kept as hashes, looked up on every request."""

import hashlib
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from app.db import api_keys as rows
from app.db import audit_log, views
from app.db.audit_log import Deed
from app.db.base import Row, Tx
from app.domain.errors import InvalidRequest, Unauthorized
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import idempotency, lookup, public
from app.services.caller import Caller

Kind = Literal["secret", "publishable"]

SECRET_BYTES: Final = 32
CACHED_SECONDS: Final = 5.0
"""A revoked key stops within this long in the other processes, at once in the one that revoked it.
In return a request costs no query to know who asks."""
CACHED_MAX: Final = 10_000
"""Keys remembered per process; beyond them the oldest are forgotten."""
TOUCHED_EVERY: Final = timedelta(minutes=1)
TOKEN_CHARS_MAX: Final = 128

NOUNS: Final = (
    "api_keys",
    "catalog",
    "coupons",
    "customers",
    "deliveries",
    "disputes",
    "dunning_policies",
    "dunning_runs",
    "events",
    "features",
    "gateway_accounts",
    "gateways",
    "invoices",
    "ledger",
    "meters",
    "offers",
    "payment_links",
    "payment_methods",
    "payments",
    "plans",
    "prices",
    "promotion_codes",
    "redemptions",
    "reconciliations",
    "reconciliation_differences",
    "refunds",
    "reports",
    "setup_sessions",
    "subscriptions",
    "tax_rates",
    "test_clocks",
    "usage_events",
    "webhook_endpoints",
)
SCOPES: Final = ("read", "write", *(f"{n}:{verb}" for n in NOUNS for verb in ("read", "write")))
"""`read` and `write` reach every noun; writing includes reading of the same reach."""


@dataclass(frozen=True, slots=True)
class CreateKey:
    """A key to be made; no scopes means all of them."""

    kind: Kind = "secret"
    name: str | None = None
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A new key: `secret` is shown this once and stored nowhere."""

    id: UUID
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Known:
    """What a token stands for, as remembered until `until` (a monotonic instant, seconds)."""

    merchant_id: UUID
    livemode: bool
    key_id: UUID
    scopes: frozenset[str]
    publishable: bool
    expires_at: datetime | None
    until: float


class KeyRing:
    """The keys one process has seen lately, by their hash."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    async def identify(self, rt: Runtime, token: str) -> Known:
        """Whose key `token` is. Raises Unauthorized, never saying which part of it is wrong."""
        digest = digest_of(token)
        known = self._known.get(digest)
        if known is None or known.until < time.monotonic():
            self._known.pop(digest, None)
            known = await _look_up(rt, digest)
            while len(self._known) >= CACHED_MAX:
                self._known.pop(next(iter(self._known)))
            self._known[digest] = known
        if known.expires_at is not None and known.expires_at <= rt.clock.now():
            raise _unknown()
        return known

    def forget(self, key_id: UUID) -> None:
        """Look this key up again at its next use."""
        self._known = {d: known for d, known in self._known.items() if known.key_id != key_id}


def digest_of(token: str) -> bytes:
    """SHA-256: keys are 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(token.encode()).digest()


def allows(scopes: Collection[str], noun: str, verb: str) -> bool:
    """Whether `scopes` let their holder read or write `noun`; writing includes reading."""
    if verb in scopes or f"{noun}:{verb}" in scopes:
        return True
    return verb == "read" and ("write" in scopes or f"{noun}:write" in scopes)


async def _look_up(rt: Runtime, digest: bytes) -> Known:
    now = rt.clock.now()
    async with rt.db.begin_system() as tx:
        row = await rows.by_hash(tx, digest)
        if row is None or row["revoked_at"] is not None:
            raise _unknown()
        if row["last_used_at"] is None or row["last_used_at"] < now - TOUCHED_EVERY:
            await rows.touch(tx, row["merchant_id"], row["id"], now, now - TOUCHED_EVERY)
    return Known(
        merchant_id=row["merchant_id"],
        livemode=row["mode"] == "live",
        key_id=row["id"],
        scopes=frozenset(row["scopes"]),
        publishable=row["kind"] == "publishable",
        expires_at=row["expires_at"],
        until=time.monotonic() + CACHED_SECONDS,
    )


def _unknown() -> Unauthorized:
    return Unauthorized("The API key is not known, or not valid any more.", code="invalid_api_key")


async def make(
    tx: Tx, merchant_id: UUID, mode: str, cmd: CreateKey, actor: str, now: datetime
) -> Made:
    """Make a key inside a transaction of the merchant or of the system."""
    prefix = f"{'pk' if cmd.kind == 'publishable' else 'sk'}_{mode}_"
    secret = prefix + secrets.token_urlsafe(SECRET_BYTES)
    key = rows.NewKey(
        id=new_id(),
        merchant_id=merchant_id,
        name=cmd.name,
        kind=cmd.kind,
        prefix=prefix,
        last_four=secret[-4:],
        hash=digest_of(secret),
        scopes=cmd.scopes or ("write",),
        expires_at=cmd.expires_at,
    )
    await rows.insert(tx, key, now)
    deed = Deed(
        merchant_id,
        actor,
        "api_key.created",
        "api_key",
        key.id,
        detail={"kind": key.kind, "scopes": list(key.scopes)},
    )
    await audit_log.append(tx, deed, now)
    return Made(key.id, secret)


async def create(rt: Runtime, caller: Caller, cmd: CreateKey) -> tuple[Row, str]:
    """Make a key for the caller's merchant, that can do no more than the caller's own can, and for
    no longer. Raises InvalidRequest.
    """
    now = rt.clock.now()
    if cmd.expires_at is not None and cmd.expires_at <= now:
        raise InvalidRequest("A key must end in the future.", param="expires_at")
    for place, scope in enumerate(cmd.scopes or ("write",)):
        if not _covers(caller.scopes, scope):
            raise InvalidRequest(
                "A key cannot make one that may do more than itself.",
                code="scope_exceeded",
                param=f"scopes[{place}]",
            )
    async with rt.db.begin(caller.merchant_id) as tx:
        await _check_end(tx, caller, cmd.expires_at)
        mode = "live" if caller.livemode else "test"
        made = await make(tx, caller.merchant_id, mode, cmd, _actor(caller), now)
        await idempotency.answered(tx, caller, show("key", made.id))
        row = await views.one(tx, views.API_KEY, caller.merchant_id, made.id)
        assert row is not None
    return row, made.secret


async def _check_end(tx: Tx, caller: Caller, expires_at: datetime | None) -> None:
    """Refuse a key that would outlive the one that makes it. Raises InvalidRequest."""
    if caller.key_id is None:
        return
    maker = await views.one(tx, views.API_KEY, caller.merchant_id, caller.key_id)
    assert maker is not None, "keys are never deleted"
    end = maker["expires_at"]
    if end is not None and (expires_at is None or expires_at > end):
        raise InvalidRequest(
            "A key cannot make one that outlives it.", code="expiry_exceeded", param="expires_at"
        )


def _covers(scopes: Collection[str], scope: str) -> bool:
    noun, _, verb = scope.rpartition(":")
    if noun:
        return allows(scopes, noun, verb)
    return verb in scopes or (verb == "read" and "write" in scopes)


async def revoke(rt: Runtime, ring: KeyRing, caller: Caller, id: UUID) -> Row:
    """End a key, for good. Raises NotFound."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await rows.revoke(tx, caller.merchant_id, id, now):
            raise lookup.missing(views.API_KEY)
        deed = Deed(
            caller.merchant_id,
            _actor(caller),
            "api_key.revoked",
            "api_key",
            id,
            request_id=caller.request_id,
        )
        await audit_log.append(tx, deed, now)
        await idempotency.answered(tx, caller, show("key", id))
        row = await views.one(tx, views.API_KEY, caller.merchant_id, id)
        assert row is not None
    ring.forget(id)
    return row


def _actor(caller: Caller) -> str:
    return "system" if caller.key_id is None else show("key", caller.key_id)


def shown(row: Row) -> dict[str, object]:
    """A key as callers see it: never the key itself."""
    return public.shown(views.API_KEY, row)
