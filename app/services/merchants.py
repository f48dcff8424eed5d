"""Merchants: the tenants, made by whoever runs the service."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from app.db import audit_log
from app.db import merchants as rows
from app.db.audit_log import Deed
from app.db.base import Row
from app.domain.errors import Conflict, InvalidRequest, NotFound
from app.ids import new_id
from app.runtime import Runtime
from app.services import api_keys
from app.services.api_keys import CreateKey

Mode = Literal["test", "live"]

SIMULATOR: Final = "simulator"
FIRST_KEY: Final = CreateKey(name="first key")


@dataclass(frozen=True, slots=True)
class CreateMerchant:
    """A tenant to be, and the first key it gets."""

    name: str
    mode: Mode = "test"
    default_currency: str = "USD"
    zone: str = "UTC"
    key: CreateKey = FIRST_KEY


@dataclass(frozen=True, slots=True)
class Opened:
    """A merchant; `secret` is its first key, shown this once, None when it had been shown."""

    merchant: Row
    secret: str | None = field(repr=False)


async def create(
    rt: Runtime, cmd: CreateMerchant, actor: str, idempotency_key: str | None = None
) -> Opened:
    """Open a merchant with its first key and, in test mode, an account with the simulator.

    The same `idempotency_key` gives the same merchant: its id is drawn from the key, so the
    primary key itself refuses a second one. Raises InvalidRequest when other facts come with it.
    """
    now = rt.clock.now()
    made_id = new_id() if idempotency_key is None else _id_of(idempotency_key)
    merchant = rows.NewMerchant(made_id, cmd.name, cmd.mode, cmd.default_currency, cmd.zone)
    async with rt.db.begin_system() as tx:
        if not await rows.insert(tx, merchant, now):
            known = await rows.one(tx, made_id)
            if known is None:
                raise Conflict("The merchant is being opened; ask again.", code="lock_timeout")
            return _again(known, merchant)
        if cmd.mode == "test":
            await rows.insert_gateway_account(tx, made_id, new_id(), SIMULATOR, cmd.mode, now)
        made = await api_keys.make(tx, made_id, cmd.mode, cmd.key, actor, now)
        await audit_log.append(
            tx, Deed(made_id, actor, "merchant.created", "merchant", made_id), now
        )
        row = await rows.one(tx, made_id)
    assert row is not None
    return Opened(row, made.secret)


def _id_of(idempotency_key: str) -> UUID:
    return UUID(bytes=hashlib.sha256(b"merchant " + idempotency_key.encode()).digest()[:16])


def _again(known: Row, asked: rows.NewMerchant) -> Opened:
    same = (known["name"], known["mode"], known["default_currency"], known["time_zone"]) == (
        asked.name,
        asked.mode,
        asked.default_currency,
        asked.zone,
    )
    if not same:
        raise InvalidRequest(
            "This Idempotency-Key came with another request before.",
            code="idempotency_key_reused",
            param="Idempotency-Key",
        )
    return Opened(known, None)


async def add_key(rt: Runtime, id: UUID, cmd: CreateKey, actor: str) -> str:
    """A further key for a merchant; returns the secret. Raises NotFound."""
    now: datetime = rt.clock.now()
    async with rt.db.begin_system() as tx:
        merchant = await rows.one(tx, id)
        if merchant is None:
            raise NotFound("There is no such merchant.")
        made = await api_keys.make(tx, id, merchant["mode"], cmd, actor, now)
    return made.secret


async def get(rt: Runtime, id: UUID) -> Row:
    """One merchant. Raises NotFound."""
    async with rt.db.begin_system() as tx:
        row = await rows.one(tx, id)
    if row is None:
        raise NotFound("There is no such merchant.")
    return row


async def page(rt: Runtime, after: UUID | None, limit: int) -> list[Row]:
    """Up to `limit` merchants older than `after`, the newest first, and one more if any."""
    async with rt.db.begin_system() as tx:
        return await rows.page(tx, after, limit + 1)
