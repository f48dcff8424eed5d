"""Billing a period before it begins, where its debit must be announced, and taking that back. Pure.

The bill has the period's own name, so there is no other for it. The subscription stays as it is:
its period moves at the boundary, and whatever the bill does not cover is settled there (`ahead`).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.domain import billing, collection, crediting, invoicing, issuing, lifecycle, periods
from app.domain import discount as discounting
from app.domain import payment as paying
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.errors import InvalidRequest
from app.domain.ids import NewId
from app.domain.invoice import BillingReason, Charge, Collection, Order, Status
from app.domain.issuing import Corrected, Wanted
from app.domain.periods import Entered
from app.domain.policy import CreditTo
from app.domain.subscription import Ahead, Scheduled, Subscription
from app.domain.subscription import Status as SubscriptionStatus

MARGIN: Final = timedelta(hours=2)
"""How much earlier than its gateway asks a debit is billed: a sweep, a retry, a short outage."""
BILLABLE: Final = frozenset(
    {SubscriptionStatus.TRIALING, SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE}
)
"""Whose next period is billed ahead. What nobody pays for any more is billed at its boundary."""
REASON: Final = "The period did not begin"


def lead_of(seconds: int) -> timedelta:
    """How long before its period a debit is billed that must be announced `seconds` before."""
    return timedelta(seconds=seconds) + MARGIN


def due_at(sub: Subscription, lead: timedelta) -> datetime | None:
    """When the period to come is billed, `lead` before it begins; None: not ahead."""
    if sub.period is None or sub.status not in BILLABLE:
        return None
    boundary = sub.period.end
    if sub.next_action_at != boundary or sub.collection is not Collection.CHARGE_AUTOMATICALLY:
        return None
    known = sub.ahead
    if known is not None and (known.invoice_id is not None or known.start == boundary):
        return None
    return boundary - lead


def acts_at(
    sub: Subscription, lead: timedelta | None, since: datetime | None, in_vain: datetime | None
) -> datetime | None:
    """When something is billed ahead, or what was `in_vain` since then is taken back; in memory.

    It is what it is `since` then: what may be billed only after a change is not billed before it.
    """
    if sub.billed_in_vain is not None:
        return in_vain
    at = None if lead is None else due_at(sub, lead)
    return None if at is None or sub.period is None else max(at, since or sub.period.start)


def act(account: Account, now: datetime, new_id: NewId) -> Decision | None:
    """What then happens, in memory; None: a payment of it is in flight, and stays so."""
    sub, billed = account.subscription, account.ahead
    if sub.billed_in_vain is None:
        return bill(account, now, new_id)
    assert billed is not None
    if billed.payment is not None and billed.payment.status in lifecycle.IN_FLIGHT:
        return None
    about = Corrected(billed.invoice, billed.charged, account.balance, billed.payment)
    return take_back(sub, about, account.policy.cancel_credit_to, str, now, new_id)


def bill(account: Account, now: datetime, new_id: NewId) -> Decision:
    """Bill the period to come, what is paid in advance of it; or note that there is nothing to bill
    before its boundary.

    What comes once, is in arrears, or waits for the next invoice comes at the boundary.
    """
    sub = account.subscription
    assert sub.period is not None
    assert now < sub.period.end, "that period has begun"
    noted = replace(sub, ahead=Ahead(sub.period.end), version=sub.version + 1)
    nothing = Decision(sub.merchant_id, subscriptions=(noted,))
    found = _coming(account, new_id) if account.name_of(sub.period.end) else None
    if found is None:
        return nothing
    fresh, order, charges = found
    discounts = discounting.at(fresh.discounts, order.period.start)
    what = invoicing.Bill(order, charges, (), discounts, account.policy)
    billed = invoicing.bill(what, account.balance, now, new_id)
    if billed.invoice.status is not Status.OPEN:  # no debit, so nothing to announce
        return nothing
    known = Ahead(sub.period.end, billed.invoice.id)
    return Decision(
        sub.merchant_id,
        subscriptions=(replace(noted, ahead=known),),
        invoices=(billed.invoice,),
        payments=(paying.schedule(billed.invoice, account.method_id, now, new_id),),
        balances=billed.balances,
        entries=billed.entries,
        events=billed.events,
    )


def nothing_ahead(sub: Subscription) -> Decision:
    """The period to come cannot be billed ahead: it is billed at its boundary."""
    assert sub.period is not None
    noted = replace(sub, ahead=Ahead(sub.period.end), version=sub.version + 1)
    return Decision(sub.merchant_id, subscriptions=(noted,))


def _coming(account: Account, new_id: NewId) -> tuple[Subscription, Order, list[Charge]] | None:
    """The subscription as it will be, whom to bill, and for what; None: nothing."""
    sub = account.subscription
    assert sub.period is not None
    if sub.cancel_at_period_end or sub.cycles_left == 0 or sub.cancel_at == sub.period.end:
        return None
    if any(d.customer_id is not None and d.periods_remaining is not None for d in sub.discounts):
        return None  # several subscriptions count it down, each when its period begins
    planned = sub.scheduled[0] if sub.scheduled else None
    if planned is not None and planned.due_at != sub.period.end:
        planned = None
    begun = _begun(sub, planned, new_id)
    if begun is None:
        return None
    fresh, entered = begun
    reason = BillingReason.SUBSCRIPTION_CYCLE
    if sub.status is SubscriptionStatus.TRIALING:
        reason = BillingReason.SUBSCRIPTION_CREATE
    elif account.policy.invoice_grace_days:
        return None  # it is a draft first
    if fresh.collection is not Collection.CHARGE_AUTOMATICALLY:
        return None
    period, nth, share = entered
    if share is None:
        share = billing.share_of(fresh, period, nth, account.policy, period)
    known = {item.id for item in sub.items}  # what is new then has no lasting name yet
    lasting = [item for item in fresh.items if item.id in known]
    charges = billing.advance(replace(account, subscription=fresh), lasting, period, share)
    if not charges:
        return None
    return fresh, billing.order(fresh, reason, period, cycle_start=period.start), charges


def _begun(
    sub: Subscription, planned: Scheduled | None, new_id: NewId
) -> tuple[Subscription, Entered] | None:
    """The subscription in its next period; None where none begins."""
    assert sub.period is not None
    if planned is not None and planned.pause is not None:
        return None
    try:
        fresh, entered = periods.coming(sub, sub.period_index + 1, planned, new_id)
    except InvalidRequest:  # the change is gone by then
        fresh, entered = periods.coming(sub, sub.period_index + 1, None, new_id)
    fresh, _ = billing.without_spent(fresh, entered.period.start)
    return fresh, entered


def take_back(
    sub: Subscription,
    about: Corrected,
    to: CreditTo,
    name: Callable[[UUID], str],
    now: datetime,
    new_id: NewId,
) -> Decision:
    """Give back a bill whose period does not begin: void while nobody has paid of it, else by a
    credit note for all that is left, which goes where cancellations' credits go.

    A debit that is under way cannot be recalled: nothing of it may be in flight.
    """
    assert sub.ahead is not None
    kept = Ahead(sub.ahead.start)
    let_go = (replace(sub, ahead=kept, version=sub.version + 1),)
    invoice = about.invoice
    is_untouched = not invoice.amount_paid and not invoice.amount_credited
    if invoice.status in collection.PAYABLE and is_untouched:
        voided = collection.void(invoice, about.payment, about.balance, now, new_id)
        return replace(voided, subscriptions=let_go)
    given = [credit for credit in map(crediting.whole, about.charged) if credit is not None]
    worth = sum(issuing.worth(credit) for credit in given)
    if not worth or invoice.status not in issuing.CREDITABLE:
        return Decision(sub.merchant_id, subscriptions=let_go)
    to_refund = None
    if to is CreditTo.REFUND:
        owed = invoice.amount_remaining if invoice.status in collection.PAYABLE else 0
        to_refund = min(max(0, worth - owed), about.refundable + about.refunded)
    wanted = Wanted(to_refund=to_refund, reason=REASON, is_time=True)
    noted = issuing.issue_credits(about, given, wanted, now, new_id, name)
    return replace(noted, subscriptions=(*let_go, *noted.subscriptions))
