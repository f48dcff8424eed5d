"""Whole lives of subscriptions, by chance from a seed: lived by the engine, reckoned by `Fair`."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random
from uuid import UUID

from app.domain import changing
from app.domain.calendar import Interval, Unit
from app.domain.discount import Coupon, Duration, redeem
from app.domain.invoice import Status as InvoiceStatus
from app.domain.invoicing import Credit
from app.domain.money import Rounding
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
    override,
)
from app.domain.pricing import SCALE, Price, PriceModel, Timing
from app.domain.proration import FULL
from app.domain.subscription import (
    ENDED,
    ItemChange,
    PausedInvoices,
    Status,
)
from app.domain.tax import TaxRate, TaxRounding
from tests.domain import laws
from tests.domain.books import PLAN, order
from tests.domain.ledgerbook import STANDING, LedgerBook
from tests.fair import Fair, Items, Priced, Recast, Rules, boundary

EPOCH = datetime.fromisoformat("2024-01-01T00:00:00+00:00")
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"),
    *("Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "Pacific/Kiritimati"),
)
INTERVALS = (
    *(("day", 1), ("day", 3), ("week", 1), ("week", 2), ("month", 1), ("month", 1), ("month", 1)),
    *(("month", 3), ("year", 1)),
)
CURRENCIES = ("EUR", "JPY", "KWD")
SETTLEMENTS = tuple(Settlement)
STATES = {
    "trial": ("trialing",),
    "running": ("active", "past_due"),
    "paused": ("paused",),
    "ended": ("canceled",),
}


@dataclass
class Life:
    """One subscription from creation to cancellation, in both books at once."""

    random: Random
    book: LedgerBook = field(init=False)
    fair: Fair = field(init=False)
    at: datetime = field(init=False)
    policy: Policy = field(init=False)
    prices: int = 0
    keys: int = 100
    counted: int | None = None
    """How many paid periods are discounted; None: all, if any."""
    is_lenient: bool = False
    """Whether time was charged twice on purpose."""
    done: list[str] = field(default_factory=list)
    rates: tuple[TaxRate, ...] = ()

    # ── how it begins ─────────────────────────────────────────────────────────────────────────────

    def say(self, what: str) -> None:
        self.done.append(f"{self.at:%F %T} {what}")

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def create(self) -> None:
        pick, chance = self.random.choice, self.chance
        self.policy = self._policy()
        self.unit, self.count = pick(INTERVALS)
        self.currency = pick(CURRENCIES)
        zone = pick(ZONES) if chance(0.5) else "UTC"
        self.at = self._moment(EPOCH, 400 * 86_400)
        if chance(0.2):  # month ends and leap days
            days = ("2024-01-31", "2024-02-29", "2025-08-30", "2027-12-31")
            self.at = datetime.fromisoformat(pick(days) + "T09:30:00+00:00")
        percent = 0
        if chance(0.4):
            percent = pick((100_000, 333_333, 500_000, 999_999, 1_000_000))
            self.counted = self.random.randint(1, 3) if chance(0.4) else None
        self.rates = self._rates()
        prices = [(self._price(is_first=True), self.random.randint(1, 4)) for _ in range(1)]
        prices += [(self._price(), self.random.randint(1, 4)) for _ in range(pick((0, 0, 1, 2)))]
        trial_end = self._later(0.5) if chance(0.15) else None
        begins = trial_end or self.at
        rules = self._rules(zone)
        anchor = begins
        if chance(0.25):
            anchor = self._moment(
                begins, (boundary(rules, begins, 1) - begins) // timedelta(seconds=1)
            )
        cycles = self.random.randint(1, 6) if chance(0.15) else None
        coupon = None
        if percent:
            coupon = Coupon(
                id=UUID(int=77),
                name="Off",
                percent_off_ppm=percent,
                duration=Duration.REPEATING if self.counted else Duration.FOREVER,
                duration_periods=self.counted,
            )
        self.book = LedgerBook(policy=self.policy)
        self.book.currency = self.currency
        cmd = order(
            *prices,
            zone=zone,
            rates=self.rates,
            discounts=() if coupon is None else (redeem(coupon, UUID(int=78)),),
            trial_end=trial_end,
            anchor=anchor,
            cycles=cycles,
            policy=self.policy,
        )
        self.book.subscribe(cmd, self.at)
        self.fair = Fair(
            rules,
            {n: self._priced(price, quantity) for n, (price, quantity) in enumerate(prices)},
            anchor,
            percent_off=Fraction(percent, 1_000_000),
            discounted_periods=self.counted,
            cycles=cycles,
        )
        self.fair.start(self.at, trial_end)
        told = [f"{_told(price)} x {quantity}" for price, quantity in prices]
        self.say(f"create {told} {trial_end=!s} {anchor=!s} {cycles=} {percent=} {rules}")

    def _policy(self) -> Policy:
        pick = self.random.choice
        dials: dict[str, object] = {}
        for name, values in (
            ("rounding", Rounding),
            ("proration_basis", (Basis.SECOND, Basis.SECOND, Basis.DAY, Basis.DAY, Basis.NONE)),
            ("proration_stub_reference", StubReference),
            ("proration_last_day", LastDay),
            ("first_period", FirstPeriod),
            ("pause_resume", PauseResume),
            ("coupon_on_proration", CouponOnProration),
            ("tax_rounding", TaxRounding),
        ):
            if self.chance(0.5):
                dials[name] = pick(tuple(values))
        return override(Policy(), dials)

    def _rules(self, zone: str) -> Rules:
        policy = self.policy
        follows = policy.coupon_on_proration is CouponOnProration.FOLLOWS_LINE
        return Rules(
            zone,
            self.unit,
            self.count,
            policy.proration_basis.value,
            policy.proration_stub_reference.value,
            policy.proration_last_day.value,
            policy.first_period.value,
            policy.pause_resume.value,
            follows,
        )

    def _rates(self) -> tuple[TaxRate, ...]:
        if self.chance(0.6):
            return ()
        inclusive = self.chance(0.5)
        ppms = self.random.sample((190_000, 70_000, 88_750, 50_000), self.random.randint(1, 2))
        return tuple(
            TaxRate(UUID(int=900 + n), ppm, inclusive, "DE", "Tax") for n, ppm in enumerate(ppms)
        )

    def _price(self, *, is_first: bool = False) -> Price:
        self.prices += 1
        minor = self.random.choice(
            (0, 1, 3, 99, 1000, 12_345, 999_999, self.random.randint(1, 9**8))
        )
        return Price(
            id=UUID(int=10_000 + self.prices),
            plan_id=PLAN,
            version=1,
            currency=self.currency,
            interval=Interval(Unit(self.unit), self.count),
            model=PriceModel.PER_UNIT,
            unit_amount_scaled=minor * SCALE,
            timing=Timing.ARREARS if self.chance(0.2) and not self.counted else Timing.ADVANCE,
            setup_fee_minor=500 if self.chance(0.1) and not self.counted else 0,
            description="Basic",
        )

    def _priced(self, price: Price, quantity: int) -> Priced:
        amount = price.unit_amount_scaled // SCALE * quantity
        return Priced(
            amount, price.timing is Timing.ARREARS, price.setup_fee_minor, (price.id, quantity)
        )

    # ── how time goes by ──────────────────────────────────────────────────────────────────────────

    def _moment(self, start: datetime, seconds: int) -> datetime:
        return start + timedelta(seconds=self.random.randint(0, seconds))

    def _later(self, periods: float = 1.0) -> datetime:
        days = {"day": 1, "week": 7, "month": 30, "year": 365}[self.unit] * self.count
        choice = self.random.random()
        if choice < 0.1:
            return self.at + timedelta(seconds=1)
        return self._moment(self.at, int(days * 86_400 * periods * (0.2 + 1.2 * choice)) + 1) + (
            timedelta(seconds=1)
        )

    def pass_time(self) -> None:
        """Later; sometimes to the very boundary, sometimes not at all."""
        chosen, sub = self.random.random(), self.book.sub
        if chosen < 0.1 and sub.period is not None and sub.period.end > self.at:
            self.at = sub.period.end
        elif chosen < 0.9:
            self.at = self._later(0.6)
        self.book.catch_up(self.at)
        self.fair.advance(self.at)

    # ── what is done to it ────────────────────────────────────────────────────────────────────────

    def act(self) -> None:
        """One thing happens, whatever may happen now."""
        self.pass_time()
        sub = self.book.sub
        if sub.status in ENDED:
            return
        acts = {
            Status.TRIALING: (self.change,),
            Status.PAUSED: (self.resume, self.resume, self.change, self.cancel_later),
        }.get(
            sub.status,
            (*[self.change] * 6, *[self.plan] * 2, *[self.pause] * 2, self.cancel_later, self.keep),
        )
        self.random.choice(acts)()

    def _wanted(self, *, removes: bool = True) -> tuple[ItemChange, Recast]:
        """Something that may become otherwise: as the engine is told, and as `Fair` is."""
        items, random = self.book.sub.items, self.random
        place, chosen = random.randrange(len(items)), random.random()
        if chosen < 0.15 and removes and len(items) > 1:
            return ItemChange(item_id=items[place].id, is_removed=True), _without(place)
        price, quantity = self._price(), random.randint(0, 5)
        if chosen < 0.3 and len(items) < 4:
            self.keys += 1
            added = {self.keys: self._priced(price, quantity)}
            return ItemChange(price=price, quantity=quantity), lambda known: known | added
        if chosen < 0.6 and removes:  # a plan names its price: another may have come by then
            price = items[place].price
            wanted = ItemChange(item_id=items[place].id, quantity=quantity)
        else:
            wanted = ItemChange(item_id=items[place].id, price=price, quantity=quantity)
        return wanted, _with(place, self._priced(price, quantity))

    def change(self) -> None:
        settlement = self.random.choice(SETTLEMENTS)
        if settlement in changing.RESETS and self.fair.planned is not None:
            settlement = Settlement.INVOICE_NOW
        is_at_once = any(line.charge.period.start == self.at for _, line in self.book.lines())
        if settlement is Settlement.RESET_WITHOUT_CREDIT and (is_at_once or self.book.waiting()):
            settlement = Settlement.RESET  # nothing was used of it: to charge it twice is no test
        if self.counted and settlement is Settlement.NEXT_INVOICE:
            settlement = Settlement.INVOICE_NOW  # what waits is discounted as its invoice is
        wanted, recast = self._wanted(removes=self.fair.planned is None)
        becomes = recast(self.fair.items)
        if settlement is Settlement.NONE and any(
            item.is_arrears for item in (*self.fair.items.values(), *becomes.values())
        ):
            settlement = Settlement.INVOICE_NOW
        self.say(f"change {settlement} {_change(wanted)}")
        self.is_lenient |= settlement is Settlement.RESET_WITHOUT_CREDIT
        self.book.change(self.at, wanted, settlement=settlement)
        self.fair.change(self.at, becomes, settlement.value)

    def plan(self) -> None:
        """A change at the end of the period."""
        sub = self.book.sub
        assert sub.period is not None
        wanted, recast = self._wanted(removes=False)
        self.say(f"plan {_change(wanted)}")
        self.book.schedule(self.at, sub.period.end, wanted)
        self.fair.planned = recast

    def pause(self) -> None:
        if self.fair.planned is not None:
            return
        unused = self.random.choice(tuple(PauseUnused))
        invoices = self.random.choice((*[PausedInvoices.NONE] * 3, PausedInvoices.KEEP))
        self.say(f"pause {invoices} {unused}")
        self.book.pause(self.at, unused, invoices=invoices)
        self.fair.pause(self.at, invoices.value, unused.value)

    def resume(self) -> None:
        pause = self.book.sub.pause
        if pause is not None and pause.paused_at == self.at:
            self.at += timedelta(seconds=1)
            self.book.catch_up(self.at)
            self.fair.advance(self.at)
            if self.book.sub.status is not Status.PAUSED:
                return
        self.say("resume")
        self.book.resume(self.at)
        self.fair.resume(self.at)

    def cancel_later(self) -> None:
        self.say("cancel at period end")
        self.book.cancel_at_period_end(self.at)
        self.fair.ends_with_period = True

    def keep(self) -> None:
        if self.book.sub.cancel_at_period_end:
            self.say("keep")
            self.book.keep()
            self.fair.ends_with_period = False

    def end(self) -> None:
        """Canceled at some moment; mostly with what was not used given back."""
        self.pass_time()
        if self.book.sub.status in ENDED:
            return
        credit = self.random.choice((*[CancelCredit.PRORATED] * 4, *CancelCredit))
        if self.book.pending and credit is CancelCredit.FULL:
            credit = CancelCredit.PRORATED  # "full" is of what was billed at once
        self.say(f"cancel {credit}")
        self.book.cancel(self.at, credit)
        self.fair.cancel(self.at, credit.value)

    # ── the laws ──────────────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Every law that holds at any moment; and what was charged is what it should have been."""
        laws.check(self.book)
        if not self.is_lenient and self.policy.proration_basis is Basis.SECOND:
            laws.no_time_is_charged_twice(self.book)
        assert self.book.sub.status.value in STATES[self.fair.state], self.fair.state
        if self.fair.state == "running":
            period = self.book.sub.period
            assert period is not None
            assert (period.start, period.end) == self.fair.period
        self.check_total()

    def check_total(self) -> None:
        """Before tax, and with what waits; each rounding of a line is worth at most a unit."""
        standing = (*STANDING, InvoiceStatus.DRAFT)
        lines = list(self.book.lines(*standing))
        charged = Fraction(sum(x.charge.amount - x.discount_amount for _, x in lines))
        fair = self.fair.total()
        roundings = len(lines)
        for item in self.book.waiting():
            roundings += 1
            if isinstance(item.line, Credit):
                charged += item.charge.amount - sum(part.amount for part in item.line.discounts)
            else:
                discounted = self.fair.rules.is_proration_discounted or item.charge.share == FULL
                charged += item.charge.amount * (1 - self.fair.percent_off * discounted)
        assert abs(charged - fair) <= 2 * roundings, f"{charged} is not {float(fair)}"


def _told(price: Price) -> str:
    return f"{price.unit_amount_scaled // SCALE} {price.timing} fee {price.setup_fee_minor}"


def _change(wanted: ItemChange) -> str:
    item = wanted.item_id and wanted.item_id.int
    price = wanted.price and _told(wanted.price)
    return f"{item}: {price} x {wanted.quantity} {'removed' if wanted.is_removed else ''}"


def _with(place: int, priced: Priced) -> Recast:
    def recast(known: Items) -> Items:
        return known | {list(known)[place]: priced}

    return recast


def _without(place: int) -> Recast:
    def recast(known: Items) -> Items:
        gone = list(known)[place]
        return {key: priced for key, priced in known.items() if key != gone}

    return recast


def live(seed: int, acts: int = 6) -> Life:
    """A life from its seed, every law checked after everything that happens."""
    life = Life(Random(seed))
    try:
        life.create()
        life.check()
        for _ in range(acts):
            life.act()
            life.check()
        life.end()
        life.check()
    except Exception as error:
        story = "\n  ".join(life.done)
        raise AssertionError(f"seed {seed}: {error!r}\n  {story}") from error
    return life
