"""Issuing credit notes: what comes back of an invoice's lines, and where it goes. Pure decisions.

First it takes off what is still to be paid on the invoice. What was paid goes where the caller
says; what was refunded before, without a credit note, counts as gone there already.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from app.domain import balance as balances
from app.domain import collection, crediting, invoicing, refunding
from app.domain import credit_note as notes
from app.domain import invoice as invoices
from app.domain.balance import Balance, BalanceEntry
from app.domain.credit_note import CreditNote
from app.domain.crediting import Charged
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Invoice
from app.domain.invoicing import Credit
from app.domain.ledger import Account, Entry, Source, cash, swapped
from app.domain.money import spread
from app.domain.payment import Attempt, Payment
from app.domain.refund import Refund
from app.domain.subscription import Subscription

CREDITABLE = frozenset({invoices.Status.OPEN, invoices.Status.PAID, invoices.Status.UNCOLLECTIBLE})


@dataclass(frozen=True, slots=True)
class Corrected:
    """The invoice that a credit note corrects, with what its correction depends on; all locked."""

    invoice: Invoice
    charged: tuple[Charged, ...]
    """Its lines that charge, with what was returned of them."""
    balance: Balance
    payment: Payment | None = None
    """The payment of what is still due."""
    captured: tuple[tuple[Payment, Attempt], ...] = ()
    """The payments that took money, and by which attempt."""
    refunded: int = 0
    """What was refunded, or is about to be, and no credit note says so."""
    subscriptions: tuple[Subscription, ...] = ()
    withdrawn: Mapping[UUID, int] = field(default_factory=dict)
    """What disputes hold of each payment: that is with the customer already."""

    @property
    def refundable(self) -> int:
        """What may still be refunded of its payments."""
        return sum(self.refundable_of(payment) for payment, _ in self.captured)

    def refundable_of(self, payment: Payment) -> int:
        """What may still be refunded of one of its payments."""
        return max(0, payment.refundable - self.withdrawn.get(payment.id, 0))


@dataclass(frozen=True, slots=True)
class WantedLine:
    """What of one line: some of its amount before discounts and taxes, or some of its units."""

    line_id: UUID
    amount: int | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What comes back, by lines or as a total with tax; neither: everything. And where it goes.

    What is not said to go anywhere goes to the balance.
    """

    lines: tuple[WantedLine, ...] = ()
    amount: int | None = None
    to_balance: int | None = None
    to_refund: int | None = None
    outside: int | None = None
    reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_time: bool = False
    """Whether the time of the credits is given back with them, not only an amount."""


def issue(
    about: Corrected, wanted: Wanted, now: datetime, new_id: NewId, name: Callable[[UUID], str]
) -> Decision:
    """The credit note with all it moves. Raises Conflict and InvalidRequest."""
    status = about.invoice.status
    if status not in CREDITABLE:
        raise Conflict(
            f"An invoice that is {status} has no credit notes.", code=f"invoice_{status}"
        )
    return issue_credits(about, credits_of(about, wanted), wanted, now, new_id, name)


def issue_credits(
    about: Corrected,
    given: Sequence[Credit],
    wanted: Wanted,
    now: datetime,
    new_id: NewId,
    name: Callable[[UUID], str],
) -> Decision:
    """The same for credits that were reckoned elsewhere, of lines of this invoice."""
    invoice = about.invoice
    note = CreditNote(
        new_id(),
        invoice.merchant_id,
        invoice.id,
        invoice.order.customer_id,
        invoice.order.currency,
        notes.Status.ISSUED,
        notes.lines_of(given, new_id, is_time=wanted.is_time),
        now,
        reason=wanted.reason,
        metadata=wanted.metadata,
    )
    if note.total <= 0:
        raise Conflict("Nothing of this invoice is left to credit.", code="nothing_to_credit")
    note = _sent(note, about, wanted)
    refunds = _refunds(note, about, now, new_id, name)
    decision = Decision(
        invoice.merchant_id,
        credit_notes=(note,),
        balances=_to_balance(note, about, new_id),
        payments=refunds.payments,
        refunds=refunds.refunds,
        entries=_entries(note, invoice, Source.CREDIT_NOTE, new_id),
        events=(Event(new_id(), Type.CREDIT_NOTE_CREATED, note),),
    )
    return _off_the_invoice(decision, note, about, now, new_id) if note.to_invoice else decision


# ── what comes back ───────────────────────────────────────────────────────────────────────────────


def credits_of(about: Corrected, wanted: Wanted) -> list[Credit]:
    """What comes back of each line. Raises InvalidRequest and Conflict."""
    if wanted.lines and wanted.amount is not None:
        raise InvalidRequest("Give lines or an amount, not both.", param="amount")
    if wanted.lines:
        return [_of_line(about, line, place) for place, line in enumerate(wanted.lines)]
    open_to = [charged for charged in about.charged if crediting.gross_left(charged) > 0]
    left = sum(crediting.gross_left(charged) for charged in open_to)
    if not left:
        raise Conflict("Nothing of this invoice is left to credit.", code="nothing_to_credit")
    if wanted.amount is None or wanted.amount == left:
        found = [crediting.whole(charged) for charged in open_to]
        return [credit for credit in found if credit is not None]
    if not 0 < wanted.amount < left:
        raise InvalidRequest(
            f"Between 1 and {left} of this invoice can be credited.",
            code="credit_exceeds_invoice",
            param="amount",
        )
    parts = spread(wanted.amount, [crediting.gross_left(charged) for charged in open_to])
    return [
        _by_amount(crediting.gross(charged, part), charged)
        for charged, part in zip(open_to, parts, strict=True)
        if part
    ]


def _of_line(about: Corrected, wanted: WantedLine, place: int) -> Credit:
    param = f"lines[{place}]"
    charged = next((c for c in about.charged if c.line.id == wanted.line_id), None)
    if charged is None:
        raise InvalidRequest(
            "The invoice has no such line that charges something.",
            code="invoice_line_not_found",
            param=f"{param}.invoice_line_id",
        )
    if wanted.amount is not None and wanted.quantity is not None:
        raise InvalidRequest("Give an amount or a quantity, not both.", param=f"{param}.amount")
    amount = charged.left if wanted.amount is None else wanted.amount
    if wanted.quantity is not None:
        amount = crediting.units(charged, wanted.quantity)
    if not 0 < amount <= charged.left:
        what = "amount" if wanted.quantity is None else "quantity"
        raise InvalidRequest(
            f"Of this line {charged.left} is left to credit.",
            code="credit_exceeds_line",
            param=f"{param}.{what}",
        )
    credit = crediting.amount(charged, amount)
    if wanted.quantity is None:
        return _by_amount(credit, charged)
    return replace(credit, charge=replace(credit.charge, quantity=wanted.quantity))


def _by_amount(credit: Credit, charged: Charged) -> Credit:
    """The credit, which is of no number of units unless it is of all of them."""
    if -credit.charge.amount == charged.line.charge.amount:
        return credit
    return replace(credit, charge=replace(credit.charge, quantity=1))


def worth(credit: Credit) -> int:
    """What a credit comes to with its discounts and all its tax, above zero."""
    off = sum(part.amount for part in credit.discounts)
    on_top = sum(part.amount for part in credit.taxes if not part.rate.inclusive)
    return -(credit.charge.amount - off + on_top)


# ── where it goes ─────────────────────────────────────────────────────────────────────────────────


def _sent(note: CreditNote, about: Corrected, wanted: Wanted) -> CreditNote:
    """The note with where its total goes. Raises InvalidRequest."""
    total = note.total
    invoice = about.invoice
    is_owed = invoice.status in collection.PAYABLE
    to_invoice = min(total, invoice.amount_remaining) if is_owed else 0
    rest = total - to_invoice
    to_refund, outside = wanted.to_refund or 0, wanted.outside or 0
    left = rest - (wanted.to_balance or 0) - to_refund - outside
    if left < 0:
        raise InvalidRequest(
            f"After what was still due, {rest} of the {total} was paid and can go somewhere.",
            code="credit_exceeds_paid",
            param="to_refund" if to_refund else "to_balance" if wanted.to_balance else "outside",
        )
    if wanted.to_refund is None:
        already = min(left, about.refunded)
        to_refund += already
        left -= already
    if left and wanted.to_balance is not None:
        raise InvalidRequest(
            f"{left} of the credit goes nowhere.", code="credit_goes_nowhere", param="to_balance"
        )
    return replace(
        note,
        to_invoice=to_invoice,
        to_balance=left + (wanted.to_balance or 0),
        to_refund=to_refund,
        outside=outside,
    )


def _refunds(
    note: CreditNote, about: Corrected, now: datetime, new_id: NewId, name: Callable[[UUID], str]
) -> Decision:
    """Reserve what is to be refunded and was not yet, from one payment after the other."""
    due = note.to_refund - min(note.to_refund, about.refunded)
    payments: list[Payment] = []
    refunds: list[Refund] = []
    for payment, captured in about.captured:
        part = min(due, about.refundable_of(payment))
        if part <= 0:
            continue
        reserved = refunding.request(payment, captured, part, note.reason, now, new_id, name)
        payments += reserved.payments
        refunds += reserved.refunds
        due -= part
    if due:
        raise InvalidRequest(
            f"The payments of this invoice have {note.to_refund - due} left to refund.",
            code="refund_exceeds_payment",
            param="to_refund",
        )
    return Decision(note.merchant_id, payments=tuple(payments), refunds=tuple(refunds))


def _to_balance(note: CreditNote, about: Corrected, new_id: NewId) -> tuple[BalanceEntry, ...]:
    if not note.to_balance:
        return ()
    kind = balances.Type.CREDIT_NOTE
    return (balances.credit(about.balance, note.to_balance, note.invoice_id, new_id, kind),)


def _off_the_invoice(
    decision: Decision, note: CreditNote, about: Corrected, now: datetime, new_id: NewId
) -> Decision:
    """Less is due: the open payment shrinks, or is not wanted any more and the invoice is paid."""
    invoice = invoices.credit(about.invoice, note.to_invoice, now)
    payments = decision.payments
    if about.payment is not None:
        left = collection.of_what_remains(about.payment, invoice.amount_remaining)
        payments = (*payments, left)
    is_paid = invoice.status is invoices.Status.PAID
    told = Event(new_id(), Type.INVOICE_PAID if is_paid else Type.INVOICE_UPDATED, invoice)
    less = replace(
        decision, invoices=(invoice,), payments=payments, events=(*decision.events, told)
    )
    if not is_paid:
        return less
    return collection.with_subscriptions(less, invoice, about.subscriptions, new_id)


# ── the books ─────────────────────────────────────────────────────────────────────────────────────


def _entries(
    note: CreditNote, invoice: Invoice, source: Source, new_id: NewId
) -> tuple[Entry, ...]:
    """What the invoice posted for the lines, taken back; and what was paid for them, given."""
    assert invoice.finalized_at is not None
    lines = {line.id: line for line in invoice.lines}
    moved: dict[str, int] = {}
    for line in note.lines:
        account = invoicing.revenue_of(lines[line.invoice_line_id], invoice.finalized_at)
        moved[account] = moved.get(account, 0) + line.net
    moved[Account.TAX_PAYABLE] = note.tax_total
    owed = invoices.owed_on(invoice)
    sides: list[tuple[str, str, int]] = [(debit, owed, net) for debit, net in moved.items()]
    sides += [
        (owed, Account.CUSTOMER_CREDIT, note.to_balance),
        (owed, Account.REFUNDS, note.to_refund),
        (owed, cash(None), note.outside),
    ]
    return tuple(
        Entry(new_id(), note.merchant_id, source, note.id, debit, credit, note.currency, amount)
        for debit, credit, amount in sides
        if amount
    )


def void(note: CreditNote, about: Corrected, now: datetime, new_id: NewId) -> Decision:
    """Take a credit note back, as long as nothing of it was given away. Raises Conflict."""
    if note.status is notes.Status.VOID:
        raise Conflict("It is void already.", code="credit_note_void")
    if note.to_refund or note.outside:
        raise Conflict("What was refunded does not come back.", code="credit_note_refunded")
    if about.balance.amount < note.to_balance:
        raise Conflict("The customer has used its credit.", code="credit_note_used")
    invoice = about.invoice
    voided = replace(note, status=notes.Status.VOID, voided_at=now, version=note.version + 1)
    entries = _entries(note, invoice, Source.CREDIT_NOTE_VOID, new_id)
    back: tuple[BalanceEntry, ...] = ()
    if note.to_balance:
        back = (balances.take_back(about.balance, note.to_balance, invoice.id, new_id),)
    decision = Decision(
        note.merchant_id,
        credit_notes=(voided,),
        balances=back,
        entries=tuple(swapped(entry) for entry in entries),
        events=(Event(new_id(), Type.CREDIT_NOTE_VOIDED, voided),),
    )
    if not note.to_invoice:
        return decision
    if invoice.status not in collection.PAYABLE:
        raise Conflict("The invoice was settled with it.", code=f"invoice_{invoice.status}")
    owing = replace(
        invoice,
        amount_credited=invoice.amount_credited - note.to_invoice,
        version=invoice.version + 1,
    )
    payments: tuple[Payment, ...] = ()
    if about.payment is not None:
        payments = (collection.of_what_remains(about.payment, owing.amount_remaining),)
    return replace(
        decision,
        invoices=(owing,),
        payments=payments,
        events=(*decision.events, Event(new_id(), Type.INVOICE_UPDATED, owing)),
    )
