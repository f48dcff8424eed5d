"""What comes back when a subscription ends, by credit notes: less is due on invoices nobody paid,
and of what was paid the customer gets money or credit. Pure.

Credit for an unpaid invoice would be money from nowhere: it only ever makes that invoice smaller.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.domain import collection, issuing, lifecycle
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.ids import NewId
from app.domain.invoicing import Credit
from app.domain.issuing import Corrected, Wanted
from app.domain.policy import CancelCredit, CreditTo
from app.domain.subscription import Status

BILLED: Final = frozenset({Status.ACTIVE, Status.PAST_DUE, Status.UNPAID, Status.PAUSED})
REASON: Final = "Canceled"


@dataclass(frozen=True, slots=True)
class Way:
    """By which invoices credit notes are issued; what comes back of others are lines of the last
    bill. `name` names refunds.
    """

    corrected: Mapping[UUID, Corrected] = field(default_factory=dict)
    to: CreditTo = CreditTo.BALANCE
    name: Callable[[UUID], str] = str


BY_LINES: Final = Way()


def cancel_now(
    account: Account, credit: CancelCredit, way: Way, now: datetime, new_id: NewId
) -> Decision:
    """End the subscription at this instant and give back `credit`, each part in its way.

    Raises Conflict while a payment of an invoice that would become smaller is in flight.
    """
    if account.subscription.status not in BILLED:
        return lifecycle.cancel_now(account, now, new_id, credit)
    noted = tuple(c for c in account.charged if c.invoice_id in way.corrected)
    others = tuple(c for c in account.charged if c.invoice_id not in way.corrected)
    invoice_of = {charged.line.id: charged.invoice_id for charged in noted}
    given: dict[UUID, list[Credit]] = defaultdict(list)
    for part in lifecycle.credits_of(replace(account, charged=noted), credit, now):
        assert part.charge.reverses_line_id is not None
        given[invoice_of[part.charge.reverses_line_id]].append(part)
    balance, notes = account.balance, []
    for invoice_id, parts in given.items():
        about = replace(way.corrected[invoice_id], balance=balance, subscriptions=())
        note = _give_back(about, parts, way, now, new_id)
        notes += note
        for entry in (entry for decision in note for entry in decision.balances):
            balance = replace(balance, amount=entry.ending)
    rest = replace(account, charged=others, balance=balance)
    return _together([lifecycle.cancel_now(rest, now, new_id, credit), *notes])


def _give_back(
    about: Corrected, parts: Sequence[Credit], way: Way, now: datetime, new_id: NewId
) -> list[Decision]:
    """The credit note of these parts, if they come to anything."""
    total = sum(issuing.worth(part) for part in parts)
    if not total:
        return []
    to_refund = None
    if way.to is CreditTo.REFUND:
        is_owed = about.invoice.status in collection.PAYABLE
        paid = max(0, total - about.invoice.amount_remaining) if is_owed else total
        captured = sum(payment.refundable for payment, _ in about.captured)
        to_refund = min(paid, captured + about.refunded)
    wanted = Wanted(to_refund=to_refund, reason=REASON)
    return [issuing.issue_credits(about, parts, wanted, now, new_id, way.name)]


def _together(decisions: Sequence[Decision]) -> Decision:
    """Decisions about one merchant as one, in their order."""
    first, *others = decisions
    if not others:
        return first
    rows: dict[str, Any] = {
        part.name: tuple(row for decision in decisions for row in getattr(decision, part.name))
        for part in fields(Decision)
        if part.name != "merchant_id"
    }
    return replace(first, **rows)
