"""Finding out: by Stripe's own names, or by our reference in the metadata of what a list shows.

Stripe's search is not complete at any moment, and its lists have no filter for metadata: so the
customer's payments are read from the first send on, or all of them. In test mode a merchant's clock
may be anywhere, so there the time narrows nothing.
"""

from datetime import datetime, timedelta
from typing import Final

from app.domain.dispute import DisputeLookup
from app.domain.outcome import (
    Found,
    Inconclusive,
    NotFound,
    PaymentLookup,
    RefundLookup,
)
from app.gateways.requests import PaymentQuery, RefundQuery
from app.gateways.stripe import payments, refunds
from app.gateways.stripe.amounts import UnreadableAmount
from app.gateways.stripe.reading import (
    ATTEMPT,
    REFUND,
    dispute_report,
    outcome_of,
    outcome_of_charge,
    refund_outcome,
)
from app.gateways.stripe.wire import Field, No, Refusal, Wire, is_name, unfound
from app.gateways.stripe.words import (
    BareIntent,
    Charge,
    Dispute,
    PaymentIntent,
    PaymentIntentPage,
    Refund,
    RefundPage,
)

PAGES_MAX: Final = 50
"""5,000 objects; what has more than that is not searched to the end, and proves no absence."""
SKEW: Final = timedelta(hours=1)
"""By how much our clock and Stripe's may differ."""
PAYMENT_RANKS: Final = (
    "succeeded",
    "requires_capture",
    "processing",
    "requires_action",
    "requires_confirmation",
    "requires_payment_method",
    "canceled",
)
PAYMENTS_THAT_MOVE: Final = frozenset(PAYMENT_RANKS[:3])
REFUND_RANKS: Final = ("succeeded", "pending", "requires_action", "failed", "canceled")
REFUNDS_THAT_MOVE: Final = frozenset(REFUND_RANKS[:3])


async def find_payment(wire: Wire, query: PaymentQuery) -> PaymentLookup:
    """How the charge with our reference stands now."""
    if query.gateway_reference and is_name(query.gateway_reference):
        known = await _intent(wire, query.gateway_reference)
        if isinstance(known, PaymentIntent) and known.metadata.get(ATTEMPT) == query.reference:
            return Found(outcome_of(known))
    narrowed = _since(wire, query.created_at)
    by_customer: dict[str, Field] = {"customer": query.customer_reference}
    found = await _intents(wire, query.reference, {**narrowed, **by_customer})
    if isinstance(found, Refusal) and found.misses("customer"):
        # The customer is gone, but not what they paid.
        found = await _intents(wire, query.reference, narrowed)
    if isinstance(found, Refusal):
        return Inconclusive(found.error.code or found.error.type)
    return found


async def _intents(
    wire: Wire, reference: str, narrowed: dict[str, Field]
) -> PaymentLookup | Refusal:
    whole: dict[str, Field] = {"expand": [f"data.{name}" for name in payments.EXPANDED]}
    ours: list[PaymentIntent] = []
    is_complete = False
    async for page in wire.pages(PaymentIntentPage, payments.PATH, narrowed | whole, PAGES_MAX):
        if not isinstance(page, PaymentIntentPage):
            return page if isinstance(page, Refusal) else Inconclusive(page.cause)
        ours += [one for one in page.data if one.metadata.get(ATTEMPT) == reference]
        is_complete = not page.has_more
    ours.sort(key=lambda one: PAYMENT_RANKS.index(one.status))
    if not ours:
        return NotFound(definitive=is_complete)
    others = (one.id for one in ours[1:] if one.status in PAYMENTS_THAT_MOVE)
    return Found(outcome_of(ours[0]), tuple(others))


async def fetch_payment(wire: Wire, gateway_reference: str) -> PaymentLookup:
    """How the payment, or a charge without one, stands now."""
    if not is_name(gateway_reference):
        return NotFound(definitive=True)
    if not gateway_reference.startswith(refunds.CHARGE_PREFIXES):
        said = await _intent(wire, gateway_reference)
        if not isinstance(said, PaymentIntent):
            return unfound(said)
        return Found(outcome_of(said), reference=said.metadata.get(ATTEMPT))
    charge = await wire.get(
        Charge, f"/v1/charges/{gateway_reference}", {"expand": ["balance_transaction"]}
    )
    if not isinstance(charge, Charge):
        return unfound(charge)
    match charge.payment_intent:
        case str(intent) | BareIntent(id=intent):
            return await fetch_payment(wire, intent)
        case None:
            return Found(outcome_of_charge(charge), reference=charge.metadata.get(ATTEMPT))


async def _intent(wire: Wire, reference: str) -> PaymentIntent | No:
    return await wire.get(
        PaymentIntent, f"{payments.PATH}/{reference}", {"expand": payments.EXPANDED}
    )


async def find_refund(wire: Wire, query: RefundQuery) -> RefundLookup:
    """How the refund with our reference stands now."""
    if query.gateway_reference and is_name(query.gateway_reference):
        known = await _refund(wire, query.gateway_reference)
        if isinstance(known, Refund) and (known.metadata or {}).get(REFUND) == query.reference:
            return Found(refund_outcome(known))
    narrowed = _since(wire, query.created_at)
    if query.payment_reference is not None:
        is_charge = query.payment_reference.startswith(refunds.CHARGE_PREFIXES)
        narrowed = {"charge" if is_charge else "payment_intent": query.payment_reference}
    whole: dict[str, Field] = {"expand": [f"data.{name}" for name in refunds.EXPANDED]}
    ours: list[Refund] = []
    is_complete = False
    async for page in wire.pages(RefundPage, refunds.PATH, narrowed | whole, PAGES_MAX):
        if not isinstance(page, RefundPage):
            return _no_refunds(page)
        ours += [one for one in page.data if (one.metadata or {}).get(REFUND) == query.reference]
        is_complete = not page.has_more
    ours.sort(key=lambda one: REFUND_RANKS.index(one.status))
    if not ours:
        return NotFound(definitive=is_complete)
    others = (one.id for one in ours[1:] if one.status in REFUNDS_THAT_MOVE)
    return Found(refund_outcome(ours[0]), tuple(others))


def _no_refunds(no: No) -> NotFound | Inconclusive:
    if isinstance(no, Refusal) and no.error.code == "resource_missing":
        return NotFound(definitive=True)  # of a payment that does not exist
    return unfound(no)


async def fetch_refund(wire: Wire, gateway_reference: str) -> RefundLookup:
    """How the refund stands now."""
    if not is_name(gateway_reference):
        return NotFound(definitive=True)
    said = await _refund(wire, gateway_reference)
    if not isinstance(said, Refund):
        return unfound(said)
    return Found(refund_outcome(said), reference=(said.metadata or {}).get(REFUND))


async def _refund(wire: Wire, reference: str) -> Refund | No:
    return await wire.get(Refund, f"{refunds.PATH}/{reference}", {"expand": refunds.EXPANDED})


async def fetch_dispute(wire: Wire, gateway_reference: str) -> DisputeLookup:
    """How a dispute stands now."""
    if not is_name(gateway_reference):
        return NotFound(definitive=True)
    said = await wire.get(Dispute, f"/v1/disputes/{gateway_reference}")
    if not isinstance(said, Dispute):
        return unfound(said)
    try:
        return Found(dispute_report(said))
    except UnreadableAmount:
        return Inconclusive("unreadable_amount")


def _since(wire: Wire, first_sent_at: datetime | None) -> dict[str, Field]:
    """From when on: it may have been made long after it was first sent, but never before."""
    if first_sent_at is None or not wire.livemode:
        return {}
    return {"created": {"gte": int((first_sent_at - SKEW).timestamp())}}
