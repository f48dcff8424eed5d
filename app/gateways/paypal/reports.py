"""PayPal's transaction report: what is read of it, in windows and pages that it accepts.

It is at most three hours behind, as PayPal says, and says itself until when it reaches. A payment
of ours bears our code there as `invoice_id` and `custom_field`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel

from app.domain.outcome import NotExecuted, Unknown
from app.gateways.base import ListingFailed
from app.gateways.paypal import moments
from app.gateways.paypal.amounts import Amount, UnreadableAmount
from app.gateways.paypal.exchange import ask
from app.gateways.paypal.problems import FORBIDDEN, Refusal
from app.gateways.paypal.references import Kind, Reference
from app.gateways.paypal.session import Call, Session
from app.gateways.reports import GatewayTransaction, TransactionKind, TransactionStatus
from app.gateways.requests import TimeWindow

WINDOW_MAX: Final = timedelta(days=30)
"""PayPal accepts 31 days, of its own counting."""
WINDOW_MIN: Final = timedelta(minutes=1)
"""More than PayPal reports at once within a minute is more than we can list."""
ALMOST_A_SECOND: Final = timedelta(microseconds=999_999)
"""What is asked for in whole seconds must not end before its time."""
PAGE_SIZE: Final = 500
"""The most that it gives on one page."""
PAGES_MAX: Final = 40
"""Of one window; PayPal refuses windows of more than 10,000 transactions."""
RESULT_TOO_LARGE: Final = "RESULTSET_TOO_LARGE"
PAYMENTS: Final = "T00"
AUTHORIZATION: Final = "T1300"
REFUNDS: Final = frozenset({"T1107"})
"""Refunds that the merchant made; what disputes take back is told with the disputes."""
STATUSES: Final = {
    "S": TransactionStatus.SUCCEEDED,
    "V": TransactionStatus.SUCCEEDED,
    "P": TransactionStatus.PENDING,
    "D": TransactionStatus.FAILED,
}


class ReportUnavailable(ListingFailed):
    """The report cannot be read to its end; `cause` is a short word."""

    def __init__(self, cause: str, *, is_forbidden: bool = False) -> None:
        super().__init__(f"PayPal's transaction report cannot be read: {cause}.")
        self.cause = cause
        self.is_forbidden = is_forbidden


class Row(BaseModel):
    """One line of the report."""

    transaction_id: str
    transaction_event_code: str
    transaction_status: str
    transaction_amount: Amount
    transaction_initiation_date: str
    fee_amount: Amount | None = None
    invoice_id: str | None = None
    custom_field: str | None = None
    paypal_reference_id: str | None = None
    paypal_reference_id_type: str | None = None


class Detail(BaseModel):
    """One transaction; only what was asked for is in it."""

    transaction_info: Row


class Page(BaseModel):
    """One page of the report."""

    transaction_details: list[Detail] = []
    total_pages: int | None = None
    last_refreshed_datetime: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, and until when the report reached that it was found in."""

    rows: tuple[Row, ...]
    until: datetime | None

    def reaches(self, moment: datetime | None) -> bool:
        """Whether a transaction of that moment would be in it."""
        return self.until is not None and (moment is None or self.until > moment)


def is_charge(row: Row) -> bool:
    """Money that came in for a payment."""
    return row.transaction_event_code.startswith(PAYMENTS) and _minor(row.transaction_amount) > 0


def is_authorization(row: Row) -> bool:
    """Money that was held."""
    return row.transaction_event_code == AUTHORIZATION


def is_refund(row: Row) -> bool:
    """Money that the merchant gave back."""
    return row.transaction_event_code in REFUNDS


async def search(session: Session, window: TimeWindow, code: str) -> Report:
    """Every line with our code in the window. Raises ReportUnavailable."""
    rows: list[Row] = []
    until: datetime | None = None
    async for page in _pages(session, window):
        rows += [
            detail.transaction_info
            for detail in page.transaction_details
            if code in {detail.transaction_info.invoice_id, detail.transaction_info.custom_field}
        ]
        refreshed = moments.read(page.last_refreshed_datetime)
        if refreshed is not None:
            until = refreshed if until is None else min(until, refreshed)
    return Report(tuple(rows), until)


async def transactions(session: Session, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
    """Every charge and refund of the window, each once. Raises ReportUnavailable.

    A hold that was taken within the window is told by its capture.
    """
    told: set[str] = set()
    taken: set[str | None] = set()
    held: dict[str, GatewayTransaction] = {}
    async for page in _pages(session, window):
        for detail in page.transaction_details:
            one = _transaction(detail.transaction_info)
            if one is None or not window.start <= one.created_at < window.end:
                continue
            if is_authorization(detail.transaction_info):
                held[one.reference] = one
            elif one.reference not in told:
                told.add(one.reference)
                if one.kind is TransactionKind.CHARGE:
                    taken.add(one.our_reference)
                yield one
    for one in held.values():
        if one.our_reference is None or one.our_reference not in taken:
            yield one


def _transaction(row: Row) -> GatewayTransaction | None:
    """A line as one of ours; None for what is neither charge nor refund."""
    if is_charge(row):
        kind, reference = TransactionKind.CHARGE, row.transaction_id
    elif is_authorization(row):
        kind = TransactionKind.CHARGE
        reference = str(Reference(Kind.AUTHORIZATION, row.transaction_id))
    elif is_refund(row):
        kind, reference = TransactionKind.REFUND, row.transaction_id
    else:
        return None
    created_at = moments.read(row.transaction_initiation_date)
    status = STATUSES.get(row.transaction_status)
    if created_at is None or status is None:
        raise ReportUnavailable("unreadable_answer")
    if is_authorization(row):
        voided = row.transaction_status == "V"
        status = TransactionStatus.VOIDED if voided else TransactionStatus.AUTHORIZED
    minor = abs(_minor(row.transaction_amount))
    is_refunded = kind is TransactionKind.CHARGE and row.transaction_status == "V"
    parent = row.paypal_reference_id if row.paypal_reference_id_type == "TXN" else None
    return GatewayTransaction(
        reference=reference,
        kind=kind,
        status=status,
        amount_minor=minor,
        currency=row.transaction_amount.currency_code,
        created_at=created_at,
        our_reference=row.invoice_id or row.custom_field,
        payment_reference=parent if kind is TransactionKind.REFUND else None,
        refunded_minor=minor if is_refunded else None,
        fee_minor=_fee(row),
    )


def _minor(amount: Amount) -> int:
    try:
        return amount.minor()
    except UnreadableAmount:
        raise ReportUnavailable("unreadable_amount") from None


def _fee(row: Row) -> int | None:
    fee = row.fee_amount
    if fee is None or fee.currency_code != row.transaction_amount.currency_code:
        return None
    return abs(_minor(fee))


async def _pages(session: Session, window: TimeWindow) -> AsyncIterator[Page]:
    """Every page of the window, in parts no longer than PayPal accepts."""
    start = window.start
    waiting = []
    while start < window.end:
        waiting.append(TimeWindow(start, min(start + WINDOW_MAX, window.end)))
        start += WINDOW_MAX
    waiting.reverse()
    while waiting:
        part = waiting.pop()
        first = await _page(session, part, 1)
        if first is None:
            middle = part.start + (part.end - part.start) / 2
            if part.end - part.start <= WINDOW_MIN:
                raise ReportUnavailable(RESULT_TOO_LARGE.lower())
            waiting += [TimeWindow(middle, part.end), TimeWindow(part.start, middle)]
            continue
        yield first
        pages = first.total_pages
        if pages is None and first.transaction_details:
            raise ReportUnavailable("unreadable_answer")
        if (pages or 0) > PAGES_MAX:
            raise ReportUnavailable("too_many_pages")
        for number in range(2, (pages or 0) + 1):
            page = await _page(session, part, number)
            if page is None:
                raise ReportUnavailable(RESULT_TOO_LARGE.lower())
            yield page


async def _page(session: Session, window: TimeWindow, number: int) -> Page | None:
    """One page; None when the window holds more than PayPal reports at once."""
    call = Call(
        "reporting.transactions",
        "GET",
        "/v1/reporting/transactions",
        params={
            "start_date": moments.write(window.start),
            "end_date": moments.write(window.end + ALMOST_A_SECOND),
            "fields": "transaction_info",
            "balance_affecting_records_only": "N",
            "page_size": str(PAGE_SIZE),
            "page": str(number),
        },
    )
    page = await ask(session, call, Page)
    match page:
        case Page():
            return page
        case Refusal() if RESULT_TOO_LARGE in page.issues:
            return None
        case Refusal():
            raise ReportUnavailable(page.code.lower(), is_forbidden=page.status == FORBIDDEN)
        case NotExecuted(cause=cause) | Unknown(cause=cause):
            raise ReportUnavailable(cause)
