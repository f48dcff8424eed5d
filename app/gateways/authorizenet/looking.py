"""Finding out: by the gateway's own name at once, by our reference through the lists.

Our reference is the order's invoice number. A look-up that found nothing has read, to the end, the
customer's list, the unsettled list and every batch since the transaction was first sent: so what it
did not find is not there, once the request is as old as `Capabilities` says. What cannot be read to
the end is `Inconclusive`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.domain.dispute import DisputeLookup
from app.domain.outcome import (
    Authorized,
    Found,
    Inconclusive,
    NotFound,
    Outcome,
    PaymentLookup,
    Pending,
    Refunded,
    RefundLookup,
    RefundOutcome,
    RefundPending,
    Succeeded,
    Unknown,
)
from app.gateways.authorizenet import states, words
from app.gateways.authorizenet.account import Account
from app.gateways.authorizenet.answers import Details, Summary
from app.gateways.authorizenet.books import LATE, SKEW, Books, BooksUnread, Span
from app.gateways.authorizenet.states import VOID_SUFFIX
from app.gateways.requests import PaymentQuery, RefundQuery

CHARGE_RANK: Final = (Succeeded, Authorized, Pending, Unknown)
"""What moved money or still may, in that order; then everything that does not."""
REFUND_RANK: Final = (Refunded, RefundPending, Unknown)
ABSENT: Final = NotFound(definitive=True)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for in the lists."""

    reference: str
    customer: str | None
    since: datetime | None
    """When it was first sent; None: at most 31 days ago."""


async def find_payment(account: Account, query: PaymentQuery) -> PaymentLookup:
    """How the charge with our reference stands now."""
    try:
        charges = await _charges(account.books, query)
        if not charges:
            return ABSENT
        found = [(states.charge_state(each, account.currency), each.id) for each in charges]
    except BooksUnread as error:
        return Inconclusive(error.cause)
    best: Outcome
    (best, _), *others = sorted(found, key=lambda one: _rank(one[0], CHARGE_RANK))
    return Found(best, tuple(name for state, name in others if isinstance(state, CHARGE_RANK)))


async def _charges(books: Books, query: PaymentQuery) -> list[Details]:
    known = await books.details(query.gateway_reference) if query.gateway_reference else None
    if known is not None and known.order.invoice == query.reference and is_charge(known):
        return [known]
    wanted = Wanted(query.reference, query.customer_reference, query.created_at)
    return [each for each in await _named(books, wanted) if is_charge(each)]


async def fetch_payment(account: Account, reference: str) -> PaymentLookup:
    """How the charge that the gateway calls so stands now."""
    try:
        details = await account.books.details(reference)
        if details is None or not is_charge(details):
            return ABSENT
        state = states.charge_state(details, account.currency)
    except BooksUnread as error:
        return Inconclusive(error.cause)
    return Found(state, reference=details.order.invoice or None)


async def find_refund(account: Account, query: RefundQuery) -> RefundLookup:
    """How the refund with our reference stands now.

    A whole charge that is voided before it settled was given back by that. And where the charge has
    a refund of the same amount that carries no reference of its own, it may be this one: then
    nothing is concluded.
    """
    try:
        return await _refund(account, query)
    except BooksUnread as error:
        return Inconclusive(error.cause)


async def _refund(account: Account, query: RefundQuery) -> RefundLookup:
    books, currency = account.books, account.currency
    if query.gateway_reference:
        known = await fetch_refund(account, query.gateway_reference)
        if isinstance(known, Found) and known.reference in (query.reference, None):
            return Found(known.outcome)
    charge = await books.details(query.payment_reference) if query.payment_reference else None
    if query.payment_reference and charge is None:
        return ABSENT
    if charge is not None and charge.status not in words.SETTLED:
        # Only what is settled can be credited; before that, only a void gives it back.
        # And nobody asks about a refund of what was never captured.
        voided = states.given_back_by_void(charge, currency, was_captured=True)
        is_whole = voided is not None and query.amount_minor in (None, voided.amount_minor)
        return Found(voided) if voided is not None and is_whole else ABSENT
    customer = charge.profile.customer if charge is not None and charge.profile else None
    wanted = Wanted(query.reference, customer, query.created_at)
    unnamed: list[Summary] = []
    refunds = [each for each in await _named(books, wanted, unnamed) if each.type == words.REFUND]
    if refunds:
        found = [(states.refund_state(each, currency), each.id) for each in refunds]
        best: RefundOutcome
        (best, _), *others = sorted(found, key=lambda one: _rank(one[0], REFUND_RANK))
        return Found(best, tuple(name for state, name in others if isinstance(state, REFUND_RANK)))
    if charge is not None and await _is_likely_ours(account, charge, unnamed, query):
        return Inconclusive("a_refund_without_our_reference")
    return ABSENT


async def _is_likely_ours(
    account: Account, charge: Details, unnamed: list[Summary], query: RefundQuery
) -> bool:
    """Whether one of the refunds without a reference of their own is of this charge and amount."""
    for summary in unnamed:
        if summary.invoice not in ("", charge.order.invoice):
            continue
        details = await account.books.details(summary.id)
        if details is None or details.origin != charge.id:
            continue
        if query.amount_minor in (None, states.moved(details, account.currency)):
            return True
    return False


async def fetch_refund(account: Account, reference: str) -> RefundLookup:
    """How the refund that the gateway calls so stands now."""
    charge_reference = reference.removesuffix(VOID_SUFFIX)
    try:
        details = await account.books.details(charge_reference)
        if details is None:
            return ABSENT
        if charge_reference != reference:
            voided = states.given_back_by_void(details, account.currency, was_captured=True)
            return Found(voided) if voided is not None else ABSENT
        if details.type != words.REFUND:
            return ABSENT
        state = states.refund_state(details, account.currency)
    except BooksUnread as error:
        return Inconclusive(error.cause)
    return Found(state, reference=details.order.invoice or None)


async def fetch_dispute(account: Account, reference: str) -> DisputeLookup:
    """How a dispute stands now."""
    try:
        details = await account.books.details(reference)
        report = states.dispute_state(details, account.currency) if details is not None else None
    except BooksUnread as error:
        return Inconclusive(error.cause)
    return Found(report) if report is not None else ABSENT


def is_charge(details: Details) -> bool:
    """Whether it is a charge: no refund, nor an entry of its own for what a bank took back."""
    return details.type != words.REFUND and not (
        details.status in words.DISPUTED and details.origin
    )


async def _named(
    books: Books, wanted: Wanted, unnamed: list[Summary] | None = None
) -> list[Details]:
    """The transactions with our reference, in whichever list shows them first."""
    for entries in _lists(books, wanted):
        named = []
        async for entry in entries:
            if entry.invoice == wanted.reference:
                named.append(entry.id)
            elif unnamed is not None and entry.status in words.REFUNDED:
                unnamed.append(entry)
        if named:
            return [await _listed(books, each) for each in named]
    return []


def _lists(books: Books, wanted: Wanted) -> list[AsyncIterator[Summary]]:
    is_named = wanted.customer is not None and wanted.customer.isdecimal()
    customer = [books.of_customer(wanted.customer or "")] if is_named else []
    return [*customer, books.unsettled(), _since(books, wanted.since)]


async def _since(books: Books, since: datetime | None) -> AsyncIterator[Summary]:
    """Everything settled since it was sent, by the gateway's clock, which has just been heard."""
    now = books.now
    if now is None:
        raise BooksUnread("no_date")
    start = min(since, now) - SKEW if since is not None else now - LATE
    async for summary in books.settled(Span(start, now)):
        yield summary


async def _listed(books: Books, id: str) -> Details:
    details = await books.details(id)
    if details is None:
        raise BooksUnread("listed_but_not_found")
    return details


def _rank(state: object, order: tuple[type, ...]) -> int:
    return next((place for place, kind in enumerate(order) if isinstance(state, kind)), len(order))
