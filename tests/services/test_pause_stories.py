"""Pausing and resuming, told as stories: what is billed meanwhile, what comes back, what follows.

Stories begin on 31 January at 9:00; the first period has 28 days, so that 14 days are half of it.
"""

from uuid import UUID

import pytest

from app.domain.calendar import Unit
from app.domain.errors import Conflict, InvalidRequest
from app.domain.policy import CancelCredit, PauseUnused, Settlement, When
from app.domain.pricing import Timing
from app.domain.subscription import PausedInvoices
from app.services.changes import ChangedItem
from tests.terms import CHANGED, RESUMED, amounts, at, dials, paid, period, planned, totals
from tests.world import PAID, RENEWED, STARTED, World

PAUSED = ("subscription.paused",)
GIVEN = ("subscription.paused", "invoice.finalized", "invoice.paid")
GOES_ON = ("subscription.resumed",)


async def halfway(world: World, amount: str = "2800") -> tuple[UUID, UUID]:
    """A customer who subscribed at `amount`, at half of the first period."""
    customer, price = await world.customer(), await world.price(amount)
    sub = await world.subscribe(customer, price)
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    return customer, sub


async def test_kept_open_invoices_are_collected_when_it_goes_on(world: World) -> None:
    _, sub = await halfway(world)
    await world.pause(sub, invoices=PausedInvoices.KEEP)
    await world.expect(*PAUSED)
    for month in (2, 3):
        day = 28 if month == 2 else 31
        await world.advance(
            to=at(2026, month, day, 9), expect=["subscription.renewed", "invoice.finalized"]
        )
    assert [i["status"] for i in await world.invoices(sub)] == ["paid", "open", "open"]
    assert paid(world) == [2800]
    await world.resume(sub)
    await world.expect(*GOES_ON, *PAID, *PAID)
    assert paid(world) == [2800, 2800, 2800]
    await world.advance(to=at(2026, 4, 30, 9), expect=RENEWED)
    await world.assert_clean()


async def test_drafts_become_final_when_it_goes_on(world: World) -> None:
    _, sub = await halfway(world)
    await world.pause(sub, invoices=PausedInvoices.DRAFT)
    await world.expect(*PAUSED)
    await world.advance(to=at(2026, 2, 28, 9), expect=["subscription.renewed", "invoice.created"])
    await world.advance(days=10, expect=[])
    await world.resume(sub)
    await world.tick()
    await world.expect(*GOES_ON, "invoice.finalized", *PAID)
    assert paid(world) == [2800, 2800]
    await world.assert_clean()


async def test_time_that_is_given_away_stays_given_away(world: World) -> None:
    _, sub = await halfway(world)
    await world.pause(sub, invoices=PausedInvoices.VOID)
    await world.expect(*PAUSED)
    given = ["subscription.renewed", "invoice.voided"]
    await world.advance(to=at(2026, 2, 28, 9), expect=given)
    await world.resume(sub)
    await world.expect(*GOES_ON)
    assert [i["status"] for i in await world.invoices(sub)] == ["paid", "void"]
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    assert paid(world) == [2800, 2800]
    await world.assert_clean()


async def test_without_invoices_no_period_begins(world: World) -> None:
    _, sub = await halfway(world)
    await world.pause(sub)
    await world.expect(*PAUSED)
    await world.advance(to=at(2026, 6, 15, 9), expect=[])
    assert await period(world, sub) == (at(2026, 1, 31, 9), at(2026, 2, 28, 9))
    assert (await world.subscription(sub))["next_action_at"] is None
    await world.assert_clean()


@pytest.mark.parametrize(
    ("follows", "first", "end"),
    [
        # A full one, counted from the resume.
        ("new_period", 2800, (2026, 4, 10)),
        # To the boundary of old, 31 March: 21 of its 31 days, 28.00 x 21/31 = 18.968.
        ("stub", 1897, (2026, 3, 31)),
    ],
)
async def test_resumed_after_its_paid_time_it_begins_a_period_or_a_part_of_one(
    world: World, follows: str, first: int, end: tuple[int, ...]
) -> None:
    await dials(world, pause_resume=follows)
    _, sub = await halfway(world)
    await world.pause(sub)
    await world.expect(*PAUSED)
    await world.advance(to=at(2026, 3, 10, 9), expect=[])
    await world.resume(sub)
    await world.expect(*RESUMED)
    assert await period(world, sub) == (at(2026, 3, 10, 9), at(*end, 9))
    assert paid(world) == [2800, first]
    await world.advance(to=at(*end, 9), expect=RENEWED)
    assert paid(world) == [2800, first, 2800]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("follows", "first", "end"),
    [
        ("new_period", 2800, (2026, 3, 21)),
        # To 28 February: 7 of 28 days.
        ("stub", 700, (2026, 2, 28)),
    ],
)
async def test_what_was_given_back_is_paid_again_when_it_goes_on(
    world: World, follows: str, first: int, end: tuple[int, ...]
) -> None:
    await dials(world, pause_resume=follows, pause_unused="credit")
    customer, sub = await halfway(world)
    await world.pause(sub)
    # Half of 28.00 comes back.
    await world.expect(*GIVEN)
    assert await world.credit_left(customer) == 1400
    await world.advance(days=7, expect=[])
    await world.resume(sub)
    await world.told()
    assert await period(world, sub) == (at(2026, 2, 21, 9), at(*end, 9))
    assert await totals(world, sub) == [2800, -1400, first]
    assert sum(paid(world)) - await world.credit_left(customer) == 2800 - 1400 + first
    await world.assert_clean()


async def test_the_call_says_otherwise_than_the_dial(world: World) -> None:
    await dials(world, pause_unused="credit")
    customer, sub = await halfway(world)
    await world.pause(sub, unused=PauseUnused.KEEP)
    await world.expect(*PAUSED)
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_it_goes_on_by_itself_inside_the_time_that_was_paid(world: World) -> None:
    _, sub = await halfway(world)
    await world.pause(sub, resumes_at=at(2026, 2, 20, 9))
    await world.expect(*PAUSED)
    await world.advance(to=at(2026, 2, 20, 9), expect=GOES_ON)
    assert await world.status(sub) == "active"
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2800, 2800]
    await world.assert_clean()


async def test_it_pauses_when_its_period_is_over(world: World) -> None:
    _, sub = await halfway(world)
    await world.pause(sub, when=When.PERIOD_END, resumes_at=at(2026, 4, 5, 9))
    await world.expect("subscription.updated")
    assert len(await planned(world, sub)) == 1
    assert await world.status(sub) == "active"
    await world.advance(to=at(2026, 2, 28, 9), expect=PAUSED)
    assert await planned(world, sub) == []
    await world.advance(to=at(2026, 4, 5, 9), expect=RESUMED)
    assert await period(world, sub) == (at(2026, 4, 5, 9), at(2026, 5, 5, 9))
    assert paid(world) == [2800, 2800]
    await world.assert_clean()


async def test_what_is_in_arrears_is_billed_to_the_pause_and_from_the_resume(
    world: World,
) -> None:
    slow = await world.price("2800", timing=Timing.ARREARS)
    sub = await world.subscribe(await world.customer(), slow)
    await world.expect("subscription.created")
    await world.advance(days=7, expect=[])
    await world.pause(sub)
    # A quarter was used.
    await world.expect("subscription.paused", "invoice.finalized", *PAID)
    await world.advance(days=7, expect=[])
    await world.resume(sub)
    await world.expect(*GOES_ON)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # And the half that is left; of the week between nothing.
    assert paid(world) == [700, 1400]
    await world.assert_clean()


async def test_an_upgrade_in_a_pause_is_settled_while_the_paid_time_lasts(world: World) -> None:
    _, sub = await halfway(world)
    await world.pause(sub)
    await world.expect(*PAUSED)
    await world.change(sub, ChangedItem(price_id=await world.price("5600")), when=When.NOW)
    await world.expect(*CHANGED)
    assert await amounts(world, sub) == [-1400, 2800]
    await world.resume(sub)
    await world.expect(*GOES_ON)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2800, 1400, 5600]
    await world.assert_clean()


async def test_an_upgrade_after_the_paid_time_costs_from_the_resume(world: World) -> None:
    _, sub = await halfway(world)
    await world.pause(sub)
    await world.expect(*PAUSED)
    await world.advance(to=at(2026, 3, 10, 9), expect=[])
    dear = await world.price("5600", setup_fee=500)
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.expect("subscription.updated")
    await world.resume(sub)
    await world.expect(*RESUMED)
    # The price is another, the item is the same: its set-up fee was owed at its beginning.
    assert paid(world) == [2800, 5600]
    await world.assert_clean()


async def test_what_waits_is_billed_when_it_goes_on(world: World) -> None:
    _, sub = await halfway(world)
    await world.change(
        sub,
        ChangedItem(price_id=await world.price("5600")),
        when=When.NOW,
        settlement=Settlement.NEXT_INVOICE,
    )
    await world.pause(sub)
    await world.expect("subscription.updated", *PAUSED)
    await world.advance(to=at(2026, 3, 10, 9), expect=[])
    await world.resume(sub)
    await world.expect(*RESUMED)
    # -14.00 + 28.00 of then, and the period that begins.
    assert await amounts(world, sub) == [-1400, 2800, 5600]
    await world.assert_clean()


async def test_canceled_in_a_pause_it_ends_and_may_give_back(world: World) -> None:
    customer, sub = await halfway(world)
    await world.pause(sub)
    await world.expect(*PAUSED)
    await world.advance(days=7, expect=[])
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect("subscription.canceled", "invoice.finalized", "invoice.paid")
    # A quarter of what was paid is left.
    assert await world.credit_left(customer) == 700
    await world.assert_clean()


async def test_a_pause_outlives_a_cancellation_at_the_period_s_end_no_more(world: World) -> None:
    _, sub = await halfway(world)
    await world.cancel(sub, at_period_end=True)
    await world.pause(sub)
    await world.expect("subscription.updated", *PAUSED)
    await world.advance(to=at(2026, 2, 28, 9), expect=["subscription.canceled"])
    assert paid(world) == [2800]
    await world.assert_clean()


async def test_canceled_in_a_pause_drafts_become_final_and_open_ones_are_collected(
    world: World,
) -> None:
    _, drafted = await halfway(world)
    kept = await world.subscribe(await world.customer(), await world.price("1000"))
    await world.expect(*STARTED)
    await world.pause(drafted, invoices=PausedInvoices.DRAFT)
    await world.pause(kept, invoices=PausedInvoices.KEEP)
    await world.expect(*PAUSED * 2)
    await world.advance(
        to=at(2026, 3, 14, 9),
        expect=["subscription.renewed", "invoice.created", *RENEWED[:2]],
    )
    await world.cancel(drafted)
    await world.cancel(kept)
    await world.tick()
    await world.expect(*["subscription.canceled"] * 2, "invoice.finalized", *PAID * 2)
    assert sorted(paid(world)) == [1000, 1000, 2800, 2800]
    await world.assert_clean()


async def test_what_cannot_pause_or_go_on_is_refused(world: World) -> None:
    _, sub = await halfway(world)
    with pytest.raises(Conflict, match="not paused"):
        await world.resume(sub)
    with pytest.raises(InvalidRequest, match="resumes after it is paused"):
        await world.pause(sub, resumes_at=at(2026, 2, 1))
    await world.pause(sub)
    with pytest.raises(Conflict, match="cannot pause"):
        await world.pause(sub)
    trial = await world.subscribe(await world.customer(), await world.price("1"), trial_days=7)
    with pytest.raises(Conflict, match="A trial is not paused"):
        await world.pause(trial)


async def test_only_the_days_between_the_pauses_cost(world: World) -> None:
    await dials(world, pause_unused="credit", pause_resume="stub")
    customer, sub = await halfway(world)
    for _ in range(5):
        await world.pause(sub)
        await world.advance_quietly(days=1)
        await world.resume(sub)
        await world.advance_quietly(days=1)
    # 28.00 for 28 days, on five of which it was paused.
    assert sum(await totals(world, sub)) == 2300
    assert sum(paid(world)) - await world.credit_left(customer) == 2300
    await world.assert_clean()


async def test_what_was_paid_for_an_item_that_is_gone_comes_back_too(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("2800"), await world.price("1400"))
    await world.expect(*STARTED)
    await world.advance(days=7, expect=[])
    [_, second] = await world.items(sub)
    gone = ChangedItem(second["id"], is_removed=True)
    await world.change(sub, gone, settlement=Settlement.NONE, adds=True)
    await world.expect(CHANGED[0])
    await world.advance(days=7, expect=[])
    await world.pause(sub, unused=PauseUnused.CREDIT)
    # Both were paid for all of the period: half of 28.00 and half of 14.00.
    assert await totals(world, sub) == [4200, -2100]
    assert await world.credit_left(customer) == 2100
    await world.assert_clean()


@pytest.mark.parametrize(
    ("first_period", "stub", "back", "rest"),
    [
        ("full", 2800, -2240, 1400),  # 28.00 for 10 days: 8 of them come back, 5 are paid again
        ("free", 0, None, 0),
        ("prorated", 1000, -800, 500),  # 1.00 a day: 28 days are from 13 January to 10 February
    ],
)
async def test_who_pauses_in_the_first_stub_comes_back_on_its_terms(
    world: World, first_period: str, stub: int, back: int | None, rest: int
) -> None:
    await dials(world, first_period=first_period, pause_unused="credit", pause_resume="stub")
    price = await world.price("2800", unit=Unit.DAY, interval_count=28)
    sub = await world.subscribe(
        await world.customer(), price, billing_anchor=at(2026, 2, 10, 9), cycles=2
    )
    await world.advance_quietly(days=2)
    await world.pause(sub)
    await world.advance_quietly(days=3)
    await world.resume(sub)
    assert await period(world, sub) == (at(2026, 2, 5, 9), at(2026, 2, 10, 9))
    expected = [stub, rest] if back is None else [stub, back, rest]
    assert await totals(world, sub) == expected
    # A stub is none of the two periods that were agreed on, however often one comes back in it.
    await world.advance_quietly(days=5 + 28 + 28)
    assert await totals(world, sub) == [*expected, 2800, 2800]
    assert await world.status(sub) == "canceled"
    await world.assert_clean()
