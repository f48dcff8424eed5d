"""Pausing and resuming a subscription: what is billed meanwhile, and what is owed after. Pure."""

from dataclasses import replace
from datetime import datetime

from app.domain import billing, changing, items, noting, periods, waiting
from app.domain import payment as paying
from app.domain.billing import Account, Became, Lines
from app.domain.calendar import SECOND, Period
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason, Collection, Invoice
from app.domain.invoice import Status as InvoiceStatus
from app.domain.noting import Way
from app.domain.periods import Entered
from app.domain.policy import PauseResume, PauseUnused
from app.domain.pricing import Timing
from app.domain.subscription import (
    Happening,
    Item,
    Pause,
    PausedInvoices,
    Scheduled,
    Status,
    Subscription,
    after,
)


def pause(
    account: Account, wanted: Pause, unused: PauseUnused, now: datetime, new_id: NewId
) -> Decision:
    """Pause it at `wanted.paused_at`. Without invoices, what was used in arrears is billed now, and
    the rest of what was paid runs on or comes back, as `unused` says. Raises Conflict.
    """
    sub, at = account.subscription, wanted.paused_at
    _check_no_trial(sub)
    if wanted.resumes_at is not None and wanted.resumes_at <= at:
        raise InvalidRequest("It resumes after it is paused.", param="resumes_at")
    status = after(sub.status, Happening.PAUSE)
    paused = replace(sub, status=status, pause=wanted, version=sub.version + 1)
    if wanted.invoices is not PausedInvoices.NONE or sub.period is None:
        return billing.told_of(paused, Type.SUBSCRIPTION_PAUSED, new_id)
    gives = unused is PauseUnused.CREDIT and at < sub.period.end
    if not gives:
        return _stood_still(account, paused, wanted, unused, now, new_id)
    return noting.beside(
        account,
        lambda noted: changing.unused(noted, at),
        lambda rest: _stood_still(rest, paused, wanted, unused, now, new_id),
        Way(account.corrected),
        now,
        new_id,
    )


def _stood_still(
    account: Account,
    paused: Subscription,
    wanted: Pause,
    unused: PauseUnused,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """Nothing is billed until it is resumed, but what was used up to now; what is left of what was
    paid comes back, if so decided.
    """
    sub, at = account.subscription, wanted.paused_at
    assert sub.period is not None
    charges = billing.arrears(account, sub.items, at)
    given, cut = [], waiting.Cut(account.pending)
    if unused is PauseUnused.CREDIT and at < sub.period.end:
        given = changing.unused(account, at)
        cut = waiting.cut(account, None, at, now, new_id)
        # A period is longer than nothing: given back at its very start, a second of it stays.
        paused = replace(
            paused, period=Period(sub.period.start, max(at, sub.period.start + SECOND))
        )
    lines = Lines(charges, given)
    if not lines:
        decision = billing.told_of(paused, Type.SUBSCRIPTION_PAUSED, new_id)
        return replace(decision, pending=cut.written)
    span = Period(sub.period.start, at) if sub.period.start < at else sub.period
    order = billing.order(sub, BillingReason.SUBSCRIPTION_UPDATE, span)
    told = Became(paused, Type.SUBSCRIPTION_PAUSED)
    billed = replace(account, pending=cut.kept)
    bill = order, billing.with_pending(billed, lines)
    decision = billing.decide(billed, told, bill, now, new_id)
    return replace(decision, pending=cut.with_taken(decision.pending))


def _check_no_trial(sub: Subscription) -> None:
    if sub.status is Status.TRIALING:
        raise Conflict("A trial is not paused; extend it.", code="subscription_trialing")


def schedule(sub: Subscription, wanted: Pause, now: datetime, new_id: NewId) -> Decision:
    """Pause it when its present period is over. Raises Conflict."""
    _check_no_trial(sub)
    after(sub.status, Happening.PAUSE)
    if sub.period is None:
        raise Conflict("It has not started yet.", code="subscription_scheduled")
    if wanted.resumes_at is not None and wanted.resumes_at <= sub.period.end:
        raise InvalidRequest("It resumes after it is paused.", param="resumes_at")
    replaced = [s for s in sub.scheduled if s.pause is not None]
    planned = Scheduled(new_id(), sub.period.end, pause=wanted, created_at=now)
    return changing.add(sub, [planned], replaced, now, new_id)


def pause_as_planned(
    account: Account, planned: Scheduled, now: datetime, new_id: NewId
) -> Decision:
    """A pause that was scheduled begins. At a boundary nothing is left to come back."""
    sub = account.subscription
    assert planned.pause is not None
    left = replace(sub, scheduled=tuple(s for s in sub.scheduled if s is not planned))
    wanted = replace(planned.pause, paused_at=planned.due_at)
    unused = account.policy.pause_unused
    paused = pause(replace(account, subscription=left), wanted, unused, now, new_id)
    return replace(paused, scheduled=(items.applied(sub, planned, now),))


def pause_unpaid_trial(sub: Subscription, new_id: NewId) -> Decision:
    """The trial is over and there is nothing to charge: it waits for a payment method."""
    assert sub.period is not None
    paused = replace(
        sub,
        status=after(sub.status, Happening.PAUSE),
        pause=Pause(sub.period.end),
        version=sub.version + 1,
    )
    return billing.told_of(paused, Type.SUBSCRIPTION_PAUSED, new_id)


def resume(account: Account, at: datetime, now: datetime, new_id: NewId) -> Decision:
    """Go on at `at`: in the period that is paid for, or with a new one; and collect what was held.

    Raises Conflict where it is not paused.
    """
    sub = account.subscription
    if sub.pause is None:
        raise Conflict("It is not paused.", code="subscription_not_paused")
    assert sub.period is not None
    if sub.pause.invoices is not PausedInvoices.NONE:
        return _go_on(account, now, new_id)
    if at < sub.period.end == sub.interval.after(sub.anchor, sub.period_index + 1, sub.zone):
        found = tuple(_since(item, at) for item in sub.items)
        running = replace(
            sub,
            status=after(sub.status, Happening.RESUME),
            pause=None,
            items=found,
            version=sub.version + 1,
        )
        decision = billing.told_of(running, Type.SUBSCRIPTION_RESUMED, new_id)
        return replace(decision, items=items.recast_states(sub, running, at).items)
    at = max(at, sub.period.end)
    anchor, index = at, 0
    if account.policy.pause_resume is PauseResume.STUB and sub.period_index >= sub.first_index:
        anchor, index = sub.anchor, sub.interval.index(sub.anchor, at, sub.zone)
    period = Period(at, sub.interval.after(anchor, index + 1, sub.zone))
    begun = replace(sub, anchor=anchor, period=period, pause=None)
    entering = replace(account, subscription=begun)
    return periods.begin(
        entering, sub, Entered(period, index), Happening.RESUME, Lines(), now, new_id
    )


def _go_on(account: Account, now: datetime, new_id: NewId) -> Decision:
    """Periods went on while it was paused: drafts are finalized and open invoices collected."""
    sub = account.subscription
    running = replace(
        sub, status=after(sub.status, Happening.RESUME), pause=None, version=sub.version + 1
    )
    drafts, payments = released(account, now, new_id)
    decision = billing.told_of(running, Type.SUBSCRIPTION_RESUMED, new_id)
    return replace(decision, invoices=drafts, payments=payments)


def released(
    account: Account, now: datetime, new_id: NewId
) -> tuple[tuple[Invoice, ...], tuple[paying.Payment, ...]]:
    """What a pause held back: drafts, to be finalized, and payments of what stayed open."""
    drafts, payments = [], []
    for invoice in account.held:
        if invoice.status is InvoiceStatus.DRAFT:
            drafts.append(replace(invoice, finalize_at=now, version=invoice.version + 1))
        elif _is_collected(invoice):
            payments.append(paying.schedule(invoice, account.method_id, now, new_id))
    return tuple(drafts), tuple(payments)


def _is_collected(invoice: Invoice) -> bool:
    automatic = invoice.order.collection is Collection.CHARGE_AUTOMATICALLY
    return automatic and invoice.status is InvoiceStatus.OPEN


def _since(item: Item, at: datetime) -> Item:
    """An item in arrears owes nothing for the time it was paused."""
    return replace(item, since=at) if item.price.timing is Timing.ARREARS else item
