"""How dunning ends without success: what becomes of the subscription, and of the invoice."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.domain import collection, dunning, lifecycle, pausing
from app.domain import subscription as subscribing
from app.domain.billing import OWING, Account
from app.domain.decision import Decision
from app.domain.dunning import Case
from app.domain.dunning_policy import FinalAction, UnpaidInvoice
from app.domain.dunning_run import EndReason
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Invoice
from app.domain.outcome import DeclineCategory
from app.domain.payment import Status as PaymentStatus
from app.domain.policy import PauseUnused
from app.domain.subscription import Happening, Pause, Status, Subscription

PAUSABLE = frozenset({Status.ACTIVE, Status.PAST_DUE, Status.UNPAID})
IN_FLIGHT = frozenset(
    {PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN, PaymentStatus.REQUIRES_ACTION}
)


def finish(case: Case, accounts: Sequence[Account], now: datetime, new_id: NewId) -> list[Decision]:
    """No step is left: what the policy wants is done, once, to each subscription that is behind.

    Where the last refusal was the fault of the merchant's own account nothing is done: a customer
    who could have paid is not put out for what only the merchant can mend. It is told all the same.
    """
    run = case.run
    action, reason = run.wanted_action, EndReason.EXHAUSTED
    if run.last_category is DeclineCategory.CONFIGURATION:
        action, reason = FinalAction.KEEP, EndReason.CONFIGURATION
    behind = [a for a in accounts if _is_behind(a.subscription, case.invoice)]
    found = [_acted(account, action, now, new_id) for account in behind]
    done = [decision for decision in found if decision is not None]
    over = replace(
        dunning.exhausted(run, reason, now),
        final_action=action if done else FinalAction.KEEP,
    )
    told = Event(new_id(), Type.DUNNING_RUN_EXHAUSTED, over)
    ended = Decision(run.merchant_id, dunning=(over,), events=(told,))
    writes_off = run.policy.unpaid_invoice is UnpaidInvoice.MARK_UNCOLLECTIBLE
    in_flight = case.payment is not None and case.payment.status in IN_FLIGHT
    if writes_off and reason is EndReason.EXHAUSTED and not in_flight:
        lost = collection.write_off(case.invoice, case.payment, new_id)
        ended = replace(lost, dunning=(over,), events=(*lost.events, told))
    return [*done, ended]


def _is_behind(sub: Subscription, invoice: Invoice) -> bool:
    """An older invoice does not end what has been paid since."""
    if sub.status in subscribing.ENDED:
        return False
    return sub.latest_invoice_id == invoice.id or sub.status in OWING


def _acted(account: Account, action: FinalAction, now: datetime, new_id: NewId) -> Decision | None:
    """What is done to a subscription; None where that is nothing."""
    sub = account.subscription
    match action:
        case FinalAction.CANCEL:
            return lifecycle.cancel_now(account, now, new_id)
        case FinalAction.UNPAID if sub.status is Status.PAST_DUE:
            status = subscribing.after(sub.status, Happening.GIVE_UP)
            given_up = replace(sub, status=status, version=sub.version + 1)
            told = Event(new_id(), Type.SUBSCRIPTION_UNPAID, given_up)
            return Decision(sub.merchant_id, subscriptions=(given_up,), events=(told,))
        case FinalAction.PAUSE if sub.status in PAUSABLE:
            return pausing.pause(account, Pause(now), PauseUnused.KEEP, now, new_id)
        case _:
            return None
