"""What a subscription should have cost: a second reckoning, exact and simple, made from the rules.

It knows nothing of invoices, lines or credits. Time is bought in stretches; a stretch that is given
back ends earlier and costs the share that was used. Nothing here calls the billing engine.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TypeAlias
from zoneinfo import ZoneInfo

SECOND = timedelta(seconds=1)
DAYS_OF = {"day": 1, "week": 7, "month": 30, "year": 360}


@dataclass(frozen=True)
class Priced:
    """What an item costs for a full period, in minor units."""

    amount: int
    is_arrears: bool = False
    setup_fee: int = 0
    price: object = None
    """Which price it is: another one at the same amount is another one."""


Items: TypeAlias = dict[object, Priced]
Recast: TypeAlias = Callable[[Items], Items]


@dataclass
class Stretch:
    """Time of one item that was charged; `factor` is what discounts leave of it."""

    key: object
    start: datetime
    end: datetime
    exact: Fraction
    factor: Fraction
    cut: datetime | None = None
    is_forfeited: bool = False
    """Nothing of it comes back any more."""
    is_gone: bool = False


@dataclass(frozen=True)
class Rules:
    """The dials that the reckoning knows, by the names of the merchant's settings."""

    zone: str = "UTC"
    unit: str = "month"
    count: int = 1
    basis: str = "second"
    stub_reference: str = "aligned_period"
    last_day: str = "not_billed"
    first_period: str = "prorated"
    resume: str = "new_period"
    is_proration_discounted: bool = True


def boundary(rules: Rules, anchor: datetime, steps: int) -> datetime:
    """The instant `steps` intervals after the anchor, on the clocks of the zone."""
    if steps == 0:
        return anchor
    zone = ZoneInfo(rules.zone)
    wall = anchor.astimezone(zone).replace(tzinfo=None, fold=0)
    if rules.unit in ("day", "week"):
        wall += timedelta(days=steps * rules.count * (7 if rules.unit == "week" else 1))
    else:
        months = steps * rules.count * (12 if rules.unit == "year" else 1)
        year, month = divmod(wall.year * 12 + wall.month - 1 + months, 12)
        day = min(wall.day, monthrange(year, month + 1)[1])
        wall = wall.replace(year=year, month=month + 1, day=day)
    return wall.replace(tzinfo=zone).astimezone(UTC)


@dataclass
class Fair:
    """One subscription, from its first day to its last. Call `advance` before anything else."""

    rules: Rules
    items: dict[object, Priced]
    anchor: datetime
    percent_off: Fraction = Fraction(0)
    discounted_periods: int | None = None
    """How many paid periods are discounted; None: all."""
    cycles: int | None = None
    stretches: list[Stretch] = field(default_factory=list)
    extra: Fraction = Fraction(0)
    period: tuple[datetime, datetime] | None = None
    begins: datetime | None = None
    """The first moment that is paid for."""
    index: int = 0
    state: str = "scheduled"
    ended_at: datetime | None = None
    meanwhile: str = "none"
    is_cut: bool = False
    """Whether a pause gave the rest of the period back."""
    since: dict[object, datetime] = field(default_factory=dict)
    factor: Fraction = Fraction(1)
    ends_with_period: bool = False
    planned: Recast | None = None
    """What the items become at the next boundary."""

    # ── measuring ─────────────────────────────────────────────────────────────────────────────────

    def units(self, start: datetime, end: datetime) -> int:
        if self.rules.basis == "day":
            zone = ZoneInfo(self.rules.zone)
            return (end.astimezone(zone).date() - start.astimezone(zone).date()).days
        return (end - start) // SECOND

    def share(self, start: datetime, end: datetime) -> Fraction:
        """Which part of a full price `[start, end)` of the present period costs."""
        assert self.period is not None
        aligned = (
            boundary(self.rules, self.anchor, self.index),
            boundary(self.rules, self.anchor, self.index + 1),
        )
        if (start, end) == aligned:
            return Fraction(1)
        if self.index < 0 and self.rules.first_period == "free":
            return Fraction(0)
        is_full = self.index < 0 and self.rules.first_period == "full"
        if is_full and (start, end) == (self.begins, self.period[1]):
            return Fraction(1)
        if self.rules.basis == "none":
            return Fraction(0)
        part, whole = self.units(start, end), self.units(*aligned)
        if is_full:
            assert self.begins is not None
            whole = self.units(self.begins, self.period[1])
            return Fraction(part, whole) if whole else Fraction(0)
        if aligned[0] < self.period[0]:
            match self.rules.stub_reference:
                case "from_start":
                    begun = self.period[0]
                    whole = self.units(begun, boundary(self.rules, begun, 1))
                case "fixed_30":
                    whole = DAYS_OF[self.rules.unit] * self.rules.count
                    whole *= 1 if self.rules.basis == "day" else 86_400
                    part = min(part, whole)
        return Fraction(part, whole) if whole else Fraction(0)

    # ── time ──────────────────────────────────────────────────────────────────────────────────────

    def start(self, at: datetime, trial_end: datetime | None = None) -> None:
        if trial_end is not None and trial_end > at:
            self.state, self.period = "trial", (at, trial_end)
            return
        self.state, self.begins = "running", at
        self._charge_setup(self.items)
        self._begin(at, -1 if at < self.anchor else 0)

    def advance(self, to: datetime) -> None:
        """Whatever falls due up to `to`, and at it, happens."""
        while self.state in ("trial", "running") or self._goes_on_paused():
            assert self.period is not None
            end = self.period[1]
            if end > to:
                return
            if self.ends_with_period or self.cycles == 0:
                self._end(end)
                return
            if self.state == "trial":
                self._take_planned()
                self.state, self.begins = "running", end
                self._charge_setup(self.items)
                self._begin(end, -1 if end < self.anchor else 0)
                continue
            self._close_arrears(end)
            if self.state == "running":
                self._take_planned()
            self._begin(end, self.index + 1)

    def _goes_on_paused(self) -> bool:
        if self.state != "paused":
            return False
        return self.meanwhile != "none" or self.ends_with_period

    def _take_planned(self) -> None:
        if self.planned is not None:
            before, self.items, self.planned = self.items, self.planned(self.items), None
            if self.state == "running":
                self._charge_setup({k: v for k, v in self.items.items() if k not in before})

    def _begin(self, start: datetime, index: int) -> None:
        self.index, self.since, self.is_cut = index, {}, False
        self.period = (start, boundary(self.rules, self.anchor, index + 1))
        if self.cycles is not None and index >= 0:
            self.cycles = max(0, self.cycles - 1)
        self.factor = self._next_factor()
        share = self.share(*self.period)
        for key, item in self.items.items():
            if not item.is_arrears:
                self._buy(key, item, *self.period, share)

    def _next_factor(self) -> Fraction:
        if self._is_given_away():
            return Fraction(0)
        if self.discounted_periods is None:
            return 1 - self.percent_off
        if self.discounted_periods == 0:
            return Fraction(1)
        self.discounted_periods -= 1
        return 1 - self.percent_off

    def _is_given_away(self) -> bool:
        return self.state == "paused" and self.meanwhile == "void"

    def _buy(
        self, key: object, item: Priced, start: datetime, end: datetime, share: Fraction
    ) -> None:
        factor = self.factor
        if share != 1 and not self.rules.is_proration_discounted:
            factor = Fraction(1)
        if self._is_given_away():
            factor = Fraction(0)
        self.stretches.append(Stretch(key, start, end, item.amount * share, factor))

    def _charge_setup(self, items: Mapping[object, Priced]) -> None:
        self.extra += sum(i.setup_fee for i in items.values()) * (1 - self.percent_off)

    def _close_arrears(self, at: datetime, keys: Iterable[object] | None = None) -> None:
        """What items in arrears used up to `at` is bought; they use nothing in a pause."""
        assert self.period is not None
        if self.state == "paused" and self.meanwhile == "none":
            return
        for key in self.items if keys is None else keys:
            item = self.items.get(key)
            if item is None or not item.is_arrears:
                continue
            start = max(self.since.get(key, self.period[0]), self.period[0])
            if start < at:
                self._buy(key, item, start, at, self.share(start, at))
                self.stretches[-1].end = at
                self.stretches[-1].is_gone = False

    # ── what is done to it ────────────────────────────────────────────────────────────────────────

    def change(self, at: datetime, items: Mapping[object, Priced], settlement: str) -> None:
        """The items become these at `at`."""
        touched = {k for k in self.items.keys() | items.keys() if self.items.get(k) != items.get(k)}
        added = {k: v for k, v in items.items() if k not in self.items}
        if self.state in ("scheduled", "trial"):
            self.items = dict(items)
            return
        assert self.period is not None
        is_still = self.state == "paused" and self.meanwhile == "none"
        if is_still and at >= self.period[1]:
            self._charge_setup(added)
            self.items = dict(items)
            return
        if settlement.startswith("reset"):
            self._reset(at, items, is_credited=settlement == "reset")
            return
        if settlement != "none":
            self._close_arrears(at, touched)
            self.give_back(at, touched)
            self._charge_setup(added)
        self.items = dict(items)
        rest = max(self.period[0], at), self.period[1]
        for key in touched & items.keys():
            if items[key].is_arrears:
                self.since[key] = at
            elif settlement != "none":
                self._buy(key, items[key], *rest, self.share(*rest))

    def _reset(self, at: datetime, items: Mapping[object, Priced], *, is_credited: bool) -> None:
        """A period begins anew; what the old one has left is given back now or never."""
        assert self.period is not None
        added = {key: item for key, item in items.items() if key not in self.items}
        self._close_arrears(at)
        if is_credited:
            self.give_back(at, self.items)
        for stretch in self.stretches:
            stretch.is_forfeited |= stretch.start < at
        self._charge_setup(added)
        self.items, self.anchor = dict(items), at
        cycles, self.cycles = self.cycles, None
        is_again = self.period[0] == at
        if is_again and self.discounted_periods is not None:  # that one was counted already
            self.discounted_periods += self.factor != 1
        self._begin(at, 0)
        self.cycles = cycles

    def give_back(self, at: datetime, keys: Iterable[object] | None = None) -> None:
        """What is not used yet at `at` comes back."""
        wanted = None if keys is None else set(keys)
        for stretch in self.stretches:
            if stretch.is_forfeited or (wanted is not None and stretch.key not in wanted):
                continue
            if stretch.end > at and (stretch.cut is None or stretch.cut > at):
                stretch.cut = max(at, stretch.start)

    def pause(self, at: datetime, meanwhile: str, unused: str) -> None:
        assert self.period is not None
        if meanwhile == "none":
            self._close_arrears(at)
            if unused == "credit":
                self.give_back(at)
                self.period = (self.period[0], max(at, self.period[0] + SECOND))
                self.is_cut = True
        self.state, self.meanwhile = "paused", meanwhile

    def resume(self, at: datetime) -> None:
        assert self.period is not None
        self.state = "running"
        if self.meanwhile != "none":
            return
        if at < self.period[1] and not self.is_cut:
            self.since = {k: at for k, item in self.items.items() if item.is_arrears}
            return
        at = max(at, self.period[1])
        index = 0
        if self.rules.resume == "stub":
            index = self.index
            while boundary(self.rules, self.anchor, index + 1) <= at:
                index += 1
        else:
            self.anchor = at
        self._begin(at, index)

    def cancel(self, at: datetime, credit: str) -> None:
        if self.state == "running" or (self.state == "paused" and self.meanwhile != "none"):
            self._close_arrears(at)
        if self.state in ("running", "paused"):
            if credit == "prorated":
                self.give_back(self._used_until(at))
            elif credit == "full" and self.period is not None and at < self.period[1]:
                for stretch in self.stretches:
                    began = stretch.start >= self.period[0]
                    stretch.is_gone |= began and stretch.end > at and not stretch.is_forfeited
        self.state, self.ended_at = "ended", at

    def _end(self, at: datetime) -> None:
        if self.state == "running" or (self.state == "paused" and self.meanwhile != "none"):
            self._close_arrears(at)
        self.state, self.ended_at = "ended", at

    def _used_until(self, at: datetime) -> datetime:
        if self.rules.basis != "day" or self.rules.last_day == "not_billed":
            return at
        zone = ZoneInfo(self.rules.zone)
        tomorrow = at.astimezone(zone).date() + timedelta(days=1)
        midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone)
        return midnight.astimezone(UTC)

    # ── what it comes to ──────────────────────────────────────────────────────────────────────────

    def cost(self, stretch: Stretch) -> Fraction:
        if stretch.is_gone:
            return Fraction(0)
        if stretch.cut is None or stretch.cut >= stretch.end:
            return stretch.exact * stretch.factor
        if stretch.cut <= stretch.start:
            return Fraction(0)
        if self.rules.basis == "none":
            return stretch.exact * stretch.factor
        whole = self.units(stretch.start, stretch.end)
        if whole == 0:
            return stretch.exact * stretch.factor
        used = self.units(stretch.start, stretch.cut)
        return stretch.exact * stretch.factor * used / whole

    def total(self) -> Fraction:
        """What should have been charged in all, less what was given back; before tax."""
        return self.extra + sum((self.cost(s) for s in self.stretches), Fraction(0))
