"""Making an invoice: lines from charges and credits, sums from lines, postings from sums. Pure.

A charge is discounted and taxed here. A credit comes as it is: it mirrors the line it takes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.domain import balance as balances
from app.domain import discount as discounting
from app.domain import policy as policies
from app.domain import tax as taxing
from app.domain.balance import Balance, BalanceEntry
from app.domain.calendar import Period
from app.domain.discount import Discount, Facts
from app.domain.errors import InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import (
    AMOUNT_MAX,
    PERIODICAL,
    RECURRING,
    Action,
    Charge,
    DiscountPart,
    Invoice,
    Line,
    Member,
    Order,
    Status,
    after,
    owed_on,
)
from app.domain.ledger import Account, Entry, Source
from app.domain.policy import CouponOnProration, Policy
from app.domain.proration import FULL
from app.domain.tax import TaxPart


@dataclass(frozen=True, slots=True)
class Credit:
    """What a line gives back: a charge below zero, with its parts of the discounts and taxes that
    were on the line it reverses, below zero too.
    """

    charge: Charge
    discounts: tuple[DiscountPart, ...] = ()
    taxes: tuple[TaxPart, ...] = ()


@dataclass(frozen=True, slots=True)
class Bill:
    """Everything that an invoice is made from."""

    order: Order
    charges: Sequence[Charge] = ()
    credits: Sequence[Credit] = ()
    discounts: Sequence[Discount] = ()
    policy: Policy = policies.DEFAULT


@dataclass(frozen=True, slots=True)
class Billed:
    """An invoice with what it posts, moves and tells; a draft does none of it but tell."""

    invoice: Invoice
    entries: tuple[Entry, ...]
    balances: tuple[BalanceEntry, ...]
    events: tuple[Event, ...]


def bill(what: Bill, balance: Balance, now: datetime, new_id: NewId) -> Billed:
    """A finalized invoice. `balance` is the customer's credit: it pays what it can, and what an
    invoice below zero gives back goes there.

    Subtotal is the sum of the lines; discounts never exceed them; taxes are reckoned on what is
    left. Raises InvalidRequest beyond AMOUNT_MAX.
    """
    return _final(_draft(what, now, new_id, balance), balance, new_id)


def draft(what: Bill, finalize_at: datetime | None, now: datetime, new_id: NewId) -> Billed:
    """The same, still to be looked at and changed, until it is finalized."""
    made = replace(_draft(what, now, new_id), finalize_at=finalize_at)
    return Billed(made, (), (), (Event(new_id(), Type.INVOICE_CREATED, made),))


def given_away(what: Bill, now: datetime, new_id: NewId) -> Billed:
    """An invoice that is void from the beginning: it says what the time would have cost."""
    made = _draft(what, now, new_id)
    void = replace(made, status=Status.VOID, finalized_at=now, voided_at=now)
    return Billed(void, (), (), (Event(new_id(), Type.INVOICE_VOIDED, void),))


def redraft(old: Invoice, what: Bill, now: datetime, new_id: NewId) -> Billed:
    """The draft `old` with other lines."""
    assert old.status is Status.DRAFT
    made = replace(
        _draft(what, now, new_id),
        id=old.id,
        created_at=old.created_at,
        finalize_at=old.finalize_at,
        version=old.version + 1,
    )
    return Billed(made, (), (), (Event(new_id(), Type.INVOICE_UPDATED, made),))


def finalize(invoice: Invoice, balance: Balance, now: datetime, new_id: NewId) -> Billed:
    """The draft, with its lines, becomes final: it is numbered, posted, and credit pays of it."""
    after(invoice.status, Action.FINALIZE)
    settled = _settled(invoice.order, invoice.total, balance, now)
    final = replace(invoice, **settled, finalize_at=None, version=invoice.version + 1)
    return _final(final, balance, new_id)


def _settled(order: Order, total: int, balance: Balance, now: datetime) -> dict[str, Any]:
    """What becomes of an invoice over `total` as it is finalized: credit pays of it what it can."""
    applied = min(balance.amount, total)
    is_paid = applied == total
    begins = now if order.cycle_start is None else max(now, order.cycle_start)
    return {
        "status": Status.PAID if is_paid else Status.OPEN,
        "balance_applied": applied,
        "amount_due": total - applied,
        "due_at": begins + timedelta(days=order.net_days) if order.net_days else begins,
        "finalized_at": now,
        "paid_at": now if is_paid else None,
    }


def _final(invoice: Invoice, balance: Balance, new_id: NewId) -> Billed:
    """What follows from a finalized invoice."""
    applied = invoice.balance_applied
    events = [Event(new_id(), Type.INVOICE_FINALIZED, invoice)]
    if invoice.status is Status.PAID:
        events.append(Event(new_id(), Type.INVOICE_PAID, invoice))
    moved: tuple[BalanceEntry, ...] = ()
    if applied > 0:
        moved = (balances.apply(balance, applied, invoice.id, new_id),)
    elif applied < 0:
        moved = (balances.credit(balance, -applied, invoice.id, new_id),)
    return Billed(invoice, _entries(invoice, new_id), moved, tuple(events))


def _draft(bill: Bill, now: datetime, new_id: NewId, balance: Balance | None = None) -> Invoice:
    """The invoice with its lines and sums; finalized at once where a balance is given to pay it."""
    assert bill.charges or bill.credits, "an invoice has at least one line"
    lines = _lines(bill, new_id)
    return _summed(bill.order, bill.policy, lines, now, new_id(), balance)


def _summed(
    order: Order,
    policy: Policy,
    lines: tuple[Line, ...],
    now: datetime,
    invoice_id: UUID,
    balance: Balance | None,
) -> Invoice:
    """The invoice of these lines; finalized at once where a balance is given to pay it."""
    subtotal = discount_total = tax_total = tax_added = 0
    for line in lines:
        subtotal += line.charge.amount
        discount_total += line.discount_amount
        tax_total += line.tax_amount
        for tax in line.taxes:
            if not tax.rate.inclusive:
                tax_added += tax.amount
    total = subtotal - discount_total + tax_added
    if max(abs(subtotal), abs(total)) > AMOUNT_MAX:
        raise InvalidRequest("This adds up to more than can be billed.", code="amount_too_large")
    settled: Mapping[str, Any] = {
        "status": Status.DRAFT,
        "balance_applied": 0,
        "amount_due": total,
        "due_at": now,
    }
    if balance is not None:
        settled = _settled(order, total, balance, now)
    return Invoice(
        id=invoice_id,
        order=order,
        subtotal=subtotal,
        discount_total=discount_total,
        tax_total=tax_total,
        tax_added=tax_added,
        total=total,
        amount_paid=0,
        created_at=now,
        **settled,
        policy=policy,
        lines=lines,
    )


def consolidate(bills: Sequence[Invoice], balance: Balance, now: datetime, new_id: NewId) -> Billed:
    """The one finalized invoice of several: their lines as they are, taxed together.

    They are of one customer and one instant, in one currency, and rounded alike. `balance` is the
    customer's credit before any of them.
    """
    first, policy = bills[0].order, bills[0].policy
    lines = [
        replace(line, subscription_id=bill.order.subscription_id)
        for bill in bills
        for line in bill.lines
    ]
    order = replace(
        first,
        subscription_id=None,
        cycle_start=None,
        period=Period(first.period.start, max(bill.order.period.end for bill in bills)),
    )
    invoice = _summed(order, policy, _taxed_anew(lines, policy), now, new_id(), balance)
    members = tuple(
        Member(bill.order.subscription_id, bill.order.period, bill.order.cycle_start)
        for bill in bills
        if bill.order.subscription_id is not None
    )
    assert len(members) == len(bills), "what is put together is of subscriptions"
    return _final(replace(invoice, members=members), balance, new_id)


def _taxed_anew(lines: Sequence[Line], policy: Policy) -> tuple[Line, ...]:
    """The lines in their new order, those that charge with taxes reckoned over all of them."""
    charging = [line for line in lines if line.charge.reverses_line_id is None]
    amounts = [line.charge.amount - line.discount_amount for line in charging]
    rates = [line.charge.rates for line in charging]
    taxed: dict[UUID, list[TaxPart]] = {line.id: [] for line in charging}
    for part in taxing.taxes(amounts, rates, policy.tax_rounding, policy.rounding).parts:
        taxed[charging[part.line].id].append(part)
    return tuple(
        replace(
            line,
            position=place,
            taxes=tuple(taxed.get(line.id, line.taxes)),
            tax_amount=sum(part.amount for part in taxed.get(line.id, line.taxes)),
        )
        for place, line in enumerate(lines)
    )


def _lines(bill: Bill, new_id: NewId) -> tuple[Line, ...]:
    charges = bill.charges
    taken, left = _discounted(bill)
    taxed: list[list[TaxPart]] = [[] for _ in charges]
    if any(charge.rates for charge in charges):
        policy = bill.policy
        rates = [charge.rates for charge in charges]
        for part in taxing.taxes(left, rates, policy.tax_rounding, policy.rounding).parts:
            taxed[part.line].append(part)
    before = len(bill.credits)
    lines = [
        Line(
            new_id(),
            place,
            credit.charge,
            credit.discounts,
            credit.taxes,
            sum(part.amount for part in credit.discounts),
            sum(part.amount for part in credit.taxes),
        )
        for place, credit in enumerate(bill.credits)
    ]
    lines += [
        Line(
            new_id(),
            before + place,
            charge,
            tuple(taken[place]),
            tuple(taxed[place]),
            charge.amount - left[place],
            sum(part.amount for part in taxed[place]),
        )
        for place, charge in enumerate(charges)
    ]
    return tuple(lines)


def _discounted(bill: Bill) -> tuple[list[list[DiscountPart]], list[int]]:
    """The discounts on each charge, and what they leave of it."""
    charges, policy = bill.charges, bill.policy
    left = [charge.amount for charge in charges]
    taken: list[list[DiscountPart]] = [[] for _ in charges]
    if not bill.discounts:
        return taken, left
    open_to = open_to_discounts(charges, policy)
    currency, facts, eligible = bill.order.currency, None, None
    if discounting.need_facts(bill.discounts):
        facts = [facts_of(charge, amount) for charge, amount in zip(charges, open_to, strict=True)]
        eligible = discounting.applicable(bill.discounts, facts, currency)
    rows = discounting.apply(
        bill.discounts,
        open_to,
        currency,
        policy.coupon_stacking,
        policy.rounding,
        eligible,
        facts,
    )
    for discount, row in zip(bill.discounts, rows, strict=True):
        for place, off in enumerate(row):
            if off:
                left[place] -= off
                taken[place].append(DiscountPart(discount.id, off))
    return taken, left


def open_to_discounts(charges: Sequence[Charge], policy: Policy) -> list[int]:
    """What of each charge discounts may be taken from."""
    if policy.coupon_on_proration is CouponOnProration.NOT_PRORATED:
        return [charge.amount if charge.share == FULL else 0 for charge in charges]
    return [charge.amount for charge in charges]


def facts_of(charge: Charge, amount: int) -> Facts:
    """What discounts want to know of a charge, `amount` of which they may be taken from."""
    return Facts(
        amount,
        charge.quantity,
        charge.plan_id,
        charge.price_id,
        charge.item_id,
        charge.share,
        charge.kind in RECURRING,
        charge.is_addon,
    )


def revenue_of(line: Line, finalized_at: datetime) -> Account:
    """Where the net of a line was posted: earned at once, or deferred over its period."""
    if line.charge.kind not in PERIODICAL or line.charge.period.end <= finalized_at:
        return Account.REVENUE
    return Account.DEFERRED_REVENUE


def _moves(invoice: Invoice) -> tuple[tuple[Account, int], ...]:
    """What finalization owes the receivable to: revenue, earned or still deferred, and tax."""
    earned = deferred = 0
    now = invoice.finalized_at
    assert now is not None
    for line in invoice.lines:
        if revenue_of(line, now) is Account.REVENUE:
            earned += line.net
        else:
            deferred += line.net
    return (
        (Account.DEFERRED_REVENUE, deferred),
        (Account.REVENUE, earned),
        (Account.TAX_PAYABLE, invoice.tax_total),
    )


def _entry(
    invoice: Invoice, source: Source, sides: tuple[str, str], amount: int, new_id: NewId
) -> Entry:
    """One posting; what is below zero goes the other way round."""
    debit, credit = sides if amount > 0 else sides[::-1]
    order = invoice.order
    return Entry(
        new_id(),
        order.merchant_id,
        source,
        invoice.id,
        debit,
        credit,
        order.currency,
        abs(amount),
    )


def _entries(invoice: Invoice, new_id: NewId) -> tuple[Entry, ...]:
    owed, source = Account.RECEIVABLE, Source.INVOICE
    entries = [
        _entry(invoice, source, (owed, account), amount, new_id)
        for account, amount in _moves(invoice)
        if amount
    ]
    if invoice.balance_applied:
        sides = (Account.CUSTOMER_CREDIT, owed)
        entries.append(_entry(invoice, source, sides, invoice.balance_applied, new_id))
    return tuple(entries)


def reversal(invoice: Invoice, new_id: NewId) -> tuple[Entry, ...]:
    """What finalization posted, taken back; the invoice needs its lines, and is not paid on."""
    owed, source = owed_on(invoice), Source.INVOICE_VOID
    entries = [
        _entry(invoice, source, (account, owed), amount, new_id)
        for account, amount in _moves(invoice)
        if amount
    ]
    if invoice.balance_applied:
        sides = (owed, Account.CUSTOMER_CREDIT)
        entries.append(_entry(invoice, source, sides, invoice.balance_applied, new_id))
    return tuple(entries)


def discount_ids(invoice: Invoice) -> set[UUID]:
    """The discounts that any line was given."""
    return {part.discount_id for line in invoice.lines for part in line.discounts}
