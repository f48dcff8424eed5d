"""What a preview says comes to pass, to the cent and line by line; it leaves no trace itself."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.discount import Duration
from app.domain.errors import BillingError, Conflict, InvalidRequest, NotFound
from app.domain.invoice import Collection
from app.domain.policy import CancelCredit, Settlement, When
from app.services.changes import ChangedItem
from tests.previews import came, of_cancel, of_change, of_create, preview, told, told_next
from tests.situations import Situations
from tests.world import START, World


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def counts(world: World) -> dict[str, Any]:
    """How many rows every table has, and how far every series has counted."""
    tables = await world.fetch(
        "SELECT format('%I', relname) AS name FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r'"
        " AND has_table_privilege(c.oid, 'SELECT')"
    )
    found = {}
    for table in tables:
        name = table["name"]
        [row] = await world.fetch(f"SELECT count(*) AS n FROM {name}")
        found[name] = row["n"]
    rows = await world.fetch("SELECT series, next_number FROM invoice_series")
    return found | {row["series"]: row["next_number"] for row in rows}


async def test_a_new_subscription_is_billed_as_previewed(world: World) -> None:
    customer, price = await world.customer(), await world.price("1999")
    await world.credit(customer, 500)
    options = {
        "coupon_ids": [await world.coupon(percent_off="15", duration=Duration.ONCE)],
        "tax_rate_ids": [await world.tax_rate("19")],
        "billing_anchor": at(2026, 2, 15),
    }
    before = await counts(world)
    found = await of_create(world, customer, (price, 3), **options)
    assert await counts(world) == before
    sub = await world.subscribe(customer, (price, 3), **options)
    assert told(found) == await came(world, sub)
    world.clock.set(at(2026, 2, 15))
    await world.tick()
    assert [told_next(found)] == await came(world, sub, after=1)


async def test_a_trial_is_billed_when_it_is_over(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000", trial_days=14)
    found = await of_create(world, customer, price)
    assert told(found) == []
    sub = await world.subscribe(customer, price)
    world.clock.set(START + timedelta(days=14))
    await world.tick()
    assert [told_next(found)] == await came(world, sub)


async def test_without_a_payment_method_the_first_invoice_is_taken_to_be_paid(world: World) -> None:
    customer, price = await world.customer(None), await world.price("1000")
    found = await of_create(world, customer, price)
    [first] = told(found)
    following = told_next(found)
    assert following is not None
    assert (first["amount_due"], following["period_start"]) == (1000, at(2026, 2, 28, 9))


async def test_an_upgrade_is_billed_as_previewed(world: World) -> None:
    sub = await world.subscribed("2800")
    dear = await world.price("5600")
    await world.advance(days=14, expect=[])
    [item] = await world.items(sub)
    change = ChangedItem(id=item["id"], price_id=dear)
    before = await counts(world)
    found = await of_change(world, sub, change, when=When.NOW)
    assert await counts(world) == before
    assert [line["amount"] for line in told(found)[0]["lines"]] == [-1400, 2800]
    await world.change(sub, change, when=When.NOW)
    assert told(found) == await came(world, sub, after=1)
    world.clock.set(at(2026, 2, 28, 9))
    await world.tick()
    assert [told_next(found)] == await came(world, sub, after=2)


async def test_a_change_for_the_next_invoice_is_seen_to_wait(world: World) -> None:
    sub = await world.subscribed("2800")
    dear = await world.price("5600")
    await world.advance(days=14, expect=[])
    [item] = await world.items(sub)
    change = ChangedItem(id=item["id"], price_id=dear)
    options = {"when": When.NOW, "settlement": Settlement.NEXT_INVOICE}
    found = await of_change(world, sub, change, **options)
    assert told(found) == []
    assert [item.charge.amount for item in found.preview.pending] == [-1400, 2800]
    await world.change(sub, change, **options)
    world.clock.set(at(2026, 2, 28, 9))
    await world.tick()
    assert [told_next(found)] == await came(world, sub, after=1)


async def test_a_downgrade_at_the_end_shows_in_the_next_invoice(world: World) -> None:
    good, better = await world.plan("Good", rank=1), await world.plan("Better", rank=2)
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("5000", plan=better))
    [item] = await world.items(sub)
    change = ChangedItem(id=item["id"], price_id=await world.price("2000", plan=good))
    found = await of_change(world, sub, change)
    assert told(found) == []
    assert [planned.due_at for planned in found.preview.subscription.scheduled] == [
        at(2026, 2, 28, 9)
    ]
    await world.change(sub, change)
    world.clock.set(at(2026, 2, 28, 9))
    await world.tick()
    assert [told_next(found)] == await came(world, sub, after=1)


async def test_a_cancellation_with_credit_is_billed_as_previewed(world: World) -> None:
    sub = await world.subscribed("2800")
    await world.advance(days=7, expect=[])
    found = await of_cancel(world, sub, when=When.NOW, credit=CancelCredit.PRORATED)
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    assert told(found) == await came(world, sub, after=1)
    assert told(found)[0]["total"] == -2100  # three of four weeks
    assert told_next(found) is None
    assert found.preview.subscription.status == "canceled"


async def test_a_cancellation_before_anything_is_paid_makes_the_invoice_smaller(
    world: World,
) -> None:
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price, collection=Collection.SEND_INVOICE, net_days=30)
    world.clock.advance(timedelta(days=7))
    found = await of_cancel(world, sub, when=When.NOW, credit=CancelCredit.PRORATED)
    [note] = found.preview.credit_notes
    assert (note.total, note.to_invoice, note.to_balance) == (2100, 2100, 0)
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    [real] = await world.fetch("SELECT total, to_balance, to_refund FROM credit_notes")
    assert (real["total"], real["to_balance"], real["to_refund"]) == (2100, 0, 0)
    assert told(found) == await came(world, sub, after=1) == []


async def test_the_next_invoice_as_things_stand_and_a_later_one(world: World) -> None:
    sub = await world.subscribed("1000")
    next_one = await preview(world, subscription_id=sub)
    later = await preview(world, subscription_id=sub, at=at(2026, 4, 15))
    assert told(next_one) == told(later) == []
    for moment in (at(2026, 2, 28, 9), at(2026, 3, 31, 9), at(2026, 4, 30, 9)):
        world.clock.set(moment)
        await world.tick()
    real = await came(world, sub)
    assert told_next(next_one) == real[1]
    assert told_next(later) == real[3]


async def test_a_change_previewed_for_a_later_day_is_billed_so_on_that_day(world: World) -> None:
    sub = await world.subscribed("3000")
    dear = await world.price("7000")
    [item] = await world.items(sub)
    change = ChangedItem(id=item["id"], price_id=dear)
    day = at(2026, 3, 14, 9)
    found = await of_change(world, sub, change, when=When.NOW, preview_at=day)
    world.clock.set(at(2026, 2, 28, 9))
    await world.tick()
    world.clock.set(day)
    await world.change(sub, change, when=When.NOW)
    real = await came(world, sub, after=2)
    assert real[0]["lines"][0].pop("reverses_line_id") is not None
    [shown] = told(found)
    assert shown["lines"][0].pop("reverses_line_id") is None  # a line that is not there yet
    assert shown == real[0]


async def test_what_the_real_thing_refuses_the_preview_refuses(world: World) -> None:
    sub = await world.subscribed()
    [item] = await world.items(sub)
    with pytest.raises(InvalidRequest):
        await of_change(world, sub, ChangedItem(id=item["id"], is_removed=True), when=When.NOW)
    with pytest.raises(NotFound):
        await preview(world, subscription_id=UUID(int=7))
    with pytest.raises(InvalidRequest):
        await preview(world, subscription_id=sub, at=at(2030, 1, 1))
    with pytest.raises(InvalidRequest):
        await preview(world, subscription_id=sub, at=at(2025, 1, 1))
    await world.cancel(sub)
    with pytest.raises(Conflict):
        await of_cancel(world, sub, when=When.NOW)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_done_it_is_billed_as_previewed(world: World, seed: int) -> None:
    """Created, changed twice and canceled, with whatever prices, coupons and taxes."""
    situations = Situations(world, seed)
    await situations.stock()
    for _ in range(4):
        customer, options, items = await situations.subscription()
        found = await of_create(world, customer, *items, **options)
        sub = await world.subscribe(customer, *items, **options)
        real = await came(world, sub)
        assert told(found) == real
        for _ in range(2):
            world.clock.advance(timedelta(hours=situations.draw.randrange(1, 900)))
            await world.tick()
            billed = len(await came(world, sub))
            parts, how = await situations.change(sub)
            try:
                found = await of_change(world, sub, *parts, **how)
            except BillingError as refused:
                with pytest.raises(type(refused)):
                    await world.change(sub, *parts, **how)
                continue
            await world.change(sub, *parts, **how)
            assert told(found) == await came(world, sub, after=billed)
            assert found.preview.subscription.status == await world.status(sub)
        expected = await preview(world, subscription_id=sub)
        billed = len(await came(world, sub))
        following = told_next(expected)
        if following is not None:
            world.clock.set(following["created_at"])
            await world.tick()
            assert [following] == await came(world, sub, after=billed)
        world.clock.advance(timedelta(hours=situations.draw.randrange(1, 600)))
        billed = len(await came(world, sub))
        credit = situations.draw.choice(list(CancelCredit))
        found = await of_cancel(world, sub, when=When.NOW, credit=credit)
        await world.cancel(sub, credit=credit)
        assert told(found) == await came(world, sub, after=billed)
    await world.assert_clean()
