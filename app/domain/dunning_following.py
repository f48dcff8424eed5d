"""What every decision means for dunning, added to it as it is recorded.

A payment is declined or has nothing to be charged to, an invoice is paid or taken back, a
subscription ends: whoever decides it need not think of dunning, and cannot forget it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from app.domain import dunning
from app.domain import dunning_policy as policies
from app.domain import dunning_run as runs
from app.domain.collection import with_subscriptions
from app.domain.decision import Decision
from app.domain.dunning_policy import Policy
from app.domain.dunning_run import Dunning, EndReason, Facts, Happening, Method, Status
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import BillingReason, Collection, Invoice
from app.domain.invoice import Status as InvoiceStatus
from app.domain.outcome import DeclineCategory
from app.domain.payment import CAPTURED_AFTER_CLOSING, Attempt, AttemptStatus, Payment
from app.domain.payment import Status as PaymentStatus
from app.domain.subscription import ENDED, Subscription
from app.domain.subscription import Status as SubscriptionStatus

Key: TypeAlias = tuple[UUID, UUID]

NOTHING: Final = Facts()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the dunning of an invoice as a decision about it is recorded."""

    invoice: Invoice
    run: Dunning | None = None
    payment: Payment | None = None
    policy: Policy = policies.DEFAULT
    zone: str = "UTC"
    facts: Facts = NOTHING
    subscriptions: Mapping[UUID, SubscriptionStatus] = field(default_factory=dict)
    """Those it is for, as they are by now."""

    @property
    def is_exempt(self) -> bool:
        """Whether its subscriptions wait for their first payment, while the customer is there, or
        have ended: nobody is dunned for it. Unless it is the last bill of one that has ended.
        """
        if not self.subscriptions:
            return False
        is_last = self.invoice.order.reason is BillingReason.SUBSCRIPTION_CANCEL
        return all(
            status is SubscriptionStatus.INCOMPLETE or (status in ENDED and not is_last)
            for status in self.subscriptions.values()
        )


@dataclass(slots=True)
class _Following:
    known: Mapping[Key, Known]
    now: datetime
    new_id: NewId
    done: set[UUID] = field(default_factory=set)
    """Runs that something was decided of already."""
    ended: set[UUID] = field(default_factory=set)
    """Subscriptions that end by these decisions."""


def concerns(decisions: Iterable[Decision]) -> tuple[set[Key], set[Key]]:
    """The invoices whose dunning these decisions may end, and those that are not paid as they
    should be; by (merchant, invoice).
    """
    over, waiting = set(), set()
    for decision in decisions:
        merchant = decision.merchant_id
        over |= {(merchant, i.id) for i in decision.invoices if i.version > 1 and _is_over(i)}
        waiting |= {
            (merchant, p.invoice_id)
            for p in decision.payments
            if _waits(p) or _never_made(decision, p)
        }
    return over, waiting


def is_planned(known: Known) -> bool:
    """Whether the attempt that is due was planned, or nobody is dunned for it yet: not one that
    somebody asked for in between.
    """
    payment, run = known.payment, known.run
    if payment is None or payment.due_at is None:
        return False
    at = payment.due_at if run is None else run.next_attempt_at
    return at is not None and at <= payment.due_at


def is_held_back(known: Known, method_id: UUID, now: datetime, also: int = 0) -> bool:
    """Whether an attempt that is due is not made: its method is known not to work any more, or it
    would pass a limit by now. `also`: how often the same is asked of the method at this instant.
    """
    run, usual = known.run, known.facts.usual
    if run is None:
        is_silent = known.policy.is_silent or known.is_exempt
        return not is_silent and usual is not None and usual.id == method_id and usual.is_refused
    wanted = _method(known.facts, method_id)
    wanted = replace(wanted, presented=(*wanted.presented, *[now] * also))
    return wanted.is_refused or dunning.earliest(run, wanted, known.facts, now) > now


def _method(facts: Facts, method_id: UUID) -> Method:
    """What is known of a method, be it the usual one or a back-up."""
    candidates = facts.others if facts.usual is None else (facts.usual, *facts.others)
    return next((method for method in candidates if method.id == method_id), Method(method_id))


def follow(
    decisions: Sequence[Decision], known: Mapping[Key, Known], now: datetime, new_id: NewId
) -> list[Decision]:
    """The decisions, each with what it means for dunning.

    `known` has what `concerns` names, and the runs of the subscriptions that are `abandoned`.
    """
    following = _Following(known, now, new_id)
    following.done |= {run.id for decision in decisions for run in decision.dunning}
    following.ended |= {sub for decision in decisions for sub in decision.abandoned}
    return [_followed(decision, following) for decision in decisions]


OVERDUE_NOTICE: Final = timedelta(days=1)
"""An invoice seen later than that after it was due is not treated as if its reminders had been."""


def overdue(
    known: Known, subscriptions: Sequence[Subscription], now: datetime, new_id: NewId
) -> Decision:
    """An invoice that was sent is overdue: its subscriptions are behind, and reminders begin.

    Nothing where it is paid by now, or not due.
    """
    invoice = known.invoice
    if invoice.status is not InvoiceStatus.OPEN or invoice.due_at > now:
        return Decision(invoice.merchant_id)
    since = invoice.due_at if now - invoice.due_at <= OVERDUE_NOTICE else now
    run = replace(dunning.begin(invoice, known.policy, known.zone, since, new_id), created_at=now)
    ahead = [at for at in run.moments if at > now]
    run = replace(
        run,
        step=len(run.moments) - len(ahead),
        next_action_at=ahead[0] if ahead else now,
    )
    told = (Event(new_id(), Type.DUNNING_RUN_STARTED, run),)
    decision = Decision(invoice.merchant_id, dunning=(run,), events=told)
    return with_subscriptions(decision, invoice, subscriptions, new_id)


def _followed(decision: Decision, following: _Following) -> Decision:
    refused = tuple(
        attempt.payment_method_id
        for attempt in decision.attempts
        if attempt.decline is not None and dunning.refuses(attempt.decline)
    )
    decision = replace(decision, refused=refused) if refused else decision
    if not following.known:
        return decision
    for invoice in decision.invoices:
        if _is_over(invoice):
            decision = _closed(decision, invoice, following)
    for payment in decision.payments:
        if _waits(payment):
            decision = _failed(decision, payment, following)
        elif _never_made(decision, payment):
            decision = _made_again(decision, payment, following)
    for subscription_id in decision.abandoned:
        decision = _abandoned(decision, subscription_id, following)
    return decision


def _is_over(invoice: Invoice) -> bool:
    return invoice.status not in (InvoiceStatus.DRAFT, InvoiceStatus.OPEN)


def _waits(payment: Payment) -> bool:
    return payment.status in (PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.REQUIRES_ACTION)


def _never_made(decision: Decision, payment: Payment) -> Attempt | None:
    """The attempt in whose place another is due, since it was never executed."""
    if payment.status is not PaymentStatus.SCHEDULED:
        return None
    closed = (a for a in decision.attempts if a.status is AttemptStatus.CANCELED)
    return next((attempt for attempt in closed if attempt.payment_id == payment.id), None)


def _made_again(decision: Decision, payment: Payment, following: _Following) -> Decision:
    """The attempt that was never executed is made again: unless its dunning was paused or has ended
    since, or money has come that may be what is owed.
    """
    known = following.known.get((decision.merchant_id, payment.invoice_id))
    attempt = _never_made(decision, payment)
    if known is None or attempt is None:
        return decision
    waiting = replace(payment, status=PaymentStatus.REQUIRES_PAYMENT_METHOD, due_at=None)
    if known.facts.is_contested:
        waiting = replace(waiting, failure_code=CAPTURED_AFTER_CLOSING)
    elif known.run is None or not _has_stopped_since(known.run, attempt.created_at):
        return decision
    return _failed(_with_payment(decision, payment, waiting), waiting, following)


def _has_stopped_since(run: Dunning, at: datetime) -> bool:
    stopped_at = run.paused_at or run.ended_at
    return stopped_at is not None and stopped_at >= at


def _closed(decision: Decision, invoice: Invoice, following: _Following) -> Decision:
    """The invoice is no longer to be paid: its dunning is over."""
    known = following.known.get((decision.merchant_id, invoice.id))
    run = None if known is None else known.run
    if run is None or run.status not in runs.LIVE or run.id in following.done:
        return decision
    following.done.add(run.id)
    recovered = invoice.amount_paid - run.paid_before
    match invoice.status:
        case InvoiceStatus.VOID:
            ended = dunning.stopped(run, EndReason.VOIDED, following.now)
        case InvoiceStatus.UNCOLLECTIBLE:
            ended = dunning.stopped(run, EndReason.WRITTEN_OFF, following.now)
        case _ if recovered <= 0:
            ended = dunning.stopped(run, EndReason.CREDITED, following.now)
        case _:
            by = [a.ordinal for a in decision.attempts if a.status is AttemptStatus.SUCCEEDED]
            ended = replace(
                dunning.ended(run, Happening.PAY, EndReason.PAID, following.now),
                amount_recovered=recovered,
                recovered_by_attempt=by[0] if by else None,
            )
    is_paid = ended.status is Status.RECOVERED
    told = Type.DUNNING_RUN_RECOVERED if is_paid else Type.DUNNING_RUN_STOPPED
    return _told(decision, ended, told, following.new_id)


def _failed(decision: Decision, payment: Payment, following: _Following) -> Decision:
    """A payment waits: for another method, for its next attempt, or for its customer."""
    known = following.known.get((decision.merchant_id, payment.invoice_id))
    if known is None:
        return decision
    is_contested = known.facts.is_contested or payment.failure_code == CAPTURED_AFTER_CLOSING
    if payment.failure_code == CAPTURED_AFTER_CLOSING and known.run is None:
        return decision
    attempt = next((a for a in decision.attempts if _is_declined(a, payment)), None)
    run = _concerned(known, decision, payment, attempt, following)
    if run is None:
        return decision
    following.done.add(run.id)
    is_new, facts, told = run.version == 1, known.facts, None
    if attempt is not None:
        run, facts = _declined(run, facts, attempt)
    if payment.status is PaymentStatus.REQUIRES_ACTION:
        run = dunning.waiting_for_customer(run, following.now)
    elif run.status is Status.PAUSED:
        pass
    elif is_contested:
        # Money has come that may be what is owed: nothing is tried until somebody has looked at it.
        run, told = dunning.standing_still(run, following.now), Type.DUNNING_RUN_PAUSED
    elif attempt is None and payment.version > 1:
        # Nothing was declined, and its subscriptions may not be behind yet: the clock looks at it.
        run = replace(run, next_attempt_at=None, next_action_at=following.now)
    else:
        info = None if attempt is None else attempt.decline
        verdict = dunning.what_follows(run, facts, following.now, info)
        run, planned = dunning.applied(run, payment, verdict, following.now)
        decision = _with_payment(decision, payment, planned)
        told = dunning.event_of(verdict)
    told = Type.DUNNING_RUN_STARTED if is_new else told
    return _told(decision, run, told, following.new_id)


def _concerned(
    known: Known,
    decision: Decision,
    payment: Payment,
    attempt: Attempt | None,
    following: _Following,
) -> Dunning | None:
    """The run that goes on, one version further, or a new one; None where nobody is dunned."""
    run = known.run
    if run is not None:
        is_over = run.status not in runs.LIVE or run.id in following.done
        return None if is_over else replace(run, version=run.version + 1)
    told = next((i for i in decision.invoices if i.id == payment.invoice_id), None)
    invoice = told or known.invoice
    is_ours = invoice.order.collection is Collection.CHARGE_AUTOMATICALLY
    if known.is_exempt or known.policy.is_silent or not is_ours:
        return None
    if invoice.status is not InvoiceStatus.OPEN:
        return None
    if attempt is None and told is not None and not _is_just_final(told, following.now):
        return None  # it was paid in part, or is owed again: that waits for somebody to ask
    begun = dunning.begin(invoice, known.policy, known.zone, following.now, following.new_id)
    if payment.status is PaymentStatus.REQUIRES_ACTION:
        return replace(begun, first_category=DeclineCategory.ACTION_REQUIRED)
    return replace(begun, first_category=None if attempt is None else attempt.failure_category)


def _is_just_final(invoice: Invoice, now: datetime) -> bool:
    return invoice.finalized_at == now and not invoice.amount_paid


def _is_declined(attempt: Attempt, payment: Payment) -> bool:
    """Whether it was declined just now; `decline` is known of no older one."""
    return attempt.payment_id == payment.id and attempt.decline is not None


def _declined(run: Dunning, facts: Facts, attempt: Attempt) -> tuple[Dunning, Facts]:
    """The run after one more attempt was declined, with the method as it is known now."""
    info = attempt.decline
    method_id, usual = attempt.payment_method_id, facts.usual
    is_usual = usual is not None and usual.id == method_id
    is_blocked = is_usual and info is not None and dunning.blocks(info)
    if usual is not None and is_usual and info is not None and dunning.refuses(info):
        facts = replace(facts, usual=replace(usual, is_refused=True))
    declined = replace(
        run,
        attempts=run.attempts + 1,
        last_category=attempt.failure_category,
        last_code=attempt.failure_code,
        blocked_method_id=method_id if is_blocked else run.blocked_method_id,
    )
    if run.method_changed_at is not None and attempt.created_at >= run.method_changed_at:
        # What changed before it was sent is what was declined.
        declined = dunning.looked_at(declined)
    return declined, facts


def _abandoned(decision: Decision, subscription_id: UUID, following: _Following) -> Decision:
    """The subscription has ended: nobody is dunned for what it had left unpaid."""
    for known in following.known.values():
        run, invoice = known.run, known.invoice
        if run is None or run.status not in runs.LIVE or run.id in following.done:
            continue
        if invoice.merchant_id != decision.merchant_id:
            continue
        if subscription_id not in known.subscriptions:
            continue
        if not all(
            status in ENDED or about in following.ended
            for about, status in known.subscriptions.items()
        ):
            continue
        following.done.add(run.id)
        over = dunning.stopped(run, EndReason.SUBSCRIPTION_ENDED, following.now)
        payment = known.payment
        if payment is not None and all(each.id != payment.id for each in decision.payments):
            decision = replace(
                decision, payments=(*decision.payments, *dunning.unscheduled(payment))
            )
        decision = _told(decision, over, Type.DUNNING_RUN_STOPPED, following.new_id)
    return decision


def _with_payment(decision: Decision, before: Payment, payment: Payment) -> Decision:
    """The decision with the payment as it is planned now, in what it tells too."""
    if payment == before:
        return decision
    events = tuple(
        replace(event, subject=payment) if event.subject is before else event
        for event in decision.events
    )
    payments = tuple(payment if each is before else each for each in decision.payments)
    return replace(decision, payments=payments, events=events)


def _told(decision: Decision, run: Dunning, type_: Type | None, new_id: NewId) -> Decision:
    told = () if type_ is None else (Event(new_id(), type_, run),)
    return replace(decision, dunning=(*decision.dunning, run), events=(*decision.events, *told))
