"""A shop in memory: what decisions make true, with no database. Previews and simulations use it.

It keeps the promises that the database keeps: versions ascend one by one, balances never fall below
zero, what was given back of a line is remembered. Nobody else sees it, and it leaves no trace.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from heapq import heappop, heappush
from typing import Final, TypeAlias
from uuid import UUID

from app.domain import (
    billing_ahead,
    collection,
    consolidating,
    crediting,
    finalizing,
    lifecycle,
    settling,
    shop_dunning,
    shop_paying,
)
from app.domain import policy as policies
from app.domain import shop_looks as looks
from app.domain.balance import Balance
from app.domain.billing import Account
from app.domain.collection import Bill
from app.domain.crediting import Charged
from app.domain.decision import Decision
from app.domain.dunning_run import Dunning, Try
from app.domain.errors import BillingError
from app.domain.event import Event
from app.domain.finalizing import Draft
from app.domain.ids import NewId
from app.domain.invoice import Charge, Invoice, Line, LineKind
from app.domain.invoice import Status as InvoiceStatus
from app.domain.invoicing import Credit
from app.domain.ledger import Entry
from app.domain.metering import Aggregation
from app.domain.payment import Payment
from app.domain.payment import Status as PaymentStatus
from app.domain.pending import PendingItem
from app.domain.policy import Consolidation, Policy
from app.domain.sharing import Shared
from app.domain.shop_dunning import Desk
from app.domain.shop_paying import Bank
from app.domain.subscription import Status, Subscription
from app.domain.tax_engine import Unanswered
from app.domain.using import Used

FAULTS: Final = (BillingError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
"""What the clock parks a subscription for."""


class Kind(IntEnum):
    """What can be due; at the same instant it happens in this order."""

    STEP = 0
    DRAFT = 1
    AHEAD = 2
    PAYMENT = 3
    DUNNING = 4


Due: TypeAlias = tuple[datetime, Kind, int, UUID]


@dataclass(frozen=True, slots=True)
class Told:
    """An event, and when it was told."""

    at: datetime
    event: Event


@dataclass(slots=True)
class Shop:
    """One merchant's subscriptions with what their bills depend on, and all that comes of them."""

    merchant_id: UUID
    policy: Policy
    new_id: NewId
    accounts: dict[UUID, Account] = field(default_factory=dict)
    """By subscription: what it came with. What changes is kept beside it."""
    subscriptions: dict[UUID, Subscription] = field(default_factory=dict)
    credit: dict[tuple[UUID, str], int] = field(default_factory=dict)
    """What stands to customers' credit, by customer and currency."""
    charged: dict[UUID, list[Charged]] = field(default_factory=dict)
    """The lines in force, by subscription."""
    pending: dict[UUID, PendingItem] = field(default_factory=dict)
    late: dict[UUID, tuple[Charge, ...]] = field(default_factory=dict)
    used: dict[UUID, list[Used]] = field(default_factory=dict)
    """By item."""
    aggregations: dict[UUID, Aggregation] = field(default_factory=dict)
    """By meter."""
    invoices: dict[UUID, Invoice] = field(default_factory=dict)
    payments: dict[UUID, Payment] = field(default_factory=dict)
    of_invoice: dict[UUID, UUID] = field(default_factory=dict)
    """The latest payment of each invoice."""
    entries: list[Entry] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    made: dict[UUID, Line] = field(default_factory=dict)
    """Lines that were made here, by id: nobody outside knows these names."""
    born: set[UUID] = field(default_factory=set)
    """The invoices that were made here."""
    leads: dict[UUID, timedelta] = field(default_factory=dict)
    """By subscription: how long before they begin its periods are billed, if before."""
    since: dict[UUID, datetime] = field(default_factory=dict)
    """By subscription: when it became what it is, if that was here."""
    in_vain: dict[UUID, datetime] = field(default_factory=dict)
    """By subscription: since when it has a bill whose period does not begin."""
    parked: dict[UUID, str] = field(default_factory=dict)
    desk: Desk = field(default_factory=Desk)
    bank: Bank = field(default_factory=Bank)
    steps: int = 0
    _due: list[Due] = field(default_factory=list)
    _order: int = 0

    def add(self, account: Account, used: Mapping[UUID, Iterable[Used]] | None = None) -> None:
        """Take a subscription in, as it was loaded."""
        sub = account.subscription
        self.accounts[sub.id] = account
        self.subscriptions[sub.id] = sub
        self.credit[sub.customer_id, sub.currency] = account.balance.amount
        self.charged[sub.id] = list(account.charged)
        self.pending |= {item.id: item for item in account.pending}
        self.late[sub.id] = account.late
        for item_id, spans in (used or {}).items():
            self.used[item_id] = list(spans)
        self.invoices |= {invoice.id: invoice for invoice in account.held}
        if account.first_bill is not None:
            self.owe(account.first_bill)
        if account.ahead is not None:
            self.invoices[account.ahead.invoice.id] = account.ahead.invoice
            self.charged[sub.id] += account.ahead.charged
            if account.ahead.payment is not None:
                self._keep_payment(account.ahead.payment)
        self._wait(sub.next_action_at, Kind.STEP, sub.id)

    def owe(self, bill: Bill) -> None:
        """Take in an invoice that is not paid yet."""
        self.invoices[bill.invoice.id] = bill.invoice
        self._keep_payment(bill.payment)

    def dun(self, run: Dunning, tries: Iterable[Try]) -> None:
        """Take in the dunning of an invoice that is owed, with what was tried."""
        self.desk.take_in(run, tries)
        self._wait(run.next_action_at, Kind.DUNNING, run.invoice_id)

    def lead_by(self, leads: Mapping[UUID, timedelta]) -> None:
        """These subscriptions are billed so long before their periods begin."""
        self.leads |= leads
        for key in leads:
            self._wait(self._due_at(Kind.AHEAD, key), Kind.AHEAD, key)

    def hold(self, draft: Invoice) -> None:
        """Take in an invoice that is not final yet, with its lines."""
        self.invoices[draft.id] = draft
        self._wait(draft.finalize_at, Kind.DRAFT, draft.id)

    def fork(self) -> "Shop":
        """Another shop that is like this one now; what becomes of either leaves the other alone."""
        other = copy(self)
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, dict | list | set):
                setattr(other, name, value.copy())
        other.desk, other.bank = self.desk.fork(), self.bank.fork()
        other.charged = {key: list(lines) for key, lines in self.charged.items()}
        other.used = {key: list(spans) for key, spans in self.used.items()}
        return other

    def balance(self, customer_id: UUID, currency: str) -> Balance:
        """A customer's credit in a currency."""
        amount = self.credit.get((customer_id, currency), 0)
        return Balance(self.merchant_id, customer_id, currency, amount)

    def account(self, subscription_id: UUID, at: datetime | None = None) -> Account:
        """A subscription as a decision about it needs it: changed at `at`, or for the step due."""
        sub = self.subscriptions[subscription_id]
        known = self.accounts[subscription_id]
        moment = at or sub.next_action_at
        if moment is None and sub.period is not None:
            moment = sub.period.end
        return replace(
            known,
            subscription=sub,
            balance=self.balance(sub.customer_id, sub.currency),
            method_id=sub.payment_method_id or known.method_id,
            first_bill=self._first_bill(sub),
            policy=policies.narrowed(self.policy, (i.price for i in sub.items), sub.settings),
            pending=tuple(self._waiting(sub)),
            charged=() if moment is None else tuple(self._in_force(sub, moment)),
            usage={} if moment is None else looks.usage(sub, moment, self.used, self.aggregations),
            late=self.late.get(subscription_id, ()),
            held=tuple(looks.held(sub, self.invoices, self.of_invoice)),
            ahead=looks.billed_ahead(
                sub, self.invoices, self.charged, self.payments, self.of_invoice
            ),
            names=looks.names(sub, self.invoices.values()),
            corrected={},  # what is made here is known to nobody that could correct it
        )

    # ── what is due ───────────────────────────────────────────────────────────────────────────────

    def next_at(self) -> datetime | None:
        """When something happens by itself next; None: never."""
        for _ in range(len(self._due)):
            at, kind, _, key = self._due[0]
            if self._due_at(kind, key) == at:
                return at
            heappop(self._due)
        return None

    def step(self) -> None:
        """Make the one thing happen that is due first; it must be there."""
        at = self.next_at()
        assert at is not None, "nothing is due"
        _, kind, _, key = heappop(self._due)
        self.steps += 1
        match kind:
            case Kind.STEP:
                self._step(key, at)
            case Kind.DRAFT:
                self._finalize(self.invoices[key], at)
            case Kind.PAYMENT:
                self.collect(self.payments[key], at)
            case Kind.DUNNING:
                self._dun(self.invoices[key], at)
            case Kind.AHEAD:
                self._ahead(key, at)

    def run(self, until: datetime, steps_max: int) -> bool:
        """Everything that is due up to `until`; False where that takes more than `steps_max`."""
        for _ in range(steps_max):
            at = self.next_at()
            if at is None or at > until:
                return True
            self.step()
        at = self.next_at()
        return at is None or at > until

    def _step(self, subscription_id: UUID, at: datetime) -> None:
        accounts = self._with_others(subscription_id, at)
        try:
            decided = consolidating.step(accounts, self._alone(at), Shared(), at, self.new_id)
        except Unanswered:
            raise  # nothing is wrong with it: it is looked at again once the answer is there
        except FAULTS as error:
            if len(accounts) > 1:  # whichever is at fault, the others go on without it
                self._step_alone([account.subscription.id for account in accounts], at)
                return
            reason = error.message if isinstance(error, BillingError) else str(error)
            self.parked[subscription_id] = reason or type(error).__name__
            return
        for decision in decided:
            self.record(decision, at)

    def _step_alone(self, subscription_ids: Iterable[UUID], at: datetime) -> None:
        for key in subscription_ids:
            try:
                self.record(lifecycle.step(self.account(key), at, self.new_id), at)
            except FAULTS as error:
                reason = error.message if isinstance(error, BillingError) else str(error)
                self.parked[key] = reason or type(error).__name__

    def _ahead(self, key: UUID, at: datetime) -> None:
        self.in_vain.pop(key, None)
        decision = billing_ahead.act(self.account(key), at, self.new_id)
        if decision is not None:
            self.record(decision, at)

    def _alone(self, at: datetime) -> consolidating.Step:
        return lambda account: lifecycle.step(account, at, self.new_id)

    def _with_others(self, subscription_id: UUID, at: datetime) -> list[Account]:
        """The subscription, with those of its customer that may be billed together with it."""
        first = self.account(subscription_id)
        if first.policy.invoice_consolidation is not Consolidation.CUSTOMER:
            return [first]
        customer = first.subscription.customer_id
        return [
            self.account(key)
            for key, sub in sorted(self.subscriptions.items())
            if sub.customer_id == customer and sub.next_action_at == at and key not in self.parked
        ]

    def _finalize(self, draft: Invoice, at: datetime) -> None:
        about = draft.order.subscription_id
        known = self.accounts.get(about) if about is not None else None
        sub = self.subscriptions.get(about) if about is not None else None
        method_id = None if known is None or sub is None else sub.payment_method_id
        if known is not None:
            method_id = method_id or known.method_id
        balance = self.balance(draft.order.customer_id, draft.order.currency)
        whole = Draft(draft, balance, method_id, sub)
        self.record(finalizing.finalize(whole, at, self.new_id), at)

    def collect(self, payment: Payment, at: datetime) -> None:
        """Attempt a payment that is due: it succeeds, unless declines are ordered."""
        known, subs = shop_dunning.known(self, self.invoices[payment.invoice_id])
        begun = shop_paying.begin(known, payment, at, self.new_id)
        self.record(begun, at)
        for attempt in begun.attempts:
            [sent] = begun.payments
            bill = Bill(known.invoice, sent, attempt, tuple(subs.values()))
            self.record(settling.settle(bill, self.bank.answer(attempt), at, self.new_id), at)

    def _dun(self, invoice: Invoice, at: datetime) -> None:
        known, subs = shop_dunning.known(self, invoice)
        accounts = [self.account(key, at) for key in subs if key in self.accounts]
        for decision in shop_dunning.look(known, accounts, at, self.new_id):
            self.record(decision, at)
        if invoice.id not in self.desk.runs:
            self.desk.left_alone.add(invoice.id)

    # ── what is made true ─────────────────────────────────────────────────────────────────────────

    def record(self, decision: Decision, at: datetime) -> None:
        """Make a decision true, as the database would, or refuse it as it would."""
        decision = shop_dunning.followed(self, decision, at, self.new_id)
        for sub in decision.subscriptions:
            known = self.subscriptions.get(sub.id)
            assert sub.version == (known.version if known else 0) + 1, "a version was passed over"
            self.subscriptions[sub.id], self.since[sub.id] = sub, at
            if sub.id not in self.accounts:
                self._found(sub)
            self._wait(sub.next_action_at, Kind.STEP, sub.id)
            if sub.billed_in_vain is not None:
                self.in_vain.setdefault(sub.id, at)
            self._wait(self._due_at(Kind.AHEAD, sub.id), Kind.AHEAD, sub.id)
        for invoice in decision.invoices:
            self._keep_invoice(invoice)
        for item in decision.pending:
            self._keep_pending(item)
        for payment in decision.payments:
            self._keep_payment(payment)
        for moved in decision.balances:
            key = moved.customer_id, moved.currency
            assert moved.ending == self.credit.get(key, 0) + moved.amount >= 0, "credit is short"
            self.credit[key] = moved.ending
        for use in decision.discounts:
            self._use(use.id, None if use.is_removed else use.periods_remaining, use.is_removed)
        for run in decision.dunning:
            self._wait(run.next_action_at, Kind.DUNNING, run.invoice_id)
        self.entries += decision.entries
        self.told += [Told(at, event) for event in decision.events]

    def subscribe(self, account: Account, decision: Decision, at: datetime) -> None:
        """Take in a subscription that begins with `decision`; `account` is what it comes with."""
        [sub] = decision.subscriptions
        self.accounts[sub.id] = account
        self.record(decision, at)

    def _found(self, sub: Subscription) -> None:
        balance = self.balance(sub.customer_id, sub.currency)
        self.accounts[sub.id] = Account(sub, balance, sub.payment_method_id, policy=self.policy)

    def _keep_invoice(self, invoice: Invoice) -> None:
        known = self.invoices.get(invoice.id)
        is_new = known is None and invoice.version == 1
        assert known is None or invoice.version == known.version + 1, "a version was passed over"
        self.invoices[invoice.id] = invoice
        if is_new:
            self.born.add(invoice.id)
            self.made |= {line.id: line for line in invoice.lines}
        if invoice.status is InvoiceStatus.DRAFT:
            self._wait(invoice.finalize_at, Kind.DRAFT, invoice.id)
        self._wait(self.desk.due_at(invoice), Kind.DUNNING, invoice.id)
        for about in invoice.subscription_ids:
            self._keep_lines(invoice, about, is_new=is_new)

    def _keep_lines(self, invoice: Invoice, about: UUID, *, is_new: bool) -> None:
        """What an invoice charges and gives back of one of its subscriptions."""
        if is_new:
            lines = [line for line in invoice.lines if line.subscription_id in (None, about)]
            self._give_back(about, lines)
            taken = {id(line.charge) for line in lines}
            self.late[about] = tuple(c for c in self.late.get(about, ()) if id(c) not in taken)
            self.charged.setdefault(about, []).extend(
                Charged(line, invoice.id, line.charge.period.end)
                for line in lines
                if _is_in_force(line)
            )
        if invoice.status is InvoiceStatus.VOID:
            kept = [c for c in self.charged.get(about, ()) if c.invoice_id != invoice.id]
            self.charged[about] = kept

    def _give_back(self, about: UUID, lines: Sequence[Line]) -> None:
        """Credits among the lines count as returned, but for those that waited: they do already."""
        waited = {id(item.charge) for item in self.pending.values()}
        for line in lines:
            if line.charge.reverses_line_id is not None and id(line.charge) not in waited:
                self._return(about, Credit(line.charge, line.discounts, line.taxes))

    def _return(self, about: UUID, credit: Credit) -> None:
        lines = self.charged.get(about, [])
        for place, charged in enumerate(lines):
            if charged.line.id == credit.charge.reverses_line_id:
                lines[place] = crediting.returned_after(charged, credit)

    def _keep_pending(self, item: PendingItem) -> None:
        is_new = item.id not in self.pending
        if item.invoice_id is not None or item.deleted_at is not None:
            self.pending.pop(item.id, None)
            return
        self.pending[item.id] = item
        if is_new and isinstance(item.line, Credit) and item.subscription_id is not None:
            self._return(item.subscription_id, item.line)

    def _keep_payment(self, payment: Payment) -> None:
        self.payments[payment.id] = payment
        self.of_invoice[payment.invoice_id] = payment.id
        if payment.status is PaymentStatus.SCHEDULED:
            self._wait(self._due_at(Kind.PAYMENT, payment.id), Kind.PAYMENT, payment.id)

    def _use(self, discount_id: UUID, left: int | None, is_removed: bool) -> None:
        """A discount that several subscriptions share is used up on all of them."""
        for sub in self.subscriptions.values():
            if not any(d.id == discount_id for d in sub.discounts):
                continue
            kept = tuple(
                replace(d, periods_remaining=left) if d.id == discount_id else d
                for d in sub.discounts
                if d.id != discount_id or not is_removed
            )
            self.subscriptions[sub.id] = replace(sub, discounts=kept)

    # ── what decisions look at ────────────────────────────────────────────────────────────────────

    def _first_bill(self, sub: Subscription) -> Bill | None:
        latest = sub.latest_invoice_id
        if sub.status is not Status.INCOMPLETE or latest not in self.of_invoice:
            return None
        assert latest is not None
        return Bill(self.invoices[latest], self.payments[self.of_invoice[latest]])

    def _waiting(self, sub: Subscription) -> Iterable[PendingItem]:
        return (item for item in self.pending.values() if item.subscription_id == sub.id)

    def _in_force(self, sub: Subscription, at: datetime) -> Iterable[Charged]:
        early = None if sub.ahead is None else sub.ahead.invoice_id
        lines = [c for c in self.charged.get(sub.id, ()) if c.line.charge.period.end > at]
        lines = [c for c in lines if c.invoice_id != early]
        for charged in lines:
            invoice = self.invoices.get(charged.invoice_id)
            is_paid = charged.is_paid if invoice is None else invoice.status is InvoiceStatus.PAID
            yield charged if is_paid is charged.is_paid else replace(charged, is_paid=is_paid)

    def _wait(self, at: datetime | None, kind: Kind, key: UUID) -> None:
        if at is not None:
            self._order += 1
            heappush(self._due, (at, kind, self._order, key))

    def _due_at(self, kind: Kind, key: UUID) -> datetime | None:
        """When that is due as things stand; what has been done, or put off, says otherwise."""
        match kind:
            case Kind.STEP:
                return None if key in self.parked else self.subscriptions[key].next_action_at
            case Kind.DRAFT:
                draft = self.invoices[key]
                return draft.finalize_at if draft.status is InvoiceStatus.DRAFT else None
            case Kind.PAYMENT:
                payment = self.payments[key]
                if payment.status is not PaymentStatus.SCHEDULED or payment.due_at is None:
                    return None
                invoice = self.invoices.get(payment.invoice_id)
                promised = invoice and collection.promised_at(invoice, payment.due_at)
                return promised or payment.due_at
            case Kind.DUNNING:
                return self.desk.due_at(self.invoices[key])
            case Kind.AHEAD:
                sub, lead = self.subscriptions[key], self.leads.get(key)
                since, in_vain = self.since.get(key), self.in_vain.get(key)
                at = billing_ahead.acts_at(sub, lead, since, in_vain)
                return None if key in self.parked else at


def _is_in_force(line: Line) -> bool:
    charge = line.charge
    return charge.kind is LineKind.PERIOD and charge.reverses_line_id is None and charge.amount > 0
