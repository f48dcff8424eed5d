"""What comes back when a subscription ends, by credit notes: less is due on invoices nobody paid,
and of what was paid the customer gets money or credit. Pure.

Credit for an unpaid invoice would be money from nowhere: it only ever makes that invoice smaller.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from app.domain import lifecycle, noting
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.ids import NewId
from app.domain.noting import Way
from app.domain.policy import CancelCredit
from app.domain.subscription import Status

BILLED: Final = frozenset({Status.ACTIVE, Status.PAST_DUE, Status.UNPAID, Status.PAUSED})
REASON: Final = "Canceled"


def cancel_now(
    account: Account, credit: CancelCredit, way: Way, now: datetime, new_id: NewId
) -> Decision:
    """End the subscription at this instant and give back `credit`, each part in its way.

    Raises Conflict while a payment of an invoice that would become smaller is in flight.
    """
    if account.subscription.status not in BILLED:
        return lifecycle.cancel_now(account, now, new_id, credit)
    return noting.beside(
        account,
        lambda noted: lifecycle.credits_of(noted, credit, now),
        lambda rest: lifecycle.cancel_now(rest, now, new_id, credit),
        replace(way, reason=REASON),
        now,
        new_id,
    )
