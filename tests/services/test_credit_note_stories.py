"""Credit notes, told as stories: what comes back of an invoice, where it goes, and never more."""

import asyncio

import pytest

from app.domain.errors import Conflict, InvalidRequest
from app.domain.issuing import WantedLine
from app.domain.policy import CancelCredit, CreditTo, When
from app.services import credit_notes, inbox_settling, subscriptions
from app.services.changes import ChangedItem
from app.services.subscriptions import Cancel
from tests.billing import credit, note_lines, where
from tests.gateway_events import event, post_of, refund_of
from tests.world import STARTED, World

CREATED = "credit_note.created"


async def taxed(world: World, amount: str = "10000", token: str = "pm_sim_ok", **options):
    """A paid subscription at `amount`, less 10 %, plus 20 % on what is left."""
    customer = await world.customer(token)
    off = await world.coupon(percent_off="10", duration="forever")
    vat = await world.tax_rate("20", **options)
    sub = await world.subscribe(
        customer, await world.price(amount), coupon_ids=[off], tax_rate_ids=[vat]
    )
    await world.told()
    return customer, await world.invoice(sub)


async def owed(world: World, amount: str = "1000"):
    """A customer whose second invoice was declined, and that invoice; all is accounted for."""
    sub = await world.subscribed(amount)
    customer = (await world.subscription(sub))["customer_id"]
    await world.attach(customer, "pm_sim_declined_lost_card")
    await world.advance_quietly(days=28)
    return sub, await world.invoice(sub)


async def test_a_full_credit_goes_to_the_balance_with_discount_and_tax(world: World) -> None:
    customer, invoice = await taxed(world)
    note = await credit(world, invoice["id"])
    await world.expect(CREATED)
    # 100.00 - 10.00 + 20 % of 90.00 = 108.00.
    assert await note_lines(world, note["id"]) == [(10000, 1000, 1800)]
    assert (note["number"], note["total"]) == ("CN-000001", 10800)
    assert where(note) == (0, 10800, 0, 0)
    assert await world.credit_left(customer) == 10800
    books = await world.balance()
    # Nothing was earned and no tax is owed; the cash is there, less the fee, and is the customer's.
    assert {"deferred_revenue", "tax_payable", "receivable"}.isdisjoint(books)
    assert books["customer_credit"] == -10800
    await world.assert_clean()


async def test_credits_of_thirds_add_up_to_the_whole(world: World) -> None:
    _, invoice = await taxed(world, "1000")
    # 10.00 - 1.00 + 1.80 = 10.80, in three credits of 3.60.
    for _ in range(3):
        await credit(world, invoice["id"], amount=360)
    notes = await world.fetch("SELECT id FROM credit_notes ORDER BY id")
    lines = [(await note_lines(world, note["id"]))[0] for note in notes]
    assert [sum(part) for part in zip(*lines, strict=True)] == [1000, 100, 180]
    with pytest.raises(Conflict, match="left to credit"):
        await credit(world, invoice["id"])
    await world.assert_clean()


async def test_an_amount_with_tax_is_met_to_the_cent(world: World) -> None:
    _, invoice = await taxed(world, "1000")
    for amount in (1, 2, 3, 7, 11, 101):
        note = await credit(world, invoice["id"], amount=amount)
        assert note["total"] == amount
    # What is left comes last: 10.80 less 1.25.
    assert (await credit(world, invoice["id"]))["total"] == 1080 - 125
    await world.assert_clean()


async def test_tax_inside_a_price_comes_back_with_it(world: World) -> None:
    _, invoice = await taxed(world, "12000", inclusive=True)
    # 120.00 - 12.00 = 108.00, which has 18.00 of tax inside.
    note = await credit(world, invoice["id"], amount=5400)
    assert await note_lines(world, note["id"]) == [(6000, 600, 900)]
    assert (note["total"], note["tax_added"]) == (5400, 0)
    rest = await credit(world, invoice["id"])
    assert await note_lines(world, rest["id"]) == [(6000, 600, 900)]
    await world.assert_clean()


async def test_units_of_a_line_come_back_one_by_one(world: World) -> None:
    customer, price = await world.customer(), await world.price("333")
    sub = await world.subscribe(customer, (price, 3))
    await world.told()
    invoice = await world.invoice(sub)
    [line] = await world.lines(invoice["id"])
    for _ in range(3):
        note = await credit(world, invoice["id"], WantedLine(line["id"], quantity=1))
        assert note["total"] == 333
    with pytest.raises(InvalidRequest, match="0 is left"):
        await credit(world, invoice["id"], WantedLine(line["id"], quantity=1))
    await world.assert_clean()


async def test_a_refund_goes_back_to_the_card(world: World) -> None:
    _, invoice = await taxed(world)
    note = await credit(world, invoice["id"], amount=5400, to_refund=5400)
    await world.expect(CREATED, "refund.succeeded")
    assert where(note) == (0, 0, 5400, 0)
    assert world.refunded() == [5400]
    # Once the refund has happened nothing is left on the account between the two.
    assert "refunds" not in await world.balance()
    with pytest.raises(InvalidRequest, match="Between 1 and 5400"):
        await credit(world, invoice["id"], amount=5401, to_refund=5401)
    await world.assert_clean()


async def test_what_credit_had_paid_cannot_be_refunded_to_a_card(world: World) -> None:
    customer = await world.customer()
    await world.credit(customer, 400)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    invoice = await world.invoice(sub)
    with pytest.raises(InvalidRequest, match="have 600 left to refund"):
        await credit(world, invoice["id"], to_refund=1000)
    note = await credit(world, invoice["id"], to_refund=600)
    # 6.00 were taken from the card; the other 4.00 become credit again.
    assert where(note) == (0, 400, 600, 0)
    assert (world.refunded(), await world.credit_left(customer)) == ([600], 400)
    await world.told()
    await world.assert_clean()


async def test_a_refund_made_before_is_what_the_credit_note_documents(world: World) -> None:
    customer, invoice = await taxed(world)
    [payment] = await world.payments()
    await world.refund(payment["id"], 800)
    note = await credit(world, invoice["id"], amount=1000)
    # 8.00 went back already; only the other 2.00 are the customer's to use.
    assert where(note) == (0, 200, 800, 0)
    assert (world.refunded(), await world.credit_left(customer)) == ([800], 200)
    await world.told()
    await world.assert_clean()


async def test_a_refund_that_the_bank_sends_back_leaves_the_note_and_what_it_owes(
    world: World,
) -> None:
    _, invoice = await taxed(world)
    note = await credit(world, invoice["id"], to_refund=10800)
    await world.expect(CREATED, "refund.succeeded")
    [refund] = await world.fetch("SELECT * FROM refunds")
    world.simulator.request("POST", f"/v1/refunds/{refund['gateway_reference']}/return", json={})
    post = await post_of(world)
    await post.bring(event("refund.failed", refund_of(world.simulator, refund["reference"])))
    await inbox_settling.settle_due(world.rt)
    await world.expect("refund.failed")
    # 108.00 were promised to the card and are here again: they are still the customer's.
    assert (await world.balance())["refunds"] == -10800
    [kept] = await world.fetch("SELECT * FROM credit_notes")
    assert (kept["status"], kept["to_refund"]) == ("issued", note["to_refund"])
    [payment] = await world.payments()
    await world.refund(payment["id"])
    await world.expect("refund.succeeded")
    assert "refunds" not in await world.balance()
    await world.assert_clean()


async def test_a_refund_that_is_refused_leaves_the_note_and_the_money(world: World) -> None:
    _, invoice = await taxed(world, token="pm_sim_refund_fails")
    note = await credit(world, invoice["id"], to_refund=10800)
    await world.expect(CREATED, "refund.failed")
    assert note["to_refund"] == 10800
    assert world.refunded() == []
    # What the customer is still owed stands between the two until a refund succeeds.
    assert (await world.balance())["refunds"] == -10800
    await world.assert_clean()


async def test_paid_back_in_cash_is_outside_of_the_books(world: World) -> None:
    customer, invoice = await taxed(world)
    note = await credit(world, invoice["id"], amount=1000, outside=1000)
    assert where(note) == (0, 0, 0, 1000)
    assert await world.credit_left(customer) == 0
    await world.told()
    await world.assert_clean()


async def test_an_unpaid_invoice_is_owed_less_first(world: World) -> None:
    sub, invoice = await owed(world)
    note = await credit(world, invoice["id"], amount=300)
    await world.expect(CREATED, "invoice.updated")
    assert where(note) == (300, 0, 0, 0)
    [payment] = [p for p in await world.payments() if p["invoice_id"] == invoice["id"]]
    assert (payment["amount"], payment["status"]) == (700, "requires_payment_method")
    assert await world.status(sub) == "past_due"
    method = await world.attach((await world.subscription(sub))["customer_id"], "pm_sim_ok")
    await world.pay(invoice["id"], method)
    # 10.00 in January; of the 10.00 of February 3.00 were credited and 7.00 charged.
    assert [amount for amount, _ in world.charged()] == [1000, 700]
    await world.expect("payment.succeeded", "invoice.paid", "subscription.activated")
    final = await world.invoice(sub)
    assert (final["amount_paid"], final["amount_credited"], final["status"]) == (700, 300, "paid")
    await world.assert_clean()


async def test_an_unpaid_invoice_credited_in_full_is_paid_and_owed_no_more(world: World) -> None:
    sub, invoice = await owed(world)
    note = await credit(world, invoice["id"])
    await world.expect(CREATED, "invoice.paid", "subscription.activated")
    assert where(note) == (1000, 0, 0, 0)
    final = await world.invoice(sub)
    assert (final["status"], final["amount_paid"]) == ("paid", 0)
    [payment] = [p for p in await world.payments() if p["invoice_id"] == invoice["id"]]
    assert payment["status"] == "canceled"
    await world.advance(days=3, expect=[])
    assert len(world.charged()) == 1
    await world.assert_clean()


async def test_no_credit_while_a_payment_is_in_flight(world: World) -> None:
    customer = await world.customer("pm_sim_requires_action")
    await world.subscribe(customer, await world.price("1000"))
    [invoice] = await world.fetch("SELECT * FROM invoices")
    [payment] = await world.payments()
    assert payment["status"] == "requires_action"
    with pytest.raises(Conflict, match="in flight"):
        await credit(world, invoice["id"], amount=300)
    assert await world.fetch("SELECT * FROM credit_notes") == []


async def test_bad_debt_is_credited_too(world: World) -> None:
    sub, invoice = await owed(world)
    await world.write_off(invoice["id"])
    assert (await world.balance())["bad_debt"] == 1000
    note = await credit(world, invoice["id"], amount=400)
    assert where(note) == (400, 0, 0, 0)
    assert (await world.balance())["bad_debt"] == 600
    await world.pay_outside(invoice["id"])
    final = await world.invoice(sub)
    assert (final["status"], final["amount_paid"]) == ("paid", 600)
    await world.told()
    await world.assert_clean()


async def test_an_invoice_with_credit_notes_is_not_voided_before_them(world: World) -> None:
    _, invoice = await owed(world)
    note = await credit(world, invoice["id"], amount=400)
    with pytest.raises(Conflict, match="void those first"):
        await world.void(invoice["id"])
    await credit_notes.void(world.rt, world.caller, note["id"])
    await world.void(invoice["id"])
    await world.told()
    await world.assert_clean()


async def test_a_note_is_taken_back_while_nothing_of_it_is_used(world: World) -> None:
    customer, invoice = await taxed(world)
    note = await credit(world, invoice["id"], amount=5000)
    await credit_notes.void(world.rt, world.caller, note["id"])
    await world.expect(CREATED, "credit_note.voided")
    assert await world.credit_left(customer) == 0
    # The whole 108.00 can be credited again.
    again = await credit(world, invoice["id"])
    assert (again["number"], again["total"]) == ("CN-000002", 10800)
    await world.credit(customer, -1)
    with pytest.raises(Conflict, match="used its credit"):
        await credit_notes.void(world.rt, world.caller, again["id"])
    await world.told()
    await world.assert_clean()


async def test_taking_a_note_back_makes_the_open_invoice_whole(world: World) -> None:
    sub, invoice = await owed(world)
    note = await credit(world, invoice["id"], amount=400)
    await credit_notes.void(world.rt, world.caller, note["id"])
    [payment] = [p for p in await world.payments() if p["invoice_id"] == invoice["id"]]
    assert payment["amount"] == 1000
    assert (await world.invoice(sub))["amount_credited"] == 0
    await world.told()
    await world.assert_clean()


async def test_twenty_credits_at_once_never_exceed_what_was_charged(world: World) -> None:
    _, invoice = await taxed(world)
    # 108.00 is enough for ten credits of 10.00, and 8.00 are left.
    tried = await asyncio.gather(
        *(credit(world, invoice["id"], amount=1000) for _ in range(20)), return_exceptions=True
    )
    made = [note for note in tried if not isinstance(note, BaseException)]
    assert len(made) == 10
    assert all(isinstance(e, InvalidRequest | Conflict) for e in tried if e not in made)
    numbers = sorted(note["series_number"] for note in made)
    assert numbers == list(range(1, 11))
    assert (await credit(world, invoice["id"]))["total"] == 800
    await world.told()
    await world.assert_clean()


async def test_refunds_at_once_never_exceed_what_was_captured(world: World) -> None:
    _, invoice = await taxed(world)
    tried = await asyncio.gather(
        *(credit(world, invoice["id"], amount=1000, to_refund=1000) for _ in range(12)),
        return_exceptions=True,
    )
    made = [note for note in tried if not isinstance(note, BaseException)]
    assert len(made) == 10
    assert world.refunded() == [1000] * 10
    await world.told()
    await world.assert_clean()


async def test_what_goes_nowhere_or_beyond_is_refused(world: World) -> None:
    _, invoice = await taxed(world)
    [line] = await world.lines(invoice["id"])
    for options in (
        {"amount": 10801},
        {"amount": 0},
        {"amount": 1000, "to_balance": 500},
        {"amount": 1000, "to_balance": 1001},
        {"amount": 1000, "to_refund": 600, "outside": 500},
    ):
        with pytest.raises(InvalidRequest):
            await credit(world, invoice["id"], **options)
    with pytest.raises(InvalidRequest, match="is left to credit"):
        await credit(world, invoice["id"], WantedLine(line["id"], amount=10001))
    with pytest.raises(InvalidRequest, match="no such line"):
        await credit(world, invoice["id"], WantedLine(invoice["id"]))
    assert await world.fetch("SELECT * FROM credit_notes") == []


async def test_a_credited_line_gives_back_no_more_when_it_is_changed(world: World) -> None:
    """A change credits what is left of the line, not what it once came to."""
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("2800"))
    await world.expect(*STARTED)
    invoice = await world.invoice(sub)
    await credit(world, invoice["id"], amount=2000)
    await world.advance(days=14, expect=[CREATED])
    dear = await world.price("5600")
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    # Half would be 14.00, but of 28.00 only 8.00 are left: -8.00 + 28.00 = 20.00, paid by credit.
    last = await world.invoice(sub)
    assert [line[0] for line in await world.amounts(last["id"])] == [-800, 2800]
    assert (last["balance_applied"], last["amount_due"]) == (2000, 0)
    await world.told()
    await world.assert_clean()


# ── ending a subscription ─────────────────────────────────────────────────────────────────────────


async def canceled(world: World, sub, **options) -> None:
    cmd = Cancel(sub, When.NOW, CancelCredit.PRORATED, **options)
    await subscriptions.cancel(world.rt, world.caller, cmd)


async def test_a_cancellation_refunds_the_rest_of_the_period(world: World) -> None:
    sub = await world.subscribed("2800")
    await world.advance(days=14, expect=[])
    await canceled(world, sub, credit_to=CreditTo.REFUND)
    await world.expect("subscription.canceled", CREATED, "refund.succeeded")
    # 14 of 28 days: 14.00 go back to the card, and no invoice is made for it.
    assert world.refunded() == [1400]
    [note] = await world.fetch("SELECT * FROM credit_notes")
    assert (where(note), note["reason"]) == ((0, 0, 1400, 0), "Canceled")
    assert len(await world.invoices(sub)) == 1
    await world.assert_clean()


async def test_what_credit_had_paid_becomes_credit_again_when_it_is_canceled(world: World) -> None:
    customer = await world.customer()
    await world.credit(customer, 2000)
    sub = await world.subscribe(customer, await world.price("2800"))
    await world.told()
    await world.advance(days=14, expect=[])
    await canceled(world, sub, credit_to=CreditTo.REFUND)
    # 14.00 come back; the card had paid 8.00, the other 6.00 were credit.
    assert (world.refunded(), await world.credit_left(customer)) == ([800], 600)
    await world.told()
    await world.assert_clean()


async def test_canceling_what_nobody_paid_gives_no_money(world: World) -> None:
    sub, invoice = await owed(world, "3100")
    customer = (await world.subscription(sub))["customer_id"]
    await world.advance(days=10, expect=[])
    await canceled(world, sub)
    await world.expect("subscription.canceled", CREATED, "invoice.updated")
    # 21 of March's 31 days were not used: of 31.00 only 10.00 are owed, and nothing is credit.
    assert await world.credit_left(customer) == 0
    open_ = await world.invoice(sub)
    assert (open_["status"], open_["amount_due"] - open_["amount_credited"]) == ("open", 1000)
    await world.pay(open_["id"], await world.attach(customer, "pm_sim_ok"))
    assert [amount for amount, _ in world.charged()] == [3100, 1000]
    assert invoice["id"] == open_["id"]
    await world.told()
    await world.assert_clean()


async def test_all_of_an_unpaid_period_is_owed_no_more_when_all_comes_back(world: World) -> None:
    sub, _ = await owed(world, "3100")
    cmd = Cancel(sub, When.NOW, CancelCredit.FULL, credit_to=CreditTo.REFUND)
    await subscriptions.cancel(world.rt, world.caller, cmd)
    await world.expect("subscription.canceled", CREATED, "invoice.paid")
    assert (await world.invoice(sub))["amount_paid"] == 0
    assert world.refunded() == []
    await world.assert_clean()


async def test_paid_and_unpaid_parts_come_back_each_in_its_way(world: World) -> None:
    sub = await world.subscribed("2800")
    customer = (await world.subscription(sub))["customer_id"]
    await world.attach(customer, "pm_sim_declined_lost_card")
    dear = await world.price("8400")
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.told()
    await world.advance(days=14, expect=[])
    await canceled(world, sub)
    # -28.00 + 84.00 = 56.00 are owed for the change; half of the 84.00 comes off: 14.00 are left.
    update = await world.invoice(sub)
    assert (update["total"], update["amount_credited"], update["status"]) == (5600, 4200, "open")
    assert await world.credit_left(customer) == 0
    await world.told()
    await world.assert_clean()
