"""A period that was billed before it began: what that bill covers when it begins, and what not.

Where a debit must be announced, the bill comes first and the period follows at its boundary. By
then something may have changed: what was billed and is not to be comes back, line by line, and
what was not billed is charged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.domain.crediting import Charged, whole
from app.domain.discount import Discount
from app.domain.invoice import Charge, Invoice, LineKind, Status
from app.domain.invoicing import Credit
from app.domain.payment import RETRYABLE, Payment
from app.domain.payment import Status as PaymentStatus
from app.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Billed:
    """The invoice of a period that has not begun, its lines with what was returned of them, and
    the payment of what is due on it.
    """

    invoice: Invoice
    charged: tuple[Charged, ...]
    payment: Payment | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it was tried to be paid, and was not."""
        if self.invoice.status is not Status.OPEN or self.payment is None:
            return False
        if self.payment.status is PaymentStatus.REQUIRES_PAYMENT_METHOD:
            return True
        return self.payment.status in RETRYABLE and self.payment.failure_code is not None


class Rest(NamedTuple):
    """What a period costs beyond its bill, and what of that bill was for something else."""

    charges: Sequence[Charge]
    credits: Sequence[Credit]


def is_taken_up(billed: Billed | None, before: Subscription, start: datetime) -> bool:
    """Whether the period of `before` that begins at `start` is the one that was billed: in a pause
    it is billed anew, as pauses are.
    """
    if billed is None or before.ahead is None or before.pause is not None:
        return False
    return before.ahead.start == start and before.ahead.invoice_id == billed.invoice.id


def rest(charges: Sequence[Charge], billed: Billed) -> Rest:
    """Of what the period costs, what its bill does not have; and what that has in its place, given
    back to the unit. What is alike was charged, with the discounts and taxes of that day.
    """
    left, more = list(billed.charged), []
    for charge in charges:
        place = next((n for n, c in enumerate(left) if _is_for(c.line.charge, charge)), None)
        if place is None:
            more.append(charge)
        else:
            del left[place]
    if billed.invoice.status is Status.VOID:
        return Rest(more, ())
    given = (whole(charged) for charged in left)
    return Rest(more, [credit for credit in given if credit is not None])


def _is_for(billed: Charge, charge: Charge) -> bool:
    return (
        *(billed.kind, billed.item_id, billed.price_id, billed.quantity),
        *(billed.period, billed.amount, billed.share),
    ) == (
        *(charge.kind, charge.item_id, charge.price_id, charge.quantity),
        *(charge.period, charge.amount, charge.share),
    )


def still_open(discounts: Sequence[Discount], billed: Billed) -> tuple[Discount, ...]:
    """The discounts that take off the rest too: a fixed amount was taken off the bill already."""
    given = {part.discount_id for line in billed.invoice.lines for part in line.discounts}
    return tuple(d for d in discounts if d.coupon.percent_off_ppm is not None or d.id not in given)


def seen(invoice: Invoice, known: Mapping[UUID, Charged], payment: Payment | None) -> Billed:
    """The bill with its lines as they are `known`, by their ids; the others are as they were."""
    charged = (
        known.get(line.id) or Charged(line, invoice.id, line.charge.period.end)
        for line in invoice.lines
        if line.charge.kind is LineKind.PERIOD and line.charge.reverses_line_id is None
    )
    return Billed(invoice, tuple(charged), payment)
