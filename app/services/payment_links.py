"""Payment links: made and revoked by a merchant; whoever holds one may pay one invoice.

A token is kept as a hash only. It names its merchant, so that nothing is read by it but under that
merchant's row-level security.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app import ids
from app.db import payment_links, views
from app.db.base import Row, Tx
from app.db.payment_links import NewLink
from app.domain import collection
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest, NotFound
from app.domain.event import Event, Type
from app.domain.invoice import Status
from app.domain.payment import Payment
from app.ids import new_id, new_token
from app.runtime import Runtime
from app.services import answers, deeds
from app.services.caller import Caller
from app.settings import settings

PREFIX: Final = "pl"
TOKEN_AT: Final = len(PREFIX) + 1 + ids.DIGITS
"""Where in a token the merchant ends, and what cannot be guessed begins."""
TOKEN_CHARS_MAX: Final = 128
LIFE: Final = timedelta(days=30)
"""How long a link works when nobody said: as long as people take to pay an invoice."""
LIFE_MAX: Final = timedelta(days=365)
NOT_FOUND: Final = "There is no such payment link."


@dataclass(frozen=True, slots=True)
class CreatePaymentLink:
    """Which invoice it is for; until when, and where the customer goes on from its page."""

    invoice_id: UUID
    expires_at: datetime | None = None
    return_url: str | None = None


async def create(rt: Runtime, caller: Caller, cmd: CreatePaymentLink) -> tuple[Row, str]:
    """A link to an open invoice, and its address, which is given this once.

    Raises InvalidRequest, Conflict.
    """
    now = rt.clock.now()
    expires_at = cmd.expires_at or now + LIFE
    if not now < expires_at <= now + LIFE_MAX:
        raise InvalidRequest(
            f"A link ends in the future, within {LIFE_MAX.days} days.", param="expires_at"
        )
    async with rt.db.begin(caller.merchant_id) as tx:
        await _check_payable(tx, caller, cmd.invoice_id)
        link_id, token = await issue(tx, caller.merchant_id, cmd, expires_at, now)
        await deeds.note(tx, caller, "payment_link.created", link_id, now)
        row = await answers.present(tx, caller, views.PAYMENT_LINK, link_id)
    return row, address(token)


async def issue(
    tx: Tx, merchant_id: UUID, cmd: CreatePaymentLink, expires_at: datetime, now: datetime
) -> tuple[UUID, str]:
    """Store a link in this transaction; its id and its token."""
    token = f"{ids.show(PREFIX, merchant_id)}_{new_token()}"
    link = NewLink(new_id(), cmd.invoice_id, digest(token), token[-4:], cmd.return_url, expires_at)
    await payment_links.insert(tx, merchant_id, link, now)
    return link.id, token


async def hosted(tx: Tx, decided: Sequence[Decision], now: datetime) -> list[Decision]:
    """The decisions; where one tells that the customer must act, its event says at which page."""
    return [
        replace(decision, events=tuple([await _hosted(tx, told, now) for told in decision.events]))
        if any(told.type is Type.PAYMENT_ACTION_REQUIRED for told in decision.events)
        else decision
        for decision in decided
    ]


async def _hosted(tx: Tx, told: Event, now: datetime) -> Event:
    payment = told.subject
    if told.type is not Type.PAYMENT_ACTION_REQUIRED or not isinstance(payment, Payment):
        return told
    cmd = CreatePaymentLink(payment.invoice_id)
    _, token = await issue(tx, payment.merchant_id, cmd, now + LIFE, now)
    return replace(told, subject=replace(payment, hosted_url=address(token)))


async def revoke(rt: Runtime, caller: Caller, link_id: UUID) -> UUID:
    """End a link, for good. Raises NotFound."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        if not await payment_links.revoke(tx, caller.merchant_id, link_id, now):
            raise NotFound(NOT_FOUND, code="payment_link_not_found")
        await deeds.note(tx, caller, "payment_link.revoked", link_id, now)
        await answers.present(tx, caller, views.PAYMENT_LINK, link_id)
    return link_id


def address(token: str) -> str:
    """Where a token's page is."""
    return f"{settings().public_url.rstrip('/')}/pay/{token}"


def digest(token: str) -> bytes:
    """SHA-256: tokens are random enough that nothing slower is needed."""
    return hashlib.sha256(token.encode()).digest()


def merchant_of(token: str) -> UUID:
    """The merchant that a token names; nothing is proved by that. Raises NotFound."""
    if len(token) > TOKEN_CHARS_MAX:
        raise NotFound(NOT_FOUND, code="payment_link_not_found")
    try:
        return ids.parse(PREFIX, token[:TOKEN_AT])
    except ids.InvalidId:
        raise NotFound(NOT_FOUND, code="payment_link_not_found") from None


async def _check_payable(tx: Tx, caller: Caller, invoice_id: UUID) -> None:
    row = await payment_links.invoice(tx, caller.merchant_id, invoice_id)
    if row is None:
        raise InvalidRequest(
            "There is no such invoice.", code="reference_not_found", param="invoice_id"
        )
    if Status(row["status"]) not in collection.PAYABLE:
        raise Conflict(f"The invoice is {row['status']}.", code=f"invoice_{row['status']}")
