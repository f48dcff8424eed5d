"""Lives of subscriptions, drawn at random: created, changed, used, paused and ended in memory."""

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.domain import command, crediting, pausing, signup
from app.domain import policy as policies
from app.domain.billing import Account
from app.domain.calendar import Interval, Unit
from app.domain.crediting import Charged
from app.domain.decision import Decision
from app.domain.discount import Coupon, Discount, Duration, Stacking, redeem
from app.domain.errors import BillingError
from app.domain.explain import Facts
from app.domain.invoice import Invoice, Line
from app.domain.invoicing import Credit
from app.domain.money import Money, Rounding
from app.domain.policy import (
    Basis,
    CancelCredit,
    CouponOnProration,
    FirstPeriod,
    LastDay,
    PauseResume,
    PauseUnused,
    Policy,
    Settlement,
    StubReference,
    When,
)
from app.domain.pricing import SCALE, Price, PriceModel, PriceType, Tier, Timing, Usage
from app.domain.shop import Shop
from app.domain.signup import Create
from app.domain.subscription import Change, ItemChange, Pause, PausedInvoices, Status, Subscription
from app.domain.tax import TaxRounding
from app.domain.using import Used
from tests.domain.books import CUSTOMER, MERCHANT, METHOD, PLAN, START, ids, rate

TIERS = (
    Tier(2, 33_333 * SCALE // 100, 100),
    Tier(5, 20_001 * SCALE // 100),
    Tier(None, SCALE // 3),
)
METER = UUID(int=77)


def _catalogue() -> list[Price]:
    month = Interval(Unit.MONTH)
    common: dict[str, Any] = {
        "plan_id": PLAN,
        "version": 1,
        "currency": "EUR",
        "interval": month,
        "description": "Plan",
    }
    unit = {"unit_amount_scaled": 99_937 * SCALE // 100}
    metered = {"usage": Usage.METERED, "timing": Timing.ARREARS, "meter_id": METER}
    models: list[dict[str, Any]] = [
        {"model": PriceModel.FLAT, **unit},
        {"model": PriceModel.PER_UNIT, **unit},
        {"model": PriceModel.PER_UNIT, "unit_amount_scaled": 1_250 * SCALE, "plan_rank": 2},
        {"model": PriceModel.PACKAGE, "package_size": 3, **unit},
        {"model": PriceModel.GRADUATED, "tiers": TIERS},
        {"model": PriceModel.VOLUME, "tiers": TIERS, "setup_fee_minor": 777},
        {
            "model": PriceModel.STAIRSTEP,
            "tiers": (Tier(3, 0, 1_999), Tier(None, 0, 4_001)),
            "trial_days": 5,
            "trial_amount_minor": 101,
        },
        {"model": PriceModel.PER_UNIT, "timing": Timing.ARREARS, **unit},
        {"model": PriceModel.GRADUATED, "tiers": TIERS, **metered},
        {
            "model": PriceModel.PERCENTAGE,
            "percentage_ppm": 12_345,
            "event_amount_minor": 7,
            "free_events": 1,
            "free_amount_minor": 100,
            **metered,
        },
    ]
    return [Price(id=UUID(int=500 + n), **(common | m)) for n, m in enumerate(models)]


CATALOGUE = _catalogue()
ONE_TIME = Price(
    id=UUID(int=600),
    plan_id=PLAN,
    version=1,
    currency="EUR",
    interval=None,
    type=PriceType.ONE_TIME,
    model=PriceModel.PER_UNIT,
    unit_amount_scaled=333_333 * SCALE // 1000,
    description="Once",
)
RATES = [rate(190_000), rate(88_750), rate(70_000, inclusive=True)]


def draw_policy(draw: random.Random) -> Policy:
    """Any settings of the dials that have a say in amounts."""
    chosen: dict[str, Any] = {
        "rounding": draw.choice(list(Rounding)),
        "proration_basis": draw.choice(list(Basis)),
        "proration_stub_reference": draw.choice(list(StubReference)),
        "proration_last_day": draw.choice(list(LastDay)),
        "first_period": draw.choice(list(FirstPeriod)),
        "pause_unused": draw.choice(list(PauseUnused)),
        "pause_resume": draw.choice(list(PauseResume)),
        "coupon_stacking": draw.choice(list(Stacking)),
        "coupon_on_proration": draw.choice(list(CouponOnProration)),
        "tax_rounding": draw.choice(list(TaxRounding)),
        "settlement": draw.choice(list(Settlement)),
        "invoice_grace_days": draw.choice([0, 0, 3]),
    }
    names = draw.sample(sorted(chosen), draw.randrange(len(chosen)))
    return replace(policies.DEFAULT, **{name: chosen[name] for name in names})


def draw_discounts(draw: random.Random, new_id: Any) -> tuple[Discount, ...]:
    options: list[dict[str, Any]] = [
        {"percent_off_ppm": draw.randrange(1, 1_000_001)},
        {"percent_off_ppm": 333_333, "price_ids": frozenset({CATALOGUE[1].id})},
        {"amount_off": Money(draw.randrange(1, 3_000), "EUR")},
        {"fixed_price": Money(draw.randrange(500), "EUR")},
        {"percent_off_ppm": 100_000, "minimum_amounts": {"EUR": 1_500}},
    ]
    found = []
    for option in draw.sample(options, draw.choice([0, 0, 1, 2, 3])):
        duration = draw.choice(list(Duration))
        periods = draw.randrange(1, 4) if duration is Duration.REPEATING else None
        coupon = Coupon(
            id=new_id(), name="Off", duration=duration, duration_periods=periods, **option
        )
        found.append(redeem(coupon, new_id()))
    return tuple(found)


def draw_create(draw: random.Random, policy: Policy, new_id: Any, now: datetime) -> Create:
    prices = draw.sample(CATALOGUE, draw.randrange(1, 4))
    anchor = now + timedelta(days=draw.randrange(1, 28)) if draw.random() < 0.3 else None
    return Create(
        merchant_id=MERCHANT,
        customer_id=CUSTOMER,
        items=[(price, draw.randrange(9)) for price in prices],
        zone=draw.choice(["UTC", "Europe/Berlin", "America/New_York"]),
        discounts=draw_discounts(draw, new_id),
        rates=tuple(draw.sample(RATES, draw.randrange(3))),
        trial_days=draw.choice([None, 0, 0, 9]) if anchor is None else 0,
        one_offs=[(ONE_TIME, draw.randrange(1, 4))] if draw.random() < 0.2 else (),
        anchor=anchor,
        cancel_at_period_end=draw.random() < 0.05,
        policy=policy,
        wait_for_payment=draw.random() < 0.5,
    )


@dataclass
class Life:
    """A shop with one subscription in it, and the dice that say what happens to it."""

    draw: random.Random
    shop: Shop
    about: UUID
    now: datetime
    given: dict[UUID, Discount]

    @classmethod
    def begin(cls, seed: int, lead: timedelta | None = None) -> "Life":
        """A life from a seed; with a `lead` its periods are billed so long before they begin."""
        draw, new_id = random.Random(seed), ids()
        policy = draw_policy(draw)
        shop = Shop(MERCHANT, policy, new_id)
        shop.credit[CUSTOMER, "EUR"] = draw.choice([0, 0, 2_500])
        now = START + timedelta(hours=draw.randrange(5_000))
        wanted = draw_create(draw, policy, new_id, now)
        decision = signup.create(wanted, shop.balance(CUSTOMER, "EUR"), METHOD, now, new_id)
        [sub] = decision.subscriptions
        account = Account(sub, shop.balance(CUSTOMER, "EUR"), METHOD, policy=policy)
        shop.subscribe(account, decision, now)
        if lead is not None:
            shop.lead_by({sub.id: lead})
        shop.run(now, 100)
        return cls(draw, shop, sub.id, now, {d.id: d for d in wanted.discounts})

    @property
    def sub(self) -> Subscription:
        return self.shop.subscriptions[self.about]

    def go_on(self, hours: int = 900) -> None:
        """Some time passes, with some usage in it."""
        self.now += timedelta(hours=self.draw.randrange(1, hours))
        for item in self.sub.items:
            if item.price.usage is Usage.METERED and self.draw.random() < 0.7:
                used = Used(self.shop.next_at() or self.now, self.draw.randrange(400), 2)
                self.shop.used.setdefault(item.id, []).append(
                    replace(used, at=self.now - timedelta(seconds=1))
                )
        self.shop.run(self.now, 1_000)
        assert not self.shop.parked, self.shop.parked

    def wish(self) -> Decision | None:
        """Something that is asked of the subscription now; None where it is refused."""
        account = self.shop.account(self.about, self.now)
        with suppress(BillingError):
            return self._wish(account)
        return None

    def _wish(self, account: Account) -> Decision:
        draw, now, new_id = self.draw, self.now, self.shop.new_id
        match draw.randrange(10):
            case 0:
                credit = draw.choice(list(CancelCredit))
                when = draw.choice([When.NOW, When.PERIOD_END])
                return command.cancel(account, when, credit, now, new_id)
            case 1 if self.sub.status is not Status.TRIALING:
                wanted = Pause(now, draw.choice(list(PausedInvoices)))
                when = draw.choice([When.NOW, When.PERIOD_END])
                return command.pause(account, wanted, when, None, now, new_id)
            case 2:
                return pausing.resume(account, now, now, new_id)
            case _:
                return command.change(account, self._change(), self._when(), now, new_id)

    def _when(self) -> When | datetime | None:
        later = self.now + timedelta(days=self.draw.randrange(1, 40))
        return self.draw.choice([None, When.NOW, When.NOW, When.PERIOD_END, later])

    def _change(self) -> Change:
        draw, item = self.draw, self.draw.choice(self.sub.items)
        has = {each.price.id for each in self.sub.items}
        free = [price for price in CATALOGUE if price.id not in has]
        parts = [
            ItemChange(
                item_id=item.id,
                price=draw.choice(free) if draw.random() < 0.6 else None,
                quantity=draw.randrange(9),
            )
        ]
        if draw.random() < 0.2:
            parts.append(ItemChange(price=draw.choice(free), quantity=draw.randrange(1, 5)))
        return Change(items=tuple(parts), settlement=draw.choice([None, *Settlement]))

    def act(self) -> None:
        """Something is asked, and done where it is not refused."""
        decision = self.wish()
        if decision is not None:
            self.shop.record(decision, self.now)
            self.shop.run(self.now, 1_000)


def facts(life: Life) -> Iterator[Facts]:
    """What every line of a life was made from."""
    prices = {price.id: price for price in [*CATALOGUE, ONE_TIME]}
    charged: dict[UUID, Charged] = {}
    for invoice in life.shop.invoices.values():
        given = tuple(life.given.values())
        for line in invoice.lines:
            charge = line.charge
            back = charge.reverses_line_id
            yield Facts(
                invoice,
                line,
                life.sub.zone,
                prices.get(charge.price_id) if charge.price_id else None,
                given,
                _events(life, line),
                None,
                charged.get(back) if back else None,
            )
            if back is not None:
                credit = Credit(charge, line.discounts, line.taxes)
                charged[back] = crediting.returned_after(charged[back], credit)
            charged[line.id] = Charged(line, invoice.id, charge.period.end)


def _events(life: Life, line: Line) -> int | None:
    charge = line.charge
    if charge.item_id is None:
        return None
    spans = life.shop.used.get(charge.item_id, [])
    return sum(used.events for used in spans if used.at in charge.period)


def amounts(invoice: Invoice) -> tuple[Any, ...]:
    """An invoice without the names that differ each time it is made."""
    return (
        invoice.order.reason,
        invoice.order.period,
        invoice.total,
        invoice.tax_total,
        invoice.discount_total,
        invoice.balance_applied,
        invoice.amount_due,
        invoice.due_at,
        tuple(
            (
                line.charge.kind,
                line.charge.price_id,
                line.charge.quantity,
                line.charge.period,
                line.charge.amount,
                tuple((part.discount_id, part.amount) for part in line.discounts),
                tuple((part.rate, part.taxable, part.amount) for part in line.taxes),
            )
            for line in invoice.lines
        ),
    )
