"""How a transaction stands, from its details: as a charge, as a refund, as a dispute."""

from typing import Final

from app.domain.dispute import DisputeReport, DisputeStatus
from app.domain.outcome import (
    Authorized,
    Declined,
    Outcome,
    Pending,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundOutcome,
    RefundPending,
    Succeeded,
    Unknown,
    Voided,
)
from app.gateways.authorizenet import words
from app.gateways.authorizenet.answers import Details, Unreadable, minor_units
from app.gateways.authorizenet.books import BooksUnread

VOID_SUFFIX: Final = "-void"
"""A charge that is not settled is given back by voiding it, which makes no transaction of its own:
such a refund is called by the charge's name and this."""


def charge_state(details: Details, currency: str) -> Outcome:
    """How a charge stands. Raises BooksUnread when it says no amount."""
    status, network = details.status, details.network_id
    if status in words.CAPTURED:
        return Succeeded(details.id, moved(details, currency), currency, network)
    if status in words.AUTHORIZED:
        return Authorized(
            details.id, moved(details, currency), currency, network_transaction_id=network
        )
    if status in words.PENDING:
        return Pending(details.id, network)
    if status in words.DECLINED:
        return Declined(words.decline_of(details.reason or status), details.id, network)
    if status in words.GIVEN_UP:
        return Voided(details.id)
    return Unknown(status, details.id)


def refund_state(details: Details, currency: str) -> RefundOutcome:
    """How a refund stands. Raises BooksUnread when it says no amount."""
    status = details.status
    if status in words.REFUNDED:
        return Refunded(details.id, moved(details, currency), currency)
    if status in words.PENDING:
        return RefundPending(details.id)
    if status in words.DECLINED | words.GIVEN_UP:
        code = status if status in words.GIVEN_UP else details.reason or status
        return RefundDeclined(RefundDeclineReason.GENERIC, code, details.id)
    return Unknown(status, details.id)


def given_back_by_void(
    charge: Details, currency: str, *, was_captured: bool = False
) -> Refunded | None:
    """The refund that a void was; None when the charge is not voided, or never was more than held.

    A voided hold does not show whether it was captured before: `was_captured` if that is known. It
    is of the whole charge, so there is at most one, and no other refund of that charge.
    """
    if charge.status != "voided" or (charge.type == words.HOLD and not was_captured):
        return None
    return Refunded(charge.id + VOID_SUFFIX, moved(charge, currency), currency)


def dispute_state(details: Details, currency: str) -> DisputeReport | None:
    """What a bank took back; None when it did not.

    A chargeback is contested at the merchant's own bank, which Authorize.net only relays. A bank
    debit that is returned is final.
    """
    if details.status in words.DISPUTED:
        status = {
            "chargeback": DisputeStatus.NEEDS_RESPONSE,
            "chargebackReversal": DisputeStatus.WON,
        }.get(details.status, DisputeStatus.LOST)
    elif details.returned:
        status = DisputeStatus.LOST
    else:
        return None
    amount = moved(details, currency)
    returned = details.returned[0] if details.returned else None
    return DisputeReport(
        gateway_reference=details.id,
        payment_reference=details.origin or details.id,
        status=status,
        amount_minor=amount,
        currency=currency,
        withdrawn_minor=0 if status is DisputeStatus.WON else amount,
        reason=(returned.code if returned else "") or details.status,
        opened_at=returned.returned_at if returned else None,
    )


def moved(details: Details, currency: str) -> int:
    """The amount in minor units. Raises BooksUnread when there is none, or none that is exact."""
    try:
        amount = minor_units(details.amount, currency)
    except Unreadable:
        raise BooksUnread("unreadable_amount") from None
    if not amount:
        raise BooksUnread("no_amount")
    return amount
