"""Random operations on the real service, with a second reckoning beside it; in the end all agrees.

`MODEL_OPERATIONS` says how many (300 in the ordinary suite, 100,000 in a campaign), `MODEL_SEED`
which life it is. Merchants share one database, one clock and one gateway; operations on several
subscriptions run at once, beside two clocks and the collection of payments. What was paid, by hand
and by card, is reckoned by `received.py`.
"""

# ruff: noqa: T201  a campaign says how far it is

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import pytest

from app.domain.calendar import Unit
from app.domain.discount import Duration
from app.domain.errors import BillingError
from app.domain.policy import CancelCredit, PauseUnused
from app.domain.pricing import Timing
from app.domain.subscription import PausedInvoices
from app.ids import new_id
from app.services import finalizing, merchants, payments, renewals
from app.services.caller import Caller
from tests.campaigns.modelled import Modelled, Offer, seconds
from tests.campaigns.received import Till
from tests.campaigns.test_crashes import recover
from tests.campaigns.test_random_lives import FAULTS, TOKENS
from tests.fair import Rules, boundary
from tests.simulator import SimulatorProcess
from tests.world import World

CAMPAIGN = int(os.environ.get("MODEL_OPERATIONS", "100000"))
SEED = int(os.environ.get("MODEL_SEED", "1"))
MERCHANTS, CUSTOMERS, AT_ONCE = 3, 5, 4
LIVE_MAX = 60
"""Subscriptions that are modelled at one time; the oldest end before new ones come."""
AUDIT_EVERY, TELL_EVERY = 2_000, 1_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia")
UNITS = (Unit.WEEK, Unit.MONTH)


class Shop:
    """Several merchants at one clock, with what is on offer and who lives there."""

    def __init__(self, world: World, simulator: SimulatorProcess, seed: int) -> None:
        self.worlds, self.simulator, self.random = [world], simulator, Random(seed)
        self.offers: dict[UUID, list[Offer]] = {}
        self.customers: dict[UUID, list[tuple[UUID, str]]] = {}
        self.rates: dict[UUID, list[UUID]] = {}
        self.coupons: dict[UUID, list[tuple[UUID, Fraction]]] = {}
        self.live: list[Modelled] = []
        self.told: Counter[str] = Counter()
        self.till = Till(self.random)

    @property
    def now(self) -> Any:
        return self.worlds[0].now

    async def open(self) -> None:
        first = self.worlds[0]
        for _ in range(MERCHANTS - 1):
            cmd = merchants.CreateMerchant(name="Shop", default_currency="EUR")
            opened = await merchants.create(first.rt, cmd, "test")
            everything = frozenset({"*"})
            caller = Caller(opened.merchant["id"], False, None, everything, f"req_{new_id()}")
            self.worlds.append(replace(first, caller=caller, seen=0, codes=[]))
        for world in self.worlds:
            await self._furnish(world)

    async def _furnish(self, world: World) -> None:
        key = world.caller.merchant_id
        self.offers[key], self.customers[key] = [], []
        for unit in UNITS:
            for minor, is_arrears, fee in (
                *((1000, False, 0), (333, False, 0), (99_999, False, 700), (7, False, 0)),
                *((4999, True, 0), (250_000, False, 0)),
            ):
                timing = Timing.ARREARS if is_arrears else Timing.ADVANCE
                price = await world.price(str(minor), unit=unit, timing=timing, setup_fee=fee)
                self.offers[key].append(Offer(price, unit.value, minor, is_arrears, fee))
        for place in range(CUSTOMERS):
            zone = ZONES[place % len(ZONES)]
            customer = await world.customer(TOKENS[place % len(TOKENS)], time_zone=zone)
            self.customers[key].append((customer, zone))
        self.rates[key] = [await world.tax_rate("19"), await world.tax_rate("7", inclusive=True)]
        self.coupons[key] = [
            (
                await world.coupon(percent_off=percent, duration=Duration.FOREVER),
                Fraction(percent) / 100,
            )
            for percent in ("33.3", "50", "100")
        ]

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # ── what may happen to a subscription ─────────────────────────────────────────────────────────

    async def subscribe(self) -> None:
        pick, chance = self.random.choice, self.chance
        world = pick(self.worlds)
        key = world.caller.merchant_id
        customer, zone = pick(self.customers[key])
        unit = pick(UNITS).value
        offers = [offer for offer in self.offers[key] if offer.unit == unit]
        items = [
            (offer, self.random.randint(0, 5))
            for offer in self.random.sample(offers, pick((1, 1, 2, 3)))
        ]
        settings: dict[str, str] = {
            name: pick(values)
            for name, values in (
                ("rounding", ("half_away", "half_even")),
                ("proration_basis", ("second", "day", "none")),
                ("proration_stub_reference", ("aligned_period", "from_start", "fixed_30")),
                ("proration_last_day", ("not_billed", "billed")),
                ("first_period", ("prorated", "full", "free")),
                ("pause_resume", ("new_period", "stub")),
                ("tax_rounding", ("per_invoice", "per_line")),
            )
            if chance(0.3)
        }
        rules = Rules(
            zone,
            unit,
            1,
            settings.get("proration_basis", "second"),
            settings.get("proration_stub_reference", "aligned_period"),
            settings.get("proration_last_day", "not_billed"),
            settings.get("first_period", "prorated"),
            settings.get("pause_resume", "new_period"),
        )
        start = self.now
        if chance(0.3):
            start += seconds(self.random, timedelta(days=20)) * pick((1, -1))
        trial_end = start + seconds(self.random, timedelta(days=14)) if chance(0.2) else None
        if trial_end is not None and trial_end <= self.now:
            trial_end = None
        anchor = trial_end or start
        options: dict[str, Any] = {"start_at": start, "billing_settings": settings}
        if trial_end is not None:
            options["trial_end"] = trial_end
        if chance(0.25):
            anchor += seconds(self.random, boundary(rules, anchor, 1) - anchor)
            options["billing_anchor"] = anchor
        percent = Fraction(0)
        if chance(0.4):
            coupon, percent = pick(self.coupons[key])
            options["coupon_ids"] = [coupon]
        if chance(0.4):
            options["tax_rate_ids"] = [pick(self.rates[key])]
        cycles = self.random.randint(1, 6) if chance(0.1) else None
        sub = await world.subscribe(
            customer, *((offer.id, n) for offer, n in items), cycles=cycles, **options
        )
        priced: dict[object, Any] = {place: offer.of(n) for place, (offer, n) in enumerate(items)}
        fair = self._fair(rules, priced, anchor, percent, cycles)
        modelled = Modelled(world, sub, fair, unit, start, trial_end)
        modelled.say(f"subscribe {items} {options} {cycles=}")
        self.live.append(modelled)

    @staticmethod
    def _fair(rules: Rules, items: Any, anchor: Any, percent: Fraction, cycles: int | None) -> Any:
        from tests.fair import Fair

        return Fair(rules, items, anchor, percent_off=percent, cycles=cycles)

    async def act(self, of: Modelled) -> None:
        """One thing is done to it, if it may be; what is refused has changed nothing."""
        of.advance()
        pick, state = self.random.choice, of.fair.state
        status = await of.world.status(of.id)
        if state == "running" and status != "incomplete":
            act = pick((*[self.change] * 5, self.plan, self.pause, self.cancel_later, self.keep))
            await (self.cancel(of) if self.chance(0.1) else act(of))
        elif state == "paused":
            await pick((of.resume, of.resume, of.cancel_later))()
        elif state == "trial":
            await self.change(of)

    def _offer(self, of: Modelled) -> Offer:
        offers = self.offers[of.world.caller.merchant_id]
        return self.random.choice([offer for offer in offers if offer.unit == of.unit])

    async def change(self, of: Modelled) -> None:
        count, offer = len(of.fair.items), self._offer(of)
        place = self.random.randrange(count + (count < 4))
        settlement = self.random.choice(
            ("invoice_now", "invoice_now", "next_invoice", "reset", "reset_without_credit", "none")
        )
        removes = place < count and count > 1 and of.fair.planned is None and self.chance(0.15)
        arrears = offer.is_arrears or any(item.is_arrears for item in of.fair.items.values())
        if settlement == "none" and arrears:
            settlement = "invoice_now"
        began = any(stretch.start == self.now for stretch in of.fair.stretches)
        if settlement == "reset_without_credit" and (began or of.has_waited):
            settlement = "reset"
        if settlement.startswith("reset") and of.fair.planned is not None:
            settlement = "invoice_now"
        await of.change(place, None if removes else offer, self.random.randint(0, 5), settlement)

    async def plan(self, of: Modelled) -> None:
        await of.plan(self.random.randrange(4), self._offer(of), self.random.randint(0, 4))

    async def pause(self, of: Modelled) -> None:
        if of.fair.planned is None and of.fair.period and of.fair.period[0] < self.now:
            modes = (*[PausedInvoices.NONE] * 3, PausedInvoices.KEEP)
            await of.pause(self.random.choice(tuple(PauseUnused)), self.random.choice(modes))

    async def cancel_later(self, of: Modelled) -> None:
        await of.cancel_later()

    async def keep(self, of: Modelled) -> None:
        await of.keep()

    async def cancel(self, of: Modelled) -> None:
        credit = self.random.choice((*[CancelCredit.PRORATED] * 3, *CancelCredit))
        if of.has_waited and credit is CancelCredit.FULL:
            credit = CancelCredit.PRORATED
        await of.cancel(credit)

    # ── what else may happen ──────────────────────────────────────────────────────────────────────

    async def money(self) -> None:
        """Something about payments, credit or the weather."""
        world, random = self.random.choice(self.worlds), self.random
        customer, _ = random.choice(self.customers[world.caller.merchant_id])
        chosen = random.randrange(6)
        if chosen == 0:
            await world.attach(customer, random.choice(TOKENS))
        elif chosen == 1:
            await world.credit(customer, random.choice((-400, 99, 1500, 90_000)))
        elif chosen == 2:
            kinds = random.sample(FAULTS, random.randint(0, 2))
            faults = ({"kind": kind, "probability": 0.4} for kind in kinds)
            self.simulator.set_faults(*faults, seed=random.randrange(10**6))
        elif chosen == 3:
            await self._with_some(
                world,
                "payments",
                lambda payment: world.refund(payment, random.choice((None, 1, 777))),
            )
        else:
            wholly = partial(self.till.receive_all, world)
            act = random.choice((world.pay, world.pay, wholly, world.write_off))
            await self._with_some(world, "invoices", act)

    async def pay_in_parts(self) -> None:
        """Money comes by hand, or a part by card; or what came by hand bounces."""
        world, till = self.random.choice(self.worlds), self.till
        receive, charge = partial(till.receive, world), partial(till.charge_part, world)
        await self.random.choice((receive, receive, receive, charge, till.reverse))()

    async def _with_some(
        self, world: World, table: str, act: Callable[[UUID], Awaitable[Any]]
    ) -> None:
        rows = await world.fetch(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 50")
        if rows:
            await act(self.random.choice(rows)["id"])

    async def pass_time(self) -> None:
        step = timedelta(minutes=self.random.choice((1, 10, 300, 1440, 4000)))
        self.worlds[0].clock.advance(step)
        await self.work()

    async def work(self) -> None:
        """Whatever is due, by two clocks at once and whoever else works."""
        rt = self.worlds[0].rt
        await asyncio.gather(
            renewals.renew_due(rt),
            renewals.renew_due(rt),
            finalizing.finalize_due(rt),
            payments.collect_due(rt),
        )
        await self.worlds[0].tick()

    # ── how long ──────────────────────────────────────────────────────────────────────────────────

    async def try_(self, name: str, work: Awaitable[Any]) -> None:
        self.told["operations"] += 1
        try:
            await work
        except BillingError as error:
            self.told["refused"] += 1
            self.told[f"refused: {error.code}"] += 1
        else:
            self.told[name] += 1

    async def round_(self) -> None:
        """A few operations at once, each on its own subscription; then they are compared."""
        if len(self.live) < LIVE_MAX and self.chance(0.5):
            await self.try_("subscribed", self.subscribe())
        chosen = self.random.sample(self.live, min(len(self.live), AT_ONCE))
        works = [self.try_("acted", self.act(of)) for of in chosen]
        if self.chance(0.4):
            works.append(self.try_("money", self.money()))
        if self.chance(0.7):
            works.append(self.try_("in parts", self.pay_in_parts()))
        await asyncio.gather(*works)
        await renewals.renew_due(self.worlds[0].rt)
        for of in chosen:
            await self.compare(of)
        if self.chance(0.4):
            await self.try_("time", self.pass_time())

    async def compare(self, of: Modelled) -> None:
        self.told["compared"] += 1
        if not await of.agrees():
            self.live.remove(of)
            self.told["left the model"] += 1
        elif of.fair.state == "ended":
            self.live.remove(of)
            self.told["ended in agreement"] += 1

    async def end(self) -> None:
        self.simulator.clear_faults()
        for world in self.worlds:
            await recover(world)
        for of in list(self.live):
            await self.compare(of)
        await self.audit()
        await agree_with_the_gateway(self)

    async def audit(self) -> None:
        for world in self.worlds:
            await world.assert_clean(but=("nothing_overdue", "nothing_awaits_review"))
            await self.till.agree(world)


async def agree_with_the_gateway(shop: Shop) -> None:
    """Every unit that moved there is in the books of one merchant, once; and no other."""
    there = {row["reference"]: row["amount"] for row in shop.worlds[0]._moved()}
    here: dict[str, int] = {}
    for world in shop.worlds:
        rows = await world.fetch(
            "SELECT reference, amount FROM payment_attempts WHERE status = 'succeeded'"
            " UNION ALL SELECT reference, amount FROM refunds WHERE status = 'succeeded'"
        )
        here |= {row["reference"]: row["amount"] for row in rows}
    assert there == here


async def live(world: World, simulator: SimulatorProcess, seed: int, operations: int) -> Shop:
    shop, began, audited, told = Shop(world, simulator, seed), time.monotonic(), 0, 0
    await shop.open()
    while shop.told["operations"] < operations:
        await shop.round_()
        done = shop.told["operations"]
        if done - audited >= AUDIT_EVERY:
            audited = done
            await shop.audit()
        if done - told >= TELL_EVERY:
            told = done
            speed = done / (time.monotonic() - began)
            print(f"{done:,} operations, {speed:.0f} a second, {dict(shop.told)}", flush=True)
    await shop.end()
    shop.told |= Counter(parts=shop.till.parts, reversed=shop.till.reversed)
    return shop


@pytest.mark.timeout(300)
async def test_a_shop_is_billed_as_the_model_says(
    world: World, simulator: SimulatorProcess
) -> None:
    shop = await live(world, simulator, seed=7, operations=300)
    assert shop.told["compared"] > 100


@pytest.mark.campaign
@pytest.mark.timeout(6 * 3600)
async def test_many_operations_are_billed_as_the_model_says(
    world: World, simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        shop = await live(world, simulator, SEED, CAMPAIGN)
        print(f"\nmodel: {dict(shop.told)}")
