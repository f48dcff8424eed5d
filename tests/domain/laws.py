"""The laws of the books: what must hold of them at any moment, whatever was done."""

from collections import Counter
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

from app.domain.invoice import Invoice, Line, LineKind
from app.domain.invoice import Status as InvoiceStatus
from app.domain.invoicing import Credit
from tests.domain.books import balances
from tests.domain.ledgerbook import STANDING, LedgerBook


def check(book: LedgerBook) -> None:
    """All of them."""
    for invoice in book.invoices.values():
        adds_up(invoice)
    credits_stay_within_their_lines(book)
    ledger_agrees(book)
    boundaries_are_billed_once(book)


def adds_up(invoice: Invoice) -> None:
    """Lines make the sums of the header, parts make the lines, and nothing turns over its sign."""
    lines = invoice.lines
    assert invoice.subtotal == sum(line.charge.amount for line in lines)
    assert invoice.discount_total == sum(line.discount_amount for line in lines)
    assert invoice.tax_total == sum(line.tax_amount for line in lines)
    assert invoice.total == sum(line.total for line in lines)
    assert invoice.total == invoice.subtotal - invoice.discount_total + invoice.tax_added
    assert invoice.amount_due == invoice.total - invoice.balance_applied
    assert invoice.amount_due >= 0 or invoice.status in (InvoiceStatus.DRAFT, InvoiceStatus.VOID)
    for line in lines:
        sign = -1 if line.charge.reverses_line_id else 1
        assert line.discount_amount == sum(part.amount for part in line.discounts)
        assert line.tax_amount == sum(part.amount for part in line.taxes)
        assert line.charge.amount * sign >= 0
        assert all(part.amount * sign >= 0 for part in line.discounts), "a discount changed sign"
        assert all(part.amount * sign >= 0 for part in line.taxes), "a tax changed sign"
        assert 0 <= line.discount_amount * sign <= line.charge.amount * sign
        assert line.net * sign >= 0


def credits_stay_within_their_lines(book: LedgerBook) -> None:
    """In amount, in each discount and in each tax; what came back whole came back to the unit."""
    charges: dict[UUID, Line] = {}
    returned: dict[UUID, list[Credit]] = {}
    for _, line in book.lines(*STANDING, InvoiceStatus.DRAFT):
        if line.charge.reverses_line_id is None:
            charges[line.id] = line
        else:
            credit = Credit(line.charge, line.discounts, line.taxes)
            returned.setdefault(line.charge.reverses_line_id, []).append(credit)
    for item in book.waiting():
        if isinstance(item.line, Credit):
            assert item.charge.reverses_line_id is not None
            returned.setdefault(item.charge.reverses_line_id, []).append(item.line)
    for line_id, given in returned.items():
        _within(charges[line_id], given)


def _within(line: Line, given: list[Credit]) -> None:
    amount = -sum(credit.charge.amount for credit in given)
    assert 0 < amount <= line.charge.amount, "more came back than was charged"
    discounts: Counter[UUID] = Counter()
    taxes: Counter[UUID] = Counter()
    taxables: Counter[UUID] = Counter()
    for credit in given:
        for off in credit.discounts:
            discounts[off.discount_id] -= off.amount
        for tax in credit.taxes:
            taxes[tax.rate.id] -= tax.amount
            taxables[tax.rate.id] -= tax.taxable
    is_whole = amount == line.charge.amount
    for part in line.discounts:
        assert 0 <= discounts[part.discount_id] <= part.amount
        assert not is_whole or discounts[part.discount_id] == part.amount
    for tax in line.taxes:
        assert 0 <= taxes[tax.rate.id] <= tax.amount
        assert not is_whole or taxes[tax.rate.id] == tax.amount
        assert not is_whole or taxables[tax.rate.id] == tax.taxable
    assert set(discounts) <= {part.discount_id for part in line.discounts}
    assert set(taxes) <= {tax.rate.id for tax in line.taxes}


def ledger_agrees(book: LedgerBook) -> None:
    """Receivables are open invoices, taxes are invoiced taxes, revenue is what lines are net."""
    ledger = balances(book.entries)
    assert sum(ledger.values()) == 0
    standing = [i for i in book.invoices.values() if i.status in STANDING]
    owed = sum(i.amount_remaining for i in standing if i.status is InvoiceStatus.OPEN)
    assert ledger.get("receivable", 0) == owed
    assert -ledger.get("tax_payable", 0) == sum(i.tax_total for i in standing)
    assert -ledger.get("customer_credit", 0) == book.credit
    net = sum(line.net for _, line in book.lines())
    assert -ledger.get("revenue", 0) - ledger.get("deferred_revenue", 0) == net


def boundaries_are_billed_once(book: LedgerBook) -> None:
    """One invoice for a boundary, as the database insists."""
    cycles = Counter(
        i.order.cycle_start for i in book.invoices.values() if i.order.cycle_start is not None
    )
    assert all(n == 1 for n in cycles.values()), "a boundary was billed twice"


def no_time_is_charged_twice(book: LedgerBook) -> None:
    """The lines of an item that are in force do not overlap by a unit's worth of time."""
    spans: dict[UUID | None, list[tuple[datetime, datetime, Fraction]]] = {}
    for invoice, line in book.lines(*STANDING, InvoiceStatus.DRAFT):
        charge = line.charge
        if charge.kind is LineKind.PERIOD and charge.reverses_line_id is None and charge.amount:
            until = book.charged(invoice, line).until
            if charge.period.start < until:
                per_second = Fraction(charge.amount, charge.period.seconds or 1)
                spans.setdefault(charge.item_id, []).append(
                    (charge.period.start, until, per_second)
                )
    for found in spans.values():
        found.sort()
        for (_, end, per_second), (start, *_) in pairwise(found):
            twice = (end - start).total_seconds()
            assert twice <= 0 or per_second * int(twice) < 1, "time of an item was charged twice"
