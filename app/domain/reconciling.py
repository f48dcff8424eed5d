"""Our books beside a gateway's own: what differs, why that may be, and what mends it. Pure.

Both sides are compared by the gateway's reference of a transaction, else by ours. What is still
under way on either side is no difference yet, but for an answer that we never got.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain.outcome import Refunded, Succeeded
from app.domain.payment import IN_FLIGHT, Attempt, AttemptStatus
from app.domain.refund import Refund
from app.domain.refund import Status as RefundStatus


class Kind(StrEnum):
    """What differs."""

    CHARGE_UNKNOWN_HERE = "charge_unknown_here"
    """The gateway took money that no attempt of ours is about."""
    CHARGED_TWICE = "charged_twice"
    """The gateway took money more than once for one attempt."""
    CHARGE_AFTER_CLOSING = "charge_after_closing"
    """The gateway took money for an attempt that we have closed without."""
    CHARGE_NOT_SETTLED_HERE = "charge_not_settled_here"
    """The gateway has decided an attempt that is still in flight here."""
    CHARGE_MISSING_THERE = "charge_missing_there"
    """We have money that the gateway does not know of."""
    CHARGE_UNDONE_THERE = "charge_undone_there"
    """We have money that the gateway has not taken, or has let go of."""
    CHARGE_AMOUNT_DIFFERS = "charge_amount_differs"
    FEE_DIFFERS = "fee_differs"
    """The gateway kept another fee than we have booked."""
    REFUND_UNKNOWN_HERE = "refund_unknown_here"
    """Money went back that no refund of ours is about."""
    REFUND_AFTER_CLOSING = "refund_after_closing"
    """Money went back for a refund that we have closed as failed."""
    REFUND_NOT_SETTLED_HERE = "refund_not_settled_here"
    REFUND_MISSING_THERE = "refund_missing_there"
    REFUND_UNDONE_THERE = "refund_undone_there"
    REFUND_AMOUNT_DIFFERS = "refund_amount_differs"


class Repair(StrEnum):
    """What makes both books say the same."""

    SETTLE = "settle"
    """Ask the gateway about the attempt or the refund, and settle its answer."""
    APPLY = "apply"
    """Keep the money: it pays the invoice it was for, or becomes the customer's credit."""
    REFUND = "refund"
    """Give the money back, at the gateway."""
    RECORD = "record"
    """Write into our books what has happened at the gateway."""


REVERSAL: Final = "reversal:"
CAUSES: Final[Mapping[Kind, str]] = {
    Kind.CHARGE_UNKNOWN_HERE: "Made in the gateway's own pages, or by another system.",
    Kind.CHARGED_TWICE: "A request was executed more than once.",
    Kind.CHARGE_AFTER_CLOSING: "It took effect later than the gateway allows for.",
    Kind.CHARGE_NOT_SETTLED_HERE: "The answer was lost, and no event of it has come.",
    Kind.CHARGE_MISSING_THERE: "The account is another one, or its list is not complete.",
    Kind.CHARGE_UNDONE_THERE: "It was voided or returned there after it had succeeded.",
    Kind.CHARGE_AMOUNT_DIFFERS: "It was captured in part, or changed there.",
    Kind.FEE_DIFFERS: "The fee was not known yet when the payment was settled.",
    Kind.REFUND_UNKNOWN_HERE: "Made in the gateway's own pages, or by another system.",
    Kind.REFUND_AFTER_CLOSING: "It took effect after it was given up.",
    Kind.REFUND_NOT_SETTLED_HERE: "The answer was lost, and no event of it has come.",
    Kind.REFUND_MISSING_THERE: "The account is another one, or its list is not complete.",
    Kind.REFUND_UNDONE_THERE: "It was returned there after it had succeeded.",
    Kind.REFUND_AMOUNT_DIFFERS: "It was changed there.",
}
REPAIRS: Final[Mapping[Kind, tuple[Repair, ...]]] = {
    Kind.CHARGE_UNKNOWN_HERE: (Repair.REFUND,),
    Kind.CHARGED_TWICE: (Repair.REFUND, Repair.APPLY),
    Kind.CHARGE_AFTER_CLOSING: (Repair.APPLY, Repair.REFUND),
    Kind.CHARGE_NOT_SETTLED_HERE: (Repair.SETTLE,),
    Kind.CHARGE_MISSING_THERE: (Repair.RECORD,),
    Kind.CHARGE_UNDONE_THERE: (Repair.RECORD,),
    Kind.CHARGE_AMOUNT_DIFFERS: (Repair.RECORD,),
    Kind.FEE_DIFFERS: (Repair.RECORD,),
    Kind.REFUND_UNKNOWN_HERE: (Repair.RECORD,),
    Kind.REFUND_AFTER_CLOSING: (Repair.RECORD,),
    Kind.REFUND_NOT_SETTLED_HERE: (Repair.SETTLE,),
    Kind.REFUND_MISSING_THERE: (),
    Kind.REFUND_UNDONE_THERE: (Repair.RECORD,),
    Kind.REFUND_AMOUNT_DIFFERS: (),
}
"""Which repairs there are for each, the usual one first; where there is none, a person decides at
the gateway and dismisses it here.
"""


class Ended(StrEnum):
    """How a transaction ended at the gateway, or that it has not."""

    SUCCEEDED = "succeeded"
    OPEN = "open"
    NOT = "not"


@dataclass(frozen=True, slots=True)
class Theirs:
    """One transaction of the gateway's list."""

    reference: str
    ended: Ended
    amount: int
    currency: str
    created_at: datetime
    our_reference: str | None = None
    payment_reference: str | None = None
    """Of a refund: the charge it is of."""
    fee: int | None = None


@dataclass(frozen=True, slots=True)
class OurCharge:
    """One attempt of ours."""

    id: UUID
    payment_id: UUID
    status: AttemptStatus
    amount: int
    currency: str
    reference: str
    gateway_reference: str | None
    created_at: datetime
    fee: int | None = None


@dataclass(frozen=True, slots=True)
class OurRefund:
    """One refund of ours."""

    id: UUID
    payment_id: UUID
    status: RefundStatus
    amount: int
    currency: str
    reference: str
    gateway_reference: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Books:
    """Both sides of one account over one window, `[start, end)`.

    Ours may reach beyond the window; only what lies in it must be on the gateway's list.
    """

    start: datetime
    end: datetime
    charges: Sequence[OurCharge] = ()
    refunds: Sequence[OurRefund] = ()
    charges_there: Sequence[Theirs] = ()
    refunds_there: Sequence[Theirs] = ()
    given_back: frozenset[str] = frozenset()
    """Our references of refunds by which earlier differences were repaired."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; amounts in minor units, None where that side knows of none."""

    kind: Kind
    currency: str
    amount_here: int | None = None
    amount_there: int | None = None
    gateway_reference: str | None = None
    our_reference: str | None = None
    attempt_id: UUID | None = None
    refund_id: UUID | None = None
    payment_id: UUID | None = None
    detail: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for the same difference, however often it is found."""
        what = self.gateway_reference or self.our_reference or ""
        return f"{self.kind}:{what}"


def compare(books: Books) -> list[Difference]:
    """Every difference between the two, each once."""
    return [*_charges(books), *_refunds(books)]


def _charges(books: Books) -> Iterator[Difference]:
    by_gateway = {c.gateway_reference: c for c in books.charges if c.gateway_reference}
    by_ours = {c.reference: c for c in books.charges}
    seen: dict[UUID, list[Theirs]] = defaultdict(list)
    for theirs in books.charges_there:
        ours = by_gateway.get(theirs.reference) or by_ours.get(theirs.our_reference or "")
        if ours is not None:
            seen[ours.id].append(theirs)
        elif theirs.ended is Ended.SUCCEEDED:
            yield Difference(
                Kind.CHARGE_UNKNOWN_HERE,
                theirs.currency,
                None,
                theirs.amount,
                theirs.reference,
                theirs.our_reference,
            )
    for ours in books.charges:
        if ours.id in seen:
            yield from _charge(ours, seen[ours.id])
        elif ours.status is AttemptStatus.SUCCEEDED and _is_in(books, ours.created_at):
            yield _about(Kind.CHARGE_MISSING_THERE, ours, None)


def _charge(ours: OurCharge, there: Sequence[Theirs]) -> Iterator[Difference]:
    """An attempt of ours beside all that the gateway has for it."""
    first, *others = sorted(there, key=lambda t: _rank(ours, t))
    for other in others:
        if other.ended is Ended.SUCCEEDED:
            yield _about(Kind.CHARGED_TWICE, ours, other)
    kind = _undone(ours) if first.ended is Ended.NOT else _taken(ours, first)
    if kind is not None and first.ended is not Ended.OPEN:
        yield _about(kind, ours, first)


def _undone(ours: OurCharge) -> Kind | None:
    """What it means that the gateway has no money for an attempt."""
    if ours.status is AttemptStatus.SUCCEEDED:
        return Kind.CHARGE_UNDONE_THERE
    return Kind.CHARGE_NOT_SETTLED_HERE if ours.status in IN_FLIGHT else None


def _taken(ours: OurCharge, theirs: Theirs) -> Kind | None:
    """What it means that the gateway took money for an attempt."""
    if ours.status in IN_FLIGHT:
        return Kind.CHARGE_NOT_SETTLED_HERE
    if ours.status is not AttemptStatus.SUCCEEDED:
        return Kind.CHARGE_AFTER_CLOSING
    if (ours.amount, ours.currency) != (theirs.amount, theirs.currency):
        return Kind.CHARGE_AMOUNT_DIFFERS
    if theirs.fee is not None and theirs.fee != (ours.fee or 0):
        return Kind.FEE_DIFFERS
    return None


def _rank(ours: OurCharge, theirs: Theirs) -> tuple[bool, bool, datetime]:
    """The one we know first, then what moved money, then the oldest."""
    return (
        theirs.reference != ours.gateway_reference,
        theirs.ended is not Ended.SUCCEEDED,
        theirs.created_at,
    )


def _about(kind: Kind, ours: OurCharge, theirs: Theirs | None) -> Difference:
    if kind is Kind.FEE_DIFFERS and theirs is not None:
        here, there = ours.fee or 0, theirs.fee
    else:
        here, there = ours.amount, None if theirs is None else theirs.amount
    return Difference(
        kind,
        ours.currency if theirs is None else theirs.currency,
        here if ours.status is AttemptStatus.SUCCEEDED or kind is Kind.FEE_DIFFERS else None,
        there,
        ours.gateway_reference if theirs is None else theirs.reference,
        ours.reference,
        attempt_id=ours.id,
        payment_id=ours.payment_id,
        detail={} if theirs is None or theirs.fee is None else {"fee": str(theirs.fee)},
    )


def _refunds(books: Books) -> Iterator[Difference]:
    by_gateway = {r.gateway_reference: r for r in books.refunds if r.gateway_reference}
    by_ours = {r.reference: r for r in books.refunds}
    payments = {c.gateway_reference: c for c in books.charges if c.gateway_reference}
    seen: set[UUID] = set()
    for theirs in books.refunds_there:
        ours = by_gateway.get(theirs.reference) or by_ours.get(theirs.our_reference or "")
        if ours is not None and not _is_another(ours, theirs):
            seen.add(ours.id)
            yield from _refund(ours, theirs)
        elif theirs.ended is Ended.SUCCEEDED and theirs.our_reference not in books.given_back:
            paid = ours or payments.get(theirs.payment_reference or "")
            yield Difference(
                Kind.REFUND_UNKNOWN_HERE,
                theirs.currency,
                None,
                theirs.amount,
                theirs.reference,
                theirs.our_reference,
                payment_id=None if paid is None else paid.payment_id,
            )
    for ours in books.refunds:
        is_done = ours.status is RefundStatus.SUCCEEDED and _is_in(books, ours.created_at)
        if ours.id not in seen and is_done and not is_reversal(ours.gateway_reference):
            yield _of_refund(Kind.REFUND_MISSING_THERE, ours, None)


def _is_another(ours: OurRefund, theirs: Theirs) -> bool:
    """Whether money went back under our reference besides the refund that we know."""
    is_done = ours.status is RefundStatus.SUCCEEDED
    return is_done and ours.gateway_reference not in (None, theirs.reference)


def _refund(ours: OurRefund, theirs: Theirs) -> Iterator[Difference]:
    is_done = ours.status is RefundStatus.SUCCEEDED
    is_open = ours.status in (RefundStatus.PROCESSING, RefundStatus.UNKNOWN)
    match theirs.ended:
        case Ended.OPEN:
            return
        case Ended.NOT:
            if is_done:
                yield _of_refund(Kind.REFUND_UNDONE_THERE, ours, theirs)
            elif is_open:
                yield _of_refund(Kind.REFUND_NOT_SETTLED_HERE, ours, theirs)
        case Ended.SUCCEEDED:
            if is_open:
                yield _of_refund(Kind.REFUND_NOT_SETTLED_HERE, ours, theirs)
            elif not is_done:
                yield _of_refund(Kind.REFUND_AFTER_CLOSING, ours, theirs)
            elif (ours.amount, ours.currency) != (theirs.amount, theirs.currency):
                yield _of_refund(Kind.REFUND_AMOUNT_DIFFERS, ours, theirs)


def _of_refund(kind: Kind, ours: OurRefund, theirs: Theirs | None) -> Difference:
    return Difference(
        kind,
        ours.currency if theirs is None else theirs.currency,
        ours.amount if ours.status is RefundStatus.SUCCEEDED else None,
        None if theirs is None else theirs.amount,
        ours.gateway_reference if theirs is None else theirs.reference,
        ours.reference,
        refund_id=ours.id,
        payment_id=ours.payment_id,
    )


def money_of(kind: Kind, attempt: Attempt, money: Succeeded) -> Difference:
    """What differs about an attempt, noticed at money that the gateway took."""
    return Difference(
        kind,
        money.currency,
        None if kind is Kind.CHARGE_AFTER_CLOSING else attempt.amount,
        money.amount_minor,
        money.gateway_reference,
        attempt.reference,
        attempt_id=attempt.id,
        payment_id=attempt.payment_id,
        detail={} if money.fee_minor is None else {"fee": str(money.fee_minor)},
    )


def undone(attempt: Attempt) -> Difference:
    """The gateway has let go of money that an attempt of ours took."""
    return Difference(
        Kind.CHARGE_UNDONE_THERE,
        attempt.currency,
        attempt.amount,
        None,
        attempt.gateway_reference,
        attempt.reference,
        attempt_id=attempt.id,
        payment_id=attempt.payment_id,
    )


def money_back(money: Refunded, ours: str | None, payment_id: UUID | None) -> Difference:
    """Money went back that no refund of ours is about."""
    return Difference(
        Kind.REFUND_UNKNOWN_HERE,
        money.currency,
        None,
        money.amount_minor,
        money.gateway_reference,
        ours,
        payment_id=payment_id,
    )


def returned_after_closing(refund: Refund, money: Refunded) -> Difference:
    """Money went back for a refund of ours that was closed as failed."""
    return Difference(
        Kind.REFUND_AFTER_CLOSING,
        money.currency,
        None,
        money.amount_minor,
        money.gateway_reference,
        refund.reference,
        refund_id=refund.id,
        payment_id=refund.payment_id,
    )


def reversal_of(reference: str) -> str:
    """What a refund is called that only our books have, since the money was never there."""
    return REVERSAL + reference


def is_reversal(reference: str | None) -> bool:
    """Whether no refund at the gateway is to be expected."""
    return reference is not None and reference.startswith(REVERSAL)


def _is_in(books: Books, at: datetime) -> bool:
    return books.start <= at < books.end


def references(there: Iterable[Theirs]) -> tuple[list[str], list[str]]:
    """What the gateway calls its transactions, and what it says that we call them."""
    listed = list(there)
    return [t.reference for t in listed], [t.our_reference for t in listed if t.our_reference]
