"""A shop without a database: decisions applied to values, so that laws are tried by thousands."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import UUID

from app.domain import lifecycle, signup
from app.domain.balance import Balance
from app.domain.billing import Account
from app.domain.calendar import Interval, Unit
from app.domain.collection import Bill
from app.domain.decision import Decision
from app.domain.discount import Coupon, Discount, Duration, redeem
from app.domain.invoice import Invoice
from app.domain.ledger import Entry
from app.domain.money import Money
from app.domain.payment import Attempt, Payment
from app.domain.pricing import SCALE, Price, PriceModel, Timing
from app.domain.refund import Refund
from app.domain.signup import Create
from app.domain.subscription import Status, Subscription
from app.domain.tax import TaxRate

START = datetime(2026, 1, 31, 9, tzinfo=UTC)
MERCHANT, CUSTOMER, METHOD, GATEWAY = (UUID(int=n) for n in range(1, 5))
MONTH = Interval(Unit.MONTH)
PLAN = UUID(int=5)


def ids(first: int = 1_000) -> Callable[[], UUID]:
    """A source of identifiers that ascend."""
    numbers = count(first)
    return lambda: UUID(int=next(numbers))


def price(minor: int = 1000, **options: Any) -> Price:
    given = {
        "id": UUID(int=10 + minor),
        "plan_id": PLAN,
        "version": 1,
        "currency": "EUR",
        "interval": MONTH,
        "model": PriceModel.PER_UNIT,
        "unit_amount_scaled": minor * SCALE,
        "description": "Basic",
    }
    return Price(**(given | options))


def arrears(minor: int = 1000, **options: Any) -> Price:
    return price(minor, id=UUID(int=99), timing=Timing.ARREARS, **options)


def percent(
    off: int, duration: Duration = Duration.FOREVER, periods: int | None = None
) -> Discount:
    coupon = Coupon(
        id=UUID(int=20 + off),
        name="Off",
        percent_off_ppm=off * 10_000,
        duration=duration,
        duration_periods=periods,
    )
    return redeem(coupon, UUID(int=30 + off))


def fixed(minor: int, duration: Duration = Duration.FOREVER) -> Discount:
    coupon = Coupon(id=UUID(int=40), name="Less", amount_off=Money(minor, "EUR"), duration=duration)
    return redeem(coupon, UUID(int=41))


def rate(ppm: int, *, inclusive: bool = False) -> TaxRate:
    return TaxRate(UUID(int=50_000_000 + ppm + inclusive), ppm, inclusive, "DE", "VAT")


def order(*prices: Price | tuple[Price, int], **options: Any) -> Create:
    items = [p if isinstance(p, tuple) else (p, 1) for p in prices or (price(),)]
    given = {"merchant_id": MERCHANT, "customer_id": CUSTOMER, "items": items, "zone": "UTC"}
    return Create(**(given | {"wait_for_payment": False} | options))


@dataclass
class Books:
    """Everything that decisions made true, by id; what the database would hold."""

    credit: int = 0
    method: UUID | None = METHOD
    subscription: Subscription | None = None
    invoices: dict[UUID, Invoice] = field(default_factory=dict)
    payments: dict[UUID, Payment] = field(default_factory=dict)
    attempts: dict[UUID, Attempt] = field(default_factory=dict)
    refunds: dict[UUID, Refund] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    new_id: Callable[[], UUID] = field(default_factory=ids)

    @property
    def balance(self) -> Balance:
        return Balance(MERCHANT, CUSTOMER, "EUR", self.credit)

    def record(self, decision: Decision) -> Decision:
        """Make a decision true; versions ascend one by one, as the database insists."""
        for sub in decision.subscriptions:
            known = self.subscription.version if self.subscription else 0
            assert sub.version == known + 1
            self.subscription = sub
        for kind in ("invoices", "payments", "attempts", "refunds"):
            rows: dict[UUID, Any] = getattr(self, kind)
            for row in getattr(decision, kind):
                known = rows[row.id].version if row.id in rows else 0
                assert row.version == known + 1, f"{kind}: {known} became {row.version}"
                rows[row.id] = row
        for moved in decision.balances:
            assert moved.ending == self.credit + moved.amount >= 0
            self.credit = moved.ending
        self.entries += decision.entries
        self.told += [event.type.value for event in decision.events]
        return decision

    def subscribe(self, cmd: Create, now: datetime = START) -> Subscription:
        self.record(signup.create(cmd, self.balance, self.method, now, self.new_id))
        assert self.subscription is not None
        return self.subscription

    @property
    def account(self) -> Account:
        assert self.subscription is not None
        bill = None
        latest = self.subscription.latest_invoice_id
        if self.subscription.status is Status.INCOMPLETE and latest is not None:
            [payment] = [p for p in self.payments.values() if p.invoice_id == latest]
            bill = Bill(self.invoices[latest], payment)
        return Account(self.subscription, self.balance, self.method, bill)

    def step(self, now: datetime) -> Decision | None:
        """The one thing that is due, if anything is."""
        assert self.subscription is not None
        due = self.subscription.next_action_at
        if due is None or due > now:
            return None
        return self.record(lifecycle.step(self.account, now, self.new_id))

    def catch_up(self, now: datetime) -> int:
        """Everything that is due; how many steps it took."""
        steps = 0
        while self.step(now) is not None:
            steps += 1
        return steps

    def billed(self) -> list[Invoice]:
        return list(self.invoices.values())

    def ledger(self) -> dict[str, int]:
        """Debits less credits of each account that is not at zero."""
        return balances(self.entries)


def balances(entries: Sequence[Entry]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for entry in entries:
        assert entry.amount > 0
        assert entry.debit != entry.credit
        sums[entry.debit.partition(":")[0]] += entry.amount
        sums[entry.credit.partition(":")[0]] -= entry.amount
    return {account: amount for account, amount in sums.items() if amount}


def periods(books: Books) -> Iterator[tuple[datetime, datetime]]:
    for invoice in books.invoices.values():
        yield invoice.order.period.start, invoice.order.period.end
