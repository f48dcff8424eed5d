"""How invoices are paid or not, told as stories: declines, waiting, sent, voided, written off."""

from datetime import UTC, datetime

import pytest

from app.domain.errors import Conflict, InvalidRequest
from app.domain.invoice import Collection
from app.services import payment_methods, subscriptions
from tests.world import DECLINED, PAID, RENEWED, STARTED, World

BEHIND = ("subscription.renewed", "invoice.finalized", *DECLINED, "subscription.past_due")


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("token", "code", "category"),
    [
        ("pm_sim_declined_insufficient_funds", "insufficient_funds", "soft"),
        ("pm_sim_declined_expired", "expired_card", "hard"),
        ("pm_sim_declined_lost_or_stolen", "lost_or_stolen", "hard"),
        ("pm_sim_declined_authentication_required", "authentication_required", "action_required"),
        ("pm_sim_declined_fraud", "generic", "fraud"),
        ("pm_sim_declined_account_not_enabled", "generic", "configuration"),
    ],
)
async def test_a_declined_renewal_falls_behind_and_is_paid_by_hand(
    world: World, token: str, code: str, category: str
) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, token)
    await world.told()
    await world.advance(months=1, expect=BEHIND)
    assert await world.status(sub) == "past_due"
    [_, payment] = await world.payments()
    assert (payment["status"], payment["failure_code"]) == ("requires_payment_method", code)
    assert payment["failure_category"] == category
    await world.advance(hours=1, expect=[])  # nobody tries again by himself
    good = await world.attach(customer, "pm_sim_ok")
    await world.pay((await world.invoice(sub))["id"], good)
    await world.expect(*PAID, "subscription.activated")
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_subscription_that_is_behind_goes_on_renewing(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, "pm_sim_declined_do_not_honor")
    await world.told()
    await world.advance(months=1, expect=BEHIND)
    await world.advance(months=1, expect=BEHIND[:-1])
    await world.attach(customer, "pm_sim_ok")
    _, february, march = await world.invoices(sub)
    # An older invoice does not make it good, the latest does.
    await world.pay(february["id"])
    await world.expect(*PAID)
    assert await world.status(sub) == "past_due"
    await world.pay(march["id"])
    await world.expect(*PAID, "subscription.activated")
    await world.assert_clean()


async def test_an_old_invoice_declined_again_does_not_set_a_paid_up_subscription_back(
    world: World,
) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    bad = await world.attach(customer, "pm_sim_declined_do_not_honor")
    await world.told()
    await world.advance(months=1, expect=BEHIND)
    await world.attach(customer, "pm_sim_ok")
    await world.advance(months=1, expect=[*RENEWED, "subscription.activated"])
    _, february, _ = await world.invoices(sub)
    await world.pay(february["id"], bad)
    await world.expect(*DECLINED)
    assert await world.status(sub) == "active"
    await world.assert_clean()


async def test_a_card_that_is_declined_three_times_is_charged_once_the_fourth(
    world: World,
) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    token = f"pm_sim_succeeds_after_3_declines_{customer.hex}"
    await world.attach(customer, token)
    await world.told()
    await world.advance(months=1, expect=BEHIND)
    invoice = (await world.invoice(sub))["id"]
    for _ in range(2):
        await world.pay(invoice)
        await world.expect(*DECLINED)
    await world.pay(invoice)
    await world.expect(*PAID, "subscription.activated")
    attempts = [(a["ordinal"], a["status"]) for a in (await world.attempts())[1:]]
    assert attempts == [(1, "failed"), (2, "failed"), (3, "failed"), (4, "succeeded")]
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_renewal_without_a_payment_method_falls_behind_at_once(world: World) -> None:
    customer = await world.customer(None)
    sub = await world.subscribe(customer, await world.price("1000"), start_at=at(2026, 2, 1))
    await world.told()
    started = ["subscription.activated", "invoice.finalized", "subscription.past_due"]
    await world.advance(to=at(2026, 2, 1), expect=started)
    await world.attach(customer, "pm_sim_ok")
    await world.pay((await world.invoice(sub))["id"])
    await world.expect(*PAID, "subscription.activated")
    await world.assert_clean()


async def test_a_method_detached_before_the_charge_is_not_charged(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    [method] = await world.fetch("SELECT id FROM payment_methods")
    await payment_methods.detach(world.rt, world.caller, method["id"])
    await world.told()
    await world.advance(
        months=1, expect=["subscription.renewed", "invoice.finalized", "subscription.past_due"]
    )
    assert world.charged() == [(1000, "EUR")]
    assert await world.status(sub) == "past_due"
    await world.assert_clean()


async def test_a_payment_that_needs_the_customer_waits_for_him(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, "pm_sim_requires_action")
    await world.told()
    await world.advance(
        months=1,
        expect=["subscription.renewed", "invoice.finalized", "payment.action_required"],
    )
    # Asked again, the gateway still waits: nothing new is told, and nothing else may charge it.
    await world.advance(minutes=10, expect=[])
    with pytest.raises(Conflict):
        await world.pay((await world.invoice(sub))["id"])
    with pytest.raises(Conflict, match="in flight"):
        await world.void((await world.invoice(sub))["id"])
    with pytest.raises(Conflict, match="in flight"):
        await world.pay_outside((await world.invoice(sub))["id"])
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("token", "outcome", "status"),
    [
        ("pm_sim_pending_then_succeeds", PAID, "active"),
        ("pm_sim_pending_then_fails", (*DECLINED, "subscription.past_due"), "past_due"),
    ],
)
async def test_a_pending_payment_comes_to_its_end(
    world: World, token: str, outcome: tuple[str, ...], status: str
) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, token)
    await world.told()
    await world.advance(
        months=1, expect=["subscription.renewed", "invoice.finalized", "payment.processing"]
    )
    await world.gateway_settles()
    await world.advance(minutes=1, expect=outcome)
    assert await world.status(sub) == status
    await world.assert_clean()


async def test_an_invoice_paid_outside_needs_no_gateway(world: World) -> None:
    customer = await world.customer("pm_sim_declined_do_not_honor")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    invoice = (await world.invoice(sub))["id"]
    await world.pay_outside(invoice)
    await world.expect("payment.succeeded", "invoice.paid", "subscription.activated")
    assert world.charged() == []
    declined, came = await world.payments()
    assert (declined["status"], came["status"]) == ("canceled", "succeeded")
    assert (came["offline_method"], came["amount_captured"]) == ("other", 1000)
    with pytest.raises(Conflict, match="paid"):
        await world.pay_outside(invoice)
    with pytest.raises(Conflict, match="paid"):
        await world.pay(invoice)
    await world.assert_clean()


async def test_a_voided_invoice_leaves_nothing_in_the_books(world: World) -> None:
    vat = await world.tax_rate("19")
    customer = await world.customer(None)
    await world.credit(customer, 250)
    sub = await world.subscribe(
        customer,
        await world.price("1000"),
        tax_rate_ids=[vat],
        collection=Collection.SEND_INVOICE,
        net_days=14,
    )
    await world.expect("subscription.created", "invoice.finalized")
    invoice = (await world.invoice(sub))["id"]
    assert (await world.balance())["receivable"] == 940  # 11.90 - 2.50
    await world.void(invoice)
    await world.expect("invoice.voided")
    assert await world.credit_left(customer) == 250
    assert await world.balance() == {"credits_granted": 250, "customer_credit": -250}
    with pytest.raises(Conflict, match="void"):
        await world.void(invoice)
    await world.assert_clean()


async def test_a_voided_period_is_not_billed_again(world: World) -> None:
    sub = await world.subscribe(
        await world.customer(None), await world.price(), collection=Collection.SEND_INVOICE
    )
    await world.void((await world.invoice(sub))["id"])
    await world.told()
    await world.advance(minutes=5, expect=[])
    await world.advance(months=1, expect=["subscription.renewed", "invoice.finalized"])
    assert [i["number"] for i in await world.invoices(sub)] == ["INV-000001", "INV-000002"]
    await world.assert_clean()


async def test_a_paid_invoice_cannot_be_voided(world: World) -> None:
    sub = await world.subscribed("1000")
    with pytest.raises(Conflict, match="paid"):
        await world.void((await world.invoice(sub))["id"])
    with pytest.raises(Conflict, match="paid"):
        await world.write_off((await world.invoice(sub))["id"])
    await world.expect()


async def test_what_was_written_off_can_still_be_paid(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, "pm_sim_declined_do_not_honor")
    await world.told()
    await world.advance(months=1, expect=BEHIND)
    invoice = (await world.invoice(sub))["id"]
    await world.write_off(invoice)
    await world.expect("invoice.marked_uncollectible")
    assert (await world.balance())["bad_debt"] == 1000
    good = await world.attach(customer, "pm_sim_ok")
    await world.pay(invoice, good)
    await world.expect(*PAID, "subscription.activated")
    assert "bad_debt" not in await world.balance()
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_what_was_written_off_can_be_voided_with_the_credit_it_used(world: World) -> None:
    customer = await world.customer(None)
    await world.credit(customer, 300)
    sub = await world.subscribe(
        customer, await world.price("1000"), collection=Collection.SEND_INVOICE
    )
    invoice = (await world.invoice(sub))["id"]
    await world.write_off(invoice)
    await world.void(invoice)
    assert await world.balance() == {"credits_granted": 300, "customer_credit": -300}
    await world.assert_clean()


async def test_the_subscription_s_own_method_comes_before_the_customer_s(world: World) -> None:
    customer = await world.customer("pm_sim_ok")
    own = await world.attach(customer, "pm_sim_ok_own", default=False)
    sub = await world.subscribe(customer, await world.price(), payment_method_id=own)
    await world.expect(*STARTED)
    await world.advance(months=1, expect=RENEWED)
    cmd = subscriptions.UpdateSubscription(sub, {"payment_method_id": None})
    await subscriptions.update(world.rt, world.caller, cmd)
    await world.expect("subscription.updated")
    await world.advance(months=1, expect=RENEWED)
    used = [a["payment_method_id"] == own for a in await world.attempts()]
    assert used == [True, True, False]


async def test_another_customer_s_method_is_refused(world: World) -> None:
    mine, yours = await world.customer(None), await world.customer("pm_sim_ok")
    [theirs] = await world.fetch("SELECT id FROM payment_methods WHERE customer_id = $1", yours)
    price = await world.price()
    with pytest.raises(InvalidRequest, match="no such payment method"):
        await world.subscribe(mine, price, payment_method_id=theirs["id"])
    sub = await world.subscribe(mine, price)
    with pytest.raises(InvalidRequest, match="no such payment method"):
        await world.pay((await world.invoice(sub))["id"], theirs["id"])
    assert world.charged() == []
