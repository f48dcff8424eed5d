"""What callers ask of a subscription, decided: the same for a call, a preview and a simulation."""

from dataclasses import replace
from datetime import datetime

from app.domain import anchoring, changing, lifecycle, pausing, phases, returning
from app.domain import policy as policies
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.ids import NewId
from app.domain.noting import BY_LINES, Way
from app.domain.policy import AnchorChange, CancelCredit, PauseUnused, When
from app.domain.subscription import Change, Pause


def change(
    account: Account, wanted: Change, when: When | datetime | None, now: datetime, new_id: NewId
) -> Decision:
    """Change it now, when its period is over, or at a date; None: as the billing settings say.

    The plans it is changed to have their say in these. Raises Conflict, also while phases of a
    schedule are to come; InvalidRequest.
    """
    sub = account.subscription
    phases.check_none_left(sub)
    prices = [item.price for item in wanted.items if item.price is not None]
    policy = policies.narrowed(account.policy, prices, sub.settings)
    when = when or changing.when(sub, wanted, policy)
    if isinstance(when, datetime):
        return changing.schedule(sub, wanted, when, now, new_id)
    if when is When.PERIOD_END:
        if sub.period is None:
            raise Conflict("It has not started yet; change it now.", code="subscription_scheduled")
        return changing.schedule(sub, wanted, sub.period.end, now, new_id)
    changed = changing.change(replace(account, policy=policy), wanted, now, now, new_id)
    return lifecycle.unpayable(changed, new_id)


def move_anchor(
    account: Account, anchor: datetime, how: AnchorChange | None, now: datetime, new_id: NewId
) -> Decision:
    """Count its periods from `anchor`; None: as the billing settings say. Raises Conflict,
    InvalidRequest.
    """
    return lifecycle.unpayable(anchoring.move(account, anchor, how, now, new_id), new_id)


def cancel(
    account: Account,
    when: When | datetime | None,
    credit: CancelCredit | None,
    now: datetime,
    new_id: NewId,
    way: Way = BY_LINES,
) -> Decision:
    """End it now, when its period is over, or at a date; None: as the billing settings say.

    What comes back of invoices that nobody paid, or is to be refunded, goes that `way`.
    Raises Conflict, InvalidRequest.
    """
    when = when or account.policy.cancel_when
    if when is not When.NOW and credit not in (None, CancelCredit.NONE):
        raise InvalidRequest(
            "Only what ends now gives something back; send when: now.", param="credit"
        )
    if isinstance(when, datetime):
        return lifecycle.cancel_at(account.subscription, when, now, new_id)
    if when is When.PERIOD_END:
        return lifecycle.cancel_at_period_end(account.subscription, now, new_id)
    given = credit or account.policy.cancel_credit
    return returning.cancel_now(account, given, way, now, new_id)


def pause(
    account: Account,
    wanted: Pause,
    when: When,
    unused: PauseUnused | None,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """Pause it now, or when its period is over. Raises Conflict, InvalidRequest."""
    if when is When.PERIOD_END:
        return pausing.schedule(account.subscription, wanted, now, new_id)
    return pausing.pause(account, wanted, unused or account.policy.pause_unused, now, new_id)


def resume(account: Account, now: datetime, new_id: NewId) -> Decision:
    """Let it go on now. Raises Conflict."""
    return lifecycle.unpayable(pausing.resume(account, now, now, new_id), new_id)
