"""A small shop to tell stories in: a merchant, a clock that stands still, and a real simulator.

A story acts through services, moves time with `advance`, and names every event that must follow;
an event it did not name fails it. What was charged is judged by the simulator's own ledger.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import SecretStr

from app.bell import Bell, Silent
from app.clock import Clock, ManualClock
from app.db import payments as payment_rows
from app.domain.calendar import Interval, Unit
from app.domain.dunning_policy import DEFAULT, FinalAction, Policy
from app.domain.payment import Attempt
from app.domain.policy import CancelCredit, When
from app.domain.pricing import PriceModel
from app.ids import new_code, new_id
from app.runtime import Runtime, open_runtime
from app.services import (
    audit,
    changes,
    coupons,
    customers,
    dunning,
    dunning_policies,
    finalizing,
    invoices,
    look_ups,
    merchants,
    payment_actions,
    payment_methods,
    payments,
    plans,
    prices,
    refunds,
    renewals,
    subscriptions,
    tax_rates,
    test_clocks,
    verdicts,
)
from app.services.caller import Caller
from app.services.changes import ChangedItem, ChangeSubscription, PauseSubscription
from app.services.enrolment import CreateSubscription
from app.services.subscriptions import Cancel
from app.services.verdicts import ResolvePayment, Verdict
from app.settings import Settings
from tests.simulator import SimulatorProcess

START: Final = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)
NOISE: Final = frozenset(
    {
        "coupon.created",
        "coupon.redeemed",
        "plan.created",
        "plan.updated",
        "price.created",
        "price.updated",
        "customer.created",
        "customer.updated",
        "payment_method.attached",
    }
)

# What a step of a story tells when all goes well.
STARTED: Final = (
    "subscription.created",
    "invoice.finalized",
    "payment.succeeded",
    "invoice.paid",
    "subscription.activated",
)
RENEWED: Final = ("subscription.renewed", "invoice.finalized", "payment.succeeded", "invoice.paid")
PAID: Final = ("payment.succeeded", "invoice.paid")
DECLINED: Final = ("payment.failed", "invoice.payment_failed")

SETTLE_SECONDS_MAX: Final = 5
SECRET_KEY: Final = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
"""What the secrets of tests are sealed with."""
LEDGER_READ_TO: dict[str, int] = {}
"""How far each simulator's ledger has been read: a world looks at what came after it only."""


@dataclass
class World:
    """One merchant's shop; `seen` counts the events that the story has accounted for."""

    rt: Runtime
    clock: ManualClock
    caller: Caller
    simulator: SimulatorProcess | None = None
    seen: int = 0
    codes: list[str] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        return self.clock.at

    # ── what is sold, and to whom ─────────────────────────────────────────────────────────────────

    async def plan(self, name: str = "Basic", **options: Any) -> UUID:
        self.codes.append(name)
        code = f"{name.lower()}-{len(self.codes)}"
        cmd = plans.CreatePlan(code=code, name=name, **options)
        row = await plans.create(self.rt, self.caller, cmd)
        return row["id"]

    async def price(
        self,
        amount: str | None = "1000",
        currency: str = "EUR",
        *,
        plan: UUID | None = None,
        unit: Unit | None = Unit.MONTH,
        model: PriceModel = PriceModel.PER_UNIT,
        **options: Any,
    ) -> UUID:
        """A price of `amount` minor units a month, unless said otherwise."""
        cmd = prices.CreatePrice(
            plan_id=plan or await self.plan(),
            currency=currency,
            interval_unit=unit,
            model=model,
            unit_amount_decimal=amount,
            **options,
        )
        return (await prices.create(self.rt, self.caller, cmd))["id"]

    async def coupon(self, **options: Any) -> UUID:
        self.codes.append("coupon")
        cmd = coupons.CreateCoupon(code=f"C{len(self.codes)}", name="A coupon", **options)
        return (await coupons.create(self.rt, self.caller, cmd))["id"]

    async def tax_rate(self, percentage: str, *, inclusive: bool = False) -> UUID:
        cmd = tax_rates.CreateTaxRate(
            display_name="VAT", percentage=percentage, inclusive=inclusive
        )
        return (await tax_rates.create(self.rt, self.caller, cmd))["id"]

    async def customer(self, token: str | None = "pm_sim_ok", **options: Any) -> UUID:
        """A customer who pays with `token`; None: with nothing yet."""
        row = await customers.create(self.rt, self.caller, customers.CreateCustomer(**options))
        if token is not None:
            await self.attach(row["id"], token)
        return row["id"]

    async def attach(self, customer: UUID, token: str, *, default: bool = True) -> UUID:
        """Another method of a customer; with a suffix the token behaves like its stem."""
        self.codes.append(token)
        cmd = payment_methods.AttachPaymentMethod(
            customer_id=customer,
            gateway_reference=f"{token}_{len(self.codes)}",
            make_default=default,
        )
        return (await payment_methods.attach(self.rt, self.caller, cmd))["id"]

    async def leave_alone(self) -> None:
        """The merchant's policy is that of stories about something else: nobody is dunned."""
        await self.policy(steps=(), reminders=(), final_action=FinalAction.KEEP, is_default=True)

    async def policy(self, *, terms: Policy = DEFAULT, **options: Any) -> UUID:
        """A dunning policy like `terms`, but for what is said differently."""
        named = ("is_default", "segment", "plan_ids")
        given = {name: options.pop(name) for name in named if name in options}
        made = replace(terms, **options)
        code = f"policy-{new_code().lower()}"
        cmd = dunning_policies.CreateDunningPolicy(code=code, name=code, policy=made, **given)
        return (await dunning_policies.create(self.rt, self.caller, cmd))["id"]

    async def credit(self, customer: UUID, amount: int, currency: str = "EUR") -> None:
        """Grant a customer credit, or take it back."""
        cmd = customers.AdjustBalance(customer, currency, amount)
        await customers.adjust_balance(self.rt, self.caller, cmd)

    # ── what happens ──────────────────────────────────────────────────────────────────────────────

    async def subscribe(
        self, customer: UUID, *prices: UUID | tuple[UUID, int], **options: Any
    ) -> UUID:
        items = [p if isinstance(p, tuple) else (p, 1) for p in prices]
        cmd = CreateSubscription(customer_id=customer, items=items, **options)
        return await subscriptions.create(self.rt, self.caller, cmd)

    async def subscribed(self, amount: str = "1000", **options: Any) -> UUID:
        """A paid subscription at `amount` a month; its events are accounted for."""
        customer = await self.customer(options.pop("token", "pm_sim_ok"))
        sub = await self.subscribe(customer, await self.price(amount), **options)
        await self.told()
        return sub

    async def cancel(
        self,
        sub: UUID,
        *,
        at_period_end: bool = False,
        at: datetime | None = None,
        credit: CancelCredit = CancelCredit.NONE,
    ) -> None:
        when = at or (When.PERIOD_END if at_period_end else When.NOW)
        await subscriptions.cancel(self.rt, self.caller, Cancel(sub, when, credit))

    async def change(self, sub: UUID, *items: ChangedItem, **options: Any) -> None:
        """Change items; with one of them and no id, it is the subscription's first."""
        if len(items) == 1 and items[0].id is None and not options.pop("adds", False):
            [first, *_] = await self.items(sub)
            items = (replace(items[0], id=first["id"]),)
        options.pop("adds", None)
        cmd = ChangeSubscription(sub, items, **options)
        await changes.change(self.rt, self.caller, cmd)

    async def pause(self, sub: UUID, **options: Any) -> None:
        await changes.pause(self.rt, self.caller, PauseSubscription(sub, **options))

    async def resume(self, sub: UUID) -> None:
        await changes.resume(self.rt, self.caller, sub)

    async def items(self, sub: UUID) -> list[Any]:
        """What a subscription is for now, in order."""
        return await self.fetch(
            "SELECT * FROM subscription_items WHERE subscription_id = $1 AND removed_at IS NULL "
            "ORDER BY position",
            sub,
        )

    async def amounts(self, invoice: UUID) -> list[tuple[int, int, int]]:
        """An invoice's lines: amount, discount, tax."""
        keys = ("amount", "discount_amount", "tax_amount")
        return [tuple(row[key] for key in keys) for row in await self.lines(invoice)]

    async def keep(self, sub: UUID) -> None:
        await subscriptions.keep(self.rt, self.caller, sub)

    async def pay(self, invoice: UUID, method: UUID | None = None) -> None:
        await invoices.pay(self.rt, self.caller, invoices.PayInvoice(invoice, method))

    async def pay_outside(self, invoice: UUID) -> None:
        cmd = invoices.PayInvoice(invoice, paid_outside=True)
        await invoices.pay(self.rt, self.caller, cmd)

    async def void(self, invoice: UUID) -> None:
        await invoices.void(self.rt, self.caller, invoice)

    async def write_off(self, invoice: UUID) -> None:
        await invoices.mark_uncollectible(self.rt, self.caller, invoice)

    async def refund(self, payment: UUID, amount: int | None = None) -> UUID:
        return await refunds.create(
            self.rt, self.caller, refunds.CreateRefund(payment, amount, "requested")
        )

    async def speak_as(self, repeating: str) -> None:
        """Let the simulator be another kind of gateway, as far as repeated requests go."""
        async with self.rt.db.begin(self.caller.merchant_id) as tx:
            await tx.run(
                "UPDATE gateway_accounts SET settings = $1",
                orjson.dumps({"options": {"repeating": repeating}}).decode(),
            )

    async def cancel_payment(self, payment: UUID) -> None:
        await payment_actions.cancel(self.rt, self.caller, payment)

    async def resolve(self, payment: UUID, reference: str | None = None) -> None:
        """Say that a stuck payment succeeded as `reference`; without one, that it never was."""
        verdict = Verdict.NOT_EXECUTED if reference is None else Verdict.SUCCEEDED
        cmd = ResolvePayment(payment, verdict, reference)
        await verdicts.resolve(self.rt, self.caller, cmd)

    async def test_clock(self, at: datetime = START) -> UUID:
        return await test_clocks.create(self.rt, self.caller, "A clock", at)

    async def turn(self, test_clock: UUID, to: datetime) -> None:
        """Send a test clock forward, and let the worker take it there."""
        await test_clocks.aim(self.rt, self.caller, test_clock, to)
        await test_clocks.advance_all(self.rt)

    async def advance(
        self,
        *,
        months: int = 0,
        days: int = 0,
        hours: int = 0,
        minutes: int = 0,
        seconds: int = 0,
        to: datetime | None = None,
        expect: Sequence[str] = (),
    ) -> None:
        """Move time, let everything that falls due happen once, and check what it told.

        Months are counted from the start of the story: from 31 January to 28 February to 31 March.
        """
        month, moved = Interval(Unit.MONTH), self.clock.at
        if months:
            moved = month.after(START, month.index(START, self.clock.at) + months)
        self.clock.set(
            to or moved + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        )
        await self.tick()
        await self.expect(*expect)

    async def advance_quietly(self, **time: int) -> None:
        """Move time and let it work, whatever it tells."""
        self.clock.advance(timedelta(**time))
        await self.tick()
        await self.told()

    async def tick(self) -> None:
        """Whatever is due at this instant happens, as the worker would do it."""
        await renewals.renew_due(self.rt)
        await finalizing.finalize_due(self.rt)
        await payments.collect_due(self.rt)
        if (await dunning.look_due(self.rt)).looked:
            await payments.collect_due(self.rt)
        await look_ups.resolve_due(self.rt)
        await refunds.resolve_due(self.rt)

    # ── what came of it ───────────────────────────────────────────────────────────────────────────

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

    async def status(self, sub: UUID) -> str:
        return (await self.subscription(sub))["status"]

    async def invoices(self, subscription: UUID) -> list[Any]:
        return await self.fetch(
            "SELECT * FROM invoices WHERE subscription_id = $1 ORDER BY series_number", subscription
        )

    async def invoice(self, subscription: UUID) -> Any:
        """The latest invoice of a subscription."""
        return (await self.invoices(subscription))[-1]

    async def lines(self, invoice: UUID) -> list[Any]:
        return await self.fetch(
            "SELECT * FROM invoice_lines WHERE invoice_id = $1 ORDER BY position", invoice
        )

    async def payments(self) -> list[Any]:
        return await self.fetch("SELECT * FROM payments ORDER BY id")

    async def attempts(self) -> list[Any]:
        return await self.fetch("SELECT * FROM payment_attempts ORDER BY id")

    async def last_attempt(self) -> Attempt:
        """The latest attempt, as decisions know it."""
        rows = await self.fetch(
            f"SELECT {payment_rows.ATTEMPT_COLUMNS} FROM payment_attempts a ORDER BY a.id DESC"
        )
        return payment_rows.attempt(rows[0])

    async def credit_left(self, customer: UUID) -> int:
        rows = await self.fetch(
            "SELECT balance FROM customer_balances WHERE customer_id = $1", customer
        )
        return sum(row["balance"] for row in rows)

    async def balance(self) -> dict[str, int]:
        """The ledger's accounts: debits less credits, in minor units."""
        rows = await audit.trial_balance(self.rt, self.caller.merchant_id)
        return {row["account"].split(":")[0]: row["balance"] for row in rows if row["balance"]}

    def charges(self) -> list[dict[str, Any]]:
        """The charges in the gateway's own books since this world began, whatever came of them."""
        return [row for row in self.entries() if row["kind"] == "charge"]

    def charged(self) -> list[tuple[int, str]]:
        """What the gateway's own books say was charged since this world began."""
        rows = self._moved()
        return [(r["amount"], r["currency"]) for r in rows if r["kind"] == "charge"]

    def refunded(self) -> list[int]:
        """What the gateway's own books say was given back since this world began."""
        return [row["amount"] for row in self._moved() if row["kind"] == "refund"]

    def _moved(self) -> list[dict[str, Any]]:
        return [row for row in self.entries() if row["status"] == "succeeded"]

    def entries(self) -> list[dict[str, Any]]:
        """All that stands in the gateway's own books since this world began."""
        assert self.simulator is not None
        return ledger_since(self.simulator, LEDGER_READ_TO[self.simulator.url])

    async def gateway_settles(self) -> None:
        """Wait until nothing is pending at the gateway any more, by its own clock."""
        await until(lambda: all(row["status"] != "pending" for row in self.entries()))

    async def gateway_moves(self, times: int) -> None:
        """Wait until money has moved so many times at the gateway since this world began."""
        await until(lambda: len(self._moved()) >= times)

    async def assert_clean(self, *, but: Collection[str] = ()) -> None:
        """The books hold every promise that the audit knows, and the gateway's own agree."""
        found = [finding for finding in await self._exceptions() if finding.name not in but]
        assert not found, found
        if self.simulator is not None and not but:
            await self.assert_gateway_agrees()

    async def broken(self) -> list[str]:
        """The names of the promises that our books do not hold."""
        return [finding.name for finding in await self._exceptions()]

    async def _exceptions(self) -> list[audit.Finding]:
        report = await audit.run(self.rt, self.caller.merchant_id)
        return [finding for finding in report.findings if finding.exceptions]

    async def assert_gateway_agrees(self) -> None:
        """Every unit that moved there is in our books, under its name, once; and no other."""
        there = Counter(
            {row["reference"]: row["amount"] for row in self._moved()}
            if self.simulator is not None
            else {}
        )
        assert len(there) == len(self._moved()), "money moved twice under one reference"
        rows = await self.fetch(
            "SELECT reference, amount FROM payment_attempts WHERE status = 'succeeded'"
            " UNION ALL SELECT reference, amount FROM refunds"
            " WHERE status = 'succeeded' AND destination = 'gateway'"
        )
        assert there == Counter({row["reference"]: row["amount"] for row in rows})


async def until(condition: Callable[[], bool], seconds: float = SETTLE_SECONDS_MAX) -> None:
    """Wait for something that another process does, by its own clock."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        await asyncio.sleep(0.02)


def ledger_since(simulator: SimulatorProcess, after: int) -> list[dict[str, Any]]:
    """The transactions of the simulator's ledger behind `after`, oldest first."""
    rows: list[dict[str, Any]] = []
    while True:
        params = {"after": after, "limit": 1_000}
        page = simulator.request("GET", "/v1/ledger", params=params)["transactions"]
        rows += page["data"]
        if not page["has_more"]:
            return rows
        after = int(page["next_cursor"])


@asynccontextmanager
async def open_world(
    database_url: str,
    simulator: SimulatorProcess | None = None,
    at: datetime = START,
    clock: Clock | None = None,
    bell: Bell | None = None,
    dunned: bool = False,
    **settings: Any,
) -> AsyncIterator[World]:
    """A world on this database, its gateway the given simulator.

    `clock` stands in for the manual one where a test wants time to pass by itself. Nobody is
    dunned in it, unless it is `dunned` as a new merchant's customers are.
    """
    manual = ManualClock(at)
    chosen = Settings(
        database_url=SecretStr(database_url),
        simulator_url=simulator.url if simulator else "http://127.0.0.1:9",
        **{"secret_keys": SecretStr(SECRET_KEY)} | settings,
    )
    if simulator is not None:
        read_to = LEDGER_READ_TO.get(simulator.url, 0)
        fresh = ledger_since(simulator, read_to)
        LEDGER_READ_TO[simulator.url] = fresh[-1]["seq"] if fresh else read_to
    async with open_runtime(chosen, clock=clock or manual, bell=bell or Silent()) as rt:
        opened = await merchants.create(
            rt, merchants.CreateMerchant(name="Shop", default_currency="EUR"), "test"
        )
        caller = Caller(opened.merchant["id"], False, None, frozenset({"*"}), f"req_{new_id()}")
        opened_world = World(rt, manual, caller, simulator)
        if not dunned:
            await opened_world.leave_alone()
        yield opened_world
