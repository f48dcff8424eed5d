"""An invented shop, told to the service over its public HTTP API: who signs up, pays, forgets to
pay, cancels. Everything is drawn from one seed, so every run tells the same story.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random
from typing import Any

import httpx

SEED = 2026
OPENING = datetime(2025, 1, 1, 9, tzinfo=UTC)
REQUESTS_AT_ONCE = 8
POLL_SECONDS = 0.25
ADVANCE_SECONDS_MAX = 300
LATE_JOINERS = 4
"""Customers who sign up on the last day, and have not confirmed the payment with their bank yet."""

PLANS = {"Basic": 900, "Medium": 2900, "Platinum": 9900}
"""A month's price in minor units, the same figure in euros and in dollars; a year costs ten."""
MONTHS_CHARGED_A_YEAR = 10
TRIAL = ("Medium", "month")
TRIAL_DAYS = 14
FIRST = "Ada Alan Anna Ben Carla Dora Emil Finn Grace Hugo Ida Jan Karl Lea Max Nora Otto Paula"
LAST = (
    "Abel Blum Castro Dumas Engel Fischer Gauss Hopper Ibsen Jansen Klein Lovelace Moreau Noether"
)
CITIES = {"DE": ("Berlin", "Europe/Berlin"), "FR": ("Lyon", "Europe/Paris")}
AMERICA = ("New York", "America/New_York")

Json = dict[str, Any]
Progress = Callable[[datetime], None]


@dataclass(frozen=True)
class Person:
    """One customer to be: who, on which price, when, and how the card behaves."""

    number: int
    name: str
    country: str
    plan: str
    interval: str
    quantity: int
    month: int
    start_after: timedelta | None
    token: str
    coupon: bool

    @property
    def currency(self) -> str:
        return "USD" if self.country == "US" else "EUR"


@dataclass
class Subscriber:
    """A customer who has signed up."""

    person: Person
    customer: str
    subscription: str
    broken: bool = False
    gone: bool = False


@dataclass
class Api:
    """The HTTP API with a key; every answer that is not a success ends the demo with its reason."""

    client: httpx.AsyncClient

    async def post(self, path: str, body: Json | None = None, *, may_fail: bool = False) -> Json:
        answer = await self.client.post(path, json=body or {})
        return self._checked(answer, may_fail)

    async def get(self, path: str, **query: Any) -> Json:
        return self._checked(await self.client.get(path, params=query), may_fail=False)

    async def all(self, path: str, **query: Any) -> AsyncIterator[Json]:
        """Every object of a list, page by page."""
        page = await self.get(path, limit=100, **query)
        while True:
            for one in page["data"]:
                yield one
            if not page["has_more"]:
                return
            page = await self.get(path, limit=100, cursor=page["next_cursor"], **query)

    @staticmethod
    def _checked(answer: httpx.Response, may_fail: bool) -> Json:
        if answer.is_error and not (may_fail and answer.status_code in (402, 409)):
            request = answer.request
            raise RuntimeError(f"{request.method} {request.url.path}: {answer.text}")
        found: Json = answer.json()
        return found


@dataclass
class Shop:
    """The shop while it runs: its catalogue, its customers, its clock, and its revenue by month."""

    api: Api
    people: list[Person]
    months: int
    prices: dict[tuple[str, str, str], str] = field(default_factory=dict)
    amounts: dict[str, tuple[str, Fraction]] = field(default_factory=dict)
    taxes: dict[str, str] = field(default_factory=dict)
    coupon: str = ""
    clock: str = ""
    at: datetime = OPENING
    subscribers: list[Subscriber] = field(default_factory=list)
    mrr: list[tuple[datetime, dict[str, int]]] = field(default_factory=list)
    dice: Random = field(default_factory=lambda: Random(SEED + 1))

    async def open(self) -> None:
        """The catalogue, and a clock of its own."""
        self.clock = (
            await self.api.post(
                "/v1/test_clocks", {"name": "The demo's year", "frozen_at": self.at.isoformat()}
            )
        )["id"]
        for rank, (name, monthly) in enumerate(PLANS.items()):
            plan = await self.api.post(
                "/v1/plans", {"code": name.lower(), "name": name, "rank": rank}
            )
            for currency in ("EUR", "USD"):
                await self._price(plan["id"], name, "month", currency, monthly)
                yearly = monthly * MONTHS_CHARGED_A_YEAR
                await self._price(plan["id"], name, "year", currency, yearly)
        for country, percentage, inclusive in (
            ("DE", "19", False),
            ("FR", "20", True),
            ("US", "8.875", False),
        ):
            name = f"{'Sales tax' if country == 'US' else 'VAT'} {percentage} %"
            body = {"display_name": name, "percentage": percentage, "inclusive": inclusive}
            rate = await self.api.post("/v1/tax_rates", body | {"country": country})
            self.taxes[country] = rate["id"]
        body = {"code": "WELCOME25", "name": "25 % off three times", "percent_off": "25"}
        body |= {"duration": "repeating", "duration_in_periods": 3}
        self.coupon = (await self.api.post("/v1/coupons", body))["id"]
        steps = [{"days": days} for days in (3, 10, 35, 65)]  # people mend their cards in months
        body = {"code": "patient", "name": "Patient", "steps": steps, "is_default": True}
        await self.api.post("/v1/dunning_policies", body)

    async def _price(self, plan: str, name: str, interval: str, currency: str, amount: int) -> None:
        body: Json = {"plan_id": plan, "currency": currency, "interval": interval}
        body |= {"unit_amount": amount, "lookup_key": f"{name}-{interval}-{currency}".lower()}
        if (name, interval) == TRIAL:
            body["trial_days"] = TRIAL_DAYS
        price = await self.api.post("/v1/prices", body)
        self.prices[name, interval, currency] = price["id"]
        share = Fraction(amount, 12 if interval == "year" else 1)
        self.amounts[price["id"]] = (currency, share)

    async def live(self, month: int, moved: Progress) -> None:
        """One month: people sign up, some change their minds, and time goes by."""
        await together(self.sign_up(p) for p in self.people if p.month == month)
        await self._change_minds()
        await self.advance(month_after(OPENING, month + 1), moved)
        await self._after_the_bills()
        self.mrr.append((self.at, await self._revenue()))

    async def sign_up(self, person: Person) -> None:
        """A customer, how they pay, and what they pay for."""
        city, zone = CITIES.get(person.country, AMERICA)
        customer = await self.api.post(
            "/v1/customers",
            {
                "external_id": f"user-{person.number:04d}",
                "name": person.name,
                "email": f"user-{person.number:04d}@example.com",
                "address": {"city": city, "country": person.country},
                "time_zone": zone,
                "test_clock_id": self.clock,
            },
        )
        await self._pay_with(customer["id"], person.token)
        price = self.prices[person.plan, person.interval, person.currency]
        body: Json = {
            "customer_id": customer["id"],
            "items": [{"price_id": price, "quantity": person.quantity}],
            "tax_rate_ids": [self.taxes[person.country]],
            "coupon_ids": [self.coupon] if person.coupon else [],
        }
        if person.start_after is not None:
            body["start_at"] = (self.at + person.start_after).isoformat()
        subscription = await self.api.post("/v1/subscriptions", body)
        broken = "declined" in person.token
        self.subscribers.append(Subscriber(person, customer["id"], subscription["id"], broken))
        self.subscribers.sort(key=lambda s: s.person.number)

    async def _pay_with(self, customer: str, token: str) -> None:
        body = {"customer_id": customer, "gateway_reference": token, "make_default": True}
        await self.api.post("/v1/payment_methods", body | {"brand": "visa", "last_four": "4242"})

    async def _change_minds(self) -> None:
        """Some cancel, one of them stays after all; some cards stop working; some get credit."""
        happy = [s for s in self.subscribers if not s.broken and not s.gone]
        changes: list[Awaitable[None]] = []
        for subscriber in happy:
            roll = self.dice.random()
            if roll < 0.02:  # a mind is changed
                subscriber.gone = True
                changes.append(self._cancel(subscriber, stays=False))
            elif roll < 0.03:  # and changed back
                changes.append(self._cancel(subscriber, stays=True))
            elif roll < 0.06:  # a card stops working
                subscriber.broken = True
                why = "expired" if self.dice.random() < 0.5 else "insufficient_funds"
                token = f"pm_sim_declined_{why}_{subscriber.person.number}_{self.at:%m}"
                changes.append(self._pay_with(subscriber.customer, token))
            elif roll < 0.07:  # support is sorry
                path = f"/v1/customers/{subscriber.customer}/balance_transactions"
                body = {"amount": 500, "currency": subscriber.person.currency}
                changes.append(self._post(path, body | {"description": "Sorry for the outage"}))
        await together(changes)

    async def _cancel(self, subscriber: Subscriber, *, stays: bool) -> None:
        path = f"/v1/subscriptions/{subscriber.subscription}"
        # Whoever never paid, or has not started yet, has nothing to cancel at a period's end.
        canceled = await self.api.post(f"{path}/cancel", {"when": "period_end"}, may_fail=True)
        if stays and canceled.get("object") == "subscription":
            await self.api.post(f"{path}/keep")

    async def _after_the_bills(self) -> None:
        """Most people mend their cards and pay; some are given up; a few get their money back."""
        changes: list[Awaitable[None]] = []
        for subscriber in [s for s in self.subscribers if s.broken]:
            roll = self.dice.random()
            if roll < 0.4:
                subscriber.broken = False
                changes.append(self._mend(subscriber))
            elif roll < 0.5:
                subscriber.broken, subscriber.gone = False, True
                changes.append(self._give_up(subscriber))
        content = [s for s in self.subscribers if not s.broken and not s.gone]
        unhappy = [s for s in content if self.dice.random() < 0.008]
        changes += [self._refund(s, whole=self.dice.random() < 0.5) for s in unhappy]
        await together(changes)

    async def _mend(self, subscriber: Subscriber) -> None:
        token = f"pm_sim_ok_{subscriber.person.number}_again_{self.at:%m}"
        await self._pay_with(subscriber.customer, token)
        for invoice in await self._open_invoices(subscriber):
            await self.api.post(f"/v1/invoices/{invoice['id']}/pay", may_fail=True)

    async def _give_up(self, subscriber: Subscriber) -> None:
        path = f"/v1/subscriptions/{subscriber.subscription}/cancel"
        await self.api.post(path, {"when": "now"}, may_fail=True)
        for invoice in await self._open_invoices(subscriber):
            path = f"/v1/invoices/{invoice['id']}/mark_uncollectible"
            await self.api.post(path, may_fail=True)

    async def _open_invoices(self, subscriber: Subscriber) -> list[Json]:
        found = self.api.all("/v1/invoices", customer_id=subscriber.customer, status="open")
        return [invoice async for invoice in found]

    async def _refund(self, subscriber: Subscriber, *, whole: bool) -> None:
        query = {"customer_id": subscriber.customer, "status": "succeeded"}
        for payment in (await self.api.get("/v1/payments", limit=1, **query))["data"]:
            left = payment["amount_captured"] - payment["amount_refunded"]
            body = {"payment_id": payment["id"], "reason": "Not what they wanted"}
            if left > 1:
                amount = {} if whole else {"amount": left // 2}
                await self.api.post("/v1/refunds", body | amount)

    async def _post(self, path: str, body: Json) -> None:
        await self.api.post(path, body)

    async def advance(self, target: datetime, moved: Progress) -> None:
        """Move the shop's clock; everything that falls due on the way happens."""
        path = f"/v1/test_clocks/{self.clock}"
        clock = await self.api.post(f"{path}/advance", {"frozen_at": target.isoformat()})
        async with asyncio.timeout(ADVANCE_SECONDS_MAX):
            while clock["status"] == "advancing":
                await asyncio.sleep(POLL_SECONDS)
                clock = await self.api.get(path)
                moved(datetime.fromisoformat(clock["frozen_at"]))
        if clock["status"] != "ready":
            raise RuntimeError(f"The clock stopped: {clock['detail']}")
        self.at = target

    async def _revenue(self) -> dict[str, int]:
        """What subscriptions that pay bring in a month, at list prices, by currency."""
        monthly: defaultdict[str, Fraction] = defaultdict(Fraction)
        for status in ("active", "past_due"):
            async for subscription in self.api.all("/v1/subscriptions", status=status):
                for item in subscription["items"]:
                    currency, share = self.amounts[item["price_id"]]
                    monthly[currency] += share * item["quantity"]
        return {currency: int(amount) for currency, amount in monthly.items()}

    async def by_status(self, path: str) -> Mapping[str, int]:
        """How many objects of a list there are, by their status."""
        return Counter([one["status"] async for one in self.api.all(path)])


def invent(customers: int, months: int) -> list[Person]:
    """The people of the story. The last few sign up when it is over, and wait for their bank."""
    dice = Random(SEED)
    firsts, lasts = FIRST.split(), LAST.split()
    late = min(LATE_JOINERS, customers // 2)
    people = []
    for number in range(1, customers + 1):
        is_late = number > customers - late
        opening = dice.random() < 0.35
        country = dice.choices(("DE", "FR", "US"), (4, 2, 5))[0]
        waits = timedelta(hours=dice.randrange(1, 29 * 24)) if dice.random() < 0.6 else None
        people.append(
            Person(
                number=number,
                name=f"{dice.choice(firsts)} {dice.choice(lasts)}",
                country=country,
                plan=dice.choices(tuple(PLANS), (6, 3, 1))[0] if not is_late else "Basic",
                interval="year" if dice.random() < 0.2 else "month",
                quantity=dice.choice((1, 1, 1, 2, 3, 5)),
                month=months if is_late else 0 if opening else dice.randrange(months),
                start_after=None if is_late else waits,
                token=f"{_token(dice) if not is_late else 'pm_sim_requires_action'}_{number}",
                coupon=dice.random() < 0.25,
            )
        )
    return people


def _token(dice: Random) -> str:
    tokens = {
        "pm_sim_ok": 95,
        "pm_sim_declined_insufficient_funds": 3,
        "pm_sim_declined_expired": 2,
    }
    return dice.choices(tuple(tokens), tuple(tokens.values()))[0]


def month_after(start: datetime, months: int) -> datetime:
    """The same time of the first day, so many months later."""
    year, month = divmod(start.month - 1 + months, 12)
    return start.replace(year=start.year + year, month=month + 1)


async def together(work: Iterable[Awaitable[None]]) -> None:
    """Await all of it, a few at a time."""
    places = asyncio.Semaphore(REQUESTS_AT_ONCE)

    async def one(task: Awaitable[None]) -> None:
        async with places:
            await task

    await asyncio.gather(*(one(task) for task in work))
