"""Razorpay's own books, page by page: everything once, or word that they could not be read."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from app.domain.dispute import DisputeReport
from app.domain.outcome import Inconclusive, NotFound
from app.gateways.base import ListingFailed
from app.gateways.razorpay import outcomes
from app.gateways.razorpay.wire import Wire, unfound
from app.gateways.razorpay.words import Dispute, Entry, Page, Payment, Problem, Refund, moment, read
from app.gateways.reports import GatewayTransaction, TransactionKind, TransactionStatus
from app.gateways.requests import TimeWindow
from app.http import Answer

PAGE_SIZE: Final = 100
"""The most that Razorpay lists at once."""
PAGES_MAX: Final = 10_000
"""A million entries of one window: more than that is a list that does not end."""
PAYMENT_STATUS: Final = {
    "captured": TransactionStatus.SUCCEEDED,
    "refunded": TransactionStatus.SUCCEEDED,
    "authorized": TransactionStatus.AUTHORIZED,
    "created": TransactionStatus.PENDING,
    "failed": TransactionStatus.FAILED,
}
REFUND_STATUS: Final = {
    "processed": TransactionStatus.SUCCEEDED,
    "failed": TransactionStatus.FAILED,
}


class BrokenOff(Exception):
    """The list could not be read to its end; `cause` is a short word."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class NoList(BrokenOff):
    """There is no such list."""


async def entries(
    wire: Wire, path: str, params: Mapping[str, str], page: type[Page[Entry]]
) -> AsyncIterator[Entry]:
    """Each entry of a list once, though it may grow at its head meanwhile.

    Raises BrokenOff, AuthenticationError.
    """
    seen: set[str] = set()
    for number in range(PAGES_MAX):
        turn = {"count": str(PAGE_SIZE), "skip": str(number * PAGE_SIZE)}
        reply = await wire.look(path, {**params, **turn})
        match reply:
            case Inconclusive(cause):
                raise BrokenOff(cause)
            case Problem():
                told = unfound(reply)
                raise NoList("absent") if isinstance(told, NotFound) else BrokenOff(told.cause)
            case Answer():
                found = read(page, reply)
                if found is None:
                    raise BrokenOff("unreadable_answer")
                for entry in found.items:
                    if entry.id not in seen:
                        seen.add(entry.id)
                        yield entry
                if len(found.items) < PAGE_SIZE:
                    return
    raise BrokenOff("list_without_end")


async def transactions(wire: Wire, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
    """Every payment and refund made in the window. Raises ListingFailed, AuthenticationError."""
    params = _seconds(window)
    try:
        async for payment in entries(wire, "/payments", params, Page[Payment]):
            if payment.amount > 0 and window.start <= moment(payment.created_at) < window.end:
                yield _charge(payment)
        async for refund in entries(wire, "/refunds", params, Page[Refund]):
            if refund.amount > 0 and window.start <= moment(refund.created_at) < window.end:
                yield _refund(refund)
    except BrokenOff as error:
        raise ListingFailed(f"Razorpay's list broke off: {error.cause}.") from error


async def disputes(wire: Wire, window: TimeWindow) -> AsyncIterator[DisputeReport]:
    """Every dispute opened before the window ends: when one last changed, Razorpay does not say.

    Raises ListingFailed, AuthenticationError.
    """
    try:
        async for dispute in entries(wire, "/disputes", {}, Page[Dispute]):
            if moment(dispute.created_at) < window.end:
                yield outcomes.of_dispute(dispute)
    except BrokenOff as error:
        raise ListingFailed(f"Razorpay's list broke off: {error.cause}.") from error


def _seconds(window: TimeWindow) -> dict[str, str]:
    """The window in whole seconds, both ends included, never narrower than it is."""
    return {"from": str(int(window.start.timestamp())), "to": str(int(window.end.timestamp()))}


def _charge(payment: Payment) -> GatewayTransaction:
    status = PAYMENT_STATUS.get(payment.status, TransactionStatus.PENDING)
    if payment.status == "refunded" and payment.captured is False:
        status = TransactionStatus.VOIDED
    moved = status is TransactionStatus.SUCCEEDED
    return GatewayTransaction(
        payment.id,
        TransactionKind.CHARGE,
        status,
        payment.amount,
        payment.currency,
        moment(payment.created_at),
        payment.our_reference,
        refunded_minor=payment.amount_refunded if moved else None,
        fee_minor=payment.fee_minor if moved else None,
    )


def _refund(refund: Refund) -> GatewayTransaction:
    return GatewayTransaction(
        refund.id,
        TransactionKind.REFUND,
        REFUND_STATUS.get(refund.status or "", TransactionStatus.PENDING),
        refund.amount,
        refund.currency,
        moment(refund.created_at),
        refund.our_reference,
        refund.payment_id,
    )
