"""Disputes: what customers and their banks want back, as PayPal tells it."""

from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel

from app.domain.dispute import DisputeLookup, DisputeReport, DisputeStatus
from app.domain.outcome import Found, Inconclusive, NotExecuted, NotFound, Unknown
from app.gateways.base import ListingFailed
from app.gateways.paypal import moments
from app.gateways.paypal.amounts import Amount, UnreadableAmount
from app.gateways.paypal.exchange import ask, look
from app.gateways.paypal.problems import Refusal
from app.gateways.paypal.references import segment
from app.gateways.paypal.session import Call, Session
from app.gateways.paypal.words import Link, link
from app.gateways.requests import TimeWindow

DISPUTES: Final = "/v1/customer/disputes"
PAGE_SIZE: Final = 50
"""The most that PayPal gives on one page."""
PAGES_MAX: Final = 1_000
RESOLVED: Final = "RESOLVED"
OPEN: Final = MappingProxyType(
    {
        "OPEN": DisputeStatus.NEEDS_RESPONSE,
        "WAITING_FOR_SELLER_RESPONSE": DisputeStatus.NEEDS_RESPONSE,
        "WAITING_FOR_BUYER_RESPONSE": DisputeStatus.UNDER_REVIEW,
        "UNDER_REVIEW": DisputeStatus.UNDER_REVIEW,
        "OTHER": DisputeStatus.UNDER_REVIEW,
    }
)
OUTCOMES: Final = MappingProxyType(
    {
        "RESOLVED_SELLER_FAVOUR": DisputeStatus.WON,
        "DENIED": DisputeStatus.WON,
        "RESOLVED_BUYER_FAVOUR": DisputeStatus.LOST,
        "ACCEPTED": DisputeStatus.LOST,
        "CANCELED_BY_BUYER": DisputeStatus.CLOSED,
        "NONE": DisputeStatus.CLOSED,
    }
)
"""`RESOLVED_WITH_PAYOUT` is not among them: who paid is told by the movements of money alone."""
FEES: Final = frozenset({"DISPUTE_FEE", "CHARGEBACK_FEE", "DISPUTE_SETTLEMENT_FEE"})
SELLER: Final = "SELLER"


class Transaction(BaseModel):
    """A payment that is disputed."""

    seller_transaction_id: str | None = None


class Movement(BaseModel):
    """Money that moved for a dispute."""

    affected_party: str
    type: str
    amount: Amount | None = None
    reason: str | None = None


class DisputeOutcome(BaseModel):
    """How a dispute ended."""

    outcome_code: str | None = None
    amount_refunded: Amount | None = None


class Dispute(BaseModel):
    """A dispute in PayPal's words; what its parties wrote is not read."""

    dispute_id: str
    status: str
    dispute_amount: Amount
    reason: str | None = None
    create_time: str | None = None
    seller_response_due_date: str | None = None
    disputed_transactions: list[Transaction] = []
    dispute_outcome: DisputeOutcome | None = None
    money_movements: list[Movement] = []


class Item(BaseModel):
    """A dispute in a list."""

    dispute_id: str


class DisputePage(BaseModel):
    """One page of the list."""

    items: list[Item] = []
    links: list[Link] = []


async def fetch(session: Session, id: str) -> DisputeLookup:
    """How a dispute stands now."""
    dispute = await look(session, "disputes.get", f"{DISPUTES}/{segment(id)}", Dispute)
    if not isinstance(dispute, Dispute):
        return dispute
    report = report_of(dispute)
    return Found(report) if report is not None else Inconclusive("unreadable_answer")


async def listed(session: Session, window: TimeWindow) -> AsyncIterator[DisputeReport]:
    """Every dispute opened or changed in the window, each once. Raises ListingFailed."""
    params = {
        "update_time_after": moments.write_precisely(window.start),
        "update_time_before": moments.write_precisely(window.end),
        "page_size": str(PAGE_SIZE),
    }
    told: set[str] = set()
    for _ in range(PAGES_MAX):
        page = await _page(session, params)
        for item in page.items:
            if item.dispute_id in told:
                continue
            told.add(item.dispute_id)
            found = await fetch(session, item.dispute_id)
            if not isinstance(found, Found):
                cause = "gone" if isinstance(found, NotFound) else found.cause
                raise ListingFailed(f"PayPal's dispute {item.dispute_id} cannot be read: {cause}.")
            yield found.outcome
        token = _next(page)
        if token is None:
            return
        params = params | {"next_page_token": token}
    raise ListingFailed("PayPal's list of disputes does not end.")


async def _page(session: Session, params: dict[str, str]) -> DisputePage:
    page = await ask(session, Call("disputes.list", "GET", DISPUTES, params=params), DisputePage)
    match page:
        case DisputePage():
            return page
        case Refusal():
            raise ListingFailed(f"PayPal does not list its disputes: {page.code.lower()}.")
        case NotExecuted() | Unknown():
            raise ListingFailed(f"PayPal's list of disputes cannot be read: {page.cause}.")


def _next(page: DisputePage) -> str | None:
    """Of the link to the next page only its token is used: where to ask is ours to say."""
    href = link(page.links, "next")
    found = parse_qs(urlsplit(href).query).get("next_page_token") if href is not None else None
    return found[0] if found else None


def report_of(dispute: Dispute) -> DisputeReport | None:
    """A dispute in our words; None when it makes no sense."""
    payments = [one.seller_transaction_id for one in dispute.disputed_transactions]
    payment = next((one for one in payments if one is not None), None)
    try:
        amount = dispute.dispute_amount.minor()
        withdrawn, fee = _moved(dispute)
    except UnreadableAmount:
        return None
    status = _status(dispute, withdrawn)
    if payment is None or status is None:
        return None
    if not dispute.money_movements and status is DisputeStatus.LOST:
        withdrawn = _refunded(dispute, amount)
    return DisputeReport(
        gateway_reference=dispute.dispute_id,
        payment_reference=payment,
        status=status,
        amount_minor=amount,
        currency=dispute.dispute_amount.currency_code,
        withdrawn_minor=withdrawn,
        fee_minor=fee,
        reason=dispute.reason.lower() if dispute.reason is not None else None,
        opened_at=moments.read(dispute.create_time),
        evidence_due_by=moments.read(dispute.seller_response_due_date),
    )


def _status(dispute: Dispute, withdrawn: int) -> DisputeStatus | None:
    if dispute.status != RESOLVED:
        return OPEN.get(dispute.status)
    code = dispute.dispute_outcome.outcome_code if dispute.dispute_outcome is not None else None
    by_money = DisputeStatus.LOST if withdrawn else DisputeStatus.WON
    return OUTCOMES.get(code or "NONE", by_money)


def _moved(dispute: Dispute) -> tuple[int, int | None]:
    """What PayPal has taken from the merchant until now, and its fee for that.

    What it took in another currency was all that is disputed, at the rate of that day.
    """
    withdrawn, fee, whole = 0, 0, 0
    for one in dispute.money_movements:
        if one.affected_party != SELLER or one.amount is None:
            continue
        sign = 1 if one.type == "DEBIT" else -1
        if one.amount.currency_code != dispute.dispute_amount.currency_code:
            whole += sign if one.reason not in FEES else 0
        elif one.reason in FEES:
            fee += sign * one.amount.minor()
        else:
            withdrawn += sign * one.amount.minor()
    if whole > 0:
        withdrawn = dispute.dispute_amount.minor()
    return max(withdrawn, 0), fee if fee > 0 else None


def _refunded(dispute: Dispute, amount: int) -> int:
    """What a lost dispute took, where no movement of money is told."""
    refunded = dispute.dispute_outcome.amount_refunded if dispute.dispute_outcome else None
    if refunded is None or refunded.currency_code != dispute.dispute_amount.currency_code:
        return amount
    return refunded.minor()
