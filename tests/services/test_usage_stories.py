"""Usage as it is told and as it is billed, on a real database: what counts, when, and once."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from app.db import usage
from app.db import usage_events as rows
from app.db.errors import Refused
from app.db.usage import Billed, Wanted
from app.domain import metering, pricing
from app.domain.calendar import Interval, Unit
from app.domain.errors import Conflict, InvalidRequest, NotFound, Stale
from app.domain.metering import Aggregation, Filter, Granularity, Known, Reported, UsageEvent
from app.domain.pricing import Timing
from app.ids import new_id
from app.services import meters, usage_events
from tests.usage import amounts, counter, late, meter, reckon, said, span, taken, tell
from tests.world import START, World

DAY = timedelta(days=1)
JANUARY = (START - 30 * DAY, START)
"""The period that has just ended when a story begins."""
PRESENT = (START, START + 28 * DAY)


@pytest.fixture
async def customer(world: World) -> UUID:
    return await world.customer(None)


def reasons(receipt: Any) -> list[str]:
    return [why.code for _, why in receipt.refused]


# ── telling ───────────────────────────────────────────────────────────────────────────────────────


async def test_told_again_an_event_is_a_duplicate_and_counts_once(
    world: World, customer: UUID
) -> None:
    requests = await meter(world)
    event = said(customer, 5)
    first = await tell(world, event, event)
    assert (first.accepted, first.duplicates) == ([event.id], [event.id])
    world.clock.advance(timedelta(hours=1))  # its time was left out: it is what it was
    again = await tell(world, event, said(customer, 1, id="new"))
    assert (again.accepted, again.duplicates) == (["new"], [event.id])
    assert await amounts(world, span(world, customer, requests, *PRESENT)) == [6]


async def test_told_otherwise_under_the_same_id_an_event_is_refused(
    world: World, customer: UUID
) -> None:
    requests = await meter(world)
    await taken(world, said(customer, 5, START, id="a"))
    other = await world.customer(None)
    for contradiction in (
        said(customer, 6, START, id="a"),
        said(other, 5, START, id="a"),
        said(customer, 5, START + DAY / 1000, id="a"),
        said(customer, 5, START, id="a", properties={"region": "eu"}),
        counter("b", id="a"),
    ):
        assert reasons(await tell(world, contradiction)) == ["event_id_reused"]
    assert await amounts(world, span(world, customer, requests, *PRESENT)) == [5]


async def test_a_customer_may_be_named_in_either_way(world: World) -> None:
    await meter(world)
    customer = await world.customer(None, external_id="ada")
    by_name = Reported(
        id="a", event_name="request", customer_external_id="ada", properties={"value": 1}
    )
    assert (await tell(world, by_name)).accepted == ["a"]
    assert (await tell(world, said(customer, 1, id="a"))).duplicates == ["a"]
    assert (await tell(world, by_name)).duplicates == ["a"]


async def test_what_was_taken_stays_known_however_late_it_is_told_again(
    world: World, customer: UUID
) -> None:
    made = await meter(world)
    event = said(customer, 5, START)
    await taken(world, event)
    world.clock.advance(90 * DAY)
    await meters.update(world.rt, world.caller, meters.UpdateMeter(made, {"archived": True}))
    assert (await tell(world, event)).duplicates == [event.id]


async def test_each_event_is_refused_by_itself_and_with_its_reason(
    world: World, customer: UUID
) -> None:
    await meter(world, Aggregation.MAX)
    await meter(world, Aggregation.UNIQUE, "login")
    gone = await world.subscribed("0")
    stranger = said(customer, subscription_id=gone)
    told = {
        "meter_not_found": said(customer, event_name="reqest"),
        "customer_not_found": said(new_id()),
        "customer_required": Reported(id="x", event_name="request"),
        "timestamp_in_future": said(customer, 1, START + timedelta(minutes=5, seconds=1)),
        "timestamp_too_old": said(customer, 1, START - timedelta(days=30, seconds=1)),
        "value_missing": said(customer, None),
        "value_not_whole": said(customer, None, properties={"value": "12"}),
        "value_negative": said(customer, -1),
        "value_too_large": said(customer, 10**15 + 1),
        "subscription_not_found": stranger,
        "event_not_found": counter("nothing"),
    }
    good = said(customer, 7, START + timedelta(minutes=5))
    login = said(customer, None, event_name="login")
    receipt = await tell(world, *told.values(), good, login)
    assert receipt.accepted == [good.id]
    assert reasons(receipt) == [*told, "value_missing"]
    assert [told_id for told_id, _ in receipt.refused][:-1] == [event.id for event in told.values()]


async def test_usage_told_for_an_ended_subscription_belongs_to_its_time(world: World) -> None:
    requests = await meter(world)
    sub = await world.subscribed("1000")
    customer = (await world.subscription(sub))["customer_id"]
    world.clock.advance(DAY)
    await world.cancel(sub)
    before = said(customer, 1, world.now - DAY / 2, subscription_id=sub)
    after = said(customer, 1, world.now, subscription_id=sub)
    receipt = await tell(world, before, after)
    assert (receipt.accepted, reasons(receipt)) == ([before.id], ["subscription_ended"])
    assert await amounts(world, span(world, customer, requests, *PRESENT, sub)) == [1]


async def test_a_customer_on_a_test_clock_lives_in_its_time(world: World) -> None:
    requests = await meter(world)
    ahead = START + 400 * DAY
    customer = await world.customer(None, test_clock_id=await world.test_clock(ahead))
    told = [said(customer, 1), said(customer, 2, ahead - DAY)]
    await taken(world, *told)
    assert reasons(await tell(world, said(customer, 4, START))) == ["timestamp_too_old"]
    wanted = span(world, customer, requests, ahead - DAY, ahead + DAY)
    assert await amounts(world, wanted) == [3]


async def test_the_window_for_late_usage_is_the_merchant_s(
    world: World, customer: UUID, administrator: Any
) -> None:
    await meter(world)
    old = said(customer, 1, START - 40 * DAY)
    assert reasons(await tell(world, old)) == ["timestamp_too_old"]
    longer = """UPDATE merchants SET billing_settings = '{"late_usage_days": 60}'"""
    await administrator.execute(longer)
    await taken(world, old)


async def test_usage_never_changes_not_even_for_its_owner(
    world: World, customer: UUID, clean_database: str
) -> None:
    import asyncpg

    await meter(world)
    await taken(world, said(customer))
    owner = await asyncpg.connect(clean_database)
    try:
        for sql in ("UPDATE usage_events SET value = 2", "DELETE FROM usage_events"):
            with pytest.raises(asyncpg.PostgresError, match="append-only"):
                await owner.execute(sql)
    finally:
        await owner.close()
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await tx.run("UPDATE usage_events SET value = 2")
        await tx.driver.execute("ROLLBACK; BEGIN")


# ── meters ────────────────────────────────────────────────────────────────────────────────────────


async def test_one_active_meter_takes_an_event_name(world: World, customer: UUID) -> None:
    first = await meter(world)
    with pytest.raises(Conflict) as refused:
        await meter(world)
    assert refused.value.code == "event_name_taken"
    await taken(world, said(customer, 5))
    archive = meters.UpdateMeter(first, {"archived": True}, 1)
    assert (await meters.update(world.rt, world.caller, archive))["archived_at"] == world.now
    with pytest.raises(Stale):
        await meters.update(world.rt, world.caller, archive)
    assert reasons(await tell(world, said(customer, 5))) == ["meter_not_found"]
    second = await meter(world, Aggregation.COUNT)
    await taken(world, said(customer, 5))
    # What each of them took is its own.
    spans = [span(world, customer, made, *PRESENT) for made in (first, second)]
    assert await amounts(world, *spans) == [5, 1]
    with pytest.raises(Conflict):
        await meters.update(world.rt, world.caller, meters.UpdateMeter(first, {"archived": False}))


async def test_a_meter_that_makes_no_sense_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequest, match="unique_key"):
        await meter(world, Aggregation.SUM, unique_key="user")
    with pytest.raises(InvalidRequest, match="once"):
        await meter(world, filters=(Filter("a", (1,)), Filter("a", (2,))))


async def test_filters_leave_out_what_is_not_meant(world: World, customer: UUID) -> None:
    requests = await meter(world, filters=(Filter("region", ("eu", "us")), Filter("paid", (True,))))
    eu = {"region": "eu", "paid": True}
    await taken(
        world,
        said(customer, 1, properties=eu),
        said(customer, 2, properties={"region": "us", "paid": True}),
        said(customer, 4, properties={"region": "asia", "paid": True}),
        said(customer, 8, properties={"region": "eu", "paid": 1}),  # 1 is a number, not a fact
        said(customer, 16, properties={"region": "eu"}),
        said(customer, None, properties={"region": "asia"}),  # nothing is asked of it
    )
    assert await amounts(world, span(world, customer, requests, *PRESENT)) == [3]


# ── what it amounts to ────────────────────────────────────────────────────────────────────────────


async def test_an_event_counts_in_the_period_of_its_own_time_and_no_other(
    world: World, customer: UUID
) -> None:
    requests = await meter(world)
    world.clock.advance(DAY)
    tick = timedelta(microseconds=1)
    for value, at in ((1, START - tick), (10, START), (100, START + tick)):
        await taken(world, said(customer, value, at))
    spans = [span(world, customer, requests, *period) for period in (JANUARY, PRESENT)]
    assert await amounts(world, *spans) == [1, 110]


async def test_usage_is_of_one_subscription_or_of_the_customer(world: World) -> None:
    requests = await meter(world)
    first = await world.subscribed("1000")
    customer = (await world.subscription(first))["customer_id"]
    second = await world.subscribe(customer, await world.price("1000"))
    other = await world.customer(None)
    await taken(
        world,
        said(customer, 1),
        said(customer, 2, subscription_id=first),
        said(customer, 4, subscription_id=second),
        said(other, 8),
    )
    spans = [span(world, customer, requests, *PRESENT, sub) for sub in (first, second)]
    assert await amounts(world, *spans) == [3, 5]


async def test_nothing_used_is_a_quantity_of_zero(world: World, customer: UUID) -> None:
    made = [await meter(world, kind, f"kind {kind}") for kind in Aggregation]
    spans = [span(world, customer, one, *PRESENT) for one in made]
    assert await amounts(world, *spans) == [0] * len(Aggregation)


async def test_the_last_of_equals_is_that_of_the_greatest_id(world: World, customer: UUID) -> None:
    seats = await meter(world, Aggregation.LAST)
    await taken(
        world,
        said(customer, 1, START, id="B"),
        said(customer, 2, START, id="b"),
        said(customer, 3, START, id="a"),
        said(customer, 9, START - DAY, id="z"),
    )
    assert await amounts(world, span(world, customer, seats, *PRESENT)) == [2]
    await taken(world, counter("b"))
    assert await amounts(world, span(world, customer, seats, *PRESENT)) == [3]


async def test_a_counter_event_takes_another_back_in_every_aggregation(
    world: World, customer: UUID
) -> None:
    made = {kind: await meter(world, kind, f"{kind}") for kind in Aggregation}
    for kind in Aggregation:
        for n, user in ((3, "ada"), (9, "bob")):
            event = said(customer, n, START, id=f"{kind}{n}", event_name=f"{kind}")
            await taken(
                world, Reported(**_fields(event) | {"properties": {"value": n, "user": user}})
            )
    spans = [span(world, customer, made[kind], *PRESENT) for kind in Aggregation]
    assert await amounts(world, *spans) == [12, 2, 9, 9, 2]
    await taken(world, *(counter(f"{kind}9") for kind in Aggregation))
    assert await amounts(world, *spans) == [3, 1, 3, 3, 1]


def _fields(event: Reported) -> dict[str, Any]:
    return {name: getattr(event, name) for name in Reported.__slots__}


async def test_an_event_is_taken_back_once(world: World, customer: UUID) -> None:
    requests = await meter(world)
    usage_told = said(customer, 5, id="u")
    receipt = await tell(world, counter("u", "c"), usage_told)  # in one batch, in any order
    assert sorted(receipt.accepted) == ["c", "u"]
    assert (await tell(world, counter("u", "c"))).duplicates == ["c"]
    assert reasons(await tell(world, counter("u", "d"))) == ["already_reversed"]
    assert reasons(await tell(world, counter("c", "d"))) == ["event_not_reversible"]
    assert await amounts(world, span(world, customer, requests, *PRESENT)) == [0]


async def test_of_counter_events_that_come_together_one_is_taken(
    world: World, customer: UUID
) -> None:
    await meter(world)
    await taken(world, said(customer, 5, id="u"))
    receipts = await asyncio.gather(*(tell(world, counter("u", f"c{n}")) for n in range(5)))
    assert sum(len(receipt.accepted) for receipt in receipts) == 1
    assert [code for r in receipts for code in reasons(r)] == ["already_reversed"] * 4


async def test_a_correction_below_zero_bills_nothing(world: World, customer: UUID) -> None:
    requests = await meter(world)
    await taken(world, said(customer, 5), said(customer, -3))
    assert await amounts(world, span(world, customer, requests, *PRESENT)) == [2]
    await taken(world, said(customer, -3))
    assert await amounts(world, span(world, customer, requests, *PRESENT)) == [0]


async def test_sums_beyond_the_database_s_integers_are_exact(world: World, customer: UUID) -> None:
    requests = await meter(world)
    most = metering.VALUE_MAX
    for _ in range(10):
        await taken(world, *(said(customer, most) for _ in range(1_000)))
    found = await amounts(world, span(world, customer, requests, *PRESENT))
    assert found == [10_000 * most]  # 10^19 > 2^63


@pytest.mark.parametrize("seed", range(6))
async def test_the_database_reckons_as_a_plain_loop_does(world: World, seed: int) -> None:
    """Random events, targeted or not, filtered or not, taken back or not; every kind of meter."""
    dice = random.Random(seed)
    made = {kind: await meter(world, kind, f"{kind}", filters=FILTERS) for kind in Aggregation}
    subs = [await world.subscribed("1000", trial_days=3) for _ in range(2)]
    whose = {sub: (await world.subscription(sub))["customer_id"] for sub in subs}
    told = [_random_event(dice, whose) for _ in range(300)]
    receipt = await tell(world, *told)
    assert not receipt.refused
    backs = [counter(event_id) for event_id in dice.sample(receipt.accepted, 60)]
    await taken(world, *backs)
    kept = await _as_kept(world, [*told, *backs])
    wanted, expected = [], []
    for kind, made_id in made.items():
        for sub, customer in whose.items():
            start = START - timedelta(minutes=dice.randrange(0, 40))
            end = start + timedelta(minutes=dice.randrange(1, 40))
            wanted.append(span(world, customer, made_id, start, end, sub))
            mine = [
                event
                for event in kept
                if (event.meter_id, event.customer_id) == (made_id, customer)
                and event.subscription_id in (None, sub)
                and start <= event.happened_at < end
            ]
            how = metering.Meter(id=made_id, event_name=kind, aggregation=kind)
            expected.append(reckon(how, mine))
    assert await amounts(world, *wanted) == expected
    assert any(expected)


FILTERS = (Filter("paid", (True,)),)


def _random_event(dice: random.Random, whose: dict[UUID, UUID]) -> Reported:
    kind = dice.choice(list(Aggregation))
    sub = dice.choice(list(whose))
    return said(
        whose[sub],
        dice.randrange(-5 if kind is Aggregation.SUM else 0, 50),
        START - timedelta(minutes=dice.randrange(0, 40)),
        id=f"{dice.choice('aB-é')}{dice.getrandbits(64):x}",
        event_name=f"{kind}",
        subscription_id=dice.choice([None, sub]),
        properties={"paid": dice.random() < 0.8, "user": dice.choice("abcdef")},
    )


async def _as_kept(world: World, told: Sequence[Reported]) -> list[UsageEvent]:
    """The events as the domain says they are to be kept, without the database's help."""
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        known: Known = await rows.known(tx, world.caller.merchant_id, told, world.now)
        on_record = await rows.on_record(
            tx, world.caller.merchant_id, {event.id for event in told}, world.now
        )
    kept = []
    for event in told:
        if event.reverses is None:
            its_id = on_record[event.id].kept.id
            judged = metering.take(event, known, world.now, partial(lambda same: same, its_id))
        else:
            target = on_record[event.reverses].kept
            judged = UsageEvent(
                id=on_record[event.id].kept.id,
                event_id=event.id,
                meter_id=target.meter_id,
                customer_id=target.customer_id,
                subscription_id=target.told.subscription_id,
                happened_at=target.told.timestamp,
                value=None,
                unique_value=None,
                properties={},
                reverses_id=target.id,
                received_at=world.now,
            )
        assert isinstance(judged, UsageEvent), judged
        kept.append(judged)
    return kept


async def test_a_thousand_subscriptions_take_a_fixed_number_of_queries(world: World) -> None:
    made = [await meter(world, kind, f"{kind}") for kind in Aggregation]
    customer = await world.customer(None)

    class Counting:
        """A transaction that counts what it is asked."""

        asked = 0

        def __init__(self, tx: Any) -> None:
            self.tx = tx

        async def fetch(self, *args: Any) -> Any:
            self.asked += 1
            return await self.tx.fetch(*args)

    wanted = [span(world, customer, made[n % len(made)], *PRESENT) for n in range(1_000)]
    async with world.rt.db.begin_system() as tx:
        counting: Any = Counting(tx)
        found = await usage.quantities(counting, wanted)
        assert len(found) == 1_000
        assert counting.asked == 1 + len(Aggregation)
        counting.asked = 0
        await usage.late(counting, [Billed(w, 1, None) for w in wanted])
        assert counting.asked == 2 + len(Aggregation)


# ── what comes late ───────────────────────────────────────────────────────────────────────────────


async def test_what_comes_after_the_bill_is_the_difference_to_it(
    world: World, customer: UUID
) -> None:
    requests = await meter(world)
    wanted = span(world, customer, requests, *JANUARY)
    await taken(world, said(customer, 10, START - DAY))
    assert await amounts(world, wanted) == [10]
    bill = Billed(wanted, 10, world.now)
    assert await late(world, bill) == {}
    world.clock.advance(3 * DAY)
    assert await late(world, bill) == {}
    await taken(world, said(customer, 5, START - DAY), said(customer, 7))
    found = await late(world, bill)
    assert {w: (m.quantity, m.events) for w, m in found.items()} == {wanted: (15, 2)}
    # Billed with 15 now, in whichever line, it is not late again.
    assert await late(world, Billed(wanted, 15, world.now)) == {}


async def test_what_happened_just_before_the_end_and_comes_just_after_is_late(
    world: World, customer: UUID
) -> None:
    requests = await meter(world)
    wanted = span(world, customer, requests, *JANUARY)
    world.clock.advance(timedelta(seconds=1))
    bill = Billed(wanted, 0, world.now)
    world.clock.advance(timedelta(seconds=1))
    await taken(world, said(customer, 5, START - timedelta(seconds=1)))
    assert [m.quantity for m in (await late(world, bill)).values()] == [5]


async def test_a_counter_event_after_the_bill_makes_it_smaller(
    world: World, customer: UUID
) -> None:
    requests = await meter(world)
    wanted = span(world, customer, requests, *JANUARY)
    await taken(
        world, said(customer, 10, START - DAY, id="u"), said(customer, 1, START - DAY / 100, id="v")
    )
    bill = Billed(wanted, 11, world.now)
    world.clock.advance(timedelta(minutes=10))
    await taken(world, counter("v"))
    assert [m.quantity for m in (await late(world, bill)).values()] == [10]
    world.clock.advance(3 * DAY)
    await taken(world, counter("u"))
    assert [m.quantity for m in (await late(world, bill)).values()] == [0]


async def test_where_a_price_counts_events_their_number_is_compared_too(
    world: World, customer: UUID
) -> None:
    requests = await meter(world)
    wanted = span(world, customer, requests, *JANUARY)
    await taken(world, said(customer, 10, START - DAY))
    bill = Billed(wanted, 10, world.now, events=1)
    world.clock.advance(DAY)
    await taken(world, said(customer, 0, START - DAY))
    assert [m.events for m in (await late(world, bill)).values()] == [2]
    assert await late(world, Billed(wanted, 10, START)) == {}


async def test_an_event_not_yet_committed_when_its_period_is_billed_is_late(
    world: World, customer: UUID
) -> None:
    """The race itself: told before the bill, visible only after it, in time and out of sight."""
    requests = await meter(world)
    wanted = span(world, customer, requests, *JANUARY)
    merchant = world.caller.merchant_id
    event = said(customer, 5, START - timedelta(minutes=1))
    async with world.rt.db.begin(merchant) as telling:
        known = await rows.known(telling, merchant, [event], world.now)
        kept = metering.take(event, known, world.now, new_id)
        assert isinstance(kept, UsageEvent)
        assert await rows.insert(telling, merchant, [kept]) == {event.id: kept.id}
        world.clock.advance(timedelta(minutes=2))  # a long transaction
        assert await amounts(world, wanted) == [0]
        bill = Billed(wanted, 0, world.now)
    world.clock.advance(28 * DAY)
    assert [m.quantity for m in (await late(world, bill)).values()] == [5]


@pytest.mark.parametrize("seed", range(3))
async def test_in_a_storm_every_event_is_billed_once(world: World, seed: int) -> None:
    """Tellers and bills run together, for as long as it takes; then the bills are added up.

    Each bill charges the period just past, and what earlier ones turn out to have been more; all
    bills of one customer come one after the other, as the subscription's lock has it.
    """
    dice = random.Random(seed)
    requests = await meter(world)
    customers = [await world.customer(None) for _ in range(3)]
    periods = [(START + n * DAY / 24, START + (n + 1) * DAY / 24) for n in range(6)]
    truth: dict[tuple[UUID, int], int] = {}
    billed: dict[tuple[UUID, int], Billed] = {}
    wanted = {
        (c, n): span(world, c, requests, *period)
        for c in customers
        for n, period in enumerate(periods)
    }
    passed = 0

    async def teller() -> None:
        for _ in range(25):
            events = []
            for _ in range(dice.randrange(1, 6)):
                customer, n = dice.choice(customers), dice.randrange(0, passed + 1)
                at = periods[n][0] + (periods[n][1] - periods[n][0]) * dice.random()
                value = dice.randrange(1, 100)
                if at <= world.now + metering.FUTURE_MAX:
                    events.append(said(customer, value, at))
                    truth[customer, n] = truth.get((customer, n), 0) + value
            await taken(world, *events)
            await asyncio.sleep(0)

    async def bill(customer: UUID, n: int) -> None:
        now = world.now
        async with world.rt.db.begin_system() as tx:
            earlier = [billed[customer, k] for k in range(n) if (customer, k) in billed]
            differences = await usage.late(tx, earlier)
            fresh = [wanted[customer, n]] if n < len(periods) else []
            found = await usage.quantities(tx, fresh)
        places = {w: key for key, w in wanted.items()}
        for w, metered in differences.items():
            assert metered.quantity > billed[places[w]].quantity
            billed[places[w]] = Billed(w, metered.quantity, now)
        for w in fresh:
            billed[places[w]] = Billed(w, found[w.merchant_id, w.item_id].quantity, now)

    async def biller() -> None:
        nonlocal passed
        for n in range(len(periods)):
            await asyncio.sleep(0)
            world.clock.set(periods[n][1])
            passed = min(n + 1, len(periods) - 1)
            await asyncio.gather(*(bill(customer, n) for customer in customers))

    await asyncio.gather(biller(), *(teller() for _ in range(6)))
    world.clock.advance(DAY)
    await asyncio.gather(*(bill(customer, len(periods)) for customer in customers))
    assert {key: b.quantity for key, b in billed.items() if b.quantity} == truth


async def metered(world: World, meter_id: UUID, amount: str = "10") -> UUID:
    """A price by usage, billed when the month is over."""
    return await world.price(
        amount, usage_type=pricing.Usage.METERED, timing=Timing.ARREARS, meter_id=meter_id
    )


async def to_month(world: World, number: int) -> None:
    """Go to the boundary of that number, counted from the start, and let it be billed."""
    await world.advance_quietly(
        seconds=int((Interval(Unit.MONTH).after(START, number) - world.now).total_seconds())
    )


async def usage_lines(world: World, sub: UUID) -> list[tuple[Any, ...]]:
    """Where each period began, and the units and the amount of each line for it, in order."""
    return [
        (line["period_start"], line["quantity"], line["amount"])
        for invoice in await world.invoices(sub)
        for line in await world.lines(invoice["id"])
        if line["kind"] == "usage" and (line["quantity"] or line["amount"])
    ]


async def test_the_present_period_says_what_it_would_cost_by_now(world: World) -> None:
    requests = await meter(world)
    customer = await world.customer()
    sub = await world.subscribe(customer, await metered(world, requests, "2.5"))
    await taken(world, said(customer, 7, START), said(customer, 100, START - DAY))
    present = await usage_events.of_subscription(world.rt, world.caller, sub)
    [item] = present.items
    # 7 * 2.5 = 17.5 cents, rounded once
    assert (item.metered.quantity, item.amount.minor, item.meter_id) == (7, 18, requests)
    licensed = await world.subscribe(customer, await world.price())
    assert (await usage_events.of_subscription(world.rt, world.caller, licensed)).items == ()
    with pytest.raises(NotFound):
        await usage_events.of_subscription(world.rt, world.caller, new_id())


async def test_usage_that_comes_a_month_late_is_a_line_of_the_next_invoice(world: World) -> None:
    """Periods from 31 January, 28 February and 31 March; the window is 30 days, March has 31."""
    requests = await meter(world)
    customer = await world.customer()
    sub = await world.subscribe(customer, await metered(world, requests))
    await taken(world, said(customer, 7, START))
    await to_month(world, 1)
    february = world.now
    assert await usage_lines(world, sub) == [(START, 7, 70)]
    world.clock.advance(DAY)
    await taken(world, said(customer, 5, START + 10 * DAY), said(customer, 1))
    await to_month(world, 2)
    # 12 * 10 - 70 for the period before, and 1 * 10 for the one that is over
    lines = await usage_lines(world, sub)
    assert sorted(lines[1:]) == [(START, 5, 50), (february, 1, 10)]
    await to_month(world, 3)
    assert len(await usage_lines(world, sub)) == 3


# ── reading ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_series_has_every_step_and_the_days_of_its_zone(
    world: World, customer: UUID
) -> None:
    requests = await meter(world)
    world.clock.advance(2 * DAY)
    other = await world.customer(None)
    await taken(
        world,
        said(customer, 1, START),  # Saturday, 31 January, 9:00 in UTC: 18:00 in Tokyo
        said(customer, 2, START + 6 * DAY / 24),  # 15:00: midnight in Tokyo
        said(customer, 4, START + DAY),
        said(other, 8, START + DAY),
        said(customer, 16, START + DAY, id="u"),
        counter("u"),
    )

    async def steps(**options: Any) -> list[int]:
        cmd = meters.ReadUsage(meter_id=requests, **options)
        found = await meters.read_usage(world.rt, world.caller, cmd)
        assert found.series.total.quantity == sum(s.quantity for s in found.series.steps)
        return [step.quantity for step in found.series.steps]

    whole = {"start": START, "end": START + 2 * DAY}
    assert await steps(**whole) == [3, 12, 0]
    assert await steps(**whole, customer_id=customer) == [3, 4, 0]
    assert await steps(**whole, zone="Asia/Tokyo") == [1, 14, 0]
    assert await steps(**whole, granularity=Granularity.MONTH) == [3, 12]
    by_hour = await steps(**whole, granularity=Granularity.HOUR)
    assert (len(by_hour), by_hour[0], by_hour[6], by_hour[24]) == (48, 1, 2, 12)
    assert await steps() == [12, 0]  # from the first of February to now, the second, nine o'clock
    assert await steps(customer_id=new_id()) == [0, 0]
    with pytest.raises(NotFound):
        await meters.read_usage(world.rt, world.caller, meters.ReadUsage(meter_id=new_id()))


async def test_the_steps_of_a_unique_meter_do_not_add_up_and_its_total_says_so(
    world: World, customer: UUID
) -> None:
    users = await meter(world, Aggregation.UNIQUE)
    world.clock.advance(2 * DAY)
    for day, user in ((0, "ada"), (1, "ada"), (1, "bob")):
        await taken(world, said(customer, None, START + day * DAY, properties={"user": user}))
    cmd = meters.ReadUsage(meter_id=users, start=START, end=START + 2 * DAY)
    found = (await meters.read_usage(world.rt, world.caller, cmd)).series
    assert [step.quantity for step in found.steps] == [1, 2, 0]
    assert found.total.quantity == 2


# ── whose it is ───────────────────────────────────────────────────────────────────────────────────


async def test_another_merchant_s_names_are_unknown_and_its_ids_are_free(
    world: World, customer: UUID, clean_database: str
) -> None:
    from tests.world import open_world

    theirs_made = await meter(world)
    await taken(world, said(customer, 5, id="same", at=START))
    async with open_world(clean_database) as mine:
        assert reasons(await tell(mine, said(customer))) == ["meter_not_found"]
        requests = await meter(mine)
        assert reasons(await tell(mine, said(customer), counter("same"))) == [
            "customer_not_found",
            "event_not_found",
        ]
        own = await mine.customer(None)
        await taken(mine, said(own, 7, id="same", at=START))
        assert await amounts(mine, span(mine, own, requests, *PRESENT)) == [7]
        # The clock crosses merchants: a span is of one merchant all the same.
        crossed = [
            span(mine, customer, requests, *PRESENT),
            span(mine, own, requests, *PRESENT)._replace(customer_id=customer),
        ]
        assert await amounts(mine, *crossed) == [0, 0]
        async with mine.rt.db.begin(mine.caller.merchant_id) as tx:
            assert await tx.fetchval("SELECT count(*) FROM usage_events") == 1
            assert await tx.fetchval("SELECT count(*) FROM meters") == 1
        for column, foreign in (("meter_id", theirs_made), ("customer_id", customer)):
            with pytest.raises((InvalidRequest, Refused)):
                await _insert_raw(
                    mine, {"meter_id": requests, "customer_id": own} | {column: foreign}
                )


async def _insert_raw(world: World, ids: dict[str, UUID]) -> None:
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run(
            "INSERT INTO usage_events (merchant_id, id, event_id, meter_id, customer_id,"
            " happened_at, value, received_at, delayed)"
            " VALUES ($1, $2, 'raw', $3, $4, $5, 1, $5, false)",
            world.caller.merchant_id,
            new_id(),
            ids["meter_id"],
            ids["customer_id"],
            world.now,
        )


async def test_one_event_is_taken_or_says_why_not(world: World, customer: UUID) -> None:
    await meter(world)
    event = said(customer, 5, START)
    first = await usage_events.record_one(world.rt, world.caller, event)
    assert await usage_events.record_one(world.rt, world.caller, event) == first
    with pytest.raises(Conflict) as reused:
        await usage_events.record_one(world.rt, world.caller, said(customer, 6, id=event.id))
    assert reused.value.code == "event_id_reused"
    with pytest.raises(InvalidRequest) as missing:
        await usage_events.record_one(world.rt, world.caller, said(customer, None))
    assert (missing.value.code, missing.value.param) == ("value_missing", "properties.value")


async def test_batches_with_events_in_common_take_each_once(world: World, customer: UUID) -> None:
    requests = await meter(world)
    events = [said(customer, 1) for _ in range(200)]
    batches = [random.Random(n).sample(events, len(events)) for n in range(6)]
    receipts = await asyncio.gather(*(tell(world, *batch) for batch in batches))
    assert sum(len(receipt.accepted) for receipt in receipts) == 200
    assert sum(len(receipt.duplicates) for receipt in receipts) == 1_000
    assert await amounts(world, span(world, customer, requests, *PRESENT)) == [200]


def test_spans_are_values() -> None:
    """They are keys of what `late` finds."""
    ids = [new_id() for _ in range(5)]
    assert Wanted(*ids, *PRESENT) == Wanted(*ids, *PRESENT)
