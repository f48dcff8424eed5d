"""Dunning: what follows when an invoice is not paid as it should be.

One function says what follows a decline: `what_follows`. What every other decision means for it is
in `dunning_following.py`; the clock comes back to what waits (`look`); how it ends without success
is in `dunning_ending.py`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from app.domain import dunning_run as runs
from app.domain.collection import promised_at, with_subscriptions
from app.domain.decision import Decision
from app.domain.dunning_policy import Failover, Policy, allowed_from
from app.domain.dunning_run import Dunning, EndReason, Facts, Happening, Method, Status, Waiting
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Collection, Invoice
from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineInfo
from app.domain.payment import Payment
from app.domain.payment import Status as PaymentStatus
from app.domain.subscription import Subscription

Key: TypeAlias = tuple[UUID, UUID]

IN_FLIGHT_GRACE: Final = timedelta(hours=1)
"""How long to wait again for an attempt whose outcome is not known when a step is due."""
CLOCK_GRACE: Final = timedelta(minutes=5)
"""How long to wait for a renewal that is due on a subscription, before its dunning goes on."""
ACTION_GRACE: Final = timedelta(days=1)
"""How long a customer has who must act on the very last attempt."""
BACKUPS_MAX: Final = 5
"""Back-up methods of a customer that are tried for one invoice: people have a few cards."""


# ── what follows ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The usual method, `method_id`, is tried again then, whatever was tried since."""

    at: datetime
    method_id: UUID


@dataclass(frozen=True, slots=True)
class TryNow:
    """Another method, or one that has changed, is tried at once."""

    method_id: UUID


@dataclass(frozen=True, slots=True)
class WaitForMethod:
    """Nothing is tried until a method comes or changes; the next step is a reminder."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Remind:
    """Nothing is tried until then: the next step is a reminder, or a limit stands before it."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Finish:
    """No step is left."""


Verdict: TypeAlias = RetryAt | TryNow | WaitForMethod | Remind | Finish


def what_follows(
    run: Dunning, facts: Facts, now: datetime, info: DeclineInfo | None = None
) -> Verdict:
    """What is done next about an invoice that is not paid; `info`: as it was declined just now.

    Whatever is tried counts for the same limits: the merchant's on attempts at the invoice, and the
    scheme's on this amount by this method.
    """
    ahead = [(step, at) for step, at in zip(run.steps, run.moments, strict=True) if at > now]
    if run.collection is Collection.SEND_INVOICE:
        return Remind(ahead[0][1]) if ahead else Finish()
    for method in _to_try_at_once(run, facts):
        if earliest(run, method, facts, now) == now:
            return TryNow(method.id)
    if not ahead:
        return Finish()
    step, at = ahead[0]
    usual = facts.usual
    if usual is None or _is_blocked(run, usual):
        return WaitForMethod(at)
    if not step.is_attempt:
        return Remind(at)
    if info is not None and info.retry_after_seconds:
        at = max(at, now + timedelta(seconds=info.retry_after_seconds))
    allowed = earliest(run, usual, facts, at)
    if allowed > ahead[-1][1]:
        return Remind(ahead[0][1])
    return RetryAt(allowed, usual.id)


def blocks(info: DeclineInfo) -> bool:
    """Whether the method is left alone until it changes, as far as this invoice goes.

    What the merchant's own account does not allow says nothing about the customer's card.
    """
    if info.category is DeclineCategory.CONFIGURATION:
        return False
    return info.category is not DeclineCategory.SOFT or info.advice in NO_FURTHER


def refuses(info: DeclineInfo) -> bool:
    """Whether the method is left alone for other invoices too. One that only wants its customer
    present may do without the next time.
    """
    return blocks(info) and info.category is not DeclineCategory.ACTION_REQUIRED


NO_FURTHER: Final = frozenset({DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.UPDATE_PAYMENT_METHOD})


def _to_try_at_once(run: Dunning, facts: Facts) -> list[Method]:
    """Methods that this invoice was not tried with, as they are now: the usual one, if it is new or
    has changed, then the back-ups in their order, as far as the policy goes.
    """
    tried = {each.method_id for each in facts.tries} - {run.changed_method_id}
    usual = facts.usual
    is_blocked = usual is None or _is_blocked(run, usual)
    found = [m for m in facts.others if m.id not in tried and not m.is_refused]
    failover = run.policy.failover
    if failover is Failover.NEVER or (failover is Failover.HARD and not is_blocked):
        found = []
    if usual is None or is_blocked:
        return found
    is_fresh = usual.id not in tried or usual.id == run.changed_method_id
    return [usual, *found] if is_fresh else found


def _is_blocked(run: Dunning, method: Method) -> bool:
    if method.is_refused:
        return True
    return method.id == run.blocked_method_id != run.changed_method_id


def earliest(run: Dunning, method: Method, facts: Facts, wanted: datetime) -> datetime:
    """From when on another attempt passes no limit."""
    at = wanted
    for _ in range(len(facts.tries) + len(method.presented) + 1):  # each moves past one at least
        own = allowed_from(at, (each.at for each in facts.tries), (run.policy.limit,))
        later = allowed_from(own, method.presented, method.limits)
        if later == at:
            break
        at = later
    return at


def begin(invoice: Invoice, policy: Policy, zone: str, since: datetime, new_id: NewId) -> Dunning:
    """The dunning of an open invoice, before its first step."""
    return Dunning(
        id=new_id(),
        merchant_id=invoice.merchant_id,
        invoice_id=invoice.id,
        customer_id=invoice.order.customer_id,
        collection=invoice.order.collection,
        currency=invoice.order.currency,
        amount=invoice.amount_remaining,
        paid_before=invoice.amount_paid,
        policy=policy,
        zone=zone,
        status=Status.ACTIVE,
        failed_at=since,
        created_at=since,
        test_clock_id=invoice.order.test_clock_id,
    )


def looked_at(run: Dunning) -> Dunning:
    """The run once what changed of payment methods was seen."""
    return replace(run, changed_method_id=None, method_changed_at=None)


def waiting_for_customer(run: Dunning, now: datetime) -> Dunning:
    """The run while its customer has to act on the attempt that is under way."""
    ahead = [at for at in run.moments if at > now]
    return replace(
        run,
        step=_steps_come(run, now),
        waiting_for=Waiting.CUSTOMER,
        next_attempt_at=None,
        next_action_at=ahead[0] if ahead else now + ACTION_GRACE,
    )


def applied(
    run: Dunning, payment: Payment, verdict: Verdict, now: datetime
) -> tuple[Dunning, Payment]:
    """The run and its payment, in the version they are given in, as a verdict has them."""
    payment = replace(payment, postponed_reason=None)
    waiting = replace(payment, status=PaymentStatus.REQUIRES_PAYMENT_METHOD, due_at=None)
    run = replace(
        run,
        step=_steps_come(run, now),
        waiting_for=None,
        next_attempt_at=None,
        next_action_at=None,
    )
    match verdict:
        case RetryAt(at=at, method_id=method_id):
            due = replace(
                payment,
                status=PaymentStatus.SCHEDULED,
                due_at=at,
                payment_method_id=method_id,
            )
            return replace(run, next_attempt_at=at), due
        case TryNow(method_id=method_id):
            due = replace(
                payment,
                status=PaymentStatus.SCHEDULED,
                due_at=now,
                payment_method_id=method_id,
            )
            blocked = run.blocked_method_id
            still = None if blocked in (method_id, run.changed_method_id) else blocked
            return replace(looked_at(run), next_attempt_at=now, blocked_method_id=still), due
        case WaitForMethod(until=until):
            return replace(run, waiting_for=Waiting.METHOD, next_action_at=until), waiting
        case Remind(until=until):
            return replace(run, next_action_at=until), waiting
        case Finish():
            return replace(run, next_action_at=now), waiting


def event_of(verdict: Verdict) -> Type | None:
    """What tells of a verdict; a reminder is told when its time has come, the end as it comes."""
    match verdict:
        case RetryAt() | TryNow():
            return Type.DUNNING_RUN_RETRY_SCHEDULED
        case WaitForMethod():
            return Type.DUNNING_RUN_WAITING
        case Remind() | Finish():
            return None


def _steps_come(run: Dunning, now: datetime) -> int:
    return sum(at <= now for at in run.moments)


def unscheduled(payment: Payment) -> tuple[Payment, ...]:
    """The payment, if an attempt is planned, without it."""
    if payment.status is not PaymentStatus.SCHEDULED:
        return ()
    waiting = replace(
        payment,
        status=PaymentStatus.REQUIRES_PAYMENT_METHOD,
        due_at=None,
        postponed_reason=None,
        version=payment.version + 1,
    )
    return (waiting,)


# ── how it ends, and by hand ──────────────────────────────────────────────────────────────────────


def ended(run: Dunning, happening: Happening, reason: EndReason, now: datetime) -> Dunning:
    return replace(
        looked_at(run),
        status=runs.after(run.status, happening),
        next_attempt_at=None,
        next_action_at=None,
        waiting_for=None,
        paused_at=None,
        ended_at=now,
        end_reason=reason,
        version=run.version + 1,
    )


def stopped(run: Dunning, reason: EndReason, now: datetime) -> Dunning:
    """The run, stopped. Raises Conflict where it has ended."""
    return ended(run, Happening.STOP, reason, now)


def exhausted(run: Dunning, reason: EndReason, now: datetime) -> Dunning:
    """The run, ended without success."""
    come = _steps_come(run, now)
    return replace(ended(run, Happening.EXHAUST, reason, now), step=come)


def stop(run: Dunning, payment: Payment | None, now: datetime, new_id: NewId) -> Decision:
    """Somebody stops it: nothing is tried, told or done any more. Raises Conflict."""
    over = stopped(run, EndReason.BY_HAND, now)
    return Decision(
        run.merchant_id,
        payments=() if payment is None else unscheduled(payment),
        dunning=(over,),
        events=(Event(new_id(), Type.DUNNING_RUN_STOPPED, over),),
    )


def standing_still(run: Dunning, now: datetime) -> Dunning:
    """The run, paused, in the version it is given in. Raises Conflict."""
    return replace(
        run,
        status=runs.after(run.status, Happening.PAUSE),
        next_attempt_at=None,
        next_action_at=None,
        paused_at=now,
    )


def pause(run: Dunning, payment: Payment | None, now: datetime, new_id: NewId) -> Decision:
    """Somebody pauses it: its days stand still until it is resumed. Raises Conflict."""
    paused = replace(standing_still(run, now), version=run.version + 1)
    return Decision(
        run.merchant_id,
        payments=() if payment is None else unscheduled(payment),
        dunning=(paused,),
        events=(Event(new_id(), Type.DUNNING_RUN_PAUSED, paused),),
    )


def resume(
    run: Dunning, payment: Payment | None, facts: Facts, now: datetime, new_id: NewId
) -> Decision:
    """It goes on where it was paused. Raises Conflict."""
    status = runs.after(run.status, Happening.RESUME)
    assert run.paused_at is not None
    resumed = replace(
        run,
        status=status,
        failed_at=run.failed_at + (now - run.paused_at),
        paused_at=None,
        version=run.version + 1,
    )
    if payment is None or payment.status is not PaymentStatus.REQUIRES_PAYMENT_METHOD:
        resumed = replace(resumed, next_action_at=now)
        told = (Event(new_id(), Type.DUNNING_RUN_RESUMED, resumed),)
        return Decision(run.merchant_id, dunning=(resumed,), events=told)
    verdict = what_follows(resumed, facts, now)
    before = replace(payment, version=payment.version + 1)
    resumed, planned = applied(resumed, before, verdict, now)
    return Decision(
        run.merchant_id,
        payments=(planned,) if planned != before else (),
        dunning=(resumed,),
        events=(Event(new_id(), Type.DUNNING_RUN_RESUMED, resumed),),
    )


# ── the clock comes back ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Case:
    """A run that the clock looks at, with what it is about."""

    run: Dunning
    invoice: Invoice
    payment: Payment | None
    facts: Facts
    subscriptions: tuple[Subscription, ...] = ()


def look(case: Case, now: datetime, new_id: NewId) -> Decision | Finish:
    """What is due on a run: a reminder, an attempt by a method that has changed, or its end.

    Of a bill that was made ahead nobody is behind before its period begins: the end waits for that.
    """
    verdict = _look(case, now, new_id)
    begins = promised_at(case.invoice, now)
    if begins is None or not isinstance(verdict, Finish):
        return verdict
    waiting = replace(
        looked_at(case.run),
        step=_steps_come(case.run, now),
        next_attempt_at=None,
        next_action_at=begins,
        version=case.run.version + 1,
    )
    told = (Event(new_id(), Type.DUNNING_RUN_REMINDER, waiting),)
    is_step = waiting.step > case.run.step
    return Decision(waiting.merchant_id, dunning=(waiting,), events=told if is_step else ())


def _look(case: Case, now: datetime, new_id: NewId) -> Decision | Finish:
    run, payment = case.run, case.payment
    status = None if payment is None else payment.status
    if status in (PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN):
        return put_off(run, now, IN_FLIGHT_GRACE)
    if status is PaymentStatus.REQUIRES_ACTION:
        return _look_at_waiting(run, now, new_id)
    verdict = what_follows(run, case.facts, now)
    if status is PaymentStatus.SCHEDULED and not isinstance(verdict, TryNow):
        seen = replace(looked_at(run), next_action_at=None, version=run.version + 1)
        return Decision(run.merchant_id, dunning=(seen,))
    if isinstance(verdict, Finish):
        return verdict
    changed = replace(run, version=run.version + 1)
    payments: tuple[Payment, ...] = ()
    if payment is None:  # nobody charges it: only time goes by
        ahead = [at for at in run.moments if at > now]
        changed = replace(
            changed, step=_steps_come(run, now), next_action_at=ahead[0] if ahead else now
        )
    else:
        before = replace(payment, version=payment.version + 1)
        changed, planned = applied(changed, before, verdict, now)
        payments = (planned,) if planned != before else ()
    changed = looked_at(changed)
    decision = Decision(run.merchant_id, payments=payments, dunning=(changed,))
    told = _news(run, changed, verdict)
    if told is not None:
        decision = replace(decision, events=(Event(new_id(), told, changed),))
    return with_subscriptions(decision, case.invoice, case.subscriptions, new_id)


def put_off(run: Dunning, now: datetime, grace: timedelta = CLOCK_GRACE) -> Decision:
    """Something else comes to its end first: it is looked at again later."""
    later = replace(run, next_action_at=now + grace, version=run.version + 1)
    return Decision(run.merchant_id, dunning=(later,))


def _look_at_waiting(run: Dunning, now: datetime, new_id: NewId) -> Decision | Finish:
    """The customer has not acted yet: reminded at each step, until none is left."""
    ahead = [at for at in run.moments if at > now]
    come = _steps_come(run, now)
    if not ahead and run.step == come:
        return Finish()
    reminded = replace(
        looked_at(run),
        step=come,
        waiting_for=Waiting.CUSTOMER,
        next_action_at=ahead[0] if ahead else now + ACTION_GRACE,
        version=run.version + 1,
    )
    is_step = come > run.step
    told = (Event(new_id(), Type.DUNNING_RUN_REMINDER, reminded),) if is_step else ()
    return Decision(run.merchant_id, dunning=(reminded,), events=told)


def _news(before: Dunning, run: Dunning, verdict: Verdict) -> Type | None:
    """What is told of a look: the attempt that follows, what it waits for now, or the step."""
    if isinstance(verdict, TryNow):
        return Type.DUNNING_RUN_RETRY_SCHEDULED
    if run.step > before.step:
        return Type.DUNNING_RUN_REMINDER
    if run.waiting_for is not before.waiting_for and isinstance(verdict, WaitForMethod):
        return Type.DUNNING_RUN_WAITING
    return Type.DUNNING_RUN_RETRY_SCHEDULED if isinstance(verdict, RetryAt) else None
