"""Days of grace, told as stories: an invoice is a draft first, and final when its time has come.

Stories begin on 31 January at 9:00; the first renewal is on 28 February.
"""

from datetime import UTC, datetime

import pytest

from app.db import policies
from app.domain.errors import Conflict
from app.domain.policy import CancelCredit, When
from app.domain.subscription import PausedInvoices
from app.services.changes import ChangedItem
from tests.world import PAID, STARTED, World

DRAFTED = ("subscription.renewed", "invoice.created")
RENEWAL = datetime(2026, 2, 28, 9, tzinfo=UTC)


async def with_grace(world: World, days: int = 3) -> None:
    """From now on renewals stay drafts for so many days."""
    merchant = world.caller.merchant_id
    async with world.rt.db.begin_system() as tx:
        await policies.set_settings(tx, merchant, {"invoice_grace_days": days})


async def drafted(world: World, amount: str = "1000", **options) -> tuple:
    """A subscription whose renewal on 28 February is a draft; its events are accounted for."""
    await with_grace(world)
    sub = await world.subscribed(amount, **options)
    await world.advance(to=RENEWAL, expect=DRAFTED)
    [draft] = [i for i in await world.invoices(sub) if i["status"] == "draft"]
    return sub, draft


async def test_a_renewal_is_a_draft_for_three_days_and_then_paid(world: World) -> None:
    sub, draft = await drafted(world)
    assert (draft["number"], draft["total"], draft["finalize_at"].day) == (None, 1000, 3)
    assert await world.status(sub) == "active"
    await world.advance(days=2, expect=[])
    await world.advance(days=1, expect=["invoice.finalized", *PAID])
    first, second = await world.invoices(sub)
    assert (first["number"], second["number"]) == ("INV-000001", "INV-000002")
    assert (second["id"], second["status"]) == (draft["id"], "paid")
    assert [amount for amount, _ in world.charged()] == [1000, 1000]
    await world.assert_clean()


async def test_a_first_invoice_has_no_grace(world: World) -> None:
    await with_grace(world)
    customer, price = await world.customer(), await world.price()
    await world.subscribe(customer, price)
    await world.expect(*STARTED)


async def test_only_a_failed_payment_puts_it_behind_not_the_draft(world: World) -> None:
    sub, _ = await drafted(world)
    await world.attach((await world.subscription(sub))["customer_id"], "pm_sim_declined_lost_card")
    assert await world.status(sub) == "active"
    await world.advance(
        days=3,
        expect=[
            *("invoice.finalized", "payment.failed", "invoice.payment_failed"),
            "subscription.past_due",
        ],
    )
    assert await world.status(sub) == "past_due"
    await world.assert_clean()


async def test_a_draft_that_nobody_can_pay_puts_it_behind_when_it_is_final(world: World) -> None:
    _, draft = await drafted(world)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE customers SET default_payment_method_id = NULL")
    await world.advance(days=3, expect=["invoice.finalized", "subscription.past_due"])
    [payment] = [p for p in await world.payments() if p["invoice_id"] == draft["id"]]
    assert payment["status"] == "requires_payment_method"
    await world.assert_clean()


async def test_credit_granted_in_the_days_of_grace_pays_of_the_draft(world: World) -> None:
    sub, _ = await drafted(world)
    await world.credit((await world.subscription(sub))["customer_id"], 400)
    await world.advance(days=3, expect=["invoice.finalized", *PAID])
    # 10.00, of which 4.00 were credit.
    final = await world.invoice(sub)
    assert (final["balance_applied"], final["amount_due"]) == (400, 600)
    assert [amount for amount, _ in world.charged()] == [1000, 600]
    await world.assert_clean()


async def test_two_drafts_of_one_customer_never_spend_the_same_credit(world: World) -> None:
    await with_grace(world)
    customer, price = await world.customer(), await world.price("1000")
    for _ in range(2):
        await world.subscribe(customer, price)
    await world.expect(*STARTED * 2)
    await world.advance(to=RENEWAL, expect=DRAFTED * 2)
    await world.credit(customer, 1500)
    await world.advance(
        days=3, expect=["invoice.finalized", "invoice.paid", "invoice.finalized", *PAID]
    )
    # 15.00 of credit: one draft of 10.00 is paid whole, of the other 5.00 are left to charge.
    assert [amount for amount, _ in world.charged()] == [1000, 1000, 500]
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_late_by_weeks_each_draft_is_final_once(world: World) -> None:
    sub, _ = await drafted(world)
    world.clock.set(datetime(2026, 3, 30, 9, tzinfo=UTC))
    for _ in range(3):
        await world.tick()
    assert [i["status"] for i in await world.invoices(sub)] == ["paid", "paid"]
    assert len(world.charged()) == 2
    await world.told()
    await world.assert_clean()


async def test_one_bad_draft_is_parked_and_does_not_stop_the_others(
    world: World, administrator
) -> None:
    await with_grace(world)
    subs = [await world.subscribed("1000") for _ in range(5)]
    await world.advance(to=RENEWAL, expect=DRAFTED * 5)
    drafts = await world.fetch("SELECT id FROM invoices WHERE status = 'draft' ORDER BY id")
    # Its lines do not add up to it any more: the database refuses to make it final.
    await administrator.execute(
        "UPDATE invoice_lines SET amount = amount + 1 WHERE invoice_id = $1", drafts[2]["id"]
    )
    await world.advance(days=3, expect=["invoice.finalized", *PAID] * 4)
    [parked] = await world.fetch("SELECT * FROM invoices WHERE parked_at IS NOT NULL")
    assert (parked["id"], parked["status"]) == (drafts[2]["id"], "draft")
    assert "add up" in parked["parked_reason"]
    assert len(subs) == 5
    await world.assert_clean(but=["nothing_parked", "lines_add_up"])


async def test_drafts_of_a_pause_are_final_when_it_ends(world: World) -> None:
    sub = await world.subscribed("1000")
    await world.pause(sub, invoices=PausedInvoices.DRAFT)
    await world.expect("subscription.paused")
    await world.advance(to=RENEWAL, expect=DRAFTED)
    await world.advance(days=20, expect=[])
    await world.resume(sub)
    await world.expect("subscription.resumed")
    await world.tick()
    await world.expect("invoice.finalized", *PAID)
    assert [amount for amount, _ in world.charged()] == [1000, 1000]
    await world.assert_clean()


async def test_a_cancellation_in_the_days_of_grace_gives_back_of_the_draft(world: World) -> None:
    sub, draft = await drafted(world, "3100")
    customer = (await world.subscription(sub))["customer_id"]
    await world.advance(days=1, expect=[])
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    # 30 of March's 31 days come back as credit: 30.00. The draft of 31.00 is paid with it.
    await world.expect("subscription.canceled", "invoice.finalized", "invoice.paid")
    assert await world.credit_left(customer) == 3000
    await world.advance(days=2, expect=["invoice.finalized", *PAID])
    assert [amount for amount, _ in world.charged()] == [3100, 100]
    assert await world.credit_left(customer) == 0
    assert draft["id"] in [i["id"] for i in await world.invoices(sub)]
    await world.assert_clean()


async def test_an_upgrade_in_the_days_of_grace_charges_only_the_difference(world: World) -> None:
    sub, _ = await drafted(world, "3100")
    dear = await world.price("6200")
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.expect("subscription.updated", "invoice.finalized", *PAID)
    await world.advance(days=3, expect=["invoice.finalized", *PAID])
    # The whole period is 62.00: 31.00 for the change, and the draft's 31.00.
    assert [amount for amount, _ in world.charged()] == [3100, 3100, 3100]
    await world.assert_clean()


async def test_a_test_clock_makes_drafts_final_on_its_way(world: World) -> None:
    await with_grace(world)
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.turn(clock, datetime(2026, 5, 1, tzinfo=UTC))
    invoices = await world.invoices(sub)
    assert [(i["status"], i["finalized_at"].date().isoformat()) for i in invoices[:3]] == [
        ("paid", "2026-01-31"),
        ("paid", "2026-03-04"),
        ("paid", "2026-04-04"),
    ]
    assert invoices[3]["status"] == "draft"  # of 30 April, until 3 May
    await world.told()
    await world.assert_clean()


async def test_a_draft_cannot_be_paid_nor_voided(world: World) -> None:
    _, draft = await drafted(world)
    with pytest.raises(Conflict, match="draft"):
        await world.pay(draft["id"])
    with pytest.raises(Conflict, match="draft"):
        await world.void(draft["id"])
