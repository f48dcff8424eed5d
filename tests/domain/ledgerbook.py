"""Books that also remember lines: what is in force, what was returned of it, and what waits.

It answers for values what `app/db/charged.py` and `app/db/pending.py` answer for rows, so that
changes, pauses and cancellations can be tried by the million without a database.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain import changing, lifecycle, pausing
from app.domain.balance import Balance
from app.domain.billing import Account
from app.domain.crediting import Charged, Returned
from app.domain.decision import Decision
from app.domain.invoice import Invoice, Line, LineKind
from app.domain.invoice import Status as InvoiceStatus
from app.domain.invoicing import Credit
from app.domain.pending import PendingItem
from app.domain.policy import DEFAULT, CancelCredit, PauseUnused, Policy
from app.domain.subscription import Change, ItemChange, Pause, Subscription
from tests.domain.books import CUSTOMER, MERCHANT, Books

STANDING = frozenset({InvoiceStatus.OPEN, InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE})


@dataclass
class LedgerBook(Books):
    """Books of one subscription, with its lines and pending items."""

    policy: Policy = DEFAULT
    pending: dict[UUID, PendingItem] = field(default_factory=dict)
    currency: str = "EUR"

    @property
    def balance(self) -> Balance:
        return Balance(MERCHANT, CUSTOMER, self.currency, self.credit)

    @property
    def sub(self) -> Subscription:
        assert self.subscription is not None
        return self.subscription

    def record(self, decision: Decision) -> Decision:
        for item in decision.pending:
            known = self.pending[item.id].version if item.id in self.pending else 0
            assert item.version == known + 1, f"pending item: {known} became {item.version}"
            self.pending[item.id] = item
        return super().record(decision)

    # ── what the database would answer ────────────────────────────────────────────────────────────

    def waiting(self) -> tuple[PendingItem, ...]:
        return tuple(
            item
            for item in self.pending.values()
            if item.invoice_id is None and item.deleted_at is None
        )

    def lines(self, *statuses: InvoiceStatus) -> Iterator[tuple[Invoice, Line]]:
        for invoice in self.invoices.values():
            if invoice.status in (statuses or STANDING):
                for line in invoice.lines:
                    yield invoice, line

    def reversals(self, line_id: UUID) -> Iterator[Credit]:
        """What credits took back of a line: on invoices that are not void, or waiting."""
        for _, line in self.lines(*STANDING, InvoiceStatus.DRAFT):
            if line.charge.reverses_line_id == line_id:
                yield Credit(line.charge, line.discounts, line.taxes)
        for item in self.waiting():
            if isinstance(item.line, Credit) and item.line.charge.reverses_line_id == line_id:
                yield item.line

    def charged(self, invoice: Invoice, line: Line) -> Charged:
        amount, until, spans = 0, line.charge.period.end, []
        discounts: dict[UUID, int] = {}
        taxes: dict[UUID, int] = {}
        taxables: dict[UUID, int] = {}
        for credit in self.reversals(line.id):
            amount -= credit.charge.amount
            spans.append((credit.charge.period.start, credit.charge.period.end))
            for off in credit.discounts:
                discounts[off.discount_id] = discounts.get(off.discount_id, 0) - off.amount
            for tax in credit.taxes:
                taxes[tax.rate.id] = taxes.get(tax.rate.id, 0) - tax.amount
                taxables[tax.rate.id] = taxables.get(tax.rate.id, 0) - tax.taxable
        for start, end in sorted(spans, key=lambda span: span[1], reverse=True):
            if end >= until:
                until = min(until, start)
        is_paid = invoice.status is InvoiceStatus.PAID
        returned = Returned(amount, discounts, taxes, taxables)
        return Charged(line, invoice.id, until, returned, is_paid)

    def in_force(self, at: datetime) -> tuple[Charged, ...]:
        return tuple(
            self.charged(invoice, line)
            for invoice, line in self.lines(*STANDING, InvoiceStatus.DRAFT)
            if line.charge.kind is LineKind.PERIOD
            and line.charge.reverses_line_id is None
            and line.charge.amount > 0
            and line.charge.period.end > at
        )

    def loaded(self, at: datetime | None) -> Account:
        """The subscription as a service loads it, to be changed at `at` (None: to be stepped)."""
        account = replace(self.account, policy=self.policy, pending=self.waiting())
        sub = account.subscription
        if sub.period is None:
            return account
        if at is None and sub.scheduled and sub.scheduled[0].due_at < sub.period.end:
            at = sub.scheduled[0].due_at
        if at is None or at >= sub.period.end:
            return account
        return replace(account, charged=self.in_force(at))

    def held(self) -> tuple[Invoice, ...]:
        """What a pause holds back: drafts without a date, open invoices without a payment."""
        paid = {payment.invoice_id for payment in self.payments.values()}
        return tuple(
            invoice
            for invoice in self.invoices.values()
            if (invoice.status is InvoiceStatus.DRAFT and invoice.finalize_at is None)
            or (invoice.status is InvoiceStatus.OPEN and invoice.id not in paid)
        )

    # ── what is done to it ────────────────────────────────────────────────────────────────────────

    def step(self, now: datetime) -> Decision | None:
        due = self.sub.next_action_at
        if due is None or due > now:
            return None
        return self.record(lifecycle.step(self.loaded(None), now, self.new_id))

    def change(self, at: datetime, *items: ItemChange, **options: Any) -> Decision:
        """Change it at `at`, after everything that was due by then."""
        self.catch_up(at)
        wanted = Change(items=items, **options)
        return self.record(changing.change(self.loaded(at), wanted, at, at, self.new_id))

    def cancel(self, at: datetime, credit: CancelCredit = CancelCredit.NONE) -> Decision:
        self.catch_up(at)
        account = replace(self.loaded(at), held=self.held())
        return self.record(lifecycle.cancel_now(account, at, self.new_id, credit))

    def pause(
        self, at: datetime, unused: PauseUnused = PauseUnused.KEEP, **options: Any
    ) -> Decision:
        self.catch_up(at)
        wanted = Pause(at, **options)
        return self.record(pausing.pause(self.loaded(at), wanted, unused, at, self.new_id))

    def resume(self, at: datetime) -> Decision:
        self.catch_up(at)
        account = replace(self.loaded(at), held=self.held())
        return self.record(pausing.resume(account, at, at, self.new_id))

    def schedule(self, now: datetime, due_at: datetime, *items: ItemChange) -> Decision:
        wanted = Change(items=items)
        return self.record(changing.schedule(self.sub, wanted, due_at, now, self.new_id))

    def cancel_at_period_end(self, now: datetime) -> Decision:
        return self.record(lifecycle.cancel_at_period_end(self.sub, now, self.new_id))

    def keep(self) -> Decision:
        return self.record(lifecycle.keep(self.sub, self.new_id))

    # ── what came of it ───────────────────────────────────────────────────────────────────────────

    def total(self) -> int:
        """What was billed in all, with tax, less what was given back."""
        return sum(i.total for i in self.invoices.values() if i.status in STANDING)

    def net(self) -> int:
        """What was billed in all before discounts and taxes, with what waits to be."""
        return sum(line.charge.amount for _, line in self.lines()) + sum(
            item.charge.amount for item in self.waiting()
        )
