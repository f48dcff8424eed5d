"""Finding out how a payment or a refund stands; nothing here changes anything.

By PayPal's own id, at once and for certain. By our code alone only through the transaction report,
which is hours behind: while a request id counts, sending the same request again says more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.clock import Clock
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
    Voided,
)
from app.gateways.paypal import outcomes, reports
from app.gateways.paypal.exchange import look
from app.gateways.paypal.references import Kind, Reference, refund_path
from app.gateways.paypal.reports import Report, ReportUnavailable, Row
from app.gateways.paypal.session import Session
from app.gateways.paypal.words import Authorization, Capture, Order, Payment, Refund
from app.gateways.requests import PaymentQuery, RefundQuery, TimeWindow

SKEW: Final = timedelta(hours=1)
"""How far PayPal's clock and ours may be apart."""
SEARCHED: Final = timedelta(days=1)
"""A charge first sent then was executed within this time, its repetitions included."""
REFUNDED: Final = timedelta(days=46)
"""The same of refunds, whose request ids count for longer."""
UNDATED: Final = timedelta(days=31)
"""How far back is looked for what nobody knows the age of."""
LONGEST: Final = timedelta(days=366)
"""How far back is looked at all, where test clocks may tell another time than PayPal's."""
BEHIND_MAX: Final = timedelta(hours=23)
"""A report that is further behind proves no absence: what was sent a day ago, when absence begins
to count, may have been executed an hour later.
"""


@dataclass(frozen=True, slots=True)
class Search:
    """In which time a code is looked for in the report.

    In test mode `created_at` may be a test clock's, months away from what PayPal's books say.
    """

    clock: Clock
    is_test: bool

    def window(self, created_at: datetime | None, *, within: timedelta = SEARCHED) -> TimeWindow:
        """The time in which a request first sent `created_at` can have been executed, if that was
        `within` so long.
        """
        now = self.clock.now()
        if created_at is None or (self.is_test and created_at > now):
            return TimeWindow(now - UNDATED + SKEW, now + SKEW)
        if self.is_test:
            return TimeWindow(max(created_at - SKEW, now - LONGEST), now + SKEW)
        return TimeWindow(created_at - SKEW, min(created_at + within, now + SKEW))

    def is_complete(self, report: Report, created_at: datetime | None) -> bool:
        """Whether the report would show whatever was executed before absence counts."""
        is_recent = report.until is not None and report.until > self.clock.now() - BEHIND_MAX
        return is_recent and report.reaches(created_at)


async def fetch_payment(session: Session, reference: Reference) -> PaymentLookup:
    """How the charge stands that PayPal calls so."""
    match reference.kind:
        case Kind.CAPTURE:
            capture = await look(session, "captures.get", reference.path, Capture)
            if not isinstance(capture, Capture):
                return capture
            return Found(outcomes.of_capture(capture), reference=capture.our_reference)
        case Kind.AUTHORIZATION:
            held = await look(session, "authorizations.get", reference.path, Authorization)
            if not isinstance(held, Authorization):
                return held
            if held.status in outcomes.TAKEN:
                return await _taken(session, held)
            return Found(outcomes.of_authorization(held), reference=held.our_reference)
        case Kind.ORDER:
            order = await look(session, "orders.get", reference.path, Order)
            if not isinstance(order, Order):
                return order
            return outcomes.found(outcomes.of_order(order), order)


async def _taken(session: Session, held: Authorization) -> PaymentLookup:
    """The captures of an authorization stand in its order."""
    order = await _order_of(session, held)
    if not isinstance(order, Order):
        return Inconclusive("capture_not_named")
    found = outcomes.found(outcomes.of_order(order), order)
    return found if isinstance(found.outcome, Succeeded) else Inconclusive("capture_not_named")


async def _order_of(session: Session, payment: Payment) -> Order | NotFound | Inconclusive | None:
    """The order that a capture or an authorization belongs to, if it says."""
    order_id = payment.supplementary_data.related_ids.order_id
    if order_id is None:
        return None
    return await look(session, "orders.get", Reference(Kind.ORDER, order_id).path, Order)


async def find_payment(session: Session, query: PaymentQuery, within: Search) -> PaymentLookup:
    """How the charge with our code stands."""
    named = Reference.parse(query.gateway_reference) if query.gateway_reference else None
    if named is not None:
        found = await fetch_payment(session, named)
        if isinstance(found, Found) and found.reference not in {None, query.reference}:
            return Inconclusive("answer_for_another_charge")
        if not isinstance(found, NotFound):
            return Found(found.outcome, found.others) if isinstance(found, Found) else found
    report = await _searched(session, query.reference, within.window(query.created_at))
    if not isinstance(report, Report):
        return report
    references = _charges(report.rows)
    if references:
        return await _best(session, references, query.reference)
    if named is not None and named.kind is Kind.ORDER and _is_over(report, query.created_at):
        return Found(Voided(str(named)))
    return NotFound(definitive=within.is_complete(report, query.created_at))


def _is_over(report: Report, created_at: datetime | None) -> bool:
    """Whether an order that PayPal does not keep any more would show, had it been paid."""
    if created_at is None or report.until is None:
        return False
    return report.until > created_at + SEARCHED


async def _searched(
    session: Session, code: str, window: TimeWindow
) -> Report | NotFound | Inconclusive:
    """What the report has of our code, in the time in which it can have been executed."""
    try:
        return await reports.search(session, window, code)
    except ReportUnavailable as error:
        # Without the permission nothing can be found by our code; sending it again still can.
        return NotFound(definitive=False) if error.is_forbidden else Inconclusive(error.cause)


def _charges(rows: Iterable[Row]) -> list[Reference]:
    """The captures of a report, or where there is none the authorizations."""
    captures = {row.transaction_id: None for row in rows if reports.is_charge(row)}
    held = {row.transaction_id: None for row in rows if reports.is_authorization(row)}
    if captures:
        return [Reference(Kind.CAPTURE, own_id) for own_id in captures]
    return [Reference(Kind.AUTHORIZATION, own_id) for own_id in held]


async def _best(session: Session, references: list[Reference], code: str) -> PaymentLookup:
    """The one of these that says most about the money, and the others that moved some as well."""
    found: list[Outcome] = []
    for reference in references:
        looked = await fetch_payment(session, reference)
        if not isinstance(looked, Found):
            return Inconclusive("report_and_payment_differ")
        if looked.reference not in {None, code}:
            return Inconclusive("answer_for_another_charge")
        found.append(looked.outcome)
    ranked = sorted(found, key=_rank)
    moved = (one.gateway_reference for one in ranked[1:] if isinstance(one, Succeeded | Pending))
    return Found(ranked[0], tuple(other for other in moved if other is not None))


def _rank(outcome: Outcome) -> int:
    match outcome:
        case Succeeded():
            return 0
        case Pending() | Authorized():
            return 1
        case _:
            return 2


async def fetch_refund(session: Session, gateway_reference: str) -> RefundLookup:
    """How the refund stands that PayPal calls so."""
    refund = await look(session, "refunds.get", refund_path(gateway_reference), Refund)
    if not isinstance(refund, Refund):
        return refund
    return Found(outcomes.of_refund(refund), reference=refund.our_reference)


async def find_refund(session: Session, query: RefundQuery, within: Search) -> RefundLookup:
    """How the refund with our code stands: by its id, in its payment's order, or in the report."""
    if query.gateway_reference is not None:
        found = await fetch_refund(session, query.gateway_reference)
        if isinstance(found, Found) and found.reference not in {None, query.reference}:
            return Inconclusive("answer_for_another_refund")
        if not isinstance(found, NotFound):
            return Found(found.outcome) if isinstance(found, Found) else found
    if query.payment_reference is not None:
        of_payment = await _in_order(session, query.payment_reference, query.reference)
        if of_payment is not None:
            return of_payment
    window = within.window(query.created_at, within=REFUNDED)
    report = await _searched(session, query.reference, window)
    if not isinstance(report, Report):
        return report
    ids = {row.transaction_id: None for row in report.rows if reports.is_refund(row)}
    if not ids:
        return NotFound(definitive=within.is_complete(report, query.created_at))
    refunds: list[Refund] = []
    for own_id in ids:
        refund = await look(session, "refunds.get", refund_path(own_id), Refund)
        if not isinstance(refund, Refund):
            return Inconclusive("report_and_refund_differ")
        refunds.append(refund)
    return _best_refund(refunds)


async def _in_order(session: Session, payment: str, code: str) -> RefundLookup | None:
    """The refund with our code among those of its payment; None when its order is not known."""
    reference = Reference.parse(payment)
    if reference.kind is not Kind.CAPTURE:
        return None
    capture = await look(session, "captures.get", reference.path, Capture)
    if isinstance(capture, Inconclusive):
        return capture
    if isinstance(capture, NotFound):
        return None
    order = await _order_of(session, capture)
    if isinstance(order, Inconclusive):
        return order
    if not isinstance(order, Order):
        return None
    refunds = [
        refund
        for unit in order.purchase_units
        for refund in unit.payments.refunds
        if refund.our_reference == code
    ]
    return _best_refund(refunds) if refunds else NotFound(definitive=True)


def _best_refund(refunds: list[Refund]) -> RefundLookup:
    """Of several refunds with one code the one that moved money; the others are named."""
    told: list[RefundOutcome] = [outcomes.of_refund(refund) for refund in refunds]
    order = (Refunded, RefundPending)
    ranked = sorted(told, key=lambda one: 0 if isinstance(one, order) else 1)
    others = (one.gateway_reference for one in ranked[1:] if isinstance(one, order))
    return Found(ranked[0], tuple(other for other in others if other is not None))
