"""What decisions in memory look at: usage, what pauses hold back, boundaries that are billed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from app.domain import ahead
from app.domain.ahead import Billed
from app.domain.billing import Metered
from app.domain.crediting import Charged
from app.domain.invoice import Invoice
from app.domain.invoice import Status as InvoiceStatus
from app.domain.metering import Aggregation
from app.domain.payment import Payment
from app.domain.pricing import Usage
from app.domain.subscription import Subscription
from app.domain.using import Used, together


def usage(
    sub: Subscription,
    moment: datetime,
    used: Mapping[UUID, Sequence[Used]],
    aggregations: Mapping[UUID, Aggregation],
) -> dict[UUID, Metered]:
    """What metered items used up to a moment of the present period, by item."""
    if sub.period is None:
        return {}
    found, until = {}, min(moment, sub.period.end)
    for item in sub.items:
        if item.price.usage is not Usage.METERED or item.id not in used:
            continue
        start = max(item.since or sub.period.start, sub.period.start)
        spans = [one for one in used[item.id] if start <= one.at < until]
        assert item.price.meter_id is not None
        how = aggregations.get(item.price.meter_id, Aggregation.SUM)
        found[item.id] = together(how, spans)
    return found


def held(
    sub: Subscription, invoices: Mapping[UUID, Invoice], paid: Mapping[UUID, UUID]
) -> Iterable[Invoice]:
    """What a pause of the subscription holds back: drafts, and invoices that nobody is to pay."""
    if sub.pause is None:
        return ()
    return (
        invoice
        for invoice in invoices.values()
        if invoice.order.subscription_id == sub.id
        and invoice.finalize_at is None
        and (
            invoice.status is InvoiceStatus.DRAFT
            or (invoice.status is InvoiceStatus.OPEN and invoice.id not in paid)
        )
    )


def names(sub: Subscription, invoices: Iterable[Invoice]) -> frozenset[datetime]:
    """The boundaries of the present period, and to come, that invoices are named after."""
    if sub.ahead is None or sub.period is None:
        return frozenset()
    orders = (invoice.order for invoice in invoices if invoice.order.subscription_id == sub.id)
    found = (order.cycle_start for order in orders)
    return frozenset(at for at in found if at is not None and at >= sub.period.start)


def billed_ahead(
    sub: Subscription,
    invoices: Mapping[UUID, Invoice],
    charged: Mapping[UUID, Sequence[Charged]],
    payments: Mapping[UUID, Payment],
    paid: Mapping[UUID, UUID],
) -> Billed | None:
    """What was billed of the period to come."""
    key = None if sub.ahead is None else sub.ahead.invoice_id
    invoice = None if key is None else invoices.get(key)
    if invoice is None:
        return None
    known = {one.line.id: one for one in charged.get(sub.id, ())}
    payment = paid.get(invoice.id)
    return ahead.seen(invoice, known, None if payment is None else payments[payment])
