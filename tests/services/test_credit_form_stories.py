"""What comes back when something changes or ends, as credit notes, told to the cent.

28.00 a month from 31 January at 9:00, so that the first period has 28 days; 14 of them are used.
"""

from typing import Any
from uuid import UUID

import pytest

from app.domain.errors import BillingError
from app.domain.policy import AnchorChange, CancelCredit, PauseUnused, Settlement
from app.domain.subscription import PausedInvoices
from app.services import changes, previews
from app.services.changes import ChangedItem, ChangeSubscription, MoveAnchor
from app.services.previews import PreviewInvoices
from tests.terms import at, dials, paid, totals
from tests.world import World


async def half_used(world: World, **options: Any) -> tuple[UUID, UUID]:
    """A customer and a subscription, half of whose first period is over."""
    await dials(world, credit_form="credit_note")
    customer = await world.customer(options.pop("token", "pm_sim_ok"))
    sub = await world.subscribe(customer, await world.price("2800"), **options)
    await world.advance_quietly(days=14)
    return customer, sub


async def notes(world: World) -> list[tuple[int, int, int]]:
    """The credit notes: total, of that off what was due, of that to the balance."""
    rows = await world.fetch("SELECT * FROM credit_notes ORDER BY series_number")
    return [(row["total"], row["to_invoice"], row["to_balance"]) for row in rows]


async def test_an_upgrade_credits_by_a_note_and_bills_only_what_is_new(world: World) -> None:
    customer, sub = await half_used(world)
    dearer = await world.price("5600")
    seen = await _preview(world, sub, dearer)
    await world.change(sub, ChangedItem(price_id=dearer))
    # 14.00 come back by the note, to the balance, which pays half of the 28.00.
    assert await notes(world) == [(1400, 0, 1400)]
    assert await totals(world, sub) == [2800, 2800]
    assert (await world.invoice(sub))["balance_applied"] == 1400
    assert paid(world) == [2800, 1400]
    assert await world.credit_left(customer) == 0
    assert ([note.total for note in seen.credit_notes], [b.total for b in seen.invoices]) == (
        [1400],
        [2800],
    )
    await world.assert_clean()


async def _preview(world: World, sub: UUID, price: UUID) -> Any:
    [item] = await world.items(sub)
    wanted = ChangeSubscription(sub, [ChangedItem(id=item["id"], price_id=price)])
    cmd = PreviewInvoices(sub, change=wanted)
    return (await previews.invoices(world.rt, world.caller, cmd)).preview


async def test_two_changes_at_one_instant_give_back_what_the_first_charged(world: World) -> None:
    customer, sub = await half_used(world)
    await world.change(sub, ChangedItem(price_id=await world.price("5600")))
    await world.change(sub, ChangedItem(price_id=await world.price("2800")), when="now")
    assert await notes(world) == [(1400, 0, 1400), (2800, 0, 2800)]
    assert await totals(world, sub) == [2800, 2800, 1400]
    # As if nothing had changed: 28.00 and 14.00 were paid, 14.00 are credit.
    assert await world.credit_left(customer) == 1400
    await world.assert_clean()


async def test_of_an_invoice_that_nobody_paid_it_only_takes_off(world: World) -> None:
    customer, sub = await half_used(world, collection="send_invoice", net_days=30)
    await world.change(sub, ChangedItem(price_id=await world.price("5600")))
    assert await notes(world) == [(1400, 1400, 0)]
    first, second = await world.invoices(sub)
    assert (first["amount_credited"], first["status"]) == (1400, "open")
    assert (second["total"], second["balance_applied"]) == (2800, 0)
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_with_the_next_invoice_the_note_is_there_at_once(world: World) -> None:
    customer, sub = await half_used(world)
    await world.change(
        sub,
        ChangedItem(price_id=await world.price("5600")),
        settlement=Settlement.NEXT_INVOICE,
    )
    assert await notes(world) == [(1400, 0, 1400)]
    assert await world.credit_left(customer) == 1400
    await world.advance_quietly(days=14)
    # 28.00 for the half that waited and 56.00 for March, less 14.00.
    assert await totals(world, sub) == [2800, 8400]
    assert paid(world) == [2800, 7000]
    await world.assert_clean()


async def test_a_change_at_a_date_is_credited_by_a_note_when_the_clock_makes_it(
    world: World,
) -> None:
    _, sub = await half_used(world)
    await world.change(
        sub, ChangedItem(price_id=await world.price("5600")), when=at(2026, 2, 21, 9)
    )
    assert await notes(world) == []
    await world.advance_quietly(days=7)
    # A quarter of 28.00 comes back, a quarter of 56.00 is charged.
    assert await notes(world) == [(700, 0, 700)]
    assert await totals(world, sub) == [2800, 1400]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("settlement", "note", "billed"),
    [(Settlement.RESET, 1400, 5600), (Settlement.RESET_WITHOUT_CREDIT, None, 5600)],
)
async def test_a_new_period_begins_and_the_old_one_is_credited_by_a_note(
    world: World, settlement: Settlement, note: int | None, billed: int
) -> None:
    _, sub = await half_used(world)
    await world.change(sub, ChangedItem(price_id=await world.price("5600")), settlement=settlement)
    assert await notes(world) == ([] if note is None else [(note, 0, note)])
    assert await totals(world, sub) == [2800, billed]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("credit", "note"), [(CancelCredit.PRORATED, 1400), (CancelCredit.FULL, 2800)]
)
async def test_a_cancellation_gives_back_by_a_note_and_makes_no_invoice(
    world: World, credit: CancelCredit, note: int
) -> None:
    customer, sub = await half_used(world)
    await world.cancel(sub, credit=credit)
    assert await notes(world) == [(note, 0, note)]
    assert await totals(world, sub) == [2800]
    assert await world.credit_left(customer) == note
    await world.assert_clean()


async def test_a_pause_gives_back_by_a_note(world: World) -> None:
    customer, sub = await half_used(world)
    await world.pause(sub, invoices=PausedInvoices.NONE, unused=PauseUnused.CREDIT)
    assert await notes(world) == [(1400, 0, 1400)]
    assert await totals(world, sub) == [2800]
    assert await world.credit_left(customer) == 1400
    await world.assert_clean()


async def test_another_anchor_at_once_gives_back_by_a_note(world: World) -> None:
    _, sub = await half_used(world)
    cmd = MoveAnchor(sub, world.now, AnchorChange.RESET)
    await changes.move_anchor(world.rt, world.caller, cmd)
    assert await notes(world) == [(1400, 0, 1400)]
    assert await totals(world, sub) == [2800, 2800]
    await world.assert_clean()


async def test_taxes_and_discounts_come_back_with_their_lines(world: World) -> None:
    rate, coupon = await world.tax_rate("19"), await world.coupon(percent_off="50")
    _, sub = await half_used(world, tax_rate_ids=[rate], coupon_ids=[coupon])
    # 28.00 less 14.00, with 2.66 of tax; half of it: 7.00 and 1.33.
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    assert await notes(world) == [(833, 0, 833)]
    await world.assert_clean()


async def test_while_its_invoice_is_being_paid_nothing_changes(world: World) -> None:
    _, sub = await half_used(world)
    await world.attach(
        (await world.subscription(sub))["customer_id"], "pm_sim_pending_then_succeeds"
    )
    await world.advance_quietly(days=14)  # the second invoice is at the gateway
    with pytest.raises(BillingError) as refused:
        await world.change(sub, ChangedItem(price_id=await world.price("5600")))
    assert refused.value.code == "payment_in_flight"
    await world.gateway_settles()
    await world.advance_quietly(minutes=10)
    await world.change(sub, ChangedItem(price_id=await world.price("5600")))
    await world.assert_clean()
