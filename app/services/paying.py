"""What whoever holds a payment link may see and do: one invoice, and paying it.

A token opens its own invoice and nothing else of the merchant's. What is done by it goes the way of
every payment, so two clicks, two pages and the clock never charge twice.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from app.db import payment_links
from app.db.base import Row
from app.documents.model import Document
from app.domain.collection import PAYABLE
from app.domain.errors import Conflict, NotFound, RateLimited
from app.domain.invoice import Status as InvoiceStatus
from app.domain.payment import RETRYABLE
from app.domain.payment import Status as PaymentStatus
from app.domain.setup_session import Session, Status
from app.domain.vault import SetupFlow
from app.runtime import Runtime
from app.services import documents, gateways, invoices, payment_actions, setup_sessions
from app.services.caller import Caller
from app.services.invoices import PayInvoice
from app.services.payment_actions import Action
from app.services.payment_links import NOT_FOUND, digest, merchant_of
from app.services.setup_sessions import CreateSetupSession, Opened

ACTS_MAX: Final = 30
ACTS_WITHIN: Final = timedelta(hours=1)
"""So often something may be done by one link in that time: more than a customer with a few cards
needs, and too little to try out stolen ones by.
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A link that works, and the merchant in whose name it acts."""

    link: Row
    caller: Caller


@dataclass(frozen=True, slots=True)
class Account:
    """A gateway account that a new payment method can be kept at, and in which way."""

    id: UUID
    gateway: str
    name: str
    is_default: bool
    flow: SetupFlow


@dataclass(frozen=True, slots=True)
class Paper:
    """What a link shows: the invoice, how its payment stands, and with what it can be paid."""

    link: Row
    invoice: Row
    document: Document
    payment: Row | None
    methods: tuple[Row, ...]
    accounts: tuple[Account, ...]

    @property
    def is_payable(self) -> bool:
        """Whether paying may be begun now: it is owed, and nothing is under way."""
        if InvoiceStatus(self.invoice["status"]) not in PAYABLE:
            return False
        if self.payment is None:
            return True
        status = PaymentStatus(self.payment["status"])
        return status in RETRYABLE or status in OVER

    @property
    def is_declined(self) -> bool:
        """Whether the last try was declined."""
        known = self.payment is not None and self.payment["failure_code"] is not None
        return known and self.is_payable


OVER: Final = frozenset({PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED, PaymentStatus.REVERSED})


async def hold(rt: Runtime, token: str, request_id: str) -> Held:
    """The link that a token opens. Raises NotFound, which says so where it has ended."""
    merchant_id, hashed = merchant_of(token), digest(token)
    async with rt.db.begin(merchant_id) as tx:
        link = await payment_links.by_token(tx, merchant_id, hashed)
    if link is None or not hmac.compare_digest(link["token_hash"], hashed):
        raise NotFound(NOT_FOUND, code="payment_link_not_found")
    if link["revoked_at"] is not None:
        raise NotFound("This payment link was revoked.", code="payment_link_revoked")
    if link["expires_at"] <= rt.clock.now():
        raise NotFound("This payment link has expired.", code="payment_link_expired")
    livemode = link["mode"] == "live"
    return Held(link, Caller(merchant_id, livemode, None, frozenset(), request_id))


async def look(rt: Runtime, held: Held, language: str | None = None) -> Paper:
    """What the link shows now."""
    caller, link = held.caller, held.link
    document = await documents.for_invoice(rt, caller, link["invoice_id"], language)
    async with rt.db.begin(caller.merchant_id) as tx:
        invoice = await payment_links.invoice(tx, caller.merchant_id, link["invoice_id"])
        payment = await payment_links.payment(tx, caller.merchant_id, link["invoice_id"])
        methods = await payment_links.methods(tx, caller.merchant_id, link["customer_id"])
        accounts = await payment_links.accounts(tx, caller.merchant_id)
    assert invoice is not None, "only drafts are deleted, and links are of final invoices"
    is_owed = InvoiceStatus(invoice["status"]) in PAYABLE
    return Paper(
        link,
        invoice,
        document,
        payment,
        tuple(methods) if is_owed else (),
        _accounts(caller, accounts) if is_owed else (),
    )


async def pay(rt: Runtime, held: Held, method_id: UUID) -> Action:
    """Charge all that remains to a method that is kept; what is left for the customer to do.

    Raises Conflict while a payment is under way or none is owed, InvalidRequest, RateLimited.
    """
    await _count(rt, held)
    cmd = PayInvoice(held.link["invoice_id"], method_id)
    payment_id = await invoices.pay(rt, held.caller, cmd)
    return await payment_actions.action(rt, held.caller, payment_id)


async def act(rt: Runtime, held: Held) -> Action:
    """What is left for the customer to do for the payment that is under way. Raises Conflict."""
    async with rt.db.begin(held.caller.merchant_id) as tx:
        row = await payment_links.payment(tx, held.caller.merchant_id, held.link["invoice_id"])
    if row is None:
        raise Conflict("No payment is under way.", code="payment_not_begun")
    return await payment_actions.action(rt, held.caller, row["id"])


async def set_up(
    rt: Runtime,
    held: Held,
    account_id: UUID | None,
    return_url: str | None,
    parameters: Mapping[str, str],
) -> Opened:
    """Begin to keep a new payment method of the invoice's customer. Raises InvalidRequest,
    Conflict where nothing is owed, RateLimited.
    """
    await _count(rt, held)
    paper = await look(rt, held)
    if InvoiceStatus(paper.invoice["status"]) not in PAYABLE:
        status = paper.invoice["status"]
        raise Conflict(f"The invoice is {status}.", code=f"invoice_{status}")
    cmd = CreateSetupSession(
        customer_id=held.link["customer_id"],
        gateway_account_id=account_id,
        return_url=None if return_url else held.link["return_url"],
        secret_return_url=return_url,
        currency=held.link["currency"],
        parameters=parameters,
    )
    opened = await setup_sessions.create(rt, held.caller, cmd)
    async with rt.db.begin(held.caller.merchant_id) as tx:
        merchant, link = held.caller.merchant_id, held.link["id"]
        await payment_links.set_up(tx, merchant, link, opened.session["id"])
    return opened


async def complete(
    rt: Runtime, held: Held, parameters: Mapping[str, str]
) -> tuple[Session, Action | None]:
    """Go on with the set-up that was begun by this link; once it has kept a method, pay with it.

    May come again until then; a method that was declined is not tried again by it. Raises Conflict,
    NotFound.
    """
    session_id = held.link["setup_session_id"]
    if session_id is None:
        raise NotFound("Nothing was begun by this link.", code="setup_session_not_found")
    await _count(rt, held)
    session = await setup_sessions.complete(rt, held.caller, session_id, None, parameters)
    if session.status is not Status.COMPLETED or session.payment_method_id is None:
        return session, None
    if not (await look(rt, held)).is_payable:
        return session, None
    async with rt.db.begin(held.caller.merchant_id) as tx:
        await payment_links.set_up(tx, held.caller.merchant_id, held.link["id"], None)
    cmd = PayInvoice(held.link["invoice_id"], session.payment_method_id)
    payment_id = await invoices.pay(rt, held.caller, cmd)
    return session, await payment_actions.action(rt, held.caller, payment_id)


async def _count(rt: Runtime, held: Held) -> None:
    """Let something be done by the link, but not too often. Raises RateLimited."""
    now = rt.clock.now()
    async with rt.db.begin(held.caller.merchant_id) as tx:
        merchant, link = held.caller.merchant_id, held.link["id"]
        done = await payment_links.count_act(tx, merchant, link, now, now - ACTS_WITHIN)
    if done > ACTS_MAX:
        raise RateLimited(
            "Too much was tried with this link; try again later.",
            retry_after_seconds=int(ACTS_WITHIN.total_seconds()),
        )


def _accounts(caller: Caller, rows: list[Row]) -> tuple[Account, ...]:
    flows = {one.name: one.factory.capabilities.setup_flow for one in gateways.offered(caller)}
    return tuple(
        Account(row["id"], row["gateway"], row["name"], row["is_default"], flow)
        for row in rows
        if (flow := flows.get(row["gateway"])) is not None
    )
