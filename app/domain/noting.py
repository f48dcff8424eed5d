"""What comes back of lines by credit notes for their invoices, beside what bills the rest.

A credit note takes off what is still due on its invoice, and the rest goes where it is wanted. The
lines of other invoices come back as lines of the next bill. Pure.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.domain import collection, issuing
from app.domain.billing import Account
from app.domain.decision import Decision
from app.domain.ids import NewId
from app.domain.invoicing import Credit
from app.domain.issuing import Corrected, Wanted
from app.domain.policy import CreditTo


@dataclass(frozen=True, slots=True)
class Way:
    """By which invoices credit notes are issued; what comes back of others are lines of the next
    bill. `name` names refunds.
    """

    corrected: Mapping[UUID, Corrected] = field(default_factory=dict)
    to: CreditTo = CreditTo.BALANCE
    name: Callable[[UUID], str] = str
    reason: str | None = None


BY_LINES: Final = Way()


def beside(
    account: Account,
    given: Callable[[Account], Sequence[Credit]],
    rest: Callable[[Account], Decision],
    way: Way,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """The decision that `rest` makes of what comes back by lines, and the notes for what does not.

    `given` says what comes back of an account. Raises Conflict while a payment of an invoice that
    would become smaller is in flight.
    """
    noted = tuple(c for c in account.charged if c.invoice_id in way.corrected)
    if not noted:
        return rest(account)
    invoice_of = {charged.line.id: charged.invoice_id for charged in noted}
    parts: dict[UUID, list[Credit]] = defaultdict(list)
    for part in given(replace(account, charged=noted)):
        assert part.charge.reverses_line_id is not None
        parts[invoice_of[part.charge.reverses_line_id]].append(part)
    balance, notes = account.balance, []
    for invoice_id, credits_ in parts.items():
        about = replace(way.corrected[invoice_id], balance=balance, subscriptions=())
        note = _note(about, credits_, way, now, new_id)
        notes += note
        for entry in (entry for decision in note for entry in decision.balances):
            balance = replace(balance, amount=entry.ending)
    others = tuple(c for c in account.charged if c.invoice_id not in way.corrected)
    return _together([*notes, rest(replace(account, charged=others, balance=balance))])


def _note(
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
        to_refund = min(paid, about.refundable + about.refunded)
    wanted = Wanted(to_refund=to_refund, reason=way.reason, is_time=True)
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
