"""Money that came outside of any gateway, and charges of a part, told as stories."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain import issuing
from app.domain.errors import Conflict, InvalidRequest
from app.domain.invoice import Collection
from app.domain.offline import Overpayment
from app.domain.payment import OfflineMethod
from app.domain.refund import Destination
from app.services import credit_notes, invoices, offline_payments, refunds
from tests.world import DECLINED, PAID, RENEWED, World

PART = ("payment.succeeded", "invoice.partially_paid")
UNDONE = ("payment.reversed", "invoice.reopened")
SENT = {"collection": Collection.SEND_INVOICE, "net_days": 14}


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def record(world: World, invoice: UUID, amount: int | None = None, **said: Any) -> UUID:
    method = said.pop("method", OfflineMethod.BANK_TRANSFER)
    cmd = offline_payments.RecordPayment(invoice, method, amount, **said)
    return await offline_payments.record(world.rt, world.caller, cmd)


async def reverse(world: World, payment: UUID, reason: str = "It bounced") -> None:
    await offline_payments.reverse(world.rt, world.caller, payment, reason)


async def charge(world: World, invoice: UUID, amount: int) -> UUID:
    cmd = invoices.PayInvoice(invoice, amount=amount)
    return await invoices.pay(world.rt, world.caller, cmd)


async def behind(world: World) -> tuple[UUID, UUID]:
    """A customer's subscription at 10.00, whose second period was declined; and its invoice."""
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, "pm_sim_declined_do_not_honor")
    await world.told()
    await world.advance_quietly(days=28)
    return sub, (await world.invoice(sub))["id"]


async def sent(world: World, amount: str = "1000") -> tuple[UUID, UUID]:
    """A customer who is sent an invoice, and that invoice."""
    customer = await world.customer(None)
    sub = await world.subscribe(customer, await world.price(amount), **SENT)
    await world.told()
    return customer, (await world.invoice(sub))["id"]


async def figures(world: World, invoice: UUID) -> tuple[str, int, int]:
    """An invoice's status, what was paid of it, and what remains."""
    [row] = await world.fetch("SELECT * FROM invoices WHERE id = $1", invoice)
    remaining = row["amount_due"] - row["amount_paid"] - row["amount_credited"]
    return row["status"], row["amount_paid"], remaining


async def test_a_transfer_pays_a_part_and_the_card_only_the_rest(world: World) -> None:
    sub, invoice = await behind(world)
    await record(world, invoice, 400, reference="TRF-1", note="First half")
    await world.expect(*PART)
    # 10.00 due, 4.00 came: 6.00 remains, and whatever charges it charges no more than that.
    assert await figures(world, invoice) == ("open", 400, 600)
    assert await world.status(sub) == "past_due"
    waiting = [p for p in await world.payments() if p["status"] == "requires_payment_method"]
    assert [p["amount"] for p in waiting] == [600]
    assert (await world.balance())["receivable"] == 600
    good = await world.attach((await world.subscription(sub))["customer_id"], "pm_sim_ok")
    await world.pay(invoice, good)
    await world.expect(*PAID, "subscription.activated")
    assert await figures(world, invoice) == ("paid", 1000, 0)
    assert world.charged() == [(1000, "EUR"), (600, "EUR")]
    await world.assert_clean()


async def test_two_transfers_pay_an_invoice_that_was_sent(world: World) -> None:
    _, invoice = await sent(world)
    came = world.now - timedelta(minutes=1)
    await record(world, invoice, 300, method=OfflineMethod.CASH)
    await world.expect(*PART)
    await world.advance(days=3)
    await record(world, invoice, received_at=world.now - timedelta(days=1))
    await world.expect(*PAID)
    assert await figures(world, invoice) == ("paid", 1000, 0)
    first, second = await world.payments()
    assert (first["offline_method"], first["amount"], first["received_at"]) == (
        "cash",
        300,
        came + timedelta(minutes=1),
    )
    assert (second["offline_method"], second["amount"]) == ("bank_transfer", 700)
    [row] = await world.fetch("SELECT paid_at FROM invoices WHERE id = $1", invoice)
    assert row["paid_at"] == world.now - timedelta(days=1)  # the day it came, not when it was typed
    assert await world.balance() == {"cash": 1000, "deferred_revenue": -1000}
    await world.assert_clean()


async def test_more_than_remains_is_refused_unless_the_rest_has_a_place(world: World) -> None:
    customer, invoice = await sent(world)
    with pytest.raises(InvalidRequest, match="1000 remains") as refused:
        await record(world, invoice, 1200)
    assert (refused.value.code, refused.value.param) == ("payment_exceeds_remaining", "amount")
    payment = await record(world, invoice, 1200, overpayment=Overpayment.TO_BALANCE)
    await world.expect(*PAID)
    # 12.00 came for 10.00: 2.00 is the customer's.
    assert await world.credit_left(customer) == 200
    assert await world.balance() == {
        "cash": 1200,
        "customer_credit": -200,
        "deferred_revenue": -1000,
    }
    # Of the payment only what paid the invoice can be refunded: the rest is credit already.
    with pytest.raises(InvalidRequest, match="Between 1 and 1000"):
        cmd = refunds.CreateRefund(payment, 1100, destination=Destination.OUTSIDE)
        await refunds.create(world.rt, world.caller, cmd)
    await world.assert_clean()


async def test_a_bounced_cheque_leaves_the_invoice_as_if_it_had_never_come(world: World) -> None:
    customer, invoice = await sent(world)
    before = await world.balance()
    cheque = {"method": OfflineMethod.CHEQUE, "reference": "CHQ-7"}
    payment = await record(world, invoice, 1200, overpayment=Overpayment.TO_BALANCE, **cheque)
    await world.expect(*PAID)
    await reverse(world, payment)
    await world.expect(*UNDONE)
    assert await figures(world, invoice) == ("open", 0, 1000)
    assert await world.credit_left(customer) == 0
    assert await world.balance() == before
    [row] = await world.payments()
    assert (row["status"], row["amount"], row["amount_captured"]) == ("reversed", 1200, 0)
    assert (row["reversed_at"], row["reversal_reason"]) == (world.now, "It bounced")
    with pytest.raises(Conflict, match="reversed"):
        await reverse(world, payment)
    # What was taken back may be recorded again, rightly.
    await record(world, invoice, **cheque)
    await world.expect(*PAID)
    await world.assert_clean()


async def test_whoever_is_charged_falls_behind_when_a_payment_is_reversed(world: World) -> None:
    sub, invoice = await behind(world)
    payment = await record(world, invoice)
    await world.expect(*PAID, "subscription.activated")
    await reverse(world, payment, "Booked to the wrong invoice")
    await world.expect(*UNDONE, "subscription.past_due")
    assert await world.status(sub) == "past_due"
    # What is owed again waits for somebody to say so: the card is not charged by itself.
    await world.advance(hours=12, expect=[])
    good = await world.attach((await world.subscription(sub))["customer_id"], "pm_sim_ok")
    await world.pay(invoice, good)
    await world.expect(*PAID, "subscription.activated")
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_part_that_is_reversed_is_asked_for_again(world: World) -> None:
    sub, invoice = await behind(world)
    first = await record(world, invoice, 400)
    await record(world, invoice, 100)
    await world.told()
    await reverse(world, first)
    await world.expect("payment.reversed", "invoice.updated")
    assert await figures(world, invoice) == ("open", 100, 900)  # 10.00 - 1.00
    good = await world.attach((await world.subscription(sub))["customer_id"], "pm_sim_ok")
    await world.pay(invoice, good)
    await world.expect(*PAID, "subscription.activated")
    assert world.charged() == [(1000, "EUR"), (900, "EUR")]
    await world.assert_clean()


async def test_a_line_of_the_bank_s_statement_counts_once(world: World) -> None:
    _, first = await sent(world)
    _, second = await sent(world)
    await record(world, first, reference="BANK-4711")
    await world.told()
    for invoice in (first, second):
        with pytest.raises(Conflict):
            await record(world, invoice, 100, reference="BANK-4711")
    with pytest.raises(Conflict) as known:
        await record(world, second, 100, reference="BANK-4711")
    assert known.value.code == "payment_reference_taken"
    await world.expect()
    await world.assert_clean()


async def test_money_is_not_booked_while_the_card_may_be_charged_for_it(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, "pm_sim_requires_action")
    await world.told()
    await world.advance_quietly(days=28)
    invoice = (await world.invoice(sub))["id"]
    for amount, options in ((None, {}), (1, {}), (1200, {"overpayment": Overpayment.TO_BALANCE})):
        with pytest.raises(Conflict) as refused:
            await record(world, invoice, amount, **options)
        assert refused.value.code == "payment_in_flight"
    [_, waiting] = await world.payments()
    await world.cancel_payment(waiting["id"])
    await world.told()
    await record(world, invoice)
    await world.expect(*PAID)
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_a_part_is_charged_now_and_the_rest_waits(world: World) -> None:
    sub, invoice = await behind(world)
    await world.attach((await world.subscription(sub))["customer_id"], "pm_sim_ok")
    with pytest.raises(InvalidRequest, match="1000 remains"):
        await charge(world, invoice, 1001)
    await charge(world, invoice, 300)
    await world.expect(*PART)
    assert await figures(world, invoice) == ("open", 300, 700)
    assert await world.status(sub) == "past_due"
    await world.advance(hours=12, expect=[])  # the rest is not charged by itself
    await world.pay(invoice)
    await world.expect(*PAID, "subscription.activated")
    assert world.charged() == [(1000, "EUR"), (300, "EUR"), (700, "EUR")]
    await world.assert_clean()


async def test_beside_a_part_that_is_under_way_only_the_rest_can_be_booked(world: World) -> None:
    sub, invoice = await behind(world)
    customer = (await world.subscription(sub))["customer_id"]
    await world.attach(customer, "pm_sim_pending_then_succeeds")
    await charge(world, invoice, 300)
    await world.expect("payment.processing")
    with pytest.raises(Conflict, match="in flight"):
        await record(world, invoice, 701)
    await record(world, invoice, 700)
    await world.expect(*PART)
    assert await figures(world, invoice) == ("open", 700, 300)
    await world.gateway_settles()
    await world.advance(minutes=1, expect=[*PAID, "subscription.activated"])
    assert world.charged() == [(1000, "EUR"), (300, "EUR")]
    await world.assert_clean()


async def test_a_part_that_is_declined_leaves_all_of_it_to_be_asked_for(world: World) -> None:
    sub, invoice = await behind(world)
    await charge(world, invoice, 300)
    await world.expect(*DECLINED)
    waiting = (await world.payments())[-1]
    assert (waiting["status"], waiting["amount"]) == ("requires_payment_method", 1000)
    await world.attach((await world.subscription(sub))["customer_id"], "pm_sim_ok")
    await world.pay(invoice)
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_each_payment_of_an_invoice_is_refunded_on_its_own(world: World) -> None:
    sub, invoice = await behind(world)
    customer = (await world.subscription(sub))["customer_id"]
    await world.attach(customer, "pm_sim_ok")
    by_card = await charge(world, invoice, 300)
    by_transfer = await record(world, invoice, 500)
    in_cash = await record(world, invoice, 200, method=OfflineMethod.CASH)
    await world.told()
    await world.refund(by_card, 100)
    for payment, amount, destination in (
        (by_transfer, 150, Destination.OUTSIDE),
        (in_cash, None, Destination.BALANCE),
    ):
        cmd = refunds.CreateRefund(payment, amount, destination=destination)
        await refunds.create(world.rt, world.caller, cmd)
    await world.expect(*["refund.succeeded"] * 3)
    # 1.00 by the card, 1.50 by hand, 2.00 as credit.
    assert world.refunded() == [100]
    assert await world.credit_left(customer) == 200
    assert (await world.balance())["refunds"] == 450
    with pytest.raises(InvalidRequest) as nowhere:
        await world.refund(by_transfer)
    assert nowhere.value.code == "refund_destination_required"
    with pytest.raises(Conflict, match="refunded"):
        await reverse(world, by_transfer)
    with pytest.raises(Conflict, match="A gateway brought it"):
        await reverse(world, by_card)
    await world.assert_clean()


async def test_a_charge_can_be_given_back_as_credit(world: World) -> None:
    customer = await world.customer()
    await world.subscribe(customer, await world.price("1000"))
    await world.told()
    [payment] = await world.payments()
    cmd = refunds.CreateRefund(payment["id"], 400, destination=Destination.BALANCE)
    await refunds.create(world.rt, world.caller, cmd)
    await world.expect("refund.succeeded")
    await world.advance(months=1, expect=RENEWED)
    # The second month: 10.00 - 4.00 of credit.
    assert world.charged() == [(1000, "EUR"), (600, "EUR")]
    assert world.refunded() == []
    await world.assert_clean()


async def test_credit_that_was_used_does_not_come_back(world: World) -> None:
    customer, invoice = await sent(world)
    payment = await record(world, invoice, 1200, overpayment=Overpayment.TO_BALANCE)
    await world.advance_quietly(days=28)  # the next invoice takes the 2.00
    assert await world.credit_left(customer) == 0
    with pytest.raises(Conflict) as used:
        await reverse(world, payment)
    assert used.value.code == "balance_used"
    await world.assert_clean()


async def test_a_partly_paid_invoice_is_not_voided_but_credited(world: World) -> None:
    customer, invoice = await sent(world)
    await record(world, invoice, 400)
    await world.told()
    with pytest.raises(Conflict, match="partly paid") as refused:
        await world.void(invoice)
    assert refused.value.code == "invoice_partly_paid"
    # All of it is credited: 6.00 is owed no more, the 4.00 that came is credit.
    await credit_notes.create(world.rt, world.caller, invoice, issuing.Wanted())
    await world.expect("credit_note.created", "invoice.paid")
    assert await world.credit_left(customer) == 400
    assert await figures(world, invoice) == ("paid", 400, 0)
    await world.assert_clean()


async def test_what_was_written_off_may_still_come_and_go(world: World) -> None:
    _, invoice = await sent(world)
    first = await record(world, invoice, 100)
    await world.write_off(invoice)
    assert (await world.balance())["bad_debt"] == 900
    late = await record(world, invoice, 300)
    assert (await world.balance())["bad_debt"] == 600  # 10.00 - 1.00 - 3.00
    await reverse(world, first)
    assert (await world.balance())["bad_debt"] == 700
    await record(world, invoice)
    assert "bad_debt" not in await world.balance()
    await reverse(world, late)  # it had been paid, and is owed again
    assert await figures(world, invoice) == ("open", 700, 300)
    assert (await world.balance())["receivable"] == 300
    await world.assert_clean()


async def test_a_first_bill_that_is_partly_paid_does_not_expire_with_the_money(
    world: World,
) -> None:
    customer = await world.customer("pm_sim_declined_do_not_honor")
    sub = await world.subscribe(customer, await world.price("1000"))
    invoice = (await world.invoice(sub))["id"]
    payment = await record(world, invoice, 400)
    await world.told()
    await world.advance(days=3, expect=[])
    assert await world.status(sub) == "incomplete"
    await reverse(world, payment)
    await world.told()
    await world.advance(days=1, expect=["subscription.incomplete_expired", "invoice.voided"])
    await world.assert_clean()


async def test_what_has_not_come_yet_is_not_recorded(world: World) -> None:
    _, invoice = await sent(world)
    with pytest.raises(InvalidRequest, match="not been received") as early:
        await record(world, invoice, received_at=world.now + timedelta(seconds=1))
    assert early.value.param == "received_at"
    await record(world, invoice, received_at=at(2025, 12, 24))  # before it was billed: just so
    [row] = await world.fetch("SELECT paid_at, finalized_at FROM invoices WHERE id = $1", invoice)
    assert row["paid_at"] == row["finalized_at"]
    await world.assert_clean()
