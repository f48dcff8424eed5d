"""Disputes as decisions: what the gateway says is written down, and what it took is posted.

A dispute is a mirror: the gateway's present word is the truth, whatever was said before, also after
an end (a second round reopens one). What it withdrew lies in the account `disputes` while that may
come back, and in `dispute_losses` once it is lost; only differences are posted, so the same word
twice posts nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from app.domain.decision import Decision
from app.domain.dispute import Dispute, DisputeReport, DisputeStatus
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.ledger import Account, Entry, Source, cash
from app.domain.payment import Attempt, Payment

ENDED: Final = frozenset({DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.CLOSED})


@dataclass(frozen=True, slots=True)
class Position:
    """What a dispute has moved, in minor units: what may come back, what is lost, the fee."""

    at_stake: int = 0
    lost: int = 0
    fee: int = 0


def position(dispute: Dispute | None) -> Position:
    """Where the money of a dispute lies."""
    if dispute is None:
        return Position()
    is_lost = dispute.status is DisputeStatus.LOST
    return Position(
        at_stake=0 if is_lost else dispute.withdrawn,
        lost=dispute.withdrawn if is_lost else 0,
        fee=dispute.fee or 0,
    )


def told(
    before: Dispute | None,
    report: DisputeReport,
    disputed: tuple[Attempt, Payment],
    asked_at: datetime,
    now: datetime,
    new_id: NewId,
) -> Decision:
    """What follows from what the gateway said when it was asked at `asked_at`; nothing where it
    was asked later already, or says nothing new. `disputed` is the attempt that captured, and its
    payment.
    """
    attempt, payment = disputed
    if before is not None and before.asked_at > asked_at:
        return Decision(payment.merchant_id)
    after = _after(before, report, attempt, payment, asked_at, now, new_id)
    if before is not None and _same(before, after):
        return Decision(payment.merchant_id)
    entries = tuple(_entries(before, after, new_id))
    return Decision(
        payment.merchant_id,
        disputes=(after,),
        entries=entries,
        events=tuple(_events(before, after, new_id)),
    )


def refundable(payment: Payment, withdrawn: int, amount: int | None) -> int | None:
    """The amount to refund of a payment of which a dispute withdrew so much: that is with the
    customer already. Raises Conflict, InvalidRequest.
    """
    if not withdrawn:
        return amount
    left = payment.refundable - withdrawn
    if left <= 0:
        raise Conflict("A dispute has taken it back already.", code="payment_disputed")
    if amount is not None and amount > left:
        raise InvalidRequest(
            f"A dispute has taken {withdrawn} of it; between 1 and {left} can be refunded.",
            code="refund_exceeds_payment",
            param="amount",
        )
    return left if amount is None else amount


def _after(  # noqa: PLR0913  what was, what is said, about what, when
    before: Dispute | None,
    report: DisputeReport,
    attempt: Attempt,
    payment: Payment,
    asked_at: datetime,
    now: datetime,
    new_id: NewId,
) -> Dispute:
    old = before or Dispute(
        id=new_id(),
        merchant_id=payment.merchant_id,
        gateway_account_id=attempt.gateway_account_id,
        gateway_reference=report.gateway_reference,
        payment_id=payment.id,
        invoice_id=payment.invoice_id,
        customer_id=payment.customer_id,
        status=report.status,
        currency=report.currency,
        amount=report.amount_minor,
        asked_at=asked_at,
        created_at=now,
        version=0,
    )
    has_ended = report.status in ENDED
    return replace(
        old,
        status=report.status,
        amount=report.amount_minor,
        withdrawn=report.withdrawn_minor,
        fee=old.fee if report.fee_minor is None else report.fee_minor,
        reason=report.reason or old.reason,
        opened_at=report.opened_at or old.opened_at or now,
        evidence_due_by=report.evidence_due_by or old.evidence_due_by,
        closed_at=(old.closed_at or now) if has_ended else None,
        asked_at=asked_at,
        version=old.version + 1,
    )


def _same(before: Dispute, after: Dispute) -> bool:
    return replace(after, asked_at=before.asked_at, version=before.version) == before


def _entries(before: Dispute | None, after: Dispute, new_id: NewId) -> Iterator[Entry]:
    """What moved between the two, in as few entries as there are accounts."""
    old, new = position(before), position(after)
    money = cash(after.gateway_account_id)
    moves = (
        # (more of it, account, from where)
        (new.at_stake + new.lost - old.at_stake - old.lost, Account.DISPUTES, money),
        (new.lost - old.lost, Account.DISPUTE_LOSSES, Account.DISPUTES),
        (new.fee - old.fee, Account.GATEWAY_FEES, money),
    )
    for more, account, source in moves:
        if more:
            debit, credit = (account, source) if more > 0 else (source, account)
            yield Entry(
                new_id(),
                after.merchant_id,
                Source.DISPUTE,
                after.id,
                debit,
                credit,
                after.currency,
                abs(more),
            )


def _events(before: Dispute | None, after: Dispute, new_id: NewId) -> Iterator[Event]:
    closes = after.status in ENDED and (before is None or before.status is not after.status)
    if before is None:
        yield Event(new_id(), Type.DISPUTE_CREATED, after)
        if closes:
            yield Event(new_id(), Type.DISPUTE_CLOSED, after)
        return
    type_ = Type.DISPUTE_CLOSED if closes else Type.DISPUTE_UPDATED
    yield Event(new_id(), type_, after, _previous(before, after))


def _previous(before: Dispute, after: Dispute) -> dict[str, object]:
    now = after.snapshot()
    return {
        name: value
        for name, value in before.snapshot().items()
        if name != "version" and value != now[name]
    }
