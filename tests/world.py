"""A small shop to tell stories in: a merchant, a clock that stands still, and a real simulator.

A story acts through services, moves time with `advance`, and names every event that must follow;
an event it did not name fails it. What was charged is judged by the simulator's own ledger.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr

from app.bell import Silent
from app.clock import ManualClock
from app.domain.calendar import Interval, Unit
from app.domain.pricing import PriceModel
from app.ids import new_id
from app.runtime import Runtime, open_runtime
from app.services import (
    audit,
    catalog,
    customers,
    merchants,
    payment_methods,
    payments,
    refunds,
    renewals,
    subscriptions,
)
from app.services.caller import Caller
from app.settings import Settings

START: Final = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
NOISE: Final = frozenset({"customer.created", "customer.updated", "payment_method.attached"})


@dataclass
class World:
    """One merchant's shop; `seen` counts the events that the story has accounted for."""

    rt: Runtime
    clock: ManualClock
    caller: Caller
    simulator: Any = None
    seen: int = 0
    codes: list[str] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.clock.at

    async def plan(self, name: str = "Basic", **options: Any) -> UUID:
        self.codes.append(name)
        code = f"{name.lower()}-{len(self.codes)}"
        row = await catalog.create_plan(
            self.rt, self.caller, catalog.CreatePlan(code=code, name=name, **options)
        )
        return row["id"]

    async def price(
        self,
        amount: str | None = "1000",
        currency: str = "EUR",
        *,
        plan: UUID | None = None,
        unit: Unit = Unit.MONTH,
        model: PriceModel = PriceModel.PER_UNIT,
        **options: Any,
    ) -> UUID:
        """A price of `amount` minor units a month, unless said otherwise."""
        cmd = catalog.CreatePrice(
            plan_id=plan or await self.plan(),
            currency=currency,
            interval_unit=unit,
            model=model,
            unit_amount_decimal=amount,
            **options,
        )
        return (await catalog.create_price(self.rt, self.caller, cmd))["id"]

    async def coupon(self, **options: Any) -> UUID:
        self.codes.append("coupon")
        cmd = catalog.CreateCoupon(code=f"C{len(self.codes)}", name="A coupon", **options)
        return (await catalog.create_coupon(self.rt, self.caller, cmd))["id"]

    async def tax_rate(self, percentage: str, *, inclusive: bool = False) -> UUID:
        cmd = catalog.CreateTaxRate(display_name="VAT", percentage=percentage, inclusive=inclusive)
        return (await catalog.create_tax_rate(self.rt, self.caller, cmd))["id"]

    async def customer(self, token: str | None = "pm_sim_ok", **options: Any) -> UUID:
        """A customer who pays with `token`; None: with nothing yet."""
        row = await customers.create(self.rt, self.caller, customers.CreateCustomer(**options))
        if token is not None:
            await self.attach(row["id"], token)
        return row["id"]

    async def attach(self, customer: UUID, token: str) -> UUID:
        cmd = payment_methods.AttachPaymentMethod(
            customer_id=customer, gateway_reference=token, make_default=True
        )
        return (await payment_methods.attach(self.rt, self.caller, cmd))["id"]

    async def subscribe(
        self, customer: UUID, *prices: UUID | tuple[UUID, int], **options: Any
    ) -> UUID:
        items = [p if isinstance(p, tuple) else (p, 1) for p in prices]
        cmd = subscriptions.CreateSubscription(customer_id=customer, items=items, **options)
        return await subscriptions.create(self.rt, self.caller, cmd)

    async def advance(
        self,
        *,
        months: int = 0,
        days: int = 0,
        hours: int = 0,
        to: datetime | None = None,
        expect: Sequence[str] = (),
    ) -> None:
        """Move time, let everything that falls due happen once, and check what it told."""
        moved = Interval(Unit.MONTH).after(self.clock.at, months) if months else self.clock.at
        self.clock.set(to or moved + timedelta(days=days, hours=hours))
        await self.tick()
        await self.expect(*expect)

    async def tick(self) -> None:
        """Whatever is due at this instant happens, as the worker would do it."""
        await renewals.renew_due(self.rt)
        await payments.collect_due(self.rt)
        await payments.resolve_due(self.rt)
        await refunds.resolve_due(self.rt)

    async def expect(self, *types: str) -> None:
        """These events, and no others, were told since the last look (in any order)."""
        told = await self.told()
        assert Counter(told) == Counter(types), f"told {told}, expected {list(types)}"

    async def told(self) -> list[str]:
        """The events since the last look, oldest first, but for customers' own."""
        rows = await self.fetch("SELECT type FROM events ORDER BY id")
        types = [row["type"] for row in rows if row["type"] not in NOISE]
        fresh, self.seen = types[self.seen :], len(types)
        return fresh

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        """Rows of this merchant, as the application's own role sees them."""
        async with self.rt.db.begin(self.caller.merchant_id) as tx:
            return await tx.fetch(sql, *args)

    async def subscription(self, id: UUID) -> Any:
        [row] = await self.fetch("SELECT * FROM subscriptions WHERE id = $1", id)
        return row

    async def invoices(self, subscription: UUID) -> list[Any]:
        return await self.fetch(
            "SELECT * FROM invoices WHERE subscription_id = $1 ORDER BY series_number", subscription
        )

    async def payments(self) -> list[Any]:
        return await self.fetch("SELECT * FROM payments ORDER BY id")

    async def balance(self) -> dict[str, int]:
        """The ledger's accounts: debits less credits, in minor units."""
        rows = await audit.trial_balance(self.rt, self.caller.merchant_id)
        return {row["account"].split(":")[0]: row["balance"] for row in rows if row["balance"]}

    async def assert_clean(self) -> None:
        """The books hold every promise that the audit knows."""
        report = await audit.run(self.rt, self.caller.merchant_id)
        assert report.is_clean, [f for f in report.findings if f.exceptions]


@asynccontextmanager
async def open_world(
    database_url: str, simulator: Any = None, at: datetime = START, **settings: Any
) -> AsyncIterator[World]:
    """A world on this database, its gateway the given simulator."""
    clock = ManualClock(at)
    chosen = Settings(
        database_url=SecretStr(database_url),
        simulator_url=simulator.url if simulator else "http://127.0.0.1:9",
        **settings,
    )
    async with open_runtime(chosen, clock=clock, bell=Silent()) as rt:
        opened = await merchants.create(
            rt, merchants.CreateMerchant(name="Shop", default_currency="EUR"), "test"
        )
        caller = Caller(opened.merchant["id"], False, None, frozenset({"*"}), f"req_{new_id()}")
        yield World(rt, clock, caller, simulator)
