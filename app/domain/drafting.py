"""Invoices made by hand, and changes of drafts. Pure decisions.

What stands on such an invoice are pending items that it has taken: some waited for it, some were
made for it. A draft is reckoned anew whenever one of them changes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.domain import finalizing, invoicing, pending, pricing
from app.domain import policy as policies
from app.domain.balance import Balance
from app.domain.calendar import SECOND, Period
from app.domain.decision import Decision
from app.domain.discount import Discount
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.finalizing import Draft
from app.domain.ids import NewId
from app.domain.invoice import (
    BillingReason,
    Charge,
    Invoice,
    Line,
    LineKind,
    Order,
    Status,
)
from app.domain.invoicing import Bill, Billed, Credit
from app.domain.pending import PendingItem, Taxation
from app.domain.policy import Policy
from app.domain.pricing import Price, check_quantity
from app.domain.subscription import ENDED, Subscription
from app.domain.tax import TaxRate

EDITABLE = frozenset({BillingReason.MANUAL, BillingReason.SUBSCRIPTION_CYCLE})


@dataclass(frozen=True, slots=True)
class Taxes:
    """What is taxed how: by rates that are given, or by what is found for the customer."""

    rates: tuple[TaxRate, ...] = ()
    taxation: Taxation | None = None


@dataclass(frozen=True, slots=True)
class Manual:
    """An invoice to be made by hand of these items; without grace it is final at once."""

    order: Order
    items: tuple[PendingItem, ...]
    taxes: Taxes = Taxes()
    discounts: tuple[Discount, ...] = ()
    policy: Policy = policies.DEFAULT
    is_draft: bool = False


def create(
    manual: Manual, balance: Balance, method_id: UUID | None, now: datetime, new_id: NewId
) -> Decision:
    """The invoice of these items, paid from the balance and then by the method.

    Raises InvalidRequest where there is nothing to bill.
    """
    if not manual.items:
        raise InvalidRequest(
            "There is nothing to bill: give items, or let some wait.",
            code="nothing_to_invoice",
            param="items",
        )
    what = _bill(manual)
    if manual.is_draft:
        billed = invoicing.draft(what, None, now, new_id)
    else:
        billed = invoicing.bill(what, balance, now, new_id)
    invoice = billed.invoice
    return Decision(
        invoice.merchant_id,
        invoices=(invoice,),
        payments=finalizing.payments(Draft(invoice, balance, method_id), invoice, now, new_id),
        balances=billed.balances,
        pending=tuple(_taken(item, invoice) for item in manual.items),
        entries=billed.entries,
        events=billed.events,
    )


def _bill(manual: Manual) -> Bill:
    items = [pending.taxed(i, manual.taxes.rates, manual.taxes.taxation) for i in manual.items]
    lines = [item.line for item in items]
    return Bill(
        replace(manual.order, period=around([item.charge.period for item in items])),
        [line for line in lines if isinstance(line, Charge)],
        [line for line in lines if isinstance(line, Credit)],
        manual.discounts,
        manual.policy,
    )


def _taken(item: PendingItem, invoice: Invoice) -> PendingItem:
    if item.is_inline:
        return replace(item, invoice_id=invoice.id)
    return replace(item, invoice_id=invoice.id, version=item.version + 1)


def around(periods: Sequence[Period]) -> Period:
    """From where the first begins to where the last ends."""
    return Period(min(p.start for p in periods), max(p.end for p in periods))


def redraft(
    old: Invoice, before: Sequence[PendingItem], manual: Manual, now: datetime, new_id: NewId
) -> Billed:
    """The draft, which had the items `before`, with those of `manual`.

    What a subscription's draft charges besides stays as it is, and its lines keep their names.
    Raises Conflict where it cannot be changed.
    """
    check_editable(old)
    what, names = _bill(manual) if manual.items else None, {}
    if old.order.reason is not BillingReason.MANUAL:
        kept = _besides(old, before)
        names = {id(line.charge): line.id for line in kept}
        own = what or Bill(old.order, discounts=manual.discounts, policy=manual.policy)
        what = replace(
            own,
            order=old.order,
            charges=[*(li.charge for li in kept if not _reverses(li.charge)), *own.charges],
            credits=[
                *(Credit(li.charge, li.discounts, li.taxes) for li in kept if _reverses(li.charge)),
                *own.credits,
            ],
        )
    if what is None:
        raise Conflict("Its last item stays; delete the draft.", code="draft_would_be_empty")
    billed = invoicing.redraft(old, what, now, new_id)
    made = billed.invoice
    named = tuple(replace(li, id=names.get(id(li.charge), li.id)) for li in made.lines)
    return replace(billed, invoice=replace(made, lines=named))


def check_editable(invoice: Invoice) -> None:
    """Refuse to change what is final, or what follows from a change. Raises Conflict."""
    if invoice.status is not Status.DRAFT:
        raise Conflict(f"The invoice is {invoice.status}.", code=f"invoice_{invoice.status}")
    if invoice.order.reason not in EDITABLE:
        raise Conflict("This draft follows from a change; it stays.", code="draft_not_editable")


def _reverses(charge: Charge) -> bool:
    return charge.reverses_line_id is not None


def _besides(old: Invoice, items: Sequence[PendingItem]) -> list[Line]:
    """The lines that are not of these items; lines that are equal stand for each other."""
    taken = Counter(_looks(item.charge) for item in items)
    kept = []
    for line in reversed(old.lines):
        looks = _looks(line.charge)
        if taken[looks]:
            taken[looks] -= 1
        else:
            kept.append(line)
    return kept[::-1]


def _looks(charge: Charge) -> tuple[object, ...]:
    return (
        charge.kind,
        charge.description,
        charge.quantity,
        charge.amount,
        charge.period,
        charge.price_id,
        charge.item_id,
        charge.reverses_line_id,
    )


def delete(draft: Invoice, items: Sequence[PendingItem], now: datetime, new_id: NewId) -> Decision:
    """Throw a draft away; what had waited for it waits again. Raises Conflict."""
    if draft.status is not Status.DRAFT:
        raise Conflict(f"The invoice is {draft.status}; void it.", code=f"invoice_{draft.status}")
    if draft.order.reason is not BillingReason.MANUAL:
        raise Conflict(
            "It is of a subscription's period: finalize it, then void it.",
            code="draft_of_subscription",
        )
    back = tuple(
        replace(
            item,
            invoice_id=None,
            deleted_at=now if item.is_inline else None,
            version=item.version + 1,
        )
        for item in items
    )
    told = Event(new_id(), Type.INVOICE_DELETED, draft)
    return Decision(draft.merchant_id, deleted=(draft,), pending=back, events=(told,))


def owed_again(
    invoice: Invoice, subs: Sequence[Subscription], now: datetime, new_id: NewId
) -> tuple[PendingItem, ...]:
    """What a voided invoice charged and gave back, waiting to be billed once more: with its
    subscription's next invoice, or with whichever takes it where there will be none.

    Discounts are not taken along: those that count when it is billed are taken then.
    """
    order = invoice.order
    going_on = {sub.id for sub in subs if sub.status not in ENDED}
    alone = order.subscription_id
    return tuple(
        PendingItem(
            new_id(),
            order.merchant_id,
            order.customer_id,
            about if (about := line.subscription_id or alone) in going_on else None,
            order.currency,
            Credit(line.charge, line.discounts, line.taxes)
            if _reverses(line.charge)
            else line.charge,
            now,
        )
        for line in invoice.lines
        if line.charge.amount
    )


# ── single items ──────────────────────────────────────────────────────────────────────────────────


def of_price(price: Price, quantity: int, period: Period, policy: Policy, param: str) -> Charge:
    """What so many of a one-time price cost. Raises InvalidRequest."""
    if price.interval is not None:
        raise InvalidRequest("A recurring price is for subscriptions.", param=f"{param}price_id")
    check_quantity(price, quantity, param=f"{param}quantity")
    return Charge(
        LineKind.ONE_OFF,
        price.description,
        quantity,
        period,
        pricing.amount(price, quantity, policy.rounding).minor,
        None,
        price.id,
        price.plan_id,
    )


def moment(at: datetime) -> Period:
    """The shortest period there is, for what is charged once."""
    return Period(at, at + SECOND)


def told(item: PendingItem, type_: Type, new_id: NewId) -> Decision:
    """The decision that the item is now like this, and that this is told."""
    event = Event(new_id(), type_, item)
    return Decision(item.merchant_id, pending=(item,), events=(event,))


def edited(
    item: PendingItem, amount: int | None, quantity: int | None, description: str | None
) -> PendingItem:
    """The item with what is given otherwise. Raises Conflict, InvalidRequest."""
    charge = item.line
    if isinstance(charge, Credit):
        raise Conflict("It gives back what was charged; it stays.", code="pending_item_is_credit")
    charge = replace(
        charge,
        amount=charge.amount if amount is None else amount,
        quantity=charge.quantity if quantity is None else quantity,
        description=charge.description if description is None else description,
    )
    return replace(item, line=charge, version=item.version + 1)
