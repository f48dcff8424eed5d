"""The books of a while: transactions to reconcile with, and disputes, which no webhook tells of."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from app.domain.dispute import DisputeReport
from app.gateways.authorizenet import looking, states, words
from app.gateways.authorizenet.account import Account
from app.gateways.authorizenet.answers import Details, Summary, Unreadable, minor_units
from app.gateways.authorizenet.books import LATE, BooksUnread, Span
from app.gateways.base import ListingFailed
from app.gateways.reports import GatewayTransaction, TransactionKind, TransactionStatus
from app.gateways.requests import TimeWindow

DISPUTE_AGE: Final = timedelta(days=180)
"""Cards may be charged back for 120 days and, in some cases, longer: so old a batch may still get a
dispute."""
STATUSES: Final = (
    (words.CAPTURED | words.REFUNDED, TransactionStatus.SUCCEEDED),
    (words.AUTHORIZED, TransactionStatus.AUTHORIZED),
    (words.DECLINED | {words.UNSETTLED}, TransactionStatus.FAILED),
    (words.GIVEN_UP, TransactionStatus.VOIDED),
)
AMBIGUOUS: Final = (
    words.REFUNDED | words.GIVEN_UP | words.DISPUTED | words.PENDING | {words.UNSETTLED}
)
"""Of these a list does not say enough: which charge a refund is of, or whether it is a refund."""


async def transactions(account: Account, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
    """Every charge and refund submitted in the window, each once. Raises ListingFailed.

    A charge that was voided after its capture is shown as captured and given back, by a refund of
    the same moment: a list does not say when it was voided.
    """
    seen: set[str] = set()
    try:
        async for summary in _submitted(account, window):
            if summary.id not in seen and window.start <= summary.submitted_at < window.end:
                seen.add(summary.id)
                for transaction in await _told(account, summary):
                    yield transaction
    except (BooksUnread, Unreadable) as error:
        raise ListingFailed(f"Authorize.net's books cannot be read to the end: {error}.") from None


async def _submitted(account: Account, window: TimeWindow) -> AsyncIterator[Summary]:
    async for summary in account.books.unsettled():
        yield summary
    last = window.end + LATE
    if account.books.now is not None:
        last = min(last, account.books.now)
    async for summary in account.books.settled(Span(window.start, last)):
        yield summary


async def _told(account: Account, summary: Summary) -> list[GatewayTransaction]:
    """What an entry of a list is: mostly one transaction, two for a charge given back by a void."""
    if summary.status not in AMBIGUOUS:
        amount = minor_units(summary.amount, account.currency)
        return [_charge(account, summary, amount)]
    details = await account.books.details(summary.id)
    if details is None:
        raise BooksUnread("listed_but_not_found")
    if details.type == words.REFUND:
        return [_refund(account, details)]
    if not looking.is_charge(details):
        return []
    amount = minor_units(details.amount, account.currency)
    voided = states.given_back_by_void(details, account.currency)
    if voided is None:
        return [_charge(account, summary, amount)]
    charge = GatewayTransaction(
        reference=details.id,
        kind=TransactionKind.CHARGE,
        status=TransactionStatus.SUCCEEDED,
        amount_minor=amount,
        currency=account.currency,
        created_at=details.submitted_at,
        our_reference=details.order.invoice or None,
        refunded_minor=amount,
    )
    refund = GatewayTransaction(
        reference=voided.gateway_reference,
        kind=TransactionKind.REFUND,
        status=TransactionStatus.SUCCEEDED,
        amount_minor=amount,
        currency=account.currency,
        created_at=details.submitted_at,
        payment_reference=details.id,
    )
    return [charge, refund]


def _charge(account: Account, summary: Summary, amount_minor: int) -> GatewayTransaction:
    return GatewayTransaction(
        reference=summary.id,
        kind=TransactionKind.CHARGE,
        status=_status(summary.status),
        amount_minor=amount_minor,
        currency=account.currency,
        created_at=summary.submitted_at,
        our_reference=summary.invoice or None,
    )


def _refund(account: Account, details: Details) -> GatewayTransaction:
    return GatewayTransaction(
        reference=details.id,
        kind=TransactionKind.REFUND,
        status=_status(details.status),
        amount_minor=minor_units(details.amount, account.currency),
        currency=account.currency,
        created_at=details.submitted_at,
        our_reference=details.order.invoice or None,
        payment_reference=details.origin,
    )


def _status(status: str) -> TransactionStatus:
    known = (ours for theirs, ours in STATUSES if status in theirs)
    return next(known, TransactionStatus.PENDING)


async def disputes(account: Account, window: TimeWindow) -> AsyncIterator[DisputeReport]:
    """Every dispute that may have been opened or changed in the window. Raises ListingFailed.

    The gateway does not say when a chargeback came, so one that is known is told again. Batches say
    how many they have: only those are read.
    """
    seen: set[str] = set()
    span = Span(window.start - DISPUTE_AGE, window.end)
    try:
        async for batch in account.books.batches(span, statistics=True):
            if not batch.may_have_disputes:
                continue
            async for summary in account.books.of_batch(batch):
                if summary.id in seen or not (
                    summary.has_returned or summary.status in words.DISPUTED
                ):
                    continue
                seen.add(summary.id)
                details = await account.books.details(summary.id)
                report = states.dispute_state(details, account.currency) if details else None
                if report is not None and _is_of(window, report):
                    yield report
    except BooksUnread as error:
        raise ListingFailed(f"Authorize.net's books cannot be read to the end: {error}.") from None


def _is_of(window: TimeWindow, report: DisputeReport) -> bool:
    return report.opened_at is None or window.start <= report.opened_at < window.end
