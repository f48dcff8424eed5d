"""Invoices by hand and what waits for invoices, told as stories.

Stories begin on 31 January at 9:00; the first renewal is on 28 February.
"""

import pytest

from app.domain.errors import Conflict, InvalidRequest, NotFound
from app.domain.invoice import Collection
from app.domain.pricing import PriceType
from app.services import invoices, one_offs, pending_items
from app.services.one_offs import UpdateInvoice
from app.services.pending_items import NewItem, UpdateItem
from tests.billing import bill, credit, item, made, waiting
from tests.services.test_draft_stories import DRAFTED, RENEWAL, with_grace
from tests.world import PAID, RENEWED, World

BILLED = ("invoice.finalized", *PAID)
UPDATED = "invoice.updated"


async def test_an_invoice_by_hand_is_charged_at_once(world: World) -> None:
    customer = await world.customer()
    invoice = await bill(world, customer, 2500, 1000, description="Installation")
    await world.expect(*BILLED)
    # 25.00 + 10.00.
    assert (invoice["number"], invoice["total"], invoice["status"]) == ("INV-000001", 3500, "paid")
    assert (invoice["billing_reason"], invoice["subscription_id"]) == ("manual", None)
    assert world.charged() == [(3500, "EUR")]
    # Work is earned when it is billed.
    assert (await world.balance())["revenue"] == -3500
    await world.assert_clean()


async def test_what_waits_is_billed_first_and_only_once(world: World) -> None:
    customer = await world.customer()
    await item(world, customer, 700)
    await item(world, customer, 300)
    assert await waiting(world) == [700, 300]
    invoice = await bill(world, customer, 50)
    assert [line[0] for line in await world.amounts(invoice["id"])] == [700, 300, 50]
    assert await waiting(world) == []
    with pytest.raises(InvalidRequest, match="nothing to bill"):
        await bill(world, customer)
    await world.told()
    await world.assert_clean()


async def test_what_waits_for_a_subscription_comes_with_its_next_invoice(world: World) -> None:
    customer = await world.customer()
    vat = await world.tax_rate("20")
    sub = await world.subscribe(customer, await world.price("1000"), tax_rate_ids=[vat])
    await item(world, customer, 500, subscription_id=sub)
    await world.told()
    with pytest.raises(InvalidRequest, match="nothing to bill"):
        await bill(world, customer)
    await world.advance(to=RENEWAL, expect=RENEWED)
    # 5.00 of work and 10.00 for the month, each with the subscription's 20 %: 6.00 + 12.00.
    invoice = await world.invoice(sub)
    assert await world.amounts(invoice["id"]) == [(500, 0, 100), (1000, 0, 200)]
    assert [amount for amount, _ in world.charged()] == [1200, 1800]
    await world.assert_clean()


async def test_a_negative_item_is_a_credit_by_hand(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await item(world, customer, -300, subscription_id=sub, description="We are sorry")
    await world.told()
    await world.advance(to=RENEWAL, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 700]
    invoice = await bill(world, customer, -450)
    # An invoice below zero gives the customer credit.
    assert (invoice["total"], await world.credit_left(customer)) == (-450, 450)
    await world.told()
    await world.assert_clean()


async def test_a_one_time_price_by_quantity_with_coupon_and_tax(world: World) -> None:
    customer = await world.customer()
    price = await world.price("1500", unit=None, type=PriceType.ONE_TIME)
    off, vat = await world.coupon(percent_off="10"), await world.tax_rate("20")
    invoice = await bill(
        world,
        customer,
        items=[NewItem(price_id=price, quantity=4)],
        coupon_ids=[off],
        tax_rate_ids=[vat],
    )
    # 4 * 15.00 = 60.00, less 6.00, plus 20 % of 54.00 = 10.80.
    assert await world.amounts(invoice["id"]) == [(6000, 600, 1080)]
    assert world.charged() == [(6480, "EUR")]
    await world.told()
    # All of it can come back.
    note = await credit(world, invoice["id"], to_refund=6480)
    assert (note["discount_total"], note["tax_total"]) == (600, 1080)
    await world.told()
    await world.assert_clean()


async def test_an_invoice_that_is_sent_waits_for_its_money(world: World) -> None:
    customer = await world.customer(None)
    invoice = await bill(world, customer, 990, collection=Collection.SEND_INVOICE, net_days=14)
    await world.expect("invoice.finalized")
    assert (invoice["status"], (invoice["due_at"] - invoice["finalized_at"]).days) == ("open", 14)
    assert await world.payments() == []
    await world.pay_outside(invoice["id"])
    await world.expect("payment.succeeded", "invoice.paid")
    await world.assert_clean()


async def test_a_declined_invoice_is_paid_with_another_card(world: World) -> None:
    customer = await world.customer("pm_sim_declined_lost_card")
    invoice = await bill(world, customer, 990)
    await world.expect("invoice.finalized", "payment.failed", "invoice.payment_failed")
    await world.pay(invoice["id"], await world.attach(customer, "pm_sim_ok"))
    await world.expect(*PAID)
    assert world.charged() == [(990, "EUR")]
    await world.assert_clean()


async def test_credit_pays_of_an_invoice_by_hand(world: World) -> None:
    customer = await world.customer()
    await world.credit(customer, 400)
    invoice = await bill(world, customer, 1000)
    assert (invoice["balance_applied"], invoice["amount_due"]) == (400, 600)
    assert world.charged() == [(600, "EUR")]
    await world.told()
    await world.assert_clean()


async def test_a_draft_is_changed_until_it_is_final(world: World) -> None:
    customer = await world.customer()
    vat = await world.tax_rate("20")
    draft = await bill(world, customer, 1000, auto_finalize=False, tax_rate_ids=[vat])
    await world.expect("invoice.created")
    assert (draft["status"], draft["number"], draft["total"]) == ("draft", None, 1200)
    added = await item(world, customer, 500, invoice_id=draft["id"])
    await world.expect("pending_item.created", UPDATED)
    assert (await made(world, draft["id"]))["total"] == 1800
    cmd = UpdateItem(id=added, amount=700)
    await pending_items.update(world.rt, world.caller, cmd)
    # 10.00 + 7.00, and 20 %.
    assert (await made(world, draft["id"]))["total"] == 2040
    await pending_items.delete(world.rt, world.caller, added)
    assert (await made(world, draft["id"]))["total"] == 1200
    await one_offs.update(
        world.rt,
        world.caller,
        UpdateInvoice(
            draft["id"],
            {"description": "March", "net_days": 7},
            add_items=[NewItem(amount=100, description="Postage")],
        ),
    )
    changed = await made(world, draft["id"])
    assert (changed["total"], changed["description"], changed["net_days"]) == (1320, "March", 7)
    await world.told()
    await one_offs.finalize(world.rt, world.caller, draft["id"])
    await world.expect(*BILLED)
    assert world.charged() == [(1320, "EUR")]
    with pytest.raises(Conflict, match="only its metadata"):
        await one_offs.update(
            world.rt, world.caller, UpdateInvoice(draft["id"], {"description": "April"})
        )
    with pytest.raises(Conflict, match="billed"):
        await pending_items.delete(world.rt, world.caller, (await items_of(world))[0])
    await world.assert_clean()


async def items_of(world: World) -> list:
    rows = await world.fetch(
        "SELECT id FROM pending_items WHERE invoice_id IS NOT NULL ORDER BY id"
    )
    return [row["id"] for row in rows]


async def test_a_draft_thrown_away_lets_what_waited_wait_again(world: World) -> None:
    customer = await world.customer()
    await item(world, customer, 700)
    draft = await bill(world, customer, 50, auto_finalize=False)
    assert await waiting(world) == []
    await one_offs.delete(world.rt, world.caller, draft["id"])
    await world.expect("pending_item.created", "invoice.created", "invoice.deleted")
    # What was made for the draft goes with it; what had waited is owed still.
    assert await waiting(world) == [700]
    with pytest.raises(NotFound):
        await one_offs.finalize(world.rt, world.caller, draft["id"])
    invoice = await bill(world, customer)
    assert (invoice["number"], invoice["total"]) == ("INV-000001", 700)
    await world.told()
    await world.assert_clean()


async def test_the_last_item_of_a_draft_stays(world: World) -> None:
    customer = await world.customer()
    draft = await bill(world, customer, 50, auto_finalize=False)
    [only] = await items_of(world)
    with pytest.raises(Conflict, match="delete the draft"):
        await pending_items.delete(world.rt, world.caller, only)
    assert (await made(world, draft["id"]))["total"] == 50


async def test_an_item_is_put_on_a_subscriptions_draft_and_the_period_stays(world: World) -> None:
    await with_grace(world)
    off, vat = await world.coupon(percent_off="10", duration="forever"), await world.tax_rate("20")
    customer = await world.customer()
    price = await world.price("1000")
    sub = await world.subscribe(customer, price, coupon_ids=[off], tax_rate_ids=[vat])
    await world.told()
    await world.advance(to=RENEWAL, expect=DRAFTED)
    [draft] = [i for i in await world.invoices(sub) if i["status"] == "draft"]
    [before] = await world.lines(draft["id"])
    added = await item(world, customer, 500, invoice_id=draft["id"])
    await world.expect("pending_item.created", UPDATED)
    # 10.00 and 5.00, each less 10 % and plus 20 %: 10.80 + 5.40.
    amounts = await world.amounts(draft["id"])
    assert sorted(amounts) == [(500, 50, 90), (1000, 100, 180)]
    assert before["id"] in [line["id"] for line in await world.lines(draft["id"])]
    await pending_items.delete(world.rt, world.caller, added)
    assert await world.amounts(draft["id"]) == [(1000, 100, 180)]
    await item(world, customer, -200, invoice_id=draft["id"])
    await world.told()
    with pytest.raises(Conflict, match="subscription's period"):
        await one_offs.delete(world.rt, world.caller, draft["id"])
    await one_offs.finalize(world.rt, world.caller, draft["id"])
    await world.expect(*BILLED)
    # 10.00 - 1.00 - 2.00 = 7.00, and 20 % of it: the gift is not discounted.
    assert [amount for amount, _ in world.charged()] == [1080, 840]
    await world.assert_clean()


async def test_a_voided_invoice_is_owed_again_only_when_asked(world: World) -> None:
    sub = await world.subscribed("1000")
    customer = (await world.subscription(sub))["customer_id"]
    await world.attach(customer, "pm_sim_declined_lost_card")
    await world.advance_quietly(days=28)
    february = await world.invoice(sub)
    await invoices.void(world.rt, world.caller, february["id"])
    assert await waiting(world) == []
    await world.attach(customer, "pm_sim_declined_lost_card")
    await world.advance_quietly(days=31)
    march = await world.invoice(sub)
    await invoices.void(world.rt, world.caller, march["id"], rebill=True)
    assert await waiting(world) == [1000]
    await world.attach(customer, "pm_sim_ok")
    await world.told()
    await world.advance_quietly(days=31)
    # January; February was given away; March's 10.00 come with April's 10.00.
    assert [amount for amount, _ in world.charged()] == [1000, 2000]
    await world.assert_clean()


async def test_a_voided_invoice_by_hand_waits_for_the_next(world: World) -> None:
    customer = await world.customer(None)
    invoice = await bill(world, customer, 700, 300)
    await invoices.void(world.rt, world.caller, invoice["id"], rebill=True)
    assert await waiting(world) == [700, 300]
    again = await bill(world, customer)
    assert (again["number"], again["total"]) == ("INV-000002", 1000)
    await world.told()
    await world.assert_clean()


async def test_items_that_make_no_sense_are_refused(world: World) -> None:
    customer, other = await world.customer(), await world.customer()
    sub = await world.subscribe(other, await world.price("1000"))
    monthly = await world.price("1000")
    once = await world.price("5", unit=None, type=PriceType.ONE_TIME)
    for options in (
        {"amount": 0},
        {"amount": 5, "description": ""},
        {"amount": 5, "price_id": once},
        {"price_id": monthly},
        {"price_id": customer},
        {"amount": 5, "subscription_id": sub},
    ):
        with pytest.raises(InvalidRequest):
            await item(world, customer, **options)
    with pytest.raises(InvalidRequest, match="currency"):
        await bill(world, customer, 5, currency=None)
    with pytest.raises(InvalidRequest, match="no such numbering series"):
        await bill(world, customer, 5, series="b2b")
